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

static inline uint64_t mixed(uint64_t hash)
{
    uint64_t h = hash * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 32) * 0xd6e8feb86659fd93u;
}

static inline const unsigned char *block_of(const struct near_filter *f, uint64_t mix)
{
    return f->blocks + (size_t)(mix >> (64 - f->bits)) * BLOCK_BYTES;
}

static inline unsigned bit_at(const unsigned char *block, uint64_t mix, unsigned k)
{
    mix >>= 9 * k;
    return block[mix >> 3 & 63] >> (mix & 7) & 1;
}

/* Five bits of one block. The first three are looked at together: which of them is missing is anybody's guess, also the
 * processor's. */
static inline bool perhaps(const struct near_filter *f, uint64_t hash)
{
    uint64_t mix = mixed(hash);
    const unsigned char *block = block_of(f, mix);
    return (bit_at(block, mix, 0) & bit_at(block, mix, 1) & bit_at(block, mix, 2)) != 0 &&
           (bit_at(block, mix, 3) & bit_at(block, mix, 4)) != 0;
}

/* Which of some hashes the filter has perhaps: their numbers. Memory is asked for all of them before any is looked at. */
static size_t perhaps_some(const struct near_filter *f, const uint64_t hashes[], size_t n,
                           uint8_t which[])
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(block_of(f, mixed(hashes[i])));
    for (size_t i = 0; i < n; i++) {
        uint64_t mix = mixed(hashes[i]);
        const unsigned char *block = block_of(f, mix);
        which[found] = (uint8_t)i;
        found += bit_at(block, mix, 0) & bit_at(block, mix, 1) & bit_at(block, mix, 2);
    }
    size_t kept = 0;
    for (size_t i = 0; i < found; i++)
        if (perhaps(f, hashes[which[i]]))
            which[kept++] = which[i];
    return kept;
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
    return (h ^ (unsigned char)c) * TEXT_HASH_PRIME;
}

/* Is the word of `n` letters with this hash one, and a better one? The filter does not deny it. */
static void weigh(struct search *s, uint64_t hash, size_t n)
{
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

static void consider(struct search *s, uint64_t hash, size_t n)
{
    if (n < KNOWN_MIN || perhaps(s->filter, hash))
        weigh(s, hash, n);
}

/* The letters from i on behind what has this hash. */
static uint64_t with_rest(const struct search *s, uint64_t hash, size_t i)
{
    for (; i < s->n; i++)
        hash = hash_on(hash, s->letters[i]);
    return hash;
}

/* Letters i and the next one, changed over. */
static void consider_swap(struct search *s, size_t i)
{
    if (i + 1 < s->n && s->letters[i] != s->letters[i + 1]) {
        uint64_t head = hash_on(hash_on(s->head[i], s->letters[i + 1]), s->letters[i]);
        consider(s, with_rest(s, head, i + 2), s->n);
    }
}

/* Each letter of the alphabet before what begins at `rest`. All 26 words go side by side. */
static void consider_letters(struct search *s, size_t i, size_t rest)
{
    uint64_t words[26];
    size_t n = i + 1 + s->n - rest;
    for (unsigned c = 0; c < 26; c++)
        words[c] = hash_on(s->head[i], (char)('a' + c));
    for (size_t k = rest; k < s->n; k++)
        for (unsigned c = 0; c < 26; c++)
            words[c] = hash_on(words[c], s->letters[k]);
    uint8_t which[26];
    size_t found = n >= KNOWN_MIN ? perhaps_some(s->filter, words, 26, which) : 26;
    for (size_t k = 0; k < found; k++)
        weigh(s, words[n >= KNOWN_MIN ? which[k] : k], n);
}

/* The hashes of the word with each of its letters left out, side by side. */
static void shorten(const struct search *s, uint64_t out[])
{
    for (size_t k = 0; k < s->n; k++) {
        for (size_t i = 0; i < k; i++)
            out[i] = hash_on(out[i], s->letters[k]);
        out[k] = s->head[k];
    }
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
    uint64_t shorter[LETTERS_MAX];
    uint8_t which[LETTERS_MAX];
    size_t found = 0;
    if (n >= SHORT) {
        shorten(&s, shorter);
        found = perhaps_some(f, shorter, n, which);
    }
    for (size_t k = 0; k < found; k++) {
        size_t i = which[k];
        weigh(&s, shorter[i], n - 1);
        consider_letters(&s, i, i + 1);
        consider_swap(&s, i);
    }
    *word = s.word;
    *name = s.name;
    return s.word != 0 || s.name != 0;
}
