/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_test - keys that survive, two that write, files that must be refused.
 *
 * What both kinds of stores must do is done with both: with a file, and with a PostgreSQL server that is started for
 * this program (test/lib/postgres), if one is installed.
 */
#include "store/store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

struct place {
    char folder[64], path[128];
    struct store_at at;
};

/* ---- the server ---- */

static char server_folder[64]; /* "" = there is none */
static char server_address[160];
static const char *no_server = "none is installed";

static int server(const char *what, const char *sql)
{
    char command[512];
    snprintf(command, sizeof command, "'%s/../lib/postgres' %s '%s' \"%s\"", getenv("TEST_DATA"),
             what, server_folder, sql != NULL ? sql : "");
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int start_server(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    if (!store_server_ok("host=localhost", &err)) {
        no_server = "this build knows no PostgreSQL";
        return 0;
    }
    snprintf(server_folder, sizeof server_folder, "/tmp/llm-router-pg-XXXXXX");
    if (getenv("TEST_DATA") == NULL || mkdtemp(server_folder) == NULL)
        return -1;
    int status = server("start", NULL);
    snprintf(server_address, sizeof server_address, "host=%s/socket user=router dbname=router",
             server_folder);
    if (status == 77) {
        rmdir(server_folder);
        server_folder[0] = '\0';
        return 0;
    }
    return status;
}

static int stop_server(void **state)
{
    char command[128];
    (void)state;
    if (server_folder[0] == '\0')
        return 0;
    server("stop", NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", server_folder);
    return system(command);
}

/* ---- places ---- */

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-store-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/a/b/store.db", p->folder);
    p->at.path = p->path;
    *state = p;
    return 0;
}

/* A server without a table of ours. Without one the test is left out, which only a test can say. */
static int set_up_server(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    *state = p;
    if (server_folder[0] == '\0')
        return 0;
    p->at.server.address = server_address;
    return server("sql", "DROP SCHEMA IF EXISTS llm_router CASCADE");
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = p->folder[0] != '\0' ? system(command) : 0;
    free(p);
    return status;
}

/* Where a store may be; the test ends here if that cannot be had. */
static const struct store_at *at(void **state)
{
    const struct place *p = *state;
    if (p->at.path == NULL && p->at.server.address == NULL) {
        print_message("no PostgreSQL server: %s\n", no_server);
        skip();
    }
    return &p->at;
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

static struct store *opened_at(const struct store_at *place, bool create)
{
    struct err err = ERR_INIT;
    struct store *s = store_open(place, create, &err);
    if (s == NULL)
        print_message("%s\n", err.text);
    assert_non_null(s);
    return s;
}

static struct store *opened(const char *path, bool create)
{
    return opened_at(&(struct store_at){.path = path}, create);
}

static void refused(const char *path, bool create, const char *text)
{
    struct err err = ERR_INIT;
    assert_null(store_open(&(struct store_at){.path = path}, create, &err));
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

static void a_file_is_private(void **state)
{
    struct place *p = *state;
    char folder[128];
    mode_t mask = umask(0);
    store_close(opened(p->path, true));
    umask(mask);
    snprintf(folder, sizeof folder, "%s/a/b", p->folder);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(folder), 0700);
}

static void keys_survive(void **state)
{
    const struct store_at *place = at(state);
    struct err err = ERR_INIT;
    struct store *s = opened_at(place, true);
    struct store_key first = key("k_1", 1, 100), second = key("k_2", 2, 50);
    assert_true(store_key_add(s, &first, &err));
    assert_true(store_key_add(s, &second, &err));
    store_close(s);

    s = opened_at(place, false);
    struct list_of_keys list = keys_of(s);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.items[0].id, "k_2"); /* oldest first */
    assert_memory_equal(&list.items[1], &first, sizeof first);
    list = (struct list_of_keys){.stop_at = 1};
    assert_true(store_key_each(s, collect, &list, &err));
    assert_int_equal(list.n, 1);
    store_close(s);
}

static void same_key_twice_is_refused(void **state)
{
    const struct store_at *place = at(state);
    struct store *s = opened_at(place, true);
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
    const struct store_at *place = at(state);
    struct store *s = opened_at(place, true);
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
    struct store *s = opened_at(at(state), true);
    struct store_key one = key("k_1", 1, 1);
    struct err err = ERR_INIT;
    assert_true(store_key_add(s, &one, &err));
    assert_string_equal(keys_of(s).items[0].rules, "rpm=1\n");
    int64_t version = store_version(s, NULL);
    assert_true(store_key_edit(s, "k_1", "rpm=5\n", &err));
    assert_int_not_equal(store_version(s, NULL), version);
    assert_string_equal(keys_of(s).items[0].rules, "rpm=5\n");
    assert_false(store_key_edit(s, "k_9", "", &err));
    assert_string_equal(err.text, "there is no key k_9");
    err_clear(&err);
    assert_true(store_key_revoke(s, "k_1", 7, &err));
    assert_false(store_key_edit(s, "k_1", "", &err));
    assert_string_equal(err.text, "the key k_1 is revoked already");
    store_close(s);
}

/* ---- approvals ---- */

static struct store_approval approval(const char *id, int64_t asked_us)
{
    struct store_approval a = {.arguments = "{\"a\":\"\xc3\xa4\"}",
                               .effect = 2,
                               .always = true,
                               .asked_us = asked_us,
                               .until_us = INT64_MAX};
    snprintf(a.id, sizeof a.id, "%s", id);
    snprintf(a.server, sizeof a.server, "server");
    snprintf(a.tool, sizeof a.tool, "tool");
    snprintf(a.key, sizeof a.key, "k_1");
    snprintf(a.session, sizeof a.session, "session");
    memset(a.arguments_digest, 0, sizeof a.arguments_digest);
    memset(a.tool_digest, 0xff, sizeof a.tool_digest);
    return a;
}

struct list_of_approvals {
    struct store_approval items[4];
    char arguments[4][32];
    size_t n;
};

static bool collect_approval(void *arg, const struct store_approval *a)
{
    struct list_of_approvals *l = arg;
    snprintf(l->arguments[l->n], sizeof l->arguments[0], "%s", a->arguments);
    l->items[l->n++] = *a;
    return true;
}

static struct list_of_approvals approvals_of(struct store *s)
{
    struct list_of_approvals l = {.n = 0};
    struct err err = ERR_INIT;
    assert_true(store_approval_each(s, collect_approval, &l, &err));
    return l;
}

static void approvals_are_kept_decided_and_forgotten(void **state)
{
    struct store *s = opened_at(at(state), true);
    struct store_approval one = approval("a_1", 2), two = approval("a_2", 1);
    struct err err = ERR_INIT;
    assert_true(store_approval_put(s, &one, &err));
    assert_true(store_approval_put(s, &two, &err));
    struct list_of_approvals l = approvals_of(s);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.arguments[1], one.arguments);
    const struct store_approval *got = &l.items[1]; /* oldest first */
    assert_string_equal(got->id, one.id);
    assert_string_equal(got->server, one.server);
    assert_string_equal(got->tool, one.tool);
    assert_string_equal(got->key, one.key);
    assert_string_equal(got->session, one.session);
    assert_memory_equal(got->arguments_digest, one.arguments_digest, 32);
    assert_memory_equal(got->tool_digest, one.tool_digest, 32);
    assert_int_equal(got->effect, 2);
    assert_int_equal(got->asked_us, 2);
    assert_int_equal(got->until_us, INT64_MAX);
    assert_int_equal(got->decision, 0);
    assert_true(got->always && !got->remember && !got->used);

    int64_t before = store_version(s, NULL);
    assert_true(store_approval_decide(s, "a_1", 2, true, "somebody", 7, &err));
    assert_int_not_equal(store_version(s, NULL), before);
    l = approvals_of(s);
    assert_int_equal(l.items[1].decision, 2);
    assert_true(l.items[1].remember);
    assert_string_equal(l.items[1].decided_by, "somebody");
    assert_string_equal(l.arguments[1], "");
    assert_false(store_approval_decide(s, "a_1", 1, false, "other", 8, &err));
    assert_string_equal(err.text, "no call a_1 waits for an approval");
    err_clear(&err);

    two.used = true;
    two.arguments = "";
    assert_true(store_approval_put(s, &two, &err)); /* in place of the one that is there */
    l = approvals_of(s);
    assert_int_equal(l.n, 2);
    assert_true(l.items[0].used);
    assert_true(store_approval_purge(s, 2, &err));
    l = approvals_of(s);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.items[0].id, "a_1");
    store_close(s);
}

