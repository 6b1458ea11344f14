/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - one server: which era it speaks, the handshake, requests and their answers, its end.
 *
 *   PROBE --modern answer----------------> LISTING --all lists--> READY
 *     |--error, silence, its death--> INITIALIZE --result--^        | session lost
 *     |                                   ^-------------------------'
 *     any --down()--> OVER
 *
 * Every request has a number, which is its id on the wire; an answer finds it by that and nothing else, so answers
 * come in any order, and those to a request that was given up find nothing and are dropped.
 *
 * Callbacks to the owner come only from callbacks of the link or of timers. After one the client may be closing, but
 * its memory stays until the link is gone.
 */
#include <assert.h>
#include <stdio.h>

#include "mcp/client_int.h"

#define PROBE_MS                                                                                   \
    ((uint64_t)3000) /* silence at a pipe: it starts slowly, or drops what it does not know */
#define CHECK_MS     ((uint64_t)5000)
#define UNSENT_MS    ((uint64_t)3000)
#define RENEWALS_MAX 2
#define OUT_MAX      ((size_t)64 << 20)

static const char info[] = "{\"name\":\"llm-router\",\"version\":\"" LLM_ROUTER_VERSION "\"}";

static const struct {
    const char *name;
    unsigned next; /* every legal move; any other asserts */
} states[] = {
    [CLIENT_PROBE] = {"probe", 1u << CLIENT_INITIALIZE | 1u << CLIENT_LISTING | 1u << CLIENT_OVER |
                                   1u << CLIENT_PROBE},
    [CLIENT_INITIALIZE] = {"initialize",
                           1u << CLIENT_PROBE | 1u << CLIENT_LISTING | 1u << CLIENT_OVER},
    [CLIENT_LISTING] = {"listing",
                        1u << CLIENT_READY | 1u << CLIENT_INITIALIZE | 1u << CLIENT_OVER},
    [CLIENT_READY] = {"ready", 1u << CLIENT_INITIALIZE | 1u << CLIENT_OVER},
    [CLIENT_OVER] = {"over", 1u << CLIENT_OVER},
};
_Static_assert(sizeof states / sizeof *states == CLIENT_STATES, "one row per state");

static void on_message(void *arg, strv text, uint64_t about, int status);
static void on_failed(void *arg, uint64_t tag, enum mcp_fault fault, int status, strv body);
static void on_closed(void *arg, enum mcp_fault fault, const char *why);
static void on_line(void *arg, strv line);
static void begin_or_fail(struct mcp_client *c, bool probe);
static void on_discovered(struct request *r, const struct reply *reply);
static void on_initialized(struct request *r, const struct reply *reply);

static const struct mcp_link_ops link_ops = {on_message, on_failed, on_closed, on_line};

static void go(struct mcp_client *c, enum client_state state)
{
    assert((states[c->state].next & 1u << state) != 0);
    c->state = state;
    LOG(c->env.log, LOG_DEBUG, "mcp", LOG_C(SERVER, c->conf->name),
        LOG_C(STATE, states[state].name));
}

bool mcp_is_over_http(const struct mcp_client *c)
{
    return c->conf->transport != MCP_STDIO;
}

/* ---- writing ---- */

/* Blanks between the parts of a JSON text may hold line ends, and a line is a message. */
static void put_one_line(struct buf *b, strv text)
{
    while (text.len > 0) {
        size_t n = 0;

        while (n < text.len && text.ptr[n] != '\n' && text.ptr[n] != '\r')
            n++;
        buf_put(b, text.ptr, n);
        if (n < text.len)
            buf_put_char(b, ' ');
        text = strv_from(text, n < text.len ? n + 1 : n);
    }
}

/* The members of an object's text, without its braces. */
static strv inside(strv object)
{
    object = strv_trim(object);
    if (object.len < 2)
        return STRV("");
    return strv_trim((strv){object.ptr + 1, object.len - 2});
}

static void put_capabilities(const struct mcp_client *c, struct buf *b)
{
    bool first = true;

    buf_put_char(b, '{');
    if (c->host != NULL && c->host->sampling && json_put_key(b, &first, "sampling"))
        buf_put_cstr(b, "{}");
    if (c->host != NULL && c->host->elicitation && json_put_key(b, &first, "elicitation"))
        buf_put_cstr(b, "{}");
    if (c->host != NULL && c->host->roots && json_put_key(b, &first, "roots"))
        buf_put_cstr(b, "{}");
    if (c->era == MCP_ERA_MODERN && json_put_key(b, &first, "extensions"))
        buf_put_cstr(b, "{\"io.modelcontextprotocol/tasks\":{}}");
    buf_put_char(b, '}');
}

