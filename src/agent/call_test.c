/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_test - what reaches a server of a call, and when nothing may: the gate, approvals that were given for another tool,
 * a client behind the call, cancelling at every stage, and refused memory. The hub is made up; detector, desk and audit
 * are the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../test/lib/fake_io.h"
#include "agent/agent.h"
#include "ledger/ledger.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CLEAN        "{\"q\":\"rules of sleep\"}"
#define PRIVATE      "{\"q\":\"SSN 219-09-9999\"}"

struct world {
    struct io_loop *loop;
    struct log log;
    struct snapshot snapshot;
    struct exchange_env exchange;
    struct mcp_conf conf;
    struct agent_env env;
    struct exchange_caller caller;
    struct arena arena;
    struct agent_guest guest;
    struct agent_call *call;
    enum audit_sunk audit_is;
    char record[2048]; /* the audit's latest */
    unsigned done;
    bool is_private, is_error;
    char text[512];
};

/* ---- the hub ---- */

static struct mcp_listed server;
static struct mcp_tool tool, present; /* as the call knows it, and as it is now */
static bool is_gone;                  /* there is none now */
static struct mcp_catalogue none = {.refs = 1},
                            catalogue = {.refs = 1, .tools = &present, .n_tools = 1};

struct mcp_call {
    bool live;
    char server[32], params[512], capabilities[128], log_level[32];
    bool may_leave, asks, listens;
    struct mcp_call_ops ops;
    void *arg;
};
static struct mcp_call sent;
static unsigned sendings, cancels;

struct mcp_catalogue *mcp_hub_catalogue(struct mcp_hub *h)
{
    (void)h;
    return mcp_catalogue_ref(is_gone ? &none : &catalogue);
}

#define COPY(to, text) snprintf(to, sizeof(to), STRV_FMT, STRV_ARG(text))

struct mcp_call *mcp_call(struct mcp_hub *h, struct io_loop *loop, const struct mcp_call_spec *spec,
                          const struct mcp_call_ops *ops, void *arg)
{
    (void)h;
    (void)loop;
    void *memory = mem_alloc(1); /* may be refused, as the real one's */
    if (memory == NULL)
        return NULL;
    mem_free(memory);
    sendings++;
    sent = (struct mcp_call){.live = true,
                             .ops = *ops,
                             .arg = arg,
                             .may_leave = spec->may_leave,
                             .asks = ops->ask != NULL,
                             .listens = ops->said != NULL};
    COPY(sent.server, strv_of(spec->server));
    COPY(sent.params, spec->params);
    COPY(sent.capabilities, spec->capabilities);
    COPY(sent.log_level, spec->log_level);
    return &sent;
}

void mcp_cancel(struct mcp_call *c)
{
    assert_true(c->live);
    c->live = false;
    cancels++;
}

static void answer(enum mcp_end end, const char *result, const char *text)
{
    struct mcp_answer a = {
        .end = end, .result = strv_of(result), .text = strv_of(text), .data = STRV("")};
    assert_true(sent.live);
    sent.live = false;
    sent.ops.done(sent.arg, &a);
}

/* ---- the world ---- */

static enum audit_sunk take_record(void *arg, strv record)
{
    struct world *w = arg;
    if (record.ptr != NULL && w->audit_is != AUDIT_SUNK_NO)
        COPY(w->record, record);
    return w->audit_is;
}

