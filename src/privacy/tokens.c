/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens - a view cut into words, and what each of them is.
 *
 *   "Dr. O'Brien-Li's 2 shifts"  >  dr | obrien | li (possessive, after a hyphen) | 2 | shifts
 *
 * A word is a run of letters and digits; an apostrophe between letters belongs to it and is left out of its hash, 's
 * at its end is a mark and no part. An identifier falls into its parts (swap_ingeborg, patientName). Letters that stand
 * alone in a row are one word when that word is a name (s m i t h). Digits for letters are undone when a name comes out.
 */
#include <stddef.h>

#include "privacy/names.h"
#include "text/text.h"

enum { KIND_OTHER, KIND_LETTER, KIND_DIGIT, KIND_HIGH };

/* Small letters and digits of ASCII; the view is folded. */
#define N16 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define D10 2, 2, 2, 2, 2, 2, 2, 2, 2, 2
#define L13 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
#define H16 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3
static const uint8_t kinds[256] = {N16, N16, N16, D10, 0,   0,   0,   0,  0, 0,
                                   N16, N16, 0,   L13, L13, 0,   0,   0,  0, 0,
                                   H16, H16, H16, H16, H16, H16, H16, H16};
#undef N16
#undef D10
#undef L13
#undef H16

static inline int kind_of(unsigned char c)
{
    return kinds[c];
}

