/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment - variables into settings; and --set.
 *
 * Without a configuration file the variables make a complete configuration: the local servers that have an
 * address, Ollama at its usual place if none has, Anthropic if there is a key. With a file they change
 * options, and add or move local servers; they never add a cloud provider, and roles are the file's
 * business: who wrote a file without the cloud must not get it because of a variable that is there for some
 * other program.
 *
 * Values pass through Compose files: blanks around them are cut, and an empty one is not set.
 */
#include <stdio.h>

#include "config/internal.h"

enum use {
    USE_OPTION,
    USE_SECONDS,
    USE_URL,
    USE_KEY,
    USE_KEY_FILE,
    USE_FIRST,
    USE_SPARE,
    USE_FILE,
    USE_CLIENT,
    USE_FORMAT,
    USE_LATER,
    USE_THEIRS
};

struct variable {
    const char *name;
    enum use use;
    const char *target, *kind, *doc;
};

static const struct variable variables[] = {
#define VARIABLE(name, use, target, kind, doc) {name, USE_##use, target, kind, doc},
#include "config/variables.def"
#undef VARIABLE
};
#define VARIABLES (sizeof variables / sizeof *variables)

strv environment_get(const struct config_source *source, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; source->environment != NULL && source->environment[i] != NULL; i++) {
        const char *entry = source->environment[i];
        if (strncmp(entry, name, len) == 0 && entry[len] == '=') {
            strv value = strv_trim(strv_of(entry + len + 1));
            return value.len != 0 ? value : STRV_NONE;
        }
    }
    return STRV_NONE;
}

static struct origin from(const char *variable)
{
    return (struct origin){.from = FROM_ENVIRONMENT, .text = variable};
}

/* ---- two names for one thing ---- */

static bool same_value(strv a, strv b)
{
    bool va, vb;
    return strv_eq(a, b) || (option_bool(a, &va) && option_bool(b, &vb) && va == vb);
}

static bool same_thing(const struct variable *a, const struct variable *b)
{
    return a->use == b->use && a->target != NULL && b->target != NULL &&
           strcmp(a->target, b->target) == 0 &&
           (a->kind == NULL || b->kind == NULL || strcmp(a->kind, b->kind) == 0);
}

static bool disagree(struct load *l, const struct variable *a, const struct variable *b)
{
    strv va = environment_get(l->source, a->name), vb = environment_get(l->source, b->name);
    struct origin at = from(a->name);
    if (va.ptr == NULL || vb.ptr == NULL || same_value(va, vb))
        return false;
    va = utf8_cut(va, 60);
    vb = utf8_cut(vb, 60);
    load_fail(l, &at, NULL,
              "is \"" STRV_FMT "\", but %s is \"" STRV_FMT
              "\" and means the same; set one of them, or both alike",
              STRV_ARG(va), b->name, STRV_ARG(vb));
    return true;
}

static bool aliases_agree(struct load *l)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        for (size_t j = i + 1; j < VARIABLES; j++) {
            if (same_thing(&variables[i], &variables[j]) &&
                disagree(l, &variables[i], &variables[j]))
                return false;
        }
    }
    return true;
}

/* ---- what each use does ---- */

static bool put(struct load *l, const char *path, const char *name, strv text,
                const struct origin *at)
{
    return setting_put_text(l, option_row(path), name, text, at);
}

/* Nobody has said anything else about the provider's kind. */
static bool kind_is(const struct load *l, const char *name, const char *kind)
{
    enum provider_kind want;
    const struct setting *s = setting_get(l->whole, "providers.*.kind", name);
    return s == NULL ||
           (provider_kind_parse(strv_of(kind), &want) && s->value.number == (uint64_t)want);
}

static bool put_if_new(struct load *l, const char *path, const char *name, const char *text,
                       const struct origin *at)
{
    return setting_get(l->whole, path, name) != NULL || put(l, path, name, strv_of(text), at);
}

static bool take_url(struct load *l, const struct variable *v, strv value)
{
    struct origin at = from(v->name);
    if (!kind_is(l, v->target, v->kind))
        return load_warn(
            l, "%s is not used: the provider %s of the configuration file is not of kind %s",
            v->name, v->target, v->kind);
    /* A name such as "ollama" says nothing about where it is: the zone is claimed here, and checked when
     * the name is resolved. */
    return instance_put(l, strv_of(v->target), &at) != NULL &&
           put_if_new(l, "providers.*.kind", v->target, v->kind, &at) &&
           put_if_new(l, "providers.*.zone", v->target, "local", &at) &&
           put(l, "providers.*.url", v->target, value, &at);
}

