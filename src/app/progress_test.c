/* SPDX-License-Identifier: Apache-2.0 */
/* progress: what lines come to, in figures and in text; no clock but the one given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/progress.h"
#include "app/term.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define SECOND       1000000

static bool take(struct progress *p, const char *line, int64_t now_us)
{
    struct arena scratch;
    arena_init(&scratch, 1024, 65536);
    bool ok = progress_take(p, strv_of(line), &scratch, now_us);
    arena_fini(&scratch);
    return ok;
}

static const char *text_of(void (*put)(struct buf *out, const struct progress *p, const char *name,
                                       size_t width),
                           const struct progress *p, size_t width)
{
    static char text[2048];
    struct buf b;
    buf_init(&b, sizeof text - 1);
    put(&b, p, "llama3.2", width);
    assert_false(b.failed);
    memcpy(text, buf_view(&b).ptr, buf_len(&b));
    text[buf_len(&b)] = '\0';
    buf_fini(&b);
    return text;
}

static void line_of(struct buf *out, const struct progress *p, const char *name, size_t width)
{
    (void)width;
    progress_put_line(out, p, name);
}

static void lines_are_summed_over_layers(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_begin(&p, 0);
    assert_true(take(&p, "{\"status\":\"pulling manifest\"}", 0));
    assert_string_equal(text_of(line_of, &p, 0), "llama3.2: pulling manifest");
    assert_true(take(&p, "{\"status\":\"pulling a\",\"digest\":\"a\",\"total\":2000}", 0));
    assert_int_equal(p.total, 2000);
    assert_true(take(
        &p, "{\"status\":\"pulling a\",\"digest\":\"a\",\"total\":2000,\"completed\":500}", 0));
    assert_true(take(
        &p, "{\"status\":\"pulling b\",\"digest\":\"b\",\"total\":1000,\"completed\":1000}", 0));
    assert_int_equal(p.total, 3000);
    assert_int_equal(p.completed, 1500);
    assert_int_equal(p.moved, 500); /* b was there */
    assert_string_equal(text_of(line_of, &p, 0), "llama3.2: pulling b: 50 %, 1.5 kB of 3.0 kB");
    assert_true(take(&p, "{\"status\":\"verifying sha256 digest\"}", 0));
    assert_false(p.success);
    assert_true(take(&p, "{\"status\":\"success\"}", 0));
    assert_true(p.success);
}

static void a_new_attempt_counts_what_was_there_only_once(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_begin(&p, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000,\"completed\":0}", 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000,\"completed\":900}", 0);
    progress_begin(&p, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000,\"completed\":800}", 0);
    assert_int_equal(p.completed, 800);
    assert_int_equal(p.moved, 900);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000,\"completed\":2000}", 0);
    assert_int_equal(p.completed, 2000);
    assert_int_equal(p.moved, 2100);
    assert_int_equal(p.n, 1);
}

static void speed_is_smoothed(void **state)
{
    (void)state;
    struct progress p = {0};
    char line[128];
    progress_begin(&p, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":100000000,\"completed\":50000000}", 0);
    assert_int_equal(progress_seconds_left(&p), -1);
    for (int s = 1; s <= 10; s++) { /* 1 MB/s; what was there at first is no speed */
        snprintf(line, sizeof line,
                 "{\"status\":\"s\",\"digest\":\"a\",\"total\":100000000,\"completed\":%d}",
                 50000000 + s * 1000000);
        take(&p, line, s * (int64_t)SECOND);
    }
    assert_true(p.rate > 999999 && p.rate < 1000001);
    assert_int_equal(progress_seconds_left(&p), 40);
    assert_string_equal(text_of(line_of, &p, 0),
                        "llama3.2: s: 60 %, 60.0 MB of 100 MB, 1.0 MB/s, 40 s left");
    take(&p, line, 11 * (int64_t)SECOND); /* a second without a byte */
    assert_true(p.rate > 750000 && p.rate < 850000);
    take(&p, "{\"status\":\"verifying\"}", 11 * (int64_t)SECOND);
    assert_string_equal(text_of(line_of, &p, 0), "llama3.2: verifying");
}

static void bytes_that_are_counted_here_are_told_alike(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_begin(&p, 5 * SECOND);
    progress_moved(&p, 1000000, 10000000, 6 * SECOND);
    assert_string_equal(
        text_of(progress_put_bar, &p, 80),
        "llama3.2  10 % [==>                      ] 1.0 MB of 10.0 MB, 1.0 MB/s, 9 s left");
    progress_moved(&p, 11000000, 10000000, 7 * SECOND); /* a file that was read twice */
    assert_int_equal(p.completed, 10000000);
    progress_moved(&p, 0, 0, 8 * SECOND);
    assert_int_equal(p.completed, 0);
}

