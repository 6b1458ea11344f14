/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings - the list of effective values, each with its origin; and how this folder says what is wrong.
 *
 * Sources are put one after the other, the strongest last. The place in the list is that of the first
 * mention, so that providers keep the order of the file.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/internal.h"

/* ---- errors and warnings ---- */

/* "llm-router.yaml:12:5: " */
static size_t print_where(const struct load *l, const struct origin *at, char *out, size_t size)
{
    int n = 0;
    switch (at->from) {
    case FROM_FILE:
        n = snprintf(out, size,
                     "%s:%zu:%zu: ", l->whole->config.path != NULL ? l->whole->config.path : "file",
                     at->line, at->column);
        break;
    case FROM_ENVIRONMENT:
        n = snprintf(out, size, "environment variable %s: ", at->text);
        break;
    case FROM_SET:
        n = snprintf(out, size, "--set: ");
        break;
    case FROM_DEFAULT:
    case FROM_MADE_UP:
        n = snprintf(out, size, "configuration: ");
        break;
    }
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

bool load_fail(struct load *l, const struct origin *at, const char *key, const char *format, ...)
{
    char text[sizeof l->err->text];
    size_t used = print_where(l, at, text, sizeof text / 2);
    if (key != NULL)
        used += (size_t)snprintf(text + used, sizeof text / 4, "%.100s: ", key);
    va_list ap;
    va_start(ap, format);
    vsnprintf(text + used, sizeof text - used, format, ap);
    va_end(ap);
    text[utf8_whole(strv_of(text))] = '\0';
    bool first = l->err != NULL && !l->err->set;
    err_at(l->err, 0, at->from == FROM_FILE ? at->line : 0, at->from == FROM_FILE ? at->column : 0,
           "%s", text);
    if (first && key != NULL) {
        strv field = utf8_cut(strv_of(key), sizeof l->err->field - 1);
        memcpy(l->err->field, field.ptr, field.len);
        l->err->field[field.len] = '\0';
    }
    return false;
}

bool load_oom(struct load *l)
{
    return err_oom(l->err);
}

bool load_warn(struct load *l, const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    text[utf8_whole(strv_of(text))] = '\0';
    struct config_warning *w = ARENA_NEW(l->arena, struct config_warning);
    if (w == NULL || (w->text = arena_cstr(l->arena, strv_of(text))) == NULL)
        return load_oom(l);
    *l->whole->warnings_end = w;
    l->whole->warnings_end = &w->next;
    return true;
}

void origin_print(const struct origin *o, struct buf *out)
{
    switch (o->from) {
    case FROM_DEFAULT:
        buf_put_cstr(out, "default");
        break;
    case FROM_FILE:
        buf_printf(out, "file line %zu", o->line);
        break;
    case FROM_ENVIRONMENT:
        buf_printf(out, "environment %s", o->text);
        break;
    case FROM_SET:
        buf_put_cstr(out, "command line");
        break;
    case FROM_MADE_UP:
        buf_put_cstr(out, o->text);
        break;
    }
}

/* ---- settings ---- */

const char *setting_path(const struct option *o, const char *name, char *out, size_t size)
{
    const char *star = strchr(o->path, '*');
    if (star == NULL)
        snprintf(out, size, "%s", o->path);
    else
        snprintf(out, size, "%.*s%s%s", (int)(star - o->path), o->path, name, star + 1);
    return out;
}

static bool same_name(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

struct setting *setting_find(const struct whole *w, const struct option *o, const char *name)
{
    for (struct setting *s = w->settings; s != NULL; s = s->next) {
        if (s->option == o && same_name(s->name, name))
            return s;
    }
    return NULL;
}

struct setting *setting_get(const struct whole *w, const char *path, const char *name)
{
    const struct option *o = option_row(path);
    assert(o != NULL);
    return setting_find(w, o, name);
}

static struct setting *setting_add(struct load *l, const struct option *o, const char *name)
{
    struct whole *w = l->whole;
    struct setting *s = ARENA_NEW(l->arena, struct setting);
    if (s == NULL)
        return NULL;
    s->option = o;
    if (name != NULL && (s->name = arena_cstr(l->arena, strv_of(name))) == NULL)
        return NULL;
    *w->settings_end = s;
    w->settings_end = &s->next;
    w->n_settings++;
    return s;
}

/* A stronger source takes a promise back? Not this one. */
static bool loosens(const struct setting *old, const struct value *value)
{
    return (old->option->flags & TIGHTEN) != 0 && old->value.number != 0 && value->number == 0;
}

bool setting_put(struct load *l, const struct option *o, const char *name, const strv *items,
                 size_t n, const struct origin *origin)
{
    char path[160], why[OPTION_WHY_MAX];
    struct value value;

    setting_path(o, name, path, sizeof path);
    if (!option_parse(o, items, n, l->arena, &value, why))
        return why[0] != '\0' ? load_fail(l, origin, path, "%s", why) : load_oom(l);
    struct setting *s = setting_find(l->whole, o, name);
    if (s != NULL && loosens(s, &value)) {
        struct buf old;
        buf_init(&old, 256);
        origin_print(&s->origin, &old);
        bool ok =
            load_warn(l, "%s: true from %.*s stands; false from a stronger source is not heeded",
                      path, (int)buf_len(&old), buf_view(&old).ptr);
        buf_fini(&old);
        return ok;
    }
    if (s != NULL) {
        s->instead_of = s->origin;
    } else {
        if (l->whole->n_settings >= CONFIG_SETTINGS_MAX)
            return load_fail(l, origin, path, "more than %d settings", CONFIG_SETTINGS_MAX);
        s = setting_add(l, o, name);
        if (s == NULL)
            return load_oom(l);
    }
    s->value = value;
    s->origin = *origin;
    return true;
}

bool setting_put_text(struct load *l, const struct option *o, const char *name, strv text,
                      const struct origin *origin)
{
    char path[160];
    size_t n;

    if (o->type != OPT_LIST)
        return setting_put(l, o, name, &text, 1, origin);
    strv *items = option_split(text, l->arena, &n);
    if (items == NULL) {
        if (l->arena->failed)
            return load_oom(l);
        return load_fail(l, origin, setting_path(o, name, path, sizeof path),
                         "expected a list: a, b or [\"a\", \"b\"]");
    }
    return setting_put(l, o, name, items, n, origin);
}

/* ---- providers that are mentioned ---- */

struct instance *instance_find(const struct whole *w, strv name)
{
    for (struct instance *i = w->instances; i != NULL; i = i->next) {
        if (strv_eq_cstr(name, i->name))
            return i;
    }
    return NULL;
}

struct instance *instance_put(struct load *l, strv name, const struct origin *origin)
{
    struct whole *w = l->whole;
    struct instance *i = instance_find(w, name);
    if (i != NULL)
        return i;
    if (w->n_instances >= PROVIDERS_MAX) {
        load_fail(l, origin, "providers", "more than %d providers", PROVIDERS_MAX);
        return NULL;
    }
    i = ARENA_NEW(l->arena, struct instance);
    if (i == NULL || (i->name = arena_cstr(l->arena, name)) == NULL) {
        load_oom(l);
        return NULL;
    }
    i->origin = *origin;
    *w->instances_end = i;
    w->instances_end = &i->next;
    w->n_instances++;
    return i;
}

/* ---- into the structs ---- */

static void store_number(void *at, size_t size, uint64_t v)
{
    switch (size) {
    case 1: {
        bool b = v != 0;
        memcpy(at, &b, 1);
        break;
    }
    case 4: {
        uint32_t u = (uint32_t)v;
        memcpy(at, &u, 4);
        break;
    }
    default:
        assert(size == 8);
        memcpy(at, &v, 8);
        break;
    }
}

void setting_apply(const struct setting *s, struct whole *w, struct provider *p)
{
    const struct option *o = s->option;
    char *base = o->place.where == IN_CONFIG     ? (char *)&w->config
                 : o->place.where == IN_SNAPSHOT ? (char *)&w->snapshot
                 : o->place.where == IN_PROVIDER ? (char *)p
                                                 : NULL;
    if (base == NULL)
        return;
    void *at = base + o->place.offset;
    if (o->type == OPT_TEXT)
        memcpy(at, &s->value.text, sizeof s->value.text);
    else if (o->type == OPT_LIST)
        memcpy(at, &s->value.items, sizeof s->value.items);
    else
        store_number(at, o->place.size, s->value.number);
}
