/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_own - the question in the caller's own bytes, for an upstream of the same dialect.
 *
 * Signatures of thinking and marks of the prompt cache survive only byte by byte (trap 20), so values are
 * replaced by splicing and everything else stays. What is touched: model, stream, the limit; what the model
 * is known to refuse (sampling, forced tools, a way to think that it does not have); and in the history only
 * blocks that Anthropic's cloud is sure to refuse:
 *
 *   thinking without a signature   another server's, told by us in this form; it is cut out
 *   ids of other providers         replaced by ones of the pattern (trap 14), the same on every turn
 *
 * A call whose thinking was cut out must not stand in a turn with thinking (trap 21): it is switched off for
 * this request.
 */
#include <stdlib.h>

#include "dialect/anthropic.h"

#define EDITS_MAX 32

struct cut { /* bytes that go out of the body, and what comes in their place */
    size_t at, len;
    strv json;
};

struct own {
    const struct llm_request *r;
    const struct dialect_target *t;
    struct arena *arena;
    uint32_t *losses;
    struct dialect_edit edits[EDITS_MAX]; /* json STRV_NONE: the member is left out */
    size_t n;
    bool leaves_out;
    struct cut *cuts; /* in the history */
    size_t n_cuts, room;
    bool bare; /* a call of the present turn has lost its thinking */
};

static void set(struct own *w, const char *key, strv json)
{
    w->edits[w->n++] = (struct dialect_edit){key, json};
}

static void leave_out(struct own *w, const char *key)
{
    if (yyjson_obj_get(w->r->body.root, key) == NULL)
        return;
    set(w, key, STRV_NONE);
    w->leaves_out = true;
}

/* ---- the history ---- */

static bool cut(struct own *w, const char *from, const char *to, strv json)
{
    if (w->n_cuts == w->room) {
        size_t room = w->room > 0 ? 2 * w->room : 16;
        struct cut *cuts =
            arena_resize(w->arena, w->cuts, w->room * sizeof *cuts, room * sizeof *cuts);
        if (cuts == NULL)
            return false;
        w->cuts = cuts;
        w->room = room;
    }
    w->cuts[w->n_cuts++] =
        (struct cut){(size_t)(from - w->r->body.text.ptr), (size_t)(to - from), json};
    return true;
}

/* Elements of an array, as they are written. */
struct elements {
    strv *of;
    bool *gone;
    size_t n, left;
};

static bool elements_of(struct own *w, yyjson_val *array, strv raw, struct elements *out)
{
    *out = (struct elements){.left = yyjson_arr_size(array)};
    out->of = ARENA_ARRAY(w->arena, strv, out->left + 1);
    out->gone = ARENA_ARRAY(w->arena, bool, out->left + 1);
    if (out->of == NULL || out->gone == NULL)
        return false;
    while (out->n < out->left && json_raw_next(&raw, &out->of[out->n]))
        out->n++;
    return true;
}

/* With the commas that part them from the rest. */
static bool cut_gone(struct own *w, const struct elements *e)
{
    for (size_t i = 0; i < e->n; i++) {
        size_t last = i;
        if (!e->gone[i])
            continue;
        while (last + 1 < e->n && e->gone[last + 1])
            last++;
        const char *from = e->of[i].ptr, *to = e->of[last].ptr + e->of[last].len;
        if (last + 1 < e->n)
            to = e->of[last + 1].ptr;
        else if (i > 0)
            from = e->of[i - 1].ptr + e->of[i - 1].len;
        if (!cut(w, from, to, STRV("")))
            return false;
        i = last;
    }
    return true;
}

static bool is_thinking(yyjson_val *block)
{
    strv type = json_get_str(block, "type");
    return strv_eq_cstr(type, "thinking") || strv_eq_cstr(type, "redacted_thinking");
}

static bool is_unsigned(yyjson_val *block)
{
    strv type = json_get_str(block, "type");
    bool redacted = strv_eq_cstr(type, "redacted_thinking");
    return is_thinking(block) &&
           !anthropic_signed(json_get_str(block, redacted ? "data" : "signature"));
}

static bool mend_id(struct own *w, yyjson_val *block, const char *key)
{
    yyjson_val *v = json_get(block, key);
    size_t at, len;
    struct buf b;
    if (!yyjson_is_str(v) || !json_span(&w->r->body, v, &at, &len))
        return true;
    strv id = llm_id_for(LLM_IDS_WORD, json_str(v), w->arena);
    if (strv_eq(id, json_str(v)))
        return true;
    buf_init(&b, 128);
    json_put_str(&b, id);
    strv json = arena_strv(w->arena, buf_view(&b));
    bool ok = !b.failed && json.ptr != NULL;
    buf_fini(&b);
    const char *from = w->r->body.text.ptr + at;
    return ok && cut(w, from, from + len, json);
}

