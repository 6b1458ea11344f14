/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue - what all servers offer now: tools with what may be done with them, resources, prompts. Immutable and
 * counted; a change of any server makes a new one. Any thread.
 *
 * A tool is known to models as server__tool: always with its server, in characters that every API takes, at most
 * 64; longer ones end in a hash. The name is never taken apart again: mcp_catalogue_tool() finds it.
 */
#ifndef MCP_CATALOGUE_H
#define MCP_CATALOGUE_H

#include <stdatomic.h>

#include "mcp/conf.h"

#define MCP_NAME_MAX 65

struct mcp_tool {
    const struct mcp_listed *server;
    strv name;               /* as its server calls it */
    char id[MCP_NAME_MAX];   /* as models know it */
    strv title, description; /* cleaned, bounded; "" = none */
    strv schema;             /* JSON text of an object, "type":"object" at its root */
    strv output_schema;      /* JSON text; "" = none */
    strv raw;                /* the whole entry, as it was listed */
    strv note;               /* the overlay's entry for it, JSON text; "" = none */
    enum mcp_effect effect;
    enum mcp_data data;
    enum mcp_approval approval;
    bool task_required; /* it runs only as a task (2025-11-25) */
    uint8_t digest
        [32]; /* of name, description, schemas, and where its server is: approvals are bound to it */
    const char *refused; /* why it is not offered (schema, name, denied, off); NULL = it is */
};

struct mcp_item { /* a resource, a template of resources, a prompt */
    const struct mcp_listed *server;
    strv name; /* uri, uriTemplate, or a prompt's name */
    strv raw;
};

enum mcp_state { MCP_STARTING, MCP_READY, MCP_DOWN, MCP_DISABLED };
const char *mcp_state_name(enum mcp_state s);

struct mcp_listed { /* a server */
    const char *name;
    bool local;
    bool bare_names; /* as configured */
    enum mcp_transport transport;
    enum mcp_state state;
    const char *why; /* it is DOWN; NULL = nothing is wrong */
    enum mcp_era era;
    const char *revision; /* "" = not known yet */
    strv title, version;  /* as it says; cleaned */
    strv instructions;    /* cleaned */
    strv overlay; /* text of its overlay, copied: "words" of it are for the menu; "" = none */
    bool completions, logging, subscribe;
    unsigned restarts;
};

struct mcp_catalogue {
    atomic_uint refs;
    struct arena arena;
    uint64_t version; /* rises with each change */
    const struct mcp_listed *servers;
    size_t n_servers;
    const struct mcp_tool *tools; /* in the order of servers and their lists */
    size_t n_tools;
    const struct mcp_item *resources, *templates, *prompts;
    size_t n_resources, n_templates, n_prompts;
};
struct mcp_catalogue *mcp_catalogue_ref(struct mcp_catalogue *c);
void mcp_catalogue_unref(struct mcp_catalogue *c); /* NULL is fine */
/* By the models' name, or by "server/tool". NULL: there is none. */
const struct mcp_tool *mcp_catalogue_tool(const struct mcp_catalogue *c, strv id);
const struct mcp_listed *mcp_catalogue_server(const struct mcp_catalogue *c, strv name);

#endif
