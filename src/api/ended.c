/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ended.h"

#include <pthread.h>

/* The end of a cookie is the end of its seal, which nobody can choose. */
#define MARK 16

struct ended {
    pthread_mutex_t lock;
    int64_t before_us; /* a login made before is over, whatever its mark */
    size_t n;
    struct {
        int64_t until_us;
        char mark[MARK];
    } items[ENDED_MAX];
};

struct ended *ended_new(void)
{
    struct ended *e = mem_zalloc(sizeof *e);
    if (e != NULL)
        pthread_mutex_init(&e->lock, NULL);
    return e;
}

void ended_free(struct ended *e)
{
    if (e == NULL)
        return;
    pthread_mutex_destroy(&e->lock);
    mem_free(e);
}

static const char *mark_of(strv cookie)
{
    return cookie.ptr + cookie.len - MARK;
}

static bool is_marked(const struct ended *e, strv cookie)
{
    for (size_t i = 0; i < e->n; i++)
        if (memcmp(e->items[i].mark, mark_of(cookie), MARK) == 0)
            return true;
    return false;
}

/* Those whose time is over are nobody's any more. */
static void forget_old(struct ended *e, int64_t wall_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->n; i++)
        if (e->items[i].until_us > wall_us)
            e->items[kept++] = e->items[i];
    e->n = kept;
}

void ended_add(struct ended *e, strv cookie, int64_t until_us, int64_t wall_us)
{
    if (cookie.len < MARK)
        return;
    pthread_mutex_lock(&e->lock);
    forget_old(e, wall_us);
    if (e->n == ENDED_MAX) {
        e->before_us = wall_us + 1;
        e->n = 0;
    } else if (!is_marked(e, cookie)) {
        e->items[e->n].until_us = until_us;
        memcpy(e->items[e->n++].mark, mark_of(cookie), MARK);
    }
    pthread_mutex_unlock(&e->lock);
}

bool ended_has(struct ended *e, strv cookie, int64_t made_us)
{
    if (cookie.len < MARK)
        return false;
    pthread_mutex_lock(&e->lock);
    bool has = made_us < e->before_us || is_marked(e, cookie);
    pthread_mutex_unlock(&e->lock);
    return has;
}
