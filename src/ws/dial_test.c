/* SPDX-License-Identifier: Apache-2.0 */
/* dial: our side opens; the other is our own server, or one that answers something else. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ws/ws_int.h"

struct world {
    struct io_loop *loop;
    struct fake_peer *peer; /* the server's end */
    struct ws *client, *server;
    struct ws_dial *dial;
    int calls, status;
    enum io_end why;
    unsigned code;
    struct buf heard;
    const char *answer; /* NULL = a proper one */
    size_t asked;
};

static const struct http_upstream upstream = {
    .url = {.host = "router", .port = 8484, .authority = "router:8484", .path = "/base"},
    .connect_ms = 1000,
};
static const struct ws_opts opts = {
    .message_bytes_max = 1000, .pending_bytes_max = 1000, .ping_ms = 20000, .close_ms = 1000};

static void on_text(void *arg, strv text)
{
    struct world *w = arg;
    buf_put_strv(&w->heard, text);
    buf_put_char(&w->heard, '|');
}

static void on_closed(void *arg, unsigned code)
{
    struct world *w = arg;
    w->code = code;
    w->client = NULL;
}

static const struct ws_ops ops = {on_text, NULL, on_closed};

static void on_dialed(void *arg, struct ws *ws, int status, enum io_end why)
{
    struct world *w = arg;
    w->calls++;
    w->client = ws;
    w->status = status;
    w->why = why;
    w->dial = NULL;
}

/* Answers when the whole request is there: properly, and a text right behind it. */
static void serve(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;
    strv got = fake_peer_received(peer);
    const char *end = memmem(got.ptr, got.len, "\r\n\r\n", 4);
    const char *key = memmem(got.ptr, got.len, "Sec-WebSocket-Key: ", 19);
    char accept[WS_ACCEPT_CHARS + 1], head[400];
    if (end == NULL || w->asked > 0)
        return;
    w->asked = got.len;
    if (w->answer != NULL) {
        fake_peer_send_cstr(peer, w->answer);
        fake_peer_eof(peer, false);
        return;
    }
    assert_non_null(key);
    assert_true(strv_starts(got, STRV("GET /base/ws/x HTTP/1.1\r\nHost: router:8484\r\n")));
    assert_non_null(memmem(got.ptr, got.len, "\r\nx-api-key: k\r\n", 16));
    ws_accept_of(key + 19, accept);
    snprintf(head, sizeof head,
             "HTTP/1.1 101 Switching Protocols\r\nconnection: keep-alive, Upgrade\r\nUpgrade: "
             "WebSocket\r\nSec-WebSocket-Accept: %s\r\n\r\n\x81\5hello",
             accept);
    fake_peer_eat(peer, got.len);
    fake_peer_send_cstr(peer, head);
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;
    w->peer = peer;
    fake_peer_watch(peer, serve, w);
}

static void begin(struct world *w, const char *answer, enum fake_answer how)
{
    static const struct http_header key = {{"x-api-key", 9}, {"k", 1}};
    struct err err = ERR_INIT;
    struct ws_call call = {&upstream, "/ws/x", &key, 1};
    *w = (struct world){.loop = io_loop_new(&err), .answer = answer};
    assert_non_null(w->loop);
    buf_init(&w->heard, 10000);
    struct fake_rule rule = {.answer = how, .on_peer = on_peer, .arg = w};
    fake_target(w->loop, "router", 8484, &rule);
    w->dial = ws_dial(w->loop, &call, &opts, &ops, w, on_dialed);
}

static void end(struct world *w)
{
    ws_dial_cancel(w->dial);
    ws_free(w->client);
    buf_fini(&w->heard);
    fake_run(w->loop);
    assert_int_equal(fake_end(w->loop), 0);
}

