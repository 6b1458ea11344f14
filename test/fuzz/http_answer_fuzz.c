/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_answer - bytes of an upstream against the client, on the fake network.
 *
 *   first byte   bit 0: the request was HEAD; bit 1: the brake is used in the second run;
 *                bit 2: the connection ends by a reset; the rest: size of the pieces of the second run
 *   the rest     what the upstream sends before its connection ends
 *
 * Whatever comes: no crash, no leak, exactly one end; the same bytes give the same head, body and end
 * however they are cut and however often the reader stops them.
 */
#include "../lib/fake_io.c" /* in place of the real network, see src/http/meson.build */

#include <stdlib.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct fake_peer *peer;
    struct http_call *call;
    struct buf told;
    unsigned ends;
    bool brake, paused;
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct run *run = arg;

    check(!run->paused);
    check(answer->status >= 200 && answer->status <= 599 && answer->n_headers <= HTTP_HEADERS_MAX);
    buf_put_u64(&run->told, (uint64_t)answer->status);
    for (size_t i = 0; i < answer->n_headers; i++) {
        buf_put_strv(&run->told, answer->headers[i].name);
        buf_put_char(&run->told, ':');
        buf_put_strv(&run->told, answer->headers[i].value);
        buf_put_char(&run->told, '\n');
    }
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct run *run = arg;

    check(!run->paused && len > 0);
    buf_put(&run->told, data, len);
    if (run->brake) {
        run->paused = true;
        http_call_pause(run->call, true);
    }
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct run *run = arg;

    (void)why;
    check(!run->paused);
    run->ends++;
    buf_put_char(&run->told, (char)('0' + how));
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    ((struct run *)arg)->peer = peer;
}

static void go(struct run *run, bool head, bool reset, size_t cut, const uint8_t *data, size_t size)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct err err = ERR_INIT;
    struct io_loop *loop = io_loop_new(&err);
    struct http_client *c = http_client_new(loop, 4096);
    struct http_upstream up = {.url = {.host = "up", .port = 80, .authority = "up", .path = ""},
                               .key = "up",
                               .connect_ms = 1000,
                               .idle_ms = 1000,
                               .idle_max = 1};
    struct http_call_spec spec = {
        .upstream = &up, .method = head ? HTTP_HEAD : HTTP_GET, .path = "/"};
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = run};

    buf_init(&run->told, SIZE_MAX / 2);
    fake_target(loop, "up", 80, &rule);
    run->call = http_call(c, &spec, &ops, run);
    fake_run(loop);
    fake_peer_cut(run->peer, cut);
    fake_peer_send(run->peer, data, size);
    fake_run(loop);
    if (reset)
        fake_peer_reset(run->peer);
    else
        fake_peer_eof(run->peer, false);
    fake_run(loop);
    while (run->paused) {
        run->paused = false;
        http_call_pause(run->call, false);
        fake_run(loop);
    }
    check(run->ends == 1);
    fake_advance(loop, 2000);
    http_client_free(c);
    check(fake_end(loop) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole = {0}, pieces = {0};

    if (size == 0)
        return 0;
    bool head = (data[0] & 1) != 0, reset = (data[0] & 4) != 0;

    pieces.brake = (data[0] & 2) != 0;
    go(&whole, head, reset, 0, data + 1, size - 1);
    go(&pieces, head, reset, (size_t)(data[0] >> 3) + 1, data + 1, size - 1);
    check(strv_eq(buf_view(&whole.told), buf_view(&pieces.told)));
    buf_fini(&whole.told);
    buf_fini(&pieces.told);
    check(mem_live() == 0);
    return 0;
}
