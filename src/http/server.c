/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - listeners, connections, their states and limits. See conn.h for the picture, intake.c and
 * reply.c for what happens to a request in them.
 *
 * Always holds: one timer per connection, meaning what the state says; the handler is called only from
 * data, from that timer, or at the end of the turn; a connection in SERVE or FLUSH parses nothing, what
 * comes is kept in `input` up to INPUT_MAX and then the brake is on. (While it is on, a caller that
 * leaves is noticed only when something is written to it.)
 */
#include <assert.h>
#include <unistd.h>

#include "http/conn.h"

/* Pipelined bytes kept; who sends more waits. */
#define INPUT_MAX ((size_t)64 * 1024)
/* How long a closing connection may take to read its last reply and close too. */
#define LINGER_MS 2000

#define TO(state) (1u << CONN_##state)

static void on_idle_timeout(struct http_conn *c);
static void on_slow_timeout(struct http_conn *c);
static void on_write_timeout(struct http_conn *c);

static const struct {
    const char *name;
    void (*timeout)(struct http_conn *c);
    uint32_t next; /* every legal move; DEAD is one from everywhere */
} states[] = {
    [CONN_IDLE] = {"idle", on_idle_timeout, TO(HEAD) | TO(SERVE)},
    [CONN_HEAD] = {"head", on_slow_timeout, TO(BODY) | TO(SERVE) | TO(FLUSH)},
    [CONN_BODY] = {"body", on_slow_timeout, TO(SERVE) | TO(FLUSH)},
    [CONN_SERVE] = {"serve", on_write_timeout, TO(FLUSH)},
    [CONN_FLUSH] = {"flush", on_write_timeout, TO(IDLE)},
    [CONN_DEAD] = {"dead", NULL, 0},
};
_Static_assert(sizeof states / sizeof *states == CONN_STATES, "one row per state");

void http_conn_go(struct http_conn *c, enum conn_state to)
{
    assert(to == CONN_DEAD || (states[c->state].next & (1u << to)) != 0);
    c->state = to;
}

static void on_accept(void *arg, struct io_stream *stream);
static void on_data(void *arg, const char *data, size_t len);
static void on_end(void *arg, enum io_end end);
static void on_drain(void *arg);
static void on_timer(void *arg);
static void run_task(struct io_task *task);
static void conn_receive(struct http_conn *c, const char *data, size_t len);
static size_t conn_parse(struct http_conn *c, const char *data, size_t len);
static void conn_arm(struct http_conn *c);
static void conn_settle(struct http_conn *c);
static void conn_resume(struct http_conn *c);
static void conn_drop(struct http_conn *c, void (*end)(struct io_stream *));
static void finish_stream(struct io_stream *stream);
static void tell_gone(struct http_conn *c);
static void start_timer(struct http_conn *c, uint64_t ms);
static void conn_free(struct http_conn *c);
static void server_free_now(struct http_server *s);

static const struct io_stream_ops stream_ops = {on_data, on_end, on_drain};

static void enter(struct http_server *s)
{
    s->depth++;
}

static void leave(struct http_server *s)
{
    assert(s->depth > 0);
    if (--s->depth == 0 && s->freed)
        server_free_now(s);
}

/* ---- the server ---- */

struct http_server *http_server_new(struct io_loop *loop, const struct http_server_opts *opts,
                                    const struct http_handlers *handlers, struct err *err)
{
    struct http_server *s = mem_alloc(sizeof *s);

    if (s == NULL) {
        err_oom(err);
        return NULL;
    }
    memset(s, 0, offsetof(struct http_server, out.data));
    s->loop = loop;
    s->opts = *opts;
    s->on = *handlers;
    s->task.run = run_task;
    s->date_s = -1;
    s->out.chunk_at = SIZE_MAX;
    list_init(&s->conns);
    list_init(&s->todo);
    return s;
}

static struct http_listener *listener_new(struct http_server *s, struct err *err)
{
    struct http_listener *l = mem_zalloc(sizeof *l);

    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    l->server = s;
    l->next = s->listeners;
    s->listeners = l;
    return l;
}

static bool listener_open(struct http_listener *l, struct io_listener *io, const char **bound,
                          struct err *err)
{
    struct http_server *s = l->server;

    l->io = io;
    if (l->io != NULL)
        io_listener_set_tls(l->io, s->tls);
    if (l->io != NULL)
        l->address = mem_strdup(io_listener_address(l->io));
    if (l->address == NULL) {
        if (l->io != NULL)
            err_oom(err);
        s->listeners = l->next;
        if (l->io != NULL)
            io_listener_close(l->io);
        mem_free(l);
        return false;
    }
    if (bound != NULL)
        *bound = l->address;
    return true;
}

