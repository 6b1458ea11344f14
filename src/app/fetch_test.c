/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: what ends a download, what is waited for and how long, on a fake network and clock. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/fetch.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define HEAD         "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n" /* until the end */
#define MANIFEST     "{\"status\":\"pulling manifest\"}\n"
#define LAYER(n)     "{\"status\":\"pulling a\",\"digest\":\"a\",\"total\":1000,\"completed\":" #n "}\n"
#define SUCCESS      "{\"status\":\"success\"}\n"

struct world {
    struct io_loop *loop;
    struct provider p;
    struct fetch fetch;
    struct fake_peer *peer; /* the newest */
    unsigned connects, retries, ends, steps;
    uint64_t wait_ms;
    char why[600]; /* of the last retry or end; "" = it is there */
};

static void on_peer(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;
    w->peer = peer;
    w->connects++;
}

static void on_progress(void *arg)
{
    ((struct world *)arg)->steps++;
}

static void on_retry(void *arg, const char *why, uint64_t wait_ms)
{
    struct world *w = arg;
    w->retries++;
    w->wait_ms = wait_ms;
    snprintf(w->why, sizeof w->why, "%s", why);
}

static void on_end(void *arg, const char *why)
{
    struct world *w = arg;
    w->ends++;
    snprintf(w->why, sizeof w->why, "%s", why != NULL ? why : "");
}

static void answers(struct world *w, enum fake_answer answer)
{
    struct fake_rule rule = {.answer = answer, .on_peer = on_peer, .arg = w};
    fake_target(w->loop, "10.0.0.1", 80, &rule);
}

static bool begin(struct world *w)
{
    static const struct fetch_ops ops = {on_progress, on_retry, on_end};
    w->fetch.loop = w->loop;
    w->fetch.p = &w->p;
    w->fetch.ops = &ops;
    w->fetch.arg = w;
    w->fetch.client = http_client_new(w->loop, 16384);
    bool ok = w->fetch.client != NULL && fetch_begin(&w->fetch, STRV("m"));
    fake_run(w->loop);
    return ok;
}

/* Any address: which ones are allowed is config's affair. */
static bool allow_any(void *arg, const struct sockaddr *addr)
{
    (void)arg, (void)addr;
    return true;
}

static int open_world(void **state)
{
    static struct world w;
    struct err err = ERR_INIT;
    w = (struct world){.loop = io_loop_new(&err)};
    w.p = (struct provider){
        .name = "o",
        .kind = PROVIDER_OLLAMA,
        .dialect = dialect_get(LLM_OLLAMA),
        .upstream = {.url = {.host = "10.0.0.1", .port = 80, .authority = "10.0.0.1", .path = ""},
                     .key = "o",
                     .allow = allow_any,
                     .connect_ms = 3000,
                     .idle_ms = 4000,
                     .idle_max = 1},
    };
    answers(&w, FAKE_ACCEPT);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    fetch_fini(&w->fetch);
    if (w->fetch.client != NULL)
        http_client_free(w->fetch.client);
    assert_int_equal(fake_end(w->loop), 0);
    return 0;
}

static void say(struct world *w, const char *text)
{
    fake_peer_send_cstr(w->peer, text);
    fake_run(w->loop);
}

static void cut(struct world *w)
{
    fake_peer_eof(w->peer, false);
    fake_run(w->loop);
}

static void pass(struct world *w, uint64_t ms)
{
    fake_advance(w->loop, ms);
}

/* ---- tests ---- */

static void it_ends_with_success(void **state)
{
    struct world *w = *state;
    assert_true(begin(w));
    strv got = fake_peer_received(w->peer);
    assert_true(strv_starts(got, STRV("POST /api/pull HTTP/1.1\r\n")));
    assert_true(strv_ends(got, STRV("{\"model\":\"m\",\"stream\":true}")));
    say(w, HEAD MANIFEST LAYER(0) LAYER(400));
    assert_int_equal(w->steps, 3);
    assert_int_equal(w->ends, 0);
    say(w, LAYER(1000) SUCCESS);
    assert_int_equal(w->ends, 1);
    assert_string_equal(w->why, "");
    assert_int_equal(w->fetch.progress.moved, 1000);
    cut(w);
    pass(w, 10000000);
    assert_int_equal(w->ends, 1);
    assert_int_equal(w->connects, 1);
}

