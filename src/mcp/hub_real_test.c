/* SPDX-License-Identifier: Apache-2.0 */
/* hub with real processes and real threads: what a server says reaches the catalogue, calls go and come from several
 * threads, and one bad server is nobody else's trouble. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "mcp/mcp.h"

#define GUARD_MS 30000
#define ROWS     4

struct fixture {
    struct io_loop *loop;
    struct rng rng;
    struct log log;
    struct mcp_hub *hub;
    struct mcp_watch *watch;
    struct io_timer guard;
    char script[512];
    const char *argv[ROWS][8];
    struct mcp_server_conf rows[ROWS];
    struct mcp_conf conf;
    struct mcp_host host;
    bool stopped;
};

static void host_ask(void *arg, struct mcp_question *q, const char *server, strv method,
                     strv params)
{
    (void)arg;
    (void)params;
    assert_non_null(server);
    if (strv_eq(method, STRV("elicitation/create")))
        mcp_answer_question(q, STRV("{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}"));
    else
        mcp_refuse_question(q, MCP_USER_REFUSED, "not today");
}

static void wake(void *arg)
{
    struct fixture *f = arg;

    io_loop_stop(f->loop);
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for %d ms", GUARD_MS);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    struct mcp_hub_env env;

    if (f == NULL)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    f->loop = io_loop_new(&ERR_INIT);
    rng_seed(&f->rng, 1);
    log_init(&f->log, -1, LOG_OFF);
    snprintf(f->script, sizeof f->script, "%s/../mcp/server.py", getenv("TEST_DATA"));
    f->host = (struct mcp_host){.ask = host_ask, .arg = f, .sampling = true, .elicitation = true};
    env = (struct mcp_hub_env){.loop = f->loop, .rng = &f->rng, .log = &f->log};
    f->hub = mcp_hub_new(&env, &f->host, &ERR_INIT);
    f->watch = mcp_watch(f->hub, f->loop, wake, f);
    io_timer_start(f->loop, &f->guard, GUARD_MS, on_guard, f);
    *state = f;
    return f->hub == NULL || f->watch == NULL;
}

static void on_stopped(void *arg)
{
    struct fixture *f = arg;

    f->stopped = true;
    io_loop_stop(f->loop);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mcp_unwatch(f->watch);
    mcp_hub_stop(f->hub, on_stopped, f);
    while (!f->stopped)
        io_loop_run(f->loop);
    mcp_hub_free(f->hub);
    io_timer_stop(f->loop, &f->guard);
    log_fini(&f->log);
    io_loop_free(f->loop);
    mem_free(f);
    if (waitpid(-1, NULL, WNOHANG) != -1)
        return -1; /* a child was left behind */
    return mem_live() == 0 ? 0 : -1;
}

static struct mcp_server_conf *row(struct fixture *f, const char *name, const char *option,
                                   const char *value)
{
    size_t i = f->conf.n_servers++;

    f->argv[i][0] = "/usr/bin/python3";
    f->argv[i][1] = f->script;
    f->argv[i][2] = option;
    f->argv[i][3] = value;
    f->rows[i] = (struct mcp_server_conf){
        .name = name, .transport = MCP_STDIO, .argv = f->argv[i], .local = true};
    f->conf.servers = f->rows;
    return &f->rows[i];
}

/* Until the server is in this state. The caller drops the catalogue. */
static struct mcp_catalogue *await(struct fixture *f, const char *name, enum mcp_state state)
{
    for (;;) {
        struct mcp_catalogue *c = mcp_hub_catalogue(f->hub);
        const struct mcp_listed *s = mcp_catalogue_server(c, strv_of(name));

        if (s != NULL && s->state == state)
            return c;
        mcp_catalogue_unref(c);
        io_loop_run(f->loop);
    }
}

static void configure(struct fixture *f)
{
    assert_true(mcp_hub_configure(f->hub, &f->conf, &ERR_INIT));
}

static void ready(struct fixture *f, const char *option, const char *value)
{
    row(f, "t", option, value);
    configure(f);
    mcp_catalogue_unref(await(f, "t", MCP_READY));
}

struct answer {
    struct io_loop *loop;
    bool over;
    enum mcp_end end;
    int code;
    unsigned steps;
    double last;
    char result[4096], text[400];
};

static void on_done(void *arg, const struct mcp_answer *a)
{
    struct answer *out = arg;

    out->over = true;
    out->end = a->end;
    out->code = a->code;
    snprintf(out->result, sizeof out->result, STRV_FMT, STRV_ARG(a->result));
    snprintf(out->text, sizeof out->text, STRV_FMT, STRV_ARG(a->text));
    io_loop_stop(out->loop);
}

static void on_progress(void *arg, double done, double total, strv message)
{
    struct answer *out = arg;

    assert_true(done <= total && strv_eq(message, STRV("step")));
    out->steps++;
    out->last = done;
}

