/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - one tool call, whoever asks for it: the loop, an MCP client of ours, the command line.
 *
 *   may this key? > approval > gate (a server of zone cloud gets only what may leave) > hub > outcome > audit
 *
 * There is no other way to a tool. Every call ends with an outcome and an audit record that holds no content: server,
 * tool, digest of the arguments, who approved, how long, how it ended, data_quality.
 */
#ifndef AGENT_CALL_H
#define AGENT_CALL_H

#include "agent/approvals.h"
#include "agent/outcome.h"
#include "agent/repair.h"
#include "exchange/exchange.h"
#include "mcp/mcp.h"

/* What calls and loops need; one per worker. */
struct agent_env {
    struct exchange_env *exchange;
    struct mcp_hub *hub;
    struct agent_desk *desk;     /* NULL: nobody can approve, so nothing that needs it runs */
    const struct mcp_conf *conf; /* of the present snapshot */
    struct agent_index *index;   /* of the present catalogue */
};

/* May the holder of the key see and call it? By the key's rule `tools` (patterns of server/tool), the tool's own state,
 * and private or not: a tool of a cloud server is none in airgap. NULL key: no key was needed. */
bool agent_may(const struct policy_key *key, const struct mcp_tool *t);

/* An MCP client of ours that stands behind a call (gateway/) instead of a model: it gets the result whole, hears what
 * the server says meanwhile, and is asked what the server asks. Members as in mcp_call_spec and mcp_call_ops. A server of
 * zone cloud is told the arguments alone and cannot ask: of all this it only has an answer. */
struct agent_guest {
    strv capabilities, log_level;
    /* Further members of the params, to be put behind a comma: "inputResponses":..., "requestState":...; "" = none */
    strv inputs;
    /* The server's answer as it came, before done() and only if the server was asked; valid during the call. */
    void (*answer)(void *arg, const struct mcp_answer *a);
    void (*said)(void *arg, strv params);
    void (*ask)(void *arg, struct mcp_question *q, strv method, strv params);
};

struct agent_request {
    const struct mcp_tool *tool; /* its catalogue is held by the caller until done */
    strv arguments;              /* as the model or client wrote them */
    const struct exchange_caller *caller;
    strv session;
    bool is_private; /* the conversation so far: nothing of it goes to a server of zone cloud */
    bool ask;        /* the caller wants a person to be asked, also for what would run by itself */
    struct agent_outcome_opts outcome;
    const struct agent_guest *guest; /* NULL = a model's call; its functions get the call's arg */
};
struct agent_call;
struct agent_call_ops {
    /* Exactly once unless cancelled. `outcome` lives in the arena given. is_private: the result pins the conversation. */
    void (*done)(void *arg, const struct agent_outcome *outcome, bool is_private);
    /* It waits for a person; may be NULL. `p` stays valid as long as the call, and tells when it is decided. */
    void (*waits)(void *arg, const struct agent_petition *p);
    void (*progress)(void *arg, double done, double total, strv message); /* may be NULL */
};
/* NULL: no memory. No callback from inside. Everything of it lives in `arena`. */
struct agent_call *agent_call(struct agent_env *env, struct arena *arena,
                              const struct agent_request *r, const struct agent_call_ops *ops,
                              void *arg);
void agent_call_cancel(struct agent_call *c);

#endif
