/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_request - OpenAI's /v1/responses, the question: bytes to llm_request.
 *
 *   instructions            a system message in front
 *   input: "..."            a message of the user
 *   input: [items]
 *     message               a message; neighbours of the assistant become one
 *     reasoning             what the assistant thought: its plain text. What is encrypted is left out
 *     function_call         a call of the assistant's
 *     function_call_output  its result
 *
 * Nothing is kept between requests, so what builds on an earlier answer is refused with its name:
 * previous_response_id, conversation, item_reference, prompt, background. `store` counts as false. So are
 * the vendor's own tools: they run on its servers. The rest is as in chat completions, in flatter shapes.
 */
#include "dialect/responses.h"

#include <stdio.h>

#include "dialect/openai.h"
#include "dialect/reading.h"

#define ITEMS_MAX 65536

struct place {
    char text[64];
};

static struct place place(size_t item, const char *member)
{
    struct place p;
    snprintf(p.text, sizeof p.text, "input[%zu]%s", item, member);
    return p;
}

/* ---- messages that grow ---- */

/* What came last, and how much room its parts have. */
enum grows { GROW_NONE, GROW_ASSISTANT, GROW_RESULTS };
struct growth {
    enum grows kind;
    size_t room;
};

static struct llm_part *add_part(struct reading *rd, struct growth *g, enum grows kind)
{
    struct llm_request *r = rd->r;
    if (g->kind != kind || r->n_messages == 0) {
        r->messages[r->n_messages++] =
            (struct llm_message){.role = kind == GROW_RESULTS ? LLM_USER : LLM_ASSISTANT};
        g->kind = kind;
        g->room = 0;
    }
    struct llm_message *m = &r->messages[r->n_messages - 1];
    if (m->n_parts == g->room) {
        size_t room = g->room > 0 ? 2 * g->room : 4;
        struct llm_part *parts =
            arena_resize(rd->arena, m->parts, g->room * sizeof *parts, room * sizeof *parts);
        if (parts == NULL) {
            err_oom(rd->err);
            return NULL;
        }
        m->parts = parts;
        g->room = room;
    }
    struct llm_part *p = &m->parts[m->n_parts++];
    *p = (struct llm_part){.kind = LLM_PART_TEXT, .text = STRV("")};
    return p;
}

/* ---- parts of a message ---- */

static bool read_text(struct reading *rd, yyjson_val *part, const char *member, struct place at,
                      struct llm_part *out)
{
    *out = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_get_str(part, member)};
    return out->text.ptr != NULL || invalid(rd, at.text, "must have a text");
}

static bool read_image(struct reading *rd, yyjson_val *part, struct place at, struct llm_part *out)
{
    yyjson_val *url = json_get(part, "image_url");
    strv detail = json_get_str(part, "detail");
    if (json_get(part, "file_id") != NULL)
        return unsupported(rd, at.text,
                           "files are not kept here, an image must come with its data");
    if (yyjson_is_obj(url)) /* as in chat completions */
        url = json_get(url, "url");
    if (!yyjson_is_str(url))
        return invalid(rd, at.text, "must have an image_url");
    if (detail.len > 0 && !strv_eq_cstr(detail, "auto"))
        beyond(rd, DIALECT_LOSS_DETAIL);
    return dialect_read_image(rd, json_str(url), at.text, out);
}

static bool read_file(struct reading *rd, yyjson_val *part, struct place at, struct llm_part *out)
{
    strv data = json_get_str(part, "file_data"), url = json_get_str(part, "file_url"),
         name = json_get_str(part, "filename");
    if (json_get(part, "file_id") != NULL)
        return unsupported(rd, at.text, "files are not kept here, a file must come with its data");
    if (data.ptr == NULL && url.ptr == NULL)
        return invalid(rd, at.text, "must have file_data");
    if (data.ptr != NULL)
        return dialect_read_document(rd, data, name.ptr != NULL ? name : STRV(""), at.text, out);
    return dialect_read_link(rd, url, "document", at.text, out);
}

