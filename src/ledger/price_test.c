/* SPDX-License-Identifier: Apache-2.0 */
/* price - lines of a price list, days, and sums to the last micro-dollar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger/price.h"

static struct ledger_price line(const char *text)
{
    struct ledger_price p;
    const char *why;
    if (!ledger_price_parse(strv_of(text), &p, &why))
        fail_msg("%s: %s", text, why);
    return p;
}

static void lines_are_read_strictly(void **state)
{
    (void)state;
    struct ledger_price p = line("in=4 out=20 write=5 write_1h=8 read=0.20 us=1.1");
    assert_int_equal(p.input, 4000000);
    assert_int_equal(p.output, 20000000);
    assert_int_equal(p.write, 5000000);
    assert_int_equal(p.write_1h, 8000000);
    assert_int_equal(p.read, 200000);
    assert_int_equal(p.us_permille, 1100);
    assert_int_equal(p.above, 0);
    assert_int_equal(p.from_day, 0);
    p = line("  from=2026-10-07   above=100000 fast in=0.000001 out=1000  ");
    assert_int_equal(p.from_day, ledger_day_of(2026, 10, 7));
    assert_int_equal(p.above, 100000);
    assert_true(p.fast);
    assert_int_equal(p.input, 1);
    assert_int_equal(p.write, 2); /* 1.25, up */
    assert_int_equal(p.write_1h, 2);
    assert_int_equal(p.read, 1); /* nobody said that it is cheaper */
    assert_int_equal(p.output, LEDGER_PRICE_MAX);
    static const char *const wrong[] = {
        "",
        "in=1",
        "out=1",
        "in=1 out=",
        "in=1 out=1.",
        "in=1 out=.5",
        "in=1 out=-1",
        "in=1 out=1e3",
        "in=1 out=1000.000001",
        "in=1 out=1.0000001",
        "in=1 in=1 out=1",
        "in=1 out=1 price=1",
        "in=1 out=1 above=0",
        "in=1 out=1 above=x",
        "in=1 out=1 from=2026-02-30",
        "in=1 out=1 from=2026-2-3",
        "in=1 out=1 us=0",
        "in=1 out=1 us=1.0001",
        "in=1 out=1 us=10.001",
        "in=1 out=1 fast=1",
        "in out=1",
        "in=1,out=1",
        "in = 1 out = 1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = NULL;
        if (ledger_price_parse(strv_of(wrong[i]), &p, &why))
            fail_msg("taken: %s", wrong[i]);
        assert_non_null(why);
    }
}

static void money_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t micro;
        const char *back;
    } rows[] = {
        {"0", 0, "0.00"},
        {"0.000001", 1, "0.000001"},
        {"12.5", 12500000, "12.50"},
        {"1000", 1000000000, "1000.00"},
        {"0.100000", 100000, "0.10"},
        {"3.141592", 3141592, "3.141592"},
    };
    char text[LEDGER_MONEY_MAX];
    int64_t micro;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(ledger_money_parse(strv_of(rows[i].text), 1000000000, &micro));
        assert_int_equal(micro, rows[i].micro);
        ledger_money_print(micro, text);
        assert_string_equal(text, rows[i].back);
    }
    assert_false(ledger_money_parse(STRV("1000.000001"), 1000000000, &micro));
    assert_false(ledger_money_parse(STRV(""), 1000000000, &micro));
    ledger_money_print(-1250000, text);
    assert_string_equal(text, "-1.25");
    ledger_money_print(INT64_MIN, text);
    assert_string_equal(text, "-9223372036854.775808");
}

static void days_are_those_of_the_calendar(void **state)
{
    (void)state;
    assert_int_equal(ledger_day_of(1970, 1, 1), 0);
    assert_int_equal(ledger_day_of(2026, 11, 23), 20780);
    assert_int_equal(ledger_day_civil(20780), 20261123);
    assert_int_equal(ledger_day(20780 * (int64_t)86400 * 1000000), 20780);
    assert_int_equal(ledger_day(20780 * (int64_t)86400 * 1000000 - 1), 20779);
    assert_int_equal(ledger_day(-5), 0);
    for (int64_t day = 0; day < 60000; day++) {
        int64_t c = ledger_day_civil(day);
        assert_int_equal(ledger_day_of(c / 10000, c / 100 % 100, c % 100), day);
    }
    int64_t day;
    assert_true(ledger_day_parse(STRV("2028-02-29"), &day));
    assert_false(ledger_day_parse(STRV("2026-02-29"), &day));
    assert_false(ledger_day_parse(STRV("2026-13-01"), &day));
    assert_false(ledger_day_parse(STRV("2026-1-011"), &day));
}

