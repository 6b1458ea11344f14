/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules - phrases, the operator's patterns, and what follows.
 *
 * Forms that no phrase can say (a number and its separators, a mail address) are checked by functions around the sign
 * that gives them away.
 *
 *   rules_scan     phrases, into the piece's hits (phrases.c); findings of patterns
 *   numbers_scan   numbers by their own form: tokens and groups of the piece, then checks (numbers.c)
 *   forms_scan     addresses, ages, streets ... around their signs (forms.c)
 *   labels_scan    numbers and dates by what is said about them (labels.c)
 *   slips_scan     the same once more where a label is typed wrongly (slips.c)
 *   structure_scan records and tables; runs before labels_scan, which reads its values (structure.c)
 *   house_scan     house rules; after the token pass (house.c)
 */
#ifndef PRIVACY_RULES_H
#define PRIVACY_RULES_H

#include "privacy/internal.h"
#include "privacy/validate.h"

enum rules_act { ACT_LABEL, ACT_FORM, ACT_MARK, ACT_WORD };
enum rules_form {
    FORM_EMAIL,
    FORM_EMAIL_WORDS,
    FORM_URL,
    FORM_PHOTO,
    FORM_CAMERA,
    FORM_AGE,
    FORM_AGE_WORDS,
    FORM_AGE_SEX,
    FORM_STREET,
    FORM_STREET_ES,
    FORM_BOX,
    FORM_HANDLE,
    FORM_LOGIN,
    FORM_HL7,
    FORM_FHIR,
    FORM_X12,
    FORM_ICAL,
    FORM_ROLE,
};
enum rules_phrase {
#define PHRASES(id, act, what, reach, phrases, doc) PHRASE_##id,
#include "privacy/phrases.def"
#undef PHRASES
    PHRASES
};
struct rules_row {
    uint8_t act, what, reach;
    const char *phrases;
};
extern const struct rules_row rules_rows[PHRASES];

/* NULL with err: no memory, or an own pattern that is none. */
struct rules *rules_new(const char *const *patterns, struct err *err);
void rules_free(struct rules *r);
/* Words of the view that are read as others, in order of place. */
enum { SLIPS_MAX = 16 };
struct slip {
    uint32_t start, end;
    strv word;
};
struct slips {
    struct slip of[SLIPS_MAX];
    size_t n;
};

/* False: no memory, or the scan failed. */
bool rules_scan(struct privacy_piece *t);
bool rules_scan_slips(struct privacy_piece *t, const struct slips *slips); /* the hits anew */
/* The words of labels that slips are looked for in. */
struct label_word {
    strv word;
    uint32_t letters; /* a bit for each letter that it has */
};
const struct label_word *rules_label_words(const struct rules *r, size_t *n);
void rules_scratch_free(struct privacy_scratch *s);

struct phrases;
struct phrases *phrases_new(void); /* NULL: no memory */
void phrases_free(struct phrases *p);
/* Adds the hits; `map` tells where each byte of the text stands in the view, NULL: there. False: no memory. */
bool phrases_scan(const struct phrases *p, struct privacy_piece *t, const char *text, size_t n,
                  const uint32_t *map);

void numbers_scan(struct privacy_piece *t);
void forms_scan(struct privacy_piece *t);
void structure_scan(struct privacy_piece *t);
void labels_scan(struct privacy_piece *t);
void slips_scan(struct privacy_piece *t);
size_t slips_words(struct label_word *out, size_t max);
void house_scan(struct privacy_piece *t);

unsigned privacy_rule_kind(unsigned rule);

/* ---- what the parts ask each other ---- */

/* The first hit that ends behind the place. */
size_t hit_index(const struct privacy_piece *t, size_t place);
/* The hit of the phrase that ends nearest before `place`, at most `reach` bytes off and on the same line. */
const struct privacy_hit *hit_before(const struct privacy_piece *t, unsigned phrase, size_t place,
                                     size_t reach);
const struct privacy_hit *hit_after(const struct privacy_piece *t, unsigned phrase, size_t place,
                                    size_t reach);
/* A label of that kind, on either side. */
bool label_near(const struct privacy_piece *t, enum privacy_label label, size_t start, size_t end,
                size_t reach);
/* The first token that ends behind the place; n_tokens = none. */
size_t token_at(const struct privacy_piece *t, size_t place);
/* Letters and digits of [start, end), without separators, at most size - 1 of them; the number. O and l between
 * digits become digits if `digits`. */
size_t squeeze(const struct privacy_piece *t, size_t start, size_t end, bool digits, char *out,
               size_t size);
/* A date that begins at the place, in any style; its end, 0 = none. With `loose` also two numbers ("8/11"). */
size_t date_at(const struct privacy_piece *t, size_t place, bool loose, int *year);
/* A date that contains the month's name at [start, end). */
bool date_around_month(const struct privacy_piece *t, size_t start, size_t end, size_t *from,
                       size_t *to);

/* Without branches: what the next byte of a text is nobody can guess. */
static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}
static inline bool is_letter(char c)
{
    return ((unsigned char)((c | 32) - 'a') < 26) | ((unsigned char)c >= 0x80);
}
static inline bool is_word(char c)
{
    return is_digit(c) + is_letter(c) != 0;
}
/* The byte at the place, '\n' outside. */
static inline char at(const struct privacy_piece *t, size_t place)
{
    return place < t->view->n ? t->view->folded[place] : '\n';
}

#endif
