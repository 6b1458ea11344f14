/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify - first the signature, then the manifest, then every file; and nothing may lie there that the manifest does not
 * name. Each file at fault is told, so that somebody can carry in these alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/internal.h"

/* ---- the manifest ---- */

static bool read_small(int root, const char *name, struct buf *out, struct err *err)
{
    struct stat st;
    int fd = tree_open(root, name, &st);
    bool ok = fd >= 0;
    while (ok) {
        char *at = buf_reserve(out, 65536);
        ssize_t n = at != NULL ? read(fd, at, 65536) : -1;
        ok = n >= 0 || (at != NULL && errno == EINTR);
        if (at == NULL)
            errno = EFBIG;
        if (n > 0)
            buf_added(out, (size_t)n);
        if (n == 0)
            break;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    return ok || err_set(err, 0, "%s: %s", name, why == ELOOP ? "no plain file" : strerror(why));
}

bool open_signed(int root, const char *public_key, struct bundle *b, struct buf *manifest,
                 struct buf *sig, struct err *err)
{
    return read_small(root, BUNDLE_MANIFEST, manifest, err) &&
           read_small(root, BUNDLE_SIGNATURE, sig, err) &&
           bundle_signed(public_key, buf_view(manifest), buf_view(sig), err) &&
           bundle_read(b, buf_view(manifest), err);
}

/* The same for those who need no more of them than the list. */
static bool open_list(int root, const char *public_key, struct bundle *b, struct err *err)
{
    struct buf manifest, sig;
    buf_init(&manifest, BUNDLE_MANIFEST_MAX + 65536);
    buf_init(&sig, 2 * 65536);
    bool ok = open_signed(root, public_key, b, &manifest, &sig, err);
    buf_fini(&manifest);
    buf_fini(&sig);
    return ok;
}

/* ---- files ---- */

bool check_one(int root, const struct bundle_file *f, struct bundle_watch *watch, struct err *err)
{
    struct stat st;
    bool same = false, ok = true;
    int fd = tree_open(root, f->path, &st);
    if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
        return err_set(err, 0, "%.200s: %s", f->path, strerror(errno));
    if (fd < 0) {
        watch_problem(watch, f->path, errno == ENOENT ? "missing" : "no plain file");
        return true;
    }
    if ((uint64_t)st.st_size == f->bytes) /* of another size it need not be read */
        ok = pump_compare(fd, f, &same, watch) ||
             err_set(err, 0, "%.200s: %s", f->path, strerror(errno));
    if (ok && !same)
        watch_problem(watch, f->path, "changed");
    else if (ok)
        watch_done(watch, f->path, "right");
    close(fd);
    return ok;
}

struct search {
    const struct bundle *b;
    struct bundle_watch *watch;
};

static bool look_for_others(void *arg, const char *path, int folder, const struct stat *st,
                            struct err *err)
{
    struct search *s = arg;
    (void)folder;
    (void)st;
    (void)err;
    if (strcmp(path, BUNDLE_MANIFEST) != 0 && strcmp(path, BUNDLE_SIGNATURE) != 0 &&
        bundle_find(s->b, strv_of(path)) == NULL)
        watch_problem(s->watch, path, "not in the manifest");
    return true;
}

bool check_others(int root, const struct bundle *b, struct bundle_watch *watch, struct err *err)
{
    struct search s = {b, watch};
    return tree_walk(openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", look_for_others, &s,
                     err);
}

static bool not_there(const char *dir, struct err *err)
{
    return err_set(err, 0, "%.200s: %s", dir, strerror(errno));
}

bool bundle_verify(const char *dir, const char *public_key, struct bundle *b,
                   struct bundle_watch *watch, struct err *err)
{
    int root = tree_root(dir);
    if (root < 0)
        return not_there(dir, err);
    bool ok = open_list(root, public_key, b, err);
    watch->total = b->bytes;
    ok = ok && check_others(root, b, watch, err);
    for (size_t i = 0; ok && i < b->n; i++)
        ok = check_one(root, &b->files[i], watch, err);
    close(root);
    return ok;
}

/* ---- what is installed ---- */

struct installed {
    const char *prefix;
    int root;
    const struct bundle *b;
    struct bundle_watch *watch;
    struct err *err;
};

/* As the manifest has it: below the prefix, without a slash at its end. */
static strv below(const struct installed *in, const char *text)
{
    strv path = strv_of(text), prefix = strv_of(in->prefix);
    while (prefix.len > 1 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (path.len > prefix.len && strv_starts(path, prefix) && path.ptr[prefix.len] == '/')
        path = strv_from(path, prefix.len + 1);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static bool is_below(const char *path, strv folder)
{
    strv p = strv_of(path);
    return p.len > folder.len && p.ptr[folder.len] == '/' && strv_starts(p, folder);
}

static bool check_folder(const struct installed *in, strv path)
{
    struct search s = {in->b, in->watch};
    char inside[BUNDLE_PATH_MAX + 3], name[BUNDLE_PATH_MAX + 1];
    snprintf(name, sizeof name, STRV_FMT, STRV_ARG(path));
    snprintf(inside, sizeof inside, "%s/x", name);
    int at = tree_folder(in->root, inside, false);
    if (at >= 0)
        return tree_walk(at, name, look_for_others, &s, in->err);
    return true; /* its files are missing or no plain ones, and that is told */
}

/* What an administrator names must be in the manifest: a model that it does not know is none to be loaded. */
static bool check_named(const struct installed *in, const char *text)
{
    strv path = below(in, text);
    size_t found = 0;
    bool ok = true, folder = false;
    for (size_t i = 0; ok && i < in->b->n; i++) {
        const struct bundle_file *f = &in->b->files[i];
        bool inside = is_below(f->path, path);
        if (!inside && !strv_eq_cstr(path, f->path))
            continue;
        found++;
        folder = folder || inside;
        in->watch->total += f->bytes;
        ok = check_one(in->root, f, in->watch, in->err);
    }
    if (found == 0)
        watch_problem(in->watch, text, "not in the manifest");
    return ok && (!folder || check_folder(in, path));
}

bool bundle_verify_installed(const char *prefix, const char *public_key, const char *const *only,
                             size_t n_only, struct bundle *b, struct bundle_watch *watch,
                             struct err *err)
{
    struct installed in = {prefix, tree_root(prefix), b, watch, err};
    if (in.root < 0)
        return not_there(prefix, err);
    bool ok = open_list(in.root, public_key, b, err);
    watch->total = n_only == 0 ? b->bytes : 0;
    for (size_t i = 0; ok && n_only == 0 && i < b->n; i++)
        ok = check_one(in.root, &b->files[i], watch, err);
    for (size_t i = 0; ok && i < n_only; i++)
        ok = check_named(&in, only[i]);
    close(in.root);
    return ok;
}
