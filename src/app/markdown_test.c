/* SPDX-License-Identifier: Apache-2.0 */
/* markdown: what a terminal shows, whole and cut at every place; nothing of it steers the terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "app/markdown.h"

#define OUT_MAX ((size_t)1 << 20)

/* Styles as letters in braces: bold B, italic I, colour C, all off 0. */
static void readable(const struct buf *from, struct buf *to)
{
    static const struct {
        const char *code, *word;
    } rows[] = {{"\033[0m", "{0}"}, {"\033[1m", "{B}"}, {"\033[3m", "{I}"}, {"\033[36m", "{C}"}};
    strv rest = buf_view(from);
    while (rest.len > 0) {
        size_t i = 0;
        while (i < 4 && !strv_starts(rest, strv_of(rows[i].code)))
            i++;
        if (i < 4)
            buf_put_cstr(to, rows[i].word);
        else
            buf_put_char(to, rest.ptr[0]);
        rest = strv_from(rest, i < 4 ? strlen(rows[i].code) : 1);
    }
    buf_put_char(to, '\0');
}

/* size: of the pieces; 0 = cut once at `at`. Pieces end where a character does. */
static void shown_is(strv text, size_t width, size_t size, size_t at, const char *expected)
{
    struct markdown m;
    struct buf out, read;
    markdown_init(&m, width, true);
    buf_init(&out, OUT_MAX);
    buf_init(&read, OUT_MAX);
    while (text.len > 0) {
        size_t n = size > 0 ? size : at > 0 ? at : text.len;
        n = n < text.len ? n : text.len;
        while (n < text.len && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
            n++;
        assert_true(markdown_feed(&m, (strv){text.ptr, n}, &out));
        text = strv_from(text, n);
        at = 0;
    }
    assert_true(markdown_end(&m, &out));
    readable(&out, &read);
    assert_string_equal(read.data, expected);
    buf_fini(&out);
    buf_fini(&read);
    markdown_fini(&m);
}

static void every_way(const char *text, size_t width, const char *expected)
{
    strv t = strv_of(text);
    shown_is(t, width, t.len, 0, expected);
    shown_is(t, width, 1, 0, expected);
    for (size_t at = 1; at < t.len; at++)
        shown_is(t, width, 0, at, expected);
}

static void what_people_see(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"", ""},
        {"plain", "plain\n"},
        {"two\nlines\n", "two\nlines\n"},
        {"a\n\nb", "a\n\nb\n"},
        {"a **b** c", "a {0}{B}b{0} c\n"},
        {"*i* and ***both***", "{0}{I}i{0} and {0}{B}{I}both{0}\n"},
        {"__b__ _i_", "{0}{B}b{0} {0}{I}i{0}\n"},
        {"snake_case_name", "snake_case_name\n"},
        {"2 * 3 * 4", "2 * 3 * 4\n"},
        {"`a*b*` c", "{0}{C}a*b*{0} c\n"},
        {"``a`b`` c", "{0}{C}a`b{0} c\n"},
        {"never **closed\nnext", "never {0}{B}closed{0}\nnext\n"},
        {"\\*not\\* a\\b", "*not* a\\b\n"},
        {"# Head **x**\ntext", "{0}{B}Head {0}{B}x{0}{B}{0}\ntext\n"},
        {"#hash ####### many", "#hash ####### many\n"},
        {"- one\n* two\n+ three\n  - in", "• one\n• two\n• three\n  • in\n"},
        {"-5 is a number", "-5 is a number\n"},
        {"1. one\n22) two\n3.14 is", "1. one\n22) two\n3.14 is\n"},
        {"> quoted", ">  quoted\n"},
        {"---\n***\n__", "----------------------------------------\n-------------------------------"
                         "---------\n__\n"},
        {"```c\nint  x;\n\n**no**\n```\nafter", "  {C}int  x;{0}\n\n  {C}**no**{0}\nafter\n"},
        {"~~~\na```\n~~~", "  {C}a```{0}\n"},
        {"```\nopen", "  {C}open{0}\n"},
        {"| a | b |\n|---|:-:|\n| **1** | x\\|y |\n| 100 |\nafter",
         "{B}a    b{0}\n1    x|y\n100\nafter\n"},
        {"| only", "{B}only{0}\n"},
        {"*", "*\n"},
        {"**", "**\n"},
        {"`", "`\n"},
        {"a\\", "a\\\n"},
        {"x\xc3\xa4 \xe4\xbd\xa0", "x\xc3\xa4 \xe4\xbd\xa0\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        every_way(rows[i].text, 80, rows[i].shown);
}

static void words_wrap_and_items_hang(void **state)
{
    (void)state;
    every_way("one two three four", 9, "one two\nthree\nfour\n");
    every_way("- one two three", 9, "• one two\n  three\n");
    every_way("  12. one two", 9, "  12. one\n      two\n");
    every_way("averyverylongword and", 6, "averyverylongword\nand\n");
    every_way("**one two** three", 8, "{0}{B}one two{0}\nthree\n");
    every_way("\xe4\xbd\xa0\xe5\xa5\xbd \xe4\xbd\xa0", 5,
              "\xe4\xbd\xa0\xe5\xa5\xbd\n\xe4\xbd\xa0\n");
    every_way("one two three", 0, "one two three\n");
    every_way(
        "| name | value |\n|--|--|\n| long one | and a long one |\n| x | y |", 16,
        "{B}name{0}: long one\n{B}value{0}: and a long one\n\n{B}name{0}: x\n{B}value{0}: y\n\n");
}

/* Escape sequences, C1, letters' direction: in text, code, tables and marks. */
static void nothing_steers_the_terminal(void **state)
{
    (void)state;
    every_way("a\033]0;title\007b\033[2Jc", 80, "a]0;titleb[2Jc\n");
    every_way("```\n\033[31m\xc2\x9b"
              "5m\r\n```",
              80, "  {C}[31m5m{0}\n");
    every_way("| \033c |\n|--|\n| \x7f x \b |", 80, "{B}c{0}\nx\n");
    every_way("x\xe2\x80\xaey\xe2\x81\xa6z", 80, "xyz\n");
}

static void plain_is_the_text_itself_but_clean(void **state)
{
    (void)state;
    struct markdown m;
    struct buf out;
    markdown_init(&m, 10, false);
    buf_init(&out, OUT_MAX);
    assert_true(markdown_feed(&m, STRV("# **a** \033[1mlong line of words"), &out));
    assert_true(markdown_end(&m, &out));
    assert_true(markdown_end(&m, &out));
    assert_true(strv_eq(buf_view(&out), STRV("# **a** [1mlong line of words\n")));
    buf_fini(&out);
    markdown_fini(&m);
}

/* Whatever comes: only our own escape sequences, valid text, and the same however it is cut. */
static void texts_of_chance(void **state)
{
    (void)state;
    static const char *const bits[] = {"*",  "**",       "_",    "`",    "```", "\n",   " ",
                                       "a",  "bc",       "|",    "-",    "#",   "1. ",  "> ",
                                       "\\", "\xc3\xa4", "\033", "\n\n", "~~~", "| x |"};
    struct rng rng;
    rng_seed(&rng, 3);
    for (int i = 0; i < 3000; i++) {
        struct markdown m;
        struct buf text, out, read;
        buf_init(&text, OUT_MAX);
        for (uint64_t n = rng_below(&rng, 30); n > 0; n--)
            buf_put_cstr(&text, bits[rng_below(&rng, sizeof bits / sizeof *bits)]);
        markdown_init(&m, 12, true);
        buf_init(&out, OUT_MAX);
        buf_init(&read, OUT_MAX);
        assert_true(markdown_feed(&m, buf_view(&text), &out) && markdown_end(&m, &out));
        readable(&out, &read);
        assert_null(strchr(read.data, '\033'));
        shown_is(buf_view(&text), 12, 1, 0, read.data);
        markdown_fini(&m);
        buf_fini(&text);
        buf_fini(&out);
        buf_fini(&read);
    }
}

static void long_things_are_not_held_for_ever(void **state)
{
    (void)state;
    static const char *const begins[] = {"", "```\n", "| "};
    for (size_t i = 0; i < 3; i++) {
        struct markdown m;
        struct buf out;
        markdown_init(&m, 80, true);
        buf_init(&out, OUT_MAX);
        assert_true(markdown_feed(&m, strv_of(begins[i]), &out));
        for (int k = 0; k < 200000; k++)
            assert_true(markdown_feed(&m, STRV("x"), &out));
        assert_true(buf_len(&out) > 100000);
        assert_true(markdown_end(&m, &out));
        buf_fini(&out);
        markdown_fini(&m);
    }
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    int64_t live = mem_live();
    uint64_t at = 1;
    for (bool done = false; !done; at++) {
        struct markdown m;
        struct buf out;
        markdown_init(&m, 20, true);
        buf_init(&out, OUT_MAX);
        mem_fail_at(at, false);
        done =
            markdown_feed(&m, STRV("# a\n- b **c** d\n| e | f |\n|--|--|\n```\nx\n```\n"), &out) &&
            markdown_end(&m, &out) && mem_count() < at;
        mem_fail_at(0, false);
        assert_true(done || out.failed);
        buf_fini(&out);
        markdown_fini(&m);
        assert_int_equal(mem_live(), live);
    }
    assert_true(at > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_see),
        cmocka_unit_test(words_wrap_and_items_hang),
        cmocka_unit_test(nothing_steers_the_terminal),
        cmocka_unit_test(plain_is_the_text_itself_but_clean),
        cmocka_unit_test(texts_of_chance),
        cmocka_unit_test(long_things_are_not_held_for_ever),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
