/* SPDX-License-Identifier: Apache-2.0 */
/* probe - one GET for each provider on a loop of its own, under one limit. */
#include "app/probe.h"

#include <string.h>

#define LIMIT_MS       3000
#define LIST_BYTES_MAX ((size_t)4 << 20)

const char *probe_state_name(enum probe_state s)
{
    static const char *const names[PROBE_STATES] = {
        [PROBE_OK] = "ok",
        [PROBE_NO_LIST] = "no_list",
        [PROBE_LOADING] = "loading",
        [PROBE_RUNNING] = "running",
        [PROBE_NOT_RUNNING] = "not_running",
        [PROBE_FAILED] = "failed",
        [PROBE_NOT_ASKED] = "not_asked",
        [PROBE_FORBIDDEN] = "forbidden",
    };
    return names[s];
}

bool probe_allowed(const struct config *config, const struct provider *p)
{
    const struct policy_conf *policy = &config->snapshot->policy;
    return p->zone == ZONE_LOCAL || !(policy->airgap || policy->mode == LLM_MODE_LOCAL);
}

void probe_address_of(const struct http_upstream *up, const char *path, char *out, size_t size)
{
    if (up->unix_path != NULL)
        snprintf(out, size, "unix:%s", up->unix_path);
    else
        snprintf(out, size, "%s://%s%s", up->url.tls ? "https" : "http", up->url.authority, path);
}

void probe_address(const struct provider *p, char *out, size_t size)
{
    probe_address_of(&p->upstream, p->upstream.url.path, out, size);
}

bool probe_spawns(const struct provider *p)
{
    return p->kind == PROVIDER_LLAMA_SERVER && p->spawn.model != NULL;
}

static bool has_static_models(const struct provider *p)
{
    return p->static_models != NULL && p->static_models[0] != NULL;
}

bool probe_usable(const struct probe *probe)
{
    switch (probe->state) {
    case PROBE_OK:
        return probe->models->n > 0 || has_static_models(probe->p);
    case PROBE_NO_LIST:
    case PROBE_LOADING:
    case PROBE_RUNNING:
    case PROBE_NOT_RUNNING:
    case PROBE_NOT_ASKED:
        return true;
    default:
        return false;
    }
}

bool probe_lists(const struct probe *probe, strv model)
{
    struct provider bare = *probe->p; /* without the names that count although no list holds them */
    struct arena arena;
    bool listed = false;
    if (probe->models == NULL || bare.kind == PROVIDER_LLAMA_SERVER)
        return true;
    arena_init(&arena, 1024, 65536);
    bare.static_models = NULL;
    listed = provider_has_model(&bare, model, &arena, NULL, NULL);
    arena_fini(&arena);
    return listed;
}

/* ---- the end of one ---- */

static void conclude(struct probe *probe, enum probe_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void conclude(struct probe *probe, enum probe_state state, const char *format, ...)
{
    struct probe_set *set = probe->set;
    va_list ap;
    http_call_cancel(probe->call);
    probe->call = NULL;
    buf_fini(&probe->body);
    probe->state = state;
    va_start(ap, format);
    vsnprintf(probe->why, sizeof probe->why, format, ap);
    va_end(ap);
    if (--set->open == 0)
        io_loop_stop(set->loop);
}

static const char *connect_words(const struct probe *probe, enum io_end why)
{
    switch (why) {
    case IO_REFUSED:
        return "connection refused: nobody listens there";
    case IO_UNREACHABLE:
        return probe->p->upstream.unix_path != NULL ? "no such socket"
                                                    : "the host cannot be reached";
    case IO_TIMEOUT:
        return "no connection in time";
    case IO_DNS:
        return "the host's name is not known";
    case IO_TLS:
        return "TLS failed: handshake or certificate";
    case IO_NOT_ALLOWED:
        return "its address is not what its zone says; see local_networks";
    case IO_NO_MEMORY:
        return "no memory or no file descriptors";
    default:
        return "the connection was closed";
    }
}

static void conclude_status(struct probe *probe)
{
    int status = probe->status;
    if (status == 401 || status == 403)
        conclude(probe, PROBE_FAILED, "%s (status %d)",
                 probe->p->key != NULL ? "the API key was refused" : "it wants an API key", status);
    else if ((status == 404 || status == 405 || status == 501) && has_static_models(probe->p))
        conclude(probe, PROBE_NO_LIST, "it has no list of models (status %d)", status);
    else if (status == 404)
        conclude(probe, PROBE_FAILED,
                 "no list of models at this address (status 404): is the URL right?");
    else if (status == 503 || status == 529 || status == 429)
        conclude(probe, PROBE_LOADING, "it asks to wait (status %d)", status);
    else
        conclude(probe, PROBE_FAILED, "it answered with status %d", status);
}

static void conclude_list(struct probe *probe)
{
    struct err err = ERR_INIT;
    struct probe_set *set = probe->set;
    if (!provider_models_take(probe->p->cell, probe->p->kind, buf_view(&probe->body), &err)) {
        conclude(probe, PROBE_FAILED, "its list of models cannot be read: %.120s", err.text);
        return;
    }
    probe->models = provider_models_get(probe->p->cell);
    probe->latency_us = io_now_us(set->loop) - set->started_us;
    if (probe->models == NULL)
        conclude(probe, PROBE_FAILED, "out of memory");
    else if (probe->models->n == 0)
        conclude(probe, PROBE_OK, "it has no models");
    else
        conclude(probe, PROBE_OK, "%s", "");
}

/* ---- the call ---- */

static void on_head(void *arg, const struct http_answer *answer)
{
    struct probe *probe = arg;
    probe->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct probe *probe = arg;
    if (!buf_put(&probe->body, data, len))
        conclude(probe, PROBE_FAILED, "its list of models is too large");
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct probe *probe = arg;
    probe->call = NULL;
    if (how == HTTP_CONNECT && probe_spawns(probe->p))
        conclude(probe, PROBE_NOT_RUNNING, "serve starts it");
    else if (how == HTTP_CONNECT)
        conclude(probe, PROBE_FAILED, "%s", connect_words(probe, why));
    else if (how == HTTP_MALFORMED)
        conclude(probe, PROBE_FAILED, "what listens there does not speak HTTP");
    else if (how != HTTP_DONE && how != HTTP_DONE_AT_EOF)
        conclude(probe, PROBE_FAILED, "the answer broke off");
    else if (probe->status != 200)
        conclude_status(probe);
    else if (probe_spawns(probe->p))
        conclude(probe, PROBE_RUNNING, "%s", "started by a router");
    else
        conclude_list(probe);
}

static void on_sent(void *arg, bool reused)
{
    struct probe *probe = arg;
    (void)reused;
    probe->sent = true;
}

static void on_late(void *arg)
{
    struct probe_set *set = arg;
    for (size_t i = 0; i < set->n; i++) {
        struct probe *probe = &set->items[i];
        if (probe->call == NULL)
            continue;
        set->stuck = set->stuck || !probe->sent;
        conclude(probe, PROBE_FAILED, "no %s within %d s", probe->sent ? "answer" : "connection",
                 LIMIT_MS / 1000);
    }
}

static bool start(struct probe *probe, struct err *err)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, on_sent};
    const struct provider *p = probe->p;
    struct http_header *headers = ARENA_ARRAY(&probe->arena, struct http_header, 4);
    size_t n = headers != NULL ? provider_headers(p, &probe->arena, headers) : 0;
    struct http_call_spec spec = {
        .upstream = &p->upstream,
        .method = HTTP_GET,
        .path = probe_spawns(p) ? "/health" : provider_models_path(p->kind),
        .headers = headers,
        .n_headers = n,
    };
    struct egress_pass pass;
    if (!probe->arena.failed && egress_seal_own(&pass, p, spec.body))
        probe->call = egress_call(probe->set->client, &pass, &spec, &ops, probe, NULL);
    if (probe->call == NULL)
        return err_oom(err);
    probe->set->open++;
    return true;
}

