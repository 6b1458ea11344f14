/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create - a bundle from files and folders of this machine. It is made beside its name and renamed when it is whole; what
 * an attempt that was ended has copied is digested and kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/internal.h"

struct item {
    const char *place, *source;
    bool executable;
};

struct making {
    const char *private_key;
    struct bundle *b;
    struct bundle_watch *watch;
    struct err *err;
    const struct bundle_part *part; /* the one that is looked at */
    struct item *items;
    size_t n, cap;
    struct stat key;
    struct arena arena;
    int root;
};

/* ---- what goes in ---- */

static bool add_item(struct making *m, const char *place, const char *source, const struct stat *st)
{
    const char *problem = bundle_path_problem(strv_of(place));
    if (problem != NULL)
        return err_set(m->err, 0, "%.200s: %s", place, problem);
    if (!S_ISREG(st->st_mode))
        return err_set(m->err, 0, "%.200s is no plain file", source);
    if (st->st_dev == m->key.st_dev && st->st_ino == m->key.st_ino)
        return err_set(m->err, 0, "%.200s is the private key", source);
    if (m->n == m->cap) {
        size_t cap = m->cap != 0 ? m->cap * 2 : 64;
        struct item *items = mem_realloc(m->items, cap * sizeof *items);
        if (items == NULL)
            return err_oom(m->err);
        m->items = items;
        m->cap = cap;
    }
    m->items[m->n] =
        (struct item){arena_cstr(&m->arena, strv_of(place)), arena_cstr(&m->arena, strv_of(source)),
                      (st->st_mode & S_IXUSR) != 0};
    m->n++;
    m->watch->total += (uint64_t)st->st_size;
    return !m->arena.failed || err_oom(m->err);
}

static bool on_source(void *arg, const char *path, int folder, const struct stat *st,
                      struct err *err)
{
    struct making *m = arg;
    struct stat real = *st;
    char place[BUNDLE_PATH_MAX + 4096];
    (void)folder;
    snprintf(place, sizeof place, "%s%s", m->part->place, path + strlen(m->part->source));
    if (S_ISLNK(st->st_mode) && stat(path, &real) != 0)
        return err_set(err, 0, "%.200s: %s", path, strerror(errno));
    return add_item(m, place, path, &real);
}

static bool add_part(struct making *m, const struct bundle_part *part)
{
    struct stat st;
    m->part = part;
    if (stat(part->source, &st) != 0)
        return err_set(m->err, 0, "%.200s: %s", part->source, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return tree_walk(tree_root(part->source), part->source, on_source, m, m->err);
    return add_item(m, part->place, part->source, &st);
}

static int by_place(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return bundle_path_cmp(strv_of(x->place), strv_of(y->place));
}

static bool gather(struct making *m, const struct bundle_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!add_part(m, &parts[i]))
            return false;
    if (m->n > 0)
        qsort(m->items, m->n, sizeof *m->items, by_place);
    for (size_t i = 1; i < m->n; i++) {
        const char *place = m->items[i].place;
        const char *problem = bundle_path_follows(strv_of(m->items[i - 1].place), strv_of(place));
        if (problem != NULL)
            return err_set(m->err, 0, "%.200s: %s", place, problem);
    }
    return true;
}

/* ---- copying ---- */

/* Of an earlier attempt, and what is to come there now? */
static bool is_there(struct making *m, int from, struct bundle_file *f)
{
    struct bundle_watch quiet = {0};
    struct stat st, source;
    bool same = false;
    int fd = tree_open(m->root, f->path, &st);
    if (fd < 0)
        return false;
    if (fstat(from, &source) != 0 || st.st_size != source.st_size ||
        !pump(from, -1, BUNDLE_BYTES_MAX, &f->bytes, f->hash, f->path, &quiet) ||
        !pump_compare(fd, f, &same, m->watch))
        same = false;
    close(fd);
    return same;
}

