/* SPDX-License-Identifier: Apache-2.0 */
/* book - the tables, groups of rows, reports and what is deleted when. */
#include "ledger/book_int.h"

#include <assert.h>
#include <stdio.h>

#include "ledger/ledger.h"

#define APPLICATION_ID 0x4c4c4d4c /* "LLML" */
#define BUSY_MS                                                                                    \
    1000 /* nobody else writes; who holds the lock longer is waited for by trying again */

/* Add at the end; never change one that was released. */
static const char *const migrations[] = {
    "CREATE TABLE exchange ("
    " id INTEGER PRIMARY KEY,"    /* in the order of writing */
    " ended_us INTEGER NOT NULL," /* since 1970, UTC */
    " day INTEGER NOT NULL,"      /* days since 1970, UTC */
    " request_id TEXT, key TEXT, door TEXT NOT NULL, op TEXT NOT NULL, stream INTEGER NOT NULL,"
    " class TEXT NOT NULL, private INTEGER NOT NULL, findings TEXT,"
    " provider TEXT, local INTEGER NOT NULL, model TEXT, attempts TEXT,"
    " input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,"
    " cache_write INTEGER NOT NULL, reasoning INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " cost_micro INTEGER NOT NULL, reference_micro INTEGER NOT NULL,"
    " total_us INTEGER NOT NULL, queue_us INTEGER NOT NULL, router_us INTEGER NOT NULL,"
    " upstream_us INTEGER NOT NULL, first_us INTEGER,"
    " status INTEGER, outcome TEXT NOT NULL);"
    "CREATE TABLE sums ("
    " day INTEGER NOT NULL, key TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,"
    " class TEXT NOT NULL, private INTEGER NOT NULL, local INTEGER NOT NULL,"
    " requests INTEGER NOT NULL, answered INTEGER NOT NULL,"
    " input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,"
    " cache_write INTEGER NOT NULL, reasoning INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " cost_micro INTEGER NOT NULL, reference_micro INTEGER NOT NULL, total_us INTEGER NOT NULL,"
    " PRIMARY KEY (day, key, provider, model, class, private, local)) WITHOUT ROWID;"
    "CREATE TABLE last (day INTEGER PRIMARY KEY, id INTEGER NOT NULL)",
    "CREATE TABLE decision ("
    " told_us INTEGER NOT NULL," /* when the answer was given */
    " id TEXT PRIMARY KEY, key TEXT, question TEXT NOT NULL, source TEXT NOT NULL, type TEXT,"
    " accepted INTEGER NOT NULL, reason TEXT NOT NULL, params TEXT, provider TEXT, model TEXT,"
    " asked TEXT NOT NULL, template TEXT, template_version INTEGER NOT NULL,"
    " schema TEXT NOT NULL, schema_digest TEXT NOT NULL, schema_version INTEGER NOT NULL,"
    " latency_us INTEGER NOT NULL, score_before REAL,"
    " applied INTEGER, score_after REAL, outcome_us INTEGER) WITHOUT ROWID",
};

#define REPORT_BY(name)                                                                            \
    "SELECT " name ", sum(requests), sum(answered), sum(private * requests),"                      \
    " sum(local * answered), sum(input), sum(output), sum(cached), sum(cache_write),"              \
    " sum(reasoning), sum(estimated), sum(cost_micro), sum(reference_micro),"                      \
    " sum(local * reference_micro), sum(total_us), max(day)"                                       \
    " FROM sums WHERE day BETWEEN ?1 AND ?2 AND (?3 = '' OR key = ?3) GROUP BY 1"

