/* SPDX-License-Identifier: Apache-2.0 */
/* limit - buckets on a made-up clock: what fits, how long to wait, and that waiting so long is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define S            INT64_C(1000000)
#define START        (1000 * S)

static const struct policy_quotas no_quotas;

/* A key with these limits and a bucket of its own. */
static struct policy_keys *key_with(int64_t rpm, int64_t tpm, int64_t concurrent)
{
    struct policy_key k = {
        .id = "k_1", .rules = {.requests_min = rpm, .tokens_min = tpm, .concurrent = concurrent}};
    struct policy_keys *keys = policy_keys_new(&k, 1, NULL);
    assert_non_null(keys);
    return keys;
}

static bool enter(struct policy_pass *pass, const struct policy_keys *keys, int64_t tokens,
                  int64_t now, int64_t *wait)
{
    struct err err = ERR_INIT;
    policy_pass_init(pass, NULL, &no_quotas, &keys->items[0], STRV(""));
    bool ok = policy_pass_enter(pass, tokens, now, wait, &err);
    assert_int_equal(ok, !err.set);
    assert_true(ok || err.code == LLM_ERR_RATE_LIMITED);
    return ok;
}

/* One request, begun and over; 0 = it went, else how long to wait. */
static int64_t ask(const struct policy_keys *keys, int64_t tokens, int64_t used, int64_t now)
{
    struct policy_pass pass;
    int64_t wait = 0;
    bool ok = enter(&pass, keys, tokens, now, &wait);
    policy_pass_leave(&pass, used);
    assert_int_equal(ok, wait == 0);
    return wait;
}

static void a_minutes_worth_at_once_then_one_by_one(void **state)
{
    static const int64_t limits[] = {1, 2, 3, 7, 59, 60, 61, 999, 100000};
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        int64_t n = limits[i];
        struct policy_keys *keys = key_with(n, 0, 0);
        for (int64_t k = 0; k < n; k++)
            assert_int_equal(ask(keys, 0, 0, START), 0);
        int64_t wait = ask(keys, 0, 0, START);
        assert_in_range(wait, 60 * S / n, 60 * S / n + 1);
        assert_true(ask(keys, 0, 0, START + wait - 1) > 0);
        assert_int_equal(ask(keys, 0, 0, START + wait), 0);
        assert_true(ask(keys, 0, 0, START + wait) > 0);
        /* quiet for long: a minute's worth, and no more than that */
        for (int64_t k = 0; k < n; k++)
            assert_int_equal(ask(keys, 0, 0, START + 3600 * S), 0);
        assert_true(ask(keys, 0, 0, START + 3600 * S) > 0);
        policy_keys_unref(keys);
    }
}

static void whoever_waits_as_told_succeeds(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 200; round++) {
        int64_t now = START + (int64_t)rng_below(&rng, 1000) * S;
        struct policy_keys *keys =
            key_with(1 + (int64_t)rng_below(&rng, 200), 1 + (int64_t)rng_below(&rng, 100000), 0);
        for (int k = 0; k < 300; k++) {
            int64_t tokens = (int64_t)rng_below(&rng, 3000), used = (int64_t)rng_below(&rng, 3000);
            int64_t wait = ask(keys, tokens, used, now);
            if (wait > 0) {
                assert_true(ask(keys, tokens, used, now + wait - 1) > 0);
                now += wait;
                assert_int_equal(ask(keys, tokens, used, now), 0);
            }
            now += (int64_t)rng_below(&rng, 500000);
        }
        policy_keys_unref(keys);
    }
}

static void over_an_hour_the_limit_is_kept(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(90, 0, 0);
    int64_t went = 0;
    for (int64_t now = 0; now < 3600 * S; now += 20000)
        went += ask(keys, 0, 0, START + now) == 0;
    assert_in_range(went, 90 * 60, 90 * 60 + 90);
    policy_keys_unref(keys);
}

