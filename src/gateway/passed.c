/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passed - requests for a configured server: sent there, and what comes back made fit for our client's era.
 *
 *   tools/call -> agent_call() (policy, approval, gate, audit) -+-> the server -> its result, whole
 *   others     -> mcp_call() ----------------------------------'
 *
 * While it runs: progress and log messages go on to a client that wants them. What a server asks goes to our client if it
 * said that it can be asked:
 *
 *   client    server    how
 *   modern    modern    the server's "input_required" is handed on, its state in our envelope; the client comes again
 *   legacy    modern    the questions go to the client as requests, and the call is made again with its answers
 *   legacy    legacy    the server's request becomes one of ours, its answer goes back
 *   modern    legacy    the call cannot wait for another request: our host answers (sampling by our policy) or declines
 *
 * A result of the server that is no answer (it is gone, too late) becomes a tool's error, so that a model reads of it;
 * for what is no tool it is an error of the protocol.
 */
#include "gateway/internal.h"

#include <stdio.h>

#define ROUNDS_MAX    8
#define OUTCOME_BYTES ((size_t)64 * 1024)
#define SAID_MAX      ((size_t)256 << 20) /* memory to read what a server says meanwhile */

struct open_question { /* of a legacy server; answered exactly once */
    struct open_question *next;
    struct passing *p;
    struct mcp_question *q;
};

struct input { /* one of a modern server's questions to a legacy client */
    struct passing *p;
    strv key, method, result;
};

struct passing {
    struct gateway_call *c;
    struct mcp_catalogue *cat;
    const struct mcp_listed *server;
    const struct mcp_tool *tool; /* NULL = it is none */
    const char *method;
    strv params; /* members, without braces and without inputs */
    strv inputs; /* members "inputResponses", "requestState"; "" = none */
    struct agent_guest guest;
    struct agent_request request;
    struct agent_call *agent_call;
    struct mcp_call *mcp_call;
    struct mcp_answer answer; /* copied into c->work */
    bool answered;
    bool (*accepted)(struct gateway_call *c); /* before a result goes out; may be NULL */
    unsigned rounds;
    struct input *asked;
    size_t n_asked, missing;
    struct open_question *open;
};

static void send(struct passing *p);

/* ---- the end ---- */

static void refuse_open(struct passing *p)
{
    for (struct open_question *o = p->open; o != NULL; o = o->next)
        mcp_refuse_question(o->q, MCP_INTERNAL, "The client has left.");
    p->open = NULL;
}

/* Whatever runs is over by itself; a reply follows. */
static void settle(struct passing *p)
{
    p->c->stop = NULL;
    p->agent_call = NULL;
    p->mcp_call = NULL;
    refuse_open(p);
    mcp_catalogue_unref(p->cat);
    p->cat = NULL;
}

static void stop(struct gateway_call *c)
{
    struct passing *p = c->running;
    if (p->agent_call != NULL)
        c->g->env.calls->cancel(p->agent_call);
    if (p->mcp_call != NULL)
        mcp_cancel(p->mcp_call);
    settle(p);
}

static void fail(struct passing *p, const char *sentence)
{
    struct gateway_call *c = p->c;
    bool tool = p->tool != NULL;
    settle(p);
    if (tool)
        own_failed(c, strv_of(sentence));
    else
        gateway_error(c, gateway_status(c, MCP_INTERNAL), MCP_INTERNAL, sentence, STRV_NONE);
}

/* ---- results ---- */

static void put_member(struct buf *b, strv key, strv value)
{
    if (buf_len(b) > 0)
        buf_put_char(b, ',');
    json_put_str(b, key);
    buf_put_char(b, ':');
    buf_put_strv(b, value);
}

