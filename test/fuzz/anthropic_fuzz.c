/* SPDX-License-Identifier: Apache-2.0 */
/* anthropic_fuzz - hostile callers and upstreams of /v1/messages. */
#include "dialect_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rules that Anthropic checks and callers of other dialects do not know. */
static void check(const struct llm_request *r)
{
    MUST(r->n_messages > 0);
    size_t i = r->messages[0].role == LLM_SYSTEM ? 1 : 0;
    MUST(i < r->n_messages && r->messages[i].role == LLM_USER);
    for (; i < r->n_messages; i++) {
        MUST(r->messages[i].n_parts > 0);
        MUST(i + 1 == r->n_messages || r->messages[i].role != r->messages[i + 1].role);
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            MUST(strv_trim(r->messages[i].parts[k].text).len > 0);
    }
    MUST(llm_has(r, LLM_P_MAX_TOKENS));
    MUST(!llm_has(r, LLM_P_TEMPERATURE) || !llm_has(r, LLM_P_TOP_P));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_dialect(&dialect_anthropic, data, size, check);
}
