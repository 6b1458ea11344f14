/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing - what a server has: four lists with their pages, and how we hear of changes.
 *
 *   ask --page, cursor--> ask ... --no cursor--> list --all four--> listing --changed()--> owner
 *    ^
 *    |-- list_changed, joined for 200 ms: they come in storms, and before there was a first list
 *    |-- the subscription of the modern era was opened again: something may have been missed
 *    '-- nobody tells us of changes: now and then, or when the server says that its answer grows old
 *
 * One bad entry is left out and counted, one bad list is cut where it went bad and says why; the others stand. A list
 * that cannot be asked for again stays as it was.
 */
#include <stdio.h>

#include "mcp/client_int.h"

#define PAGES_MAX        1000
#define ENTRIES_MAX      10000
#define TOOLS_MAX        1024
#define LIST_BYTES_MAX   ((size_t)64 << 20)
#define JOIN_MS          200
#define REFRESH_MS       ((int64_t)5 * 60000) /* of servers over HTTP that tell of no changes */
#define REFRESH_LEAST_MS ((int64_t)60000)
#define AGAIN_LEAST_MS   1000
#define AGAIN_MOST_MS    60000
#define URIS_MAX         1024

const char *const mcp_list_methods[MCP_LISTS] = {"tools/list", "resources/list",
                                                 "resources/templates/list", "prompts/list"};
const char *const mcp_list_members[MCP_LISTS] = {"tools", "resources", "resourceTemplates",
                                                 "prompts"};
static const char *const names[MCP_LISTS] = {"name", "uri", "uriTemplate", "name"};

static void on_page(struct request *r, const struct reply *reply);
static void set_refresh(struct mcp_client *c);

/* ---- lists ---- */

struct mcp_list *mcp_list_ref(struct mcp_list *l)
{
    l->refs++;
    return l;
}

void mcp_list_unref(struct mcp_list *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    arena_fini(&l->arena);
    mem_free(l->items);
    mem_free(l);
}

struct mcp_list *mcp_list_new(void)
{
    struct mcp_list *l = mem_zalloc(sizeof *l);

    if (l == NULL)
        return NULL;
    l->refs = 1;
    arena_init(&l->arena, 8192, LIST_BYTES_MAX);
    return l;
}

static bool list_same(const struct mcp_list *a, const struct mcp_list *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->n != b->n || strcmp(a->why != NULL ? a->why : "", b->why != NULL ? b->why : "") != 0)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!strv_eq(a->items[i].raw, b->items[i].raw))
            return false;
    return true;
}

static bool make_room(struct mcp_list *l)
{
    size_t room = l->room == 0 ? 32 : l->room * 2;
    struct mcp_entry *more;

    if (l->n < l->room)
        return true;
    more = mem_realloc(l->items, room * sizeof *more);
    if (more == NULL)
        return false;
    l->items = more;
    l->room = room;
    return true;
}

/* False: no memory, or too large altogether. */
static bool add_entry(struct mcp_list *l, enum mcp_list_kind kind, strv raw, yyjson_val *v)
{
    strv name = json_get_str(v, names[kind]);
    struct mcp_entry e = {.raw = STRV_NONE};
    struct err err = ERR_INIT;

    if (!yyjson_is_obj(v) || name.len == 0) {
        l->bad++;
        return true;
    }
    if (!make_room(l))
        return false;
    if (kind == MCP_TOOLS) {
        e.task_required =
            strv_eq(json_get_str(json_get(v, "execution"), "taskSupport"), STRV("required"));
        mcp_marks_sound(json_get(v, "inputSchema"), &e.marked, &err);
    }
    e.raw = arena_strv(&l->arena, raw);
    e.name = arena_strv(&l->arena, name);
    if (e.raw.ptr == NULL || e.name.ptr == NULL)
        return false;
    l->items[l->n++] = e;
    return true;
}

bool mcp_list_add_page(struct mcp_list *l, enum mcp_list_kind kind, size_t entries_max,
                       const struct json *doc, yyjson_val *result)
{
    yyjson_val *items = json_get(result, mcp_list_members[kind]), *v;
    strv rest, raw;
    size_t i, max;

    if (!yyjson_is_arr(items) || !json_raw_member(doc, result, mcp_list_members[kind], &rest)) {
        l->why = "its answer has no such list";
        return false;
    }
    yyjson_arr_foreach(items, i, max, v)
    {
        if (l->n >= entries_max) {
            l->why = "it is longer than allowed, and was cut";
            return false;
        }
        if (!json_raw_next(&rest, &raw) || !add_entry(l, kind, raw, v)) {
            l->why = "there is no memory for all of it";
            return false;
        }
    }
    return true;
}

/* ---- asking ---- */

