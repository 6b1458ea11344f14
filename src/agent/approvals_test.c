/* SPDX-License-Identifier: Apache-2.0 */
/* approvals_test - what waits outlives the process; a decision holds for what was asked, and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../test/lib/fake_io.h"
#include "agent/agent.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct place {
    char folder[64], path[80];
    struct io_loop *loop;
    struct store *store;
    struct agent_desk *desk;
    struct log log;
    int told;
    enum agent_decision decision;
    char by[64];
};

static void open_desk(struct place *p)
{
    struct err err = ERR_INIT;
    const struct store_at at = {.path = p->path};
    p->store = store_open(&at, false, &err);
    assert_non_null(p->store);
    const struct agent_desk_env env = {p->loop, p->store, &p->log};
    p->desk = agent_desk_new(&env);
    assert_non_null(p->desk);
}

static void close_desk(struct place *p)
{
    agent_desk_free(p->desk);
    store_close(p->store);
}

static int begin(void **state)
{
    struct err err = ERR_INIT;
    struct place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return 1;
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-desk-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return 1;
    snprintf(p->path, sizeof p->path, "%s/store.db", p->folder);
    log_init(&p->log, -1, LOG_OFF);
    p->loop = io_loop_new(&err);
    open_desk(p);
    *state = p;
    return 0;
}

static int end(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"", "-wal", "-shm"};
    close_desk(p);
    size_t forgotten = fake_end(p->loop);
    log_fini(&p->log);
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", p->path, names[i]);
        unlink(path);
    }
    rmdir(p->folder);
    free(p);
    return forgotten > 0;
}

static void on_done(void *arg, enum agent_decision d, const char *by)
{
    struct place *p = arg;
    p->told++;
    p->decision = d;
    snprintf(p->by, sizeof p->by, "%s", by);
}

static struct agent_petition call(struct place *p, uint8_t arguments, uint8_t tool)
{
    struct agent_petition a = {.server = "sched",
                               .tool = "fix",
                               .arguments = STRV("{\"n\":1}"),
                               .key = "k_1",
                               .session = STRV("of Jane Roe"),
                               .effect = MCP_WRITE};
    a.arguments_digest[0] = arguments;
    a.tool_digest[0] = tool;
    a.asked_us = io_wall_us(p->loop);
    a.until_us = a.asked_us + 60 * 1000000;
    return a;
}

static struct agent_wait *ask(struct place *p, const struct agent_petition *a)
{
    p->told = 0;
    struct agent_wait *w = agent_ask(p->desk, p->loop, a, on_done, p);
    assert_non_null(w);
    assert_int_equal(p->told, 0); /* never from inside */
    fake_run(p->loop);
    return w;
}

struct found {
    char id[32], arguments[64], session[256];
    int decision;
    size_t n;
};

static bool note(void *arg, const struct store_approval *a)
{
    struct found *f = arg;
    f->n++;
    f->decision = a->decision;
    snprintf(f->id, sizeof f->id, "%s", a->id);
    snprintf(f->arguments, sizeof f->arguments, "%s", a->arguments);
    snprintf(f->session, sizeof f->session, "%s", a->session);
    return true;
}

static struct found in_store(struct place *p)
{
    struct found f = {.n = 0};
    struct err err = ERR_INIT;
    fake_advance(p->loop, 300);
    assert_true(store_approval_each(p->store, note, &f, &err));
    return f;
}

static void a_call_waits_in_the_store_and_over_a_restart(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct agent_petition a = call(p, 1, 1);
    agent_ask_cancel(ask(p, &a));
    struct found f = in_store(p);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.arguments, "{\"n\":1}");
    assert_null(strstr(f.session, "Jane"));
    close_desk(p);
    open_desk(p);
    /* Another process decides; the call is made again, and waits no more. */
    assert_true(store_approval_decide(p->store, f.id, AGENT_APPROVED, false, "terminal",
                                      io_wall_us(p->loop), &err));
    assert_false(store_approval_decide(p->store, f.id, AGENT_DENIED, false, "terminal",
                                       io_wall_us(p->loop), NULL));
    fake_advance(p->loop, 300);
    (void)ask(p, &a);
    assert_int_equal(p->told, 1);
    assert_int_equal(p->decision, AGENT_APPROVED);
    assert_string_equal(p->by, "terminal");
    f = in_store(p);
    assert_string_equal(f.arguments, "");
    agent_ask_cancel(ask(p, &a)); /* once */
    assert_int_equal(p->told, 0);
}

static void other_arguments_and_another_tool_are_asked_for_anew(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct agent_petition a = call(p, 1, 1), other = call(p, 2, 1), changed = call(p, 1, 2);
    agent_ask_cancel(ask(p, &a));
    struct found f = in_store(p);
    assert_true(agent_desk_decide(p->desk, strv_of(f.id), AGENT_APPROVED, false, "k_boss", &err));
    agent_ask_cancel(ask(p, &other));
    agent_ask_cancel(ask(p, &changed));
    assert_int_equal(p->told, 0);
    (void)ask(p, &a);
    assert_int_equal(p->told, 1);
}

/* One yes is one call, however many of the same kind wait. */
static void the_same_call_made_twice_at_once_is_asked_for_twice(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct agent_petition a = call(p, 1, 1);
    (void)ask(p, &a);
    struct found f = in_store(p);
    struct agent_wait *second = ask(p, &a);
    assert_int_equal(in_store(p).n, 2);
    assert_true(agent_desk_decide(p->desk, strv_of(f.id), AGENT_APPROVED, false, "k_boss", &err));
    fake_run(p->loop);
    assert_int_equal(p->told, 1);
    agent_ask_cancel(second); /* it still waits; whoever makes it again takes its place */
    assert_int_equal(in_store(p).n, 2);
    agent_ask_cancel(ask(p, &a));
    assert_int_equal(in_store(p).n, 2);
}

static void a_session_is_remembered_unless_each_call_must_be_asked_for(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct agent_petition a = call(p, 1, 1), other = call(p, 2, 1), grave = call(p, 3, 1);
    struct agent_wait *w = ask(p, &a);
    struct found f = in_store(p);
    assert_true(agent_desk_decide(p->desk, strv_of(f.id), AGENT_APPROVED, true, "k_boss", &err));
    fake_run(p->loop);
    assert_int_equal(p->told, 1);
    (void)w;
    (void)ask(p, &other);
    assert_int_equal(p->told, 1);
    grave.always = true;
    agent_ask_cancel(ask(p, &grave));
    assert_int_equal(p->told, 0);
    other.session = STRV("another");
    agent_ask_cancel(ask(p, &other));
    assert_int_equal(p->told, 0);
}

static void what_nobody_decides_expires(void **state)
{
    struct place *p = *state;
    struct agent_petition a = call(p, 1, 1);
    (void)ask(p, &a);
    fake_advance(p->loop, 61000);
    assert_int_equal(p->told, 1);
    assert_int_equal(p->decision, AGENT_EXPIRED);
    assert_int_equal(in_store(p).decision, AGENT_EXPIRED);
    assert_false(agent_desk_decide(p->desk, STRV("ap_none"), AGENT_DENIED, false, "x", NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_waits_in_the_store_and_over_a_restart),
        TEST(other_arguments_and_another_tool_are_asked_for_anew),
        TEST(the_same_call_made_twice_at_once_is_asked_for_twice),
        TEST(a_session_is_remembered_unless_each_call_must_be_asked_for),
        TEST(what_nobody_decides_expires),
    };
    return cmocka_run_group_tests_name("agent/approvals", tests, NULL, NULL);
}
