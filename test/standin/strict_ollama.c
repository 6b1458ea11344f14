/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict_ollama - what Ollama refuses. Go's decoder speaks first, then the model's abilities are looked at.
 *
 *   content is text, arguments are an object, images are plain base64, roles are four
 *   format is "json" or a schema; think is a boolean or a level; options have their types
 *   tools, thinking and images only for models that can
 */
#include "standin.h"

static bool arguments_good(struct strict *s, const struct message *m)
{
    struct scan calls = scan_open(m->tool_calls);
    struct span none, call;
    while (scan_next(&calls, &none, &call)) {
        struct span args = scan_member(scan_member(call, "function"), "arguments");
        if (!span_null(args) && !span_kind(args, '{'))
            return strict_say(s,
                              "json: cannot unmarshal %s into Go struct field "
                              "ToolCallFunction.messages.tool_calls.function.arguments of type "
                              "api.ToolCallFunctionArguments",
                              span_kind(args, '"')   ? "string"
                              : span_kind(args, '[') ? "array"
                                                     : "number");
    }
    return true;
}

static bool images_good(struct strict *s, struct span images)
{
    struct scan list = scan_open(images);
    struct span none, image;
    while (scan_next(&list, &none, &image)) {
        struct text letters = {0}, bytes = {0};
        scan_text(image, &letters);
        int64_t bad = text_unbase64(&bytes, letters.data, letters.len);
        const char *type = bad < 0 ? media_sniff(bytes.data, bytes.len) : NULL;
        text_free(&letters);
        text_free(&bytes);
        if (bad >= 0)
            return strict_say(s, "illegal base64 data at input byte %lld", (long long)bad);
        if (type == NULL || strncmp(type, "image/", 6) != 0) {
            s->status = 500;
            return strict_say(s, "failed to process inputs: image: unknown format");
        }
    }
    return true;
}

static bool messages_good(struct strict *s)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    struct scan messages = scan_open(s->a->messages);
    struct span none, value;
    struct message m;
    while (scan_next(&messages, &none, &value)) {
        message_read(value, &m);
        struct span role = string_inside(m.role);
        size_t i = 0;
        while (i < 4 && !span_is_nocase(role, roles[i]))
            i++;
        if (!span_null(m.content) && !span_kind(m.content, '"'))
            return strict_say(s,
                              "json: cannot unmarshal %s into Go struct field "
                              "ChatRequest.messages.content of type string",
                              span_kind(m.content, '[') ? "array" : "object");
        if (!arguments_good(s, &m) || !images_good(s, m.images))
            return false;
        if (i == 4)
            return strict_say(s,
                              "invalid role: \"%.*s\", must be one of [\"system\", \"user\", "
                              "\"assistant\", \"tool\"]",
                              (int)role.n, role.n ? role.p : "");
    }
    return true;
}

static bool think_good(struct strict *s)
{
    static const char *const levels[] = {"low", "medium", "high", "max"};
    struct span think = s->a->think;
    size_t i = 0;
    while (i < 4 && !span_is_string(think, levels[i]))
        i++;
    if (span_kind(think, '"') && i == 4)
        return strict_say(s,
                          "invalid think value: %.*s (must be \"high\", \"medium\", \"low\", "
                          "\"max\", true, or false)",
                          (int)think.n, think.p);
    bool on = span_kind(think, '"') || span_is(think, "true");
    return !on || model_can(s->c, "thinking") ||
           strict_say(s, "\"%.*s\" does not support thinking", (int)strcspn(s->c->model, "+"),
                      s->c->model);
}

static bool tools_good(struct strict *s)
{
    bool offered = span_kind(s->a->tools, '[') && scan_count(s->a->tools) > 0;
    return !offered || model_can(s->c, "tools") ||
           strict_say(s, "%.*s does not support tools", (int)strcspn(s->c->model, "+"),
                      s->c->model);
}

static bool options_good(struct strict *s)
{
    static const char numbers[] = " temperature top_p top_k min_p typical_p seed num_predict "
                                  "repeat_penalty repeat_last_n presence_penalty "
                                  "frequency_penalty num_ctx num_keep num_batch num_gpu "
                                  "main_gpu num_thread ";
    struct scan options = scan_open(s->a->options);
    struct span key, value;
    while (scan_next(&options, &key, &value)) {
        char word[64];
        snprintf(word, sizeof word, " %.*s ", (int)(key.n < 60 ? key.n : 60), key.p);
        bool number = value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9');
        if (strstr(numbers, word) && !number && !span_null(value))
            return strict_say(s, "option \"%.*s\" must be of type float32", (int)key.n, key.p);
        if (span_is(key, "stop") && !span_kind(value, '[') && !span_null(value))
            return strict_say(s, "option \"stop\" must be of type array");
    }
    return true;
}

static bool members_good(struct strict *s)
{
    struct span format = s->a->format, keep = string_inside(s->a->keep_alive);
    int64_t number;
    if (span_kind(format, '"') && format.n > 2 && !span_is_string(format, "json"))
        return strict_say(s,
                          "invalid format: %.*s; expected \"json\" or a valid JSON Schema object",
                          (int)format.n, format.p);
    if (keep.n > 0 && span_int(keep, &number))
        return strict_say(s, "time: missing unit in duration \"%.*s\"", (int)keep.n, keep.p);
    if (span_int(s->a->top_logprobs, &number) && (number < 0 || number > 20))
        return strict_say(s, "top_logprobs must be between 0 and 20");
    if (span_is(s->a->raw, "true") &&
        (s->a->system.n > 2 || s->a->template.n > 2 || s->a->context.p))
        return strict_say(s, "raw mode does not support template, system, or context");
    return s->a->suffix.n <= 2 || model_can(s->c, "insert") ||
           strict_say(s, "%.*s does not support insert", (int)strcspn(s->c->model, "+"),
                      s->c->model);
}

bool strict_ollama(struct strict *s)
{
    if (settings.strict) {
        if (!messages_good(s) || !images_good(s, s->a->images) || !options_good(s) ||
            !members_good(s))
            return false;
        if (s->c->job == JOB_EMBED)
            return true;
    }
    return think_good(s) && tools_good(s);
}
