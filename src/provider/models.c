/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - which models a provider says it has, and whether a name is one of them.
 *
 *   {"object":"list","data":[{"id"}, ...]}         OpenAI's kin, llama-server, Anthropic
 *   {"models":[{"name","details"}, ...]}           Ollama
 *
 * A list is read whole or refused whole: the old one then stays. It is immutable and counted, so a
 * reader keeps it while a newer one takes its place. What can chat stands first, and what is served
 * from here stands before what an Ollama only relays, because the first is the default.
 *
 * An Ollama on this machine may hand a model on to the cloud under any innocent name. Only its list
 * tells; until it has told, every name there counts as remote.
 */
#include <stdio.h>

#include "provider/internal.h"

#define LIST_BYTES_MAX ((size_t)8 << 20)
#define JSON_BYTES_MAX ((size_t)64 << 20) /* a parsed value is larger than its text */
#define NAME_BYTES_MAX 256
#define MODELS_MAX     4096 /* names are looked up and compared one by one, while callers wait */

const char *provider_models_path(enum provider_kind kind)
{
    switch (kind) {
    case PROVIDER_OLLAMA:
        return "/api/tags";
    case PROVIDER_ANTHROPIC: /* its pages hold 20 unless asked for more */
        return "/v1/models?limit=1000";
    default:
        return "/v1/models";
    }
}

/* ---- holding ---- */

struct provider_models *models_new(void)
{
    struct provider_models *m = mem_zalloc(sizeof *m);
    if (m == NULL)
        return NULL;
    atomic_init(&m->refs, 1);
    arena_init(&m->arena, 4096, LIST_BYTES_MAX);
    return m;
}

struct provider_models *provider_models_get(struct provider_cell *cell)
{
    pthread_mutex_lock(&cell->lock);
    struct provider_models *m = cell->models;
    if (m != NULL)
        atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&cell->lock);
    return m;
}

struct provider_models *provider_models_any(const struct provider *p)
{
    struct provider_models *m = NULL;
    for (size_t i = 0; i < provider_instance_count(p) && m == NULL; i++)
        m = provider_models_get(provider_instance(p, i)->cell);
    return m;
}

void provider_models_unref(struct provider_models *m)
{
    if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&m->arena);
    mem_free(m);
}

/* ---- reading ---- */

int64_t model_read_time_us(strv text)
{
    int year, month, day, hour, minute, second, used = 0;
    char copy[40];
    if (text.len < 20 || text.len >= sizeof copy)
        return 0;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second,
               &used) != 6 ||
        year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
        hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return 0;
    int64_t us = 0, unit = 100000;
    const char *at = copy + used;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            us += (*at - '0') * unit;
    int zone_hour = 0, zone_minute = 0;
    if (*at == '+' || *at == '-') {
        if (sscanf(at + 1, "%2d:%2d", &zone_hour, &zone_minute) != 2 || zone_hour < 0 ||
            zone_minute < 0)
            return 0;
        if (*at == '-') {
            zone_hour = -zone_hour;
            zone_minute = -zone_minute;
        }
    } else if (*at != 'Z') {
        return 0;
    }
    /* Days since 1970 in the calendar that starts its years in March (Howard Hinnant). */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468;
    int64_t s = days * 86400 + (hour - zone_hour) * 3600 + (minute - zone_minute) * 60 + second;
    return s > 0 ? s * 1000000 + us : 0;
}

static int64_t positive(yyjson_val *obj, const char *key)
{
    int64_t n = json_get_int(obj, key, 0);
    return n > 0 ? n : 0;
}

static int64_t first_of(int64_t a, int64_t b)
{
    return a > 0 ? a : b;
}

static const char *keep(struct provider_models *m, strv text)
{
    return text.len > 0 && text.len <= NAME_BYTES_MAX ? arena_cstr(&m->arena, text) : "";
}

