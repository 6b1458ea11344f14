/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offer - which of the servers' tools, prompts and resources this caller is offered, and under which name.
 *
 * A tool has its catalogue's id (server__tool); a prompt is named the same way. Servers with `prefix: false` have the names
 * that they gave. A name that somebody before it has is not offered: first our own tools, then the servers as
 * they are configured; nor one that reads as if it were of another server. Whether a name is taken does not depend on who
 * asks.
 *
 * The key's rule `tools` speaks of server/tool; "server/resources" and "server/prompts" stand for those. What a server of
 * zone cloud has beside tools is not offered: what is asked there would leave without the gate of agent_call().
 */
#include "gateway/internal.h"

#include <stdio.h>

struct mcp_catalogue *gateway_catalogue(const struct gateway *g)
{
    const struct agent_env *agent = g->env.agent;
    return agent != NULL && agent->hub != NULL && g->env.calls != NULL
               ? mcp_hub_catalogue(agent->hub)
               : NULL;
}

static const struct policy_key *holder(const struct gateway_call *c)
{
    return c->caller.holder;
}

/* The name that it would have if nobody had it. */
static strv wanted(const struct mcp_tool *t)
{
    return t->server->bare_names ? t->name : strv_of(t->id);
}

/* A bare name that reads as if it were another server's. */
static bool is_borrowed(const struct mcp_catalogue *cat, const struct mcp_listed *server, strv name)
{
    for (size_t i = 0; server->bare_names && i < cat->n_servers; i++) {
        strv other = strv_of(cat->servers[i].name);
        if (!strv_eq_cstr(other, server->name) && strv_starts(name, other) &&
            strv_starts(strv_from(name, other.len), STRV("__")))
            return true;
    }
    return false;
}

static bool is_taken(const struct gateway *g, const struct mcp_catalogue *cat,
                     const struct mcp_tool *t, strv name)
{
    if (!t->server->bare_names) /* ids differ among themselves, and no bare name is like one */
        return false;
    if (own_tool_find(g, name) != NULL || is_borrowed(cat, t->server, name))
        return true;
    for (const struct mcp_tool *o = cat->tools; o < t; o++)
        if (o->server->bare_names && o->refused == NULL && strv_eq(o->name, name))
            return true;
    return false;
}

strv gateway_tool_name(const struct gateway_call *c, const struct mcp_catalogue *cat,
                       const struct mcp_tool *t)
{
    strv name = wanted(t);
    if (t->refused != NULL || !c->g->env.calls->may(holder(c), t) || is_taken(c->g, cat, t, name))
        return STRV_NONE;
    return name;
}

const struct mcp_tool *gateway_tool_find(const struct gateway_call *c,
                                         const struct mcp_catalogue *cat, strv name)
{
    for (size_t i = 0; i < cat->n_tools; i++)
        if (strv_eq(wanted(&cat->tools[i]), name) &&
            gateway_tool_name(c, cat, &cat->tools[i]).ptr != NULL)
            return &cat->tools[i];
    return NULL;
}

bool gateway_may_read(const struct gateway_call *c, const struct mcp_listed *server,
                      const char *what)
{
    struct mcp_tool t = {
        .server = server, .name = strv_of(what), .effect = MCP_READ, .approval = MCP_AUTO};
    return server->local && c->g->env.calls->may(holder(c), &t);
}

/* ---- prompts ---- */

static bool prompt_is(const struct mcp_item *p, strv name)
{
    if (p->server->bare_names)
        return strv_eq(p->name, name);
    size_t n = strlen(p->server->name);
    return name.len == n + 2 + p->name.len && memcmp(name.ptr, p->server->name, n) == 0 &&
           memcmp(name.ptr + n, "__", 2) == 0 && strv_eq(strv_from(name, n + 2), p->name);
}

static strv prompt_wanted(const struct mcp_item *p, struct arena *arena)
{
    if (p->server->bare_names)
        return p->name;
    char *name = arena_printf(arena, "%s__" STRV_FMT, p->server->name, STRV_ARG(p->name));
    return strv_of(name);
}

strv gateway_prompt_name(struct gateway_call *c, const struct mcp_catalogue *cat,
                         const struct mcp_item *p)
{
    strv name = prompt_wanted(p, &c->work);
    if (name.ptr == NULL || !gateway_may_read(c, p->server, "prompts") ||
        is_borrowed(cat, p->server, name))
        return STRV_NONE;
    for (const struct mcp_item *o = cat->prompts; o < p; o++)
        if (prompt_is(o, name) && !is_borrowed(cat, o->server, name))
            return STRV_NONE;
    return name;
}

const struct mcp_item *gateway_prompt_find(struct gateway_call *c, const struct mcp_catalogue *cat,
                                           strv name)
{
    for (size_t i = 0; i < cat->n_prompts; i++)
        if (prompt_is(&cat->prompts[i], name) && !is_borrowed(cat, cat->prompts[i].server, name))
            return gateway_may_read(c, cat->prompts[i].server, "prompts") ? &cat->prompts[i] : NULL;
    return NULL;
}

/* ---- resources ---- */

/* The first server that lists the address, else the first with a template that it fits. NULL: nobody's. */
const struct mcp_listed *gateway_resource_server(const struct gateway_call *c,
                                                 const struct mcp_catalogue *cat, strv uri)
{
    for (size_t i = 0; i < cat->n_resources; i++)
        if (strv_eq(cat->resources[i].name, uri) &&
            gateway_may_read(c, cat->resources[i].server, "resources"))
            return cat->resources[i].server;
    for (size_t i = 0; i < cat->n_templates; i++)
        if (gateway_may_read(c, cat->templates[i].server, "resources") &&
            gateway_address_fits(cat->templates[i].name, uri))
            return cat->templates[i].server;
    return NULL;
}
