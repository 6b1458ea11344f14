/* SPDX-License-Identifier: Apache-2.0 */
#include "app/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LEAVE_MS          100 /* for the last words to sockets */
#define TICK_MS           250 /* log lines wait no longer than this */
#define UPSTREAM_HEAD_MAX ((size_t)64 * 1024)

static void on_tick(void *arg)
{
    struct worker *w = arg;
    size_t busy, idle;
    http_client_counts(w->client, &busy, &idle);
    metric_set(w->metrics, METRIC_POOL_BUSY, 0, (int64_t)busy);
    metric_set(w->metrics, METRIC_POOL_IDLE, 0, (int64_t)idle);
    log_flush(&w->log);
    io_timer_start(w->loop, &w->tick, TICK_MS, on_tick, w);
}

static void on_connections(void *arg, int change)
{
    struct api *api = arg;
    metric_add(api->env->metrics, METRIC_CONNECTIONS, 0, change);
}

/* What of a configuration is not in the snapshot but lives in its arena. */
static void use_config(struct worker *w, const struct config *c)
{
    w->api.origins = c->origins;
    w->api.hosts = c->hosts;
    w->api.require_keys = c->require_keys || w->exposed;
    w->api.allow_pull = c->allow_pull;
    w->api.page = c->page;
    w->agent.conf = &c->mcp;
    w->api.advisor = &c->advisor;
    w->api.store = &c->store;
    w->api.audit = &c->audit;
    w->api.chat = &c->chat;
    if (w->room != NULL)
        chat_room_conf(w->room, &c->chat);
    w->api.sockets.conf = &c->sockets;
    w->api.sockets.max = c->server.connections_max;
    w->admin.config = c;
    if (w->server != NULL)
        http_server_set_tls(w->server, c->tls);
}

static bool put_config(const void *config, struct buf *out)
{
    return config_print(config, out);
}

bool worker_init(struct worker *w, unsigned number, const struct config *c,
                 struct policy_keys *keys, enum log_level level, struct err *err)
{
    memset(w, 0, sizeof *w);
    w->number = number;
    log_init(&w->log, STDERR_FILENO, level);
    if (!rng_seed_system(&w->rng))
        return err_set(err, LLM_ERR_INTERNAL, "the system gives no random numbers");
    w->loop = io_loop_new(err);
    if (w->loop == NULL)
        return false;
    w->metrics = metrics_new();
    w->client = http_client_new(w->loop, UPSTREAM_HEAD_MAX);
    if (w->metrics == NULL || w->client == NULL)
        return err_oom(err);
    w->env = (struct exchange_env){
        .loop = w->loop,
        .client = w->client,
        .rng = &w->rng,
        .log = &w->log,
        .metrics = w->metrics,
        .snapshot = snapshot_ref(c->snapshot),
    };
    w->admin = (struct admin){.env = &w->env, .agent = &w->agent, .put_config = put_config};
    w->agent.exchange = &w->env;
    w->api = (struct api){
        .env = &w->env,
        .admin = &w->admin,
        .routes = app_routes,
        .n_routes = app_n_routes,
        .keys = policy_keys_ref(keys),
        .agent = &w->agent,
        .put_state = admin_put_state,
    };
    api_events_init(&w->api);
    w->exposed = config_open_address(c) != NULL;
    api_sockets_init(&w->api);
    use_config(w, c);
    if (!exchange_env_init(&w->env, err))
        return false;
    struct http_handlers handlers = {api_on_head, api_on_request, api_on_bad, on_connections,
                                     &w->api};
    w->server = http_server_new(w->loop, &c->server, &handlers, err);
    if (w->server != NULL)
        http_server_set_tls(w->server, c->tls);
    return w->server != NULL;
}

static void put_models(void *arg, const struct policy_key *key, struct arena *arena,
                       struct buf *out)
{
    struct worker *w = arg;
    buf_put_cstr(out, "{\"models\":");
    api_put_models(&w->env, key, arena, out);
    buf_put_char(out, '}');
}

