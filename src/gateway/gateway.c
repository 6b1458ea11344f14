/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway - what every message passes before its method runs, and how it is answered.
 *
 *   JSON, shape > era > (modern: _meta, headers, version | legacy: version, session) > method
 *
 * Which era a message belongs to is told by itself: by _meta, by the header that names a revision, else it is legacy.
 */
#include "gateway/internal.h"

#include <stdio.h>

#define WORK_BLOCK       ((size_t)4096)
#define WORK_MAX         ((size_t)256 << 20) /* a result of 16 MiB, read and written again */
#define PROGRESS_EACH_US 20000

static const char server_info[] =
    "{\"name\":\"" GATEWAY_NAME "\",\"title\":\"LLM router\",\"version\":\"" LLM_ROUTER_VERSION
    "\"}";

/* ---- the gateway ---- */

struct gateway *gateway_new(const struct gateway_env *env)
{
    struct gateway *g = mem_zalloc(sizeof *g);
    if (g == NULL)
        return NULL;
    g->env = *env;
    list_init(&g->calls);
    list_init(&g->node);
    pthread_mutex_lock(&env->hall->lock);
    g->number = ++env->hall->last_number;
    list_add_tail(&env->hall->gateways, &g->node);
    pthread_mutex_unlock(&env->hall->lock);
    return g;
}

void gateway_drain(struct gateway *g)
{
    g->draining = true;
    gateway_listens_end(g);
}

void gateway_free(struct gateway *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->env.hall->lock);
    list_del(&g->node);
    pthread_mutex_unlock(&g->env.hall->lock);
    mem_free(g);
}

/* ---- answers ---- */

static void finish(struct gateway_call *c)
{
    c->over = true;
    list_del(&c->node);
    if (c->stop != NULL)
        c->stop(c);
    c->stop = NULL;
    gateway_questions_drop(c);
    arena_fini(&c->work);
}

void gateway_gone(struct gateway_call *c)
{
    if (!c->over)
        finish(c);
}

static void say(struct gateway_call *c, int status, strv text)
{
    if (c->over)
        return;
    c->sink->answer(c->arg, status, text, c->new_session);
    finish(c);
}

void gateway_drop(struct gateway_call *c)
{
    say(c, 200, STRV(""));
}

static const char no_memory[] = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32603,"
                                "\"message\":\"Out of memory.\"}}";

void gateway_no_memory(struct gateway_call *c)
{
    say(c, 500, strv_of(no_memory));
}

