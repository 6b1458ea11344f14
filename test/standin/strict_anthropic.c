/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict_anthropic - what the cloud refuses.
 *
 *   members    only known ones; max_tokens and messages are required; the version's header too
 *   messages   roles, no blank text, at most four cache marks, images that are what they say
 *   pairing    each tool_use has its tool_result in the next user message, before any other block, and the other
 *              way round; neighbours of one role count as one message
 *   thinking   the budget; our own signatures unchanged; thinking before the calls of the last turn
 *   tools      names, schemas, a choice only with tools
 *   version    2026-10-21 takes no sampling members and fewer blocks
 */
#include "standin.h"

#include <stdlib.h>

#define CALLS_MAX 256

struct walk { /* over the messages; `at` and `block` say where we are */
    struct strict *s;
    size_t at, block;
    bool newer;        /* version 2026-10-21 */
    bool user, others; /* in a user turn; which has had a block that is no result */
    size_t turn_at;    /* the assistant message that made the open calls */
    struct span id[CALLS_MAX];
    bool answered[CALLS_MAX];
    size_t calls, marks;
};

static bool blank(struct span value)
{
    struct text plain = {0};
    scan_text(value, &plain);
    size_t i = 0;
    while (i < plain.len && memchr(" \t\r\n", plain.data[i], 4))
        i++;
    bool empty = i == plain.len;
    text_free(&plain);
    return empty;
}

/* ---- images and documents ---- */

static bool image_good(struct walk *w, const char *where, struct span source)
{
    struct span type = scan_member(source, "media_type"), word = string_inside(type);
    static const char *const known[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};
    struct text letters = {0}, bytes = {0};
    size_t i = 0;
    bool good = true;
    while (i < 4 && !span_is_string(type, known[i]))
        i++;
    if (i == 4)
        return strict_say(w->s,
                          "messages.%zu.content.%zu.%simage.source.base64.media_type: Input should "
                          "be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
                          w->at, w->block, where);
    scan_text(scan_member(source, "data"), &letters);
    int64_t bad = text_unbase64(&bytes, letters.data, letters.len);
    const char *seen = bad < 0 ? media_sniff(bytes.data, bytes.len) : NULL;
    if (bad >= 0 || letters.len == 0)
        good =
            strict_say(w->s, "messages.%zu.content.%zu.%simage.source.base64: invalid base64 data",
                       w->at, w->block, where);
    else if (seen == NULL)
        good = strict_say(w->s, "Could not process image");
    else if (!span_is(word, seen))
        good = strict_say(w->s,
                          "messages.%zu.content.%zu.%simage.source.base64.data: The image was "
                          "specified using the %.*s media type, but the image appears to be a %s "
                          "image",
                          w->at, w->block, where, (int)word.n, word.p, seen);
    text_free(&letters);
    text_free(&bytes);
    return good;
}

static bool document_good(struct walk *w, const char *where, struct span source)
{
    struct span type = scan_member(source, "type"), media = scan_member(source, "media_type");
    struct text letters = {0}, bytes = {0};
    if (span_is_string(type, "text"))
        return span_is_string(media, "text/plain") ||
               strict_say(w->s,
                          "messages.%zu.content.%zu.%sdocument.source.text.media_type: Input "
                          "should be 'text/plain'",
                          w->at, w->block, where);
    if (!span_is_string(type, "base64"))
        return true;
    scan_text(scan_member(source, "data"), &letters);
    bool good = span_is_string(media, "application/pdf") &&
                text_unbase64(&bytes, letters.data, letters.len) < 0 && bytes.len > 5 &&
                memcmp(bytes.data, "%PDF-", 5) == 0;
    text_free(&letters);
    text_free(&bytes);
    return good || strict_say(w->s,
                              "messages.%zu.content.%zu.%sdocument.source.base64.data: The PDF "
                              "specified was not valid.",
                              w->at, w->block, where);
}

