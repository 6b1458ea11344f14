/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_request - what a caller asks of /api/chat, /api/generate, /api/embed and /api/embeddings: bytes to
 * llm_request. (Towards an upstream: ollama_target.c.)
 *
 * Two things are unlike the other dialects: a stream is the default, and nearly every parameter lives in
 * `options`. A request that only Ollama can serve (raw, template, suffix, context, logprobs, or no prompt
 * at all, which loads or unloads a model) needs LLM_NEED_OLLAMA_RAW; its texts become messages all the
 * same, so that whoever decides where a request may go sees everything that would be sent.
 *
 * A message of role tool is a result; the call it belongs to is told by id, by the tool's name, or by its
 * place alone, which llm_request_mend() finds out. Arguments and schemas stay the caller's own bytes.
 *
 * Reference: https://github.com/ollama/ollama/blob/main/docs/api.md.
 */
#include "dialect/ollama.h"

#include <stdio.h>

#include "dialect/reading.h"

#define STOPS_MAX 1024 /* the body's size bounds it too; Ollama names no number */

/* A string member; absent and null read as the empty text, as Ollama does. */
static bool read_text(struct reading *rd, yyjson_val *obj, const char *key, const char *field,
                      strv *out)
{
    yyjson_val *v = json_get(obj, key);
    if (v != NULL && !yyjson_is_str(v))
        return invalid(rd, field, "must be a string");
    *out = v != NULL ? json_str(v) : STRV("");
    return true;
}

/* Names of fields as Ollama writes them: "messages.2.tool_calls.0.function", "images.1". */
struct field {
    char text[80];
};

static struct field place(size_t message, const char *member)
{
    struct field f;
    snprintf(f.text, sizeof f.text, "messages.%zu%s", message, member);
    return f;
}

#define NO_MESSAGE SIZE_MAX

static struct field place_of(size_t message, const char *list, size_t item, const char *member)
{
    struct field f;
    if (message == NO_MESSAGE)
        snprintf(f.text, sizeof f.text, "%s.%zu%s", list, item, member);
    else
        snprintf(f.text, sizeof f.text, "messages.%zu.%s.%zu%s", message, list, item, member);
    return f;
}

static struct llm_message *add_message(struct reading *rd, enum llm_role role, size_t parts_max)
{
    struct llm_message *m = &rd->r->messages[rd->r->n_messages];
    m->parts = ARENA_ARRAY(rd->arena, struct llm_part, parts_max);
    if (m->parts == NULL)
        return NULL;
    m->role = role;
    rd->r->n_messages++;
    return m;
}

static void add_part(struct llm_message *m, enum llm_part_kind kind, strv text)
{
    m->parts[m->n_parts++] = (struct llm_part){.kind = kind, .text = text};
}

/* ---- images ---- */

/* A base64 text, by some clients behind "data:image/png;base64,", which Ollama refuses and we do not. */
static bool read_image(struct reading *rd, yyjson_val *v, const char *field, struct llm_part *out)
{
    struct err err = ERR_INIT;
    struct media_uri uri = {.base64 = true};
    strv text = json_str(v);
    bool ok = text.ptr != NULL;
    if (ok && media_is_data_uri(text))
        ok = media_data_uri(text, rd->arena, &uri, LLM_ERR_INVALID_REQUEST, &err) && uri.base64;
    else if (ok)
        ok = media_base64_normal(text, rd->arena, &uri.data, LLM_ERR_INVALID_REQUEST, &err);
    if (!ok)
        return err.code == ERR_CODE_OOM ? err_oom(rd->err)
                                        : invalid(rd, field, "must be base64 text");
    strv type = strv_of(media_type_base64(uri.data));
    if (!strv_starts(type, STRV("image/")))
        return invalid(rd, field, "is not an image of a known kind");
    *out = (struct llm_part){.kind = LLM_PART_IMAGE, .type = type, .data = uri.data};
    rd->r->needs |= LLM_NEED_IMAGES;
    return true;
}

