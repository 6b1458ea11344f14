/* SPDX-License-Identifier: Apache-2.0 */
/* queue - order, fullness, rounds, many writers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "ledger/queue.h"

static bool put(struct ledger_queue *q, int64_t n)
{
    struct ledger_entry e = {.cost_micro = n};
    size_t used;
    return ledger_queue_put(q, &e, &used);
}

static void rows_come_out_in_order(void **state)
{
    (void)state;
    struct ledger_queue q;
    assert_true(ledger_queue_init(&q, 3)); /* four */
    assert_null(ledger_queue_peek(&q, 0));
    for (int64_t round = 0; round < 10; round++) {
        for (int64_t i = 0; i < 4; i++)
            assert_true(put(&q, round * 4 + i));
        assert_false(put(&q, 99));
        assert_int_equal(ledger_queue_len(&q), 4);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(ledger_queue_peek(&q, i)->cost_micro, round * 4 + (int64_t)i);
        assert_null(ledger_queue_peek(&q, 4));
        ledger_queue_drop(&q, 1);
        assert_int_equal(ledger_queue_peek(&q, 0)->cost_micro, round * 4 + 1);
        assert_null(ledger_queue_peek(&q, 3));
        ledger_queue_drop(&q, 3);
        assert_null(ledger_queue_peek(&q, 0));
        assert_int_equal(ledger_queue_len(&q), 0);
    }
    ledger_queue_fini(&q);
}

static void it_says_how_many_wait(void **state)
{
    (void)state;
    struct ledger_queue q;
    struct ledger_entry e = {.cost_micro = 1};
    size_t used = 0;
    assert_true(ledger_queue_init(&q, 8));
    for (size_t i = 1; i <= 8; i++) {
        assert_true(ledger_queue_put(&q, &e, &used));
        assert_int_equal(used, i);
    }
    ledger_queue_fini(&q);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct ledger_queue q;
    mem_fail_at(1, false);
    assert_false(ledger_queue_init(&q, 8));
    mem_fail_at(0, false);
}

#define WRITERS 4
#define ROWS    20000

struct crowd {
    struct ledger_queue q;
    _Atomic int64_t lost;
    _Atomic int running;
};
struct writer {
    struct crowd *c;
    int32_t number;
};

static void *write_rows(void *arg)
{
    struct writer *w = arg;
    for (int64_t i = 0; i < ROWS; i++) {
        struct ledger_entry e = {.cost_micro = i, .status = w->number, .total_us = ~i};
        size_t used;
        if (!ledger_queue_put(&w->c->q, &e, &used))
            atomic_fetch_add(&w->c->lost, 1);
    }
    atomic_fetch_sub(&w->c->running, 1);
    return NULL;
}

static size_t read_rows(struct ledger_queue *q, int64_t last[WRITERS])
{
    const struct ledger_entry *e;
    size_t n = 0;
    for (; (e = ledger_queue_peek(q, n)) != NULL; n++) {
        assert_true(e->cost_micro > last[e->status]);
        assert_int_equal(e->total_us, ~e->cost_micro);
        last[e->status] = e->cost_micro;
    }
    ledger_queue_drop(q, n);
    return n;
}

/* Every row that was taken comes out once, whole, and each writer's in its order. */
static void many_writers_lose_nothing_that_was_taken(void **state)
{
    (void)state;
    struct crowd c = {.running = WRITERS};
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    int64_t last[WRITERS], total = 0;
    assert_true(ledger_queue_init(&c.q, 64));
    for (int i = 0; i < WRITERS; i++) {
        last[i] = -1;
        writers[i] = (struct writer){&c, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, &writers[i]), 0);
    }
    while (atomic_load(&c.running) > 0) {
        total += (int64_t)read_rows(&c.q, last);
        sched_yield();
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    total += (int64_t)read_rows(&c.q, last);
    assert_int_equal(total + c.lost, WRITERS * ROWS);
    assert_int_equal(ledger_queue_len(&c.q), 0);
    ledger_queue_fini(&c.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_out_in_order),
        cmocka_unit_test(it_says_how_many_wait),
        cmocka_unit_test(refused_memory_is_told),
        cmocka_unit_test(many_writers_lose_nothing_that_was_taken),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
