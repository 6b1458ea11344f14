/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - folders opened part by part without following a link, so that nobody can lead us out of a bundle or a prefix,
 * also not while we work; and bytes digested on their way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/internal.h"

#define PUMP_BYTES ((size_t)256 * 1024)
#define FOLDER     (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* ---- folders ---- */

int tree_root(const char *path)
{
    return open(path, FOLDER);
}

const char *tree_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int make_folder(int at, const char *name)
{
    bool fresh = mkdirat(at, name, 0755) == 0;
    if (!fresh && errno != EEXIST)
        return -1;
    int fd = openat(at, name, FOLDER | O_NOFOLLOW);
    if (fd >= 0 && fresh && (fchmod(fd, 0755) != 0 || fsync(at) != 0)) { /* whatever the umask is */
        close(fd);
        return -1;
    }
    return fd;
}

int tree_folder(int root, const char *path, bool make)
{
    char part[BUNDLE_NAME_MAX + 1];
    strv rest = strv_of(path), next;
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && memchr(rest.ptr, '/', rest.len) != NULL && strv_cut(&rest, '/', &next)) {
        if (next.len >= sizeof part) {
            close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, next.ptr, next.len);
        part[next.len] = '\0';
        int below = make ? make_folder(at, part) : openat(at, part, FOLDER | O_NOFOLLOW);
        int why = errno;
        close(at);
        errno = why;
        at = below;
    }
    return at;
}

int tree_open(int root, const char *path, struct stat *st)
{
    int folder = tree_folder(root, path, false);
    if (folder < 0)
        return -1;
    int fd = openat(folder, tree_name(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int why = errno;
    close(folder);
    if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
        close(fd);
        fd = -1;
        why = ELOOP;
    }
    errno = why;
    return fd;
}

struct walk {
    tree_fn file;
    void *arg;
    struct err *err;
    char path[4096];
};

static bool walk_folder(struct walk *w, int at, size_t len, unsigned depth);

static bool walk_one(struct walk *w, int at, const char *name, size_t len, unsigned depth)
{
    struct stat st;
    int n = snprintf(w->path + len, sizeof w->path - len, "%s%s", len > 0 ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof w->path - len)
        return err_set(w->err, 0, "%.200s...: the path is too long", w->path);
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_set(w->err, 0, "%.200s: %s", w->path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return w->file(w->arg, w->path, at, &st, w->err);
    if (depth == DEPTH_MAX)
        return err_set(w->err, 0, "%.200s: more than %d folders in folders", w->path, DEPTH_MAX);
    int below = openat(at, name, FOLDER | O_NOFOLLOW);
    if (below < 0)
        return err_set(w->err, 0, "%.200s: %s", w->path, strerror(errno));
    return walk_folder(w, below, len + (size_t)n, depth + 1);
}

static bool walk_folder(struct walk *w, int at, size_t len, unsigned depth)
{
    const struct dirent *one;
    bool ok = true;
    DIR *dir = fdopendir(at);
    if (dir == NULL) {
        close(at);
        return err_oom(w->err);
    }
    while (ok && (errno = 0, one = readdir(dir)) != NULL) {
        if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0)
            ok = walk_one(w, at, one->d_name, len, depth);
        w->path[len] = '\0';
    }
    if (ok && errno != 0)
        ok = err_set(w->err, 0, "%.200s: %s", w->path, strerror(errno));
    closedir(dir);
    return ok;
}

bool tree_walk(int at, const char *prefix, tree_fn file, void *arg, struct err *err)
{
    struct walk w = {.file = file, .arg = arg, .err = err};
    size_t len = strlen(prefix);
    if (at < 0)
        return err_set(err, 0, "%.200s: %s", prefix, strerror(errno));
    if (len >= sizeof w.path) {
        close(at);
        return err_set(err, 0, "%.200s...: the path is too long", prefix);
    }
    memcpy(w.path, prefix, len + 1);
    return walk_folder(&w, at, len, 0);
}

/* ---- bytes ---- */

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

static bool pump_with(EVP_MD_CTX *ctx, char *room, int from, int to, uint64_t max, uint64_t *bytes,
                      const char *path, struct bundle_watch *watch)
{
    *bytes = 0;
    while (*bytes <= max) {
        size_t want = max - *bytes < PUMP_BYTES ? (size_t)(max - *bytes) + 1 : PUMP_BYTES;
        ssize_t n = read(from, room, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        *bytes += (uint64_t)n;
        if (EVP_DigestUpdate(ctx, room, (size_t)n) != 1) {
            errno = ENOMEM;
            return false;
        }
        if (to >= 0 && !write_all(to, room, (size_t)n))
            return false;
        watch->bytes += (uint64_t)n;
        if (watch->moved != NULL)
            watch->moved(watch->arg, path, watch->bytes, watch->total);
    }
    return true;
}

bool pump(int from, int to, uint64_t max, uint64_t *bytes, uint8_t hash[BUNDLE_HASH],
          const char *path, struct bundle_watch *watch)
{
    char *room = mem_alloc(PUMP_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = room != NULL && ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    if (!ok)
        errno = ENOMEM;
    ok = ok && pump_with(ctx, room, from, to, max, bytes, path, watch);
    if (ok && EVP_DigestFinal_ex(ctx, hash, NULL) != 1) {
        errno = ENOMEM;
        ok = false;
    }
    int why = errno;
    EVP_MD_CTX_free(ctx);
    mem_free(room);
    errno = why;
    return ok;
}

bool pump_compare(int fd, const struct bundle_file *f, bool *same, struct bundle_watch *watch)
{
    uint8_t hash[BUNDLE_HASH];
    uint64_t bytes = 0;
    if (!pump(fd, -1, f->bytes, &bytes, hash, f->path, watch))
        return false;
    *same = bytes == f->bytes && memcmp(hash, f->hash, sizeof hash) == 0;
    return true;
}

/* ---- telling ---- */

void watch_problem(struct bundle_watch *watch, const char *path, const char *what)
{
    watch->problems++;
    if (watch->problem != NULL)
        watch->problem(watch->arg, path, what);
}

void watch_done(struct bundle_watch *watch, const char *path, const char *what)
{
    if (watch->done != NULL)
        watch->done(watch->arg, path, what);
}

bool put_small(int folder, const char *name, strv text, struct err *err)
{
    (void)unlinkat(folder, BESIDE, 0); /* of a process that was killed here */
    int fd = openat(folder, BESIDE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool ok =
        fd >= 0 && fchmod(fd, 0644) == 0 && write_all(fd, text.ptr, text.len) && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (ok && (renameat(folder, BESIDE, folder, name) != 0 || fsync(folder) != 0)) {
        ok = false;
        why = errno;
    }
    return ok || err_set(err, 0, "%s: %s", name, strerror(why));
}