static int begin(void **state)
{
    struct err err = ERR_INIT;
    struct world *w = calloc(1, sizeof *w);
    const struct privacy_conf conf = {.data = getenv("ROUTER_DATA")};
    if (w == NULL)
        return 1;
    w->loop = io_loop_new(&err);
    log_init(&w->log, -1, LOG_OFF);
    atomic_init(&w->snapshot.refs, 1);
    w->snapshot.privacy = privacy_new(&conf, &err);
    w->audit_is = AUDIT_SUNK_YES;
    w->conf.approval_ms = 60000;
    w->exchange = (struct exchange_env){.loop = w->loop,
                                        .log = &w->log,
                                        .metrics = metrics_new(),
                                        .snapshot = &w->snapshot,
                                        .audit = audit_open_sink(take_record, w),
                                        .privacy_scratch = privacy_scratch_new()};
    const struct agent_desk_env desk = {w->loop, NULL, &w->log};
    w->env = (struct agent_env){.exchange = &w->exchange,
                                .hub = (struct mcp_hub *)(void *)w, /* never looked into */
                                .desk = agent_desk_new(&desk),
                                .conf = &w->conf};
    w->caller = (struct exchange_caller){.request_id = STRV("r"), .record_id = STRV("r")};
    arena_init(&w->arena, 4096, 1 << 24);
    server = (struct mcp_listed){.name = "s", .local = true, .state = MCP_READY};
    tool = (struct mcp_tool){.server = &server,
                             .name = STRV("fix"),
                             .id = "s__fix",
                             .title = STRV(""),
                             .description = STRV("Fixes."),
                             .schema = STRV("{\"type\":\"object\"}"),
                             .output_schema = STRV(""),
                             .raw = STRV("{}"),
                             .note = STRV(""),
                             .effect = MCP_READ,
                             .data = MCP_DATA_NONE,
                             .approval = MCP_AUTO};
    present = tool;
    is_gone = false;
    sendings = cancels = 0;
    memset(&sent, 0, sizeof sent);
    *state = w;
    return privacy_ready(w->snapshot.privacy) && w->env.desk != NULL ? 0 : 1;
}

static int end(void **state)
{
    struct world *w = *state;
    agent_desk_free(w->env.desk);
    arena_fini(&w->arena);
    fake_run(w->loop);
    audit_close(w->exchange.audit);
    privacy_scratch_free(w->exchange.privacy_scratch);
    privacy_unref(w->snapshot.privacy);
    metrics_free(w->exchange.metrics);
    size_t left = fake_end(w->loop);
    log_fini(&w->log);
    free(w);
    return left == 0 && mem_live() == 0 ? 0 : 1;
}

static void on_done(void *arg, const struct agent_outcome *o, bool is_private)
{
    struct world *w = arg;
    w->done++;
    w->call = NULL;
    w->is_private = is_private;
    w->is_error = o->is_error;
    w->text[0] = '\0';
    if (o->part.n_parts > 0)
        COPY(w->text, o->part.parts[0].text);
}
static const struct agent_call_ops ops = {on_done, NULL, NULL};

/* Begun, and as far as it goes without anybody's help. */
static void ask(struct world *w, const char *arguments, bool is_private, bool with_guest)
{
    struct agent_request r = {.tool = &tool,
                              .arguments = strv_of(arguments),
                              .caller = &w->caller,
                              .session = STRV_NONE,
                              .is_private = is_private,
                              .outcome = {.bytes_max = 4096},
                              .guest = with_guest ? &w->guest : NULL};
    w->done = 0;
    w->call = agent_call(&w->env, &w->arena, &r, &ops, w);
    if (w->call != NULL)
        fake_run(w->loop);
}

static void decide(struct world *w, enum agent_decision decision)
{
    struct buf b;
    struct json doc;
    buf_init(&b, 65536);
    agent_desk_json(w->env.desk, &b);
    assert_true(json_read(&doc, buf_view(&b), &w->arena, 0, &ERR_INIT));
    yyjson_val *all = json_get(doc.root, "approvals");
    strv id = json_get_str(yyjson_arr_get_last(all), "id");
    assert_true(agent_desk_decide(w->env.desk, id, decision, false, "k_boss", &ERR_INIT));
    buf_fini(&b);
    fake_run(w->loop);
}

/* ---- what goes to the server ---- */

static void on_raw(void *arg, const struct mcp_answer *a)
{
    (void)arg;
    (void)a;
}

static void on_said(void *arg, strv params)
{
    (void)arg;
    (void)params;
}

static void on_ask(void *arg, struct mcp_question *q, strv method, strv params)
{
    (void)arg;
    (void)q;
    (void)method;
    (void)params;
}

static void talkative(struct world *w)
{
    w->guest = (struct agent_guest){
        .capabilities = STRV("{\"elicitation\":{},\"experimental\":{\"x\":\"SSN 219-09-9999\"}}"),
        .log_level = STRV("SSN 219-09-9999"),
        .inputs = STRV("\"inputResponses\":{\"who\":{\"content\":{\"n\":\"SSN 219-09-9999\"}}}"),
        .answer = on_raw,
        .said = on_said,
        .ask = on_ask};
}

