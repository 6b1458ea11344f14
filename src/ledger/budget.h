/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget - how much was spent today and this month, and whether more may be.
 *
 *   hold(estimate)  before a call that costs something: refused if spent + held + estimate is above a limit
 *   settle(cost)    after it: what it cost is spent, the estimate is given back
 *
 * A purse is one scope: everything, or one API key. What is held counts as spent until it is settled, so workers
 * that ask at the same moment cannot together go above a limit; all that can is the difference between estimates
 * and costs of the calls in flight. Days and months are those of UTC; a cost belongs to the day on which it is
 * settled. The counters are atomics in memory, filled from the ledger's file at start, so asking costs no lock.
 *
 * A clock that is set back to the day before finds that day's counters again; one that jumps further finds empty
 * ones until the next start.
 */
#ifndef LEDGER_BUDGET_H
#define LEDGER_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

#define LEDGER_LIMIT_MAX ((int64_t)1000000000000000) /* a billion dollars */

struct ledger_limits { /* micro-dollars, at most LEDGER_LIMIT_MAX; 0 = none */
    int64_t day_micro, month_micro;
};

struct ledger_budget_conf {
    bool on;
    struct ledger_limits limits;
    int64_t warn_percent, critical_percent;
    bool hard_stop;              /* else a limit only warns */
    int64_t replicas;            /* routers that spend from the same: each may spend its part */
    const char *const *priority; /* names and ids of keys, and task classes, that no limit stops */
};

enum ledger_scope { LEDGER_DAY, LEDGER_MONTH, LEDGER_SCOPES };
const char *ledger_scope_name(enum ledger_scope scope); /* "day", "month" */
enum ledger_level { LEDGER_FINE, LEDGER_WARN, LEDGER_CRITICAL, LEDGER_USED_UP };
const char *
ledger_level_name(enum ledger_level level); /* "ok", "warning", "critical", "exhausted" */

struct ledger_purse {
    struct ledger_purse *next;
    char key[32];                         /* "" = everything */
    _Atomic int64_t spent[LEDGER_SCOPES]; /* in the present day and month */
    _Atomic int64_t held;                 /* by calls in flight */
    _Atomic int level[LEDGER_SCOPES];     /* highest that was told */
    int64_t before[LEDGER_SCOPES];        /* spent in the day and month before; under the lock */
};

#define LEDGER_PURSE_SLOTS 256
#define LEDGER_PURSES_MAX  65536

struct ledger_budget {
    pthread_mutex_t lock;                  /* for new purses and the turn of a day */
    _Atomic int64_t period[LEDGER_SCOPES]; /* the present day and month, counted from 1970 */
    int64_t before[LEDGER_SCOPES];         /* the one whose sums are in purse.before */
    struct ledger_purse all;
    struct ledger_purse *_Atomic slots[LEDGER_PURSE_SLOTS];
    size_t n;
};

void ledger_budget_init(struct ledger_budget *b, int64_t wall_us);
void ledger_budget_fini(struct ledger_budget *b);
/* The purse of a key; made at need. NULL: no key, or no memory. */
struct ledger_purse *ledger_budget_purse(struct ledger_budget *b, const char *key);
/* What the file says was spent on that day; before anybody else asks. */
bool ledger_budget_seed(struct ledger_budget *b, int64_t day, const char *key, int64_t micro);

struct ledger_hold {          /* all zero = nothing is held */
    struct ledger_purse *key; /* may be NULL */
    int64_t micro;
    bool on;
};
struct ledger_ask {
    const struct ledger_budget_conf *conf;
    const char *key;             /* id or NULL */
    struct ledger_limits limits; /* of the key */
    bool priority;               /* the common limits do not stop it; the key's own do */
    int64_t micro;               /* estimate */
    int64_t wall_us;
};
/* False: not now; *wait_s gets the seconds until the period that is used up is over. */
bool ledger_budget_hold(struct ledger_budget *b, const struct ledger_ask *ask,
                        struct ledger_hold *out, uint64_t *wait_s);
/* Cost 0 gives back only. `key` may be set when nothing was held. */
void ledger_budget_settle(struct ledger_budget *b, struct ledger_hold *hold, const char *key,
                          int64_t micro, int64_t wall_us);
/* Would a call that costs next to nothing be refused? For explain and readers. */
bool ledger_budget_used_up(struct ledger_budget *b, const struct ledger_ask *ask);

struct ledger_spent {
    int64_t spent, held, limit;
    enum ledger_level level;
};
void ledger_budget_look(struct ledger_budget *b, const struct ledger_budget_conf *conf,
                        enum ledger_scope scope, int64_t wall_us, struct ledger_spent *out);
/* The level of everything in this scope has risen since the last call: true once for each level and period. */
bool ledger_budget_rose(struct ledger_budget *b, const struct ledger_budget_conf *conf,
                        enum ledger_scope scope, enum ledger_level *level);

#endif
