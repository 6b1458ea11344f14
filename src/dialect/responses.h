/* SPDX-License-Identifier: Apache-2.0 */
/* responses - what the two files of this dialect share: requests (responses_request.c), answers (responses.c). */
#ifndef DIALECT_RESPONSES_H
#define DIALECT_RESPONSES_H

#include "dialect/dialect.h"

bool responses_decode_request(strv body, enum llm_op op, struct arena *arena,
                              struct llm_request *out, struct err *err);

#endif
