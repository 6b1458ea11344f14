/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer - rows reach the file in groups; what happens while the file cannot be written: locked, full, damaged, gone,
 * without memory; the thread, its sleep and its answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/ledger.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define NOW    (ledger_day_of(2026, 11, 23) * DAY_US + DAY_US / 2)

struct place {
    char folder[64], path[96];
    struct ledger_setup setup;
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    snprintf(p->folder, sizeof p->folder, "/tmp/ledger-test-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/ledger.db", p->folder);
    p->setup = (struct ledger_setup){.path = p->path,
                                     .queue = 64,
                                     .interval_ms = 1,
                                     .keep_rows = 30,
                                     .keep_sums = 400,
                                     .wall_us = NOW,
                                     .log_fd = -1,
                                     .log_level = LOG_OFF};
    *state = p;
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    int rc = system(command);
    free(p);
    return rc;
}

static struct ledger *opened(struct place *p)
{
    struct err err = ERR_INIT;
    struct ledger *l = ledger_new(&p->setup, &err);
    assert_non_null(l);
    if (ledger_failing(l))
        fail_msg("%s", err.text);
    return l;
}

static struct ledger_entry entry(int64_t ended_us, int64_t cost)
{
    struct ledger_entry e = {.ended_us = ended_us,
                             .door = LLM_OPENAI,
                             .flags = LEDGER_ANSWERED,
                             .class = 1,
                             .op = "chat",
                             .outcome = "ok",
                             .status = 200,
                             .input = 10,
                             .output = 3,
                             .cost_micro = cost,
                             .reference_micro = cost * 2,
                             .first_us = -1};
    snprintf(e.key, sizeof e.key, "k_1");
    snprintf(e.provider, sizeof e.provider, "cloud");
    snprintf(e.model, sizeof e.model, "m");
    return e;
}

static void put(struct ledger *l, int64_t ended_us, int64_t cost)
{
    struct ledger_entry e = entry(ended_us, cost);
    assert_true(ledger_put(l, &e));
}

/* One number out of the file, by another connection than the writer's. */
static int64_t number(const struct place *p, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static struct ledger_counts counts(const struct ledger *l)
{
    struct ledger_counts c;
    ledger_count(l, &c);
    return c;
}

static int64_t spent(struct ledger *l, enum ledger_scope scope)
{
    struct ledger_budget_conf conf = {.on = true};
    struct ledger_spent s;
    ledger_budget_look(ledger_budget_of(l), &conf, scope, NOW, &s);
    return s.spent;
}

static void rows_and_sums_agree(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    for (int i = 0; i < 50; i++)
        put(l, NOW - (i % 3) * DAY_US, i);
    assert_int_equal(counts(l).waiting, 50);
    assert_true(ledger_flush(l));
    assert_int_equal(counts(l).written, 50);
    assert_int_equal(counts(l).waiting, 0);
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 50);
    assert_int_equal(number(p, "SELECT count(*) FROM sums"), 3);
    assert_int_equal(number(p, "SELECT sum(cost_micro) FROM sums"), 49 * 50 / 2);
    assert_int_equal(number(p, "SELECT sum(requests) FROM sums"), 50);
    assert_int_equal(number(p, "SELECT count(*) FROM (SELECT day, sum(cost_micro) c FROM exchange "
                               "GROUP BY day) r JOIN (SELECT day, sum(cost_micro) c FROM sums "
                               "GROUP BY day) s ON r.day = s.day AND r.c = s.c"),
                     3);
    assert_int_equal(number(p, "SELECT count(*) FROM exchange WHERE request_id IS NULL AND key = "
                               "'k_1' AND class = 'explanation' AND first_us IS NULL"),
                     50);
    struct stat st;
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    ledger_free(l);
}

/* More different sums in a group than are added up at once. */
static void many_kinds_of_rows_in_one_group(void **state)
{
    struct place *p = *state;
    p->setup.queue = 512;
    struct ledger *l = opened(p);
    for (int i = 0; i < 400; i++) {
        struct ledger_entry e = entry(NOW, 1);
        snprintf(e.key, sizeof e.key, "k_%d", i % 200);
        assert_true(ledger_put(l, &e));
    }
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM sums WHERE requests = 2"), 200);
    ledger_free(l);
}

static void what_was_spent_is_known_after_a_restart(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    put(l, NOW, 5);
    put(l, NOW - 22 * DAY_US, 100); /* the 1st */
    put(l, NOW - 23 * DAY_US, 1000);
    ledger_free(l); /* writes what is left */
    l = opened(p);
    assert_int_equal(spent(l, LEDGER_DAY), 5);
    assert_int_equal(spent(l, LEDGER_MONTH), 105);
    assert_int_equal(ledger_budget_purse(ledger_budget_of(l), "k_1")->spent[LEDGER_MONTH], 105);
    ledger_free(l);
}