/* ---- servers ---- */

#define REPLICAS 6

static void *open_one(void *arg)
{
    struct err err = ERR_INIT;
    struct store *s = store_open(arg, false, &err);
    if (s == NULL)
        print_message("%s\n", err.text);
    store_close(s);
    return s;
}

static void replicas_may_make_the_tables_at_the_same_moment(void **state)
{
    const struct store_at *place = at(state);
    pthread_t threads[REPLICAS];
    struct store_at places[REPLICAS];
    for (size_t i = 0; i < REPLICAS; i++) {
        places[i] = *place;
        assert_int_equal(pthread_create(&threads[i], NULL, open_one, &places[i]), 0);
    }
    bool all = true;
    for (size_t i = 0; i < REPLICAS; i++) {
        void *opened_one = NULL;
        assert_int_equal(pthread_join(threads[i], &opened_one), 0);
        all = all && opened_one != NULL;
    }
    assert_true(all);
    assert_int_equal(
        server("sql", "DO 'BEGIN ASSERT (SELECT count(*) FROM llm_router.migration) = 1; END'"), 0);
}

static void tables_of_a_newer_version_are_refused(void **state)
{
    const struct store_at *place = at(state);
    struct err err = ERR_INIT;
    store_close(opened_at(place, false));
    assert_int_equal(server("sql", "INSERT INTO llm_router.migration VALUES (99)"), 0);
    assert_null(store_open(place, false, &err));
    assert_string_equal(err.text, "PostgreSQL: the tables were made by a newer version (99, this "
                                  "one knows 1)");
}

