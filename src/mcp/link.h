/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link - a way to one server that carries messages and knows nothing of what they mean.
 *
 *   open -> send* -> message*, failed* -> close
 *
 * stdio.c: pipes of a child. http.c: one POST for each message, answers as JSON or as events; a second stream for
 * what the server says on its own; the session id; resuming a broken stream; OAuth.
 *
 * No callback comes from inside a call of this interface. After mcp_link_close() none comes at all. All of it on one
 * loop.
 */
#ifndef MCP_LINK_H
#define MCP_LINK_H

#include "mcp/conf.h"

struct mcp_link;

enum mcp_fault {
    MCP_FAULT_DOWN,    /* no connection, process not started, 5xx: nothing is known of the server */
    MCP_FAULT_CUT,     /* it ended before the answer came */
    MCP_FAULT_STATUS,  /* an HTTP answer that is no JSON-RPC: `status` */
    MCP_FAULT_SESSION, /* the session is gone (404, or 400 with an id that used to work) */
    MCP_FAULT_UNAUTHORIZED,
    MCP_FAULT_FORBIDDEN,
    MCP_FAULT_MALFORMED, /* not this protocol, or a message larger than allowed */
    MCP_FAULT_WITHHELD,  /* the address is not one of the zone */
    MCP_FAULT_NO_MEMORY,
    MCP_FAULT_LOGIN, /* it wants a login, and there was none: `body` says why, in our words */
};

struct mcp_sending {
    strv text; /* the message, one line; copied */
    enum mcp_kind kind;
    uint64_t tag; /* REQUEST: its number, also the id on the wire; never 0 */
    const char *method;
    /* HTTP, what its headers repeat (mcp.md 7.2); "" or NULL = none */
    const char *revision; /* MCP-Protocol-Version; NULL before it is agreed */
    enum mcp_era era;
    strv name;                        /* Mcp-Name */
    const struct http_header *params; /* Mcp-Param-*, values not yet encoded */
    size_t n_params;
};

struct mcp_link_ops {
    /* A message came, whole. `about`: the tag of the request on whose answer stream it stands; 0 = on no one's.
     * The text is valid during the call. status: of HTTP, 0 = none. */
    void (*message)(void *arg, strv text, uint64_t about, int status);
    /* The request will have no answer. `body`: what stood in the HTTP answer, cut; valid during the call. Tag 0 with
     * SESSION: no request; the stream of mcp_link_listen() found the session gone, and has ended. */
    void (*failed)(void *arg, uint64_t tag, enum mcp_fault fault, int status, strv body);
    /* The way itself has ended: the child process is gone. Every open request has failed before. */
    void (*closed)(void *arg, enum mcp_fault fault, const char *why);
    /* What a child wrote to its standard error, line by line; cut. For the log. */
    void (*line)(void *arg, strv line);
};

/* What a link needs of the program. */
struct mcp_auth_host;
struct mcp_link_env {
    struct io_loop *loop;
    struct http_client *client; /* of this loop */
    struct rng *rng;
    struct log *log;
    const struct mcp_auth_host *auth; /* HTTP: who takes part in logins (auth.h); NULL = nobody */
};

/* `conf` must live as long as the link. NULL with err: not even begun (program not found). */
struct mcp_link *mcp_link_open(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                               const struct mcp_link_ops *ops, void *arg, struct err *err);
/* False: no memory, or the queue towards the server is full: nothing was sent. */
bool mcp_link_send(struct mcp_link *l, const struct mcp_sending *s);
/* Nobody waits for this answer any more: HTTP closes its stream, stdio does nothing. */
void mcp_link_abandon(struct mcp_link *l, uint64_t tag);
/* HTTP, legacy: the stream for what the server says on its own (GET); nothing for others. */
void mcp_link_listen(struct mcp_link *l);
/* Forgets the session: the next message is an initialize again. */
void mcp_link_renew(struct mcp_link *l);
/* stdio: closes its input, waits, SIGTERM and SIGKILL to its process group; HTTP: DELETE of the session where there
 * is one. `gone` is called when nothing of it is left; the handle is not valid after this call. */
void mcp_link_close(struct mcp_link *l, void (*gone)(void *arg), void *arg);

#endif
