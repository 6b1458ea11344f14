/* SPDX-License-Identifier: Apache-2.0 */
/* audit_test - the queue and the writer: who is told what and when, and what is on the disk by then. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "ledger/audit_int.h"
#include "ledger/ledger.h"

struct place {
    char folder[64], dir[128], key[128];
    struct audit_opts opts;
    struct audit_disk disk;
    atomic_int write_errno, sync_errno;
    struct io_loop *loop;
    struct audit *audit;
};

static ssize_t fake_write(void *arg, int fd, const void *data, size_t n)
{
    struct place *p = arg;
    errno = atomic_load(&p->write_errno);
    return errno != 0 ? -1 : write(fd, data, n);
}

static int fake_sync(void *arg, int fd)
{
    struct place *p = arg;
    (void)fd;
    errno = atomic_load(&p->sync_errno);
    return errno != 0 ? -1 : 0;
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct err err = ERR_INIT;
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-audit-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->dir, sizeof p->dir, "%s/audit", p->folder);
    snprintf(p->key, sizeof p->key, "%s/audit.key", p->folder);
    p->opts = (struct audit_opts){.dir = p->dir,
                                  .key = p->key,
                                  .rotate_bytes = 20000,
                                  .rotate_ms = 86400000,
                                  .flush_ms = 3600000, /* notes wait until somebody is in a hurry */
                                  .checkpoint_ms = 60000};
    p->disk = audit_disk_system;
    p->disk.write = fake_write;
    p->disk.sync = fake_sync;
    p->disk.arg = p;
    p->loop = io_loop_new(&err);
    *state = p;
    return p->loop == NULL;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    io_loop_free(p->loop);
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = system(command);
    free(p);
    return status;
}

static void open_audit(struct place *p)
{
    struct err err = ERR_INIT;
    p->audit = audit_open_disk(&p->opts, &p->disk, NULL, &err);
    if (p->audit == NULL)
        fail_msg("%s", err.text);
}

static struct audit_intent an_intent(strv id)
{
    return (struct audit_intent){.request_id = id,
                                 .key = "k_1",
                                 .door = "openai",
                                 .session = STRV("Doe, Jane"),
                                 .task = STRV("explanation"),
                                 .findings = "",
                                 .rule = STRV("role general"),
                                 .attempt = 1,
                                 .provider = "anthropic",
                                 .zone = "cloud",
                                 .model = STRV("claude"),
                                 .address = "api.anthropic.com:443",
                                 .bytes = 5};
}

static void note(struct place *p, strv id)
{
    struct ledger_attempt attempt = {
        .provider_name = "ollama", .model = STRV("llama"), .outcome_name = "ok", .us = 12};
    struct ledger_row row = {.request_id = id,
                             .door = LLM_OPENAI,
                             .attempts = &attempt,
                             .n_attempts = 1,
                             .provider = "ollama",
                             .model = STRV("llama"),
                             .usage = LLM_USAGE_NONE,
                             .outcome = "ok",
                             .status = 200,
                             .wall_us = (int64_t)1764000000 * 1000000};
    struct audit_facts facts = {.session = STRV("Doe, Jane"), .findings = "name=1"};
    audit_note(p->audit, &row, &facts);
}

/* ---- what is on the disk ---- */

static bool gather(void *arg, strv line)
{
    struct buf *b = arg;
    buf_put_strv(b, line);
    buf_put_char(b, '\n');
    return true;
}

static bool holds(struct place *p, const char *text)
{
    struct buf b;
    struct audit_place at = {0};
    struct err err = ERR_INIT;
    buf_init(&b, 1 << 24);
    assert_true(audit_each(p->dir, &at, gather, &b, &err));
    buf_put_char(&b, '\0');
    bool found = strstr(buf_view(&b).ptr, text) != NULL;
    buf_fini(&b);
    return found;
}

static bool on_problem(void *arg, const struct audit_problem *p)
{
    (void)arg;
    fail_msg("%s:%llu: %s", p->file, (unsigned long long)p->line, p->what);
    return false;
}

static void close_and_check(struct place *p)
{
    struct audit_count count;
    struct err err = ERR_INIT;
    struct audit_check check = {.dir = p->dir, .public_key = p->key, .problem = on_problem};
    audit_close(p->audit);
    assert_true(audit_verify(&check, &count, &err));
    assert_int_equal(count.unsigned_records, 0);
}

/* ---- waiting ---- */

struct wait {
    struct place *p;
    size_t due, told, good;
    const char *present; /* must be on the disk when done() comes */
};

