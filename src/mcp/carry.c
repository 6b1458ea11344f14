/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carry - a call's way between the caller's thread and the main one, and the watches of the catalogue.
 *
 *   caller's loop                              main loop
 *   mcp_call() -------- begin --------------->  client
 *   ops <------------- progress, said, ask ---  |
 *   done() <----------- answer ---------------  end
 *   mcp_cancel() ------ cancel -------------->  client, server
 *
 * A call is counted: once for the caller until done() or mcp_cancel(), once for the main side until it has ended
 * there, and once for every message under way. Under its lock, `cancelled` is looked at and the message sent in one
 * step, so nothing is posted to a caller's loop after mcp_cancel() has returned. Messages of one direction keep their
 * order.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

#include "mcp/hub_int.h"

#define RETRY_MS         100 /* for an answer that could not be sent for want of memory */
#define RESULT_BYTES_MAX ((size_t)256 << 20)
#define SAYINGS_MAX                                                                                \
    64 /* under way at once; more are dropped: a server logs faster than a caller reads */
#define END_CANCELLED (MCP_MEMORY + 1)

_Static_assert(END_CANCELLED < LEDGER_SERVER_ENDS, "each end has a label");

struct mcp_call {
    atomic_uint refs;
    struct mcp_hub *hub;
    struct io_loop *loop; /* the caller's */
    struct mcp_call_ops ops;
    void *arg;
    int64_t begun_us;
    pthread_mutex_t lock;
    bool cancelled; /* under the lock */

    struct arena
        arena; /* the spec's texts; written by the caller before begin, then read by the main side */
    struct mcp_call_spec spec;

    /* main side */
    struct list node;
    struct mcp_server *server;
    struct mcp_client_call *running; /* NULL: not begun, or over */
    bool over;
    struct io_timer retry;

    /* from the main side to the caller */
    struct mcp_answer answer;
    struct buf result, text, data;
    bool progress_sent; /* under the lock, as the next three */
    double done, total;
    char message[200];
    atomic_uint sayings;
};

static void unref(struct mcp_call *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    buf_fini(&c->result);
    buf_fini(&c->text);
    buf_fini(&c->data);
    arena_fini(&c->arena);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static void ref(struct mcp_call *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

/* To the caller's loop, with a reference for the way. False: it is not wanted any more, or there is no memory. */
static bool tell(struct mcp_call *c, void (*fn)(void *arg), void *arg, bool *cancelled)
{
    bool sent = false;

    pthread_mutex_lock(&c->lock);
    *cancelled = c->cancelled;
    if (!c->cancelled) {
        ref(c);
        sent = io_post(c->loop, fn, arg);
    }
    pthread_mutex_unlock(&c->lock);
    if (!sent && !*cancelled)
        unref(c);
    return sent;
}

/* ---- the end ---- */

static void deliver(void *arg) /* caller's loop */
{
    struct mcp_call *c = arg;

    if (!c->cancelled) { /* set on this thread only */
        c->answer.result = buf_view(&c->result);
        c->answer.text = buf_view(&c->text);
        c->answer.data = buf_view(&c->data);
        c->answer.us = io_now_us(c->loop) - c->begun_us;
        c->ops.done(c->arg, &c->answer);
        unref(c); /* the caller's own */
    }
    unref(c);
}

static void send_answer(void *arg) /* main loop */
{
    struct mcp_call *c = arg;
    bool cancelled;

    if (tell(c, deliver, c, &cancelled) || cancelled)
        unref(c); /* the main side's */
    else
        io_timer_start(c->hub->env.loop, &c->retry, RETRY_MS, send_answer, c);
}

static void count(struct mcp_call *c, unsigned end)
{
    struct metrics *m = c->hub->env.metrics;
    unsigned label = c->server != NULL ? c->server->label : 0;

    if (m == NULL || c->server == NULL)
        return;
    metric_add(m, METRIC_MCP_CALLS, label * LEDGER_SERVER_ENDS + end, 1);
    metric_observe_us(m, METRIC_MCP_CALL, label, io_now_us(c->hub->env.loop) - c->begun_us);
}

static void end_call(struct mcp_call *c, const struct mcp_answer *a)
{
    list_del(&c->node);
    c->running = NULL;
    c->over = true;
    c->answer = *a;
    if (!buf_put_strv(&c->result, a->result) || !buf_put_strv(&c->text, a->text) ||
        !buf_put_strv(&c->data, a->data)) {
        buf_fini(&c->result);
        buf_fini(&c->text);
        buf_fini(&c->data);
        c->answer.end = MCP_MEMORY;
    }
    count(c, c->answer.end);
    send_answer(c);
}

static void end_text(struct mcp_call *c, enum mcp_end end, const char *text)
{
    struct mcp_answer a = {.end = end, .result = STRV(""), .text = strv_of(text), .data = STRV("")};

    end_call(c, &a);
}

static void on_done(void *arg, const struct mcp_answer *a)
{
    struct mcp_call *c = arg;

    if (a->end == MCP_OK && c->server != NULL)
        mcp_uris_note(c->server, &c->spec);
    end_call(c, a);
}

void mcp_hub_end_calls(struct mcp_server *s, const char *why)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &s->hub->calls)
    {
        struct mcp_call *c = list_entry(pos, struct mcp_call, node);

        if (c->server != s)
            continue;
        mcp_client_cancel(c->running);
        end_text(c, MCP_GONE, why);
        c->server = NULL; /* it may be freed while the answer waits to be sent */
    }
}

