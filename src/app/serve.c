/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - the router as a process. The main thread reads configuration and keys, starts the engines and the
 * workers, and then only listens to signals, the key store and the prober.
 *
 *   SIGHUP            new snapshot, built whole, then swapped; a bad file changes nothing
 *   SIGTERM, SIGINT   drain: no new connections, streams end by themselves, at most `drain` long; again: now
 *   handover          another process has the sockets: the same, and what comes on open connections is answered
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/command.h"
#include "app/handover.h"
#include "app/sandbox.h"
#include "app/term.h"
#include "app/tools.h"
#include "store/store.h"

#define TICK_MS         1000
#define STALE_AGAIN_MS  10000
#define ENGINE_GRACE_MS 2500
#define GRACE_MS        2000 /* for a request that is on its way on an idle connection */
#define WORKERS_MAX     64

struct engine { /* a running local engine and the snapshot that describes it */
    struct engine *next;
    struct serve *serve;
    struct provider_engine *handle;
    struct snapshot *snapshot;
    const struct provider *p;
    bool retired; /* the configuration has it no longer: it goes when its last answer is out */
    int64_t retired_us;
    bool stopping;
};

struct serve {
    struct config_source source;
    struct serve_opts opts;
    struct handover *handover;
    struct config *config;
    struct io_loop *loop;
    struct http_client *client;
    struct log log;
    struct sandbox sandbox;
    struct provider_prober *prober;
    struct tools tools;
    struct agent_desk *desk; /* calls of tools that wait for a person */
    struct store *kept;      /* the desk's, always the file; the other one is a thread's */
    struct engine *engines;
    struct worker *workers;
    struct chat_room *rooms[WORKERS_MAX]; /* the workers' */
    unsigned n_workers, n_drained;
    struct policy_keys *keys;
    struct policy_sticky *sticky;
    struct policy_limits *limits; /* of all workers */
    struct audit *audit;
    struct gateway_hall *hall;
    uint8_t cookie_secret[32]; /* seals logins; of this process: a restart ends them */
    struct store *store;
    struct ledger *ledger;
    struct crowd *crowd;    /* whose sockets are open */
    struct ended *ended;    /* whose logins are over */
    struct chat_keep *keep; /* NULL = no conversation is kept */
    struct snapshot *first; /* of the start; NULL = nobody needs it any more */
    int64_t store_version;
    struct look { /* for other keys; between look_at_keys() and take_keys() the thread's */
        struct policy_keys *keys;
        int64_t version;
        struct err err;
        bool running, failing;
    } look;
    struct io_timer tick, deadline, delay;
    int64_t stale_again_us; /* not before this time, if a file stays changed */
    bool leaving, draining, stopping;
    bool forced; /* the drain was cut short */
    bool over;   /* nobody takes new keys any more */
};

/* ---- the process ---- */

