/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names - what words.h is made of; only words.c, model.c, roster.c and the tool that trains the model include it.
 */
#ifndef PRIVACY_NAMES_H
#define PRIVACY_NAMES_H

#include "privacy/words.h"

/* Classes of data/words.txt, in its order: what a word does beside a name. */
enum word_class {
    CLASS_NONE,
    CLASS_PRON3,
    CLASS_AUX,
    CLASS_HONOR,
    CLASS_ROLE,
    CLASS_REL,
    CLASS_CONTACT,
    CLASS_SCHED,
    CLASS_SAY,
    CLASS_STATE,
    CLASS_POSS,
    CLASS_EPNOUN,
    CLASS_MONTH,
    CLASS_WEEKDAY,
    CLASS_TIME,
    CLASS_CONJ,
    CLASS_PREP,
    CLASS_DET,
    CLASS_FUNC,
    CLASS_SPFUNC,
    CLASS_GREET,
    CLASS_IMPER,
    CLASS_NAMEKEY,
    CLASS_ORG,
    CLASS_MEDWORD,
    CLASS_TECHWORD,
    CLASS_PLACE,
    CLASS_EPONYM,
    CLASS_PUBLIC,
    CLASS_BRAND,
    CLASS_FOREIGN,
    CLASSES
};

/* What the table says of a word; 0 = it has never heard of it. */
static inline unsigned info_first(unsigned info) /* 0, or 1 (rare) to 7 */
{
    return info & 7;
}
static inline unsigned info_last(unsigned info)
{
    return info >> 3 & 7;
}
static inline unsigned info_word(unsigned info) /* 0, or 1 (rare) to 3 */
{
    return info >> 6 & 3;
}
static inline bool info_proper(unsigned info)
{
    return (info & 1 << 8) != 0;
}
static inline bool info_spanish(unsigned info)
{
    return (info & 1 << 9) != 0;
}
static inline unsigned info_class(unsigned info)
{
    return info >> 10 & 31;
}
static inline bool info_begins_phrase(unsigned info)
{
    return (info & 1 << 15) != 0;
}

/* ---- table.c ---- */

/* The section "words"; its form is in tools/data/make_names. */
struct word_table {
    const unsigned char *infos, *groups, *offsets, *phrases, *entries;
    uint32_t n_entries, n_phrases;
    uint8_t maybe[1 << 10]; /* a bit of the hash of each phrase: most words begin none */
};
bool word_table_open(struct word_table *t, strv section, struct err *err);
unsigned word_info(const struct word_table *t,
                   uint64_t hash); /* text_hash() of the bare folded word */
/* Memory is asked for where the word may be: word_infos() follows. */
void word_expect(const struct word_table *t, uint64_t hash);
/* The same for some at once, at most WORDS_AT_ONCE: memory is asked for all of them before any is looked at. */
void word_infos(const struct word_table *t, const uint64_t hashes[], size_t n, uint16_t infos[]);
bool word_is_phrase(const struct word_table *t, uint64_t hash);

/* ---- near.c ---- */

/* The section "near"; its form is in tools/data/make_names. */
struct near_filter {
    const unsigned char *blocks;
    uint32_t bits; /* 2^bits blocks */
};
bool near_open(struct near_filter *f, strv section, struct err *err);
/* Hashes of the common word and of the name that `n` folded letters are when one slip is undone; 0 = none. With `title`
 * those that have a capital are preferred. */
bool near_find(const struct near_filter *f, const struct word_table *table, const char *letters,
               size_t n, bool title, uint64_t *word, uint64_t *name);

enum token_shape {
    SHAPE_LOWER,
    SHAPE_TITLE,
    SHAPE_UPPER,
    SHAPE_MIXED,
    SHAPE_SINGLE, /* one letter */
    SHAPE_DIGITS, /* letters and digits */
    SHAPE_NUMBER,
    SHAPE_OTHER, /* letters of another script */
    SHAPES,
};
enum token_gap { /* what stands before it */
                 GAP_START,
                 GAP_SPACE,
                 GAP_LINE,
                 GAP_STOP, /* . ! ? and a blank */
                 GAP_COMMA,
                 GAP_COLON,
                 GAP_QUOTE,
                 GAP_BRACKET,
                 GAP_SLASH,
                 GAP_HYPHEN,
                 GAP_UNDERSCORE,
                 GAP_DOT, /* no blank behind it */
                 GAP_NONE,
                 GAP_OTHER,
};
enum token_flag {
    TOKEN_POSSESSIVE = 1 << 0,
    TOKEN_QUOTED = 1 << 1,
    TOKEN_PHRASE = 1 << 2, /* part of a phrase that is nobody's name */
    TOKEN_CODE = 1 << 3,   /* part of an identifier */
    TOKEN_ROSTER = 1 << 4,
    TOKEN_ROSTER_WORD = 1 << 5, /* of the roster, and a common word: a slot decides */
    TOKEN_LOGIN = 1 << 6,       /* made of a name: jsmith4, smithj */
    TOKEN_SPACED = 1 << 7,      /* was s p a c e d, or had digits for letters, and is a name */
    TOKEN_LABEL = 1 << 8,       /* value of a label or a column for names */
    TOKEN_HONOR = 1 << 9,       /* after Dr, Mrs, nurse ... */
    TOKEN_JOINED = 1 << 10,     /* first name and surname without a blank */
    TOKEN_NEAR = 1 << 11,       /* no word, but nearly one: what is known is known of that one */
};

