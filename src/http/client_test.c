/* SPDX-License-Identifier: Apache-2.0 */
/* client - calls to upstreams that answer well, badly, late, twice or not at all; on a made-up network. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/http.h"

#define PEERS_MAX 8

enum point { NOWHERE, AT_READY, AT_SENT, AT_HEAD, AT_BODY, AT_END };

/* A client, the upstream it knows, and what one call has told. */
struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct http_upstream up;
    struct fake_peer *peers[PEERS_MAX];
    size_t n_peers;
    struct http_call *call;
    struct buf body;
    char type[64]; /* Content-Type of the answer */
    unsigned readies, sents, heads, bodies, ends;
    bool holding; /* calls wait for http_call_go() */
    bool reused;
    int status;
    size_t n_headers;
    enum http_end how;
    enum io_end why;
    enum point cancel_at, pause_at, free_at;
    bool paused;
    bool again; /* the next call from inside on_end */
};

static void act(struct world *w, enum point at)
{
    if (w->pause_at == at) {
        w->paused = true;
        http_call_pause(w->call, true);
    }
    if (w->cancel_at == at) {
        http_call_cancel(w->call);
        http_call_cancel(w->call);
    }
    if (w->free_at == at) {
        http_client_free(w->client);
        w->client = NULL;
    }
}

static void on_ready(void *arg, const char *address)
{
    struct world *w = arg;

    assert_string_equal(address, "203.0.113.1:80");
    w->readies++;
    act(w, AT_READY);
}

static void on_sent(void *arg, bool reused)
{
    struct world *w = arg;

    w->sents++;
    w->reused = reused;
    act(w, AT_SENT);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct world *w = arg;
    strv type = http_answer_header(answer, "content-type");

    w->heads++;
    w->status = answer->status;
    w->n_headers = answer->n_headers;
    snprintf(w->type, sizeof w->type, "%.*s", STRV_ARG(type));
    act(w, AT_HEAD);
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct world *w = arg;

    assert_false(w->paused);
    assert_true(len > 0);
    w->bodies++;
    buf_put(&w->body, data, len);
    act(w, AT_BODY);
}

static void start(struct world *w, enum http_method method, const char *path, strv body);

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct world *w = arg;

    assert_true(!w->paused || how == HTTP_NO_MEMORY);
    w->ends++;
    w->how = how;
    w->why = why;
    act(w, AT_END);
    if (w->again) {
        w->again = false;
        start(w, HTTP_GET, "/again", STRV_NONE);
    }
}

static const struct http_call_ops ops = {on_head, on_body, on_end, on_sent};

static void on_peer(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;

    assert_true(w->n_peers < PEERS_MAX);
    w->peers[w->n_peers++] = peer;
}

static bool try_open(struct world *w)
{
    struct err err = ERR_INIT;
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = w};

    *w = (struct world){0};
    buf_init(&w->body, 100000);
    w->up = (struct http_upstream){
        .url = {.host = "up", .port = 80, .authority = "up", .path = "/v1"},
        .key = "up",
        .connect_ms = 1000,
        .idle_ms = 5000,
        .idle_max = 2,
    };
    w->loop = io_loop_new(&err);
    if (w->loop == NULL)
        return false;
    fake_target(w->loop, "up", 80, &rule);
    w->client = http_client_new(w->loop, 1000);
    return w->client != NULL;
}

static void open_world(struct world *w)
{
    assert_true(try_open(w));
}

static void close_world(struct world *w)
{
    http_client_free(w->client);
    assert_int_equal(fake_end(w->loop), 0);
    buf_fini(&w->body);
}

static void forget(struct world *w)
{
    buf_clear(&w->body);
    w->sents = w->heads = w->bodies = w->ends = 0;
    w->status = 0;
}

static void start(struct world *w, enum http_method method, const char *path, strv body)
{
    static const struct http_header headers[] = {
        {{"Authorization", 13}, {"Bearer k", 8}},
    };
    struct http_call_spec spec = {
        .upstream = &w->up,
        .method = method,
        .path = path,
        .headers = headers,
        .n_headers = 1,
        .content_type = body.ptr != NULL ? "application/json" : NULL,
        .body = body,
        .on_ready = w->holding ? on_ready : NULL,
    };
    unsigned told = w->sents + w->heads + w->bodies + w->ends;

    w->call = http_call(w->client, &spec, &ops, w);
    assert_int_equal(w->sents + w->heads + w->bodies + w->ends, told); /* nothing from inside */
}

