/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub - the servers of the program on the main thread: running, restarting, and the catalogue of what they have.
 *
 *   configure --> STARTING --changed--> READY --down--> DOWN --1 s, 2 s .. 60 s--> again
 *
 * A server that was ready and fell gets one more try in which calls wait for it; after that, calls to it are refused
 * at once, until it is back. Rows of the configuration are held by those who were started from them: a new
 * configuration that says the same of how a server is reached only exchanges the rules for its tools.
 */
#include <assert.h>
#include <stdio.h>

#include "mcp/hub_int.h"

#define BACKOFF_LEAST_MS 1000
#define BACKOFF_MOST_MS  60000
#define STEADY_US        ((int64_t)60 * 1000000) /* ready so long: the next fall is a new story */
#define PUBLISH_MS       200
#define NO_MEMORY_MS     1000

_Static_assert(MCP_SERVERS_MAX <= LEDGER_SERVERS_MAX, "each server has a label");

static void start(struct mcp_server *s);
static void on_changed(void *arg);
static void on_down(void *arg, const char *why);
static void on_updated(void *arg, strv uri);
static void on_fresh(void *arg);
static void publish(struct mcp_hub *h);

static const struct mcp_client_ops client_ops = {on_changed, on_down, on_updated, on_fresh};

/* ---- rows that are held ---- */

static struct mcp_pin *pin_new(const struct mcp_conf *conf)
{
    struct mcp_pin *p = mem_zalloc(sizeof *p);

    if (p == NULL)
        return NULL;
    p->refs = 1;
    p->conf = *conf;
    if (conf->hold != NULL)
        conf->hold(conf->owner);
    return p;
}

static struct mcp_pin *pin_ref(struct mcp_pin *p)
{
    p->refs++;
    return p;
}

static void pin_unref(struct mcp_pin *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    if (p->conf.hold != NULL)
        p->conf.drop(p->conf.owner);
    mem_free(p);
}

/* ---- is it reached in the same way? ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_texts(const char *const *a, const char *const *b)
{
    static const char *const none[] = {NULL};

    for (a = a != NULL ? a : none, b = b != NULL ? b : none; *a != NULL && *b != NULL; a++, b++)
        if (strcmp(*a, *b) != 0)
            return false;
    return *a == *b;
}

static bool same_headers(const struct mcp_server_conf *a, const struct mcp_server_conf *b)
{
    if (a->n_headers != b->n_headers)
        return false;
    for (size_t i = 0; i < a->n_headers; i++)
        if (!strv_eq(a->headers[i].name, b->headers[i].name) ||
            !strv_eq(a->headers[i].value, b->headers[i].value))
            return false;
    return true;
}

static bool same_oauth(const struct mcp_oauth_conf *a, const struct mcp_oauth_conf *b)
{
    static const struct mcp_oauth_conf none;

    a = a != NULL ? a : &none;
    b = b != NULL ? b : &none;
    return same_text(a->client_id, b->client_id) && same_text(a->client_secret, b->client_secret) &&
           same_text(a->issuer, b->issuer) && same_text(a->document, b->document) &&
           same_text(a->scope, b->scope) && a->client_credentials == b->client_credentials;
}

static bool same_limits(const struct mcp_server_conf *a, const struct mcp_server_conf *b)
{
    return a->start_ms == b->start_ms && a->call_ms == b->call_ms && a->total_ms == b->total_ms &&
           a->message_max == b->message_max && a->tools_max == b->tools_max;
}

/* The upstream's key names its address, zone, allowed networks and certificates. */
static bool same_way(const struct mcp_server_conf *a, const struct mcp_server_conf *b)
{
    return a->transport == b->transport && a->era == b->era && a->disabled == b->disabled &&
           a->local == b->local && same_limits(a, b) && same_texts(a->argv, b->argv) &&
           same_texts(a->env, b->env) && same_text(a->cwd, b->cwd) && same_text(a->path, b->path) &&
           same_text(a->upstream.key, b->upstream.key) &&
           same_text(a->upstream.url.path, b->upstream.url.path) && same_headers(a, b) &&
           same_oauth(a->oauth, b->oauth);
}

/* ---- one server ---- */

static void set_state(struct mcp_server *s, enum mcp_state state, const char *why)
{
    s->state = state;
    snprintf(s->why, sizeof s->why, "%s", why != NULL ? why : "");
    if (s->hub->env.metrics != NULL)
        metric_set(s->hub->env.metrics, METRIC_MCP_UP, s->label, state == MCP_READY);
}