static size_t entries_max(const struct paging *p)
{
    if (p->kind != MCP_TOOLS)
        return ENTRIES_MAX;
    return p->c->conf->tools_max != 0 ? p->c->conf->tools_max : TOOLS_MAX;
}

static bool ask_page(struct paging *p, strv cursor)
{
    struct mcp_client *c = p->c;
    struct asking a = {.method = mcp_list_methods[p->kind],
                       .limit_ms = c->conf->start_ms != 0 ? c->conf->start_ms : MCP_ASK_MS,
                       .answered = on_page,
                       .owner = p};
    struct buf params;

    buf_init(&params, 1 << 20);
    if (cursor.ptr != NULL) {
        buf_put_cstr(&params, "{\"cursor\":");
        json_put_str(&params, cursor);
        buf_put_char(&params, '}');
    }
    a.params = buf_view(&params);
    p->request = params.failed ? NULL : mcp_request(c, &a);
    buf_fini(&params);
    return p->request != NULL;
}

static void paging_fini(struct paging *p)
{
    if (p->request != NULL)
        mcp_request_drop(p->request, NULL);
    p->request = NULL;
    mcp_list_unref(p->list);
    p->list = NULL;
    mem_free(p->cursors);
    p->cursors = NULL;
    p->pages = 0;
}

static void publish(struct mcp_client *c);

/* One list is there, or will not be. `none`: the server has no such list. */
static void finish(struct paging *p, bool none)
{
    struct mcp_client *c = p->c;
    struct mcp_list *list = none ? NULL : p->list, *old = c->lists[p->kind];

    if (none) {
        mcp_list_unref(p->list);
    } else if (list == NULL || (list->why != NULL && list->n == 0 && old != NULL && old->n > 0)) {
        mcp_list_unref(list); /* what there was is better than nothing */
        list = old != NULL ? mcp_list_ref(old) : NULL;
    }
    p->list = NULL;
    c->list_news = c->list_news || !list_same(old, list);
    c->lists[p->kind] = list;
    mcp_list_unref(old);
    paging_fini(p);
    c->pending &= ~(1u << p->kind);
    if (c->pending == 0)
        publish(c);
}

static void fail_list(struct paging *p, const char *why)
{
    if (p->list == NULL)
        p->list = mcp_list_new();
    if (p->list != NULL) {
        p->list->why = arena_printf(&p->list->arena, "%s", why);
        if (p->list->why == NULL)
            p->list->why = "there is no memory for it";
    }
    finish(p, false);
}

void mcp_lists_ask(struct mcp_client *c, unsigned kinds)
{
    c->dirty &= ~kinds;
    kinds &= c->offers & ~c->pending;
    io_timer_stop(c->env.loop, &c->refresh);
    c->pending |= kinds; /* all of them before the first can fail */
    for (unsigned k = 0; k < MCP_LISTS; k++) {
        struct paging *p = &c->paging[k];

        if ((kinds & 1u << k) == 0 || (c->pending & 1u << k) == 0)
            continue;
        p->ttl_ms = -1;
        p->list = mcp_list_new();
        if (p->list == NULL || !ask_page(p, STRV_NONE))
            fail_list(p, "it could not be asked for");
    }
    if (c->pending == 0 && kinds == 0)
        publish(c);
}

void mcp_lists_stop(struct mcp_client *c)
{
    for (int i = 0; i < MCP_LISTS; i++)
        paging_fini(&c->paging[i]);
    c->pending = 0;
    io_timer_stop(c->env.loop, &c->join);
    io_timer_stop(c->env.loop, &c->refresh);
    io_timer_stop(c->env.loop, &c->again);
    if (c->listen != NULL)
        mcp_request_drop(c->listen, "no longer wanted");
    c->listen = NULL;
}

/* ---- what comes ---- */

static bool seen_before(struct paging *p, strv cursor)
{
    uint64_t digest = strv_hash(cursor, 1);

    for (size_t i = 0; i < p->pages; i++)
        if (p->cursors[i] == digest)
            return true;
    if (p->cursors == NULL)
        p->cursors = mem_alloc(PAGES_MAX * sizeof *p->cursors);
    if (p->cursors == NULL)
        return true;
    p->cursors[p->pages++] = digest;
    return false;
}

static void take_page(struct paging *p, const struct reply *reply)
{
    yyjson_val *result = reply->m->result;
    strv cursor = json_get_str(result, "nextCursor"); /* an empty one is one, too */
    int64_t ttl = json_get_int(result, "ttlMs", -1);

    if (ttl > 0)
        p->ttl_ms = ttl;
    if (!mcp_list_add_page(p->list, p->kind, entries_max(p), &reply->m->json, result) ||
        cursor.ptr == NULL)
        finish(p, false);
    else if (p->pages + 1 >= PAGES_MAX || seen_before(p, cursor))
        fail_list(p, "its pages have no end");
    else if (!ask_page(p, cursor))
        fail_list(p, "it could not be asked for");
}

