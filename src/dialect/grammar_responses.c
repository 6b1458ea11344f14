/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grammar_responses - the legal streams of OpenAI's /v1/responses.
 *
 *   created in_progress item* (completed | incomplete | failed)        or at any point an error, and nothing more
 *
 *   item  added                            message      [part added, delta*, text done, part done]*
 *         [what it is made of]             reasoning    the same, or its summary in the same way
 *         done                             function     delta*, arguments done
 *
 * Every event has the next sequence_number. Items and parts are numbered without gaps and do not overlap; what
 * is told whole is what its pieces joined are.
 */
#include "dialect/grammar.h"

enum item { ITEM_NONE, ITEM_MESSAGE, ITEM_CALL, ITEM_REASONING, ITEM_OTHER };
enum part { PART_NONE, PART_TEXT, PART_REFUSAL, PART_REASONING, PART_SUMMARY };

static bool is_number(yyjson_val *obj, const char *key, int64_t want)
{
    int64_t n;
    return json_is_int(json_get(obj, key), &n) && n == want;
}

/* ---- the response ---- */

static yyjson_val *check_response(struct dialect_check *c, yyjson_val *root, const char *status)
{
    yyjson_val *r = json_get(root, "response");
    strv id = json_get_str(r, "id");
    must(c, id.len > 0 && grammar_same(&c->id, id), "the response's id is the same in every event");
    must(c, strv_eq_cstr(json_get_str(r, "object"), "response"), "the response names its kind");
    must(c, strv_eq_cstr(json_get_str(r, "status"), status),
         "the response's status fits the event");
    must(c, yyjson_is_arr(json_get(r, "output")), "the response has an output");
    return r;
}

static void check_begin(struct dialect_check *c, yyjson_val *root, strv type)
{
    bool created = strv_eq_cstr(type, "response.created");
    must(c, created == !c->started, "response.created comes first, and once");
    must(c, created || c->sequence == 2, "response.in_progress comes second");
    c->started = true;
    yyjson_val *r = check_response(c, root, "in_progress");
    must(c, yyjson_arr_size(json_get(r, "output")) == 0, "the response begins without output");
}

static void check_terminal(struct dialect_check *c, yyjson_val *root, const char *status)
{
    int64_t n;
    yyjson_val *r = check_response(c, root, status), *usage = json_get(r, "usage");
    strv reason = json_get_str(json_get(r, "incomplete_details"), "reason");
    static const char *const reasons[] = {"max_output_tokens", "content_filter", NULL};
    must(c, c->open == ITEM_NONE, "the response ends behind its last item's end");
    c->failed = strcmp(status, "failed") == 0;
    c->ended = !c->failed;
    must(c, c->failed || (int64_t)yyjson_arr_size(json_get(r, "output")) == c->items,
         "the response's output has all items");
    must(c, (strcmp(status, "incomplete") == 0) == (reason.ptr != NULL),
         "an incomplete response says why, no other does");
    should(c, reason.ptr == NULL || grammar_one_of(reason, reasons),
           "the reason is one of the known words");
    must(c,
         usage == NULL || (json_is_int(json_get(usage, "input_tokens"), &n) &&
                           json_is_int(json_get(usage, "output_tokens"), &n) &&
                           json_is_int(json_get(usage, "total_tokens"), &n)),
         "usage has its three counts");
}

/* ---- items ---- */

static enum item item_of(struct dialect_check *c, yyjson_val *item)
{
    strv type = json_get_str(item, "type");
    if (strv_eq_cstr(type, "message")) {
        must(c, strv_eq_cstr(json_get_str(item, "role"), "assistant"),
             "a message is the assistant's");
        return ITEM_MESSAGE;
    }
    if (strv_eq_cstr(type, "function_call")) {
        must(c, json_get_str(item, "call_id").len > 0, "a call has a call_id");
        must(c, json_get_str(item, "name").len > 0, "a call has a name");
        return ITEM_CALL;
    }
    if (strv_eq_cstr(type, "reasoning")) {
        must(c, yyjson_is_arr(json_get(item, "summary")), "reasoning has a summary, if empty");
        return ITEM_REASONING;
    }
    should(c, false, "an item is of a known type");
    return ITEM_OTHER;
}

