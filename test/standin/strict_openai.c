/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict_openai - what OpenAI refuses, and llama-server and vLLM in their own words.
 *
 *   messages   each tool message answers a call of the assistant message before it, and each call is answered
 *   calls      arguments are text; names are letters, digits, - and _, at most 64
 *   tools      no tool_choice or parallel_tool_calls without them, no empty list
 *   formats    a schema has a name; a strict one closes its objects
 *   images     data URIs hold what they say; local servers fetch nothing
 *   owner=openai alone: members that it does not know, more than four stop strings
 */
#include "standin.h"

#include <stdlib.h>

#define CALLS_MAX 256

struct open_calls { /* of the last assistant message */
    struct span id[CALLS_MAX];
    bool answered[CALLS_MAX];
    size_t n;
};

static bool local(const struct strict *s)
{
    int64_t owner = s->c->k.owner;
    return owner == OWNER_LLAMACPP || owner == OWNER_VLLM || owner == OWNER_LOCALAI;
}

static bool name_good(struct strict *s, const char *where, struct span name)
{
    struct span text = string_inside(name);
    if (text.n > 64)
        return strict_say(
            s,
            "Invalid '%s': string too long. Expected a string with maximum length 64, "
            "but got a string with length %zu instead.",
            where, text.n);
    return id_plain(text) || strict_say(s,
                                        "Invalid '%s': string does not match pattern. Expected a "
                                        "string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                                        where);
}

/* ---- messages ---- */

static const char *kind_of(struct span value)
{
    return span_null(value)                         ? "null"
           : span_kind(value, '{')                  ? "an object"
           : span_kind(value, '[')                  ? "an array"
           : span_kind(value, '"')                  ? "a string"
           : value.p[0] == 't' || value.p[0] == 'f' ? "a boolean"
                                                    : "a number";
}

static bool call_good(struct strict *s, size_t m, size_t i, struct span call)
{
    struct span f = scan_member(call, "function"), args = scan_member(f, "arguments");
    char where[96];
    if (!span_kind(scan_member(call, "id"), '"'))
        return strict_say(s, "Missing required parameter: 'messages[%zu].tool_calls[%zu].id'.", m,
                          i);
    if (!span_is_string(scan_member(call, "type"), "function"))
        return strict_say(s, "Missing required parameter: 'messages[%zu].tool_calls[%zu].type'.", m,
                          i);
    if (!span_kind(args, '"'))
        return strict_say(s,
                          "Invalid type for 'messages[%zu].tool_calls[%zu].function.arguments': "
                          "expected a string, but got %s instead.",
                          m, i, kind_of(args));
    snprintf(where, sizeof where, "messages[%zu].tool_calls[%zu].function.name", m, i);
    return name_good(s, where, scan_member(f, "name"));
}

static bool all_answered(struct strict *s, const struct open_calls *open)
{
    struct text missing = {0};
    for (size_t i = 0; i < open->n; i++)
        if (!open->answered[i]) {
            text_str(&missing, missing.len ? ", " : "");
            text_add(&missing, open->id[i].p, open->id[i].n);
        }
    bool good = missing.len == 0;
    if (!good)
        strict_say(s,
                   "An assistant message with 'tool_calls' must be followed by tool messages "
                   "responding to each 'tool_call_id'. The following tool_call_ids did not have "
                   "response messages: %.*s",
                   (int)missing.len, missing.data);
    text_free(&missing);
    return good;
}

static bool answer_good(struct strict *s, struct open_calls *open, const struct message *m,
                        size_t at)
{
    struct span id = string_inside(m->tool_call_id);
    if (open->n == 0)
        return strict_say(s, "Invalid parameter: messages with role 'tool' must be a response to a "
                             "preceeding message with 'tool_calls'.");
    if (id.p == NULL)
        return strict_say(s, "Missing required parameter: 'messages[%zu].tool_call_id'.", at);
    for (size_t i = 0; i < open->n; i++)
        if (open->id[i].n == id.n && memcmp(open->id[i].p, id.p, id.n) == 0) {
            open->answered[i] = true;
            return true;
        }
    return strict_say(s,
                      "Invalid parameter: 'tool_call_id' of '%.*s' not found in 'tool_calls' of "
                      "previous message.",
                      (int)id.n, id.p);
}

static bool assistant_good(struct strict *s, struct open_calls *open, const struct message *m,
                           size_t at)
{
    struct scan calls = scan_open(m->tool_calls);
    struct span none, call;
    open->n = 0;
    if (span_kind(m->tool_calls, '[') && scan_count(m->tool_calls) == 0)
        return strict_say(s,
                          "Invalid 'messages[%zu].tool_calls': empty array. Expected an array with "
                          "minimum length 1, but got an empty array instead.",
                          at);
    if (span_null(m->content) && span_null(m->tool_calls))
        return strict_say(s,
                          "Invalid value for 'content': expected a string, got null. "
                          "(messages[%zu].content)",
                          at);
    while (open->n < CALLS_MAX && scan_next(&calls, &none, &call)) {
        if (!call_good(s, at, open->n, call))
            return false;
        open->answered[open->n] = false;
        open->id[open->n++] = string_inside(scan_member(call, "id"));
    }
    return true;
}

/* ---- parts ---- */

static bool image_good(struct strict *s, struct span part)
{
    struct span image = scan_member(part, "image_url"), type, data;
    struct text url = {0}, bytes = {0};
    bool good = true;
    if (!model_can(s->c, "vision") && s->c->k.owner == OWNER_LLAMACPP) {
        s->status = 500;
        return strict_say(s, "image input is not supported - hint: if this is unexpected, you may "
                             "need to provide the mmproj");
    }
    if (!span_kind(image, '{'))
        return strict_say(s,
                          "Invalid type for 'image_url': expected an object, but got %s instead.",
                          kind_of(image));
    scan_text(scan_member(image, "url"), &url);
    struct span text = {url.data, url.len};
    if (data_uri(text, &type, &data)) {
        const char *kind = NULL;
        if (text_unbase64(&bytes, data.p, data.n) >= 0)
            good = strict_say(s, "Invalid base64 image_url.");
        else if ((kind = media_sniff(bytes.data, bytes.len)) == NULL ||
                 strncmp(kind, "image/", 6) != 0)
            good = strict_say(s, "You uploaded an unsupported image. Please make sure your image "
                                 "has of one the following formats: ['png', 'jpeg', 'gif', "
                                 "'webp'].");
    } else if (!span_begins(text, "http://") && !span_begins(text, "https://")) {
        good = strict_say(s, "Invalid image_url: expected a base64-encoded data URL or an http(s) "
                             "URL.");
    } else if (local(s)) {
        good = strict_say(s, "Failed to download image");
    }
    text_free(&url);
    text_free(&bytes);
    return good;
}

static bool file_good(struct strict *s, struct span part)
{
    struct text url = {0};
    struct span type, data;
    if (local(s))
        return strict_say(s, "unsupported content[].type");
    scan_text(scan_member(scan_member(part, "file"), "file_data"), &url);
    bool good = data_uri((struct span){url.data, url.len}, &type, &data) &&
                span_is(type, "application/pdf");
    text_free(&url);
    return good || strict_say(s, "Invalid file data: 'file_data'. Expected a base64-encoded data "
                                 "URL with an application/pdf MIME type (e.g. "
                                 "'data:application/pdf;base64,aW1nIGJ5dGVzIGhlcmU=').");
}

static bool part_good(struct strict *s, const struct message *m, size_t at, struct span part)
{
    struct span type = scan_member(part, "type"), word = string_inside(type);
    bool user = span_is_string(m->role, "user");
    if (span_is_string(type, "text") || span_is_string(type, "refusal"))
        return true;
    if (user && span_is_string(type, "image_url"))
        return image_good(s, part);
    if (user && span_is_string(type, "file"))
        return file_good(s, part);
    if (user && span_is_string(type, "input_audio"))
        return true;
    return strict_say(s,
                      "Invalid value: '%.*s'. Supported values for messages[%zu].content are: "
                      "'text'%s.",
                      (int)word.n, word.n ? word.p : "", at,
                      user ? ", 'image_url', 'input_audio', and 'file'" : "");
}

static bool message_good(struct strict *s, struct open_calls *open, const struct message *m,
                         size_t at)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    struct scan parts = scan_open(m->content);
    struct span none, part, role = string_inside(m->role);
    size_t i = 0;
    while (i < 5 && !span_is_string(m->role, roles[i]))
        i++;
    if (i == 5)
        return strict_say(s,
                          "Invalid value: '%.*s'. Supported values are: 'system', 'assistant', "
                          "'user', 'function', 'tool', and 'developer'.",
                          (int)role.n, role.n ? role.p : "");
    if (i == 4 ? !answer_good(s, open, m, at) : !all_answered(s, open))
        return false;
    if (i == 3 && !assistant_good(s, open, m, at))
        return false;
    if (i < 3)
        open->n = 0;
    if (i != 3 && !span_kind(m->content, '"') && !span_kind(m->content, '['))
        return strict_say(s,
                          "Invalid value for 'content': expected a string, got %s. "
                          "(messages[%zu].content)",
                          kind_of(m->content), at);
    while (parts.array && scan_next(&parts, &none, &part))
        if (!part_good(s, m, at, part))
            return false;
    return true;
}

