/* SPDX-License-Identifier: Apache-2.0 */
/* price - reading lines of a price list, and sums. */
#include "ledger/price.h"

#include <stdio.h>

#define MICRO 1000000

/* ---- money ---- */

bool ledger_money_parse(strv text, int64_t max, int64_t *micro)
{
    strv rest = text, whole;
    uint64_t dollars, parts = 0;
    if (!strv_cut(&rest, '.', &whole) || !strv_u64(whole, 0, (uint64_t)max / MICRO, &dollars))
        return false;
    if (rest.ptr != NULL) {
        if (rest.len < 1 || rest.len > 6 || !strv_u64(rest, 0, MICRO - 1, &parts))
            return false;
        for (size_t i = rest.len; i < 6; i++)
            parts *= 10;
    }
    *micro = (int64_t)(dollars * MICRO + parts);
    return *micro <= max;
}

void ledger_money_print(int64_t micro, char out[LEDGER_MONEY_MAX])
{
    uint64_t n = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
    int len = snprintf(out, LEDGER_MONEY_MAX, "%s%llu.%06llu", micro < 0 ? "-" : "",
                       (unsigned long long)(n / MICRO), (unsigned long long)(n % MICRO));
    for (int cut = 0; cut < 4 && out[len - 1] == '0'; cut++)
        out[--len] = '\0';
}

/* ---- days: the calendar that begins its years in March (Howard Hinnant) ---- */

int64_t ledger_day(int64_t wall_us)
{
    return wall_us > 0 ? wall_us / ((int64_t)86400 * MICRO) : 0;
}

int64_t ledger_day_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468;
}

int64_t ledger_day_civil(int64_t day)
{
    int64_t z = day + 719468, era = z / 146097, in_era = z % 146097;
    int64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * in_year + 2) / 153, d = in_year - (153 * m + 2) / 5 + 1;
    int64_t month = m < 10 ? m + 3 : m - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2);
    return year * 10000 + month * 100 + d;
}

bool ledger_day_parse(strv text, int64_t *out)
{
    uint64_t year, month, day;
    if (text.len != 10 || text.ptr[4] != '-' || text.ptr[7] != '-' ||
        !strv_u64((strv){text.ptr, 4}, 1970, 9999, &year) ||
        !strv_u64((strv){text.ptr + 5, 2}, 1, 12, &month) ||
        !strv_u64((strv){text.ptr + 8, 2}, 1, 31, &day))
        return false;
    *out = ledger_day_of((int64_t)year, (int64_t)month, (int64_t)day);
    return ledger_day_civil(*out) == (int64_t)(year * 10000 + month * 100 + day);
}

/* ---- lines ---- */

enum word { IN, OUT, WRITE, WRITE_1H, READ, ABOVE, FROM, US, FAST, WORDS };
static const char *const word_names[WORDS] = {"in",    "out",  "write", "write_1h", "read",
                                              "above", "from", "us",    "fast"};

/* "1.1" as thousandths. */
static bool parse_factor(strv text, int64_t *permille)
{
    int64_t micro;
    if (!ledger_money_parse(text, (int64_t)10 * MICRO, &micro) || micro % 1000 != 0 || micro == 0)
        return false;
    *permille = micro / 1000;
    return true;
}

static bool take_word(struct ledger_price *p, enum word which, strv value)
{
    int64_t *const prices[] = {
        [IN] = &p->input,          [OUT] = &p->output, [WRITE] = &p->write,
        [WRITE_1H] = &p->write_1h, [READ] = &p->read,
    };
    uint64_t tokens;
    switch (which) {
    case ABOVE:
        if (!strv_u64(value, 1, (uint64_t)LEDGER_TOKENS_MAX, &tokens))
            return false;
        p->above = (int64_t)tokens;
        return true;
    case FROM:
        return ledger_day_parse(value, &p->from_day);
    case US:
        return parse_factor(value, &p->us_permille);
    case FAST:
        p->fast = true;
        return value.ptr == NULL;
    default:
        return ledger_money_parse(value, LEDGER_PRICE_MAX, prices[which]);
    }
}

static void fill_in(struct ledger_price *p, unsigned seen)
{
    if ((seen & 1u << WRITE) == 0)
        p->write = (p->input * 5 + 3) / 4;
    if ((seen & 1u << WRITE_1H) == 0)
        p->write_1h = p->input * 2;
    if ((seen & 1u << READ) == 0)
        p->read = p->input;
}

bool ledger_price_parse(strv line, struct ledger_price *out, const char **why)
{
    strv rest = strv_trim(line), item, name;
    unsigned seen = 0;
    *out = (struct ledger_price){.us_permille = 1000};
    while (strv_cut(&rest, ' ', &item)) {
        size_t w = 0;
        if (item.len == 0)
            continue;
        strv value = item;
        strv_cut(&value, '=', &name);
        while (w < WORDS && !strv_eq_cstr(name, word_names[w]))
            w++;
        *why = w == WORDS ? "there is no such word" : "a word stands there twice";
        if (w == WORDS || (seen & 1u << w) != 0)
            return false;
        seen |= 1u << w;
        *why = "a number is wrong: dollars with at most six decimals, a day as 2026-10-07";
        if (!take_word(out, (enum word)w, value))
            return false;
    }
    fill_in(out, seen);
    *why = "in= and out= are needed";
    return (seen & (1u << IN | 1u << OUT)) == (1u << IN | 1u << OUT);
}

