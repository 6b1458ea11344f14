/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_request - chat completions, the question: bytes to llm_request and back.
 *
 *   caller's body --> members we know ----> llm_request --> a fresh body      (from another dialect)
 *        |            members we refuse       |
 *        |            members we ignore       +-----------> the caller's body with model, stream and
 *        +---------------------------------------------->   limits replaced   (from this dialect)
 *
 * What changes the meaning of the answer and cannot be served is refused by name; what is only a hint
 * (metadata, service_tier, reasoning_effort, ...) goes on to an OpenAI upstream and is counted as lost on
 * the way to any other.
 */
#include "dialect/openai.h"

#include <stdio.h>

#define CHOICES_MAX    128 /* OpenAI's own limit */
#define USER_BYTES_MAX 64  /* OpenAI refuses a longer `user`; Claude Code's id is a page of JSON */

/* ---- messages ---- */

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

static bool invalid(struct err *err, struct place at, const char *what)
{
    return dialect_bad(err, LLM_ERR_INVALID_REQUEST, at.text, what);
}

static bool unsupported(struct err *err, struct place at, const char *what)
{
    return dialect_bad(err, LLM_ERR_UNSUPPORTED, at.text, what);
}

static bool decode_role(yyjson_val *message, size_t i, enum llm_role *role, struct err *err)
{
    yyjson_val *v = json_get(message, "role");
    if (v == NULL)
        return invalid(err, place(i, ".role"), "is required");
    strv name = json_str(v);
    if (strv_eq_cstr(name, "user"))
        *role = LLM_USER;
    else if (strv_eq_cstr(name, "assistant"))
        *role = LLM_ASSISTANT;
    else if (strv_eq_cstr(name, "system") || strv_eq_cstr(name, "developer"))
        *role = LLM_SYSTEM;
    else if (strv_eq_cstr(name, "tool") || strv_eq_cstr(name, "function"))
        return unsupported(err, place(i, ".role"), "results of tools are not supported");
    else
        return invalid(err, place(i, ".role"),
                       "must be one of system, developer, user, assistant, tool");
    return true;
}

static bool decode_part(yyjson_val *v, size_t i, size_t k, enum llm_role role,
                        struct llm_part *part, struct err *err)
{
    if (!yyjson_is_obj(v))
        return invalid(err, place_part(i, k, ""), "must be an object");
    strv type = json_get_str(v, "type");
    const char *member = "text";
    if (type.ptr == NULL)
        return invalid(err, place_part(i, k, ".type"), "must be a string");
    if (role == LLM_ASSISTANT && strv_eq_cstr(type, "refusal"))
        member = "refusal";
    else if (strv_eq_cstr(type, "image_url"))
        return unsupported(err, place_part(i, k, ".type"), "images are not supported");
    else if (strv_eq_cstr(type, "input_audio"))
        return unsupported(err, place_part(i, k, ".type"), "audio is not supported");
    else if (strv_eq_cstr(type, "file"))
        return unsupported(err, place_part(i, k, ".type"), "files are not supported");
    else if (!strv_eq_cstr(type, "text"))
        return invalid(err, place_part(i, k, ".type"), "is not a known kind of part");
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_get_str(v, member)};
    if (part->text.ptr == NULL)
        return invalid(err, place_part(i, k, member[0] == 't' ? ".text" : ".refusal"),
                       "must be a string");
    return true;
}

static bool decode_content(yyjson_val *message, size_t i, struct llm_message *m,
                           struct arena *arena, struct err *err)
{
    yyjson_val *content = json_get(message, "content");
    /* An assistant that refused has its words beside an empty content. */
    if (content == NULL && m->role == LLM_ASSISTANT)
        content = yyjson_is_str(json_get(message, "refusal")) ? json_get(message, "refusal") : NULL;
    size_t n = yyjson_is_arr(content) ? yyjson_arr_size(content) : content != NULL ? 1 : 0;
    if (content != NULL && !yyjson_is_str(content) && !yyjson_is_arr(content))
        return invalid(err, place(i, ".content"), "must be a string or an array of parts");
    if (n == 0 && m->role != LLM_ASSISTANT)
        return invalid(err, place(i, ".content"),
                       content == NULL ? "must be a string or an array of parts"
                                       : "must not be an empty array");
    m->parts = ARENA_ARRAY(arena, struct llm_part, n + 1);
    if (m->parts == NULL)
        return err_oom(err);
    m->n_parts = n;
    if (yyjson_is_str(content))
        m->parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(content)};
    if (!yyjson_is_arr(content))
        return true;
    size_t k, max;
    yyjson_val *part;
    yyjson_arr_foreach(content, k, max, part)
    {
        if (!decode_part(part, i, k, m->role, &m->parts[k], err))
            return false;
    }
    return true;
}

