/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell - what all workers together know of one provider.
 *
 *   CLOSED --failures in a row--> OPEN --time passed, a call is let through--> HALF_OPEN
 *      ^                           ^                                             |
 *      +------ its success --------|---------------------------------------------+
 *                                  +------- its failure, open for longer --------+
 *
 * Everything happens under the cell's mutex, held for a few instructions and never while waiting.
 * In HALF_OPEN exactly one call is out, the trial. Calls that were under way when the breaker opened
 * report late; they say nothing about now, so the breaker does not listen to them. They are told
 * apart by their beginning, which is before the trial's. A trial that ends without a verdict about
 * the provider (the caller left, memory was refused, the request was bad) makes room for the next.
 */
#include <assert.h>
#include <stdio.h>

#include "provider/provider.h"

#define WARM_US         ((int64_t)300 * 1000000) /* Ollama's default keep_alive */
#define JITTER_PERCENT  20
#define TRIAL_WAIT_MS   1000 /* a hint while the trial is out */
#define LOADING_WAIT_MS 1000
#define SLOT_WAIT_MS    1000

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct provider_cell *registry[PROVIDERS_MAX];
static size_t registry_n;

/* ---- the registry ---- */

static struct provider_cell *cell_new(const char *name, const char *address)
{
    struct provider_cell *c = mem_zalloc(sizeof *c);
    if (c == NULL)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->address, sizeof c->address, "%s", address);
    list_init(&c->waiters);
    return c;
}

static bool is_cell(const struct provider_cell *c, const char *name, const char *address)
{
    return strncmp(c->name, name, sizeof c->name - 1) == 0 &&
           strncmp(c->address, address, sizeof c->address - 1) == 0;
}

struct provider_cell *provider_cell_get(const char *name, const char *address)
{
    struct provider_cell *c = NULL;
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < registry_n && c == NULL; i++)
        if (is_cell(registry[i], name, address))
            c = registry[i];
    if (c == NULL && registry_n < PROVIDERS_MAX && (c = cell_new(name, address)) != NULL) {
        c->index = registry_n;
        registry[registry_n++] = c;
    }
    pthread_mutex_unlock(&registry_lock);
    return c;
}

void provider_cells_free(void)
{
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < registry_n; i++) {
        provider_models_unref(registry[i]->models);
        pthread_mutex_destroy(&registry[i]->lock);
        mem_free(registry[i]);
        registry[i] = NULL;
    }
    registry_n = 0;
    pthread_mutex_unlock(&registry_lock);
}

/* ---- slots ---- */

/* Calls at once; 0 = no limit. An engine that tells its slots is not given more than those: it would
 * let the rest wait without a word. */
static int64_t slots_of(const struct provider *p)
{
    int64_t limit = p->limits.concurrency, seen = p->cell->slots_seen;
    return seen > 0 && (limit == 0 || seen < limit) ? seen : limit;
}

static bool slot_free(const struct provider *p)
{
    int64_t slots = slots_of(p);
    return slots == 0 || p->cell->in_flight < slots;
}

/* All of them: the one that would be woken alone may have nobody waiting any more. Under the lock, so
 * that no wake comes after provider_unwait(). */
static void wake_all(struct provider_cell *c)
{
    while (!list_empty(&c->waiters)) {
        struct provider_waiter *w = list_first(&c->waiters, struct provider_waiter, node);
        list_del(&w->node);
        w->wake(w->arg);
    }
}

void provider_wait(const struct provider *p, struct provider_waiter *w)
{
    struct provider_cell *c = p->cell;
    pthread_mutex_lock(&c->lock);
    list_del(&w->node);
    if (slot_free(p) || c->state != PROVIDER_UP) /* then it chooses again */
        w->wake(w->arg);
    else
        list_add_tail(&c->waiters, &w->node);
    pthread_mutex_unlock(&c->lock);
}

void provider_unwait(const struct provider *p, struct provider_waiter *w)
{
    pthread_mutex_lock(&p->cell->lock);
    list_del(&w->node);
    pthread_mutex_unlock(&p->cell->lock);
}

bool provider_queue_enter(const struct provider *p)
{
    struct provider_cell *c = p->cell;
    pthread_mutex_lock(&c->lock);
    bool room = c->waiting < p->limits.queue_max;
    if (room)
        c->waiting++;
    pthread_mutex_unlock(&c->lock);
    return room;
}

void provider_queue_leave(const struct provider *p)
{
    struct provider_cell *c = p->cell;
    pthread_mutex_lock(&c->lock);
    assert(c->waiting > 0);
    c->waiting--;
    pthread_mutex_unlock(&c->lock);
}

/* ---- may a call go? ---- */

static uint64_t ms_until(int64_t then_us, int64_t now_us)
{
    return then_us > now_us ? (uint64_t)(then_us - now_us + 999) / 1000 : 0;
}

/* Keeps calls away, whether or not there is a slot. */
static bool is_open(const struct provider_cell *c, int64_t now_us)
{
    return c->state != PROVIDER_UP || now_us < c->hold_until_us ||
           (c->breaker == BREAKER_OPEN && now_us < c->retry_us) ||
           (c->breaker == BREAKER_HALF_OPEN && c->trial);
}

