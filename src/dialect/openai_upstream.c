/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_upstream - chat completions, the question: llm_request to the bytes for an upstream.
 *
 *   the caller's own bytes    from this dialect: with model, stream and limits replaced, and what the target
 *                             cannot take as it is (ids, a forced choice)
 *   a fresh body              from another dialect, or when the request was changed
 *
 *   canonical                         fresh body
 *   user: RESULT a, RESULT b, TEXT    {tool a} {tool b} {user TEXT}
 *   user: RESULT with IMAGE           {tool: "[... the next message]"} {user IMAGE}     after all tools
 *   assistant: REASONING TEXT CALL    {assistant content, tool_calls, reasoning where the server reads it}
 *
 * A content is one string wherever it can be: many chat templates take nothing else (translation.md 17).
 * Schemas and arguments are the caller's own bytes.
 */
#include "dialect/openai.h"
#include "dialect/reading.h"

#define USER_BYTES_MAX 64 /* OpenAI refuses a longer `user`; Claude Code's id is a page of JSON */

struct writer {
    const struct llm_request *r;
    const struct dialect_target *t;
    struct arena *arena;
    struct buf *out;
    uint32_t *losses;
    bool own; /* the caller's bytes go on: names come back in the upstream's bytes, so they stay */
    bool first;                      /* message of the list */
    const struct llm_message *shown; /* images of its results are still to be shown */
};

static void lose(struct writer *w, enum dialect_loss loss)
{
    *w->losses |= 1u << loss;
}

static strv tool_name(struct writer *w, strv name)
{
    return w->t->short_names && !w->own ? llm_tool_name_for(name, w->arena) : name;
}

static strv call_id(struct writer *w, strv id)
{
    return llm_id_for(w->t->ids, id, w->arena);
}

/* ---- what both ways have in common ---- */

static void put_tools(struct writer *w, struct buf *out)
{
    buf_put_char(out, '[');
    for (size_t i = 0; i < w->r->n_tools; i++) {
        const struct llm_tool *tool = &w->r->tools[i];
        buf_put_cstr(out, i > 0 ? ",{\"type\":\"function\",\"function\":{\"name\":"
                                : "{\"type\":\"function\",\"function\":{\"name\":");
        json_put_str(out, tool_name(w, tool->name));
        if (tool->description.len > 0) {
            buf_put_cstr(out, ",\"description\":");
            json_put_str(out, tool->description);
        }
        buf_put_cstr(out, ",\"parameters\":");
        buf_put_strv(out, tool->schema.len > 0 ? tool->schema
                                               : STRV("{\"type\":\"object\",\"properties\":{}}"));
        if (tool->strict)
            buf_put_cstr(out, ",\"strict\":true");
        buf_put_cstr(out, "}}");
    }
    buf_put_char(out, ']');
}

static bool is_forced(const struct llm_request *r)
{
    return r->choose == LLM_CHOOSE_ANY || r->choose == LLM_CHOOSE_ONE;
}

/* The model is known not to think: a wish for it would be refused. */
static bool vain_effort(const struct writer *w)
{
    return w->t->no_thinking && w->r->effort > LLM_EFFORT_NONE;
}

/* Any object: for servers that take schemas, but not the plain mode. */
#define ANY_OBJECT                                                                                 \
    "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{\"type\":"         \
    "\"object\"}}}"

/* ---- towards an upstream of the same dialect: the caller's own bytes ---- */

#define EDITS_MAX 16

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

/* The messages as they came, with some of their strings replaced. */
struct rewrite {
    struct writer *w;
    struct buf text;
    size_t done; /* of the body, up to where it is copied */
    bool changed;
};

static void replace(struct rewrite *rw, yyjson_val *v, strv with)
{
    const struct json *doc = &rw->w->r->body;
    size_t at, len;
    if (!yyjson_is_str(v) || strv_eq(json_str(v), with) || !json_span(doc, v, &at, &len))
        return;
    buf_put(&rw->text, doc->text.ptr + rw->done, at - rw->done);
    json_put_str(&rw->text, with);
    rw->done = at + len;
    rw->changed = true;
}

