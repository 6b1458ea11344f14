/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch - have one Ollama download a model, and ask it again when the connection breaks.
 *
 *   fetch_begin -> ask --lines--> "success"                     end(NULL)
 *                   ^     '-----> {"error":...}, 4xx, 500       end(why): Ollama has tried again by itself
 *                   |     '-----> broken off, silent, 503       progress? else only a few times
 *                   '-- back-off --'                            Ollama goes on where it stopped
 *
 * The download belongs to the server: it keeps what it has, whatever becomes of us. A server that was never
 * there is not waited for. Everything has a limit: silence, breaks in a row without a byte of progress,
 * attempts altogether.
 */
#ifndef APP_FETCH_H
#define APP_FETCH_H

#include "app/progress.h"
#include "provider/provider.h"

struct fetch_ops {
    void (*progress)(void *arg); /* fetch->progress has changed */
    void (*retry)(void *arg, const char *why, uint64_t wait_ms);
    void (*end)(void *arg, const char *why); /* NULL = it is there; once, and the last call */
};

struct fetch {
    struct io_loop *loop;
    struct http_client *client;
    const struct provider *p;
    const struct fetch_ops *ops;
    void *arg;
    struct progress progress;
    int64_t started_us;
    unsigned attempts;

    /* private */
    struct arena arena; /* headers, body */
    struct http_header *headers;
    size_t n_headers;
    strv body;
    struct http_call *call;
    struct io_timer silence, again;
    struct http_framer framer;
    struct arena scratch;
    struct buf refusal; /* the body of an answer other than 200 */
    int status;         /* of this attempt; 0 = no head yet */
    unsigned breaks;    /* in a row */
    int64_t moved_before;
    bool was_there; /* the server has answered once */
    bool begun, over;
};

/* loop, client, p, ops and arg are set. False: no memory, and no callback comes. */
bool fetch_begin(struct fetch *f, strv model);
/* Ends it where it is, without a callback. */
void fetch_stop(struct fetch *f);
void fetch_fini(struct fetch *f); /* also if it never began */

#endif