static void on_done(void *arg, bool ok)
{
    struct wait *w = arg;
    if (ok && w->present != NULL)
        assert_true(holds(w->p, w->present));
    w->told++;
    w->good += ok;
    if (w->told == w->due)
        io_loop_stop(w->p->loop);
}

static void keep_running(void *arg)
{
    (void)arg;
}

/* The loop runs until everybody is told. */
static void run(struct place *p, struct wait *w)
{
    struct io_timer timer = {0};
    if (w->told < w->due) {
        io_timer_start(p->loop, &timer, 3600000, keep_running, NULL);
        io_loop_run(p->loop);
        io_timer_stop(p->loop, &timer);
    }
    assert_int_equal(w->told, w->due);
}

/* The writer tries by itself. */
static void until_ready(struct place *p)
{
    while (!audit_ready(p->audit, NULL, 0))
        usleep(1000);
}

static void an_intent_is_on_the_disk_when_it_is_done(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1, .present = "\"request\":\"req-7\""};
    struct audit_intent in = an_intent(STRV("req-7"));
    open_audit(p);
    assert_true(audit_ready(p->audit, NULL, 0));
    assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
    run(p, &w);
    assert_int_equal(w.good, 1);
    assert_true(holds(p, "\"address\":\"api.anthropic.com:443\",\"bytes\":5,\"sha256\":\"0000"));
    assert_false(holds(p, "Jane")); /* a session is told by a keyed digest */
    assert_true(holds(p, "\"session\":\""));
    close_and_check(p);
}

static void many_are_made_durable_together_and_in_order(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 2000};
    open_audit(p);
    for (size_t i = 0; i < w.due; i++) {
        struct audit_intent in = an_intent(STRV("r"));
        in.bytes = i;
        assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
        if (i % 10 == 0)
            note(p, STRV("n"));
    }
    run(p, &w);
    assert_int_equal(w.good, w.due);
    close_and_check(p);
    assert_true(holds(p, "\"why\":\"rotate\""));
}

static void a_note_waits_but_not_beyond_the_end(void **state)
{
    struct place *p = *state;
    open_audit(p);
    note(p, STRV("last-words"));
    close_and_check(p);
    assert_true(holds(p, "\"request\":\"last-words\""));
    assert_true(holds(p, "\"findings\":\"name=1\""));
    assert_false(holds(p, "Jane"));
}

static void a_note_goes_with_the_next_intent(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1, .present = "\"request\":\"before\""};
    struct audit_intent in = an_intent(STRV("r"));
    open_audit(p);
    note(p, STRV("before"));
    assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
    run(p, &w);
    close_and_check(p);
}

static void a_forgotten_ticket_is_written_and_not_told(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1}, never = {.p = p, .due = 1};
    struct audit_intent first = an_intent(STRV("gone")), second = an_intent(STRV("here"));
    open_audit(p);
    audit_forget(audit_intend(p->audit, p->loop, &first, on_done, &never));
    assert_non_null(audit_intend(p->audit, p->loop, &second, on_done, &w));
    run(p, &w);
    assert_int_equal(never.told, 0);
    assert_true(holds(p, "\"request\":\"gone\""));
    close_and_check(p);
}

static void a_loop_that_leaves_is_not_posted_to(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct wait never = {.p = p, .due = 1};
    open_audit(p);
    for (int i = 0; i < 50; i++) {
        struct io_loop *loop = io_loop_new(&err);
        struct audit_intent in = an_intent(STRV("r"));
        for (int k = 0; k < 5; k++)
            audit_forget(audit_intend(p->audit, loop, &in, on_done, &never));
        audit_leave(p->audit, loop);
        io_loop_free(loop);
    }
    assert_int_equal(never.told, 0);
    close_and_check(p);
}

static void a_disk_that_fails_stops_intents_and_gives_a_reason(void **state)
{
    struct place *p = *state;
    static const int kinds[] = {ENOSPC, EIO, EFBIG, EROFS};
    open_audit(p);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct wait w = {.p = p, .due = 1};
        struct audit_intent in = an_intent(STRV("never-sent"));
        char why[200];
        atomic_store(&p->write_errno, kinds[i]);
        if (audit_intend(p->audit, p->loop, &in, on_done, &w) != NULL) {
            run(p, &w);
            assert_int_equal(w.good, 0);
        }
        assert_false(audit_ready(p->audit, why, sizeof why));
        assert_non_null(strstr(why, strerror(kinds[i])));
        assert_null(audit_intend(p->audit, p->loop, &in, on_done, &w)); /* at once */
        note(p, STRV("meanwhile"));
        atomic_store(&p->write_errno, 0);
        until_ready(p);
        w = (struct wait){.p = p, .due = 1, .present = "\"type\":\"resume\""};
        in = an_intent(STRV("sent"));
        assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
        run(p, &w);
        assert_int_equal(w.good, 1);
    }
    assert_true(holds(p, "\"request\":\"meanwhile\"")); /* the note was kept */
    assert_false(holds(p, "never-sent"));
    close_and_check(p);
}

