/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep - the queue, the thread, and answers that go back to the loops.
 *
 *   worker: chat_keep_...() --job--> queue > thread: shelf --io_post--> loop: fn(), job wiped and freed
 *
 * A job holds copies of all it needs, and of what was read. It is one transaction. What cannot be posted, for the loop has
 * no memory, is posted later: a worker that asked is always told.
 *
 * The thread also looks once an hour for sessions that have been quiet too long, the first time an hour after the start:
 * a clock that was wrong at boot has been set by then.
 */
#include "chat/keep.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "chat/shelf.h"

#define JOBS_MAX     4096
#define BYTES_MAX    ((size_t)64 << 20) /* of texts that wait */
#define LIST_MAX     ((size_t)16 << 20)
#define LIST_ENTRIES 1000
#define TEND_US      ((int64_t)3600 * 1000000)
#define REPOST_US    10000
#define DAY_US       ((int64_t)86400 * 1000000)

enum kind { JOB_LOAD, JOB_PUT, JOB_LIST, JOB_DELETE };

struct job {
    struct job *next;
    enum kind kind;
    struct io_loop *loop; /* NULL = nobody wants to be told */
    chat_load_fn load_fn;
    chat_done_fn done_fn;
    chat_text_fn text_fn;
    void *arg;
    char user[CHAT_USER_MAX + 1], id[CHAT_SESSION_MAX + 1];
    struct shelf_session session; /* to be put, or read */
    size_t limit;                 /* JOB_LIST */
    int64_t before_us;
    strv search; /* behind the job */
    size_t size; /* of the job and what is behind it */
    struct buf json;
    enum chat_kept how;
};

struct jobs {
    struct job *first, **end;
    size_t n, bytes;
};

struct chat_keep {
    struct shelf shelf; /* the thread's */
    struct chat_keys keys;
    struct log log;
    int64_t tend_us; /* next look, monotonic */
    uint64_t idle_days;
    bool no_thread;
    atomic_bool failing;

    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work;
    struct jobs queue;
    bool stop;
    struct jobs posting; /* the thread's: done, and not told */
};

/* ---- jobs ---- */

static void jobs_init(struct jobs *l)
{
    *l = (struct jobs){.end = &l->first};
}

static void jobs_put(struct jobs *l, struct job *j)
{
    j->next = NULL;
    *l->end = j;
    l->end = &j->next;
    l->n++;
    l->bytes += j->size + j->session.size;
}

static struct job *jobs_take(struct jobs *l)
{
    struct job *j = l->first;
    if (j == NULL)
        return NULL;
    l->first = j->next;
    if (l->first == NULL)
        l->end = &l->first;
    l->n--;
    l->bytes -= j->size + j->session.size;
    return j;
}

static void jobs_put_back(struct jobs *l, struct job *j)
{
    j->next = l->first;
    if (l->first == NULL)
        l->end = &j->next;
    l->first = j;
    l->n++;
    l->bytes += j->size + j->session.size;
}

static void job_free(struct job *j)
{
    shelf_session_fini(&j->session);
    if (j->json.data != NULL)
        mem_wipe(j->json.data, j->json.cap);
    buf_fini(&j->json);
    mem_free_secret(j, j->size);
}

static bool copy_name(char *to, size_t size, const char *name)
{
    size_t len = strlen(name);
    if (len >= size)
        return false;
    memcpy(to, name, len + 1);
    return true;
}

/* `more`: bytes behind it. */
static struct job *job_new(enum kind kind, struct io_loop *loop, const char *user, const char *id,
                           size_t more)
{
    struct job *j = mem_zalloc(sizeof *j + more);
    if (j == NULL)
        return NULL;
    j->kind = kind;
    j->loop = loop;
    j->size = sizeof *j + more;
    buf_init(&j->json, LIST_MAX);
    if (copy_name(j->user, sizeof j->user, user) && copy_name(j->id, sizeof j->id, id))
        return j;
    job_free(j);
    return NULL;
}

/* ---- on the loop ---- */

static void tell(void *arg)
{
    struct job *j = arg;
    const struct shelf_session *x = &j->session;
    bool ok = j->how == CHAT_KEPT_OK;
    if (j->load_fn != NULL)
        j->load_fn(j->arg, j->how, ok ? &x->head : NULL, ok ? x->messages : NULL, ok ? x->n : 0);
    if (j->text_fn != NULL)
        j->text_fn(j->arg, j->how, ok ? buf_view(&j->json) : STRV_NONE);
    if (j->done_fn != NULL)
        j->done_fn(j->arg, j->how);
    job_free(j);
}

/* ---- the thread's work ---- */

static void tell_state(struct chat_keep *k, bool failing, const struct err *err)
{
    if (atomic_exchange(&k->failing, failing) == failing)
        return;
    if (failing)
        LOG(&k->log, LOG_ERROR, "chat_not_kept", LOG_C(REASON, err->text));
    else
        LOG(&k->log, LOG_WARN, "chat_kept_again", LOG_C(PATH, k->shelf.d.path));
}