static bool read_part(struct reading *rd, yyjson_val *part, struct place at, struct llm_part *out)
{
    strv type = json_get_str(part, "type");
    if (!yyjson_is_obj(part))
        return invalid(rd, at.text, "must be an object");
    if (strv_eq_cstr(type, "input_text") || strv_eq_cstr(type, "output_text") ||
        strv_eq_cstr(type, "text") || strv_eq_cstr(type, "summary_text"))
        return read_text(rd, part, "text", at, out);
    if (strv_eq_cstr(type, "refusal"))
        return read_text(rd, part, "refusal", at, out);
    if (strv_eq_cstr(type, "input_image"))
        return read_image(rd, part, at, out);
    if (strv_eq_cstr(type, "input_file"))
        return read_file(rd, part, at, out);
    if (strv_eq_cstr(type, "input_audio"))
        return unsupported(rd, at.text, "audio is not supported");
    return invalid(rd, at.text, "is not a known kind of part");
}

/* A string or an array of parts, into an array of its own. */
static bool read_parts(struct reading *rd, yyjson_val *v, size_t item, const char *member,
                       struct llm_part **out, size_t *n)
{
    size_t i, max;
    yyjson_val *one;
    *n = yyjson_is_str(v) ? 1 : yyjson_arr_size(v);
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return invalid(rd, place(item, member).text, "must be a string or an array of parts");
    *out = ARENA_ARRAY(rd->arena, struct llm_part, *n + 1);
    if (*out == NULL)
        return err_oom(rd->err);
    if (yyjson_is_str(v))
        (*out)[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(v)};
    yyjson_arr_foreach(v, i, max, one)
    {
        struct place at;
        snprintf(at.text, sizeof at.text, "input[%zu]%s[%zu]", item, member, i);
        if (!read_part(rd, one, at, &(*out)[i]))
            return false;
    }
    return true;
}

/* ---- items ---- */

static bool read_role(struct reading *rd, yyjson_val *item, size_t i, enum llm_role *out)
{
    strv role = json_get_str(item, "role");
    if (strv_eq_cstr(role, "user"))
        *out = LLM_USER;
    else if (strv_eq_cstr(role, "assistant"))
        *out = LLM_ASSISTANT;
    else if (strv_eq_cstr(role, "system") || strv_eq_cstr(role, "developer"))
        *out = LLM_SYSTEM;
    else
        return invalid(rd, place(i, ".role").text,
                       "must be one of system, developer, user, assistant");
    return true;
}

static bool read_message(struct reading *rd, struct growth *g, yyjson_val *item, size_t i)
{
    enum llm_role role = LLM_USER;
    struct llm_part *parts, *p;
    size_t n;
    if (!read_role(rd, item, i, &role) ||
        !read_parts(rd, json_get(item, "content"), i, ".content", &parts, &n))
        return false;
    if (role != LLM_ASSISTANT) {
        rd->r->messages[rd->r->n_messages++] = (struct llm_message){role, parts, n};
        g->kind = GROW_NONE;
        return true;
    }
    for (size_t k = 0; k < n; k++) {
        if ((p = add_part(rd, g, GROW_ASSISTANT)) == NULL)
            return false;
        *p = parts[k];
    }
    return true;
}

static bool read_call(struct reading *rd, struct growth *g, yyjson_val *item, size_t i)
{
    struct llm_part *p = add_part(rd, g, GROW_ASSISTANT);
    yyjson_val *id = json_get(item, "call_id");
    if (p == NULL)
        return false;
    if (id != NULL && !yyjson_is_str(id))
        return invalid(rd, place(i, ".call_id").text, "must be a string");
    *p = (struct llm_part){.kind = LLM_PART_CALL, .id = id != NULL ? json_str(id) : STRV("")};
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    return dialect_read_name(rd, item, place(i, "").text, &p->name) &&
           dialect_read_arguments(rd, item, place(i, "").text, &p->text);
}

static bool read_output(struct reading *rd, struct growth *g, yyjson_val *item, size_t i)
{
    struct llm_part *parts, *p;
    size_t n;
    strv id = json_get_str(item, "call_id");
    if (id.ptr == NULL)
        return invalid(rd, place(i, ".call_id").text, "must be a string");
    if (!read_parts(rd, json_get(item, "output"), i, ".output", &parts, &n) ||
        (p = add_part(rd, g, GROW_RESULTS)) == NULL)
        return false;
    *p = (struct llm_part){
        .kind = LLM_PART_RESULT, .id = id, .name = STRV(""), .parts = parts, .n_parts = n};
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    return true;
}

