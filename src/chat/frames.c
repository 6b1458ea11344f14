/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames - what clients are told (docs/chat.md, "From the router"). Each is written once, into the room's buffer, and
 * copied into a counted text that all seats share.
 */
#include <string.h>

#include "chat/chat_int.h"

const char *mode_name(enum llm_mode mode)
{
    static const char *const names[] = {[LLM_MODE_UNSET] = "hybrid",
                                        [LLM_MODE_LOCAL] = "local",
                                        [LLM_MODE_HYBRID] = "hybrid",
                                        [LLM_MODE_CLOUD] = "cloud"};
    return names[mode];
}

/* ---- pieces ---- */

static struct buf *begin(struct session *s, const char *type)
{
    struct buf *b = &s->room->text;
    buf_clear(b);
    buf_put_cstr(b, "{\"type\":");
    json_put_str(b, strv_of(type));
    return b;
}

static void put_key(struct buf *b, const char *key)
{
    buf_put_cstr(b, ",\"");
    buf_put_cstr(b, key);
    buf_put_cstr(b, "\":");
}

static void put_text(struct buf *b, const char *key, strv text)
{
    put_key(b, key);
    json_put_str(b, text.ptr != NULL ? text : STRV(""));
}

/* What says nothing is left out. */
static void put_told(struct buf *b, const char *key, strv text)
{
    if (text.len > 0)
        put_text(b, key, text);
}

static void put_bool(struct buf *b, const char *key, bool v)
{
    put_key(b, key);
    buf_put_cstr(b, v ? "true" : "false");
}

static void put_int(struct buf *b, const char *key, int64_t n)
{
    put_key(b, key);
    buf_put_i64(b, n);
}

static struct chat_frame *end(struct buf *b)
{
    buf_put_char(b, '}');
    struct chat_frame *f = b->failed ? NULL : mem_alloc(sizeof *f + buf_len(b) + 1);
    if (f != NULL) {
        atomic_init(&f->refs, 1);
        f->len = buf_len(b);
        memcpy(f->text, buf_view(b).ptr, f->len);
        f->text[f->len] = '\0';
    }
    if (b->cap > (size_t)256 * 1024) /* one long history is no reason to keep as much for ever */
        buf_fini(b);
    return f;
}

static struct chat_frame *end_if(bool ok, struct buf *b)
{
    struct chat_frame *f = end(b);
    if (ok || f == NULL)
        return f;
    chat_frame_unref(f);
    return NULL;
}

/* ---- the session ---- */

static void put_settings(struct buf *b, const struct session *s)
{
    put_text(b, "mode", strv_of(mode_name(s->mode)));
    put_text(b, "model", words_of(&s->model));
    put_text(b, "title", words_of(&s->title));
    put_bool(b, "private", s->is_private);
    put_text(b, "system", words_of(&s->system));
    put_bool(b, "tools", s->tools);
    put_bool(b, "kept", s->kept);
}

struct chat_frame *frame_connected(struct session *s)
{
    struct buf *b = begin(s, "connected");
    put_text(b, "session_id", strv_of(s->id));
    put_int(b, "history_count", chat_tree_count(s->tree));
    put_settings(b, s);
    put_bool(b, "running", s->stage != SESSION_IDLE);
    return end(b);
}

struct chat_frame *frame_session(struct session *s)
{
    struct buf *b = begin(s, "session");
    put_settings(b, s);
    return end(b);
}

struct chat_frame *frame_history(struct session *s)
{
    struct buf *b = begin(s, "history");
    const struct chat_message *leaf = chat_tree_leaf(s->tree);
    put_text(b, "session_id", strv_of(s->id));
    put_key(b, "messages");
    bool ok = chat_tree_json(s->tree, false, b);
    put_int(b, "leaf", leaf != NULL ? leaf->n : 0);
    return end_if(ok, b);
}

struct chat_frame *frame_message(struct session *s, const struct chat_message *m, strv ref,
                                 bool queued)
{
    struct buf *b = begin(s, "message");
    put_key(b, "message");
    bool ok = chat_message_json(s->tree, m, false, b);
    put_told(b, "ref", ref);
    put_bool(b, "queued", queued);
    return end_if(ok, b);
}

/* ---- an answer ---- */

struct chat_frame *frame_begin(struct session *s, uint32_t n, uint32_t parent)
{
    struct buf *b = begin(s, "begin");
    put_int(b, "n", n);
    put_int(b, "parent", parent);
    return end(b);
}

