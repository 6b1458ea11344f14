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

/* The letters of a word: how many, how many of them are capitals, and the first sixteen, with zeros behind the end. */
struct letters {
    size_t n, upper;
    uint64_t first, second;
};

enum { WAITING = 16 };
struct cutter {
    struct words_scratch *s;
    const struct words *w;
    const struct text_view *v;
    size_t previous_end;
    size_t start;   /* the next one of the view's starts */
    size_t singles; /* letters that stand alone */
    bool failed;
    size_t next; /* where the next word begins, if one blank stands before it, and its letters */
    struct letters ahead;
    struct { /* words that are looked up together */
        size_t token;
        struct letters letters;
    } waiting[WAITING];
    size_t n_waiting;
};

/* ---- what stands between two words ---- */

/* In the order in which they decide. */
enum {
    SAW_LINE = 1 << 0,
    SAW_COLON = 1 << 1,
    SAW_COMMA = 1 << 2,
    SAW_STOP = 1 << 3,
    SAW_QUOTE = 1 << 4,
    SAW_BRACKET = 1 << 5,
    SAW_SLASH = 1 << 6,
    SAW_OTHER = 1 << 7,
    SAW_UNDERSCORE = 1 << 8,
    SAW_HYPHEN = 1 << 9,
    SAW_BLANK = 1 << 10,
    SAW_DOT = 1 << 11
};
static const uint16_t signs[256] = {
    ['\n'] = SAW_LINE,      ['\r'] = SAW_LINE,   [' '] = SAW_BLANK,   ['\t'] = SAW_BLANK,
    [':'] = SAW_COLON,      ['='] = SAW_COLON,   [','] = SAW_COMMA,   [';'] = SAW_COMMA,
    ['!'] = SAW_STOP,       ['?'] = SAW_STOP,    ['"'] = SAW_QUOTE,   ['\''] = SAW_QUOTE,
    ['`'] = SAW_QUOTE,      ['('] = SAW_BRACKET, [')'] = SAW_BRACKET, ['['] = SAW_BRACKET,
    [']'] = SAW_BRACKET,    ['{'] = SAW_BRACKET, ['}'] = SAW_BRACKET, ['<'] = SAW_BRACKET,
    ['>'] = SAW_BRACKET,    ['/'] = SAW_SLASH,   ['|'] = SAW_SLASH,   ['^'] = SAW_SLASH,
    ['*'] = SAW_SLASH,      ['~'] = SAW_SLASH,   ['&'] = SAW_SLASH,   ['+'] = SAW_SLASH,
    ['_'] = SAW_UNDERSCORE, ['-'] = SAW_HYPHEN,  ['.'] = SAW_DOT};

static inline unsigned saw(char c)
{
    unsigned seen = signs[(unsigned char)c];
    return seen != 0 ? seen : SAW_OTHER;
}

/* {"note": "...: what stands there is a text of its own, the member's name says nothing about its first word. */
static bool is_value_of_anything(const struct cutter *c, const struct token *before)
{
    static const strv members[] = {
        STRV("note"),        STRV("notes"),   STRV("prompt"), STRV("text"),    STRV("query"),
        STRV("question"),    STRV("content"), STRV("body"),   STRV("input"),   STRV("message"),
        STRV("description"), STRV("comment"), STRV("title"),  STRV("summary"), STRV("msg")};
    strv name = {c->v->folded + before->start, before->end - before->start};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strv_eq(name, members[i]))
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

static void look_up_waiting(struct cutter *c);