static bool put_meta(const struct mcp_client *c, struct buf *b, const struct asking *a)
{
    bool first = true;

    if (c->era != MCP_ERA_MODERN && a->progress == 0)
        return false;
    buf_put_cstr(b, "\"_meta\":{");
    if (c->era == MCP_ERA_MODERN) {
        json_put_key(b, &first, "io.modelcontextprotocol/protocolVersion");
        json_put_str(b, strv_of(c->revision));
        json_put_key(b, &first, "io.modelcontextprotocol/clientInfo");
        buf_put_cstr(b, info);
        json_put_key(b, &first, "io.modelcontextprotocol/clientCapabilities");
        if (a->capabilities.len > 0)
            put_one_line(b, a->capabilities);
        else
            put_capabilities(c, b);
        if (a->log_level.len > 0) {
            json_put_key(b, &first, "io.modelcontextprotocol/logLevel");
            json_put_str(b, a->log_level);
        }
    }
    if (a->progress != 0) {
        json_put_key(b, &first, "progressToken");
        buf_put_u64(b, a->progress);
    }
    buf_put_char(b, '}');
    return true;
}

static void put_request(const struct mcp_client *c, struct buf *b, uint64_t tag,
                        const struct asking *a)
{
    strv parts[] = {inside(a->params), a->more};
    bool comma;

    buf_printf(b, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":", (unsigned long long)tag);
    json_put_str(b, strv_of(a->method));
    buf_put_cstr(b, ",\"params\":{");
    comma = put_meta(c, b, a);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].len == 0)
            continue;
        if (comma)
            buf_put_char(b, ',');
        put_one_line(b, parts[i]);
        comma = true;
    }
    buf_put_cstr(b, "}}");
}

static bool send_text(struct mcp_client *c, struct buf *b, struct mcp_sending *s)
{
    bool ok;

    s->text = buf_view(b);
    s->revision = c->revision;
    s->era = c->era;
    ok = !b->failed && c->link != NULL && mcp_link_send(c->link, s);
    buf_fini(b);
    return ok;
}

static void on_limit(void *arg)
{
    struct request *r = arg;
    struct reply reply = {.late = true};
    bool cancel = r->method != NULL && strcmp(r->method, "initialize") != 0 &&
                  r->c->state != CLIENT_PROBE; /* neither can be cancelled before the handshake */
    void (*answered)(struct request *, const struct reply *) = r->answered;
    struct request told = *r;

    mcp_request_drop(r, cancel ? "time is over" : NULL);
    answered(&told, &reply);
}

struct request *mcp_request(struct mcp_client *c, const struct asking *a)
{
    struct request *r = mem_zalloc(sizeof *r);
    struct mcp_sending s = {.kind = MCP_REQUEST,
                            .method = a->method,
                            .name = a->name,
                            .params = a->headers,
                            .n_params = a->n_headers};
    struct buf b;

    if (r == NULL)
        return NULL;
    r->c = c;
    r->tag = s.tag = ++c->last_tag;
    r->method = a->method;
    r->answered = a->answered;
    r->owner = a->owner;
    buf_init(&b, OUT_MAX);
    put_request(c, &b, r->tag, a);
    if (!send_text(c, &b, &s)) {
        mem_free(r);
        return NULL;
    }
    list_add_tail(&c->requests, &r->node);
    if (a->limit_ms != 0)
        io_timer_start(c->env.loop, &r->limit, a->limit_ms, on_limit, r);
    return r;
}

static void take_off(struct request *r)
{
    list_del(&r->node);
    io_timer_stop(r->c->env.loop, &r->limit);
}

void mcp_request_drop(struct request *r, const char *reason)
{
    struct mcp_client *c = r->c;
    char params[160];

    take_off(r);
    if (c->link != NULL) {
        /* In the modern era, closing the answer's stream is the cancelling. */
        if (reason != NULL && !(c->era == MCP_ERA_MODERN && mcp_is_over_http(c))) {
            snprintf(params, sizeof params, "{\"requestId\":%llu,\"reason\":\"%s\"}",
                     (unsigned long long)r->tag, reason);
            mcp_notify(c, "notifications/cancelled", strv_of(params));
        }
        mcp_link_abandon(c->link, r->tag);
    }
    mem_free(r);
}