static bool read_name(strv name, struct provider_models *m, struct provider_model *out,
                      struct err *err)
{
    if (name.len == 0)
        return err_set(err, 0, "a model without a name");
    if (name.len > NAME_BYTES_MAX)
        return err_set(err, 0, "a model's name is longer than %d bytes", NAME_BYTES_MAX);
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= 0x20 || name.ptr[i] == 0x7f)
            return err_set(err, 0, "a model's name has blanks or control characters");
    out->name = arena_cstr(&m->arena, name);
    out->digest = out->owner = "";
    out->thinking = -1;
    return true;
}

/* llama-server has "meta", vLLM "max_model_len", Docker "dmr", Anthropic "max_input_tokens". */
static bool read_openai(yyjson_val *v, struct provider_models *m, struct provider_model *out,
                        struct err *err)
{
    if (!read_name(json_get_str(v, "id"), m, out, err))
        return false;
    yyjson_val *meta = json_get(v, "meta"), *docker = json_get(v, "dmr");
    int64_t context = first_of(positive(v, "max_model_len"), positive(meta, "n_ctx"));
    context = first_of(context, positive(v, "max_input_tokens"));
    context = first_of(context, positive(docker, "context_window"));
    out->context = first_of(context, positive(v, "context_length"));
    out->size_bytes = positive(meta, "size");
    out->output_max = positive(v, "max_tokens");
    out->modified_us =
        positive(v, "created") < INT64_MAX / 1000000 ? positive(v, "created") * 1000000 : 0;
    if (out->modified_us == 0)
        out->modified_us = model_read_time_us(json_get_str(v, "created_at"));
    out->owner = keep(m, json_get_str(v, "owned_by"));
    if (yyjson_obj_size(v) == 2 && json_get_str(v, "object").len > 0)
        out->owner = "localai"; /* nobody else says so little (openai.md B4) */
    model_read_openai(v, out);
    return true;
}

/* The tag "cloud", or one that ends in "-cloud". */
static bool is_cloud_tag(strv name)
{
    strv tag = STRV("cloud"); /* an Ollama takes names in any case */
    if (name.len <= tag.len || !strv_eq_nocase(strv_from(name, name.len - tag.len), tag))
        return false;
    char before = name.ptr[name.len - tag.len - 1];
    return before == ':' || before == '-';
}

static bool read_ollama(yyjson_val *v, struct provider_models *m, struct provider_model *out,
                        struct err *err)
{
    strv name = json_get_str(v, "name");
    yyjson_val *details = json_get(v, "details");
    if (!read_name(name.len > 0 ? name : json_get_str(v, "model"), m, out, err))
        return false;
    out->context = positive(details, "context_length");
    out->size_bytes = positive(v, "size");
    out->modified_us = model_read_time_us(json_get_str(v, "modified_at"));
    out->digest = keep(m, json_get_str(v, "digest"));
    out->remote = json_get_str(v, "remote_host").len > 0 ||
                  json_get_str(v, "remote_model").len > 0 || is_cloud_tag(strv_of(out->name));
    (void)model_read_words(json_get(v, "capabilities"), out);
    return true;
}

/* A model for embeddings only is no answer to "any model". Older servers do not say; the family does. */
static bool is_chat(yyjson_val *v, const struct provider_model *model)
{
    yyjson_val *capabilities = json_get(v, "capabilities"), *word;
    size_t i, max;
    if (yyjson_is_arr(capabilities) && yyjson_arr_size(capabilities) > 0) {
        yyjson_arr_foreach(capabilities, i, max, word)
        {
            if (strv_eq_cstr(json_str(word), "completion"))
                return true;
        }
        return false;
    }
    return !strv_contains_nocase(strv_of(model->name), STRV("embed")) &&
           !strv_contains_nocase(json_get_str(json_get(v, "details"), "family"), STRV("bert"));
}

static int rank(yyjson_val *v, const struct provider_model *model)
{
    return (is_chat(v, model) ? 0 : 2) + (model->remote ? 1 : 0);
}

