/* SPDX-License-Identifier: Apache-2.0 */
/* term: what may reach a terminal, and tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/term.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void assert_text(struct buf *b, const char *expected)
{
    assert_false(b->failed);
    assert_int_equal(buf_len(b), strlen(expected));
    assert_memory_equal(buf_view(b).ptr, expected, buf_len(b));
    buf_fini(b);
}

static void control_characters_are_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *one_line, *lines;
    } cases[] = {
        {"", "", ""},
        {"plain", "plain", "plain"},
        {"a\nb\tc\rd", "abcd", "a\nb\tcd"},
        {"\033[31mred\033[0m", "[31mred[0m", "[31mred[0m"},
        {"\033]0;title\a", "]0;title", "]0;title"},
        {"x\177y", "xy", "xy"},
        {"\302\233"
         "31m",
         "31m", "31m"},                                       /* CSI as one character */
        {"\302\200\302\237\302\240", "\302\240", "\302\240"}, /* a hard space is none of them */
        {"Caf\303\251 \360\237\231\202", "Caf\303\251 \360\237\231\202",
         "Caf\303\251 \360\237\231\202"},
        {"\302", "\302", "\302"}, /* the end of a text cut in a letter */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf b;
        buf_init(&b, 1000);
        assert_true(term_clean(&b, strv_of(cases[i].text), false));
        assert_text(&b, cases[i].one_line);
        assert_true(term_clean(&b, strv_of(cases[i].text), true));
        assert_text(&b, cases[i].lines);
    }
}

static void widths_count_characters(void **state)
{
    (void)state;
    assert_int_equal(term_width(STRV("")), 0);
    assert_int_equal(term_width(STRV("abc")), 3);
    assert_int_equal(term_width(STRV("Caf\303\251")), 4);
}

static void styles_need_colour(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    term_put(&b, false, TERM_BAD, "no\033");
    assert_text(&b, "no");
    term_put(&b, true, TERM_PLAIN, "no");
    assert_text(&b, "no");
    term_put(&b, true, TERM_BAD, "yes");
    assert_text(&b, "\033[31myes\033[0m");
}

static void put_row(struct term_table *t, const char *a, const char *b, const char *c)
{
    term_table_cell(t, TERM_PLAIN, "%s", a);
    term_table_cell(t, TERM_PLAIN, "%s", b);
    term_table_cell(t, TERM_PLAIN, "%s", c);
}

static void tables_have_straight_columns(void **state)
{
    (void)state;
    struct term_table t;
    struct buf b;
    term_table_init(&t, 3);
    put_row(&t, "A", "BB", "C");
    put_row(&t, "Caf\303\251", "", "long\nline");
    put_row(&t, "x", "y", "");
    put_row(&t, "", "", "");
    buf_init(&b, 1000);
    term_table_put(&t, &b, 1, false);
    assert_text(&b, " A     BB  C\n"
                    " Caf\303\251      longline\n"
                    " x     y\n"
                    " \n");
}

static void a_table_without_rows_is_nothing(void **state)
{
    (void)state;
    struct term_table t;
    struct buf b;
    term_table_init(&t, 3);
    buf_init(&b, 1000);
    term_table_put(&t, &b, 1, false);
    assert_text(&b, "");
}

static void long_cells_are_cut_between_letters(void **state)
{
    (void)state;
    char text[1024];
    struct term_table t;
    struct buf b;
    memset(text, 'x', sizeof text);
    memcpy(text + 510, "\303\251", 2); /* the cut falls into it */
    text[sizeof text - 1] = '\0';
    term_table_init(&t, 1);
    term_table_cell(&t, TERM_PLAIN, "%s", text);
    buf_init(&b, 2000);
    term_table_put(&t, &b, 0, false);
    assert_int_equal(buf_len(&b), 511);
    assert_true(utf8_valid(buf_view(&b)));
    buf_fini(&b);
}

static void refused_memory_fails_the_text(void **state)
{
    (void)state;
    int64_t live = mem_live();
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct term_table t;
        struct buf b;
        buf_init(&b, 100000);
        mem_fail_at(nth, false);
        term_table_init(&t, 3);
        for (int i = 0; i < 70; i++)
            put_row(&t, "some text", "more of it", "and the rest");
        term_table_put(&t, &b, 0, true);
        uint64_t asked = mem_count();
        mem_fail_at(0, false);
        assert_true(b.failed || asked < nth || buf_len(&b) > 0);
        if (!b.failed)
            assert_int_equal(buf_len(&b), 70 * 35);
        buf_fini(&b);
    }
    assert_int_equal(mem_live(), live);
}

static void json_members(void **state)
{
    (void)state;
    struct buf b;
    bool first = true;
    buf_init(&b, 1000);
    term_json_text(&b, &first, "a", STRV("x\"\n"));
    term_json_text(&b, &first, "b", STRV_NONE);
    term_json_bool(&b, &first, "c", true);
    assert_text(&b, "\"a\":\"x\\\"\\n\",\"b\":null,\"c\":true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_left_out),
        cmocka_unit_test(widths_count_characters),
        cmocka_unit_test(styles_need_colour),
        cmocka_unit_test(tables_have_straight_columns),
        cmocka_unit_test(a_table_without_rows_is_nothing),
        cmocka_unit_test(long_cells_are_cut_between_letters),
        cmocka_unit_test(refused_memory_fails_the_text),
        cmocka_unit_test(json_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
