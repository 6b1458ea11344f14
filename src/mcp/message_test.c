/* SPDX-License-Identifier: Apache-2.0 */
/* message: what is a message, what is none and with which code, ids as they came, texts made harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "mcp/message.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* From a block of exact size, so that ASan sees a byte too many. */
static bool read_text(const char *text, size_t len, struct arena *a, struct mcp_message *m,
                      int *code)
{
    char *copy = arena_alloc(a, len);
    struct err err = ERR_INIT;
    bool ok;

    assert_non_null(copy);
    memcpy(copy, text, len);
    ok = mcp_message_read((strv){copy, len}, a, m, code, &err);
    assert_true(ok != err.set);
    return ok;
}

static void messages_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum mcp_kind kind;
        const char *id, *method;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}", MCP_REQUEST, "7", "ping"},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"method\":\"ping\",\"params\":{}}", MCP_REQUEST,
         "\"7\"", "ping"},
        {"{\"id\":-9007199254740993123,\"jsonrpc\":\"2.0\",\"method\":\"a\\/b\"}", MCP_REQUEST,
         "-9007199254740993123", "a/b"},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0031\",\"method\":\"x\"}", MCP_REQUEST, "\"a\\u0031\"",
         "x"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":null}", MCP_NOTIFICATION, NULL, "n"},
        {" {\"jsonrpc\":\"2.0\",\"id\": 1 ,\"result\":{},\"more\":[1]}\r", MCP_RESULT, "1", NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":null}", MCP_RESULT, "1", NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"m\"}}", MCP_ERROR, "1",
         NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-1,\"message\":\"m\"}}", MCP_ERROR,
         NULL, NULL},
        {"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1}}", MCP_ERROR, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena a;
        struct mcp_message m;
        int code;

        arena_init(&a, 1024, 1 << 20);
        if (!read_text(cases[i].text, strlen(cases[i].text), &a, &m, &code))
            fail_msg("%s", cases[i].text);
        assert_int_equal(m.kind, cases[i].kind);
        assert_true(strv_eq(m.id, strv_of(cases[i].id)));
        assert_true((m.id.ptr == NULL) == (cases[i].id == NULL));
        assert_true(strv_eq(m.method, strv_of(cases[i].method)));
        arena_fini(&a);
    }
}

static void what_is_no_message_says_which_error_it_is(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *id;
    } cases[] = {
        {"", MCP_PARSE_ERROR, NULL},
        {"hello", MCP_PARSE_ERROR, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1", MCP_PARSE_ERROR, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", MCP_PARSE_ERROR, NULL},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", MCP_INVALID_REQUEST, NULL},
        {"7", MCP_INVALID_REQUEST, NULL},
        {"{}", MCP_INVALID_REQUEST, NULL},
        {"{\"id\":3,\"method\":\"ping\"}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":2.0,\"id\":3,\"method\":\"ping\"}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":true,\"result\":{}}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":9}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"m\",\"params\":[]}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":3}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[]}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null}", MCP_INVALID_REQUEST, "3"},
        {"{\"jsonrpc\":\"2.0\",\"result\":{}}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}", MCP_INVALID_REQUEST, NULL},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{},\"error\":{\"code\":1}}", MCP_INVALID_REQUEST,
         "3"},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":\"no\"}", MCP_INVALID_REQUEST, "3"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena a;
        struct mcp_message m;
        int code = 0;

        arena_init(&a, 1024, 1 << 20);
        if (read_text(cases[i].text, strlen(cases[i].text), &a, &m, &code))
            fail_msg("%s", cases[i].text);
        if (code != cases[i].code)
            fail_msg("%s: %d", cases[i].text, code);
        assert_true(strv_eq(m.id, strv_of(cases[i].id)));
        arena_fini(&a);
    }
}

static void an_errors_parts_are_read_and_what_is_wrong_in_it_is_borne(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":\"x\","
                               "\"data\":{\"supported\":[]}}}";
    struct arena a;
    struct mcp_message m;
    int code;

    (void)state;
    arena_init(&a, 1024, 1 << 20);
    assert_true(read_text(text, strlen(text), &a, &m, &code));
    assert_int_equal(m.code, MCP_INTERNAL);
    assert_true(strv_eq(m.text, STRV("")) && m.text.ptr != NULL);
    assert_true(yyjson_is_arr(json_get(m.data, "supported")));
    arena_fini(&a);
}

