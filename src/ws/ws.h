/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - a WebSocket (RFC 6455): a caller's, on a connection that http/ has given up; and our own commands' to the router.
 *
 *   ws_refusal() > ws_upgrade() > taken > ws_new() --text--> ws_close() or the peer's close > on_closed
 *   ws_dial() > dialed --text--> the same
 *
 * Frames, masks, UTF-8 and the closing handshake are libwslay's. Here: the handshake's headers, limits, time, and the
 * order on the wire. No extensions, so nothing is compressed: a secret beside a caller's own text cannot be told by its
 * length. Text only; a binary message closes with 1003, one over the limit with 1009.
 *
 * A peer is heard of at least every ping_ms, because it must answer pings: who is silent for longer has gone without a
 * word. Where nobody says anything (pings apart) for idle_ms, it ends with 1001.
 */
#ifndef WS_WS_H
#define WS_WS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "http/http.h"
#include "io/io.h"

enum ws_code { /* RFC 6455, 7.4.1; 4000 and above are the application's */
               WS_NORMAL = 1000,
               WS_GOING_AWAY = 1001,
               WS_BAD_FRAME = 1002,
               WS_BAD_TYPE = 1003,
               WS_NO_CODE = 1005, /* told to on_closed only: the peer gave none */
               WS_CUT = 1006,     /* told to on_closed only: there was no close frame */
               WS_TOO_LARGE = 1009,
               WS_INTERNAL = 1011,
               WS_TRY_LATER = 1013
};

struct ws_opts {
    size_t message_bytes_max; /* of a caller's message */
    size_t pending_bytes_max; /* unsent to a caller who does not read */
    uint64_t ping_ms;
    uint64_t idle_ms;  /* 0 = never */
    uint64_t close_ms; /* for the peer's answer to our close */
};

struct ws_ops {
    void (*on_text)(void *arg, strv text); /* a whole message, valid UTF-8; lives during the call */
    void (*on_drain)(
        void *arg); /* everything is sent after ws_pending() was above 0; may be NULL */
    /* Once, never from inside a function of ours; the socket must not be used after it. */
    void (*on_closed)(void *arg, unsigned code);
};

/* NULL if the request is a proper opening handshake (RFC 6455, 4.2.1), else what is wrong in words for the caller, and
 * the status to answer with: 400, or 426 with the header of the versions. */
const char *ws_refusal(struct http_request *req, int *status);
/* Answers a proper handshake; taken() as in http_reply_upgrade(). */
void ws_upgrade(struct http_request *req,
                void (*taken)(struct http_request *req, struct io_stream *s, strv early));

struct ws;
/* Takes the stream, also when it returns NULL (no memory): then the connection is reset. What `early` holds is told in
 * the next turn at the soonest. */
struct ws *ws_new(struct io_loop *loop, struct io_stream *s, strv early, const struct ws_opts *opts,
                  const struct ws_ops *ops, void *arg);

struct ws_call {
    const struct http_upstream *upstream; /* must live until `dialed` */
    const char *path;
    const struct http_header *headers; /* besides those of the handshake */
    size_t n_headers;
};
/* Once, never from inside ws_dial(): the socket, or NULL with the status of an answer that is no upgrade, or with status 0
 * and why there was none. */
typedef void (*ws_dialed_fn)(void *arg, struct ws *w, int status, enum io_end why);
struct ws_dial;
/* NULL: no memory, and no call. The answer must come within the upstream's connect_ms and close_ms. */
struct ws_dial *ws_dial(struct io_loop *loop, const struct ws_call *call,
                        const struct ws_opts *opts, const struct ws_ops *ops, void *arg,
                        ws_dialed_fn dialed);
void ws_dial_cancel(struct ws_dial *d); /* before `dialed`; NULL is fine */

/* False: too much is unsent, memory is refused, or it is closing. Nothing of the text went out then. Goes out at the
 * turn's end, together with what else was sent in it. */
bool ws_send(struct ws *w, strv text);
size_t ws_pending(const struct ws *w);
/* What was sent before goes out first. reason: at most 123 bytes of UTF-8. More than one close is harmless. */
void ws_close(struct ws *w, unsigned code, const char *reason);
/* At once, without a word and without on_closed. NULL is fine. */
void ws_free(struct ws *w);

#endif
