/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grammar_anthropic - the legal streams of messages.
 *
 *   message_start (block_start delta* block_stop)* message_delta+ message_stop       ping anywhere behind start
 *   ... or at any point behind the start an error, and nothing more
 *
 * Blocks are numbered from 0 without gaps and never overlap. text: at least one delta with something in it.
 * tool_use: at least one delta, all joined are an object. thinking: its signature once, as the last delta.
 */
#include "dialect/grammar.h"

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_REDACTED, BLOCK_TOOL, BLOCK_OTHER };

static void message_start(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *m = json_get(root, "message"), *usage = json_get(m, "usage");
    int64_t n;
    must(c, !c->started, "message_start comes once");
    c->started = true;
    must(c, json_get_str(m, "id").len > 0, "the message has an id");
    should(c, strv_eq_cstr(json_get_str(m, "type"), "message"), "the message has its type");
    must(c, strv_eq_cstr(json_get_str(m, "role"), "assistant"), "the message is the assistant's");
    must(c, json_get_str(m, "model").ptr != NULL, "the message has a model");
    must(c, yyjson_is_arr(json_get(m, "content")) && yyjson_arr_size(json_get(m, "content")) == 0,
         "the message begins without content");
    must(c, json_get(m, "stop_reason") == NULL, "the message begins without a stop_reason");
    must(c, json_is_int(json_get(usage, "input_tokens"), &n), "the message has input_tokens");
    must(c, json_is_int(json_get(usage, "output_tokens"), &n), "the message has output_tokens");
}

static enum block block_of(struct dialect_check *c, yyjson_val *block)
{
    strv type = json_get_str(block, "type");
    if (strv_eq_cstr(type, "text")) {
        must(c, json_get_str(block, "text").ptr != NULL, "a block of text begins with a text");
        return BLOCK_TEXT;
    }
    if (strv_eq_cstr(type, "thinking")) {
        must(c, json_get_str(block, "thinking").ptr != NULL, "a block of thinking begins with one");
        return BLOCK_THINKING;
    }
    if (strv_eq_cstr(type, "redacted_thinking")) {
        must(c, json_get_str(block, "data").len > 0, "redacted thinking has data");
        return BLOCK_REDACTED;
    }
    if (strv_eq_cstr(type, "tool_use")) {
        must(c, json_get_str(block, "id").len > 0, "a tool_use has an id");
        must(c, json_get_str(block, "name").len > 0, "a tool_use has a name");
        must(c, yyjson_is_obj(json_get(block, "input")), "a tool_use begins with an input");
        c->calls = true;
        return BLOCK_TOOL;
    }
    should(c, false, "a block is of a known type");
    return BLOCK_OTHER;
}

static bool is_index(yyjson_val *root, int64_t want)
{
    int64_t index;
    return json_is_int(json_get(root, "index"), &index) && index == want;
}

static void block_start(struct dialect_check *c, yyjson_val *root)
{
    must(c, c->open == BLOCK_NONE, "blocks do not overlap");
    must(c, !c->finished, "no block begins after message_delta");
    must(c, is_index(root, c->items), "blocks are numbered without gaps");
    c->items++;
    c->open = (int)block_of(c, json_get(root, "content_block"));
    c->pieces = 0;
    c->sealed = false;
    grammar_scan_init(&c->scan);
}

/* A delta of that type belongs into the open block. */
static bool fits(struct dialect_check *c, yyjson_val *text, enum block into)
{
    must(c, yyjson_is_str(text), "a delta has its text");
    return must(c, c->open == (int)into, "a delta is of its block's type");
}

static void block_delta(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *delta = json_get(root, "delta");
    strv type = json_get_str(delta, "type");
    must(c, c->open != BLOCK_NONE && is_index(root, c->items - 1), "a delta is of the open block");
    if (c->open == BLOCK_OTHER)
        return;
    if (strv_eq_cstr(type, "text_delta")) {
        fits(c, json_get(delta, "text"), BLOCK_TEXT);
        c->pieces += json_get_str(delta, "text").len > 0;
    } else if (strv_eq_cstr(type, "thinking_delta")) {
        fits(c, json_get(delta, "thinking"), BLOCK_THINKING);
        must(c, !c->sealed, "nothing of a block follows its signature");
        c->pieces++;
    } else if (strv_eq_cstr(type, "signature_delta")) {
        fits(c, json_get(delta, "signature"), BLOCK_THINKING);
        must(c, !c->sealed, "a signature comes once");
        c->sealed = true;
    } else if (strv_eq_cstr(type, "input_json_delta")) {
        fits(c, json_get(delta, "partial_json"), BLOCK_TOOL);
        grammar_scan_feed(&c->scan, json_get_str(delta, "partial_json"));
        c->pieces++;
    } else if (strv_eq_cstr(type, "citations_delta")) {
        must(c, c->open == BLOCK_TEXT, "a delta is of its block's type");
    } else {
        should(c, false, "a delta is of a known type");
    }
}

