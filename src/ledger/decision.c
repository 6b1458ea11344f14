/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/decision.h"

#include <stdio.h>

#include "ledger/book_int.h"

/* ---- writing ---- */

struct places {
    sqlite3_stmt *st;
    int at;
    bool failed;
};

static void note(struct places *p, int rc)
{
    p->failed = p->failed || rc != SQLITE_OK;
}

/* "" is nothing. */
static void put_text(struct places *p, const char *text)
{
    p->at++;
    note(p, text[0] != '\0' ? sqlite3_bind_text(p->st, p->at, text, -1, SQLITE_STATIC)
                            : sqlite3_bind_null(p->st, p->at));
}

static void put_int(struct places *p, int64_t n)
{
    p->at++;
    note(p, sqlite3_bind_int64(p->st, p->at, n));
}

static void put_real(struct places *p, bool there, double n)
{
    p->at++;
    note(p, there ? sqlite3_bind_double(p->st, p->at, n) : sqlite3_bind_null(p->st, p->at));
}

static void put_answer(struct places *p, const struct ledger_decision *d)
{
    put_int(p, d->wall_us);
    put_text(p, d->id);
    put_text(p, d->key);
    put_text(p, d->question);
    put_text(p, d->source);
    put_text(p, d->type);
    put_int(p, d->accepted);
    put_text(p, d->reason);
    put_text(p, d->params);
    put_text(p, d->provider);
    put_text(p, d->model);
    put_text(p, d->asked);
    put_text(p, d->template_digest);
    put_int(p, d->template_version);
    put_text(p, d->schema);
    put_text(p, d->schema_digest);
    put_int(p, d->schema_version);
    put_int(p, d->latency_us);
    put_real(p, d->scored, d->score_before);
}

static void put_outcome(struct places *p, const struct ledger_decision *d)
{
    put_text(p, d->id);
    put_text(p, d->key);
    put_int(p, d->applied);
    put_real(p, true, d->score_after);
    put_int(p, d->wall_us);
}

bool ledger_book_decide(struct ledger_book *b, const struct ledger_decision *d, struct err *err)
{
    struct places p = {
        .st = database_prepare(&b->d, d->outcome ? BOOK_OUTCOME_PUT : BOOK_DECISION_ADD, err)};
    if (p.st == NULL)
        return false;
    if (d->outcome)
        put_outcome(&p, d);
    else
        put_answer(&p, d);
    bool ok =
        p.failed ? err_oom(err) : sqlite3_step(p.st) == SQLITE_DONE || database_failed(&b->d, err);
    database_done(p.st);
    return ok;
}

/* ---- reading ---- */

static void get_text(sqlite3_stmt *st, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static void read_line(sqlite3_stmt *st, struct ledger_decision_report *r)
{
    struct ledger_decision_line *l = &r->lines[r->n++];
    get_text(st, 0, l->source, sizeof l->source);
    get_text(st, 1, l->type, sizeof l->type);
    l->asked = sqlite3_column_int64(st, 2);
    l->accepted = sqlite3_column_int64(st, 3);
    l->applied = sqlite3_column_int64(st, 4);
    l->measured = sqlite3_column_int64(st, 5);
    l->gain = sqlite3_column_double(st, 6);
}

static void read_refusal(sqlite3_stmt *st, struct ledger_decision_report *r)
{
    struct ledger_refusal_line *l = &r->refusals[r->n_refusals++];
    get_text(st, 0, l->reason, sizeof l->reason);
    l->n = sqlite3_column_int64(st, 1);
}

static bool each(struct ledger_book *b, enum book_statement which, int64_t since_us,
                 void (*take)(sqlite3_stmt *st, struct ledger_decision_report *r),
                 struct ledger_decision_report *out, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&b->d, which, err);
    int got = SQLITE_DONE;
    if (st == NULL)
        return false;
    bool ok = sqlite3_bind_int64(st, 1, since_us) == SQLITE_OK || err_oom(err);
    for (int i = 0; ok && i < LEDGER_DECISION_LINES && (got = sqlite3_step(st)) == SQLITE_ROW; i++)
        take(st, out);
    ok = ok && (got == SQLITE_DONE || got == SQLITE_ROW || database_failed(&b->d, err));
    database_done(st);
    return ok;
}

bool ledger_book_decisions(struct ledger_book *b, int64_t since_us,
                           struct ledger_decision_report *out, struct err *err)
{
    *out = (struct ledger_decision_report){.n = 0};
    return each(b, BOOK_DECISIONS, since_us, read_line, out, err) &&
           each(b, BOOK_REFUSALS, since_us, read_refusal, out, err);
}
