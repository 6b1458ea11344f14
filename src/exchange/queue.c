/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue - exchanges that wait for a free slot of their provider.
 *
 *   env->waits[cell]:  oldest - exchange - newest        one provider_waiter for all of them
 *
 * A slot that becomes free, on whatever thread, wakes every worker that waits for the cell by a message;
 * each lets its oldest exchange try. Who finds no slot waits on, in the same place.
 *
 * An Ollama with several models may have to throw one out of its memory to load another, which takes as long
 * as many answers. So those who wait for the model that is loaded now go first, together, before the model is
 * changed; but nobody is overtaken more than OVERTAKEN_MAX times, or once he has waited OVERTAKEN_US. The
 * oldest is always the one who was overtaken most, so he alone is looked at. Each worker collects among its
 * own: what another worker has waiting comes in between at random.
 */
#include <assert.h>

#include "exchange/exchange_int.h"

#define SCRATCH_BYTES 4096
#define OVERTAKEN_MAX 8
#define OVERTAKEN_US  ((int64_t)10 * 1000000)
/* The sizes of frames and replies are limited where they come in. */
#define SCRATCH_BYTES_MAX ((size_t)1 << 30)

struct exchange_wait { /* one per provider cell */
    struct exchange_env *env;
    struct list waiting; /* of exchange.queue_node, oldest first */
    struct provider_waiter waiter;
    const struct provider *p;  /* any provider of the cell, for waiting again */
    struct snapshot *snapshot; /* keeps p */
};

static void wake_queue(void *arg);

static void on_slot_free(void *arg) /* any thread */
{
    struct exchange_wait *w = arg;
    /* Refused memory costs a wake-up: the queue's own time limit then ends the wait. */
    (void)io_post(w->env->loop, wake_queue, w);
}

bool exchange_env_init(struct exchange_env *env, struct err *err)
{
    env->privacy_scratch = privacy_scratch_new();
    if (env->privacy_scratch == NULL)
        return err_oom(err);
    env->waits = mem_zalloc(sizeof *env->waits * PROVIDERS_MAX);
    if (env->waits == NULL)
        return err_oom(err);
    env->classes = classify_memo_new();
    list_init(&env->live);
    arena_init(&env->scratch, SCRATCH_BYTES, SCRATCH_BYTES_MAX);
    buf_init(&env->encoded, SCRATCH_BYTES_MAX);
    for (size_t i = 0; i < PROVIDERS_MAX; i++) {
        struct exchange_wait *w = &env->waits[i];
        w->env = env;
        list_init(&w->waiting);
        list_init(&w->waiter.node);
        w->waiter.wake = on_slot_free;
        w->waiter.arg = w;
    }
    return true;
}

static void stop_waiting(struct exchange_wait *w)
{
    if (w->snapshot == NULL)
        return;
    provider_unwait(w->p, &w->waiter);
    snapshot_unref(w->snapshot);
    w->snapshot = NULL;
    w->p = NULL;
}

void exchange_env_fini(struct exchange_env *env)
{
    assert(env->active == 0);
    privacy_scratch_free(env->privacy_scratch);
    env->privacy_scratch = NULL;
    classify_memo_free(env->classes);
    env->classes = NULL;
    if (env->waits == NULL)
        return;
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        stop_waiting(&env->waits[i]);
    mem_free(env->waits);
    env->waits = NULL;
    arena_fini(&env->scratch);
    buf_fini(&env->encoded);
}

static void keep_waiting(struct exchange_wait *w, struct exchange *x)
{
    if (w->snapshot == NULL) {
        w->snapshot = snapshot_ref(x->snapshot);
        w->p = x->p;
    }
    provider_wait(x->p, &w->waiter);
}

void queue_leave(struct exchange *x)
{
    if (list_empty(&x->queue_node))
        return;
    struct exchange_wait *w = &x->env->waits[x->p->cell->index];
    list_del(&x->queue_node);
    provider_queue_leave(x->p);
    x->queue_us += io_now_us(x->env->loop) - x->queued_us;
    if (list_empty(&w->waiting))
        stop_waiting(w);
}

void queue_join(struct exchange *x)
{
    struct exchange_wait *w = &x->env->waits[x->p->cell->index];
    x->queued_us = io_now_us(x->env->loop);
    x->overtaken = 0;
    list_add_tail(&w->waiting, &x->queue_node);
    keep_waiting(w, x);
}

static struct exchange *exchange_of(struct list *node)
{
    return list_entry(node, struct exchange, queue_node);
}

/* Who goes next if there is a slot. The model of the last call is surely loaded; those that the server named
 * a while ago may have been thrown out for it. */
static struct exchange *next_in(struct exchange_wait *w)
{
    struct exchange *oldest = list_first(&w->waiting, struct exchange, queue_node), *second = NULL;
    struct list *pos, *tmp;
    if (oldest->p->kind != PROVIDER_OLLAMA || oldest->overtaken >= OVERTAKEN_MAX ||
        io_now_us(w->env->loop) - oldest->queued_us >= OVERTAKEN_US)
        return oldest;
    list_for_each(pos, tmp, &w->waiting)
    {
        struct exchange *x = exchange_of(pos);
        bool told;
        if (provider_has_loaded(x->p, x->model, &told))
            return x;
        if (told && second == NULL)
            second = x;
    }
    return second != NULL ? second : oldest;
}

/* Called before x leaves the queue. */
static void note_overtaken(struct exchange_wait *w, const struct exchange *x)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &w->waiting)
    {
        if (exchange_of(pos) == x)
            return;
        exchange_of(pos)->overtaken++;
    }
}

/* A slot may be free: the next exchange that gets one goes on. */
static void wake_queue(void *arg)
{
    struct exchange_wait *w = arg;
    while (!list_empty(&w->waiting)) {
        struct exchange *x = next_in(w);
        uint64_t wait_ms = 0;
        const struct provider *p =
            x->p; /* its own configuration's idea of how many places there are */
        exchange_enter(x);
        enum admit a = provider_admit(p, x->entered_us, &wait_ms);
        if (a == ADMIT_GO) {
            note_overtaken(w, x);
            x->slot = true;
            x->attempt_us = x->entered_us;
            x->cold = provider_is_cold(p, x->model, x->attempt_us);
            exchange_go(x, EX_SEAL);
        } else if (a != ADMIT_BUSY) { /* the provider went away meanwhile: choose again */
            exchange_go(x, EX_PLAN);
        }
        exchange_leave(x);
        if (a == ADMIT_BUSY) {
            provider_wait(p, &w->waiter);
            return;
        }
    }
}
