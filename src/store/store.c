/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what the file of keys looks like, and the few statements on it.
 *
 *   closed --file there, or made--> open --file gone or replaced--> closed
 *
 * A store that was opened without `create` may have no file yet; it is looked for again at every
 * store_version(), so a router that serves notices the first `keys add`.
 */
#include "store/store.h"

#include <assert.h>

/* Another process holds the lock for a single small transaction; five seconds means it hangs. */
#define BUSY_MS        5000
#define APPLICATION_ID 0x4c4c4d52 /* "LLMR": tells our file from anyone else's database */

/* ---- what the file looks like ---- */

/* Migration n takes a file of user_version n to n + 1. Add at the end; never change one that was released.
 */
static const char *const migrations[] = {
    "CREATE TABLE key ("
    " id TEXT NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) <= 63),"
    " digest BLOB NOT NULL UNIQUE CHECK (typeof(digest) = 'blob' AND length(digest) = 32),"
    " created_us INTEGER NOT NULL,"
    " revoked_us INTEGER NOT NULL DEFAULT 0)",
    /* Keys that are there could read everything until now. */
    "ALTER TABLE key ADD COLUMN rules TEXT NOT NULL DEFAULT ''"
    " CHECK (length(CAST(rules AS BLOB)) < 1536);"
    "UPDATE key SET rules = 'admin=yes' || char(10)",
    "CREATE TABLE approval ("
    " id TEXT NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " server TEXT NOT NULL CHECK (length(CAST(server AS BLOB)) <= 31),"
    " tool TEXT NOT NULL CHECK (length(CAST(tool AS BLOB)) <= 128),"
    " key TEXT NOT NULL CHECK (length(CAST(key AS BLOB)) <= 31),"
    " session TEXT NOT NULL CHECK (length(CAST(session AS BLOB)) <= 255),"
    " arguments TEXT NOT NULL,"
    " arguments_digest BLOB NOT NULL CHECK (length(arguments_digest) = 32),"
    " tool_digest BLOB NOT NULL CHECK (length(tool_digest) = 32),"
    " effect INTEGER NOT NULL, always INTEGER NOT NULL,"
    " asked_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " decided_us INTEGER NOT NULL DEFAULT 0,"
    " decision INTEGER NOT NULL DEFAULT 0,"
    " decided_by TEXT NOT NULL DEFAULT '' CHECK (length(CAST(decided_by AS BLOB)) <= 63),"
    " remember INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0)",
};
#define VERSION_NOW ((int)(sizeof migrations / sizeof *migrations))

enum statement {
    KEY_ADD,
    KEY_REVOKE,
    KEY_EDIT,
    KEY_FIND,
    KEY_EACH,
    APPROVAL_PUT,
    APPROVAL_DECIDE,
    APPROVAL_EACH,
    APPROVAL_PURGE,
    DATA_VERSION,
    STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [KEY_ADD] = "INSERT INTO key (id, name, digest, created_us, revoked_us, rules)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [KEY_REVOKE] = "UPDATE key SET revoked_us = ?2 WHERE id = ?1 AND revoked_us = 0",
    [KEY_EDIT] = "UPDATE key SET rules = ?2 WHERE id = ?1 AND revoked_us = 0",
    [KEY_FIND] = "SELECT revoked_us FROM key WHERE id = ?1",
    [KEY_EACH] = "SELECT id, name, digest, created_us, revoked_us, rules FROM key"
                 " ORDER BY created_us, id",
    [APPROVAL_PUT] = "INSERT OR REPLACE INTO approval (id, server, tool, key, session, arguments,"
                     " arguments_digest, tool_digest, effect, always, asked_us, until_us,"
                     " decided_us, decision, decided_by, remember, used)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
                     " ?16, ?17)",
    [APPROVAL_DECIDE] = "UPDATE approval SET decision = ?2, remember = ?3, decided_by = ?4,"
                        " decided_us = ?5, arguments = '' WHERE id = ?1 AND decision = 0",
    [APPROVAL_EACH] = "SELECT id, server, tool, key, session, arguments, arguments_digest,"
                      " tool_digest, effect, always, asked_us, until_us, decided_us, decision,"
                      " decided_by, remember, used FROM approval ORDER BY asked_us, id",
    [APPROVAL_PURGE] = "DELETE FROM approval WHERE asked_us < ?1",
    [DATA_VERSION] = "PRAGMA data_version",
};

