/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_target - a request to an Ollama: /api/chat, /api/generate, /api/embed, /api/embeddings.
 *
 * Of the same call: the caller's own bytes with model, stream, options, think and truncate replaced where
 * the target needs it. Else a body of its own, always a chat or a batch of inputs. `stream` is always
 * written. options.num_ctx is set and truncate:false added when the target says so, because Ollama cuts a
 * longer prompt without a word.
 *
 *   one message                            becomes
 *   user   RESULT a, RESULT b, TEXT, IMAGE   tool a, tool b, [user: pictures of a and b], user with images
 *   assistant  REASONING, TEXT, CALL         assistant with thinking, content, tool_calls
 *
 * `content` is one string always, arguments are objects. There is no way to force a call or to forbid a
 * second one: what comes nearest is written, and counted as a loss.
 */
#include "dialect/ollama.h"

#include "dialect/reading.h"

#define EDITS_MAX 4

struct writing {
    const struct llm_request *r;
    const struct dialect_target *t;
    struct arena *arena;
    struct buf *out;
    uint32_t *losses;
};

static void lost(struct writing *w, enum dialect_loss loss)
{
    *w->losses |= 1u << loss;
}

/* ---- options ---- */

/* The target's limit where the caller set none (or none that counts), cut to what the model can; 0 = the
 * caller's own stays as it is. */
static int64_t limit(const struct writing *w)
{
    bool own = llm_has(w->r, LLM_P_MAX_TOKENS);
    int64_t n = own ? (int64_t)w->r->params[LLM_P_MAX_TOKENS] : w->t->max_tokens_default;
    if (ollama_is_embed(w->t->op))
        return 0;
    if (w->t->max_tokens_cap > 0 && n > w->t->max_tokens_cap)
        return w->t->max_tokens_cap;
    return own ? 0 : n;
}

static void put_number(struct buf *out, bool *first, const char *key, int64_t n)
{
    if (n <= 0)
        return;
    json_put_key(out, first, key);
    buf_put_i64(out, n);
}

/* The caller's options again, with the two that the target may set. */
static void put_own_options(struct writing *w, struct buf *out, yyjson_val *options,
                            int64_t num_ctx, int64_t num_predict)
{
    yyjson_obj_iter each = yyjson_obj_iter_with(options); /* options may be absent */
    yyjson_val *key;
    bool first = true;
    PUT(out, "{");
    put_number(out, &first, "num_ctx", num_ctx);
    put_number(out, &first, "num_predict", num_predict);
    while ((key = yyjson_obj_iter_next(&each)) != NULL) {
        strv value;
        if ((num_ctx > 0 && strv_eq_cstr(json_str(key), "num_ctx")) ||
            (num_predict > 0 && strv_eq_cstr(json_str(key), "num_predict")) ||
            !json_raw_value(&w->r->body, key, &value))
            continue;
        if (!first)
            PUT(out, ",");
        first = false;
        json_put_str(out, json_str(key));
        PUT(out, ":");
        buf_put_strv(out, value);
    }
    PUT(out, "}");
}

static yyjson_val *own_options(const struct writing *w)
{
    return w->r->dialect == LLM_OLLAMA ? json_get(w->r->body.root, "options") : NULL;
}

/* Not for embeddings: each text must fit by itself, while the target looks at all of them, and every change
 * loads the model anew. */
static int64_t num_ctx(const struct writing *w)
{
    if (ollama_is_embed(w->t->op))
        return 0;
    return json_get(own_options(w), "num_ctx") == NULL ? w->t->num_ctx : 0;
}

static void put_stops(struct writing *w, bool *first)
{
    if (w->r->n_stops == 0)
        return;
    json_put_key(w->out, first, "stop");
    for (size_t i = 0; i < w->r->n_stops; i++) {
        buf_put_cstr(w->out, i > 0 ? "," : "[");
        json_put_str(w->out, w->r->stops[i]);
    }
    PUT(w->out, "]");
}

