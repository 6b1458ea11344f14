/* SPDX-License-Identifier: Apache-2.0 */
#include "app/logins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/file.h"

#define FILE_BYTES_MAX ((size_t)64 * 1024)
#define PATH_BYTES     4096

/* A server's name is a file's: letters, digits and hyphens. */
static bool path_of(const struct logins *l, const char *server, const char *end,
                    char out[PATH_BYTES])
{
    int n = snprintf(out, PATH_BYTES, "%s/mcp/%s%s", l->state_dir, server, end);
    return n > 0 && n < PATH_BYTES;
}

static bool fail(struct err *err, const char *path)
{
    return err_set(err, 0, "%.300s: %s", path, strerror(errno));
}

/* state_dir/mcp, and what is above it. */
static bool make_folder(const struct logins *l, struct err *err)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/mcp", l->state_dir) >= (int)sizeof path)
        return err_set(err, 0, "state_dir is too long");
    for (char *slash = path; slash != NULL;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return fail(err, path);
        if (slash != NULL)
            *slash = '/';
    }
    return true;
}

static bool read_all(int fd, struct buf *out)
{
    char part[4096];
    ssize_t n;
    do {
        n = read(fd, part, sizeof part);
        if (n > 0 && !buf_put(out, part, (size_t)n))
            n = -1;
    } while (n > 0 || (n < 0 && errno == EINTR && !out->failed));
    mem_wipe(part, sizeof part);
    return n == 0;
}

bool logins_read(const struct logins *l, const char *server, struct buf *out)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_of(l, server, ".json", path))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    /* One that others could have written, or read, is no login of ours. */
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
              (st.st_mode & 077) == 0 && st.st_size <= (off_t)FILE_BYTES_MAX && read_all(fd, out);
    close(fd);
    return ok;
}

bool logins_write(const struct logins *l, const char *server, strv text, struct err *err)
{
    char path[PATH_BYTES];
    if (!path_of(l, server, ".json", path))
        return err_set(err, 0, "state_dir is too long");
    return make_folder(l, err) && file_replace(path, text, err);
}

bool logins_remove(const struct logins *l, const char *server, bool *there, struct err *err)
{
    char path[PATH_BYTES];
    *there = false;
    if (!path_of(l, server, ".json", path))
        return err_set(err, 0, "state_dir is too long");
    *there = unlink(path) == 0;
    return *there || errno == ENOENT || errno == ENOTDIR || fail(err, path);
}

uint64_t logins_mark(const struct logins *l, const char *server)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_of(l, server, ".json", path) || lstat(path, &st) != 0)
        return 0;
    uint64_t mark = (uint64_t)st.st_ino * 1000003 ^ (uint64_t)st.st_mtim.tv_sec * 1000000007 ^
                    (uint64_t)st.st_mtim.tv_nsec;
    return mark != 0 ? mark : 1;
}

/* ---- as the host of logins ---- */

static bool load(void *arg, const char *server, struct buf *out)
{
    return logins_read(arg, server, out);
}

static bool save(void *arg, const char *server, strv text)
{
    struct err err = ERR_INIT;
    return logins_write(arg, server, text, &err);
}

void logins_init(struct logins *l, const char *state_dir)
{
    *l = (struct logins){.host = {.load = load, .save = save, .arg = l}};
    snprintf(l->state_dir, sizeof l->state_dir, "%s", state_dir); /* options.def: 1024 at most */
}
