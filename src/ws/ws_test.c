/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - the frames of RFC 6455 in good and bad order, in whatever pieces, through a real http server on a made-up
 * network. Frames in the cases are written as their bytes; a caller's are masked with 01 02 03 04.
 */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ws/ws.h"

#define ADDRESS "127.0.0.1:8484"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* RFC 6455, 1.3 */
#define OPENING                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"     \
    "Sec-WebSocket-Version: 13\r\n" KEY "\r\n"
#define ANSWER                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"            \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define MESSAGE_MAX 200
#define PENDING_MAX 1000

/* A server that echoes; "bye" makes it close with 4001, "flood" makes it send until it may not. */
struct world {
    struct io_loop *loop;
    struct http_server *server;
    struct fake_peer *peer;
    struct ws *ws;
    size_t sent, drains;
    unsigned opened, closed, code, gone;
    int connections;
};

static void on_text(void *arg, strv text)
{
    struct world *w = arg;

    if (strv_eq_cstr(text, "bye")) {
        ws_send(w->ws, STRV("last"));
        ws_close(w->ws, 4001, "go");
        assert_false(ws_send(w->ws, STRV("too late")));
    } else if (strv_eq_cstr(text, "flood")) {
        while (ws_send(w->ws, STRV("0123456789")))
            w->sent++;
    } else {
        ws_send(w->ws, text);
    }
}

static void on_drain(void *arg)
{
    ((struct world *)arg)->drains++;
}

static void on_closed(void *arg, unsigned code)
{
    struct world *w = arg;

    w->closed++;
    w->code = code;
    w->ws = NULL;
}

static const struct ws_ops ops = {on_text, on_drain, on_closed};
static const struct ws_opts opts = {
    .message_bytes_max = MESSAGE_MAX,
    .pending_bytes_max = PENDING_MAX,
    .ping_ms = 20000,
    .idle_ms = 60000,
    .close_ms = 1000,
};

static void taken(struct http_request *req, struct io_stream *s, strv early)
{
    struct world *w = req->user;

    w->opened++;
    w->ws = ws_new(w->loop, s, early, &opts, &ops, w);
}

static void gone(struct http_request *req)
{
    ((struct world *)req->user)->gone++;
}

static bool on_head(void *arg, struct http_request *req)
{
    (void)arg;
    (void)req;
    return true;
}

static void on_request(void *arg, struct http_request *req)
{
    int status;
    const char *why = ws_refusal(req, &status);

    req->user = arg;
    req->on_gone = gone;
    if (why != NULL)
        http_reply_whole(req, status, "text/plain", strv_of(why));
    else
        ws_upgrade(req, taken);
}

static void on_bad(void *arg, struct http_request *req, enum http_bad why)
{
    (void)arg;
    (void)why;
    http_reply_whole(req, 400, NULL, STRV("bad"));
}

static void on_connections(void *arg, int change)
{
    ((struct world *)arg)->connections += change;
}

static bool try_open(struct world *w)
{
    struct err err = ERR_INIT;
    struct http_handlers on = {on_head, on_request, on_bad, on_connections, w};
    struct http_server_opts small = {1000, 50, 1000, 500, 10000, 2000, 3, 100000};

    *w = (struct world){.loop = io_loop_new(&err)};
    if (w->loop == NULL)
        return false;
    w->server = http_server_new(w->loop, &small, &on, &err);
    return w->server != NULL && http_server_listen(w->server, STRV(ADDRESS), true, NULL, &err);
}

static void join(struct world *w)
{
    w->peer = fake_client_connect(w->loop, ADDRESS, NULL);
    assert_non_null(w->peer);
}

static void open_ws(struct world *w)
{
    assert_true(try_open(w));
    join(w);
    fake_peer_send_cstr(w->peer, OPENING);
    fake_run(w->loop);
    assert_true(strv_eq_cstr(fake_peer_received(w->peer), ANSWER));
    fake_peer_eat(w->peer, sizeof ANSWER - 1);
    assert_int_equal(w->opened, 1);
    assert_int_equal(w->connections, 0);
}

static void close_world(struct world *w)
{
    ws_free(w->ws);
    fake_run(w->loop);
    http_server_free(w->server);
    assert_int_equal(w->connections, 0);
    assert_int_equal(fake_end(w->loop), 0);
}

/* ---- frames ---- */

struct bytes {
    unsigned char data[4096];
    size_t len;
};

