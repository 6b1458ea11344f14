/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eight - eight bytes of text looked at together: what is asked of each is answered in its highest bit.
 *
 * The first byte is the lowest one, on every machine, so that eight_first() of an answer is the first byte for which it
 * is yes.
 */
#ifndef TEXT_EIGHT_H
#define TEXT_EIGHT_H

#include <stddef.h>
#include <stdint.h>

#define EIGHT_ONES    0x0101010101010101u
#define EIGHT_HIGHEST 0x8080808080808080u
#define EIGHT_LOWER   0x7f7f7f7f7f7f7f7fu
/* Added to bytes below 0x80: the highest bit of those from c on. */
#define EIGHT_FROM(c) (EIGHT_ONES * (0x80u - (c)))

static inline uint64_t eight_at(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

/* Which of them are c, a byte of ASCII? */
static inline uint64_t eight_is(uint64_t v, unsigned char c)
{
    uint64_t other = v ^ EIGHT_ONES * c;
    return ~(((other & EIGHT_LOWER) + EIGHT_LOWER) | other) & EIGHT_HIGHEST;
}

/* Which are bytes of ASCII from `first` to `last`? */
static inline uint64_t eight_between(uint64_t v, unsigned char first, unsigned char last)
{
    uint64_t low = v & EIGHT_LOWER;
    return (low + EIGHT_FROM(first)) & ~(low + EIGHT_FROM(last + 1u)) & ~v & EIGHT_HIGHEST;
}

/* The place of the first yes; there is one. */
static inline size_t eight_first(uint64_t answer)
{
    return (size_t)__builtin_ctzll(answer) / 8;
}

#endif
