/* SPDX-License-Identifier: Apache-2.0 */
/* rank - a question against the index, and tools against each other; see index.h. */
#include "agent/index.h"

#include <math.h>

#include "agent/words.h"

#define TEXT_MAX    4000 /* bytes of a question; of a longer one its beginning and its end */
#define QUERY_MAX   512  /* words */
#define FIRES_MAX   256  /* groups of synonyms */
#define UNKNOWN_MAX 24   /* words that are looked at for slips */
#define SLIP_MIN    5    /* letters: in shorter words a slip makes another word */

/* From here on two tools look alike, of which two may stand together; each further one counts less. */
#define ALIKE        0.6f
#define ALIKE_FREE   2
#define ALIKE_COUNTS 0.5f
#define ALIKE_LOOK   48 /* how far down a tool is looked for that comes up instead */

/* A tool whose vector lies this far out gets so much for each standard deviation beyond; a word in a name is worth about
 * ten. Of fewer tools nothing can be told, and they fit all the same. */
#define RESEMBLE_FROM  1.5
#define RESEMBLES      5.0
#define RESEMBLE_LEAST 9

/* What a word of the question weighs by the way it was found. */
#define AS_WRITTEN 1.0f
#define BY_SLIP    0.8f
#define BY_SYNONYM 0.6f
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

