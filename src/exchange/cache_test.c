/* SPDX-License-Identifier: Apache-2.0 */
/* cache - what is found again, what makes room for what, and how old it may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "exchange/cache.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct cache_conf roomy = {
    .bytes_max = 1 << 20, .entries_max = 100, .ttl_ms = 1000, .reply_bytes_max = 4096};

static void key_of(int n, uint8_t key[CACHE_KEY])
{
    memset(key, 0, CACHE_KEY);
    memcpy(key + 8, &n, sizeof n); /* all in one bucket: only the whole key tells them apart */
}

static bool put(struct cache *c, int n, const char *text, int64_t now)
{
    uint8_t key[CACHE_KEY];
    key_of(n, key);
    return cache_put(c, key, strv_of(text), now);
}

static bool has(struct cache *c, int n, const char *text, int64_t now)
{
    uint8_t key[CACHE_KEY];
    key_of(n, key);
    struct cache_entry *e = cache_get(c, key, now);
    bool same = e != NULL && strv_eq_cstr((strv){e->data, e->len}, text);
    assert_true(e == NULL || same);
    cache_entry_unref(e);
    return same;
}

static size_t entries(struct cache *c)
{
    struct cache_sizes sizes;
    cache_sizes(c, &sizes);
    return sizes.entries;
}

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct cache *c = cache_new(&roomy);
    assert_false(has(c, 1, "a", 0));
    assert_true(put(c, 1, "a", 0) && put(c, 2, "", 0) && put(c, 3, "c", 0));
    assert_true(has(c, 1, "a", 0) && has(c, 2, "", 0) && has(c, 3, "c", 0));
    assert_true(put(c, 1, "anew", 5));
    assert_true(has(c, 1, "anew", 5));
    assert_int_equal(entries(c), 3);
    cache_free(c);
    cache_free(NULL);
}

static void nothing_is_older_than_its_time(void **state)
{
    (void)state;
    struct cache *c = cache_new(&roomy);
    assert_true(put(c, 1, "a", 100));
    assert_true(has(c, 1, "a", 100 + 999999));
    assert_false(has(c, 1, "a", 100 + 1000000));
    assert_int_equal(entries(c), 0);
    assert_true(put(c, 1, "b", 100 + 1000000)); /* asking does not make it younger */
    assert_true(has(c, 1, "b", 100 + 1500000));
    assert_false(has(c, 1, "b", 100 + 2000000));
    cache_free(c);
}

static void the_one_asked_for_longest_ago_makes_room(void **state)
{
    (void)state;
    struct cache_conf conf = roomy;
    conf.entries_max = 3;
    struct cache *c = cache_new(&conf);
    for (int i = 0; i < 3; i++)
        assert_true(put(c, i, "x", 0));
    assert_true(has(c, 0, "x", 0));
    assert_true(put(c, 3, "x", 0));
    assert_true(has(c, 0, "x", 0) && !has(c, 1, "x", 0) && has(c, 2, "x", 0) && has(c, 3, "x", 0));
    struct cache_sizes sizes;
    cache_sizes(c, &sizes);
    assert_int_equal(sizes.entries, 3);
    assert_int_equal(sizes.evicted, 1);
    cache_free(c);
}

static void bytes_are_bounded(void **state)
{
    (void)state;
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    struct cache_conf conf = roomy;
    conf.bytes_max = 3 * (sizeof(struct cache_entry) + 1000);
    struct cache *c = cache_new(&conf);
    for (int i = 0; i < 10; i++) {
        struct cache_sizes sizes;
        assert_true(put(c, i, text, 0));
        cache_sizes(c, &sizes);
        assert_true(sizes.bytes <= conf.bytes_max);
    }
    assert_int_equal(entries(c), 3);
    assert_true(put(c, 10, "small", 0)); /* takes the place of one that is larger */
    assert_int_equal(entries(c), 3);
    conf.reply_bytes_max = 999;
    struct cache *strict = cache_new(&conf);
    assert_false(put(strict, 1, text, 0));
    conf.reply_bytes_max = 1 << 20;
    conf.bytes_max = 1000;
    struct cache *tiny = cache_new(&conf);
    assert_false(put(tiny, 1, text, 0));
    assert_int_equal(entries(tiny), 0);
    cache_free(tiny);
    cache_free(strict);
    cache_free(c);
}

static void what_is_held_lives_on(void **state)
{
    (void)state;
    struct cache_conf conf = roomy;
    conf.entries_max = 1;
    struct cache *c = cache_new(&conf);
    uint8_t key[CACHE_KEY];
    key_of(1, key);
    assert_true(put(c, 1, "held", 0));
    struct cache_entry *e = cache_get(c, key, 0);
    assert_true(put(c, 2, "other", 0));
    assert_false(has(c, 1, "held", 0));
    assert_memory_equal(e->data, "held", 4);
    cache_free(c);
    assert_memory_equal(e->data, "held", 4);
    cache_entry_unref(e);
}

static void *user(void *arg)
{
    struct cache *c = arg;
    for (int i = 0; i < 20000; i++) {
        int n = i * 7 % 50;
        char text[16];
        snprintf(text, sizeof text, "%d", n);
        if (!has(c, n, text, i))
            assert_true(put(c, n, text, i));
    }
    return NULL;
}

static void workers_share_it(void **state)
{
    (void)state;
    struct cache_conf conf = roomy;
    conf.entries_max = 20;
    struct cache *c = cache_new(&conf);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, user, c), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(entries(c), 20);
    cache_free(c);
}

static void refused_memory_keeps_nothing(void **state)
{
    (void)state;
    int64_t live = mem_live();
    mem_fail_at(1, false);
    assert_null(cache_new(&roomy));
    mem_fail_at(0, false);
    struct cache *c = cache_new(&roomy);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_at(n, false);
        assert_false(put(c, 1, "a", 0));
        mem_fail_at(0, false);
        assert_false(has(c, 1, "a", 0));
        assert_int_equal(entries(c), 0);
    }
    assert_true(put(c, 1, "a", 0));
    cache_free(c);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(nothing_is_older_than_its_time),
        cmocka_unit_test(the_one_asked_for_longest_ago_makes_room),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(what_is_held_lives_on),
        cmocka_unit_test(workers_share_it),
        cmocka_unit_test(refused_memory_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
