/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - what can be asked for: roles, aliases, and what the providers list. Read from the last probe of
 * each provider; nobody is asked while a caller waits.
 *
 *   GET /v1/models        OpenAI's form, or Anthropic's, page by page
 *   GET /v1/models/{id}   one of them, and every other name that a request's `model` may hold
 *   GET /api/tags         Ollama's form
 *   GET /router/models    by provider, and the roles
 */
#include "api/ollama.h"
#include "api/target.h"

#define LIST_BYTES_MAX ((size_t)16 << 20)
#define PAGE_MAX       1000         /* Anthropic's own largest page */
#define OWN_NAME       "llm-router" /* owner of roles and aliases */

/* ---- what a key lets its holder see ---- */

static bool is_restricted(const struct policy_key *key)
{
    return key != NULL && (key->rules.models[0] != '\0' || key->rules.force_private ||
                           key->rules.mode != LLM_MODE_UNSET);
}

bool api_may_use(struct exchange_env *env, const struct policy_key *key, strv name)
{
    struct err err = ERR_INIT;
    struct arena *arena = &env->scratch;
    struct policy_plan *plan = is_restricted(key) ? ARENA_NEW(arena, struct policy_plan) : NULL;
    struct llm_request r = {.model = name, .provider = STRV(""), .arena = arena};
    if (!is_restricted(key))
        return true;
    bool may = plan != NULL && (exchange_find(env, &r, key, arena, plan, &err) ||
                                (err.code > 0 && err.code != LLM_ERR_PROVIDER_FORBIDDEN &&
                                 err.code != LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE));
    arena_reset(arena);
    return may;
}

/* The same of a model at this very provider. */
static bool may_use_at(struct exchange_env *env, const struct policy_key *key,
                       const struct provider *p, const char *model)
{
    char name[1024];
    if (!is_restricted(key))
        return true;
    int n = snprintf(name, sizeof name, "%s/%s", p->name, model);
    return n > 0 && (size_t)n < sizeof name && api_may_use(env, key, strv_of(name));
}

/* ---- the list ---- */

struct listing {
    struct exchange_env *env;
    const struct policy_key *key;
    struct api_model_list *list;
    size_t max;
    const struct provider *p;
};

