/* SPDX-License-Identifier: Apache-2.0 */
/* metrics - cells, sums over threads that live and have ended, and the text for Prometheus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "ledger/ledger.h"

static void sums_over_threads_that_live_and_have_ended(void **state)
{
    (void)state;
    int64_t before = metric_sum(METRIC_REQUESTS, LLM_OLLAMA);
    struct metrics *a = metrics_new(), *b = metrics_new();
    metric_add(a, METRIC_REQUESTS, LLM_OLLAMA, 2);
    metric_add(b, METRIC_REQUESTS, LLM_OLLAMA, 3);
    metric_add(b, METRIC_REQUESTS, LLM_OPENAI, 100);
    assert_int_equal(metric_sum(METRIC_REQUESTS, LLM_OLLAMA) - before, 5);
    metrics_free(b);
    assert_int_equal(metric_sum(METRIC_REQUESTS, LLM_OLLAMA) - before, 5);
    metrics_free(a);
    assert_int_equal(metric_sum(METRIC_REQUESTS, LLM_OLLAMA) - before, 5);
    metrics_free(NULL);
}

static void gauges_of_an_ended_thread_go(void **state)
{
    (void)state;
    struct metrics *a = metrics_new(), *b = metrics_new();
    metric_add(a, METRIC_STREAMS, 0, 3);
    metric_add(a, METRIC_STREAMS, 0, -1);
    metric_set(b, METRIC_STREAMS, 0, 5);
    metric_set(b, METRIC_STREAMS, 0, 4);
    assert_int_equal(metric_sum(METRIC_STREAMS, 0), 6);
    metrics_free(b);
    assert_int_equal(metric_sum(METRIC_STREAMS, 0), 2);
    metrics_free(a);
    assert_int_equal(metric_sum(METRIC_STREAMS, 0), 0);
}

static void the_process_has_figures_of_its_own(void **state)
{
    (void)state;
    metric_set(metrics_process(), METRIC_MEMORY, 0, 5);
    metric_set(metrics_process(), METRIC_ENGINE_RESTARTS, 3, 2); /* kept by the provider's cell */
    metric_set(metrics_process(), METRIC_ENGINE_RESTARTS, 3, 4);
    assert_int_equal(metric_sum(METRIC_MEMORY, 0), 5);
    assert_int_equal(metric_sum(METRIC_ENGINE_RESTARTS, 3), 4);
}

static bool printed(const char *line) /* a whole line, or a part of one without its end */
{
    struct buf out;
    buf_init(&out, 1 << 24);
    assert_true(metrics_print(&out));
    buf_put_char(&out, '\0');
    bool found = strstr(buf_view(&out).ptr, line) != NULL;
    buf_fini(&out);
    return found;
}

static void prints_counters_gauges_and_their_help(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    metrics_name_provider(7, "lab \"x\\y\"");
    metrics_name_outcome(5, "dns");
    assert_string_equal(ledger_provider_name(7), "lab \"x\\y\"");
    assert_string_equal(ledger_outcome_name(5), "dns");
    assert_null(ledger_provider_name(8));
    assert_null(ledger_provider_name(LEDGER_PROVIDERS_MAX));
    metric_set(m, METRIC_STREAMS, 0, 12);
    metric_add(m, METRIC_SUCCESS, 7, 4);
    metric_add(m, METRIC_ATTEMPTS, 7 * LEDGER_OUTCOMES_MAX + 5, 9);
    metric_add(m, METRIC_ERRORS, LLM_ERR_RATE_LIMITED, 2);
    assert_true(printed("# HELP llm_router_active_streams Streams being sent to callers.\n"
                        "# TYPE llm_router_active_streams gauge\nllm_router_active_streams 12\n"));
    assert_true(printed("\nllm_router_answers_total{provider=\"lab \\\"x\\\\y\\\"\"} 4\n"));
    assert_true(printed(
        "\nllm_router_attempts_total{provider=\"lab \\\"x\\\\y\\\"\",outcome=\"dns\"} 9\n"));
    assert_true(printed("\nllm_router_errors_total{code=\"rate_limited\"} 2\n"));
    assert_true(printed("\nllm_router_requests_by_task_total{task=\"multi_step\"} "));
    assert_true(printed("\nllm_router_requests_by_task_total{task=\"none\"} "));
    assert_true(printed("\nllm_router_translation_lossy_total{field=\"user\"} 0\n"));
    assert_false(printed("provider=\"\""));
    metrics_free(m);
}

