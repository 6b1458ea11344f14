/* SPDX-License-Identifier: Apache-2.0 */
/* alloc: refusals on demand, counters, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

static void allocations_are_counted_until_freed(void **state)
{
    (void)state;
    int64_t before = mem_live();
    mem_fail_at(0, false);
    void *a = mem_alloc(10);
    void *b = mem_zalloc(0);
    char *c = mem_strdup("text");
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(c, "text");
    assert_int_equal(mem_live() - before, 3);
    assert_int_equal(mem_count(), 3);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
    mem_free_secret(NULL, 10);
    assert_int_equal(mem_live(), before);
}

static void zalloc_is_zero(void **state)
{
    (void)state;
    static const char zero[300];
    char *p = mem_zalloc(sizeof(zero));
    assert_memory_equal(p, zero, sizeof(zero));
    mem_free(p);
}

static void only_the_nth_allocation_fails(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 4; nth++) {
        mem_fail_at(nth, false);
        for (uint64_t i = 1; i <= 5; i++) {
            void *p = i % 2 == 0 ? mem_alloc(1) : mem_zalloc(1);
            assert_int_equal(p == NULL, i == nth);
            mem_free(p);
        }
        assert_int_equal(mem_count(), 5);
    }
    mem_fail_at(0, false);
}

static void forever_fails_every_later_one_too(void **state)
{
    (void)state;
    mem_fail_at(2, true);
    void *first = mem_alloc(1);
    assert_non_null(first);
    assert_null(mem_alloc(1));
    assert_null(mem_strdup("x"));
    assert_null(mem_realloc(NULL, 5));
    mem_fail_at(0, true);
    void *last = mem_alloc(1);
    assert_non_null(last);
    mem_free(first);
    mem_free(last);
}

static void realloc_refused_keeps_the_block(void **state)
{
    (void)state;
    int64_t before = mem_live();
    char *p = mem_realloc(NULL, 4);
    memcpy(p, "abc", 4);
    mem_fail_at(1, false);
    assert_null(mem_realloc(p, 1000));
    mem_fail_at(0, false);
    assert_string_equal(p, "abc");
    p = mem_realloc(p, 1000);
    assert_string_equal(p, "abc");
    p = mem_realloc(p, 0); /* still a block */
    assert_non_null(p);
    assert_int_equal(mem_live(), before + 1);
    mem_free(p);
    assert_int_equal(mem_live(), before);
}

static void wipe_overwrites(void **state)
{
    (void)state;
    char key[] = "sk-secret";
    mem_wipe(key, sizeof(key));
    for (size_t i = 0; i < sizeof(key); i++)
        assert_int_equal(key[i], 0);
    char *heap = mem_strdup("sk-secret");
    mem_free_secret(heap, 10);
}

static void *other_thread(void *result)
{
    void *p = mem_alloc(1);
    *(int *)result = p != NULL && mem_count() == 1 && mem_live() == 1;
    mem_free(p);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    int ok = 0;
    pthread_t thread;
    mem_fail_at(1, true);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &ok), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mem_count(), 0);
    mem_fail_at(0, false);
    assert_true(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_counted_until_freed),
        cmocka_unit_test(zalloc_is_zero),
        cmocka_unit_test(only_the_nth_allocation_fails),
        cmocka_unit_test(forever_fails_every_later_one_too),
        cmocka_unit_test(realloc_refused_keeps_the_block),
        cmocka_unit_test(wipe_overwrites),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