static void put_params(struct writing *w, bool *first, int64_t num_predict)
{
    for (int p = 0; p < LLM_PARAMS; p++) {
        const char *name = llm_params[p].name[LLM_OLLAMA];
        if (!llm_has(w->r, (enum llm_param)p) || (p == LLM_P_MAX_TOKENS && num_predict > 0))
            continue;
        if (name == NULL) {
            *w->losses |= 1u << p;
            continue;
        }
        json_put_key(w->out, first, name);
        if (llm_params[p].kind == LLM_KIND_INT)
            buf_put_i64(w->out, (int64_t)w->r->params[p]);
        else
            json_put_num(w->out, w->r->params[p]);
    }
}

static void put_options(struct writing *w)
{
    bool first = true;
    int64_t num_predict = limit(w);
    if (ollama_is_embed(w->t->op) && own_options(w) == NULL)
        return;
    PUT(w->out, ",\"options\":");
    if (w->r->dialect == LLM_OLLAMA) { /* a call of the same dialect may hold more than we know */
        put_own_options(w, w->out, own_options(w), num_ctx(w), num_predict);
        return;
    }
    PUT(w->out, "{");
    put_number(w->out, &first, "num_ctx", num_ctx(w));
    put_number(w->out, &first, "num_predict", num_predict);
    put_params(w, &first, num_predict);
    put_stops(w, &first);
    PUT(w->out, "}");
}

/* ---- thinking ---- */

/* gpt-oss thinks always, and takes three levels. */
static const char *level_of(enum llm_effort effort)
{
    if (effort == LLM_EFFORT_ON || effort == LLM_EFFORT_MEDIUM)
        return "\"medium\"";
    return effort < LLM_EFFORT_MEDIUM ? "\"low\"" : "\"high\"";
}

static void put_think(struct writing *w)
{
    enum llm_effort effort = w->r->effort;
    if (effort == LLM_EFFORT_UNSET)
        return;
    if (w->t->no_thinking) { /* Ollama refuses it with a 400 */
        if (effort != LLM_EFFORT_NONE)
            lost(w, DIALECT_LOSS_EFFORT);
        return;
    }
    PUT(w->out, ",\"think\":");
    if (w->t->levels_only)
        buf_put_cstr(w->out, level_of(effort));
    else
        buf_put_cstr(w->out, effort == LLM_EFFORT_NONE ? "false" : "true");
    if (w->t->levels_only ? effort == LLM_EFFORT_NONE : effort > LLM_EFFORT_ON)
        lost(w, DIALECT_LOSS_EFFORT);
}

/* What `think` must be instead of what the caller wrote; STRV_NONE = that. */
static strv think_instead(struct writing *w)
{
    yyjson_val *think = json_get(w->r->body.root, "think");
    if (w->t->no_thinking && w->r->effort > LLM_EFFORT_NONE) {
        lost(w, DIALECT_LOSS_EFFORT);
        return STRV("false");
    }
    if (!w->t->levels_only || w->t->no_thinking || !yyjson_is_bool(think))
        return STRV_NONE;
    if (w->r->effort == LLM_EFFORT_NONE)
        lost(w, DIALECT_LOSS_EFFORT);
    return strv_of(level_of(w->r->effort));
}

/* ---- the caller's own bytes ---- */

static bool edit_own(struct writing *w)
{
    struct dialect_edit edits[EDITS_MAX];
    size_t n = 0;
    const struct dialect_target *t = w->t;
    yyjson_val *root = w->r->body.root, *stream = json_get(root, "stream");
    int64_t num_predict = limit(w), ctx = num_ctx(w);
    strv think = think_instead(w);
    bool embed = ollama_is_embed(w->r->op);
    struct buf text;
    buf_init(&text, 6 * w->r->body.text.len + 128); /* keys may be spelled longer than they came */
    if (!embed && (stream == NULL || yyjson_get_bool(stream) != t->stream))
        edits[n++] = (struct dialect_edit){"stream", t->stream ? STRV("true") : STRV("false")};
    if (ctx > 0 || num_predict > 0) {
        put_own_options(w, &text, json_get(root, "options"), ctx, num_predict);
        edits[n++] = (struct dialect_edit){"options", buf_view(&text)};
    }
    if (think.ptr != NULL)
        edits[n++] = (struct dialect_edit){"think", think};
    /* Who embeds long texts through this very call counts on their being cut: only prompts are guarded. */
    if (t->no_truncate && !embed && json_get(root, "truncate") == NULL)
        edits[n++] = (struct dialect_edit){"truncate", STRV("false")};
    bool ok = !text.failed && dialect_edit_body(w->r, t->model, edits, n, w->arena, w->out);
    buf_fini(&text);
    return ok;
}