bool mcp_notify(struct mcp_client *c, const char *method, strv params)
{
    struct mcp_sending s = {.kind = MCP_NOTIFICATION, .method = method};
    struct asking none = {0};
    struct buf b;
    bool comma;

    buf_init(&b, OUT_MAX);
    buf_put_cstr(&b, "{\"jsonrpc\":\"2.0\",\"method\":");
    json_put_str(&b, strv_of(method));
    buf_put_cstr(&b, ",\"params\":{");
    comma = put_meta(c, &b, &none);
    if (comma && inside(params).len > 0)
        buf_put_char(&b, ',');
    put_one_line(&b, inside(params));
    buf_put_cstr(&b, "}}");
    return send_text(c, &b, &s);
}

bool mcp_respond(struct mcp_client *c, strv id, strv result)
{
    struct mcp_sending s = {.kind = MCP_RESULT};
    struct buf b;

    buf_init(&b, OUT_MAX);
    buf_put_cstr(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_put_strv(&b, id);
    buf_put_cstr(&b, ",\"result\":");
    put_one_line(&b, result);
    buf_put_char(&b, '}');
    return send_text(c, &b, &s);
}

bool mcp_respond_error(struct mcp_client *c, strv id, int code, const char *text)
{
    struct mcp_sending s = {.kind = MCP_ERROR};
    struct buf b;

    buf_init(&b, OUT_MAX);
    buf_put_cstr(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_put_strv(&b, id);
    buf_printf(&b, ",\"error\":{\"code\":%d,\"message\":", code);
    json_put_str(&b, strv_of(text));
    buf_put_cstr(&b, "}}");
    return send_text(c, &b, &s);
}

/* ---- what comes ---- */

static struct request *find(struct mcp_client *c, uint64_t tag)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &c->requests)
    {
        struct request *r = list_entry(pos, struct request, node);

        if (r->tag == tag)
            return r;
    }
    return NULL;
}

/* An error without an id of ours answers what it came for ("server-error", says the Python library), or the only thing
 * that was asked. */
static struct request *find_answered(struct mcp_client *c, const struct mcp_message *m,
                                     uint64_t about)
{
    uint64_t tag = 0;

    if (m->id.ptr != NULL && strv_u64(m->id, 1, UINT64_MAX, &tag))
        return find(c, tag);
    if (m->id.ptr != NULL && (m->kind != MCP_ERROR || about == 0))
        return NULL;
    if (about != 0)
        return find(c, about);
    if (list_empty(&c->requests) || c->requests.next->next != &c->requests)
        return NULL;
    return list_first(&c->requests, struct request, node);
}

static void answer(struct request *r, const struct reply *reply)
{
    take_off(r);
    r->answered(r, reply);
    mem_free(r);
}

/* Both are worth trying again in the revision that the server names, once; a probe does so by itself. */
static void take_answer(struct mcp_client *c, const struct mcp_message *m, uint64_t about,
                        int status)
{
    struct request *r = find_answered(c, m, about);
    struct reply reply = {.m = m, .status = status};

    if (r == NULL)
        return; /* it came too late */
    if (m->kind == MCP_RESULT && !json_raw_member(&m->json, m->json.root, "result", &reply.result))
        return;
    if (m->kind == MCP_RESULT && about != 0 && about != r->tag)
        return; /* on another's stream: no server does that, so nobody may */
    answer(r, &reply);
}

static void take_notification(struct mcp_client *c, const struct mcp_message *m, uint64_t about)
{
    strv params = STRV("{}"), id;

    json_raw_member(&m->json, m->json.root, "params", &params);
    if (strv_eq(m->method, STRV("notifications/progress")))
        mcp_call_progress(c, m);
    else if (strv_eq(m->method, STRV("notifications/message")))
        mcp_call_said(c, about, params);
    else if (strv_eq(m->method, STRV("notifications/tools/list_changed")))
        mcp_lists_changed(c, 1u << MCP_TOOLS);
    else if (strv_eq(m->method, STRV("notifications/resources/list_changed")))
        mcp_lists_changed(c, 1u << MCP_RESOURCES | 1u << MCP_TEMPLATES);
    else if (strv_eq(m->method, STRV("notifications/prompts/list_changed")))
        mcp_lists_changed(c, 1u << MCP_PROMPTS);
    else if (strv_eq(m->method, STRV("notifications/resources/updated"))) {
        if (c->ops->updated != NULL && json_get_str(m->params, "uri").len > 0)
            c->ops->updated(c->arg, json_get_str(m->params, "uri"));
    } else if (strv_eq(m->method, STRV("notifications/cancelled")) &&
               json_raw_member(&m->json, m->params, "requestId", &id))
        mcp_question_withdrawn(c, id);
}

