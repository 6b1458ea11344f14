/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/mcp_bridge_int.h"
#include "app/term.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define READ_BYTES     ((size_t)64 * 1024)
#define RUNNING_MAX    256
#define GRACE_MS       2000 /* for requests that run when the input ends */

/* ---- standard output ---- */

/* One line; a line end inside of JSON stands between its parts, where a blank does as well. */
void bridge_say(struct bridge *b, strv text)
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
        bridge_say(b, buf_view(&out));
    buf_fini(&out);
}

/* ---- one message ---- */

static void maybe_end(struct bridge *b)
{
    if (b->ended && b->n_running == 0)
        io_loop_stop(b->remote.loop);
}

void bridge_drop(struct sent *s)
{
    struct bridge *b = s->b;
    http_call_cancel(s->call);
    list_del(&s->node);
    b->n_running -= s->role == SENT_MESSAGE;
    http_framer_fini(&s->framer);
    buf_fini(&s->whole);
    arena_fini(&s->arena);
    mem_free(s);
    maybe_end(b);
}

void bridge_fail(struct sent *s, strv text)
{
    if (s->role != SENT_MESSAGE)
        return; /* those that wait for it are told */
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
        bridge_fail(s, STRV("What the router answered is no message."));
        return;
    }
    bool answers = m.kind == MCP_RESULT || m.kind == MCP_ERROR;
    if (answers && m.id.ptr == NULL) { /* it was refused before it was read */
        bridge_fail(s, m.text);
        return;
    }
    if (answers && mend_can(s, &m))
        return;
    if (m.kind == MCP_RESULT && strv_eq_cstr(s->m.method, "initialize"))
        keep(&s->b->revision, json_get_str(m.result, "protocolVersion"));
    if (answers && s->role != SENT_MESSAGE) {
        mend_take(s, &m);
        return;
    }
    s->answered = s->answered || answers;
    bridge_say(s->b, text);
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
    if (strv_eq_cstr(s->m.method, "initialize") && s->status == 200)
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

/* What is left of the answer, or why there is none. */
static void take_end(struct sent *s, enum http_end how, enum io_end why)
{
    if (how == HTTP_CONNECT) {
        char *text = arena_printf(&s->arena, "There is no router at %s (%s): is it running?",
                                  s->b->remote.address, io_end_name(why));
        bridge_fail(s, text != NULL ? strv_of(text) : STRV("There is no router."));
    } else if (s->is_stream) {
        (void)http_framer_end(&s->framer, on_frame, s);
    } else if (how == HTTP_DONE && !s->whole.failed && buf_len(&s->whole) > 0 &&
               s->role != SENT_STREAM) {
        pass(s, buf_view(&s->whole));
    }
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct sent *s = arg;
    s->call = NULL;
    take_end(s, how, why);
    if (s->role == SENT_STREAM) {
        mend_stream_over(s);
    } else if (s->role != SENT_MESSAGE) {
        mend_over(s);
    } else if (s->needs != SENT_MESSAGE) {
        mend_begin(s);
    } else {
        if (s->m.kind == MCP_REQUEST && !s->answered)
            bridge_fail(s, STRV("The router's answer broke off."));
        bridge_drop(s);
    }
}

/* ---- what the headers repeat ---- */

#define HEADERS_MAX 64

static void put_header(struct sent *s, strv name, strv value)
{
    if (s->n_headers < HEADERS_MAX)
        s->headers[s->n_headers++] = (struct http_header){name, value};
}

bool bridge_header(struct sent *s, strv name, strv value)
{
    struct buf b;
    buf_init(&b, 65536);
    bool ok = mcp_header_encode(value, &b);
    value = ok ? arena_strv(&s->arena, buf_view(&b)) : STRV_NONE;
    buf_fini(&b);
    if (value.ptr != NULL)
        put_header(s, name, value);
    return value.ptr != NULL;
}

/* A message of the modern era says all by itself. */
static bool add_modern(struct sent *s, strv version)
{
    strv name =
        json_get_str(s->m.params, strv_eq_cstr(s->m.method, "resources/read") ? "uri" : "name");
    return bridge_header(s, STRV("MCP-Protocol-Version"), version) &&
           bridge_header(s, STRV("Mcp-Method"), s->m.method) &&
           (name.ptr == NULL || bridge_header(s, STRV("Mcp-Name"), name)) &&
           (!strv_eq_cstr(s->m.method, "tools/call") || mend_headers(s));
}

