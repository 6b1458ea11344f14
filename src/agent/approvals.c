/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals - the desk: petitions in memory under a mutex, written into the store by the main thread.
 *
 *   worker:  agent_ask() > petition > wait ... decided --io_post--> done()
 *   anyone:  agent_desk_decide()
 *   main:    each TICK_MS: write what changed, read what another process decided, expire
 *
 * A crash between a decision and its writing loses the decision, never makes one: the call is asked for again.
 * A session is known by a digest of its name, arguments are forgotten when they are decided upon.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "agent/approvals.h"
#include "policy/policy.h"

#define PETITIONS_MAX 512 /* held at once, decided ones too */
#define ARGUMENTS_MAX ((size_t)64 * 1024)
#define TICK_MS       250
#define USABLE_US     ((int64_t)3600 * 1000000) /* an approval that came too late for its call */
#define SESSION_US    ((int64_t)24 * 3600 * 1000000)
#define KEEP_US       ((int64_t)7 * 24 * 3600 * 1000000) /* in the store */

struct petition {
    struct list node;
    struct store_approval a;
    char *arguments;         /* NULL once it is decided */
    struct agent_wait *wait; /* NULL = nobody waits now */
    bool dirty;              /* not as in the store */
};

struct agent_wait {
    struct petition *petition; /* NULL: it is on its way to its loop */
    struct agent_desk *desk;
    struct io_loop *loop;
    void (*done)(void *arg, enum agent_decision d, const char *by);
    void *arg;
    bool forgotten;
    enum agent_decision decision;
    char id[32], by[64];
};

struct agent_desk {
    struct agent_desk_env env;
    struct io_timer tick;
    int64_t version; /* of the store, when it was read */
    pthread_mutex_t lock;
    struct list petitions; /* oldest first */
    size_t n;
};

const char *agent_decision_name(enum agent_decision d)
{
    static const char *const names[] = {"pending", "approved", "denied", "expired", "no-desk"};
    return names[d];
}

/* ---- petitions ---- */

static struct petition *petition_new(struct agent_desk *d, const struct store_approval *a,
                                     strv arguments)
{
    struct petition *p = mem_zalloc(sizeof *p);
    char *copy = p != NULL ? mem_alloc(arguments.len + 1) : NULL;
    if (copy == NULL) {
        mem_free(p);
        return NULL;
    }
    if (arguments.len > 0)
        memcpy(copy, arguments.ptr, arguments.len);
    copy[arguments.len] = '\0';
    p->a = *a;
    p->a.arguments = NULL;
    p->arguments = copy;
    list_add_tail(&d->petitions, &p->node);
    d->n++;
    return p;
}

static void forget_arguments(struct petition *p)
{
    if (p->arguments != NULL)
        mem_wipe(p->arguments, strlen(p->arguments));
    mem_free(p->arguments);
    p->arguments = NULL;
}

static void petition_free(struct agent_desk *d, struct petition *p)
{
    assert(p->wait == NULL);
    forget_arguments(p);
    list_del(&p->node);
    d->n--;
    mem_free(p);
}

static struct petition *find(struct agent_desk *d, strv id)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &d->petitions)
    {
        struct petition *p = list_entry(pos, struct petition, node);
        if (strv_eq_cstr(id, p->a.id))
            return p;
    }
    return NULL;
}

/* ---- telling ---- */

static void deliver(void *arg) /* the waiter's thread */
{
    struct agent_wait *w = arg;
    if (!w->forgotten)
        w->done(w->arg, w->decision, w->by);
    mem_free(w);
}

/* Whoever could not be told waits for the next tick. Once it is posted, the wait is its own thread's and may be gone. */
static void tell(struct petition *p)
{
    struct agent_wait *w = p->wait;
    if (w == NULL)
        return;
    p->a.used = p->a.used || !p->a.remember;
    w->decision = (enum agent_decision)p->a.decision;
    snprintf(w->by, sizeof w->by, "%s", p->a.decided_by);
    w->petition = NULL;
    p->wait = NULL;
    if (io_post(w->loop, deliver, w))
        return;
    w->petition = p;
    p->wait = w;
}

static void decide(struct petition *p, enum agent_decision decision, bool remember, const char *by,
                   int64_t now_us)
{
    p->a.decision = (int)decision;
    p->a.remember = remember;
    p->a.decided_us = now_us;
    snprintf(p->a.decided_by, sizeof p->a.decided_by, "%s", by);
    forget_arguments(p);
    tell(p);
    p->dirty = true;
}