static void take_request(struct mcp_client *c, const struct mcp_message *m, uint64_t about)
{
    strv params = STRV("{}");

    json_raw_member(&m->json, m->json.root, "params", &params);
    if (strv_eq(m->method, STRV("ping")))
        mcp_respond(c, m->id, STRV("{}"));
    else
        mcp_question_come(c, m, params, about);
}

static void on_message(void *arg, strv text, uint64_t about, int status)
{
    struct mcp_client *c = arg;
    struct err err = ERR_INIT;
    struct mcp_message m;
    struct arena arena;
    struct request *r;
    int code;

    arena_init(&arena, 16384, SIZE_MAX / 4);
    if (mcp_message_read(text, &arena, &m, &code, &err)) {
        if (m.kind == MCP_RESULT || m.kind == MCP_ERROR)
            take_answer(c, &m, about, status);
        else if (m.kind == MCP_REQUEST)
            take_request(c, &m, about);
        else
            take_notification(c, &m, about);
    } else if ((r = find_answered(c, &m, about)) != NULL && (m.id.ptr != NULL || about != 0)) {
        struct reply reply = {.status = status,
                              .fault = err.code == ERR_CODE_OOM ? MCP_FAULT_NO_MEMORY
                                                                : MCP_FAULT_MALFORMED};

        answer(r, &reply);
    } else {
        LOG(c->env.log, LOG_INFO, "mcp", LOG_C(SERVER, c->conf->name),
            LOG_C(REASON, "a message could not be read"), LOG_I(COUNT, text.len));
    }
    arena_fini(&arena);
}

static void on_failed(void *arg, uint64_t tag, enum mcp_fault fault, int status, strv body)
{
    struct reply reply = {.fault = fault, .status = status, .body = body};
    struct request *r = find(arg, tag);

    if (r != NULL)
        answer(r, &reply);
}

/* Kept until it is ready: a server that cannot start says why. Later lines could quote what we told it. */
static void on_line(void *arg, strv line)
{
    struct mcp_client *c = arg;
    struct arena arena;
    strv clean;

    LOG(c->env.log, LOG_DEBUG, "mcp", LOG_C(SERVER, c->conf->name),
        LOG_C(REASON, "a line on its standard error"), LOG_I(COUNT, line.len));
    if (c->was_ready)
        return;
    arena_init(&arena, 2048, 1 << 16);
    clean = mcp_clean(strv_trim(line), sizeof c->last_words - 1, &arena);
    if (clean.len > 0)
        snprintf(c->last_words, sizeof c->last_words, STRV_FMT, STRV_ARG(clean));
    arena_fini(&arena);
}

/* ---- words for what went wrong ---- */

static const char *fault_text(enum mcp_fault fault)
{
    static const char *const texts[] = {
        [MCP_FAULT_DOWN] = "it cannot be reached",
        [MCP_FAULT_CUT] = "it ended before it answered",
        [MCP_FAULT_STATUS] = "its answer is not this protocol's",
        [MCP_FAULT_SESSION] = "the session with it was lost",
        [MCP_FAULT_UNAUTHORIZED] = "it wants another authorization (401)",
        [MCP_FAULT_FORBIDDEN] = "it forbids this (403)",
        [MCP_FAULT_MALFORMED] = "its answer is not this protocol's, or too large",
        [MCP_FAULT_WITHHELD] = "its address is not one of its zone",
        [MCP_FAULT_NO_MEMORY] = "no memory for its answer",
        [MCP_FAULT_LOGIN] = "it wants a login",
    };

    return texts[fault];
}

