/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy/memo.h"

#include <string.h>

_Static_assert(sizeof(struct memo_entry) == 64, "a place fits into a line");

/* The lowest byte of `rest`: taken, unreadable, number of findings. */
enum { TAKEN = 0x80, UNREADABLE = 0x40, COUNT = 0x0f, META = 0xff };

struct memo *memo_new(void)
{
    struct memo *m = mem_zalloc(sizeof *m);
    if (m != NULL && !rng_secret(&m->key, sizeof m->key)) {
        mem_free(m);
        return NULL;
    }
    return m;
}

void memo_free(struct memo *m)
{
    if (m != NULL)
        mem_wipe(&m->key, sizeof m->key);
    mem_free(m);
}

static struct memo_entry *bucket_of(struct memo *m, const uint64_t digest[2])
{
    return m->places[digest[0] % MEMO_BUCKETS];
}

/* To the front, where it stays longest. */
static void move_up(struct memo_entry *bucket, size_t way)
{
    struct memo_entry used = bucket[way];
    memmove(bucket + 1, bucket, way * sizeof *bucket);
    bucket[0] = used;
}

bool memo_find(struct memo *m, const uint64_t digest[2], struct memo_facts *out)
{
    struct memo_entry *bucket = bucket_of(m, digest);
    for (size_t i = 0; i < MEMO_WAYS; i++) {
        struct memo_entry *e = &bucket[i];
        if (e->digest != digest[0] || (e->rest & TAKEN) == 0 ||
            ((e->rest ^ digest[1]) & ~(uint64_t)META) != 0)
            continue;
        out->n = e->rest & COUNT;
        out->unreadable = (e->rest & UNREADABLE) != 0;
        memcpy(out->found, e->found, sizeof out->found);
        if (i > 0)
            move_up(bucket, i);
        m->hits++;
        return true;
    }
    return false;
}

void memo_put(struct memo *m, const uint64_t digest[2], const struct memo_facts *facts)
{
    struct memo_entry *bucket = bucket_of(m, digest);
    memmove(bucket + 1, bucket, (MEMO_WAYS - 1) * sizeof *bucket);
    bucket[0] = (struct memo_entry){
        .digest = digest[0],
        .rest =
            (digest[1] & ~(uint64_t)META) | TAKEN | (facts->unreadable ? UNREADABLE : 0) | facts->n,
    };
    memcpy(bucket[0].found, facts->found, sizeof facts->found);
}
