/* SPDX-License-Identifier: Apache-2.0 */
/* cell - the breaker's moves, slots and who is woken, what health learns; and all of it by threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "provider/provider.h"

#define S ((int64_t)1000000)

struct world {
    struct provider p;
    int64_t now;
};

static int open_world(void **state)
{
    static struct world w;
    w = (struct world){.p = {.name = "p", .kind = PROVIDER_OPENAI}, .now = 100 * S};
    w.p.limits = (struct provider_limits){
        .concurrency = 3,
        .queue_max = 2,
        .breaker_failures = 3,
        .breaker_open_ms = 10000,
        .breaker_open_max_ms = 35000,
    };
    w.p.cell = provider_cell_get("p", "http://p");
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    provider_cells_free();
    return 0;
}

static enum admit admit(struct world *w)
{
    uint64_t wait_ms;
    return provider_admit(&w->p, w->now, &wait_ms);
}

static uint64_t wait_of(struct world *w)
{
    uint64_t wait_ms = 0;
    assert_int_not_equal(provider_admit(&w->p, w->now, &wait_ms), ADMIT_GO);
    return wait_ms;
}

/* A call that began at began_us ends now. */
static void report(struct world *w, enum outcome o, int64_t began_us, uint64_t retry_after_ms)
{
    struct provider_report r = {.outcome = o,
                                .now_us = w->now,
                                .wall_us = w->now + 1000 * S,
                                .latency_us = w->now - began_us,
                                .retry_after_ms = retry_after_ms};
    provider_report(&w->p, &r, NULL);
}

static void call(struct world *w, enum outcome o)
{
    int64_t began = w->now;
    assert_int_equal(admit(w), ADMIT_GO);
    w->now += S / 10;
    report(w, o, began, 0);
}

static void fail_times(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        call(w, OUTCOME_HTTP_5XX);
}

/* ---- the breaker ---- */

static void opens_after_failures_in_a_row(void **state)
{
    struct world *w = *state;
    fail_times(w, 2);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    call(w, OUTCOME_OK); /* the count begins anew */
    fail_times(w, 2);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    call(w, OUTCOME_CONNECT_REFUSED);
    assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
    assert_int_equal(admit(w), ADMIT_OPEN);
    assert_int_equal(wait_of(w), 10000);
    assert_int_equal(w->p.cell->next_retry_wall_us, w->now + 1010 * S);
    assert_int_equal(w->p.cell->failures_total, 5);
}

static void what_is_not_its_fault_counts_for_nothing(void **state)
{
    struct world *w = *state;
    fail_times(w, 2);
    for (int o = 1; o < OUTCOMES; o++)
        if (!outcome_row((enum outcome)o)->counts)
            call(w, (enum outcome)o);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    assert_int_equal(w->p.cell->failures, 2); /* and is no success either */
    fail_times(w, 1);
    assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
}

static void one_trial_decides(void **state)
{
    struct world *w = *state;
    fail_times(w, 3);
    w->now = w->p.cell->retry_us - 1;
    assert_int_equal(admit(w), ADMIT_OPEN);
    assert_int_equal(wait_of(w), 1); /* rounded up: never 0 */
    w->now++;
    int64_t began = w->now;
    assert_int_equal(admit(w), ADMIT_GO);
    assert_int_equal(w->p.cell->breaker, BREAKER_HALF_OPEN);
    assert_int_equal(admit(w), ADMIT_OPEN); /* exactly one */
    w->now += 100 * S;
    assert_int_equal(admit(w), ADMIT_OPEN);
    report(w, OUTCOME_OK, began, 0);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    assert_int_equal(w->p.cell->failures, 0);
    assert_int_equal(w->p.cell->next_retry_wall_us, 0);
    assert_int_equal(admit(w), ADMIT_GO);
    assert_int_equal(admit(w), ADMIT_GO);
}

static void failed_trials_open_it_for_longer(void **state)
{
    static const uint64_t periods[] = {10000, 20000, 35000, 35000};
    struct world *w = *state;
    fail_times(w, 3);
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
        assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
        assert_int_equal(wait_of(w), periods[i]);
        w->now = w->p.cell->retry_us;
        call(w, OUTCOME_HEAD_TIMEOUT);
    }
    w->now = w->p.cell->retry_us;
    call(w, OUTCOME_OK);
    fail_times(w, 3);
    assert_int_equal(wait_of(w), 10000); /* a new story */
}

