/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_io - see fake_io.h. A turn looks at everything once, in order of creation:
 *
 *   posts -> signals -> connects -> callers -> streams -> children -> tasks -> timers -> watchers -> dead
 *
 * and fake_run() makes turns until one of them did nothing. Objects that were closed stay in their list
 * until the end of the turn, so a callback may close anything while the list is being walked.
 */
#include "fake_io.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "io/addr.h"
#include "io/timer_heap.h"

#define TURNS_MAX      20000000 /* of one fake_run(): more is a program that goes in circles */
#define PENDING_MAX    ((size_t)64 * 1024 * 1024)
#define READ_BYTES_MAX ((size_t)64 * 1024) /* as the real loop's buffer */
#define FIRST_PORT     40000
#define START_US       INT64_C(1000000000)
#define START_WALL_US  INT64_C(1795370400000000) /* 2026-11-22T18:00:00Z */

/* Bytes of the test's side. */
struct bytes {
    char *data;
    size_t start, end, cap;
};

struct post {
    void (*fn)(void *arg);
    void *arg;
    struct post *next;
};

struct watch_signal {
    struct list node;
    int signum;
    unsigned raised;
    void (*fn)(void *arg, int signum);
    void *arg;
};

struct rule {
    struct list node;
    char *host;
    uint16_t port;
    struct fake_rule r;
};

struct name {
    struct list node;
    char *name, *literal;
};

struct io_loop {
    int64_t now_us, wall_offset_us;
    struct io_timers timers;
    struct io_task *tasks, **tasks_end;
    pthread_mutex_t lock; /* posts and stop */
    pthread_cond_t posted;
    struct post *posts, **posts_end;
    bool stop;
    struct list signals, rules, names, listeners, connects, streams, peers, children;
    size_t cut, connect_count;
    unsigned next_port;
    void (*on_child)(void *arg, struct io_child *c);
    void *on_child_arg;
    char *refuse_child;
    pid_t next_pid;
};

struct io_tls {
    unsigned refs;
};

struct io_stream {
    struct list node;
    struct io_loop *loop;
    const struct io_stream_ops *ops;
    void *arg;
    struct buf kept;
    size_t pending_max;
    struct fake_peer *peer;
    struct io_timer linger;
    enum io_end why;
    bool reading, ended, write_dead, closing, lingering;
    bool loopback;
    char name[IO_ADDR_TEXT_MAX];
};

struct fake_peer {
    struct list node;
    struct io_loop *loop;
    struct io_stream *stream; /* NULL: gone */
    struct bytes out, in;     /* to the program, from the program */
    size_t window, cut, lost;
    bool random;
    struct rng rng;
    bool eof, truncated, reset, news, released;
    enum fake_state state;
    struct io_tls *tls;
    char *target;
    struct io_listener *waiting_for; /* a caller that is not accepted yet */
    struct io_addr from;
    void (*watch)(void *arg, struct fake_peer *p);
    void *watch_arg;
};

struct io_connect {
    struct list node;
    struct io_loop *loop;
    struct io_target target;
    io_connect_fn fn;
    void *arg;
    struct io_timer timer;
    bool decided, ready, done;
    char name[64]; /* the target's strings may be gone when we complain */
    enum fake_answer answer;
    struct fake_rule rule;
    struct io_addr addr;
};

struct io_listener {
    struct list node;
    struct io_loop *loop;
    io_accept_fn fn;
    void *arg;
    bool paused, closing, shared;
    char address[128];
};

struct io_child {
    struct list node;
    struct io_loop *loop;
    struct io_child_opts opts;
    struct io_timer kill_timer;
    char **argv, **envp;
    pid_t pid;
    int last_signal, status, signum;
    bool stubborn, running, ending;
    struct bytes lines;
    struct io_stream *stream; /* not taken yet, or NULL */
    struct fake_peer *peer;   /* the child's end of it; NULL: it does not talk */
    void *program_side; /* a block of mem_alloc(): what the real handle costs, and can be refused */
};

static _Thread_local size_t tls_live;

/* ---- small helpers ---- */

static void *must(void *ptr)
{
    if (ptr == NULL)
        abort(); /* the test's side: no memory means no test */
    return ptr;
}

static char *copy_text(const char *text)
{
    return must(strdup(text));
}

static void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    if (b->data == NULL || b->cap - b->end < len) {
        if (b->data != NULL)
            memmove(b->data, b->data + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
        if (b->data == NULL || b->cap - b->end < len) {
            b->cap = (b->end + len) * 2;
            b->data = must(realloc(b->data, b->cap));
        }
    }
    memcpy(b->data + b->end, data, len);
    b->end += len;
}

static size_t bytes_len(const struct bytes *b)
{
    return b->end - b->start;
}

static void bytes_eat(struct bytes *b, size_t n)
{
    assert(n <= bytes_len(b));
    b->start += n;
}

