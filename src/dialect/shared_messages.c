/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_messages - conversations in OpenAI's shape: chat completions, and the native door.
 *
 *   system, developer   text
 *   user                text, images, audio, files
 *   assistant           REASONING, TEXT, CALLs, in this order
 *   tool, function      a RESULT in a message of the user's; llm_request_mend() gathers those of a turn
 *
 * An image or a file comes as a data URI, whose type is told by its bytes; an address is kept as a LINK for
 * providers that may fetch. Nothing is fetched here.
 */
#include <stdio.h>

#include "dialect/reading.h"

/* "messages[3].content[1].type" */
struct place {
    char text[96];
};

static struct place place(size_t message, const char *member)
{
    struct place p;
    snprintf(p.text, sizeof p.text, "messages[%zu]%s", message, member);
    return p;
}

static struct place place_part(size_t message, size_t part, const char *member)
{
    struct place p;
    snprintf(p.text, sizeof p.text, "messages[%zu].content[%zu]%s", message, part, member);
    return p;
}

enum speaker { SYSTEM, USER, ASSISTANT, TOOL, FUNCTION };

static bool read_role(struct reading *rd, yyjson_val *message, size_t i, enum speaker *who)
{
    static const struct {
        const char *word;
        enum speaker who;
    } rows[] = {{"user", USER},        {"assistant", ASSISTANT}, {"system", SYSTEM},
                {"developer", SYSTEM}, {"tool", TOOL},           {"function", FUNCTION}};
    yyjson_val *v = json_get(message, "role");
    if (v == NULL)
        return invalid(rd, place(i, ".role").text, "is required");
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (strv_eq_cstr(json_str(v), rows[k].word)) {
            *who = rows[k].who;
            return true;
        }
    return invalid(rd, place(i, ".role").text,
                   "must be one of system, developer, user, assistant, tool");
}

/* ---- parts ---- */

static bool read_text(struct reading *rd, yyjson_val *v, const char *member, struct place at,
                      struct llm_part *part)
{
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_get_str(v, member)};
    return part->text.ptr != NULL ? true : invalid(rd, at.text, "must be a string");
}

static bool read_image(struct reading *rd, yyjson_val *v, struct place at, struct llm_part *part)
{
    yyjson_val *image = json_get(v, "image_url");
    strv url = yyjson_is_str(image) ? json_str(image) : json_get_str(image, "url");
    strv detail = json_get_str(image, "detail");
    if (url.ptr == NULL)
        return invalid(rd, at.text, "must be an object with an url");
    if (detail.len > 0 && !strv_eq_cstr(detail, "auto"))
        beyond(rd, DIALECT_LOSS_DETAIL);
    return dialect_read_image(rd, url, at.text, part);
}

static bool read_audio(struct reading *rd, yyjson_val *v, struct place at, struct llm_part *part)
{
    yyjson_val *audio = json_get(v, "input_audio");
    strv format = json_get_str(audio, "format");
    return dialect_read_audio(rd, json_get_str(audio, "data"), format, at.text, part);
}

static bool read_file(struct reading *rd, yyjson_val *v, struct place at, struct llm_part *part)
{
    yyjson_val *file = json_get(v, "file");
    strv data = json_get_str(file, "file_data"), name = json_get_str(file, "filename");
    if (!yyjson_is_obj(file))
        return invalid(rd, at.text, "must be an object");
    if (data.ptr == NULL && json_get(file, "file_id") != NULL)
        return unsupported(rd, at.text, "files that were uploaded are not known here");
    if (data.ptr == NULL)
        return invalid(rd, at.text, "must have file_data");
    return dialect_read_document(rd, data, name.ptr != NULL ? name : STRV(""), at.text, part);
}

