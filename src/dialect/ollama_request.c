/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_request - POST /api/chat and POST /api/generate, the question: bytes to llm_request and back.
 *
 * Two things are unlike the other dialects: a stream is the default, and nearly every parameter lives in
 * `options`. A request that only Ollama can serve (raw, template, suffix, context, logprobs, or no prompt
 * at all, which loads or unloads a model) needs LLM_NEED_OLLAMA_RAW; its texts become messages all the
 * same, so that whoever decides where a request may go sees everything that would be sent.
 *
 * To an upstream: the caller's own bytes with model, stream and options replaced; or, from another dialect,
 * a fresh chat body. `stream` is always written. options.num_ctx is set when the target says so, because
 * Ollama cuts a longer prompt without a word.
 *
 * Reference: https://github.com/ollama/ollama/blob/main/docs/api.md.
 */
#include "dialect/ollama.h"

#include <stdio.h>

#include "dialect/reading.h"

#define STOPS_MAX 1024 /* the body's size bounds it too; Ollama names no number */

/* ---- the caller's request ---- */

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

static void add_part(struct llm_message *m, strv text)
{
    m->parts[m->n_parts++] = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
}

static bool read_role(struct reading *rd, strv name, size_t at, enum llm_role *role)
{
    char field[64];
    snprintf(field, sizeof field, "messages.%zu.role", at);
    for (int r = LLM_SYSTEM; r <= LLM_ASSISTANT; r++)
        if (strv_eq_nocase(name, strv_of(llm_role_name((enum llm_role)r)))) {
            *role = (enum llm_role)r;
            return true;
        }
    if (strv_eq_nocase(name, STRV("tool")))
        return unsupported(rd, field, "results of tools cannot be served");
    return invalid(rd, field, "must be system, user or assistant");
}

static bool read_message(struct reading *rd, yyjson_val *v, size_t at)
{
    char field[64];
    enum llm_role role = LLM_USER;
    strv text = STRV_NONE;
    snprintf(field, sizeof field, "messages.%zu", at);
    if (!yyjson_is_obj(v))
        return invalid(rd, field, "must be an object");
    if (!read_role(rd, json_get_str(v, "role"), at, &role))
        return false;
    snprintf(field, sizeof field, "messages.%zu.content", at);
    if (!read_text(rd, v, "content", field, &text)) /* also an array, as Ollama itself refuses it */
        return false;
    static const char *const refused[] = {"images", "tool_calls"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!dialect_is_nothing(json_get(v, refused[i]))) {
            snprintf(field, sizeof field, "messages.%zu.%s", at, refused[i]);
            return unsupported(rd, field, "cannot be served");
        }
    if (!dialect_is_nothing(json_get(v, "thinking")))
        beyond(rd, DIALECT_LOSS_REASONING);
    struct llm_message *m = add_message(rd, role, 1);
    if (m == NULL)
        return err_oom(rd->err);
    add_part(m, text);
    return true;
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

static bool read_prompt(struct reading *rd, yyjson_val *root)
{
    strv prompt = STRV_NONE, system = STRV_NONE, suffix = STRV_NONE, template = STRV_NONE;
    yyjson_val *context = json_get(root, "context");
    bool raw = false;
    if (!read_text(rd, root, "prompt", "prompt", &prompt) ||
        !read_text(rd, root, "system", "system", &system) ||
        !read_text(rd, root, "suffix", "suffix", &suffix) ||
        !read_text(rd, root, "template", "template", &template) ||
        !dialect_decode_bool(root, "raw", &raw, rd->err))
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
    struct llm_message *m = NULL;
    if (system.len + template.len > 0) {
        m = add_message(rd, LLM_SYSTEM, 2);
        if (m == NULL)
            return err_oom(rd->err);
        if (system.len > 0)
            add_part(m, system);
        if (template.len > 0)
            add_part(m, template);
    }
    if (prompt.len + suffix.len > 0) {
        m = add_message(rd, LLM_USER, 2);
        if (m == NULL)
            return err_oom(rd->err);
        add_part(m, prompt);
        if (suffix.len > 0)
            add_part(m, suffix);
    }
    return true;
}

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
    if (v == NULL || yyjson_is_false(v) || (yyjson_is_str(v) && level.len == 0))
        return true;
    if (!yyjson_is_true(v) && !strv_eq_cstr(level, "low") && !strv_eq_cstr(level, "medium") &&
        !strv_eq_cstr(level, "high") && !strv_eq_cstr(level, "max"))
        return invalid(rd, "think", "must be true, false, low, medium, high or max");
    beyond(rd, DIALECT_LOSS_REASONING);
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

/* Every root member has a row; one without is kept for an Ollama upstream and lost for any other. */
static bool read_others(struct reading *rd, yyjson_val *root)
{
    static const struct {
        const char *key;
        bool refused;
        const char *what;
    } rows[] = {
        {"model", false, NULL},
        {"messages", false, NULL},
        {"prompt", false, NULL},
        {"system", false, NULL},
        {"suffix", false, NULL},
        {"template", false, NULL},
        {"context", false, NULL},
        {"raw", false, NULL},
        {"stream", false, NULL},
        {"options", false, NULL},
        {"think", false, NULL},
        {"logprobs", false, NULL},
        {"top_logprobs", false, NULL},
        {"keep_alive", false,
         NULL}, /* these three are about Ollama's memory, not about the answer */
        {"truncate", false, NULL},
        {"shift", false, NULL},
        {"format", true, "structured output cannot be served"},
        {"tools", true, "tools cannot be served"},
        {"images", true, "images cannot be served"},
    };
    size_t at, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, at, n, key, value)
    {
        size_t i = 0;
        while (i < sizeof rows / sizeof *rows && !strv_eq_cstr(json_str(key), rows[i].key))
            i++;
        if (i == sizeof rows / sizeof *rows) {
            if (!yyjson_is_null(value))
                beyond(rd, DIALECT_LOSS_OTHER);
        } else if (rows[i].refused && !dialect_is_nothing(value)) {
            return unsupported(rd, rows[i].key, rows[i].what);
        }
    }
    return true;
}