static const struct database_plan plan = {
    .what = "store",
    .application_id = APPLICATION_ID,
    .migrations = migrations,
    .n_migrations = VERSION_NOW,
    .statements = statements,
    .n_statements = STATEMENTS,
    .busy_ms = BUSY_MS,
};

struct store {
    struct database d;
    int64_t generation; /* how often a file was opened */
};

static bool open_file(struct store *s, struct err *err)
{
    if (!database_open(&s->d, err))
        return false;
    s->generation++;
    return true;
}

/* ---- opening ---- */

struct store *store_open(const char *path, bool create, struct err *err)
{
    struct store *s = mem_zalloc(sizeof *s);
    bool there;
    if (s == NULL) {
        err_oom(err);
        return NULL;
    }
    if (database_init(&s->d, &plan, path, err) && database_there(&s->d, &there, err) &&
        (there || !create || database_make(&s->d, err)) &&
        ((!there && !create) || open_file(s, err)))
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    database_fini(&s->d);
    mem_free(s);
}

/* ---- statements ---- */

static bool bind_text(sqlite3_stmt *st, int at, const char *text)
{
    return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC) == SQLITE_OK;
}

/* No file yet. */
static bool nothing(const struct store *s, struct err *err)
{
    return err_set(err, 0, "%.200s does not exist", s->d.path);
}

/* Opens what has appeared, closes what has gone. */
static void look_again(struct store *s)
{
    bool there;
    if (s->d.db != NULL && !database_is_current(&s->d)) {
        database_close(&s->d);
        s->generation++;
    }
    if (s->d.db == NULL && database_there(&s->d, &there, NULL) && there)
        open_file(s, NULL);
}

int64_t store_version(struct store *s)
{
    int64_t data = 0, changes = 0;
    look_again(s);
    if (s->d.db != NULL) {
        sqlite3_stmt *st = database_prepare(&s->d, DATA_VERSION, NULL);
        if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
            data = sqlite3_column_int64(st, 0); /* counts what others did */
        if (st != NULL)
            database_done(st);
        changes = sqlite3_total_changes(s->d.db);
    }
    return (s->generation & 0x7fff) << 48 | (data & 0xffffff) << 24 | (changes & 0xffffff);
}

/* ---- keys ---- */

bool store_key_add(struct store *s, const struct store_key *key, struct err *err)
{
    if (s->d.db == NULL)
        return nothing(s, err);
    sqlite3_stmt *st = database_prepare(&s->d, KEY_ADD, err);
    if (st == NULL)
        return false;
    bool ok =
        bind_text(st, 1, key->id) && bind_text(st, 2, key->name) &&
        sqlite3_bind_blob(st, 3, key->digest, sizeof key->digest, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(st, 4, key->created_us) == SQLITE_OK &&
        sqlite3_bind_int64(st, 5, key->revoked_us) == SQLITE_OK && bind_text(st, 6, key->rules) &&
        sqlite3_step(st) == SQLITE_DONE;
    if (!ok && sqlite3_errcode(s->d.db) == SQLITE_CONSTRAINT)
        err_set(err, 0, "the key %.31s is there already, or has no id", key->id);
    else if (!ok)
        database_failed(&s->d, err);
    database_done(st);
    return ok;
}

/* Why nothing was changed; always false. */
static bool unchanged(struct store *s, const char *id, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&s->d, KEY_FIND, err);
    if (st == NULL)
        return false;
    int step = bind_text(st, 1, id) ? sqlite3_step(st) : SQLITE_NOMEM;
    if (step == SQLITE_ROW)
        err_set(err, 0, "the key %.31s is revoked already", id);
    else if (step == SQLITE_DONE)
        err_set(err, 0, "there is no key %.31s", id);
    else
        database_failed(&s->d, err);
    database_done(st);
    return false;
}

