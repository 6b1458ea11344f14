/* SPDX-License-Identifier: Apache-2.0 */
/* engine - its whole life on a made-up clock with a made-up process. The real one is in engine_real_test.c. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <unistd.h>

#include "provider/provider.h"

#define SOCKET "/nowhere/engine.sock"
#define OK_200 "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}"
#define BUSY   "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}"
#define PROPS  "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"total_slots\":4}"

struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct provider p;
    struct provider_engine *engine;
    struct io_child *child; /* the latest */
    char model[64];
    const char *health, *props; /* answers; NULL = silence */
    unsigned asked, asked_props;
    bool saw_key, stopped;
};

static void answer(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;
    strv got = fake_peer_received(peer);
    if (got.len < 4 || !strv_ends(got, STRV("\r\n\r\n")))
        return;
    bool props = strv_starts(got, STRV("GET /props "));
    const char *text = props ? w->props : w->health;
    assert_true(props || strv_starts(got, STRV("GET /health ")));
    w->asked += props ? 0 : 1;
    w->asked_props += props ? 1 : 0;
    w->saw_key = strv_contains_nocase(got, STRV("authorization: bearer sk-engine\r\n"));
    fake_peer_eat(peer, got.len);
    if (text != NULL)
        fake_peer_send_cstr(peer, text);
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    fake_peer_watch(peer, answer, arg);
}

static void on_child(void *arg, struct io_child *c)
{
    ((struct world *)arg)->child = c;
}

static void on_stopped(void *arg)
{
    struct world *w = arg;
    w->stopped = true;
    w->engine = NULL;
}

static void listens(struct world *w, bool yes)
{
    struct fake_rule rule = {
        .answer = yes ? FAKE_ACCEPT : FAKE_UNREACHABLE, .on_peer = on_peer, .arg = w};
    fake_target(w->loop, SOCKET, 0, &rule);
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
    w = (struct world){.loop = io_loop_new(&err), .health = OK_200, .props = PROPS};
    w.client = http_client_new(w.loop, 16384);
    snprintf(w.model, sizeof w.model, "/tmp/llm-router-test.XXXXXX");
    int fd = mkstemp(w.model);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "GGUF", 4), 4);
    close(fd);
    w.p = (struct provider){
        .name = "engine",
        .kind = PROVIDER_LLAMA_SERVER,
        .dialect = dialect_get(LLM_OPENAI),
        .key = "sk-engine",
        .upstream = {.url = {.host = "localhost", .authority = "localhost", .path = ""},
                     .unix_path = SOCKET,
                     .key = SOCKET,
                     .allow = allow_any,
                     .connect_ms = 1000,
                     .idle_ms = 4000,
                     .idle_max = 1},
        .spawn = {.command = "/opt/llama-server",
                  .model = w.model,
                  .alias = "demo",
                  .slots = 2,
                  .context = 1024,
                  .threads = 3,
                  .socket = SOCKET},
        .limits = {.breaker_failures = 3, .breaker_open_ms = 1000, .breaker_open_max_ms = 1000},
        .cell = provider_cell_get("engine", SOCKET),
    };
    fake_on_child(w.loop, on_child, &w);
    listens(&w, true);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    if (w->engine != NULL) {
        provider_engine_stop(w->engine, 1000, on_stopped, w);
        fake_run(w->loop);
        assert_true(w->stopped);
    }
    http_client_free(w->client);
    unlink(w->model);
    assert_int_equal(fake_end(w->loop), 0);
    provider_cells_free();
    return 0;
}

static void start(struct world *w)
{
    struct err err = ERR_INIT;
    w->engine = provider_engine_start(w->loop, w->client, NULL, &w->p, &err);
    if (w->engine == NULL)
        fail_msg("%s", err.text);
    fake_run(w->loop);
}

