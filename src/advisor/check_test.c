/* SPDX-License-Identifier: Apache-2.0 */
/* check: the fields that faults name, the delta and the merged set, rules, memory that is refused. */
#include "advisor/rules.h"
#include "advisor/testing.h"

#define REPLY(type, params)                                                                        \
    "{\"type\":\"" type "\",\"confidence\":0.5,\"reasoning\":\"r\",\"params\":" params "}"

static void names_the_field(void **state)
{
    static const struct {
        const char *reply, *reason, *field;
    } rows[] = {
        {REPLY("parameter_change", "{\"timeout_seconds\":5}"), "timeout_out_of_range",
         "params.timeout_seconds"},
        {REPLY("constraint_weight", "{\"constraint_weights\":{\"resilience\":3}}"),
         "weight_out_of_range", "params.constraint_weights.resilience"},
        {REPLY("constraint_weight", "{\"constraint_weights\":{\"resilience\":\"1\"}}"), "bad_type",
         "params.constraint_weights.resilience"},
        {REPLY("constraint_weight", "{\"constraint_weights\":{\"coverage\":1}}"),
         "unknown_constraint", "params.constraint_weights.coverage"},
        {REPLY("parameter_change", "{\"max_restarts\":3}"), "forbidden_param",
         "params.max_restarts"},
        {REPLY("parameter_change", "[]"), "bad_type", "params"},
        {REPLY("parameter_change", "null"), "empty_params", "params"},
        {REPLY("parameter_change", "{\"constraint_weights\":{}}"), "empty_params", "params"},
        {REPLY("constraint_weight", "{\"algorithm\":\"pulp\"}"), "empty_params", "params"},
        {REPLY("algorithm_switch", "{\"algorithm\":7}"), "bad_type", "params.algorithm"},
        {REPLY("algorithm_switch", "{\"algorithm\":\"greedy \"}"), "bad_algorithm",
         "params.algorithm"},
        {REPLY("parameter_change", "{\"timeout_seconds\":true}"), "bad_type",
         "params.timeout_seconds"},
        {"{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"r\",\"analysis\":[]}",
         "bad_type", "analysis"},
        {REPLY("strategy_change", "{\"diversification_factor\":-0.1}"),
         "diversification_out_of_range", "params.diversification_factor"},
        {REPLY("x", "{}"), "unknown_type", "type"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct advice a = judge(strv_of(rows[i].reply), NULL);
        assert_false(a.accepted);
        assert_string_equal(a.reason, rows[i].reason);
        assert_string_equal(a.field, rows[i].field);
    }
}

static void bounds_the_reasoning(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    buf_put_cstr(&b, "{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"");
    for (size_t i = 0; i <= ADVICE_REASONING_MAX; i++)
        buf_put_char(&b, 'x');
    buf_put_cstr(&b, "\"}");
    struct advice a = judge(buf_view(&b), NULL);
    assert_string_equal(a.reason, "too_large");
    assert_string_equal(a.field, "reasoning");
    buf_fini(&b);
}

static void leaves_the_rest_as_it_is(void **state)
{
    static const struct {
        const char *current, *params, *merged;
    } rows[] = {
        {"{\"algorithm\":\"greedy\",\"timeout_seconds\":60,\"random_seed\":null}",
         "{\"timeout_seconds\":120}",
         "{\"algorithm\":\"greedy\",\"timeout_seconds\":120,\"random_seed\":null}"},
        {"{\"constraint_weights\":{\"load_balance\":1,\"resilience\":1.5},\"solver_params\":{\"a\":"
         "[1]}}",
         "{\"constraint_weights\":{\"resilience\":0}}",
         "{\"constraint_weights\":{\"load_balance\":1,\"resilience\":0},\"solver_params\":{\"a\":["
         "1]}}"},
        {"{}", "{\"algorithm\":\"pulp\"}", "{\"algorithm\":\"pulp\"}"},
        {"{\"constraint_weights\":null}", "{\"constraint_weights\":{\"resilience\":1}}",
         "{\"constraint_weights\":{\"resilience\":1}}"},
        {"{\"solver_params\":{}}", "{\"algorithm\":\"pulp\"}",
         "{\"solver_params\":{},\"algorithm\":\"pulp\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char reply[512];
        snprintf(reply, sizeof reply, REPLY("parameter_change", "%s"), rows[i].params);
        struct advice a = judge(strv_of(reply), parse(strv_of(rows[i].current)));
        assert_true(a.accepted);
        assert_true(strv_eq_cstr(a.merged, rows[i].merged));
    }
}

static void judges_the_merged_set(void **state)
{
    (void)state;
    struct advice a =
        judge(STRV(REPLY("algorithm_switch", "{\"algorithm\":\"pulp\"}")),
              parse(STRV("{\"timeout_seconds\":5,\"constraint_weights\":{\"coverage\":1}}")));
    assert_string_equal(a.reason, "timeout_out_of_range");
    assert_string_equal(a.field, "merged_params.timeout_seconds");
    a = judge(STRV(REPLY("algorithm_switch", "{\"algorithm\":\"pulp\"}")),
              parse(STRV("{\"constraint_weights\":{\"coverage\":0.9}}")));
    assert_string_equal(a.reason, "unknown_constraint");
    assert_string_equal(a.field, "merged_params.constraint_weights.coverage");
    /* What a suggestion mends is no fault, and one that changes nothing cannot break anything. */
    a = judge(STRV(REPLY("parameter_change", "{\"timeout_seconds\":60}")),
              parse(STRV("{\"timeout_seconds\":5}")));
    assert_true(a.accepted);
    a = judge(STRV(REPLY("explanation", "{}")), parse(STRV("{\"timeout_seconds\":5}")));
    assert_true(a.accepted && !a.changes);
}

static void keeps_to_the_question(void **state)
{
    struct advice a;
    (void)state;
    yyjson_val *reply = parse(STRV(REPLY("algorithm_switch", "{\"algorithm\":\"pulp\"}")));
    assert_true(advice_check(conf.schema, ADVICE_STRATEGY, reply, NULL, &arena, &a));
    assert_string_equal(a.reason, "unknown_type");
}

/* ---- rules ---- */

static void answers_by_rules(void **state)
{
    static const struct {
        const char *asked, *type, *params;
    } rows[] = {
        {"{}", NULL, NULL},
        {"{\"last_evaluation\":null,\"state\":{\"iterations_since_improvement\":99}}", NULL, NULL},
        {"{\"last_evaluation\":{\"critical_violations\":1,\"score\":0},"
         "\"state\":{\"iterations_since_improvement\":99}}",
         "algorithm_switch", "{\"algorithm\":\"cp_sat\"}"},
        {"{\"last_evaluation\":{\"critical_violations\":0,\"score\":0.1},"
         "\"state\":{\"iterations_since_improvement\":11}}",
         "strategy_change", "{\"diversification_factor\":0.5}"},
        {"{\"last_evaluation\":{\"critical_violations\":0,\"score\":0.49},"
         "\"state\":{\"iterations_since_improvement\":10}}",
         "parameter_change", "{\"timeout_seconds\":120.0}"},
        {"{\"last_evaluation\":{\"critical_violations\":0,\"score\":0.5},"
         "\"state\":{\"iterations_since_improvement\":10}}",
         NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct advice a;
        assert_true(advice_rules_ask(conf.schema, ADVICE_SUGGEST, parse(strv_of(rows[i].asked)),
                                     NULL, &arena, &a));
        assert_int_equal(a.accepted, rows[i].type != NULL);
        if (rows[i].type != NULL) {
            assert_true(strv_eq_cstr(a.type, rows[i].type));
            assert_true(strv_eq_cstr(a.delta, rows[i].params));
        } else {
            assert_string_equal(a.reason, "no_advice");
        }
    }
}

static void rules_keep_to_the_question(void **state)
{
    struct advice a;
    (void)state;
    yyjson_val *asked = parse(STRV("{\"last_evaluation\":{\"critical_violations\":1,\"score\":0},"
                                   "\"state\":{\"iterations_since_improvement\":99}}"));
    assert_true(advice_rules_ask(conf.schema, ADVICE_STRATEGY, asked, NULL, &arena, &a));
    assert_true(a.accepted && strv_eq_cstr(a.type, "strategy_change"));
    assert_true(advice_rules_ask(conf.schema, ADVICE_ANALYZE, asked, NULL, &arena, &a));
    assert_string_equal(a.reason, "no_advice");
}

static void refuses_when_memory_does(void **state)
{
    static const char reply[] =
        REPLY("constraint_weight", "{\"constraint_weights\":{\"resilience\":1}}");
    (void)state;
    for (size_t max = 256; max < 64 * 1024; max += 256) {
        struct arena small;
        struct json doc;
        struct advice a;
        enum advice_reason why;
        arena_init(&small, 256, max);
        if (advice_read(strv_of(reply), &small, &doc, &why) && why == ADVICE_REASON_OK &&
            advice_check(conf.schema, ADVICE_SUGGEST, doc.root, NULL, &small, &a))
            assert_true(a.accepted);
        arena_fini(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_the_field, open_all, close_all),
        cmocka_unit_test_setup_teardown(bounds_the_reasoning, open_all, close_all),
        cmocka_unit_test_setup_teardown(leaves_the_rest_as_it_is, open_all, close_all),
        cmocka_unit_test_setup_teardown(judges_the_merged_set, open_all, close_all),
        cmocka_unit_test_setup_teardown(keeps_to_the_question, open_all, close_all),
        cmocka_unit_test_setup_teardown(answers_by_rules, open_all, close_all),
        cmocka_unit_test_setup_teardown(rules_keep_to_the_question, open_all, close_all),
        cmocka_unit_test_setup_teardown(refuses_when_memory_does, open_all, close_all),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
