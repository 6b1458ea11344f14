/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake - a request from its first byte until its handler has it, or until it is refused.
 *
 * The head is collected in memory borrowed from the server and copied into the request's arena in one go
 * when it is complete; the body goes straight into one block of the size that was announced.
 */
#include <assert.h>

#include "http/conn.h"

/* A refused body up to this size is read over, which is cheaper than a new connection. */
#define DISCARD_MAX ((uint64_t)64 * 1024)
/* First block of a request's arena: the head of an ordinary request, the handler's own structs and the reply's head. A
 * second one would be twice as large, and stay as long as a stream does. */
#define ARENA_BLOCK ((size_t)6144)
/* A decoded document takes a small multiple of its body (yyjson: 12 to 16 bytes per byte at worst). */
#define ARENA_PER_BODY 16
#define ARENA_BASE     ((size_t)1024 * 1024)

static bool request_keep_head(struct serving *r);
static enum http_body on_body(void *arg, const char *data, size_t len);

bool http_intake_begin(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct serving *r = mem_zalloc(sizeof *r);
    struct http_head *head = s->spare;

    if (r == NULL)
        return false;
    if (head == NULL)
        head = http_head_new(s->opts.head_bytes_max);
    if (head == NULL) {
        mem_free(r);
        return false;
    }
    s->spare = NULL;
    head->text.max = s->opts.head_bytes_max;
    http_parser_init(&r->parser, false, head, s->opts.head_bytes_max, on_body, r);
    r->conn = c;
    r->pub.method = HTTP_OTHER;
    r->pub.target = r->pub.path = r->pub.query = r->pub.body = STRV("");
    r->pub.loopback_peer = io_stream_is_loopback(c->stream);
    r->pub.peer = io_stream_peer(c->stream);
    r->pub.listener = c->listener;
    r->pub.body_max = s->opts.body_bytes_max;
    arena_init(&r->pub.arena, ARENA_BLOCK, ARENA_BASE);
    c->req = r;
    return true;
}

static void return_head(struct http_server *s, struct serving *r)
{
    struct http_head *head = http_parser_take_head(&r->parser);

    if (head == NULL)
        return;
    if (s->spare != NULL) {
        http_head_free(head);
        return;
    }
    http_head_clear(head);
    s->spare = head;
}

void http_intake_free(struct http_conn *c)
{
    struct serving *r = c->req;

    if (r == NULL)
        return;
    if (r->pub.on_over != NULL)
        r->pub.on_over(&r->pub);
    return_head(c->server, r);
    mem_free(r->body);
    arena_fini(&r->pub.arena);
    mem_free(r);
    c->req = NULL;
}

/* Copies the head into the request's arena and gives the borrowed one back. */
static bool request_keep_head(struct serving *r)
{
    struct http_request *pub = &r->pub;
    const struct http_head *h = r->parser.head;
    strv text = buf_view(&h->text);
    char *copy = arena_cstr(&pub->arena, text);
    const char *mark;

    pub->headers = arena_alloc(&pub->arena, h->n * sizeof *pub->headers);
    if (copy == NULL || pub->headers == NULL)
        return false;
    http_head_views(h, copy, pub->headers);
    pub->n_headers = h->n;
    pub->method = http_parser_method(&r->parser);
    pub->target = pub->path = (strv){copy, h->target_len};
    pub->query = (strv){copy + h->target_len, 0};
    mark = memchr(copy, '?', h->target_len);
    if (mark != NULL) {
        pub->path.len = (size_t)(mark - copy);
        pub->query = strv_from(pub->target, pub->path.len + 1);
    }
    return_head(r->conn->server, r);
    return true;
}