/* ---- asking ---- */

/* 16 bytes of its digest as hex; "" for none. */
static void session_of(strv session, char out[256])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[32];
    out[0] = '\0';
    if (session.len == 0)
        return;
    policy_key_digest(session, digest);
    for (size_t i = 0; i < 16; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[32] = '\0';
}

static bool describe(const struct agent_petition *p, struct store_approval *out)
{
    uint8_t random[12];
    static const char set[] = "0123456789abcdefghijklmnopqrstuv";
    *out = (struct store_approval){
        .effect = (int)p->effect,
        .always = p->always,
        .asked_us = p->asked_us,
        .until_us = p->until_us,
    };
    if (!rng_secret(random, sizeof random))
        return false;
    memcpy(out->id, "ap_", 3);
    for (size_t i = 0; i < sizeof random; i++)
        out->id[3 + i] = set[random[i] % 32];
    snprintf(out->server, sizeof out->server, "%s", p->server);
    snprintf(out->tool, sizeof out->tool, "%s", p->tool);
    snprintf(out->key, sizeof out->key, "%s", p->key);
    session_of(p->session, out->session);
    memcpy(out->arguments_digest, p->arguments_digest, 32);
    memcpy(out->tool_digest, p->tool_digest, 32);
    return true;
}

static bool is_same_tool(const struct store_approval *a, const struct store_approval *b)
{
    return strcmp(a->server, b->server) == 0 && strcmp(a->tool, b->tool) == 0 &&
           strcmp(a->key, b->key) == 0 && memcmp(a->tool_digest, b->tool_digest, 32) == 0;
}

/* Does what was said about `a` hold for `now`? */
static bool counts(const struct store_approval *a, const struct store_approval *now)
{
    bool same = memcmp(a->arguments_digest, now->arguments_digest, 32) == 0;
    bool yes = a->decision == AGENT_APPROVED;
    if (!is_same_tool(a, now))
        return false;
    if (a->decision == AGENT_PENDING)
        return same && a->until_us > now->asked_us && a->always == now->always;
    if (yes && a->remember && !now->always && a->session[0] != '\0' &&
        strcmp(a->session, now->session) == 0 && now->asked_us - a->decided_us < SESSION_US)
        return true;
    return (yes || a->decision == AGENT_DENIED) && same && !a->used && !a->remember &&
           now->asked_us - a->decided_us < USABLE_US;
}

/* One decision is for one call: a petition that somebody waits for is his alone. */
static struct petition *known(struct agent_desk *d, const struct store_approval *now)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &d->petitions)
    {
        struct petition *p = list_entry(pos, struct petition, node);
        if (p->wait == NULL && counts(&p->a, now))
            return p;
    }
    return NULL;
}

/* Decided ones that matter no more make room first. */
static bool make_room(struct agent_desk *d)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &d->petitions)
    {
        struct petition *p = list_entry(pos, struct petition, node);
        if (d->n < PETITIONS_MAX)
            break;
        if (p->a.decision != AGENT_PENDING && !p->dirty && p->wait == NULL)
            petition_free(d, p);
    }
    return d->n < PETITIONS_MAX;
}

/* Under the lock. False: no memory or no room. */
static bool take(struct agent_desk *d, struct agent_wait *w, const struct store_approval *a,
                 strv arguments)
{
    struct petition *p = known(d, a);
    if (p == NULL && arguments.len <= ARGUMENTS_MAX && make_room(d)) {
        p = petition_new(d, a, arguments);
        if (p != NULL)
            p->dirty = true;
    }
    if (p == NULL)
        return false;
    snprintf(w->id, sizeof w->id, "%s", p->a.id);
    p->wait = w;
    w->petition = p;
    if (p->a.decision != AGENT_PENDING) {
        p->dirty = p->dirty || !p->a.remember;
        tell(p);
    }
    return true;
}

