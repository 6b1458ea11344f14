/* SPDX-License-Identifier: Apache-2.0 */
/* link - chooses the kind of link by the server's transport, and hands every call on to it. */
#include "mcp/link_int.h"

static const struct mcp_link_type *const types[] = {
    [MCP_STDIO] = &mcp_link_stdio,
    [MCP_HTTP] = &mcp_link_http,
    [MCP_SSE] = &mcp_link_http,
};

struct mcp_link *mcp_link_open(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                               const struct mcp_link_ops *ops, void *arg, struct err *err)
{
    return types[conf->transport]->open(env, conf, ops, arg, err);
}

bool mcp_link_send(struct mcp_link *l, const struct mcp_sending *s)
{
    return l->type->send(l, s);
}

void mcp_link_abandon(struct mcp_link *l, uint64_t tag)
{
    if (l->type->abandon != NULL)
        l->type->abandon(l, tag);
}

void mcp_link_listen(struct mcp_link *l)
{
    if (l->type->listen != NULL)
        l->type->listen(l);
}

void mcp_link_renew(struct mcp_link *l)
{
    if (l->type->renew != NULL)
        l->type->renew(l);
}

void mcp_link_close(struct mcp_link *l, void (*gone)(void *arg), void *arg)
{
    l->type->close(l, gone, arg);
}