static bool check_images(struct reading *rd, yyjson_val *list, const char *field)
{
    return list == NULL || yyjson_is_arr(list) || invalid(rd, field, "must be an array");
}

static bool read_images(struct reading *rd, yyjson_val *list, size_t message,
                        struct llm_part *parts, size_t *n)
{
    size_t at, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, at, max, v)
    {
        if (!read_image(rd, v, place_of(message, "images", at, "").text, &parts[*n]))
            return false;
        (*n)++;
    }
    return true;
}

/* ---- calls and results ---- */

static bool read_calls(struct reading *rd, yyjson_val *list, size_t message, struct llm_message *m)
{
    size_t at, max;
    yyjson_val *v;
    yyjson_arr_foreach(list, at, max, v)
    {
        if (!dialect_read_call(rd, v, place_of(message, "tool_calls", at, "").text,
                               &m->parts[m->n_parts]))
            return false;
        m->n_parts++;
        rd->r->has_history = true;
        rd->r->needs |= LLM_NEED_TOOLS;
    }
    return true;
}

static bool read_result(struct reading *rd, yyjson_val *v, size_t at)
{
    yyjson_val *images = json_get(v, "images");
    struct llm_part *parts = ARENA_ARRAY(rd->arena, struct llm_part, yyjson_arr_size(images) + 1);
    struct llm_message *m = add_message(rd, LLM_USER, 1);
    if (parts == NULL || m == NULL)
        return err_oom(rd->err);
    struct llm_part result = {.kind = LLM_PART_RESULT, .parts = parts, .n_parts = 1};
    parts[0].kind = LLM_PART_TEXT;
    if (!read_text(rd, v, "content", place(at, ".content").text, &parts[0].text) ||
        !read_text(rd, v, "tool_call_id", place(at, ".tool_call_id").text, &result.id) ||
        !read_text(rd, v, "tool_name", place(at, ".tool_name").text, &result.name) ||
        !read_images(rd, images, at, parts, &result.n_parts))
        return false;
    if (result.name.len == 0) /* what OpenAI called it, and early clients still do */
        result.name =
            json_str(json_get(v, "name")).ptr != NULL ? json_get_str(v, "name") : STRV("");
    m->parts[m->n_parts++] = result;
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    return true;
}

/* ---- messages ---- */

static bool read_role(struct reading *rd, yyjson_val *message, size_t at, enum llm_role *role,
                      bool *result)
{
    strv name = json_get_str(message, "role");
    *result = strv_eq_nocase(name, STRV("tool"));
    *role = LLM_USER;
    for (int r = LLM_SYSTEM; r <= LLM_ASSISTANT; r++)
        if (strv_eq_nocase(name, strv_of(llm_role_name((enum llm_role)r)))) {
            *role = (enum llm_role)r;
            return true;
        }
    return *result ||
           invalid(rd, place(at, ".role").text, "must be system, user, assistant or tool");
}

/* Reasoning, pictures, text, calls: the order in which models get and give them. Thoughts and calls are an
 * assistant's; in another's message no template shows them, and nothing may hide there. */
static bool read_parts(struct reading *rd, yyjson_val *v, size_t at, enum llm_role role)
{
    yyjson_val *images = json_get(v, "images"), *calls = json_get(v, "tool_calls");
    strv text = STRV_NONE, thinking = STRV_NONE;
    if (!read_text(rd, v, "content", place(at, ".content").text, &text) ||
        !read_text(rd, v, "thinking", place(at, ".thinking").text, &thinking))
        return false; /* an array as content, too: Ollama itself refuses it */
    if (calls != NULL && !yyjson_is_arr(calls))
        return invalid(rd, place(at, ".tool_calls").text, "must be an array");
    if (role != LLM_ASSISTANT && (thinking.len > 0 || yyjson_arr_size(calls) > 0))
        return invalid(rd, place(at, thinking.len > 0 ? ".thinking" : ".tool_calls").text,
                       "is only an assistant's");
    struct llm_message *m =
        add_message(rd, role, yyjson_arr_size(images) + yyjson_arr_size(calls) + 2);
    if (m == NULL)
        return err_oom(rd->err);
    if (thinking.len > 0)
        add_part(m, LLM_PART_REASONING, thinking);
    if (!read_images(rd, images, at, m->parts, &m->n_parts))
        return false;
    if (text.len > 0 || (m->n_parts == 0 && yyjson_arr_size(calls) == 0))
        add_part(m, LLM_PART_TEXT, text);
    return read_calls(rd, calls, at, m);
}

