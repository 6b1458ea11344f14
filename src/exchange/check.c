/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - every stream that is written here is read again, by the rules of its dialect. In debug builds, which
 * is what the tests run; a release has none of it.
 *
 * Bytes of an upstream that only pass are its own affair: a stream that holds any is not judged.
 */
#include "exchange/exchange_int.h"

#ifdef LLM_CHECK_STREAMS
#include <stdio.h>
#include <stdlib.h>

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct exchange *x = arg;
    struct arena scratch;
    arena_init(&scratch, 4096, (size_t)1 << 30);
    bool ok = dialect_check_frame(&x->check, frame->name, frame->data, &scratch);
    if (scratch.failed) /* refused memory breaks no rule */
        x->checked = false;
    arena_fini(&scratch);
    return ok;
}

static void must(const struct exchange *x, bool ok)
{
    if (ok || !x->checked || x->check.broken == NULL)
        return;
    fprintf(stderr, "a %s stream is broken: %s\n", llm_dialect_name(x->door->id), x->check.broken);
    abort();
}

void check_begin(struct exchange *x)
{
    x->checked = x->sink->event == NULL;
    dialect_check_init(&x->check, x->door->id, x->r->op);
    http_framer_init(&x->checker, x->door->framing == DIALECT_SSE ? HTTP_SSE : HTTP_NDJSON,
                     (size_t)1 << 30);
}

void check_pass(struct exchange *x)
{
    x->checked = false;
}

void check_bytes(struct exchange *x, strv bytes)
{
    if (x->checked && x->r->stream)
        must(x, http_framer_feed(&x->checker, bytes.ptr, bytes.len, on_frame, x));
}

void check_end(struct exchange *x, bool complete)
{
    if (x->checked && x->r->stream && x->committed)
        must(x, dialect_check_end(&x->check, complete));
    x->checked = false;
}

void check_fini(struct exchange *x)
{
    http_framer_fini(&x->checker);
}
#endif