static bool read_items(yyjson_val *list, enum provider_kind kind, struct provider_models *m,
                       struct err *err)
{
    yyjson_val *v;
    size_t i, max, n = yyjson_arr_size(list);
    if (n > MODELS_MAX)
        return err_set(err, 0, "a list of more than %d models", MODELS_MAX);
    struct provider_model *read = ARENA_ARRAY(&m->arena, struct provider_model, n + 1);
    m->items = ARENA_ARRAY(&m->arena, struct provider_model, n + 1);
    if (read == NULL || m->items == NULL)
        return err_oom(err);
    yyjson_arr_foreach(list, i, max, v)
    {
        bool ok = kind == PROVIDER_OLLAMA ? read_ollama(v, m, &read[i], err)
                                          : read_openai(v, m, &read[i], err);
        if (!ok)
            return false;
        if (m->arena.failed)
            return err_oom(err);
        read[i].loaded = kind == PROVIDER_LLAMA_SERVER;
    }
    for (int wanted = 0; wanted < 4; wanted++)
        yyjson_arr_foreach(list, i, max, v)
        {
            if (rank(v, &read[i]) == wanted)
                m->items[m->n++] = read[i];
        }
    return true;
}

static struct provider_models *read_list(enum provider_kind kind, strv body, struct err *err)
{
    struct arena scratch;
    struct json doc;
    struct provider_models *m = models_new();
    bool ok = false;
    arena_init(&scratch, 16384, JSON_BYTES_MAX);
    if (m == NULL) {
        err_oom(err);
    } else if (json_read(&doc, body, &scratch, 0, err)) {
        const char *member = kind == PROVIDER_OLLAMA ? "models" : "data";
        yyjson_val *list = yyjson_obj_get(doc.root, member);
        /* Ollama's own OpenAI layer answers null when it has none. */
        if (yyjson_is_arr(list) || yyjson_is_null(list))
            ok = read_items(list, kind, m, err);
        else
            err_set(err, 0, "no list of models: member \"%s\" is missing", member);
    }
    arena_fini(&scratch);
    if (!ok) {
        provider_models_unref(m);
        return NULL;
    }
    return m;
}

/* A list says less of a model than other questions do; what they told stays while it is the same model. */
static void inherit(struct provider_models *m, const struct provider_models *old)
{
    m->loaded_known = old->loaded_known;
    for (size_t i = 0; i < m->n; i++) {
        struct provider_model *now = &m->items[i];
        const struct provider_model *then = NULL;
        for (size_t k = 0; k < old->n && then == NULL; k++) { /* mostly at the same place */
            const struct provider_model *o = &old->items[(i + k) % old->n];
            if (strcmp(o->name, now->name) == 0)
                then = o;
        }
        if (then == NULL || strcmp(then->digest, now->digest) != 0)
            continue;
        if (old->loaded_known)
            now->loaded = then->loaded;
        now->memory = then->memory;
        now->remote = now->remote || then->remote; /* what /api/show or /api/ps told: never less */
        if (!then->shown)
            continue;
        uint32_t said = now->has | now->lacks;
        now->shown = true;
        now->has |= then->has & ~said;
        now->lacks |= then->lacks & ~said;
        now->context = first_of(now->context, then->context);
        now->effort = now->effort || then->effort;
    }
}

void models_put(struct provider_cell *cell, struct provider_models *m)
{
    pthread_mutex_lock(&cell->lock);
    struct provider_models *old = cell->models;
    cell->models = m;
    pthread_mutex_unlock(&cell->lock);
    provider_models_unref(old);
}

bool provider_models_take(struct provider_cell *cell, enum provider_kind kind, strv body,
                          struct err *err)
{
    struct provider_models *m = read_list(kind, body, err);
    if (m == NULL)
        return false;
    struct provider_models *old = provider_models_get(cell);
    if (old != NULL)
        inherit(m, old);
    provider_models_unref(old);
    models_put(cell, m);
    return true;
}

