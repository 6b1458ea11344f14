/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strv - a view of text: pointer and length. Never owns, never NUL-terminated by promise.
 * ptr NULL means absent; an empty text has a non-NULL ptr and len 0.
 */
#ifndef BASE_STRV_H
#define BASE_STRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *ptr;
    size_t len;
} strv;

#define STRV(literal) ((strv){(literal), sizeof(literal) - 1})
#define STRV_NONE     ((strv){NULL, 0})
#define STRV_FMT      "%.*s"
#define STRV_ARG(v)   (int)(v).len, (v).ptr

static inline strv strv_of(const char *text) /* NULL gives STRV_NONE */
{
    return (strv){text, text != NULL ? strlen(text) : 0};
}

static inline bool strv_eq(strv a, strv b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline strv strv_from(strv v, size_t at) /* at <= len */
{
    return at != 0 ? (strv){v.ptr + at, v.len - at} : v; /* NULL + 0 is undefined in C17 */
}

static inline bool strv_is_blank(char c) /* as in strv_trim() and in JSON */
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline int strv_hex(char c) /* value of a hexadecimal digit, or -1 */
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static inline bool strv_eq_cstr(strv a, const char *b)
{
    return strv_eq(a, strv_of(b));
}
bool strv_eq_nocase(strv a, strv b); /* ASCII letters only */
bool strv_starts(strv v, strv prefix);
bool strv_ends(strv v, strv suffix);
bool strv_contains_nocase(strv v, strv part); /* ASCII letters only */
strv strv_trim(strv v);                       /* blanks, tabs, CR, LF at both ends */
/* Cuts the text before `sep` off `rest` and returns it; all of it when there is none. False when
 * rest is used up (ptr NULL). */
bool strv_cut(strv *rest, char sep, strv *part);
/* Whole text is one decimal number in range. */
bool strv_u64(strv v, uint64_t min, uint64_t max, uint64_t *out);
bool strv_i64(strv v, int64_t *out);
bool strv_double(strv v, double *out); /* finite only; locale-free */
/* `*` matches any run of characters, everything else itself. */
bool strv_glob(strv pattern, strv text);
uint64_t strv_hash(strv v, uint64_t seed); /* not for secrets */
int strv_cmp(strv a, strv b);

#endif