/* ---- all of them ---- */

static bool ask_one(struct probe_set *set, const struct provider *p, bool offline, struct err *err)
{
    struct probe *probe = &set->items[set->n++];
    *probe = (struct probe){.p = p, .set = set, .state = PROBE_NOT_ASKED};
    arena_init(&probe->arena, 512, 65536);
    buf_init(&probe->body, LIST_BYTES_MAX);
    if (probe_allowed(set->config, p))
        return offline || start(probe, err);
    probe->state = PROBE_FORBIDDEN;
    snprintf(probe->why, sizeof probe->why, "never contacted: %s",
             set->config->snapshot->policy.airgap ? "airgap" : "mode local");
    return true;
}

static bool ask_all(struct probe_set *set, bool offline, struct err *err)
{
    const struct snapshot *s = set->config->snapshot;
    for (size_t i = 0; i < s->n_providers; i++)
        for (size_t k = 0; k < provider_instance_count(&s->providers[i]); k++) {
            if (set->n == PROVIDERS_MAX) /* there are no more cells than that */
                return true;
            if (!ask_one(set, provider_instance(&s->providers[i], k), offline, err))
                return false;
        }
    return true;
}

const struct probe *probe_of(const struct probe_set *set, size_t provider)
{
    const struct probe *first = NULL;
    for (size_t i = 0; i < set->n; i++) {
        const struct probe *probe = &set->items[i];
        if (probe->p->index != provider)
            continue;
        if (probe_usable(probe))
            return probe;
        if (first == NULL)
            first = probe;
    }
    return first;
}

struct probe_set *probe_all(struct config *config, bool offline, struct err *err)
{
    struct probe_set *set = mem_zalloc(sizeof *set);
    if (set == NULL) {
        err_oom(err);
        return NULL;
    }
    set->config = config;
    set->loop = io_loop_new(err);
    set->client = set->loop != NULL ? http_client_new(set->loop, (size_t)64 * 1024) : NULL;
    if (set->client == NULL || !ask_all(set, offline, err)) {
        err_oom(err);
        probe_free(set);
        return NULL;
    }
    set->started_us = io_now_us(set->loop);
    if (set->open > 0) {
        io_timer_start(set->loop, &set->limit, LIMIT_MS, on_late, set);
        io_loop_run(set->loop);
        io_timer_stop(set->loop, &set->limit);
    }
    return set;
}

void probe_free(struct probe_set *set)
{
    static struct io_loop *abandoned;
    for (size_t i = 0; i < set->n; i++) {
        struct probe *probe = &set->items[i];
        http_call_cancel(probe->call);
        provider_models_unref(probe->models);
        buf_fini(&probe->body);
        arena_fini(&probe->arena);
    }
    if (set->client != NULL)
        http_client_free(set->client);
    /* A name look-up cannot be called off, and freeing the loop would wait for it. The process is about to
     * end: the loop is left to that. */
    if (set->stuck)
        abandoned = set->loop;
    else if (set->loop != NULL)
        io_loop_free(set->loop);
    (void)abandoned;
    mem_free(set);
}
