/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grammar_ollama - the legal streams of /api/chat and /api/generate.
 *
 *   {"done":false,"message":{...}}*  {"done":true,"done_reason":...}       or at any point {"error":"..."}
 *
 * Calls come whole, arguments as an object. Figures and the reason stand on the last line only, which says
 * nothing else. "load" and "unload" are answers of a single line.
 */
#include "dialect/grammar.h"

static void check_call(struct dialect_check *c, yyjson_val *call)
{
    yyjson_val *function = json_get(call, "function"), *at = json_get(function, "index");
    int64_t index = -1;
    must(c, json_get_str(function, "name").len > 0, "a call has a name");
    must(c, yyjson_is_obj(json_get(function, "arguments")), "arguments of a call are an object");
    should(c, at == NULL || (json_is_int(at, &index) && index == c->items),
           "calls are numbered without gaps");
    c->items++;
    c->calls = true;
}

static void check_message(struct dialect_check *c, yyjson_val *root, bool done)
{
    size_t i, max;
    yyjson_val *m = json_get(root, "message"), *calls = yyjson_obj_get(m, "tool_calls"), *call;
    yyjson_val *thinking = yyjson_obj_get(m, "thinking");
    strv content = json_get_str(m, "content");
    if (!must(c, yyjson_is_obj(m), "a line has a message"))
        return;
    must(c, strv_eq_cstr(json_get_str(m, "role"), "assistant"), "the role is assistant");
    must(c, content.ptr != NULL, "content is a string");
    must(c, thinking == NULL || yyjson_is_str(thinking), "thinking is a string");
    must(c, calls == NULL || (yyjson_is_arr(calls) && yyjson_arr_size(calls) > 0),
         "tool_calls is left out or has something in it");
    should(c, !done || (content.len == 0 && yyjson_get_len(thinking) == 0 && calls == NULL),
           "the last line says nothing new");
    yyjson_arr_foreach(calls, i, max, call)
    {
        check_call(c, call);
    }
}

static void check_response(struct dialect_check *c, yyjson_val *root, bool done)
{
    yyjson_val *thinking = yyjson_obj_get(root, "thinking");
    strv response = json_get_str(root, "response");
    must(c, response.ptr != NULL, "response is a string");
    must(c, thinking == NULL || yyjson_is_str(thinking), "thinking is a string");
    should(c, !done || (response.len == 0 && yyjson_get_len(thinking) == 0),
           "the last line says nothing new");
    must(c, done || yyjson_obj_get(root, "context") == NULL, "context stands on the last line");
}

static void check_figures(struct dialect_check *c, yyjson_val *root, bool done)
{
    static const char *const names[] = {"total_duration",    "load_duration",
                                        "prompt_eval_count", "prompt_eval_duration",
                                        "eval_count",        "eval_duration"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        yyjson_val *v = yyjson_obj_get(root, names[i]);
        int64_t n = -1;
        must(c, v == NULL || done, "figures stand on the last line");
        must(c, v == NULL || (yyjson_is_int(v) && json_is_int(v, &n) && n >= 0),
             "figures are whole numbers");
    }
}

void grammar_ollama(struct dialect_check *c, strv name, yyjson_val *root)
{
    static const char *const reasons[] = {"stop", "length", "load", "unload", NULL};
    yyjson_val *done = json_get(root, "done"), *error = json_get(root, "error");
    strv reason = json_get_str(root, "done_reason"), model = json_get_str(root, "model");
    must(c, name.len == 0, "lines have no name");
    if (error != NULL) {
        must(c, yyjson_is_str(error), "an error is a text");
        c->failed = true;
        return;
    }
    must(c, yyjson_is_bool(done), "done is true or false");
    bool last = yyjson_get_bool(done);
    should(c, model.len > 0 && grammar_same(&c->model, model), "model is the same in every line");
    must(c, json_get_str(root, "created_at").len > 0, "a line has its time");
    must(c, last || reason.ptr == NULL, "done_reason stands on the last line");
    should(c, !last || grammar_one_of(reason, reasons), "done_reason is one of the known words");
    if (c->op == LLM_OP_GENERATE)
        check_response(c, root, last);
    else
        check_message(c, root, last);
    check_figures(c, root, last);
    c->started = true;
    c->ended = last;
}
