/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_encode - the question, written anew for an Anthropic upstream.
 *
 * From another dialect, or from a request of this one that was changed, with the rules that Anthropic checks
 * and callers of other dialects do not know: system messages in front become `system`; roles alternate and
 * begin with the user; results of tools stand first in one user message (llm_request_mend() has put them
 * there); no blank text, no blank stop string; ids and names of its pattern; input of a call always an
 * object; tools always there when the history speaks of them; max_tokens always there and above the budget
 * for thinking; nothing forced and no temperature while thinking.
 *
 * A request that came in this dialect goes on in its own bytes (anthropic_own.c).
 */
#include <stdlib.h>

#include "dialect/anthropic.h"

#define MAX_TOKENS_DEFAULT 4096 /* the field is required; every model there takes this much */
#define USER_ID_BYTES_MAX  256  /* Anthropic's limit for metadata.user_id */
#define BUDGET_MIN         1024

/* Stand-ins where the API wants a user message and the caller wrote none: before a conversation that
 * begins with the assistant, and behind a last user message that is blank (blank text is refused, and
 * leaving it out would make the assistant's message in front of it a prefill). The least that can be said. */
#define FIRST_USER STRV("Begin.")
#define LAST_USER  STRV("Continue.")
/* Results must say something if they are errors. */
#define NO_RESULT   STRV("The call was cancelled; there is no result.")
#define EMPTY_ERROR STRV("Error")
/* There is no JSON mode, only schemas. */
#define JSON_MODE                                                                                  \
    STRV("Answer with one JSON object and nothing else: no other text, no code fence.")
#define NO_SCHEMA STRV("{\"type\":\"object\",\"properties\":{}}")

static bool is_blank(strv text)
{
    return strv_trim(text).len == 0;
}

int64_t anthropic_max_tokens(const struct llm_request *r, const struct dialect_target *t)
{
    int64_t n = llm_has(r, LLM_P_MAX_TOKENS) ? (int64_t)r->params[LLM_P_MAX_TOKENS]
                : t->max_tokens_default > 0  ? t->max_tokens_default
                                             : MAX_TOKENS_DEFAULT;
    return t->max_tokens_cap > 0 && n > t->max_tokens_cap ? t->max_tokens_cap : n;
}

/* ---- thinking ---- */

static const char *effort_word(enum llm_effort e)
{
    if (e == LLM_EFFORT_UNSET || e == LLM_EFFORT_NONE || e == LLM_EFFORT_ON)
        return NULL;
    return e == LLM_EFFORT_MINIMAL ? "low" : llm_effort_name(e);
}

/* A budget below the limit for the whole answer, half of it at most unless the caller named the budget;
 * the limit itself is the caller's and stays. */
static struct anthropic_thinking budget(const struct llm_request *r, const struct dialect_target *t)
{
    static const int64_t tokens[LLM_EFFORTS] = {
        [LLM_EFFORT_ON] = 8192,     [LLM_EFFORT_MINIMAL] = 1024, [LLM_EFFORT_LOW] = 1024,
        [LLM_EFFORT_MEDIUM] = 8192, [LLM_EFFORT_HIGH] = 16384,   [LLM_EFFORT_XHIGH] = 16384,
        [LLM_EFFORT_MAX] = 16384,
    };
    int64_t limit = t->op == LLM_OP_COUNT ? INT64_MAX : anthropic_max_tokens(r, t);
    int64_t wanted = r->think_tokens > 0 ? r->think_tokens : tokens[r->effort];
    struct anthropic_thinking th = {.mode = THINK_ENABLED, .budget = wanted};
    if (limit <= BUDGET_MIN)
        return (struct anthropic_thinking){.mode = THINK_UNSAID, .lost = true};
    if (wanted > (r->think_tokens > 0 ? limit - 1 : limit / 2))
        th.budget = limit / 2 > BUDGET_MIN ? limit / 2 : BUDGET_MIN;
    th.lost = th.budget < wanted || (r->think_tokens == 0 && r->effort > LLM_EFFORT_HIGH);
    return th;
}

