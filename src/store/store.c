/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - one SQLite file: who may see it, what it looks like, and the few statements on it.
 *
 *   closed --file there, or made--> open (WAL, migrated) --file gone or replaced--> closed
 *
 * A store that was opened without `create` may have no file yet; it is looked for again at every
 * store_version(), so a router that serves notices the first `keys add`. Whoever can write the file can
 * let himself in, so a file or a folder that others can write is refused, not repaired.
 *
 * SQLite takes its memory from malloc(3); a refusal there comes back as its own error.
 */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
};
#define VERSION_NOW ((int)(sizeof migrations / sizeof *migrations))

enum statement { KEY_ADD, KEY_REVOKE, KEY_FIND, KEY_EACH, DATA_VERSION, STATEMENTS };

static const char *const statements[STATEMENTS] = {
    [KEY_ADD] =
        "INSERT INTO key (id, name, digest, created_us, revoked_us) VALUES (?1, ?2, ?3, ?4, ?5)",
    [KEY_REVOKE] = "UPDATE key SET revoked_us = ?2 WHERE id = ?1 AND revoked_us = 0",
    [KEY_FIND] = "SELECT revoked_us FROM key WHERE id = ?1",
    [KEY_EACH] = "SELECT id, name, digest, created_us, revoked_us FROM key ORDER BY created_us, id",
    [DATA_VERSION] = "PRAGMA data_version",
};

struct store {
    char *path;
    sqlite3 *db; /* NULL = no file */
    sqlite3_stmt *prepared[STATEMENTS];
    dev_t dev; /* which file db is */
    ino_t ino;
    int64_t generation; /* how often a file was opened */
};

static bool open_file(struct store *s, struct err *err);
static void close_file(struct store *s);
static bool make_file(const char *path, struct err *err);

/* ---- opening ---- */

struct store *store_open(const char *path, bool create, struct err *err)
{
    struct store *s = mem_zalloc(sizeof *s);
    if (s == NULL || (s->path = mem_strdup(path)) == NULL) {
        mem_free(s);
        err_oom(err);
        return NULL;
    }
    struct stat st;
    bool there = lstat(path, &st) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR)
        err_set(err, 0, "%.200s: %s", path, strerror(errno));
    else if ((there || !create || make_file(path, err)) &&
             ((!there && !create) || open_file(s, err)))
        return s;
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    close_file(s);
    mem_free(s->path);
    mem_free(s);
}

static void close_file(struct store *s)
{
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(s->prepared[i]);
        s->prepared[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
}

/* "/a/b/store.db": makes /a and /a/b. */
static bool make_folders(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof folder)
        return err_set(err, 0, "%.100s...: the path is too long", path);
    memcpy(folder, path, len + 1);
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return err_set(err, 0, "the folder %.200s cannot be made: %s", folder, strerror(errno));
        *slash = '/';
    }
    return true;
}

/* Made empty and private before SQLite opens it, whatever the umask. */
static bool make_file(const char *path, struct err *err)
{
    if (!make_folders(path, err))
        return false;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, 0, "%.200s cannot be made: %s", path, strerror(errno));
    close(fd);
    return true;
}

static bool check_folder(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    struct stat st;
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;

    if (len >= sizeof folder)
        return err_set(err, 0, "%.100s...: the path is too long", path);
    memcpy(folder, path, len);
    folder[len] = '\0';
    if (len == 0)
        snprintf(folder, sizeof folder, "%s", slash != NULL ? "/" : ".");
    if (stat(folder, &st) != 0)
        return err_set(err, 0, "%.200s: %s", folder, strerror(errno));
    if ((st.st_mode & S_IWOTH) != 0)
        return err_set(err, 0, "the folder %.200s can be written by everyone; chmod 700 it",
                       folder);
    return true;
}