static bool read_message(struct reading *rd, yyjson_val *v, size_t at)
{
    enum llm_role role;
    bool result;
    if (!yyjson_is_obj(v))
        return invalid(rd, place(at, "").text, "must be an object");
    if (!read_role(rd, v, at, &role, &result) ||
        !check_images(rd, json_get(v, "images"), place(at, ".images").text))
        return false;
    return result ? read_result(rd, v, at) : read_parts(rd, v, at, role);
}

static bool read_messages(struct reading *rd, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "messages"), *v;
    if (list != NULL && !yyjson_is_arr(list))
        return invalid(rd, "messages", "must be an array");
    if (yyjson_arr_size(list) == 0) {
        rd->r->needs |= LLM_NEED_OLLAMA_RAW; /* loads the model */
        return true;
    }
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, yyjson_arr_size(list));
    if (rd->r->messages == NULL)
        return err_oom(rd->err);
    size_t at, n;
    yyjson_arr_foreach(list, at, n, v)
    {
        if (!read_message(rd, v, at))
            return false;
    }
    return true;
}

/* ---- /api/generate ---- */

static bool add_prompt(struct reading *rd, strv prompt, strv suffix, yyjson_val *images)
{
    struct llm_message *m;
    if (prompt.len + suffix.len + yyjson_arr_size(images) == 0)
        return true;
    m = add_message(rd, LLM_USER, yyjson_arr_size(images) + 2);
    if (m == NULL)
        return err_oom(rd->err);
    if (!read_images(rd, images, NO_MESSAGE, m->parts, &m->n_parts))
        return false;
    add_part(m, LLM_PART_TEXT, prompt);
    if (suffix.len > 0)
        add_part(m, LLM_PART_TEXT, suffix);
    return true;
}

static bool read_prompt(struct reading *rd, yyjson_val *root)
{
    strv prompt = STRV_NONE, system = STRV_NONE, suffix = STRV_NONE, template = STRV_NONE;
    yyjson_val *context = json_get(root, "context"), *images = json_get(root, "images");
    bool raw = false;
    if (!read_text(rd, root, "prompt", "prompt", &prompt) ||
        !read_text(rd, root, "system", "system", &system) ||
        !read_text(rd, root, "suffix", "suffix", &suffix) ||
        !read_text(rd, root, "template", "template", &template) ||
        !dialect_decode_bool(root, "raw", &raw, rd->err) || !check_images(rd, images, "images"))
        return false;
    if (context != NULL && !yyjson_is_arr(context))
        return invalid(rd, "context", "must be an array");
    if (raw || prompt.len == 0 || suffix.len > 0 || template.len > 0 ||
        !dialect_is_nothing(context))
        rd->r->needs |= LLM_NEED_OLLAMA_RAW;
    if (!dialect_is_nothing(
            context)) /* an earlier conversation as token numbers: nobody can read it here */
        rd->r->private_hint = true;
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, 2);
    if (rd->r->messages == NULL)
        return err_oom(rd->err);
    if (system.len + template.len > 0) {
        struct llm_message *m = add_message(rd, LLM_SYSTEM, 2);
        if (m == NULL)
            return err_oom(rd->err);
        if (system.len > 0)
            add_part(m, LLM_PART_TEXT, system);
        if (template.len > 0)
            add_part(m, LLM_PART_TEXT, template);
    }
    return add_prompt(rd, prompt, suffix, images);
}

