/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pseudonym - what identifies a person is replaced by a placeholder before it leaves, and put back in the answer.
 *
 *   JSON with findings --replace--> JSON with placeholders ... cloud ... pieces of answer --restore--> originals
 *
 *   "is Maria Lopez (PGY-2) off? MRN 7731245"     ->   "is PGY2-A (PGY-2) off? MRN MRN-1"
 *
 * Placeholders are typed and numbered in the order of the document, the same value has the same one, and none is
 * made of what it stands for: PERSON-A, FACULTY-A, PGY2-A, MRN-1. A date becomes DATE- and the date moved by a
 * number of days that is drawn once for each map, so that intervals hold. An age over 89 becomes 90+, a postal
 * code its first three digits or 000: these two are not put back.
 *
 * All or nothing: a finding that is no identifier, has no exact place, stands in a member's name, a number, or a
 * member that the protocol reads (model, role, id ...) makes the whole impossible, and the request stays at home.
 *
 * A map belongs to one exchange, lives in memory only and is overwritten when it is freed.
 */
#ifndef PRIVACY_PSEUDONYM_H
#define PRIVACY_PSEUDONYM_H

#include "base/base.h"

struct privacy_verdict; /* privacy.h */

#define PSEUDONYMS_MAX       128
#define PSEUDONYM_LENGTH_MAX 32 /* of a placeholder */

struct pseudonyms;
/* `random` must not be guessable: it moves the dates. NULL: no memory. */
struct pseudonyms *pseudonyms_new(uint64_t random);
void pseudonyms_free(struct pseudonyms *m); /* overwrites it first */

/* Might all that was found be replaced? Says nothing of the places; pseudonyms_replace() does. */
bool pseudonyms_possible(const struct privacy_verdict *found);

enum pseudonyms_result {
    PSEUDONYMS_DONE,
    PSEUDONYMS_IMPOSSIBLE,
    PSEUDONYMS_NO_MEMORY,
};
/* `json` with every place that `found` tells replaced, appended to `out`. `found` is the verdict over exactly these
 * bytes. May be called again with another document of the same exchange: what is known keeps its placeholder. */
enum pseudonyms_result pseudonyms_replace(struct pseudonyms *m, strv json,
                                          const struct privacy_verdict *found, struct buf *out);
/* `sent` is what the last replace wrote, `found` the strict verdict over it. True: nothing was found but what this
 * map itself put there, and no value of the map, nor a word of a name, stands anywhere in `sent`. */
bool pseudonyms_clean(const struct pseudonyms *m, strv sent, const struct privacy_verdict *found);

size_t pseudonyms_count(const struct pseudonyms *m);   /* values in the map */
size_t pseudonyms_unknown(const struct pseudonyms *m); /* in answers: looked like ours, were none */

/* ---- the way back ---- */

enum pseudonym_form {
    PSEUDONYM_TEXT,
    PSEUDONYM_JSON, /* inside JSON text: values are written with its escapes */
};
/* One per stretch of text. Holds back at most what may be the beginning of a placeholder and the character behind
 * it. Forms that are accepted: any case, and other dashes or _ for the dash; "PERSON-A's" is one and its 's. */
struct pseudonym_restorer {
    struct pseudonyms *map;
    enum pseudonym_form form;
    char held[3 * PSEUDONYM_LENGTH_MAX]; /* a dash may have three bytes */
    size_t n;
    bool in_word;       /* the character before held is of a word */
    unsigned in_escape; /* JSON: characters of an escape that are to come */
};
void pseudonym_restorer_init(struct pseudonym_restorer *r, struct pseudonyms *map,
                             enum pseudonym_form form);
/* Appends to `out` what is certain by now; false: no memory. */
bool pseudonym_restore(struct pseudonym_restorer *r, strv piece, struct buf *out);
bool pseudonym_restore_end(struct pseudonym_restorer *r, struct buf *out); /* and what was held */

#endif
