/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply - status lines, headers, bodies; and the one place where replies become bytes on a connection.
 *
 * What one connection is given in a turn is collected in server->out and sent at the turn's end, or when
 * another connection wants the space: a whole reply, or all events that came with one read, are one
 * write and one chunk. The chunk's size is not known when it begins, so room is left for it and what
 * stands before is moved up against it: no second piece for the kernel, no zeros in the size.
 */
#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "http/conn.h"

#define NO_CHUNK  SIZE_MAX
#define SIZE_LINE 18 /* 16 digits, CR, LF */
/* Always kept free: the end of a chunk, and the last chunk. */
#define TAIL ((size_t)7)

struct reply_line {
    struct reply_line *next;
    size_t len;
    char text[]; /* "Name: value\r\n" */
};

static struct serving *serving_of(struct http_request *req)
{
    return (struct serving *)(void *)req; /* pub is the first member */
}

static void send_out(struct http_server *s, strv more);
static void own(struct http_conn *c);
static void put(struct http_conn *c, const void *data, size_t n);
static void put_cstr(struct http_conn *c, const char *text);
static void put_number(struct http_conn *c, uint64_t n);
static void put_date(struct http_conn *c);
static void begin_chunk(struct http_out *out);
static void end_chunk(struct http_out *out, size_t more);
static void put_last_chunk(struct http_out *out);

/* ---- the interface ---- */

void http_reply_header(struct http_request *req, const char *name, strv value)
{
    struct serving *r = serving_of(req);
    strv key = strv_of(name);
    struct reply_line *line;

    assert(!http_ends_line(key) && !http_ends_line(value));
    if (r->ended)
        return;
    assert(!r->begun);
    line = arena_alloc(&req->arena, sizeof *line + key.len + value.len + 4);
    if (line == NULL) {
        r->lines_failed = true;
        return;
    }
    line->next = NULL;
    line->len = key.len + value.len + 4;
    memcpy(line->text, key.ptr, key.len);
    memcpy(line->text + key.len, ": ", 2);
    if (value.len > 0)
        memcpy(line->text + key.len + 2, value.ptr, value.len);
    memcpy(line->text + key.len + 2 + value.len, "\r\n", 2);
    if (r->lines_end != NULL)
        r->lines_end->next = line;
    else
        r->lines = line;
    r->lines_end = line;
}

void http_reply_begin(struct http_request *req, int status, const char *content_type,
                      int64_t length)
{
    struct serving *r = serving_of(req);
    struct http_conn *c = r->conn;
    bool empty = status == 204 || status == 304;

    if (r->ended)
        return;
    assert(!r->begun && status >= 200 && status <= 599 && length >= HTTP_LENGTH_STREAM);
    if (r->lines_failed) { /* a reply without what the handler wanted to say is not sent; it learns by on_gone */
        http_conn_lost(c);
        return;
    }
    r->begun = true;
    r->announced = length;
    r->no_body = empty || req->method == HTTP_HEAD;
    r->chunked = length == HTTP_LENGTH_STREAM && http_parser_minor(&r->parser) > 0 && !r->no_body;
    if (c->server->leaving || (length == HTTP_LENGTH_STREAM && !r->chunked && !r->no_body))
        c->closing = true;

    own(c);
    put_cstr(c, "HTTP/1.1 ");
    put_number(c, (uint64_t)status);
    put(c, " ", 1);
    put_cstr(c, http_status_text(status));
    put(c, "\r\n", 2);
    put_date(c);
    if (content_type != NULL) {
        assert(!http_ends_line(strv_of(content_type)));
        put_cstr(c, "Content-Type: ");
        put_cstr(c, content_type);
        put(c, "\r\n", 2);
    }
    for (struct reply_line *line = r->lines; line != NULL; line = line->next)
        put(c, line->text, line->len);
    if (length >= 0 && !empty) {
        put_cstr(c, "Content-Length: ");
        put_number(c, (uint64_t)length);
        put(c, "\r\n", 2);
    } else if (r->chunked) {
        put_cstr(c, "Transfer-Encoding: chunked\r\n");
    }
    if (c->closing)
        put_cstr(c, "Connection: close\r\n");
    put(c, "\r\n", 2);
}

