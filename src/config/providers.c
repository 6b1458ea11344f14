/* SPDX-License-Identifier: Apache-2.0 */
/*
 * providers - settings into the snapshot's rows of providers.
 *
 * For each one that a source mentions: kind, defaults of the kind, address, zone, key, TLS. A cloud provider
 * that may not or cannot be used (airgap, mode local, no key) is left out with a warning: nothing that runs
 * knows of it. Everything else that does not fit together is an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/internal.h"

static const struct origin nowhere = {.from = FROM_DEFAULT};

static const struct origin *origin_of(const struct whole *w, const char *path, const char *name)
{
    const struct setting *s = setting_get(w, path, name);
    return s != NULL ? &s->origin : &nowhere;
}

static const char *text_of(const struct whole *w, const char *path, const char *name)
{
    const struct setting *s = setting_get(w, path, name);
    return s != NULL ? s->value.text : NULL;
}

static bool is_local(const struct whole *w, const char *name)
{
    const struct setting *s = setting_get(w, "providers.*.zone", name);
    return s != NULL && s->value.number == ZONE_LOCAL;
}

static bool is_provider_row(const struct option *o)
{
    return strncmp(o->path, "providers.*.", 12) == 0;
}

/* ---- kind and defaults ---- */

static bool find_kind(struct load *l, struct instance *i)
{
    const struct setting *s = setting_get(l->whole, "providers.*.kind", i->name);
    char path[96];
    if (s == NULL) {
        snprintf(path, sizeof path, "providers.%s", i->name);
        return load_fail(l, &i->origin, path,
                         "kind is missing: one of openai, ollama, anthropic, llama-server");
    }
    i->kind = (enum provider_kind)s->value.number;
    return true;
}

/* Options that other kinds have. */
static bool check_kinds(struct load *l, const struct instance *i)
{
    char path[160];
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next) {
        if (is_provider_row(s->option) && strcmp(s->name, i->name) == 0 &&
            (s->option->kinds & 1u << i->kind) == 0)
            return load_fail(l, &s->origin, setting_path(s->option, s->name, path, sizeof path),
                             "a provider of kind %s does not have this option",
                             provider_kind_name(i->kind));
    }
    return true;
}

static bool put_default(struct load *l, const char *path, const char *name, const char *text)
{
    return setting_put_text(l, option_row(path), name, strv_of(text), &nowhere);
}

