/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features - words and signs of a prompt, hashed.
 *
 * One walk cuts the text into words of two kinds, asked and pasted; then each family looks at the words. Case
 * is folded for ASCII only, digits become 0 where a word mixes them with letters ("pgy2" and "pgy3" are one),
 * an apostrophe inside a word is dropped ("what's" is "whats"). All hashes are 64 bits and cut at the end.
 */
#include <assert.h>
#include <string.h>

#include "policy/features.h"

#define WORDS_HEAD      64 /* words asked that are looked at: the first ... */
#define WORDS_TAIL      32 /* ... and the last */
#define PIECES_WORDS    40 /* words that are cut into pieces */
#define PASTED_MAX      32
#define WORD_LENGTH_MAX 24
#define COURTESY        1u /* the first cue of the table */
#define BEGINS_PHRASE   (UINT64_C(1) << 63)
#define STEMS           3 /* letters of an ending */

static_assert(FEATURES_BITS <= 16, "a feature's number has 16 bits");

enum { /* what a feature is about; part of its hash */
       F_WORD = 1,
       F_PAIR,
       F_PIECE3,
       F_PIECE4,
       F_FIRST,
       F_FIRST2,
       F_FIRST3,
       F_LAST,
       F_SHAPE,
       F_LENGTH,
       F_CUE,
       F_CUE_FIRST,
       F_CUE_SECOND,
       F_CUE_LAST,
       F_CUE_PAIR,
       F_CUE_NEXT,
       F_CUE_TOOLS,
       F_CUE_SHORT,
       F_COUNT,
       F_PASTED,
       F_PASTED_SHAPE,
       F_FIRST_TOOLS,
};

enum {
    SHAPE_QUESTION = 1 << 0,
    SHAPE_FENCE = 1 << 1,
    SHAPE_TRACE = 1 << 2,
    SHAPE_TABLE = 1 << 3,
    SHAPE_PASTED = 1 << 4,
    SHAPE_CODE = 1 << 5,       /* f(x), a==b, {};, a.b() */
    SHAPE_ROLE = 1 << 6,       /* RES-020, PGY2-A: capitals, dash, digits */
    SHAPE_SNAKE = 1 << 7,      /* swap_id */
    SHAPE_CAMEL = 1 << 8,      /* formatShift */
    SHAPE_PATH = 1 << 9,       /* /assignments/{id}, a/b/c */
    SHAPE_FILE = 1 << 10,      /* nginx.conf */
    SHAPE_NUMBER = 1 << 11,    /* a number stands alone */
    SHAPE_NUMBERS = 1 << 12,   /* three or more of them */
    SHAPE_OPERATOR = 1 << 13,  /* 3 + 4, 5 x 8, = ? */
    SHAPE_COLON = 1 << 14,     /* a colon, and something follows */
    SHAPE_QUOTED = 1 << 15,    /* "..." or '...' */
    SHAPE_LIST = 1 << 16,      /* three or more commas or semicolons */
    SHAPE_SENTENCES = 1 << 17, /* more than one */
    SHAPE_TOOLS = 1 << 18,
    SHAPE_PERCENT = 1 << 19,
    SHAPE_DATE = 1 << 20, /* 5/5, 2025-11-09 */
    SHAPE_MONEY = 1 << 21,
    SHAPE_NO_CUE = 1 << 22,
    SHAPE_BIT_MAX = 23
};

struct word {
    uint64_t hash;
    uint64_t cues;         /* of the word itself or the phrase that begins with it */
    uint64_t stems[STEMS]; /* hashes without the last one, two, three letters */
    char text[WORD_LENGTH_MAX];
    uint8_t n;
};

struct reader {
    const struct features_cues *cues;
    struct features *out;
    struct word words[WORDS_HEAD + WORDS_TAIL], pasted[PASTED_MAX];
    strv tail[WORDS_TAIL]; /* a ring */
    size_t n, n_tail, n_pasted, n_numbers, n_commas, n_ends;
    uint32_t shapes;
    bool has_tools;
};

