/* SPDX-License-Identifier: Apache-2.0 */
/* store_test - keys that survive, two that write, files that must be refused. */
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

struct place {
    char folder[64], path[128];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-store-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/a/b/store.db", p->folder);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = system(command);
    free(p);
    return status;
}

static struct store_key key(const char *id, uint8_t digest, int64_t created_us)
{
    struct store_key k = {.created_us = created_us};
    snprintf(k.id, sizeof k.id, "%s", id);
    snprintf(k.name, sizeof k.name, "name of %s", id);
    memset(k.digest, digest, sizeof k.digest);
    snprintf(k.rules, sizeof k.rules, "rpm=%d\n", digest);
    return k;
}

struct list_of_keys {
    struct store_key items[8];
    size_t n, stop_at;
};

static bool collect(void *arg, const struct store_key *k)
{
    struct list_of_keys *list = arg;
    list->items[list->n++] = *k;
    return list->n != list->stop_at;
}

static struct list_of_keys keys_of(struct store *s)
{
    struct list_of_keys list = {.n = 0};
    struct err err = ERR_INIT;
    assert_true(store_key_each(s, collect, &list, &err));
    return list;
}

static struct store *opened(const char *path, bool create)
{
    struct err err = ERR_INIT;
    struct store *s = store_open(path, create, &err);
    if (s == NULL)
        print_message("%s\n", err.text);
    assert_non_null(s);
    return s;
}

