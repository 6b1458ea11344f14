/* SPDX-License-Identifier: Apache-2.0 */
/* reading - what decoding a caller's request carries from function to function. Private to the folder. */
#ifndef DIALECT_READING_H
#define DIALECT_READING_H

#include "dialect/dialect.h"

struct reading {
    struct llm_request *r;
    struct arena *arena;
    struct err *err;
};

static inline bool invalid(struct reading *rd, const char *field, const char *what)
{
    return dialect_bad(rd->err, LLM_ERR_INVALID_REQUEST, field, what);
}

static inline bool unsupported(struct reading *rd, const char *field, const char *what)
{
    return dialect_bad(rd->err, LLM_ERR_UNSUPPORTED, field, what);
}

static inline void beyond(struct reading *rd, enum dialect_loss loss)
{
    rd->r->untranslated |= 1u << loss;
}

#endif
