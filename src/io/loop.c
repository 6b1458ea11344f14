/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - libuv's loop plus what it does not have: intrusive timers, end-of-turn tasks, a mailbox.
 *
 *   uv_run:  timers -> prepare -> poll (callbacks of sockets, posts, signals) -> check -> closed handles
 *                        |                                                        |
 *                  tasks, set the alarm                                         tasks
 *
 * Only what a user opened keeps the loop running; the five handles above do not. So io_loop_run() asks
 * itself, each time libuv says that nothing is left, whether tasks, timers or posts are.
 *
 * libuv keeps malloc(3): it aborts when its table of descriptors cannot grow (uv__io_start in all of
 * 1.44 to 1.50), so handing it an allocator that may refuse would turn a failed request into a crash.
 */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "io/internal.h"

#define TASK_ROUNDS_MAX                                                                            \
    32 /* tasks that queue tasks, per turn: then sockets get their chance again */

struct io_post {
    void (*fn)(void *arg);
    void *arg;
    struct io_post *next;
};

struct io_signal {
    uv_signal_t uv;
    struct list node;
    void (*fn)(void *arg, int signum);
    void *arg;
};

static void on_prepare(uv_prepare_t *handle);
static void on_check(uv_check_t *handle);
static void on_async(uv_async_t *handle);
static void on_alarm(uv_timer_t *handle);
static void on_signal(uv_signal_t *handle, int signum);
static void on_signal_closed(uv_handle_t *handle);
static void run_tasks(struct io_loop *loop);
static void run_posts(struct io_loop *loop);
static void set_alarm(struct io_loop *loop);

struct io_loop *io_loop_new(struct err *err)
{
    struct io_loop *loop = mem_alloc(sizeof *loop);
    int rc;

    if (loop == NULL) {
        err_oom(err);
        return NULL;
    }
    memset(loop, 0, offsetof(struct io_loop, in));
    rc = uv_loop_init(&loop->uv);
    if (rc == 0) {
        rc = uv_async_init(&loop->uv, &loop->async, on_async);
        if (rc != 0)
            uv_loop_close(&loop->uv);
    }
    if (rc != 0) {
        err_set(err, 0, "cannot make an event loop: %s", uv_strerror(rc));
        mem_free(loop);
        return NULL;
    }
    uv_prepare_init(&loop->uv, &loop->prepare); /* these three cannot fail */
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_check_start(&loop->check, on_check);
    uv_timer_init(&loop->uv, &loop->alarm);
    uv_unref((uv_handle_t *)&loop->async);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    loop->alarm_us = IO_TIMERS_NONE;
    loop->tasks_end = &loop->tasks;
    atomic_init(&loop->posts, NULL);
    atomic_init(&loop->stop, false);
    list_init(&loop->signals);
    list_init(&loop->lingers);
    return loop;
}

void io_loop_free(struct io_loop *loop)
{
    struct list *pos, *tmp;

    if (loop == NULL)
        return;
    list_for_each(pos, tmp, &loop->lingers)
        io_stream_close(list_entry(pos, struct io_linger, node)->stream);
    list_for_each(pos, tmp, &loop->signals)
        uv_close((uv_handle_t *)&list_entry(pos, struct io_signal, node)->uv, on_signal_closed);
    run_posts(loop);
    run_tasks(loop);
    loop->timers = (struct io_timers){0}; /* nobody is left to be called; do not wait for them */
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* what is left: close callbacks, abandoned name look-ups */
    run_tasks(loop);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* something of this loop was never closed */
    mem_free(loop->plain);
    mem_free(loop);
}

void io_loop_run(struct io_loop *loop)
{
    bool more;

    do {
        run_posts(loop);
        run_tasks(loop);
        set_alarm(loop);
        if (atomic_load(&loop->stop))
            break;
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        more = loop->tasks != NULL || loop->timers.running > 0 ||
               atomic_load(&loop->posts) != NULL || uv_loop_alive(&loop->uv);
    } while (more && !atomic_load(&loop->stop));
    atomic_store(&loop->stop, false);
}

void io_loop_stop(struct io_loop *loop)
{
    atomic_store(&loop->stop, true);
    uv_async_send(&loop->async);
}

int64_t io_now_us(struct io_loop *loop)
{
    (void)loop;
    return (int64_t)(uv_hrtime() / 1000);
}

