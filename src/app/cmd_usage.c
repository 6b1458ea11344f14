/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_usage - what was asked, what it cost, and what it would have cost in the cloud.
 *
 * Read from the ledger's file itself, beside a router that writes it or without one; what that router has not
 * written yet (ledger.interval) is not in it. On a terminal each line has a bar: what was charged, and behind it
 * what was not, of what the reference model would have charged; the longest is the dearest line.
 */
#include "app/command.h"
#include "app/term.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define BAR_CELLS     24

struct book {
    struct config *config;
    struct ledger_book book;
    bool there; /* a router has written it */
    int64_t wall_us;
};

/* ---- reading ---- */

static bool open_book(const struct config *config, struct ledger_book *book, bool *there,
                      struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/" LEDGER_FILE, config->state_dir);
    if (!ledger_book_init(book, path, err))
        return false;
    *there = ledger_book_open_readonly(book, err);
    return !err->set;
}

bool command_budget(const struct config *config, int64_t wall_us, struct ledger_budget *out,
                    struct err *err)
{
    struct ledger_book book = {0};
    bool there = false;
    ledger_budget_init(out, wall_us);
    bool ok = open_book(config, &book, &there, err) &&
              (!there || ledger_read_spent(&book, wall_us, out, err));
    ledger_book_fini(&book);
    return ok;
}

static bool read_report(struct book *b, const struct ledger_query *query, struct ledger_report *out,
                        struct err *err)
{
    *out = (struct ledger_report){.query = *query};
    return !b->there || ledger_book_report(&b->book, query, out, err);
}

/* ---- the budget ---- */

struct budget {
    struct ledger_spent scopes[LEDGER_SCOPES];
};

static bool read_budget(struct book *b, struct budget *out, struct err *err)
{
    struct ledger_budget budget;
    ledger_budget_init(&budget, b->wall_us);
    bool ok = !b->there || ledger_read_spent(&b->book, b->wall_us, &budget, err);
    for (int scope = 0; scope < LEDGER_SCOPES; scope++)
        ledger_budget_look(&budget, &b->config->snapshot->ledger.budget, (enum ledger_scope)scope,
                           b->wall_us, &out->scopes[scope]);
    ledger_budget_fini(&budget);
    return ok;
}

/* ---- for people ---- */

/* "$1.2345", "-$0.50" */
#define DOLLARS_MAX (LEDGER_MONEY_MAX + 1)
static const char *dollars(int64_t micro, char out[DOLLARS_MAX])
{
    char text[LEDGER_MONEY_MAX];
    ledger_money_print(micro, text);
    bool minus = text[0] == '-';
    snprintf(out, DOLLARS_MAX, "%s$%s", minus ? "-" : "", text + minus);
    return out;
}

