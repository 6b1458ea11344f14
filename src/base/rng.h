/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng - random numbers: a fast seeded generator for jitter and request ids, and the system's for
 * secrets.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4]; /* xoshiro256** (Blackman, Vigna 2018) */
};

void rng_seed(struct rng *r, uint64_t seed);
bool rng_seed_system(struct rng *r);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n-1, n > 0 */
/* value spread evenly over value * (1 - part) .. value * (1 + part), part in percent */
uint64_t rng_jitter(struct rng *r, uint64_t value, unsigned percent);
/* n characters of [0-9a-zA-Z] and a terminator. */
void rng_text(struct rng *r, char *out, size_t n);
/* UUID version 4 as text, 36 characters and a terminator (RFC 9562). */
void rng_uuid(struct rng *r, char out[37]);
bool rng_secret(void *out, size_t n); /* getrandom(2); false if the system refuses */

#endif