struct chat_frame *frame_piece(struct session *s, const char *type, strv content)
{
    struct buf *b = begin(s, type);
    put_text(b, "content", content);
    return end(b);
}

struct chat_frame *frame_call_start(struct session *s, strv name, strv id)
{
    struct buf *b = begin(s, "tool_call_start");
    put_text(b, "name", name);
    put_text(b, "id", id);
    return end(b);
}

struct chat_frame *frame_call(struct session *s, const struct chat_call *c)
{
    struct buf *b = begin(s, "tool_call");
    put_text(b, "name", c->name);
    put_key(b, "input");
    buf_put_strv(b, c->input); /* an object, as the tree has it */
    put_text(b, "id", c->id);
    put_told(b, "server", c->server);
    return end(b);
}

struct chat_frame *frame_result(struct session *s, const struct chat_call *c)
{
    struct buf *b = begin(s, "tool_result");
    put_text(b, "id", c->id);
    put_key(b, "result");
    bool ok = chat_result_json(c, b);
    put_bool(b, "is_error", c->is_error);
    put_told(b, "quality", c->quality);
    return end_if(ok, b);
}

struct chat_frame *frame_approval(struct session *s, strv call, const struct agent_petition *p)
{
    struct buf *b = begin(s, "approval");
    char until[TIMEFMT_MAX];
    put_text(b, "id", strv_of(p->id));
    put_text(b, "call", call);
    put_text(b, "name", strv_of(p->tool));
    put_text(b, "server", strv_of(p->server));
    put_key(b, "input");
    buf_put_strv(b, p->arguments.len > 0 ? p->arguments : STRV("{}"));
    put_text(b, "effect", strv_of(mcp_effect_name(p->effect)));
    put_text(b, "until", (strv){until, timefmt_rfc3339(until, p->until_us, 0)});
    put_bool(b, "always", p->always);
    return end(b);
}

struct chat_frame *frame_decided(struct session *s, strv id, const char *decision, const char *by)
{
    struct buf *b = begin(s, "decided");
    put_text(b, "id", id);
    put_text(b, "decision", strv_of(decision));
    put_text(b, "by", strv_of(by));
    return end(b);
}

struct chat_frame *frame_complete(struct session *s, uint32_t n, const struct chat_facts *f)
{
    struct buf *b = begin(s, "complete");
    struct chat_facts told = *f;
    bool first = false;
    told.tokens_in = f->tokens_in > 0 ? f->tokens_in : 0; /* `usage` is always there */
    told.tokens_out = f->tokens_out > 0 ? f->tokens_out : 0;
    put_int(b, "n", n);
    if (!f->is_private) /* which facts say only where it is so */
        put_bool(b, "private", false);
    bool ok = chat_facts_json(&told, &first, b);
    put_bool(b, "is_privacy_sensitive", f->is_private);
    return end_if(ok, b);
}

struct chat_frame *frame_interrupted(struct session *s, uint32_t n, bool partial, uint32_t dropped)
{
    struct buf *b = begin(s, "interrupted");
    put_text(b, "message",
             n > 0 ? STRV("The answer was stopped.") : STRV("There was nothing to stop."));
    put_bool(b, "partial_response", partial);
    if (n > 0)
        put_int(b, "n", n);
    if (dropped > 0)
        put_int(b, "dropped", dropped);
    return end(b);
}

struct chat_frame *frame_error(struct session *s, strv message, const char *code, uint32_t n,
                               uint64_t retry_after_s)
{
    struct buf *b = begin(s, "error");
    put_text(b, "message", message);
    put_text(b, "code", strv_of(code));
    if (n > 0)
        put_int(b, "n", n);
    if (retry_after_s > 0)
        put_int(b, "retry_after", (int64_t)retry_after_s);
    put_bool(b, "fatal", false);
    return end(b);
}

struct chat_frame *frame_summary(struct session *s, uint32_t messages, int64_t tokens, strv model)
{
    struct buf *b = begin(s, "summary");
    put_int(b, "messages", messages);
    put_int(b, "tokens", tokens);
    put_key(b, "model");
    if (model.ptr != NULL)
        json_put_str(b, model);
    else
        buf_put_cstr(b, "null");
    return end(b);
}

struct chat_frame *frame_notice(struct session *s, const char *code, strv message)
{
    struct buf *b = begin(s, "notice");
    put_text(b, "code", strv_of(code));
    put_text(b, "message", message);
    return end(b);
}
