/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - the upstreams' side: one call = one request on one connection.
 *
 *   http_call() -> (pooled connection | connect) -> send -> on_head -> on_body* -> on_end
 *
 * A connection goes back to the pool only when its answer was fully read and both sides want to keep it;
 * otherwise it is closed. A pooled connection that turns out to be dead before the first byte of the
 * answer is replaced by a fresh one, once and unseen (servers close idle connections under our hand;
 * llama-server after 5 s). A fresh connection is never retried here.
 *
 * A call with on_ready stops where it has a connection: it is told the address, and not a byte of the request is
 * written before http_call_go(). A connection that ends meanwhile is replaced as above, and on_ready comes again.
 *
 * No redirects, no cookies, no compression (Accept-Encoding: identity), no upgrade. 1xx answers are
 * skipped. Time limits other than connect belong to the caller, who has http_call_cancel().
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "http/server.h"
#include "http/url.h"
#include "io/io.h"

/* How a call ended. */
enum http_end {
    HTTP_DONE,        /* the answer is complete as announced */
    HTTP_DONE_AT_EOF, /* neither length nor chunks: the connection's clean end is the only mark */
    HTTP_CUT,         /* the connection ended in the middle of the head or the body */
    HTTP_RESET,       /* ... by a reset */
    HTTP_MALFORMED,   /* not HTTP, or a head larger than allowed */
    HTTP_CONNECT,     /* no connection; `why` says more */
    HTTP_NO_MEMORY,
    HTTP_ENDS
};

struct http_answer {
    int status;
    const struct http_header *headers;
    size_t n_headers;
};
strv http_answer_header(const struct http_answer *a, const char *name);

struct http_call_ops {
    void (*on_head)(void *arg, const struct http_answer *answer); /* valid during the call */
    void (*on_body)(void *arg, const char *data, size_t len); /* dechunked; valid during the call */
    void (*on_end)(void *arg, enum http_end how,
                   enum io_end why); /* exactly once unless cancelled */
    /* The request is on its way on a connection (for time measurement); may be NULL. Comes a second
     * time, with reused false, when a pooled connection turned out to be dead. */
    void (*on_sent)(void *arg, bool reused);
};

/* Where calls go to: part of the configuration snapshot, immutable. Two upstreams with the same key share
 * pooled connections. */
struct http_upstream {
    struct http_url url;
    const char *unix_path; /* overrides host and port for connecting */
    struct io_tls *tls;    /* for https */
    const char *key;       /* everything that makes connections exchangeable, as text */
    uint64_t connect_ms;
    uint64_t idle_ms; /* longest time a pooled connection is kept unused */
    size_t idle_max;  /* pooled connections kept */
    bool (*allow)(void *arg, const struct sockaddr *addr);
    void *allow_arg;
};

struct http_call_spec {
    const struct http_upstream *upstream; /* must live until the call's end */
    enum http_method method;
    const char *path; /* joined to the upstream's base path without doubling; see http_url_join */
    const struct http_header
        *headers; /* besides Host, Content-Length, Connection, Accept-Encoding */
    size_t n_headers;
    const char *content_type; /* NULL = no body */
    strv body;                /* path, headers and body must live until on_head or on_end */
    /* NULL, or: there is a connection to this address ("203.0.113.9:443", "[2001:db8::1]:443"), and nothing of this call
     * is on it before http_call_go(). */
    void (*on_ready)(void *arg, const char *address);
};

struct http_client;
struct http_call;
struct http_client *http_client_new(struct io_loop *loop, size_t head_bytes_max);
/* Cancels what runs, closes the pools. */
void http_client_free(struct http_client *c);
/* NULL if memory is refused: then no callback comes. No callback comes from inside this call. */
struct http_call *http_call(struct http_client *c, const struct http_call_spec *spec,
                            const struct http_call_ops *ops, void *arg);
/* What was held at on_ready is written now. Not from inside on_ready. */
void http_call_go(struct http_call *call);
/* Ends it now: the connection is closed, no callback comes. NULL is fine. */
void http_call_cancel(struct http_call *call);
/* The brake of back-pressure: no on_body comes while it is on, and no on_end but HTTP_NO_MEMORY. Letting
 * go tells what was held back at the end of the turn, never from inside this call. */
void http_call_pause(struct http_call *call, bool paused);
/* Connections of all pools: in use and idle. */
void http_client_counts(const struct http_client *c, size_t *busy, size_t *idle);

#endif
