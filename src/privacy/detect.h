/* SPDX-License-Identifier: Apache-2.0 */
/* detect - reading one document piece by piece: what plain text (detect.c) and JSON (json.c) share. */
#ifndef PRIVACY_DETECT_H
#define PRIVACY_DETECT_H

#include "privacy/internal.h"
#include "privacy/rules.h"

enum {
    ENOUGH = 1000,       /* the threshold, in its own thousandths */
    ENOUGH_STRICT = 500, /* PRIVACY_STRICT */
    PIECE_BYTES = 16384, /* read at once, at most */
    OVERLAP = 256,
    BLOB_MAX = 300, /* a longer run of base64 cannot be read */
};

struct scan {
    const struct privacy *p;
    struct privacy_scratch *s;
    struct privacy_verdict *out;
    unsigned how;
    size_t base; /* added to every place */
    size_t
        skip; /* so much of the next view was read before, and stands there for what follows it */
    uint64_t began;
    bool over; /* a failure ended it */
};

/* False: nothing is to be read, the verdict says why. */
bool scan_begin(struct scan *c, const struct privacy *p, struct privacy_scratch *s, size_t size,
                unsigned how, struct privacy_verdict *out);
bool scan_view(struct scan *c, const struct text_view *view, bool fixed);
/* Adds a finding that is not there yet. `v`'s places. */
void scan_add(struct privacy_verdict *v, const struct privacy_finding *f, unsigned how);
/* All findings of a text are in: are the weak ones enough together? */
void scan_sum_up(struct privacy_verdict *v, unsigned how);
bool scan_fixed(const struct privacy *p, strv text);
size_t scan_cut(strv text, size_t max);
size_t scan_again(strv text, size_t cut);

#endif
