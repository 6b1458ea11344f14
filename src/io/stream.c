/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream - one connected socket: reading through the loop's one buffer, writing at once what the kernel
 * takes, and the three ways of ending it.
 *
 *   socket --recv--> loop->in --(tls.c)--> on_data          nothing is kept for the reader
 *   user --write--(tls.c)--> sendmsg --rest--> kept --POLLOUT--> send
 *
 * How the wire's end is told: data that came before a reset is delivered first, because an answer can
 * be complete although the connection broke after it. A send that fails is told at the end of the turn,
 * again after what can still be read. With the brake on, a reset waits for the reader as long as there
 * is something to read.
 *
 * After a callback everything may have changed: `closing` is looked at before anything else. The
 * memory lives until libuv has let go of the handle, so looking is always safe.
 */
#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/internal.h"

/* Full buffers taken from one socket in one turn; then the others get their chance. */
#define READ_ROUNDS 4
/* Ours, not the peer's: what a user may leave unsent before writes are refused. */
#define PENDING_MAX_DEFAULT ((size_t)64 * 1024 * 1024)
/* The kernel refuses more pieces in one call (UIO_MAXIOV). */
#define PIECES_MAX 1024

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_closed(uv_handle_t *handle);
static void run_later(struct io_task *task);
static void pull(struct io_stream *s, int rounds);
static void broken(struct io_stream *s);
static void flush(struct io_stream *s);
static void drained(struct io_stream *s);
static void destroy(struct io_stream *s);
static void linger_begin(struct io_stream *s, uint64_t linger_ms);
static void on_linger_timeout(void *arg);

struct io_stream *io_stream_new(struct io_loop *loop, int fd, const struct sockaddr *peer)
{
    struct io_stream *s = mem_zalloc(sizeof *s);

    if (s == NULL || uv_poll_init(&loop->uv, &s->poll, fd) != 0) {
        mem_free(s);
        close(fd);
        return NULL;
    }
    s->loop = loop;
    s->fd = fd;
    s->pending_max = PENDING_MAX_DEFAULT;
    buf_init(&s->kept,
             SIZE_MAX); /* the maximum is asked for before: TLS adds to what it is given */
    s->later.run = run_later;
    s->loopback = io_sockaddr_is_loopback(peer);
    io_addr_text(peer, s->peer);
    return s;
}

void io_stream_bind(struct io_stream *s, const struct io_stream_ops *ops, void *arg)
{
    s->ops = ops;
    s->arg = arg;
}

void io_stream_read(struct io_stream *s, bool on)
{
    if (s->reading == on || s->closing)
        return;
    assert(!on || s->ops != NULL || s->connect != NULL);
    s->reading = on;
    if (!on || s->ended)
        return; /* the poll handle stays as it is, see internal.h */
    if (s->write_dead || (s->tls != NULL && io_tls_has_input(s)))
        io_defer(s->loop, &s->later);
    io_stream_arm(s);
}

bool io_stream_write(struct io_stream *s, const struct iovec *v, int n)
{
    size_t total = 0;

    if (s->closing || s->write_dead)
        return false;
    for (int i = 0; i < n; i++)
        total += v[i].iov_len;
    if (total == 0)
        return true;
    if (total > s->pending_max || buf_len(&s->kept) > s->pending_max - total)
        return false;
    return s->tls != NULL ? io_tls_write(s, v, n) : io_stream_send(s, v, n, total);
}

size_t io_stream_pending(const struct io_stream *s)
{
    return buf_len(&s->kept);
}

void io_stream_set_max(struct io_stream *s, size_t pending_bytes_max)
{
    s->pending_max = pending_bytes_max;
}

void io_stream_close(struct io_stream *s)
{
    if (s == NULL || s->closing)
        return;
    if (s->tls != NULL && !s->write_dead && buf_len(&s->kept) == 0)
        io_tls_goodbye(s);
    destroy(s);
}

void io_stream_abort(struct io_stream *s)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (s == NULL || s->closing)
        return;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    destroy(s);
}

void io_stream_finish(struct io_stream *s, uint64_t linger_ms)
{
    if (s == NULL || s->closing)
        return;
    if (s->tls != NULL && !s->write_dead)
        io_tls_goodbye(s);
    if (s->write_dead || linger_ms == 0 || (s->ended && buf_len(&s->kept) == 0))
        destroy(s);
    else
        linger_begin(s, linger_ms);
}