/* ---- messages ---- */

static bool is_picture(const struct llm_part *p)
{
    return p->kind == LLM_PART_IMAGE;
}

static size_t count(const struct llm_part *parts, size_t n, enum llm_part_kind kind)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += parts[i].kind == kind;
    return found;
}

/* Texts as the inside of one string. Blocks of a system prompt are paragraphs of their own. */
static void put_texts(struct buf *out, const struct llm_part *parts, size_t n, const char *between)
{
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].kind != LLM_PART_TEXT)
            continue;
        if (!first)
            buf_put_cstr(out, between);
        first = false;
        json_put_esc(out, parts[i].text);
    }
}

static void put_pictures(struct buf *out, const struct llm_part *parts, size_t n, bool *first)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_picture(&parts[i]))
            continue;
        buf_put_cstr(out, *first ? "\"" : ",\"");
        *first = false;
        buf_put_strv(out, parts[i].data); /* base64 */
        PUT(out, "\"");
    }
}

static void put_images(struct buf *out, const struct llm_part *parts, size_t n)
{
    bool first = true;
    if (count(parts, n, LLM_PART_IMAGE) == 0)
        return;
    PUT(out, ",\"images\":[");
    put_pictures(out, parts, n, &first);
    PUT(out, "]");
}

static strv name_for(struct writing *w, strv name)
{
    return w->t->short_names && name.len > 0 ? llm_tool_name_for(name, w->arena) : name;
}

static void put_call(struct writing *w, const struct llm_part *p, size_t index)
{
    buf_put_cstr(w->out, index > 0 ? ",{" : "{");
    if (p->id.len > 0) {
        PUT(w->out, "\"id\":");
        json_put_str(w->out, llm_id_for(w->t->ids, p->id, w->arena));
        PUT(w->out, ",");
    }
    PUT(w->out, "\"function\":{\"index\":");
    buf_put_u64(w->out, index);
    PUT(w->out, ",\"name\":");
    json_put_str(w->out, name_for(w, p->name));
    PUT(w->out, ",\"arguments\":");
    dialect_put_arguments(w->out, p->text);
    PUT(w->out, "}}");
}

static void put_calls(struct writing *w, const struct llm_message *m)
{
    size_t index = 0;
    if (count(m->parts, m->n_parts, LLM_PART_CALL) == 0)
        return;
    PUT(w->out, ",\"tool_calls\":[");
    for (size_t k = 0; k < m->n_parts; k++)
        if (m->parts[k].kind == LLM_PART_CALL)
            put_call(w, &m->parts[k], index++);
    PUT(w->out, "]");
}

/* Signatures mean something to their vendor only; redacted thinking is nothing else. */
static void put_thinking(struct writing *w, const struct llm_message *m)
{
    bool any = false;
    for (size_t k = 0; k < m->n_parts; k++) {
        const struct llm_part *p = &m->parts[k];
        if (p->kind != LLM_PART_REASONING)
            continue;
        if (p->redacted || w->t->no_thinking) {
            lost(w, DIALECT_LOSS_REASONING);
            continue;
        }
        buf_put_cstr(w->out, any ? "\\n" : ",\"thinking\":\"");
        any = true;
        json_put_esc(w->out, p->text);
    }
    if (any)
        PUT(w->out, "\"");
}

static void put_role(struct writing *w, bool *first, const char *role)
{
    buf_put_cstr(w->out, *first ? "{\"role\":\"" : ",{\"role\":\"");
    *first = false;
    buf_put_cstr(w->out, role);
    PUT(w->out, "\",\"content\":\"");
}