static bool fill_defaults(struct load *l, const struct instance *i)
{
    for (size_t n = 0; n < options_count; n++) {
        const struct option *o = &options[n];
        if (!is_provider_row(o) || (o->kinds & 1u << i->kind) == 0 ||
            setting_find(l->whole, o, i->name) != NULL)
            continue;
        const char *text = option_kind_default(o, i->kind);
        if (text == NULL)
            text = o->initial;
        if (strcmp(o->path, "providers.*.concurrency") == 0 && i->kind == PROVIDER_LLAMA_SERVER)
            continue; /* the slots, once they are known */
        if (strcmp(o->path, "providers.*.url") == 0 &&
            setting_get(l->whole, "providers.*.urls", i->name) != NULL)
            continue;
        if (text != NULL && !put_default(l, o->path, i->name, text))
            return false;
    }
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* What follows from other options of the engine. */
static bool engine_defaults(struct load *l, const struct instance *i)
{
    const struct whole *w = l->whole;
    const char *model = text_of(w, "providers.*.spawn.model", i->name);
    char path[96], slots[24];

    if (model == NULL) {
        snprintf(path, sizeof path, "providers.%s.spawn.model", i->name);
        return load_fail(l, &i->origin, path, "is missing: the model file to serve");
    }
    snprintf(slots, sizeof slots, "%llu",
             (unsigned long long)setting_get(w, "providers.*.spawn.slots", i->name)->value.number);
    if (setting_get(w, "providers.*.concurrency", i->name) == NULL &&
        !put_default(l, "providers.*.concurrency", i->name, slots))
        return false;
    if (setting_get(w, "providers.*.spawn.alias", i->name) != NULL)
        return true;
    strv alias = strv_of(base_name(model));
    if (strv_ends(alias, STRV(".gguf")) && alias.len > 5)
        alias.len -= 5;
    return setting_put(l, option_row("providers.*.spawn.alias"), i->name, &alias, 1, &nowhere);
}

/* ---- address and zone ---- */

/* The setting that holds the addresses; NULL = there is none. */
static const struct setting *addresses_of(const struct whole *w, const struct instance *i)
{
    const struct setting *s = setting_get(w, "providers.*.urls", i->name);
    return s != NULL ? s : setting_get(w, "providers.*.url", i->name);
}

static const char *address_of(const struct setting *s, size_t n)
{
    return s->option->type == OPT_LIST ? s->value.items[n] : s->value.text;
}

static struct way_owner owner(const struct load *l, const struct instance *i,
                              const struct provider *p)
{
    const struct setting *s = addresses_of(l->whole, i);
    return (struct way_owner){.section = "providers",
                              .name = i->name,
                              .at = s != NULL ? &s->origin : &i->origin,
                              .cloud = i->kind == PROVIDER_ANTHROPIC,
                              .has_key = p != NULL && p->key != NULL};
}

static bool settle_zone(struct load *l, const struct instance *i, const struct http_url *url)
{
    const struct way_owner o = owner(l, i, NULL);
    return way_settle_zone(l, &o, url);
}

/* How its address is reached. */
static bool build_way(struct load *l, const struct instance *i, struct provider *p)
{
    const struct way_owner o = owner(l, i, p);
    return way_build(l, &o, &p->upstream);
}

/* The n-th of its addresses. */
static bool build_url(struct load *l, const struct instance *i, size_t n, struct provider *p)
{
    const struct setting *s = addresses_of(l->whole, i);
    struct err why = ERR_INIT;
    char key[96];

    if (i->kind == PROVIDER_LLAMA_SERVER) {
        p->upstream.url = (struct http_url){
            .host = "localhost", .port = 80, .authority = "localhost", .path = ""};
        return settle_zone(l, i, NULL);
    }
    snprintf(key, sizeof key, "providers.%s.url", i->name);
    if (s == NULL)
        return load_fail(l, &i->origin, key, "is missing: the provider's base address");
    if (s->option->type == OPT_LIST && setting_get(l->whole, "providers.*.url", i->name) != NULL)
        return load_fail(l, &s->origin, key, "url and urls are both given; keep one");
    if (!http_url_parse(strv_of(address_of(s, n)), l->arena, &p->upstream.url, &why)) {
        if (why.code == ERR_CODE_OOM || l->arena->failed)
            return load_oom(l);
        return load_fail(l, &s->origin, "url", "%s", why.text);
    }
    p->upstream.unix_path = p->upstream.url.unix_path;
    return settle_zone(l, i, &p->upstream.url);
}

/* ---- keys ---- */

static bool build_key(struct load *l, struct instance *i, struct provider *p)
{
    struct whole *w = l->whole;
    const struct setting *env, *file = setting_get(w, "providers.*.key_file", i->name);
    char path[96];

    if (file == NULL && i->kind == PROVIDER_ANTHROPIC && !is_local(w, i->name) &&
        setting_get(w, "providers.*.key_env", i->name) == NULL &&
        !put_default(l, "providers.*.key_env", i->name, "ANTHROPIC_API_KEY"))
        return false;
    env = setting_get(w, "providers.*.key_env", i->name);
    if (env != NULL && file != NULL) {
        snprintf(path, sizeof path, "providers.%s", i->name);
        return load_fail(l, &file->origin, path, "key_env and key_file are both given; keep one");
    }
    if (env != NULL && !way_key_from_env(l, env, env->value.text, &p->key))
        return false;
    if (file != NULL && !way_key_from_file(l, file, &p->key))
        return false;
    if (env == NULL || p->key != NULL)
        return true;
    if (is_local(w, i->name))
        return load_warn(
            l, "providers.%s: the variable %s is not set; the provider is asked without a key",
            i->name, env->value.text);
    i->left_out = arena_printf(l->arena, "the variable %s is not set", env->value.text);
    return i->left_out != NULL || load_oom(l);
}

/*
 * The engine's key is made here and not read: it keeps other users of the machine from the engine's socket.
 * It must stay the same while the engine runs, over every reload, so it lives as long as the process.
 */
static struct {
    pthread_mutex_t lock;
    struct {
        char name[64], key[33];
    } rows[PROVIDERS_MAX];
    size_t n;
} engine_keys = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool random_key(char out[33])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    if (!rng_secret(bytes, sizeof bytes))
        return false;
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[32] = '\0';
    mem_wipe(bytes, sizeof bytes);
    return true;
}