/* Its own figures include our calls, and are some seconds old. */
void provider_look(const struct provider *p, int64_t now_us, struct provider_glance *out)
{
    struct provider_cell *c = p->cell;
    pthread_mutex_lock(&c->lock);
    *out = (struct provider_glance){
        .open = is_open(c, now_us),
        .ill = c->probed && !c->available,
        .full = !slot_free(p),
        .calls = c->in_flight + c->others + c->waiting,
    };
    pthread_mutex_unlock(&c->lock);
}

/* Keeps calls away, or lets this one through (as the trial where the breaker is not closed). */
static enum admit admit(const struct provider *p, int64_t now_us, uint64_t *wait_ms)
{
    struct provider_cell *c = p->cell;
    if (c->state != PROVIDER_UP) {
        *wait_ms = LOADING_WAIT_MS;
        return c->state == PROVIDER_LOADING ? ADMIT_LOADING : ADMIT_DOWN;
    }
    if (now_us < c->hold_until_us) {
        *wait_ms = ms_until(c->hold_until_us, now_us);
        return ADMIT_OPEN;
    }
    if (c->breaker == BREAKER_OPEN && now_us < c->retry_us) {
        *wait_ms = ms_until(c->retry_us, now_us);
        return ADMIT_OPEN;
    }
    if (c->breaker == BREAKER_HALF_OPEN && c->trial) {
        *wait_ms = TRIAL_WAIT_MS;
        return ADMIT_OPEN;
    }
    if (c->breaker != BREAKER_CLOSED && now_us <= c->newest_us) {
        *wait_ms = 1; /* read before the lock was ours: could be taken for a call from before */
        return ADMIT_OPEN;
    }
    if (!slot_free(p)) {
        *wait_ms = SLOT_WAIT_MS;
        return ADMIT_BUSY;
    }
    if (c->breaker == BREAKER_CLOSED) {
        if (now_us > c->newest_us)
            c->newest_us = now_us;
    } else {
        c->breaker = BREAKER_HALF_OPEN;
        c->trial = true;
        c->trial_us = now_us;
    }
    c->in_flight++;
    *wait_ms = 0;
    return ADMIT_GO;
}

enum admit provider_admit(const struct provider *p, int64_t now_us, uint64_t *wait_ms)
{
    uint64_t ignored;
    pthread_mutex_lock(&p->cell->lock);
    enum admit a = admit(p, now_us, wait_ms != NULL ? wait_ms : &ignored);
    pthread_mutex_unlock(&p->cell->lock);
    return a;
}

/* ---- what was learnt ---- */

static void open_breaker(const struct provider *p, const struct provider_report *r, struct rng *rng)
{
    struct provider_cell *c = p->cell;
    const struct provider_limits *l = &p->limits;
    uint64_t ms;
    c->open_ms = c->open_ms == 0 ? l->breaker_open_ms : c->open_ms * 2;
    if (c->open_ms > l->breaker_open_max_ms)
        c->open_ms = l->breaker_open_max_ms;
    ms = rng != NULL ? rng_jitter(rng, c->open_ms, JITTER_PERCENT) : c->open_ms;
    c->breaker = BREAKER_OPEN;
    c->trial = false;
    c->opened_us = r->now_us;
    c->retry_us = r->now_us + (int64_t)ms * 1000;
    c->next_retry_wall_us = r->wall_us + (int64_t)ms * 1000;
}

static void close_breaker(struct provider_cell *c)
{
    c->breaker = BREAKER_CLOSED;
    c->trial = false;
    c->failures = 0;
    c->open_ms = 0;
    c->next_retry_wall_us = 0;
}

static void tell_breaker(const struct provider *p, const struct provider_report *r, bool failed,
                         struct rng *rng)
{
    struct provider_cell *c = p->cell;
    bool ok = r->outcome == OUTCOME_OK;
    if (failed)
        c->failures_total++;
    switch (c->breaker) {
    case BREAKER_CLOSED:
        if (ok)
            c->failures = 0;
        else if (failed && ++c->failures >= p->limits.breaker_failures)
            open_breaker(p, r, rng);
        break;
    case BREAKER_OPEN: /* a call from before */
        break;
    case BREAKER_HALF_OPEN:
        if (r->now_us - r->latency_us < c->trial_us) /* the same */
            break;
        c->trial = false;
        if (ok)
            close_breaker(c);
        else if (failed) {
            c->failures++;
            open_breaker(p, r, rng);
        }
        break;
    }
}

/* Nothing came back from it, or nothing that could be used. */
static bool is_out_of_reach(enum outcome o)
{
    switch (o) {
    case OUTCOME_CONNECT_REFUSED:
    case OUTCOME_CONNECT_FAILED:
    case OUTCOME_CONNECT_TIMEOUT:
    case OUTCOME_DNS:
    case OUTCOME_TLS:
    case OUTCOME_NOT_LOCAL:
    case OUTCOME_HEAD_TIMEOUT:
    case OUTCOME_AUTH:
        return true;
    default:
        return false;
    }
}

