/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header - values of the modern era's mirrored headers, both ways (message.h).
 *
 *   "us-west1"      us-west1                       printable ASCII goes as it is
 *   " padded"       =?base64?IHBhZGRlZA==?=        what HTTP would change, or may not carry, is wrapped
 *   "=?base64?x?="  =?base64?PT9iYXNlNjQ/eD89?=    and so is what looks wrapped
 *
 * Base64 is the standard alphabet with padding and nothing else: two readers must see the same value.
 */
#include "mcp/message.h"

static const strv before = {"=?base64?", 9}, behind = {"?=", 2};

/* Tab and the visible characters. */
static bool is_plain(strv value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c != '\t' && (c < 0x20 || c > 0x7e))
            return false;
    }
    return true;
}

static bool has_blank_end(strv value)
{
    return value.len > 0 &&
           (strv_is_blank(value.ptr[0]) || strv_is_blank(value.ptr[value.len - 1]));
}

static bool is_wrapped(strv value, strv *inside)
{
    if (value.len < before.len + behind.len || !strv_starts(value, before) ||
        !strv_ends(value, behind))
        return false;
    *inside = (strv){value.ptr + before.len, value.len - before.len - behind.len};
    return true;
}

/* Readers there are that take the mark in any case, so that is wrapped too. */
static bool looks_wrapped(strv value)
{
    return value.len >= before.len && strv_ends(value, behind) &&
           strv_eq_nocase((strv){value.ptr, before.len}, before);
}

bool mcp_header_encode(strv value, struct buf *out)
{
    if (is_plain(value) && !has_blank_end(value) && !looks_wrapped(value))
        return buf_put_strv(out, value);
    buf_put_strv(out, before);
    media_base64_put(out, value);
    return buf_put_strv(out, behind);
}

bool mcp_header_decode(strv value, struct arena *arena, strv *out)
{
    strv inside, normal;

    *out = STRV_NONE;
    if (!is_plain(value))
        return false;
    value = strv_trim(value);
    if (!is_wrapped(value, &inside)) {
        *out = value;
        return true;
    }
    /* What is not in its normal form is copied. */
    if (!media_base64_normal(inside, arena, &normal, 0, NULL) || normal.ptr != inside.ptr)
        return false;
    return media_base64_decode(inside, arena, out, 0, NULL) && utf8_valid(*out);
}
