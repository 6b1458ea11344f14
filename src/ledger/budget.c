/* SPDX-License-Identifier: Apache-2.0 */
/* budget - purses, found by a hash and never freed before the end, and the turn of a day. */
#include "ledger/budget.h"

#include <stdio.h>

#include "ledger/price.h"

#define DAY_US ((int64_t)86400 * 1000000)

const char *ledger_level_name(enum ledger_level level)
{
    static const char *const names[] = {"ok", "warning", "critical", "exhausted"};
    return names[level];
}

const char *ledger_scope_name(enum ledger_scope scope)
{
    return scope == LEDGER_DAY ? "day" : "month";
}

/* ---- periods ---- */

static int64_t period_of(enum ledger_scope scope, int64_t day)
{
    int64_t civil = ledger_day_civil(day);
    return scope == LEDGER_DAY ? day : civil / 10000 * 12 + civil / 100 % 100 - 1;
}

/* The day after its last. */
static int64_t period_end_day(enum ledger_scope scope, int64_t period)
{
    return scope == LEDGER_DAY ? period + 1
                               : ledger_day_of((period + 1) / 12, (period + 1) % 12 + 1, 1);
}

static int64_t load(const _Atomic int64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

static void turn_purse(struct ledger_purse *p, enum ledger_scope scope, bool back)
{
    int64_t now = atomic_exchange_explicit(&p->spent[scope], back ? p->before[scope] : 0,
                                           memory_order_relaxed);
    p->before[scope] = now;
    atomic_store_explicit(&p->level[scope], LEDGER_FINE, memory_order_relaxed);
}

static void turn_scope(struct ledger_budget *b, enum ledger_scope scope, int64_t period)
{
    int64_t now = load(&b->period[scope]);
    bool back = b->before[scope] == period;
    if (now == period)
        return;
    turn_purse(&b->all, scope, back);
    for (size_t i = 0; i < LEDGER_PURSE_SLOTS; i++)
        for (struct ledger_purse *p = atomic_load(&b->slots[i]); p != NULL; p = p->next)
            turn_purse(p, scope, back);
    b->before[scope] = now;
    atomic_store_explicit(&b->period[scope], period, memory_order_release);
}

/* Almost always one comparison. */
static void turn(struct ledger_budget *b, int64_t wall_us)
{
    int64_t day = ledger_day(wall_us);
    if (atomic_load_explicit(&b->period[LEDGER_DAY], memory_order_acquire) == day)
        return;
    pthread_mutex_lock(&b->lock);
    turn_scope(b, LEDGER_MONTH, period_of(LEDGER_MONTH, day));
    turn_scope(b, LEDGER_DAY, day);
    pthread_mutex_unlock(&b->lock);
}

/* ---- purses ---- */

void ledger_budget_init(struct ledger_budget *b, int64_t wall_us)
{
    int64_t day = ledger_day(wall_us);
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    for (int scope = 0; scope < LEDGER_SCOPES; scope++) {
        atomic_init(&b->period[scope], period_of((enum ledger_scope)scope, day));
        b->before[scope] = -1;
    }
}

void ledger_budget_fini(struct ledger_budget *b)
{
    for (size_t i = 0; i < LEDGER_PURSE_SLOTS; i++) {
        struct ledger_purse *next;
        for (struct ledger_purse *p = atomic_load(&b->slots[i]); p != NULL; p = next) {
            next = p->next;
            mem_free(p);
        }
    }
    pthread_mutex_destroy(&b->lock);
}

static struct ledger_purse *find(struct ledger_purse *first, const char *key)
{
    while (first != NULL && strcmp(first->key, key) != 0)
        first = first->next;
    return first;
}

static struct ledger_purse *make(struct ledger_budget *b, size_t slot, const char *key)
{
    struct ledger_purse *p = b->n < LEDGER_PURSES_MAX ? mem_zalloc(sizeof *p) : NULL;
    if (p == NULL)
        return NULL;
    snprintf(p->key, sizeof p->key, "%s", key);
    p->next = atomic_load(&b->slots[slot]);
    b->n++;
    atomic_store_explicit(&b->slots[slot], p, memory_order_release); /* whole before it is seen */
    return p;
}

struct ledger_purse *ledger_budget_purse(struct ledger_budget *b, const char *key)
{
    if (key == NULL || key[0] == '\0' || strlen(key) >= sizeof b->all.key)
        return NULL;
    size_t slot = strv_hash(strv_of(key), 0) % LEDGER_PURSE_SLOTS;
    struct ledger_purse *p = find(atomic_load_explicit(&b->slots[slot], memory_order_acquire), key);
    if (p != NULL)
        return p;
    pthread_mutex_lock(&b->lock);
    p = find(atomic_load(&b->slots[slot]), key);
    if (p == NULL)
        p = make(b, slot, key);
    pthread_mutex_unlock(&b->lock);
    return p;
}

static void spend(struct ledger_purse *p, int64_t micro, bool day, bool month)
{
    if (p == NULL)
        return;
    if (day)
        atomic_fetch_add_explicit(&p->spent[LEDGER_DAY], micro, memory_order_relaxed);
    if (month)
        atomic_fetch_add_explicit(&p->spent[LEDGER_MONTH], micro, memory_order_relaxed);
}

bool ledger_budget_seed(struct ledger_budget *b, int64_t day, const char *key, int64_t micro)
{
    bool today = day == load(&b->period[LEDGER_DAY]);
    bool month = period_of(LEDGER_MONTH, day) == load(&b->period[LEDGER_MONTH]);
    struct ledger_purse *p = ledger_budget_purse(b, key);
    spend(&b->all, micro, today, month);
    spend(p, micro, today, month);
    return p != NULL || key == NULL || key[0] == '\0';
}

/* ---- asking ---- */

static bool above(const struct ledger_purse *p, enum ledger_scope scope, int64_t limit,
                  int64_t held)
{
    return limit > 0 && load(&p->spent[scope]) + held > limit;
}

/* No limit stays none, and a part is never nothing: that would be no limit. */
static int64_t part_of(const struct ledger_budget_conf *conf, int64_t limit)
{
    int64_t part = conf->replicas > 1 ? limit / conf->replicas : limit;
    return part > 0 || limit <= 0 ? part : 1;
}

/* The scope that is above its limit, the longer one first; -1 = none. */
static int scope_above(const struct ledger_purse *p, const struct ledger_budget_conf *conf,
                       const struct ledger_limits *limits, int64_t held)
{
    if (above(p, LEDGER_MONTH, part_of(conf, limits->month_micro), held))
        return LEDGER_MONTH;
    return above(p, LEDGER_DAY, part_of(conf, limits->day_micro), held) ? LEDGER_DAY : -1;
}

static uint64_t seconds_left(struct ledger_budget *b, int scope, int64_t wall_us)
{
    int64_t end = period_end_day((enum ledger_scope)scope, load(&b->period[scope])) * DAY_US;
    return end > wall_us ? (uint64_t)(end - wall_us + 999999) / 1000000 : 1;
}

static int64_t take(struct ledger_purse *p, int64_t micro)
{
    return p != NULL ? atomic_fetch_add_explicit(&p->held, micro, memory_order_relaxed) + micro : 0;
}

bool ledger_budget_hold(struct ledger_budget *b, const struct ledger_ask *ask,
                        struct ledger_hold *out, uint64_t *wait_s)
{
    static const struct ledger_limits none;
    bool common = ask->conf->on && ask->conf->hard_stop && !ask->priority;
    bool own = ask->limits.day_micro > 0 || ask->limits.month_micro > 0;
    turn(b, ask->wall_us);
    *out = (struct ledger_hold){ledger_budget_purse(b, ask->key), ask->micro, true};
    int64_t held = take(&b->all, ask->micro), own_held = take(out->key, ask->micro);
    int scope = scope_above(&b->all, ask->conf, common ? &ask->conf->limits : &none, held);
    if (scope < 0 && out->key != NULL)
        scope = scope_above(out->key, ask->conf, &ask->limits, own_held);
    bool unknown = own && out->key == NULL; /* no memory for its counters: nobody can tell */
    if (scope < 0 && !unknown)
        return true;
    *wait_s = scope >= 0 ? seconds_left(b, scope, ask->wall_us) : 1;
    ledger_budget_settle(b, out, NULL, 0, ask->wall_us);
    return false;
}

void ledger_budget_settle(struct ledger_budget *b, struct ledger_hold *hold, const char *key,
                          int64_t micro, int64_t wall_us)
{
    turn(b, wall_us);
    struct ledger_purse *p = hold->on ? hold->key : ledger_budget_purse(b, key);
    if (micro > 0) { /* first, so that at no moment it counts as neither held nor spent */
        spend(&b->all, micro, true, true);
        spend(p, micro, true, true);
    }
    if (hold->on) {
        atomic_fetch_sub_explicit(&b->all.held, hold->micro, memory_order_relaxed);
        if (hold->key != NULL)
            atomic_fetch_sub_explicit(&hold->key->held, hold->micro, memory_order_relaxed);
    }
    *hold = (struct ledger_hold){0};
}

bool ledger_budget_used_up(struct ledger_budget *b, const struct ledger_ask *ask)
{
    struct ledger_ask least = *ask;
    struct ledger_hold hold;
    uint64_t wait_s;
    least.micro = 1;
    if (!ledger_budget_hold(b, &least, &hold, &wait_s))
        return true;
    ledger_budget_settle(b, &hold, NULL, 0, ask->wall_us);
    return false;
}

/* ---- levels ---- */

static enum ledger_level level_of(const struct ledger_budget_conf *conf, int64_t spent,
                                  int64_t limit)
{
    if (limit <= 0)
        return LEDGER_FINE;
    return spent >= limit                                  ? LEDGER_USED_UP
           : spent * 100 >= limit * conf->critical_percent ? LEDGER_CRITICAL
           : spent * 100 >= limit * conf->warn_percent     ? LEDGER_WARN
                                                           : LEDGER_FINE;
}

static int64_t limit_of(const struct ledger_budget_conf *conf, enum ledger_scope scope)
{
    int64_t limit = scope == LEDGER_DAY ? conf->limits.day_micro : conf->limits.month_micro;
    return conf->on ? part_of(conf, limit) : 0;
}

void ledger_budget_look(struct ledger_budget *b, const struct ledger_budget_conf *conf,
                        enum ledger_scope scope, int64_t wall_us, struct ledger_spent *out)
{
    turn(b, wall_us);
    *out = (struct ledger_spent){.spent = load(&b->all.spent[scope]),
                                 .held = load(&b->all.held),
                                 .limit = limit_of(conf, scope)};
    out->level = level_of(conf, out->spent, out->limit);
}

bool ledger_budget_rose(struct ledger_budget *b, const struct ledger_budget_conf *conf,
                        enum ledger_scope scope, enum ledger_level *level)
{
    int told = atomic_load_explicit(&b->all.level[scope], memory_order_relaxed);
    *level = level_of(conf, load(&b->all.spent[scope]), limit_of(conf, scope));
    return (int)*level > told &&
           atomic_compare_exchange_strong(&b->all.level[scope], &told, (int)*level);
}
