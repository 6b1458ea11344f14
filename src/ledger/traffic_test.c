/* SPDX-License-Identifier: Apache-2.0 */
/* traffic - minutes of the counters, quantiles, a clock that jumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/ledger.h"

#define MINUTE ((int64_t)60 * 1000000)
#define START  (29000000 * MINUTE) /* of no day in particular */

static char text[1 << 20];

static const char *told(int64_t wall_us, unsigned minutes)
{
    struct buf b;
    buf_init(&b, sizeof text - 1);
    traffic_json(wall_us, minutes, &b);
    assert_false(b.failed);
    memcpy(text, buf_view(&b).ptr, buf_view(&b).len);
    text[buf_view(&b).len] = '\0';
    buf_fini(&b);
    return text;
}

static void shows(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no %s in %s", part, text);
}

/* One story, since the ring belongs to the process. */
static void minutes_fill_and_pass(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    assert_non_null(m);
    told(START, 60);
    shows("\"minutes\":1,\"requests\":[0]");
    metrics_name_provider(1, "near");
    metrics_name_provider(2, "far");
    traffic_zone(2, true);
    metric_add(m, METRIC_SUCCESS, 1, 100); /* before the first tick: not told */
    traffic_tick(START);
    metric_add(m, METRIC_SUCCESS, 1, 3);
    metric_add(m, METRIC_SUCCESS, 2, 1);
    metric_add(m, METRIC_FAILURE, 0, 2);
    metric_add(m, METRIC_REQUESTS_TASK, 0, 6);
    metric_add(m, METRIC_COST, 2, 500);
    for (int i = 0; i < 100; i++)
        metric_observe_us(m, METRIC_DURATION, LLM_OPENAI, 20000);
    traffic_tick(START + 1000000);
    metric_add(m, METRIC_SUCCESS, 1, 1);
    traffic_tick(START + MINUTE); /* the second between them belongs to the later one */
    told(START + 3 * MINUTE, 60);
    shows("\"from\":1740000000,\"step_s\":60,\"minutes\":4,");
    shows("\"requests\":[6,1,0,0]");
    shows("\"failures\":[2,0,0,0]");
    shows("\"local\":[3,1,0,0]");
    shows("\"cloud\":[1,0,0,0]");
    shows("\"cost_micro_usd\":[500,0,0,0]");
    shows("\"simple_query\":[6,0,0,0]");
    shows("\"p50_ms\":[17.5,null,null,null]"); /* half way from 10 to 25 */
    shows("\"p99_ms\":[24.9,null,null,null]");
    shows("\"first_p50_ms\":[null,null,null,null]");
    told(START + 3 * MINUTE, 2); /* no more than was asked for */
    shows("\"requests\":[0,0]");

    metric_add(m, METRIC_FAILURE, 0, 5); /* set back: the old minute goes on */
    traffic_tick(START);
    told(START + MINUTE, 60);
    shows("\"requests\":[11,1]");
    metric_add(m, METRIC_FAILURE, 0, 7); /* a day later: what was is overwritten or out of sight */
    traffic_tick(START + TRAFFIC_MINUTES * MINUTE);
    told(START + TRAFFIC_MINUTES * MINUTE, TRAFFIC_MINUTES);
    shows("\"minutes\":1440,\"requests\":[1,0,");
    shows(",0,7],\"failures\"");
    told(START - 10 * MINUTE, 5); /* before all of it */
    shows("\"minutes\":1,\"requests\":[0]");
    metric_observe_us(m, METRIC_FIRST_TOKEN, 1, INT64_C(700000000)); /* longer than the longest */
    traffic_tick(START + TRAFFIC_MINUTES * MINUTE + 1);
    told(START + TRAFFIC_MINUTES * MINUTE, 1);
    shows("\"first_p50_ms\":[600000.0]");
    traffic_tick(0); /* a clock that knows nothing */
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minutes_fill_and_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
