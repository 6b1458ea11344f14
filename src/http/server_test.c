/* SPDX-License-Identifier: Apache-2.0 */
/* server - what callers may send, in whatever pieces, and what they get; on a made-up network. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/http.h"

#define ADDRESS "127.0.0.1:8484"
/* 2026-11-22T15:00:00Z */
#define WALL_US INT64_C(1795359600000000)
#define DATE    "Date: Sun, 22 Nov 2026 15:00:00 GMT\r\n"

/* A server whose handler tells what it was asked, at once or when the test says so. */
struct world {
    struct io_loop *loop;
    struct http_server *server;
    struct http_server_opts opts;
    struct http_request *req; /* the open one, if `later` */
    struct fake_peer *peer;
    unsigned heads, requests, bads, gone, drains, drained;
    enum http_bad bad;
    int connections;
    bool later;       /* on_request only remembers */
    bool refuse;      /* on_head answers 401 */
    bool raise_limit; /* on_head allows 100 bytes of body */
    bool stream;      /* the reply has no length */
    bool drop_body;
};

static void gone(struct http_request *req)
{
    struct world *w = req->user;

    assert_ptr_equal(w->req, req);
    w->gone++;
    w->req = NULL;
    http_reply_body(req, "x", 1); /* harmless by now */
    http_reply_end(req);
    assert_int_equal(http_reply_pending(req), 0);
}

static void drained_request(struct http_request *req)
{
    ((struct world *)req->user)->drains++;
}

static void reply(struct world *w, struct http_request *req)
{
    char *text = arena_printf(&req->arena, "%s %.*s?%.*s %zu [%.*s]", http_method_name(req->method),
                              STRV_ARG(req->path), STRV_ARG(req->query), req->n_headers,
                              STRV_ARG(req->body));

    if (text == NULL) {
        http_reply_abort(req);
        return;
    }
    if (!w->stream) {
        http_reply_whole(req, 200, "text/plain", strv_of(text));
        return;
    }
    http_reply_begin(req, 200, "text/plain", HTTP_LENGTH_STREAM);
    http_reply_body(req, text, strlen(text));
    http_reply_end(req);
}

static bool on_head(void *arg, struct http_request *req)
{
    struct world *w = arg;

    w->heads++;
    assert_int_equal(req->body.len, 0);
    assert_true(req->received_us > 0);
    assert_string_equal(req->listener, ADDRESS);
    assert_true(req->loopback_peer);
    if (w->raise_limit)
        req->body_max = 100;
    if (w->refuse) {
        http_reply_whole(req, 401, NULL, STRV("no"));
        return false;
    }
    return true;
}

static void on_request(void *arg, struct http_request *req)
{
    struct world *w = arg;

    w->requests++;
    assert_int_equal(req->body.ptr[req->body.len], '\0');
    if (w->drop_body) {
        http_request_drop_body(req);
        assert_int_equal(req->body.len, 0);
    }
    if (w->later) {
        w->req = req;
        req->user = w;
        req->on_gone = gone;
        req->on_drain = drained_request;
        return;
    }
    reply(w, req);
}

static void on_bad(void *arg, struct http_request *req, enum http_bad why)
{
    static const int status[] = {
        [HTTP_BAD_MESSAGE] = 400, [HTTP_BAD_HEAD_TOO_LARGE] = 431, [HTTP_BAD_BODY_TOO_LARGE] = 413,
        [HTTP_BAD_TIMEOUT] = 408, [HTTP_BAD_BUSY] = 503,
    };
    struct world *w = arg;

    w->bads++;
    w->bad = why;
    assert_non_null(req->path.ptr);
    http_reply_whole(req, status[why], NULL, STRV("bad"));
}

static void on_connections(void *arg, int change)
{
    ((struct world *)arg)->connections += change;
}

static void drained(void *arg)
{
    ((struct world *)arg)->drained++;
}

static const struct http_server_opts small = {
    .head_bytes_max = 1000,
    .body_bytes_max = 50,
    .head_ms = 1000,
    .body_ms = 500,
    .idle_ms = 10000,
    .write_ms = 2000,
    .connections_max = 3,
    .reply_pending_max = 100000,
};

static bool try_open(struct world *w, const struct http_server_opts *opts)
{
    struct err err = ERR_INIT;
    struct http_handlers on = {on_head, on_request, on_bad, on_connections, w};

    *w = (struct world){.loop = io_loop_new(&err), .opts = opts != NULL ? *opts : small};
    if (w->loop == NULL)
        return false;
    fake_set_wall_us(w->loop, WALL_US);
    w->server = http_server_new(w->loop, &w->opts, &on, &err);
    return w->server != NULL && http_server_listen(w->server, STRV(ADDRESS), true, NULL, &err);
}

static void open_world(struct world *w, const struct http_server_opts *opts)
{
    assert_true(try_open(w, opts));
}

static void close_world(struct world *w)
{
    http_server_free(w->server);
    assert_int_equal(w->connections, 0);
    assert_int_equal(fake_end(w->loop), 0);
}

static struct fake_peer *join(struct world *w)
{
    w->peer = fake_client_connect(w->loop, ADDRESS, NULL);
    assert_non_null(w->peer);
    return w->peer;
}

static void send_run(struct world *w, const char *text)
{
    fake_peer_send_cstr(w->peer, text);
    fake_run(w->loop);
}

