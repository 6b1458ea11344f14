/* SPDX-License-Identifier: Apache-2.0 */
/* audit_trail_test - the files of the audit: their form, how they go on after every kind of end, and that a check
 * finds every kind of tampering. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "ledger/audit_int.h"
#include "ledger/ledger.h"

#define DAY_US ((int64_t)86400 * 1000000)

/* A disk that fails when it is told to. */
struct fake {
    int64_t wall_us;
    int write_errno, sync_errno, open_errno;
    size_t room; /* bytes that may still be written before write_errno */
    unsigned syncs;
};

static ssize_t fake_write(void *arg, int fd, const void *data, size_t n)
{
    struct fake *f = arg;
    if (f->write_errno != 0 && n > f->room) {
        if (f->room == 0) {
            errno = f->write_errno;
            return -1;
        }
        n = f->room;
    }
    ssize_t done = write(fd, data, n);
    if (f->write_errno != 0 && done > 0)
        f->room -= (size_t)done;
    return done;
}

static int fake_sync(void *arg, int fd)
{
    struct fake *f = arg;
    (void)fd;
    f->syncs++;
    errno = f->sync_errno;
    return f->sync_errno != 0 ? -1 : 0;
}

static int fake_open(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    struct fake *f = arg;
    errno = f->open_errno;
    return f->open_errno != 0 ? -1 : openat(dir, name, flags, mode);
}

static int fake_truncate(void *arg, int fd, off_t size)
{
    (void)arg;
    return ftruncate(fd, size);
}

static int fake_remove(void *arg, int dir, const char *name)
{
    (void)arg;
    return unlinkat(dir, name, 0);
}

static int64_t fake_wall(void *arg)
{
    struct fake *f = arg;
    return f->wall_us += 1000;
}