bool ollama_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.dialect = LLM_OLLAMA, .op = op, .choices = 1, .stream = true};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    return read_text(&rd, root, "model", "model", &out->model) &&
           (op == LLM_OP_GENERATE ? read_prompt(&rd, root) : read_messages(&rd, root)) &&
           read_options(&rd, json_get(root, "options")) &&
           dialect_decode_bool(root, "stream", &out->stream, err) &&
           read_think(&rd, json_get(root, "think")) && read_logprobs(&rd, root) &&
           read_others(&rd, root);
}

/* ---- the request to an upstream ---- */

/* The target's limit where the caller set none (or none that counts), cut to what the model can; 0 = the
 * caller's own stays as it is. */
static int64_t limit(const struct llm_request *r, const struct dialect_target *t)
{
    bool own = llm_has(r, LLM_P_MAX_TOKENS);
    int64_t n = own ? (int64_t)r->params[LLM_P_MAX_TOKENS] : t->max_tokens_default;
    if (t->max_tokens_cap > 0 && n > t->max_tokens_cap)
        return t->max_tokens_cap;
    return own ? 0 : n;
}

static void put_member(struct buf *out, bool *first, const char *key, int64_t n)
{
    if (n <= 0)
        return;
    json_put_key(out, first, key);
    buf_put_i64(out, n);
}

/* The caller's options again, with the two that the target may set. */
static void put_own_options(struct buf *out, yyjson_val *options, int64_t num_ctx,
                            int64_t num_predict, struct arena *arena)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(options); /* options may be absent */
    yyjson_val *key;
    bool first = true;
    PUT(out, "{");
    put_member(out, &first, "num_ctx", num_ctx);
    put_member(out, &first, "num_predict", num_predict);
    while ((key = yyjson_obj_iter_next(&each)) != NULL) {
        if ((num_ctx > 0 && strv_eq_cstr(json_str(key), "num_ctx")) ||
            (num_predict > 0 && strv_eq_cstr(json_str(key), "num_predict")))
            continue;
        if (!first)
            PUT(out, ",");
        first = false;
        json_put_str(out, json_str(key));
        PUT(out, ":");
        json_put_val(out, yyjson_obj_iter_get_val(key), arena);
    }
    PUT(out, "}");
}