static enum chat_kept work(struct shelf *s, struct job *j, struct err *err)
{
    switch (j->kind) {
    case JOB_LOAD:
        return shelf_load(s, j->user, j->id, &j->session, err);
    case JOB_PUT:
        return shelf_put(s, &j->session, err);
    case JOB_LIST:
        return shelf_list(s, j->user, j->search, j->limit, j->before_us, &j->json, err);
    case JOB_DELETE:
        return shelf_delete(s, j->user, j->id, err);
    }
    return CHAT_KEPT_FAILED;
}

static bool ready(struct chat_keep *k, struct err *err)
{
    if (!shelf_ready(&k->shelf, err))
        return false;
    if (k->shelf.resealed > 0)
        LOG(&k->log, LOG_WARN, "chat_sealed_anew", LOG_I(COUNT, k->shelf.resealed));
    k->shelf.resealed = 0;
    return true;
}

static void do_job(struct chat_keep *k, struct job *j)
{
    struct err err = ERR_INIT;
    k->shelf.row_damaged = false;
    j->how = ready(k, &err) ? work(&k->shelf, j, &err) : CHAT_KEPT_FAILED;
    bool failed = j->how == CHAT_KEPT_FAILED;
    if (failed && k->shelf.row_damaged) {
        LOG(&k->log, LOG_ERROR, "chat_not_readable", LOG_C(REASON, err.text));
        failed = false;
    }
    if (failed) /* whatever it is, a fresh start may heal it */
        shelf_close(&k->shelf);
    tell_state(k, failed, &err);
    if (j->kind == JOB_PUT) /* the texts are in the file now, or lost */
        shelf_session_fini(&j->session);
}

/* The job is over: told to its loop, when that has memory. */
static void post(struct chat_keep *k, struct job *j)
{
    if (j->loop == NULL)
        job_free(j);
    else if (k->posting.n > 0 || !io_post(j->loop, tell, j))
        jobs_put(&k->posting, j); /* in order */
}

static void post_again(struct chat_keep *k)
{
    struct job *j;
    while ((j = jobs_take(&k->posting)) != NULL) {
        if (!io_post(j->loop, tell, j)) {
            jobs_put_back(&k->posting, j);
            return;
        }
    }
}

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void tend(struct chat_keep *k)
{
    struct err err = ERR_INIT;
    size_t n = 0;
    if (now_us(CLOCK_MONOTONIC) < k->tend_us)
        return;
    k->tend_us = now_us(CLOCK_MONOTONIC) + TEND_US;
    bool ok = ready(k, &err);
    if (ok && k->idle_days > 0)
        ok = shelf_purge(&k->shelf, now_us(CLOCK_REALTIME) - (int64_t)k->idle_days * DAY_US, &n,
                         &err);
    shelf_tidy(&k->shelf);
    if (n > 0)
        LOG(&k->log, LOG_INFO, "chat_idle_deleted", LOG_I(COUNT, n));
    tell_state(k, !ok, &err);
}

/* Under the lock. Until there is a job, or it is time for something else. */
static void wait_for_job(struct chat_keep *k)
{
    int64_t until = k->posting.n > 0 ? now_us(CLOCK_MONOTONIC) + REPOST_US : k->tend_us;
    struct timespec t = {.tv_sec = until / 1000000, .tv_nsec = (until % 1000000) * 1000};
    while (k->queue.n == 0 && !k->stop && pthread_cond_timedwait(&k->work, &k->lock, &t) == 0)
        ;
}

static void *run(void *arg)
{
    struct chat_keep *k = arg;
    bool stop;
    do {
        pthread_mutex_lock(&k->lock);
        wait_for_job(k);
        struct job *j = jobs_take(&k->queue);
        stop = k->stop && j == NULL;
        pthread_mutex_unlock(&k->lock);
        post_again(k);
        if (j != NULL) {
            do_job(k, j);
            post(k, j);
        }
        tend(k);
        log_flush(&k->log);
    } while (!stop);
    return NULL;
}

/* ---- asking ---- */

static bool ask(struct chat_keep *k, struct job *j)
{
    if (j == NULL)
        return false;
    if (k->no_thread) {
        do_job(k, j);
        post(k, j);
        post_again(k);
        return true;
    }
    pthread_mutex_lock(&k->lock);
    bool taken = !k->stop && k->queue.n < JOBS_MAX && k->queue.bytes < BYTES_MAX;
    if (taken) {
        jobs_put(&k->queue, j);
        pthread_cond_signal(&k->work);
    }
    pthread_mutex_unlock(&k->lock);
    if (!taken)
        job_free(j);
    return taken;
}

bool chat_keep_load(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                    chat_load_fn fn, void *arg)
{
    struct job *j = job_new(JOB_LOAD, loop, user, id, 0);
    if (j != NULL) {
        j->load_fn = fn;
        j->arg = arg;
    }
    return ask(k, j);
}

