/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_talk - the command `chat` at work: a session, its socket, what is shown, what was typed.
 *
 *   cmd_chat.c    questions, answers, approvals, Ctrl-C
 *   chat_slash.c  what begins with a slash
 */
#ifndef APP_CHAT_TALK_H
#define APP_CHAT_TALK_H

#include "app/chat_line.h"
#include "app/chat_view.h"
#include "app/chat_wire.h"

#define TALK_LISTED_MAX    20
#define SESSION_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

struct talk {
    struct cli *cli;
    struct remote remote;
    struct chat_wire wire;
    struct chat_view view;
    struct chat_line *line; /* NULL: one question, and nobody to ask */
    struct buf typed, question;
    char session[65];
    char listed[TALK_LISTED_MAX][65]; /* by the last /sessions */
    size_t n_listed;
    struct io_timer patience;
    bool waits; /* the loop runs until something happens */
    bool turn_over, replied, late, over;
    enum chat_news news; /* how the last turn ended */
    unsigned interrupts; /* in this turn, or at an empty prompt */
    int result;
};

/* Opens a session; its frames come from then on. */
void talk_open(struct talk *t, const char *session);
/* False: it was told why. */
bool talk_send(struct talk *t, struct buf *frame);
/* Sends it and shows what comes, until the answer has ended. */
void talk_turn(struct talk *t, struct buf *frame);
/* Sends it and waits for a frame, but not for ever. */
void talk_set(struct talk *t, struct buf *frame);
void talk_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void talk_end(struct talk *t, int result);
/* A line that begins with a slash. */
void talk_slash(struct talk *t, strv line);

#endif