static bool media_good(struct walk *w, const char *where, struct span block, struct span type)
{
    struct span source = scan_member(block, "source");
    if (span_is_string(type, "document"))
        return document_good(w, where, source);
    if (span_is_string(scan_member(source, "type"), "base64"))
        return image_good(w, where, source);
    if (span_is_string(scan_member(source, "type"), "url"))
        return span_begins(string_inside(scan_member(source, "url")), "https://") ||
               strict_say(w->s,
                          "messages.%zu.content.%zu.%simage.source.url.url: Only HTTPS URLs are "
                          "supported.",
                          w->at, w->block, where);
    return span_is_string(scan_member(source, "type"), "file") ||
           strict_say(w->s, "messages.%zu.content.%zu.%simage.source: Field required", w->at,
                      w->block, where);
}

/* ---- calls and results ---- */

static bool id_good(struct walk *w, const char *where, struct span id)
{
    return id_plain(string_inside(id)) ||
           strict_say(w->s,
                      "messages.%zu.content.%zu.%s: String should match pattern "
                      "'^[a-zA-Z0-9_-]+$'",
                      w->at, w->block, where);
}

static size_t find_call(const struct walk *w, struct span id)
{
    size_t i = 0;
    while (i < w->calls && !(w->id[i].n == id.n && memcmp(w->id[i].p, id.p, id.n) == 0))
        i++;
    return i;
}

static bool call_good(struct walk *w, struct span block)
{
    struct span id = scan_member(block, "id"), text = string_inside(id);
    struct span name = string_inside(scan_member(block, "name"));
    if (!id_good(w, "tool_use.id", id))
        return false;
    if (!id_plain(name) || name.n > 128)
        return strict_say(w->s,
                          "messages.%zu.content.%zu.tool_use.name: String should match pattern "
                          "'^[a-zA-Z0-9_-]{1,128}$'",
                          w->at, w->block);
    if (!span_kind(scan_member(block, "input"), '{'))
        return strict_say(w->s,
                          "messages.%zu.content.%zu.tool_use.input: Input should be a valid "
                          "dictionary",
                          w->at, w->block);
    if (find_call(w, text) < w->calls)
        return strict_say(w->s, "messages.%zu.content.%zu: `tool_use` ids must be unique", w->at,
                          w->block);
    if (w->calls < CALLS_MAX) {
        w->answered[w->calls] = false;
        w->id[w->calls++] = text;
    }
    w->turn_at = w->at;
    return true;
}

static bool unanswered(struct walk *w)
{
    struct text missing = {0};
    for (size_t i = 0; i < w->calls; i++)
        if (!w->answered[i]) {
            text_str(&missing, missing.len ? ", " : "");
            text_add(&missing, w->id[i].p, w->id[i].n);
        }
    bool any = missing.len > 0;
    if (any)
        strict_say(w->s,
                   "messages.%zu: `tool_use` ids were found without `tool_result` blocks "
                   "immediately after: %.*s. Each `tool_use` block must have a corresponding "
                   "`tool_result` block in the next message.",
                   w->turn_at, (int)missing.len, missing.data);
    text_free(&missing);
    return any;
}

static bool result_good(struct walk *w, struct span block)
{
    struct span id = scan_member(block, "tool_use_id"), text = string_inside(id);
    struct span content = scan_member(block, "content"), none, part;
    struct scan parts = scan_open(content);
    if (!id_good(w, "tool_result.tool_use_id", id))
        return false;
    size_t i = find_call(w, text);
    if (i == w->calls)
        return strict_say(w->s,
                          "messages.%zu.content.%zu: unexpected `tool_use_id` found in "
                          "`tool_result` blocks: %.*s. Each `tool_result` block must have a "
                          "corresponding `tool_use` block in the previous message.",
                          w->at, w->block, (int)text.n, text.p);
    if (w->answered[i])
        return strict_say(w->s,
                          "messages.%zu.content.%zu: each tool_use must have a single result. "
                          "Found multiple `tool_result` blocks with id: %.*s",
                          w->at, w->block, (int)text.n, text.p);
    if (w->others) {
        unanswered(w); /* so they are found to be missing: text came first */
        return false;
    }
    w->answered[i] = true;
    while (parts.array && scan_next(&parts, &none, &part)) {
        struct span type = scan_member(part, "type");
        if ((span_is_string(type, "image") || span_is_string(type, "document")) &&
            !media_good(w, "tool_result.content.", part, type))
            return false;
        if (span_is_string(type, "text") && scan_member(part, "text").n <= 2)
            return strict_say(w->s, "messages: text content blocks must be non-empty");
    }
    return true;
}