/* ---- /api/embed and /api/embeddings ---- */

static bool read_input(struct reading *rd, yyjson_val *v, struct llm_message *m)
{
    if (!yyjson_is_str(v)) /* Ollama's own words, for token numbers above all */
        return invalid(rd, "input", "invalid input type");
    rd->r->inputs[rd->r->n_inputs++] = json_str(v);
    add_part(m, LLM_PART_TEXT, json_str(v));
    return true;
}

/* Each input is a part of one message as well, so that a privacy scan reads it as it reads all texts. */
static bool read_inputs(struct reading *rd, yyjson_val *input)
{
    size_t at, n = yyjson_is_arr(input) ? yyjson_arr_size(input) : yyjson_get_len(input) > 0;
    yyjson_val *v;
    rd->r->needs |= LLM_NEED_EMBED;
    if (input != NULL && !yyjson_is_arr(input) && !yyjson_is_str(input))
        return read_input(rd, input, NULL);
    if (n == 0) {
        rd->r->needs |= LLM_NEED_OLLAMA_RAW; /* loads the model */
        return true;
    }
    rd->r->inputs = ARENA_ARRAY(rd->arena, strv, n);
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, 1);
    struct llm_message *m = rd->r->messages != NULL ? add_message(rd, LLM_USER, n) : NULL;
    if (rd->r->inputs == NULL || m == NULL)
        return err_oom(rd->err);
    if (yyjson_is_str(input))
        return read_input(rd, input, m);
    yyjson_arr_foreach(input, at, n, v)
    {
        if (!read_input(rd, v, m))
            return false;
    }
    return true;
}

static bool read_embed(struct reading *rd, yyjson_val *root)
{
    yyjson_val *dimensions = json_get(root, "dimensions"), *prompt = json_get(root, "prompt");
    rd->r->stream = false;
    if (rd->r->op == LLM_OP_EMBED_1) {
        if (prompt != NULL && !yyjson_is_str(prompt))
            return invalid(rd, "prompt", "must be a string");
        return read_inputs(rd, prompt);
    }
    if (dimensions != NULL &&
        !(json_is_int(dimensions, &rd->r->dimensions) && rd->r->dimensions >= 0))
        return invalid(rd, "dimensions", "must be a number of dimensions");
    return read_inputs(rd, json_get(root, "input"));
}

/* ---- what all of them take ---- */

static bool read_options(struct reading *rd, yyjson_val *options)
{
    size_t at, n;
    yyjson_val *key, *value;
    if (options == NULL)
        return true;
    if (!yyjson_is_obj(options))
        return invalid(rd, "options", "must be an object");
    yyjson_obj_foreach(options, at, n, key, value)
    {
        bool known = strv_eq_cstr(json_str(key), "stop") || yyjson_is_null(value);
        for (int p = 0; !known && p < LLM_PARAMS; p++)
            known = llm_params[p].name[LLM_OLLAMA] != NULL &&
                    strv_eq_cstr(json_str(key), llm_params[p].name[LLM_OLLAMA]);
        if (!known)
            beyond(rd, DIALECT_LOSS_OTHER);
    }
    return dialect_decode_params(rd->r, LLM_OLLAMA, options, "options.", rd->err) &&
           dialect_decode_stops(rd->r, json_get(options, "stop"), "options.stop", STOPS_MAX,
                                rd->arena, rd->err);
}

static bool read_think(struct reading *rd, yyjson_val *v)
{
    strv level = json_str(v);
    if (v == NULL || (yyjson_is_str(v) && level.len == 0))
        return true;
    if (yyjson_is_bool(v)) {
        rd->r->effort = yyjson_get_bool(v) ? LLM_EFFORT_ON : LLM_EFFORT_NONE;
        rd->r->hide_reasoning = !yyjson_get_bool(v);
        return true;
    }
    if (!strv_eq_cstr(level, "low") && !strv_eq_cstr(level, "medium") &&
        !strv_eq_cstr(level, "high") && !strv_eq_cstr(level, "max"))
        return invalid(rd, "think", "must be true, false, low, medium, high or max");
    return llm_effort_parse(level, &rd->r->effort);
}

