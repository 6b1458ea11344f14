/* SPDX-License-Identifier: Apache-2.0 */
/* piece - the arrays of what is read at once: they grow, and keep their memory for the next one. */
#include <string.h>

#include "privacy/internal.h"

enum { FOUND_MAX = 512 }; /* more than a verdict keeps: the rest says nothing new */
enum { FOUND, VALUES, HITS, TOKENS, GROUPS };

static void *more(struct privacy_piece *t, int which, void *array, size_t n, size_t size)
{
    size_t *cap = &t->scratch->caps[which];
    if (n < *cap)
        return array;
    size_t want = *cap == 0 ? 64 : *cap * 2;
    void *grown = mem_realloc(array, want * size);
    if (grown == NULL) {
        t->failed = true;
        return NULL;
    }
    *cap = want;
    return grown;
}

#define ADD(t, which, array, n)                                                                    \
    void *grown = more(t, which, (t)->array, (t)->n, sizeof *(t)->array);                          \
    if (grown == NULL)                                                                             \
        return NULL;                                                                               \
    (t)->array = grown;                                                                            \
    return &(t)->array[(t)->n++];

struct privacy_value *piece_add_value(struct privacy_piece *t)
{
    ADD(t, VALUES, values, n_values)
}

struct privacy_hit *piece_add_hit(struct privacy_piece *t)
{
    ADD(t, HITS, hits, n_hits)
}

struct privacy_token *piece_add_token(struct privacy_piece *t)
{
    ADD(t, TOKENS, tokens, n_tokens)
}

struct privacy_digits *piece_add_group(struct privacy_piece *t)
{
    ADD(t, GROUPS, groups, n_groups)
}

static struct privacy_finding *add_finding(struct privacy_piece *t)
{
    ADD(t, FOUND, found, n_found)
}

void piece_find(struct privacy_piece *t, enum privacy_kind kind, unsigned rule, unsigned weight,
                bool replaceable, size_t start, size_t end)
{
    bool behind = start >= t->reach[kind]; /* all of that kind */
    t->reach[kind] = end > t->reach[kind] ? (uint32_t)end : t->reach[kind];
    for (size_t i = 0; i < t->n_found && !behind; i++) {
        struct privacy_finding *f = &t->found[i];
        if (!((f->kind == kind) & (f->start < end) & (f->end > start))) /* one guess, not three */
            continue;
        /* the same one again, perhaps a little longer */
        f->start = f->start < start ? f->start : (uint32_t)start;
        f->end = f->end > end ? f->end : (uint32_t)end;
        if (weight > f->weight) {
            f->weight = (uint16_t)weight;
            f->rule = (uint16_t)rule;
        }
        f->replaceable = f->replaceable && replaceable;
        return;
    }
    struct privacy_finding *f = t->n_found < FOUND_MAX ? add_finding(t) : NULL;
    if (f != NULL)
        *f = (struct privacy_finding){.kind = (uint8_t)kind,
                                      .replaceable = replaceable,
                                      .rule = (uint16_t)rule,
                                      .weight = (uint16_t)weight,
                                      .start = (uint32_t)start,
                                      .end = (uint32_t)end};
}

const struct privacy_finding *piece_finding_near(const struct privacy_piece *t,
                                                 enum privacy_kind kind, size_t start, size_t end)
{
    for (size_t i = 0; i < t->n_found; i++)
        if (t->found[i].kind == kind && t->found[i].start < end && t->found[i].end > start)
            return &t->found[i];
    return NULL;
}

enum privacy_label piece_label_at(const struct privacy_piece *t, size_t place)
{
    size_t low = 0, high = t->n_values;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->values[mid].end <= place)
            low = mid + 1;
        else if (t->values[mid].start > place)
            high = mid;
        else
            return (enum privacy_label)t->values[mid].label;
    }
    return LABEL_NONE;
}

void piece_begin(struct privacy_piece *t, const struct privacy *p, struct privacy_scratch *s,
                 const struct text_view *view)
{
    t->p = p;
    t->scratch = s;
    t->view = view;
    t->fixed = t->failed = false;
    memset(t->reach, 0, sizeof t->reach);
    t->n_found = t->n_values = t->n_hits = t->n_tokens = t->n_groups = 0;
}
