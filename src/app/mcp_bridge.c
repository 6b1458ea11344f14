/* SPDX-License-Identifier: Apache-2.0 */
#include "app/mcp_bridge.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/remote.h"
#include "app/term.h"
#include "mcp/mcp.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define REPLY_MAX      ((size_t)256 << 20)
#define READ_BYTES     ((size_t)64 * 1024)
#define RUNNING_MAX    256
#define GRACE_MS       2000 /* for requests that run when the input ends */

struct bridge {
    struct remote remote;
    struct list running;
    size_t n_running;
    struct buf revision, session; /* of a legacy client, once it is initialized */
    struct arena scratch;         /* for one message of the router */
    struct io_timer grace;
    bool ended; /* the input */
    int result;
};

struct sent { /* a message on its way to the router, and what comes back */
    struct list node;
    struct bridge *b;
    struct arena arena; /* the message, its headers, what is read of the answer */
    struct mcp_message m;
    strv text;
    struct http_header headers[8];
    size_t n_headers;
    struct http_call *call;
    struct http_framer framer;
    struct buf whole;
    bool is_stream, answered;
    int status;
};

/* ---- standard output ---- */

/* One line; a line end inside of JSON stands between its parts, where a blank does as well. */
static void say(struct bridge *b, strv text)
{
    char *line = mem_alloc(text.len + 1);
    if (line == NULL) {
        term_error("out of memory");
        b->result = EXIT_FAILED;
        io_loop_stop(b->remote.loop);
        return;
    }
    for (size_t i = 0; i < text.len; i++)
        line[i] = text.ptr[i] == '\n' || text.ptr[i] == '\r' ? ' ' : text.ptr[i];
    line[text.len] = '\n';
    for (size_t at = 0; at <= text.len;) {
        ssize_t n = write(STDOUT_FILENO, line + at, text.len + 1 - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) { /* nobody reads any more */
            io_loop_stop(b->remote.loop);
            break;
        }
        at += (size_t)n;
    }
    mem_free(line);
}

