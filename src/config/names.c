/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names - roles, routes and aliases into what policy walks.
 *
 * Entries that name a provider that was left out are dropped: it does not exist. A list that is empty then
 * is left out too, and a role without a list means the default role. Where nobody says what the default
 * role is, it is every provider's default model, local ones first; that is made up here and printed like
 * anything else, so that what runs can be read.
 */
#include <stdio.h>

#include "config/internal.h"

#define LIST_MAX 64 /* as the table's largest list */

struct entries {
    strv items[LIST_MAX];
    size_t n;
};

/* ---- made-up lists ---- */

static bool add(struct load *l, struct entries *e, const char *provider, const char *model)
{
    const char *text = arena_printf(l->arena, "%s/%s", provider, model);
    if (text == NULL)
        return load_oom(l);
    for (size_t i = 0; i < e->n; i++) {
        if (strv_eq_cstr(e->items[i], text))
            return true;
    }
    if (e->n < LIST_MAX)
        e->items[e->n++] = strv_of(text);
    return true;
}

/* A provider's default model, and those that variables name as its spare ones. */
static bool add_provider(struct load *l, struct entries *e, const struct provider *p)
{
    if (!add(l, e, p->name, p->default_model != NULL ? p->default_model : ""))
        return false;
    for (const struct env_role *r = l->roles; r != NULL; r = r->next) {
        if (r->spare && strcmp(r->provider, p->name) == 0 && !add(l, e, p->name, r->model))
            return false;
    }
    return true;
}

static const char *first_provider(const struct load *l)
{
    const struct setting *s = setting_get(l->whole, "default_provider", NULL);
    return s != NULL && strcmp(s->value.text, "auto") != 0 ? s->value.text : NULL;
}

static bool add_defaults(struct load *l, struct entries *e)
{
    const struct snapshot *s = &l->whole->snapshot;
    const char *first = first_provider(l);
    for (size_t i = 0; first != NULL && i < s->n_providers; i++) {
        if (strcmp(s->providers[i].name, first) == 0 && !add_provider(l, e, &s->providers[i]))
            return false;
    }
    for (int zone = ZONE_LOCAL; zone <= ZONE_CLOUD; zone++) {
        for (size_t i = 0; i < s->n_providers; i++) {
            if (s->providers[i].zone == (enum provider_zone)zone &&
                !add_provider(l, e, &s->providers[i]))
                return false;
        }
    }
    return true;
}

static bool provider_is_there(const struct load *l, const char *name)
{
    const struct instance *i = instance_find(l->whole, strv_of(name));
    return i != NULL && i->left_out == NULL;
}

/* The list of a role for which nobody wrote one: what variables put first, then everyone's default. */
static bool make_up(struct load *l, const char *role)
{
    const struct option *o = option_row("roles.*");
    struct entries e = {.n = 0};
    const char *variable = NULL;

    if (setting_find(l->whole, o, role) != NULL)
        return true;
    for (const struct env_role *r = l->roles; r != NULL; r = r->next) {
        if (r->spare || strcmp(r->role, role) != 0 || !provider_is_there(l, r->provider))
            continue;
        if (!add(l, &e, r->provider, r->model))
            return false;
        variable = r->variable;
    }
    if (!add_defaults(l, &e))
        return false;
    struct origin at = {.from = FROM_MADE_UP, .text = "default: every provider's default model"};
    if (variable != NULL)
        at.text =
            arena_printf(l->arena, "environment %s, then every provider's default model", variable);
    if (at.text == NULL)
        return load_oom(l);
    return setting_put(l, o, role, e.items, e.n, &at);
}

static bool make_up_roles(struct load *l)
{
    if (!make_up(l, l->whole->snapshot.policy.default_role))
        return false;
    for (const struct env_role *r = l->roles; r != NULL; r = r->next) {
        if (!r->spare && provider_is_there(l, r->provider) && !make_up(l, r->role))
            return false;
    }
    return true;
}

/* A name of mcp.agents that leads nowhere else: the role for tools if there is one, else the default role. */
static bool make_up_agents(struct load *l)
{
    const struct whole *w = l->whole;
    const struct setting *agents = setting_get(w, "mcp.agents", NULL);
    const char *to =
        setting_get(w, "roles.*", "tools") != NULL ? "tools" : w->snapshot.policy.default_role;
    struct origin at = {.from = FROM_MADE_UP, .text = "default: what mcp.agents names"};
    for (size_t i = 0; w->config.mcp.n_servers > 0 && i < agents->value.n_items; i++) {
        const char *name = agents->value.items[i];
        strv item = strv_of(to);
        if (strpbrk(name, "*/") == NULL && setting_get(w, "roles.*", name) == NULL &&
            setting_get(w, "aliases.*", name) == NULL && strcmp(name, "auto") != 0 &&
            !setting_put(l, option_row("aliases.*"), name, &item, 1, &at))
            return false;
    }
    return true;
}

