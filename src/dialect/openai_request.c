/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_request - chat completions, the question: a caller's bytes to llm_request.
 *
 *   members we know     -> the request; those of an older interface (functions, function_call) as the new ones
 *   members we refuse   -> an error with their name: they change what is answered, and nobody could serve them
 *   all other members   -> nothing here: an upstream of this dialect gets them in the caller's own bytes, any
 *                          other loses them, and that is told (untranslated)
 *
 * The conversation is read by shared_messages.c, tools by shared_tools.c.
 */
#include "dialect/openai.h"

#include <stdio.h>

#include "dialect/reading.h"

#define CHOICES_MAX 128 /* OpenAI's own limit */

/* Present and not just an empty list: `logit_bias: {}` is what some clients send for "none". */
static bool filled(yyjson_val *v)
{
    return v != NULL && !(yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0);
}

/* ---- the conversation and its tools ---- */

static bool decode_conversation(struct llm_request *r, yyjson_val *root, struct arena *arena,
                                struct err *err)
{
    yyjson_val *messages = json_get(root, "messages");
    if (messages == NULL)
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "messages", "is required");
    if (!yyjson_is_arr(messages))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "messages", "must be an array");
    if (yyjson_arr_size(messages) == 0)
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "messages", "must not be empty");
    r->messages = ARENA_ARRAY(arena, struct llm_message, yyjson_arr_size(messages));
    if (r->messages == NULL)
        return err_oom(err);
    return dialect_decode_messages(r, messages, arena, err);
}

/* Tools as they were called before: a plain list, and a choice by name. */
static bool decode_functions(struct reading *rd, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "functions"), *choice = json_get(root, "function_call"), *one;
    size_t i, max;
    if (list != NULL && !dialect_read_tools_room(rd, list, "functions"))
        return false;
    yyjson_arr_foreach(list, i, max, one)
    {
        char field[64];
        snprintf(field, sizeof field, "functions[%zu]", i);
        if (!dialect_read_tool(rd, one, field))
            return false;
    }
    if (rd->r->n_tools > 0) {
        rd->r->needs |= LLM_NEED_TOOLS;
        rd->r->one_call = true; /* there is room for one in the answer */
    }
    if (choice == NULL || strv_eq_cstr(json_str(choice), "auto"))
        return true;
    if (yyjson_is_obj(choice))
        return dialect_choose_tool(rd, json_get_str(choice, "name"), "function_call.name");
    if (!strv_eq_cstr(json_str(choice), "none"))
        return invalid(rd, "function_call", "must be none, auto or an object with a name");
    rd->r->choose = LLM_CHOOSE_NONE;
    return true;
}

static bool decode_tools(struct reading *rd, yyjson_val *root)
{
    yyjson_val *tools = json_get(root, "tools");
    bool parallel = true;
    if (!dialect_decode_bool(root, "parallel_tool_calls", &parallel, rd->err))
        return false;
    rd->r->one_call = !parallel;
    if (dialect_is_nothing(tools) && !dialect_is_nothing(json_get(root, "functions")))
        return decode_functions(rd, root);
    return dialect_read_tools(rd, tools) &&
           dialect_read_tool_choice(rd, json_get(root, "tool_choice"));
}

/* ---- the form of the answer ---- */

static bool take_schema(struct reading *rd, yyjson_val *obj, const char *field)
{
    if (!yyjson_is_obj(json_get(obj, "schema")) ||
        !json_raw_member(&rd->r->body, obj, "schema", &rd->r->schema))
        return invalid(rd, field, "must be an object");
    rd->r->format = LLM_FORMAT_SCHEMA;
    return true;
}

static bool decode_schema(struct reading *rd, yyjson_val *format)
{
    struct llm_request *r = rd->r;
    yyjson_val *wanted = json_get(format, "json_schema"), *name = json_get(wanted, "name"),
               *description = json_get(wanted, "description"), *strict = json_get(wanted, "strict");
    if (!yyjson_is_obj(wanted))
        return invalid(rd, "response_format.json_schema", "must be an object");
    if (name != NULL && !yyjson_is_str(name))
        return invalid(rd, "response_format.json_schema.name", "must be a string");
    if (description != NULL && !yyjson_is_str(description))
        return invalid(rd, "response_format.json_schema.description", "must be a string");
    if (strict != NULL && !yyjson_is_bool(strict))
        return invalid(rd, "response_format.json_schema.strict", "must be true or false");
    r->schema_name = json_str(name);
    r->schema_description = json_str(description);
    r->schema_strict = yyjson_get_bool(strict);
    if (json_get(wanted, "schema") == NULL) { /* any JSON, then */
        r->format = LLM_FORMAT_JSON;
        return true;
    }
    return take_schema(rd, wanted, "response_format.json_schema.schema");
}