static struct fake_peer *last_peer(struct world *w)
{
    assert_true(w->n_peers > 0);
    return w->peers[w->n_peers - 1];
}

static void answer(struct world *w, const char *text)
{
    fake_peer_send_cstr(last_peer(w), text);
    fake_run(w->loop);
}

/* A call made and its request out. */
static void call_out(struct world *w)
{
    start(w, HTTP_POST, "/v1/x", STRV("{}"));
    fake_run(w->loop);
    assert_int_equal(w->sents, 1);
}

static void assert_counts(struct world *w, size_t busy, size_t idle)
{
    size_t b, i;

    http_client_counts(w->client, &b, &i);
    assert_int_equal(b, busy);
    assert_int_equal(i, idle);
}

static void assert_end(struct world *w, enum http_end how)
{
    assert_int_equal(w->ends, 1);
    assert_int_equal(w->how, how);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

/* ---- what goes out ---- */

static void test_the_request(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    start(&w, HTTP_POST, "/v1/chat", STRV("{\"a\":1}"));
    fake_run(w.loop);
    assert_true(strv_eq_cstr(fake_peer_received(w.peers[0]), "POST /v1/chat HTTP/1.1\r\n"
                                                             "Host: up\r\n"
                                                             "Authorization: Bearer k\r\n"
                                                             "Accept-Encoding: identity\r\n"
                                                             "Content-Type: application/json\r\n"
                                                             "Content-Length: 7\r\n\r\n{\"a\":1}"));
    assert_false(w.reused);
    answer(&w, OK);
    assert_end(&w, HTTP_DONE);
    assert_int_equal(w.status, 200);
    assert_int_equal(w.n_headers, 2);
    assert_string_equal(w.type, "text/plain");
    assert_true(strv_eq_cstr(buf_view(&w.body), "hello"));
    fake_peer_eat(w.peers[0], fake_peer_received(w.peers[0]).len);
    start(&w, HTTP_GET, "/models", STRV_NONE);
    fake_run(w.loop);
    assert_true(strv_eq_cstr(fake_peer_received(w.peers[0]), "GET /v1/models HTTP/1.1\r\n"
                                                             "Host: up\r\n"
                                                             "Authorization: Bearer k\r\n"
                                                             "Accept-Encoding: identity\r\n\r\n"));
    assert_true(w.reused);
    close_world(&w);
}

/* ---- answers ---- */

struct case_row {
    const char *name;
    const char *in;
    bool eof; /* then the connection ends */
    bool head_request;
    enum http_end how;
    const char *body;
    bool kept; /* the connection is pooled */
    unsigned heads;
};

#define HEAD   "HTTP/1.1 200 OK\r\n"
#define CHUNKS HEAD "Transfer-Encoding: chunked\r\n\r\n"

static const struct case_row cases[] = {
    {"a length", OK, false, false, HTTP_DONE, "hello", true, 1},
    {"length zero", HEAD "Content-Length: 0\r\n\r\n", false, false, HTTP_DONE, "", true, 1},
    {"chunks", CHUNKS "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX: y\r\n\r\n", false, false, HTTP_DONE,
     "abcd", true, 1},
    {"no reason phrase", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", false, false, HTTP_DONE, "a",
     true, 1},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", false, false, HTTP_DONE, "", true, 1},
    {"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, false,
     HTTP_DONE, "", true, 1},
    {"HEAD", HEAD "Content-Length: 9\r\n\r\n", false, true, HTTP_DONE, "", true, 1},
    {"it closes", HEAD "Connection: close\r\nContent-Length: 1\r\n\r\na", false, false, HTTP_DONE,
     "a", false, 1},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", false, false, HTTP_DONE, "a",
     false, 1},
    {"HTTP/1.0 that stays",
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", false, false,
     HTTP_DONE, "a", true, 1},
    {"until the end", HEAD "\r\nabc", true, false, HTTP_DONE_AT_EOF, "abc", false, 1},
    {"until the end, with nothing", HEAD "\r\n", true, false, HTTP_DONE_AT_EOF, "", false, 1},
    {"100 first", "HTTP/1.1 100 Continue\r\n\r\n" OK, false, false, HTTP_DONE, "hello", true, 1},
    {"103 and 102 first",
     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" OK, false, false,
     HTTP_DONE, "hello", true, 1},
    {"more than was asked", OK "HTTP/1.1 200 OK\r\n\r\n", false, false, HTTP_DONE, "hello", false,
     1},
    {"an identity encoding", HEAD "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\na", false,
     false, HTTP_DONE, "a", true, 1},

    {"an end before anything", "", true, false, HTTP_CUT, "", false, 0},
    {"an end in the head", "HTTP/1.1 200 OK\r\nCont", true, false, HTTP_CUT, "", false, 0},
    {"an end in the body", HEAD "Content-Length: 5\r\n\r\nhel", true, false, HTTP_CUT, "hel", false,
     1},
    {"an end in a chunk", CHUNKS "5\r\nhel", true, false, HTTP_CUT, "hel", false, 1},
    {"an end between chunks", CHUNKS "3\r\nhel\r\n", true, false, HTTP_CUT, "hel", false, 1},
    {"an end before the last line", CHUNKS "3\r\nhel\r\n0\r\n", true, false, HTTP_CUT, "hel", false,
     1},
    {"an end after 100", "HTTP/1.1 100 Continue\r\n\r\n", true, false, HTTP_CUT, "", false, 0},

    {"gzip", HEAD "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", false, false,
     HTTP_MALFORMED, "", false, 0},
    {"both lengths", HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false, false,
     HTTP_MALFORMED, "", false, 0},
    {"two lengths", HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", false, false,
     HTTP_MALFORMED, "", false, 0},
    {"an unknown encoding", HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, false,
     HTTP_MALFORMED, "", false, 0},
    {"only line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, false, HTTP_MALFORMED, "",
     false, 0},
    {"switching protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, false,
     HTTP_MALFORMED, "", false, 0},
    {"status 600", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", false, false, HTTP_MALFORMED, "",
     false, 0},
    {"a request", "GET / HTTP/1.1\r\n\r\n", false, false, HTTP_MALFORMED, "", false, 0},
    {"HTTP/2", "HTTP/2 200\r\n\r\n", false, false, HTTP_MALFORMED, "", false, 0},
    {"noise", "\x15\x03\x03\x00\x02\x02\x28", false, false, HTTP_MALFORMED, "", false, 0},
    {"a bad chunk", CHUNKS "3\r\nabc\r\nz\r\n", false, false, HTTP_MALFORMED, "abc", false, 1},
    {"a folded header", HEAD "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", false, false,
     HTTP_MALFORMED, "", false, 0},
};

