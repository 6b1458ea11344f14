/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait - a request whose answer is made elsewhere (a file's thread, another worker) and comes back to its loop.
 *
 *   api_wait_begin() ... api_wait_over() > the request, or NULL: its caller has left meanwhile
 *
 * Stands first in the struct that holds what is waited with; whoever made that frees it when it is over.
 */
#ifndef API_WAIT_H
#define API_WAIT_H

#include "http/http.h"

struct api_wait {
    struct http_request *req;
};
void api_wait_begin(struct api_wait *w, struct http_request *req);
struct http_request *api_wait_over(struct api_wait *w);

#endif