/* What the server says beside its result, and who we are: a client speaks with us. */
static void put_meta(struct gateway_call *c, const struct json *json, struct buf *b)
{
    yyjson_val *meta = json_get(json->root, "_meta"), *key, *value;
    struct buf members;
    size_t i, max;
    strv text;
    buf_init(&members, GATEWAY_ANSWER_MAX);
    if (c->era == MCP_ERA_MODERN)
        gateway_put_server_info(&members);
    if (yyjson_is_obj(meta))
        yyjson_obj_foreach(meta, i, max, key, value)
        {
            if (!strv_eq_cstr(json_str(key), META_SERVER) && json_raw_value(json, key, &text))
                put_member(&members, json_str(key), text);
        }
    if (members.failed) {
        b->failed = true;
    } else if (buf_len(&members) > 0) {
        if (buf_len(b) > 0)
            buf_put_char(b, ',');
        buf_put_cstr(b, "\"_meta\":{");
        buf_put_strv(b, buf_view(&members));
        buf_put_char(b, '}');
    }
    buf_fini(&members);
}

static bool is_ours_to_say(const struct gateway_call *c, strv key, yyjson_val *value)
{
    static const char *const names[] = {"resultType", "_meta",         "ttlMs",
                                        "cacheScope", "inputRequests", "requestState"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(key, names[i]))
            return true;
    return c->era == MCP_ERA_LEGACY && strv_eq_cstr(key, "structuredContent") &&
           !yyjson_is_obj(value); /* an object there */
}

static void put_members(struct gateway_call *c, const struct json *json, struct buf *b)
{
    yyjson_val *key, *value;
    size_t i, max;
    strv text;
    yyjson_obj_foreach(json->root, i, max, key, value)
    {
        if (!is_ours_to_say(c, json_str(key), value) && json_raw_value(json, key, &text))
            put_member(b, json_str(key), text);
    }
}

/* A read may be kept as long as its server says, by this client only. */
static unsigned ttl_of(const struct json *json)
{
    int64_t ttl = json_get_int(json->root, "ttlMs", 0);
    return ttl < 0 ? 0 : ttl > 86400000 ? 86400000 : (unsigned)ttl;
}

static void pass_result(struct passing *p, const struct json *json)
{
    struct gateway_call *c = p->c;
    bool read = strcmp(p->method, "resources/read") == 0;
    struct buf b;
    if (p->accepted != NULL && !p->accepted(c))
        return;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    if (c->era == MCP_ERA_MODERN)
        buf_put_cstr(&b, "\"resultType\":\"complete\"");
    put_meta(c, json, &b);
    put_members(c, json, &b);
    if (read)
        gateway_put_cache(c, &b, ttl_of(json));
    settle(p);
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_result_whole(c, buf_view(&b));
    buf_fini(&b);
}

/* ---- a server that asks ---- */

static unsigned needed(strv method, yyjson_val *params)
{
    if (strv_eq_cstr(method, "sampling/createMessage"))
        return CAN_SAMPLE;
    if (strv_eq_cstr(method, "roots/list"))
        return CAN_ROOTS;
    if (strv_eq_cstr(method, "elicitation/create"))
        return strv_eq_cstr(json_get_str(params, "mode"), "url") ? CAN_ELICIT_URL : CAN_ELICIT;
    return ~0u;
}

static const char *needed_text(unsigned can)
{
    return can == CAN_SAMPLE       ? "{\"requiredCapabilities\":{\"sampling\":{}}}"
           : can == CAN_ROOTS      ? "{\"requiredCapabilities\":{\"roots\":{}}}"
           : can == CAN_ELICIT     ? "{\"requiredCapabilities\":{\"elicitation\":{}}}"
           : can == CAN_ELICIT_URL ? "{\"requiredCapabilities\":{\"elicitation\":{\"url\":{}}}}"
                                   : "";
}

