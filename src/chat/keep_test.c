/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep - what was put comes back, for its owner only; what is deleted is in none of the files; rows that were touched or
 * exchanged, wrong keys, foreign and damaged files, a kill in the middle, no memory, the thread.
 */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chat/shelf.h"

#define KEY1   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY2   "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET "Zebrafish"
#define ID     "session-0001"
#define MINUTE ((int64_t)60 * 1000000)
#define NOW    ((int64_t)1795434000 * 1000000)

struct place {
    char folder[64], path[96], log[96];
    struct chat_keep_conf conf;
    struct chat_keys keys;
    struct io_loop *loop;
    struct chat_keep *keep;
    /* what was told last */
    unsigned told;
    enum chat_kept how;
    struct chat_head head;
    size_t n;
    char text[65536]; /* messages, a line each; or a list */
};

static int make_place(void **state)
{
    struct err err = ERR_INIT;
    struct place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    snprintf(p->folder, sizeof p->folder, "/tmp/keep-test-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/chat.db", p->folder);
    snprintf(p->log, sizeof p->log, "%s/log", p->folder);
    p->loop = io_loop_new(&err);
    p->conf = (struct chat_keep_conf){.path = p->path, .no_thread = true};
    *state = p;
    return p->loop != NULL ? 0 : -1;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    char command[160];
    chat_keep_close(p->keep);
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    int rc = system(command);
    rc |= (int)fake_end(p->loop);
    free(p);
    return rc;
}

static void use_key(struct place *p, strv content)
{
    struct err err = ERR_INIT;
    if (content.ptr == NULL) {
        p->conf.keys = NULL;
        return;
    }
    assert_true(chat_keys_parse(content, "key", &p->keys, &err));
    p->conf.keys = &p->keys;
}

/* Closes it too, so that what is read next comes from the file. */
static void reopen(struct place *p)
{
    struct err err = ERR_INIT;
    struct log log;
    int fd = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    chat_keep_close(p->keep);
    log_init(&log, fd, LOG_INFO);
    p->keep = chat_keep_open(&p->conf, &log, &err);
    log_fini(&log);
    assert_non_null(p->keep);
}

static bool in_file(const char *path, const void *part, size_t n)
{
    bool found = false;
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    size_t size = (size_t)st.st_size;
    char *all = malloc(size);
    assert_int_equal(read(fd, all, size), size);
    for (size_t i = 0; !found && i + n <= size; i++)
        found = memcmp(all + i, part, n) == 0;
    free(all);
    close(fd);
    return found;
}

static bool anywhere(const struct place *p, const void *part, size_t n)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    bool found = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", p->path, ends[i]);
        found = found || in_file(path, part, n);
    }
    return found;
}

static bool logged(const struct place *p, const char *text)
{
    return in_file(p->log, text, strlen(text));
}

/* ---- asking ---- */

static void on_done(void *arg, enum chat_kept how)
{
    struct place *p = arg;
    p->told++;
    p->how = how;
}

static void on_load(void *arg, enum chat_kept how, const struct chat_head *head,
                    const strv *messages, size_t n)
{
    struct place *p = arg;
    size_t at = 0;
    on_done(p, how);
    p->n = n;
    p->text[0] = '\0';
    if (head != NULL)
        p->head = *head; /* its views are looked at in here only */
    if (head != NULL && strv_eq_cstr(head->title, "T"))
        assert_true(strv_eq_cstr(head->system, "be kind") && strv_eq_cstr(head->summary, "so far"));
    for (size_t i = 0; i < n && at + messages[i].len < sizeof p->text; i++)
        at += (size_t)snprintf(p->text + at, sizeof p->text - at, STRV_FMT "\n",
                               STRV_ARG(messages[i]));
}

static void on_text(void *arg, enum chat_kept how, strv json)
{
    struct place *p = arg;
    on_done(p, how);
    snprintf(p->text, sizeof p->text, STRV_FMT, STRV_ARG(json.ptr != NULL ? json : STRV("")));
}

static enum chat_kept answer(struct place *p)
{
    fake_run(p->loop);
    assert_int_equal(p->told, 1);
    p->told = 0;
    return p->how;
}

