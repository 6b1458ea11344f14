/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect - which dialect a path speaks, and what is common to their wordings: events, errors.
 *
 *                 OpenAI                    Anthropic                         Ollama
 *   start         role chunk                message_start, block start, ping  (nothing)
 *   event         delta.content             content_block_delta               message.content / response
 *   call          delta.tool_calls          a block tool_use                  message.tool_calls
 *   finish        finish chunk, usage       block stop, message_delta         (in the done line)
 *   done          [DONE]                    message_stop                      done:true with metrics
 *   error inside  data: {"error":...}       event: error                      {"error":"text"}
 *
 * Pure: conn in, text out. The shapes are those of the servers named in the comments, as of November 2026.
 */
#include "standin.h"

static const struct route routes[] = {
    {"/chat/completions", OPENAI, JOB_TALK},
    {"/completions", OPENAI_TEXT, JOB_TALK},
    {"/v1/messages", ANTHROPIC, JOB_TALK},
    {"/v1/messages/count_tokens", ANTHROPIC, JOB_COUNT},
    {"/api/chat", OLLAMA_CHAT, JOB_TALK},
    {"/api/generate", OLLAMA_GENERATE, JOB_TALK},
    {"/api/pull", OLLAMA_PULL, JOB_PULL},
    {"/api/embed", OLLAMA_CHAT, JOB_EMBED},
    {"/api/embeddings", OLLAMA_GENERATE, JOB_EMBED},
    {"/embeddings", OPENAI, JOB_EMBED},
};

bool path_ends(struct span path, const char *suffix)
{
    size_t n = strlen(suffix);
    return path.n >= n && memcmp(path.p + path.n - n, suffix, n) == 0;
}

/* By suffix: base URLs differ ("/v1", "/engines/v1", none), and a router joins them. */
const struct route *route_of(struct span path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (path_ends(path, routes[i].suffix))
            return &routes[i];
    return NULL;
}

/* ---- what a request asks for ---- */

#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, sizeof #name - 1, offsetof(struct ask, name)                                        \
    }
static const struct {
    const char *name;
    size_t n, at;
} members[] = {
    MEMBER(model),
    MEMBER(messages),
    MEMBER(stream),
    MEMBER(max_tokens),
    MEMBER(options),
    MEMBER(prompt),
    MEMBER(stop),
    MEMBER(stop_sequences),
    MEMBER(max_completion_tokens),
    MEMBER(tools),
    MEMBER(tool_choice),
    MEMBER(stream_options),
    MEMBER(format),
    MEMBER(response_format),
    MEMBER(output_config),
    MEMBER(thinking),
    MEMBER(think),
    MEMBER(reasoning_effort),
    MEMBER(n),
    MEMBER(echo),
    MEMBER(parallel_tool_calls),
    MEMBER(suffix),
    MEMBER(system),
    MEMBER(temperature),
    MEMBER(top_p),
    MEMBER(top_k),
    MEMBER(keep_alive),
    MEMBER(images),
    MEMBER(input),
    MEMBER(encoding_format),
    MEMBER(dimensions),
    MEMBER(truncate),
    MEMBER(template),
    MEMBER(context),
    MEMBER(raw),
    MEMBER(name),
    MEMBER(top_logprobs),
    MEMBER(logprobs),
};
#undef MEMBER

void ask_read(struct span body, struct ask *a, bool *good)
{
    struct scan s = scan_open(body);
    struct span key, value;
    *a = (struct ask){.body = body};
    while (scan_next(&s, &key, &value))
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (key.n == members[i].n && memcmp(key.p, members[i].name, key.n) == 0) {
                memcpy((char *)a + members[i].at, &value, sizeof value);
                break;
            }
    *good = !s.bad;
}

/* Four bytes to a token is what everyone guesses. */
int64_t prompt_tokens_of(const struct ask *a)
{
    return (int64_t)a->body.n / 4 + 1;
}

/* ---- what the wordings share ---- */

const char *dialect_stream_type(enum dialect d)
{
    return is_ollama(d) ? "application/x-ndjson" : "text/event-stream";
}

void word_model(struct text *t, const struct conn *c)
{
    text_json(t, c->model, strlen(c->model));
}

void word_eol(const struct conn *c, struct text *t)
{
    static const char *const ends[] = {[LINE_LF] = "\n", [LINE_CRLF] = "\r\n", [LINE_CR] = "\r"};
    text_str(t, ends[c->k.lines]);
}