static void bytes_fini(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

static char **copy_list(const char *const *list)
{
    size_t n = 0;
    char **copy;

    while (list != NULL && list[n] != NULL)
        n++;
    copy = must(calloc(n + 1, sizeof *copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = copy_text(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

/* ---- loop.h ---- */

struct io_loop *io_loop_new(struct err *err)
{
    struct io_loop *loop = mem_zalloc(sizeof *loop);

    if (loop == NULL) {
        err_oom(err);
        return NULL;
    }
    loop->now_us = START_US;
    loop->wall_offset_us = START_WALL_US - START_US;
    loop->tasks_end = &loop->tasks;
    loop->posts_end = &loop->posts;
    loop->next_port = FIRST_PORT;
    loop->next_pid = 1000;
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->posted, NULL);
    list_init(&loop->signals);
    list_init(&loop->rules);
    list_init(&loop->names);
    list_init(&loop->listeners);
    list_init(&loop->connects);
    list_init(&loop->streams);
    list_init(&loop->peers);
    list_init(&loop->children);
    return loop;
}

void io_loop_free(struct io_loop *loop)
{
    size_t left = loop != NULL ? fake_end(loop) : 0;

    assert(left == 0); /* something of this loop was never closed */
    (void)left;
}

void io_loop_run(struct io_loop *loop)
{
    fake_run(loop);
}

void io_loop_stop(struct io_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop = true;
    pthread_cond_broadcast(&loop->posted);
    pthread_mutex_unlock(&loop->lock);
}

int64_t io_now_us(struct io_loop *loop)
{
    return loop->now_us;
}

int64_t io_wall_us(struct io_loop *loop)
{
    return loop->now_us + loop->wall_offset_us;
}

struct io_timers *io_loop_timers(struct io_loop *loop)
{
    return &loop->timers;
}

void io_defer(struct io_loop *loop, struct io_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

bool io_post(struct io_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *post = mem_zalloc(sizeof *post);

    if (post == NULL)
        return false;
    post->fn = fn;
    post->arg = arg;
    pthread_mutex_lock(&loop->lock);
    *loop->posts_end = post;
    loop->posts_end = &post->next;
    pthread_cond_broadcast(&loop->posted);
    pthread_mutex_unlock(&loop->lock);
    return true;
}

struct fake_work {
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void work_now(void *arg)
{
    struct fake_work w = *(struct fake_work *)arg;

    mem_free(arg);
    w.run(w.arg);
    w.done(w.arg);
}

bool io_work(struct io_loop *loop, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct fake_work *w = mem_alloc(sizeof *w);

    if (w == NULL)
        return false;
    *w = (struct fake_work){run, done, arg};
    if (io_post(loop, work_now, w))
        return true;
    mem_free(w);
    return false;
}

bool io_on_signal(struct io_loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg,
                  struct err *err)
{
    struct watch_signal *w = mem_zalloc(sizeof *w);

    if (w == NULL)
        return err_oom(err);
    w->signum = signum;
    w->fn = fn;
    w->arg = arg;
    list_add_tail(&loop->signals, &w->node);
    return true;
}

/* ---- streams ---- */

static struct fake_peer *peer_new(struct io_loop *loop, const char *target)
{
    struct fake_peer *p = must(calloc(1, sizeof *p));

    p->loop = loop;
    p->window = FAKE_UNLIMITED;
    p->cut = loop->cut;
    p->target = copy_text(target);
    list_add_tail(&loop->peers, &p->node);
    return p;
}

static struct io_stream *stream_new(struct io_loop *loop, struct fake_peer *p,
                                    const struct sockaddr *addr)
{
    struct io_stream *s = mem_zalloc(sizeof *s);

    if (s == NULL)
        return NULL;
    s->loop = loop;
    s->peer = p;
    p->stream = s;
    s->pending_max = PENDING_MAX;
    buf_init(&s->kept, SIZE_MAX);
    s->loopback = io_sockaddr_is_loopback(addr);
    io_addr_text(addr, s->name);
    list_add_tail(&loop->streams, &s->node);
    return s;
}

/* Memory goes at the end of the turn. */
static void stream_die(struct io_stream *s, enum fake_state how)
{
    io_timer_stop(s->loop, &s->linger);
    s->closing = true;
    s->ops = NULL;
    s->peer->lost += buf_len(&s->kept);
    buf_fini(&s->kept);
    if (s->peer->state != FAKE_ABORTED)
        s->peer->state = how;
    s->peer->news = true;
    s->peer->stream = NULL;
    s->peer = NULL;
}

void io_stream_bind(struct io_stream *s, const struct io_stream_ops *ops, void *arg)
{
    s->ops = ops;
    s->arg = arg;
}

void io_stream_read(struct io_stream *s, bool on)
{
    assert(!on || s->ops != NULL || s->closing);
    s->reading = on;
}

static void stream_write_failed(struct io_stream *s, enum io_end why)
{
    if (s->write_dead)
        return;
    s->write_dead = true;
    s->why = why;
    buf_fini(&s->kept);
}

static void peer_take(struct fake_peer *p, const char *data, size_t len)
{
    bytes_put(&p->in, data, len);
    if (p->window != FAKE_UNLIMITED)
        p->window -= len;
    p->news = true;
}

bool io_stream_write(struct io_stream *s, const struct iovec *v, int n)
{
    size_t total = 0, room;

    if (s->closing || s->write_dead)
        return false;
    if (s->peer->reset) {
        stream_write_failed(s, IO_RESET);
        return false;
    }
    for (int i = 0; i < n; i++)
        total += v[i].iov_len;
    if (total > s->pending_max || buf_len(&s->kept) > s->pending_max - total)
        return false;
    room = buf_len(&s->kept) == 0 ? s->peer->window : 0;
    for (int i = 0; i < n; i++) {
        size_t now = v[i].iov_len < room ? v[i].iov_len : room;

        if (now > 0)
            peer_take(s->peer, v[i].iov_base, now);
        if (room != FAKE_UNLIMITED)
            room -= now;
        buf_put(&s->kept, (const char *)v[i].iov_base + now, v[i].iov_len - now);
    }
    if (s->kept.failed) {
        stream_write_failed(s, IO_NO_MEMORY);
        return false;
    }
    return true;
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
    if (s != NULL && !s->closing)
        stream_die(s, FAKE_CLOSED);
}

void io_stream_abort(struct io_stream *s)
{
    if (s != NULL && !s->closing)
        stream_die(s, FAKE_ABORTED);
}

static void on_linger_timeout(void *arg)
{
    stream_die(arg, FAKE_CLOSED);
}

void io_stream_finish(struct io_stream *s, uint64_t linger_ms)
{
    if (s == NULL || s->closing)
        return;
    if (s->write_dead || linger_ms == 0 || (s->ended && buf_len(&s->kept) == 0)) {
        stream_die(s, FAKE_CLOSED);
        return;
    }
    s->ops = NULL;
    s->lingering = true;
    io_timer_start(s->loop, &s->linger, linger_ms, on_linger_timeout, s);
}

const char *io_stream_peer(const struct io_stream *s)
{
    return s->name;
}

bool io_stream_is_loopback(const struct io_stream *s)
{
    return s->loopback;
}

static size_t next_cut(struct fake_peer *p)
{
    size_t there = bytes_len(&p->out), cut = p->cut;

    if (p->random)
        cut = 1 + rng_below(&p->rng, 64);
    if (cut == 0 || cut > READ_BYTES_MAX)
        cut = READ_BYTES_MAX;
    return cut < there ? cut : there;
}

/* A copy of exactly that size: reading past it, or after the call, is seen by the sanitizer. */
static void stream_deliver(struct io_stream *s)
{
    struct fake_peer *p = s->peer;
    size_t n = next_cut(p);
    char *chunk = must(malloc(n));

    memcpy(chunk, p->out.data + p->out.start, n);
    bytes_eat(&p->out, n);
    s->ops->on_data(s->arg, chunk, n);
    free(chunk);
}

static void stream_tell_end(struct io_stream *s, enum io_end why)
{
    s->ended = true;
    if (why != IO_EOF)
        stream_write_failed(s, why);
    if (s->ops != NULL)
        s->ops->on_end(s->arg, why);
}

/* True if kept output got smaller. */
static bool stream_flush(struct io_stream *s)
{
    strv rest = buf_view(&s->kept);
    size_t n = rest.len < s->peer->window ? rest.len : s->peer->window;

    if (n == 0)
        return false;
    peer_take(s->peer, rest.ptr, n);
    buf_eat(&s->kept, n);
    if (buf_len(&s->kept) > 0)
        return true;
    buf_fini(&s->kept);
    if (s->ops != NULL && s->ops->on_drain != NULL)
        s->ops->on_drain(s->arg);
    return true;
}

static bool stream_linger(struct io_stream *s)
{
    struct fake_peer *p = s->peer;
    bool did = bytes_len(&p->out) > 0 || stream_flush(s);

    bytes_eat(&p->out, bytes_len(&p->out));
    if (buf_len(&s->kept) == 0 && p->state == FAKE_OPEN) {
        p->state = FAKE_FINISHED;
        p->news = did = true;
    }
    if (p->reset || (p->eof && buf_len(&s->kept) == 0)) {
        stream_die(s, FAKE_CLOSED);
        did = true;
    }
    return did;
}

static bool stream_step(struct io_stream *s)
{
    struct fake_peer *p = s->peer;

    if (s->lingering)
        return stream_linger(s);
    if (p->reset)
        stream_write_failed(s, IO_RESET);
    else if (stream_flush(s))
        return true;
    if (s->ended)
        return false;
    if (bytes_len(&p->out) > 0) {
        if (!s->reading)
            return false;
        stream_deliver(s);
        return true;
    }
    if (s->write_dead) {
        stream_tell_end(s, s->why);
        return true;
    }
    if (s->reading && p->eof) {
        stream_tell_end(s, p->truncated ? IO_TRUNCATED : IO_EOF);
        return true;
    }
    return false;
}

/* ---- connecting ---- */

struct io_tls *io_tls_new(const struct io_tls_opts *opts, struct err *err)
{
    struct io_tls *tls = mem_zalloc(sizeof *tls);

    (void)opts;
    if (tls == NULL) {
        err_oom(err);
        return NULL;
    }
    tls->refs = 1;
    tls_live++;
    return tls;
}

struct io_tls *io_tls_serve(const struct io_tls_serve_opts *opts, struct err *err)
{
    (void)opts;
    return io_tls_new(&(struct io_tls_opts){0}, err);
}

int64_t io_tls_expires_us(const struct io_tls *tls)
{
    (void)tls;
    return 0;
}

struct io_tls *io_tls_ref(struct io_tls *tls)
{
    if (tls != NULL)
        tls->refs++;
    return tls;
}

void io_tls_unref(struct io_tls *tls)
{
    if (tls == NULL || --tls->refs > 0)
        return;
    tls_live--;
    mem_free(tls);
}

size_t fake_tls_live(void)
{
    return tls_live;
}

static void connect_timer(void *arg)
{
    struct io_connect *c = arg;

    c->ready = true;
}

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
    snprintf(c->name, sizeof c->name, "%s",
             target->unix_path != NULL ? target->unix_path : target->host);
    loop->connect_count++;
    list_add_tail(&loop->connects, &c->node);
    return c;
}

void io_connect_cancel(struct io_connect *c)
{
    assert(!c->done);
    c->done = true;
    io_timer_stop(c->loop, &c->timer);
}

static void rule_free(struct rule *r)
{
    list_del(&r->node);
    free(r->host);
    free(r);
}

static struct fake_rule take_rule(struct io_loop *loop, const char *host, uint16_t port)
{
    struct fake_rule answer = {.answer = FAKE_REFUSE};
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &loop->rules)
    {
        struct rule *r = list_entry(pos, struct rule, node);

        if (r->port != port || strcmp(r->host, host) != 0)
            continue;
        answer = r->r;
        if (r->r.times > 0) {
            if (--r->r.times == 0)
                rule_free(r);
            break;
        }
    }
    return answer;
}

static void resolve(struct io_connect *c)
{
    const char *host = c->target.host;
    struct list *pos, *tmp;

    if (c->target.unix_path != NULL) {
        if (!io_addr_unix(&c->addr, c->target.unix_path, NULL))
            io_addr_unix(&c->addr, "/too-long", NULL);
        return;
    }
    list_for_each(pos, tmp, &c->loop->names)
    {
        const struct name *n = list_entry(pos, struct name, node);

        if (strcmp(n->name, host) == 0)
            host = n->literal;
    }
    if (io_addr_literal(&c->addr, host, c->target.port))
        return;
    if (io_addr_is_localhost_name(host))
        io_addr_loopback(&c->addr, AF_INET, c->target.port);
    else
        io_addr_literal(&c->addr, "203.0.113.1", c->target.port);
}

static void connect_decide(struct io_connect *c)
{
    const struct io_target *t = &c->target;
    uint64_t wait_ms;

    c->decided = true;
    c->rule = take_rule(c->loop, t->unix_path != NULL ? t->unix_path : t->host,
                        t->unix_path != NULL ? 0 : t->port);
    c->answer = c->rule.answer;
    resolve(c);
    wait_ms = c->rule.after_ms;
    if (c->answer == FAKE_HANG || wait_ms >= t->connect_ms) {
        c->answer = FAKE_HANG;
        wait_ms = t->connect_ms;
    }
    if (wait_ms == 0)
        c->ready = true;
    else
        io_timer_start(c->loop, &c->timer, wait_ms, connect_timer, c);
}

static enum io_end connect_failure(const struct io_connect *c)
{
    static const enum io_end of[] = {
        [FAKE_ACCEPT] = IO_ENDS,
        [FAKE_REFUSE] = IO_REFUSED,
        [FAKE_HANG] = IO_TIMEOUT,
        [FAKE_NO_NAME] = IO_DNS,
        [FAKE_UNREACHABLE] = IO_UNREACHABLE,
        [FAKE_TLS_FAILURE] = IO_TLS,
        [FAKE_NO_ROOM] = IO_NO_MEMORY,
    };
    const struct io_target *t = &c->target;

    if (c->answer == FAKE_NO_NAME)
        return IO_DNS;
    if (t->allow != NULL && !t->allow(t->allow_arg, &c->addr.u.sa))
        return IO_NOT_ALLOWED;
    if (c->answer == FAKE_TLS_FAILURE && t->tls == NULL)
        return IO_ENDS;
    return of[c->answer];
}

static void connect_conclude(struct io_connect *c)
{
    const struct io_target *t = &c->target;
    enum io_end why = connect_failure(c);
    struct io_stream *s = NULL;
    struct fake_peer *p;
    char text[256];

    c->done = true;
    if (why == IO_ENDS) {
        snprintf(text, sizeof text, "%s:%u", t->unix_path != NULL ? t->unix_path : t->host,
                 t->unix_path != NULL ? 0u : t->port);
        p = peer_new(c->loop, text);
        p->tls = t->tls;
        s = stream_new(c->loop, p, &c->addr.u.sa);
        why = s != NULL ? IO_EOF : IO_NO_MEMORY;
        if (s == NULL)
            p->state = FAKE_CLOSED;
        else if (c->rule.on_peer != NULL)
            c->rule.on_peer(c->rule.arg, p);
    }
    c->fn(c->arg, s, why);
}

static bool connect_step(struct io_connect *c)
{
    if (!c->decided)
        connect_decide(c);
    else if (c->ready)
        connect_conclude(c);
    else
        return false;
    return true;
}

/* ---- listening ---- */

static struct io_listener *find_listener(struct io_loop *loop, const char *address)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &loop->listeners)
    {
        struct io_listener *l = list_entry(pos, struct io_listener, node);

        if (!l->closing && strcmp(l->address, address) == 0)
            return l;
    }
    return NULL;
}

struct io_listener *io_listen(struct io_loop *loop, strv address, bool shared, io_accept_fn fn,
                              void *arg, struct err *err)
{
    struct io_listener *l, *other;
    struct io_addr addr;
    char text[IO_ADDR_TEXT_MAX];

    if (!io_addr_parse(&addr, address, err))
        return NULL;
    l = mem_zalloc(sizeof *l);
    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    if (addr.u.sa.sa_family == AF_UNIX) {
        snprintf(l->address, sizeof l->address, "unix:%s", addr.u.un.sun_path);
    } else {
        if (addr.u.in.sin_port == 0) /* the same place in both families */
            addr.u.in.sin_port = htons((uint16_t)loop->next_port++);
        io_addr_text(&addr.u.sa, text);
        snprintf(l->address, sizeof l->address, "%s", text);
    }
    other = find_listener(loop, l->address);
    if (other != NULL && !(shared && other->shared)) {
        err_set(err, 0, "cannot listen on %s: Address already in use", l->address);
        mem_free(l);
        return NULL;
    }
    l->loop = loop;
    l->shared = shared;
    l->fn = fn;
    l->arg = arg;
    list_add_tail(&loop->listeners, &l->node);
    return l;
}

/* No other process is made up. */
struct io_listener *io_listen_on(struct io_loop *loop, strv address, int fd, io_accept_fn fn,
                                 void *arg, struct err *err)
{
    (void)fd;
    return io_listen(loop, address, true, fn, arg, err);
}

bool io_listens_on(int fd, strv address)
{
    (void)fd;
    (void)address;
    return false;
}

void io_listener_set_tls(struct io_listener *l, struct io_tls *tls)
{
    (void)l;
    (void)tls;
}

int io_listener_fd(const struct io_listener *l)
{
    (void)l;
    return -1;
}

void io_listeners_given(void)
{
}

const char *io_listener_address(const struct io_listener *l)
{
    return l->address;
}

void io_listener_pause(struct io_listener *l, bool paused)
{
    l->paused = paused;
}

void io_listener_close(struct io_listener *l)
{
    struct list *pos, *tmp;

    if (l == NULL || l->closing)
        return;
    l->closing = true;
    list_for_each(pos, tmp, &l->loop->peers)
    {
        struct fake_peer *p = list_entry(pos, struct fake_peer, node);

        if (p->waiting_for == l) { /* the backlog goes with a reset */
            p->waiting_for = NULL;
            p->state = FAKE_ABORTED;
            p->news = true;
        }
    }
}

void io_listener_finish(struct io_listener *l)
{
    io_listener_close(l);
}

static bool peer_accept(struct fake_peer *p)
{
    struct io_listener *l = p->waiting_for;
    struct io_stream *s;

    if (l == NULL || l->paused)
        return false;
    p->waiting_for = NULL;
    s = stream_new(p->loop, p, &p->from.u.sa);
    if (s != NULL) {
        l->fn(l->arg, s);
    } else {
        p->state = FAKE_CLOSED;
        p->news = true;
    }
    return true;
}

struct fake_peer *fake_client_connect(struct io_loop *loop, const char *address, const char *from)
{
    struct io_listener *l = find_listener(loop, address);
    struct fake_peer *p;

    if (l == NULL)
        return NULL;
    p = peer_new(loop, address);
    p->waiting_for = l;
    if (from != NULL) {
        bool ok = io_addr_literal(&p->from, from, (uint16_t)loop->next_port++);

        assert(ok);
        (void)ok;
    } else if (strncmp(address, "unix:", 5) == 0) {
        p->from.u.sa.sa_family = AF_UNIX;
    } else {
        io_addr_loopback(&p->from, AF_INET, (uint16_t)loop->next_port++);
    }
    return p;
}

/* ---- peers ---- */

void fake_peer_send(struct fake_peer *p, const void *data, size_t len)
{
    assert(!p->eof && !p->reset);
    bytes_put(&p->out, data, len);
}

void fake_peer_send_cstr(struct fake_peer *p, const char *text)
{
    fake_peer_send(p, text, strlen(text));
}

void fake_peer_cut(struct fake_peer *p, size_t bytes)
{
    p->cut = bytes;
    p->random = false;
}

void fake_peer_cut_random(struct fake_peer *p, uint64_t seed)
{
    p->random = true;
    rng_seed(&p->rng, seed);
}

void fake_cut(struct io_loop *loop, size_t bytes)
{
    loop->cut = bytes;
}

void fake_peer_eof(struct fake_peer *p, bool truncated)
{
    p->eof = true;
    p->truncated = truncated;
}

void fake_peer_reset(struct fake_peer *p)
{
    p->reset = true;
}

void fake_peer_window(struct fake_peer *p, size_t bytes)
{
    p->window = bytes;
}

strv fake_peer_received(const struct fake_peer *p)
{
    return (strv){p->in.data != NULL ? p->in.data + p->in.start : "", bytes_len(&p->in)};
}

void fake_peer_eat(struct fake_peer *p, size_t n)
{
    bytes_eat(&p->in, n);
}

bool fake_peer_over(const struct fake_peer *p)
{
    return p->eof || p->reset;
}

enum fake_state fake_peer_state(const struct fake_peer *p)
{
    return p->state;
}

size_t fake_peer_unread(const struct fake_peer *p)
{
    return bytes_len(&p->out);
}

size_t fake_peer_lost(const struct fake_peer *p)
{
    return p->lost;
}

const char *fake_peer_target(const struct fake_peer *p)
{
    return p->target;
}

struct io_tls *fake_peer_tls(const struct fake_peer *p)
{
    return p->tls;
}

void fake_peer_watch(struct fake_peer *p, void (*fn)(void *arg, struct fake_peer *p), void *arg)
{
    p->watch = fn;
    p->watch_arg = arg;
}

void fake_peer_free(struct fake_peer *p)
{
    p->released = true;
    p->watch = NULL;
    p->waiting_for = NULL;
    if (p->stream != NULL)
        p->reset = true;
}

static void peer_destroy(struct fake_peer *p)
{
    list_del(&p->node);
    bytes_fini(&p->out);
    bytes_fini(&p->in);
    free(p->target);
    free(p);
}

static bool peer_news(struct fake_peer *p)
{
    if (!p->news)
        return false;
    p->news = false;
    if (p->watch == NULL)
        return false;
    p->watch(p->watch_arg, p);
    return true;
}

void fake_target(struct io_loop *loop, const char *host, uint16_t port,
                 const struct fake_rule *rule)
{
    struct rule *r = must(calloc(1, sizeof *r));
    struct list *pos, *tmp;

    if (rule->times == 0) { /* the new standing rule takes the old one's place */
        list_for_each(pos, tmp, &loop->rules)
        {
            struct rule *old = list_entry(pos, struct rule, node);

            if (old->r.times == 0 && old->port == port && strcmp(old->host, host) == 0)
                rule_free(old);
        }
    }
    r->host = copy_text(host);
    r->port = port;
    r->r = *rule;
    list_add_tail(&loop->rules, &r->node);
}

void fake_resolve(struct io_loop *loop, const char *name, const char *literal)
{
    struct name *n = must(calloc(1, sizeof *n));

    n->name = copy_text(name);
    n->literal = copy_text(literal);
    list_add_tail(&loop->names, &n->node);
}

size_t fake_connecting(struct io_loop *loop)
{
    struct list *pos, *tmp;
    size_t n = 0;

    list_for_each(pos, tmp, &loop->connects)
    {
        n += !list_entry(pos, struct io_connect, node)->done;
    }
    return n;
}

size_t fake_connects(struct io_loop *loop)
{
    return loop->connect_count;
}

/* ---- children ---- */

static bool child_talk(struct io_loop *loop, struct io_child *c)
{
    struct sockaddr unix_peer = {.sa_family = AF_UNIX};

    c->peer = peer_new(loop, "child");
    c->stream = stream_new(loop, c->peer, &unix_peer);
    if (c->stream == NULL)
        fake_peer_free(c->peer);
    return c->stream != NULL;
}

struct io_stream *io_child_take_stream(struct io_child *c)
{
    struct io_stream *s = c->stream;

    c->stream = NULL;
    return s;
}

struct fake_peer *fake_child_peer(const struct io_child *c)
{
    return c->peer;
}

struct io_child *io_child_start(struct io_loop *loop, const struct io_child_opts *opts,
                                struct err *err)
{
    struct io_child *c;
    void *program_side;

    if (loop->refuse_child != NULL) {
        err_set(err, 0, "cannot start %s: %s", opts->argv[0], loop->refuse_child);
        free(loop->refuse_child);
        loop->refuse_child = NULL;
        return NULL;
    }
    program_side = mem_alloc(64);
    if (program_side == NULL) {
        err_oom(err);
        return NULL;
    }
    c = must(calloc(1, sizeof *c));
    if (opts->talks && !child_talk(loop, c)) {
        free(c);
        mem_free(program_side);
        err_oom(err);
        return NULL;
    }
    c->program_side = program_side;
    c->loop = loop;
    c->opts = *opts;
    c->argv = copy_list(opts->argv);
    c->envp = copy_list(opts->envp);
    c->pid = loop->next_pid++;
    c->running = true;
    list_add_tail(&loop->children, &c->node);
    if (loop->on_child != NULL)
        loop->on_child(loop->on_child_arg, c);
    return c;
}

pid_t io_child_pid(const struct io_child *c)
{
    return c->pid;
}

void io_child_signal(struct io_child *c, int signum)
{
    assert(c->running);
    c->last_signal = signum;
    if (signum == SIGKILL || (signum == SIGTERM && !c->stubborn))
        fake_child_exit(c, 0, signum);
}

static void child_kill(void *arg)
{
    io_child_signal(arg, SIGKILL);
}

void io_child_stop(struct io_child *c, uint64_t grace_ms)
{
    io_timer_start(c->loop, &c->kill_timer, grace_ms, child_kill, c);
    io_child_signal(c, SIGTERM);
}

static bool child_step(struct io_child *c)
{
    bool did = false;

    while (c->running && bytes_len(&c->lines) > 0) {
        strv rest = {c->lines.data + c->lines.start, bytes_len(&c->lines)}, line;

        strv_cut(&rest, '\n', &line);
        bytes_eat(&c->lines, line.len + 1);
        if (line.len > 1024)
            line.len = 1024;
        did = true;
        if (c->opts.on_line != NULL)
            c->opts.on_line(c->opts.arg, line);
    }
    if (c->running && c->ending) {
        did = true;
        c->running = false;
        io_timer_stop(c->loop, &c->kill_timer);
        mem_free(c->program_side);
        c->program_side = NULL;
        if (c->peer != NULL && !fake_peer_over(c->peer))
            fake_peer_eof(c->peer, false);
        io_stream_close(c->stream);
        c->stream = NULL;
        if (c->opts.on_exit != NULL)
            c->opts.on_exit(c->opts.arg, c->status, c->signum);
    }
    return did;
}

void fake_on_child(struct io_loop *loop, void (*fn)(void *arg, struct io_child *c), void *arg)
{
    loop->on_child = fn;
    loop->on_child_arg = arg;
}

void fake_child_refuse(struct io_loop *loop, const char *why)
{
    free(loop->refuse_child);
    loop->refuse_child = copy_text(why);
}

size_t fake_children(struct io_loop *loop)
{
    struct list *pos, *tmp;
    size_t n = 0;

    list_for_each(pos, tmp, &loop->children)
    {
        n += list_entry(pos, struct io_child, node)->running;
    }
    return n;
}

const char *fake_child_argv(const struct io_child *c, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (c->argv[k] == NULL)
            return NULL;
    }
    return c->argv[i];
}

const char *fake_child_env(const struct io_child *c, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; c->envp[i] != NULL; i++) {
        if (strncmp(c->envp[i], name, n) == 0 && c->envp[i][n] == '=')
            return c->envp[i] + n + 1;
    }
    return NULL;
}

