/* SPDX-License-Identifier: Apache-2.0 */
/* openai - what the two files of this dialect share: requests (openai_request.c), answers (openai.c). */
#ifndef DIALECT_OPENAI_H
#define DIALECT_OPENAI_H

#include "dialect/dialect.h"

bool openai_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err);
bool openai_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);

#endif
