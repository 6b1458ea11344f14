/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - text cut into the words by which tools are looked for. Pure, no memory.
 *
 *   "checkWork_hours, Violaciones!"  ->  check work hour violac
 *
 * Letters and digits make words; a word also ends where small letters meet a capital. Latin letters lose their
 * accents, everything is small. The stem is what is left without English and Spanish endings: it is no word, only
 * the same for forms of one. Other scripts: a run of bytes is a word, as it is.
 */
#ifndef AGENT_WORDS_H
#define AGENT_WORDS_H

#include "base/base.h"

#define WORD_MAX 40 /* bytes; what is longer is cut: nobody asks by it */

struct word {
    char text[WORD_MAX]; /* small letters, without accents, without a plural's s */
    size_t len;
    char stem[WORD_MAX];
    size_t stem_len;
};
/* Cuts the next word off the text's front; false at the end. */
bool words_next(strv *rest, struct word *out);

/* A word that says nothing of a tool: "the", "please", "de", "que". Of its text, not its stem. */
bool words_idle(const struct word *w);

/* Are the two one slip apart: a letter more, less, wrong, or two exchanged? Equal ones are. */
bool words_near(strv a, strv b);
/* Which letters it has, a bit each; several letters share one. A slip changes two of the bits at most, so this answers
 * for most pairs without a look at their letters. */
uint32_t words_letters(strv word);
static inline bool words_may_be_near(uint32_t a, uint32_t b)
{
    uint32_t d = a ^ b; /* at most two bits: nothing is left when the lowest two are taken away */
    d &= d - 1;
    return (d & (d - 1)) == 0;
}
/* How many slips lie between them, at most `max`; more = max + 1. Texts of at most 128 bytes; longer are max + 1. */
size_t words_distance(strv a, strv b, size_t max);

#endif