bool fake_child_running(const struct io_child *c)
{
    return c->running;
}

int fake_child_signal(const struct io_child *c)
{
    return c->last_signal;
}

void fake_child_stubborn(struct io_child *c, bool stubborn)
{
    c->stubborn = stubborn;
}

void fake_child_line(struct io_child *c, const char *line)
{
    bytes_put(&c->lines, line, strlen(line));
    bytes_put(&c->lines, "\n", 1);
}

void fake_child_exit(struct io_child *c, int status, int signal)
{
    if (c->ending)
        return; /* it can die only once */
    c->ending = true;
    c->status = status;
    c->signum = signal;
}

static void child_destroy(struct io_child *c)
{
    list_del(&c->node);
    mem_free(c->program_side);
    free_list(c->argv);
    free_list(c->envp);
    bytes_fini(&c->lines);
    free(c);
}

/* ---- running ---- */

static bool run_posts(struct io_loop *loop)
{
    struct post *post;

    pthread_mutex_lock(&loop->lock);
    post = loop->posts;
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
    pthread_mutex_unlock(&loop->lock);
    if (post == NULL)
        return false;
    while (post != NULL) {
        struct post *next = post->next;

        post->fn(post->arg);
        mem_free(post);
        post = next;
    }
    return true;
}

static bool run_tasks(struct io_loop *loop)
{
    struct io_task *task = loop->tasks;

    if (task == NULL)
        return false;
    loop->tasks = NULL;
    loop->tasks_end = &loop->tasks;
    while (task != NULL) {
        struct io_task *next = task->next;

        task->queued = false;
        task->next = NULL;
        task->run(task);
        task = next;
    }
    return true;
}