/* The blocks of one message; *empty if none is left. */
static bool mend_message(struct own *w, yyjson_val *message, bool present, bool *empty)
{
    yyjson_val *content = json_get(message, "content"), *block;
    bool calls = false, thinks = false;
    struct elements e;
    size_t i, n, cuts = w->n_cuts;
    strv raw;
    *empty = false;
    if (!yyjson_is_arr(content) || !json_raw_member(&w->r->body, message, "content", &raw))
        return true;
    if (!elements_of(w, content, raw, &e))
        return false;
    yyjson_arr_foreach(content, i, n, block)
    {
        calls = calls || strv_eq_cstr(json_get_str(block, "type"), "tool_use");
        if (w->t->own_signatures && is_unsigned(block) && i < e.n) {
            e.gone[i] = true;
            e.left--;
            continue;
        }
        thinks = thinks || is_thinking(block);
        if (!mend_id(w, block, "id") || !mend_id(w, block, "tool_use_id"))
            return false;
    }
    if (e.left < n)
        *w->losses |= 1u << DIALECT_LOSS_REASONING;
    w->bare = w->bare || (present && calls && !thinks && e.left < n);
    *empty = n > 0 && e.left == 0;
    if (*empty)
        w->n_cuts = cuts;
    return *empty || cut_gone(w, &e);
}

/* Whether the upstream is sure to refuse a part; then the bytes are looked at. */
static bool wants_mending(struct own *w)
{
    const struct llm_request *r = w->r;
    if (r->mended) /* for another provider: the parts tell no longer what the bytes say */
        return true;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct llm_part *p = &r->messages[i].parts[k];
            bool paired = p->kind == LLM_PART_CALL || p->kind == LLM_PART_RESULT;
            if (p->kind == LLM_PART_REASONING && w->t->own_signatures &&
                !anthropic_signed(p->signature))
                return true;
            if (paired && !strv_eq(llm_id_for(LLM_IDS_WORD, p->id, w->arena), p->id))
                return true;
        }
    return false;
}

/* Of the message that the present turn begins behind: the user's last one without a result. */
static size_t turn_of(yyjson_val *messages)
{
    size_t at, n, i, blocks, turn = 0;
    yyjson_val *m, *block;
    yyjson_arr_foreach(messages, at, n, m)
    {
        bool user = strv_eq_cstr(json_get_str(m, "role"), "user"), result = false;
        yyjson_val *content = json_get(m, "content");
        yyjson_arr_foreach(content, i, blocks, block)
        {
            result = result || strv_eq_cstr(json_get_str(block, "type"), "tool_result");
        }
        if (user && !result)
            turn = at;
    }
    return turn;
}

static int cut_order(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* `messages` with the cuts made, in out; nothing if none is needed. */
static bool mend_history(struct own *w, struct buf *out)
{
    yyjson_val *messages = json_get(w->r->body.root, "messages"), *m;
    struct elements e;
    size_t at, n, turn;
    strv raw;
    if (!wants_mending(w))
        return !w->arena->failed;
    if (!json_raw_member(&w->r->body, w->r->body.root, "messages", &raw) ||
        !elements_of(w, messages, raw, &e))
        return false;
    turn = turn_of(messages);
    yyjson_arr_foreach(messages, at, n, m)
    {
        if (at < e.n && !mend_message(w, m, at > turn, &e.gone[at]))
            return false;
        e.left -= at < e.n && e.gone[at];
    }
    if (!cut_gone(w, &e))
        return false;
    if (w->n_cuts == 0 || e.left == 0) /* a request of no messages is none */
        return true;
    qsort(w->cuts, w->n_cuts, sizeof *w->cuts, cut_order);
    const char *text = w->r->body.text.ptr;
    size_t done = (size_t)(raw.ptr - text);
    for (size_t i = 0; i < w->n_cuts; i++) {
        buf_put(out, text + done, w->cuts[i].at - done);
        buf_put_strv(out, w->cuts[i].json);
        done = w->cuts[i].at + w->cuts[i].len;
    }
    buf_put(out, text + done, (size_t)(raw.ptr - text) + raw.len - done);
    set(w, "messages", buf_view(out));
    return !out->failed;
}

/* ---- members of the root ---- */

/* Whether the target takes the caller's own `thinking`. Of servers other than the vendor's it is not known
 * what they refuse: they get what the caller wrote. */
static bool is_taken(const struct own *w, strv type)
{
    bool vendor = w->t->own_signatures;
    if (strv_eq_cstr(type, "enabled"))
        return w->t->thinking == DIALECT_THINK_BUDGET &&
               (w->t->op == LLM_OP_COUNT || w->r->think_tokens < anthropic_max_tokens(w->r, w->t));
    if (strv_eq_cstr(type, "disabled"))
        return w->t->thinking != DIALECT_THINK_ALWAYS;
    return w->t->thinking != DIALECT_THINK_BUDGET || !vendor;
}

static bool set_thinking(struct own *w)
{
    strv type = json_get_str(json_get(w->r->body.root, "thinking"), "type");
    bool on = strv_eq_cstr(type, "enabled") || strv_eq_cstr(type, "adaptive");
    struct anthropic_thinking th = {.mode = THINK_UNSAID, .lost = true};
    struct buf b;
    if (type.ptr == NULL || (!(on && (w->t->no_thinking || w->bare)) && is_taken(w, type)))
        return true;
    if (!w->bare)
        th = anthropic_think(w->r, w->t);
    if (th.lost || on)
        *w->losses |= 1u << DIALECT_LOSS_EFFORT;
    if (th.mode == THINK_UNSAID) {
        leave_out(w, "thinking");
        return true;
    }
    buf_init(&b, 256);
    anthropic_put_thinking(&b, &th, w->r);
    strv json = arena_strv(w->arena, buf_view(&b));
    bool ok = !b.failed && json.ptr != NULL;
    buf_fini(&b);
    set(w, "thinking", json);
    return ok;
}

static void set_tool_choice(struct own *w)
{
    const struct llm_request *r = w->r;
    if (!w->t->no_forced_tools || (r->choose != LLM_CHOOSE_ANY && r->choose != LLM_CHOOSE_ONE))
        return;
    *w->losses |= 1u << DIALECT_LOSS_TOOL_CHOICE;
    set(w, "tool_choice",
        r->one_call ? STRV("{\"type\":\"auto\",\"disable_parallel_tool_use\":true}")
                    : STRV("{\"type\":\"auto\"}"));
}

/* The cloud refuses members that a count has no use for. */
static void set_for_count(struct own *w)
{
    static const char *const useless[] = {
        "max_tokens", "stream",         "temperature",  "top_p",         "top_k",
        "metadata",   "stop_sequences", "service_tier", "inference_geo", "diagnostics"};
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++)
        leave_out(w, useless[i]);
}

