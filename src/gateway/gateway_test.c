/* SPDX-License-Identifier: Apache-2.0 */
/* gateway: every row of what a message may be answered before a server is asked, in both eras. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/testing.h"

#define V "MCP-Protocol-Version: 2026-07-28"
#define META                                                                                       \
    "\"_meta\":{\"io.modelcontextprotocol/"                                                        \
    "protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN(method, more)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"" method "\",\"params\":{" META more "}}"
#define LEGACY(method, more)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"" method "\",\"params\":{" more "}}"

/* code 0: a result. headers NULL first: none at all, but HTTP. */
static const struct row {
    const char *text;
    const char *headers[5];
    int status, code;
} rows[] = {
    /* no message */
    {"", {NULL}, 400, -32700},
    {"{", {NULL}, 400, -32700},
    {"nonsense", {NULL}, 400, -32700},
    {"[]", {NULL}, 400, -32600},
    {"7", {NULL}, 400, -32600},
    {"{}", {NULL}, 400, -32600},
    {"{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"ping\"}", {NULL}, 400, -32600},
    {"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"ping\"}", {NULL}, 400, -32600},
    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"params\":7}", {NULL}, 400, -32600},
    /* modern: _meta */
    {MODERN("tools/list", ""), {V, "Mcp-Method: tools/list", NULL}, 200, 0},
    {LEGACY("tools/list", ""), {V, "Mcp-Method: tools/list", NULL}, 400, -32602},
    {LEGACY("tools/list", "\"_meta\":{}"), {V, "Mcp-Method: tools/list", NULL}, 400, -32602},
    {LEGACY("tools/list", "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"),
     {V, "Mcp-Method: tools/list", NULL},
     400,
     -32602},
    {LEGACY("tools/list", "\"_meta\":{\"io.modelcontextprotocol/"
                          "protocolVersion\":7,\"io.modelcontextprotocol/clientCapabilities\":{}}"),
     {V, "Mcp-Method: tools/list", NULL},
     400,
     -32602},
    {LEGACY("tools/list", "\"_meta\":{\"io.modelcontextprotocol/clientCapabilities\":{}}"),
     {V, "Mcp-Method: tools/list", NULL},
     400,
     -32602},
    {LEGACY("server/discover", ""), {NULL}, 400, -32602},
    /* modern: headers */
    {MODERN("tools/list", ""), {"Mcp-Method: tools/list", NULL}, 400, -32020},
    {MODERN("tools/list", ""), {V, NULL}, 400, -32020},
    {MODERN("tools/list", ""), {V, "Mcp-Method: Tools/List", NULL}, 400, -32020},
    {MODERN("tools/list", ""), {V, "mcp-METHOD:   tools/list  ", NULL}, 200, 0},
    {MODERN("tools/list", ""),
     {V, "Mcp-Method: tools/list", "Mcp-Method: ping", NULL},
     400,
     -32020},
    {MODERN("tools/list", ""),
     {V, "Mcp-Method: tools/list", "Mcp-Method: tools/list", NULL},
     200,
     0},
    {MODERN("tools/list", ""), {V, "Mcp-Method: =?base64?dG9vbHMvbGlzdA==?=", NULL}, 200, 0},
    {MODERN("tools/list", ""), {V, "Mcp-Method: =?base64?dG9vbHMvbGlzdA?", NULL}, 400, -32020},
    {MODERN("tools/list", ""),
     {"MCP-Protocol-Version: 2025-11-25", "Mcp-Method: tools/list", NULL},
     400,
     -32020},
    {MODERN("tools/call", ",\"name\":\"list_models\""),
     {V, "Mcp-Method: tools/call", "Mcp-Name: list_models", NULL},
     200,
     0},
    {MODERN("tools/call", ",\"name\":\"list_models\""),
     {V, "Mcp-Method: tools/call", NULL},
     400,
     -32020},
    {MODERN("tools/call", ",\"name\":\"list_models\""),
     {V, "Mcp-Method: tools/call", "Mcp-Name: generate", NULL},
     400,
     -32020},
    {MODERN("tools/call", ""), {V, "Mcp-Method: tools/call", NULL}, 200, -32602},
    {MODERN("resources/read", ",\"uri\":\"a://9\""),
     {V, "Mcp-Method: resources/read", "Mcp-Name: a://9", NULL},
     200,
     -32602},
    {MODERN("resources/read", ",\"uri\":\"a://9\""),
     {V, "Mcp-Method: resources/read", "Mcp-Name: a://8", NULL},
     400,
     -32020},
    {MODERN("prompts/get", ",\"name\":\"x\""), {V, "Mcp-Method: prompts/get", NULL}, 400, -32020},
    {MODERN("prompts/get", ",\"name\":\"x\""),
     {V, "Mcp-Method: prompts/get", "Mcp-Name: x", NULL},
     200,
     -32602},
    /* versions */
    {LEGACY("tools/list",
            "\"_meta\":{\"io.modelcontextprotocol/"
            "protocolVersion\":\"2099-01-01\",\"io.modelcontextprotocol/clientCapabilities\":{}}"),
     {"MCP-Protocol-Version: 2099-01-01", "Mcp-Method: tools/list", NULL},
     400,
     -32022},
    {LEGACY("tools/list", ""), {"MCP-Protocol-Version: 2099-01-01", NULL}, 400, -32022},
    {LEGACY("tools/list", ""), {"MCP-Protocol-Version: 2025-06-18", NULL}, 200, 0},
    {LEGACY("tools/list", ""), {NULL}, 200, 0},
    /* sessions */
    {LEGACY("tools/list", ""), {"Mcp-Session-Id: made-up", NULL}, 404, -32600},
    {MODERN("tools/list", ""),
     {V, "Mcp-Method: tools/list", "Mcp-Session-Id: made-up", NULL},
     200,
     0},
    /* methods */
    {MODERN("initialize", ""), {V, "Mcp-Method: initialize", NULL}, 404, -32601},
    {MODERN("ping", ""), {V, "Mcp-Method: ping", NULL}, 404, -32601},
    {MODERN("logging/setLevel", ""), {V, "Mcp-Method: logging/setLevel", NULL}, 404, -32601},
    {MODERN("resources/subscribe", ""), {V, "Mcp-Method: resources/subscribe", NULL}, 404, -32601},
    {MODERN("no/such", ""), {V, "Mcp-Method: no/such", NULL}, 404, -32601},
    {MODERN("server/discover", ""), {V, "Mcp-Method: server/discover", NULL}, 200, 0},
    {LEGACY("no/such", ""), {NULL}, 200, -32601},
    {LEGACY("ping", ""), {NULL}, 200, 0},
    {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", {NULL}, 200, 0},
    {LEGACY("logging/setLevel", "\"level\":\"warning\""), {NULL}, 200, 0},
    {LEGACY("logging/setLevel", "\"level\":\"loud\""), {NULL}, 200, -32602},
    {LEGACY("logging/setLevel", ""), {NULL}, 200, -32602},
    {LEGACY("initialize", "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}"),
     {NULL},
     200,
     0},
    {LEGACY("initialize", "\"protocolVersion\":\"2099-01-01\""), {NULL}, 200, 0},
    {LEGACY("initialize", "\"capabilities\":{}"), {NULL}, 200, -32602},
    {LEGACY("initialize", "\"protocolVersion\":7"), {NULL}, 200, -32602},
    {LEGACY("resources/list", ""), {NULL}, 200, 0},
    {LEGACY("resources/templates/list", ""), {NULL}, 200, 0},
    {LEGACY("prompts/list", ""), {NULL}, 200, 0},
    /* params */
    {LEGACY("tools/call", ""), {NULL}, 200, -32602},
    {LEGACY("tools/call", "\"name\":7"), {NULL}, 200, -32602},
    {LEGACY("tools/call", "\"name\":\"none\""), {NULL}, 200, -32602},
    {LEGACY("tools/call", "\"name\":\"list_models\",\"arguments\":[]"), {NULL}, 200, -32602},
    {LEGACY("tools/call", "\"name\":\"list_models\",\"arguments\":{\"x\":1}"),
     {NULL},
     200,
     0}, /* isError */
    {LEGACY("tools/list", "\"cursor\":\"\""), {NULL}, 200, -32602},
    {LEGACY("tools/list", "\"cursor\":\"at-99999999999999999999\""), {NULL}, 200, -32602},
    {LEGACY("tools/list", "\"cursor\":\"at-9999\""), {NULL}, 200, 0},
    {LEGACY("resources/read", ""), {NULL}, 200, -32602},
    {LEGACY("resources/read", "\"uri\":\"a://9\""), {NULL}, 200, -32002},
    {LEGACY("prompts/get", "\"name\":\"none\""), {NULL}, 200, -32602},
    {LEGACY("completion/complete",
            "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"none\"},\"argument\":{}"),
     {NULL},
     200,
     -32602},
    {LEGACY("completion/complete", "\"ref\":{\"type\":\"ref/prompt\",\"name\":\"old__p\"}"),
     {NULL},
     200,
     -32602},
    {MODERN("subscriptions/listen", ""),
     {V, "Mcp-Method: subscriptions/listen", NULL},
     200,
     -32602},
};

