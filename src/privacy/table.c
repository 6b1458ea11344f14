/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - what is known about a word, by its hash: one probe of a bucket of the section "words", whose form is in
 * tools/data/make_names. Most words share what is known of them with many others, so that an entry has three bytes:
 * a fingerprint, and the number of what is known.
 */
#include "privacy/names.h"

enum { TABLE_VERSION = 2, BUCKET_BITS = 17, GROUP_BITS = 8, TABLE_HEAD = 16 };
enum { INFO_BITS = 11, ENTRY_BITS = 24, ENTRY = 3 };

static inline uint32_t u16_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t u32_at(const unsigned char *p)
{
    return u16_at(p) | u16_at(p + 2) << 16;
}

static inline uint64_t mixed(uint64_t hash)
{
    return hash * 0x9e3779b97f4a7c15u;
}

/* The first entry of a bucket. */
static inline uint32_t bucket_at(const struct word_table *t, size_t bucket)
{
    return u32_at(t->groups + 4 * (bucket >> GROUP_BITS)) + u16_at(t->offsets + 2 * bucket);
}

bool word_table_open(struct word_table *t, strv section, struct err *err)
{
    const unsigned char *p = (const unsigned char *)section.ptr;
    const size_t buckets = (size_t)1 << BUCKET_BITS, groups = (buckets >> GROUP_BITS) + 1;
    const size_t head = TABLE_HEAD + 2 * ((size_t)1 << INFO_BITS) + 4 * groups + 2 * (buckets + 1);
    if (section.len < head || u32_at(p) != TABLE_VERSION || u32_at(p + 4) != BUCKET_BITS)
        return err_set(err, 0, "the data file has no table of words of version %d", TABLE_VERSION);
    t->n_entries = u32_at(p + 8);
    t->n_phrases = u32_at(p + 12);
    t->infos = p + TABLE_HEAD;
    t->groups = t->infos + 2 * ((size_t)1 << INFO_BITS);
    t->offsets = t->groups + 4 * groups;
    t->phrases = t->offsets + 2 * (buckets + 1);
    t->entries = t->phrases + 4 * (size_t)t->n_phrases;
    if (section.len != head + 4 * (size_t)t->n_phrases + ENTRY * (size_t)t->n_entries)
        return err_set(err, 0, "the data file's table of words is damaged");
    memset(t->maybe, 0, sizeof t->maybe);
    for (uint32_t i = 0; i < t->n_phrases; i++) {
        uint32_t bit = u32_at(t->phrases + 4 * (size_t)i) & (8 * sizeof t->maybe - 1);
        t->maybe[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    uint32_t before = 0;
    for (size_t i = 0; i <= buckets; i++) {
        uint32_t offset = bucket_at(t, i);
        if (offset < before || offset > t->n_entries)
            return err_set(err, 0, "the data file's table of words is damaged");
        before = offset;
    }
    return true;
}

static inline size_t bucket_of(uint64_t hash)
{
    return (size_t)(mixed(hash) >> (64 - BUCKET_BITS));
}

/* What is said of the word among the entries of its bucket. */
static inline unsigned info_among(const struct word_table *t, uint64_t hash, uint32_t first,
                                  uint32_t end)
{
    uint32_t fingerprint =
        (uint32_t)(mixed(hash) >> (64 - BUCKET_BITS - (ENTRY_BITS - INFO_BITS))) &
        ((1u << (ENTRY_BITS - INFO_BITS)) - 1);
    const unsigned char *last = t->entries + ENTRY * (size_t)end;
    for (const unsigned char *p = t->entries + ENTRY * (size_t)first; p < last; p += ENTRY) {
        uint32_t entry = u16_at(p) | (uint32_t)p[2] << 16;
        if (entry >> INFO_BITS == fingerprint)
            return u16_at(t->infos + 2 * (size_t)(entry & ((1u << INFO_BITS) - 1)));
    }
    return 0;
}

unsigned word_info(const struct word_table *t, uint64_t hash)
{
    size_t bucket = bucket_of(hash);
    return info_among(t, hash, bucket_at(t, bucket), bucket_at(t, bucket + 1));
}

void word_expect(const struct word_table *t, uint64_t hash)
{
    __builtin_prefetch(t->offsets + 2 * bucket_of(hash));
}

void word_infos(const struct word_table *t, const uint64_t hashes[], size_t n, uint16_t infos[])
{
    uint32_t first[WORDS_AT_ONCE], end[WORDS_AT_ONCE];
    for (size_t i = 0; i < n; i++) {
        size_t bucket = bucket_of(hashes[i]);
        first[i] = bucket_at(t, bucket);
        end[i] = bucket_at(t, bucket + 1);
        __builtin_prefetch(t->entries + ENTRY * (size_t)first[i]);
    }
    for (size_t i = 0; i < n; i++)
        infos[i] = (uint16_t)info_among(t, hashes[i], first[i], end[i]);
}

bool word_is_phrase(const struct word_table *t, uint64_t hash)
{
    uint32_t wanted = (uint32_t)(mixed(hash) >> 32);
    uint32_t low = 0, high = t->n_phrases, bit = wanted & (8 * sizeof t->maybe - 1);
    if ((t->maybe[bit >> 3] >> (bit & 7) & 1) == 0)
        return false;
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