static const struct mcp_call_ops ops = {.done = on_done, .progress = on_progress};

static struct mcp_call *ask(struct mcp_hub *hub, struct answer *out, const char *server,
                            const char *params)
{
    struct mcp_call_spec spec = {
        .server = server, .method = "tools/call", .params = strv_of(params)};
    struct mcp_call *c = mcp_call(hub, out->loop, &spec, &ops, out);

    assert_non_null(c);
    return c;
}

static struct answer call(struct fixture *f, const char *params)
{
    struct answer out = {.loop = f->loop};

    ask(f->hub, &out, "t", params);
    while (!out.over)
        io_loop_run(f->loop);
    return out;
}

#define ECHO(text) "{\"name\":\"echo\",\"arguments\":{\"text\":\"" text "\"}}"

/* ---- tests ---- */

static void a_server_is_listed_with_all_that_is_wrong_with_its_tools(void **state)
{
    struct fixture *f = *state;
    struct mcp_catalogue *c;
    const struct mcp_tool *t;

    row(f, "t", "--banner", NULL);
    configure(f);
    c = await(f, "t", MCP_READY);
    assert_int_equal(c->n_tools, 13);
    assert_string_equal(c->servers[0].revision, "2025-11-25");
    assert_true(strv_eq(c->servers[0].title, STRV("A test server")));
    assert_true(strv_eq(c->servers[0].instructions, STRV("be kind")));
    assert_non_null(strstr(c->servers[0].why, "2 entries"));
    t = mcp_catalogue_tool(c, STRV("t__echo"));
    assert_non_null(t);
    assert_ptr_equal(t, mcp_catalogue_tool(c, STRV("t/echo")));
    assert_true(t->effect == MCP_READ && t->approval == MCP_AUTO && t->data == MCP_DATA_HEALTH);
    assert_null(t->refused);
    t = mcp_catalogue_tool(c, STRV("t/odd.name/with dots"));
    assert_non_null(t->refused); /* the blank */
    assert_string_equal(t->id, "t__odd_name_with_dots");
    t = mcp_catalogue_tool(c, STRV("t__broken"));
    assert_non_null(strstr(t->refused, "not that of an object"));
    mcp_catalogue_unref(c);
}

static void a_call_gets_its_answer(void **state)
{
    struct fixture *f = *state;
    struct answer a;

    ready(f, NULL, NULL);
    a = call(f, ECHO("hi\\nho"));
    assert_int_equal(a.end, MCP_OK);
    assert_non_null(strstr(a.result, "hi\\nho"));
    a = call(f, "{\"name\":\n\"echo\"\r\n,\"arguments\":{}}");
    assert_int_equal(a.end, MCP_OK);
    a = call(f, "{\"name\":\"bad\"}");
    assert_int_equal(a.end, MCP_REFUSED);
    assert_int_equal(a.code, -32602);
    assert_string_equal(a.text, "Unknown tool");
    a = call(f, "{\"name\":\"progress\",\"arguments\":{\"n\":1000}}");
    assert_int_equal(a.end, MCP_OK);
    assert_true(a.steps >= 1 && a.last >= 1000 && a.last <= 1000);
    a = call(f, "{\"name\":\"noise\"}");
    assert_int_equal(a.end, MCP_OK);
}

static void the_environment_is_made_from_nothing(void **state)
{
    static const char *const env[] = {"GIVEN=yes", "HOME=/nowhere", NULL};
    struct fixture *f = *state;

    setenv("SECRET_OF_OURS", "key", 1);
    row(f, "t", NULL, NULL)->env = env;
    configure(f);
    mcp_catalogue_unref(await(f, "t", MCP_READY));
    assert_non_null(strstr(
        call(f, "{\"name\":\"env\",\"arguments\":{\"name\":\"SECRET_OF_OURS\"}}").result, "unset"));
    assert_non_null(
        strstr(call(f, "{\"name\":\"env\",\"arguments\":{\"name\":\"GIVEN\"}}").result, "yes"));
    assert_non_null(
        strstr(call(f, "{\"name\":\"env\",\"arguments\":{\"name\":\"HOME\"}}").result, "/nowhere"));
    assert_non_null(
        strstr(call(f, "{\"name\":\"env\",\"arguments\":{\"name\":\"PATH\"}}").result, "/bin"));
}

static void questions_of_the_server_are_answered(void **state)
{
    struct fixture *f = *state;
    struct answer a;

    ready(f, NULL, NULL);
    a = call(f, "{\"name\":\"ask\"}");
    assert_non_null(strstr(a.result, "Ada"));
    a = call(f, "{\"name\":\"sample\"}");
    assert_non_null(strstr(a.result, "not today"));
}

