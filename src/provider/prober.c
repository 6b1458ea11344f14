/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prober - asks every provider for its list of models, and so learns who is there.
 *
 *   WAIT --timer--> list --answer--> further questions of its kind, one after the other --> WAIT
 *
 * One probe per server, all on one loop, each with its own timer: a server that hangs delays nobody.
 * After a failure the next question comes sooner, at 1, 2, 4 ... seconds, so that a server that starts
 * after us is found soon. An engine of our own is not asked before it is up. What an answer teaches goes
 * to the cell; a failed probe makes the provider unavailable but never opens its breaker: that belongs to
 * real calls.
 *
 * Only the list decides whether a server is well. The further questions (learn.c) are what it may know
 * besides; one that it refuses is not asked again before the next configuration. Between two probes an
 * Ollama is asked what it has in memory when calls have changed that.
 */
#include <assert.h>
#include <stdio.h>

#include "provider/provider.h"

#define LIST_BYTES_MAX ((size_t)4 << 20)
#define ANSWER_MS      5000
#define SOONEST_MS     1000
#define ENGINE_MS      100 /* look again whether the engine is up: a look costs nothing */
#define MEMORY_MS      500 /* look whether an Ollama's memory has changed */
#define SHOWN_MAX                                                                                  \
    8 /* models that one probe asks about by themselves: the others wait for the next */
#define ROOT_MAX 200

enum question { ASK_LIST, ASK_LOADED, ASK_SHOW, ASK_PROPS, ASK_SLOTS, ASK_METRICS, QUESTIONS };

struct probe {
    struct provider_prober *prober;
    const struct provider *p;
    struct io_timer timer;
    struct http_call *call;
    struct arena arena; /* the call's headers */
    struct buf body;
    struct buf sent; /* body of the request */
    int status;
    enum question question;
    uint32_t refused;                           /* bit per question that it does not know */
    unsigned shown;                             /* in this probe */
    bool one_only;                              /* no further one after it */
    strv model;                                 /* of ASK_SHOW; in the arena */
    struct http_upstream root;                  /* its address without the "/v1" of the base path */
    char path[ROOT_MAX];                        /* of root */
    int64_t due_us;                             /* the next list */
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
    struct io_timer memory;
    struct probe probes[PROVIDERS_MAX];
    size_t n;
};

static void ask(void *arg);
static void look_at_memory(void *arg);

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

static void end_call(struct probe *probe)
{
    http_call_cancel(probe->call);
    probe->call = NULL;
    buf_fini(&probe->body);
    buf_fini(&probe->sent);
    arena_fini(&probe->arena); /* forgets that it failed, too */
}

static void wait_for_next(struct probe *probe)
{
    int64_t left_us = probe->due_us - io_now_us(probe->prober->loop);
    end_call(probe);
    io_timer_start(probe->prober->loop, &probe->timer,
                   left_us > 0 ? (uint64_t)(left_us + 999) / 1000 : 0, ask, probe);
}

/* What the list has told; problem NULL: it is well. */
static void settle(struct probe *probe, const char *problem)
{
    probe->failures = problem == NULL ? 0 : probe->failures + 1;
    probe->due_us = io_now_us(probe->prober->loop) + (int64_t)next_ms(probe) * 1000;
    write_cell(probe, problem);
    write_log(probe, problem);
}