/* ---- thinking ---- */

static bool thinking_on(const struct strict *s)
{
    struct span type = scan_member(s->a->thinking, "type");
    return span_is_string(type, "enabled") || span_is_string(type, "adaptive");
}

static bool thinking_good(struct walk *w, struct span block, struct span type)
{
    struct text words = {0};
    bool good;
    if (span_is_string(type, "redacted_thinking")) {
        good = anthropic_redacted(string_inside(scan_member(block, "data")));
        return good || strict_say(w->s,
                                  "messages.%zu.content.%zu: Invalid `data` in "
                                  "`redacted_thinking` block",
                                  w->at, w->block);
    }
    if (scan_member(block, "signature").p == NULL)
        return strict_say(w->s, "messages.%zu.content.%zu.thinking.signature: Field required",
                          w->at, w->block);
    scan_text(scan_member(block, "thinking"), &words);
    good = anthropic_signed(string_inside(scan_member(block, "signature")), &words);
    text_free(&words);
    return good ||
           strict_say(w->s, "messages.%zu.content.%zu: Invalid `signature` in `thinking` block",
                      w->at, w->block);
}

/* The turn that the last results answer must begin with its thinking, when thinking is on. */
static bool thinking_first(struct strict *s)
{
    struct scan messages = scan_open(s->a->messages);
    struct span none, value, last = {0}, block, type;
    size_t at = 0, last_at = 0;
    struct message m;
    if (!span_is_string(scan_member(s->a->thinking, "type"), "enabled"))
        return true;
    for (; scan_next(&messages, &none, &value); at++) {
        message_read(value, &m);
        if (span_is_string(m.role, "assistant")) {
            last = m.content;
            last_at = at;
        }
    }
    struct scan blocks = scan_open(last);
    if (!blocks.array || !span_has(last, "\"tool_use\"") || !scan_next(&blocks, &none, &block))
        return true;
    type = string_inside(scan_member(block, "type"));
    if (span_is(type, "thinking") || span_is(type, "redacted_thinking"))
        return true;
    return strict_say(
        s,
        "messages.%zu.content.0.type: Expected `thinking` or `redacted_thinking`, but "
        "found `%.*s`. When `thinking` is enabled, a final `assistant` message must "
        "start with a thinking block (preceeding the lastmost set of `tool_use` and "
        "`tool_result` blocks).",
        last_at, (int)type.n, type.p);
}

static bool thinking_member(struct strict *s)
{
    struct span type = scan_member(s->a->thinking, "type"), name;
    int64_t budget = 0, most = 0;
    if (span_null(s->a->thinking))
        return true;
    if (!thinking_on(s) && !span_is_string(type, "disabled") &&
        !span_is_string(type, "between_tools"))
        return strict_say(s, "thinking: Input tag found using 'type' does not match any of the "
                             "expected tags: 'adaptive', 'between_tools', 'disabled', 'enabled'");
    if (span_is_string(type, "enabled")) {
        if (!span_int(scan_member(s->a->thinking, "budget_tokens"), &budget))
            return strict_say(s, "thinking.enabled.budget_tokens: Field required");
        if (budget < 1024)
            return strict_say(s, "thinking.enabled.budget_tokens: Input should be greater than or "
                                 "equal to 1024");
        if (span_int(s->a->max_tokens, &most) && budget >= most)
            return strict_say(s, "`max_tokens` must be greater than `thinking.budget_tokens`.");
    }
    if (!thinking_on(s))
        return true;
    if (tools_forced(s->c, s->a, &name))
        return strict_say(s, "Thinking may not be enabled when tool_choice forces tool use.");
    if (!span_null(s->a->temperature) && strtod(s->a->temperature.p, NULL) != 1.0)
        return strict_say(s, "`temperature` may only be set to 1 when thinking is enabled.");
    return span_null(s->a->top_k) ||
           strict_say(s, "`top_k` must be unset when thinking is enabled.");
}

