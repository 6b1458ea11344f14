/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_file - statements on an SQLite file.
 *
 *   closed --file there, or made--> open --file gone or replaced--> closed
 *
 * A file that was opened without `create` may not be there yet; it is looked for again at every version(), so a
 * router that serves notices the first `keys add`.
 */
#include "store/sql.h"

struct file {
    struct sql sql;
    struct database d;
    int64_t generation; /* how often a file was opened or closed */
};

static bool open_file(struct file *f, struct err *err)
{
    if (!database_open(&f->d, err))
        return false;
    f->generation++;
    return true;
}

static bool file_there(const struct sql *s)
{
    return ((const struct file *)s)->d.db != NULL;
}

static bool file_make(struct sql *s, struct err *err)
{
    struct file *f = (struct file *)s;
    return database_make(&f->d, err) && open_file(f, err);
}

/* Opens what has appeared, closes what has gone. */
static void look_again(struct file *f)
{
    bool there;
    if (f->d.db != NULL && !database_is_current(&f->d)) {
        database_close(&f->d);
        f->generation++;
    }
    if (f->d.db == NULL && database_there(&f->d, &there, NULL) && there)
        open_file(f, NULL);
}

static int64_t file_version(struct sql *s, struct err *err)
{
    struct file *f = (struct file *)s;
    (void)err; /* a file that cannot be looked at is one that is not there yet */
    look_again(f);
    return (f->generation & 0x7fff) << 48 | database_changes(&f->d);
}

static bool bind(sqlite3_stmt *st, int at, const struct sql_value *v)
{
    switch (v->kind) {
    case SQL_INT:
        return sqlite3_bind_int64(st, at, v->number) == SQLITE_OK;
    case SQL_TEXT:
        return sqlite3_bind_text64(st, at, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8) ==
               SQLITE_OK;
    case SQL_BYTES:
        return sqlite3_bind_blob64(st, at, v->bytes, v->len, SQLITE_STATIC) == SQLITE_OK;
    case SQL_NULL:
        break;
    }
    return sqlite3_bind_null(st, at) == SQLITE_OK;
}

static struct sql_value column(sqlite3_stmt *st, int at)
{
    const void *bytes;
    switch (sqlite3_column_type(st, at)) {
    case SQLITE_INTEGER:
        return sql_int(sqlite3_column_int64(st, at));
    case SQLITE_TEXT:
        bytes = sqlite3_column_text(st, at); /* NULL for want of memory, and then SQL_NULL */
        break;
    case SQLITE_BLOB:
        return sql_bytes(sqlite3_column_blob(st, at), (size_t)sqlite3_column_bytes(st, at));
    default:
        bytes = NULL;
    }
    return bytes == NULL ? (struct sql_value){.kind = SQL_NULL}
                         : (struct sql_value){.kind = SQL_TEXT,
                                              .bytes = bytes,
                                              .len = (size_t)sqlite3_column_bytes(st, at)};
}

/* SQLITE_DONE, also when the callback has had enough. */
static int step_all(sqlite3_stmt *st, struct sql_call *call)
{
    struct sql_value row[SQL_VALUES_MAX];
    int step;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        int n = sqlite3_column_count(st);
        for (int i = 0; i < n && i < SQL_VALUES_MAX; i++)
            row[i] = column(st, i);
        if (call->row != NULL && !call->row(call->arg, row, (size_t)n))
            return SQLITE_DONE;
    }
    return step;
}

static enum sql_end file_run(struct sql *s, struct sql_call *call, struct err *err)
{
    struct file *f = (struct file *)s;
    sqlite3_stmt *st = database_prepare(&f->d, call->which, err);
    if (st == NULL)
        return SQL_FAILED;
    bool ok = true;
    for (size_t i = 0; ok && i < call->n_values; i++)
        ok = bind(st, (int)i + 1, &call->values[i]);
    ok = ok && step_all(st, call) == SQLITE_DONE;
    enum sql_end end = ok                                              ? SQL_OK
                       : sqlite3_errcode(f->d.db) == SQLITE_CONSTRAINT ? SQL_CONFLICT
                                                                       : SQL_FAILED;
    call->changed = ok ? sqlite3_changes(f->d.db) : 0;
    if (end == SQL_FAILED)
        database_failed(&f->d, err);
    database_done(st);
    return end;
}

static void file_close(struct sql *s)
{
    struct file *f = (struct file *)s;
    database_fini(&f->d);
    mem_free(f);
}

static const struct sql_driver driver = {file_there, file_make, file_version, file_run, file_close};

struct sql *sql_file_open(const struct database_plan *plan, const char *path, bool create,
                          struct err *err)
{
    struct file *f = mem_zalloc(sizeof *f);
    bool there;
    if (f == NULL) {
        err_oom(err);
        return NULL;
    }
    if (database_init(&f->d, plan, path, err) && database_there(&f->d, &there, err) &&
        (there || !create || database_make(&f->d, err)) &&
        ((!there && !create) || open_file(f, err))) {
        f->sql = (struct sql){&driver, f->d.path};
        return &f->sql;
    }
    file_close(&f->sql);
    return NULL;
}