struct agent_wait *agent_ask(struct agent_desk *d, struct io_loop *loop,
                             const struct agent_petition *p,
                             void (*done)(void *arg, enum agent_decision d, const char *by),
                             void *arg)
{
    struct store_approval a;
    struct agent_wait *w = mem_zalloc(sizeof *w);
    if (w == NULL || !describe(p, &a)) {
        mem_free(w);
        return NULL;
    }
    w->desk = d;
    w->loop = loop;
    w->done = done;
    w->arg = arg;
    pthread_mutex_lock(&d->lock);
    bool ok = take(d, w, &a, p->arguments);
    pthread_mutex_unlock(&d->lock);
    if (ok)
        return w;
    mem_free(w);
    return NULL;
}

const char *agent_ask_id(const struct agent_wait *w)
{
    return w->id;
}

void agent_ask_cancel(struct agent_wait *w)
{
    struct agent_desk *d = w->desk;
    pthread_mutex_lock(&d->lock);
    bool posted = w->petition == NULL;
    if (!posted)
        w->petition->wait = NULL;
    pthread_mutex_unlock(&d->lock);
    if (posted)
        w->forgotten = true; /* deliver() is of this thread */
    else
        mem_free(w);
}

/* ---- deciding ---- */

bool agent_desk_decide(struct agent_desk *d, strv id, enum agent_decision decision, bool remember,
                       const char *by, struct err *err)
{
    assert(decision == AGENT_APPROVED || decision == AGENT_DENIED);
    pthread_mutex_lock(&d->lock);
    struct petition *p = find(d, id);
    bool ok = p != NULL && p->a.decision == AGENT_PENDING;
    bool may = ok && (!remember ||
                      (decision == AGENT_APPROVED && !p->a.always && p->a.session[0] != '\0'));
    if (may)
        decide(p, decision, remember, by, io_wall_us(d->env.loop));
    pthread_mutex_unlock(&d->lock);
    if (!ok)
        return err_set(err, 0, "no call waits for an approval under this id");
    return may || err_field(err, 0, "remember",
                            "remember: only an approval, of a call that names a session and need "
                            "not be approved each time");
}

/* ---- showing ---- */

static void put_time(struct buf *b, const char *key, int64_t us)
{
    buf_printf(b, ",\"%s\":", key);
    json_put_time(b, us, 0);
}

static void put_text(struct buf *b, const char *key, const char *text)
{
    buf_printf(b, ",\"%s\":", key);
    json_put_str(b, strv_of(text));
}

static void put_petition(struct buf *b, const struct petition *p)
{
    const struct store_approval *a = &p->a;
    buf_put_cstr(b, "{\"id\":");
    json_put_str(b, strv_of(a->id));
    put_text(b, "decision", agent_decision_name((enum agent_decision)a->decision));
    put_text(b, "server", a->server);
    put_text(b, "tool", a->tool);
    put_text(b, "effect", mcp_effect_name((enum mcp_effect)a->effect));
    buf_put_cstr(b, ",\"arguments\":");
    buf_put_cstr(b, p->arguments != NULL ? p->arguments : "null");
    put_text(b, "key", a->key);
    buf_printf(b, ",\"rememberable\":%s", !a->always && a->session[0] != '\0' ? "true" : "false");
    put_time(b, "asked", a->asked_us);
    put_time(b, "until", a->until_us);
    put_time(b, "decided", a->decided_us);
    put_text(b, "decided_by", a->decided_by);
    buf_printf(b, ",\"remembered\":%s}", a->remember ? "true" : "false");
}

void agent_desk_json(struct agent_desk *d, struct buf *out)
{
    struct list *pos, *tmp;
    bool first = true;
    buf_put_cstr(out, "{\"approvals\":[");
    pthread_mutex_lock(&d->lock);
    list_for_each(pos, tmp, &d->petitions)
    {
        buf_put_cstr(out, first ? "" : ",");
        put_petition(out, list_entry(pos, struct petition, node));
        first = false;
    }
    pthread_mutex_unlock(&d->lock);
    buf_put_cstr(out, "]}");
}

size_t agent_desk_waiting(struct agent_desk *d)
{
    struct list *pos, *tmp;
    size_t n = 0;
    pthread_mutex_lock(&d->lock);
    list_for_each(pos, tmp, &d->petitions) n +=
        list_entry(pos, struct petition, node)->a.decision == AGENT_PENDING;
    pthread_mutex_unlock(&d->lock);
    return n;
}

/* ---- the main thread ---- */

