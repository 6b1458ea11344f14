/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - the queue and the writer.
 *
 *   workers --intents--> queue --> batch -----> trail --> tickets back to their loops
 *           --notes----> notes --> batch_notes ---^
 *
 * While one batch is being made durable the next one gathers: that is the whole of group commit. Intents wake the
 * writer at once, notes when the oldest has waited long enough. An intent is a ticket, since somebody waits for it; a
 * note is a line of text behind the others. Notes of a batch that could not be written stay for the next try.
 *
 * Not ready: intents are refused when they come, notes gather until the queue is full and are counted from then
 * on, and the writer tries a few times a second. A ticket belongs to the writer until it is posted to its loop, then to
 * the loop's thread; `forgotten` is the loop's alone, `loop` is the mutex's.
 */
#include "ledger/audit_int.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ledger/ledger.h"

#define QUEUE_RECORDS_MAX 16384
#define QUEUE_BYTES_MAX   ((size_t)16 * 1024 * 1024)
#define BODY_MAX          ((size_t)16 * 1024)
#define TICK_US           250000 /* between two tries, and between two looks at what is due */
#define WHY_MAX           200

struct audit_ticket { /* an intent on its way */
    struct audit_ticket *next;
    struct io_loop *loop; /* of somebody who waits; NULL = nobody (any more) */
    void (*done)(void *arg, bool ok);
    void *arg;
    struct waiter *waiter; /* a batch of another process; then there is no loop */
    bool forgotten, ok;
    size_t len;
    char body[];
};

struct waiter { /* for a batch to be durable */
    size_t left;
    bool ok;
};

struct tickets {
    struct audit_ticket *first, **end;
    size_t n, bytes;
};

struct notes {
    struct buf text; /* a line each */
    size_t n;
    int64_t since_us; /* when the first of them came */
};

struct audit {
    struct audit_trail trail; /* the writer's */
    struct log log;
    enum audit_sunk (*sink)(void *arg, strv record);
    void *sink_arg;
    uint64_t sink_seq;

    pthread_t thread;
    bool running;
    atomic_bool ready;
    _Atomic(struct audit_key *) key;

    int relay; /* to the process that has taken over; -1 = we write ourselves. The writer's */
    int takes; /* from the process that goes; -1 = there was none */
    pthread_t taker;
    atomic_bool taking;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work, told;
    int yields;                           /* what the relay is to be; -1 = nothing */
    struct tickets queue, batch, posting; /* posting: done, but the loop had no memory to be told */
    struct notes notes, batch_notes;      /* batch_notes.text is the writer's while it writes */
    bool stop, opts_changed;
    struct audit_opts opts;
    uint64_t lost; /* notes that found no room, until a record tells it */
    char why[WHY_MAX];
};

/* ---- lists ---- */

static void tickets_init(struct tickets *l)
{
    *l = (struct tickets){.end = &l->first};
}

static void tickets_put(struct tickets *l, struct audit_ticket *t)
{
    t->next = NULL;
    *l->end = t;
    l->end = &t->next;
    l->n++;
    l->bytes += t->len;
}

static struct audit_ticket *tickets_take(struct tickets *l)
{
    struct audit_ticket *t = l->first;
    if (t == NULL)
        return NULL;
    l->first = t->next;
    if (l->first == NULL)
        l->end = &l->first;
    l->n--;
    l->bytes -= t->len;
    return t;
}

static void tickets_move(struct tickets *to, struct tickets *from)
{
    struct audit_ticket *t;
    while ((t = tickets_take(from)) != NULL)
        tickets_put(to, t);
}

static void drop_all(struct tickets *l)
{
    struct audit_ticket *t;
    while ((t = tickets_take(l)) != NULL)
        mem_free(t);
}

static void notes_clear(struct notes *l)
{
    if (buf_len(&l->text) < l->text.cap / 4) /* it is no longer as much as it was */
        buf_fini(&l->text);
    buf_clear(&l->text);
    l->n = 0;
}

