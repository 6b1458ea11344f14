/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_answer - what comes back over HTTP, cut into messages; see http_int.h.
 *
 *   2xx JSON        one message: the answer
 *   2xx events      messages, the answer is the last that is read; then nobody reads on
 *   4xx, 5xx JSON   an answer all the same when it is JSON-RPC: the modern era puts its errors there, too
 *   404, 400        with a session of ours: it is gone
 *   anything else   a fault
 */
#include "mcp/http_int.h"

/* An error's body is shown to nobody; who looks into it looks for a few words. */
#define BODY_SHOWN ((size_t)4096)

static void on_head(void *arg, const struct http_answer *answer);
static void on_body(void *arg, const char *data, size_t len);
static void on_end(void *arg, enum http_end how, enum io_end why);
static bool on_event(void *arg, const struct http_frame *frame);
static bool on_old_event(struct post *p, const struct http_frame *frame);
static bool take_message(struct post *p, strv text);
static void take_body(struct post *p);

const struct http_call_ops post_call_ops = {on_head, on_body, on_end, NULL};

void post_answer_reset(struct post *p)
{
    if (p->body_is == BODY_EVENTS)
        http_framer_fini(&p->framer);
    buf_fini(&p->body);
    p->body_is = BODY_NONE;
    p->status = 0;
}

static bool is_good(const struct post *p)
{
    return p->status >= 200 && p->status < 300;
}

/* ---- the head ---- */

static bool is_type(strv value, const char *type)
{
    strv name;

    return strv_cut(&value, ';', &name) && strv_eq_nocase(strv_trim(name), strv_of(type));
}

/* Visible ASCII; anything else could not be sent back as it is. */
static bool is_session(strv id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] < 0x21 || id.ptr[i] > 0x7e)
            return false;
    return id.len > 0 && id.len <= 1024;
}

/* False: the post has failed. */
static bool take_session(struct post *p, const struct http_answer *answer)
{
    struct http_link *l = p->link;
    strv id = http_answer_header(answer, "mcp-session-id");
    char *copy;

    if (!p->first || p->era == MCP_ERA_MODERN || !is_good(p) || id.ptr == NULL)
        return true;
    if (!is_session(id)) {
        post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
        return false;
    }
    copy = mem_alloc(id.len + 1);
    if (copy == NULL) {
        post_fail(p, MCP_FAULT_NO_MEMORY, STRV_NONE);
        return false;
    }
    memcpy(copy, id.ptr, id.len);
    copy[id.len] = '\0';
    mem_free(l->session);
    l->session = copy;
    l->session_worked = false;
    return true;
}

/* What it wants to see before it answers; copied, since the head does not stay. False: the post has failed. */
static bool take_challenge(struct post *p, const struct http_answer *answer)
{
    if ((p->status != 401 && p->status != 403) || p->link->auth == NULL)
        return true;
    for (size_t i = 0; i < answer->n_headers; i++) {
        const struct http_header *h = &answer->headers[i];
        strv value;

        if (!strv_eq_nocase(h->name, STRV("WWW-Authenticate")))
            continue;
        value = arena_strv(&p->arena, h->value);
        if (value.ptr == NULL || !oauth_challenge_read(value, &p->arena, &p->challenge)) {
            post_fail(p, MCP_FAULT_NO_MEMORY, STRV_NONE);
            return false;
        }
    }
    return true;
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct post *p = arg;
    size_t max = p->link->conf->message_max;
    strv type = http_answer_header(answer, "content-type");

    p->status = answer->status;
    if (!take_challenge(p, answer) || !take_session(p, answer))
        return;
    if (is_good(p) && p->session != NULL)
        p->link->session_worked = true;
    if (is_good(p) && p->token != NULL)
        mcp_auth_accepted(p->link->auth, p->token);
    if (p->link->barrier == p && is_good(p)) { /* it has arrived; its body does not matter */
        p->link->barrier = NULL;
        http_link_wake(p->link);
    }
    if (is_good(p) && is_type(type, "text/event-stream") &&
        (p->role == POST_STREAM || (p->kind == MCP_REQUEST && !p->link->old))) {
        p->body_is = BODY_EVENTS;
        http_framer_init(&p->framer, HTTP_SSE, max);
        p->framer.marks = true;
    } else if (p->role == POST_MESSAGE && (!is_good(p) || is_type(type, "application/json"))) {
        p->body_is = BODY_JSON;
        buf_init(&p->body, max);
    }
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct post *p = arg;

    switch (p->body_is) {
    case BODY_EVENTS:
        if (!http_framer_feed(&p->framer, data, len, on_event, p))
            /* Also when somebody has ended it meanwhile: then nothing comes of this. */
            post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
        break;
    case BODY_JSON:
        if (!buf_put(&p->body, data, len))
            post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
        break;
    case BODY_NONE:
        break;
    }
}

