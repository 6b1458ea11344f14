/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate - how many questions a user may ask in a minute and in an hour, whichever of his conversations he asks them in.
 *
 * Each limit is a bucket that fills evenly, kept as the moment at which it is full again (policy/limit.h has the picture).
 * A table of fixed size, in which a user who has been quiet makes room: his buckets are full by then, unless there are
 * more busy users than places. Asked from every worker, once for each question, so under a lock.
 */
#include <string.h>

#include "chat/chat_int.h"

#define SETS   256
#define WAYS   4
#define MINUTE ((int64_t)60 * 1000000)
#define HOUR   (60 * MINUTE)

struct rate_user {
    uint64_t hash;
    int64_t minute_full, hour_full;
};

bool rates_init(struct rates *r)
{
    pthread_mutex_init(&r->lock, NULL);
    r->users = mem_zalloc(sizeof *r->users * SETS * WAYS);
    return r->users != NULL;
}

void rates_fini(struct rates *r)
{
    mem_free(r->users);
    pthread_mutex_destroy(&r->lock);
}

/* The moment at which the bucket is full again after one more; what is above now + span does not fit. */
static int64_t after_one(int64_t full, int64_t limit, int64_t span, int64_t now)
{
    return limit > 0 ? (full > now ? full : now) + span / limit : 0;
}

static int64_t over(int64_t full, int64_t span, int64_t now)
{
    return full > now + span ? full - now - span : 0;
}

static struct rate_user *find(struct rates *r, uint64_t hash)
{
    struct rate_user *set = &r->users[hash % SETS * WAYS], *quiet = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].hour_full < quiet->hour_full)
            quiet = &set[i];
    }
    *quiet = (struct rate_user){.hash = hash};
    return quiet;
}

bool rates_take(struct rates *r, const char *user, const struct chat_conf *limits, int64_t now_us,
                int64_t *wait_us)
{
    pthread_mutex_lock(&r->lock);
    struct rate_user *u = find(r, strv_hash(strv_of(user), 0x72617465) | 1);
    int64_t minute = after_one(u->minute_full, limits->messages_min, MINUTE, now_us);
    int64_t hour = after_one(u->hour_full, limits->messages_hour, HOUR, now_us);
    int64_t wait = over(minute, MINUTE, now_us), wait_hour = over(hour, HOUR, now_us);
    *wait_us = wait > wait_hour ? wait : wait_hour;
    if (*wait_us == 0) {
        u->minute_full = minute;
        u->hour_full = hour;
    }
    pthread_mutex_unlock(&r->lock);
    return *wait_us == 0;
}
