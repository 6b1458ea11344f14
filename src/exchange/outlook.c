/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlook - what would become of a request, told without sending it: verdict, class, plan, and the reasons of
 * each. Made by the functions that a request itself passes; nothing here decides.
 *
 *   limits > judge > classify > pseudonyms? > list > budget, audit        as admit(), plan() and seal() in exchange.c
 *
 * Asking counts as a request of its caller, and as none of his tokens. What only the attempt itself shows is not
 * known here: whether the written bytes are clean, who is busy or down.
 *
 * Findings are told by kind and number. No text of the request is in what is written here.
 */
#include "exchange/exchange_int.h"

bool exchange_classify(const struct exchange_env *env, const struct snapshot *s,
                       const struct llm_request *r, struct classify_result *out)
{
    if (s->classify == NULL || (r->op != LLM_OP_CHAT && r->op != LLM_OP_GENERATE))
        return false;
    classify_run(env->classes, s->classify, r, out);
    return true;
}

struct foreseen { /* one question */
    struct exchange_env *env;
    const struct llm_request *r;
    const struct exchange_asker *asker;
    struct arena *arena;
    struct exchange_outlook *out;
    struct err *err;
    int64_t now_us, wall_us; /* 0 without a loop: a command, which has no limits either */
};

/* ---- the plan ---- */

static bool make_plan(struct foreseen *f)
{
    struct exchange_outlook *out = f->out;
    struct privacy_verdict *clean = ARENA_NEW(f->arena, struct privacy_verdict);
    struct exchange_basis basis = {.verdict = &out->verdict, .key = f->asker->key};
    if (clean == NULL)
        return err_oom(f->err);
    judge_whole(f->env, f->env->snapshot, f->r, f->asker->key, f->now_us, &out->verdict);
    out->has_class = exchange_classify(f->env, f->env->snapshot, f->r, &out->classified);
    if (out->has_class)
        basis.classified = &out->classified;
    out->pseudonyms = mask_wanted(f->env->snapshot, f->r, &basis);
    if (out->pseudonyms) { /* as plan_make() */
        privacy_verdict_init(clean);
        basis.verdict = clean;
    }
    return exchange_plan(f->env->snapshot, f->r, &basis, f->arena, &out->plan, f->err);
}

/* ---- what the plan holds and would not be asked, for reasons that are no matter of the plan ---- */

static enum outcome barrier(struct foreseen *f, const struct policy_target *target)
{
    struct snapshot *s = f->env->snapshot;
    struct ledger_budget *budget =
        f->env->ledger != NULL ? ledger_budget_of(f->env->ledger) : f->asker->budget;
    const struct account_offer offer = {.snapshot = s,
                                        .r = f->r,
                                        .key = f->asker->key,
                                        .task = f->out->plan.task,
                                        .p = &s->providers[target->provider],
                                        .model = target->model};
    bool remote = false;
    (void)provider_has_model(offer.p, offer.model, f->arena, NULL, &remote);
    if (!account_affords(&offer, budget, f->wall_us, &f->out->wait_s))
        return OUTCOME_BUDGET;
    if (offer.p->zone == ZONE_LOCAL && !remote)
        return OUTCOME_OK;
    if (!account_knows(s, f->arena, offer.p, offer.model))
        return OUTCOME_WITHHELD;
    return f->env->loop == NULL || audit_ready(f->env->audit, NULL, 0) ? OUTCOME_OK : OUTCOME_AUDIT;
}

static const char *barrier_word(enum outcome o)
{
    return o == OUTCOME_BUDGET  ? "the budget for cloud models is used up"
           : o == OUTCOME_AUDIT ? "the audit cannot be written"
                                : "nobody but the caller knows this model's name";
}

static void leave_out(struct foreseen *f, const struct policy_target *target, enum outcome o)
{
    struct policy_plan *plan = &f->out->plan;
    const char *name =
        arena_printf(f->arena, "%s/" STRV_FMT, f->env->snapshot->providers[target->provider].name,
                     STRV_ARG(target->model));
    if (plan->n_skips < POLICY_TARGETS_MAX && name != NULL)
        plan->skips[plan->n_skips++] = (struct policy_skip){name, barrier_word(o)};
}

static bool keep_open(struct foreseen *f)
{
    struct policy_plan *plan = &f->out->plan;
    enum outcome last = OUTCOME_OK;
    size_t kept = 0;
    for (size_t i = 0; i < plan->n; i++) {
        enum outcome o = barrier(f, &plan->targets[i]);
        if (o == OUTCOME_OK) {
            plan->targets[kept++] = plan->targets[i];
        } else {
            leave_out(f, &plan->targets[i], o);
            last = o;
        }
    }
    plan->n = kept;
    if (kept > 0) {
        f->out->wait_s = 0;
        return true;
    }
    int code = f->out->verdict.is_private ? LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE
                                          : (int)outcome_row(last)->error;
    return err_set(f->err, code, "%s", llm_error_row(code)->text);
}

/* ---- the whole ---- */

static uint64_t whole_seconds(int64_t us)
{
    return (uint64_t)(us + 999999) / 1000000;
}

