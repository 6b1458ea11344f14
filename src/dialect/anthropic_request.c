/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_request - POST /v1/messages, the question: bytes to llm_request and back.
 *
 * From a caller: what needs tools, images, documents or structured output is refused by name; hints
 * (thinking, effort, service_tier, members that are new) stay in the body, go on to an Anthropic upstream
 * and are counted as lost on the way to any other. Texts of errors are worded as Anthropic's own.
 *
 * To an upstream: the caller's own bytes with model, stream and limit replaced; or, from another dialect, a
 * fresh body that keeps the rules which Anthropic checks: system messages in front become `system`, roles
 * alternate and begin with the user, no blank text, no blank stop string, max_tokens always there.
 */
#include "dialect/anthropic.h"

#include <stdio.h>

#include "dialect/reading.h"

#define MAX_TOKENS_DEFAULT 4096 /* the field is required; every model there takes this much */
#define STOPS_MAX          1024 /* the body's size bounds it too; Anthropic names no number */
#define USER_ID_BYTES_MAX  256  /* Anthropic's limit for metadata.user_id */

/* Stand-ins where the API wants a user message and the caller wrote none: before a conversation that
 * begins with the assistant, and behind a last user message that is blank (blank text is refused, and
 * leaving it out would make the assistant's message in front of it a prefill). The least that can be said. */
#define FIRST_USER STRV("Begin.")
#define LAST_USER  STRV("Continue.")

/* ---- the caller's request ---- */

static bool is_blank(strv text)
{
    return strv_trim(text).len == 0;
}

/* Claude Code sends a system block that changes with every request; for any other upstream it only ruins
 * the prompt cache (translation.md 2; vLLM strips it as well). */
static bool is_billing_note(strv text)
{
    return strv_starts(text, STRV("x-anthropic-billing-header:"));
}

enum block { BLOCK_TEXT, BLOCK_THINKING, BLOCK_SERVED_LATER, BLOCK_UNKNOWN };

static enum block block_kind(strv type, const char **name)
{
    static const struct {
        const char *type;
        enum block kind;
    } rows[] = {
        {"text", BLOCK_TEXT},
        {"thinking", BLOCK_THINKING},
        {"redacted_thinking", BLOCK_THINKING},
        {"image", BLOCK_SERVED_LATER},
        {"document", BLOCK_SERVED_LATER},
        {"search_result", BLOCK_SERVED_LATER},
        {"tool_use", BLOCK_SERVED_LATER},
        {"tool_result", BLOCK_SERVED_LATER},
        {"server_tool_use", BLOCK_SERVED_LATER},
        {"container_upload", BLOCK_SERVED_LATER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(type, rows[i].type)) {
            *name = rows[i].type;
            return rows[i].kind;
        }
    return BLOCK_UNKNOWN;
}

/* One block; a part is added to m for those that a canonical message can hold. */
static bool read_block(struct reading *rd, yyjson_val *block, const char *field,
                       struct llm_message *m)
{
    const char *name = NULL;
    strv text;
    char what[96];
    if (!yyjson_is_obj(block))
        return invalid(rd, field, "Input should be an object");
    if (json_get_str(block, "type").ptr == NULL)
        return invalid(rd, field, "type: Field required");
    switch (block_kind(json_get_str(block, "type"), &name)) {
    case BLOCK_TEXT:
        text = json_get_str(block, "text");
        if (text.ptr == NULL)
            return invalid(rd, field, "text: Input should be a valid string");
        if (!dialect_is_nothing(json_get(block, "citations")))
            beyond(rd, DIALECT_LOSS_OTHER);
        if (m->role != LLM_SYSTEM || !is_billing_note(text))
            m->parts[m->n_parts++] = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
        return true;
    case BLOCK_THINKING:
        if (m->role != LLM_ASSISTANT)
            return invalid(rd, field, "thinking blocks belong to assistant messages");
        beyond(rd, DIALECT_LOSS_REASONING);
        return true;
    case BLOCK_SERVED_LATER:
        snprintf(what, sizeof what, "content blocks of type %s cannot be served", name);
        return unsupported(rd, field, what);
    case BLOCK_UNKNOWN:
        break;
    }
    return unsupported(rd, field, "content blocks of this type cannot be served");
}

static bool read_content(struct reading *rd, yyjson_val *v, const char *field,
                         struct llm_message *m)
{
    if (!yyjson_is_str(v) && !yyjson_is_arr(v))
        return invalid(rd, field, "Input should be a valid string or a list of content blocks");
    m->parts =
        ARENA_ARRAY(rd->arena, struct llm_part, yyjson_is_arr(v) ? yyjson_arr_size(v) + 1 : 1);
    if (m->parts == NULL)
        return err_oom(rd->err);
    if (yyjson_is_str(v)) {
        m->parts[m->n_parts++] = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_str(v)};
        return true;
    }
    size_t at, n;
    yyjson_val *block;
    yyjson_arr_foreach(v, at, n, block)
    {
        char path[64];
        snprintf(path, sizeof path, "%.40s.%zu", field, at);
        if (!read_block(rd, block, path, m))
            return false;
    }
    return true;
}