static bool read_format(struct reading *rd, yyjson_val *root)
{
    yyjson_val *v = json_get(root, "format");
    if (v == NULL || (yyjson_is_str(v) && yyjson_get_len(v) == 0))
        return true;
    if (yyjson_is_obj(v) && yyjson_obj_size(v) > 0) {
        rd->r->format = LLM_FORMAT_SCHEMA;
        return json_raw_member(&rd->r->body, root, "format", &rd->r->schema);
    }
    if (!yyjson_is_obj(v) && !strv_eq_cstr(json_str(v), "json"))
        return invalid(rd, "format", "must be \"json\" or a JSON schema");
    rd->r->format = LLM_FORMAT_JSON; /* a schema that says nothing is that, too */
    return true;
}

static bool read_memory(struct reading *rd, yyjson_val *root)
{
    bool truncate = true, shift = true;
    if (!dialect_decode_bool(root, "truncate", &truncate, rd->err) ||
        !dialect_decode_bool(root, "shift", &shift, rd->err))
        return false;
    rd->r->no_truncate = !truncate;
    if (json_get(root, "keep_alive") != NULL)
        beyond(rd, DIALECT_LOSS_KEEP_ALIVE);
    return true;
}

static bool read_logprobs(struct reading *rd, yyjson_val *root)
{
    bool logprobs = false;
    int64_t top = json_get_int(root, "top_logprobs", 0);
    if (!dialect_decode_bool(root, "logprobs", &logprobs, rd->err))
        return false;
    if (top < 0 || top > 20)
        return invalid(rd, "top_logprobs", "must be between 0 and 20");
    if (logprobs || top > 0) /* in Ollama's own form, which only an Ollama gives */
        rd->r->needs |= LLM_NEED_OLLAMA_RAW;
    return true;
}

/* Every root member has its place above; one without is kept for an Ollama upstream and lost for any
 * other. */
static void note_others(struct reading *rd, yyjson_val *root)
{
    static const char *const known[] = {
        "model", "messages", "prompt",       "system",     "suffix",   "template", "context",
        "raw",   "stream",   "options",      "think",      "logprobs", "images",   "tools",
        "shift", "format",   "top_logprobs", "keep_alive", "truncate", "input",    "dimensions"};
    size_t at, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, at, n, key, value)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && !strv_eq_cstr(json_str(key), known[i]))
            i++;
        if (i == sizeof known / sizeof *known && !yyjson_is_null(value))
            beyond(rd, DIALECT_LOSS_OTHER);
    }
}

static bool read_chat(struct reading *rd, yyjson_val *root)
{
    bool ok = rd->r->op == LLM_OP_GENERATE
                  ? read_prompt(rd, root)
                  : read_messages(rd, root) && dialect_read_tools(rd, json_get(root, "tools"));
    return ok && dialect_decode_bool(root, "stream", &rd->r->stream, rd->err) &&
           read_think(rd, json_get(root, "think")) && read_format(rd, root) &&
           read_logprobs(rd, root);
}

bool ollama_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err)
{
    struct reading rd = {out, arena, err};
    bool embed = op == LLM_OP_EMBED || op == LLM_OP_EMBED_1;
    *out = (struct llm_request){
        .arena = arena, .dialect = LLM_OLLAMA, .op = op, .choices = 1, .stream = true};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    note_others(&rd, root);
    return read_text(&rd, root, "model", "model", &out->model) &&
           (embed ? read_embed(&rd, root) : read_chat(&rd, root)) &&
           read_options(&rd, json_get(root, "options")) && read_memory(&rd, root);
}
