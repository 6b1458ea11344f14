/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect - from a name to a stream that can be used.
 *
 *   io_connect -> (name look-up) -> allow? -> address 1 -> address 2 .. -> (TLS handshake) -> fn
 *                       |                        '-- each gets its share of the time left
 *                       '-- literals, localhost and UNIX sockets need none
 *
 * The deadline is one for everything. An address that does not answer may use up only its share, so that
 * a dead first address does not hide a living second one. The failure that is reported is the last one.
 *
 * The look-up runs in libuv's thread pool and cannot be stopped; a cancelled or late one is waited for
 * by the loop, not by the user.
 */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/internal.h"

#define ADDRESSES_MAX                                                                              \
    8 /* as many of a name's addresses are tried; more would share too little time */

struct io_connect {
    struct io_loop *loop;
    struct io_target target;
    io_connect_fn fn;
    void *arg;
    uv_getaddrinfo_t lookup;
    struct io_task task; /* tells a failure that was known inside io_connect() */
    struct io_timer timer;
    int64_t deadline_us;
    struct io_stream *stream;
    enum io_end why;
    bool looking_up;
    bool told; /* fn was called, or must not be; only the look-up or the task is waited for */
    unsigned at, count;
    struct io_addr addrs[ADDRESSES_MAX];
};

static bool begin(struct io_connect *c);
static bool look_up(struct io_connect *c);
static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list);
static void add_address(struct io_connect *c, const struct io_addr *addr);
static bool try_next(struct io_connect *c);
static bool try_address(struct io_connect *c, const struct io_addr *addr);
static void next_or_fail(struct io_connect *c);
static void set_timer(struct io_connect *c, unsigned shares);
static void on_timer(void *arg);
static void run_task(struct io_task *task);
static void conclude(struct io_connect *c, struct io_stream *s, enum io_end why);
static void release(struct io_connect *c);

struct io_connect *io_connect(struct io_loop *loop, const struct io_target *target,
                              io_connect_fn fn, void *arg)
{
    struct io_connect *c = mem_zalloc(sizeof *c);

    if (c == NULL)
        return NULL;
    assert(target->connect_ms > 0);
    assert(target->host != NULL || target->unix_path != NULL);
    c->loop = loop;
    c->target = *target;
    c->fn = fn;
    c->arg = arg;
    c->task.run = run_task;
    c->deadline_us = io_now_us(loop) + (int64_t)target->connect_ms * 1000;
    if (!begin(c))
        io_defer(loop, &c->task);
    return c;
}

void io_connect_cancel(struct io_connect *c)
{
    assert(!c->told);
    c->told = true;
    release(c);
}

/* False with c->why when it has failed already. */
static bool begin(struct io_connect *c)
{
    const struct io_target *t = &c->target;
    struct io_addr addr;

    if (t->unix_path != NULL) {
        c->why = IO_UNREACHABLE;
        if (!io_addr_unix(&addr, t->unix_path, NULL))
            return false;
        add_address(c, &addr);
    } else if (io_addr_literal(&addr, t->host, t->port)) {
        add_address(c, &addr);
    } else if (io_addr_is_localhost_name(t->host)) {
        /* IPv4 first: local model servers listen there, and many only there. */
        io_addr_loopback(&addr, AF_INET, t->port);
        add_address(c, &addr);
        io_addr_loopback(&addr, AF_INET6, t->port);
        add_address(c, &addr);
    } else {
        return look_up(c);
    }
    if (c->count == 0)
        c->why = IO_NOT_ALLOWED;
    return try_next(c);
}

static bool look_up(struct io_connect *c)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    sigset_t old;
    io_block_signals(&old);
    int rc = uv_getaddrinfo(&c->loop->uv, &c->lookup, on_lookup, c->target.host, NULL, &hints);
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        c->why = rc == UV_ENOMEM ? IO_NO_MEMORY : IO_DNS;
        return false;
    }
    c->looking_up = true;
    set_timer(c, 1);
    return true;
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct io_connect *c = list_entry(req, struct io_connect, lookup);

    c->looking_up = false;
    if (c->told) {
        uv_freeaddrinfo(list);
        release(c);
        return;
    }
    c->why = status == 0 ? IO_NOT_ALLOWED : status == UV_EAI_MEMORY ? IO_NO_MEMORY : IO_DNS;
    if (status == 0 && list == NULL)
        c->why = IO_DNS;
    for (const struct addrinfo *ai = status == 0 ? list : NULL; ai != NULL; ai = ai->ai_next) {
        struct io_addr addr = {.len = ai->ai_addrlen};

        if (ai->ai_family == AF_INET && ai->ai_addrlen == sizeof addr.u.in) {
            memcpy(&addr.u.in, ai->ai_addr, sizeof addr.u.in);
            addr.u.in.sin_port = htons(c->target.port);
            add_address(c, &addr);
        } else if (ai->ai_family == AF_INET6 && ai->ai_addrlen == sizeof addr.u.in6) {
            memcpy(&addr.u.in6, ai->ai_addr, sizeof addr.u.in6);
            addr.u.in6.sin6_port = htons(c->target.port);
            add_address(c, &addr);
        }
    }
    uv_freeaddrinfo(list);
    next_or_fail(c);
}