static void set_for_answer(struct own *w)
{
    const struct llm_request *r = w->r;
    int64_t limit = anthropic_max_tokens(r, w->t);
    if (w->t->stream != r->stream)
        set(w, "stream", w->t->stream ? STRV("true") : STRV("false"));
    if (limit != (int64_t)r->params[LLM_P_MAX_TOKENS])
        set(w, "max_tokens", strv_of(arena_printf(w->arena, "%lld", (long long)limit)));
    if (!w->t->no_sampling)
        return;
    *w->losses |= r->params_set & ANTHROPIC_SAMPLING;
    for (int p = 0; p < LLM_PARAMS; p++)
        if (ANTHROPIC_SAMPLING & (1u << p))
            leave_out(w, llm_params[p].name[LLM_ANTHROPIC]);
}

/* ---- the body ---- */

static const struct dialect_edit *edit_of(const struct own *w, strv key)
{
    for (size_t i = 0; i < w->n; i++)
        if (strv_eq_cstr(key, w->edits[i].key))
            return &w->edits[i];
    return NULL;
}

/* Member by member, each with its value as it was written: what a splice cannot do is take one out. */
static bool put_members(struct own *w, struct buf *out)
{
    yyjson_val *root = w->r->body.root, *key, *value;
    bool first = true;
    size_t at, n;
    PUT(out, "{");
    if (yyjson_obj_get(root, "model") == NULL) {
        json_put_key(out, &first, "model");
        json_put_str(out, w->t->model);
    }
    for (size_t i = 0; i < w->n; i++)
        if (w->edits[i].json.ptr != NULL && yyjson_obj_get(root, w->edits[i].key) == NULL) {
            json_put_key(out, &first, w->edits[i].key);
            buf_put_strv(out, w->edits[i].json);
        }
    yyjson_obj_foreach(root, at, n, key, value)
    {
        const struct dialect_edit *e = edit_of(w, json_str(key));
        strv raw;
        if ((e != NULL && e->json.ptr == NULL) || !json_raw_value(&w->r->body, key, &raw))
            continue;
        buf_put_cstr(out, first ? "" : ",");
        first = false;
        json_put_str(out, json_str(key));
        PUT(out, ":");
        if (strv_eq_cstr(json_str(key), "model"))
            json_put_str(out, w->t->model);
        else
            buf_put_strv(out, e != NULL ? e->json : raw);
    }
    return PUT(out, "}");
}

bool anthropic_edit_own(const struct llm_request *r, const struct dialect_target *t,
                        struct arena *arena, struct buf *out, uint32_t *losses)
{
    struct own w = {.r = r, .t = t, .arena = arena, .losses = losses};
    struct buf messages;
    buf_init(&messages, r->body.text.len * 2 + 64); /* ids may become longer */
    bool ok = mend_history(&w, &messages) && set_thinking(&w);
    set_tool_choice(&w);
    if (t->op == LLM_OP_COUNT)
        set_for_count(&w);
    else
        set_for_answer(&w);
    ok = ok && !arena->failed &&
         (w.leaves_out ? put_members(&w, out)
                       : dialect_edit_body(r, t->model, w.edits, w.n, arena, out));
    buf_fini(&messages);
    return ok && !out->failed;
}
