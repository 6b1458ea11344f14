/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer - the thread that brings rows to the file, and what workers see of it.
 *
 *   worker   ledger_put()  a copy into the queue, never waits ----.
 *   worker   ledger_ask()  a question, answered later -----------+--> thread: group, transaction, answers
 *
 * The thread sleeps until the first row comes, then waits `interval` for more, then writes them all at once. A
 * normal case: one commit every 250 ms under load, none without. A bad case: the file cannot be written (disk full,
 * locked, damaged, gone). Then rows stay in the queue and it is tried again, and exchanges go on; when the queue is
 * full rows are lost, counted (llm_router_ledger_lost_total) and logged, the first at once. What is in the queue
 * when the process is killed is lost: at most the last interval.
 *
 * The thread has no clock but that of the rows: days pass when rows come.
 */
#ifndef LEDGER_WRITER_H
#define LEDGER_WRITER_H

#include "ledger/book.h"
#include "ledger/budget.h"
#include "ledger/decision.h"

#define LEDGER_FILE "ledger.db" /* in the state directory */

struct ledger; /* one per process */

struct ledger_setup {
    const char *path;
    size_t queue;                 /* rows */
    uint64_t interval_ms;         /* longest wait of a row for others */
    int64_t keep_rows, keep_sums; /* days */
    int64_t wall_us;              /* now */
    int log_fd;
    enum log_level log_level;
};
/* NULL: no memory. When the file cannot be opened it is tried again later; *err says why, and ledger_failing() is
 * true meanwhile. */
struct ledger *ledger_new(const struct ledger_setup *setup, struct err *err);
bool ledger_start(struct ledger *l, struct err *err); /* the thread */
void ledger_stop(struct ledger *l);                   /* ends it; rows may still be put */
void ledger_free(struct ledger *l);                   /* writes what is left, if it can */
/* Reload: takes over all but path and queue. */
void ledger_change(struct ledger *l, const struct ledger_setup *setup);

/* What the book says was spent in the present day and month. */
bool ledger_read_spent(struct ledger_book *book, int64_t wall_us, struct ledger_budget *out,
                       struct err *err);
/* Any thread. False: the queue is full, the row is lost. */
bool ledger_put(struct ledger *l, const struct ledger_entry *entry);
/* Likewise, for what an adviser decided. NULL ledger: there is no file, and nothing is lost. */
bool ledger_decide(struct ledger *l, const struct ledger_decision *decision);
struct ledger_budget *ledger_budget_of(struct ledger *l);
/* The last attempt to write failed. */
bool ledger_failing(const struct ledger *l);
struct ledger_counts {
    int64_t written, lost, waiting;
};
void ledger_count(const struct ledger *l, struct ledger_counts *out);

/* Everything until now is written, then fn gets the report, on the writer's thread; report NULL: err says why. It
 * is freed when fn returns. False when there is no thread or no memory; fn is not called then. */
typedef void (*ledger_answer_fn)(void *arg, const struct ledger_report *report,
                                 const struct err *err);
bool ledger_ask(struct ledger *l, const struct ledger_query *query, ledger_answer_fn fn, void *arg);

/* One turn of the thread's work, for tests and the end: false when rows could not be written. */
bool ledger_flush(struct ledger *l);

#endif
