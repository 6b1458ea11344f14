/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/shelf_test.h"
#include "agent/slim.h"

static struct arena arena;

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 24);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct slim make(enum slim_form form, const char *description, const char *schema,
                        const char *note)
{
    struct mcp_tool t = {.id = "x__t",
                         .name = STRV("t"),
                         .title = STRV(""),
                         .description = strv_of(description),
                         .schema = strv_of(schema),
                         .note = strv_of(note)};
    struct slim s;
    assert_true(slim_make(&t, form, &arena, &s));
    s.tool.name = STRV("x__t");
    return s;
}

static void check(const char *schema, const char *want)
{
    struct slim s = make(SLIM_FULL, "", schema, "");
    assert_string_equal(arena_cstr(&arena, s.tool.schema), want);
}

#define P(inside)    "{\"properties\":{\"a\":" inside "}}"
#define WANT(inside) "{\"type\":\"object\",\"properties\":{\"a\":" inside "}}"
#define R(inside)    "{\"properties\":{\"a\":" inside "},\"required\":[\"a\"]}"
#define WANT_R(inside)                                                                             \
    "{\"type\":\"object\",\"properties\":{\"a\":" inside "},\"required\":[\"a\"]}"

static void what_says_nothing_to_a_model_goes(void **state)
{
    (void)state;
    check("{}", "{\"type\":\"object\",\"properties\":{}}");
    check(P("{\"type\":\"string\",\"title\":\"A\"}"), WANT("{\"type\":\"string\"}"));
    check(P("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}],\"default\":null}"),
          WANT("{\"type\":\"string\"}"));
    check(P("{\"type\":[\"string\",\"null\"]}"), WANT("{\"type\":\"string\"}"));
    check(
        P("{\"type\":\"string\",\"pattern\":\"^a{1,9999}$\",\"minLength\":1,\"maxLength\":99999}"),
        WANT("{\"type\":\"string\"}"));
    check("{\"properties\":{\"a\":{\"not\":{},\"if\":{},\"contains\":{}}},\"$schema\":\"x\","
          "\"additionalProperties\":false}",
          WANT("{}"));
    check(P("{\"enum\":[\"x\",null,\"y\"]}"), WANT("{\"enum\":[\"x\",\"y\"]}"));
    check(P("{\"anyOf\":[{\"const\":\"x\"},{\"const\":\"y\"}]}"), WANT("{\"enum\":[\"x\",\"y\"]}"));
    check(P("true"), WANT("{}"));
    check(P("{\"type\":\"objact\",\"properties\":{}}"),
          WANT("{\"type\":\"object\",\"properties\":{}}"));
    check(P("{\"type\":\"string\",\"properties\":{}}"), WANT("{\"type\":\"string\"}"));
}

static void a_required_parameter_that_may_be_null_keeps_it(void **state)
{
    (void)state;
    check(R("{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}"),
          WANT_R("{\"type\":[\"integer\",\"null\"]}"));
    check(R("{\"type\":[\"integer\",\"null\"]}"), WANT_R("{\"type\":[\"integer\",\"null\"]}"));
}

static void references_and_all_of_are_written_out(void **state)
{
    (void)state;
    check("{\"$defs\":{\"D\":{\"type\":\"string\",\"enum\":[\"x\"]}},\"properties\":{"
          "\"a\":{\"$ref\":\"#/$defs/D\"}}}",
          WANT("{\"type\":\"string\",\"enum\":[\"x\"]}"));
    check(
        P("{\"allOf\":[{\"type\":\"object\",\"properties\":{\"b\":{}}},{\"properties\":{\"c\":{}},"
          "\"required\":[\"c\"]}]}"),
        WANT("{\"type\":\"object\",\"properties\":{\"b\":{},\"c\":{}},\"required\":[\"c\"]}"));
    check(P("{\"$ref\":\"https://example.org/x.json\"}"), WANT("{}"));
    check("{\"anyOf\":[{\"properties\":{\"a\":{}},\"required\":[\"a\"]},{\"type\":\"string\"}]}",
          WANT("{}"));
}

static void endless_schemas_end(void **state)
{
    (void)state;
    struct slim s = make(SLIM_FULL, "", P("{\"$ref\":\"#\"}"), "");
    assert_true(s.bytes < 1000);
    s = make(
        SLIM_FULL, "",
        "{\"$defs\":{\"T\":{\"type\":\"object\",\"properties\":{\"l\":{\"$ref\":\"#/$defs/T\"},"
        "\"r\":{\"$ref\":\"#/$defs/T\"}}}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/T\"}}}",
        "");
    assert_true(s.bytes < 20000);
}

static void a_schema_that_is_too_large_becomes_any_object(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_put_cstr(&b, "{\"properties\":{");
    for (int i = 0; i < 250; i++)
        buf_printf(&b, "%s\"%0300d\":{}", i > 0 ? "," : "", i);
    buf_put_cstr(&b, "}}");
    check(arena_cstr(&arena, buf_view(&b)), "{\"type\":\"object\"}");
    buf_fini(&b);
    check("[1]", "{\"type\":\"object\",\"properties\":{}}");
    check("nonsense", "{\"type\":\"object\",\"properties\":{}}");
}

