/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features - what the token model sees of a word: what it is, how it is written, where it stands.
 *
 * Always FEATURES numbers, each the hash of one observation. A word is seen as one of a few dozen categories, so that
 * what is learnt with one name holds for all; only neighbours and words of the dictionary are seen by their letters.
 * A change here needs new weights: tools/data/train_names.
 */
#include <assert.h>

#include "privacy/names.h"

/* What a word counts as beside another: its class, or one of these. */
enum {
    CAT_NUMBER = CLASSES,
    CAT_SINGLE,
    CAT_DIGITS,
    CAT_ROSTER,
    CAT_NAME,   /* a name and no word */
    CAT_RARE,   /* a rare name and no word */
    CAT_BOTH,   /* a usual name and a word */
    CAT_COMMON, /* a common word */
    CAT_WORD,   /* another word */
    CAT_SPANISH,
    CAT_PROPER, /* only capitalised in the dictionary */
    CAT_UNKNOWN,
    CAT_NONE, /* there is no word */
};

static unsigned most(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Of a word without a class. */
static uint8_t known_as(unsigned info)
{
    unsigned name = most(info_first(info), info_last(info)), word = info_word(info);
    if (word == 0 && name > 0)
        return name >= 3 ? CAT_NAME : info_spanish(info) ? CAT_SPANISH : CAT_RARE;
    if (word > 0 && name >= 4)
        return CAT_BOTH;
    if (word > 0)
        return word == 3 ? CAT_COMMON : CAT_WORD;
    if (info_spanish(info))
        return CAT_SPANISH;
    return info_proper(info) ? CAT_PROPER : CAT_UNKNOWN;
}

/* What a small word without any mark must be known as to be looked at: a usual name, if it has a class; also one of
 * which nothing is known, if it has none; and words of some classes never are. */
enum { MAY_CLASS = 1, MAY_NONE = 2 };

static uint8_t may_of(unsigned class)
{
    switch (class) {
    case CLASS_PRON3:
    case CLASS_AUX:
    case CLASS_CONJ:
    case CLASS_PREP:
    case CLASS_DET:
    case CLASS_FUNC:
    case CLASS_SPFUNC:
    case CLASS_HONOR:
    case CLASS_FOREIGN:
        return 0;
    case CLASS_NONE:
        return MAY_NONE;
    default:
        return MAY_CLASS;
    }
}

void word_kinds_make(struct word_kinds *k)
{
    for (unsigned info = 0; info < sizeof k->cats; info++)
        k->cats[info] = known_as(info);
    for (unsigned names = 0; names < sizeof k->names; names++) {
        unsigned first = info_first(names), last = info_last(names);
        bool none = info_word(names) == 0 || first >= 3 || last >= 4;
        k->names[names] =
            (uint8_t)((first > 2 || last > 4 ? MAY_CLASS : 0) | (none ? MAY_NONE : 0));
    }
    for (unsigned class = 0; class < sizeof k->classes; class ++)
        k->classes[class] = may_of(class);
}

/* Without branches: what the next word is nobody can guess. A number has no class. */
static inline uint8_t category(const struct word_kinds *k, const struct token *t)
{
    static const uint8_t by_shape[SHAPES] = {
        [SHAPE_NUMBER] = CAT_NUMBER, [SHAPE_SINGLE] = CAT_SINGLE, [SHAPE_DIGITS] = CAT_DIGITS};
    unsigned class = info_class(t->info), cat = k->cats[t->info % sizeof k->cats];
    cat = by_shape[t->shape] != 0 ? by_shape[t->shape] : cat;
    cat = class != CLASS_NONE ? class : cat;
    return (uint8_t)((t->flags & TOKEN_ROSTER) != 0 ? CAT_ROSTER : cat);
}

void tokens_categorise(struct words_scratch *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->tokens[i].cat = category(s->kinds, &s->tokens[i]);
}

static bool is_initials(const struct token *t)
{
    return t->shape == SHAPE_UPPER && t->letters <= 3 && info_class(t->info) == CLASS_NONE &&
           info_word(t->info) < 3;
}

static bool has_vowel(const char *p, size_t n)
{
    static const uint32_t vowels = 1 << 1 | 1 << 5 | 1 << 9 | 1 << 15 | 1 << 21 | 1 << 25;
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'a' && p[i] <= 'z' && (vowels >> (p[i] & 31) & 1) != 0)
            return true;
    return false;
}

