/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing - a gateway with everything around it made up: a clock, a catalogue, servers that answer when they are told to.
 *
 * The functions of the hub and of agent/call.h are defined here and so are not taken from the library. A test includes
 * this once, after test/lib/fake_io.h and cmocka.
 */
#ifndef GATEWAY_TESTING_H
#define GATEWAY_TESTING_H

#include "gateway/internal.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- servers ---- */

static struct mcp_listed servers[] = {
    {.name = "old",
     .local = true,
     .state = MCP_READY,
     .era = MCP_ERA_LEGACY,
     .completions = true,
     .subscribe = true},
    {.name = "new", .local = true, .state = MCP_READY, .era = MCP_ERA_MODERN, .bare_names = true},
    {.name = "far", .local = false, .state = MCP_READY, .era = MCP_ERA_MODERN},
};

#define TOOL(of, own, long_name, text)                                                             \
    {                                                                                              \
        .server = &servers[of], .name = {own, sizeof own - 1}, .id = long_name,                    \
        .schema = {"{\"type\":\"object\"}", 17}, .raw = {                                          \
            text,                                                                                  \
            sizeof text - 1                                                                        \
        }                                                                                          \
    }

static struct mcp_tool tools[] = {
    TOOL(0, "add", "old__add",
         "{\"name\":\"add\",\"description\":\"Adds.\",\"inputSchema\":{\"type\":\"object\"},"
         "\"execution\":{\"taskSupport\":\"optional\"}}"),
    TOOL(0, "bare", "old__bare", "{\"name\":\"bare\",\"inputSchema\":{\"type\":\"object\"}}"),
    TOOL(1, "ask", "new__ask",
         "{\"inputSchema\":{\"type\":\"object\"},\"name\":\"ask\",\"outputSchema\":{\"type\":"
         "\"string\"},"
         "\"description\":\"Asks.\"}"),
    TOOL(1, "generate", "new__generate",
         "{\"name\":\"generate\",\"inputSchema\":{\"type\":\"object\"}}"),
    TOOL(1, "old__add", "new__old__add",
         "{\"name\":\"old__add\",\"inputSchema\":{\"type\":\"object\"}}"),
    TOOL(1, "off", "new__off", "{\"name\":\"off\",\"inputSchema\":{\"type\":\"object\"}}"),
    TOOL(1, "marked", "new__marked", "{\"name\":\"marked\",\"inputSchema\":{\"type\":\"object\"}}"),
    TOOL(2, "ask", "far__ask", "{\"name\":\"ask\",\"inputSchema\":{\"type\":\"object\"}}"),
};

#define ITEM(of, own, text)                                                                        \
    {                                                                                              \
        .server = &servers[of], .name = {own, sizeof own - 1}, .raw = { text, sizeof text - 1 }    \
    }

static const struct mcp_item resources[] = {
    ITEM(0, "a://1", "{\"uri\":\"a://1\",\"name\":\"one\"}"),
    ITEM(1, "a://1", "{\"uri\":\"a://1\",\"name\":\"again\"}"),
    ITEM(1, "a://2", "{\"uri\":\"a://2\",\"name\":\"two\"}"),
    ITEM(2, "a://3", "{\"uri\":\"a://3\",\"name\":\"far\"}"),
};
static const struct mcp_item templates[] = {
    ITEM(1, "t://{id}/data", "{\"uriTemplate\":\"t://{id}/data\",\"name\":\"t\"}"),
};
static struct mcp_item prompts[] = {
    ITEM(0, "p", "{\"name\":\"p\",\"description\":\"old\"}"),
    ITEM(1, "p", "{\"name\":\"p\",\"description\":\"new\"}"),
    ITEM(1, "old__p", "{\"name\":\"old__p\"}"),
    ITEM(2, "p", "{\"name\":\"p\",\"description\":\"far\"}"),
};

static struct mcp_catalogue catalogue = {
    .servers = servers,
    .n_servers = COUNT(servers),
    .tools = tools,
    .n_tools = COUNT(tools),
    .resources = resources,
    .n_resources = COUNT(resources),
    .templates = templates,
    .n_templates = COUNT(templates),
    .prompts = prompts,
    .n_prompts = COUNT(prompts),
};
static int catalogue_refs;

/* ---- what the hub and the agent would do ---- */

struct mcp_call {
    bool live;
    char server[32], method[64], params[2048], capabilities[256], log_level[32];
    const struct mcp_call_ops *ops;
    void *arg;
};
struct agent_call {
    bool live;
    char tool[64], arguments[2048], inputs[2048], capabilities[256], log_level[32];
    bool is_private;
    const struct agent_guest *guest;
    const struct agent_call_ops *ops;
    void *arg;
    struct arena *arena;
};
struct mcp_watch {
    bool live;
    void (*fn)(void *arg);
    void (*updated)(void *arg, const char *server, strv uri);
    void *arg;
};
struct mcp_question {
    char result[512], why[128];
    int code;
    unsigned answers;
};

