/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream - one connected byte stream, whatever carries it: TCP, a UNIX socket, TLS over TCP.
 *
 *   io_connect() --ok--> stream --io_stream_close()--> gone at the end of the turn
 *   io_listen()  --accept--^
 *
 * Reading: after io_stream_bind() and io_stream_read(s, true) data comes in on_data, in one shared
 * buffer per loop, so an idle stream costs no buffer. io_stream_read(s, false) is the brake; nothing
 * comes while it is on, except that an error may still be told.
 *
 * Writing: io_stream_write() sends what the kernel takes at once and keeps the rest; on_drain is called
 * when all kept bytes are out after some were kept. The writer looks at io_stream_pending() and stops
 * feeding when it is high: the stream takes what it is given and has no limit of its own but `max`.
 *
 * TCP streams have TCP_NODELAY set (without it small writes wait 40 ms for the peer's delayed ACK).
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/base.h"

struct io_loop;
struct io_stream;
struct sockaddr;

/* Why a connection could not be made or ended. */
enum io_end {
    IO_EOF,         /* the peer finished cleanly (for TLS: with close_notify) */
    IO_RESET,       /* reset, broken pipe, or any other socket error */
    IO_TRUNCATED,   /* TLS only: the connection ended without close_notify */
    IO_REFUSED,     /* nobody listens */
    IO_UNREACHABLE, /* no route, no such UNIX socket */
    IO_TIMEOUT,     /* connect_ms passed */
    IO_DNS,         /* name not found */
    IO_TLS,         /* handshake or certificate */
    IO_NOT_ALLOWED, /* every resolved address was turned down by `allow` */
    IO_NO_MEMORY,   /* memory or descriptors */
    IO_ENDS
};
const char *io_end_name(enum io_end end); /* "refused", "dns", ...: constants, fit for logs */

struct io_stream_ops {
    /* data is valid during the call. Closing the stream inside is fine. */
    void (*on_data)(void *arg, const char *data, size_t len);
    /* The peer is gone, or has half-closed. Called once; nothing comes after it. Writing may still be
     * possible after IO_EOF. The owner must still close. */
    void (*on_end)(void *arg, enum io_end end);
    /* All kept output is out. May be NULL. */
    void (*on_drain)(void *arg);
};

void io_stream_bind(struct io_stream *s, const struct io_stream_ops *ops, void *arg);
void io_stream_read(struct io_stream *s, bool on);
/* Takes all of it or nothing; bytes are copied if they cannot be sent at once. False: memory refused,
 * more than `max` pending (default 64 MiB), or the stream is dead (on_end tells or has told why). */
bool io_stream_write(struct io_stream *s, const struct iovec *v, int n);
size_t io_stream_pending(const struct io_stream *s);
void io_stream_set_max(struct io_stream *s, size_t pending_bytes_max);
/* No callback after this; pending output is dropped. NULL is fine. */
void io_stream_close(struct io_stream *s);
/* No callback after this; pending output is sent first, within linger_ms. */
void io_stream_finish(struct io_stream *s, uint64_t linger_ms);
/* Closes so that the peer sees a reset, never a clean end. */
void io_stream_abort(struct io_stream *s);
/* "127.0.0.1:54321", "unix". Valid as long as the stream. */
const char *io_stream_peer(const struct io_stream *s);
/* Whether the peer's address is loopback or a UNIX socket. */
bool io_stream_is_loopback(const struct io_stream *s);

/* ---- connecting ---- */

struct io_tls; /* a client's TLS settings; counted */
struct io_tls_opts {
    const char *ca_file;   /* PEM; NULL = the system's store */
    const char *cert_file; /* client certificate, PEM; NULL = none */
    const char *key_file;
};
/* TLS 1.2 or newer, certificate and host name verified, no session tickets kept. */
struct io_tls *io_tls_new(const struct io_tls_opts *opts, struct err *err);
struct io_tls_serve_opts {
    const char *cert_file; /* PEM: ours, then those between it and the authority */
    const char *key_file;
    const char *
        client_ca_file; /* who signs clients' certificates, and all must show one; NULL = none is asked for */
};
/* The side that is called: TLS 1.2 or newer. */
struct io_tls *io_tls_serve(const struct io_tls_serve_opts *opts, struct err *err);
/* When our certificate is over, microseconds since 1970; 0 = we show none. */
int64_t io_tls_expires_us(const struct io_tls *tls);
struct io_tls *io_tls_ref(struct io_tls *tls);
void io_tls_unref(struct io_tls *tls);

struct io_target {
    const char *host; /* name or literal address; NULL for a UNIX socket */
    uint16_t port;
    const char *unix_path; /* NULL for TCP */
    struct io_tls *tls;    /* NULL = plain */
    uint64_t connect_ms;   /* name look-up, connect and handshake together; > 0 */
    /* Asked for every resolved address before anything is sent to it; NULL allows all. This is where
     * the promise about local providers is kept. */
    bool (*allow)(void *arg, const struct sockaddr *addr);
    void *allow_arg;
};

struct io_connect;
/* Exactly one call, never from inside io_connect(): a stream that is the callee's (bind it in the call),
 * or NULL with the reason. All that `target` points to must live until then. */
typedef void (*io_connect_fn)(void *arg, struct io_stream *s, enum io_end why);
/* NULL if memory is refused; then there is no call. */
struct io_connect *io_connect(struct io_loop *loop, const struct io_target *target,
                              io_connect_fn fn, void *arg);
void io_connect_cancel(struct io_connect *c); /* no call after this */

/* ---- listening ---- */

struct io_listener;
typedef void (*io_accept_fn)(void *arg, struct io_stream *s); /* the stream is the callee's */
/* address: "127.0.0.1:8484", "[::1]:8484", "0.0.0.0:80", "localhost:0", "tls:0.0.0.0:443", "unix:/run/x.sock" (made
 * with mode 0600, a stale one removed). shared: SO_REUSEPORT, so that every worker has its own listener. */
struct io_listener *io_listen(struct io_loop *loop, strv address, bool shared, io_accept_fn fn,
                              void *arg, struct err *err);
/* The same on a socket that listens already and that another process has handed over; `fd` is the listener's from here
 * on, also when it fails. `address` is what it was made for. */
struct io_listener *io_listen_on(struct io_loop *loop, strv address, int fd, io_accept_fn fn,
                                 void *arg, struct err *err);
/* Is it a socket that listens on this address? */
bool io_listens_on(int fd, strv address);
/* What callers of an address that begins with "tls:" are shown; counted; connections keep the one they began with. As
 * long as there is none they are turned away. For other addresses nothing changes. */
void io_listener_set_tls(struct io_listener *l, struct io_tls *tls);
/* A second descriptor of the socket, or -1. */
int io_listener_fd(const struct io_listener *l);
/* Another process serves the UNIX sockets' files from now on: they stay when the listeners go. */
void io_listeners_given(void);
/* The bound address as text; tells the port chosen for port 0. */
const char *io_listener_address(const struct io_listener *l);
void io_listener_pause(struct io_listener *l, bool paused); /* leave connections in the backlog */
void io_listener_close(struct io_listener *l);
/* Accepts who is waiting already, then closes: a backlog goes with a reset otherwise. */
void io_listener_finish(struct io_listener *l);
/* True for loopback addresses and UNIX sockets; false with err when it does not parse. */
bool io_address_is_loopback(strv address, bool *loopback, struct err *err);
/* True if addr lies in the network "10.0.0.0/24" or "fd00::/8". */
bool io_sockaddr_in(const struct sockaddr *addr, strv network, bool *inside);
bool io_sockaddr_is_loopback(const struct sockaddr *addr);

#endif
