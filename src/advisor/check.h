/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - may this suggestion be followed? The judge of every answer, a model's or a rule's.
 *
 *   reply {type, confidence, reasoning, params, analysis}      a delta: only what it names changes
 *     + current parameters                                     what it does not name stays
 *     = merged parameters                                      must be within the bounds, too
 *
 * Nothing is repaired and nothing guessed: the first fault is the reason, its place the field. Text is data: whatever it
 * says, it is judged by these rules and no others. Members that are not named here do not get through.
 */
#ifndef ADVISOR_CHECK_H
#define ADVISOR_CHECK_H

#include "advisor/schema.h"

enum advice_reason {
#define ADVICE_REASON(id, word, doc) ADVICE_REASON_##id,
#include "advisor/reasons.def"
#undef ADVICE_REASON
    ADVICE_REASONS
};
const char *advice_reason_word(enum advice_reason r);

#define ADVICE_REASONING_MAX ((size_t)8 * 1024)

struct advice {
    bool accepted;
    const char *reason; /* a word of reasons.def or of the advice schema */
    char field[96]; /* "params.timeout_seconds"; "" = none. May hold a name that the model wrote */
    /* accepted: */
    strv type, reasoning;
    double confidence;
    strv analysis; /* JSON text of an object; STRV_NONE = none */
    strv delta;    /* JSON text of an object: what was named */
    strv merged;   /* the same: all parameters afterwards */
    bool changes;  /* the delta is not empty */
};

void advice_reject(struct advice *a, enum advice_reason why);
/* Judges an object. `current` NULL or null: no parameters yet. False: no memory. */
bool advice_check(const struct advice_schema *s, enum advice_question q, yyjson_val *reply,
                  yyjson_val *current, struct arena *arena, struct advice *out);

/* JSON text of both objects as one: members of `over` in the place of those of `under`, and two objects of one name joined
 * likewise. NULL is an object without members. ptr NULL: no memory. */
strv advice_join(struct arena *arena, yyjson_val *under, yyjson_val *over);

#endif