static void a_sync_that_fails_means_a_new_file(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1};
    struct audit_intent in = an_intent(STRV("r"));
    open_audit(p);
    atomic_store(&p->sync_errno, EIO);
    assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
    run(p, &w);
    assert_int_equal(w.good, 0);
    atomic_store(&p->sync_errno, 0);
    until_ready(p);
    close_and_check(p);
    assert_true(holds(p, "\"why\":\"error\""));
}

static void notes_that_find_no_room_are_counted(void **state)
{
    struct place *p = *state;
    open_audit(p);
    atomic_store(&p->write_errno, ENOSPC);
    struct wait w = {.p = p, .due = 1};
    struct audit_intent in = an_intent(STRV("r"));
    assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
    run(p, &w);
    for (int i = 0; i < 17000; i++)
        note(p, STRV("n"));
    atomic_store(&p->write_errno, 0);
    until_ready(p);
    close_and_check(p);
    assert_true(holds(p, "\"type\":\"lost\",\"records\":"));
}

static void an_audit_that_cannot_begin_begins_later(void **state)
{
    struct place *p = *state;
    char why[200];
    FILE *f = fopen(p->dir, "w"); /* a file where the folder should be */
    fclose(f);
    open_audit(p);
    assert_false(audit_ready(p->audit, why, sizeof why));
    note(p, STRV("early"));
    unlink(p->dir);
    until_ready(p);
    close_and_check(p);
    assert_true(holds(p, "\"request\":\"early\""));
}

static void another_process_is_refused(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    open_audit(p);
    assert_null(audit_open_disk(&p->opts, &p->disk, NULL, &err));
    assert_non_null(strstr(err.text, "another router"));
    close_and_check(p);
}

static enum audit_sunk sink(void *arg, strv record)
{
    struct buf *b = arg;
    buf_put_strv(b, record);
    buf_put_char(b, '\n');
    return AUDIT_SUNK_YES;
}

static void a_sink_gets_every_record(void **state)
{
    struct place *p = *state;
    struct buf b;
    struct wait w = {.p = p, .due = 1};
    struct audit_intent in = an_intent(STRV("r-1"));
    buf_init(&b, 1 << 20);
    p->audit = audit_open_sink(sink, &b);
    assert_non_null(audit_intend(p->audit, p->loop, &in, on_done, &w));
    assert_int_equal(w.told, 0); /* never from inside */
    run(p, &w);
    note(p, STRV("r-1"));
    audit_close(p->audit);
    buf_put_char(&b, '\0');
    assert_non_null(strstr(buf_view(&b).ptr, "{\"seq\":2,\"time\":\"2025-11-24T"));
    buf_fini(&b);
}

static void no_memory_refuses_that_intent(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1};
    struct audit_intent in = an_intent(STRV("r"));
    open_audit(p);
    for (uint64_t nth = 1;; nth++) {
        mem_fail_at(nth, false);
        struct audit_ticket *t = audit_intend(p->audit, p->loop, &in, on_done, &w);
        mem_fail_at(0, false);
        if (t != NULL)
            break;
    }
    run(p, &w);
    mem_fail_at(1, true);
    note(p, STRV("n"));
    mem_fail_at(0, false);
    close_and_check(p);
    assert_true(holds(p, "\"type\":\"lost\",\"records\":1"));
}

/* ---- two processes ---- */

static struct audit *next_one(struct place *p)
{
    struct err err = ERR_INIT;
    struct audit *a = audit_open_disk(&p->opts, &p->disk, NULL, &err);
    if (a == NULL)
        fail_msg("%s", err.text);
    return a;
}

/* p->audit yields; the one that comes, which writes for both. */
static struct audit *take_over(struct place *p)
{
    struct err err = ERR_INIT;
    int pair[2];
    assert_true(io_pass_pair(pair));
    assert_true(audit_yield(p->audit, pair[0]));
    struct audit *new = next_one(p);
    assert_true(audit_take(new, pair[1], &err));
    assert_true(audit_taking(new));
    return new;
}

