/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - from a request to an ordered list of targets, by the rules of order.def in their order.
 *
 *   confine   airgap, privacy, mode, key      all of them hold, whatever is chosen
 *   choose    provider, model, class, default the first that fits gives the list; its entries become targets
 *             (candidates.c), each through one gate that asks what was confined and what the model can do (fit.c)
 *   arrange   cloud first, fallback           what was chosen changes places or is cut
 *
 * A normal case: `auto`, the class has a route, its targets are the plan. A bad case: everything the list holds
 * is forbidden; another list is tried if nobody chose this one, else the notes that the gate took decide which
 * error it is (refusal.c). Every rule that had a say leaves a step in the plan, so a plan explains itself.
 */
#include "policy/internal.h"

enum effect {
    PASSES, /* does not apply */
    HOLDS,  /* it does, and the next one is asked, too */
    CHOOSES,
    REFUSES /* with run->err */
};

/* ---- what confines ---- */

static void stay_home(struct run *run, const char *why)
{
    run->local_only = true;
    if (run->local_why == NULL)
        run->local_why = why;
}

static enum effect by_private(struct run *run)
{
    const struct privacy_verdict *v = run->facts->verdict;
    bool said = run->r->private_hint || strv_eq(run->r->task, STRV("privacy_sensitive"));
    if (!said && v != NULL && !v->is_private) /* what nobody has judged is private */
        return PASSES;
    run->plan->is_private = true;
    stay_home(run, "private");
    return HOLDS;
}

static enum effect by_airgap(struct run *run)
{
    if (!run->conf->airgap)
        return PASSES;
    stay_home(run, "airgap");
    return HOLDS;
}

static enum effect by_mode(struct run *run)
{
    run->mode = run->conf->mode == LLM_MODE_UNSET ? LLM_MODE_HYBRID : run->conf->mode;
    if (run->mode != LLM_MODE_LOCAL)
        return PASSES;
    stay_home(run, "mode local");
    return HOLDS;
}

/* A caller who asks for local only means this request; what the operator demands of all requests is no verdict
 * about this one. */
static enum effect by_caller(struct run *run)
{
    enum llm_mode wish = run->r->mode;
    if (wish == LLM_MODE_LOCAL) {
        run->plan->is_private = true;
        stay_home(run, "mode local");
    }
    if (wish == LLM_MODE_UNSET || wish >= run->mode)
        return wish == LLM_MODE_LOCAL ? HOLDS : PASSES;
    run->mode = wish;
    return HOLDS;
}

static const struct policy_rules *key_rules(const struct run *run)
{
    static const struct policy_rules none;
    return run->facts->key != NULL ? &run->facts->key->rules : &none;
}

static enum effect by_key_private(struct run *run)
{
    if (!key_rules(run)->force_private)
        return PASSES;
    run->plan->is_private = true;
    stay_home(run, "private");
    return HOLDS;
}

/* As the operator's own mode, no verdict about this request. */
static enum effect by_key_mode(struct run *run)
{
    enum llm_mode mode = key_rules(run)->mode;
    if (mode == LLM_MODE_UNSET || mode >= run->mode)
        return PASSES;
    run->mode = mode;
    if (mode == LLM_MODE_LOCAL)
        stay_home(run, "the key's mode is local");
    return HOLDS;
}

/* A name that the key may ask for may lead wherever it leads; of another one only what the key may ask for by
 * itself is left. */
static enum effect by_key_models(struct run *run)
{
    const struct policy_rules *rules = key_rules(run);
    if (rules->models[0] == '\0')
        return PASSES;
    strv name = run->name.len > 0 ? run->name : STRV("auto");
    bool named = run->r->provider.len == 0 || strv_eq(run->r->provider, STRV("auto"));
    if (named && policy_rules_model(rules, name))
        return PASSES;
    run->key_models = rules;
    return HOLDS;
}

/* ---- what chooses: a provider ---- */