struct anthropic_thinking anthropic_think(const struct llm_request *r,
                                          const struct dialect_target *t)
{
    struct anthropic_thinking th = {.mode = THINK_UNSAID};
    if (r->effort == LLM_EFFORT_UNSET)
        return th;
    if (t->no_thinking) {
        th.lost = r->effort != LLM_EFFORT_NONE;
    } else if (r->effort == LLM_EFFORT_NONE) {
        if (t->thinking == DIALECT_THINK_ALWAYS) {
            th.effort = "low"; /* the nearest there is */
            th.lost = true;
        } else {
            th.mode = THINK_DISABLED;
        }
    } else if (t->thinking == DIALECT_THINK_BUDGET) {
        th = budget(r, t);
    } else {
        th.mode = THINK_ADAPTIVE;
        th.effort = effort_word(r->effort);
    }
    return th;
}

void anthropic_put_thinking(struct buf *out, const struct anthropic_thinking *th,
                            const struct llm_request *r)
{
    switch (th->mode) {
    case THINK_ENABLED:
        PUT(out, "{\"type\":\"enabled\",\"budget_tokens\":");
        buf_put_i64(out, th->budget);
        PUT(out, "}");
        break;
    case THINK_ADAPTIVE: /* what is left out unless asked for differs from model to model */
        PUT(out, "{\"type\":\"adaptive\",\"display\":\"");
        buf_put_cstr(out, r->hide_reasoning ? "omitted\"}" : "summarized\"}");
        break;
    case THINK_DISABLED:
        PUT(out, "{\"type\":\"disabled\"}");
        break;
    case THINK_UNSAID:
        break;
    }
}

/* ---- messages ---- */

/* Messages on their way out; neighbours of one role become one message. */
struct writing {
    const struct llm_request *r;
    const struct dialect_target *t;
    struct arena *arena;
    struct buf *out;
    uint32_t *losses;
    struct err *err;
    int role;                    /* of the open message; -1 = none yet */
    const struct llm_part *last; /* that is written; NULL if the caller's last word is none of it */
};

/* Makes place for a block in a message of that role. */
static void next_block(struct writing *w, enum llm_role role)
{
    if (w->role == (int)role) {
        PUT(w->out, ",");
        return;
    }
    if (w->role >= 0)
        PUT(w->out, "]},");
    PUT(w->out, "{\"role\":\"");
    buf_put_cstr(w->out, llm_role_name(role));
    PUT(w->out, "\",\"content\":[");
    w->role = (int)role;
}

static void put_text_block(struct buf *out, strv text)
{
    PUT(out, "{\"type\":\"text\",\"text\":");
    json_put_str(out, text);
    PUT(out, "}");
}

static void put_text(struct writing *w, enum llm_role role, strv text)
{
    next_block(w, role);
    put_text_block(w->out, text);
}

static bool refuse(struct writing *w, const char *what)
{
    return dialect_bad(w->err, LLM_ERR_UNSUPPORTED, "messages", what);
}

static bool put_bytes(struct writing *w, const struct llm_part *p)
{
    static const char *const images[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};
    bool known = p->kind == LLM_PART_DOCUMENT;
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        known = known || strv_eq_cstr(p->type, images[i]);
    if (!known)
        return refuse(w, "Anthropic takes images as jpeg, png, gif or webp");
    buf_put_cstr(w->out,
                 p->kind == LLM_PART_IMAGE ? "{\"type\":\"image\"" : "{\"type\":\"document\"");
    PUT(w->out, ",\"source\":{\"type\":\"base64\",\"media_type\":");
    json_put_str(w->out, p->type);
    PUT(w->out, ",\"data\":");
    json_put_str(w->out, p->data);
    PUT(w->out, "}");
    if (p->title.len > 0 && p->kind == LLM_PART_DOCUMENT) {
        PUT(w->out, ",\"title\":");
        json_put_str(w->out, p->title);
    }
    return PUT(w->out, "}");
}