/* One after another, so that nobody waits for the disk with the lock. */
static bool write_one(struct agent_desk *d)
{
    struct list *pos, *tmp;
    struct store_approval row;
    char *arguments = NULL;
    bool found = false;
    pthread_mutex_lock(&d->lock);
    list_for_each(pos, tmp, &d->petitions)
    {
        struct petition *p = list_entry(pos, struct petition, node);
        if (!p->dirty)
            continue;
        size_t len = p->arguments != NULL ? strlen(p->arguments) : 0;
        arguments = mem_alloc(len + 1);
        if (arguments != NULL) {
            memcpy(arguments, p->arguments != NULL ? p->arguments : "", len);
            arguments[len] = '\0';
            row = p->a;
            p->dirty = false;
            found = true;
        }
        break;
    }
    pthread_mutex_unlock(&d->lock);
    if (!found)
        return false;
    struct err err = ERR_INIT;
    row.arguments = arguments;
    if (!store_approval_put(d->env.store, &row, &err))
        LOG(d->env.log, LOG_ERROR, "approval_not_kept", LOG_C(REASON, err.text));
    mem_wipe(arguments, strlen(arguments));
    mem_free(arguments);
    return true;
}

static void write_all(struct agent_desk *d)
{
    for (size_t i = 0; d->env.store != NULL && i < PETITIONS_MAX && write_one(d); i++)
        ;
}

/* What the store holds and the desk does not, or not yet: another process has decided, or it is a new start. */
static bool take_row(void *arg, const struct store_approval *a)
{
    struct agent_desk *d = arg;
    struct petition *p = find(d, strv_of(a->id));
    if (p == NULL && a->decision != AGENT_EXPIRED && !a->used && make_room(d)) {
        p = petition_new(d, a, strv_of(a->arguments));
        if (p != NULL && a->decision != AGENT_PENDING)
            forget_arguments(p);
    } else if (p != NULL && !p->dirty && p->a.decision == AGENT_PENDING &&
               a->decision != AGENT_PENDING) {
        decide(p, (enum agent_decision)a->decision, a->remember, a->decided_by, a->decided_us);
    }
    return true;
}

static void read_all(struct agent_desk *d)
{
    struct err err = ERR_INIT;
    int64_t version = d->env.store != NULL ? store_version(d->env.store, NULL) : d->version;
    if (version == d->version)
        return;
    d->version = version;
    pthread_mutex_lock(&d->lock);
    bool ok = store_approval_each(d->env.store, take_row, d, &err);
    pthread_mutex_unlock(&d->lock);
    if (!ok)
        LOG(d->env.log, LOG_ERROR, "approvals_not_read", LOG_C(REASON, err.text));
}

static void expire(struct agent_desk *d, int64_t now_us)
{
    struct list *pos, *tmp;
    pthread_mutex_lock(&d->lock);
    list_for_each(pos, tmp, &d->petitions)
    {
        struct petition *p = list_entry(pos, struct petition, node);
        if (p->a.decision == AGENT_PENDING && now_us >= p->a.until_us)
            decide(p, AGENT_EXPIRED, false, "", now_us);
        else if (p->a.decision != AGENT_PENDING && p->wait != NULL)
            tell(p);
        else if (p->a.decision != AGENT_PENDING && !p->dirty &&
                 now_us - p->a.decided_us >= SESSION_US)
            petition_free(d, p);
    }
    pthread_mutex_unlock(&d->lock);
}

static void on_tick(void *arg)
{
    struct agent_desk *d = arg;
    read_all(d);
    expire(d, io_wall_us(d->env.loop));
    write_all(d);
    io_timer_start(d->env.loop, &d->tick, TICK_MS, on_tick, d);
}

struct agent_desk *agent_desk_new(const struct agent_desk_env *env)
{
    struct agent_desk *d = mem_zalloc(sizeof *d);
    if (d == NULL)
        return NULL;
    d->env = *env;
    d->version = -1;
    list_init(&d->petitions);
    pthread_mutex_init(&d->lock, NULL);
    if (env->store != NULL)
        store_approval_purge(env->store, io_wall_us(env->loop) - KEEP_US, NULL);
    on_tick(d);
    return d;
}

void agent_desk_free(struct agent_desk *d)
{
    struct list *pos, *tmp;
    if (d == NULL)
        return;
    io_timer_stop(d->env.loop, &d->tick);
    write_all(d);
    list_for_each(pos, tmp, &d->petitions) petition_free(d, list_entry(pos, struct petition, node));
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}