bool http_server_listen(struct http_server *s, strv address, bool shared, const char **bound,
                        struct err *err)
{
    struct http_listener *l = listener_new(s, err);

    return l != NULL &&
           listener_open(l, io_listen(s->loop, address, shared, on_accept, l, err), bound, err);
}

bool http_server_listen_on(struct http_server *s, strv address, int fd, const char **bound,
                           struct err *err)
{
    struct http_listener *l = listener_new(s, err);

    if (l == NULL) {
        close(fd);
        return false;
    }
    return listener_open(l, io_listen_on(s->loop, address, fd, on_accept, l, err), bound, err);
}

void http_server_set_tls(struct http_server *s, struct io_tls *tls)
{
    io_tls_unref(s->tls);
    s->tls = io_tls_ref(tls);
    for (struct http_listener *l = s->listeners; l != NULL; l = l->next)
        if (l->io != NULL)
            io_listener_set_tls(l->io, tls);
}

int http_server_last_fd(const struct http_server *s)
{
    return s->listeners != NULL && s->listeners->io != NULL ? io_listener_fd(s->listeners->io) : -1;
}

void http_server_set_opts(struct http_server *s, const struct http_server_opts *opts)
{
    s->opts = *opts;
}

static void stop_listening(struct http_server *s, void (*end)(struct io_listener *l))
{
    for (struct http_listener *l = s->listeners; l != NULL; l = l->next) {
        if (l->io != NULL)
            end(l->io);
        l->io = NULL;
    }
}

void http_server_leave(struct http_server *s)
{
    s->leaving = true;
}

void http_server_drain(struct http_server *s, uint64_t grace_ms, void (*done)(void *arg), void *arg)
{
    struct list *pos, *tmp;

    enter(s);
    s->leaving = true;
    s->grace_ms = grace_ms;
    stop_listening(s, io_listener_finish);
    s->draining = true;
    s->drained = done;
    s->drained_arg = arg;
    list_for_each(pos, tmp, &s->conns)
    {
        struct http_conn *c = list_entry(pos, struct http_conn, node);

        if (c->state == CONN_IDLE && grace_ms == 0)
            conn_drop(c, io_stream_close);
        else if (c->state == CONN_IDLE)
            start_timer(c, grace_ms);
    }
    io_defer(s->loop, &s->task);
    leave(s);
}

void http_server_free(struct http_server *s)
{
    struct list *pos, *tmp;

    if (s == NULL || s->freed)
        return;
    enter(s);
    s->freed = true;
    s->drained = NULL;
    stop_listening(s, io_listener_close);
    list_for_each(pos, tmp, &s->conns)
    {
        struct http_conn *c = list_entry(pos, struct http_conn, node);

        http_conn_lost(c);
        tell_gone(c);
    }
    leave(s);
}

/* Not under one of our own functions. The loop may still hold the task; then that comes here again. */
static void server_free_now(struct http_server *s)
{
    if (s->task.queued)
        return;
    while (!list_empty(&s->conns))
        conn_free(list_first(&s->conns, struct http_conn, node));
    while (s->listeners != NULL) {
        struct http_listener *l = s->listeners;

        s->listeners = l->next;
        mem_free(l->address);
        mem_free(l);
    }
    http_head_free(s->spare);
    io_tls_unref(s->tls);
    mem_free(s);
}

/* ---- what the loop tells ---- */

static void on_accept(void *arg, struct io_stream *stream)
{
    struct http_listener *l = arg;
    struct http_server *s = l->server;
    struct http_conn *c = mem_zalloc(sizeof *c);

    if (c == NULL) {
        io_stream_abort(stream);
        return;
    }
    enter(s);
    c->server = s;
    c->stream = stream;
    c->listener = l->address;
    buf_init(&c->input, INPUT_MAX * 3); /* the brake comes when a read went over it */
    list_init(&c->todo);
    list_add_tail(&s->conns, &c->node);
    s->n_conns++;
    io_stream_bind(stream, &stream_ops, c);
    if (s->on.on_connections != NULL)
        s->on.on_connections(s->on.arg, 1);
    if (s->n_conns > s->opts.connections_max || s->draining) {
        http_conn_bad(c, HTTP_BAD_BUSY);
    } else {
        io_stream_read(stream, true);
        start_timer(c, s->opts.idle_ms);
    }
    leave(s);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    enter(s);
    conn_receive(c, data, len);
    leave(s);
}

static void on_end(void *arg, enum io_end end)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    enter(s);
    c->peer_eof = true;
    /* A caller that has said all and only listens (half-closed) gets a reply that is already made. */
    if (c->state != CONN_FLUSH || end != IO_EOF)
        http_conn_lost(c);
    leave(s);
}

