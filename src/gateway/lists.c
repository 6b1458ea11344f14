/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists - tools, resources, templates and prompts, page by page, in an order that does not change by itself: ours first,
 * then the servers' as the catalogue has them.
 *
 * An entry is passed on as its server wrote it, but for its name, and for members that the client's era does not have.
 * A cursor is a place in the list ("at-500"); what changes between two pages is told by list_changed.
 */
#include "gateway/internal.h"

#define LIST_TTL_MS 5000

struct listing {
    struct gateway_call *c;
    struct mcp_catalogue *cat; /* NULL = there are no servers */
    struct buf b;
    size_t from, page, seen, put;
    bool more;
};

static bool begin(struct gateway_call *c, struct listing *l, const char *member)
{
    uint64_t from = 0;
    yyjson_val *cursor = json_get(c->m.params, "cursor");
    strv text = json_str(cursor);
    if (cursor != NULL && (!strv_starts(text, STRV("at-")) ||
                           !strv_u64(strv_from(text, 3), 1, SIZE_MAX / 2, &from))) {
        gateway_bad_params(c, "cursor: this is none of ours.");
        return false;
    }
    *l = (struct listing){.c = c,
                          .cat = gateway_catalogue(c->g),
                          .from = (size_t)from,
                          .page = c->g->env.page > 0 ? c->g->env.page : GATEWAY_PAGE};
    buf_init(&l->b, GATEWAY_ANSWER_MAX);
    buf_printf(&l->b, "\"%s\":[", member);
    return true;
}

/* Called for each entry that is offered. False: it is on another page. */
static bool here(struct listing *l)
{
    size_t at = l->seen++;
    if (at < l->from)
        return false;
    if (l->put == l->page) {
        l->more = true;
        return false;
    }
    if (l->put++ > 0)
        buf_put_char(&l->b, ',');
    return true;
}

static void end(struct listing *l)
{
    buf_put_char(&l->b, ']');
    if (l->more)
        buf_printf(&l->b, ",\"nextCursor\":\"at-%zu\"", l->from + l->put);
    gateway_put_cache(l->c, &l->b, LIST_TTL_MS);
    if (l->cat != NULL)
        mcp_catalogue_unref(l->cat);
    if (l->b.failed)
        gateway_no_memory(l->c);
    else
        gateway_result(l->c, buf_view(&l->b));
    buf_fini(&l->b);
}

/* ---- entries ---- */

static bool root_is_object(yyjson_val *schema)
{
    return strv_eq_cstr(json_get_str(schema, "type"), "object");
}

static bool is_left_out(const struct gateway_call *c, const char *key, yyjson_val *value)
{
    bool modern = c->era == MCP_ERA_MODERN;
    if (strcmp(key, "name") == 0)
        return true;
    if (strcmp(key, "execution") == 0) /* tasks of 2025-11-25: we offer none */
        return true;
    return strcmp(key, "outputSchema") == 0 && !modern && !root_is_object(value);
}

/* The entry with this name in place of its own. */
static void put_entry(struct listing *l, strv raw, strv name, bool needs_description)
{
    struct json json;
    struct err err = ERR_INIT;
    yyjson_val *key, *value;
    size_t i, max;
    strv text;
    bool described = false;
    if (!json_read(&json, raw, &l->c->work, 0, &err)) {
        l->b.failed = true; /* it was read before: there is no memory */
        return;
    }
    buf_put_cstr(&l->b, "{\"name\":");
    json_put_str(&l->b, name);
    yyjson_obj_foreach(json.root, i, max, key, value)
    {
        if (is_left_out(l->c, yyjson_get_str(key), value) || !json_raw_value(&json, key, &text))
            continue;
        described = described || strcmp(yyjson_get_str(key), "description") == 0;
        buf_put_char(&l->b, ',');
        json_put_str(&l->b, json_str(key));
        buf_put_char(&l->b, ':');
        buf_put_strv(&l->b, text);
    }
    if (needs_description && !described)
        buf_put_cstr(&l->b, ",\"description\":\"Its server says nothing about it.\"");
    buf_put_char(&l->b, '}');
}

void gateway_tools_list(struct gateway_call *c)
{
    struct listing l;
    if (!begin(c, &l, "tools"))
        return;
    for (size_t i = 0; i < own_tools_n; i++) {
        if (!own_tool_is_offered(c->g, &own_tools[i]) || !here(&l))
            continue;
        buf_printf(&l.b, "{\"name\":\"%s\",", own_tools[i].name);
        buf_put_cstr(&l.b, own_tools[i].listed);
        buf_put_char(&l.b, '}');
    }
    for (size_t i = 0; l.cat != NULL && i < l.cat->n_tools; i++) {
        const struct mcp_tool *t = &l.cat->tools[i];
        strv name = gateway_tool_name(c, l.cat, t);
        if (name.ptr != NULL && here(&l))
            put_entry(&l, t->raw, name, true);
    }
    end(&l);
}

void gateway_prompts_list(struct gateway_call *c)
{
    struct listing l;
    if (!begin(c, &l, "prompts"))
        return;
    for (size_t i = 0; i < l.cat->n_prompts; i++) {
        strv name = gateway_prompt_name(c, l.cat, &l.cat->prompts[i]);
        if (name.ptr != NULL && here(&l))
            put_entry(&l, l.cat->prompts[i].raw, name, false);
    }
    end(&l);
}

/* One address stands in the list once, whoever has it as well. */
static bool is_first(const struct mcp_item *items, const struct mcp_item *item)
{
    for (const struct mcp_item *o = items; o < item; o++)
        if (o->server != item->server && strv_eq(o->name, item->name))
            return false;
    return true;
}

static void list_resources(struct gateway_call *c, const char *member, bool templates)
{
    struct listing l;
    if (!begin(c, &l, member))
        return;
    const struct mcp_item *items = templates ? l.cat->templates : l.cat->resources;
    size_t n = templates ? l.cat->n_templates : l.cat->n_resources;
    for (size_t i = 0; i < n; i++)
        if (gateway_may_read(c, items[i].server, "resources") && is_first(items, &items[i]) &&
            here(&l))
            buf_put_strv(&l.b, items[i].raw);
    end(&l);
}

void gateway_resources_list(struct gateway_call *c)
{
    list_resources(c, "resources", false);
}

void gateway_templates_list(struct gateway_call *c)
{
    list_resources(c, "resourceTemplates", true);
}