static void say_error(struct bridge *b, strv id, int code, strv text)
{
    struct buf out;
    buf_init(&out, 65536);
    buf_put_cstr(&out, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_put_strv(&out, id.len > 0 ? id : STRV("null"));
    buf_printf(&out, ",\"error\":{\"code\":%d,\"message\":", code);
    json_put_str(&out, utf8_cut(text, 1000));
    buf_put_cstr(&out, "}}");
    if (!out.failed)
        say(b, buf_view(&out));
    buf_fini(&out);
}

/* ---- one message ---- */

static void maybe_end(struct bridge *b)
{
    if (b->ended && b->n_running == 0)
        io_loop_stop(b->remote.loop);
}

static void drop(struct sent *s)
{
    struct bridge *b = s->b;
    http_call_cancel(s->call);
    list_del(&s->node);
    b->n_running--;
    http_framer_fini(&s->framer);
    buf_fini(&s->whole);
    arena_fini(&s->arena);
    mem_free(s);
    maybe_end(b);
}

/* Why a request has no answer of the router's own. */
static void fail(struct sent *s, strv text)
{
    if (s->m.kind == MCP_REQUEST && !s->answered)
        say_error(s->b, s->m.id, MCP_INTERNAL, text);
    else if (s->m.kind != MCP_REQUEST)
        term_error(STRV_FMT, STRV_ARG(text));
    s->answered = true;
}

static void keep(struct buf *b, strv text)
{
    buf_clear(b);
    buf_put_strv(b, text);
}

/* A message of the router for our client. */
static void pass_message(struct sent *s, strv text)
{
    struct mcp_message m;
    struct err err = ERR_INIT;
    int code;
    if (!mcp_message_read(text, &s->b->scratch, &m, &code, &err)) {
        fail(s, STRV("What the router answered is no message."));
        return;
    }
    bool answers = m.kind == MCP_RESULT || m.kind == MCP_ERROR;
    if (answers && m.id.ptr == NULL) { /* it was refused before it was read */
        fail(s, m.text);
        return;
    }
    if (m.kind == MCP_RESULT && strv_eq_cstr(s->m.method, "initialize"))
        keep(&s->b->revision, json_get_str(m.result, "protocolVersion"));
    s->answered = s->answered || answers;
    say(s->b, text);
}

static void pass(struct sent *s, strv text)
{
    pass_message(s, text);
    arena_reset(&s->b->scratch);
}

static bool on_frame(void *arg, const struct http_frame *frame)
{
    pass(arg, frame->data);
    return true;
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct sent *s = arg;
    strv type = http_answer_header(answer, "Content-Type");
    strv session = http_answer_header(answer, "Mcp-Session-Id");
    s->status = answer->status;
    s->is_stream = strv_starts(type, STRV("text/event-stream"));
    if (strv_eq_cstr(s->m.method, "initialize"))
        keep(&s->b->session, session.ptr != NULL ? session : STRV(""));
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct sent *s = arg;
    if (s->is_stream)
        (void)http_framer_feed(&s->framer, data, len, on_frame, s);
    else
        (void)buf_put(&s->whole, data, len);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct sent *s = arg;
    s->call = NULL;
    if (how == HTTP_CONNECT) {
        char *text = arena_printf(&s->arena, "There is no router at %s (%s): is it running?",
                                  s->b->remote.address, io_end_name(why));
        fail(s, text != NULL ? strv_of(text) : STRV("There is no router."));
    } else if (s->is_stream) {
        (void)http_framer_end(&s->framer, on_frame, s);
    } else if (how == HTTP_DONE && !s->whole.failed && buf_len(&s->whole) > 0) {
        pass(s, buf_view(&s->whole));
    }
    if (s->m.kind == MCP_REQUEST && !s->answered)
        fail(s, STRV("The router's answer broke off."));
    drop(s);
}

/* ---- what the headers repeat ---- */

static void add_header(struct sent *s, const char *name, strv value)
{
    struct buf b;
    buf_init(&b, 65536);
    if (mcp_header_encode(value, &b))
        s->headers[s->n_headers++] =
            (struct http_header){strv_of(name), arena_strv(&s->arena, buf_view(&b))};
    buf_fini(&b);
}

static void add_headers(struct sent *s)
{
    const struct bridge *b = s->b;
    const struct remote *r = &b->remote;
    yyjson_val *meta = json_get(s->m.params, "_meta");
    strv version = json_get_str(meta, "io.modelcontextprotocol/protocolVersion");
    for (size_t i = 0; i < r->n_headers; i++)
        s->headers[s->n_headers++] = r->headers[i];
    s->headers[s->n_headers++] =
        (struct http_header){STRV("Accept"), STRV("application/json, text/event-stream")};
    if (version.ptr != NULL) {
        strv name =
            json_get_str(s->m.params, strv_eq_cstr(s->m.method, "resources/read") ? "uri" : "name");
        add_header(s, "MCP-Protocol-Version", version);
        add_header(s, "Mcp-Method", s->m.method);
        if (name.ptr != NULL)
            add_header(s, "Mcp-Name", name);
        return;
    }
    if (strv_eq_cstr(s->m.method, "initialize"))
        return;
    if (buf_len(&b->revision) > 0)
        add_header(s, "MCP-Protocol-Version", buf_view(&b->revision));
    if (buf_len(&b->session) > 0)
        add_header(s, "Mcp-Session-Id", buf_view(&b->session));
}

/* A closed connection is how the router hears of it; what runs there ends, and nothing is answered. */
static void cancel(struct bridge *b, const struct mcp_message *m)
{
    struct list *pos, *tmp;
    strv id;
    if (!json_raw_member(&m->json, m->params, "requestId", &id))
        return;
    list_for_each(pos, tmp, &b->running)
    {
        struct sent *s = list_entry(pos, struct sent, node);
        if (s->m.kind == MCP_REQUEST && strv_eq(s->m.id, id)) {
            drop(s);
            return;
        }
    }
}

static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};

static void post(struct sent *s)
{
    add_headers(s);
    s->call = s->arena.failed ? NULL
                              : remote_begin(&s->b->remote, HTTP_POST, "/mcp", s->headers,
                                             s->n_headers, s->text, &ops, s);
    if (s->call != NULL)
        return;
    fail(s, STRV("Out of memory."));
    drop(s);
}

static void take(struct bridge *b, strv line)
{
    struct err err = ERR_INIT;
    int code;
    struct sent *s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        term_error("out of memory");
        return;
    }
    s->b = b;
    arena_init(&s->arena, 4096, REPLY_MAX * 4);
    http_framer_init(&s->framer, HTTP_SSE, REPLY_MAX);
    buf_init(&s->whole, REPLY_MAX);
    list_add_tail(&b->running, &s->node);
    b->n_running++;
    s->text = arena_strv(&s->arena, line);
    if (s->text.ptr == NULL || !mcp_message_read(s->text, &s->arena, &s->m, &code, &err)) {
        say_error(b, s->m.id, s->text.ptr != NULL ? code : MCP_INTERNAL,
                  strv_of(err.text[0] != '\0' ? err.text : "Out of memory."));
        drop(s);
    } else if (s->m.kind == MCP_NOTIFICATION &&
               strv_eq_cstr(s->m.method, "notifications/cancelled")) {
        cancel(b, &s->m);
        drop(s);
    } else if (b->n_running > RUNNING_MAX) {
        fail(s, STRV("Too many requests at the same time."));
        drop(s);
    } else
        post(s);
}