void http_intake_head(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct serving *r = c->req;
    const struct http_parser *p = &r->parser;
    bool has_body = p->chunked || p->length > 0;
    bool read_over = !p->chunked && p->length <= DISCARD_MAX && !p->expects_continue;
    bool closing;

    r->pub.received_us = io_now_us(s->loop);
    if (!request_keep_head(r)) {
        http_conn_bad(c, HTTP_BAD_BUSY);
        return;
    }
    closing = !p->keep_alive || http_parser_minor(p) == 0;
    /* A reply given already in on_head has to say whether the connection goes on. */
    c->closing = closing || (has_body && !read_over);
    bool go_on = s->on.on_head(s->on.arg, &r->pub);

    if (c->state == CONN_DEAD)
        return;
    assert(go_on != r->ended);
    if (!go_on && c->closing && has_body) {
        http_conn_go(c, CONN_FLUSH);
        http_conn_attend(c);
        return;
    }
    if (go_on) {
        c->closing = closing;
        if (p->length > r->pub.body_max) {
            http_conn_bad(c, HTTP_BAD_BODY_TOO_LARGE);
            return;
        }
        r->pub.arena.bytes_max = ARENA_BASE + ARENA_PER_BODY * r->pub.body_max;
        if (p->length > 0) {
            r->body = mem_alloc((size_t)p->length + 1);
            r->body_cap = (size_t)p->length;
            if (r->body == NULL) {
                http_conn_bad(c, HTTP_BAD_BUSY);
                return;
            }
        }
        if (p->expects_continue && has_body) {
            strv text = STRV("HTTP/1.1 100 Continue\r\n\r\n");
            struct iovec v = {(void *)(uintptr_t)text.ptr, text.len};

            if (!io_stream_write(c->stream, &v, 1)) {
                http_conn_lost(c);
                return;
            }
            c->given += text.len;
        }
    }
    http_conn_go(c, CONN_BODY);
}

static enum http_body on_body(void *arg, const char *data, size_t len)
{
    struct serving *r = arg;

    if (r->ended)
        return HTTP_BODY_GO; /* refused: read over */
    if (len > r->pub.body_max - r->body_len) {
        r->bad = HTTP_BAD_BODY_TOO_LARGE;
        return HTTP_BODY_STOP;
    }
    if (len > r->body_cap - r->body_len) { /* chunked: nobody said how much it will be */
        size_t cap = r->body_cap < 2048 ? 4096 : r->body_cap * 2;
        char *body;

        if (cap < r->body_len + len)
            cap = r->body_len + len;
        if (cap > r->pub.body_max)
            cap = r->pub.body_max;
        body = mem_realloc(r->body, cap + 1);
        if (body == NULL) {
            r->bad = HTTP_BAD_BUSY;
            return HTTP_BODY_STOP;
        }
        r->body = body;
        r->body_cap = cap;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    return HTTP_BODY_GO;
}

void http_intake_message(struct http_conn *c)
{
    struct serving *r = c->req;

    if (r->ended) {
        http_conn_go(c, CONN_FLUSH);
        http_conn_attend(c);
        return;
    }
    if (r->body != NULL) {
        r->body[r->body_len] = '\0';
        r->pub.body = (strv){r->body, r->body_len};
    }
    http_conn_go(c, CONN_SERVE);
    c->server->on.on_request(c->server->on.arg, &r->pub);
}

/* What is known of the path of a head that never became whole, so that the refusal can be in the words of
 * the door that was meant. */
static void keep_path(struct serving *r)
{
    const struct http_head *h = r->parser.head;
    strv target = h != NULL ? (strv){buf_view(&h->text).ptr, h->target_len} : STRV_NONE;
    strv path;

    if (r->pub.path.len == 0 && target.len > 0 && strv_cut(&target, '?', &path))
        r->pub.path = path; /* the head is borrowed as long as the request lives */
}

void http_conn_bad(struct http_conn *c, enum http_bad why)
{
    struct http_server *s = c->server;

    if (c->req == NULL && !http_intake_begin(c)) {
        http_conn_lost(c);
        return;
    }
    c->closing = true;
    keep_path(c->req);
    http_conn_go(c, CONN_SERVE);
    s->on.on_bad(s->on.arg, &c->req->pub, why);
    http_reply_abort(&c->req->pub); /* does nothing if it was answered, as it should be */
}

void http_request_drop_body(struct http_request *req)
{
    struct serving *r = (struct serving *)(void *)req;

    mem_free(r->body);
    r->body = NULL;
    r->body_len = r->body_cap = 0;
    req->body = STRV("");
}
