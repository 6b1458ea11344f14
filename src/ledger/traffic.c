/* SPDX-License-Identifier: Apache-2.0 */
/* traffic - the ring of minutes; see traffic.h. */
#include "ledger/traffic.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "ledger/ledger.h"

#define MINUTE_US ((int64_t)60 * 1000000)

enum { REQUESTS, FAILURES, PRIVATE, LOCAL, CLOUD, INPUT, OUTPUT, COST, REFERENCE, TASK };
#define TASKS   8 /* as in struct ledger_stats */
#define COLUMNS (TASK + TASKS)
static const char *const names[TASK] = {"requests",      "failures",       "private",
                                        "local",         "cloud",          "input_tokens",
                                        "output_tokens", "cost_micro_usd", "reference_micro_usd"};

enum { DURATION, FIRST, TIMES }; /* whole, and to the first token */
static const enum metric histograms[TIMES] = {METRIC_DURATION, METRIC_FIRST_TOKEN};
static const struct {
    const char *name;
    int time, percent;
} quantiles[] = {{"p50_ms", DURATION, 50},
                 {"p95_ms", DURATION, 95},
                 {"p99_ms", DURATION, 99},
                 {"first_p50_ms", FIRST, 50},
                 {"first_p95_ms", FIRST, 95}};
#define QUANTILES (sizeof quantiles / sizeof *quantiles)