/* Present and not just an empty list: `tools: []` is what some clients send for "none". */
static bool filled(yyjson_val *v)
{
    return v != NULL && !(yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0);
}

static bool decode_message(struct llm_request *r, yyjson_val *v, size_t i, struct arena *arena,
                           struct err *err)
{
    struct llm_message *m = &r->messages[r->n_messages];
    if (!yyjson_is_obj(v))
        return invalid(err, place(i, ""), "must be an object");
    if (!decode_role(v, i, &m->role, err))
        return false;
    if (filled(json_get(v, "tool_calls")))
        return unsupported(err, place(i, ".tool_calls"), "tool calls are not supported");
    if (filled(json_get(v, "function_call")))
        return unsupported(err, place(i, ".function_call"), "tool calls are not supported");
    if (filled(json_get(v, "audio")))
        return unsupported(err, place(i, ".audio"), "audio is not supported");
    if (!decode_content(v, i, m, arena, err))
        return false;
    if (json_get(v, "name") != NULL)
        r->untranslated |= 1u << DIALECT_LOSS_NAME;
    if (filled(json_get(v, "reasoning_content")) || filled(json_get(v, "reasoning")))
        r->untranslated |= 1u << DIALECT_LOSS_REASONING;
    r->n_messages++;
    return true;
}

bool dialect_decode_messages(struct llm_request *r, yyjson_val *messages, struct arena *arena,
                             struct err *err)
{
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(messages, i, max, one)
    {
        if (!decode_message(r, one, i, arena, err))
            return false;
    }
    return true;
}

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

/* ---- the other members ---- */

/* Members that ask for what this program cannot give yet. */
static bool refuse_unsupported(yyjson_val *root, struct err *err)
{
    static const struct {
        const char *member, *what;
    } rows[] = {
        {"tools", "tools are not supported"},
        {"functions", "tools are not supported"},
        {"audio", "audio is not supported"},
        {"prediction", "predicted output is not supported"},
        {"web_search_options", "web search is not supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (filled(json_get(root, rows[i].member)))
            return dialect_bad(err, LLM_ERR_UNSUPPORTED, rows[i].member, rows[i].what);

    static const char *const choosers[] = {"tool_choice", "function_call"};
    for (size_t i = 0; i < sizeof choosers / sizeof *choosers; i++) {
        yyjson_val *choice = json_get(root, choosers[i]);
        strv word = json_str(choice); /* without tools "none" and "auto" ask for nothing */
        if (choice != NULL && !strv_eq_cstr(word, "none") && !strv_eq_cstr(word, "auto"))
            return dialect_bad(err, LLM_ERR_UNSUPPORTED, choosers[i], "tools are not supported");
    }

    yyjson_val *format = json_get(root, "response_format");
    if (format != NULL && !yyjson_is_obj(format))
        return dialect_bad(err, LLM_ERR_INVALID_REQUEST, "response_format", "must be an object");
    if (format != NULL && !strv_eq_cstr(json_get_str(format, "type"), "text"))
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "response_format",
                           "only the type \"text\" is supported");

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
                                        "repetition_penalty"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    for (size_t p = 0; p < LLM_PARAMS; p++)
        if (llm_params[p].name[LLM_OPENAI] != NULL &&
            strv_eq_cstr(name, llm_params[p].name[LLM_OPENAI]))
            return true;
    return false;
}

static void note_untranslated(struct llm_request *r, yyjson_val *root)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, i, max, key, value)
    {
        if (!yyjson_is_null(value) && !openai_is_known(json_str(key)))
            r->untranslated |= 1u << DIALECT_LOSS_OTHER;
    }
}