/* ---- what comes meanwhile ---- */

static void deliver_progress(void *arg) /* caller's loop */
{
    struct mcp_call *c = arg;
    char message[sizeof c->message];
    double done, total;

    pthread_mutex_lock(&c->lock);
    c->progress_sent = false;
    done = c->done;
    total = c->total;
    memcpy(message, c->message, sizeof message);
    pthread_mutex_unlock(&c->lock);
    if (!c->cancelled)
        c->ops.progress(c->arg, done, total, strv_of(message));
    unref(c);
}

/* Only the latest counts: a server that shouts does not fill the caller's loop. */
static void on_progress(void *arg, double done, double total, strv message)
{
    struct mcp_call *c = arg;
    strv cut = message.ptr != NULL ? utf8_cut(message, sizeof c->message - 1) : STRV("");
    bool under_way, cancelled;

    pthread_mutex_lock(&c->lock);
    c->done = done;
    c->total = total;
    memcpy(c->message, cut.ptr, cut.len);
    c->message[cut.len] = '\0';
    under_way = c->progress_sent;
    c->progress_sent = true;
    pthread_mutex_unlock(&c->lock);
    if (!under_way && !tell(c, deliver_progress, c, &cancelled)) {
        pthread_mutex_lock(&c->lock);
        c->progress_sent = false;
        pthread_mutex_unlock(&c->lock);
    }
}

struct saying { /* or a question */
    struct mcp_call *call;
    struct mcp_question *q; /* NULL: it only says something */
    strv method, params;
    char text[];
};

static struct saying *saying_new(struct mcp_call *c, strv method, strv params)
{
    struct saying *s = mem_alloc(sizeof *s + method.len + params.len + 1);

    if (s == NULL)
        return NULL;
    s->call = c;
    s->q = NULL;
    memcpy(s->text, method.ptr, method.len);
    memcpy(s->text + method.len, params.ptr, params.len);
    s->method = (strv){s->text, method.len};
    s->params = (strv){s->text + method.len, params.len};
    return s;
}

static void deliver_saying(void *arg) /* caller's loop */
{
    struct saying *s = arg;
    struct mcp_call *c = s->call;

    atomic_fetch_sub(&c->sayings, 1);
    if (!c->cancelled)
        c->ops.said(c->arg, s->params);
    mem_free(s);
    unref(c);
}

static void on_said(void *arg, strv params)
{
    struct mcp_call *c = arg;
    struct saying *s;
    bool cancelled;

    if (atomic_fetch_add(&c->sayings, 1) >= SAYINGS_MAX ||
        (s = saying_new(c, STRV(""), params)) == NULL) {
        atomic_fetch_sub(&c->sayings, 1);
        return;
    }
    if (!tell(c, deliver_saying, s, &cancelled)) {
        atomic_fetch_sub(&c->sayings, 1);
        mem_free(s);
    }
}