/* Texts of a list as one, a blank line between them; absent if there is none. */
static bool join_texts(struct reading *rd, yyjson_val *list, strv *out)
{
    struct buf joined;
    size_t i, max, n = 0;
    yyjson_val *one;
    *out = STRV_NONE;
    buf_init(&joined, rd->r->body.text.len + 1);
    yyjson_arr_foreach(list, i, max, one)
    {
        strv text = json_get_str(one, "text");
        if (text.len == 0)
            continue;
        if (n++ > 0)
            buf_put_cstr(&joined, "\n\n");
        buf_put_strv(&joined, text);
    }
    bool ok = !joined.failed;
    if (ok && n > 0)
        *out = arena_strv(rd->arena, buf_view(&joined));
    buf_fini(&joined);
    return (ok && !rd->arena->failed) || err_oom(rd->err);
}

static bool read_reasoning(struct reading *rd, struct growth *g, yyjson_val *item)
{
    strv text;
    if (!join_texts(rd, json_get(item, "content"), &text))
        return false;
    if (text.ptr == NULL && !join_texts(rd, json_get(item, "summary"), &text))
        return false;
    if (text.ptr == NULL) /* encrypted: for nobody but who wrote it */
        return true;
    struct llm_part *p = add_part(rd, g, GROW_ASSISTANT);
    if (p == NULL)
        return false;
    *p = (struct llm_part){.kind = LLM_PART_REASONING, .text = text};
    return true;
}

static bool read_item(struct reading *rd, struct growth *g, yyjson_val *item, size_t i)
{
    strv type = json_get_str(item, "type");
    if (!yyjson_is_obj(item))
        return invalid(rd, place(i, "").text, "must be an object");
    if (strv_eq_cstr(type, "message") || (type.ptr == NULL && json_get(item, "role") != NULL))
        return read_message(rd, g, item, i);
    if (strv_eq_cstr(type, "function_call"))
        return read_call(rd, g, item, i);
    if (strv_eq_cstr(type, "function_call_output"))
        return read_output(rd, g, item, i);
    if (strv_eq_cstr(type, "reasoning"))
        return read_reasoning(rd, g, item);
    struct place at = place(i, ".type");
    if (strv_eq_cstr(type, "item_reference") || (type.ptr == NULL && json_get(item, "id") != NULL))
        return invalid(rd, at.text, "answers are not kept here: send the item itself");
    return type.ptr != NULL ? unsupported(rd, at.text,
                                          "only messages, reasoning, function_call and "
                                          "function_call_output are supported")
                            : invalid(rd, at.text, "must be a string");
}

static bool read_input(struct reading *rd, yyjson_val *root)
{
    struct llm_request *r = rd->r;
    yyjson_val *input = json_get(root, "input"), *instructions = json_get(root, "instructions"),
               *one;
    struct llm_part *parts = ARENA_ARRAY(rd->arena, struct llm_part, 2);
    size_t i, max;
    if (input == NULL)
        return invalid(rd, "input", "is required");
    if (!yyjson_is_str(input) && !yyjson_is_arr(input))
        return invalid(rd, "input", "must be a string or an array of items");
    if (yyjson_is_arr(input) && yyjson_arr_size(input) == 0)
        return invalid(rd, "input", "must not be empty");
    if (yyjson_arr_size(input) > ITEMS_MAX)
        return invalid(rd, "input", "has more than 65536 items");
    if (instructions != NULL && !yyjson_is_str(instructions))
        return invalid(rd, "instructions", "must be a string");
    r->messages = ARENA_ARRAY(rd->arena, struct llm_message, yyjson_arr_size(input) + 2);
    if (parts == NULL || r->messages == NULL)
        return err_oom(rd->err);
    if (yyjson_get_len(instructions) > 0) {
        parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(instructions)};
        r->messages[r->n_messages++] = (struct llm_message){LLM_SYSTEM, &parts[0], 1};
    }
    if (yyjson_is_str(input)) {
        parts[1] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(input)};
        r->messages[r->n_messages++] = (struct llm_message){LLM_USER, &parts[1], 1};
        return true;
    }
    struct growth g = {GROW_NONE, 0};
    yyjson_arr_foreach(input, i, max, one)
    {
        if (!read_item(rd, &g, one, i))
            return false;
    }
    return true;
}