/* Away is not empty: whoever concluded that there are no keys would let everybody in. */
static void a_server_may_go_and_come_back(void **state)
{
    const struct store_at *place = at(state);
    struct store_key one = key("k_1", 1, 1), two = key("k_2", 2, 2);
    struct list_of_keys list = {.n = 0};
    struct err err = ERR_INIT;
    struct store *s = opened_at(place, false);
    assert_true(store_key_add(s, &one, &err));
    int64_t version = store_version(s, &err);
    assert_false(err.set);

    assert_int_equal(server("stop", NULL), 0);
    assert_int_equal(store_version(s, &err), version);
    assert_true(err.set);
    err_clear(&err);
    assert_false(store_key_each(s, collect, &list, &err));
    assert_true(err.set);
    err_clear(&err);
    assert_false(store_key_add(s, &two, &err));
    err_clear(&err);
    assert_null(store_open(place, false, &err));
    err_clear(&err);

    assert_int_equal(server("start", NULL), 0);
    assert_int_equal(store_version(s, &err), version);
    assert_int_equal(keys_of(s).n, 1);
    assert_true(store_key_add(s, &two, &err));
    assert_int_not_equal(store_version(s, &err), version);
    assert_false(err.set);
    store_close(s);
}

static bool nobody(void *rule, const struct sockaddr *addr)
{
    *(sa_family_t *)rule = addr->sa_family;
    return false;
}

/* The other end gets a connection and not a byte. */
static void what_lies_elsewhere_is_told_nothing(void **state)
{
    char address[64], byte;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    struct err err = ERR_INIT;
    sa_family_t asked = AF_UNSPEC;
    (void)state;
    if (!store_server_ok("host=localhost", &err))
        skip();
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    snprintf(address, sizeof address, "host=127.0.0.1 port=%d user=router", ntohs(in.sin_port));
    const struct store_at place = {.server = {address, nobody, &asked}};
    assert_null(store_open(&place, false, &err));
    assert_non_null(strstr(err.text, "is neither loopback nor in local_networks"));
    assert_int_equal(asked, AF_INET);
    int peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    ssize_t got = read(peer, &byte, 1);
    assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
    close(peer);
    close(listener);
}

