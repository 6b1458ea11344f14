/* SPDX-License-Identifier: Apache-2.0 */
/* header - values there and back; wrapped ones that are not what they seem; no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mcp/message.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct {
    strv value;
    const char *header;
} both_ways[] = {
    {TEXT(""), ""},
    {TEXT("us-west1"), "us-west1"},
    {TEXT("two words"), "two words"},
    {TEXT("a\tb"), "a\tb"},
    {TEXT("~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}"), "~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}"},
    {TEXT(" padded "), "=?base64?IHBhZGRlZCA=?="},
    {TEXT(" us"), "=?base64?IHVz?="},
    {TEXT("us "), "=?base64?dXMg?="},
    {TEXT("\tus"), "=?base64?CXVz?="},
    {TEXT("us\t"), "=?base64?dXMJ?="},
    {TEXT(" "), "=?base64?IA==?="},
    {TEXT("caf\xc3\xa9"), "=?base64?Y2Fmw6k=?="},
    {TEXT("line1\nline2"), "=?base64?bGluZTEKbGluZTI=?="},
    {TEXT("a\r\nX: y"), "=?base64?YQ0KWDogeQ==?="},
    {TEXT("a\0b"), "=?base64?YQBi?="},
    {TEXT("\x7f"), "=?base64?fw==?="},
    {TEXT("=?base64?SGVsbG8=?="), "=?base64?PT9iYXNlNjQ/U0dWc2JHOD0/PQ==?="},
    {TEXT("=?BASE64?x?="), "=?base64?PT9CQVNFNjQ/eD89?="},
    {TEXT("=?base64?="), "=?base64?PT9iYXNlNjQ/PQ==?="},
    {TEXT("=?base64?"), "=?base64?"},
    {TEXT("?="), "?="},
    {TEXT("=?utf-8?q?x?="), "=?utf-8?q?x?="},
};

static void test_there_and_back(void **state)
{
    struct arena arena;
    struct buf out;
    strv back;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(both_ways); i++) {
        buf_clear(&out);
        assert_true(mcp_header_encode(both_ways[i].value, &out));
        buf_put_char(&out, '\0');
        assert_string_equal(buf_view(&out).ptr, both_ways[i].header);
        assert_true(mcp_header_decode(strv_of(both_ways[i].header), &arena, &back));
        assert_true(strv_eq(back, both_ways[i].value));
    }
    buf_fini(&out);
    arena_fini(&arena);
}

/* header -> value, or NULL for a refusal. */
static const struct {
    strv header;
    const char *value;
} reads[] = {
    {TEXT(" us-west1\t"), "us-west1"}, /* what HTTP allows around a value is not of it */
    {TEXT("=?base64?\?="), ""},
    {TEXT("=?base64?="), "=?base64?="}, /* the marks must not share a letter */
    {TEXT("=?BASE64?eA==?="), "=?BASE64?eA==?="},
    {TEXT("=?base64?eA==?= x"), "=?base64?eA==?= x"},
    {TEXT("=?base64?eA?="), NULL}, /* padding is missing */
    {TEXT("=?base64?eA===?="), NULL},
    {TEXT("=?base64?eB==?="), NULL}, /* bits left over */
    {TEXT("=?base64?_-8=?="), NULL}, /* the other alphabet */
    {TEXT("=?base64?e A==?="), NULL},
    {TEXT("=?base64?!!!?="), NULL},
    {TEXT("=?base64?/w==?="), NULL}, /* not UTF-8 */
    {TEXT("caf\xc3\xa9"), NULL},
    {TEXT("a\nb"), NULL},
    {TEXT("a\0b"), NULL},
    {TEXT("\x7f"), NULL},
};

static void test_reads_only_what_is_exact(void **state)
{
    struct arena arena;
    strv value;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    for (size_t i = 0; i < COUNT(reads); i++) {
        bool ok = mcp_header_decode(reads[i].header, &arena, &value);

        assert_int_equal(ok, reads[i].value != NULL);
        if (ok)
            assert_true(strv_eq_cstr(value, reads[i].value));
    }
    arena_fini(&arena);
}

static void test_no_memory_is_a_refusal(void **state)
{
    struct arena arena;
    struct buf out;
    strv value;

    (void)state;
    buf_init(&out, 12); /* too small for the wrapping */
    assert_false(mcp_header_encode(STRV("caf\xc3\xa9"), &out));
    buf_fini(&out);
    buf_init(&out, 100);
    mem_fail_at(1, true);
    assert_false(mcp_header_encode(STRV("plain"), &out));
    assert_false(mcp_header_encode(STRV(" padded"), &out));
    arena_init(&arena, 1024, 1 << 20);
    assert_false(mcp_header_decode(STRV("=?base64?eA==?="), &arena, &value));
    mem_fail_at(0, false);
    arena_fini(&arena);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_reads_only_what_is_exact),
        cmocka_unit_test(test_no_memory_is_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
