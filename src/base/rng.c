/* SPDX-License-Identifier: Apache-2.0 */
/* rng - xoshiro256** (https://prng.di.unimi.it/), seeded by splitmix64 as its authors advise. */
#include "base/rng.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        r->s[i] = z ^ (z >> 31);
    }
}

bool rng_seed_system(struct rng *r)
{
    if (!rng_secret(r->s, sizeof(r->s)))
        return false;
    r->s[0] |= 1; /* the all-zero state would stay zero for ever */
    return true;
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    /* 2^64 mod n values at the bottom would come once more often than the others: draw again. */
    uint64_t unfair = (0 - n) % n, v;
    do
        v = rng_u64(r);
    while (v < unfair);
    return v % n;
}

uint64_t rng_jitter(struct rng *r, uint64_t value, unsigned percent)
{
    assert(percent <= 100);
    uint64_t part = value / 100 * percent + value % 100 * percent / 100;
    uint64_t low = value - part;
    uint64_t high = part <= UINT64_MAX - value ? value + part : UINT64_MAX;
    uint64_t span = high - low;
    return span == UINT64_MAX ? rng_u64(r) : low + rng_below(r, span + 1);
}

void rng_text(struct rng *r, char *out, size_t n)
{
    static const char letters[62] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t bits = 0;
    for (size_t i = 0, left = 0; i < n; bits >>= 6, left--) {
        if (left == 0) {
            bits = rng_u64(r);
            left = 64 / 6;
        }
        if ((bits & 63) < sizeof(letters)) /* else some would come more often than others */
            out[i++] = letters[bits & 63];
    }
    out[n] = '\0';
}

/* The last n hexadecimal digits of the number. */
static void put_hex(char *to, uint64_t v, size_t n)
{
    for (; n > 0; v >>= 4)
        to[--n] = "0123456789abcdef"[v & 15];
}

void rng_uuid(struct rng *r, char out[37])
{
    uint64_t high = rng_u64(r), low = rng_u64(r);
    high = (high & ~(uint64_t)0xf000) | 0x4000;               /* version 4 */
    low = (low & ~((uint64_t)3 << 62)) | ((uint64_t)2 << 62); /* variant 10 */
    put_hex(out, high >> 32, 8);
    put_hex(out + 9, high >> 16, 4);
    put_hex(out + 14, high, 4);
    put_hex(out + 19, low >> 48, 4);
    put_hex(out + 24, low, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}

bool rng_secret(void *out, size_t n)
{
    unsigned char *to = out;
    while (n > 0) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}
