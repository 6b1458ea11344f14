/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the files of this folder share: folders opened without following links, bytes digested on their way. */
#ifndef BUNDLE_INTERNAL_H
#define BUNDLE_INTERNAL_H

#include <sys/stat.h>

#include "bundle/bundle.h"

#define DEPTH_MAX 32 /* folders in folders */
#define BESIDE    ".llm-router-bundle-new"

/* A folder that the caller names, of which links are followed. Descriptor, or -1 with errno. */
int tree_root(const char *path);
/* The folder that `path` lies in, each one on the way a real one; missing ones are made if `make`. -1 with errno. */
int tree_folder(int root, const char *path, bool make);
/* The plain file `path`. -1 with errno; ELOOP where something else lies there. */
int tree_open(int root, const char *path, struct stat *st);
/* The part behind the last slash. */
const char *tree_name(const char *path);

/* Calls `file` for everything below `at` that is no folder, at any depth, in no order; `path` begins with `prefix`. False if
 * a call was, or with err. Closes `at`. */
typedef bool (*tree_fn)(void *arg, const char *path, int folder, const struct stat *st,
                        struct err *err);
bool tree_walk(int at, const char *prefix, tree_fn file, void *arg, struct err *err);

/* Reads at most `max` bytes and one more; digests them and, if to >= 0, writes them there. False with errno, ENOMEM
 * included. */
bool pump(int from, int to, uint64_t max, uint64_t *bytes, uint8_t hash[BUNDLE_HASH],
          const char *path, struct bundle_watch *watch);
/* Has the file of this descriptor the size and the digest? `*same` tells; false with errno. */
bool pump_compare(int fd, const struct bundle_file *f, bool *same, struct bundle_watch *watch);

void watch_problem(struct bundle_watch *watch, const char *path, const char *what);
void watch_done(struct bundle_watch *watch, const char *path, const char *what);

/* The manifest of a folder that an administrator's key has signed. */
bool open_signed(int root, const char *public_key, struct bundle *b, struct buf *manifest,
                 struct buf *sig, struct err *err);
/* A small file of ours, whole and durable, in the place of what was there. */
bool put_small(int folder, const char *name, strv text, struct err *err);
/* Tells what lies below `root` and is not in the manifest. */
bool check_others(int root, const struct bundle *b, struct bundle_watch *watch, struct err *err);
/* f's file below `root`, against f. A problem is told; false only without memory or with an error of reading. */
bool check_one(int root, const struct bundle_file *f, struct bundle_watch *watch, struct err *err);

#endif
