/* SPDX-License-Identifier: Apache-2.0 */
/* hub on a made-up clock: back-off, calls to who is down, how a server is stopped, and refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test/lib/fake_io.h"
#include "mcp/mcp.h"

struct fixture {
    struct io_loop *loop;
    struct rng rng;
    struct mcp_hub *hub;
    struct mcp_server_conf row;
    struct mcp_conf conf;
    struct io_child *child; /* the newest */
    unsigned starts, held, told;
    bool stopped;
    int stillborn; /* children die with this status before they read a word; 0 = they live */
};

static void hold(void *owner)
{
    ((struct fixture *)owner)->held++;
}

static void drop(void *owner)
{
    ((struct fixture *)owner)->held--;
}

static void on_child(void *arg, struct io_child *c)
{
    struct fixture *f = arg;

    f->child = c;
    f->starts++;
    if (f->stillborn != 0) {
        fake_peer_reset(fake_child_peer(c));
        fake_child_exit(c, f->stillborn, 0);
    }
}

static int setup(void **state)
{
    static const char *const argv[] = {"server", NULL};
    struct fixture *f = calloc(1, sizeof *f);
    struct mcp_hub_env env;

    assert_non_null(f);
    f->loop = io_loop_new(&ERR_INIT);
    rng_seed(&f->rng, 1);
    fake_on_child(f->loop, on_child, f);
    f->row = (struct mcp_server_conf){
        .name = "s", .transport = MCP_STDIO, .local = true, .era = MCP_ERA_LEGACY, .argv = argv};
    f->conf = (struct mcp_conf){
        .servers = &f->row, .n_servers = 1, .hold = hold, .drop = drop, .owner = f};
    env = (struct mcp_hub_env){.loop = f->loop, .rng = &f->rng};
    f->hub = mcp_hub_new(&env, NULL, &ERR_INIT);
    assert_non_null(f->hub);
    *state = f;
    return 0;
}

static void on_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped = true;
}

static void stop(struct fixture *f)
{
    mcp_hub_stop(f->hub, on_stopped, f);
    fake_advance(f->loop, 10000);
    assert_true(f->stopped);
    mcp_hub_free(f->hub);
    f->hub = NULL;
    assert_int_equal(f->held, 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    size_t left;

    if (f->hub != NULL)
        stop(f);
    left = fake_end(f->loop);
    free(f);
    return left == 0 && mem_live() == 0 ? 0 : -1;
}

/* What the program wrote last has this id; answers it. */
static void answer(struct fixture *f, const char *result)
{
    struct fake_peer *p = fake_child_peer(f->child);
    strv all = fake_peer_received(p);
    char text[600];
    unsigned long id = 0;

    for (size_t i = 0; i + 6 < all.len; i++)
        if (memcmp(all.ptr + i, "\"id\":", 5) == 0)
            id = strtoul(all.ptr + i + 5, NULL, 10);
    fake_peer_eat(p, all.len);
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%lu,\"result\":%s}\n", id, result);
    fake_peer_send_cstr(p, text);
    fake_run(f->loop);
}

static void come_up(struct fixture *f)
{
    fake_run(f->loop);
    answer(f, "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}");
    answer(f, "{\"tools\":[{\"name\":\"a\"}]}");
    fake_advance(f->loop, 200);
}

static enum mcp_state state_of(struct fixture *f)
{
    struct mcp_catalogue *c = mcp_hub_catalogue(f->hub);
    enum mcp_state state = c->servers[0].state;

    mcp_catalogue_unref(c);
    return state;
}

struct heard {
    unsigned done;
    enum mcp_end end;
};

static void on_done(void *arg, const struct mcp_answer *a)
{
    struct heard *h = arg;

    h->done++;
    h->end = a->end;
}

static const struct mcp_call_ops ops = {.done = on_done};
static const struct mcp_call_spec spec = {
    .server = "s", .method = "tools/call", .params = {"{\"name\":\"a\"}", 12}};