/* In the order of the steps that a request takes: exchange.c, admit(). */
static bool foresee(struct foreseen *f, const struct policy_pass *pass)
{
    struct snapshot *s = f->env->snapshot;
    int64_t wait_us = 0;
    int code = LLM_ERR_AUDIT_UNAVAILABLE;
    if (s->audit_all && f->env->loop != NULL && !audit_ready(f->env->audit, NULL, 0))
        return err_set(f->err, code, "%s", llm_error_row(code)->text);
    bool fits = policy_pass_fits(pass, quota_tokens(pass, f->r), f->now_us, &wait_us, f->err);
    f->out->wait_s = whole_seconds(wait_us);
    return fits && make_plan(f) && keep_open(f);
}

bool exchange_explain(struct exchange_env *env, const struct llm_request *r,
                      const struct exchange_asker *asker, struct arena *arena,
                      struct exchange_outlook *out, struct err *err)
{
    struct policy_pass pass;
    int64_t wait_us = 0;
    struct foreseen f = {.env = env,
                         .r = r,
                         .asker = asker,
                         .arena = arena,
                         .out = out,
                         .err = err,
                         .now_us = env->loop != NULL ? io_now_us(env->loop) : 0,
                         .wall_us = env->loop != NULL ? io_wall_us(env->loop) : asker->wall_us};
    out->requires_tools = (r->needs & LLM_NEED_TOOLS) != 0;
    policy_pass_init(&pass, env->limits, &env->snapshot->quotas, asker->key, asker->address);
    out->throttled = !policy_pass_enter(&pass, 0, f.now_us, &wait_us, err);
    if (out->throttled)
        out->wait_s = whole_seconds(wait_us);
    bool ok = !out->throttled && foresee(&f, &pass);
    policy_pass_leave(&pass, 0);
    return ok && (!arena->failed || err_oom(err));
}

bool exchange_find(struct exchange_env *env, const struct llm_request *r,
                   const struct policy_key *key, struct arena *arena, struct policy_plan *out,
                   struct err *err)
{
    struct privacy_verdict *nothing = ARENA_NEW(arena, struct privacy_verdict);
    if (nothing == NULL)
        return err_oom(err);
    privacy_verdict_init(nothing); /* there is no text */
    const struct exchange_basis basis = {.verdict = nothing, .key = key};
    return exchange_plan(env->snapshot, r, &basis, arena, out, err);
}

/* ---- as JSON ---- */

static void put_text(struct buf *b, bool *first, const char *key, strv text)
{
    json_put_key(b, first, key);
    if (text.ptr != NULL)
        json_put_str(b, text);
    else
        buf_put_cstr(b, "null");
}

static void put_bool(struct buf *b, bool *first, const char *key, bool value)
{
    json_put_key(b, first, key);
    buf_put_cstr(b, value ? "true" : "false");
}

/* Three digits are what the model's figures are worth. */
static void put_share(struct buf *b, bool *first, const char *key, float value)
{
    char text[32];
    json_put_key(b, first, key);
    snprintf(text, sizeof text, "%.3f", (double)value);
    buf_put_cstr(b, text);
}

static void put_findings(struct buf *b, const struct privacy_verdict *v)
{
    bool first = true;
    buf_put_char(b, '{');
    for (size_t i = 0; i < PRIVACY_KINDS; i++)
        if (v->counts[i] > 0) {
            json_put_key(b, &first, privacy_kinds[i].name);
            buf_put_i64(b, (int64_t)v->counts[i]);
        }
    buf_put_char(b, '}');
}

static void put_class(struct buf *b, const struct exchange_outlook *o)
{
    const struct classify_result *c = &o->classified;
    bool first = true, first_score = true;
    buf_put_char(b, '{');
    put_text(b, &first, "name", strv_of(policy_tasks[c->task]));
    put_bool(b, &first, "sure", c->sure);
    put_share(b, &first, "needs_cloud", c->needs_cloud);
    put_share(b, &first, "complexity", c->complexity);
    put_text(b, &first, "why", strv_of(c->why));
    json_put_key(b, &first, "scores");
    buf_put_char(b, '{');
    for (size_t i = 0; i < CLASSIFY_TASKS; i++)
        put_share(b, &first_score, policy_tasks[i], c->scores[i]);
    buf_put_cstr(b, "}}");
}

/* What an answer is held against; null: nobody asks how sure it is. */
static void put_sure(struct buf *b, const struct policy_sure *sure)
{
    bool first = true;
    if (sure->mark <= 0 && sure->escalate <= 0) {
        buf_put_cstr(b, "null");
        return;
    }
    buf_put_char(b, '{');
    put_share(b, &first, "mark", (float)sure->mark);
    put_share(b, &first, "escalate", (float)sure->escalate);
    buf_put_char(b, '}');
}

static void put_rules(struct buf *b, const struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct policy_order *o = &policy_orders[plan->steps[i]];
        bool first = true;
        buf_put_cstr(b, i > 0 ? ",{" : "{");
        put_text(b, &first, "rule", strv_of(o->name));
        put_text(b, &first, "rank", strv_of(policy_rank_name(o->rank)));
        put_text(b, &first, "looks_at", strv_of(o->looks_at));
        put_text(b, &first, "does", strv_of(o->does));
        buf_put_char(b, '}');
    }
}