static void run_row(struct world *w, const struct row *row)
{
    struct client c;
    char code[32];
    client_send(w->g, &c, row->text, row->headers, NULL);
    if (c.said.answers != 1 || c.said.status != row->status)
        fail_msg("%s: status %d, %s", row->text, c.said.status, c.said.answer);
    snprintf(code, sizeof code, "\"code\":%d,", row->code);
    expect_in(c.said.answer, row->code != 0 ? code : "\"result\":{");
    if (strstr(row->text, "\"id\":7") != NULL)
        expect_in(c.said.answer, "{\"jsonrpc\":\"2.0\",\"id\":7,");
    if (row->code == -32022)
        expect_in(c.said.answer, "\"data\":{\"supported\":[\"20");
    client_end(&c);
}

static void test_every_row(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(rows); i++)
        run_row(&w, &rows[i]);
    world_end(&w);
}

/* Memory that is refused at any place: the message is answered all the same, nothing is forgotten. */
static void test_every_row_without_memory(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t live = mem_live();
        for (uint64_t n = 1; n < 60; n++) {
            struct client c;
            mem_fail_at(n, false);
            client_send(w.g, &c, rows[i].text, rows[i].headers, NULL);
            mem_fail_at(0, false);
            assert_int_equal(c.said.answers, 1);
            client_end(&c);
            assert_int_equal(mem_live(), live);
        }
    }
    world_end(&w);
}