static bool messages_good(struct strict *s)
{
    static struct open_calls open;
    struct scan messages = scan_open(s->a->messages);
    struct span none, value;
    struct message m;
    size_t at = 0;
    open.n = 0;
    if (s->a->messages.p == NULL)
        return strict_say(s, local(s) ? "'messages' is required"
                                      : "Missing required parameter: 'messages'.");
    if (!span_kind(s->a->messages, '['))
        return strict_say(s, "Expected 'messages' to be an array");
    while (scan_next(&messages, &none, &value)) {
        message_read(value, &m);
        if (!message_good(s, &open, &m, at++))
            return false;
    }
    if (at == 0)
        return strict_say(s, "Invalid 'messages': empty array. Expected an array with minimum "
                             "length 1, but got an empty array instead.");
    return all_answered(s, &open);
}

/* ---- tools and formats ---- */

/* A strict schema closes every object and requires every member. */
static bool schema_closed(struct span schema)
{
    struct span key, value, properties = scan_member(schema, "properties");
    struct scan s = scan_open(properties);
    if (span_is_string(scan_member(schema, "type"), "object") &&
        (!span_is(scan_member(schema, "additionalProperties"), "false") ||
         scan_count(scan_member(schema, "required")) != scan_count(properties)))
        return false;
    while (scan_next(&s, &key, &value))
        if (!schema_closed(value))
            return false;
    value = scan_member(schema, "items");
    return value.p == NULL || schema_closed(value);
}

