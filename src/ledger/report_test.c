/* SPDX-License-Identifier: Apache-2.0 */
/* report - questions, figures by every column, JSON and CSV, and what is kept of ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/ledger.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define TODAY  ledger_day_of(2026, 11, 23)

static void questions_are_read_strictly(void **state)
{
    (void)state;
    struct ledger_query q;
    struct err err = ERR_INIT;
    assert_true(ledger_query_read(&q, STRV_NONE, STRV_NONE, STRV_NONE, TODAY, &err));
    assert_int_equal(q.by, LEDGER_BY_DAY);
    assert_int_equal(q.until, TODAY);
    assert_int_equal(q.since, TODAY - 29);
    assert_true(ledger_query_read(&q, STRV("model"), STRV("7d"), STRV_NONE, TODAY, &err));
    assert_int_equal(q.by, LEDGER_BY_MODEL);
    assert_int_equal(q.since, TODAY - 6);
    assert_true(
        ledger_query_read(&q, STRV_NONE, STRV("2026-01-01"), STRV("2026-01-31"), TODAY, &err));
    assert_int_equal(q.until - q.since, 30);
    assert_true(ledger_query_read(&q, STRV_NONE, STRV_NONE, STRV("2020-01-31"), TODAY, &err));
    assert_int_equal(q.until - q.since, 29);
    static const char *const wrong[][3] = {
        {"hour", NULL, NULL}, {NULL, "yesterday", NULL},  {NULL, "2026-02-30", NULL},
        {NULL, NULL, "0d"},   {NULL, "2026-11-24", NULL}, {NULL, "", NULL},
        {NULL, "7", NULL},    {NULL, "-7d", NULL},        {NULL, NULL, "2026-11-01T0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err_clear(&err);
        if (ledger_query_read(&q, strv_of(wrong[i][0]), strv_of(wrong[i][1]), strv_of(wrong[i][2]),
                              TODAY, &err))
            fail_msg("row %zu was taken", i);
        assert_true(err.field[0] != '\0');
    }
}

static struct ledger_line a_line(void)
{
    return (struct ledger_line){.name = "x,\"y\"",
                                .requests = 4,
                                .answered = 3,
                                .private = 2,
                                .local = 1,
                                .input = 10,
                                .output = 20,
                                .cached = 5,
                                .cost_micro = 1500000,
                                .reference_micro = 2000001,
                                .local_reference_micro = 7,
                                .total_us = 3000};
}

static void json_and_csv_say_the_same(void **state)
{
    (void)state;
    struct ledger_line line = a_line();
    struct ledger_report r = {
        .query = {LEDGER_BY_KEY, TODAY - 1, TODAY, ""}, .total = line, .lines = &line, .n = 1};
    struct buf out;
    buf_init(&out, 65536);
    ledger_report_json(&r, "ref", &out);
    struct ledger_spent spent[LEDGER_SCOPES] = {{5, 0, 0, LEDGER_FINE},
                                                {1500000, 0, 2000000, LEDGER_WARN}};
    ledger_report_budget(spent, &out);
    buf_put_char(&out, '}');
    buf_put_char(&out, '\0');
    assert_false(out.failed);
    static const char want[] =
        "{\"since\":\"2026-11-22\",\"until\":\"2026-11-23\",\"by\":\"key\",\"reference_model\":"
        "\"ref\",\"rows\":[{\"key\":\"x,\\\"y\\\"\",\"requests\":4,\"answered\":3,\"private\":2,"
        "\"local\":1,\"input_tokens\":10,\"output_tokens\":20,\"cached_tokens\":5,"
        "\"cache_write_tokens\":0,\"reasoning_tokens\":0,\"estimated\":0,\"cost_usd\":1.50,"
        "\"reference_usd\":2.000001,\"saved_usd\":0.500001,\"saved_by_local_usd\":0.000007,"
        "\"avg_latency_ms\":1.000}],";
    assert_memory_equal(buf_view(&out).ptr, want, sizeof want - 1);
    assert_non_null(strstr(buf_view(&out).ptr,
                           "\"budget\":{\"day\":{\"spent_usd\":0.000005,\"limit_usd\":null,"
                           "\"level\":\"ok\"},\"month\":{\"spent_usd\":1.50,\"limit_usd\":2.00,"
                           "\"level\":\"warning\"}}}"));
    buf_clear(&out);
    ledger_report_csv(&r, "ref", &out);
    buf_put_char(&out, '\0');
    assert_string_equal(
        buf_view(&out).ptr,
        "key,requests,answered,private,local,input_tokens,output_tokens,cached_tokens,"
        "cache_write_tokens,reasoning_tokens,estimated,cost_usd,reference_usd,saved_usd,"
        "saved_by_local_usd,avg_latency_ms\r\n"
        "\"x,\"\"y\"\"\",4,3,2,1,10,20,5,0,0,0,1.50,2.000001,0.500001,0.000007,1.000\r\n");
    /* where nothing is compared, nothing is said to be saved */
    buf_clear(&out);
    line.answered = 0;
    ledger_report_csv(&r, NULL, &out);
    buf_put_char(&out, '\0');
    assert_non_null(strstr(buf_view(&out).ptr, ",4,0,2,1,10,20,5,0,0,0,1.50,,,,\r\n"));
    buf_fini(&out);
}