/* ---- the end ---- */

static enum mcp_fault fault_of(const struct post *p, enum http_end how, enum io_end why)
{
    switch (how) {
    case HTTP_CONNECT:
        return why == IO_NOT_ALLOWED ? MCP_FAULT_WITHHELD
               : why == IO_NO_MEMORY ? MCP_FAULT_NO_MEMORY
                                     : MCP_FAULT_DOWN;
    case HTTP_NO_MEMORY:
        return MCP_FAULT_NO_MEMORY;
    case HTTP_MALFORMED:
        return MCP_FAULT_MALFORMED;
    case HTTP_CUT:
    case HTTP_RESET:
        return MCP_FAULT_CUT;
    default:
        return p->status == 401   ? MCP_FAULT_UNAUTHORIZED
               : p->status == 403 ? MCP_FAULT_FORBIDDEN
               : p->status >= 500 ? MCP_FAULT_DOWN
               : is_good(p)       ? MCP_FAULT_MALFORMED /* well, but no answer */
                                  : MCP_FAULT_STATUS;
    }
}

/* Of a call that went wrong on its way: whether another try may bring the rest. */
static bool may_come_back(const struct post *p, enum mcp_fault fault)
{
    bool reads_on = p->role == POST_STREAM ? !p->link->old : buf_len(&p->last_id) > 0;

    return reads_on && (fault == MCP_FAULT_DOWN || fault == MCP_FAULT_CUT);
}

static void stream_ended(struct post *p, enum mcp_fault fault)
{
    if (p->body_is == BODY_EVENTS)
        fault = MCP_FAULT_CUT;
    if (may_come_back(p, fault))
        post_resume(p);
    else if (p->link->old && (p->status == 401 || p->status == 403))
        post_unauthorized(p, STRV_NONE);
    else if (p->status == 404 && p->session != NULL)
        post_fail(p, MCP_FAULT_SESSION, STRV_NONE);
    else
        post_fail(p, fault, STRV_NONE); /* 405: it has none to offer; told to nobody */
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct post *p = arg;
    enum mcp_fault fault = fault_of(p, how, why);
    bool whole = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;

    p->call = NULL;
    if (p->role == POST_GOODBYE) {
        post_kill(p);
        return;
    }
    if (p->body_is == BODY_EVENTS && whole && !http_framer_end(&p->framer, on_event, p))
        post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
    if (p->state == POST_DEAD)
        return;
    if (p->role == POST_STREAM)
        stream_ended(p, fault);
    else if (p->body_is == BODY_EVENTS || may_come_back(p, fault))
        post_resume(p);
    else if (whole)
        take_body(p);
    else
        post_fail(p, fault, STRV_NONE);
}

/* A server that has lost the session says so in many ways; what every legacy server says of a bad request is not
 * among them. */
