/* SPDX-License-Identifier: Apache-2.0 */
/*
 * candidates - lists into targets.
 *
 * A list is walked in order; its entries are roles again, providers, provider/model or models. Each candidate
 * passes add(), the one gate: what may not be asked (policy), cannot say it (needs), cannot hold it (context) or
 * is not there is noted as skipped, with the reason.
 *
 * The order of a list is the operator's and stays. Only providers that list one bare name are equals: of these
 * the first is the one whose window holds the request for sure, then the one that has the model in memory, then
 * the one with a free place, then the one with the fewest calls. Local ones change places with local ones only,
 * so that what is near and what is far, free and paid, stays as configured.
 */
#include "policy/internal.h"

#define ROLE_DEPTH_MAX 8 /* a role that names a role that names ... */

static void skip(struct run *run, const char *candidate, const char *why)
{
    struct policy_plan *plan = run->plan;
    if (plan->n_skips < POLICY_TARGETS_MAX && candidate != NULL)
        plan->skips[plan->n_skips++] = (struct policy_skip){candidate, why};
}

static const char *label(struct run *run, size_t provider, strv model)
{
    return arena_printf(run->arena, "%s/" STRV_FMT, run->facts->providers[provider].name,
                        STRV_ARG(model));
}

static bool is_planned(const struct policy_plan *plan, size_t provider, strv model)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->targets[i].provider == provider && strv_eq(plan->targets[i].model, model))
            return true;
    return false;
}

/* By its own name, with or without Ollama's ":latest", or as provider/model. */
static bool key_has(struct run *run, size_t i, strv model)
{
    strv bare = model, whole = strv_of(label(run, i, model));
    if (model.len > 7 && strv_eq(strv_from(model, model.len - 7), STRV(":latest")))
        bare.len -= 7;
    return policy_rules_model(run->key_models, model) ||
           policy_rules_model(run->key_models, bare) ||
           policy_rules_model(run->key_models, whole) ||
           policy_rules_model(run->key_models,
                              (strv){whole.ptr, whole.len - (model.len - bare.len)});
}

/* The gate every candidate passes. `model` has the provider's own spelling. */
static void add(struct run *run, size_t i, strv model, const struct policy_model *known,
                const char *why)
{
    const struct policy_provider *p = &run->facts->providers[i];
    struct policy_plan *plan = run->plan;
    if (run->only >= 0 && (size_t)run->only != i)
        return;
    if (run->local_only && (!p->local || known->remote)) {
        run->forbidden++;
        skip(run, label(run, i, model),
             arena_printf(run->arena, "%s, and it is in the cloud", run->local_why));
        return;
    }
    if (run->key_models != NULL && !key_has(run, i, model)) {
        run->barred++;
        skip(run, label(run, i, model), "the API key does not allow it");
        return;
    }
    const char *unable = inability(run, p, known);
    if (unable != NULL) {
        skip(run, label(run, i, model), unable);
        return;
    }
    if (run->arena->failed || plan->n == POLICY_TARGETS_MAX || is_planned(plan, i, model))
        return;
    run->known[plan->n] = *known;
    plan->targets[plan->n++] = (struct policy_target){i, model, why};
}

bool owns(struct run *run, size_t i, strv model, struct policy_model *known)
{
    const struct policy_facts *f = run->facts;
    *known = (struct policy_model){.exact = STRV_NONE, .warmth = POLICY_WARMTH_UNKNOWN};
    if (!f->has_model(f->arg, i, model, run->arena, known))
        return false;
    if (known->exact.ptr == NULL)
        known->exact = model;
    return true;
}

strv any_model(struct run *run, size_t i)
{
    return run->facts->any_model(run->facts->arg, i, run->arena);
}

static void add_unknown(struct run *run, size_t i, strv model)
{
    run->unknown++;
    skip(run, label(run, i, model), "its models are not known yet");
}

/* A model that the configuration or the caller names and no list confirms. Where it would be served is unknown
 * then, and unknown does not leave the premises. Neither does a name that only the caller has said: it may be any
 * text, and nobody reads what is sent as a model's name. */
static void add_unlisted(struct run *run, size_t i, strv model, struct policy_model *known,
                         const char *why)
{
    const struct policy_provider *p = &run->facts->providers[i];
    bool told = strv_eq_cstr(model, p->default_model) || policy_names_model(run->conf, model);
    if (known->remote && p->local && (run->local_only || !told)) {
        add_unknown(run, i, model);
        return;
    }
    if (!p->local && !run->local_only && !told) {
        run->hearsay++;
        skip(run, label(run, i, model), "only the caller names it, and it is in the cloud");
        return;
    }
    known->remote = false;
    add(run, i, arena_strv(run->arena, model), known, why);
}

void add_default(struct run *run, size_t i, const char *why)
{
    const struct policy_provider *p = &run->facts->providers[i];
    strv model = strv_of(p->default_model);
    struct policy_model known = {.warmth = POLICY_WARMTH_UNKNOWN};
    if (model.len == 0)
        model = any_model(run, i);
    if (run->only >= 0 && (size_t)run->only != i)
        return;
    if (model.len == 0 && run->local_only && !p->local)
        add(run, i, STRV(""), &known, why); /* forbidden, whatever its models */
    else if (model.len == 0)
        add_unknown(run, i, STRV("?"));
    else if (owns(run, i, model, &known))
        add(run, i, known.exact, &known, why);
    else
        add_unlisted(run, i, model, &known, why);
}

bool add_named(struct run *run, size_t i, strv model, const char *why)
{
    struct policy_model known;
    if (run->only >= 0 && (size_t)run->only != i)
        return true;
    if (owns(run, i, model, &known)) {
        add(run, i, known.exact, &known, why);
    } else if (any_model(run, i).len == 0) {
        add_unlisted(run, i, model, &known, why);
    } else {
        skip(run, label(run, i, model), "the provider does not list it");
        return false;
    }
    return true;
}

