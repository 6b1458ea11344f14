/* SPDX-License-Identifier: Apache-2.0 */
/* strv - see strv.h. Nothing here allocates or looks at the locale. */
#include "base/strv.h"

#include <math.h>
#include <yyjson.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

bool strv_eq_nocase(strv a, strv b)
{
    return a.len == b.len && same_nocase(a.ptr, b.ptr, a.len);
}

bool strv_starts(strv v, strv prefix)
{
    return v.len >= prefix.len && strv_eq((strv){v.ptr, prefix.len}, prefix);
}

bool strv_ends(strv v, strv suffix)
{
    return v.len >= suffix.len && strv_eq(strv_from(v, v.len - suffix.len), suffix);
}

bool strv_contains_nocase(strv v, strv part)
{
    if (part.len == 0)
        return true;
    for (size_t at = 0; at + part.len <= v.len; at++) {
        if (same_nocase(v.ptr + at, part.ptr, part.len))
            return true;
    }
    return false;
}

strv strv_trim(strv v)
{
    while (v.len > 0 && strv_is_blank(v.ptr[0]))
        v = strv_from(v, 1);
    while (v.len > 0 && strv_is_blank(v.ptr[v.len - 1]))
        v.len--;
    return v;
}

bool strv_cut(strv *rest, char sep, strv *part)
{
    if (rest->ptr == NULL) {
        *part = STRV_NONE;
        return false;
    }
    *part = *rest;
    const char *at = rest->len != 0 ? memchr(rest->ptr, sep, rest->len) : NULL;
    if (at == NULL) {
        *rest = STRV_NONE;
        return true;
    }
    part->len = (size_t)(at - rest->ptr);
    *rest = strv_from(*rest, part->len + 1);
    return true;
}

static bool digits(strv v, uint64_t *out)
{
    uint64_t n = 0;
    if (v.len == 0)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(v.ptr[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

bool strv_u64(strv v, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t n;
    if (!digits(v, &n) || n < min || n > max)
        return false;
    *out = n;
    return true;
}

bool strv_i64(strv v, int64_t *out)
{
    bool negative = v.len > 0 && v.ptr[0] == '-';
    uint64_t n;
    if (!digits(negative ? strv_from(v, 1) : v, &n) || n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

/* The grammar is JSON's: no sign '+', no hexadecimal, no "inf", a digit on both sides of the point.
 * strtod() would follow the locale, yyjson's reader does not. */
bool strv_double(strv v, double *out)
{
    char text[128]; /* a double never needs more than 25 characters; longer is not a setting */
    if (v.len == 0 || v.len >= sizeof(text))
        return false;
    memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    yyjson_mut_val number;
    const char *end = yyjson_mut_read_number(text, &number, YYJSON_READ_NOFLAG, NULL, NULL);
    if (end != text + v.len)
        return false;
    double d = yyjson_mut_get_num(&number);
    if (!isfinite(d))
        return false;
    *out = d;
    return true;
}

/* One star to fall back to is enough: when a later star matches, no earlier one needs to take more.
 */
bool strv_glob(strv pattern, strv text)
{
    size_t p = 0, t = 0, star_p = SIZE_MAX, star_t = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star_p = p++;
            star_t = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star_p != SIZE_MAX) {
            p = star_p + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

/* FNV-1a, then murmur3's finaliser, because tables use the low bits. */
uint64_t strv_hash(strv v, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325 ^ seed;
    for (size_t i = 0; i < v.len; i++)
        h = (h ^ (unsigned char)v.ptr[i]) * 0x100000001b3;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
    return h ^ (h >> 33);
}

int strv_cmp(strv a, strv b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n != 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}