/* An image, document or link: they differ in nothing but their spelling. */
static bool put_media(struct writing *w, const struct llm_part *p)
{
    if (p->kind == LLM_PART_IMAGE || p->kind == LLM_PART_DOCUMENT)
        return put_bytes(w, p);
    if (p->kind != LLM_PART_LINK)
        return refuse(w, "an Anthropic provider takes no audio");
    PUT(w->out, "{\"type\":");
    json_put_str(w->out, p->type);
    PUT(w->out, ",\"source\":{\"type\":\"url\",\"url\":");
    json_put_str(w->out, p->text);
    return PUT(w->out, "}}");
}

static void put_input(struct writing *w, const struct llm_part *p)
{
    PUT(w->out, ",\"input\":");
    dialect_put_arguments(w->out, p->text);
}

static strv name_for(struct writing *w, strv name)
{
    return w->t->short_names ? llm_tool_name_for(name, w->arena) : name;
}

static void put_call(struct writing *w, const struct llm_part *p)
{
    next_block(w, LLM_ASSISTANT);
    PUT(w->out, "{\"type\":\"tool_use\",\"id\":");
    json_put_str(w->out, llm_id_for(LLM_IDS_WORD, p->id, w->arena));
    PUT(w->out, ",\"name\":");
    json_put_str(w->out, name_for(w, p->name));
    put_input(w, p);
    PUT(w->out, "}");
}

static bool put_result_parts(struct writing *w, const struct llm_part *result)
{
    bool any = false;
    for (size_t i = 0; i < result->n_parts; i++) {
        const struct llm_part *p = &result->parts[i];
        if (p->kind == LLM_PART_TEXT && is_blank(p->text))
            continue;
        buf_put_cstr(w->out, any ? "," : ",\"content\":[");
        any = true;
        if (p->kind == LLM_PART_TEXT)
            put_text_block(w->out, p->text);
        else if (!put_media(w, p))
            return false;
    }
    if (!any && result->is_error) { /* an error must say something */
        PUT(w->out, ",\"content\":[");
        put_text_block(w->out, result->made_up ? NO_RESULT : EMPTY_ERROR);
        any = true;
    }
    return !any || PUT(w->out, "]");
}

static bool put_result(struct writing *w, const struct llm_part *p)
{
    next_block(w, LLM_USER);
    PUT(w->out, "{\"type\":\"tool_result\",\"tool_use_id\":");
    json_put_str(w->out, llm_id_for(LLM_IDS_WORD, p->id, w->arena));
    if (!put_result_parts(w, p))
        return false;
    buf_put_cstr(w->out, p->is_error ? ",\"is_error\":true}" : "}");
    return true;
}

/* Thinking goes back only to where it may have come from: with a signature that nobody made up, or to a
 * server that looks at none (trap 20). */
static bool may_replay(const struct llm_request *r, const struct dialect_target *t,
                       const struct llm_part *p)
{
    return r->dialect == LLM_ANTHROPIC && (!t->own_signatures || anthropic_signed(p->signature));
}

static void put_reasoning(struct writing *w, const struct llm_part *p)
{
    next_block(w, LLM_ASSISTANT);
    if (p->redacted) {
        PUT(w->out, "{\"type\":\"redacted_thinking\",\"data\":");
    } else {
        PUT(w->out, "{\"type\":\"thinking\",\"thinking\":");
        json_put_str(w->out, p->text);
        PUT(w->out, ",\"signature\":");
    }
    json_put_str(w->out, p->signature);
    PUT(w->out, "}");
}

static strv without_tail_blanks(strv text)
{
    size_t lead = (size_t)(strv_trim(text).ptr - text.ptr);
    return (strv){text.ptr, lead + strv_trim(text).len};
}

/* A system message in mid-conversation stays where it is: as itself if the model takes that, else as a
 * marked text of the user, the only other place there is. */
static void put_marked(struct writing *w, strv text)
{
    next_block(w, LLM_USER);
    PUT(w->out, "{\"type\":\"text\",\"text\":\"<system>\\n");
    json_put_esc(w->out, text);
    PUT(w->out, "\\n</system>\"}");
}

