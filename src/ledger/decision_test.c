/* SPDX-License-Identifier: Apache-2.0 */
/* decision - the log of advice: rows through the writer, outcomes that count once and from the same key only, sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/ledger.h"

#define DAY_US INT64_C(86400000000)
#define NOW    (20000 * DAY_US)

static char folder[64], path[96];

static int make_place(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/decision-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/ledger.db", folder);
    return 0;
}

static int drop_place(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[112];
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static struct ledger *opened(void)
{
    struct err err = ERR_INIT;
    struct ledger *l = ledger_new(&(struct ledger_setup){.path = path,
                                                         .queue = 16,
                                                         .interval_ms = 1,
                                                         .keep_rows = 30,
                                                         .keep_sums = 400,
                                                         .wall_us = NOW,
                                                         .log_fd = -1,
                                                         .log_level = LOG_OFF},
                                  &err);
    if (l == NULL || ledger_failing(l))
        fail_msg("%s", err.text);
    return l;
}

static struct ledger_decision answer(int n, const char *key, const char *source, const char *type)
{
    struct ledger_decision d = {.wall_us = NOW + n,
                                .question = "suggest",
                                .source = source,
                                .accepted = type[0] != '\0',
                                .scored = true,
                                .score_before = 0.5,
                                .latency_us = 1000};
    snprintf(d.id, sizeof d.id, "00000000-0000-4000-8000-%012d", n);
    snprintf(d.key, sizeof d.key, "%s", key);
    snprintf(d.type, sizeof d.type, "%s", type);
    snprintf(d.reason, sizeof d.reason, "%s", type[0] != '\0' ? "ok" : "no_json");
    snprintf(d.asked, sizeof d.asked, "%064d", n);
    snprintf(d.schema, sizeof d.schema, "s");
    snprintf(d.schema_digest, sizeof d.schema_digest, "%064d", 1);
    return d;
}

static struct ledger_decision outcome(int n, const char *key, bool applied, double score)
{
    struct ledger_decision d = answer(n, key, "", "");
    d.outcome = true;
    d.applied = applied;
    d.score_after = score;
    return d;
}

static void decide(struct ledger *l, struct ledger_decision d)
{
    assert_true(ledger_decide(l, &d));
}

static void report(struct ledger_decision_report *out, int64_t since_us)
{
    struct ledger_book book;
    struct err err = ERR_INIT;
    if (!ledger_book_init(&book, path, &err) || !ledger_book_open_readonly(&book, &err) ||
        !ledger_book_decisions(&book, since_us, out, &err))
        fail_msg("%s", err.text);
    ledger_book_fini(&book);
}

static void outcomes_count_once_and_from_the_same_key(void **state)
{
    struct ledger *l = opened();
    struct ledger_decision_report r;
    (void)state;
    decide(l, answer(1, "k1", "rules", "algorithm_switch"));
    decide(l, answer(2, "", "rules", "algorithm_switch"));
    decide(l, answer(3, "", "model", ""));
    decide(l, answer(4, "", "model", "strategy_change"));
    decide(l, answer(4, "", "model", "strategy_change")); /* an id is there once */
    decide(l, outcome(1, "k2", true, 9));                 /* somebody else's */
    decide(l, outcome(1, "", true, 9));
    decide(l, outcome(1, "k1", true, 0.75));
    decide(l, outcome(1, "k1", true, 9)); /* a second time */
    decide(l, outcome(2, "", false, 9));
    decide(l, outcome(3, "", true, 9)); /* it was refused: nothing to apply */
    decide(l, outcome(7, "", true, 9)); /* nobody knows it */
    assert_true(ledger_flush(l));
    report(&r, NOW);
    assert_int_equal(r.n, 3);
    assert_string_equal(r.lines[0].source, "model");
    assert_string_equal(r.lines[0].type, "");
    assert_true(r.lines[0].asked == 1 && r.lines[0].accepted == 0 && r.lines[0].applied == 0);
    assert_string_equal(r.lines[1].type, "strategy_change");
    assert_true(r.lines[1].asked == 1 && r.lines[1].measured == 0);
    assert_string_equal(r.lines[2].source, "rules");
    assert_true(r.lines[2].asked == 2 && r.lines[2].accepted == 2 && r.lines[2].applied == 1 &&
                r.lines[2].measured == 1);
    assert_true(r.lines[2].gain > 0.2499 && r.lines[2].gain < 0.2501);
    assert_int_equal(r.n_refusals, 1);
    assert_string_equal(r.refusals[0].reason, "no_json");
    report(&r, NOW + 4);
    assert_int_equal(r.n, 1);
    ledger_free(l);
}

static void what_waits_is_bounded_and_written_at_the_end(void **state)
{
    struct ledger *l = opened();
    struct ledger_decision_report r;
    int n = 0;
    (void)state;
    struct ledger_decision d = answer(n, "", "rules", "a");
    while (n < 1000 && ledger_decide(l, &d)) {
        n++;
        d = answer(n, "", "rules", "a");
    }
    assert_int_equal(n, 256);
    ledger_free(l);
    report(&r, 0);
    assert_int_equal(r.lines[0].asked, 256);
    assert_true(ledger_decide(NULL, &d)); /* no file is kept */
    assert_int_equal(mem_live(), 0);
}

static void the_thread_writes_them_without_any_exchange(void **state)
{
    struct ledger *l = opened();
    struct ledger_decision_report r;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(ledger_start(l, &err));
    decide(l, answer(1, "", "rules", "a"));
    ledger_stop(l);
    report(&r, 0);
    assert_int_equal(r.n, 1);
    ledger_free(l);
}

static void refused_memory_loses_the_row_and_nothing_else(void **state)
{
    struct ledger *l = opened();
    struct ledger_decision d = answer(1, "", "rules", "a");
    struct ledger_counts counts;
    (void)state;
    mem_fail_at(1, false);
    assert_false(ledger_decide(l, &d));
    mem_fail_at(0, false);
    ledger_count(l, &counts);
    assert_int_equal(counts.lost, 1);
    assert_true(ledger_decide(l, &d));
    ledger_free(l);
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(outcomes_count_once_and_from_the_same_key),
        WITH_PLACE(what_waits_is_bounded_and_written_at_the_end),
        WITH_PLACE(the_thread_writes_them_without_any_exchange),
        WITH_PLACE(refused_memory_loses_the_row_and_nothing_else),
    };
    return cmocka_run_group_tests_name("decision", tests, NULL, NULL);
}
