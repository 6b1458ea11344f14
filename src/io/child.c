/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - our own fork and exec, because uv_spawn() cannot ask the kernel to kill the child when we die.
 *
 *   parent                                child
 *   find the file, open pipes, sockets
 *   block signals, fork ----------------> setsid, PR_SET_PDEATHSIG, still our child?
 *   restore signals                       signals to default, null device, pipe, close all others
 *   read the exec pipe <----------------- exec: the pipe closes; or: what failed and errno, _exit
 *   watch pidfd and standard error
 *
 * Between fork and exec only async-signal-safe calls are made: other threads may have held any lock.
 * Signals are blocked over the fork because libuv's handler in the child would write into our pipe.
 *
 * A child that talks has one socket as 0 and 1, as libuv's children have: one descriptor and one poll
 * handle here, and a write to a dead child is an error and no SIGPIPE. A program that wants to open
 * /dev/stdin by name cannot.
 *
 * Signals go to the child's whole process group, and when the child is gone the rest of the group is
 * killed while its number cannot have been given to somebody else.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/internal.h"

#define LINE_MAX_BYTES 1024
#define STDERR_ROUNDS  16 /* reads per turn: a child that only shouts must not keep the loop busy */
#define FIRST_FREE_FD  3

struct io_child {
    struct io_loop *loop;
    struct io_child_opts opts;
    pid_t pid;
    int pidfd;           /* -1: the kernel has none, SIGCHLD is watched instead */
    int stderr_fd;       /* -1: ended */
    uv_poll_t exit_poll; /* pidfd */
    uv_signal_t sigchld;
    uv_poll_t stderr_poll;
    struct io_stream *stream; /* not taken yet, or NULL */
    unsigned handles;         /* of the three, not let go by libuv yet */
    struct io_timer kill_timer;
    bool gone; /* on_exit was called */
    bool line_cut;
    size_t line_len;
    char line[LINE_MAX_BYTES];
};

/* Everything the child needs, found out before the fork. */
struct plan {
    const char *const *argv, *const *envp;
    const char *cwd;
    char file[PATH_MAX];
    pid_t parent;
    int null_fd, stderr_read, stderr_write, exec_read, exec_write;
    int talk_ours, talk_theirs; /* -1: it does not talk */
    bool talks, bounded;
};

/* What the child sends when it cannot become the program. */
struct failure {
    int errnum;
    bool in_chdir;
};

static bool find_file(struct plan *plan, struct err *err);
static bool open_pipes(struct plan *plan);
static void close_pipes(struct plan *plan);
static bool launch(struct plan *plan, pid_t *pid, struct err *err);
static void become(const struct plan *plan) __attribute__((noreturn));
static bool adopt(struct io_child *c, struct plan *plan);
static bool watch(struct io_child *c);
static void on_pidfd(uv_poll_t *handle, int status, int events);
static void on_sigchld(uv_signal_t *handle, int signum);
static void reap(struct io_child *c);
static void on_stderr(uv_poll_t *handle, int status, int events);
static void read_stderr(struct io_child *c, int rounds);
static void take_text(struct io_child *c, const char *text, size_t len);
static void end_line(struct io_child *c);
static void close_stderr(struct io_child *c);
static void on_handle_closed(uv_handle_t *handle);
static void kill_now(void *arg);
static void release(struct io_child *c);

struct io_child *io_child_start(struct io_loop *loop, const struct io_child_opts *opts,
                                struct err *err)
{
    struct plan plan = {.argv = opts->argv,
                        .envp = opts->envp,
                        .cwd = opts->cwd,
                        .parent = getpid(),
                        .null_fd = -1,
                        .stderr_read = -1,
                        .stderr_write = -1,
                        .exec_read = -1,
                        .exec_write = -1,
                        .talk_ours = -1,
                        .talk_theirs = -1,
                        .talks = opts->talks,
                        .bounded = opts->bounded};
    struct io_child *c = mem_zalloc(sizeof *c);