static enum chat_kept load(struct place *p, const char *user, const char *id)
{
    assert_true(chat_keep_load(p->keep, p->loop, user, id, on_load, p));
    return answer(p);
}

static enum chat_kept put_head(struct place *p, const struct chat_head *head, const char *message,
                               uint32_t number)
{
    strv text = strv_of(message);
    assert_true(
        chat_keep_put(p->keep, p->loop, head, &text, &number, message != NULL ? 1 : 0, on_done, p));
    return answer(p);
}

static struct chat_head head_of(const char *user, const char *id, const char *title)
{
    struct chat_head h = {.title = strv_of(title),
                          .mode = STRV("hybrid"),
                          .model = STRV("auto"),
                          .system = STRV("be kind"),
                          .summary = STRV("so far"),
                          .summary_to = 2,
                          .leaf = 7,
                          .n_messages = 1,
                          .tools = true,
                          .created_us = NOW - MINUTE,
                          .last_us = NOW};
    snprintf(h.user, sizeof h.user, "%s", user);
    snprintf(h.id, sizeof h.id, "%s", id);
    return h;
}

static enum chat_kept put(struct place *p, const char *user, const char *id, const char *message,
                          uint32_t number)
{
    struct chat_head h = head_of(user, id, "T");
    return put_head(p, &h, message, number);
}

static enum chat_kept list(struct place *p, const char *user, const char *search, size_t limit,
                           int64_t before_us)
{
    assert_true(
        chat_keep_list(p->keep, p->loop, user, strv_of(search), limit, before_us, on_text, p));
    return answer(p);
}

static enum chat_kept erase(struct place *p, const char *user, const char *id)
{
    assert_true(chat_keep_delete(p->keep, p->loop, user, id, on_done, p));
    return answer(p);
}

/* Another connection does something to the file; ours sees it. */
static void tamper(struct place *p, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_changes(db) > 0, 1);
    sqlite3_close(db);
}

static size_t column(struct place *p, const char *sql, uint8_t *out, size_t size)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    size_t n = (size_t)sqlite3_column_bytes(st, 0);
    n = n < size ? n : size;
    if (n > 0)
        memcpy(out, sqlite3_column_blob(st, 0), n);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

/* ---- cases ---- */

#define SAID(text) "{\"role\":\"user\",\"content\":\"" text "\"}"

static void comes_back(struct place *p)
{
    reopen(p);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_NONE);
    assert_int_equal(put(p, "local", ID, SAID(SECRET), 1), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("three"), 3), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("two"), 2), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("three, longer"), 3), CHAT_KEPT_OK);
    reopen(p);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
    assert_string_equal(p->text, SAID(SECRET) "\n" SAID("two") "\n" SAID("three, longer") "\n");
    assert_int_equal(p->head.leaf, 7);
    assert_int_equal(p->head.summary_to, 2);
    assert_int_equal(p->head.created_us, NOW - MINUTE);
    assert_int_equal(p->head.last_us, NOW);
    assert_true(p->head.tools);
    assert_false(p->head.is_private);
    assert_string_equal(p->head.id, ID);
    assert_int_equal(load(p, "other", ID), CHAT_KEPT_FOREIGN);
    assert_int_equal(put(p, "other", ID, SAID("mine"), 1), CHAT_KEPT_FOREIGN);
    assert_int_equal(erase(p, "other", ID), CHAT_KEPT_FOREIGN);
    assert_int_equal(erase(p, "local", "nobody-knows"), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
    assert_int_equal(p->n, 3);
}

static void what_was_put_comes_back(void **state)
{
    struct place *p = *state;
    comes_back(p);
    assert_true(anywhere(p, SECRET, strlen(SECRET))); /* in clear, as nobody said otherwise */
}

static void sealed_it_comes_back_and_nobody_reads_it(void **state)
{
    struct place *p = *state;
    use_key(*state, STRV(KEY1));
    comes_back(p);
    assert_false(anywhere(p, SECRET, strlen(SECRET)));
    assert_false(anywhere(p, "be kind", 7));
    assert_false(anywhere(p, p->keys.key[0], CHAT_KEY));
    assert_true(chat_keep_private(p->keep));
}