static void harden(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* prompts and keys are in memory: no core dumps */
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Before there is another thread, and before anything that a stranger says is read. What cannot be had is told; what
 * the kernel promises and then refuses ends the start. */
static bool enter_sandbox(struct serve *s, struct err *err)
{
    char text[256];
    sandbox_prepare(&s->sandbox, s->config, true);
    sandbox_describe(&s->sandbox, text, sizeof text);
    LOG(&s->log, LOG_INFO, "sandbox", LOG_C(STATE, text));
    if (s->sandbox.scope == SANDBOX_OFF)
        return true;
    /* Large sorts of the ledger go to a file, which may lie with the ledger alone. */
    if (setenv("SQLITE_TMPDIR", s->config->state_dir, 0) != 0)
        return err_oom(err);
    return s->sandbox.scope == SANDBOX_WORKERS || sandbox_enter(&s->sandbox) ||
           err_set(err, LLM_ERR_INTERNAL, "the kernel refuses the sandbox (%s); set sandbox: off",
                   strerror(errno));
}

static void complain(const struct err *err)
{
    fprintf(stderr, "llm-router: %s\n", err->text); /* a file's error holds its place already */
}

/* ---- keys ---- */

/* A server's address and the rule for it lie in the snapshot of the start, which stays then. */
static bool open_store(struct serve *s, struct err *err)
{
    if (s->config->store.server.address != NULL)
        s->first = snapshot_ref(s->config->snapshot);
    s->store = store_open(&s->config->store, false, err);
    if (s->store == NULL)
        return false;
    s->store_version = store_version(s->store, NULL);
    s->keys = command_policy_keys(s->store, NULL, err);
    return s->keys != NULL;
}

/* The file is made with the first call that waits. */
static bool open_desk(struct serve *s, struct err *err)
{
    const struct store_at file = {.path = s->config->store.path};
    s->kept = store_open(&file, false, err);
    if (s->kept == NULL)
        return false;
    const struct agent_desk_env env = {s->loop, s->kept, &s->log};
    s->desk = agent_desk_new(&env);
    return s->desk != NULL || err_oom(err);
}

/* ---- the ledger ---- */

static void ledger_options(const struct serve *s, const struct config *c, struct ledger_setup *out)
{
    *out = (struct ledger_setup){.queue = (size_t)c->ledger.queue,
                                 .interval_ms = c->ledger.interval_ms,
                                 .keep_rows = c->ledger.keep_rows,
                                 .keep_sums = c->ledger.keep_sums,
                                 .wall_us = io_wall_us(s->loop),
                                 .log_fd = STDERR_FILENO,
                                 .log_level = c->log_level};
}

/* A ledger that cannot be opened now is tried again while the router serves, unless it is required. */
static bool open_ledger(struct serve *s, struct err *err)
{
    char path[4096];
    struct ledger_setup setup;
    struct err why = ERR_INIT;
    ledger_options(s, s->config, &setup);
    snprintf(path, sizeof path, "%s/" LEDGER_FILE, s->config->state_dir);
    setup.path = path;
    s->ledger = ledger_new(&setup, &why);
    if (s->ledger == NULL)
        return err_oom(err);
    if (ledger_failing(s->ledger) && s->config->snapshot->ledger.required)
        return err_set(err, LLM_ERR_INTERNAL, "the ledger cannot be used: %s", why.text);
    if (ledger_failing(s->ledger))
        LOG(&s->log, LOG_ERROR, "ledger_failing", LOG_C(REASON, why.text));
    return ledger_start(s->ledger, err);
}

/* A file that cannot be used now is tried again with every conversation; the key's file must be good. */
static bool open_keep(struct serve *s, struct err *err)
{
    char path[4096];
    struct chat_keys keys = {.n = 0};
    struct chat_keep_conf conf = s->config->chat_kept;
    const char *key_file = s->config->chat_key_file;
    if (!s->config->chat_keep)
        return true;
    if (key_file != NULL && !chat_keys_read(key_file, &keys, err))
        return false;
    snprintf(path, sizeof path, "%s/chat.db", s->config->state_dir);
    conf.path = path;
    conf.keys = key_file != NULL ? &keys : NULL;
    s->keep = chat_keep_open(&conf, &s->log, err);
    chat_keys_wipe(&keys);
    return s->keep != NULL;
}

static void stop_retired(struct serve *s);
static void on_reload(void *arg, int signum);

/* The roster or the data file has changed: read again like the configuration. One that is refused changes nothing,
 * and is not tried again at once. */
static void follow_privacy_files(struct serve *s)
{
    int64_t now = io_now_us(s->loop);
    if (now < s->stale_again_us || !privacy_stale(s->config->snapshot->privacy))
        return;
    s->stale_again_us = now + (int64_t)STALE_AGAIN_MS * 1000;
    on_reload(s, 0);
}

/* On a thread beside the loop: a server of the store may keep us waiting. */
static void look_at_keys(void *arg)
{
    struct serve *s = arg;
    struct look *k = &s->look;
    k->keys = NULL;
    k->err = ERR_INIT;
    k->version = store_version(s->store, &k->err);
    if (!k->err.set && k->version != s->store_version)
        k->keys = command_policy_keys(s->store, s->keys, &k->err);
}

/* The old keys stay when the new ones cannot be read. */
static void take_keys(void *arg)
{
    struct serve *s = arg;
    struct look *k = &s->look;
    k->running = false;
    if (k->err.set && !k->failing)
        LOG(&s->log, LOG_ERROR, "keys_not_read", LOG_C(REASON, k->err.text));
    else if (!k->err.set && k->failing)
        LOG(&s->log, LOG_INFO, "keys_readable");
    k->failing = k->err.set;
    if (k->keys == NULL || s->over) {
        policy_keys_unref(k->keys);
        return;
    }
    s->store_version = k->version;
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_take_keys(&s->workers[i], k->keys);
    LOG(&s->log, LOG_INFO, "keys_read", LOG_I(COUNT, k->keys->n));
    policy_keys_unref(s->keys);
    s->keys = k->keys;
}

static void on_tick(void *arg)
{
    struct serve *s = arg;
    io_timer_start(s->loop, &s->tick, TICK_MS, on_tick, s);
    log_flush(&s->log);
    traffic_tick(io_wall_us(s->loop));
    stop_retired(s);
    follow_privacy_files(s);
    tools_look(&s->tools);
    if (!s->look.running)
        s->look.running = io_work(s->loop, look_at_keys, take_keys, s);
}

/* Without keys everybody who can reach the address may use the models. */
static bool check_exposure(struct serve *s, struct err *err)
{
    for (const char *const *a = s->config->listen; *a != NULL; a++) {
        bool loopback;
        if (!io_address_is_loopback(strv_of(*a), &loopback, err))
            return false;
        if (!loopback && s->keys->n == 0)
            return err_set(
                err, LLM_ERR_INVALID_REQUEST,
                "listen address %s is not loopback and there are no API keys: refusing to start. "
                "Make one with `llm-router keys add NAME`, or listen on 127.0.0.1.",
                *a);
    }
    return true;
}

/* ---- engines ---- */

static void maybe_exit(struct serve *s)
{
    if (s->stopping && s->engines == NULL && s->tools.stopped)
        io_loop_stop(s->loop);
}

/* The engine's socket lies here: nobody else may look in, or have put something there before. */
static bool make_private_dir(const char *path, struct err *err)
{
    char part[4096];
    struct stat st;
    if (strlen(path) >= sizeof part)
        return err_set(err, LLM_ERR_INTERNAL, "the path of the runtime directory is too long");
    for (const char *slash = path; slash != NULL;) {
        slash = strchr(slash + 1, '/');
        snprintf(part, sizeof part, "%.*s", slash != NULL ? (int)(slash - path) : (int)strlen(path),
                 path);
        if (mkdir(part, slash != NULL ? 0755 : 0700) != 0 && errno != EEXIST)
            return err_set(err, LLM_ERR_INTERNAL, "%s: %s", part, strerror(errno));
    }
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0)
        return err_set(err, LLM_ERR_INTERNAL,
                       "%s must be a directory of our own that nobody else can enter (mode 0700)",
                       path);
    return true;
}

