/* SPDX-License-Identifier: Apache-2.0 */
/* passed: what goes to a configured server and what comes back, in every pairing of eras; questions, states, changes. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/testing.h"

#define LEGACY(method, more)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"" method "\",\"params\":{" more "}}"
#define FORM                                                                                       \
    "{\"method\":\"elicitation/"                                                                   \
    "create\",\"params\":{\"message\":\"Name?\",\"requestedSchema\":{}}}"
#define ASKS                                                                                       \
    "{\"resultType\":\"input_required\",\"inputRequests\":{\"who\":" FORM                          \
    "},\"requestState\":\"s/1\"}"

/* ---- whole results ---- */

static const struct {
    const char *result, *modern, *legacy; /* what is in the answer */
} results[] = {
    {"{\"content\":[]}", "\"content\":[]", "\"result\":{\"content\":[]}}"},
    {"{ \"content\" : [ {\"type\":\"text\",\"text\":\"caf\\u00e9\"} ],\n \"isError\":true}",
     "\"content\":[ {\"type\":\"text\",\"text\":\"caf\\u00e9\"} ],\"isError\":true",
     "\"isError\":true}"},
    {"{\"resultType\":\"complete\",\"content\":[],\"ttlMs\":5,\"cacheScope\":\"public\"}",
     "\"resultType\":\"complete\"", "\"result\":{\"content\":[]}}"},
    {"{\"content\":[],\"structuredContent\":{\"n\":1.0}}", "\"structuredContent\":{\"n\":1.0}",
     "\"structuredContent\":{\"n\":1.0}"},
    {"{\"content\":[],\"structuredContent\":[1]}", "\"structuredContent\":[1]",
     "\"result\":{\"content\":[]}}"},
    {"{\"content\":[],\"_meta\":{\"x/y\":[1],\"io.modelcontextprotocol/"
     "serverInfo\":{\"name\":\"theirs\"}}}",
     "\"name\":\"llm-router\"", "\"_meta\":{\"x/y\":[1]},\"content\":[]"},
    {"{\"content\":[],\"new\":{\"deep\":[null]}}", "\"new\":{\"deep\":[null]}",
     "\"new\":{\"deep\":[null]}"},
};

static void test_results_come_whole(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(results); i++) {
        modern_send(&w, &c, "tools/call", "\"name\":\"ask\",\"arguments\":{\"a\": 1}", "{}", NULL);
        assert_string_equal(tool_call.tool, "ask");
        assert_string_equal(tool_call.arguments, "{\"a\": 1}");
        tool_answer(MCP_OK, results[i].result, 0, "", "");
        expect_in(c.said.answer, results[i].modern);
        expect_in(c.said.answer, "\"resultType\":\"complete\"");
        expect_lacks(c.said.answer, "theirs");
        expect_lacks(c.said.answer, "ttlMs");
        client_end(&c);
        client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"old__add\""), NULL, NULL);
        assert_string_equal(tool_call.arguments, "{}");
        tool_answer(MCP_OK, results[i].result, 0, "", "");
        expect_in(c.said.answer, results[i].legacy);
        expect_lacks(c.said.answer, "resultType");
        client_end(&c);
    }
    world_end(&w);
}

static const struct {
    enum mcp_end end;
    int code;
    const char *modern, *legacy;
    int status; /* modern */
} failures[] = {
    {MCP_REFUSED, -32602, "\"code\":-32602,\"message\":\"why\",\"data\":{\"d\":1}",
     "\"code\":-32602,", 200},
    {MCP_REFUSED, -32021, "\"code\":-32021,", "\"code\":-32603,", 400},
    {MCP_REFUSED, -32020, "\"code\":-32603,", "\"code\":-32603,", 200},
    {MCP_REFUSED, -32022, "\"code\":-32603,", "\"code\":-32603,", 200},
    {MCP_REFUSED, -32601, "\"code\":-32603,", "\"code\":-32603,", 200},
    {MCP_REFUSED, -32002, "\"code\":-32602,", "\"code\":-32002,", 200},
    {MCP_REFUSED, -32042, "\"code\":-32603,", "\"code\":-32042,", 200},
    {MCP_REFUSED, 17, "\"code\":17,", "\"code\":17,", 200},
    {MCP_GONE, 0, "\"text\":\"outcome\"}],\"isError\":true", "\"isError\":true", 200},
    {MCP_LATE, 0, "\"isError\":true", "\"isError\":true", 200},
    {MCP_BAD, 0, "\"isError\":true", "\"isError\":true", 200},
    {MCP_MEMORY, 0, "\"isError\":true", "\"isError\":true", 200},
};