/* Content, and what of the file stood for it. */
static void is_gone(struct place *p)
{
    uint8_t body[64], head[64], key[64] = {0};
    static char big[40000]; /* with pages of its own */
    snprintf(big, sizeof big, "{\"content\":\"%s%030000d\"}", SECRET, 7);
    reopen(p);
    assert_int_equal(put(p, "local", ID, big, 1), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", "session-0002", SAID("stays"), 1), CHAT_KEPT_OK);
    size_t n_body = column(p, "SELECT body FROM chat_messages", body, sizeof body);
    size_t n_head = column(p, "SELECT head FROM chat_sessions", head, sizeof head);
    size_t n_key = column(p, "SELECT coalesce(data_key, '') FROM chat_sessions", key, sizeof key);
    assert_true(anywhere(p, body, n_body) && anywhere(p, head, n_head));
    assert_int_equal(erase(p, "local", ID), CHAT_KEPT_OK);
    assert_false(anywhere(p, SECRET, strlen(SECRET)));
    assert_false(anywhere(p, body, n_body));
    assert_false(anywhere(p, body + n_body - 16, 16));
    assert_false(n_key > 0 && anywhere(p, key, n_key));
    assert_false(n_key > 0 && anywhere(p, head, n_head));
    assert_false(anywhere(p, ID, strlen(ID)));
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", "session-0002"), CHAT_KEPT_OK);
}

static void what_is_deleted_is_in_no_file(void **state)
{
    is_gone(*state);
}

static void what_is_deleted_is_in_no_file_sealed(void **state)
{
    use_key(*state, STRV(KEY1));
    is_gone(*state);
}

static void a_private_session_needs_a_key(void **state)
{
    struct place *p = *state;
    struct chat_head h = head_of("local", ID, "T");
    reopen(p);
    assert_false(chat_keep_private(p->keep));
    assert_false(chat_keep_private(NULL));
    assert_int_equal(put_head(p, &h, SAID(SECRET), 1), CHAT_KEPT_OK);
    h.is_private = true;
    assert_int_equal(put_head(p, &h, SAID("more"), 2), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_NONE);
    assert_false(anywhere(p, SECRET, strlen(SECRET))); /* what was kept before is gone, too */
    p->conf.unsealed_private = true;
    reopen(p);
    assert_true(chat_keep_private(p->keep));
    assert_int_equal(put_head(p, &h, SAID("more"), 1), CHAT_KEPT_OK);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
    assert_true(p->head.is_private);
}

static void a_row_that_was_touched_is_refused(void **state)
{
    static const char *const hits[] = {
        "UPDATE chat_messages SET body = zeroblob(60) WHERE n = 1",
        "UPDATE chat_messages SET body = x'' WHERE n = 1",
        /* two messages exchanged */
        "UPDATE chat_messages SET n = CASE n WHEN 1 THEN 102 ELSE 101 END;"
        "UPDATE chat_messages SET n = n - 100",
        /* another session's message under the same number */
        "UPDATE chat_messages SET body = (SELECT body FROM chat_messages WHERE session = 2 AND n = "
        "1)"
        " WHERE session = 1 AND n = 1",
        /* another's key, and all that is sealed with it */
        "UPDATE chat_sessions SET data_key = (SELECT data_key FROM chat_sessions WHERE row = 2)"
        " WHERE row = 1",
        "UPDATE chat_sessions SET data_key = (SELECT data_key FROM chat_sessions WHERE row = 2),"
        " head = (SELECT head FROM chat_sessions WHERE row = 2) WHERE row = 1",
        "UPDATE chat_sessions SET head = (SELECT body FROM chat_messages WHERE session = 1 AND n = "
        "1)"
        " WHERE row = 1",
        "UPDATE chat_sessions SET head = x'01' WHERE row = 1",
        "UPDATE chat_sessions SET id = 'session-0003' WHERE row = 2;"
        "UPDATE chat_sessions SET id = 'session-0002' WHERE row = 1;"
        "UPDATE chat_sessions SET id = 'session-0001' WHERE row = 2",
    };
    struct place *p = *state;
    use_key(p, STRV(KEY1));
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++) {
        unlink(p->path);
        reopen(p);
        assert_int_equal(put(p, "local", ID, SAID("one"), 1), CHAT_KEPT_OK);
        assert_int_equal(put(p, "local", ID, SAID("two"), 2), CHAT_KEPT_OK);
        assert_int_equal(put(p, "local", "session-0002", SAID("other"), 1), CHAT_KEPT_OK);
        tamper(p, hits[i]);
        if (load(p, "local", ID) != CHAT_KEPT_FAILED)
            fail_msg("loaded after: %s", hits[i]);
        assert_false(chat_keep_failing(p->keep)); /* that is one session's trouble */
        assert_int_equal(list(p, "local", "", 10, 0), CHAT_KEPT_OK);
        assert_int_equal(erase(p, "local", ID), CHAT_KEPT_OK);
        assert_int_equal(put(p, "local", ID, SAID("anew"), 1), CHAT_KEPT_OK);
    }
    assert_true(logged(p, "chat_not_readable"));
    tamper(p, "UPDATE chat_sessions SET user = 'thief' WHERE id = '" ID "'");
    assert_int_equal(load(p, "thief", ID), CHAT_KEPT_FAILED);
}