static bool decode_format(struct reading *rd, yyjson_val *root)
{
    yyjson_val *format = json_get(root, "response_format");
    strv type = json_get_str(format, "type");
    if (format == NULL)
        return true;
    if (!yyjson_is_obj(format))
        return invalid(rd, "response_format", "must be an object");
    if (strv_eq_cstr(type, "text"))
        return true;
    if (strv_eq_cstr(type, "json_schema"))
        return decode_schema(rd, format);
    if (!strv_eq_cstr(type, "json_object"))
        return unsupported(
            rd, "response_format",
            "only the types \"text\", \"json_object\" and \"json_schema\" are supported");
    rd->r->format = LLM_FORMAT_JSON;
    if (json_get(format, "schema") != NULL) /* llama-server's way to give one */
        return take_schema(rd, format, "response_format.schema");
    return true;
}

/* ---- the other members ---- */

static bool decode_effort(struct reading *rd, yyjson_val *root)
{
    yyjson_val *reasoning = json_get(root, "reasoning"), *v = json_get(root, "reasoning_effort");
    const char *field = "reasoning_effort";
    if (v == NULL && yyjson_is_obj(reasoning)) { /* as Responses and some gateways nest it */
        v = json_get(reasoning, "effort");
        field = "reasoning.effort";
    }
    if (v == NULL)
        return true;
    if (!llm_effort_parse(json_str(v), &rd->r->effort) || rd->r->effort == LLM_EFFORT_ON)
        return invalid(rd, field, "must be none, minimal, low, medium, high, xhigh or max");
    return true;
}

/* Members that ask for what this program cannot give. */
static bool refuse_unsupported(yyjson_val *root, struct err *err)
{
    static const struct {
        const char *member, *what;
    } rows[] = {
        {"audio", "audio in the answer is not supported"},
        {"web_search_options", "web search is not supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (filled(json_get(root, rows[i].member)))
            return dialect_bad(err, LLM_ERR_UNSUPPORTED, rows[i].member, rows[i].what);
    yyjson_val *modalities = json_get(root, "modalities");
    if (filled(modalities) && !(yyjson_is_arr(modalities) && yyjson_arr_size(modalities) == 1 &&
                                strv_eq_cstr(json_str(yyjson_arr_get(modalities, 0)), "text")))
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "modalities", "only \"text\" is supported");
    return true;
}

bool openai_decode_limits(struct llm_request *r, yyjson_val *root, struct err *err)
{
    if (!dialect_decode_params(r, LLM_OPENAI, root, "", err))
        return false;
    yyjson_val *v = json_get(root, "max_completion_tokens"); /* the newer name wins */
    if (v != NULL &&
        !dialect_decode_param(r, LLM_P_MAX_TOKENS, LLM_OPENAI, v, "max_completion_tokens", err))
        return false;
    v = json_get(root, "repetition_penalty"); /* vLLM's name */
    if (v != NULL && !llm_has(r, LLM_P_REPEAT_PENALTY) &&
        !dialect_decode_param(r, LLM_P_REPEAT_PENALTY, LLM_OPENAI, v, "repetition_penalty", err))
        return false;
    return true;
}

bool openai_decode_n(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *n = json_get(root, "n");
    r->choices = 1;
    if (n != NULL && !(json_is_int(n, &r->choices) && r->choices >= 1 && r->choices <= CHOICES_MAX))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "n",
                           "must be an integer between 1 and 128");
    if (r->choices > 1)
        r->needs |= LLM_NEED_CHOICES;
    return true;
}

bool openai_decode_logit_bias(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *v = json_get(root, "logit_bias");
    if (v != NULL && !yyjson_is_ctn(v)) /* llama-server also takes an array of pairs */
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "logit_bias", "must be an object");
    if (filled(v))
        r->needs |= LLM_NEED_LOGIT_BIAS;
    return true;
}

static bool decode_choices(struct llm_request *r, yyjson_val *root, struct err *err)
{
    bool logprobs = false;
    int64_t top = 0;
    if (!dialect_decode_bool(root, "logprobs", &logprobs, err))
        return false;
    yyjson_val *v = json_get(root, "top_logprobs");
    if (v != NULL && !(json_is_int(v, &top) && top >= 0 && top <= 20))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "top_logprobs",
                           "must be an integer between 0 and 20");
    if (logprobs || top > 0)
        r->needs |= LLM_NEED_LOGPROBS;
    return openai_decode_n(r, root, err) && openai_decode_logit_bias(r, root, err);
}