/* ---- looking up ---- */

strv provider_spawn_alias(const struct provider_spawn *spawn)
{
    strv rest = strv_of(spawn->model), part, name = STRV_NONE, suffix = STRV(".gguf");
    if (spawn->alias != NULL)
        return strv_of(spawn->alias);
    while (strv_cut(&rest, '/', &part))
        name = part;
    if (name.len > suffix.len && strv_ends(name, suffix))
        name.len -= suffix.len;
    return name;
}

strv model_without_latest(strv name)
{
    strv tag = STRV(":latest");
    if (name.len > tag.len && strv_eq_nocase(strv_from(name, name.len - tag.len), tag))
        name.len -= tag.len;
    return name;
}

static bool same_model(const struct provider *p, strv a, strv b)
{
    if (p->kind == PROVIDER_OLLAMA)
        return strv_eq_nocase(model_without_latest(a), model_without_latest(b));
    return strv_eq(model_without_latest(a),
                   model_without_latest(b)); /* Docker's names have tags too */
}

const struct provider_model *model_find(const struct provider *p, const struct provider_models *m,
                                        strv name)
{
    for (size_t i = 0; m != NULL && i < m->n; i++)
        if (same_model(p, name, strv_of(m->items[i].name)))
            return &m->items[i];
    return NULL;
}

static const char *find_static(const struct provider *p, strv name)
{
    for (size_t i = 0; p->static_models != NULL && p->static_models[i] != NULL; i++)
        if (same_model(p, name, strv_of(p->static_models[i])))
            return p->static_models[i];
    return NULL;
}

void provider_each_model(const struct provider *p, const struct provider_models *list,
                         void (*fn)(void *arg, const char *name,
                                    const struct provider_model *facts),
                         void *arg)
{
    const char *const *fixed = p->static_models;
    if (fixed != NULL && fixed[0] != NULL) {
        for (; *fixed != NULL; fixed++)
            fn(arg, *fixed, model_find(p, list, strv_of(*fixed)));
        return;
    }
    for (size_t i = 0; list != NULL && i < list->n; i++)
        fn(arg, list->items[i].name, &list->items[i]);
}

/* "claude-sonnet-5-5", where the list has "claude-sonnet-5-5-20260301". */
static bool is_listed_dated(const struct provider_models *m, strv name)
{
    for (size_t i = 0; m != NULL && i < m->n; i++) {
        strv date = strv_of(m->items[i].name);
        if (date.len != name.len + 9 || !strv_starts(date, name) || date.ptr[name.len] != '-')
            continue;
        size_t digits = name.len + 1;
        while (digits < date.len && date.ptr[digits] >= '0' && date.ptr[digits] <= '9')
            digits++;
        if (digits == date.len)
            return true;
    }
    return false;
}

/* Names that a provider takes although no list holds them: the engine's alias, which it will list once it is up,
 * and at the cloud the configured default and names without the date that its list spells them with. Never a text
 * that only the caller knows: what is sent to the cloud as a model's name is read by nobody. */
static bool is_own_name(const struct provider *p, const struct provider_models *m, strv name)
{
    if (p->kind == PROVIDER_LLAMA_SERVER)
        return strv_eq(name, provider_spawn_alias(&p->spawn));
    return p->kind == PROVIDER_ANTHROPIC && p->zone == ZONE_CLOUD &&
           (strv_eq_cstr(name, p->default_model) || is_listed_dated(m, name));
}

static bool is_remote(const struct provider *p, strv name, const struct provider_model *known)
{
    if (p->kind == PROVIDER_OPENAI) /* an Ollama's other interface, whose list does not say where */
        return is_cloud_tag(name);
    if (p->kind != PROVIDER_OLLAMA)
        return false;
    return known == NULL || known->remote || is_cloud_tag(name);
}

