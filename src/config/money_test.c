/* SPDX-License-Identifier: Apache-2.0 */
/* money - the shipped price list and the file's own, budgets, the model that is compared with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/testing.h"

#define ENV(...)                                                                                   \
    (const char *const[])                                                                          \
    {                                                                                              \
        "HOME=/home/u", __VA_ARGS__, NULL                                                          \
    }
#define CLOUD                                                                                      \
    "providers:\n"                                                                                 \
    "  near: { kind: ollama, url: \"http://127.0.0.1:11434\" }\n"                                  \
    "  far: { kind: anthropic, url: \"https://api.example.com\", zone: cloud, key_env: K"

static int64_t cost(const struct config *c, const char *provider, const char *model, int64_t input,
                    int64_t output, int64_t cached, int64_t day)
{
    struct ledger_sale sale = {
        .provider = provider, .model = strv_of(model), .day = day, .usage = LLM_USAGE_NONE};
    sale.usage.input = input;
    sale.usage.output = output;
    sale.usage.cached = cached;
    return ledger_price_cost(&c->snapshot->ledger.prices, &sale);
}

/* Every figure of the list once, for a million tokens. */
static void the_shipped_list_is_that_of_its_day(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int64_t input, output, cached;
    } rows[] = {
        {"claude-fable-5-2", 8000000, 40000000, 8000000},
        {"claude-fable-5-1", 10000000, 50000000, 250000},
        {"claude-mythos-5-1", 10000000, 50000000, 250000},
        {"claude-fable-5", 10000000, 50000000, 1000000},
        {"claude-mythos-5", 10000000, 50000000, 1000000},
        {"claude-opus-5-5", 4000000, 20000000, 200000},
        {"claude-opus-5", 5000000, 25000000, 500000},
        {"claude-opus-4-8", 5000000, 25000000, 500000},
        {"claude-opus-4-5-20251101", 5000000, 25000000, 500000},
        {"claude-sonnet-5-5", 2000000, 10000000, 100000},
        {"claude-sonnet-5", 2000000, 10000000, 200000},
        {"claude-sonnet-4-6", 3000000, 15000000, 300000},
        {"claude-sonnet-4-5-20250929", 3000000, 15000000, 300000},
        {"claude-haiku-5-5", 500000, 500000, 50000}, /* the prompt is long, the answer's is none */
        {"claude-haiku-4-5", 1000000, 5000000, 100000},
        {"claude-unheard-of", 10000000, 50000000, 10000000}, /* the dearest each time */
    };
    struct config *c = testing_good(CLOUD " }\n", ENV("K=sk"), NULL);
    int64_t day = ledger_day_of(2026, 11, 22);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *m = rows[i].model;
        assert_int_equal(cost(c, "far", m, 1000000, 0, 0, day), rows[i].input);
        assert_int_equal(cost(c, "far", m, 0, 1000000, 0, day), rows[i].output);
        if (i != 15)
            assert_int_equal(cost(c, "far", m, 1000000, 0, 1000000, day), rows[i].cached);
    }
    assert_int_equal(cost(c, "far", "claude-haiku-5-5", 100000, 1000, 0, day), 10500);
    assert_int_equal(
        cost(c, "far", "claude-sonnet-5-5", 1000000, 0, 1000000, ledger_day_of(2026, 10, 6)),
        200000);
    config_free(c);
}

static void the_file_has_the_last_word_on_prices(void **state)
{
    (void)state;
    struct config *c = testing_good(CLOUD " }\n"
                                          "prices:\n"
                                          "  claude-opus-5-5: in=1 out=2\n"
                                          "  \"far/gpt-*\": [ in=3 out=4, above=10 in=6 out=8 ]\n",
                                    ENV("K=sk"), NULL);
    assert_int_equal(cost(c, "far", "claude-opus-5-5", 10, 0, 0, 20000), 10);
    assert_int_equal(cost(c, "far", "gpt-x", 10, 1, 0, 20000), 34);
    assert_int_equal(cost(c, "far", "gpt-x", 11, 1, 0, 20000), 74);
    assert_int_equal(cost(c, "far", "claude-opus-5", 10, 0, 0, 20000), 50); /* still shipped */
    config_free(c);
    c = testing_good(CLOUD " }\nshipped_prices: false\nbudget: { day: 5 }\n", ENV("K=sk"), NULL);
    assert_int_equal(c->snapshot->ledger.prices.n, 0);
    testing_warns(c, "there is a budget but no prices: nothing costs anything");
    config_free(c);
    testing_bad("prices: { m: in=1 }", NULL, NULL,
                "file:1:14: prices.m: expected in= and out= in dollars, such as in=2 out=10 "
                "read=0.20 from=2026-10-07, not \"in=1\"");
}

