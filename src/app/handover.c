/* SPDX-License-Identifier: Apache-2.0 */
/* handover - see the header. */
#include "app/handover.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROTOCOL   "1"
#define PLACES_MAX 16 /* as many as the option `listen` takes */
#define TEXT_MAX   512
#define WORD_MS    10000  /* for what the other side has at hand */
#define START_MS   120000 /* for a start: models are looked at, files are read */
#define RECORDS_MS 15000  /* for a batch of records to be durable over there */
#define FIRST_FD   3      /* of those that systemd passes */

struct place { /* an address as configured, and the sockets that serve it */
    char *address;
    int fds[IO_PASS_FDS];
    size_t n;
};

struct places {
    struct place all[PLACES_MAX];
    size_t n;
};

struct handover {
    struct places taken; /* from the process before, or from systemd */
    int old;             /* to the process that goes; -1 = there is none */
    bool side;

    struct handover_env env;
    struct log log;
    char program[TEXT_MAX]; /* which file we were started from */
    int listener;
    pthread_t thread;
    bool running;
    pid_t to; /* the thread's, until it has said that all is given */

    pthread_mutex_t lock; /* of all below */
    struct places kept;   /* to give away */
    int talk;             /* to whoever asks now */
    bool closed;
};

/* ---- places ---- */

static const struct place *find(const struct places *in, const char *address)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->all[i].address, address) == 0)
            return &in->all[i];
    return NULL;
}

static struct place *find_or_add(struct places *in, const char *address)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->all[i].address, address) == 0)
            return &in->all[i];
    if (in->n == PLACES_MAX)
        return NULL;
    struct place *p = &in->all[in->n];
    *p = (struct place){.address = mem_strdup(address)};
    if (p->address == NULL)
        return NULL;
    in->n++;
    return p;
}

static void keep(struct places *in, const char *address, int fd)
{
    struct place *p = fd >= 0 ? find_or_add(in, address) : NULL;
    if (p != NULL && p->n < IO_PASS_FDS)
        p->fds[p->n++] = fd;
    else if (fd >= 0)
        close(fd);
}

static void drop(struct places *in)
{
    for (size_t i = 0; i < in->n; i++) {
        for (size_t k = 0; k < in->all[i].n; k++)
            close(in->all[i].fds[k]);
        mem_free(in->all[i].address);
    }
    in->n = 0;
}

/* ---- words ---- */

static bool say(int fd, const char *text)
{
    return io_pass_send(fd, strv_of(text), NULL, 0);
}