/* Each question is one that this client can be asked. False: the call is over. */
static bool may_ask(struct passing *p, yyjson_val *requests)
{
    struct gateway_call *c = p->c;
    yyjson_val *key, *value;
    size_t i, max;
    yyjson_obj_foreach(requests, i, max, key, value)
    {
        unsigned can = needed(json_get_str(value, "method"), json_get(value, "params"));
        if (can == ~0u) {
            fail(p, "The server asks for something that this protocol does not know.");
            return false;
        }
        if ((c->can & can) == can)
            continue;
        settle(p);
        gateway_error(c, gateway_status(c, MCP_CAPABILITY_MISSING), MCP_CAPABILITY_MISSING,
                      "The client lacks a capability that this request needs.",
                      strv_of(needed_text(can)));
        return false;
    }
    return true;
}

static void pass_questions(struct passing *p, const struct json *json)
{
    struct gateway_call *c = p->c;
    strv state = json_get_str(json->root, "requestState"), text;
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "\"resultType\":\"input_required\"");
    put_meta(c, json, &b);
    put_members(c, json, &b);
    if (json_raw_member(json, json->root, "inputRequests", &text))
        put_member(&b, STRV("inputRequests"), text);
    if (state.ptr != NULL) {
        strv sealed = gateway_seal(c, state);
        buf_put_cstr(&b, ",\"requestState\":");
        json_put_str(&b, sealed);
        b.failed = b.failed || sealed.ptr == NULL;
    }
    settle(p);
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_result_whole(c, buf_view(&b));
    buf_fini(&b);
}

/* All answers are there: the same call once more. */
static void send_again(struct passing *p)
{
    struct buf b;
    strv state = p->answer.text; /* kept there by ask_client() */
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "\"inputResponses\":{");
    for (size_t i = 0; i < p->n_asked; i++) {
        if (i > 0)
            buf_put_char(&b, ',');
        json_put_str(&b, p->asked[i].key);
        buf_put_char(&b, ':');
        buf_put_strv(&b, p->asked[i].result);
    }
    buf_put_char(&b, '}');
    if (state.ptr != NULL) {
        buf_put_cstr(&b, ",\"requestState\":");
        json_put_str(&b, state);
    }
    p->inputs = b.failed ? STRV_NONE : arena_strv(&p->c->work, buf_view(&b));
    buf_fini(&b);
    if (p->inputs.ptr == NULL) {
        struct gateway_call *c = p->c;
        settle(p);
        gateway_no_memory(c);
    } else
        send(p);
}

static void on_input(struct gateway_call *c, void *arg, strv result, int code, strv why)
{
    struct input *in = arg;
    struct passing *p = in->p;
    (void)code;
    (void)why;
    if (result.ptr == NULL && strv_eq_cstr(in->method, "elicitation/create"))
        result = STRV("{\"action\":\"cancel\"}");
    if (result.ptr == NULL) {
        fail(p, "The client did not answer what the server asked.");
        return;
    }
    in->result = arena_strv(&c->work, result);
    if (in->result.ptr == NULL) {
        settle(p);
        gateway_no_memory(c);
    } else if (--p->missing == 0)
        send_again(p);
}

static void ask_client(struct passing *p, const struct json *json, yyjson_val *requests)
{
    struct gateway_call *c = p->c;
    yyjson_val *key, *value;
    size_t i, max;
    size_t n = yyjson_obj_size(requests);
    if (++p->rounds > ROUNDS_MAX) {
        fail(p, "The server asks again and again.");
        return;
    }
    p->asked = ARENA_ARRAY(&c->work, struct input, n + 1);
    p->n_asked = p->missing = n;
    p->answer.text = json_get_str(json->root, "requestState");
    bool ok = p->asked != NULL;
    if (ok)
        yyjson_obj_foreach(requests, i, max, key, value)
        {
            strv params = STRV("{}");
            (void)json_raw_member(json, value, "params", &params);
            p->asked[i] = (struct input){
                .p = p, .key = json_str(key), .method = json_get_str(value, "method")};
            char *method = arena_cstr(&c->work, p->asked[i].method);
            ok = ok && method != NULL &&
                 gateway_ask(c, method, params, on_input, &p->asked[i]) != NULL;
        }
    if (!ok)
        fail(p, "The client cannot be asked now.");
    else if (n == 0) /* it only wants to be called again */
        send_again(p);
}