static void bury(struct io_loop *loop)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &loop->streams)
    {
        struct io_stream *s = list_entry(pos, struct io_stream, node);

        if (s->closing) {
            list_del(&s->node);
            mem_free(s);
        }
    }
    list_for_each(pos, tmp, &loop->connects)
    {
        struct io_connect *c = list_entry(pos, struct io_connect, node);

        if (c->done) {
            list_del(&c->node);
            mem_free(c);
        }
    }
    list_for_each(pos, tmp, &loop->listeners)
    {
        struct io_listener *l = list_entry(pos, struct io_listener, node);

        if (l->closing) {
            list_del(&l->node);
            mem_free(l);
        }
    }
    list_for_each(pos, tmp, &loop->peers)
    {
        struct fake_peer *p = list_entry(pos, struct fake_peer, node);

        if (p->released && p->stream == NULL)
            peer_destroy(p);
    }
}

/* Walks a list that callbacks may append to; nothing is taken out before bury(). */
#define EACH(pos, head) for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)

static bool turn(struct io_loop *loop)
{
    struct list *pos;
    bool did = run_posts(loop);

    EACH(pos, &loop->signals)
    {
        struct watch_signal *w = list_entry(pos, struct watch_signal, node);

        for (; w->raised > 0; w->raised--) {
            did = true;
            w->fn(w->arg, w->signum);
        }
    }
    EACH(pos, &loop->connects)
    {
        struct io_connect *c = list_entry(pos, struct io_connect, node);

        did |= !c->done && connect_step(c);
    }
    EACH(pos, &loop->peers)
    {
        did |= peer_accept(list_entry(pos, struct fake_peer, node));
    }
    EACH(pos, &loop->streams)
    {
        struct io_stream *s = list_entry(pos, struct io_stream, node);

        did |= !s->closing && stream_step(s);
    }
    EACH(pos, &loop->children)
    {
        did |= child_step(list_entry(pos, struct io_child, node));
    }
    did |= run_tasks(loop);
    did |= io_timers_fire(&loop->timers, loop->now_us) > 0;
    EACH(pos, &loop->peers)
    {
        did |= peer_news(list_entry(pos, struct fake_peer, node));
    }
    bury(loop);
    return did;
}