static void a_wrong_key_is_refused_and_an_old_one_is_turned_over(void **state)
{
    struct place *p = *state;
    uint8_t key[64], now[64];
    use_key(p, STRV(KEY1));
    reopen(p);
    assert_int_equal(put(p, "local", ID, SAID(SECRET), 1), CHAT_KEPT_OK);
    use_key(p, STRV(KEY2));
    reopen(p);
    assert_true(chat_keep_failing(p->keep));
    assert_true(logged(p, "sealed with another key"));
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_FAILED);
    assert_int_equal(put(p, "local", ID, SAID("wrong"), 1), CHAT_KEPT_FAILED);
    use_key(p, STRV_NONE);
    reopen(p);
    assert_true(logged(p, "chat.key_file must name the key"));
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_FAILED);
    column(p, "SELECT data_key FROM chat_sessions", key, sizeof key);
    use_key(p, STRV(KEY2 "\n" KEY1));
    reopen(p);
    assert_false(chat_keep_failing(p->keep));
    assert_true(logged(p, "chat_sealed_anew"));
    column(p, "SELECT data_key FROM chat_sessions", now, sizeof now);
    assert_memory_not_equal(key, now, 60);
    use_key(p, STRV(KEY2)); /* the old one is not needed any more */
    reopen(p);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
    assert_string_equal(p->text, SAID(SECRET) "\n");
    assert_int_equal(put(p, "local", ID, SAID("two"), 2), CHAT_KEPT_OK);
}

static void what_was_in_clear_is_sealed_when_a_key_comes(void **state)
{
    struct place *p = *state;
    reopen(p);
    for (uint32_t n = 1; n < 20; n++)
        assert_int_equal(put(p, "local", ID, SAID(SECRET), n), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", "session-0002", SAID("x"), 1), CHAT_KEPT_OK);
    use_key(p, STRV(KEY1));
    reopen(p);
    assert_false(anywhere(p, SECRET, strlen(SECRET)));
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
    assert_int_equal(p->n, 19);
    assert_int_equal(load(p, "local", "session-0002"), CHAT_KEPT_OK);
    /* nothing in clear is believed from now on */
    tamper(p, "UPDATE chat_sessions SET key_id = NULL, head = CAST(x'0102' || zeroblob(40) AS BLOB)"
              " WHERE id = '" ID "'");
    tamper(p, "UPDATE chat_messages SET body = CAST('{}' AS BLOB)");
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_FAILED);
}