static void start_engine(struct serve *s, struct snapshot *snapshot, const struct provider *p)
{
    struct err err = ERR_INIT;
    struct engine *e = mem_zalloc(sizeof *e);
    if (e == NULL)
        return;
    e->serve = s;
    e->snapshot = snapshot_ref(snapshot);
    e->p = p;
    if (make_private_dir(s->config->runtime_dir, &err))
        e->handle = provider_engine_start(s->loop, s->client, &s->log, p, &err);
    if (e->handle == NULL) {
        LOG(&s->log, LOG_ERROR, "engine_not_started", LOG_C(PROVIDER, p->name),
            LOG_C(REASON, err.text));
        snapshot_unref(e->snapshot);
        mem_free(e);
        return;
    }
    e->next = s->engines;
    s->engines = e;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_args(const char *const *a, const char *const *b)
{
    size_t i = 0;
    if (a == NULL || b == NULL)
        return a == b;
    while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0)
        i++;
    return a[i] == NULL && b[i] == NULL;
}

static bool same_engine(const struct provider *a, const struct provider *b)
{
    const struct provider_spawn *x = &a->spawn, *y = &b->spawn;
    return a->kind == b->kind && same_text(a->name, b->name) && same_text(x->command, y->command) &&
           same_text(x->model, y->model) && same_text(x->alias, y->alias) &&
           same_text(x->socket, y->socket) && x->slots == y->slots && x->context == y->context &&
           x->threads == y->threads && x->embeddings == y->embeddings &&
           same_args(x->args, y->args) && same_text(a->key, b->key);
}

