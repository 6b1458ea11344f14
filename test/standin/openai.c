/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai - chat completions and the older completions, as OpenAI and the local servers word them.
 *
 *   start    {"role":"assistant","content":""}
 *   event    delta.content, delta.reasoning_content; or text
 *   call     delta.tool_calls: id and name first, then pieces of the arguments
 *   finish   finish_reason, and one chunk with usage when it was asked for
 *
 * Several choices (n, or several prompts) take turns in every event. Owners differ in small things: llama-server
 * adds timings, vLLM says which stop string it met.
 */
#include "standin.h"

static const char *const finishes[] = {
    [FINISH_STOP] = "\"stop\"",
    [FINISH_LENGTH] = "\"length\"",
    [FINISH_FILTER] = "\"content_filter\"",
    [FINISH_NULL] = "null",
    [FINISH_CALLS] = "\"tool_calls\"",
    [FINISH_PAUSE] = "\"stop\"",
    [FINISH_CONTEXT] = "\"length\"",
};

static void add_details(struct conn *c, struct text *t)
{
    switch (c->k.usage_form) {
    case USAGE_NULL_DETAILS:
        text_lit(t, ",\"prompt_tokens_details\":null,\"completion_tokens_details\":null");
        return;
    case USAGE_NO_DETAILS:
        return;
    default:
        break;
    }
    text_lit(t, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    text_int(t, c->k.cached);
    if (c->k.cache_write > 0) {
        text_lit(t, ",\"cache_write_tokens\":");
        text_int(t, c->k.cache_write);
    }
    text_lit(t, "},\"completion_tokens_details\":{\"reasoning_tokens\":");
    text_int(t, reasoning_tokens(c));
    text_lit(t, "}");
}

static void add_usage(struct conn *c, struct text *t, int64_t output)
{
    if (c->k.usage_form == USAGE_NULL) {
        text_lit(t, "\"usage\":null");
        return;
    }
    text_lit(t, "\"usage\":{\"prompt_tokens\":");
    text_int(t, c->k.prompt_tokens);
    text_lit(t, ",\"completion_tokens\":");
    text_int(t, output);
    text_lit(t, ",\"total_tokens\":");
    text_int(t, c->k.prompt_tokens + output);
    add_details(c, t);
    text_lit(t, "}");
}

/* llama-server's own measure, in milliseconds; the numbers are invented. */
static void add_timings(struct conn *c, struct text *t)
{
    if (c->k.owner != OWNER_LLAMACPP)
        return;
    text_lit(t, ",\"timings\":{\"cache_n\":");
    text_int(t, c->k.cached);
    text_lit(t, ",\"prompt_n\":");
    text_int(t, c->k.prompt_tokens - c->k.cached);
    text_lit(t, ",\"prompt_ms\":2.5,\"prompt_per_token_ms\":0.25,\"prompt_per_second\":4000.0,"
                "\"predicted_n\":");
    text_int(t, output_tokens(c));
    text_lit(t, ",\"predicted_ms\":40.125,\"predicted_per_token_ms\":5.0,\"predicted_per_second\":"
                "200.0}");
}

static void add_id(struct conn *c, struct text *t, const char *object)
{
    text_str(t, c->dialect == OPENAI_TEXT ? "\"id\":\"cmpl-" : "\"id\":\"chatcmpl-");
    text_int(t, (int64_t)c->request_no);
    if (c->k.vary_id) {
        text_lit(t, "-");
        text_int(t, c->event);
    }
    text_lit(t, "\",\"object\":\"");
    text_str(t, c->dialect == OPENAI_TEXT ? "text_completion" : object);
    text_lit(t, "\",\"created\":");
    text_int(t, c->created);
    text_lit(t, ",\"model\":\"");
    word_model(t, c);
    text_lit(t, "\",");
}

static void add_stop_reason(struct conn *c, struct text *t)
{
    if (c->k.owner != OWNER_VLLM)
        return;
    text_lit(t, ",\"stop_reason\":");
    if (c->stop[0]) {
        text_lit(t, "\"");
        text_json(t, c->stop, strlen(c->stop));
        text_lit(t, "\"");
    } else {
        text_lit(t, "null");
    }
}

/* A chunk from its opening to its choice's delta (or text), and from there to its end. */
static void chunk_open(struct conn *c, struct text *t, int64_t choice)
{
    sse_open(c, t, NULL);
    add_id(c, t, "chat.completion.chunk");
    text_lit(t, "\"choices\":[{\"index\":");
    text_int(t, choice);
    text_str(t, c->dialect == OPENAI_TEXT ? "," : ",\"delta\":{");
}

static void chunk_close(struct conn *c, struct text *t, const char *finish)
{
    bool last = finish[0] != 'n';
    if (c->dialect == OPENAI_TEXT)
        text_lit(t, ",\"logprobs\":null");
    else
        text_lit(t, "}");
    text_lit(t, ",\"finish_reason\":");
    text_str(t, finish);
    if (last)
        add_stop_reason(c, t);
    text_lit(t, "}]");
    if (last && (!c->usage || c->k.no_usage)) /* else they come with the usage */
        add_timings(c, t);
    if (c->usage_each) {
        text_lit(t, ",");
        add_usage(c, t, c->event + c->k.reasoning);
    } else if (c->usage && !c->k.no_usage) {
        text_lit(t, ",\"usage\":null");
    }
    sse_close(c, t);
}

/* What the delta has not is null beside it, as some servers serialise their whole class. */
static void add_nulls(struct text *t, const char *delta)
{
    static const char *const names[] = {"content", "reasoning_content", "refusal", "function_call",
                                        "tool_calls"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(delta + 1, names[i], strlen(names[i])) == 0)
            continue;
        text_lit(t, ",\"");
        text_str(t, names[i]);
        text_lit(t, "\":null");
    }
}