/* Behind those that could not be written; with none of these nothing is copied. */
static void notes_move(struct notes *to, struct notes *from)
{
    if (to->n == 0) {
        struct notes empty = *to;
        *to = *from;
        *from = empty;
    } else if (buf_put_strv(&to->text, buf_view(&from->text))) {
        to->n += from->n;
        notes_clear(from);
    } else {
        to->text.failed = false; /* both wait where they are */
    }
}

/* What is being written counts as well: it may have to be written again. */
static bool has_room(const struct audit *a, size_t bytes)
{
    return a->queue.n + a->batch.n + a->notes.n + a->batch_notes.n < QUEUE_RECORDS_MAX &&
           a->queue.bytes + a->batch.bytes + buf_len(&a->notes.text) +
                   buf_len(&a->batch_notes.text) + bytes <=
               QUEUE_BYTES_MAX;
}

/* ---- time ---- */

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void wait_until(struct audit *a, int64_t when_us)
{
    struct timespec t = {.tv_sec = when_us / 1000000, .tv_nsec = (when_us % 1000000) * 1000};
    pthread_cond_timedwait(&a->work, &a->lock, &t);
}

/* ---- tickets that are done ---- */

static void deliver(void *arg) /* the loop's thread */
{
    struct audit_ticket *t = arg;
    if (!t->forgotten)
        t->done(t->arg, t->ok);
    mem_free(t);
}

/* Under the lock: a loop that has left is not posted to. */
static void hand_back(struct audit *a)
{
    struct tickets rest;
    struct audit_ticket *t;
    tickets_init(&rest);
    while ((t = tickets_take(&a->posting)) != NULL) {
        if (t->waiter != NULL) {
            t->waiter->ok = t->waiter->ok && t->ok;
            t->waiter->left--;
            pthread_cond_broadcast(&a->told);
        }
        if (t->loop == NULL)
            mem_free(t);
        else if (!io_post(t->loop, deliver, t))
            tickets_put(&rest, t);
    }
    tickets_move(&a->posting, &rest);
}

/* The batch was written, or not. Notes that were not wait for the next try. */
static void end_batch(struct audit *a, bool ok)
{
    struct audit_ticket *t;
    while ((t = tickets_take(&a->batch)) != NULL) {
        t->ok = ok;
        tickets_put(&a->posting, t);
    }
    if (ok)
        notes_clear(&a->batch_notes);
    hand_back(a);
}

/* ---- the writer ---- */

static void set_ready(struct audit *a, bool ready, const char *why)
{
    bool before = atomic_load(&a->ready);
    if (!ready)
        snprintf(a->why, sizeof a->why, "%s", why);
    atomic_store(&a->ready, ready);
    metric_set(metrics_process(), METRIC_AUDIT_READY, 0, ready);
    if (before && !ready)
        LOG(&a->log, LOG_ERROR, "audit_stopped", LOG_C(REASON, why));
    else if (!before && ready && a->running)
        LOG(&a->log, LOG_WARN, "audit_resumed", LOG_I(SEQ, a->trail.seq));
}

static bool put_made(struct audit *a, struct buf *b)
{
    bool ok = !b->failed && audit_trail_add(&a->trail, buf_view(b));
    buf_fini(b);
    return ok;
}

/* What happened while nothing could be written. `why` is the system's text. */
static bool put_gap(struct audit *a, bool was_ready, uint64_t lost)
{
    int64_t wall = a->trail.disk->wall_us(a->trail.disk->arg);
    struct buf b;
    bool ok = true;
    if (!was_ready) {
        buf_init(&b, BODY_MAX);
        audit_put_begin(&b, wall, "resume");
        buf_put_cstr(&b, ",\"why\":");
        json_put_str(&b, utf8_valid(strv_of(a->why)) ? strv_of(a->why) : STRV("?"));
        ok = put_made(a, &b);
    }
    if (ok && lost > 0) {
        buf_init(&b, 256);
        audit_put_begin(&b, wall, "lost");
        buf_printf(&b, ",\"records\":%llu", (unsigned long long)lost);
        ok = put_made(a, &b);
    }
    return ok;
}