static void tokens_are_settled(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(0, 1000, 0);
    struct policy_level requests, tokens;
    struct policy_pass pass;
    int64_t wait = 0;
    assert_true(enter(&pass, keys, 600, START, &wait));
    policy_pass_levels(&pass, START, &requests, &tokens);
    assert_int_equal(requests.limit, 0);
    assert_int_equal(tokens.limit, 1000);
    assert_int_equal(tokens.remaining, 400);
    assert_int_equal(tokens.reset_us, 36 * S);
    struct policy_pass other;
    assert_false(enter(&other, keys, 500, START, &wait));
    assert_int_equal(wait, 6 * S);
    policy_pass_leave(&other, 0);
    policy_pass_leave(&pass, 100); /* less than was estimated: the rest goes back */
    assert_int_equal(ask(keys, 900, 900, START), 0);
    assert_int_equal(ask(keys, 1, 1, START), 60000);
    /* more than was estimated: those behind it wait */
    assert_int_equal(ask(keys, 1, 2001, START + 60000), 0);
    assert_int_equal(ask(keys, 1000, 1000, START + 60000), 180 * S);
    policy_keys_unref(keys);
}

static void what_is_larger_than_the_bucket_goes_when_it_is_full(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(0, 100, 0);
    assert_int_equal(ask(keys, 250, 250, START), 0);
    assert_int_equal(ask(keys, 250, 250, START), 150 * S);
    assert_int_equal(ask(keys, 250, 250, START + 150 * S), 0);
    assert_int_equal(ask(keys, INT64_MAX / 4, 0, START + 400 * S), 0);
    policy_keys_unref(keys);
}

static void places_come_back(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(0, 0, 2);
    struct policy_pass a, b, c;
    int64_t wait = 0;
    assert_true(enter(&a, keys, 0, START, &wait));
    assert_true(enter(&b, keys, 0, START, &wait));
    assert_false(enter(&c, keys, 0, START, &wait));
    assert_int_equal(wait, S);
    policy_pass_leave(&c, 0);
    assert_true(ask(keys, 0, 0, START) > 0);
    policy_pass_leave(&a, 0);
    assert_int_equal(ask(keys, 0, 0, START), 0);
    policy_pass_leave(&b, 0);
    policy_keys_unref(keys);
}

static void who_is_refused_has_taken_nothing(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(10, 1000, 1);
    struct policy_pass pass, other;
    struct policy_level requests, tokens;
    int64_t wait = 0;
    assert_true(enter(&pass, keys, 1000, START, &wait));
    for (int i = 0; i < 100; i++)
        assert_true(ask(keys, 1, 1, START) > 0);
    policy_pass_leave(&pass, 500);
    assert_true(ask(keys, 501, 501, START) > 0);
    assert_true(enter(&other, keys, 500, START, &wait));
    policy_pass_levels(&other, START, &requests, &tokens);
    assert_int_equal(requests.remaining, 8);
    assert_int_equal(tokens.remaining, 0);
    policy_pass_leave(&other, 500);
    policy_keys_unref(keys);
}

static void two_keys_do_not_know_each_other_and_a_reload_fills_nothing(void **state)
{
    (void)state;
    struct policy_key items[2] = {{.id = "k_1", .rules = {.requests_min = 2}},
                                  {.id = "k_2", .rules = {.requests_min = 2}}};
    struct policy_keys *keys = policy_keys_new(items, 2, NULL);
    struct policy_pass pass;
    struct err err = ERR_INIT;
    int64_t wait = 0;
    assert_int_equal(ask(keys, 0, 0, START), 0);
    assert_int_equal(ask(keys, 0, 0, START), 0);
    assert_int_equal(ask(keys, 0, 0, START), 30 * S);
    policy_pass_init(&pass, NULL, &no_quotas, &keys->items[1], STRV(""));
    assert_true(policy_pass_enter(&pass, 0, START, &wait, &err));
    /* the limit is raised while a request runs; the other key is gone */
    items[0].rules.requests_min = 4;
    struct policy_keys *fresh = policy_keys_new(items, 1, keys);
    policy_keys_unref(keys);
    assert_int_equal(ask(fresh, 0, 0, START), 15 * S);
    assert_int_equal(ask(fresh, 0, 0, START + 15 * S), 0);
    policy_pass_leave(&pass, 0);
    policy_keys_unref(fresh);
}

/* ---- everybody, and addresses ---- */