static void chunk(struct conn *c, struct text *t, int64_t choice, const char *delta,
                  const struct text *words, const char *finish)
{
    chunk_open(c, t, choice);
    text_str(t, delta);
    if (words) {
        text_json(t, words->data, words->len);
        text_lit(t, "\"");
        if (c->k.nulls && c->dialect == OPENAI)
            add_nulls(t, delta);
        if (c->k.empty_calls && c->dialect == OPENAI)
            text_str(t, c->k.empty_calls == 1 ? ",\"tool_calls\":[]" : ",\"tool_calls\":null");
    }
    chunk_close(c, t, finish);
}

void openai_start(struct conn *c, struct text *t)
{
    for (int64_t i = 0; i < c->choices && c->dialect == OPENAI; i++)
        chunk(c, t, i,
              c->k.owner == OWNER_LLAMACPP ? "\"role\":\"assistant\",\"content\":null"
                                           : "\"role\":\"assistant\",\"content\":\"\"",
              NULL, "null");
}

void openai_empty(struct conn *c, struct text *t)
{
    for (int64_t i = 0; i < c->choices; i++)
        chunk(c, t, i, c->dialect == OPENAI ? "\"content\":\"\"" : "\"text\":\"\"", NULL, "null");
}

/* Some servers send a chunk without choices, and without usage, before the first real one. */
void openai_strange(struct conn *c, struct text *t)
{
    sse_open(c, t, NULL);
    add_id(c, t, "chat.completion.chunk");
    text_lit(t, "\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"x\":{}");
    sse_close(c, t);
}

static const char *content_name(const struct conn *c)
{
    return c->dialect == OPENAI_TEXT ? "\"text\":\""
           : c->k.refusal            ? "\"refusal\":\""
                                     : "\"content\":\"";
}

void openai_event(struct conn *c, struct text *t, const struct text *words, bool reasoning)
{
    for (int64_t i = 0; i < c->choices; i++) {
        if (!reasoning) {
            chunk(c, t, i, content_name(c), words, "null");
        } else if (c->k.reasoning_field != FIELD_BOTH) {
            chunk(c, t, i,
                  c->k.reasoning_field == FIELD_CONTENT ? "\"reasoning_content\":\""
                                                        : "\"reasoning\":\"",
                  words, "null");
        } else {
            chunk_open(c, t, i);
            word_string(t, "reasoning_content", words);
            text_lit(t, ",");
            word_string(t, "reasoning", words);
            chunk_close(c, t, "null");
        }
    }
}

/* ---- calls ---- */

static void add_call_head(const struct conn *c, struct text *t, const struct call *call)
{
    if (c->k.call_id != ID_NONE) {
        word_string(t, "id", &call->id);
        text_lit(t, ",");
    }
    text_lit(t, "\"type\":\"function\",\"function\":{");
    word_string(t, "name", &call->name);
    text_lit(t, ",\"arguments\":");
}

static void add_arguments(const struct conn *c, struct text *t, const struct call *call,
                          size_t from, size_t n)
{
    const char *p = n > 0 ? call->args.data + from : "";
    if (c->k.call_args_object && c->k.call_args_bad == ARGS_FINE) {
        text_add(t, p, n);
        return;
    }
    text_lit(t, "\"");
    text_json(t, p, n);
    text_lit(t, "\"");
}