static bool check_file(struct store *s, struct err *err)
{
    struct stat st;
    if (lstat(s->path, &st) != 0)
        return err_set(err, 0, "%.200s: %s", s->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, 0, "%.200s is not a file", s->path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return err_set(err, 0, "%.200s has mode %03o, others can use it; chmod 600 it", s->path,
                       (unsigned)st.st_mode & 0777u);
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    return check_folder(s->path, err);
}

/* SQLite's last word, in ours. */
static bool failed(struct store *s, struct err *err)
{
    int code = s->db != NULL ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
    const char *text = s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory";
    switch (code) {
    case SQLITE_NOMEM:
        return err_oom(err);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return err_set(
            err, 0,
            "%.180s is damaged or not a store of this program (%s); move it away to begin anew",
            s->path, text);
    case SQLITE_BUSY:
        return err_set(err, 0, "%.200s is in use by another process", s->path);
    default:
        return err_set(err, 0, "%.200s: %s", s->path, text);
    }
}

static bool run(struct store *s, const char *sql, struct err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(s, err);
}

/* A statement that gives one number. */
static bool number(struct store *s, const char *sql, int *out, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW;
    if (ok)
        *out = sqlite3_column_int(st, 0);
    else
        failed(s, err);
    sqlite3_finalize(st);
    return ok;
}

static bool migrate_locked(struct store *s, struct err *err)
{
    char sql[64];
    int version, id, tables;

    if (!number(s, "PRAGMA user_version", &version, err) ||
        !number(s, "PRAGMA application_id", &id, err) ||
        !number(s, "SELECT count(*) FROM sqlite_master", &tables, err))
        return false;
    if (id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
        return err_set(err, 0, "%.200s is a database of another program", s->path);
    if (version > VERSION_NOW)
        return err_set(err, 0, "%.200s was written by a newer version (%d, this one knows %d)",
                       s->path, version, VERSION_NOW);
    if (version == VERSION_NOW)
        return true;
    for (; version < VERSION_NOW; version++) {
        if (!run(s, migrations[version], err))
            return false;
    }
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d", APPLICATION_ID);
    if (!run(s, sql, err))
        return false;
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", VERSION_NOW);
    return run(s, sql, err);
}

/* In one transaction: two processes may come at the same time, and neither must see half of it. */
static bool migrate(struct store *s, struct err *err)
{
    if (!run(s, "BEGIN IMMEDIATE", err))
        return false;
    if (migrate_locked(s, err) && run(s, "COMMIT", err))
        return true;
    run(s, "ROLLBACK", NULL);
    return false;
}

static bool open_file(struct store *s, struct err *err)
{
    if (!check_file(s, err))
        return false;
    bool ok = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
                              NULL) == SQLITE_OK;
    if (!ok) {
        failed(s, err);
    } else {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        ok = run(s, "PRAGMA trusted_schema = OFF", err) &&
             run(s, "PRAGMA synchronous = FULL", err) && run(s, "PRAGMA journal_mode = WAL", err) &&
             migrate(s, err);
    }
    if (!ok)
        close_file(s);
    else
        s->generation++;
    return ok;
}

/* ---- statements ---- */

/* Ready to be bound and stepped; NULL with err. Every use ends with done(). */
static sqlite3_stmt *prepare(struct store *s, enum statement which, struct err *err)
{
    sqlite3_stmt **st = &s->prepared[which];
    if (*st == NULL && sqlite3_prepare_v3(s->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                          st, NULL) != SQLITE_OK) {
        failed(s, err);
        return NULL;
    }
    return *st;
}

static void done(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

static bool bind_text(sqlite3_stmt *st, int at, const char *text)
{
    return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC) == SQLITE_OK;
}

/* No file yet. */
static bool nothing(const struct store *s, struct err *err)
{
    return err_set(err, 0, "%.200s does not exist", s->path);
}

/* Opens what has appeared, closes what has gone. */
static void look_again(struct store *s)
{
    struct stat st;
    bool there = lstat(s->path, &st) == 0;
    if (s->db != NULL && (!there || st.st_ino != s->ino || st.st_dev != s->dev)) {
        close_file(s);
        s->generation++;
    }
    if (s->db == NULL && there)
        open_file(s, NULL);
}

int64_t store_version(struct store *s)
{
    int64_t data = 0, changes = 0;
    look_again(s);
    if (s->db != NULL) {
        sqlite3_stmt *st = prepare(s, DATA_VERSION, NULL);
        if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
            data = sqlite3_column_int64(st, 0); /* counts what others did */
        if (st != NULL)
            done(st);
        changes = sqlite3_total_changes(s->db);
    }
    return (s->generation & 0x7fff) << 48 | (data & 0xffffff) << 24 | (changes & 0xffffff);
}

/* ---- keys ---- */

bool store_key_add(struct store *s, const struct store_key *key, struct err *err)
{
    if (s->db == NULL)
        return nothing(s, err);
    sqlite3_stmt *st = prepare(s, KEY_ADD, err);
    if (st == NULL)
        return false;
    bool ok =
        bind_text(st, 1, key->id) && bind_text(st, 2, key->name) &&
        sqlite3_bind_blob(st, 3, key->digest, sizeof key->digest, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(st, 4, key->created_us) == SQLITE_OK &&
        sqlite3_bind_int64(st, 5, key->revoked_us) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    if (!ok && sqlite3_errcode(s->db) == SQLITE_CONSTRAINT)
        err_set(err, 0, "the key %.31s is there already, or has no id", key->id);
    else if (!ok)
        failed(s, err);
    done(st);
    return ok;
}

/* Why a revocation changed nothing; always false. */
static bool not_revoked(struct store *s, const char *id, struct err *err)
{
    sqlite3_stmt *st = prepare(s, KEY_FIND, err);
    if (st == NULL)
        return false;
    int step = bind_text(st, 1, id) ? sqlite3_step(st) : SQLITE_NOMEM;
    if (step == SQLITE_ROW)
        err_set(err, 0, "the key %.31s is revoked already", id);
    else if (step == SQLITE_DONE)
        err_set(err, 0, "there is no key %.31s", id);
    else
        failed(s, err);
    done(st);
    return false;
}

bool store_key_revoke(struct store *s, const char *id, int64_t now_us, struct err *err)
{
    if (s->db == NULL)
        return err_set(err, 0, "there is no key %.31s", id);
    assert(now_us != 0); /* 0 means not revoked */
    sqlite3_stmt *st = prepare(s, KEY_REVOKE, err);
    if (st == NULL)
        return false;
    bool ok = bind_text(st, 1, id) && sqlite3_bind_int64(st, 2, now_us) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_DONE;
    if (!ok)
        failed(s, err);
    int changed = ok ? sqlite3_changes(s->db) : 0;
    done(st);
    return ok && (changed == 1 || not_revoked(s, id, err));
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
        !copy_text(st, 1, key->name, sizeof key->name) || digest == NULL ||
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

    if (s->db == NULL)
        return true;
    sqlite3_stmt *st = prepare(s, KEY_EACH, err);
    if (st == NULL)
        return false;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        ok = read_key(st, &key);
        if (!ok) {
            err_set(err, 0, "%.200s: a key's row is damaged", s->path);
            break;
        }
        if (!fn(arg, &key))
            break;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        ok = failed(s, err);
    done(st);
    return ok;
}
