/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - what a local server tells of itself: liveness, /props, /slots, /metrics, /tokenize.
 *
 * Busy slots are the requests in work, or the number that a test set. Metrics are numbers that a test set, else
 * what the stand-in has counted; llama-server's and vLLM's forms differ, others have none. A token is a byte.
 */
#include "standin.h"

#include <stdlib.h>

/* ---- metrics ---- */

static int64_t live(void)
{
    int64_t n = settings.busy >= 0 ? settings.busy : (int64_t)stats.requests_active;
    return n < settings.slots ? n : settings.slots;
}

static int64_t waiting(void)
{
    int64_t n = settings.busy >= 0 ? settings.busy : (int64_t)stats.requests_active;
    return n > settings.slots ? n - settings.slots : 0;
}

static int64_t zero(void)
{
    return 0;
}

static int64_t tokens(void)
{
    return (int64_t)stats.events;
}

static struct metric {
    const char *name, *kind, *help;
    int64_t (*count)(void);
    bool vllm;
    char set[32];
} metrics[] = {
    {"prompt_tokens_total", "counter", "Number of prompt tokens processed, excluding cached tokens",
     zero, false, ""},
    {"prompt_tokens_cached_total", "counter", "Number of prompt tokens reused from the cache", zero,
     false, ""},
    {"tokens_predicted_total", "counter", "Number of generation tokens processed", tokens, false,
     ""},
    {"prompt_tokens_seconds", "gauge", "Average prompt throughput in tokens/s", zero, false, ""},
    {"predicted_tokens_seconds", "gauge", "Average generation throughput in tokens/s", zero, false,
     ""},
    {"requests_processing", "gauge", "Number of requests processing", live, false, ""},
    {"requests_deferred", "gauge", "Number of requests deferred", waiting, false, ""},
    {"n_busy_slots_per_decode", "counter", "Average number of busy slots per llama_decode() call",
     live, false, ""},
    {"num_requests_running", "gauge", "Number of requests in model execution batches", live, true,
     ""},
    {"num_requests_waiting", "gauge", "Number of requests waiting to be processed", waiting, true,
     ""},
    {"kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage", zero, true, ""},
    {"prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of tokens",
     zero, true, ""},
    {"prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of tokens", zero,
     true, ""},
    {"generation_tokens_total", "counter", "Number of generation tokens processed", tokens, true,
     ""},
};

#define METRICS (sizeof metrics / sizeof *metrics)

/* Sets one for good; no name forgets them all. */
bool server_metric(struct span name, struct span value)
{
    bool known = name.p == NULL;
    for (size_t i = 0; i < METRICS; i++) {
        if (name.p == NULL)
            metrics[i].set[0] = 0;
        else if (span_is(name, metrics[i].name))
            known =
                snprintf(metrics[i].set, sizeof metrics[i].set, "%.*s", (int)value.n, value.p) > 0;
    }
    return known;
}

static void add_metric(struct text *t, const struct metric *m)
{
    const char *prefix = m->vllm ? "vllm:" : "llamacpp:";
    const char *const lines[] = {"# HELP ", m->help, "\n# TYPE ", m->kind, "\n"};
    for (size_t i = 0; i < 5; i++) {
        text_str(t, lines[i]);
        if (i == 0 || i == 2) {
            text_str(t, prefix);
            text_str(t, m->name);
            text_lit(t, " ");
        }
    }
    text_str(t, prefix);
    text_str(t, m->name);
    if (m->vllm) {
        text_lit(t, "{engine=\"0\",model_name=\"");
        text_add(t, settings.models, strcspn(settings.models, ","));
        text_lit(t, "\"}");
    }
    text_lit(t, " ");
    if (m->set[0])
        text_str(t, m->set);
    else
        text_int(t, m->count());
    text_str(t, m->vllm && !m->set[0] ? ".0\n" : "\n");
}

static int64_t add_metrics(const struct conn *c, struct text *t, const char **type)
{
    *type = "text/plain; version=0.0.4; charset=utf-8";
    for (size_t i = 0; i < METRICS; i++)
        if (metrics[i].vllm == (c->k.owner == OWNER_VLLM))
            add_metric(t, &metrics[i]);
    return 200;
}

/* ---- llama-server ---- */

static void add_first_model(struct text *t)
{
    text_json(t, settings.models, strcspn(settings.models, ","));
}

static int64_t props(const struct conn *c, struct text *t)
{
    bool llama = c->k.owner == OWNER_LLAMACPP;
    text_lit(t, "{\"default_generation_settings\":{\"n_ctx\":");
    text_int(t, settings.n_ctx);
    text_lit(t, "},\"total_slots\":");
    text_int(t, settings.slots);
    text_lit(t, ",\"model_alias\":\"");
    if (llama)
        add_first_model(t);
    else
        text_lit(t, "demo");
    text_str(t, settings.vision ? "\",\"modalities\":{\"vision\":true,\"audio\":false},"
                                : "\",\"modalities\":{\"vision\":false,\"audio\":false},");
    if (llama) {
        text_lit(t, "\"model_path\":\"");
        add_first_model(t);
        text_lit(t, ".gguf\",\"endpoint_slots\":true,\"endpoint_metrics\":true,\"chat_template\":"
                    "\"{%- if tools -%}{{ tools }}{%- endif -%}{{ messages }}\","
                    "\"chat_template_caps\":{\"supports_object_arguments\":true,"
                    "\"supports_parallel_tool_calls\":true,\"supports_system_role\":true,"
                    "\"supports_tool_calls\":true,\"supports_tools\":true},");
    }
    text_lit(t, "\"build_info\":\"standin\",\"is_sleeping\":");
    text_str(t, settings.sleeping ? "true}" : "false}");
    return 200;
}