static void the_reference_is_the_clouds_default(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *reference, *row;
    } rows[] = {
        {CLOUD ", default_model: claude-opus-5 }\n", "claude-opus-5", "claude-opus-5"},
        {CLOUD " }\nroles: { general: [ near/x, far/claude-haiku-5-5 ] }\n", "claude-haiku-5-5",
         "claude-haiku-5-5"},
        {"", "claude-sonnet-5-5", "claude-sonnet-5-5"},
        {CLOUD " }\nledger: { reference: far/gpt }\nprices: { far/gpt: in=1 out=1, gpt: in=2 "
               "out=2 }\n",
         "far/gpt", "far/gpt"},
        {"ledger: { reference: unheard-of }\n", "unheard-of", NULL},
        {"ledger: { reference: none }\n", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *c = testing_good(rows[i].yaml, ENV("K=sk"), NULL);
        const struct ledger_conf *l = &c->snapshot->ledger;
        if (rows[i].reference == NULL)
            assert_null(l->reference);
        else
            assert_string_equal(l->reference, rows[i].reference);
        if (rows[i].row == NULL)
            assert_null(l->reference_row);
        else
            assert_string_equal(l->reference_row->name, rows[i].row);
        config_free(c);
    }
}

static void budgets_come_from_file_and_environment(void **state)
{
    (void)state;
    struct config *c = testing_good("budget: { day: 12.50, month: 100, warn: 0.75, critical: 90%, "
                                    "priority: [ k_1, \"night shift\" ] }\n",
                                    NULL, NULL);
    const struct ledger_budget_conf *b = &c->snapshot->ledger.budget;
    assert_true(b->on && b->hard_stop);
    assert_int_equal(b->limits.day_micro, 12500000);
    assert_int_equal(b->limits.month_micro, 100000000);
    assert_int_equal(b->warn_percent, 75);
    assert_int_equal(b->critical_percent, 90);
    assert_string_equal(b->priority[1], "night shift");
    config_free(c);
    c = testing_good(NULL,
                     ENV("AI_BUDGET_DAILY_LIMIT_USD=50", "AI_BUDGET_MONTHLY_LIMIT_USD=1000",
                         "AI_BUDGET_WARNING_THRESHOLD=0.80", "AI_BUDGET_CRITICAL_THRESHOLD=0.95",
                         "AI_BUDGET_HARD_STOP=false", "AI_BUDGET_ENABLED=yes",
                         "AI_BUDGET_PRIORITY_TASKS=explanation, multi_step"),
                     NULL);
    b = &c->snapshot->ledger.budget;
    assert_int_equal(b->limits.day_micro, 50000000);
    assert_int_equal(b->limits.month_micro, 1000000000);
    assert_int_equal(b->warn_percent, 80);
    assert_int_equal(b->critical_percent, 95);
    assert_false(b->hard_stop);
    assert_string_equal(b->priority[0], "explanation");
    config_free(c);
    static const char *const wrong[] = {"day: -1", "day: 1.0000001", "day: \"$5\"", "warn: 80",
                                        "warn: 0", "warn: 101%",     "warn: 0.5%"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char yaml[64];
        struct err err;
        snprintf(yaml, sizeof yaml, "budget: { %s }", wrong[i]);
        if (testing_load(yaml, NULL, NULL, &err) != NULL)
            fail_msg("taken: %s", yaml);
    }
}

/* What `check` prints holds every price and can be read again. */
static void what_is_printed_is_the_same_list(void **state)
{
    (void)state;
    struct buf out;
    struct config *c = testing_good("prices: { \"m*\": in=1 out=1 }\n", NULL, NULL);
    buf_init(&out, (size_t)1 << 20);
    assert_true(config_print(c, &out));
    buf_put_char(&out, '\0');
    assert_non_null(strstr(buf_view(&out).ptr, "# shipped price list of 2026-11-22"));
    struct config *again = testing_good(buf_view(&out).ptr, NULL, NULL);
    assert_int_equal(again->snapshot->ledger.prices.n, c->snapshot->ledger.prices.n);
    config_free(again);
    config_free(c);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_list_is_that_of_its_day),
        cmocka_unit_test(the_file_has_the_last_word_on_prices),
        cmocka_unit_test(the_reference_is_the_clouds_default),
        cmocka_unit_test(budgets_come_from_file_and_environment),
        cmocka_unit_test(what_is_printed_is_the_same_list),
    };
    int failed = cmocka_run_group_tests_name("money", tests, NULL, NULL);
    provider_cells_free();
    return failed;
}