static void refused(const char *path, bool create, const char *text)
{
    struct err err = ERR_INIT;
    struct store *s = store_open(path, create, &err);
    assert_null(s);
    if (strstr(err.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_mode & 0777u;
}

static void write_file(const char *path, const char *data, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void keys_survive(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    mode_t mask = umask(0);
    struct store *s = opened(p->path, true);
    umask(mask);
    char folder[128];
    snprintf(folder, sizeof folder, "%s/a/b", p->folder);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(folder), 0700);

    struct store_key first = key("k_1", 1, 100), second = key("k_2", 2, 50);
    assert_true(store_key_add(s, &first, &err));
    assert_true(store_key_add(s, &second, &err));
    store_close(s);

    s = opened(p->path, false);
    struct list_of_keys list = keys_of(s);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.items[0].id, "k_2"); /* oldest first */
    assert_memory_equal(&list.items[1], &first, sizeof first);
    list = (struct list_of_keys){.stop_at = 1};
    assert_true(store_key_each(s, collect, &list, &err));
    assert_int_equal(list.n, 1);
    assert_int_equal(mode_of(p->path), 0600);
    store_close(s);
}

static void same_key_twice_is_refused(void **state)
{
    struct place *p = *state;
    struct store *s = opened(p->path, true);
    struct store_key one = key("k_1", 1, 1), same_id = key("k_1", 2, 2),
                     same_digest = key("k_2", 1, 3), no_id = key("", 4, 4),
                     other = key("k_3", 5, 5);
    struct err err = ERR_INIT;
    assert_true(store_key_add(s, &one, &err));
    assert_false(store_key_add(s, &same_id, &err));
    assert_string_equal(err.text, "the key k_1 is there already, or has no id");
    err_clear(&err);
    assert_false(store_key_add(s, &same_digest, &err));
    err_clear(&err);
    assert_false(store_key_add(s, &no_id, &err));
    err_clear(&err);
    assert_true(store_key_add(s, &other, &err)); /* the statement is usable again */
    assert_int_equal(keys_of(s).n, 2);
    store_close(s);
}

static void revoking(void **state)
{
    struct place *p = *state;
    struct store *s = opened(p->path, true);
    struct store_key one = key("k_1", 1, 1);
    struct err err = ERR_INIT;
    assert_true(store_key_add(s, &one, &err));
    assert_false(store_key_revoke(s, "k_9", 7, &err));
    assert_string_equal(err.text, "there is no key k_9");
    err_clear(&err);
    assert_true(store_key_revoke(s, "k_1", 7, &err));
    assert_int_equal(keys_of(s).items[0].revoked_us, 7);
    assert_false(store_key_revoke(s, "k_1", 8, &err));
    assert_string_equal(err.text, "the key k_1 is revoked already");
    assert_int_equal(keys_of(s).items[0].revoked_us, 7);
    store_close(s);
}

static void editing(void **state)
{
    struct place *p = *state;
    struct store *s = opened(p->path, false);
    struct store_key one = key("k_1", 1, 1);
    struct err err = ERR_INIT;
    assert_false(store_key_edit(s, "k_1", "rpm=5\n", &err));
    assert_string_equal(err.text, "there is no key k_1");
    err_clear(&err);
    store_close(s);

    s = opened(p->path, true);
    assert_true(store_key_add(s, &one, &err));
    assert_string_equal(keys_of(s).items[0].rules, "rpm=1\n");
    int64_t version = store_version(s);
    assert_true(store_key_edit(s, "k_1", "rpm=5\n", &err));
    assert_int_not_equal(store_version(s), version);
    assert_string_equal(keys_of(s).items[0].rules, "rpm=5\n");
    assert_false(store_key_edit(s, "k_9", "", &err));
    assert_string_equal(err.text, "there is no key k_9");
    err_clear(&err);
    assert_true(store_key_revoke(s, "k_1", 7, &err));
    assert_false(store_key_edit(s, "k_1", "", &err));
    assert_string_equal(err.text, "the key k_1 is revoked already");
    store_close(s);
}

/* The file as version 1 left it. */
static void older_files_are_brought_up_to_date(void **state)
{
    struct place *p = *state;
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/old", p->folder);
    write_file(path, "", 0, 0600);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TABLE key (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL,"
                     " digest BLOB NOT NULL UNIQUE, created_us INTEGER NOT NULL,"
                     " revoked_us INTEGER NOT NULL DEFAULT 0);"
                     "INSERT INTO key VALUES ('k_1', 'old', zeroblob(32), 1, 0);"
                     "PRAGMA application_id = 1280068946; PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    struct store *s = opened(path, false);
    assert_string_equal(keys_of(s).items[0].rules, "admin=yes\n"); /* as it was */
    struct store_key two = key("k_2", 2, 2);
    two.rules[0] = '\0';
    struct err err = ERR_INIT;
    assert_true(store_key_add(s, &two, &err));
    assert_string_equal(keys_of(s).items[1].rules, "");
    store_close(s);
}

static void two_handles_see_each_other(void **state)
{
    struct place *p = *state;
    struct store *a = opened(p->path, true), *b = opened(p->path, true);
    struct store_key one = key("k_1", 1, 1), two = key("k_2", 2, 2);
    struct err err = ERR_INIT;
    int64_t va = store_version(a), vb = store_version(b);

    assert_int_equal(store_version(a), va);
    assert_true(store_key_add(a, &one, &err));
    assert_int_not_equal(store_version(a), va);
    assert_int_not_equal(store_version(b), vb);
    va = store_version(a);
    assert_true(store_key_add(b, &two, &err));
    assert_int_not_equal(store_version(a), va);
    assert_int_equal(keys_of(a).n, 2);
    assert_true(store_key_revoke(b, "k_1", 9, &err));
    assert_int_equal(keys_of(a).items[0].revoked_us, 9);
    va = store_version(a);
    assert_int_equal(store_version(a), va);
    store_close(a);
    store_close(b);
}

static void missing_file_is_an_empty_store(void **state)
{
    struct place *p = *state;
    struct store *s = opened(p->path, false);
    struct store_key one = key("k_1", 1, 1);
    struct err err = ERR_INIT;
    int64_t before = store_version(s);

    assert_int_equal(keys_of(s).n, 0);
    assert_false(store_key_add(s, &one, &err));
    err_clear(&err);
    assert_false(store_key_revoke(s, "k_1", 1, &err));
    assert_string_equal(err.text, "there is no key k_1");
    err_clear(&err);

    struct store *other = opened(p->path, true);
    assert_true(store_key_add(other, &one, &err));
    assert_int_not_equal(store_version(s), before);
    assert_int_equal(keys_of(s).n, 1);

    /* gone again, and another one in its place */
    before = store_version(s);
    store_close(other);
    assert_int_equal(unlink(p->path), 0);
    assert_int_not_equal(store_version(s), before);
    assert_int_equal(keys_of(s).n, 0);
    store_close(s);
}

static void what_others_can_write_is_refused(void **state)
{
    struct place *p = *state;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/a/b", p->folder);
    store_close(opened(p->path, true));

    assert_int_equal(chmod(p->path, 0640), 0);
    refused(p->path, true, "has mode 640, others can use it; chmod 600 it");
    assert_int_equal(chmod(p->path, 0600), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    refused(p->path, false, "can be written by everyone; chmod 700 it");
    assert_int_equal(chmod(folder, 0700), 0);
    store_close(opened(p->path, false));
    refused(folder, true, "is not a file");
}

static void what_is_no_store_is_refused(void **state)
{
    struct place *p = *state;
    char path[128], text[8192];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/text", p->folder);
    memset(text, 'x', sizeof text);
    write_file(path, text, sizeof text, 0600);
    refused(path, true, "is damaged or not a store of this program");

    snprintf(path, sizeof path, "%s/other", p->folder);
    write_file(path, "", 0, 0600);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refused(path, true, "is a database of another program");

    store_close(opened(p->path, true));
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refused(p->path, false, "was written by a newer version (99, this one knows 3)");
}

static void damage_in_the_middle_is_told(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store *s = opened(p->path, true);
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "k_%d", i);
        struct store_key k = key(id, (uint8_t)(i + 1), i + 1);
        assert_true(store_key_add(s, &k, &err));
    }
    store_close(s); /* the log is folded into the file */
    int fd = open(p->path, O_RDWR);
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 4096), sizeof junk); /* page 2: the table */
    close(fd);
    s = store_open(p->path, false, &err);
    struct list_of_keys list = {.n = 0};
    if (s != NULL)
        assert_false(store_key_each(s, collect, &list, &err));
    assert_non_null(strstr(err.text, "is damaged"));
    store_close(s);
}

static void refused_memory_is_an_error(void **state)
{
    struct place *p = *state;
    store_close(opened(p->path, true));
    int64_t live = mem_live();
    for (uint64_t n = 1; n <= 2; n++) {
        struct err err = ERR_INIT;
        mem_fail_at(n, false);
        assert_null(store_open(p->path, true, &err));
        mem_fail_at(0, false);
        assert_int_equal(err.code, ERR_CODE_OOM);
        assert_int_equal(mem_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_key_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(revoking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(editing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(older_files_are_brought_up_to_date, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_handles_see_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_file_is_an_empty_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_can_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_store_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_in_the_middle_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_memory_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