/* What the server can have in one request: of an Ollama it is also the operator's choice. */
static int64_t context_of(const struct provider *p, const struct provider_model *known)
{
    int64_t context = known != NULL ? known->context : 0;
    if (p->kind == PROVIDER_OLLAMA && p->num_ctx > 0 && (context == 0 || p->num_ctx < context))
        context = p->num_ctx;
    if (p->kind == PROVIDER_LLAMA_SERVER && context == 0)
        context = p->spawn.context;
    return context;
}

static enum provider_warmth warmth_of(const struct provider *p, const struct provider_models *m,
                                      const struct provider_model *known)
{
    bool told;
    if (known == NULL)
        return PROVIDER_WARMTH_UNKNOWN;
    if (known->loaded ||
        (p->kind == PROVIDER_OLLAMA && provider_has_loaded(p, strv_of(known->name), &told)))
        return PROVIDER_WARM;
    return m->loaded_known ? PROVIDER_COLD : PROVIDER_WARMTH_UNKNOWN;
}

static bool facts_of_one(const struct provider *p, strv model, struct arena *arena,
                         struct provider_facts *out)
{
    struct provider_models *m = provider_models_get(p->cell);
    const struct provider_model *known = model_find(p, m, model);
    bool listed = p->static_models != NULL && p->static_models[0] != NULL;
    const char *name = listed ? find_static(p, model) : known != NULL ? known->name : NULL;
    bool has = model.len > 0 && (name != NULL || (!listed && is_own_name(p, m, model)));
    struct provider_glance glance;
    provider_look(p, 0, &glance);
    *out = (struct provider_facts){
        .exact = has ? arena_strv(arena, name != NULL ? strv_of(name) : model) : STRV_NONE,
        .remote = is_remote(p, model, known),
        .context = context_of(p, known),
        .warmth = warmth_of(p, m, known),
        .full = glance.full,
        .calls = glance.calls,
    };
    model_known(p, model, known, &out->has, &out->lacks, &out->context);
    provider_models_unref(m);
    return has;
}

/* Several servers are as able as the ablest of them that has the model, and as near as the farthest. */
static void join_facts(struct provider_facts *all, const struct provider_facts *one)
{
    all->remote = all->remote || one->remote;
    all->has |= one->has;
    all->lacks &= one->lacks;
    if (all->context > 0 && (one->context == 0 || one->context > all->context))
        all->context = one->context;
    if (one->warmth > all->warmth)
        all->warmth = one->warmth;
    all->full = all->full && one->full;
    if (one->calls < all->calls)
        all->calls = one->calls;
}

bool provider_model_facts(const struct provider *p, strv model, struct arena *arena,
                          struct provider_facts *out)
{
    bool has = facts_of_one(p, model, arena, out);
    for (size_t i = 1; i < p->n_instances; i++) {
        struct provider_facts one;
        bool remote = out->remote;
        if (!facts_of_one(&p->instances[i], model, arena, &one)) {
            out->remote = remote || one.remote;
        } else if (!has) {
            *out = one;
            out->remote = remote || one.remote;
            has = true;
        } else {
            join_facts(out, &one);
        }
    }
    return has;
}

bool provider_has_model(const struct provider *p, strv model, struct arena *arena, strv *exact,
                        bool *remote)
{
    struct provider_facts facts;
    bool has = provider_model_facts(p, model, arena, &facts);
    if (has && exact != NULL)
        *exact = facts.exact;
    if (remote != NULL)
        *remote = facts.remote;
    return has;
}

bool provider_is_remote(const struct provider *p, strv model)
{
    bool remote = false;
    for (size_t i = 0; i < provider_instance_count(p) && !remote; i++) {
        const struct provider *one = provider_instance(p, i);
        struct provider_models *m =
            one->kind == PROVIDER_OLLAMA ? provider_models_get(one->cell) : NULL;
        remote = is_remote(one, model, model_find(one, m, model));
        provider_models_unref(m);
    }
    return remote;
}