static void rewrite_calls(struct rewrite *rw, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *call;
    yyjson_arr_foreach(list, i, max, call)
    {
        yyjson_val *id = json_get(call, "id");
        if (yyjson_is_str(id))
            replace(rw, id, call_id(rw->w, json_str(id)));
    }
}

/* vLLM reads `reasoning`, llama-server `reasoning_content`; a client gives back what it got elsewhere. */
static void rewrite_reasoning(struct rewrite *rw, yyjson_val *message, yyjson_val *key)
{
    const char *field = rw->w->t->reasoning_field;
    if (field != NULL && json_get(message, field) == NULL)
        replace(rw, key, strv_of(field));
}

static void rewrite_message(struct rewrite *rw, yyjson_val *message)
{
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(message, i, max, key, value)
    {
        strv name = json_str(key);
        if (strv_eq_cstr(name, "tool_calls"))
            rewrite_calls(rw, value);
        else if (strv_eq_cstr(name, "tool_call_id") && yyjson_is_str(value))
            replace(rw, value, call_id(rw->w, json_str(value)));
        else if (yyjson_get_len(value) > 0 &&
                 (strv_eq_cstr(name, "reasoning") || strv_eq_cstr(name, "reasoning_content")))
            rewrite_reasoning(rw, message, key);
    }
}

/* Ids that the target would refuse, and the name of reasoning that it reads. */
static void edit_history(struct edits *e, struct writer *w)
{
    const struct json *doc = &w->r->body;
    yyjson_val *one;
    struct rewrite rw = {.w = w};
    size_t i, max;
    strv raw;
    if (!json_raw_member(doc, doc->root, "messages", &raw))
        return;
    buf_init(&rw.text, 2 * doc->text.len + 4096);
    size_t from = (size_t)(raw.ptr - doc->text.ptr);
    rw.done = from;
    yyjson_arr_foreach(json_get(doc->root, "messages"), i, max, one)
    {
        rewrite_message(&rw, one);
    }
    if (rw.changed) { /* seldom; else nothing is copied */
        buf_put(&rw.text, doc->text.ptr + rw.done, from + raw.len - rw.done);
        edit(e, "messages", arena_cstr(w->arena, buf_view(&rw.text)));
    }
    if (rw.text.failed)
        w->arena->failed = true;
    buf_fini(&rw.text);
}

static void edit_narrowed(struct edits *e, struct writer *w)
{
    struct buf tools;
    buf_init(&tools, 2 * w->r->body.text.len + 4096);
    put_tools(w, &tools);
    if (tools.failed)
        w->arena->failed = true;
    edit(e, "tools", arena_cstr(w->arena, buf_view(&tools)));
    buf_fini(&tools);
}

/* A choice that the target refuses becomes auto. */
static void edit_choice(struct edits *e, struct writer *w)
{
    yyjson_val *choice = json_get(w->r->body.root, "tool_choice");
    if (choice == NULL || !w->t->no_forced_tools || !is_forced(w->r))
        return;
    lose(w, DIALECT_LOSS_TOOL_CHOICE);
    edit(e, "tool_choice", "\"auto\"");
    if (yyjson_is_obj(choice) && w->r->choose == LLM_CHOOSE_ANY) /* allowed_tools */
        edit_narrowed(e, w);
}

static bool encode_same(struct writer *w, struct err *err)
{
    const struct llm_request *r = w->r;
    struct edits e = {.n = 0};
    edit_stream(&e, r, w->t->stream, w->arena);
    edit_limits(&e, r, w->t, w->arena);
    /* vLLM and llama-server each know one name only, and ignore the other without a word. */
    const char *penalty = w->t->repetition_penalty ? "repetition_penalty" : "repeat_penalty";
    if (llm_has(r, LLM_P_REPEAT_PENALTY) && json_get(r->body.root, penalty) == NULL)
        edit_num(&e, penalty, r->params[LLM_P_REPEAT_PENALTY], w->arena);
    if (r->op == LLM_OP_CHAT) {
        if (w->t->logprobs)
            edit(&e, "logprobs", "true");
        edit_choice(&e, w);
        if ((r->has_history && w->t->ids != LLM_IDS_ANY) || w->t->reasoning_field != NULL)
            edit_history(&e, w);
        if (w->t->no_json_mode && r->format == LLM_FORMAT_JSON)
            edit(&e, "response_format", ANY_OBJECT);
        if (vain_effort(w) && json_get(r->body.root, "reasoning_effort") != NULL) {
            edit(&e, "reasoning_effort", "null");
            lose(w, DIALECT_LOSS_EFFORT);
        }
    }
    if (w->arena->failed || !dialect_edit_body(r, w->t->model, e.rows, e.n, w->arena, w->out))
        return err_oom(err);
    return true;
}