struct place {
    char folder[64], dir[128], key[128], public[128];
    struct fake fake;
    struct audit_disk disk;
    struct audit_opts opts;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-audit-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->dir, sizeof p->dir, "%s/audit", p->folder);
    snprintf(p->key, sizeof p->key, "%s/audit.key", p->folder);
    snprintf(p->public, sizeof p->public, "%s/audit.pub", p->folder);
    p->fake.wall_us = (int64_t)1764000000 * 1000000;
    p->disk = (struct audit_disk){fake_write,  fake_sync, fake_open, fake_truncate,
                                  fake_remove, fake_wall, &p->fake};
    p->opts = (struct audit_opts){.dir = p->dir,
                                  .key = p->key,
                                  .rotate_bytes = 1 << 20,
                                  .rotate_ms = 86400000,
                                  .checkpoint_ms = 60000};
    *state = p;
    return 0;
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
    char command[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static int tear_down(void **state)
{
    struct place *p = *state;
    shell("rm -rf '%s'", p->folder);
    free(p);
    return 0;
}

/* ---- writing ---- */

static void open_trail(struct place *p, struct audit_trail *t)
{
    struct err err = ERR_INIT;
    assert_true(audit_trail_init(t, &p->opts, &p->disk, NULL));
    if (!audit_trail_open(t, &err))
        fail_msg("%s", err.text);
}

static bool add(struct audit_trail *t, unsigned n)
{
    struct err err = ERR_INIT;
    struct buf b;
    struct audit_intent in = {.request_id = STRV("r-1"),
                              .attempt = n,
                              .door = "openai",
                              .provider = "cloud",
                              .zone = "cloud",
                              .bytes = n};
    buf_init(&b, 4096);
    audit_put_intent(&b, t->disk->wall_us(t->disk->arg), &in, NULL);
    bool ok = !b.failed && audit_trail_begin(t, &err) && audit_trail_add(t, buf_view(&b)) &&
              audit_trail_commit(t, &err);
    buf_fini(&b);
    return ok;
}

static void tend(struct audit_trail *t)
{
    struct err err = ERR_INIT;
    if (!audit_trail_tend(t, false, &err))
        fail_msg("%s", err.text);
}

/* A trail of three files, `each` records in each, the last not ended. */
static void write_files(struct place *p, unsigned each)
{
    struct audit_trail t;
    open_trail(p, &t);
    for (unsigned i = 1; i <= 3 * each; i++) {
        assert_true(add(&t, i));
        if (i % each == 0 && i < 3 * each) {
            p->fake.wall_us += DAY_US;
            tend(&t);
        }
    }
    audit_trail_fini(&t);
}

static void write_public(struct place *p)
{
    struct err err = ERR_INIT;
    struct buf pem;
    buf_init(&pem, 4096);
    assert_true(audit_public_key(p->key, false, &pem, &err));
    FILE *f = fopen(p->public, "w");
    fwrite(buf_view(&pem).ptr, 1, buf_len(&pem), f);
    fclose(f);
    buf_fini(&pem);
}

/* ---- checking ---- */

struct told {
    unsigned problems, remarks;
    bool show;
    char file[64], what[256]; /* of the first problem */
    uint64_t line, seq;
};

static bool on_problem(void *arg, const struct audit_problem *p)
{
    struct told *t = arg;
    if (t->show)
        print_message("%s:%llu: record %llu: %s\n", p->file, (unsigned long long)p->line,
                      (unsigned long long)p->seq, p->what);
    if (t->problems++ == 0) {
        snprintf(t->file, sizeof t->file, "%s", p->file);
        snprintf(t->what, sizeof t->what, "%s", p->what);
        t->line = p->line;
        t->seq = p->seq;
    }
    return true;
}

static void on_remark(void *arg, const struct audit_problem *p)
{
    struct told *t = arg;
    if (t->show)
        print_message("remark: %s:%llu: %s\n", p->file, (unsigned long long)p->line, p->what);
    t->remarks++;
}

static struct told check_dir(const char *dir, const char *public, struct audit_count *count)
{
    struct told t = {0};
    struct err err = ERR_INIT;
    struct audit_count c;
    struct audit_check check = {
        .dir = dir, .public_key = public, .problem = on_problem, .remark = on_remark, .arg = &t};
    if (!audit_verify(&check, count != NULL ? count : &c, &err))
        fail_msg("%s", err.text);
    return t;
}

static struct told checked(struct place *p)
{
    return check_dir(p->dir, p->key, NULL);
}

static void assert_clean(struct told told)
{
    if (told.problems != 0)
        fail_msg("%s:%llu: %s", told.file, (unsigned long long)told.line, told.what);
}

/* ---- the normal life ---- */

static void a_trail_is_whole_over_several_files(void **state)
{
    struct place *p = *state;
    struct audit_count count;
    write_files(p, 3);
    write_public(p);
    assert_clean(check_dir(p->dir, p->public, &count));
    assert_int_equal(count.files, 3);
    assert_int_equal(count.first_seq, 1);
    /* three first records, start, nine intents, two checkpoints at the ends of files */
    assert_int_equal(count.records, 3 + 1 + 9 + 2);
    assert_int_equal(count.last_seq, count.records);
    assert_int_equal(count.unsigned_records, 0);
}

static void lines_are_json_in_one_form(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct audit_map m;
    struct err err = ERR_INIT;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    audit_trail_fini(&t);
    assert_true(audit_map(p->dir, 1, &m, &err));
    strv rest = {m.data, m.size}, line;
    size_t n = 0;
    while (strv_cut(&rest, '\n', &line) && line.len > 0) {
        struct arena a;
        struct json doc;
        struct audit_line l;
        arena_init(&a, 4096, 1 << 20);
        assert_true(json_read(&doc, line, &a, 0, &err));
        assert_true(audit_parse(line, &l));
        assert_int_equal(l.seq, ++n);
        assert_int_equal(json_get_int(doc.root, "seq", 0), n);
        assert_non_null(json_get_str(doc.root, "time").ptr);
        assert_true(strv_eq(json_get_str(doc.root, "type"), l.type));
        assert_int_equal(json_get_str(doc.root, "hash").len, 64);
        arena_fini(&a);
    }
    assert_int_equal(n, 3);
    audit_unmap(&m);
    struct stat st;
    assert_int_equal(stat(p->key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(p->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_trail_goes_on_after_a_restart(void **state)
{
    struct place *p = *state;
    struct audit_count count;
    for (unsigned i = 0; i < 5; i++) {
        struct audit_trail t;
        open_trail(p, &t);
        assert_true(add(&t, i));
        audit_trail_fini(&t);
        assert_clean(check_dir(p->dir, p->key, &count));
    }
    assert_int_equal(count.files, 1);
    assert_int_equal(count.records, 1 + 5 * 2);
}

static void two_do_not_write_to_one_folder(void **state)
{
    struct place *p = *state;
    struct audit_trail one, two;
    struct err err = ERR_INIT;
    bool taken;
    open_trail(p, &one);
    assert_true(audit_trail_init(&two, &p->opts, &p->disk, NULL));
    assert_false(audit_trail_lock(&two, &taken, &err));
    assert_true(taken);
    audit_trail_fini(&one);
    err_clear(&err);
    assert_true(audit_trail_lock(&two, &taken, &err));
    audit_trail_fini(&two);
}

static void old_files_go_with_a_record_that_says_so(void **state)
{
    struct place *p = *state;
    struct audit_count count;
    struct audit_trail t;
    write_files(p, 3);
    p->opts.keep_days = 2;
    p->fake.wall_us += DAY_US + DAY_US / 2;
    open_trail(p, &t);
    tend(&t);
    assert_true(add(&t, 1));
    audit_trail_fini(&t);
    assert_clean(check_dir(p->dir, p->key, &count));
    assert_int_equal(count.files, 3); /* the first is gone, a fourth begun */
    assert_true(count.first_seq > 1);
    /* One more than the record says is found. */
    shell("rm '%s/audit-00000002.jsonl'", p->dir);
    struct told told = checked(p);
    assert_true(told.problems > 0);
    assert_string_equal(told.file, "audit-00000003.jsonl");
}

static void retention_by_size_keeps_the_newest(void **state)
{
    struct place *p = *state;
    struct audit_count count;
    struct audit_trail t;
    p->opts.rotate_bytes = 1000;
    p->opts.keep_bytes = 4000;
    open_trail(p, &t);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(add(&t, i));
        tend(&t);
    }
    audit_trail_fini(&t);
    assert_clean(check_dir(p->dir, p->key, &count));
    assert_in_range(count.files, 2, 6);
    assert_true(count.first_seq > 20);
}

/* ---- ends that nobody wanted ---- */

static off_t size_of(struct place *p, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void cut_to(struct place *p, const char *name, off_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    assert_int_equal(truncate(path, size), 0);
}

/* As after kill -9 within the write of the third intent: the head does not know it. */
static void an_unfinished_line_is_cut_off_and_told(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    char one[] = "audit-00000001.jsonl";
    open_trail(p, &t);
    assert_true(add(&t, 1));
    off_t before = (off_t)t.size;
    audit_trail_fini(&t);
    shell("cp -a '%s' '%s.before'", p->dir, p->dir);
    open_trail(p, &t);
    audit_trail_fini(&t);
    off_t after = size_of(p, one);
    for (off_t size = before + 1; size <= after; size += size + 1 < after ? 13 : 1) {
        size = size < after ? size : after;
        struct told told;
        shell("rm -rf '%s.now'; cp -a '%s' '%s.now'", p->dir, p->dir, p->dir);
        cut_to(p, one, size);
        shell("cp '%s.before/head' '%s/head'", p->dir, p->dir); /* of the time before */
        told = checked(p);
        assert_clean(told);
        assert_int_equal(told.remarks, 1); /* unfinished, or not signed yet */
        open_trail(p, &t);
        assert_true(add(&t, 2));
        audit_trail_fini(&t);
        told = checked(p);
        assert_clean(told);
        assert_int_equal(told.remarks, 1); /* the repair, or unsigned records */
        shell("rm -rf '%s'; mv '%s.now' '%s'", p->dir, p->dir, p->dir);
    }
}

/* As after kill -9 in a file's very beginning. */
static void a_first_line_that_is_not_whole_is_no_file(void **state)
{
    struct place *p = *state;
    write_files(p, 2);
    shell("head -c 100 '%s/audit-00000003.jsonl' > '%s/audit-00000004.jsonl'", p->dir, p->dir);
    struct audit_trail t;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    audit_trail_fini(&t);
    assert_clean(checked(p));
    assert_int_equal(size_of(p, "audit-00000004.jsonl"), -1);
}

static void records_that_the_head_knows_are_missed_at_once_and_for_ever(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    write_files(p, 3);
    cut_to(p, "audit-00000003.jsonl", size_of(p, "audit-00000003.jsonl") - 10);
    struct told told = checked(p);
    assert_int_equal(told.problems, 1);
    assert_string_equal(told.file, "head");
    open_trail(p, &t);
    assert_true(add(&t, 1));
    audit_trail_fini(&t);
    told = checked(p);
    assert_true(told.problems > 0);
    assert_non_null(strstr(told.what, "missing"));
}

static void a_head_that_is_gone_is_told(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    write_files(p, 3);
    shell("rm '%s/head'", p->dir);
    assert_int_equal(checked(p).problems, 1);
    open_trail(p, &t);
    audit_trail_fini(&t);
    struct told told = checked(p);
    assert_int_equal(told.problems, 1);
    assert_non_null(strstr(told.what, "head is missing"));
}

static void all_files_gone_is_found(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    write_files(p, 2);
    shell("rm '%s'/audit-*", p->dir);
    assert_int_equal(checked(p).problems, 1);
    open_trail(p, &t);
    audit_trail_fini(&t);
    assert_true(checked(p).problems > 0);
}

static void a_chain_goes_on_with_its_own_key_only(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct err err = ERR_INIT;
    write_files(p, 1);
    shell("rm '%s'", p->key);
    assert_true(audit_trail_init(&t, &p->opts, &p->disk, NULL));
    assert_false(audit_trail_open(&t, &err));
    assert_non_null(strstr(err.text, "bring it back"));
    audit_trail_fini(&t);
}

/* ---- another key ---- */

static void make_next(struct place *p)
{
    char path[600];
    struct err err = ERR_INIT;
    struct buf pem;
    buf_init(&pem, 4096);
    snprintf(path, sizeof path, "%s" AUDIT_KEY_NEXT, p->key);
    assert_true(audit_public_key(path, true, &pem, &err));
    buf_fini(&pem);
}

/* A file by the first key, one by a second, one by a third; p->public is the first, `second` the second. */
static void write_with_three_keys(struct place *p, char *second, size_t size)
{
    struct audit_trail t;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    write_public(p);
    for (unsigned i = 2; i <= 3; i++) {
        make_next(p);
        audit_trail_set(&t, &p->opts); /* a reload */
        tend(&t);
        assert_true(add(&t, i));
        if (i == 2) {
            snprintf(second, size, "%s/second.pem", p->folder);
            shell("cp '%s' '%s'", p->key, second);
        }
    }
    assert_int_equal(t.file, 3);
    audit_trail_fini(&t);
}

static void a_new_key_is_named_by_the_old_one_and_either_checks_it_all(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    char second[600];
    write_with_three_keys(p, second, sizeof second);
    assert_clean(checked(p));
    assert_clean(check_dir(p->dir, p->public, NULL));
    assert_clean(check_dir(p->dir, second, NULL));
    open_trail(p, &t); /* and it goes on */
    assert_int_equal(t.file, 3);
    assert_null(t.found.damage);
    assert_true(add(&t, 4));
    audit_trail_fini(&t);
    assert_clean(checked(p));
    assert_clean(check_dir(p->dir, p->public, NULL));
}

static void a_change_in_any_of_the_keys_files_is_found_with_each_key(void **state)
{
    struct place *p = *state;
    char second[600];
    write_with_three_keys(p, second, sizeof second);
    const char *const keys[] = {p->key, second, p->public};
    for (unsigned file = 1; file <= 3; file++) {
        shell("cp -r '%s' '%s.was'", p->dir, p->dir);
        shell("sed -i 's/\"attempt\":%u/\"attempt\":7/' '%s/audit-0000000%u.jsonl'", file, p->dir,
              file);
        for (size_t i = 0; i < 3; i++)
            assert_true(check_dir(p->dir, keys[i], NULL).problems > 0);
        shell("rm -rf '%s' && mv '%s.was' '%s'", p->dir, p->dir, p->dir);
    }
    /* the record that names the second key names another */
    shell("sed -i '/\"type\":\"key\"/s/\"next\":\"..../\"next\":\"0000/' '%s/audit-00000001.jsonl'",
          p->dir);
    for (size_t i = 0; i < 3; i++)
        assert_true(check_dir(p->dir, keys[i], NULL).problems > 0);
}

/* Killed between any two steps of it. */
static void a_change_of_keys_survives_a_crash(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct err err = ERR_INIT;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    make_next(p);
    shell("cp -r '%s' '%s.was' && cp '%s' '%s.old' && cp '%s" AUDIT_KEY_NEXT "' '%s.new'", p->dir,
          p->dir, p->key, p->key, p->key, p->key);
    audit_trail_set(&t, &p->opts);
    tend(&t);
    audit_trail_fini(&t);
    for (int step = 0; step < 3; step++) {
        /* 0: the record is written, the key not in its place; 1: it is; 2: the new file is begun, its head is not */
        shell("cp '%s.%s' '%s'", p->key, step == 0 ? "old" : "new", p->key);
        if (step == 0)
            shell("cp '%s.new' '%s" AUDIT_KEY_NEXT "'", p->key, p->key);
        else
            shell("rm -f '%s" AUDIT_KEY_NEXT "'", p->key);
        shell("cp -r '%s' '%s.now' && cp '%s.was/head' '%s.now/head'", p->dir, p->dir, p->dir,
              p->dir);
        if (step < 2)
            shell("rm '%s.now/audit-00000002.jsonl'", p->dir);
        shell("mv '%s' '%s.all' && mv '%s.now' '%s'", p->dir, p->dir, p->dir, p->dir);
        open_trail(p, &t);
        assert_null(t.found.damage);
        assert_true(audit_trail_tend(&t, false, &err));
        assert_true(add(&t, 2));
        assert_int_equal(t.file, 2);
        audit_trail_fini(&t);
        struct told told = checked(p);
        assert_int_equal(told.problems, 0);
        shell("rm -rf '%s' && mv '%s.all' '%s'", p->dir, p->dir, p->dir);
    }
}

static void a_next_key_that_is_none_changes_nothing(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    open_trail(p, &t);
    shell("echo nonsense >'%s" AUDIT_KEY_NEXT "'", p->key);
    audit_trail_set(&t, &p->opts);
    tend(&t);
    assert_true(add(&t, 1));
    assert_int_equal(t.file, 1);
    audit_trail_fini(&t);
    assert_clean(checked(p));
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct err err = ERR_INIT;
    write_files(p, 1);
    assert_int_equal(chmod(p->key, 0644), 0);
    assert_true(audit_trail_init(&t, &p->opts, &p->disk, NULL));
    assert_false(audit_trail_open(&t, &err));
    audit_trail_fini(&t);
}

/* ---- a disk that fails ---- */

static void a_full_disk_leaves_nothing_behind(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct audit_count count;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    uint64_t seq = t.seq, size = t.size;
    for (size_t room = 0; room < 300; room += 7) {
        p->fake.write_errno = ENOSPC;
        p->fake.room = room;
        assert_false(add(&t, 2));
        assert_int_equal(size_of(p, "audit-00000001.jsonl"), size);
    }
    p->fake.write_errno = 0;
    assert_true(add(&t, 3));
    assert_int_equal(t.seq, seq + 1);
    audit_trail_fini(&t);
    assert_clean(check_dir(p->dir, p->key, &count));
    assert_int_equal(count.files, 1);
}

static void a_disk_that_is_full_when_a_file_begins(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct audit_count count;
    p->opts.rotate_bytes = 1;
    open_trail(p, &t);
    tend(&t);
    for (size_t room = 0; room < 600; room += 50) {
        p->fake.write_errno = ENOSPC;
        p->fake.room = room;
        assert_false(add(&t, 2));
    }
    p->fake.write_errno = 0;
    p->fake.open_errno = ENOSPC;
    assert_false(add(&t, 2));
    p->fake.open_errno = 0;
    assert_true(add(&t, 3));
    audit_trail_fini(&t);
    assert_clean(check_dir(p->dir, p->key, &count));
    assert_int_equal(count.files, 2);
}

static void a_file_that_could_not_be_made_durable_is_left(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct audit_count count;
    struct fake *f = &p->fake;
    open_trail(p, &t);
    assert_true(add(&t, 1));
    f->sync_errno = EIO;
    assert_false(add(&t, 2));
    assert_false(add(&t, 2)); /* in a new file that fails as well */
    f->sync_errno = 0;
    assert_true(add(&t, 3));
    audit_trail_fini(&t);
    assert_clean(check_dir(p->dir, p->key, &count));
    assert_int_equal(count.files, 2);
    /* what the failed write may have left behind the end is told and does not count */
    shell("echo garbage >> '%s/audit-00000001.jsonl'", p->dir);
    struct told told = checked(p);
    assert_clean(told);
    assert_int_equal(told.remarks, 1);
}

static void a_trail_can_be_opened_later(void **state)
{
    struct place *p = *state;
    struct audit_trail t;
    struct err err = ERR_INIT;
    assert_true(audit_trail_init(&t, &p->opts, &p->disk, NULL));
    p->fake.write_errno = ENOSPC;
    assert_false(audit_trail_open(&t, &err));
    p->fake.write_errno = 0;
    p->fake.sync_errno = EIO;
    assert_false(audit_trail_open(&t, &err));
    p->fake.sync_errno = 0;
    p->fake.open_errno = EACCES;
    assert_false(audit_trail_open(&t, &err));
    p->fake.open_errno = 0;
    assert_true(audit_trail_open(&t, &err));
    assert_true(add(&t, 1));
    audit_trail_fini(&t);
    assert_clean(checked(p));
}

/* ---- tampering ---- */

/* Works on a copy of what write_files() made. */
struct copy {
    struct place *p;
    char dir[160];
};

static void copy_make(struct copy *c, struct place *p)
{
    c->p = p;
    snprintf(c->dir, sizeof c->dir, "%s/copy", p->folder);
    shell("rm -rf '%s'; cp -a '%s' '%s'", c->dir, p->dir, c->dir);
}

static char *slurp(const char *dir, const char *name, size_t *n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    *n = fread(text, 1, 1 << 20, f);
    fclose(f);
    return text;
}

static void spit(const char *dir, const char *name, const char *text, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    fwrite(text, 1, n, f);
    fclose(f);
}

static const char *const three[] = {"audit-00000001.jsonl", "audit-00000002.jsonl",
                                    "audit-00000003.jsonl"};

/* Every place as we ship; with sanitizers each takes ten times as long, under valgrind fifty: then some of them. */
static bool is_left_out(size_t place)
{
    static size_t step;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    size_t usual = 13;
#else
    size_t usual = 1;
#endif
    if (step == 0)
        step = getenv("UNDER_VALGRIND") != NULL ? 61 : usual;
    return place % step != 0;
}

static void every_changed_byte_is_found_where_it_is(void **state)
{
    struct place *p = *state;
    struct copy c;
    write_files(p, 1);
    copy_make(&c, p);
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        uint64_t line = 1;
        char *text = slurp(p->dir, three[i], &n);
        for (size_t k = 0; k < n; k++) {
            char was = text[k];
            if (is_left_out(k)) {
                line += was == '\n';
                continue;
            }
            text[k] ^= k % 3 == 0 ? 0x01 : k % 3 == 1 ? 0x20 : 0x40;
            spit(c.dir, three[i], text, n);
            struct told told = check_dir(c.dir, p->key, NULL);
            bool found = told.problems > 0;
            bool here = strcmp(told.file, three[i]) == 0 && told.line == line;
            /* the last line end of all: then it is a line that is not whole, and the head knows of it */
            bool end = was == '\n' && strcmp(told.file, "head") == 0;
            if (!found || !(here || end))
                fail_msg("%s byte %zu ('%c'), line %llu: told %u at %s:%llu: %s", three[i], k, was,
                         (unsigned long long)line, told.problems, told.file,
                         (unsigned long long)told.line, told.what);
            text[k] = was;
            line += was == '\n';
        }
        spit(c.dir, three[i], text, n);
        free(text);
    }
    assert_clean(check_dir(c.dir, p->key, NULL));
}

static void every_changed_byte_of_the_head_is_found(void **state)
{
    struct place *p = *state;
    struct copy c;
    size_t n;
    write_files(p, 1);
    copy_make(&c, p);
    char *text = slurp(p->dir, "head", &n);
    assert_int_equal(n, AUDIT_HEAD_BYTES);
    for (size_t k = 0; k < n; k++) {
        if (is_left_out(k))
            continue;
        text[k] ^= 1;
        spit(c.dir, "head", text, n);
        assert_int_equal(check_dir(c.dir, p->key, NULL).problems, 1);
        text[k] ^= 1;
    }
    spit(c.dir, "head", text, n);
    assert_clean(check_dir(c.dir, p->key, NULL));
    free(text);
}

static void every_cut_is_found(void **state)
{
    struct place *p = *state;
    struct copy c;
    write_files(p, 1);
    copy_make(&c, p);
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        char *text = slurp(p->dir, three[i], &n);
        for (size_t k = 0; k < n; k++) {
            if (is_left_out(k))
                continue;
            spit(c.dir, three[i], text, k);
            assert_true(check_dir(c.dir, p->key, NULL).problems > 0);
        }
        spit(c.dir, three[i], text, n);
        free(text);
    }
}

struct lines {
    strv at[64];
    size_t n;
};

static struct lines split(const char *text, size_t n)
{
    struct lines l = {.n = 0};
    for (size_t from = 0; from < n;) {
        const char *end = memchr(text + from, '\n', n - from);
        l.at[l.n++] = (strv){text + from, (size_t)(end - text) - from + 1};
        from = (size_t)(end - text) + 1;
    }
    return l;
}

static void join(const struct lines *l, const char *dir, const char *name)
{
    static char out[1 << 20];
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        memcpy(out + n, l->at[i].ptr, l->at[i].len);
        n += l->at[i].len;
    }
    spit(dir, name, out, n);
}

/* Deletes, repeats and exchanges every line with every other; also across files. */
static void every_removed_repeated_and_moved_record_is_found(void **state)
{
    struct place *p = *state;
    struct copy c;
    char *text[3];
    struct lines lines[3];
    write_files(p, 2);
    copy_make(&c, p);
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        text[i] = slurp(p->dir, three[i], &n);
        lines[i] = split(text[i], n);
    }
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < lines[i].n; k++) {
            struct lines l = lines[i];
            for (size_t m = k + 1; m < l.n; m++)
                l.at[m - 1] = l.at[m];
            l.n--;
            join(&l, c.dir, three[i]);
            assert_true(check_dir(c.dir, p->key, NULL).problems > 0);
            l = lines[i];
            for (size_t m = l.n; m > k; m--)
                l.at[m] = l.at[m - 1];
            l.n++;
            join(&l, c.dir, three[i]);
            assert_true(check_dir(c.dir, p->key, NULL).problems > 0);
            for (size_t j = 0; j < 3; j++)
                for (size_t m = 0; m < lines[j].n; m++) {
                    if ((i == j && k == m) || is_left_out(61 * i + 13 * k + 7 * j + m))
                        continue;
                    l = lines[i]; /* a line of another place, or an exchange */
                    l.at[k] = lines[j].at[m];
                    if (i == j)
                        l.at[m] = lines[i].at[k];
                    join(&l, c.dir, three[i]);
                    assert_true(check_dir(c.dir, p->key, NULL).problems > 0);
                }
        }
        join(&lines[i], c.dir, three[i]);
    }
    assert_clean(check_dir(c.dir, p->key, NULL));
    for (size_t i = 0; i < 3; i++)
        free(text[i]);
}

