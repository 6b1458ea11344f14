/* SPDX-License-Identifier: Apache-2.0 */
/* database - opening: folders, modes, versions; and the statements, prepared when they are first used. */
#include "store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

bool database_init(struct database *d, const struct database_plan *plan, const char *path,
                   struct err *err)
{
    assert(plan->n_statements <= DATABASE_STATEMENTS_MAX);
    *d = (struct database){.plan = plan, .path = mem_strdup(path)};
    return d->path != NULL || err_oom(err);
}

void database_fini(struct database *d)
{
    database_close(d);
    mem_free(d->path);
    d->path = NULL;
}

void database_close(struct database *d)
{
    for (int i = 0; i < DATABASE_STATEMENTS_MAX; i++) {
        sqlite3_finalize(d->prepared[i]);
        d->prepared[i] = NULL;
    }
    sqlite3_close(d->db);
    d->db = NULL;
}

bool database_there(const struct database *d, bool *there, struct err *err)
{
    struct stat st;
    *there = lstat(d->path, &st) == 0;
    return *there || errno == ENOENT || errno == ENOTDIR ||
           err_set(err, 0, "%.200s: %s", d->path, strerror(errno));
}

bool database_is_current(const struct database *d)
{
    struct stat st;
    return d->db != NULL && lstat(d->path, &st) == 0 && st.st_ino == d->ino && st.st_dev == d->dev;
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
bool database_make(const struct database *d, struct err *err)
{
    if (!make_folders(d->path, err))
        return false;
    int fd = open(d->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, 0, "%.200s cannot be made: %s", d->path, strerror(errno));
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

static bool check_file(struct database *d, struct err *err)
{
    struct stat st;
    if (lstat(d->path, &st) != 0)
        return err_set(err, 0, "%.200s: %s", d->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, 0, "%.200s is not a file", d->path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return err_set(err, 0, "%.200s has mode %03o, others can use it; chmod 600 it", d->path,
                       (unsigned)st.st_mode & 0777u);
    d->dev = st.st_dev;
    d->ino = st.st_ino;
    return check_folder(d->path, err);
}

/* SQLite's last word, in ours. */
bool database_failed(struct database *d, struct err *err)
{
    int code = d->db != NULL ? sqlite3_errcode(d->db) : SQLITE_NOMEM;
    const char *text = d->db != NULL ? sqlite3_errmsg(d->db) : "out of memory";
    switch (code) {
    case SQLITE_NOMEM:
        return err_oom(err);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return err_set(
            err, 0,
            "%.180s is damaged or not a %s of this program (%s); move it away to begin anew",
            d->path, d->plan->what, text);
    case SQLITE_BUSY:
        return err_set(err, 0, "%.200s is in use by another process", d->path);
    default:
        return err_set(err, 0, "%.200s: %s", d->path, text);
    }
}

bool database_run(struct database *d, const char *sql, struct err *err)
{
    return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK || database_failed(d, err);
}

/* A statement that gives one number. */
static bool number(struct database *d, const char *sql, int *out, struct err *err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(d->db, sql, -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW;
    if (ok)
        *out = sqlite3_column_int(st, 0);
    else
        database_failed(d, err);
    sqlite3_finalize(st);
    return ok;
}

int64_t database_changes(struct database *d)
{
    int others = 0;
    if (d->db == NULL)
        return 0;
    number(d, "PRAGMA data_version", &others, NULL); /* counts what others did */
    return ((int64_t)others & 0xffffff) << 24 | (sqlite3_total_changes(d->db) & 0xffffff);
}

static bool migrate_locked(struct database *d, struct err *err)
{
    char sql[64];
    int version, id, tables;

    if (!number(d, "PRAGMA user_version", &version, err) ||
        !number(d, "PRAGMA application_id", &id, err) ||
        !number(d, "SELECT count(*) FROM sqlite_master", &tables, err))
        return false;
    if (id != d->plan->application_id && (id != 0 || version != 0 || tables != 0))
        return err_set(err, 0, "%.200s is a database of another program", d->path);
    if (version > d->plan->n_migrations)
        return err_set(err, 0, "%.200s was written by a newer version (%d, this one knows %d)",
                       d->path, version, d->plan->n_migrations);
    if (version == d->plan->n_migrations)
        return true;
    for (; version < d->plan->n_migrations; version++) {
        if (!database_run(d, d->plan->migrations[version], err))
            return false;
    }
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d", d->plan->application_id);
    if (!database_run(d, sql, err))
        return false;
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", d->plan->n_migrations);
    return database_run(d, sql, err);
}

/* In one transaction: two processes may come at the same time, and neither must see half of it. */
static bool migrate(struct database *d, struct err *err)
{
    if (!database_run(d, "BEGIN IMMEDIATE", err))
        return false;
    if (migrate_locked(d, err) && database_run(d, "COMMIT", err))
        return true;
    database_run(d, "ROLLBACK", NULL);
    return false;
}

static bool open_with(struct database *d, int flags, struct err *err)
{
    if (!check_file(d, err))
        return false;
    flags |= d->plan->one_thread ? SQLITE_OPEN_NOMUTEX : SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(d->path, &d->db, flags, NULL) != SQLITE_OK)
        return database_failed(d, err);
    sqlite3_busy_timeout(d->db, d->plan->busy_ms);
    sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return database_run(d, "PRAGMA trusted_schema = OFF", err);
}

bool database_open(struct database *d, struct err *err)
{
    bool ok = open_with(d, SQLITE_OPEN_READWRITE, err) &&
              database_run(d, "PRAGMA synchronous = FULL", err) &&
              database_run(d, "PRAGMA journal_mode = WAL", err) && migrate(d, err);
    if (!ok)
        database_close(d);
    return ok;
}

/* A reader beside the process that writes: WAL's shared memory must be writable, or be there already. */
bool database_open_readonly(struct database *d, struct err *err)
{
    int version = 0, id = 0;
    bool ok = open_with(d, SQLITE_OPEN_READONLY, err) &&
              number(d, "PRAGMA user_version", &version, err) &&
              number(d, "PRAGMA application_id", &id, err);
    if (ok && (id != d->plan->application_id || version != d->plan->n_migrations))
        ok = err_set(err, 0, "%.180s is not a %s of this version of the program", d->path,
                     d->plan->what);
    if (!ok)
        database_close(d);
    return ok;
}

/* ---- statements ---- */

sqlite3_stmt *database_prepare(struct database *d, int which, struct err *err)
{
    assert(which >= 0 && which < d->plan->n_statements);
    sqlite3_stmt **st = &d->prepared[which];
    if (*st == NULL && sqlite3_prepare_v3(d->db, d->plan->statements[which], -1,
                                          SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK) {
        database_failed(d, err);
        return NULL;
    }
    return *st;
}

void database_done(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}