static struct mcp_call *call(struct fixture *f, struct heard *h)
{
    *h = (struct heard){0};
    return mcp_call(f->hub, f->loop, &spec, &ops, h);
}

static void configure(struct fixture *f)
{
    assert_true(mcp_hub_configure(f->hub, &f->conf, &ERR_INIT));
}

static void the_fallen_are_started_again_later_and_later(void **state)
{
    static const uint64_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct fixture *f = *state;
    struct heard h;

    configure(f);
    come_up(f);
    assert_int_equal(state_of(f), MCP_READY);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct mcp_catalogue *c;

        fake_child_exit(f->child, 1, 0);
        fake_run(f->loop);
        fake_advance(f->loop, 0);
        assert_non_null(call(f, &h));
        fake_run(f->loop);
        assert_true(h.done == 1 && h.end == MCP_GONE);
        fake_advance(f->loop, waits[i] - 1);
        assert_int_equal(f->starts, i + 1);
        c = mcp_hub_catalogue(f->hub);
        assert_int_equal(c->servers[0].state, MCP_DOWN);
        assert_non_null(c->servers[0].why);
        assert_non_null(mcp_catalogue_tool(c, STRV("s__a"))); /* a model was told of it */
        mcp_catalogue_unref(c);
        fake_advance(f->loop, 1);
        assert_int_equal(f->starts, i + 2);
    }
    come_up(f);
    assert_int_equal(state_of(f), MCP_READY);
    fake_advance(f->loop, 61000);
    fake_child_exit(f->child, 0, SIGSEGV);
    fake_run(f->loop);
    fake_advance(f->loop, 1000); /* it was well for long: a new story */
    assert_int_equal(f->starts, 10);
    assert_non_null(call(f, &h)); /* and this once, calls wait for it */
    fake_run(f->loop);
    assert_int_equal(h.done, 0);
    come_up(f);
    answer(f, "{}");
    assert_true(h.done == 1 && h.end == MCP_OK);
}

/* The catalogue said "at home" when the call was thought of, and then another configuration came. */
static void what_did_not_pass_the_gate_reaches_no_server_outside(void **state)
{
    struct fixture *f = *state;
    struct mcp_call_spec passed = spec;
    struct heard h = {0};

    f->row.local = false;
    configure(f);
    come_up(f);
    assert_int_equal(state_of(f), MCP_READY);
    assert_non_null(call(f, &h));
    fake_run(f->loop);
    assert_true(h.done == 1 && h.end == MCP_GONE);
    assert_int_equal(fake_peer_received(fake_child_peer(f->child)).len, 0);
    passed.may_leave = true;
    h = (struct heard){0};
    assert_non_null(mcp_call(f->hub, f->loop, &passed, &ops, &h));
    fake_run(f->loop);
    answer(f, "{}");
    assert_true(h.done == 1 && h.end == MCP_OK);
}

/* Addresses of resources may hold anything; a server that is elsewhere after a reload hears none of them. */
static void what_was_asked_at_home_is_not_asked_again_outside(void **state)
{
    static const struct mcp_call_spec subscribe = {
        .server = "s", .method = "resources/subscribe", .params = {"{\"uri\":\"p://1\"}", 15}};
    struct fixture *f = *state;
    struct mcp_server_conf rows[] = {f->row, f->row};

    rows[0].call_ms = 1234;
    rows[1].local = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct heard h = {0};

        f->conf.servers = &f->row;
        configure(f);
        come_up(f);
        assert_non_null(mcp_call(f->hub, f->loop, &subscribe, &ops, &h));
        fake_run(f->loop);
        answer(f, "{}");
        assert_true(h.done == 1 && h.end == MCP_OK);
        f->conf.servers = &rows[i];
        configure(f);
        come_up(f);
        strv sent = fake_peer_received(fake_child_peer(f->child));
        assert_int_equal(strv_contains_nocase(sent, STRV("p://1")), rows[i].local);
    }
    fake_advance(f->loop, 10000);
}

