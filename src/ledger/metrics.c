/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - counters that cost a load and a store, and one scrape that adds them up.
 *
 *   thread 1: | cell cell cell ... |  <- written by thread 1 only: no locked instruction
 *   thread 2: | cell cell cell ... |  <- written by thread 2 only
 *   process : | cell cell cell ... |  <- gauges that nobody owns, set by whoever reads them
 *   retired : | cell cell cell ... |  <- counters of threads that have ended
 *
 * metrics.def decides how many cells a metric has: one per label, or for a histogram one per label
 * and bucket and one for the sum. A reader adds up the same cell of all threads. It may see a value
 * that is a moment old, never a torn one. The count of a histogram is the sum of its buckets, so the
 * two agree in every scrape.
 *
 * A gauge says how things are now, so those of an ended thread are dropped; counters stay.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "ledger/ledger.h"
#include "policy/policy.h"

static const struct {
    int64_t us;
    const char *le; /* in seconds, as Prometheus writes it */
} buckets[] = {
    {50, "0.00005"},    {100, "0.0001"},    {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"},   {5000, "0.005"},    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},
    {100000, "0.1"},    {250000, "0.25"},   {500000, "0.5"},  {1000000, "1"},   {2500000, "2.5"},
    {5000000, "5"},     {10000000, "10"},   {30000000, "30"}, {60000000, "60"}, {120000000, "120"},
    {300000000, "300"}, {600000000, "600"},
};
#define BUCKETS (sizeof buckets / sizeof *buckets) /* and one more for what is longer */

enum kind { COUNTER, GAUGE, HISTOGRAM };
enum {
    CELLS_COUNTER = 1,
    CELLS_GAUGE = 1,
    CELLS_HISTOGRAM = BUCKETS + 2, /* the buckets, the longer ones, the sum in microseconds */
};

#define TASKS_MAX 8 /* as in struct ledger_stats */
enum labels {
    NONE,
    PROVIDER,
    OUTCOME,
    PROVIDER_OUTCOME,
    DOOR,
    ERROR,
    LOSS,
    TASK,
    PERIOD,
    SERVER,
    SERVER_END,
    REPAIR
};
enum {
    SIZE_NONE = 1,
    SIZE_PROVIDER = LEDGER_PROVIDERS_MAX,
    SIZE_OUTCOME = LEDGER_OUTCOMES_MAX,
    SIZE_PROVIDER_OUTCOME = LEDGER_PROVIDERS_MAX * LEDGER_OUTCOMES_MAX,
    SIZE_DOOR = LLM_DIALECTS,
    SIZE_ERROR = LLM_ERRORS,
    SIZE_LOSS = DIALECT_LOSSES,
    SIZE_TASK = TASKS_MAX,
    SIZE_PERIOD = LEDGER_SCOPES,
    SIZE_SERVER = LEDGER_SERVERS_MAX,
    SIZE_SERVER_END = LEDGER_SERVERS_MAX * LEDGER_SERVER_ENDS,
    SIZE_REPAIR = LEDGER_REPAIRS,
};

const char *const ledger_repair_names[LEDGER_REPAIRS] = {
    "syntax", "number", "boolean", "null", "enum", "nested", "list", "member", "dropped"};

struct cells { /* only its offsets are used */
#define METRIC(id, kind, labels, name, help) int64_t id[CELLS_##kind * SIZE_##labels];
#include "ledger/metrics.def"
#undef METRIC
};
#define CELLS (sizeof(struct cells) / sizeof(int64_t))

static const struct {
    enum kind kind;
    enum labels labels;
    unsigned size, at; /* labels, and the first cell */
    const char *name, *help;
} rows[METRICS] = {
#define METRIC(id, kind, labels, name, help)                                                       \
    [METRIC_##id] = {kind, labels, SIZE_##labels, offsetof(struct cells, id) / sizeof(int64_t),    \
                     name, help},
#include "ledger/metrics.def"
#undef METRIC
};

struct metrics {
    struct list node;
    _Atomic int64_t cells[CELLS];
};

/* The one registry of the process. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list threads;
/* Figures of the process as a whole: one more member of the registry that never ends. */
static struct metrics process = {.node = {&threads, &threads}};
static struct list threads = {&process.node, &process.node};
static int64_t retired[CELLS];
static char provider_names[LEDGER_PROVIDERS_MAX][64];
static char outcome_names[LEDGER_OUTCOMES_MAX][48];
static char server_names[LEDGER_SERVERS_MAX][48];
/* enum mcp_end, and what the caller ended itself. */
static const char *const server_ends[LEDGER_SERVER_ENDS] = {"ok",  "refused", "gone",     "late",
                                                            "bad", "memory",  "cancelled"};

/* ---- writing ---- */

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    list_add_tail(&threads, &m->node);
    pthread_mutex_unlock(&lock);
    return m;
}