void openai_call(struct conn *c, struct text *t, const struct call_step *step)
{
    const struct call *call = &c->plan->calls[step->call];
    for (int64_t i = 0; i < c->choices; i++) {
        chunk_open(c, t, i);
        if (step->begin && step->call == 0 && c->k.call_content != CONTENT_ABSENT && c->events == 0)
            text_str(t, c->k.call_content == CONTENT_EMPTY ? "\"content\":\"\","
                                                           : "\"content\":null,");
        text_lit(t, "\"tool_calls\":[{");
        if (c->k.call_index != INDEX_NONE) {
            text_lit(t, "\"index\":");
            text_int(t, c->k.call_index == INDEX_ZERO ? 0 : (int64_t)step->call);
            text_lit(t, ",");
        }
        if (step->begin || c->k.call_repeat_name)
            add_call_head(c, t, call);
        else
            text_lit(t, "\"function\":{\"arguments\":");
        add_arguments(c, t, call, step->from, step->n);
        text_lit(t, "}}]");
        chunk_close(c, t, "null");
    }
}

static void add_calls(const struct conn *c, struct text *t)
{
    const struct plan *p = c->plan;
    if (p == NULL || p->calls_used == 0) {
        if (c->k.empty_calls)
            text_str(t, c->k.empty_calls == 1 ? ",\"tool_calls\":[]" : ",\"tool_calls\":null");
        return;
    }
    text_lit(t, ",\"tool_calls\":[");
    for (size_t i = 0; i < p->calls_used; i++) {
        const struct call *call = &p->calls[i];
        text_str(t, i ? ",{" : "{");
        add_call_head(c, t, call);
        add_arguments(c, t, call, 0, call->args.len);
        text_lit(t, "}}");
    }
    text_lit(t, "]");
}

/* ---- the end, and all at once ---- */

void openai_finish(struct conn *c, struct text *t)
{
    for (int64_t i = 0; i < c->choices && c->finish != FINISH_NULL; i++)
        chunk(c, t, i, c->dialect == OPENAI ? "" : "\"text\":\"\"", NULL, finishes[c->finish]);
    if ((!c->usage && c->k.usage_chunk == CHUNK_ASKED) || c->k.no_usage)
        return;
    sse_open(c, t, NULL);
    add_id(c, t, "chat.completion.chunk");
    text_str(t, c->k.usage_chunk == CHUNK_BARE ? "" : "\"choices\":[],");
    add_usage(c, t, output_tokens(c));
    add_timings(c, t);
    sse_close(c, t);
}

static void whole_message(struct conn *c, struct text *t, const struct text *words,
                          const struct text *thoughts)
{
    bool only_calls = c->plan && c->plan->calls_used > 0 && words->len == 0;
    bool content = (!only_calls || c->k.call_content == CONTENT_EMPTY) && !c->k.refusal;
    text_lit(t, ",\"message\":{\"role\":\"assistant\"");
    if (content) {
        text_lit(t, ",");
        word_string(t, "content", words);
    } else if (c->k.call_content == CONTENT_NULL || c->k.refusal) {
        text_lit(t, ",\"content\":null");
    }
    if (thoughts->len && c->k.reasoning_field != FIELD_REASONING) {
        text_lit(t, ",");
        word_string(t, "reasoning_content", thoughts);
    }
    if (thoughts->len && c->k.reasoning_field != FIELD_CONTENT) {
        text_lit(t, ",");
        word_string(t, "reasoning", thoughts);
    }
    add_calls(c, t);
    if (c->k.refusal) {
        text_lit(t, ",");
        word_string(t, "refusal", words);
        text_lit(t, "}");
    } else {
        text_lit(t, ",\"refusal\":null}");
    }
}

void openai_whole(struct conn *c, struct text *t, const struct text *words,
                  const struct text *thoughts)
{
    text_lit(t, "{");
    add_id(c, t, "chat.completion");
    text_lit(t, "\"choices\":[");
    for (int64_t i = 0; i < c->choices; i++) {
        text_str(t, i ? ",{\"index\":" : "{\"index\":");
        text_int(t, i);
        if (c->dialect == OPENAI) {
            whole_message(c, t, words, thoughts);
        } else {
            text_lit(t, ",");
            word_string(t, "text", words);
        }
        text_lit(t, ",\"logprobs\":null,\"finish_reason\":");
        text_str(t, finishes[c->finish]);
        add_stop_reason(c, t);
        text_lit(t, "}");
    }
    text_lit(t, "]");
    if (!c->k.no_usage) {
        text_lit(t, ",");
        add_usage(c, t, output_tokens(c));
    }
    text_lit(t, ",\"system_fingerprint\":\"standin\"");
    add_timings(c, t);
    text_lit(t, "}");
}
