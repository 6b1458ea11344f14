/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - a sum of weights.
 *
 * The section "model", little-endian: u32 version, u32 bits, i32 threshold without a roster, i32 with one, i32 for text
 * that is about to leave after replacement, i32 scale (what is worth a whole threshold more), then 2^bits weights of
 * one signed byte, that of a feature at its highest bits. tools/data/train_names writes it, with features that features.c computed.
 */
#include "privacy/names.h"

enum { VERSION = 2, HEAD = 24, BITS_MIN = 8, BITS_MAX = 20 };

static uint32_t u32_at(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool model_open(struct model *m, strv section, struct err *err)
{
    if (section.len < HEAD || u32_at(section.ptr) != VERSION)
        return err_set(err, 0, "the data file has no token model of version %d", VERSION);
    uint32_t bits = u32_at(section.ptr + 4);
    if (bits < BITS_MIN || bits > BITS_MAX || section.len != HEAD + ((size_t)1 << bits))
        return err_set(err, 0, "the data file's token model is damaged");
    m->shift = 64 - bits;
    m->threshold = (int)u32_at(section.ptr + 8);
    m->threshold_roster = (int)u32_at(section.ptr + 12);
    m->threshold_strict = (int)u32_at(section.ptr + 16);
    m->scale = (int)u32_at(section.ptr + 20);
    m->weights = (const signed char *)section.ptr + HEAD;
    if (m->scale <= 0)
        return err_set(err, 0, "the data file's token model is damaged");
    return true;
}
