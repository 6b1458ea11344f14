/* SPDX-License-Identifier: Apache-2.0 */
/* routes - what is served where. To add one: a row. */
#include "admin/admin.h"
#include "app/app.h"

const struct api_route app_routes[] = {
    /* OpenAI */
    {.method = HTTP_POST, .path = "/v1/chat/completions", .door = LLM_OPENAI, .run = api_generate,
     .doc = "chat completions, whole or streamed"},
    {.method = HTTP_GET, .path = "/v1/models", .door = LLM_OPENAI, .run = api_models,
     .doc = "every name that `model` may hold; Anthropic's form when anthropic-version is sent"},
    /* Anthropic */
    {.method = HTTP_POST, .path = "/v1/messages", .door = LLM_ANTHROPIC, .run = api_generate,
     .doc = "messages, whole or streamed"},
    /* Ollama */
    {.method = HTTP_POST, .path = "/api/chat", .door = LLM_OLLAMA, .run = api_generate,
     .doc = "chat; streams unless told otherwise"},
    {.method = HTTP_POST, .path = "/api/generate", .door = LLM_OLLAMA, .op = LLM_OP_GENERATE, .run = api_generate,
     .doc = "completion of a prompt; streams unless told otherwise"},
    {.method = HTTP_GET, .path = "/api/tags", .door = LLM_OLLAMA, .run = api_tags, .doc = "models"},
    {.method = HTTP_GET, .path = "/api/version", .door = LLM_OLLAMA, .open = true, .run = api_version,
     .doc = "the Ollama version whose interface is spoken"},
    {.method = HTTP_GET, .path = "/", .door = LLM_OLLAMA, .open = true, .run = api_root,
     .doc = "the words that Ollama's clients look for"},
    /* native */
    {.method = HTTP_POST, .path = "/router/generate", .door = LLM_NATIVE, .run = api_generate,
     .doc = "one prompt or conversation, with the account of its route"},
    {.method = HTTP_POST, .path = "/router/stream", .door = LLM_NATIVE, .stream = true, .run = api_generate,
     .doc = "the same as server-sent events"},
    {.method = HTTP_GET, .path = "/router/providers", .door = LLM_NATIVE, .read = admin_providers,
     .doc = "health of every provider"},
    {.method = HTTP_GET, .path = "/router/models", .door = LLM_NATIVE, .read = admin_models,
     .doc = "models by provider, and the roles"},
    {.method = HTTP_GET, .path = "/router/breakers", .door = LLM_NATIVE, .read = admin_breakers,
     .doc = "circuit breakers"},
    {.method = HTTP_GET, .path = "/router/stats", .door = LLM_NATIVE, .read = admin_stats,
     .doc = "statistics since the start"},
    {.method = HTTP_GET, .path = "/router/available", .door = LLM_NATIVE, .read = admin_available,
     .doc = "whether anything can be served now"},
    /* operations */
    {.method = HTTP_GET, .path = "/healthz", .door = LLM_NATIVE, .open = true, .read = admin_healthz,
     .doc = "the process lives"},
    {.method = HTTP_GET, .path = "/readyz", .door = LLM_NATIVE, .open = true, .read = admin_readyz,
     .doc = "a request could be served, or why not"},
    {.method = HTTP_GET, .path = "/metrics", .door = LLM_NATIVE, .read = admin_metrics,
     .doc = "Prometheus metrics"},
};
const size_t app_n_routes = sizeof app_routes / sizeof *app_routes;