/* ---- standard input: a thread that only reads, so that neither side ever waits for the other ---- */

struct line { /* handed to the loop */
    struct bridge *b;
    size_t len;
    bool too_long, last;
    char text[];
};

static void on_grace(void *arg)
{
    struct bridge *b = arg;
    io_loop_stop(b->remote.loop);
}

static void on_line(void *arg)
{
    struct line *l = arg;
    struct bridge *b = l->b;
    if (l->too_long)
        say_error(b, STRV_NONE, MCP_INVALID_REQUEST, STRV("This message is too long."));
    else if (strv_trim((strv){l->text, l->len}).len > 0)
        take(b, strv_trim((strv){l->text, l->len}));
    if (l->last) {
        b->ended = true;
        io_timer_start(b->remote.loop, &b->grace, GRACE_MS, on_grace, b);
        maybe_end(b);
    }
    mem_free(l);
}

static bool hand_over(struct bridge *b, struct buf *partial, bool last)
{
    size_t len = partial->failed ? 0 : buf_len(partial);
    struct line *l = mem_alloc(sizeof *l + len);
    if (l == NULL)
        return false;
    *l = (struct line){.b = b, .len = len, .too_long = partial->failed, .last = last};
    if (len > 0)
        memcpy(l->text, buf_view(partial).ptr, len);
    buf_clear(partial);
    if (io_post(b->remote.loop, on_line, l))
        return true;
    mem_free(l);
    return false;
}

static void *read_lines(void *arg)
{
    struct bridge *b = arg;
    char *data = mem_alloc(READ_BYTES);
    struct buf partial;
    bool ok = data != NULL;
    buf_init(&partial, LINE_MAX_BYTES);
    while (ok) {
        ssize_t n = read(STDIN_FILENO, data, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        strv rest = {data, (size_t)n};
        for (const char *end; ok && (end = memchr(rest.ptr, '\n', rest.len)) != NULL;) {
            size_t len = (size_t)(end - rest.ptr);
            buf_put(&partial, rest.ptr, len);
            ok = hand_over(b, &partial, false);
            rest = strv_from(rest, len + 1);
        }
        buf_put_strv(&partial, rest);
    }
    if (!hand_over(b, &partial, true))
        io_loop_stop(b->remote.loop);
    buf_fini(&partial);
    mem_free(data);
    return NULL;
}

/* ---- */

static void on_signal(void *arg, int signum)
{
    struct bridge *b = arg;
    b->result = 128 + signum;
    io_loop_stop(b->remote.loop);
}

static int run(struct bridge *b)
{
    struct err err = ERR_INIT;
    pthread_t reader;
    sigset_t all, old;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write() */
    if (!io_on_signal(b->remote.loop, SIGINT, on_signal, b, &err) ||
        !io_on_signal(b->remote.loop, SIGTERM, on_signal, b, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&reader, NULL, read_lines, b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0) {
        term_error("cannot start a thread: %s", strerror(e));
        return EXIT_FAILED;
    }
    io_loop_run(b->remote.loop);
    if (!b->ended) /* it is still inside read(), and nothing can wake it: the process ends under it */
        _exit(b->result);
    pthread_join(reader, NULL);
    return b->result;
}

int mcp_bridge(struct cli *cli)
{
    struct bridge b = {.result = EXIT_OK};
    struct list *pos, *tmp;
    list_init(&b.running);
    buf_init(&b.revision, 64);
    buf_init(&b.session, 1024);
    arena_init(&b.scratch, 4096, REPLY_MAX * 4);
    int status = remote_open(&b.remote, cli);
    if (status == EXIT_OK)
        status = run(&b);
    list_for_each(pos, tmp, &b.running) drop(list_entry(pos, struct sent, node));
    if (b.remote.loop != NULL)
        io_timer_stop(b.remote.loop, &b.grace);
    remote_close(&b.remote);
    buf_fini(&b.revision);
    buf_fini(&b.session);
    arena_fini(&b.scratch);
    return status;
}