static void answers_come_in_any_order_and_a_cancelled_call_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct answer one = {.loop = f->loop}, two = one, gone = one;
    struct mcp_call *c;

    ready(f, NULL, NULL);
    ask(f->hub, &one, "t", "{\"name\":\"wait\",\"arguments\":{\"id\":1}}");
    c = ask(f->hub, &gone, "t", "{\"name\":\"wait\",\"arguments\":{\"id\":2}}");
    ask(f->hub, &two, "t", ECHO("two"));
    while (!two.over)
        io_loop_run(f->loop);
    assert_false(one.over);
    mcp_cancel(c);
    /* The server has forgotten it: its `go` fails there. */
    assert_int_equal(call(f, ECHO("after")).end, MCP_OK);
    call(f, "{\"name\":\"go\",\"arguments\":{\"id\":1}}");
    while (!one.over)
        io_loop_run(f->loop);
    assert_int_equal(one.end, MCP_OK);
    assert_false(gone.over);
}

static void changed_lists_are_listed_again(void **state)
{
    struct fixture *f = *state;
    struct mcp_catalogue *c;

    ready(f, NULL, NULL);
    assert_int_equal(call(f, "{\"name\":\"add_tool\"}").end, MCP_OK);
    for (;;) {
        c = mcp_hub_catalogue(f->hub);
        if (mcp_catalogue_tool(c, STRV("t__added_0")) != NULL)
            break;
        mcp_catalogue_unref(c);
        io_loop_run(f->loop);
    }
    mcp_catalogue_unref(c);
}

static void a_fragile_server_and_a_modern_one_are_both_understood(void **state)
{
    struct fixture *f = *state;
    struct mcp_catalogue *c;

    row(f, "fragile", "--fragile", NULL);
    row(f, "modern", "--modern", NULL);
    configure(f);
    mcp_catalogue_unref(await(f, "fragile", MCP_READY));
    c = await(f, "modern", MCP_READY);
    assert_int_equal(mcp_catalogue_server(c, STRV("fragile"))->era, MCP_ERA_LEGACY);
    assert_int_equal(mcp_catalogue_server(c, STRV("modern"))->era, MCP_ERA_MODERN);
    assert_non_null(mcp_catalogue_tool(c, STRV("modern__echo")));
    mcp_catalogue_unref(c);
}

static void a_bad_server_is_nobody_elses_trouble(void **state)
{
    struct fixture *f = *state;
    struct mcp_catalogue *c;
    struct answer a = {.loop = f->loop};

    row(f, "t", NULL, NULL);
    row(f, "absent", NULL, NULL)->argv = (const char *const[]){"/no/such/program", NULL};
    row(f, "large", "--large", "200000")->message_max = 100000;
    row(f, "off", NULL, NULL)->disabled = true;
    configure(f);
    mcp_catalogue_unref(await(f, "t", MCP_READY));
    mcp_catalogue_unref(await(f, "absent", MCP_DOWN));
    c = await(f, "large", MCP_DOWN);
    assert_non_null(strstr(mcp_catalogue_server(c, STRV("absent"))->why, "/no/such/program"));
    assert_non_null(strstr(mcp_catalogue_server(c, STRV("large"))->why, "larger than 100000"));
    assert_int_equal(mcp_catalogue_server(c, STRV("off"))->state, MCP_DISABLED);
    mcp_catalogue_unref(c);
    assert_int_equal(call(f, ECHO("well")).end, MCP_OK);
    ask(f->hub, &a, "absent", ECHO("x"));
    while (!a.over)
        io_loop_run(f->loop);
    assert_int_equal(a.end, MCP_GONE);
    assert_non_null(strstr(a.text, "down"));
}

static void its_death_ends_its_calls(void **state)
{
    struct fixture *f = *state;
    struct answer waits = {.loop = f->loop}, a;

    ready(f, NULL, NULL);
    ask(f->hub, &waits, "t", "{\"name\":\"wait\",\"arguments\":{\"id\":1}}");
    a = call(f, "{\"name\":\"die\"}");
    assert_int_equal(a.end, MCP_GONE);
    while (!waits.over)
        io_loop_run(f->loop);
    assert_int_equal(waits.end, MCP_GONE);
    assert_non_null(strstr(waits.text, "status 3"));
    mcp_catalogue_unref(await(f, "t", MCP_DOWN));
}

static void a_deaf_server_blocks_nobody_and_time_ends_its_calls(void **state)
{
    struct fixture *f = *state;
    struct answer a = {.loop = f->loop};
    struct mcp_call_spec spec = {.server = "deaf",
                                 .method = "tools/call",
                                 .params = STRV(ECHO("x")),
                                 .call_ms = 10,
                                 .total_ms = 20};

    row(f, "t", NULL, NULL);
    row(f, "deaf", "--deaf", NULL)->era = MCP_ERA_LEGACY;
    configure(f);
    assert_non_null(mcp_call(f->hub, f->loop, &spec, &ops, &a));
    while (!a.over)
        io_loop_run(f->loop);
    assert_int_equal(a.end, MCP_LATE);
    mcp_catalogue_unref(await(f, "t", MCP_READY));
    assert_int_equal(call(f, ECHO("fine")).end, MCP_OK);
}