/* ---- blocks and messages ---- */

static bool marked(struct walk *w, struct span block)
{
    if (!span_null(scan_member(block, "cache_control")))
        w->marks++;
    return w->marks <= 4 || strict_say(w->s,
                                       "A maximum of 4 blocks with cache_control may be provided. "
                                       "Found %zu.",
                                       w->marks);
}

static bool text_good(struct walk *w, struct span block)
{
    struct span text = scan_member(block, "text");
    if (!span_kind(text, '"'))
        return strict_say(w->s, "messages.%zu.content.%zu.text.text: Field required", w->at,
                          w->block);
    if (text.n == 2 && !span_null(scan_member(block, "cache_control")))
        return strict_say(w->s,
                          "messages.%zu.content.%zu.text: cache_control cannot be set for empty "
                          "text blocks",
                          w->at, w->block);
    if (text.n == 2)
        return strict_say(w->s, "messages: text content blocks must be non-empty");
    if (blank(text))
        return strict_say(w->s, "messages: text content blocks must contain non-whitespace text");
    return !w->newer || !w->user || scan_count(scan_member(block, "citations")) == 0 ||
           strict_say(w->s,
                      "messages.%zu.content.%zu.text.citations: Extra inputs are not "
                      "permitted",
                      w->at, w->block);
}

static bool block_good(struct walk *w, struct span block)
{
    struct span type = scan_member(block, "type"), word = string_inside(type);
    bool result = span_is_string(type, "tool_result");
    if (!marked(w, block))
        return false;
    if (span_is_string(type, "text")) {
        if (!text_good(w, block))
            return false;
    } else if (result && w->user) {
        return result_good(w, block);
    } else if (span_is_string(type, "tool_use") && !w->user) {
        return call_good(w, block);
    } else if (!w->user &&
               (span_is_string(type, "thinking") || span_is_string(type, "redacted_thinking"))) {
        return thinking_good(w, block, type);
    } else if (w->user ? span_is_string(type, "image") || span_is_string(type, "document")
                       : span_is_string(type, "document") && !w->newer) {
        if (!media_good(w, "", block, type))
            return false;
    } else if (!span_is_string(type, "search_result") && !span_has(word, "server_tool") &&
               !(span_has(word, "_tool_result") && !result)) {
        return strict_say(w->s,
                          "messages.%zu.content.%zu: Input tag '%.*s' found using 'type' does not "
                          "match any of the expected tags",
                          w->at, w->block, (int)word.n, word.n ? word.p : "");
    }
    w->others = true;
    return true;
}

/* A turn ends when the role changes. What the assistant called must then be answered before it speaks again. */
static bool turn_good(struct walk *w, bool user)
{
    if (user == w->user && w->at > 0)
        return true;
    if (!user && unanswered(w))
        return false;
    if (!user)
        w->calls = 0;
    w->user = user;
    w->others = false;
    return true;
}

static bool message_good(struct walk *w, struct span value, bool final)
{
    struct message m;
    struct span none, block;
    message_read(value, &m);
    struct span role = string_inside(m.role);
    bool user = span_is(role, "user") || span_is(role, "system");
    if (!user && !span_is(role, "assistant"))
        return strict_say(w->s,
                          "messages: Unexpected role \"%.*s\". Allowed roles are \"user\" or "
                          "\"assistant\"",
                          (int)role.n, role.n ? role.p : "");
    if (w->at == 0 && !user)
        return strict_say(w->s, "messages: first message must use the \"user\" role");
    if (!turn_good(w, user))
        return false;
    if (!span_kind(m.content, '"') && !span_kind(m.content, '['))
        return strict_say(w->s, "messages.%zu.content: Input should be a valid list", w->at);
    if (span_kind(m.content, '"') ? m.content.n == 2 : scan_count(m.content) == 0)
        return (final && !user) || strict_say(w->s,
                                              "messages.%zu: all messages must have non-empty "
                                              "content except for the optional final assistant "
                                              "message",
                                              w->at);
    if (span_kind(m.content, '"')) {
        w->others = true;
        return !blank(m.content) || strict_say(w->s, "messages: text content blocks must contain "
                                                     "non-whitespace text");
    }
    struct scan blocks = scan_open(m.content);
    for (w->block = 0; scan_next(&blocks, &none, &block); w->block++)
        if (!block_good(w, block))
            return false;
    return true;
}

