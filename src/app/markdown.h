/* SPDX-License-Identifier: Apache-2.0 */
/*
 * markdown - an answer's Markdown for a terminal, as it comes: piece by piece, cut anywhere.
 *
 *   # Two things                     bold
 *   - **one**, `two`           >     bullets, bold, colour; words wrap at the terminal's width, list items hang
 *   | a | b |                        a table in columns, or row by row where it is too wide
 *   ```c                             code as it stands
 *
 * A line of the text is a line on the screen, for that is how models write. What is not Markdown stays as it is. Whatever
 * the text holds, no control character of it goes out, and none that turns the direction of letters. At most a line, a
 * word or a table is held back.
 */
#ifndef APP_MARKDOWN_H
#define APP_MARKDOWN_H

#include "base/base.h"

enum markdown_state { MARKDOWN_BEGIN, MARKDOWN_WORDS, MARKDOWN_CODE, MARKDOWN_TABLE };

struct markdown {
    size_t width; /* columns; 0 = no wrapping */
    bool styled;  /* false: the text as it is, cleaned */
    bool raw;     /* not even cleaned: no terminal will show it */

    /* private */
    enum markdown_state state;
    struct buf line, word;
    size_t column, hang, word_columns;
    bool bold, italic, heading, blank, escaped;
    size_t code;                   /* ticks that end the code span; 0 = none */
    char mark;                     /* run of * _ ` that waits for what follows */
    size_t marks;                  /* how long it is */
    bool after_text, after_letter; /* what stands in front of it */
    char fence;
    size_t fences;
};

void markdown_init(struct markdown *m, size_t width, bool styled);
void markdown_fini(struct markdown *m);
/* Appends what can be shown by now. False: no memory, as out->failed tells. */
bool markdown_feed(struct markdown *m, strv text, struct buf *out);
/* The text ends here: the rest, and a line end if one is missing. Another may follow. */
bool markdown_end(struct markdown *m, struct buf *out);

#endif
