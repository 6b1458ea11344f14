/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan - who is asked: the list of targets, and the way down this list.
 *
 *   plan_first    judge, classify, pseudonyms?, list          once, when the exchange begins
 *   plan_make     the list again                              when it became private under way
 *   plan_next     the first target that is left
 *   plan_admit    a slot at one of the target's servers   plan_other_instance: another of them
 *
 * What the list is made of is policy/'s; what became of an attempt, and whether there is another, is exchange.c's.
 */
#include "exchange/exchange_int.h"

/* ---- the list ---- */

static bool has_model(void *arg, size_t i, strv model, struct arena *arena,
                      struct policy_model *out)
{
    static const enum policy_warmth warmth[] = {[PROVIDER_COLD] = POLICY_COLD,
                                                [PROVIDER_WARMTH_UNKNOWN] = POLICY_WARMTH_UNKNOWN,
                                                [PROVIDER_WARM] = POLICY_WARM};
    struct snapshot *s = arg;
    struct provider_facts facts;
    bool has = provider_model_facts(&s->providers[i], model, arena, &facts);
    *out = (struct policy_model){.exact = facts.exact,
                                 .remote = facts.remote,
                                 .lacks = facts.lacks,
                                 .context = facts.context,
                                 .warmth = warmth[facts.warmth],
                                 .full = facts.full,
                                 .calls = facts.calls};
    return has;
}

static strv any_model(void *arg, size_t i, struct arena *arena)
{
    struct snapshot *s = arg;
    struct provider_models *m = provider_models_any(&s->providers[i]);
    if (m == NULL)
        return STRV_NONE;
    strv name = m->n > 0 ? arena_strv(arena, strv_of(m->items[0].name)) : STRV_NONE;
    provider_models_unref(m);
    return name;
}

bool exchange_plan(struct snapshot *s, const struct llm_request *r,
                   const struct exchange_basis *basis, struct arena *arena, struct policy_plan *out,
                   struct err *err)
{
    struct policy_facts facts = {
        .conf = &s->policy,
        .providers = s->policy_providers,
        .n_providers = s->n_providers,
        .has_model = has_model,
        .any_model = any_model,
        .arg = s,
        .verdict = basis->verdict,
        .classified = basis->classified,
        .key = basis->key,
    };
    return policy_run(&facts, r, arena, out, err);
}

/* "private task.hint task.route" */
static const char *rule_names(struct arena *arena, const struct policy_plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_steps; i++)
        n += strlen(policy_orders[plan->steps[i]].name) + 1;
    char *text = n > 0 ? arena_alloc(arena, n) : NULL, *to = text;
    if (text == NULL)
        return "";
    for (size_t i = 0; i < plan->n_steps; i++) {
        strv name = strv_of(policy_orders[plan->steps[i]].name);
        memcpy(to, name.ptr, name.len);
        to += name.len;
        *to++ = ' ';
    }
    to[-1] = '\0';
    return text;
}

/* The plan lives with the request and goes with it at commit; what is told later is copied out. */
bool plan_make(struct exchange *x, struct err *err)
{
    x->plan = ARENA_NEW(x->r->arena, struct policy_plan);
    if (x->plan == NULL)
        return err_oom(err);
    struct privacy_verdict clean;
    privacy_verdict_init(&clean);
    const struct exchange_basis basis = {.verdict = x->mask != NULL ? &clean : x->judged,
                                         .classified = x->classified,
                                         .key = x->caller->holder};
    bool ok = exchange_plan(x->snapshot, x->r, &basis, x->r->arena, x->plan, err);
    x->is_private = x->is_private || x->plan->is_private;
    x->sure.below = x->plan->sure;
    x->task = arena_strv(x->arena, x->plan->task);
    x->rules = rule_names(x->arena, x->plan);
    if (x->plan->reason != NULL)
        x->reason = arena_cstr(x->arena, strv_of(x->plan->reason));
    return ok && (!x->arena->failed || err_oom(err));
}

/* Not without memory: a class is a wish, and the default serves whoever has none. */
static void classify_request(struct exchange *x)
{
    struct classify_result *c = ARENA_NEW(x->r->arena, struct classify_result);
    if (c != NULL && exchange_classify(x->env, x->snapshot, x->r, c)) {
        x->classified = c;
        x->complexity = c->complexity;
    }
}

bool plan_first(struct exchange *x, struct err *err)
{
    if (!judge_request(x))
        return false;
    classify_request(x);
    (void)mask_begin(x);
    return plan_make(x, err);
}

/* ---- down the list ---- */

bool plan_has(const struct exchange *x, size_t i)
{
    return i < x->plan->n && (x->tried & (1u << i)) == 0;
}

int plan_next(const struct exchange *x)
{
    bool model_missing = x->n_attempts > 0 &&
                         outcome_row(x->attempts[x->n_attempts - 1].outcome)->next == NEXT_MODEL;
    if (model_missing && x->target >= 0)
        for (size_t i = 0; i < x->plan->n; i++)
            if (plan_has(x, i) &&
                x->plan->targets[i].provider == x->plan->targets[x->target].provider)
                return (int)i;
    for (size_t i = 0; i < x->plan->n; i++)
        if (plan_has(x, i))
            return (int)i;
    return -1;
}

void plan_wait_hint(struct exchange *x, uint64_t ms)
{
    if (ms > 0 && (x->wait_hint_ms == 0 || ms < x->wait_hint_ms))
        x->wait_hint_ms = ms;
}

static const struct provider *target_row(const struct exchange *x)
{
    return &x->snapshot->providers[x->plan->targets[x->target].provider];
}

bool plan_other_instance(struct exchange *x, enum outcome o)
{
    const struct outcome_row *row = outcome_row(o);
    const struct provider *p = target_row(x);
    bool its_own = row->counts || o == OUTCOME_HTTP_429 || o == OUTCOME_MODEL_MISSING ||
                   o == OUTCOME_LOADING || o == OUTCOME_BUSY;
    if (p->n_instances == 0 || !its_own)
        return false;
    uint32_t last = 1u << x->p->instance, all = (1u << p->n_instances) - 1;
    x->spent |= last;
    if ((x->spent & all) != all && x->calls < x->snapshot->attempts_max)
        return true;
    x->spent = last; /* should there be another round */
    return false;
}

enum admit plan_admit(struct exchange *x, uint64_t *wait_ms)
{
    const struct provider *row = target_row(x);
    /* The attempt begins at the very time that admit is told: that is how a trial call is known again. */
    struct provider_wish wish = {.model = x->model, .spent = x->spent, .now_us = x->attempt_us};
    enum admit a = ADMIT_DOWN;
    if (row->n_instances > 0)
        wish.prefix = provider_prefix(x->r);
    for (;;) {
        int i = provider_pick(row, &wish, x->env->rng);
        if (i < 0)
            return a;
        x->p = provider_instance(row, (size_t)i);
        a = judge_may_go(x, x->p) ? provider_admit(x->p, wish.now_us, wait_ms) : ADMIT_FORBIDDEN;
        if (a == ADMIT_GO || a == ADMIT_BUSY)
            return a;
        plan_wait_hint(x, *wait_ms);
        wish.spent |= 1u << i;
    }
}
