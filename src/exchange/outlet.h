/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlet - the caller's end of an answer: events become bytes of his dialect, and in debug builds, which is what the
 * tests run, every stream that is written is read again by the rules of its dialect.
 *
 * For whoever writes an answer: relay.c that of one exchange, agent/ one that several exchanges make.
 */
#ifndef EXCHANGE_OUTLET_H
#define EXCHANGE_OUTLET_H

#include "dialect/dialect.h"
#include "http/http.h"

/* A new answer to `r`; `kept_max` bounds what must wait. False: no memory. buf_fini(&out->kept) ends it. */
bool outlet_begin(struct dialect_out *out, const struct llm_request *r, size_t kept_max,
                  struct rng *rng, struct arena *arena, int64_t wall_us);
/* Half an event is none: what stands before it stays. */
bool outlet_event(struct dialect_out *out, const struct dialect *door, const struct llm_event *ev,
                  struct buf *to);

/* check.c */
struct outlet_check {
#ifdef LLM_CHECK_STREAMS
    struct dialect_check check;
    struct http_framer framer;
    const struct dialect *door;
#endif
    bool on;
};
#ifdef LLM_CHECK_STREAMS
void outlet_check_begin(struct outlet_check *c, const struct dialect *door, enum llm_op op);
void outlet_check_bytes(struct outlet_check *c, strv bytes);
void outlet_check_end(struct outlet_check *c, bool complete); /* of a stream that was begun */
void outlet_check_fini(struct outlet_check *c);
#else
#define outlet_check_begin(c, door, op) ((void)(c))
#define outlet_check_bytes(c, bytes)    ((void)(c))
#define outlet_check_end(c, complete)   ((void)(c))
#define outlet_check_fini(c)            ((void)(c))
#endif

#endif