static struct mcp_call hub_call;    /* the newest */
static struct agent_call tool_call; /* likewise */
static struct mcp_watch watches[4];
static unsigned hub_calls, tool_calls, cancels;

static void copy_text(char *out, size_t size, strv text)
{
    assert_true(text.len < size);
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}
#define COPY(to, text) copy_text(to, sizeof(to), text)

struct mcp_catalogue *mcp_hub_catalogue(struct mcp_hub *h)
{
    (void)h;
    catalogue_refs++;
    return &catalogue;
}

void mcp_catalogue_unref(struct mcp_catalogue *c)
{
    catalogue_refs -= c != NULL;
}

struct mcp_call *mcp_call(struct mcp_hub *h, struct io_loop *loop, const struct mcp_call_spec *spec,
                          const struct mcp_call_ops *ops, void *arg)
{
    (void)h;
    (void)loop;
    void *memory = mem_alloc(1); /* may be refused, as the real one's */
    if (memory == NULL)
        return NULL;
    mem_free(memory);
    hub_calls++;
    hub_call = (struct mcp_call){.live = true, .ops = ops, .arg = arg};
    COPY(hub_call.server, strv_of(spec->server));
    COPY(hub_call.method, strv_of(spec->method));
    COPY(hub_call.params, spec->params);
    COPY(hub_call.capabilities, spec->capabilities);
    COPY(hub_call.log_level, spec->log_level);
    return &hub_call;
}

void mcp_cancel(struct mcp_call *c)
{
    assert_true(c->live);
    c->live = false;
    cancels++;
}

struct mcp_watch *mcp_watch(struct mcp_hub *h, struct io_loop *loop, void (*fn)(void *arg),
                            void *arg)
{
    (void)h;
    (void)loop;
    for (size_t i = 0; i < COUNT(watches); i++)
        if (!watches[i].live) {
            watches[i] = (struct mcp_watch){true, fn, NULL, arg};
            return &watches[i];
        }
    return NULL;
}

struct mcp_watch *mcp_watch_updates(struct mcp_hub *h, struct io_loop *loop,
                                    void (*fn)(void *arg, const char *server, strv uri), void *arg)
{
    struct mcp_watch *w = mcp_watch(h, loop, NULL, arg);
    if (w != NULL)
        w->updated = fn;
    return w;
}

void mcp_unwatch(struct mcp_watch *w)
{
    assert_true(w->live);
    w->live = false;
}

void mcp_answer_question(struct mcp_question *q, strv result)
{
    q->answers++;
    COPY(q->result, result);
}

void mcp_refuse_question(struct mcp_question *q, int code, const char *why)
{
    q->answers++;
    q->code = code;
    COPY(q->why, strv_of(why));
}

/* A key sees what its list of models fits, in these tests. */
bool agent_may(const struct policy_key *key, const struct mcp_tool *t)
{
    return key == NULL || policy_rules_model(&key->rules, t->name);
}

struct agent_call *agent_call(struct agent_env *env, struct arena *arena,
                              const struct agent_request *r, const struct agent_call_ops *ops,
                              void *arg)
{
    (void)env;
    void *memory = mem_alloc(1);
    if (memory == NULL)
        return NULL;
    mem_free(memory);
    tool_calls++;
    tool_call = (struct agent_call){.live = true,
                                    .is_private = r->is_private,
                                    .guest = r->guest,
                                    .ops = ops,
                                    .arg = arg,
                                    .arena = arena};
    COPY(tool_call.tool, r->tool->name);
    COPY(tool_call.arguments, r->arguments);
    COPY(tool_call.inputs, r->guest->inputs);
    COPY(tool_call.capabilities, r->guest->capabilities);
    COPY(tool_call.log_level, r->guest->log_level);
    return &tool_call;
}

void agent_call_cancel(struct agent_call *c)
{
    assert_true(c->live);
    c->live = false;
    cancels++;
}

/* ---- the world ---- */

struct said { /* by the gateway to one caller */
    char messages[8][4096];
    size_t n;
    char answer[65536];
    int status;
    unsigned answers;
    char session[128];
    bool took_none; /* memory was refused to the copy, not to the gateway */
};

static void on_message(void *arg, strv text)
{
    struct said *s = arg;
    assert_int_equal(s->answers, 0);
    assert_true(s->n < COUNT(s->messages));
    COPY(s->messages[s->n], text);
    s->n++;
}

static void on_answer_text(void *arg, int status, strv text, strv session)
{
    struct said *s = arg;
    s->answers++;
    s->status = status;
    COPY(s->answer, text);
    COPY(s->session, session);
}
static const struct gateway_sink said_sink = {on_message, on_answer_text};

struct world {
    struct io_loop *loop;
    struct exchange_env exchange;
    struct agent_env agent;
    struct gateway_hall *hall;
    struct gateway *g, *other;
};

static void put_models(void *arg, const struct policy_key *key, struct arena *arena,
                       struct buf *out)
{
    (void)arg;
    (void)key;
    (void)arena;
    buf_put_cstr(out, "{\"models\":[]}");
}