static bool spawns(const struct provider *p)
{
    return p->kind == PROVIDER_LLAMA_SERVER && p->spawn.model != NULL;
}

static void match_engines(struct serve *s);

static void on_engine_stopped(void *arg)
{
    struct engine *e = arg;
    struct serve *s = e->serve;
    struct engine **at = &s->engines;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    snapshot_unref(e->snapshot);
    mem_free(e);
    if (!s->stopping)
        match_engines(s);
    maybe_exit(s);
}

static void stop_engine(struct engine *e)
{
    if (e->stopping)
        return;
    e->stopping = true;
    provider_engine_stop(e->handle, ENGINE_GRACE_MS, on_engine_stopped, e);
}

/* Whoever is still being answered by an engine that is to go may hear the end, for as long as a drain takes. */
static void stop_retired(struct serve *s)
{
    struct engine *next;
    for (struct engine *e = s->engines; e != NULL; e = next) {
        next = e->next;
        if (!e->retired)
            continue;
        pthread_mutex_lock(&e->p->cell->lock);
        bool idle = e->p->cell->in_flight == 0;
        pthread_mutex_unlock(&e->p->cell->lock);
        if (idle || io_now_us(s->loop) - e->retired_us > (int64_t)s->config->drain_ms * 1000)
            stop_engine(e);
    }
}

static struct engine *engine_named(struct serve *s, const char *name)
{
    for (struct engine *e = s->engines; e != NULL; e = e->next)
        if (strcmp(e->p->name, name) == 0)
            return e;
    return NULL;
}

/* Makes what runs agree with the configuration: what changed is stopped, and started when it is gone. */
static void match_engines(struct serve *s)
{
    struct snapshot *now = s->config->snapshot;
    for (struct engine *e = s->engines; e != NULL; e = e->next) {
        bool wanted = e->stopping;
        for (size_t i = 0; i < now->n_providers; i++)
            wanted = wanted || same_engine(e->p, &now->providers[i]);
        if (!wanted && !e->retired)
            e->retired_us = io_now_us(s->loop);
        e->retired = !wanted;
    }
    for (size_t i = 0; i < now->n_providers; i++)
        if (spawns(&now->providers[i]) && engine_named(s, now->providers[i].name) == NULL)
            start_engine(s, now, &now->providers[i]);
}

/* The provider whose running engine would have to change, or NULL. It cannot under the streams it serves. */
static const char *changed_engine(struct serve *s, const struct snapshot *now)
{
    for (size_t i = 0; i < now->n_providers; i++) {
        const struct engine *e =
            spawns(&now->providers[i]) ? engine_named(s, now->providers[i].name) : NULL;
        if (e != NULL && !e->retired && !same_engine(e->p, &now->providers[i]))
            return e->p->name;
    }
    return NULL;
}

/* ---- configuration ---- */

static void keep_snapshot(void *arg, int change)
{
    if (change > 0)
        snapshot_ref(arg);
    else
        snapshot_unref(arg);
}

static void use_snapshot(struct serve *s)
{
    struct snapshot *now = s->config->snapshot;
    bool cloud = !now->policy.airgap && now->policy.mode != LLM_MODE_LOCAL;
    for (size_t i = 0; i < now->n_providers; i++)
        for (size_t k = 0; k < provider_instance_count(&now->providers[i]); k++) {
            const struct provider_cell *c = provider_instance(&now->providers[i], k)->cell;
            metrics_name_provider((unsigned)c->index, c->name);
            traffic_zone((unsigned)c->index, now->providers[i].zone == ZONE_CLOUD);
        }
    metric_set(metrics_process(), METRIC_TLS_EXPIRES, 0,
               s->config->tls != NULL ? io_tls_expires_us(s->config->tls) / 1000000 : 0);
    provider_prober_set(s->prober, now->providers, now->n_providers, cloud, keep_snapshot, now);
    tools_configure(&s->tools, s->config);
    match_engines(s);
}