/* ---- a fresh body: messages ---- */

static bool is_media(const struct llm_part *p)
{
    return p->kind == LLM_PART_IMAGE || p->kind == LLM_PART_DOCUMENT || p->kind == LLM_PART_AUDIO ||
           p->kind == LLM_PART_LINK;
}

static size_t count_kind(const struct llm_message *m, enum llm_part_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_parts; i++)
        n += m->parts[i].kind == kind;
    return n;
}

static size_t count_media(const struct llm_part *parts, size_t n, bool in_results)
{
    size_t media = 0;
    for (size_t i = 0; i < n; i++)
        if (!in_results)
            media += is_media(&parts[i]);
        else if (parts[i].kind == LLM_PART_RESULT)
            media += count_media(parts[i].parts, parts[i].n_parts, false);
    return media;
}

static void put_role(struct writer *w, const char *role)
{
    buf_put_cstr(w->out, w->first ? "{\"role\":\"" : ",{\"role\":\"");
    buf_put_cstr(w->out, role);
    buf_put_cstr(w->out, "\",\"content\":");
    w->first = false;
}

/* All texts of a kind as one string. */
static void put_texts(struct writer *w, const struct llm_message *m, enum llm_part_kind kind,
                      strv between)
{
    bool first = true;
    buf_put_char(w->out, '"');
    for (size_t i = 0; i < m->n_parts; i++) {
        if (m->parts[i].kind != kind || m->parts[i].redacted)
            continue;
        if (!first)
            json_put_esc(w->out, between);
        json_put_esc(w->out, m->parts[i].text);
        first = false;
    }
    buf_put_char(w->out, '"');
}

