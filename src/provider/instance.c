/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance - which of several servers under one name gets a call.
 *
 *   those that are in the best state     a call may go there > it has the model > it was reached lately
 *                                        > it has the model in memory and a free place
 *   of these the conversation's own      its turns share a beginning, and the server that has computed it
 *                                        before has it in its cache: a hash of that beginning chooses
 *                                        (rendezvous: a server that comes or goes moves only its own share)
 *   unless that one is too busy, then    two at random, and of these the one with less to do: nearly as even
 *                                        as asking all, and workers that decide at the same time with the
 *                                        same figures do not all run to the same one
 *
 * Too busy: it has no free place and another one has; or it has more calls than a quarter above what the
 * others have on average, and four more. A server that batches is hardly slowed by four further
 * conversations, while a long prompt computed anew costs as much as hundreds of tokens; the quarter keeps the
 * bound in proportion where there are many (bounded loads: Mirrokni, Thorup, Zadimoghaddam 2018, with their
 * c = 1.25). The average and not the least: of sixteen servers one is always far below by chance alone, and a
 * bound that follows it sends every third conversation away.
 */
#include "provider/internal.h"

#define CALLS_MORE 4

enum level { /* bits, the weightier the higher */
             LEVEL_WARM = 1 << 0,
             LEVEL_WELL = 1 << 1,
             LEVEL_HAS = 1 << 2,
             LEVEL_OPEN = 1 << 3,
};

struct choice {
    unsigned i;
    bool full;
    int64_t calls;
    uint64_t weight; /* of this server for this conversation */
};

struct choices { /* those of the best level */
    unsigned level;
    size_t n;
    struct choice items[PROVIDER_INSTANCES_MAX];
};

/* A list that is not known yet may hold anything. */
static bool may_have(const struct provider *p, strv model, enum provider_warmth *warmth)
{
    struct arena arena;
    struct provider_facts facts;
    arena_init(&arena, 512, 4096);
    struct provider_models *m = provider_models_get(p->cell);
    bool has = provider_model_facts(p, model, &arena, &facts) || m == NULL;
    *warmth = facts.warmth;
    provider_models_unref(m);
    arena_fini(&arena);
    return has;
}

static unsigned level_of(const struct provider *p, strv model, const struct provider_glance *glance)
{
    enum provider_warmth warmth;
    unsigned level = may_have(p, model, &warmth) ? LEVEL_HAS : 0;
    if (!glance->open)
        level |= LEVEL_OPEN;
    if (!glance->ill)
        level |= LEVEL_WELL;
    if (warmth == PROVIDER_WARM && !glance->full)
        level |= LEVEL_WARM;
    return level;
}

static void gather(const struct provider *p, const struct provider_wish *w, struct choices *out)
{
    *out = (struct choices){.n = 0};
    for (unsigned i = 0; i < p->n_instances; i++) {
        const struct provider *one = &p->instances[i];
        struct provider_glance glance;
        if ((w->spent & (1u << i)) != 0)
            continue;
        provider_look(one, w->now_us, &glance);
        unsigned level = level_of(one, w->model, &glance);
        if (out->n > 0 && level < out->level)
            continue;
        if (level > out->level)
            out->n = 0;
        out->level = level;
        out->items[out->n++] = (struct choice){i, glance.full, glance.calls,
                                               strv_hash(strv_of(one->cell->address), w->prefix)};
    }
}

static bool is_better(const struct choice *a, const struct choice *b)
{
    return a->full != b->full ? b->full : a->calls < b->calls;
}

/* The conversation's own, or NULL if that one is too busy. */
static const struct choice *own(const struct choices *c)
{
    const struct choice *own = &c->items[0];
    bool place_elsewhere = false;
    int64_t calls = 0, others = (int64_t)c->n - 1;
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].weight > own->weight)
            own = &c->items[i];
        place_elsewhere |= !c->items[i].full;
        calls += c->items[i].calls;
    }
    if (others == 0)
        return own;
    if (own->full && place_elsewhere)
        return NULL;
    calls = (calls - own->calls) / others;
    return own->calls <= calls + calls / 4 + CALLS_MORE ? own : NULL;
}

static const struct choice *better_of_two(const struct choices *c, struct rng *rng)
{
    size_t a = (size_t)rng_below(rng, c->n), b = (size_t)rng_below(rng, c->n - 1);
    b += b >= a;
    return is_better(&c->items[b], &c->items[a]) ? &c->items[b] : &c->items[a];
}

int provider_pick(const struct provider *p, const struct provider_wish *w, struct rng *rng)
{
    struct choices c;
    const struct choice *best = NULL;
    if (p->n_instances == 0)
        return w->spent & 1 ? -1 : 0;
    gather(p, w, &c);
    if (c.n == 0)
        return -1;
    if (w->prefix != 0)
        best = own(&c);
    if (best == NULL)
        best = c.n > 1 ? better_of_two(&c, rng) : &c.items[0];
    return (int)best->i;
}

/* ---- the beginning of a conversation ---- */

#define PREFIX_BYTES 4096 /* of each text: enough to tell conversations apart */

static uint64_t add_text(uint64_t hash, strv text)
{
    uint64_t len = text.len;
    if (text.len > PREFIX_BYTES)
        text.len = PREFIX_BYTES;
    return strv_hash((strv){(const char *)&len, sizeof len}, strv_hash(text, hash));
}

/* System messages and the first one of the user: what a caller sends again with every turn. The digest is
 * told to nobody. */
uint64_t provider_prefix(const struct llm_request *r)
{
    uint64_t hash = 0;
    if (r->op != LLM_OP_CHAT && r->op != LLM_OP_GENERATE)
        return 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct llm_message *m = &r->messages[i];
        for (size_t k = 0; k < m->n_parts; k++) {
            hash = add_text(hash + (uint64_t)m->role + 1, m->parts[k].text);
            hash = add_text(hash, m->parts[k].data);
        }
        if (m->role == LLM_USER && m->n_parts > 0)
            break;
    }
    return hash;
}
