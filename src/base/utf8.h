/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - is it valid, and where may it be cut. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strv.h"

bool utf8_valid(strv text);
/* Length of the first character (1 to 4), 0 if the bytes are none, UTF8_CUT if the text ends inside one.
 * The text is not empty. */
int utf8_char(strv text);
#define UTF8_CUT (-1)
/* Length of the longest prefix that does not end inside a character: at most 3 bytes shorter.
 * Invalid bytes count as characters of their own, so a prefix is never held back for ever. */
size_t utf8_whole(strv text);
/* Longest prefix of at most max bytes that ends at a character's end. */
strv utf8_cut(strv text, size_t max);

#endif
