/* SPDX-License-Identifier: Apache-2.0 */
/* schema: the built-in one, one of another optimiser, and what is refused with which words. */
#include "advisor/testing.h"

static void has_the_schedulers(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    assert_true(strv_eq_cstr(conf.schema->name, "residency-scheduler"));
    assert_int_equal(conf.schema->n_params, 4);
    assert_int_equal(conf.schema->n_types, 6);
    assert_int_equal(strlen(conf.schema->digest), 64);
    for (int q = 0; q < ADVICE_EXPLAIN; q++) {
        yyjson_val *form = parse(conf.schema->form[q]);
        assert_true(schema_valid(form, &err));
    }
    yyjson_val *form = parse(conf.schema->form[ADVICE_SUGGEST]);
    assert_true(schema_check(form,
                             parse(STRV("{\"type\":\"algorithm_switch\",\"confidence\":0.5,"
                                        "\"reasoning\":\"r\",\"params\":{\"algorithm\":\"pulp\","
                                        "\"constraint_weights\":{\"resilience\":2}}}")),
                             &err));
    assert_false(schema_check(form,
                              parse(STRV("{\"type\":\"algorithm_switch\",\"confidence\":0.5,"
                                         "\"reasoning\":\"r\",\"params\":{\"x\":1}}")),
                              &err));
}

#define QUESTIONS "\"questions\":{\"suggest\":[\"t\"],\"analyze\":[\"t\"],\"strategy\":[\"t\"]}"

static void takes_another_optimisers(void **state)
{
    struct err err = ERR_INIT;
    struct advice a;
    (void)state;
    struct advice_schema *s = advice_schema_read(
        STRV("{\"name\":\"anneal\",\"version\":2,\"confidence_floor\":0,\"params\":{"
             "\"heat\":{\"kind\":\"integer\",\"min\":1,\"max\":9},"
             "\"tabu\":{\"kind\":\"boolean\"}},"
             "\"types\":{\"t\":{\"needs\":\"heat\"}}," QUESTIONS "}"),
        &arena, &err);
    assert_non_null(s);
    static const struct {
        const char *params, *reason;
    } rows[] = {{"{\"heat\":3}", "ok"},
                {"{\"heat\":3.5}", "bad_type"},
                {"{\"heat\":3.0}", "ok"},
                {"{\"heat\":10}", "out_of_range"},
                {"{\"heat\":1,\"tabu\":1}", "bad_type"},
                {"{\"heat\":1,\"tabu\":false}", "ok"},
                {"{\"tabu\":false}", "empty_params"},
                {"{\"algorithm\":\"cp_sat\"}", "forbidden_param"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char reply[256];
        snprintf(reply, sizeof reply,
                 "{\"type\":\"t\",\"confidence\":0,\"reasoning\":\"r\",\"params\":%s}",
                 rows[i].params);
        assert_true(advice_check(s, ADVICE_SUGGEST, parse(strv_of(reply)), NULL, &arena, &a));
        assert_string_equal(a.reason, rows[i].reason);
    }
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{\"name\":\"x y\",\"version\":1}", "name"},
        {"{\"name\":\"x\",\"version\":1,\"confidence_floor\":2}", "confidence_floor"},
        {"{\"name\":\"x\",\"version\":1}", "params"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"text\"}}}", "params.a"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"number\",\"min\":2,\"max\":1}"
         "}}",
         "min not above max"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"choice\",\"values\":[]}}}",
         "params.a"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"boolean\"}},\"types\":{\"t\":"
         "{"
         "\"needs\":\"b\"}}}",
         "needs"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"boolean\"}},\"types\":{\"t\":"
         "{}},"
         "\"questions\":{\"suggest\":[\"u\"]}}",
         "questions"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"boolean\"}},\"types\":{\"t\":"
         "{}}," QUESTIONS ",\"rules\":[{\"when\":{\"a\":{\"near\":1}},\"suggest\":null}]}",
         "rules[0]"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"boolean\"}},\"types\":{\"t\":"
         "{}}," QUESTIONS ",\"rules\":[{\"when\":{},\"suggest\":{\"type\":\"t\",\"confidence\":0.1,"
         "\"reasoning\":\"r\"}}]}",
         "low_confidence"},
        {"{\"name\":\"x\",\"version\":1,\"params\":{\"a\":{\"kind\":\"boolean\"}},\"types\":{\"t\":"
         "{}}," QUESTIONS ",\"state\":{\"type\":\"nothing\"}}",
         "state"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = ERR_INIT;
        assert_null(advice_schema_read(strv_of(rows[i].text), &arena, &err));
        if (strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].text, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_the_schedulers, open_all, close_all),
        cmocka_unit_test_setup_teardown(takes_another_optimisers, open_all, close_all),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, open_all, close_all),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
