/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama - what the files of this dialect share.
 *
 *   ollama_request.c  a caller's request        ollama.c         answers to callers, the dialect's row
 *   ollama_target.c   a request to an upstream  ollama_answer.c  answers of upstreams
 */
#ifndef DIALECT_OLLAMA_H
#define DIALECT_OLLAMA_H

#include "dialect/dialect.h"

#define PUT(out, literal) buf_put((out), (literal), sizeof(literal) - 1)

/* What an Ollama can do and what not: no documents, links, choices, log probabilities in OpenAI's form. */
#define OLLAMA_CAN (LLM_NEED_OLLAMA_RAW | LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_EMBED)

static inline bool ollama_is_embed(enum llm_op op)
{
    return op == LLM_OP_EMBED || op == LLM_OP_EMBED_1;
}

bool ollama_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err);
bool ollama_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);
bool ollama_decode_frame(struct dialect_in *st, strv name, strv data, struct err *err);
bool ollama_decode_reply(struct dialect_in *st, strv body, struct err *err);

#endif