static int64_t slots(const struct request *r, struct text *t)
{
    if (live() >= settings.slots && span_has(r->target, "fail_on_no_slot=1")) {
        text_lit(t, "{\"error\":{\"code\":503,\"message\":\"no slot available\",\"type\":"
                    "\"unavailable_error\"}}");
        return 503;
    }
    text_lit(t, "[");
    for (int64_t i = 0; i < settings.slots; i++) {
        text_str(t, i ? ",{\"id\":" : "{\"id\":");
        text_int(t, i);
        text_lit(t, ",\"n_ctx\":");
        text_int(t, settings.n_ctx);
        text_str(t, i < live() ? ",\"speculative\":false,\"is_processing\":true}"
                               : ",\"speculative\":false,\"is_processing\":false}");
    }
    text_lit(t, "]");
    return 200;
}

/* llama-server: {"content"} -> {"tokens":[..]}; vLLM: {"prompt"} -> {"count","max_model_len","tokens"}. */
static int64_t tokenize(const struct request *r, struct text *t)
{
    struct span content = scan_member(r->body, "content");
    bool vllm = content.p == NULL, pieces = span_is(scan_member(r->body, "with_pieces"), "true");
    struct text plain = {0};
    scan_text(vllm ? scan_member(r->body, "prompt") : content, &plain);
    text_lit(t, "{");
    if (vllm) {
        text_lit(t, "\"count\":");
        text_int(t, (int64_t)plain.len);
        text_lit(t, ",\"max_model_len\":");
        text_int(t, settings.n_ctx);
        text_lit(t, ",");
    }
    text_lit(t, "\"tokens\":[");
    for (size_t i = 0; i < plain.len; i++) {
        text_str(t, i ? "," : "");
        if (pieces)
            text_lit(t, "{\"id\":");
        text_int(t, (unsigned char)plain.data[i]);
        if (pieces) {
            text_lit(t, ",\"piece\":\"");
            text_json(t, plain.data + i, 1);
            text_lit(t, "\"}");
        }
    }
    text_lit(t, "]}");
    text_free(&plain);
    return 200;
}

static int64_t detokenize(const struct request *r, struct text *t)
{
    struct scan s = scan_open(scan_member(r->body, "tokens"));
    struct span none, token;
    struct text plain = {0};
    int64_t byte;
    while (scan_next(&s, &none, &token))
        if (span_int(token, &byte)) {
            char letter = (char)byte;
            text_add(&plain, &letter, 1);
        }
    text_lit(t, "{");
    word_string(t, span_has(r->body, "\"model\"") ? "prompt" : "content", &plain);
    text_lit(t, "}");
    text_free(&plain);
    return 200;
}

/* ---- */

static int64_t count_tokens(const struct request *r, struct text *t)
{
    text_lit(t, "{\"input_tokens\":");
    text_int(t, (int64_t)r->body.n / 4 + 1);
    text_lit(t, "}");
    return 200;
}

static int64_t post(const struct request *r, struct text *t)
{
    if (path_ends(r->path, "/v1/messages/count_tokens"))
        return count_tokens(r, t);
    if (path_ends(r->path, "/detokenize"))
        return detokenize(r, t);
    return path_ends(r->path, "/tokenize") ? tokenize(r, t) : 0;
}

int64_t server_other(const struct conn *c, const struct request *r, struct text *t,
                     const char **type)
{
    struct span path = r->path;
    bool local = c->k.owner == OWNER_LLAMACPP || c->k.owner == OWNER_VLLM;
    if (span_is(r->method, "POST"))
        return post(r, t);
    if (!span_is(r->method, "GET") && !span_is(r->method, "HEAD"))
        return 0;
    if (span_is(path, "/")) {
        *type = "text/plain; charset=utf-8";
        text_lit(t, "Ollama is running");
        return 200;
    }
    if (span_is(path, "/health") || span_is(path, "/v1/health")) {
        text_str(t, c->k.owner == OWNER_VLLM ? "" : "{\"status\":\"ok\"}");
        return 200;
    }
    if (c->k.owner == OWNER_LOCALAI && (span_is(path, "/healthz") || span_is(path, "/readyz")))
        return 200;
    if (c->k.owner == OWNER_VLLM && span_is(path, "/version")) {
        text_lit(t, "{\"version\":\"0.14.0\"}");
        return 200;
    }
    if (span_is(path, "/api/version")) {
        text_lit(t, "{\"version\":\"0.33.0\"}");
        return 200;
    }
    if (span_is(path, "/props"))
        return props(c, t);
    if (span_is(path, "/slots"))
        return slots(r, t);
    return span_is(path, "/metrics") && local ? add_metrics(c, t, type) : 0;
}
