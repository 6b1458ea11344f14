/* SPDX-License-Identifier: Apache-2.0 */
/* rank - a question against the index; see index.h. */
#include "agent/index.h"
#include "agent/words.h"

#define TEXT_MAX    4000 /* bytes of a question; of a longer one its beginning and its end */
#define QUERY_MAX   512  /* words */
#define UNKNOWN_MAX 24   /* words that are looked at for slips */
#define SLIP_MIN    5    /* letters: in shorter words a slip makes another word */

/* What a word of the question weighs by the way it was found. */
#define AS_WRITTEN 1.0f
#define BY_SLIP    0.8f
#define BY_SYNONYM 0.5f
#define BEFORE     0.3f /* it stands in what was said before */

uint32_t index_term_of(const struct agent_index *x, strv stem)
{
    size_t at = strv_hash(stem, 0) & (x->n_slots - 1);
    for (; x->slots[at] != INDEX_NONE; at = (at + 1) & (x->n_slots - 1))
        if (strv_eq(x->terms[x->slots[at]].stem, stem))
            return x->slots[at];
    return INDEX_NONE;
}

strv index_bare(strv name, struct arena *arena)
{
    char *out = arena_alloc(arena, name.len + 1);
    size_t n = 0;
    if (out == NULL)
        return STRV_NONE;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80)
            out[n++] = c;
    }
    if (n > 4 && strv_ends((strv){out, n}, STRV("tool")))
        n -= 4;
    return (strv){out, n};
}

/* ---- the question's words ---- */

struct query {
    const struct agent_index *x;
    float *weights; /* of each term */
    uint32_t terms[QUERY_MAX];
    size_t n, unknown;
    float part; /* of the question or of what stood before it */
};

static void weigh(struct query *q, uint32_t term, float weight)
{
    if (q->weights[term] < weight * q->part)
        q->weights[term] = weight * q->part;
}

/* The known words one slip away, unless it is too short to tell. */
static void add_slips(struct query *q, const struct word *w)
{
    strv text = {w->text, w->len};
    if (w->len < SLIP_MIN || q->unknown++ >= UNKNOWN_MAX)
        return;
    for (size_t i = 0; i < q->x->n_known; i++) {
        const struct index_known *k = &q->x->known[i];
        if (k->text.len + 1 < w->len || k->text.len > w->len + 1 || k->text.len < SLIP_MIN - 1 ||
            !words_near(k->text, text))
            continue;
        weigh(q, k->term, BY_SLIP);
        if (q->n > 0 && q->terms[q->n - 1] == INDEX_NONE)
            q->terms[q->n - 1] = k->term; /* so that phrases are found */
    }
}

static void add_text(struct query *q, strv text)
{
    struct word w;
    while (q->n < QUERY_MAX && words_next(&text, &w)) {
        uint32_t term = index_term_of(q->x, (strv){w.stem, w.stem_len});
        q->terms[q->n++] = term;
        if (term == INDEX_NONE)
            add_slips(q, &w);
        else if (!words_idle(&w))
            weigh(q, term, AS_WRITTEN);
    }
}

static bool phrase_at(const struct query *q, size_t at, const struct index_phrase *p)
{
    if (q->n - at < p->n)
        return false;
    for (size_t i = 0; i < p->n; i++)
        if (q->terms[at + i] != p->terms[i])
            return false;
    return true;
}

/* Each phrase of the overlays that stands in the question brings the words of its group. */
static void add_synonyms(struct query *q)
{
    const struct agent_index *x = q->x;
    for (size_t at = 0; at < q->n; at++) {
        uint32_t p = q->terms[at] != INDEX_NONE ? x->terms[q->terms[at]].phrases : INDEX_NONE;
        for (; p != INDEX_NONE; p = x->phrases[p].next) {
            if (!phrase_at(q, at, &x->phrases[p]))
                continue;
            const struct index_group *g = &x->groups[x->phrases[p].group];
            for (uint32_t i = g->from; i < g->from + g->n; i++)
                weigh(q, x->leads[i].term, BY_SYNONYM * x->leads[i].weight);
        }
    }
}

static void add_part(struct query *q, strv text, float part)
{
    q->n = q->unknown = 0;
    q->part = part;
    if (text.len <= TEXT_MAX) {
        add_text(q, text);
    } else {
        add_text(q, (strv){text.ptr, TEXT_MAX / 2});
        add_text(q, strv_from(text, text.len - TEXT_MAX / 2));
    }
    add_synonyms(q);
}

bool index_score(const struct agent_index *x, strv question, strv before, struct arena *arena,
                 float *scores)
{
    struct query *q = ARENA_NEW(arena, struct query);
    if (q == NULL)
        return false;
    q->x = x;
    q->weights = ARENA_ARRAY(arena, float, x->n_terms + 1);
    if (q->weights == NULL)
        return false;
    add_part(q, before, BEFORE);
    add_part(q, question, 1);
    for (size_t i = 0; i < x->n_terms; i++) {
        const struct index_term *t = &x->terms[i];
        if (q->weights[i] <= 0)
            continue;
        for (uint32_t p = t->from; p < t->from + t->n; p++)
            scores[x->postings[p].entry] += q->weights[i] * x->postings[p].weight;
    }
    return true;
}