/* The one place where addresses come in, so nothing is ever sent to one that was not asked about. */
static void add_address(struct io_connect *c, const struct io_addr *addr)
{
    const struct io_target *t = &c->target;

    if (c->count == ADDRESSES_MAX)
        return;
    if (t->allow != NULL && !t->allow(t->allow_arg, &addr->u.sa))
        return;
    c->addrs[c->count++] = *addr;
}

static void next_or_fail(struct io_connect *c)
{
    if (!try_next(c))
        conclude(c, NULL, c->why);
}

/* Starts with the first of the remaining addresses that can be started with. */
static bool try_next(struct io_connect *c)
{
    while (c->at < c->count) {
        const struct io_addr *addr = &c->addrs[c->at++];

        if (try_address(c, addr)) {
            set_timer(c, c->count - c->at + 1);
            return true;
        }
    }
    return false;
}

static bool try_address(struct io_connect *c, const struct io_addr *addr)
{
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0) {
        c->why = io_end_of_errno(errno);
        return false;
    }
    if (addr->u.sa.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, &addr->u.sa, addr->len) != 0 && errno != EINPROGRESS && errno != EINTR) {
        c->why = io_end_of_errno(errno);
        close(fd);
        return false;
    }
    c->stream = io_stream_new(c->loop, fd, &addr->u.sa);
    if (c->stream == NULL) {
        c->why = IO_NO_MEMORY;
        return false;
    }
    c->stream->connect = c;
    c->stream->connecting = true;
    io_stream_arm(c->stream); /* writable = connected or failed, also when it is so already */
    return true;
}

void io_connect_writable(struct io_connect *c)
{
    struct io_stream *s = c->stream;
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        io_connect_failed(c, io_end_of_errno(error));
        return;
    }
    s->connecting = false;
    if (c->target.tls == NULL) {
        conclude(c, s, IO_EOF);
        return;
    }
    set_timer(c, 1);
    if (!io_tls_open(s, c->target.tls, c->target.host))
        conclude(c, NULL, IO_NO_MEMORY);
}

void io_connect_tls_ready(struct io_connect *c)
{
    conclude(c, c->stream, IO_EOF);
}

void io_connect_failed(struct io_connect *c, enum io_end why)
{
    bool handshake = !c->stream->connecting;

    c->why = why;
    io_stream_close(c->stream);
    c->stream = NULL;
    if (handshake) /* this address answered; another one would say the same */
        conclude(c, NULL, why);
    else
        next_or_fail(c);
}

static void set_timer(struct io_connect *c, unsigned shares)
{
    int64_t left_us = c->deadline_us - io_now_us(c->loop);
    int64_t ms = left_us > 0 ? left_us / 1000 / shares : 0;

    io_timer_start(c->loop, &c->timer, (uint64_t)ms, on_timer, c);
}

static void on_timer(void *arg)
{
    struct io_connect *c = arg;

    if (c->at == c->count || io_now_us(c->loop) >= c->deadline_us)
        conclude(c, NULL, IO_TIMEOUT);
    else
        io_connect_failed(c, IO_TIMEOUT);
}

static void run_task(struct io_task *task)
{
    struct io_connect *c = list_entry(task, struct io_connect, task);

    if (c->told)
        release(c);
    else
        conclude(c, NULL, c->why);
}

/* The one call. */
static void conclude(struct io_connect *c, struct io_stream *s, enum io_end why)
{
    io_connect_fn fn = c->fn;
    void *arg = c->arg;

    assert(!c->told);
    c->told = true;
    if (s != NULL) {
        s->connect = NULL;
        s->reading = false;
        c->stream = NULL;
        if (s->tls == NULL)
            io_stream_arm(s); /* no longer for writability, or the next turn comes at once */
    }
    release(c);
    fn(arg, s, why);
}

/* Frees what can go now; the look-up and the task come back here. */
static void release(struct io_connect *c)
{
    io_timer_stop(c->loop, &c->timer);
    if (c->stream != NULL) {
        c->stream->connect = NULL;
        io_stream_close(c->stream);
        c->stream = NULL;
    }
    if (c->looking_up)
        uv_cancel((uv_req_t *)&c->lookup); /* works while it still waits for a thread */
    if (!c->looking_up && !c->task.queued)
        mem_free(c);
}
