/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phrases - the rows of phrases.def as one tree of letters, and where each of them stands in a text.
 *
 *   "date of birth", "dob"   >   d - a - t - e - blank - o - f - blank - b - i - r - t - h
 *                                 \ o - b
 *
 * A phrase can only begin where a word does, or at a sign that begins one. Eight bytes at once tell where that is, and
 * the first eight letters of the word whether any phrase begins so; only then the tree is walked, as far as the text goes
 * with it. A general matcher would look at every byte and report the short phrases inside of words.
 */
#include <assert.h>
#include <string.h>

#include "privacy/rules.h"

enum { SYMBOLS = 64, NODES_MAX = UINT16_MAX };
enum {
    BEGIN_BITS = 15,
    WORD_BITS = 12
}; /* of the hash of a first word: whether it begins a phrase; where it is */
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
    size_t n_nodes, n_all, n_words;
    uint8_t kinds[256], symbols[256];
    uint8_t begins[1 << (BEGIN_BITS - 3)]; /* a bit for the first letters of each phrase */
    struct {
        uint64_t letters; /* 0 = free */
        uint16_t node;    /* below them */
    } words[1 << WORD_BITS];
    uint16_t firsts[SYMBOLS];
};

/* ---- eight bytes at once ---- */

/* The letters of the folded view. */
static inline uint64_t letters_of(uint64_t v)
{
    return (eight_between(v, 'a', 'z') | v) & EIGHT_HIGHEST;
}

/* Signs that may begin a phrase; none of the most frequent ones does, which stand among the digits. */
enum { NEVER_FIRST = '*', NEVER_LAST = ';' };
static inline uint64_t signs_of(uint64_t v, uint64_t letters)
{
    return ((v & EIGHT_LOWER) + EIGHT_FROM('!')) & ~letters &
           ~eight_between(v, NEVER_FIRST, NEVER_LAST) & EIGHT_HIGHEST;
}

/* Zeros behind the end. */
static inline uint64_t some_at(const char *text, size_t n)
{
    char b[8] = {0};
    return eight_at(n < sizeof b ? memcpy(b, text, n) : text);
}

/* The letters among the first eight bytes, up to another one, and zeros. */
static inline uint64_t first_letters(const char *text, size_t n)
{
    uint64_t v = some_at(text, n), others = ~letters_of(v) & EIGHT_HIGHEST;
    return v & (((others & (0 - others)) >> 7) - 1);
}

static inline size_t hash_of(uint64_t letters)
{
    return (size_t)((letters * 0x9e3779b97f4a7c15u) >> (64 - BEGIN_BITS));
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

/* Its first letters lead right to what is below them. */
static void add_begin(struct phrases *p, strv phrase)
{
    uint64_t letters = first_letters(phrase.ptr, phrase.len);
    size_t hash = hash_of(letters), i = hash & ((1 << WORD_BITS) - 1);
    uint16_t at = 0;
    for (size_t k = 0; letters >> 8 * k != 0; k++) {
        at = below(p, at, symbol_of(p, phrase.ptr[k]));
        if (k == 7)
            break;
    }
    if (at == 0)
        return; /* it begins with a sign */
    p->begins[hash >> 3] |= (uint8_t)(1u << (hash & 7));
    while (p->words[i].letters != 0 && p->words[i].letters != letters)
        i = (i + 1) & ((1 << WORD_BITS) - 1);
    p->n_words += p->words[i].letters == 0;
    assert(p->n_words < 1 << (WORD_BITS - 1));
    p->words[i].letters = letters;
    p->words[i].node = at;
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
    add_begin(p, phrase);
    if (!is_letter(phrase.ptr[0])) {
        assert(phrase.ptr[0] < NEVER_FIRST || phrase.ptr[0] > NEVER_LAST);
        p->kinds[(unsigned char)phrase.ptr[0]] |= OPENS;
    }
}

static void make_tables(struct phrases *p)
{
    for (uint16_t a = p->nodes[0].child; a != 0; a = p->nodes[a].next)
        p->firsts[p->nodes[a].symbol] = a;
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

/* All phrases that go on from the node; what stands in [start, i) has led to it. */
static bool read_on(const struct reader *r, size_t start, size_t i, uint16_t at)
{
    const struct phrases *p = r->p;
    while (at != 0) {
        const struct node *node = &p->nodes[at];
        if (node->phrase != 0 && (node->open || (kind_at(r, i) & LETTER) == 0) &&
            !found(r, node->phrase, start, i))
            return false;
        if (i >= r->n)
            break;
        at = below(p, at, p->symbols[(unsigned char)r->text[i]]);
        if (at != 0 && (kind_at(r, i) & BLANK) != 0)
            i = last_blank(r, i);
        i++;
    }
    return true;
}

/* All phrases that begin with the word at the place. A phrase ends with a word: none ends among its first letters. */
static bool read_word(const struct reader *r, size_t start)
{
    const struct phrases *p = r->p;
    uint64_t letters = first_letters(r->text + start, r->n - start);
    size_t hash = hash_of(letters), i = hash & ((1 << WORD_BITS) - 1);
    if ((p->begins[hash >> 3] >> (hash & 7) & 1) == 0)
        return true;
    while (p->words[i].letters != letters) {
        if (p->words[i].letters == 0)
            return true;
        i = (i + 1) & ((1 << WORD_BITS) - 1);
    }
    size_t n = 8 - (size_t)__builtin_clzll(letters) / 8;
    return read_on(r, start, start + n, p->words[i].node);
}

bool phrases_scan(const struct phrases *p, struct privacy_piece *t, const char *text, size_t n,
                  const uint32_t *map)
{
    struct reader r = {p, t, text, map, n};
    uint64_t before = 0; /* the last byte was a letter */
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = some_at(text + i, n - i), letters = letters_of(v);
        uint64_t words = letters & ~(letters << 8 | before);
        before = letters >> 56;
        for (uint64_t bits = words | signs_of(v, letters); bits != 0; bits &= bits - 1) {
            size_t at = i + eight_first(bits);
            uint8_t kind = p->kinds[(unsigned char)text[at]];
            if ((kind & LETTER) != 0 && !read_word(&r, at))
                return false;
            if ((kind & OPENS) != 0 &&
                !read_on(&r, at, at + 1, p->firsts[p->symbols[(unsigned char)text[at]]]))
                return false;
        }
    }
    return true;
}
