/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - every stream that is written here is read again, by the rules of its dialect. In debug builds, which
 * is what the tests run; a release has none of it.
 *
 * Bytes of an upstream that only pass are its own affair: a stream that holds any is not judged (`on` is cleared).
 */
#include "exchange/outlet.h"

#ifdef LLM_CHECK_STREAMS
#include <stdio.h>
#include <stdlib.h>

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct outlet_check *c = arg;
    struct arena scratch;
    arena_init(&scratch, 4096, (size_t)1 << 30);
    bool ok = dialect_check_frame(&c->check, frame->name, frame->data, &scratch);
    if (scratch.failed) /* refused memory breaks no rule */
        c->on = false;
    arena_fini(&scratch);
    return ok;
}

static void must(const struct outlet_check *c, bool ok)
{
    if (ok || !c->on || c->check.broken == NULL)
        return;
    fprintf(stderr, "a %s stream is broken: %s\n", llm_dialect_name(c->door->id), c->check.broken);
    abort();
}

void outlet_check_begin(struct outlet_check *c, const struct dialect *door, enum llm_op op)
{
    c->on = true;
    c->door = door;
    dialect_check_init(&c->check, door->id, op);
    http_framer_init(&c->framer, door->framing == DIALECT_SSE ? HTTP_SSE : HTTP_NDJSON,
                     (size_t)1 << 30);
}

void outlet_check_bytes(struct outlet_check *c, strv bytes)
{
    if (c->on)
        must(c, http_framer_feed(&c->framer, bytes.ptr, bytes.len, on_frame, c));
}

void outlet_check_end(struct outlet_check *c, bool complete)
{
    if (c->on)
        must(c, dialect_check_end(&c->check, complete));
    c->on = false;
}

void outlet_check_fini(struct outlet_check *c)
{
    http_framer_fini(&c->framer);
}
#endif