static const char *const statements[BOOK_STATEMENTS] = {
    [BOOK_BEGIN] = "BEGIN IMMEDIATE",
    [BOOK_COMMIT] = "COMMIT",
    [BOOK_ROLLBACK] = "ROLLBACK",
    [BOOK_ROW_ADD] =
        "INSERT INTO exchange (ended_us, day, request_id, key, door, op, stream, class, private,"
        " findings, provider, local, model, attempts, input, output, cached, cache_write, "
        "reasoning,"
        " estimated, cost_micro, reference_micro, total_us, queue_us, router_us, upstream_us,"
        " first_us, status, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
        " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)",
    [BOOK_SUM_ADD] =
        "INSERT INTO sums VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16, ?17, ?18) ON CONFLICT (day, key, provider, model, class, private, local)"
        " DO UPDATE SET requests = requests + excluded.requests,"
        " answered = answered + excluded.answered, input = input + excluded.input,"
        " output = output + excluded.output, cached = cached + excluded.cached,"
        " cache_write = cache_write + excluded.cache_write,"
        " reasoning = reasoning + excluded.reasoning, estimated = estimated + excluded.estimated,"
        " cost_micro = cost_micro + excluded.cost_micro,"
        " reference_micro = reference_micro + excluded.reference_micro,"
        " total_us = total_us + excluded.total_us",
    [BOOK_LAST_PUT] = "INSERT OR REPLACE INTO last VALUES (?1, ?2)",
    [BOOK_SPENT] = "SELECT day, key, sum(cost_micro) FROM sums WHERE day >= ?1 GROUP BY day, key"
                   " HAVING sum(cost_micro) > 0",
    [BOOK_PAST_DAY] = "SELECT day FROM (SELECT DISTINCT day FROM sums ORDER BY day DESC LIMIT 3)"
                      " ORDER BY day LIMIT 1",
    [BOOK_TRIM_ROWS] = "DELETE FROM exchange WHERE id IN (SELECT id FROM exchange WHERE id <="
                       " (SELECT max(id) FROM last WHERE day < ?1) AND day < ?1 LIMIT ?2)",
    [BOOK_TRIM_SUMS] = "DELETE FROM sums WHERE day < ?1",
    [BOOK_TRIM_LAST] = "DELETE FROM last WHERE day < ?1",
    [BOOK_DECISION_ADD] =
        "INSERT OR IGNORE INTO decision VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
        " ?13, ?14, ?15, ?16, ?17, ?18, ?19, NULL, NULL, NULL)",
    [BOOK_OUTCOME_PUT] =
        "UPDATE decision SET applied = ?3, score_after = ?4, outcome_us = ?5 WHERE id = ?1"
        " AND key IS ?2 AND accepted AND outcome_us IS NULL",
    [BOOK_DECISIONS] =
        "SELECT source, coalesce(type, ''), count(*), sum(accepted), sum(coalesce(applied, 0)),"
        " sum(applied = 1 AND score_before IS NOT NULL),"
        " sum(CASE WHEN applied = 1 THEN score_after - score_before END)"
        " FROM decision WHERE told_us >= ?1 GROUP BY 1, 2 ORDER BY 1, 2",
    [BOOK_REFUSALS] = "SELECT reason, count(*) FROM decision WHERE told_us >= ?1 AND NOT accepted"
                      " GROUP BY 1 ORDER BY 2 DESC, 1",
    [BOOK_TRIM_DECISIONS] = "DELETE FROM decision WHERE told_us < ?1 * 86400000000",
    [BOOK_REPORT + LEDGER_BY_DAY] = REPORT_BY("date(day * 86400, 'unixepoch')") " ORDER BY 1",
    [BOOK_REPORT + LEDGER_BY_CLASS] = REPORT_BY("class") " ORDER BY 12 DESC, 2 DESC, 1",
    [BOOK_REPORT + LEDGER_BY_MODEL] =
        REPORT_BY("CASE provider WHEN '' THEN '' ELSE provider || '/' || model END") " ORDER BY 12 "
                                                                                     "DESC, 2 "
                                                                                     "DESC, 1",
    [BOOK_REPORT + LEDGER_BY_KEY] = REPORT_BY("key") " ORDER BY 12 DESC, 2 DESC, 1",
    [BOOK_REPORT + LEDGER_BY_PROVIDER] = REPORT_BY("provider") " ORDER BY 12 DESC, 2 DESC, 1",
};

static const struct database_plan plan = {
    .what = "ledger",
    .application_id = APPLICATION_ID,
    .migrations = migrations,
    .n_migrations = sizeof migrations / sizeof *migrations,
    .statements = statements,
    .n_statements = BOOK_STATEMENTS,
    .busy_ms = BUSY_MS,
    .one_thread = true,
};

/* ---- opening ---- */

bool ledger_book_init(struct ledger_book *b, const char *path, struct err *err)
{
    return database_init(&b->d, &plan, path, err);
}

void ledger_book_fini(struct ledger_book *b)
{
    database_fini(&b->d);
}

bool ledger_book_open(struct ledger_book *b, struct err *err)
{
    return database_make(&b->d, err) && database_open(&b->d, err);
}

bool ledger_book_open_readonly(struct ledger_book *b, struct err *err)
{
    bool there;
    return database_there(&b->d, &there, err) && there && database_open_readonly(&b->d, err);
}

