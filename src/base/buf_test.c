/* SPDX-License-Identifier: Apache-2.0 */
/* buf: growth to the limit, eating, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"

static void content_is(const struct buf *b, const char *want)
{
    strv got = buf_view(b);
    if (!strv_eq_cstr(got, want))
        fail_msg("content is '" STRV_FMT "', not '%s'", STRV_ARG(got), want);
}

static void empty_holds_no_memory(void **state)
{
    (void)state;
    int64_t live = mem_live();
    struct buf b;
    buf_init(&b, 100);
    assert_true(buf_put(&b, NULL, 0));
    assert_true(buf_put_strv(&b, STRV_NONE));
    assert_non_null(buf_view(&b).ptr);
    content_is(&b, "");
    buf_eat(&b, 0);
    assert_int_equal(mem_live(), live);
    assert_true(buf_put_cstr(&b, "x"));
    assert_int_equal(mem_live(), live + 1);
    buf_fini(&b);
    assert_int_equal(mem_live(), live);
    assert_true(buf_put_cstr(&b, "again"));
    content_is(&b, "again");
    buf_fini(&b);
}

static void every_put_appends(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_true(buf_put(&b, "ab", 2));
    assert_true(buf_put_strv(&b, STRV("cd")));
    assert_true(buf_put_cstr(&b, "ef"));
    assert_true(buf_put_char(&b, 'g'));
    assert_true(buf_printf(&b, "<%d>", 5));
    assert_true(buf_printf(&b, "%s", ""));
    char *room = buf_reserve(&b, 3);
    assert_non_null(room);
    room[0] = '!';
    buf_added(&b, 1);
    content_is(&b, "abcdefg<5>!");
    buf_fini(&b);
}

static void numbers_are_decimal(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {10, "10"},
                 {-1, "-1"},
                 {-100, "-100"},
                 {INT64_MAX, "9223372036854775807"},
                 {INT64_MIN, "-9223372036854775808"}};
    struct buf b;
    buf_init(&b, 100);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        buf_clear(&b);
        assert_true(buf_put_i64(&b, cases[i].v));
        content_is(&b, cases[i].text);
    }
    buf_clear(&b);
    assert_true(buf_put_u64(&b, UINT64_MAX));
    content_is(&b, "18446744073709551615");
    buf_fini(&b);
}

static void limit_is_exact_for_every_size(void **state)
{
    (void)state;
    static char text[1200];
    memset(text, 'x', sizeof(text));
    for (size_t max = 0; max < 1100; max++) {
        struct buf b;
        buf_init(&b, max);
        assert_true(buf_put(&b, text, max));
        assert_int_equal(buf_len(&b), max);
        assert_true(b.cap <= max);
        assert_false(buf_put(&b, text, 1));
        assert_true(b.failed);
        assert_false(buf_put(&b, text, 0));
        assert_int_equal(buf_len(&b), max);
        buf_fini(&b);
    }
}

static void a_refusal_drops_and_stays_until_cleared(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    assert_true(buf_put_cstr(&b, "abc"));
    assert_false(buf_put_cstr(&b, "def"));
    assert_false(buf_put_cstr(&b, "d")); /* would fit, but would leave a hole */
    assert_null(buf_reserve(&b, 0));
    content_is(&b, "abc");
    buf_rewind(&b, 2);
    assert_true(buf_put_cstr(&b, "xyz"));
    content_is(&b, "abxyz");
    assert_false(buf_put_char(&b, '!'));
    buf_clear(&b);
    assert_false(b.failed);
    assert_true(buf_put_cstr(&b, "12345"));
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
}

static void printf_fills_to_the_last_byte(void **state)
{
    (void)state;
    for (int n = 500; n < 530; n++) { /* around the size printed without the heap */
        struct buf b;
        buf_init(&b, (size_t)n);
        assert_true(buf_printf(&b, "%*d", n, 1));
        assert_int_equal(buf_len(&b), n);
        buf_fini(&b);
        buf_init(&b, (size_t)n - 1);
        assert_false(buf_printf(&b, "%*d", n, 1));
        assert_int_equal(buf_len(&b), 0);
        assert_true(b.failed);
        buf_fini(&b);
    }
}

static void refused_memory_is_a_refusal(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100000);
    mem_fail_at(1, false);
    assert_false(buf_put_cstr(&b, "x"));
    assert_true(b.failed);
    buf_clear(&b);
    assert_true(buf_put_cstr(&b, "x"));
    mem_fail_at(1, true);
    assert_null(buf_reserve(&b, 5000));
    content_is(&b, "x");
    buf_clear(&b);
    assert_false(buf_printf(&b, "%2000d", 1));
    assert_true(b.failed);
    mem_fail_at(2, true); /* the text is printed, then the buffer cannot grow */
    buf_clear(&b);
    assert_false(buf_printf(&b, "%2000d", 1));
    mem_fail_at(0, false);
    buf_fini(&b);
}

/* Appends and eats pieces of all sizes; what comes out is what went in. */
static void eaten_bytes_are_those_put(void **state)
{
    (void)state;
    static const size_t limits[] = {16, 255, 256, 257, 1000, 100000};
    for (size_t l = 0; l < sizeof(limits) / sizeof(*limits); l++) {
        struct buf b;
        unsigned in = 0, out = 0;
        uint32_t dice = 1;
        buf_init(&b, limits[l]);
        for (int step = 0; step < 5000; step++) {
            dice = dice * 1664525 + 1013904223;
            size_t n = (dice >> 8) % 40;
            if (buf_len(&b) + n <= limits[l] && dice >> 31 != 0) {
                for (size_t i = 0; i < n; i++)
                    assert_true(buf_put_char(&b, (char)in++));
            } else {
                n = n < buf_len(&b) ? n : buf_len(&b);
                for (size_t i = 0; i < n; i++)
                    assert_int_equal((unsigned char)buf_view(&b).ptr[i], out++ & 0xff);
                buf_eat(&b, n);
            }
            assert_true(b.cap <= limits[l]);
            assert_int_equal(buf_len(&b), in - out);
        }
        buf_fini(&b);
    }
}

static void a_queue_does_not_grow_without_need(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 100000; i++) {
        assert_true(buf_put(&b, "0123456789", 10));
        if (i >= 8)
            buf_eat(&b, 10);
    }
    assert_true(b.cap <= 1024);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_holds_no_memory),
        cmocka_unit_test(every_put_appends),
        cmocka_unit_test(numbers_are_decimal),
        cmocka_unit_test(limit_is_exact_for_every_size),
        cmocka_unit_test(a_refusal_drops_and_stays_until_cleared),
        cmocka_unit_test(printf_fills_to_the_last_byte),
        cmocka_unit_test(refused_memory_is_a_refusal),
        cmocka_unit_test(eaten_bytes_are_those_put),
        cmocka_unit_test(a_queue_does_not_grow_without_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
