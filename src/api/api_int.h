/* SPDX-License-Identifier: Apache-2.0 */
/* api_int - what the files of this folder share about a request between its head and its handler. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "api/api.h"

struct api_state {
    const struct api_route *route;
    struct policy_keys *keys;      /* held as long as the request, and so is its key; NULL = none */
    const struct policy_key *key;  /* the caller's, NULL = none was needed */
    strv request_id;               /* told to the caller: his own, if he sent one */
    strv record_id;                /* in log, ledger and audit */
    struct api_call *call;         /* while an exchange serves the request */
    struct api_relay *relay;       /* while a provider's own answer is passed on */
    struct api_question *question; /* while the ledger is asked */
    struct api_advice *advice;     /* while a model is asked for it */
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

/* mcp.c: is it one for the gateway, and how it is refused. */
bool api_is_mcp(const struct http_request *req);
void api_mcp_error(struct http_request *req, int status, strv message);

#endif
