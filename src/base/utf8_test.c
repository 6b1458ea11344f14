/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: every two-byte sequence, the edges of longer ones, cuts at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/utf8.h"

/* A copy of exact size, so that ASan sees a read behind the end. */
static bool valid(const char *text, size_t len)
{
    char *copy = malloc(len != 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    bool ok = utf8_valid((strv){copy, len});
    free(copy);
    return ok;
}

static const struct {
    const char *text;
    bool ok;
} cases[] = {
    {"", true},
    {"plain", true},
    {"\x7f", true},
    {"\xc2\x80", true},
    {"\xdf\xbf", true},
    {"\xe0\xa0\x80", true},
    {"\xed\x9f\xbf", true},
    {"\xee\x80\x80", true},
    {"\xef\xbf\xbf", true},
    {"\xf0\x90\x80\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"\x80", false}, /* a second byte alone */
    {"\xbf", false},
    {"\xc0\x80", false}, /* longer than needed */
    {"\xc1\xbf", false},
    {"\xe0\x9f\xbf", false},
    {"\xf0\x8f\xbf\xbf", false},
    {"\xed\xa0\x80", false}, /* surrogate */
    {"\xed\xbf\xbf", false},
    {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
    {"\xf5\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
    {"\xc2", false}, /* cut */
    {"\xe2\x82", false},
    {"\xf0\x9f\x98", false},
    {"\xc2\x41", false}, /* broken off */
    {"\xe2\x82\x41", false},
    {"\xf0\x9f\x98\x41", false},
    {"\xe2\x41\x82", false},
};

static void validity_follows_the_unicode_table(void **state)
{
    (void)state;
    char text[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t n = strlen(cases[i].text);
        for (size_t before = 0; before < 20; before++) {
            for (size_t after = 0; after < 20; after += 5) {
                memset(text, 'a', sizeof(text));
                memcpy(text + before, cases[i].text, n);
                if (valid(text, before + n + after) != cases[i].ok)
                    fail_msg("case %zu, %zu before, %zu after", i, before, after);
            }
        }
    }
    assert_true(valid("a\0b", 3));
    assert_true(utf8_valid(STRV_NONE));
}

static void every_pair_of_bytes(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bool want = a < 0x80 ? b < 0x80 : a >= 0xc2 && a <= 0xdf && (b & 0xc0) == 0x80;
            assert_int_equal(valid((char[]){(char)a, (char)b}, 2), want);
        }
    }
}

static void a_prefix_is_held_back_only_inside_a_character(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t whole;
    } whole[] = {
        {"", 0},
        {"a", 1},
        {"a\xc3", 1},
        {"a\xc3\xa9", 3},
        {"a\xe2", 1},
        {"a\xe2\x82", 1},
        {"a\xe2\x82\xac", 4},
        {"a\xf0", 1},
        {"a\xf0\x9f", 1},
        {"a\xf0\x9f\x98", 1},
        {"a\xf0\x9f\x98\x80", 5},
        {"\xf0\x9f\x98", 0},
        /* nothing that follows could make these a character */
        {"a\x80", 2},
        {"a\x80\x80\x80\x80", 5},
        {"a\xc0", 2},
        {"a\xc1", 2},
        {"a\xe0\x80", 3},
        {"a\xed\xa0", 3},
        {"a\xf0\x80", 3},
        {"a\xf4\x90", 3},
        {"a\xf5", 2},
        {"a\xff", 2},
        {"a\xc3\xa9\xa9", 4},
        /* the second of two starts counts */
        {"\xe2\xe2\x82", 1},
    };
    for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++) {
        if (utf8_whole(strv_of(whole[i].text)) != whole[i].whole)
            fail_msg("case %zu", i);
    }
    assert_int_equal(utf8_whole(STRV_NONE), 0);
}

static void a_cut_ends_at_a_characters_end(void **state)
{
    (void)state;
    const strv text = STRV("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (size_t max = 0; max < sizeof(want) / sizeof(*want); max++) {
        strv got = utf8_cut(text, max);
        assert_ptr_equal(got.ptr, text.ptr);
        assert_int_equal(got.len, want[max]);
        assert_true(utf8_valid(got));
    }
    assert_int_equal(utf8_cut(text, SIZE_MAX).len, text.len);
    assert_null(utf8_cut(STRV_NONE, 5).ptr);
}

/* A stream cut at any byte: pass what is whole, keep the rest for the next piece. */
static void pieces_of_a_stream_are_whole_at_every_split(void **state)
{
    (void)state;
    const strv text = STRV("x\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9y\xed\x9f\xbf");
    for (size_t split = 0; split <= text.len; split++) {
        size_t first = utf8_whole((strv){text.ptr, split});
        assert_true(split - first <= 3);
        assert_true(utf8_valid((strv){text.ptr, first}));
        strv rest = strv_from(text, first);
        assert_int_equal(utf8_whole(rest), rest.len);
        assert_true(utf8_valid(rest));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity_follows_the_unicode_table),
        cmocka_unit_test(every_pair_of_bytes),
        cmocka_unit_test(a_prefix_is_held_back_only_inside_a_character),
        cmocka_unit_test(a_cut_ends_at_a_characters_end),
        cmocka_unit_test(pieces_of_a_stream_are_whole_at_every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
