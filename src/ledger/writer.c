/* SPDX-License-Identifier: Apache-2.0 */
/* writer - the thread, its sleep, and what happens while the file cannot be written. */
#include "ledger/writer.h"

#include <assert.h>
#include <signal.h>
#include <time.h>

#include "ledger/ledger.h"

#define GROUP_MAX 8192 /* rows of a transaction */
#define TRIM_MAX  2000 /* rows that are deleted in one go, so that new ones need not wait long */
#define RETRY_MS  1000
#define QUESTIONS 64 /* that wait */
#define DECISIONS 256

struct question {
    struct question *next;
    struct ledger_query query;
    ledger_answer_fn fn;
    void *arg;
};

struct decided {
    struct decided *next;
    struct ledger_decision decision;
};

struct ledger {
    struct ledger_queue queue;
    struct ledger_budget budget;
    _Atomic bool asleep; /* the thread waits for a first row */
    _Atomic bool failing;
    _Atomic int64_t written, lost;
    _Atomic uint64_t interval_ms;
    _Atomic int64_t keep_rows, keep_sums;

    /* the thread's own, or its owner's while there is none */
    struct ledger_book book;
    struct log log;
    bool seeded;
    int64_t start_us; /* wall */
    int64_t trimmed;  /* day of the last clean-up, -1 = to be done */
    int64_t told_lost;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t wake;
    bool stop, hurry;
    struct question *questions;
    size_t n_questions;
    struct decided *decided, **decided_end; /* in order */
    size_t n_decided;
};

/* ---- the file ---- */

static bool seed(void *arg, int64_t day, const char *key, int64_t micro)
{
    return ledger_budget_seed(arg, day, key, micro);
}

bool ledger_read_spent(struct ledger_book *book, int64_t wall_us, struct ledger_budget *out,
                       struct err *err)
{
    int64_t civil = ledger_day_civil(ledger_day(wall_us));
    int64_t month = ledger_day_of(civil / 10000, civil / 100 % 100, 1);
    return ledger_book_spent(book, month, seed, out, err);
}

/* Opens the file if it is not open, or not there any more. What was spent is read once. */
static bool ready(struct ledger *l, struct err *err)
{
    if (l->book.d.db != NULL && !database_is_current(&l->book.d))
        ledger_book_close(&l->book);
    if (l->book.d.db == NULL && !ledger_book_open(&l->book, err))
        return false;
    l->seeded = l->seeded || ledger_read_spent(&l->book, l->start_us, &l->budget, err);
    return l->seeded;
}

static void set_failing(struct ledger *l, bool failing, const struct err *err)
{
    if (atomic_exchange(&l->failing, failing) == failing)
        return;
    if (failing)
        LOG(&l->log, LOG_ERROR, "ledger_failing", LOG_C(REASON, err->text));
    else
        LOG(&l->log, LOG_WARN, "ledger_recovered", LOG_I(COUNT, ledger_queue_len(&l->queue)));
}

static void tell_losses(struct ledger *l)
{
    int64_t lost = atomic_load(&l->lost);
    if (lost == l->told_lost)
        return;
    LOG(&l->log, LOG_ERROR, "ledger_rows_lost", LOG_I(COUNT, lost - l->told_lost));
    l->told_lost = lost;
}

static void clean_up(struct ledger *l, int64_t day)
{
    struct err err = ERR_INIT;
    bool more = false;
    if (l->trimmed == day)
        return;
    if (!ledger_book_trim(&l->book, day, atomic_load(&l->keep_rows), atomic_load(&l->keep_sums),
                          TRIM_MAX, &more, &err))
        LOG(&l->log, LOG_WARN, "ledger_not_trimmed", LOG_C(REASON, err.text));
    l->trimmed = more ? -1 : day;
}

/* Writes a group; *day gets the day of its last row. Rows written, -1 = it failed. */
static long write_group(struct ledger *l, int64_t *day, struct err *err)
{
    long n = ready(l, err) ? ledger_book_write(&l->book, &l->queue, GROUP_MAX, err) : -1;
    if (n > 0) {
        *day = ledger_day(ledger_queue_peek(&l->queue, (size_t)n - 1)->ended_us);
        ledger_queue_drop(&l->queue, (size_t)n);
        atomic_fetch_add(&l->written, n);
    }
    if (n < 0) /* whatever it is, a fresh start may heal it */
        ledger_book_close(&l->book);
    return n;
}

