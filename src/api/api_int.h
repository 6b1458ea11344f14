/* SPDX-License-Identifier: Apache-2.0 */
/* api_int - what the files of this folder share about a request between its head and its handler. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "api/api.h"

struct api_state {
    const struct api_route *route;
    const char *key; /* id of the API key, NULL = none was needed */
    strv request_id;
    struct api_call *call;   /* while an exchange serves the request */
    struct api_relay *relay; /* while a provider's own answer is passed on */
};

static inline struct api_state *api_state(const struct http_request *req)
{
    return req->user;
}

#endif
