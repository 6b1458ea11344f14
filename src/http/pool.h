/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - connections to upstreams, and where they wait between calls. Private to this folder.
 *
 *   http_wire_new -> busy --http_wire_park--> idle, newest first --http_pool_take--> busy
 *                      |                        |
 *                      '--http_wire_close-------'--> dead, freed at the end of the turn
 *
 * Newest first keeps few connections warm and lets the others reach their idle limit. An idle one goes
 * on being read by its owner's callbacks, so that a server that closes is found out at once.
 */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

#include "base/base.h"
#include "io/io.h"

struct http_call;

struct http_pools {
    struct io_loop *loop;
    struct io_task *task; /* the owner's end-of-turn work; it calls http_pools_bury() */
    struct list pools, dead;
    size_t n_busy, n_idle;
    bool closed;
};

/* Exchangeable connections. Lives as long as a wire or a call refers to it. */
struct http_pool {
    struct list node;
    struct list idle; /* struct http_wire, newest first */
    struct http_pools *pools;
    size_t n_idle;
    size_t refs;
    char key[];
};

struct http_wire {
    struct list node; /* pool->idle or pools->dead; alone while busy */
    struct http_pool *pool;
    struct io_stream *stream; /* NULL = dead */
    void *owner;
    struct http_call *call; /* NULL = idle */
    struct io_timer timer;  /* idle limit; may still run while busy and then means nothing */
};

void http_pools_init(struct http_pools *p, struct io_loop *loop, struct io_task *task);
/* Closes what is idle. From here on the task is not queued any more: the owner buries by itself. */
void http_pools_close(struct http_pools *p);
void http_pools_bury(struct http_pools *p);

/* The pool of that key with one more reference; NULL if memory is refused. */
struct http_pool *http_pool_ref(struct http_pools *p, const char *key);
void http_pool_unref(struct http_pool *pool);
/* The connection used last, now busy; NULL if none is idle. */
struct http_wire *http_pool_take(struct http_pool *pool);

/* A busy one. NULL if memory is refused; the stream is then still the caller's. */
struct http_wire *http_wire_new(struct http_pool *pool, struct io_stream *s, void *owner);
void http_wire_park(struct http_wire *w, uint64_t idle_ms, size_t idle_max);
void http_wire_close(struct http_wire *w);

#endif