/* A list as configuration builds it. */
#define MAX 8
struct price_list {
    struct ledger_price items[MAX][MAX];
    struct ledger_price_row rows[MAX];
    struct ledger_prices prices;
};

static void put(struct price_list *l, const char *name, const char *text)
{
    size_t i = 0;
    while (i < l->prices.n && strcmp(l->rows[i].name, name) != 0)
        i++;
    if (i == l->prices.n) {
        l->rows[i] = (struct ledger_price_row){name, l->items[i], 0};
        l->prices.n++;
    }
    l->items[i][l->rows[i].n++] = line(text);
    l->prices.rows = l->rows;
}

static int64_t cost(const struct price_list *l, const char *model, int64_t input, int64_t output)
{
    struct ledger_sale sale = {.provider = "anthropic",
                               .model = strv_of(model),
                               .day = ledger_day_of(2026, 11, 23),
                               .usage = LLM_USAGE_NONE};
    sale.usage.input = input;
    sale.usage.output = output;
    return ledger_price_cost(&l->prices, &sale);
}

static void tokens_cost_what_the_list_says(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "opus", "in=4 out=20 write=5 write_1h=8 read=0.20 us=1.1");
    put(&l, "opus", "fast in=8 out=40");
    assert_int_equal(cost(&l, "opus", 1000000, 1000000), 24000000);
    assert_int_equal(cost(&l, "opus", 1, 0), 4);
    assert_int_equal(cost(&l, "opus", 0, 0), 0);
    assert_int_equal(cost(&l, "opus", -1, -1), 0);
    struct ledger_sale sale = {
        .provider = "anthropic", .model = STRV("opus"), .day = 20000, .usage = LLM_USAGE_NONE};
    /* 1000 plain, 200 read, 300 written, 100 of them for an hour, 50 out */
    sale.usage.input = 1500;
    sale.usage.cached = 200;
    sale.usage.cache_write = 300;
    sale.usage.cache_write_1h = 100;
    sale.usage.output = 50;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 4000 + 40 + 1000 + 800 + 1000);
    sale.us = true;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 7524);
    sale.us = false;
    sale.fast =
        true; /* of its prompt cache nothing is told: read at 8, write at 10, write_1h at 16 */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 8000 + 1600 + 2000 + 1600 + 2000);
    sale.fast = false;
    /* figures that do not fit together never make anything negative */
    sale.usage.input = 10;
    sale.usage.cache_write_1h = 5000;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 40 + 2400 + 1000);
}

static void sums_are_rounded_up_once(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "m", "in=0.10 out=0.30 us=1.1");
    assert_int_equal(cost(&l, "m", 1, 0), 1);  /* 0.1 */
    assert_int_equal(cost(&l, "m", 10, 0), 1); /* 1.0 */
    assert_int_equal(cost(&l, "m", 11, 0), 2); /* 1.1 */
    assert_int_equal(cost(&l, "m", 3, 1), 1);  /* 0.3 + 0.3 */
    assert_int_equal(cost(&l, "m", 4, 2), 1);  /* 0.4 + 0.6 */
    struct ledger_sale sale = {.model = STRV("m"), .us = true, .usage = LLM_USAGE_NONE};
    sale.usage.input = 10; /* 1.1, not 1 * 1.1 of what was rounded before */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 2);
    sale.usage.input = 100;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 11);
}

static void the_largest_figures_do_not_overflow(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "m", "in=1000 out=1000 write=1000 write_1h=1000 read=1000 us=10");
    struct ledger_sale sale = {.model = STRV("m"), .us = true, .usage = LLM_USAGE_NONE};
    sale.usage.input = sale.usage.output = sale.usage.cached = INT64_MAX;
    sale.usage.cache_write = sale.usage.cache_write_1h = INT64_MAX;
    /* a billion each of read, write and out at a thousand dollars a million, ten times */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), (int64_t)30000000 * 1000000);
}

