/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_head - bytes of a caller against the server, on the fake network.
 *
 *   first byte   size of the pieces of the second run
 *   the rest     what the caller sends
 *
 * Whatever comes: no crash, no leak, no timer left behind; the same bytes get the same replies however
 * they are cut; and a request that reaches the handler cannot be read in two ways.
 */
#include "../lib/fake_io.c" /* in place of the real network, see src/http/meson.build */

#include <stdlib.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_server_opts opts = {
    .head_bytes_max = 4096,
    .body_bytes_max = 4096,
    .head_ms = 1000,
    .body_ms = 1000,
    .idle_ms = 1000,
    .write_ms = 1000,
    .connections_max = 10,
    .reply_pending_max = 1000000,
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_text(strv v, bool blanks)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];

        check(c >= ' ' || (blanks && c == '\t'));
        check(c != 0x7f && (blanks || (c != ' ' && c < 0x80)));
    }
}

static bool on_head(void *arg, struct http_request *req)
{
    strv coding = http_request_header(req, "transfer-encoding");
    size_t codings = http_request_header_count(req, "transfer-encoding");
    size_t lengths = http_request_header_count(req, "content-length");

    (void)arg;
    check(req->target.len > 0 && req->target.ptr[0] == '/');
    check(req->path.len + req->query.len <= req->target.len);
    check_text(req->target, false);
    check(req->n_headers <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < req->n_headers; i++) {
        check(req->headers[i].name.len > 0);
        check_text(req->headers[i].name, false);
        check(memchr(req->headers[i].name.ptr, ':', req->headers[i].name.len) == NULL);
        check_text(req->headers[i].value, true);
    }
    check(codings + lengths <= 1);
    check(codings == 0 || strv_eq_nocase(coding, STRV("chunked")));
    check(http_request_header_count(req, "host") <= 1);
    return true;
}

static void on_request(void *arg, struct http_request *req)
{
    (void)arg;
    check(req->body.len <= opts.body_bytes_max && req->body.ptr[req->body.len] == '\0');
    http_reply_begin(req, 200, NULL, HTTP_LENGTH_STREAM);
    http_reply_body(req, req->target.ptr, req->target.len);
    http_reply_body(req, req->body.ptr, req->body.len);
    http_reply_end(req);
}

static void on_bad(void *arg, struct http_request *req, enum http_bad why)
{
    (void)arg;
    http_reply_whole(req, 400 + (int)why, NULL, STRV("bad"));
}

/* What the caller got, in malloc(3)ed memory. */
static char *run(const uint8_t *data, size_t size, size_t cut, size_t *len)
{
    struct err err = ERR_INIT;
    struct http_handlers on = {on_head, on_request, on_bad, NULL, NULL};
    struct io_loop *loop = io_loop_new(&err);
    struct http_server *s = http_server_new(loop, &opts, &on, &err);
    struct fake_peer *p;
    strv got;
    char *copy;

    check(http_server_listen(s, STRV("127.0.0.1:80"), false, NULL, &err));
    p = fake_client_connect(loop, "127.0.0.1:80", NULL);
    fake_peer_cut(p, cut);
    fake_peer_send(p, data, size);
    fake_run(loop);
    fake_advance(loop, 3000); /* by now every limit has been reached: nobody is left */
    check(fake_peer_state(p) != FAKE_OPEN);
    got = fake_peer_received(p);
    copy = malloc(got.len + 1);
    memcpy(copy, got.ptr, got.len);
    *len = got.len;
    http_server_free(s);
    check(fake_end(loop) == 0);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n1, n2;
    char *whole, *pieces;

    if (size == 0)
        return 0;
    whole = run(data + 1, size - 1, 0, &n1);
    pieces = run(data + 1, size - 1, (size_t)data[0] % 64 + 1, &n2);
    check(n1 == n2 && memcmp(whole, pieces, n1) == 0);
    free(whole);
    free(pieces);
    check(mem_live() == 0);
    return 0;
}