struct metrics *metrics_process(void)
{
    return &process;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    pthread_mutex_lock(&lock);
    list_del(&m->node);
    for (size_t id = 0; id < METRICS; id++) {
        if (rows[id].kind == GAUGE)
            continue;
        size_t end = id + 1 < METRICS ? rows[id + 1].at : CELLS;
        for (size_t i = rows[id].at; i < end; i++)
            retired[i] += atomic_load_explicit(&m->cells[i], memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    mem_free(m);
}

/* Only this thread writes the cell: nothing can come between the load and the store. */
static void bump(struct metrics *m, size_t at, int64_t n)
{
    int64_t v = atomic_load_explicit(&m->cells[at], memory_order_relaxed);
    atomic_store_explicit(&m->cells[at], v + n, memory_order_relaxed);
}

void metric_add(struct metrics *m, enum metric id, unsigned label, int64_t n)
{
    assert(id < METRICS && label < rows[id].size && rows[id].kind != HISTOGRAM);
    bump(m, rows[id].at + label, n);
}

void metric_set(struct metrics *m, enum metric id, unsigned label, int64_t v)
{
    assert(id < METRICS && label < rows[id].size);
    assert(rows[id].kind == GAUGE || (rows[id].kind == COUNTER && m == &process));
    atomic_store_explicit(&m->cells[rows[id].at + label], v, memory_order_relaxed);
}

void metric_observe_us(struct metrics *m, enum metric id, unsigned label, int64_t us)
{
    assert(id < METRICS && label < rows[id].size && rows[id].kind == HISTOGRAM);
    size_t at = rows[id].at + (size_t)label * CELLS_HISTOGRAM, b = 0;
    if (us < 0)
        us = 0;
    while (b < BUCKETS && us > buckets[b].us)
        b++;
    bump(m, at + b, 1);
    bump(m, at + BUCKETS + 1, us);
}

/* ---- reading ---- */

static int64_t cell_sum(size_t at) /* under the lock */
{
    struct list *pos, *tmp;
    int64_t sum = retired[at];
    list_for_each(pos, tmp, &threads) sum += atomic_load_explicit(
        &list_entry(pos, struct metrics, node)->cells[at], memory_order_relaxed);
    return sum;
}

int64_t metric_sum(enum metric id, unsigned label)
{
    assert(id < METRICS && label < rows[id].size);
    size_t at = rows[id].at + label;
    int64_t sum = 0;
    pthread_mutex_lock(&lock);
    if (rows[id].kind == HISTOGRAM) /* how many were observed */
        for (size_t b = 0; b <= BUCKETS; b++)
            sum += cell_sum(rows[id].at + (size_t)label * CELLS_HISTOGRAM + b);
    else
        sum = cell_sum(at);
    pthread_mutex_unlock(&lock);
    return sum;
}

void metric_buckets(enum metric id, int64_t out[METRIC_BUCKETS])
{
    _Static_assert(METRIC_BUCKETS == BUCKETS + 1, "one more for what is longer");
    assert(id < METRICS && rows[id].kind == HISTOGRAM);
    pthread_mutex_lock(&lock);
    for (size_t b = 0; b <= BUCKETS; b++) {
        out[b] = 0;
        for (size_t label = 0; label < rows[id].size; label++)
            out[b] += cell_sum(rows[id].at + label * CELLS_HISTOGRAM + b);
    }
    pthread_mutex_unlock(&lock);
}

int64_t metric_bucket_us(size_t bucket)
{
    return buckets[bucket < BUCKETS ? bucket : BUCKETS - 1].us;
}

/* ---- names of labels ---- */

static void set_name(char *into, size_t size, const char *name)
{
    pthread_mutex_lock(&lock);
    if (into[0] == '\0') /* a name once given stays: readers hold on to it */
        snprintf(into, size, "%s", name);
    pthread_mutex_unlock(&lock);
}

void metrics_name_provider(unsigned index, const char *name)
{
    assert(index < LEDGER_PROVIDERS_MAX);
    set_name(provider_names[index], sizeof provider_names[index], name);
}

void metrics_name_outcome(unsigned index, const char *name)
{
    assert(index < LEDGER_OUTCOMES_MAX);
    set_name(outcome_names[index], sizeof outcome_names[index], name);
}

unsigned metrics_server(const char *name)
{
    unsigned i = 0;
    pthread_mutex_lock(&lock);
    while (i < LEDGER_SERVERS_MAX - 1 && server_names[i][0] != '\0' &&
           strncmp(server_names[i], name, sizeof server_names[i] - 1) != 0)
        i++;
    if (server_names[i][0] == '\0')
        snprintf(server_names[i], sizeof server_names[i], "%.47s",
                 i < LEDGER_SERVERS_MAX - 1 ? name : "others");
    pthread_mutex_unlock(&lock);
    return i;
}

static const char *name_of(const char *name) /* NULL while it has none */
{
    pthread_mutex_lock(&lock);
    bool known = name[0] != '\0';
    pthread_mutex_unlock(&lock);
    return known ? name : NULL;
}

const char *ledger_provider_name(unsigned index)
{
    return index < LEDGER_PROVIDERS_MAX ? name_of(provider_names[index]) : NULL;
}

const char *ledger_outcome_name(unsigned index)
{
    return index < LEDGER_OUTCOMES_MAX ? name_of(outcome_names[index]) : NULL;
}

const char *ledger_task_name(unsigned index)
{
    unsigned n = 0;
    while (policy_tasks[n] != NULL && n < index)
        n++;
    assert(n < TASKS_MAX);
    if (n < index)
        return NULL;
    return policy_tasks[n] != NULL ? policy_tasks[n] : "none";
}

/* ---- printing ---- */

/* Two cells have the same name when a provider's address was changed by a reload. Prometheus takes
 * each label set once, so the first of them speaks for all: counters add up, and of gauges the
 * newest counts. */
static bool same_provider(unsigned a, unsigned b)
{
    return strcmp(provider_names[a], provider_names[b]) == 0;
}

static bool is_first_provider(unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (same_provider(i, index))
            return false;
    return true;
}

static unsigned provider_of(size_t id, unsigned label)
{
    return rows[id].labels == PROVIDER_OUTCOME ? label / LEDGER_OUTCOMES_MAX : label;
}

/* Is this label worth a line? Providers and outcomes have room for many that do not exist. */
static bool is_known(size_t id, unsigned label)
{
    switch (rows[id].labels) {
    case PROVIDER:
    case PROVIDER_OUTCOME: {
        unsigned p = provider_of(id, label);
        return provider_names[p][0] != '\0' && is_first_provider(p);
    }
    case OUTCOME:
        return outcome_names[label][0] != '\0';
    case SERVER:
        return server_names[label][0] != '\0';
    case SERVER_END:
        return server_names[label / LEDGER_SERVER_ENDS][0] != '\0' &&
               server_ends[label % LEDGER_SERVER_ENDS] != NULL;
    case TASK:
        return ledger_task_name(label) != NULL;
    case ERROR:
        return label != LLM_OK;
    case NONE:
    case DOOR:
    case LOSS:
    case PERIOD:
    case REPAIR:
        break;
    }
    return true;
}

static int64_t printed_sum(size_t id, unsigned label, size_t cells, size_t cell)
{
    bool by_provider = rows[id].labels == PROVIDER || rows[id].labels == PROVIDER_OUTCOME;
    unsigned step = rows[id].labels == PROVIDER_OUTCOME ? LEDGER_OUTCOMES_MAX : 1;
    int64_t sum = cell_sum(rows[id].at + label * cells + cell);
    if (!by_provider)
        return sum;
    unsigned first = provider_of(id, label);
    for (unsigned p = first + 1; p < LEDGER_PROVIDERS_MAX; p++) {
        if (provider_names[p][0] == '\0' || !same_provider(first, p))
            continue;
        int64_t more = cell_sum(rows[id].at + (label + (p - first) * step) * cells + cell);
        sum = rows[id].kind == GAUGE ? more : sum + more;
    }
    return sum;
}

static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            buf_put_char(out, '\\');
        if (*value == '\n')
            buf_put_cstr(out, "\\n");
        else
            buf_put_char(out, *value);
    }
    buf_put_char(out, '"');
}

