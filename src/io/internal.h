/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - what the files of this folder know of each other. Nobody else includes it.
 *
 * A stream is a non-blocking socket, a uv_poll_t and a buffer for output that the kernel would not take.
 * It stands on uv_poll_t and not on uv_tcp_t because then one struct serves TCP, UNIX sockets, TLS and
 * connecting; it is smaller (no write request per stream); partly sent output stays in one growing
 * buffer; and a send that fails cannot raise SIGPIPE.
 *
 * What it costs: changing what a uv_poll_t waits for takes two system calls. So that is done late: the
 * brake (io_stream_read(s, false)) only sets a flag, and the kernel is told when data comes although
 * the brake is on. A brake put on and taken off between two packets costs nothing.
 */
#ifndef IO_INTERNAL_H
#define IO_INTERNAL_H

#include <signal.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/base.h"
#include "io/addr.h"
#include "io/io.h"
#include "io/timer_heap.h"

/* One read takes at most this much; 64 KiB is what nginx and HAProxy users end up with for bulk, and
 * there is one such buffer per loop, not per stream. */
#define IO_READ_BYTES (64 * 1024)

struct io_post;

struct io_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* before the loop sleeps */
    uv_check_t check;     /* after it woke and called back */
    uv_async_t async;     /* io_post(), io_loop_stop() */
    uv_timer_t alarm;     /* the one uv timer, set for timers.root */
    int64_t alarm_us;     /* what it is set for; IO_TIMERS_NONE = not set */
    struct io_timers timers;
    struct io_task *tasks, **tasks_end;
    _Atomic(struct io_post *) posts; /* newest first */
    atomic_bool stop;
    struct list signals; /* struct io_signal */
    struct list lingers; /* struct io_linger: finished streams still flushing */
    char *plain; /* decrypted bytes on their way to on_data; made with the first TLS stream */
    char in[IO_READ_BYTES];
};

/* All of them, in this thread: around what makes another thread or process, which inherits that. */
void io_block_signals(sigset_t *old);

struct io_tls_conn;

struct io_linger {
    struct list node;
    struct io_stream *stream;
    struct io_timer timer;
};

struct io_stream {
    uv_poll_t poll;
    struct io_loop *loop;
    const struct io_stream_ops *ops;
    void *arg;
    struct buf kept; /* output the kernel did not take yet */
    size_t pending_max;
    struct io_tls_conn *tls;    /* NULL = plain */
    struct io_connect *connect; /* not yet given to its user */
    struct io_linger *linger;   /* io_stream_finish() was called */
    struct io_task later;       /* tells what must not be told inside a call of the user */
    int fd;
    uint8_t armed;       /* UV_READABLE | UV_WRITABLE as the poll handle has them */
    uint8_t why;         /* enum io_end of a failed send, told later */
    bool connecting : 1; /* connect(2) is under way */
    bool reading : 1;    /* the user wants data */
    bool ended : 1;      /* on_end was called, or may never be */
    bool write_dead : 1; /* nothing can be sent any more */
    bool closing : 1;    /* closed by the user: no callback */
    bool uv_closed : 1;  /* libuv is done with it, memory may go */
    bool loopback : 1;
    char peer[IO_ADDR_TEXT_MAX];
};
/* An idle connection is to cost about 1 KB with its HTTP state. */
_Static_assert(sizeof(struct io_stream) <= 448,
               "a stream grew; see the target for idle connections");

/* stream.c. The stream owns fd from then on; NULL: memory refused, and fd is closed. */
struct io_stream *io_stream_new(struct io_loop *loop, int fd, const struct sockaddr *peer);
/* Sends or keeps bytes as they go over the wire. */
bool io_stream_send(struct io_stream *s, const struct iovec *v, int n, size_t total);
/* Tells the stream's user, or whoever connects it, that nothing more will come. */
void io_stream_end(struct io_stream *s, enum io_end why);
/* Nothing can be sent any more; told at the end of the turn. */
void io_stream_write_failed(struct io_stream *s, enum io_end why);
/* Makes the poll handle wait for what the flags ask for. */
void io_stream_arm(struct io_stream *s);
enum io_end io_end_of_errno(int errnum);

/* connect.c, called by stream.c for streams with s->connect. */
void io_connect_writable(struct io_connect *c);
void io_connect_tls_ready(struct io_connect *c);
void io_connect_failed(struct io_connect *c, enum io_end why);

/* tls.c. A stream's TLS state, and the way of bytes through it. */
bool io_tls_open(struct io_stream *s, struct io_tls *tls, const char *host);
/* The side that is called. Nothing is read before the stream's user wants data. */
bool io_tls_accept(struct io_stream *s, struct io_tls *tls);
void io_tls_conn_free(struct io_tls_conn *t);
/* Bytes from the wire (len 0: go on with what is there already). */
void io_tls_feed(struct io_stream *s, const char *data, size_t len);
/* The wire ended cleanly as far as TCP is concerned. */
void io_tls_eof(struct io_stream *s);
bool io_tls_has_input(const struct io_stream *s);
bool io_tls_write(struct io_stream *s, const struct iovec *v, int n);
void io_tls_goodbye(struct io_stream *s);

#endif
