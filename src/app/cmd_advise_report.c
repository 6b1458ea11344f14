/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_advise_report - was advice worth its time: by who gave it and by type, how much was accepted and applied, and by how
 * much the best score rose afterwards. Read from the ledger's file, beside a router that writes it or without one.
 */
#include <stdio.h>
#include <string.h>

#include "app/cmd_advise.h"
#include "app/term.h"

#define OUT_BYTES_MAX ((size_t)1 << 20)
#define DAY_US        INT64_C(86400000000)

static void put_mean(struct term_table *t, const struct ledger_decision_line *l)
{
    if (l->measured > 0)
        term_table_cell(t, TERM_PLAIN, "%+.4f", l->gain / (double)l->measured);
    else
        term_table_cell(t, TERM_PLAIN, "-");
}

static void print_text(const struct cli *cli, const struct ledger_decision_report *r,
                       struct buf *out)
{
    static const char *const heads[] = {"FROM",     "TYPE",    "ASKED",    "ACCEPTED",
                                        "ACCEPTED", "APPLIED", "MEAN GAIN"};
    struct term_table t;
    term_table_init(&t, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&t, TERM_BOLD, "%s", heads[i]);
    for (size_t i = 0; i < r->n; i++) {
        const struct ledger_decision_line *l = &r->lines[i];
        term_table_cell(&t, TERM_PLAIN, "%s", l->source);
        term_table_cell(&t, TERM_PLAIN, "%s", l->type[0] != '\0' ? l->type : "none");
        term_table_cell(&t, TERM_PLAIN, "%lld", (long long)l->asked);
        term_table_cell(&t, TERM_PLAIN, "%lld", (long long)l->accepted);
        term_table_cell(&t, TERM_PLAIN, "%.0f %%",
                        l->asked > 0 ? 100.0 * (double)l->accepted / (double)l->asked : 0.0);
        term_table_cell(&t, TERM_PLAIN, "%lld", (long long)l->applied);
        put_mean(&t, l);
    }
    term_table_put(&t, out, 0, cli->color);
    for (size_t i = 0; i < r->n_refusals; i++)
        buf_printf(out, "%srefused for %s: %lld\n", i == 0 ? "\n" : "", r->refusals[i].reason,
                   (long long)r->refusals[i].n);
}

static void put_count(struct buf *out, bool *first, const char *key, int64_t n)
{
    json_put_key(out, first, key);
    buf_put_i64(out, n);
}

static void put_line(const struct ledger_decision_line *l, struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    term_json_text(out, &first, "source", strv_of(l->source));
    term_json_text(out, &first, "type", l->type[0] != '\0' ? strv_of(l->type) : STRV_NONE);
    put_count(out, &first, "asked", l->asked);
    put_count(out, &first, "accepted", l->accepted);
    put_count(out, &first, "applied", l->applied);
    put_count(out, &first, "measured", l->measured);
    json_put_key(out, &first, "mean_gain");
    if (l->measured > 0)
        json_put_num(out, l->gain / (double)l->measured);
    else
        buf_put_cstr(out, "null");
    buf_put_char(out, '}');
}

static void print_json(const struct ledger_decision_report *r, struct buf *out)
{
    buf_put_cstr(out, "{\"advice\":[");
    for (size_t i = 0; i < r->n; i++) {
        buf_put_cstr(out, i > 0 ? ",\n" : "\n");
        put_line(&r->lines[i], out);
    }
    buf_put_cstr(out, "],\n\"refused\":{");
    for (size_t i = 0; i < r->n_refusals; i++) {
        buf_put_cstr(out, i > 0 ? "," : "");
        json_put_str(out, strv_of(r->refusals[i].reason));
        buf_printf(out, ":%lld", (long long)r->refusals[i].n);
    }
    buf_put_cstr(out, "}}\n");
}

/* No file yet is an empty report. */
static bool read_report(const struct config *config, int64_t since_us,
                        struct ledger_decision_report *r, struct err *err)
{
    struct ledger_book book = {0};
    char path[4096];
    *r = (struct ledger_decision_report){.n = 0};
    snprintf(path, sizeof path, "%s/" LEDGER_FILE, config->state_dir);
    bool ok = ledger_book_init(&book, path, err);
    if (ok && ledger_book_open_readonly(&book, err))
        ok = ledger_book_decisions(&book, since_us, r, err);
    ledger_book_fini(&book);
    return ok && !err->set;
}

int command_advise_report(struct cli *cli, const struct config *config)
{
    struct err err = ERR_INIT;
    struct ledger_query query;
    struct ledger_decision_report report;
    struct buf out;
    int64_t now;
    if (!command_now(&now, &err) ||
        !ledger_query_read(&query, STRV_NONE, strv_of(cli->flags[FLAG_SINCE]), STRV_NONE,
                           ledger_day(now), &err)) {
        term_error("%s", err.text);
        return EXIT_USAGE;
    }
    if (!read_report(config, query.since * DAY_US, &report, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    buf_init(&out, OUT_BYTES_MAX);
    if (cli->flags[FLAG_JSON] != NULL)
        print_json(&report, &out);
    else
        print_text(cli, &report, &out);
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}