static void test_failures_are_told(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(failures); i++) {
        modern_send(&w, &c, "tools/call", "\"name\":\"ask\"", "{}", NULL);
        tool_answer(failures[i].end, "", failures[i].code, "why", "{\"d\":1}");
        expect_in(c.said.answer, failures[i].modern);
        assert_int_equal(c.said.status, failures[i].status);
        client_end(&c);
        client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\""), NULL, NULL);
        tool_answer(failures[i].end, "", failures[i].code, "why", "{\"d\":1}");
        expect_in(c.said.answer, failures[i].legacy);
        assert_int_equal(c.said.status, 200);
        client_end(&c);
    }
    static const char *const bad[] = {
        "[]",
        "7",
        "{",
        "{\"resultType\":\"task\"}",
        "{\"resultType\":\"input_required\",\"inputRequests\":[]}",
        "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{\"method\":\"x\"}}}",
        "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":7}}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        modern_send(&w, &c, "tools/call", "\"name\":\"ask\"", "{}", NULL);
        tool_answer(MCP_OK, bad[i], 0, "", "");
        expect_in(c.said.answer, "\"isError\":true");
        client_end(&c);
    }
    world_end(&w);
}

/* ---- what is no tool ---- */

static void test_reads_prompts_and_completions(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "resources/read", "\"uri\":\"t://1/data\"", "{}", NULL);
    assert_string_equal(hub_call.server, "new");
    assert_string_equal(hub_call.params, "{\"uri\":\"t://1/data\"}");
    hub_answer(MCP_OK, "{\"contents\":[],\"ttlMs\":77,\"cacheScope\":\"public\"}", 0, "", "");
    expect_in(c.said.answer, "\"contents\":[],\"ttlMs\":77,\"cacheScope\":\"private\"");
    client_end(&c);
    client_send(w.g, &c, LEGACY("resources/read", "\"uri\":\"a://1\""), NULL, NULL);
    assert_string_equal(hub_call.server, "old"); /* the first that has it */
    hub_answer(MCP_GONE, "", 0, "it is down", "");
    expect_in(c.said.answer, "\"code\":-32603,\"message\":\"it is down\"");
    client_end(&c);
    client_send(w.g, &c, LEGACY("prompts/get", "\"name\":\"old__p\",\"arguments\":{\"x\":\"1\"}"),
                NULL, NULL);
    assert_string_equal(hub_call.params, "{\"name\":\"p\",\"arguments\":{\"x\":\"1\"}}");
    hub_answer(MCP_REFUSED, "", -32602, "no", "");
    expect_in(c.said.answer, "\"code\":-32602,\"message\":\"no\"");
    client_end(&c);
    client_send(w.g, &c,
                LEGACY("completion/complete", "\"ref\":{\"type\":\"ref/"
                                              "prompt\",\"name\":\"old__p\"},\"argument\":{"
                                              "\"name\":\"x\",\"value\":\"1\"},\"context\":{}"),
                NULL, NULL);
    assert_string_equal(hub_call.method, "completion/complete");
    assert_string_equal(
        hub_call.params,
        "{\"ref\":{\"type\":\"ref/"
        "prompt\",\"name\":\"p\"},\"argument\":{\"name\":\"x\",\"value\":\"1\"},\"context\":{}}");
    hub_answer(MCP_OK, "{\"completion\":{\"values\":[\"1\"]}}", 0, "", "");
    expect_in(c.said.answer, "\"values\":[\"1\"]");
    client_end(&c);
    client_send(
        w.g, &c,
        LEGACY("completion/complete",
               "\"ref\":{\"type\":\"ref/resource\",\"uri\":\"t://{id}/data\"},\"argument\":{}"),
        NULL, NULL);
    expect_in(c.said.answer, "\"values\":[]"); /* its server has none */
    client_end(&c);
    world_end(&w);
}

/* ---- meanwhile ---- */

