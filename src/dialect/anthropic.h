/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic - what the files of this dialect share.
 *
 *               caller's side                               upstream's side
 *   request     anthropic_request.c  members of the root    anthropic_encode.c  a body of our own
 *               anthropic_content.c  messages and blocks    anthropic_own.c     the caller's bytes, edited
 *   answer      anthropic.c                                 anthropic_answer.c
 */
#ifndef DIALECT_ANTHROPIC_H
#define DIALECT_ANTHROPIC_H

#include "dialect/dialect.h"
#include "dialect/reading.h"

/* The member by which a request leaves or finds its past at the vendor; not taken, see the reader. */
#define ANTHROPIC_THREAD "thread"

#define PUT(out, literal) buf_put((out), (literal), sizeof(literal) - 1)

bool anthropic_decode_request(strv body, enum llm_op op, struct arena *arena,
                              struct llm_request *out, struct err *err);
/* `system` and `messages` of the root. */
bool anthropic_read_messages(struct reading *rd, yyjson_val *root);

bool anthropic_encode_request(const struct llm_request *r, const struct dialect_target *t,
                              struct arena *arena, struct buf *out, uint32_t *losses,
                              struct err *err);
bool anthropic_edit_own(const struct llm_request *r, const struct dialect_target *t,
                        struct arena *arena, struct buf *out, uint32_t *losses);

/* Parameters that models from 4.7 on refuse, even with their default values. */
#define ANTHROPIC_SAMPLING ((1u << LLM_P_TEMPERATURE) | (1u << LLM_P_TOP_P) | (1u << LLM_P_TOP_K))
/* The limit that goes out: the caller's or the configured one, never more than the model takes. */
int64_t anthropic_max_tokens(const struct llm_request *r, const struct dialect_target *t);
/* What is said of r->effort to this target. */
struct anthropic_thinking {
    enum { THINK_UNSAID, THINK_ENABLED, THINK_ADAPTIVE, THINK_DISABLED } mode;
    int64_t budget;     /* ENABLED */
    const char *effort; /* output_config.effort; NULL = not said */
    bool lost;          /* it is not all of what the caller asked for */
};
struct anthropic_thinking anthropic_think(const struct llm_request *r,
                                          const struct dialect_target *t);
/* The member's value: {"type":...}; mode is not UNSAID. */
void anthropic_put_thinking(struct buf *out, const struct anthropic_thinking *th,
                            const struct llm_request *r);
/* A signature that Anthropic's cloud made, as far as can be told: what we make up ourselves is empty. */
static inline bool anthropic_signed(strv signature)
{
    return signature.len > 0;
}

bool anthropic_decode_frame(struct dialect_in *st, strv name, strv data, struct err *err);
bool anthropic_decode_reply(struct dialect_in *st, strv body, struct err *err);

#endif