static bool check_default_provider(struct load *l)
{
    const struct setting *s = setting_get(l->whole, "default_provider", NULL);
    const char *first = first_provider(l);
    if (first == NULL || provider_is_there(l, first))
        return true;
    if (s->origin.from == FROM_FILE && instance_find(l->whole, strv_of(first)) == NULL)
        return load_fail(l, &s->origin, "default_provider", "there is no provider %s", first);
    return load_warn(l, "default_provider is not heeded: there is no provider %s", first);
}

/* ---- lists ---- */

/* Why the entry's provider is not there; NULL = it is, or the entry names none. */
static const char *left_out(const struct load *l, strv entry)
{
    strv rest = entry, provider;
    if (!strv_cut(&rest, '/', &provider) || rest.ptr == NULL)
        return NULL;
    const struct instance *i = instance_find(l->whole, provider);
    return i != NULL ? i->left_out : NULL;
}

static bool warn_entry(struct load *l, const struct setting *s, const char *entry)
{
    char path[280];
    setting_path(s->option, s->name, path, sizeof path);
    const char *why = left_out(l, strv_of(entry));
    if (why != NULL)
        return load_warn(l, "%s: %s is not used: %s", path, entry, why);
    if (strchr(entry, '/') == NULL && provider_is_there(l, entry) &&
        setting_get(l->whole, "roles.*", entry) == NULL)
        return load_warn(
            l, "%s: %s is taken for a model's name; for the provider's default model write %s/",
            path, entry, entry);
    return true;
}

static struct policy_sure sure_of(const struct load *l, const char *name)
{
    struct policy_sure sure = {0, 0};
    const struct setting *s = setting_get(l->whole, "confidence.*", name);
    for (size_t i = 0; s != NULL && i < s->value.n_items; i++)
        (void)policy_sure_parse(strv_of(s->value.items[i]), &sure); /* looked at before */
    return sure;
}

static bool build_list(struct load *l, const struct setting *s, struct policy_list *out)
{
    const struct snapshot *snap = &l->whole->snapshot;
    out->name = s->name;
    out->sure = sure_of(l, s->name);
    out->n = 0;
    out->names = ARENA_ARRAY(l->arena, struct policy_name, s->value.n_items);
    if (out->names == NULL)
        return load_oom(l);
    for (size_t i = 0; i < s->value.n_items; i++) {
        const char *text = s->value.items[i];
        if (!warn_entry(l, s, text))
            return false;
        if (left_out(l, strv_of(text)) != NULL)
            continue;
        policy_name_parse(snap->policy_providers, snap->n_providers, strv_of(text), l->arena,
                          &out->names[out->n++]);
        if (l->arena->failed)
            return load_oom(l);
    }
    return true;
}

static bool build_lists(struct load *l, const char *path, struct policy_list **lists, size_t *n)
{
    const struct option *o = option_row(path);
    size_t count = 0;

    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next)
        count += s->option == o;
    *n = 0;
    *lists = ARENA_ARRAY(l->arena, struct policy_list, count + 1);
    if (*lists == NULL)
        return load_oom(l);
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next) {
        if (s->option != o)
            continue;
        if (!build_list(l, s, &(*lists)[*n]))
            return false;
        if ((*lists)[*n].n != 0)
            ++*n;
        else if (!load_warn(l, "%.*s%s is left out: nothing of its list is there",
                            (int)(strlen(o->path) - 1), o->path, s->name))
            return false;
    }
    return true;
}

/* What is said of a list that does not exist would be taken for done. */
static bool check_confidence(struct load *l)
{
    static const char *const lists[] = {"roles.*", "routes.*", "aliases.*"};
    const struct option *o = option_row("confidence.*");
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next) {
        bool found = s->option != o;
        char path[280];
        for (size_t i = 0; !found && i < sizeof lists / sizeof *lists; i++)
            found = setting_get(l->whole, lists[i], s->name) != NULL;
        if (!found)
            return load_fail(l, &s->origin, setting_path(s->option, s->name, path, sizeof path),
                             "there is no role, route or alias %s", s->name);
    }
    return true;
}

static void build_threshold(const struct load *l, struct policy_conf *p)
{
    const struct setting *s = setting_get(l->whole, "complexity_threshold", NULL);
    double n = 2; /* never */
    p->complexity_set = strcmp(s->value.text, "auto") != 0;
    (void)strv_double(strv_of(s->value.text), &n);
    p->complexity_min = (float)n;
}

bool names_build(struct load *l)
{
    struct policy_conf *p = &l->whole->snapshot.policy;
    build_threshold(l, p);
    return check_default_provider(l) && make_up_roles(l) && make_up_agents(l) &&
           check_confidence(l) && build_lists(l, "roles.*", &p->roles, &p->n_roles) &&
           build_lists(l, "routes.*", &p->routes, &p->n_routes) &&
           build_lists(l, "aliases.*", &p->aliases, &p->n_aliases);
}
