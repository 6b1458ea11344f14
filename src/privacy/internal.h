/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - what the parts of the detector share.
 *
 *   detect.c     the detector, its scratch, the order of the steps, the verdict
 *   rules.*      labels, marks, signs of shapes and house words in one tree; what follows from each match
 *   validate.*   pure functions: is this number one of those?
 *   words.*      words against tables, roster, token model
 *   house.*      house rules; last, because they ask whether a person is near
 *   memo.*       what was read before
 *
 * A *piece* is what is read at once: a text or a part of it, or several strings of a JSON text as lines
 * "name: value". All parts add findings to the piece with places in its view; detect.c leads them back to
 * the document's bytes.
 */
#ifndef PRIVACY_INTERNAL_H
#define PRIVACY_INTERNAL_H

#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include "privacy/privacy.h"

/* words.h declares, and detect.c calls:
 *
 *   struct words *words_new(struct text_data *data, const char *roster, struct err *err);  NULL: not ready
 *   void words_free(struct words *w);
 *   size_t words_roster_size(const struct words *w);
 *   struct words_scratch *words_scratch_new(void), words_scratch_free()
 *   bool words_scan(const struct words *w, struct words_scratch *s, struct privacy_piece *t);  false: no memory
 */
struct words;
struct words_scratch;
struct rules; /* rules.h */
struct memo;  /* memo.h */

struct privacy_stamp { /* a file as it was when it was read */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};
struct privacy {
    atomic_uint refs;
    uint64_t serial; /* no other detector of this process has it */
    bool ready;
    char *data_path;
    struct privacy_stamp data_stamp;
    char *roster_path; /* NULL: none */
    struct privacy_stamp roster_stamp;
    struct text_data *data; /* NULL: not ready */
    struct words *words;    /* tables, roster, token model; NULL: not ready */
    struct rules *rules;    /* NULL: not ready */
    uint8_t (*fixed)[32];   /* digests of fixed texts, sorted */
    size_t n_fixed;
    uint32_t house_off;
    size_t bytes_max;
    uint64_t budget_us;
};

/* Rules have numbers in the order of these tables; the operator's own patterns follow. */
enum privacy_rule {
#define RULE(id, name, kind, doc) RULE_##id,
#include "privacy/findings.def" /* rules, structure marks, house */
#include "privacy/words.def"    /* words, roster, model */
#undef RULE
    PRIVACY_RULES
};

/* What a value is said to be: by a word before it, the head of its column, or its member's name in JSON. */
enum privacy_label {
    LABEL_NONE,
    LABEL_NAME, /* name, resident, provider, patient, from, to ...; whose value it is decides the token pass */
    LABEL_MRN,
    LABEL_SSN,
    LABEL_DOB,  /* a date of birth */
    LABEL_DATE, /* another date of a person's life or care: admitted, seen, died */
    LABEL_PHONE,
    LABEL_FAX,
    LABEL_EMAIL,
    LABEL_ADDRESS,
    LABEL_ZIP,
    LABEL_AGE,
    LABEL_PLAN, /* member, subscriber, policy */
    LABEL_ACCOUNT,
    LABEL_ROUTING,
    LABEL_LICENSE,
    LABEL_NPI,
    LABEL_DEA,
    LABEL_VEHICLE,
    LABEL_DEVICE,
    LABEL_BIOMETRIC,
    LABEL_STAFF, /* badge, employee, DoD, login, study number */
    LABEL_IP,
    LABEL_URL,
    LABELS
};

/* [start, end) of the view is the value of something with that label. */
struct privacy_value {
    uint32_t start, end;
    uint8_t label; /* enum privacy_label */
};

/* A place that other parts want to know of, whatever it means by itself: a role code, a word for a person,
 * a health word, a clinical shorthand ... */
struct privacy_hit {
    uint32_t start, end; /* in the view */
    uint16_t what;       /* enum rules_expr, rules.h */
};

/* A word or number that has a digit: "66120-77", "V-2024-55187", "8085550143". */
struct privacy_token {
    uint32_t start, end;
    uint16_t digits, letters; /* an O or l between digits is one of the digits */
};

/* A run of digits, and how the next one is joined to it. */
struct privacy_digits {
    uint32_t start, end;
    char gap; /* ' ' '-' '.' '/' ')' or 0 = nothing joins them */
};

struct privacy_piece {
    const struct privacy *p;
    struct privacy_scratch *scratch;
    const struct text_view *view;
    bool fixed;  /* a registered text: identifiers that are numbers or addresses, nothing else */
    bool failed; /* no memory: the verdict will say so */

    /* Arrays of the scratch; they grow. */
    struct privacy_finding *found; /* places in the view; not in order */
    size_t n_found;
    uint32_t reach[PRIVACY_KINDS]; /* where the last finding of each kind ends */
    struct privacy_value *values;  /* in order of place */
    size_t n_values;
    struct privacy_hit *hits; /* in order of their ends */
    size_t n_hits;
    struct privacy_token *tokens; /* in order of place */
    size_t n_tokens;
    struct privacy_digits *groups; /* in order of place */
    size_t n_groups;
};

/* Adds a finding; the same kind at the same place twice is one finding, with the greater weight. */
void piece_find(struct privacy_piece *t, enum privacy_kind kind, unsigned rule, unsigned weight,
                bool replaceable, size_t start, size_t end);
/* The first finding of the kind that touches [start, end), or NULL. */
const struct privacy_finding *piece_finding_near(const struct privacy_piece *t,
                                                 enum privacy_kind kind, size_t start, size_t end);
/* The label of the value that holds the place, LABEL_NONE if there is none. */
enum privacy_label piece_label_at(const struct privacy_piece *t, size_t place);

struct privacy_scratch {
    struct text_scratch *text;
    struct words_scratch *words; /* words.c makes it when it is first needed */
    void *hs;                    /* hs_scratch_t, for the patterns of hs_for */
    uint64_t hs_for;             /* that detector's serial */
    char *copy;                  /* of the folded view, with slips undone (rules.c) */
    uint32_t *copy_map;
    size_t copy_cap;
    struct memo *memo; /* json.c makes it when it is first needed; NULL: none yet, or no memory */
    struct privacy_verdict turn; /* of the turn that is being read */
    struct privacy_piece piece;
    size_t caps[5]; /* of the piece's arrays, in their order */
};

/* One more at the end of an array of the piece, NULL with `failed` set: no memory. */
struct privacy_value *piece_add_value(struct privacy_piece *t);
struct privacy_hit *piece_add_hit(struct privacy_piece *t);
struct privacy_token *piece_add_token(struct privacy_piece *t);
struct privacy_digits *piece_add_group(struct privacy_piece *t);
/* Forgets everything but the memory. */
void piece_begin(struct privacy_piece *t, const struct privacy *p, struct privacy_scratch *s,
                 const struct text_view *view);

#endif