bool openai_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err)
{
    if (op == LLM_OP_GENERATE)
        return openai_decode_completion(body, arena, out, err);
    *out = (struct llm_request){.dialect = LLM_OPENAI, .op = op, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root;
    if (!openai_decode_names(out, root, err) || !decode_conversation(out, root, arena, err) ||
        !refuse_unsupported(root, err) || !openai_decode_limits(out, root, err) ||
        !decode_choices(out, root, err) || !openai_decode_stream(out, root, err) ||
        !dialect_decode_stops(out, json_get(root, "stop"), "stop", OPENAI_STOPS_MAX, arena, err))
        return false;
    note_untranslated(out, root);
    return true;
}

/* ---- towards an upstream of the same dialect: the caller's own bytes ---- */

#define EDITS_MAX 8

struct edits {
    struct dialect_edit rows[EDITS_MAX];
    size_t n;
};

static void edit(struct edits *e, const char *key, const char *json)
{
    if (e->n < EDITS_MAX)
        e->rows[e->n++] = (struct dialect_edit){key, strv_of(json)}; /* NULL: arena->failed */
}

static void edit_num(struct edits *e, const char *key, double value, struct arena *arena)
{
    struct buf text;
    buf_init(&text, 64);
    if (!json_put_num(&text, value))
        arena->failed = true;
    edit(e, key, arena_cstr(arena, buf_view(&text)));
    buf_fini(&text);
}

static void put_other_options(struct buf *b, yyjson_val *options, struct arena *arena)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(options, i, max, key, value)
    {
        if (strv_eq_cstr(json_str(key), "include_usage"))
            continue;
        buf_put_char(b, ',');
        json_put_str(b, json_str(key));
        buf_put_char(b, ':');
        json_put_val(b, value, arena);
    }
}

static void edit_stream(struct edits *e, const struct llm_request *r, bool stream,
                        struct arena *arena)
{
    yyjson_val *options = json_get(r->body.root, "stream_options");
    if (stream != r->stream)
        edit(e, "stream", stream ? "true" : "false");
    if (!stream) {
        if (options != NULL && r->stream) /* only allowed beside stream:true */
            edit(e, "stream_options", "null");
        return;
    }
    if (yyjson_get_bool(json_get(options, "include_usage")))
        return;
    /* Usage is always asked for, so that it is always known; what the caller did not ask for is not
     * passed on to it. */
    struct buf whole;
    buf_init(&whole, r->body.text.len + 64);
    buf_put_cstr(&whole, "{\"include_usage\":true");
    if (options != NULL)
        put_other_options(&whole, options, arena);
    buf_put_char(&whole, '}');
    if (whole.failed)
        arena->failed = true;
    edit(e, "stream_options", arena_cstr(arena, buf_view(&whole)));
    buf_fini(&whole);
}

static void edit_limits(struct edits *e, const struct llm_request *r,
                        const struct dialect_target *t, struct arena *arena)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    yyjson_val *root = r->body.root;
    const char *name = t->completion_tokens ? names[0] : names[1];
    if (!llm_has(r, LLM_P_MAX_TOKENS)) {
        if (t->max_tokens_default > 0)
            edit_num(e, name, (double)t->max_tokens_default, arena);
        return;
    }
    /* OpenAI's reasoning models refuse the old name. */
    bool rename = t->completion_tokens && json_get(root, names[0]) == NULL;
    int64_t asked = (int64_t)r->params[LLM_P_MAX_TOKENS];
    bool above = t->max_tokens_cap > 0 && asked > t->max_tokens_cap;
    if (above)
        asked = t->max_tokens_cap;
    if (rename) {
        edit_num(e, names[0], (double)asked, arena);
        edit(e, names[1], "null");
        return;
    }
    for (size_t i = 0; above && i < 2; i++)
        if (json_get(root, names[i]) != NULL)
            edit_num(e, names[i], (double)asked, arena);
}

