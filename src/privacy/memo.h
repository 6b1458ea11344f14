/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo - what was read before: a conversation repeats its history in every request.
 *
 *   turn of a conversation -> digest -> found here: its findings, at the cost of the digest
 *                                    -> else it is read, and its findings are put here
 *
 * The digest covers all that the reading depends on (json.c): the turn's bytes and those of the turn before it,
 * where it stands, how it is read, and the detector's serial number, which no other detector of this process has:
 * another roster, data file, pattern or house rule is another detector. So an answer from here is the answer that
 * reading would give, never a looser one. It is keyed (base/siphash.h) with a key of this table's own.
 *
 * No text is held: digests, and kinds and places of findings. What has more findings than a place holds, and what was
 * not read to its end, is read again each time. One thread uses it. 4 places to a bucket, the one used longest ago
 * goes first; a mebibyte in all, of which only what was used is ever touched.
 */
#ifndef PRIVACY_MEMO_H
#define PRIVACY_MEMO_H

#include "privacy/privacy.h"

enum { MEMO_FINDINGS = 3, MEMO_BUCKETS = 4096, MEMO_WAYS = 4 };

struct memo_entry { /* 64 bytes: a line of the processor's cache */
    uint64_t digest;
    uint64_t rest; /* of the digest, and in its lowest byte what follows; 0 = free */
    struct privacy_finding found[MEMO_FINDINGS]; /* places from the turn's first byte */
};
struct memo {
    struct siphash_key key;
    uint64_t hits; /* for tests */
    struct memo_entry places[MEMO_BUCKETS][MEMO_WAYS];
};

struct memo *memo_new(void); /* NULL: no memory, or no secret */
void memo_free(struct memo *m);

/* What is known of a turn. */
struct memo_facts {
    struct privacy_finding found[MEMO_FINDINGS];
    size_t n;
    bool unreadable;
};
bool memo_find(struct memo *m, const uint64_t digest[2], struct memo_facts *out);
void memo_put(struct memo *m, const uint64_t digest[2], const struct memo_facts *facts);

#endif
