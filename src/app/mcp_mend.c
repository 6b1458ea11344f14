/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_mend - what a client behind pipes cannot know of HTTP, done in its place.
 *
 *   refused: "header mismatch"   --> tools/list, for the marks of the tools  --> the same call, with its headers
 *   refused: no such session     --> initialize as the client did            --> the same request, in the new session
 *   the client is initialized    --> GET: what the router says on its own; opened again when it breaks off
 *
 * One errand at a time; the requests that need it wait, and each is made again once. After a lost session the client is told
 * that every list may have changed: it was deaf for a while.
 */
#include <stdio.h>
#include <string.h>

#include "app/mcp_bridge_int.h"

#define AGAIN_MS_MIN ((uint64_t)1000)
#define AGAIN_MS_MAX ((uint64_t)60000)
#define MARKED_MAX   4096

struct marked {
    struct list node;
    strv name, schema;
    char text[];
};

/* ---- what can be mended ---- */

bool mend_can(struct sent *s, const struct mcp_message *m)
{
    const struct bridge *b = s->b;
    if (s->role != SENT_MESSAGE || s->m.kind != MCP_REQUEST || s->mended || m->kind != MCP_ERROR)
        return false;
    if (m->code == MCP_HEADER_MISMATCH && strv_eq_cstr(s->m.method, "tools/call"))
        s->needs = SENT_TOOLS;
    else if (s->status == 404 && buf_len(&b->session) > 0 && buf_len(&b->hello) > 0)
        s->needs = SENT_HELLO;
    return s->needs != SENT_MESSAGE;
}

static void start_errand(struct bridge *b, enum sent_role role, strv text)
{
    struct sent *s = bridge_sent(b, role, text);
    int code;
    b->errand = NULL;
    if (s == NULL)
        return;
    if (s->text.ptr == NULL || !mcp_message_read(s->text, &s->arena, &s->m, &code, NULL)) {
        bridge_drop(s);
        return;
    }
    b->errand = s;
    if (!bridge_post(s))
        b->errand = NULL;
}

/* The first page, with the client's own _meta; `cursor` ptr NULL: none. */
static void ask_tools(struct bridge *b, strv meta, strv cursor)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_put_cstr(&text,
                 "{\"jsonrpc\":\"2.0\",\"id\":\"llm-router-tools\",\"method\":\"tools/list\","
                 "\"params\":{\"_meta\":");
    buf_put_strv(&text, meta);
    if (cursor.ptr != NULL) {
        buf_put_cstr(&text, ",\"cursor\":");
        json_put_str(&text, cursor);
    }
    buf_put_cstr(&text, "}}");
    if (!text.failed)
        start_errand(b, SENT_TOOLS, buf_view(&text));
    buf_fini(&text);
}

static void forget_marked(struct bridge *b)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &b->marked)
    {
        list_del(pos);
        mem_free(list_entry(pos, struct marked, node));
    }
}

static void give_up(struct bridge *b)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &b->running)
    {
        struct sent *s = list_entry(pos, struct sent, node);
        if (!s->waits)
            continue;
        bridge_fail(s, s->needs == SENT_HELLO
                           ? STRV("The session was lost, and there is no new one.")
                           : STRV("The tool's schema could not be read."));
        bridge_drop(s);
    }
}

/* What the first of those that wait needs. */
static void next_errand(struct bridge *b)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &b->running)
    {
        struct sent *s = list_entry(pos, struct sent, node);
        strv meta;
        if (!s->waits)
            continue;
        if (s->needs == SENT_HELLO)
            start_errand(b, SENT_HELLO, buf_view(&b->hello));
        else if (json_raw_member(&s->m.json, s->m.params, "_meta", &meta)) {
            forget_marked(b);
            ask_tools(b, meta, STRV_NONE);
        }
        if (b->errand == NULL)
            give_up(b);
        return;
    }
}

void mend_begin(struct sent *s)
{
    s->waits = s->mended = true;
    if (s->b->errand == NULL)
        next_errand(s->b);
}

/* Made once more, those that waited for this. */
static void go_on(struct bridge *b, enum sent_role done)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &b->running)
    {
        struct sent *s = list_entry(pos, struct sent, node);
        if (!s->waits || s->needs != done)
            continue;
        s->waits = s->answered = false;
        s->needs = SENT_MESSAGE;
        (void)bridge_post(s);
    }
    next_errand(b);
}

/* ---- errands ---- */