static void a_server_at_home_hears_the_client_behind_the_call(void **state)
{
    struct world *w = *state;
    talkative(w);
    ask(w, PRIVATE, true, true);
    assert_string_equal(sent.params, "{\"name\":\"fix\",\"arguments\":" PRIVATE
                                     ",\"inputResponses\":{\"who\":{\"content\":{\"n\":\"SSN "
                                     "219-09-9999\"}}}}");
    assert_true(sent.asks && sent.listens && !sent.may_leave);
    assert_true(strlen(sent.capabilities) > 0 && strlen(sent.log_level) > 0);
    answer(MCP_OK, "{\"content\":[]}", "");
    assert_int_equal(w->done, 1);
}

static void a_server_outside_gets_the_arguments_alone(void **state)
{
    struct world *w = *state;
    server.local = false;
    talkative(w);
    ask(w, CLEAN, false, true);
    assert_int_equal(sendings, 1);
    assert_string_equal(sent.params, "{\"name\":\"fix\",\"arguments\":" CLEAN "}");
    assert_string_equal(sent.capabilities, "");
    assert_string_equal(sent.log_level, "");
    assert_false(sent.asks || sent.listens);
    assert_true(sent.may_leave);
    assert_non_null(strstr(w->record, "tool-intent"));
    answer(MCP_OK, "{\"content\":[]}", "");
    assert_int_equal(w->done, 1);
}

static void nothing_private_leaves(void **state)
{
    static const struct {
        const char *arguments;
        bool is_private, airgap, local_mode, no_detector, no_scratch, no_audit, key_private;
    } cases[] = {
        {PRIVATE, false, false, false, false, false, false, false},
        {"{\"q\":\"S\\u0053N 219\\u002d09-9999\"}", false, false, false, false, false, false,
         false},
        {"{\"SSN 219-09-9999\":1}", false, false, false, false, false, false, false},
        {CLEAN, true, false, false, false, false, false, false},
        {CLEAN, false, true, false, false, false, false, false},
        {CLEAN, false, false, true, false, false, false, false},
        {CLEAN, false, false, false, true, false, false, false},
        {CLEAN, false, false, false, false, true, false, false},
        {CLEAN, false, false, false, false, false, true, false},
        {CLEAN, false, false, false, false, false, false, true},
    };
    struct world *w = *state;
    struct privacy *detector = w->snapshot.privacy;
    struct privacy_scratch *scratch = w->exchange.privacy_scratch;
    struct policy_key key = {.id = "k_1", .rules = {.force_private = true}};
    server.local = false;
    for (size_t i = 0; i < COUNT(cases); i++) {
        w->snapshot.policy.airgap = cases[i].airgap;
        w->snapshot.policy.mode = cases[i].local_mode ? LLM_MODE_LOCAL : LLM_MODE_CLOUD;
        w->snapshot.privacy = cases[i].no_detector ? NULL : detector;
        w->exchange.privacy_scratch = cases[i].no_scratch ? NULL : scratch;
        w->audit_is = cases[i].no_audit ? AUDIT_SUNK_NO : AUDIT_SUNK_YES;
        w->caller.holder = cases[i].key_private ? &key : NULL;
        ask(w, cases[i].arguments, cases[i].is_private, false);
        if (sendings > 0 || w->done != 1 || !w->is_error)
            fail_msg("case %zu: %u sent, %u done", i, sendings, w->done);
    }
    w->snapshot.privacy = detector;
    w->exchange.privacy_scratch = scratch;
}

/* It waits for its record: what was clean when it was begun is looked at again. */
static void what_turns_private_meanwhile_does_not_leave(void **state)
{
    struct world *w = *state;
    server.local = false;
    w->audit_is = AUDIT_SUNK_LATER;
    ask(w, CLEAN, false, false);
    assert_int_equal(sendings, 0);
    w->snapshot.policy.airgap = true;
    w->audit_is = AUDIT_SUNK_YES;
    audit_sink_tell(w->exchange.audit, true);
    fake_run(w->loop);
    assert_int_equal(sendings, 0);
    assert_int_equal(w->done, 1);
}

/* ---- approval ---- */

