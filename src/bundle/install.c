/* SPDX-License-Identifier: Apache-2.0 */
/*
 * install - a bundle below a prefix, in three passes:
 *
 *   look    what is there: the same (kept), nothing, or another file (refused, unless it is to be replaced)
 *   stage   what is needed is copied beside its place under a name of ours, and digested on the way
 *   place   renamed, each in one step; an old file stays as FILE.old
 *
 * Only the last one changes what anybody uses, and only when every file is right. Whatever ends it, the same again goes
 * on: what is staged or placed and right is not copied again. At the end the manifest lies below the prefix, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bundle/internal.h"

#define OLD_MAX 1000 /* FILE.old.999 */

enum state { KEPT, NEW, OTHER };

struct installing {
    int from, to; /* the bundle, the prefix */
    bool replace;
    const struct bundle *b;
    struct bundle_watch *watch;
    struct err *err;
    uint8_t *states; /* enum state, one a file */
};

static bool fail(struct installing *in, const struct bundle_file *f)
{
    return err_set(in->err, 0, "%.200s: %s", f->path, strerror(errno));
}

static void staged_name(const struct installing *in, size_t i, char out[96])
{
    const struct bundle_file *f = &in->b->files[i];
    int n = snprintf(out, 96, ".llm-router-bundle-");
    for (size_t k = 0; k < BUNDLE_HASH / 2; k++)
        n += snprintf(out + n, 96 - (size_t)n, "%02x", f->hash[k]);
    snprintf(out + n, 96 - (size_t)n, "-%zu", i); /* two of a folder may be the same */
}

static void unstage(struct installing *in, size_t i)
{
    char name[96];
    int folder = tree_folder(in->to, in->b->files[i].path, false);
    staged_name(in, i, name);
    if (folder >= 0) {
        (void)unlinkat(folder, name, 0);
        close(folder);
    }
}

/* ---- look ---- */

static bool look_at(struct installing *in, size_t i)
{
    const struct bundle_file *f = &in->b->files[i];
    struct stat st;
    bool same = false;
    int fd = tree_open(in->to, f->path, &st);
    in->states[i] = fd < 0 ? NEW : OTHER;
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 && errno != ELOOP && errno != ENOTDIR)
        return fail(in, f);
    if (fd < 0) {
        watch_problem(in->watch, f->path, "in its place is no plain file, or a link on the way");
        return true;
    }
    bool ok =
        (uint64_t)st.st_size != f->bytes || pump_compare(fd, f, &same, in->watch) || fail(in, f);
    close(fd);
    if (same) {
        in->states[i] = KEPT;
        unstage(in, i); /* an end right after the file was placed leaves it */
        watch_done(in->watch, f->path, "kept");
    } else if (ok && !in->replace) {
        watch_problem(in->watch, f->path, "another one is there");
    }
    return ok;
}

/* ---- stage ---- */

static bool is_staged(struct installing *in, int folder, const char *name,
                      const struct bundle_file *f)
{
    struct bundle_watch quiet = {0};
    struct stat st;
    bool same = false;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->bytes ||
        !pump_compare(fd, f, &same, &quiet))
        same = false;
    close(fd);
    if (same)
        in->watch->bytes += f->bytes;
    return same;
}

static bool has_room(int folder, uint64_t bytes)
{
    struct statvfs fs;
    if (fstatvfs(folder, &fs) != 0)
        return false;
    if (bytes / (fs.f_frsize != 0 ? fs.f_frsize : 1) < fs.f_bavail || bytes == 0)
        return true;
    errno = ENOSPC;
    return false;
}

static bool copy_beside(struct installing *in, int from, int folder, const char *name,
                        const struct bundle_file *f)
{
    uint8_t hash[BUNDLE_HASH];
    uint64_t bytes = 0;
    (void)unlinkat(folder, name, 0); /* half of it */
    if (!has_room(folder, f->bytes))
        return fail(in, f);
    int to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = to >= 0 && pump(from, to, f->bytes, &bytes, hash, f->path, in->watch);
    bool right = ok && bytes == f->bytes && memcmp(hash, f->hash, sizeof hash) == 0;
    if (right)
        ok = fchmod(to, f->executable ? 0755 : 0644) == 0 && fsync(to) == 0;
    int why = errno;
    if (to >= 0)
        close(to);
    if (!ok || !right)
        (void)unlinkat(folder, name, 0);
    errno = why;
    if (!ok)
        return fail(in, f);
    if (!right)
        watch_problem(in->watch, f->path, "changed");
    return true;
}