static void tell_health(struct provider_cell *c, const struct provider_report *r, bool failed)
{
    if (r->outcome == OUTCOME_OK) {
        c->probed = c->available = true;
        c->last_check_wall_us = r->wall_us;
        c->last_success_us = r->now_us;
        c->problem[0] = '\0';
        c->latency_us[c->latency_n++ % (sizeof c->latency_us / sizeof *c->latency_us)] =
            r->latency_us;
        return;
    }
    if (!failed && !is_out_of_reach(r->outcome))
        return;
    c->probed = true;
    c->last_check_wall_us = r->wall_us;
    c->last_failure_wall_us = r->wall_us;
    snprintf(c->problem, sizeof c->problem, "%s", outcome_row(r->outcome)->name);
    if (is_out_of_reach(r->outcome))
        c->available = false;
}

/* What Ollama has in memory after a good call. A change means that something may have left it. */
static void tell_memory(const struct provider *p, strv model)
{
    uint64_t hash = strv_hash(model, 0) | 1;
    if (p->kind != PROVIDER_OLLAMA || model.len == 0)
        return;
    if (p->cell->last_model != hash)
        p->cell->ask_loaded = true;
    p->cell->last_model = hash;
}

void provider_report(const struct provider *p, const struct provider_report *r, struct rng *rng)
{
    struct provider_cell *c = p->cell;
    bool asked_away = r->retry_after_ms > 0 && r->outcome != OUTCOME_OK;
    /* An orderly "come back later" is no failure; without the "later" it is. */
    bool failed =
        outcome_row(r->outcome)->counts && !(asked_away && r->outcome == OUTCOME_HTTP_OVERLOADED);
    pthread_mutex_lock(&c->lock);
    assert(c->in_flight > 0);
    c->in_flight--;
    if (asked_away) {
        /* Not longer than a breaker would: one odd answer must not take a provider away for a day. */
        uint64_t ms = r->retry_after_ms < p->limits.breaker_open_max_ms
                          ? r->retry_after_ms
                          : p->limits.breaker_open_max_ms;
        int64_t until = r->now_us + (int64_t)ms * 1000;
        if (until > c->hold_until_us)
            c->hold_until_us = until;
    }
    tell_breaker(p, r, failed, rng);
    tell_health(c, r, failed);
    if (r->outcome == OUTCOME_OK)
        tell_memory(p, r->model);
    wake_all(c);
    pthread_mutex_unlock(&c->lock);
}

/* What the server says of the model; of one that it does not list, nothing. */
static enum provider_warmth told_warmth(const struct provider *p, strv model)
{
    enum provider_warmth warmth = PROVIDER_WARMTH_UNKNOWN;
    struct provider_models *m = provider_models_get(p->cell);
    for (size_t i = 0; m != NULL && m->loaded_known && i < m->n; i++)
        if (strv_eq_cstr(model, m->items[i].name)) /* the plan has the provider's own spelling */
            warmth = m->items[i].loaded ? PROVIDER_WARM : PROVIDER_COLD;
    provider_models_unref(m);
    return warmth;
}

bool provider_has_loaded(const struct provider *p, strv model, bool *told)
{
    *told = false;
    if (p->kind != PROVIDER_OLLAMA)
        return true;
    pthread_mutex_lock(&p->cell->lock);
    bool last = p->cell->last_model == (strv_hash(model, 0) | 1);
    pthread_mutex_unlock(&p->cell->lock);
    *told = told_warmth(p, model) == PROVIDER_WARM;
    return last;
}

bool provider_is_cold(const struct provider *p, strv model, int64_t now_us)
{
    struct provider_cell *c = p->cell;
    bool told;
    if (p->kind == PROVIDER_ANTHROPIC)
        return false;
    pthread_mutex_lock(&c->lock);
    bool recent = c->last_success_us != 0 && now_us - c->last_success_us <= WARM_US;
    pthread_mutex_unlock(&c->lock);
    if (p->kind == PROVIDER_OLLAMA && recent && provider_has_loaded(p, model, &told))
        return false;
    enum provider_warmth warmth = told_warmth(p, model);
    if (warmth != PROVIDER_WARMTH_UNKNOWN)
        return warmth == PROVIDER_COLD;
    return p->kind != PROVIDER_LLAMA_SERVER && !recent; /* of the engine, up means loaded */
}

void provider_set_state(struct provider_cell *c, enum provider_state state, const char *problem)
{
    pthread_mutex_lock(&c->lock);
    if (state == PROVIDER_UP && c->state != PROVIDER_UP) {
        close_breaker(c);
        c->hold_until_us = 0;
    }
    c->state = state;
    c->available = state == PROVIDER_UP;
    snprintf(c->problem, sizeof c->problem, "%s", problem != NULL ? problem : "");
    wake_all(c); /* whoever waits for a slot chooses again */
    pthread_mutex_unlock(&c->lock);
}
