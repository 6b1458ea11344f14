/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen - streams of changes: a client hears when a list is another one. Nothing but that travels here.
 *
 *   modern   subscriptions/listen > acknowledged (what will be told) ... list_changed, tagged ... result at our end
 *   legacy   GET with a session   > list_changed, updated (of what it has subscribed to) ... the end
 *
 * What is compared is what this client would be offered: a change that its key does not see is none. Resources that a
 * modern client wants to hear of are asked of their servers first; acknowledged are those that agree. A session has one
 * stream.
 */
#include "gateway/internal.h"

#define LISTENS_MAX 256 /* of one worker */
#define WISHES_MAX  64  /* resources of one stream */

enum { TOOLS, PROMPTS, RESOURCES, KINDS };
static const struct {
    const char *member, *method;
} kinds[KINDS] = {
    [TOOLS] = {"toolsListChanged", "notifications/tools/list_changed"},
    [PROMPTS] = {"promptsListChanged", "notifications/prompts/list_changed"},
    [RESOURCES] = {"resourcesListChanged", "notifications/resources/list_changed"},
};

struct wish { /* a resource that a modern client wants to hear of */
    struct listening *l;
    strv uri;
    const char *server;
    struct mcp_call *call; /* the server is being asked */
    bool served;
};

struct listening {
    struct list node; /* in the hall's streams; of a legacy client only */
    struct gateway_call *c;
    struct mcp_watch *watch, *updates;
    bool wanted[KINDS];
    uint64_t seen[KINDS];
    struct wish *wishes;
    size_t n_wishes, asking; /* that many have not answered */
};

static uint64_t mix(uint64_t sum, strv a, strv b)
{
    return strv_hash(b, strv_hash(a, sum));
}

static void look(struct gateway_call *c, uint64_t out[KINDS])
{
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    memset(out, 0, KINDS * sizeof *out);
    for (size_t i = 0; i < cat->n_tools; i++) {
        strv name = gateway_tool_name(c, cat, &cat->tools[i]);
        if (name.ptr != NULL)
            out[TOOLS] = mix(out[TOOLS], name, cat->tools[i].raw);
    }
    for (size_t i = 0; i < cat->n_prompts; i++)
        if (gateway_may_read(c, cat->prompts[i].server, "prompts"))
            out[PROMPTS] =
                mix(out[PROMPTS], strv_of(cat->prompts[i].server->name), cat->prompts[i].raw);
    for (size_t i = 0; i < cat->n_resources; i++)
        if (gateway_may_read(c, cat->resources[i].server, "resources"))
            out[RESOURCES] = mix(out[RESOURCES], STRV("r"), cat->resources[i].raw);
    for (size_t i = 0; i < cat->n_templates; i++)
        if (gateway_may_read(c, cat->templates[i].server, "resources"))
            out[RESOURCES] = mix(out[RESOURCES], STRV("t"), cat->templates[i].raw);
    mcp_catalogue_unref(cat);
}

static void put_tag(const struct gateway_call *c, struct buf *b)
{
    if (c->era != MCP_ERA_MODERN)
        return;
    buf_put_cstr(b, "\"_meta\":{\"" META_SUBSCRIPTION "\":");
    buf_put_strv(b, c->m.id);
    buf_put_char(b, '}');
}

static void put_served(const struct listening *l, bool *first, struct buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_wishes; i++) {
        if (!l->wishes[i].served)
            continue;
        if (n++ == 0 && json_put_key(b, first, "resourceSubscriptions"))
            buf_put_char(b, '[');
        else
            buf_put_char(b, ',');
        json_put_str(b, l->wishes[i].uri);
    }
    if (n > 0)
        buf_put_char(b, ']');
}

static void notify(struct gateway_call *c, const char *method, const struct listening *l)
{
    struct buf b;
    bool first = true;
    buf_init(&b, (size_t)1 << 20);
    buf_put_char(&b, '{');
    put_tag(c, &b);
    if (l != NULL) { /* the acknowledgement, of a modern client */
        buf_put_cstr(&b, ",\"notifications\":{");
        for (size_t i = 0; i < KINDS; i++)
            if (l->wanted[i]) {
                json_put_key(&b, &first, kinds[i].member);
                buf_put_cstr(&b, "true");
            }
        put_served(l, &first, &b);
        buf_put_char(&b, '}');
    }
    buf_put_char(&b, '}');
    if (!b.failed)
        gateway_notify(c, method, buf_view(&b));
    buf_fini(&b);
}

