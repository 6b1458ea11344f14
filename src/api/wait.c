/* SPDX-License-Identifier: Apache-2.0 */
/* wait - see wait.h. */
#include "api/wait.h"

#include "api/api_int.h"

static void on_gone(struct http_request *req)
{
    if (api_state(req)->wait != NULL)
        api_state(req)->wait->req = NULL;
}

void api_wait_begin(struct api_wait *w, struct http_request *req)
{
    w->req = req;
    api_state(req)->wait = w;
    req->on_gone = on_gone;
}

struct http_request *api_wait_over(struct api_wait *w)
{
    if (w->req != NULL)
        api_state(w->req)->wait = NULL;
    return w->req;
}