static void test_progress_and_logs_go_to_who_wants_them(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    for (int wants = 0; wants < 2; wants++) {
        modern_send(
            &w, &c, "tools/call", "\"name\":\"ask\"",
            wants ? "{},\"progressToken\":\"t\",\"io.modelcontextprotocol/logLevel\":\"warning\""
                  : "{}",
            NULL);
        assert_string_equal(tool_call.log_level, wants ? "warning" : "");
        tool_call.ops->progress(tool_call.arg, 0, 100, STRV_NONE);
        fake_advance(w.loop, 50);
        tool_call.ops->progress(tool_call.arg, 50, -1, STRV("half"));
        tool_call.ops->progress(tool_call.arg, 50, -1, STRV("again")); /* it does not rise */
        tool_call.guest->said(tool_call.arg, STRV("{\"level\":\"info\",\"data\":1}"));
        tool_call.guest->said(tool_call.arg, STRV("{\"level\":\"error\",\"data\":2}"));
        tool_call.guest->said(tool_call.arg, STRV("{\"level\":\"odd\"}"));
        tool_call.guest->said(tool_call.arg, STRV("nonsense"));
        assert_int_equal(c.said.n, wants ? 3 : 0);
        if (wants) {
            assert_string_equal(
                c.said.messages[0],
                "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "progress\",\"params\":{\"progressToken\":\"t\",\"progress\":0,\"total\":100}}");
            expect_in(c.said.messages[1], "\"progress\":50,\"message\":\"half\"");
            assert_string_equal(c.said.messages[2],
                                "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                                "message\",\"params\":{\"level\":\"error\",\"data\":2}}");
        }
        tool_answer(MCP_OK, "{\"content\":[]}", 0, "", "");
        client_end(&c);
    }
    world_end(&w);
}

static void test_hints_of_the_head_tighten(void **state)
{
    static const struct {
        const char *headers[3];
        int is_private; /* -1 = refused */
    } cases[] = {{{NULL}, 0},
                 {{"X-LLM-Sensitivity: private", NULL}, 1},
                 {{"X-LLM-Sensitivity: normal", "x-llm-sensitivity: secret", NULL}, 1},
                 {{"X-LLM-Mode: local", NULL}, 1},
                 {{"X-LLM-Mode: cloud", "X-LLM-Mode: local", NULL}, 1},
                 {{"X-LLM-Task: privacy_sensitive", NULL}, 1},
                 {{"X-LLM-Mode: cloud", NULL}, 0},
                 {{"X-LLM-Mode: far", NULL}, -1}};
    struct policy_key key = {.id = "k_1", .rules = {.force_private = true}};
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        tool_calls = 0;
        client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"far__ask\""), cases[i].headers, NULL);
        if (tool_calls != (cases[i].is_private >= 0) ||
            (tool_calls > 0 && tool_call.is_private != cases[i].is_private))
            fail_msg("case %zu: %u calls, private %d", i, tool_calls, tool_call.is_private);
        client_end(&c);
    }
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"far__ask\""), NULL, &key);
    assert_true(tool_call.is_private);
    client_end(&c);
    world_end(&w);
}

/* A server that talks without end costs no more than what it says now. */
static void test_talk_is_not_kept(void **state)
{
    static char said[4000];
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    snprintf(said, sizeof said, "{\"level\":\"debug\",\"data\":\"%03000d\"}", 0);
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\""), NULL, NULL);
    tool_call.guest->said(tool_call.arg, strv_of(said));
    int64_t live = mem_live();
    for (size_t i = 0; i < 1000; i++)
        tool_call.guest->said(tool_call.arg, strv_of(said));
    assert_int_equal(mem_live(), live);
    client_end(&c);
    world_end(&w);
}

static void test_who_leaves_cancels(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "tools/call", "\"name\":\"ask\"", "{}", NULL);
    gateway_gone(c.call);
    assert_int_equal(cancels, 1);
    arena_fini(&c.arena);
    modern_send(&w, &c, "resources/read", "\"uri\":\"a://1\"", "{}", NULL);
    gateway_gone(c.call);
    assert_int_equal(cancels, 2);
    arena_fini(&c.arena);
    world_end(&w);
}

/* ---- modern client, modern server ---- */

/* The state that stands in an answer of ours. */
static void sealed_state(const char *answer, char out[1024])
{
    const char *at = strstr(answer, "\"requestState\":\"");
    assert_non_null(at);
    at += strlen("\"requestState\":\"");
    size_t n = strcspn(at, "\"");
    assert_true(n < 1024);
    memcpy(out, at, n);
    out[n] = '\0';
}

static const char again[] =
    "\"name\":\"ask\",\"arguments\":{ \"n\" : 1 "
    "},\"inputResponses\":{\"who\":{\"action\":\"accept\"}},\"requestState\":\"%s\"";

