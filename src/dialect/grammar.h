/* SPDX-License-Identifier: Apache-2.0 */
/* grammar - what the checkers of the single dialects share. Private to the folder. */
#ifndef DIALECT_GRAMMAR_H
#define DIALECT_GRAMMAR_H

#include "dialect/dialect.h"

/* A rule, as a sentence that is true of every legal stream. The first one broken is kept. */
static inline bool must(struct dialect_check *c, bool holds, const char *rule)
{
    if (!holds && c->broken == NULL)
        c->broken = rule;
    return holds;
}

/* A matter of form: upstreams break it and no client minds, but we do not. */
static inline bool should(struct dialect_check *c, bool holds, const char *rule)
{
    return c->passed || must(c, holds, rule);
}

static inline bool grammar_one_of(strv word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strv_eq_cstr(word, *words))
            return true;
    return false;
}

/* The text is the same as the first time; `kept` is 0 before that. */
bool grammar_same(uint64_t *kept, strv text);
/* A hash of pieces: that of "ab" is that of "a" and then "b". */
#define GRAMMAR_HASH_START UINT64_C(14695981039346656037)
uint64_t grammar_hash(uint64_t hash, strv piece);

void grammar_scan_init(struct dialect_scan *s);
void grammar_scan_feed(struct dialect_scan *s, strv piece);
bool grammar_scan_empty(const struct dialect_scan *s); /* nothing but blanks was fed */
bool grammar_scan_whole(struct dialect_scan *s); /* all of it, fed until now, is one JSON value */

/* One frame each; `root` is its JSON, NULL for [DONE] where the dialect has it. */
void grammar_openai(struct dialect_check *c, strv name, yyjson_val *root);
void grammar_anthropic(struct dialect_check *c, strv name, yyjson_val *root);
void grammar_ollama(struct dialect_check *c, strv name, yyjson_val *root);
void grammar_responses(struct dialect_check *c, strv name, yyjson_val *root);
void grammar_native(struct dialect_check *c, strv name, yyjson_val *root);

#endif
