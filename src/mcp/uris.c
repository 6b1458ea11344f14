/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uris - which resources a server was asked to tell of. A server that is begun anew, or has lost the session, knows nothing
 * of that: it is asked again, and whoever listens is told that there may be something new.
 */
#include "mcp/hub_int.h"

#define URIS_MAX 1024 /* of one server; the oldest goes first */

struct uri {
    struct list node;
    size_t len;
    char text[];
};

static void drop(struct mcp_server *s, struct uri *u)
{
    list_del(&u->node);
    s->n_uris--;
    mem_free(u);
}

static void forget(struct mcp_server *s, strv uri)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &s->uris)
    {
        struct uri *u = list_entry(pos, struct uri, node);

        if (strv_eq((strv){u->text, u->len}, uri))
            drop(s, u);
    }
}

/* Without memory it is not asked again. */
static void remember(struct mcp_server *s, strv uri)
{
    struct uri *u = mem_alloc(sizeof *u + uri.len);

    if (u == NULL)
        return;
    list_init(&u->node);
    u->len = uri.len;
    memcpy(u->text, uri.ptr, uri.len);
    if (s->n_uris == URIS_MAX)
        drop(s, list_first(&s->uris, struct uri, node));
    list_add_tail(&s->uris, &u->node);
    s->n_uris++;
}

void mcp_uris_note(struct mcp_server *s, const struct mcp_call_spec *spec)
{
    bool on = strcmp(spec->method, "resources/subscribe") == 0;
    struct arena arena;
    struct json doc;
    strv uri;

    if (!on && strcmp(spec->method, "resources/unsubscribe") != 0)
        return;
    arena_init(&arena, 1024, 1 << 20);
    if (json_read(&doc, spec->params, &arena, 0, NULL)) {
        uri = json_get_str(doc.root, "uri");
        if (uri.len > 0)
            forget(s, uri);
        if (uri.len > 0 && on)
            remember(s, uri);
    }
    arena_fini(&arena);
}

static void ignore(void *arg, const struct mcp_answer *a)
{
    (void)arg, (void)a;
}

void mcp_uris_renew(struct mcp_server *s)
{
    static const struct mcp_call_ops ops = {.done = ignore};
    struct list *pos, *tmp;

    if (!s->run->local) /* they were asked at home, and the name leads elsewhere now */
        mcp_uris_free(s);
    list_for_each(pos, tmp, &s->uris)
    {
        struct uri *u = list_entry(pos, struct uri, node);
        struct mcp_call_spec spec = {.server = s->conf->name,
                                     .method = "resources/subscribe",
                                     .capabilities = STRV(""),
                                     .log_level = STRV("")};
        struct buf params;

        buf_init(&params, 1 << 20);
        buf_put_cstr(&params, "{\"uri\":");
        json_put_str(&params, (strv){u->text, u->len});
        if (buf_put_char(&params, '}')) {
            spec.params = buf_view(&params);
            (void)mcp_client_call(s->client, &spec, &ops, NULL);
        }
        buf_fini(&params);
        mcp_hub_tell_update(s->hub, s->conf->name, (strv){u->text, u->len});
    }
}

void mcp_uris_free(struct mcp_server *s)
{
    while (!list_empty(&s->uris))
        drop(s, list_first(&s->uris, struct uri, node));
}
