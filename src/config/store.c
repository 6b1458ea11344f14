/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - where the keys are: in the state directory, or on a server that several routers share.
 *
 * What those routers would each have alone, and whoever uses them would take for one, is refused (docs/replicas.md).
 */
#include "config/internal.h"

static bool shares_nothing_else(struct load *l, const struct setting *server)
{
    const struct setting *keep = setting_get(l->whole, "chat.keep", NULL);
    if (keep->value.number != 0)
        return load_fail(l, &server->origin, "store.postgres",
                         "conversations are kept by each router alone, not on the server: "
                         "chat.keep must be false");
    if (l->whole->config.mcp.n_servers > 0)
        return load_fail(l, &server->origin, "store.postgres",
                         "calls of tools wait for approval at one router alone, not on the server: "
                         "there must be no mcp_servers");
    return true;
}

static bool build_server(struct load *l, const struct setting *s)
{
    struct store_server *server = &l->whole->config.store.server;
    struct zone_rule *rule = ARENA_NEW(l->arena, struct zone_rule);
    struct err why = ERR_INIT;
    if (rule == NULL)
        return load_oom(l);
    if (!store_server_ok(s->value.text, &why))
        return load_fail(l, &s->origin, s->option->path, "%s", why.text);
    *rule = (struct zone_rule){ZONE_LOCAL, l->whole->networks};
    server->allow = zone_allow;
    server->rule = rule;
    return shares_nothing_else(l, s);
}

bool store_build(struct load *l)
{
    const struct setting *s = setting_get(l->whole, "store.postgres", NULL);
    struct whole *w = l->whole;
    w->config.store.path = arena_printf(l->arena, "%s/llm-router.db", w->config.state_dir);
    w->snapshot.ledger.budget.replicas = w->snapshot.quotas.replicas;
    return w->config.store.path != NULL ? s == NULL || build_server(l, s) : load_oom(l);
}
