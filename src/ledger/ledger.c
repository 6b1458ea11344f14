/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger - one exchange is over: count it, say so in one log line, hand its row to the file.
 *
 * The statistics are read back from the same counters, so they cannot disagree with the metrics. An
 * exchange is either a success of one provider or a failure, and belongs to exactly one task class
 * ("none" when nobody named one): that is why the sums hold.
 */
#include "ledger/ledger.h"

#include <assert.h>

#include "policy/policy.h"

static _Atomic int64_t started_wall_us;

static unsigned task_index(strv task)
{
    unsigned i = 0;
    while (policy_tasks[i] != NULL && !strv_eq_cstr(task, policy_tasks[i]))
        i++;
    return i; /* beyond the last class: "none" */
}

static bool is_success(const struct ledger_row *row)
{
    return row->error == LLM_OK && !row->caller_gone && row->provider != NULL;
}

static bool is_fallback(const struct ledger_row *row)
{
    if (row->n_attempts < 2)
        return false;
    const struct ledger_attempt *first = &row->attempts[0];
    const struct ledger_attempt *last = &row->attempts[row->n_attempts - 1];
    return first->provider != last->provider || !strv_eq(first->model, last->model);
}

static int64_t own_us(const struct ledger_row *row)
{
    int64_t us = row->total_us - row->upstream_us - row->queue_us;
    return us > 0 ? us : 0;
}

static void count_end(struct metrics *m, const struct ledger_row *row)
{
    if (is_success(row)) {
        metric_add(m, METRIC_SUCCESS, row->provider_index, 1);
        metric_add(m, METRIC_LATENCY_SUM, 0, row->total_us);
        if (is_fallback(row))
            metric_add(m, METRIC_FALLBACKS, 0, 1);
    } else {
        metric_add(m, METRIC_FAILURE, 0, 1);
        if (row->caller_gone)
            metric_add(m, METRIC_CALLER_GONE, 0, 1);
        else if (row->error > LLM_OK && row->error < LLM_ERRORS)
            metric_add(m, METRIC_ERRORS, (unsigned)row->error, 1);
        else
            metric_add(m, METRIC_ERRORS, LLM_ERR_INTERNAL, 1);
    }
    metric_add(m, METRIC_REQUESTS_TASK, task_index(row->task), 1);
}

static void count_tokens(struct metrics *m, const struct ledger_row *row)
{
    const struct {
        enum metric metric;
        int64_t n;
    } rows[] = {
        {METRIC_INPUT_TOKENS, row->usage.input},
        {METRIC_OUTPUT_TOKENS, row->usage.output},
        {METRIC_CACHED_TOKENS, row->usage.cached},
        {METRIC_CACHE_WRITE_TOKENS, row->usage.cache_write},
        {METRIC_REASONING_TOKENS, row->usage.reasoning},
        {METRIC_USAGE_ESTIMATED, row->usage_estimated},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n > 0)
            metric_add(m, rows[i].metric, row->provider_index, rows[i].n);
}

static void count(struct metrics *m, const struct ledger_row *row)
{
    count_end(m, row);
    for (size_t i = 0; i < row->n_attempts; i++) {
        const struct ledger_attempt *a = &row->attempts[i];
        assert(a->provider < LEDGER_PROVIDERS_MAX && a->outcome < LEDGER_OUTCOMES_MAX);
        metric_add(m, METRIC_ATTEMPTS, a->provider * LEDGER_OUTCOMES_MAX + a->outcome, 1);
    }
    if (row->provider != NULL) /* also of an answer that broke off: they were computed */
        count_tokens(m, row);
    if (row->cost_micro > 0)
        metric_add(m, METRIC_COST, row->provider_index, row->cost_micro);
    if (row->reference_micro > 0)
        metric_add(m, METRIC_REFERENCE_COST, row->provider_index, row->reference_micro);
    metric_observe_us(m, METRIC_DURATION, row->door, row->total_us);
    metric_observe_us(m, METRIC_OVERHEAD, 0, own_us(row));
    if (row->queue_us > 0)
        metric_observe_us(m, METRIC_QUEUE, row->provider_index, row->queue_us);
}

