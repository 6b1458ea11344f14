/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features - a prompt as numbers of features, for the linear models of classify.c.
 *
 *   "Could you please list open swaps?"
 *        skipped: courtesy      first: "list" (cue: look up)    words, pairs, pieces of words, cues and their pairs
 *
 * Each feature is a hash cut to FEATURES_BITS bits; what shares a number shares a weight. Two families, which
 * the model scales apart: LETTERS, of which a long text has many (words, pairs, pieces), and FACTS, of which
 * there is one or none (first words, cues, shapes, length class, fence, trace, table, question, tools).
 *
 * Cues are words and short phrases that mean the same for our purpose ("letter", "memo", "notice": something
 * that other people read): bits of a mask, looked up in a table of the data file (tools/data/cues.txt).
 *
 * What is pasted (fenced, quoted, a table, a trace, lines of code) is told apart from what is asked and has
 * features of its own. The same code makes the features that the models are trained on.
 */
#ifndef POLICY_FEATURES_H
#define POLICY_FEATURES_H

#include "base/base.h"

#define FEATURES_BITS     15
#define FEATURES_MAX      1536 /* of each family; the rest is not counted */
#define FEATURES_TEXT_MAX 2048 /* bytes that are read; of a longer text its beginning and its end */

enum features_family { FEATURES_LETTERS, FEATURES_FACTS, FEATURES_FAMILIES };

/* An open table: slot = hash & mask and those behind it; a hash of 0 is an empty slot. Little-endian. */
struct features_cues {
    const unsigned char *hashes; /* 8 bytes each */
    const unsigned char
        *masks;    /* 8 bytes each: a bit per cue; the highest: phrases begin with this word */
    uint32_t mask; /* slots - 1, a power of two less one; no slots: hashes NULL */
};

struct features {
    size_t n[FEATURES_FAMILIES];
    uint16_t at[FEATURES_FAMILIES][FEATURES_MAX];
    size_t n_words; /* of what is asked, not of what is pasted */
    bool courtesy;  /* a greeting, a thank-you, an acknowledgement and nothing else */
};

void features_read(const struct features_cues *cues, strv text, bool has_tools,
                   struct features *out);

#endif