static __attribute__((noinline)) uint8_t gap_of_signs(struct cutter *c, size_t start)
{
    static const uint8_t gaps[] = {GAP_LINE,       GAP_COLON,   GAP_COMMA, GAP_STOP,
                                   GAP_QUOTE,      GAP_BRACKET, GAP_SLASH, GAP_OTHER,
                                   GAP_UNDERSCORE, GAP_HYPHEN,  GAP_SPACE, GAP_DOT};
    const char *p = c->v->plain;
    unsigned seen = 0;
    for (size_t i = c->previous_end; i < start; i++)
        seen |= saw(p[i]);
    if ((seen & (SAW_DOT | SAW_LINE)) != 0 && c->n_waiting > 0 &&
        c->waiting[c->n_waiting - 1].token == c->s->n - 1)
        look_up_waiting(c); /* what the word before is matters */
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
    uint8_t gap = gaps[__builtin_ctz(seen)];
    return gap == GAP_HYPHEN && (seen & SAW_BLANK) != 0 ? GAP_OTHER : gap;
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

/* The last word counts: which of them it will be is hard to guess. */
static inline uint8_t shape_of(size_t letters, size_t upper, bool begins_upper)
{
    bool title = (upper == 1) & begins_upper;
    uint8_t shape = title ? SHAPE_TITLE : SHAPE_MIXED;
    shape = upper == letters ? SHAPE_UPPER : shape;
    shape = upper == 0 ? SHAPE_LOWER : shape;
    return letters == 1 ? SHAPE_SINGLE : shape;
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

/* What is known of the first three letters of a word, of the first four ..., of all but the last; and of all but the
 * first. */
enum { HEAD_MIN = 3, TAIL_MIN = 3, MADE_MIN = 8 };
struct parts {
    uint16_t heads[WORD_MAX], tail;
};

static unsigned head_info(const struct parts *parts, size_t n)
{
    return parts->heads[n - HEAD_MIN];
}

static void look_up_parts(const struct words *w, const char *p, size_t n, struct parts *out)
{
    uint64_t hashes[WORD_MAX] = {text_hash(p + 1, n - 1)}, hash = text_hash(p, HEAD_MIN - 1);
    uint16_t infos[WORD_MAX];
    size_t count = 1;
    for (size_t k = HEAD_MIN; k < n; k++) {
        hash = text_hash_on(hash, p + k - 1, 1);
        hashes[count++] = hash;
    }
    word_infos(&w->table, hashes, count, infos);
    out->tail = infos[0];
    memcpy(out->heads, infos + 1, (count - 1) * sizeof *infos);
}

/* Made of a name: jsmith and smithj are TOKEN_LOGIN, janesmith and smithjane TOKEN_JOINED. */
static uint16_t made_of_name(const struct words *w, const char *p, size_t n,
                             const struct parts *parts)
{
    if (n < 5 || n >= WORD_MAX)
        return 0;
    for (size_t k = HEAD_MIN; n >= MADE_MIN && k + TAIL_MIN <= n; k++) {
        unsigned a = head_info(parts, k);
        bool first = info_first(a) >= 4 && info_word(a) < 2 && n - k >= 4;
        bool last = k >= 4 && is_surname(a);
        if (!first && !last)
            continue;
        unsigned b = info_of(w, p + k, n - k);
        if ((first && is_surname(b)) || (last && info_first(b) >= 4 && info_word(b) < 2))
            return TOKEN_JOINED;
    }
    return is_surname(parts->tail) || (n >= 6 && is_surname(head_info(parts, n - 1))) ? TOKEN_LOGIN
                                                                                      : 0;
}

/* A word that is in no list, but what is left of it is: paperless, rerun, abreviaturas, changepoint. */
static bool is_derived(const struct words *w, const char *p, size_t n, const struct parts *parts,
                       bool *spanish)
{
    static const strv endings[] = {STRV("s"),    STRV("es"), STRV("ed"),   STRV("ing"),
                                   STRV("er"),   STRV("ly"), STRV("less"), STRV("ness"),
                                   STRV("able"), STRV("as"), STRV("os")};
    static const strv beginnings[] = {STRV("un"),   STRV("re"),   STRV("de"),   STRV("non"),
                                      STRV("pre"),  STRV("dis"),  STRV("mis"),  STRV("sub"),
                                      STRV("auto"), STRV("over"), STRV("multi")};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t m = endings[i].len;
        if (n < m + 4 || memcmp(p + n - m, endings[i].ptr, m) != 0)
            continue;
        unsigned info = head_info(parts, n - m);
        *spanish = info_spanish(info);
        if (info_word(info) >= 2 || *spanish)
            return true;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        size_t m = beginnings[i].len;
        if (n >= m + 4 && memcmp(p, beginnings[i].ptr, m) == 0 &&
            info_word(info_of(w, p + m, n - m)) >= 2)
            return true;
    }
    for (size_t k = 4; k + 4 <= n; k++)
        if (info_word(head_info(parts, k)) == 3 && info_word(info_of(w, p + k, n - k)) == 3)
            return true;
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
        struct parts parts;
        look_up_parts(w, letters, bare, &parts);
        t->flags |= made_of_name(w, letters, bare, &parts);
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

/* Of a word of which the table has been asked. */
static void look_up_letters(const struct cutter *c, struct token *t, const char *letters, size_t n)
{
    const struct words *w = c->w;
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
    struct parts parts;
    bool spanish = false;
    if (n >= 5) {
        look_up_parts(w, letters, n, &parts);
        t->flags |= made_of_name(w, letters, n, &parts);
    }
    if (t->flags & TOKEN_JOINED)
        return;
    if (n >= 5 && is_derived(w, letters, n, &parts, &spanish))
        t->info |= (uint16_t)(spanish ? 1 << 9 : 1 << 6);
    else
        look_up_near(w, t, letters, n);
}

/* Initials may be somebody's of the roster, whatever word they are. */
static inline bool may_be_usual(const struct cutter *c, const struct token *t)
{
    return c->w->roster == NULL || t->letters > 3 || t->shape != SHAPE_UPPER;
}

static inline struct usual_word *usual_at(const struct cutter *c, const struct letters *l)
{
    uint64_t mix = (l->first ^ l->second * 0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u;
    return c->s->usual[mix >> (64 - USUAL_BITS)];
}

static inline bool is_other(const struct usual_word *u, const struct letters *l)
{
    return ((u->first ^ l->first) | (u->second ^ l->second)) != 0;
}

/* True: it is one, and the token knows what there is to know. */
static inline bool find_usual(const struct cutter *c, struct token *t, const struct letters *l)
{
    const struct usual_word *u = usual_at(c, l);
    u += is_other(u, l);
    if (is_other(u, l) || l->n > USUAL_LETTERS || !may_be_usual(c, t))
        return false;
    t->hash = u->hash;
    t->info = u->info;
    return true;
}

static void look_up(const struct cutter *c, struct token *t, const char *letters,
                    const struct letters *l)
{
    look_up_letters(c, t, letters, l->n);
    bool known = info_word(t->info) >= 2 || info_class(t->info) != CLASS_NONE;
    if (!known || t->flags != 0 || l->n > USUAL_LETTERS || !may_be_usual(c, t))
        return;
    struct usual_word *u = usual_at(c, l);
    u[1] = u[0];
    u[0] = (struct usual_word){l->first, l->second, t->hash, t->info};
}

static void look_up_waiting(struct cutter *c)
{
    uint64_t hashes[WAITING];
    uint16_t infos[WAITING];
    if (c->n_waiting == 0)
        return;
    for (size_t i = 0; i < c->n_waiting; i++)
        hashes[i] = c->s->tokens[c->waiting[i].token].hash;
    word_infos(&c->w->table, hashes, c->n_waiting, infos);
    for (size_t i = 0; i < c->n_waiting; i++) {
        struct token *t = &c->s->tokens[c->waiting[i].token];
        t->info = infos[i];
        look_up(c, t, c->v->folded + t->start, &c->waiting[i].letters);
    }
    c->n_waiting = 0;
}

/* The table takes its time: it is asked about several words at once. */
static void wait_for(struct cutter *c, const struct token *t, const struct letters *l)
{
    word_expect(&c->w->table, t->hash);
    c->waiting[c->n_waiting].token = (size_t)(t - c->s->tokens);
    c->waiting[c->n_waiting++].letters = *l;
    if (c->n_waiting == WAITING)
        look_up_waiting(c);
}

/* The same for one that has to be measured first. */
static void look_up_odd(struct cutter *c, struct token *t, bool digits)
{
    char letters[WORD_MAX] = {0};
    size_t n = measure(c->v, t, letters, sizeof letters);
    c->singles += t->shape == SHAPE_SINGLE;
    struct letters l = {.n = n, .first = eight_at(letters), .second = eight_at(letters + 8)};
    if (digits)
        look_up_digits(c->w, t, letters, n);
    else if (n == 0 || !find_usual(c, t, &l)) {
        t->info = (uint16_t)word_info(&c->w->table, t->hash);
        look_up(c, t, letters, &l);
    }
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

/* Those of them that stand before the first other byte; they count. */
static inline uint64_t add_letters(struct letters *l, const char *f, const char *p)
{
    uint64_t small = eight_at(f), capital = eight_at(p) ^ small;
    uint64_t others = ~eight_between(small, 'a', 'z') & EIGHT_HIGHEST;
    uint64_t mask = ((others & (0 - others)) >> 7) - 1; /* all, if there is no other */
    l->upper += ((capital & mask) >> 5 & EIGHT_ONES) * EIGHT_ONES >> 56;
    l->n += others != 0 ? eight_first(others) : 8;
    return small & mask;
}

/* The run of letters of ASCII. */
static inline struct letters letters_at(const struct text_view *v, size_t start)
{
    const char *f = v->folded + start, *p = v->plain + start;
    struct letters out = {0, 0, 0, 0};
    if (start + 16 <= v->n) {
        out.first = add_letters(&out, f, p);
        if (out.n < 8)
            return out;
        out.second = add_letters(&out, f + 8, p + 8);
        if (out.n < 16)
            return out;
    }
    for (; kind_of((unsigned char)f[out.n]) == KIND_LETTER; out.n++) {
        uint64_t letter = (unsigned char)f[out.n];
        out.upper += f[out.n] != p[out.n];
        out.first |= out.n < 8 ? letter << 8 * out.n : 0;
        out.second |= out.n >= 8 && out.n < 16 ? letter << 8 * (out.n - 8) : 0;
    }
    return out;
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

static inline uint64_t hash_of(const char *letters, const struct letters *l)
{
    uint64_t hash = hash_on(TEXT_HASH_BEGIN, l->first, l->n);
    if (l->n <= 8)
        return hash;
    hash = hash_on(hash, l->second, l->n - 8);
    return l->n <= 16 ? hash : text_hash_on(hash, letters + 16, l->n - 16);
}

/* Memory is asked for what is known of the next word while this one is looked at. */
static inline void look_ahead(struct cutter *c, size_t next)
{
    if (next >= c->v->n)
        return;
    c->next = next;
    c->ahead = letters_at(c->v, next);
    __builtin_prefetch(usual_at(c, &c->ahead));
}

/* Most words: letters of ASCII in one case or with a capital, and nothing odd behind them. False: not such a one. */
static inline bool cut_plain(struct cutter *c, size_t start, size_t *end)
{
    const char *f = c->v->folded;
    struct letters l = start == c->next ? c->ahead : letters_at(c->v, start);
    size_t i = start + l.n;
    bool capital = f[start] != c->v->plain[start];
    if ((kind_of((unsigned char)f[i]) != KIND_OTHER) | (f[i] == '\'') | (l.n >= WORD_MAX) |
        ((l.upper > capital) & (l.upper < l.n)))
        return false;
    look_ahead(c, i + 1);
    struct token *t = token_add(c, start, i);
    *end = i;
    if (t == NULL)
        return true;
    t->letters = (uint8_t)l.n;
    t->shape = shape_of(l.n, l.upper, capital);
    c->singles += l.n == 1;
    if (!find_usual(c, t, &l)) {
        t->hash = hash_of(f + start, &l);
        wait_for(c, t, &l);
    }
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
    for (size_t i = 0; c->singles >= 4 && i + 3 < s->n; i++) {
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
        w->flags |= titled & (near >> w->gap & 1) ? TOKEN_HONOR : 0;
        titled = (class == CLASS_HONOR) & !(w->flags & TOKEN_POSSESSIVE);
        s->pronoun |= class == CLASS_PRON3;
        s->foreign |=
            ((class == CLASS_FOREIGN) & (info_word(w->info) < 2)) | (w->shape == SHAPE_OTHER);
        shapes[w->shape]++;
        long_lower += (w->shape == SHAPE_LOWER) & (w->letters >= 3);
        if (info_begins_phrase(w->info))
            mark_phrases(s, table, i);
    }
    s->regime = regime_of(shapes, long_lower);
}

bool tokens_make(struct words_scratch *s, const struct words *w, const struct privacy_piece *t)
{
    struct cutter c = {.s = s, .w = w, .v = t->view, .next = SIZE_MAX};
    const char *f = c.v->folded;
    if (s->serial != w->serial)
        memset(s->usual, 0, sizeof s->usual);
    s->serial = w->serial;
    s->kinds = &w->kinds;
    s->n = 0;
    s->pronoun = s->foreign = false;
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
    look_up_waiting(&c);
    join_spaced(&c);
    mark_context(s, &w->table);
    mark_values(s, t);
    tokens_categorise(s);
    return true;
}