static void a_long_prompt_has_its_own_price(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "haiku", "above=100000 in=0.50 out=2.50");
    put(&l, "haiku", "in=0.10 out=0.50");
    put(&l, "haiku", "above=500000 in=1 out=5");
    assert_int_equal(cost(&l, "haiku", 100000, 1000), 10000 + 500);
    assert_int_equal(cost(&l, "haiku", 100001, 1000), 50001 + 2500); /* 50000.5 + 2500, up */
    assert_int_equal(cost(&l, "haiku", 500001, 0), 500001);
}

static void prices_begin_on_their_day(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "s", "from=2026-10-07 in=2 out=10 read=0.10");
    put(&l, "s", "in=2 out=10 read=0.20");
    put(&l, "future", "from=2030-01-01 in=7 out=7");
    put(&l, "future", "from=2040-01-01 in=9 out=9");
    struct ledger_sale sale = {.model = STRV("s"), .usage = LLM_USAGE_NONE};
    sale.usage.input = sale.usage.cached = 1000000;
    sale.day = ledger_day_of(2026, 10, 6);
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 200000);
    sale.day++;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 100000);
    sale.model = STRV("future"); /* the first that will be is nearer than none */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 7000000);
}

static void the_best_name_wins(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "claude-*", "in=1 out=1");
    put(&l, "claude-opus-*", "in=2 out=2");
    put(&l, "claude-opus-5", "in=3 out=3");
    put(&l, "anthropic/claude-*", "in=4 out=4");
    put(&l, "vendor/claude-opus-5", "in=5 out=5");
    assert_int_equal(cost(&l, "claude-opus-5", 1, 0), 4); /* its provider is named */
    struct ledger_sale sale = {
        .provider = "other", .model = STRV("claude-opus-5"), .usage = LLM_USAGE_NONE};
    sale.usage.input = 1;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 3);
    sale.model = STRV("claude-opus-6");
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 2);
    sale.model = STRV("claude-x");
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 1);
    sale.model = STRV("vendor/claude-opus-5"); /* the slash is the model's own */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 5);
}

static void what_nobody_priced_costs_the_most(void **state)
{
    (void)state;
    struct price_list l = {0};
    assert_int_equal(cost(&l, "anything", 1000, 1000), 0); /* no list at all */
    put(&l, "talker", "in=1 out=100");
    put(&l, "reader", "in=50 out=1");
    put(&l, "reader", "fast in=60 out=1");
    assert_int_equal(cost(&l, "anything", 1000, 10), 60010);
    assert_int_equal(cost(&l, "anything", 10, 1000), 100010);
    struct ledger_sale sale = {.provider = "p", .model = STRV("talker"), .usage = LLM_USAGE_NONE};
    sale.usage.input = 1000;
    sale.fast = true; /* of this service there is no price for it */
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 60000);
}

static void what_is_local_is_free_unless_its_provider_has_a_price(void **state)
{
    (void)state;
    struct price_list l = {0};
    put(&l, "llama", "in=1 out=1");
    put(&l, "*", "in=2 out=2");
    struct ledger_sale sale = {
        .provider = "ollama", .model = STRV("llama"), .local = true, .usage = LLM_USAGE_NONE};
    sale.usage.input = 7;
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 0);
    put(&l, "ollama/*", "in=3 out=3");
    assert_int_equal(ledger_price_cost(&l.prices, &sale), 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_strictly),
        cmocka_unit_test(money_is_exact),
        cmocka_unit_test(days_are_those_of_the_calendar),
        cmocka_unit_test(tokens_cost_what_the_list_says),
        cmocka_unit_test(sums_are_rounded_up_once),
        cmocka_unit_test(the_largest_figures_do_not_overflow),
        cmocka_unit_test(a_long_prompt_has_its_own_price),
        cmocka_unit_test(prices_begin_on_their_day),
        cmocka_unit_test(the_best_name_wins),
        cmocka_unit_test(what_nobody_priced_costs_the_most),
        cmocka_unit_test(what_is_local_is_free_unless_its_provider_has_a_price),
    };
    return cmocka_run_group_tests_name("price", tests, NULL, NULL);
}