static bool messages_good(struct walk *w)
{
    struct scan messages = scan_open(w->s->a->messages);
    struct span none, value;
    size_t n = scan_count(w->s->a->messages);
    if (w->s->a->messages.p == NULL)
        return strict_say(w->s, "messages: Field required");
    if (n == 0)
        return strict_say(w->s, "messages: at least one message is required");
    for (; scan_next(&messages, &none, &value); w->at++)
        if (!message_good(w, value, w->at + 1 == n))
            return false;
    if (unanswered(w))
        return false;
    if (span_null(w->s->a->tools) && (span_has(w->s->a->messages, "\"tool_use\"") ||
                                      span_has(w->s->a->messages, "\"tool_result\"")))
        return strict_say(w->s, "Requests which include `tool_use` or `tool_result` blocks must "
                                "define tools.");
    return thinking_first(w->s);
}

/* ---- tools ---- */

static bool tool_good(struct walk *w, size_t i, struct span value)
{
    struct span type = scan_member(value, "type"), name = string_inside(scan_member(value, "name"));
    struct span schema = scan_member(value, "input_schema");
    if (!marked(w, value))
        return false;
    if (!span_null(type) && !span_is_string(type, "custom"))
        return true; /* a built-in tool, without a schema */
    if (!id_plain(name) || name.n > 128)
        return strict_say(w->s,
                          "tools.%zu.custom.name: String should match pattern "
                          "'^[a-zA-Z0-9_-]{1,128}$'",
                          i);
    if (schema.p == NULL)
        return strict_say(w->s, "tools.%zu.custom.input_schema: Field required", i);
    if (!span_is_string(scan_member(schema, "type"), "object"))
        return strict_say(w->s, "tools.%zu.custom.input_schema.type: Input should be 'object'", i);
    struct scan earlier = scan_open(w->s->a->tools);
    struct span none, other;
    for (size_t j = 0; j < i && scan_next(&earlier, &none, &other); j++) {
        struct span word = string_inside(scan_member(other, "name"));
        if (word.n == name.n && memcmp(word.p, name.p, name.n) == 0)
            return strict_say(w->s, "tools: Tool names must be unique.");
    }
    return true;
}

static bool tools_good(struct walk *w)
{
    struct scan tools = scan_open(w->s->a->tools);
    struct span none, value, name, choice = w->s->a->tool_choice;
    bool found = false;
    size_t i = 0;
    if (span_null(w->s->a->tools) && !span_null(choice))
        return strict_say(w->s, "tool_choice may only be specified while providing tools.");
    bool forced = tools_forced(w->s->c, w->s->a, &name);
    for (; scan_next(&tools, &none, &value); i++) {
        struct span word = scan_member(value, "name");
        if (!tool_good(w, i, value))
            return false;
        found |= name.p && word.n == name.n && memcmp(word.p, name.p, name.n) == 0;
    }
    if (!span_null(choice) && !span_kind(choice, '{'))
        return strict_say(w->s, "tool_choice: Input should be a valid dictionary or object to "
                                "extract fields from");
    return !forced || name.p == NULL || found ||
           strict_say(w->s, "Tool '%.*s' not found in provided tools", (int)name.n - 2, name.p + 1);
}

/* ---- the members ---- */

