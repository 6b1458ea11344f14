/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_test - the loop by itself: exchanges and calls of tools are played by the test, which stands in the linker's place
 * of exchange.c and call.c.
 *
 *   exchange_start() > struct exchange > says(), calls(), ends() | fails()       what a model does
 *   agent_call()     > struct agent_call > result()                              what a tool does
 *   the caller's sink                                                            what came of it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../test/lib/fake_hub.h"
#include "../test/lib/fake_io.h"
#include "agent/agent.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CALLS_MAX    64

struct exchange {
    struct llm_request *r;
    const struct exchange_sink *sink;
    void *arg;
    bool begun, over, gone, is_private;
    bool torn; /* over, and its last call has returned: what it came to is not to be had any more */
    int n_calls;
};

struct agent_call {
    struct agent_request r;
    struct agent_call_ops ops;
    void *arg;
    struct arena *arena;
    struct agent_petition petition;
    bool over, cancelled;
};

static struct {
    struct io_loop *loop;
    struct exchange_env ex;
    struct snapshot snapshot;
    struct provider provider;
    struct mcp_conf conf;
    struct agent_env env;
    struct rng rng;
    struct arena arena; /* the caller's */
    struct llm_part part;
    struct llm_message message;
    struct llm_request r;
    struct exchange_caller caller;
    struct agent_loop *l;

    struct exchange *x; /* the latest */
    unsigned asked;
    struct agent_call *calls[CALLS_MAX];
    size_t n_calls;
    int running; /* of them */
    int64_t window;
    uint32_t has;

    struct buf told; /* to the caller */
    int begun, ended, failed, aborted;
    int status;
    struct exchange_sums sums; /* at the end, or when somebody asked */
    struct llm_usage latest;
} t;

/* ---- in exchange.c's place ---- */

struct exchange *exchange_start(struct exchange_env *env, struct arena *arena,
                                struct llm_request *r, const struct exchange_caller *caller,
                                const struct exchange_sink *sink, void *arg)
{
    struct exchange *x = ARENA_NEW(arena, struct exchange);
    assert_ptr_equal(env, &t.ex);
    assert_null(caller->committed);
    if (x == NULL)
        return NULL;
    *x = (struct exchange){.r = r, .sink = sink, .arg = arg, .is_private = r->private_hint};
    t.x = x;
    t.asked++;
    return x;
}

void exchange_caller_gone(struct exchange *x)
{
    x->gone = true;
}

void exchange_proceed(struct exchange *x)
{
    (void)x;
}

const char *exchange_provider(const struct exchange *x)
{
    (void)x;
    return "one";
}

strv exchange_model(const struct exchange *x)
{
    (void)x;
    return STRV("m1");
}

bool exchange_private(const struct exchange *x)
{
    return x->is_private;
}

strv exchange_route(const struct exchange *x)
{
    (void)x;
    return STRV("{\"a\":1}");
}

int exchange_error(const struct exchange *x)
{
    (void)x;
    return LLM_ERR_INTERNAL;
}

void exchange_sum(const struct exchange *x, struct exchange_sums *out)
{
    assert_false(x->torn);
    *out = (struct exchange_sums){
        .local = true, .usage = LLM_USAGE_NONE, .cost_micro = 3, .saved_micro = 5, .window = 4096};
    out->usage.input = 10;
}

bool exchange_find(struct exchange_env *env, const struct llm_request *r,
                   const struct policy_key *key, struct arena *arena, struct policy_plan *out,
                   struct err *err)
{
    (void)env;
    (void)r;
    (void)key;
    (void)arena;
    (void)err;
    *out = (struct policy_plan){.n = 1};
    out->targets[0] = (struct policy_target){.model = STRV("m1")};
    return true;
}

bool provider_model_facts(const struct provider *p, strv model, struct arena *arena,
                          struct provider_facts *out)
{
    (void)p;
    (void)model;
    (void)arena;
    *out = (struct provider_facts){.context = t.window, .has = t.has};
    return true;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    atomic_fetch_sub(&s->refs, 1);
}

/* ---- in call.c's place ---- */

bool agent_may(const struct policy_key *key, const struct mcp_tool *tool)
{
    (void)key;
    return tool->approval != MCP_OFF;
}

struct agent_call *agent_call(struct agent_env *env, struct arena *arena,
                              const struct agent_request *r, const struct agent_call_ops *ops,
                              void *arg)
{
    struct agent_call *c = ARENA_NEW(arena, struct agent_call);
    assert_ptr_equal(env, &t.env);
    if (c == NULL)
        return NULL;
    *c = (struct agent_call){.r = *r, .ops = *ops, .arg = arg, .arena = arena};
    assert_true(t.n_calls < CALLS_MAX);
    t.calls[t.n_calls++] = c;
    t.running++;
    return c;
}

