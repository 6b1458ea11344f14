/* SPDX-License-Identifier: Apache-2.0 */
/* ended: who has left does not come back, however many leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/ended.h"

#define HOUR_US ((int64_t)3600 * 1000000)
#define NOW_US  ((int64_t)1764000000 * 1000000)

static strv cookie_of(char out[64], int i)
{
    int n = snprintf(out, 64, "k_one.%d.%016x", i, (unsigned)i);
    return (strv){out, (size_t)n};
}

static void one_login_is_over_and_others_are_not(void **state)
{
    char a[64], b[64];
    (void)state;
    struct ended *e = ended_new();
    assert_non_null(e);
    assert_false(ended_has(e, cookie_of(a, 1), NOW_US));
    ended_add(e, cookie_of(a, 1), NOW_US + HOUR_US, NOW_US);
    ended_add(e, cookie_of(a, 1), NOW_US + HOUR_US, NOW_US); /* twice is once */
    assert_true(ended_has(e, cookie_of(a, 1), NOW_US));
    assert_false(ended_has(e, cookie_of(b, 2), NOW_US));
    ended_add(e, STRV("short"), NOW_US + HOUR_US, NOW_US);
    assert_false(ended_has(e, STRV("short"), NOW_US));
    ended_free(e);
    ended_free(NULL);
}

static void a_full_table_ends_all_that_was_before(void **state)
{
    char a[64];
    (void)state;
    struct ended *e = ended_new();
    assert_non_null(e);
    for (int i = 0; i < ENDED_MAX; i++)
        ended_add(e, cookie_of(a, i), NOW_US + HOUR_US, NOW_US);
    assert_false(ended_has(e, cookie_of(a, ENDED_MAX), NOW_US));
    ended_add(e, cookie_of(a, ENDED_MAX), NOW_US + HOUR_US, NOW_US + 5);
    for (int i = 0; i <= ENDED_MAX + 1; i++)
        assert_true(ended_has(e, cookie_of(a, i), NOW_US + 5));
    assert_false(ended_has(e, cookie_of(a, 3), NOW_US + 6)); /* made later */
    ended_free(e);
}

static void what_is_over_by_its_time_makes_room(void **state)
{
    char a[64];
    (void)state;
    struct ended *e = ended_new();
    assert_non_null(e);
    for (int i = 0; i < ENDED_MAX; i++)
        ended_add(e, cookie_of(a, i), NOW_US + HOUR_US, NOW_US);
    ended_add(e, cookie_of(a, ENDED_MAX), NOW_US + 2 * HOUR_US, NOW_US + HOUR_US);
    assert_true(ended_has(e, cookie_of(a, ENDED_MAX), NOW_US + HOUR_US));
    assert_false(ended_has(e, cookie_of(a, ENDED_MAX + 1), NOW_US));
    ended_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_login_is_over_and_others_are_not),
        cmocka_unit_test(a_full_table_ends_all_that_was_before),
        cmocka_unit_test(what_is_over_by_its_time_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