void fake_run(struct io_loop *loop)
{
    unsigned turns = 0;
    bool stop = false;

    while (!stop && turn(loop)) {
        if (++turns == TURNS_MAX) {
            fputs("fake_run: the program goes in circles without time passing\n", stderr);
            abort();
        }
        pthread_mutex_lock(&loop->lock);
        stop = loop->stop;
        pthread_mutex_unlock(&loop->lock);
    }
    pthread_mutex_lock(&loop->lock);
    loop->stop = false;
    pthread_mutex_unlock(&loop->lock);
}

void fake_advance(struct io_loop *loop, uint64_t ms)
{
    int64_t until_us = loop->now_us + (int64_t)ms * 1000;
    int64_t next;

    fake_run(loop);
    while ((next = io_timers_next(&loop->timers)) <= until_us) {
        if (next > loop->now_us)
            loop->now_us = next;
        fake_run(loop);
    }
    loop->now_us = until_us;
    fake_run(loop);
}

uint64_t fake_next_timer_ms(struct io_loop *loop)
{
    int64_t next = io_timers_settle(&loop->timers);

    if (next == IO_TIMERS_NONE)
        return UINT64_MAX;
    return next > loop->now_us ? (uint64_t)(next - loop->now_us + 999) / 1000 : 0;
}

