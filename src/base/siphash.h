/* SPDX-License-Identifier: Apache-2.0 */
/*
 * siphash - SipHash-1-3 with 128 bits: a digest of a text under a secret key, for tables of this process.
 *
 *   siphash_begin(&h, key); siphash_put(&h, text); siphash_put_u64(&h, n); ... siphash_end(&h, out)
 *
 * Who does not know the key can make no two texts with one digest, nor a text with the digest of another: no
 * difference is known that meets itself again in SipHash-1-x with more than 2^-160. The key is of the system's
 * random numbers and made anew with each start; digests are compared here and go nowhere. That is what the tables
 * need which say "this has been read before". For what leaves the process there is SHA-256.
 *
 * A text is put with its length, so that "ab", "c" is another than "a", "bc".
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

#include "base/strv.h"

struct siphash_key {
    uint64_t k[2];
};
struct siphash {
    uint64_t v[4];
    uint64_t words; /* put so far */
};

void siphash_begin(struct siphash *h, const struct siphash_key *key);
void siphash_put(struct siphash *h, strv text);
void siphash_put_u64(struct siphash *h, uint64_t n);
/* More may be put afterwards: `h` is what it was. */
void siphash_end(const struct siphash *h, uint64_t out[2]);

#endif
