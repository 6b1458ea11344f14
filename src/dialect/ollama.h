/* SPDX-License-Identifier: Apache-2.0 */
/* ollama - what the two files of this dialect share: requests (ollama_request.c), answers (ollama.c). */
#ifndef DIALECT_OLLAMA_H
#define DIALECT_OLLAMA_H

#include "dialect/dialect.h"

#define PUT(out, literal) buf_put((out), (literal), sizeof(literal) - 1)

bool ollama_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err);
bool ollama_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);

#endif