static bool put_part(struct writing *w, enum llm_role role, const struct llm_part *p)
{
    switch (p->kind) {
    case LLM_PART_TEXT:
        if (role == LLM_SYSTEM && !w->t->mid_system)
            put_marked(w, p->text);
        else
            put_text(w, role, p->text);
        return true;
    case LLM_PART_REASONING:
        put_reasoning(w, p);
        return true;
    case LLM_PART_CALL:
        put_call(w, p);
        return true;
    case LLM_PART_RESULT:
        return put_result(w, p);
    case LLM_PART_IMAGE:
    case LLM_PART_DOCUMENT:
    case LLM_PART_AUDIO:
    case LLM_PART_LINK:
        break;
    }
    if (role != LLM_USER)
        return refuse(w, "Anthropic takes images and documents in user messages only");
    next_block(w, role);
    return put_media(w, p);
}

/* Of the parts that can be written: no blank text, no thinking of others. */
static bool is_said(const struct writing *w, const struct llm_part *p)
{
    return p->kind == LLM_PART_TEXT        ? !is_blank(p->text)
           : p->kind == LLM_PART_REASONING ? may_replay(w->r, w->t, p)
                                           : true;
}

/* Of an answer that the caller began; NULL if it began none. */
static const struct llm_part *last_said(const struct writing *w)
{
    size_t i = w->r->n_messages;
    if (w->r->messages[i - 1].role != LLM_ASSISTANT)
        return NULL;
    while (i-- > 0)
        for (size_t k = w->r->messages[i].n_parts; k-- > 0;)
            if (is_said(w, &w->r->messages[i].parts[k]))
                return w->r->messages[i].role == LLM_ASSISTANT ? &w->r->messages[i].parts[k] : NULL;
    return NULL;
}

/* The last text must not end in blanks if it is the assistant's: Anthropic refuses that. */
static bool put_message(struct writing *w, const struct llm_message *m)
{
    for (size_t k = 0; k < m->n_parts; k++) {
        struct llm_part p = m->parts[k];
        if (!is_said(w, &p)) {
            if (p.kind == LLM_PART_REASONING)
                *w->losses |= 1u << DIALECT_LOSS_REASONING;
            continue;
        }
        if (w->role < 0 &&
            (m->role == LLM_ASSISTANT || (m->role == LLM_SYSTEM && w->t->mid_system)))
            put_text(w, LLM_USER, FIRST_USER);
        if (&m->parts[k] == w->last && p.kind == LLM_PART_TEXT)
            p.text = without_tail_blanks(p.text);
        if (!put_part(w, m->role, &p))
            return false;
    }
    return true;
}

static bool put_messages(struct writing *w, size_t from)
{
    const struct llm_request *r = w->r;
    PUT(w->out, ",\"messages\":[");
    for (size_t i = from; i < r->n_messages; i++)
        if (!put_message(w, &r->messages[i]))
            return false;
    if (w->role < 0)
        put_text(w, LLM_USER, FIRST_USER);
    if (w->role == LLM_ASSISTANT && r->messages[r->n_messages - 1].role != LLM_ASSISTANT)
        put_text(w, LLM_USER, LAST_USER);
    if (w->role == LLM_ASSISTANT && w->t->no_prefill)
        return refuse(w, "the model does not continue a last message of the assistant");
    return PUT(w->out, "]}]");
}

/* Messages up to the first one that is not a system message; they become the member `system`. */
static size_t leading_system(const struct llm_request *r)
{
    size_t n = 0;
    while (n < r->n_messages && r->messages[n].role == LLM_SYSTEM)
        n++;
    return n;
}

static void put_system(const struct llm_request *r, size_t n, struct buf *out, uint32_t *losses)
{
    bool first = true, json = r->format == LLM_FORMAT_JSON ||
                              (r->format == LLM_FORMAT_SCHEMA && r->schema.len == 0);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            strv text = r->messages[i].parts[k].text;
            if (r->messages[i].parts[k].kind != LLM_PART_TEXT || is_blank(text))
                continue;
            buf_put_cstr(out, first ? ",\"system\":\"" : "\\n\\n");
            json_put_esc(out, text);
            first = false;
        }
    if (json) {
        buf_put_cstr(out, first ? ",\"system\":\"" : "\\n\\n");
        json_put_esc(out, JSON_MODE);
        first = false;
        *losses |= 1u << DIALECT_LOSS_JSON_MODE;
    }
    if (!first)
        PUT(out, "\"");
}