static void on_input_required(struct passing *p, const struct json *json)
{
    yyjson_val *requests = json_get(json->root, "inputRequests");
    if (strcmp(p->method, "completion/complete") == 0 ||
        (requests != NULL && !yyjson_is_obj(requests)))
        fail(p, "The server's answer is not of this protocol.");
    else if (requests != NULL && !may_ask(p, requests))
        return;
    else if (p->c->era == MCP_ERA_MODERN)
        pass_questions(p, json);
    else
        ask_client(p, json, requests);
}

/* ---- what comes back ---- */

/* A server's code for its own client says nothing to ours if it is about the way between them. */
static int code_for(const struct gateway_call *c, int code)
{
    switch (code) {
    case MCP_HEADER_MISMATCH:
    case MCP_VERSION_UNSERVED:
    case MCP_PARSE_ERROR:
    case MCP_INVALID_REQUEST:
    case MCP_METHOD_NOT_FOUND:
        return MCP_INTERNAL;
    case MCP_RESOURCE_NOT_FOUND:
        return c->era == MCP_ERA_MODERN ? MCP_INVALID_PARAMS : code;
    case MCP_URL_ELICITATION:
        return c->era == MCP_ERA_MODERN ? MCP_INTERNAL : code;
    case MCP_CAPABILITY_MISSING:
        return c->era == MCP_ERA_MODERN ? code : MCP_INTERNAL;
    default:
        return code;
    }
}

static void pass_error(struct passing *p)
{
    struct gateway_call *c = p->c;
    int code = code_for(c, p->answer.code);
    char *text = arena_cstr(&c->work, p->answer.text);
    strv data = p->answer.data;
    settle(p);
    if (text == NULL)
        gateway_no_memory(c);
    else
        gateway_error(c, gateway_status(c, code), code, text, data);
}

static void on_result(struct passing *p)
{
    struct gateway_call *c = p->c;
    struct json json;
    struct err err = ERR_INIT;
    if (!json_read(&json, p->answer.result, &c->work, 0, &err) || !yyjson_is_obj(json.root)) {
        fail(p, "The server's answer cannot be read.");
        return;
    }
    strv type = json_get_str(json.root, "resultType");
    if (strv_eq_cstr(type, "input_required"))
        on_input_required(p, &json);
    else if (type.ptr == NULL || strv_eq_cstr(type, "complete"))
        pass_result(p, &json);
    else
        fail(p, "The server's answer is of a kind that this router does not know.");
}

static bool keep(struct passing *p, const struct mcp_answer *a)
{
    struct arena *work = &p->c->work;
    p->answer = *a;
    p->answer.result = arena_strv(work, a->result);
    p->answer.text = arena_strv(work, a->text);
    p->answer.data = arena_strv(work, a->data);
    p->answered = true;
    return !work->failed;
}

static void finish_plain(void *arg, const struct mcp_answer *a)
{
    struct passing *p = arg;
    struct gateway_call *c = p->c;
    p->mcp_call = NULL;
    if (!keep(p, a) || a->end == MCP_MEMORY) {
        settle(p);
        gateway_no_memory(c);
    } else if (a->end == MCP_OK)
        on_result(p);
    else if (a->end == MCP_REFUSED)
        pass_error(p);
    else {
        char *text = arena_cstr(&c->work, a->text);
        fail(p, text != NULL && *text != '\0' ? text : "The server did not answer.");
    }
}

/* ---- tools ---- */

static void on_answer(void *arg, const struct mcp_answer *a)
{
    struct passing *p = arg;
    if (!keep(p, a))
        p->answer.end = MCP_MEMORY;
}

