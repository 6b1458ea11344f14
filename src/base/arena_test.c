/* SPDX-License-Identifier: Apache-2.0 */
/* arena: blocks, limits, resizing, refusals. ASan watches the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"

static void nothing_is_taken_before_the_first_allocation(void **state)
{
    (void)state;
    int64_t live = mem_live();
    struct arena a;
    arena_init(&a, 4096, 1 << 20);
    assert_int_equal(mem_live(), live);
    assert_int_equal(a.reserved, 0);
    arena_reset(&a);
    arena_fini(&a);
    assert_int_equal(mem_live(), live);
}

static void allocations_are_aligned_apart_and_writable(void **state)
{
    (void)state;
    struct arena a;
    char *got[200];
    arena_init(&a, 1024, 1 << 20);
    for (size_t size = 0; size < 200; size++) {
        got[size] = arena_alloc(&a, size);
        assert_non_null(got[size]);
        assert_int_equal((uintptr_t)got[size] % 16, 0);
        memset(got[size], (int)size, size);
        assert_true(size == 0 || got[size] != got[size - 1]);
    }
    for (size_t size = 0; size < 200; size++) {
        for (size_t i = 0; i < size; i++)
            assert_int_equal((unsigned char)got[size][i], size);
    }
    assert_false(a.failed);
    arena_fini(&a);
}

static void blocks_double_from_the_third_on_up_to_256k(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, SIZE_MAX);
    size_t want = 0, block = 1024;
    while (want < 4 << 20) {
        size_t before = a.reserved;
        assert_non_null(arena_alloc(&a, 64));
        if (a.reserved == before)
            continue;
        if (want > 1024)
            block = block * 2 < 256 * 1024 ? block * 2 : 256 * 1024;
        want += block;
        assert_int_equal(a.reserved, want);
    }
    arena_fini(&a);
    assert_int_equal(a.reserved, 0);
}

static void a_large_allocation_leaves_the_room_in_the_head(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    char *small = arena_alloc(&a, 16);
    char *large = arena_alloc(&a, 100000);
    size_t reserved = a.reserved;
    assert_true(reserved < 1024 + 100000 + 100);
    char *next = arena_alloc(&a, 16);
    assert_ptr_equal(next, small + 16);
    assert_int_equal(a.reserved, reserved);
    memset(large, 1, 100000);
    arena_fini(&a);

    large = arena_alloc(&a, 100000); /* first of all: later blocks still begin small */
    small = arena_alloc(&a, 16);
    assert_non_null(large);
    assert_non_null(small);
    assert_true(a.reserved < 100000 + 1024 + 100);
    arena_fini(&a);
}

static void reset_keeps_one_block_of_the_first_size(void **state)
{
    (void)state;
    int64_t live = mem_live();
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    for (int round = 0; round < 3; round++) {
        assert_non_null(arena_alloc(&a, 5000)); /* own, before the first regular one */
        for (int i = 0; i < 100; i++)
            assert_non_null(arena_alloc(&a, 100));
        assert_non_null(arena_alloc(&a, 50000));
        a.failed = true;
        arena_reset(&a);
        assert_false(a.failed);
        assert_int_equal(a.used, 0);
        assert_int_equal(a.reserved, 1024);
        assert_int_equal(mem_live(), live + 1);
    }
    mem_fail_at(1, true);
    assert_non_null(arena_alloc(&a, 100)); /* needs nothing new */
    mem_fail_at(0, false);
    arena_fini(&a);
    assert_non_null(arena_alloc(&a, 5000));
    arena_reset(&a); /* an own block is not worth keeping */
    assert_int_equal(mem_live(), live);
    assert_int_equal(a.reserved, 0);
}

static void bytes_max_is_never_exceeded(void **state)
{
    (void)state;
    for (size_t max = 0; max < 6000; max += 7) {
        struct arena a;
        arena_init(&a, 1024, max);
        size_t got = 0;
        while (arena_alloc(&a, 32) != NULL) {
            got += 32;
            assert_true(a.reserved <= max);
        }
        assert_true(a.failed);
        assert_true(a.reserved <= max);
        assert_int_equal(a.used, got);
        /* The last block shrinks to what is allowed: only block headers and one refused part are lost. */
        assert_true(got + 5 * 64 >= max);
        assert_null(arena_alloc(&a, max + 1));
        arena_fini(&a);
        assert_false(a.failed);
    }
}

static void sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct arena a;
        arena_init(&a, 1024, 1 << 20);
        void *p = arena_alloc(&a, 8);
        assert_null(arena_alloc(&a, sizes[i]));
        assert_true(a.failed);
        a.failed = false;
        assert_null(arena_resize(&a, p, 8, sizes[i]));
        assert_true(a.failed);
        assert_null(ARENA_ARRAY(&a, uint64_t, sizes[i]));
        arena_fini(&a);
    }
}