/* ---- hashing ---- */

static uint64_t mix(uint64_t h)
{
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint16_t number_of(unsigned kind, uint64_t hash)
{
    return (uint16_t)(mix(hash + kind * 0xd1b54a32d192ed03u) >> (64 - FEATURES_BITS));
}

static void emit(struct features *f, enum features_family family, unsigned kind, uint64_t hash)
{
    if (f->n[family] < FEATURES_MAX)
        f->at[family][f->n[family]++] = number_of(kind, hash);
}

static uint64_t join(uint64_t a,
                     uint64_t b) /* as text_hash() of both with a blank between is not needed */
{
    return mix(a) + b;
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static uint64_t cue_of(const struct features_cues *cues, uint64_t hash)
{
    if (cues->hashes == NULL || hash == 0)
        return 0;
    for (uint32_t i = (uint32_t)hash & cues->mask, k = 0; k <= cues->mask;
         i = (i + 1) & cues->mask, k++) {
        uint64_t h = load64(cues->hashes + (size_t)i * 8);
        if (h == hash)
            return load64(cues->masks + (size_t)i * 8);
        if (h == 0)
            return 0;
    }
    return 0;
}

static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

#define HASH_START 0xcbf29ce484222325u

/* The word, and without its ending if only that is known: "drafts", "drafted", "drafting", "copies". */
static uint64_t cue_of_word(const struct features_cues *cues, const struct word *w)
{
    static const struct {
        char ending[4], instead;
        uint8_t n;
    } endings[] = {{"ies", 'y', 3}, {"es", 0, 2},   {"s", 0, 1},  {"ing", 0, 3}, {"ing", 'e', 3},
                   {"ed", 0, 2},    {"ed", 'e', 2}, {"ly", 0, 2}, {"er", 0, 2}};
    uint64_t found = cue_of(cues, w->hash);
    if ((found & ~BEGINS_PHRASE) != 0 || w->n < 4 || strchr("sgdyr", w->text[w->n - 1]) == NULL)
        return found;
    for (size_t i = 0; (found & ~BEGINS_PHRASE) == 0 && i < sizeof endings / sizeof *endings; i++) {
        size_t k = endings[i].n;
        if (w->n < k + 3 || w->text[w->n - 1] != endings[i].ending[k - 1] ||
            memcmp(w->text + w->n - k, endings[i].ending, k) != 0)
            continue;
        uint64_t h = w->stems[k - 1];
        if (endings[i].instead != 0)
            h = hash_bytes(h, &endings[i].instead, 1);
        found |= cue_of(cues, h) & ~BEGINS_PHRASE;
    }
    return found;
}

/* ---- words ---- */

/* What each ASCII character is: a letter small or large, a digit, _ (a letter, too), a bracket or sign of code, a
 * bar of a table, or nothing of that. All others are letters. */
static const char char_kinds[128 + 1] = ".........|......................"
                                        "...(....((......0000000000.((((."
                                        ".AAAAAAAAAAAAAAAAAAAAAAAAAA(((._"
                                        ".aaaaaaaaaaaaaaaaaaaaaaaaaa(|(..";

static char kind_of(char c)
{
    return (unsigned char)c < 0x80 ? char_kinds[(unsigned char)c] : 'a';
}

static bool is_letter(char c)
{
    char kind = kind_of(c);
    return kind == 'a' || kind == 'A' || kind == '_';
}

static bool is_digit(char c)
{
    return (unsigned)c - '0' < 10u;
}

static bool is_upper(char c)
{
    return (unsigned)c - 'A' < 26u;
}

/* Where the word that begins at `i` ends; its shapes. */
static size_t word_end(struct reader *r, strv line, size_t i)
{
    size_t from = i, digits = 0, upper = 0, lower_upper = 0, under = 0;
    char before = '.';
    for (; i < line.len; i++) {
        char kind = kind_of(line.ptr[i]);
        if (kind == 'A') {
            upper++;
            lower_upper += before == 'a';
        } else if (kind == '0') {
            digits++;
        } else if (kind == '_') {
            under++;
        } else if (kind != 'a' &&
                   (line.ptr[i] != '\'' || i + 1 == line.len || !is_letter(line.ptr[i + 1]))) {
            break;
        }
        before = kind;
    }
    size_t n = i - from;
    if (digits == n) {
        r->n_numbers++;
        r->shapes |= SHAPE_NUMBER;
        if (i < line.len && line.ptr[i] == '%')
            r->shapes |= SHAPE_PERCENT;
    }
    if (upper >= 2 && upper + digits == n && i + 1 < line.len && line.ptr[i] == '-' &&
        (is_upper(line.ptr[i + 1]) || is_digit(line.ptr[i + 1])))
        r->shapes |= SHAPE_ROLE;
    if (under > 0 && n > under)
        r->shapes |= SHAPE_SNAKE;
    if (lower_upper > 0 && n > 4)
        r->shapes |= SHAPE_CAMEL;
    return i;
}

static void word_make(struct word *w, strv text)
{
    bool letters = false;
    for (size_t i = 0; i < text.len && !letters; i++)
        letters = is_letter(text.ptr[i]);
    w->n = 0;
    for (size_t i = 0; i < text.len && w->n < WORD_LENGTH_MAX; i++) {
        char c = text.ptr[i];
        if (c != '\'')
            w->text[w->n++] = (char)(is_upper(c) ? c | 0x20 : is_digit(c) && letters ? '0' : c);
    }
    if (!letters) { /* numbers are alike but for their length */
        w->n = (uint8_t)(w->n > 5 ? 5 : w->n);
        memset(w->text, '#', w->n);
    }
    w->hash = hash_bytes(HASH_START, w->text, w->n > STEMS ? w->n - STEMS : 0);
    for (size_t i = w->n > STEMS ? w->n - STEMS : 0; i < w->n; i++) {
        if (w->n - i <= STEMS)
            w->stems[w->n - i - 1] = w->hash;
        w->hash = hash_bytes(w->hash, &w->text[i], 1);
    }
    w->cues = 0;
}

static void take_word(struct reader *r, strv text, bool pasted)
{
    if (pasted) {
        if (r->n_pasted < PASTED_MAX)
            word_make(&r->pasted[r->n_pasted++], text);
        return;
    }
    r->out->n_words++;
    if (r->n < WORDS_HEAD)
        word_make(&r->words[r->n++], text);
    else /* the end says more than the middle */
        r->tail[r->n_tail++ % WORDS_TAIL] = text;
}

static void take_tail(struct reader *r)
{
    size_t from = r->n_tail > WORDS_TAIL ? r->n_tail - WORDS_TAIL : 0;
    for (size_t i = from; i < r->n_tail; i++)
        word_make(&r->words[r->n++], r->tail[i % WORDS_TAIL]);
}

/* Signs between words. */
static void take_sign(struct reader *r, strv line, size_t i)
{
    char c = line.ptr[i], next = i + 1 < line.len ? line.ptr[i + 1] : '\0';
    char before = i > 0 ? line.ptr[i - 1] : '\0';
    bool word_before = is_letter(before) || is_digit(before);
    switch (c) {
    case '?':
        r->shapes |= SHAPE_QUESTION;
        break;
    case ',':
    case ';':
        r->n_commas++;
        if (c == ';' && (next == '\0' || next == '}'))
            r->shapes |= SHAPE_CODE;
        break;
    case '.':
    case '!':
        if (next == ' ')
            r->n_ends++;
        else if (c == '.' && word_before && is_letter(next))
            r->shapes |= SHAPE_FILE;
        break;
    case ':':
        if (i + 2 < line.len)
            r->shapes |= SHAPE_COLON;
        break;
    case '(':
        if (is_letter(before))
            r->shapes |= SHAPE_CODE;
        break;
    case '{':
    case '}':
    case '[':
    case '<':
    case '>':
        if (c != '>' || next != ' ')
            r->shapes |= SHAPE_CODE;
        break;
    case '=':
        r->shapes |= next == '=' || word_before ? SHAPE_CODE : SHAPE_OPERATOR;
        break;
    case '+':
    case '*':
        r->shapes |= SHAPE_OPERATOR;
        break;
    case '/':
        if (is_digit(before) && is_digit(next))
            r->shapes |= SHAPE_DATE;
        else if (!word_before && is_letter(next))
            r->shapes |= SHAPE_PATH;
        break;
    case '-':
        if (before == '-')
            r->shapes |= SHAPE_CODE;
        else if (is_digit(before) && is_digit(next))
            r->shapes |= SHAPE_DATE;
        break;
    case '$':
        r->shapes |= SHAPE_MONEY;
        break;
    case '"':
    case '`':
        r->shapes |= SHAPE_QUOTED;
        break;
    default:
        break;
    }
}

static void take_line(struct reader *r, strv line, bool pasted)
{
    for (size_t i = 0; i < line.len;) {
        char c = line.ptr[i];
        if (is_letter(c) || is_digit(c)) {
            size_t end = word_end(r, line, i);
            take_word(r, (strv){line.ptr + i, end - i}, pasted);
            i = end;
        } else {
            take_sign(r, line, i++);
        }
    }
}

/* ---- what is pasted ---- */

static bool is_trace(strv line)
{
    static const char *const begins[] = {
        "Traceback (most", "File \"", "at ", "Caused by:", "panic:", "==", "#0 ", "#1 "};
    strv t = strv_trim(line);
    if (t.len == 0 || strchr("TFaCp=#", t.ptr[0]) == NULL)
        return false;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strv_starts(t, strv_of(begins[i])) && (i != 2 || line.ptr[0] == ' '))
            return true;
    return false;
}

/* Is this line something that was copied from elsewhere? Never the first line of a prompt. */
static bool is_pasted(struct reader *r, strv line)
{
    size_t signs = 0, bars = 0;
    for (size_t i = 0; i < line.len; i++) {
        char kind = kind_of(line.ptr[i]);
        signs += kind == '(';
        bars += kind == '|';
    }
    if (is_trace(line)) {
        r->shapes |= SHAPE_TRACE;
        return true;
    }
    if (bars >= 2) {
        r->shapes |= SHAPE_TABLE;
        return true;
    }
    if (signs >= 3 && signs * 12 > line.len) {
        r->shapes |= SHAPE_CODE;
        return true;
    }
    return line.len > 0 &&
           (line.ptr[0] == '>' || line.ptr[0] == '\t' || strv_starts(line, STRV("    ")));
}

static void take_text(struct reader *r, strv text)
{
    strv line;
    bool fence = false, first = true;
    while (strv_cut(&text, '\n', &line)) {
        bool pasted = false;
        if (strv_starts(strv_trim(line), STRV("```"))) {
            fence = !fence;
            r->shapes |= SHAPE_FENCE;
            continue;
        }
        if (!first)
            pasted = fence || is_pasted(r, line);
        if (pasted)
            r->shapes |= SHAPE_PASTED;
        take_line(r, line, pasted);
        first = first && strv_trim(line).len == 0;
    }
}

/* ---- courtesy ---- */

/* Words before the request itself: "could you please", "hi, I need you to". */
static bool is_polite(strv w)
{
    static const char *const words[] = {
        "please",  "pls",  "plz",  "can",  "could", "would", "you", "kindly", "hi",   "hey",
        "hello",   "i",    "need", "want", "id",    "like",  "to",  "me",     "just", "now",
        "ok",      "okay", "so",   "well", "lets",  "let",   "us",  "we",     "help", "quick",
        "quickly", "a",    "an",   "the",  "some",  "for",   "my",  "our"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i][0] == w.ptr[0] && strv_eq_cstr(w, words[i]))
            return true;
    return false;
}