/* The first one that waits; it is not taken away before it is written. */
static struct decided *first_decided(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    struct decided *d = l->decided;
    pthread_mutex_unlock(&l->lock);
    return d;
}

static void drop_decided(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    struct decided *d = l->decided;
    l->decided = d->next;
    if (l->decided == NULL)
        l->decided_end = &l->decided;
    l->n_decided--;
    pthread_mutex_unlock(&l->lock);
    mem_free(d);
}

static bool write_decided(struct ledger *l, struct err *err)
{
    struct decided *d;
    while ((d = first_decided(l)) != NULL) {
        if (!ready(l, err) || !ledger_book_decide(&l->book, &d->decision, err)) {
            ledger_book_close(&l->book);
            return false;
        }
        drop_decided(l);
    }
    return true;
}

bool ledger_flush(struct ledger *l)
{
    struct err err = ERR_INIT;
    int64_t day = -1;
    long n;
    while ((n = write_group(l, &day, &err)) > 0)
        ;
    if (n == 0 && !write_decided(l, &err))
        n = -1;
    set_failing(l, n < 0, &err);
    tell_losses(l);
    if (n == 0 && day >= 0)
        clean_up(l, day);
    log_flush(&l->log);
    return n == 0;
}

/* ---- questions ---- */

static void answer(struct ledger *l, struct question *q)
{
    struct ledger_report report;
    struct err err = ERR_INIT;
    if (ready(l, &err) && ledger_book_report(&l->book, &q->query, &report, &err)) {
        q->fn(q->arg, &report, NULL);
        ledger_report_fini(&report);
    } else {
        q->fn(q->arg, NULL, &err);
    }
    mem_free(q);
}

static void answer_all(struct ledger *l, struct question *q)
{
    struct question *next;
    for (; q != NULL; q = next) {
        next = q->next;
        answer(l, q);
    }
}

