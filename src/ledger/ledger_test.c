/* SPDX-License-Identifier: Apache-2.0 */
/* ledger - what one row adds to the figures, which sums hold, and what the log line says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "ledger/ledger.h"
#include "policy/policy.h"

enum { OK, REFUSED, GONE }; /* outcomes as this test names them */

static const struct ledger_attempt one_ok[] = {
    {.provider = 1, .provider_name = "b", .model = {"m2", 2}, .outcome = OK, .outcome_name = "ok"},
};
static const struct ledger_attempt fallback[] = {
    {.provider = 0,
     .provider_name = "a",
     .model = {"m1", 2},
     .outcome = REFUSED,
     .outcome_name = "connect_refused"},
    {.provider = 1, .provider_name = "b", .model = {"m2", 2}, .outcome = OK, .outcome_name = "ok"},
};
static const struct ledger_attempt left[] = {
    {.provider = 0,
     .provider_name = "a",
     .model = {"m1", 2},
     .outcome = GONE,
     .outcome_name = "caller_gone"},
};

static struct ledger_row answered(const struct ledger_attempt *attempts, size_t n)
{
    struct ledger_row row = {
        .request_id = STRV("r-1"),
        .key = "k_1",
        .door = LLM_OPENAI,
        .stream = true,
        .task = STRV("explanation"),
        .attempts = attempts,
        .n_attempts = n,
        .provider = attempts[n - 1].provider_name,
        .provider_index = attempts[n - 1].provider,
        .model = attempts[n - 1].model,
        .usage = LLM_USAGE_NONE,
        .outcome = "ok",
        .status = 200,
        .bytes_in = 70,
        .bytes_out = 900,
        .total_us = 5000,
        .upstream_us = 4000,
        .queue_us = 700,
        .first_us = 2500,
    };
    row.usage.input = 10;
    row.usage.output = 32;
    return row;
}

static struct ledger_row failed(int error)
{
    return (struct ledger_row){
        .request_id = STRV("r-2"),
        .door = LLM_ANTHROPIC,
        .task = STRV_NONE,
        .usage = LLM_USAGE_NONE,
        .error = error,
        .outcome = llm_error_row(error)->code,
        .status = 404,
        .total_us = 60,
        .first_us = -1,
    };
}

static void check_identities(const struct ledger_stats *s)
{
    int64_t providers = 0, tasks = 0;
    for (size_t i = 0; i < LEDGER_PROVIDERS_MAX; i++)
        providers += s->by_provider[i];
    for (size_t i = 0; i < sizeof s->by_task / sizeof *s->by_task; i++)
        tasks += s->by_task[i];
    assert_int_equal(s->total, s->success + s->failure);
    assert_int_equal(providers, s->success);
    assert_int_equal(tasks, s->total);
}

static void sums_hold_after_every_row(void **state)
{
    struct metrics *m = metrics_new();
    struct ledger_stats s;
    (void)state;
    metrics_name_provider(0, "a");
    metrics_name_provider(1, "b");
    metrics_name_outcome(OK, "ok");
    metrics_name_outcome(REFUSED, "connect_refused");
    metrics_name_outcome(GONE, "caller_gone");
    ledger_started(1795359600000000);
    ledger_stats_get(&s);
    check_identities(&s);
    assert_int_equal(s.total, 0);
    assert_int_equal(s.started_wall_us, 1795359600000000);

    struct ledger_row row = answered(one_ok, 1);
    ledger_close(NULL, m, NULL, &row);
    row = answered(fallback, 2);
    row.task = STRV("code_generation");
    ledger_close(NULL, m, NULL, &row);
    ledger_stats_get(&s);
    check_identities(&s);
    assert_int_equal(s.success, 2);
    assert_int_equal(s.fallbacks, 1);
    assert_int_equal(s.failed_attempts, 1); /* of a request that did not fail */
    assert_int_equal(s.failure, 0);
    assert_int_equal(s.tokens, 84);
    assert_int_equal(s.latency_us_sum, 10000);
    assert_int_equal(s.by_provider[1], 2);
    assert_int_equal(metric_sum(METRIC_REQUESTS_TASK, 3), 1);

    row = failed(LLM_ERR_MODEL_NOT_FOUND);
    ledger_close(NULL, m, NULL, &row);
    ledger_stats_get(&s);
    check_identities(&s);
    assert_int_equal(s.failure, 1);
    assert_int_equal(metric_sum(METRIC_ERRORS, LLM_ERR_MODEL_NOT_FOUND), 1);

    /* The caller left in the middle: a failure of nobody, and what was computed counts. */
    row = answered(left, 1);
    row.caller_gone = true;
    row.outcome = "caller_gone";
    ledger_close(NULL, m, NULL, &row);
    ledger_stats_get(&s);
    check_identities(&s);
    assert_int_equal(s.failure, 2);
    assert_int_equal(s.failed_attempts, 1);
    assert_int_equal(s.tokens, 126);
    assert_int_equal(metric_sum(METRIC_CALLER_GONE, 0), 1);
    assert_int_equal(s.latency_us_sum, 10000);

    metrics_free(m);
    ledger_stats_get(&s);
    check_identities(&s);
    assert_int_equal(s.total, 4);
}

