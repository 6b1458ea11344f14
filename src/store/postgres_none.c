/* SPDX-License-Identifier: Apache-2.0 */
/* postgres_none - in place of postgres.c in a build without libpq. */
#include "store/sql.h"
#include "store/store.h"

static const char none[] =
    "this build of the router knows no PostgreSQL: it was made without libpq";

bool store_server_ok(const char *address, struct err *err)
{
    (void)address;
    return err_set(err, 0, "%s", none);
}

void store_server_files(const char *address, void (*each)(void *arg, const char *path), void *arg)
{
    (void)address, (void)each, (void)arg;
}

struct sql *sql_server_open(const struct sql_server_plan *plan, const struct store_server *server,
                            struct err *err)
{
    (void)plan, (void)server;
    err_set(err, 0, "%s", none);
    return NULL;
}