/* Ollama knows no failure of a tool, so its text says it; pictures follow in a message of the user's. */
static void put_result(struct writing *w, const struct llm_part *p, bool *first)
{
    size_t pictures = count(p->parts, p->n_parts, LLM_PART_IMAGE);
    put_role(w, first, "tool");
    if (p->is_error)
        PUT(w->out, "Error: ");
    if (p->made_up)
        PUT(w->out, DIALECT_NO_RESULT);
    put_texts(w->out, p->parts, p->n_parts, "\\n");
    if (pictures > 0)
        buf_put_cstr(w->out, count(p->parts, p->n_parts, LLM_PART_TEXT) > 0 ? "\\n[image below]"
                                                                            : "[image below]");
    PUT(w->out, "\"");
    if (p->name.len > 0) {
        PUT(w->out, ",\"tool_name\":");
        json_put_str(w->out, name_for(w, p->name));
    }
    if (p->id.len > 0) {
        PUT(w->out, ",\"tool_call_id\":");
        json_put_str(w->out, llm_id_for(w->t->ids, p->id, w->arena));
    }
    PUT(w->out, "}");
}

static void put_results(struct writing *w, const struct llm_message *m, bool *first)
{
    size_t pictures = 0;
    bool none = true;
    for (size_t k = 0; k < m->n_parts; k++) {
        if (m->parts[k].kind != LLM_PART_RESULT)
            continue;
        put_result(w, &m->parts[k], first);
        pictures += count(m->parts[k].parts, m->parts[k].n_parts, LLM_PART_IMAGE);
    }
    if (pictures == 0)
        return;
    put_role(w, first, "user");
    PUT(w->out, "Images of the results above:\",\"images\":[");
    for (size_t k = 0; k < m->n_parts; k++)
        if (m->parts[k].kind == LLM_PART_RESULT)
            put_pictures(w->out, m->parts[k].parts, m->parts[k].n_parts, &none);
    PUT(w->out, "]}");
}

static void put_messages(struct writing *w)
{
    bool first = true;
    PUT(w->out, ",\"messages\":[");
    for (size_t i = 0; i < w->r->n_messages; i++) {
        const struct llm_message *m = &w->r->messages[i];
        size_t results = count(m->parts, m->n_parts, LLM_PART_RESULT);
        put_results(w, m, &first);
        if (results > 0 && results == m->n_parts)
            continue;
        put_role(w, &first, llm_role_name(m->role));
        put_texts(w->out, m->parts, m->n_parts, m->role == LLM_SYSTEM ? "\\n\\n" : "\\n");
        PUT(w->out, "\"");
        put_images(w->out, m->parts, m->n_parts);
        put_thinking(w, m);
        put_calls(w, m);
        PUT(w->out, "}");
    }
    PUT(w->out, "]");
}

/* /api/generate again, for a conversation that went on: one text after the other. */
static void put_prompt(struct writing *w)
{
    bool none = true, pictures = true;
    for (int system = 1; system >= 0; system--) {
        buf_put_cstr(w->out, system ? ",\"system\":\"" : "\",\"prompt\":\"");
        none = true;
        for (size_t i = 0; i < w->r->n_messages; i++) {
            const struct llm_message *m = &w->r->messages[i];
            if ((m->role == LLM_SYSTEM) != (system == 1) ||
                count(m->parts, m->n_parts, LLM_PART_TEXT) == 0)
                continue;
            if (!none)
                PUT(w->out, "\\n\\n");
            none = false;
            put_texts(w->out, m->parts, m->n_parts, "\\n\\n");
        }
    }
    PUT(w->out, "\",\"images\":[");
    for (size_t i = 0; i < w->r->n_messages; i++)
        put_pictures(w->out, w->r->messages[i].parts, w->r->messages[i].n_parts, &pictures);
    PUT(w->out, "]");
}

/* ---- tools and the form of the answer ---- */

static void put_tool(struct writing *w, const struct llm_tool *tool, bool *first)
{
    buf_put_cstr(w->out, *first ? ",\"tools\":[" : ",");
    *first = false;
    PUT(w->out, "{\"type\":\"function\",\"function\":{\"name\":");
    json_put_str(w->out, name_for(w, tool->name));
    if (tool->description.len > 0) {
        PUT(w->out, ",\"description\":");
        json_put_str(w->out, tool->description);
    }
    PUT(w->out, ",\"parameters\":");
    buf_put_strv(w->out, tool->schema.len > 0 ? tool->schema
                                              : STRV("{\"type\":\"object\",\"properties\":{}}"));
    PUT(w->out, "}}");
    if (tool->strict)
        lost(w, DIALECT_LOSS_STRICT);
}

