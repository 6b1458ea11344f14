/* SPDX-License-Identifier: Apache-2.0 */
/* report - one table of columns; JSON, CSV and their names come from it. */
#include "ledger/report.h"

#include <stdio.h>

#include "ledger/price.h"

const char ledger_report_note[] =
    "saved is an estimate: the list price of the reference model for the same tokens, without a "
    "cache's discount for what was answered locally, less what was charged";

/* ---- questions ---- */

const char *ledger_day_text(int64_t day, char out[LEDGER_DAY_TEXT_MAX])
{
    int64_t civil = ledger_day_civil(day);
    snprintf(out, LEDGER_DAY_TEXT_MAX, "%04d-%02d-%02d", (int)(civil / 10000 % 10000),
             (int)(civil / 100 % 100), (int)(civil % 100));
    return out;
}

static bool read_day(strv text, int64_t today, const char *field, int64_t *out, struct err *err)
{
    uint64_t days;
    if (text.ptr == NULL || ledger_day_parse(text, out))
        return true;
    if (strv_ends(text, STRV("d")) && strv_u64((strv){text.ptr, text.len - 1}, 1, 100000, &days)) {
        *out = today - (int64_t)days + 1;
        return true;
    }
    return err_field(err, LLM_ERR_INVALID_REQUEST, field,
                     "%s: expected a day such as 2026-11-01, or a number of days such as 7d",
                     field);
}

bool ledger_query_read(struct ledger_query *out, strv by, strv since, strv until, int64_t today,
                       struct err *err)
{
    *out = (struct ledger_query){.until = today};
    if (by.ptr != NULL && !ledger_by_parse(by, &out->by))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "by",
                         "by: expected day, class, model, key or provider");
    if (!read_day(until, today, "until", &out->until, err))
        return false;
    out->since = out->until - LEDGER_DAYS_SHOWN + 1;
    if (!read_day(since, today, "since", &out->since, err))
        return false;
    return out->since <= out->until ||
           err_field(err, LLM_ERR_INVALID_REQUEST, "since", "since: is later than until");
}

/* ---- columns ---- */

enum column_kind { COUNT, MICRO, SAVED, SAVED_LOCAL, MEAN_MS };
static const struct {
    const char *name;
    enum column_kind kind;
    size_t offset;
} columns[] = {
#define FIELD(f) offsetof(struct ledger_line, f)
    {"requests", COUNT, FIELD(requests)},
    {"answered", COUNT, FIELD(answered)},
    {"private", COUNT, FIELD(private)},
    {"local", COUNT, FIELD(local)},
    {"input_tokens", COUNT, FIELD(input)},
    {"output_tokens", COUNT, FIELD(output)},
    {"cached_tokens", COUNT, FIELD(cached)},
    {"cache_write_tokens", COUNT, FIELD(cache_write)},
    {"reasoning_tokens", COUNT, FIELD(reasoning)},
    {"estimated", COUNT, FIELD(estimated)},
    {"cost_usd", MICRO, FIELD(cost_micro)},
    {"reference_usd", MICRO, FIELD(reference_micro)},
    {"saved_usd", SAVED, 0},
    {"saved_by_local_usd", SAVED_LOCAL, FIELD(local_reference_micro)},
    {"avg_latency_ms", MEAN_MS, 0},
#undef FIELD
};
#define COLUMNS (sizeof columns / sizeof *columns)

static int64_t field(const struct ledger_line *l, size_t offset)
{
    int64_t n;
    memcpy(&n, (const char *)l + offset, sizeof n);
    return n;
}

static bool compares(enum column_kind kind, size_t offset)
{
    return kind == SAVED || kind == SAVED_LOCAL ||
           offset == offsetof(struct ledger_line, reference_micro);
}