static void lists_are_newest_first_and_found_by_their_words(void **state)
{
    struct place *p = *state;
    static const char *const titles[] = {"Zurich", "Call \\\"plan\\\"", "Été à Genève"};
    use_key(p, STRV(KEY1));
    reopen(p);
    assert_int_equal(list(p, "local", "", 10, 0), CHAT_KEPT_OK);
    assert_string_equal(p->text, "{\"sessions\":[]}");
    for (int i = 0; i < 3; i++) {
        char id[32], text[64];
        snprintf(id, sizeof id, "session-%04d", i);
        snprintf(text, sizeof text, "{\"role\":\"user\",\"content\":\"the n\\u00famber %d %s\"}", i,
                 i == 1 ? SECRET : "");
        struct chat_head h = head_of("local", id, i == 1 ? "Call \"plan\"" : titles[i]);
        h.last_us = NOW + i * MINUTE;
        assert_int_equal(put_head(p, &h, text, 1), CHAT_KEPT_OK);
    }
    assert_int_equal(put(p, "other", "session-other", SAID(SECRET), 1), CHAT_KEPT_OK);
    assert_int_equal(list(p, "local", "", 1, 0), CHAT_KEPT_OK);
    assert_string_equal(
        p->text,
        "{\"sessions\":[{\"session_id\":\"session-0002\",\"title\":\"Été à Genève\","
        "\"message_count\":1,\"created_at\":\"2026-11-23T11:39:00.000Z\","
        "\"last_activity\":\"2026-11-23T11:42:00.000Z\",\"mode\":\"hybrid\",\"model\":\"auto\","
        "\"private\":false}]}");
    assert_int_equal(list(p, "local", "", 10, NOW + 2 * MINUTE), CHAT_KEPT_OK);
    const char *later = strstr(p->text, titles[1]), *early = strstr(p->text, titles[0]);
    assert_true(later != NULL && early != NULL && later < early);
    assert_null(strstr(p->text, "Gen"));
    static const struct {
        const char *search;
        int hits;
    } searches[] = {{"zebraFISH", 1}, {"NUMBER", 3}, {"ete a", 1},    {"plan", 1},
                    {"role", 0},      {"user", 0},   {"number 2", 1}, {"nothing", 0}};
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        int hits = 0;
        assert_int_equal(list(p, "local", searches[i].search, 10, 0), CHAT_KEPT_OK);
        for (const char *at = p->text; (at = strstr(at, "session_id")) != NULL; at++)
            hits++;
        if (hits != searches[i].hits)
            fail_msg("\"%s\" was found %d times: %s", searches[i].search, hits, p->text);
    }
}

