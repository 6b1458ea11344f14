/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger - the account of every exchange, and the figures made of it.
 *
 *   metrics.def  every metric, one row: the field, the Prometheus text and the reference come from it
 *   metrics      per worker, written by its thread only, summed by whoever asks
 *   audit.h      a tamper-evident record of the same facts, durable before anything leaves for the cloud
 *   price.h      what an answer costs
 *   budget.h     what was spent, and whether more may be
 *   book.h       the file: rows, sums by day, reports
 *   writer.h     the thread that writes it
 *   decision.h   what an adviser suggested, and what became of it
 *   report.h     what is told of it
 *   traffic.h    the last day by the minute, for charts
 *   ledger_close one exchange is over: one row -> metrics, statistics, one log line, the file
 *
 * Label sets are bounded: providers by their cell's index, outcomes, doors and errors by their tables.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <stdatomic.h>

#include "base/base.h"
#include "dialect/dialect.h"
#include "ledger/audit.h"
#include "ledger/book.h"
#include "ledger/budget.h"
#include "ledger/decision.h"
#include "ledger/price.h"
#include "ledger/report.h"
#include "ledger/traffic.h"
#include "ledger/writer.h"
#include "llm/llm.h"

#define LEDGER_PROVIDERS_MAX 64
#define LEDGER_OUTCOMES_MAX  48
#define LEDGER_SERVERS_MAX                                                                         \
    64 /* names of MCP servers over the life of the process; later ones share the last */
#define LEDGER_SERVER_ENDS 8

enum metric {
#define METRIC(id, kind, labels, name, help) METRIC_##id,
#include "ledger/metrics.def"
#undef METRIC
    METRICS
};

struct metrics;                       /* one per thread */
struct metrics *metrics_new(void);    /* registers it; NULL: no memory */
void metrics_free(struct metrics *m); /* its counters stay in the sum, its gauges go */
/* Figures of the whole process; any thread may set them. Never NULL. */
struct metrics *metrics_process(void);
/* label: index in the metric's label set, 0 for metrics without labels. */
void metric_add(struct metrics *m, enum metric id, unsigned label, int64_t n);
/* Gauges (summed over threads), and in metrics_process() also counters that somebody else keeps. */
void metric_set(struct metrics *m, enum metric id, unsigned label, int64_t v);
/* Histograms of seconds; buckets 50 us to 600 s. */
void metric_observe_us(struct metrics *m, enum metric id, unsigned label, int64_t us);
/* Over all threads, ended ones too. A histogram gives how many were observed. */
int64_t metric_sum(enum metric id, unsigned label);
/* How many a histogram observed in each of its buckets, over all labels. */
#define METRIC_BUCKETS 23
void metric_buckets(enum metric id, int64_t out[METRIC_BUCKETS]);
int64_t metric_bucket_us(size_t bucket); /* its upper end; of the last, which has none, the lower */

/* Names for label indices that are not known at compile time. Copies; any thread. */
void metrics_name_provider(unsigned index, const char *name);
void metrics_name_outcome(unsigned index, const char *name);
/* The index of an MCP server's name; gives it one the first time. */
unsigned metrics_server(const char *name);
/* Prometheus text format 0.0.4. */
bool metrics_print(struct buf *out);
/* Kinds of agent/repair.h, in its order. */
#define LEDGER_REPAIRS 9
extern const char *const ledger_repair_names[LEDGER_REPAIRS];

/* ---- the row ---- */

#define LEDGER_ATTEMPTS_MAX LEDGER_STEPS_MAX
struct ledger_attempt {
    unsigned provider; /* cell index */
    const char *provider_name;
    strv model;
    unsigned outcome; /* enum outcome; its name beside it */
    const char *outcome_name;
    bool cloud; /* zone of the provider */
    int64_t us;
};

/* Is it a number that a machine made: 32 to 64 hexadecimal digits, dashes between them as in a UUID? No name,
 * telephone number or card has that form. */
bool ledger_id_fits(strv id);

struct ledger_row {
    strv request_id; /* one that ledger_id_fits() */
    const char *key; /* id of the API key, NULL = none */
    enum llm_dialect door;
    const char *op;       /* "chat", "embed": a constant; NULL = "chat" */
    int64_t wall_us;      /* when it ended, since 1970 */
    const char *findings; /* why it is private: "mrn=1 name=2"; NULL = nothing was found */
    bool stream, is_private;
    strv task; /* STRV_NONE = none */
    const struct ledger_attempt *attempts;
    size_t n_attempts;
    const char *provider; /* that answered; NULL = none */
    unsigned provider_index;
    strv model;
    struct llm_usage usage;
    bool recalled;           /* from the cache: nobody was asked, no tokens were computed */
    bool usage_estimated;    /* the provider did not count them, or not all */
    bool local;              /* the provider's zone */
    int64_t cost_micro;      /* of all attempts, micro-dollars */
    int64_t reference_micro; /* what the reference model of the cloud would have cost */
    int error;               /* enum llm_error told to the caller; LLM_OK */
    const char
        *outcome; /* name of the last attempt's outcome, or the error's code, or "caller_gone" */
    bool caller_gone;
    int status; /* HTTP status sent; 0 = none */
    int64_t bytes_in, bytes_out;
    int64_t total_us, upstream_us, queue_us; /* router's own time = total - upstream - queue */
    int64_t first_us;                        /* to the first content byte; -1 = none */
};
/* `ledger` may be NULL: no file is kept. */
void ledger_close(struct ledger *ledger, struct metrics *m, struct log *log,
                  const struct ledger_row *row);
/* The row alone, for what asks no model: it is no exchange in metrics, statistics and sums. */
void ledger_note(struct ledger *ledger, struct metrics *m, const struct ledger_row *row);

/* Part of a snapshot: what the ledger does with an exchange. */
struct ledger_conf {
    struct ledger_prices prices;
    struct ledger_budget_conf budget;
    const char *reference; /* "anthropic/claude-sonnet-5-5"; NULL = none: nothing is compared */
    const struct ledger_price_row *reference_row; /* NULL = nobody priced it */
    bool required;                                /* not ready while the file cannot be written */
};

/* ---- statistics of the native door (scheduler-consumers 2.7) ---- */

struct ledger_stats {
    int64_t total, success, failure, fallbacks, failed_attempts, tokens;
    int64_t by_provider[LEDGER_PROVIDERS_MAX];
    int64_t by_task[8];     /* index as ledger_task_index */
    int64_t latency_us_sum; /* over successes */
    int64_t started_wall_us;
};
/* total = success + failure, sum of by_provider = success, sum of by_task = total: at every moment without
 * traffic. A caller who left before the answer's end counts as a failure. */
void ledger_stats_get(struct ledger_stats *out);
const char *ledger_task_name(unsigned index);     /* NULL beyond the last */
const char *ledger_provider_name(unsigned index); /* NULL while it has none */
const char *ledger_outcome_name(unsigned index);  /* the same */
void ledger_started(int64_t wall_us);

#endif
