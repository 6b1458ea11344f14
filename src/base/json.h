/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - reading through yyjson into an arena, writing straight into a buffer.
 *
 * Reading: json_read() copies the text into the arena and parses it in place. Strings are views
 * into that copy and begin at the same offset as in the source, which json_span() uses to tell
 * where a member's string stands in the original bytes: bodies can be passed on with only that part
 * replaced, and json_raw_member() gives any member's value as it was written.
 *
 * Writing: append pieces; json_put_str() quotes and escapes. Valid UTF-8 is passed as it is.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

#define JSON_DEPTH_MAX 128 /* nesting of arrays and objects; deeper input is refused */

struct json {
    yyjson_val *root;
    strv text;  /* the original bytes, not owned */
    char *copy; /* the parsed copy; string values point into it at the original offsets */
};

/* Strict RFC 8259 UTF-8, one value, nesting up to JSON_DEPTH_MAX. Everything lives in the arena. On
 * failure err has code `code`, offset, and a text like "invalid JSON at byte 17: unexpected
 * character". */
bool json_read(struct json *doc, strv text, struct arena *arena, int code, struct err *err);

/* Where the string value `v` of `doc` (an object member or element) stands in doc->text, quotes
 * included. False if v is not a string of doc. */
bool json_span(const struct json *doc, yyjson_val *v, size_t *at, size_t *len);

/* A value's own bytes: a view into doc->text, blanks around it left out, nothing written anew. So numbers
 * of any length, the order of members and the spelling of strings stay as they came. The time is linear in
 * the value's length (and in the number of members before it).
 *
 * json_raw_member() takes the first member `key` of `obj`, a null too; false if there is none or obj is no
 * object of doc. json_raw_value() takes the value behind the key of a member that is at hand, as in
 * yyjson_obj_foreach(). json_raw_next() walks the elements of an array of which the bytes are known:
 *
 *     strv rest = array, element;
 *     while (json_raw_next(&rest, &element)) ...       the n-th is yyjson's n-th
 */
bool json_raw_member(const struct json *doc, yyjson_val *obj, const char *key, strv *out);
bool json_raw_value(const struct json *doc, yyjson_val *key, strv *out);
bool json_raw_next(strv *rest, strv *element);

/* Members. Absent and null are both "not there". NULL obj is an empty object. */
/* Inline, so that the length of a key that is a literal is known when it is compiled. */
static inline yyjson_val *json_get(yyjson_val *obj, const char *key)
{
    yyjson_val *v = obj != NULL ? yyjson_obj_getn(obj, key, strlen(key)) : NULL;
    return yyjson_is_null(v) ? NULL : v;
}
strv json_str(yyjson_val *v); /* STRV_NONE if not a string */
static inline strv json_get_str(yyjson_val *obj, const char *key)
{
    return obj != NULL ? json_str(yyjson_obj_getn(obj, key, strlen(key))) : STRV_NONE;
}
bool json_is_int(yyjson_val *v,
                 int64_t *out); /* an integer, or a real with no fraction, in int64 range */
bool json_is_num(yyjson_val *v, double *out);
int64_t json_get_int(yyjson_val *obj, const char *key, int64_t otherwise);

bool json_put_str(struct buf *b, strv text); /* "..." with quotes */
/* As timefmt_rfc3339() has it, with quotes; null for 0 or less, which stands for never. */
bool json_put_time(struct buf *b, int64_t unix_us, int digits);
bool json_put_esc(struct buf *b, strv text); /* the inside of a string, without quotes */
/* A quote, a backslash or a byte below 0x20 as it stands in a string; returns the length, 2 or 6. */
size_t json_escape(char c, char out[6]);
/* "key": with a comma before it if `*first` is false; sets *first to false. */
bool json_put_key(struct buf *b, bool *first, const char *key);
/* A finite number with the fewest digits that read back the same ("0.7", "1", "1e-9"). */
bool json_put_num(struct buf *b, double v);
/* A parsed value written back (numbers keep their value; objects their order). */
bool json_put_val(struct buf *b, yyjson_val *v, struct arena *scratch);

#endif
