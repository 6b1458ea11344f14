/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle - all that a machine without a network needs, in a folder that is carried there by hand.
 *
 *   BUNDLE/MANIFEST          every other file: its size, its SHA-256, its path, in order
 *   BUNDLE/MANIFEST.sig      64 bytes: Ed25519 of the whole of MANIFEST
 *   BUNDLE/bin/llm-router    ... and the files, plain ones, as they are to lie below a prefix
 *
 *   # llm-router bundle 1
 *   # version 0.1.0
 *   # created 2026-11-23T17:00:00Z
 *   # files 2 bytes 6508372
 *   # size 2452 executable
 *   9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  bin/llm-router
 *   # size 6505920
 *   60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752  models/demo.gguf
 *
 * `sha256sum -c MANIFEST` reads the same file (lines with # are comments to it) and `openssl pkeyutl` checks the
 * signature, so nobody depends on this program to look into a bundle. It is a folder and no archive: nothing foreign
 * is unpacked, a model of 40 GB is checked where it lies, and a copy that broke off is gone on with.
 *
 * The public key is never taken from the bundle. Until the signature holds, no byte of the manifest is looked at; until
 * every file is right, none is put in its place. Every path is opened folder by folder, without following a link, and
 * what is no plain file is refused. The paths of a manifest say little (bundle_path_problem) and are in one order, so
 * that twins, also those that differ in case alone, stand side by side and are found.
 */
#ifndef BUNDLE_BUNDLE_H
#define BUNDLE_BUNDLE_H

#include <sys/types.h>

#include "base/base.h"

#define BUNDLE_MANIFEST     "MANIFEST"
#define BUNDLE_SIGNATURE    "MANIFEST.sig"
#define BUNDLE_PATH_MAX     1024
#define BUNDLE_NAME_MAX     200 /* of a part of a path: something is put before and behind it */
#define BUNDLE_FILES_MAX    100000
#define BUNDLE_BYTES_MAX    ((uint64_t)1 << 50)
#define BUNDLE_MANIFEST_MAX ((size_t)64 << 20)
#define BUNDLE_HASH         32
#define BUNDLE_SIG          64

struct bundle_file {
    const char *path;
    uint64_t bytes;
    uint8_t hash[BUNDLE_HASH];
    bool executable;
};

struct bundle {
    struct bundle_file *files; /* in the order of bundle_path_cmp() */
    size_t n, cap;
    uint64_t bytes; /* of all */
    char version[32], created[TIMEFMT_MAX];
    struct arena arena;
};

void bundle_init(struct bundle *b);
void bundle_fini(struct bundle *b);

/* ---- the manifest ---- */

/* What is wrong with a path, a constant; NULL = nothing: relative, of letters, digits and `._+=@,~-` and blanks inside,
 * no part "." or "..", none that begins with a hyphen, ends with a dot, or has a name of ours. */
const char *bundle_path_problem(strv path);
/* By letters without case, a folder's files right behind a file of its name; 0 = twins. */
int bundle_path_cmp(strv a, strv b);
/* What is wrong when `b` follows `a`: twins, out of order, a file that is a folder, too; NULL = nothing. */
const char *bundle_path_follows(strv a, strv b);

/* Appends; the caller keeps the order. False without memory or beyond a limit. */
bool bundle_add(struct bundle *b, const struct bundle_file *file, struct err *err);
const struct bundle_file *bundle_find(const struct bundle *b, strv path);
bool bundle_read(struct bundle *b, strv text, struct err *err);
bool bundle_write(const struct bundle *b, struct buf *out);

/* ---- keys ---- */

/* A new private key (PKCS #8, PEM, mode 0600) where there is no file yet; its public half (PEM) is appended to `pem`. */
bool bundle_key_make(const char *path, struct buf *pem, struct err *err);
bool bundle_sign(const char *private_key, strv text, uint8_t sig[BUNDLE_SIG], struct err *err);
bool bundle_signed(const char *public_key, strv text, strv sig, struct err *err);

/* ---- what is done with it ---- */

struct bundle_watch {
    /* May be NULL. `what` is a constant: "missing", "changed", "not in the manifest", ... or "copied", "kept" ... */
    void (*problem)(void *arg, const char *path, const char *what);
    void (*done)(void *arg, const char *path, const char *what);
    void (*moved)(void *arg, const char *path, uint64_t bytes, uint64_t total);
    void *arg;
    uint64_t bytes, total; /* so far, and of all: for `moved` */
    uint64_t problems;     /* how many were told */
};

/* One part: a file, or a folder and all in it. */
struct bundle_part {
    const char *place, *source; /* where it is to lie below the prefix, and where it is */
};

/* Makes `dir`, which must not be there: in dir.part, which is renamed when it is whole; the same again goes on. A link to a
 * file becomes the file. */
bool bundle_create(const char *dir, const char *private_key, const struct bundle_part *parts,
                   size_t n, struct bundle *b, struct bundle_watch *watch, struct err *err);
/* Each file of the bundle against the manifest, and whether there are others. */
bool bundle_verify(const char *dir, const char *public_key, struct bundle *b,
                   struct bundle_watch *watch, struct err *err);
/* The files below a prefix against the manifest that the last install left there: all, or those of `only`, files or
 * folders; below such a folder there may be no other. */
bool bundle_verify_installed(const char *prefix, const char *public_key, const char *const *only,
                             size_t n_only, struct bundle *b, struct bundle_watch *watch,
                             struct err *err);
/* All of it below `prefix`, or nothing. A file that is there and another is a problem, or with `replace` kept as
 * FILE.old (FILE.old.1, ...). The same again goes on. */
bool bundle_install(const char *dir, const char *public_key, const char *prefix, bool replace,
                    struct bundle *b, struct bundle_watch *watch, struct err *err);

#endif
