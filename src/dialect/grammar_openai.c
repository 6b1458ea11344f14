/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grammar_openai - the legal streams of chat completions and of completions.
 *
 *   chat         (role) (content | reasoning | calls)* finish    for each choice; choices may alternate
 *   completions  (text)* finish
 *   both         ... usage?  [DONE]      or at any point an error, and nothing more
 *
 * A call: its index is the number of calls before it, id, type and name come with the first piece, the pieces of
 * two calls do not mix, all pieces joined are JSON. With finish_reason length half a call is allowed.
 */
#include "dialect/grammar.h"

enum { OPEN_NOTHING, OPEN_CALL };

static void close_call(struct dialect_check *c)
{
    if (c->open == OPEN_CALL && !grammar_scan_whole(&c->scan))
        c->half = true;
    c->open = OPEN_NOTHING;
}

static void check_call(struct dialect_check *c, yyjson_val *call)
{
    int64_t index = -1;
    yyjson_val *function = json_get(call, "function");
    strv arguments = json_get_str(function, "arguments");
    if (!must(c, json_is_int(json_get(call, "index"), &index) && index >= 0,
              "a piece of a call has an index"))
        return;
    if (index == c->items) {
        close_call(c);
        must(c, !c->half, "the arguments of a call are JSON");
        c->items++;
        c->calls = true;
        c->open = OPEN_CALL;
        grammar_scan_init(&c->scan);
        must(c, json_get_str(call, "id").len > 0, "a call begins with its id");
        must(c, strv_eq_cstr(json_get_str(call, "type"), "function"),
             "a call begins with its type");
        must(c, json_get_str(function, "name").len > 0, "a call begins with its name");
        must(c, arguments.ptr != NULL, "a call begins with arguments, if empty");
    } else {
        must(c, index < c->items, "calls are numbered without gaps");
        must(c, index == c->items - 1 && c->open == OPEN_CALL, "pieces of calls do not mix");
        should(c, json_get(call, "id") == NULL && json_get(function, "name") == NULL,
               "id and name of a call come once");
        must(c, arguments.ptr != NULL, "arguments are text");
    }
    grammar_scan_feed(&c->scan, arguments);
}

static void check_calls(struct dialect_check *c, yyjson_val *calls, int64_t choice)
{
    size_t i, max;
    yyjson_val *call;
    if (calls == NULL)
        return;
    must(c, yyjson_is_arr(calls), "tool_calls is a list");
    should(c, yyjson_arr_size(calls) > 0, "tool_calls is never empty");
    yyjson_arr_foreach(calls, i, max, call)
    {
        if (choice == 0) /* of other choices only their upstream knows */
            check_call(c, call);
    }
}

static void check_delta(struct dialect_check *c, yyjson_val *delta, int64_t choice, bool first)
{
    yyjson_val *content = yyjson_obj_get(delta, "content"), *role = json_get(delta, "role");
    if (!must(c, yyjson_is_obj(delta), "a choice has a delta"))
        return;
    should(c, first == (role != NULL), "the role comes once, in the first delta of a choice");
    should(c, role == NULL || strv_eq_cstr(json_str(role), "assistant"), "the role is assistant");
    must(c, content == NULL || yyjson_is_null(content) || yyjson_is_str(content),
         "content is text or null");
    if (choice == 0 && (yyjson_get_len(content) > 0 && yyjson_is_str(content))) {
        close_call(c);
        must(c, !c->half, "the arguments of a call are JSON");
    }
    static const char *const texts[] = {"reasoning_content", "reasoning", "refusal"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        yyjson_val *v = json_get(delta, texts[i]);
        must(c, v == NULL || yyjson_is_str(v), "reasoning is text");
    }
    check_calls(c, json_get(delta, "tool_calls"), choice);
}

static void check_finish(struct dialect_check *c, yyjson_val *finish, int64_t choice)
{
    /* the last one for callers from before tools */
    static const char *const chat[] = {"stop",           "length",        "tool_calls",
                                       "content_filter", "function_call", NULL};
    static const char *const completion[] = {"stop", "length", "content_filter", NULL};
    strv word = json_str(finish);
    must(c, word.ptr != NULL, "finish_reason is null or a word");
    should(c, grammar_one_of(word, c->op == LLM_OP_GENERATE ? completion : chat),
           "finish_reason is one of the known words");
    c->done[choice / 64] |= (uint64_t)1 << (choice % 64);
    if (choice != 0)
        return;
    bool stop = strv_eq_cstr(word, "stop"), calls = strv_eq_cstr(word, "tool_calls");
    close_call(c);
    must(c, !c->half || !(stop || calls), "the arguments of a call are JSON");
    should(c, !(stop && c->calls), "after a call the finish_reason is tool_calls");
    should(c, !(calls && !c->calls), "finish_reason tool_calls follows a call");
}

