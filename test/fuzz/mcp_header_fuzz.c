/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_header - values of mirrored headers, there and back.
 *
 *   first byte   even: the rest is a value, odd: it is a header as it came
 *
 * Every value of UTF-8 comes back as it went, in bytes that HTTP carries unchanged. What can be read is read the
 * same again after it was written anew.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mcp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void there_and_back(strv value)
{
    struct arena arena;
    struct buf out;
    strv back;

    arena_init(&arena, 1024, 1 << 22);
    buf_init(&out, 1 << 22);
    check(mcp_header_encode(value, &out));
    strv header = buf_view(&out);
    for (size_t i = 0; i < header.len; i++)
        check(header.ptr[i] == '\t' || (header.ptr[i] >= 0x20 && header.ptr[i] <= 0x7e));
    check(strv_trim(header).len == header.len);
    if (mcp_header_decode(header, &arena, &back))
        check(strv_eq(back, value));
    else
        check(!utf8_valid(value));
    buf_fini(&out);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    strv value;

    if (size == 0)
        return 0;
    strv in = {(const char *)data + 1, size - 1};
    if (data[0] % 2 == 0) {
        there_and_back(in);
        return 0;
    }
    arena_init(&arena, 1024, 1 << 22);
    if (mcp_header_decode(in, &arena, &value))
        there_and_back(value);
    arena_fini(&arena);
    check(mem_live() == 0);
    return 0;
}