/* Is the a-th target a better choice than the b-th, of two that are otherwise equal? */
static bool is_better(struct run *run, size_t a, size_t b)
{
    const struct policy_model *x = &run->known[a], *y = &run->known[b];
    bool fits_x = is_sure_to_fit(run, x->context), fits_y = is_sure_to_fit(run, y->context);
    if (fits_x != fits_y)
        return fits_x;
    if (x->warmth != y->warmth)
        return x->warmth > y->warmth;
    if (x->full != y->full)
        return y->full;
    return x->calls < y->calls;
}

bool is_near(const struct run *run, size_t target)
{
    const struct policy_target *t = &run->plan->targets[target];
    return run->facts->providers[t->provider].local && !run->known[target].remote;
}

static void exchange_targets(struct run *run, size_t a, size_t b)
{
    struct policy_target target = run->plan->targets[a];
    struct policy_model known = run->known[a];
    run->plan->targets[a] = run->plan->targets[b];
    run->known[a] = run->known[b];
    run->plan->targets[b] = target;
    run->known[b] = known;
}

/* The targets from `first` on are equals: the best one first, others in the order they have. */
static void rank(struct run *run, size_t first)
{
    for (size_t i = first + 1; i < run->plan->n; i++) {
        size_t at = i;
        for (size_t k = i; k-- > first;) {
            if (is_near(run, k) != is_near(run, at))
                continue;
            if (!is_better(run, at, k))
                break;
            exchange_targets(run, k, at);
            at = k;
        }
    }
}

bool add_listed(struct run *run, strv model, const char *why)
{
    bool found = false;
    size_t first = run->plan->n;
    for (size_t i = 0; i < run->facts->n_providers; i++) {
        struct policy_model known;
        if (owns(run, i, model, &known)) {
            found = true;
            add(run, i, known.exact, &known, why);
        }
    }
    rank(run, first);
    return found;
}

static bool is_inside(const struct role_path *path, const struct policy_list *role)
{
    for (; path != NULL; path = path->outer)
        if (path->role == role)
            return true;
    return false;
}

bool walk_unfilled(struct run *run, strv name, const struct role_path *path, const char *why)
{
    const struct policy_list *role = default_role(run);
    if (!is_known_role(name) || find_role(run, name) != NULL || role == NULL ||
        is_inside(path, role) || (path != NULL && path->depth >= ROLE_DEPTH_MAX))
        return false;
    walk(
        run, role, path,
        arena_printf(run->arena, "%s, role " STRV_FMT " is the default role", why, STRV_ARG(name)));
    return true;
}

static void add_entry(struct run *run, const struct policy_name *name, const struct role_path *path,
                      const char *why)
{
    const struct policy_facts *f = run->facts;
    strv model = strv_of(name->model);
    if (name->provider != NULL) {
        int i = find_provider(f->providers, f->n_providers, strv_of(name->provider));
        if (i < 0)
            skip(run, name->text, "no such provider");
        else if (model.len == 0)
            add_default(run, (size_t)i, why);
        else
            add_named(run, (size_t)i, model, why);
        return;
    }
    const struct policy_list *role = find_role(run, model);
    int i = find_provider(f->providers, f->n_providers, model);
    if (role != NULL && !is_inside(path, role) && path->depth < ROLE_DEPTH_MAX)
        walk(run, role, path, arena_printf(run->arena, "%s, role %s", why, role->name));
    else if (i >= 0)
        add_default(run, (size_t)i, why);
    else if (!add_listed(run, model, why) && !walk_unfilled(run, model, path, why))
        skip(run, name->text, role != NULL ? "the role contains itself" : "no provider lists it");
}

/* The outermost list that says anything; of several lists, the one that gave the first target. */
static void note_sure(struct run *run, const struct policy_list *list, bool outermost)
{
    struct policy_sure *sure = &run->plan->sure;
    if (run->plan->n == 0 && (outermost || (sure->mark <= 0 && sure->escalate <= 0)))
        *sure = list->sure;
}

void walk(struct run *run, const struct policy_list *list, const struct role_path *outer,
          const char *why)
{
    struct role_path path = {list, outer, outer != NULL ? outer->depth + 1 : 0};
    if (why == NULL) /* memory refused; told at the end */
        return;
    note_sure(run, list, outer == NULL);
    for (size_t i = 0; i < list->n; i++)
        add_entry(run, &list->names[i], &path, why);
}

void walk_default(struct run *run)
{
    const struct policy_list *role = default_role(run);
    if (role != NULL) {
        walk(run, role, NULL, arena_printf(run->arena, "role %s", role->name));
        return;
    }
    for (size_t i = 0; i < run->facts->n_providers; i++)
        add_default(run, i, "no default role: every provider in order");
}

bool cloud_first(struct run *run)
{
    size_t n_far = 0;
    bool turned = false;
    for (size_t i = 0; i < run->plan->n; i++) {
        if (is_near(run, i))
            continue;
        for (size_t k = i; k > n_far; k--, turned = true)
            exchange_targets(run, k - 1, k);
        n_far++;
    }
    return turned;
}

void keep_side(struct run *run, const char *why)
{
    struct policy_plan *plan = run->plan;
    size_t kept = 1, n = plan->n;
    bool near = is_near(run, 0);
    for (size_t i = 1; i < n; i++) {
        const struct policy_target target = plan->targets[i];
        if (is_near(run, i) == near)
            exchange_targets(run, kept++, i);
        else
            skip(run, label(run, target.provider, target.model), why);
    }
    plan->n = kept;
}
