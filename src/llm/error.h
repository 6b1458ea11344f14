/* SPDX-License-Identifier: Apache-2.0 */
/* error - the table of errors a caller can meet (rows in errors.def). */
#ifndef LLM_ERROR_H
#define LLM_ERROR_H

#include <stdbool.h>

#include "base/base.h"

enum llm_error {
    LLM_OK,
#define LLM_ERROR(id, code, status, astatus, otype, ocode, atype, retry, text) LLM_ERR_##id,
#include "llm/errors.def"
#undef LLM_ERROR
    LLM_ERRORS
};

struct llm_error_row {
    const char *code;
    int status, anthropic_status;
    const char *openai_type, *openai_code, *anthropic_type;
    bool retry;
    const char *text;
};

/* Unknown codes (0, negative, ERR_CODE_OOM) give the row of INTERNAL. */
const struct llm_error_row *llm_error_row(int code);

#endif