static void files_removed_copied_exchanged_and_spliced_are_found(void **state)
{
    struct place *p = *state, other = {0};
    struct copy c;
    write_files(p, 2);
    static const char *const deeds[] = {
        "rm audit-00000001.jsonl",
        "rm audit-00000002.jsonl",
        "rm audit-00000003.jsonl",
        "rm audit-00000001.jsonl audit-00000002.jsonl",
        "rm audit-00000002.jsonl audit-00000003.jsonl",
        "rm head",
        "cp audit-00000003.jsonl audit-00000004.jsonl",
        "cp audit-00000001.jsonl audit-00000002.jsonl",
        "cp audit-00000002.jsonl audit-00000001.jsonl",
        ("mv audit-00000001.jsonl x; mv audit-00000002.jsonl audit-00000001.jsonl; "
         "mv x audit-00000002.jsonl"),
        "mv audit-00000003.jsonl audit-00000002.jsonl",
        "head -n 2 audit-00000001.jsonl >> audit-00000003.jsonl",
        "tail -n 1 audit-00000003.jsonl >> audit-00000002.jsonl",
        "echo >> audit-00000002.jsonl",
        "echo >> audit-00000003.jsonl",
        "printf x >> audit-00000002.jsonl",
        "cp ../other/audit-00000002.jsonl .",
        "cp ../other/audit-00000003.jsonl .",
        "cp ../other/head .",
        "cp ../other/* .",
    };
    /* another chain of the same key: that of another time */
    snprintf(other.folder, sizeof other.folder, "%s", p->folder);
    snprintf(other.dir, sizeof other.dir, "%s/other", p->folder);
    other.fake.wall_us = p->fake.wall_us;
    other.disk = p->disk;
    other.disk.arg = &other.fake;
    other.opts = p->opts;
    other.opts.dir = other.dir;
    write_files(&other, 2);
    for (size_t i = 0; i + 1 < sizeof deeds / sizeof *deeds; i++) {
        copy_make(&c, p);
        shell("cd '%s' && { %s; }", c.dir, deeds[i]);
        if (check_dir(c.dir, p->key, NULL).problems == 0)
            fail_msg("not found: %s", deeds[i]);
    }
    /* What cannot be found without a word from outside: a whole other chain of this key. */
    copy_make(&c, p);
    shell("cd '%s' && cp ../other/* .", c.dir);
    struct audit_count was, is;
    assert_clean(check_dir(p->dir, p->key, &was));
    assert_clean(check_dir(c.dir, p->key, &is));
    struct told told = {0};
    struct err err = ERR_INIT;
    struct audit_check check = {.dir = c.dir,
                                .public_key = p->key,
                                .expect_seq = was.last_seq,
                                .problem = on_problem,
                                .remark = on_remark,
                                .arg = &told};
    memcpy(check.expect_hash, was.last_hash, sizeof check.expect_hash);
    assert_true(audit_verify(&check, &is, &err));
    assert_int_equal(told.problems, 1);
}