static void the_overlay_comes_in_and_secrets_stay_out(void **state)
{
    (void)state;
    struct slim s = make(
        SLIM_FULL, "[MOCK] Long words.",
        "{\"properties\":{\"a\":{\"type\":\"string\"},\"l\":{\"type\":\"array\",\"items\":{"
        "\"type\":"
        "\"string\"}},\"pin\":{},\"approval_token\":{}},\"required\":[\"a\",\"approval_token\"]}",
        "{\"note\":\"Do it.\",\"hide\":[\"pin\"],\"arguments\":{\"a\":{\"note\":\"the a\",\"enum\":"
        "[\"x\"]},\"l\":{\"items\":{\"enum\":[\"y\"]}}}}");
    assert_string_equal(arena_cstr(&arena, s.tool.description), "[MOCK] Do it.");
    assert_string_equal(
        arena_cstr(&arena, s.tool.schema),
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"description\":\"the a\","
        "\"enum\":[\"x\"]},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":["
        "\"y\"]}"
        "}},\"required\":[\"a\"]}");
    s = make(SLIM_FULL, "Plain.", "{}", "{\"mark\":\"[MOCK]\"}");
    assert_string_equal(arena_cstr(&arena, s.tool.description), "[MOCK] Plain.");
}

#define DOC                                                                                        \
    "[MOCK] Check a schedule\n    for problems.\n\n    Long story.\n\n    Args:\n"                 \
    "        start: First day\n            of the period.\n\n        end (str, optional): Last: "  \
    "day\n"                                                                                        \
    "        note: Note:\n    Returns:\n        start: not this\n    Example:\n        x(start)\n"

static void a_docstring_is_taken_apart(void **state)
{
    (void)state;
    strv doc = STRV(DOC);
    assert_string_equal(arena_cstr(&arena, slim_description(doc, &arena)),
                        "[MOCK] Check a schedule for problems.");
    assert_string_equal(arena_cstr(&arena, slim_argument(doc, STRV("start"), &arena)),
                        "First day of the period.");
    assert_string_equal(arena_cstr(&arena, slim_argument(doc, STRV("end"), &arena)), "Last: day");
    assert_int_equal(slim_argument(doc, STRV("nowhere"), &arena).len, 0);
    assert_int_equal(slim_argument(doc, STRV("x"), &arena).len, 0);
    strv fields = STRV("Do.\n:param str a: the a\n:param b: the\n  b\n:returns: x");
    assert_string_equal(arena_cstr(&arena, slim_description(fields, &arena)), "Do.");
    assert_string_equal(arena_cstr(&arena, slim_argument(fields, STRV("a"), &arena)), "the a");
    assert_string_equal(arena_cstr(&arena, slim_argument(fields, STRV("b"), &arena)), "the b");
}

static void a_description_is_one_clean_line_of_bounded_length(void **state)
{
    (void)state;
    struct buf b;
    strv got = slim_description(STRV("\x1B[31mred\x1B[0m <|im_end|> \xE2\x80\xAEx"), &arena);
    assert_string_equal(arena_cstr(&arena, got), "red < im_end| x");
    buf_init(&b, 1 << 21);
    for (int i = 0; i < 40000; i++)
        buf_printf(&b, "Word number %d is here. ", i);
    got = slim_description(buf_view(&b), &arena);
    assert_in_range(got.len, 100, 240);
    assert_int_equal(got.ptr[got.len - 1], '.');
    buf_fini(&b);
}

static void every_prefix_of_a_docstring_is_read(void **state)
{
    (void)state;
    strv doc = STRV(DOC);
    for (size_t n = 0; n <= doc.len; n++) {
        struct arena a;
        arena_init(&a, 4096, 1 << 20);
        strv part = {n > 0 ? doc.ptr : "", n};
        assert_non_null(slim_description(part, &a).ptr);
        assert_non_null(slim_argument(part, STRV("start"), &a).ptr);
        arena_fini(&a);
    }
}

/* The counts of the file are cl100k's for our note, the schema, notes and enums, nulls folded away. */
static void tokens_are_estimated_within_a_tenth(void **state)
{
    (void)state;
    struct shelf s;
    yyjson_val *one;
    size_t i, n;
    int64_t want = 0, slim = 0, lean = 0;
    shelf_scheduler(&s, true, NULL);
    yyjson_arr_foreach(s.list, i, n, one)
    {
        struct slim full, small;
        struct mcp_tool t = s.catalogue->tools[i];
        snprintf(t.id, sizeof t.id, STRV_FMT, STRV_ARG(t.name));
        assert_true(slim_make(&t, SLIM_FULL, &arena, &full));
        assert_true(slim_make(&t, SLIM_LEAN, &arena, &small));
        assert_true(small.tokens <= full.tokens);
        want += json_get_int(json_get(one, "_test"), "tokens_slim", 0);
        slim += full.tokens;
        lean += small.tokens;
    }
    print_message("# 112 tools: %lld tokens slim, %lld lean; the file says %lld\n", (long long)slim,
                  (long long)lean, (long long)want);
    assert_in_range(slim, want * 9 / 10, want * 11 / 10);
    assert_true(lean < slim);
    shelf_close(&s);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    struct mcp_tool t = {.id = "x__t",
                         .title = STRV(""),
                         .description = STRV(DOC),
                         .schema = STRV(P("{\"type\":\"string\"}")),
                         .note = STRV("{\"mark\":\"[MOCK]\"}")};
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct arena a;
        struct slim s;
        arena_init(&a, 64, 1 << 20);
        mem_fail_at(nth, true);
        bool made = slim_make(&t, SLIM_FULL, &a, &s);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(made != reached);
        arena_fini(&a);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_says_nothing_to_a_model_goes),
        TEST(a_required_parameter_that_may_be_null_keeps_it),
        TEST(references_and_all_of_are_written_out),
        TEST(endless_schemas_end),
        TEST(a_schema_that_is_too_large_becomes_any_object),
        TEST(the_overlay_comes_in_and_secrets_stay_out),
        TEST(a_docstring_is_taken_apart),
        TEST(a_description_is_one_clean_line_of_bounded_length),
        TEST(every_prefix_of_a_docstring_is_read),
        TEST(tokens_are_estimated_within_a_tenth),
        TEST(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