/* The word, coarsely: what sort of name or word, and whether its capital letter means anything here. */
static unsigned group_of(const struct words_scratch *s, const struct token *t)
{
    unsigned class = info_class(t->info), sort;
    unsigned first = info_first(t->info), last = info_last(t->info), word = info_word(t->info);
    if (t->flags & TOKEN_ROSTER)
        sort = 0;
    else if (t->flags & TOKEN_PHRASE)
        sort = 1;
    else if (class == CLASS_EPONYM || class == CLASS_PUBLIC || class == CLASS_BRAND ||
             class == CLASS_PLACE)
        sort = 2 + (first >= 5);
    else if (class == CLASS_MONTH || class == CLASS_POSS || class == CLASS_STATE ||
             class == CLASS_AUX)
        sort = 4 + (first >= 5);
    else if (class != CLASS_NONE)
        sort = 6;
    else if (is_initials(t) && word < 3)
        sort = 24 + ((t + 1 < s->tokens + s->n && is_initials(t + 1)) ||
                     (t > s->tokens && is_initials(t - 1)));
    else if (t->shape == SHAPE_SINGLE)
        sort = 7;
    else if (t->shape == SHAPE_DIGITS)
        sort = t->flags & TOKEN_LOGIN ? 9 : 8;
    else if (t->flags & TOKEN_JOINED)
        sort = 26;
    else if (t->flags & TOKEN_LOGIN)
        sort = 10;
    else if ((t->flags & TOKEN_NEAR) && word > 0 && (first || last))
        sort = 27; /* a rare name, or a slip in a word */
    else if (word == 0 && first >= 3)
        sort = 11;
    else if (word == 0 && last >= 3)
        sort = 12;
    else if (word == 0 && (first >= 2 || last >= 2))
        sort = 13;
    else if (word == 0 && (first || last))
        sort = 14;
    else if (word == 0)
        sort = info_proper(t->info) ? 15 : info_spanish(t->info) ? 16 : 17;
    else if (first >= 5)
        sort = 18 + (word == 3);
    else if (last >= 5)
        sort = 20 + (word == 3);
    else
        sort = 22 + (word == 3);
    unsigned capital = s->regime != REGIME_NORMAL                                        ? 0
                       : t->shape == SHAPE_LOWER                                         ? 1
                       : t->gap == GAP_START || t->gap == GAP_STOP || t->gap == GAP_LINE ? 2
                                                                                         : 3;
    return sort * 4 + capital;
}

bool token_is_odd_candidate(const struct words_scratch *s, size_t i)
{
    const struct token *t = &s->tokens[i];
    const struct token *next = i + 1 < s->n ? t + 1 : NULL;
    unsigned class = info_class(t->info);
    if (t->shape == SHAPE_NUMBER || t->shape == SHAPE_OTHER)
        return (t->flags & TOKEN_ROSTER) != 0;
    if (t->flags & (TOKEN_ROSTER | TOKEN_ROSTER_WORD | TOKEN_LOGIN | TOKEN_JOINED | TOKEN_SPACED))
        return true;
    if ((t->flags & TOKEN_NEAR) && (info_first(t->info) > 0 || info_last(t->info) > 0))
        return true;
    bool ending = t->gap == GAP_DOT && t->shape == SHAPE_LOWER && t->letters <= 4;
    if (ending && info_first(t->info) < 3 && info_last(t->info) < 3)
        return false; /* file.py */
    if (t->shape == SHAPE_SINGLE)
        return (t->flags & TOKEN_HONOR) || (next != NULL && next->shape == SHAPE_SINGLE &&
                                            next->gap == GAP_DOT && t->gap != GAP_DOT);
    if (t->shape == SHAPE_DIGITS)
        return false;
    bool capital = s->regime == REGIME_NORMAL && t->shape != SHAPE_LOWER;
    bool opens = t->gap == GAP_START || t->gap == GAP_STOP || t->gap == GAP_LINE;
    bool marked = (t->flags & (TOKEN_LABEL | TOKEN_HONOR)) != 0;
    switch (may_of(class)) {
    case 0:
        return capital && (!opens || (next != NULL && (info_class(next->info) == CLASS_AUX ||
                                                       info_class(next->info) == CLASS_SAY)));
    case MAY_CLASS:
        return info_first(t->info) > 2 || info_last(t->info) > 4 || marked || (capital && !opens);
    default:
        break;
    }
    if (info_word(t->info) == 0)
        return t->letters >= 2;
    return info_first(t->info) >= 3 || info_last(t->info) >= 4 || marked || (capital && !opens);
}