static bool stage(struct installing *in, size_t i)
{
    const struct bundle_file *f = &in->b->files[i];
    struct stat st;
    char name[96];
    staged_name(in, i, name);
    int folder = tree_folder(in->to, f->path, true);
    if (folder < 0)
        return fail(in, f);
    if (is_staged(in, folder, name, f)) {
        close(folder);
        return true;
    }
    int from = tree_open(in->from, f->path, &st);
    bool ok = true;
    if (from >= 0)
        ok = copy_beside(in, from, folder, name, f);
    else if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR)
        watch_problem(in->watch, f->path, errno == ENOENT ? "missing" : "no plain file");
    else
        ok = fail(in, f);
    if (from >= 0)
        close(from);
    close(folder);
    return ok;
}

/* ---- place ---- */

/* The old file gets a second name; nothing is replaced by that. */
static bool keep_old(int folder, const char *name)
{
    char old[BUNDLE_NAME_MAX + 16];
    struct stat now, was;
    if (fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    for (unsigned i = 0; i < OLD_MAX; i++) {
        int n = snprintf(old, sizeof old, "%s.old", name);
        if (i > 0)
            snprintf(old + n, sizeof old - (size_t)n, ".%u", i);
        if (linkat(folder, name, folder, old, 0) == 0)
            return true;
        if (errno != EEXIST)
            return false;
        if (fstatat(folder, old, &was, AT_SYMLINK_NOFOLLOW) == 0 && was.st_ino == now.st_ino)
            return true; /* by an attempt that was ended here */
    }
    return false;
}

static bool place(struct installing *in, size_t i)
{
    const struct bundle_file *f = &in->b->files[i];
    const char *name = tree_name(f->path);
    char staged[96];
    bool other = in->states[i] == OTHER;
    staged_name(in, i, staged);
    int folder = tree_folder(in->to, f->path, false);
    if (folder < 0)
        return fail(in, f);
    /* link(2) does not replace: whoever put a file there meanwhile keeps it. */
    bool ok = other ? keep_old(folder, name) && renameat(folder, staged, folder, name) == 0
                    : linkat(folder, staged, folder, name, 0) == 0;
    if (ok && !other)
        (void)unlinkat(folder, staged, 0);
    ok = ok && fsync(folder) == 0;
    int why = errno;
    close(folder);
    errno = why;
    if (!ok)
        return fail(in, f);
    watch_done(in->watch, f->path, other ? "replaced" : "copied");
    return true;
}

/* ---- the whole ---- */

static bool each(struct installing *in, bool (*step)(struct installing *in, size_t i), bool all)
{
    for (size_t i = 0; i < in->b->n; i++)
        if ((all || in->states[i] != KEPT) && !step(in, i))
            return false;
    return true;
}

static bool install(struct installing *in, strv manifest, strv sig)
{
    if (!check_others(in->from, in->b, in->watch, in->err) || !each(in, look_at, true))
        return false;
    if (in->watch->problems > 0)
        return true; /* nothing was touched */
    if (!each(in, stage, false))
        return false;
    if (in->watch->problems > 0) {
        for (size_t i = 0; i < in->b->n; i++) /* a bundle that is not right leaves no file */
            unstage(in, i);
        return true;
    }
    return each(in, place, false) && put_small(in->to, BUNDLE_MANIFEST, manifest, in->err) &&
           put_small(in->to, BUNDLE_SIGNATURE, sig, in->err);
}

static bool open_both(struct installing *in, const char *dir, const char *prefix)
{
    in->from = tree_root(dir);
    if (in->from < 0)
        return err_set(in->err, 0, "%.200s: %s", dir, strerror(errno));
    in->to = tree_root(prefix);
    if (in->to < 0 && errno == ENOENT && mkdir(prefix, 0755) == 0)
        in->to = tree_root(prefix);
    return in->to >= 0 || err_set(in->err, 0, "%.200s: %s", prefix, strerror(errno));
}

bool bundle_install(const char *dir, const char *public_key, const char *prefix, bool replace,
                    struct bundle *b, struct bundle_watch *watch, struct err *err)
{
    struct installing in = {
        .from = -1, .to = -1, .replace = replace, .b = b, .watch = watch, .err = err};
    struct buf manifest, sig;
    buf_init(&manifest, BUNDLE_MANIFEST_MAX + 65536);
    buf_init(&sig, 2 * 65536);
    bool ok =
        open_both(&in, dir, prefix) && open_signed(in.from, public_key, b, &manifest, &sig, err);
    if (ok) {
        watch->total = b->bytes;
        in.states = mem_zalloc(b->n);
        ok = in.states != NULL ? install(&in, buf_view(&manifest), buf_view(&sig)) : err_oom(err);
    }
    mem_free(in.states);
    buf_fini(&manifest);
    buf_fini(&sig);
    if (in.from >= 0)
        close(in.from);
    if (in.to >= 0)
        close(in.to);
    return ok;
}