static bool members_known(struct strict *s)
{
    static const char talk[] =
        " model messages max_tokens system stream stop_sequences temperature top_p top_k tools "
        "tool_choice thinking output_config metadata service_tier speed cache_control container "
        "inference_geo diagnostics context_management mcp_servers ";
    static const char count[] = " model messages system tools tool_choice thinking output_config "
                                "cache_control context_management mcp_servers ";
    struct scan members = scan_open(s->a->body);
    struct span key, value;
    while (scan_next(&members, &key, &value)) {
        char word[64];
        snprintf(word, sizeof word, " %.*s ", (int)(key.n < 60 ? key.n : 60), key.p);
        if (strstr(s->c->job == JOB_COUNT ? count : talk, word) == NULL)
            return strict_say(s, "%.*s: Extra inputs are not permitted", (int)key.n, key.p);
    }
    return true;
}

static bool limits_good(struct strict *s, bool newer)
{
    int64_t most = 0;
    if (s->c->job == JOB_COUNT)
        return true;
    if (s->a->max_tokens.p == NULL)
        return strict_say(s, "max_tokens: Field required");
    if (!span_int(s->a->max_tokens, &most))
        return strict_say(s, "max_tokens: Input should be a valid integer");
    if (most < 0)
        return strict_say(s, "max_tokens: Input should be greater than or equal to 0");
    if (newer && (s->a->temperature.p || s->a->top_p.p || s->a->top_k.p))
        return strict_say(s, "%s: Extra inputs are not permitted",
                          s->a->temperature.p ? "temperature"
                          : s->a->top_p.p     ? "top_p"
                                              : "top_k");
    if (!span_null(s->a->temperature) && strtod(s->a->temperature.p, NULL) > 1.0)
        return strict_say(s, "temperature: range: 0..1");
    struct scan stops = scan_open(s->a->stop_sequences);
    struct span none, value;
    while (scan_next(&stops, &none, &value))
        if (blank(value))
            return strict_say(s, "stop_sequences: each stop sequence must contain non-whitespace");
    return true;
}

static bool system_good(struct walk *w)
{
    struct scan blocks = scan_open(w->s->a->system);
    struct span none, block;
    while (blocks.array && scan_next(&blocks, &none, &block)) {
        if (!marked(w, block))
            return false;
        if (!span_is_string(scan_member(block, "type"), "text"))
            return strict_say(w->s, "system.0.type: Input should be 'text'");
        if (scan_member(block, "text").n <= 2)
            return strict_say(w->s, "system: text content blocks must be non-empty");
    }
    return true;
}

static bool format_good(struct strict *s)
{
    static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max"};
    struct span format = scan_member(s->a->output_config, "format");
    struct span effort = scan_member(s->a->output_config, "effort");
    size_t i = 0;
    while (i < 5 && !span_is_string(effort, efforts[i]))
        i++;
    if (!span_null(effort) && i == 5)
        return strict_say(s, "output_config.effort: Input should be 'low', 'medium', 'high', "
                             "'xhigh' or 'max'");
    if (span_null(format))
        return true;
    if (!span_is_string(scan_member(format, "type"), "json_schema"))
        return strict_say(s, "output_config.format.type: Input should be 'json_schema'");
    if (!span_kind(scan_member(format, "schema"), '{'))
        return strict_say(s, "output_config.format.schema: Field required");
    struct scan members = scan_open(format);
    struct span key, value;
    while (scan_next(&members, &key, &value))
        if (!span_is(key, "type") && !span_is(key, "schema"))
            return strict_say(s,
                              "output_config.format.json_schema.%.*s: Extra inputs are not "
                              "permitted",
                              (int)key.n, key.p);
    return true;
}

bool strict_anthropic(struct strict *s)
{
    static struct walk w; /* too large for the stack of a loop's turn; one at a time */
    w = (struct walk){.s = s, .user = true};
    w.newer = span_has(s->r->head, "2026-10-21");
    if (!s->r->anthropic)
        return strict_say(s, "anthropic-version: header is required");
    return members_known(s) && limits_good(s, w.newer) && system_good(&w) && tools_good(&w) &&
           thinking_member(s) && format_good(s) && messages_good(&w);
}