/* Where the request begins; 0 if all of it would be courtesy. */
static size_t skip_polite(const struct reader *r)
{
    size_t i = 0;
    while (i < r->n && i < 6 && is_polite((strv){r->words[i].text, r->words[i].n}))
        i++;
    return i < r->n ? i : 0;
}

/* ---- families ---- */

static void find_cues(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct word *w = &r->words[i];
        w->cues |= cue_of_word(r->cues, w);
        uint64_t h = w->hash;
        bool phrases = (w->cues & BEGINS_PHRASE) != 0;
        w->cues &= ~BEGINS_PHRASE;
        for (size_t k = 1; phrases && k < 3 && i + k < r->n; k++) {
            const struct word *next = &r->words[i + k];
            h = hash_bytes((h ^ ' ') * 0x100000001b3u, next->text, next->n);
            uint64_t phrase = cue_of(r->cues, h) & ~BEGINS_PHRASE;
            w->cues |= phrase;
            for (size_t j = i + 1; j <= i + k; j++) /* "so much": each word is courtesy here */
                r->words[j].cues |= phrase & COURTESY;
        }
    }
}

static void emit_pieces(struct features *f, const struct word *w)
{
    char padded[WORD_LENGTH_MAX + 2];
    size_t n = w->n + 2u;
    padded[0] = '^';
    memcpy(padded + 1, w->text, w->n);
    padded[n - 1] = '$';
    uint16_t *at = f->at[FEATURES_LETTERS];
    size_t k = f->n[FEATURES_LETTERS];
    for (size_t i = 0; i + 3 <= n && k < FEATURES_MAX; i++) {
        uint32_t v = 0;
        memcpy(&v, padded + i, 3);
        at[k++] = number_of(F_PIECE3, v);
        if (i + 4 <= n && k < FEATURES_MAX) {
            memcpy(&v, padded + i, 4);
            at[k++] = number_of(F_PIECE4, v);
        }
    }
    f->n[FEATURES_LETTERS] = k;
}