/* It was thought to be modern and has nothing to say in that era. */
static bool was_wrong(struct mcp_client *c, const struct paging *p, const struct reply *reply)
{
    return c->assumed && !c->wavered && c->state == CLIENT_LISTING && p->kind == MCP_TOOLS &&
           !reply->late && !(reply->m == NULL && reply->fault != MCP_FAULT_STATUS);
}

static bool is_lost(const struct reply *reply, enum mcp_fault how)
{
    return reply->m == NULL && !reply->late && reply->fault == how;
}

/* Before it said which tools it has: it is begun with again, and soon, not when its lists grow old. */
static bool died(const struct paging *p, const struct reply *reply)
{
    return p->c->state == CLIENT_LISTING && p->kind == MCP_TOOLS &&
           (is_lost(reply, MCP_FAULT_DOWN) || is_lost(reply, MCP_FAULT_CUT));
}

static void on_page(struct request *r, const struct reply *reply)
{
    struct paging *p = r->owner;
    struct mcp_client *c = r->c;
    struct arena arena;

    p->request = NULL;
    if (reply->m != NULL && reply->m->kind == MCP_RESULT) {
        take_page(p, reply);
        return;
    }
    if (reply->m == NULL && !reply->late && reply->fault == MCP_FAULT_SESSION &&
        c->era != MCP_ERA_MODERN) {
        mcp_session_lost(c);
        return;
    }
    if (was_wrong(c, p, reply)) {
        mcp_era_was_wrong(c);
        return;
    }
    if (reply->m != NULL && reply->m->code == MCP_METHOD_NOT_FOUND && p->list->n == 0) {
        finish(p, true);
        return;
    }
    if (is_lost(reply, MCP_FAULT_DOWN) && c->state == CLIENT_READY)
        mcp_check_alive(c);
    arena_init(&arena, 1024, 1 << 16);
    if (died(p, reply))
        mcp_client_down(c, mcp_reply_text(reply, &arena));
    else
        fail_list(p, mcp_reply_text(reply, &arena));
    arena_fini(&arena);
}

/* ---- the listing ---- */

static bool copy_facts(struct mcp_listing *l, const struct mcp_client *c)
{
    l->era = c->era;
    l->revision = c->revision;
    l->title = arena_strv(&l->arena, c->title);
    l->version = arena_strv(&l->arena, c->version);
    l->instructions = arena_strv(&l->arena, c->instructions);
    l->completions = c->completions;
    l->logging = c->logging;
    l->subscribe = c->subscribe;
    l->tasks = c->tasks;
    return !l->arena.failed;
}

static void publish(struct mcp_client *c)
{
    struct mcp_listing *l = mem_zalloc(sizeof *l);

    if (l != NULL) {
        l->refs = 1;
        arena_init(&l->arena, 1024, (size_t)1 << 20);
    }
    if (l == NULL || !copy_facts(l, c)) {
        mcp_listing_unref(l);
        if (c->listing == NULL) {
            mcp_client_down(c, "no memory for what it has");
            return;
        }
        l = c->listing; /* the old one stands until the next change */
        c->listing = NULL;
        c->list_news = false;
    } else {
        for (int i = 0; i < MCP_LISTS; i++)
            l->lists[i] = c->lists[i] != NULL ? mcp_list_ref(c->lists[i]) : NULL;
    }
    mcp_listing_unref(c->listing);
    c->listing = l;
    set_refresh(c);
    mcp_lists_done(c);
    if (c->state == CLIENT_READY && c->dirty != 0)
        mcp_lists_changed(c, c->dirty);
}

struct mcp_listing *mcp_listing_ref(struct mcp_listing *l)
{
    l->refs++;
    return l;
}

void mcp_listing_unref(struct mcp_listing *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    for (int i = 0; i < MCP_LISTS; i++)
        mcp_list_unref(l->lists[i]);
    arena_fini(&l->arena);
    mem_free(l);
}

const struct mcp_entry *mcp_listed_tool(const struct mcp_client *c, strv name)
{
    const struct mcp_list *tools = c->lists[MCP_TOOLS];

    for (size_t i = 0; tools != NULL && i < tools->n; i++)
        if (strv_eq(tools->items[i].name, name))
            return &tools->items[i];
    return NULL;
}

/* ---- changes ---- */

static void on_join(void *arg)
{
    struct mcp_client *c = arg;

    if (c->state == CLIENT_READY && c->pending == 0 && c->dirty != 0)
        mcp_lists_ask(c, c->dirty);
}

void mcp_lists_changed(struct mcp_client *c, unsigned kinds)
{
    c->dirty |= kinds & c->offers;
    if (c->state == CLIENT_READY && c->dirty != 0 && !c->join.running)
        io_timer_start(c->env.loop, &c->join, JOIN_MS, on_join, c);
}