static void test_without_servers(void **state)
{
    static const char *const none[] = {"resources/list", "resources/read",      "prompts/list",
                                       "prompts/get",    "completion/complete", "logging/setLevel"};
    struct world w;
    struct client c;
    char text[256];
    (void)state;
    world_begin(&w, false);
    for (size_t i = 0; i < COUNT(none); i++) {
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\"}", none[i]);
        client_send(w.g, &c, text, NULL, NULL);
        expect_in(c.said.answer, "-32601");
        client_end(&c);
    }
    modern_send(&w, &c, "server/discover", "", "{}", NULL);
    expect_in(c.said.answer, "\"capabilities\":{\"tools\":{}}");
    client_end(&c);
    modern_send(&w, &c, "subscriptions/listen", "\"notifications\":{}", "{}", NULL);
    assert_int_equal(c.said.status, 404);
    client_end(&c);
    client_send(w.g, &c,
                LEGACY("initialize",
                       "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"sampling\":{}}"),
                NULL, NULL);
    assert_string_equal(c.said.session, ""); /* nobody would ask it anything */
    client_end(&c);
    world_end(&w);
}

static void test_notifications_are_taken(void **state)
{
    static const char *const texts[] = {
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"anything\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"ask-1-x\",\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"ask-\",\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"no\"}}",
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"no\"}}",
    };
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(texts); i++) {
        client_send(w.g, &c, texts[i], NULL, NULL);
        assert_int_equal(c.said.status, 202);
        assert_string_equal(c.said.answer, "");
        client_end(&c);
    }
    world_end(&w);
}

static void test_ids_stay_as_they_came(void **state)
{
    static const char *const ids[] = {
        "0", "-1", "9007199254740993", "\"\"", "\"a\\u0062\\\"\"", "18446744073709551616"};
    struct world w;
    struct client c;
    char text[256], expected[256];
    (void)state;
    world_begin(&w, true);
    for (size_t i = 0; i < COUNT(ids); i++) {
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":%s}", ids[i]);
        snprintf(expected, sizeof expected, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}",
                 ids[i]);
        client_send(w.g, &c, text, NULL, NULL);
        assert_string_equal(c.said.answer, expected);
        client_end(&c);
    }
    world_end(&w);
}

/* ---- lists ---- */

static void expect_order(const char *text, const char *const *names, size_t n)
{
    const char *at = text;
    for (size_t i = 0; i < n; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "{\"name\":\"%s\"", names[i]);
        const char *found = strstr(at, quoted);
        if (found == NULL)
            fail_msg("no %s (or not in its place) in %s", quoted, text);
        at = found + 1;
    }
}