static void put_head(const struct gateway_call *c, struct buf *b)
{
    buf_put_cstr(b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_put_strv(b, c->m.id.len > 0 ? c->m.id : STRV("null"));
}

static void say_buf(struct gateway_call *c, int status, struct buf *b)
{
    if (b->failed)
        gateway_no_memory(c);
    else
        say(c, status, buf_view(b));
    buf_fini(b);
}

void gateway_put_server_info(struct buf *b)
{
    buf_put_cstr(b, "\"" META_SERVER "\":");
    buf_put_cstr(b, server_info);
}

void gateway_result_whole(struct gateway_call *c, strv members)
{
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    put_head(c, &b);
    buf_put_cstr(&b, ",\"result\":{");
    buf_put_strv(&b, members);
    buf_put_cstr(&b, "}}");
    say_buf(c, 200, &b);
}

void gateway_result(struct gateway_call *c, strv members)
{
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    if (c->era == MCP_ERA_MODERN) {
        buf_put_cstr(&b, "\"resultType\":\"complete\",\"_meta\":{");
        gateway_put_server_info(&b);
        buf_put_cstr(&b, members.len > 0 ? "}," : "}");
    }
    buf_put_strv(&b, members);
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_result_whole(c, buf_view(&b));
    buf_fini(&b);
}

int gateway_status(const struct gateway_call *c, int code)
{
    if (c->era != MCP_ERA_MODERN)
        return 200;
    return code == MCP_METHOD_NOT_FOUND ? 404
           : code == MCP_HEADER_MISMATCH || code == MCP_CAPABILITY_MISSING ||
                   code == MCP_VERSION_UNSERVED
               ? 400
               : 200;
}

void gateway_error(struct gateway_call *c, int status, int code, const char *text, strv data)
{
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    put_head(c, &b);
    buf_printf(&b, ",\"error\":{\"code\":%d,\"message\":", code);
    json_put_str(&b, strv_of(text));
    if (data.len > 0) {
        buf_put_cstr(&b, ",\"data\":");
        buf_put_strv(&b, data);
    }
    buf_put_cstr(&b, "}}");
    say_buf(c, status, &b);
}

void gateway_bad_params(struct gateway_call *c, const char *text)
{
    gateway_error(c, 200, MCP_INVALID_PARAMS, text, STRV_NONE);
}

/* ---- what precedes an answer ---- */

void gateway_notify(struct gateway_call *c, const char *method, strv params)
{
    struct buf b;
    if (c->over)
        return;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
    buf_put_strv(&b, params);
    buf_put_char(&b, '}');
    if (!b.failed) /* without memory it is not told; the answer will be */
        c->sink->message(c->arg, buf_view(&b));
    buf_fini(&b);
}

void gateway_progress(struct gateway_call *c, double done, double total, strv message)
{
    int64_t now = io_now_us(c->g->env.exchange->loop);
    bool last = total > 0 && done >= total;
    struct buf b;
    if (c->over || c->token.ptr == NULL || !(done > c->progress) ||
        (!last && c->progress_us > 0 && now - c->progress_us < PROGRESS_EACH_US))
        return;
    c->progress = done;
    c->progress_us = now;
    buf_init(&b, 65536);
    buf_put_cstr(&b, "{\"progressToken\":");
    buf_put_strv(&b, c->token);
    buf_put_cstr(&b, ",\"progress\":");
    json_put_num(&b, done);
    if (total >= 0) {
        buf_put_cstr(&b, ",\"total\":");
        json_put_num(&b, total);
    }
    if (message.len > 0) {
        buf_put_cstr(&b, ",\"message\":");
        json_put_str(&b, message);
    }
    buf_put_char(&b, '}');
    if (!b.failed)
        gateway_notify(c, "notifications/progress", buf_view(&b));
    buf_fini(&b);
}

void gateway_put_cache(const struct gateway_call *c, struct buf *b, unsigned ttl_ms)
{
    if (c->era == MCP_ERA_MODERN) /* private: what is listed depends on the caller's key */
        buf_printf(b, ",\"ttlMs\":%u,\"cacheScope\":\"private\"", ttl_ms);
}

/* ---- headers ---- */

strv gateway_header(const struct gateway_call *c, const char *name, bool *twice)
{
    strv found = STRV_NONE;
    for (size_t i = 0; i < c->in->n_headers; i++) {
        const struct http_header *h = &c->in->headers[i];
        if (!strv_eq_nocase(h->name, strv_of(name)))
            continue;
        strv value = strv_trim(h->value);
        if (found.ptr != NULL && !strv_eq(found, value))
            *twice = true;
        found = value;
    }
    return found;
}

bool gateway_mismatch(struct gateway_call *c, const char *name)
{
    char text[128];
    snprintf(text, sizeof text,
             "Header mismatch: %s is missing, malformed, or says other than the body.", name);
    gateway_error(c, 400, MCP_HEADER_MISMATCH, text, STRV_NONE);
    return false;
}

bool gateway_hints(struct gateway_call *c, struct llm_request *r)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < c->in->n_headers; i++) {
        const struct http_header *h = &c->in->headers[i];
        bool mode = strv_eq_nocase(h->name, STRV("X-LLM-Mode"));
        bool sensitivity = strv_eq_nocase(h->name, STRV("X-LLM-Sensitivity"));
        bool task = strv_eq_nocase(h->name, STRV("X-LLM-Task"));
        if ((mode || sensitivity || task) &&
            !policy_hints(r, mode ? h->value : STRV_NONE, sensitivity ? h->value : STRV_NONE,
                          task ? h->value : STRV_NONE, &err)) {
            gateway_bad_params(c, err.text);
            return false;
        }
    }
    return true;
}