static void conclude(struct probe *probe, const char *problem)
{
    if (probe->question == ASK_LIST)
        settle(probe, problem);
    wait_for_next(probe);
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

/* ---- further questions ---- */

/* The first model that the list says nothing of, and nothing else did. Not one that is served elsewhere: an
 * Ollama may ask there. */
static bool find_silent(struct probe *probe)
{
    struct provider_models *m = provider_models_get(probe->p->cell);
    probe->model = STRV_NONE;
    for (size_t i = 0; m != NULL && i < m->n && probe->model.ptr == NULL; i++) {
        const struct provider_model *one = &m->items[i];
        if (!one->shown && !one->remote && (one->has | one->lacks) == 0)
            probe->model = arena_strv(&probe->arena, strv_of(one->name));
    }
    provider_models_unref(m);
    return probe->model.ptr != NULL && probe->shown++ < SHOWN_MAX;
}

static bool is_owned_by(const struct probe *probe, const char *owner)
{
    struct provider_models *m = provider_models_get(probe->p->cell);
    bool yes = m != NULL && m->n > 0 && strcmp(m->items[0].owner, owner) == 0;
    provider_models_unref(m);
    return yes;
}

/* Is there something to ask? */
static bool is_wanted(struct probe *probe, enum question q)
{
    const struct provider *p = probe->p;
    if ((probe->refused & (1u << q)) != 0)
        return false;
    switch (q) {
    case ASK_LOADED:
        return p->kind == PROVIDER_OLLAMA;
    case ASK_SHOW:
        return p->kind == PROVIDER_OLLAMA && find_silent(probe);
    case ASK_PROPS:
    case ASK_SLOTS:
        return p->kind == PROVIDER_LLAMA_SERVER ||
               (p->kind == PROVIDER_OPENAI && is_owned_by(probe, "llamacpp"));
    case ASK_METRICS:
        return p->kind == PROVIDER_OPENAI && is_owned_by(probe, "vllm");
    default:
        return false;
    }
}

static void send_question(struct probe *probe, enum question q);

/* The next one after `last`, or none. */
static void ask_more(struct probe *probe, enum question last)
{
    end_call(probe);
    /* A model is shown, and the question stays the same for the next one. */
    for (int q = last == ASK_SHOW ? ASK_SHOW : (int)last + 1; q < QUESTIONS; q++)
        if (is_wanted(probe, (enum question)q)) {
            send_question(probe, (enum question)q);
            return;
        }
    wait_for_next(probe);
}

static void learn(struct probe *probe)
{
    struct provider_cell *c = probe->p->cell;
    strv body = buf_view(&probe->body);
    bool ok = probe->status == 200 && !probe->body.failed;
    switch (probe->question) {
    case ASK_LOADED:
        ok = ok && provider_learn_loaded(c, body);
        break;
    case ASK_SHOW: /* whatever came of it, it is not asked of this model again */
        if (!ok || !provider_learn_shown(c, probe->model, body))
            (void)provider_learn_silent(c, probe->model);
        return;
    case ASK_PROPS:
        ok = ok && provider_learn_props(c, body);
        break;
    case ASK_SLOTS:
        ok = ok && provider_learn_slots(c, body);
        break;
    case ASK_METRICS:
        ok = ok && provider_learn_metrics(c, body);
        break;
    default:
        break;
    }
    if (!ok && probe->status >= 400 && probe->status != 429 && probe->status != 503)
        probe->refused |= 1u << probe->question;
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct probe *probe = arg;
    const char *problem;
    bool answered = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    probe->call = NULL;
    if (probe->question != ASK_LIST) {
        if (answered)
            learn(probe);
        if (answered && !probe->one_only)
            ask_more(probe, probe->question);
        else
            wait_for_next(probe);
        return;
    }
    if (!answered)
        problem = outcome_row(outcome_of_end(how, why, probe->status != 0))->name;
    else if (probe->status != 200)
        problem = judge_status(probe);
    else
        problem = judge_list(probe);
    settle(probe, problem);
    if (problem == NULL && probe->status == 200)
        ask_more(probe, ASK_LIST);
    else
        wait_for_next(probe);
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

static const char *path_of(const struct provider *p, enum question q)
{
    switch (q) {
    case ASK_LOADED:
        return "/api/ps";
    case ASK_SHOW:
        return "/api/show";
    case ASK_PROPS:
        return "/props";
    case ASK_SLOTS:
        return "/slots";
    case ASK_METRICS:
        return "/metrics";
    default:
        return provider_models_path(p->kind);
    }
}

/* Sends probe->question; the answer comes to on_end(). */
static void send_question(struct probe *probe, enum question q)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    const struct provider *p = probe->p;
    struct http_header *headers = ARENA_ARRAY(&probe->arena, struct http_header, 4);
    size_t n = headers != NULL ? provider_headers(p, &probe->arena, headers) : 0;
    struct http_call_spec spec = {.upstream = q == ASK_LIST ? &p->upstream : &probe->root,
                                  .method = HTTP_GET,
                                  .path = path_of(p, q),
                                  .headers = headers,
                                  .n_headers = n};
    struct egress_pass pass;
    probe->question = q;
    probe->status = 0;
    if (q == ASK_SHOW) {
        buf_put_cstr(&probe->sent, "{\"model\":");
        json_put_str(&probe->sent, probe->model);
        buf_put_char(&probe->sent, '}');
        spec.method = HTTP_POST;
        spec.content_type = "application/json";
        spec.body = buf_view(&probe->sent);
    }
    if (!probe->arena.failed && !probe->sent.failed && egress_seal_own(&pass, p, spec.body))
        probe->call = egress_call(probe->prober->client, &pass, &spec, &ops, probe, NULL);
    if (probe->call == NULL)
        conclude(probe, "no memory");
    else
        io_timer_start(probe->prober->loop, &probe->timer, ANSWER_MS, on_late, probe);
}

static void ask(void *arg)
{
    struct probe *probe = arg;
    assert(probe->call == NULL);
    if (!is_up(probe->p)) {
        probe->last = NOT_ASKED;
        io_timer_start(probe->prober->loop, &probe->timer, ENGINE_MS, ask, probe);
        return;
    }
    probe->shown = 0;
    probe->one_only = false;
    send_question(probe, ASK_LIST);
}

static bool take_wish(struct provider_cell *c)
{
    pthread_mutex_lock(&c->lock);
    bool wanted = c->ask_loaded;
    c->ask_loaded = false;
    pthread_mutex_unlock(&c->lock);
    return wanted;
}

static void look_at_memory(void *arg)
{
    struct provider_prober *prober = arg;
    for (size_t i = 0; i < prober->n; i++) {
        struct probe *probe = &prober->probes[i];
        if (probe->call == NULL && probe->last == SAID_YES && is_wanted(probe, ASK_LOADED) &&
            take_wish(probe->p->cell)) {
            probe->one_only = true;
            send_question(probe, ASK_LOADED);
        }
    }
    io_timer_start(prober->loop, &prober->memory, MEMORY_MS, look_at_memory, prober);
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
        buf_fini(&probe->sent);
        arena_fini(&probe->arena);
        *probe = (struct probe){0};
    }
    io_timer_stop(prober->loop, &prober->memory);
    prober->n = 0;
    if (prober->keep != NULL)
        prober->keep(prober->keep_arg, -1);
    prober->keep = NULL;
}

/* Props and metrics lie beside "/v1", not below it. */
static void find_root(struct probe *probe)
{
    strv path = strv_of(probe->p->upstream.url.path), tail = STRV("/v1");
    probe->root = probe->p->upstream;
    if (!strv_ends(path, tail) || path.len >= sizeof probe->path)
        return;
    snprintf(probe->path, sizeof probe->path, "%.*s", (int)(path.len - tail.len), path.ptr);
    probe->root.url.path = probe->path;
}

static void watch(struct provider_prober *prober, const struct provider *p)
{
    if (prober->n == PROVIDERS_MAX) /* there are no more cells than that */
        return;
    struct probe *probe = &prober->probes[prober->n++];
    *probe = (struct probe){.prober = prober, .p = p};
    arena_init(&probe->arena, 512, 65536);
    buf_init(&probe->body, LIST_BYTES_MAX);
    buf_init(&probe->sent, 4096);
    find_root(probe);
    if (p->kind == PROVIDER_OLLAMA)
        io_timer_start(prober->loop, &prober->memory, MEMORY_MS, look_at_memory, prober);
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