    if (c == NULL) {
        err_oom(err);
        return NULL;
    }
    c->loop = loop;
    c->opts = *opts;
    c->pidfd = c->stderr_fd = -1;
    if (!find_file(&plan, err) || !open_pipes(&plan) || !launch(&plan, &c->pid, err)) {
        err_set(err, 0, "cannot start %s: %s", opts->argv[0], strerror(errno));
        close_pipes(&plan);
        mem_free(c);
        return NULL;
    }
    if (!adopt(c, &plan)) {
        err_set(err, 0, "cannot watch %s", opts->argv[0]);
        kill(-c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        c->gone = true;
        release(c);
        return NULL;
    }
    return c;
}

pid_t io_child_pid(const struct io_child *c)
{
    return c->pid;
}

struct io_stream *io_child_take_stream(struct io_child *c)
{
    struct io_stream *s = c->stream;

    c->stream = NULL;
    return s;
}

void io_child_signal(struct io_child *c, int signum)
{
    assert(!c->gone); /* until then it is at least a zombie and the number is its own */
    if (kill(-c->pid, signum) != 0)
        kill(c->pid, signum);
}

void io_child_stop(struct io_child *c, uint64_t grace_ms)
{
    io_timer_start(c->loop, &c->kill_timer, grace_ms, kill_now, c);
    io_child_signal(c, SIGTERM);
}

static void kill_now(void *arg)
{
    io_child_signal(arg, SIGKILL);
}

/* ---- starting ---- */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* On PATH as execvp(3) would, but before the fork: there it would not be safe. */
static bool find_file(struct plan *plan, struct err *err)
{
    const char *name = plan->argv[0], *path = getenv("PATH");
    strv rest = strv_of(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"), dir;

    if (strchr(name, '/') != NULL) {
        if (strlen(name) >= sizeof plan->file)
            return err_set(err, 0, "cannot start a file whose path is longer than %d bytes",
                           PATH_MAX);
        memcpy(plan->file, name,
               strlen(name) + 1); /* fits; a missing file is told by exec, also relative to cwd */
        return true;
    }
    while (strv_cut(&rest, ':', &dir)) {
        int n;

        if (dir.len == 0)
            dir = STRV(".");
        n = snprintf(plan->file, sizeof plan->file, STRV_FMT "/%s", STRV_ARG(dir), name);
        if (n > 0 && (size_t)n < sizeof plan->file && is_program(plan->file))
            return true;
    }
    return err_set(err, 0, "cannot start %s: no such program on PATH", name);
}

/* Moves a descriptor above the three standard ones, which may be closed in a daemon. */
static bool lift(int *fd)
{
    int lifted;

    if (*fd >= FIRST_FREE_FD)
        return true;
    lifted = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    close(*fd);
    *fd = lifted;
    return lifted >= 0;
}

static bool open_pipe(int *read_end, int *write_end)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *read_end = fds[0];
    *write_end = fds[1];
    return lift(read_end) && lift(write_end);
}

static bool open_talk(struct plan *plan)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    plan->talk_ours = fds[0];
    plan->talk_theirs = fds[1];
    return lift(&plan->talk_ours) && lift(&plan->talk_theirs) &&
           fcntl(plan->talk_ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_pipes(struct plan *plan)
{
    plan->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (plan->null_fd < 0 || !lift(&plan->null_fd))
        return false;
    return (!plan->talks || open_talk(plan)) &&
           open_pipe(&plan->stderr_read, &plan->stderr_write) &&
           open_pipe(&plan->exec_read, &plan->exec_write);
}

static void close_pipes(struct plan *plan)
{
    int *fds[] = {&plan->null_fd,    &plan->stderr_read, &plan->stderr_write, &plan->exec_read,
                  &plan->exec_write, &plan->talk_ours,   &plan->talk_theirs};
    int saved = errno;

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    errno = saved;
}

/* Returns when the child runs the program or has failed to. */
static bool launch(struct plan *plan, pid_t *pid, struct err *err)
{
    struct failure failure;
    sigset_t old;
    ssize_t n;
    int saved;

    io_block_signals(&old);
    *pid = fork();
    saved = errno;
    if (*pid == 0)
        become(plan);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    if (*pid < 0)
        return false;
    close(plan->exec_write);
    plan->exec_write = -1;
    do {
        n = read(plan->exec_read, &failure, sizeof failure);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        return true;
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (n != (ssize_t)sizeof failure)
        return err_set(err, 0, "cannot start %s: it died before it began", plan->argv[0]);
    errno = failure.errnum;
    if (failure.in_chdir)
        return err_set(err, 0, "cannot start %s in %s: %s", plan->argv[0], plan->cwd,
                       strerror(failure.errnum));
    return false;
}

static void give_up(int exec_fd, bool in_chdir) __attribute__((noreturn));
static void give_up(int exec_fd, bool in_chdir)
{
    struct failure failure = {.errnum = errno, .in_chdir = in_chdir};

    if (write(exec_fd, &failure, sizeof failure) < 0)
        _exit(126);
    _exit(127);
}

/* In the child. Limits that a sane program never meets; they cannot be raised again. */
static void bound(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max = 0;
        setrlimit(RLIMIT_CORE, &limit);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > IO_CHILD_FILES_MAX) {
        limit.rlim_cur = limit.rlim_max = IO_CHILD_FILES_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Runs in the child. Only async-signal-safe calls (signal-safety(7)), and prctl, which is one syscall. */
static void become(const struct plan *plan)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;
    int exec_fd = plan->exec_write, talk_fd = plan->talks ? plan->talk_theirs : plan->null_fd;

    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan->parent) /* it died before we asked */
        _exit(127);
    for (int signum = 1; signum < NSIG; signum++)
        sigaction(signum, &dfl, NULL); /* refused for SIGKILL and SIGSTOP: they have no other */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (plan->cwd != NULL && chdir(plan->cwd) != 0)
        give_up(exec_fd, true);
    if (plan->bounded)
        bound();
    if (dup2(talk_fd, 0) < 0 || dup2(talk_fd, 1) < 0 || dup2(plan->stderr_write, 2) < 0)
        give_up(exec_fd, false);
    if (exec_fd != FIRST_FREE_FD) {
        if (dup3(exec_fd, FIRST_FREE_FD, O_CLOEXEC) < 0)
            give_up(exec_fd, false);
        exec_fd = FIRST_FREE_FD;
    }
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)exec_fd + 1, ~0u, 0u) != 0)
#endif
    {
        struct rlimit limit; /* kernels before 5.9 */

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = 65536;
        for (rlim_t fd = (rlim_t)exec_fd + 1; fd < limit.rlim_cur; fd++)
            close((int)fd);
    }
    execve(plan->file, (char *const *)(uintptr_t)plan->argv, (char *const *)(uintptr_t)plan->envp);
    give_up(exec_fd, false);
}

