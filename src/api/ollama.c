/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama - the rest of Ollama's door: what its clients ask about server and models besides asking a model.
 *
 *   GET /api/version           as Ollama itself (GET / is in page.c)
 *   POST /api/show             a model of an Ollama: that server's own answer, byte for byte; any other: what
 *                              is known of it, and nothing else
 *   GET /api/ps                what the last probes saw in memory
 *
 * What works on Ollama's own files (push, create, copy, delete, blobs) is refused with a clear word: a client
 * must not wait for it.
 */
#include "api/ollama.h"
#include "api/relay.h"

/* A version that Ollama's clients know to have everything that is served here; they compare it. */
#define OLLAMA_VERSION "0.33.0"
#define REQUEST_MAX    ((size_t)64 * 1024) /* of a body that names a model */
#define ANSWER_MAX     ((size_t)4 << 20)
#define SHOW_MS        30000

void api_version(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)api;
    (void)route;
    http_reply_whole(req, 200, "application/json", STRV("{\"version\":\"" OLLAMA_VERSION "\"}"));
}

void api_unserved(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)api;
    api_error(req, route->door, LLM_ERR_UNSUPPORTED, 501,
              STRV("This is not served by a router: ask the Ollama server itself."), STRV_NONE, 0);
}

bool ollama_read(struct http_request *req, struct json *doc, strv *name, struct err *err)
{
    if (req->body.len > REQUEST_MAX)
        return err_set(err, LLM_ERR_BODY_TOO_LARGE, "the body is too large");
    if (!dialect_root(doc, req->body, &req->arena, err))
        return false;
    *name = strv_trim(json_get_str(doc->root, "model"));
    if (name->len == 0) /* older clients */
        *name = strv_trim(json_get_str(doc->root, "name"));
    return name->len > 0 || err_set(err, LLM_ERR_INVALID_REQUEST, "model is required");
}

/* ---- show ---- */