/* ---- features ---- */

enum { REACH_TWICE = 7 }; /* words */

/* Where observations go: to the model's sum, or into an array for its training. */
struct sink {
    uint32_t *features;        /* NULL: not wanted */
    const struct model *model; /* NULL: not wanted */
    int sum;
    uint64_t n;
};

/* Everything between here and its two callers is put into one function each, where the observation's number is a
 * constant: that halves what it costs. */
#define INLINE static inline __attribute__((always_inline))

/* The n-th observation: its number and the value, mixed. */
INLINE void emit(struct sink *to, uint64_t value)
{
    uint64_t h = (value ^ value >> 32) + ++to->n * 0xd6e8feb86659fd93u;
    uint64_t feature = h * 0x9e3779b97f4a7c15u; /* its upper half */
    if (to->features != NULL)
        to->features[to->n - 1] = (uint32_t)(feature >> 32);
    else if (to->model != NULL)
        to->sum += to->model->weights[feature >> to->model->shift];
}

struct around {
    const struct token *self, *p1, *p2, *n1, *n2;
    unsigned group;
};

/* Rose rose early; be frank with Frank: one of them is somebody. */
static bool is_twice(const struct words_scratch *s, size_t i)
{
    const struct token *t = &s->tokens[i];
    size_t from = i > REACH_TWICE ? i - REACH_TWICE : 0;
    if (info_word(t->info) == 0 || (info_first(t->info) < 3 && info_last(t->info) < 4))
        return false;
    for (size_t k = from; k < s->n && k <= i + REACH_TWICE; k++)
        if (k != i && s->tokens[k].hash == t->hash)
            return true;
    return false;
}

static const struct token nobody = {.cat = CAT_NONE, .gap = GAP_START};

static inline bool is_namelike(const struct token *t)
{
    static const uint64_t names = UINT64_C(1) << CAT_NAME | UINT64_C(1) << CAT_ROSTER |
                                  UINT64_C(1) << CAT_RARE | UINT64_C(1) << CAT_UNKNOWN;
    return ((names >> t->cat & 1) | ((t->cat == CAT_BOTH) & (t->shape == SHAPE_TITLE))) != 0;
}

INLINE void emit_self(struct sink *to, const struct words_scratch *s, const struct text_view *v,
                      const struct around *a)
{
    const struct token *t = a->self;
    unsigned names = t->info & 0xff; /* first, last, word */
    bool opens = t->gap == GAP_START || t->gap == GAP_STOP || t->gap == GAP_LINE;
    emit(to, 0);
    emit(to, (uint64_t)t->cat << 8 | (uint64_t)t->shape << 2 | s->regime);
    emit(to, names);
    emit(to, (uint64_t)names << 8 | (uint64_t)(t->shape != SHAPE_LOWER) << 2 | s->regime);
    emit(to, (uint64_t)(t->info >> 8));
    emit(to, (uint64_t)t->shape << 8 | (uint64_t)opens << 2 | s->regime);
    emit(to, a->group);
    emit(to, (uint64_t)a->group << 16 | t->flags);
    unsigned vowel = has_vowel(v->folded + t->start, t->end - t->start);
    emit(to, (uint64_t)a->group << 8 | (uint64_t)vowel << 7 | (t->letters < 12 ? t->letters : 12));
    bool dictionary = info_class(t->info) != CLASS_NONE || info_word(t->info) >= 2;
    emit(to, dictionary ? t->hash : 0);
}

INLINE void emit_letters(struct sink *to, const struct text_view *v, const struct around *a)
{
    const struct token *t = a->self;
    const char *p = v->folded + t->start;
    size_t n = t->end - t->start;
    unsigned sort = a->group / 4;
    emit(to, text_hash(p + (n > 2 ? n - 2 : 0), n > 2 ? 2 : n) ^ sort);
    emit(to, text_hash(p + (n > 3 ? n - 3 : 0), n > 3 ? 3 : n) ^ sort);
    emit(to, text_hash(p, n > 3 ? 3 : n) ^ sort);
}