void word_string(struct text *t, const char *name, const struct text *value)
{
    text_lit(t, "\"");
    text_str(t, name);
    text_lit(t, "\":\"");
    text_json(t, value->data, value->len);
    text_lit(t, "\"");
}

/* Every event's JSON is an object; its opening brace is written here, where data: lines can be cut. */
void sse_open(struct conn *c, struct text *t, const char *name)
{
    const char *data = c->k.nospace ? "data:" : "data: ";
    if (name) {
        text_str(t, c->k.nospace ? "event:" : "event: ");
        text_str(t, name);
        word_eol(c, t);
    }
    text_str(t, data);
    text_lit(t, "{");
    if (c->k.merge_data) {
        word_eol(c, t);
        text_str(t, data);
    }
    if (name) {
        text_lit(t, "\"type\":\"");
        text_str(t, name);
        text_lit(t, "\"");
    }
}

void sse_close(struct conn *c, struct text *t)
{
    text_lit(t, "}");
    word_eol(c, t);
    word_eol(c, t);
}

int64_t output_tokens(const struct conn *c)
{
    return c->k.tokens >= 0 ? c->k.tokens : c->total + c->k.reasoning;
}

int64_t reasoning_tokens(const struct conn *c)
{
    return c->k.reasoning_tokens >= 0 ? c->k.reasoning_tokens : c->k.reasoning;
}

/* ---- all of them ---- */

void dialect_start(struct conn *c, struct text *t)
{
    static const struct text nothing;
    if (is_openai(c->dialect))
        openai_start(c, t);
    else if (c->dialect == ANTHROPIC)
        anthropic_start(c, t);
    else if (c->dialect == OLLAMA_PULL)
        pull_start(c, t);
    for (int64_t i = 0; i < c->k.empty_starts; i++) {
        if (is_openai(c->dialect))
            openai_empty(c, t);
        else if (c->dialect == ANTHROPIC)
            dialect_ping(c, t);
        else if (c->dialect != OLLAMA_PULL)
            ollama_event(c, t, &nothing, false);
    }
    if (!c->k.strange)
        return;
    if (is_openai(c->dialect))
        openai_strange(c, t);
    else if (c->dialect == ANTHROPIC)
        anthropic_strange(c, t);
    else
        ollama_strange(c, t);
}

void dialect_event(struct conn *c, struct text *t, const struct text *words, bool reasoning)
{
    if (is_openai(c->dialect))
        openai_event(c, t, words, reasoning);
    else if (c->dialect == ANTHROPIC)
        anthropic_event(c, t, words, reasoning);
    else if (c->dialect == OLLAMA_PULL)
        pull_event(c, t);
    else
        ollama_event(c, t, words, reasoning);
}

void dialect_call(struct conn *c, struct text *t, const struct call_step *step)
{
    if (is_openai(c->dialect))
        openai_call(c, t, step);
    else if (c->dialect == ANTHROPIC)
        anthropic_call(c, t, step);
    else
        ollama_call(c, t, step);
}

void dialect_ping(struct conn *c, struct text *t)
{
    if (is_openai(c->dialect)) {
        text_lit(t, ": ping");
        word_eol(c, t);
        word_eol(c, t);
    } else if (c->dialect == ANTHROPIC) {
        sse_open(c, t, "ping");
        sse_close(c, t);
    }
}

void dialect_finish(struct conn *c, struct text *t)
{
    if (is_openai(c->dialect))
        openai_finish(c, t);
    else if (c->dialect == ANTHROPIC)
        anthropic_finish(c, t);
    else if (c->dialect == OLLAMA_PULL)
        pull_finish(c, t);
}

void dialect_done(struct conn *c, struct text *t)
{
    if (is_openai(c->dialect)) {
        text_str(t, c->k.nospace ? "data:[DONE]" : "data: [DONE]");
        word_eol(c, t);
        word_eol(c, t);
    } else if (c->dialect == ANTHROPIC) {
        sse_open(c, t, "message_stop");
        sse_close(c, t);
    } else if (c->dialect == OLLAMA_PULL) {
        pull_done(c, t);
    } else {
        ollama_last(c, t);
    }
}

void dialect_malformed(struct conn *c, struct text *t)
{
    static const char broken[] = "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lost";
    if (!is_ollama(c->dialect)) {
        sse_open(c, t, c->dialect == ANTHROPIC ? "content_block_delta" : NULL);
        text_lit(t, broken);
        word_eol(c, t);
    } else {
        text_lit(t, "{\"model\":");
        text_lit(t, broken);
    }
    word_eol(c, t);
}