static void on_refresh(void *arg)
{
    struct mcp_client *c = arg;

    if (c->state == CLIENT_READY && c->pending == 0)
        mcp_lists_ask(c, c->offers);
}

/* A stateless server cannot tell us of changes, and one that was exchanged for a newer one has no way to. */
static void set_refresh(struct mcp_client *c)
{
    int64_t ms = REFRESH_MS;

    if (!mcp_is_over_http(c))
        return;
    for (int i = 0; i < MCP_LISTS; i++)
        if (c->paging[i].ttl_ms > 0 && c->paging[i].ttl_ms < ms)
            ms = c->paging[i].ttl_ms;
    io_timer_start(c->env.loop, &c->refresh,
                   (uint64_t)(ms < REFRESH_LEAST_MS ? REFRESH_LEAST_MS : ms), on_refresh, c);
}

static void on_again(void *arg)
{
    struct mcp_client *c = arg;

    mcp_subscribe(c);
    mcp_lists_changed(c, c->notifies);
    for (size_t i = 0; c->ops != NULL && c->ops->updated != NULL && i < c->n_uris; i++)
        c->ops->updated(c->arg, strv_of(c->uris[i])); /* it may have been, meanwhile */
}

static void on_subscription_end(struct request *r, const struct reply *reply)
{
    struct mcp_client *c = r->c;

    c->listen = NULL;
    if (c->state != CLIENT_READY || (reply->m != NULL && reply->m->kind == MCP_ERROR))
        return; /* it has none, whatever it said of itself */
    c->again_ms = c->again_ms == 0                  ? AGAIN_LEAST_MS
                  : c->again_ms * 2 < AGAIN_MOST_MS ? c->again_ms * 2
                                                    : AGAIN_MOST_MS;
    io_timer_start(c->env.loop, &c->again, c->again_ms, on_again, c);
}

static void put_uris(const struct mcp_client *c, struct buf *b)
{
    for (size_t i = 0; i < c->n_uris; i++) {
        buf_put_char(b, i == 0 ? '[' : ',');
        json_put_str(b, strv_of(c->uris[i]));
    }
    buf_put_char(b, ']');
}

void mcp_subscribe(struct mcp_client *c)
{
    static const char *const members[MCP_LISTS] = {"toolsListChanged", "resourcesListChanged", NULL,
                                                   "promptsListChanged"};
    struct asking a = {.method = "subscriptions/listen", .answered = on_subscription_end};
    struct request *old = c->listen;
    struct buf params;
    bool first = true;

    if (c->era != MCP_ERA_MODERN)
        return;
    buf_init(&params, (size_t)8 << 20);
    buf_put_cstr(&params, "{\"notifications\":{");
    for (int i = 0; i < MCP_LISTS; i++)
        if (members[i] != NULL && (c->notifies & 1u << i) != 0 &&
            json_put_key(&params, &first, members[i]))
            buf_put_cstr(&params, "true");
    if (c->n_uris > 0 && json_put_key(&params, &first, "resourceSubscriptions"))
        put_uris(c, &params);
    buf_put_cstr(&params, "}}");
    a.params = buf_view(&params);
    if (c->notifies == 0 && c->n_uris == 0)
        c->listen = NULL;
    else if (params.failed || (c->listen = mcp_request(c, &a)) == NULL)
        c->listen = old;
    buf_fini(&params);
    if (old != NULL && c->listen != old)
        mcp_request_drop(old, "another one has taken its place");
}

/* ---- resources that it is to tell of ---- */

void mcp_uris_forget(struct mcp_client *c)
{
    while (c->n_uris > 0)
        mem_free(c->uris[--c->n_uris]);
    mem_free(c->uris);
    c->uris = NULL;
}

static bool add_uri(struct mcp_client *c, strv uri)
{
    char *copy;

    if (c->uris == NULL)
        c->uris = mem_zalloc(URIS_MAX * sizeof *c->uris);
    copy = c->uris != NULL && c->n_uris < URIS_MAX ? mem_alloc(uri.len + 1) : NULL;
    if (copy == NULL)
        return false;
    memcpy(copy, uri.ptr, uri.len);
    copy[uri.len] = '\0';
    c->uris[c->n_uris++] = copy;
    return true;
}

bool mcp_subscribe_uri(struct mcp_client *c, strv uri, bool on)
{
    size_t at = 0;

    while (at < c->n_uris && !strv_eq_cstr(uri, c->uris[at]))
        at++;
    if (on == (at < c->n_uris))
        return true;
    if (on && !add_uri(c, uri))
        return false;
    if (!on) {
        mem_free(c->uris[at]);
        c->uris[at] = c->uris[--c->n_uris];
    }
    mcp_subscribe(c);
    return true;
}