static void write_line(struct log *log, const struct ledger_row *row)
{
    struct log_kv kv[27];
    size_t n = 0;
    kv[n++] = LOG_S(REQUEST_ID, row->request_id);
    kv[n++] = LOG_C(KEY, row->key);
    kv[n++] = LOG_C(DOOR, llm_dialect_name(row->door));
    kv[n++] = LOG_B(STREAM, row->stream);
    kv[n++] = LOG_S(TASK, row->task);
    kv[n++] = LOG_B(PRIVATE, row->is_private);
    kv[n++] = LOG_C(OUTCOME, row->outcome);
    kv[n++] = LOG_C(CODE, row->error != LLM_OK ? llm_error_row(row->error)->code : NULL);
    if (row->status != 0)
        kv[n++] = LOG_I(STATUS, row->status);
    kv[n++] = LOG_I(ATTEMPTS, row->n_attempts);
    if (row->recalled)
        kv[n++] = LOG_B(RECALLED, true);
    kv[n++] = LOG_C(PROVIDER, row->provider);
    kv[n++] = LOG_S(MODEL, row->provider != NULL ? row->model : STRV_NONE);
    if (row->usage.input >= 0)
        kv[n++] = LOG_I(INPUT_TOKENS, row->usage.input);
    if (row->usage.output >= 0)
        kv[n++] = LOG_I(OUTPUT_TOKENS, row->usage.output);
    if (row->usage.cached > 0)
        kv[n++] = LOG_I(CACHED_TOKENS, row->usage.cached);
    if (row->usage.cache_write > 0)
        kv[n++] = LOG_I(CACHE_WRITE_TOKENS, row->usage.cache_write);
    if (row->usage.reasoning > 0)
        kv[n++] = LOG_I(REASONING_TOKENS, row->usage.reasoning);
    if (row->usage_estimated)
        kv[n++] = LOG_B(USAGE_ESTIMATED, true);
    if (row->cost_micro > 0)
        kv[n++] = LOG_I(COST, row->cost_micro);
    kv[n++] = LOG_I(BYTES_IN, row->bytes_in);
    kv[n++] = LOG_I(BYTES_OUT, row->bytes_out);
    kv[n++] = LOG_US(TOTAL_MS, row->total_us);
    if (row->first_us >= 0)
        kv[n++] = LOG_US(FIRST_MS, row->first_us);
    kv[n++] = LOG_US(ROUTER_MS, own_us(row));
    if (row->queue_us > 0)
        kv[n++] = LOG_US(QUEUE_MS, row->queue_us);
    assert(n <= sizeof kv / sizeof *kv);
    log_write(log, LOG_INFO, "exchange", kv, n);
}

/* ---- the file ---- */