static bool engine_key(const char *name, char out[33])
{
    size_t i = 0;
    bool ok = true;

    pthread_mutex_lock(&engine_keys.lock);
    while (i < engine_keys.n && strcmp(engine_keys.rows[i].name, name) != 0)
        i++;
    if (i == engine_keys.n) {
        ok = i < PROVIDERS_MAX && random_key(engine_keys.rows[i].key);
        if (ok) {
            snprintf(engine_keys.rows[i].name, sizeof engine_keys.rows[i].name, "%s", name);
            engine_keys.n++;
        }
    }
    if (ok)
        memcpy(out, engine_keys.rows[i].key, 33);
    pthread_mutex_unlock(&engine_keys.lock);
    return ok;
}

void config_forget(void)
{
    pthread_mutex_lock(&engine_keys.lock);
    mem_wipe(engine_keys.rows, sizeof engine_keys.rows);
    engine_keys.n = 0;
    pthread_mutex_unlock(&engine_keys.lock);
    privacy_forget();
}

/* Cores less one: ggml's threads spin at barriers, and any other busy process would stop them all. */
static int64_t engine_threads(const char *model)
{
    struct stat st;
    cpu_set_t cores;
    if (stat(model, &st) != 0 || st.st_size < 100 * 1000 * 1000)
        return 1;
    int n = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return n > 1 ? n - 1 : 1;
}