/* Somebody without the key changes a record and computes every digest behind it anew. */
static void digests_computed_anew_are_found(void **state)
{
    struct place *p = *state;
    struct copy c;
    struct audit_hasher h;
    write_files(p, 3);
    copy_make(&c, p);
    assert_true(audit_hasher_init(&h));
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        char *text = slurp(p->dir, three[i], &n);
        struct lines l = split(text, n);
        for (size_t k = 0; k < l.n; k++) {
            char *changed = malloc(n);
            uint8_t hash[AUDIT_HASH];
            struct audit_line line;
            memcpy(changed, text, n);
            if (k > 0) {
                assert_true(audit_parse((strv){l.at[k - 1].ptr, l.at[k - 1].len - 1}, &line));
                memcpy(hash, line.hash, sizeof hash);
            } else {
                assert_true(audit_parse((strv){l.at[0].ptr, l.at[0].len - 1}, &line));
                assert_true(audit_member_hex(line.content, "prev", hash, sizeof hash));
            }
            /* a digit of its time */
            char *digit = changed + (l.at[k].ptr - text) + sizeof "{\"seq\":1,\"time\":\"202";
            *digit = *digit == '1' ? '2' : '1';
            for (size_t m = k; m < l.n; m++) {
                char *at = changed + (l.at[m].ptr - text);
                size_t len = l.at[m].len - 1 - AUDIT_TAIL;
                struct buf hex;
                buf_init(&hex, 128);
                assert_true(
                    audit_hash(&h, (strv){(char *)hash, sizeof hash}, (strv){at, len}, hash));
                audit_put_hex(&hex, hash, sizeof hash);
                memcpy(at + len + sizeof AUDIT_HASH_MARK - 1, buf_view(&hex).ptr, 64);
                buf_fini(&hex);
            }
            spit(c.dir, three[i], changed, n);
            free(changed);
            struct told told = check_dir(c.dir, p->key, NULL);
            if (told.problems == 0)
                fail_msg("%s line %zu", three[i], k + 1);
        }
        spit(c.dir, three[i], text, n);
        free(text);
    }
    audit_hasher_fini(&h);
}