/* What the caller's name stands for at this provider. */
static const struct policy_list *provider_list(struct run *run, strv model)
{
    const struct policy_list *list = NULL;
    if (model.len > 0)
        list = find_role(run, model) != NULL ? find_role(run, model) : find_alias(run, model);
    return list == NULL && is_known_role(model) ? default_role(run) : list;
}

static enum effect choose_provider(struct run *run, size_t i, strv model)
{
    const struct policy_facts *f = run->facts;
    struct policy_plan *plan = run->plan;
    struct policy_model known;
    struct policy_name name;
    bool found = true;
    run->only = (int)i;
    plan->explicit_choice = true;
    plan->reason = "explicit provider";
    policy_name_parse(f->providers, f->n_providers, model, run->arena, &name);
    if (name.provider != NULL &&
        find_provider(f->providers, i + 1, strv_of(name.provider)) == (int)i)
        model = strv_of(name.model); /* the provider named twice */
    const struct policy_list *list = provider_list(run, model);
    if (model.len == 0) {
        add_default(run, i, "explicit provider");
        if (plan->n == 0) /* its default is not known: what the roles ask it for */
            walk_default(run);
    } else if (list != NULL && !owns(run, i, model, &known))
        walk(run, list, NULL, arena_printf(run->arena, "explicit provider, %s", list->name));
    else
        found = add_named(run, i, model, "explicit");
    if (plan->n > 1)
        plan->n = 1;
    run->only = -1;
    if (plan->n > 0)
        return CHOOSES;
    (void)(found ? nothing_left(run, model) : not_found(run, model));
    return REFUSES;
}

static enum effect by_provider(struct run *run)
{
    const struct policy_facts *f = run->facts;
    strv provider = strv_trim(run->r->provider);
    if (provider.len == 0 || strv_eq(provider, STRV("auto")))
        return PASSES;
    int i = find_provider(f->providers, f->n_providers, provider);
    if (i >= 0)
        return choose_provider(run, (size_t)i, run->name);
    provider = utf8_cut(provider, 64);
    err_field(run->err, LLM_ERR_PROVIDER_UNKNOWN, "provider",
              "The provider '" STRV_FMT "' does not exist.", STRV_ARG(provider));
    return REFUSES;
}

/* ---- what chooses: a model's name ---- */

static enum effect choose_list(struct run *run, const struct policy_list *list, const char *kind)
{
    if (list == NULL || run->name.len == 0)
        return PASSES;
    run->plan->reason = arena_printf(run->arena, "%s %s", kind, list->name);
    walk(run, list, NULL, run->plan->reason);
    return CHOOSES;
}

static enum effect by_role(struct run *run)
{
    return choose_list(run, find_role(run, run->name), "role");
}

static enum effect by_alias(struct run *run)
{
    return choose_list(run, find_alias(run, run->name), "alias");
}

static enum effect by_target(struct run *run)
{
    const struct policy_facts *f = run->facts;
    struct policy_name parsed;
    if (run->name.len == 0)
        return PASSES;
    policy_name_parse(f->providers, f->n_providers, run->name, run->arena, &parsed);
    if (parsed.provider == NULL)
        return PASSES;
    int i = find_provider(f->providers, f->n_providers, strv_of(parsed.provider));
    return choose_provider(run, (size_t)i, strv_of(parsed.model));
}

static enum effect by_listed(struct run *run)
{
    if (run->name.len == 0 || !add_listed(run, run->name, "listed by provider"))
        return PASSES;
    run->plan->reason = "model listed by provider";
    run->plan->explicit_choice = true;
    return CHOOSES;
}

static enum effect by_unfilled(struct run *run)
{
    if (!walk_unfilled(run, run->name, NULL, "model"))
        return PASSES;
    run->plan->reason =
        arena_printf(run->arena, "role " STRV_FMT ", the default one", STRV_ARG(run->name));
    return CHOOSES;
}

static enum effect by_rest(struct run *run)
{
    const struct policy_conf *conf = run->conf;
    return choose_list(run, find_list(conf->aliases, conf->n_aliases, STRV("*")), "alias");
}