const char *mcp_reply_text(const struct reply *reply, struct arena *arena)
{
    const char *text;
    strv theirs;

    if (reply->late)
        return "it did not answer in time";
    if (reply->m == NULL && reply->fault == MCP_FAULT_LOGIN) {
        text = arena_printf(arena, "it wants a login: " STRV_FMT, STRV_ARG(reply->body));
        return text != NULL ? text : fault_text(reply->fault);
    }
    if (reply->m == NULL && reply->status != 0) {
        text = arena_printf(arena, "%s: HTTP status %d", fault_text(reply->fault), reply->status);
        return text != NULL ? text : fault_text(reply->fault);
    }
    if (reply->m == NULL)
        return fault_text(reply->fault);
    if (reply->m->kind != MCP_ERROR)
        return "its answer is not this protocol's";
    theirs = mcp_clean(reply->m->text, MCP_TEXT_MAX, arena);
    text = theirs.len > 0
               ? arena_printf(arena, STRV_FMT " (error %d)", STRV_ARG(theirs), reply->m->code)
               : arena_printf(arena, "error %d", reply->m->code);
    return text != NULL ? text : "no memory";
}

void mcp_client_down(struct mcp_client *c, const char *why)
{
    if (c->state == CLIENT_OVER)
        return;
    if (!c->was_ready && c->last_words[0] != '\0')
        snprintf(c->why, sizeof c->why, "%.180s; its last words: %s", why, c->last_words);
    else
        snprintf(c->why, sizeof c->why, "%s", why);
    go(c, CLIENT_OVER);
    io_timer_stop(c->env.loop, &c->start);
    mcp_lists_stop(c);
    mcp_questions_forget(c, NULL);
    mcp_calls_end(c, why, false); /* without those words: they may hold what the server was given */
    while (!list_empty(&c->requests))
        mcp_request_drop(list_first(&c->requests, struct request, node), NULL);
    if (!c->gone && c->links > 0 && c->ops != NULL)
        c->ops->down(c->arg, c->why);
}

static void down_for(struct mcp_client *c, const char *what, const struct reply *reply)
{
    struct arena arena;
    char why[300];

    arena_init(&arena, 1024, 1 << 16);
    snprintf(why, sizeof why, "%s%s", what, mcp_reply_text(reply, &arena));
    mcp_client_down(c, why);
    arena_fini(&arena);
}

/* ---- beginning ---- */

static bool open_link(struct mcp_client *c, struct err *err)
{
    c->link = mcp_link_open(&c->env, c->conf, &link_ops, c, err);
    c->links += c->link != NULL;
    return c->link != NULL;
}

static void on_slow(void *arg)
{
    struct mcp_client *c = arg;
    struct reply late = {.late = true};

    down_for(c, "", &late);
}

static uint64_t start_ms(const struct mcp_client *c)
{
    return c->conf->start_ms != 0 ? c->conf->start_ms : MCP_ASK_MS;
}

struct mcp_client *mcp_client_new(const struct mcp_client_opts *opts,
                                  const struct mcp_client_ops *ops, void *arg, struct err *err)
{
    struct mcp_client *c = mem_zalloc(sizeof *c);
    bool legacy = opts->conf->era == MCP_ERA_LEGACY || opts->conf->transport == MCP_SSE ||
                  (opts->conf->era == MCP_ERA_UNKNOWN && opts->known == MCP_ERA_LEGACY);

    if (c == NULL) {
        err_oom(err);
        return NULL;
    }
    c->env = opts->env;
    c->conf = opts->conf;
    c->host = opts->conf->local ? opts->host : NULL;
    c->ops = ops;
    c->arg = arg;
    c->known = opts->known;
    c->wavered = opts->conf->era != MCP_ERA_UNKNOWN;
    list_init(&c->requests);
    list_init(&c->calls);
    list_init(&c->questions);
    arena_init(&c->facts, 1024, (size_t)1 << 20);
    for (int i = 0; i < MCP_LISTS; i++)
        c->paging[i] = (struct paging){.c = c, .kind = (enum mcp_list_kind)i};
    if (!open_link(c, err)) {
        mem_free(c);
        return NULL;
    }
    io_timer_start(c->env.loop, &c->start, start_ms(c), on_slow, c);
    begin_or_fail(c, !legacy);
    return c;
}