/* A frame as a caller sends it; first is FIN, reserved bits and opcode. */
static void put_frame(struct bytes *b, unsigned first, const char *text, size_t len)
{
    static const unsigned char mask[4] = {1, 2, 3, 4};

    b->data[b->len++] = (unsigned char)first;
    if (len < 126) {
        b->data[b->len++] = (unsigned char)(0x80 | len);
    } else {
        b->data[b->len++] = 0x80 | 126;
        b->data[b->len++] = (unsigned char)(len >> 8);
        b->data[b->len++] = (unsigned char)(len & 0xff);
    }
    memcpy(b->data + b->len, mask, 4);
    b->len += 4;
    for (size_t i = 0; i < len; i++)
        b->data[b->len++] = (unsigned char)(text[i] ^ mask[i % 4]);
}

static void send_frame(struct world *w, unsigned first, const char *text)
{
    struct bytes b = {.len = 0};

    put_frame(&b, first, text, strlen(text));
    fake_peer_send(w->peer, b.data, b.len);
    fake_run(w->loop);
}

static void assert_received(struct world *w, const char *want, size_t len)
{
    strv got = fake_peer_received(w->peer);

    assert_int_equal(got.len, len);
    assert_memory_equal(got.ptr, want, len);
    fake_peer_eat(w->peer, len);
}
#define RECEIVED(w, text) assert_received(w, text, sizeof text - 1)

#define TEXT  0x81
#define CONT  0x80
#define START 0x01
#define MORE  0x00
#define BIN   0x82
#define CLOSE 0x88
#define PING  0x89
#define PONG  0x8a

struct frame_row {
    unsigned first;
    const char *text;
    size_t len; /* 0 = strlen */
};

struct case_row {
    const char *name;
    struct frame_row in[5];
    const char *out;
    size_t out_len;
    unsigned code; /* 0 = still open */
};
#define OUT(text) text, sizeof text - 1