static enum effect by_unknown(struct run *run)
{
    if (run->name.len == 0)
        return PASSES;
    not_found(run, run->name);
    return REFUSES;
}

/* ---- what chooses: the class, for `auto` ---- */

/* Nobody chose this list: when nothing of it may or can be asked, the next rule is. */
static enum effect try_list(struct run *run, const struct policy_list *list, const char *why)
{
    if (list == NULL)
        return PASSES;
    walk(run, list, NULL, why);
    return run->plan->n > 0 ? CHOOSES : HOLDS;
}

static enum effect by_embedding(struct run *run)
{
    bool vectors = run->r->op == LLM_OP_EMBED || run->r->op == LLM_OP_EMBED_1;
    return vectors ? try_list(run, find_role(run, STRV("embedding")), "role embedding") : PASSES;
}

static enum effect by_hint(struct run *run)
{
    run->class = task_find(run->r->task);
    if (run->class == NULL)
        return PASSES;
    run->plan->reason = arena_printf(run->arena, "hint task=%s", run->class);
    return HOLDS;
}

static enum effect by_class(struct run *run)
{
    const struct classify_result *c = run->facts->classified;
    if (run->class != NULL || c == NULL)
        return PASSES;
    if (c->sure) {
        run->class = policy_tasks[c->task];
        run->plan->reason = arena_printf(run->arena, "class=%s", run->class);
    } else {
        run->plan->reason = "auto, not sure of the class";
    }
    return HOLDS;
}

static enum effect by_route(struct run *run)
{
    const struct policy_conf *conf = run->conf;
    if (run->class == NULL)
        return PASSES;
    return try_list(run, find_list(conf->routes, conf->n_routes, strv_of(run->class)),
                    arena_printf(run->arena, "task %s", run->class));
}

