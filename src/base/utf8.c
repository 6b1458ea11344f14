/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - the table of well-formed sequences (Unicode 15, table 3-7), nothing else. */
#include "base/utf8.h"

#include <stdint.h>

/* n > 0 */
static int character(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf; /* limits of the second byte */
    int len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        if (p[0] == 0xe0)
            low = 0xa0; /* shorter forms exist */
        else if (p[0] == 0xed)
            high = 0x9f; /* surrogates */
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        if (p[0] == 0xf0)
            low = 0x90; /* shorter forms exist */
        else if (p[0] == 0xf4)
            high = 0x8f; /* above U+10FFFF */
    } else {
        return 0;
    }
    for (int i = 1; i < len; i++) {
        if ((size_t)i == n)
            return UTF8_CUT;
        if (p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

int utf8_char(strv text)
{
    return character((const unsigned char *)text.ptr, text.len);
}

bool utf8_valid(strv text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t at = 0;
    while (at < text.len) {
        uint64_t eight;
        if (text.len - at >= sizeof(eight)) { /* most text is ASCII */
            memcpy(&eight, p + at, sizeof(eight));
            if ((eight & 0x8080808080808080) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        int len = character(p + at, text.len - at);
        if (len <= 0)
            return false;
        at += (size_t)len;
    }
    return true;
}

size_t utf8_whole(strv text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        const unsigned char *at = p + text.len - back;
        if ((*at & 0xc0) == 0x80)
            continue; /* not the first byte of a character */
        return character(at, back) == UTF8_CUT ? text.len - back : text.len;
    }
    return text.len;
}

strv utf8_cut(strv text, size_t max)
{
    if (text.len > max)
        text.len = max;
    text.len = utf8_whole(text);
    return text;
}
