/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_word - a bare word of what is nearly JSON, as the JSON that was plainly meant.
 *
 *   true 12 1.5e3         as they are
 *   True TRUE None NaN    true true null null (there is no NaN in JSON)
 *   +1 .5 1.              1 0.5 1
 *   1e999                 null: beyond a double, as Infinity
 *   celsius               a string, if the caller thinks so: json_word_quoted()
 *   02134 0x1F 1.2.3      nothing that is plain
 */
#ifndef BASE_JSON_WORD_H
#define BASE_JSON_WORD_H

#include <stdbool.h>

#include "base/strv.h"

#define JSON_WORD_MAX  120 /* longer numbers are nobody's; strv_double() takes 127 */
#define JSON_WORD_ROOM (JSON_WORD_MAX + 2)

bool json_name_letter(char c); /* A-Z a-z 0-9 _ */
bool json_word_letter(char c); /* and + - . */

/* A number, true, false or null for the word (1 to JSON_WORD_MAX bytes), in room or constant; STRV_NONE if
 * it is none. cut: the text ends behind the word, which may lack its end ("fal", "1.5e"). */
strv json_word_value(strv word, bool cut, char room[JSON_WORD_ROOM]);
/* The word in quotes; STRV_NONE if it is not of name letters or begins with a digit. */
strv json_word_quoted(strv word, char room[JSON_WORD_ROOM]);

#endif
