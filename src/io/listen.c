/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen - accepting connections, a bounded number per turn.
 *
 * TCP: with `shared` every worker binds its own socket to the same port and the kernel spreads callers
 * over them. UNIX: a path can be bound once only, so workers share one socket (a duplicate of its
 * descriptor each); `unix_paths` below finds it. It is the only thing here that threads share.
 *
 * Out of descriptors, accept(2) fails while the connection stays in the backlog and the socket stays
 * readable: without a pause the loop would spin. Callers wait in the backlog for that time.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

#define BACKLOG        4096 /* the kernel cuts it to net.core.somaxconn */
#define ACCEPTS_MAX    64   /* in one turn; live connections want their share too */
#define NO_RESOURCE_MS 100

struct io_listener {
    uv_poll_t poll;
    struct io_loop *loop;
    io_accept_fn fn;
    void *arg;
    int fd;
    bool paused, closing;
    struct io_timer backoff;
    struct unix_path *path; /* NULL for TCP */
    bool secure;
    struct io_tls *tls; /* only if it is secure; NULL = callers are turned away */
    char address[128];
};

/* A UNIX socket that this process listens on. */
struct unix_path {
    struct list node;
    int fd;
    unsigned refs;
    dev_t device; /* of the socket file, so that we never remove somebody else's */
    ino_t inode;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

static pthread_mutex_t unix_paths_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list unix_paths = {&unix_paths, &unix_paths};
static bool unix_given; /* the files are another process's */

static int listen_tcp(const struct io_addr *addr, bool shared, struct err *err);
static int listen_unix(const struct io_addr *addr, bool shared, struct unix_path **path,
                       struct err *err);
static bool adopt_unix(const struct io_addr *addr, int fd, struct unix_path **path,
                       struct err *err);
static void unix_path_unref(struct unix_path *p);
static void describe(struct io_listener *l, const struct io_addr *addr);
static void watch(struct io_listener *l);
static void on_readable(uv_poll_t *handle, int status, int events);
static bool accept_one(struct io_listener *l);
static void on_backoff_over(void *arg);
static void on_closed(uv_handle_t *handle);

static struct io_listener *begin(struct io_loop *loop, const struct io_addr *addr, bool secure,
                                 int fd, struct unix_path *path, struct err *err)
{
    struct io_listener *l = mem_zalloc(sizeof *l);
    int rc = l != NULL ? uv_poll_init(&loop->uv, &l->poll, fd) : UV_ENOMEM;

    if (rc != 0) {
        if (l == NULL)
            err_oom(err);
        else
            err_set(err, 0, "cannot watch a socket: %s", uv_strerror(rc));
        close(fd);
        if (path != NULL)
            unix_path_unref(path);
        mem_free(l);
        return NULL;
    }
    l->loop = loop;
    l->fd = fd;
    l->path = path;
    l->secure = secure;
    describe(l, addr);
    return l;
}

static struct io_listener *serve(struct io_listener *l, io_accept_fn fn, void *arg)
{
    if (l == NULL)
        return NULL;
    l->fn = fn;
    l->arg = arg;
    watch(l);
    return l;
}

struct io_listener *io_listen(struct io_loop *loop, strv address, bool shared, io_accept_fn fn,
                              void *arg, struct err *err)
{
    struct unix_path *path = NULL;
    struct io_addr addr;
    int fd;

    if (!io_addr_parse(&addr, address, err))
        return NULL;
    fd = addr.u.sa.sa_family == AF_UNIX ? listen_unix(&addr, shared, &path, err)
                                        : listen_tcp(&addr, shared, err);
    return fd >= 0 ? serve(begin(loop, &addr, strv_starts(address, IO_ADDR_TLS), fd, path, err), fn,
                           arg)
                   : NULL;
}

struct io_listener *io_listen_on(struct io_loop *loop, strv address, int fd, io_accept_fn fn,
                                 void *arg, struct err *err)
{
    struct unix_path *path = NULL;
    struct io_addr addr;
    bool ok = io_addr_parse(&addr, address, err) && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;

    if (ok && addr.u.sa.sa_family == AF_UNIX)
        ok = adopt_unix(&addr, fd, &path, err);
    if (!ok) {
        if (err != NULL && !err->set)
            err_set(err, 0, "cannot listen on " STRV_FMT ": %s", STRV_ARG(address),
                    strerror(errno));
        close(fd);
        return NULL;
    }
    return serve(begin(loop, &addr, strv_starts(address, IO_ADDR_TLS), fd, path, err), fn, arg);
}

bool io_listens_on(int fd, strv address)
{
    struct io_addr want, have = {.len = sizeof have.u};
    int listens = 0;
    socklen_t len = sizeof listens;
    char a[IO_ADDR_TEXT_MAX], b[IO_ADDR_TEXT_MAX];

    if (!io_addr_parse(&want, address, NULL) ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || listens == 0 ||
        getsockname(fd, &have.u.sa, &have.len) != 0 || want.u.sa.sa_family != have.u.sa.sa_family)
        return false;
    if (want.u.sa.sa_family == AF_UNIX)
        return strcmp(want.u.un.sun_path, have.u.un.sun_path) == 0;
    io_addr_text(&want.u.sa, a);
    io_addr_text(&have.u.sa, b);
    return strcmp(a, b) == 0;
}

int io_listener_fd(const struct io_listener *l)
{
    return l->fd >= 0 ? fcntl(l->fd, F_DUPFD_CLOEXEC, 3) : -1;
}

void io_listeners_given(void)
{
    pthread_mutex_lock(&unix_paths_lock);
    unix_given = true;
    pthread_mutex_unlock(&unix_paths_lock);
}

const char *io_listener_address(const struct io_listener *l)
{
    return l->address;
}

void io_listener_set_tls(struct io_listener *l, struct io_tls *tls)
{
    if (!l->secure)
        return;
    io_tls_unref(l->tls);
    l->tls = io_tls_ref(tls);
}

void io_listener_pause(struct io_listener *l, bool paused)
{
    l->paused = paused;
    watch(l);
}

void io_listener_close(struct io_listener *l)
{
    if (l == NULL || l->closing)
        return;
    l->closing = true;
    io_timer_stop(l->loop, &l->backoff);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
    l->fd = -1;
    if (l->path != NULL)
        unix_path_unref(l->path);
    l->path = NULL;
    io_tls_unref(l->tls);
    l->tls = NULL;
}

void io_listener_finish(struct io_listener *l)
{
    if (l == NULL || l->closing)
        return;
    for (int i = 0; i < BACKLOG && !l->closing; i++) {
        if (!accept_one(l))
            break;
    }
    io_listener_close(l);
}

static int listen_tcp(const struct io_addr *addr, bool shared, struct err *err)
{
    int family = addr->u.sa.sa_family, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char text[IO_ADDR_TEXT_MAX];
    bool ok = fd >= 0;

    ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (ok && shared)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (ok && family == AF_INET6) /* so that 0.0.0.0 and [::] can stand side by side */
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    /* Accepted sockets inherit it: one system call less for each. */
    ok = ok && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    ok = ok && bind(fd, &addr->u.sa, addr->len) == 0 && listen(fd, BACKLOG) == 0;
    if (ok)
        return fd;
    io_addr_text(&addr->u.sa, text);
    err_set(err, 0, "cannot listen on %s: %s", text, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Whether a process answers behind the socket file. */
static bool somebody_answers(const struct io_addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool answers = true; /* in doubt it is alive and stays */

    if (fd < 0)
        return true;
    if (connect(fd, &addr->u.sa, addr->len) != 0)
        answers = errno != ECONNREFUSED;
    close(fd);
    return answers;
}

static bool bind_unix(int fd, const struct io_addr *addr, struct err *err)
{
    const char *path = addr->u.un.sun_path;
    struct stat st;

    /* The file gets the socket's mode: set before it exists, there is no moment when others may enter. */
    if (fchmod(fd, 0600) != 0)
        return err_set(err, 0, "cannot set the mode of %s: %s", path, strerror(errno));
    if (bind(fd, &addr->u.sa, addr->len) == 0)
        return true;
    if (errno == EADDRINUSE && lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return err_set(err, 0, "cannot listen on %s: a file that is not a socket is there",
                           path);
        if (somebody_answers(addr))
            return err_set(err, 0, "cannot listen on %s: another process answers there", path);
        if (unlink(path) == 0 && bind(fd, &addr->u.sa, addr->len) == 0)
            return true;
    }
    return err_set(err, 0, "cannot listen on %s: %s", path, strerror(errno));
}

static int open_unix(const struct io_addr *addr, struct unix_path **path, struct err *err)
{
    struct unix_path *p = mem_zalloc(sizeof *p);
    struct stat st;

    if (p == NULL) {
        err_oom(err);
        return -1;
    }
    memcpy(p->path, addr->u.un.sun_path, sizeof p->path);
    p->refs = 1;
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || !bind_unix(p->fd, addr, err))
        goto failed;
    if (listen(p->fd, BACKLOG) != 0 || lstat(p->path, &st) != 0)
        goto failed;
    p->device = st.st_dev;
    p->inode = st.st_ino;
    list_add_tail(&unix_paths, &p->node);
    *path = p;
    return fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
failed:
    err_set(err, 0, "cannot listen on %s: %s", p->path, strerror(errno));
    if (p->fd >= 0)
        close(p->fd);
    mem_free(p);
    return -1;
}

static int listen_unix(const struct io_addr *addr, bool shared, struct unix_path **path,
                       struct err *err)
{
    struct list *pos, *tmp;
    int fd = -1;

    pthread_mutex_lock(&unix_paths_lock);
    *path = NULL;
    list_for_each(pos, tmp, &unix_paths)
    {
        struct unix_path *p = list_entry(pos, struct unix_path, node);

        if (shared && strcmp(p->path, addr->u.un.sun_path) == 0) {
            p->refs++;
            *path = p;
            fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
            break;
        }
    }
    if (*path == NULL)
        fd = open_unix(addr, path, err);
    pthread_mutex_unlock(&unix_paths_lock);
    if (fd < 0 && *path != NULL) {
        err_set(err, 0, "cannot listen on %s: %s", addr->u.un.sun_path, strerror(errno));
        unix_path_unref(*path);
    }
    return fd;
}

/* A socket that came from another process: its file is ours to remove in the end. */
static bool adopt_unix(const struct io_addr *addr, int fd, struct unix_path **path, struct err *err)
{
    struct unix_path *p = mem_zalloc(sizeof *p);
    struct stat st;

    if (p == NULL)
        return err_oom(err);
    memcpy(p->path, addr->u.un.sun_path, sizeof p->path);
    p->refs = 1;
    p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (p->fd < 0) {
        mem_free(p);
        return false;
    }
    if (lstat(p->path, &st) == 0) {
        p->device = st.st_dev;
        p->inode = st.st_ino;
    }
    pthread_mutex_lock(&unix_paths_lock);
    list_add_tail(&unix_paths, &p->node);
    pthread_mutex_unlock(&unix_paths_lock);
    *path = p;
    return true;
}

static void unix_path_unref(struct unix_path *p)
{
    struct stat st;

    pthread_mutex_lock(&unix_paths_lock);
    if (--p->refs == 0) {
        list_del(&p->node);
        if (!unix_given && lstat(p->path, &st) == 0 && st.st_dev == p->device &&
            st.st_ino == p->inode)
            unlink(p->path);
        close(p->fd);
        mem_free(p);
    }
    pthread_mutex_unlock(&unix_paths_lock);
}

static void describe(struct io_listener *l, const struct io_addr *addr)
{
    struct io_addr bound = {.len = sizeof bound.u};
    char text[IO_ADDR_TEXT_MAX];

    if (addr->u.sa.sa_family == AF_UNIX) {
        snprintf(l->address, sizeof l->address, "unix:%s", addr->u.un.sun_path);
        return;
    }
    if (getsockname(l->fd, &bound.u.sa, &bound.len) != 0)
        bound = *addr;
    io_addr_text(&bound.u.sa, text);
    snprintf(l->address, sizeof l->address, "%s%s", l->secure ? "tls:" : "", text);
}

static void watch(struct io_listener *l)
{
    if (l->closing)
        return;
    if (l->paused || l->backoff.running)
        uv_poll_stop(&l->poll);
    else
        uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct io_listener *l = list_entry(handle, struct io_listener, poll);

    (void)status; /* accept(2) tells better what is wrong */
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && !l->closing && !l->paused; i++) {
        if (!accept_one(l))
            break;
    }
    if (!l->closing && !uv_is_active((const uv_handle_t *)handle))
        watch(l);
}

static bool accept_one(struct io_listener *l)
{
    struct io_addr peer = {.len = sizeof peer.u};
    int fd = accept4(l->fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct io_stream *s;

    if (fd >= 0) {
        if (peer.len <
            sizeof peer.u.sa.sa_family) /* an unnamed UNIX peer may have no address at all */
            peer.u.sa.sa_family = AF_UNIX;
        s = io_stream_new(l->loop, fd, &peer.u.sa);
        if (s != NULL && l->secure && (l->tls == NULL || !io_tls_accept(s, l->tls)))
            io_stream_close(s);
        else if (s != NULL)
            l->fn(l->arg, s);
        return true; /* without memory this one caller is turned away, the next may be luckier */
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        io_timer_start(l->loop, &l->backoff, NO_RESOURCE_MS, on_backoff_over, l);
        watch(l);
        return false;
    }
    return errno != EAGAIN; /* ECONNABORTED and the like: that caller has left, go on */
}

static void on_backoff_over(void *arg)
{
    watch(arg);
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(list_entry(handle, struct io_listener, poll));
}