static void test_states_come_back_signed(void **state)
{
    struct world w;
    struct client c;
    struct policy_key key = {.id = "k_1"}, other = {.id = "k_2"};
    char sealed[1024], params[2048];
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "tools/call", "\"name\":\"ask\",\"arguments\":{\"n\":1}",
                "{\"elicitation\":{}}", &key);
    assert_string_equal(tool_call.capabilities, "{\"elicitation\":{}}");
    tool_answer(MCP_OK, ASKS, 0, "", "");
    expect_in(c.said.answer, "\"resultType\":\"input_required\"");
    expect_in(c.said.answer, "\"inputRequests\":{\"who\":" FORM "}");
    sealed_state(c.said.answer, sealed);
    client_end(&c);

    snprintf(params, sizeof params, again, sealed);
    modern_send(&w, &c, "tools/call", params, "{\"elicitation\":{}}", &key);
    assert_string_equal(
        tool_call.inputs,
        "\"inputResponses\":{\"who\":{\"action\":\"accept\"}},\"requestState\":\"s/1\"");
    tool_answer(MCP_OK, "{\"content\":[]}", 0, "", "");
    client_end(&c);

    modern_send(&w, &c, "tools/call", params, "{}", &other); /* another's */
    expect_in(c.said.answer, "-32602");
    client_end(&c);
    for (size_t i = 0; sealed[i] != '\0'; i++) { /* each character counts */
        sealed[i] ^= 1;
        if (sealed[i] != '"' && sealed[i] != '\\' && sealed[i] >= ' ') {
            snprintf(params, sizeof params, again, sealed);
            modern_send(&w, &c, "tools/call", params, "{}", &key);
            expect_in(c.said.answer, "-32602");
            client_end(&c);
        }
        sealed[i] ^= 1;
    }
    static const char *const wrong[] = {
        "\"name\":\"ask\",\"arguments\":{\"n\":2},\"requestState\":\"%s\"", /* another call */
        "\"name\":\"marked\",\"arguments\":{\"n\":1},\"requestState\":\"%s\"",
        "\"name\":\"ask\",\"arguments\":{\"n\":1},\"requestState\":\"%s-TAMPERED\"",
        "\"name\":\"ask\",\"arguments\":{\"n\":1},\"requestState\":7,\"x\":\"%s\"",
        "\"name\":\"ask\",\"arguments\":{\"n\":1},\"inputResponses\":null,\"x\":\"%s\"",
        "\"name\":\"ask\",\"arguments\":{\"n\":1},\"inputResponses\":[],\"x\":\"%s\"",
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(params, sizeof params, wrong[i], sealed);
#pragma GCC diagnostic pop
        modern_send(&w, &c, "tools/call", params, "{}", &key);
        expect_in(c.said.answer, "-32602");
        client_end(&c);
    }
    fake_advance(w.loop, 11 * 60 * 1000);
    snprintf(params, sizeof params, again, sealed);
    modern_send(&w, &c, "tools/call", params, "{}", &key);
    expect_in(c.said.answer, "too old");
    client_end(&c);
    world_end(&w);
}

static void test_only_what_was_declared_is_asked(void **state)
{
    static const struct {
        const char *method, *params, *capabilities, *required;
    } cases[] = {
        {"elicitation/create", "{}", "{}", "{\"elicitation\":{}}"},
        {"elicitation/create", "{}", "{\"elicitation\":{\"url\":{}}}", "{\"elicitation\":{}}"},
        {"elicitation/create", "{\"mode\":\"url\"}", "{\"elicitation\":{}}",
         "{\"elicitation\":{\"url\":{}}}"},
        {"elicitation/create", "{\"mode\":\"form\"}", "{\"elicitation\":{\"form\":{}}}", NULL},
        {"elicitation/create", "{\"mode\":\"url\"}", "{\"elicitation\":{\"url\":{}}}", NULL},
        {"sampling/createMessage", "{}", "{\"elicitation\":{}}", "{\"sampling\":{}}"},
        {"sampling/createMessage", "{}", "{\"sampling\":{}}", NULL},
        {"roots/list", "{}", "{}", "{\"roots\":{}}"},
        {"roots/list", "{}", "{\"roots\":{}}", NULL},
    };
    struct world w;
    struct client c;
    char result[512], expected[256];
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        modern_send(&w, &c, "tools/call", "\"name\":\"ask\"", cases[i].capabilities, NULL);
        snprintf(result, sizeof result,
                 "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{\"method\":\"%s\","
                 "\"params\":%s}}}",
                 cases[i].method, cases[i].params);
        tool_answer(MCP_OK, result, 0, "", "");
        if (cases[i].required == NULL) {
            expect_in(c.said.answer, "\"input_required\"");
        } else {
            assert_int_equal(c.said.status, 400);
            snprintf(expected, sizeof expected,
                     "\"code\":-32021,\"message\":\"The client lacks a capability that this "
                     "request needs.\",\"data\":{\"requiredCapabilities\":%s}",
                     cases[i].required);
            expect_in(c.said.answer, expected);
        }
        client_end(&c);
    }
    world_end(&w);
}