static bool read_message(struct reading *rd, yyjson_val *v, size_t at, bool last)
{
    struct llm_message *m = &rd->r->messages[rd->r->n_messages++];
    char field[64];
    snprintf(field, sizeof field, "messages.%zu", at);
    if (!yyjson_is_obj(v))
        return invalid(rd, field, "Input should be an object");
    strv role = json_get_str(v, "role");
    if (strv_eq_cstr(role, "user"))
        m->role = LLM_USER;
    else if (strv_eq_cstr(role, "assistant"))
        m->role = LLM_ASSISTANT;
    else if (strv_eq_cstr(role, "system"))
        m->role = LLM_SYSTEM;
    else {
        snprintf(field, sizeof field, "messages.%zu.role", at);
        return invalid(rd, field, "Input should be 'user' or 'assistant'");
    }
    yyjson_val *content = json_get(v, "content");
    if (dialect_is_nothing(content) && (content == NULL || !last || m->role != LLM_ASSISTANT))
        return invalid(rd, field,
                       "all messages must have non-empty content except for the optional final "
                       "assistant message");
    snprintf(field, sizeof field, "messages.%zu.content", at);
    return read_content(rd, content, field, m);
}

static bool read_system(struct reading *rd, yyjson_val *system)
{
    if (system == NULL)
        return true;
    struct llm_message *m = &rd->r->messages[rd->r->n_messages];
    m->role = LLM_SYSTEM;
    if (!read_content(rd, system, "system", m))
        return false;
    if (m->n_parts > 0)
        rd->r->n_messages++;
    else
        *m = (struct llm_message){0};
    return true;
}

static bool read_messages(struct reading *rd, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "messages"), *v;
    if (list == NULL)
        return invalid(rd, "messages", "Field required");
    if (!yyjson_is_arr(list))
        return invalid(rd, "messages", "Input should be a valid list");
    if (yyjson_arr_size(list) == 0)
        return invalid(rd, "messages", "at least one message is required");
    rd->r->messages = ARENA_ARRAY(rd->arena, struct llm_message, yyjson_arr_size(list) + 1);
    if (rd->r->messages == NULL)
        return err_oom(rd->err);
    if (!read_system(rd, json_get(root, "system")))
        return false;
    size_t at, n;
    yyjson_arr_foreach(list, at, n, v)
    {
        if (!read_message(rd, v, at, at + 1 == n))
            return false;
    }
    return true;
}

static bool read_params(struct reading *rd, yyjson_val *root)
{
    struct llm_request *r = rd->r;
    yyjson_val *stops = json_get(root, "stop_sequences"), *v;
    size_t at, n;
    if (json_get(root, "max_tokens") == NULL)
        return invalid(rd, "max_tokens", "Field required");
    if (!dialect_decode_params(r, LLM_ANTHROPIC, root, "", rd->err))
        return false;
    if (llm_has(r, LLM_P_TEMPERATURE) && r->params[LLM_P_TEMPERATURE] > 1)
        return invalid(rd, "temperature", "must be a number between 0 and 1");
    if (llm_has(r, LLM_P_TOP_K) && r->params[LLM_P_TOP_K] < 0)
        return invalid(rd, "top_k", "must be an integer of at least 0");
    if (stops == NULL)
        return true;
    if (!yyjson_is_arr(stops))
        return invalid(rd, "stop_sequences", "Input should be a valid list");
    yyjson_arr_foreach(stops, at, n, v)
    {
        if (yyjson_is_str(v) && is_blank(json_str(v)))
            return invalid(rd, "stop_sequences", "each stop sequence must contain non-whitespace");
    }
    return dialect_decode_stops(r, stops, "stop_sequences", STOPS_MAX, rd->arena, rd->err);
}

static bool read_thinking(struct reading *rd, yyjson_val *v)
{
    if (v == NULL)
        return true;
    strv type = json_get_str(v, "type");
    if (!yyjson_is_obj(v) || type.ptr == NULL)
        return invalid(rd, "thinking", "Input should be an object with a type");
    if (!strv_eq_cstr(type, "disabled") && !strv_eq_cstr(type, "between_tools"))
        beyond(rd, DIALECT_LOSS_REASONING);
    return true;
}

