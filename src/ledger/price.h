/* SPDX-License-Identifier: Apache-2.0 */
/*
 * price - what tokens cost: a list of prices, and the sum for one answer.
 *
 *   claude-haiku-5-5:  in=0.10 out=0.50 read=0.01
 *                      above=100000 in=0.50 out=2.50 read=0.05      the whole request, if its prompt is longer
 *   claude-sonnet-5-5: in=2 out=10 read=0.20
 *                      from=2026-10-07 in=2 out=10 read=0.10        from that day on (UTC)
 *
 * A line is read once, at configuration. Money is a whole number of micro-dollars, prices are micro-dollars per
 * million tokens; a sum is rounded up once, at its end, to the next micro-dollar. No floating point anywhere: the
 * same tokens cost the same on every machine.
 *
 * What nobody priced is not free: a model of zone cloud without a price costs what the dearest of the list would
 * have cost. A model of zone local costs nothing, unless a price names its provider.
 */
#ifndef LEDGER_PRICE_H
#define LEDGER_PRICE_H

#include "base/base.h"
#include "llm/llm.h"

#define LEDGER_PRICE_MAX  ((int64_t)1000000000) /* $1000 for a million tokens */
#define LEDGER_TOKENS_MAX ((int64_t)1000000000) /* more in one answer is counted as so many */

/* One line. Days count from 1970. */
struct ledger_price {
    int64_t from_day; /* 0 = always */
    int64_t above;    /* tokens of the prompt, cached ones included; 0 = any */
    bool fast;        /* for requests that ask for the vendor's faster service */
    int64_t input, output, write, write_1h, read; /* micro-dollars per million tokens */
    int64_t us_permille; /* for requests that must be computed in the vendor's own country */
};
struct
    ledger_price_row { /* a model's name or pattern, perhaps with its provider: "anthropic/claude-*" */
    const char *name;
    struct ledger_price *items;
    size_t n;
};
struct ledger_prices {
    struct ledger_price_row *rows;
    size_t n;
};

/* False, with `why` where it is no such line: an unknown word, a word twice, no in or out, not a number of at most
 * six decimals. What is not told is assumed as dear as anybody sells it: write 1.25 x in, write_1h 2 x in,
 * read = in. */
bool ledger_price_parse(strv line, struct ledger_price *out, const char **why);
/* "12.50" in micro-dollars, exactly; false above `max` or with more than six decimals. */
bool ledger_money_parse(strv text, int64_t max, int64_t *micro);
/* "12.50", at least two decimals, no more than needed. */
#define LEDGER_MONEY_MAX 32
void ledger_money_print(int64_t micro, char out[LEDGER_MONEY_MAX]);

struct ledger_sale {
    const char *provider;
    strv model;
    bool local; /* zone */
    bool fast, us;
    int64_t day;
    struct llm_usage usage; /* -1 = none */
};
/* Names with their provider before those without, exact names before patterns, longer patterns before shorter ones.
 * NULL: nobody priced it. */
const struct ledger_price_row *ledger_price_find(const struct ledger_prices *prices,
                                                 const char *provider, strv model);
/* Micro-dollars. */
int64_t ledger_price_cost(const struct ledger_prices *prices, const struct ledger_sale *sale);
/* The same by a row that was found before, NULL = nobody priced it; the sale's names and zone do not matter. */
int64_t ledger_price_cost_by(const struct ledger_prices *prices, const struct ledger_price_row *row,
                             const struct ledger_sale *sale);

/* Days since 1970 of a wall time, and back: year * 10000 + month * 100 + day. */
int64_t ledger_day(int64_t wall_us);
int64_t ledger_day_civil(int64_t day);
int64_t ledger_day_of(int64_t year, int64_t month, int64_t day);
/* "2026-11-23" to days since 1970; false if there is no such day. */
bool ledger_day_parse(strv text, int64_t *out);

#endif
