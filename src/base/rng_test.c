/* SPDX-License-Identifier: Apache-2.0 */
/* rng: known sequences, ranges, shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "base/rng.h"

/* From the authors' reference implementation, state 1 2 3 4. */
static void xoshiro_gives_the_reference_sequence(void **state)
{
    (void)state;
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
    struct rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
        assert_true(rng_u64(&r) == want[i]);
}

/* splitmix64's first values for seed 0. */
static void seeding_gives_the_reference_state(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdaf);
    assert_true(r.s[1] == 0x6e789e6aa1b965f4);
    assert_true(r.s[2] == 0x06c45d188009454f);
    assert_true(r.s[3] == 0xf88bb8a8724c81ec);
}

static void same_seed_same_numbers(void **state)
{
    (void)state;
    struct rng a, b;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    for (int i = 0; i < 100; i++)
        assert_true(rng_u64(&a) == rng_u64(&b));
    rng_seed(&b, 43);
    assert_true(rng_u64(&a) != rng_u64(&b));
    assert_true(rng_seed_system(&a));
    assert_true(rng_seed_system(&b));
    assert_true(rng_u64(&a) != rng_u64(&b));
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 1);
    for (uint64_t n = 1; n <= 20; n++) {
        uint32_t seen = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t v = rng_below(&r, n);
            assert_true(v < n);
            seen |= (uint32_t)1 << v;
        }
        assert_int_equal(seen, ((uint32_t)1 << n) - 1);
    }
    static const uint64_t large[] = {UINT64_MAX, (uint64_t)1 << 63, ((uint64_t)1 << 63) + 1};
    for (size_t i = 0; i < 3; i++) {
        for (int j = 0; j < 100; j++)
            assert_true(rng_below(&r, large[i]) < large[i]);
    }
}

static void jitter_stays_in_its_band(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        unsigned percent;
        uint64_t low, high;
    } cases[] = {
        {0, 50, 0, 0},
        {1000, 0, 1000, 1000},
        {1000, 20, 800, 1200},
        {1000, 100, 0, 2000},
        {3, 50, 2, 4},
        {UINT64_MAX, 100, 0, UINT64_MAX},
        {UINT64_MAX, 50, UINT64_MAX / 2, UINT64_MAX},
    };
    struct rng r;
    rng_seed(&r, 9);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (int j = 0; j < 20000; j++) {
            uint64_t v = rng_jitter(&r, cases[i].value, cases[i].percent);
            assert_true(v >= cases[i].low && v <= cases[i].high);
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        if (cases[i].value <= 1000) { /* both ends are reached */
            assert_true(low == cases[i].low);
            assert_true(high == cases[i].high);
        }
    }
}

static void text_has_letters_and_digits_only(void **state)
{
    (void)state;
    struct rng r;
    char text[300];
    rng_seed(&r, 3);
    for (size_t n = 0; n < sizeof(text); n++) {
        memset(text, '!', sizeof(text));
        rng_text(&r, text, n);
        assert_int_equal(strlen(text), n);
        for (size_t i = 0; i < n; i++)
            assert_true(isalnum((unsigned char)text[i]));
    }
}

static void uuid_has_the_shape_of_version_4(void **state)
{
    (void)state;
    struct rng r;
    char a[37], b[37] = "";
    rng_seed(&r, 4);
    for (int round = 0; round < 200; round++) {
        rng_uuid(&r, a);
        assert_int_equal(strlen(a), 36);
        for (size_t i = 0; i < 36; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23)
                assert_int_equal(a[i], '-');
            else
                assert_true(isxdigit((unsigned char)a[i]) && !isupper((unsigned char)a[i]));
        }
        assert_int_equal(a[14], '4');
        assert_non_null(strchr("89ab", a[19]));
        assert_string_not_equal(a, b);
        memcpy(b, a, sizeof(b));
    }
}

static void secrets_differ(void **state)
{
    (void)state;
    unsigned char a[1000] = {0}, b[1000] = {0};
    assert_true(rng_secret(a, sizeof(a)));
    assert_true(rng_secret(b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a + 900, (unsigned char[100]){0}, 100);
    assert_true(rng_secret(a, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xoshiro_gives_the_reference_sequence),
        cmocka_unit_test(seeding_gives_the_reference_state),
        cmocka_unit_test(same_seed_same_numbers),
        cmocka_unit_test(below_stays_below_and_reaches_all),
        cmocka_unit_test(jitter_stays_in_its_band),
        cmocka_unit_test(text_has_letters_and_digits_only),
        cmocka_unit_test(uuid_has_the_shape_of_version_4),
        cmocka_unit_test(secrets_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