/* ---- tools ---- */

static bool read_tools(struct reading *rd, yyjson_val *root)
{
    size_t i, max;
    yyjson_val *list = json_get(root, "tools"), *one;
    bool parallel = true;
    if (!dialect_decode_bool(root, "parallel_tool_calls", &parallel, rd->err))
        return false;
    rd->r->one_call = !parallel;
    if (list != NULL && !dialect_read_tools_room(rd, list, "tools"))
        return false;
    yyjson_arr_foreach(list, i, max, one)
    {
        char field[64];
        strv type = json_get_str(one, "type");
        snprintf(field, sizeof field, "tools[%zu].type", i);
        if (yyjson_is_obj(one) && !strv_eq_cstr(type, "function") && !strv_eq_cstr(type, "mcp"))
            return unsupported(rd, field, "only the types \"function\" and \"mcp\" are supported");
        snprintf(field, sizeof field, "tools[%zu]", i);
        if (strv_eq_cstr(type, "mcp") ? !dialect_read_mcp(rd, one, field)
                                      : !dialect_read_tool(rd, one, field))
            return false;
    }
    if (rd->r->n_tools > 0)
        rd->r->needs |= LLM_NEED_TOOLS;
    return dialect_read_tool_choice(rd, json_get(root, "tool_choice"));
}

/* ---- the form of the answer ---- */

static bool read_schema(struct reading *rd, yyjson_val *format)
{
    struct llm_request *r = rd->r;
    yyjson_val *name = json_get(format, "name"), *strict = json_get(format, "strict"),
               *description = json_get(format, "description");
    if (name != NULL && !yyjson_is_str(name))
        return invalid(rd, "text.format.name", "must be a string");
    if (description != NULL && !yyjson_is_str(description))
        return invalid(rd, "text.format.description", "must be a string");
    if (strict != NULL && !yyjson_is_bool(strict))
        return invalid(rd, "text.format.strict", "must be true or false");
    if (!yyjson_is_obj(json_get(format, "schema")) ||
        !json_raw_member(&r->body, format, "schema", &r->schema))
        return invalid(rd, "text.format.schema", "must be an object");
    r->format = LLM_FORMAT_SCHEMA;
    r->schema_name = json_str(name);
    r->schema_description = json_str(description);
    r->schema_strict = yyjson_get_bool(strict);
    return true;
}

static bool read_format(struct reading *rd, yyjson_val *root)
{
    yyjson_val *text = json_get(root, "text"), *format = json_get(text, "format");
    strv type = json_get_str(format, "type");
    if (text != NULL && !yyjson_is_obj(text))
        return invalid(rd, "text", "must be an object");
    if (json_get(text, "verbosity") != NULL)
        beyond(rd, DIALECT_LOSS_OTHER);
    if (format == NULL || strv_eq_cstr(type, "text"))
        return true;
    if (!yyjson_is_obj(format))
        return invalid(rd, "text.format", "must be an object");
    if (strv_eq_cstr(type, "json_schema"))
        return read_schema(rd, format);
    if (!strv_eq_cstr(type, "json_object"))
        return unsupported(rd, "text.format.type",
                           "only \"text\", \"json_object\" and \"json_schema\" are supported");
    rd->r->format = LLM_FORMAT_JSON;
    return true;
}

static bool read_effort(struct reading *rd, yyjson_val *root)
{
    yyjson_val *reasoning = json_get(root, "reasoning"), *effort = json_get(reasoning, "effort");
    if (reasoning != NULL && !yyjson_is_obj(reasoning))
        return invalid(rd, "reasoning", "must be an object");
    if (effort == NULL)
        return true;
    if (!llm_effort_parse(json_str(effort), &rd->r->effort) || rd->r->effort == LLM_EFFORT_ON)
        return invalid(rd, "reasoning.effort",
                       "must be none, minimal, low, medium, high, xhigh or max");
    return true;
}

/* ---- the rest ---- */

