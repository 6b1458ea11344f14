/* SPDX-License-Identifier: Apache-2.0 */
/*
 * media - base64, data URIs and vectors from anybody.
 *
 *   first byte   which one: a data URI, else base64
 *   the rest     the text
 *
 * The text is normal or decodes exactly if the other does, and both mean the same bytes; what is normal is
 * its own normal form. The bytes themselves are written and read back as well.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void base64(strv text, struct arena *arena)
{
    struct err err = ERR_INIT;
    struct buf again;
    strv normal, bytes, same;

    bool ok = media_base64_normal(text, arena, &normal, 1, &err);
    check(ok != err.set && err.offset <= text.len);
    check(media_base64_decode(text, arena, &bytes, 1, NULL) == ok);
    const char *type = media_type_base64(text);
    if (!ok)
        return;
    buf_init(&again, SIZE_MAX / 2);
    check(media_base64_put(&again, bytes));
    check(strv_eq(buf_view(&again), normal));
    check(media_base64_normal(normal, arena, &same, 1, NULL) && same.ptr == normal.ptr);
    if (bytes.len > 24)
        bytes.len = 24;
    check(type == media_type(bytes));
    buf_fini(&again);
}

static void vector(strv text, struct arena *arena)
{
    struct buf again;
    const float *v;
    size_t n;
    strv normal;

    if (!media_floats_get(text, arena, &v, &n, 1, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        check(isfinite(v[i]));
    buf_init(&again, SIZE_MAX / 2);
    check(media_floats_put(&again, v, n));
    check(media_base64_normal(text, arena, &normal, 1, NULL));
    check(strv_eq(buf_view(&again), normal));
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct media_uri uri;
    struct err err = ERR_INIT;

    if (size == 0)
        return 0;
    strv text = {(const char *)data + 1, size - 1};
    arena_init(&arena, 4096, 1 << 28);
    if ((data[0] & 1) != 0) {
        bool ok = media_data_uri(text, &arena, &uri, 1, &err);
        check(ok != err.set);
        if (ok && uri.base64)
            base64(uri.data, &arena);
    } else {
        base64(text, &arena);
        vector(text, &arena);
    }
    struct buf b;
    strv back;
    buf_init(&b, SIZE_MAX / 2);
    check(media_base64_put(&b, text));
    check(media_base64_decode(buf_view(&b), &arena, &back, 1, NULL));
    check(strv_eq(back, text));
    buf_fini(&b);
    arena_fini(&arena);
    check(mem_live() == 0);
    return 0;
}