/* ---- files ---- */

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
    const struct store_at *place = at(state);
    struct store *a = opened_at(place, true), *b = opened_at(place, true);
    struct store_key one = key("k_1", 1, 1), two = key("k_2", 2, 2);
    struct err err = ERR_INIT;
    int64_t va = store_version(a, NULL), vb = store_version(b, NULL);

    assert_int_equal(store_version(a, NULL), va);
    assert_true(store_key_add(a, &one, &err));
    assert_int_not_equal(store_version(a, NULL), va);
    assert_int_not_equal(store_version(b, NULL), vb);
    va = store_version(a, NULL);
    assert_true(store_key_add(b, &two, &err));
    assert_int_not_equal(store_version(a, NULL), va);
    assert_int_equal(keys_of(a).n, 2);
    assert_true(store_key_revoke(b, "k_1", 9, &err));
    assert_int_equal(keys_of(a).items[0].revoked_us, 9);
    va = store_version(a, NULL);
    assert_int_equal(store_version(a, NULL), va);
    store_close(a);
    store_close(b);
}

static void missing_file_is_an_empty_store(void **state)
{
    struct place *p = *state;
    struct store *s = opened(p->path, false);
    struct store_key one = key("k_1", 1, 1);
    struct err err = ERR_INIT;
    int64_t before = store_version(s, NULL);

    assert_int_equal(keys_of(s).n, 0);
    assert_false(store_key_add(s, &one, &err));
    err_clear(&err);
    assert_false(store_key_revoke(s, "k_1", 1, &err));
    assert_string_equal(err.text, "there is no key k_1");
    err_clear(&err);
    assert_false(store_key_edit(s, "k_1", "rpm=5\n", &err));
    assert_string_equal(err.text, "there is no key k_1");
    err_clear(&err);
    assert_false(store_approval_decide(s, "a_1", 1, false, "me", 5, &err));
    assert_string_equal(err.text, "no call a_1 waits for an approval");
    err_clear(&err);

    struct store *other = opened(p->path, true);
    assert_true(store_key_add(other, &one, &err));
    assert_int_not_equal(store_version(s, NULL), before);
    assert_int_equal(keys_of(s).n, 1);

    /* gone again, and another one in its place */
    before = store_version(s, NULL);
    store_close(other);
    assert_int_equal(unlink(p->path), 0);
    assert_int_not_equal(store_version(s, NULL), before);
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
    s = store_open(&p->at, false, &err);
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
    for (uint64_t n = 1; n <= 3; n++) { /* store, driver, path */
        struct err err = ERR_INIT;
        mem_fail_at(n, false);
        assert_null(store_open(&p->at, true, &err));
        mem_fail_at(0, false);
        assert_int_equal(err.code, ERR_CODE_OOM);
        assert_int_equal(mem_live(), live);
    }
}

#define ON_A_FILE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define ON_A_SERVER(f)                                                                             \
    {                                                                                              \
#f "_on_a_server", f, set_up_server, tear_down, NULL                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_FILE(keys_survive),
        ON_A_SERVER(keys_survive),
        ON_A_FILE(same_key_twice_is_refused),
        ON_A_SERVER(same_key_twice_is_refused),
        ON_A_FILE(revoking),
        ON_A_SERVER(revoking),
        ON_A_FILE(editing),
        ON_A_SERVER(editing),
        ON_A_FILE(two_handles_see_each_other),
        ON_A_SERVER(two_handles_see_each_other),
        ON_A_FILE(approvals_are_kept_decided_and_forgotten),
        ON_A_SERVER(approvals_are_kept_decided_and_forgotten),
        ON_A_SERVER(replicas_may_make_the_tables_at_the_same_moment),
        ON_A_SERVER(tables_of_a_newer_version_are_refused),
        ON_A_SERVER(a_server_may_go_and_come_back),
        cmocka_unit_test(what_lies_elsewhere_is_told_nothing),
        ON_A_FILE(a_file_is_private),
        ON_A_FILE(older_files_are_brought_up_to_date),
        ON_A_FILE(missing_file_is_an_empty_store),
        ON_A_FILE(what_others_can_write_is_refused),
        ON_A_FILE(what_is_no_store_is_refused),
        ON_A_FILE(damage_in_the_middle_is_told),
        ON_A_FILE(refused_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
