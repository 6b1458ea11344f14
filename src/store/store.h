/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what must survive the process and is not the account: API keys as digests, and calls of tools that wait for
 * a person. One SQLite file in the state directory; or tables of a PostgreSQL server, which several routers share.
 *
 *   store_open()   file: WAL mode, so the command line can add a key while the router serves
 *                  server: a connection of its own, made again when it was lost
 *
 * Blocking: used by the command line, and by threads beside the loops; never by a worker's loop. While a server is
 * away every call fails after some seconds at most, and says so: that there are no keys is never concluded from it.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "store/database.h"

struct sockaddr;
struct store_server {
    const char
        *address; /* as libpq has it, "host=db dbname=router"; NULL = there is none, it is a file */
    bool (*allow)(void *rule, const struct sockaddr *addr); /* asked before a byte is sent there */
    void *rule;
};
/* Can it be an address? It must not hold a password, and must say how the connection is guarded if it leaves the
 * machine. False with err, also if this build knows no PostgreSQL. */
bool store_server_ok(const char *address, struct err *err);

/* Every file that it names: of the password, of certificates. They are read again with every connection. */
void store_server_files(const char *address, void (*each)(void *arg, const char *path), void *arg);

struct store_at {
    const char *path;
    struct store_server server;
};

struct store;
/* The file's directory (0700) and the file (0600) are made if missing. create false: a missing file is an empty store.
 * What `at` points to must live as long. */
struct store *store_open(const struct store_at *at, bool create, struct err *err);
void store_close(struct store *s);
/* Changes when anyone changed anything: cheap enough for a timer. The old one, with err, while a server is away. */
int64_t store_version(struct store *s, struct err *err);

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

/* A call of a tool that waits, or waited, for a person. Its arguments are kept only while it waits. */
struct store_approval {
    char id[32], server[32], tool[129], key[32], decided_by[64];
    char session[256];
    const char *arguments; /* valid during the call that gets or gives them */
    uint8_t arguments_digest[32], tool_digest[32];
    int effect, decision; /* agent/'s numbers; decision 0 = it waits */
    bool always, remember, used;
    int64_t asked_us, until_us, decided_us;
};
/* As it is now: a new one, or in place of the one with that id. Makes the file if there is none yet. */
bool store_approval_put(struct store *s, const struct store_approval *a, struct err *err);
/* False with err if there is none, or it is decided already. */
bool store_approval_decide(struct store *s, const char *id, int decision, bool remember,
                           const char *by, int64_t now_us, struct err *err);
/* Oldest first; stops when fn returns false. */
bool store_approval_each(struct store *s, bool (*fn)(void *arg, const struct store_approval *a),
                         void *arg, struct err *err);
/* Forgets those asked for before. */
bool store_approval_purge(struct store *s, int64_t before_us, struct err *err);

#endif