static bool from(struct policy_limits *l, const struct policy_quotas *q, const char *address,
                 int64_t now)
{
    struct policy_pass pass;
    struct err err = ERR_INIT;
    int64_t wait;
    policy_pass_init(&pass, l, q, NULL, strv_of(address));
    bool ok = policy_pass_enter(&pass, 0, now, &wait, &err);
    policy_pass_leave(&pass, 0);
    return ok;
}

static void addresses_have_their_own_and_all_one(void **state)
{
    (void)state;
    struct policy_limits *l = policy_limits_new();
    struct policy_quotas q = {.peer = {.requests_min = 1}};
    assert_true(from(l, &q, "10.0.0.1:1000", START));
    assert_false(from(l, &q, "10.0.0.1:1001", START));
    assert_true(from(l, &q, "10.0.0.2:1000", START));
    assert_true(from(l, &q, "[2001:db8::1]:1000", START));
    assert_false(from(l, &q, "[2001:db8::ffff]:1000", START)); /* the same house */
    assert_true(from(l, &q, "[2001:db8:0:1::1]:1000", START));
    assert_true(from(l, &q, "[::ffff:10.0.0.1]:1000", START));
    assert_true(from(l, &q, "[::ffff:10.0.0.2]:1000", START)); /* all are in one /64 */
    assert_true(from(l, &q, "unix", START));
    assert_false(from(l, &q, "unix", START));
    assert_true(from(l, &q, "10.0.0.1:1000", START + 60 * S));
    q = (struct policy_quotas){.all = {.requests_min = 2}};
    assert_true(from(l, &q, "10.0.0.1:1", START));
    assert_true(from(l, &q, "10.0.0.2:1", START));
    assert_false(from(l, &q, "10.0.0.3:1", START));
    assert_true(from(l, &no_quotas, "10.0.0.3:1", START));
    policy_limits_free(l);
}

static void more_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    struct policy_limits *l = policy_limits_new();
    struct policy_quotas q = {.peer = {.requests_min = 1, .concurrent = 100000}};
    static struct policy_pass held[20000];
    struct err err = ERR_INIT;
    int64_t wait;
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(held); i++) { /* all at once: some must share */
        char address[64];
        snprintf(address, sizeof address, "10.1.%zu.%zu:9", i / 250, i % 250);
        policy_pass_init(&held[i], l, &q, NULL, strv_of(address));
        refused += !policy_pass_enter(&held[i], 0, START, &wait, &err);
        err_clear(&err);
    }
    assert_in_range(refused, 1, COUNT(held) - 1000);
    for (size_t i = 0; i < COUNT(held); i++)
        policy_pass_leave(&held[i], 0);
    assert_true(from(l, &q, "10.2.0.1:9", START + 60 * S));
    policy_limits_free(l);
}

static void a_key_has_the_configurations_limits_where_it_has_none(void **state)
{
    (void)state;
    struct policy_keys *keys = key_with(0, 500, 0);
    struct policy_quotas q = {.key = {.requests_min = 3, .tokens_min = 7},
                              .peer = {.requests_min = 1}};
    struct policy_level requests, tokens;
    struct policy_pass pass;
    policy_pass_init(&pass, NULL, &q, &keys->items[0], STRV("10.0.0.1:1"));
    policy_pass_levels(&pass, START, &requests, &tokens);
    assert_int_equal(requests.limit, 3);
    assert_int_equal(tokens.limit, 500);
    policy_pass_leave(&pass, 0);
    policy_keys_unref(keys);
}

/* ---- many threads ---- */

static struct policy_keys *shared;
static atomic_llong went;

/* Three routers for the same callers give a third each, and never nothing. */
static void a_replica_gives_its_part(void **state)
{
    static const struct {
        int64_t limit, part;
    } cases[] = {{9, 3}, {10, 3}, {2, 1}, {0, 0}};
    const struct policy_quotas quotas = {.replicas = 3};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_keys *keys = key_with(cases[i].limit, 0, 0);
        int64_t passed = 0, wait = 0;
        struct err err = ERR_INIT;
        while (passed < 20) {
            struct policy_pass pass;
            policy_pass_init(&pass, NULL, &quotas, &keys->items[0], STRV(""));
            bool ok = policy_pass_enter(&pass, 1, START, &wait, &err);
            policy_pass_leave(&pass, 1);
            if (!ok)
                break;
            passed++;
        }
        assert_int_equal(passed, cases[i].part > 0 ? cases[i].part : 20);
        policy_keys_unref(keys);
    }
}

