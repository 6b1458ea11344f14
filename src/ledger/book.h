/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book - the ledger's file, STATE_DIR/ledger.db: one row for each exchange, and sums for each day.
 *
 *   exchange   what happened, row by row; kept for some months
 *   sums       the same added up by day, key, provider, model, class and privacy; kept for years. Reports and
 *              budgets are read from here, so they cost the same after ten million exchanges.
 *
 * A file of its own, not the store of the keys: it is written all the time, and damage here must not lock callers
 * out. Rows come in groups, one transaction each (group commit): a crash loses the group that was not committed and
 * never half of one, and rows and sums always agree. Readers of other processes see the last whole group (WAL).
 *
 * No text of a request or an answer, and nothing that a caller wrote: a request id is kept only if it is a number
 * that a machine makes (ledger_id_fits), a model only if it is known.
 */
#ifndef LEDGER_BOOK_H
#define LEDGER_BOOK_H

#include "ledger/queue.h"
#include "store/store.h"

struct ledger_book {
    struct database d;
};

bool ledger_book_init(struct ledger_book *b, const char *path, struct err *err);
void ledger_book_fini(struct ledger_book *b);
/* Makes the file if need be. */
bool ledger_book_open(struct ledger_book *b, struct err *err);
/* Only to read, beside a process that writes or without one. False without err->set: there is no file. */
bool ledger_book_open_readonly(struct ledger_book *b, struct err *err);
void ledger_book_close(struct ledger_book *b);

/* All the entries at the queue's head, at most `max`, in one transaction. The number, which the caller drops from
 * the queue; -1 with err when nothing was written. */
long ledger_book_write(struct ledger_book *b, const struct ledger_queue *q, size_t max,
                       struct err *err);
/* Cost by key of every day from `first_day` on. */
bool ledger_book_spent(struct ledger_book *b, int64_t first_day,
                       bool (*fn)(void *arg, int64_t day, const char *key, int64_t micro),
                       void *arg, struct err *err);
/* Deletes what is older than so many days, at most `max` rows; *more if there is more. A day is over when two later
 * ones have been seen: a clock that is wrong for a while deletes nothing. */
bool ledger_book_trim(struct ledger_book *b, int64_t today, int64_t keep_rows, int64_t keep_sums,
                      size_t max, bool *more, struct err *err);

/* ---- reports ---- */

enum ledger_by {
    LEDGER_BY_DAY,
    LEDGER_BY_CLASS,
    LEDGER_BY_MODEL,
    LEDGER_BY_KEY,
    LEDGER_BY_PROVIDER,
    LEDGER_BYS
};
const char *ledger_by_name(enum ledger_by by); /* "day", "class", ... */
bool ledger_by_parse(strv text, enum ledger_by *out);

#define LEDGER_LINES_MAX 10000

struct ledger_query {
    enum ledger_by by;
    int64_t since, until; /* days, both included */
    char key[32];         /* only of this key; "" = of all */
};
struct ledger_line {
    char name[160];
    int64_t requests, answered, private, local; /* local: answered by a provider of zone local */
    int64_t input, output, cached, cache_write, reasoning, estimated;
    int64_t cost_micro, reference_micro;
    int64_t local_reference_micro; /* of it: of what was answered locally */
    int64_t total_us;              /* of what was answered */
    int64_t last_day;              /* the last on which anything was asked */
};
struct ledger_report {
    struct ledger_query query;
    struct ledger_line total;
    struct ledger_line *lines;
    size_t n, cap;
    bool cut; /* there are more than LEDGER_LINES_MAX */
};
bool ledger_book_report(struct ledger_book *b, const struct ledger_query *query,
                        struct ledger_report *out, struct err *err);
void ledger_report_fini(struct ledger_report *r);

#endif