void ledger_book_close(struct ledger_book *b)
{
    database_close(&b->d);
}

/* ---- statements ---- */

static bool step(struct ledger_book *b, enum book_statement which, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&b->d, (int)which, err);
    if (st == NULL)
        return false;
    bool ok = sqlite3_step(st) == SQLITE_DONE || database_failed(&b->d, err);
    database_done(st);
    return ok;
}

/* What a place of a statement holds: a text, or a number, or nothing. */
struct bound {
    enum { BOUND_NULL, BOUND_NUMBER, BOUND_TEXT } kind;
    int64_t number;
    const char *text; /* stays as long as it is bound */
};

#define COLUMNS_MAX 32

/* Binds one after the other, where it is not what is bound there: one row says mostly the same as the one before. A
 * binding fails only for want of memory, and then the step fails too: NOT NULL. */
struct binder {
    sqlite3_stmt *st;
    int at;
    bool failed;
    struct bound bound[COLUMNS_MAX];
};

static void put_int(struct binder *x, int64_t n)
{
    struct bound *b = &x->bound[x->at++];
    if (b->kind == BOUND_NUMBER && b->number == n)
        return;
    x->failed |= sqlite3_bind_int64(x->st, x->at, n) != SQLITE_OK;
    *b = (struct bound){.kind = BOUND_NUMBER, .number = n};
}

static void put_text(struct binder *x, const char *text)
{
    struct bound *b = &x->bound[x->at++];
    if (b->kind == BOUND_TEXT && strcmp(b->text, text) == 0)
        return;
    x->failed |= sqlite3_bind_text(x->st, x->at, text, -1, SQLITE_STATIC) != SQLITE_OK;
    *b = (struct bound){.kind = BOUND_TEXT, .text = text};
}

static void put_null(struct binder *x)
{
    struct bound *b = &x->bound[x->at++];
    if (b->kind == BOUND_NULL)
        return;
    x->failed |= sqlite3_bind_null(x->st, x->at) != SQLITE_OK;
    *b = (struct bound){.kind = BOUND_NULL};
}

/* Nothing for "". */
static void put_text_or_null(struct binder *x, const char *text)
{
    if (text[0] == '\0')
        put_null(x);
    else
        put_text(x, text);
}

static bool run_bound(struct ledger_book *b, struct binder *x, struct err *err)
{
    bool ok = x->failed ? err_oom(err)
                        : sqlite3_step(x->st) == SQLITE_DONE || database_failed(&b->d, err);
    database_done(x->st);
    return ok;
}

/* ---- rows ---- */

static const char *class_of(const struct ledger_entry *e)
{
    const char *name = ledger_task_name(e->class);
    return name != NULL ? name : "none";
}

/* What of the word fits, and its end. */
static size_t put_word(char *out, size_t size, const char *word)
{
    size_t n = strlen(word);
    n = n < size ? n : size - 1;
    memcpy(out, word, n);
    out[n] = '\0';
    return n;
}

/* "ollama:connect_refused anthropic:ok" */
static const char *steps_text(const struct ledger_entry *e, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < e->n_steps; i++) {
        const char *provider = ledger_provider_name(e->steps[i].provider);
        const char *outcome = ledger_outcome_name(e->steps[i].outcome);
        const char *const words[] = {at > 0 ? " " : "", provider != NULL ? provider : "?", ":",
                                     outcome != NULL ? outcome : "?"};
        for (size_t k = 0; k < 4; k++)
            at += put_word(out + at, size - at, words[k]);
    }
    return out;
}

#define STEPS_BYTES (LEDGER_STEPS_MAX * 120)

/* The rows of a group, which lie where they are until it is over. */
struct rows {
    struct binder x;
    char steps[2][STEPS_BYTES]; /* one of them may be bound, the other is for the next text */
    unsigned other;
};

static void put_steps(struct rows *r, const struct ledger_entry *e)
{
    const struct bound *b = &r->x.bound[r->x.at];
    put_text_or_null(&r->x, steps_text(e, r->steps[r->other], STEPS_BYTES));
    if (b->kind == BOUND_TEXT && b->text == r->steps[r->other])
        r->other = 1 - r->other;
}