static void *asker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++)
        if (ask(shared, 1, 1, START) == 0)
            atomic_fetch_add(&went, 1);
    return NULL;
}

static void workers_share_one_bucket(void **state)
{
    (void)state;
    pthread_t threads[4];
    shared = key_with(1000, 1000, 3);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, asker, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&went), 1000);
    policy_keys_unref(shared);
}

static void tokens_are_foreseen_and_not_taken(void **state)
{
    struct policy_keys *keys = key_with(0, 60, 0);
    struct policy_pass pass;
    struct err err = ERR_INIT;
    int64_t wait = 0;
    (void)state;
    assert_int_equal(ask(keys, 40, 40, START), 0);
    assert_true(enter(&pass, keys, 0, START, &wait));
    assert_true(policy_pass_fits(&pass, 20, START, &wait, &err));
    assert_true(policy_pass_fits(&pass, 20, START, &wait, &err));
    assert_false(policy_pass_fits(&pass, 21, START, &wait, &err));
    assert_int_equal(err.code, LLM_ERR_RATE_LIMITED);
    assert_int_equal(wait, S);
    err_clear(&err);
    assert_true(policy_pass_fits(&pass, 21, START + wait, &wait, &err));
    policy_pass_leave(&pass, 0);
    assert_int_equal(ask(keys, 20, 20, START), 0);
    policy_keys_unref(keys);
}

static void wrong_keys_are_counted_by_address(void **state)
{
    struct policy_limits *l = policy_limits_new();
    int64_t wait = 0;
    (void)state;
    assert_non_null(l);
    for (int i = 0; i < 3; i++)
        assert_true(policy_wrong_key(l, STRV("192.0.2.1:50"), 3, START, &wait));
    assert_false(policy_wrong_key(l, STRV("192.0.2.1:51"), 3, START, &wait));
    assert_int_equal(wait, 20 * S);
    assert_true(policy_wrong_key(l, STRV("192.0.2.2:50"), 3, START, &wait));
    assert_true(policy_wrong_key(l, STRV("192.0.2.1:52"), 3, START + wait, &wait));
    assert_false(policy_wrong_key(l, STRV("192.0.2.1:53"), 3, START + wait, &wait));
    assert_true(policy_wrong_key(l, STRV("192.0.2.1:54"), 0, START, &wait)); /* switched off */
    assert_true(policy_wrong_key(NULL, STRV("192.0.2.1:54"), 3, START, &wait));
    policy_limits_free(l);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct policy_key items[2] = {{.id = "k_1"}, {.id = "k_2"}};
    int64_t live = mem_live();
    for (uint64_t n = 1; n <= 3; n++) {
        mem_fail_at(n, false);
        assert_null(policy_keys_new(items, 2, NULL));
        assert_int_equal(mem_live(), live);
    }
    mem_fail_at(1, false);
    assert_null(policy_limits_new());
    mem_fail_at(0, false);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minutes_worth_at_once_then_one_by_one),
        cmocka_unit_test(whoever_waits_as_told_succeeds),
        cmocka_unit_test(over_an_hour_the_limit_is_kept),
        cmocka_unit_test(tokens_are_settled),
        cmocka_unit_test(what_is_larger_than_the_bucket_goes_when_it_is_full),
        cmocka_unit_test(places_come_back),
        cmocka_unit_test(who_is_refused_has_taken_nothing),
        cmocka_unit_test(two_keys_do_not_know_each_other_and_a_reload_fills_nothing),
        cmocka_unit_test(addresses_have_their_own_and_all_one),
        cmocka_unit_test(more_addresses_than_there_is_room_for),
        cmocka_unit_test(a_key_has_the_configurations_limits_where_it_has_none),
        cmocka_unit_test(a_replica_gives_its_part),
        cmocka_unit_test(workers_share_one_bucket),
        cmocka_unit_test(tokens_are_foreseen_and_not_taken),
        cmocka_unit_test(wrong_keys_are_counted_by_address),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