static void emit_letters(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct word *w = &r->words[i];
        emit(r->out, FEATURES_LETTERS, F_WORD, w->hash);
        if (i + 1 < r->n)
            emit(r->out, FEATURES_LETTERS, F_PAIR, join(w->hash, r->words[i + 1].hash));
        if (i < PIECES_WORDS && w->n > 2)
            emit_pieces(r->out, w);
    }
    for (size_t i = 0; i < r->n_pasted; i++)
        emit(r->out, FEATURES_LETTERS, F_PASTED, r->pasted[i].hash);
}

static void emit_fact(struct reader *r, unsigned kind, uint64_t what)
{
    emit(r->out, FEATURES_FACTS, kind, what);
}

static unsigned lowest(uint64_t bits) /* bits != 0 */
{
    unsigned i = 0;
    while ((bits >> i & 1) == 0)
        i++;
    return i;
}

static void emit_mask(struct reader *r, unsigned kind, uint64_t cues, uint64_t salt)
{
    for (; cues != 0; cues &= cues - 1)
        emit_fact(r, kind, lowest(cues) + salt * 64);
}

static size_t length_class(size_t words)
{
    static const uint8_t limits[] = {1, 2, 3, 4, 6, 8, 11, 15, 20, 30, 50, 100};
    size_t i = 0;
    while (i < sizeof limits && words > limits[i])
        i++;
    return i;
}