static void new_rules_leave_a_server_running_and_new_ways_do_not(void **state)
{
    static const struct mcp_rule rules[] = {{"echo", MCP_EXTERNAL, MCP_DATA_NONE, MCP_OFF}};
    struct fixture *f = *state;
    struct mcp_catalogue *c;
    const struct mcp_tool *t;
    struct answer waits = {.loop = f->loop};
    struct mcp_server_conf again;

    ready(f, NULL, NULL);
    ask(f->hub, &waits, "t", "{\"name\":\"wait\",\"arguments\":{\"id\":1}}");
    assert_int_equal(call(f, ECHO("x")).end, MCP_OK);
    again = f->rows[0];
    again.rules = rules;
    again.n_rules = 1;
    f->conf.servers = &again;
    configure(f);
    for (;;) {
        c = mcp_hub_catalogue(f->hub);
        t = mcp_catalogue_tool(c, STRV("t__echo"));
        if (t->effect == MCP_EXTERNAL)
            break;
        mcp_catalogue_unref(c);
        io_loop_run(f->loop);
    }
    assert_non_null(t->refused);
    mcp_catalogue_unref(c);
    assert_false(waits.over); /* the process is the same one */
    f->argv[1][0] = f->argv[0][0];
    f->argv[1][1] = f->script;
    f->argv[1][2] = "--banner";
    again.argv = f->argv[1];
    configure(f);
    while (!waits.over)
        io_loop_run(f->loop);
    assert_int_equal(waits.end, MCP_GONE);
    mcp_catalogue_unref(await(f, "t", MCP_READY));
    f->conf.n_servers = 0;
    configure(f);
    assert_int_equal(call(f, ECHO("x")).end, MCP_GONE);
}

/* ---- threads ---- */

#define THREADS 3
#define CALLS   60

struct worker {
    struct fixture *f;
    struct io_loop *loop;
    pthread_t thread;
    unsigned left, ok, cancelled;
    struct {
        struct worker *w;
        struct mcp_call *call;
    } calls[CALLS];
};

static atomic_uint workers_left;

static void worker_done(void *arg, const struct mcp_answer *a)
{
    struct worker *w = arg;

    w->ok += a->end == MCP_OK;
    if (--w->left == 0)
        io_loop_stop(w->loop);
}

static void *work(void *arg)
{
    static const struct mcp_call_ops worker_ops = {.done = worker_done};
    struct worker *w = arg;
    struct mcp_call_spec spec = {
        .server = "t", .method = "tools/call", .params = STRV(ECHO("from a thread"))};
    struct mcp_catalogue *c;

    w->loop = io_loop_new(&ERR_INIT);
    w->left = CALLS;
    for (unsigned i = 0; i < CALLS; i++) {
        struct mcp_call *call = mcp_call(w->f->hub, w->loop, &spec, &worker_ops, w);

        if (i % 5 == 4) {
            mcp_cancel(call);
            w->cancelled++;
            w->left--;
        }
        c = mcp_hub_catalogue(w->f->hub);
        mcp_catalogue_unref(c);
    }
    while (w->left > 0)
        io_loop_run(w->loop);
    io_loop_free(w->loop);
    if (atomic_fetch_sub(&workers_left, 1) == 1)
        io_loop_stop(w->f->loop);
    return NULL;
}

static void threads_call_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS] = {0};

    ready(f, NULL, NULL);
    atomic_store(&workers_left, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].f = f;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    while (atomic_load(&workers_left) > 0)
        io_loop_run(f->loop);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].ok + workers[i].cancelled, CALLS);
    }
}

/* Blocks are freed on other threads than they were taken on: only the sum of all is nothing. */
static int teardown_threads(void **state)
{
    teardown(state);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_server_is_listed_with_all_that_is_wrong_with_its_tools),
        T(a_call_gets_its_answer),
        T(the_environment_is_made_from_nothing),
        T(questions_of_the_server_are_answered),
        T(answers_come_in_any_order_and_a_cancelled_call_says_nothing),
        T(changed_lists_are_listed_again),
        T(a_fragile_server_and_a_modern_one_are_both_understood),
        T(a_bad_server_is_nobody_elses_trouble),
        T(its_death_ends_its_calls),
        T(a_deaf_server_blocks_nobody_and_time_ends_its_calls),
        T(new_rules_leave_a_server_running_and_new_ways_do_not),
        cmocka_unit_test_setup_teardown(threads_call_side_by_side, setup, teardown_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