static void copy(char *out, size_t size, strv text)
{
    size_t n = text.len < size ? text.len : utf8_cut(text, size - 1).len;
    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

static void fill_numbers(struct ledger_entry *e, const struct ledger_row *row)
{
    e->input = known(row->usage.input);
    e->output = known(row->usage.output);
    e->cached = known(row->usage.cached);
    e->cache_write = known(row->usage.cache_write);
    e->reasoning = known(row->usage.reasoning);
    e->cost_micro = row->cost_micro;
    e->reference_micro = row->reference_micro;
    e->total_us = row->total_us;
    e->queue_us = row->queue_us;
    e->router_us = own_us(row);
    e->upstream_us = row->upstream_us;
    e->first_us = row->first_us;
    e->status = row->status;
}

/* What was computed and then lost on its way belongs to who computed it. */
static const char *provider_of(const struct ledger_row *row)
{
    bool computed = row->cost_micro > 0 || row->usage.input > 0 || row->usage.output > 0;
    if (row->provider != NULL || row->n_attempts == 0 || !computed)
        return row->provider;
    return row->attempts[row->n_attempts - 1].provider_name;
}

static void fill(struct ledger_entry *e, const struct ledger_row *row, unsigned flags)
{
    e->ended_us = row->wall_us;
    e->door = (uint8_t)row->door;
    e->class = (uint8_t)task_index(row->task);
    e->op = row->op != NULL ? row->op : "chat";
    e->outcome = row->outcome;
    copy(e->findings, sizeof e->findings, strv_of(row->findings));
    const char *provider = provider_of(row);
    e->flags = (uint8_t)(flags | (row->stream ? LEDGER_STREAM : 0) |
                         (row->is_private ? LEDGER_PRIVATE : 0) |
                         (row->local && provider != NULL ? LEDGER_LOCAL : 0) |
                         (row->usage_estimated ? LEDGER_ESTIMATED : 0) |
                         (is_success(row) ? LEDGER_ANSWERED : 0));
    copy(e->request_id, sizeof e->request_id,
         ledger_id_fits(row->request_id) ? row->request_id : STRV(""));
    copy(e->key, sizeof e->key, strv_of(row->key));
    copy(e->provider, sizeof e->provider, strv_of(provider));
    copy(e->model, sizeof e->model, row->model);
    e->n_steps = (uint8_t)row->n_attempts;
    for (size_t i = 0; i < row->n_attempts; i++) {
        e->steps[i].provider = (uint8_t)row->attempts[i].provider;
        e->steps[i].outcome = (uint8_t)row->attempts[i].outcome;
    }
    fill_numbers(e, row);
}

static void put(struct ledger *ledger, struct metrics *m, const struct ledger_row *row,
                unsigned flags)
{
    struct ledger_entry e;
    if (ledger == NULL)
        return;
    fill(&e, row, flags);
    if (!ledger_put(ledger, &e))
        metric_add(m, METRIC_LEDGER_LOST, 0, 1);
}

void ledger_close(struct ledger *ledger, struct metrics *m, struct log *log,
                  const struct ledger_row *row)
{
    count(m, row);
    if (log != NULL && LOG_INFO >= log->level)
        write_line(log, row);
    put(ledger, m, row, 0);
}

void ledger_note(struct ledger *ledger, struct metrics *m, const struct ledger_row *row)
{
    put(ledger, m, row, LEDGER_ASIDE);
}

/* ---- statistics ---- */

/* An attempt that nobody failed: the answer came, or the caller left. */
static bool is_no_failure(unsigned outcome)
{
    const char *name = ledger_outcome_name(outcome);
    return name != NULL && (strcmp(name, "ok") == 0 || strcmp(name, "caller_gone") == 0);
}

void ledger_stats_get(struct ledger_stats *out)
{
    *out = (struct ledger_stats){.failure = metric_sum(METRIC_FAILURE, 0),
                                 .fallbacks = metric_sum(METRIC_FALLBACKS, 0),
                                 .latency_us_sum = metric_sum(METRIC_LATENCY_SUM, 0)};
    for (unsigned p = 0; p < LEDGER_PROVIDERS_MAX; p++) {
        out->by_provider[p] = metric_sum(METRIC_SUCCESS, p);
        out->success += out->by_provider[p];
        out->tokens += metric_sum(METRIC_INPUT_TOKENS, p) + metric_sum(METRIC_OUTPUT_TOKENS, p);
        if (ledger_provider_name(p) == NULL)
            continue;
        for (unsigned o = 0; o < LEDGER_OUTCOMES_MAX; o++)
            if (!is_no_failure(o))
                out->failed_attempts += metric_sum(METRIC_ATTEMPTS, p * LEDGER_OUTCOMES_MAX + o);
    }
    for (unsigned t = 0; ledger_task_name(t) != NULL; t++)
        out->by_task[t] = metric_sum(METRIC_REQUESTS_TASK, t);
    out->total = out->success + out->failure;
    out->started_wall_us = atomic_load_explicit(&started_wall_us, memory_order_relaxed);
}

void ledger_started(int64_t wall_us)
{
    atomic_store_explicit(&started_wall_us, wall_us, memory_order_relaxed);
}
