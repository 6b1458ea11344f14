/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heard - a client's frame (docs/chat.md, "From the client") as a struct. Pure.
 *
 * What is there must be of its type and within its bounds; members that nobody knows are ignored. The error's text goes to
 * the client, so it names members and never holds what was sent.
 */
#include "chat/chat_int.h"

#define TEMPERATURE_MAX 2
#define TOKENS_MAX      1000000

static bool bad(struct err *err, const char *what)
{
    return err_set(err, LLM_ERR_INVALID_REQUEST, "%s", what);
}

/* ---- members ---- */

static bool take_number(yyjson_val *obj, const char *key, double min, double max, bool whole,
                        bool *has, double *out, struct err *err)
{
    yyjson_val *v = json_get(obj, key);
    int64_t n;
    if (v == NULL)
        return true;
    *has = json_is_num(v, out) && *out >= min && *out <= max && (!whole || json_is_int(v, &n));
    return *has || err_set(err, LLM_ERR_INVALID_REQUEST,
                           "params.%s: expected a number from %g to %g", key, min, max);
}

static bool take_params(yyjson_val *root, struct heard *out, struct err *err)
{
    yyjson_val *v = json_get(root, "params"), *effort = json_get(v, "effort");
    struct params *p = &out->params;
    out->has_params = v != NULL;
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v))
        return bad(err, "params: expected an object");
    if (effort != NULL && !llm_effort_parse(json_str(effort), &p->effort))
        return bad(err, "params.effort: unknown");
    return take_number(v, "temperature", 0, TEMPERATURE_MAX, false, &p->has_temperature,
                       &p->temperature, err) &&
           take_number(v, "top_p", 0, 1, false, &p->has_top_p, &p->top_p, err) &&
           take_number(v, "max_tokens", 1, TOKENS_MAX, true, &p->has_max_tokens, &p->max_tokens,
                       err);
}

static bool take_text(yyjson_val *root, const char *key, size_t max, bool *has, strv *out,
                      struct err *err)
{
    yyjson_val *v = json_get(root, key);
    if (v == NULL)
        return true;
    *out = json_str(v);
    *has = out->ptr != NULL && out->len <= max;
    return *has || err_set(err, LLM_ERR_INVALID_REQUEST, "%s: expected a text of at most %zu bytes",
                           key, max);
}

static bool take_mode(yyjson_val *root, struct heard *out, struct err *err)
{
    yyjson_val *v = json_get(root, "mode");
    for (int m = LLM_MODE_LOCAL; v != NULL && m <= LLM_MODE_CLOUD; m++)
        if (strv_eq_cstr(json_str(v), mode_name((enum llm_mode)m)))
            out->mode = (enum llm_mode)m;
    return v == NULL || out->mode != LLM_MODE_UNSET ||
           bad(err, "mode: expected local, hybrid or cloud");
}

static bool take_flag(yyjson_val *root, const char *key, bool *has, bool *out, struct err *err)
{
    yyjson_val *v = json_get(root, key);
    *has = v != NULL;
    *out = yyjson_is_true(v);
    return v == NULL || yyjson_is_bool(v) ||
           err_set(err, LLM_ERR_INVALID_REQUEST, "%s: expected true or false", key);
}

static bool take_message(yyjson_val *root, struct heard *out, struct err *err)
{
    int64_t n = json_get_int(root, "message", 0);
    out->message = n > 0 && n <= INT32_MAX ? (uint32_t)n : 0;
    return out->message > 0 || bad(err, "message: expected the number of a message");
}

/* ---- files ---- */

static bool take_files(yyjson_val *root, struct arena *arena, struct heard *out, struct err *err)
{
    yyjson_val *list = json_get(root, "attachments"), *one;
    size_t i, max;
    if (list == NULL)
        return true;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > CHAT_FILES_MAX)
        return bad(err, "attachments: expected a list of at most 8");
    yyjson_arr_foreach(list, i, max, one)
    {
        if (!chat_file_read(one, arena, &out->files[out->n_files++], err))
            return false;
    }
    return true;
}

/* ---- frames ---- */

static bool take_content(yyjson_val *root, size_t max, struct heard *out, struct err *err)
{
    out->content = json_get_str(root, "content");
    if (out->content.ptr == NULL)
        return bad(err, "content: expected a text");
    if (out->content.len > max)
        return err_set(err, LLM_ERR_INVALID_REQUEST, "content: longer than %zu bytes", max);
    return strv_trim(out->content).len > 0 || out->n_files > 0 || bad(err, "content: it is empty");
}

static bool read_question(yyjson_val *root, size_t max, struct arena *arena, struct heard *out,
                          struct err *err)
{
    bool has_ref;
    return take_files(root, arena, out, err) && take_content(root, max, out, err) &&
           take_params(root, out, err) &&
           take_text(root, "system", max, &out->has_system, &out->system, err) &&
           take_text(root, "ref", REF_MAX, &has_ref, &out->ref, err);
}

static bool read_set(yyjson_val *root, size_t max, struct heard *out, struct err *err)
{
    return take_mode(root, out, err) && take_params(root, out, err) &&
           take_text(root, "system", max, &out->has_system, &out->system, err) &&
           take_text(root, "title", TITLE_BYTES, &out->has_title, &out->title, err) &&
           take_text(root, "model", MODEL_MAX, &out->has_model, &out->model, err) &&
           take_flag(root, "tools", &out->has_tools, &out->tools, err);
}

static bool read_approve(yyjson_val *root, struct heard *out, struct err *err)
{
    strv word = json_get_str(root, "decision");
    bool told;
    out->id = json_get_str(root, "id");
    out->approve = strv_eq_cstr(word, "approve");
    if (out->id.ptr == NULL || (!out->approve && !strv_eq_cstr(word, "deny")))
        return bad(err, "approve: needs id, and decision: approve or deny");
    return take_flag(root, "remember", &told, &out->remember, err);
}

bool heard_read(strv text, size_t content_max, struct arena *arena, struct heard *out,
                struct err *err)
{
    static const char *const kinds[] = {
        [HEARD_QUESTION] = "user_message", [HEARD_INTERRUPT] = "interrupt",
        [HEARD_HISTORY] = "get_history",   [HEARD_SET] = "set",
        [HEARD_RETRY] = "retry",           [HEARD_EDIT] = "edit",
        [HEARD_BRANCH] = "branch",         [HEARD_APPROVE] = "approve"};
    struct json doc;
    *out = (struct heard){0};
    if (!json_read(&doc, text, arena, LLM_ERR_INVALID_REQUEST, err))
        return false;
    strv type = json_get_str(doc.root, "type");
    size_t kind = 0;
    while (kind < sizeof kinds / sizeof *kinds && !strv_eq_cstr(type, kinds[kind]))
        kind++;
    out->kind = (enum heard_kind)kind;
    switch (out->kind) {
    case HEARD_QUESTION:
        return read_question(doc.root, content_max, arena, out, err);
    case HEARD_INTERRUPT:
    case HEARD_HISTORY:
        return true;
    case HEARD_SET:
        return read_set(doc.root, content_max, out, err);
    case HEARD_EDIT:
        return take_message(doc.root, out, err) && take_content(doc.root, content_max, out, err);
    case HEARD_RETRY:
    case HEARD_BRANCH:
        return take_message(doc.root, out, err);
    case HEARD_APPROVE:
        return read_approve(doc.root, out, err);
    }
    return bad(err, "type: unknown");
}
