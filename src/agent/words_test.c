/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/words.h"

static void check(const char *text, const char *stems)
{
    char got[256] = "";
    size_t n = 0;
    struct word w;
    strv rest = strv_of(text);
    while (words_next(&rest, &w))
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", n > 0 ? " " : "", (int)w.stem_len,
                              w.stem);
    assert_string_equal(got, stems);
}

static void a_text_is_cut_at_signs_and_capitals(void **state)
{
    (void)state;
    check("", "");
    check(" ,.! ", "");
    check("check_work-hours", "check work hour");
    check("dryRun maxHTTPSize", "dry run max httpsiz");
    check("80hours pgy2 n-1", "80 hour pgy2 n 1");
    check("\xC2\xBFQu\xC3\xA9 pasa?", "que pasa");
    check("a\xC3\xB1o Mu\xC3\xB1oz", "ano munoz");
    check("Que\xCC\x81", "que");
    check("\xE5\xA4\x9C\xE5\x8B\xA4", "\xE5\xA4\x9C\xE5\x8B\xA4");
}

static void forms_of_a_word_have_one_stem(void **state)
{
    (void)state;
    check("schedule schedules scheduling scheduled", "schedul schedul schedul schedul");
    check("validate validates validating validation", "valid valid valid valid");
    check("violation violations violacion violaciones", "viol viol violac violac");
    check("policy policies", "polici polici");
    check("run running", "run run");
    check("cansado cansados", "cans cans");
    check("class status analysis", "class status analysis");
    check("bus gas as is", "bus gas as is");
}

static void broken_bytes_are_words_too(void **state)
{
    (void)state;
    struct word w;
    char noise[600];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 7 + 128);
    for (size_t n = 0; n < sizeof noise; n++) {
        strv rest = {noise, n};
        while (words_next(&rest, &w))
            assert_in_range(w.len, 1, WORD_MAX);
    }
}

static bool idle(const char *text)
{
    struct word w;
    strv rest = strv_of(text);
    assert_true(words_next(&rest, &w));
    return words_idle(&w);
}

static void idle_words_are_known(void **state)
{
    (void)state;
    static const char *const some[] = {"a", "the", "please", "your", "que", "y", "this", "does"};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        assert_true(idle(some[i]));
    assert_false(idle("schedule"));
    assert_false(idle("zebra"));
}

static void a_slip_is_forgiven_two_are_not(void **state)
{
    (void)state;
    assert_true(words_near(STRV("backup"), STRV("backup")));
    assert_true(words_near(STRV("backup"), STRV("bacup")));
    assert_true(words_near(STRV("bacup"), STRV("backup")));
    assert_true(words_near(STRV("backup"), STRV("bakcup")));
    assert_true(words_near(STRV("backup"), STRV("backap")));
    assert_true(words_near(STRV("backup"), STRV("backups")));
    assert_false(words_near(STRV("backup"), STRV("bckp")));
    assert_false(words_near(STRV("backup"), STRV("pickup")));
    assert_false(words_near(STRV("abcd"), STRV("badc")));
}

static void letters_never_hide_a_slip(void **state)
{
    const char all[] = "abcdefghijklmnopqrstuvwxyz0123456789_\xc3\xa9";
    const char word[] = "violation9_\xc3";
    size_t len = sizeof word - 1;
    (void)state;
    for (size_t at = 0; at < len; at++)
        for (size_t c = 0; c < sizeof all - 1; c++) {
            char wrong[sizeof word], more[sizeof word + 1], swapped[sizeof word];
            memcpy(wrong, word, sizeof word);
            wrong[at] = all[c];
            memcpy(more, word, at);
            more[at] = all[c];
            memcpy(more + at + 1, word + at, len - at);
            memcpy(swapped, word, sizeof word);
            if (at > 0) {
                swapped[at] = word[at - 1];
                swapped[at - 1] = word[at];
            }
            strv near[] = {{wrong, len}, {more, len + 1}, {more + 1, len}, {swapped, len}};
            for (size_t i = 0; i < 4; i++)
                if (words_near((strv){word, len}, near[i]))
                    assert_true(words_may_be_near(words_letters((strv){word, len}),
                                                  words_letters(near[i])));
        }
    assert_false(
        words_may_be_near(words_letters(STRV("violation")), words_letters(STRV("backup"))));
}

static void slips_are_counted(void **state)
{
    (void)state;
    assert_int_equal(words_distance(STRV("kitten"), STRV("sitting"), 5), 3);
    assert_int_equal(words_distance(STRV("kitten"), STRV("sitting"), 2), 3);
    assert_int_equal(words_distance(STRV(""), STRV("abc"), 3), 3);
    assert_int_equal(words_distance(STRV("abc"), STRV("abc"), 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_cut_at_signs_and_capitals),
        cmocka_unit_test(forms_of_a_word_have_one_stem),
        cmocka_unit_test(broken_bytes_are_words_too),
        cmocka_unit_test(idle_words_are_known),
        cmocka_unit_test(a_slip_is_forgiven_two_are_not),
        cmocka_unit_test(letters_never_hide_a_slip),
        cmocka_unit_test(slips_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