static strv outcome_text(const struct agent_outcome *o, struct arena *arena)
{
    struct buf b;
    buf_init(&b, OUTCOME_BYTES * 4);
    for (size_t i = 0; i < o->part.n_parts; i++)
        buf_put_strv(&b, o->part.parts[i].text);
    if (o->part.n_parts == 0)
        buf_put_strv(&b, o->part.text);
    strv text = b.failed ? STRV_NONE : arena_strv(arena, buf_view(&b));
    buf_fini(&b);
    return text;
}

static void on_done(void *arg, const struct agent_outcome *outcome, bool is_private)
{
    struct passing *p = arg;
    struct gateway_call *c = p->c;
    (void)is_private;
    p->agent_call = NULL;
    if (p->answered && p->answer.end == MCP_OK) {
        p->answered = false;
        on_result(p);
    } else if (p->answered && p->answer.end == MCP_REFUSED) {
        pass_error(p);
    } else {
        strv text = outcome_text(outcome, &c->work);
        settle(p);
        if (text.ptr == NULL)
            gateway_no_memory(c);
        else
            own_failed(c, text.len > 0 ? text : STRV("The tool did not answer."));
    }
}

static void on_waits(void *arg, const struct agent_petition *petition)
{
    struct passing *p = arg;
    char text[96];
    snprintf(text, sizeof text, "This call waits for a person's approval (%s).", petition->id);
    gateway_progress(p->c, 0, -1, strv_of(text));
}

/* ---- meanwhile ---- */

static void on_progress(void *arg, double done, double total, strv message)
{
    struct passing *p = arg;
    gateway_progress(p->c, done, total, message);
}

static int level_of(strv level)
{
    static const char *const levels[] = {"debug", "info",     "notice", "warning",
                                         "error", "critical", "alert",  "emergency"};
    for (int i = 0; i < (int)(sizeof levels / sizeof *levels); i++)
        if (strv_eq_cstr(level, levels[i]))
            return i;
    return -1;
}

/* A server may say any number of things: nothing of it stays in the call's memory. */
static void on_said(void *arg, strv params)
{
    struct gateway_call *c = ((struct passing *)arg)->c;
    struct arena scratch;
    struct json json;
    struct err err = ERR_INIT;
    if (c->log_level.ptr == NULL)
        return;
    arena_init(&scratch, 4096, SAID_MAX);
    int level = json_read(&json, params, &scratch, 0, &err)
                    ? level_of(json_get_str(json.root, "level"))
                    : -1;
    arena_fini(&scratch);
    if (level >= 0 && level >= level_of(c->log_level))
        gateway_notify(c, "notifications/message", params);
}

static void on_reply(struct gateway_call *c, void *arg, strv result, int code, strv why)
{
    struct open_question *o = arg, **at = &o->p->open;
    (void)c;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (result.ptr != NULL) {
        mcp_answer_question(o->q, result);
        return;
    }
    char text[256];
    snprintf(text, sizeof text, STRV_FMT, (int)(why.len < 200 ? why.len : 200),
             why.ptr != NULL ? why.ptr : "");
    mcp_refuse_question(o->q, code != 0 ? code : MCP_USER_REFUSED, text);
}

static bool can_answer(const struct gateway_call *c, strv method, strv params)
{
    struct arena scratch;
    struct json json;
    struct err err = ERR_INIT;
    arena_init(&scratch, 4096, SAID_MAX);
    bool can =
        json_read(&json, params, &scratch, 0, &err) && (needed(method, json.root) & ~c->can) == 0;
    arena_fini(&scratch);
    return can;
}

static void on_ask(void *arg, struct mcp_question *q, strv method, strv params)
{
    struct passing *p = arg;
    struct gateway_call *c = p->c;
    struct open_question *o = ARENA_NEW(c->arena, struct open_question);
    char *name = arena_cstr(&c->work, method);
    if (o != NULL && name != NULL && can_answer(c, method, params)) {
        *o = (struct open_question){p->open, p, q};
        p->open = o;
        if (gateway_ask(c, name, params, on_reply, o) != NULL)
            return;
        p->open = o->next;
    }
    mcp_refuse_question(q, MCP_INTERNAL, "The client cannot be asked this.");
}

