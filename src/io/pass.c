/* SPDX-License-Identifier: Apache-2.0 */
/* pass - see the header. */
#include "io/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME    "handover.sock"
#define BACKLOG 8

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(IO_PASS_FDS * sizeof(int))];
};

static int failed(struct err *err, const char *folder, int fd)
{
    err_set(err, 0, "%.200s/" NAME ": %s", folder, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A socket's address has room for 107 letters only; a longer folder is gone through by its descriptor. */
static bool name_it(struct sockaddr_un *a, const char *folder, int *dir)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    *dir = -1;
    if (strlen(folder) + sizeof "/" NAME <= sizeof a->sun_path) {
        snprintf(a->sun_path, sizeof a->sun_path, "%s/" NAME, folder);
        return true;
    }
    *dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/" NAME, *dir);
    return *dir >= 0;
}

static void done_with(int dir)
{
    int before = errno;
    if (dir >= 0)
        close(dir);
    errno = before;
}

int io_pass_listen(const char *folder, struct err *err)
{
    struct sockaddr_un a;
    int dir, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && name_it(&a, folder, &dir);
    if (!ok)
        return failed(err, folder, fd);
    /* The file gets the socket's mode: there is no moment when others may enter. */
    ok = fchmod(fd, 0600) == 0 && (unlink(a.sun_path) == 0 || errno == ENOENT) &&
         bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0;
    done_with(dir);
    return ok ? fd : failed(err, folder, fd);
}

static bool is_ours(int fd, pid_t *pid)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || who.uid != geteuid())
        return false;
    *pid = who.pid;
    return true;
}

int io_pass_accept(int fd, pid_t *pid)
{
    for (;;) {
        int caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (caller >= 0 && is_ours(caller, pid))
            return caller;
        if (caller >= 0)
            close(caller);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            poll(NULL, 0, 100);
        else if (errno != EINTR && errno != ECONNABORTED)
            return -1;
    }
}

int io_pass_dial(const char *folder, struct err *err)
{
    struct sockaddr_un a;
    pid_t pid;
    int dir, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(err, folder, fd);
    bool ok = name_it(&a, folder, &dir) && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    done_with(dir);
    if (!ok && (errno == ENOENT || errno == ECONNREFUSED)) {
        close(fd);
        return -1;
    }
    if (!ok)
        return failed(err, folder, fd);
    if (is_ours(fd, &pid))
        return fd;
    errno = EPERM;
    return failed(err, folder, fd);
}

bool io_pass_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0;
}

void io_pass_end(int fd)
{
    shutdown(fd, SHUT_RDWR);
}

void io_pass_limit(int fd, unsigned ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

bool io_pass_send(int fd, strv text, const int *fds, size_t n_fds)
{
    struct iovec v = {.iov_base = (char *)(uintptr_t)text.ptr, .iov_len = text.len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    union control control = {.room = {0}};
    ssize_t sent;
    if (n_fds > IO_PASS_FDS)
        return false;
    if (n_fds > 0) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)text.len;
}

/* What came with the message: kept, or closed where it is not wanted. */
static void take_fds(struct msghdr *m, int *fds, size_t *n_fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (fds != NULL && n_fds != NULL && *n_fds < IO_PASS_FDS)
                fds[(*n_fds)++] = fd;
            else
                close(fd);
        }
    }
}

ssize_t io_pass_recv(int fd, char *text, size_t size, int *fds, size_t *n_fds)
{
    struct iovec v = {.iov_base = text, .iov_len = size};
    union control control;
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof control.room};
    ssize_t got;
    if (n_fds != NULL)
        *n_fds = 0;
    do
        got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    take_fds(&m, fds, n_fds);
    return (m.msg_flags & MSG_TRUNC) != 0 ? -1 : got;
}

bool io_pass_gone(int fd)
{
    char c;
    ssize_t got = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

void io_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    if (len == 0 || len >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(a.sun_path, path, len);
    if (path[0] == '@') /* a name that is no file */
        a.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&a,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}
