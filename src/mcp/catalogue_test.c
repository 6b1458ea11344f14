/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue: names, rights and refusals of tools, each judged alone; marks of arguments for headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "mcp/catalogue_int.h"
#include "mcp/client_int.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct mcp_listing *listing_of(const char *tools)
{
    struct mcp_listing *l = mem_zalloc(sizeof *l);
    struct arena a;
    struct json doc;
    char text[4000];

    assert_non_null(l);
    l->refs = 1;
    l->era = MCP_ERA_MODERN;
    l->title = l->version = l->instructions = STRV("");
    arena_init(&l->arena, 256, 1 << 20);
    arena_init(&a, 1024, 1 << 20);
    l->lists[MCP_TOOLS] = mcp_list_new();
    assert_non_null(l->lists[MCP_TOOLS]);
    snprintf(text, sizeof text, "{\"tools\":[%s]}", tools);
    assert_true(json_read(&doc, strv_of(text), &a, 0, &ERR_INIT));
    assert_true(mcp_list_add_page(l->lists[MCP_TOOLS], MCP_TOOLS, 100, &doc, doc.root));
    arena_fini(&a);
    return l;
}

static struct mcp_catalogue *catalogue(const struct mcp_server_conf *conf, const char *tools)
{
    struct mcp_listing *l = listing_of(tools);
    struct mcp_source source = {.conf = conf, .listing = l, .state = MCP_READY};
    struct mcp_catalogue *c = mcp_catalogue_make(&source, 1, 7);

    mcp_listing_unref(l);
    assert_non_null(c);
    assert_int_equal(c->version, 7);
    return c;
}

static void rights_come_from_rules_then_overlay_then_hints(void **state)
{
    static const struct mcp_rule rules[] = {{"get_*", MCP_READ, -1, -1},
                                            {"get_secret", -1, MCP_DATA_NONE, MCP_ASK},
                                            {"*_off", -1, -1, MCP_OFF}};
    static const char overlay[] =
        "{\"overlay\":1,\"tools\":{\"get_x\":{\"effect\":\"external\",\"data\":\"staff\"},\"put_"
        "x\":"
        "{\"effect\":\"write\",\"approval\":\"auto\"},\"typo\":{\"effect\":\"raed\"}}}";
    static const struct {
        const char *tool;
        enum mcp_effect effect;
        enum mcp_data data;
        enum mcp_approval approval;
        bool refused;
    } cases[] = {
        {"{\"name\":\"get_x\"}", MCP_READ, MCP_DATA_STAFF, MCP_AUTO, false},
        {"{\"name\":\"get_secret\"}", MCP_READ, MCP_DATA_NONE, MCP_ASK, false},
        /* the operator's word is the last one, whatever the server hints */
        {"{\"name\":\"get_y\",\"annotations\":{\"destructiveHint\":true}}", MCP_READ,
         MCP_DATA_HEALTH, MCP_AUTO, false},
        {"{\"name\":\"get_y\",\"annotations\":{\"openWorldHint\":true}}", MCP_READ, MCP_DATA_HEALTH,
         MCP_AUTO, false},
        {"{\"name\":\"put_x\",\"annotations\":{\"openWorldHint\":true}}", MCP_WRITE,
         MCP_DATA_HEALTH, MCP_AUTO, false},
        {"{\"name\":\"put_x\"}", MCP_WRITE, MCP_DATA_HEALTH, MCP_AUTO, false},
        {"{\"name\":\"put_x\",\"annotations\":{\"readOnlyHint\":true}}", MCP_WRITE, MCP_DATA_HEALTH,
         MCP_AUTO, false},
        {"{\"name\":\"typo\"}", MCP_DESTRUCTIVE, MCP_DATA_HEALTH, MCP_ASK_ALWAYS, false},
        {"{\"name\":\"z\",\"annotations\":{\"readOnlyHint\":true}}", MCP_READ, MCP_DATA_HEALTH,
         MCP_AUTO, false},
        {"{\"name\":\"z\",\"annotations\":{\"readOnlyHint\":true,\"openWorldHint\":true}}",
         MCP_EXTERNAL, MCP_DATA_HEALTH, MCP_ASK_ALWAYS, false},
        {"{\"name\":\"z\",\"annotations\":{\"readOnlyHint\":false}}", MCP_DESTRUCTIVE,
         MCP_DATA_HEALTH, MCP_ASK_ALWAYS, false},
        {"{\"name\":\"z\",\"annotations\":{\"destructiveHint\":false}}", MCP_WRITE, MCP_DATA_HEALTH,
         MCP_ASK, false},
        {"{\"name\":\"z_off\"}", MCP_DESTRUCTIVE, MCP_DATA_HEALTH, MCP_OFF, true},
    };
    struct mcp_server_conf conf = {
        .name = "s", .rules = rules, .n_rules = COUNT(rules), .overlay_text = STRV(overlay)};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mcp_catalogue *c = catalogue(&conf, cases[i].tool);
        const struct mcp_tool *t = &c->tools[0];

        if (t->effect != cases[i].effect || t->data != cases[i].data ||
            t->approval != cases[i].approval || (t->refused != NULL) != cases[i].refused)
            fail_msg("%s: %s %s %s", cases[i].tool, mcp_effect_name(t->effect),
                     mcp_data_name(t->data), mcp_approval_name(t->approval));
        mcp_catalogue_unref(c);
    }
}