static void an_approval_is_for_the_tool_that_was_shown(void **state)
{
    static const struct {
        bool digest, gone, refused, graver;
        unsigned sendings;
    } cases[] = {{false, false, false, false, 1},
                 {true, false, false, false, 0},
                 {false, true, false, false, 0},
                 {false, false, true, false, 0},
                 {false, false, false, true, 0}};
    struct world *w = *state;
    tool.approval = MCP_ASK;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char arguments[32];
        present = tool;
        is_gone = false;
        sendings = 0;
        snprintf(arguments, sizeof arguments, "{\"n\":%zu}", i);
        ask(w, arguments, false, false);
        assert_int_equal(sendings, 0);
        assert_int_equal(w->done, 0);
        present.digest[0] ^= cases[i].digest;
        present.refused = cases[i].refused ? "off" : NULL;
        present.approval = cases[i].graver ? MCP_ASK_ALWAYS : MCP_ASK;
        is_gone = cases[i].gone;
        decide(w, AGENT_APPROVED);
        if (sendings != cases[i].sendings || (sendings == 0 && !w->is_error))
            fail_msg("case %zu: %u sent", i, sendings);
        if (sendings > 0)
            answer(MCP_OK, "{\"content\":[]}", "");
        assert_int_equal(w->done, 1);
    }
}

static void a_call_that_waits_does_not_outlive_its_key(void **state)
{
    const struct policy_key key = {.id = "k_1"};
    struct policy_keys *keys = policy_keys_new(&key, 1, NULL);
    struct world *w = *state;
    tool.approval = MCP_ASK;
    present = tool;
    w->caller.holder = &keys->items[0];
    ask(w, "{}", false, false);
    assert_int_equal(w->done, 0);
    struct policy_keys *none_left = policy_keys_new(NULL, 0, keys);
    decide(w, AGENT_APPROVED);
    assert_int_equal(sendings, 0);
    assert_int_equal(w->done, 1);
    assert_true(w->is_error);
    assert_non_null(strstr(w->text, "revoked"));
    policy_keys_unref(none_left);
    policy_keys_unref(keys);
}

static void a_tool_that_changes_is_called_where_nobody_was_asked(void **state)
{
    struct world *w = *state;
    present.digest[0] = 1;
    ask(w, "{}", false, false);
    assert_int_equal(sendings, 1);
    answer(MCP_OK, "{\"content\":[]}", "");
    is_gone = true; /* the hub says so in its own words */
    ask(w, "{}", false, false);
    assert_int_equal(sendings, 2);
    answer(MCP_GONE, "", "it was taken out");
    assert_non_null(strstr(w->text, "taken out"));
}

/* {"dry_run":true,"dry_run":false}: one reader takes the first, another the last. */
static void a_name_that_stands_twice_gets_nowhere(void **state)
{
    static const char *const arguments[] = {
        "{\"dry_run\":true,\"dry_run\":false}", "{\"dry_run\":true,\"dry\\u005frun\":false}",
        "{\"a\":[{\"b\":1,\"c\":2,\"b\":1}]}", "{\"n\":\"1\",\"dry_run\":true,\"dry_run\":false}"};
    struct world *w = *state;
    tool.schema = STRV("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}");
    tool.note = STRV("{\"approval_when\":[{\"argument\":\"dry_run\",\"is\":[false],"
                     "\"approval\":\"ask-always\"}]}");
    for (size_t i = 0; i < COUNT(arguments); i++) {
        ask(w, arguments[i], false, false);
        assert_int_equal(sendings, 0);
        assert_int_equal(w->done, 1);
        assert_non_null(strstr(w->text, "twice"));
    }
    ask(w, "{\"dry_run\":true,\"Dry_Run\":false}", false, false); /* a name in any case */
    assert_int_equal(sendings, 0);
    assert_int_equal(w->done, 0);
    decide(w, AGENT_DENIED);
    assert_int_equal(w->done, 1);
}

/* ---- what a result is ---- */