static void put_tools(struct writing *w)
{
    const struct llm_request *r = w->r;
    bool first = true, one = r->choose == LLM_CHOOSE_ONE;
    if (r->choose == LLM_CHOOSE_NONE || r->n_tools == 0)
        return;
    for (size_t i = 0; i < r->n_tools; i++)
        if (!one || strv_eq(r->tools[i].name, r->choose_name))
            put_tool(w, &r->tools[i], &first);
    if (!first)
        PUT(w->out, "]");
    if (one || r->choose == LLM_CHOOSE_ANY)
        lost(w, DIALECT_LOSS_TOOL_CHOICE);
    if (r->one_call)
        lost(w, DIALECT_LOSS_PARALLEL);
}

static void put_format(struct writing *w)
{
    if (w->r->format == LLM_FORMAT_TEXT)
        return;
    PUT(w->out, ",\"format\":");
    if (w->r->format == LLM_FORMAT_SCHEMA && w->r->schema.len > 0)
        buf_put_strv(w->out, w->r->schema);
    else
        PUT(w->out, "\"json\"");
}

/* ---- a body of its own ---- */

/* What one caller of Ollama's own calls said about its memory holds for the other call, too. */
static void put_memory(struct writing *w)
{
    static const char *const members[] = {"keep_alive", "shift", "truncate"};
    yyjson_val *root = w->r->dialect == LLM_OLLAMA ? w->r->body.root : NULL;
    strv value;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (json_get(root, members[i]) != NULL &&
            json_raw_member(&w->r->body, root, members[i], &value)) {
            bool first = false;
            json_put_key(w->out, &first, members[i]);
            buf_put_strv(w->out, value);
        }
    if ((w->r->no_truncate || w->t->no_truncate) && json_get(root, "truncate") == NULL)
        PUT(w->out, ",\"truncate\":false");
    if (root != NULL)
        *w->losses &= ~(1u << DIALECT_LOSS_KEEP_ALIVE);
}

static void put_inputs(struct writing *w)
{
    PUT(w->out, ",\"input\":[");
    for (size_t i = 0; i < w->r->n_inputs; i++) {
        if (i > 0)
            PUT(w->out, ",");
        json_put_str(w->out, w->r->inputs[i]);
    }
    PUT(w->out, "]");
    if (w->r->dimensions > 0) {
        PUT(w->out, ",\"dimensions\":");
        buf_put_i64(w->out, w->r->dimensions);
    }
}

static bool translate(struct writing *w, struct err *err)
{
    uint32_t beyond_us = w->r->needs & ~(uint32_t)(OLLAMA_CAN & ~LLM_NEED_OLLAMA_RAW);
    if (beyond_us != 0)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, llm_need_field(beyond_us),
                           "an Ollama provider cannot serve this");
    *w->losses |= w->r->untranslated;
    if (w->r->user.len > 0)
        lost(w, DIALECT_LOSS_USER);
    PUT(w->out, "{\"model\":");
    json_put_str(w->out, w->t->model);
    if (ollama_is_embed(w->t->op)) {
        put_inputs(w);
    } else {
        if (w->t->op == LLM_OP_GENERATE)
            put_prompt(w);
        else
            put_messages(w);
        put_tools(w);
        put_format(w);
        put_think(w);
        buf_put_cstr(w->out, w->t->stream ? ",\"stream\":true" : ",\"stream\":false");
    }
    put_memory(w);
    put_options(w);
    return PUT(w->out, "}");
}

bool ollama_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err)
{
    struct writing w = {r, t, arena, out, losses};
    *losses = 0;
    if (t->no_prefill && r->n_messages > 0 && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                           "the model does not continue a last message of the assistant");
    bool own = r->dialect == LLM_OLLAMA && r->op == t->op && !t->fresh;
    bool ok = own ? edit_own(&w) : translate(&w, err);
    if ((!ok || out->failed || arena->failed) && !err->set)
        return err_oom(err);
    return ok;
}
