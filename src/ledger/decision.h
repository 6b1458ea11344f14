/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decision - what an adviser suggested, whether it was accepted and applied, and how the score moved afterwards.
 *
 *   answer  -> ledger_decide(): a row, by the id that the caller is told
 *   outcome -> ledger_decide() with `outcome`: the same row learns what became of it, once, from the same key
 *
 * Both go to the ledger's thread; nobody waits. A row holds names and words of the source and of the advice schema, digests
 * and numbers: never a text of the question, and of the answer only the parameters, which the check has found to be within
 * the schema's bounds.
 */
#ifndef LEDGER_DECISION_H
#define LEDGER_DECISION_H

#include "ledger/book.h"

struct ledger_decision {
    bool outcome;    /* only id, key, wall_us, applied and score_after count */
    int64_t wall_us; /* now */
    char id[65];     /* that ledger_id_fits() */
    char key[32];    /* of the API, "" = none */

    const char *question, *source; /* constants: "suggest", "rules" */
    char type[64];                 /* "" = it was refused */
    char reason[64];
    bool accepted;
    char params[512];              /* JSON, what was named; "" = nothing, or too long */
    char provider[64], model[129]; /* "" = none */
    char asked[65];                /* SHA-256 of the question */
    char template_digest[65];      /* "" = no model was asked */
    char schema_digest[65], schema[64];
    int64_t template_version, schema_version, latency_us;
    bool scored; /* the question told the best score so far */
    double score_before;

    bool applied;
    double score_after; /* the best score, when the round was over */
};

struct ledger_decision_line {
    char source[16], type[64];
    int64_t asked, accepted, applied, measured;
    double gain; /* over those that were applied and measured */
};
struct ledger_refusal_line {
    char reason[64];
    int64_t n;
};
#define LEDGER_DECISION_LINES 64
struct ledger_decision_report {
    struct ledger_decision_line lines[LEDGER_DECISION_LINES];
    size_t n;
    struct ledger_refusal_line refusals[LEDGER_DECISION_LINES];
    size_t n_refusals;
};

bool ledger_book_decide(struct ledger_book *b, const struct ledger_decision *d, struct err *err);
/* Of all decisions since that moment. */
bool ledger_book_decisions(struct ledger_book *b, int64_t since_us,
                           struct ledger_decision_report *out, struct err *err);

#endif