static void what_asks_no_model_is_in_no_sum(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    struct metrics *m = metrics_new();
    struct ledger_row row = {.request_id = STRV("0af7651916cd43dd8448eb211c80319c"),
                             .door = LLM_OLLAMA,
                             .op = "pull",
                             .outcome = "ok",
                             .wall_us = NOW,
                             .usage = LLM_USAGE_NONE,
                             .first_us = -1};
    ledger_note(l, m, &row);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange WHERE op = 'pull' AND length("
                               "request_id) = 32 AND provider IS NULL AND class = 'none'"),
                     1);
    assert_int_equal(number(p, "SELECT count(*) FROM sums"), 0);
    metrics_free(m);
    ledger_free(l);
}

/* ---- when it cannot be written ---- */

static void a_full_queue_loses_rows_and_counts_them(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    struct metrics *m = metrics_new();
    struct ledger_entry e = entry(NOW, 1);
    struct ledger_row row = {.outcome = "ok", .usage = LLM_USAGE_NONE, .wall_us = NOW};
    int64_t before = metric_sum(METRIC_LEDGER_LOST, 0);
    for (int i = 0; i < 64; i++)
        assert_true(ledger_put(l, &e));
    ledger_close(l, m, NULL, &row);
    ledger_close(l, m, NULL, &row);
    assert_int_equal(counts(l).lost, 2);
    assert_int_equal(metric_sum(METRIC_LEDGER_LOST, 0) - before, 2);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 64);
    metrics_free(m);
    ledger_free(l);
}

static void a_locked_file_is_waited_for_without_losing_rows(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put(l, NOW, 1);
    assert_false(ledger_flush(l));
    assert_true(ledger_failing(l));
    assert_int_equal(counts(l).waiting, 1);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_true(ledger_flush(l));
    assert_false(ledger_failing(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 1);
    ledger_free(l);
}

/* Half of a group fits: none of it is there, and all of it later. */
static void a_full_disk_leaves_whole_groups(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    p->setup.queue = 4096;
    struct ledger_book book;
    struct ledger_queue q;
    assert_true(ledger_queue_init(&q, 4096));
    assert_true(ledger_book_init(&book, p->path, &err) && ledger_book_open(&book, &err));
    assert_true(database_run(&book.d, "PRAGMA max_page_count = 40", &err));
    struct ledger_entry e = entry(NOW, 1);
    size_t used;
    for (int i = 0; i < 4096; i++)
        assert_true(ledger_queue_put(&q, &e, &used));
    assert_int_equal(ledger_book_write(&book, &q, 4096, &err), -1);
    assert_non_null(strstr(err.text, "full"));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 0);
    assert_int_equal(number(p, "SELECT count(*) FROM sums"), 0);
    err_clear(&err);
    assert_true(database_run(&book.d, "PRAGMA max_page_count = 100000", &err));
    assert_int_equal(ledger_book_write(&book, &q, 4096, &err), 4096);
    assert_int_equal(number(p, "SELECT sum(requests) FROM sums"), 4096);
    ledger_book_fini(&book);
    ledger_queue_fini(&q);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void a_damaged_file_is_left_alone_until_it_is_moved_away(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    write_file(p->path, "this is no database, but somebody may want to look at it some day....");
    struct ledger *l = ledger_new(&p->setup, &err);
    assert_non_null(l);
    assert_true(ledger_failing(l));
    assert_non_null(strstr(err.text, "not a ledger of this program"));
    put(l, NOW, 3);
    assert_false(ledger_flush(l));
    assert_int_equal(unlink(p->path), 0);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT sum(cost_micro) FROM exchange"), 3);
    ledger_free(l);
}

static void a_file_that_is_gone_is_made_anew(void **state)
{
    struct place *p = *state;
    char other[128];
    struct ledger *l = opened(p);
    put(l, NOW, 3);
    assert_true(ledger_flush(l));
    snprintf(other, sizeof other, "%s/moved.db", p->folder);
    assert_int_equal(rename(p->path, other), 0);
    snprintf(other, sizeof other, "%s-wal", p->path);
    unlink(other);
    snprintf(other, sizeof other, "%s-shm", p->path);
    unlink(other);
    put(l, NOW, 4);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT sum(cost_micro) FROM exchange"), 4);
    ledger_free(l);
}

static void others_who_may_write_are_not_trusted(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    ledger_free(opened(p));
    assert_int_equal(chmod(p->path, 0666), 0);
    struct ledger *l = ledger_new(&p->setup, &err);
    assert_true(ledger_failing(l));
    ledger_free(l);
}

static void refused_memory_fails_softly(void **state)
{
    struct place *p = *state;
    int64_t live = mem_live();
    for (uint64_t n = 1; n < 8; n++) {
        struct err err = ERR_INIT;
        mem_fail_at(n, false);
        struct ledger *l = ledger_new(&p->setup, &err);
        mem_fail_at(0, false);
        ledger_free(l);
        assert_int_equal(mem_live(), live);
    }
    struct ledger *l = opened(p);
    mem_fail_at(1, true);
    put(l, NOW, 1); /* takes none */
    assert_true(ledger_flush(l));
    assert_false(ledger_ask(l, &(struct ledger_query){0}, NULL, NULL));
    mem_fail_at(0, false);
    ledger_free(l);
    assert_int_equal(mem_live(), live);
}

/* ---- what is deleted ---- */

static void old_rows_go_and_sums_stay(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    put(l, NOW - 500 * DAY_US, 1);
    put(l, NOW - 40 * DAY_US, 2);
    put(l, NOW - 2 * DAY_US, 3);
    put(l, NOW - 1 * DAY_US, 4);
    put(l, NOW, 5);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 3);
    assert_int_equal(number(p, "SELECT count(*) FROM sums"), 4);
    assert_int_equal(number(p, "SELECT count(*) FROM last"), 3);
    ledger_free(l);
}

