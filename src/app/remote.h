/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - the running router, as its own commands reach it: address, key, one call.
 *
 * These commands are callers like any other: what they may do the router decides by their key. They speak to nobody
 * else.
 */
#ifndef APP_REMOTE_H
#define APP_REMOTE_H

#include "app/command.h"

struct remote {
    const char *address; /* of the router, as text */
    struct arena arena;  /* address, headers; for whoever uses it, too */
    struct http_upstream upstream;
    struct http_header headers[8];
    size_t n_headers;
    struct io_loop *loop;
    struct http_client *client;
    struct http_call *call;
};

/* Address from --url, $LLM_ROUTER_URL or the configuration; key from $LLM_ROUTER_KEY. Not EXIT_OK: it was told why.
 * remote_close() is due in any case. */
int remote_open(struct remote *r, struct cli *cli);
void remote_close(struct remote *r);
void remote_header(struct remote *r, const char *name,
                   strv value); /* a few more; views must live */
/* One call with the headers; its handle is r->call, which on_end must set to NULL. content_type NULL: no body. False: no
 * memory. */
bool remote_send(struct remote *r, enum http_method method, const char *path,
                 const char *content_type, strv body, const struct http_call_ops *ops, void *arg);
/* The same with headers of the call's own besides the key's, for several calls at a time; r->call is not touched. What
 * is given must live until the call's head or end. NULL: no memory. */
struct http_call *remote_begin(struct remote *r, enum http_method method, const char *path,
                               const struct http_header *headers, size_t n_headers, strv body,
                               const struct http_call_ops *ops, void *arg);
/* Says why there was no connection. */
void remote_unreachable(const struct remote *r, enum io_end why);
/* Says with which words (may be empty) and status the router refused. */
void remote_refused(const struct remote *r, int status, strv detail, const char *retry_after);

/* The whole of it, waiting: JSON there and back. EXIT_OK: *status is 2xx and `reply` holds the answer; else it was told
 * why. Ctrl-C ends the program's waiting like anything else. */
int remote_ask(struct remote *r, enum http_method method, const char *path, strv body,
               struct buf *reply);

#endif
