/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf - which servers there are, and what may be done with their tools. Immutable; lives in the configuration
 * snapshot's arena. Comes from the operator's file only, never by an interface.
 */
#ifndef MCP_CONF_H
#define MCP_CONF_H

#include "base/base.h"
#include "http/http.h"
#include "mcp/message.h"

#define MCP_SERVERS_MAX 64

enum mcp_transport { MCP_STDIO, MCP_HTTP, MCP_SSE /* of 2024-11-05 */, MCP_TRANSPORTS };

/* What a tool does, in order of gravity. Unknown counts as DESTRUCTIVE. */
enum mcp_effect { MCP_READ, MCP_WRITE, MCP_DESTRUCTIVE, MCP_EXTERNAL, MCP_EFFECTS };
/* What its results hold. Unknown counts as HEALTH; only NONE leaves a conversation free to go to the cloud. */
enum mcp_data { MCP_DATA_NONE, MCP_DATA_STAFF, MCP_DATA_HEALTH, MCP_DATAS };
/* May it run? ASK: a person decides, and may say so for the session; ASK_ALWAYS: each time; OFF: it is not offered. */
enum mcp_approval { MCP_AUTO, MCP_ASK, MCP_ASK_ALWAYS, MCP_OFF, MCP_APPROVALS };
const char *mcp_transport_name(enum mcp_transport t); /* "stdio", "http", "sse" */
const char *mcp_effect_name(enum mcp_effect e);       /* "read" ... */
const char *mcp_data_name(enum mcp_data d);           /* "none", "staff", "health" */
const char *mcp_approval_name(enum mcp_approval a);   /* "auto", "ask", "ask-always", "off" */

/* "restore_*=destructive,none,ask-always": the first rule whose pattern fits the tool's name counts, word by word;
 * -1 = it says nothing of that. What it leaves open comes from the overlay, then the tool's annotations, then the
 * defaults above. approval follows effect where nobody has said:
 * READ runs, WRITE asks, DESTRUCTIVE and EXTERNAL ask always. */
struct mcp_rule {
    const char *pattern; /* * stands for any text */
    int effect, data, approval;
};

/* Reads "pattern=words"; the pattern is copied into the arena, NULL = only to look whether it can be read. */
bool mcp_rule_parse(strv text, struct arena *arena, struct mcp_rule *out);

/* How this program is known to authorization servers (auth.h). */
struct mcp_oauth_conf {
    const char *client_id, *client_secret; /* NULL = by a document of ours, or by registering */
    const char *
        issuer; /* the authorization server: where client_id is known, and asked even if the tool server names
                         * none; NULL = wherever the server says */
    const char *document;    /* https address of our client id metadata document; NULL = none */
    const char *scope;       /* asked for whatever the server asks for; NULL = only that */
    bool client_credentials; /* client_id gets tokens by itself, nobody logs in */
    uint16_t port;           /* on 127.0.0.1, where a browser comes back; 0 = any */
};

struct mcp_server_conf {
    const char *name; /* [a-z0-9][a-z0-9-]{0,30}: stands before the names of its tools */
    enum mcp_transport transport;
    enum mcp_era era; /* UNKNOWN: find out */
    bool disabled;
    /* Option `prefix: false`: its tools and prompts are offered on /mcp under their own names. One whose name is taken
     * already is not offered there. */
    bool bare_names;
    bool local; /* zone */

    /* stdio: started without a shell, with the environment of mcp.md 16.4 and what stands here */
    const char *const *argv;
    const char *const *env; /* "NAME=value", NULL-terminated */
    const char *cwd;        /* NULL = ours */

    /* HTTP */
    struct http_upstream upstream;     /* its allow function checks the zone's addresses */
    const char *path;                  /* of the endpoint, as written */
    const struct http_header *headers; /* secrets among them: never logged */
    size_t n_headers;
    const struct mcp_oauth_conf *oauth; /* NULL = nothing of it is configured */

    uint64_t start_ms;  /* until it answered the first time */
    uint64_t call_ms;   /* for one call, from its start or its last progress */
    uint64_t total_ms;  /* for one call, whatever its progress */
    size_t message_max; /* bytes of one message of its own */
    size_t tools_max;

    const char *const *allow,
        *const *deny; /* patterns of tool names; NULL-terminated; empty allow = all */
    const struct mcp_rule *rules;
    size_t n_rules;
    const char
        *overlay; /* file with notes, enums, effects for its tools (docs/mcp.md); NULL = none */
    strv overlay_text; /* its content, read with the configuration */
};

struct mcp_conf {
    const struct mcp_server_conf *servers;
    size_t n_servers;
    /* the loop */
    unsigned rounds_max;  /* calls of the model that may ask for tools; 8 */
    uint64_t loop_ms;     /* for all of it */
    uint64_t wait_ms;     /* for servers that are starting */
    size_t offer_max;     /* tools offered at once; 8 */
    int64_t offer_tokens; /* and their tokens; 800 */
    size_t offer_bytes;   /* of their JSON towards a llama.cpp grammar; 90 KiB */
    size_t result_bytes;  /* of one result that a model gets */
    uint64_t approval_ms; /* how long a call waits for a person */
    bool tell_approvals;  /* in the text of a stream, where a door has no other place for it */
    const char *const
        *agents; /* model names (aliases, roles) whose requests get tools; NULL-terminated */
    /* What keeps all of this alive: the snapshot that it is part of. A server goes on running with the rows it was
     * started from. hold NULL: it lives longer than the hub. */
    void (*hold)(void *owner), (*drop)(void *owner);
    void *owner;
};

#endif