static void ids_of_machines_are_kept_and_nothing_else(void **state)
{
    (void)state;
    static const char *const kept[] = {
        "123e4567-e89b-42d3-a456-426614174000",
        "123E4567E89B42D3A456426614174000",
        "0af7651916cd43dd8448eb211c80319c",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    };
    static const char *const dropped[] = {
        "",
        "123-45-6789",
        "4111-1111-1111-1111",
        "MRN00481516",
        "john.smith@example.org",
        "deadbeef",
        "-123e4567e89b42d3a456426614174000",
        "123e4567--e89b42d3a456426614174000",
        "123e4567-e89b-42d3-a456-42661417400 ",
        "Maria-Lopez-123e4567e89b42d3a456426614174000",
        "00000000000000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_true(ledger_id_fits(strv_of(kept[i])));
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        assert_false(ledger_id_fits(strv_of(dropped[i])));
}

/* ---- figures out of a file ---- */

struct place {
    char folder[64], path[96];
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

static void put(struct ledger_queue *q, int64_t day, const char *key, const char *provider,
                unsigned class, unsigned flags, int64_t cost, int64_t reference)
{
    struct ledger_entry e = {.ended_us = day * DAY_US + 1,
                             .flags = (uint8_t)flags,
                             .class = (uint8_t) class,
                             .op = "chat",
                             .outcome = "ok",
                             .input = 100,
                             .output = 10,
                             .cost_micro = cost,
                             .reference_micro = reference,
                             .total_us = 1000};
    size_t used;
    snprintf(e.key, sizeof e.key, "%s", key);
    snprintf(e.provider, sizeof e.provider, "%s", provider);
    snprintf(e.model, sizeof e.model, "%s", provider[0] != '\0' ? "m" : "");
    assert_true(ledger_queue_put(q, &e, &used));
}

static void fill(struct ledger_book *b)
{
    const unsigned ok = LEDGER_ANSWERED, local = LEDGER_ANSWERED | LEDGER_LOCAL;
    struct ledger_queue q;
    struct err err = ERR_INIT;
    assert_true(ledger_queue_init(&q, 16));
    put(&q, TODAY, "k_a", "cloud", 0, ok, 500, 400);
    put(&q, TODAY, "k_a", "house", 1, local | LEDGER_PRIVATE, 0, 300);
    put(&q, TODAY, "k_b", "house", 1, local, 0, 200);
    put(&q, TODAY - 1, "", "", 6, 0, 0, 0); /* failed */
    put(&q, TODAY - 40, "k_a", "cloud", 0, ok, 9000, 9000);
    assert_int_equal(ledger_book_write(b, &q, 100, &err), 5);
    ledger_queue_fini(&q);
}

static struct ledger_report ask(struct ledger_book *b, enum ledger_by by, int64_t since,
                                const char *key)
{
    struct ledger_query query = {.by = by, .since = since, .until = TODAY};
    struct ledger_report r;
    struct err err = ERR_INIT;
    snprintf(query.key, sizeof query.key, "%s", key);
    if (!ledger_book_report(b, &query, &r, &err))
        fail_msg("%s", err.text);
    return r;
}

static void lines_are_grouped_and_add_up(void **state)
{
    struct place *p = *state;
    struct ledger_book b;
    struct err err = ERR_INIT;
    static const struct {
        enum ledger_by by;
        const char *names; /* in order */
    } rows[] = {
        {LEDGER_BY_DAY, "2026-11-22 2026-11-23 "},
        {LEDGER_BY_CLASS, "simple_query explanation none "},
        {LEDGER_BY_MODEL, "cloud/m house/m none "},
        {LEDGER_BY_KEY, "k_a none k_b "},
        {LEDGER_BY_PROVIDER, "cloud house none "},
    };
    assert_true(ledger_book_init(&b, p->path, &err) && ledger_book_open(&b, &err));
    fill(&b);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ledger_report r = ask(&b, rows[i].by, TODAY - 29, "");
        char names[200] = "";
        int64_t requests = 0;
        for (size_t k = 0; k < r.n; k++) {
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", r.lines[k].name);
            requests += r.lines[k].requests;
        }
        assert_string_equal(names, rows[i].names);
        assert_int_equal(requests, 4);
        assert_int_equal(r.total.requests, 4);
        assert_int_equal(r.total.answered, 3);
        assert_int_equal(r.total.private, 1);
        assert_int_equal(r.total.local, 2);
        assert_int_equal(r.total.cost_micro, 500);
        assert_int_equal(r.total.reference_micro, 900);
        assert_int_equal(r.total.local_reference_micro, 500);
        assert_int_equal(r.total.total_us, 3000);
        ledger_report_fini(&r);
    }
    struct ledger_report r = ask(&b, LEDGER_BY_DAY, TODAY - 50, "k_a"); /* only its own */
    assert_int_equal(r.total.requests, 3);
    assert_int_equal(r.total.cost_micro, 9500);
    ledger_report_fini(&r);
    r = ask(&b, LEDGER_BY_DAY, TODAY - 50, "k_c");
    assert_int_equal(r.n, 0);
    ledger_report_fini(&r);
    ledger_book_fini(&b);
}

static void readers_come_without_a_writer_and_beside_one(void **state)
{
    struct place *p = *state;
    struct ledger_book writer, reader;
    struct err err = ERR_INIT;
    assert_true(ledger_book_init(&reader, p->path, &err));
    assert_false(ledger_book_open_readonly(&reader, &err)); /* there is none yet: no error */
    assert_false(err.set);
    assert_true(ledger_book_init(&writer, p->path, &err) && ledger_book_open(&writer, &err));
    assert_true(ledger_book_open_readonly(&reader, &err));
    fill(&writer);
    struct ledger_report r = ask(&reader, LEDGER_BY_DAY, TODAY, "");
    assert_int_equal(r.total.requests, 3);
    ledger_report_fini(&r);
    ledger_book_close(&reader);
    ledger_book_fini(&writer);
    assert_true(ledger_book_open_readonly(&reader, &err));
    r = ask(&reader, LEDGER_BY_DAY, TODAY, "");
    assert_int_equal(r.total.requests, 3);
    ledger_report_fini(&r);
    /* a reader writes nothing */
    assert_false(database_run(&reader.d, "DELETE FROM sums", &err));
    ledger_book_fini(&reader);
}

static void a_file_of_another_version_is_not_read(void **state)
{
    struct place *p = *state;
    struct ledger_book b;
    struct err err = ERR_INIT;
    assert_true(ledger_book_init(&b, p->path, &err) && ledger_book_open(&b, &err));
    assert_true(database_run(&b.d, "PRAGMA user_version = 99", &err));
    ledger_book_close(&b);
    assert_false(ledger_book_open_readonly(&b, &err));
    assert_true(err.set);
    err_clear(&err);
    assert_false(ledger_book_open(&b, &err));
    assert_non_null(strstr(err.text, "newer version"));
    ledger_book_fini(&b);
}

static void refused_memory_ends_a_report(void **state)
{
    struct place *p = *state;
    struct ledger_book b;
    struct ledger_query query = {.by = LEDGER_BY_KEY, .since = 0, .until = TODAY};
    struct ledger_report r;
    struct err err = ERR_INIT;
    assert_true(ledger_book_init(&b, p->path, &err) && ledger_book_open(&b, &err));
    fill(&b);
    int64_t live = mem_live();
    mem_fail_at(1, true);
    assert_false(ledger_book_report(&b, &query, &r, &err));
    mem_fail_at(0, false);
    assert_int_equal(mem_live(), live);
    assert_true(ledger_book_report(&b, &query, &r, &err));
    ledger_report_fini(&r);
    ledger_book_fini(&b);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_read_strictly),
        cmocka_unit_test(json_and_csv_say_the_same),
        cmocka_unit_test(ids_of_machines_are_kept_and_nothing_else),
        WITH_PLACE(lines_are_grouped_and_add_up),
        WITH_PLACE(readers_come_without_a_writer_and_beside_one),
        WITH_PLACE(a_file_of_another_version_is_not_read),
        WITH_PLACE(refused_memory_ends_a_report),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
