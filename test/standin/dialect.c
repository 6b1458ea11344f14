/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect - how each dialect words it: events, whole replies, errors, lists.
 *
 *                 OpenAI                    Anthropic                         Ollama
 *   start         role chunk                message_start, block start, ping  (nothing)
 *   event         delta.content             content_block_delta               message.content / response
 *   finish        finish chunk, usage       block stop, message_delta         (in the done line)
 *   done          [DONE]                    message_stop                      done:true with metrics
 *   error inside  data: {"error":...}       event: error                      {"error":"text"}
 *
 * Pure: conn in, text out. The shapes are those of the servers named in the comments, as of November 2026.
 */
#include "standin.h"

#include <time.h>

bool dialect_of(struct span path, enum dialect *d)
{
    /* By suffix: base URLs differ ("/v1", "/engines/v1", none), and a router joins them. */
    static const struct {
        const char *suffix;
        enum dialect d;
    } paths[] = {
        {"/chat/completions", OPENAI},
        {"/v1/messages", ANTHROPIC},
        {"/api/chat", OLLAMA_CHAT},
        {"/api/generate", OLLAMA_GENERATE},
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        size_t n = strlen(paths[i].suffix);
        if (path.n >= n && memcmp(path.p + path.n - n, paths[i].suffix, n) == 0) {
            *d = paths[i].d;
            return true;
        }
    }
    return false;
}

const char *dialect_stream_type(enum dialect d)
{
    return d == OPENAI || d == ANTHROPIC ? "text/event-stream" : "application/x-ndjson";
}

static void model(struct text *t, const struct conn *c)
{
    text_json(t, c->model, strlen(c->model));
}

static void eol(struct conn *c, struct text *t)
{
    static const char *const ends[] = {[LINE_LF] = "\n", [LINE_CRLF] = "\r\n", [LINE_CR] = "\r"};
    text_str(t, ends[c->k.lines]);
}

/* Every event's JSON is an object; its opening brace is written here, where data: lines can be cut. */
static void sse_open(struct conn *c, struct text *t, const char *name)
{
    const char *data = c->k.nospace ? "data:" : "data: ";
    if (name) {
        text_str(t, c->k.nospace ? "event:" : "event: ");
        text_str(t, name);
        eol(c, t);
    }
    text_str(t, data);
    text_lit(t, "{");
    if (c->k.merge_data) {
        eol(c, t);
        text_str(t, data);
    }
    if (name) {
        text_lit(t, "\"type\":\"");
        text_str(t, name);
        text_lit(t, "\"");
    }
}

static void sse_close(struct conn *c, struct text *t)
{
    text_lit(t, "}");
    eol(c, t);
    eol(c, t);
}

static const char *const finish_openai[] = {
    [FINISH_STOP] = "\"stop\"",
    [FINISH_LENGTH] = "\"length\"",
    [FINISH_FILTER] = "\"content_filter\"",
    [FINISH_NULL] = "null",
};
static const char *const finish_anthropic[] = {
    [FINISH_STOP] = "\"end_turn\"",
    [FINISH_LENGTH] = "\"max_tokens\"",
    [FINISH_FILTER] = "\"refusal\"",
    [FINISH_NULL] = "null",
};
static const char *const finish_ollama[] = {
    [FINISH_STOP] = "\"stop\"",
    [FINISH_LENGTH] = "\"length\"",
    [FINISH_FILTER] = "\"stop\"",
    [FINISH_NULL] = "\"\"",
};

static int64_t output_tokens(const struct conn *c)
{
    return c->k.tokens >= 0 ? c->k.tokens : c->events + c->k.reasoning;
}

