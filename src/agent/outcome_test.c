/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/outcome.h"

static struct arena arena;
static const struct agent_outcome_opts opts = {.bytes_max = 1 << 20, .images = true};
static const struct mcp_tool plain = {.description = {"Do.", 3}, .note = {"", 0}, .title = {"", 0}};

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 26);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct agent_outcome make_of(const struct mcp_tool *t, strv result,
                                    const struct agent_outcome_opts *with)
{
    struct agent_outcome o;
    struct mcp_answer a = {.end = MCP_OK, .result = result};
    assert_true(agent_outcome_make(t, &a, with, &arena, &o));
    assert_int_equal(o.part.kind, LLM_PART_RESULT);
    assert_true(o.part.n_parts >= 1);
    assert_int_equal(o.part.is_error, o.is_error);
    return o;
}

static const char *text_of(const struct agent_outcome *o)
{
    return arena_cstr(&arena, o->part.parts[0].text);
}

static const char *text(const char *result)
{
    struct agent_outcome o = make_of(&plain, strv_of(result), &opts);
    return text_of(&o);
}

#define T(inside) "{\"content\":[" inside "]}"
#define TEXT(t)   "{\"type\":\"text\",\"text\":\"" t "\"}"

static void text_is_what_it_is(void **state)
{
    (void)state;
    assert_string_equal(text(T(TEXT("a b"))), "a b");
    assert_string_equal(text(T(TEXT("a") "," TEXT("b"))), "a\nb");
    assert_string_equal(text(T("")), "(The tool ended without a word.)");
    assert_string_equal(text("{}"), "(The tool ended without a word.)");
    assert_string_equal(text(T(TEXT("\\u001b[31mred\\u001b[0m\\u202e!"))), "red!");
}

static void structured_content_comes_once(void **state)
{
    (void)state;
    assert_string_equal(
        text("{\"content\":[" TEXT(
            "{\\\"b\\\": 1, \\\"a\\\":[2]}") "],\"structuredContent\":{\"a\":[2],\"b\":1}}"),
        "{\"b\": 1, \"a\":[2]}");
    assert_string_equal(text("{\"content\":[" TEXT("5") "],\"structuredContent\":{\"result\":5}}"),
                        "5");
    assert_string_equal(
        text("{\"content\":[" TEXT("hi") "],\"structuredContent\":{\"result\":\"hi\"}}"), "hi");
    assert_string_equal(text("{\"content\":[" TEXT("Done.") "],\"structuredContent\":{\"a\":1}}"),
                        "Done.\n{\"a\":1}");
    assert_string_equal(text("{\"content\":[],\"structuredContent\":{\"a\":1}}"), "{\"a\":1}");
}

#define PNG                                                                                        \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJg" \
    "gg=="

static void pictures_go_to_models_that_take_them(void **state)
{
    (void)state;
    static const char picture[] =
        T("{\"type\":\"image\",\"mimeType\":\"text/evil\",\"data\":\"" PNG "\"}");
    struct agent_outcome o = make_of(&plain, STRV(picture), &opts);
    assert_int_equal(o.part.n_parts, 2);
    assert_int_equal(o.part.parts[1].kind, LLM_PART_IMAGE);
    assert_string_equal(arena_cstr(&arena, o.part.parts[1].type), "image/png");
    o = make_of(&plain, STRV(picture), &(struct agent_outcome_opts){1 << 20, false});
    assert_int_equal(o.part.n_parts, 1);
    assert_string_equal(text_of(&o), "[image, text/evil, 72 bytes: not shown]");
    assert_string_equal(
        text(T("{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"AAAA\"}")),
        "[image, image/png, 3 bytes: not shown]");
}