static void item_added(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *item = json_get(root, "item");
    must(c, c->open == ITEM_NONE, "items do not overlap");
    must(c, is_number(root, "output_index", c->items), "items are numbered without gaps");
    must(c, json_get_str(item, "id").len > 0, "an item has an id");
    c->open = (int)item_of(c, item);
    must(c,
         c->open != ITEM_MESSAGE || (yyjson_is_arr(json_get(item, "content")) &&
                                     yyjson_arr_size(json_get(item, "content")) == 0),
         "a message begins without content");
    must(c, c->open != ITEM_CALL || strv_eq_cstr(json_get_str(item, "arguments"), ""),
         "a call begins without arguments");
    c->item = 0;
    grammar_same(&c->item, json_get_str(item, "id"));
    c->open_part = PART_NONE;
    c->parts = 0;
    c->sealed = false;
    c->joined = GRAMMAR_HASH_START;
    grammar_scan_init(&c->scan);
}

static void item_done(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *item = json_get(root, "item");
    must(c, c->open != ITEM_NONE && is_number(root, "output_index", c->items),
         "an end is of the open item");
    must(c, grammar_same(&c->item, json_get_str(item, "id")), "an item keeps its id");
    must(c, c->open_part == PART_NONE, "an item ends behind its last part's end");
    if (c->open == ITEM_MESSAGE)
        must(c, (int64_t)yyjson_arr_size(json_get(item, "content")) == c->parts,
             "a message's end has all its parts");
    if (c->open == ITEM_CALL) {
        must(c, c->sealed, "a call ends behind its arguments' end");
        must(c, grammar_hash(GRAMMAR_HASH_START, json_get_str(item, "arguments")) == c->joined,
             "what is told whole is what its pieces are");
    }
    c->open = ITEM_NONE;
    c->items++;
}

/* ---- parts ---- */

static bool of_open_item(struct dialect_check *c, yyjson_val *root)
{
    must(c, c->open != ITEM_NONE && is_number(root, "output_index", c->items),
         "a piece is of the open item");
    return must(c, c->open == ITEM_NONE || grammar_same(&c->item, json_get_str(root, "item_id")),
                "a piece names its item");
}

static const char *index_name(enum part part)
{
    return part == PART_SUMMARY ? "summary_index" : "content_index";
}

static enum part part_of(yyjson_val *part)
{
    strv type = json_get_str(part, "type");
    return strv_eq_cstr(type, "output_text")      ? PART_TEXT
           : strv_eq_cstr(type, "refusal")        ? PART_REFUSAL
           : strv_eq_cstr(type, "reasoning_text") ? PART_REASONING
           : strv_eq_cstr(type, "summary_text")   ? PART_SUMMARY
                                                  : PART_NONE;
}

static bool fits_item(const struct dialect_check *c, enum part part)
{
    bool reasoning = part == PART_REASONING || part == PART_SUMMARY;
    return part != PART_NONE && c->open == (reasoning ? ITEM_REASONING : ITEM_MESSAGE);
}

static strv text_of(yyjson_val *part)
{
    return json_get_str(part, part_of(part) == PART_REFUSAL ? "refusal" : "text");
}

static void part_added(struct dialect_check *c, yyjson_val *root, bool summary)
{
    yyjson_val *part = json_get(root, "part");
    enum part kind = part_of(part);
    of_open_item(c, root);
    must(c, c->open_part == PART_NONE, "parts do not overlap");
    must(c, fits_item(c, kind) && summary == (kind == PART_SUMMARY), "a part fits its item");
    must(c, is_number(root, index_name(kind), c->parts), "parts are numbered without gaps");
    must(c, strv_eq_cstr(text_of(part), ""), "a part begins without text");
    c->open_part = (int)kind;
    c->sealed = false;
    c->joined = GRAMMAR_HASH_START;
}

static void part_done(struct dialect_check *c, yyjson_val *root)
{
    yyjson_val *part = json_get(root, "part");
    of_open_item(c, root);
    must(c,
         c->open_part != PART_NONE && (int)part_of(part) == c->open_part &&
             is_number(root, index_name((enum part)c->open_part), c->parts),
         "an end is of the open part");
    must(c, c->sealed, "a part ends behind its text's end");
    must(c, grammar_hash(GRAMMAR_HASH_START, text_of(part)) == c->joined,
         "what is told whole is what its pieces are");
    c->open_part = PART_NONE;
    c->parts++;
}

static void in_open_part(struct dialect_check *c, yyjson_val *root, enum part kind)
{
    of_open_item(c, root);
    must(c, c->open_part == (int)kind && is_number(root, index_name(kind), c->parts),
         "a piece is of the open part");
    must(c, !c->sealed, "nothing of a text follows its end");
}

static void text_delta(struct dialect_check *c, yyjson_val *root, enum part kind)
{
    yyjson_val *delta = json_get(root, "delta");
    in_open_part(c, root, kind);
    must(c, yyjson_is_str(delta), "a delta has its text");
    should(c, kind != PART_TEXT || yyjson_is_arr(json_get(root, "logprobs")),
           "text has logprobs, if none");
    c->joined = grammar_hash(c->joined, json_str(delta));
}