static bool read_output_config(struct reading *rd, yyjson_val *v)
{
    size_t at, n;
    yyjson_val *key, *value;
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v))
        return invalid(rd, "output_config", "Input should be an object");
    yyjson_obj_foreach(v, at, n, key, value)
    {
        if (yyjson_is_null(value))
            continue;
        if (strv_eq_cstr(json_str(key), "format"))
            return unsupported(rd, "output_config.format", "structured output cannot be served");
        beyond(rd,
               strv_eq_cstr(json_str(key), "effort") ? DIALECT_LOSS_REASONING : DIALECT_LOSS_OTHER);
    }
    return true;
}

static bool read_metadata(struct reading *rd, yyjson_val *v)
{
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v))
        return invalid(rd, "metadata", "Input should be an object");
    yyjson_val *id = json_get(v, "user_id");
    if (id != NULL && !yyjson_is_str(id))
        return invalid(rd, "metadata.user_id", "Input should be a valid string");
    rd->r->user = json_str(id);
    return true;
}

static bool read_tool_choice(struct reading *rd, yyjson_val *v)
{
    strv type = json_get_str(v, "type");
    if (v == NULL || strv_eq_cstr(type, "auto") || strv_eq_cstr(type, "none"))
        return true;
    return unsupported(rd, "tool_choice", "tools cannot be served");
}

/* Every root member has a row; one without is kept for an Anthropic upstream and lost for any other. */
enum member {
    MEMBER_READ, /* by the functions above */
    MEMBER_HINT, /* means something to Anthropic only, and its loss changes no answer */
    MEMBER_REFUSED
};

static bool read_others(struct reading *rd, yyjson_val *root)
{
    static const struct {
        const char *key;
        enum member member;
    } rows[] = {
        {"model", MEMBER_READ},         {"messages", MEMBER_READ},
        {"max_tokens", MEMBER_READ},    {"system", MEMBER_READ},
        {"stream", MEMBER_READ},        {"stop_sequences", MEMBER_READ},
        {"temperature", MEMBER_READ},   {"top_p", MEMBER_READ},
        {"top_k", MEMBER_READ},         {"thinking", MEMBER_READ},
        {"output_config", MEMBER_READ}, {"metadata", MEMBER_READ},
        {"tool_choice", MEMBER_READ},   {"cache_control", MEMBER_HINT},
        {"tools", MEMBER_REFUSED},      {"mcp_servers", MEMBER_REFUSED},
        {"container", MEMBER_REFUSED},  {"output_format", MEMBER_REFUSED},
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
        } else if (rows[i].member == MEMBER_REFUSED && !dialect_is_nothing(value)) {
            return unsupported(rd, rows[i].key, "cannot be served");
        }
    }
    return true;
}

bool anthropic_decode_request(strv body, enum llm_op op, struct arena *arena,
                              struct llm_request *out, struct err *err)
{
    struct reading rd = {out, arena, err};
    *out = (struct llm_request){.dialect = LLM_ANTHROPIC, .op = op, .choices = 1};
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root, *model = json_get(root, "model");
    if (model != NULL && !yyjson_is_str(model))
        return invalid(&rd, "model", "Input should be a valid string");
    out->model = model != NULL ? json_str(model) : STRV("");
    return read_params(&rd, root) && read_messages(&rd, root) &&
           dialect_decode_bool(root, "stream", &out->stream, err) &&
           read_thinking(&rd, json_get(root, "thinking")) &&
           read_output_config(&rd, json_get(root, "output_config")) &&
           read_metadata(&rd, json_get(root, "metadata")) &&
           read_tool_choice(&rd, json_get(root, "tool_choice")) && read_others(&rd, root);
}

/* ---- the request to an upstream ---- */

static int64_t max_tokens(const struct llm_request *r, const struct dialect_target *t)
{
    int64_t n = llm_has(r, LLM_P_MAX_TOKENS) ? (int64_t)r->params[LLM_P_MAX_TOKENS]
                : t->max_tokens_default > 0  ? t->max_tokens_default
                                             : MAX_TOKENS_DEFAULT;
    return t->max_tokens_cap > 0 && n > t->max_tokens_cap ? t->max_tokens_cap : n;
}

#define SAMPLING ((1u << LLM_P_TEMPERATURE) | (1u << LLM_P_TOP_P) | (1u << LLM_P_TOP_K))

/* The caller's own body again without the sampling members. Models that refuse them do so even for the
 * default values. */
