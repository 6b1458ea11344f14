/* SPDX-License-Identifier: Apache-2.0 */
/*
 * money - prices, budget and the model that is compared with, from settings to what the ledger reads.
 *
 * The shipped list goes into the settings like anything that was made up here, so `check` prints what holds and
 * where it came from.
 */
#include "config/internal.h"

#define REFERENCE "claude-sonnet-5-5" /* without any cloud: the vendor's middle class */

static const struct {
    const char *name, *line;
} shipped[] = {
#define PRICE(name, line) {name, line},
#include "config/prices.def"
#undef PRICE
};
#define SHIPPED (sizeof shipped / sizeof *shipped)

/* ---- prices ---- */

static bool put_shipped(struct load *l)
{
    static const struct origin at = {.from = FROM_MADE_UP,
                                     .text = "shipped price list of 2026-11-22"};
    const struct option *o = option_row("prices.*");
    for (size_t i = 0, n; i < SHIPPED; i += n) {
        strv lines[8];
        for (n = 0; i + n < SHIPPED && n < sizeof lines / sizeof *lines &&
                    strcmp(shipped[i + n].name, shipped[i].name) == 0;
             n++)
            lines[n] = strv_of(shipped[i + n].line);
        if (setting_find(l->whole, o, shipped[i].name) == NULL &&
            !setting_put(l, o, shipped[i].name, lines, n, &at))
            return false;
    }
    return true;
}

static bool build_row(struct load *l, const struct setting *s, struct ledger_price_row *row)
{
    const char *why;
    *row = (struct ledger_price_row){
        .name = s->name,
        .items = ARENA_ARRAY(l->arena, struct ledger_price, s->value.n_items),
        .n = s->value.n_items};
    if (row->items == NULL)
        return load_oom(l);
    for (size_t i = 0; i < row->n; i++)
        ledger_price_parse(strv_of(s->value.items[i]), &row->items[i], &why); /* looked at before */
    return true;
}

static bool build_prices(struct load *l)
{
    struct ledger_prices *p = &l->whole->snapshot.ledger.prices;
    const struct option *o = option_row("prices.*");
    size_t count = 0;
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next)
        count += s->option == o;
    p->rows = ARENA_ARRAY(l->arena, struct ledger_price_row, count + 1);
    if (p->rows == NULL)
        return load_oom(l);
    for (const struct setting *s = l->whole->settings; s != NULL; s = s->next)
        if (s->option == o && !build_row(l, s, &p->rows[p->n++]))
            return false;
    return true;
}

/* ---- the reference ---- */

static const char *cloud_default(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (s->providers[i].zone == ZONE_CLOUD && s->providers[i].default_model != NULL)
            return s->providers[i].default_model;
    return NULL;
}

static bool is_cloud(const struct snapshot *s, const char *provider)
{
    for (size_t i = 0; provider != NULL && i < s->n_providers; i++)
        if (strcmp(s->providers[i].name, provider) == 0)
            return s->providers[i].zone == ZONE_CLOUD;
    return false;
}

static const char *cloud_of_roles(const struct snapshot *s)
{
    const struct policy_conf *p = &s->policy;
    for (size_t i = 0; i < p->n_roles; i++)
        for (size_t k = 0; k < p->roles[i].n; k++)
            if (is_cloud(s, p->roles[i].names[k].provider) && p->roles[i].names[k].model != NULL)
                return p->roles[i].names[k].model;
    return NULL;
}

static bool build_reference(struct load *l)
{
    struct snapshot *s = &l->whole->snapshot;
    struct ledger_conf *c = &s->ledger;
    const char *text = setting_get(l->whole, "ledger.reference", NULL)->value.text;
    struct policy_name name = {.model = NULL};
    if (strcmp(text, "none") == 0)
        return true;
    if (strcmp(text, "auto") == 0) {
        name.model = cloud_default(s);
        name.model = name.model != NULL ? name.model : cloud_of_roles(s);
        name.model = name.model != NULL ? name.model : REFERENCE;
        text = name.model;
    } else {
        policy_name_parse(s->policy_providers, s->n_providers, strv_of(text), l->arena, &name);
    }
    c->reference = text;
    c->reference_row = ledger_price_find(&c->prices, name.provider, strv_of(name.model));
    return !l->arena->failed || load_oom(l);
}

/* ---- the budget ---- */

static int64_t money(const struct load *l, const char *path)
{
    int64_t micro = 0;
    ledger_money_parse(strv_of(setting_get(l->whole, path, NULL)->value.text), LEDGER_LIMIT_MAX,
                       &micro);
    return micro;
}

static int64_t share(const struct load *l, const char *path)
{
    int64_t percent = 100;
    option_share(strv_of(setting_get(l->whole, path, NULL)->value.text), &percent);
    return percent;
}

static bool build_budget(struct load *l)
{
    struct ledger_conf *c = &l->whole->snapshot.ledger;
    struct ledger_budget_conf *b = &c->budget;
    b->limits.day_micro = money(l, "budget.day");
    b->limits.month_micro = money(l, "budget.month");
    b->warn_percent = share(l, "budget.warn");
    b->critical_percent = share(l, "budget.critical");
    bool limited = b->on && (b->limits.day_micro > 0 || b->limits.month_micro > 0);
    return !limited || c->prices.n > 0 ||
           load_warn(l, "there is a budget but no prices: nothing costs anything");
}

bool money_build(struct load *l)
{
    bool ship = setting_get(l->whole, "shipped_prices", NULL)->value.number != 0;
    return (!ship || put_shipped(l)) && build_prices(l) && build_reference(l) && build_budget(l);
}
