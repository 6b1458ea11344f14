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
    uint64_t secret;
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

static uint64_t mix(uint64_t digest, strv text)
{
    return strv_hash(text, digest);
}

static uint64_t mix_number(uint64_t digest, uint64_t n)
{
    return strv_hash((strv){(const char *)&n, sizeof n}, digest);
}

static uint64_t mix_parts(uint64_t digest, const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct llm_part *p = &parts[i];
        if (p->made_up) /* by us, on some paths only */
            continue;
        digest = mix_number(digest, p->kind);
        digest = mix(mix(mix(digest, p->text), p->name), p->data);
        digest = mix_parts(digest, p->parts, p->n_parts);
    }
    return digest;
}

static uint64_t never_free(uint64_t digest)
{
    return digest != 0 ? digest : 1;
}

/* What every digest of this caller begins with. */
static uint64_t owner(const struct policy_sticky *s, const struct policy_turn *turn, char what)
{
    uint64_t digest = mix(s->secret, strv_of(turn->key != NULL ? turn->key : ""));
    return mix_number(digest, (uint64_t)what);
}

static uint64_t session(const struct policy_sticky *s, const struct policy_turn *turn, strv id)
{
    return never_free(mix(owner(s, turn, 's'), id));
}

/* The digest with one more message; unchanged by a system message. */
static uint64_t next_turn(uint64_t digest, const struct llm_message *m)
{
    if (m->role == LLM_SYSTEM)
        return digest;
    return mix_parts(mix_number(digest, m->role), m->parts, m->n_parts);
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
    uint64_t digest = owner(s, turn, 'm');
    for (size_t i = 0; i < r->n_messages; i++) {
        /* Asked before the next message is added: the whole of it is this turn itself. */
        if (i > 0 && r->messages[i].role != LLM_SYSTEM &&
            knows(s, never_free(digest), turn->now_us))
            return true;
        digest = next_turn(digest, &r->messages[i]);
    }
    return false;
}

void policy_sticky_note(struct policy_sticky *s, const struct llm_request *r,
                        const struct policy_turn *turn)
{
    const strv ids[] = {r->session, r->session_header};
    uint64_t digest = owner(s, turn, 'm');
    bool any = false;
    for (size_t i = 0; i < r->n_messages; i++) {
        any = any || r->messages[i].role != LLM_SYSTEM;
        digest = next_turn(digest, &r->messages[i]);
    }
    pthread_mutex_lock(&s->lock);
    if (any)
        put(s, never_free(digest), turn->now_us);
    for (size_t i = 0; i < 2; i++)
        if (ids[i].len > 0)
            put(s, session(s, turn, ids[i]), turn->now_us);
    pthread_mutex_unlock(&s->lock);
}
