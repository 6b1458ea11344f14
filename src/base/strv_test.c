/* SPDX-License-Identifier: Apache-2.0 */
/* strv: tables of cases with their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/strv.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void comparing(void **state)
{
    (void)state;
    assert_true(strv_eq(STRV("a"), STRV("a")));
    assert_true(strv_eq(STRV(""), STRV_NONE));
    assert_false(strv_eq(STRV("a"), STRV("b")));
    assert_false(strv_eq(STRV("a"), STRV("aa")));
    assert_true(strv_eq_cstr(STRV("abc"), "abc"));
    assert_false(strv_eq_cstr(STRV("abc"), "ab"));
    assert_false(strv_eq_cstr(STRV("a\0b"), "a"));
    assert_true(strv_eq_nocase(STRV("Content-TYPE"), STRV("content-type")));
    assert_true(strv_eq_nocase(STRV_NONE, STRV("")));
    assert_false(strv_eq_nocase(STRV("a"), STRV("ab")));
    assert_false(strv_eq_nocase(STRV("@[`{"), STRV("`{@["))); /* next to the letters */
    assert_false(strv_eq_nocase(STRV("\xc3\x84"), STRV("\xc3\xa4")));
    assert_null(strv_of(NULL).ptr);
    assert_int_equal(strv_of("abc").len, 3);
}

static void starts_ends_contains(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        bool starts, ends, contains;
    } cases[] = {
        {"", "", true, true, true},
        {"a", "", true, true, true},
        {"", "a", false, false, false},
        {"abc", "abc", true, true, true},
        {"abc", "abcd", false, false, false},
        {"abc", "ab", true, false, true},
        {"abc", "bc", false, true, true},
        {"abc", "b", false, false, true},
        {"aba", "a", true, true, true},
        {"abc", "AB", false, false, true},
        {"Bearer x", "EARER X", false, false, true},
        {"aab", "ab", false, true, true},
        {"abc", "x", false, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        strv text = strv_of(cases[i].text), part = strv_of(cases[i].part);
        assert_int_equal(strv_starts(text, part), cases[i].starts);
        assert_int_equal(strv_ends(text, part), cases[i].ends);
        assert_int_equal(strv_contains_nocase(text, part), cases[i].contains);
    }
    assert_true(strv_starts(STRV_NONE, STRV_NONE));
    assert_true(strv_ends(STRV_NONE, STRV("")));
    assert_true(strv_contains_nocase(STRV_NONE, STRV("")));
    assert_false(strv_starts(STRV_NONE, STRV("a")));
}

static void trimming(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},     {" ", ""},          {" \t\r\n ", ""}, {"a", "a"},
        {" a ", "a"}, {"\ta b\n", "a b"}, {"a\v", "a\v"},   {"\r\na", "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_true(strv_eq_cstr(strv_trim(strv_of(cases[i][0])), cases[i][1]));
    assert_non_null(strv_trim(STRV("  ")).ptr);
    assert_null(strv_trim(STRV_NONE).ptr);
}

static void cutting(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *parts[4];
    } cases[] = {
        {"", 1, {""}},
        {"a", 1, {"a"}},
        {"a,b", 2, {"a", "b"}},
        {"a,", 2, {"a", ""}},
        {",a", 2, {"", "a"}},
        {",", 2, {"", ""}},
        {"a,,b", 3, {"a", "", "b"}},
        {",,,", 4, {"", "", "", ""}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        strv rest = strv_of(cases[i].text), part;
        for (size_t n = 0; n < cases[i].n; n++) {
            assert_true(strv_cut(&rest, ',', &part));
            assert_non_null(part.ptr);
            assert_true(strv_eq_cstr(part, cases[i].parts[n]));
        }
        assert_null(rest.ptr);
        assert_false(strv_cut(&rest, ',', &part));
        assert_null(part.ptr);
    }
    strv rest = STRV_NONE, part;
    assert_false(strv_cut(&rest, ',', &part));
}

static void unsigned_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t min, max;
        bool ok;
        uint64_t want;
    } cases[] = {
        {"0", 0, UINT64_MAX, true, 0},
        {"007", 0, UINT64_MAX, true, 7},
        {"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
        {"000018446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", 0, UINT64_MAX, false, 0},
        {"18446744073709551620", 0, UINT64_MAX, false, 0},
        {"99999999999999999999", 0, UINT64_MAX, false, 0},
        {"184467440737095516150", 0, UINT64_MAX, false, 0},
        {"5", 5, 7, true, 5},
        {"7", 5, 7, true, 7},
        {"4", 5, 7, false, 0},
        {"8", 5, 7, false, 0},
        {"", 0, UINT64_MAX, false, 0},
        {"-1", 0, UINT64_MAX, false, 0},
        {"+1", 0, UINT64_MAX, false, 0},
        {" 1", 0, UINT64_MAX, false, 0},
        {"1 ", 0, UINT64_MAX, false, 0},
        {"1.0", 0, UINT64_MAX, false, 0},
        {"0x1", 0, UINT64_MAX, false, 0},
        {"1e3", 0, UINT64_MAX, false, 0},
        {"/", 0, UINT64_MAX, false, 0},
        {":", 0, UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t got = 12345;
        bool ok = strv_u64(strv_of(cases[i].text), cases[i].min, cases[i].max, &got);
        if (ok != cases[i].ok || got != (ok ? cases[i].want : 12345))
            fail_msg("'%s'", cases[i].text);
    }
    uint64_t got;
    assert_false(strv_u64(STRV_NONE, 0, 1, &got));
    assert_true(strv_u64((strv){"123", 2}, 0, 99, &got)); /* ends at len, not at a terminator */
    assert_int_equal(got, 12);
}

static void signed_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"-18446744073709551615", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
        {"- 1", false, 0},
        {"1-", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t got = 12345;
        bool ok = strv_i64(strv_of(cases[i].text), &got);
        if (ok != cases[i].ok || got != (ok ? cases[i].want : 12345))
            fail_msg("'%s'", cases[i].text);
    }
}