/* Caller gone, no memory, a request that was refused: nothing is known, the next call is the trial. */
static void a_trial_without_a_verdict_makes_room(void **state)
{
    struct world *w = *state;
    fail_times(w, 3);
    w->now = w->p.cell->retry_us;
    for (int o = 1; o < OUTCOMES; o++) {
        if (outcome_row((enum outcome)o)->counts)
            continue;
        int64_t began = w->now;
        assert_int_equal(admit(w), ADMIT_GO);
        assert_int_equal(admit(w), ADMIT_OPEN);
        w->now += S;
        report(w, (enum outcome)o, began, 0);
        assert_int_equal(w->p.cell->breaker, BREAKER_HALF_OPEN);
    }
    call(w, OUTCOME_OK);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
}

static void calls_from_before_say_nothing(void **state)
{
    struct world *w = *state;
    int64_t old = w->now;
    assert_int_equal(admit(w), ADMIT_GO);
    assert_int_equal(admit(w), ADMIT_GO);
    fail_times(w, 3);
    int64_t retry = w->p.cell->retry_us;
    report(w, OUTCOME_OK, old, 0); /* while open */
    assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
    w->now = retry;
    int64_t trial = w->now;
    assert_int_equal(admit(w), ADMIT_GO);
    w->now += S;
    report(w, OUTCOME_CUT, old, 0); /* while the trial is out */
    assert_int_equal(w->p.cell->breaker, BREAKER_HALF_OPEN);
    assert_int_equal(admit(w), ADMIT_OPEN);
    report(w, OUTCOME_OK, trial, 0);
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    assert_int_equal(w->p.cell->in_flight, 0);
}

static void jitter_spreads_the_trials(void **state)
{
    struct world *w = *state;
    struct rng rng;
    int64_t least = INT64_MAX, most = 0;
    rng_seed(&rng, 1);
    w->p.limits.breaker_failures = 1;
    for (int i = 0; i < 200; i++) {
        int64_t began = w->now;
        w->p.cell->open_ms = 0;
        assert_int_equal(admit(w), ADMIT_GO);
        struct provider_report r = {.outcome = OUTCOME_HTTP_5XX, .now_us = w->now};
        provider_report(&w->p, &r, &rng);
        int64_t open = w->p.cell->retry_us - began;
        least = open < least ? open : least;
        most = open > most ? open : most;
        w->now = w->p.cell->retry_us;
    }
    assert_true(least >= 8 * S && least < 9 * S);
    assert_true(most <= 12 * S && most > 11 * S);
}

static void asked_to_stay_away(void **state)
{
    struct world *w = *state;
    int64_t began = w->now;
    assert_int_equal(admit(w), ADMIT_GO);
    report(w, OUTCOME_HTTP_429, began, 7000);
    assert_int_equal(admit(w), ADMIT_OPEN);
    assert_int_equal(wait_of(w), 7000);
    w->now += 7 * S;
    for (int i = 0; i < 5; i++) { /* 503 with Retry-After: no failure, however often */
        began = w->now;
        assert_int_equal(admit(w), ADMIT_GO);
        report(w, OUTCOME_HTTP_OVERLOADED, began, 1000);
        w->now += S;
    }
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    assert_int_equal(w->p.cell->failures, 0);
    for (int i = 0; i < 3; i++) /* without it, it is one */
        call(w, OUTCOME_HTTP_OVERLOADED);
    assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
}

/* ---- slots ---- */

struct bell {
    struct provider_waiter waiter;
    unsigned rings;
};

static void ring(void *arg)
{
    ((struct bell *)arg)->rings++;
}

static struct bell new_bell(void)
{
    return (struct bell){.waiter = {.wake = ring}};
}

static void hang_up(struct bell *b) /* bells do not move from here on */
{
    list_init(&b->waiter.node);
    b->waiter.arg = b;
}

static void slots_are_given_back(void **state)
{
    struct world *w = *state;
    int64_t began = w->now;
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(w), ADMIT_GO);
    assert_int_equal(admit(w), ADMIT_BUSY);
    assert_true(wait_of(w) > 0);
    report(w, OUTCOME_CALLER_GONE, began, 0);
    assert_int_equal(admit(w), ADMIT_GO);
    w->p.limits.concurrency = 0;
    for (int i = 0; i < 100; i++)
        assert_int_equal(admit(w), ADMIT_GO);
}

static void an_engine_is_not_given_more_than_its_slots(void **state)
{
    struct world *w = *state;
    w->p.cell->slots_seen = 1;
    assert_int_equal(admit(w), ADMIT_GO);
    assert_int_equal(admit(w), ADMIT_BUSY);
    w->p.limits.concurrency = 0;
    assert_int_equal(admit(w), ADMIT_BUSY);
    w->p.cell->slots_seen = 8;
    w->p.limits.concurrency = 1;
    assert_int_equal(admit(w), ADMIT_BUSY);
}