static void start_and_up(struct world *w)
{
    start(w);
    fake_advance(w->loop, 50);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

/* ---- tests ---- */

static void comes_up_when_healthy(void **state)
{
    struct world *w = *state;
    w->health = BUSY;
    start(w);
    assert_int_equal(w->p.cell->state, PROVIDER_LOADING);
    assert_true(provider_engine_pid(w->engine) > 0);
    fake_advance(w->loop, 500);
    assert_int_equal(w->asked, 10); /* every 50 ms */
    assert_int_equal(w->p.cell->state, PROVIDER_LOADING);
    w->health = OK_200;
    fake_advance(w->loop, 50);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
    assert_int_equal(w->p.cell->slots_seen, 4);
    assert_int_equal(w->asked_props, 1);
    assert_true(w->saw_key);
    w->asked = 0;
    fake_advance(w->loop, 20000);
    assert_int_equal(w->asked, 10); /* every 2 s */
    assert_int_equal(w->asked_props, 1);
}

static void is_given_what_it_needs_and_no_more(void **state)
{
    static const char *const args[] = {"--flash-attn", "on", NULL};
    static const char *const want[] = {"/opt/llama-server",
                                       "-m",
                                       NULL,
                                       "--alias",
                                       "demo",
                                       "--host",
                                       SOCKET,
                                       "-np",
                                       "2",
                                       "-c",
                                       "2048",
                                       "-t",
                                       "3",
                                       "--no-ui",
                                       "--offline",
                                       "--metrics",
                                       "--cors-origins",
                                       "localhost",
                                       "--cache-ram",
                                       "256",
                                       "--sse-ping-interval",
                                       "5",
                                       "--embeddings",
                                       "--pooling",
                                       "mean",
                                       "--flash-attn",
                                       "on"};
    struct world *w = *state;
    setenv("LLAMA_ARG_HOST", "0.0.0.0", 1);
    setenv("LD_PRELOAD_OF_SOMEBODY", "x", 1);
    w->p.spawn.embeddings = true;
    w->p.spawn.args = args;
    start(w);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_string_equal(fake_child_argv(w->child, i), want[i] != NULL ? want[i] : w->model);
    assert_null(fake_child_argv(w->child, sizeof want / sizeof *want));
    assert_string_equal(fake_child_env(w->child, "LLAMA_API_KEY"), "sk-engine");
    assert_non_null(fake_child_env(w->child, "PATH"));
    assert_null(fake_child_env(w->child, "LLAMA_ARG_HOST"));
    assert_null(fake_child_env(w->child, "LD_PRELOAD_OF_SOMEBODY"));
}

static void is_started_again_later_and_later(void **state)
{
    static const uint64_t waits[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    struct world *w = *state;
    listens(w, false);
    start(w);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct io_child *old = w->child;
        fake_child_exit(w->child, 1, 0);
        fake_run(w->loop);
        assert_int_equal(w->p.cell->state, PROVIDER_DOWN);
        assert_string_equal(w->p.cell->problem, "it ended while loading");
        assert_int_equal(provider_engine_pid(w->engine), 0);
        assert_int_equal(w->p.cell->restarts, i + 1);
        fake_advance(w->loop, waits[i] - 1);
        assert_ptr_equal(w->child, old);
        fake_advance(w->loop, 1);
        assert_ptr_not_equal(w->child, old);
    }
    /* A minute of good life, and a fall is a new story. */
    listens(w, true);
    fake_advance(w->loop, 50);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
    fake_advance(w->loop, 60000);
    struct io_child *old = w->child;
    fake_child_exit(w->child, 0, SIGKILL);
    fake_run(w->loop);
    assert_string_equal(w->p.cell->problem, "it ended by itself");
    fake_advance(w->loop, 500);
    assert_ptr_not_equal(w->child, old);
    fake_advance(w->loop, 50);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void a_known_cause_is_told(void **state)
{
    static const struct {
        const char *line, *cause;
    } cases[] = {
        {"0.00.123 E llama_model_load: error loading model: bad magic",
         "the model file cannot be loaded"},
        {"E couldn't bind HTTP server socket", "its socket cannot be made"},
        {"error: invalid argument: --flash", "it does not know an argument"},
        {"E no backends are loaded", "its processor variants are missing"},
        {"a line with a prompt in it", "it ended while loading"},
    };
    struct world *w = *state;
    listens(w, false);
    start(w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_child_line(w->child, cases[i].line);
        fake_child_line(w->child, "out of memory"); /* the first that fits counts, if any did */
        if (i == 4) {
            fake_child_exit(w->child, 1, 0);
            fake_run(w->loop);
            assert_string_equal(w->p.cell->problem, "not enough memory for the model");
        } else {
            fake_child_exit(w->child, 1, 0);
            fake_run(w->loop);
            assert_string_equal(w->p.cell->problem, cases[i].cause);
        }
        fake_advance(w->loop, 30000);
    }
}

static void a_hang_is_ended(void **state)
{
    struct world *w = *state;
    start_and_up(w);
    struct io_child *old = w->child;
    w->health = NULL; /* accepts, and says nothing */
    fake_advance(w->loop, 11999);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
    assert_int_equal(fake_child_signal(old), 0);
    fake_advance(w->loop, 1); /* three times 2 s until asked and 2 s unanswered */
    assert_int_equal(fake_child_signal(old), SIGKILL);
    assert_int_equal(w->p.cell->state, PROVIDER_DOWN);
    assert_string_equal(w->p.cell->problem, "it did not answer any more");
    w->health = OK_200;
    fake_advance(w->loop, 550);
    assert_ptr_not_equal(w->child, old);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void one_late_answer_is_no_hang(void **state)
{
    struct world *w = *state;
    start_and_up(w);
    for (int i = 0; i < 5; i++) {
        w->health = NULL;
        fake_advance(w->loop, 8000); /* two misses */
        w->health = OK_200;
        fake_advance(w->loop, 4000);
    }
    assert_int_equal(w->p.cell->restarts, 0);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void a_hang_while_loading_is_ended_too(void **state)
{
    struct world *w = *state;
    w->health = NULL;
    start(w);
    struct io_child *old = w->child;
    fake_advance(w->loop, 100000);
    assert_ptr_equal(w->child, old);
    fake_advance(w->loop, 60000);
    assert_int_equal(fake_child_signal(old), SIGKILL);
}

static void loading_may_take_its_time(void **state)
{
    struct world *w = *state;
    w->health = BUSY;
    start(w);
    fake_advance(w->loop, 3600 * 1000);
    assert_int_equal(w->p.cell->state, PROVIDER_LOADING);
    assert_int_equal(w->p.cell->restarts, 0);
}

static void loads_again_when_it_was_asleep(void **state)
{
    struct world *w = *state;
    start_and_up(w);
    w->health = BUSY;
    fake_advance(w->loop, 2000);
    assert_int_equal(w->p.cell->state, PROVIDER_LOADING);
    w->health = OK_200;
    fake_advance(w->loop, 50);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void comes_up_without_its_slots(void **state)
{
    static const char *const props[] = {NULL, BUSY, OK_200,
                                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n<>"};
    struct world *w = *state;
    w->p.spawn.slots = 0;
    start(w);
    for (size_t i = 0; i < sizeof props / sizeof *props; i++) {
        w->props = props[i];
        fake_advance(w->loop, 2100);
        assert_int_equal(w->p.cell->state, PROVIDER_UP);
        assert_int_equal(w->p.cell->slots_seen, 0);
        fake_child_exit(w->child, 1, 0);
        fake_advance(w->loop, (uint64_t)500 << i);
    }
}

static void a_missing_model_is_told_and_tried_again(void **state)
{
    struct world *w = *state;
    char model[64];
    snprintf(model, sizeof model, "%s", w->model);
    unlink(model);
    start(w);
    assert_int_equal(w->p.cell->state, PROVIDER_DOWN);
    assert_string_equal(w->p.cell->problem, "the model file cannot be read");
    assert_null(w->child);
    FILE *f = fopen(model, "w");
    fputs("GGUF", f);
    fclose(f);
    fake_advance(w->loop, 550);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void a_missing_program_is_told_and_tried_again(void **state)
{
    struct world *w = *state;
    fake_child_refuse(w->loop, "no such file");
    start(w);
    assert_int_equal(w->p.cell->state, PROVIDER_DOWN);
    assert_string_equal(w->p.cell->problem, "it cannot be started");
    fake_advance(w->loop, 550);
    assert_int_equal(w->p.cell->state, PROVIDER_UP);
}

static void stops_at_any_time(void **state)
{
    struct world *w = *state;
    for (int when = 0; when < 5; when++) {
        w->stopped = false;
        w->health = when == 1 ? NULL : OK_200; /* 1: a question is open */
        start(w);
        if (when >= 1)
            fake_advance(w->loop, when == 2 ? 500 : 60);
        if (when == 3) { /* between two lives */
            fake_child_exit(w->child, 1, 0);
            fake_run(w->loop);
        }
        fake_child_stubborn(w->child, when == 4);
        provider_engine_stop(w->engine, 3000, on_stopped, w);
        fake_run(w->loop);
        if (when == 4) {
            assert_false(w->stopped);
            fake_advance(w->loop, 3000);
        }
        assert_true(w->stopped);
        assert_int_equal(fake_children(w->loop), 0);
        assert_int_equal(w->p.cell->state, PROVIDER_DOWN);
        assert_null(w->engine);
    }
}

static void what_cannot_work_is_refused(void **state)
{
    static const char *args[70];
    struct world *w = *state;
    struct provider_spawn good = w->p.spawn;
    struct err err = ERR_INIT;
    char path[200];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[108] = '\0';
    w->p.spawn.socket = path;
    assert_null(provider_engine_start(w->loop, w->client, NULL, &w->p, &err));
    assert_non_null(strstr(err.text, "socket's path is longer than 107 bytes"));
    w->p.spawn = good;
    w->p.spawn.model = NULL;
    err_clear(&err);
    assert_null(provider_engine_start(w->loop, w->client, NULL, &w->p, &err));
    w->p.spawn = good;
    for (size_t i = 0; i < 69; i++)
        args[i] = "-x";
    w->p.spawn.args = args;
    err_clear(&err);
    assert_null(provider_engine_start(w->loop, w->client, NULL, &w->p, &err));
    assert_non_null(strstr(err.text, "more than 64 arguments"));
}

static void refused_memory_delays_and_nothing_more(void **state)
{
    struct world *w = *state;
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct err err = ERR_INIT;
        mem_fail_at(nth, false);
        w->engine = provider_engine_start(w->loop, w->client, NULL, &w->p, &err);
        if (w->engine != NULL)
            fake_advance(w->loop, 200);
        mem_fail_at(0, false);
        assert_true(w->engine != NULL || err.set);
        if (w->engine == NULL)
            continue;
        fake_advance(w->loop, 5000);
        assert_int_equal(w->p.cell->state, PROVIDER_UP);
        w->stopped = false;
        provider_engine_stop(w->engine, 1000, on_stopped, w);
        fake_run(w->loop);
        assert_true(w->stopped);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_up_when_healthy),
        TEST(is_given_what_it_needs_and_no_more),
        TEST(is_started_again_later_and_later),
        TEST(a_known_cause_is_told),
        TEST(a_hang_is_ended),
        TEST(one_late_answer_is_no_hang),
        TEST(a_hang_while_loading_is_ended_too),
        TEST(loading_may_take_its_time),
        TEST(loads_again_when_it_was_asleep),
        TEST(comes_up_without_its_slots),
        TEST(a_missing_model_is_told_and_tried_again),
        TEST(a_missing_program_is_told_and_tried_again),
        TEST(stops_at_any_time),
        TEST(what_cannot_work_is_refused),
        TEST(refused_memory_delays_and_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