static void put_targets(struct buf *b, const struct snapshot *s, const struct policy_plan *plan,
                        const struct exchange_states *states)
{
    for (size_t i = 0; i < plan->n; i++) {
        const struct policy_target *target = &plan->targets[i];
        const struct provider *p = &s->providers[target->provider];
        bool first = true;
        buf_put_cstr(b, i > 0 ? ",{" : "{");
        put_text(b, &first, "provider", strv_of(p->name));
        put_text(b, &first, "model", target->model);
        put_text(b, &first, "zone", p->zone == ZONE_LOCAL ? STRV("local") : STRV("cloud"));
        put_text(b, &first, "why", strv_of(target->why));
        put_text(b, &first, "state", strv_of(states->of(states->arg, target->provider)));
        buf_put_char(b, '}');
    }
}

static void put_skips(struct buf *b, const struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->n_skips; i++) {
        bool first = true;
        buf_put_cstr(b, i > 0 ? ",{" : "{");
        put_text(b, &first, "candidate", strv_of(plan->skips[i].candidate));
        put_text(b, &first, "why", strv_of(plan->skips[i].why));
        buf_put_char(b, '}');
    }
}

static void put_error(struct buf *b, const struct err *err)
{
    bool first = true;
    int code = err->code > 0 ? err->code : LLM_ERR_INTERNAL; /* ERR_CODE_OOM is no row */
    buf_put_char(b, '{');
    put_text(b, &first, "code", strv_of(llm_error_row(code)->code));
    put_text(b, &first, "message", strv_of(err->text));
    buf_put_char(b, '}');
}

void exchange_outlook_json(const struct snapshot *s, const struct exchange_outlook *o,
                           const struct err *err, const struct exchange_states *states,
                           struct buf *b)
{
    const struct policy_plan *plan = &o->plan;
    bool first = true;
    buf_put_char(b, '{');
    put_bool(b, &first, "is_private", plan->is_private || o->verdict.is_private);
    put_bool(b, &first, "pseudonyms", o->pseudonyms);
    json_put_key(b, &first, "findings");
    put_findings(b, &o->verdict);
    put_text(b, &first, "task", plan->task);
    json_put_key(b, &first, "class");
    if (o->has_class)
        put_class(b, o);
    else
        buf_put_cstr(b, "null");
    put_bool(b, &first, "explicit", plan->explicit_choice);
    put_text(b, &first, "reason", strv_of(plan->reason));
    json_put_key(b, &first, "confidence");
    put_sure(b, &plan->sure);
    json_put_key(b, &first, "rules");
    buf_put_char(b, '[');
    put_rules(b, plan);
    buf_put_char(b, ']');
    json_put_key(b, &first, "plan");
    buf_put_char(b, '[');
    if (!err->set)
        put_targets(b, s, plan, states);
    buf_put_char(b, ']');
    json_put_key(b, &first, "skipped");
    buf_put_char(b, '[');
    put_skips(b, plan);
    buf_put_char(b, ']');
    if (err->set) {
        json_put_key(b, &first, "error");
        put_error(b, err);
    }
    if (err->set && o->wait_s > 0) {
        json_put_key(b, &first, "retry_after");
        buf_put_u64(b, o->wait_s);
    }
    buf_put_char(b, '}');
}

/* The scheduler's schema has the verdict among the classes; ours is beside it, in `class`. */
void exchange_class_json(const struct snapshot *s, const struct exchange_outlook *o,
                         const struct err *err, struct buf *b)
{
    const struct policy_plan *plan = &o->plan;
    bool first = true, is_private = plan->is_private || o->verdict.is_private;
    bool planned = !err->set && plan->n > 0;
    strv task = plan->task.ptr != NULL ? plan->task : strv_of(policy_tasks[0]);
    buf_put_char(b, '{');
    put_text(b, &first, "task_type", is_private ? STRV("privacy_sensitive") : task);
    put_share(b, &first, "complexity_score", o->has_class ? o->classified.complexity : 0.5f);
    put_text(b, &first, "recommended_provider",
             planned ? strv_of(s->providers[plan->targets[0].provider].name) : STRV(""));
    put_text(b, &first, "recommended_model", planned ? plan->targets[0].model : STRV(""));
    put_text(b, &first, "reasoning",
             planned || plan->reason != NULL ? strv_of(plan->reason) : strv_of(err->text));
    put_bool(b, &first, "requires_tools", o->requires_tools);
    put_bool(b, &first, "is_privacy_sensitive", is_private);
    json_put_key(b, &first, "findings");
    put_findings(b, &o->verdict);
    put_text(b, &first, "class", task);
    put_bool(b, &first, "sure", o->has_class && o->classified.sure);
    put_share(b, &first, "needs_cloud", o->has_class ? o->classified.needs_cloud : 0);
    buf_put_char(b, '}');
}