/* Steps a statement that is bound and must have changed the one key. */
static bool change(struct store *s, sqlite3_stmt *st, bool bound, const char *id, struct err *err)
{
    bool ok = bound && sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        database_failed(&s->d, err);
    int changed = ok ? sqlite3_changes(s->d.db) : 0;
    database_done(st);
    return ok && (changed == 1 || unchanged(s, id, err));
}

bool store_key_revoke(struct store *s, const char *id, int64_t now_us, struct err *err)
{
    if (s->d.db == NULL)
        return err_set(err, 0, "there is no key %.31s", id);
    assert(now_us != 0); /* 0 means not revoked */
    sqlite3_stmt *st = database_prepare(&s->d, KEY_REVOKE, err);
    return st != NULL &&
           change(s, st, bind_text(st, 1, id) && sqlite3_bind_int64(st, 2, now_us) == SQLITE_OK, id,
                  err);
}

bool store_key_edit(struct store *s, const char *id, const char *rules, struct err *err)
{
    if (s->d.db == NULL)
        return err_set(err, 0, "there is no key %.31s", id);
    sqlite3_stmt *st = database_prepare(&s->d, KEY_EDIT, err);
    return st != NULL && change(s, st, bind_text(st, 1, id) && bind_text(st, 2, rules), id, err);
}