/* A clock that is years ahead for a while deletes nothing: a day is over when two later ones were seen. */
static void a_wrong_clock_deletes_nothing(void **state)
{
    struct place *p = *state;
    struct ledger *l = opened(p);
    for (int i = 0; i < 5; i++)
        put(l, NOW - i * DAY_US, 1);
    put(l, NOW + 4000 * DAY_US, 1);
    assert_true(ledger_flush(l));
    put(l, NOW + 4000 * DAY_US, 1);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 7);
    /* and one that is years behind neither loses what was written meanwhile */
    put(l, NOW - 3000 * DAY_US, 1);
    put(l, NOW, 1);
    assert_true(ledger_flush(l));
    assert_int_equal(number(p, "SELECT count(*) FROM exchange WHERE ended_us > 1700000000000000"),
                     8);
    ledger_free(l);
}

/* ---- the thread ---- */

struct heard {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int answers;
    int64_t requests, cost;
};

static void on_report(void *arg, const struct ledger_report *r, const struct err *err)
{
    struct heard *h = arg;
    pthread_mutex_lock(&h->lock);
    h->answers++;
    if (err == NULL) {
        h->requests = r->total.requests;
        h->cost = r->total.cost_micro;
    }
    pthread_cond_signal(&h->cond);
    pthread_mutex_unlock(&h->lock);
}

static void wait_for(struct heard *h, int answers)
{
    pthread_mutex_lock(&h->lock);
    while (h->answers < answers)
        pthread_cond_wait(&h->cond, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static const struct ledger_query everything = {.since = 0, .until = 100000};

static void an_answer_holds_everything_until_now(void **state)
{
    struct place *p = *state;
    struct heard h = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    struct err err = ERR_INIT;
    p->setup.interval_ms = 60000; /* a question does not wait for it */
    struct ledger *l = opened(p);
    assert_false(ledger_ask(l, &everything, on_report, &h)); /* nobody is there to answer */
    assert_true(ledger_start(l, &err));
    for (int i = 1; i <= 3; i++) {
        put(l, NOW, 10);
        assert_true(ledger_ask(l, &everything, on_report, &h));
        wait_for(&h, i);
        assert_int_equal(h.requests, i);
        assert_int_equal(h.cost, 10 * i);
    }
    put(l, NOW, 1);
    ledger_stop(l); /* what came before is written */
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 4);
    put(l, NOW, 1); /* also behind the end */
    ledger_free(l);
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), 5);
}

static void *put_many(void *arg)
{
    for (int i = 0; i < 5000; i++) {
        struct ledger_entry e = entry(NOW, 1);
        (void)ledger_put(arg, &e);
    }
    return NULL;
}

/* Rows in the file and rows that were counted as lost are all there were, whatever the threads do. */
static void many_workers_and_one_writer(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    pthread_t threads[4];
    p->setup.queue = 256;
    struct ledger *l = opened(p);
    assert_true(ledger_start(l, &err));
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, l), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ledger_stop(l);
    struct ledger_counts c = counts(l);
    assert_int_equal(c.waiting, 0);
    assert_int_equal(c.written + c.lost, 20000);
    assert_int_equal(number(p, "SELECT count(*) FROM exchange"), c.written);
    assert_int_equal(number(p, "SELECT sum(requests) FROM sums"), c.written);
    ledger_free(l);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(rows_and_sums_agree),
        WITH_PLACE(many_kinds_of_rows_in_one_group),
        WITH_PLACE(what_was_spent_is_known_after_a_restart),
        WITH_PLACE(what_asks_no_model_is_in_no_sum),
        WITH_PLACE(a_full_queue_loses_rows_and_counts_them),
        WITH_PLACE(a_locked_file_is_waited_for_without_losing_rows),
        WITH_PLACE(a_full_disk_leaves_whole_groups),
        WITH_PLACE(a_damaged_file_is_left_alone_until_it_is_moved_away),
        WITH_PLACE(a_file_that_is_gone_is_made_anew),
        WITH_PLACE(others_who_may_write_are_not_trusted),
        WITH_PLACE(refused_memory_fails_softly),
        WITH_PLACE(old_rows_go_and_sums_stay),
        WITH_PLACE(a_wrong_clock_deletes_nothing),
        WITH_PLACE(an_answer_holds_everything_until_now),
        WITH_PLACE(many_workers_and_one_writer),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
