/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_line - a line from the terminal, edited by libedit, while the loop goes on.
 *
 *   libedit wants a key > the loop runs > a thread sees that there is one > the loop stops > libedit gets it
 *
 * So everything but that thread's look at the terminal happens on the loop's thread, and what comes in meanwhile can be
 * shown above the line. Ctrl-C clears the line; Ctrl-D on an empty one is the end.
 *
 * The history's file is for its owner alone, and holds only lines that chat_line_keep() was told to keep.
 */
#ifndef APP_CHAT_LINE_H
#define APP_CHAT_LINE_H

#include "io/io.h"

enum chat_typed { CHAT_LINE, CHAT_CLEARED, CHAT_END, CHAT_CANCELLED };

struct chat_line;
/* history: the file; NULL = none. NULL with err. */
struct chat_line *chat_line_open(struct io_loop *loop, const char *history, struct err *err);
/* Gives the terminal back as it was. NULL is fine. */
void chat_line_close(struct chat_line *l);
/* One line without its end, in `out`. The loop runs meanwhile. */
enum chat_typed chat_line_read(struct chat_line *l, const char *prompt, struct buf *out);
/* Ends chat_line_read() with CHAT_CANCELLED. From the loop. */
void chat_line_cancel(struct chat_line *l);
/* Is a line being read? Then whatever else is printed goes between hide and show. */
bool chat_line_busy(const struct chat_line *l);
void chat_line_hide(struct chat_line *l);
void chat_line_show(struct chat_line *l);
/* Up brings the line back. */
void chat_line_enter(struct chat_line *l, strv line);
/* The line may be in the file. */
void chat_line_keep(struct chat_line *l, strv line);

#endif