/* ---- looking up ---- */

static bool names_provider(const struct ledger_price_row *row, strv provider)
{
    return provider.len > 0 && strncmp(row->name, provider.ptr, provider.len) == 0 &&
           row->name[provider.len] == '/';
}

/* How well the row's name fits: 0 = not at all. A slash that follows no provider's name is part of a model's. */
static size_t fit(const struct ledger_price_row *row, strv provider, strv model)
{
    bool named = names_provider(row, provider);
    strv name = strv_of(row->name + (named ? provider.len + 1 : 0));
    size_t score = named ? 2000001 : 1;
    if (strv_eq(name, model))
        return score + 1000000;
    bool pattern = memchr(name.ptr, '*', name.len) != NULL;
    return pattern && strv_glob(name, model) ? score + name.len : 0;
}

static const struct ledger_price_row *find(const struct ledger_prices *prices, const char *provider,
                                           strv model, bool only_named)
{
    const struct ledger_price_row *best = NULL;
    strv p = provider != NULL ? strv_of(provider) : STRV("");
    size_t best_fit = 0;
    for (size_t i = 0; i < prices->n; i++) {
        const struct ledger_price_row *row = &prices->rows[i];
        size_t f = only_named && !names_provider(row, p) ? 0 : fit(row, p, model);
        if (f > best_fit) {
            best = row;
            best_fit = f;
        }
    }
    return best;
}

const struct ledger_price_row *ledger_price_find(const struct ledger_prices *prices,
                                                 const char *provider, strv model)
{
    return find(prices, provider, model, false);
}

/* ---- sums ---- */

static int64_t tokens(int64_t n)
{
    return n < 0 ? 0 : n > LEDGER_TOKENS_MAX ? LEDGER_TOKENS_MAX : n;
}

/* The line that holds for the sale: of its kind of service, of the newest day that has come (else the oldest line
 * there is), of the highest threshold that the prompt is above. NULL: none for this kind of service. */
static const struct ledger_price *line_of(const struct ledger_price_row *row,
                                          const struct ledger_sale *sale)
{
    int64_t prompt = tokens(sale->usage.input), day = -1, oldest = INT64_MAX;
    const struct ledger_price *best = NULL;
    for (size_t i = 0; i < row->n; i++) {
        const struct ledger_price *p = &row->items[i];
        if (p->fast != sale->fast)
            continue;
        if (p->from_day <= sale->day && p->from_day > day)
            day = p->from_day;
        if (p->from_day < oldest)
            oldest = p->from_day;
    }
    for (size_t i = 0; i < row->n; i++) {
        const struct ledger_price *p = &row->items[i];
        bool holds = p->fast == sale->fast && p->from_day == (day >= 0 ? day : oldest) &&
                     (p->above == 0 || prompt > p->above);
        if (holds && (best == NULL || p->above >= best->above))
            best = p;
    }
    return best;
}

static int64_t cost_by(const struct ledger_price *p, const struct ledger_sale *sale)
{
    const struct llm_usage *u = &sale->usage;
    int64_t read = tokens(u->cached), write = tokens(u->cache_write);
    int64_t write_1h = tokens(u->cache_write_1h), plain = tokens(u->input);
    if (write_1h > write)
        write_1h = write;
    plain = plain > read + write ? plain - read - write : 0;
    /* Each product is below 1e18 and the prompt's parts are at most three of them: no overflow. */
    int64_t sum = plain * p->input + read * p->read + (write - write_1h) * p->write +
                  write_1h * p->write_1h + tokens(u->output) * p->output;
    int64_t permille = sale->us ? p->us_permille : 1000;
    const int64_t unit = (int64_t)MICRO * 1000;
    return sum / unit * permille + (sum % unit * permille + unit - 1) / unit;
}

static int64_t dearest(const struct ledger_prices *prices, const struct ledger_sale *sale)
{
    struct ledger_sale any = *sale;
    int64_t most = 0;
    for (size_t i = 0; i < prices->n; i++)
        for (int fast = 0; fast <= 1; fast++) {
            any.fast = fast != 0;
            const struct ledger_price *p = line_of(&prices->rows[i], &any);
            int64_t cost = p != NULL ? cost_by(p, &any) : 0;
            most = cost > most ? cost : most;
        }
    return most;
}

int64_t ledger_price_cost_by(const struct ledger_prices *prices, const struct ledger_price_row *row,
                             const struct ledger_sale *sale)
{
    const struct ledger_price *p = row != NULL ? line_of(row, sale) : NULL;
    return p != NULL ? cost_by(p, sale) : dearest(prices, sale);
}

int64_t ledger_price_cost(const struct ledger_prices *prices, const struct ledger_sale *sale)
{
    const struct ledger_price_row *row = find(prices, sale->provider, sale->model, sale->local);
    return sale->local && row == NULL ? 0 : ledger_price_cost_by(prices, row, sale);
}