static bool is_session_lost(const struct post *p, const struct mcp_message *m)
{
    if (p->session == NULL || (p->status != 404 && p->status != 400))
        return false;
    if (p->status == 404 || (m != NULL && strv_contains_nocase(m->text, STRV("session"))))
        return true;
    return p->link->session_worked &&
           (m == NULL || (m->code != MCP_INVALID_PARAMS && m->code != MCP_METHOD_NOT_FOUND &&
                          m->code != MCP_PARSE_ERROR));
}

static bool read_message(strv text, struct arena *arena, struct mcp_message *m)
{
    int code;

    arena_init(arena, 4096, SIZE_MAX / 4); /* the text is bounded, and what it becomes with it */
    return mcp_message_read(text, arena, m, &code, NULL);
}

/* Not events, and it came whole. */
static void take_body(struct post *p)
{
    struct http_link *l = p->link;
    strv body = buf_view(&p->body);
    struct mcp_message m;
    struct arena arena;
    bool sound = p->body_is == BODY_JSON && body.len > 0 && read_message(body, &arena, &m);
    bool answers = sound && (m.kind == MCP_ERROR ||
                             (m.kind == MCP_RESULT && is_good(p) && strv_eq(m.id, strv_of(p->id))));
    bool lost = is_session_lost(p, answers ? &m : NULL);

    if (p->body_is == BODY_JSON && body.len > 0)
        arena_fini(&arena);
    if (lost) {
        post_fail(p, MCP_FAULT_SESSION, STRV_NONE);
    } else if (p->status == 401 || p->status == 403) {
        post_unauthorized(p, utf8_cut(body, BODY_SHOWN));
    } else if (p->kind != MCP_REQUEST) {
        post_kill(p);
    } else if (l->old && is_good(p)) {
        p->state = POST_PENDING;
    } else if (answers) {
        post_kill(p); /* its memory stays until the end of the turn */
        l->ops->message(l->arg, body, p->tag, p->status);
    } else {
        /* A server that does not let us read on has cut the answer off, whatever it says now. */
        post_fail(p, buf_len(&p->last_id) > 0 ? MCP_FAULT_CUT : fault_of(p, HTTP_DONE, IO_EOF),
                  utf8_cut(body, BODY_SHOWN));
    }
}

/* ---- events ---- */

static void take_marks(struct post *p, const struct http_frame *frame)
{
    uint64_t ms;

    if (frame->retry.ptr != NULL && strv_u64(frame->retry, 0, UINT32_MAX, &ms))
        p->retry_ms = ms;
    if (frame->id.ptr == NULL || memchr(frame->id.ptr, '\0', frame->id.len) != NULL)
        return;
    buf_clear(&p->last_id);
    buf_put_strv(&p->last_id, frame->id); /* one too long to be remembered is as none */
    if (p->last_id.failed)
        buf_clear(&p->last_id);
}

static bool on_event(void *arg, const struct http_frame *frame)
{
    struct post *p = arg;

    p->tries = 0;
    if (p->link->old)
        return on_old_event(p, frame);
    take_marks(p, frame);
    if (frame->data.len == 0 || (frame->name.len > 0 && !strv_eq(frame->name, STRV("message"))))
        return true;
    return take_message(p, frame->data);
}

/* False: whoever reads must stop. */
static bool take_message(struct post *p, strv text)
{
    struct http_link *l = p->link;
    struct mcp_message m;
    struct arena arena;
    bool sound = read_message(text, &arena, &m);
    bool about_us = p->kind == MCP_REQUEST && sound &&
                    (m.kind == MCP_RESULT || m.kind == MCP_ERROR) &&
                    (m.id.ptr == NULL || strv_eq(m.id, strv_of(p->id)) ||
                     (m.kind == MCP_ERROR && p->status >= 400)); /* whatever id it made up */

    arena_fini(&arena);
    if (!sound && p->role == POST_STREAM)
        return true; /* nobody waits for it: one bad event does not end the stream */
    if (!sound) {
        post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
        return false;
    }
    if (about_us)
        post_kill(p); /* closes the stream: the answer is the last of it */
    l->ops->message(l->arg, text, p->tag, p->status);
    return p->state != POST_DEAD;
}