static void run_case(const struct case_row *row, const char *how, size_t at, bool brake)
{
    struct world w;
    size_t len = strlen(row->in);

    open_world(&w);
    w.pause_at = brake ? AT_BODY : NOWHERE;
    if (row->head_request)
        start(&w, HTTP_HEAD, "/v1/x", STRV_NONE);
    else
        start(&w, HTTP_POST, "/v1/x", STRV("{}"));
    fake_run(w.loop);
    if (strcmp(how, "split") == 0) {
        fake_peer_send(w.peers[0], row->in, at);
        fake_run(w.loop);
        fake_peer_send(w.peers[0], row->in + at, len - at);
    } else {
        fake_peer_cut(w.peers[0], at);
        fake_peer_send(w.peers[0], row->in, len);
    }
    if (row->eof)
        fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    while (w.paused) { /* let go after each piece, to be stopped at the next */
        w.paused = false;
        http_call_pause(w.call, false);
        fake_run(w.loop);
    }
    if (w.ends != 1 || w.how != row->how || w.heads != row->heads ||
        !strv_eq_cstr(buf_view(&w.body), row->body))
        fail_msg("%s, %s %zu: %u ends, how %d, %u heads, body %.*s", row->name, how, at, w.ends,
                 (int)w.how, w.heads, STRV_ARG(buf_view(&w.body)));
    assert_counts(&w, 0, row->kept);
    if (!row->kept)
        assert_int_equal(fake_peer_state(w.peers[0]), FAKE_CLOSED);
    assert_int_equal(w.n_peers, 1); /* a fresh connection's failure is not tried again */
    close_world(&w);
}

static void test_answers_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_case(&cases[i], "whole", 0, false);
}

