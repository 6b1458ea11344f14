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
    uint64_t below;  /* a bit for the symbol of each node below it */
    uint16_t first;  /* the one of the lowest symbol; the others stand behind it in order */
    uint16_t phrase; /* the first that ends here, its number + 1 */
    bool open;       /* ends with a sign: may go on as it likes */
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

/* The node below with that symbol, 0 = there is none. */
static inline uint16_t below(const struct phrases *p, uint16_t node, uint8_t symbol)
{
    const struct node *n = &p->nodes[node];
    uint64_t bit = (uint64_t)1 << symbol;
    if ((n->below & bit) == 0)
        return 0;
    return (uint16_t)(n->first + __builtin_popcountll(n->below & (bit - 1)));
}

/* A node while the tree grows. */
struct twig {
    uint16_t child,
        next; /* the first one below; the next one beside, of a higher symbol; 0 = none */
    uint16_t phrase;
    uint8_t symbol;
    bool open;
};

static uint16_t grow(struct phrases *p, struct twig *twigs, uint16_t from, uint8_t symbol)
{
    uint16_t *at = &twigs[from].child;
    while (*at != 0 && twigs[*at].symbol < symbol)
        at = &twigs[*at].next;
    if (*at == 0 || twigs[*at].symbol != symbol) {
        twigs[p->n_nodes] = (struct twig){.symbol = symbol, .next = *at};
        *at = (uint16_t)p->n_nodes++;
    }
    return *at;
}

static void add_phrase(struct phrases *p, struct twig *twigs, unsigned row, strv phrase)
{
    uint16_t at = 0;
    for (size_t i = 0; i < phrase.len; i++)
        at = grow(p, twigs, at, symbol_of(p, phrase.ptr[i]));
    uint16_t *last = &twigs[at].phrase;
    while (*last != 0)
        last = &p->all[*last - 1].same;
    p->all[p->n_all] = (struct phrase){.row = (uint16_t)row};
    *last = (uint16_t)++p->n_all;
    twigs[at].open = !is_word(phrase.ptr[phrase.len - 1]);
    if (!is_letter(phrase.ptr[0])) {
        assert(phrase.ptr[0] < NEVER_FIRST || phrase.ptr[0] > NEVER_LAST);
        p->kinds[(unsigned char)phrase.ptr[0]] |= OPENS;
    }
}

/* All nodes below one stand side by side. `of` has room for as many. */
static void lay_out(struct phrases *p, const struct twig *twigs, uint16_t *of)
{
    uint16_t n = 1;
    of[0] = 0;
    for (size_t i = 0; i < p->n_nodes; i++) {
        const struct twig *twig = &twigs[of[i]];
        p->nodes[i] = (struct node){.first = n, .phrase = twig->phrase, .open = twig->open};
        for (uint16_t c = twig->child; c != 0; c = twigs[c].next) {
            p->nodes[i].below |= (uint64_t)1 << twigs[c].symbol;
            of[n++] = c;
        }
    }
}