#define ANSWER(status, type, length, more, body)                                                   \
    "HTTP/1.1 " status "\r\n" DATE type "Content-Length: " length "\r\n" more "\r\n" body
#define PLAIN            "Content-Type: text/plain\r\n"
#define OK(length, body) ANSWER("200 OK", PLAIN, length, "", body)

static void assert_received(struct fake_peer *p, const char *want)
{
    strv got = fake_peer_received(p);

    if (!strv_eq_cstr(got, want))
        fail_msg("got:\n%.*s\nwant:\n%s", STRV_ARG(got), want);
    fake_peer_eat(p, got.len);
}

/* ---- what is taken and what is refused ---- */

struct case_row {
    const char *name;
    const char *in;
    const char *out; /* all of it, or the status line's beginning if it is short */
};

#define H "Host: a\r\n"
#define BAD_400                                                                                    \
    "HTTP/1.1 400 Bad Request\r\n" DATE "Content-Length: 3\r\nConnection: close\r\n\r\nbad"
#define BAD_431 "HTTP/1.1 431 "
#define BAD_413 "HTTP/1.1 413 "
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static const struct case_row cases[] = {
    {"a plain request", "GET /a/b?c=d HTTP/1.1\r\n" H "\r\n", OK("17", "GET /a/b?c=d 1 []")},
    {"a body", "POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
     OK("18", "POST /p? 2 [hello]")},
    {"an empty body", "POST /p HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
     OK("13", "POST /p? 2 []")},
    {"chunks", CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", OK("17", "POST /? 2 [abcde]")},
    {"chunks with extensions and trailers",
     CHUNKED "3;a=b;c=\"d\"\r\nabc\r\n02\r\nde\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n",
     OK("17", "POST /? 2 [abcde]")},
    {"no chunk but the last", CHUNKED "0\r\n\r\n", OK("12", "POST /? 2 []")},
    {"an empty line before it", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", OK("11", "GET /? 1 []")},
    {"blanks around a value", "GET / HTTP/1.1\r\nHost:  \ta \t\r\nX:\r\n\r\n",
     OK("11", "GET /? 2 []")},
    {"an upgrade is a plain request",
     "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
     OK("11", "GET /? 3 []")},
    {"an h2c upgrade too",
     "GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     "HTTP2-Settings: AAMAAABk\r\n\r\n",
     OK("11", "GET /? 4 []")},
    {"an unusual method", "PROPFIND / HTTP/1.1\r\n" H "\r\n", OK("13", "OTHER /? 1 []")},
    {"a head request", "HEAD /x HTTP/1.1\r\n" H "\r\n", OK("13", "")},
    {"two at once",
     "GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
     OK("12", "GET /1? 1 []") OK("14", "POST /2? 2 [x]")},
    {"it wants to close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
     ANSWER("200 OK", PLAIN, "11", "Connection: close\r\n", "GET /? 2 []")},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     ANSWER("200 OK", PLAIN, "11", "Connection: close\r\n", "GET /? 1 []")},
    {"it waits to be asked for the body",
     "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
     "HTTP/1.1 100 Continue\r\n\r\n" OK("14", "POST /? 3 [ab]")},
    {"nothing to wait for", "GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n",
     OK("11", "GET /? 2 []")},

    {"both ways of saying the length",
     "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BAD_400},
    {"both, chunked first",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", BAD_400},
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
     BAD_400},
    {"the same length twice",
     "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", BAD_400},
    {"a list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc", BAD_400},
    {"a length with a sign", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", BAD_400},
    {"a negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc", BAD_400},
    {"a length in hex", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc", BAD_400},
    {"an empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", BAD_400},
    {"a length beyond 64 bits",
     "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\na", BAD_400},
    {"an encoding that is not quite chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", BAD_400},
    {"an encoding before chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BAD_400},
    {"chunked that is not last",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", BAD_400},
    {"chunked twice",
     "POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BAD_400},
    {"a second, obscure encoding",
     "POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n",
     BAD_400},
    {"an encoding in quotes",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", BAD_400},
    {"a vertical tab in the encoding",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", BAD_400},
    {"an identity encoding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n",
     BAD_400},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BAD_400},
    {"a blank before the colon",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BAD_400},
    {"a folded value", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", BAD_400},
    {"a folded first line", "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", BAD_400},
    {"only line feeds", "GET / HTTP/1.1\nHost: a\n\n", BAD_400},
    {"a bare line feed in the head", "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", BAD_400},
    {"a bare carriage return in a value", "GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", BAD_400},
    {"two carriage returns", "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n", BAD_400},
    {"a line feed ends the head", "GET / HTTP/1.1\r\n" H "\nX: a\r\n\r\n", BAD_400},
    {"a control character in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", BAD_400},
    {"a control character in a name", "GET / HTTP/1.1\r\n" H "X\x01: a\r\n\r\n", BAD_400},
    {"a header without a name", "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", BAD_400},
    {"a header without a colon", "GET / HTTP/1.1\r\n" H "abc\r\n\r\n", BAD_400},
    {"no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", BAD_400},
    {"two hosts", "GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n", BAD_400},
    {"the same host twice", "GET / HTTP/1.1\r\n" H H "\r\n", BAD_400},
    {"two hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" H H "\r\n", BAD_400},
    {"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD_400},
    {"a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD_400},
    {"hosts in a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BAD_400},
    {"absolute form", "GET http://a/ HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"authority form", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"connect with a path", "CONNECT / HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"bytes over 127 in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"HTTP/0.9", "GET /\r\n\r\n", BAD_400},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", BAD_400},
    {"HTTP/2", "GET / HTTP/2.0\r\n" H "\r\n", BAD_400},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_400},
    {"another protocol", "SSH-2.0-OpenSSH\r\n", BAD_400},
    {"TLS", "\x16\x03\x01\x02", BAD_400},
    {"an answer", "HTTP/1.1 200 OK\r\n\r\n", BAD_400},
    {"a lower case method", "get / HTTP/1.1\r\n" H "\r\n", BAD_400},
    {"a chunk size that is no number", CHUNKED "x\r\n", BAD_400},
    {"a chunk size with 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n", BAD_400},
    {"a chunk size with a sign", CHUNKED "+1\r\na\r\n0\r\n\r\n", BAD_400},
    {"a blank behind the chunk size", CHUNKED "1 \r\na\r\n0\r\n\r\n", BAD_400},
    {"a blank before the chunk size", CHUNKED " 1\r\na\r\n0\r\n\r\n", BAD_400},
    {"a chunk size beyond 64 bits", CHUNKED "10000000000000001\r\na", BAD_400},
    {"a line feed behind the chunk size", CHUNKED "1\na\r\n0\r\n\r\n", BAD_400},
    {"a line feed behind the chunk", CHUNKED "1\r\na\n0\r\n\r\n", BAD_400},
    {"a chunk longer than its size", CHUNKED "1\r\nab\r\n0\r\n\r\n", BAD_400},
    {"a line feed in an extension", CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n", BAD_400},
    {"a length in the trailer", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", BAD_400},
    {"a body over the limit", "POST / HTTP/1.1\r\n" H "Content-Length: 51\r\n\r\n", BAD_413},
    {"a chunked body over the limit",
     CHUNKED "32\r\n01234567890123456789012345678901234567890123456789\r\n1\r\n", ""},
    {"one byte over the limit", CHUNKED "33\r\n012345678901234567890123456789012345678901234567890",
     BAD_413},
};

static void assert_answer(const struct case_row *row, strv got, const char *how, size_t at)
{
    bool exact = strlen(row->out) > 20 || row->out[0] == '\0';

    if (exact ? !strv_eq_cstr(got, row->out) : !strv_starts(got, strv_of(row->out)))
        fail_msg("%s, %s %zu: got\n%.*s\nwant\n%s", row->name, how, at, STRV_ARG(got), row->out);
}

static void run_case(const struct case_row *row, const char *how, size_t at)
{
    struct world w;
    strv in = strv_of(row->in);

    open_world(&w, NULL);
    join(&w);
    if (strcmp(how, "split") == 0) {
        fake_peer_send(w.peer, in.ptr, at);
        fake_run(w.loop);
        fake_peer_send(w.peer, in.ptr + at, in.len - at);
    } else {
        fake_peer_cut(w.peer, at);
        fake_peer_send(w.peer, in.ptr, in.len);
    }
    fake_run(w.loop);
    assert_answer(row, fake_peer_received(w.peer), how, at);
    bool closes = memmem(row->out, strlen(row->out), "Connection: close", 17) != NULL ||
                  strncmp(row->out, "HTTP/1.1 4", 10) == 0;
    assert_int_equal(fake_peer_state(w.peer) == FAKE_OPEN, !closes);
    close_world(&w);
}

static void test_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_case(&cases[i], "whole", 0);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_case(&cases[i], "bytes", 1);
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t at = 1; at < strlen(cases[i].in); at++)
            run_case(&cases[i], "split", at);
    }
}

static void test_nul_bytes(void **state)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nX: %c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX%c: a\r\n\r\n",
        "GET /%c HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a%c\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        char text[100];
        int n = snprintf(text, sizeof text, "%s", heads[i]);
        char *mark = strstr(text, "%c");

        *mark = '\0';
        memmove(mark + 1, mark + 2, (size_t)(text + n - mark - 2));
        open_world(&w, NULL);
        join(&w);
        fake_peer_send(w.peer, text, (size_t)n - 1);
        fake_run(w.loop);
        assert_received(w.peer, BAD_400);
        close_world(&w);
    }
}

static void test_head_limits(void **state)
{
    struct world w;
    char text[3000];
    (void)state;

    for (size_t size = 990; size <= 1010; size++) { /* 1000 is allowed; exactly */
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n",
                         (int)size - 32, 1);
        assert_int_equal(n, size);
        for (size_t cut = 0; cut < 3; cut++) {
            open_world(&w, NULL);
            join(&w);
            fake_peer_cut(w.peer, cut * 7);
            send_run(&w, text);
            strv want = size <= 1000 ? STRV("HTTP/1.1 200") : STRV("HTTP/1.1 431");
            assert_true(strv_starts(fake_peer_received(w.peer), want));
            close_world(&w);
        }
    }
    for (int count = 99; count <= 101; count++) { /* Host is the hundredth */
        size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            n += (size_t)sprintf(text + n, "a:b\r\n");
        sprintf(text + n, "\r\n");
        open_world(&w, NULL);
        join(&w);
        send_run(&w, text);
        strv want = count <= 100 ? STRV("HTTP/1.1 200") : STRV("HTTP/1.1 431");
        assert_true(strv_starts(fake_peer_received(w.peer), want));
        close_world(&w);
    }
}

static void test_extensions_and_trailers_are_bounded(void **state)
{
    struct world w;
    char text[3000];
    (void)state;

    sprintf(text, CHUNKED "1;%01100d", 1);
    open_world(&w, NULL);
    join(&w);
    send_run(&w, text);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 431")));
    close_world(&w);

    sprintf(text, CHUNKED "0\r\nX: %01100d", 1);
    open_world(&w, NULL);
    join(&w);
    send_run(&w, text);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 431")));
    close_world(&w);
}

/* ---- answering in on_head ---- */

static void test_refused_in_the_head(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.refuse = true;
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_received(w.peer, ANSWER("401 Unauthorized", "", "2", "", "no"));
    /* A small body is read over and the connection goes on, */
    send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 60\r\n\r\n");
    assert_received(w.peer, ANSWER("401 Unauthorized", "", "2", "", "no"));
    send_run(&w, "012345678901234567890123456789012345678901234567890123456789");
    w.refuse = false;
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    /* a large one is not waited for, */
    w.refuse = true;
    send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\nabc");
    assert_received(w.peer, ANSWER("401 Unauthorized", "", "2", "Connection: close\r\n", "no"));
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    /* nor one of unknown size. */
    join(&w);
    send_run(&w, CHUNKED "1\r\na\r\n");
    assert_received(w.peer, ANSWER("401 Unauthorized", "", "2", "Connection: close\r\n", "no"));
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    /* One that waits to be asked for is not asked for. */
    join(&w);
    send_run(&w, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_received(w.peer, ANSWER("401 Unauthorized", "", "2", "Connection: close\r\n", "no"));
    close_world(&w);
}

static void test_body_read_over_has_a_time_limit(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.refuse = true;
    join(&w);
    send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabc");
    fake_peer_eat(w.peer, fake_peer_received(w.peer).len);
    fake_advance(w.loop, 500);
    assert_int_equal(fake_peer_state(w.peer), FAKE_CLOSED);
    assert_received(w.peer, "");
    assert_int_equal(w.bads, 0);
    close_world(&w);
}

static void test_the_head_may_change_the_limit(void **state)
{
    struct world w;
    char text[300];
    (void)state;

    open_world(&w, NULL);
    w.raise_limit = true;
    join(&w);
    sprintf(text, "POST / HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\n%0100d", 1);
    send_run(&w, text);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 200")));
    sprintf(text, "POST / HTTP/1.1\r\n" H "Content-Length: 101\r\n\r\n%0101d", 1);
    fake_peer_eat(w.peer, fake_peer_received(w.peer).len);
    send_run(&w, text);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 413")));
    close_world(&w);
}

/* ---- time ---- */

static void test_slow_head(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    fake_run(w.loop);
    fake_advance(w.loop, 5000); /* nothing yet: only idle */
    send_run(&w, "GET / HT");
    fake_advance(w.loop, 600);
    send_run(&w, "TP"); /* a drop now and then does not help */
    fake_advance(w.loop, 399);
    assert_int_equal(w.bads, 0);
    fake_advance(w.loop, 1);
    assert_int_equal(w.bads, 1);
    assert_int_equal(w.bad, HTTP_BAD_TIMEOUT);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 408")));
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    close_world(&w);
}

static void test_slow_body(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\na");
    fake_advance(w.loop, 499);
    send_run(&w, "b");
    fake_advance(w.loop, 499);
    assert_int_equal(w.bads, 0);
    fake_advance(w.loop, 1);
    assert_int_equal(w.bad, HTTP_BAD_TIMEOUT);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 408")));
    close_world(&w);
}

static void test_idle(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    fake_peer_eat(w.peer, fake_peer_received(w.peer).len);
    fake_advance(w.loop, 9000);
    send_run(&w, "\r\n"); /* does not count as a request */
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    fake_peer_eat(w.peer, fake_peer_received(w.peer).len);
    fake_advance(w.loop, 9999);
    assert_int_equal(fake_peer_state(w.peer), FAKE_OPEN);
    assert_int_equal(w.connections, 1);
    fake_advance(w.loop, 1);
    assert_int_equal(fake_peer_state(w.peer), FAKE_CLOSED);
    assert_received(w.peer, "");
    assert_int_equal(w.connections, 0);
    close_world(&w);
}

static void test_no_limit_while_being_served(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.later = true;
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    fake_advance(w.loop, 100000);
    assert_int_equal(fake_peer_state(w.peer), FAKE_OPEN);
    fake_set_wall_us(w.loop, WALL_US);
    reply(&w, w.req);
    fake_run(w.loop);
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    fake_advance(w.loop, 10000);
    assert_int_equal(fake_peer_state(w.peer), FAKE_CLOSED);
    close_world(&w);
}

/* ---- streams of output ---- */

static void begin_stream(struct world *w)
{
    w->later = true;
    join(w);
    send_run(w, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
    assert_non_null(w->req);
    http_reply_header(w->req, "X-A", STRV("1"));
    http_reply_header(w->req, "X-B", STRV(""));
    http_reply_begin(w->req, 200, "text/event-stream", HTTP_LENGTH_STREAM);
}

#define STREAM_HEAD                                                                                \
    "HTTP/1.1 200 OK\r\n" DATE                                                                     \
    "Content-Type: text/event-stream\r\nX-A: 1\r\nX-B: \r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_pieces_of_a_turn_are_one_chunk(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    assert_received(w.peer, STREAM_HEAD);
    http_reply_body(w.req, "abc", 3);
    http_reply_body(w.req, "", 0);
    http_reply_body(w.req, "def", 3);
    assert_int_equal(http_reply_pending(w.req), 0); /* the caller has not been slow */
    fake_run(w.loop);
    assert_received(w.peer, "6\r\nabcdef\r\n");
    http_reply_body(w.req, "0123456789012345678901234567890", 31);
    fake_run(w.loop);
    assert_received(w.peer, "1f\r\n0123456789012345678901234567890\r\n");
    http_reply_body(w.req, "z", 1);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_received(w.peer, "1\r\nz\r\n0\r\n\r\n");
    w.later = false;
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    close_world(&w);
}

static void test_head_and_body_in_one_write(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    assert_true(http_reply_begun(w.req));
    http_reply_body(w.req, "abc", 3);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_received(w.peer, STREAM_HEAD "3\r\nabc\r\n0\r\n\r\n");
    close_world(&w);
}

static void test_an_empty_stream(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_received(w.peer, STREAM_HEAD "0\r\n\r\n");
    close_world(&w);
}

/* Takes a chunked body apart; the whole of it must be there. */
static size_t dechunk(strv in, char *out)
{
    size_t n = 0;

    for (;;) {
        char *end;
        size_t size = strtoul(in.ptr, &end, 16);

        assert_true(end[0] == '\r' && end[1] == '\n');
        assert_true(in.ptr[0] != '0' || size == 0); /* no zeros in front */
        in = strv_from(in, (size_t)(end + 2 - in.ptr));
        assert_true(in.len >= size + 2);
        memcpy(out + n, in.ptr, size);
        n += size;
        assert_memory_equal(in.ptr + size, "\r\n", 2);
        in = strv_from(in, size + 2);
        if (size == 0) {
            assert_int_equal(in.len, 0);
            return n;
        }
    }
}

static void test_pieces_of_all_sizes(void **state)
{
    static char want[400000], got[400000];
    static const size_t sizes[] = {1,     2,     16383, 16384, 16385, 15,    9,     32767,
                                   32768, 32769, 16000, 16000, 70000, 30000, 32000, 700};
    (void)state;

    for (size_t i = 0; i < sizeof want; i++)
        want[i] = (char)('a' + i % 26);
    for (size_t turns = 0; turns < 2; turns++) {
        struct world w;
        struct http_server_opts opts = small;
        size_t n = 0;

        opts.reply_pending_max = 1000000;
        open_world(&w, &opts);
        begin_stream(&w);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            http_reply_body(w.req, want + n, sizes[i]);
            n += sizes[i];
            if (turns == 1)
                fake_run(w.loop);
        }
        http_reply_end(w.req);
        fake_run(w.loop);
        strv all = fake_peer_received(w.peer);
        assert_true(strv_starts(all, STRV(STREAM_HEAD)));
        assert_int_equal(dechunk(strv_from(all, strlen(STREAM_HEAD)), got), n);
        assert_memory_equal(got, want, n);
        close_world(&w);
    }
}

static void test_replies_of_several_callers_do_not_mix(void **state)
{
    struct world w;
    struct http_request *req[3];
    struct fake_peer *peer[3];
    (void)state;

    open_world(&w, NULL);
    for (int i = 0; i < 3; i++) {
        begin_stream(&w);
        req[i] = w.req;
        peer[i] = w.peer;
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++) {
            char c = (char)('a' + i);
            http_reply_body(req[i], &c, 1);
        }
    }
    http_reply_end(req[1]);
    fake_run(w.loop);
    assert_received(peer[0], STREAM_HEAD "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n");
    assert_received(peer[1], STREAM_HEAD "1\r\nb\r\n1\r\nb\r\n1\r\nb\r\n1\r\nb\r\n0\r\n\r\n");
    assert_received(peer[2], STREAM_HEAD "1\r\nc\r\n1\r\nc\r\n1\r\nc\r\n1\r\nc\r\n");
    w.req = req[0];
    fake_peer_eof(peer[0], false);
    fake_run(w.loop);
    w.req = req[2];
    fake_peer_eof(peer[2], false);
    fake_run(w.loop);
    assert_int_equal(w.gone, 2);
    close_world(&w);
}

static void test_replies_without_body(void **state)
{
    static const char *const wants[] = {
        "HTTP/1.1 204 No Content\r\n" DATE "\r\n",
        "HTTP/1.1 304 Not Modified\r\n" DATE "\r\n",
    };
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.later = true;
    join(&w);
    for (int i = 0; i < 2; i++) {
        send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
        http_reply_whole(w.req, i == 0 ? 204 : 304, NULL, STRV(""));
        fake_run(w.loop);
        assert_received(w.peer, wants[i]);
    }
    send_run(&w, "HEAD / HTTP/1.1\r\n" H "\r\n");
    http_reply_begin(w.req, 200, NULL, HTTP_LENGTH_STREAM);
    http_reply_body(w.req, "abc", 3);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_received(w.peer, "HTTP/1.1 200 OK\r\n" DATE "\r\n");
    assert_int_equal(fake_peer_state(w.peer), FAKE_OPEN);
    close_world(&w);
}

static void test_stream_to_http_1_0(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.stream = true;
    join(&w);
    send_run(&w, "GET / HTTP/1.0\r\n\r\n");
    assert_received(w.peer,
                    "HTTP/1.1 200 OK\r\n" DATE PLAIN "Connection: close\r\n\r\nGET /? 0 []");
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    close_world(&w);
}

static void test_aborted_chunks_lack_the_last(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    http_reply_body(w.req, "abc", 3);
    http_reply_abort(w.req);
    http_reply_abort(w.req);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_received(w.peer, STREAM_HEAD "3\r\nabc\r\n");
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    assert_int_equal(w.gone, 0);
    assert_int_equal(w.connections, 0);
    close_world(&w);
}

static void test_aborted_length_is_short(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.later = true;
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    http_reply_begin(w.req, 200, NULL, 5);
    http_reply_body(w.req, "abc", 3);
    http_reply_abort(w.req);
    fake_run(w.loop);
    assert_received(w.peer, ANSWER("200 OK", "", "5", "", "abc"));
    assert_int_equal(fake_peer_state(w.peer), FAKE_FINISHED);
    close_world(&w);
}

/* Where a clean end would be taken for the reply's. */
static void test_aborted_reply_is_a_reset(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world w;

        open_world(&w, NULL);
        w.later = true;
        join(&w);
        send_run(&w, i == 0   ? "GET / HTTP/1.0\r\n\r\n"
                     : i == 1 ? "HEAD / HTTP/1.1\r\n" H "\r\n"
                              : "GET / HTTP/1.1\r\n" H "\r\n");
        if (i < 3)
            http_reply_begin(w.req, 200, NULL, i == 0 ? HTTP_LENGTH_STREAM : 3);
        if (i < 3)
            http_reply_body(w.req, "abc", 3);
        http_reply_abort(w.req);
        fake_run(w.loop);
        assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
        assert_received(w.peer, "");
        assert_int_equal(w.gone, 0);
        close_world(&w);
    }
}

static void test_dropping_the_body_early(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    w.drop_body = true;
    join(&w);
    send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    assert_received(w.peer, OK("12", "POST /? 2 []"));
    close_world(&w);
}

/* ---- callers that leave, or do not read ---- */

static void test_caller_leaves(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct world w;

        open_world(&w, NULL);
        if (i / 2 == 0) { /* before anything is said */
            w.later = true;
            join(&w);
            send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
        } else {
            begin_stream(&w);
            if (i / 2 == 2) /* with output of this turn */
                http_reply_body(w.req, "abc", 3);
        }
        if (i % 2 == 0)
            fake_peer_eof(w.peer, false);
        else
            fake_peer_reset(w.peer);
        fake_run(w.loop);
        assert_int_equal(w.gone, 1);
        assert_int_equal(w.connections, 0);
        assert_true(fake_peer_state(w.peer) != FAKE_OPEN);
        close_world(&w);
        assert_int_equal(w.gone, 1);
    }
}

static void test_half_closed_caller_gets_a_ready_reply(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    fake_peer_send_cstr(w.peer, "GET / HTTP/1.1\r\n" H "\r\n");
    fake_peer_eof(w.peer, false);
    fake_run(w.loop);
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    assert_int_equal(w.connections, 0);
    close_world(&w);
}

static void test_caller_leaves_in_head_and_body(void **state)
{
    static const char *const begun[] = {"", "GET / HT",
                                        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct world w;

        open_world(&w, NULL);
        join(&w);
        send_run(&w, begun[i]);
        fake_peer_eof(w.peer, false);
        fake_run(w.loop);
        assert_int_equal(w.connections, 0);
        assert_int_equal(w.requests + w.bads, 0);
        assert_received(w.peer, "");
        close_world(&w);
    }
}

static void test_back_pressure(void **state)
{
    struct world w;
    static char piece[20000];
    (void)state;

    memset(piece, 'x', sizeof piece);
    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    fake_peer_window(w.peer, 1000);
    http_reply_body(w.req, piece, sizeof piece);
    assert_true(http_reply_pending(w.req) > 18000);
    fake_run(w.loop);
    assert_int_equal(w.drains, 0);
    /* Slow but not stuck: each look at it sees progress. */
    for (int i = 0; i < 5; i++) {
        fake_peer_window(w.peer, 100);
        fake_advance(w.loop, 2000);
    }
    assert_int_equal(w.gone, 0);
    fake_peer_window(w.peer, FAKE_UNLIMITED);
    fake_run(w.loop);
    assert_int_equal(w.drains, 1);
    assert_int_equal(http_reply_pending(w.req), 0);
    fake_advance(w.loop, 100000); /* no limit while nothing is to be sent */
    assert_int_equal(w.gone, 0);
    http_reply_end(w.req);
    fake_run(w.loop);
    close_world(&w);
}

static void test_caller_that_does_not_read(void **state)
{
    struct world w;
    static char piece[20000];
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    fake_peer_window(w.peer, 10);
    http_reply_body(w.req, piece, sizeof piece);
    fake_run(w.loop);
    fake_advance(w.loop, 3999);
    assert_int_equal(w.gone, 1);
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    close_world(&w);
}

static void test_caller_that_does_not_read_the_end(void **state)
{
    struct world w;
    static char piece[20000];
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    fake_peer_window(w.peer, 10);
    http_reply_body(w.req, piece, sizeof piece);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_int_equal(fake_peer_state(w.peer), FAKE_OPEN);
    fake_advance(w.loop, 4000);
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    assert_int_equal(w.gone, 0);
    close_world(&w);
}

static void test_too_much_pending(void **state)
{
    struct world w;
    static char piece[60000];
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    fake_run(w.loop);
    fake_peer_window(w.peer, 0);
    http_reply_body(w.req, piece, sizeof piece);
    assert_int_equal(w.gone, 0);
    http_reply_body(w.req, piece, sizeof piece);
    assert_int_equal(w.gone, 0); /* not from inside of that call */
    http_reply_body(w.req, piece, sizeof piece);
    fake_run(w.loop);
    assert_int_equal(w.gone, 1);
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    close_world(&w);
}

static void test_pipelined_bytes_are_bounded(void **state)
{
    struct world w;
    static char flood[500000];
    size_t kept;
    (void)state;

    memset(flood, 'x', sizeof flood);
    open_world(&w, NULL);
    w.later = true;
    join(&w);
    fake_peer_cut(w.peer, 1000);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    fake_peer_send_cstr(w.peer, "POST /2 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    fake_peer_send(w.peer, flood, sizeof flood);
    fake_run(w.loop);
    kept = sizeof flood - fake_peer_unread(w.peer);
    assert_true(kept >= 64 * 1024 - 1000 && kept <= 65 * 1024);
    reply(&w, w.req);
    fake_run(w.loop);
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    assert_int_equal(w.requests, 2);
    reply(&w, w.req);
    fake_run(w.loop);
    strv got = fake_peer_received(w.peer);
    assert_true(strv_starts(got, STRV(OK("18", "POST /2? 2 [hello]") "HTTP/1.1 400 ")));
    close_world(&w);
}

/* ---- many, and the end ---- */

static void test_too_many_connections(void **state)
{
    struct world w;
    struct fake_peer *first;
    (void)state;

    open_world(&w, NULL);
    first = join(&w);
    join(&w);
    join(&w);
    fake_run(w.loop);
    assert_int_equal(w.connections, 3);
    join(&w);
    fake_run(w.loop);
    assert_int_equal(w.bad, HTTP_BAD_BUSY);
    assert_true(strv_starts(fake_peer_received(w.peer), STRV("HTTP/1.1 503")));
    assert_true(fake_peer_state(w.peer) != FAKE_OPEN);
    assert_int_equal(w.connections, 3);
    fake_peer_eof(first, false);
    fake_run(w.loop);
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_received(w.peer, OK("11", "GET /? 1 []"));
    close_world(&w);
}

static void test_drain(void **state)
{
    struct world w;
    struct fake_peer *idle, *busy;
    (void)state;

    open_world(&w, NULL);
    idle = join(&w);
    w.later = true;
    busy = join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    http_server_drain(w.server, 0, drained, &w);
    assert_null(fake_client_connect(w.loop, ADDRESS, NULL));
    fake_run(w.loop);
    assert_int_equal(fake_peer_state(idle), FAKE_CLOSED);
    assert_int_equal(w.drained, 0);
    reply(&w, w.req);
    fake_run(w.loop);
    assert_received(busy, ANSWER("200 OK", PLAIN, "11", "Connection: close\r\n", "GET /? 1 []"));
    assert_int_equal(w.drained, 1);
    fake_run(w.loop);
    assert_int_equal(w.drained, 1);
    close_world(&w);
}

/* With grace nobody is closed who may just be asking: the next reply tells him, and its end is the connection's. */
static void test_drain_with_grace(void **state)
{
    struct world w;
    struct fake_peer *idle, *silent, *busy;
    (void)state;

    open_world(&w, NULL);
    idle = join(&w);
    silent = join(&w);
    busy = join(&w);
    w.later = true;
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    http_reply_begin(w.req, 200, NULL, 2); /* before it is known that he is to go elsewhere */
    http_server_drain(w.server, 700, drained, &w);
    http_reply_body(w.req, "ok", 2);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_int_equal(fake_peer_state(busy), FAKE_OPEN);
    w.later = false;
    w.peer = idle;
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_received(idle, ANSWER("200 OK", PLAIN, "11", "Connection: close\r\n", "GET /? 1 []"));
    assert_true(fake_peer_state(idle) != FAKE_OPEN);
    w.peer = busy;
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_true(fake_peer_state(busy) != FAKE_OPEN);
    assert_int_equal(w.drained, 0);
    fake_advance(w.loop, 700);
    assert_int_equal(fake_peer_state(silent), FAKE_CLOSED);
    assert_int_equal(w.drained, 1);
    close_world(&w);
}

static void test_drain_of_an_empty_server(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    http_server_drain(w.server, 0, drained, &w);
    assert_int_equal(w.drained, 0); /* not from inside */
    fake_run(w.loop);
    assert_int_equal(w.drained, 1);
    close_world(&w);
}

static void free_it(void *arg)
{
    struct world *w = arg;

    w->drained++;
    http_server_free(w->server);
}

static void test_freeing_in_done(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    fake_run(w.loop);
    http_server_drain(w.server, 0, free_it, &w);
    fake_run(w.loop);
    assert_int_equal(w.drained, 1);
    assert_int_equal(fake_end(w.loop), 0);
}

static void test_free_tells_the_open_ones(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    begin_stream(&w);
    http_reply_body(w.req, "abc", 3); /* and the task is queued */
    http_server_free(w.server);
    assert_int_equal(w.gone, 1);
    assert_int_equal(w.connections, 0);
    fake_run(w.loop);
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    assert_int_equal(fake_end(w.loop), 0);
}

/* ---- refused memory ---- */

static void exercise(struct world *w)
{
    struct fake_peer *p = fake_client_connect(w->loop, ADDRESS, NULL);

    if (p == NULL)
        return;
    w->stream = true;
    fake_peer_send_cstr(p, "POST /1 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    fake_peer_cut(p, 30);
    fake_run(w->loop);
    fake_peer_send_cstr(p, CHUNKED "3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" H "\r\n");
    fake_peer_cut(p, 50);
    fake_run(w->loop);
    fake_peer_window(p, 5);
    fake_peer_send_cstr(p, "GET /4 HTTP/1.1\r\n" H "\r\nGET /5 HTTP/1.1\r\n" H "\r\n");
    fake_run(w->loop);
    fake_peer_window(p, FAKE_UNLIMITED);
    fake_run(w->loop);
    strv got = fake_peer_received(p);
    /* Whatever came is whole, or the connection ended in a way that cannot be taken for whole. */
    if (fake_peer_state(p) == FAKE_OPEN && got.len > 0)
        assert_true(strv_ends(got, STRV("0\r\n\r\n")));
    fake_peer_eof(p, false);
    fake_run(w->loop);
}

static void test_refused_memory(void **state)
{
    uint64_t needed;
    int64_t before;
    struct world w;
    (void)state;

    mem_fail_at(0, false);
    open_world(&w, NULL);
    exercise(&w);
    needed = mem_count();
    close_world(&w);
    before = mem_live();
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t n = 1; n <= needed + 1; n++) {
            mem_fail_at(n, forever == 1);
            if (try_open(&w, NULL))
                exercise(&w);
            http_server_free(w.server);
            mem_fail_at(0, false);
            if (w.loop != NULL)
                assert_int_equal(fake_end(w.loop), 0);
            assert_int_equal(w.connections, 0);
            assert_int_equal(mem_live(), before);
        }
    }
}

/* A header that found no memory: no reply without it, and the handler gets to know. */
static void test_refused_header(void **state)
{
    struct world w;
    static char value[10000];
    (void)state;

    memset(value, 'x', sizeof value);
    open_world(&w, NULL);
    w.later = true;
    join(&w);
    send_run(&w, "GET / HTTP/1.1\r\n" H "\r\n");
    mem_fail_at(1, true);
    http_reply_header(w.req, "X", (strv){value, sizeof value});
    mem_fail_at(0, false);
    http_reply_begin(w.req, 200, NULL, HTTP_LENGTH_STREAM);
    http_reply_body(w.req, "abc", 3);
    http_reply_end(w.req);
    fake_run(w.loop);
    assert_int_equal(w.gone, 1);
    assert_received(w.peer, "");
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    close_world(&w);
}

/* What a request costs when everything is warm: itself, its arena, its body. */
static void test_allocations_of_a_request(void **state)
{
    struct world w;
    (void)state;

    open_world(&w, NULL);
    join(&w);
    for (int i = 0; i < 3; i++) {
        mem_fail_at(0, false);
        send_run(&w, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
        if (i > 0)
            assert_in_range(mem_count(), 1, 3);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_extensions_and_trailers_are_bounded),
        cmocka_unit_test(test_refused_in_the_head),
        cmocka_unit_test(test_body_read_over_has_a_time_limit),
        cmocka_unit_test(test_the_head_may_change_the_limit),
        cmocka_unit_test(test_slow_head),
        cmocka_unit_test(test_slow_body),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_no_limit_while_being_served),
        cmocka_unit_test(test_pieces_of_a_turn_are_one_chunk),
        cmocka_unit_test(test_head_and_body_in_one_write),
        cmocka_unit_test(test_an_empty_stream),
        cmocka_unit_test(test_pieces_of_all_sizes),
        cmocka_unit_test(test_replies_of_several_callers_do_not_mix),
        cmocka_unit_test(test_replies_without_body),
        cmocka_unit_test(test_stream_to_http_1_0),
        cmocka_unit_test(test_aborted_chunks_lack_the_last),
        cmocka_unit_test(test_aborted_length_is_short),
        cmocka_unit_test(test_aborted_reply_is_a_reset),
        cmocka_unit_test(test_dropping_the_body_early),
        cmocka_unit_test(test_caller_leaves),
        cmocka_unit_test(test_half_closed_caller_gets_a_ready_reply),
        cmocka_unit_test(test_caller_leaves_in_head_and_body),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_caller_that_does_not_read),
        cmocka_unit_test(test_caller_that_does_not_read_the_end),
        cmocka_unit_test(test_too_much_pending),
        cmocka_unit_test(test_pipelined_bytes_are_bounded),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_with_grace),
        cmocka_unit_test(test_drain_of_an_empty_server),
        cmocka_unit_test(test_freeing_in_done),
        cmocka_unit_test(test_free_tells_the_open_ones),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_refused_header),
        cmocka_unit_test(test_allocations_of_a_request),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
