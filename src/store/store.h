/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what must survive the process: one SQLite file in the state directory.
 *
 * Holds API keys as digests. A table of migrations brings an older file up to date; a table of statements is
 * the only SQL. WAL mode, so the command line can add a key while the router serves. Blocking: used by the
 * command line and the main thread, never by a worker's loop.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "store/database.h"

struct store;
/* Makes directory (0700) and file (0600) if missing. create false: a missing file is an empty store. */
struct store *store_open(const char *path, bool create, struct err *err);
void store_close(struct store *s);
/* Changes when anyone changed the file: cheap enough for a timer. */
int64_t store_version(struct store *s);

#define STORE_RULES_MAX 1536

struct store_key {
    char id[32];
    char name[64];
    uint8_t digest[32];
    int64_t created_us, revoked_us; /* 0 = not revoked */
    char rules[STORE_RULES_MAX];    /* what it may do, in policy's words; "" = everything */
};
bool store_key_add(struct store *s, const struct store_key *key, struct err *err);
/* False with err if there is none or it is revoked already. */
bool store_key_revoke(struct store *s, const char *id, int64_t now_us, struct err *err);
/* Gives it other rules. False with err as above. */
bool store_key_edit(struct store *s, const char *id, const char *rules, struct err *err);
/* Oldest first; stops when fn returns false. */
bool store_key_each(struct store *s, bool (*fn)(void *arg, const struct store_key *key), void *arg,
                    struct err *err);

#endif
