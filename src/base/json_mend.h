/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_mend - the argument text of a tool call, read with patience and written as strict JSON.
 *
 *     {'city': 'Oslo', "days": +3, // next week        ->   {"city": "Oslo", "days": 3
 *
 * Small models write JSON nearly. What arrives here in pieces, cut anywhere, leaves as one JSON object that
 * json_read() takes. A valid object passes byte for byte, each piece as it comes, but for bytes that are not
 * surely right yet: a comma, and a key until its value begins (so that a text which ends there can be closed
 * without them), a number or a word until its end, an escape, half a character.
 *
 * Mended, because it is plain what was meant:
 *   - blanks and a Markdown fence around the object; nothing at all is {}
 *   - what is valid JSON but no object becomes {"value":...}
 *   - commas too many, or missing in front of a quoted key or a plain value; keys and strings in single
 *     quotes; keys, and strings of one word, without quotes
 *   - in strings: control characters, backslashes that escape nothing, bytes that are no UTF-8, lone
 *     surrogates
 *   - comments of the forms // and slash-star
 *   - +1 .5 1. True None NaN Infinity undefined, and numbers beyond a double (null)
 *   - an end too early: open strings, arrays and objects are closed, a key without a value is left out
 *     (one of more than 250 bytes gets null); brackets closed in the wrong order, if only brackets follow
 *   - anything behind the object is dropped
 *
 * Anything else is not guessed. Then the object is closed where it stopped being plain, and the rest is
 * ignored. A text that does not even begin like JSON becomes {"_raw":"<the text>"}, without the blanks
 * and comments in front.
 *
 * The state is plain data: copy it, throw it away, there is nothing to free. Output is at most six times the
 * input and 200 bytes. Nesting is limited to JSON_DEPTH_MAX, numbers to 120 characters; what is beyond that
 * is not understood. Duplicate keys pass.
 */
#ifndef BASE_JSON_MEND_H
#define BASE_JSON_MEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/json_word.h"
#include "base/strv.h"

enum json_mend_result {
    JSON_MEND_OK,    /* one valid object, and every byte of it went out as it came */
    JSON_MEND_FIXED, /* something was corrected; the object means what was plainly meant */
    JSON_MEND_FAILED /* not understood; the object holds what was understood before that place */
};

struct json_mend {
    uint8_t state;
    uint8_t back;    /* the state to return to after a comment */
    bool changed;    /* the output is not the input any more */
    bool failed;     /* JSON_MEND_FAILED, whatever follows */
    bool fenced;     /* a Markdown fence was opened */
    bool wrapped;    /* {"value": is around it */
    bool mismatched; /* brackets were closed in the wrong order: only brackets may follow */
    bool worded;     /* the last value was a string without quotes */
    bool ended;      /* behind the object, something was dropped */
    bool in_key;
    bool staged;  /* what is written goes to `hold` for now */
    bool key_out; /* a key too long for `hold` was written, its value is owed */
    char quote;   /* of the open string */
    uint8_t ticks;
    uint8_t depth;                         /* open containers */
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit n: container n is an object, not an array */

    uint16_t held; /* bytes in hold */
    uint8_t word_len, escape_len, part_len;
    size_t repeat;            /* the last byte of hold, a blank, came that many times more */
    char hold[256];           /* output not surely right yet; before the object: the text so far */
    char word[JSON_WORD_MAX]; /* a number, true, ... until its end */
    char escape[12];          /* \uD83D\uDE00 */
    char part[4];             /* of a character */
};

void json_mend_init(struct json_mend *m);
/* Appends to out what is sure by now. False if out refused; then the output is worth nothing. */
bool json_mend_feed(struct json_mend *m, strv piece, struct buf *out);
/* Appends the rest. Look at out->failed too. Nothing may be fed afterwards. */
enum json_mend_result json_mend_end(struct json_mend *m, struct buf *out);

/* Whether something was changed up to now. */
static inline bool json_mended(const struct json_mend *m)
{
    return m->changed;
}

#endif