/* ---- watching ---- */

/* Takes over what the running child is known by. */
static bool adopt(struct io_child *c, struct plan *plan)
{
    struct sockaddr unix_peer = {.sa_family = AF_UNIX};
    bool ok = true;

    c->stderr_fd = plan->stderr_read;
    plan->stderr_read = -1;
    if (plan->talk_ours >= 0) {
        c->stream = io_stream_new(c->loop, plan->talk_ours, &unix_peer);
        plan->talk_ours = -1; /* its own now, or closed */
        ok = c->stream != NULL;
    }
    close_pipes(plan);
    return watch(c) && ok;
}

static bool watch(struct io_child *c)
{
    uv_loop_t *uv = &c->loop->uv;

    c->exit_poll.data = c->sigchld.data = c->stderr_poll.data = c; /* libuv leaves it alone */
#ifdef SYS_pidfd_open
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0u);
#endif
    if (c->pidfd >= 0) {
        if (uv_poll_init(uv, &c->exit_poll, c->pidfd) != 0)
            return false;
        c->handles++;
        uv_poll_start(&c->exit_poll, UV_READABLE, on_pidfd);
    } else {
        if (uv_signal_init(uv, &c->sigchld) != 0)
            return false;
        c->handles++;
        if (uv_signal_start(&c->sigchld, on_sigchld, SIGCHLD) != 0)
            return false;
        /* It may have ended before we watched. */
        kill(getpid(), SIGCHLD);
    }
    if (uv_poll_init(uv, &c->stderr_poll, c->stderr_fd) != 0)
        return false;
    c->handles++;
    uv_poll_start(&c->stderr_poll, UV_READABLE, on_stderr);
    return true;
}