static void ids_are_short_plain_and_lead_back(void **state)
{
    struct mcp_server_conf conf = {.name = "server-with-a-name-of-31-letters"};
    struct mcp_catalogue *c = catalogue(
        &conf, "{\"name\":\"a.b\"},{\"name\":\"a_b\"},{\"name\":\"a/b\"},{\"name\":\"a_b\"},"
               "{\"name\":\"a_very_long_name_of_a_tool_that_is_cut\"},"
               "{\"name\":\"a_very_long_name_of_a_tool_that_is_cut_too\"},{\"name\":\"\xc3\xa9\"}");

    (void)state;
    assert_int_equal(c->n_tools, 7);
    for (size_t i = 0; i < c->n_tools; i++) {
        assert_true(strlen(c->tools[i].id) <= 64);
        assert_ptr_equal(mcp_catalogue_tool(c, strv_of(c->tools[i].id)), &c->tools[i]);
    }
    assert_string_equal(c->tools[0].id, "server-with-a-name-of-31-letters__a_b");
    assert_true(strcmp(c->tools[1].id, c->tools[2].id) != 0);
    assert_non_null(c->tools[3].refused); /* twice the same name */
    assert_null(c->tools[2].refused);
    assert_non_null(c->tools[6].refused);
    assert_ptr_equal(mcp_catalogue_tool(c, STRV("server-with-a-name-of-31-letters/a/b")),
                     &c->tools[2]);
    assert_null(mcp_catalogue_tool(c, STRV("a_b")));
    mcp_catalogue_unref(c);
}

static void one_bad_tool_is_refused_alone(void **state)
{
    static const char *const allow[] = {"*", NULL}, *const deny[] = {"no*", NULL};
    struct mcp_server_conf conf = {
        .name = "s", .transport = MCP_HTTP, .allow = allow, .deny = deny};
    struct mcp_catalogue *c = catalogue(
        &conf, "{\"name\":\"fine\"},{\"name\":\"empty\",\"inputSchema\":{}},"
               "{\"name\":\"untyped\",\"inputSchema\":{\"properties\":{}}},"
               "{\"name\":\"list\",\"inputSchema\":[]},{\"name\":\"nope\"},"
               "{\"name\":\"string\",\"inputSchema\":{\"type\":\"string\"}},"
               "{\"name\":\"ref\",\"inputSchema\":{\"type\":\"object\",\"$ref\":\"#/nowhere\"}},"
               "{\"name\":\"mark\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"a\":{"
               "\"type\":\"number\",\"x-mcp-header\":\"A\"}}}}");

    (void)state;
    assert_int_equal(c->n_tools, 8);
    for (size_t i = 0; i < c->n_tools; i++)
        assert_int_equal(c->tools[i].refused == NULL, i < 3);
    assert_true(strv_eq(c->tools[1].schema, STRV("{\"type\":\"object\"}")));
    assert_true(strv_eq(c->tools[2].schema, STRV("{\"type\":\"object\",\"properties\":{}}")));
    mcp_catalogue_unref(c);
}

static void a_changed_schema_or_description_changes_the_digest(void **state)
{
    static const char *const others[] = {
        "{\"name\":\"a\",\"description\":\"e\",\"inputSchema\":{\"type\":\"object\"}}",
        "{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\",\"title\":\"\"}"
        "}",
        "{\"name\":\"b\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"}}",
        "{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"},"
        "\"outputSchema\":{}}"};
    static const char first[] =
        "{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"}}";
    static const char *const argv[] = {"other", NULL};
    struct mcp_server_conf conf = {.name = "s"};
    struct mcp_server_conf elsewhere[] = {
        {.name = "s", .argv = argv},
        {.name = "s", .local = true},
        {.name = "s", .path = "/mcp"},
        {.name = "s", .upstream = {.url = {.authority = "h:1"}}},
    };
    struct mcp_catalogue *c = catalogue(&conf, first), *again = catalogue(&conf, first);

    (void)state;
    assert_memory_equal(c->tools[0].digest, again->tools[0].digest, 32);
    mcp_catalogue_unref(again);
    for (size_t i = 0; i < COUNT(others); i++) {
        again = catalogue(&conf, others[i]);
        assert_memory_not_equal(c->tools[0].digest, again->tools[0].digest, 32);
        mcp_catalogue_unref(again);
    }
    for (size_t i = 0; i < COUNT(elsewhere); i++) {
        again = catalogue(&elsewhere[i], first);
        assert_memory_not_equal(c->tools[0].digest, again->tools[0].digest, 32);
        mcp_catalogue_unref(again);
    }
    mcp_catalogue_unref(c);
}