/* ---- tools ---- */

/* The caller's own text, but for a `type` that is not "object": that is all Anthropic takes at the top. */
static bool put_schema(struct writing *w, strv schema)
{
    struct json doc;
    strv type;
    struct err err = ERR_INIT;
    if (is_blank(schema))
        return buf_put_strv(w->out, NO_SCHEMA);
    if (!json_read(&doc, schema, w->arena, LLM_ERR_INVALID_REQUEST, &err))
        return err.code == ERR_CODE_OOM ? err_oom(w->err) : buf_put_strv(w->out, NO_SCHEMA);
    if (!yyjson_is_obj(doc.root) || yyjson_obj_size(doc.root) == 0)
        return buf_put_strv(w->out, NO_SCHEMA);
    if (strv_eq_cstr(json_get_str(doc.root, "type"), "object"))
        return buf_put_strv(w->out, schema);
    if (!json_raw_member(&doc, doc.root, "type", &type)) {
        PUT(w->out, "{\"type\":\"object\",");
        return buf_put_strv(w->out, strv_from(strv_trim(schema), 1));
    }
    size_t at = (size_t)(type.ptr - schema.ptr);
    buf_put(w->out, schema.ptr, at);
    PUT(w->out, "\"object\"");
    return buf_put_strv(w->out, strv_from(schema, at + type.len));
}

static bool put_tool(struct writing *w, const struct llm_tool *tool)
{
    PUT(w->out, "{\"name\":");
    json_put_str(w->out, name_for(w, tool->name));
    if (tool->description.len > 0) {
        PUT(w->out, ",\"description\":");
        json_put_str(w->out, tool->description);
    }
    PUT(w->out, ",\"input_schema\":");
    if (!put_schema(w, tool->schema))
        return false;
    buf_put_cstr(w->out, tool->strict ? ",\"strict\":true}" : "}");
    return true;
}

static int name_order(const void *a, const void *b)
{
    return strv_cmp(*(const strv *)a, *(const strv *)b);
}

/* The history speaks of tools that the caller offers no longer: Anthropic wants a definition, and each name
 * once. */
static bool put_tools_of_history(struct writing *w)
{
    const struct llm_request *r = w->r;
    size_t n = 0, all = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        all += r->messages[i].n_parts;
    strv *names = ARENA_ARRAY(w->arena, strv, all + 1);
    if (names == NULL)
        return err_oom(w->err);
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            if (r->messages[i].parts[k].kind == LLM_PART_CALL)
                names[n++] = r->messages[i].parts[k].name;
    qsort(names, n, sizeof *names, name_order);
    if (n == 0)
        return true;
    PUT(w->out, ",\"tools\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strv_eq(names[i - 1], names[i]))
            continue;
        buf_put_cstr(w->out, i > 0 ? "," : "");
        if (!put_tool(w, &(struct llm_tool){.name = names[i], .description = STRV("")}))
            return false;
    }
    return PUT(w->out, "],\"tool_choice\":{\"type\":\"none\"}");
}

static bool is_forced(const struct llm_request *r)
{
    return r->n_tools > 0 && (r->choose == LLM_CHOOSE_ANY || r->choose == LLM_CHOOSE_ONE);
}

static void put_choice(struct writing *w)
{
    static const char *const types[] = {[LLM_CHOOSE_AUTO] = "auto",
                                        [LLM_CHOOSE_NONE] = "none",
                                        [LLM_CHOOSE_ANY] = "any",
                                        [LLM_CHOOSE_ONE] = "tool"};
    const struct llm_request *r = w->r;
    enum llm_tool_choice choose = r->choose;
    if (is_forced(r) && w->t->no_forced_tools) {
        *w->losses |= 1u << DIALECT_LOSS_TOOL_CHOICE;
        choose = LLM_CHOOSE_AUTO;
    }
    if (choose == LLM_CHOOSE_AUTO && !r->one_call)
        return;
    PUT(w->out, ",\"tool_choice\":{\"type\":\"");
    buf_put_cstr(w->out, types[choose]);
    PUT(w->out, "\"");
    if (choose == LLM_CHOOSE_ONE) {
        PUT(w->out, ",\"name\":");
        json_put_str(w->out, name_for(w, r->choose_name));
    }
    if (r->one_call && choose != LLM_CHOOSE_NONE)
        PUT(w->out, ",\"disable_parallel_tool_use\":true");
    PUT(w->out, "}");
}