/* Asks the first thing. False: it could not be sent. */
static bool begin(struct mcp_client *c, bool probe)
{
    struct asking a = {.method = probe ? "server/discover" : "initialize",
                       .answered = probe ? on_discovered : on_initialized,
                       .limit_ms = probe && !mcp_is_over_http(c) && !c->wavered ? PROBE_MS : 0};
    struct buf params;
    bool ok;

    go(c, probe ? CLIENT_PROBE : CLIENT_INITIALIZE);
    c->era = probe ? MCP_ERA_MODERN : MCP_ERA_LEGACY;
    c->revision = probe ? MCP_MODERN : NULL;
    buf_init(&params, 4096);
    if (!probe) {
        buf_put_cstr(&params, "{\"protocolVersion\":\"" MCP_LEGACY "\",\"capabilities\":");
        put_capabilities(c, &params);
        buf_printf(&params, ",\"clientInfo\":%s}", info);
    }
    a.params = buf_view(&params);
    ok = !params.failed && mcp_request(c, &a) != NULL;
    buf_fini(&params);
    return ok;
}

static void on_unsent(void *arg)
{
    mcp_client_down(arg, "the first message could not be sent");
}

/* A child that has died already takes no message, and why it died will be told in a moment: that is the better reason.
 * Otherwise it is for want of memory. */
static void begin_or_fail(struct mcp_client *c, bool probe)
{
    if (!begin(c, probe))
        io_timer_start(c->env.loop, &c->start, UNSENT_MS, on_unsent, c);
}

/* ---- what it says of itself ---- */

static void keep_text(struct mcp_client *c, strv *into, strv text, size_t max)
{
    *into = text.ptr != NULL ? mcp_clean(text, max, &c->facts) : STRV("");
    if (into->ptr == NULL)
        *into = STRV("");
}

static void keep_facts(struct mcp_client *c, yyjson_val *server, yyjson_val *capabilities,
                       strv instructions)
{
    static const struct {
        const char *capability;
        unsigned lists;
    } kinds[] = {{"tools", 1u << MCP_TOOLS},
                 {"resources", 1u << MCP_RESOURCES | 1u << MCP_TEMPLATES},
                 {"prompts", 1u << MCP_PROMPTS}};
    strv title = json_get_str(server, "title");

    arena_reset(&c->facts);
    keep_text(c, &c->title, title.len > 0 ? title : json_get_str(server, "name"), 100);
    keep_text(c, &c->version, json_get_str(server, "version"), 60);
    keep_text(c, &c->instructions, instructions, 16384);
    c->offers = 1u << MCP_TOOLS; /* asked for in any case: some have them and do not say so */
    c->notifies = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        yyjson_val *kind = json_get(capabilities, kinds[i].capability);

        if (kind != NULL)
            c->offers |= kinds[i].lists;
        if (yyjson_is_true(json_get(kind, "listChanged")))
            c->notifies |= kinds[i].lists;
    }
    c->completions = json_get(capabilities, "completions") != NULL;
    c->logging = json_get(capabilities, "logging") != NULL;
    c->subscribe = yyjson_is_true(json_get(json_get(capabilities, "resources"), "subscribe"));
    c->tasks = json_get(capabilities, "tasks") != NULL;
}

static void settled(struct mcp_client *c, enum mcp_era era)
{
    c->known = c->era = era;
    go(c, CLIENT_LISTING);
    io_timer_stop(c->env.loop, &c->start);
    mcp_lists_ask(c, c->offers);
}

/* ---- the modern era, or not ---- */

/* Which of the revisions that an error -32022 names is one of ours; NULL = none. */
static const char *pick_revision(yyjson_val *data, enum mcp_era era)
{
    yyjson_val *supported = json_get(data, "supported"), *v;
    size_t i, max;

    if (!yyjson_is_arr(supported))
        return NULL;
    for (size_t k = 0; mcp_revisions[k] != NULL; k++)
        yyjson_arr_foreach(supported, i, max, v)
        {
            if (strv_eq_cstr(json_str(v), mcp_revisions[k]) && mcp_revision_era(json_str(v)) == era)
                return mcp_revisions[k];
        }
    return NULL;
}

static void to_legacy(struct mcp_client *c, const struct reply *reply)
{
    if (c->wavered) {
        down_for(c, "it does not speak the era it is configured for: ", reply);
        return;
    }
    c->wavered = true;
    begin_or_fail(c, false);
}

/* It is modern, but has not said what it has. */
static void assume_modern(struct mcp_client *c)
{
    c->assumed = true;
    keep_facts(c, NULL, NULL, STRV_NONE);
    c->offers = (1u << MCP_LISTS) - 1;
    settled(c, MCP_ERA_MODERN);
}