static void every_code_and_class_has_its_place(void **state)
{
    struct metrics *m = metrics_new();
    struct ledger_stats before, after;
    (void)state;
    ledger_stats_get(&before);
    struct ledger_row row = failed(ERR_CODE_OOM); /* no code of the table */
    row.task = STRV("no such class");
    ledger_close(NULL, m, NULL, &row);
    ledger_stats_get(&after);
    check_identities(&after);
    assert_int_equal(after.failure, before.failure + 1);
    assert_int_equal(metric_sum(METRIC_ERRORS, LLM_ERR_INTERNAL), 1);
    assert_string_equal(ledger_task_name(0), "simple_query");
    assert_string_equal(ledger_task_name(6), "none");
    assert_null(ledger_task_name(7));
    assert_null(ledger_task_name(100));
    metrics_free(m);
}

/* ---- the line ---- */

static int64_t wall_us(void)
{
    return 1795359600123456;
}

static void check_line(const struct ledger_row *row, const char *want)
{
    int fds[2];
    char got[4096];
    struct log log;
    struct metrics *m = metrics_new();
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    log_init(&log, fds[1], LOG_INFO);
    log.wall_us = wall_us;
    ledger_close(NULL, m, &log, row);
    log_flush(&log);
    ssize_t n = read(fds[0], got, sizeof got - 1);
    assert_true(n > 0);
    got[n] = '\0';
    assert_string_equal(got, want);
    log.level = LOG_WARN;
    ledger_close(NULL, m, &log, row);
    log_flush(&log);
    assert_true(read(fds[0], got, sizeof got) < 0);
    log_fini(&log);
    metrics_free(m);
    close(fds[0]);
    close(fds[1]);
}

static void one_line_says_what_happened(void **state)
{
    struct ledger_row row = answered(fallback, 2);
    (void)state;
    row.is_private = true;
    check_line(&row,
               "{\"time\":\"2026-11-22T15:00:00.123Z\",\"level\":\"info\",\"event\":\"exchange\","
               "\"request_id\":\"r-1\",\"key\":\"k_1\",\"door\":\"openai\",\"stream\":true,"
               "\"task\":\"explanation\",\"private\":true,\"outcome\":\"ok\",\"status\":200,"
               "\"attempts\":2,\"provider\":\"b\",\"model\":\"m2\",\"input_tokens\":10,"
               "\"output_tokens\":32,\"bytes_in\":70,\"bytes_out\":900,\"total_ms\":5.000,"
               "\"first_token_ms\":2.500,\"router_ms\":0.300,\"queue_ms\":0.700}\n");
    row = failed(LLM_ERR_MODEL_NOT_FOUND);
    row.model = STRV("what the caller wrote");
    check_line(&row,
               "{\"time\":\"2026-11-22T15:00:00.123Z\",\"level\":\"info\",\"event\":\"exchange\","
               "\"request_id\":\"r-2\",\"door\":\"anthropic\",\"stream\":false,"
               "\"private\":false,\"outcome\":\"model_not_found\",\"code\":\"model_not_found\","
               "\"status\":404,\"attempts\":0,\"bytes_in\":0,\"bytes_out\":0,"
               "\"total_ms\":0.060,\"router_ms\":0.060}\n");
}

