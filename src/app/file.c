/* SPDX-License-Identifier: Apache-2.0 */
#include "app/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define READ_BYTES ((size_t)64 * 1024)

static bool fail(struct err *err, const char *path)
{
    return err_set(err, 0, "%.300s: %s", path, strerror(errno));
}

/* ---- reading ---- */

static bool read_all(int fd, struct buf *out)
{
    for (;;) {
        char *at = buf_reserve(out, READ_BYTES);
        if (at == NULL) {
            errno = EFBIG;
            return false;
        }
        ssize_t n = read(fd, at, READ_BYTES);
        if (n > 0)
            buf_added(out, (size_t)n);
        if (n == 0 || (n < 0 && errno != EINTR))
            return n == 0;
    }
}

bool file_read(const char *path, struct buf *out, bool *missing, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (missing != NULL)
        *missing = fd < 0 && errno == ENOENT;
    if (fd < 0)
        return fail(err, path);
    bool ok = read_all(fd, out) || fail(err, path);
    close(fd);
    return ok;
}

/* ---- replacing ---- */

static bool write_all(int fd, strv text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = strv_from(text, (size_t)n);
    }
    return fsync(fd) == 0;
}

/* The new name itself is durable only with its folder. */
static void sync_folder(const char *path)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
             slash != NULL ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* not every file system can */
    close(fd);
}

bool file_replace(const char *path, strv text, struct err *err)
{
    char beside[PATH_BYTES];
    int n = snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
    if (n < 0 || n >= (int)sizeof beside)
        return err_set(err, 0, "a path is too long");
    (void)unlink(beside); /* of a process of this number that was killed */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, beside);
    bool ok = write_all(fd, text) || fail(err, beside);
    ok = close(fd) == 0 && ok;
    ok = ok && (rename(beside, path) == 0 || fail(err, path));
    if (ok)
        sync_folder(path);
    else
        (void)unlink(beside);
    return ok;
}
