/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_hub.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 64
#define TOOLS_MAX 32

struct fake_call {
    char tool[200], *params;
    struct io_loop *loop;
    struct mcp_call_ops ops;
    void *arg;
    bool taken, answered, cancelled, told;
    enum mcp_end end;
    int code;
    char *result, *text;
};

struct mcp_question {
    char *answer; /* NULL = none yet */
    bool unwanted;
};

static struct {
    struct mcp_question questions[CALLS_MAX];
    size_t n_questions;
    struct mcp_listed servers[TOOLS_MAX];
    struct mcp_server_conf rows[TOOLS_MAX];
    struct mcp_tool tools[TOOLS_MAX];
    size_t n_servers, n_tools;
    struct fake_call calls[CALLS_MAX];
    size_t n_calls;
    char hub;
} h;

static struct mcp_catalogue nothing = {.refs = 1};

/* Nothing here may fail, or be counted, when a test refuses memory. */
static char *copy(strv text)
{
    char *to = malloc(text.len + 1);
    assert(to != NULL);
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return to;
}

static void clear(void)
{
    for (size_t i = 0; i < h.n_calls; i++) {
        free(h.calls[i].params);
        free(h.calls[i].result);
        free(h.calls[i].text);
    }
    for (size_t i = 0; i < h.n_tools; i++) {
        free((char *)(uintptr_t)h.tools[i].name.ptr);
        free((char *)(uintptr_t)h.tools[i].schema.ptr);
    }
    for (size_t i = 0; i < h.n_servers; i++)
        free((char *)(uintptr_t)h.servers[i].name);
    for (size_t i = 0; i < h.n_questions; i++)
        free(h.questions[i].answer);
    memset(&h, 0, sizeof h);
}

void fake_hub_begin(void)
{
    clear();
}

void fake_hub_end(void)
{
    clear();
}

struct mcp_hub *fake_hub(void)
{
    return (struct mcp_hub *)(void *)&h.hub;
}

/* ---- tools ---- */

static struct mcp_listed *server(strv name)
{
    for (size_t i = 0; i < h.n_servers; i++)
        if (strv_eq_cstr(name, h.servers[i].name))
            return &h.servers[i];
    assert(h.n_servers < TOOLS_MAX);
    struct mcp_listed *s = &h.servers[h.n_servers++];
    *s = (struct mcp_listed){.name = copy(name), .local = true, .state = MCP_READY, .revision = ""};
    return s;
}

bool fake_hub_state(const char *name, const char *state)
{
    struct mcp_listed *s = server(strv_of(name));
    for (int i = MCP_STARTING; i <= MCP_DOWN; i++)
        if (strcmp(state, mcp_state_name((enum mcp_state)i)) == 0)
            return s->state = (enum mcp_state)i, true;
    return false;
}

const struct mcp_server_conf *fake_hub_servers(size_t *n)
{
    for (size_t i = 0; i < h.n_servers; i++)
        h.rows[i] = (struct mcp_server_conf){
            .name = h.servers[i].name, .transport = MCP_HTTP, .local = h.servers[i].local};
    *n = h.n_servers;
    return h.rows;
}

static bool set(struct mcp_tool *t, struct mcp_listed *s, strv key, strv value)
{
    if (strv_eq_cstr(key, "schema")) {
        free((char *)(uintptr_t)t->schema.ptr);
        t->schema = (strv){copy(value), value.len};
        return true;
    }
    if (strv_eq_cstr(key, "zone")) {
        s->local = strv_eq_cstr(value, "local");
        return true;
    }
    for (int i = 0; i < (int)MCP_EFFECTS; i++)
        if (strv_eq_cstr(key, "effect") && strv_eq_cstr(value, mcp_effect_name((enum mcp_effect)i)))
            return t->effect = (enum mcp_effect)i, true;
    for (int i = 0; i < (int)MCP_DATAS; i++)
        if (strv_eq_cstr(key, "data") && strv_eq_cstr(value, mcp_data_name((enum mcp_data)i)))
            return t->data = (enum mcp_data)i, true;
    for (int i = 0; i < (int)MCP_APPROVALS; i++)
        if (strv_eq_cstr(key, "approval") &&
            strv_eq_cstr(value, mcp_approval_name((enum mcp_approval)i)))
            return t->approval = (enum mcp_approval)i, true;
    return false;
}

bool fake_hub_tool(const char *name, char *rules)
{
    strv rest = strv_of(name), first, rule;
    assert(h.n_tools < TOOLS_MAX);
    if (!strv_cut(&rest, '/', &first) || rest.len == 0)
        return false;
    struct mcp_listed *s = server(first);
    struct mcp_tool *t = &h.tools[h.n_tools++];
    *t = (struct mcp_tool){.server = s,
                           .name = {copy(rest), rest.len},
                           .title = STRV(""),
                           .description = STRV("A tool."),
                           .schema = {copy(STRV("{\"type\":\"object\"}")), 17},
                           .output_schema = STRV(""),
                           .raw = STRV("{}"),
                           .note = STRV("")};
    snprintf(t->id, sizeof t->id, STRV_FMT "__" STRV_FMT, STRV_ARG(first), STRV_ARG(rest));
    policy_key_digest(strv_of(name), t->digest);
    strv all = strv_trim(strv_of(rules != NULL ? rules : ""));
    while (all.len > 0 && strv_cut(&all, ' ', &rule)) {
        strv key, value = rule;
        if (!strv_cut(&value, '=', &key) || value.ptr == NULL || !set(t, s, key, value))
            return false;
    }
    return true;
}