static void prints_histograms_that_add_up(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    metric_observe_us(m, METRIC_OVERHEAD, 0, -5); /* a clock that went back is no time at all */
    metric_observe_us(m, METRIC_OVERHEAD, 0, 50);
    metric_observe_us(m, METRIC_OVERHEAD, 0, 51);
    metric_observe_us(m, METRIC_OVERHEAD, 0, 600000001);
    assert_int_equal(metric_sum(METRIC_OVERHEAD, 0), 4);
    assert_true(printed("# TYPE llm_router_overhead_seconds histogram\n"
                        "llm_router_overhead_seconds_bucket{le=\"0.00005\"} 2\n"
                        "llm_router_overhead_seconds_bucket{le=\"0.0001\"} 3\n"));
    assert_true(printed("llm_router_overhead_seconds_bucket{le=\"600\"} 3\n"
                        "llm_router_overhead_seconds_bucket{le=\"+Inf\"} 4\n"
                        "llm_router_overhead_seconds_sum 600.000102\n"
                        "llm_router_overhead_seconds_count 4\n"));
    metrics_name_provider(9, "one");
    metric_observe_us(m, METRIC_QUEUE, 9, 1000);
    assert_true(printed("llm_router_queue_seconds_bucket{provider=\"one\",le=\"0.001\"} 1\n"));
    assert_true(printed("llm_router_queue_seconds_sum{provider=\"one\"} 0.001000\n"));
    metrics_free(m);
}

/* A provider whose address was changed has two cells and one name; Prometheus takes it once. */
static void one_name_is_printed_once(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    metrics_name_provider(20, "moved");
    metrics_name_provider(21, "moved");
    metrics_name_provider(21, "another"); /* a name stays */
    assert_string_equal(ledger_provider_name(21), "moved");
    metric_add(m, METRIC_SUCCESS, 20, 1);
    metric_add(m, METRIC_SUCCESS, 21, 2);
    metric_add(m, METRIC_ATTEMPTS, 21 * LEDGER_OUTCOMES_MAX, 3);
    metric_observe_us(m, METRIC_QUEUE, 20, 10);
    metric_observe_us(m, METRIC_QUEUE, 21, 10);
    metric_set(m, METRIC_BREAKER, 20, 2);
    metric_set(m, METRIC_BREAKER, 21, 0);
    assert_true(printed("\nllm_router_answers_total{provider=\"moved\"} 3\n"));
    assert_false(printed("\nllm_router_answers_total{provider=\"moved\"} 2\n"));
    assert_true(printed("\nllm_router_attempts_total{provider=\"moved\",outcome=\"0\"} 3\n"));
    assert_true(printed("\nllm_router_queue_seconds_count{provider=\"moved\"} 2\n"));
    assert_true(printed("\nllm_router_breaker_state{provider=\"moved\"} 0\n"));
    metrics_free(m);
}

static void a_full_buffer_is_told(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 100);
    assert_false(metrics_print(&out));
    buf_fini(&out);
}

static void refused_memory_is_a_value(void **state)
{
    (void)state;
    mem_fail_at(1, false);
    assert_null(metrics_new());
    mem_fail_at(0, false);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *count_up(void *arg)
{
    struct metrics *m = metrics_new();
    (void)arg;
    assert_non_null(m);
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(m, METRIC_RELOADS, 0, 1);
        metric_observe_us(m, METRIC_DURATION, LLM_NATIVE, i);
    }
    metrics_free(m);
    return NULL;
}

static void scraping_disturbs_nobody(void **state)
{
    pthread_t threads[THREADS];
    int64_t seen = 0;
    (void)state;
    int64_t before = metric_sum(METRIC_RELOADS, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    while (seen < 1000) { /* while they count: never backwards */
        int64_t now = metric_sum(METRIC_RELOADS, 0) - before;
        assert_true(now >= seen);
        seen = now;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_sum(METRIC_RELOADS, 0) - before, THREADS * ROUNDS);
    assert_int_equal(metric_sum(METRIC_DURATION, LLM_NATIVE), THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_threads_that_live_and_have_ended),
        cmocka_unit_test(gauges_of_an_ended_thread_go),
        cmocka_unit_test(the_process_has_figures_of_its_own),
        cmocka_unit_test(prints_counters_gauges_and_their_help),
        cmocka_unit_test(prints_histograms_that_add_up),
        cmocka_unit_test(one_name_is_printed_once),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(refused_memory_is_a_value),
        cmocka_unit_test(scraping_disturbs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