int64_t io_wall_us(struct io_loop *loop)
{
    struct timespec now;

    (void)loop;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct io_timers *io_loop_timers(struct io_loop *loop)
{
    return &loop->timers;
}

void io_defer(struct io_loop *loop, struct io_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

bool io_post(struct io_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct io_post *post = mem_alloc(sizeof *post);
    struct io_post *head;

    if (post == NULL)
        return false;
    post->fn = fn;
    post->arg = arg;
    head = atomic_load_explicit(&loop->posts, memory_order_relaxed);
    do {
        post->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posts, &head, post, memory_order_release,
                                                    memory_order_relaxed));
    if (head == NULL) /* else somebody has rung the bell already */
        uv_async_send(&loop->async);
    return true;
}

bool io_on_signal(struct io_loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg,
                  struct err *err)
{
    struct io_signal *sig = mem_zalloc(sizeof *sig);
    int rc;

    if (sig == NULL)
        return err_oom(err);
    sig->fn = fn;
    sig->arg = arg;
    rc = uv_signal_init(&loop->uv, &sig->uv);
    if (rc != 0) {
        mem_free(sig);
        return err_set(err, 0, "cannot watch signals: %s", uv_strerror(rc));
    }
    list_add_tail(&loop->signals, &sig->node);
    rc = uv_signal_start(&sig->uv, on_signal, signum);
    if (rc != 0) {
        uv_close((uv_handle_t *)&sig->uv, on_signal_closed);
        list_del(&sig->node);
        return err_set(err, 0, "cannot watch signal %d: %s", signum, uv_strerror(rc));
    }
    return true;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct io_signal *sig = list_entry(handle, struct io_signal, uv);

    sig->fn(sig->arg, signum);
}

static void on_signal_closed(uv_handle_t *handle)
{
    struct io_signal *sig = list_entry(handle, struct io_signal, uv);

    list_del(&sig->node);
    mem_free(sig);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct io_loop *loop = list_entry(handle, struct io_loop, prepare);

    run_tasks(loop);
    set_alarm(loop);
}

static void on_check(uv_check_t *handle)
{
    run_tasks(list_entry(handle, struct io_loop, check));
}

static void on_async(uv_async_t *handle)
{
    struct io_loop *loop = list_entry(handle, struct io_loop, async);

    run_posts(loop);
    if (atomic_load(&loop->stop))
        uv_stop(&loop->uv);
}

static void on_alarm(uv_timer_t *handle)
{
    struct io_loop *loop = list_entry(handle, struct io_loop, alarm);

    loop->alarm_us = IO_TIMERS_NONE;
    io_timers_fire(&loop->timers, io_now_us(loop));
}

static void run_tasks(struct io_loop *loop)
{
    for (int round = 0; loop->tasks != NULL && round < TASK_ROUNDS_MAX; round++) {
        struct io_task *task = loop->tasks;

        loop->tasks = NULL;
        loop->tasks_end = &loop->tasks;
        while (task != NULL) {
            struct io_task *next = task->next;

            task->queued = false;
            task->next = NULL;
            task->run(task);
            task = next;
        }
    }
    if (loop->tasks != NULL)
        uv_async_send(&loop->async); /* the poll must not sleep on them */
}

struct work {
    uv_work_t uv;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *uv)
{
    struct work *w = uv->data;
    w->run(w->arg);
}

static void on_worked(uv_work_t *uv, int status)
{
    struct work *w = uv->data;
    assert(status == 0); /* nobody cancels it */
    w->done(w->arg);
    mem_free(w);
}

/* libuv starts its threads when the first is needed, and they inherit what the caller blocks. One that blocked nothing
 * would get the signals that the main thread blocks at its end, when nobody handles them any more. */
void io_block_signals(sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, old);
}

bool io_work(struct io_loop *loop, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return false;
    *w = (struct work){.uv = {.data = w}, .run = run, .done = done, .arg = arg};
    sigset_t old;
    io_block_signals(&old);
    int rc = uv_queue_work(&loop->uv, &w->uv, on_work, on_worked);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert(rc == 0); /* only for want of a function */
    (void)rc;
    return true;
}

static void run_posts(struct io_loop *loop)
{
    struct io_post *newest = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
    struct io_post *oldest = NULL;

    while (newest != NULL) {
        struct io_post *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct io_post *post = oldest;

        oldest = post->next;
        post->fn(post->arg);
        mem_free(post);
    }
}

/* Too early is harmless (the heap is looked at again), so an alarm that is set is only ever moved
 * forward. libuv counts whole milliseconds from its own idea of now. */
static void set_alarm(struct io_loop *loop)
{
    int64_t next = io_timers_next(&loop->timers);
    int64_t at_ms;
    uint64_t uv_ms;

    if (next == IO_TIMERS_NONE) {
        if (loop->alarm_us != IO_TIMERS_NONE)
            uv_timer_stop(&loop->alarm);
        loop->alarm_us = IO_TIMERS_NONE;
        return;
    }
    if (loop->alarm_us <= next)
        return;
    at_ms = next <= io_now_us(loop) ? 0 : (next + 999) / 1000;
    uv_ms = uv_now(&loop->uv);
    uv_timer_start(&loop->alarm, on_alarm, (uint64_t)at_ms > uv_ms ? (uint64_t)at_ms - uv_ms : 0,
                   0);
    loop->alarm_us = next;
}