/* A row as any exchange could leave it: all fields by a dice that always falls the same way. */
static struct ledger_row thrown(uint32_t *dice, struct ledger_attempt attempts[LEDGER_ATTEMPTS_MAX])
{
    static const char *const names[] = {"a", "b"};
    uint32_t d = *dice = *dice * 1664525u + 1013904223u;
    struct ledger_row row = {.request_id = STRV("r"),
                             .door = (enum llm_dialect)((d >> 8) % LLM_DIALECTS),
                             .stream = (d & 1) != 0,
                             .is_private = (d & 2) != 0,
                             .task = STRV_NONE,
                             .attempts = attempts,
                             .n_attempts = (d >> 12) % (LEDGER_ATTEMPTS_MAX + 1),
                             .usage = LLM_USAGE_NONE,
                             .caller_gone = (d >> 16) % 5 == 0,
                             .error = (d >> 20) % 3 == 0 ? (int)(1 + (d >> 24) % (LLM_ERRORS - 1))
                                                         : LLM_OK,
                             .outcome = "x",
                             .cost_micro = (d >> 5) % 1000,
                             .reference_micro = (d >> 7) % 1000,
                             .total_us = (d >> 3) % 100000,
                             .wall_us = 1795359600000000};
    if ((d & 12) != 0)
        row.task = strv_of(policy_tasks[(d >> 6) % 6]);
    for (size_t i = 0; i < row.n_attempts; i++) {
        unsigned p = (d >> (i % 20)) & 1;
        attempts[i] = (struct ledger_attempt){.provider = p,
                                              .provider_name = names[p],
                                              .model = STRV("m"),
                                              .outcome = (d >> (i % 13)) % 3,
                                              .outcome_name = "x"};
    }
    if (row.n_attempts > 0 && (d & 16) != 0) {
        row.provider = attempts[row.n_attempts - 1].provider_name;
        row.provider_index = attempts[row.n_attempts - 1].provider;
        row.usage.input = (d >> 9) % 500;
        row.usage.output = (d & 32) != 0 ? (int64_t)((d >> 4) % 500) : -1;
    }
    return row;
}

/* scheduler-consumers 2.7, whatever the rows are; costs and tokens add up as well. */
static void sums_hold_for_any_rows(void **state)
{
    struct metrics *m = metrics_new();
    struct ledger_attempt attempts[LEDGER_ATTEMPTS_MAX];
    struct ledger_stats before, now;
    uint32_t dice = 4;
    int64_t cost = metric_sum(METRIC_COST, 0) + metric_sum(METRIC_COST, 1), tokens = 0;
    (void)state;
    ledger_stats_get(&before);
    for (int i = 0; i < 20000; i++) {
        struct ledger_row row = thrown(&dice, attempts);
        ledger_close(NULL, m, NULL, &row);
        cost += row.cost_micro;
        if (row.provider != NULL)
            tokens += (row.usage.input > 0 ? row.usage.input : 0) +
                      (row.usage.output > 0 ? row.usage.output : 0);
        if (i % 1000 != 0)
            continue;
        ledger_stats_get(&now);
        check_identities(&now);
        assert_int_equal(now.total - before.total, i + 1);
    }
    ledger_stats_get(&now);
    assert_int_equal(now.tokens - before.tokens, tokens);
    assert_int_equal(metric_sum(METRIC_COST, 0) + metric_sum(METRIC_COST, 1), cost);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_hold_after_every_row),
        cmocka_unit_test(every_code_and_class_has_its_place),
        cmocka_unit_test(one_line_says_what_happened),
        cmocka_unit_test(sums_hold_for_any_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