/* A legacy server could only be kept waiting: our host answers it. */
static void test_a_modern_client_is_not_asked_by_a_legacy_server(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "tools/call", "\"name\":\"old__add\"", "{\"sampling\":{}}", NULL);
    assert_string_equal(tool_call.capabilities, "");
    client_end(&c);
    world_end(&w);
}

/* ---- headers that repeat arguments ---- */

static void test_marked_arguments_stand_in_headers(void **state)
{
    static const struct {
        const char *arguments;
        const char *headers[3];
        bool fits;
    } cases[] = {
        {"{}", {NULL}, true},
        {"{\"n\":7}", {"Mcp-Param-N: 7", NULL}, true},
        {"{\"n\":7}", {"mcp-param-n: 07", NULL}, true},
        {"{\"n\":7}", {"Mcp-Param-N: 8", NULL}, false},
        {"{\"n\":7}", {"Mcp-Param-N: x", NULL}, false},
        {"{\"n\":7}", {NULL}, false},
        {"{\"n\":null}", {NULL}, true},
        {"{\"n\":null}", {"Mcp-Param-N: 7", NULL}, false},
        {"{}", {"Mcp-Param-N: 7", NULL}, false},
        {"{\"s\":\"a b\"}", {"Mcp-Param-S: a b", NULL}, true},
        {"{\"s\":\"\xc3\xa9\"}", {"Mcp-Param-S: =?base64?w6k=?=", NULL}, true},
        {"{\"s\":\"a\"}", {"Mcp-Param-S: A", NULL}, false},
        {"{\"o\":{\"b\":true}}", {"Mcp-Param-B: true", NULL}, true},
        {"{\"o\":{\"b\":true}}", {"Mcp-Param-B: True", NULL}, false},
        {"{\"o\":{\"b\":false}}", {NULL}, false},
        {"{\"n\":7,\"s\":\"x\"}", {"Mcp-Param-N: 7", "Mcp-Param-S: x", NULL}, true},
    };
    struct world w;
    struct client c;
    char text[1024];
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *headers[8] = {"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call",
                                  "Mcp-Name: marked"};
        for (size_t k = 0; cases[i].headers[k] != NULL; k++)
            headers[3 + k] = cases[i].headers[k];
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                 "call\",\"params\":{%s{}},\"name\":\"marked\",\"arguments\":%s}}",
                 modern_meta, cases[i].arguments);
        client_send(w.g, &c, text, headers, NULL);
        if ((c.said.answers == 0) != cases[i].fits)
            fail_msg("%s: %s", text, c.said.answer);
        if (!cases[i].fits)
            expect_in(c.said.answer, "-32020");
        client_end(&c);
    }
    world_end(&w);
}

/* ---- legacy clients that can be asked ---- */

static char session[256];
static const char *const with_session[] = {session, NULL};

static void begin_session(struct world *w, const char *capabilities)
{
    struct client c;
    char text[512];
    snprintf(text, sizeof text,
             LEGACY("initialize", "\"protocolVersion\":\"2025-11-25\",\"capabilities\":%s"),
             capabilities);
    client_send(w->g, &c, text, NULL, NULL);
    snprintf(session, sizeof session, "Mcp-Session-Id: %s", c.said.session);
    client_end(&c);
}

/* The id of the question that was asked last. */
static void id_of(const struct client *c, char out[128])
{
    assert_true(c->said.n > 0);
    const char *at = strstr(c->said.messages[c->said.n - 1], "\"id\":");
    assert_non_null(at);
    size_t n = strcspn(at + 5, ",");
    memcpy(out, at + 5, n);
    out[n] = '\0';
}

static void respond(struct world *w, struct gateway *by, const char *id, const char *rest,
                    const char *const *headers)
{
    struct client c;
    char text[1024];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, rest);
    client_send(by, &c, text, headers, NULL);
    assert_true(c.said.status == 202 || c.said.status == 500); /* no memory */
    client_end(&c);
    fake_run(w->loop);
}

