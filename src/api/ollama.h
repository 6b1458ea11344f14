/* SPDX-License-Identifier: Apache-2.0 */
/* ollama - what the files of Ollama's door share. */
#ifndef API_OLLAMA_H
#define API_OLLAMA_H

#include "api/api_int.h"

/* A body that names a model, as `model` or (older clients) `name`; its parts live in the request's arena. */
bool ollama_read(struct http_request *req, struct json *doc, strv *name, struct err *err);
/* {"parent_model":"",...}; format "" and context 0 = not known. */
void ollama_put_details(struct buf *b, const char *format, int64_t context);
/* ["completion","tools"]: what is known (enum llm_need), and nothing else. */
void ollama_put_capabilities(struct buf *b, strv model, uint32_t has);

#endif