static void another_key_fits_nothing(void **state)
{
    struct place *p = *state;
    char path[160];
    struct err err = ERR_INIT;
    struct buf pem;
    write_files(p, 1);
    snprintf(path, sizeof path, "%s/another.key", p->folder);
    buf_init(&pem, 4096);
    assert_true(audit_public_key(path, true, &pem, &err));
    buf_fini(&pem);
    assert_true(check_dir(p->dir, path, NULL).problems > 0);
}

/* ---- memory ---- */

static void no_memory_is_an_error_and_no_change(void **state)
{
    struct place *p = *state;
    write_files(p, 2);
    int64_t live = mem_live();
    for (uint64_t nth = 1;; nth++) {
        struct audit_trail t;
        struct err err = ERR_INIT;
        mem_fail_at(nth, false);
        bool ok = audit_trail_init(&t, &p->opts, &p->disk, NULL);
        ok = ok && audit_trail_open(&t, &err) && add(&t, 1) && audit_trail_tend(&t, true, &err);
        bool hit = mem_count() >= nth;
        mem_fail_at(0, false);
        audit_trail_fini(&t);
        assert_int_equal(mem_live(), live);
        assert_clean(checked(p));
        if (ok && !hit)
            break;
    }
    for (uint64_t nth = 1;; nth++) {
        struct audit_count count;
        struct told told = {0};
        struct err err = ERR_INIT;
        struct audit_check check = {.dir = p->dir,
                                    .public_key = p->key,
                                    .problem = on_problem,
                                    .remark = on_remark,
                                    .arg = &told};
        mem_fail_at(nth, false);
        bool ok = audit_verify(&check, &count, &err);
        bool hit = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_int_equal(mem_live(), live);
        if (hit)
            assert_true(!ok || told.problems > 0 || count.problems == 0);
        else
            break;
    }
}

