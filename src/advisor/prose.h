/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prose - an explanation in plain words: a model's, with what is no prose taken out, or one made of the figures.
 *
 * Plain: no markup, no control characters, one paragraph, ADVICE_PROSE_MAX bytes at most, ending with a sentence where one
 * ends in time. A text that says of an invalid evaluation that it is valid, or the other way round, is not given on.
 */
#ifndef ADVISOR_PROSE_H
#define ADVISOR_PROSE_H

#include "advisor/check.h"

#define ADVICE_PROSE_MAX ((size_t)1200)

/* Appends the text in `reply`; `evaluation` is what it is about. OK, NO_JSON's sister for prose is MODEL_FAILED: nothing
 * was left of it. */
enum advice_reason advice_prose(strv reply, yyjson_val *evaluation, struct buf *out);
/* The same from the figures alone: score and coverage in percent, Valid or Invalid, how many critical violations, and
 * the message of the gravest. Never empty. */
void advice_prose_plain(yyjson_val *evaluation, struct buf *out);
/* Appends what the violations and the latest rounds have in common, as a JSON object like a model's analysis. */
void advice_findings(yyjson_val *evaluation, yyjson_val *history, struct buf *out);

#endif