static void test_answers_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t size = 1; size < 6; size++) {
            /* What came behind the answer is found only if it came with it. */
            if (strcmp(cases[i].name, "more than was asked") != 0 || size == 5)
                run_case(&cases[i], "pieces of", size, false);
        }
    }
}

static void test_answers_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t at = 1; at < strlen(cases[i].in); at++)
            run_case(&cases[i], "split", at, false);
    }
}

static void test_answers_under_the_brake(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case(&cases[i], "whole, braked", 0, true);
        if (strcmp(cases[i].name, "more than was asked") == 0)
            continue;
        for (size_t size = 1; size < 6; size++)
            run_case(&cases[i], "pieces, braked,", size, true);
    }
}

static void test_resets(void **state)
{
    static const char *const begun[] = {"", "HTTP/1.1 2", HEAD "Content-Length: 5\r\n\r\nhel",
                                        CHUNKS "1\r\na\r\n", HEAD "\r\nabc"};
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct world w;

        open_world(&w);
        call_out(&w);
        fake_peer_send_cstr(w.peers[0], begun[i]);
        fake_peer_reset(w.peers[0]);
        fake_run(w.loop);
        assert_end(&w, HTTP_RESET);
        assert_int_equal(w.why, IO_RESET);
        close_world(&w);
    }
}

static void test_tls_without_goodbye(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    fake_peer_send_cstr(w.peers[0], HEAD "\r\nabc");
    fake_peer_eof(w.peers[0], true);
    fake_run(w.loop);
    assert_end(&w, HTTP_CUT); /* nobody can say that this was all */
    assert_int_equal(w.why, IO_TRUNCATED);
    close_world(&w);
}