static void emit_first(struct reader *r, size_t at)
{
    uint64_t h = r->words[at].hash;
    emit_fact(r, F_FIRST, h);
    emit_fact(r, F_FIRST_TOOLS, h + r->has_tools);
    emit_fact(r, F_LAST, r->words[r->n - 1].hash);
    for (size_t k = 1; k < 3 && at + k < r->n; k++) {
        h = join(h, r->words[at + k].hash);
        emit_fact(r, k == 1 ? F_FIRST2 : F_FIRST3, h);
    }
}

static void emit_cues(struct reader *r, size_t at)
{
    uint64_t any = 0, first = r->words[at].cues, second = 0;
    size_t kinds = 0;
    for (size_t i = 0; i < r->n; i++)
        any |= r->words[i].cues;
    for (size_t i = at + 1; i < r->n && i <= at + 2; i++)
        second |= r->words[i].cues;
    emit_mask(r, F_CUE, any, 0);
    emit_mask(r, F_CUE_TOOLS, any, r->has_tools);
    emit_mask(r, F_CUE_SHORT, any, r->n <= 3 ? 0 : r->n <= 7 ? 1 : r->n <= 16 ? 2 : 3);
    emit_mask(r, F_CUE_FIRST, first, 0);
    emit_mask(r, F_CUE_FIRST, first, 1 + r->has_tools);
    emit_mask(r, F_CUE_FIRST, first, (r->shapes & SHAPE_QUESTION) != 0 ? 3 : 4);
    emit_mask(r, F_CUE_SECOND, second, 0);
    emit_mask(r, F_CUE_LAST, r->words[r->n - 1].cues, 0);
    for (uint64_t a = first; a != 0; a &= a - 1)
        emit_mask(r, F_CUE_PAIR, any & ~first, lowest(a));
    for (uint64_t a = any; a != 0; a &= a - 1)
        kinds++;
    emit_fact(r, F_COUNT, kinds > 7 ? 7 : kinds);
    if (any == 0)
        r->shapes |= SHAPE_NO_CUE;
}