static void put_media(struct writer *w, const struct llm_part *p)
{
    struct buf *out = w->out;
    if (p->kind == LLM_PART_AUDIO) {
        buf_put_cstr(out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":");
        json_put_str(out, p->data);
        buf_put_cstr(out, ",\"format\":");
        json_put_str(out, strv_ends(p->type, STRV("wav")) ? STRV("wav") : STRV("mp3"));
        buf_put_cstr(out, "}}");
        return;
    }
    if (p->kind == LLM_PART_LINK) {
        buf_put_cstr(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
        json_put_str(out, p->text);
        buf_put_cstr(out, "}}");
        return;
    }
    if (p->kind == LLM_PART_DOCUMENT) {
        buf_put_cstr(out, "{\"type\":\"file\",\"file\":{\"filename\":");
        json_put_str(out, p->title.len > 0 ? p->title : STRV("document.pdf"));
        buf_put_cstr(out, ",\"file_data\":\"data:");
    } else {
        buf_put_cstr(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
    }
    json_put_esc(out, p->type);
    buf_put_cstr(out, ";base64,");
    buf_put_strv(out, p->data);
    buf_put_cstr(out, "\"}}");
}

/* The parts of a user's message that are no results; `results`: those within its results instead. */
static void put_parts(struct writer *w, const struct llm_part *parts, size_t n, bool results,
                      bool *first)
{
    for (size_t i = 0; i < n; i++) {
        const struct llm_part *p = &parts[i];
        bool text = p->kind == LLM_PART_TEXT && p->text.len > 0; /* an empty one is refused */
        if (results && p->kind == LLM_PART_RESULT) {
            for (size_t k = 0; k < p->n_parts; k++)
                if (is_media(&p->parts[k]))
                    put_parts(w, &p->parts[k], 1, false, first);
        }
        if (results || (!text && !is_media(p)))
            continue;
        if (!*first)
            buf_put_char(w->out, ',');
        *first = false;
        if (!text) {
            put_media(w, p);
            continue;
        }
        buf_put_cstr(w->out, "{\"type\":\"text\",\"text\":");
        json_put_str(w->out, p->text);
        buf_put_char(w->out, '}');
    }
}

/* What the user says, after the images of the results before it. */
static void put_user(struct writer *w, const struct llm_message *m)
{
    static const struct llm_message none = {.role = LLM_USER};
    const struct llm_message *shown = w->shown != NULL ? w->shown : &none;
    size_t media =
        count_media(shown->parts, shown->n_parts, true) + count_media(m->parts, m->n_parts, false);
    bool first = true;
    put_role(w, "user");
    w->shown = NULL;
    if (media == 0) {
        put_texts(w, m, LLM_PART_TEXT, STRV("\n"));
    } else {
        buf_put_char(w->out, '[');
        put_parts(w, shown->parts, shown->n_parts, true, &first);
        put_parts(w, m->parts, m->n_parts, false, &first);
        buf_put_char(w->out, ']');
    }
    buf_put_char(w->out, '}');
}

static void put_result(struct writer *w, const struct llm_part *result)
{
    bool first = true;
    put_role(w, "tool");
    buf_put_char(w->out, '"');
    if (result->is_error) /* there is no member for it */
        json_put_esc(w->out, STRV("Error: "));
    if (result->made_up)
        json_put_esc(w->out, STRV(DIALECT_NO_RESULT));
    for (size_t i = 0; i < result->n_parts; i++) {
        const struct llm_part *p = &result->parts[i];
        if (!first)
            json_put_esc(w->out, STRV("\n"));
        first = false;
        json_put_esc(w->out,
                     is_media(p) ? STRV("[It follows in the user's next message.]") : p->text);
    }
    buf_put_cstr(w->out, "\",\"tool_call_id\":");
    json_put_str(w->out, call_id(w, result->id));
    buf_put_char(w->out, '}');
}

/* Images stand behind all tool messages of the turn, where a next message of the user's may be joined. */
static void put_results(struct writer *w, const struct llm_message *m)
{
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].kind == LLM_PART_RESULT)
            put_result(w, &m->parts[i]);
    if (count_media(m->parts, m->n_parts, true) > 0)
        w->shown = m;
    if (count_kind(m, LLM_PART_RESULT) < m->n_parts)
        put_user(w, m);
}

static void put_calls(struct writer *w, const struct llm_message *m)
{
    bool first = true;
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct llm_part *p = &m->parts[i];
        if (p->kind != LLM_PART_CALL)
            continue;
        buf_put_cstr(w->out, first ? ",\"tool_calls\":[{\"id\":" : ",{\"id\":");
        first = false;
        json_put_str(w->out, call_id(w, p->id));
        buf_put_cstr(w->out, ",\"type\":\"function\",\"function\":{\"name\":");
        json_put_str(w->out, tool_name(w, p->name));
        buf_put_cstr(w->out, ",\"arguments\":");
        json_put_str(w->out, strv_trim(p->text).len > 0 ? p->text : STRV("{}"));
        buf_put_cstr(w->out, "}}");
    }
    if (!first)
        buf_put_char(w->out, ']');
}

static void put_assistant(struct writer *w, const struct llm_message *m)
{
    size_t text = 0, reasoning = 0;
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct llm_part *p = &m->parts[i];
        text += p->kind == LLM_PART_TEXT ? p->text.len : 0;
        reasoning += p->kind == LLM_PART_REASONING && !p->redacted ? p->text.len : 0;
        if (p->kind == LLM_PART_REASONING && (p->redacted || w->t->reasoning_field == NULL))
            lose(w, DIALECT_LOSS_REASONING);
    }
    put_role(w, "assistant");
    if (text == 0 && count_kind(m, LLM_PART_CALL) > 0)
        buf_put_cstr(w->out, "null");
    else
        put_texts(w, m, LLM_PART_TEXT, STRV("\n"));
    if (reasoning > 0 && w->t->reasoning_field != NULL) {
        bool first = false;
        json_put_key(w->out, &first, w->t->reasoning_field);
        put_texts(w, m, LLM_PART_REASONING, STRV("\n"));
    }
    put_calls(w, m);
    buf_put_char(w->out, '}');
}