static bool put_without_sampling(const struct llm_request *r, const struct dialect_target *t,
                                 struct arena *arena, struct buf *out)
{
    size_t at, n;
    yyjson_val *key, *value;
    PUT(out, "{\"model\":");
    json_put_str(out, t->model);
    PUT(out, ",\"max_tokens\":");
    buf_put_i64(out, max_tokens(r, t));
    buf_put_cstr(out, t->stream ? ",\"stream\":true" : "");
    yyjson_obj_foreach(r->body.root, at, n, key, value)
    {
        static const char *const out_of_it[] = {"model",       "max_tokens", "stream",
                                                "temperature", "top_p",      "top_k"};
        size_t i = 0;
        while (i < sizeof out_of_it / sizeof *out_of_it &&
               !strv_eq_cstr(json_str(key), out_of_it[i]))
            i++;
        if (i < sizeof out_of_it / sizeof *out_of_it)
            continue;
        PUT(out, ",");
        json_put_str(out, json_str(key));
        PUT(out, ":");
        json_put_val(out, value, arena);
    }
    return PUT(out, "}");
}

static bool edit_own(const struct llm_request *r, const struct dialect_target *t,
                     struct arena *arena, struct buf *out, uint32_t *losses)
{
    uint32_t refused = t->no_sampling ? r->params_set & SAMPLING : 0;
    *losses |= refused;
    if (refused != 0)
        return put_without_sampling(r, t, arena, out);
    struct dialect_edit edits[2];
    size_t n = 0;
    if (t->stream != r->stream)
        edits[n++] = (struct dialect_edit){"stream", t->stream ? STRV("true") : STRV("false")};
    if (max_tokens(r, t) != (int64_t)r->params[LLM_P_MAX_TOKENS])
        edits[n++] = (struct dialect_edit){
            "max_tokens", strv_of(arena_printf(arena, "%lld", (long long)max_tokens(r, t)))};
    return !arena->failed && dialect_edit_body(r, t->model, edits, n, arena, out);
}

/* Messages on their way out; neighbours of one role become one message. */
struct writing {
    struct buf *out;
    int role; /* of the open message; -1 = none yet */
};

static void put_text(struct writing *w, enum llm_role role, strv before, strv text, strv after)
{
    if (w->role == (int)role) {
        PUT(w->out, ",");
    } else {
        if (w->role >= 0)
            PUT(w->out, "]},");
        PUT(w->out, "{\"role\":\"");
        buf_put_cstr(w->out, llm_role_name(role));
        PUT(w->out, "\",\"content\":[");
        w->role = (int)role;
    }
    PUT(w->out, "{\"type\":\"text\",\"text\":\"");
    json_put_esc(w->out, before);
    json_put_esc(w->out, text);
    json_put_esc(w->out, after);
    PUT(w->out, "\"}");
}

/* Messages up to the first one that is not a system message; they become the member `system`. */
static size_t leading_system(const struct llm_request *r)
{
    size_t n = 0;
    while (n < r->n_messages && r->messages[n].role == LLM_SYSTEM)
        n++;
    return n;
}

static void put_system(const struct llm_request *r, size_t n, struct buf *out)
{
    bool first = true;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            strv text = r->messages[i].parts[k].text;
            if (is_blank(text))
                continue;
            buf_put_cstr(out, first ? ",\"system\":\"" : "\\n\\n");
            json_put_esc(out, text);
            first = false;
        }
    if (!first)
        PUT(out, "\"");
}

static strv without_tail_blanks(strv text)
{
    size_t lead = (size_t)(strv_trim(text).ptr - text.ptr);
    return (strv){text.ptr, lead + strv_trim(text).len};
}

/* A system message in mid-conversation stays where it is: as itself if the model takes that, else as a
 * marked text of the user, the only other place there is. The last assistant text must not end in blanks:
 * Anthropic refuses that. */
static void put_message(struct writing *w, const struct llm_message *m, bool last, bool mid_system)
{
    bool marked = m->role == LLM_SYSTEM && !mid_system;
    enum llm_role role = marked ? LLM_USER : m->role;
    strv before = marked ? STRV("<system>\n") : STRV(""),
         after = marked ? STRV("\n</system>") : STRV("");
    for (size_t k = 0; k < m->n_parts; k++) {
        strv text = m->parts[k].text;
        if (is_blank(text))
            continue;
        if (w->role < 0 && role != LLM_USER)
            put_text(w, LLM_USER, STRV(""), FIRST_USER, STRV(""));
        if (last && role == LLM_ASSISTANT && k + 1 == m->n_parts)
            text = without_tail_blanks(text);
        put_text(w, role, before, text, after);
    }
}