static void results_pin_the_conversation(void **state)
{
    static const struct {
        enum mcp_data data;
        enum mcp_end end;
        const char *result;
        bool is_private;
    } cases[] = {
        {MCP_DATA_NONE, MCP_OK, "{\"content\":[{\"type\":\"text\",\"text\":\"eight hours\"}]}",
         false},
        {MCP_DATA_NONE, MCP_OK, "{\"content\":[{\"type\":\"text\",\"text\":\"SSN 219-09-9999\"}]}",
         true},
        {MCP_DATA_NONE, MCP_OK, "{\"structuredContent\":{\"n\":\"SSN 219-09-9999\"}}", true},
        {MCP_DATA_NONE, MCP_OK, "no JSON: SSN 219-09-9999", true},
        {MCP_DATA_STAFF, MCP_OK, "{\"content\":[]}", true},
        {MCP_DATA_HEALTH, MCP_REFUSED, "", true},
        {MCP_DATA_HEALTH, MCP_LATE, "", false}, /* nothing was said */
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        tool.data = cases[i].data;
        ask(w, "{}", false, false);
        answer(cases[i].end, cases[i].result, "why");
        if (w->done != 1 || w->is_private != cases[i].is_private)
            fail_msg("case %zu", i);
    }
}

/* ---- stages ---- */

static void a_call_can_be_cancelled_at_each_stage(void **state)
{
    struct world *w = *state;
    struct agent_request r = {.tool = &tool, .arguments = STRV("{}"), .caller = &w->caller};
    w->call = agent_call(&w->env, &w->arena, &r, &ops, w); /* before it has begun */
    agent_call_cancel(w->call);
    fake_run(w->loop);
    tool.approval = MCP_ASK; /* a person is asked */
    ask(w, "{}", false, false);
    agent_call_cancel(w->call);
    ask(w, "{}", false, false); /* he has decided, and it was not told yet */
    struct buf b;
    struct json doc;
    buf_init(&b, 65536);
    agent_desk_json(w->env.desk, &b);
    assert_true(json_read(&doc, buf_view(&b), &w->arena, 0, &ERR_INIT));
    strv id = json_get_str(yyjson_arr_get_last(json_get(doc.root, "approvals")), "id");
    assert_true(agent_desk_decide(w->env.desk, id, AGENT_APPROVED, false, "k_boss", &ERR_INIT));
    buf_fini(&b);
    agent_call_cancel(w->call);
    fake_run(w->loop);
    tool.approval = MCP_AUTO;
    server.local = false;
    w->audit_is = AUDIT_SUNK_LATER; /* its record is on the way */
    ask(w, "{}", false, false);
    agent_call_cancel(w->call);
    audit_sink_tell(w->exchange.audit, true);
    fake_run(w->loop);
    assert_int_equal(sendings, 0);
    w->audit_is = AUDIT_SUNK_YES;
    ask(w, "{}", false, false); /* it was sent */
    assert_int_equal(sendings, 1);
    agent_call_cancel(w->call);
    assert_int_equal(cancels, 1);
    assert_int_equal(w->done, 0);
}

static void one_call(struct world *w, bool local, uint64_t n)
{
    arena_init(&w->arena, 512, 1 << 24);
    server.local = local;
    sent.live = false;
    mem_fail_at(n, false);
    ask(w, "{\"a\":\"x\",\"b\":[1,2,3]}", false, true);
    if (sent.live)
        answer(MCP_OK, "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"a\\\":1}\"}]}", "");
    mem_fail_at(0, false);
    fake_run(w->loop);
    if (w->done != 1 && w->call != NULL)
        fail_msg("%s, allocation %u: %u ends", local ? "home" : "far", (unsigned)n, w->done);
    arena_fini(&w->arena);
}

static void every_call_ends_once_when_memory_is_refused(void **state)
{
    struct world *w = *state;
    talkative(w);
    arena_fini(&w->arena);
    one_call(w, false, 0); /* what is kept for the next one is there */
    int64_t live = mem_live();
    for (uint64_t n = 1; n < 60; n++) {
        one_call(w, true, n);
        one_call(w, false, n);
        assert_int_equal(mem_live(), live);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_at_home_hears_the_client_behind_the_call),
        TEST(a_server_outside_gets_the_arguments_alone),
        TEST(nothing_private_leaves),
        TEST(what_turns_private_meanwhile_does_not_leave),
        TEST(an_approval_is_for_the_tool_that_was_shown),
        TEST(a_call_that_waits_does_not_outlive_its_key),
        TEST(a_tool_that_changes_is_called_where_nobody_was_asked),
        TEST(a_name_that_stands_twice_gets_nowhere),
        TEST(results_pin_the_conversation),
        TEST(a_call_can_be_cancelled_at_each_stage),
        TEST(every_call_ends_once_when_memory_is_refused),
    };
    return cmocka_run_group_tests_name("agent/call", tests, NULL, NULL);
}