static void on_change(void *arg)
{
    struct listening *l = arg;
    uint64_t now[KINDS];
    look(l->c, now);
    for (size_t i = 0; i < KINDS; i++) {
        bool changed = now[i] != l->seen[i];
        l->seen[i] = now[i];
        if (changed && l->wanted[i])
            notify(l->c, kinds[i].method, NULL);
    }
}

static void on_updated(void *arg, const char *server, strv uri)
{
    struct listening *l = arg;
    struct buf b;
    if (!gateway_subscribed(l->c, server, uri))
        return;
    buf_init(&b, 65536);
    buf_put_cstr(&b, "{\"uri\":");
    json_put_str(&b, uri);
    if (l->c->era == MCP_ERA_MODERN)
        buf_put_char(&b, ',');
    put_tag(l->c, &b);
    buf_put_char(&b, '}');
    if (!b.failed)
        gateway_notify(l->c, "notifications/resources/updated", buf_view(&b));
    buf_fini(&b);
}

/* False: the session has a stream already. */
static bool enter(struct listening *l)
{
    struct gateway_hall *h = l->c->g->env.hall;
    struct list *pos, *tmp;
    bool first = true;
    list_init(&l->node);
    if (l->c->era == MCP_ERA_MODERN)
        return true;
    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->streams)
    {
        if (strv_eq(list_entry(pos, struct listening, node)->c->session, l->c->session))
            first = false;
    }
    if (first)
        list_add_tail(&h->streams, &l->node);
    pthread_mutex_unlock(&h->lock);
    return first;
}

static void leave(struct listening *l)
{
    struct gateway_hall *h = l->c->g->env.hall;
    pthread_mutex_lock(&h->lock);
    list_del(&l->node);
    pthread_mutex_unlock(&h->lock);
}

/* ---- resources of a modern client ---- */

static struct mcp_call *tell_server(struct wish *w, const char *method,
                                    const struct mcp_call_ops *ops)
{
    const struct gateway_env *env = &w->l->c->g->env;
    struct mcp_call_spec spec = {.server = w->server,
                                 .method = method,
                                 .repeatable = true,
                                 .capabilities = STRV(""),
                                 .log_level = STRV("")};
    struct mcp_call *call = NULL;
    struct buf b;
    buf_init(&b, 65536);
    buf_put_cstr(&b, "{\"uri\":");
    json_put_str(&b, w->uri);
    if (buf_put_char(&b, '}')) {
        spec.params = buf_view(&b);
        call = mcp_call(env->agent->hub, env->exchange->loop, &spec, ops, w);
    }
    buf_fini(&b);
    return call;
}

static void acknowledge(struct listening *l)
{
    notify(l->c, "notifications/subscriptions/acknowledged", l);
}

static void on_agreed(void *arg, const struct mcp_answer *a)
{
    struct wish *w = arg;
    w->call = NULL;
    w->served = a->end == MCP_OK && gateway_subscription_add(w->l->c, w->server, w->uri);
    if (--w->l->asking == 0)
        acknowledge(w->l);
}

static void ignore(void *arg, const struct mcp_answer *a)
{
    (void)arg, (void)a;
}

/* The last one who has listened tells the server. At the end of the process nobody needs to. */
static void forget_wishes(struct listening *l)
{
    static const struct mcp_call_ops ops = {.done = ignore};
    for (size_t i = 0; i < l->n_wishes; i++) {
        struct wish *w = &l->wishes[i];
        if (w->call != NULL)
            mcp_cancel(w->call);
        if (w->served && gateway_subscription_drop(l->c, w->uri) && !l->c->g->draining)
            (void)tell_server(w, "resources/unsubscribe", &ops);
    }
}

static void note_wish(struct listening *l, const struct mcp_catalogue *cat, strv uri)
{
    const struct mcp_listed *server = gateway_subscribable(l->c, cat, uri);
    if (server == NULL)
        return;
    for (size_t i = 0; i < l->n_wishes; i++)
        if (strv_eq(l->wishes[i].uri, uri))
            return;
    l->wishes[l->n_wishes++] =
        (struct wish){.l = l,
                      .uri = arena_strv(l->c->arena, uri),
                      .server = arena_cstr(l->c->arena, strv_of(server->name))};
}

/* False: no memory. Resources that nobody can tell of are left out. */
static bool note_wishes(struct listening *l, yyjson_val *uris)
{
    struct mcp_catalogue *cat = gateway_catalogue(l->c->g);
    yyjson_val *uri;
    size_t i, max;
    l->wishes = ARENA_ARRAY(l->c->arena, struct wish, WISHES_MAX);
    yyjson_arr_foreach(uris, i, max, uri)
    {
        if (l->wishes != NULL && l->n_wishes < WISHES_MAX)
            note_wish(l, cat, json_str(uri));
    }
    mcp_catalogue_unref(cat);
    return l->wishes != NULL && !l->c->arena->failed;
}

