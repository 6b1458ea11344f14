/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn - what servers tell besides their list of models.
 *
 *   Ollama        /api/ps       which models are in memory
 *                 /api/show     what one model can do, where the list does not say
 *   llama-server  /props        window, slots, modalities, what the chat template knows, asleep or not
 *                 /slots        how many of them are busy
 *   vLLM          /metrics      calls in progress, calls that wait, how full the cache is
 *
 * A list is immutable: who learns something of a model makes a new one with the difference in it. A body
 * that is not what it should be teaches nothing, and does no harm: these are answers to questions that a
 * server need not know.
 */
#include "provider/internal.h"

#define JSON_BYTES_MAX ((size_t)64 << 20)

/* ---- a list with a difference ---- */

static const char *copy(struct provider_models *m, const char *text)
{
    return arena_cstr(&m->arena, strv_of(text));
}

/* NULL: memory is refused. */
static struct provider_models *models_copy(const struct provider_models *old)
{
    struct provider_models *m = models_new();
    if (m == NULL)
        return NULL;
    m->loaded_known = old->loaded_known;
    m->items = ARENA_ARRAY(&m->arena, struct provider_model, old->n + 1);
    for (; m->items != NULL && m->n < old->n; m->n++) {
        struct provider_model *item = &m->items[m->n];
        *item = old->items[m->n];
        item->name = copy(m, item->name);
        item->digest = copy(m, item->digest);
        item->owner = copy(m, item->owner);
    }
    if (!m->arena.failed)
        return m;
    provider_models_unref(m);
    return NULL;
}

struct lesson { /* one body that is being learnt from */
    struct provider_cell *cell;
    struct arena arena;
    struct json doc;
    struct provider_models *models; /* a copy, to be changed; NULL = there is no list yet */
};

static bool begin(struct lesson *l, struct provider_cell *cell, strv body)
{
    struct err err = ERR_INIT;
    *l = (struct lesson){.cell = cell};
    arena_init(&l->arena, 16384, JSON_BYTES_MAX);
    if (!json_read(&l->doc, body, &l->arena, 0, &err))
        return false;
    struct provider_models *old = provider_models_get(cell);
    l->models = old != NULL ? models_copy(old) : NULL;
    provider_models_unref(old);
    return l->models != NULL;
}

static bool end(struct lesson *l, bool learnt)
{
    if (learnt)
        models_put(l->cell, l->models);
    else
        provider_models_unref(l->models);
    arena_fini(&l->arena);
    return learnt;
}

/* ---- Ollama ---- */

static bool is_elsewhere(yyjson_val *v)
{
    return json_get_str(v, "remote_host").len > 0 || json_get_str(v, "remote_model").len > 0;
}

static struct provider_model *find(struct provider_models *m, strv name)
{
    name = model_without_latest(name);
    for (size_t i = 0; i < m->n; i++)
        if (strv_eq_nocase(name, model_without_latest(strv_of(m->items[i].name))))
            return &m->items[i];
    return NULL;
}

static void forget_loaded(struct provider_models *m)
{
    m->loaded_known = true;
    for (size_t i = 0; i < m->n; i++) {
        m->items[i].loaded = false;
        m->items[i].memory = (struct provider_memory){0};
    }
}

static int64_t told(yyjson_val *v, const char *key)
{
    int64_t n = json_get_int(v, key, 0);
    return n > 0 ? n : 0;
}

bool provider_learn_loaded(struct provider_cell *cell, strv body)
{
    struct lesson l;
    yyjson_val *list, *v;
    size_t i, max;
    bool ok = begin(&l, cell, body);
    list = ok ? yyjson_obj_get(l.doc.root, "models") : NULL;
    ok = ok && (yyjson_is_arr(list) || yyjson_is_null(list));
    if (ok)
        forget_loaded(l.models);
    yyjson_arr_foreach(list, i, max, v)
    {
        strv name = json_get_str(v, "name");
        struct provider_model *m =
            ok ? find(l.models, name.len > 0 ? name : json_get_str(v, "model")) : NULL;
        if (m == NULL)
            continue;
        m->loaded = true;
        m->memory = (struct provider_memory){
            .bytes = told(v, "size"),
            .vram_bytes = told(v, "size_vram"),
            .context = told(v, "context_length"),
            .expires_us = model_read_time_us(json_get_str(v, "expires_at")),
        };
        m->remote = m->remote || is_elsewhere(v); /* never the other way */
    }
    if (!end(&l, ok))
        return false;
    pthread_mutex_lock(&cell->lock);
    cell->last_model = 0; /* it counted as loaded; the server has said it better */
    pthread_mutex_unlock(&cell->lock);
    return true;
}

/* {"general.architecture":"llama","llama.context_length":131072} */
static int64_t trained_context(yyjson_val *info)
{
    char key[96];
    strv architecture = json_get_str(info, "general.architecture");
    if (architecture.len == 0 || architecture.len > 64)
        return 0;
    snprintf(key, sizeof key, STRV_FMT ".context_length", STRV_ARG(architecture));
    int64_t n = json_get_int(info, key, 0);
    return n > 0 ? n : 0;
}

