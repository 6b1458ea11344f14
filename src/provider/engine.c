/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - the local llama-server: a child that we start, watch and start again.
 *
 *              +----------- back-off over -----------+
 *              v                                     |
 *   DOWN --> LOADING --/health 200--> UP --ended--> DOWN       stop: from everywhere --> STOPPING
 *              |  ^                    |             ^
 *              |  +---- /health 503 ---+             |
 *              +------------- ended -----------------+
 *
 * It listens on a UNIX socket only, with a key of its own, and gets nothing of our environment but
 * PATH and HOME: each of its options has a variable that would override what we mean. What it writes
 * to standard error may quote prompts, so none of it is logged; lines are only looked at for the few
 * causes of a failed start that an operator can do something about.
 *
 * A hung engine still accepts connections. So /health is asked as long as it lives, and after three
 * questions without an answer it is killed and started again.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "provider/provider.h"

#define BACKOFF_MS     500
#define BACKOFF_MAX_MS 30000
#define GOOD_LIFE_US   ((int64_t)60 * 1000000) /* after that, a fall is a new story */
#define POLL_FAST_MS   50                      /* a small model is ready in 30 to 400 ms */
#define POLL_SLOW_MS   500                     /* a large one takes a while anyway */
#define FAST_FOR_US    ((int64_t)2 * 1000000)
#define WATCH_MS       2000
#define ANSWER_MS      2000
#define MISSES_MAX     3
#define SILENT_US      ((int64_t)120 * 1000000) /* while loading it answers too, 503 */
#define ARGS_MAX       64
#define ANSWER_BYTES   65536 /* of /props; its chat template can be long */

enum phase { DOWN, LOADING, UP, STOPPING };

struct provider_engine {
    struct io_loop *loop;
    struct http_client *client;
    struct log *log;
    const struct provider *p;
    struct arena arena; /* arguments and environment, for its whole life */
    const char *argv[ARGS_MAX + 1], *envp[4];

    enum phase phase;
    struct io_child *child; /* NULL = not running */
    struct io_timer timer;  /* the next thing to do, or the limit of a call */
    struct http_call *call;
    struct arena call_arena;
    struct buf answer;
    int status;
    bool asking_props;
    unsigned misses; /* questions in a row without an answer */
    int64_t started_us, up_us, answered_us;
    uint64_t backoff_ms;
    const char *cause; /* of a failed start, a constant; NULL = unknown */

    void (*stopped)(void *arg);
    void *stopped_arg;
};

static void start_child(void *arg);
static void ask_health(void *arg);
static void come_up(struct provider_engine *e);
static void on_end(void *arg, enum http_end how, enum io_end why);

/* ---- telling ---- */

static void set_phase(struct provider_engine *e, enum phase phase, const char *problem)
{
    static const enum provider_state states[] = {
        [DOWN] = PROVIDER_DOWN,
        [LOADING] = PROVIDER_LOADING,
        [UP] = PROVIDER_UP,
        [STOPPING] = PROVIDER_DOWN,
    };
    e->phase = phase;
    provider_set_state(e->p->cell, states[phase], problem);
}

/* Its own words for the causes that are worth telling apart, and ours. */
static const struct {
    const char *phrase, *cause;
} causes[] = {
    {"no backends are loaded", "its processor variants are missing"},
    {"failed to load model", "the model file cannot be loaded"},
    {"error loading model", "the model file cannot be loaded"},
    {"invalid argument", "it does not know an argument"},
    {"address already in use", "its socket is taken"},
    {"couldn't bind", "its socket cannot be made"},
    {"failed to allocate", "not enough memory for the model"},
    {"out of memory", "not enough memory for the model"},
    {"error while loading shared libraries", "a library of it is missing"},
};

static void on_line(void *arg, strv line)
{
    struct provider_engine *e = arg;
    if (e->phase != LOADING)
        return;
    for (size_t i = 0; i < sizeof causes / sizeof *causes && e->cause == NULL; i++)
        if (strv_contains_nocase(line, strv_of(causes[i].phrase)))
            e->cause = causes[i].cause;
}

/* ---- calls ---- */

