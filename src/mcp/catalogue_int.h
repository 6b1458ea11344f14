/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_int - what the hub makes a catalogue of. */
#ifndef MCP_CATALOGUE_INT_H
#define MCP_CATALOGUE_INT_H

#include "mcp/catalogue.h"
#include "mcp/client.h"

struct mcp_source { /* a server */
    const struct mcp_server_conf *conf;
    const struct mcp_listing *listing; /* the last there was; NULL = it never said anything */
    enum mcp_state state;
    const char *why; /* NULL = nothing is wrong */
    enum mcp_era era;
    unsigned restarts;
};
/* Copies all it needs. NULL: no memory. */
struct mcp_catalogue *mcp_catalogue_make(const struct mcp_source *sources, size_t n,
                                         uint64_t version);

#endif
