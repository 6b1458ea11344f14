/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache - answers that may be given again, by the digest of what was asked.
 *
 *   digest --> [ entry | entry | ... ]   the one that was asked for longest ago goes first
 *
 * Bounded in bytes and in entries; an entry older than its time is none. One for each configuration, shared by all
 * workers: a reload begins with an empty one, so that no answer outlives the models it came from. What goes is
 * overwritten: answers are content.
 *
 * What an entry holds, and for whom it is right, is recall.c's business. Time is an argument, monotonic.
 */
#ifndef EXCHANGE_CACHE_H
#define EXCHANGE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define CACHE_KEY 32

struct cache_conf {
    size_t bytes_max; /* of all entries; 0 = no cache */
    size_t entries_max;
    uint64_t ttl_ms;
    size_t reply_bytes_max; /* of one */
    bool shared;            /* keys that have a cache have the same */
    bool keyless;           /* callers without a key have one, all of them the same */
};

struct cache_entry { /* counted, immutable */
    atomic_uint refs;
    struct list node;              /* by when it was last asked for */
    struct cache_entry *neighbour; /* in its bucket; once it is out, among others that are */
    uint8_t key[CACHE_KEY];
    int64_t born_us;
    size_t size; /* of all of it */
    size_t len;
    _Alignas(16) char data[];
};
void cache_entry_unref(struct cache_entry *e); /* any thread */

struct cache;
struct cache *cache_new(const struct cache_conf *conf); /* NULL: no memory */
void cache_free(struct cache *c);                       /* entries that are held live on */
/* NULL: there is none that is young enough. */
struct cache_entry *cache_get(struct cache *c, const uint8_t key[CACHE_KEY], int64_t now_us);
/* In place of what is there. False: no memory, or larger than one may be. */
bool cache_put(struct cache *c, const uint8_t key[CACHE_KEY], strv data, int64_t now_us);
struct cache_sizes {
    size_t entries, bytes;
    int64_t evicted; /* for want of room, since the beginning */
};
void cache_sizes(struct cache *c, struct cache_sizes *out);

#endif