static void put_messages(struct writer *w)
{
    static const struct llm_message nothing = {.role = LLM_USER};
    buf_put_cstr(w->out, ",\"messages\":[");
    w->first = true;
    for (size_t i = 0; i < w->r->n_messages; i++) {
        const struct llm_message *m = &w->r->messages[i];
        bool results = m->role == LLM_USER && count_kind(m, LLM_PART_RESULT) > 0;
        if (w->shown != NULL && (m->role != LLM_USER || results))
            put_user(w, &nothing);
        if (m->role == LLM_SYSTEM) {
            put_role(w, "system");
            put_texts(w, m, LLM_PART_TEXT, STRV("\n\n"));
            buf_put_char(w->out, '}');
        } else if (m->role == LLM_ASSISTANT) {
            put_assistant(w, m);
        } else if (results) {
            put_results(w, m);
        } else {
            put_user(w, m);
        }
    }
    if (w->shown != NULL)
        put_user(w, &nothing);
    buf_put_char(w->out, ']');
}

/* ---- a fresh body: the other members ---- */

static const char *param_name(enum llm_param p, const struct dialect_target *t)
{
    if (p == LLM_P_MAX_TOKENS && t->completion_tokens)
        return "max_completion_tokens";
    if (p == LLM_P_REPEAT_PENALTY && t->repetition_penalty)
        return "repetition_penalty";
    return llm_params[p].name[LLM_OPENAI];
}

