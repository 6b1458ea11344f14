/* SPDX-License-Identifier: Apache-2.0 */
#include "app/tools.h"

#include <string.h>

static void on_change(void *arg)
{
    struct tools *t = arg;
    struct mcp_catalogue *c = mcp_hub_catalogue(t->hub);
    struct agent_index *index = agent_index_new(c);
    if (index == NULL) { /* the old one stays; the next change makes another */
        LOG(t->log, LOG_ERROR, "tools_not_read", LOG_C(REASON, "out of memory"));
        mcp_catalogue_unref(c);
        return;
    }
    LOG(t->log, LOG_DEBUG, "tools", LOG_I(COUNT, c->n_tools));
    mcp_catalogue_unref(c);
    agent_index_unref(t->index);
    t->index = index;
    for (unsigned i = 0; i < t->n_workers; i++)
        (void)worker_take_tools(&t->workers[i], index); /* refused: it keeps the old one */
}

bool tools_open(struct tools *t, struct io_loop *loop, struct http_client *client, struct log *log,
                const char *state_dir, struct err *err)
{
    t->loop = loop;
    t->log = log;
    logins_init(&t->logins, state_dir);
    if (!rng_seed_system(&t->rng))
        return err_set(err, LLM_ERR_INTERNAL, "the system gives no random numbers");
    const struct mcp_hub_env env = {.loop = loop,
                                    .client = client,
                                    .rng = &t->rng,
                                    .log = log,
                                    .metrics = metrics_process(),
                                    .auth = &t->logins.host};
    t->host = agent_host_new();
    if (t->host == NULL)
        return err_oom(err);
    t->hub = mcp_hub_new(&env, agent_host_of(t->host), err);
    if (t->hub == NULL)
        return false;
    t->watch = mcp_watch(t->hub, loop, on_change, t);
    struct mcp_catalogue *none = mcp_hub_catalogue(t->hub);
    t->index = agent_index_new(none);
    mcp_catalogue_unref(none);
    return (t->watch != NULL && t->index != NULL) || err_oom(err);
}

void tools_configure(struct tools *t, const struct config *c)
{
    struct err err = ERR_INIT;
    if (!t->stopping && !mcp_hub_configure(t->hub, &c->mcp, &err))
        LOG(t->log, LOG_ERROR, "tools_not_configured", LOG_C(REASON, err.text));
}

/* *first: it was not looked at before. NULL: there are too many. */
static struct tools_login *seen_of(struct tools *t, const char *name, bool *first)
{
    for (size_t i = 0; i < t->n_seen; i++)
        if (strcmp(t->seen[i].name, name) == 0)
            return &t->seen[i];
    if (t->n_seen == MCP_SERVERS_MAX)
        return NULL;
    *first = true;
    snprintf(t->seen[t->n_seen].name, sizeof t->seen[0].name, "%s", name);
    return &t->seen[t->n_seen++];
}

/* A server that runs reads the file itself when its token is refused: nobody's calls are ended for a refreshed one. */
void tools_look(struct tools *t)
{
    struct mcp_catalogue *c = t->stopping ? NULL : mcp_hub_catalogue(t->hub);
    for (size_t i = 0; c != NULL && i < c->n_servers; i++) {
        const struct mcp_listed *s = &c->servers[i];
        bool first = false;
        struct tools_login *seen = s->transport != MCP_STDIO ? seen_of(t, s->name, &first) : NULL;
        uint64_t mark = seen != NULL ? logins_mark(&t->logins, s->name) : 0;
        if (seen == NULL || (seen->mark == mark && !first))
            continue;
        seen->mark = mark;
        if (!first && mark == 0)
            mcp_hub_again(t->hub, s->name, "its login was given up");
        else if (!first && s->state == MCP_DOWN)
            mcp_hub_again(t->hub, s->name, "somebody has logged in");
    }
    mcp_catalogue_unref(c);
}

void tools_tell(struct tools *t, struct worker *workers, unsigned n)
{
    t->workers = workers;
    t->n_workers = n;
    for (unsigned i = 0; i < n; i++)
        (void)worker_take_tools(&workers[i], t->index);
}

static void on_stopped(void *arg)
{
    struct tools *t = arg;
    t->stopped = true;
    t->on_stopped(t->arg);
}

void tools_stop(struct tools *t, void (*done)(void *arg), void *arg)
{
    if (t->stopping)
        return;
    t->stopping = true;
    t->on_stopped = done;
    t->arg = arg;
    mcp_hub_stop(t->hub, on_stopped, t);
}

void tools_close(struct tools *t)
{
    if (t->watch != NULL)
        mcp_unwatch(t->watch);
    if (t->hub != NULL)
        mcp_hub_free(t->hub);
    agent_host_free(t->host);
    agent_index_unref(t->index);
}