static void test_head_limits(void **state)
{
    char text[3000];
    (void)state;

    for (int size = 995; size <= 1005; size++) {
        struct world w;
        int n = snprintf(text, sizeof text, HEAD "Content-Length: 0\r\nX: %0*d\r\n\r\n",
                         size - 17 - 19 - 3 - 4, 1);

        assert_int_equal(n, size);
        for (size_t cut = 0; cut < 3; cut++) {
            open_world(&w);
            call_out(&w);
            fake_peer_cut(w.peers[0], cut);
            answer(&w, text);
            assert_end(&w, size <= 1000 ? HTTP_DONE : HTTP_MALFORMED);
            close_world(&w);
        }
    }
    struct world w;
    open_world(&w);
    call_out(&w);
    for (int i = 0; i < 16; i++)
        answer(&w, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(w.ends, 0);
    answer(&w, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_end(&w, HTTP_MALFORMED);
    close_world(&w);
}

/* ---- connecting ---- */

static void test_no_connection(void **state)
{
    static const struct {
        enum fake_answer answer;
        enum io_end why;
    } rows[] = {
        {FAKE_REFUSE, IO_REFUSED},          {FAKE_HANG, IO_TIMEOUT},      {FAKE_NO_NAME, IO_DNS},
        {FAKE_UNREACHABLE, IO_UNREACHABLE}, {FAKE_NO_ROOM, IO_NO_MEMORY},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        struct fake_rule rule = {.answer = rows[i].answer, .times = 1};

        open_world(&w);
        fake_target(w.loop, "up", 80, &rule);
        start(&w, HTTP_GET, "/", STRV_NONE);
        fake_run(w.loop);
        fake_advance(w.loop, 1000);
        assert_end(&w, HTTP_CONNECT);
        assert_int_equal(w.why, rows[i].why);
        assert_int_equal(w.sents, 0);
        assert_counts(&w, 0, 0);
        close_world(&w);
    }
}

static bool allow_none(void *arg, const struct sockaddr *addr)
{
    (void)arg;
    (void)addr;
    return false;
}

static void test_not_allowed(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    w.up.allow = allow_none;
    start(&w, HTTP_GET, "/", STRV_NONE);
    fake_run(w.loop);
    assert_end(&w, HTTP_CONNECT);
    assert_int_equal(w.why, IO_NOT_ALLOWED);
    close_world(&w);
}

static void test_unix_socket(void **state)
{
    struct world w;
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = &w};
    (void)state;

    open_world(&w);
    fake_target(w.loop, "/run/x.sock", 0, &rule);
    w.up.unix_path = "/run/x.sock";
    w.up.key = "unix";
    call_out(&w);
    assert_string_equal(fake_peer_target(w.peers[0]), "/run/x.sock:0");
    answer(&w, OK);
    assert_end(&w, HTTP_DONE);
    close_world(&w);
}

/* ---- pools ---- */

static void test_reuse_newest_first(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    start(&w, HTTP_GET, "/2", STRV_NONE);
    fake_run(w.loop);
    assert_int_equal(w.n_peers, 2);
    assert_counts(&w, 2, 0);
    fake_peer_send_cstr(w.peers[0], OK);
    fake_run(w.loop);
    fake_peer_send_cstr(w.peers[1], OK);
    fake_run(w.loop);
    assert_counts(&w, 0, 2);
    fake_peer_eat(w.peers[0], 1000 < fake_peer_received(w.peers[0]).len
                                  ? 1000
                                  : fake_peer_received(w.peers[0]).len);
    forget(&w);
    start(&w, HTTP_GET, "/3", STRV_NONE);
    fake_run(w.loop);
    assert_true(w.reused);
    assert_int_equal(w.n_peers, 2);
    assert_counts(&w, 1, 1);
    assert_int_equal(fake_peer_received(w.peers[0]).len, 0); /* the newest was [1] */
    close_world(&w);
}

static void test_idle_limits(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    for (int i = 0; i < 3; i++)
        start(&w, HTTP_GET, "/", STRV_NONE);
    fake_run(w.loop);
    for (int i = 0; i < 3; i++) {
        fake_peer_send_cstr(w.peers[i], OK);
        fake_run(w.loop);
    }
    assert_counts(&w, 0, 2); /* idle_max; the oldest went */
    assert_int_equal(fake_peer_state(w.peers[0]), FAKE_CLOSED);
    fake_advance(w.loop, 4000);
    forget(&w);
    call_out(&w); /* peers[2] again */
    fake_advance(w.loop, 2000);
    assert_counts(&w, 1, 0);
    assert_int_equal(fake_peer_state(w.peers[1]), FAKE_CLOSED);
    fake_advance(w.loop, 10000); /* being used is not being idle */
    assert_int_equal(fake_peer_state(w.peers[2]), FAKE_OPEN);
    fake_peer_send_cstr(w.peers[2], OK);
    fake_run(w.loop);
    fake_advance(w.loop, 4999);
    assert_counts(&w, 0, 1);
    fake_advance(w.loop, 1);
    assert_counts(&w, 0, 0);
    close_world(&w);
}

static void test_pools_are_by_key(void **state)
{
    struct world w;
    struct http_upstream other;
    (void)state;

    open_world(&w);
    call_out(&w);
    answer(&w, OK);
    assert_counts(&w, 0, 1);
    forget(&w);
    other = w.up;
    other.key = "up, with another certificate";
    struct http_call_spec spec = {.upstream = &other, .method = HTTP_GET, .path = "/"};
    w.call = http_call(w.client, &spec, &ops, &w);
    fake_run(w.loop);
    assert_int_equal(w.n_peers, 2);
    assert_false(w.reused);
    assert_counts(&w, 1, 1);
    close_world(&w);
}

static void test_idle_connection_that_speaks_or_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct world w;

        open_world(&w);
        call_out(&w);
        answer(&w, OK);
        assert_counts(&w, 0, 1);
        if (i == 0)
            fake_peer_send_cstr(w.peers[0], "HTTP/1.1 408 Request Timeout\r\n\r\n");
        else if (i == 1)
            fake_peer_eof(w.peers[0], false);
        else
            fake_peer_reset(w.peers[0]);
        fake_run(w.loop);
        assert_counts(&w, 0, 0);
        forget(&w);
        call_out(&w);
        assert_int_equal(w.n_peers, 2);
        assert_false(w.reused);
        close_world(&w);
    }
}

/* The server closes while our request is on its way: no answer byte ever comes. */
static void test_stale_connection_is_replaced_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w;

        open_world(&w);
        call_out(&w);
        answer(&w, OK);
        forget(&w);
        call_out(&w);
        assert_true(w.reused);
        if (i == 0)
            fake_peer_eof(w.peers[0], false);
        else
            fake_peer_reset(w.peers[0]);
        fake_run(w.loop);
        assert_int_equal(w.ends, 0);
        assert_int_equal(w.n_peers, 2);
        assert_int_equal(w.sents, 2);
        assert_false(w.reused);
        assert_true(strv_ends(fake_peer_received(w.peers[1]), STRV("\r\n\r\n{}")));
        if (i == 0) {
            answer(&w, OK);
            assert_end(&w, HTTP_DONE);
        } else { /* once */
            fake_peer_reset(w.peers[1]);
            fake_run(w.loop);
            assert_end(&w, HTTP_RESET);
        }
        assert_int_equal(w.n_peers, 2);
        close_world(&w);
    }
}