static const char *const all_tools[] = {"generate",    "classify", "explain_route",
                                        "list_models", "old__add", "old__bare",
                                        "ask",         "marked",   "far__ask"};

static void test_tools_of_everybody_in_their_order(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "tools/list", "", "{}", NULL);
    expect_order(c.said.answer, all_tools, COUNT(all_tools));
    expect_lacks(c.said.answer, "\"off\"");     /* refused */
    expect_lacks(c.said.answer, "taskSupport"); /* no tasks are offered */
    expect_in(c.said.answer, "\"outputSchema\":{\"type\":\"string\"}");
    expect_in(c.said.answer,
              "{\"name\":\"old__bare\",\"inputSchema\":{\"type\":\"object\"},\"description\":");
    expect_in(c.said.answer, "\"ttlMs\":");
    const char *first = strstr(c.said.answer, "\"old__add\"");
    assert_null(strstr(first + 1, "\"old__add\"")); /* the later one is not offered */
    assert_null(strstr(first, "\"generate\""));     /* nor the one with a name of ours */
    client_end(&c);
    client_send(w.g, &c, LEGACY("tools/list", ""), NULL, NULL);
    expect_order(c.said.answer, all_tools, COUNT(all_tools));
    expect_lacks(c.said.answer, "\"outputSchema\":{\"type\":\"string\"}"); /* an object's only */
    expect_lacks(c.said.answer, "ttlMs");
    client_end(&c);
    world_end(&w);
}

static void test_pages(void **state)
{
    struct world w;
    struct client c;
    char cursor[64] = "", text[256];
    size_t n = 0, pages = 0;
    (void)state;
    world_begin(&w, true);
    w.g->env.page = 2;
    for (bool more = true; more; pages++) {
        snprintf(text, sizeof text, LEGACY("tools/list", "%s"), cursor);
        client_send(w.g, &c, text, NULL, NULL);
        for (const char *at = c.said.answer; (at = strstr(at, "{\"name\":\"")) != NULL; at++)
            n++;
        const char *next = strstr(c.said.answer, "\"nextCursor\":\"");
        more = next != NULL;
        if (more) {
            unsigned at;
            assert_int_equal(sscanf(next, "\"nextCursor\":\"at-%u\"", &at), 1);
            snprintf(cursor, sizeof cursor, "\"cursor\":\"at-%u\"", at);
        }
        client_end(&c);
    }
    assert_int_equal(n, COUNT(all_tools));
    assert_int_equal(pages, (COUNT(all_tools) + 1) / 2);
    world_end(&w);
}

/* A server with names of its own says that it is another one, and is listed before that. */
static void test_a_name_that_reads_like_anothers(void **state)
{
    struct mcp_listed *of = &servers[1];
    const struct mcp_tool kept = tools[0];
    const struct mcp_item kept_prompts[] = {prompts[0], prompts[2]};
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    tools[0].server = of;
    tools[0].name = STRV("old__bare");
    prompts[0] = kept_prompts[1];
    prompts[2] = kept_prompts[0];
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"old__bare\""), NULL, NULL);
    assert_string_equal(tool_call.tool, "bare");
    client_end(&c);
    client_send(w.g, &c, LEGACY("tools/list", ""), NULL, NULL);
    const char *first = strstr(c.said.answer, "\"old__bare\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"old__bare\""));
    client_end(&c);
    client_send(w.g, &c, LEGACY("prompts/get", "\"name\":\"old__p\""), NULL, NULL);
    assert_string_equal(hub_call.server, "old");
    assert_string_equal(hub_call.params, "{\"name\":\"p\"}");
    client_end(&c);
    client_send(w.g, &c, LEGACY("prompts/list", ""), NULL, NULL);
    first = strstr(c.said.answer, "\"old__p\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"old__p\""));
    client_end(&c);
    tools[0] = kept;
    prompts[0] = kept_prompts[0];
    prompts[2] = kept_prompts[1];
    world_end(&w);
}