static bool edit_own(const struct llm_request *r, const struct dialect_target *t,
                     struct arena *arena, struct buf *out)
{
    struct dialect_edit edits[2];
    size_t n = 0;
    yyjson_val *root = r->body.root, *options = json_get(root, "options");
    yyjson_val *stream = json_get(root, "stream");
    int64_t num_predict = limit(r, t);
    int64_t num_ctx = json_get(options, "num_ctx") == NULL ? t->num_ctx : 0;
    struct buf text;
    /* Escapes and numbers may be spelled longer than they came, never by more than six times. */
    buf_init(&text, 6 * r->body.text.len + 128);
    if (stream == NULL || yyjson_get_bool(stream) != t->stream)
        edits[n++] = (struct dialect_edit){"stream", t->stream ? STRV("true") : STRV("false")};
    if (num_ctx > 0 || num_predict > 0) {
        put_own_options(&text, options, num_ctx, num_predict, arena);
        edits[n++] = (struct dialect_edit){"options", buf_view(&text)};
    }
    bool ok = !text.failed && dialect_edit_body(r, t->model, edits, n, arena, out);
    buf_fini(&text);
    return ok;
}

/* Ollama takes one string a message. Blocks of a system prompt are paragraphs of their own. */
static void put_messages(const struct llm_request *r, struct buf *out)
{
    PUT(out, ",\"messages\":[");
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct llm_message *m = &r->messages[i];
        buf_put_cstr(out, i > 0 ? ",{\"role\":\"" : "{\"role\":\"");
        buf_put_cstr(out, llm_role_name(m->role));
        PUT(out, "\",\"content\":\"");
        for (size_t k = 0; k < m->n_parts; k++) {
            if (k > 0)
                buf_put_cstr(out, m->role == LLM_SYSTEM ? "\\n\\n" : "\\n");
            json_put_esc(out, m->parts[k].text);
        }
        PUT(out, "\"}");
    }
    PUT(out, "]");
}

static void put_stops(const struct llm_request *r, struct buf *out, bool *first)
{
    if (r->n_stops == 0)
        return;
    json_put_key(out, first, "stop");
    for (size_t i = 0; i < r->n_stops; i++) {
        buf_put_cstr(out, i > 0 ? "," : "[");
        json_put_str(out, r->stops[i]);
    }
    PUT(out, "]");
}

static void put_options(const struct llm_request *r, const struct dialect_target *t,
                        struct buf *out, uint32_t *losses)
{
    bool first = true;
    int64_t num_predict = limit(r, t);
    PUT(out, ",\"options\":{");
    put_member(out, &first, "num_ctx", t->num_ctx);
    put_member(out, &first, "num_predict", num_predict);
    for (int p = 0; p < LLM_PARAMS; p++) {
        const char *name = llm_params[p].name[LLM_OLLAMA];
        if (!llm_has(r, (enum llm_param)p) || (p == LLM_P_MAX_TOKENS && num_predict > 0))
            continue;
        if (name == NULL) {
            *losses |= 1u << p;
            continue;
        }
        json_put_key(out, &first, name);
        if (llm_params[p].kind == LLM_KIND_INT)
            buf_put_i64(out, (int64_t)r->params[p]);
        else
            json_put_num(out, r->params[p]);
    }
    put_stops(r, out, &first);
    PUT(out, "}");
}

static bool translate(const struct llm_request *r, const struct dialect_target *t, struct buf *out,
                      uint32_t *losses, struct err *err)
{
    if (r->needs != 0)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, llm_need_field(r->needs),
                           "an Ollama provider cannot serve this");
    *losses |= r->untranslated;
    if (r->user.len > 0)
        *losses |= 1u << DIALECT_LOSS_USER;
    PUT(out, "{\"model\":");
    json_put_str(out, t->model);
    put_messages(r, out);
    buf_put_cstr(out, t->stream ? ",\"stream\":true" : ",\"stream\":false");
    put_options(r, t, out, losses);
    return PUT(out, "}");
}

bool ollama_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err)
{
    *losses = 0;
    if (t->no_prefill && r->n_messages > 0 && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                           "the model does not continue a last message of the assistant");
    bool ok =
        r->dialect == LLM_OLLAMA ? edit_own(r, t, arena, out) : translate(r, t, out, losses, err);
    if (!ok && !err->set)
        return err_oom(err);
    return ok;
}
