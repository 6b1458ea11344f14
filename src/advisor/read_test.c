/* SPDX-License-Identifier: Apache-2.0 */
/* read: the list of replies with their verdicts; where the object is found; what random replies can never do. */
#include "advisor/testing.h"

/* ---- the list ---- */

static strv load(const char *path)
{
    struct buf b;
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    buf_init(&b, 1 << 20);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(&b, piece, n);
    fclose(f);
    strv text = arena_strv(&arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

static strv reply_of(yyjson_val *row)
{
    yyjson_val *rule = json_get(row, "reply_rule");
    struct buf b;
    if (rule == NULL)
        return json_get_str(row, "reply");
    buf_init(&b, 1 << 20);
    buf_put_strv(&b, json_get_str(rule, "prefix"));
    for (int64_t i = 0; i < yyjson_get_int(yyjson_arr_get(json_get(rule, "repeat"), 1)); i++)
        buf_put_strv(&b, json_str(yyjson_arr_get(json_get(rule, "repeat"), 0)));
    buf_put_strv(&b, json_get_str(rule, "suffix"));
    strv text = arena_strv(&arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

static void judges_the_list(void **state)
{
    char path[4096];
    size_t i, max, accepted = 0;
    yyjson_val *row;
    (void)state;
    snprintf(path, sizeof path, "%s/advice/replies.json", getenv("TEST_DATA"));
    yyjson_val *rows = json_get(parse(load(path)), "cases");
    assert_int_equal(yyjson_arr_size(rows), 49);
    yyjson_arr_foreach(rows, i, max, row)
    {
        yyjson_val *want = json_get(row, "want");
        struct advice a = judge(reply_of(row), NULL);
        const char *id = yyjson_get_str(json_get(row, "id"));
        if (!strv_eq(json_get_str(want, "reason"), strv_of(a.reason)) ||
            a.accepted != yyjson_get_bool(json_get(want, "accepted")))
            fail_msg("%s: %s", id, a.reason);
        if (a.accepted && !yyjson_equals(parse(a.delta), json_get(want, "delta")))
            fail_msg("%s: " STRV_FMT, id, STRV_ARG(a.delta));
        accepted += a.accepted;
    }
    assert_int_equal(accepted, 17);
}

/* ---- where it is ---- */

#define GOOD "{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"r\"}"
#define CHANGE                                                                                     \
    "{\"type\":\"algorithm_switch\",\"confidence\":1,\"reasoning\":\"r\",\"params\":{"             \
    "\"algorithm\":"                                                                               \
    "\"pulp\"}}"

static void finds_the_object(void **state)
{
    static const struct {
        const char *reply, *reason;
    } rows[] = {
        {"<think>{\"type\":\"reboot\"}</think>" GOOD, "ok"},
        {"<think>" GOOD, "no_json"},
        {"```\n" GOOD "\n```", "ok"},
        {"~~ ```json\n" GOOD "\n``` and so on", "ok"},
        {"{{" GOOD, "ok"},
        {"a \" b {x} { \n" GOOD, "ok"},
        {"first {\"note\":1} then " GOOD, "ok"},
        {"only {\"note\":1} here", "missing_type"},
        {"only {} here", "missing_type"},
        {"{\"a\":1,} " GOOD, "ok"},
        {"{\"outer\":" CHANGE ",\"cut", "bad_json"},
        {"x {\"outer\":" CHANGE "}", "missing_type"},
        {"null", "not_object"},
        {"\"{}\"", "not_object"},
        {"  ", "no_json"},
        {"}{", "bad_json"},
        {"{\"type\":\"explanation\",\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"r\"}",
         "bad_json"},
        {"{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"r\",\"analysis\":{\"a\":{"
         "\"b\":1,"
         "\"b\":2}}}",
         "bad_json"},
        {"{\"type\":\"explanation\",\"confidence\":1e999,\"reasoning\":\"r\"}", "bad_json"},
        {"{\"type\":\"explanation\",\"confidence\":-Infinity,\"reasoning\":\"r\"}", "bad_json"},
        {"{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"r\",}", "bad_json"},
        {"{\"type\":\"explanation\",\"confidence\":1,\"reasoning\":\"\xff\"}", "bad_json"},
        {"{\"type\":null,\"confidence\":1,\"reasoning\":\"r\"}", "missing_type"},
        {"{\"type\":5,\"confidence\":1,\"reasoning\":\"r\"}", "unknown_type"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct advice a = judge(strv_of(rows[i].reply), NULL);
        if (strcmp(a.reason, rows[i].reason) != 0)
            fail_msg("%s: %s", rows[i].reply, a.reason);
    }
}

static void refuses_what_is_too_deep(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 10000; i++)
        buf_put_cstr(&b, "{\"a\":");
    assert_string_equal(judge(buf_view(&b), NULL).reason, "bad_json");
    buf_clear(&b);
    for (int i = 0; i < 5000; i++)
        buf_put_cstr(&b, "{\"a\":");
    buf_put_cstr(&b, "1");
    for (int i = 0; i < 5000; i++)
        buf_put_cstr(&b, "}");
    assert_string_equal(judge(buf_view(&b), NULL).reason, "bad_json");
    buf_clear(&b);
    for (int i = 0; i < 30000; i++)
        buf_put_cstr(&b, "{ ");
    assert_string_equal(judge(buf_view(&b), NULL).reason, "bad_json");
    buf_fini(&b);
}

/* ---- random ---- */

static struct rng rng;

static const char *any(const char *const *words, size_t n)
{
    return words[rng_below(&rng, n)];
}

static void put_random(struct buf *b)
{
    static const char *const before[] = {"",      "Here: ", "```json\n", "{x} ", "<think>{</think>",
                                         "\"q {", "[",      "{\"a\":1}", "\n\n"};
    static const char *const after[] = {"", "\n```", " Bye {", "}", "]", ",", "{\"type\":1}"};
    static const char *const types[] = {"\"parameter_change\"",
                                        "\"algorithm_switch\"",
                                        "\"constraint_weight\"",
                                        "\"strategy_change\"",
                                        "\"explanation\"",
                                        "\"x\"",
                                        "null",
                                        "7",
                                        "\"type\""};
    static const char *const numbers[] = {"0.3",      "1",    "0",      "-1",  "600",
                                          "600.0001", "9.99", "10",     "NaN", "1e400",
                                          "\"1\"",    "true", "1e-400", "2"};
    static const char *const keys[] = {"\"algorithm\":\"cp_sat\"",
                                       "\"algorithm\":\"CP\"",
                                       "\"max_restarts\":3",
                                       "\"constraint_weights\":{}",
                                       "\"constraint_weights\":{\"resilience\":1}",
                                       "\"constraint_weights\":{\"resilience\":3}",
                                       "\"__proto__\":{}",
                                       "\"algorithm\":null"};
    buf_put_cstr(b, any(before, COUNT(before)));
    buf_printf(b, "{\"type\":%s,\"confidence\":%s,\"reasoning\":\"%s\"", any(types, COUNT(types)),
               any(numbers, COUNT(numbers)), rng_below(&rng, 9) ? "r {\\\"}" : " ");
    buf_put_cstr(b, ",\"params\":{");
    for (uint64_t i = rng_below(&rng, 4); i > 0; i--) {
        if (rng_below(&rng, 2) > 0)
            buf_put_cstr(b, any(keys, COUNT(keys)));
        else
            buf_printf(b, "\"%s\":%s",
                       rng_below(&rng, 2) ? "timeout_seconds" : "diversification_factor",
                       any(numbers, COUNT(numbers)));
        buf_put_cstr(b, i > 1 ? "," : "");
    }
    buf_put_cstr(b, rng_below(&rng, 8) ? "}}" : "}");
    buf_put_cstr(b, any(after, COUNT(after)));
}

static void within(yyjson_val *params, const char *key, double min, double max)
{
    double v;
    yyjson_val *member = yyjson_obj_get(params, key);
    if (member != NULL) {
        assert_true(yyjson_is_num(member));
        v = yyjson_get_num(member);
        assert_true(v >= min && v <= max);
    }
}

/* Written anew, without the schema: what gets through is within the contract's bounds, whatever was said. */
static void check_contract(const struct advice *a)
{
    size_t i, max;
    yyjson_val *key, *v, *params = parse(a->delta);
    yyjson_obj_foreach(params, i, max, key, v)
    {
        const char *name = yyjson_get_str(key);
        assert_true(strcmp(name, "algorithm") == 0 || strcmp(name, "timeout_seconds") == 0 ||
                    strcmp(name, "diversification_factor") == 0 ||
                    strcmp(name, "constraint_weights") == 0);
    }
    within(params, "timeout_seconds", 10, 600);
    within(params, "diversification_factor", 0, 1);
    within(yyjson_obj_get(params, "constraint_weights"), "resilience", 0, 2);
    assert_true(a->confidence >= 0.3 && a->confidence <= 1);
    assert_true(strv_trim(a->reasoning).len > 0);
}

static void keeps_random_replies_within_bounds(void **state)
{
    size_t accepted = 0;
    (void)state;
    rng_seed(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        put_random(&b);
        strv reply = buf_view(&b);
        struct advice a = judge(reply, NULL);
        if (a.accepted)
            check_contract(&a);
        accepted += a.accepted;
        for (int k = 0; k < 2; k++) /* cut anywhere */
            (void)judge((strv){reply.ptr, rng_below(&rng, reply.len)}, NULL);
        buf_fini(&b);
        if (i % 1000 == 0) {
            close_all(NULL);
            open_all(NULL);
        }
    }
    assert_true(accepted > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(judges_the_list, open_all, close_all),
        cmocka_unit_test_setup_teardown(finds_the_object, open_all, close_all),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_deep, open_all, close_all),
        cmocka_unit_test_setup_teardown(keeps_random_replies_within_bounds, open_all, close_all),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