static bool key_is_used(const struct load *l, const struct variable *v)
{
    for (const struct instance *i = l->whole->instances; i != NULL; i = i->next) {
        const struct setting *env = setting_get(l->whole, "providers.*.key_env", i->name);
        const struct setting *kind = setting_get(l->whole, "providers.*.kind", i->name);
        bool usual = env == NULL && kind != NULL && kind->value.number == PROVIDER_ANTHROPIC &&
                     setting_get(l->whole, "providers.*.key_file", i->name) == NULL;
        if (v->use == USE_KEY && (usual || (env != NULL && strcmp(env->value.text, v->name) == 0)))
            return true;
    }
    return false;
}

static bool take_key(struct load *l, const struct variable *v, strv value)
{
    struct origin at = from(v->name), usual = {.from = FROM_DEFAULT};
    if (l->have_file) /* providers.c reads it for who names it, and for nobody else */
        return key_is_used(l, v) ||
               load_warn(l, "%s is not used: no provider of the file names it", v->name);
    /* The model: the newest of the middle size, as of 2026-09. */
    if (instance_put(l, strv_of(v->target), &at) == NULL ||
        !put_if_new(l, "providers.*.kind", v->target, v->kind, &at) ||
        !put_if_new(l, "providers.*.default_model", v->target, "claude-sonnet-5-5", &usual))
        return false;
    if (v->use == USE_KEY_FILE)
        return put(l, "providers.*.key_file", v->target, value, &at);
    return put(l, "providers.*.key_env", v->target, strv_of(v->name), &at);
}

static bool take_role(struct load *l, const struct variable *v, strv value)
{
    struct origin at = from(v->name);
    if (l->file_roles)
        return load_warn(l, "%s is not used: the configuration file has its own roles", v->name);
    if (instance_find(l->whole, strv_of(v->kind)) == NULL)
        return load_warn(l, "%s is not used: there is no provider %s", v->name, v->kind);
    if (value.len > 100 || memchr(value.ptr, ' ', value.len) != NULL)
        return load_fail(l, &at, NULL, "expected a model's name");
    struct env_role *r = ARENA_NEW(l->arena, struct env_role);
    if (r == NULL || (r->model = arena_cstr(l->arena, value)) == NULL)
        return load_oom(l);
    r->role = v->target;
    r->provider = v->kind;
    r->variable = v->name;
    r->spare = v->use == USE_SPARE;
    *l->roles_end = r;
    l->roles_end = &r->next;
    return true;
}

/* "60.0" is sixty seconds. */
static bool add_unit(struct load *l, strv *value)
{
    double number;
    if (!strv_double(*value, &number))
        return true;
    const char *text = arena_printf(l->arena, STRV_FMT "s", STRV_ARG(*value));
    *value = strv_of(text);
    return text != NULL || load_oom(l);
}

static bool take_option(struct load *l, const struct variable *v, strv value)
{
    strv name;
    struct origin at = from(v->name);
    const struct option *o = option_find(strv_of(v->target), &name);
    const struct instance *i = name.ptr != NULL ? instance_find(l->whole, name) : NULL;

    if (name.ptr != NULL && i == NULL)
        return load_warn(l, "%s is not used: there is no provider " STRV_FMT, v->name,
                         STRV_ARG(name));
    if (v->use == USE_SECONDS && !add_unit(l, &value))
        return false;
    return setting_put_text(l, o, i != NULL ? i->name : NULL, value, &at);
}

static bool take(struct load *l, const struct variable *v, strv value)
{
    switch (v->use) {
    case USE_OPTION:
    case USE_SECONDS:
        return take_option(l, v, value);
    case USE_URL:
        return take_url(l, v, value);
    case USE_KEY:
    case USE_KEY_FILE:
        return take_key(l, v, value);
    case USE_FIRST:
    case USE_SPARE:
        return take_role(l, v, value);
    case USE_FORMAT:
        return strv_eq_nocase(value, STRV("json")) ||
               load_warn(l, "%s is not used: log lines are JSON always", v->name);
    case USE_LATER:
        return load_warn(l, "%s is not used yet", v->name);
    case USE_FILE:
    case USE_CLIENT:
    case USE_THEIRS:
        break;
    }
    return true;
}

