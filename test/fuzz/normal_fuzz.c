/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal_fuzz - any bytes as text, and as the inside of a JSON string.
 *
 *   first byte   which one; where the text is cut for the second look, as two pieces
 *   the rest     the text
 *
 * The views are never longer than the text, valid UTF-8 unless they say otherwise, equal but for the case of
 * letters, and the way back never goes backwards.
 */
#include <stdint.h>
#include <stdlib.h>

#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void look(const struct text_view *v, size_t raw)
{
    check(v->n <= raw && text_at(v, v->n) <= raw);
    check(v->invalid || utf8_valid((strv){v->plain, v->n}));
    check(v->invalid || utf8_valid((strv){v->folded, v->n}));
    for (size_t i = 0; i < v->n; i++) {
        check(text_at(v, i) <= text_at(v, i + 1));
        check((unsigned char)v->plain[i] >= 0x80 || (v->plain[i] | 32) == (v->folded[i] | 32));
        check(!v->ascii || (unsigned char)v->plain[i] < 0x80);
        check(v->folded[i] < 'A' || v->folded[i] > 'Z');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    strv text = {(const char *)data + 1, size - 1};
    enum text_escapes escapes = (data[0] & 1) != 0 ? TEXT_JSON_STRING : TEXT_PLAIN;
    size_t cut = text.len > 0 ? data[0] % text.len : 0;
    struct text_scratch *s = text_scratch_new();
    struct text_view v;
    check(s != NULL);
    check(text_normalise(s, text, escapes, &v));
    look(&v, text.len);
    text_begin(s);
    check(text_add(s, (strv){text.ptr, cut}, 0, escapes));
    check(text_add(s, strv_from(text, cut), cut, escapes));
    check(text_end(s, text, &v));
    look(&v, text.len);
    text_scratch_free(s);
    return 0;
}