static bool add_legacy(struct sent *s)
{
    const struct bridge *b = s->b;
    if (strv_eq_cstr(s->m.method, "initialize"))
        return true;
    return (buf_len(&b->revision) == 0 ||
            bridge_header(s, STRV("MCP-Protocol-Version"), buf_view(&b->revision))) &&
           (buf_len(&b->session) == 0 ||
            bridge_header(s, STRV("Mcp-Session-Id"), buf_view(&b->session)));
}

static bool add_headers(struct sent *s)
{
    const struct remote *r = &s->b->remote;
    yyjson_val *meta = json_get(s->m.params, "_meta");
    strv version = json_get_str(meta, "io.modelcontextprotocol/protocolVersion");
    s->headers = ARENA_ARRAY(&s->arena, struct http_header, HEADERS_MAX);
    s->n_headers = 0;
    if (s->headers == NULL)
        return false;
    for (size_t i = 0; i < r->n_headers; i++)
        put_header(s, r->headers[i].name, r->headers[i].value);
    put_header(s, STRV("Accept"),
               s->role == SENT_STREAM ? STRV("text/event-stream")
                                      : STRV("application/json, text/event-stream"));
    return version.ptr != NULL ? add_modern(s, version) : add_legacy(s);
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
            bridge_drop(s);
            return;
        }
    }
}

struct sent *bridge_sent(struct bridge *b, enum sent_role role, strv text)
{
    struct sent *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->b = b;
    s->role = role;
    list_init(&s->node);
    arena_init(&s->arena, 4096, BRIDGE_REPLY_MAX * 4);
    http_framer_init(&s->framer, HTTP_SSE, BRIDGE_REPLY_MAX);
    buf_init(&s->whole, BRIDGE_REPLY_MAX);
    s->text = arena_strv(&s->arena, text);
    if (role == SENT_MESSAGE) {
        list_add_tail(&b->running, &s->node);
        b->n_running++;
    }
    return s;
}

bool bridge_post(struct sent *s)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    buf_clear(&s->whole);
    s->is_stream = false;
    if (add_headers(s))
        s->call = remote_begin(&s->b->remote, s->role == SENT_STREAM ? HTTP_GET : HTTP_POST, "/mcp",
                               s->headers, s->n_headers, s->text, &ops, s);
    if (s->call != NULL)
        return true;
    bridge_fail(s, STRV("Out of memory."));
    bridge_drop(s);
    return false;
}

/* What the client says to whoever passes its messages. */
static void note_message(struct sent *s)
{
    struct bridge *b = s->b;
    if (strv_eq_cstr(s->m.method, "initialize"))
        keep(&b->hello, s->text);
    else if (strv_eq_cstr(s->m.method, "notifications/initialized"))
        mend_listen(b);
}

static void take(struct bridge *b, strv line)
{
    struct err err = ERR_INIT;
    int code;
    struct sent *s = bridge_sent(b, SENT_MESSAGE, line);
    if (s == NULL) {
        term_error("out of memory");
        return;
    }
    if (s->text.ptr == NULL || !mcp_message_read(s->text, &s->arena, &s->m, &code, &err)) {
        say_error(b, s->m.id, s->text.ptr != NULL ? code : MCP_INTERNAL,
                  strv_of(err.text[0] != '\0' ? err.text : "Out of memory."));
        bridge_drop(s);
    } else if (s->m.kind == MCP_NOTIFICATION &&
               strv_eq_cstr(s->m.method, "notifications/cancelled")) {
        cancel(b, &s->m);
        bridge_drop(s);
    } else if (b->n_running > RUNNING_MAX) {
        bridge_fail(s, STRV("Too many requests at the same time."));
        bridge_drop(s);
    } else {
        note_message(s);
        (void)bridge_post(s);
    }
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
    list_init(&b.marked);
    buf_init(&b.hello, BRIDGE_REPLY_MAX);
    buf_init(&b.revision, 64);
    buf_init(&b.session, 1024);
    arena_init(&b.scratch, 4096, BRIDGE_REPLY_MAX * 4);
    int status = remote_open(&b.remote, cli);
    if (status == EXIT_OK)
        status = run(&b);
    list_for_each(pos, tmp, &b.running) bridge_drop(list_entry(pos, struct sent, node));
    mend_fini(&b);
    if (b.remote.loop != NULL)
        io_timer_stop(b.remote.loop, &b.grace);
    remote_close(&b.remote);
    buf_fini(&b.hello);
    buf_fini(&b.revision);
    buf_fini(&b.session);
    arena_fini(&b.scratch);
    return status;
}