static void a_user_has_so_many_and_idle_ones_go(void **state)
{
    struct place *p = *state;
    struct shelf s;
    struct err err = ERR_INIT;
    size_t n;
    p->conf.sessions_max = 3;
    reopen(p);
    for (int i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "session-%04d", i);
        struct chat_head h = head_of("local", id, "T");
        h.last_us = NOW + (i == 1 ? 100 : i) * MINUTE;
        assert_int_equal(put_head(p, &h, i == 0 ? SAID(SECRET) : SAID("x"), 1), CHAT_KEPT_OK);
    }
    assert_int_equal(put(p, "other", "session-other", SAID("x"), 1), CHAT_KEPT_OK);
    assert_int_equal(load(p, "local", "session-0000"), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", "session-0001"), CHAT_KEPT_OK);
    assert_int_equal(load(p, "local", "session-0002"), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", "session-0004"), CHAT_KEPT_OK);
    assert_false(anywhere(p, SECRET, strlen(SECRET)));
    assert_true(shelf_init(&s, &p->conf, &err) && shelf_ready(&s, &err));
    assert_true(shelf_purge(&s, NOW + 4 * MINUTE, &n, &err));
    shelf_fini(&s);
    assert_int_equal(n, 2); /* 0003 and the other user's */
    assert_int_equal(load(p, "other", "session-other"), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", "session-0004"), CHAT_KEPT_OK);
}

/* It was deleted for room or for its age while somebody had it open: what is said next would have nothing before it. */
static void what_is_gone_is_not_begun_in_the_middle(void **state)
{
    struct place *p = *state;
    p->conf.sessions_max = 1;
    reopen(p);
    assert_int_equal(put(p, "local", ID, SAID("one"), 1), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", "session-0002", SAID("x"), 1), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("three"), 3), CHAT_KEPT_NONE);
    assert_int_equal(put(p, "local", ID, NULL, 0), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", ID), CHAT_KEPT_NONE);
    assert_int_equal(load(p, "local", "session-0002"), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("one"), 1), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, SAID("three"), 3), CHAT_KEPT_OK);
}

static void a_file_of_others_is_left_alone(void **state)
{
    struct place *p = *state;
    static const char *const contents[] = {"this is no database, but it is long enough to be one; ",
                                           "SQLite format 3"};
    for (size_t i = 0; i < 2; i++) {
        int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        for (int k = 0; k < 40; k++)
            assert_true(write(fd, contents[i], strlen(contents[i]) + 1) > 0);
        close(fd);
        reopen(p);
        assert_true(chat_keep_failing(p->keep));
        assert_int_equal(put(p, "local", ID, SAID("x"), 1), CHAT_KEPT_FAILED);
        assert_int_equal(load(p, "local", ID), CHAT_KEPT_FAILED);
        assert_int_equal(list(p, "local", "", 10, 0), CHAT_KEPT_FAILED);
        assert_true(in_file(p->path, contents[i], strlen(contents[i])));
        assert_true(logged(p, "move it away to begin anew"));
        unlink(p->path); /* moved away: it goes on by itself */
        assert_int_equal(put(p, "local", ID, SAID("x"), 1), CHAT_KEPT_OK);
        assert_false(chat_keep_failing(p->keep));
        assert_true(logged(p, "chat_kept_again"));
        chat_keep_close(p->keep);
        p->keep = NULL;
        unlink(p->path);
    }
}

static void a_full_file_takes_no_more_and_loses_nothing(void **state)
{
    struct place *p = *state;
    static char big[60000];
    enum chat_kept how = CHAT_KEPT_OK;
    uint32_t n = 0;
    snprintf(big, sizeof big, "{\"content\":\"%050000d\"}", 7);
    p->conf.bytes_max = 1 << 20;
    reopen(p);
    while (how == CHAT_KEPT_OK && n < 100)
        how = put(p, "local", ID, big, ++n);
    assert_int_equal(how, CHAT_KEPT_FAILED);
    assert_true(n > 5 && n < 25);
    assert_true(chat_keep_failing(p->keep));
    assert_true(chat_keep_load(p->keep, p->loop, "local", ID, on_load, p));
    assert_int_equal(answer(p), CHAT_KEPT_OK);
    assert_int_equal(p->n, n - 1);
    assert_int_equal(erase(p, "local", ID), CHAT_KEPT_OK);
    assert_int_equal(put(p, "local", ID, big, 1), CHAT_KEPT_OK);
}

/* A child writes and says so, until it is killed: what it has said is there, and the file is whole. */
static void a_kill_loses_nothing_that_was_told(void **state)
{
    struct place *p = *state;
    use_key(p, STRV(KEY1));
    for (uint32_t last = 1; last <= 9; last += 4) {
        int ends[2];
        uint32_t told = 0, n;
        unlink(p->path);
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            reopen(p);
            for (n = 1;; n++) {
                char text[64];
                snprintf(text, sizeof text, "%u", (unsigned)n);
                if (put(p, "local", ID, text, n) != CHAT_KEPT_OK ||
                    write(ends[1], &n, sizeof n) != sizeof n)
                    _exit(1);
            }
        }
        close(ends[1]);
        while (told < last && read(ends[0], &n, sizeof n) == sizeof n)
            told = n;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(ends[0], &n, sizeof n) == sizeof n)
            told = n;
        close(ends[0]);
        assert_true(told >= last);
        reopen(p);
        assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
        assert_true(p->n >= told && p->n <= told + 1);
        chat_keep_close(p->keep);
        p->keep = NULL;
        sqlite3 *db;
        sqlite3_stmt *st;
        assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
        sqlite3_finalize(st);
        sqlite3_close(db);
    }
}

