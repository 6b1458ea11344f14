/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_peer - a child that answers: a line of JSON to its standard input, a line from its standard output.
 *
 * Its command is run by the shell, with our environment but for the router's key. It is waited for: one line at a time,
 * and for no longer than was said. What it writes to standard error goes to ours, behind its name.
 */
#ifndef APP_LOOP_PEER_H
#define APP_LOOP_PEER_H

#include "io/io.h"

struct loop_peer {
    const char *name; /* "generator" */
    struct io_loop *loop;
    struct io_child *child;   /* NULL: gone */
    struct io_stream *stream; /* NULL: closed, or its output has ended */
    struct buf in;            /* read and not taken */
    bool late;
    char end[80]; /* how it ended; "" = it runs */
};

bool loop_peer_open(struct loop_peer *p, const char *name, const char *command,
                    struct io_loop *loop, struct err *err);
/* Its answer, without the line end; valid until the next call. False with err; without err->set: the loop was stopped by
 * somebody else. */
bool loop_peer_ask(struct loop_peer *p, strv line, uint64_t ms, strv *answer, struct err *err);
/* Returns when it is gone. A peer that was never opened may be all zero. */
void loop_peer_close(struct loop_peer *p);

#endif
