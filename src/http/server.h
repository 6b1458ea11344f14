/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - the callers' side.
 *
 *   accept -> head -> on_head -> body -> on_request -> http_reply_* -> keep-alive, next head
 *
 * A normal case: on_head looks at path and headers and lets the body come (or answers at once); on_request
 * gets the whole request; the handler replies whole or piece by piece, now or later. A bad case: a head
 * too large, a body too large, a malformed message, a slow sender are answered here, in the words that
 * `on_bad` chooses, and the connection closes.
 *
 * While a request is being served the connection is still watched: when the caller goes away, on_gone is
 * called once and the request must be forgotten (every http_reply_* after it is harmless and does
 * nothing). Bytes of a pipelined next request wait, bounded.
 *
 * Output: pieces given in one turn of the loop go out in one write at the end of the turn. The caller's
 * slowness shows in http_reply_pending(); on_drain tells when it is over.
 *
 * A connection that becomes something else (a WebSocket) leaves by http_reply_upgrade().
 *
 * Memory: an idle connection holds no buffers; a request has an arena that is freed at its end.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "io/io.h"

#define HTTP_HEADERS_MAX 100

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_OTHER
};
const char *http_method_name(enum http_method m);

struct http_header {
    strv name, value; /* name as sent; compare with strv_eq_nocase */
};

struct http_request {
    enum http_method method;
    strv target, path, query; /* path is as sent (percent-encoding kept), query without '?' */
    struct http_header *headers;
    size_t n_headers;
    bool loopback_peer;
    const char *peer;     /* text of the peer's address */
    const char *listener; /* address of the listener it came in by */
    strv body;            /* NUL-terminated behind its end; empty in on_head */
    size_t body_max;      /* on_head may lower or raise it; default from the options */
    struct arena arena;   /* for whoever serves the request; gone after the reply's end */
    int64_t received_us;  /* io_now_us() when the head was complete */
    void *user;           /* handler's */
    /* Set by the handler in on_request if it does not reply at once. */
    void (*on_gone)(struct http_request *req);
    void (*on_drain)(struct http_request *req);
    /* Called once when the request and its arena go, however it ended; may be set from on_head on. */
    void (*on_over)(struct http_request *req);
};

/* First header of that name, or STRV_NONE. */
strv http_request_header(const struct http_request *req, const char *name);
/* How many headers of that name (Host must be there exactly once). */
size_t http_request_header_count(const struct http_request *req, const char *name);
/* Frees the body's memory early: long streams do not keep their prompts. */
void http_request_drop_body(struct http_request *req);

enum http_bad {
    HTTP_BAD_MESSAGE,
    HTTP_BAD_HEAD_TOO_LARGE,
    HTTP_BAD_BODY_TOO_LARGE,
    HTTP_BAD_TIMEOUT,
    HTTP_BAD_BUSY
};

struct http_server_opts {
    size_t head_bytes_max; /* request line and headers together */
    size_t body_bytes_max;
    uint64_t head_ms;  /* first byte to complete head */
    uint64_t body_ms;  /* longest pause while the body arrives */
    uint64_t idle_ms;  /* keep-alive without a request */
    uint64_t write_ms; /* longest time without progress of a caller that does not read; then the
                                  connection is aborted and on_gone called */
    size_t connections_max;   /* per server object; more are answered HTTP_BAD_BUSY and closed */
    size_t reply_pending_max; /* hard limit of unsent reply bytes of one connection */
};

struct http_handlers {
    /* After the head. True: go on with the body. False: a reply has been ended. */
    bool (*on_head)(void *arg, struct http_request *req);
    void (*on_request)(void *arg, struct http_request *req);
    /* Words for an error this layer found. req may be incomplete (path may be empty); use http_reply_*;
     * the connection closes after the reply. */
    void (*on_bad)(void *arg, struct http_request *req, enum http_bad why);
    /* Connections opened (+1) and closed (-1), for metrics; may be NULL. */
    void (*on_connections)(void *arg, int change);
    void *arg;
};

struct http_server;
struct http_server *http_server_new(struct io_loop *loop, const struct http_server_opts *opts,
                                    const struct http_handlers *handlers, struct err *err);
/* One more address. Several listeners share limits and handlers. *bound (may be NULL) gets the address
 * really bound; valid as long as the server. */
bool http_server_listen(struct http_server *s, strv address, bool shared, const char **bound,
                        struct err *err);
/* The same on a socket that listens already (io_listen_on()); `fd` is the server's from here on. */
bool http_server_listen_on(struct http_server *s, strv address, int fd, const char **bound,
                           struct err *err);
/* What callers of the addresses that begin with "tls:" are shown from now on (io_listener_set_tls()). */
void http_server_set_tls(struct http_server *s, struct io_tls *tls);
/* A second descriptor, the caller's, of the socket that was listened on last; -1 = there is none. */
int http_server_last_fd(const struct http_server *s);
void http_server_set_opts(struct http_server *s, const struct http_server_opts *opts);
/* From now on every reply is the last of its connection and says so ("Connection: close"). */
void http_server_leave(struct http_server *s);
/* The same, and nothing more is accepted. Idle connections have `grace_ms` for one more request, since one may be on its
 * way (0: they are closed now); done(arg) is called when the last connection is gone. */
void http_server_drain(struct http_server *s, uint64_t grace_ms, void (*done)(void *arg),
                       void *arg);
/* Closes everything now; open requests get on_gone. */
void http_server_free(struct http_server *s);

/* ---- replies ---- */

#define HTTP_LENGTH_STREAM (-1) /* chunked for HTTP/1.1, until close for 1.0 */

/* Header for the reply to come; before http_reply_begin. Values with CR, LF or NUL are refused (assert). */
void http_reply_header(struct http_request *req, const char *name, strv value);
/* Status line and headers. content_type may be NULL for none. For HEAD no body is sent whatever follows. */
void http_reply_begin(struct http_request *req, int status, const char *content_type,
                      int64_t length);
void http_reply_body(struct http_request *req, const void *data, size_t n);
/* Finished as announced. The request and its arena are gone at the end of the turn. */
void http_reply_end(struct http_request *req);
/* The reply must not look finished: what was given goes out, then the connection ends without the last chunk
 * or the rest of the length; where the connection's end would look like the reply's, it is reset. */
void http_reply_abort(struct http_request *req);
/* begin + body + end with Content-Length. */
void http_reply_whole(struct http_request *req, int status, const char *content_type, strv body);
/* The connection stops being HTTP: "101 Switching Protocols" with `protocol` (lower case, as in Upgrade) and the headers
 * given so far goes out, and at the end of the turn taken(req, stream, early) is called once: the stream is the callee's
 * (bind it in the call), `early` is what came behind the request, valid in the call, as are the request and its arena. If
 * the connection ends before that, on_gone comes in its place. Only in on_request, before any other word of a reply. */
void http_reply_upgrade(struct http_request *req, const char *protocol,
                        void (*taken)(struct http_request *req, struct io_stream *s, strv early));
/* Bytes of earlier turns that the caller has not taken; when there are any, on_drain comes. */
size_t http_reply_pending(const struct http_request *req);
bool http_reply_begun(const struct http_request *req);
const char *http_status_text(int status);
bool http_ends_line(strv v); /* holds what would end a header's line: CR, LF or NUL */

#endif
