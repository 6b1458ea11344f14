/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - the token pass: every word of a piece against the tables, the roster and the token model.
 *
 *   view > tokens (names.c) > table of words (section "words") > roster (roster.c) > features > model (model.c)
 *
 * A word is never a name by its capital letter alone. It is one when the roster knows it, or when what it is (lists)
 * and where it stands (slot, neighbours, label) weigh more than the threshold of the section "model".
 */
#ifndef PRIVACY_WORDS_H
#define PRIVACY_WORDS_H

#include "privacy/internal.h"

/* `roster` may be NULL. NULL with err: a section is missing or wrong, a roster line is, no memory. Holds `data`. */
struct words *words_new(struct text_data *data, const char *roster, struct err *err);
void words_free(struct words *w);
size_t words_roster_size(const struct words *w); /* people; 0 = none */

/* Which of some are no words, and no names that people have? Of folded letters, at most WORDS_AT_ONCE; keeps those, in
 * their order, and returns their number. */
enum { WORDS_AT_ONCE = 48 };
size_t words_unknown(const struct words *w, strv letters[], size_t n);

void words_scratch_free(struct words_scratch *s); /* NULL is fine */

/* Adds what it finds to the piece; makes t->scratch->words when it is first needed. `how`: enum privacy_how. No memory:
 * t->failed. */
void privacy_words(struct privacy_piece *t, unsigned how);

#endif
