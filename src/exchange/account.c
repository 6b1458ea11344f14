/* SPDX-License-Identifier: Apache-2.0 */
/* account - what is told of an exchange: its row in the ledger, and its route to a caller at the native door. */
#include "exchange/exchange_int.h"

#define BYTES_PER_TOKEN 4 /* of an answer; prompts are estimated in llm/ */
/* An answer's length before it is there: what the caller allows, within reason, or a page. */
#define ANSWER_TOKENS     1024
#define ANSWER_TOKENS_MAX 8192

static const char *op_name(enum llm_op op)
{
    static const char *const names[LLM_OPS] = {[LLM_OP_CHAT] = "chat",
                                               [LLM_OP_GENERATE] = "generate",
                                               [LLM_OP_EMBED] = "embed",
                                               [LLM_OP_EMBED_1] = "embed",
                                               [LLM_OP_COUNT] = "count"};
    return names[op];
}

static bool writes_text(const struct llm_request *r)
{
    return r->op == LLM_OP_CHAT || r->op == LLM_OP_GENERATE;
}

/* ---- tokens ---- */

/* What the provider did not count is estimated where something was answered, and said to be so. A count that stood
 * at the beginning of an answer that broke off is no count of it. */
static bool estimate_usage(const struct exchange *x, struct llm_usage *usage)
{
    int64_t seen = (x->content_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    bool input = usage->input < 0;
    bool output =
        writes_text(x->r) && (usage->output < 0 || (!x->finished && usage->output < seen));
    if (!x->content || !(input || output))
        return false;
    if (input)
        usage->input = x->out.input_estimate;
    if (output)
        usage->output = seen;
    return true;
}

static void add(int64_t *into, int64_t n)
{
    if (n >= 0)
        *into = *into >= 0 ? *into + n : n;
}

static void add_usage(struct llm_usage *into, const struct llm_usage *u)
{
    add(&into->input, u->input);
    add(&into->output, u->output);
    add(&into->cached, u->cached);
    add(&into->cache_write, u->cache_write);
    add(&into->cache_write_1h, u->cache_write_1h);
    add(&into->reasoning, u->reasoning);
}

/* ---- money ---- */

static struct account_offer offer_of(const struct exchange *x)
{
    return (struct account_offer){.snapshot = x->snapshot,
                                  .r = x->r,
                                  .key = x->caller->holder,
                                  .task = x->task,
                                  .p = x->p,
                                  .model = x->model};
}

/* A request in the vendor's own form may ask for what costs more. */
static bool asks_for(const struct account_offer *o, const char *member, const char *value)
{
    bool its_own = o->p->kind == PROVIDER_ANTHROPIC && o->r->dialect == LLM_ANTHROPIC;
    yyjson_val *root = its_own ? o->r->body.root : NULL;
    return strv_eq_cstr(json_get_str(root, member), value);
}

static struct ledger_sale sale_of(const struct account_offer *o, bool fast, bool us,
                                  const struct llm_usage *u, int64_t wall_us)
{
    return (struct ledger_sale){.provider = o->p->name,
                                .model = o->model,
                                .local = o->p->zone == ZONE_LOCAL,
                                .fast = fast,
                                .us = us,
                                .day = ledger_day(wall_us),
                                .usage = *u};
}

/* The request's body may be gone by now: what it asks for is known from before. */
static int64_t cost_of(const struct exchange *x, const struct llm_usage *u, int64_t wall_us)
{
    const struct account_offer o = offer_of(x);
    struct ledger_sale sale = sale_of(&o, x->bill.fast, x->bill.us, u, wall_us);
    return ledger_price_cost(&x->snapshot->ledger.prices, &sale);
}

/* What the cloud would have charged for the same tokens. Whether its cache would have held a part of a prompt that
 * was answered here nobody knows: none of it counts as cached then. */
static int64_t reference_of(const struct exchange *x, const struct llm_usage *usage, bool local,
                            int64_t wall_us)
{
    const struct ledger_conf *conf = &x->snapshot->ledger;
    struct ledger_sale sale = {.day = ledger_day(wall_us), .usage = *usage};
    if (conf->reference == NULL || !writes_text(x->r))
        return 0;
    if (local)
        sale.usage.cached = sale.usage.cache_write = sale.usage.cache_write_1h = 0;
    return ledger_price_cost_by(&conf->prices, conf->reference_row, &sale);
}

static bool is_priority(const struct account_offer *o)
{
    const char *const *name = o->snapshot->ledger.budget.priority;
    const struct policy_key *key = o->key;
    for (; name != NULL && *name != NULL; name++)
        if ((key != NULL && (strcmp(*name, key->id) == 0 || strcmp(*name, key->name) == 0)) ||
            strv_eq_cstr(o->task, *name))
            return true;
    return false;
}

static struct ledger_limits limits_of(const struct policy_key *key)
{
    if (key == NULL)
        return (struct ledger_limits){0};
    return (struct ledger_limits){key->rules.budget_day_micro, key->rules.budget_month_micro};
}

static int64_t estimate_cost(const struct account_offer *o, int64_t wall_us)
{
    struct llm_usage usage = LLM_USAGE_NONE;
    int64_t answer = llm_has(o->r, LLM_P_MAX_TOKENS) ? (int64_t)o->r->params[LLM_P_MAX_TOKENS]
                     : o->p->max_tokens > 0          ? o->p->max_tokens
                                                     : ANSWER_TOKENS;
    usage.input = llm_request_estimate_tokens(o->r);
    if (writes_text(o->r))
        usage.output = answer < ANSWER_TOKENS_MAX ? answer : ANSWER_TOKENS_MAX;
    struct ledger_sale sale = sale_of(o, asks_for(o, "speed", "fast"),
                                      asks_for(o, "inference_geo", "us"), &usage, wall_us);
    return ledger_price_cost(&o->snapshot->ledger.prices, &sale);
}

static struct ledger_ask ask_of(const struct account_offer *o, int64_t wall_us)
{
    return (struct ledger_ask){.conf = &o->snapshot->ledger.budget,
                               .key = o->key != NULL ? o->key->id : NULL,
                               .limits = limits_of(o->key),
                               .priority = is_priority(o),
                               .micro = estimate_cost(o, wall_us),
                               .wall_us = wall_us};
}

/* To be told how long a prompt is costs nothing. */
static bool is_billed(const struct account_offer *o)
{
    return o->p->zone != ZONE_LOCAL && o->r->op != LLM_OP_COUNT;
}

bool account_affords(const struct account_offer *o, struct ledger_budget *budget, int64_t wall_us,
                     uint64_t *wait_s)
{
    struct ledger_hold hold;
    if (budget == NULL || !is_billed(o))
        return true;
    const struct ledger_ask ask = ask_of(o, wall_us);
    if (!ledger_budget_hold(budget, &ask, &hold, wait_s))
        return false;
    ledger_budget_settle(budget, &hold, NULL, 0, wall_us);
    return true;
}

bool account_open(struct exchange *x)
{
    const struct account_offer o = offer_of(x);
    x->usage = LLM_USAGE_NONE;
    x->content = false;
    x->content_bytes = 0;
    x->bill.open = true;
    if (x->env->ledger == NULL || !is_billed(&o))
        return true;
    int64_t now = io_wall_us(x->env->loop);
    x->bill.fast = asks_for(&o, "speed", "fast");
    x->bill.us = asks_for(&o, "inference_geo", "us");
    const struct ledger_ask ask = ask_of(&o, now);
    x->bill.open =
        ledger_budget_hold(ledger_budget_of(x->env->ledger), &ask, &x->bill.hold, &x->bill.wait_s);
    if (!x->bill.open)
        metric_add(x->env->metrics, METRIC_BUDGET_REFUSED, 0, 1);
    return x->bill.open;
}

/* Each level once in its day or month. */
static void tell_budget(struct exchange *x)
{
    const struct ledger_budget_conf *conf = &x->snapshot->ledger.budget;
    struct ledger_budget *budget = ledger_budget_of(x->env->ledger);
    enum ledger_level level;
    for (int scope = 0; scope < LEDGER_SCOPES; scope++)
        if (ledger_budget_rose(budget, conf, (enum ledger_scope)scope, &level))
            LOG(x->env->log, LOG_WARN, "budget",
                LOG_C(BUDGET, ledger_scope_name((enum ledger_scope)scope)),
                LOG_C(STATE, ledger_level_name(level)));
}

void account_settle(struct exchange *x, int64_t wall_us)
{
    struct bill *bill = &x->bill;
    if (!bill->open)
        return;
    bill->open = false;
    int64_t cost = 0;
    if (x->r->op != LLM_OP_COUNT) { /* to be told how long a prompt is costs nothing */
        struct llm_usage usage = x->usage;
        bill->estimated = estimate_usage(x, &usage) || bill->estimated;
        cost = cost_of(x, &usage, wall_us);
        add_usage(&bill->usage, &usage);
    }
    bill->micro += cost;
    if (x->env->ledger == NULL || (cost == 0 && !bill->hold.on))
        return;
    ledger_budget_settle(ledger_budget_of(x->env->ledger), &bill->hold, x->caller->key, cost,
                         wall_us);
    if (cost > 0)
        tell_budget(x);
}

static int64_t window_of(const struct exchange *x)
{
    struct provider_facts facts;
    provider_model_facts(x->p, x->model, x->arena, &facts);
    return facts.context > 0 ? facts.context : -1;
}

void exchange_sum(const struct exchange *x, struct exchange_sums *out)
{
    int64_t now = io_wall_us(x->env->loop);
    struct llm_usage usage = x->usage;
    *out =
        (struct exchange_sums){.usage = x->bill.usage, .cost_micro = x->bill.micro, .window = -1};
    if (x->p == NULL)
        return;
    out->local = x->p->zone == ZONE_LOCAL;
    out->window = window_of(x);
    if (x->bill.open) {
        (void)estimate_usage(x, &usage);
        out->cost_micro += cost_of(x, &usage, now);
        add_usage(&out->usage, &usage);
    }
    const struct llm_usage *told = x->recall != NULL && x->recall->hit ? &x->usage : &out->usage;
    int64_t reference = reference_of(x, told, out->local, now);
    out->saved_micro = reference > out->cost_micro ? reference - out->cost_micro : 0;
}

/* ---- the row ---- */

/* A name that only the caller has said may be any text, also where a server answers to whatever it is called. */
bool account_knows(const struct snapshot *s, struct arena *arena, const struct provider *p,
                   strv model)
{
    for (size_t i = 0; p->static_models != NULL && p->static_models[i] != NULL; i++)
        if (strv_eq_cstr(model, p->static_models[i]))
            return true;
    return strv_eq_cstr(model, p->default_model) || policy_names_model(&s->policy, model) ||
           provider_has_model(p, model, arena, NULL, NULL);
}

static strv model_of(const struct exchange *x, bool answered)
{
    if (x->n_attempts == 0 || !answered)
        return STRV_NONE;
    const struct attempt *last = &x->attempts[x->n_attempts - 1];
    return account_knows(x->snapshot, x->arena, last->p, last->model) ? last->model : STRV("other");
}

static void list_attempts(const struct exchange *x, struct ledger_attempt *out)
{
    for (size_t i = 0; i < x->n_attempts; i++)
        out[i] = (struct ledger_attempt){
            .provider = (unsigned)x->attempts[i].p->cell->index,
            .provider_name = x->attempts[i].p->name,
            .model = x->attempts[i].model,
            .outcome = (unsigned)x->attempts[i].outcome,
            .outcome_name = outcome_row(x->attempts[i].outcome)->name,
            .cloud = x->attempts[i].p->zone != ZONE_LOCAL,
            .us = x->attempts[i].us,
        };
}

static bool is_recalled(const struct exchange *x)
{
    return x->recall != NULL && x->recall->hit;
}

static void fill_row(struct exchange *x, struct ledger_row *row, int64_t now)
{
    const struct ledger_attempt *last =
        row->n_attempts > 0 ? &row->attempts[row->n_attempts - 1] : NULL;
    bool ok = x->error == LLM_OK && !x->gone;
    bool answered = last != NULL && (ok || x->committed);
    row->request_id = x->caller->record_id;
    row->key = x->caller->key;
    row->door = x->r->dialect;
    row->op = op_name(x->r->op);
    row->stream = x->r->stream;
    row->is_private = x->is_private;
    row->findings = x->findings;
    row->task = x->task;
    row->provider = answered ? last->provider_name : NULL;
    row->provider_index = last != NULL ? last->provider : 0;
    row->model = model_of(x, answered || x->bill.micro > 0);
    row->local = last != NULL && x->attempts[x->n_attempts - 1].p->zone == ZONE_LOCAL;
    if (is_recalled(x) || x->sure.given) { /* whoever gave the answer the first time */
        row->recalled = is_recalled(x);
        row->provider = x->p->name;
        row->provider_index = (unsigned)x->p->cell->index;
        row->model =
            account_knows(x->snapshot, x->arena, x->p, x->model) ? x->model : STRV("other");
        row->local = x->p->zone == ZONE_LOCAL;
    }
    row->error = x->error;
    row->outcome = x->gone ? "caller_gone" : ok ? "ok" : llm_error_row(x->error)->code;
    row->caller_gone = x->gone;
    row->status = x->sent_status;
    row->bytes_in = x->caller->bytes_in;
    row->bytes_out = x->bytes_out;
    row->total_us = now - x->caller->received_us;
    row->queue_us = x->queue_us;
    row->upstream_us = row->total_us - x->queue_us - x->own_us;
    row->first_us = x->first_us > 0 ? x->first_us - x->caller->received_us : -1;
}

void account_close(struct exchange *x, int64_t now)
{
    struct metrics *m = x->env->metrics;
    struct ledger_attempt attempts[LEDGER_ATTEMPTS_MAX];
    struct ledger_row row = {
        .attempts = attempts, .n_attempts = x->n_attempts, .wall_us = io_wall_us(x->env->loop)};
    account_settle(x, row.wall_us);
    list_attempts(x, attempts);
    if (x->is_private)
        metric_add(m, METRIC_PRIVATE, 0, 1);
    quota_leave(x, &x->bill.usage);
    for (unsigned bit = 0; bit < DIALECT_LOSSES; bit++)
        if (x->losses & (1u << bit))
            metric_add(m, METRIC_TRANSLATION_LOSSY, bit, 1);
    fill_row(x, &row, now);
    row.usage = x->bill.usage;
    if (is_recalled(x)) /* what it would have cost, and did not */
        x->bill.usage = x->usage;
    row.usage_estimated = x->bill.estimated;
    row.cost_micro = x->bill.micro;
    row.reference_micro = reference_of(x, &x->bill.usage, row.local, row.wall_us);
    ledger_close(x->env->ledger, m, x->env->log, &row);
    record_close(x, &row);
    metric_add(m, METRIC_ACTIVE, 0, -1);
}

/* ---- the native door's account of the route (scheduler-consumers.md 2.2) ---- */

static void put_attempts(struct exchange *x, struct buf *b)
{
    buf_put_cstr(b, "\"attempts\":[");
    for (size_t i = 0; i <= x->n_attempts; i++) {
        bool now = i == x->n_attempts; /* the one that is answering */
        const struct attempt *a = &x->attempts[i];
        buf_put_cstr(b, i > 0 ? ",{\"provider\":" : "{\"provider\":");
        json_put_str(b, strv_of(now ? x->p->name : a->p->name));
        buf_put_cstr(b, ",\"model\":");
        json_put_str(b, now ? x->model : a->model);
        buf_put_cstr(b, ",\"outcome\":");
        json_put_str(b, strv_of(now ? "ok" : outcome_row(a->outcome)->name));
        buf_put_cstr(b, ",\"ms\":");
        buf_put_i64(b, (now ? x->entered_us - x->attempt_us : a->us) / 1000);
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
}

/* "mrn=1 name=2" as {"mrn":1,"name":2} */
static void put_findings(struct buf *b, const char *words)
{
    strv rest = strv_of(words), word, kind;
    bool first = true;
    buf_put_cstr(b, ",\"findings\":{");
    while (rest.len > 0 && strv_cut(&rest, ' ', &word)) {
        (void)strv_cut(&word, '=', &kind);
        buf_put_cstr(b, first ? "" : ",");
        json_put_str(b, kind);
        buf_put_char(b, ':');
        buf_put_strv(b, word);
        first = false;
    }
    buf_put_char(b, '}');
}

static void put_rules(struct buf *b, const char *names)
{
    strv rest = strv_of(names), name;
    bool first = true;
    buf_put_cstr(b, ",\"rules\":[");
    while (rest.len > 0 && strv_cut(&rest, ' ', &name)) {
        buf_put_cstr(b, first ? "" : ",");
        json_put_str(b, name);
        first = false;
    }
    buf_put_char(b, ']');
}

void account_describe(struct exchange *x)
{
    struct buf b;
    if (x->r->dialect != LLM_NATIVE || x->out.route_json.ptr != NULL)
        return;
    buf_init(&b, 16384);
    buf_put_cstr(&b, "{\"task_type\":");
    if (x->task.ptr != NULL)
        json_put_str(&b, x->task);
    else
        buf_put_cstr(&b, "null");
    if (x->complexity >= 0)
        buf_printf(&b, ",\"complexity_score\":%.3f", (double)x->complexity);
    else
        buf_put_cstr(&b, ",\"complexity_score\":null");
    buf_put_cstr(&b, x->is_private ? ",\"is_privacy_sensitive\":true"
                                   : ",\"is_privacy_sensitive\":false");
    buf_put_cstr(&b, ",\"reason\":");
    json_put_str(&b, strv_of(x->reason != NULL ? x->reason : ""));
    put_findings(&b, x->findings);
    put_rules(&b, x->rules);
    buf_put_cstr(&b, x->target > 0 ? ",\"fallback_used\":true,\"clamped\":["
                                   : ",\"fallback_used\":false,\"clamped\":[");
    bool first = true;
    for (unsigned bit = 0; bit < DIALECT_LOSSES; bit++) {
        if ((x->losses & (1u << bit)) == 0)
            continue;
        if (!first)
            buf_put_char(&b, ',');
        first = false;
        json_put_str(&b, strv_of(dialect_loss_name(bit)));
    }
    buf_put_cstr(&b, "],");
    put_attempts(x, &b);
    buf_put_cstr(&b, ",\"request_id\":");
    json_put_str(&b, x->caller->request_id);
    buf_put_char(&b, '}');
    if (!b.failed)
        x->out.route_json = arena_strv(x->arena, buf_view(&b));
    buf_fini(&b);
}
