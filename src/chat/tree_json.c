/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_json - messages as JSON (docs/chat.md, "A message"): written, and read back.
 *
 *   {"n","parent","role","content","timestamp","state","reasoning","siblings","tool_calls","attachments","facts"}
 *
 * What is read was written by us, but may have been changed by somebody since: every member is checked. Written again, it
 * gives the same bytes. Times of an answer are whole milliseconds, so that figures made of them are the same, too.
 */
#include "chat/tree.h"

#include "chat/tree_int.h"

#define SCRATCH_MAX ((size_t)256 * 1024 * 1024)
#define INNER_DEPTH_MAX                                                                            \
    64 /* of inputs and results: ours around them must stay below JSON_DEPTH_MAX */
#define NUMBER_MAX 1000000000
#define COUNT_MAX  ((int64_t)1 << 53) /* what a browser reads exactly */

static const char *const states[] = {[CHAT_WHOLE] = "complete",
                                     [CHAT_RUNNING] = "running",
                                     [CHAT_INTERRUPTED] = "interrupted",
                                     [CHAT_FAILED] = "error"};

/* ---- writing ---- */

static void put_text(struct buf *out, bool *first, const char *key, strv text)
{
    if (text.len == 0)
        return;
    json_put_key(out, first, key);
    json_put_str(out, text);
}

static void put_count(struct buf *out, bool *first, const char *key, int64_t n)
{
    if (n < 0)
        return;
    json_put_key(out, first, key);
    buf_put_i64(out, n < COUNT_MAX ? n : COUNT_MAX);
}

static void put_pair(struct buf *out, bool *first, const char *key, const char *a, int64_t va,
                     const char *b, int64_t vb)
{
    bool inner = true;
    if (va < 0 && vb < 0)
        return;
    json_put_key(out, first, key);
    buf_put_char(out, '{');
    put_count(out, &inner, a, va);
    put_count(out, &inner, b, vb);
    buf_put_char(out, '}');
}

static int64_t ms_of(int64_t us)
{
    return us < 0 ? -1 : us / 1000;
}

/* A few tokens that come in one go have no speed. */
#define SPEED_MS_MIN 20

/* Of the time after the first token, with one decimal. */
static void put_speed(struct buf *out, bool *first, const struct chat_facts *f)
{
    int64_t ms = ms_of(f->total_us) - ms_of(f->first_token_us);
    if (f->total_us < 0 || f->first_token_us < 0 || ms < SPEED_MS_MIN || f->tokens_out <= 0 ||
        f->tokens_out > NUMBER_MAX)
        return;
    int64_t tenths = (f->tokens_out * 10000 + ms / 2) / ms;
    json_put_key(out, first, "tokens_per_s");
    json_put_num(out, (double)tenths / 10);
}

bool chat_facts_json(const struct chat_facts *f, bool *first, struct buf *out)
{
    put_text(out, first, "provider", f->provider);
    put_text(out, first, "model", f->model);
    put_text(out, first, "zone", f->zone);
    put_text(out, first, "mode", f->mode);
    put_text(out, first, "task", f->task);
    if (f->is_private) {
        json_put_key(out, first, "private");
        buf_put_cstr(out, "true");
    }
    put_text(out, first, "findings", f->findings);
    put_text(out, first, "why", f->why);
    put_count(out, first, "cost_micro_usd", f->cost_micro);
    put_count(out, first, "saved_micro_usd", f->saved_micro);
    put_count(out, first, "first_token_ms", ms_of(f->first_token_us));
    put_count(out, first, "total_ms", ms_of(f->total_us));
    put_speed(out, first, f);
    put_pair(out, first, "usage", "input_tokens", f->tokens_in, "output_tokens", f->tokens_out);
    put_pair(out, first, "window", "used", f->window_used, "size", f->window_size);
    put_text(out, first, "request_id", f->request_id);
    put_text(out, first, "error", f->error);
    return !out->failed;
}