static void call_held(struct world *w)
{
    start(w, HTTP_POST, "/v1/x", STRV("{}"));
    fake_run(w->loop);
    assert_int_equal(w->sents, 0);
}

/* Nothing is on the connection before it may be, on each of them anew. */
static void test_held_until_it_may_go(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct world w;

        open_world(&w);
        w.holding = true;
        call_held(&w);
        assert_int_equal(w.readies, 1);
        assert_int_equal(fake_peer_received(w.peers[0]).len, 0);
        assert_int_equal(w.sents, 0);
        if (i == 3) { /* a new one that ends is not replaced */
            fake_peer_eof(w.peers[0], false);
            fake_run(w.loop);
            assert_end(&w, HTTP_CUT);
            close_world(&w);
            continue;
        }
        http_call_go(w.call);
        answer(&w, OK);
        assert_end(&w, HTTP_DONE);
        forget(&w);
        call_held(&w); /* the kept one */
        assert_int_equal(w.readies, 2);
        if (i == 0)
            fake_peer_reset(w.peers[0]); /* before it may go */
        else if (i == 1)
            fake_peer_send_cstr(w.peers[0], OK); /* an answer to nothing */
        else
            http_call_go(w.call);
        fake_run(w.loop);
        if (i == 2) { /* as it goes */
            assert_int_equal(w.sents, 1);
            fake_peer_reset(w.peers[0]);
            fake_run(w.loop);
        }
        assert_int_equal(w.ends, 0);
        assert_int_equal(w.n_peers, 2);
        assert_int_equal(w.readies, 3);
        assert_int_equal(fake_peer_received(w.peers[1]).len, 0);
        http_call_go(w.call);
        fake_run(w.loop);
        fake_peer_send_cstr(w.peers[1], OK);
        fake_run(w.loop);
        assert_end(&w, HTTP_DONE);
        close_world(&w);
    }
}

static void test_cancelled_while_held(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct world w;

        open_world(&w);
        w.holding = true;
        w.cancel_at = i == 0 ? AT_READY : NOWHERE;
        w.free_at = i == 1 ? AT_READY : NOWHERE;
        call_held(&w);
        if (i == 2)
            http_call_cancel(w.call);
        fake_run(w.loop);
        assert_int_equal(w.ends, 0);
        assert_int_equal(fake_peer_received(w.peers[0]).len, 0);
        close_world(&w);
    }
}

static void test_no_replacement_after_the_first_byte(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    answer(&w, OK);
    forget(&w);
    call_out(&w);
    fake_peer_send_cstr(w.peers[0], "H");
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    assert_end(&w, HTTP_CUT);
    assert_int_equal(w.n_peers, 1);
    close_world(&w);
}

