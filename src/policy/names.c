/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names - what a name stands for: a provider, a role, an alias, exact or by its pattern.
 *
 * An exact name goes before a pattern, and a role before both. "*" alone is no pattern among others: it stands
 * for names that nobody knows, so it must not hide one that somebody does.
 */
#include "policy/internal.h"

int find_provider(const struct policy_provider *providers, size_t n, strv name)
{
    for (size_t i = 0; i < n; i++)
        if (strv_eq_cstr(name, providers[i].name))
            return (int)i;
    return -1;
}

void policy_name_parse(const struct policy_provider *providers, size_t n, strv text,
                       struct arena *arena, struct policy_name *out)
{
    strv rest = text, head;
    *out = (struct policy_name){.text = arena_cstr(arena, text)};
    if (strv_cut(&rest, '/', &head) && rest.ptr != NULL && find_provider(providers, n, head) >= 0) {
        out->provider = arena_cstr(arena, head);
        out->model = rest.len > 0 ? arena_cstr(arena, rest) : NULL;
    } else {
        out->model = out->text;
    }
}

static bool in_lists(const struct policy_list *lists, size_t n, strv model)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < lists[i].n; k++)
            if (strv_eq_cstr(model, lists[i].names[k].model))
                return true;
    return false;
}

bool policy_names_model(const struct policy_conf *conf, strv model)
{
    return in_lists(conf->roles, conf->n_roles, model) ||
           in_lists(conf->routes, conf->n_routes, model) ||
           in_lists(conf->aliases, conf->n_aliases, model);
}

const struct policy_list *find_list(const struct policy_list *lists, size_t n, strv name)
{
    for (size_t i = 0; i < n; i++)
        if (strv_eq_cstr(name, lists[i].name))
            return &lists[i];
    return NULL;
}

const struct policy_list *find_role(const struct run *run, strv name)
{
    return find_list(run->conf->roles, run->conf->n_roles, name);
}

const struct policy_list *default_role(const struct run *run)
{
    return run->conf->default_role != NULL ? find_role(run, strv_of(run->conf->default_role))
                                           : NULL;
}

bool is_known_role(strv name)
{
    static const char *const names[] = {"fast", "general",   "tools",
                                        "code", "reasoning", "embedding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

const struct policy_list *find_alias(const struct run *run, strv name)
{
    const struct policy_conf *conf = run->conf;
    const struct policy_list *exact = find_list(conf->aliases, conf->n_aliases, name);
    if (exact != NULL)
        return exact;
    for (size_t i = 0; i < conf->n_aliases; i++) {
        strv pattern = strv_of(conf->aliases[i].name);
        /* "*" alone stands for names nobody knows, so it must not hide those somebody does. */
        if (!strv_eq(pattern, STRV("*")) && strv_glob(pattern, name))
            return &conf->aliases[i];
    }
    return NULL;
}

bool policy_sure_parse(strv text, struct policy_sure *out)
{
    strv name;
    double n;
    if (!strv_cut(&text, '=', &name) || !strv_double(text, &n) || !(n >= 0 && n <= 1))
        return false;
    if (strv_eq_cstr(name, "mark"))
        out->mark = n;
    else if (strv_eq_cstr(name, "escalate"))
        out->escalate = n;
    else
        return false;
    return true;
}
