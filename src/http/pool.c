/* SPDX-License-Identifier: Apache-2.0 */
/* pool - see pool.h. Calls nobody back, so whoever stands on a wire only has to mind that it dies at the
 * end of the turn. */
#include "http/pool.h"

#include <assert.h>

static void on_idle(void *arg);

void http_pools_init(struct http_pools *p, struct io_loop *loop, struct io_task *task)
{
    *p = (struct http_pools){.loop = loop, .task = task};
    list_init(&p->pools);
    list_init(&p->dead);
}

void http_pools_close(struct http_pools *p)
{
    p->closed = true;
    /* Closing the last wire of a pool frees the pool, so the walk begins anew each time. */
    while (p->n_idle > 0) {
        struct http_pool *pool = list_first(&p->pools, struct http_pool, node);

        list_del(&pool->node);
        list_add_tail(&p->pools, &pool->node);
        if (pool->n_idle > 0)
            http_wire_close(list_first(&pool->idle, struct http_wire, node));
    }
}

void http_pools_bury(struct http_pools *p)
{
    while (!list_empty(&p->dead)) {
        struct http_wire *w = list_first(&p->dead, struct http_wire, node);

        list_del(&w->node);
        mem_free(w);
    }
}

/* Upstreams are few. */
struct http_pool *http_pool_ref(struct http_pools *p, const char *key)
{
    struct list *pos, *tmp;
    struct http_pool *pool;
    size_t size = strlen(key) + 1;

    list_for_each(pos, tmp, &p->pools)
    {
        pool = list_entry(pos, struct http_pool, node);
        if (strcmp(pool->key, key) == 0) {
            pool->refs++;
            return pool;
        }
    }
    pool = mem_zalloc(sizeof *pool + size);
    if (pool == NULL)
        return NULL;
    memcpy(pool->key, key, size);
    pool->pools = p;
    pool->refs = 1;
    list_init(&pool->idle);
    list_add_head(&p->pools, &pool->node);
    return pool;
}

void http_pool_unref(struct http_pool *pool)
{
    assert(pool->refs > 0);
    if (--pool->refs > 0)
        return;
    list_del(&pool->node);
    mem_free(pool);
}

struct http_wire *http_pool_take(struct http_pool *pool)
{
    struct http_wire *w;

    if (pool->n_idle == 0)
        return NULL;
    w = list_first(&pool->idle, struct http_wire, node);
    list_del(&w->node);
    pool->n_idle--;
    pool->pools->n_idle--;
    pool->pools->n_busy++;
    return w;
}

struct http_wire *http_wire_new(struct http_pool *pool, struct io_stream *s, void *owner)
{
    struct http_wire *w = mem_zalloc(sizeof *w);

    if (w == NULL)
        return NULL;
    list_init(&w->node);
    w->pool = pool;
    w->stream = s;
    w->owner = owner;
    pool->refs++;
    pool->pools->n_busy++;
    return w;
}

void http_wire_park(struct http_wire *w, uint64_t idle_ms, size_t idle_max)
{
    struct http_pool *pool = w->pool;

    assert(w->call == NULL && list_empty(&w->node));
    pool->pools->n_busy--;
    pool->pools->n_idle++;
    pool->n_idle++;
    list_add_head(&pool->idle, &w->node);
    io_stream_read(w->stream, true);
    io_timer_start(pool->pools->loop, &w->timer, idle_ms, on_idle, w);
    if (pool->n_idle > idle_max)
        http_wire_close(list_entry(pool->idle.prev, struct http_wire, node));
}

void http_wire_close(struct http_wire *w)
{
    struct http_pools *p;

    assert(w->pool != NULL); /* else it is dead already */
    p = w->pool->pools;
    if (list_empty(&w->node)) {
        p->n_busy--;
    } else {
        w->pool->n_idle--;
        p->n_idle--;
    }
    io_timer_stop(p->loop, &w->timer);
    io_stream_close(w->stream);
    w->stream = NULL;
    list_del(&w->node);
    list_add_tail(&p->dead, &w->node);
    http_pool_unref(w->pool);
    w->pool = NULL;
    if (!p->closed)
        io_defer(p->loop, p->task);
}

static void on_idle(void *arg)
{
    struct http_wire *w = arg;

    if (!list_empty(&w->node))
        http_wire_close(w);
}