static void log_warnings(struct serve *s)
{
    for (const struct config_warning *w = s->config->warnings; w != NULL; w = w->next)
        LOG(&s->log, LOG_WARN, "configuration", LOG_C(REASON, w->text));
}

static void on_reload(void *arg, int signum)
{
    struct serve *s = arg;
    struct err err = ERR_INIT;
    (void)signum;
    if (s->stopping) /* engines that it brings would never be stopped */
        return;
    struct config *now = config_load(&s->source, &err);
    if (now == NULL) {
        metric_add(metrics_process(), METRIC_RELOADS_FAILED, 0, 1);
        LOG(&s->log, LOG_ERROR, "reload_refused", LOG_I(LINE, err.line), LOG_C(REASON, err.text));
        return;
    }
    if (s->sandbox.scope == SANDBOX_ON && sandbox_starts_programs(now)) {
        metric_add(metrics_process(), METRIC_RELOADS_FAILED, 0, 1);
        LOG(&s->log, LOG_ERROR, "reload_refused",
            LOG_C(REASON, "it brings the first program to start, and the sandbox forbids that; "
                          "restart the router, or set sandbox: workers"));
        config_free(now);
        return;
    }
    const char *changed = changed_engine(s, now->snapshot);
    if (changed != NULL) {
        metric_add(metrics_process(), METRIC_RELOADS_FAILED, 0, 1);
        LOG(&s->log, LOG_ERROR, "reload_refused", LOG_C(PROVIDER, changed),
            LOG_C(REASON, "the options of a running engine cannot change; restart the router"));
        config_free(now);
        return;
    }
    const char *const *restart = config_needs_restart(s->config, now);
    for (; restart != NULL && *restart != NULL; restart++)
        LOG(&s->log, LOG_WARN, "needs_restart", LOG_C(OPTION, *restart));
    bool ok = true;
    for (unsigned i = 0; i < s->n_workers; i++)
        ok = worker_take_config(&s->workers[i], now) && ok;
    if (!ok)
        LOG(&s->log, LOG_ERROR, "reload_incomplete", LOG_C(REASON, "out of memory; reload again"));
    config_free(s->config);
    s->config = now;
    s->log.level = now->log_level;
    audit_set_opts(s->audit, &now->audit);
    use_snapshot(s);
    struct ledger_setup setup;
    ledger_options(s, now, &setup);
    ledger_change(s->ledger, &setup);
    log_warnings(s);
    metric_add(metrics_process(), METRIC_RELOADS, 0, 1);
    LOG(&s->log, LOG_INFO, "reloaded", LOG_I(COUNT, now->snapshot->n_providers));
    log_flush(&s->log);
}

/* ---- the end ---- */

static void on_tools_stopped(void *arg)
{
    maybe_exit(arg);
}

static void stop_now(void *arg)
{
    struct serve *s = arg;
    if (s->stopping)
        return;
    s->stopping = true;
    s->forced = s->n_drained < s->n_workers;
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_stop(&s->workers[i]);
    struct engine *next;
    for (struct engine *e = s->engines; e != NULL; e = next) {
        next = e->next;
        stop_engine(e);
    }
    tools_stop(&s->tools, on_tools_stopped, s);
}

static void one_drained(void *arg)
{
    struct serve *s = arg;
    if (++s->n_drained == s->n_workers)
        stop_now(s);
}

static void on_drained(void *arg, struct worker *w) /* the worker's thread */
{
    struct serve *s = arg;
    (void)w;
    (void)io_post(s->loop, one_drained, s); /* refused: the drain's deadline ends it */
}

