/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - what is known about a word, by its hash: one probe of a bucket of the section "words", whose form is in
 * tools/data/make_names.
 */
#include "privacy/names.h"

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