void agent_call_cancel(struct agent_call *c)
{
    assert_false(c->over);
    c->cancelled = true;
    t.running--;
}

/* ---- what a model does ---- */

static bool tell(struct llm_event ev)
{
    struct exchange *x = t.x;
    if (x->over || x->gone)
        return false;
    if (!x->begun)
        x->sink->begin(x->arg, x, 200, "text/event-stream", HTTP_LENGTH_STREAM);
    x->begun = true;
    return x->sink->event(x->arg, &ev);
}

/* As an exchange does when its receiver cannot take an event. */
static void give_up(void)
{
    struct exchange *x = t.x;
    if (x->over || x->gone)
        return;
    x->over = true;
    if (x->begun)
        x->sink->abort(x->arg);
    else
        (x->sink->fail)(x->arg, x, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    x->torn = true;
}

static bool says(const char *text)
{
    return tell((struct llm_event){.kind = LLM_EV_TEXT, .text = strv_of(text)});
}

static bool calls(const char *name, const char *args)
{
    char id[24];
    int n = t.x->n_calls++, len = snprintf(id, sizeof id, "call_%d", n);
    return tell((struct llm_event){
               .kind = LLM_EV_CALL, .call = n, .id = {id, (size_t)len}, .name = strv_of(name)}) &&
           tell((struct llm_event){.kind = LLM_EV_ARGS, .call = n, .text = strv_of(args)}) &&
           tell((struct llm_event){.kind = LLM_EV_CALL_END, .call = n});
}

static void ends(void)
{
    struct exchange *x = t.x;
    enum llm_finish finish = x->n_calls > 0 ? LLM_FINISH_CALLS : LLM_FINISH_STOP;
    struct llm_usage usage = LLM_USAGE_NONE;
    usage.input = 10;
    usage.output = 2;
    if (!tell((struct llm_event){.kind = LLM_EV_FINISH, .finish = finish}) ||
        !tell((struct llm_event){.kind = LLM_EV_USAGE, .usage = usage}) ||
        !tell((struct llm_event){.kind = LLM_EV_END})) {
        give_up();
    } else {
        x->over = true;
        x->sink->end(x->arg);
        x->torn = true;
    }
    fake_run(t.loop);
}

/* One answer that is one call. */
static void wants(const char *name, const char *args)
{
    if (!calls(name, args))
        give_up();
    ends();
}

static void answers(const char *text)
{
    if (!says(text))
        give_up();
    ends();
}

static bool offered(const char *name)
{
    for (size_t i = 0; i < t.x->r->n_tools; i++)
        if (strv_eq_cstr(t.x->r->tools[i].name, name))
            return true;
    return false;
}

/* The n-th result that the model reads with its latest question; "" = there is none. */
static strv read_result(size_t n)
{
    const struct llm_message *m = &t.x->r->messages[t.x->r->n_messages - 1];
    if (n >= m->n_parts || m->parts[n].kind != LLM_PART_RESULT || m->parts[n].n_parts == 0)
        return STRV("");
    return m->parts[n].parts[0].text;
}

static void assert_result(size_t n, const char *text)
{
    if (!strv_contains_nocase(read_result(n), strv_of(text)))
        fail_msg("result %zu is " STRV_FMT ", not %s", n, STRV_ARG(read_result(n)), text);
}

/* ---- what a tool does ---- */

static void result(struct agent_call *c, const char *text, bool is_private)
{
    struct agent_outcome outcome;
    if (c->cancelled || c->over)
        return;
    if (!agent_outcome_say(strv_of(text), c->arena, &outcome))
        outcome = (struct agent_outcome){.part = {.kind = LLM_PART_RESULT}};
    outcome.part.is_error = false;
    c->over = true;
    t.running--;
    c->ops.done(c->arg, &outcome, is_private);
    fake_run(t.loop);
}

/* ---- the caller ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    (void)arg;
    (void)x;
    (void)type;
    (void)length;
    t.begun++;
    t.status = status;
}

static void on_body(void *arg, const char *data, size_t n)
{
    (void)arg;
    assert_int_equal(t.ended + t.failed + t.aborted, 0);
    buf_put(&t.told, data, n);
}

/* As one does who shows what it has come to: at any time. */
static void sum_up(void)
{
    if (t.l != NULL)
        agent_sum(t.l, &t.sums, &t.latest);
}

static void on_end(void *arg)
{
    (void)arg;
    t.ended++;
    sum_up();
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    (void)arg;
    (void)x;
    (void)error;
    (void)message;
    (void)field;
    (void)retry_after_s;
    t.failed++;
    t.status = status;
    sum_up();
}

static void on_abort(void *arg)
{
    (void)arg;
    t.aborted++;
    sum_up();
}

static size_t on_pending(void *arg)
{
    (void)arg;
    return 0;
}

static const struct exchange_sink sink = {.begin = on_begin,
                                          .body = on_body,
                                          .end = on_end,
                                          .fail = on_fail,
                                          .abort = on_abort,
                                          .pending = on_pending};

static bool was_told(const char *text)
{
    return strv_contains_nocase(buf_view(&t.told), strv_of(text));
}

static size_t times_told(const char *text)
{
    strv rest = buf_view(&t.told);
    size_t n = 0;
    const char *at;
    while ((at = memmem(rest.ptr, rest.len, text, strlen(text))) != NULL) {
        rest = strv_from(rest, (size_t)(at + 1 - rest.ptr));
        n++;
    }
    return n;
}

static void ask(enum llm_dialect door, bool stream)
{
    t.part = (struct llm_part){.kind = LLM_PART_TEXT, .text = STRV("any violations?")};
    t.message = (struct llm_message){LLM_USER, &t.part, 1};
    t.r = (struct llm_request){.arena = &t.arena,
                               .dialect = door,
                               .op = LLM_OP_CHAT,
                               .model = STRV("one/m1"),
                               .messages = &t.message,
                               .n_messages = 1,
                               .stream = stream,
                               .choices = 1};
    t.caller = (struct exchange_caller){.request_id = STRV("r1"), .record_id = STRV("r1")};
    buf_clear(&t.told);
    t.begun = t.ended = t.failed = t.aborted = t.status = 0;
    t.asked = 0;
    t.n_calls = 0;
    t.x = NULL;
    t.l = NULL;
    t.l = agent_start(&t.env, &t.arena, &t.r, &t.caller, &sink, NULL);
}

/* ---- who looks on ---- */

static void see(const char *what, strv id, strv name, strv more)
{
    buf_printf(&t.told, "%s " STRV_FMT " " STRV_FMT " " STRV_FMT ";", what, STRV_ARG(id),
               STRV_ARG(name), STRV_ARG(more));
}

static void see_begun(void *arg, strv id, strv name)
{
    (void)arg;
    see("begun", id, name, STRV("-"));
}

static void see_called(void *arg, strv id, strv name, strv server, strv input)
{
    (void)arg;
    see("called", id, name, server);
    buf_put_strv(&t.told, input);
}

static void see_waits(void *arg, strv id, const struct agent_petition *p)
{
    (void)arg;
    see("waits", id, strv_of(p->tool), strv_of(p->id));
}

static void see_decided(void *arg, strv id, const struct agent_petition *p)
{
    (void)arg;
    see("decided", id, strv_of(agent_decision_name(p->decision)), strv_of(p->decided_by));
}

static void see_result(void *arg, strv id, strv name, const struct agent_outcome *outcome)
{
    (void)arg;
    see(outcome->is_error ? "failed" : "result", id, name, outcome->part.parts[0].text);
}

static bool see_event(void *arg, const struct llm_event *ev)
{
    (void)arg;
    if (ev->kind == LLM_EV_TEXT)
        see("text", ev->text, STRV("-"), STRV("-"));
    if (ev->kind == LLM_EV_END)
        buf_put_cstr(&t.told, "end;");
    return true;
}

static void no_body(void *arg, const char *data, size_t n)
{
    (void)arg;
    (void)data;
    (void)n;
    fail_msg("bytes for one who takes events");
}

static void ask_watched(void)
{
    static const struct exchange_sink events = {.begin = on_begin,
                                                .body = no_body,
                                                .event = see_event,
                                                .end = on_end,
                                                .fail = on_fail,
                                                .abort = on_abort,
                                                .pending = on_pending};
    static const struct agent_watch watch = {see_begun, see_called, see_waits, see_decided,
                                             see_result};
    ask(LLM_NATIVE, true);
    agent_caller_gone(t.l);
    fake_run(t.loop);
    buf_clear(&t.told);
    t.n_calls = 0;
    t.l = NULL;
    t.l = agent_start_watched(&t.env, &t.arena, &t.r, &t.caller, &events, &watch, NULL);
}

/* ---- the place ---- */

static void declare(const char *name, const char *rules)
{
    char text[200];
    snprintf(text, sizeof text, "%s", rules);
    assert_true(fake_hub_tool(name, text));
}

static int begin(void **state)
{
    static const struct mcp_server_conf server = {.name = "s"};
    struct err err = ERR_INIT;
    (void)state;
    memset(&t, 0, sizeof t);
    t.loop = io_loop_new(&err);
    fake_hub_begin();
    declare("s/a", "effect=read data=none approval=auto");
    declare("s/b", "effect=read data=none approval=auto");
    declare("s/w", "effect=write data=none approval=auto");
    rng_seed(&t.rng, 1);
    t.provider.name = "one";
    t.provider.zone = ZONE_LOCAL;
    t.snapshot.providers = &t.provider;
    t.snapshot.n_providers = 1;
    t.snapshot.keepalive_ms = 15000;
    atomic_init(&t.snapshot.refs, 1);
    t.ex = (struct exchange_env){.loop = t.loop, .rng = &t.rng, .snapshot = &t.snapshot};
    t.conf = (struct mcp_conf){.servers = &server,
                               .n_servers = 1,
                               .rounds_max = 3,
                               .loop_ms = 60000,
                               .offer_max = 8,
                               .offer_tokens = 800,
                               .offer_bytes = 90000,
                               .result_bytes = 16384,
                               .approval_ms = 300000};
    t.env = (struct agent_env){
        .exchange = &t.ex, .hub = fake_hub(), .conf = &t.conf, .index = fake_hub_index()};
    arena_init(&t.arena, 4096, 1 << 20);
    buf_init(&t.told, 1 << 26);
    return t.loop == NULL || t.env.index == NULL;
}

static int end(void **state)
{
    (void)state;
    agent_index_unref(t.env.index);
    size_t forgotten = fake_end(t.loop);
    fake_hub_end();
    arena_fini(&t.arena);
    buf_fini(&t.told);
    return forgotten > 0 || atomic_load(&t.snapshot.refs) != 1;
}

static void assert_ended(void)
{
    fake_run(t.loop);
    assert_int_equal(t.running, 0);
    assert_int_equal(t.ended, 1);
    assert_int_equal(t.failed + t.aborted, 0);
    assert_int_equal(t.begun, 1);
}

/* ---- rounds ---- */

static void no_call_is_one_round(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    assert_true(offered("s__a") && offered("s__w"));
    answers("none");
    assert_ended();
    assert_int_equal(t.asked, 1);
    assert_true(was_told("\"none\""));
}

static void the_last_round_has_no_tools(void **state)
{
    static const char *const args[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"};
    (void)state;
    ask(LLM_OPENAI, false);
    for (size_t i = 0; i < COUNT(args); i++) {
        assert_true(offered("s__a"));
        wants("s__a", args[i]);
        assert_int_equal(t.n_calls, i + 1);
        result(t.calls[i], "fine", false);
    }
    assert_int_equal(t.asked, 4);
    assert_int_equal(t.x->r->n_tools, 0);
    wants("s__a", "{\"n\":4}");
    assert_int_equal(t.n_calls, 3);
    assert_ended();
    assert_true(was_told("limit for calls of tools"));
    assert_true(was_told("\"prompt_tokens\":40"));
}

static void the_third_identical_call_is_not_made(void **state)
{
    (void)state;
    t.conf.rounds_max = 8;
    ask(LLM_OPENAI, false);
    for (size_t i = 0; i < 2; i++) {
        wants("s__a", "{}");
        result(t.calls[i], "fine", false);
    }
    wants("s__a", "{}");
    assert_int_equal(t.n_calls, 2);
    assert_int_equal(t.asked, 4);
    assert_result(0, "was made twice already");
    assert_int_equal(t.x->r->n_tools, 0);
    answers("fine it is");
    assert_ended();
}

static void an_unknown_name_has_a_result(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    wants("s__aa", "{}");
    assert_int_equal(t.n_calls, 0);
    assert_int_equal(t.asked, 2);
    assert_result(0, "There is no tool s__aa");
    answers("sorry");
    assert_ended();
}

static void beyond_sixteen_there_is_a_sentence(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    for (int i = 0; i < 18; i++) {
        char args[32];
        snprintf(args, sizeof args, "{\"n\":%d}", i);
        assert_true(calls("s__a", args));
    }
    ends();
    assert_int_equal(t.n_calls, 16);
    for (size_t i = 0; i < 16; i++)
        result(t.calls[i], "fine", false);
    assert_result(15, "fine");
    assert_result(16, "Too many calls at once");
    assert_result(17, "Too many calls at once");
    answers("ok");
    assert_ended();
}

/* ---- order ---- */

static void results_stand_in_the_order_of_the_calls(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    assert_true(says("I look.") && calls("s__a", "{}") && calls("s__b", "{}"));
    ends();
    assert_int_equal(t.n_calls, 2); /* side by side */
    result(t.calls[1], "second", false);
    assert_int_equal(t.asked, 1);
    result(t.calls[0], "first", false);
    assert_int_equal(t.asked, 2);
    assert_result(0, "first");
    assert_result(1, "second");
    assert_string_equal(t.x->r->messages[2].parts[0].id.ptr, "call_0");
    answers("ok");
    assert_ended();
}

static void writes_are_alone(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    assert_true(calls("s__a", "{}") && calls("s__w", "{\"n\":1}") && calls("s__w", "{\"n\":2}") &&
                calls("s__b", "{}") && calls("s__a", "{\"n\":3}"));
    ends();
    static const struct {
        const char *tool; /* that runs alone until it is answered */
        size_t begun;
    } steps[] = {{"a", 1}, {"w", 2}, {"w", 3}, {"b", 5}, {"a", 5}};
    for (size_t i = 0; i < COUNT(steps); i++) {
        assert_int_equal(t.n_calls, steps[i].begun);
        assert_true(strv_eq_cstr(t.calls[i]->r.tool->name, steps[i].tool));
        result(t.calls[i], steps[i].tool, false);
    }
    assert_int_equal(t.asked, 2);
    answers("ok");
    assert_ended();
}

static void a_call_of_the_callers_own_tool_ends_it(void **state)
{
    struct llm_tool own = {.name = STRV("mine"), .description = STRV(""), .schema = STRV("{}")};
    (void)state;
    ask(LLM_OPENAI, false);
    agent_caller_gone(t.l); /* once more, with a tool of his own */
    fake_run(t.loop);
    t.r.tools = &own;
    t.r.n_tools = 1;
    t.l = agent_start(&t.env, &t.arena, &t.r, &t.caller, &sink, NULL);
    assert_true(offered("mine") && offered("s__a"));
    assert_true(calls("s__a", "{}") && calls("mine", "{}"));
    ends();
    assert_int_equal(t.n_calls, 0);
    assert_ended();
    assert_true(was_told("\"mine\"") && was_told("\"tool_calls\"") && !was_told("s__a"));
}

/* ---- limits ---- */

static void the_time_for_tools_ends(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    assert_true(calls("s__a", "{}") && calls("s__w", "{}"));
    ends();
    fake_advance(t.loop, 61000);
    assert_true(t.calls[0]->cancelled);
    assert_int_equal(t.n_calls, 1);
    assert_int_equal(t.asked, 2);
    assert_result(0, "time for tools is over");
    assert_result(1, "time for tools is over");
    assert_int_equal(t.x->r->n_tools, 0);
    answers("as far as I know");
    assert_ended();
}

static void a_call_that_comes_too_late_is_not_made(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    fake_advance(t.loop, 61000); /* the model thinks */
    wants("s__a", "{}");
    assert_int_equal(t.n_calls, 0);
    assert_result(0, "this call was not made");
    assert_int_equal(t.x->r->n_tools, 0);
    answers("ok");
    assert_ended();
}

static void an_answer_without_end_is_refused(void **state)
{
    static char text[65536];
    size_t n = 0;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    ask(LLM_OPENAI, false);
    while (says(text))
        assert_true(++n < 1000);
    assert_true(n >= 100); /* 8 MB */
    give_up();
    fake_run(t.loop);
    assert_int_equal(t.failed, 1);
}

static void a_small_window_makes_menu_and_results_small(void **state)
{
    static const struct {
        int64_t window;
        bool tools;
        size_t bytes;
    } rows[] = {{0, true, 16384}, {100000, true, 16384}, {4096, true, 3072}, {60, false, 256}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        t.window = rows[i].window;
        ask(LLM_OPENAI, false);
        assert_int_equal(offered("s__a"), rows[i].tools);
        if (rows[i].tools) {
            wants("s__a", "{}");
            assert_int_equal(t.calls[0]->r.outcome.bytes_max, rows[i].bytes);
            result(t.calls[0], "fine", false);
        }
        answers("ok");
        assert_ended();
    }
}

static void a_long_answer_is_left_its_room(void **state)
{
    (void)state;
    t.window = 180; /* a quarter for results, a quarter for an answer */
    ask(LLM_OPENAI, false);
    size_t with_quarter = t.x->r->n_tools;
    agent_caller_gone(t.l);
    fake_run(t.loop);
    llm_set(&t.r, LLM_P_MAX_TOKENS, 10);
    t.l = agent_start(&t.env, &t.arena, &t.r, &t.caller, &sink, NULL);
    assert_true(t.x->r->n_tools > with_quarter);
    agent_caller_gone(t.l);
    fake_run(t.loop);
}

/* ---- privacy ---- */

static void a_private_result_pins_what_follows(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    wants("s__a", "{}");
    assert_false(t.calls[0]->r.is_private);
    result(t.calls[0], "fine", true);
    assert_true(t.x->r->private_hint);
    wants("s__b", "{}");
    assert_true(t.calls[1]->r.is_private);
    result(t.calls[1], "fine", false);
    assert_true(t.x->r->private_hint);
    answers("ok");
    assert_ended();
}

static void answer_with_picture(struct agent_call *c)
{
    struct llm_part parts[] = {
        {.kind = LLM_PART_TEXT, .text = STRV("see")},
        {.kind = LLM_PART_IMAGE, .type = STRV("image/png"), .data = STRV("AAAA")}};
    struct agent_outcome outcome = {
        .part = {.kind = LLM_PART_RESULT, .parts = parts, .n_parts = COUNT(parts)}};
    c->over = true;
    t.running--;
    c->ops.done(c->arg, &outcome, false);
    fake_run(t.loop);
}

static void a_picture_goes_to_a_model_that_sees_and_is_private(void **state)
{
    (void)state;
    t.has = LLM_NEED_IMAGES;
    ask(LLM_OPENAI, false);
    wants("s__a", "{}");
    assert_true(t.calls[0]->r.outcome.images);
    assert_int_equal(t.x->r->needs & LLM_NEED_IMAGES, 0);
    answer_with_picture(t.calls[0]);
    assert_int_equal(t.x->r->needs & LLM_NEED_IMAGES, LLM_NEED_IMAGES);
    assert_true(t.x->r->private_hint);
    answers("a cat");
    assert_ended();
}

static void no_pictures_for_one_of_whom_nobody_knows_or_elsewhere(void **state)
{
    (void)state;
    ask(LLM_OPENAI, false);
    wants("s__a", "{}");
    assert_false(t.calls[0]->r.outcome.images);
    agent_caller_gone(t.l);
    fake_run(t.loop);
    t.has = LLM_NEED_IMAGES;
    t.provider.zone = ZONE_CLOUD;
    ask(LLM_OPENAI, false);
    wants("s__a", "{}");
    assert_false(t.calls[0]->r.outcome.images);
    agent_caller_gone(t.l);
    fake_run(t.loop);
}

/* ---- waiting for a person ---- */

static void wait_for_person(struct agent_call *c)
{
    struct agent_petition *p = &c->petition;
    *p = (struct agent_petition){
        .arguments = STRV("{\"n\":\n1}"), .effect = MCP_WRITE, .until_us = 1700000000000000};
    snprintf(p->id, sizeof p->id, "ap_1");
    snprintf(p->server, sizeof p->server, "s");
    snprintf(p->tool, sizeof p->tool, "w");
    c->ops.waits(c->arg, p);
}

static void a_caller_is_told_what_waits_where_there_is_a_place(void **state)
{
    static const struct {
        enum llm_dialect door;
        bool stream, text, json;
        const char *told;
    } rows[] = {
        {LLM_NATIVE, true, false, false,
         "\"approval\":{\"id\":\"ap_1\",\"server\":\"s\",\"tool\":\"w\",\"effect\":\"write\","
         "\"until\":"
         "\"2023-11-14T22:13:20Z\",\"arguments\":{\"n\":1}}}\n\n"},
        {LLM_NATIVE, false, true, false, NULL},
        {LLM_OPENAI, true, false, false, NULL},
        {LLM_OPENAI, true, true, true, NULL},
        {LLM_OPENAI, true, true, false, "\"\\n\\n[Until 2023"},
        {LLM_ANTHROPIC, true, true, false, "approve the call of s/w (write): ap_1]"},
        {LLM_OLLAMA, true, true, false, "approve the call of s/w (write): ap_1]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        t.conf.tell_approvals = rows[i].text;
        ask(rows[i].door, rows[i].stream);
        t.r.format = rows[i].json ? LLM_FORMAT_JSON : LLM_FORMAT_TEXT;
        assert_true(says("I write.") && calls("s__w", "{}"));
        ends();
        wait_for_person(t.calls[0]);
        size_t before = buf_len(&t.told);
        fake_advance(t.loop, 3000); /* told once */
        strv told = strv_from(buf_view(&t.told), before);
        if (rows[i].told == NULL)
            assert_int_equal(told.len, 0);
        else
            assert_true(was_told(rows[i].told));
        result(t.calls[0], "done", false);
        answers("swapped");
        assert_ended();
        assert_true(was_told("swapped"));
        assert_int_equal(times_told("ap_1"), rows[i].told != NULL);
    }
}

static void what_is_decided_already_is_not_told(void **state)
{
    (void)state;
    ask(LLM_NATIVE, true);
    wants("s__w", "{}");
    wait_for_person(t.calls[0]);
    t.calls[0]->petition.decision = AGENT_APPROVED;
    fake_advance(t.loop, 3000);
    assert_int_equal(t.begun, 0);
    result(t.calls[0], "done", false);
    answers("ok");
    assert_ended();
    assert_false(was_told("approval"));
}

/* ---- endings ---- */

static void who_looks_on_sees_each_call_and_its_result(void **state)
{
    (void)state;
    ask_watched();
    says("Let me see.");
    calls("s/w", "{\"x\":1}");
    wants("nothing_like_it", "{}");
    struct agent_call *c = t.calls[0];
    c->petition = (struct agent_petition){
        .id = "ap_1", .tool = "w", .decision = AGENT_PENDING, .arguments = STRV("{}")};
    c->ops.waits(c->arg, &c->petition);
    fake_advance(t.loop, 1000);
    c->petition.decision = AGENT_APPROVED;
    snprintf(c->petition.decided_by, sizeof c->petition.decided_by, "k_1");
    result(c, "done", false);
    answers("All is well.");
    assert_ended();
    static const char *const order[] = {"text Let me see.",
                                        "begun call_0 s/w -;",
                                        "begun call_1 nothing_like_it -;",
                                        "called call_1",
                                        "failed call_1",
                                        "called call_0 s/w s;{\"x\":1}",
                                        "waits call_0 w ap_1;",
                                        "decided call_0 approved k_1;",
                                        "result call_0 s/w done;",
                                        "All is well.",
                                        "end;"};
    buf_put_char(&t.told, '\0');
    const char *at = buf_view(&t.told).ptr;
    for (size_t i = 0; i < COUNT(order); i++) {
        at = strstr(at, order[i]);
        if (at == NULL)
            fail_msg("%s is not in its place in %s", order[i], buf_view(&t.told).ptr);
    }
    assert_int_equal(t.sums.cost_micro, 6);
    assert_int_equal(t.sums.saved_micro, 10);
    assert_int_equal(t.sums.usage.input, 20);
    assert_int_equal(t.latest.input, 10);
}

/* While a tool runs no question is asked: what is told is what the one before came to. */
static void what_it_has_come_to_is_known_at_any_time(void **state)
{
    static const struct {
        int64_t cost, saved, input, latest;
    } rows[] = {{3, 5, 10, 10}, {3, 5, 10, 10}, {6, 10, 20, 10}};
    (void)state;
    ask(LLM_NATIVE, true);
    for (size_t i = 0; i < COUNT(rows); i++) {
        sum_up();
        assert_int_equal(t.sums.cost_micro, rows[i].cost);
        assert_int_equal(t.sums.saved_micro, rows[i].saved);
        assert_int_equal(t.sums.usage.input, rows[i].input);
        assert_int_equal(t.latest.input, rows[i].latest);
        assert_true(t.sums.local);
        assert_int_equal(t.sums.window, 4096);
        if (i == 0)
            wants("s__w", "{}");
        else if (i == 1)
            result(t.calls[0], "done", false);
    }
    agent_caller_gone(t.l);
    fake_run(t.loop);
}

static void a_model_that_fails_later(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        ask(LLM_OPENAI, stream == 1);
        assert_true(says("I look.") && calls("s__a", "{}"));
        ends();
        result(t.calls[0], "fine", false);
        t.x->over = true;
        (t.x->sink->fail)(t.x->arg, t.x, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        fake_run(t.loop);
        assert_int_equal(t.failed, stream == 0);
        assert_int_equal(t.aborted, stream == 1);
        assert_int_equal(t.ended, 0);
        assert_false(was_told("[DONE]"));
    }
}

/* A whole story with every kind of step; `leave` = after so many steps the caller goes. */
static void play(enum llm_dialect door, bool stream, int leave)
{
    int step = 0;
    ask(door, stream);
    if (t.l == NULL)
        return;
#define STEP()                                                                                     \
    if (t.ended + t.failed + t.aborted > 0)                                                        \
        return;                                                                                    \
    sum_up();                                                                                      \
    if (step++ == leave) {                                                                         \
        agent_caller_gone(t.l);                                                                    \
        fake_run(t.loop);                                                                          \
        return;                                                                                    \
    }
    STEP() /* asked */
    if (!says("I look."))
        give_up();
    STEP() /* in the middle of an answer */
    if (!calls("s__a", "{}") || !calls("s__w", "{}") || !calls("s__nobody", "{}"))
        give_up();
    STEP() /* with open calls */
    if (!t.x->over) {
        bool ok = tell((struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS}) &&
                  tell((struct llm_event){.kind = LLM_EV_END});
        if (ok) {
            t.x->over = true;
            t.x->sink->end(t.x->arg);
            t.x->torn = true;
        } else {
            give_up();
        }
    }
    STEP() /* between the exchange and the calls */
    fake_run(t.loop);
    STEP() /* a call runs, another waits */
    if (t.n_calls > 0)
        result(t.calls[0], "fine", true);
    STEP() /* the second runs */
    if (t.n_calls > 1)
        wait_for_person(t.calls[1]);
    fake_advance(t.loop, 16000);
    STEP() /* a person is asked, a sign of life was given */
    if (t.n_calls > 1)
        result(t.calls[1], "done", false);
    STEP() /* asked again */
    if (!t.x->over)
        answers("that is all");
    fake_run(t.loop);
#undef STEP
}

static const enum llm_dialect doors[] = {LLM_OPENAI, LLM_ANTHROPIC, LLM_OLLAMA, LLM_NATIVE};

static void the_caller_may_leave_at_any_step(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2 * COUNT(doors); d++) {
        for (int leave = 0; leave < 8; leave++) {
            int64_t live = mem_live();
            size_t refs = atomic_load(&t.snapshot.refs);
            play(doors[d / 2], d % 2 == 1, leave);
            assert_int_equal(t.ended + t.failed + t.aborted, 0);
            assert_int_equal(t.running, 0);
            assert_int_equal(atomic_load(&t.snapshot.refs), refs);
            buf_fini(&t.told);
            assert_int_equal(mem_live(), live);
        }
        play(doors[d / 2], d % 2 == 1, -1);
        assert_ended();
        assert_int_equal(t.asked, 2);
        buf_fini(&t.told);
    }
}

/* However memory is refused: one end, nothing goes on, nothing stays. */
static void memory_may_be_refused_at_any_step(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2 * COUNT(doors); d++) {
        for (uint64_t nth = 1;; nth++) {
            int64_t live = mem_live();
            mem_fail_at(nth, false);
            play(doors[d / 2], d % 2 == 1, -1);
            bool done = mem_count() < nth;
            mem_fail_at(0, false);
            fake_run(t.loop);
            assert_int_equal(t.ended + t.failed + t.aborted, t.l != NULL);
            assert_int_equal(t.running, 0);
            assert_int_equal(atomic_load(&t.snapshot.refs), 1);
            buf_fini(&t.told);
            assert_int_equal(mem_live(), live);
            if (done)
                break;
            assert_true(nth < 2000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
        TEST(no_call_is_one_round),
        TEST(the_last_round_has_no_tools),
        TEST(the_third_identical_call_is_not_made),
        TEST(an_unknown_name_has_a_result),
        TEST(beyond_sixteen_there_is_a_sentence),
        TEST(results_stand_in_the_order_of_the_calls),
        TEST(writes_are_alone),
        TEST(a_call_of_the_callers_own_tool_ends_it),
        TEST(the_time_for_tools_ends),
        TEST(a_call_that_comes_too_late_is_not_made),
        TEST(an_answer_without_end_is_refused),
        TEST(a_small_window_makes_menu_and_results_small),
        TEST(a_long_answer_is_left_its_room),
        TEST(a_private_result_pins_what_follows),
        TEST(a_picture_goes_to_a_model_that_sees_and_is_private),
        TEST(no_pictures_for_one_of_whom_nobody_knows_or_elsewhere),
        TEST(a_caller_is_told_what_waits_where_there_is_a_place),
        TEST(what_is_decided_already_is_not_told),
        TEST(who_looks_on_sees_each_call_and_its_result),
        TEST(what_it_has_come_to_is_known_at_any_time),
        TEST(a_model_that_fails_later),
        TEST(the_caller_may_leave_at_any_step),
        TEST(memory_may_be_refused_at_any_step),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
