/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/outlet.h"

bool outlet_begin(struct dialect_out *out, const struct llm_request *r, size_t kept_max,
                  struct rng *rng, struct arena *arena, int64_t wall_us)
{
    const struct dialect *door = dialect_get(r->dialect);
    char *id = arena_zalloc(arena, 64);
    *out = (struct dialect_out){
        .op = r->op,
        .base64 = r->base64,
        .r = r,
        .created_us = wall_us,
        .include_usage = r->include_usage,
        .input_estimate = llm_request_estimate_tokens(r),
    };
    buf_init(&out->kept, kept_max);
    if (id != NULL && door->make_id != NULL) {
        door->make_id(rng, id);
        out->id = strv_of(id);
    }
    return id != NULL;
}

bool outlet_event(struct dialect_out *out, const struct dialect *door, const struct llm_event *ev,
                  struct buf *to)
{
    size_t before = buf_len(to);
    bool ok = door->encode_event(out, ev, to);
    if (!ok && !to->failed)
        buf_rewind(to, before);
    return ok;
}
