/* SPDX-License-Identifier: Apache-2.0 */
/* json_word: what is JSON stays, what is plain is mended, the rest is not guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/json_word.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* In blocks of exact size, so that ASan sees a byte too many. */
static void expect(const char *word, bool cut, const char *want)
{
    size_t len = strlen(word);
    char *copy = malloc(len), *room = malloc(JSON_WORD_ROOM);
    assert_non_null(copy);
    assert_non_null(room);
    memcpy(copy, word, len);
    strv json = json_word_value((strv){copy, len}, cut, room);
    if (!strv_eq(json, strv_of(want)))
        fail_msg("%s%s: '" STRV_FMT "'", word, cut ? " cut" : "", STRV_ARG(json));
    free(copy);
    free(room);
}

static void words_mean_what_is_plain(void **state)
{
    (void)state;
    static const struct {
        const char *word, *json;
    } cases[] = {
        {"true", "true"},
        {"false", "false"},
        {"null", "null"},
        {"True", "true"},
        {"FALSE", "false"},
        {"None", "null"},
        {"undefined", "null"},
        {"NaN", "null"},
        {"-Infinity", "null"},
        {"+inf", "null"},
        {"0", "0"},
        {"-0", "-0"},
        {"12", "12"},
        {"1.50E+05", "1.50E+05"},
        {"-0.0e-7", "-0.0e-7"},
        {"12345678901234567890123", "12345678901234567890123"},
        {"+1", "1"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"+.5e3", "0.5e3"},
        {"1.", "1"},
        {"1.e5", "1e5"},
        {"1e999", "null"},
        {"-1e999", "null"},
        {"1e-999", "1e-999"},
        {"nul", NULL},
        {"-true", NULL},
        {"+null", NULL},
        {"-", NULL},
        {"+", NULL},
        {".", NULL},
        {"-.", NULL},
        {".e5", NULL},
        {"e5", NULL},
        {"--1", NULL},
        {"01", NULL},
        {"-00", NULL},
        {"0x1F", NULL},
        {"1e", NULL},
        {"1e+", NULL},
        {"1e5.5", NULL},
        {"1.2.3", NULL},
        {"1_000", NULL},
        {"2026-11-22", NULL},
        {"12px", NULL},
        {"celsius", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].word, false, cases[i].json);
}

static void a_word_may_lack_its_end(void **state)
{
    (void)state;
    static const struct {
        const char *word, *json;
    } cases[] = {
        {"t", "true"}, {"Fals", "false"}, {"n", "null"},      {"No", "null"}, {"-Inf", "null"},
        {"1.", "1"},   {"1e", "1"},       {"-1.5e-", "-1.5"}, {"12", "12"},   {"true", "true"},
        {"-", NULL},   {".", NULL},       {"-t", NULL},       {"nX", NULL},   {"FALS", NULL},
        {"1ex", NULL}, {"0x", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].word, true, cases[i].json);
}

static void the_longest_word_fits_its_room(void **state)
{
    (void)state;
    char word[JSON_WORD_MAX + 1], want[JSON_WORD_ROOM + 1], room[JSON_WORD_ROOM];
    memset(word, '1', JSON_WORD_MAX);
    word[JSON_WORD_MAX] = '\0';
    expect(word, false, word);
    word[0] = '.';
    want[0] = '0';
    memcpy(want + 1, word, JSON_WORD_MAX + 1);
    expect(word, false, want);
    memset(word, 'x', JSON_WORD_MAX);
    strv json = json_word_quoted((strv){word, JSON_WORD_MAX}, room);
    assert_int_equal(json.len, JSON_WORD_ROOM);
    assert_true(json.ptr[0] == '"' && json.ptr[json.len - 1] == '"');
}

static void names_may_be_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *word, *json;
    } cases[] = {
        {"celsius", "\"celsius\""},
        {"_a1", "\"_a1\""},
        {"New", "\"New\""},
        {"a", "\"a\""},
        {"1a", NULL},
        {"a-b", NULL},
        {"a.b", NULL},
        {"+a", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char room[JSON_WORD_ROOM];
        assert_true(
            strv_eq(json_word_quoted(strv_of(cases[i].word), room), strv_of(cases[i].json)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_mean_what_is_plain),
        cmocka_unit_test(a_word_may_lack_its_end),
        cmocka_unit_test(the_longest_word_fits_its_room),
        cmocka_unit_test(names_may_be_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
