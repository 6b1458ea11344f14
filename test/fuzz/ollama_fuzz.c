/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_fuzz - hostile callers and upstreams of /api/chat and /api/generate. */
#include "dialect_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing that loads a model or asks for Ollama's own ways comes out of another dialect. */
static void check(const struct llm_request *r)
{
    MUST(r->needs == 0);
    for (size_t i = 0; i < r->n_messages; i++)
        MUST(r->messages[i].n_parts == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_dialect(&dialect_ollama, data, size, check);
}