static void nothing_is_left_out_without_a_word(void **state)
{
    (void)state;
    assert_string_equal(
        text(T("{\"type\":\"audio\",\"mimeType\":\"audio/wav\",\"data\":\"AAAA\"}")),
        "[audio, audio/wav, 3 bytes: not shown]");
    assert_string_equal(
        text(T("{\"type\":\"resource_link\",\"uri\":\"file:///x\",\"name\":\"Plan\"}")),
        "Link: Plan <file:///x>");
    assert_string_equal(
        text(T("{\"type\":\"resource\",\"resource\":{\"uri\":\"file:///x\",\"text\":\"inside\"}}")),
        "<file:///x>\ninside");
    assert_string_equal(
        text(T(
            "{\"type\":\"resource\",\"resource\":{\"uri\":\"f:x\",\"mimeType\":\"application/pdf\","
            "\"blob\":\"AAAAAAAA\"}}")),
        "[file f:x, application/pdf, 6 bytes: not shown]");
    assert_string_equal(text(T("{\"type\":\"hologram\"}")),
                        "[a part of a kind that is not known hologram: not shown]");
    assert_string_equal(text(T("7")), "[a part of a kind that is not known: not shown]");
    assert_string_equal(
        text(T("{\"type\":\"text\",\"text\":\"secret\",\"annotations\":{\"audience\":["
               "\"user\"]}}," TEXT("b"))),
        "[a part for the user only: not shown]\nb");
    assert_string_equal(
        text(T("{\"type\":\"text\",\"text\":\"a\",\"annotations\":{\"audience\":[\"user\","
               "\"assistant\"]}}")),
        "a");
}

static void many_parts_are_counted(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_put_cstr(&b, "{\"content\":[{}");
    for (int i = 1; i < 100000; i++)
        buf_put_cstr(&b, ",{}");
    buf_put_cstr(&b, "]}");
    struct agent_outcome o = make_of(&plain, buf_view(&b), &opts);
    assert_non_null(strstr(text_of(&o), "[99744 more parts were left out]"));
    buf_fini(&b);
}

static void a_long_text_loses_its_middle(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_put_cstr(&b, "{\"content\":[{\"type\":\"text\",\"text\":\"");
    for (int i = 0; i < 10000; i++)
        buf_printf(&b, "line %d \xC3\xA9\xE2\x82\xAC\\n", i);
    buf_put_cstr(&b, "\"}]}");
    for (size_t max = 0; max < 4000; max += 37) {
        struct agent_outcome_opts small = {.bytes_max = max};
        struct agent_outcome o = make_of(&plain, buf_view(&b), &small);
        assert_true(o.part.parts[0].text.len <= max + 60);
        assert_true(utf8_valid(o.part.parts[0].text));
        assert_non_null(strstr(text_of(&o), "bytes in the middle were left out]"));
        assert_true(o.bytes > o.kept);
    }
    struct agent_outcome_opts small = {.bytes_max = 1000};
    struct agent_outcome o = make_of(&plain, buf_view(&b), &small);
    assert_true(strv_starts(o.part.parts[0].text, STRV("line 0 ")));
    assert_non_null(strstr(text_of(&o), "line 9999 "));
    buf_fini(&b);
}

struct row {
    const char *result, *marker; /* NULL = nothing to say */
};

static void placeholders_are_marked(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {T(TEXT("Using placeholder data")), "placeholder"},
        {T(TEXT("MOCK result")), "mock"},
        {T(TEXT("hammock")), NULL},
        {T(TEXT("{\\\"note\\\":\\\"Simulated run\\\"}")), "simulated"},
        {T(TEXT("{\\\"mock\\\":1,\\\"fallbacks\\\":[]}")), NULL},
        {"{\"structuredContent\":{\"a\":[{\"b\":\"service unavailable\"}]}}", "unavailable"},
        {"{\"structuredContent\":{\"mode\":\"standalone_mode\"}}", "standalone_mode"},
        {"{\"structuredContent\":{\"m\":\"Data not available\"}}", "not available"},
        {"{\"structuredContent\":{\"m\":\"Simplified formula\"}}", "simplified"},
        {"{\"structuredContent\":{\"m\":\"rough estimate\"}}", "estimate"},
        {"{\"structuredContent\":{\"m\":\"fallback\"}}", "fallback"},
        {"{\"structuredContent\":{\"metadata\":{\"reason\":\"no_db\"}}}", "metadata.reason"},
        {"{\"structuredContent\":{\"metadata\":{\"source\":\"canned\"}}}", "metadata.source"},
        {"{\"structuredContent\":{\"metadata\":{\"source\":\"backend\"}}}", NULL},
        {"{\"structuredContent\":{\"severity\":\"healthy\",\"a\":0,\"b\":0.0}}",
         "all zero and healthy"},
        {"{\"structuredContent\":{\"severity\":\"healthy\",\"a\":0,\"b\":2}}", NULL},
        {"{\"structuredContent\":{\"is_valid\":true,\"compliance_rate\":1.0,\"critical_count\":0,"
         "\"issues\":[{\"severity\":\"info\",\"rule_type\":\"system\",\"constraint_name\":"
         "\"connectivity\",\"message\":\"see docs\"}]}}",
         "connectivity"},
        {T(TEXT("80 hours, all is well")), NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct agent_outcome o = make_of(&plain, strv_of(rows[i].result), &opts);
        if (o.suspect != (rows[i].marker != NULL) ||
            (o.suspect && strcmp(o.marker, rows[i].marker) != 0))
            fail_msg("%s: %s", rows[i].result, o.marker != NULL ? o.marker : "nothing");
        assert_true(o.suspect == strv_starts(o.part.parts[0].text, STRV("Note: this may be ")));
    }
}