static bool keep_marked(struct bridge *b, const struct json *doc, yyjson_val *tool)
{
    yyjson_val *schema = json_get(tool, "inputSchema");
    strv name = json_get_str(tool, "name"), text;
    bool any = false;
    if (name.len == 0 || !mcp_marks_sound(schema, &any, NULL) || !any ||
        !json_raw_member(doc, tool, "inputSchema", &text))
        return true;
    struct marked *m = mem_alloc(sizeof *m + name.len + text.len);
    if (m == NULL)
        return false;
    list_init(&m->node);
    memcpy(m->text, name.ptr, name.len);
    memcpy(m->text + name.len, text.ptr, text.len);
    m->name = (strv){m->text, name.len};
    m->schema = (strv){m->text + name.len, text.len};
    list_add_tail(&b->marked, &m->node);
    return true;
}

void mend_take(struct sent *s, const struct mcp_message *m)
{
    yyjson_val *tool;
    size_t i, max;
    s->answered = m->kind == MCP_RESULT;
    if (s->role != SENT_TOOLS || !s->answered)
        return;
    yyjson_arr_foreach(json_get(m->result, "tools"), i, max, tool)
    {
        if (i < MARKED_MAX)
            s->answered = keep_marked(s->b, &m->json, tool) && s->answered;
    }
    /* The next page is asked for with the same _meta; kept until the call is over. */
    strv cursor = json_get_str(m->result, "nextCursor");
    s->cursor = cursor.ptr != NULL ? arena_strv(&s->arena, cursor) : STRV_NONE;
}

static void tell_changes(struct bridge *b)
{
    static const char *const lists[] = {"tools", "resources", "prompts"};
    char text[100];
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        snprintf(text, sizeof text,
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s/list_changed\"}", lists[i]);
        bridge_say(b, strv_of(text));
    }
}

void mend_over(struct sent *s)
{
    struct bridge *b = s->b;
    enum sent_role role = s->role;
    bool ok = s->answered;
    strv meta;
    b->errand = NULL;
    if (ok && s->cursor.ptr != NULL && json_raw_member(&s->m.json, s->m.params, "_meta", &meta))
        ask_tools(b, meta, s->cursor);
    bridge_drop(s);
    if (b->errand != NULL)
        return;
    if (!ok) {
        give_up(b);
        return;
    }
    if (role == SENT_HELLO) {
        mend_listen(b);
        tell_changes(b);
    }
    go_on(b, role);
}

/* ---- headers ---- */

bool mend_headers(struct sent *s)
{
    strv name = json_get_str(s->m.params, "name");
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &s->b->marked)
    {
        const struct marked *m = list_entry(pos, struct marked, node);
        struct http_header *more = NULL;
        struct json schema;
        size_t n = 0;
        if (!strv_eq(m->name, name))
            continue;
        if (!json_read(&schema, m->schema, &s->arena, 0, NULL) ||
            !mcp_marks_headers(schema.root, &s->m.json, json_get(s->m.params, "arguments"),
                               &s->arena, &more, &n))
            return false;
        for (size_t i = 0; i < n; i++)
            if (!bridge_header(s, more[i].name, more[i].value))
                return false;
        break;
    }
    return true;
}

/* ---- the stream ---- */

static void on_again(void *arg)
{
    mend_listen(arg);
}

void mend_listen(struct bridge *b)
{
    if (b->stream != NULL || b->ended || buf_len(&b->session) == 0)
        return;
    b->stream = bridge_sent(b, SENT_STREAM, STRV_NONE);
    if (b->stream != NULL && !bridge_post(b->stream))
        b->stream = NULL;
}

void mend_stream_over(struct sent *s)
{
    struct bridge *b = s->b;
    int status = s->status;
    b->stream = NULL;
    bridge_drop(s);
    if (status == 200)
        b->again_ms = 0;
    if (status == 404 && b->errand == NULL && buf_len(&b->hello) > 0)
        start_errand(b, SENT_HELLO, buf_view(&b->hello));
    if (b->ended || (status >= 400 && status < 500)) /* there is none, or there will be another */
        return;
    b->again_ms = b->again_ms == 0                 ? AGAIN_MS_MIN
                  : b->again_ms * 2 < AGAIN_MS_MAX ? b->again_ms * 2
                                                   : AGAIN_MS_MAX;
    io_timer_start(b->remote.loop, &b->again, b->again_ms, on_again, b);
}

void mend_fini(struct bridge *b)
{
    if (b->remote.loop != NULL)
        io_timer_stop(b->remote.loop, &b->again);
    if (b->errand != NULL)
        bridge_drop(b->errand);
    if (b->stream != NULL)
        bridge_drop(b->stream);
    forget_marked(b);
}