static const struct case_row cases[] = {
    {"a text", {{TEXT, "hello", 0}}, OUT("\x81\5hello"), 0},
    {"an empty text", {{TEXT, "", 0}}, OUT("\x81\0"), 0},
    {"two texts", {{TEXT, "a", 0}, {TEXT, "b", 0}}, OUT("\x81\1a\x81\1b"), 0},
    {"a text in three pieces",
     {{START, "he", 0}, {MORE, "l", 0}, {CONT, "lo", 0}},
     OUT("\x81\5hello"),
     0},
    {"a ping", {{PING, "x", 0}}, OUT("\x8a\1x"), 0},
    {"a ping between the pieces",
     {{START, "a", 0}, {PING, "p", 0}, {CONT, "b", 0}},
     OUT("\x8a\1p\x81\2"
         "ab"),
     0},
    {"a pong nobody asked for", {{PONG, "x", 0}}, OUT(""), 0},
    {"a letter cut by the pieces",
     {{START, "\xc3", 0}, {CONT, "\xa9", 0}},
     OUT("\x81\2\xc3\xa9"),
     0},
    {"a close",
     {{CLOSE,
       "\x03\xe8"
       "bye",
       0}},
     OUT("\x88\5\x03\xe8"
         "bye"),
     1000},
    {"a close without a code", {{CLOSE, "", 0}}, OUT("\x88\0"), 1005},
    {"nothing after a close",
     {{CLOSE, "\x03\xe8", 0}, {TEXT, "x", 0}},
     OUT("\x88\2\x03\xe8"),
     1000},
    {"our close",
     {{TEXT, "bye", 0}, {CLOSE, "\x0f\xa1", 0}},
     OUT("\x81\4last\x88\4\x0f\xa1go"),
     4001},
    {"binary", {{BIN, "x", 0}, {TEXT, "y", 0}}, OUT("\x88\x14\x03\xebtext messages only"), 1003},
    {"a reserved bit", {{0xc1, "x", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a reserved opcode", {{0x83, "x", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a reserved control opcode", {{0x8b, "", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a piece of nothing", {{CONT, "x", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a text within a text", {{START, "x", 0}, {TEXT, "y", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a ping in pieces", {{0x09, "x", 0}}, OUT("\x88\0"), 1002},
    {"a close of one byte counts as none", {{CLOSE, "\x03", 0}}, OUT("\x88\0"), 1005},
    {"a close with a code of nobody", {{CLOSE, "\x03\xec", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"a close with the code for no code", {{CLOSE, "\x03\xed", 0}}, OUT("\x88\2\x03\xea"), 1002},
    {"no UTF-8", {{TEXT, "a\xff", 0}}, OUT("\x88\2\x03\xef"), 1007},
    {"half a letter", {{TEXT, "\xc3", 0}}, OUT("\x88\2\x03\xef"), 1007},
    {"a surrogate", {{TEXT, "\xed\xa0\x80", 0}}, OUT("\x88\2\x03\xef"), 1007},
    {"no UTF-8 in the second piece",
     {{START, "a", 0}, {CONT, "\xff", 0}},
     OUT("\x88\2\x03\xef"),
     1007},
};

static void run_case(const struct case_row *c, size_t cut)
{
    struct world w;
    struct bytes b = {.len = 0};

    open_ws(&w);
    fake_peer_cut(w.peer, cut);
    for (size_t i = 0; i < 5 && c->in[i].text != NULL; i++)
        put_frame(&b, c->in[i].first, c->in[i].text,
                  c->in[i].len != 0 ? c->in[i].len : strlen(c->in[i].text));
    fake_peer_send(w.peer, b.data, b.len);
    fake_run(w.loop);
    strv got = fake_peer_received(w.peer);
    if (got.len != c->out_len || memcmp(got.ptr, c->out, got.len) != 0)
        fail_msg("%s, cut %zu: got %zu bytes: %.*s", c->name, cut, got.len, STRV_ARG(got));
    if (c->code != 0 && w.closed == 0) { /* a fault of the peer's: it goes now */
        fake_peer_eof(w.peer, false);
        fake_run(w.loop);
    }
    if (w.code != c->code)
        fail_msg("%s, cut %zu: ended with %u", c->name, cut, w.code);
    assert_int_equal(w.closed, c->code != 0);
    close_world(&w);
}

static void test_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut < 10; cut++)
            run_case(&cases[i], cut);
}

static void test_a_frame_without_mask_is_a_fault(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    fake_peer_send(w.peer, "\x81\1x", 3);
    fake_run(w.loop);
    RECEIVED(&w, "\x88\2\x03\xea");
    close_world(&w);
}

static void test_a_long_message(void **state)
{
    struct world w;
    char text[MESSAGE_MAX + 2];

    (void)state;
    memset(text, 'a', sizeof text);
    text[MESSAGE_MAX] = '\0';
    open_ws(&w);
    send_frame(&w, TEXT, text);
    assert_int_equal(fake_peer_received(w.peer).len, MESSAGE_MAX + 4);
    fake_peer_eat(w.peer, MESSAGE_MAX + 4);
    text[MESSAGE_MAX] = 'a';
    text[MESSAGE_MAX + 1] = '\0';
    send_frame(&w, TEXT, text);
    RECEIVED(&w, "\x88\2\x03\xf1");
    close_world(&w);
}

/* The limit holds for the sum of the pieces, and for what a head promises as soon as it begins. */
static void test_a_long_message_in_pieces(void **state)
{
    static const unsigned char huge[] = {0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 'x'};
    struct world w;
    char text[MESSAGE_MAX];

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    open_ws(&w);
    send_frame(&w, START, text);
    send_frame(&w, CONT, "bc");
    RECEIVED(&w, "\x88\2\x03\xf1");
    close_world(&w);
    open_ws(&w);
    fake_peer_send(w.peer, huge, sizeof huge);
    fake_run(w.loop);
    RECEIVED(&w, "\x88\2\x03\xf1");
    close_world(&w);
}

/* Each costs much more than it holds. */
static void test_a_message_in_too_many_pieces(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    for (int round = 0; round < 2;
         round++) { /* they are counted of a message, not of a connection */
        send_frame(&w, START, "a");
        for (int i = 0; i < 1000; i++)
            send_frame(&w, MORE, "");
        send_frame(&w, CONT, "b");
        RECEIVED(&w, "\x81\2ab");
    }
    send_frame(&w, START, "a");
    for (int i = 0; i < 1100 && w.closed == 0; i++)
        send_frame(&w, MORE, "");
    assert_int_equal(w.closed, 1);
    RECEIVED(&w, "\x88\x11\x03\xf1too many pieces");
    close_world(&w);
}

static void test_early_frames_are_not_lost(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 64; cut++) {
        struct world w;
        struct bytes b = {.len = 0};

        assert_true(try_open(&w));
        join(&w);
        fake_peer_cut(w.peer, cut);
        fake_peer_send_cstr(w.peer, OPENING);
        put_frame(&b, START, "he", 2);
        put_frame(&b, CONT, "llo", 3);
        fake_peer_send(w.peer, b.data, b.len);
        fake_run(w.loop);
        RECEIVED(&w, ANSWER "\x81\5hello");
        close_world(&w);
    }
}

static void test_the_handshake(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
         "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n",
         "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" KEY "\r\n",
         "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 8\r\n" KEY "\r\n",
         "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\n" KEY KEY "\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\n" KEY "Content-Length: 0\r\n\r\n",
         "HTTP/1.1 400 "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;

        assert_true(try_open(&w));
        join(&w);
        fake_peer_send_cstr(w.peer, rows[i].in);
        fake_run(w.loop);
        strv got = fake_peer_received(w.peer);
        if (!strv_starts(got, strv_of(rows[i].out)))
            fail_msg("row %zu: %.*s", i, STRV_ARG(got));
        assert_int_equal(w.opened, 0);
        close_world(&w);
    }
}

static void test_a_caller_who_leaves_before_the_answer(void **state)
{
    struct world w;

    (void)state;
    assert_true(try_open(&w));
    join(&w);
    fake_peer_window(w.peer, 0);
    fake_peer_send_cstr(w.peer, OPENING);
    fake_peer_reset(w.peer);
    fake_run(w.loop);
    assert_int_equal(w.opened + w.gone, 1);
    close_world(&w);
}

/* ---- time ---- */

static void test_a_silent_peer_is_left(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    fake_advance(w.loop, 20000);
    RECEIVED(&w, "\x89\0");
    send_frame(&w, PONG, "");
    fake_advance(w.loop, 20000);
    RECEIVED(&w, "\x89\0");
    assert_int_equal(w.closed, 0);
    fake_advance(w.loop, 20000);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.code, WS_CUT);
    assert_int_equal(fake_peer_state(w.peer), FAKE_ABORTED);
    close_world(&w);
}

static void test_an_idle_one_is_closed(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    for (int i = 0; i < 2; i++) {
        fake_advance(w.loop, 20000);
        RECEIVED(&w, "\x89\0");
        send_frame(&w, PONG, "");
    }
    fake_advance(w.loop, 20000);
    RECEIVED(&w, "\x88\6\x03\xe9idle");
    send_frame(&w, CLOSE, "\x03\xe9");
    assert_int_equal(w.code, WS_GOING_AWAY);
    close_world(&w);
}

static void test_a_peer_that_does_not_answer_a_close(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    send_frame(&w, TEXT, "bye");
    assert_int_equal(w.closed, 0);
    fake_advance(w.loop, 1000);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.code, 4001);
    close_world(&w);
}

/* ---- a peer that does not read ---- */

static void test_output_is_bounded(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    fake_peer_window(w.peer, 0);
    send_frame(&w, TEXT, "flood");
    assert_in_range(w.sent, 50, PENDING_MAX / 10);
    assert_in_range(ws_pending(w.ws), PENDING_MAX / 2, PENDING_MAX + 200);
    assert_int_equal(w.drains, 0);
    fake_peer_window(w.peer, FAKE_UNLIMITED);
    fake_run(w.loop);
    assert_int_equal(ws_pending(w.ws), 0);
    assert_int_equal(w.drains, 1);
    close_world(&w);
}

static void test_a_flood_of_pings_ends_it(void **state)
{
    struct world w;

    (void)state;
    open_ws(&w);
    fake_peer_window(w.peer, 0);
    for (int i = 0; i < 3000 && w.closed == 0; i++)
        send_frame(&w, PING, "0123456789");
    assert_int_equal(w.closed, 1);
    close_world(&w);
}

/* ---- memory ---- */

static void play(void)
{
    struct world w;
    struct bytes b = {.len = 0};

    if (try_open(&w)) {
        w.peer = fake_client_connect(w.loop, ADDRESS, NULL);
        if (w.peer != NULL) {
            fake_peer_send_cstr(w.peer, OPENING);
            put_frame(&b, START, "he", 2);
            put_frame(&b, CONT, "llo", 3);
            put_frame(&b, TEXT, "bye", 3);
            put_frame(&b, CLOSE, "\x0f\xa1", 2);
            fake_peer_send(w.peer, b.data, b.len);
            fake_run(w.loop);
            ws_free(w.ws);
            fake_run(w.loop);
        }
    }
    http_server_free(w.server);
    if (w.loop != NULL)
        assert_int_equal(fake_end(w.loop), 0);
}

static void test_memory_may_be_refused_at_any_point(void **state)
{
    int64_t before = mem_live();

    (void)state;
    mem_fail_at(0, false);
    play();
    uint64_t needed = mem_count();
    assert_in_range(needed, 5, 100);
    for (uint64_t n = 1; n <= needed; n++)
        for (int forever = 0; forever < 2; forever++) {
            mem_fail_at(n, forever == 1);
            play();
            mem_fail_at(0, false);
            assert_int_equal(mem_live(), before);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_a_frame_without_mask_is_a_fault),
        cmocka_unit_test(test_a_long_message),
        cmocka_unit_test(test_a_long_message_in_pieces),
        cmocka_unit_test(test_a_message_in_too_many_pieces),
        cmocka_unit_test(test_early_frames_are_not_lost),
        cmocka_unit_test(test_the_handshake),
        cmocka_unit_test(test_a_caller_who_leaves_before_the_answer),
        cmocka_unit_test(test_a_silent_peer_is_left),
        cmocka_unit_test(test_an_idle_one_is_closed),
        cmocka_unit_test(test_a_peer_that_does_not_answer_a_close),
        cmocka_unit_test(test_output_is_bounded),
        cmocka_unit_test(test_a_flood_of_pings_ends_it),
        cmocka_unit_test(test_memory_may_be_refused_at_any_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