static void put_providers(void *arg, const struct policy_key *key, struct arena *arena,
                          struct buf *out)
{
    (void)key;
    const struct worker *w = arg;
    buf_put_cstr(out, "{\"providers\":");
    admin_put_providers(&w->env, arena, out);
    buf_put_char(out, '}');
}

bool worker_open_gateway(struct worker *w, struct gateway_hall *hall, struct err *err)
{
    static const struct gateway_calls calls = {agent_may, agent_call, agent_call_cancel};
    struct gateway_env env = {.exchange = &w->env,
                              .agent = &w->agent,
                              .calls = &calls,
                              .hall = hall,
                              .models = put_models,
                              .providers = put_providers,
                              .arg = w};
    w->gateway = gateway_new(&env);
    w->api.gateway = w->gateway;
    return w->gateway != NULL || err_oom(err);
}

bool worker_open_room(struct worker *w, struct chat_keep *keep, struct chat_room *const *rooms,
                      size_t n_rooms, struct err *err)
{
    const struct chat_room_env env = {.exchange = &w->env,
                                      .agent = &w->agent,
                                      .keep = keep,
                                      .conf = w->api.chat,
                                      .rooms = rooms,
                                      .n_rooms = n_rooms};
    w->room = chat_room_new(&env);
    w->api.room = w->room;
    return w->room != NULL || err_oom(err);
}

bool worker_listen(struct worker *w, strv address, bool shared, const char **bound, struct err *err)
{
    return http_server_listen(w->server, address, shared, bound, err);
}

bool worker_listen_on(struct worker *w, strv address, int fd, const char **bound, struct err *err)
{
    return http_server_listen_on(w->server, address, fd, bound, err);
}

int worker_last_fd(const struct worker *w)
{
    return http_server_last_fd(w->server);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    w->refused = w->sandbox != NULL && !sandbox_enter(w->sandbox) ? errno : 0;
    sem_post(&w->entered);
    if (w->refused != 0)
        return NULL;
    io_timer_start(w->loop, &w->tick, TICK_MS, on_tick, w);
    io_loop_run(w->loop);
    return NULL;
}

bool worker_start(struct worker *w, struct err *err)
{
    sigset_t all, old;
    sem_init(&w->entered, 0, 0);
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0)
        return err_set(err, LLM_ERR_INTERNAL, "cannot start a thread: %s", strerror(e));
    while (sem_wait(&w->entered) != 0)
        continue; /* a signal */
    sem_destroy(&w->entered);
    w->running = w->refused == 0;
    if (w->running)
        return true;
    pthread_join(w->thread, NULL);
    return err_set(err, LLM_ERR_INTERNAL, "the kernel refuses the sandbox (%s); set sandbox: off",
                   strerror(w->refused));
}

/* ---- messages ---- */

struct message {
    struct worker *w;
    const struct config *config; /* lives as its snapshot does, which is referenced */
    struct policy_keys *keys;
    struct agent_index *index;
};

static struct message *message_new(struct worker *w)
{
    struct message *m = mem_zalloc(sizeof *m);
    if (m != NULL)
        m->w = w;
    return m;
}

static void take_config(void *arg)
{
    struct message *m = arg;
    struct snapshot *old = m->w->env.snapshot;
    m->w->env.snapshot = m->config->snapshot;
    use_config(m->w, m->config);
    if (m->w->server != NULL)
        http_server_set_opts(m->w->server, &m->config->server);
    m->w->log.level = m->config->log_level;
    snapshot_unref(old);
    mem_free(m);
}

bool worker_take_config(struct worker *w, const struct config *c)
{
    struct message *m = message_new(w);
    if (m == NULL)
        return false;
    m->config = c;
    snapshot_ref(c->snapshot);
    if (io_post(w->loop, take_config, m))
        return true;
    snapshot_unref(c->snapshot);
    mem_free(m);
    return false;
}

static void take_keys(void *arg)
{
    struct message *m = arg;
    policy_keys_unref(m->w->api.keys);
    m->w->api.keys = m->keys;
    api_sockets_keys(&m->w->api);
    api_events_end(&m->w->api);
    if (m->w->gateway != NULL)
        gateway_listens_end(m->w->gateway);
    mem_free(m);
}