static bool schema_good(struct strict *s, const char *what, struct span schema, bool strict)
{
    struct text which = {0};
    bool unknown = schema_type_unknown(schema, &which);
    if (unknown && local(s))
        strict_say(s,
                   "Unable to generate parser for this template. Automatic parser generation "
                   "failed: JSON schema error at #: unrecognized type %.*s",
                   (int)which.len, which.data);
    else if (unknown)
        strict_say(s, "Invalid schema for %s: '%.*s' is not valid under any of the given schemas.",
                   what, (int)which.len, which.data);
    else if (strict && !local(s) && !schema_closed(schema))
        strict_say(s,
                   "Invalid schema for %s: In context=(), 'additionalProperties' is required to be "
                   "supplied and to be false, and 'required' to include every key in properties.",
                   what);
    text_free(&which);
    return s->status == 0;
}

static bool tool_good(struct strict *s, size_t i, struct span value)
{
    char where[64], what[128];
    struct tool tool;
    struct span type = scan_member(value, "type");
    snprintf(where, sizeof where, "tools[%zu].function.name", i);
    if (type.p == NULL)
        return strict_say(s, "Missing required parameter: 'tools[%zu].type'.", i);
    if (!span_is_string(type, "function"))
        return !local(s) && span_is_string(type, "custom")
                   ? true
                   : strict_say(s, "Invalid value: %.*s. Supported values are: 'function'%s.",
                                (int)type.n, type.p, local(s) ? "" : " and 'custom'");
    if (!tool_read(OPENAI, value, &tool))
        return strict_say(s, "Missing required parameter: '%s'.", where);
    if (!name_good(s, where, tool.name))
        return false;
    snprintf(what, sizeof what, "function %.*s", (int)tool.name.n, tool.name.p);
    return span_null(tool.schema) ||
           schema_good(s, what, tool.schema,
                       span_is(scan_member(scan_member(value, "function"), "strict"), "true"));
}

static bool choice_good(struct strict *s)
{
    struct span name, choice = s->a->tool_choice, none, value;
    struct scan tools = scan_open(s->a->tools);
    struct tool tool;
    if (span_kind(choice, '"') && !span_is_string(choice, "none") &&
        !span_is_string(choice, "auto") && !span_is_string(choice, "required"))
        return local(s)
                   ? strict_say(s, "Invalid tool_choice: %.*s", (int)choice.n - 2, choice.p + 1)
                   : strict_say(s,
                                "Invalid value: '%.*s'. Supported values are: 'none', 'auto', "
                                "and 'required'.",
                                (int)choice.n - 2, choice.p + 1);
    if (!tools_forced(s->c, s->a, &name) || name.p == NULL)
        return true;
    while (scan_next(&tools, &none, &value))
        if (tool_read(OPENAI, value, &tool) && tool.name.n == name.n &&
            memcmp(tool.name.p, name.p, name.n) == 0)
            return true;
    return strict_say(s, "Tool choice %.*s not found in 'tools' parameter.", (int)name.n, name.p);
}