static void everybody_who_waits_is_woken_once(void **state)
{
    struct world *w = *state;
    struct bell a = new_bell(), b = new_bell(), c = new_bell();
    int64_t began = w->now;
    hang_up(&a), hang_up(&b), hang_up(&c);
    provider_wait(&w->p, &a.waiter); /* a slot is free */
    assert_int_equal(a.rings, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(w), ADMIT_GO);
    provider_wait(&w->p, &a.waiter);
    provider_wait(&w->p, &a.waiter); /* twice is once */
    provider_wait(&w->p, &b.waiter);
    provider_wait(&w->p, &c.waiter);
    provider_unwait(&w->p, &c.waiter);
    assert_int_equal(a.rings, 1);
    report(w, OUTCOME_OK, began, 0);
    report(w, OUTCOME_OK, began, 0);
    assert_int_equal(a.rings, 2);
    assert_int_equal(b.rings, 1);
    assert_int_equal(c.rings, 0);
    provider_unwait(&w->p, &a.waiter); /* harmless */
}

static void who_waits_hears_of_its_end(void **state)
{
    struct world *w = *state;
    struct bell a = new_bell();
    hang_up(&a);
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit(w), ADMIT_GO);
    provider_wait(&w->p, &a.waiter);
    provider_set_state(w->p.cell, PROVIDER_DOWN, "gone");
    assert_int_equal(a.rings, 1);
    provider_wait(&w->p, &a.waiter);
    assert_int_equal(a.rings, 2);
}

static void the_queue_has_an_end(void **state)
{
    struct world *w = *state;
    assert_true(provider_queue_enter(&w->p));
    assert_true(provider_queue_enter(&w->p));
    assert_false(provider_queue_enter(&w->p));
    provider_queue_leave(&w->p);
    assert_true(provider_queue_enter(&w->p));
}

/* ---- health ---- */

static void states_of_the_process(void **state)
{
    struct world *w = *state;
    fail_times(w, 3);
    provider_set_state(w->p.cell, PROVIDER_LOADING, "loading");
    assert_int_equal(admit(w), ADMIT_LOADING);
    assert_true(wait_of(w) > 0);
    assert_string_equal(w->p.cell->problem, "loading");
    provider_set_state(w->p.cell, PROVIDER_DOWN, "ended");
    assert_int_equal(admit(w), ADMIT_DOWN);
    assert_false(w->p.cell->available);
    provider_set_state(w->p.cell, PROVIDER_UP, NULL); /* a new process: a clean sheet */
    assert_int_equal(w->p.cell->breaker, BREAKER_CLOSED);
    assert_string_equal(w->p.cell->problem, "");
    assert_true(w->p.cell->available);
    fail_times(w, 3);
    provider_set_state(w->p.cell, PROVIDER_UP, NULL); /* not new */
    assert_int_equal(w->p.cell->breaker, BREAKER_OPEN);
}

static void health_learns_from_calls(void **state)
{
    struct world *w = *state;
    struct provider_cell *c = w->p.cell;
    call(w, OUTCOME_CONNECT_REFUSED);
    assert_true(c->probed);
    assert_false(c->available);
    assert_string_equal(c->problem, "connect_refused");
    assert_int_equal(c->last_failure_wall_us, w->now + 1000 * S);
    call(w, OUTCOME_OK);
    assert_true(c->available);
    assert_string_equal(c->problem, "");
    call(w, OUTCOME_HTTP_5XX); /* it is there, and has a problem */
    assert_true(c->available);
    assert_string_equal(c->problem, "http_5xx");
    call(w, OUTCOME_REJECTED);
    assert_string_equal(c->problem, "http_5xx");
    call(w, OUTCOME_AUTH);
    assert_false(c->available);
    for (int i = 0; i < 12; i++)
        call(w, OUTCOME_OK);
    assert_int_equal(c->latency_n, 13);
    assert_int_equal(c->latency_us[2], S / 10);
}

static void cold_and_warm(void **state)
{
    struct world *w = *state;
    assert_true(provider_is_cold(&w->p, STRV("m"), w->now));
    call(w, OUTCOME_OK);
    assert_false(provider_is_cold(&w->p, STRV("m"), w->now + 300 * S));
    assert_true(provider_is_cold(&w->p, STRV("m"), w->now + 300 * S + 1));
    w->p.kind = PROVIDER_LLAMA_SERVER;
    assert_false(provider_is_cold(&w->p, STRV("m"), w->now + 9999 * S));
}

/* ---- the registry ---- */

