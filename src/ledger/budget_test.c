/* SPDX-License-Identifier: Apache-2.0 */
/* budget - limits that hold under threads, the turn of days and months, levels, purses of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "ledger/budget.h"
#include "ledger/price.h"

#define DAY_US ((int64_t)86400 * 1000000)

static int64_t noon(int year, int month, int day)
{
    return ledger_day_of(year, month, day) * DAY_US + DAY_US / 2;
}

static struct ledger_budget_conf conf_of(int64_t day, int64_t month)
{
    return (struct ledger_budget_conf){.on = true,
                                       .limits = {day, month},
                                       .warn_percent = 80,
                                       .critical_percent = 95,
                                       .hard_stop = true};
}

static bool hold(struct ledger_budget *b, const struct ledger_budget_conf *conf, int64_t micro,
                 int64_t now, struct ledger_hold *out, uint64_t *wait_s)
{
    struct ledger_ask ask = {.conf = conf, .micro = micro, .wall_us = now};
    return ledger_budget_hold(b, &ask, out, wait_s);
}

static void spend(struct ledger_budget *b, const char *key, int64_t micro, int64_t now)
{
    struct ledger_hold none = {0};
    ledger_budget_settle(b, &none, key, micro, now);
}

static int64_t spent(struct ledger_budget *b, enum ledger_scope scope, int64_t now)
{
    struct ledger_budget_conf conf = conf_of(0, 0);
    struct ledger_spent s;
    ledger_budget_look(b, &conf, scope, now, &s);
    return s.spent;
}

static void a_limit_holds_to_the_micro_dollar(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(100, 0);
    struct ledger_hold one, two;
    uint64_t wait_s = 0;
    int64_t now = noon(2026, 11, 23);
    ledger_budget_init(&b, now);
    assert_true(hold(&b, &conf, 60, now, &one, &wait_s));
    assert_false(hold(&b, &conf, 41, now, &two, &wait_s)); /* what is in flight counts */
    assert_int_equal(wait_s, 43200);
    assert_true(hold(&b, &conf, 40, now, &two, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 10, now); /* it cost less than was thought */
    ledger_budget_settle(&b, &two, NULL, 40, now);
    assert_int_equal(spent(&b, LEDGER_DAY, now), 50);
    assert_true(hold(&b, &conf, 50, now, &one, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 70, now); /* or more: that is known afterwards only */
    assert_false(hold(&b, &conf, 1, now, &one, &wait_s));
    assert_int_equal(spent(&b, LEDGER_DAY, now), 120);
    conf.hard_stop = false;
    assert_true(hold(&b, &conf, 1, now, &one, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 0, now);
    conf.hard_stop = true;
    conf.on = false;
    assert_true(hold(&b, &conf, 1, now, &one, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 0, now);
    conf.on = true;
    struct ledger_ask ask = {.conf = &conf, .priority = true, .micro = 5, .wall_us = now};
    assert_true(ledger_budget_hold(&b, &ask, &one, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 0, now);
    assert_true(ledger_budget_hold(&b, &ask, &one, &wait_s));
    assert_false(ledger_budget_used_up(&b, &ask));
    ask.priority = false;
    assert_true(ledger_budget_used_up(&b, &ask));
    ledger_budget_fini(&b);
}

/* Of a budget for three routers each spends a third: all together never more than there is. */
static void a_replica_spends_its_part(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(100, 2);
    struct ledger_hold one, two;
    struct ledger_spent s;
    uint64_t wait_s = 0;
    int64_t now = noon(2026, 11, 23);
    ledger_budget_init(&b, now);
    conf.replicas = 3;
    ledger_budget_look(&b, &conf, LEDGER_DAY, now, &s);
    assert_int_equal(s.limit, 33);
    ledger_budget_look(&b, &conf, LEDGER_MONTH, now, &s);
    assert_int_equal(s.limit, 1); /* nothing would be no limit */
    conf.limits.month_micro = 0;
    assert_true(hold(&b, &conf, 33, now, &one, &wait_s));
    assert_false(hold(&b, &conf, 1, now, &two, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 0, now);

    struct ledger_ask ask = {
        .conf = &conf, .key = "k_1", .limits = {.day_micro = 31}, .wall_us = now};
    ask.micro = 11;
    assert_false(ledger_budget_hold(&b, &ask, &one, &wait_s));
    ask.micro = 10;
    assert_true(ledger_budget_hold(&b, &ask, &one, &wait_s));
    ledger_budget_settle(&b, &one, NULL, 0, now);
    ledger_budget_fini(&b);
}

static void days_and_months_begin_anew(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(100, 150);
    struct ledger_hold h;
    uint64_t wait_s = 0;
    int64_t now = noon(2026, 11, 29);
    ledger_budget_init(&b, now);
    spend(&b, "k_1", 100, now);
    assert_false(hold(&b, &conf, 1, now, &h, &wait_s));
    now += DAY_US; /* the 30th */
    assert_true(hold(&b, &conf, 50, now, &h, &wait_s));
    ledger_budget_settle(&b, &h, "k_1", 50, now);
    assert_int_equal(spent(&b, LEDGER_DAY, now), 50);
    assert_int_equal(spent(&b, LEDGER_MONTH, now), 150);
    assert_false(hold(&b, &conf, 1, now, &h, &wait_s)); /* the month's limit */
    assert_int_equal(wait_s, 43200);
    now += DAY_US; /* December */
    assert_true(hold(&b, &conf, 100, now, &h, &wait_s));
    ledger_budget_settle(&b, &h, NULL, 0, now);
    assert_int_equal(spent(&b, LEDGER_MONTH, now), 0);
    /* and over the year's end */
    now = noon(2026, 12, 31);
    spend(&b, NULL, 149, now);
    assert_false(hold(&b, &conf, 2, now, &h, &wait_s));
    assert_int_equal(wait_s, 43200);
    assert_true(hold(&b, &conf, 2, now + DAY_US, &h, &wait_s));
    ledger_budget_fini(&b);
}

static void a_clock_that_is_set_back_finds_its_day_again(void **state)
{
    (void)state;
    struct ledger_budget b;
    int64_t now = noon(2026, 11, 30);
    ledger_budget_init(&b, now);
    spend(&b, "k_1", 7, now);
    assert_int_equal(spent(&b, LEDGER_DAY, now + DAY_US), 0);
    spend(&b, "k_1", 3, now + DAY_US);
    assert_int_equal(spent(&b, LEDGER_DAY, now), 7);
    assert_int_equal(spent(&b, LEDGER_MONTH, now), 7);
    assert_int_equal(ledger_budget_purse(&b, "k_1")->spent[LEDGER_DAY], 7);
    assert_int_equal(spent(&b, LEDGER_DAY, now + DAY_US), 3);
    assert_int_equal(spent(&b, LEDGER_MONTH, now + DAY_US), 3);
    /* far away there is nothing, and a time before 1970 is the first day */
    assert_int_equal(spent(&b, LEDGER_DAY, now + 900 * DAY_US), 0);
    assert_int_equal(spent(&b, LEDGER_DAY, -1), 0);
    ledger_budget_fini(&b);
}

static void keys_have_purses_of_their_own(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(1000, 0);
    struct ledger_hold h;
    uint64_t wait_s = 0;
    int64_t now = noon(2026, 11, 23);
    struct ledger_ask ask = {.conf = &conf,
                             .key = "k_1",
                             .limits = {.day_micro = 10},
                             .priority = true,
                             .micro = 11,
                             .wall_us = now};
    ledger_budget_init(&b, now);
    assert_false(ledger_budget_hold(&b, &ask, &h, &wait_s)); /* its own limit holds for all */
    ask.micro = 10;
    assert_true(ledger_budget_hold(&b, &ask, &h, &wait_s));
    ledger_budget_settle(&b, &h, "k_1", 10, now);
    ask.micro = 1;
    assert_false(ledger_budget_hold(&b, &ask, &h, &wait_s));
    ask.key = "k_2";
    assert_true(ledger_budget_hold(&b, &ask, &h, &wait_s));
    ledger_budget_settle(&b, &h, "k_2", 1, now);
    assert_int_equal(spent(&b, LEDGER_DAY, now), 11);
    assert_int_equal(b.all.held, 0);
    assert_ptr_equal(ledger_budget_purse(&b, "k_1"), ledger_budget_purse(&b, "k_1"));
    assert_null(ledger_budget_purse(&b, NULL));
    assert_null(ledger_budget_purse(&b, ""));
    for (int i = 0; i < 2000; i++) { /* more than there are slots */
        char key[32];
        snprintf(key, sizeof key, "k_%d", i);
        spend(&b, key, i, now);
    }
    assert_int_equal(ledger_budget_purse(&b, "k_1234")->spent[LEDGER_MONTH], 1234);
    ledger_budget_fini(&b);
}

static void without_memory_a_key_with_a_limit_is_refused(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(0, 0);
    struct ledger_hold h;
    uint64_t wait_s = 0;
    struct ledger_ask ask = {.conf = &conf, .key = "k_1", .limits = {10, 0}, .micro = 1};
    ledger_budget_init(&b, 0);
    mem_fail_at(1, true);
    assert_false(ledger_budget_hold(&b, &ask, &h, &wait_s));
    ask.limits = (struct ledger_limits){0};
    assert_true(ledger_budget_hold(&b, &ask, &h, &wait_s));
    mem_fail_at(0, false);
    ledger_budget_settle(&b, &h, "k_1", 1, 0);
    assert_int_equal(b.all.held, 0);
    ledger_budget_fini(&b);
}

static void the_file_tells_what_was_spent_before(void **state)
{
    (void)state;
    struct ledger_budget b;
    int64_t now = noon(2026, 11, 23), day = ledger_day(now);
    ledger_budget_init(&b, now);
    assert_true(ledger_budget_seed(&b, day, "k_1", 5));
    assert_true(ledger_budget_seed(&b, day, "", 2));
    assert_true(ledger_budget_seed(&b, day - 22, "k_1", 30)); /* the 1st */
    assert_true(ledger_budget_seed(&b, day - 23, "k_1", 1000));
    assert_int_equal(spent(&b, LEDGER_DAY, now), 7);
    assert_int_equal(spent(&b, LEDGER_MONTH, now), 37);
    assert_int_equal(ledger_budget_purse(&b, "k_1")->spent[LEDGER_MONTH], 35);
    ledger_budget_fini(&b);
}

static void every_level_is_told_once(void **state)
{
    (void)state;
    struct ledger_budget b;
    struct ledger_budget_conf conf = conf_of(1000, 0);
    enum ledger_level level;
    int64_t now = noon(2026, 11, 23);
    ledger_budget_init(&b, now);
    spend(&b, NULL, 799, now);
    assert_false(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    spend(&b, NULL, 1, now);
    assert_true(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    assert_int_equal(level, LEDGER_WARN);
    assert_false(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    spend(&b, NULL, 149, now);
    assert_false(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    spend(&b, NULL, 1, now);
    assert_true(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    assert_int_equal(level, LEDGER_CRITICAL);
    spend(&b, NULL, 500, now);
    assert_true(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    assert_int_equal(level, LEDGER_USED_UP);
    assert_false(ledger_budget_rose(&b, &conf, LEDGER_MONTH, &level)); /* without a limit */
    spend(&b, NULL, 900, now + DAY_US);
    assert_true(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    assert_int_equal(level, LEDGER_WARN);
    conf = conf_of(LEDGER_LIMIT_MAX, 0); /* no product overflows */
    spend(&b, NULL, LEDGER_LIMIT_MAX / 100 * 96, now + 2 * DAY_US);
    assert_true(ledger_budget_rose(&b, &conf, LEDGER_DAY, &level));
    assert_int_equal(level, LEDGER_CRITICAL);
    ledger_budget_fini(&b);
}

/* ---- threads ---- */

struct crowd {
    struct ledger_budget budget;
    struct ledger_budget_conf conf;
    _Atomic int64_t granted, worst;
};

static void *ask_often(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 20000; i++) {
        struct ledger_hold h;
        uint64_t wait_s;
        struct ledger_ask ask = {.conf = &c->conf, .key = i % 2 ? "k_1" : "k_2", .micro = 10};
        if (!ledger_budget_hold(&c->budget, &ask, &h, &wait_s))
            continue;
        ledger_budget_settle(&c->budget, &h, ask.key, i % 3 == 0 ? 10 : i % 3, 0);
        atomic_fetch_add(&c->granted, i % 3 == 0 ? 10 : i % 3);
        int64_t now = atomic_load(&c->budget.all.spent[LEDGER_DAY]);
        if (now > atomic_load(&c->worst))
            atomic_store(&c->worst, now);
    }
    return NULL;
}

static void threads_together_stay_below_the_limit(void **state)
{
    (void)state;
    struct crowd c = {.conf = conf_of(5000, 0)};
    pthread_t threads[4];
    ledger_budget_init(&c.budget, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &c), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(c.worst <= 5000);
    assert_true(c.granted > 4980); /* and it was not wasted either */
    assert_int_equal(c.granted, c.budget.all.spent[LEDGER_DAY]);
    assert_int_equal(c.budget.all.held, 0);
    assert_int_equal(ledger_budget_purse(&c.budget, "k_1")->spent[LEDGER_DAY] +
                         ledger_budget_purse(&c.budget, "k_2")->spent[LEDGER_DAY],
                     c.granted);
    ledger_budget_fini(&c.budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_holds_to_the_micro_dollar),
        cmocka_unit_test(a_replica_spends_its_part),
        cmocka_unit_test(days_and_months_begin_anew),
        cmocka_unit_test(a_clock_that_is_set_back_finds_its_day_again),
        cmocka_unit_test(keys_have_purses_of_their_own),
        cmocka_unit_test(without_memory_a_key_with_a_limit_is_refused),
        cmocka_unit_test(the_file_tells_what_was_spent_before),
        cmocka_unit_test(every_level_is_told_once),
        cmocka_unit_test(threads_together_stay_below_the_limit),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