bool worker_take_keys(struct worker *w, struct policy_keys *keys)
{
    struct message *m = message_new(w);
    if (m == NULL)
        return false;
    m->keys = policy_keys_ref(keys);
    if (io_post(w->loop, take_keys, m))
        return true;
    policy_keys_unref(keys);
    mem_free(m);
    return false;
}

static void take_tools(void *arg)
{
    struct message *m = arg;
    struct agent_index *before = m->w->agent.index;
    m->w->agent.index = m->index;
    agent_learn(&m->w->agent, before);
    agent_index_unref(before);
    mem_free(m);
}

bool worker_take_tools(struct worker *w, struct agent_index *index)
{
    struct message *m = message_new(w);
    if (m == NULL)
        return false;
    m->index = agent_index_ref(index);
    if (io_post(w->loop, take_tools, m))
        return true;
    agent_index_unref(index);
    mem_free(m);
    return false;
}

static void on_drained(void *arg)
{
    struct worker *w = arg;
    if (--w->draining == 0)
        w->on_drained(w->arg, w);
}

static void drain(void *arg)
{
    struct worker *w = arg;
    w->env.leaving = true;
    w->env.draining = w->grace_ms == 0;
    w->draining = (w->server != NULL) + (w->room != NULL);
    if (w->gateway != NULL)
        gateway_drain(w->gateway);
    api_events_end(&w->api);
    api_sockets_drain(&w->api);
    if (w->server != NULL)
        http_server_drain(w->server, w->grace_ms, on_drained, w);
    if (w->room != NULL)
        chat_room_drain(w->room, on_drained, w);
}

static void depart(void *arg)
{
    struct worker *w = arg;
    w->env.leaving = true;
    if (w->server != NULL)
        http_server_leave(w->server);
}

void worker_leave(struct worker *w)
{
    (void)io_post(w->loop, depart, w); /* without memory it is told at the drain */
}

void worker_drain(struct worker *w, uint64_t grace_ms)
{
    w->grace_ms = grace_ms;
    if (!io_post(w->loop, drain, w))
        worker_stop(w);
}

static void leave(void *arg)
{
    struct worker *w = arg;
    io_loop_stop(w->loop);
}

/* Callers who are still being answered are told; what they are told goes out at the end of the turn. What a conversation's
 * sockets are told takes a moment longer, since they may sit on another worker. */
static void stop(void *arg)
{
    struct worker *w = arg;
    bool seats = w->room != NULL && chat_room_seats(w->room) > 0;
    if (w->room != NULL)
        chat_room_stop(w->room);
    exchange_stop_all(&w->env);
    if (seats)
        io_timer_start(w->loop, &w->leave, LEAVE_MS, leave, w);
    else
        io_loop_stop(w->loop);
}

void worker_stop(struct worker *w)
{
    if (!io_post(w->loop, stop, w))
        io_loop_stop(w->loop);
}

void worker_join(struct worker *w)
{
    if (w->running)
        pthread_join(w->thread, NULL);
    w->running = false;
    api_sockets_fini(&w->api); /* their seats rise before the rooms settle */
}

/* After worker_join(): callers that are still there are dropped; their exchanges end and are accounted. The
 * loop goes before what its messages speak of: some may have come after it stopped, and it hands them out at
 * its end. */
void worker_fini(struct worker *w)
{
    if (w->loop != NULL) {
        io_timer_stop(w->loop, &w->tick);
        io_timer_stop(w->loop, &w->leave);
    }
    if (w->server != NULL)
        http_server_free(w->server);
    w->server = NULL;
    if (w->client != NULL)
        http_client_free(w->client);
    audit_leave(w->env.audit, w->loop);
    if (w->loop != NULL)
        io_loop_free(w->loop);
    gateway_free(w->gateway); /* after the loop: letters between workers are for it */
    chat_room_free(w->room);  /* the same: the file's answers are */
    exchange_env_fini(&w->env);
    agent_index_unref(w->agent.index);
    snapshot_unref(w->env.snapshot);
    if (w->api.keys != NULL)
        policy_keys_unref(w->api.keys);
    if (w->metrics != NULL)
        metrics_free(w->metrics);
    log_fini(&w->log);
}
