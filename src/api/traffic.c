/* SPDX-License-Identifier: Apache-2.0 */
/* traffic - GET /router/traffic: the last minutes, as ledger/traffic.h keeps them; ?minutes=60, a day at most. */
#include "api/api_int.h"
#include "api/target.h"

#define ANSWER_BYTES_MAX ((size_t)4 << 20)
#define MINUTES_SHOWN    60

static bool read_minutes(struct http_request *req, unsigned *minutes, struct err *err)
{
    strv text;
    if (!target_query(req->query, "minutes", &req->arena, &text))
        return err_set(err, LLM_ERR_INVALID_REQUEST, "the query is not valid");
    if (text.ptr == NULL)
        return true;
    *minutes = 0;
    for (size_t i = 0; i < text.len && i < 5; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            text.len = 0; /* no number at all */
        else
            *minutes = *minutes * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return (text.len > 0 && *minutes >= 1 && *minutes <= TRAFFIC_MINUTES) ||
           err_field(err, LLM_ERR_INVALID_REQUEST, "minutes", "minutes: expected 1 to %d",
                     TRAFFIC_MINUTES);
}

void api_traffic(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct buf b;
    unsigned minutes = MINUTES_SHOWN;
    if (!read_minutes(req, &minutes, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    buf_init(&b, ANSWER_BYTES_MAX);
    traffic_json(io_wall_us(api->env->loop), minutes, &b);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b.failed)
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}