static void test_a_legacy_server_asks_a_legacy_client(void **state)
{
    struct world w;
    struct client c;
    struct mcp_question q = {0}, refused = {0}, left = {0}, cannot = {0};
    char id[128];
    (void)state;
    world_begin(&w, true);
    begin_session(&w, "{\"elicitation\":{}}");
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"old__add\""), with_session, NULL);
    assert_string_equal(tool_call.capabilities, "{\"elicitation\":{}}");
    tool_call.guest->ask(tool_call.arg, &cannot, STRV("sampling/createMessage"), STRV("{}"));
    assert_int_equal(cannot.answers, 1);
    tool_call.guest->ask(tool_call.arg, &q, STRV("elicitation/create"),
                         STRV("{\"message\":\"Name?\"}"));
    assert_int_equal(c.said.n, 1);
    expect_in(c.said.messages[0],
              "\"method\":\"elicitation/create\",\"params\":{\"message\":\"Name?\"}}");
    id_of(&c, id);
    respond(&w, w.other, id, "\"result\":{\"action\":\"accept\"}",
            NULL); /* without the session: nobody's */
    respond(&w, w.other, "\"ask-1-00\"", "\"result\":{}", with_session);
    respond(&w, w.other, id, "\"result\":{\"action\":\"accept\"}",
            with_session); /* by another worker */
    respond(&w, w.other, id, "\"result\":{\"action\":\"cancel\"}", with_session); /* twice */
    assert_int_equal(q.answers, 1);
    assert_string_equal(q.result, "{\"action\":\"accept\"}");
    tool_call.guest->ask(tool_call.arg, &refused, STRV("elicitation/create"), STRV("{}"));
    id_of(&c, id);
    respond(&w, w.g, id, "\"error\":{\"code\":-1,\"message\":\"no\"}", with_session);
    assert_int_equal(refused.code, -1);
    assert_string_equal(refused.why, "no");
    tool_call.guest->ask(tool_call.arg, &left, STRV("elicitation/create"), STRV("{}"));
    gateway_gone(c.call);
    assert_int_equal(left.answers, 1);
    arena_fini(&c.arena);
    id_of(&c, id);
    respond(&w, w.g, id, "\"result\":{}", with_session); /* too late */
    world_end(&w);
}

static void test_a_modern_server_asks_a_legacy_client(void **state)
{
    struct world w;
    struct client c;
    char id[128];
    (void)state;
    world_begin(&w, true);
    begin_session(&w, "{\"elicitation\":{},\"sampling\":{},\"roots\":{}}");
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\",\"arguments\":{\"n\":1}"),
                with_session, NULL);
    assert_string_equal(tool_call.capabilities,
                        "{\"elicitation\":{},\"sampling\":{},\"roots\":{}}");
    tool_answer(MCP_OK, ASKS, 0, "", "");
    assert_int_equal(c.said.answers, 0);
    expect_in(c.said.messages[0],
              "\"method\":\"elicitation/create\",\"params\":{\"message\":\"Name?\"");
    id_of(&c, id);
    respond(&w, w.other, id, "\"result\":{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}",
            with_session);
    assert_string_equal(tool_call.inputs,
                        "\"inputResponses\":{\"who\":{\"action\":\"accept\",\"content\":{\"name\":"
                        "\"Ada\"}}},\"requestState\":\"s/1\"");
    assert_string_equal(tool_call.arguments, "{\"n\":1}");
    tool_answer(MCP_OK, "{\"resultType\":\"input_required\",\"requestState\":\"s/2\"}", 0, "",
                ""); /* only to come again */
    assert_string_equal(tool_call.inputs, "\"inputResponses\":{},\"requestState\":\"s/2\"");
    tool_answer(MCP_OK, "{\"resultType\":\"complete\",\"content\":[]}", 0, "", "");
    assert_string_equal(c.said.answer,
                        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[]}}");
    client_end(&c);

    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\""), with_session,
                NULL); /* it asks for ever */
    for (int i = 0; i < 20 && c.said.answers == 0; i++)
        tool_answer(MCP_OK, "{\"resultType\":\"input_required\",\"requestState\":\"s\"}", 0, "",
                    "");
    expect_in(c.said.answer, "asks again and again");
    client_end(&c);

    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\""), with_session, NULL);
    tool_answer(MCP_OK, ASKS, 0, "", "");
    id_of(&c, id);
    respond(&w, w.g, id, "\"error\":{\"code\":-1,\"message\":\"no\"}", with_session);
    expect_in(tool_call.inputs, "{\"who\":{\"action\":\"cancel\"}}");
    client_end(&c);
    world_end(&w);
}

static void test_a_legacy_request_is_cancelled(void **state)
{
    struct world w;
    struct client c, other;
    (void)state;
    world_begin(&w, true);
    begin_session(&w, "{\"sampling\":{}}");
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"ask\""), with_session, NULL);
    client_send(w.other, &other,
                "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "cancelled\",\"params\":{\"requestId\":\"7\"}}",
                with_session, NULL);
    client_end(&other);
    client_send(
        w.other, &other,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}",
        NULL, NULL);
    client_end(&other);
    fake_run(w.loop);
    assert_int_equal(c.said.answers, 0); /* another id, or nobody's */
    client_send(
        w.other, &other,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}",
        with_session, NULL);
    client_end(&other);
    fake_run(w.loop);
    assert_int_equal(c.said.answers, 1);
    assert_string_equal(c.said.answer, "");
    assert_int_equal(cancels, 1);
    arena_fini(&c.arena);
    world_end(&w);
}