void mcp_era_was_wrong(struct mcp_client *c)
{
    mcp_lists_stop(c);
    c->assumed = false;
    c->wavered = true;
    io_timer_start(c->env.loop, &c->start, start_ms(c), on_slow, c);
    begin_or_fail(c, false);
}

static void unserved(struct mcp_client *c, const struct reply *reply)
{
    if (pick_revision(reply->m->data, MCP_ERA_MODERN) != NULL && c->renewals++ == 0)
        begin_or_fail(c, true);
    else if (pick_revision(reply->m->data, MCP_ERA_LEGACY) != NULL)
        to_legacy(c, reply);
    else
        mcp_client_down(c, "it serves no revision of the protocol that we know");
}

static void take_discovery(struct mcp_client *c, const struct reply *reply)
{
    yyjson_val *result = reply->m->result, *meta = json_get(result, "_meta"), *v;
    bool ours = false;
    size_t i, max;

    if (!yyjson_is_arr(json_get(result, "supportedVersions"))) {
        to_legacy(c, reply);
        return;
    }
    yyjson_arr_foreach(json_get(result, "supportedVersions"), i, max, v) ours =
        ours || strv_eq(json_str(v), STRV(MCP_MODERN));
    if (!ours) {
        mcp_client_down(c, "it serves no revision of the protocol that we know");
        return;
    }
    keep_facts(c, json_get(meta, "io.modelcontextprotocol/serverInfo"),
               json_get(result, "capabilities"), json_get_str(result, "instructions"));
    settled(c, MCP_ERA_MODERN);
}

/* The rows of the table "which era has the peer". */
static void on_discovered(struct request *r, const struct reply *reply)
{
    struct mcp_client *c = r->c;
    bool http = mcp_is_over_http(c);
    int code = reply->m != NULL && reply->m->kind == MCP_ERROR ? reply->m->code : 0;

    if (reply->m != NULL && reply->m->kind == MCP_RESULT)
        take_discovery(c, reply);
    else if (code == MCP_VERSION_UNSERVED)
        unserved(c, reply);
    else if (code == MCP_HEADER_MISMATCH || code == MCP_CAPABILITY_MISSING ||
             (http && code == MCP_METHOD_NOT_FOUND && reply->status == 404) ||
             (http && code == MCP_INVALID_PARAMS && reply->status == 400 &&
              strv_contains_nocase(reply->m->text, STRV("_meta"))))
        assume_modern(c);
    else if (code != 0)
        to_legacy(c, reply);
    else if (http && reply->fault == MCP_FAULT_STATUS && !reply->late && reply->status < 500)
        to_legacy(c, reply);
    else if (!http && (reply->late || reply->fault == MCP_FAULT_MALFORMED))
        to_legacy(c, reply);
    else if (http && !reply->late && reply->fault == MCP_FAULT_SESSION)
        to_legacy(c, reply); /* "no session" is how a server of that era says it has not met us */
    else
        down_for(c, "", reply);
}

/* ---- the legacy era ---- */

static void take_initialized(struct mcp_client *c, const struct reply *reply)
{
    yyjson_val *result = reply->m->result;
    strv version = json_get_str(result, "protocolVersion");

    if (mcp_revision_era(version) != MCP_ERA_LEGACY) {
        mcp_client_down(c, "it answers initialize in a revision that we do not know");
        return;
    }
    for (size_t i = 0; mcp_revisions[i] != NULL; i++)
        if (strv_eq_cstr(version, mcp_revisions[i]))
            c->revision = mcp_revisions[i];
    keep_facts(c, json_get(result, "serverInfo"), json_get(result, "capabilities"),
               json_get_str(result, "instructions"));
    if (!mcp_notify(c, "notifications/initialized", STRV("{}"))) {
        mcp_client_down(c, "the first message could not be sent");
        return;
    }
    mcp_link_listen(c->link);
    settled(c, MCP_ERA_LEGACY);
}

static void on_initialized(struct request *r, const struct reply *reply)
{
    struct mcp_client *c = r->c;

    if (reply->m != NULL && reply->m->kind == MCP_RESULT)
        take_initialized(c, reply);
    else if (reply->m != NULL && reply->m->code == MCP_VERSION_UNSERVED &&
             c->conf->era == MCP_ERA_UNKNOWN && c->renewals++ == 0)
        begin_or_fail(c, true); /* modern only; what we knew of it was wrong */
    else
        down_for(c, "", reply);
}

