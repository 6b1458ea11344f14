/* SPDX-License-Identifier: Apache-2.0 */
/* api_int - what the files of this folder share about a request between its head and its handler. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "advisor/advisor.h"
#include "api/api.h"
#include "chat/chat.h"

struct api_state {
    const struct api_route *route;
    struct policy_keys *keys;     /* held as long as the request, and so is its key; NULL = none */
    const struct policy_key *key; /* the caller's, NULL = none was needed */
    int64_t login_until_us;       /* the key comes from a login that ends then; 0 = from a header */
    strv request_id;              /* told to the caller: his own, if he sent one */
    strv record_id;               /* in log, ledger and audit */
    struct api_call *call;        /* while an exchange serves the request */
    struct api_relay *relay;      /* while a provider's own answer is passed on */
    struct api_question *question; /* while the ledger is asked */
    struct api_advice *advice;     /* while a model is asked for it */
    struct api_listener *listener; /* while it is told events */
    const char *app_user;          /* of the scheduler's application, by its token; NULL = none */
    struct api_visit *visit;       /* while it is asked about him */
    struct api_wait *wait;         /* while a conversation is read or changed */
    unsigned shut;                 /* for a socket: the code that it is closed with, 0 = he may */
    struct socket_wish *wish;      /* while a connection becomes a socket */
    struct api *api;               /* likewise */
    struct api_mcp *mcp;           /* while the gateway serves the request */
};

/* For logs and accounts; NULL = no key was needed. */
static inline const char *api_key_id(const struct http_request *req)
{
    const struct policy_key *key = ((const struct api_state *)req->user)->key;
    return key != NULL ? key->id : NULL;
}

static inline struct api_state *api_state(const struct http_request *req)
{
    return req->user;
}

/* api.c: refusals; false, so that `return api_turn_down(...)` reads well. */
bool api_turn_down(struct api *api, struct http_request *req, enum llm_dialect door, int error,
                   const char *text);
/* Of a key that is not one (STRV_NONE: there was none). */
bool api_refuse_secret(struct api *api, struct http_request *req, strv secret);
/* Does the page come from this very address, which is ours? */
bool api_is_own_page(strv origin, const struct http_request *req);
bool api_needs_key(const struct api *api);
/* The request is its holder's from now on, and holds it. */
void api_take_key(struct api *api, struct http_request *req, const struct policy_key *key);

/* login.c: the key that a browser's cookie stands for, NULL = none, and when that login ends. */
const struct policy_key *api_login_key(const struct api *api, const struct http_request *req,
                                       int64_t *until_us);
/* Who asks, as conversations know him. */
void api_user(const struct api *api, const struct http_request *req, struct chat_user *out);

/* mcp.c: is it one for the gateway, and how it is refused. */
bool api_is_mcp(const struct http_request *req);
void api_mcp_error(struct http_request *req, int status, strv message);

/* ---- the log of advice (decision.c) ---- */

struct api_decision {
    enum advice_question question;
    strv asked; /* the body */
    yyjson_val *state;
    const struct advice *advice;
    const struct advice_schema *schema;
    const struct template *template; /* NULL = no model was asked, here and below */
    const char *source;              /* "model", "rules" */
    const char *provider;
    strv model;
    int64_t latency_us;
};
void api_decided(struct api *api, struct http_request *req, const struct api_decision *in);

struct api_outcome {
    strv id;
    bool applied;
    double score;
};
bool api_outcome_read(yyjson_val *from, struct api_outcome *out, struct err *err);
void api_outcome_note(struct api *api, struct http_request *req, const struct api_outcome *o);

#endif