const char *io_stream_peer(const struct io_stream *s)
{
    return s->peer;
}

bool io_stream_is_loopback(const struct io_stream *s)
{
    return s->loopback;
}

enum io_end io_end_of_errno(int errnum)
{
    switch (errnum) {
    case ECONNREFUSED:
    case EAGAIN: /* a UNIX socket whose backlog is full */
        return IO_REFUSED;
    case ENOENT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EACCES:
    case EPERM:
        return IO_UNREACHABLE;
    case ETIMEDOUT:
        return IO_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return IO_NO_MEMORY;
    default:
        return IO_RESET;
    }
}

/* ---- for the folder ---- */

void io_stream_arm(struct io_stream *s)
{
    unsigned want = 0;

    if (s->closing)
        return;
    if (s->reading && !s->ended)
        want |= UV_READABLE;
    if ((buf_len(&s->kept) > 0 || s->connecting) && !s->write_dead)
        want |= UV_WRITABLE;
    if (want == s->armed)
        return;
    if (want == 0)
        uv_poll_stop(&s->poll);
    else
        uv_poll_start(&s->poll, (int)want, on_poll); /* fails only for a closing handle */
    s->armed = (uint8_t)want;
}

bool io_stream_send(struct io_stream *s, const struct iovec *v, int n, size_t total)
{
    size_t sent = 0;

    if (buf_len(&s->kept) == 0) {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)v,
                             .msg_iovlen = (size_t)(n < PIECES_MAX ? n : PIECES_MAX)};
        ssize_t rc;

        do {
            rc = n == 1 ? send(s->fd, v->iov_base, v->iov_len, MSG_NOSIGNAL)
                        : sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        } while (rc < 0 && errno == EINTR);
        if (rc < 0 && errno != EAGAIN) {
            io_stream_write_failed(s, IO_RESET);
            return false;
        }
        sent = rc > 0 ? (size_t)rc : 0;
        if (sent == total)
            return true;
    }
    for (int i = 0; i < n; i++) {
        size_t skip = sent < v[i].iov_len ? sent : v[i].iov_len;

        sent -= skip;
        buf_put(&s->kept, (const char *)v[i].iov_base + skip, v[i].iov_len - skip);
    }
    if (s->kept.failed) { /* part of it may be out: what follows would make no sense to the peer */
        io_stream_write_failed(s, IO_NO_MEMORY);
        return false;
    }
    io_stream_arm(s);
    return true;
}

void io_stream_write_failed(struct io_stream *s, enum io_end why)
{
    if (s->write_dead)
        return;
    s->write_dead = true;
    s->why = (uint8_t)why;
    buf_fini(&s->kept);
    io_defer(s->loop, &s->later);
}

void io_stream_end(struct io_stream *s, enum io_end why)
{
    if (s->ended || s->closing)
        return;
    s->ended = true;
    if (why != IO_EOF) {
        s->write_dead = true;
        buf_fini(&s->kept);
    }
    if (s->linger != NULL && (why != IO_EOF || buf_len(&s->kept) == 0)) {
        destroy(s);
        return;
    }
    io_stream_arm(s);
    if (s->connect != NULL)
        io_connect_failed(s->connect, why);
    else if (s->ops != NULL)
        s->ops->on_end(s->arg, why);
}

/* ---- from libuv ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct io_stream *s = list_entry(handle, struct io_stream, poll);

    if (status < 0)
        s->armed = 0; /* libuv stops the handle when the kernel says POLLERR */
    if (s->connecting) {
        io_connect_writable(s->connect);
        return;
    }
    if (status < 0) {
        broken(s);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        flush(s);
        if (s->closing)
            return;
    }
    if ((events & UV_READABLE) != 0) {
        if (s->reading)
            pull(s, READ_ROUNDS);
        else
            io_stream_arm(s); /* the brake is on; now the kernel gets to know */
    }
}