static void a_tool_known_to_invent_is_marked(void **state)
{
    (void)state;
    struct mcp_tool t = {.description = STRV("[MOCK] Do."), .note = STRV("")};
    assert_string_equal(make_of(&t, STRV(T(TEXT("5"))), &opts).marker, "[MOCK]");
    t = (struct mcp_tool){.description = STRV(""), .note = STRV("{\"source\":\"constant\"}")};
    assert_string_equal(make_of(&t, STRV(T(TEXT("5"))), &opts).marker, "constant");
    t.note = STRV("{\"source\":\"backend\"}");
    assert_null(make_of(&t, STRV(T(TEXT("5"))), &opts).marker);
    t.note = STRV("{\"source\":\"constant\"}");
    assert_null(make_of(&t, STRV("{\"isError\":true,\"content\":[]}"), &opts).marker);
}

static void failures_are_errors_in_every_form(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"isError\":true,\"content\":[" TEXT("x") "]}",
        "{\"structuredContent\":{\"success\":false}}",
        T(TEXT("{\\\"status\\\":\\\"error\\\",\\\"message\\\":\\\"x\\\"}")),
        "nonsense",
        "[]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(make_of(&plain, strv_of(bad[i]), &opts).is_error);
    assert_false(
        make_of(&plain, STRV("{\"structuredContent\":{\"success\":true}}"), &opts).is_error);
    for (int end = MCP_REFUSED; end <= MCP_MEMORY; end++) {
        struct agent_outcome o;
        struct mcp_answer a = {.end = (enum mcp_end)end, .text = STRV("no such\x1B[2J tool")};
        assert_true(agent_outcome_make(&plain, &a, &opts, &arena, &o));
        assert_true(o.is_error && o.part.is_error);
        assert_non_null(strstr(text_of(&o), ": no such tool."));
    }
}

static void a_sentence_of_ours_is_a_result(void **state)
{
    (void)state;
    struct agent_outcome o;
    assert_true(agent_outcome_say(STRV("There is no tool x."), &arena, &o));
    assert_string_equal(text_of(&o), "There is no tool x.");
    assert_false(o.is_error);
}

static void every_prefix_ends_in_a_result(void **state)
{
    (void)state;
    strv all = STRV(
        "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"a\\\":1}\"},{\"type\":\"image\",\"data\":"
        "\"" PNG "\"}],\"structuredContent\":{\"a\":1},\"isError\":false}");
    for (size_t n = 0; n <= all.len; n++)
        (void)make_of(&plain, (strv){all.ptr, n}, &opts);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    struct mcp_answer a = {
        .end = MCP_OK,
        .result = STRV("{\"content\":[" TEXT("a") "],\"structuredContent\":{\"b\":2}}")};
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct arena small;
        struct agent_outcome o;
        arena_init(&small, 64, 1 << 20);
        mem_fail_at(nth, true);
        bool ok = agent_outcome_make(&plain, &a, &opts, &small, &o);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(ok || reached);
        if (ok)
            assert_string_equal(arena_cstr(&arena, o.part.parts[0].text), "a\n{\"b\":2}");
        arena_fini(&small);
    }
}

#define TESTED(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTED(text_is_what_it_is),
        TESTED(structured_content_comes_once),
        TESTED(pictures_go_to_models_that_take_them),
        TESTED(nothing_is_left_out_without_a_word),
        TESTED(many_parts_are_counted),
        TESTED(a_long_text_loses_its_middle),
        TESTED(placeholders_are_marked),
        TESTED(a_tool_known_to_invent_is_marked),
        TESTED(failures_are_errors_in_every_form),
        TESTED(a_sentence_of_ours_is_a_result),
        TESTED(every_prefix_ends_in_a_result),
        TESTED(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