static void test_answer_before_the_request_is_out(void **state)
{
    static char big[100000];
    struct world w;
    (void)state;

    memset(big, ' ', sizeof big);
    open_world(&w);
    start(&w, HTTP_GET, "/", STRV_NONE);
    fake_run(w.loop);
    answer(&w, OK);
    forget(&w);
    fake_peer_window(w.peers[0], 500);
    start(&w, HTTP_POST, "/", (strv){big, sizeof big});
    fake_run(w.loop);
    answer(&w, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_end(&w, HTTP_DONE);
    assert_int_equal(w.status, 413);
    assert_counts(&w, 0, 0); /* the rest of the request would be taken for the next one */
    assert_int_equal(fake_peer_state(w.peers[0]), FAKE_CLOSED);
    close_world(&w);
}

static void test_next_call_from_on_end(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    w.again = true;
    call_out(&w);
    answer(&w, OK);
    assert_int_equal(w.n_peers, 1); /* on the connection that has just come back */
    assert_counts(&w, 1, 0);
    answer(&w, OK);
    assert_int_equal(w.ends, 2);
    assert_counts(&w, 0, 1);
    close_world(&w);
}

/* ---- cancelling ---- */

static void test_cancel_before_anything(void **state)
{
    struct world w;
    struct fake_rule slow = {.answer = FAKE_ACCEPT, .after_ms = 100, .times = 1};
    (void)state;

    open_world(&w);
    start(&w, HTTP_GET, "/", STRV_NONE);
    http_call_cancel(w.call); /* not even started */
    fake_run(w.loop);
    assert_int_equal(fake_connects(w.loop), 0);
    fake_target(w.loop, "up", 80, &slow);
    start(&w, HTTP_GET, "/", STRV_NONE);
    fake_run(w.loop);
    assert_int_equal(fake_connecting(w.loop), 1);
    http_call_cancel(w.call); /* while connecting */
    fake_advance(w.loop, 200);
    start(&w, HTTP_GET, "/", STRV_NONE);
    fake_run(w.loop);
    http_call_cancel(w.call); /* while waiting */
    fake_run(w.loop);
    assert_int_equal(w.ends + w.heads, 0);
    assert_counts(&w, 0, 0);
    http_call_cancel(NULL);
    close_world(&w);
}

static void test_cancel_or_free_in_each_callback(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        for (enum point at = AT_SENT; at <= AT_END; at++) {
            for (size_t cut = 0; cut < 3; cut++) {
                struct world w;

                open_world(&w);
                *(what == 0 ? &w.cancel_at : what == 1 ? &w.free_at : &w.pause_at) = at;
                start(&w, HTTP_POST, "/", STRV("{}"));
                fake_run(w.loop);
                if (what == 2 && at == AT_END) { /* too late to pause */
                    close_world(&w);
                    continue;
                }
                fake_peer_cut(w.peers[0], cut);
                fake_peer_send_cstr(w.peers[0], CHUNKS "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
                fake_run(w.loop);
                if (what == 2) {
                    assert_int_equal(w.ends, 0);
                    http_call_cancel(w.call); /* while paused, with bytes held */
                    fake_run(w.loop);
                }
                assert_int_equal(w.heads, at >= AT_HEAD);
                assert_int_equal(w.bodies > 0, at >= AT_BODY);
                assert_int_equal(w.ends, at == AT_END);
                if (what == 0)
                    assert_counts(&w, 0, at == AT_END);
                close_world(&w);
            }
        }
    }
}

static void test_the_answer_to_a_cancelled_call_reaches_nobody(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    http_call_cancel(w.call);
    forget(&w);
    call_out(&w);
    fake_peer_send_cstr(w.peers[0], OK);
    fake_run(w.loop);
    assert_int_equal(w.heads, 0);
    assert_int_equal(w.n_peers, 2);
    answer(&w, CHUNKS "2\r\nmy\r\n0\r\n\r\n");
    assert_true(strv_eq_cstr(buf_view(&w.body), "my"));
    close_world(&w);
}

/* ---- the brake ---- */

static void test_brake_stops_reading(void **state)
{
    static char big[300000];
    struct world w;
    (void)state;

    memset(big, 'x', sizeof big);
    open_world(&w);
    call_out(&w);
    w.pause_at = AT_BODY;
    answer(&w, HEAD "Content-Length: 300000\r\n\r\n");
    fake_peer_send(w.peers[0], big, sizeof big);
    fake_peer_cut(w.peers[0], 10000);
    fake_run(w.loop);
    assert_int_equal(buf_len(&w.body), 10000);
    assert_true(fake_peer_unread(w.peers[0]) >= 280000);
    w.body.max = 1000000;
    w.pause_at = NOWHERE;
    w.paused = false;
    http_call_pause(w.call, false);
    assert_int_equal(buf_len(&w.body), 10000); /* nothing from inside */
    fake_run(w.loop);
    assert_end(&w, HTTP_DONE);
    assert_int_equal(buf_len(&w.body), 300000);
    close_world(&w);
}

static void test_brake_before_the_answer(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    http_call_pause(w.call, true);
    http_call_pause(w.call, true);
    answer(&w, OK);
    assert_int_equal(w.heads, 0);
    http_call_pause(w.call, false);
    http_call_pause(w.call, true);
    fake_run(w.loop);
    assert_int_equal(w.heads, 0);
    http_call_pause(w.call, false);
    fake_run(w.loop);
    assert_end(&w, HTTP_DONE);
    close_world(&w);
}

static void test_brake_and_the_connections_end(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    call_out(&w);
    w.pause_at = AT_HEAD;
    fake_peer_send_cstr(w.peers[0], HEAD "Content-Length: 5\r\n\r\nhel");
    fake_peer_reset(w.peers[0]);
    fake_run(w.loop);
    assert_int_equal(w.heads, 1);
    assert_int_equal(w.ends + w.bodies, 0);
    w.paused = false;
    http_call_pause(w.call, false);
    fake_run(w.loop);
    assert_true(strv_eq_cstr(buf_view(&w.body), "hel")); /* what came is told first */
    assert_end(&w, HTTP_RESET);
    close_world(&w);
}

/* ---- refused memory ---- */

static void exercise(struct world *w)
{
    struct http_call *call;

    start(w, HTTP_POST, "/v1/x", STRV("{}"));
    call = w->call;
    fake_run(w->loop);
    if (w->n_peers > 0 && w->ends == 0) {
        fake_peer_window(w->peers[0], 10);
        fake_peer_cut(w->peers[0], 11);
        w->pause_at = AT_BODY;
        fake_peer_send_cstr(w->peers[0], CHUNKS "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        fake_run(w->loop);
        w->pause_at = NOWHERE;
        w->paused = false;
        if (w->ends == 0)
            http_call_pause(call, false);
        fake_run(w->loop);
    }
    assert_int_equal(w->ends, call != NULL);
    forget(w);
    start(w, HTTP_GET, "/v1/y", STRV_NONE);
    call = w->call;
    fake_run(w->loop);
    if (w->n_peers > 0) {
        if (w->ends == 0 && fake_peer_state(last_peer(w)) == FAKE_OPEN)
            fake_peer_send_cstr(last_peer(w), OK);
        fake_run(w->loop);
    }
    assert_int_equal(w->ends, call != NULL);
}

static void test_refused_memory(void **state)
{
    uint64_t needed;
    int64_t before;
    struct world w;
    (void)state;

    mem_fail_at(0, false);
    open_world(&w);
    exercise(&w);
    needed = mem_count();
    close_world(&w);
    before = mem_live();
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t n = 1; n <= needed + 1; n++) {
            mem_fail_at(n, forever == 1);
            if (try_open(&w))
                exercise(&w);
            http_client_free(w.client);
            mem_fail_at(0, false);
            if (w.loop != NULL)
                assert_int_equal(fake_end(w.loop), 0);
            buf_fini(&w.body);
            assert_int_equal(mem_live(), before);
        }
    }
}

