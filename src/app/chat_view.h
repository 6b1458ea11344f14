/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_view - what the command `chat` shows of a session's frames (docs/chat.md, "From the router").
 *
 *   token         answer  Markdown for the terminal, or the text itself
 *   tool_call ... note    > detect_conflicts of sched {"start_date":...}
 *   complete      note    local · llama3.2 · ollama · 1.2 s · 38.5 tokens/s · $0.000000 · private
 *
 * Answers are for standard output, notes for standard error. Pure: frames in, text out. After a connection that was lost,
 * `history` shows what was missed, once.
 */
#ifndef APP_CHAT_VIEW_H
#define APP_CHAT_VIEW_H

#include "app/markdown.h"
#include "app/term.h"

enum chat_news {
    CHAT_NEWS_NONE,
    CHAT_NEWS_CONNECTED,
    CHAT_NEWS_BEGUN,    /* an answer */
    CHAT_NEWS_WHOLE,    /* ... has ended */
    CHAT_NEWS_STOPPED,  /* ... was interrupted */
    CHAT_NEWS_FAILED,   /* ... or what was asked for was refused; `error` says why */
    CHAT_NEWS_APPROVAL, /* `approval` waits for a person */
    CHAT_NEWS_DECIDED   /* it waits no more */
};

struct chat_view {
    bool color;
    struct buf answer, note; /* text to be shown; whoever shows it takes it away */

    char session[65], mode[16], model[128], title[160];
    bool is_private, kept, tools, running;
    char approval[64];        /* "" = none */
    uint32_t asked, answered; /* numbers of the newest question and answer; 0 = none */
    bool was_private;         /* the last answer */
    bool waits;               /* set by who has asked: an answer is due. Its end takes it back */

    /* private */
    struct markdown markdown;
    size_t shown; /* bytes of the running answer */
    bool thinking;
    bool missed; /* the connection was lost: what came meanwhile is in the next history */
};

/* width: of the terminal; 0 = the answer is no terminal's: its text as it is, not even cleaned. */
void chat_view_init(struct chat_view *v, bool color, bool terminal, size_t width);
void chat_view_fini(struct chat_view *v);
/* The terminal's width has changed. Between answers. */
void chat_view_width(struct chat_view *v, size_t width);
/* One frame. What is unknown shows nothing. */
enum chat_news chat_view_take(struct chat_view *v, yyjson_val *frame, struct arena *scratch);

#endif
