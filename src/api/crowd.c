/* SPDX-License-Identifier: Apache-2.0 */
#include "api/crowd.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "base/base.h"
#include "chat/chat.h"

#define BUCKETS 1024

struct member {
    struct member *next;
    size_t n;
    char user[CHAT_USER_MAX + 1];
};

struct crowd {
    pthread_mutex_t lock;
    struct member *buckets[BUCKETS];
};

struct crowd *crowd_new(void)
{
    struct crowd *c = mem_zalloc(sizeof *c);
    if (c != NULL)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void crowd_free(struct crowd *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        assert(c->buckets[i] == NULL);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

/* Where the user is, or would be. */
static struct member **place_of(struct crowd *c, const char *user)
{
    struct member **at = &c->buckets[strv_hash(strv_of(user), 0) % BUCKETS];
    while (*at != NULL && strcmp((*at)->user, user) != 0)
        at = &(*at)->next;
    return at;
}

static bool add_one(struct crowd *c, const char *user, size_t max)
{
    struct member **at = place_of(c, user);
    if (*at == NULL && (*at = mem_zalloc(sizeof **at)) != NULL)
        snprintf((*at)->user, sizeof(*at)->user, "%s", user);
    if (*at == NULL || (*at)->n >= max)
        return false;
    (*at)->n++;
    return true;
}

bool crowd_enter(struct crowd *c, const char *user, size_t max)
{
    assert(max > 0);
    pthread_mutex_lock(&c->lock);
    bool in = add_one(c, user, max);
    pthread_mutex_unlock(&c->lock);
    return in;
}

void crowd_leave(struct crowd *c, const char *user)
{
    pthread_mutex_lock(&c->lock);
    struct member **at = place_of(c, user), *m = *at;
    assert(m != NULL && m->n > 0);
    if (--m->n == 0) {
        *at = m->next;
        mem_free(m);
    }
    pthread_mutex_unlock(&c->lock);
}
