/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - the heap on a clock of the test's own, against a plain array that is searched.
 *
 * The real loop comes with the archive, but its clock and timers are not used: the timers' functions
 * ask io_loop_timers() and io_now_us(), so the test goes through io_timers_fire() with its own times and
 * checks order, not duration.
 */
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/loop.h"
#include "io/timer_heap.h"

#define FAR_US INT64_C(4000000000000000) /* later than any due time here */
#define MANY   300

struct entry {
    struct io_timer timer;
    struct fixture *f;
    unsigned calls;
    int64_t due_us; /* what the model expects; -1 = stopped */
};

struct fixture {
    struct io_loop *loop;
    struct entry entries[MANY];
    int64_t last_due_us;
    unsigned calls;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);

    if (f == NULL)
        return -1;
    f->loop = io_loop_new(&ERR_INIT);
    *state = f;
    return f->loop == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_loop_free(f->loop);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static void count(void *arg)
{
    struct entry *e = arg;

    assert_true(e->timer.due_us >= e->f->last_due_us);
    assert_false(e->timer.running);
    e->f->last_due_us = e->timer.due_us;
    e->f->calls++;
    e->calls++;
}

static void test_fires_in_order_of_due_time(void **state)
{
    struct fixture *f = *state;
    static const unsigned ms[] = {50, 10, 30, 20, 40, 0};

    for (size_t i = 0; i < 6; i++) {
        f->entries[i].f = f;
        io_timer_start(f->loop, &f->entries[i].timer, ms[i], count, &f->entries[i]);
    }
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), FAR_US), 6);
    assert_int_equal(f->calls, 6);
    assert_int_equal(io_timers_next(io_loop_timers(f->loop)), IO_TIMERS_NONE);
}

static void test_moving_later_costs_nothing_and_holds(void **state)
{
    struct fixture *f = *state;
    struct entry *e = &f->entries[0], *other = &f->entries[1];
    int64_t place;

    e->f = other->f = f;
    io_timer_start(f->loop, &e->timer, 10, count, e);
    place = e->timer.place_us;
    io_timer_start(f->loop, &e->timer, 1000, count, e);
    assert_int_equal(e->timer.place_us, place);
    io_timer_start(f->loop, &other->timer, 500, count, other);
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), place), 0);
    assert_int_equal(io_timers_next(io_loop_timers(f->loop)), other->timer.due_us);
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), FAR_US), 2); /* other first: count() */
}

static void test_moving_earlier_holds(void **state)
{
    struct fixture *f = *state;
    struct entry *e = &f->entries[0];

    e->f = f;
    io_timer_start(f->loop, &e->timer, 1000, count, e);
    io_timer_start(f->loop, &e->timer, 10, count, e);
    assert_int_equal(io_timers_next(io_loop_timers(f->loop)), e->timer.due_us);
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), e->timer.due_us - 1), 0);
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), e->timer.due_us), 1);
}

static void stop_the_next(void *arg)
{
    struct entry *e = arg;

    count(e);
    io_timer_stop(e->f->loop, &e[1].timer);
    io_timer_start(e->f->loop, &e[2].timer, 0, count, &e[2]);
    io_timer_start(e->f->loop, &e->timer, 0, stop_the_next, e);
}

static void test_a_callback_may_stop_and_restart_what_is_due_with_it(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        f->entries[i].f = f;
        io_timer_start(f->loop, &f->entries[i].timer, (unsigned)i, i == 0 ? stop_the_next : count,
                       &f->entries[i]);
    }
    /* 0 stops 1, moves 2 and itself to the next time: only 3 is left. */
    assert_int_equal(io_timers_fire(io_loop_timers(f->loop), FAR_US), 2);
    assert_int_equal(f->entries[1].calls, 0);
    assert_int_equal(f->entries[2].calls, 0);
    assert_int_equal(f->entries[3].calls, 1);
    assert_true(f->entries[0].timer.running && f->entries[2].timer.running);
    io_timer_stop(f->loop, &f->entries[0].timer);
    io_timer_stop(f->loop, &f->entries[2].timer);
    io_timer_stop(f->loop, &f->entries[2].timer);
}

static int64_t model_next(const struct fixture *f)
{
    int64_t next = FAR_US;

    for (int i = 0; i < MANY; i++) {
        if (f->entries[i].due_us >= 0 && f->entries[i].due_us < next)
            next = f->entries[i].due_us;
    }
    return next;
}

static void test_random_starts_and_stops_agree_with_a_plain_search(void **state)
{
    struct fixture *f = *state;
    struct rng rng;

    rng_seed(&rng, 7);
    for (int i = 0; i < MANY; i++) {
        f->entries[i].f = f;
        f->entries[i].due_us = -1;
    }
    for (int step = 0; step < 20000; step++) {
        struct entry *e = &f->entries[rng_below(&rng, MANY)];

        if (rng_below(&rng, 4) != 0) {
            io_timer_start(f->loop, &e->timer, 10000 + rng_below(&rng, 100000), count, e);
            e->due_us = e->timer.due_us;
        } else {
            io_timer_stop(f->loop, &e->timer);
            e->due_us = -1;
        }
        if (step % 100 == 99) { /* everything up to the model's next, so exactly those due then */
            int64_t now = model_next(f);
            unsigned due = 0;

            for (int i = 0; i < MANY; i++) {
                if (f->entries[i].due_us >= 0 && f->entries[i].due_us <= now) {
                    f->entries[i].due_us = -1;
                    due++;
                }
            }
            f->last_due_us = 0;
            assert_int_equal(io_timers_fire(io_loop_timers(f->loop), now), due);
            assert_true(io_timers_next(io_loop_timers(f->loop)) > now);
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(f->entries[i].timer.running, f->entries[i].due_us >= 0);
        io_timer_stop(f->loop, &f->entries[i].timer);
    }
    assert_int_equal(io_timers_next(io_loop_timers(f->loop)), IO_TIMERS_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fires_in_order_of_due_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moving_later_costs_nothing_and_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moving_earlier_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_callback_may_stop_and_restart_what_is_due_with_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_starts_and_stops_agree_with_a_plain_search,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
