/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority - a private CA: a folder with its key and what it has signed.
 *
 *   ca.key  ca.pem                the authority; the key 0600, sealed with a passphrase if one was given
 *   NAME.key  NAME.pem            what servers show, and clients
 *
 * Keys are ECDSA on P-256, which every browser and library takes. Nothing is ever written over but by renewing, and
 * there the key stays and the certificate is replaced in one step. There are no revocation lists: what is to be
 * trusted no longer is left to end, or a new authority is made.
 */
#ifndef APP_AUTHORITY_H
#define APP_AUTHORITY_H

#include "base/base.h"

#define AUTHORITY_NAMES_MAX 16
#define AUTHORITY_CA        "ca"

struct authority {
    const char *dir;
    const char *passphrase; /* NULL = the key is not sealed */
    int64_t wall_us;
    int64_t days; /* how long what is made now holds; 0 = as is usual */
};

/* Makes the folder and the authority. */
bool authority_init(const struct authority *a, const char *title, struct err *err);
/* names: the first one names the files; DNS names and IP addresses. */
bool authority_server(const struct authority *a, const char *const *names, size_t n,
                      struct err *err);
bool authority_client(const struct authority *a, const char *name, struct err *err);
/* The same certificate with new dates. */
bool authority_renew(const struct authority *a, const char *name, struct err *err);

struct authority_cert {
    char name[128];   /* of the files */
    char holds[1024]; /* names in it */
    const char *use;  /* "authority", "server", "client" */
    int64_t from_us, until_us;
};
/* Calls fn for every certificate of the folder, by name. */
bool authority_each(const char *dir, bool (*fn)(void *arg, const struct authority_cert *c),
                    void *arg, struct err *err);

#endif