static void one_cell_per_name_and_address(void **state)
{
    char name[32];
    (void)state;
    struct provider_cell *a = provider_cell_get("a", "http://1");
    assert_ptr_equal(a, provider_cell_get("a", "http://1"));
    struct provider_cell *b = provider_cell_get("a", "http://2");
    assert_ptr_not_equal(a, b);
    assert_int_not_equal(a->index, b->index);
    for (int i = 3; i < PROVIDERS_MAX; i++) { /* with the world's own */
        snprintf(name, sizeof name, "n%d", i);
        assert_non_null(provider_cell_get(name, "x"));
    }
    assert_null(provider_cell_get("one too many", "x"));
    assert_ptr_equal(a, provider_cell_get("a", "http://1"));
    provider_cells_free();
    mem_fail_at(1, false);
    assert_null(provider_cell_get("a", "x"));
    mem_fail_at(0, false);
    assert_non_null(provider_cell_get("a", "x"));
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 4000 };

struct crowd {
    struct provider p;
    atomic_int inside, most; /* calls at once */
    atomic_int trials, trials_most;
    atomic_llong clock;
    atomic_int rings;
};

static void count_ring(void *arg)
{
    atomic_fetch_add(&((struct crowd *)arg)->rings, 1);
}

static void note_most(atomic_int *most, int n)
{
    int seen = atomic_load(most);
    while (n > seen && !atomic_compare_exchange_weak(most, &seen, n))
        ;
}

static void *many_calls(void *arg)
{
    struct crowd *crowd = arg;
    struct provider_waiter waiter = {.wake = count_ring, .arg = crowd};
    struct rng rng;
    list_init(&waiter.node);
    rng_seed(&rng, (uint64_t)(uintptr_t)&waiter);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t wait_ms;
        int64_t now = atomic_fetch_add(&crowd->clock, 1000) + 1000;
        if (provider_admit(&crowd->p, now, &wait_ms) != ADMIT_GO) {
            provider_wait(&crowd->p, &waiter);
            continue;
        }
        pthread_mutex_lock(&crowd->p.cell->lock);
        bool trial = crowd->p.cell->breaker == BREAKER_HALF_OPEN && crowd->p.cell->trial_us == now;
        pthread_mutex_unlock(&crowd->p.cell->lock);
        if (trial)
            note_most(&crowd->trials_most, atomic_fetch_add(&crowd->trials, 1) + 1);
        note_most(&crowd->most, atomic_fetch_add(&crowd->inside, 1) + 1);
        (void)provider_is_cold(&crowd->p, STRV("m"), now);
        atomic_fetch_sub(&crowd->inside, 1);
        if (trial)
            atomic_fetch_sub(&crowd->trials, 1);
        static const enum outcome outcomes[] = {OUTCOME_OK, OUTCOME_HTTP_5XX, OUTCOME_HTTP_5XX,
                                                OUTCOME_CALLER_GONE};
        int64_t end = atomic_load(&crowd->clock);
        struct provider_report r = {.outcome = outcomes[rng_below(&rng, 4)],
                                    .now_us = end,
                                    .wall_us = end,
                                    .latency_us = end - now};
        provider_report(&crowd->p, &r, &rng);
    }
    provider_unwait(&crowd->p, &waiter);
    return NULL;
}

static void workers_share_a_cell(void **state)
{
    static struct crowd crowd;
    pthread_t threads[THREADS];
    (void)state;
    crowd = (struct crowd){.p = {.name = "crowd", .kind = PROVIDER_OPENAI}};
    crowd.p.limits = (struct provider_limits){
        .concurrency = 2, .breaker_failures = 2, .breaker_open_ms = 1, .breaker_open_max_ms = 4};
    crowd.p.cell = provider_cell_get("crowd", "x");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_calls, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&crowd.most) <= 2);
    assert_true(atomic_load(&crowd.trials_most) <= 1);
    assert_int_equal(crowd.p.cell->in_flight, 0);
    assert_true(list_empty(&crowd.p.cell->waiters));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_after_failures_in_a_row),
        TEST(what_is_not_its_fault_counts_for_nothing),
        TEST(one_trial_decides),
        TEST(failed_trials_open_it_for_longer),
        TEST(a_trial_without_a_verdict_makes_room),
        TEST(calls_from_before_say_nothing),
        TEST(jitter_spreads_the_trials),
        TEST(asked_to_stay_away),
        TEST(slots_are_given_back),
        TEST(an_engine_is_not_given_more_than_its_slots),
        TEST(everybody_who_waits_is_woken_once),
        TEST(who_waits_hears_of_its_end),
        TEST(the_queue_has_an_end),
        TEST(states_of_the_process),
        TEST(health_learns_from_calls),
        TEST(cold_and_warm),
        TEST(one_cell_per_name_and_address),
        TEST(workers_share_a_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