static void emit_shapes(struct reader *r)
{
    size_t length = length_class(r->out->n_words);
    if (r->n_numbers >= 3)
        r->shapes |= SHAPE_NUMBERS;
    if (r->n_commas >= 3)
        r->shapes |= SHAPE_LIST;
    if (r->n_ends > 0)
        r->shapes |= SHAPE_SENTENCES;
    if (r->has_tools)
        r->shapes |= SHAPE_TOOLS;
    for (unsigned i = 0; i < SHAPE_BIT_MAX; i++) {
        if ((r->shapes >> i & 1) == 0)
            continue;
        emit_fact(r, F_SHAPE, i);
        emit_fact(r, F_SHAPE, i + 64 * (1 + (length > 3) + (length > 6)));
    }
    emit_fact(r, F_LENGTH, length);
    emit_fact(r, F_LENGTH, length + 64 * (1 + (uint64_t)r->has_tools));
    emit_fact(r, F_LENGTH, 256 + (r->n_commas > 7 ? 7 : r->n_commas));
}

/* ---- all of it ---- */

static bool only_courtesy(const struct reader *r)
{
    if (r->n == 0 || r->n > 5 || r->n_pasted > 0)
        return false;
    for (size_t i = 0; i < r->n; i++)
        if ((r->words[i].cues & COURTESY) == 0)
            return false;
    return true;
}

void features_read(const struct features_cues *cues, strv text, bool has_tools,
                   struct features *out)
{
    struct reader r;
    r.cues = cues;
    r.out = out;
    r.n = r.n_tail = r.n_pasted = r.n_numbers = r.n_commas = r.n_ends = 0;
    r.shapes = 0;
    r.has_tools = has_tools;
    memset(out->n, 0, sizeof out->n);
    out->n_words = 0;
    if (text.len > FEATURES_TEXT_MAX) {
        const size_t head = FEATURES_TEXT_MAX * 3 / 4, tail = FEATURES_TEXT_MAX - head;
        take_text(&r, (strv){text.ptr, head});
        take_text(&r, (strv){text.ptr + text.len - tail, tail});
    } else if (text.len > 0) {
        take_text(&r, text);
    }
    take_tail(&r);
    find_cues(&r);
    out->courtesy = only_courtesy(&r);
    emit_letters(&r);
    if (r.n > 0) {
        size_t at = skip_polite(&r);
        emit_first(&r, at);
        emit_cues(&r, at);
    }
    emit_shapes(&r);
}