/* Does the header say what the body says? */
bool gateway_header_is(struct gateway_call *c, const char *name, strv value)
{
    bool twice = false;
    strv raw = gateway_header(c, name, &twice), decoded;
    if (raw.ptr == NULL || twice || !mcp_header_decode(raw, &c->work, &decoded))
        return false;
    return strv_eq(decoded, value);
}

static bool modern_headers(struct gateway_call *c, strv version)
{
    static const struct {
        const char *method, *member;
    } named[] = {{"tools/call", "name"}, {"prompts/get", "name"}, {"resources/read", "uri"}};
    if (c->in->headers == NULL)
        return true;
    if (!gateway_header_is(c, "MCP-Protocol-Version", version))
        return gateway_mismatch(c, "MCP-Protocol-Version");
    if (!gateway_header_is(c, "Mcp-Method", c->m.method))
        return gateway_mismatch(c, "Mcp-Method");
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (!strv_eq_cstr(c->m.method, named[i].method))
            continue;
        strv value = json_get_str(c->m.params, named[i].member);
        if (value.ptr != NULL && !gateway_header_is(c, "Mcp-Name", value))
            return gateway_mismatch(c, "Mcp-Name");
    }
    return true;
}

/* ---- the client's own words ---- */

/* `revision` is not served: which ones are, in the era that was meant. */
static bool unserved(struct gateway_call *c, strv revision)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put_cstr(&b, "{\"supported\":[");
    if (c->era == MCP_ERA_MODERN)
        buf_put_cstr(&b, "\"" MCP_MODERN "\"");
    for (size_t i = 0, n = 0; c->era != MCP_ERA_MODERN && mcp_revisions[i] != NULL; i++)
        if (mcp_revision_era(strv_of(mcp_revisions[i])) == MCP_ERA_LEGACY)
            buf_printf(&b, "%s\"%s\"", n++ > 0 ? "," : "", mcp_revisions[i]);
    buf_put_cstr(&b, "],\"requested\":");
    /* A header may hold any byte, an answer may not. */
    bool fit = revision.len <= 256 && utf8_valid(revision);
    json_put_str(&b, fit ? revision : STRV(""));
    buf_put_char(&b, '}');
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_error(c, 400, MCP_VERSION_UNSERVED, "Unsupported protocol version", buf_view(&b));
    buf_fini(&b);
    return false;
}

/* Elicitation without words is of forms (2025-06-18). */
unsigned gateway_can(yyjson_val *capabilities)
{
    yyjson_val *elicitation = json_get(capabilities, "elicitation");
    unsigned can = 0;
    if (json_get(capabilities, "sampling") != NULL)
        can |= CAN_SAMPLE;
    if (json_get(capabilities, "roots") != NULL)
        can |= CAN_ROOTS;
    if (elicitation != NULL &&
        (json_get(elicitation, "form") != NULL || json_get(elicitation, "url") == NULL))
        can |= CAN_ELICIT;
    if (json_get(elicitation, "url") != NULL)
        can |= CAN_ELICIT_URL;
    return can;
}

static bool missing_meta(struct gateway_call *c, const char *key)
{
    char text[128];
    snprintf(text, sizeof text, "Invalid params: _meta must hold %s.", key);
    gateway_error(c, 400, MCP_INVALID_PARAMS, text, STRV_NONE);
    return false;
}

static bool begin_modern(struct gateway_call *c, yyjson_val *meta)
{
    yyjson_val *version = json_get(meta, META_VERSION),
               *capabilities = json_get(meta, META_CAPABILITIES);
    if (!yyjson_is_str(version))
        return missing_meta(c, META_VERSION);
    if (!yyjson_is_obj(capabilities))
        return missing_meta(c, META_CAPABILITIES);
    if (!modern_headers(c, json_str(version)))
        return false;
    if (mcp_revision_era(json_str(version)) != MCP_ERA_MODERN)
        return unserved(c, json_str(version));
    c->revision = json_str(version);
    c->can = gateway_can(capabilities);
    c->log_level = json_get_str(meta, META_LOG_LEVEL);
    (void)json_raw_member(&c->m.json, meta, META_CAPABILITIES, &c->capabilities);
    return true;
}