static void end_call(struct provider_engine *e)
{
    io_timer_stop(e->loop, &e->timer);
    http_call_cancel(e->call);
    e->call = NULL;
    buf_fini(&e->answer);
    arena_fini(&e->call_arena);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct provider_engine *e = arg;
    e->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct provider_engine *e = arg;
    (void)buf_put(&e->answer, data, len); /* too large: /props then says nothing */
}

static void ask_later(struct provider_engine *e)
{
    bool fast = io_now_us(e->loop) - e->started_us < FAST_FOR_US;
    uint64_t ms = e->phase == UP ? WATCH_MS : fast ? POLL_FAST_MS : POLL_SLOW_MS;
    io_timer_start(e->loop, &e->timer, ms, ask_health, e);
}

static bool is_hung(const struct provider_engine *e)
{
    if (e->phase == UP)
        return e->misses >= MISSES_MAX;
    /* Right after the start its socket is not there yet. */
    return io_now_us(e->loop) - e->answered_us > SILENT_US;
}

static void missed(struct provider_engine *e)
{
    end_call(e);
    e->misses++;
    if (!is_hung(e)) {
        ask_later(e);
        return;
    }
    LOG(e->log, LOG_ERROR, "engine", LOG_C(PROVIDER, e->p->name), LOG_C(STATE, "hung"),
        LOG_I(PID, io_child_pid(e->child)));
    e->cause = "it did not answer any more";
    set_phase(e, DOWN, "hung");         /* no call to it from now on */
    io_child_signal(e->child, SIGKILL); /* on_exit does the rest */
}

static void on_late(void *arg)
{
    struct provider_engine *e = arg;
    if (e->asking_props) { /* it is well all the same */
        end_call(e);
        come_up(e);
    } else {
        missed(e);
    }
}

static bool call_engine(struct provider_engine *e, const char *path)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    arena_init(&e->call_arena, 512, 4096);
    buf_init(&e->answer, ANSWER_BYTES);
    e->status = 0;
    struct egress_pass pass;
    struct http_header *headers = ARENA_ARRAY(&e->call_arena, struct http_header, 4);
    size_t n = headers != NULL ? provider_headers(e->p, &e->call_arena, headers) : 0;
    struct http_call_spec spec = {.upstream = &e->p->upstream,
                                  .method = HTTP_GET,
                                  .path = path,
                                  .headers = headers,
                                  .n_headers = n};
    if (!e->call_arena.failed && egress_seal_own(&pass, e->p, spec.body))
        e->call = egress_call(e->client, &pass, &spec, &ops, e, NULL);
    if (e->call == NULL) {
        end_call(e);
        return false;
    }
    io_timer_start(e->loop, &e->timer, ANSWER_MS, on_late, e);
    return true;
}

/* ---- health ---- */

static void read_props(struct provider_engine *e)
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    int64_t slots = 0;
    arena_init(&arena, 16384, (size_t)1 << 20);
    if (e->status == 200 && !e->answer.failed &&
        json_read(&doc, buf_view(&e->answer), &arena, 0, &err))
        slots = json_get_int(doc.root, "total_slots", 0);
    arena_fini(&arena);
    if (slots <= 0)
        return;
    pthread_mutex_lock(&e->p->cell->lock);
    e->p->cell->slots_seen = slots;
    pthread_mutex_unlock(&e->p->cell->lock);
}

static void come_up(struct provider_engine *e)
{
    int64_t now = io_now_us(e->loop);
    e->asking_props = false;
    e->up_us = now;
    set_phase(e, UP, NULL);
    LOG(e->log, LOG_INFO, "engine", LOG_C(PROVIDER, e->p->name), LOG_C(STATE, "up"),
        LOG_I(PID, io_child_pid(e->child)), LOG_US(MS, now - e->started_us));
    ask_later(e);
}

static void answered_health(struct provider_engine *e)
{
    bool ready = e->status == 200;
    e->misses = 0;
    e->answered_us = io_now_us(e->loop);
    end_call(e);
    if (ready && e->phase == LOADING) { /* how many slots it has, before anybody wants one */
        e->asking_props = true;
        if (!call_engine(e, "/props"))
            come_up(e);
        return;
    }
    if (!ready && e->phase == UP) { /* it had put its model away, and loads it again */
        e->started_us = e->answered_us;
        set_phase(e, LOADING, "loading");
    }
    ask_later(e);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct provider_engine *e = arg;
    bool answered = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    (void)why;
    e->call = NULL;
    if (e->asking_props) {
        if (answered)
            read_props(e);
        end_call(e);
        come_up(e);
    } else if (answered && (e->status == 200 || e->status == 503)) {
        answered_health(e);
    } else {
        missed(e);
    }
}