static bool put_batch(struct audit *a)
{
    strv rest = buf_view(&a->batch_notes.text), note;
    for (const struct audit_ticket *t = a->batch.first; t != NULL; t = t->next)
        if (!audit_trail_add(&a->trail, (strv){t->body, t->len}))
            return false;
    while (rest.len > 0 && strv_cut(&rest, '\n', &note))
        if (!audit_trail_add(&a->trail, note))
            return false;
    return true;
}

/* ---- another process writes ---- */

static enum audit_relayed relay(struct audit *a, uint64_t lost)
{
    strv rest = buf_view(&a->batch_notes.text), note;
    bool ok = true;
    if (a->batch.n == 0 && a->batch_notes.n == 0 && lost == 0)
        return io_pass_gone(a->relay) ? AUDIT_RELAY_GONE : AUDIT_RELAY_YES;
    for (const struct audit_ticket *t = a->batch.first; t != NULL && ok; t = t->next)
        ok = audit_relay_record(a->relay, (strv){t->body, t->len});
    while (ok && rest.len > 0 && strv_cut(&rest, '\n', &note))
        ok = audit_relay_record(a->relay, note);
    if (ok && lost > 0)
        ok = audit_relay_lost(a->relay, lost);
    return ok ? audit_relay_end(a->relay) : AUDIT_RELAY_GONE;
}

/* False: it is for us to write, now or again. */
static bool relayed(struct audit *a, uint64_t lost, bool *ok, struct err *err)
{
    if (a->relay < 0)
        return false;
    switch (relay(a, lost)) {
    case AUDIT_RELAY_YES:
        *ok = true;
        return true;
    case AUDIT_RELAY_NO:
        *ok = err_set(err, 0, "the process that took over cannot write");
        return true;
    default: /* what it had not confirmed may be in the chain: it is written twice rather than not at all */
        close(a->relay);
        a->relay = -1;
        LOG(&a->log, LOG_WARN, "audit_taken_back",
            LOG_C(REASON, "the process that took over is gone"));
        return false;
    }
}

/* Under the lock, between two batches. */
static void yield(struct audit *a)
{
    struct err err = ERR_INIT;
    int fd = a->yields;
    pthread_mutex_unlock(&a->lock);
    if (a->relay < 0 && a->trail.open && !audit_trail_tend(&a->trail, true, &err))
        LOG(&a->log, LOG_WARN, "audit_checkpoint", LOG_C(REASON, err.text));
    audit_trail_yield(&a->trail);
    if (a->relay >= 0)
        close(a->relay);
    a->relay = fd;
    pthread_mutex_lock(&a->lock);
    a->yields = -1;
    pthread_cond_broadcast(&a->told);
}

/* Not under the lock: this is where the disk is waited for. */
static bool write_batch(struct audit *a, uint64_t lost, bool last, struct err *err)
{
    struct audit_trail *t = &a->trail;
    bool was_ready = atomic_load(&a->ready), opened = t->open;
    size_t n = a->batch.n + a->batch_notes.n;
    bool done;
    if (relayed(a, lost, &done, err))
        return done;
    if (!audit_trail_open(t, err))
        return false;
    atomic_store(&a->key, t->key);
    if (!audit_trail_tend(t, false, err))
        return false;
    if (n > 0 || lost > 0 || (!was_ready && opened)) {
        int64_t begun = now_us();
        if (!audit_trail_begin(t, err) || !put_gap(a, was_ready || !opened, lost))
            return err->set ? false : err_oom(err);
        if (!put_batch(a))
            return err_oom(err);
        if (!audit_trail_commit(t, err))
            return false;
        metric_observe_us(metrics_process(), METRIC_AUDIT_COMMIT, 0, now_us() - begun);
        metric_add(metrics_process(), METRIC_AUDIT_RECORDS, 0, (int64_t)n);
        metric_add(metrics_process(), METRIC_AUDIT_COMMITS, 0, 1);
    }
    if (!t->head_ok)
        return err_set(err, 0, "the head cannot be written");
    return !last || audit_trail_tend(t, true, err);
}