struct agent_index *fake_hub_index(void)
{
    struct mcp_catalogue *c = mcp_hub_catalogue(fake_hub());
    struct agent_index *x = c != &nothing ? agent_index_new(c) : NULL;
    mcp_catalogue_unref(c);
    return x;
}

/* As it stands now: what changes later is in the next one. Never NULL, so without memory there is nothing. */
struct mcp_catalogue *mcp_hub_catalogue(struct mcp_hub *hub)
{
    struct mcp_catalogue *c = mem_zalloc(sizeof *c);
    assert(hub == fake_hub());
    if (c == NULL)
        return mcp_catalogue_ref(&nothing);
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, 1024, 1 << 20);
    c->version = 1;
    struct mcp_tool *tools = ARENA_ARRAY(&c->arena, struct mcp_tool, h.n_tools + 1);
    if (tools == NULL) {
        mcp_catalogue_unref(c);
        return mcp_catalogue_ref(&nothing);
    }
    memcpy(tools, h.tools, h.n_tools * sizeof *tools);
    c->tools = tools;
    c->n_tools = h.n_tools;
    c->servers = h.servers;
    c->n_servers = h.n_servers;
    return c;
}

/* ---- calls ---- */

struct fake_call *fake_hub_next(const char *name)
{
    for (size_t i = 0; i < h.n_calls; i++)
        if (!h.calls[i].taken && strcmp(h.calls[i].tool, name) == 0) {
            h.calls[i].taken = true;
            return &h.calls[i];
        }
    return NULL;
}

const char *fake_call_params(const struct fake_call *c)
{
    return c->params;
}

bool fake_call_cancelled(const struct fake_call *c)
{
    return c->cancelled;
}

size_t fake_hub_calls(const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h.n_calls; i++)
        n += strcmp(h.calls[i].tool, name) == 0;
    return n;
}

void fake_call_answer(struct fake_call *c, const struct mcp_answer *a)
{
    assert(!c->answered);
    c->answered = true;
    if (!c->cancelled)
        c->ops.done(c->arg, a);
}

struct mcp_call *mcp_call(struct mcp_hub *hub, struct io_loop *loop,
                          const struct mcp_call_spec *spec, const struct mcp_call_ops *ops,
                          void *arg)
{
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    void *refusable = mem_alloc(1); /* so that a refusal of memory has its case here, too */
    if (refusable == NULL || h.n_calls == CALLS_MAX) {
        mem_free(refusable);
        return NULL;
    }
    mem_free(refusable);
    assert(hub == fake_hub());
    struct fake_call *c = &h.calls[h.n_calls++];
    *c = (struct fake_call){.loop = loop, .ops = *ops, .arg = arg, .params = copy(spec->params)};
    arena_init(&arena, 1024, 1 << 20);
    strv name =
        json_read(&doc, spec->params, &arena, 0, &err) ? json_get_str(doc.root, "name") : STRV("?");
    snprintf(c->tool, sizeof c->tool, "%s/" STRV_FMT, spec->server, STRV_ARG(name));
    arena_fini(&arena);
    return (struct mcp_call *)(void *)c;
}

void mcp_cancel(struct mcp_call *call)
{
    ((struct fake_call *)(void *)call)->cancelled = true;
}

/* ---- what else hub.h promises ---- */

struct mcp_question *fake_hub_question(void)
{
    assert(h.n_questions < CALLS_MAX);
    return &h.questions[h.n_questions++];
}

const char *fake_question_answer(const struct mcp_question *q)
{
    return q->answer;
}

void fake_question_withdraw(struct mcp_question *q)
{
    q->unwanted = true;
}

bool mcp_question_unwanted(const struct mcp_question *q)
{
    return q->unwanted;
}

void mcp_answer_question(struct mcp_question *q, strv result)
{
    assert(q->answer == NULL); /* exactly once */
    q->answer = copy(result);
}

void mcp_refuse_question(struct mcp_question *q, int code, const char *why)
{
    char text[300];
    int n = snprintf(text, sizeof text, "refused %d %s", code, why);
    mcp_answer_question(q, (strv){text, (size_t)n});
}

/* Its catalogue does not change, so nobody is ever told. */
struct mcp_watch {
    struct mcp_hub *hub;
};

static struct mcp_watch *watch_new(struct mcp_hub *hub)
{
    struct mcp_watch *w = mem_alloc(sizeof *w);
    if (w != NULL)
        w->hub = hub;
    return w;
}

struct mcp_watch *mcp_watch(struct mcp_hub *hub, struct io_loop *loop, void (*fn)(void *arg),
                            void *arg)
{
    (void)loop;
    (void)fn;
    (void)arg;
    return watch_new(hub);
}

struct mcp_watch *mcp_watch_updates(struct mcp_hub *hub, struct io_loop *loop,
                                    void (*fn)(void *arg, const char *server, strv uri), void *arg)
{
    (void)loop;
    (void)fn;
    (void)arg;
    return watch_new(hub);
}

void mcp_unwatch(struct mcp_watch *w)
{
    mem_free(w);
}