/* ---- reading ---- */

static bool count_line(void *arg, strv line)
{
    struct audit_line l;
    assert_true(audit_parse(line, &l));
    assert_int_equal(l.seq, ++*(uint64_t *)arg);
    return true;
}

static void lines_are_read_once_and_in_order(void **state)
{
    struct place *p = *state;
    struct audit_place at = {0};
    struct err err = ERR_INIT;
    uint64_t n = 0;
    assert_true(audit_each(p->dir, &at, count_line, &n, &err)); /* no folder yet */
    write_files(p, 3);
    assert_true(audit_each(p->dir, &at, count_line, &n, &err));
    uint64_t before = n;
    assert_true(audit_each(p->dir, &at, count_line, &n, &err));
    assert_int_equal(n, before);
    struct audit_trail t;
    open_trail(p, &t);
    audit_trail_fini(&t);
    assert_true(audit_each(p->dir, &at, count_line, &n, &err));
    assert_int_equal(n, before + 1);
}

struct back {
    uint64_t expect, left;
};

static bool count_back(void *arg, strv line)
{
    struct back *b = arg;
    struct audit_line l;
    assert_true(audit_parse(line, &l));
    assert_int_equal(l.seq, b->expect--);
    return --b->left > 0;
}

static void lines_are_read_back_from_the_newest(void **state)
{
    struct place *p = *state;
    struct audit_place at = {0};
    struct err err = ERR_INIT;
    uint64_t n = 0;
    struct back b = {.expect = 0, .left = 1000};
    assert_true(audit_each_back(p->dir, count_back, &b, &err)); /* no folder yet */
    write_files(p, 3);
    assert_true(audit_each(p->dir, &at, count_line, &n, &err));
    b.expect = n;
    assert_true(audit_each_back(p->dir, count_back, &b, &err));
    assert_int_equal(b.expect, 0);
    for (uint64_t some = 1; some < n; some++) {
        b = (struct back){n, some};
        assert_true(audit_each_back(p->dir, count_back, &b, &err));
        assert_int_equal(b.expect, n - some);
    }
    for (uint64_t nth = 1, refused = 1; refused > 0; nth++) {
        b = (struct back){n, 1000};
        mem_fail_at(nth, false);
        bool ok = audit_each_back(p->dir, count_back, &b, &err);
        refused = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(ok == !err.set && ok == !refused);
        err_clear(&err);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_trail_is_whole_over_several_files),
        T(lines_are_json_in_one_form),
        T(a_trail_goes_on_after_a_restart),
        T(two_do_not_write_to_one_folder),
        T(old_files_go_with_a_record_that_says_so),
        T(retention_by_size_keeps_the_newest),
        T(an_unfinished_line_is_cut_off_and_told),
        T(a_first_line_that_is_not_whole_is_no_file),
        T(records_that_the_head_knows_are_missed_at_once_and_for_ever),
        T(a_head_that_is_gone_is_told),
        T(all_files_gone_is_found),
        T(a_chain_goes_on_with_its_own_key_only),
        T(a_new_key_is_named_by_the_old_one_and_either_checks_it_all),
        T(a_change_in_any_of_the_keys_files_is_found_with_each_key),
        T(a_change_of_keys_survives_a_crash),
        T(a_next_key_that_is_none_changes_nothing),
        T(a_key_that_others_can_read_is_refused),
        T(a_full_disk_leaves_nothing_behind),
        T(a_disk_that_is_full_when_a_file_begins),
        T(a_file_that_could_not_be_made_durable_is_left),
        T(a_trail_can_be_opened_later),
        T(every_changed_byte_is_found_where_it_is),
        T(every_changed_byte_of_the_head_is_found),
        T(every_cut_is_found),
        T(every_removed_repeated_and_moved_record_is_found),
        T(files_removed_copied_exchanged_and_spliced_are_found),
        T(digests_computed_anew_are_found),
        T(another_key_fits_nothing),
        T(no_memory_is_an_error_and_no_change),
        T(lines_are_read_once_and_in_order),
        T(lines_are_read_back_from_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