static void on_gone(void *arg)
{
    struct mcp_closing *closing = arg;
    struct mcp_hub *h = closing->hub;

    pin_unref(closing->pin);
    mem_free(closing);
    assert(h->closing > 0);
    if (--h->closing == 0 && h->stopping)
        io_defer(h->env.loop, &h->stop_task);
}

/* Politely, and later: `closing` was allocated with the client, so that there is always a way to close it. */
static void close_client(struct mcp_server *s)
{
    struct mcp_client *client = s->client;
    struct mcp_closing *closing = s->to_close;

    if (client == NULL)
        return;
    s->client = NULL;
    s->to_close = NULL;
    s->known = mcp_client_era(client);
    s->hub->closing++;
    mcp_client_close(client, on_gone, closing);
}

static void on_timer(void *arg)
{
    struct mcp_server *s = arg;

    s->restarts++;
    if (s->hub->env.metrics != NULL)
        metric_add(s->hub->env.metrics, METRIC_MCP_RESTARTS, s->label, 1);
    start(s);
}

static void fell(struct mcp_server *s, const char *why)
{
    bool first = s->state == MCP_READY;

    if (first && io_now_us(s->hub->env.loop) - s->ready_us > STEADY_US)
        s->backoff_ms = 0;
    s->backoff_ms = s->backoff_ms == 0                    ? BACKOFF_LEAST_MS
                    : s->backoff_ms * 2 < BACKOFF_MOST_MS ? s->backoff_ms * 2
                                                          : BACKOFF_MOST_MS;
    set_state(s, MCP_DOWN, why);
    s->patient = first;
    LOG(s->hub->env.log, LOG_WARN, "mcp", LOG_C(SERVER, s->conf->name), LOG_C(STATE, "down"),
        LOG_US(MS, (int64_t)s->backoff_ms * 1000));
    io_timer_start(s->hub->env.loop, &s->timer, s->backoff_ms, on_timer, s);
    mcp_hub_news(s->hub);
}

static void start(struct mcp_server *s)
{
    struct mcp_hub *h = s->hub;
    struct err err = ERR_INIT;
    struct mcp_client_opts opts = {
        .env = {.loop = h->env.loop,
                .client = h->env.client,
                .rng = h->env.rng,
                .log = h->env.log,
                .auth = h->env.auth},
        .conf = s->run,
        .host = h->has_host ? &h->host : NULL,
        .known = s->known,
    };
    struct mcp_closing *closing = mem_zalloc(sizeof *closing);

    if (closing == NULL)
        err_oom(&err);
    else
        s->client = mcp_client_new(&opts, &client_ops, s, &err);
    if (closing == NULL || s->client == NULL) {
        mem_free(closing);
        LOG(h->env.log, LOG_WARN, "mcp", LOG_C(SERVER, s->conf->name), LOG_C(STATE, "not started"),
            LOG_C(REASON, err.text));
        fell(s, err.text);
        return;
    }
    *closing = (struct mcp_closing){h, pin_ref(s->run_pin)};
    s->to_close = closing;
}

static void on_changed(void *arg)
{
    struct mcp_server *s = arg;
    struct mcp_listing *old = s->listing;

    s->listing = mcp_listing_ref(mcp_client_listing(s->client));
    mcp_listing_unref(old);
    s->known = mcp_client_era(s->client);
    if (s->state != MCP_READY) {
        s->ready_us = io_now_us(s->hub->env.loop);
        set_state(s, MCP_READY, NULL);
        LOG(s->hub->env.log, LOG_INFO, "mcp", LOG_C(SERVER, s->conf->name), LOG_C(STATE, "ready"),
            LOG_I(COUNT,
                  s->listing->lists[MCP_TOOLS] != NULL ? s->listing->lists[MCP_TOOLS]->n : 0));
    }
    mcp_hub_news(s->hub);
}

static void on_down(void *arg, const char *why)
{
    struct mcp_server *s = arg;
    char text[sizeof s->why];

    snprintf(text, sizeof text, "%s", why);
    close_client(s);
    fell(s, text);
}

static void on_updated(void *arg, strv uri)
{
    struct mcp_server *s = arg;

    mcp_hub_tell_update(s->hub, s->conf->name, uri);
}