static void show_upstream(struct api *api, struct http_request *req, const struct api_found *found,
                          bool verbose)
{
    struct provider_wish wish = {.model = found->model, .now_us = io_now_us(api->env->loop)};
    int server = provider_pick(found->p, &wish, api->env->rng);
    struct buf body;
    buf_init(&body, REQUEST_MAX);
    buf_put_cstr(&body, "{\"model\":");
    json_put_str(&body, found->model);
    buf_put_cstr(&body, verbose ? ",\"verbose\":true}" : "}");
    strv copy = body.failed ? STRV_NONE : arena_strv(&req->arena, buf_view(&body));
    buf_fini(&body);
    if (copy.ptr == NULL || server < 0) {
        api_error(req, LLM_OLLAMA, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    relay_start(api, req,
                &(struct relay_spec){.p = provider_instance(found->p, (size_t)server),
                                     .path = "/api/show",
                                     .body = copy,
                                     .model = found->model,
                                     .silence_ms = SHOW_MS,
                                     .op = "show"});
}

void ollama_put_details(struct buf *b, const char *format, int64_t context)
{
    buf_printf(b,
               "{\"parent_model\":\"\",\"format\":\"%s\",\"family\":\"\",\"families\":[],"
               "\"parameter_size\":\"\",\"quantization_level\":\"\"",
               format);
    if (context > 0)
        buf_printf(b, ",\"context_length\":%lld", (long long)context);
    buf_put_char(b, '}');
}

/* What cannot chat says so by its name, as everywhere (provider/models.c); the rest is what somebody said. */
void ollama_put_capabilities(struct buf *b, strv model, uint32_t has)
{
    static const struct {
        const char *word;
        uint32_t need;
    } rows[] = {{"tools", LLM_NEED_TOOLS},
                {"vision", LLM_NEED_IMAGES},
                {"audio", LLM_NEED_AUDIO},
                {"thinking", LLM_NEED_THINKING}};
    bool chat = !strv_contains_nocase(model, STRV("embed"));
    buf_put_cstr(b, chat ? "[\"completion\"" : "[\"embedding\"");
    if (chat && (has & LLM_NEED_EMBED) != 0)
        buf_put_cstr(b, ",\"embedding\"");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((has & rows[i].need) != 0)
            buf_printf(b, ",\"%s\"", rows[i].word);
    buf_put_char(b, ']');
}

/* The architecture is what Ollama's clients look the window up by; where nobody told it, it says so. */
static void put_show(struct buf *b, const struct api_found *found)
{
    int64_t context = found->known.context;
    buf_put_cstr(b, "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\",\"details\":");
    ollama_put_details(b, found->p->kind == PROVIDER_LLAMA_SERVER ? "gguf" : "", 0);
    buf_put_cstr(b, ",\"model_info\":{");
    if (context > 0)
        buf_printf(b, "\"general.architecture\":\"unknown\",\"unknown.context_length\":%lld",
                   (long long)context);
    buf_put_cstr(b, "},\"capabilities\":");
    ollama_put_capabilities(b, found->model, found->known.has);
    if (found->facts != NULL && found->facts->modified_us > 0) {
        char time[TIMEFMT_MAX];
        timefmt_rfc3339(time, found->facts->modified_us, 6);
        buf_printf(b, ",\"modified_at\":\"%s\"", time);
    }
    buf_put_char(b, '}');
}

static void show_known(struct http_request *req, const struct api_found *found)
{
    struct buf b;
    buf_init(&b, ANSWER_MAX);
    put_show(&b, found);
    http_reply_header(req, "X-LLM-Provider", strv_of(found->p->name));
    if (b.failed)
        api_error(req, LLM_OLLAMA, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json; charset=utf-8", buf_view(&b));
    buf_fini(&b);
}

/* Ollama's own words, which some clients look for. */
static void not_found(struct api *api, struct http_request *req, strv name)
{
    struct err err = ERR_INIT;
    name = utf8_cut(name, 200);
    err_set(&err, LLM_ERR_MODEL_NOT_FOUND, "model '" STRV_FMT "' not found", STRV_ARG(name));
    api_refuse(api, req, LLM_OLLAMA, &err);
}

void api_show(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct api_found found;
    struct err err = ERR_INIT;
    struct json doc = {.root = NULL};
    strv name = STRV_NONE;
    if (!ollama_read(req, &doc, &name, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    if (!api_find(api, req, name, &req->arena, &found, &err)) {
        if (err.code == LLM_ERR_MODEL_NOT_FOUND || err.code == LLM_ERR_PROVIDER_UNKNOWN)
            not_found(api, req, name);
        else
            api_refuse(api, req, route->door, &err);
        return;
    }
    if (found.p->kind == PROVIDER_OLLAMA)
        show_upstream(api, req, &found, yyjson_is_true(json_get(doc.root, "verbose")));
    else
        show_known(req, &found);
    api_found_fini(&found);
}

/* ---- ps ---- */

struct running {
    struct exchange_env *env;
    const struct policy_key *key;
    struct buf *b;
    int64_t now_us;
    const struct provider *p;
    bool any;
};

static bool is_up(const struct provider *p)
{
    pthread_mutex_lock(&p->cell->lock);
    bool up = p->cell->available && p->cell->state == PROVIDER_UP;
    pthread_mutex_unlock(&p->cell->lock);
    return up;
}

/* An Ollama's own figures where it has told them. The engine's model stays: for that Ollama says its longest
 * duration from now, 292 years. */
static void put_memory(struct running *r, const struct provider_model *facts)
{
    const struct provider_memory *memory = &facts->memory;
    bool stays = r->p->kind == PROVIDER_LLAMA_SERVER;
    int64_t context = stays ? facts->context : memory->context;
    int64_t expires_us = stays ? r->now_us + INT64_MAX / 1000 : memory->expires_us;
    char time[TIMEFMT_MAX];
    if (expires_us > 0) {
        timefmt_rfc3339(time, expires_us, 6);
        buf_printf(r->b, ",\"expires_at\":\"%s\"", time);
    }
    if (memory->bytes > 0)
        buf_printf(r->b, ",\"size_vram\":%lld", (long long)memory->vram_bytes);
    if (context > 0)
        buf_printf(r->b, ",\"context_length\":%lld", (long long)context);
}

static void put_running(void *arg, const char *name, const struct provider_model *facts)
{
    struct running *r = arg;
    if (facts == NULL || !facts->loaded || !api_may_use(r->env, r->key, strv_of(name)))
        return;
    int64_t bytes = facts->memory.bytes > 0 ? facts->memory.bytes : facts->size_bytes;
    buf_put_cstr(r->b, r->any ? ",{\"name\":" : "{\"name\":");
    r->any = true;
    json_put_str(r->b, strv_of(name));
    buf_put_cstr(r->b, ",\"model\":");
    json_put_str(r->b, strv_of(name));
    buf_printf(r->b, ",\"size\":%lld,\"digest\":", (long long)bytes);
    json_put_str(r->b, strv_of(facts->digest != NULL ? facts->digest : ""));
    buf_put_cstr(r->b, ",\"details\":");
    ollama_put_details(r->b, "gguf", 0);
    put_memory(r, facts);
    buf_put_char(r->b, '}');
}

static void put_server(struct running *r, const struct provider *p)
{
    struct provider_models *list = is_up(p) ? provider_models_get(p->cell) : NULL;
    r->p = p;
    if (list != NULL)
        provider_each_model(p, list, put_running, r);
    provider_models_unref(list);
}

void api_ps(struct api *api, struct http_request *req, const struct api_route *route)
{
    const struct snapshot *s = api->env->snapshot;
    struct buf b;
    struct running r = {
        .env = api->env, .key = api_state(req)->key, .b = &b, .now_us = io_wall_us(api->env->loop)};
    buf_init(&b, ANSWER_MAX);
    buf_put_cstr(&b, "{\"models\":[");
    for (size_t i = 0; i < s->n_providers; i++) {
        const struct provider *p = &s->providers[i];
        if (p->kind == PROVIDER_OLLAMA || p->kind == PROVIDER_LLAMA_SERVER)
            for (size_t k = 0; k < provider_instance_count(p); k++)
                put_server(&r, provider_instance(p, k));
    }
    buf_put_cstr(&b, "]}");
    if (b.failed)
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json; charset=utf-8", buf_view(&b));
    buf_fini(&b);
}
