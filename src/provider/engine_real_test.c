/* SPDX-License-Identifier: Apache-2.0 */
/* engine - with the real llama-server, where ./dev has fetched one: start, kill -9, stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider/provider.h"

struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct log log;
    struct provider p;
    struct provider_engine *engine;
    struct io_timer timer, limit;
    char folder[64], socket[96];
    bool (*wanted)(struct world *w);
    bool reached, stopped;
    int old_pid;
    /* one call of our own */
    int status;
    bool ended;
};

/* Tests run in a build directory or in the root of the source. */
static const char *find(const char *what)
{
    static char path[2][256];
    static unsigned turn;
    static const char *const roots[] = {"build", "..", "../../build"};
    char *out = path[turn++ % 2];
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        snprintf(out, sizeof path[0], "%s/%s", roots[i], what);
        if (access(out, R_OK) == 0)
            return out;
    }
    return NULL;
}

static void look(void *arg)
{
    struct world *w = arg;
    w->reached = w->wanted(w);
    if (w->reached)
        io_loop_stop(w->loop);
    else
        io_timer_start(w->loop, &w->timer, 5, look, w);
}

static void give_up(void *arg)
{
    io_loop_stop(((struct world *)arg)->loop);
}

/* Nothing is assumed about how long it takes; the limit only ends a test that would hang. */
static void until(struct world *w, bool (*wanted)(struct world *w))
{
    w->wanted = wanted;
    w->reached = false;
    io_timer_start(w->loop, &w->timer, 0, look, w);
    io_timer_start(w->loop, &w->limit, 60000, give_up, w);
    io_loop_run(w->loop);
    io_timer_stop(w->loop, &w->timer);
    io_timer_stop(w->loop, &w->limit);
    assert_true(w->reached);
}

static bool is_up(struct world *w)
{
    return w->p.cell->state == PROVIDER_UP;
}

static bool is_down(struct world *w)
{
    return w->p.cell->state == PROVIDER_DOWN && w->p.cell->problem[0] != '\0';
}

static bool is_new(struct world *w)
{
    int pid = provider_engine_pid(w->engine);
    return is_up(w) && pid != 0 && pid != w->old_pid;
}

static bool is_stopped(struct world *w)
{
    return w->stopped;
}

static bool is_ended(struct world *w)
{
    return w->ended;
}

static void on_stopped(void *arg)
{
    ((struct world *)arg)->stopped = true;
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
    const char *command = find("engine/bin/llama-server"), *model = find("models/tiny-text.gguf");
    if (command == NULL || model == NULL) {
        *state = NULL;
        return 0;
    }
    w = (struct world){.p = {.name = "engine", .kind = PROVIDER_LLAMA_SERVER}};
    snprintf(w.folder, sizeof w.folder, "/tmp/llm-router-test.XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    snprintf(w.socket, sizeof w.socket, "%s/engine.sock", w.folder);
    w.loop = io_loop_new(&err);
    w.client = http_client_new(w.loop, 16384);
    log_init(&w.log, -1, LOG_OFF);
    w.p.key = "sk-test-of-the-engine";
    w.p.dialect = dialect_get(LLM_OPENAI);
    w.p.upstream = (struct http_upstream){
        .url = {.host = "localhost", .authority = "localhost", .path = ""},
        .unix_path = w.socket,
        .key = w.socket,
        .allow = allow_any,
        .connect_ms = 1000,
        .idle_ms = 4000,
        .idle_max = 2,
    };
    w.p.spawn = (struct provider_spawn){
        .command = command, .model = model, .slots = 2, .context = 512, .socket = w.socket};
    w.p.limits = (struct provider_limits){.breaker_failures = 3, .breaker_open_ms = 1000};
    w.p.cell = provider_cell_get("engine", w.socket);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    if (w == NULL)
        return 0;
    if (w->engine != NULL) {
        w->stopped = false;
        provider_engine_stop(w->engine, 2000, on_stopped, w);
        until(w, is_stopped);
    }
    http_client_free(w->client);
    io_loop_free(w->loop);
    log_fini(&w->log);
    assert_int_not_equal(access(w->socket, F_OK), 0); /* cleaned up behind it */
    assert_int_equal(rmdir(w->folder), 0);
    provider_cells_free();
    return 0;
}

static struct world *need(void **state)
{
    if (*state == NULL) {
        print_message("skipped: no build/engine; ./dev setup fetches it\n");
        skip();
    }
    return *state;
}

static void start(struct world *w)
{
    struct err err = ERR_INIT;
    w->engine = provider_engine_start(w->loop, w->client, &w->log, &w->p, &err);
    if (w->engine == NULL)
        fail_msg("%s", err.text);
}

static void on_head(void *arg, const struct http_answer *a)
{
    ((struct world *)arg)->status = a->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    (void)arg, (void)data, (void)len;
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    (void)how, (void)why;
    ((struct world *)arg)->ended = true;
}

static int get(struct world *w, const char *path, bool with_key)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct http_header headers[4];
    struct arena arena;
    arena_init(&arena, 1024, 4096);
    w->status = 0;
    w->ended = false;
    struct http_call_spec spec = {.upstream = &w->p.upstream,
                                  .method = HTTP_GET,
                                  .path = path,
                                  .headers = headers,
                                  .n_headers =
                                      with_key ? provider_headers(&w->p, &arena, headers) : 0};
    assert_non_null(http_call(w->client, &spec, &ops, w));
    until(w, is_ended);
    arena_fini(&arena);
    return w->status;
}

/* ---- tests ---- */

static void comes_up_with_its_slots_and_its_key(void **state)
{
    struct world *w = need(state);
    start(w);
    assert_true(provider_engine_pid(w->engine) > 0);
    until(w, is_up);
    assert_int_equal(w->p.cell->slots_seen, 2);
    assert_int_equal(get(w, "/v1/models", true), 200);
    assert_int_equal(get(w, "/v1/models", false), 401);
    struct stat st;
    assert_int_equal(stat(w->socket, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
}

static void comes_back_after_kill(void **state)
{
    struct world *w = need(state);
    start(w);
    until(w, is_up);
    w->old_pid = provider_engine_pid(w->engine);
    kill(w->old_pid, SIGKILL);
    until(w, is_new);
    assert_int_equal(w->p.cell->restarts, 1);
    assert_int_equal(get(w, "/v1/models", true), 200);
}

static void a_broken_model_is_told(void **state)
{
    struct world *w = need(state);
    char broken[128];
    snprintf(broken, sizeof broken, "%s/broken.gguf", w->folder);
    FILE *f = fopen(broken, "w");
    assert_non_null(f);
    fputs("this is no model", f);
    fclose(f);
    w->p.spawn.model = broken;
    start(w);
    until(w, is_down);
    assert_string_equal(w->p.cell->problem, "the model file cannot be loaded");
    unlink(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_up_with_its_slots_and_its_key, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(comes_back_after_kill, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_broken_model_is_told, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
