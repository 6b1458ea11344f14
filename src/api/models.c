/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - what can be asked for: roles, aliases, and what the providers list. Read from the last probe of
 * each provider; nobody is asked while a caller waits.
 */
#include "api/api_int.h"

/* A version that Ollama's clients know to have everything that is served here; they compare it. */
#define OLLAMA_VERSION "0.33.0"
#define LIST_BYTES_MAX ((size_t)16 << 20)

struct listing {
    struct api_model_list *list;
    size_t max;
    const char *owner;
};

static void add(void *arg, const char *name, const struct provider_model *facts)
{
    struct listing *l = arg;
    for (size_t i = 0; i < l->list->n; i++)
        if (strcmp(l->list->items[i].name, name) == 0)
            return;
    if (l->list->n < l->max)
        l->list->items[l->list->n++] = (struct api_model){name, l->owner, facts};
}

static void count(void *arg, const char *name, const struct provider_model *facts)
{
    (void)name;
    (void)facts;
    ++*(size_t *)arg;
}

static bool is_pattern(const char *name)
{
    return strchr(name, '*') != NULL;
}

bool api_model_list(struct snapshot *s, struct arena *arena, struct api_model_list *out)
{
    *out = (struct api_model_list){0};
    struct listing l = {out, 1 + s->policy.n_roles + s->policy.n_aliases, "llm-router"};
    for (size_t i = 0; i < s->n_providers; i++) {
        out->held[i] = provider_models_get(s->providers[i].cell);
        provider_each_model(&s->providers[i], out->held[i], count, &l.max);
    }
    out->items = ARENA_ARRAY(arena, struct api_model, l.max);
    if (out->items == NULL)
        return false;
    add(&l, "auto", NULL);
    for (size_t i = 0; i < s->policy.n_roles; i++)
        add(&l, s->policy.roles[i].name, NULL);
    for (size_t i = 0; i < s->policy.n_aliases; i++)
        if (!is_pattern(s->policy.aliases[i].name))
            add(&l, s->policy.aliases[i].name, NULL);
    for (size_t i = 0; i < s->n_providers; i++) {
        l.owner = s->providers[i].name;
        provider_each_model(&s->providers[i], out->held[i], add, &l);
    }
    return true;
}

void api_model_list_fini(struct api_model_list *list)
{
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        if (list->held[i] != NULL)
            provider_models_unref(list->held[i]);
}

/* ---- rows ---- */

static int64_t created_us(const struct api_model *m, int64_t now_us)
{
    return m->facts != NULL && m->facts->modified_us > 0 ? m->facts->modified_us : now_us;
}

static void put_openai(struct buf *b, const struct api_model *m, int64_t now_us)
{
    buf_put_cstr(b, "{\"id\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"object\":\"model\",\"created\":");
    buf_put_i64(b, created_us(m, now_us) / 1000000);
    buf_put_cstr(b, ",\"owned_by\":");
    json_put_str(b, strv_of(m->owner));
    buf_put_char(b, '}');
}

static void put_anthropic(struct buf *b, const struct api_model *m, int64_t now_us)
{
    char time[TIMEFMT_MAX];
    timefmt_rfc3339(time, created_us(m, now_us), 0);
    buf_put_cstr(b, "{\"type\":\"model\",\"id\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"display_name\":");
    json_put_str(b, strv_of(m->name));
    buf_printf(b, ",\"created_at\":\"%s\"}", time);
}

static void put_ollama(struct buf *b, const struct api_model *m, int64_t now_us)
{
    char time[TIMEFMT_MAX];
    timefmt_rfc3339(time, created_us(m, now_us), 6);
    buf_put_cstr(b, "{\"name\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"model\":");
    json_put_str(b, strv_of(m->name));
    buf_printf(b, ",\"modified_at\":\"%s\",\"size\":%lld,\"digest\":", time,
               (long long)(m->facts != NULL ? m->facts->size_bytes : 0));
    json_put_str(b, strv_of(m->facts != NULL && m->facts->digest != NULL ? m->facts->digest : ""));
    buf_put_cstr(
        b,
        ",\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"\",\"families\":[],"
        "\"parameter_size\":\"\",\"quantization_level\":\"\"}}");
}

static void reply_list(struct api *api, struct http_request *req, enum llm_dialect door,
                       const char *before,
                       void (*put)(struct buf *, const struct api_model *, int64_t),
                       const char *after)
{
    struct api_model_list list;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    bool ok = api_model_list(api->env->snapshot, &req->arena, &list);
    buf_put_cstr(&b, before);
    for (size_t i = 0; ok && i < list.n; i++) {
        if (i > 0)
            buf_put_char(&b, ',');
        put(&b, &list.items[i], io_wall_us(api->env->loop));
    }
    buf_put_cstr(&b, after);
    if (ok && put == put_anthropic && list.n > 0) {
        buf_put_cstr(&b, ",\"first_id\":");
        json_put_str(&b, strv_of(list.items[0].name));
        buf_put_cstr(&b, ",\"last_id\":");
        json_put_str(&b, strv_of(list.items[list.n - 1].name));
    }
    buf_put_char(&b, '}');
    api_model_list_fini(&list);
    if (!ok || b.failed)
        api_error(req, door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}

/* OpenAI and Anthropic share the path; Anthropic's clients say their version (anthropic.md 9). */
void api_models(struct api *api, struct http_request *req, const struct api_route *route)
{
    if (http_request_header(req, "anthropic-version").ptr != NULL)
        reply_list(api, req, LLM_ANTHROPIC, "{\"data\":[", put_anthropic, "],\"has_more\":false");
    else
        reply_list(api, req, route->door, "{\"object\":\"list\",\"data\":[", put_openai, "]");
}

void api_tags(struct api *api, struct http_request *req, const struct api_route *route)
{
    reply_list(api, req, route->door, "{\"models\":[", put_ollama, "]");
}

void api_version(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)api;
    (void)route;
    http_reply_whole(req, 200, "application/json", STRV("{\"version\":\"" OLLAMA_VERSION "\"}"));
}

/* Ollama's clients probe for these very words. */
void api_root(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)api;
    (void)route;
    http_reply_whole(req, 200, "text/plain; charset=utf-8", STRV("Ollama is running"));
}