static bool read_part(struct reading *rd, yyjson_val *v, size_t i, size_t k, enum speaker who,
                      struct llm_part *part)
{
    bool media = who == USER || who == TOOL;
    strv type = json_get_str(v, "type");
    if (!yyjson_is_obj(v))
        return invalid(rd, place_part(i, k, "").text, "must be an object");
    if (type.ptr == NULL)
        return invalid(rd, place_part(i, k, ".type").text, "must be a string");
    if (json_get(v, "cache_control") != NULL) /* Anthropic's, as some libraries send it */
        beyond(rd, DIALECT_LOSS_CACHE);
    if (strv_eq_cstr(type, "text"))
        return read_text(rd, v, "text", place_part(i, k, ".text"), part);
    if (who == ASSISTANT && strv_eq_cstr(type, "refusal"))
        return read_text(rd, v, "refusal", place_part(i, k, ".refusal"), part);
    if (media && strv_eq_cstr(type, "image_url"))
        return read_image(rd, v, place_part(i, k, ".image_url"), part);
    if (who == USER && strv_eq_cstr(type, "input_audio"))
        return read_audio(rd, v, place_part(i, k, ".input_audio"), part);
    if (media && strv_eq_cstr(type, "file"))
        return read_file(rd, v, place_part(i, k, ".file"), part);
    return invalid(rd, place_part(i, k, ".type").text, "is not a known kind of part");
}

static bool read_parts(struct reading *rd, yyjson_val *content, size_t i, enum speaker who,
                       struct llm_part *parts)
{
    size_t k, max;
    yyjson_val *part;
    if (yyjson_is_str(content))
        parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(content)};
    if (!yyjson_is_arr(content))
        return true;
    yyjson_arr_foreach(content, k, max, part)
    {
        if (!read_part(rd, part, i, k, who, &parts[k]))
            return false;
    }
    return true;
}

/* `content`, or NULL; how many parts it has. */
static bool read_content(struct reading *rd, yyjson_val *message, size_t i, enum speaker who,
                         yyjson_val **content, size_t *n)
{
    bool must = who == SYSTEM || who == USER;
    yyjson_val *v = json_get(message, "content");
    /* An assistant that refused has its words beside an empty content. */
    if (v == NULL && who == ASSISTANT)
        v = yyjson_is_str(json_get(message, "refusal")) ? json_get(message, "refusal") : NULL;
    if (v != NULL && !yyjson_is_str(v) && !yyjson_is_arr(v))
        return invalid(rd, place(i, ".content").text, "must be a string or an array of parts");
    *n = yyjson_is_arr(v) ? yyjson_arr_size(v) : v != NULL ? 1 : 0;
    *content = v;
    if (*n == 0 && must)
        return invalid(rd, place(i, ".content").text,
                       v == NULL ? "must be a string or an array of parts"
                                 : "must not be an empty array");
    return true;
}

/* ---- messages ---- */

static bool read_calls(struct reading *rd, yyjson_val *message, size_t i, struct llm_message *m)
{
    yyjson_val *list = json_get(message, "tool_calls"), *old = json_get(message, "function_call");
    size_t k, max;
    yyjson_val *call;
    yyjson_arr_foreach(list, k, max, call)
    {
        char field[64];
        snprintf(field, sizeof field, "messages[%zu].tool_calls[%zu]", i, k);
        if (!dialect_read_call(rd, call, field, &m->parts[m->n_parts++]))
            return false;
    }
    if (dialect_is_nothing(old))
        return true;
    struct llm_part *part = &m->parts[m->n_parts++];
    struct place at = place(i, ".function_call");
    *part = (struct llm_part){.kind = LLM_PART_CALL, .id = STRV("")};
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    if (!yyjson_is_obj(old))
        return invalid(rd, at.text, "must be an object");
    return dialect_read_name(rd, old, at.text, &part->name) &&
           dialect_read_arguments(rd, old, at.text, &part->text);
}

/* What it thought; local servers read it back under the name that they gave it. */
static strv reasoning_of(yyjson_val *message)
{
    strv text = json_get_str(message, "reasoning_content");
    return text.len > 0 ? text : json_get_str(message, "reasoning");
}