bool chat_result_json(const struct chat_call *c, struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    json_put_key(out, &first, "tool_name");
    json_put_str(out, c->name);
    if (c->object) {
        strv inner = {c->result.ptr + 1, c->result.len - 1}; /* with the brace that ends both */
        if (strv_trim(inner).ptr[0] != '}')
            buf_put_char(out, ',');
        return buf_put_strv(out, inner);
    }
    json_put_key(out, &first, "text");
    json_put_str(out, c->result);
    return buf_put_char(out, '}');
}

static void put_call(struct buf *out, const struct chat_call *c)
{
    bool first = true;
    buf_put_char(out, '{');
    put_text(out, &first, "id", c->id);
    json_put_key(out, &first, "name");
    json_put_str(out, c->name);
    put_text(out, &first, "server", c->server);
    json_put_key(out, &first, "input");
    buf_put_strv(out, c->input);
    if (c->result.ptr != NULL) {
        json_put_key(out, &first, "result");
        chat_result_json(c, out);
        json_put_key(out, &first, "is_error");
        buf_put_cstr(out, c->is_error ? "true" : "false");
    }
    put_text(out, &first, "quality", c->quality);
    buf_put_char(out, '}');
}

static void put_calls(struct buf *out, bool *first, const struct chat_message *m)
{
    if (m->n_calls == 0)
        return;
    json_put_key(out, first, "tool_calls");
    for (size_t i = 0; i < m->n_calls; i++) {
        buf_put_char(out, i == 0 ? '[' : ',');
        put_call(out, &m->calls[i]);
    }
    buf_put_char(out, ']');
}