void fake_set_wall_us(struct io_loop *loop, int64_t unix_us)
{
    loop->wall_offset_us = unix_us - loop->now_us;
}

void fake_raise(struct io_loop *loop, int signum)
{
    struct list *pos;

    EACH(pos, &loop->signals)
    {
        struct watch_signal *w = list_entry(pos, struct watch_signal, node);

        w->raised += w->signum == signum;
    }
}

bool fake_wait_post(struct io_loop *loop)
{
    struct timespec until;
    bool there;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&loop->lock);
    while (loop->posts == NULL && rc == 0)
        rc = pthread_cond_timedwait(&loop->posted, &loop->lock, &until);
    there = loop->posts != NULL;
    pthread_mutex_unlock(&loop->lock);
    return there;
}

static size_t forgotten(const char *what, const char *name)
{
    fprintf(stderr, "fake_end: a %s is still alive: %s\n", what, name);
    return 1;
}

size_t fake_end(struct io_loop *loop)
{
    struct list *pos, *tmp;
    size_t left = 0;

    /* Finished streams, tasks and the like belong to the loop. */
    fake_run(loop);
    list_for_each(pos, tmp, &loop->streams)
    {
        struct io_stream *s = list_entry(pos, struct io_stream, node);

        if (!s->lingering)
            left += forgotten("stream", s->peer->target);
        stream_die(s, FAKE_CLOSED);
    }
    list_for_each(pos, tmp, &loop->connects)
    {
        struct io_connect *c = list_entry(pos, struct io_connect, node);

        left += forgotten("connect", c->name);
        io_connect_cancel(c);
    }
    list_for_each(pos, tmp, &loop->listeners)
    {
        struct io_listener *l = list_entry(pos, struct io_listener, node);

        left += forgotten("listener", l->address);
        io_listener_close(l);
    }
    list_for_each(pos, tmp, &loop->children)
    {
        struct io_child *c = list_entry(pos, struct io_child, node);

        if (c->running)
            left += forgotten("child", c->argv[0]);
        io_timer_stop(loop, &c->kill_timer);
    }
    for (unsigned long i = 0; i < loop->timers.running; i++)
        left += forgotten("timer", "");
    bury(loop);
    list_for_each(pos, tmp, &loop->children) child_destroy(list_entry(pos, struct io_child, node));
    list_for_each(pos, tmp, &loop->peers) peer_destroy(list_entry(pos, struct fake_peer, node));
    list_for_each(pos, tmp, &loop->rules) rule_free(list_entry(pos, struct rule, node));
    list_for_each(pos, tmp, &loop->names)
    {
        struct name *n = list_entry(pos, struct name, node);

        free(n->name);
        free(n->literal);
        free(n);
    }
    list_for_each(pos, tmp, &loop->signals) mem_free(list_entry(pos, struct watch_signal, node));
    free(loop->refuse_child);
    pthread_mutex_destroy(&loop->lock);
    pthread_cond_destroy(&loop->posted);
    mem_free(loop);
    return left;
}