static bool encode_same(const struct llm_request *r, const struct dialect_target *t,
                        struct arena *arena, struct buf *out, struct err *err)
{
    struct edits e = {.n = 0};
    edit_stream(&e, r, t->stream, arena);
    edit_limits(&e, r, t, arena);
    /* vLLM and llama-server each know one name only, and ignore the other without a word. */
    const char *penalty = t->repetition_penalty ? "repetition_penalty" : "repeat_penalty";
    if (llm_has(r, LLM_P_REPEAT_PENALTY) && json_get(r->body.root, penalty) == NULL)
        edit_num(&e, penalty, r->params[LLM_P_REPEAT_PENALTY], arena);
    if (arena->failed || !dialect_edit_body(r, t->model, e.rows, e.n, arena, out))
        return err_oom(err);
    return true;
}

/* ---- towards an upstream of this dialect, from another one: a fresh body ---- */

static void put_messages(const struct llm_request *r, struct buf *out)
{
    buf_put_cstr(out, ",\"messages\":[");
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct llm_message *m = &r->messages[i];
        buf_put_cstr(out, i == 0 ? "{\"role\":\"" : ",{\"role\":\"");
        buf_put_cstr(out, llm_role_name(m->role));
        buf_put_cstr(out, "\",\"content\":\"");
        /* One string, not parts: many chat templates take nothing else (translation.md 17). */
        for (size_t k = 0; k < m->n_parts; k++) {
            if (k > 0)
                json_put_esc(out, m->role == LLM_SYSTEM ? STRV("\n\n") : STRV("\n"));
            json_put_esc(out, m->parts[k].text);
        }
        buf_put_cstr(out, "\"}");
    }
    buf_put_char(out, ']');
}

static const char *param_name(enum llm_param p, const struct dialect_target *t)
{
    if (p == LLM_P_MAX_TOKENS && t->completion_tokens)
        return "max_completion_tokens";
    if (p == LLM_P_REPEAT_PENALTY && t->repetition_penalty)
        return "repetition_penalty";
    return llm_params[p].name[LLM_OPENAI];
}

static void put_params(const struct llm_request *r, const struct dialect_target *t, struct buf *out,
                       uint32_t *losses)
{
    for (int i = 0; i < LLM_PARAMS; i++) {
        enum llm_param p = (enum llm_param)i;
        bool set = llm_has(r, p);
        double value = set ? r->params[p] : 0;
        if (p == LLM_P_MAX_TOKENS && !set && t->max_tokens_default > 0) {
            set = true;
            value = (double)t->max_tokens_default;
        }
        if (p == LLM_P_MAX_TOKENS && t->max_tokens_cap > 0 && value > (double)t->max_tokens_cap)
            value = (double)t->max_tokens_cap;
        if (!set)
            continue;
        if (t->no_sampling && (p == LLM_P_TEMPERATURE || p == LLM_P_TOP_P || p == LLM_P_TOP_K)) {
            *losses |= 1u << p;
            continue;
        }
        bool first = false;
        json_put_key(out, &first, param_name(p, t));
        if (llm_params[p].kind == LLM_KIND_INT)
            buf_put_i64(out, (int64_t)value);
        else
            json_put_num(out, value);
    }
}

static void put_stops(const struct llm_request *r, struct buf *out)
{
    if (r->n_stops == 0)
        return;
    buf_put_cstr(out, ",\"stop\":[");
    for (size_t i = 0; i < r->n_stops; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_put_str(out, r->stops[i]);
    }
    buf_put_char(out, ']');
}

static bool encode_fresh(const struct llm_request *r, const struct dialect_target *t,
                         struct buf *out, uint32_t *losses, struct err *err)
{
    *losses |= r->untranslated;
    buf_put_cstr(out, "{\"model\":");
    json_put_str(out, t->model);
    put_messages(r, out);
    put_params(r, t, out, losses);
    put_stops(r, out);
    if (r->user.len > USER_BYTES_MAX) {
        *losses |= 1u << DIALECT_LOSS_USER;
    } else if (r->user.len > 0) {
        buf_put_cstr(out, ",\"user\":");
        json_put_str(out, r->user);
    }
    if (t->stream)
        buf_put_cstr(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    buf_put_char(out, '}');
    return out->failed ? err_oom(err) : true;
}

bool openai_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err)
{
    *losses = 0;
    if (t->no_prefill && r->n_messages > 0 && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                           "the model does not continue a last message of the assistant");
    if (r->dialect == LLM_OPENAI)
        return encode_same(r, t, arena, out, err);
    return encode_fresh(r, t, out, losses, err);
}