static bool put_messages(const struct llm_request *r, const struct dialect_target *t, size_t from,
                         struct buf *out, struct err *err)
{
    struct writing w = {out, -1};
    PUT(out, ",\"messages\":[");
    for (size_t i = from; i < r->n_messages; i++)
        put_message(&w, &r->messages[i], i + 1 == r->n_messages, t->mid_system);
    if (w.role < 0)
        put_text(&w, LLM_USER, STRV(""), FIRST_USER, STRV(""));
    if (w.role == LLM_ASSISTANT && r->messages[r->n_messages - 1].role != LLM_ASSISTANT)
        put_text(&w, LLM_USER, STRV(""), LAST_USER, STRV(""));
    if (w.role == LLM_ASSISTANT && t->no_prefill)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                           "the model does not continue a last message of the assistant");
    return PUT(out, "]}]");
}

/* temperature and top_p together are refused by the models that still take either (400, seen with the
 * 4.5 and 4.6 families): the temperature is what callers mean. */
static void put_sampling(const struct llm_request *r, const struct dialect_target *t,
                         struct buf *out, uint32_t *losses)
{
    uint32_t given = r->params_set & ~(1u << LLM_P_MAX_TOKENS), refused = 0;
    if (r->params[LLM_P_TOP_K] < 1) /* 0 and -1: switched off, as when absent */
        given &= ~(1u << LLM_P_TOP_K);
    if (t->no_sampling)
        refused = SAMPLING;
    else if (llm_has(r, LLM_P_TEMPERATURE))
        refused = 1u << LLM_P_TOP_P;
    for (int p = 0; p < LLM_PARAMS; p++) {
        const char *name = llm_params[p].name[LLM_ANTHROPIC];
        double v = r->params[p];
        if ((given & (1u << p)) == 0)
            continue;
        if (name == NULL || (refused & (1u << p)) != 0) {
            *losses |= 1u << p;
            continue;
        }
        PUT(out, ",\"");
        buf_put_cstr(out, name);
        PUT(out, "\":");
        if (llm_params[p].kind == LLM_KIND_INT)
            buf_put_i64(out, (int64_t)v);
        else
            json_put_num(out, p == LLM_P_TEMPERATURE && v > 1 ? 1 : v);
    }
}

static void put_stops(const struct llm_request *r, struct buf *out, uint32_t *losses)
{
    bool first = true;
    for (size_t i = 0; i < r->n_stops; i++) {
        if (is_blank(r->stops[i])) { /* "\n" alone is refused there */
            *losses |= 1u << DIALECT_LOSS_STOP;
            continue;
        }
        buf_put_cstr(out, first ? ",\"stop_sequences\":[" : ",");
        json_put_str(out, r->stops[i]);
        first = false;
    }
    if (!first)
        PUT(out, "]");
}

static bool translate(const struct llm_request *r, const struct dialect_target *t, struct buf *out,
                      uint32_t *losses, struct err *err)
{
    if (r->needs != 0)
        return dialect_bad(err, LLM_ERR_UNSUPPORTED, llm_need_field(r->needs),
                           "an Anthropic provider cannot serve this");
    *losses |= r->untranslated;
    PUT(out, "{\"model\":");
    json_put_str(out, t->model);
    PUT(out, ",\"max_tokens\":");
    buf_put_i64(out, max_tokens(r, t));
    size_t lead = leading_system(r);
    put_system(r, lead, out);
    if (!put_messages(r, t, lead, out, err))
        return false;
    put_sampling(r, t, out, losses);
    put_stops(r, out, losses);
    if (r->user.len > 0 && r->user.len <= USER_ID_BYTES_MAX) {
        PUT(out, ",\"metadata\":{\"user_id\":");
        json_put_str(out, r->user);
        PUT(out, "}");
    } else if (r->user.len > 0) {
        *losses |= 1u << DIALECT_LOSS_USER;
    }
    buf_put_cstr(out, t->stream ? ",\"stream\":true" : "");
    return PUT(out, "}");
}

bool anthropic_encode_request(const struct llm_request *r, const struct dialect_target *t,
                              struct arena *arena, struct buf *out, uint32_t *losses,
                              struct err *err)
{
    bool ok;
    *losses = 0;
    if (r->dialect != LLM_ANTHROPIC)
        ok = translate(r, t, out, losses, err);
    else if (t->no_prefill && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        ok = dialect_bad(err, LLM_ERR_UNSUPPORTED, "messages",
                         "the model does not continue a last message of the assistant");
    else
        ok = edit_own(r, t, arena, out, losses);
    if (!ok && !err->set)
        return err_oom(err);
    return ok;
}