/* Nobody else can have this: it is no session's id. */
static bool name_session(struct listening *l)
{
    struct gateway_hall *h = l->c->g->env.hall;
    pthread_mutex_lock(&h->lock);
    uint64_t number = ++h->last_number;
    pthread_mutex_unlock(&h->lock);
    char *name = arena_printf(l->c->arena, "listen-%llx", (unsigned long long)number);
    if (name != NULL)
        l->c->session = strv_of(name);
    return name != NULL;
}

/* False: no memory. */
static bool ask_servers(struct listening *l)
{
    static const struct mcp_call_ops ops = {.done = on_agreed};
    const struct gateway_env *env = &l->c->g->env;
    if (l->n_wishes == 0)
        return true;
    if (!name_session(l))
        return false;
    l->updates = mcp_watch_updates(env->agent->hub, env->exchange->loop, on_updated, l);
    for (size_t i = 0; l->updates != NULL && i < l->n_wishes; i++) {
        l->wishes[i].call = tell_server(&l->wishes[i], "resources/subscribe", &ops);
        l->asking += l->wishes[i].call != NULL;
    }
    return l->updates != NULL;
}

/* ---- */

static void stop(struct gateway_call *c)
{
    struct listening *l = c->running;
    forget_wishes(l);
    leave(l);
    if (l->watch != NULL)
        mcp_unwatch(l->watch);
    if (l->updates != NULL)
        mcp_unwatch(l->updates);
    c->g->listens--;
}

static void end(struct gateway_call *c)
{
    struct buf b;
    if (c->era != MCP_ERA_MODERN) {
        gateway_drop(c);
        return;
    }
    buf_init(&b, 8192);
    buf_put_cstr(&b, "\"resultType\":\"complete\",");
    put_tag(c, &b);
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_result_whole(c, buf_view(&b));
    buf_fini(&b);
}

void gateway_listens_end(struct gateway *g)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &g->calls)
    {
        struct gateway_call *c = list_entry(pos, struct gateway_call, node);
        if (c->stop == stop)
            end(c);
    }
}

/* NULL: the call is over. */
static struct listening *begin(struct gateway_call *c)
{
    struct listening *l = ARENA_NEW(c->arena, struct listening);
    struct gateway_env *env = &c->g->env;
    if (l == NULL) {
        gateway_no_memory(c);
        return NULL;
    }
    l->c = c;
    if (c->g->draining) {
        end(c);
        return NULL;
    }
    if (c->g->listens >= LISTENS_MAX) {
        gateway_error(c, 503, MCP_INTERNAL, "Too many streams of changes are open.", STRV_NONE);
        return NULL;
    }
    if (!enter(l)) {
        gateway_error(c, 409, MCP_INVALID_REQUEST, "This session has a stream already.", STRV_NONE);
        return NULL;
    }
    c->g->listens++;
    c->running = l;
    c->stop = stop;
    l->watch = mcp_watch(env->agent->hub, env->exchange->loop, on_change, l);
    if (l->watch != NULL && c->era != MCP_ERA_MODERN)
        l->updates = mcp_watch_updates(env->agent->hub, env->exchange->loop, on_updated, l);
    if (l->watch != NULL && (l->updates != NULL || c->era == MCP_ERA_MODERN))
        return l;
    gateway_no_memory(c);
    return NULL;
}

void gateway_listen(struct gateway_call *c)
{
    yyjson_val *wanted = json_get(c->m.params, "notifications");
    if (!yyjson_is_obj(wanted)) {
        gateway_bad_params(c, "subscriptions/listen: notifications must be an object.");
        return;
    }
    struct listening *l = begin(c);
    if (l == NULL)
        return;
    for (size_t i = 0; i < KINDS; i++)
        l->wanted[i] = yyjson_get_bool(json_get(wanted, kinds[i].member));
    look(c, l->seen);
    if (!note_wishes(l, json_get(wanted, "resourceSubscriptions")) || !ask_servers(l))
        gateway_no_memory(c);
    else if (l->asking == 0)
        acknowledge(l);
}

void gateway_listen_legacy(struct gateway_call *c)
{
    struct listening *l = begin(c);
    if (l == NULL)
        return;
    for (size_t i = 0; i < KINDS; i++)
        l->wanted[i] = true;
    look(c, l->seen);
}
