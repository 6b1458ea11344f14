/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - server-sent events and JSON lines cut out of anything.
 *
 *   first byte   lowest bit: which framing; the rest: seed of the cuts
 *   the rest     the stream
 *
 * However the stream is cut, the frames are the same. Each frame's own bytes stand in the stream, in
 * order; only the last one may have been given the line ends it lacked.
 */
#include <stdint.h>
#include <stdlib.h>

#include "http/http.h"

#define FRAME_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct got {
    struct buf text;
    strv rest; /* of the stream, behind the last frame seen */
    bool ending;
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct got *got = arg;
    size_t len = frame->raw.len;
    const char *at;

    check(len > 0 && len <= FRAME_MAX + 2);
    check(frame->name.len <= len && frame->data.len <= len);
    if (got->ending) {
        while (len > 0 && (frame->raw.ptr[len - 1] == '\n' || frame->raw.ptr[len - 1] == '\r'))
            len--;
    }
    at = memmem(got->rest.ptr, got->rest.len, frame->raw.ptr, len);
    check(at != NULL);
    got->rest = strv_from(got->rest, (size_t)(at - got->rest.ptr) + len);
    buf_put_strv(&got->text, frame->name);
    buf_put_char(&got->text, '\0');
    buf_put_strv(&got->text, frame->data);
    buf_put_char(&got->text, '\0');
    buf_put_strv(&got->text, frame->raw);
    buf_put_char(&got->text, '\0');
    return true;
}

/* cuts: 0 = none */
static void run(struct got *got, enum http_framing framing, strv in, uint64_t cuts)
{
    struct http_framer f;
    struct rng rng;
    bool ok = true;

    *got = (struct got){.rest = in};
    buf_init(&got->text, SIZE_MAX / 2);
    rng_seed(&rng, cuts);
    http_framer_init(&f, framing, FRAME_MAX);
    while (in.len > 0 && ok) {
        size_t n = cuts == 0 ? in.len : (size_t)rng_below(&rng, 9) + 1;
        char *piece;

        if (n > in.len)
            n = in.len;
        piece = malloc(n); /* of exactly that size, for the sanitizer */
        check(piece != NULL);
        memcpy(piece, in.ptr, n);
        ok = http_framer_feed(&f, piece, n, on_frame, got);
        free(piece);
        in = strv_from(in, n);
    }
    got->ending = true;
    ok = ok && http_framer_end(&f, on_frame, got);
    buf_put_char(&got->text, ok ? '+' : '-');
    http_framer_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct got whole, pieces;

    if (size == 0)
        return 0;
    enum http_framing framing = (data[0] & 1) != 0 ? HTTP_NDJSON : HTTP_SSE;
    strv in = {(const char *)data + 1, size - 1};

    run(&whole, framing, in, 0);
    run(&pieces, framing, in, (uint64_t)data[0] + 1);
    check(strv_eq(buf_view(&whole.text), buf_view(&pieces.text)));
    buf_fini(&whole.text);
    buf_fini(&pieces.text);
    check(mem_live() == 0);
    return 0;
}