static void text_done(struct dialect_check *c, yyjson_val *root, enum part kind)
{
    in_open_part(c, root, kind);
    strv whole = json_get_str(root, kind == PART_REFUSAL ? "refusal" : "text");
    must(c, whole.ptr != NULL && grammar_hash(GRAMMAR_HASH_START, whole) == c->joined,
         "what is told whole is what its pieces are");
    c->sealed = true;
}

static void arguments(struct dialect_check *c, yyjson_val *root, bool done)
{
    strv text = json_get_str(root, done ? "arguments" : "delta");
    of_open_item(c, root);
    must(c, c->open == ITEM_CALL, "arguments are of a call");
    must(c, !c->sealed, "nothing of a text follows its end");
    must(c, text.ptr != NULL, "a delta has its text");
    if (!done) {
        c->joined = grammar_hash(c->joined, text);
        grammar_scan_feed(&c->scan, text);
        return;
    }
    must(c, grammar_hash(GRAMMAR_HASH_START, text) == c->joined,
         "what is told whole is what its pieces are");
    c->sealed = true;
    c->half = c->half || !grammar_scan_whole(&c->scan); /* allowed where the answer was cut */
}

/* ---- events ---- */

static const struct {
    const char *type;
    enum part part;
    bool done;
} texts[] = {
    {"response.output_text.delta", PART_TEXT, false},
    {"response.output_text.done", PART_TEXT, true},
    {"response.refusal.delta", PART_REFUSAL, false},
    {"response.refusal.done", PART_REFUSAL, true},
    {"response.reasoning_text.delta", PART_REASONING, false},
    {"response.reasoning_text.done", PART_REASONING, true},
    {"response.reasoning_summary_text.delta", PART_SUMMARY, false},
    {"response.reasoning_summary_text.done", PART_SUMMARY, true},
};

static bool check_text(struct dialect_check *c, yyjson_val *root, strv type)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!strv_eq_cstr(type, texts[i].type))
            continue;
        if (texts[i].done)
            text_done(c, root, texts[i].part);
        else
            text_delta(c, root, texts[i].part);
        return true;
    }
    return false;
}

static void check_item_event(struct dialect_check *c, yyjson_val *root, strv type)
{
    if (check_text(c, root, type))
        return;
    if (strv_eq_cstr(type, "response.output_item.added"))
        item_added(c, root);
    else if (strv_eq_cstr(type, "response.output_item.done"))
        item_done(c, root);
    else if (strv_eq_cstr(type, "response.content_part.added"))
        part_added(c, root, false);
    else if (strv_eq_cstr(type, "response.reasoning_summary_part.added"))
        part_added(c, root, true);
    else if (strv_eq_cstr(type, "response.content_part.done") ||
             strv_eq_cstr(type, "response.reasoning_summary_part.done"))
        part_done(c, root);
    else if (strv_eq_cstr(type, "response.function_call_arguments.delta"))
        arguments(c, root, false);
    else if (strv_eq_cstr(type, "response.function_call_arguments.done"))
        arguments(c, root, true);
    else
        should(c, false, "an event is of a known type");
}

void grammar_responses(struct dialect_check *c, strv name, yyjson_val *root)
{
    strv type = json_get_str(root, "type");
    must(c, name.len > 0 && strv_eq(name, type), "an event's name is its type");
    /* Where memory gave out, events that were counted were lost; the error behind them may skip theirs. */
    bool skips =
        strv_eq_cstr(type, "error") && json_get_int(root, "sequence_number", -1) > c->sequence;
    should(c, skips || is_number(root, "sequence_number", c->sequence),
           "every event has the next number");
    c->sequence++;
    if (strv_eq_cstr(type, "error")) {
        must(c, json_get_str(root, "message").ptr != NULL, "an error has a message");
        c->failed = true;
        return;
    }
    if (strv_eq_cstr(type, "response.created") || strv_eq_cstr(type, "response.in_progress")) {
        check_begin(c, root, type);
        return;
    }
    if (!must(c, c->started, "response.created comes first, and once"))
        return;
    if (strv_eq_cstr(type, "response.completed")) {
        must(c, !c->half, "the arguments of a call are JSON");
        check_terminal(c, root, "completed");
    } else if (strv_eq_cstr(type, "response.incomplete")) {
        check_terminal(c, root, "incomplete");
    } else if (strv_eq_cstr(type, "response.failed")) {
        check_terminal(c, root, "failed");
    } else {
        check_item_event(c, root, type);
    }
}