static const char *count(int64_t n, char out[24])
{
    if (n >= 100000000)
        snprintf(out, 24, "%lldM", (long long)(n / 1000000));
    else if (n >= 100000)
        snprintf(out, 24, "%lldk", (long long)(n / 1000));
    else
        snprintf(out, 24, "%lld", (long long)n);
    return out;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void put_cells(char **at, const char *cell, int64_t n)
{
    for (; n > 0; n--) {
        memcpy(*at, cell, 3);
        *at += 3;
    }
    **at = '\0';
}

/* Full cells for what was charged, light ones for what the reference would have charged beyond it. */
static const char *bar(const struct ledger_line *l, int64_t dearest, char out[BAR_CELLS * 3 + 1])
{
    char *at = out;
    int64_t unit = dearest / BAR_CELLS + 1;
    int64_t paid = (l->cost_micro + unit / 2) / unit;
    int64_t all = (most(l->cost_micro, l->reference_micro) + unit / 2) / unit;
    paid = l->cost_micro > 0 && paid == 0 ? 1 : paid;
    all = most(all, paid);
    put_cells(&at, "\xe2\x96\x88", paid < BAR_CELLS ? paid : BAR_CELLS);
    put_cells(&at, "\xe2\x96\x91", all < BAR_CELLS ? all - paid : BAR_CELLS - paid);
    return out;
}

static void put_line(struct term_table *t, const struct ledger_line *l, const char *name,
                     int64_t dearest, bool compare, enum term_style style)
{
    char a[24], b[24], cells[BAR_CELLS * 3 + 1], money[DOLLARS_MAX];
    term_table_cell(t, style, "%s", name);
    term_table_cell(t, style, "%s", count(l->requests, a));
    term_table_cell(t, style, "%s", count(l->requests - l->answered, a));
    term_table_cell(t, style, "%s", count(l->private, a));
    term_table_cell(t, style, "%s", count(l->local, a));
    term_table_cell(t, style, "%s / %s", count(l->input, a), count(l->output, b));
    term_table_cell(t, style, "%s", dollars(l->cost_micro, money));
    if (compare) {
        term_table_cell(t, style, "%s", dollars(l->reference_micro, money));
        term_table_cell(t, style, "%s", dollars(l->reference_micro - l->cost_micro, money));
    }
    term_table_cell(t, TERM_PLAIN, "%s", dearest > 0 ? bar(l, dearest, cells) : "");
}

static void put_heads(struct term_table *t, enum ledger_by by, bool compare)
{
    static const char *const first[LEDGER_BYS] = {"DAY", "CLASS", "MODEL", "KEY", "PROVIDER"};
    static const char *const heads[] = {"REQUESTS", "FAILED", "PRIVATE", "LOCAL", "TOKENS", "COST"};
    term_table_init(t, compare ? 10 : 8);
    term_table_cell(t, TERM_BOLD, "%s", first[by]);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(t, TERM_BOLD, "%s", heads[i]);
    if (compare) {
        term_table_cell(t, TERM_BOLD, "IN THE CLOUD");
        term_table_cell(t, TERM_BOLD, "SAVED");
    }
    term_table_cell(t, TERM_BOLD, "%s", "");
}

static void put_notes(const struct book *b, const struct ledger_report *r, struct buf *out)
{
    const char *reference = b->config->snapshot->ledger.reference;
    char money[DOLLARS_MAX];
    if (reference == NULL)
        return;
    buf_printf(out,
               "\nIN THE CLOUD is what %s would have charged for the same tokens, by the price "
               "list; SAVED is that\nless COST, %s of it by answering locally. An estimate: "
               "other models count and answer otherwise.\n",
               reference, dollars(r->total.local_reference_micro, money));
    if (r->total.estimated > 0)
        buf_printf(out,
                   "Of %lld answers the provider did not count the tokens; they are estimated.\n",
                   (long long)r->total.estimated);
}

static void put_budget(const struct budget *budget, struct buf *out)
{
    static const char *const names[LEDGER_SCOPES] = {"today", "this month"};
    char spent[DOLLARS_MAX], limit[DOLLARS_MAX];
    for (int scope = 0; scope < LEDGER_SCOPES; scope++) {
        const struct ledger_spent *s = &budget->scopes[scope];
        if (s->limit > 0)
            buf_printf(out, "%sbudget %s: %s of %s%s%s\n", scope == 0 ? "\n" : "", names[scope],
                       dollars(s->spent, spent), dollars(s->limit, limit),
                       s->level != LEDGER_FINE ? ", " : "",
                       s->level != LEDGER_FINE ? ledger_level_name(s->level) : "");
    }
}

static void print_text(const struct cli *cli, const struct book *b, const struct ledger_report *r,
                       const struct budget *budget, struct buf *out)
{
    bool compare = b->config->snapshot->ledger.reference != NULL;
    char since[LEDGER_DAY_TEXT_MAX], until[LEDGER_DAY_TEXT_MAX];
    struct term_table t;
    int64_t dearest = 0;
    buf_printf(out, "%s to %s (UTC)\n\n", ledger_day_text(r->query.since, since),
               ledger_day_text(r->query.until, until));
    for (size_t i = 0; isatty(STDOUT_FILENO) && i < r->n; i++)
        dearest = most(dearest, most(r->lines[i].cost_micro, r->lines[i].reference_micro));
    put_heads(&t, r->query.by, compare);
    for (size_t i = 0; i < r->n; i++)
        put_line(&t, &r->lines[i], r->lines[i].name, dearest, compare, TERM_PLAIN);
    put_line(&t, &r->total, "all", 0, compare, TERM_BOLD);
    term_table_put(&t, out, 0, cli->color);
    if (r->cut)
        buf_printf(out, "more than %d lines; all counts the rest, too\n", LEDGER_LINES_MAX);
    put_notes(b, r, out);
    put_budget(budget, out);
}

/* ---- for programs ---- */

static void print_json(const struct book *b, const struct ledger_report *r,
                       const struct budget *budget, struct buf *out)
{
    ledger_report_json(r, b->config->snapshot->ledger.reference, out);
    ledger_report_budget(budget->scopes, out);
    buf_put_cstr(out, "}\n");
}

static bool print(const struct cli *cli, struct book *b, const struct ledger_report *r,
                  struct err *err)
{
    struct buf out;
    struct budget budget;
    if (!read_budget(b, &budget, err))
        return false;
    buf_init(&out, OUT_BYTES_MAX);
    if (cli->flags[FLAG_CSV] != NULL)
        ledger_report_csv(r, b->config->snapshot->ledger.reference, &out);
    else if (cli->flags[FLAG_JSON] != NULL)
        print_json(b, r, &budget, &out);
    else
        print_text(cli, b, r, &budget, &out);
    return term_write(&out) || err_set(err, 0, "nothing was printed");
}

static int usage(struct cli *cli, struct book *b, struct err *err)
{
    struct ledger_query query;
    struct ledger_report report;
    if (!command_now(&b->wall_us, err))
        return EXIT_FAILED;
    if (!ledger_query_read(&query, strv_of(cli->flags[FLAG_BY]), strv_of(cli->flags[FLAG_SINCE]),
                           strv_of(cli->flags[FLAG_UNTIL]), ledger_day(b->wall_us), err))
        return EXIT_USAGE;
    if (!open_book(b->config, &b->book, &b->there, err) || !read_report(b, &query, &report, err))
        return EXIT_FAILED;
    if (!b->there && cli->flags[FLAG_JSON] == NULL && cli->flags[FLAG_CSV] == NULL)
        fputs("there is no ledger yet: serve writes it\n", stderr);
    bool ok = print(cli, b, &report, err);
    ledger_report_fini(&report);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int command_usage(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct book b = {.config = command_config(cli)};
    if (b.config == NULL)
        return EXIT_USAGE;
    int status = usage(cli, &b, &err);
    if (status != EXIT_OK)
        term_error("%s", err.text);
    ledger_book_fini(&b.book);
    config_free(b.config);
    return status;
}
