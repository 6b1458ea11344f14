/* SPDX-License-Identifier: Apache-2.0 */
/* siphash - see siphash.h (https://www.aumasson.jp/siphash/siphash.pdf). Whole words only: a text's last one is
 * filled with zeros, and its length follows. */
#include "base/siphash.h"

#include <string.h>

static inline uint64_t rotated(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void turn(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

static inline void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    turn(v);
    v[0] ^= word;
}

void siphash_begin(struct siphash *h, const struct siphash_key *key)
{
    *h = (struct siphash){.v = {key->k[0] ^ 0x736f6d6570736575u,
                                key->k[1] ^ 0x646f72616e646f6du ^ 0xee,
                                key->k[0] ^ 0x6c7967656e657261u, key->k[1] ^ 0x7465646279746573u}};
}

void siphash_put_u64(struct siphash *h, uint64_t n)
{
    take(h->v, n);
    h->words++;
}

void siphash_put(struct siphash *h, strv text)
{
    uint64_t v[4] = {h->v[0], h->v[1], h->v[2], h->v[3]}, word = 0;
    size_t whole = text.len / sizeof word, rest = text.len % sizeof word;
    for (size_t i = 0; i < whole; i++) {
        memcpy(&word, text.ptr + i * sizeof word, sizeof word);
        take(v, word);
    }
    if (rest > 0) {
        word = 0;
        memcpy(&word, text.ptr + whole * sizeof word, rest);
        take(v, word);
    }
    take(v, text.len);
    memcpy(h->v, v, sizeof v);
    h->words += whole + (rest > 0) + 1;
}

void siphash_end(const struct siphash *h, uint64_t out[2])
{
    uint64_t v[4] = {h->v[0], h->v[1], h->v[2], h->v[3]};
    take(
        v,
        h->words << 59); /* the length in bytes, modulo 256, stands in the last word's first byte */
    v[2] ^= 0xee;
    for (int i = 0; i < 3; i++)
        turn(v);
    out[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    for (int i = 0; i < 3; i++)
        turn(v);
    out[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}