/* Of a session only what its id says. A client that was given none, or lost it, is served all the same. */
static bool begin_legacy(struct gateway_call *c)
{
    bool twice = false;
    strv version = gateway_header(c, "MCP-Protocol-Version", &twice);
    strv session = gateway_header(c, "Mcp-Session-Id", &twice);
    c->revision = STRV("2025-03-26");
    c->log_level = STRV("info"); /* nobody remembers a level between two messages */
    if (strv_eq_cstr(c->m.method, "initialize"))
        return true;
    if (version.ptr != NULL && mcp_revision_era(version) != MCP_ERA_LEGACY)
        return unserved(c, version);
    if (version.ptr != NULL)
        c->revision = version;
    if (session.ptr == NULL)
        return true;
    if (twice || !gateway_session_read(c, session, &c->can)) {
        gateway_error(c, 404, MCP_INVALID_REQUEST, "There is no such session: initialize again.",
                      STRV_NONE);
        return false;
    }
    c->session = session;
    return true;
}

static enum mcp_era era_of(const struct gateway_call *c, yyjson_val *meta)
{
    bool twice = false;
    strv version = gateway_header(c, "MCP-Protocol-Version", &twice);
    if (json_get(meta, META_VERSION) != NULL || strv_eq_cstr(c->m.method, "server/discover") ||
        strv_eq_cstr(c->m.method, "subscriptions/listen"))
        return MCP_ERA_MODERN;
    return mcp_revision_era(version) == MCP_ERA_MODERN ? MCP_ERA_MODERN : MCP_ERA_LEGACY;
}

/* ---- methods ---- */

static void ping(struct gateway_call *c)
{
    gateway_result(c, STRV(""));
}

static void set_level(struct gateway_call *c)
{
    static const char *const levels[] = {"debug", "info",     "notice", "warning",
                                         "error", "critical", "alert",  "emergency"};
    strv level = json_get_str(c->m.params, "level");
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strv_eq_cstr(level, levels[i])) {
            gateway_result(c, STRV(""));
            return;
        }
    gateway_bad_params(c, "level: expected debug, info, notice, warning, error, critical, alert or "
                          "emergency.");
}

#define LEGACY (1u << MCP_ERA_LEGACY)
#define MODERN (1u << MCP_ERA_MODERN)
static const struct method {
    const char *name;
    unsigned eras;
    bool of_servers; /* unknown where there are none */
    void (*run)(struct gateway_call *c);
} methods[] = {
    {"initialize", LEGACY, false, gateway_initialize},
    {"ping", LEGACY, false, ping},
    {"logging/setLevel", LEGACY, true, set_level},
    {"server/discover", MODERN, false, gateway_discover},
    {"tools/list", LEGACY | MODERN, false, gateway_tools_list},
    {"tools/call", LEGACY | MODERN, false, gateway_tools_call},
    {"resources/list", LEGACY | MODERN, true, gateway_resources_list},
    {"resources/templates/list", LEGACY | MODERN, true, gateway_templates_list},
    {"resources/read", LEGACY | MODERN, true, gateway_resources_read},
    {"resources/subscribe", LEGACY, true, gateway_subscribe},
    {"resources/unsubscribe", LEGACY, true, gateway_unsubscribe},
    {"prompts/list", LEGACY | MODERN, true, gateway_prompts_list},
    {"prompts/get", LEGACY | MODERN, true, gateway_prompts_get},
    {"completion/complete", LEGACY | MODERN, true, gateway_complete},
    {"subscriptions/listen", MODERN, true, gateway_listen},
};

bool gateway_has_servers(const struct gateway *g)
{
    struct mcp_catalogue *cat = gateway_catalogue(g);
    bool any = cat != NULL && cat->n_servers > 0;
    mcp_catalogue_unref(cat);
    return any;
}

