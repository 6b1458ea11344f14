/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_mend - a tool call's argument text, of any bytes.
 *
 *   first byte   seed of the cuts
 *   the rest     the text
 *
 * However the text is cut, the output is the same: one JSON object within the stated length, equal to the
 * input where the result is OK, and a valid object when it is fed again. A text that json_read() takes as
 * an object passes unless it has a number or blanks beyond the limits.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* cuts: 0 = none */
static enum json_mend_result mend(strv in, uint64_t cuts, struct buf *out)
{
    struct json_mend m;
    struct rng rng;

    buf_init(out, SIZE_MAX / 2);
    json_mend_init(&m);
    rng_seed(&rng, cuts);
    while (in.len > 0) {
        size_t n = cuts == 0 ? in.len : (size_t)rng_below(&rng, 5) + 1;
        char *piece;

        if (n > in.len)
            n = in.len;
        piece = malloc(n); /* of exactly that size, for the sanitizer */
        check(piece != NULL);
        memcpy(piece, in.ptr, n);
        check(json_mend_feed(&m, (strv){piece, n}, out));
        free(piece);
        in = strv_from(in, n);
    }
    enum json_mend_result result = json_mend_end(&m, out);
    check(!out->failed && json_mended(&m) == (result != JSON_MEND_OK));
    return result;
}

static bool is_object(strv text)
{
    struct arena arena;
    struct json doc;

    arena_init(&arena, 4096, 1 << 28);
    bool is = json_read(&doc, text, &arena, 0, NULL) && yyjson_is_obj(doc.root);
    arena_fini(&arena);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, pieces, again;

    if (size == 0)
        return 0;
    strv in = {(const char *)data + 1, size - 1};
    enum json_mend_result result = mend(in, 0, &whole);
    check(mend(in, (uint64_t)data[0] + 1, &pieces) == result);
    check(strv_eq(buf_view(&whole), buf_view(&pieces)));
    check(is_object(buf_view(&whole)));
    check(buf_len(&whole) <= 6 * in.len + 200);
    if (result == JSON_MEND_OK)
        check(strv_eq(buf_view(&whole), in));
    else if (in.len <= 120)
        check(!is_object(in));
    check(mend(buf_view(&whole), 0, &again) != JSON_MEND_FAILED);
    check(strv_eq(buf_view(&whole), buf_view(&again)) || in.len > 120);
    buf_fini(&whole);
    buf_fini(&pieces);
    buf_fini(&again);
    check(mem_live() == 0);
    return 0;
}