static void world_begin(struct world *w, bool with_servers)
{
    struct err err = ERR_INIT;
    *w = (struct world){.loop = io_loop_new(&err)};
    w->exchange.loop = w->loop;
    w->agent.hub = (struct mcp_hub *)w; /* never looked into */
    w->hall = gateway_hall_new(&err);
    assert_non_null(w->hall);
    static const struct gateway_calls calls = {agent_may, agent_call, agent_call_cancel};
    struct gateway_env env = {.exchange = &w->exchange,
                              .calls = &calls,
                              .agent = with_servers ? &w->agent : NULL,
                              .hall = w->hall,
                              .models = put_models};
    w->g = gateway_new(&env);
    w->other = gateway_new(&env);
    servers[0].subscribe = false;
    tools[5].refused = "off";
    tools[6].schema = (strv){
        "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"x-mcp-header\":"
        "\"N\"},\"s\":{\"type\":\"string\",\"x-mcp-header\":\"S\"},\"o\":{\"type\":\"object\","
        "\"properties\":{\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"}}}}}",
        0};
    tools[6].schema.len = strlen(tools[6].schema.ptr);
    catalogue_refs = 0;
    hub_calls = tool_calls = cancels = 0;
    memset(watches, 0, sizeof watches);
    memset(&hub_call, 0, sizeof hub_call);
    memset(&tool_call, 0, sizeof tool_call);
}

static void world_end(struct world *w)
{
    assert_int_equal(catalogue_refs, 0);
    for (size_t i = 0; i < COUNT(watches); i++)
        assert_false(watches[i].live);
    assert_int_equal(fake_end(w->loop), 0);
    gateway_free(w->g);
    gateway_free(w->other);
    gateway_hall_free(w->hall);
}

struct client { /* one request of somebody */
    struct said said;
    struct arena arena;
    struct gateway_message m;
    struct http_header headers[8];
    struct exchange_caller caller;
    struct gateway_call *call;
};

static const char modern_meta[] =
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
    "\"io.modelcontextprotocol/clientCapabilities\":";

/* headers: "Name: value" each, NULL ends; all NULL: no HTTP at all. */
static void client_send(struct gateway *g, struct client *c, const char *text,
                        const char *const *headers, const struct policy_key *key)
{
    memset(&c->said, 0, sizeof c->said);
    arena_init(&c->arena, 4096, 1 << 24);
    c->m = (struct gateway_message){.text = strv_of(text)};
    for (; headers != NULL && headers[c->m.n_headers] != NULL; c->m.n_headers++) {
        strv value = strv_of(headers[c->m.n_headers]), name;
        assert_true(strv_cut(&value, ':', &name));
        c->headers[c->m.n_headers] = (struct http_header){name, strv_trim(value)};
    }
    c->m.headers = headers != NULL ? c->headers : NULL;
    c->caller = (struct exchange_caller){.request_id = STRV("r"),
                                         .record_id = STRV("r"),
                                         .key = key != NULL ? key->id : NULL,
                                         .holder = key};
    c->call = gateway_take(g, &c->arena, &c->m, &c->caller, &said_sink, &c->said);
    assert_int_equal(c->call == NULL, c->said.answers == 1);
}

static void client_end(struct client *c)
{
    if (c->said.answers == 0)
        gateway_gone(c->call);
    assert_true(c->said.answers <= 1);
    arena_fini(&c->arena);
}

static void expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no %s in %s", part, text);
}

static void expect_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("%s in %s", part, text);
}

/* A modern request without HTTP, with these members of params and these capabilities. */
static void modern_send(struct world *w, struct client *c, const char *method, const char *params,
                        const char *capabilities, const struct policy_key *key)
{
    static char text[16384];
    snprintf(text, sizeof text,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s%s}%s%s}}", method,
             modern_meta, capabilities, *params != '\0' ? "," : "", params);
    client_send(w->g, c, text, NULL, key);
}

__attribute__((unused)) static void tool_answer(enum mcp_end end, const char *result, int code,
                                                const char *text, const char *data)
{
    struct mcp_answer a = {.end = end,
                           .result = strv_of(result),
                           .code = code,
                           .text = strv_of(text),
                           .data = strv_of(data)};
    struct agent_outcome o = {0};
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = STRV("outcome")};
    o.part.parts = &part;
    o.part.n_parts = 1;
    assert_true(tool_call.live);
    struct agent_call done = tool_call;
    tool_call.live = false;
    if (end != MCP_MEMORY)
        done.guest->answer(done.arg, &a);
    done.ops->done(done.arg, &o, false);
}

__attribute__((unused)) static void hub_answer(enum mcp_end end, const char *result, int code,
                                               const char *text, const char *data)
{
    struct mcp_answer a = {.end = end,
                           .result = strv_of(result),
                           .code = code,
                           .text = strv_of(text),
                           .data = strv_of(data)};
    assert_true(hub_call.live);
    struct mcp_call done = hub_call;
    hub_call.live = false;
    done.ops->done(done.arg, &a);
}

#endif