/* ---- in the middle ---- */

void mcp_lists_done(struct mcp_client *c)
{
    bool first = c->state == CLIENT_LISTING;

    if (first) {
        go(c, CLIENT_READY);
        c->renewals = 0;
        c->was_ready = true;
        mcp_subscribe(c);
    }
    if ((first || c->list_news) && c->ops != NULL) {
        c->list_news = false;
        c->ops->changed(c->arg);
    }
    if (first && c->ops != NULL && c->ops->fresh != NULL)
        c->ops->fresh(c->arg);
    if (c->state == CLIENT_READY)
        mcp_calls_go_on(c);
}

void mcp_session_lost(struct mcp_client *c)
{
    if (c->state != CLIENT_READY && c->state != CLIENT_LISTING)
        return;
    if (c->era == MCP_ERA_MODERN || ++c->renewals > RENEWALS_MAX) {
        mcp_client_down(c, "the session with it was lost again and again");
        return;
    }
    LOG(c->env.log, LOG_INFO, "mcp", LOG_C(SERVER, c->conf->name), LOG_C(STATE, "session lost"));
    mcp_lists_stop(c);
    mcp_link_renew(c->link);
    io_timer_start(c->env.loop, &c->start, start_ms(c), on_slow, c);
    begin_or_fail(c, false);
}

static void on_checked(struct request *r, const struct reply *reply)
{
    r->c->checking = false;
    if (reply->m == NULL && (reply->late || reply->fault == MCP_FAULT_DOWN))
        down_for(r->c, "", reply);
}

/* One call that finds nobody may be an accident; if a ping finds nobody either, the server is down. */
void mcp_check_alive(struct mcp_client *c)
{
    struct asking a = {.method = c->era == MCP_ERA_MODERN ? "server/discover" : "ping",
                       .limit_ms = CHECK_MS,
                       .answered = on_checked};

    if (c->state == CLIENT_READY && !c->checking)
        c->checking = mcp_request(c, &a) != NULL;
}

/* ---- the end ---- */

static void on_link_gone(void *arg)
{
    struct mcp_client *c = arg;
    void (*gone)(void *arg) = c->gone;

    assert(c->links > 0);
    if (--c->links > 0 || c->ops != NULL)
        return;
    arg = c->gone_arg;
    arena_fini(&c->facts);
    for (int i = 0; i < MCP_LISTS; i++)
        mcp_list_unref(c->lists[i]);
    mcp_listing_unref(c->listing);
    mcp_uris_forget(c);
    mem_free(c);
    if (gone != NULL)
        gone(arg);
}

/* A server that cannot bear a request before initialize may die of the probe: it gets another chance. */
static void on_closed(void *arg, enum mcp_fault fault, const char *why)
{
    struct mcp_client *c = arg;
    struct mcp_link *dead = c->link;
    struct err err = ERR_INIT;
    bool again = c->state == CLIENT_PROBE && !c->wavered && fault == MCP_FAULT_CUT;

    c->link = NULL;
    while (again && !list_empty(&c->requests))
        mcp_request_drop(list_first(&c->requests, struct request, node), NULL);
    if (!again || !open_link(c, &err)) {
        c->link = dead;
        mcp_client_down(c, err.set ? err.text : why);
        return;
    }
    c->wavered = true;
    c->known = MCP_ERA_LEGACY;
    begin_or_fail(c, false);
    mcp_link_close(dead, on_link_gone, c);
}

void mcp_client_close(struct mcp_client *c, void (*gone)(void *arg), void *arg)
{
    struct mcp_link *link = c->link;

    c->ops = NULL;
    c->gone = gone;
    c->gone_arg = arg;
    if (c->state != CLIENT_OVER)
        go(c, CLIENT_OVER);
    io_timer_stop(c->env.loop, &c->start);
    mcp_lists_stop(c);
    mcp_questions_forget(c, NULL);
    mcp_calls_end(c, "", true);
    c->link = NULL;
    while (!list_empty(&c->requests))
        mcp_request_drop(list_first(&c->requests, struct request, node), NULL);
    mcp_link_close(link, on_link_gone, c);
}

struct mcp_listing *mcp_client_listing(const struct mcp_client *c)
{
    return c->listing;
}

enum mcp_era mcp_client_era(const struct mcp_client *c)
{
    return c->known;
}
