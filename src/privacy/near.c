/* SPDX-License-Identifier: Apache-2.0 */
/*
 * near - words that no table knows, one slip of the hand away from one that it knows: paitent, schedlue, coverrs.
 *
 * The section "near" has every common word and name also with each of its letters left out (and short ones with two
 * letters changed over). A wrong word is looked up as it is and with each of its letters left out: a letter too many,
 * too few, another one or two changed over all meet there. Its form is in tools/data/make_names.
 */
#include "privacy/names.h"

enum { NEAR_VERSION = 1, BUCKET_BITS = 16, NEAR_HEAD = 20, TARGET_BITS = 17 };
#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static inline uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t u64_at(const unsigned char *p)
{
    return u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
}

bool near_open(struct near_table *t, strv section, struct err *err)
{
    const unsigned char *p = (const unsigned char *)section.ptr;
    const size_t offsets = ((size_t)1 << BUCKET_BITS) + 1;
    if (section.len < NEAR_HEAD + 4 * offsets || u32_at(p) != NEAR_VERSION ||
        u32_at(p + 4) != BUCKET_BITS)
        return err_set(err, 0, "the data file has no table of slips of version %d", NEAR_VERSION);
    size_t entries = u32_at(p + 8);
    t->n_words = u32_at(p + 12);
    t->n_targets = u32_at(p + 16);
    t->offsets = p + NEAR_HEAD;
    t->entries = t->offsets + 4 * offsets;
    t->targets = t->entries + 4 * entries;
    if (section.len != NEAR_HEAD + 4 * (offsets + entries) + 8 * (size_t)t->n_targets ||
        t->n_words > t->n_targets)
        return err_set(err, 0, "the data file's table of slips is damaged");
    uint32_t before = 0;
    for (size_t i = 0; i < offsets; i++) {
        uint32_t offset = u32_at(t->offsets + 4 * i);
        if (offset < before || offset > entries)
            return err_set(err, 0, "the data file's table of slips is damaged");
        before = offset;
    }
    return true;
}

/* The lowest numbers of a word and of a name with this hash: those that are used most. */
static void probe(const struct near_table *t, uint64_t hash, uint32_t *word, uint32_t *name)
{
    uint64_t h = hash * 0x9e3779b97f4a7c15u;
    const unsigned char *bucket = t->offsets + 4 * (size_t)(h >> (64 - BUCKET_BITS));
    uint32_t fingerprint = (uint32_t)(h >> (16 + TARGET_BITS)) & (UINT32_MAX >> TARGET_BITS);
    for (uint32_t i = u32_at(bucket), end = u32_at(bucket + 4); i < end; i++) {
        uint32_t entry = u32_at(t->entries + 4 * (size_t)i);
        uint32_t target = entry & ((1u << TARGET_BITS) - 1);
        if (entry >> TARGET_BITS != fingerprint)
            continue;
        if (target < t->n_words)
            *word = target < *word ? target : *word;
        else
            *name = target < *name ? target : *name;
    }
}

static uint64_t target_hash(const struct near_table *t, uint32_t i)
{
    return i < t->n_targets ? u64_at(t->targets + 8 * (size_t)i) : 0;
}

bool near_find(const struct near_table *t, const char *letters, size_t n, uint64_t *word,
               uint64_t *name)
{
    uint32_t word_at = UINT32_MAX, name_at = UINT32_MAX;
    if (n < 4)
        return false;
    probe(t, text_hash(letters, n), &word_at, &name_at);
    uint64_t head = FNV_START; /* of the letters before the one that is left out */
    for (size_t i = 0; n >= 6 && i < n; i++) {
        uint64_t hash = head;
        for (size_t k = i + 1; k < n; k++)
            hash = (hash ^ (unsigned char)letters[k]) * FNV_PRIME;
        if (i == 0 || letters[i] != letters[i - 1]) /* else it is the same as before */
            probe(t, hash, &word_at, &name_at);
        head = (head ^ (unsigned char)letters[i]) * FNV_PRIME;
    }
    *word = target_hash(t, word_at);
    *name = target_hash(t, name_at);
    return *word != 0 || *name != 0;
}