static bool read_stateless(struct reading *rd, yyjson_val *root)
{
    static const struct {
        const char *name, *what;
    } rows[] = {
        {"previous_response_id", "answers are not kept here: send the conversation in input"},
        {"conversation", "conversations are not kept here: send the conversation in input"},
        {"background", "answers are not kept here, so none can be made in the background"},
        {"prompt", "prompts are not kept here: send its text in instructions or input"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!dialect_is_nothing(json_get(root, rows[i].name)))
            return unsupported(rd, rows[i].name, rows[i].what);
    return true;
}

static bool read_logprobs(struct reading *rd, yyjson_val *root)
{
    yyjson_val *include = json_get(root, "include"), *one;
    size_t i, max;
    int64_t top = 0;
    if (include != NULL && !yyjson_is_arr(include))
        return invalid(rd, "include", "must be an array of strings");
    yyjson_arr_foreach(include, i, max, one)
    {
        if (strv_eq_cstr(json_str(one), "message.output_text.logprobs"))
            return unsupported(rd, "include", "logprobs are not supported");
    }
    yyjson_val *v = json_get(root, "top_logprobs");
    if (v != NULL && !(json_is_int(v, &top) && top >= 0 && top <= 20))
        return invalid(rd, "top_logprobs", "must be an integer between 0 and 20");
    return top == 0 || unsupported(rd, "top_logprobs", "logprobs are not supported");
}

static bool read_form(struct reading *rd, yyjson_val *root)
{
    yyjson_val *truncation = json_get(root, "truncation"), *metadata = json_get(root, "metadata");
    strv word = json_str(truncation);
    if (truncation != NULL && !strv_eq_cstr(word, "auto") && !strv_eq_cstr(word, "disabled"))
        return invalid(rd, "truncation", "must be auto or disabled");
    if (metadata != NULL && !yyjson_is_obj(metadata))
        return invalid(rd, "metadata", "must be an object");
    if (!dialect_decode_bool(root, "stream", &rd->r->stream, rd->err))
        return false;
    yyjson_val *options = json_get(root, "stream_options");
    return options == NULL || yyjson_is_obj(options) ||
           invalid(rd, "stream_options", "must be an object");
}

/* What no answer can be told to follow, by the name it is lost under. What is not here is carried over, or
 * asks for nothing. */
static void note_losses(struct reading *rd, yyjson_val *root)
{
    static const char *const known[] = {"model",
                                        "input",
                                        "instructions",
                                        "tools",
                                        "tool_choice",
                                        "text",
                                        "reasoning",
                                        "stream",
                                        "store",
                                        "parallel_tool_calls",
                                        "truncation",
                                        "stream_options",
                                        "include",
                                        "user",
                                        "safety_identifier",
                                        "background",
                                        "conversation",
                                        "prompt",
                                        "previous_response_id",
                                        "top_logprobs"};
    size_t at, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, at, max, key, value)
    {
        strv name = json_str(key);
        bool is_known = dialect_is_nothing(value);
        for (size_t i = 0; !is_known && i < sizeof known / sizeof *known; i++)
            is_known = strv_eq_cstr(name, known[i]);
        for (int p = 0; !is_known && p < LLM_PARAMS; p++)
            is_known = strv_eq_cstr(name, llm_params[p].name[LLM_RESPONSES]);
        if (is_known)
            continue;
        beyond(rd, strv_eq_cstr(name, "metadata")           ? DIALECT_LOSS_METADATA
                   : strv_eq_cstr(name, "service_tier")     ? DIALECT_LOSS_TIER
                   : strv_eq_cstr(name, "prompt_cache_key") ? DIALECT_LOSS_CACHE
                                                            : DIALECT_LOSS_OTHER);
    }
}

bool responses_decode_request(strv body, enum llm_op op, struct arena *arena,
                              struct llm_request *out, struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.dialect = LLM_RESPONSES, .op = op, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    if (!read_stateless(&rd, root) || !openai_decode_names(out, root, err) ||
        !read_input(&rd, root) || !read_tools(&rd, root) || !read_format(&rd, root) ||
        !read_effort(&rd, root) || !read_logprobs(&rd, root) || !read_form(&rd, root) ||
        !dialect_decode_params(out, LLM_RESPONSES, root, "", err))
        return false;
    note_losses(&rd, root);
    return true;
}
