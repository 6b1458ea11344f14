/* SPDX-License-Identifier: Apache-2.0 */
/* auth - digests, keys among others, and where a key stands in the headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"

static struct policy_keys *three_keys(void)
{
    struct policy_key items[3] = {{.id = "k_1"}, {.id = "k_2"}, {.id = "k_3"}};
    policy_key_digest(STRV("sk-first"), items[0].digest);
    policy_key_digest(STRV("sk-second"), items[1].digest);
    policy_key_digest(STRV("sk-second"), items[2].digest); /* the same key twice */
    return policy_keys_new(items, 3, NULL);
}

static void digest_is_sha256(void **state)
{
    static const uint8_t of_abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                       0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                       0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                       0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t digest[32];
    (void)state;
    policy_key_digest(STRV("abc"), digest);
    assert_memory_equal(digest, of_abc, 32);
}

static void finds_the_key_and_no_other(void **state)
{
    static const struct {
        const char *secret, *id; /* id NULL = turned away */
    } cases[] = {
        {"sk-first", "k_1"}, {"sk-second", "k_2"}, {"sk-firs", NULL}, {"sk-first ", NULL},
        {"SK-FIRST", NULL},  {"", NULL},           {NULL, NULL},
    };
    struct policy_keys *keys = three_keys();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct policy_key *k = policy_auth(keys, strv_of(cases[i].secret));
        if (cases[i].id == NULL)
            assert_null(k);
        else
            assert_string_equal(k->id, cases[i].id);
    }
    struct policy_keys *again = policy_keys_ref(keys);
    policy_keys_unref(keys);
    assert_non_null(policy_auth(again, STRV("sk-first")));
    policy_keys_unref(again);
    policy_keys_unref(NULL);
}

static void no_keys_admit_nobody(void **state)
{
    struct policy_keys *keys = policy_keys_new(NULL, 0, NULL);
    (void)state;
    assert_null(policy_auth(keys, STRV("x")));
    assert_null(policy_auth(keys, STRV("")));
    policy_keys_unref(keys);
}

/* What policy_key_digest() leaves when the library refuses must open no door. */
static void a_digest_of_zeros_is_no_key(void **state)
{
    struct policy_key item = {.id = "k_0"};
    struct policy_keys *keys = policy_keys_new(&item, 1, NULL);
    (void)state;
    assert_null(policy_auth(keys, STRV("anything")));
    policy_keys_unref(keys);
}

static void reads_the_key_from_the_headers(void **state)
{
    static const struct {
        const char *authorization, *x_api_key, *want;
    } cases[] = {
        {"Bearer abc", NULL, "abc"}, {"bearer \t abc ", NULL, "abc"},
        {NULL, " abc ", "abc"},      {"Bearer a", "b", "a"},
        {"Bearer ", "b", "b"},       {"Bearer", "b", "b"},
        {"Basic dTpw", "b", "b"},    {"Basic dTpw", NULL, NULL},
        {"Bearerabc", NULL, NULL},   {NULL, "", NULL},
        {NULL, NULL, NULL},          {"", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strv got =
            policy_key_from_headers(strv_of(cases[i].authorization), strv_of(cases[i].x_api_key));
        if (cases[i].want == NULL)
            assert_null(got.ptr);
        else
            assert_true(strv_eq_cstr(got, cases[i].want));
    }
}

static void admits_until_it_expires_and_at_its_doors(void **state)
{
    struct policy_key key = {.rules = {.expires_us = 100, .doors = 1u << LLM_OPENAI}};
    struct err err = ERR_INIT;
    (void)state;
    assert_true(policy_key_admits(&key, LLM_OPENAI, 99, &err));
    assert_true(policy_key_admits(&key, -1, 99, &err));
    assert_false(policy_key_admits(&key, LLM_NATIVE, 99, &err));
    assert_int_equal(err.code, LLM_ERR_FORBIDDEN);
    err_clear(&err);
    assert_false(policy_key_admits(&key, LLM_OPENAI, 100, &err));
    assert_int_equal(err.code, LLM_ERR_UNAUTHORIZED);
}

/* A request that has begun holds the keys it came with. */
static void one_that_is_revoked_admits_nobody_who_holds_it(void **state)
{
    const struct policy_key items[] = {{.id = "k_1"}, {.id = "k_2"}};
    struct policy_keys *before = policy_keys_new(items, 2, NULL);
    struct policy_keys *after = policy_keys_new(items + 1, 1, before);
    struct err err = ERR_INIT;
    (void)state;
    assert_false(policy_key_admits(&before->items[0], -1, 0, &err));
    assert_int_equal(err.code, LLM_ERR_UNAUTHORIZED);
    err_clear(&err);
    assert_true(policy_key_admits(&before->items[1], -1, 0, &err));
    assert_true(policy_key_admits(&after->items[0], -1, 0, &err));
    policy_keys_unref(before);
    policy_keys_unref(after);
}

static void refused_memory_is_a_value(void **state)
{
    struct policy_key item = {.id = "k_0"};
    (void)state;
    mem_fail_at(1, false);
    assert_null(policy_keys_new(&item, 1, NULL));
    mem_fail_at(0, false);
    assert_null(policy_keys_new(&item, SIZE_MAX / 2, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_is_sha256),
        cmocka_unit_test(finds_the_key_and_no_other),
        cmocka_unit_test(no_keys_admit_nobody),
        cmocka_unit_test(a_digest_of_zeros_is_no_key),
        cmocka_unit_test(reads_the_key_from_the_headers),
        cmocka_unit_test(admits_until_it_expires_and_at_its_doors),
        cmocka_unit_test(one_that_is_revoked_admits_nobody_who_holds_it),
        cmocka_unit_test(refused_memory_is_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