static void drain(struct serve *s, uint64_t grace_ms)
{
    s->draining = true;
    handover_close(s->handover);
    io_timer_stop(s->loop, &s->delay);
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_drain(&s->workers[i], grace_ms);
    io_timer_start(s->loop, &s->deadline, s->config->drain_ms, stop_now, s);
}

static void on_delay_over(void *arg)
{
    drain(arg, GRACE_MS);
}

static void on_stop(void *arg, int signum)
{
    struct serve *s = arg;
    LOG(&s->log, LOG_INFO, "stopping", LOG_I(SIGNAL, signum));
    log_flush(&s->log);
    io_notify("STOPPING=1");
    if (s->draining) {
        stop_now(s);
    } else if (s->leaving || s->config->drain_delay_ms == 0) {
        drain(s, 0);
    } else {
        s->leaving = true;
        for (unsigned i = 0; i < s->n_workers; i++)
            worker_leave(&s->workers[i]);
        io_timer_start(s->loop, &s->delay, s->config->drain_delay_ms, on_delay_over, s);
    }
}

/* ---- another process ---- */

static void on_given(void *arg, pid_t to)
{
    struct serve *s = arg;
    LOG(&s->log, LOG_INFO, "handed_over", LOG_I(PID, to));
    log_flush(&s->log);
    if (!s->draining)
        drain(s, GRACE_MS);
}

static void on_asked_to_reload(void *arg)
{
    on_reload(arg, 0);
}

/* From here on others may take over from us. Where that cannot be, nothing else is lost. */
static void offer(struct serve *s)
{
    struct err err = ERR_INIT;
    const struct handover_env env = {.loop = s->loop,
                                     .log = &s->log,
                                     .audit = s->audit,
                                     .given = on_given,
                                     .reload = on_asked_to_reload,
                                     .arg = s};
    if (!handover_serve(s->handover, s->config->state_dir, &env, &err))
        LOG(&s->log, LOG_WARN, "handover_impossible", LOG_C(REASON, err.text));
}

static bool begin_handover(struct serve *s, struct err *err)
{
    s->handover = handover_new(err);
    if (s->handover == NULL)
        return false;
    handover_activated(s->handover, s->config->listen);
    if (!s->opts.take_over || !handover_take(s->handover, s->config->state_dir, err))
        return !s->opts.take_over;
    s->source.other_side = handover_side(s->handover);
    if (!s->source.other_side)
        return true;
    struct config *c = config_load(&s->source, err); /* with other names for the engines' sockets */
    if (c == NULL)
        return false;
    config_free(s->config);
    s->config = c;
    return true;
}

static bool open_audit(struct serve *s, struct err *err)
{
    int records = -1;
    bool on = handover_is_on(s->handover);
    if (on && !handover_audit(s->handover, &records, err))
        return false;
    s->audit = audit_open(&s->config->audit, &s->log, err);
    if (s->audit != NULL)
        return !on || audit_take(s->audit, records, err);
    if (on)
        close(records);
    return false;
}

static void tell_ready(struct serve *s)
{
    io_notify("READY=1");
    if (s->opts.ready_fd < 0)
        return;
    (void)!write(s->opts.ready_fd, "\n", 1);
    close(s->opts.ready_fd);
    s->opts.ready_fd = -1;
}

/* ---- the beginning ---- */

/* Who starts it by hand is told where to look; a service has no terminal. */
static void tell_pages(const char *bound)
{
    struct buf out;
    if (isatty(STDOUT_FILENO) != 1 || strncmp(bound, "unix:", 5) == 0)
        return;
    buf_init(&out, 512);
    const char *scheme = strncmp(bound, "tls:", 4) == 0 ? "https" : "http";
    bound += strncmp(bound, "tls:", 4) == 0 ? 4 : 0;
    buf_printf(&out, "chat: %s://%s/chat   operators: %s://%s/operator   Ctrl-C ends it\n", scheme,
               bound, scheme, bound);
    (void)term_write(&out);
}

/* Each worker has a socket of its own. Of those that another process has handed over every one is served, since callers
 * wait in each; if there are fewer than workers, some share one. A UNIX socket is one file: one worker serves it. */