static void test_a_key_sees_what_it_may_use(void **state)
{
    struct policy_key key = {.id = "k_1", .rules = {.models = "ask,prompts"}};
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    client_send(w.g, &c, LEGACY("tools/list", ""), NULL, &key);
    expect_in(c.said.answer, "\"ask\"");
    expect_lacks(c.said.answer, "old__add");
    client_end(&c);
    client_send(w.g, &c, LEGACY("tools/call", "\"name\":\"old__add\""), NULL, &key);
    expect_in(c.said.answer, "-32602");
    client_end(&c);
    client_send(w.g, &c, LEGACY("resources/list", ""), NULL, &key);
    expect_in(c.said.answer, "\"resources\":[]");
    client_end(&c);
    client_send(w.g, &c, LEGACY("resources/read", "\"uri\":\"a://1\""), NULL, &key);
    expect_in(c.said.answer, "-32002");
    client_end(&c);
    client_send(w.g, &c, LEGACY("prompts/list", ""), NULL, &key);
    expect_in(c.said.answer, "\"old__p\"");
    client_end(&c);
    world_end(&w);
}

static void test_resources_and_prompts(void **state)
{
    static const char *const names[] = {"old__p", "p"};
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    client_send(w.g, &c, LEGACY("resources/list", ""), NULL, NULL);
    expect_in(c.said.answer,
              "[{\"uri\":\"a://1\",\"name\":\"one\"},{\"uri\":\"a://2\",\"name\":\"two\"}]");
    client_end(&c);
    client_send(w.g, &c, LEGACY("resources/templates/list", ""), NULL, NULL);
    expect_in(c.said.answer, "\"resourceTemplates\":[{\"uriTemplate\":\"t://{id}/data\"");
    client_end(&c);
    client_send(w.g, &c, LEGACY("prompts/list", ""), NULL, NULL);
    expect_order(c.said.answer, names, COUNT(names));
    expect_lacks(c.said.answer, "far"); /* what is asked there would leave */
    client_end(&c);
    world_end(&w);
}

/* ---- who are you ---- */

static void test_initialize_gives_a_session_to_who_can_be_asked(void **state)
{
    struct world w;
    struct client c;
    char header[160];
    struct policy_key key = {.id = "k_1"}, other = {.id = "k_2"};
    const char *headers[] = {header, NULL};
    (void)state;
    world_begin(&w, true);
    client_send(w.g, &c,
                LEGACY("initialize", "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}"),
                NULL, &key);
    assert_string_equal(c.said.session, "");
    client_end(&c);
    client_send(w.g, &c,
                LEGACY("initialize",
                       "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"elicitation\":{}}"),
                NULL, &key);
    expect_in(c.said.answer, "\"protocolVersion\":\"2025-06-18\"");
    for (const char *at = c.said.session; *at != '\0'; at++)
        assert_true(*at > 0x20 && *at < 0x7f);
    snprintf(header, sizeof header, "Mcp-Session-Id: %s", c.said.session);
    client_end(&c);
    client_send(w.other, &c, LEGACY("ping", ""), headers, &key); /* any worker knows it */
    assert_int_equal(c.said.status, 200);
    client_end(&c);
    client_send(w.g, &c, LEGACY("ping", ""), headers, &other);
    assert_int_equal(c.said.status, 404);
    client_end(&c);
    for (size_t i = 16; header[i] != '\0'; i++) { /* each character counts */
        header[i] ^= 1;
        client_send(w.g, &c, LEGACY("ping", ""), headers, &key);
        assert_int_equal(c.said.status, 404);
        client_end(&c);
        header[i] ^= 1;
    }
    world_end(&w);
}

static void test_discover(void **state)
{
    struct world w;
    struct client c;
    (void)state;
    world_begin(&w, true);
    modern_send(&w, &c, "server/discover", "", "{}", NULL);
    expect_in(c.said.answer, "\"supportedVersions\":[\"2026-07-28\"]");
    expect_in(c.said.answer, "\"tools\":{\"listChanged\":true}");
    expect_in(c.said.answer, "\"resultType\":\"complete\"");
    expect_in(c.said.answer, "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"llm-router\"");
    client_end(&c);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_every_row_without_memory),
        cmocka_unit_test(test_without_servers),
        cmocka_unit_test(test_notifications_are_taken),
        cmocka_unit_test(test_ids_stay_as_they_came),
        cmocka_unit_test(test_tools_of_everybody_in_their_order),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_a_name_that_reads_like_anothers),
        cmocka_unit_test(test_a_key_sees_what_it_may_use),
        cmocka_unit_test(test_resources_and_prompts),
        cmocka_unit_test(test_initialize_gives_a_session_to_who_can_be_asked),
        cmocka_unit_test(test_discover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