/* When there is something to do; now if it is already. */
static int64_t next_work(const struct audit *a, int64_t tick_us)
{
    if (a->stop || a->yields >= 0)
        return 0;
    if (atomic_load(&a->ready)) {
        if (a->queue.n > 0)
            return 0;
        if (a->notes.n > 0) {
            int64_t due = a->notes.since_us + (int64_t)a->opts.flush_ms * 1000;
            return a->notes.n >= QUEUE_RECORDS_MAX / 2 ? 0 : due < tick_us ? due : tick_us;
        }
    }
    return tick_us;
}

static void one_turn(struct audit *a)
{
    struct err err = ERR_INIT;
    uint64_t lost = a->lost;
    bool last = a->stop;
    if (a->opts_changed)
        audit_trail_set(&a->trail, &a->opts);
    a->opts_changed = false;
    tickets_move(&a->batch, &a->queue);
    notes_move(&a->batch_notes, &a->notes);
    pthread_mutex_unlock(&a->lock);
    bool ok = write_batch(a, lost, last, &err);
    log_flush(&a->log);
    pthread_mutex_lock(&a->lock);
    if (ok) {
        a->lost -= lost;
        metric_add(metrics_process(), METRIC_AUDIT_LOST, 0, (int64_t)lost);
    }
    set_ready(a, ok, err.text);
    end_batch(a, ok);
    if (a->yields >= 0)
        yield(a);
}