struct minute {
    int64_t number; /* since 1970; 0 = never used */
    int64_t sums[COLUMNS];
    int64_t us[QUANTILES]; /* -1 = nothing was timed */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool clouds[LEDGER_PROVIDERS_MAX];
static struct minute ring[TRAFFIC_MINUTES];
static bool begun;
static int64_t first, now; /* minutes */
static int64_t seen[COLUMNS], seen_times[TIMES][METRIC_BUCKETS];
static int64_t times[TIMES][METRIC_BUCKETS]; /* of the present minute */

void traffic_zone(unsigned provider, bool cloud)
{
    assert(provider < LEDGER_PROVIDERS_MAX);
    pthread_mutex_lock(&lock);
    clouds[provider] = cloud;
    pthread_mutex_unlock(&lock);
}

/* ---- once a second ---- */

static void look(int64_t out[COLUMNS])
{
    memset(out, 0, COLUMNS * sizeof *out);
    out[FAILURES] = metric_sum(METRIC_FAILURE, 0);
    out[PRIVATE] = metric_sum(METRIC_PRIVATE, 0);
    for (unsigned p = 0; p < LEDGER_PROVIDERS_MAX; p++) {
        if (ledger_provider_name(p) == NULL)
            continue;
        out[clouds[p] ? CLOUD : LOCAL] += metric_sum(METRIC_SUCCESS, p);
        out[INPUT] += metric_sum(METRIC_INPUT_TOKENS, p);
        out[OUTPUT] += metric_sum(METRIC_OUTPUT_TOKENS, p);
        out[COST] += metric_sum(METRIC_COST, p);
        out[REFERENCE] += metric_sum(METRIC_REFERENCE_COST, p);
    }
    out[REQUESTS] = out[LOCAL] + out[CLOUD] + out[FAILURES];
    for (unsigned t = 0; t < TASKS && ledger_task_name(t) != NULL; t++)
        out[TASK + t] = metric_sum(METRIC_REQUESTS_TASK, t);
}

static int64_t quantile(const int64_t counts[METRIC_BUCKETS], int percent)
{
    int64_t all = 0, below = 0;
    for (size_t b = 0; b < METRIC_BUCKETS; b++)
        all += counts[b];
    if (all == 0)
        return -1;
    double wanted = (double)all * percent / 100.0;
    for (size_t b = 0; b < METRIC_BUCKETS; b++) {
        int64_t from = b > 0 ? metric_bucket_us(b - 1) : 0, to = metric_bucket_us(b);
        if (counts[b] > 0 && (double)(below + counts[b]) >= wanted)
            return from +
                   (int64_t)((double)(to - from) * (wanted - (double)below) / (double)counts[b]);
        below += counts[b];
    }
    return metric_bucket_us(METRIC_BUCKETS - 1);
}

/* A clock that was set back finds the minutes that it had. */
static struct minute *minute_of(int64_t number)
{
    struct minute *m = &ring[number % TRAFFIC_MINUTES];
    if (m->number != number) {
        *m = (struct minute){.number = number};
        for (size_t q = 0; q < QUANTILES; q++)
            m->us[q] = -1;
    }
    return m;
}

static void add(struct minute *m, const int64_t sums[COLUMNS],
                int64_t counts[TIMES][METRIC_BUCKETS])
{
    for (size_t c = 0; c < COLUMNS; c++)
        m->sums[c] += sums[c] - seen[c];
    for (size_t t = 0; t < TIMES; t++)
        for (size_t b = 0; b < METRIC_BUCKETS; b++)
            times[t][b] += counts[t][b] - seen_times[t][b];
    for (size_t q = 0; q < QUANTILES; q++)
        m->us[q] = quantile(times[quantiles[q].time], quantiles[q].percent);
}

void traffic_tick(int64_t wall_us)
{
    int64_t sums[COLUMNS], counts[TIMES][METRIC_BUCKETS], number = wall_us / MINUTE_US;
    if (number <= 0)
        return;
    for (size_t t = 0; t < TIMES; t++)
        metric_buckets(histograms[t], counts[t]);
    pthread_mutex_lock(&lock);
    look(sums);
    if (!begun || number < first)
        first = number;
    if (number != now)
        memset(times, 0, sizeof times);
    now = number;
    if (begun)
        add(minute_of(number), sums, counts);
    begun = true;
    memcpy(seen, sums, sizeof seen);
    memcpy(seen_times, counts, sizeof seen_times);
    pthread_mutex_unlock(&lock);
}

/* ---- told ---- */

static const struct minute *kept(int64_t number)
{
    const struct minute *m = &ring[number % TRAFFIC_MINUTES];
    return m->number == number ? m : NULL;
}

static void put_sums(struct buf *out, const char *name, size_t column, int64_t from, int64_t to)
{
    buf_printf(out, "\"%s\":[", name);
    for (int64_t n = from; n <= to; n++) {
        const struct minute *m = kept(n);
        buf_put_cstr(out, n > from ? "," : "");
        buf_put_i64(out, m != NULL ? m->sums[column] : 0);
    }
    buf_put_char(out, ']');
}

static void put_quantile(struct buf *out, size_t q, int64_t from, int64_t to)
{
    buf_printf(out, ",\"%s\":[", quantiles[q].name);
    for (int64_t n = from; n <= to; n++) {
        const struct minute *m = kept(n);
        buf_put_cstr(out, n > from ? "," : "");
        if (m != NULL && m->us[q] >= 0)
            buf_printf(out, "%.1f", (double)m->us[q] / 1000.0);
        else
            buf_put_cstr(out, "null");
    }
    buf_put_char(out, ']');
}

void traffic_json(int64_t wall_us, unsigned minutes, struct buf *out)
{
    int64_t to = wall_us / MINUTE_US;
    assert(minutes > 0 && minutes <= TRAFFIC_MINUTES);
    pthread_mutex_lock(&lock);
    int64_t from = to - (int64_t)minutes + 1;
    if (begun && from < first)
        from = first;
    if (!begun || from > to) /* nothing was seen yet, or the clock is behind what was */
        from = to;
    buf_put_cstr(out, "{\"from\":");
    buf_put_i64(out, from * 60);
    buf_put_cstr(out, ",\"step_s\":60,\"minutes\":");
    buf_put_i64(out, to - from + 1);
    buf_put_char(out, ',');
    for (size_t c = 0; c < TASK; c++) {
        put_sums(out, names[c], c, from, to);
        buf_put_char(out, ',');
    }
    buf_put_cstr(out, "\"tasks\":{");
    for (unsigned t = 0; t < TASKS && ledger_task_name(t) != NULL; t++) {
        buf_put_cstr(out, t > 0 ? "," : "");
        put_sums(out, ledger_task_name(t), TASK + t, from, to);
    }
    buf_put_char(out, '}');
    for (size_t q = 0; q < QUANTILES; q++)
        put_quantile(out, q, from, to);
    buf_put_char(out, '}');
    pthread_mutex_unlock(&lock);
}
