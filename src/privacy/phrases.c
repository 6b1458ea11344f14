/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phrases - the rows of phrases.def as one tree of letters, and where each of them stands in a text.
 *
 *   "date of birth", "dob"   >   d - a - t - e - blank - o - f - blank - b - i - r - t - h
 *                                 \ o - b
 *
 * A phrase can only begin where a word does, or at a sign that begins one. Eight bytes at once tell where that is, and
 * the first four letters of the word whether any phrase begins so; only then the tree is walked, as far as the text goes
 * with it. A general matcher would look at every byte and report the short phrases inside of words.
 */
#include <assert.h>
#include <string.h>

#include "privacy/rules.h"

enum { SYMBOLS = 64, NODES_MAX = UINT16_MAX, BEGIN_BITS = 15 };
enum { LETTER = 1, BLANK = 2, OPENS = 4 }; /* what a byte is; OPENS: a sign that begins a phrase */

struct node {
    uint16_t child, next; /* the first one below, the next one beside; 0 = none */
    uint16_t phrase;      /* the first that ends here, its number + 1 */
    uint8_t symbol;
    bool open; /* ends with a sign: may go on as it likes */
};
struct phrase {
    uint16_t row, same; /* another row with the same phrase, its number + 1 */
};
struct phrases {
    struct node *nodes; /* [0] is the root */
    struct phrase *all;
    size_t n_nodes, n_all;
    uint8_t kinds[256], symbols[256];
    uint8_t begins[1 << (BEGIN_BITS -
                         3)]; /* a bit for the first letters of each phrase, by their hash */
    uint16_t pairs[SYMBOLS][SYMBOLS]; /* the node after two symbols */
    uint16_t firsts[SYMBOLS];
};

/* ---- eight bytes at once ---- */

#define ONES    0x0101010101010101u
#define HIGHEST 0x8080808080808080u
#define LOWER   0x7f7f7f7f7f7f7f7fu
#define FROM(c)                                                                                    \
    (ONES * (0x80u - (c))) /* added to bytes below 0x80: the highest bit of those from c on */

/* The highest bit of each byte that is a letter of the folded view. */
static inline uint64_t letters_of(uint64_t v)
{
    uint64_t low = v & LOWER;
    return (((low + FROM('a')) & ~(low + FROM('z' + 1))) | v) & HIGHEST;
}

/* Of each byte that is neither a letter nor a blank. */
static inline uint64_t signs_of(uint64_t v, uint64_t letters)
{
    return ((v & LOWER) + FROM('!')) & ~letters & HIGHEST;
}

/* The place of the lowest bit among the eight bytes. */
static inline size_t lowest(uint64_t bits)
{
    return (size_t)__builtin_ctzll(bits) / 8;
}

