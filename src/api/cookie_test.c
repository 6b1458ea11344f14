/* SPDX-License-Identifier: Apache-2.0 */
/* cookie: a login counts as long as its time, its seal and its key do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/cookie.h"

#define NOW_US ((int64_t)1764000000 * 1000000)

static const uint8_t secret[COOKIE_SECRET] = "one secret of thirty-two bytes..";
static const uint8_t other_secret[COOKIE_SECRET] = "another one, of the same length.";

static struct policy_keys *keys_of(const char *first, const char *second)
{
    struct policy_key items[2];
    memset(items, 0, sizeof items);
    snprintf(items[0].id, sizeof items[0].id, "k_first");
    snprintf(items[1].id, sizeof items[1].id, "k_second");
    policy_key_digest(strv_of(first), items[0].digest);
    policy_key_digest(strv_of(second), items[1].digest);
    struct policy_keys *keys = policy_keys_new(items, 2, NULL);
    assert_non_null(keys);
    return keys;
}

static strv sealed(const struct policy_keys *keys, struct buf *b)
{
    buf_init(b, 256);
    assert_true(cookie_seal(secret, &keys->items[1], NOW_US, b));
    return buf_view(b);
}

static void a_login_is_its_key_for_twelve_hours(void **state)
{
    (void)state;
    struct policy_keys *keys = keys_of("a", "b");
    struct buf b;
    strv value = sealed(keys, &b);
    int64_t until_us = 0, life_us = (int64_t)COOKIE_LIFE_S * 1000000;
    assert_ptr_equal(cookie_open(secret, keys, value, NOW_US, &until_us), &keys->items[1]);
    assert_int_equal(until_us, NOW_US + life_us);
    assert_non_null(cookie_open(secret, keys, value, NOW_US + life_us - 1, &until_us));
    assert_null(cookie_open(secret, keys, value, NOW_US + life_us, &until_us));
    buf_fini(&b);
    policy_keys_unref(keys);
}

static void another_seal_is_none(void **state)
{
    (void)state;
    struct policy_keys *keys = keys_of("a", "b");
    struct buf b;
    strv value = sealed(keys, &b);
    int64_t until_us = 0;
    char copy[256];
    assert_null(cookie_open(other_secret, keys, value, NOW_US, &until_us));
    for (size_t i = 0; i < value.len; i++) { /* any letter changed, anything cut off */
        memcpy(copy, value.ptr, value.len);
        copy[i] = copy[i] == '1' ? '2' : '1';
        assert_null(cookie_open(secret, keys, (strv){copy, value.len}, NOW_US, &until_us));
        assert_null(cookie_open(secret, keys, (strv){value.ptr, i}, NOW_US, &until_us));
    }
    assert_null(cookie_open(secret, keys, STRV("k_second..."), NOW_US, &until_us));
    assert_null(cookie_open(secret, keys, STRV(""), NOW_US, &until_us));
    assert_null(cookie_open(secret, keys, STRV_NONE, NOW_US, &until_us));
    buf_fini(&b);
    policy_keys_unref(keys);
}

static void a_login_ends_with_its_key(void **state)
{
    (void)state;
    struct policy_keys *keys = keys_of("a", "b"), *again = keys_of("a", "c");
    struct buf b;
    strv value = sealed(keys, &b);
    int64_t until_us = 0;
    assert_null(cookie_open(secret, again, value, NOW_US, &until_us)); /* the same id, made anew */
    struct policy_keys *none = policy_keys_new(NULL, 0, NULL);
    assert_null(cookie_open(secret, none, value, NOW_US, &until_us));
    buf_fini(&b);
    policy_keys_unref(none);
    policy_keys_unref(keys);
    policy_keys_unref(again);
}

static void the_cookie_is_found_once(void **state)
{
    (void)state;
    static const struct {
        const char *header, *value;
    } cases[] = {
        {"llm_router=a", "a"},
        {"x=1; llm_router=a.b.c; y=2", "a.b.c"},
        {"x=1;llm_router= a ", "a"},
        {"llm_router=", ""},
        {"llm_router=a=b", "a=b"},
        {"llm_router", NULL},
        {"xllm_router=a", NULL},
        {"LLM_ROUTER=a", NULL},
        {"llm_router=a; llm_router=b", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strv got = cookie_find(strv_of(cases[i].header));
        if (cases[i].value == NULL)
            assert_null(got.ptr);
        else
            assert_true(got.ptr != NULL && strv_eq_cstr(got, cases[i].value));
    }
    assert_null(cookie_find(STRV_NONE).ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_is_its_key_for_twelve_hours),
        cmocka_unit_test(another_seal_is_none),
        cmocka_unit_test(a_login_ends_with_its_key),
        cmocka_unit_test(the_cookie_is_found_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