struct fired {
    uint32_t group, word; /* the groups of one word of the question follow each other */
    float part;
};
struct query {
    const struct agent_index *x;
    float *weights; /* of each term */
    bool *fired;    /* of each group of synonyms: a phrase of it stands there */
    struct fired fires[FIRES_MAX];
    size_t n_fires;
    uint32_t terms[QUERY_MAX];
    size_t n, unknown;
    uint32_t words; /* of all parts, so far */
    float part;     /* of the question or of what stood before it */
    float *best;    /* of each tool: by the word whose groups are looked at */
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
    uint32_t letters = words_letters(text);
    for (size_t i = 0; i < q->x->n_known; i++) {
        const struct index_known *k = &q->x->known[i];
        if (!words_may_be_near(k->letters, letters) || k->text.len < SLIP_MIN - 1 ||
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
    for (size_t at = 0; at < q->n; at++, q->words++) {
        uint32_t p = q->terms[at] != INDEX_NONE ? x->terms[q->terms[at]].phrases : INDEX_NONE;
        for (; p != INDEX_NONE; p = x->phrases[p].next) {
            if (!phrase_at(q, at, &x->phrases[p]))
                continue;
            uint32_t group = x->phrases[p].group;
            if (q->fired[group] || q->n_fires == FIRES_MAX)
                continue;
            q->fired[group] = true;
            q->fires[q->n_fires++] = (struct fired){group, q->words, q->part};
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

/* Words that mean the same as one of the question: a tool that has three of them is not three times as right, so its
 * best one counts, of all groups of that word. What the question says itself is counted already. */
static void score_group(struct query *q, const struct fired *f, float *scores)
{
    const struct agent_index *x = q->x;
    const struct index_group *g = &x->groups[f->group];
    for (uint32_t i = g->from; i < g->from + g->n; i++) {
        const struct index_lead *lead = &x->leads[i];
        const struct index_term *t = &x->terms[lead->term];
        float weight = BY_SYNONYM * lead->weight * f->part;
        if (q->weights[lead->term] >= weight)
            continue;
        for (uint32_t p = t->from; p < t->from + t->n; p++) {
            float worth = weight * x->postings[p].weight, *best = &q->best[x->postings[p].entry];
            if (worth <= *best)
                continue;
            scores[x->postings[p].entry] += worth - *best;
            *best = worth;
        }
    }
}

bool index_score(const struct agent_index *x, strv question, strv before, struct arena *arena,
                 float *scores)
{
    struct query *q = ARENA_NEW(arena, struct query);
    if (q == NULL)
        return false;
    q->x = x;
    q->weights = ARENA_ARRAY(arena, float, x->n_terms + 1);
    q->fired = ARENA_ARRAY(arena, bool, x->n_groups + 1);
    q->best = ARENA_ARRAY(arena, float, x->n + 1);
    if (q->weights == NULL || q->fired == NULL || q->best == NULL)
        return false;
    add_part(q, question, 1);
    add_part(q, before, BEFORE);
    for (size_t i = 0; i < x->n_terms; i++) {
        const struct index_term *t = &x->terms[i];
        if (q->weights[i] <= 0)
            continue;
        for (uint32_t p = t->from; p < t->from + t->n; p++)
            scores[x->postings[p].entry] += q->weights[i] * x->postings[p].weight;
    }
    for (size_t i = 0; i < q->n_fires; i++) {
        if (i == 0 || q->fires[i].word != q->fires[i - 1].word)
            memset(q->best, 0, x->n * sizeof *q->best);
        score_group(q, &q->fires[i], scores);
    }
    return true;
}

/* ---- by what they mean ---- */

/* Cosines of one model lie close together and elsewhere than another's, so a tool counts by how far it stands out: in
 * standard deviations above the mean of all. */
void index_resemble(const struct agent_index *x, const float *question, size_t dims, float *scores)
{
    const struct index_vectors *v = atomic_load_explicit(&x->vectors, memory_order_acquire);
    double sum = 0, squares = 0;
    if (v == NULL || v->dims != dims || x->n < RESEMBLE_LEAST)
        return;
    for (int pass = 0; pass < 2; pass++) {
        double mean = sum / (double)x->n;
        double spread = sqrt(fmax(squares / (double)x->n - mean * mean, 0));
        for (size_t i = 0; i < x->n; i++) {
            double cosine = 0;
            for (size_t k = 0; k < dims; k++)
                cosine += (double)(v->values[i * dims + k] * question[k]);
            if (pass == 0) {
                sum += cosine;
                squares += cosine * cosine;
            } else if (cosine - mean > RESEMBLE_FROM * spread && spread > 1e-6) {
                scores[i] += (float)(RESEMBLES * ((cosine - mean) / spread - RESEMBLE_FROM));
            }
        }
    }
}

/* ---- tools against each other ---- */

float index_alike(const struct agent_index *x, uint32_t a, uint32_t b)
{
    const struct index_entry *one = &x->entries[a], *other = &x->entries[b];
    const struct index_word *u = x->words + one->from, *v = x->words + other->from;
    const struct index_word *u_end = u + one->n, *v_end = v + other->n;
    float sum = 0;
    while (u < u_end && v < v_end) {
        if (u->term == v->term)
            sum += u++->weight * v++->weight;
        else if (u->term < v->term)
            u++;
        else
            v++;
    }
    return sum > 0 ? sum / (one->length * other->length) : 0;
}

/* What the tool's score is worth behind those that stand. */
static float worth(const struct agent_index *x, const struct index_order *orders, size_t placed,
                   size_t at)
{
    float score = orders[at].score;
    unsigned like = 0;
    for (size_t i = 0; i < placed; i++)
        if (index_alike(x, orders[i].entry, orders[at].entry) >= ALIKE && ++like > ALIKE_FREE)
            score *= ALIKE_COUNTS;
    return score;
}

void index_spread(const struct agent_index *x, struct index_order *orders, size_t n, size_t places,
                  float keep)
{
    size_t look = n < ALIKE_LOOK ? n : ALIKE_LOOK;
    for (size_t at = 0; at < places && at < look; at++) {
        size_t best = at;
        float most = -1;
        for (size_t i = at; i < look && orders[i].score > most; i++) {
            float w = orders[i].score >= keep ? orders[i].score : worth(x, orders, at, i);
            if (w > most) {
                most = w;
                best = i;
            }
        }
        struct index_order up = orders[best];
        memmove(orders + at + 1, orders + at, (best - at) * sizeof *orders);
        orders[at] = up;
    }
}
