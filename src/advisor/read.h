/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read - the suggestion in what a model wrote: an object, in a fence, in prose, behind thoughts.
 *
 *   <think>...</think> Here is {my} advice: ```json {"type": ...} ``` Good luck!
 *                              ^ no JSON            ^ the first object that is JSON and has a type
 *
 * If all of it is JSON, that is the answer. Otherwise the first balanced object counts that parses and has a type.
 * JSON is strict here: no NaN, no member twice, no comma too many. What begins like an object and has no end was cut
 * off; nothing inside it is taken for the answer. The time is linear, the memory a small multiple of 64 KiB.
 */
#ifndef ADVISOR_READ_H
#define ADVISOR_READ_H

#include "advisor/check.h"

#define ADVICE_REPLY_MAX ((size_t)64 * 1024)

/* *why ADVICE_REASON_OK: *out is an object, in the arena. False: no memory. */
bool advice_read(strv reply, struct arena *arena, struct json *out, enum advice_reason *why);
/* What stands behind a model's thoughts, if it wrote them into its answer. */
strv advice_after_thoughts(strv reply);

#endif
