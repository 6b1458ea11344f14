/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - GET /router/events: how things stand, told anew whenever that has changed, once a second at most.
 *
 *   timer of the worker --> one text for all its listeners --> the same as last time? nothing : event "state"
 *
 * So a page that is open costs a message a second at most, and none while nothing happens; nobody polls. Each event is
 * the whole: a listener who did not read what came before gets the next as soon as he has. What stands in it is
 * admin/'s; it comes by api->put_state.
 *
 * A stream ends after a while, and whenever keys have changed, and the listener comes back by himself: then his key or
 * login is looked at anew, so one that was revoked does not go on hearing.
 */
#include "api/api_int.h"

#define EVENT_BYTES_MAX ((size_t)4 << 20)
#define LOOK_MS         1000
#define ALIVE_US        ((int64_t)15 * 1000000) /* a proxy in front must see that somebody is there */
#define LIFE_US         ((int64_t)15 * 60 * 1000000)
#define LISTENERS_MAX   32 /* of a worker */

struct api_listener {
    struct list node;
    struct api *api;
    struct http_request *req;
    bool wants; /* has heard nothing yet, or missed something since it did not read */
    int64_t since_us, spoken_us; /* when it came; when it was last told anything */
};

static void speak(struct api_listener *l, strv text, int64_t now_us)
{
    http_reply_body(l->req, text.ptr, text.len);
    l->spoken_us = now_us;
}

static void tell(struct api_listener *l, strv state, bool changed, int64_t now_us)
{
    l->wants = l->wants || changed;
    if (http_reply_pending(l->req) > 0 || state.len == 0)
        return;
    if (l->wants)
        speak(l, state, now_us);
    else if (now_us - l->spoken_us >= ALIVE_US)
        speak(l, STRV(": alive\n\n"), now_us);
    l->wants = false;
}

/* Without memory for it the old text stays; the next second may have room. True: it is another one. */
static bool renew(struct api *api)
{
    struct buf b;
    buf_init(&b, EVENT_BYTES_MAX);
    buf_put_cstr(&b, "event: state\ndata: ");
    api->put_state(api->admin, &b);
    buf_put_cstr(&b, "\n\n");
    if (b.failed || strv_eq(buf_view(&b), buf_view(&api->events.told))) {
        buf_fini(&b);
        return false;
    }
    buf_fini(&api->events.told);
    api->events.told = b;
    return true;
}

static void leave(struct api_listener *l)
{
    struct api *api = l->api;
    api_state(l->req)->listener = NULL;
    list_del(&l->node);
    api->events.n--;
    if (list_empty(&api->events.listeners)) {
        io_timer_stop(api->env->loop, &api->events.timer);
        buf_fini(&api->events.told);
        buf_init(&api->events.told, EVENT_BYTES_MAX);
    }
}

static void end(struct api_listener *l)
{
    struct http_request *req = l->req;
    leave(l);
    http_reply_end(req);
}

static void look(void *arg)
{
    struct api *api = arg;
    struct list *pos, *tmp;
    int64_t now_us = io_now_us(api->env->loop);
    bool changed = renew(api);
    list_for_each(pos, tmp, &api->events.listeners)
    {
        struct api_listener *l = list_entry(pos, struct api_listener, node);
        if (now_us - l->since_us >= LIFE_US)
            end(l);
        else
            tell(l, buf_view(&api->events.told), changed, now_us);
    }
    if (!list_empty(&api->events.listeners))
        io_timer_start(api->env->loop, &api->events.timer, LOOK_MS, look, api);
}

static void on_gone(struct http_request *req)
{
    if (api_state(req)->listener != NULL)
        leave(api_state(req)->listener);
}

void api_events_init(struct api *api)
{
    list_init(&api->events.listeners);
    buf_init(&api->events.told, EVENT_BYTES_MAX);
}

void api_events_end(struct api *api)
{
    while (!list_empty(&api->events.listeners))
        end(list_first(&api->events.listeners, struct api_listener, node));
}

void api_events(struct api *api, struct http_request *req, const struct api_route *route)
{
    static const char again[] = "retry: 1000\n\n"; /* how soon the listener comes back */
    struct api_listener *l = ARENA_NEW(&req->arena, struct api_listener);
    if (l == NULL || api->env->leaving || api->events.n >= LISTENERS_MAX) {
        int code = l == NULL           ? LLM_ERR_INTERNAL
                   : api->env->leaving ? LLM_ERR_DRAINING
                                       : LLM_ERR_OVERLOADED;
        api_error(req, route->door, code, 0, STRV_NONE, STRV_NONE, 1);
        return;
    }
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    http_reply_header(req, "X-Accel-Buffering", STRV("no"));
    http_reply_begin(req, 200, "text/event-stream", HTTP_LENGTH_STREAM);
    http_reply_body(req, again, sizeof again - 1);
    if (req->method == HTTP_HEAD) {
        http_reply_end(req);
        return;
    }
    *l = (struct api_listener){
        .api = api, .req = req, .wants = true, .since_us = io_now_us(api->env->loop)};
    list_add_tail(&api->events.listeners, &l->node);
    api->events.n++;
    api_state(req)->listener = l;
    req->on_gone = on_gone;
    look(api); /* the first event comes at once; the others hear of it only if it is new to them */
}