static bool put_tools(struct writing *w)
{
    if (w->r->n_tools == 0)
        return !w->r->has_history || put_tools_of_history(w);
    PUT(w->out, ",\"tools\":[");
    for (size_t i = 0; i < w->r->n_tools; i++) {
        buf_put_cstr(w->out, i > 0 ? "," : "");
        if (!put_tool(w, &w->r->tools[i]))
            return false;
    }
    PUT(w->out, "]");
    put_choice(w);
    return true;
}

/* ---- how to answer ---- */

static const struct llm_part *first_said(const struct writing *w, const struct llm_message *m)
{
    for (size_t k = 0; k < m->n_parts; k++)
        if (is_said(w, &m->parts[k]))
            return &m->parts[k];
    return NULL;
}

/* Trap 21: with thinking on, the turn that results at the end belong to must have begun with its thinking;
 * and an answer that the caller began has had none. Results stand first in their message. */
static bool lacks_thinking(const struct writing *w)
{
    const struct llm_part *first = NULL;
    bool results = false;
    if (w->last != NULL)
        return true;
    for (size_t i = w->r->n_messages; i-- > 0;) {
        const struct llm_message *m = &w->r->messages[i];
        const struct llm_part *p = first_said(w, m);
        if (p == NULL)
            continue;
        if (m->role == LLM_ASSISTANT) {
            first = p;
            if (!results) /* it was answered in the user's own words: the turn is over */
                return false;
        } else if (p->kind == LLM_PART_RESULT) {
            results = true;
        } else if (first != NULL && m->role == LLM_USER) {
            break;
        }
    }
    return first != NULL && first->kind != LLM_PART_REASONING;
}

static struct anthropic_thinking think(const struct writing *w)
{
    struct anthropic_thinking th = anthropic_think(w->r, w->t);
    bool on = th.mode == THINK_ENABLED || th.mode == THINK_ADAPTIVE;
    if (on && (lacks_thinking(w) || (is_forced(w->r) && !w->t->no_forced_tools))) {
        th.mode = THINK_UNSAID;
        th.lost = true;
    }
    return th;
}

static void put_how(struct writing *w, const struct anthropic_thinking *th)
{
    const struct llm_request *r = w->r;
    bool schema = r->format == LLM_FORMAT_SCHEMA && r->schema.len > 0;
    if (th->mode != THINK_UNSAID) {
        PUT(w->out, ",\"thinking\":");
        anthropic_put_thinking(w->out, th, r);
    }
    if (th->lost)
        *w->losses |= 1u << DIALECT_LOSS_EFFORT;
    if (!schema && th->effort == NULL)
        return;
    PUT(w->out, ",\"output_config\":{");
    if (th->effort != NULL) {
        PUT(w->out, "\"effort\":\"");
        buf_put_cstr(w->out, th->effort);
        buf_put_cstr(w->out, schema ? "\"," : "\"");
    }
    if (schema) {
        PUT(w->out, "\"format\":{\"type\":\"json_schema\",\"schema\":");
        buf_put_strv(w->out, r->schema);
        PUT(w->out, "}");
    }
    PUT(w->out, "}");
}

/* temperature and top_p together are refused by the models that still take either (400, seen with the
 * 4.5 and 4.6 families): the temperature is what callers mean. While thinking only the default of one and
 * the upper end of the other are taken. */
static uint32_t refused_sampling(const struct writing *w, bool thinking)
{
    const struct llm_request *r = w->r;
    uint32_t refused = 0;
    if (w->t->no_sampling)
        return ANTHROPIC_SAMPLING;
    if (thinking)
        refused |= 1u << LLM_P_TOP_K;
    if (thinking && r->params[LLM_P_TEMPERATURE] != 1)
        refused |= 1u << LLM_P_TEMPERATURE;
    if (llm_has(r, LLM_P_TEMPERATURE) || (thinking && r->params[LLM_P_TOP_P] < 0.95))
        refused |= 1u << LLM_P_TOP_P;
    return refused;
}