static bool add_row(struct ledger_book *b, struct rows *r, const struct ledger_entry *e,
                    struct err *err)
{
    struct binder *x = &r->x;
    x->at = 0;
    put_int(x, e->ended_us);
    put_int(x, ledger_day(e->ended_us));
    put_text_or_null(x, e->request_id);
    put_text_or_null(x, e->key);
    put_text(x, llm_dialect_name((enum llm_dialect)e->door));
    put_text(x, e->op);
    put_int(x, (e->flags & LEDGER_STREAM) != 0);
    put_text(x, class_of(e));
    put_int(x, (e->flags & LEDGER_PRIVATE) != 0);
    put_text_or_null(x, e->findings);
    put_text_or_null(x, e->provider);
    put_int(x, (e->flags & LEDGER_LOCAL) != 0);
    put_text_or_null(x, e->model);
    put_steps(r, e);
    const int64_t numbers[] = {
        e->input,       e->output,          e->cached,
        e->cache_write, e->reasoning,       (e->flags & LEDGER_ESTIMATED) != 0,
        e->cost_micro,  e->reference_micro, e->total_us,
        e->queue_us,    e->router_us,       e->upstream_us};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_int(x, numbers[i]);
    if (e->first_us >= 0)
        put_int(x, e->first_us);
    else
        put_null(x);
    put_int(x, e->status);
    put_text(x, e->outcome);
    bool ok = x->failed ? err_oom(err)
                        : sqlite3_step(x->st) == SQLITE_DONE || database_failed(&b->d, err);
    sqlite3_reset(x->st);
    return ok;
}

/* ---- sums: added up here first, since the rows of a group have few different ones ---- */

#define CELLS_MAX 64

struct cell {
    const struct ledger_entry *like; /* the first with these six */
    int64_t day;
    int64_t n[11]; /* requests, answered, input ... as in the table */
};
struct cells {
    struct cell items[CELLS_MAX];
    size_t n;
};

#define SAME_FLAGS (LEDGER_PRIVATE | LEDGER_LOCAL)

static bool is_like(const struct cell *c, const struct ledger_entry *e, int64_t day)
{
    const struct ledger_entry *l = c->like;
    return c->day == day && l->class == e->class && ((l->flags ^ e->flags) & SAME_FLAGS) == 0 &&
           strcmp(l->key, e->key) == 0 && strcmp(l->provider, e->provider) == 0 &&
           strcmp(l->model, e->model) == 0;
}

static bool add_sum(struct ledger_book *b, const struct cell *c, struct err *err)
{
    const struct ledger_entry *l = c->like;
    struct binder x = {.st = database_prepare(&b->d, BOOK_SUM_ADD, err)};
    if (x.st == NULL)
        return false;
    put_int(&x, c->day);
    put_text(&x, l->key);
    put_text(&x, l->provider);
    put_text(&x, l->model);
    put_text(&x, class_of(l));
    put_int(&x, (l->flags & LEDGER_PRIVATE) != 0);
    put_int(&x, (l->flags & LEDGER_LOCAL) != 0);
    for (size_t i = 0; i < sizeof c->n / sizeof *c->n; i++)
        put_int(&x, c->n[i]);
    return run_bound(b, &x, err);
}

static bool put_last(struct ledger_book *b, int64_t day, struct err *err)
{
    struct binder x = {.st = database_prepare(&b->d, BOOK_LAST_PUT, err)};
    if (x.st == NULL)
        return false;
    put_int(&x, day);
    put_int(&x, sqlite3_last_insert_rowid(b->d.db));
    return run_bound(b, &x, err);
}

static bool flush_sums(struct ledger_book *b, struct cells *cells, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < cells->n; i++)
        ok = add_sum(b, &cells->items[i], err);
    cells->n = 0;
    return ok;
}

static bool sum_up(struct ledger_book *b, struct cells *cells, const struct ledger_entry *e,
                   struct err *err)
{
    int64_t day = ledger_day(e->ended_us);
    bool answered = (e->flags & LEDGER_ANSWERED) != 0;
    size_t i = 0;
    while (i < cells->n && !is_like(&cells->items[i], e, day))
        i++;
    if (i == CELLS_MAX) {
        if (!flush_sums(b, cells, err))
            return false;
        i = 0;
    }
    struct cell *c = &cells->items[i];
    if (i == cells->n) {
        cells->n++;
        *c = (struct cell){.like = e, .day = day};
    }
    const int64_t n[] = {1,
                         answered,
                         e->input,
                         e->output,
                         e->cached,
                         e->cache_write,
                         e->reasoning,
                         (e->flags & LEDGER_ESTIMATED) != 0,
                         e->cost_micro,
                         e->reference_micro,
                         answered ? e->total_us : 0};
    _Static_assert(sizeof n == sizeof c->n, "the columns of sums");
    for (size_t k = 0; k < sizeof n / sizeof *n; k++)
        c->n[k] += n[k];
    return true;
}