static void put_labels(struct buf *out, size_t id, unsigned label)
{
    unsigned outcome = label % LEDGER_OUTCOMES_MAX;
    switch (rows[id].labels) {
    case NONE:
        break;
    case PROVIDER:
        put_label(out, "provider", provider_names[label]);
        break;
    case OUTCOME:
        put_label(out, "outcome", outcome_names[label]);
        break;
    case PROVIDER_OUTCOME:
        put_label(out, "provider", provider_names[label / LEDGER_OUTCOMES_MAX]);
        buf_put_char(out, ',');
        if (outcome_names[outcome][0] != '\0')
            put_label(out, "outcome", outcome_names[outcome]);
        else
            buf_printf(out, "outcome=\"%u\"", outcome);
        break;
    case SERVER:
        put_label(out, "server", server_names[label]);
        break;
    case SERVER_END:
        put_label(out, "server", server_names[label / LEDGER_SERVER_ENDS]);
        buf_put_char(out, ',');
        put_label(out, "outcome", server_ends[label % LEDGER_SERVER_ENDS]);
        break;
    case DOOR:
        put_label(out, "door", llm_dialect_name((enum llm_dialect)label));
        break;
    case ERROR:
        put_label(out, "code", llm_error_row((int)label)->code);
        break;
    case LOSS:
        put_label(out, "field", dialect_loss_name(label));
        break;
    case TASK:
        put_label(out, "task", ledger_task_name(label));
        break;
    case PERIOD:
        put_label(out, "period", ledger_scope_name((enum ledger_scope)label));
        break;
    case REPAIR:
        put_label(out, "kind", ledger_repair_names[label]);
        break;
    }
}