/* The next message as text, and what came with it. */
static bool hear(int fd, unsigned ms, char text[TEXT_MAX], int *fds, size_t *n_fds)
{
    io_pass_limit(fd, ms);
    ssize_t n = io_pass_recv(fd, text, TEXT_MAX - 1, fds, n_fds);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool hear_word(int fd, unsigned ms, const char *word)
{
    char text[TEXT_MAX];
    return hear(fd, ms, text, NULL, NULL) && strcmp(text, word) == 0;
}

/* Which file the program runs from: another one has another number or another time. */
static bool program(char out[TEXT_MAX])
{
    struct stat st;
    if (stat("/proc/self/exe", &st) != 0)
        return false;
    snprintf(out, TEXT_MAX, "program %llu %llu %lld.%09ld", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

/* ---- birth and death ---- */

struct handover *handover_new(struct err *err)
{
    struct handover *h = mem_zalloc(sizeof *h);
    if (h == NULL) {
        err_oom(err);
        return NULL;
    }
    h->old = h->listener = h->talk = -1;
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void handover_free(struct handover *h)
{
    if (h == NULL)
        return;
    handover_close(h);
    if (h->running) {
        io_pass_end(h->listener);
        pthread_mutex_lock(&h->lock);
        if (h->talk >= 0)
            io_pass_end(h->talk);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->thread, NULL);
        log_fini(&h->log);
    }
    if (h->listener >= 0)
        close(h->listener);
    if (h->old >= 0)
        close(h->old);
    drop(&h->taken);
    pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

/* ---- the new process ---- */

static bool broken(struct handover *h, struct err *err, const char *what)
{
    if (h->old >= 0)
        close(h->old);
    h->old = -1;
    return err_set(err, 0, "cannot take over from the running router: %s", what);
}

/* "listen ADDRESS" with its sockets, any number of times, then "end". */
static bool take_places(struct handover *h, struct err *err)
{
    char text[TEXT_MAX];
    int fds[IO_PASS_FDS];
    size_t n;
    for (;;) {
        if (!hear(h->old, WORD_MS, text, fds, &n))
            return broken(h, err, "it went away");
        if (strcmp(text, "end") == 0)
            return true;
        if (strncmp(text, "listen ", 7) != 0)
            return broken(h, err, strncmp(text, "no ", 3) == 0 ? text + 3 : "it talks otherwise");
        for (size_t i = 0; i < n; i++)
            keep(&h->taken, text + 7, fds[i]);
    }
}

bool handover_take(struct handover *h, const char *state_dir, struct err *err)
{
    char text[TEXT_MAX];
    h->old = io_pass_dial(state_dir, err);
    if (h->old < 0)
        return !err->set;
    if (!say(h->old, "take " PROTOCOL) || !hear(h->old, WORD_MS, text, NULL, NULL))
        return broken(h, err, "it does not answer");
    if (strncmp(text, "side ", 5) != 0)
        return broken(h, err, strncmp(text, "no ", 3) == 0 ? text + 3 : "it talks otherwise");
    h->side = text[5] == '0';
    return take_places(h, err);
}

bool handover_is_on(const struct handover *h)
{
    return h->old >= 0;
}

bool handover_side(const struct handover *h)
{
    return h->side;
}

void handover_activated(struct handover *h, const char *const *listen)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t n, whose;
    if (pid == NULL || count == NULL || !strv_u64(strv_of(pid), 1, INT32_MAX, &whose) ||
        (pid_t)whose != getpid() || !strv_u64(strv_of(count), 1, PLACES_MAX, &n))
        return;
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
        const char *const *a = listen;
        while (*a != NULL && !io_listens_on(fd, strv_of(*a)))
            a++;
        if (*a != NULL)
            keep(&h->taken, *a, fd);
        else
            close(fd);
    }
    unsetenv("LISTEN_PID"); /* not for our children */
    unsetenv("LISTEN_FDS");
    io_listeners_given(); /* a socket's file is systemd's */
}

size_t handover_count(const struct handover *h, const char *address)
{
    const struct place *p = find(&h->taken, address);
    return p != NULL ? p->n : 0;
}

int handover_socket(const struct handover *h, const char *address, size_t n)
{
    const struct place *p = find(&h->taken, address);
    return p != NULL && n < p->n ? fcntl(p->fds[n], F_DUPFD_CLOEXEC, FIRST_FD) : -1;
}

bool handover_audit(struct handover *h, int *records, struct err *err)
{
    char text[TEXT_MAX];
    int fds[IO_PASS_FDS];
    size_t n = 0;
    if (!say(h->old, "yield") || !hear(h->old, START_MS, text, fds, &n) ||
        strcmp(text, "yielded") != 0 || n != 1) {
        for (size_t i = 0; i < n; i++)
            close(fds[i]);
        return broken(h, err, "its audit is not free");
    }
    *records = fds[0];
    return true;
}

bool handover_done(struct handover *h, struct err *err)
{
    bool on = h->old >= 0;
    drop(&h->taken);
    if (on && (!say(h->old, "ready") || !hear_word(h->old, WORD_MS, "done")))
        return broken(h, err, "it went away at the last moment");
    if (on)
        close(h->old);
    h->old = -1;
    return true;
}

/* ---- a process that serves ---- */

void handover_keep(struct handover *h, const char *address, int fd)
{
    keep(&h->kept, address, fd);
}

static void tell_given(void *arg)
{
    struct handover *h = arg;
    h->env.given(h->env.arg, h->to);
}

static void tell_reload(void *arg)
{
    struct handover *h = arg;
    h->env.reload(h->env.arg);
}

static bool give_places(struct handover *h, int fd)
{
    char text[TEXT_MAX];
    pthread_mutex_lock(&h->lock);
    bool ok = !h->closed && say(fd, h->side ? "side 1" : "side 0");
    for (size_t i = 0; i < h->kept.n && ok; i++) {
        const struct place *p = &h->kept.all[i];
        int len = snprintf(text, sizeof text, "listen %s", p->address);
        ok = len < (int)sizeof text && io_pass_send(fd, (strv){text, (size_t)len}, p->fds, p->n);
    }
    pthread_mutex_unlock(&h->lock);
    return ok && say(fd, "end");
}

/* The audit's files are let go; the other side gets the socket for our records. */
static bool give_audit(struct handover *h, int fd)
{
    int pair[2];
    if (!io_pass_pair(pair))
        return false;
    io_pass_limit(pair[0], RECORDS_MS);
    if (!audit_yield(h->env.audit, pair[0])) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    bool ok = io_pass_send(fd, STRV("yielded"), &pair[1], 1);
    close(pair[1]);
    return ok;
}

static const char *no(const struct handover *h, const char *protocol)
{
    if (strcmp(protocol, PROTOCOL) != 0)
        return "no it is of a version that hands over in another way";
    if (audit_taking(h->env.audit))
        return "no the process before it still finishes its streams; try again when it is gone";
    return NULL;
}

/* True: it is done, we serve no longer. */
static bool give(struct handover *h, int fd, const char *protocol)
{
    const char *why = no(h, protocol);
    if (why != NULL) {
        say(fd, why);
        return false;
    }
    bool ok = give_places(h, fd) && hear_word(fd, START_MS, "yield") && give_audit(h, fd) &&
              hear_word(fd, START_MS, "ready");
    if (!ok) {
        LOG(&h->log, LOG_WARN, "handover_failed",
            LOG_C(REASON, "the process that was to take over went away; this one goes on"));
        log_flush(&h->log);
        return false;
    }
    io_listeners_given();
    handover_close(h);
    char text[32];
    snprintf(text, sizeof text, "MAINPID=%ld", (long)h->to);
    io_notify(text); /* before the other one speaks for the service */
    say(fd, "done");
    (void)io_post(h->env.loop, tell_given, h); /* without memory we go on beside the other */
    return true;
}

static bool answer(struct handover *h, int fd)
{
    char text[TEXT_MAX];
    if (!hear(fd, WORD_MS, text, NULL, NULL))
        return false;
    if (strncmp(text, "take ", 5) == 0)
        return give(h, fd, text + 5);
    if (strncmp(text, "program ", 8) != 0 || h->program[0] == '\0')
        say(fd, "no");
    else if (strcmp(text, h->program) != 0)
        say(fd, "other");
    else
        say(fd, io_post(h->env.loop, tell_reload, h) ? "reload" : "no");
    return false;
}

static void set_talk(struct handover *h, int fd)
{
    pthread_mutex_lock(&h->lock);
    h->talk = fd;
    pthread_mutex_unlock(&h->lock);
}

static void *run(void *arg)
{
    struct handover *h = arg;
    bool given = false;
    int fd;
    while (!given && (fd = io_pass_accept(h->listener, &h->to)) >= 0) {
        set_talk(h, fd);
        given = answer(h, fd);
        set_talk(h, -1);
        close(fd);
    }
    return NULL;
}

bool handover_serve(struct handover *h, const char *state_dir, const struct handover_env *env,
                    struct err *err)
{
    sigset_t all, old;
    h->env = *env;
    (void)program(h->program);
    h->listener = io_pass_listen(state_dir, err);
    if (h->listener < 0)
        return false;
    log_init(&h->log, env->log->fd, env->log->level);
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&h->thread, NULL, run, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    h->running = e == 0;
    return e == 0 || err_set(err, 0, "cannot start a thread: %s", strerror(e));
}

void handover_close(struct handover *h)
{
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    drop(&h->kept);
    pthread_mutex_unlock(&h->lock);
}

/* ---- the command reload ---- */

enum handover_found handover_reload(const char *state_dir, struct err *err)
{
    char text[TEXT_MAX];
    enum handover_found found = HANDOVER_FAILED;
    int fd = io_pass_dial(state_dir, err);
    if (fd < 0)
        return err->set ? HANDOVER_FAILED : HANDOVER_NOBODY;
    if (!program(text) || !say(fd, text) || !hear(fd, WORD_MS, text, NULL, NULL))
        err_set(err, 0, "the running router does not answer");
    else if (strcmp(text, "reload") == 0)
        found = HANDOVER_SAME;
    else if (strcmp(text, "other") == 0)
        found = HANDOVER_OTHER;
    else
        err_set(err, 0, "the running router refuses");
    close(fd);
    return found;
}