/* Who serves a class that has no route. */
static const char *task_role(const char *task)
{
    static const struct {
        const char *task, *role;
    } rows[] = {
        {"simple_query", "fast"},    {"explanation", "general"}, {"documentation", "general"},
        {"code_generation", "code"}, {"tool_calling", "tools"},  {"multi_step", "reasoning"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(task, rows[i].task) == 0)
            return rows[i].role;
    return NULL;
}

static enum effect by_task_role(struct run *run)
{
    const char *role = run->class != NULL ? task_role(run->class) : NULL;
    const struct policy_list *list = role != NULL ? find_role(run, strv_of(role)) : NULL;
    if (list == NULL || list == default_role(run))
        return PASSES;
    return try_list(run, list, arena_printf(run->arena, "task %s, role %s", run->class, role));
}

static enum effect by_default(struct run *run)
{
    if (run->plan->reason == NULL)
        run->plan->reason = "auto";
    walk_default(run);
    return CHOOSES;
}

/* ---- what arranges ---- */

static enum effect by_cloud_mode(struct run *run)
{
    bool wanted = run->mode == LLM_MODE_CLOUD && !run->plan->explicit_choice;
    return wanted && cloud_first(run) ? HOLDS : PASSES;
}

static bool is_hard(const struct run *run)
{
    const struct classify_result *c = run->facts->classified;
    if (c == NULL || run->class == NULL) /* what it is, is not sure */
        return false;
    return run->conf->complexity_set ? c->complexity >= run->conf->complexity_min
                                     : c->needs_cloud >= 0.5f;
}

static enum effect by_hard(struct run *run)
{
    bool open = run->mode == LLM_MODE_HYBRID && !run->local_only;
    bool is_auto = run->name.len == 0 && !run->plan->explicit_choice;
    return open && is_auto && is_hard(run) && cloud_first(run) ? HOLDS : PASSES;
}

static enum effect by_others(struct run *run)
{
    const struct policy_rules *rules = key_rules(run);
    if (!run->plan->explicit_choice || !run->conf->explicit_fallback)
        return PASSES;
    if (rules->models[0] != '\0' && !policy_rules_model(rules, STRV("auto")))
        run->key_models = rules; /* nobody asked for these by name */
    walk_default(run);
    return HOLDS;
}

/* The first choice says which side is home. */
static enum effect by_border(struct run *run)
{
    struct policy_plan *plan = run->plan;
    size_t n = plan->n;
    bool near = n > 0 && is_near(run, 0);
    if (n == 0 || (near ? run->conf->fallback_to_cloud : run->conf->fallback_to_local))
        return PASSES;
    keep_side(run, near ? "fallback_to_cloud is off" : "fallback_to_local is off");
    return plan->n < n ? HOLDS : PASSES;
}

static enum effect by_alone(struct run *run)
{
    if (run->conf->fallback || run->plan->n <= 1)
        return PASSES;
    run->plan->n = 1;
    return HOLDS;
}

/* ---- the run ---- */

const struct policy_order policy_orders[POLICY_ORDERS] = {
#define POLICY_ORDER(id, name, rank, function, looks_at, does)                                     \
    {name, POLICY_RANK_##rank, looks_at, does},
#include "policy/order.def"
#undef POLICY_ORDER
};

static enum effect (*const functions[POLICY_ORDERS])(struct run *run) = {
#define POLICY_ORDER(id, name, rank, function, looks_at, does) function,
#include "policy/order.def"
#undef POLICY_ORDER
};

const char *policy_rank_name(enum policy_rank rank)
{
    static const char *const names[] = {"safety", "key",     "provider", "model",
                                        "class",  "default", "order"};
    return names[rank];
}

static enum effect apply(struct run *run, enum policy_by by)
{
    struct policy_plan *plan = run->plan;
    enum effect effect = functions[by](run);
    if (effect != PASSES)
        plan->steps[plan->n_steps++] = by;
    return effect;
}

/* Every rule of these ranks until one chooses. */
static enum effect apply_ranks(struct run *run, enum policy_rank first, enum policy_rank last)
{
    enum effect effect = PASSES;
    for (unsigned i = 0; i < POLICY_ORDERS && effect < CHOOSES; i++)
        if (policy_orders[i].rank >= first && policy_orders[i].rank <= last)
            effect = apply(run, (enum policy_by)i);
    return effect;
}

static bool plan_by_rules(struct run *run)
{
    if (apply_ranks(run, POLICY_RANK_SAFETY, POLICY_RANK_KEY) == REFUSES)
        return false;
    if (apply_ranks(run, POLICY_RANK_PROVIDER, POLICY_RANK_DEFAULT) == REFUSES)
        return false;
    if (run->plan->n == 0)
        return nothing_left(run, run->name);
    return apply_ranks(run, POLICY_RANK_ORDER, POLICY_RANK_ORDER) != REFUSES;
}

/* What is reported, sure or not: statistics have a class for every request. */
static strv task_of(const struct policy_facts *facts, const struct llm_request *r)
{
    const char *said = task_find(r->task);
    if (said != NULL)
        return strv_of(said);
    return facts->classified != NULL ? strv_of(policy_tasks[facts->classified->task]) : STRV_NONE;
}

bool policy_run(const struct policy_facts *facts, const struct llm_request *r, struct arena *arena,
                struct policy_plan *out, struct err *err)
{
    struct run run = {.facts = facts,
                      .conf = facts->conf,
                      .r = r,
                      .arena = arena,
                      .plan = out,
                      .err = err,
                      .name = strv_trim(r->model),
                      .only = -1,
                      .tokens_low = -1};
    *out = (struct policy_plan){.task = task_of(facts, r)};
    if (strv_eq_nocase(run.name, STRV("auto")))
        run.name = STRV_NONE;
    if (r->task.len > 0 && task_find(r->task) == NULL &&
        !strv_eq(r->task, STRV("privacy_sensitive")))
        return task_refuse(err);
    bool ok = plan_by_rules(&run);
    if (arena->failed)
        return err->set ? false : err_oom(err);
    return ok;
}