static void on_drain(void *arg)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    enter(s);
    c->writing = false;
    if (c->state == CONN_FLUSH)
        http_conn_attend(c);
    else if (c->state == CONN_SERVE && !c->req->ended && c->req->pub.on_drain != NULL)
        c->req->pub.on_drain(&c->req->pub);
    leave(s);
}

static void on_timer(void *arg)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    enter(s);
    states[c->state].timeout(c);
    leave(s);
}

static void on_idle_timeout(struct http_conn *c)
{
    conn_drop(c, io_stream_close);
}

static void on_slow_timeout(struct http_conn *c)
{
    if (c->req->ended) /* it has its answer and only drags out its body */
        conn_drop(c, io_stream_close);
    else
        http_conn_bad(c, HTTP_BAD_TIMEOUT);
}

/* Also comes when nothing is being written: the timer of IDLE is left running through a request, since
 * moving it later at the end costs less than stopping and starting it. */
static void on_write_timeout(struct http_conn *c)
{
    uint64_t sent = c->given - io_stream_pending(c->stream);

    if (!c->writing)
        return;
    if (sent == c->sent_mark) {
        http_conn_lost(c);
        return;
    }
    c->sent_mark = sent;
    start_timer(c, c->server->opts.write_ms);
}

/* The end of the turn: output first, then everybody who asked for attention. */
static void run_task(struct io_task *task)
{
    struct http_server *s = list_entry(task, struct http_server, task);
    struct list now;

    enter(s);
    http_out_flush(s);
    /* Only those of now: who is put back meanwhile gets the next round. */
    list_init(&now);
    if (!list_empty(&s->todo)) {
        list_add_head(&s->todo, &now);
        list_del(&s->todo);
    }
    while (!list_empty(&now)) {
        struct http_conn *c = list_first(&now, struct http_conn, todo);

        list_del(&c->todo);
        if (!s->freed)
            conn_settle(c);
    }
    if (s->drained != NULL && list_empty(&s->conns) && !s->freed) {
        void (*done)(void *arg) = s->drained;

        s->drained = NULL;
        done(s->drained_arg);
    }
    leave(s);
}

/* ---- input ---- */

static void conn_receive(struct http_conn *c, const char *data, size_t len)
{
    size_t used = 0;

    if (buf_len(&c->input) == 0)
        used = conn_parse(c, data, len);
    if (c->state == CONN_DEAD)
        return;
    if (used < len && !c->closing) {
        if (!buf_put(&c->input, data + used, len - used)) {
            http_conn_lost(c);
            return;
        }
        if (buf_len(&c->input) >= INPUT_MAX) {
            c->braked = true;
            io_stream_read(c->stream, false);
        }
    }
    conn_arm(c);
}

/* Takes bytes until the request is complete; returns how many. */
static size_t conn_parse(struct http_conn *c, const char *data, size_t len)
{
    size_t at = 0, used;

    while (c->state <= CONN_BODY) {
        if (c->state == CONN_IDLE) {
            /* Old clients end a body with an empty line that does not belong to it. */
            while (at < len && (data[at] == '\r' || data[at] == '\n'))
                at++;
            if (at == len)
                break;
            if (!http_intake_begin(c)) {
                http_conn_lost(c);
                break;
            }
            http_conn_go(c, CONN_HEAD);
        }
        enum http_parsed got = http_parser_feed(&c->req->parser, data + at, len - at, &used);

        at += used;
        switch (got) {
        case HTTP_PARSED_MORE:
            assert(at == len);
            return at;
        case HTTP_PARSED_HEAD:
            http_intake_head(c);
            break;
        case HTTP_PARSED_MESSAGE:
            http_intake_message(c);
            break;
        default:
            if (c->req->ended) /* refused already, and the body is bad too */
                conn_drop(c, io_stream_close);
            else if (got == HTTP_PARSED_NO_MEMORY)
                http_conn_bad(c, HTTP_BAD_BUSY);
            else if (got == HTTP_PARSED_STOPPED)
                http_conn_bad(c, c->req->bad);
            else
                http_conn_bad(c, got == HTTP_PARSED_TOO_LARGE ? HTTP_BAD_HEAD_TOO_LARGE
                                                              : HTTP_BAD_MESSAGE);
        }
    }
    return at;
}

static void start_timer(struct http_conn *c, uint64_t ms)
{
    io_timer_start(c->server->loop, &c->timer, ms, on_timer, c);
}

/* After input: the head has one limit for the whole of it, the body one for each pause. */
static void conn_arm(struct http_conn *c)
{
    if (c->state == CONN_HEAD && !c->req->timed) {
        c->req->timed = true;
        start_timer(c, c->server->opts.head_ms);
    } else if (c->state == CONN_BODY) {
        start_timer(c, c->server->opts.body_ms);
    }
}