static void block_stop(struct dialect_check *c, yyjson_val *root)
{
    must(c, c->open != BLOCK_NONE && is_index(root, c->items - 1), "a stop is of the open block");
    must(c, !c->half, "the input of a tool_use is an object");
    if (c->open == BLOCK_TEXT)
        should(c, c->pieces > 0, "a block of text has some");
    if (c->open == BLOCK_THINKING)
        should(c, c->sealed, "a block of thinking ends with its signature");
    if (c->open == BLOCK_TOOL) {
        must(c, c->pieces > 0, "a tool_use has an input_json_delta");
        /* Half an input is allowed where the answer was cut; that is told behind it. */
        bool empty = c->passed && grammar_scan_empty(&c->scan); /* the vendor's {} */
        c->half = !empty && !(grammar_scan_whole(&c->scan) && c->scan.is_object);
    }
    c->open = BLOCK_NONE;
}

static void message_delta(struct dialect_check *c, yyjson_val *root)
{
    static const char *const words[] = {
        "end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded",
        "tool_use", "refusal",       "pause_turn", NULL};
    yyjson_val *delta = json_get(root, "delta");
    strv reason = json_get_str(delta, "stop_reason");
    int64_t n;
    must(c, c->open == BLOCK_NONE, "message_delta comes after the last block's stop");
    must(c, json_is_int(json_get(json_get(root, "usage"), "output_tokens"), &n),
         "message_delta has output_tokens");
    if (reason.ptr == NULL)
        return;
    should(c, grammar_one_of(reason, words), "stop_reason is one of the known words");
    bool tools = strv_eq_cstr(reason, "tool_use"), turn = strv_eq_cstr(reason, "end_turn");
    bool sequence = strv_eq_cstr(reason, "stop_sequence");
    must(c, !(c->half && (tools || turn || sequence)), "the input of a tool_use is an object");
    should(c, !(tools && !c->calls), "stop_reason tool_use follows a tool_use");
    should(c, !((turn || sequence) && c->calls), "after a tool_use the stop_reason is tool_use");
    should(c, sequence == (json_get_str(delta, "stop_sequence").ptr != NULL),
           "stop_sequence stands beside its stop_reason");
    c->finished = true;
}

static void message_stop(struct dialect_check *c)
{
    must(c, c->open == BLOCK_NONE && c->finished, "message_stop follows a stop_reason");
    c->ended = true;
}

static void check_error(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *error = json_get(root, "error");
    must(c, json_get_str(error, "type").len > 0, "an error has a type");
    must(c, json_get_str(error, "message").ptr != NULL, "an error has a message");
    c->failed = true;
}

void grammar_anthropic(struct dialect_check *c, strv name, yyjson_val *root)
{
    strv type = json_get_str(root, "type");
    must(c, name.len > 0 && strv_eq(name, type), "an event's name is its type");
    if (strv_eq_cstr(type, "error")) {
        check_error(c, root);
        return;
    }
    if (strv_eq_cstr(type, "message_start")) {
        message_start(c, root);
        return;
    }
    if (!must(c, c->started, "message_start comes first"))
        return;
    if (strv_eq_cstr(type, "content_block_start"))
        block_start(c, root);
    else if (strv_eq_cstr(type, "content_block_delta"))
        block_delta(c, root);
    else if (strv_eq_cstr(type, "content_block_stop"))
        block_stop(c, root);
    else if (strv_eq_cstr(type, "message_delta"))
        message_delta(c, root);
    else if (strv_eq_cstr(type, "message_stop"))
        message_stop(c);
    else
        should(c, strv_eq_cstr(type, "ping"), "an event is of a known type");
}