/* False: there is no value. */
static bool put_value(const struct ledger_line *l, size_t c, const char *reference, struct buf *out)
{
    char money[LEDGER_MONEY_MAX];
    int64_t n = field(l, columns[c].offset);
    if (columns[c].kind == COUNT) {
        buf_put_i64(out, n);
        return true;
    }
    if (columns[c].kind == MEAN_MS) {
        if (l->answered > 0)
            buf_printf(out, "%lld.%03lld", (long long)(l->total_us / l->answered / 1000),
                       (long long)(l->total_us / l->answered % 1000));
        return l->answered > 0;
    }
    if (reference == NULL && compares(columns[c].kind, columns[c].offset))
        return false;
    if (columns[c].kind == SAVED)
        n = l->reference_micro - l->cost_micro;
    ledger_money_print(n, money);
    buf_put_cstr(out, money);
    return true;
}

/* ---- JSON ---- */

static void put_object(const struct ledger_line *l, const char *by, const char *reference,
                       struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    if (by != NULL) {
        json_put_key(out, &first, by);
        json_put_str(out, strv_of(l->name));
    }
    for (size_t c = 0; c < COLUMNS; c++) {
        json_put_key(out, &first, columns[c].name);
        if (!put_value(l, c, reference, out))
            buf_put_cstr(out, "null");
    }
    buf_put_char(out, '}');
}

void ledger_report_json(const struct ledger_report *r, const char *reference, struct buf *out)
{
    char since[LEDGER_DAY_TEXT_MAX], until[LEDGER_DAY_TEXT_MAX];
    const char *by = ledger_by_name(r->query.by);
    buf_printf(out, "{\"since\":\"%s\",\"until\":\"%s\",\"by\":\"%s\",\"reference_model\":",
               ledger_day_text(r->query.since, since), ledger_day_text(r->query.until, until), by);
    if (reference != NULL)
        json_put_str(out, strv_of(reference));
    else
        buf_put_cstr(out, "null");
    buf_put_cstr(out, ",\"rows\":[");
    for (size_t i = 0; i < r->n; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        put_object(&r->lines[i], by, reference, out);
    }
    buf_put_cstr(out, "],\"total\":");
    put_object(&r->total, NULL, reference, out);
    buf_put_cstr(out, r->cut ? ",\"truncated\":true" : ",\"truncated\":false");
    buf_printf(out, ",\"note\":\"%s\"", ledger_report_note);
}

void ledger_report_budget(const struct ledger_spent spent[LEDGER_SCOPES], struct buf *out)
{
    char money[LEDGER_MONEY_MAX];
    buf_put_cstr(out, ",\"budget\":{");
    for (int scope = 0; scope < LEDGER_SCOPES; scope++) {
        ledger_money_print(spent[scope].spent, money);
        buf_printf(out, "%s\"%s\":{\"spent_usd\":%s,\"limit_usd\":", scope > 0 ? "," : "",
                   ledger_scope_name((enum ledger_scope)scope), money);
        ledger_money_print(spent[scope].limit, money);
        buf_printf(out, "%s,\"level\":\"%s\"}", spent[scope].limit > 0 ? money : "null",
                   ledger_level_name(spent[scope].level));
    }
    buf_put_char(out, '}');
}

/* ---- CSV (RFC 4180) ---- */

static void put_quoted(struct buf *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        buf_put_cstr(out, text);
        return;
    }
    buf_put_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            buf_put_char(out, '"');
        buf_put_char(out, *text);
    }
    buf_put_char(out, '"');
}

void ledger_report_csv(const struct ledger_report *r, const char *reference, struct buf *out)
{
    buf_put_cstr(out, ledger_by_name(r->query.by));
    for (size_t c = 0; c < COLUMNS; c++)
        buf_printf(out, ",%s", columns[c].name);
    buf_put_cstr(out, "\r\n");
    for (size_t i = 0; i < r->n; i++) {
        put_quoted(out, r->lines[i].name);
        for (size_t c = 0; c < COLUMNS; c++) {
            buf_put_char(out, ',');
            (void)put_value(&r->lines[i], c, reference, out);
        }
        buf_put_cstr(out, "\r\n");
    }
}