static void deliver_question(void *arg) /* caller's loop */
{
    struct saying *s = arg;
    struct mcp_call *c = s->call;

    if (c->cancelled)
        mcp_refuse_question(s->q, MCP_INTERNAL, "the call was cancelled");
    else
        c->ops.ask(c->arg, s->q, s->method, s->params);
    mem_free(s);
    unref(c);
}

static void on_ask(void *arg, struct mcp_question *q, strv method, strv params)
{
    struct mcp_call *c = arg;
    struct saying *s = saying_new(c, method, params);
    bool cancelled;

    if (s != NULL)
        s->q = q;
    if (s == NULL || !tell(c, deliver_question, s, &cancelled)) {
        mem_free(s);
        mcp_refuse_question(q, MCP_INTERNAL, "nobody can be asked");
    }
}

/* ---- the beginning ---- */

/* Why a server is down is the operator's to know (mcp list): it may quote what the server was started with. */
static void refuse(struct mcp_call *c)
{
    end_text(c, MCP_GONE,
             c->server == NULL                  ? "there is no server of this name"
             : c->server->state == MCP_DISABLED ? "this server is switched off"
                                                : "it is down, and will be started again");
}

static void begin(void *arg) /* main loop */
{
    struct mcp_call *c = arg;
    struct mcp_hub *h = c->hub;
    struct mcp_call_ops ops = {.done = on_done,
                               .progress = c->ops.progress != NULL ? on_progress : NULL,
                               .said = c->ops.said != NULL ? on_said : NULL,
                               .ask = c->ops.ask != NULL ? on_ask : NULL};

    list_add_tail(&h->calls, &c->node);
    c->server = h->stopping ? NULL : mcp_hub_server(h, c->spec.server);
    if (c->server == NULL || !mcp_server_takes_calls(c->server)) {
        refuse(c);
        return;
    }
    if (!c->server->run->local && !c->spec.may_leave) {
        end_text(c, MCP_GONE, "this server is outside the premises");
        return;
    }
    c->running = mcp_client_call(c->server->client, &c->spec, &ops, c);
    if (c->running == NULL)
        end_text(c, MCP_MEMORY, "no memory for the call");
}

static bool copy_spec(struct mcp_call *c, const struct mcp_call_spec *spec)
{
    struct arena *a = &c->arena;

    c->spec = *spec;
    c->spec.server = arena_cstr(a, strv_of(spec->server));
    c->spec.method = arena_cstr(a, strv_of(spec->method));
    c->spec.params = arena_strv(a, spec->params);
    c->spec.capabilities = arena_strv(a, spec->capabilities);
    c->spec.log_level = arena_strv(a, spec->log_level);
    return !a->failed;
}

struct mcp_call *mcp_call(struct mcp_hub *h, struct io_loop *loop, const struct mcp_call_spec *spec,
                          const struct mcp_call_ops *ops, void *arg)
{
    struct mcp_call *c = mem_zalloc(sizeof *c);

    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 2);
    atomic_init(&c->sayings, 0);
    c->hub = h;
    c->loop = loop;
    c->ops = *ops;
    c->arg = arg;
    c->begun_us = io_now_us(loop);
    list_init(&c->node);
    pthread_mutex_init(&c->lock, NULL);
    arena_init(&c->arena, 1024, RESULT_BYTES_MAX);
    buf_init(&c->result, RESULT_BYTES_MAX);
    buf_init(&c->text, RESULT_BYTES_MAX);
    buf_init(&c->data, RESULT_BYTES_MAX);
    if (!copy_spec(c, spec) || !io_post(h->env.loop, begin, c)) {
        unref(c);
        unref(c);
        return NULL;
    }
    return c;
}

static void cancel(void *arg) /* main loop, after begin() */
{
    struct mcp_call *c = arg;

    if (!c->over) {
        mcp_client_cancel(c->running);
        list_del(&c->node);
        c->over = true;
        count(c, END_CANCELLED);
        unref(c); /* the main side's */
    }
    unref(c);
}

void mcp_cancel(struct mcp_call *c)
{
    pthread_mutex_lock(&c->lock);
    c->cancelled = true;
    pthread_mutex_unlock(&c->lock);
    /* Without memory the server goes on with it, and its answer is dropped. */
    if (!io_post(c->hub->env.loop, cancel, c))
        unref(c);
}

/* ---- watches ---- */