static void check_choice(struct dialect_check *c, yyjson_val *choice)
{
    int64_t index = -1;
    if (!must(c, json_is_int(json_get(choice, "index"), &index) && index >= 0 && index < 128,
              "a choice has an index"))
        return;
    uint64_t bit = (uint64_t)1 << (index % 64);
    bool first = (c->seen[index / 64] & bit) == 0;
    must(c, (c->done[index / 64] & bit) == 0, "nothing of a choice follows its finish_reason");
    c->seen[index / 64] |= bit;
    if (c->op == LLM_OP_GENERATE)
        must(c, json_get_str(choice, "text").ptr != NULL, "a choice has a text");
    else
        check_delta(c, json_get(choice, "delta"), index, first);
    should(c, yyjson_obj_get(choice, "finish_reason") != NULL,
           "a choice has a finish_reason, if null");
    if (json_get(choice, "finish_reason") != NULL)
        check_finish(c, json_get(choice, "finish_reason"), index);
}

static bool all_done(const struct dialect_check *c)
{
    return (c->seen[0] | c->seen[1]) != 0 && c->seen[0] == c->done[0] && c->seen[1] == c->done[1];
}

static void check_usage(struct dialect_check *c, yyjson_val *root, bool no_choices)
{
    yyjson_val *usage = yyjson_obj_get(root, "usage");
    bool told = usage != NULL && !yyjson_is_null(usage);
    if (!c->started)
        c->usage_promised = usage != NULL;
    if (!no_choices) {
        should(c, !told, "usage has a chunk of its own");
        should(c, c->usage_promised == (usage != NULL), "usage is null in every chunk or in none");
        return;
    }
    should(c, told, "only the chunk with the usage has no choices");
    should(c, c->usage_promised, "usage comes only where it was asked for");
    must(c, !told || yyjson_is_obj(usage), "usage is an object");
    must(c, !told || !c->usage_told, "usage comes once");
    must(c, !told || all_done(c), "usage comes after every finish_reason");
    int64_t n;
    static const char *const counts[] = {"prompt_tokens", "completion_tokens", "total_tokens"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        must(c, !told || json_is_int(json_get(usage, counts[i]), &n), "usage has its three counts");
    c->usage_told = c->usage_told || told;
}

static void check_head(struct dialect_check *c, yyjson_val *root)
{
    int64_t created = -1;
    strv id = json_get_str(root, "id"), model = json_get_str(root, "model");
    yyjson_val *v = json_get(root, "created");
    should(c,
           strv_eq_cstr(json_get_str(root, "object"),
                        c->op == LLM_OP_GENERATE ? "text_completion" : "chat.completion.chunk"),
           "object names the kind of chunk");
    should(c, id.len > 0 && grammar_same(&c->id, id), "id is the same in every chunk");
    should(c, model.ptr != NULL && grammar_same(&c->model, model),
           "model is the same in every chunk");
    should(c, json_is_int(v, &created), "created is a number");
    should(c, grammar_same(&c->created, (strv){(const char *)&created, sizeof created}),
           "created is the same in every chunk");
}

void grammar_openai(struct dialect_check *c, strv name, yyjson_val *root)
{
    size_t i, max;
    yyjson_val *choices, *choice, *error = json_get(root, "error");
    must(c, name.len == 0, "frames have no name");
    if (root == NULL) {
        must(c, all_done(c), "[DONE] comes after every finish_reason");
        should(c, c->usage_promised == c->usage_told, "a promised usage comes");
        c->ended = true;
        return;
    }
    if (error != NULL) {
        must(c, json_get_str(error, "message").ptr != NULL, "an error has a message");
        c->failed = true;
        return;
    }
    choices = json_get(root, "choices");
    check_head(c, root);
    if (!must(c, yyjson_is_arr(choices), "every chunk has choices, if none"))
        return;
    should(c, !c->usage_told, "only [DONE] follows the usage");
    check_usage(c, root, yyjson_arr_size(choices) == 0);
    c->started = true;
    yyjson_arr_foreach(choices, i, max, choice)
    {
        check_choice(c, choice);
    }
}