static void put_files(struct buf *out, bool *first, const struct chat_message *m, bool with_data)
{
    if (m->n_files == 0)
        return;
    json_put_key(out, first, "attachments");
    for (size_t i = 0; i < m->n_files; i++) {
        const struct chat_file *f = &m->files[i];
        bool inner = true;
        buf_put_cstr(out, i == 0 ? "[{" : ",{");
        put_text(out, &inner, "name", f->name);
        put_text(out, &inner, "type", f->type);
        put_count(out, &inner, "bytes", (int64_t)tree_file_bytes(f));
        if (with_data) {
            json_put_key(out, &inner, "data");
            json_put_str(out, f->data);
        }
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
}

static void put_older(struct buf *out, const struct node *x, size_t n)
{
    const struct node *each[CHAT_BRANCHES_MAX];
    for (size_t i = n; i > 0; x = x->older)
        each[--i] = x;
    for (size_t i = 0; i < n; i++) {
        buf_put_char(out, i == 0 ? '[' : ',');
        buf_put_u64(out, each[i]->m.n);
    }
    buf_put_char(out, ']');
}

static void put_siblings(struct buf *out, bool *first, const struct node *x)
{
    if (x->up->n_children < 2)
        return;
    json_put_key(out, first, "siblings");
    put_older(out, x->up->newest, x->up->n_children);
}

static void put_facts(struct buf *out, bool *first, const struct chat_facts *f)
{
    size_t before = buf_len(out);
    bool inner = true, was = *first;
    json_put_key(out, first, "facts");
    buf_put_char(out, '{');
    if (!chat_facts_json(f, &inner, out))
        return;
    if (!inner) {
        buf_put_char(out, '}');
        return;
    }
    *first = was;
    buf_rewind(out, before);
}

bool chat_message_json(struct chat_tree *t, const struct chat_message *m, bool with_data,
                       struct buf *out)
{
    bool first = true;
    char at[TIMEFMT_MAX];
    (void)t;
    buf_put_char(out, '{');
    put_count(out, &first, "n", m->n);
    put_count(out, &first, "parent", m->parent != 0 ? (int64_t)m->parent : -1);
    put_text(out, &first, "role", m->assistant ? STRV("assistant") : STRV("user"));
    json_put_key(out, &first, "content");
    json_put_str(out, buf_view(&m->text));
    put_text(out, &first, "timestamp", (strv){at, timefmt_rfc3339(at, m->at_us, 3)});
    put_text(out, &first, "state", strv_of(states[m->state]));
    put_text(out, &first, "reasoning", buf_view(&m->reasoning));
    put_siblings(out, &first, tree_node_const(m));
    put_calls(out, &first, m);
    put_files(out, &first, m, with_data);
    put_facts(out, &first, &m->facts);
    return buf_put_char(out, '}');
}

static bool put_path(struct chat_tree *t, struct buf *out)
{
    buf_put_char(out, '[');
    for (struct node *x = tree_path(t, t->leaf), *root = x; x != NULL; x = x->down) {
        if (x != root)
            buf_put_char(out, ',');
        chat_message_json(t, &x->m, false, out);
    }
    return buf_put_char(out, ']');
}

bool chat_tree_json(struct chat_tree *t, bool all, struct buf *out)
{
    if (!all)
        return put_path(t, out);
    buf_put_char(out, '[');
    for (size_t i = 0; i < t->n; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        chat_message_json(t, &t->nodes[i]->m, false, out);
    }
    return buf_put_char(out, ']');
}

/* ---- reading ---- */

struct taking {
    struct chat_tree *t;
    struct chat_message *m;
    struct json doc;
    struct arena scratch;
    struct err *err;
};

static bool bad(struct taking *k, const char *field, const char *what)
{
    return err_field(k->err, LLM_ERR_INVALID_REQUEST, field, "%s %s", field, what);
}

static bool no_room(struct taking *k)
{
    return err_set(k->err, LLM_ERR_BODY_TOO_LARGE,
                   "the conversation is too large, or there is no memory for it");
}

/* A member that may be absent: `otherwise`, or false if it is no text. */
static bool take_text(struct taking *k, yyjson_val *obj, const char *key, strv otherwise, strv *out)
{
    yyjson_val *v = json_get(obj, key);
    *out = v != NULL ? json_str(v) : otherwise;
    return v == NULL || yyjson_is_str(v) || bad(k, key, "must be text");
}

static bool take_count(struct taking *k, yyjson_val *obj, const char *key, int64_t *out)
{
    yyjson_val *v = json_get(obj, key);
    *out = -1;
    if (v == NULL)
        return true;
    if (!json_is_int(v, out) || *out < 0 || *out > COUNT_MAX)
        return bad(k, key, "must be a whole number");
    return true;
}

static bool take_ms(struct taking *k, yyjson_val *obj, const char *key, int64_t *us)
{
    if (!take_count(k, obj, key, us))
        return false;
    if (*us > COUNT_MAX / 1000)
        return bad(k, key, "is too large");
    *us = *us < 0 ? -1 : *us * 1000;
    return true;
}

static bool take_facts(struct taking *k, yyjson_val *obj)
{
    struct chat_facts f = CHAT_FACTS_NONE;
    yyjson_val *usage = json_get(obj, "usage"), *window = json_get(obj, "window");
    if (obj == NULL)
        return true;
    f.is_private = yyjson_is_true(json_get(obj, "private"));
    bool ok = take_text(k, obj, "provider", STRV_NONE, &f.provider) &&
              take_text(k, obj, "model", STRV_NONE, &f.model) &&
              take_text(k, obj, "zone", STRV_NONE, &f.zone) &&
              take_text(k, obj, "mode", STRV_NONE, &f.mode) &&
              take_text(k, obj, "task", STRV_NONE, &f.task) &&
              take_text(k, obj, "findings", STRV_NONE, &f.findings) &&
              take_text(k, obj, "why", STRV_NONE, &f.why) &&
              take_text(k, obj, "request_id", STRV_NONE, &f.request_id) &&
              take_text(k, obj, "error", STRV_NONE, &f.error) &&
              take_count(k, obj, "cost_micro_usd", &f.cost_micro) &&
              take_count(k, obj, "saved_micro_usd", &f.saved_micro) &&
              take_ms(k, obj, "first_token_ms", &f.first_token_us) &&
              take_ms(k, obj, "total_ms", &f.total_us) &&
              take_count(k, usage, "input_tokens", &f.tokens_in) &&
              take_count(k, usage, "output_tokens", &f.tokens_out) &&
              take_count(k, window, "used", &f.window_used) &&
              take_count(k, window, "size", &f.window_size);
    return ok && (chat_tree_facts(k->t, k->m, &f) || no_room(k));
}

/* The result behind its "tool_name", as it was given. */
static bool take_result(struct taking *k, yyjson_val *call, strv *out)
{
    yyjson_val *v = json_get(call, "result");
    yyjson_val *name = yyjson_obj_size(v) > 0 ? unsafe_yyjson_get_first(v) + 1 : NULL;
    strv text = json_get_str(v, "text");
    size_t at, len;
    *out = STRV_NONE;
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v) || !json_raw_member(&k->doc, call, "result", out))
        return bad(k, "result", "must be an object");
    if (name != json_get(v, "tool_name") || !json_span(&k->doc, name, &at, &len))
        return true; /* not written by us: all of it is the result */
    if (yyjson_obj_size(v) == 2 && text.ptr != NULL) {
        *out = text;
        return true;
    }
    const char *end = out->ptr + out->len, *from = k->doc.text.ptr + at + len;
    strv rest = strv_trim((strv){from, (size_t)(end - from)});
    if (rest.ptr[0] == ',')
        from = rest.ptr + 1;
    char *own = arena_alloc(&k->scratch, (size_t)(end - from) + 1);
    if (own == NULL)
        return err_oom(k->err);
    own[0] = '{';
    memcpy(own + 1, from, (size_t)(end - from));
    *out = (strv){own, (size_t)(end - from) + 1};
    return true;
}