static void put_params(struct writer *w)
{
    const struct llm_request *r = w->r;
    const struct dialect_target *t = w->t;
    struct buf *out = w->out;
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
            *w->losses |= 1u << p;
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

static void put_choice(struct writer *w)
{
    const struct llm_request *r = w->r;
    if (r->n_tools == 0)
        return;
    buf_put_cstr(w->out, ",\"tools\":");
    put_tools(w, w->out);
    if (w->t->no_forced_tools && is_forced(r)) {
        lose(w, DIALECT_LOSS_TOOL_CHOICE);
    } else if (r->choose == LLM_CHOOSE_ONE) {
        buf_put_cstr(w->out, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":");
        json_put_str(w->out, tool_name(w, r->choose_name));
        buf_put_cstr(w->out, "}}");
    } else if (r->choose != LLM_CHOOSE_AUTO) {
        buf_put_cstr(w->out, r->choose == LLM_CHOOSE_ANY ? ",\"tool_choice\":\"required\""
                                                         : ",\"tool_choice\":\"none\"");
    }
    if (r->one_call)
        buf_put_cstr(w->out, ",\"parallel_tool_calls\":false");
}

static void put_format(struct writer *w)
{
    const struct llm_request *r = w->r;
    if (r->format == LLM_FORMAT_TEXT)
        return;
    buf_put_cstr(w->out, ",\"response_format\":");
    if (r->format == LLM_FORMAT_JSON) {
        buf_put_cstr(w->out, w->t->no_json_mode ? ANY_OBJECT : "{\"type\":\"json_object\"}");
        return;
    }
    buf_put_cstr(w->out, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
    json_put_str(w->out, r->schema_name.len > 0
                             ? llm_tool_name_for(r->schema_name, w->arena) /* the same rule */
                             : STRV("answer"));
    if (r->schema_description.len > 0) {
        buf_put_cstr(w->out, ",\"description\":");
        json_put_str(w->out, r->schema_description);
    }
    buf_put_cstr(w->out, ",\"schema\":");
    buf_put_strv(w->out, r->schema);
    buf_put_cstr(w->out, r->schema_strict ? ",\"strict\":true}}" : "}}");
}

/* A budget in tokens as the level that stands for as many (translation.md 1). */
static enum llm_effort effort_of(const struct llm_request *r)
{
    if (r->effort != LLM_EFFORT_ON)
        return r->effort;
    if (r->think_tokens >= 16000)
        return LLM_EFFORT_HIGH;
    return r->think_tokens > 0 && r->think_tokens < 4096 ? LLM_EFFORT_LOW : LLM_EFFORT_MEDIUM;
}

static void put_effort(struct writer *w)
{
    enum llm_effort effort = effort_of(w->r);
    if (effort == LLM_EFFORT_UNSET || (effort == LLM_EFFORT_NONE && w->t->no_thinking))
        return;
    if (!w->t->reasoning_effort || w->t->no_thinking) {
        lose(w, DIALECT_LOSS_EFFORT);
        return;
    }
    buf_put_cstr(w->out, ",\"reasoning_effort\":\"");
    buf_put_cstr(w->out, llm_effort_name(effort));
    buf_put_char(w->out, '"');
}

static void put_end_user(struct writer *w)
{
    if (w->r->user.len > USER_BYTES_MAX) {
        lose(w, DIALECT_LOSS_USER);
    } else if (w->r->user.len > 0) {
        buf_put_cstr(w->out, ",\"user\":");
        json_put_str(w->out, w->r->user);
    }
}

static bool is_raw(const struct writer *w, strv name)
{
    static const char *const names[] = {"logprobs", "top_logprobs", "logit_bias"};
    for (size_t i = w->t->logprobs ? 1 : 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return !openai_is_known(name);
}

/* A changed request of this dialect keeps what only its vendor knows; any other loses it. */
static void put_rest(struct writer *w)
{
    const struct llm_request *r = w->r;
    size_t i, max;
    yyjson_val *key, *value;
    if (r->dialect != LLM_OPENAI || r->op != w->t->op) {
        *w->losses |= r->untranslated;
        return;
    }
    *w->losses |= r->untranslated & (1u << DIALECT_LOSS_NAME | 1u << DIALECT_LOSS_DETAIL);
    if (r->choices > 1) {
        buf_put_cstr(w->out, ",\"n\":");
        buf_put_i64(w->out, r->choices);
    }
    yyjson_obj_foreach(r->body.root, i, max, key, value)
    {
        strv raw;
        if (yyjson_is_null(value) || !is_raw(w, json_str(key)) ||
            !json_raw_value(&r->body, key, &raw))
            continue;
        buf_put_char(w->out, ',');
        json_put_str(w->out, json_str(key));
        buf_put_char(w->out, ':');
        buf_put_strv(w->out, raw);
    }
}

static bool encode_fresh(struct writer *w, struct err *err)
{
    const struct llm_request *r = w->r;
    buf_put_cstr(w->out, "{\"model\":");
    json_put_str(w->out, w->t->model);
    put_messages(w);
    put_params(w);
    put_stops(r, w->out);
    put_choice(w);
    put_format(w);
    put_effort(w);
    put_end_user(w);
    put_rest(w);
    if (w->t->logprobs)
        buf_put_cstr(w->out, ",\"logprobs\":true");
    if (w->t->stream)
        buf_put_cstr(w->out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    buf_put_char(w->out, '}');
    return w->out->failed || w->arena->failed ? err_oom(err) : true;
}

/* An address of a document has no place in this dialect. */
static bool has_linked_document(const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((parts[i].kind == LLM_PART_LINK && strv_eq_cstr(parts[i].type, "document")) ||
            has_linked_document(parts[i].parts, parts[i].n_parts))
            return true;
    return false;
}

bool openai_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err)
{
    if (t->op == LLM_OP_EMBED)
        return openai_encode_embed(r, t, arena, out, losses, err);
    struct writer w = {.r = r, .t = t, .arena = arena, .out = out, .losses = losses};
    *losses = 0;
    if (t->no_prefill && r->n_messages > 0 && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                           "the model does not continue a last message of the assistant");
    w.own = r->dialect == LLM_OPENAI && r->op == t->op && !t->fresh;
    if (w.own)
        return encode_same(&w, err);
    for (size_t i = 0; i < r->n_messages; i++)
        if (has_linked_document(r->messages[i].parts, r->messages[i].n_parts))
            return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                               "the provider takes no documents by their address");
    return encode_fresh(&w, err);
}