static void marks_stand_where_they_may(void **state)
{
    static const struct {
        const char *schema;
        bool sound;
    } cases[] = {
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"Region\"}}}", true},
        {"{\"properties\":{\"o\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\","
         "\"x-mcp-header\":\"B\"}}}}}",
         true},
        {"{\"properties\":{\"x-mcp-header\":{\"type\":\"string\"}}}",
         true}, /* a parameter's name */
        {"{\"default\":{\"x-mcp-header\":\"B\"}}", true},
        {"{\"properties\":{\"a\":{\"type\":\"number\",\"x-mcp-header\":\"A\"}}}", false},
        {"{\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}", false},
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}}}", false},
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A B\"}}}", false},
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A:\\r\\n\"}}}", false},
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":7}}}", false},
        {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},\"b\":{\"type\":"
         "\"string\",\"x-mcp-header\":\"a\"}}}",
         false},
        {"{\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
         "\"x-mcp-header\":\"A\"}}}}",
         false},
        {"{\"anyOf\":[{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}]}",
         false},
        {"{\"$defs\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena a;
        struct json doc;
        struct err err = ERR_INIT;

        arena_init(&a, 1024, 1 << 20);
        assert_true(json_read(&doc, strv_of(cases[i].schema), &a, 0, &ERR_INIT));
        if (mcp_marks_sound(doc.root, NULL, &err) != cases[i].sound)
            fail_msg("%s", cases[i].schema);
        assert_true(err.set != cases[i].sound);
        arena_fini(&a);
    }
}

static void marked_arguments_become_headers(void **state)
{
    static const char schema[] =
        "{\"properties\":{\"s\":{\"type\":\"string\",\"x-mcp-header\":\"S\"},\"i\":{\"type\":"
        "\"integer\",\"x-mcp-header\":\"I\"},\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"},"
        "\"n\":{\"type\":\"string\",\"x-mcp-header\":\"N\"},\"o\":{\"properties\":{\"d\":{\"type\":"
        "\"string\",\"x-mcp-header\":\"D\"}}},\"f\":{\"type\":\"integer\",\"x-mcp-header\":\"F\"}}"
        "}";
    static const char params[] = "{\"arguments\":{\"s\":\"a\\nb\",\"i\":-12345678901234567,\"b\":"
                                 "false,\"n\":null,\"o\":{\"d\":\"x\"},\"f\":1.5}}";
    static const char *const want[][2] = {{"Mcp-Param-S", "a\nb"},
                                          {"Mcp-Param-I", "-12345678901234567"},
                                          {"Mcp-Param-B", "false"},
                                          {"Mcp-Param-D", "x"}};
    struct http_header *headers;
    struct json s, p;
    struct arena a;
    size_t n;

    (void)state;
    arena_init(&a, 1024, 1 << 20);
    assert_true(json_read(&s, STRV(schema), &a, 0, &ERR_INIT));
    assert_true(json_read(&p, STRV(params), &a, 0, &ERR_INIT));
    assert_true(mcp_marks_headers(s.root, &p, json_get(p.root, "arguments"), &a, &headers, &n));
    assert_int_equal(n, COUNT(want));
    for (size_t i = 0; i < n; i++)
        assert_true(strv_eq_cstr(headers[i].name, want[i][0]) &&
                    strv_eq_cstr(headers[i].value, want[i][1]));
    arena_fini(&a);
}

static void no_memory_makes_no_catalogue_and_leaves_none(void **state)
{
    struct mcp_server_conf conf = {.name = "s"};
    struct mcp_listing *l =
        listing_of("{\"name\":\"a\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"b\"}");
    struct mcp_source source = {.conf = &conf, .listing = l, .state = MCP_READY};

    (void)state;
    for (uint64_t nth = 1; nth < 30; nth++) {
        mem_fail_at(nth, false);
        mcp_catalogue_unref(mcp_catalogue_make(&source, 1, 1));
        mem_fail_at(0, false);
    }
    mcp_listing_unref(l);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_come_from_rules_then_overlay_then_hints),
        cmocka_unit_test(ids_are_short_plain_and_lead_back),
        cmocka_unit_test(one_bad_tool_is_refused_alone),
        cmocka_unit_test(a_changed_schema_or_description_changes_the_digest),
        cmocka_unit_test(marks_stand_where_they_may),
        cmocka_unit_test(marked_arguments_become_headers),
        cmocka_unit_test(no_memory_makes_no_catalogue_and_leaves_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