static void resize_works_in_place_for_the_newest(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096, 1 << 20);
    char *p = arena_resize(&a, NULL, 0, 100);
    memset(p, 'x', 100);
    assert_ptr_equal(arena_resize(&a, p, 100, 1000), p);
    assert_int_equal(a.used, 1008);
    memset(p + 100, 'x', 900);
    assert_ptr_equal(arena_resize(&a, p, 1000, 10), p);
    assert_int_equal(a.used, 16);
    char *q = arena_alloc(&a, 10);
    assert_ptr_equal(q, p + 16);
    memcpy(q, "newest", 7);
    assert_ptr_equal(arena_resize(&a, p, 10, 5), p); /* not the newest: stays */
    char *moved = arena_resize(&a, p, 10, 20);
    assert_ptr_not_equal(moved, p);
    assert_memory_equal(moved, "xxxxxxxxxx", 10);
    assert_string_equal(q, "newest");
    arena_fini(&a);
}

static void resize_grows_out_of_a_block_and_back(void **state)
{
    (void)state;
    for (int with_head = 0; with_head < 2; with_head++) {
        struct arena a;
        arena_init(&a, 1024, 1 << 20);
        char *head = with_head ? arena_alloc(&a, 16) : NULL;
        char *p = arena_alloc(&a, 300);
        size_t size = 300;
        memset(p, 'x', size);
        while (size < 200000) { /* from the regular block into a block of its own, which grows */
            p = arena_resize(&a, p, size, size * 3 / 2);
            assert_non_null(p);
            memset(p + size, 'x', size * 3 / 2 - size);
            size = size * 3 / 2;
        }
        assert_true(a.reserved < size + 4096);
        p = arena_resize(&a, p, size, 50);
        assert_true(a.reserved < 8192);
        for (int i = 0; i < 50; i++)
            assert_int_equal(p[i], 'x');
        p = arena_resize(&a, p, 50, 0);
        assert_non_null(p);
        if (with_head)
            memset(head, 'y', 16);
        arena_fini(&a);
    }
}

static void resize_that_is_refused_keeps_the_old(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 64 * 1024);
    char *p = arena_alloc(&a, 20000);
    memset(p, 'x', 20000);
    assert_null(arena_resize(&a, p, 20000, 100000)); /* over the limit */
    assert_true(a.failed);
    a.failed = false;
    mem_fail_at(1, true);
    assert_null(arena_resize(&a, p, 20000, 30000)); /* no memory */
    assert_true(a.failed);
    a.failed = false;
    p = arena_resize(&a, p, 20000, 100); /* shrinking needs no luck */
    mem_fail_at(0, false);
    assert_non_null(p);
    assert_false(a.failed);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 'x');
    arena_fini(&a);
}

static void copies_are_terminated(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    strv copy = arena_strv(&a, (strv){"hello world", 5});
    assert_int_equal(copy.len, 5);
    assert_string_equal(copy.ptr, "hello");
    copy = arena_strv(&a, STRV(""));
    assert_non_null(copy.ptr);
    assert_string_equal(copy.ptr, "");
    copy = arena_strv(&a, STRV_NONE);
    assert_null(copy.ptr);
    assert_string_equal(arena_cstr(&a, STRV_NONE), "");
    assert_string_equal(arena_cstr(&a, STRV("abc")), "abc");
    assert_string_equal(arena_printf(&a, "%s-%d", "a", 7), "a-7");
    assert_string_equal(arena_printf(&a, "%s", ""), "");
    assert_true(strv_eq_cstr(arena_decimal(&a, 0), "0"));
    assert_true(strv_eq_cstr(arena_decimal(&a, 1234567890), "1234567890"));
    assert_true(strv_eq_cstr(arena_decimal(&a, INT64_MIN), "-9223372036854775808"));
    char *wide = arena_printf(&a, "%3000d", 1);
    assert_int_equal(strlen(wide), 3000);
    static const char zero[100];
    assert_memory_equal(ARENA_ARRAY(&a, char, 100), zero, 100);
    assert_false(a.failed);
    arena_fini(&a);
}

static void a_refusal_is_null_and_sticky_everywhere(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    mem_fail_at(1, true);
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_zalloc(&a, 1));
    assert_null(arena_strv(&a, STRV("x")).ptr);
    assert_null(arena_cstr(&a, STRV("x")));
    assert_null(arena_printf(&a, "x"));
    assert_int_equal(arena_decimal(&a, 1).len, 0);
    assert_null(arena_resize(&a, NULL, 0, 1));
    mem_fail_at(0, false);
    assert_true(a.failed);
    assert_non_null(arena_alloc(&a, 1));
    assert_true(a.failed);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_taken_before_the_first_allocation),
        cmocka_unit_test(allocations_are_aligned_apart_and_writable),
        cmocka_unit_test(blocks_double_from_the_third_on_up_to_256k),
        cmocka_unit_test(a_large_allocation_leaves_the_room_in_the_head),
        cmocka_unit_test(reset_keeps_one_block_of_the_first_size),
        cmocka_unit_test(bytes_max_is_never_exceeded),
        cmocka_unit_test(sizes_that_wrap_are_refused),
        cmocka_unit_test(resize_works_in_place_for_the_newest),
        cmocka_unit_test(resize_grows_out_of_a_block_and_back),
        cmocka_unit_test(resize_that_is_refused_keeps_the_old),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(a_refusal_is_null_and_sticky_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