static void put_sampling(struct writing *w, bool thinking)
{
    const struct llm_request *r = w->r;
    uint32_t given = r->params_set & ~(1u << LLM_P_MAX_TOKENS);
    uint32_t refused = refused_sampling(w, thinking);
    if (r->params[LLM_P_TOP_K] < 1) /* 0 and -1: switched off, as when absent */
        given &= ~(1u << LLM_P_TOP_K);
    for (int p = 0; p < LLM_PARAMS; p++) {
        const char *name = llm_params[p].name[LLM_ANTHROPIC];
        double v = r->params[p];
        if ((given & (1u << p)) == 0)
            continue;
        if (name == NULL || (refused & (1u << p)) != 0) {
            *w->losses |= 1u << p;
            continue;
        }
        PUT(w->out, ",\"");
        buf_put_cstr(w->out, name);
        PUT(w->out, "\":");
        if (llm_params[p].kind == LLM_KIND_INT)
            buf_put_i64(w->out, (int64_t)v);
        else
            json_put_num(w->out, p == LLM_P_TEMPERATURE && v > 1 ? 1 : v);
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

static void put_user(const struct llm_request *r, struct buf *out, uint32_t *losses)
{
    if (r->user.len > 0 && r->user.len <= USER_ID_BYTES_MAX) {
        PUT(out, ",\"metadata\":{\"user_id\":");
        json_put_str(out, r->user);
        PUT(out, "}");
    } else if (r->user.len > 0) {
        *losses |= 1u << DIALECT_LOSS_USER;
    }
}

/* ---- the body ---- */

static bool translate(struct writing *w)
{
    const struct llm_request *r = w->r;
    struct buf *out = w->out;
    bool count = w->t->op == LLM_OP_COUNT;
    uint32_t lacked = r->needs & ~dialect_anthropic.can;
    if ((r->needs & LLM_NEED_ANTHROPIC) != 0) /* what is not in `r` cannot be written anew */
        lacked |= LLM_NEED_ANTHROPIC;
    if (lacked != 0)
        return dialect_bad(w->err, LLM_ERR_UNSUPPORTED, llm_need_field(lacked),
                           "an Anthropic provider cannot serve this");
    w->last = last_said(w);
    struct anthropic_thinking th = think(w);
    *w->losses |= r->untranslated;
    PUT(out, "{\"model\":");
    json_put_str(out, w->t->model);
    if (!count) {
        PUT(out, ",\"max_tokens\":");
        buf_put_i64(out, anthropic_max_tokens(r, w->t));
    }
    size_t lead = leading_system(r);
    put_system(r, lead, out, w->losses);
    if (!put_messages(w, lead) || !put_tools(w))
        return false;
    put_how(w, &th);
    if (count)
        return PUT(out, "}");
    put_sampling(w, th.mode == THINK_ENABLED || th.mode == THINK_ADAPTIVE);
    put_stops(r, out, w->losses);
    put_user(r, out, w->losses);
    buf_put_cstr(out, w->t->stream ? ",\"stream\":true" : "");
    return PUT(out, "}");
}

bool anthropic_encode_request(const struct llm_request *r, const struct dialect_target *t,
                              struct arena *arena, struct buf *out, uint32_t *losses,
                              struct err *err)
{
    struct writing w = {r, t, arena, out, losses, err, -1, NULL};
    bool ok;
    *losses = 0;
    if (r->dialect != LLM_ANTHROPIC || t->fresh)
        ok = translate(&w) && !arena->failed;
    else if (t->no_prefill && r->messages[r->n_messages - 1].role == LLM_ASSISTANT)
        ok = refuse(&w, "the model does not continue a last message of the assistant");
    else
        ok = anthropic_edit_own(r, t, arena, out, losses);
    if (!ok && !err->set)
        return err_oom(err);
    return ok;
}
