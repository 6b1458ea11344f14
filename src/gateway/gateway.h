/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway - the router as an MCP server: its own tools, and those of the configured servers, for other programs.
 *
 * Knows no transport: a message in, messages out. api/mcp.c is its face over HTTP (POST /mcp, both eras), `llm-router
 * mcp serve --stdio` a bridge from pipes to that.
 *
 *   gateway_take -> shape, era, headers (gateway.c) -> method -> own tools (own.c, ask.c)
 *                                                             -> lists of everybody (lists.c)
 *                                                             -> a configured server (passed.c): agent_call, mcp_call
 *                                                             -> a stream of changes (listen.c)
 *
 * A normal case: the message is a request, it is answered once, perhaps after notifications. A bad case: the caller
 * leaves; gateway_gone() ends what runs for it, and nothing more is said.
 *
 * Stateless in both eras: whatever must be known again travels with the client, signed (sign.c). A modern client gets a
 * server's requestState in an envelope of ours; a legacy client that can be asked something gets a session id that holds
 * what it declared. So any worker can serve any message, and nothing is lost with a restart but those signatures.
 * Two things cross workers, by messages to their loops: a legacy client's answer to a question of ours, and its
 * notification that a request is cancelled (questions.c). One thing is remembered, bounded and for legacy clients only:
 * which resources a session wants to hear of (subscribe.c).
 *
 * What a server's result becomes. Our client is no model of ours, so it gets the result whole: agent_call() does what it
 * does for a model (policy, approval, gate, audit), but its shortened outcome is used only where there is no result of
 * the server (refused, denied, gone). Of the raw result only the members of its own era are left out or put in.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "agent/agent.h"
#include "mcp/mcp.h"

/* What the gateways of all workers share: the secret that signs, and who there is. */
struct gateway_hall;
struct gateway_hall *gateway_hall_new(struct err *err);
void gateway_hall_free(struct gateway_hall *h); /* after the last gateway; NULL is fine */

/* The way to a tool (agent/call.h), handed in so that this folder does not decide which there is. */
struct gateway_calls {
    bool (*may)(const struct policy_key *key, const struct mcp_tool *t);
    struct agent_call *(*call)(struct agent_env *env, struct arena *arena,
                               const struct agent_request *r, const struct agent_call_ops *ops,
                               void *arg);
    void (*cancel)(struct agent_call *c);
};

struct gateway_env {
    struct exchange_env *exchange;
    struct agent_env *agent;           /* NULL, or without a hub: no servers */
    const struct gateway_calls *calls; /* NULL: the same */
    struct gateway_hall *hall;
    /* What folders behind this one know, as JSON text of an object; `key` is the caller's. May be NULL: then there is no
     * such tool. */
    void (*models)(void *arg, const struct policy_key *key, struct arena *arena, struct buf *out);
    void (*providers)(void *arg, const struct policy_key *key, struct arena *arena,
                      struct buf *out);
    void *arg;
    size_t page; /* items in one answer to a list; 0 = 500 */
};

struct gateway;                                             /* one per worker, on its thread */
struct gateway *gateway_new(const struct gateway_env *env); /* copied; NULL: no memory */
/* The open streams of changes end; whoever still may comes back. For after keys were swapped. */
void gateway_listens_end(struct gateway *g);
/* The same, and no stream is kept any more: the process is about to end. */
void gateway_drain(struct gateway *g);
void gateway_free(struct gateway *g); /* no call may be open; NULL is fine */

/* A message and what the transport says of it. All of it is valid until the call is over. */
struct gateway_message {
    strv text;
    const struct http_header
        *headers; /* of HTTP; all that the protocol speaks of are looked up here */
    size_t n_headers;
};

struct gateway_sink {
    /* A notification, or a request of ours, that precedes the answer. */
    void (*message)(void *arg, strv text);
    /* The answer, and the last call. status: of HTTP. text "": there is nothing to say (a notification was taken). session:
     * value of Mcp-Session-Id, STRV_NONE = none. */
    void (*answer)(void *arg, int status, strv text, strv session);
};

struct gateway_call;
/* `caller` and all it points to must live as long as the call; what is made for it lives in `arena`, which may go at the
 * end of the turn in which it ended. NULL: it is over, the sink was told. The sink may be called from inside. */
struct gateway_call *gateway_take(struct gateway *g, struct arena *arena,
                                  const struct gateway_message *m,
                                  const struct exchange_caller *caller,
                                  const struct gateway_sink *sink, void *arg);
/* A stream for what is said on no answer's (GET of the legacy era); m->text is not read. Answered only when it ends or is
 * refused: 405 without a session, 404 for one that is none, 409 for a second. */
struct gateway_call *gateway_stream(struct gateway *g, struct arena *arena,
                                    const struct gateway_message *m,
                                    const struct exchange_caller *caller,
                                    const struct gateway_sink *sink, void *arg);
/* The caller left. No sink call after this. */
void gateway_gone(struct gateway_call *c);

#endif