void dialect_stream_error(struct conn *c, struct text *t)
{
    if (is_openai(c->dialect)) {
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
        text_str(t, c->dialect == OLLAMA_PULL
                        ? "{\"error\":\"max retries exceeded: unexpected EOF\"}"
                        : "{\"error\":\"llama runner process has terminated: exit status 2\"}");
        word_eol(c, t);
    }
}

void dialect_whole(struct conn *c, struct text *t, const struct text *words,
                   const struct text *thoughts)
{
    if (is_openai(c->dialect))
        openai_whole(c, t, words, thoughts);
    else if (c->dialect == ANTHROPIC)
        anthropic_whole(c, t, words, thoughts);
    else if (c->dialect == OLLAMA_PULL)
        pull_done(c, t);
    else
        ollama_whole(c, t, words, thoughts);
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

/* llama-server, for /v1/messages too, and vLLM: the code is the status, a number. */
static void error_local(int64_t status, enum error_form form, size_t row, const char *message,
                        struct text *t)
{
    text_lit(t, "{\"error\":{\"code\":");
    text_int(t, status);
    text_lit(t, ",\"message\":\"");
    text_json(t, message, strlen(message));
    text_lit(t, "\",\"type\":\"");
    if (form == FORM_VLLM)
        text_str(t, status == 404   ? "NotFoundError"
                    : status >= 500 ? "InternalServerError"
                                    : "BadRequestError");
    else
        text_str(t, status == 404 ? "not_found_error" : errors[row].openai);
    text_str(t, form == FORM_VLLM ? "\",\"param\":null}}" : "\"}}");
}

static void error_worded(enum dialect d, int64_t status, enum error_form form, size_t i,
                         const char *message, struct text *t)
{
    if (is_openai(d)) {
        text_lit(t, "{\"error\":{\"message\":\"");
        text_json(t, message, strlen(message));
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
        text_json(t, message, strlen(message));
        text_lit(t, "\"},\"request_id\":\"req_standin\"}");
    } else {
        text_lit(t, "{\"error\":\"");
        text_json(t, message, strlen(message));
        text_lit(t, "\"}");
    }
}

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
        text_json(t, message, strlen(message));
        text_lit(t, "\",\"type\":\"value_error\"}]}");
        return;
    case FORM_FLAT:
        text_lit(t, "{\"object\":\"error\",\"message\":\"");
        text_json(t, message, strlen(message));
        text_lit(t, "\",\"type\":\"BadRequestError\",\"param\":null,\"code\":");
        text_int(t, status);
        text_lit(t, "}");
        return;
    case FORM_LLAMA:
    case FORM_VLLM:
        error_local(status, form, i, message, t);
        return;
    default:
        break;
    }
    error_worded(d, status, form, i, message, t);
}

void dialect_context_error(const struct conn *c, int64_t prompt, int64_t window, struct text *t)
{
    bool llama = c->k.owner == OWNER_LLAMACPP; /* which words it so in every dialect */
    if (is_openai(c->dialect) || llama) {
        text_lit(t, "{\"error\":{\"code\":400,\"message\":\"request (");
        text_int(t, prompt);
        text_lit(t, " tokens) exceeds the available context size (");
        text_int(t, window);
        text_lit(t, " tokens), try increasing it\",\"type\":\"exceed_context_size_error\","
                    "\"n_prompt_tokens\":");
        text_int(t, prompt);
        text_lit(t, ",\"n_ctx\":");
        text_int(t, window);
        text_lit(t, "}}");
    } else if (c->dialect == ANTHROPIC) {
        text_lit(t, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
                    "\"prompt is too long: ");
        text_int(t, prompt);
        text_lit(t, " tokens > ");
        text_int(t, window);
        text_lit(t, " maximum\"},\"request_id\":\"req_standin\"}");
    } else {
        text_lit(t, "{\"error\":\"the input length exceeds the context length\"}");
    }
}

/* ---- lists and probes ---- */

int64_t dialect_other(const struct conn *c, const struct request *r, struct text *t,
                      const char **type)
{
    *type = "application/json";
    int64_t status = models_other(c, r, t);
    if (status == 0)
        status = server_other(c, r, t, type);
    if (status != 0)
        return status;
    /* llama-server's words for any path or method that it does not know */
    text_lit(t, "{\"error\":{\"message\":\"File Not "
                "Found\",\"type\":\"not_found_error\",\"code\":404}}");
    return 404;
}
