/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - the advice schema: what may be advised to an optimiser, and what it tells of itself.
 *
 *   params     names that advice may touch, each with its kind and its bounds (inclusive)
 *   types      kinds of suggestions, and what each must change
 *   questions  which types answer which question
 *   rules      what is advised without a model: the first rule whose conditions hold
 *   state, evaluation, record    JSON Schemas of what the optimiser sends
 *
 * A JSON file of the operator's (option advisor.schema), else the scheduler's, data/advice/scheduler.json. It is read
 * with the configuration; a rule whose own suggestion would not be accepted refuses the file. Immutable, in an arena.
 */
#ifndef ADVISOR_SCHEMA_H
#define ADVISOR_SCHEMA_H

#include "base/base.h"

enum advice_kind { ADVICE_CHOICE, ADVICE_NUMBER, ADVICE_INTEGER, ADVICE_BOOLEAN, ADVICE_NUMBERS };

struct advice_param {
    strv name;
    enum advice_kind kind;
    const strv *words; /* CHOICE: the values; NUMBERS: the names of its members */
    size_t n_words;
    double min, max;     /* NUMBER, INTEGER, NUMBERS */
    const char *fault;   /* reason for a value that is not allowed */
    const char *unknown; /* NUMBERS: reason for a name that is not known */
};

enum advice_needs { ADVICE_NEEDS_NOTHING, ADVICE_NEEDS_ANY, ADVICE_NEEDS_ONE };
struct advice_type {
    strv name;
    enum advice_needs needs;          /* what it must change */
    const struct advice_param *param; /* NEEDS_ONE */
};

enum advice_question {
    ADVICE_SUGGEST,
    ADVICE_ANALYZE,
    ADVICE_STRATEGY,
    ADVICE_EXPLAIN, /* answered in prose: no types */
    ADVICE_QUESTIONS
};
const char *advice_question_name(enum advice_question q); /* "suggest", ... */

#define ADVICE_PARAMS_MAX 32
#define ADVICE_TYPES_MAX  32 /* one bit each */
#define ADVICE_BYTES_MAX  ((size_t)256 * 1024)

struct advice_schema {
    struct json doc; /* the file */
    strv name;
    int64_t version;
    char digest[65]; /* SHA-256 of the file */
    double floor;    /* confidence below it is too low */
    struct advice_param params[ADVICE_PARAMS_MAX];
    size_t n_params;
    struct advice_type types[ADVICE_TYPES_MAX];
    size_t n_types;
    uint32_t answers[ADVICE_QUESTIONS];      /* bit n: type n answers it */
    strv form[ADVICE_QUESTIONS];             /* JSON Schema for the model's answer; "" = prose */
    yyjson_val *rules;                       /* array; NULL = none */
    yyjson_val *state, *evaluation, *record; /* NULL = anything */
};

/* The text must live as long as the arena. NULL with err, whose text names the member. */
struct advice_schema *advice_schema_read(strv text, struct arena *arena, struct err *err);
/* NULL = there is none. */
const struct advice_param *advice_param_find(const struct advice_schema *s, strv name);

#endif