bool provider_learn_shown(struct provider_cell *cell, strv model, strv body)
{
    struct lesson l;
    bool ok = begin(&l, cell, body);
    struct provider_model *m = ok ? find(l.models, model) : NULL;
    if (m != NULL) {
        m->shown = true;
        (void)model_read_words(json_get(l.doc.root, "capabilities"), m);
        if (m->context == 0)
            m->context = trained_context(json_get(l.doc.root, "model_info"));
        m->remote = m->remote || is_elsewhere(l.doc.root);
    }
    return end(&l, m != NULL);
}

bool provider_learn_silent(struct provider_cell *cell, strv model)
{
    return provider_learn_shown(cell, model, STRV("{}"));
}

/* ---- llama-server ---- */

static void say_if_told(struct provider_model *m, uint32_t need, yyjson_val *told)
{
    if (yyjson_is_bool(told))
        model_say(&m->has, &m->lacks, need, yyjson_get_bool(told));
}

/* A template that knows no tools leaves them out without a word. */
static void read_props(yyjson_val *props, struct provider_model *m)
{
    yyjson_val *modalities = json_get(props, "modalities"),
               *caps = json_get(props, "chat_template_caps");
    int64_t context = json_get_int(json_get(props, "default_generation_settings"), "n_ctx", 0);
    say_if_told(m, LLM_NEED_IMAGES, json_get(modalities, "vision"));
    say_if_told(m, LLM_NEED_AUDIO, json_get(modalities, "audio"));
    say_if_told(m, LLM_NEED_TOOLS, json_get(caps, "supports_tools"));
    if (yyjson_is_true(json_get(caps, "supports_reasoning_effort")))
        m->effort = true;
    if (context > 0)
        m->context = context;
    m->loaded = !yyjson_is_true(json_get(props, "is_sleeping"));
    m->shown = true;
}

bool provider_learn_props(struct provider_cell *cell, strv body)
{
    struct lesson l;
    bool ok = begin(&l, cell, body);
    int64_t slots = ok ? json_get_int(l.doc.root, "total_slots", 0) : 0;
    /* With several models behind it ("role":"router") they are nobody's in particular. */
    ok = ok && slots > 0 && l.models->n == 1;
    if (ok) {
        l.models->loaded_known = true;
        read_props(l.doc.root, &l.models->items[0]);
    }
    if (!end(&l, ok))
        return false;
    pthread_mutex_lock(&cell->lock);
    cell->slots_seen = slots;
    pthread_mutex_unlock(&cell->lock);
    return true;
}

/* Between two probes our own calls come and go. Were the word of the last one taken as it stands, a router
 * that is one of several would send all it has to whoever was idle then, and all of it elsewhere after the
 * next. */
static void set_load(struct provider_cell *cell, int64_t busy, int64_t queued,
                     int64_t cache_percent)
{
    pthread_mutex_lock(&cell->lock);
    cell->busy = busy;
    cell->queued = queued;
    cell->others = busy + queued > cell->in_flight ? busy + queued - cell->in_flight : 0;
    cell->cache_percent = cache_percent;
    pthread_mutex_unlock(&cell->lock);
}

bool provider_learn_slots(struct provider_cell *cell, strv body)
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    yyjson_val *slot;
    size_t i, max;
    int64_t busy = 0;
    arena_init(&arena, 16384, JSON_BYTES_MAX);
    bool ok = json_read(&doc, body, &arena, 0, &err) && yyjson_is_arr(doc.root);
    if (ok) {
        yyjson_arr_foreach(doc.root, i, max, slot)
        {
            busy += yyjson_is_true(json_get(slot, "is_processing"));
        }
        set_load(cell, busy, 0, 0);
    }
    arena_fini(&arena);
    return ok;
}

/* ---- vLLM ---- */

/* `name{labels} value`: adds the value up if the line is of that metric. */
static bool add_metric(strv line, const char *name, double *sum)
{
    strv rest = strv_of(name);
    double value;
    if (!strv_starts(line, rest))
        return false;
    line = strv_from(line, rest.len);
    if (line.len > 0 && line.ptr[0] == '{') {
        const char *close = memchr(line.ptr, '}', line.len);
        if (close == NULL)
            return false;
        line = strv_from(line, (size_t)(close - line.ptr) + 1);
    }
    if (line.len == 0 || line.ptr[0] != ' ' || !strv_double(strv_trim(line), &value) || value < 0 ||
        value > 1e9)
        return false;
    *sum += value;
    return true;
}

bool provider_learn_metrics(struct provider_cell *cell, strv body)
{
    double running = 0, waiting = 0, cache = 0, one;
    bool told = false;
    strv line;
    while (strv_cut(&body, '\n', &line)) {
        told = add_metric(line, "vllm:num_requests_running", &running) || told;
        (void)add_metric(line, "vllm:num_requests_waiting", &waiting);
        one = 0; /* of several engines the fullest counts */
        if (add_metric(line, "vllm:kv_cache_usage_perc", &one) && one > cache)
            cache = one;
    }
    if (told)
        set_load(cell, (int64_t)running, (int64_t)waiting, (int64_t)(cache * 100));
    return told;
}