static void a_server_that_was_never_there_is_not_waited_for(void **state)
{
    struct world *w = *state;
    static const struct {
        enum fake_answer answer;
        const char *why;
    } cases[] = {{FAKE_REFUSE, "no connection to http://10.0.0.1 (refused)"},
                 {FAKE_HANG, "no connection to http://10.0.0.1 (timeout)"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        answers(w, cases[i].answer);
        w->ends = 0;
        assert_true(begin(w));
        pass(w, 3001);
        assert_int_equal(w->ends, 1);
        assert_string_equal(w->why, cases[i].why);
        assert_int_equal(w->retries, 0);
        fetch_fini(&w->fetch);
        http_client_free(w->fetch.client);
        w->fetch = (struct fetch){.loop = w->loop};
    }
}

static void breaks_in_a_row_are_bounded(void **state)
{
    struct world *w = *state;
    uint64_t expected = 500;
    assert_true(begin(w));
    for (unsigned i = 1; i <= 6; i++) {
        say(w, HEAD MANIFEST LAYER(100));
        cut(w);
        assert_int_equal(w->retries, i);
        assert_int_equal(w->wait_ms, expected);
        pass(w, expected - 1);
        assert_int_equal(w->connects, i);
        pass(w, 1);
        assert_int_equal(w->connects, i + 1);
        expected *= 2;
    }
    say(w, HEAD MANIFEST LAYER(100));
    cut(w);
    assert_int_equal(w->ends, 1);
    assert_string_equal(w->why, "the connection broke off, after 7 attempts; the same command goes "
                                "on with it later");
    assert_int_equal(w->fetch.progress.moved, 0); /* every time it said what was there before */
}

static void progress_gives_new_patience_but_not_for_ever(void **state)
{
    struct world *w = *state;
    char line[128];
    assert_true(begin(w));
    for (int i = 0; w->ends == 0; i++) {
        assert_true(i < 200);
        snprintf(line, sizeof line, HEAD "%s", LAYER(0));
        say(w, line);
        say(w, LAYER(1));
        cut(w);
        if (w->ends == 0)
            assert_int_equal(w->wait_ms, 500);
        pass(w, 500);
    }
    assert_int_equal(w->connects, 100);
}

static void it_goes_on_once_the_server_is_back(void **state)
{
    struct world *w = *state;
    assert_true(begin(w));
    say(w, HEAD MANIFEST LAYER(0) LAYER(500));
    fake_peer_reset(w->peer);
    fake_run(w->loop);
    assert_int_equal(w->retries, 1);
    answers(w, FAKE_REFUSE); /* it is being started again */
    pass(w, 500);
    assert_int_equal(w->retries, 2);
    answers(w, FAKE_ACCEPT);
    pass(w, 1000);
    say(w, "HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n{\"error\":\"busy\"}");
    assert_int_equal(w->retries, 3);
    assert_string_equal(w->why, "busy");
    pass(w, 2000);
    say(w, HEAD MANIFEST LAYER(500) LAYER(1000) SUCCESS);
    assert_int_equal(w->ends, 1);
    assert_string_equal(w->why, "");
    assert_int_equal(w->fetch.progress.moved, 1000);
    assert_int_equal(w->fetch.attempts, 4);
}

static void silence_is_a_break(void **state)
{
    struct world *w = *state;
    assert_true(begin(w));
    say(w, HEAD MANIFEST LAYER(0));
    pass(w, 119999);
    assert_int_equal(w->retries, 0);
    say(w, LAYER(10));
    pass(w, 119999);
    assert_int_equal(w->retries, 0);
    pass(w, 1);
    assert_int_equal(w->retries, 1);
    assert_string_equal(w->why, "it is silent");
    pass(w, 500);
    say(w, HEAD LAYER(1000) "{\"status\":\"verifying sha256 digest\"}\n");
    pass(w, 3599999); /* a large file is being read */
    assert_int_equal(w->retries, 1);
    pass(w, 1);
    assert_int_equal(w->retries, 2);
}

static void what_ends_it_at_once(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *answer, *why;
    } cases[] = {
        {HEAD MANIFEST "{\"error\":\"file does not exist\"}\n", "file does not exist"},
        {HEAD LAYER(0) LAYER(9) "{\"error\":\"no space left\"}\n", "no space left"},
        {HEAD "no JSON\n", "what answers there is no Ollama"},
        {HEAD "{}\n", "what answers there is no Ollama"},
        {"SSH-2.0-x\r\n", "what answers there is no Ollama"},
        {"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", "The provider answered with status 404."},
        {"HTTP/1.1 500 X\r\nContent-Length: 15\r\n\r\n{\"error\":\"bad\"}", "bad"},
        {"HTTP/1.1 301 X\r\nContent-Length: 0\r\n\r\n", "The provider answered with status 301."},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        w->ends = 0;
        assert_true(begin(w));
        say(w, cases[i].answer);
        assert_int_equal(w->ends, 1);
        assert_string_equal(w->why, cases[i].why);
        fetch_fini(&w->fetch);
        http_client_free(w->fetch.client);
        w->fetch = (struct fetch){.loop = w->loop};
    }
    assert_int_equal(w->retries, 0);
}

static void cuts_anywhere_change_nothing(void **state)
{
    struct world *w = *state;
    fake_cut(w->loop, 1);
    assert_true(begin(w));
    say(w, HEAD MANIFEST LAYER(0) LAYER(1000) SUCCESS);
    assert_int_equal(w->ends, 1);
    assert_string_equal(w->why, "");
    assert_int_equal(w->steps, 4);
}

static void refused_memory_ends_it(void **state)
{
    struct world *w = *state;
    for (uint64_t nth = 1;; nth++) {
        w->ends = 0;
        mem_fail_at(nth, false);
        bool begun = begin(w);
        if (begun && w->peer != NULL && w->ends == 0)
            say(w, HEAD MANIFEST LAYER(0) LAYER(1000) SUCCESS);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(!begun || w->ends == 1 || w->retries > 0);
        fetch_fini(&w->fetch);
        if (w->fetch.client != NULL)
            http_client_free(w->fetch.client);
        w->fetch = (struct fetch){.loop = w->loop};
        fake_run(w->loop);
        w->peer = NULL;
        if (!reached)
            break;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(it_ends_with_success),
        TEST(a_server_that_was_never_there_is_not_waited_for),
        TEST(breaks_in_a_row_are_bounded),
        TEST(progress_gives_new_patience_but_not_for_ever),
        TEST(it_goes_on_once_the_server_is_back),
        TEST(silence_is_a_break),
        TEST(what_ends_it_at_once),
        TEST(cuts_anywhere_change_nothing),
        TEST(refused_memory_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