static bool listen_on(struct serve *s, const char *address, struct err *err)
{
    const char *bound = address; /* port 0 becomes the first worker's real one */
    size_t given = handover_count(s->handover, address), n = s->n_workers;
    size_t sharers = strncmp(address, "unix:", 5) == 0 ? 1 : n;
    for (size_t i = 0; i < sharers || i < given; i++) {
        struct worker *w = &s->workers[i % n];
        bool ok;
        if (given > 0)
            ok = worker_listen_on(w, strv_of(address),
                                  handover_socket(s->handover, address, i % given), &bound, err);
        else
            ok = worker_listen(w, strv_of(bound), n > 1, &bound, err);
        if (!ok)
            return false;
        if (given == 0 || i < given)
            handover_keep(s->handover, address, worker_last_fd(w));
    }
    LOG(&s->log, LOG_INFO, "listening", LOG_C(ADDRESS, bound));
    tell_pages(bound);
    return true;
}

static bool start_workers(struct serve *s, struct err *err)
{
    unsigned n = s->config->workers > 0 ? (unsigned)s->config->workers
                                        : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    n = n > WORKERS_MAX ? WORKERS_MAX : n < 1 ? 1 : n;
    s->workers = mem_zalloc(n * sizeof *s->workers);
    if (s->workers == NULL)
        return err_oom(err);
    for (s->n_workers = 0; s->n_workers < n; s->n_workers++) {
        struct worker *w = &s->workers[s->n_workers];
        if (!worker_init(w, s->n_workers, s->config, s->keys, s->config->log_level, err)) {
            s->n_workers++;
            return false;
        }
        w->env.sticky = s->sticky;
        w->env.limits = s->limits;
        w->env.ledger = s->ledger;
        w->env.audit = s->audit;
        w->api.keep = s->keep;
        w->api.sockets.crowd = s->crowd;
        w->api.ended = s->ended;
        w->agent.hub = s->tools.hub;
        w->agent.desk = s->desk;
        (void)agent_host_add(s->tools.host, &w->agent); /* too many: the others are asked */
        if (!worker_open_gateway(w, s->hall, err) ||
            !worker_open_room(w, s->keep, s->rooms, n, err)) {
            s->n_workers++;
            return false;
        }
        w->api.cookie_secret = s->cookie_secret;
        s->rooms[s->n_workers] = w->room;
        w->sandbox = s->sandbox.scope == SANDBOX_WORKERS ? &s->sandbox : NULL;
        w->on_drained = on_drained;
        w->arg = s;
    }
    for (const char *const *a = s->config->listen; *a != NULL; a++)
        if (!listen_on(s, *a, err))
            return false;
    for (unsigned i = 0; i < n; i++)
        if (!worker_start(&s->workers[i], err))
            return false;
    tools_tell(&s->tools, s->workers, n);
    return true;
}

static bool start(struct serve *s, struct err *err)
{
    s->loop = io_loop_new(err);
    if (s->loop == NULL)
        return false;
    s->client = http_client_new(s->loop, (size_t)64 * 1024);
    if (s->client == NULL)
        return err_oom(err);
    for (unsigned i = 0; i < OUTCOMES; i++)
        metrics_name_outcome(i, outcome_row((enum outcome)i)->name);
    ledger_started(io_wall_us(s->loop));
    metric_set(metrics_process(), METRIC_START_TIME, 0, io_wall_us(s->loop) / 1000000);
    if (!open_store(s, err) || !open_ledger(s, err) || !open_keep(s, err))
        return false;
    if (!check_exposure(s, err))
        return false;
    if (!io_on_signal(s->loop, SIGTERM, on_stop, s, err) ||
        !io_on_signal(s->loop, SIGINT, on_stop, s, err) ||
        !io_on_signal(s->loop, SIGHUP, on_reload, s, err))
        return false;
    if (!rng_secret(s->cookie_secret, sizeof s->cookie_secret))
        return err_set(err, LLM_ERR_INTERNAL, "the system gives no random numbers");
    s->sticky = policy_sticky_new();
    if (s->sticky == NULL)
        return err_oom(err);
    if (!tools_open(&s->tools, s->loop, s->client, &s->log, s->config->state_dir, err))
        return false;
    if (!open_desk(s, err))
        return false;
    s->hall = gateway_hall_new(err);
    if (s->hall == NULL)
        return false;
    s->prober = provider_prober_new(s->loop, s->client, &s->log, s->config->probe_interval_ms);
    s->limits = policy_limits_new();
    s->crowd = crowd_new();
    s->ended = ended_new();
    if (s->prober == NULL || s->limits == NULL || s->crowd == NULL || s->ended == NULL)
        return err_oom(err);
    /* Last what two processes cannot have both: by now the rest has gone well. */
    return open_audit(s, err) && start_workers(s, err) && handover_done(s->handover, err);
}