void http_reply_upgrade(struct http_request *req, const char *protocol,
                        void (*taken)(struct http_request *req, struct io_stream *s, strv early))
{
    struct serving *r = serving_of(req);
    struct http_conn *c = r->conn;

    if (r->ended)
        return;
    assert(!r->begun && c->state == CONN_SERVE);
    if (r->lines_failed) {
        http_conn_lost(c);
        return;
    }
    r->begun = true;
    r->taken = taken;
    own(c);
    put_cstr(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
    put_cstr(c, protocol);
    put(c, "\r\n", 2);
    for (struct reply_line *line = r->lines; line != NULL; line = line->next)
        put(c, line->text, line->len);
    put(c, "\r\n", 2);
    http_conn_attend(c);
}

void http_reply_body(struct http_request *req, const void *data, size_t n)
{
    struct serving *r = serving_of(req);
    struct http_conn *c = r->conn;
    struct http_out *out;

    if (r->ended || n == 0)
        return;
    assert(r->begun);
    r->given += n;
    assert(r->announced == HTTP_LENGTH_STREAM || r->given <= (uint64_t)r->announced);
    if (r->no_body)
        return;
    own(c);
    out = &c->server->out;
    if (out->len + SIZE_LINE + TAIL + (n <= OUT_DIRECT_BYTES ? n : 0) > OUT_BYTES) {
        http_out_flush(c->server);
        if (r->ended)
            return;
        own(c);
    }
    if (r->chunked)
        begin_chunk(out);
    if (n > OUT_DIRECT_BYTES)
        send_out(c->server, (strv){data, n});
    else
        put(c, data, n);
}

void http_reply_end(struct http_request *req)
{
    struct serving *r = serving_of(req);
    struct http_conn *c = r->conn;

    if (r->ended)
        return;
    assert(r->begun);
    assert(r->announced == HTTP_LENGTH_STREAM || r->no_body || r->given == (uint64_t)r->announced);
    if (r->chunked) {
        own(c);
        put_last_chunk(&c->server->out);
    }
    r->ended = true;
    http_conn_reply_ended(c);
}

void http_reply_abort(struct http_request *req)
{
    struct serving *r = serving_of(req);

    if (r->ended)
        return;
    r->ended = true; /* so that nobody tells the handler what it did itself */
    /* What was given (an error in the caller's own words) still goes out: without its last chunk, or
     * short of its length, nobody takes the reply for whole. Any other needs a reset. */
    bool seen_cut =
        r->chunked || (r->announced >= 0 && !r->no_body && r->given < (uint64_t)r->announced);

    if (r->begun &&
        seen_cut) { /* at the end of the turn, as any reply: what it is counted as comes first */
        r->conn->closing = true;
        http_conn_reply_ended(r->conn);
    } else {
        http_conn_lost(r->conn);
    }
}

void http_reply_whole(struct http_request *req, int status, const char *content_type, strv body)
{
    http_reply_begin(req, status, content_type, (int64_t)body.len);
    http_reply_body(req, body.ptr, body.len);
    http_reply_end(req);
}

size_t http_reply_pending(const struct http_request *req)
{
    const struct serving *r = (const struct serving *)(const void *)req;
    const struct http_conn *c = r->conn;

    /* Not what this turn has put together so far: it may be taken at once at the end, and then nobody tells
     * those who wait for on_drain(). */
    return r->ended || c->stream == NULL ? 0 : io_stream_pending(c->stream);
}

bool http_reply_begun(const struct http_request *req)
{
    return ((const struct serving *)(const void *)req)->begun;
}

/* ---- the turn's output ---- */

void http_out_flush(struct http_server *s)
{
    send_out(s, STRV_NONE);
}

void http_out_drop(struct http_conn *c)
{
    struct http_out *out = &c->server->out;

    if (out->owner != c)
        return;
    out->owner = NULL;
    out->start = out->len = 0;
    out->chunk_at = NO_CHUNK;
}

/* Sends what is there, and `more` behind it as part of the same chunk. */
static void send_out(struct http_server *s, strv more)
{
    struct http_out *out = &s->out;
    struct http_conn *c = out->owner;
    struct iovec v[3];
    int n = 0;

    if (c == NULL)
        return;
    bool chunk = out->chunk_at != NO_CHUNK;
    end_chunk(out, more.len);
    if (out->len > out->start)
        v[n++] = (struct iovec){out->data + out->start, out->len - out->start};
    if (more.len > 0) {
        v[n++] = (struct iovec){(void *)(uintptr_t)more.ptr, more.len};
        if (chunk)
            v[n++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    }
    size_t total = out->len - out->start + more.len + (more.len > 0 && chunk ? 2 : 0);
    http_out_drop(c);
    if (n == 0)
        return;
    if (io_stream_write(c->stream, v, n))
        http_conn_wrote(c, total);
    else
        http_conn_lost(c);
}

/* Makes the space this connection's. Only a living connection's handler gets here. */
static void own(struct http_conn *c)
{
    struct http_out *out = &c->server->out;

    assert(c->stream != NULL);
    if (out->owner == c)
        return;
    if (out->owner != NULL)
        http_out_flush(c->server);
    out->owner = c;
    out->start = out->len = 0;
    out->chunk_at = NO_CHUNK;
    io_defer(c->server->loop, &c->server->task);
}

/* Data that may not fit: headers. After a failed write the rest is dropped with the connection. */
static void put(struct http_conn *c, const void *data, size_t n)
{
    struct http_out *out = &c->server->out;
    const char *from = data;

    while (c->stream != NULL && n > 0) {
        own(c);
        size_t room = out->len < OUT_BYTES - TAIL ? OUT_BYTES - TAIL - out->len : 0;
        size_t now = n < room ? n : room;

        memcpy(out->data + out->len, from, now);
        out->len += now;
        from += now;
        n -= now;
        if (n > 0)
            http_out_flush(c->server);
    }
}

static void put_cstr(struct http_conn *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_number(struct http_conn *c, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    put(c, digits + at, sizeof digits - at);
}

static void put_date(struct http_conn *c)
{
    struct http_server *s = c->server;
    time_t now = (time_t)(io_wall_us(s->loop) / 1000000);
    struct tm tm;

    if (now != s->date_s) { /* the locale is never set, so the names are English */
        s->date_s = now;
        gmtime_r(&now, &tm);
        strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    put_cstr(c, s->date);
}

static void put_last_chunk(struct http_out *out)
{
    end_chunk(out, 0);
    assert(OUT_BYTES - out->len >= 5); /* what TAIL is for */
    memcpy(out->data + out->len, "0\r\n\r\n", 5);
    out->len += 5;
}

static void begin_chunk(struct http_out *out)
{
    if (out->chunk_at != NO_CHUNK)
        return;
    out->chunk_at = out->len;
    out->len += SIZE_LINE;
}

/* Writes the open chunk's size, counting `more` bytes that follow the data, and its end if none do. */
static void end_chunk(struct http_out *out, size_t more)
{
    char line[SIZE_LINE];
    size_t at = SIZE_LINE - 2, data, gap;

    if (out->chunk_at == NO_CHUNK)
        return;
    data = out->len - out->chunk_at - SIZE_LINE + more;
    if (data == 0) {
        out->len = out->chunk_at;
        out->chunk_at = NO_CHUNK;
        return;
    }
    memcpy(line + at, "\r\n", 2);
    for (size_t n = data; n != 0; n >>= 4)
        line[--at] = "0123456789abcdef"[n & 15];
    gap = at;
    memmove(out->data + out->start + gap, out->data + out->start, out->chunk_at - out->start);
    out->start += gap;
    memcpy(out->data + out->chunk_at + gap, line + at, SIZE_LINE - at);
    out->chunk_at = NO_CHUNK;
    if (more == 0) {
        memcpy(out->data + out->len, "\r\n", 2);
        out->len += 2;
    }
}