INLINE void emit_neighbours(struct sink *to, const struct around *a)
{
    const struct token *p1 = a->p1, *p2 = a->p2, *n1 = a->n1, *n2 = a->n2;
    uint64_t before = (uint64_t)p1->cat << 8 | a->self->gap,
             after = (uint64_t)n1->cat << 8 | n1->gap;
    uint64_t group = a->group;
    emit(to, before);
    emit(to, after);
    emit(to, before << 16 | group);
    emit(to, after << 16 | group);
    emit(to, (uint64_t)p2->cat << 16 | group);
    emit(to, (uint64_t)n2->cat << 16 | group);
    emit(to, before << 40 | after << 16 | group);
    emit(to, before << 40 | (uint64_t)p2->cat << 16 | group / 4);
    emit(to, after << 40 | (uint64_t)n2->cat << 16 | group / 4);
    emit(to, p1->hash);
    emit(to, n1->hash);
    emit(to, p1->hash ^ group << 8);
    emit(to, n1->hash ^ group << 8);
    emit(to, p2->hash ^ p1->cat);
    emit(to, n2->hash ^ n1->cat);
}

INLINE void emit_place(struct sink *to, const struct words_scratch *s, const struct around *a,
                       size_t i)
{
    const struct token *t = a->self;
    unsigned count = s->n < 3 ? 0 : s->n < 6 ? 1 : s->n < 12 ? 2 : s->n < 40 ? 3 : 4;
    bool last = a->n1 == &nobody || a->n1->gap == GAP_LINE;
    bool line = t->gap == GAP_START || t->gap == GAP_LINE;
    bool listed = (is_namelike(a->p1) && t->gap != GAP_SPACE) ||
                  (is_namelike(a->n1) && a->n1->gap != GAP_SPACE) ||
                  (a->p1->cat == CLASS_CONJ && is_namelike(a->p2)) ||
                  (a->n1->cat == CLASS_CONJ && is_namelike(a->n2));
    bool pair = (is_namelike(a->p1) && t->gap == GAP_SPACE) ||
                (is_namelike(a->n1) && a->n1->gap == GAP_SPACE);
    emit(to, (uint64_t)a->group << 8 | count << 2 | (unsigned)last << 1 | (unsigned)line);
    emit(to, (uint64_t)a->group << 8 | (uint64_t)is_twice(s, i) << 5 | (uint64_t)s->pronoun << 4 |
                 count);
    emit(to, (uint64_t)a->group << 8 | (unsigned)listed << 1 | (unsigned)pair);
    emit(to, (uint64_t)((t->flags & TOKEN_POSSESSIVE) != 0) << 16 | (uint64_t)a->n1->cat << 8 | 1);
}

INLINE void observe(struct sink *to, const struct words_scratch *s, const struct text_view *v,
                    size_t i)
{
    const struct token *t = &s->tokens[i];
    struct around a = {.self = t, .p1 = &nobody, .p2 = &nobody, .n1 = &nobody, .n2 = &nobody};
    /* what stands before the beginning of a text, or behind its end, is none of its neighbours */
    if (i >= 1 && t->gap != GAP_START) {
        a.p1 = t - 1;
        a.p2 = i >= 2 && a.p1->gap != GAP_START ? t - 2 : a.p2;
    }
    if (i + 1 < s->n && t[1].gap != GAP_START) {
        a.n1 = t + 1;
        a.n2 = i + 2 < s->n && t[2].gap != GAP_START ? t + 2 : a.n2;
    }
    a.group = group_of(s, t);
    emit_self(to, s, v, &a);
    emit_letters(to, v, &a);
    emit_neighbours(to, &a);
    emit_place(to, s, &a, i);
}

void token_features(const struct words_scratch *s, const struct text_view *v, size_t i,
                    uint32_t features[FEATURES])
{
    struct sink to = {.features = features};
    observe(&to, s, v, i);
    assert(to.n == FEATURES);
}

int token_score(const struct model *m, const struct words_scratch *s, const struct text_view *v,
                size_t i)
{
    struct sink to = {.model = m};
    observe(&to, s, v, i);
    return to.sum;
}