static void bars_fit_their_width(void **state)
{
    (void)state;
    struct progress p = {0};
    progress_begin(&p, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000000000,\"completed\":0}", 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000000000,\"completed\":900000000}",
         60 * (int64_t)SECOND);
    assert_string_equal(
        text_of(progress_put_bar, &p, 79),
        "llama3.2  45 % [=======>         ] 900 MB of 2.0 GB, 15.0 MB/s, 1 min 13 s left");
    assert_string_equal(text_of(progress_put_bar, &p, 70),
                        "llama3.2  45 % 900 MB of 2.0 GB, 15.0 MB/s, 1 min 13 s left");
    for (size_t width = 1; width < 200; width++)
        assert_true(term_width(strv_of(text_of(progress_put_bar, &p, width))) <= width);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":2000000000,\"completed\":2000000000}",
         61 * (int64_t)SECOND);
    assert_string_equal(text_of(progress_put_bar, &p, 48),
                        "llama3.2 100 % [==============] 2.0 GB of 2.0 GB");
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "", "x", "7", "[]", "{}", "{\"status\":7}", "{", "\"ok\"", "{\"total\":1}"};
    struct progress p = {0};
    for (size_t i = 0; i < COUNT(lines); i++)
        assert_false(take(&p, lines[i], 0));
}

static void a_server_cannot_break_the_sums_or_the_terminal(void **state)
{
    (void)state;
    struct progress p = {0};
    char line[400];
    progress_begin(&p, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":-5,\"completed\":7}", 0);
    assert_int_equal(p.total, 0);
    assert_int_equal(p.completed, 0);
    take(&p, "{\"status\":\"s\",\"digest\":\"a\",\"total\":100,\"completed\":700}", 0);
    assert_int_equal(p.completed, 100);
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof line,
                 "{\"status\":\"s\",\"digest\":\"d%d\",\"total\":9223372036854775807,"
                 "\"completed\":9223372036854775807}",
                 i);
        assert_true(take(&p, line, 0));
    }
    assert_int_equal(p.n, PROGRESS_LAYERS_MAX);
    assert_true(p.total > 0 && p.completed <= p.total);
    take(&p, "{\"status\":\"\\u001b[2Jpulling\\u0007\\n\"}", 0);
    assert_string_equal(text_of(progress_put_bar, &p, 80), "llama3.2: [2Jpulling");
    memset(line, 'd', 300); /* a digest that is none */
    line[300] = '\0';
    char text[512];
    snprintf(text, sizeof text, "{\"status\":\"s\",\"digest\":\"%s\",\"total\":5}", line);
    assert_true(take(&p, text, 0));
    assert_true(take(&p, "{\"error\":\"no space left\"}", 0));
    assert_string_equal(p.error, "no space left");
    assert_true(take(&p, "{\"error\":\"\"}", 0));
    assert_string_not_equal(p.error, "");
}

static void units_are_for_people(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *bytes, *seconds;
    } cases[] = {
        {0, "0 B", "0 s"},
        {59, "59 B", "59 s"},
        {60, "60 B", "1 min 0 s"},
        {999, "999 B", "16 min 39 s"},
        {1000, "1.0 kB", "16 min 40 s"},
        {3600, "3.6 kB", "1 h 0 min"},
        {7500, "7.5 kB", "2 h 5 min"},
        {99949, "99.9 kB", "27 h 45 min"},
        {99951, "100 kB", NULL},
        {999499, "999 kB", NULL},
        {999500, "1.0 MB", NULL},
        {2019377376, "2.0 GB", NULL},
        {5000000000000000, "5.0 PB", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf b;
        buf_init(&b, 100);
        progress_put_bytes(&b, cases[i].n);
        assert_true(strv_eq_cstr(buf_view(&b), cases[i].bytes));
        buf_clear(&b);
        progress_put_seconds(&b, cases[i].n);
        assert_true(cases[i].seconds == NULL || strv_eq_cstr(buf_view(&b), cases[i].seconds));
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_summed_over_layers),
        cmocka_unit_test(a_new_attempt_counts_what_was_there_only_once),
        cmocka_unit_test(speed_is_smoothed),
        cmocka_unit_test(bytes_that_are_counted_here_are_told_alike),
        cmocka_unit_test(bars_fit_their_width),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(a_server_cannot_break_the_sums_or_the_terminal),
        cmocka_unit_test(units_are_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
