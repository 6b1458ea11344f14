/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prober - asks every provider for its list of models, and so learns who is there.
 *
 *   WAIT --timer--> ASK --answer, or 5 s--> WAIT
 *
 * One probe per provider, all on one loop, each with its own timer: a provider that hangs delays
 * nobody. After a failure the next question comes sooner, at 1, 2, 4 ... seconds, so that a server
 * that starts after us is found soon. An engine of our own is not asked before it is up. What an
 * answer teaches goes to the cell; a failed probe makes the provider unavailable but never opens its
 * breaker: that belongs to real calls.
 */
#include <assert.h>
#include <stdio.h>

#include "provider/provider.h"

#define LIST_BYTES_MAX ((size_t)4 << 20)
#define ANSWER_MS      5000
#define SOONEST_MS     1000
#define ENGINE_MS      100 /* look again whether the engine is up: a look costs nothing */

struct probe {
    struct provider_prober *prober;
    const struct provider *p;
    struct io_timer timer;
    struct http_call *call;
    struct arena arena; /* the call's headers */
    struct buf body;
    int status;
    unsigned failures;                          /* in a row */
    enum { NOT_ASKED, SAID_YES, SAID_NO } last; /* for the log: changes only */
};

struct provider_prober {
    struct io_loop *loop;
    struct http_client *client;
    struct log *log;
    uint64_t interval_ms;
    void (*keep)(void *arg, int change);
    void *keep_arg;
    struct probe probes[PROVIDERS_MAX];
    size_t n;
};

static void ask(void *arg);

/* ---- what came of it ---- */

static uint64_t next_ms(const struct probe *probe)
{
    uint64_t interval = probe->prober->interval_ms, ms = SOONEST_MS;
    if (probe->failures == 0)
        return interval;
    for (unsigned i = 1; i < probe->failures && ms < interval; i++)
        ms *= 2;
    return ms < interval ? ms : interval;
}

static void write_cell(const struct probe *probe, const char *problem)
{
    struct provider_cell *c = probe->p->cell;
    pthread_mutex_lock(&c->lock);
    c->probed = true;
    c->available = problem == NULL;
    c->last_check_wall_us = io_wall_us(probe->prober->loop);
    snprintf(c->problem, sizeof c->problem, "%s", problem != NULL ? problem : "");
    pthread_mutex_unlock(&c->lock);
}

static void write_log(struct probe *probe, const char *problem)
{
    struct log *log = probe->prober->log;
    if (problem == NULL && probe->last != SAID_YES)
        LOG(log, LOG_INFO, "provider", LOG_C(PROVIDER, probe->p->cell->name),
            LOG_C(STATE, "available"));
    if (problem != NULL && probe->last != SAID_NO)
        LOG(log, LOG_WARN, "provider", LOG_C(PROVIDER, probe->p->cell->name),
            LOG_C(STATE, "unavailable"), LOG_C(REASON, problem));
    probe->last = problem == NULL ? SAID_YES : SAID_NO;
}

/* problem NULL: it is well. */
static void conclude(struct probe *probe, const char *problem)
{
    http_call_cancel(probe->call);
    probe->call = NULL;
    buf_fini(&probe->body);
    arena_reset(&probe->arena);
    probe->failures = problem == NULL ? 0 : probe->failures + 1;
    write_cell(probe, problem);
    write_log(probe, problem);
    io_timer_start(probe->prober->loop, &probe->timer, next_ms(probe), ask, probe);
}

/* ---- the call ---- */

static void on_head(void *arg, const struct http_answer *answer)
{
    struct probe *probe = arg;
    probe->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct probe *probe = arg;
    if (!buf_put(&probe->body, data, len))
        conclude(probe, "the list of models is too large");
}

/* An answer that is no list. A server that has none is well, if we know its models by ourselves. */
static const char *judge_status(struct probe *probe)
{
    const char *const *known = probe->p->static_models;
    struct dialect_failure failure = {0};
    bool has_static = known != NULL && known[0] != NULL;
    if ((probe->status == 404 || probe->status == 405 || probe->status == 501))
        return has_static ? NULL : "no list of models at this address";
    if (probe->status >= 400)
        probe->p->dialect->decode_error(probe->status, buf_view(&probe->body), &probe->arena,
                                        &failure);
    return outcome_row(outcome_of_status(probe->status, &failure))->name;
}