static bool tools_good(struct strict *s)
{
    struct scan tools = scan_open(s->a->tools);
    struct span none, value;
    bool offered = !span_null(s->a->tools);
    size_t i = 0;
    if (!offered && !span_null(s->a->tool_choice) && !local(s))
        return strict_say(s, "Invalid value for 'tool_choice': 'tool_choice' is only allowed when "
                             "'tools' are specified.");
    if (!offered && !span_null(s->a->parallel_tool_calls) && !local(s))
        return strict_say(s, "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is "
                             "only allowed when 'tools' are specified.");
    while (scan_next(&tools, &none, &value))
        if (!tool_good(s, i++, value))
            return false;
    if (offered && i == 0 && !local(s))
        return strict_say(s, "Invalid 'tools': empty array. Expected an array with minimum length "
                             "1, but got an empty array instead.");
    return choice_good(s);
}

static bool format_good(struct strict *s)
{
    struct span type = scan_member(s->a->response_format, "type"), name, schema;
    struct span inner = scan_member(s->a->response_format, "json_schema");
    if (span_null(s->a->response_format) || span_is_string(type, "text") ||
        span_is_string(type, "json_object"))
        return true;
    if (!span_is_string(type, "json_schema"))
        return strict_say(s, "Invalid value for 'response_format.type'. Supported values are: "
                             "'json_object', 'json_schema', and 'text'.");
    name = string_inside(scan_member(inner, "name"));
    schema = scan_member(inner, "schema");
    if (!local(s) && name.p == NULL)
        return strict_say(s, "Missing required parameter: 'response_format.json_schema.name'.");
    if (!local(s) && !name_good(s, "response_format.json_schema.name", scan_member(inner, "name")))
        return false;
    if (schema.p == NULL)
        return strict_say(s, "Missing required parameter: 'response_format.json_schema.schema'.");
    return schema_good(s, "response_format", schema, span_is(scan_member(inner, "strict"), "true"));
}

/* ---- the rest ---- */

static bool number_good(struct strict *s, const char *name, struct span value, double high)
{
    if (span_null(value))
        return true;
    if (span_kind(value, '"'))
        return strict_say(s, "Invalid type for '%s': expected a decimal, but got a string instead.",
                          name);
    double n = strtod(value.p, NULL);
    if (n > high)
        return strict_say(s,
                          "Invalid '%s': decimal above maximum value. Expected a value <= %g, but "
                          "got %.*s instead.",
                          name, high, (int)value.n, value.p);
    return n >= 0 || strict_say(s,
                                "Invalid '%s': decimal below minimum value. Expected a value >= 0, "
                                "but got %.*s instead.",
                                name, (int)value.n, value.p);
}

static bool cloud_only(struct strict *s)
{
    static const char known[] =
        " model messages max_completion_tokens max_tokens temperature top_p n stop seed "
        "frequency_penalty presence_penalty logit_bias logprobs top_logprobs stream stream_options "
        "tools tool_choice parallel_tool_calls response_format reasoning_effort verbosity "
        "service_tier metadata user safety_identifier prompt_cache_key store modalities audio "
        "prediction web_search_options prompt_cache_options moderation functions function_call "
        "prompt suffix echo best_of input dimensions encoding_format ";
    struct scan members = scan_open(s->a->body);
    struct span key, value;
    while (scan_next(&members, &key, &value)) {
        char word[64];
        snprintf(word, sizeof word, " %.*s ", (int)(key.n < 60 ? key.n : 60), key.p);
        if (strstr(known, word) == NULL)
            return strict_say(s, "Unrecognized request argument supplied: %.*s", (int)key.n, key.p);
    }
    if (span_kind(s->a->stop, '[') && scan_count(s->a->stop) > 4)
        return strict_say(
            s,
            "Invalid 'stop': array too long. Expected an array with maximum length 4, "
            "but got an array with length %zu instead.",
            scan_count(s->a->stop));
    return true;
}

bool strict_openai(struct strict *s)
{
    if (s->c->k.owner == OWNER_OPENAI && !cloud_only(s))
        return false;
    if (s->c->job != JOB_TALK)
        return true;
    if (s->a->stream_options.p && !span_null(s->a->stream_options) && !s->c->streaming)
        return strict_say(s, "The 'stream_options' parameter is only allowed when 'stream' is "
                             "enabled.");
    if (!number_good(s, "temperature", s->a->temperature, 2) ||
        !number_good(s, "top_p", s->a->top_p, 1))
        return false;
    if (s->c->dialect == OPENAI_TEXT)
        return !span_null(s->a->prompt) || strict_say(s, "Missing required parameter: 'prompt'.");
    return messages_good(s) && tools_good(s) && format_good(s);
}