static void put_sample(struct buf *out, size_t id, unsigned label, const char *suffix,
                       const char *le)
{
    bool labelled = rows[id].labels != NONE;
    buf_printf(out, "%s%s", rows[id].name, suffix);
    if (labelled || le != NULL)
        buf_put_char(out, '{');
    put_labels(out, id, label);
    if (le != NULL)
        buf_printf(out, "%sle=\"%s\"", labelled ? "," : "", le);
    buf_put_cstr(out, labelled || le != NULL ? "} " : " ");
}

static void print_plain(struct buf *out, size_t id, unsigned label)
{
    int64_t v = printed_sum(id, label, 1, 0);
    if (v == 0 && rows[id].labels == PROVIDER_OUTCOME) /* most pairs never happen */
        return;
    put_sample(out, id, label, "", NULL);
    buf_put_i64(out, v);
    buf_put_char(out, '\n');
}

static void print_histogram(struct buf *out, size_t id, unsigned label)
{
    int64_t count = 0;
    int64_t us = printed_sum(id, label, CELLS_HISTOGRAM, BUCKETS + 1);
    for (size_t b = 0; b <= BUCKETS; b++) {
        count += printed_sum(id, label, CELLS_HISTOGRAM, b);
        put_sample(out, id, label, "_bucket", b < BUCKETS ? buckets[b].le : "+Inf");
        buf_printf(out, "%lld\n", (long long)count);
    }
    put_sample(out, id, label, "_sum", NULL);
    buf_printf(out, "%lld.%06lld\n", (long long)(us / 1000000), (long long)(us % 1000000));
    put_sample(out, id, label, "_count", NULL);
    buf_printf(out, "%lld\n", (long long)count);
}

static void print_metric(struct buf *out, size_t id)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[id].name, rows[id].help, rows[id].name,
               kinds[rows[id].kind]);
    for (unsigned label = 0; label < rows[id].size; label++) {
        if (!is_known(id, label))
            continue;
        if (rows[id].kind == HISTOGRAM)
            print_histogram(out, id, label);
        else
            print_plain(out, id, label);
    }
}

bool metrics_print(struct buf *out)
{
    pthread_mutex_lock(&lock);
    for (size_t id = 0; id < METRICS; id++)
        print_metric(out, id);
    pthread_mutex_unlock(&lock);
    return !out->failed;
}