/* The first byte is the lowest, on every machine. */
static inline uint64_t u32_at(const unsigned char *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

static inline uint64_t eight_at(const char *text, size_t n)
{
    unsigned char b[8] = {0};
    const unsigned char *p = (const unsigned char *)text;
    if (n < sizeof b)
        p = memcpy(b, text, n);
    return u32_at(p) | u32_at(p + 4) << 32;
}

/* The hash of the letters among the first four bytes, up to another one. */
static inline unsigned begin_of(const char *text, size_t n)
{
    unsigned char b[4] = {0};
    const unsigned char *p = (const unsigned char *)text;
    if (n < sizeof b)
        p = memcpy(b, text, n);
    uint64_t v = u32_at(p), others = ~letters_of(v) & HIGHEST;
    v &= ((others & (0 - others)) >> 7) - 1;
    return (unsigned)((v * 0x9e3779b97f4a7c15u) >> (64 - BEGIN_BITS));
}

/* ---- making ---- */

static bool is_blank(char c)
{
    return c != '\0' && strchr(" _-.'\n\t\r", c) != NULL;
}

/* 0 = no phrase has it. */
static uint8_t symbol_of(struct phrases *p, char c)
{
    uint8_t *symbol = &p->symbols[(unsigned char)c];
    if (*symbol == 0)
        *symbol = ++p->symbols[0]; /* no phrase has a zero: its place counts */
    assert(*symbol < SYMBOLS);
    return *symbol;
}

static uint16_t below(const struct phrases *p, uint16_t node, uint8_t symbol)
{
    uint16_t at = p->nodes[node].child;
    while (at != 0 && p->nodes[at].symbol != symbol)
        at = p->nodes[at].next;
    return at;
}

static void add_phrase(struct phrases *p, unsigned row, strv phrase)
{
    uint16_t at = 0;
    for (size_t i = 0; i < phrase.len; i++) {
        uint8_t symbol = symbol_of(p, phrase.ptr[i]);
        uint16_t next = below(p, at, symbol);
        if (next == 0) {
            next = (uint16_t)p->n_nodes++;
            p->nodes[next] = (struct node){.symbol = symbol, .next = p->nodes[at].child};
            p->nodes[at].child = next;
        }
        at = next;
    }
    uint16_t *last = &p->nodes[at].phrase;
    while (*last != 0)
        last = &p->all[*last - 1].same;
    p->all[p->n_all] = (struct phrase){.row = (uint16_t)row};
    *last = (uint16_t)++p->n_all;
    p->nodes[at].open = !is_word(phrase.ptr[phrase.len - 1]);
    unsigned begin = begin_of(phrase.ptr, phrase.len);
    p->begins[begin >> 3] |= (uint8_t)(1u << (begin & 7));
    if (!is_word(phrase.ptr[0]))
        p->kinds[(unsigned char)phrase.ptr[0]] |= OPENS;
}

static void make_tables(struct phrases *p)
{
    for (uint16_t a = p->nodes[0].child; a != 0; a = p->nodes[a].next) {
        p->firsts[p->nodes[a].symbol] = a;
        for (uint16_t b = p->nodes[a].child; b != 0; b = p->nodes[b].next)
            p->pairs[p->nodes[a].symbol][p->nodes[b].symbol] = b;
    }
    for (int c = 1; c < 256; c++) {
        if (is_letter((char)c))
            p->kinds[c] |= LETTER;
        if (is_blank((char)c)) {
            p->kinds[c] |= BLANK;
            p->symbols[c] = p->symbols[' '];
        }
    }
    p->symbols[0] = 0;
}

struct phrases *phrases_new(void)
{
    size_t letters = 1, n = 0;
    strv rest, phrase;
    for (unsigned row = 0; row < PHRASES; row++)
        for (rest = strv_of(rules_rows[row].phrases); strv_cut(&rest, ';', &phrase); n++)
            letters += phrase.len;
    struct phrases *p = mem_zalloc(sizeof *p);
    if (p == NULL || letters > NODES_MAX)
        goto failed;
    p->nodes = mem_alloc(letters * sizeof *p->nodes);
    p->all = mem_alloc(n * sizeof *p->all);
    if (p->nodes == NULL || p->all == NULL)
        goto failed;
    p->nodes[0] = (struct node){0};
    p->n_nodes = 1;
    for (unsigned row = 0; row < PHRASES; row++)
        for (rest = strv_of(rules_rows[row].phrases); strv_cut(&rest, ';', &phrase);)
            add_phrase(p, row, phrase);
    make_tables(p);
    struct node *fit = mem_realloc(p->nodes, p->n_nodes * sizeof *fit);
    p->nodes = fit != NULL ? fit : p->nodes;
    return p;
failed:
    phrases_free(p);
    return NULL;
}

void phrases_free(struct phrases *p)
{
    if (p == NULL)
        return;
    mem_free(p->nodes);
    mem_free(p->all);
    mem_free(p);
}

/* ---- reading ---- */

struct reader {
    const struct phrases *p;
    struct privacy_piece *t;
    const char *text;
    const uint32_t *map; /* where a byte of the text stands in the view; NULL: there */
    size_t n;
};

/* All rows of a phrase that stands at [start, end). In order of their ends: a longer one was met before those in it. */
static bool found(const struct reader *r, uint16_t phrase, size_t start, size_t end)
{
    if (r->map != NULL) {
        start = r->map[start];
        end = r->map[end - 1] + 1;
    }
    for (; phrase != 0; phrase = r->p->all[phrase - 1].same) {
        if (piece_add_hit(r->t) == NULL)
            return false;
        size_t k = r->t->n_hits - 1;
        for (; k > 0 && r->t->hits[k - 1].end > end; k--)
            r->t->hits[k] = r->t->hits[k - 1];
        r->t->hits[k] =
            (struct privacy_hit){(uint32_t)start, (uint32_t)end, r->p->all[phrase - 1].row};
    }
    return true;
}

static inline uint8_t kind_at(const struct reader *r, size_t i)
{
    return i < r->n ? r->p->kinds[(unsigned char)r->text[i]] : 0;
}

/* One blank stands for up to three between the words of a name in one language or another, as in "d. o. b."; an empty
 * line separates. The last one of those that begin at i. */
static size_t last_blank(const struct reader *r, size_t i)
{
    for (int k = 0; k < 2 && (kind_at(r, i + 1) & BLANK) != 0; k++) {
        if (r->text[i + 1] == '\n' && r->text[i] == '\n')
            break;
        i++;
    }
    return i;
}

/* All phrases that begin at the place. */
static bool read_from(const struct reader *r, size_t start)
{
    const struct phrases *p = r->p;
    uint8_t first = p->symbols[(unsigned char)r->text[start]], symbol;
    uint16_t at = p->firsts[first];
    for (size_t i = start; at != 0;) {
        const struct node *node = &p->nodes[at];
        i++;
        if (node->phrase != 0 && (node->open || (kind_at(r, i) & LETTER) == 0) &&
            !found(r, node->phrase, start, i))
            return false;
        if (i >= r->n)
            break;
        symbol = p->symbols[(unsigned char)r->text[i]];
        at = i == start + 1 ? p->pairs[first][symbol] : below(p, at, symbol);
        if (at != 0 && (kind_at(r, i) & BLANK) != 0)
            i = last_blank(r, i);
    }
    return true;
}

static bool may_begin(const struct reader *r, size_t i)
{
    unsigned begin = begin_of(r->text + i, r->n - i);
    return (r->p->begins[begin >> 3] >> (begin & 7) & 1) != 0;
}

bool phrases_scan(const struct phrases *p, struct privacy_piece *t, const char *text, size_t n,
                  const uint32_t *map)
{
    struct reader r = {p, t, text, map, n};
    uint64_t before = 0; /* the last byte was a letter */
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = eight_at(text + i, n - i), letters = letters_of(v);
        uint64_t words = letters & ~(letters << 8 | before);
        before = letters >> 56;
        for (uint64_t bits = words | signs_of(v, letters); bits != 0; bits &= bits - 1) {
            size_t at = i + lowest(bits);
            bool begins = (kind_at(&r, at) & LETTER) != 0 ? may_begin(&r, at)
                                                          : (kind_at(&r, at) & OPENS) != 0;
            if (begins && !read_from(&r, at))
                return false;
        }
    }
    return true;
}