/* ---- the way there ---- */

static const struct agent_call_ops tool_ops = {on_done, on_waits, on_progress};
static const struct mcp_call_ops plain_ops = {finish_plain, on_progress, on_said, on_ask};

static bool send_tool(struct passing *p)
{
    struct gateway_call *c = p->c;
    p->guest.inputs = p->inputs;
    p->agent_call = c->g->env.calls->call(c->g->env.agent, c->arena, &p->request, &tool_ops, p);
    return p->agent_call != NULL;
}

static bool send_plain(struct passing *p)
{
    struct gateway_call *c = p->c;
    bool both = p->params.len > 0 && p->inputs.len > 0;
    char *params = arena_printf(&c->work, "{" STRV_FMT "%s" STRV_FMT "}", STRV_ARG(p->params),
                                both ? "," : "", STRV_ARG(p->inputs));
    if (params == NULL)
        return false;
    struct mcp_call_spec spec = {.server = p->server->name,
                                 .method = p->method,
                                 .params = strv_of(params),
                                 .repeatable = true,
                                 .capabilities = p->guest.capabilities,
                                 .log_level = p->guest.log_level};
    p->mcp_call = mcp_call(c->g->env.agent->hub, c->g->env.exchange->loop, &spec, &plain_ops, p);
    return p->mcp_call != NULL;
}

static void send(struct passing *p)
{
    struct gateway_call *c = p->c;
    p->answered = false;
    if (p->tool != NULL ? send_tool(p) : send_plain(p))
        return;
    settle(p);
    gateway_no_memory(c);
}

/* What the client answers to questions of an earlier round. False: the call is over. */
static bool take_inputs(struct gateway_call *c, strv *out)
{
    yyjson_val *responses = yyjson_obj_get(c->m.params, "inputResponses"),
               *state = yyjson_obj_get(c->m.params, "requestState");
    strv text, opened = STRV_NONE;
    struct buf b;
    *out = STRV("");
    if (c->era != MCP_ERA_MODERN)
        return true;
    if ((responses != NULL && !yyjson_is_obj(responses)) ||
        (state != NULL && !yyjson_is_str(state))) {
        gateway_bad_params(c, "inputResponses must be an object, requestState a string.");
        return false;
    }
    if (state != NULL && !gateway_unseal(c, json_str(state), &opened)) {
        gateway_bad_params(c, "requestState: this is not what was given, or it is too old.");
        return false;
    }
    buf_init(&b, GATEWAY_ANSWER_MAX);
    if (responses != NULL && json_raw_member(&c->m.json, c->m.params, "inputResponses", &text))
        put_member(&b, STRV("inputResponses"), text);
    if (opened.ptr != NULL) {
        buf_put_cstr(&b, buf_len(&b) > 0 ? ",\"requestState\":" : "\"requestState\":");
        json_put_str(&b, opened);
    }
    *out = b.failed ? STRV_NONE : arena_strv(&c->work, buf_view(&b));
    buf_fini(&b);
    if (out->ptr != NULL)
        return true;
    gateway_no_memory(c);
    return false;
}

/* Of a legacy client: what its session says. */
static strv capabilities_of(struct gateway_call *c)
{
    if (c->era == MCP_ERA_MODERN)
        return c->capabilities;
    if (c->can == 0)
        return STRV("");
    const char *elicitation = c->can & CAN_ELICIT && c->can & CAN_ELICIT_URL
                                  ? "\"elicitation\":{\"form\":{},\"url\":{}}"
                              : c->can & CAN_ELICIT_URL ? "\"elicitation\":{\"url\":{}}"
                              : c->can & CAN_ELICIT     ? "\"elicitation\":{}"
                                                        : "";
    const char *sampling = c->can & CAN_SAMPLE ? "\"sampling\":{}" : "";
    const char *roots = c->can & CAN_ROOTS ? "\"roots\":{}" : "";
    bool first = *elicitation != '\0', second = *sampling != '\0', third = *roots != '\0';
    return strv_of(arena_printf(&c->work, "{%s%s%s%s%s}", elicitation,
                                first && (second || third) ? "," : "", sampling,
                                second && third ? "," : "", roots));
}