struct mcp_watch {
    struct list node; /* the hub's, under its lock */
    atomic_uint refs;
    struct mcp_hub *hub;
    struct io_loop *loop;
    void (*fn)(void *arg); /* of the catalogue; NULL: it is one of updates */
    void (*updated)(void *arg, const char *server, strv uri);
    void *arg;
    bool off, sent; /* under the hub's lock */
};

static void watch_unref(struct mcp_watch *w)
{
    if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) == 1)
        mem_free(w);
}

static void run_watch(void *arg) /* the watcher's loop */
{
    struct mcp_watch *w = arg;
    bool off = w->off; /* set on this thread only, and then the hub may be gone */

    if (!off) {
        pthread_mutex_lock(&w->hub->lock);
        w->sent = false;
        pthread_mutex_unlock(&w->hub->lock);
        w->fn(w->arg);
    }
    watch_unref(w);
}

bool mcp_hub_tell_watches(struct mcp_hub *h)
{
    struct list *pos, *tmp;
    bool all = true;

    list_for_each(pos, tmp, &h->watches)
    {
        struct mcp_watch *w = list_entry(pos, struct mcp_watch, node);

        if (w->sent || w->fn == NULL)
            continue;
        atomic_fetch_add(&w->refs, 1);
        w->sent = io_post(w->loop, run_watch, w);
        if (!w->sent)
            atomic_fetch_sub(&w->refs, 1);
        all = all && w->sent;
    }
    return all;
}

static struct mcp_watch *watch_new(struct mcp_hub *h, struct io_loop *loop, void *arg)
{
    struct mcp_watch *w = mem_zalloc(sizeof *w);

    if (w == NULL)
        return NULL;
    atomic_init(&w->refs, 1);
    w->hub = h;
    w->loop = loop;
    w->arg = arg;
    return w;
}

static struct mcp_watch *watch_begin(struct mcp_watch *w)
{
    if (w == NULL)
        return NULL;
    pthread_mutex_lock(&w->hub->lock);
    list_add_tail(&w->hub->watches, &w->node);
    pthread_mutex_unlock(&w->hub->lock);
    return w;
}

struct mcp_watch *mcp_watch(struct mcp_hub *h, struct io_loop *loop, void (*fn)(void *arg),
                            void *arg)
{
    struct mcp_watch *w = watch_new(h, loop, arg);

    if (w != NULL)
        w->fn = fn;
    return watch_begin(w);
}

struct mcp_watch *mcp_watch_updates(struct mcp_hub *h, struct io_loop *loop,
                                    void (*fn)(void *arg, const char *server, strv uri), void *arg)
{
    struct mcp_watch *w = watch_new(h, loop, arg);

    if (w != NULL)
        w->updated = fn;
    return watch_begin(w);
}

struct update { /* of a resource, on its way to a watcher's loop */
    struct mcp_watch *w;
    char server[32];
    size_t len;
    char uri[];
};

static void run_update(void *arg) /* the watcher's loop */
{
    struct update *u = arg;

    if (!u->w->off) /* set on this thread only */
        u->w->updated(u->w->arg, u->server, (strv){u->uri, u->len});
    watch_unref(u->w);
    mem_free(u);
}

/* Without memory one is not told: an update says no more than that a look may be worth while. */
void mcp_hub_tell_update(struct mcp_hub *h, const char *server, strv uri)
{
    struct list *pos, *tmp;

    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->watches)
    {
        struct mcp_watch *w = list_entry(pos, struct mcp_watch, node);
        struct update *u = w->updated != NULL ? mem_zalloc(sizeof *u + uri.len) : NULL;

        if (u == NULL)
            continue;
        u->w = w;
        u->len = uri.len;
        snprintf(u->server, sizeof u->server, "%s", server);
        memcpy(u->uri, uri.ptr, uri.len);
        atomic_fetch_add(&w->refs, 1);
        if (io_post(w->loop, run_update, u))
            continue;
        atomic_fetch_sub(&w->refs, 1);
        mem_free(u);
    }
    pthread_mutex_unlock(&h->lock);
}

void mcp_unwatch(struct mcp_watch *w)
{
    pthread_mutex_lock(&w->hub->lock);
    w->off = true;
    list_del(&w->node);
    pthread_mutex_unlock(&w->hub->lock);
    watch_unref(w);
}