/* What asks no model (show, pull) has a row and stands in no sum. */
static bool is_summed(const struct ledger_entry *e)
{
    return (e->flags & LEDGER_ASIDE) == 0;
}

static bool write_rows(struct ledger_book *b, struct rows *r, const struct ledger_queue *q,
                       size_t max, size_t *n, struct err *err)
{
    const struct ledger_entry *e;
    struct cells cells = {.n = 0};
    int64_t day = -1;
    for (*n = 0; *n < max && (e = ledger_queue_peek(q, *n)) != NULL; ++*n) {
        if (day >= 0 && ledger_day(e->ended_us) != day && !put_last(b, day, err))
            return false;
        if (!add_row(b, r, e, err) || (is_summed(e) && !sum_up(b, &cells, e, err)))
            return false;
        day = ledger_day(e->ended_us);
    }
    return flush_sums(b, &cells, err) && (day < 0 || put_last(b, day, err));
}

static bool write_locked(struct ledger_book *b, const struct ledger_queue *q, size_t max, size_t *n,
                         struct err *err)
{
    struct rows r = {.x.st = database_prepare(&b->d, BOOK_ROW_ADD, err)};
    bool ok = r.x.st != NULL && write_rows(b, &r, q, max, n, err);
    if (r.x.st != NULL)
        database_done(r.x.st);
    return ok;
}

/* After a failed BOOK_COMMIT the transaction may be open or gone. */
static void roll_back(struct ledger_book *b)
{
    if (b->d.db != NULL && sqlite3_get_autocommit(b->d.db) == 0)
        step(b, BOOK_ROLLBACK, NULL);
}

long ledger_book_write(struct ledger_book *b, const struct ledger_queue *q, size_t max,
                       struct err *err)
{
    size_t n = 0;
    if (ledger_queue_peek(q, 0) == NULL)
        return 0;
    if (!step(b, BOOK_BEGIN, err))
        return -1;
    if (write_locked(b, q, max, &n, err) && step(b, BOOK_COMMIT, err))
        return (long)n;
    roll_back(b);
    return -1;
}

/* ---- what was spent ---- */

bool ledger_book_spent(struct ledger_book *b, int64_t first_day,
                       bool (*fn)(void *arg, int64_t day, const char *key, int64_t micro),
                       void *arg, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&b->d, BOOK_SPENT, err);
    bool ok = true;
    int got;
    if (st == NULL)
        return false;
    sqlite3_bind_int64(st, 1, first_day);
    while (ok && (got = sqlite3_step(st)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(st, 1);
        ok = fn(arg, sqlite3_column_int64(st, 0), key != NULL ? key : "",
                sqlite3_column_int64(st, 2)) ||
             err_oom(err);
    }
    ok = ok && (got == SQLITE_DONE || database_failed(&b->d, err));
    database_done(st);
    return ok;
}

/* ---- what is deleted ---- */

/* The day that counts as the present one for deleting; -1 = too few days were seen. */
static bool past_day(struct ledger_book *b, int64_t today, int64_t *out, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&b->d, BOOK_PAST_DAY, err);
    if (st == NULL)
        return false;
    int got = sqlite3_step(st);
    bool ok = got == SQLITE_ROW || got == SQLITE_DONE || database_failed(&b->d, err);
    *out = got == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    if (*out > today)
        *out = today;
    database_done(st);
    return ok;
}

static bool trim(struct ledger_book *b, enum book_statement which, int64_t day, int64_t max,
                 struct err *err)
{
    struct binder x = {.st = database_prepare(&b->d, (int)which, err)};
    if (x.st == NULL)
        return false;
    put_int(&x, day);
    if (max > 0)
        put_int(&x, max);
    return run_bound(b, &x, err);
}

bool ledger_book_trim(struct ledger_book *b, int64_t today, int64_t keep_rows, int64_t keep_sums,
                      size_t max, bool *more, struct err *err)
{
    int64_t day = -1;
    *more = false;
    if (!past_day(b, today, &day, err) || day < 0)
        return day < 0 && !err->set;
    if (!step(b, BOOK_BEGIN, err))
        return false;
    bool ok = trim(b, BOOK_TRIM_ROWS, day - keep_rows, (int64_t)max, err);
    *more = ok && sqlite3_changes(b->d.db) == (int)max;
    ok = ok && (*more || trim(b, BOOK_TRIM_LAST, day - keep_rows, 0, err)) &&
         trim(b, BOOK_TRIM_SUMS, day - keep_sums, 0, err) &&
         trim(b, BOOK_TRIM_DECISIONS, day - keep_sums, 0, err) && step(b, BOOK_COMMIT, err);
    if (!ok)
        roll_back(b);
    return ok;
}

