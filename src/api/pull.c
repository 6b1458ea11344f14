/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull - POST /api/pull: one Ollama server is asked to download a model, and its progress is passed on.
 *
 * Off by default. It is the one request of a caller that makes a server of ours open a connection to the
 * outside: to the registry, or to whatever host the model's name begins with. So it takes the operator's word
 * (allow_pull), and airgap is stronger than that word. `insecure`, which would have the server take the host's
 * word without a certificate, is never passed on. Of several servers under one name the first is asked: a stream
 * of progress can tell of one.
 */
#include "api/ollama.h"
#include "api/relay.h"

#define BODY_MAX ((size_t)64 * 1024)
/* A server that checks the digest of what it received says nothing meanwhile: 100 MB/s, 400 GB. */
#define STREAM_SILENCE_MS ((uint64_t)3600 * 1000)
/* Without a stream nothing is said before the end. */
#define WHOLE_SILENCE_MS ((uint64_t)24 * 3600 * 1000)

static bool is_allowed(const struct api *api, struct err *err)
{
    const struct exchange_env *env = api->env;
    if (env->snapshot->policy.airgap)
        return err_set(err, LLM_ERR_FORBIDDEN, "airgap is on: no model is downloaded");
    if (!api->allow_pull)
        return err_set(err, LLM_ERR_FORBIDDEN,
                       "callers may not have models downloaded; the option allow_pull lets them");
    return !env->draining || err_set(err, LLM_ERR_DRAINING, "%s", "the router is shutting down");
}

static const struct provider *named(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (strcmp(s->providers[i].name, name) == 0)
            return &s->providers[i];
    return NULL;
}

const struct provider *api_pull_provider(const struct snapshot *s, strv name, struct arena *arena,
                                         strv *model, struct err *err)
{
    struct policy_name parsed;
    policy_name_parse(s->policy_providers, s->n_providers, name, arena, &parsed);
    *model = strv_of(parsed.model);
    if (arena->failed) {
        err_oom(err);
        return NULL;
    }
    if (parsed.provider != NULL) {
        const struct provider *p = named(s, parsed.provider);
        if (model->len == 0)
            err_set(err, LLM_ERR_INVALID_REQUEST, "model is required");
        else if (p == NULL || p->kind != PROVIDER_OLLAMA)
            err_set(
                err, LLM_ERR_INVALID_REQUEST,
                "the provider %s is of kind %s: such a server cannot be asked to download a model",
                parsed.provider, p != NULL ? provider_kind_name(p->kind) : "?");
        return err->set ? NULL : p;
    }
    for (size_t i = 0; i < s->n_providers; i++)
        if (s->providers[i].kind == PROVIDER_OLLAMA && s->providers[i].zone == ZONE_LOCAL)
            return &s->providers[i];
    err_set(err, LLM_ERR_INVALID_REQUEST,
            "there is no local provider of kind ollama that could be asked to download a model");
    return NULL;
}

/* A caller's hint that keeps a request here keeps this one here too. */
static bool may_leave(const struct http_request *req, const struct provider *p, struct err *err)
{
    struct llm_request r = {.model = STRV_NONE};
    if (!api_hints(&r, req, err))
        return false;
    if (p->zone == ZONE_CLOUD && (r.private_hint || r.mode == LLM_MODE_LOCAL))
        return err_set(err, LLM_ERR_PROVIDER_FORBIDDEN,
                       "the request may only be served locally, and %s is in the cloud", p->name);
    return true;
}

static strv write_body(struct arena *arena, strv model, bool stream)
{
    struct buf b;
    buf_init(&b, BODY_MAX);
    buf_put_cstr(&b, "{\"model\":");
    json_put_str(&b, model);
    buf_printf(&b, ",\"stream\":%s}", stream ? "true" : "false");
    strv body = b.failed ? STRV_NONE : arena_strv(arena, buf_view(&b));
    buf_fini(&b);
    return body;
}

void api_pull(struct api *api, struct http_request *req, const struct api_route *route)
{
    const struct provider *p = NULL;
    struct err err = ERR_INIT;
    struct json doc;
    strv name = STRV_NONE, model = STRV_NONE, body = STRV_NONE;
    bool stream = true, insecure = false;
    if (is_allowed(api, &err) && ollama_read(req, &doc, &name, &err) &&
        dialect_decode_bool(doc.root, "stream", &stream, &err) &&
        dialect_decode_bool(doc.root, "insecure", &insecure, &err)) {
        if (insecure)
            err_set(&err, LLM_ERR_FORBIDDEN, "insecure: a registry must prove who it is");
        else
            p = api_pull_provider(api->env->snapshot, name, &req->arena, &model, &err);
    }
    if (p != NULL && may_leave(req, p, &err))
        body = write_body(&req->arena, model, stream);
    if (p != NULL && body.ptr == NULL) /* what has an error keeps it */
        err_oom(&err);
    if (err.set || p == NULL) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    relay_start(api, req,
                &(struct relay_spec){.p = provider_instance(p, 0),
                                     .path = "/api/pull",
                                     .body = body,
                                     .lines = stream,
                                     .leaves = true,
                                     .silence_ms = stream ? STREAM_SILENCE_MS : WHOLE_SILENCE_MS,
                                     .event = "pull",
                                     .op = "pull"});
}
