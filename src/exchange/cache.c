/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <pthread.h>

#include "exchange/cache.h"

struct cache {
    struct cache_conf conf;
    pthread_mutex_t lock; /* over all below; held for a look-up or a change, never for a copy */
    struct cache_entry **buckets; /* made with the first entry */
    size_t n_buckets;             /* a power of two */
    struct list used;             /* the one asked for last comes first */
    struct cache_sizes sizes;
};

/* ---- entries ---- */

static struct cache_entry *entry_new(const uint8_t key[CACHE_KEY], strv data, int64_t now_us)
{
    size_t size = sizeof(struct cache_entry) + data.len;
    struct cache_entry *e = mem_alloc(size);
    if (e == NULL)
        return NULL;
    *e = (struct cache_entry){.born_us = now_us, .size = size, .len = data.len};
    atomic_init(&e->refs, 1);
    memcpy(e->key, key, CACHE_KEY);
    if (data.len > 0)
        memcpy(e->data, data.ptr, data.len);
    return e;
}

void cache_entry_unref(struct cache_entry *e)
{
    if (e != NULL && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        mem_free_secret(e, e->size);
}

/* ---- the whole ---- */

struct cache *cache_new(const struct cache_conf *conf)
{
    struct cache *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    c->conf = *conf;
    c->n_buckets = 16;
    while (c->n_buckets < conf->entries_max && c->n_buckets < (size_t)1 << 20)
        c->n_buckets *= 2;
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->used);
    return c;
}

/* A digest is as good as any hash. */
static struct cache_entry **bucket_of(struct cache *c, const uint8_t key[CACHE_KEY])
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    return &c->buckets[hash & (c->n_buckets - 1)];
}

static struct cache_entry *find(struct cache *c, const uint8_t key[CACHE_KEY])
{
    struct cache_entry *e = c->buckets != NULL ? *bucket_of(c, key) : NULL;
    while (e != NULL && memcmp(e->key, key, CACHE_KEY) != 0)
        e = e->neighbour;
    return e;
}

/* Out of the table; the table's reference goes to `gone`, to be let go of without the lock. */
static void take_out(struct cache *c, struct cache_entry *e, struct cache_entry **gone)
{
    struct cache_entry **at = bucket_of(c, e->key);
    while (*at != e)
        at = &(*at)->neighbour;
    *at = e->neighbour;
    list_del(&e->node);
    e->neighbour = *gone;
    *gone = e;
    c->sizes.entries--;
    c->sizes.bytes -= e->size;
}

static void let_go(struct cache_entry *gone)
{
    while (gone != NULL) {
        struct cache_entry *next = gone->neighbour;
        cache_entry_unref(gone);
        gone = next;
    }
}

void cache_free(struct cache *c)
{
    if (c == NULL)
        return;
    struct cache_entry *gone = NULL;
    while (!list_empty(&c->used))
        take_out(c, list_entry(c->used.prev, struct cache_entry, node), &gone);
    let_go(gone);
    mem_free(c->buckets);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

struct cache_entry *cache_get(struct cache *c, const uint8_t key[CACHE_KEY], int64_t now_us)
{
    struct cache_entry *gone = NULL;
    pthread_mutex_lock(&c->lock);
    struct cache_entry *e = find(c, key);
    if (e != NULL && now_us - e->born_us >= (int64_t)c->conf.ttl_ms * 1000) {
        take_out(c, e, &gone);
        e = NULL;
    }
    if (e != NULL) {
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
        list_del(&e->node);
        list_add_head(&c->used, &e->node);
    }
    pthread_mutex_unlock(&c->lock);
    let_go(gone);
    return e;
}

static void put_in(struct cache *c, struct cache_entry *fresh, struct cache_entry **gone)
{
    struct cache_entry **bucket = bucket_of(c, fresh->key), *old = find(c, fresh->key);
    if (old != NULL)
        take_out(c, old, gone);
    while (c->sizes.entries > 0 && (c->sizes.entries >= c->conf.entries_max ||
                                    c->sizes.bytes + fresh->size > c->conf.bytes_max)) {
        take_out(c, list_entry(c->used.prev, struct cache_entry, node), gone);
        c->sizes.evicted++;
    }
    fresh->neighbour = *bucket;
    *bucket = fresh;
    list_add_head(&c->used, &fresh->node);
    c->sizes.entries++;
    c->sizes.bytes += fresh->size;
}

bool cache_put(struct cache *c, const uint8_t key[CACHE_KEY], strv data, int64_t now_us)
{
    struct cache_entry *gone = NULL;
    size_t size = sizeof(struct cache_entry) + data.len;
    if (data.len > c->conf.reply_bytes_max || size > c->conf.bytes_max || c->conf.entries_max == 0)
        return false;
    struct cache_entry *fresh = entry_new(key, data, now_us);
    if (fresh == NULL)
        return false;
    pthread_mutex_lock(&c->lock);
    if (c->buckets == NULL)
        c->buckets = mem_zalloc(c->n_buckets * sizeof(struct cache_entry *));
    bool ok = c->buckets != NULL;
    if (ok)
        put_in(c, fresh, &gone);
    pthread_mutex_unlock(&c->lock);
    let_go(gone);
    if (!ok)
        cache_entry_unref(fresh);
    return ok;
}

void cache_sizes(struct cache *c, struct cache_sizes *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->sizes;
    pthread_mutex_unlock(&c->lock);
}