static void add(void *arg, const char *name, const struct provider_model *facts)
{
    struct listing *l = arg;
    for (size_t i = 0; i < l->list->n; i++)
        if (strcmp(l->list->items[i].name, name) == 0)
            return;
    if (l->list->n < l->max && api_may_use(l->env, l->key, strv_of(name)))
        l->list->items[l->list->n++] =
            (struct api_model){name, l->p != NULL ? l->p->name : OWN_NAME, l->p, facts};
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

bool api_model_list(struct exchange_env *env, const struct policy_key *key, struct arena *arena,
                    struct api_model_list *out)
{
    const struct snapshot *s = env->snapshot;
    *out = (struct api_model_list){0};
    struct listing l = {env, key, out, 1 + s->policy.n_roles + s->policy.n_aliases, NULL};
    for (size_t i = 0; i < s->n_providers; i++) {
        out->held[i] = provider_models_any(&s->providers[i]);
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
        l.p = &s->providers[i];
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

void api_put_models(struct exchange_env *env, const struct policy_key *key, struct arena *arena,
                    struct buf *b)
{
    struct api_model_list list;
    if (!api_model_list(env, key, arena, &list))
        b->failed = true;
    buf_put_char(b, '[');
    for (size_t i = 0; i < list.n; i++) {
        const struct api_model *m = &list.items[i];
        buf_put_cstr(b, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_put_str(b, strv_of(m->name));
        buf_put_cstr(b, ",\"owner\":");
        json_put_str(b, strv_of(m->owner));
        if (m->p != NULL) /* a role may be answered by anybody */
            buf_printf(b, ",\"is_local\":%s",
                       m->p->zone == ZONE_LOCAL && (m->facts == NULL || !m->facts->remote)
                           ? "true"
                           : "false");
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
    api_model_list_fini(&list);
}

/* ---- one name ---- */

struct looking {
    const char *name;
    const struct provider_model *facts;
};

static void look(void *arg, const char *name, const struct provider_model *facts)
{
    struct looking *l = arg;
    if (strcmp(name, l->name) == 0)
        l->facts = facts;
}

bool api_find(struct api *api, const struct http_request *req, strv name, struct arena *arena,
              struct api_found *out, struct err *err)
{
    struct exchange_env *env = api->env;
    struct llm_request r = {.model = name, .arena = arena};
    struct policy_plan *plan = ARENA_NEW(arena, struct policy_plan);
    *out = (struct api_found){0};
    if (plan == NULL)
        return err_oom(err);
    if (!api_hints(&r, req, err) || !exchange_find(env, &r, api_state(req)->key, arena, plan, err))
        return false;
    struct looking l = {.name = arena_cstr(arena, plan->targets[0].model)};
    if (l.name == NULL)
        return err_oom(err);
    out->p = &env->snapshot->providers[plan->targets[0].provider];
    out->model = strv_of(l.name);
    out->by_name = plan->explicit_choice;
    out->held = provider_models_any(out->p);
    provider_each_model(out->p, out->held, look, &l);
    out->facts = l.facts;
    provider_model_facts(out->p, out->model, arena, &out->known);
    return true;
}

void api_found_fini(struct api_found *found)
{
    provider_models_unref(found->held);
    found->held = NULL;
}

/* ---- rows ---- */

static int64_t created_us(const struct api_model *m, int64_t otherwise)
{
    return m->facts != NULL && m->facts->modified_us > 0 ? m->facts->modified_us : otherwise;
}

/* From all sources: the list, the server's kind, the operator. */
static void know(struct api *api, const struct api_model *m, struct provider_facts *out)
{
    *out = (struct provider_facts){0};
    if (m->p != NULL)
        provider_model_facts(m->p, strv_of(m->name), &api->env->scratch, out);
    out->exact = STRV_NONE; /* it lay in what goes now */
    arena_reset(&api->env->scratch);
}

static void put_openai(struct api *api, struct buf *b, const struct api_model *m)
{
    buf_put_cstr(b, "{\"id\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"object\":\"model\",\"created\":");
    buf_put_i64(b, created_us(m, io_wall_us(api->env->loop)) / 1000000);
    buf_put_cstr(b, ",\"owned_by\":");
    json_put_str(b, strv_of(m->owner));
    buf_put_char(b, '}');
}

/* A date that nobody knows is the epoch there, by Anthropic's own description. */
static void put_anthropic(struct api *api, struct buf *b, const struct api_model *m)
{
    char time[TIMEFMT_MAX];
    struct provider_facts known;
    know(api, m, &known);
    timefmt_rfc3339(time, created_us(m, 0), 0);
    buf_put_cstr(b, "{\"type\":\"model\",\"id\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"display_name\":");
    json_put_str(b, strv_of(m->name));
    buf_printf(b, ",\"created_at\":\"%s\"", time);
    if (known.context > 0)
        buf_printf(b, ",\"max_input_tokens\":%lld", (long long)known.context);
    if (m->facts != NULL && m->facts->output_max > 0)
        buf_printf(b, ",\"max_tokens\":%lld", (long long)m->facts->output_max);
    buf_put_char(b, '}');
}

static void put_ollama(struct api *api, struct buf *b, const struct api_model *m)
{
    char time[TIMEFMT_MAX];
    struct provider_facts known;
    bool gguf =
        m->p != NULL && (m->p->kind == PROVIDER_OLLAMA || m->p->kind == PROVIDER_LLAMA_SERVER);
    know(api, m, &known);
    timefmt_rfc3339(time, created_us(m, io_wall_us(api->env->loop)), 6);
    buf_put_cstr(b, "{\"name\":");
    json_put_str(b, strv_of(m->name));
    buf_put_cstr(b, ",\"model\":");
    json_put_str(b, strv_of(m->name));
    buf_printf(b, ",\"modified_at\":\"%s\",\"size\":%lld,\"digest\":", time,
               (long long)(m->facts != NULL ? m->facts->size_bytes : 0));
    json_put_str(b, strv_of(m->facts != NULL && m->facts->digest != NULL ? m->facts->digest : ""));
    buf_put_cstr(b, ",\"details\":");
    ollama_put_details(b, gguf ? "gguf" : "", known.context);
    if (m->p != NULL) {
        buf_put_cstr(b, ",\"capabilities\":");
        ollama_put_capabilities(b, strv_of(m->name), known.has);
    }
    buf_put_char(b, '}');
}

/* ---- pages ---- */

struct page {
    size_t from, n;
    bool more;
};

static bool bad_query(struct err *err, const char *field, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: %s", field, what);
}

/* *at gets the place of the model that the query names, or stays as it is. */
static bool find_mark(const struct api_model_list *list, struct http_request *req,
                      const char *field, size_t *at, struct err *err)
{
    strv id;
    if (!target_query(req->query, field, &req->arena, &id))
        return bad_query(err, field, "this is no name of a model");
    if (id.ptr == NULL)
        return true;
    for (size_t i = 0; i < list->n; i++)
        if (strv_eq_cstr(id, list->items[i].name)) {
            *at = i;
            return true;
        }
    return bad_query(err, field, "there is no such model");
}

/* Anthropic's `limit`, `after_id` and `before_id`. Without a limit a page holds all it may: a client that
 * does not turn pages sees everything. */
static bool read_page(const struct api_model_list *list, struct http_request *req,
                      struct page *page, struct err *err)
{
    size_t after = SIZE_MAX, before = SIZE_MAX;
    uint64_t limit = PAGE_MAX;
    strv text;
    if (!target_query(req->query, "limit", &req->arena, &text) ||
        (text.ptr != NULL && !strv_u64(text, 1, PAGE_MAX, &limit)))
        return bad_query(err, "limit", "a number from 1 to 1000 is expected");
    if (!find_mark(list, req, "after_id", &after, err) ||
        !find_mark(list, req, "before_id", &before, err))
        return false;
    if (after != SIZE_MAX && before != SIZE_MAX)
        return bad_query(err, "before_id", "it cannot be used together with after_id");
    size_t from = after != SIZE_MAX ? after + 1 : 0, to = before != SIZE_MAX ? before : list->n;
    page->n = to - from < limit ? to - from : (size_t)limit;
    page->more = page->n < to - from;
    page->from = before != SIZE_MAX ? to - page->n : from;
    return true;
}

static void put_ends(struct buf *b, const struct api_model_list *list, const struct page *page)
{
    buf_printf(b, ",\"has_more\":%s,\"first_id\":", page->more ? "true" : "false");
    if (page->n == 0) {
        buf_put_cstr(b, "null,\"last_id\":null");
        return;
    }
    json_put_str(b, strv_of(list->items[page->from].name));
    buf_put_cstr(b, ",\"last_id\":");
    json_put_str(b, strv_of(list->items[page->from + page->n - 1].name));
}

/* ---- replies ---- */

typedef void (*put_fn)(struct api *api, struct buf *b, const struct api_model *m);

static void put_items(struct api *api, struct buf *b, const struct api_model_list *list,
                      const struct page *page, put_fn put)
{
    for (size_t i = 0; i < page->n; i++) {
        if (i > 0)
            buf_put_char(b, ',');
        put(api, b, &list->items[page->from + i]);
    }
}

static void reply(struct http_request *req, enum llm_dialect door, struct buf *b)
{
    if (b->failed)
        api_error(req, door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(b));
    buf_fini(b);
}

static void reply_list(struct api *api, struct http_request *req, enum llm_dialect door,
                       const char *before, put_fn put)
{
    struct api_model_list list;
    struct page page = {0};
    struct err err = ERR_INIT;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    if (!api_model_list(api->env, api_state(req)->key, &req->arena, &list))
        b.failed = true;
    page.n = list.n;
    if (!b.failed && put == put_anthropic && !read_page(&list, req, &page, &err)) {
        api_refuse(api, req, door, &err);
    } else {
        buf_put_cstr(&b, before);
        put_items(api, &b, &list, &page, put);
        buf_put_char(&b, ']');
        if (put == put_anthropic)
            put_ends(&b, &list, &page);
        buf_put_char(&b, '}');
        reply(req, door, &b);
    }
    buf_fini(&b);
    api_model_list_fini(&list);
}

void api_models(struct api *api, struct http_request *req, const struct api_route *route)
{
    (void)route;
    if (api_door(req) == LLM_ANTHROPIC)
        reply_list(api, req, LLM_ANTHROPIC, "{\"data\":[", put_anthropic);
    else
        reply_list(api, req, LLM_OPENAI, "{\"object\":\"list\",\"data\":[", put_openai);
}

void api_tags(struct api *api, struct http_request *req, const struct api_route *route)
{
    reply_list(api, req, route->door, "{\"models\":[", put_ollama);
}

static void reply_one(struct api *api, struct http_request *req, const struct api_model *m)
{
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    (api_door(req) == LLM_ANTHROPIC ? put_anthropic : put_openai)(api, &b, m);
    reply(req, api_door(req), &b);
}

/* A name that no list holds: what requests make of it counts here too. Only who asks for a model by its own
 * name is told the facts of one: a pattern stands for several. */
static void reply_unlisted(struct api *api, struct http_request *req, strv id)
{
    struct api_found found;
    struct err err = ERR_INIT;
    if (!api_find(api, req, id, &req->arena, &found, &err)) {
        api_refuse(api, req, api_door(req), &err);
        return;
    }
    struct api_model m = {.name = id.ptr, .owner = OWN_NAME};
    if (found.by_name) {
        m.owner = found.p->name;
        m.p = found.p;
        m.facts = found.facts;
    }
    reply_one(api, req, &m);
    api_found_fini(&found);
}

void api_model(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct api_model_list list;
    strv id;
    if (!target_name(route->path, req->path, &req->arena, &id)) {
        api_error(req, api_door(req), LLM_ERR_MODEL_NOT_FOUND, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    if (!api_model_list(api->env, api_state(req)->key, &req->arena, &list)) {
        api_error(req, api_door(req), LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        api_model_list_fini(&list);
        return;
    }
    const struct api_model *listed = NULL;
    for (size_t i = 0; i < list.n && listed == NULL; i++)
        if (strv_eq_cstr(id, list.items[i].name))
            listed = &list.items[i];
    if (listed != NULL)
        reply_one(api, req, listed);
    else
        reply_unlisted(api, req, id);
    api_model_list_fini(&list);
}

/* ---- by provider ---- */

struct model_writer {
    struct exchange_env *env;
    const struct policy_key *key;
    struct buf *b;
    const struct provider *p;
    bool first;
};

static void put_model(void *arg, const char *name, const struct provider_model *facts)
{
    struct model_writer *w = arg;
    if (!may_use_at(w->env, w->key, w->p, name))
        return;
    bool local = w->p->zone == ZONE_LOCAL && (facts == NULL || !facts->remote);
    buf_put_cstr(w->b, w->first ? "{\"name\":" : ",{\"name\":");
    w->first = false;
    json_put_str(w->b, strv_of(name));
    buf_put_cstr(w->b, ",\"provider\":");
    json_put_str(w->b, strv_of(w->p->name));
    buf_printf(w->b, ",\"is_local\":%s,\"loaded\":%s,\"context\":", local ? "true" : "false",
               facts != NULL && facts->loaded ? "true" : "false");
    if (facts != NULL && facts->context > 0)
        buf_put_i64(w->b, facts->context);
    else
        buf_put_cstr(w->b, "null");
    buf_put_char(w->b, '}');
}

/* What stands in a role's list, as it is written there. */
static void put_role(struct model_writer *w, const struct policy_list *role)
{
    bool first = true;
    json_put_str(w->b, strv_of(role->name));
    buf_put_cstr(w->b, ":[");
    for (size_t i = 0; i < role->n; i++) {
        if (!api_may_use(w->env, w->key, strv_of(role->names[i].text)))
            continue;
        buf_put_cstr(w->b, first ? "" : ",");
        first = false;
        json_put_str(w->b, strv_of(role->names[i].text));
    }
    buf_put_char(w->b, ']');
}

void api_by_provider(struct api *api, struct http_request *req, const struct api_route *route)
{
    const struct snapshot *s = api->env->snapshot;
    struct buf b;
    struct model_writer w = {.env = api->env, .key = api_state(req)->key, .b = &b, .first = true};
    bool first = true;
    buf_init(&b, LIST_BYTES_MAX);
    buf_put_cstr(&b, "{\"models\":[");
    for (size_t i = 0; i < s->n_providers; i++) {
        struct provider_models *models = provider_models_any(&s->providers[i]);
        w.p = &s->providers[i];
        provider_each_model(w.p, models, put_model, &w);
        provider_models_unref(models);
    }
    buf_put_cstr(&b, "],\"roles\":{");
    for (size_t i = 0; i < s->policy.n_roles; i++) {
        if (!api_may_use(api->env, w.key, strv_of(s->policy.roles[i].name)))
            continue;
        buf_put_cstr(&b, first ? "" : ",");
        first = false;
        put_role(&w, &s->policy.roles[i]);
    }
    buf_put_cstr(&b, "}}");
    reply(req, route->door, &b);
}
