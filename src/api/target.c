/* SPDX-License-Identifier: Apache-2.0 */
#include "api/target.h"

bool target_fits(const char *route, strv path)
{
    strv fixed = strv_of(route);
    if (fixed.len == 0 || fixed.ptr[fixed.len - 1] != '}')
        return strv_eq(fixed, path);
    fixed.len = (size_t)(strchr(route, '{') - route);
    return path.len > fixed.len && strv_starts(path, fixed);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(strv text, bool plus, struct arena *arena, strv *out)
{
    char *copy = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return false;
        copy[n++] = c;
    }
    copy[n] = '\0';
    *out = (strv){copy, n};
    return utf8_valid(*out);
}

bool target_name(const char *route, strv path, struct arena *arena, strv *out)
{
    return decode(strv_from(path, (size_t)(strchr(route, '{') - route)), false, arena, out);
}

bool target_query(strv query, const char *name, struct arena *arena, strv *out)
{
    strv member, key;
    *out = STRV_NONE;
    while (strv_cut(&query, '&', &member)) {
        strv value = member;
        if (strv_cut(&value, '=', &key) && strv_eq_cstr(key, name))
            return decode(value.ptr != NULL ? value : STRV(""), true, arena, out);
    }
    return true;
}