static void on_fresh(void *arg)
{
    mcp_uris_renew(arg);
}

struct mcp_server *mcp_hub_server(struct mcp_hub *h, const char *name)
{
    for (size_t i = 0; i < h->n_servers; i++)
        if (strcmp(h->servers[i]->conf->name, name) == 0)
            return h->servers[i];
    return NULL;
}

bool mcp_server_takes_calls(const struct mcp_server *s)
{
    return s->client != NULL && (s->state != MCP_DOWN || s->patient);
}

/* ---- configurations ---- */

static struct mcp_server *server_new(struct mcp_hub *h, const struct mcp_server_conf *conf)
{
    struct mcp_server *s = mem_zalloc(sizeof *s);

    if (s == NULL)
        return NULL;
    s->hub = h;
    s->conf = conf;
    s->label = metrics_server(conf->name);
    list_init(&s->uris);
    return s;
}

static void server_free(struct mcp_server *s)
{
    io_timer_stop(s->hub->env.loop, &s->timer);
    assert(s->client == NULL);
    mcp_uris_free(s);
    mcp_listing_unref(s->listing);
    pin_unref(s->conf_pin);
    pin_unref(s->run_pin);
    mem_free(s);
}

/* Its calls end, its process or session too. */
static void halt(struct mcp_server *s, const char *why)
{
    io_timer_stop(s->hub->env.loop, &s->timer);
    mcp_hub_end_calls(s, why);
    close_client(s);
}

/* From now on by these rows; started anew if they lead there in another way. */
static void take_over(struct mcp_server *s, const struct mcp_server_conf *conf, struct mcp_pin *pin)
{
    bool same = s->run != NULL && same_way(s->run, conf);
    struct mcp_pin *old = s->conf_pin, *old_run = s->run_pin;

    s->conf = conf;
    s->conf_pin = pin_ref(pin);
    if (!same) {
        halt(s, "its configuration was changed");
        s->run = conf;
        s->run_pin = pin_ref(pin);
        s->backoff_ms = 0;
        s->known = MCP_ERA_UNKNOWN;
        set_state(s, conf->disabled ? MCP_DISABLED : MCP_STARTING, NULL);
        if (conf->disabled) {
            mcp_listing_unref(s->listing);
            s->listing = NULL;
        }
        pin_unref(old_run);
    }
    pin_unref(old);
    if (!same && !conf->disabled)
        start(s);
}

void mcp_hub_again(struct mcp_hub *h, const char *name, const char *why)
{
    struct mcp_server *s = mcp_hub_server(h, name);

    if (s == NULL || s->state == MCP_DISABLED || h->stopping)
        return;
    halt(s, why);
    s->backoff_ms = 0;
    set_state(s, MCP_STARTING, NULL);
    start(s);
    mcp_hub_news(h);
}

/* Everything that can fail, before anything is touched. */
static struct mcp_server **gather(struct mcp_hub *h, const struct mcp_conf *conf, struct err *err)
{
    struct mcp_server **list = mem_zalloc((conf->n_servers + 1) * sizeof *list);

    if (list == NULL) {
        err_oom(err);
        return NULL;
    }
    for (size_t i = 0; i < conf->n_servers; i++) {
        list[i] = mcp_hub_server(h, conf->servers[i].name);
        if (list[i] == NULL)
            list[i] = server_new(h, &conf->servers[i]);
        if (list[i] != NULL)
            continue;
        while (i-- > 0)
            if (list[i]->run == NULL)
                server_free(list[i]);
        mem_free(list);
        err_oom(err);
        return NULL;
    }
    return list;
}

static void remove_absent(struct mcp_hub *h, struct mcp_server **kept, size_t n)
{
    for (size_t i = 0; i < h->n_servers; i++) {
        bool stays = false;

        for (size_t k = 0; k < n; k++)
            stays = stays || kept[k] == h->servers[i];
        if (stays)
            continue;
        halt(h->servers[i], "it was taken out of the configuration");
        set_state(h->servers[i], MCP_DISABLED, NULL);
        server_free(h->servers[i]);
    }
}