static bool take_call(struct taking *k, yyjson_val *obj)
{
    struct chat_call c = {.is_error = yyjson_is_true(json_get(obj, "is_error"))};
    bool ok = take_text(k, obj, "id", STRV(""), &c.id) &&
              take_text(k, obj, "name", STRV(""), &c.name) &&
              take_text(k, obj, "server", STRV(""), &c.server) &&
              take_text(k, obj, "quality", STRV(""), &c.quality) && take_result(k, obj, &c.result);
    if (!ok)
        return false;
    if (!yyjson_is_obj(json_get(obj, "input")) || !json_raw_member(&k->doc, obj, "input", &c.input))
        return bad(k, "input", "must be an object");
    return chat_tree_call(k->t, k->m, &c) || no_room(k);
}

static bool take_calls(struct taking *k, yyjson_val *list)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(list, i, n, one)
    {
        if (!take_call(k, one))
            return false;
    }
    return list == NULL || yyjson_is_arr(list) || bad(k, "tool_calls", "must be a list");
}

static bool take_files(struct taking *k, yyjson_val *list)
{
    size_t i, n;
    yyjson_val *one;
    struct chat_file f;
    yyjson_arr_foreach(list, i, n, one)
    {
        if (!chat_file_read(one, &k->scratch, &f, k->err))
            return false;
        if (!chat_tree_file(k->t, k->m, &f))
            return no_room(k);
    }
    return list == NULL || yyjson_is_arr(list) || bad(k, "attachments", "must be a list");
}

/* "2026-11-23T10:00:00.000Z" */
static bool take_time(struct taking *k, yyjson_val *root, int64_t *us)
{
    strv text = json_get_str(root, "timestamp");
    char whole[20];
    uint64_t ms;
    if (text.len != 24 || text.ptr[19] != '.' || text.ptr[23] != 'Z' ||
        !strv_u64((strv){text.ptr + 20, 3}, 0, 999, &ms))
        return bad(k, "timestamp", "must be a time in UTC with milliseconds");
    memcpy(whole, text.ptr, 19);
    whole[19] = 'Z';
    int64_t s = timefmt_read_rfc3339((strv){whole, 20});
    if (s < 0)
        return bad(k, "timestamp", "is no time");
    *us = s * 1000000 + (int64_t)ms * 1000;
    return true;
}