static void ask_health(void *arg)
{
    struct provider_engine *e = arg;
    if (!call_engine(e, "/health"))
        ask_later(e); /* no memory; that says nothing about the engine */
}

/* ---- life and death ---- */

static void remove_socket(const struct provider_engine *e)
{
    struct stat st;
    if (lstat(e->p->spawn.socket, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(e->p->spawn.socket);
}

static void start_later(struct provider_engine *e)
{
    io_timer_start(e->loop, &e->timer, e->backoff_ms, start_child, e);
    e->backoff_ms = e->backoff_ms * 2 < BACKOFF_MAX_MS ? e->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void be_gone(struct provider_engine *e)
{
    void (*stopped)(void *arg) = e->stopped;
    void *arg = e->stopped_arg;
    remove_socket(e);
    arena_fini(&e->arena);
    mem_free(e);
    if (stopped != NULL)
        stopped(arg);
}

static void on_exit_of(void *arg, int status, int signum)
{
    struct provider_engine *e = arg;
    const char *cause = e->cause;
    end_call(e);
    e->asking_props = false;
    e->child = NULL;
    if (e->phase == STOPPING) {
        be_gone(e);
        return;
    }
    if (cause == NULL)
        cause = e->phase == LOADING ? "it ended while loading" : "it ended by itself";
    if (e->up_us != 0 && io_now_us(e->loop) - e->up_us >= GOOD_LIFE_US)
        e->backoff_ms = BACKOFF_MS;
    LOG(e->log, LOG_ERROR, "engine", LOG_C(PROVIDER, e->p->name), LOG_C(STATE, "ended"),
        LOG_I(EXIT, status), LOG_I(SIGNAL, signum), LOG_C(REASON, cause), LOG_I(MS, e->backoff_ms));
    set_phase(e, DOWN, cause);
    pthread_mutex_lock(&e->p->cell->lock);
    e->p->cell->restarts++;
    pthread_mutex_unlock(&e->p->cell->lock);
    start_later(e);
}

static bool is_readable_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* `problem` is a constant; `reason` may say more and goes to the operator only. */
static void fail_start(struct provider_engine *e, const char *path, const char *problem,
                       const char *reason)
{
    LOG(e->log, LOG_ERROR, "engine", LOG_C(PROVIDER, e->p->name), LOG_C(STATE, "not started"),
        LOG_C(PATH, path), LOG_C(REASON, reason), LOG_I(MS, e->backoff_ms));
    set_phase(e, DOWN, problem);
    start_later(e);
}

static void start_child(void *arg)
{
    static const char unreadable[] = "the model file cannot be read";
    struct provider_engine *e = arg;
    struct err err = ERR_INIT;
    struct io_child_opts opts = {
        .argv = e->argv, .envp = e->envp, .on_line = on_line, .on_exit = on_exit_of, .arg = e};
    if (!is_readable_file(e->p->spawn.model)) {
        fail_start(e, e->p->spawn.model, unreadable, unreadable);
        return;
    }
    remove_socket(e); /* one that was left behind makes the start fail */
    e->cause = NULL;
    e->misses = 0;
    e->up_us = 0;
    e->started_us = e->answered_us = io_now_us(e->loop);
    e->child = io_child_start(e->loop, &opts, &err);
    if (e->child == NULL) {
        fail_start(e, e->argv[0], "it cannot be started", err.text);
        return;
    }
    set_phase(e, LOADING, "loading");
    LOG(e->log, LOG_INFO, "engine", LOG_C(PROVIDER, e->p->name), LOG_C(STATE, "loading"),
        LOG_I(PID, io_child_pid(e->child)), LOG_C(PATH, e->p->spawn.model));
    ask_later(e);
}

/* ---- arguments ---- */

static bool put_arg(struct provider_engine *e, size_t *n, const char *arg)
{
    if (*n == ARGS_MAX || arg == NULL)
        return false;
    e->argv[(*n)++] = arg;
    return true;
}

static const char *number(struct provider_engine *e, int64_t n)
{
    return arena_printf(&e->arena, "%lld", (long long)n);
}

static bool build_args(struct provider_engine *e, struct err *err)
{
    const struct provider_spawn *s = &e->p->spawn;
    int64_t slots = s->slots > 0 ? s->slots : 1, context = s->context > 0 ? s->context : 4096;
    const char *const fixed[] = {
        s->command != NULL ? s->command : "llama-server",
        "-m",
        s->model,
        "--alias",
        arena_cstr(&e->arena, provider_spawn_alias(s)),
        "--host",
        s->socket,
        "-np",
        number(e, slots),
        "-c",
        number(e, slots * context), /* it divides this among the slots */
        "-t",
        number(e, s->threads > 0 ? s->threads : 1),
        "--no-ui",
        "--offline",
        "--metrics",
        "--cors-origins",
        "localhost",
        "--cache-ram",
        "256", /* MiB; 8 GiB if not given */
        "--sse-ping-interval",
        "5", /* it notices SIGTERM in a stream only at a ping */
    };
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        ok = ok && put_arg(e, &n, fixed[i]);
    if (s->embeddings)
        ok = ok && put_arg(e, &n, "--embeddings") && put_arg(e, &n, "--pooling") &&
             put_arg(e, &n, "mean");
    for (size_t i = 0; ok && s->args != NULL && s->args[i] != NULL; i++)
        ok = put_arg(e, &n, s->args[i]);
    e->argv[n] = NULL;
    if (e->arena.failed)
        return err_oom(err);
    return ok || err_set(err, 0, "provider %s: more than %d arguments for the engine", e->p->name,
                         ARGS_MAX);
}

static bool build_env(struct provider_engine *e, struct err *err)
{
    const char *path = getenv("PATH"), *home = getenv("HOME");
    size_t n = 0;
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    e->envp[n++] = arena_printf(&e->arena, "PATH=%s", path);
    if (home != NULL)
        e->envp[n++] = arena_printf(&e->arena, "HOME=%s", home);
    if (e->p->key != NULL && e->p->key[0] != '\0')
        e->envp[n++] = arena_printf(&e->arena, "LLAMA_API_KEY=%s", e->p->key);
    e->envp[n] = NULL;
    return !e->arena.failed || err_oom(err);
}

static bool check_spawn(const struct provider *p, struct err *err)
{
    struct sockaddr_un addr;
    if (p->spawn.model == NULL)
        return err_set(err, 0, "provider %s: no model file is named", p->name);
    if (p->spawn.socket == NULL)
        return err_set(err, 0, "provider %s: no socket is named", p->name);
    if (strlen(p->spawn.socket) >= sizeof addr.sun_path)
        return err_set(err, 0, "provider %s: the socket's path is longer than %zu bytes: %s",
                       p->name, sizeof addr.sun_path - 1, p->spawn.socket);
    return true;
}

/* ---- from outside ---- */

struct provider_engine *provider_engine_start(struct io_loop *loop, struct http_client *client,
                                              struct log *log, const struct provider *p,
                                              struct err *err)
{
    struct provider_engine *e;
    if (!check_spawn(p, err))
        return NULL;
    e = mem_zalloc(sizeof *e);
    if (e == NULL) {
        err_oom(err);
        return NULL;
    }
    e->loop = loop;
    e->client = client;
    e->log = log;
    e->p = p;
    e->backoff_ms = BACKOFF_MS;
    arena_init(&e->arena, 4096, 65536);
    arena_init(&e->call_arena, 512, 4096);
    buf_init(&e->answer, ANSWER_BYTES);
    if (!build_args(e, err) || !build_env(e, err)) {
        arena_fini(&e->arena);
        mem_free(e);
        return NULL;
    }
    start_child(e);
    return e;
}

void provider_engine_stop(struct provider_engine *e, uint64_t grace_ms, void (*stopped)(void *arg),
                          void *arg)
{
    assert(e->phase != STOPPING);
    e->stopped = stopped;
    e->stopped_arg = arg;
    end_call(e);
    set_phase(e, STOPPING, "stopping");
    if (e->child == NULL)
        be_gone(e);
    else
        io_child_stop(e->child, grace_ms);
}

int provider_engine_pid(const struct provider_engine *e)
{
    return e->child != NULL ? (int)io_child_pid(e->child) : 0;
}