/* ---- the old transport ---- */

/* Where the messages of a server go: on its own origin, whatever it says. A relative address begins at the root or
 * beside the stream's. */
bool http_endpoint(const struct mcp_server_conf *conf, strv text, struct buf *out)
{
    strv base = strv_of(conf->path);
    struct http_url url;
    struct arena arena;
    bool ok = true;
    size_t host;

    text = strv_trim(text);
    if (strv_starts(text, STRV("http://")) || strv_starts(text, STRV("https://"))) {
        host = text.ptr[4] == 's' ? 8 : 7;
        while (host < text.len && strchr("/?#", text.ptr[host]) == NULL)
            host++;
        arena_init(&arena, 512, 8192);
        ok = http_url_parse((strv){text.ptr, host}, &arena, &url, NULL) &&
             url.tls == conf->upstream.url.tls && url.port == conf->upstream.url.port &&
             conf->upstream.url.host != NULL && strcmp(url.host, conf->upstream.url.host) == 0;
        arena_fini(&arena);
        text = strv_from(text, host);
    } else if (strv_starts(text, STRV("//"))) {
        return false;
    } else if (text.len > 0 && text.ptr[0] != '/') {
        const char *query = base.len > 0 ? memchr(base.ptr, '?', base.len) : NULL;
        size_t n = query != NULL ? (size_t)(query - base.ptr) : base.len;

        while (n > 0 && base.ptr[n - 1] != '/' && text.ptr[0] != '?')
            n--;
        buf_put_strv(out, n > 0 ? (strv){base.ptr, n} : STRV("/"));
    }
    for (size_t i = 0; i < text.len; i++)
        ok = ok && text.ptr[i] > 0x20 && text.ptr[i] < 0x7f && text.ptr[i] != '#';
    return ok && text.len > 0 && text.ptr[0] != '#' && buf_put_strv(out, text);
}

static bool take_endpoint(struct post *p, strv text)
{
    struct http_link *l = p->link;
    struct buf out;

    if (l->endpoint != NULL)
        return true; /* said once */
    buf_init(&out, 4096);
    if (http_endpoint(l->conf, text, &out) && buf_put_char(&out, '\0'))
        l->endpoint = mem_strdup(buf_view(&out).ptr);
    buf_fini(&out);
    if (l->endpoint == NULL) {
        post_fail(p, MCP_FAULT_MALFORMED, STRV_NONE);
        return false;
    }
    http_link_wake(l);
    return true;
}

static struct post *post_of(struct http_link *l, const struct mcp_message *m)
{
    struct list *pos, *tmp;

    if (m->kind != MCP_RESULT && m->kind != MCP_ERROR)
        return NULL;
    list_for_each(pos, tmp, &l->posts)
    {
        struct post *p = list_entry(pos, struct post, node);

        if (p->tag != 0 && strv_eq(m->id, strv_of(p->id)))
            return p;
    }
    return NULL;
}

static bool on_old_event(struct post *p, const struct http_frame *frame)
{
    struct http_link *l = p->link;
    struct mcp_message m;
    struct arena arena;
    struct post *asked;
    bool sound;

    if (strv_eq(frame->name, STRV("endpoint")))
        return take_endpoint(p, frame->data);
    if (frame->data.len == 0 || (frame->name.len > 0 && !strv_eq(frame->name, STRV("message"))))
        return true;
    sound = read_message(frame->data, &arena, &m);
    asked = sound ? post_of(l, &m) : NULL;
    arena_fini(&arena);
    if (!sound)
        return true;
    if (asked != NULL)
        post_kill(asked);
    l->ops->message(l->arg, frame->data, 0, 0);
    return p->state != POST_DEAD;
}