/* Reads and hands on until the socket is empty, the user has enough, or it was our share. */
static void pull(struct io_stream *s, int rounds)
{
    char *in = s->loop->in;

    while (rounds-- > 0 && s->reading && !s->ended && !s->closing) {
        ssize_t n = recv(s->fd, in, IO_READ_BYTES, 0);

        if (n > 0) {
            if (s->linger != NULL)
                continue; /* nobody listens any more */
            if (s->tls != NULL)
                io_tls_feed(s, in, (size_t)n);
            else
                s->ops->on_data(s->arg, in, (size_t)n);
            if (n < IO_READ_BYTES)
                return;
        } else if (n == 0) {
            if (s->tls != NULL && s->linger == NULL)
                io_tls_eof(s);
            else /* after a failed send, a clean end is none: something of ours was lost */
                io_stream_end(s, s->write_dead ? IO_RESET : IO_EOF);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            io_stream_end(s, IO_RESET);
        }
    }
}

/* The connection is beyond repair, but what came before may still lie in the socket. */
static void broken(struct io_stream *s)
{
    int unread = 0;

    if (!s->write_dead) {
        s->write_dead = true;
        s->why = IO_RESET;
        buf_fini(&s->kept);
    }
    if (s->ended && s->linger != NULL)
        destroy(s);
    if (s->reading)
        pull(s, READ_ROUNDS);
    if (s->ended || s->closing)
        return;
    if (ioctl(s->fd, FIONREAD, &unread) == 0 && unread > 0 && s->reading)
        io_defer(s->loop, &s->later); /* more than our share of this turn */
    else if (unread > 0 || (!s->reading && s->tls != NULL && io_tls_has_input(s)))
        return; /* told when the brake is off again */
    else
        io_stream_end(s, (enum io_end)s->why);
}

static void flush(struct io_stream *s)
{
    strv rest = buf_view(&s->kept);
    ssize_t n;

    if (rest.len == 0) {
        io_stream_arm(s);
        return;
    }
    do {
        n = send(s->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            io_stream_write_failed(s, IO_RESET);
        return;
    }
    buf_eat(&s->kept, (size_t)n);
    if (buf_len(&s->kept) > 0)
        return;
    buf_fini(&s->kept); /* memory only while somebody is slow */
    io_stream_arm(s);
    drained(s);
}

static void drained(struct io_stream *s)
{
    if (s->linger != NULL) {
        if (s->ended)
            destroy(s);
        else
            shutdown(s->fd, SHUT_WR);
    } else if (s->ops != NULL && s->ops->on_drain != NULL) {
        s->ops->on_drain(s->arg);
    }
}

static void run_later(struct io_task *task)
{
    struct io_stream *s = list_entry(task, struct io_stream, later);

    if (s->closing) {
        if (s->uv_closed)
            on_closed((uv_handle_t *)&s->poll);
        return;
    }
    if (s->tls != NULL && s->reading && !s->ended && io_tls_has_input(s))
        io_tls_feed(s, NULL, 0);
    if (s->write_dead && !s->closing && !s->ended)
        broken(s);
}

/* ---- the end ---- */

static void destroy(struct io_stream *s)
{
    s->closing = true;
    s->ops = NULL;
    s->connect = NULL;
    buf_fini(&s->kept);
    if (s->linger != NULL) {
        io_timer_stop(s->loop, &s->linger->timer);
        list_del(&s->linger->node);
        mem_free(s->linger);
        s->linger = NULL;
    }
    uv_close((uv_handle_t *)&s->poll,
             on_closed); /* takes fd out of the poll set: before close(2) */
    close(s->fd);
    s->fd = -1;
}

static void on_closed(uv_handle_t *handle)
{
    struct io_stream *s = list_entry(handle, struct io_stream, poll);

    s->uv_closed = true;
    if (s->later.queued)
        return; /* run_later() frees it */
    io_tls_conn_free(s->tls);
    mem_free(s);
}

/* Closing a socket with unread input makes the kernel send a reset, and a reset makes the peer's kernel
 * throw away what the peer has not read yet: the end of our answer. So: send all, say that no more will
 * come, and read on until the peer closes too (nginx calls this lingering_close). */
static void linger_begin(struct io_stream *s, uint64_t linger_ms)
{
    struct io_linger *l = mem_zalloc(sizeof *l);

    s->ops = NULL;
    if (l == NULL) {
        destroy(s);
        return;
    }
    l->stream = s;
    s->linger = l;
    list_add_tail(&s->loop->lingers, &l->node);
    io_timer_start(s->loop, &l->timer, linger_ms, on_linger_timeout, s);
    if (buf_len(&s->kept) == 0)
        shutdown(s->fd, SHUT_WR);
    s->reading = true;
    io_stream_arm(s);
}

static void on_linger_timeout(void *arg)
{
    destroy(arg);
}
