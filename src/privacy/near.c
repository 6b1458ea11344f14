/* SPDX-License-Identifier: Apache-2.0 */
/*
 * near - words that no table knows, one slip of the hand away from one that it knows: paitent, schedlue, coverrs.
 *
 * The section "near" is a filter (Bloom's) of the common words and names, each also with each of its letters left out.
 * A wrong word is asked for as it is and with each of its letters left out: a letter too many, too few, another one or
 * two changed over all meet there. Only where the filter says "perhaps" the words that one slip could have come from
 * are made, and looked up in the table of words; so nothing has to be kept for them, and a false "perhaps" costs a
 * few look-ups. The filter's form is in tools/data/make_names.
 */
#include "privacy/names.h"

enum { NEAR_VERSION = 2, NEAR_HEAD = 8, LETTERS_MAX = 48 };
enum { BLOCK_BYTES = 64, BLOCK_BITS_MAX = 20, PROBES = 5, SHORT = 6 };
enum { KNOWN_MIN = 5 }; /* so long words are in the filter as they are, too */
#define FNV_PRIME 0x100000001b3u

static inline uint32_t u32_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool near_open(struct near_filter *f, strv section, struct err *err)
{
    const unsigned char *p = (const unsigned char *)section.ptr;
    if (section.len < NEAR_HEAD || u32_at(p) != NEAR_VERSION)
        return err_set(err, 0, "the data file has no filter of slips of version %d", NEAR_VERSION);
    f->bits = u32_at(p + 4);
    f->blocks = p + NEAR_HEAD;
    if (f->bits == 0 || f->bits > BLOCK_BITS_MAX ||
        section.len != NEAR_HEAD + ((size_t)BLOCK_BYTES << f->bits))
        return err_set(err, 0, "the data file's filter of slips is damaged");
    return true;
}

/* Five bits of one block. */
static bool perhaps(const struct near_filter *f, uint64_t hash)
{
    uint64_t h = hash * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    const unsigned char *block = f->blocks + (size_t)(h >> (64 - f->bits)) * BLOCK_BYTES;
    for (unsigned k = 0; k < PROBES; k++, h >>= 9)
        if ((block[h >> 3 & 63] >> (h & 7) & 1) == 0)
            return false;
    return true;
}

/* What was typed, and the best so far of the words that it may have been. */
struct search {
    const struct near_filter *filter;
    const struct word_table *table;
    const char *letters;
    size_t n;
    uint64_t head[LETTERS_MAX + 1]; /* hashes of the first i letters */
    uint64_t word, name;
    unsigned word_rank, name_rank;
    bool title; /* it was written with a capital: Cusing is Cushing sooner than using */
};

static inline uint64_t hash_on(uint64_t h, char c)
{
    return (h ^ (unsigned char)c) * FNV_PRIME;
}

/* The word that would be: its hash up to letter i, then the letters from there on. */
static void consider(struct search *s, uint64_t hash, size_t i, size_t n)
{
    for (; i < s->n; i++)
        hash = hash_on(hash, s->letters[i]);
    if (n >= KNOWN_MIN && !perhaps(s->filter, hash))
        return;
    unsigned info = word_info(s->table, hash), class = info_class(info), rank;
    if (info == 0 || class == CLASS_FOREIGN)
        return;
    if (info_word(info) >= 2 || class != CLASS_NONE) { /* the usual ones before others */
        rank = 1 + 2u * (info_word(info) == 3) + (class != CLASS_NONE) +
               4u * (s->title && class >= CLASS_PLACE && class <= CLASS_BRAND);
        if (rank > s->word_rank) {
            s->word = hash;
            s->word_rank = rank;
        }
    } else if (n >= 5 && info_word(info) == 0 && (info_first(info) >= 4 || info_last(info) >= 5)) {
        rank = info_first(info) > info_last(info) ? info_first(info) : info_last(info);
        if (rank > s->name_rank) {
            s->name = hash;
            s->name_rank = rank;
        }
    }
}

/* Letters i and the next one, changed over. */
static void consider_swap(struct search *s, size_t i)
{
    if (i + 1 < s->n && s->letters[i] != s->letters[i + 1])
        consider(s, hash_on(hash_on(s->head[i], s->letters[i + 1]), s->letters[i]), i + 2, s->n);
}

/* Each letter of the alphabet before what begins at `rest`. */
static void consider_letters(struct search *s, size_t i, size_t rest)
{
    size_t n = i + 1 + s->n - rest;
    for (int c = 'a'; c <= 'z'; c++)
        consider(s, hash_on(s->head[i], (char)c), rest, n);
}

bool near_find(const struct near_filter *f, const struct word_table *table, const char *letters,
               size_t n, bool title, uint64_t *word, uint64_t *name)
{
    struct search s = {.filter = f, .table = table, .letters = letters, .n = n, .title = title};
    if (n < 4 || n > LETTERS_MAX)
        return false;
    s.head[0] = TEXT_HASH_BEGIN;
    for (size_t i = 0; i < n; i++)
        s.head[i + 1] = hash_on(s.head[i], letters[i]);
    bool is = perhaps(f, s.head[n]);
    for (size_t i = 0; is && i <= n; i++) {
        consider_letters(&s, i, i);
        if (n < SHORT)
            consider_swap(&s, i);
    }
    for (size_t i = 0; n >= SHORT && i < n; i++) {
        if (i == 0 || letters[i] != letters[i - 1]) { /* else it is the same as before */
            uint64_t hash = s.head[i];
            for (size_t k = i + 1; k < n; k++)
                hash = hash_on(hash, letters[k]);
            is = perhaps(f, hash);
        }
        if (is) {
            consider(&s, s.head[i], i + 1, n - 1);
            consider_letters(&s, i, i + 1);
            consider_swap(&s, i);
        }
    }
    *word = s.word;
    *name = s.name;
    return s.word != 0 || s.name != 0;
}