/* ---- changes ---- */

static void test_listen_tells_what_was_wanted(void **state)
{
    struct world w;
    struct client c;
    strv before = tools[0].raw;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "subscriptions/listen",
                "\"notifications\":{\"toolsListChanged\":true,\"promptsListChanged\":false,"
                "\"resourceSubscriptions\":[\"a://1\"]}",
                "{}", NULL);
    assert_int_equal(c.said.n, 1);
    assert_string_equal(c.said.messages[0],
                        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/"
                        "acknowledged\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/"
                        "subscriptionId\":1},\"notifications\":{\"toolsListChanged\":true}}}");
    watches[0].fn(watches[0].arg);
    assert_int_equal(c.said.n, 1); /* nothing has changed for this client */
    tools[0].raw = STRV("{\"name\":\"add\",\"description\":\"Adds more.\"}");
    catalogue.n_prompts--;
    watches[0].fn(watches[0].arg);
    assert_int_equal(c.said.n, 2);
    assert_string_equal(
        c.said.messages[1],
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/"
        "list_changed\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1}}}");
    gateway_drain(w.g);
    assert_int_equal(c.said.answers, 1);
    expect_in(c.said.answer, "\"result\":{\"resultType\":\"complete\",\"_meta\":{\"io."
                             "modelcontextprotocol/subscriptionId\":1}}");
    client_end(&c);
    modern_send(&w, &c, "subscriptions/listen", "\"notifications\":{}", "{}", NULL);
    assert_int_equal(c.said.answers, 1); /* we are about to end */
    client_end(&c);
    tools[0].raw = before;
    catalogue.n_prompts++;
    world_end(&w);
}

/* ---- the stream of a legacy client ---- */

static void open_stream(struct world *w, struct client *c, const char *const *headers)
{
    memset(&c->said, 0, sizeof c->said);
    arena_init(&c->arena, 4096, 1 << 24);
    c->m = (struct gateway_message){.headers = c->headers};
    for (; headers[c->m.n_headers] != NULL; c->m.n_headers++) {
        strv value = strv_of(headers[c->m.n_headers]), name;
        assert_true(strv_cut(&value, ':', &name));
        c->headers[c->m.n_headers] = (struct http_header){name, strv_trim(value)};
    }
    c->caller = (struct exchange_caller){.request_id = STRV("r"), .record_id = STRV("r")};
    c->call = gateway_stream(w->other, &c->arena, &c->m, &c->caller, &said_sink, &c->said);
}

static void subscribe(struct world *w, const char *method, const char *uri, const char *expected)
{
    struct client c;
    char text[512];
    snprintf(text, sizeof text,
             "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{\"uri\":\"%s\"}}", method,
             uri);
    hub_call.live = false;
    client_send(w->g, &c, text, with_session, NULL);
    if (hub_call.live) {
        assert_string_equal(hub_call.method, method);
        hub_answer(MCP_OK, "{}", 0, "", "");
    }
    expect_in(c.said.answer, expected);
    client_end(&c);
}

static void update(const char *server, const char *uri)
{
    for (size_t i = 0; i < COUNT(watches); i++)
        if (watches[i].live && watches[i].updated != NULL)
            watches[i].updated(watches[i].arg, server, strv_of(uri));
}

static void test_updates_go_to_the_sessions_stream(void **state)
{
    static const char *const none[] = {"Accept: text/event-stream", NULL};
    static const char *const foreign[] = {"Mcp-Session-Id: s00", NULL};
    struct world w;
    struct client c, second;
    (void)state;
    world_begin(&w, true);
    servers[0].subscribe = true;
    begin_session(&w, "{}"); /* one server tells of updates, so everybody gets one */
    open_stream(&w, &c, none);
    assert_int_equal(c.said.status, 405);
    client_end(&c);
    open_stream(&w, &c, foreign);
    assert_int_equal(c.said.status, 404);
    client_end(&c);
    open_stream(&w, &c, with_session);
    assert_int_equal(c.said.answers, 0);
    open_stream(&w, &second, with_session);
    assert_int_equal(second.said.status, 409);
    client_end(&second);

    update("old", "a://1");
    subscribe(&w, "resources/subscribe", "a://1", "\"result\":{}");
    subscribe(&w, "resources/subscribe", "a://1", "\"result\":{}"); /* twice is once */
    subscribe(&w, "resources/subscribe", "a://2", "-32602");        /* of a modern server */
    subscribe(&w, "resources/subscribe", "a://9", "-32002");
    assert_int_equal(c.said.n, 0);
    update("old", "a://1");
    update("old", "a://2");
    update("new", "a://1");
    assert_int_equal(c.said.n, 1);
    assert_string_equal(c.said.messages[0], "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                                            "resources/updated\",\"params\":{\"uri\":\"a://1\"}}");
    subscribe(&w, "resources/unsubscribe", "a://1", "\"result\":{}");
    update("old", "a://1");
    assert_int_equal(c.said.n, 1);
    catalogue.n_tools--;
    watches[0].fn(watches[0].arg);
    catalogue.n_tools++;
    assert_string_equal(
        c.said.messages[1],
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{}}");
    gateway_drain(w.other);
    assert_int_equal(c.said.answers, 1);
    assert_string_equal(c.said.answer, "");
    client_end(&c);
    world_end(&w);
}