/* ---- the end of a request, and of a connection ---- */

void http_conn_attend(struct http_conn *c)
{
    if (c->server->freed)
        return;
    if (list_empty(&c->todo))
        list_add_tail(&c->server->todo, &c->todo);
    io_defer(c->server->loop, &c->server->task);
}

void http_conn_reply_ended(struct http_conn *c)
{
    if (c->state != CONN_SERVE)
        return; /* in on_head: the body, if any, is still to be read over */
    http_conn_go(c, CONN_FLUSH);
    http_conn_attend(c);
}

void http_conn_wrote(struct http_conn *c, size_t bytes)
{
    size_t pending = io_stream_pending(c->stream);

    c->given += bytes;
    if (pending > c->server->opts.reply_pending_max) {
        http_conn_lost(c);
    } else if (pending > 0 && !c->writing) {
        c->writing = true;
        c->sent_mark = c->given - pending;
        start_timer(c, c->server->opts.write_ms);
    }
}

void http_conn_lost(struct http_conn *c)
{
    struct serving *r = c->req;
    bool half;

    if (c->state == CONN_DEAD)
        return;
    if (r != NULL && !r->ended) {
        r->ended = true;
        c->gone_due = r->pub.on_gone != NULL;
    }
    /* There may be half a reply out; it must not look like a whole one. */
    half = r != NULL || io_stream_pending(c->stream) > 0;
    conn_drop(c, half ? io_stream_abort : io_stream_close);
}

static void conn_drop(struct http_conn *c, void (*end)(struct io_stream *))
{
    struct http_server *s = c->server;

    http_out_drop(c);
    io_timer_stop(s->loop, &c->timer);
    end(c->stream);
    c->stream = NULL;
    http_conn_go(c, CONN_DEAD);
    s->n_conns--;
    if (s->on.on_connections != NULL)
        s->on.on_connections(s->on.arg, -1);
    http_conn_attend(c);
}

static void finish_stream(struct io_stream *stream)
{
    io_stream_finish(stream, LINGER_MS);
}

static void let_go(struct io_stream *stream)
{
    (void)stream; /* it is somebody else's now */
}

static void hand_over(struct http_conn *c)
{
    struct serving *r = c->req;
    struct io_stream *stream = c->stream;

    r->ended = true;
    conn_drop(c, let_go);
    r->taken(&r->pub, stream, buf_view(&c->input));
}

static void tell_gone(struct http_conn *c)
{
    if (!c->gone_due)
        return;
    c->gone_due = false;
    c->req->pub.on_gone(&c->req->pub);
}

/* At the end of the turn; all output has been handed to the streams. */
static void conn_settle(struct http_conn *c)
{
    struct http_server *s = c->server;

    if (c->state == CONN_DEAD && c->gone_due) {
        tell_gone(c);
        http_conn_attend(c); /* its handler may still hold the request in this turn */
    } else if (c->state == CONN_DEAD) {
        conn_free(c);
    } else if (c->state == CONN_SERVE && c->req->taken != NULL) {
        hand_over(c);
    } else if (c->state == CONN_FLUSH) {
        http_intake_free(c);
        if (io_stream_pending(c->stream) > 0)
            return; /* on_drain() or the write limit comes back to it */
        /* Whose reply was begun before we knew has not been told to stay away: one more may be on its way. */
        if (c->closing || c->peer_eof || (s->draining && s->grace_ms == 0)) {
            conn_drop(c, finish_stream);
            return;
        }
        http_conn_go(c, CONN_IDLE);
        start_timer(c, s->draining ? s->grace_ms : s->opts.idle_ms);
        conn_resume(c);
    }
}

/* The next request may have come already. One a turn, so that nobody gets ahead by pipelining. */
static void conn_resume(struct http_conn *c)
{
    if (buf_len(&c->input) == 0)
        return;
    size_t used = conn_parse(c, c->input.data + c->input.start, buf_len(&c->input));

    if (c->state == CONN_DEAD)
        return;
    buf_eat(&c->input, used);
    if (buf_len(&c->input) == 0 || c->closing)
        buf_fini(&c->input);
    if (c->braked && buf_len(&c->input) < INPUT_MAX) {
        c->braked = false;
        io_stream_read(c->stream, true);
    }
    conn_arm(c);
}

static void conn_free(struct http_conn *c)
{
    assert(c->state == CONN_DEAD && c->stream == NULL);
    list_del(&c->node);
    list_del(&c->todo);
    http_intake_free(c);
    buf_fini(&c->input);
    mem_free(c);
}
