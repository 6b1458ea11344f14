/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - calls: one request, one answer, on a connection from the pool or a new one.
 *
 *   call:  QUEUED --pooled wire--> (HELD) --> WAIT --head--> BODY --> OVER
 *            '--> CONNECT --wire------^         |                     ^
 *                    ^----------------------------' stale: once       '-- any failure, any cancel
 *
 * A call starts at the end of the turn in which it was made, so no callback comes from inside
 * http_call(). What a callback may do, cancelling included, it may do at any point: the call is only
 * marked OVER and freed at the end of the turn, and whoever called back looks at that first.
 *
 * The brake stops the parser in the middle of a read; the bytes behind wait in `held` (never more than
 * one read's worth, since reading is off) and an end of the connection waits behind them.
 */
#include "http/client.h"

#include <assert.h>

#include "http/parse.h"
#include "http/pool.h"

/* More than one 103 or 102 is rare, an endless row of them is an attack. */
#define INTERIM_MAX 16
/* A request's head: ours and the configuration's words, so only a safety net. */
#define SEND_HEAD_MAX ((size_t)256 * 1024)
/* A body up to this size is copied behind its head: cheaper than a second piece for the kernel. */
#define COPY_MAX ((size_t)4096)

enum call_state { CALL_QUEUED, CALL_CONNECT, CALL_HELD, CALL_WAIT, CALL_BODY, CALL_OVER };

struct http_call {
    struct list node; /* client->calls */
    struct list todo; /* client->todo */
    struct http_client *client;
    struct http_call_spec spec;
    const struct http_call_ops *ops;
    void *arg;
    struct http_pool *pool;
    struct http_wire *wire;
    struct io_connect *connecting;
    struct http_parser parser;
    struct buf held;
    enum call_state state;
    enum io_end ended_why;
    unsigned interims;
    bool reused;    /* the wire comes from the pool */
    bool got_bytes; /* of an answer: from here on nothing is tried again */
    bool interim;   /* the message being read is a 1xx */
    bool paused;
    bool waiting; /* the parser was left in the middle of a read; see held */
    bool ended;   /* the connection has, and it was not yet told: ended_why */
};

struct http_client {
    struct io_loop *loop;
    size_t head_bytes_max;
    struct list calls, todo;
    struct http_pools pools;
    struct http_head *spare; /* NULL while lent */
    struct buf out;          /* where request heads are written */
    struct io_task task;
    unsigned depth;
    bool freed;
    struct http_header views[HTTP_HEADERS_MAX];
};

static void run_task(struct io_task *task);
static void call_step(struct http_call *call);
static void call_start(struct http_call *call);
static void call_connect(struct http_call *call);
static void on_connect(void *arg, struct io_stream *s, enum io_end why);
static void call_ready(struct http_call *call);
static void call_send(struct http_call *call);
static bool write_head(struct http_call *call);
static void call_receive(struct http_call *call, const char *data, size_t len);
static size_t call_parse(struct http_call *call, const char *data, size_t len);
static void call_head(struct http_call *call);
static enum http_body on_body(void *arg, const char *data, size_t len);
static void call_resume(struct http_call *call);
static void call_disconnected(struct http_call *call, enum io_end why);
static void call_end(struct http_call *call, bool keep, enum http_end how, enum io_end why);
static void call_leave_wire(struct http_call *call, bool keep);
static void call_over(struct http_call *call);
static void call_attend(struct http_call *call);
static void call_free(struct http_call *call);
static void on_wire_data(void *arg, const char *data, size_t len);
static void on_wire_end(void *arg, enum io_end why);
static void client_free_now(struct http_client *c);

static const struct io_stream_ops wire_ops = {on_wire_data, on_wire_end, NULL};

static void enter(struct http_client *c)
{
    c->depth++;
}

static void leave(struct http_client *c)
{
    assert(c->depth > 0);
    if (--c->depth == 0 && c->freed)
        client_free_now(c);
}

/* ---- the interface ---- */

struct http_client *http_client_new(struct io_loop *loop, size_t head_bytes_max)
{
    struct http_client *c = mem_zalloc(sizeof *c);

    if (c == NULL)
        return NULL;
    c->loop = loop;
    c->head_bytes_max = head_bytes_max;
    c->task.run = run_task;
    list_init(&c->calls);
    list_init(&c->todo);
    http_pools_init(&c->pools, loop, &c->task);
    buf_init(&c->out, SEND_HEAD_MAX);
    return c;
}

void http_client_free(struct http_client *c)
{
    struct list *pos, *tmp;

    if (c == NULL || c->freed)
        return;
    enter(c);
    c->freed = true;
    list_for_each(pos, tmp, &c->calls) http_call_cancel(list_entry(pos, struct http_call, node));
    http_pools_close(&c->pools);
    leave(c);
}

/* Not under one of our own functions; if the loop still holds the task, it comes here again. */
static void client_free_now(struct http_client *c)
{
    if (c->task.queued)
        return;
    while (!list_empty(&c->calls))
        call_free(list_first(&c->calls, struct http_call, node));
    http_pools_bury(&c->pools);
    assert(list_empty(&c->pools.pools));
    http_head_free(c->spare);
    buf_fini(&c->out);
    mem_free(c);
}

struct http_call *http_call(struct http_client *c, const struct http_call_spec *spec,
                            const struct http_call_ops *ops, void *arg)
{
    struct http_call *call = mem_zalloc(sizeof *call);

    if (call == NULL)
        return NULL;
    assert(!c->freed);
    call->client = c;
    call->spec = *spec;
    call->ops = ops;
    call->arg = arg;
    buf_init(&call->held, SIZE_MAX); /* one read's worth, whatever that is */
    list_init(&call->todo);
    list_add_tail(&c->calls, &call->node);
    call_attend(call);
    return call;
}

void http_call_go(struct http_call *call)
{
    if (call->state != CALL_HELD)
        return;
    enter(call->client);
    call_send(call);
    leave(call->client);
}

void http_call_cancel(struct http_call *call)
{
    if (call == NULL || call->state == CALL_OVER)
        return;
    call_leave_wire(call, false);
    call_over(call);
}

void http_call_pause(struct http_call *call, bool paused)
{
    if (call->state == CALL_OVER || call->paused == paused)
        return;
    call->paused = paused;
    if (paused && call->wire != NULL)
        io_stream_read(call->wire->stream, false);
    if (!paused)
        call_attend(call);
}

void http_client_counts(const struct http_client *c, size_t *busy, size_t *idle)
{
    *busy = c->pools.n_busy;
    *idle = c->pools.n_idle;
}

/* ---- the end of the turn ---- */

static void run_task(struct io_task *task)
{
    struct http_client *c = list_entry(task, struct http_client, task);
    struct list now;

    enter(c);
    http_pools_bury(&c->pools);
    /* Only those of now: who is put back meanwhile gets the next round. */
    list_init(&now);
    if (!list_empty(&c->todo)) {
        list_add_head(&c->todo, &now);
        list_del(&c->todo);
    }
    while (!list_empty(&now)) {
        struct http_call *call = list_first(&now, struct http_call, todo);

        list_del(&call->todo);
        if (!c->freed)
            call_step(call);
    }
    leave(c);
}

static void defer(struct http_client *c)
{
    if (!c->freed)
        io_defer(c->loop, &c->task);
}

static void call_attend(struct http_call *call)
{
    if (list_empty(&call->todo))
        list_add_tail(&call->client->todo, &call->todo);
    defer(call->client);
}

static void call_step(struct http_call *call)
{
    switch (call->state) {
    case CALL_QUEUED:
        call_start(call);
        break;
    case CALL_OVER:
        call_free(call);
        break;
    default:
        if (!call->paused)
            call_resume(call);
    }
}

/* ---- on the way out ---- */

static void call_start(struct http_call *call)
{
    call->pool = http_pool_ref(&call->client->pools, call->spec.upstream->key);
    if (call->pool == NULL) {
        call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
        return;
    }
    call->wire = http_pool_take(call->pool);
    if (call->wire == NULL) {
        call_connect(call);
        return;
    }
    call->wire->call = call;
    call->reused = true;
    call_ready(call);
}

static void call_connect(struct http_call *call)
{
    const struct http_upstream *up = call->spec.upstream;
    struct io_target target = {
        .host = up->unix_path == NULL ? up->url.host : NULL,
        .port = up->unix_path == NULL ? up->url.port : 0,
        .unix_path = up->unix_path != NULL ? up->unix_path : up->url.unix_path,
        .tls = up->url.tls ? up->tls : NULL,
        .connect_ms = up->connect_ms,
        .allow = up->allow,
        .allow_arg = up->allow_arg,
    };

    assert(!up->url.tls || up->tls != NULL); /* https never goes out in the clear */
    call->state = CALL_CONNECT;
    call->connecting = io_connect(call->client->loop, &target, on_connect, call);
    if (call->connecting == NULL)
        call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
}

static void on_connect(void *arg, struct io_stream *s, enum io_end why)
{
    struct http_call *call = arg;
    struct http_client *c = call->client;

    enter(c);
    call->connecting = NULL;
    call->reused = false;
    if (s == NULL) {
        call_end(call, false, HTTP_CONNECT, why);
    } else if ((call->wire = http_wire_new(call->pool, s, c)) == NULL) {
        io_stream_close(s);
        call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
    } else {
        io_stream_bind(s, &wire_ops, call->wire);
        call->wire->call = call;
        call_ready(call);
    }
    leave(c);
}

/* There is a wire. Its end is looked for while it is held, too. */
static void call_ready(struct http_call *call)
{
    struct io_stream *s = call->wire->stream;

    if (call->spec.on_ready == NULL) {
        call_send(call);
        return;
    }
    call->state = CALL_HELD;
    io_stream_read(s, true);
    call->spec.on_ready(call->arg, io_stream_peer(s));
}

static void call_send(struct http_call *call)
{
    struct http_client *c = call->client;
    struct io_stream *s = call->wire->stream;

    call->state = CALL_WAIT;
    http_parser_init(&call->parser, true, NULL, c->head_bytes_max, on_body, call);
    call->parser.answer_to_head = call->spec.method == HTTP_HEAD;
    if (!write_head(call)) {
        call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
        return;
    }
    strv body = call->spec.body;
    if (body.len <= COPY_MAX && buf_put_strv(&c->out, body))
        body.len = 0;
    struct iovec v[2] = {
        {c->out.data + c->out.start, buf_len(&c->out)},
        {(void *)(uintptr_t)body.ptr, body.len},
    };

    io_stream_set_max(s, v[0].iov_len + v[1].iov_len); /* the stream's own limit is not about us */
    if (!io_stream_write(s, v, v[1].iov_len > 0 ? 2 : 1)) {
        call_disconnected(call, IO_RESET);
        return;
    }
    io_stream_read(s, !call->paused);
    if (call->ops->on_sent != NULL)
        call->ops->on_sent(call->arg, call->reused);
}

static void put_header(struct buf *out, strv name, strv value)
{
    assert(!http_ends_line(name) &&
           !http_ends_line(value)); /* they are the configuration's, checked there */
    buf_put_strv(out, name);
    buf_put(out, ": ", 2);
    buf_put_strv(out, value);
    buf_put(out, "\r\n", 2);
}

static bool write_head(struct http_call *call)
{
    const struct http_call_spec *spec = &call->spec;
    struct buf *out = &call->client->out;
    bool may_have_body =
        spec->method == HTTP_POST || spec->method == HTTP_PUT || spec->method == HTTP_PATCH;

    assert(spec->method != HTTP_OTHER && strpbrk(spec->path, " \r\n") == NULL);
    assert(spec->content_type != NULL || spec->body.len == 0);
    buf_clear(out);
    buf_put_cstr(out, http_method_name(spec->method));
    buf_put_char(out, ' ');
    http_url_join(&spec->upstream->url, spec->path, out);
    buf_put_cstr(out, " HTTP/1.1\r\n");
    put_header(out, STRV("Host"), strv_of(spec->upstream->url.authority));
    for (size_t i = 0; i < spec->n_headers; i++)
        put_header(out, spec->headers[i].name, spec->headers[i].value);
    put_header(out, STRV("Accept-Encoding"), STRV("identity"));
    if (spec->content_type != NULL)
        put_header(out, STRV("Content-Type"), strv_of(spec->content_type));
    if (spec->content_type != NULL || may_have_body) {
        buf_put_cstr(out, "Content-Length: ");
        buf_put_u64(out, spec->body.len);
        buf_put(out, "\r\n", 2);
    }
    return buf_put(out, "\r\n", 2);
}

/* ---- on the way back ---- */

static void on_wire_data(void *arg, const char *data, size_t len)
{
    struct http_wire *w = arg;
    struct http_client *c = w->owner;

    enter(c);
    if (w->call == NULL)
        http_wire_close(w); /* nobody asked */
    else
        call_receive(w->call, data, len);
    leave(c);
}

static void on_wire_end(void *arg, enum io_end why)
{
    struct http_wire *w = arg;
    struct http_client *c = w->owner;

    enter(c);
    if (w->call == NULL)
        http_wire_close(w);
    else
        call_disconnected(w->call, why);
    leave(c);
}

static void call_receive(struct http_call *call, const char *data, size_t len)
{
    size_t used = 0;

    if (call->state == CALL_HELD) { /* an answer to nothing */
        call_disconnected(call, IO_RESET);
        return;
    }
    call->got_bytes = true;
    if (!call->paused && !call->waiting)
        used = call_parse(call, data, len);
    if (call->state == CALL_OVER)
        return;
    if (used < len && !buf_put(&call->held, data + used, len - used)) {
        call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
        return;
    }
    call->waiting = call->waiting || call->paused;
}

/* Returns how many bytes were used: all, or those up to where the brake was put on. */
static size_t call_parse(struct http_call *call, const char *data, size_t len)
{
    struct http_client *c = call->client;
    size_t at = 0, used;
    bool more = true;

    while (more) {
        if (!call->parser.headed && call->parser.head == NULL) {
            call->parser.head = c->spare != NULL ? c->spare : http_head_new(c->head_bytes_max);
            c->spare = NULL;
            if (call->parser.head == NULL) {
                call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
                return at;
            }
        }
        enum http_parsed got = http_parser_feed(&call->parser, data + at, len - at, &used);

        at += used;
        switch (got) {
        case HTTP_PARSED_HEAD:
            call_head(call);
            more = call->state != CALL_OVER && !call->paused;
            break;
        case HTTP_PARSED_MESSAGE:
            if (call->interim) {
                call->interim = false;
                http_parser_init(&call->parser, true, NULL, c->head_bytes_max, on_body, call);
                call->parser.answer_to_head = call->spec.method == HTTP_HEAD;
                more = at < len;
                break;
            }
            call_end(call, call->parser.keep_alive && at == len && !call->ended, HTTP_DONE, IO_EOF);
            return at;
        case HTTP_PARSED_MORE:
        case HTTP_PARSED_PAUSED:
        case HTTP_PARSED_STOPPED: /* the call is over */
            return at;
        case HTTP_PARSED_NO_MEMORY:
            call_end(call, false, HTTP_NO_MEMORY, IO_NO_MEMORY);
            return at;
        default:
            call_end(call, false, HTTP_MALFORMED, IO_EOF);
            return at;
        }
    }
    return at;
}

static void return_head(struct http_call *call)
{
    struct http_head *head = http_parser_take_head(&call->parser);

    if (head == NULL)
        return;
    if (call->client->spare != NULL) {
        http_head_free(head);
        return;
    }
    http_head_clear(head);
    call->client->spare = head;
}

static void call_head(struct http_call *call)
{
    struct http_client *c = call->client;
    struct http_answer answer = {
        .status = http_parser_status(&call->parser),
        .headers = c->views,
        .n_headers = call->parser.head->n,
    };

    if (answer.status < 200) {
        call->interim = true;
        return_head(call);
        if (++call->interims > INTERIM_MAX)
            call_end(call, false, HTTP_MALFORMED, IO_EOF);
        return;
    }
    call->state = CALL_BODY;
    http_head_views(call->parser.head, call->parser.head->text.data, c->views);
    call->ops->on_head(call->arg, &answer);
    return_head(call);
}

static enum http_body on_body(void *arg, const char *data, size_t len)
{
    struct http_call *call = arg;

    call->ops->on_body(call->arg, data, len);
    if (call->state == CALL_OVER)
        return HTTP_BODY_STOP;
    return call->paused ? HTTP_BODY_PAUSE : HTTP_BODY_GO;
}

/* The brake is off: first what waited, then the connection's end if that came meanwhile. */
static void call_resume(struct http_call *call)
{
    if (call->waiting) {
        strv held = buf_view(&call->held);
        size_t used = call_parse(call, held.ptr, held.len);

        if (call->state == CALL_OVER)
            return;
        buf_eat(&call->held, used);
        if (call->paused)
            return;
        assert(buf_len(&call->held) == 0);
        buf_fini(&call->held);
        call->waiting = false;
    }
    if (call->ended)
        call_disconnected(call, call->ended_why);
    else if (call->wire != NULL)
        io_stream_read(call->wire->stream, true);
}

static void call_disconnected(struct http_call *call, enum io_end why)
{
    if (call->state != CALL_HELD && (call->paused || call->waiting)) {
        call->ended = true;
        call->ended_why = why;
        return;
    }
    if (call->reused && !call->got_bytes) {
        /* The server closed it while it was idle or as we wrote; what it has not answered with a
         * single byte we take as not done. The next one is fresh, so this happens once. */
        call_leave_wire(call, false);
        call->ended = false;
        call_connect(call);
    } else if (why == IO_EOF && call->state != CALL_HELD && http_parser_eof(&call->parser)) {
        call_end(call, false, HTTP_DONE_AT_EOF, why);
    } else if (why == IO_NO_MEMORY) {
        call_end(call, false, HTTP_NO_MEMORY, why);
    } else {
        call_end(call, false, why == IO_RESET ? HTTP_RESET : HTTP_CUT, why);
    }
}

static void call_end(struct http_call *call, bool keep, enum http_end how, enum io_end why)
{
    call_leave_wire(call, keep);
    call_over(call);
    call->ops->on_end(call->arg, how, why);
}

/* A wire is kept only if nothing of this call is left on it in either direction. */
static void call_leave_wire(struct http_call *call, bool keep)
{
    struct http_wire *w = call->wire;

    if (call->connecting != NULL)
        io_connect_cancel(call->connecting);
    call->connecting = NULL;
    call->wire = NULL;
    if (w == NULL)
        return;
    w->call = NULL;
    if (keep && io_stream_pending(w->stream) == 0 && !call->client->freed)
        http_wire_park(w, call->spec.upstream->idle_ms, call->spec.upstream->idle_max);
    else
        http_wire_close(w);
}

static void call_over(struct http_call *call)
{
    call->state = CALL_OVER;
    if (call->pool != NULL)
        http_pool_unref(call->pool);
    call->pool = NULL;
    call_attend(call);
}

static void call_free(struct http_call *call)
{
    list_del(&call->node);
    list_del(&call->todo);
    return_head(call);
    buf_fini(&call->held);
    mem_free(call);
}