static strv copy_text(char **at, strv text)
{
    strv copy = {*at, text.len};
    if (text.len > 0)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static bool copy_session(struct shelf_session *x, const struct chat_head *head,
                         const strv *messages, const uint32_t *numbers, size_t n)
{
    x->size = n * (sizeof *x->messages + sizeof *x->numbers) + head->title.len + head->mode.len +
              head->model.len + head->system.len + head->summary.len;
    for (size_t i = 0; i < n; i++)
        x->size += messages[i].len;
    x->memory = mem_alloc(x->size);
    if (x->memory == NULL)
        return false;
    x->n = n;
    x->messages = x->memory;
    x->numbers = (uint32_t *)(void *)(x->messages + n);
    char *at = (char *)(x->numbers + n);
    x->head = *head;
    x->head.title = copy_text(&at, head->title);
    x->head.mode = copy_text(&at, head->mode);
    x->head.model = copy_text(&at, head->model);
    x->head.system = copy_text(&at, head->system);
    x->head.summary = copy_text(&at, head->summary);
    for (size_t i = 0; i < n; i++) {
        x->numbers[i] = numbers[i];
        x->messages[i] = copy_text(&at, messages[i]);
    }
    return true;
}

bool chat_keep_put(struct chat_keep *k, struct io_loop *loop, const struct chat_head *head,
                   const strv *messages, const uint32_t *numbers, size_t n, chat_done_fn fn,
                   void *arg)
{
    struct job *j = job_new(JOB_PUT, fn != NULL ? loop : NULL, head->user, head->id, 0);
    if (j != NULL && !copy_session(&j->session, head, messages, numbers, n)) {
        job_free(j);
        return false;
    }
    if (j != NULL) {
        j->done_fn = fn;
        j->arg = arg;
    }
    return ask(k, j);
}

bool chat_keep_list(struct chat_keep *k, struct io_loop *loop, const char *user, strv search,
                    size_t limit, int64_t before_us, chat_text_fn fn, void *arg)
{
    struct job *j = job_new(JOB_LIST, loop, user, "", search.len);
    if (j != NULL) {
        char *at = (char *)(j + 1);
        j->search = copy_text(&at, search);
        j->limit = limit < LIST_ENTRIES ? limit : LIST_ENTRIES;
        j->before_us = before_us;
        j->text_fn = fn;
        j->arg = arg;
    }
    return ask(k, j);
}

bool chat_keep_delete(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                      chat_done_fn fn, void *arg)
{
    struct job *j = job_new(JOB_DELETE, fn != NULL ? loop : NULL, user, id, 0);
    if (j != NULL) {
        j->done_fn = fn;
        j->arg = arg;
    }
    return ask(k, j);
}

bool chat_keep_private(const struct chat_keep *k)
{
    return k != NULL && (k->shelf.keys != NULL || k->shelf.unsealed_private);
}

bool chat_keep_failing(const struct chat_keep *k)
{
    return k == NULL || atomic_load(&k->failing);
}

/* ---- birth and death ---- */

static bool start(struct chat_keep *k, struct err *err)
{
    sigset_t all, old;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&k->thread, NULL, run, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    k->running = e == 0;
    return k->running || err_set(err, 0, "cannot start a thread: %s", strerror(e));
}

static void init(struct chat_keep *k, const struct chat_keep_conf *conf, const struct log *log)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->work, &attr);
    pthread_condattr_destroy(&attr);
    log_init(&k->log, log != NULL ? log->fd : -1, log != NULL ? log->level : LOG_OFF);
    jobs_init(&k->queue);
    jobs_init(&k->posting);
    k->tend_us = now_us(CLOCK_MONOTONIC) + TEND_US;
    k->idle_days = conf->idle_days;
    k->no_thread = conf->no_thread;
    if (conf->keys != NULL)
        k->keys = *conf->keys;
}

struct chat_keep *chat_keep_open(const struct chat_keep_conf *conf, const struct log *log,
                                 struct err *err)
{
    struct err unusable = ERR_INIT;
    struct chat_keep *k = mem_zalloc(sizeof *k);
    if (k == NULL) {
        err_oom(err);
        return NULL;
    }
    init(k, conf, log);
    struct chat_keep_conf mine = *conf;
    mine.keys = conf->keys != NULL ? &k->keys : NULL;
    bool ok = shelf_init(&k->shelf, &mine, err);
    if (ok)
        tell_state(k, !ready(k, &unusable), &unusable);
    if (ok && (k->no_thread || start(k, err)))
        return k;
    chat_keep_close(k);
    return NULL;
}

void chat_keep_close(struct chat_keep *k)
{
    if (k == NULL)
        return;
    if (k->running) {
        pthread_mutex_lock(&k->lock);
        k->stop = true;
        pthread_cond_signal(&k->work);
        pthread_mutex_unlock(&k->lock);
        pthread_join(k->thread, NULL);
    }
    post_again(k);
    for (struct job *j; (j = jobs_take(&k->posting)) != NULL;)
        job_free(j);
    shelf_fini(&k->shelf);
    chat_keys_wipe(&k->keys);
    log_fini(&k->log);
    pthread_cond_destroy(&k->work);
    pthread_mutex_destroy(&k->lock);
    mem_free(k);
}
