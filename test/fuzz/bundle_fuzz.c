/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle - the manifest of a bundle, without the signature that says first whether it is read at all.
 *
 * What is read is written again as the same bytes; every path of it stays below a folder, and no two are one.
 */
#include <stdint.h>
#include <stdlib.h>

#include "bundle/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_list(const struct bundle *b)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->n; i++) {
        strv path = strv_of(b->files[i].path);
        check(path.len > 0 && path.len <= BUNDLE_PATH_MAX && path.ptr[0] != '/');
        check(strstr(path.ptr, "..") == NULL || bundle_path_problem(path) == NULL);
        check(bundle_find(b, path) == &b->files[i]);
        check(i == 0 || !strv_eq_nocase(strv_of(b->files[i - 1].path), path));
        bytes += b->files[i].bytes;
    }
    check(bytes == b->bytes && bytes <= BUNDLE_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    strv text = {(const char *)data, size};
    struct err err = ERR_INIT;
    struct bundle b;
    struct buf out;
    bundle_init(&b);
    buf_init(&out, BUNDLE_MANIFEST_MAX);
    bool ok = bundle_read(&b, text, &err);
    check(ok != err.set);
    if (ok) {
        check_list(&b);
        check(bundle_write(&b, &out) && strv_eq(buf_view(&out), text));
    }
    buf_fini(&out);
    bundle_fini(&b);
    check(mem_live() == 0);
    return 0;
}