/* `cat` is taken over. */
static struct passing *begin(struct gateway_call *c, struct mcp_catalogue *cat,
                             const struct mcp_listed *server, const char *method)
{
    strv inputs;
    struct passing *p = ARENA_NEW(c->arena, struct passing);
    strv capabilities = capabilities_of(c);
    if (p == NULL || capabilities.ptr == NULL) {
        gateway_no_memory(c);
    } else if (take_inputs(c, &inputs)) {
        bool suspends = c->era == MCP_ERA_MODERN && server->era != MCP_ERA_MODERN;
        p->c = c;
        p->cat = cat;
        p->server = server;
        p->method = method;
        p->inputs = inputs;
        p->guest =
            (struct agent_guest){.capabilities = suspends ? STRV("") : capabilities,
                                 .log_level = c->log_level.ptr != NULL ? c->log_level : STRV(""),
                                 .answer = on_answer,
                                 .said = on_said,
                                 .ask = on_ask};
        c->running = p;
        c->stop = stop;
        return p;
    }
    mcp_catalogue_unref(cat);
    return NULL;
}

void gateway_pass_tool(struct gateway_call *c, strv name)
{
    struct llm_request hints = {.mode = LLM_MODE_UNSET};
    yyjson_val *args = json_get(c->m.params, "arguments");
    strv arguments = STRV("{}");
    if (!gateway_hints(c, &hints))
        return;
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    const struct mcp_tool *t = cat != NULL ? gateway_tool_find(c, cat, name) : NULL;
    if (args != NULL)
        (void)json_raw_member(&c->m.json, c->m.params, "arguments", &arguments);
    if (t == NULL) {
        mcp_catalogue_unref(cat);
        gateway_bad_params(c, "Unknown tool");
        return;
    }
    if (!gateway_mirrored(c, t, args)) {
        mcp_catalogue_unref(cat);
        return;
    }
    struct passing *p = begin(c, cat, t->server, "tools/call");
    if (p == NULL)
        return;
    p->tool = t;
    p->request = (struct agent_request){
        .tool = t,
        .arguments = arguments,
        .caller = &c->caller,
        .session = STRV_NONE,
        .is_private = hints.private_hint || hints.mode == LLM_MODE_LOCAL ||
                      (c->caller.holder != NULL && c->caller.holder->rules.force_private),
        .outcome = {.bytes_max = OUTCOME_BYTES},
        .guest = &p->guest};
    send(p);
}

void gateway_pass(struct gateway_call *c, struct mcp_catalogue *cat,
                  const struct mcp_listed *server, const char *method, strv params,
                  bool (*accepted)(struct gateway_call *c))
{
    struct passing *p = begin(c, cat, server, method);
    if (p == NULL)
        return;
    p->params = params;
    p->accepted = accepted;
    send(p);
}

/* Takes what b holds as params, or ends the call. */
static bool taken(struct gateway_call *c, struct mcp_catalogue *cat, struct buf *b, strv *params)
{
    *params = b->failed ? STRV_NONE : arena_strv(&c->work, buf_view(b));
    buf_fini(b);
    if (params->ptr != NULL)
        return true;
    mcp_catalogue_unref(cat);
    gateway_no_memory(c);
    return false;
}

static void no_resource(struct gateway_call *c, strv uri)
{
    int code = c->era == MCP_ERA_MODERN ? MCP_INVALID_PARAMS : MCP_RESOURCE_NOT_FOUND;
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "{\"uri\":");
    json_put_str(&b, uri);
    buf_put_char(&b, '}');
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_error(c, 200, code, "Resource not found", buf_view(&b));
    buf_fini(&b);
}