static bool build_engine(struct load *l, const struct instance *i, struct provider *p)
{
    char key[33], path[96];
    if (!engine_key(i->name, key))
        return load_fail(l, &i->origin, i->name,
                         "no random numbers for the engine's key, or more than %d "
                         "engines in the life of this process",
                         PROVIDERS_MAX);
    bool ok = way_keep_secret(l, (strv){key, 32}, &p->key);
    mem_wipe(key, sizeof key);
    if (!ok)
        return false;
    p->spawn.socket = arena_printf(l->arena, "%s/engine-%s%s.sock", l->whole->config.runtime_dir,
                                   i->name, l->source->other_side ? ".b" : "");
    if (p->spawn.socket == NULL)
        return load_oom(l);
    snprintf(path, sizeof path, "providers.%s", i->name);
    if (strlen(p->spawn.socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return load_fail(l, origin_of(l->whole, "runtime_dir", NULL), path,
                         "the engine's socket %.60s... has too long a path; shorten runtime_dir",
                         p->spawn.socket);
    p->upstream.unix_path = p->spawn.socket;
    if (p->spawn.threads == 0)
        p->spawn.threads = engine_threads(p->spawn.model);
    return true;
}

/* ---- one provider ---- */

/* `several`: the cell's name has the place in it. */
static bool find_cell(struct load *l, const struct instance *i, bool several, struct provider *p)
{
    const struct setting *s = addresses_of(l->whole, i);
    const char *name =
        several ? arena_printf(l->arena, "%s#%u", i->name, p->instance + 1) : i->name;
    if (name == NULL)
        return load_oom(l);
    p->cell = provider_cell_get(name, s != NULL ? address_of(s, p->instance) : "llama-server");
    if (p->cell == NULL)
        return load_fail(
            l, &i->origin, i->name,
            "no memory, or more than %d different providers in the life of this process",
            PROVIDERS_MAX);
    return true;
}

static const struct dialect *dialect_of(enum provider_kind kind)
{
    static const enum llm_dialect dialects[PROVIDER_KINDS] = {[PROVIDER_OPENAI] = LLM_OPENAI,
                                                              [PROVIDER_OLLAMA] = LLM_OLLAMA,
                                                              [PROVIDER_ANTHROPIC] = LLM_ANTHROPIC,
                                                              [PROVIDER_LLAMA_SERVER] = LLM_OPENAI};
    return dialect_get(dialects[kind]);
}

static void apply_settings(struct load *l, const struct instance *i, struct provider *p)
{
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next) {
        if (is_provider_row(s->option) && strcmp(s->name, i->name) == 0)
            setting_apply(s, l->whole, p);
    }
}

/* A cloud provider that policy rules out does not exist: it is not even parsed further than its zone. */
static void leave_out(const struct whole *w, struct instance *i)
{
    if (is_local(w, i->name))
        return;
    if (w->snapshot.policy.airgap)
        i->left_out = "airgap is on";
    else if (w->snapshot.policy.mode == LLM_MODE_LOCAL)
        i->left_out = "mode is local";
}

static bool build_claims(struct load *l, const struct instance *i, struct provider *p)
{
    const struct setting *s = setting_get(l->whole, "providers.*.capabilities", i->name);
    if (s == NULL)
        return true;
    struct provider_claim *claims = ARENA_ARRAY(l->arena, struct provider_claim, s->value.n_items);
    if (claims == NULL)
        return load_oom(l);
    p->claims = claims;
    for (; p->n_claims < s->value.n_items; p->n_claims++)
        (void)provider_claim_parse(strv_of(s->value.items[p->n_claims]), l->arena,
                                   &claims[p->n_claims]); /* the option's form was checked */
    return !l->arena->failed || load_oom(l);
}

static bool check_reply_max(struct load *l, const struct instance *i, const struct provider *p)
{
    char path[96];
    if (p->limits.reply_bytes_max < l->whole->config.server.reply_pending_max)
        return true;
    snprintf(path, sizeof path, "providers.%s.reply_max", i->name);
    return load_fail(l, origin_of(l->whole, "providers.*.reply_max", i->name), path,
                     "must be smaller than server.max_unsent");
}

/* A copy of the row for every address; without several there are none, and the row has the cell. */
static bool build_instances(struct load *l, const struct instance *i, struct provider *p)
{
    const struct setting *s = setting_get(l->whole, "providers.*.urls", i->name);
    char path[96];
    snprintf(path, sizeof path, "providers.%s.urls", i->name);
    if (s == NULL || s->value.n_items < 2)
        return find_cell(l, i, false, p);
    struct provider *rows = ARENA_ARRAY(l->arena, struct provider, s->value.n_items);
    if (rows == NULL)
        return load_oom(l);
    for (unsigned n = 0; n < s->value.n_items; n++) {
        rows[n] = *p;
        rows[n].instance = n;
        rows[n].upstream.tls = NULL;
        if ((n > 0 && (!build_url(l, i, n, &rows[n]) || !build_way(l, i, &rows[n]))) ||
            !find_cell(l, i, true, &rows[n]))
            return false;
        if (n == 0)
            rows[n].upstream = p->upstream;
        for (unsigned k = 0; k < n; k++)
            if (rows[k].cell == rows[n].cell || strcmp(s->value.items[k], s->value.items[n]) == 0)
                return load_fail(l, &s->origin, path, "an address stands twice");
    }
    p->cell = rows[0].cell;
    p->instances = rows;
    p->n_instances = s->value.n_items;
    return true;
}

static bool build_one(struct load *l, struct instance *i, struct provider *p)
{
    static const char *const no_models[] = {NULL};
    struct whole *w = l->whole;

    *p = (struct provider){
        .name = i->name, .index = w->snapshot.n_providers, .static_models = no_models};
    p->spawn.args = no_models;
    if (!find_kind(l, i) || !check_kinds(l, i) || !fill_defaults(l, i) ||
        (i->kind == PROVIDER_LLAMA_SERVER && !engine_defaults(l, i)) || !build_url(l, i, 0, p))
        return false;
    leave_out(w, i);
    if (i->left_out == NULL && !build_key(l, i, p))
        return false;
    if (i->left_out != NULL)
        return true;
    apply_settings(l, i, p);
    p->dialect = dialect_of(p->kind);
    p->upstream.connect_ms = p->limits.connect_ms;
    if (p->default_model == NULL)
        p->default_model = p->spawn.alias != NULL ? p->spawn.alias : p->static_models[0];
    if (i->kind == PROVIDER_LLAMA_SERVER && !build_engine(l, i, p))
        return false;
    return check_reply_max(l, i, p) && build_claims(l, i, p) && build_way(l, i, p) &&
           build_instances(l, i, p);
}

/* ---- all of them ---- */

/* Without a file the local servers are known by name only ("ollama" in a Compose file), and nobody said
 * where they may be: private networks, then, and the operator is told. */
static bool usual_networks(struct load *l)
{
    static const char *const private[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                          "fc00::/7"};
    const struct option *o = option_row("local_networks");
    strv items[4];
    bool beyond = false;

    for (const struct instance *i = l->whole->instances; i != NULL; i = i->next) {
        const struct setting *url = setting_get(l->whole, "providers.*.url", i->name);
        beyond |= url != NULL && url->origin.from == FROM_ENVIRONMENT &&
                  !strv_contains_nocase(strv_of(url->value.text), STRV("//127.")) &&
                  !strv_contains_nocase(strv_of(url->value.text), STRV("//localhost")) &&
                  !strv_contains_nocase(strv_of(url->value.text), STRV("//[::1]")) &&
                  !strv_starts(strv_of(url->value.text), STRV("unix:"));
    }
    if (!beyond)
        return true;
    for (size_t n = 0; n < 4; n++)
        items[n] = strv_of(private[n]);
    return setting_put(l, o, NULL, items, 4,
                       &(struct origin){.from = FROM_MADE_UP,
                                        .text = "private networks, without a file"}) &&
           load_warn(
               l,
               "no local_networks are given: all private networks count as local, since an address "
               "comes from the environment; set LLM_ROUTER_LOCAL_NETWORKS to narrow it");
}

static bool find_networks(struct load *l)
{
    static const char *const none[] = {NULL};
    const struct setting *s = setting_get(l->whole, "local_networks", NULL);
    if (s == NULL && !l->have_file) {
        if (!usual_networks(l))
            return false;
        s = setting_get(l->whole, "local_networks", NULL);
    }
    l->whole->networks = s != NULL ? s->value.items : none;
    return true;
}

/* What policy sees of them. */
static bool build_policy_rows(struct load *l)
{
    struct snapshot *s = &l->whole->snapshot;
    s->policy_providers = ARENA_ARRAY(l->arena, struct policy_provider, s->n_providers);
    if (s->policy_providers == NULL)
        return load_oom(l);
    for (size_t n = 0; n < s->n_providers; n++) {
        const struct provider *p = &s->providers[n];
        s->policy_providers[n] = (struct policy_provider){.name = p->name,
                                                          .local = p->zone == ZONE_LOCAL,
                                                          .can = provider_can(p),
                                                          .default_model = p->default_model};
    }
    return true;
}

static bool none_left(struct load *l)
{
    const struct instance *i = l->whole->instances;
    const struct origin at = i != NULL ? i->origin : nowhere;
    if (i == NULL)
        return load_fail(l, &at, "providers", "there is none");
    return load_fail(l, &at, "providers", "none is left: %s is a cloud provider and %s", i->name,
                     i->left_out);
}

bool providers_build(struct load *l)
{
    struct whole *w = l->whole;
    struct snapshot *s = &w->snapshot;

    if (!find_networks(l))
        return false;
    s->providers = ARENA_ARRAY(l->arena, struct provider, w->n_instances + 1);
    if (s->providers == NULL)
        return load_oom(l);
    for (struct instance *i = w->instances; i != NULL; i = i->next) {
        struct provider *p = &s->providers[s->n_providers];
        if (!build_one(l, i, p))
            return false;
        if (i->left_out == NULL) {
            s->n_providers++;
        } else if (!load_warn(l, "the cloud provider %s is left out: %s", i->name, i->left_out)) {
            return false;
        }
    }
    if (s->n_providers == 0)
        return none_left(l);
    return build_policy_rows(l);
}
