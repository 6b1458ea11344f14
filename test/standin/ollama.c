/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama - /api/chat and /api/generate: one JSON object a line, the last one with done:true and the metrics.
 *
 * Calls come whole, before that line, and the reason stays "stop". A new server gives them an id and an index, an
 * old one neither, or 0 for all.
 */
#include "standin.h"

#include <time.h>

static const char *const finishes[] = {
    [FINISH_STOP] = "\"stop\"",      [FINISH_LENGTH] = "\"length\"", [FINISH_FILTER] = "\"stop\"",
    [FINISH_NULL] = "\"\"",          [FINISH_CALLS] = "\"stop\"",    [FINISH_PAUSE] = "\"stop\"",
    [FINISH_CONTEXT] = "\"length\"",
};

static void add_time(struct text *t)
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

static void add_one_call(struct conn *c, struct text *t, size_t i)
{
    const struct call *call = &c->plan->calls[i];
    text_lit(t, "{");
    if (c->k.call_id != ID_NONE) {
        word_string(t, "id", &call->id);
        text_lit(t, ",");
    }
    text_lit(t, "\"function\":{");
    if (c->k.call_index != INDEX_NONE) {
        text_lit(t, "\"index\":");
        text_int(t, c->k.call_index == INDEX_ZERO ? 0 : (int64_t)i);
        text_lit(t, ",");
    }
    word_string(t, "name", &call->name);
    if (c->k.call_args_object || c->k.call_args_bad != ARGS_FINE) {
        text_lit(t, ",");
        word_string(t, "arguments", &call->args);
    } else {
        text_lit(t, ",\"arguments\":");
        text_add(t, call->args.data, call->args.len);
        if (call->args.len == 0)
            text_lit(t, "{}");
    }
    text_lit(t, "}}");
}

/* calls: from .. to, none when both are 0 */
static void add_line(struct conn *c, struct text *t, const struct text *words,
                     const struct text *thoughts, size_t from, size_t to)
{
    bool chat = c->dialect == OLLAMA_CHAT;
    text_lit(t, "{\"model\":\"");
    word_model(t, c);
    text_lit(t, "\",\"created_at\":\"");
    add_time(t);
    text_str(t,
             chat ? "\",\"message\":{\"role\":\"assistant\",\"content\":\"" : "\",\"response\":\"");
    if (words)
        text_json(t, words->data, words->len);
    if (thoughts && thoughts->len) {
        text_lit(t, "\",\"thinking\":\"");
        text_json(t, thoughts->data, thoughts->len);
    }
    text_lit(t, "\"");
    if (chat && to > from) {
        text_lit(t, ",\"tool_calls\":[");
        for (size_t i = from; i < to; i++) {
            text_str(t, i > from ? "," : "");
            add_one_call(c, t, i);
        }
        text_lit(t, "]");
    } else if (chat && c->k.empty_calls) {
        text_str(t, c->k.empty_calls == 1 ? ",\"tool_calls\":[]" : ",\"tool_calls\":null");
    }
    text_str(t, chat ? "}" : "");
}

static void add_done(struct conn *c, struct text *t, const char *reason, bool usage)
{
    text_lit(t, ",\"done\":true,\"done_reason\":");
    text_str(t, reason);
    if (usage) {
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

static void end_line(struct conn *c, struct text *t)
{
    text_lit(t, ",\"done\":false}");
    word_eol(c, t);
}

void ollama_event(struct conn *c, struct text *t, const struct text *words, bool reasoning)
{
    add_line(c, t, reasoning ? NULL : words, reasoning ? words : NULL, 0, 0);
    end_line(c, t);
}

void ollama_strange(struct conn *c, struct text *t)
{
    add_line(c, t, NULL, NULL, 0, 0);
    text_lit(t, ",\"future\":[{\"done\":true}]");
    end_line(c, t);
}

void ollama_call(struct conn *c, struct text *t, const struct call_step *step)
{
    add_line(c, t, NULL, NULL, step->call, c->k.call_joined ? c->plan->calls_used : step->call + 1);
    end_line(c, t);
}

void ollama_last(struct conn *c, struct text *t)
{
    add_line(c, t, NULL, NULL, 0, 0);
    add_done(c, t, finishes[c->finish], !c->k.no_usage);
    word_eol(c, t);
}

void ollama_whole(struct conn *c, struct text *t, const struct text *words,
                  const struct text *thoughts)
{
    add_line(c, t, words, thoughts, 0, c->plan ? c->plan->calls_used : 0);
    add_done(c, t, finishes[c->finish], !c->k.no_usage);
}

/* The answer to a request without a prompt: the model is loaded now, or gone. */
void ollama_loaded(struct conn *c, struct text *t, bool unload)
{
    add_line(c, t, NULL, NULL, 0, 0);
    add_done(c, t, unload ? "\"unload\"" : "\"load\"", false);
}