/* A call on a warm connection: itself, and the body is not copied. */
static void test_allocations_of_a_call(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    assert_non_null(buf_reserve(&w.body, 1000));
    for (int i = 0; i < 3; i++) {
        forget(&w);
        mem_fail_at(0, false);
        call_out(&w);
        answer(&w, OK);
        assert_end(&w, HTTP_DONE);
        if (i > 0)
            assert_int_equal(mem_count(), 1);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request),
        cmocka_unit_test(test_answers_whole),
        cmocka_unit_test(test_answers_in_pieces),
        cmocka_unit_test(test_answers_at_every_split),
        cmocka_unit_test(test_answers_under_the_brake),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_tls_without_goodbye),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_reuse_newest_first),
        cmocka_unit_test(test_idle_limits),
        cmocka_unit_test(test_pools_are_by_key),
        cmocka_unit_test(test_idle_connection_that_speaks_or_ends),
        cmocka_unit_test(test_stale_connection_is_replaced_once),
        cmocka_unit_test(test_held_until_it_may_go),
        cmocka_unit_test(test_cancelled_while_held),
        cmocka_unit_test(test_no_replacement_after_the_first_byte),
        cmocka_unit_test(test_answer_before_the_request_is_out),
        cmocka_unit_test(test_next_call_from_on_end),
        cmocka_unit_test(test_cancel_before_anything),
        cmocka_unit_test(test_cancel_or_free_in_each_callback),
        cmocka_unit_test(test_the_answer_to_a_cancelled_call_reaches_nobody),
        cmocka_unit_test(test_brake_stops_reading),
        cmocka_unit_test(test_brake_before_the_answer),
        cmocka_unit_test(test_brake_and_the_connections_end),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_allocations_of_a_call),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
