/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_wire - the command `chat`'s socket to the router: opened, opened again when it was lost, frames both ways.
 *
 * After 1000, 4001 and 4003 it stays closed (docs/chat.md, "Close codes"); after any other end it comes back, with longer
 * and longer pauses, and gives up after a while.
 */
#ifndef APP_CHAT_WIRE_H
#define APP_CHAT_WIRE_H

#include "app/remote.h"
#include "ws/ws.h"

struct chat_wire {
    struct remote *remote;
    /* A frame; `scratch` is for this call. */
    void (*frame)(void *arg, yyjson_val *frame, struct arena *scratch);
    void (*lost)(void *arg); /* it comes back */
    /* It does not: a status of the router, or a close code, or why there was no connection. */
    void (*closed)(void *arg, int status, unsigned code, enum io_end why);
    void *arg;

    /* private */
    char path[600];
    struct ws *ws;
    struct ws_dial *dial;
    struct io_timer again;
    struct arena scratch;
    unsigned tries; /* since it was open last */
    bool was_open;
};

/* session: 8 to 64 of A-Za-z0-9-; mode and model may be "". False: no memory. */
bool chat_wire_open(struct chat_wire *w, const char *session, const char *mode, const char *model);
/* Without a word of ours coming any more. */
void chat_wire_close(struct chat_wire *w);
/* False: it is not open, or too much is unsent. */
bool chat_wire_send(struct chat_wire *w, strv frame);

#endif