static void a_server_is_stopped_step_by_step(void **state)
{
    struct fixture *f = *state;
    struct heard h;

    configure(f);
    come_up(f);
    fake_child_stubborn(f->child, true);
    assert_non_null(call(f, &h));
    fake_run(f->loop);
    mcp_hub_stop(f->hub, on_stopped, f);
    fake_run(f->loop);
    assert_true(h.done == 1 && h.end == MCP_GONE);
    assert_int_equal(fake_peer_state(fake_child_peer(f->child)), FAKE_FINISHED);
    assert_int_equal(fake_child_signal(f->child), 0);
    fake_advance(f->loop, 2000);
    assert_int_equal(fake_child_signal(f->child), SIGTERM);
    assert_false(f->stopped);
    fake_advance(f->loop, 2000);
    assert_int_equal(fake_child_signal(f->child), SIGKILL);
    fake_run(f->loop);
    assert_true(f->stopped);
    mcp_hub_free(f->hub);
    f->hub = NULL;
    assert_int_equal(f->held, 0);
}

static void a_server_that_reads_nothing_fails_calls_and_blocks_nothing(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    char *large = malloc(9 << 20);
    struct mcp_call_spec big = spec;

    assert_non_null(large);
    configure(f);
    come_up(f);
    fake_peer_window(fake_child_peer(f->child), 0);
    memset(large, 'x', 9 << 20);
    memcpy(large, "{\"name\":\"a\",\"x\":\"", 17);
    memcpy(large + (9 << 20) - 2, "\"}", 2);
    big.params = (strv){large, 9 << 20};
    for (int i = 0; i < 4; i++) { /* two find room in the queue */
        h = (struct heard){0};
        assert_non_null(mcp_call(f->hub, f->loop, &big, &ops, &h));
        fake_run(f->loop);
        fake_advance(f->loop, 0);
        if (h.done == 0 && i < 3) {
            fake_advance(f->loop, 60000);
            assert_int_equal(h.end, MCP_LATE);
        }
    }
    assert_true(h.done == 1 && h.end == MCP_GONE);
    free(large);
}

static void on_watch(void *arg)
{
    ((struct fixture *)arg)->told++;
}

static void storms_of_changes_are_few_catalogues(void **state)
{
    struct fixture *f = *state;
    struct mcp_watch *w = mcp_watch(f->hub, f->loop, on_watch, f);

    configure(f);
    come_up(f);
    f->told = 0;
    for (int i = 0; i < 50; i++) {
        configure(f);
        fake_advance(f->loop, 10);
    }
    fake_advance(f->loop, 1000);
    assert_in_range(f->told, 2, 5);
    assert_int_equal(f->starts, 1);
    assert_int_equal(f->held, 2); /* the rows it runs by, and the newest */
    mcp_unwatch(w);
    f->told = 0;
    configure(f);
    fake_advance(f->loop, 1000);
    assert_int_equal(f->told, 0);
}

static void a_program_that_cannot_be_started_is_told_and_tried_again(void **state)
{
    struct fixture *f = *state;
    struct mcp_catalogue *c;

    fake_child_refuse(f->loop, "no such program");
    configure(f);
    fake_run(f->loop);
    fake_advance(f->loop, 0);
    c = mcp_hub_catalogue(f->hub);
    assert_int_equal(c->servers[0].state, MCP_DOWN);
    assert_non_null(strstr(c->servers[0].why, "no such program"));
    mcp_catalogue_unref(c);
    fake_advance(f->loop, 1000);
    come_up(f);
    assert_int_equal(state_of(f), MCP_READY);
}

