/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe - which resources clients want to hear of.
 *
 *   legacy   resources/subscribe -> the server -> remembered here -> updated, on the session's stream (listen.c)
 *   modern   subscriptions/listen (listen.c) -> the server -> remembered here, as long as that stream is open
 *
 * The one thing that the gateway remembers of a client: shared by all workers, since the stream may be at another. It is
 * bounded, and the oldest goes first; a session that is used no more has no end that anybody would hear of.
 * What a server must be asked in its own era is the hub's business: here it is resources/subscribe for all.
 */
#include "gateway/internal.h"

#include <stdio.h>

#define ALL_MAX     4096
#define SESSION_MAX 64 /* of one session */
#define URI_MAX     4096

struct subscription {
    struct list node;
    char session[GATEWAY_SESSION_MAX];
    char server[32];
    size_t len;
    char uri[];
};

static bool is_of(const struct subscription *s, strv session, strv uri)
{
    return strv_eq_cstr(session, s->session) && strv_eq((strv){s->uri, s->len}, uri);
}

static void forget(struct gateway_hall *h, struct subscription *s)
{
    list_del(&s->node);
    h->n_subscriptions--;
    mem_free(s);
}

void gateway_subscriptions_free(struct gateway_hall *h)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &h->subscriptions)
        forget(h, list_entry(pos, struct subscription, node));
}

/* How many the session has; *same: this one among them. */
static size_t count(struct gateway_hall *h, strv session, strv uri, bool *same)
{
    struct list *pos, *tmp;
    size_t n = 0;
    list_for_each(pos, tmp, &h->subscriptions)
    {
        const struct subscription *s = list_entry(pos, struct subscription, node);
        n += strv_eq_cstr(session, s->session);
        *same = *same || is_of(s, session, uri);
    }
    return n;
}

bool gateway_subscribed(const struct gateway_call *c, const char *server, strv uri)
{
    struct gateway_hall *h = c->g->env.hall;
    struct list *pos, *tmp;
    bool yes = false;
    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->subscriptions)
    {
        const struct subscription *s = list_entry(pos, struct subscription, node);
        yes = yes || (strcmp(s->server, server) == 0 && is_of(s, c->session, uri));
    }
    pthread_mutex_unlock(&h->lock);
    return yes;
}

bool gateway_subscription_add(const struct gateway_call *c, const char *server, strv uri)
{
    struct gateway_hall *h = c->g->env.hall;
    struct subscription *s = mem_zalloc(sizeof *s + uri.len);
    bool same = false;
    if (s == NULL)
        return false;
    list_init(&s->node);
    snprintf(s->session, sizeof s->session, STRV_FMT, STRV_ARG(c->session));
    snprintf(s->server, sizeof s->server, "%s", server);
    s->len = uri.len;
    if (uri.len > 0)
        memcpy(s->uri, uri.ptr, uri.len);
    pthread_mutex_lock(&h->lock);
    bool room = count(h, c->session, uri, &same) < SESSION_MAX;
    if (!same && room) {
        if (h->n_subscriptions == ALL_MAX)
            forget(h, list_first(&h->subscriptions, struct subscription, node));
        list_add_tail(&h->subscriptions, &s->node);
        h->n_subscriptions++;
        s = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    mem_free(s);
    return same || room;
}

/* The server has agreed. */
static bool remember(struct gateway_call *c)
{
    if (gateway_subscription_add(c, c->subscribed_at, json_get_str(c->m.params, "uri")))
        return true;
    gateway_no_memory(c);
    return false;
}

const struct mcp_listed *gateway_subscribable(const struct gateway_call *c,
                                              const struct mcp_catalogue *cat, strv uri)
{
    const struct mcp_listed *server =
        uri.ptr != NULL && uri.len <= URI_MAX ? gateway_resource_server(c, cat, uri) : NULL;
    return server != NULL && server->subscribe ? server : NULL;
}

/* The server of that resource, if it can be asked. NULL: the call is over. */
static const struct mcp_listed *server_of(struct gateway_call *c, struct mcp_catalogue *cat,
                                          strv uri)
{
    const struct mcp_listed *server = gateway_subscribable(c, cat, uri);
    if (c->session.ptr == NULL)
        gateway_error(c, 200, MCP_INVALID_REQUEST,
                      "Without a session there is no stream on which an update could be told.",
                      STRV_NONE);
    else if (uri.ptr == NULL || uri.len > URI_MAX || gateway_resource_server(c, cat, uri) == NULL)
        gateway_error(c, 200, MCP_RESOURCE_NOT_FOUND, "Resource not found", STRV_NONE);
    else if (server == NULL)
        gateway_bad_params(c, "The server of this resource tells of no updates.");
    else
        return server;
    return NULL;
}

static void pass_on(struct gateway_call *c, struct mcp_catalogue *cat,
                    const struct mcp_listed *server, const char *method,
                    bool (*accepted)(struct gateway_call *c))
{
    strv text = STRV_NONE;
    (void)json_raw_member(&c->m.json, c->m.params, "uri", &text);
    char *params = arena_printf(&c->work, "\"uri\":" STRV_FMT, STRV_ARG(text));
    c->subscribed_at = arena_cstr(&c->work, strv_of(server->name));
    if (params == NULL || c->subscribed_at == NULL) {
        mcp_catalogue_unref(cat);
        gateway_no_memory(c);
        return;
    }
    gateway_pass(c, cat, server, method, strv_of(params), accepted);
}

void gateway_subscribe(struct gateway_call *c)
{
    struct gateway_hall *h = c->g->env.hall;
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    strv uri = json_get_str(c->m.params, "uri");
    const struct mcp_listed *server = server_of(c, cat, uri);
    bool same = false;
    if (server == NULL) {
        mcp_catalogue_unref(cat);
        return;
    }
    pthread_mutex_lock(&h->lock);
    size_t n = count(h, c->session, uri, &same);
    pthread_mutex_unlock(&h->lock);
    if (n < SESSION_MAX || same) {
        pass_on(c, cat, server, "resources/subscribe", remember);
        return;
    }
    mcp_catalogue_unref(cat);
    gateway_bad_params(c, "This session has too many subscriptions.");
}

bool gateway_subscription_drop(const struct gateway_call *c, strv uri)
{
    struct gateway_hall *h = c->g->env.hall;
    struct list *pos, *tmp;
    bool others = false;
    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->subscriptions)
    {
        struct subscription *s = list_entry(pos, struct subscription, node);
        if (is_of(s, c->session, uri))
            forget(h, s);
        else
            others = others || strv_eq((strv){s->uri, s->len}, uri);
    }
    pthread_mutex_unlock(&h->lock);
    return !others;
}

void gateway_unsubscribe(struct gateway_call *c)
{
    struct mcp_catalogue *cat = gateway_catalogue(c->g);
    strv uri = json_get_str(c->m.params, "uri");
    const struct mcp_listed *server = server_of(c, cat, uri);
    if (server != NULL && gateway_subscription_drop(c, uri)) {
        pass_on(c, cat, server, "resources/unsubscribe", NULL);
        return;
    }
    mcp_catalogue_unref(cat);
    if (server != NULL)
        gateway_result(c, STRV(""));
}