bool ledger_ask(struct ledger *l, const struct ledger_query *query, ledger_answer_fn fn, void *arg)
{
    struct question *q = mem_alloc(sizeof *q);
    if (q == NULL)
        return false;
    *q = (struct question){NULL, *query, fn, arg};
    pthread_mutex_lock(&l->lock);
    bool taken = l->running && !l->stop && l->n_questions < QUESTIONS;
    if (taken) {
        struct question **at = &l->questions;
        while (*at != NULL)
            at = &(*at)->next;
        *at = q;
        l->n_questions++;
        l->hurry = true;
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    if (!taken)
        mem_free(q);
    return taken;
}

/* ---- the thread ---- */

static struct timespec after_ms(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Under the lock. Until hurry or stop, or the time is over. */
static void pause_for(struct ledger *l, uint64_t ms)
{
    struct timespec end = after_ms(ms);
    while (!l->stop && !l->hurry && pthread_cond_timedwait(&l->wake, &l->lock, &end) == 0)
        ;
}

/* Under the lock. Sleeps until a first row has come. Whoever puts it looks at `asleep` after he has taken his place,
 * we look at the places after we have set it, all in one order (seq_cst): one of the two sees the other. */
static void sleep_until_row(struct ledger *l)
{
    atomic_store(&l->asleep, true);
    while (!l->stop && !l->hurry && l->decided == NULL && ledger_queue_len(&l->queue) == 0)
        pthread_cond_wait(&l->wake, &l->lock);
    atomic_store(&l->asleep, false);
}

static void *run(void *arg)
{
    struct ledger *l = arg;
    bool ok = true, stop;
    do {
        pthread_mutex_lock(&l->lock);
        if (ok) {
            sleep_until_row(l);
            pause_for(l, atomic_load(&l->interval_ms));
        } else {
            pause_for(l, RETRY_MS);
        }
        stop = l->stop;
        l->hurry = false;
        struct question *questions = l->questions;
        l->questions = NULL;
        l->n_questions = 0;
        pthread_mutex_unlock(&l->lock);
        ok = ledger_flush(l);
        answer_all(l, questions);
    } while (!stop);
    return NULL;
}

bool ledger_start(struct ledger *l, struct err *err)
{
    sigset_t all, old;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->running = true;
    int e = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->running = e == 0;
    return e == 0 || err_set(err, LLM_ERR_INTERNAL, "cannot start a thread: %s", strerror(e));
}

void ledger_stop(struct ledger *l)
{
    if (!l->running)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_lock(&l->lock);
    l->running = false;
    struct question *late = l->questions;
    l->questions = NULL;
    pthread_mutex_unlock(&l->lock);
    answer_all(l, late);
}

/* ---- rows ---- */

static void rouse(struct ledger *l, bool hurry)
{
    pthread_mutex_lock(&l->lock);
    l->hurry = l->hurry || hurry;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

bool ledger_put(struct ledger *l, const struct ledger_entry *entry)
{
    size_t used;
    if (!ledger_queue_put(&l->queue, entry, &used)) {
        atomic_fetch_add(&l->lost, 1);
        return false;
    }
    if (used == l->queue.mask / 2)
        rouse(l, !atomic_load_explicit(&l->failing, memory_order_relaxed));
    else if (atomic_load(&l->asleep) && atomic_exchange(&l->asleep, false))
        rouse(l, false);
    return true;
}

bool ledger_decide(struct ledger *l, const struct ledger_decision *decision)
{
    if (l == NULL)
        return true;
    struct decided *d = mem_alloc(sizeof *d);
    if (d != NULL)
        *d = (struct decided){NULL, *decision};
    pthread_mutex_lock(&l->lock);
    bool taken = d != NULL && l->n_decided < DECISIONS;
    if (taken) {
        *l->decided_end = d;
        l->decided_end = &d->next;
        l->n_decided++;
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    if (!taken) {
        mem_free(d);
        atomic_fetch_add(&l->lost, 1);
    }
    return taken;
}

struct ledger_budget *ledger_budget_of(struct ledger *l)
{
    return &l->budget;
}

bool ledger_failing(const struct ledger *l)
{
    return atomic_load(&l->failing);
}

void ledger_count(const struct ledger *l, struct ledger_counts *out)
{
    *out = (struct ledger_counts){atomic_load(&l->written), atomic_load(&l->lost),
                                  (int64_t)ledger_queue_len(&l->queue)};
}

/* ---- birth and death ---- */

void ledger_change(struct ledger *l, const struct ledger_setup *setup)
{
    atomic_store(&l->interval_ms, setup->interval_ms);
    atomic_store(&l->keep_rows, setup->keep_rows);
    atomic_store(&l->keep_sums, setup->keep_sums);
}

static bool init(struct ledger *l, const struct ledger_setup *setup, struct err *err)
{
    pthread_condattr_t attr;
    if (!ledger_queue_init(&l->queue, setup->queue))
        return err_oom(err);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    log_init(&l->log, setup->log_fd, setup->log_level);
    ledger_budget_init(&l->budget, setup->wall_us);
    l->start_us = setup->wall_us;
    l->trimmed = -1;
    l->decided_end = &l->decided;
    ledger_change(l, setup);
    return ledger_book_init(&l->book, setup->path, err);
}

struct ledger *ledger_new(const struct ledger_setup *setup, struct err *err)
{
    struct ledger *l = mem_zalloc(sizeof *l);
    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    if (!init(l, setup, err)) {
        if (l->queue.slots != NULL)
            ledger_free(l);
        else
            mem_free(l);
        return NULL;
    }
    if (!ready(l, err))
        atomic_store(&l->failing, true);
    return l;
}

void ledger_free(struct ledger *l)
{
    if (l == NULL)
        return;
    ledger_stop(l);
    if ((ledger_queue_len(&l->queue) > 0 || l->decided != NULL) && !ledger_flush(l))
        LOG(&l->log, LOG_ERROR, "ledger_rows_lost", LOG_I(COUNT, ledger_queue_len(&l->queue)));
    while (l->decided != NULL)
        drop_decided(l);
    ledger_book_fini(&l->book);
    ledger_budget_fini(&l->budget);
    ledger_queue_fini(&l->queue);
    log_fini(&l->log);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}