static void fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
    } good[] = {
        {"0", 0},
        {"0.7", 0.7},
        {"-1.5", -1.5},
        {"1e3", 1000},
        {"1E-9", 1e-9},
        {"2.5e+2", 250},
        {"18446744073709551616", 18446744073709551616.0},
        {"9007199254740993", 9007199254740993.0},
        {"1.7976931348623157e308", DBL_MAX},
        {"2.2250738585072014e-308", DBL_MIN},
        {"5e-324", 5e-324},
        {"0.1000000000000000055511151231257827021181583404541015625", 0.1},
    };
    static const char *const bad[] = {
        "",      " 1",   "1 ",   "+1",    ".5",  "5.",  "01",       "1e",    "1e+",    "-",
        "--1",   "0x10", "inf",  "-inf",  "nan", "NaN", "Infinity", "1e999", "-1e999", "1,5",
        "1.2.3", "true", "null", "\"1\"", "[1]", "1\n", "1//",      "0x1p3", "1_000",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        double got = -77;
        if (!strv_double(strv_of(good[i].text), &got) || got != good[i].want)
            fail_msg("'%s' gives %.17g", good[i].text, got);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        double got = -77;
        if (strv_double(strv_of(bad[i]), &got) || got != -77)
            fail_msg("'%s' is accepted", bad[i]);
    }
    double got;
    char longest[200];
    memset(longest, '1', sizeof(longest));
    assert_false(strv_double(STRV_NONE, &got));
    assert_false(strv_double(STRV("1\0"), &got));
    assert_true(strv_double((strv){"1.55", 3}, &got));
    assert_true(got == 1.5);
    assert_true(strv_double((strv){longest, 127}, &got));
    assert_false(strv_double((strv){longest, 128}, &got));
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool want;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "", true},
        {"a", "", false},
        {"claude-*", "claude-3", true},
        {"claude-*", "claude-", true},
        {"claude-*", "claude", false},
        {"claude-*", "xclaude-3", false},
        {"*-mini", "gpt-4o-mini", true},
        {"*-mini", "gpt-4o-mini-x", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "aXbXbXc", true},
        {"a*b*c", "acb", false},
        {"a**b", "ab", true},
        {"*ab*ab", "abab", true},
        {"*ab*ab", "aab", false},
        {"*aab", "aaab", true},
        {"a?c", "abc", false}, /* only the star is special */
        {"a?c", "a?c", true},
        {"[ab]", "a", false},
        {"A", "a", false},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (strv_glob(strv_of(cases[i].pattern), strv_of(cases[i].text)) != cases[i].want)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].text);
    }
    assert_true(strv_glob(STRV("*"), STRV_NONE));
}

static void hashes_differ_by_text_and_seed(void **state)
{
    (void)state;
    assert_true(strv_hash(STRV("abc"), 1) == strv_hash(STRV("abc"), 1));
    assert_true(strv_hash(STRV("abc"), 1) != strv_hash(STRV("abc"), 2));
    assert_true(strv_hash(STRV("abc"), 1) != strv_hash(STRV("abd"), 1));
    assert_true(strv_hash(STRV("abc"), 1) != strv_hash(STRV("ab"), 1));
    assert_true(strv_hash(STRV_NONE, 1) == strv_hash(STRV(""), 1));
    /* The low bits alone fill a table: 1000 short names in 1024 places leave about 386 empty. */
    unsigned char seen[1024] = {0};
    size_t empty = 0;
    for (int i = 0; i < 1000; i++) {
        char name[3] = {(char)('a' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10)};
        seen[strv_hash((strv){name, 3}, 0) % 1024] = 1;
    }
    for (size_t i = 0; i < 1024; i++)
        empty += seen[i] == 0;
    assert_in_range(empty, 330, 440);
}

static void order_is_by_bytes_then_length(void **state)
{
    (void)state;
    static const char *const sorted[] = {"", "A", "Aa", "B", "a", "aa", "ab", "b", "\xc3\xa4"};
    for (size_t i = 0; i < COUNT(sorted); i++) {
        for (size_t j = 0; j < COUNT(sorted); j++) {
            int order = strv_cmp(strv_of(sorted[i]), strv_of(sorted[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
    assert_int_equal(strv_cmp(STRV_NONE, STRV("")), 0);
}

static void letters_have_their_classes(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char *at = c != 0 ? strchr("0123456789abcdefABCDEF", c) : NULL;
        int digit = at == NULL ? -1 : (int)strtol((char[]){(char)c, '\0'}, NULL, 16);
        assert_int_equal(strv_hex((char)c), digit);
        assert_int_equal(strv_is_blank((char)c), c == ' ' || c == '\t' || c == '\r' || c == '\n');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_have_their_classes),
        cmocka_unit_test(comparing),
        cmocka_unit_test(starts_ends_contains),
        cmocka_unit_test(trimming),
        cmocka_unit_test(cutting),
        cmocka_unit_test(unsigned_numbers),
        cmocka_unit_test(signed_numbers),
        cmocka_unit_test(fractions),
        cmocka_unit_test(globs),
        cmocka_unit_test(hashes_differ_by_text_and_seed),
        cmocka_unit_test(order_is_by_bytes_then_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