static bool copy_text(sqlite3_stmt *st, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = (size_t)sqlite3_column_bytes(st, column);
    if (text == NULL || len >= size)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool read_key(sqlite3_stmt *st, struct store_key *key)
{
    *key = (struct store_key){0};
    const void *digest = sqlite3_column_blob(st, 2);
    if (!copy_text(st, 0, key->id, sizeof key->id) ||
        !copy_text(st, 1, key->name, sizeof key->name) ||
        !copy_text(st, 5, key->rules, sizeof key->rules) || digest == NULL ||
        sqlite3_column_bytes(st, 2) != (int)sizeof key->digest)
        return false;
    memcpy(key->digest, digest, sizeof key->digest);
    key->created_us = sqlite3_column_int64(st, 3);
    key->revoked_us = sqlite3_column_int64(st, 4);
    return true;
}

bool store_key_each(struct store *s, bool (*fn)(void *arg, const struct store_key *key), void *arg,
                    struct err *err)
{
    struct store_key key;
    bool ok = true;
    int step;

    if (s->d.db == NULL)
        return true;
    sqlite3_stmt *st = database_prepare(&s->d, KEY_EACH, err);
    if (st == NULL)
        return false;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        ok = read_key(st, &key);
        if (!ok) {
            err_set(err, 0, "%.200s: a key's row is damaged", s->d.path);
            break;
        }
        if (!fn(arg, &key))
            break;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        ok = database_failed(&s->d, err);
    database_done(st);
    return ok;
}

/* ---- calls that wait for a person ---- */

static bool bind_approval(sqlite3_stmt *st, const struct store_approval *a)
{
    const char *const texts[] = {a->id, a->server, a->tool, a->key, a->session, a->arguments};
    const int64_t numbers[] = {a->effect,   a->always,     a->asked_us,
                               a->until_us, a->decided_us, a->decision};
    bool ok = true;
    for (int i = 0; ok && i < 6; i++)
        ok = bind_text(st, i + 1, texts[i]) &&
             sqlite3_bind_int64(st, i + 9, numbers[i]) == SQLITE_OK;
    return ok && sqlite3_bind_blob(st, 7, a->arguments_digest, 32, SQLITE_STATIC) == SQLITE_OK &&
           sqlite3_bind_blob(st, 8, a->tool_digest, 32, SQLITE_STATIC) == SQLITE_OK &&
           bind_text(st, 15, a->decided_by) &&
           sqlite3_bind_int64(st, 16, a->remember) == SQLITE_OK &&
           sqlite3_bind_int64(st, 17, a->used) == SQLITE_OK;
}

bool store_approval_put(struct store *s, const struct store_approval *a, struct err *err)
{
    if (s->d.db == NULL && (!database_make(&s->d, err) || !open_file(s, err)))
        return false;
    sqlite3_stmt *st = database_prepare(&s->d, APPROVAL_PUT, err);
    if (st == NULL)
        return false;
    bool ok = bind_approval(st, a) && sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        database_failed(&s->d, err);
    database_done(st);
    return ok;
}

bool store_approval_decide(struct store *s, const char *id, int decision, bool remember,
                           const char *by, int64_t now_us, struct err *err)
{
    if (s->d.db == NULL)
        return err_set(err, 0, "no call %.31s waits for an approval", id);
    sqlite3_stmt *st = database_prepare(&s->d, APPROVAL_DECIDE, err);
    if (st == NULL)
        return false;
    bool ok = bind_text(st, 1, id) && sqlite3_bind_int64(st, 2, decision) == SQLITE_OK &&
              sqlite3_bind_int64(st, 3, remember) == SQLITE_OK && bind_text(st, 4, by) &&
              sqlite3_bind_int64(st, 5, now_us) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        database_failed(&s->d, err);
    else if (sqlite3_changes(s->d.db) != 1)
        ok = err_set(err, 0, "no call %.31s waits for an approval", id);
    database_done(st);
    return ok;
}

static bool copy_digest(sqlite3_stmt *st, int column, uint8_t out[32])
{
    const void *blob = sqlite3_column_blob(st, column);
    if (blob == NULL || sqlite3_column_bytes(st, column) != 32)
        return false;
    memcpy(out, blob, 32);
    return true;
}

static bool read_approval(sqlite3_stmt *st, struct store_approval *a)
{
    *a = (struct store_approval){.arguments = (const char *)sqlite3_column_text(st, 5)};
    a->effect = sqlite3_column_int(st, 8);
    a->always = sqlite3_column_int(st, 9) != 0;
    a->asked_us = sqlite3_column_int64(st, 10);
    a->until_us = sqlite3_column_int64(st, 11);
    a->decided_us = sqlite3_column_int64(st, 12);
    a->decision = sqlite3_column_int(st, 13);
    a->remember = sqlite3_column_int(st, 15) != 0;
    a->used = sqlite3_column_int(st, 16) != 0;
    return a->arguments != NULL && copy_text(st, 0, a->id, sizeof a->id) &&
           copy_text(st, 1, a->server, sizeof a->server) &&
           copy_text(st, 2, a->tool, sizeof a->tool) && copy_text(st, 3, a->key, sizeof a->key) &&
           copy_text(st, 4, a->session, sizeof a->session) &&
           copy_digest(st, 6, a->arguments_digest) && copy_digest(st, 7, a->tool_digest) &&
           copy_text(st, 14, a->decided_by, sizeof a->decided_by);
}

bool store_approval_each(struct store *s, bool (*fn)(void *arg, const struct store_approval *a),
                         void *arg, struct err *err)
{
    struct store_approval a;
    bool ok = true;
    int step;
    if (s->d.db == NULL)
        return true;
    sqlite3_stmt *st = database_prepare(&s->d, APPROVAL_EACH, err);
    if (st == NULL)
        return false;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        ok = read_approval(st, &a);
        if (!ok) {
            err_set(err, 0, "%.200s: the row of an approval is damaged", s->d.path);
            break;
        }
        if (!fn(arg, &a))
            break;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        ok = database_failed(&s->d, err);
    database_done(st);
    return ok;
}

bool store_approval_purge(struct store *s, int64_t before_us, struct err *err)
{
    if (s->d.db == NULL)
        return true;
    sqlite3_stmt *st = database_prepare(&s->d, APPROVAL_PURGE, err);
    if (st == NULL)
        return false;
    bool ok = sqlite3_bind_int64(st, 1, before_us) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        database_failed(&s->d, err);
    database_done(st);
    return ok;
}