/* Signs of Latin-1, of general punctuation and pictures are no letters. The byte count, 0 = it is a letter. */
static size_t sign_length(const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    size_t length = c == 0xc2   ? 2
                    : c == 0xe2 ? 3
                    : c == 0xf0 ? 4
                    : c == 0xef ? 3
                    : c == 0xe3 ? 3
                                : 0;
    if (c == 0xe3 && n >= 2 && (unsigned char)p[1] != 0x80)
        length = 0; /* kana; E3 80 is their punctuation */
    return length <= n ? length : n;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

struct cutter {
    struct words_scratch *s;
    const struct words *w;
    const struct text_view *v;
    size_t previous_end;
    size_t start; /* the next one of the view's starts */
    bool failed;
};

/* ---- what stands between two words ---- */

enum {
    SAW_LINE = 1,
    SAW_COLON = 2,
    SAW_COMMA = 4,
    SAW_STOP = 8,
    SAW_QUOTE = 16,
    SAW_BRACKET = 32,
    SAW_SLASH = 64,
    SAW_UNDERSCORE = 128,
    SAW_HYPHEN = 256,
    SAW_DOT = 512,
    SAW_BLANK = 1024,
    SAW_OTHER = 2048
};

static unsigned saw(char c)
{
    switch (c) {
    case '\n':
    case '\r':
        return SAW_LINE;
    case ' ':
    case '\t':
        return SAW_BLANK;
    case ':':
    case '=':
        return SAW_COLON;
    case ',':
    case ';':
        return SAW_COMMA;
    case '!':
    case '?':
        return SAW_STOP;
    case '"':
    case '\'':
    case '`':
        return SAW_QUOTE;
    case '(':
    case ')':
    case '[':
    case ']':
    case '{':
    case '}':
    case '<':
    case '>':
        return SAW_BRACKET;
    case '/':
    case '|':
    case '^':
    case '*':
    case '~':
    case '&':
    case '+':
        return SAW_SLASH;
    case '_':
        return SAW_UNDERSCORE;
    case '-':
        return SAW_HYPHEN;
    case '.':
        return SAW_DOT;
    default:
        return SAW_OTHER;
    }
}

/* {"note": "...: what stands there is a text of its own, the member's name says nothing about its first word. */
static bool is_value_of_anything(const struct cutter *c, const struct token *before)
{
    static const char *const members[] = {
        "note",  "notes",   "prompt",      "text",    "query", "question", "content", "body",
        "input", "message", "description", "comment", "title", "summary",  "msg",     NULL};
    strv name = {c->v->folded + before->start, before->end - before->start};
    for (size_t i = 0; members[i] != NULL; i++)
        if (strv_eq_cstr(name, members[i]))
            return true;
    return false;
}

/* ,"note": the name of a member has nothing to do with what stands before it. */
static bool is_member(const struct cutter *c, size_t start)
{
    const char *p = c->v->plain;
    size_t i = start;
    if (p[start - 1] != '"')
        return false;
    while (i < c->v->n && i < start + 32 && p[i] != '"' && p[i] != ' ' && p[i] != '\n')
        i++;
    return i + 1 < c->v->n && p[i] == '"' && p[i + 1] == ':';
}

/* Does a text of its own begin between the word before and this one? */
static inline bool begins_text(struct cutter *c, size_t place)
{
    const struct text_view *v = c->v;
    while (c->start < v->n_starts && v->starts[c->start] < c->previous_end)
        c->start++;
    return c->s->n == 0 || (c->start < v->n_starts && v->starts[c->start] <= place);
}

static uint8_t gap_of_signs(struct cutter *c, size_t start)
{
    const char *p = c->v->plain;
    unsigned seen = 0;
    for (size_t i = c->previous_end; i < start; i++)
        seen |= saw(p[i]);
    const struct token *before = &c->s->tokens[c->s->n - 1];
    bool abbreviated = before->shape == SHAPE_SINGLE || info_class(before->info) == CLASS_HONOR ||
                       (before->letters == 2 && info_class(before->info) == CLASS_NONE);
    if ((seen & SAW_QUOTE) &&
        ((seen & SAW_COLON) != 0 ? is_value_of_anything(c, before) : is_member(c, start)))
        return GAP_START;
    if ((seen & SAW_DOT) && (seen & SAW_BLANK))
        seen |= abbreviated ? 0 : SAW_STOP;
    if ((seen & SAW_LINE) && (seen & (SAW_STOP | SAW_DOT)) && !abbreviated)
        return GAP_START; /* a line that ended with its sentence */
    static const struct {
        unsigned sign;
        uint8_t gap;
    } order[] = {{SAW_LINE, GAP_LINE},   {SAW_COLON, GAP_COLON}, {SAW_COMMA, GAP_COMMA},
                 {SAW_STOP, GAP_STOP},   {SAW_QUOTE, GAP_QUOTE}, {SAW_BRACKET, GAP_BRACKET},
                 {SAW_SLASH, GAP_SLASH}, {SAW_OTHER, GAP_OTHER}, {SAW_UNDERSCORE, GAP_UNDERSCORE}};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (seen & order[i].sign)
            return order[i].gap;
    if (seen & SAW_HYPHEN)
        return seen & SAW_BLANK ? GAP_OTHER : GAP_HYPHEN;
    if (seen & SAW_BLANK)
        return GAP_SPACE;
    return GAP_DOT;
}

static inline uint8_t gap_of(struct cutter *c, size_t start)
{
    if (begins_text(c, start))
        return GAP_START;
    if (c->previous_end + 1 == start && c->v->plain[start - 1] == ' ')
        return GAP_SPACE;
    return c->previous_end == start ? GAP_NONE : gap_of_signs(c, start);
}

/* ---- one word ---- */

static bool grow(struct cutter *c)
{
    struct words_scratch *s = c->s;
    size_t cap = s->cap > 0 ? 2 * s->cap : 256;
    struct token *more = mem_realloc(s->tokens, cap * sizeof *more);
    c->failed = more == NULL;
    if (more == NULL)
        return false;
    s->tokens = more;
    s->cap = cap;
    return true;
}

static inline struct token *token_add(struct cutter *c, size_t start, size_t end)
{
    struct words_scratch *s = c->s;
    if (s->n == s->cap && !grow(c))
        return NULL;
    uint8_t gap = gap_of(c, start);
    struct token *t = &s->tokens[s->n++];
    *t = (struct token){.start = (uint32_t)start, .end = (uint32_t)end, .gap = gap};
    c->previous_end = end;
    return t;
}

/* Folded letters of a range, without apostrophes; at most `size`. */
static size_t letters_of(const struct text_view *v, size_t start, size_t end, char *out,
                         size_t size)
{
    size_t n = 0;
    for (size_t i = start; i < end && n < size; i++)
        if (v->folded[i] != '\'')
            out[n++] = v->folded[i];
    return n;
}

static uint8_t shape_of(size_t letters, size_t upper, bool begins_upper)
{
    if (letters == 1)
        return SHAPE_SINGLE;
    if (upper == 0)
        return SHAPE_LOWER;
    if (upper == letters)
        return SHAPE_UPPER;
    return upper == 1 && begins_upper ? SHAPE_TITLE : SHAPE_MIXED;
}

/* In one walk: its letters like letters_of(), their number, hash and shape. */
static size_t measure(const struct text_view *v, struct token *t, char *out, size_t size)
{
    size_t n = 0, upper = 0, letters = 0;
    t->hash = TEXT_HASH_BEGIN;
    for (size_t i = t->start; i < t->end; i++) {
        char c = v->folded[i];
        upper += is_upper(v->plain[i]);
        letters += c != '\'';
        if (c == '\'' || n == size)
            continue;
        out[n++] = c;
        t->hash = text_hash_on(t->hash, &c, 1);
    }
    t->letters = (uint8_t)n;
    t->shape = shape_of(letters, upper, is_upper(v->plain[t->start]));
    return n;
}

enum { WORD_MAX = 48 }; /* longer runs of letters are nobody's name */

static unsigned info_of(const struct words *w, const char *letters, size_t n)
{
    return word_info(&w->table, text_hash(letters, n));
}

static bool is_name(unsigned info)
{
    return info_first(info) > 1 || info_last(info) > 1;
}

static bool is_surname(unsigned info)
{
    return info_last(info) >= 3 && info_word(info) < 2;
}

/* Made of a name: jsmith and smithj are TOKEN_LOGIN, janesmith and smithjane TOKEN_JOINED. */
static uint16_t made_of_name(const struct words *w, const char *p, size_t n)
{
    if (n < 5 || n >= WORD_MAX)
        return 0;
    uint64_t hash = text_hash(p, 2);
    for (size_t k = 3; n >= 8 && k + 3 <= n; k++) {
        hash = text_hash_on(hash, p + k - 1, 1);
        unsigned a = word_info(&w->table, hash);
        bool first = info_first(a) >= 4 && info_word(a) < 2 && n - k >= 4;
        bool last = k >= 4 && is_surname(a);
        if (!first && !last)
            continue;
        unsigned b = info_of(w, p + k, n - k);
        if ((first && is_surname(b)) || (last && info_first(b) >= 4 && info_word(b) < 2))
            return TOKEN_JOINED;
    }
    return is_surname(info_of(w, p + 1, n - 1)) || (n >= 6 && is_surname(info_of(w, p, n - 1)))
               ? TOKEN_LOGIN
               : 0;
}

/* A word that is in no list, but what is left of it is: paperless, rerun, abreviaturas, changepoint. */
static bool is_derived(const struct words *w, const char *p, size_t n, bool *spanish)
{
    static const char *const endings[] = {"s",    "es",   "ed",   "ing", "er", "ly",
                                          "less", "ness", "able", "as",  "os"};
    static const char *const beginnings[] = {"un",  "re",  "de",   "non",  "pre",  "dis",
                                             "mis", "sub", "auto", "over", "multi"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t m = strlen(endings[i]);
        if (n < m + 4 || memcmp(p + n - m, endings[i], m) != 0)
            continue;
        unsigned info = info_of(w, p, n - m);
        *spanish = info_spanish(info);
        if (info_word(info) >= 2 || *spanish)
            return true;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        size_t m = strlen(beginnings[i]);
        if (n >= m + 4 && memcmp(p, beginnings[i], m) == 0 &&
            info_word(info_of(w, p + m, n - m)) >= 2)
            return true;
    }
    uint64_t hash = text_hash(p, 3);
    for (size_t k = 4; k + 4 <= n; k++) {
        hash = text_hash_on(hash, p + k - 1, 1);
        if (info_word(word_info(&w->table, hash)) == 3 && info_word(info_of(w, p + k, n - k)) == 3)
            return true;
    }
    return false;
}

/* Digits that stand for letters: the word's letters with them undone, if that is a name. */
static bool undo_digits(const struct words *w, char *p, size_t n, unsigned *info)
{
    for (int one = 0; one < 2; one++) {
        char q[WORD_MAX];
        for (size_t i = 0; i < n; i++) {
            char c = p[i];
            q[i] = c == '0'   ? 'o'
                   : c == '1' ? (one ? 'l' : 'i')
                   : c == '3' ? 'e'
                   : c == '4' ? 'a'
                   : c == '5' ? 's'
                   : c == '8' ? 'b'
                              : c;
        }
        unsigned found = info_of(w, q, n);
        if (is_name(found) || (w->roster != NULL && roster_word(w->roster, q, n, found) != 0)) {
            memcpy(p, q, n);
            *info = found;
            return true;
        }
    }
    return false;
}

static void look_up_digits(const struct words *w, struct token *t, char *letters, size_t n)
{
    size_t bare = n;
    while (bare > 0 && letters[bare - 1] >= '0' && letters[bare - 1] <= '9')
        bare--;
    size_t digits = 0;
    for (size_t i = 0; i < bare; i++)
        digits += letters[i] <= '9';
    unsigned info;
    t->shape = SHAPE_DIGITS;
    if (n - bare <= 1 && n >= 5 && 3 * digits < n && undo_digits(w, letters, n, &info)) {
        t->shape = SHAPE_MIXED;
        t->info = (uint16_t)info;
        t->hash = text_hash(letters, n);
        if (digits > 0 && info_word(info) == 0 && info_class(info) == CLASS_NONE &&
            (info_first(info) >= 3 || info_last(info) >= 3))
            t->flags |= TOKEN_SPACED;
    } else if (digits == 0 && bare >= 4) {
        t->flags |= made_of_name(w, letters, bare);
        if (w->roster != NULL && roster_word(w->roster, letters, bare, 0xffff) != 0)
            t->flags |= TOKEN_ROSTER;
    }
    if (w->roster != NULL && roster_number(w->roster, text_hash(letters, n)))
        t->flags |= TOKEN_ROSTER;
}

/* A slip of the hand in a common word or name: seen as that one from here on. What is near a word and near a name is
 * both. A name that is rare stays one, and is the word, too. */
static void look_up_near(const struct words *w, struct token *t, const char *letters, size_t n)
{
    enum { FIRST_LAST = 0x3f, BEGINS_PHRASE = 1 << 15 };
    uint64_t word, name;
    if (!near_find(&w->near, &w->table, letters, n, t->shape == SHAPE_TITLE, &word, &name) ||
        (word == 0 && t->info != 0))
        return;
    unsigned info = word != 0 ? word_info(&w->table, word) : 0;
    unsigned known = name != 0 ? word_info(&w->table, name) : 0;
    bool as_name = word == 0 || (info_begins_phrase(known) && info_class(info) == CLASS_NONE);
    if (word == 0)
        info = known;
    else if (t->info != 0)
        info = (info & ~(unsigned)FIRST_LAST) | (t->info & FIRST_LAST);
    else if ((info & FIRST_LAST) == 0)
        info |= known & (FIRST_LAST | BEGINS_PHRASE);
    t->info = (uint16_t)info;
    t->hash = as_name ? name : word;
    t->flags |= TOKEN_NEAR;
}

/* Nobody's usual name, and no word. */
static bool is_rare(unsigned info)
{
    return info_first(info) <= 2 && info_last(info) <= 2 && info_word(info) == 0 &&
           info_class(info) == CLASS_NONE && !info_spanish(info);
}

static void look_up_letters(const struct cutter *c, struct token *t, const char *letters, size_t n)
{
    const struct words *w = c->w;
    t->info = (uint16_t)word_info(&w->table, t->hash);
    if (w->roster != NULL) {
        t->flags |= (uint16_t)roster_word(w->roster, letters, n, t->info);
        if (roster_number(w->roster, t->hash))
            t->flags |= TOKEN_ROSTER;
        if (n <= 3 && t->shape == SHAPE_UPPER && info_class(t->info) == CLASS_NONE &&
            roster_initials(w->roster, letters, n))
            t->flags |= TOKEN_ROSTER_WORD;
    }
    if (!is_rare(t->info) || n < 4 || (t->flags & TOKEN_ROSTER))
        return;
    if (is_name(t->info)) {
        look_up_near(w, t, letters, n);
        return;
    }
    bool spanish = false;
    t->flags |= made_of_name(w, letters, n);
    if (t->flags & TOKEN_JOINED)
        return;
    if (n >= 5 && is_derived(w, letters, n, &spanish))
        t->info |= (uint16_t)(spanish ? 1 << 9 : 1 << 6);
    else
        look_up_near(w, t, letters, n);
}

#define USUAL_MASK ((UINT64_C(1) << 48) - 1)

static struct usual_word *usual_at(struct words_scratch *s, uint64_t hash)
{
    return &s->usual[hash * 0x9e3779b97f4a7c15u >> (64 - USUAL_BITS)];
}

static bool is_usual(struct words_scratch *s, uint64_t hash)
{
    const struct usual_word *usual = usual_at(s, hash);
    return usual->hash == (hash & USUAL_MASK) && usual->info != 0;
}

static void note_usual(const struct cutter *c, const struct token *t)
{
    if (t->flags == 0 && (info_word(t->info) >= 2 || info_class(t->info) != CLASS_NONE))
        *usual_at(c->s, t->hash) = (struct usual_word){t->hash & USUAL_MASK, t->info};
}

static inline void look_up(const struct cutter *c, struct token *t, const char *letters, size_t n)
{
    bool initials = c->w->roster != NULL && n <= 3 && t->shape == SHAPE_UPPER;
    if (!initials && is_usual(c->s, t->hash)) {
        t->info = (uint16_t)usual_at(c->s, t->hash)->info;
        return;
    }
    look_up_letters(c, t, letters, n);
    if (!initials)
        note_usual(c, t);
}

/* The same for one that has to be measured first. */
static void look_up_odd(const struct cutter *c, struct token *t, bool digits)
{
    char letters[WORD_MAX];
    size_t n = measure(c->v, t, letters, sizeof letters);
    if (digits)
        look_up_digits(c->w, t, letters, n);
    else
        look_up(c, t, letters, n);
}

/* patientName: a word of the table as it stands, or its parts. */
static void add_word(struct cutter *c, size_t start, size_t end)
{
    const char *p = c->v->plain;
    size_t cut = 0;
    for (size_t i = start + 3; i + 2 < end && cut == 0; i++)
        if (is_upper(p[i]) && !is_upper(p[i - 1]) && p[i - 1] != '\'')
            cut = i;
    if (cut != 0) {
        char letters[WORD_MAX];
        size_t n = letters_of(c->v, start, end, letters, sizeof letters);
        unsigned info = info_of(c->w, letters, n);
        if (info != 0 || (c->w->roster != NULL && roster_word(c->w->roster, letters, n, info) != 0))
            cut = 0;
    }
    struct token *t = token_add(c, start, cut != 0 ? cut : end);
    if (t == NULL)
        return;
    look_up_odd(c, t, false);
    if (cut != 0) {
        t->flags |= TOKEN_CODE;
        size_t n = c->s->n;
        add_word(c, cut, end);
        if (n < c->s->n)
            c->s->tokens[n].flags |= TOKEN_CODE;
    }
}

/* The end of the run of letters and digits that begins at `start`. */
static size_t run_end(const struct text_view *v, size_t start, bool *letter, bool *digit,
                      bool *high)
{
    const char *f = v->folded;
    size_t i = start;
    unsigned seen = 0;
    while (i < v->n) {
        int kind = kind_of((unsigned char)f[i]);
        if (kind == KIND_OTHER) {
            bool inside = f[i] == '\'' && i > start && i + 1 < v->n &&
                          kind_of((unsigned char)f[i - 1]) == KIND_LETTER &&
                          kind_of((unsigned char)f[i + 1]) == KIND_LETTER;
            if (!inside)
                break;
        } else if (kind == KIND_HIGH && sign_length(f + i, v->n - i) > 0) {
            break;
        }
        seen |= 1u << kind;
        i++;
    }
    *letter = (seen & 1u << KIND_LETTER) != 0;
    *digit = (seen & 1u << KIND_DIGIT) != 0;
    *high = (seen & 1u << KIND_HIGH) != 0;
    return i;
}

/* 's, 'll, 'd at the end of a word are not its own; n't is. Where the word ends without them. */
static size_t without_clitic(const char *f, size_t start, size_t end, bool *possessive)
{
    size_t n = end - start;
    *possessive = false;
    if (n >= 3 && f[end - 2] == '\'' && (f[end - 1] == 's' || f[end - 1] == 'd')) {
        *possessive = f[end - 1] == 's';
        return end - 2;
    }
    if (n >= 4 && f[end - 3] == '\'' &&
        (f[end - 2] == 'l' || f[end - 2] == 'v' || f[end - 2] == 'r'))
        return end - 3;
    return end;
}

/* The hash goes on with the lowest n bytes. How long a word is nobody can guess: all eight are gone through. */
static inline uint64_t hash_on(uint64_t hash, uint64_t bytes, size_t n)
{
    for (size_t i = 0; i < 8; i++, bytes >>= 8) {
        uint64_t next = (hash ^ (bytes & 255)) * TEXT_HASH_PRIME;
        hash ^= (hash ^ next) & (0 - (uint64_t)(i < n));
    }
    return hash;
}

/* A run of letters of ASCII, and how many of them are capitals. */
struct letters {
    size_t n, upper;
    uint64_t hash;
};

static inline struct letters letters_at(const struct text_view *v, size_t start)
{
    const char *f = v->folded, *p = v->plain;
    struct letters out = {0, 0, TEXT_HASH_BEGIN};
    size_t i = start;
    while (i + 8 <= v->n) {
        uint64_t small = eight_at(f + i), capital = eight_at(p + i) ^ small;
        uint64_t others = ~eight_between(small, 'a', 'z') & EIGHT_HIGHEST;
        size_t n = others != 0 ? eight_first(others) : 8;
        capital &= n < 8 ? ((uint64_t)1 << 8 * n) - 1 : ~(uint64_t)0;
        out.upper += (capital >> 5 & EIGHT_ONES) * EIGHT_ONES >> 56;
        out.hash = hash_on(out.hash, small, n);
        i += n;
        if (n < 8) {
            out.n = i - start;
            return out;
        }
    }
    for (; kind_of((unsigned char)f[i]) == KIND_LETTER; i++) {
        out.upper += f[i] != p[i];
        out.hash = text_hash_on(out.hash, f + i, 1);
    }
    out.n = i - start;
    return out;
}

/* Most words: letters of ASCII in one case or with a capital, and nothing odd behind them. False: not such a one. */
static inline bool cut_plain(struct cutter *c, size_t start, size_t *end)
{
    const char *f = c->v->folded;
    struct letters l = letters_at(c->v, start);
    size_t i = start + l.n;
    bool capital = f[start] != c->v->plain[start];
    if (kind_of((unsigned char)f[i]) != KIND_OTHER || f[i] == '\'' || l.n >= WORD_MAX ||
        (l.upper > capital && l.upper < l.n))
        return false;
    struct token *t = token_add(c, start, i);
    *end = i;
    if (t == NULL)
        return true;
    t->hash = l.hash;
    t->letters = (uint8_t)l.n;
    t->shape = shape_of(l.n, l.upper, capital);
    look_up(c, t, f + start, l.n);
    char before = start > 0 ? f[start - 1] : '\0';
    if ((before == '"' || before == '\'') && (f[i] == before || f[i] == ' '))
        t->flags |= TOKEN_QUOTED;
    return true;
}

static size_t cut_run(struct cutter *c, size_t start)
{
    bool letter, digit, high, possessive = false;
    const char *f = c->v->folded;
    size_t run = run_end(c->v, start, &letter, &digit, &high), end = run;
    size_t first = c->s->n;
    if (letter)
        end = without_clitic(f, start, run, &possessive);
    if (letter && !digit && !high) {
        add_word(c, start, end);
    } else {
        struct token *t = token_add(c, start, end);
        if (t == NULL)
            return run;
        if (!letter && !high) {
            t->shape = SHAPE_NUMBER;
            if (c->w->roster != NULL &&
                roster_number(c->w->roster, text_hash(f + start, end - start)))
                t->flags |= TOKEN_ROSTER;
        } else {
            look_up_odd(c, t, digit);
            if (high)
                t->shape = SHAPE_OTHER;
        }
    }
    if (c->failed)
        return run;
    struct token *last = &c->s->tokens[c->s->n - 1];
    if (possessive || (run < c->v->n && f[run] == '\'' && f[run - 1] == 's' && last->letters > 3))
        last->flags |= possessive ? TOKEN_POSSESSIVE : 0;
    c->previous_end = run;
    char before = start > 0 ? f[start - 1] : '\0', after = run < c->v->n ? f[run] : '\0';
    bool quoted = (before == '"' || before == '\'') && (after == before || after == ' ');
    for (size_t i = first; i < c->s->n && quoted; i++)
        c->s->tokens[i].flags |= TOKEN_QUOTED;
    return run;
}

/* ---- several words ---- */

/* s m i t h, r-a-v-i: one word, if it is a name. */
static void join_spaced(struct cutter *c)
{
    struct words_scratch *s = c->s;
    for (size_t i = 0; i + 3 < s->n; i++) {
        size_t k = i;
        char letters[WORD_MAX];
        size_t n = 0;
        if (s->tokens[i].shape != SHAPE_SINGLE)
            continue;
        while (k < s->n && s->tokens[k].shape == SHAPE_SINGLE && n < sizeof letters &&
               (k == i || s->tokens[k].gap == GAP_SPACE || s->tokens[k].gap == GAP_HYPHEN ||
                s->tokens[k].gap == GAP_DOT))
            letters[n++] = c->v->folded[s->tokens[k++].start];
        if (n < 4)
            continue;
        unsigned info = info_of(c->w, letters, n);
        unsigned known = c->w->roster != NULL ? roster_word(c->w->roster, letters, n, info) : 0;
        if (is_name(info) || known != 0) {
            struct token *t = &s->tokens[i];
            t->hash = text_hash(letters, n);
            t->info = (uint16_t)info;
            t->end = s->tokens[k - 1].end;
            t->shape = SHAPE_MIXED;
            t->letters = (uint8_t)n;
            t->flags |= (uint16_t)(TOKEN_SPACED | known);
            memmove(t + 1, &s->tokens[k], (s->n - k) * sizeof *t);
            s->n -= k - i - 1;
        } else {
            i = k - 1;
        }
    }
}

/* The phrases that begin with token i. */
static void mark_phrases(struct words_scratch *s, const struct word_table *table, size_t i)
{
    uint64_t hash = s->tokens[i].hash;
    for (size_t k = i + 1; k < s->n && k < i + 5; k++) {
        const struct token *t = &s->tokens[k];
        if (t->gap != GAP_SPACE && t->gap != GAP_HYPHEN && t->gap != GAP_LINE &&
            t->gap != GAP_DOT && t->gap != GAP_UNDERSCORE && t->gap != GAP_SLASH)
            break;
        hash = hash * 31 + t->hash;
        if (!word_is_phrase(table, hash))
            continue;
        for (size_t m = i; m <= k; m++)
            s->tokens[m].flags |= TOKEN_PHRASE;
    }
}

static void mark_values(struct words_scratch *s, const struct privacy_piece *t)
{
    for (size_t i = 0, k = 0; i < t->n_values; i++) {
        const struct privacy_value *value = &t->values[i];
        if (value->label != LABEL_NAME)
            continue;
        while (k > 0 && s->tokens[k - 1].start >= value->start)
            k--;
        while (k < s->n && s->tokens[k].start < value->start)
            k++;
        for (; k < s->n && s->tokens[k].start < value->end; k++)
            s->tokens[k].flags |= TOKEN_LABEL;
    }
}

static uint8_t regime_of(const size_t shapes[], size_t long_lower)
{
    size_t lower = shapes[SHAPE_LOWER], upper = shapes[SHAPE_UPPER], title = shapes[SHAPE_TITLE];
    if (upper + title == 0)
        return REGIME_LOWER;
    if (lower + title == 0)
        return REGIME_UPPER;
    return title >= 3 && long_lower == 0 ? REGIME_TITLE : REGIME_NORMAL;
}

/* What words say about each other, and about the text: once over all of them. */
static void mark_context(struct words_scratch *s, const struct word_table *table)
{
    static const uint32_t near =
        1u << GAP_SPACE | 1u << GAP_DOT | 1u << GAP_LINE | 1u << GAP_HYPHEN;
    size_t shapes[SHAPES] = {0}, long_lower = 0;
    bool titled = false; /* by the word before */
    for (size_t i = 0; i < s->n; i++) {
        struct token *w = &s->tokens[i];
        unsigned class = info_class(w->info);
        if (titled && (near >> w->gap & 1) != 0)
            w->flags |= TOKEN_HONOR;
        titled = class == CLASS_HONOR && !(w->flags & TOKEN_POSSESSIVE);
        s->pronoun |= class == CLASS_PRON3;
        shapes[w->shape]++;
        long_lower += (w->shape == SHAPE_LOWER) & (w->letters >= 3);
        if (info_begins_phrase(w->info))
            mark_phrases(s, table, i);
    }
    s->regime = regime_of(shapes, long_lower);
}

bool tokens_make(struct words_scratch *s, const struct words *w, const struct privacy_piece *t)
{
    struct cutter c = {.s = s, .w = w, .v = t->view};
    const char *f = c.v->folded;
    if (s->serial != w->serial)
        memset(s->usual, 0, sizeof s->usual);
    s->serial = w->serial;
    s->kinds = &w->kinds;
    s->n = 0;
    s->pronoun = false;
    for (size_t i = 0, n = c.v->n; i < n && !c.failed;) {
        int kind = kind_of((unsigned char)f[i]);
        size_t sign = kind == KIND_HIGH ? sign_length(f + i, n - i) : 0, end;
        if (kind == KIND_OTHER)
            i++;
        else if (sign > 0)
            i += sign;
        else
            i = kind == KIND_LETTER && cut_plain(&c, i, &end) ? end : cut_run(&c, i);
    }
    if (c.failed)
        return false;
    join_spaced(&c);
    mark_context(s, &w->table);
    mark_values(s, t);
    tokens_categorise(s);
    return true;
}
