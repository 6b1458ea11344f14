/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy/words.h"

#include "privacy/names.h"

/* ---- the table of words ---- */

enum { TABLE_VERSION = 1, BUCKET_BITS = 16, TABLE_HEAD = 16 };

static inline uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t mixed(uint64_t hash)
{
    return hash * 0x9e3779b97f4a7c15u;
}

bool word_table_open(struct word_table *t, strv section, struct err *err)
{
    const unsigned char *p = (const unsigned char *)section.ptr;
    const size_t offsets = ((size_t)1 << BUCKET_BITS) + 1;
    if (section.len < TABLE_HEAD + 4 * offsets || u32_at(p) != TABLE_VERSION ||
        u32_at(p + 4) != BUCKET_BITS)
        return err_set(err, 0, "the data file has no table of words of version %d", TABLE_VERSION);
    t->n_entries = u32_at(p + 8);
    t->n_phrases = u32_at(p + 12);
    t->offsets = p + TABLE_HEAD;
    t->entries = t->offsets + 4 * offsets;
    t->phrases = t->entries + 4 * (size_t)t->n_entries;
    if (section.len != TABLE_HEAD + 4 * (offsets + t->n_entries + (size_t)t->n_phrases))
        return err_set(err, 0, "the data file's table of words is damaged");
    uint32_t before = 0;
    for (size_t i = 0; i < offsets; i++) {
        uint32_t offset = u32_at(t->offsets + 4 * i);
        if (offset < before || offset > t->n_entries)
            return err_set(err, 0, "the data file's table of words is damaged");
        before = offset;
    }
    return true;
}

unsigned word_info(const struct word_table *t, uint64_t hash)
{
    uint64_t h = mixed(hash);
    const unsigned char *bucket = t->offsets + 4 * (size_t)(h >> (64 - BUCKET_BITS));
    uint32_t fingerprint = (uint32_t)(h >> (48 - BUCKET_BITS)) & 0xffff;
    for (uint32_t i = u32_at(bucket), end = u32_at(bucket + 4); i < end; i++) {
        uint32_t entry = u32_at(t->entries + 4 * (size_t)i);
        if (entry >> 16 == fingerprint)
            return entry & 0xffff;
    }
    return 0;
}

bool word_is_phrase(const struct word_table *t, uint64_t hash)
{
    uint32_t wanted = (uint32_t)(mixed(hash) >> 32);
    uint32_t low = 0, high = t->n_phrases;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, at = u32_at(t->phrases + 4 * (size_t)middle);
        if (at == wanted)
            return true;
        if (at < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- life ---- */

struct words *words_new(struct text_data *data, const char *roster, struct err *err)
{
    struct words *w = mem_zalloc(sizeof *w);
    if (w == NULL) {
        err_oom(err);
        return NULL;
    }
    w->data = text_data_ref(data);
    bool ok = word_table_open(&w->table, text_data_section(data, "words"), err) &&
              model_open(&w->model, text_data_section(data, "model"), err);
    if (ok && roster != NULL) {
        w->roster = roster_open(roster, &w->table, err);
        ok = w->roster != NULL;
    }
    if (ok)
        return w;
    words_free(w);
    return NULL;
}

void words_free(struct words *w)
{
    if (w == NULL)
        return;
    roster_free(w->roster);
    text_data_unref(w->data);
    mem_free(w);
}

size_t words_roster_size(const struct words *w)
{
    return w->roster != NULL ? roster_size(w->roster) : 0;
}

bool words_stale(const struct words *w)
{
    return w->roster != NULL && roster_stale(w->roster);
}

void words_scratch_free(struct words_scratch *s)
{
    if (s == NULL)
        return;
    mem_free(s->tokens);
    mem_free(s);
}

/* ---- the pass ---- */

enum { ENOUGH = 1000 };

static int threshold_of(const struct words *w, unsigned how)
{
    if (how & PRIVACY_STRICT)
        return w->model.threshold_strict;
    return w->roster != NULL ? w->model.threshold_roster : w->model.threshold;
}

/* A name of several words is one finding. */
static bool continues(const struct token *t)
{
    return t->gap == GAP_SPACE || t->gap == GAP_HYPHEN || t->gap == GAP_DOT || t->gap == GAP_NONE ||
           t->gap == GAP_UNDERSCORE;
}

static void judge(struct privacy_piece *t, const struct words *w, const struct words_scratch *s,
                  unsigned how)
{
    int threshold = threshold_of(w, how);
    size_t start = 0, end = 0, last = SIZE_MAX;
    unsigned rule = 0, weight = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct token *k = &s->tokens[i];
        if (!token_is_candidate(s, i))
            continue;
        uint32_t features[FEATURES];
        bool known = (k->flags & TOKEN_ROSTER) != 0;
        int over = 0;
        if (!known) {
            token_features(s, t->view, i, features);
            over = model_score(&w->model, features) - threshold;
        }
        if (over < 0)
            continue;
        unsigned sure =
            known ? 2 * ENOUGH : ENOUGH + (unsigned)over * ENOUGH / (unsigned)w->model.scale;
        if (last != SIZE_MAX && last + 1 == i && continues(k)) {
            end = k->end;
            weight = sure > weight ? sure : weight;
            rule = known ? RULE_NAME_ROSTER : rule;
        } else {
            if (last != SIZE_MAX)
                piece_find(t, PRIVACY_NAME, rule, weight, rule == RULE_NAME_ROSTER, start, end);
            start = k->start;
            end = k->end;
            weight = sure;
            rule = known ? RULE_NAME_ROSTER : RULE_NAME_MODEL;
        }
        last = i;
    }
    if (last != SIZE_MAX)
        piece_find(t, PRIVACY_NAME, rule, weight, rule == RULE_NAME_ROSTER, start, end);
}

void privacy_words(struct privacy_piece *t, unsigned how)
{
    struct privacy_scratch *scratch = t->scratch;
    const struct words *w = t->p->words;
    if (scratch->words == NULL)
        scratch->words = mem_zalloc(sizeof *scratch->words);
    if (scratch->words == NULL || !tokens_make(scratch->words, w, t)) {
        t->failed = true;
        return;
    }
    judge(t, w, scratch->words, how);
}