static bool read_assistant(struct reading *rd, yyjson_val *message, size_t i, struct llm_message *m)
{
    yyjson_val *content, *calls = json_get(message, "tool_calls");
    strv reasoning = reasoning_of(message);
    size_t n;
    if (calls != NULL && !yyjson_is_arr(calls))
        return invalid(rd, place(i, ".tool_calls").text, "must be an array");
    if (!dialect_is_nothing(json_get(message, "audio")))
        return unsupported(rd, place(i, ".audio").text, "audio of an answer is not known here");
    if (!read_content(rd, message, i, ASSISTANT, &content, &n))
        return false;
    m->parts = ARENA_ARRAY(rd->arena, struct llm_part, n + yyjson_arr_size(calls) + 3);
    if (m->parts == NULL)
        return err_oom(rd->err);
    if (reasoning.len > 0)
        m->parts[m->n_parts++] = (struct llm_part){.kind = LLM_PART_REASONING, .text = reasoning};
    if (!read_parts(rd, content, i, ASSISTANT, m->parts + m->n_parts))
        return false;
    m->n_parts += n;
    return read_calls(rd, message, i, m);
}

static bool read_result(struct reading *rd, yyjson_val *message, size_t i, struct llm_message *m,
                        bool old)
{
    yyjson_val *content, *id = json_get(message, "tool_call_id");
    strv name = json_get_str(message, "name");
    size_t n;
    if (id != NULL && !yyjson_is_str(id))
        return invalid(rd, place(i, ".tool_call_id").text, "must be a string");
    if (old && name.len == 0)
        return invalid(rd, place(i, ".name").text, "is required");
    if (!read_content(rd, message, i, TOOL, &content, &n))
        return false;
    m->parts = ARENA_ARRAY(rd->arena, struct llm_part, n + 2);
    if (m->parts == NULL)
        return err_oom(rd->err);
    m->n_parts = 1;
    m->parts[0] = (struct llm_part){.kind = LLM_PART_RESULT,
                                    .id = id != NULL && !old ? json_str(id) : STRV(""),
                                    .name = name.ptr != NULL ? name : STRV(""),
                                    .parts = m->parts + 1,
                                    .n_parts = n};
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    return read_parts(rd, content, i, TOOL, m->parts + 1);
}

static bool read_plain(struct reading *rd, yyjson_val *message, size_t i, enum speaker who,
                       struct llm_message *m)
{
    yyjson_val *content;
    if (!read_content(rd, message, i, who, &content, &m->n_parts))
        return false;
    m->parts = ARENA_ARRAY(rd->arena, struct llm_part, m->n_parts + 1);
    return m->parts != NULL ? read_parts(rd, content, i, who, m->parts) : err_oom(rd->err);
}

static bool read_message(struct reading *rd, yyjson_val *v, size_t i)
{
    static const enum llm_role roles[] = {LLM_SYSTEM, LLM_USER, LLM_ASSISTANT, LLM_USER, LLM_USER};
    struct llm_message *m = &rd->r->messages[rd->r->n_messages];
    enum speaker who = USER;
    bool ok;
    if (!yyjson_is_obj(v))
        return invalid(rd, place(i, "").text, "must be an object");
    if (!read_role(rd, v, i, &who))
        return false;
    *m = (struct llm_message){.role = roles[who]};
    if (who == ASSISTANT)
        ok = read_assistant(rd, v, i, m);
    else if (who == TOOL || who == FUNCTION)
        ok = read_result(rd, v, i, m, who == FUNCTION);
    else
        ok = read_plain(rd, v, i, who, m);
    if (who != TOOL && who != FUNCTION && json_get(v, "name") != NULL)
        beyond(rd, DIALECT_LOSS_NAME);
    rd->r->n_messages++;
    return ok;
}

bool dialect_decode_messages(struct llm_request *r, yyjson_val *messages, struct arena *arena,
                             struct err *err)
{
    struct reading rd = {.r = r, .arena = arena, .err = err};
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(messages, i, max, one)
    {
        if (!read_message(&rd, one, i))
            return false;
    }
    return true;
}