static void *run(void *arg)
{
    struct audit *a = arg;
    pthread_mutex_lock(&a->lock);
    int64_t tick = now_us() + TICK_US;
    for (;;) {
        int64_t due = next_work(a, tick);
        if (a->posting.n > 0) {
            hand_back(a);
            due = due < now_us() + 10000 ? due : now_us() + 10000;
        }
        if (now_us() < due) {
            wait_until(a, due);
            continue;
        }
        bool last = a->stop;
        tick = now_us() + TICK_US;
        one_turn(a);
        if (last)
            break;
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- opening and closing ---- */

static bool start_thread(pthread_t *thread, void *(*fn)(void *arg), struct audit *a,
                         struct err *err)
{
    sigset_t all, old;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(thread, NULL, fn, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e == 0 || err_set(err, 0, "cannot start a thread: %s", strerror(e));
}

static struct audit *audit_new(void)
{
    struct audit *a = mem_zalloc(sizeof *a);
    pthread_condattr_t attr;
    if (a == NULL)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->work, &attr);
    pthread_cond_init(&a->told, &attr);
    a->relay = a->takes = a->yields = -1;
    pthread_condattr_destroy(&attr);
    tickets_init(&a->queue);
    tickets_init(&a->batch);
    tickets_init(&a->posting);
    buf_init(&a->notes.text, QUEUE_BYTES_MAX);
    buf_init(&a->batch_notes.text, QUEUE_BYTES_MAX);
    return a;
}

static void audit_free(struct audit *a)
{
    buf_fini(&a->notes.text);
    buf_fini(&a->batch_notes.text);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->told);
    if (a->relay >= 0)
        close(a->relay);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

struct audit *audit_open_disk(const struct audit_opts *opts, const struct audit_disk *disk,
                              struct log *log, struct err *err)
{
    struct audit *a = audit_new();
    struct err why = ERR_INIT;
    bool taken = false;
    if (a == NULL || !audit_trail_init(&a->trail, opts, disk, &a->log)) {
        if (a != NULL)
            audit_free(a);
        err_oom(err);
        return NULL;
    }
    log_init(&a->log, log != NULL ? log->fd : -1, log != NULL ? log->level : LOG_OFF);
    a->opts = *opts;
    bool ok = audit_trail_lock(&a->trail, &taken, &why) && write_batch(a, 0, false, &why);
    if (taken)
        err_set(err, 0, "%s", why.text);
    else
        set_ready(a, ok, why.text);
    if (!taken && !ok)
        LOG(&a->log, LOG_ERROR, "audit_stopped", LOG_C(REASON, why.text));
    a->running = !taken && start_thread(&a->thread, run, a, err);
    if (a->running)
        return a;
    audit_trail_fini(&a->trail);
    log_fini(&a->log);
    audit_free(a);
    return NULL;
}

struct audit *audit_open(const struct audit_opts *opts, struct log *log, struct err *err)
{
    return audit_open_disk(opts, &audit_disk_system, log, err);
}

struct audit *audit_open_sink(enum audit_sunk (*sink)(void *arg, strv record), void *arg)
{
    struct audit *a = audit_new();
    if (a == NULL)
        return NULL;
    a->sink = sink;
    a->sink_arg = arg;
    return a;
}

/* ---- a handover ---- */

bool audit_yield(struct audit *a, int fd)
{
    pthread_mutex_lock(&a->lock);
    bool ok = a->running && !a->stop && a->yields < 0;
    if (ok) {
        a->yields = fd;
        pthread_cond_signal(&a->work);
        while (a->yields >= 0)
            pthread_cond_wait(&a->told, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return ok;
}

/* All of a batch goes into the queue in one moment, so that it is written whole or not. */
static bool write_for(struct audit *a, struct tickets *batch, uint64_t lost)
{
    struct waiter w = {.left = batch->n, .ok = true};
    pthread_mutex_lock(&a->lock);
    bool ok = atomic_load(&a->ready) && !a->stop;
    if (ok) {
        for (struct audit_ticket *t = batch->first; t != NULL; t = t->next)
            t->waiter = &w;
        tickets_move(&a->queue, batch);
        a->lost += lost;
        pthread_cond_signal(&a->work);
        while (w.left > 0)
            pthread_cond_wait(&a->told, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return ok && w.ok;
}

static bool take_record(struct tickets *batch, strv body)
{
    struct audit_ticket *t = batch->n <= QUEUE_RECORDS_MAX && batch->bytes <= 2 * QUEUE_BYTES_MAX
                                 ? mem_alloc(sizeof *t + body.len)
                                 : NULL;
    if (t == NULL)
        return false;
    *t = (struct audit_ticket){.len = body.len};
    memcpy(t->body, body.ptr, body.len);
    tickets_put(batch, t);
    return true;
}

static void *take(void *arg)
{
    struct audit *a = arg;
    struct audit_relay_in in;
    struct tickets batch;
    uint64_t lost = 0;
    bool whole = true;
    tickets_init(&batch);
    for (;;) {
        audit_relay_next(a->takes, &in);
        if (in.what == AUDIT_IN_GONE)
            break;
        if (in.what == AUDIT_IN_RECORD)
            whole = whole && take_record(&batch, in.body);
        else if (in.what == AUDIT_IN_LOST)
            lost = in.n;
        if (in.what != AUDIT_IN_END)
            continue;
        bool ok = whole && write_for(a, &batch, lost);
        drop_all(&batch);
        lost = 0;
        whole = true;
        if (!audit_relay_answer(a->takes, ok))
            break;
    }
    drop_all(&batch);
    io_pass_end(a->takes); /* it has to know, if it is we who do not go on */
    atomic_store(&a->taking, false);
    return NULL;
}

bool audit_take(struct audit *a, int fd, struct err *err)
{
    a->takes = fd;
    atomic_store(&a->taking, true);
    if (start_thread(&a->taker, take, a, err))
        return true;
    atomic_store(&a->taking, false);
    close(fd);
    a->takes = -1;
    return false;
}

bool audit_taking(struct audit *a)
{
    return atomic_load(&a->taking);
}

void audit_set_opts(struct audit *a, const struct audit_opts *opts)
{
    pthread_mutex_lock(&a->lock);
    a->opts = *opts;
    a->opts_changed = true;
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    if (a->takes >= 0) { /* what comes later is the other process's to write */
        io_pass_end(a->takes);
        pthread_join(a->taker, NULL);
        close(a->takes);
    }
    if (a->running) {
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_signal(&a->work);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    size_t left = a->queue.n + a->notes.n + a->batch_notes.n + a->lost;
    if (left > 0)
        LOG(&a->log, LOG_ERROR, "audit_lost", LOG_I(COUNT, left));
    drop_all(&a->queue);
    drop_all(&a->posting);
    if (a->sink == NULL) {
        audit_trail_fini(&a->trail);
        log_fini(&a->log);
    }
    audit_free(a);
}

/* ---- the workers' side ---- */

bool audit_ready(struct audit *a, char *why, size_t size)
{
    bool ready = false;
    if (a != NULL && a->sink != NULL)
        ready = a->sink(a->sink_arg, STRV_NONE) != AUDIT_SUNK_NO;
    else if (a != NULL)
        ready = atomic_load(&a->ready);
    if (ready || why == NULL || size == 0)
        return ready;
    if (a == NULL || a->sink != NULL) {
        snprintf(why, size, "there is no audit");
        return ready;
    }
    pthread_mutex_lock(&a->lock);
    snprintf(why, size, "%s", a->why);
    pthread_mutex_unlock(&a->lock);
    return ready;
}

static const char *session_digest(struct audit *a, strv session, char out[17])
{
    struct audit_key *key = atomic_load(&a->key);
    return session.len > 0 && key != NULL && audit_keyed(key, session, out) ? out : NULL;
}

/* Frees the buffer. */
static struct audit_ticket *ticket_new(struct buf *b)
{
    strv body = buf_view(b);
    struct audit_ticket *t = b->failed ? NULL : mem_alloc(sizeof *t + body.len);
    if (t != NULL) {
        *t = (struct audit_ticket){.len = body.len};
        memcpy(t->body, body.ptr, body.len);
    }
    buf_fini(b);
    return t;
}

static enum audit_sunk to_sink(struct audit *a, strv body)
{
    struct buf b;
    buf_init(&b, AUDIT_LINE_MAX);
    buf_printf(&b, "{\"seq\":%llu,", (unsigned long long)++a->sink_seq);
    buf_put_strv(&b, body);
    buf_put_char(&b, '}');
    enum audit_sunk sunk = b.failed ? AUDIT_SUNK_NO : a->sink(a->sink_arg, buf_view(&b));
    buf_fini(&b);
    return sunk;
}

void audit_sink_tell(struct audit *a, bool ok)
{
    pthread_mutex_lock(&a->lock);
    tickets_move(&a->batch, &a->queue);
    end_batch(a, ok);
    pthread_mutex_unlock(&a->lock);
}

/* False: nobody will be told. */
static bool sink_intent(struct audit *a, struct audit_ticket *t)
{
    enum audit_sunk sunk = to_sink(a, (strv){t->body, t->len});
    t->ok = sunk == AUDIT_SUNK_YES;
    if (sunk == AUDIT_SUNK_LATER)
        tickets_put(&a->queue, t);
    return sunk == AUDIT_SUNK_LATER || io_post(t->loop, deliver, t);
}

/* False: there is no room. */
static bool enqueue(struct audit *a, struct audit_ticket *t)
{
    pthread_mutex_lock(&a->lock);
    bool ok = has_room(a, t->len) && atomic_load(&a->ready);
    if (ok)
        tickets_put(&a->queue, t);
    if (ok && a->queue.n == 1)
        pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
    return ok;
}

/* Frees the buffer. */
static struct audit_ticket *intend(struct audit *a, struct io_loop *loop, struct buf *body,
                                   void (*done)(void *arg, bool ok), void *arg)
{
    struct audit_ticket *t = ticket_new(body);
    if (t == NULL)
        return NULL;
    t->loop = loop;
    t->done = done;
    t->arg = arg;
    if (a->sink != NULL ? sink_intent(a, t) : enqueue(a, t))
        return t;
    mem_free(t);
    return NULL;
}

struct audit_ticket *audit_intend(struct audit *a, struct io_loop *loop,
                                  const struct audit_intent *in, void (*done)(void *arg, bool ok),
                                  void *arg)
{
    char session[17];
    struct buf b;
    if (!audit_ready(a, NULL, 0))
        return NULL;
    buf_init(&b, BODY_MAX);
    audit_put_intent(&b, io_wall_us(loop), in, session_digest(a, in->session, session));
    return intend(a, loop, &b, done, arg);
}

struct audit_ticket *audit_intend_tool(struct audit *a, struct io_loop *loop,
                                       const struct audit_tool *tool,
                                       void (*done)(void *arg, bool ok), void *arg)
{
    char session[17];
    struct buf b;
    if (!audit_ready(a, NULL, 0))
        return NULL;
    buf_init(&b, BODY_MAX);
    audit_put_tool(&b, io_wall_us(loop), tool, session_digest(a, tool->session, session), false);
    return intend(a, loop, &b, done, arg);
}

void audit_forget(struct audit_ticket *t)
{
    if (t != NULL)
        t->forgotten = true;
}

static void leave(struct tickets *l, const struct io_loop *loop)
{
    for (struct audit_ticket *t = l->first; t != NULL; t = t->next)
        if (t->loop == loop)
            t->loop = NULL;
}

void audit_leave(struct audit *a, struct io_loop *loop)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    leave(&a->queue, loop);
    leave(&a->batch, loop);
    leave(&a->posting, loop);
    pthread_mutex_unlock(&a->lock);
}

/* A line of text behind the others. Frees the buffer. */
static void note(struct audit *a, struct buf *body)
{
    buf_put_char(body, '\n');
    strv line = buf_view(body);
    pthread_mutex_lock(&a->lock);
    bool ok = !body->failed && has_room(a, line.len) && buf_put_strv(&a->notes.text, line);
    if (ok && a->notes.n++ == 0) {
        a->notes.since_us = now_us();
        pthread_cond_signal(&a->work);
    } else if (!ok) {
        a->notes.text.failed = false; /* nothing of the line is in it */
        a->lost++;
    }
    pthread_mutex_unlock(&a->lock);
    buf_fini(body);
}

/* Frees the buffer. */
static void tell(struct audit *a, struct buf *body)
{
    if (a->sink == NULL) {
        note(a, body);
        return;
    }
    if (!body->failed)
        to_sink(a, buf_view(body));
    buf_fini(body);
}

/* Most records fit at once. */
static void begin_note(struct buf *b)
{
    buf_init(b, BODY_MAX);
    (void)!buf_reserve(b, 1000);
}

void audit_note(struct audit *a, const struct ledger_row *row, const struct audit_facts *facts)
{
    char session[17];
    struct buf b;
    if (a == NULL)
        return;
    begin_note(&b);
    audit_put_exchange(&b, row, facts, session_digest(a, facts->session, session));
    tell(a, &b);
}

void audit_note_tool(struct audit *a, const struct audit_tool *tool, int64_t wall_us)
{
    char session[17];
    struct buf b;
    if (a == NULL)
        return;
    begin_note(&b);
    audit_put_tool(&b, wall_us, tool, session_digest(a, tool->session, session), true);
    tell(a, &b);
}

void audit_note_advice(struct audit *a, const struct ledger_decision *decision)
{
    struct buf b;
    if (a == NULL)
        return;
    begin_note(&b);
    audit_put_advice(&b, decision);
    tell(a, &b);
}

void audit_note_change(struct audit *a, const struct audit_change *c, int64_t wall_us)
{
    struct buf b;
    if (a == NULL)
        return;
    begin_note(&b);
    audit_put_change(&b, wall_us, c);
    tell(a, &b);
}