/* ---- reports ---- */

static const char *const by_names[LEDGER_BYS] = {"day", "class", "model", "key", "provider"};

const char *ledger_by_name(enum ledger_by by)
{
    return by_names[by];
}

bool ledger_by_parse(strv text, enum ledger_by *out)
{
    for (int i = 0; i < LEDGER_BYS; i++)
        if (strv_eq_cstr(text, by_names[i])) {
            *out = (enum ledger_by)i;
            return true;
        }
    return false;
}

static void add_line(struct ledger_line *into, const struct ledger_line *l)
{
    into->requests += l->requests;
    into->answered += l->answered;
    into->private += l->private;
    into->local += l->local;
    into->input += l->input;
    into->output += l->output;
    into->cached += l->cached;
    into->cache_write += l->cache_write;
    into->reasoning += l->reasoning;
    into->estimated += l->estimated;
    into->cost_micro += l->cost_micro;
    into->reference_micro += l->reference_micro;
    into->local_reference_micro += l->local_reference_micro;
    into->total_us += l->total_us;
    into->last_day = l->last_day > into->last_day ? l->last_day : into->last_day;
}

static void read_line(sqlite3_stmt *st, struct ledger_line *l)
{
    int64_t *const fields[] = {&l->requests,
                               &l->answered,
                               &l->private,
                               &l->local,
                               &l->input,
                               &l->output,
                               &l->cached,
                               &l->cache_write,
                               &l->reasoning,
                               &l->estimated,
                               &l->cost_micro,
                               &l->reference_micro,
                               &l->local_reference_micro,
                               &l->total_us,
                               &l->last_day};
    const char *name = (const char *)sqlite3_column_text(st, 0);
    *l = (struct ledger_line){0};
    snprintf(l->name, sizeof l->name, "%s", name != NULL && name[0] != '\0' ? name : "none");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        *fields[i] = sqlite3_column_int64(st, (int)i + 1);
}

static bool keep_line(struct ledger_report *r, const struct ledger_line *l)
{
    if (r->n == LEDGER_LINES_MAX) {
        r->cut = true;
        return true;
    }
    if (r->n == r->cap) {
        size_t cap = r->cap > 0 ? r->cap * 2 : 32;
        struct ledger_line *lines = mem_realloc(r->lines, cap * sizeof *lines);
        if (lines == NULL)
            return false;
        r->lines = lines;
        r->cap = cap;
    }
    r->lines[r->n++] = *l;
    return true;
}

bool ledger_book_report(struct ledger_book *b, const struct ledger_query *query,
                        struct ledger_report *out, struct err *err)
{
    struct binder x = {.st = database_prepare(&b->d, BOOK_REPORT + (int)query->by, err)};
    struct ledger_line line;
    bool ok = true;
    int got = SQLITE_DONE;
    *out = (struct ledger_report){.query = *query};
    if (x.st == NULL)
        return false;
    put_int(&x, query->since);
    put_int(&x, query->until);
    put_text(&x, query->key);
    while (ok && (got = sqlite3_step(x.st)) == SQLITE_ROW) {
        read_line(x.st, &line);
        add_line(&out->total, &line);
        ok = keep_line(out, &line) || err_oom(err);
    }
    ok = ok && !x.failed && (got == SQLITE_DONE || database_failed(&b->d, err));
    database_done(x.st);
    if (!ok)
        ledger_report_fini(out);
    return ok;
}

void ledger_report_fini(struct ledger_report *r)
{
    mem_free(r->lines);
    *r = (struct ledger_report){.query = r->query};
}

/* ---- ids ---- */

bool ledger_id_fits(strv id)
{
    static const uint8_t digit[256] = {
        ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
        ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1,
        ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1};
    size_t digits = 0;
    if (id.len > 64)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (digit[(unsigned char)id.ptr[i]])
            digits++;
        else if (id.ptr[i] != '-' || i == 0 || id.ptr[i - 1] == '-')
            return false;
    }
    return digits >= 32;
}