void gateway_resources_read(struct gateway_call *c)
{
    strv uri = json_get_str(c->m.params, "uri"), params;
    if (uri.ptr == NULL) {
        gateway_bad_params(c, "resources/read: uri must be a string.");
        return;
    }
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    const struct mcp_listed *server = gateway_resource_server(c, cat, uri);
    struct buf b;
    if (server == NULL) {
        mcp_catalogue_unref(cat);
        no_resource(c, uri);
        return;
    }
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "\"uri\":");
    json_put_str(&b, uri);
    if (taken(c, cat, &b, &params))
        gateway_pass(c, cat, server, "resources/read", params, NULL);
}

static void put_named(struct gateway_call *c, yyjson_val *from, const char *member, struct buf *b)
{
    strv text;
    if (json_get(from, member) != NULL && json_raw_member(&c->m.json, from, member, &text))
        put_member(b, strv_of(member), text);
}

void gateway_prompts_get(struct gateway_call *c)
{
    strv name = json_get_str(c->m.params, "name"), params;
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    const struct mcp_item *item = name.ptr != NULL ? gateway_prompt_find(c, cat, name) : NULL;
    struct buf b;
    if (item == NULL) {
        mcp_catalogue_unref(cat);
        gateway_bad_params(c, "Unknown prompt");
        return;
    }
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "\"name\":");
    json_put_str(&b, item->name);
    put_named(c, c->m.params, "arguments", &b);
    if (taken(c, cat, &b, &params))
        gateway_pass(c, cat, item->server, "prompts/get", params, NULL);
}

/* ---- completion ---- */

/* Whose it is, and its reference in that server's words. NULL: nobody's. */
static const struct mcp_listed *completion_of(struct gateway_call *c,
                                              const struct mcp_catalogue *cat, yyjson_val *ref,
                                              struct buf *b)
{
    strv type = json_get_str(ref, "type"), uri = json_get_str(ref, "uri");
    strv name = json_get_str(ref, "name");
    const struct mcp_item *prompt = strv_eq_cstr(type, "ref/prompt") && name.ptr != NULL
                                        ? gateway_prompt_find(c, cat, name)
                                        : NULL;
    if (prompt != NULL) {
        buf_put_cstr(b, "\"ref\":{\"type\":\"ref/prompt\",\"name\":");
        json_put_str(b, prompt->name);
        buf_put_char(b, '}');
        return prompt->server;
    }
    if (!strv_eq_cstr(type, "ref/resource") || uri.ptr == NULL)
        return NULL;
    buf_put_cstr(b, "\"ref\":{\"type\":\"ref/resource\",\"uri\":");
    json_put_str(b, uri);
    buf_put_char(b, '}');
    for (size_t i = 0; i < cat->n_templates; i++)
        if (strv_eq(cat->templates[i].name, uri) &&
            gateway_may_read(c, cat->templates[i].server, "resources"))
            return cat->templates[i].server;
    return gateway_resource_server(c, cat, uri);
}

void gateway_complete(struct gateway_call *c)
{
    strv params;
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    const struct mcp_listed *server = completion_of(c, cat, json_get(c->m.params, "ref"), &b);
    if (server == NULL || !yyjson_is_obj(json_get(c->m.params, "argument"))) {
        buf_fini(&b);
        mcp_catalogue_unref(cat);
        gateway_bad_params(c, "completion/complete: ref names nothing that is offered, or argument "
                              "is missing.");
    } else if (!server->completions) {
        buf_fini(&b);
        mcp_catalogue_unref(cat);
        gateway_result(c, STRV("\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}"));
    } else {
        put_named(c, c->m.params, "argument", &b);
        put_named(c, c->m.params, "context", &b);
        if (taken(c, cat, &b, &params))
            gateway_pass(c, cat, server, "completion/complete", params, NULL);
    }
}
