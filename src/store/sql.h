/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql - one table of statements on two kinds of databases: an SQLite file, or a PostgreSQL server.
 *
 *   store.c  -- statement, values -->  sql_run()  --> driver: sql_file.c   (database.c, SQLite)
 *            <-- rows, or an end ---                          postgres.c   (libpq; postgres_none.c without it)
 *
 * Statements are those that both understand, with ?1 ?2 ... for values; numbers are 64 bits, bytes are BLOB or
 * BYTEA. What differs is in the plan: how a database of each kind is made, and nothing else. A value that is bound
 * stays where it is during the call; a row is the callback's during its call. Blocking, with an end: never used on a
 * worker's loop.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "store/database.h"

#define SQL_VALUES_MAX 20 /* of a statement, and columns of a row */

struct sql_value {
    enum sql_kind { SQL_NULL, SQL_INT, SQL_TEXT, SQL_BYTES } kind;
    int64_t number;
    const void *bytes; /* of a TEXT with a '\0' behind it */
    size_t len;
};
struct sql_value sql_int(int64_t n);
struct sql_value sql_text(const char *text);
struct sql_value sql_bytes(const void *bytes, size_t len);
/* A column of a row, as it must be; false if it is anything else. */
bool sql_take_int(const struct sql_value *v, int64_t *out);
bool sql_take_text(const struct sql_value *v, char *out, size_t size);
bool sql_take_bytes(const struct sql_value *v, void *out, size_t size); /* exactly so many */

/* Two handles must not be open in one thread of control while a row's callback runs. */
typedef bool (*sql_row_fn)(void *arg, const struct sql_value *row, size_t n); /* false: enough */

enum sql_end { SQL_OK, SQL_CONFLICT /* a row like it is there, or it breaks a rule */, SQL_FAILED };
struct sql_call {
    int which; /* statement */
    const struct sql_value *values;
    size_t n_values;
    sql_row_fn row; /* may be NULL */
    void *arg;
    int64_t changed; /* rows */
};

struct sql;
struct sql_driver {
    /* False: there is no database yet; then reading finds nothing. */
    bool (*there)(const struct sql *s);
    /* Makes and opens it. */
    bool (*make)(struct sql *s, struct err *err);
    /* Another number than before when anyone changed anything. The old one, with err, when that cannot be told. */
    int64_t (*version)(struct sql *s, struct err *err);
    enum sql_end (*run)(struct sql *s, struct sql_call *call, struct err *err);
    void (*close)(struct sql *s);
};
struct sql { /* the head of a driver's own */
    const struct sql_driver *driver;
    const char *name; /* for messages */
};

/* ---- the two ---- */

struct sql *sql_file_open(const struct database_plan *plan, const char *path, bool create,
                          struct err *err);

struct store_server;
struct sql_server_plan {
    const char *schema; /* where the tables are */
    int64_t lock;       /* of migrations: only one replica at a time */
    /* Migration n takes a schema of version n to n + 1. Add at the end; never change one that was released. */
    const char *const *migrations;
    int n_migrations;
    const char *version; /* statement that gives the number of changes */
    const char *const *statements;
    int n_statements;
};
struct sql *sql_server_open(const struct sql_server_plan *plan, const struct store_server *server,
                            struct err *err);

#endif
