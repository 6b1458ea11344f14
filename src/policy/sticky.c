/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sticky - a table of digests: BUCKETS buckets of WAYS places each, one mebibyte in all.
 *
 *   digest % BUCKETS -> | digest, time | digest, time | ... WAYS |
 *
 * A place is taken by the digest that is there already, else by a free or outdated one, else the oldest goes.
 * A wrong match (one in 2^64 for each look-up) makes a request private that need not be.
 */
#include <pthread.h>

#include "policy/policy.h"

#define BUCKETS 8192
#define WAYS    8

struct place {
    uint64_t digest; /* 0 = free */
    int64_t us;
};

struct policy_sticky {
    pthread_mutex_t lock;
    struct siphash_key secret;
    size_t used; /* places; 0 = nothing was ever private, and nothing need be digested */
    struct place places[BUCKETS][WAYS];
};

struct policy_sticky *policy_sticky_new(void)
{
    struct policy_sticky *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    if (!rng_secret(&s->secret, sizeof s->secret)) {
        mem_free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void policy_sticky_free(struct policy_sticky *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->lock);
    mem_wipe(s, sizeof *s);
    mem_free(s);
}

/* ---- the table, under its lock ---- */

static struct place *find(struct policy_sticky *s, uint64_t digest, int64_t now_us)
{
    struct place *bucket = s->places[digest % BUCKETS];
    for (size_t i = 0; i < WAYS; i++)
        if (bucket[i].digest == digest && now_us - bucket[i].us < POLICY_STICKY_AGE_US)
            return &bucket[i];
    return NULL;
}

static void put(struct policy_sticky *s, uint64_t digest, int64_t now_us)
{
    struct place *bucket = s->places[digest % BUCKETS], *best = &bucket[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (bucket[i].digest == digest || bucket[i].digest == 0) {
            best = &bucket[i];
            break;
        }
        if (bucket[i].us < best->us)
            best = &bucket[i];
    }
    s->used += best->digest == 0;
    *best = (struct place){digest, now_us};
}

static bool is_empty(struct policy_sticky *s)
{
    pthread_mutex_lock(&s->lock);
    bool empty = s->used == 0;
    pthread_mutex_unlock(&s->lock);
    return empty;
}

/* ---- digests ---- */

static void put_parts(struct siphash *h, const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct llm_part *p = &parts[i];
        if (p->made_up) /* by us, on some paths only */
            continue;
        siphash_put_u64(h, p->kind);
        siphash_put(h, p->text);
        siphash_put(h, p->name);
        siphash_put(h, p->data);
        put_parts(h, p->parts, p->n_parts);
    }
}

/* What every digest of this caller begins with. */
static void begin(struct siphash *h, const struct policy_sticky *s, const struct policy_turn *turn,
                  char what)
{
    siphash_begin(h, &s->secret);
    siphash_put(h, strv_of(turn->key != NULL ? turn->key : ""));
    siphash_put_u64(h, (uint64_t)what);
}

static uint64_t digest_of(const struct siphash *h) /* never that of a free place */
{
    uint64_t digest[2];
    siphash_end(h, digest);
    return digest[0] != 0 ? digest[0] : 1;
}

static uint64_t session(const struct policy_sticky *s, const struct policy_turn *turn, strv id)
{
    struct siphash h;
    begin(&h, s, turn, 's');
    siphash_put(&h, id);
    return digest_of(&h);
}

/* One more message; a system message changes nothing. */
static void next_turn(struct siphash *h, const struct llm_message *m)
{
    if (m->role == LLM_SYSTEM)
        return;
    siphash_put_u64(h, m->role);
    put_parts(h, m->parts, m->n_parts);
}

/* ---- the interface ---- */

static bool knows(struct policy_sticky *s, uint64_t digest, int64_t now_us)
{
    pthread_mutex_lock(&s->lock);
    bool found = find(s, digest, now_us) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool policy_sticky_seen(struct policy_sticky *s, const struct llm_request *r,
                        const struct policy_turn *turn)
{
    const strv ids[] = {r->session, r->session_header};
    if (is_empty(s))
        return false;
    for (size_t i = 0; i < 2; i++)
        if (ids[i].len > 0 && knows(s, session(s, turn, ids[i]), turn->now_us))
            return true;
    struct siphash h;
    begin(&h, s, turn, 'm');
    for (size_t i = 0; i < r->n_messages; i++) {
        /* Asked before the next message is added: the whole of it is this turn itself. */
        if (i > 0 && r->messages[i].role != LLM_SYSTEM && knows(s, digest_of(&h), turn->now_us))
            return true;
        next_turn(&h, &r->messages[i]);
    }
    return false;
}

void policy_sticky_note(struct policy_sticky *s, const struct llm_request *r,
                        const struct policy_turn *turn)
{
    const strv ids[] = {r->session, r->session_header};
    struct siphash h;
    bool any = false;
    begin(&h, s, turn, 'm');
    for (size_t i = 0; i < r->n_messages; i++) {
        any = any || r->messages[i].role != LLM_SYSTEM;
        next_turn(&h, &r->messages[i]);
    }
    pthread_mutex_lock(&s->lock);
    if (any)
        put(s, digest_of(&h), turn->now_us);
    for (size_t i = 0; i < 2; i++)
        if (ids[i].len > 0)
            put(s, session(s, turn, ids[i]), turn->now_us);
    pthread_mutex_unlock(&s->lock);
}