static const char *judge_list(const struct probe *probe)
{
    struct err err = ERR_INIT;
    if (provider_models_take(probe->p->cell, probe->p->kind, buf_view(&probe->body), &err))
        return NULL;
    return err.code == ERR_CODE_OOM ? "no memory" : "the list of models is malformed";
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct probe *probe = arg;
    const char *problem;
    probe->call = NULL;
    if (how != HTTP_DONE && how != HTTP_DONE_AT_EOF)
        problem = outcome_row(outcome_of_end(how, why, probe->status != 0))->name;
    else if (probe->status != 200)
        problem = judge_status(probe);
    else
        problem = judge_list(probe);
    conclude(probe, problem);
}

static void on_late(void *arg)
{
    conclude(arg, "no answer in time");
}

static bool is_up(const struct provider *p)
{
    pthread_mutex_lock(&p->cell->lock);
    bool up = p->cell->state == PROVIDER_UP;
    pthread_mutex_unlock(&p->cell->lock);
    return up;
}

static void ask(void *arg)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct probe *probe = arg;
    struct provider_prober *prober = probe->prober;
    const struct provider *p = probe->p;
    assert(probe->call == NULL);
    if (!is_up(p)) {
        probe->last = NOT_ASKED;
        io_timer_start(prober->loop, &probe->timer, ENGINE_MS, ask, probe);
        return;
    }
    probe->status = 0;
    struct http_header *headers = ARENA_ARRAY(&probe->arena, struct http_header, 4);
    size_t n = headers != NULL ? provider_headers(p, &probe->arena, headers) : 0;
    struct http_call_spec spec = {.upstream = &p->upstream,
                                  .method = HTTP_GET,
                                  .path = provider_models_path(p->kind),
                                  .headers = headers,
                                  .n_headers = n};
    if (!probe->arena.failed)
        probe->call = http_call(prober->client, &spec, &ops, probe);
    if (probe->call == NULL) {
        arena_fini(&probe->arena); /* forgets that it failed */
        conclude(probe, "no memory");
        return;
    }
    io_timer_start(prober->loop, &probe->timer, ANSWER_MS, on_late, probe);
}

/* ---- the set ---- */

struct provider_prober *provider_prober_new(struct io_loop *loop, struct http_client *client,
                                            struct log *log, uint64_t interval_ms)
{
    struct provider_prober *prober = mem_zalloc(sizeof *prober);
    if (prober == NULL)
        return NULL;
    prober->loop = loop;
    prober->client = client;
    prober->log = log;
    prober->interval_ms = interval_ms > 0 ? interval_ms : 1;
    return prober;
}

static void drop_set(struct provider_prober *prober)
{
    for (size_t i = 0; i < prober->n; i++) {
        struct probe *probe = &prober->probes[i];
        io_timer_stop(prober->loop, &probe->timer);
        http_call_cancel(probe->call);
        buf_fini(&probe->body);
        arena_fini(&probe->arena);
        *probe = (struct probe){0};
    }
    prober->n = 0;
    if (prober->keep != NULL)
        prober->keep(prober->keep_arg, -1);
    prober->keep = NULL;
}

static void watch(struct provider_prober *prober, const struct provider *p)
{
    if (prober->n == PROVIDERS_MAX) /* there are no more cells than that */
        return;
    struct probe *probe = &prober->probes[prober->n++];
    *probe = (struct probe){.prober = prober, .p = p};
    arena_init(&probe->arena, 512, 65536);
    buf_init(&probe->body, LIST_BYTES_MAX);
    io_timer_start(prober->loop, &probe->timer, 0, ask, probe);
}

void provider_prober_set(struct provider_prober *prober, const struct provider *providers, size_t n,
                         bool cloud, void (*keep)(void *arg, int change), void *arg)
{
    assert(n <= PROVIDERS_MAX);
    if (keep != NULL)
        keep(arg, 1); /* before the old set goes: both may be the same */
    drop_set(prober);
    prober->keep = keep;
    prober->keep_arg = arg;
    for (size_t i = 0; i < n; i++) {
        if (providers[i].zone == ZONE_CLOUD && !cloud)
            continue;
        for (size_t k = 0; k < provider_instance_count(&providers[i]); k++)
            watch(prober, provider_instance(&providers[i], k));
    }
}

void provider_prober_free(struct provider_prober *prober)
{
    if (prober == NULL)
        return;
    drop_set(prober);
    mem_free(prober);
}