static void a_message_cut_anywhere_is_none(void **state)
{
    static const char text[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa9\\n\",\"result\":{\"a\":[1,{\"b\":null}]}}";

    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        struct arena a;
        struct mcp_message m;
        int code;

        arena_init(&a, 1024, 1 << 20);
        assert_true(read_text(text, len, &a, &m, &code) == (len == strlen(text)));
        arena_fini(&a);
    }
}

static void no_memory_is_an_error_like_others(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":1}}";

    (void)state;
    for (uint64_t nth = 1; nth < 8; nth++) {
        struct arena a;
        struct mcp_message m;
        struct err err = ERR_INIT;
        int code;
        bool ok;

        arena_init(&a, 64, 1 << 20);
        mem_fail_at(nth, false);
        ok = mcp_message_read(STRV(text), &a, &m, &code, &err);
        mem_fail_at(0, false);
        assert_true(ok != err.set);
        arena_fini(&a);
    }
}

static void revisions_have_an_era(void **state)
{
    (void)state;
    assert_int_equal(mcp_revision_era(STRV(MCP_MODERN)), MCP_ERA_MODERN);
    assert_int_equal(mcp_revision_era(STRV(MCP_LEGACY)), MCP_ERA_LEGACY);
    assert_int_equal(mcp_revision_era(STRV("2024-11-05")), MCP_ERA_LEGACY);
    assert_int_equal(mcp_revision_era(STRV("2026-07-29")), MCP_ERA_UNKNOWN);
    assert_int_equal(mcp_revision_era(STRV("")), MCP_ERA_UNKNOWN);
    assert_int_equal(mcp_revision_era(STRV_NONE), MCP_ERA_UNKNOWN);
}

static void texts_are_made_harmless(void **state)
{
    static const struct {
        const char *text;
        size_t max;
        const char *clean;
    } cases[] = {
        {"", 10, ""},
        {"plain", 10, "plain"},
        {"a\tb\nc", 10, "a\tb\nc"},
        {"a\r\nb\x07\x7f", 10, "a\nb"},
        {"\x1b[31mred\x1b[0m", 20, "red"},
        {"x\x1b[", 20, "x"},
        {"x\x1b[1;", 20, "x"},
        {"x\x1b]0;title\x07y", 20, "x]0;titley"},
        {"a\xc2\x9b\x33\x31m", 20, "a31m"}, /* the C1 form of ESC [ */
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6"
         "c",
         20, "abc"}, /* U+202E, U+2066 */
        {"a\xf3\xa0\x81\x81"
         "b",
         20, "ab"}, /* a tag */
        {"\xef\xbb\xbf"
         "a\xe2\x80\x8b"
         "b",
         20, "ab"},                           /* BOM, zero width space */
        {"\xe2\x80\x8d", 20, "\xe2\x80\x8d"}, /* the joiner */
        {"a\xff\xc3(b\xe2\x82", 20, "a(b"},   /* not UTF-8 */
        {"caf\xc3\xa9", 4, "caf"},
        {"caf\xc3\xa9", 5, "caf\xc3\xa9"},
        {"abc", 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena a;
        size_t len = strlen(cases[i].text);
        char *copy = malloc(len + 1);
        strv clean;

        assert_non_null(copy);
        memcpy(copy, cases[i].text, len + 1);
        arena_init(&a, 1024, 1 << 20);
        clean = mcp_clean((strv){copy, len}, cases[i].max, &a);
        if (!strv_eq(clean, strv_of(cases[i].clean)))
            fail_msg("%zu: '" STRV_FMT "'", i, STRV_ARG(clean));
        assert_true(utf8_valid(clean));
        arena_fini(&a);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_told_apart),
        cmocka_unit_test(what_is_no_message_says_which_error_it_is),
        cmocka_unit_test(an_errors_parts_are_read_and_what_is_wrong_in_it_is_borne),
        cmocka_unit_test(a_message_cut_anywhere_is_none),
        cmocka_unit_test(no_memory_is_an_error_like_others),
        cmocka_unit_test(revisions_have_an_era),
        cmocka_unit_test(texts_are_made_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
