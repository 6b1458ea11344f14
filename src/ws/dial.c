/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial - the client's side of the opening handshake (RFC 6455, 4.1).
 *
 *   io_connect > GET with a key of chance > 101 with what answers it > ws_make
 *
 * The answer's head is bounded and must come in time. Any other status is told as it is; its body is not read.
 */
#include <openssl/evp.h>

#include "ws/ws_int.h"

#define HEAD_BYTES_MAX ((size_t)16 * 1024)

struct ws_dial {
    struct io_loop *loop;
    struct io_connect *connecting;
    struct io_stream *stream;
    struct buf request, head;
    char accept[WS_ACCEPT_CHARS + 1];
    struct ws_opts opts;
    const struct ws_ops *ops;
    void *arg;
    ws_dialed_fn fn; /* NULL once told */
    struct io_timer timer;
    struct io_task task;
};

static void free_dial(struct ws_dial *d)
{
    mem_free_secret(d->request.data, d->request.cap); /* there is a key in it */
    buf_fini(&d->head);
    mem_free(d);
}

static void run_task(struct io_task *task)
{
    free_dial(list_entry(task, struct ws_dial, task));
}

/* The last of it: whatever is still open is closed, memory goes at the end of the turn. */
static void let_go(struct ws_dial *d)
{
    d->fn = NULL;
    io_timer_stop(d->loop, &d->timer);
    if (d->connecting != NULL)
        io_connect_cancel(d->connecting);
    io_stream_close(d->stream);
    d->connecting = NULL;
    d->stream = NULL;
    io_defer(d->loop, &d->task);
}

static void fail(struct ws_dial *d, int status, enum io_end why)
{
    ws_dialed_fn fn = d->fn;
    if (fn == NULL)
        return;
    let_go(d);
    fn(d->arg, NULL, status, why);
}

/* ---- the answer ---- */

static strv header(strv head, const char *name)
{
    strv line, key;
    while (strv_cut(&head, '\n', &line)) {
        strv value = line;
        if (memchr(line.ptr, ':', line.len) != NULL && strv_cut(&value, ':', &key) &&
            strv_eq_nocase(key, strv_of(name)))
            return strv_trim(value);
    }
    return STRV("");
}

/* "HTTP/1.1 101 Switching Protocols"; 0 = no such line. */
static int status_of(strv head)
{
    uint64_t status;
    if (head.len < 12 || !strv_starts(head, STRV("HTTP/1.1 ")) ||
        !strv_u64((strv){head.ptr + 9, 3}, 100, 599, &status))
        return 0;
    return (int)status;
}

static bool is_upgrade(const struct ws_dial *d, strv head)
{
    return status_of(head) == 101 && ws_lists(header(head, "Upgrade"), "websocket") &&
           ws_lists(header(head, "Connection"), "upgrade") &&
           strv_eq_cstr(header(head, "Sec-WebSocket-Accept"), d->accept) &&
           header(head, "Sec-WebSocket-Extensions").len == 0;
}

static void take_head(struct ws_dial *d, strv head, strv early)
{
    if (!is_upgrade(d, head)) {
        fail(d, status_of(head), IO_RESET);
        return;
    }
    struct io_stream *s = d->stream;
    ws_dialed_fn fn = d->fn;
    d->stream = NULL;
    struct ws *w = ws_make(d->loop, s, early, &d->opts, d->ops, d->arg, true);
    let_go(d); /* `early` lies in it until the turn ends */
    fn(d->arg, w, 0, IO_NO_MEMORY);
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct ws_dial *d = arg;
    if (!buf_put(&d->head, data, len)) {
        fail(d, 0, IO_RESET);
        return;
    }
    strv all = buf_view(&d->head);
    const char *end = memmem(all.ptr, all.len, "\r\n\r\n", 4);
    if (end != NULL) {
        size_t n = (size_t)(end - all.ptr) + 4;
        take_head(d, (strv){all.ptr, n}, strv_from(all, n));
    }
}

static void on_end(void *arg, enum io_end end)
{
    fail(arg, 0, end == IO_EOF ? IO_RESET : end);
}

static void on_late(void *arg)
{
    fail(arg, 0, IO_TIMEOUT);
}

static void on_connect(void *arg, struct io_stream *s, enum io_end why)
{
    static const struct io_stream_ops stream_ops = {on_data, on_end, NULL};
    struct ws_dial *d = arg;
    struct iovec v = {d->request.data + d->request.start, buf_len(&d->request)};
    d->connecting = NULL;
    d->stream = s;
    if (s == NULL) {
        fail(d, 0, why);
        return;
    }
    io_stream_bind(s, &stream_ops, d);
    io_stream_read(s, true);
    if (!io_stream_write(s, &v, 1))
        fail(d, 0, IO_NO_MEMORY);
}

/* ---- the request ---- */

static bool put_key(struct ws_dial *d)
{
    unsigned char bytes[16], key[WS_KEY_CHARS + 1];
    if (!rng_secret(bytes, sizeof bytes))
        return false;
    EVP_EncodeBlock(key, bytes, sizeof bytes);
    ws_accept_of((const char *)key, d->accept);
    return buf_printf(&d->request, "Sec-WebSocket-Key: %s\r\n", (const char *)key);
}

static bool put_request(struct ws_dial *d, const struct ws_call *call)
{
    struct buf *b = &d->request;
    buf_put_cstr(b, "GET ");
    http_url_join(&call->upstream->url, call->path, b);
    buf_printf(b,
               " HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\n",
               call->upstream->url.authority);
    for (size_t i = 0; i < call->n_headers; i++) {
        buf_put_strv(b, call->headers[i].name);
        buf_put_cstr(b, ": ");
        buf_put_strv(b, call->headers[i].value);
        buf_put_cstr(b, "\r\n");
    }
    return put_key(d) && buf_put_cstr(b, "\r\n");
}

struct ws_dial *ws_dial(struct io_loop *loop, const struct ws_call *call,
                        const struct ws_opts *opts, const struct ws_ops *ops, void *arg,
                        ws_dialed_fn fn)
{
    const struct http_upstream *up = call->upstream;
    struct ws_dial *d = mem_zalloc(sizeof *d);
    if (d == NULL)
        return NULL;
    d->loop = loop;
    d->opts = *opts;
    d->ops = ops;
    d->arg = arg;
    d->fn = fn;
    d->task.run = run_task;
    buf_init(&d->request, HEAD_BYTES_MAX);
    buf_init(&d->head, HEAD_BYTES_MAX + opts->message_bytes_max);
    if (put_request(d, call))
        d->connecting =
            io_connect(loop,
                       &(struct io_target){.host = up->unix_path == NULL ? up->url.host : NULL,
                                           .port = up->unix_path == NULL ? up->url.port : 0,
                                           .unix_path = up->unix_path,
                                           .tls = up->url.tls ? up->tls : NULL,
                                           .connect_ms = up->connect_ms},
                       on_connect, d);
    if (d->connecting == NULL) {
        free_dial(d);
        return NULL;
    }
    io_timer_start(loop, &d->timer, up->connect_ms + opts->close_ms, on_late, d);
    return d;
}

void ws_dial_cancel(struct ws_dial *d)
{
    if (d != NULL)
        let_go(d);
}