/* The reason is its own, not that nothing could be sent to it. */
static void a_child_that_dies_at_once_is_told_by_its_exit(void **state)
{
    struct fixture *f = *state;
    enum mcp_era eras[] = {MCP_ERA_LEGACY, MCP_ERA_UNKNOWN};

    for (size_t i = 0; i < sizeof eras / sizeof *eras; i++) {
        struct mcp_catalogue *c;

        f->row.era = eras[i];
        f->stillborn = 127;
        configure(f);
        fake_run(f->loop);
        fake_advance(f->loop, 500);
        c = mcp_hub_catalogue(f->hub);
        assert_int_equal(c->servers[0].state, MCP_DOWN);
        assert_string_equal(c->servers[0].why, "it ended with status 127");
        mcp_catalogue_unref(c);
    }
    f->stillborn = 0;
}

static bool was_sent(struct fixture *f, const char *text)
{
    strv got = fake_peer_received(fake_child_peer(f->child));

    return memmem(got.ptr, got.len, text, strlen(text)) != NULL;
}

static void subscribe(struct fixture *f, const char *method, const char *uri)
{
    char params[100];
    struct mcp_call_spec s = {.server = "s", .method = method};
    struct heard h = {0};

    snprintf(params, sizeof params, "{\"uri\":\"%s\"}", uri);
    s.params = strv_of(params);
    assert_non_null(mcp_call(f->hub, f->loop, &s, &ops, &h));
    fake_run(f->loop);
    answer(f, "{}");
    assert_true(h.done == 1 && h.end == MCP_OK);
}

static void on_updated(void *arg, const char *server, strv uri)
{
    (void)server;
    assert_true(strv_eq_cstr(uri, "x:a"));
    ((struct fixture *)arg)->told++;
}

static void a_server_begun_anew_is_asked_again_what_it_shall_tell_of(void **state)
{
    struct fixture *f = *state;
    struct mcp_watch *w = mcp_watch_updates(f->hub, f->loop, on_updated, f);

    configure(f);
    come_up(f);
    subscribe(f, "resources/subscribe", "x:a");
    subscribe(f, "resources/subscribe", "x:b");
    subscribe(f, "resources/subscribe", "x:a");
    subscribe(f, "resources/unsubscribe", "x:b");
    fake_child_exit(f->child, 1, 0);
    fake_run(f->loop);
    fake_advance(f->loop, 2000);
    come_up(f);
    assert_true(was_sent(f, "resources/subscribe") && was_sent(f, "\"uri\":\"x:a\""));
    assert_false(was_sent(f, "x:b"));
    assert_int_equal(f->told, 1); /* it may be another one by now */
    mcp_unwatch(w);
}

/* Whatever is refused, each call made ends once, and in the end the server is up. */
static void refused_memory_is_survived(void **state)
{
    struct fixture *f = *state;

    for (uint64_t nth = 1; nth < 120; nth++) {
        struct heard h = {0};
        struct mcp_call *c;
        struct io_child *before = f->child;

        mem_fail_at(nth, false);
        (void)mcp_hub_configure(f->hub, &f->conf, &ERR_INIT);
        fake_run(f->loop);
        if (f->child != before && f->child != NULL && fake_child_running(f->child))
            come_up(f);
        c = call(f, &h);
        fake_run(f->loop);
        if (f->child != NULL && fake_child_running(f->child))
            answer(f, "{\"content\":[]}");
        fake_advance(f->loop, 20 * 60000);
        mem_fail_at(0, false);
        fake_advance(f->loop, 1000);
        assert_int_equal(h.done, c != NULL);
        f->conf.n_servers = 0;
        configure(f);
        f->conf.n_servers = 1;
        fake_advance(f->loop, 10000);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_fallen_are_started_again_later_and_later),
        T(what_did_not_pass_the_gate_reaches_no_server_outside),
        T(what_was_asked_at_home_is_not_asked_again_outside),
        T(a_server_is_stopped_step_by_step),
        T(a_server_that_reads_nothing_fails_calls_and_blocks_nothing),
        T(storms_of_changes_are_few_catalogues),
        T(a_program_that_cannot_be_started_is_told_and_tried_again),
        T(a_child_that_dies_at_once_is_told_by_its_exit),
        T(a_server_begun_anew_is_asked_again_what_it_shall_tell_of),
        T(refused_memory_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
