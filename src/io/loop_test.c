/* SPDX-License-Identifier: Apache-2.0 */
/* loop - tasks, messages from other threads, signals, timers, and when the loop comes back. */
#include "io/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/timer.h"

#define THREADS 4
#define POSTS   5000

struct fixture {
    struct io_loop *loop;
    struct io_task task;
    struct io_timer timer, other;
    unsigned calls, rounds;
    int signum;
    unsigned last[THREADS]; /* number of the last message of each thread */
    unsigned received;
    atomic_uint refused;
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
    return 0;
}

static void count(void *arg)
{
    ((struct fixture *)arg)->calls++;
}

static void count_task(struct io_task *task)
{
    struct fixture *f = list_entry(task, struct fixture, task);

    assert_false(task->queued);
    f->calls++;
    if (f->rounds > 0) {
        f->rounds--;
        io_defer(f->loop, task);
    }
}

static void test_a_loop_with_nothing_to_do_comes_back(void **state)
{
    struct fixture *f = *state;

    io_loop_run(f->loop);
    io_loop_run(f->loop);
}

static void test_a_task_runs_once_however_often_it_is_deferred(void **state)
{
    struct fixture *f = *state;

    f->task.run = count_task;
    io_defer(f->loop, &f->task);
    io_defer(f->loop, &f->task);
    assert_int_equal(f->calls, 0);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 1);
}

static void test_a_task_may_defer_itself(void **state)
{
    struct fixture *f = *state;

    f->task.run = count_task;
    f->rounds = 1000; /* more than one turn allows */
    io_defer(f->loop, &f->task);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 1001);
}

static void test_a_posted_call_is_made_though_nothing_else_is_open(void **state)
{
    struct fixture *f = *state;

    assert_true(io_post(f->loop, count, f));
    assert_true(io_post(f->loop, count, f));
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 2);
    mem_fail_at(1, false);
    assert_false(io_post(f->loop, count, f));
    mem_fail_at(0, false);
}

struct errand {
    struct fixture *f;
    pthread_t on;
    bool done;
};

static void run_errand(void *arg)
{
    struct errand *e = arg;
    e->on = pthread_self();
}

static void end_errand(void *arg)
{
    struct errand *e = arg;
    e->done = true;
    count(e->f);
}

static void test_work_is_done_beside_the_loop_and_told_on_it(void **state)
{
    struct fixture *f = *state;
    struct errand e[3] = {{.f = f}, {.f = f}, {.f = f}};

    for (size_t i = 0; i < 3; i++)
        assert_true(io_work(f->loop, run_errand, end_errand, &e[i]));
    assert_int_equal(f->calls, 0);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(e[i].done && !pthread_equal(e[i].on, pthread_self()));
    mem_fail_at(1, false);
    assert_false(io_work(f->loop, run_errand, end_errand, &e[0]));
    mem_fail_at(0, false);
}

static void defer_and_time(void *arg)
{
    struct fixture *f = arg;

    io_defer(f->loop, &f->task);
    io_timer_start(f->loop, &f->timer, 1, count, f);
}

static void test_timers_and_tasks_keep_it_running(void **state)
{
    struct fixture *f = *state;
    int64_t before = io_now_us(f->loop);

    f->task.run = count_task;
    io_timer_start(f->loop, &f->timer, 2, defer_and_time, f);
    io_timer_start(f->loop, &f->other, 1000000, count, f);
    io_timer_stop(f->loop, &f->other);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 2);
    assert_true(io_now_us(f->loop) - before >= 3000); /* never too early */
}

static void stop_self(void *arg)
{
    struct fixture *f = arg;

    f->calls++;
    io_loop_stop(f->loop);
}

static void test_stop_ends_the_run_and_the_next_goes_on(void **state)
{
    struct fixture *f = *state;

    io_timer_start(f->loop, &f->timer, 0, stop_self, f);
    io_timer_start(f->loop, &f->other, 1, count, f);
    io_loop_run(f->loop);
    assert_in_range(f->calls, 1, 2);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 2);
    io_loop_stop(f->loop); /* before the run: it comes back at once */
    io_timer_start(f->loop, &f->timer, 1000000, count, f);
    io_loop_run(f->loop);
    assert_int_equal(f->calls, 2);
    io_timer_stop(f->loop, &f->timer);
}

static void on_signal(void *arg, int signum)
{
    struct fixture *f = arg;

    f->signum = signum;
    io_loop_stop(f->loop);
}

static void test_signals_are_told(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;

    assert_true(io_on_signal(f->loop, SIGUSR1, on_signal, f, &err));
    kill(getpid(), SIGUSR1);
    io_loop_run(f->loop);
    assert_int_equal(f->signum, SIGUSR1);
    assert_false(io_on_signal(f->loop, SIGKILL, on_signal, f, &err));
    assert_true(err.set);
}

static void test_the_wall_clock_is_in_this_century(void **state)
{
    struct fixture *f = *state;

    assert_true(io_wall_us(f->loop) > INT64_C(1700000000) * 1000000);
}

/* ---- threads ---- */

struct message {
    struct fixture *f;
    unsigned thread, number;
};

static struct message messages[THREADS][POSTS];

static void receive(void *arg)
{
    const struct message *m = arg;
    struct fixture *f = m->f;

    assert_int_equal(m->number, f->last[m->thread] + 1); /* in order, none lost */
    f->last[m->thread] = m->number;
    if (++f->received == THREADS * POSTS)
        io_loop_stop(f->loop);
}

static void *send_all(void *arg)
{
    struct message *m = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        if (!io_post(m->f->loop, receive, &m[i]))
            atomic_fetch_add(&m->f->refused, 1);
    }
    return NULL;
}

static void forever(void *arg)
{
    struct fixture *f = arg;

    io_timer_start(f->loop, &f->timer, 1, forever, f);
}

static void test_many_threads_post_at_once(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];

    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < POSTS; i++)
            messages[t][i] = (struct message){f, t, i + 1};
        assert_int_equal(pthread_create(&threads[t], NULL, send_all, messages[t]), 0);
    }
    forever(f); /* a loop that is open for posts only would come back between them */
    while (f->received < THREADS * POSTS)
        io_loop_run(f->loop);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    io_timer_stop(f->loop, &f->timer);
    assert_int_equal(atomic_load(&f->refused), 0);
}

static void *stop_it(void *arg)
{
    io_loop_stop(arg);
    return NULL;
}

static void test_another_thread_can_stop_a_sleeping_loop(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    io_timer_start(f->loop, &f->timer, 1000000, count, f);
    assert_int_equal(pthread_create(&thread, NULL, stop_it, f->loop), 0);
    io_loop_run(f->loop);
    pthread_join(thread, NULL);
    io_timer_stop(f->loop, &f->timer);
    assert_int_equal(f->calls, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_loop_with_nothing_to_do_comes_back),
        T(test_a_task_runs_once_however_often_it_is_deferred),
        T(test_a_task_may_defer_itself),
        T(test_a_posted_call_is_made_though_nothing_else_is_open),
        T(test_work_is_done_beside_the_loop_and_told_on_it),
        T(test_timers_and_tasks_keep_it_running),
        T(test_stop_ends_the_run_and_the_next_goes_on),
        T(test_signals_are_told),
        T(test_the_wall_clock_is_in_this_century),
        T(test_many_threads_post_at_once),
        T(test_another_thread_can_stop_a_sleeping_loop),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