struct token {
    uint64_t hash; /* of the letters alone, folded */
    uint32_t start, end;
    uint16_t info, flags;
    uint8_t shape, gap, cat, letters;
};

enum regime { REGIME_NORMAL, REGIME_LOWER, REGIME_UPPER, REGIME_TITLE };

/* Usual words that were looked up already, by their letters, up to fifteen: of a few hundred every text is made, and to
 * find one costs less than to hash its letters. Only such as the table knows and the roster does not: nothing that could
 * be about anybody is here. */
enum { USUAL_BITS = 11, USUAL_WAYS = 2, USUAL_LETTERS = 15 };
struct usual_word {
    uint64_t first, second; /* its letters, eight and eight, and zeros; first == 0: free */
    uint64_t hash;
    uint16_t info;
};

/* What follows from what the table says, for all that it may say (features.c). */
struct word_kinds {
    uint8_t cats[1 << 10]; /* by the lower bits of what is known of a word without a class */
    uint8_t names[1 << 8]; /* by first, last and word */
    uint8_t classes[CLASSES];
};
void word_kinds_make(struct word_kinds *k);

struct words_scratch {
    const struct word_kinds *kinds;
    uint64_t serial; /* of the words that `usual` were looked up in */
    struct usual_word usual[1 << USUAL_BITS][USUAL_WAYS]; /* the later one first */
    struct token *tokens;
    size_t n, cap;
    uint8_t regime;
    bool pronoun; /* he, her, ... somewhere */
    bool foreign; /* a word of another language, or letters of another script */
};

/* ---- roster.c ---- */

struct roster;
/* NULL with err (line and column where there is one). An empty path's file is an error, not an empty roster. */
struct roster *roster_open(const char *path, const struct word_table *words, struct err *err);
void roster_free(struct roster *r);
size_t roster_size(const struct roster *r);
/* TOKEN_ROSTER, TOKEN_ROSTER_WORD or 0 for a word of `n` folded letters; misspellings too unless the table knows it. */
unsigned roster_word(const struct roster *r, const char *letters, size_t n, unsigned info);
bool roster_number(const struct roster *r,
                   uint64_t hash); /* text_hash() of digits or letters and digits */
bool roster_initials(const struct roster *r, const char *upper, size_t n);

/* ---- model.c ---- */

#define FEATURES 32 /* of one token, always as many */
struct model {
    const signed char *weights;
    uint32_t shift; /* of a feature before it is cut to its upper half, to its weight's place */
    int threshold, threshold_roster, threshold_strict, scale;
};
bool model_open(struct model *m, strv section, struct err *err);

/* ---- names.c ---- */

struct words {
    uint64_t serial; /* no other of this process has it */
    struct text_data *data;
    struct word_table table;
    struct near_filter near;
    struct model model;
    struct word_kinds kinds;
    struct roster *roster; /* NULL: none */
};
/* Cuts the view into tokens and says what each one is. False: no memory. */
bool tokens_make(struct words_scratch *s, const struct words *w, const struct privacy_piece *t);
void tokens_categorise(struct words_scratch *s); /* the last step of tokens_make() */
bool token_is_odd_candidate(const struct words_scratch *s, size_t i);
/* Is the word worth a look of the model? Most words are small and have no mark: what the table says of them decides. */
static inline bool token_is_candidate(const struct words_scratch *s, size_t i)
{
    const struct token *t = &s->tokens[i];
    bool plain =
        (t->shape == SHAPE_LOWER) & (t->flags == 0) & (t->gap != GAP_DOT) & (t->letters >= 2);
    bool may = (s->kinds->names[t->info & 0xff] & s->kinds->classes[info_class(t->info)]) != 0;
    if (plain & !may)
        return false;
    return plain || token_is_odd_candidate(s, i);
}
void token_features(const struct words_scratch *s, const struct text_view *v, size_t i,
                    uint32_t features[FEATURES]);
/* The sum of the weights of its features. */
int token_score(const struct model *m, const struct words_scratch *s, const struct text_view *v,
                size_t i);

#endif