bool openai_decode_stream(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *options = json_get(root, "stream_options");
    if (!dialect_decode_bool(root, "stream", &r->stream, err))
        return false;
    if (options == NULL)
        return true;
    if (!yyjson_is_obj(options))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "stream_options", "must be an object");
    yyjson_val *usage = json_get(options, "include_usage");
    if (usage != NULL && !yyjson_is_bool(usage))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "stream_options.include_usage",
                           "must be true or false");
    r->include_usage = r->stream && yyjson_get_bool(usage);
    return true;
}

bool openai_decode_names(struct llm_request *r, yyjson_val *root, struct err *err)
{
    yyjson_val *model = json_get(root, "model");
    if (model != NULL && !yyjson_is_str(model))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "model", "must be a string");
    r->model = model != NULL ? json_str(model) : STRV("");
    static const char *const users[] = {"user", "safety_identifier"};
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        yyjson_val *user = json_get(root, users[i]);
        if (user != NULL && !yyjson_is_str(user))
            return dialect_bad(err, LLM_ERR_INVALID_REQUEST, users[i], "must be a string");
        if (user != NULL && r->user.ptr == NULL)
            r->user = json_str(user);
    }
    return true;
}

/* Members that are carried over, or that ask for nothing in the form they got past the checks. */
bool openai_is_known(strv name)
{
    static const char *const names[] = {"model",
                                        "messages",
                                        "stream",
                                        "stream_options",
                                        "stop",
                                        "n",
                                        "logprobs",
                                        "top_logprobs",
                                        "logit_bias",
                                        "user",
                                        "safety_identifier",
                                        "tools",
                                        "functions",
                                        "tool_choice",
                                        "function_call",
                                        "parallel_tool_calls",
                                        "response_format",
                                        "modalities",
                                        "max_completion_tokens",
                                        "repetition_penalty",
                                        "reasoning_effort"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    for (size_t p = 0; p < LLM_PARAMS; p++)
        if (llm_params[p].name[LLM_OPENAI] != NULL &&
            strv_eq_cstr(name, llm_params[p].name[LLM_OPENAI]))
            return true;
    return false;
}

static enum dialect_loss loss_of(strv name)
{
    static const struct {
        const char *member;
        enum dialect_loss loss;
    } rows[] = {
        {"service_tier", DIALECT_LOSS_TIER},
        {"metadata", DIALECT_LOSS_METADATA},
        {"prompt_cache_key", DIALECT_LOSS_CACHE},
        {"prompt_cache_options", DIALECT_LOSS_CACHE},
        {"prompt_cache_retention", DIALECT_LOSS_CACHE},
        {"keep_alive", DIALECT_LOSS_KEEP_ALIVE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(name, rows[i].member))
            return rows[i].loss;
    return DIALECT_LOSS_OTHER;
}

void openai_note_others(struct llm_request *r, bool (*own)(strv name))
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(r->body.root, i, max, key, value)
    {
        strv name = json_str(key);
        enum dialect_loss loss = loss_of(name);
        if (yyjson_is_null(value) || (own != NULL && own(name)) || openai_is_known(name) ||
            (loss != DIALECT_LOSS_OTHER && dialect_is_nothing(value)))
            continue;
        r->untranslated |= 1u << loss;
    }
}

/* `reasoning` with no more than an effort is carried over; `store: false` is what everybody does. */
static bool is_carried(strv name)
{
    return strv_eq_cstr(name, "reasoning") || strv_eq_cstr(name, "store");
}

static void note_rest(struct llm_request *r)
{
    yyjson_val *reasoning = json_get(r->body.root, "reasoning");
    openai_note_others(r, is_carried);
    bool more = yyjson_obj_size(reasoning) > (json_get(reasoning, "effort") != NULL);
    if (more || !dialect_is_nothing(json_get(r->body.root, "store")))
        r->untranslated |= 1u << DIALECT_LOSS_OTHER;
}

bool openai_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err)
{
    if (op == LLM_OP_GENERATE)
        return openai_decode_completion(body, arena, out, err);
    if (op == LLM_OP_EMBED)
        return openai_decode_embed(body, op, arena, out, err);
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.arena = arena, .dialect = LLM_OPENAI, .op = op, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    if (!openai_decode_names(out, root, err) || !decode_conversation(out, root, arena, err) ||
        !decode_tools(&rd, root) || !decode_format(&rd, root) || !decode_effort(&rd, root) ||
        !refuse_unsupported(root, err) || !openai_decode_limits(out, root, err) ||
        !decode_choices(out, root, err) || !openai_decode_stream(out, root, err) ||
        !dialect_decode_stops(out, json_get(root, "stop"), "stop", OPENAI_STOPS_MAX, arena, err))
        return false;
    note_rest(out);
    return true;
}