/* The first letters of a phrase lead right to what is below them. */
static void add_begin(struct phrases *p, strv phrase)
{
    uint64_t letters = first_letters(phrase.ptr, phrase.len);
    size_t hash = hash_of(letters), i = hash & ((1 << WORD_BITS) - 1);
    uint16_t at = 0;
    for (size_t k = 0; k < 8 && letters >> 8 * k != 0; k++)
        at = below(p, at, symbol_of(p, phrase.ptr[k]));
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

static void make_tables(struct phrases *p)
{
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

/* False: no memory. `letters`: of all phrases together, and one. */
static bool make_tree(struct phrases *p, size_t letters)
{
    struct twig *twigs = mem_zalloc(letters * sizeof *twigs);
    uint16_t *of = mem_alloc(letters * sizeof *of);
    strv rest, phrase;
    p->n_nodes = 1;
    for (unsigned row = 0; row < PHRASES && twigs != NULL; row++)
        for (rest = strv_of(rules_rows[row].phrases); strv_cut(&rest, ';', &phrase);)
            add_phrase(p, twigs, row, phrase);
    p->nodes = mem_alloc(p->n_nodes * sizeof *p->nodes);
    bool ok = twigs != NULL && of != NULL && p->nodes != NULL;
    if (ok)
        lay_out(p, twigs, of);
    mem_free(twigs);
    mem_free(of);
    return ok;
}

struct phrases *phrases_new(void)
{
    size_t letters = 1, n = 0;
    strv rest, phrase;
    for (unsigned row = 0; row < PHRASES; row++)
        for (rest = strv_of(rules_rows[row].phrases); strv_cut(&rest, ';', &phrase); n++)
            letters += phrase.len;
    struct phrases *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return NULL;
    p->all = mem_alloc(n * sizeof *p->all);
    if (letters > NODES_MAX || p->all == NULL || !make_tree(p, letters)) {
        phrases_free(p);
        return NULL;
    }
    for (unsigned row = 0; row < PHRASES; row++)
        for (rest = strv_of(rules_rows[row].phrases); strv_cut(&rest, ';', &phrase);)
            add_begin(p, phrase);
    make_tables(p);
    return p;
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

/* Where in the tree what stands at the place leads to. A phrase ends with a word: none ends among its first letters. */
struct begin {
    uint8_t place;   /* among 64 bytes */
    uint8_t letters; /* so many of them lead there */
    uint16_t node;   /* 0 = no phrase begins so */
};

static void find_begin(const struct reader *r, size_t from, struct begin *b)
{
    const struct phrases *p = r->p;
    const char *text = r->text + from + b->place;
    uint64_t letters = first_letters(text, r->n - from - b->place);
    size_t i = hash_of(letters) & ((1 << WORD_BITS) - 1);
    while (letters != 0 && p->words[i].letters != letters && p->words[i].letters != 0)
        i = (i + 1) & ((1 << WORD_BITS) - 1);
    bool sign = letters == 0, found = !sign && p->words[i].letters == letters;
    b->letters = sign ? 1 : (uint8_t)(8 - __builtin_clzll(letters) / 8);
    b->node = sign ? below(p, 0, p->symbols[(unsigned char)*text]) : found ? p->words[i].node : 0;
    __builtin_prefetch(&p->nodes[b->node]);
}

/* What stands at the place may begin a phrase: a word with such first letters, or such a sign. */
static inline bool may_begin(const struct reader *r, size_t at)
{
    const struct phrases *p = r->p;
    uint8_t kind = p->kinds[(unsigned char)r->text[at]];
    size_t hash = hash_of(first_letters(r->text + at, r->n - at));
    bool word = (p->begins[hash >> 3] >> (hash & 7) & 1) != 0;
    return ((kind & LETTER) != 0 && word) | ((kind & OPENS) != 0);
}

/* Begins of words, and signs, among the next 64 bytes: the lowest bit is the first one. `before`: that of a letter before
 * them. */
static inline uint64_t begins_at(const struct reader *r, size_t from, uint64_t *before)
{
    uint64_t out = 0;
    for (size_t k = 0; k < 64 && from + k < r->n; k += 8) {
        uint64_t v = some_at(r->text + from + k, r->n - from - k), letters = letters_of(v);
        uint64_t found = (letters & ~(letters << 8 | *before)) | signs_of(v, letters);
        *before = letters >> 56;
        out |= ((found >> 7) * 0x0102040810204080u >> 56) << k;
    }
    return out;
}

bool phrases_scan(const struct phrases *p, struct privacy_piece *t, const char *text, size_t n,
                  const uint32_t *map)
{
    struct reader r = {p, t, text, map, n};
    uint64_t before = 0;
    for (size_t i = 0; i < n; i += 64) {
        struct begin found[64]; /* all are written: which are worth a look nobody can guess */
        size_t k = 0;
        for (uint64_t bits = begins_at(&r, i, &before); bits != 0; bits &= bits - 1) {
            found[k].place = (uint8_t)__builtin_ctzll(bits);
            k += may_begin(&r, i + found[k].place);
        }
        for (size_t m = 0; m < k; m++) /* all of them first: memory takes its time */
            find_begin(&r, i, &found[m]);
        for (size_t m = 0; m < k; m++) {
            size_t at = i + found[m].place;
            if (!read_on(&r, at, at + found[m].letters, found[m].node))
                return false;
        }
    }
    return true;
}