static void it_opens_and_speaks(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 12; cut++) {
        struct world w;
        begin(&w, NULL, FAKE_ACCEPT);
        fake_cut(w.loop, cut);
        fake_run(w.loop);
        assert_int_equal(w.calls, 1);
        assert_non_null(w.client);
        assert_true(strv_eq(buf_view(&w.heard), STRV("hello|")));
        assert_true(ws_send(w.client, STRV("hi")));
        fake_run(w.loop);
        strv got = fake_peer_received(w.peer);
        assert_int_equal(got.len, 8); /* masked, with a mask of chance */
        assert_int_equal((unsigned char)got.ptr[0], 0x81);
        assert_int_equal((unsigned char)got.ptr[1], 0x82);
        assert_int_equal(got.ptr[6] ^ got.ptr[2], 'h');
        assert_int_equal(got.ptr[7] ^ got.ptr[3], 'i');
        fake_peer_send(w.peer, "\x88\2\x0f\xa3", 4);
        fake_run(w.loop);
        fake_peer_eof(w.peer, false);
        fake_run(w.loop);
        assert_int_equal(w.code, 4003);
        end(&w);
    }
}

static void what_is_no_upgrade_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int status;
    } rows[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404},
        {"HTTP/1.1 200 OK\r\n\r\n", 200},
        {"HTTP/1.1 101 Sw\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101},
        {"HTTP/1.1 101 Sw\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         101},
        {"SSH-2.0-x\r\n\r\n", 0},
        {"\r\n\r\n", 0},
        {"HTTP/1.1 101", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        begin(&w, rows[i].answer, FAKE_ACCEPT);
        fake_run(w.loop);
        assert_int_equal(w.calls, 1);
        assert_null(w.client);
        assert_int_equal(w.status, rows[i].status);
        end(&w);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    struct world w;
    begin(&w, NULL, FAKE_REFUSE);
    assert_int_equal(w.calls, 0);
    fake_run(w.loop);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.why, IO_REFUSED);
    end(&w);
    begin(&w, NULL, FAKE_HANG);
    fake_advance(w.loop, 3000);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.why, IO_TIMEOUT);
    end(&w);
    begin(&w, NULL, FAKE_ACCEPT);
    w.asked = 1; /* it listens, and says nothing */
    fake_advance(w.loop, 3000);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.why, IO_TIMEOUT);
    end(&w);
}

static void it_can_be_cancelled_at_any_time(void **state)
{
    (void)state;
    struct world w;
    begin(&w, NULL, FAKE_ACCEPT);
    end(&w);
    begin(&w, NULL, FAKE_ACCEPT);
    w.asked = 1;
    fake_run(w.loop);
    end(&w);
    assert_int_equal(w.calls, 0);
    ws_dial_cancel(NULL);
}

static void a_head_without_end_is_not_read_for_ever(void **state)
{
    (void)state;
    struct world w;
    begin(&w, NULL, FAKE_ACCEPT);
    w.asked = 1;
    fake_run(w.loop);
    for (int i = 0; i < 2000 && w.calls == 0; i++) {
        fake_peer_send_cstr(w.peer, "X-Header: and so on\r\n");
        fake_run(w.loop);
    }
    assert_int_equal(w.calls, 1);
    end(&w);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    uint64_t at = 1;
    for (bool done = false; !done; at++) {
        struct world w;
        mem_fail_at(at, false);
        struct err err = ERR_INIT;
        struct ws_call call = {&upstream, "/ws/x", NULL, 0};
        w = (struct world){.loop = io_loop_new(&err)};
        if (w.loop == NULL)
            continue;
        buf_init(&w.heard, 10000);
        w.asked = 1;
        struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = &w};
        fake_target(w.loop, "router", 8484, &rule);
        w.dial = ws_dial(w.loop, &call, &opts, &ops, &w, on_dialed);
        fake_run(w.loop);
        done = mem_count() < at;
        mem_fail_at(0, false);
        assert_true(w.calls == 0 || w.client == NULL);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_and_speaks),
        cmocka_unit_test(what_is_no_upgrade_is_told),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(it_can_be_cancelled_at_any_time),
        cmocka_unit_test(a_head_without_end_is_not_read_for_ever),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