bool mcp_hub_configure(struct mcp_hub *h, const struct mcp_conf *conf, struct err *err)
{
    struct mcp_pin *pin = pin_new(conf);
    struct mcp_server **list = pin != NULL ? gather(h, conf, err) : NULL;

    assert(!h->stopping);
    if (list == NULL) {
        pin_unref(pin);
        return err_oom(err);
    }
    remove_absent(h, list, conf->n_servers);
    mem_free(h->servers);
    h->servers = list;
    h->n_servers = conf->n_servers;
    for (size_t i = 0; i < conf->n_servers; i++)
        take_over(list[i], &conf->servers[i], pin);
    pin_unref(pin);
    mcp_hub_news(h);
    return true;
}

/* ---- the catalogue ---- */

static void on_publish_timer(void *arg)
{
    struct mcp_hub *h = arg;

    if (h->news)
        publish(h);
}

static struct mcp_catalogue *make_catalogue(struct mcp_hub *h)
{
    struct mcp_source *sources = mem_zalloc((h->n_servers + 1) * sizeof *sources);
    struct mcp_catalogue *c;

    if (sources == NULL)
        return NULL;
    for (size_t i = 0; i < h->n_servers; i++) {
        const struct mcp_server *s = h->servers[i];

        sources[i] = (struct mcp_source){.conf = s->conf,
                                         .listing = s->listing,
                                         .state = s->state,
                                         .why = s->why[0] != '\0' ? s->why : NULL,
                                         .era = s->known,
                                         .restarts = s->restarts};
    }
    c = mcp_catalogue_make(sources, h->n_servers, h->version + 1);
    mem_free(sources);
    return c;
}

static void publish(struct mcp_hub *h)
{
    struct mcp_catalogue *made = make_catalogue(h), *old;

    h->news = made == NULL; /* the old one stands for a while longer */
    io_timer_start(h->env.loop, &h->publish, made == NULL ? NO_MEMORY_MS : PUBLISH_MS,
                   on_publish_timer, h);
    if (made == NULL)
        return;
    h->version++;
    pthread_mutex_lock(&h->lock);
    old = h->catalogue;
    h->catalogue = made;
    h->news = !mcp_hub_tell_watches(h); /* somebody could not be told: then once more */
    pthread_mutex_unlock(&h->lock);
    mcp_catalogue_unref(old);
}

void mcp_hub_news(struct mcp_hub *h)
{
    h->news = true;
    if (!h->publish.running && !h->stopping)
        io_timer_start(h->env.loop, &h->publish, 0, on_publish_timer, h);
}

struct mcp_catalogue *mcp_hub_catalogue(struct mcp_hub *h)
{
    struct mcp_catalogue *c;

    pthread_mutex_lock(&h->lock);
    c = mcp_catalogue_ref(h->catalogue);
    pthread_mutex_unlock(&h->lock);
    return c;
}

/* ---- beginning and end ---- */

static void run_stopped(struct io_task *task)
{
    struct mcp_hub *h = list_entry(task, struct mcp_hub, stop_task);

    h->stopped(h->stopped_arg);
}

struct mcp_hub *mcp_hub_new(const struct mcp_hub_env *env, const struct mcp_host *host,
                            struct err *err)
{
    struct mcp_hub *h = mem_zalloc(sizeof *h);

    if (h == NULL) {
        err_oom(err);
        return NULL;
    }
    h->env = *env;
    h->has_host = host != NULL;
    if (host != NULL)
        h->host = *host;
    h->stop_task.run = run_stopped;
    list_init(&h->calls);
    list_init(&h->watches);
    h->catalogue = mcp_catalogue_make(NULL, 0, 0);
    if (h->catalogue == NULL) {
        mem_free(h);
        err_oom(err);
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void mcp_hub_stop(struct mcp_hub *h, void (*stopped)(void *arg), void *arg)
{
    h->stopping = true;
    h->stopped = stopped;
    h->stopped_arg = arg;
    io_timer_stop(h->env.loop, &h->publish);
    for (size_t i = 0; i < h->n_servers; i++) {
        halt(h->servers[i], "the router is stopping");
        set_state(h->servers[i], MCP_DISABLED, NULL);
    }
    if (h->closing == 0)
        io_defer(h->env.loop, &h->stop_task);
}

void mcp_hub_free(struct mcp_hub *h)
{
    if (h == NULL)
        return;
    assert(h->closing == 0 && list_empty(&h->calls) && list_empty(&h->watches));
    io_timer_stop(h->env.loop, &h->publish);
    for (size_t i = 0; i < h->n_servers; i++)
        server_free(h->servers[i]);
    mem_free(h->servers);
    mcp_catalogue_unref(h->catalogue);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}
