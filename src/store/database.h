/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database - an SQLite file of ours: who may see it, which version it has, its prepared statements.
 *
 *   closed --file there, or made--> open (WAL, migrated) --database_close--> closed
 *
 * Whoever can write such a file can let himself in or change the account, so a file or a folder that others
 * can write is refused, not repaired. A table of migrations brings an older file up to date, in one
 * transaction; a file of a newer version or of another program is refused. Blocking: never used on a worker's
 * loop.
 *
 * SQLite takes its memory from malloc(3); a refusal there comes back as its own error.
 */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "base/base.h"

struct database_plan {
    const char *what;   /* "store", for messages */
    int application_id; /* tells our files from each other and from anyone else's */
    /* Migration n takes a file of user_version n to n + 1. Add at the end; never change one that was released. */
    const char *const *migrations;
    int n_migrations;
    const char *const *statements;
    int n_statements; /* <= DATABASE_STATEMENTS_MAX */
    int busy_ms;      /* longest wait for another process's lock */
    bool one_thread;  /* uses it at a time: SQLite need not lock each call */
};

#define DATABASE_STATEMENTS_MAX 32

struct database {
    const struct database_plan *plan;
    char *path;
    sqlite3 *db; /* NULL = closed */
    sqlite3_stmt *prepared[DATABASE_STATEMENTS_MAX];
    dev_t dev; /* which file db is */
    ino_t ino;
};

bool database_init(struct database *d, const struct database_plan *plan, const char *path,
                   struct err *err);
void database_fini(struct database *d);
/* Makes the file (0600) and its folders (0700) if they are missing. */
bool database_make(const struct database *d, struct err *err);
/* Is there a file, or anything else, at the path? False with err if that cannot be told. */
bool database_there(const struct database *d, bool *there, struct err *err);
/* Opens the file, which must be there, and brings it up to date. */
bool database_open(struct database *d, struct err *err);
/* Only to read: a file of another version than ours is refused, and nothing is written. */
bool database_open_readonly(struct database *d, struct err *err);
void database_close(struct database *d);
/* Is the file at the path still the one that is open? */
bool database_is_current(const struct database *d);
/* Another number of 48 bits when anyone has changed anything; 0 while it is closed. */
int64_t database_changes(struct database *d);

bool database_run(struct database *d, const char *sql, struct err *err);
/* Ready to be bound and stepped; NULL with err. Every use ends with database_done(). */
sqlite3_stmt *database_prepare(struct database *d, int which, struct err *err);
void database_done(sqlite3_stmt *st);
/* SQLite's last word, in ours; always false. */
bool database_failed(struct database *d, struct err *err);

#endif