static void test_subscriptions_are_bounded(void **state)
{
    struct world w;
    char uri[64];
    (void)state;
    world_begin(&w, true);
    servers[0].subscribe = true;
    static const struct mcp_item any[] = {ITEM(0, "u://{x}", "{}")};
    catalogue.templates = any;
    begin_session(&w, "{}");
    for (int i = 0; i < 70; i++) {
        snprintf(uri, sizeof uri, "u://%d", i);
        subscribe(&w, "resources/subscribe", uri, i < 64 ? "\"result\":{}" : "-32602");
    }
    session[0] = 'X'; /* no session at all */
    subscribe(&w, "resources/subscribe", "u://1", "-32600");
    for (int k = 0; k < 70; k++) {
        begin_session(&w, "{}");
        for (int i = 0; i < 64; i++) {
            snprintf(uri, sizeof uri, "u://%d", i);
            subscribe(&w, "resources/subscribe", uri, "\"result\":{}");
        }
    }
    assert_int_equal(w.hall->n_subscriptions, 4096);
    catalogue.templates = templates;
    world_end(&w);
}

/* ---- memory ---- */

static void one_talk(struct world *w, uint64_t n)
{
    struct client c;
    struct mcp_question q = {0};
    char id[128];
    mem_fail_at(n, false);
    client_send(w->g, &c, LEGACY("tools/call", "\"name\":\"ask\",\"arguments\":{\"n\":1}"),
                with_session, NULL);
    if (c.said.answers == 0)
        tool_call.guest->ask(tool_call.arg, &q, STRV("elicitation/create"), STRV("{}"));
    if (c.said.answers == 0 && q.answers == 0 && c.said.n > 0) {
        id_of(&c, id);
        respond(w, w->other, id, "\"result\":{}", with_session);
    }
    if (c.said.answers == 0)
        tool_answer(MCP_OK, ASKS, 0, "", "");
    if (c.said.answers == 0 && c.said.n > 0) {
        id_of(&c, id);
        respond(w, w->g, id, "\"result\":{}", with_session);
    }
    if (c.said.answers == 0 && tool_call.live)
        tool_answer(MCP_OK, "{\"content\":[],\"_meta\":{\"a/b\":1}}", 0, "", "");
    mem_fail_at(0, false);
    client_end(&c);
    assert_true(q.answers <= 1);
    fake_run(w->loop);
}

static void test_memory_that_is_refused(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w, true);
    begin_session(&w, "{\"elicitation\":{}}");
    int64_t live = mem_live();
    for (uint64_t n = 1; n < 150; n++) {
        one_talk(&w, n);
        assert_int_equal(mem_live(), live);
        assert_int_equal(catalogue_refs, 0);
    }
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_come_whole),
        cmocka_unit_test(test_failures_are_told),
        cmocka_unit_test(test_reads_prompts_and_completions),
        cmocka_unit_test(test_progress_and_logs_go_to_who_wants_them),
        cmocka_unit_test(test_hints_of_the_head_tighten),
        cmocka_unit_test(test_talk_is_not_kept),
        cmocka_unit_test(test_who_leaves_cancels),
        cmocka_unit_test(test_states_come_back_signed),
        cmocka_unit_test(test_only_what_was_declared_is_asked),
        cmocka_unit_test(test_a_modern_client_is_not_asked_by_a_legacy_server),
        cmocka_unit_test(test_marked_arguments_stand_in_headers),
        cmocka_unit_test(test_a_legacy_server_asks_a_legacy_client),
        cmocka_unit_test(test_a_modern_server_asks_a_legacy_client),
        cmocka_unit_test(test_a_legacy_request_is_cancelled),
        cmocka_unit_test(test_listen_tells_what_was_wanted),
        cmocka_unit_test(test_updates_go_to_the_sessions_stream),
        cmocka_unit_test(test_subscriptions_are_bounded),
        cmocka_unit_test(test_memory_that_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