static bool copy_to(struct making *m, int from, int folder, struct bundle_file *f)
{
    const char *name = tree_name(f->path);
    (void)unlinkat(folder, name, 0);
    int to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool ok = to >= 0 && lseek(from, 0, SEEK_SET) == 0 &&
              pump(from, to, BUNDLE_BYTES_MAX - m->b->bytes, &f->bytes, f->hash, f->path, m->watch);
    /* A stick with the file system of another world keeps no modes; the manifest does. */
    if (ok)
        (void)fchmod(to, f->executable ? 0755 : 0644);
    ok = ok && fsync(to) == 0;
    int why = errno;
    if (to >= 0 && close(to) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (ok && f->bytes > BUNDLE_BYTES_MAX - m->b->bytes) {
        ok = false;
        why = EFBIG;
    }
    return ok || err_set(m->err, 0, "%.200s: %s", f->path, strerror(why));
}

static bool take(struct making *m, const struct item *item)
{
    struct bundle_file f = {.path = item->place, .executable = item->executable};
    int from = open(item->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return err_set(m->err, 0, "%.200s: %s", item->source, strerror(errno));
    int folder = tree_folder(m->root, f.path, true);
    bool ok = folder >= 0 || err_set(m->err, 0, "%.200s: %s", f.path, strerror(errno));
    bool kept = ok && is_there(m, from, &f);
    ok = ok && (kept || copy_to(m, from, folder, &f)) && bundle_add(m->b, &f, m->err);
    if (folder >= 0)
        close(folder);
    close(from);
    if (ok)
        watch_done(m->watch, f.path, kept ? "kept" : "copied");
    return ok;
}

/* ---- the whole ---- */

static bool seal(struct making *m)
{
    struct buf text;
    uint8_t sig[BUNDLE_SIG];
    buf_init(&text, BUNDLE_MANIFEST_MAX);
    bool ok = (bundle_write(m->b, &text) || err_oom(m->err)) &&
              bundle_sign(m->private_key, buf_view(&text), sig, m->err) &&
              put_small(m->root, BUNDLE_MANIFEST, buf_view(&text), m->err) &&
              put_small(m->root, BUNDLE_SIGNATURE, (strv){(const char *)sig, sizeof sig}, m->err);
    buf_fini(&text);
    return ok;
}

static bool fill(struct making *m, const struct bundle_part *parts, size_t n)
{
    if (stat(m->private_key, &m->key) != 0)
        return err_set(m->err, 0, "%.200s: %s", m->private_key, strerror(errno));
    if (!gather(m, parts, n))
        return false;
    (void)unlinkat(m->root, BESIDE, 0);
    for (size_t i = 0; i < m->n; i++)
        if (!take(m, &m->items[i]))
            return false;
    if (!check_others(m->root, m->b, m->watch, m->err))
        return false;
    if (m->watch->problems > 0)
        return err_set(m->err, 0, "an earlier attempt has left something else there");
    return seal(m);
}

bool bundle_create(const char *dir, const char *private_key, const struct bundle_part *parts,
                   size_t n, struct bundle *b, struct bundle_watch *watch, struct err *err)
{
    struct making m = {.private_key = private_key, .b = b, .watch = watch, .err = err, .root = -1};
    struct stat st;
    char part[4096];
    if (snprintf(part, sizeof part, "%s.part", dir) >= (int)sizeof part)
        return err_set(err, 0, "%.100s...: the path is too long", dir);
    if (lstat(dir, &st) == 0)
        return err_set(err, 0, "%.200s is there already", dir);
    if (mkdir(part, 0755) == 0 || errno == EEXIST)
        m.root = tree_root(part);
    if (m.root < 0)
        return err_set(err, 0, "%.200s: %s", part, strerror(errno));
    arena_init(&m.arena, 4096, (size_t)512 << 20);
    bool ok = fill(&m, parts, n);
    if (ok && rename(part, dir) != 0)
        ok = err_set(err, 0, "%.200s: %s", dir, strerror(errno));
    close(m.root);
    mem_free(m.items);
    arena_fini(&m.arena);
    return ok;
}