static void usage_openai(struct conn *c, struct text *t)
{
    text_lit(t, "\"usage\":{\"prompt_tokens\":");
    text_int(t, c->k.prompt_tokens);
    text_lit(t, ",\"completion_tokens\":");
    text_int(t, output_tokens(c));
    text_lit(t, ",\"total_tokens\":");
    text_int(t, c->k.prompt_tokens + output_tokens(c));
    text_lit(t, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    text_int(t, c->k.cached);
    text_lit(t, "},\"completion_tokens_details\":{\"reasoning_tokens\":");
    text_int(t, c->k.reasoning);
    text_lit(t, "}}");
}

static void usage_anthropic(struct conn *c, struct text *t, int64_t output)
{
    text_lit(t, "\"usage\":{\"input_tokens\":");
    text_int(t, c->k.prompt_tokens - c->k.cached);
    text_lit(t, ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":");
    text_int(t, c->k.cached);
    text_lit(t, ",\"output_tokens\":");
    text_int(t, output);
    text_lit(t, "}");
}

/* ---- OpenAI ---- */

static void openai_id(struct conn *c, struct text *t, const char *object)
{
    text_lit(t, "\"id\":\"chatcmpl-");
    text_int(t, (int64_t)c->request_no);
    if (c->k.vary_id) {
        text_lit(t, "-");
        text_int(t, c->event);
    }
    text_lit(t, "\",\"object\":\"");
    text_str(t, object);
    text_lit(t, "\",\"created\":");
    text_int(t, c->created);
    text_lit(t, ",\"model\":\"");
    model(t, c);
    text_lit(t, "\",");
}

static void openai_delta(struct conn *c, struct text *t, const char *delta,
                         const struct text *words, const char *finish)
{
    sse_open(c, t, NULL);
    openai_id(c, t, "chat.completion.chunk");
    text_lit(t, "\"choices\":[{\"index\":0,\"delta\":{");
    text_str(t, delta);
    if (words) {
        text_json(t, words->data, words->len);
        text_lit(t, "\"");
    }
    text_lit(t, "},\"finish_reason\":");
    text_str(t, finish);
    text_lit(t, "}]");
    if (c->usage && !c->k.no_usage)
        text_lit(t, ",\"usage\":null");
    sse_close(c, t);
}

static void openai_finish(struct conn *c, struct text *t)
{
    if (c->finish != FINISH_NULL)
        openai_delta(c, t, "", NULL, finish_openai[c->finish]);
    if (!c->usage || c->k.no_usage)
        return;
    sse_open(c, t, NULL);
    openai_id(c, t, "chat.completion.chunk");
    text_lit(t, "\"choices\":[],");
    usage_openai(c, t);
    sse_close(c, t);
}

static void openai_whole(struct conn *c, struct text *t, const struct text *words,
                         const struct text *thoughts)
{
    text_lit(t, "{");
    openai_id(c, t, "chat.completion");
    text_lit(t, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    text_json(t, words->data, words->len);
    if (thoughts->len) {
        text_lit(t, "\",\"reasoning_content\":\"");
        text_json(t, thoughts->data, thoughts->len);
    }
    text_lit(t, "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":");
    text_str(t, finish_openai[c->finish]);
    text_lit(t, "}]");
    if (!c->k.no_usage) {
        text_lit(t, ",");
        usage_openai(c, t);
    }
    text_lit(t, ",\"system_fingerprint\":\"standin\"}");
}

/* ---- Anthropic ---- */

static void anthropic_message(struct conn *c, struct text *t)
{
    text_lit(t, "\"id\":\"msg_");
    text_int(t, (int64_t)c->request_no);
    text_lit(t, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
    model(t, c);
    text_lit(t, "\",\"content\":[");
}

static void anthropic_block_start(struct conn *c, struct text *t, bool thinking)
{
    sse_open(c, t, "content_block_start");
    text_lit(t, ",\"index\":");
    text_int(t, !thinking && c->k.reasoning > 0);
    text_str(t,
             thinking
                 ? ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"
                 : ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}");
    sse_close(c, t);
    c->open_block = true;
}

static void anthropic_block_stop(struct conn *c, struct text *t, bool thinking)
{
    if (!c->open_block)
        return;
    if (thinking) {
        sse_open(c, t, "content_block_delta");
        text_lit(
            t,
            ",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"c3RhbmRpbg==\"}");
        sse_close(c, t);
    }
    sse_open(c, t, "content_block_stop");
    text_lit(t, ",\"index\":");
    text_int(t, !thinking && c->k.reasoning > 0);
    sse_close(c, t);
    c->open_block = false;
}

static void anthropic_start(struct conn *c, struct text *t)
{
    sse_open(c, t, "message_start");
    text_lit(t, ",\"message\":{");
    anthropic_message(c, t);
    text_lit(t, "],\"stop_reason\":null,\"stop_sequence\":null,");
    usage_anthropic(c, t, 1);
    text_lit(t, "}");
    sse_close(c, t);
    if (c->k.reasoning == 0 && c->events > 0)
        anthropic_block_start(c, t, false);
    dialect_ping(c, t);
}

static void anthropic_event(struct conn *c, struct text *t, const struct text *words,
                            bool reasoning)
{
    if (reasoning && !c->open_block) {
        anthropic_block_start(c, t, true);
    } else if (!reasoning && c->k.reasoning > 0 && c->event == 0) {
        anthropic_block_stop(c, t, true);
        anthropic_block_start(c, t, false);
    }
    sse_open(c, t, "content_block_delta");
    text_lit(t, ",\"index\":");
    text_int(t, !reasoning && c->k.reasoning > 0);
    text_str(t, reasoning ? ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""
                          : ",\"delta\":{\"type\":\"text_delta\",\"text\":\"");
    text_json(t, words->data, words->len);
    text_lit(t, "\"}");
    sse_close(c, t);
}

static void anthropic_stop_reason(struct conn *c, struct text *t)
{
    text_lit(t, "\"stop_reason\":");
    text_str(t, c->stop[0] ? "\"stop_sequence\"" : finish_anthropic[c->finish]);
    if (c->stop[0]) {
        text_lit(t, ",\"stop_sequence\":\"");
        text_json(t, c->stop, strlen(c->stop));
        text_lit(t, "\"");
    } else {
        text_lit(t, ",\"stop_sequence\":null");
    }
}

static void anthropic_finish(struct conn *c, struct text *t)
{
    anthropic_block_stop(c, t, c->events == 0);
    sse_open(c, t, "message_delta");
    text_lit(t, ",\"delta\":{");
    anthropic_stop_reason(c, t);
    text_lit(t, "}");
    if (!c->k.no_usage) {
        text_lit(t, ",\"usage\":{\"output_tokens\":");
        text_int(t, output_tokens(c));
        text_lit(t, "}");
    }
    sse_close(c, t);
}

static void anthropic_whole(struct conn *c, struct text *t, const struct text *words,
                            const struct text *thoughts)
{
    text_lit(t, "{");
    anthropic_message(c, t);
    if (thoughts->len) {
        text_lit(t, "{\"type\":\"thinking\",\"thinking\":\"");
        text_json(t, thoughts->data, thoughts->len);
        text_lit(t, "\",\"signature\":\"c3RhbmRpbg==\"}");
    }
    if (words->len) {
        text_str(t, thoughts->len ? "," : "");
        text_lit(t, "{\"type\":\"text\",\"text\":\"");
        text_json(t, words->data, words->len);
        text_lit(t, "\",\"citations\":null}");
    }
    text_lit(t, "],");
    anthropic_stop_reason(c, t);
    text_lit(t, ",");
    usage_anthropic(c, t, output_tokens(c));
    text_lit(t, "}");
}

/* ---- Ollama ---- */

static void ollama_time(struct text *t)
{
    static time_t second;
    static char stamp[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm tm;
        second = now.tv_sec;
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S.", gmtime_r(&second, &tm));
    }
    text_str(t, stamp);
    text_int(t, 100000000 + now.tv_nsec % 900000000); /* nine digits without padding */
    text_lit(t, "Z");
}

static void ollama_line(struct conn *c, struct text *t, const struct text *words,
                        const struct text *thoughts)
{
    bool chat = c->dialect == OLLAMA_CHAT;
    text_lit(t, "{\"model\":\"");
    model(t, c);
    text_lit(t, "\",\"created_at\":\"");
    ollama_time(t);
    text_str(t,
             chat ? "\",\"message\":{\"role\":\"assistant\",\"content\":\"" : "\",\"response\":\"");
    if (words)
        text_json(t, words->data, words->len);
    if (thoughts && thoughts->len) {
        text_lit(t, "\",\"thinking\":\"");
        text_json(t, thoughts->data, thoughts->len);
    }
    text_str(t, chat ? "\"}" : "\"");
}

static void ollama_done(struct conn *c, struct text *t, const char *reason)
{
    text_lit(t, ",\"done\":true,\"done_reason\":");
    text_str(t, reason);
    if (!c->k.no_usage) {
        int64_t took = (int64_t)(now_ns() - c->start_ns);
        text_lit(t, ",\"total_duration\":");
        text_int(t, took + 3);
        text_lit(t, ",\"load_duration\":1,\"prompt_eval_count\":");
        text_int(t, c->k.prompt_tokens);
        text_lit(t, ",\"prompt_eval_duration\":1,\"eval_count\":");
        text_int(t, output_tokens(c));
        text_lit(t, ",\"eval_duration\":");
        text_int(t, took + 1);
    }
    text_lit(t, "}");
}

/* ---- all of them ---- */

void dialect_start(struct conn *c, struct text *t)
{
    if (c->dialect == OPENAI)
        openai_delta(c, t, "\"role\":\"assistant\",\"content\":\"\"", NULL, "null");
    else if (c->dialect == ANTHROPIC)
        anthropic_start(c, t);
    for (int64_t i = 0; i < c->k.empty_starts; i++) {
        if (c->dialect == OPENAI) {
            openai_delta(c, t, "\"content\":\"\"", NULL, "null");
        } else if (c->dialect == ANTHROPIC) {
            dialect_ping(c, t);
        } else {
            ollama_line(c, t, NULL, NULL);
            text_lit(t, ",\"done\":false}");
            eol(c, t);
        }
    }
}

void dialect_event(struct conn *c, struct text *t, const struct text *words, bool reasoning)
{
    switch (c->dialect) {
    case OPENAI:
        openai_delta(c, t, reasoning ? "\"reasoning_content\":\"" : "\"content\":\"", words,
                     "null");
        return;
    case ANTHROPIC:
        anthropic_event(c, t, words, reasoning);
        return;
    default:
        ollama_line(c, t, reasoning ? NULL : words, reasoning ? words : NULL);
        text_lit(t, ",\"done\":false}");
        eol(c, t);
    }
}

void dialect_ping(struct conn *c, struct text *t)
{
    if (c->dialect == OPENAI) {
        text_lit(t, ": ping");
        eol(c, t);
        eol(c, t);
    } else if (c->dialect == ANTHROPIC) {
        sse_open(c, t, "ping");
        sse_close(c, t);
    }
}

void dialect_finish(struct conn *c, struct text *t)
{
    if (c->dialect == OPENAI)
        openai_finish(c, t);
    else if (c->dialect == ANTHROPIC)
        anthropic_finish(c, t);
}

void dialect_done(struct conn *c, struct text *t)
{
    if (c->dialect == OPENAI) {
        text_str(t, c->k.nospace ? "data:[DONE]" : "data: [DONE]");
        eol(c, t);
        eol(c, t);
    } else if (c->dialect == ANTHROPIC) {
        sse_open(c, t, "message_stop");
        sse_close(c, t);
    } else {
        ollama_line(c, t, NULL, NULL);
        ollama_done(c, t, finish_ollama[c->finish]);
        eol(c, t);
    }
}

void dialect_malformed(struct conn *c, struct text *t)
{
    static const char broken[] = "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lost";
    if (c->dialect == OPENAI || c->dialect == ANTHROPIC) {
        sse_open(c, t, c->dialect == ANTHROPIC ? "content_block_delta" : NULL);
        text_lit(t, broken);
        eol(c, t);
    } else {
        text_lit(t, "{\"model\":");
        text_lit(t, broken);
    }
    eol(c, t);
}

void dialect_stream_error(struct conn *c, struct text *t)
{
    if (c->dialect == OPENAI) {
        sse_open(c, t, NULL);
        text_lit(
            t,
            "\"error\":{\"message\":\"the model crashed\",\"type\":\"server_error\",\"param\":null,"
            "\"code\":500}");
        sse_close(c, t);
    } else if (c->dialect == ANTHROPIC) {
        sse_open(c, t, "error");
        text_lit(t, ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},"
                    "\"request_id\":\"req_standin\"");
        sse_close(c, t);
    } else {
        text_lit(t, "{\"error\":\"llama runner process has terminated: exit status 2\"}");
        eol(c, t);
    }
}

void dialect_whole(struct conn *c, struct text *t, const struct text *words,
                   const struct text *thoughts)
{
    if (c->dialect == OPENAI) {
        openai_whole(c, t, words, thoughts);
    } else if (c->dialect == ANTHROPIC) {
        anthropic_whole(c, t, words, thoughts);
    } else {
        ollama_line(c, t, words, thoughts);
        ollama_done(c, t, finish_ollama[c->finish]);
    }
}

/* Ollama's answer to a request without messages: the model is loaded now. */
void dialect_loaded(struct conn *c, struct text *t)
{
    c->k.no_usage = 1;
    ollama_line(c, t, NULL, NULL);
    ollama_done(c, t, "\"load\"");
}

/* ---- errors ---- */

static const struct {
    int64_t status;
    const char *openai, *code, *anthropic, *message;
} errors[] = {
    {400, "invalid_request_error", "null", "invalid_request_error",
     "bad request, says the stand-in"},
    {401, "authentication_error", "\"invalid_api_key\"", "authentication_error",
     "invalid x-api-key"},
    {403, "permission_error", "null", "permission_error", "not allowed"},
    {404, "invalid_request_error", "\"model_not_found\"", "not_found_error",
     "model 'demo' not found"},
    {408, "timeout_error", "null", "timeout_error", "request timed out"},
    {413, "invalid_request_error", "null", "request_too_large", "request too large"},
    {429, "rate_limit_error", "\"rate_limit_exceeded\"", "rate_limit_error", "too many requests"},
    {503, "overloaded_error", "null", "overloaded_error",
     "server busy, please try again.  maximum pending requests exceeded"},
    {504, "timeout_error", "null", "timeout_error", "timed out"},
    {529, "overloaded_error", "null", "overloaded_error", "Overloaded"},
    {500, "server_error", "null", "api_error",
     "internal error of the stand-in"}, /* last: the rest too */
};

void dialect_error(enum dialect d, int64_t status, enum error_form form, const char *message,
                   struct text *t)
{
    size_t i = 0;
    while (i + 1 < sizeof errors / sizeof *errors && errors[i].status != status)
        i++;
    if (message == NULL)
        message = errors[i].message;
    switch (form) {
    case FORM_EMPTY:
        return;
    case FORM_PLAIN:
        text_str(t, message);
        text_lit(t, "\n");
        return;
    case FORM_HTML:
        text_lit(t, "<html><head><title>");
        text_int(t, status);
        text_lit(t, "</title></head><body><h1>");
        text_str(t, message);
        text_lit(t, "</h1></body></html>\n");
        return;
    case FORM_DETAIL:
        text_lit(t, "{\"detail\":[{\"loc\":[\"body\",\"messages\"],\"msg\":\"");
        text_str(t, message);
        text_lit(t, "\",\"type\":\"value_error\"}]}");
        return;
    case FORM_FLAT:
        text_lit(t, "{\"object\":\"error\",\"message\":\"");
        text_str(t, message);
        text_lit(t, "\",\"type\":\"BadRequestError\",\"param\":null,\"code\":");
        text_int(t, status);
        text_lit(t, "}");
        return;
    default:
        break;
    }
    if (d == OPENAI) {
        text_lit(t, "{\"error\":{\"message\":\"");
        text_str(t, message);
        text_lit(t, "\",\"type\":\"");
        text_str(t, errors[i].openai);
        text_lit(t, "\",\"param\":null,\"code\":");
        if (form == FORM_INT)
            text_int(t, status);
        else
            text_str(t, errors[i].code);
        text_lit(t, "}}");
    } else if (d == ANTHROPIC) {
        text_lit(t, "{\"type\":\"error\",\"error\":{\"type\":\"");
        text_str(t, errors[i].anthropic);
        text_lit(t, "\",\"message\":\"");
        text_str(t, message);
        text_lit(t, "\"},\"request_id\":\"req_standin\"}");
    } else {
        text_lit(t, "{\"error\":\"");
        text_str(t, message);
        text_lit(t, "\"}");
    }
}

void dialect_context_error(enum dialect d, struct text *t)
{
    if (d == OPENAI)
        text_lit(t,
                 "{\"error\":{\"code\":400,\"message\":\"request (9000 tokens) exceeds the "
                 "available context "
                 "size (4096 tokens), try increasing it\",\"type\":\"exceed_context_size_error\","
                 "\"n_prompt_tokens\":9000,\"n_ctx\":4096}}");
    else if (d == ANTHROPIC)
        text_lit(t, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                    "\"prompt is too "
                    "long: 9000 tokens > 4096 maximum\"},\"request_id\":\"req_standin\"}");
    else
        text_lit(t, "{\"error\":\"the input length exceeds the context length\"}");
}

/* ---- lists and probes ---- */

static bool next_model(const char **at, struct span *name)
{
    const char *p = *at;
    if (*p == 0)
        return false;
    size_t n = strcspn(p, ",");
    *name = (struct span){p, n};
    *at = p + n + (p[n] == ',');
    return true;
}

bool model_listed(const char *model_name, size_t n)
{
    const char *at = settings.models;
    struct span name;
    while (next_model(&at, &name))
        if (name.n <= n && strncasecmp(name.p, model_name, name.n) == 0 &&
            (name.n == n || model_name[name.n] == ':' || model_name[name.n] == '+'))
            return true;
    return false;
}

static void ollama_item(struct text *t, struct span name)
{
    for (int i = 0; i < 2; i++) {
        text_str(t, i ? "\",\"model\":\"" : "{\"name\":\"");
        text_json(t, name.p, name.n);
        if (memchr(name.p, ':', name.n) == NULL)
            text_lit(t, ":latest");
    }
    text_lit(
        t,
        "\",\"modified_at\":\"2026-05-04T17:37:44.7-07:00\",\"size\":2019393189,\"digest\":"
        "\"a80c4f17acd5"
        "a80c4f17acd5a80c4f17acd5a80c4f17acd5a80c4f17acd5a80c\",\"details\":{\"parent_model\":\"\","
        "\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\"parameter_size\":\"3."
        "2B\","
        "\"quantization_level\":\"Q4_K_M\",\"context_length\":131072},\"capabilities\":["
        "\"completion\","
        "\"tools\"]");
}

static void list(struct text *t, const char *before, const char *after, int kind)
{
    const char *at = settings.models, *comma = "";
    struct span name;
    text_str(t, before);
    while (next_model(&at, &name)) {
        text_str(t, comma);
        comma = ",";
        if (kind == 'o') {
            text_lit(t, "{\"id\":\"");
            text_json(t, name.p, name.n);
            text_lit(t, "\",\"object\":\"model\",\"created\":1795359600,\"owned_by\":\"standin\"}");
        } else if (kind == 'a') {
            text_lit(t, "{\"type\":\"model\",\"id\":\"");
            text_json(t, name.p, name.n);
            text_lit(t, "\",\"display_name\":\"");
            text_json(t, name.p, name.n);
            text_lit(t, "\",\"created_at\":\"2026-09-28T00:00:00Z\",\"max_input_tokens\":200000,"
                        "\"max_tokens\":64000,"
                        "\"lifecycle\":\"active\",\"capabilities\":{}}");
        } else {
            ollama_item(t, name);
            text_str(t, kind == 'p'
                            ? ",\"expires_at\":\"2026-11-22T23:00:00Z\",\"size_vram\":2019393189,"
                              "\"context_length\":4096}"
                            : "}");
        }
    }
    text_str(t, after);
}

static bool ends_with(struct span path, const char *suffix)
{
    size_t n = strlen(suffix);
    return path.n >= n && memcmp(path.p + path.n - n, suffix, n) == 0;
}

int64_t dialect_other(const struct request *r, struct text *t, const char **type)
{
    struct span path = r->path;
    bool get = span_is(r->method, "GET") || span_is(r->method, "HEAD");
    *type = "application/json";
    if (get && span_is(path, "/")) {
        *type = "text/plain; charset=utf-8";
        text_lit(t, "Ollama is running");
    } else if (get && (span_is(path, "/health") || span_is(path, "/v1/health"))) {
        text_lit(t, "{\"status\":\"ok\"}");
    } else if (get && ends_with(path, "/models")) {
        list(t, r->anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[",
             r->anthropic ? "],\"has_more\":false,\"first_id\":null,\"last_id\":null}" : "]}",
             r->anthropic ? 'a' : 'o');
    } else if (get && span_is(path, "/api/tags")) {
        list(t, "{\"models\":[", "]}", 't');
    } else if (get && span_is(path, "/api/ps")) {
        list(t, "{\"models\":[", "]}", 'p');
    } else if (get && span_is(path, "/api/version")) {
        text_lit(t, "{\"version\":\"0.33.0\"}");
    } else if (get && span_is(path, "/props")) {
        text_lit(t, "{\"default_generation_settings\":{\"n_ctx\":4096},\"total_slots\":");
        text_int(t, settings.slots);
        text_lit(t, ",\"model_alias\":\"demo\",\"modalities\":{\"vision\":false,\"audio\":false},"
                    "\"build_info\":\"standin\",\"is_sleeping\":false}");
    } else if (span_is(r->method, "POST") && span_is(path, "/api/show")) {
        text_lit(
            t,
            "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"{{ .Prompt "
            "}}\",\"details\":{\"parent_model\":"
            "\"\",\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\"parameter_"
            "size\":\"3.2B\","
            "\"quantization_level\":\"Q4_K_M\"},\"model_info\":{\"general.architecture\":\"llama\","
            "\"llama.context_length\":131072,\"llama.embedding_length\":3072},\"capabilities\":"
            "[\"completion\",\"tools\"],\"modified_at\":\"2026-05-04T17:37:44.7-07:00\"}");
    } else if (span_is(r->method, "POST") && ends_with(path, "/v1/messages/count_tokens")) {
        text_lit(t, "{\"input_tokens\":");
        text_int(t, (int64_t)r->body.n / 4 + 1);
        text_lit(t, "}");
    } else {
        /* llama-server's words for any path or method that it does not know */
        text_lit(t, "{\"error\":{\"message\":\"File Not "
                    "Found\",\"type\":\"not_found_error\",\"code\":404}}");
        return 404;
    }
    return 200;
}