/* A start that failed half-way has no room for some workers, and nobody has sat down yet. */
static void settle_rooms(struct serve *s)
{
    size_t n = 0;
    while (n < s->n_workers && s->rooms[n] != NULL)
        n++;
    chat_rooms_settle(s->rooms, n);
}

static void finish(struct serve *s)
{
    /* Nobody listens to signals any more, and by itself each would kill us before every row is written. */
    sigset_t signals;
    s->over = true;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (unsigned i = 0; i < s->n_workers; i++)
        if (s->workers[i].running)
            worker_stop(&s->workers[i]);
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_join(&s->workers[i]);
    settle_rooms(s);
    if (s->ledger != NULL) /* its answers go to the workers' loops, which are about to end */
        ledger_stop(s->ledger);
    chat_keep_close(s->keep);
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_fini(&s->workers[i]);
    agent_desk_free(s->desk);
    store_close(s->kept);
    ledger_free(s->ledger);
    mem_free(s->workers);
    gateway_hall_free(s->hall);
    policy_limits_free(s->limits);
    crowd_free(s->crowd);
    ended_free(s->ended);
    tools_close(&s->tools);
    if (s->prober != NULL)
        provider_prober_free(s->prober);
    if (s->client != NULL)
        http_client_free(s->client);
    handover_free(s->handover);
    if (s->loop != NULL) {
        io_timer_stop(s->loop, &s->delay);
        io_timer_stop(s->loop, &s->tick);
        io_timer_stop(s->loop, &s->deadline);
        io_loop_free(s->loop);
    }
    if (s->keys != NULL)
        policy_keys_unref(s->keys);
    policy_sticky_free(s->sticky);
    audit_close(s->audit);
    store_close(s->store);
    if (s->first != NULL)
        snapshot_unref(s->first);
    sandbox_fini(&s->sandbox);
    config_free(s->config);
    config_forget();
    provider_cells_free();
    mem_wipe(s->cookie_secret, sizeof s->cookie_secret);
    log_fini(&s->log);
}

int app_serve(const struct config_source *source, const struct serve_opts *opts)
{
    struct serve s = {.source = *source, .opts = *opts, .sandbox.ruleset = -1};
    struct err err = ERR_INIT;
    harden();
    s.config = config_load(&s.source, &err);
    if (s.config == NULL) {
        complain(&err);
        return 2;
    }
    bool ok = sandbox_become(s.config->user, &err);
    prctl(PR_SET_DUMPABLE, 0); /* another user: the kernel has forgotten it */
    log_init(&s.log, STDERR_FILENO, s.config->log_level);
    LOG(&s.log, LOG_INFO, "starting", LOG_C(VERSION, LLM_ROUTER_VERSION), LOG_I(PID, getpid()),
        LOG_C(PATH, s.config->path));
    log_warnings(&s);
    ok = ok && begin_handover(&s, &err) && enter_sandbox(&s, &err) && start(&s, &err);
    if (ok) {
        offer(&s);
        use_snapshot(&s);
        on_tick(&s);
        tell_ready(&s);
        io_loop_run(s.loop);
        LOG(&s.log, LOG_INFO, "stopped", LOG_C(STATE, s.forced ? "forced" : "drained"));
    } else {
        complain(&err);
    }
    finish(&s);
    return ok ? 0 : 1;
}