/* What was running then runs no more. */
static bool take_state(struct taking *k, yyjson_val *root, enum chat_state *out)
{
    strv word = json_get_str(root, "state");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strv_eq_cstr(word, states[i])) {
            *out = i == CHAT_RUNNING ? CHAT_INTERRUPTED : (enum chat_state)i;
            return true;
        }
    return bad(k, "state", "must be complete, running, interrupted or error");
}

static bool take_place(struct taking *k, yyjson_val *root)
{
    int64_t n = 0, parent = 0, us = 0;
    strv role = json_get_str(root, "role");
    bool assistant = strv_eq(role, STRV("assistant"));
    if (!assistant && !strv_eq(role, STRV("user")))
        return bad(k, "role", "must be user or assistant");
    if (!take_count(k, root, "n", &n) || !take_count(k, root, "parent", &parent) ||
        !take_time(k, root, &us))
        return false;
    parent = parent < 0 ? 0 : parent;
    int64_t last = k->t->n > 0 ? k->t->nodes[k->t->n - 1]->m.n : 0;
    if (n <= last || n > NUMBER_MAX || parent >= n)
        return bad(k, "n", "does not follow the messages before it");
    if (parent > 0 && chat_tree_find(k->t, (uint32_t)parent) == NULL)
        return bad(k, "parent", "is no message");
    k->m = tree_add(k->t, (uint32_t)n, (uint32_t)parent, assistant, us);
    return k->m != NULL || no_room(k);
}

static bool take_message(struct taking *k)
{
    yyjson_val *root = k->doc.root;
    strv content, reasoning;
    if (!yyjson_is_obj(root))
        return err_set(k->err, LLM_ERR_INVALID_REQUEST, "a message must be an object");
    if (!take_place(k, root))
        return false;
    if (!take_state(k, root, &k->m->state) || !take_text(k, root, "content", STRV_NONE, &content) ||
        !take_text(k, root, "reasoning", STRV(""), &reasoning))
        return false;
    if (content.ptr == NULL)
        return bad(k, "content", "must be text");
    if (!chat_tree_text(k->t, k->m, content) || !chat_tree_reasoning(k->t, k->m, reasoning))
        return no_room(k);
    return take_calls(k, json_get(root, "tool_calls")) &&
           take_files(k, json_get(root, "attachments")) && take_facts(k, json_get(root, "facts"));
}

bool chat_tree_read(struct chat_tree *t, strv json, struct err *err)
{
    struct taking k = {.t = t, .err = err};
    struct node *leaf = t->leaf;
    arena_init(&k.scratch, 4096, SCRATCH_MAX);
    bool ok = json_read(&k.doc, json, &k.scratch, LLM_ERR_INVALID_REQUEST, err) && take_message(&k);
    arena_fini(&k.scratch);
    if (!ok && k.m != NULL) {
        chat_tree_drop(t, k.m);
        t->leaf = leaf;
    }
    return ok;
}

/* ---- what may stand inside ---- */

static bool is_shallow(strv text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > INNER_DEPTH_MAX)
            return false;
        else if (!quoted && (c == ']' || c == '}'))
            depth -= depth > 0 ? 1 : 0;
    }
    return true;
}

bool tree_is_object(strv text, const char *const *without, struct arena *scratch, bool *is)
{
    struct json doc;
    struct err err = ERR_INIT;
    *is = false;
    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}' || !is_shallow(text))
        return true;
    if (!json_read(&doc, text, scratch, LLM_ERR_INVALID_REQUEST, &err))
        return err.code != ERR_CODE_OOM;
    *is = yyjson_is_obj(doc.root);
    for (; *is && without != NULL && *without != NULL; without++)
        *is = yyjson_obj_get(doc.root, *without) == NULL;
    return true;
}