static void on_pidfd(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    reap(list_entry(handle, struct io_child, exit_poll));
}

static void on_sigchld(uv_signal_t *handle, int signum)
{
    (void)signum;
    reap(list_entry(handle, struct io_child, sigchld));
}

static void reap(struct io_child *c)
{
    siginfo_t info = {0};
    bool killed;

    if (c->gone || waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    kill(-c->pid, SIGKILL); /* what it left behind, while its zombie holds the number */
    waitid(P_PID, (id_t)c->pid, &info, WEXITED);
    if (c->stderr_fd >= 0)
        read_stderr(c, STDERR_ROUNDS); /* its last words, usually the interesting ones */
    end_line(c);
    killed = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
    c->gone = true;
    if (c->opts.on_exit != NULL)
        c->opts.on_exit(c->opts.arg, killed ? 0 : info.si_status, killed ? info.si_status : 0);
    release(c);
}

static void on_stderr(uv_poll_t *handle, int status, int events)
{
    struct io_child *c = list_entry(handle, struct io_child, stderr_poll);

    (void)status;
    (void)events;
    read_stderr(c, STDERR_ROUNDS);
}

static void read_stderr(struct io_child *c, int rounds)
{
    while (rounds-- > 0) {
        ssize_t n = read(c->stderr_fd, c->loop->in, 4096);

        if (n > 0) {
            take_text(c, c->loop->in, (size_t)n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            end_line(c);
            close_stderr(c);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void take_text(struct io_child *c, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            end_line(c);
        else if (c->line_len < sizeof c->line)
            c->line[c->line_len++] = text[i];
        else
            c->line_cut = true;
    }
}

static void end_line(struct io_child *c)
{
    strv line = {c->line, c->line_len};

    if (line.len > 0 && line.ptr[line.len - 1] == '\r' && !c->line_cut)
        line.len--;
    c->line_len = 0;
    c->line_cut = false;
    if (line.len > 0 && c->opts.on_line != NULL)
        c->opts.on_line(c->opts.arg, line);
}

static void close_stderr(struct io_child *c)
{
    uv_close((uv_handle_t *)&c->stderr_poll, on_handle_closed);
    close(c->stderr_fd);
    c->stderr_fd = -1;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct io_child *c = handle->data;

    if (--c->handles == 0 && c->gone)
        mem_free(c);
}

static void release(struct io_child *c)
{
    io_timer_stop(c->loop, &c->kill_timer);
    io_stream_close(c->stream);
    c->stream = NULL;
    if (c->exit_poll.type == UV_POLL)
        uv_close((uv_handle_t *)&c->exit_poll, on_handle_closed);
    if (c->sigchld.type == UV_SIGNAL)
        uv_close((uv_handle_t *)&c->sigchld, on_handle_closed);
    if (c->pidfd >= 0)
        close(c->pidfd);
    if (c->stderr_fd >= 0 && c->stderr_poll.type == UV_POLL)
        close_stderr(c);
    else if (c->stderr_fd >= 0)
        close(c->stderr_fd);
    if (c->handles == 0)
        mem_free(c);
}