static const struct method *find_method(const struct gateway_call *c)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strv_eq_cstr(c->m.method, methods[i].name) && (methods[i].eras & (1u << c->era)) != 0 &&
            (!methods[i].of_servers || gateway_has_servers(c->g)))
            return &methods[i];
    return NULL;
}

static void take_request(struct gateway_call *c)
{
    yyjson_val *meta = json_get(c->m.params, "_meta");
    yyjson_val *token = json_get(meta, "progressToken");
    int64_t whole;
    c->era = era_of(c, meta);
    if (c->era == MCP_ERA_MODERN ? !begin_modern(c, meta) : !begin_legacy(c))
        return;
    if (yyjson_is_str(token) || json_is_int(token, &whole))
        (void)json_raw_member(&c->m.json, meta, "progressToken", &c->token);
    const struct method *method = find_method(c);
    if (method == NULL)
        gateway_error(c, gateway_status(c, MCP_METHOD_NOT_FOUND), MCP_METHOD_NOT_FOUND,
                      "Method not found", STRV_NONE);
    else
        method->run(c);
}

static void take(struct gateway_call *c)
{
    struct err err = ERR_INIT;
    int code;
    if (!mcp_message_read(c->in->text, &c->work, &c->m, &code, &err)) {
        if (c->work.failed)
            gateway_no_memory(c);
        else
            gateway_error(c, 400, code, err.text, STRV_NONE);
        return;
    }
    switch (c->m.kind) {
    case MCP_REQUEST:
        take_request(c);
        break;
    case MCP_NOTIFICATION:
        if (strv_eq_cstr(c->m.method, "notifications/cancelled"))
            gateway_cancelled(c);
        say(c, 202, STRV(""));
        break;
    case MCP_RESULT:
    case MCP_ERROR:
        gateway_response(c);
        say(c, 202, STRV(""));
        break;
    }
}

/* A stream without a message: there is none unless it is a session's. */
static void take_stream(struct gateway_call *c)
{
    bool twice = false;
    c->era = MCP_ERA_LEGACY;
    if (!gateway_has_servers(c->g) || gateway_header(c, "Mcp-Session-Id", &twice).ptr == NULL)
        gateway_error(c, 405, MCP_INVALID_REQUEST, "There is no stream without a session.",
                      STRV_NONE);
    else if (begin_legacy(c))
        gateway_listen_legacy(c);
}

static struct gateway_call *call_new(struct gateway *g, struct arena *arena,
                                     const struct gateway_message *m,
                                     const struct exchange_caller *caller,
                                     const struct gateway_sink *sink, void *arg)
{
    struct gateway_call *c = ARENA_NEW(arena, struct gateway_call);
    if (c == NULL) {
        sink->answer(arg, 500, strv_of(no_memory), STRV_NONE);
        return NULL;
    }
    c->g = g;
    c->arena = arena;
    c->in = m;
    c->caller = *caller;
    c->sink = sink;
    c->arg = arg;
    c->progress = -1;
    arena_init(&c->work, WORK_BLOCK, WORK_MAX);
    list_add_tail(&g->calls, &c->node);
    return c;
}

struct gateway_call *gateway_take(struct gateway *g, struct arena *arena,
                                  const struct gateway_message *m,
                                  const struct exchange_caller *caller,
                                  const struct gateway_sink *sink, void *arg)
{
    struct gateway_call *c = call_new(g, arena, m, caller, sink, arg);
    if (c != NULL)
        take(c);
    return c == NULL || c->over ? NULL : c;
}

struct gateway_call *gateway_stream(struct gateway *g, struct arena *arena,
                                    const struct gateway_message *m,
                                    const struct exchange_caller *caller,
                                    const struct gateway_sink *sink, void *arg)
{
    struct gateway_call *c = call_new(g, arena, m, caller, sink, arg);
    if (c != NULL)
        take_stream(c);
    return c == NULL || c->over ? NULL : c;
}
