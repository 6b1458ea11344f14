/* SPDX-License-Identifier: Apache-2.0 */
/* loop_show: the line fits its columns, shows the way of the scores, and nobody's text steers the terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/loop_show.h"
#include "app/term.h"

static struct advisor_conf conf;
static struct arena arena;

static int open_conf(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    arena_init(&arena, 4096, 1 << 24);
    return advisor_conf_schema(&conf, STRV_NONE, &arena, &err) ? 0 : -1;
}

static int close_conf(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void play(struct loop *l, int rounds, const char *algorithm)
{
    struct err err = ERR_INIT;
    char text[256];
    snprintf(text, sizeof text, "{\"params\":{\"algorithm\":\"%s\"},\"loop\":{\"adapter\":false}}",
             algorithm);
    assert_true(loop_init(l, conf.schema, strv_of(text), &err));
    for (int i = 0; i < rounds; i++) {
        snprintf(text, sizeof text, "{\"evaluation\":{\"valid\":true,\"score\":%g}}", i / 100.0);
        assert_true(loop_take_candidate(l, STRV("{\"candidate\":1}"), 0, &err));
        assert_true(loop_take_evaluation(l, strv_of(text), 0, &err));
    }
}

static void the_line_fits_its_columns(void **state)
{
    static const size_t widths[] = {40, 60, 79, 120, 199};
    (void)state;
    for (int rounds = 0; rounds < 80; rounds += 13) {
        struct loop l;
        play(&l, rounds, "cp_sat");
        for (size_t i = 1; i < sizeof widths / sizeof *widths; i++) {
            struct buf b;
            buf_init(&b, 8192);
            loop_show_line(&b, &l, widths[i]);
            if (term_width(buf_view(&b)) > widths[i])
                fail_msg("%zu columns: " STRV_FMT, widths[i], STRV_ARG(buf_view(&b)));
            buf_fini(&b);
        }
        loop_fini(&l);
    }
}

static void scores_that_rise_are_a_curve_that_rises(void **state)
{
    struct loop l;
    struct buf b;
    (void)state;
    play(&l, 3, "cp_sat");
    buf_init(&b, 8192);
    loop_show_line(&b, &l, 120);
    buf_put_char(&b, '\0');
    assert_non_null(strstr(buf_view(&b).ptr, "round 3/200"));
    assert_non_null(strstr(buf_view(&b).ptr, "best 0.0200 of 0.95"));
    assert_non_null(strstr(buf_view(&b).ptr, "\xe2\x96\x81\xe2\x96\x84\xe2\x96\x88 cp_sat"));
    buf_fini(&b);
    loop_fini(&l);
}

static void a_name_does_not_steer_the_terminal(void **state)
{
    struct loop l;
    struct buf b;
    (void)state;
    play(&l, 1, "\\u001b[2Jx");
    buf_init(&b, 8192);
    loop_show_line(&b, &l, 120);
    strv line = buf_view(&b);
    assert_null(memchr(line.ptr, 0x1b, line.len));
    buf_fini(&b);
    loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_fits_its_columns),
        cmocka_unit_test(scores_that_rise_are_a_curve_that_rises),
        cmocka_unit_test(a_name_does_not_steer_the_terminal),
    };
    return cmocka_run_group_tests_name("loop_show", tests, open_conf, close_conf);
}