static void intend(struct place *p, struct audit *a, const char *id, struct wait *w)
{
    struct audit_intent in = an_intent(strv_of(id));
    assert_non_null(audit_intend(a, p->loop, &in, on_done, w));
}

static void who_goes_has_its_records_written_by_who_comes(void **state)
{
    struct place *p = *state;
    struct wait before = {.p = p, .due = 1, .present = "\"request\":\"before\""};
    struct wait w = {.p = p, .due = 200};
    open_audit(p);
    intend(p, p->audit, "before", &before);
    run(p, &before);
    note(p, STRV("n-before")); /* still in the queue: it goes the new way or the old */
    struct audit *old = p->audit, *new = take_over(p);
    for (size_t i = 0; i < w.due; i++) {
        intend(p, i % 2 == 0 ? old : new, i % 2 == 0 ? "of the old" : "of the new", &w);
        if (i % 20 == 0)
            note(p, STRV("n-old"));
    }
    run(p, &w);
    assert_int_equal(w.good, w.due);
    struct wait last = {.p = p, .due = 1, .present = "\"request\":\"last\""};
    intend(p, old, "last", &last);
    run(p, &last);
    assert_int_equal(last.good, 1);
    note(p, STRV("n-last"));
    audit_close(old); /* all of it is over there now */
    while (audit_taking(new))
        usleep(1000);
    p->audit = new;
    close_and_check(p);
    assert_true(holds(p, "n-before"));
    assert_true(holds(p, "n-old"));
    assert_true(holds(p, "n-last"));
    assert_true(holds(p, "of the new"));
}

static void when_the_other_cannot_write_neither_can_we(void **state)
{
    struct place *p = *state;
    open_audit(p);
    struct audit *old = p->audit, *new = take_over(p);
    struct wait w = {.p = p, .due = 1};
    atomic_store(&p->write_errno, ENOSPC);
    intend(p, old, "refused", &w);
    run(p, &w);
    assert_int_equal(w.good, 0);
    note(p, STRV("kept"));
    atomic_store(&p->write_errno, 0);
    until_ready(p);
    audit_close(old);
    p->audit = new;
    close_and_check(p);
    assert_false(holds(p, "refused"));
    assert_true(holds(p, "kept"));
}

static void when_the_other_is_gone_the_files_are_taken_back(void **state)
{
    struct place *p = *state;
    struct wait w = {.p = p, .due = 1, .present = "\"request\":\"again\""};
    open_audit(p);
    struct audit *old = p->audit, *new = take_over(p);
    audit_close(new);
    note(p, STRV("meanwhile"));
    while (w.good == 0) { /* whoever asks while nobody writes is refused */
        struct audit_intent in = an_intent(STRV("again"));
        w.told = 0;
        if (audit_intend(old, p->loop, &in, on_done, &w) != NULL)
            run(p, &w);
    }
    p->audit = old;
    close_and_check(p);
    assert_true(holds(p, "meanwhile"));
}

static void one_after_the_other_makes_one_chain(void **state)
{
    struct place *p = *state;
    open_audit(p);
    for (int i = 0; i < 20; i++) {
        struct wait w = {.p = p, .due = 10};
        struct audit *old = p->audit, *new = take_over(p);
        for (size_t k = 0; k < w.due; k++)
            intend(p, k % 2 == 0 ? old : new, "r", &w);
        note(p, STRV("n"));
        run(p, &w);
        assert_int_equal(w.good, w.due);
        audit_close(old);
        while (audit_taking(new))
            usleep(1000);
        p->audit = new;
    }
    close_and_check(p);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_intent_is_on_the_disk_when_it_is_done),
        T(many_are_made_durable_together_and_in_order),
        T(a_note_waits_but_not_beyond_the_end),
        T(a_note_goes_with_the_next_intent),
        T(a_forgotten_ticket_is_written_and_not_told),
        T(a_loop_that_leaves_is_not_posted_to),
        T(a_disk_that_fails_stops_intents_and_gives_a_reason),
        T(a_sync_that_fails_means_a_new_file),
        T(notes_that_find_no_room_are_counted),
        T(an_audit_that_cannot_begin_begins_later),
        T(another_process_is_refused),
        T(a_sink_gets_every_record),
        T(no_memory_refuses_that_intent),
        T(who_goes_has_its_records_written_by_who_comes),
        T(when_the_other_cannot_write_neither_can_we),
        T(when_the_other_is_gone_the_files_are_taken_back),
        T(one_after_the_other_makes_one_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
