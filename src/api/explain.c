/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain - what would become of a request, without sending it: POST /router/explain tells all of it,
 * POST /router/classify what the scheduler's schema has room for.
 *
 * The body is that of POST /router/generate, the headers count as they do there. A request that would be refused
 * is told so, in the answer: asking about it is no mistake. A body that is no request is one.
 */
#include "api/api_int.h"

#define REQUEST_BLOCK    ((size_t)4096)
#define REQUEST_BASE     ((size_t)256 * 1024)
#define REQUEST_PER_BYTE 12 /* as in generate.c */
#define ANSWER_BYTES_MAX ((size_t)1024 * 1024)

/* How it stands with the provider now: no part of the plan, and next to it for who wonders. */
static const char *state_of(void *arg, size_t provider)
{
    const struct exchange_env *env = ((struct api *)arg)->env;
    struct provider_glance glance;
    provider_look(&env->snapshot->providers[provider], io_now_us(env->loop), &glance);
    return glance.open ? "open" : glance.ill ? "unreachable" : glance.full ? "busy" : "ready";
}

/* Asking counts as a request: who may not ask a model now may not ask about it. */
static void refuse(struct api *api, struct http_request *req, const struct exchange_outlook *o,
                   const struct err *err)
{
    metric_add(api->env->metrics, METRIC_BAD_REQUESTS, (unsigned)err->code, 1);
    api_error(req, LLM_NATIVE, err->code, 0, strv_of(err->text), STRV_NONE, o->wait_s);
}

static void reply(struct api *api, struct http_request *req, bool whole,
                  const struct exchange_outlook *o, const struct err *err)
{
    const struct exchange_states states = {state_of, api};
    bool is_private = o->plan.is_private || o->verdict.is_private;
    struct buf b;
    buf_init(&b, ANSWER_BYTES_MAX);
    if (whole)
        exchange_outlook_json(api->env->snapshot, o, err, &states, &b);
    else
        exchange_class_json(api->env->snapshot, o, err, &b);
    if (o->plan.task.ptr != NULL)
        http_reply_header(req, "X-LLM-Task", o->plan.task);
    http_reply_header(req, "X-LLM-Private", is_private ? STRV("yes") : STRV("no"));
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b.failed)
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}

static void outlook(struct api *api, struct http_request *req, bool whole)
{
    struct err err = ERR_INIT;
    struct arena arena;
    struct llm_request r;
    struct exchange_outlook *o = ARENA_NEW(&req->arena, struct exchange_outlook);
    const struct dialect *d = dialect_get(LLM_NATIVE);
    if (o == NULL) {
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    arena_init(&arena, REQUEST_BLOCK, REQUEST_BASE + REQUEST_PER_BYTE * req->body.len);
    if (!d->decode_request(req->body, LLM_OP_CHAT, &arena, &r, &err) || !api_hints(&r, req, &err)) {
        api_refuse(api, req, LLM_NATIVE, &err);
    } else {
        r.arena = &arena;
        const struct exchange_asker asker = {.key = api_state(req)->key,
                                             .address = strv_of(req->peer)};
        (void)exchange_explain(api->env, &r, &asker, &arena, o, &err);
        if (err.set && err.code <= 0) /* no memory: there is nothing to tell */
            api_refuse(api, req, LLM_NATIVE, &err);
        else if (o->throttled)
            refuse(api, req, o, &err);
        else
            reply(api, req, whole, o, &err);
    }
    arena_fini(&arena);
}

void api_explain(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)route;
    outlook(api, req, true);
}

void api_classify(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)route;
    outlook(api, req, false);
}