/* Each allocation refused in turn: asked in vain, or told of the failure, or done. Never half of it. */
static void without_memory_it_fails_and_says_so(void **state)
{
    struct place *p = *state;
    use_key(p, STRV(KEY1));
    reopen(p);
    assert_int_equal(put(p, "local", ID, SAID(SECRET), 1), CHAT_KEPT_OK);
    for (uint64_t nth = 1, failed = 1; failed > 0; nth++) {
        strv text = STRV(SAID("two"));
        uint32_t number = 2;
        struct chat_head h = head_of("local", ID, "T");
        failed = 0;
        for (int what = 0; what < 3; what++) {
            bool taken = false;
            mem_fail_at(nth, false);
            if (what == 0)
                taken = chat_keep_put(p->keep, p->loop, &h, &text, &number, 1, on_done, p);
            if (what == 1)
                taken = chat_keep_load(p->keep, p->loop, "local", ID, on_load, p);
            if (what == 2)
                taken = chat_keep_list(p->keep, p->loop, "local", STRV("zebra"), 5, 0, on_text, p);
            failed += mem_count() >= nth;
            mem_fail_at(0, false);
            fake_run(p->loop);
            if (!taken)
                continue;
            if (p->told == 0) /* the loop had no memory: told with the next one */
                assert_true(chat_keep_load(p->keep, p->loop, "local", "nobody-knows", on_load, p));
            fake_run(p->loop);
            assert_true(p->told >= 1);
            p->told = 0;
            assert_true(p->how != CHAT_KEPT_FOREIGN);
        }
        assert_int_equal(load(p, "local", ID), CHAT_KEPT_OK);
        assert_true(p->n == 1 || p->n == 2);
        assert_non_null(strstr(p->text, SAID(SECRET)));
        assert_int_equal(list(p, "local", "zebra", 5, 0), CHAT_KEPT_OK);
        assert_non_null(strstr(p->text, ID));
    }
}

static void opens_or_says_why_without_memory(void **state)
{
    struct place *p = *state;
    use_key(p, STRV(KEY1));
    for (uint64_t nth = 1;; nth++) {
        struct err err = ERR_INIT;
        mem_fail_at(nth, false);
        p->keep = chat_keep_open(&p->conf, NULL, &err);
        bool all = mem_count() < nth;
        mem_fail_at(0, false);
        assert_true(p->keep != NULL || err.set);
        chat_keep_close(p->keep);
        p->keep = NULL;
        if (all)
            break;
    }
}

static void the_thread_answers_in_order(void **state)
{
    struct place *p = *state;
    enum { N = 200 };
    use_key(p, STRV(KEY1));
    p->conf.no_thread = false;
    reopen(p);
    for (uint32_t n = 1; n <= N; n++) {
        strv text = STRV(SAID("x"));
        struct chat_head h = head_of("local", ID, "T");
        assert_true(
            chat_keep_put(p->keep, p->loop, &h, &text, &n, 1, n % 2 == 0 ? on_done : NULL, p));
    }
    assert_true(chat_keep_load(p->keep, p->loop, "local", ID, on_load, p));
    while (p->told < N / 2 + 1) {
        assert_true(fake_wait_post(p->loop));
        fake_run(p->loop);
    }
    assert_int_equal(p->how, CHAT_KEPT_OK);
    assert_int_equal(p->n, N);
    /* what waits when it is closed is written, and told */
    p->told = 0;
    assert_true(chat_keep_delete(p->keep, p->loop, "local", ID, on_done, p));
    chat_keep_close(p->keep);
    p->keep = NULL;
    assert_int_equal(answer(p), CHAT_KEPT_OK);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_put_comes_back),
        CASE(sealed_it_comes_back_and_nobody_reads_it),
        CASE(what_is_deleted_is_in_no_file),
        CASE(what_is_deleted_is_in_no_file_sealed),
        CASE(a_private_session_needs_a_key),
        CASE(a_row_that_was_touched_is_refused),
        CASE(a_wrong_key_is_refused_and_an_old_one_is_turned_over),
        CASE(what_was_in_clear_is_sealed_when_a_key_comes),
        CASE(lists_are_newest_first_and_found_by_their_words),
        CASE(a_user_has_so_many_and_idle_ones_go),
        CASE(what_is_gone_is_not_begun_in_the_middle),
        CASE(a_file_of_others_is_left_alone),
        CASE(a_full_file_takes_no_more_and_loses_nothing),
        CASE(a_kill_loses_nothing_that_was_told),
        CASE(without_memory_it_fails_and_says_so),
        CASE(opens_or_says_why_without_memory),
        CASE(the_thread_answers_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