/* ---- all of it ---- */

/* Providers first: what the others say depends on who is there. */
static bool comes_first(enum use use)
{
    return use == USE_URL || use == USE_KEY || use == USE_KEY_FILE;
}

static bool take_all(struct load *l, bool first)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        strv value = environment_get(l->source, variables[i].name);
        if (value.ptr != NULL && comes_first(variables[i].use) == first &&
            !take(l, &variables[i], value))
            return false;
    }
    return true;
}

static bool known(strv name)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        if (strv_eq_cstr(name, variables[i].name))
            return true;
    }
    return false;
}

static bool warn_unknown(struct load *l)
{
    for (size_t i = 0; l->source->environment != NULL && l->source->environment[i] != NULL; i++) {
        strv rest = strv_of(l->source->environment[i]), name;
        if (!strv_cut(&rest, '=', &name) || !strv_starts(name, STRV("LLM_")) || known(name))
            continue;
        name = utf8_cut(name, 80);
        if (!load_warn(l, "the environment variable " STRV_FMT " is not known", STRV_ARG(name)))
            return false;
    }
    return true;
}

/* Without any other local server, Ollama is looked for where it usually is. */
static bool usual_ollama(struct load *l)
{
    struct origin at = {.from = FROM_DEFAULT};
    for (size_t i = 0; l->source->set != NULL && l->source->set[i] != NULL; i++) {
        if (strv_starts(strv_of(l->source->set[i]), STRV("providers.")))
            return true;
    }
    for (const struct instance *i = l->whole->instances; i != NULL; i = i->next) {
        if (!kind_is(l, i->name, "anthropic"))
            return true;
    }
    return instance_put(l, STRV("ollama"), &at) != NULL &&
           put(l, "providers.*.kind", "ollama", STRV("ollama"), &at) &&
           put(l, "providers.*.url", "ollama", STRV("http://127.0.0.1:11434"), &at);
}

bool environment_take(struct load *l)
{
    if (!aliases_agree(l) || !take_all(l, true))
        return false;
    if (!l->have_file && !usual_ollama(l))
        return false;
    return take_all(l, false) && warn_unknown(l);
}

/* ---- the command line ---- */

/* The name behind the star, as something that lives as long as the configuration. */
static const char *set_name(struct load *l, const struct option *o, strv name,
                            const struct origin *at)
{
    char why[OPTION_WHY_MAX], section[32];
    snprintf(section, sizeof section, "%.*s", (int)strcspn(o->path, "."), o->path);
    if (!option_name_ok(strv_of(section), name, why)) {
        load_fail(l, at, section, "expected %s", why);
        return NULL;
    }
    if (strcmp(section, "providers") == 0) {
        const struct instance *i = instance_put(l, name, at);
        return i != NULL ? i->name : NULL;
    }
    const char *copy = arena_cstr(l->arena, name);
    if (copy == NULL)
        load_oom(l);
    return copy;
}

bool environment_set(struct load *l, const char *assignment)
{
    struct origin at = {.from = FROM_SET, .text = assignment};
    strv rest = strv_of(assignment), path, name;
    char hint[OPTION_WHY_MAX];
    const char *owned = NULL;

    if (!strv_cut(&rest, '=', &path) || rest.ptr == NULL)
        return load_fail(l, &at, NULL, "expected option=value");
    path = strv_trim(path);
    const struct option *o = option_find(path, &name);
    if (o == NULL) {
        option_hint((strv){"", 0}, path, hint, sizeof hint);
        path = utf8_cut(path, 60);
        return load_fail(l, &at, NULL, "unknown option \"" STRV_FMT "\"; %s", STRV_ARG(path), hint);
    }
    if (name.ptr != NULL && (owned = set_name(l, o, name, &at)) == NULL)
        return false;
    return setting_put_text(l, o, owned, strv_trim(rest), &at);
}

/* ---- documentation ---- */

bool config_manual_environment(struct buf *out)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        const struct variable *v = &variables[i];
        if (v->use == USE_CLIENT)
            continue; /* llm-router(1) has them */
        buf_printf(out, ".TP\n.B %s\n", v->name);
        if (v->use == USE_LATER)
            buf_put_cstr(out, "Not used yet. ");
        manual_text(out, strv_of(v->doc));
        buf_put_char(out, '\n');
    }
    return !out->failed;
}
