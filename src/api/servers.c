/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers - GET /router/servers: the MCP servers, how each is, and every tool with what may be done with it.
 *
 * Descriptions are the servers' own words, cleaned and bounded by mcp/; whoever shows them shows text.
 */
#include "agent/agent.h"
#include "api/api_int.h"

#define LIST_BYTES_MAX ((size_t)64 << 20)

static void put_text(struct buf *b, bool *first, const char *key, strv text)
{
    json_put_key(b, first, key);
    if (text.ptr != NULL)
        json_put_str(b, text);
    else
        buf_put_cstr(b, "null");
}

static void put_tool(struct buf *b, const struct mcp_tool *t)
{
    bool first = true;
    buf_put_char(b, '{');
    put_text(b, &first, "name", t->name);
    put_text(b, &first, "id", strv_of(t->id));
    put_text(b, &first, "title", t->title);
    put_text(b, &first, "description", t->description);
    put_text(b, &first, "effect", strv_of(mcp_effect_name(t->effect)));
    put_text(b, &first, "data", strv_of(mcp_data_name(t->data)));
    put_text(b, &first, "approval", strv_of(mcp_approval_name(t->approval)));
    put_text(b, &first, "refused", strv_of(t->refused));
    json_put_key(b, &first, "schema");
    buf_put_strv(b, t->schema.len > 0 ? t->schema : STRV("{}"));
    buf_put_char(b, '}');
}

static void put_server(struct buf *b, const struct mcp_catalogue *c, const struct mcp_listed *s)
{
    bool first = true, begun = false;
    buf_put_char(b, '{');
    put_text(b, &first, "name", strv_of(s->name));
    put_text(b, &first, "transport", strv_of(mcp_transport_name(s->transport)));
    put_text(b, &first, "zone", s->local ? STRV("local") : STRV("cloud"));
    put_text(b, &first, "state", strv_of(mcp_state_name(s->state)));
    put_text(b, &first, "why", strv_of(s->why));
    put_text(b, &first, "revision", strv_of(s->revision));
    put_text(b, &first, "title", s->title);
    put_text(b, &first, "version", s->version);
    json_put_key(b, &first, "restarts");
    buf_put_u64(b, s->restarts);
    json_put_key(b, &first, "tools");
    buf_put_char(b, '[');
    for (size_t i = 0; i < c->n_tools; i++) {
        if (c->tools[i].server != s)
            continue;
        buf_put_cstr(b, begun ? "," : "");
        begun = true;
        put_tool(b, &c->tools[i]);
    }
    buf_put_cstr(b, "]}");
}

void api_servers(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct mcp_catalogue *c = NULL;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    if (api->agent != NULL && api->agent->hub != NULL)
        c = mcp_hub_catalogue(api->agent->hub);
    buf_put_cstr(&b, "{\"servers\":[");
    for (size_t i = 0; c != NULL && i < c->n_servers; i++) {
        buf_put_cstr(&b, i > 0 ? "," : "");
        put_server(&b, c, &c->servers[i]);
    }
    buf_put_cstr(&b, "]}");
    mcp_catalogue_unref(c);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b.failed)
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}
