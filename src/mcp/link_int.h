/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_int - how a kind of link is made. Known to link.c, which chooses, and to the kinds.
 *
 * A kind's own struct begins with struct mcp_link and keeps ops, arg and whatever else it needs behind it:
 *
 *   struct pipes { struct mcp_link base; ... };         open() returns &pipes->base, with base.type set
 */
#ifndef MCP_LINK_INT_H
#define MCP_LINK_INT_H

#include "mcp/link.h"

struct mcp_link_type { /* the functions of link.h, one by one */
    struct mcp_link *(*open)(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                             const struct mcp_link_ops *ops, void *arg, struct err *err);
    bool (*send)(struct mcp_link *l, const struct mcp_sending *s);
    void (*abandon)(struct mcp_link *l, uint64_t tag); /* these three may be NULL: nothing to do */
    void (*listen)(struct mcp_link *l);
    void (*renew)(struct mcp_link *l);
    void (*close)(struct mcp_link *l, void (*gone)(void *arg), void *arg);
};
struct mcp_link {
    const struct mcp_link_type *type;
};

extern const struct mcp_link_type mcp_link_stdio; /* stdio.c */
extern const struct mcp_link_type mcp_link_http;  /* http.c: MCP_HTTP and MCP_SSE */

#endif
