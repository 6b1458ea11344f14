/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy - does this text hold anything about a person? A verdict over everything that would be sent.
 *
 *   text > views (text/normal.h) > one scan for patterns > validators > words against tables > token model
 *        > verdict: private or not, kinds, spans, why
 *
 * A normal case: a question about the duty-hour rules has no finding; the verdict says "not private". A bad
 * case: anything that cannot be read, looked at in time or held in memory makes the verdict private, with a
 * kind of the group FAILURE that says so. There is no third answer, and no error besides the verdict.
 *
 * The detector is immutable and shared by all threads; each thread has a scratch. A verdict holds kinds, counts
 * and offsets, never text, so it may be logged.
 */
#ifndef PRIVACY_PRIVACY_H
#define PRIVACY_PRIVACY_H

#include "base/base.h"
#include "privacy/pseudonym.h"
#include "text/text.h"

enum privacy_kind {
#define PRIVACY_KIND(id, name, group, doc) PRIVACY_##id,
#include "privacy/kinds.def"
#undef PRIVACY_KIND
    PRIVACY_KINDS
};
enum privacy_group {
    PRIVACY_IDENTIFIER,
    PRIVACY_HOUSE,
    PRIVACY_MARK,
    PRIVACY_FAILURE,
    PRIVACY_WORD
};
struct privacy_kind_row {
    const char *name, *doc;
    enum privacy_group group;
};
extern const struct privacy_kind_row privacy_kinds[PRIVACY_KINDS];

/* Part of a configuration. Paths may be NULL. */
struct privacy_conf {
    const char *data;   /* the data file */
    const char *roster; /* names, logins, numbers; one a line */
    const char *const
        *patterns; /* the operator's own, "name=regular expression", NULL-terminated */
    const char *const
        *fixed;         /* SHA-256 (hex) of fixed texts of the applications, NULL-terminated */
    uint32_t house_off; /* bit 1 << kind: house rules that are switched off */
    size_t bytes_max;   /* a request longer than this is private unread */
    uint64_t budget_us; /* reading that takes longer ends, and the request is private */
};

struct privacy; /* a detector: counted, immutable */
/* Reads the files, compiles the patterns; blocks. Never NULL for a reason but memory: what is missing or broken
 * makes a detector that finds everything private (NOT_READY), and *err says why. A wrong roster line or
 * pattern is such a reason. */
struct privacy *privacy_new(const struct privacy_conf *conf, struct err *err);
struct privacy *privacy_ref(struct privacy *p);
void privacy_unref(struct privacy *p);
bool privacy_ready(const struct privacy *p);
const char *privacy_digest(const struct privacy *p); /* of the data file, hex; "" = none */
struct text_data *
privacy_data(const struct privacy *p); /* the file, for who reads it too; NULL = none */
size_t privacy_roster_size(const struct privacy *p); /* people; 0 = none */
/* What this detector reads has changed on disk since privacy_new(): cheap enough for a timer. */
bool privacy_stale(const struct privacy *p);

struct privacy_scratch; /* one per thread; adapts itself to the detector it is used with */
struct privacy_scratch *privacy_scratch_new(void); /* NULL: no memory */
void privacy_scratch_free(struct privacy_scratch *s);

struct privacy_finding {
    uint8_t kind;     /* enum privacy_kind */
    bool replaceable; /* the span is the whole identifier, and nothing else hints at the person */
    uint16_t rule;    /* which rule: privacy_rule_name() */
    uint16_t weight;  /* thousandths of the threshold; >= 1000: enough by itself */
    uint32_t start, end; /* bytes of the scanned text */
};
const char *privacy_rule_name(unsigned rule); /* stable: "ssn.dashed", "name.roster"; never NULL */

#define PRIVACY_FINDINGS_MAX 128 /* kept; more are counted only */

struct privacy_verdict {
    bool is_private;
    uint16_t score; /* the sum of evidence, thousandths of the threshold, at most 65535 */
    uint32_t counts[PRIVACY_KINDS];
    uint32_t reach[PRIVACY_KINDS]; /* where the last finding of each kind ends */
    size_t n_findings;             /* kept in findings */
    struct privacy_finding findings[PRIVACY_FINDINGS_MAX]; /* in order of place */
    bool more;                                             /* there were more */
};

enum privacy_how {
    PRIVACY_NORMAL = 0,
    PRIVACY_STRICT = 1 << 0, /* a lower threshold: text that is about to leave after replacement */
};

/* One text. */
void privacy_scan_text(const struct privacy *p, struct privacy_scratch *s, strv text, unsigned how,
                       struct privacy_verdict *out);
/* A JSON text (valid JSON): every string, every number, every member's name, whatever they mean. The name of a member
 * is the label of its value; a string of base64 longer than a few hundred characters is UNREADABLE. Offsets are those
 * of the JSON text. `out` may hold findings already (privacy_verdict_init() begins one). */
void privacy_scan_json(const struct privacy *p, struct privacy_scratch *s, strv json, unsigned how,
                       struct privacy_verdict *out);
/* The body of a request as it would be sent to a provider: as privacy_scan_json(), but the member `model` at its top
 * is left out if it is `model`, and for no other reason; one that is something else beside it is UNREADABLE.
 * STRV_NONE: nobody but the caller has told the name, and it is read like any other text. */
void privacy_scan_body(const struct privacy *p, struct privacy_scratch *s, strv json, strv model,
                       unsigned how, struct privacy_verdict *out);
void privacy_verdict_init(struct privacy_verdict *v);
/* Adds a finding without a place (HINT, STICKY, UNREADABLE ...): the verdict is private from here on. */
void privacy_verdict_add(struct privacy_verdict *v, enum privacy_kind kind);
/* "mrn=1 name=2": kinds and counts, for headers, logs and the audit. NUL-terminated. */
void privacy_verdict_words(const struct privacy_verdict *v, char *out, size_t size);

#endif
