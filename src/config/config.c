/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - one run from the sources to a snapshot.
 *
 *   file, environment, --set  >  settings  >  defaults  >  providers  >  names  >  detector  >  snapshot
 *
 * Everything is built anew, whole, in one arena; a failure at any point frees it and leaves no trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/internal.h"

#define TLS_SOON_DAYS 30

/* Looked for in this order when nobody names a file. */
static const char *const usual_files[] = {"./llm-router.yaml", "/etc/llm-router/llm-router.yaml"};

/* ---- birth and death ---- */

static struct whole *whole_of(struct snapshot *s)
{
    return list_entry(s, struct whole, snapshot);
}

static void drop(struct snapshot *s)
{
    struct whole *w = whole_of(s);
    for (struct tls_use *use = w->tls; use != NULL; use = use->next)
        io_tls_unref(use->tls);
    privacy_unref(s->privacy);
    classify_unref(s->classify);
    cache_free(s->cache);
    for (struct secret *k = w->secrets; k != NULL; k = k->next)
        mem_wipe(k->text, k->len);
    arena_fini(&s->arena);
    mem_free(w);
}

static void hold_snapshot(void *owner)
{
    snapshot_ref(owner);
}

static void drop_snapshot(void *owner)
{
    snapshot_unref(owner);
}

static struct whole *whole_new(size_t arena_bytes_max)
{
    struct whole *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->settings_end = &w->settings;
    w->instances_end = &w->instances;
    w->warnings_end = (struct config_warning **)&w->config.warnings;
    arena_init(&w->snapshot.arena, 16 * 1024, arena_bytes_max);
    atomic_init(&w->snapshot.refs, 1);
    w->snapshot.drop = drop;
    w->config.snapshot = &w->snapshot;
    w->config.mcp.owner = &w->snapshot;
    w->config.mcp.hold = hold_snapshot;
    w->config.mcp.drop = drop_snapshot;
    w->config.advisor.owner = &w->snapshot;
    w->config.advisor.hold = hold_snapshot;
    w->config.advisor.drop = drop_snapshot;
    return w;
}

void config_free(struct config *c)
{
    if (c != NULL)
        snapshot_unref(c->snapshot);
}

/* ---- the file ---- */

static bool file_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Sets config.path; NULL stays for none. */
static bool find_file(struct load *l)
{
    strv path = strv_of(l->source->path);
    if (path.ptr == NULL)
        path = environment_get(l->source, "LLM_ROUTER_CONFIG");
    for (size_t i = 0; path.ptr == NULL && i < sizeof usual_files / sizeof *usual_files; i++) {
        if (file_there(usual_files[i]))
            path = strv_of(usual_files[i]);
    }
    if (path.ptr == NULL)
        return true;
    l->whole->config.path = arena_cstr(l->arena, path);
    return l->whole->config.path != NULL || load_oom(l);
}

/* errno, or 0. */
static int read_all(int fd, struct buf *text)
{
    for (;;) {
        char *at = buf_reserve(text, 16 * 1024);
        if (at == NULL)
            return buf_len(text) + 16 * 1024 > text->max ? EFBIG : ENOMEM;
        ssize_t n = read(fd, at, 16 * 1024);
        if (n == 0)
            return 0;
        if (n > 0)
            buf_added(text, (size_t)n);
        else if (errno != EINTR)
            return errno;
    }
}

/* Who can write it can send every request, and every key, to himself. */
static bool warn_writable(struct load *l, int fd)
{
    struct stat st;
    return fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & S_IWOTH) == 0 ||
           load_warn(l, "%s can be written by everyone; chmod o-w it", l->whole->config.path);
}

int config_read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int why = read_all(fd, out);
    close(fd);
    return why;
}

static bool take_file(struct load *l)
{
    const char *path = l->whole->config.path;
    struct buf text;
    bool ok;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(l->err, 0, "%.200s: %s", path, strerror(errno));
    buf_init(&text, CONFIG_FILE_BYTES_MAX + 16 * 1024);
    int why = read_all(fd, &text);
    bool warned = warn_writable(l, fd);
    close(fd);
    if (why == ENOMEM || !warned)
        ok = load_oom(l);
    else if (why != 0)
        ok = err_set(l->err, 0, "%.200s: %s", path, strerror(why));
    else
        ok = file_take(l, buf_view(&text));
    buf_fini(&text);
    return ok;
}

void config_each_file(const struct config *c, void (*each)(void *arg, const char *path), void *arg)
{
    if (c->path != NULL)
        each(arg, c->path);
    each(arg, c->privacy.data);
    for (const struct setting *s = whole_of(c->snapshot)->settings; s != NULL; s = s->next)
        if ((s->option->flags & READS) != 0)
            each(arg, s->value.text);
    for (size_t i = 0; i < c->mcp.n_servers; i++)
        if (c->mcp.servers[i].overlay != NULL)
            each(arg, c->mcp.servers[i].overlay);
    if (c->store.server.address != NULL)
        store_server_files(c->store.server.address, each, arg);
}

/* ---- defaults ---- */

/* The first of: $directory, $xdg/llm-router, below home. systemd sets the first (StateDirectory=); it may
 * hold several, separated by colons. */
static const char *usual_dir(struct load *l, const char *directory, const char *xdg,
                             const char *below_home, const char *otherwise)
{
    strv rest = environment_get(l->source, directory), dir;
    if (rest.ptr != NULL && strv_cut(&rest, ':', &dir) && dir.len != 0)
        return arena_cstr(l->arena, dir);
    dir = environment_get(l->source, xdg);
    if (dir.ptr != NULL)
        return arena_printf(l->arena, STRV_FMT "/llm-router", STRV_ARG(dir));
    dir = environment_get(l->source, "HOME");
    if (below_home != NULL && dir.ptr != NULL)
        return arena_printf(l->arena, STRV_FMT "%s", STRV_ARG(dir), below_home);
    return arena_cstr(l->arena, strv_of(otherwise));
}

static bool put_default(struct load *l, const struct option *o, const char *text)
{
    static const struct origin at = {.from = FROM_DEFAULT};
    if (text == NULL)
        return load_oom(l);
    return setting_find(l->whole, o, NULL) != NULL ||
           setting_put_text(l, o, NULL, strv_of(text), &at);
}

/* The key does not lie among the files that it signs: a copy of the folder is not a copy of the key. */
static bool default_audit(struct load *l, const char *state_dir)
{
    return put_default(l, option_row("audit.dir"), arena_printf(l->arena, "%s/audit", state_dir)) &&
           put_default(l, option_row("audit.key"),
                       arena_printf(l->arena, "%s/audit.key", state_dir));
}

static bool default_dirs(struct load *l)
{
    const struct option *state = option_row("state_dir"), *runtime = option_row("runtime_dir");
    if (!put_default(l, state,
                     usual_dir(l, "STATE_DIRECTORY", "XDG_STATE_HOME", "/.local/state/llm-router",
                               "/var/lib/llm-router")))
        return false;
    const char *below =
        arena_printf(l->arena, "%s/run", setting_find(l->whole, state, NULL)->value.text);
    if (below == NULL)
        return load_oom(l);
    return put_default(l, runtime,
                       usual_dir(l, "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", NULL, below)) &&
           default_audit(l, setting_find(l->whole, state, NULL)->value.text);
}

/* Options without a star; the others belong to a provider or have no default. */
static bool fill_defaults(struct load *l)
{
    if (!default_dirs(l))
        return false;
    for (size_t i = 0; i < options_count; i++) {
        if (options[i].initial != NULL && strchr(options[i].path, '*') == NULL &&
            !put_default(l, &options[i], options[i].initial))
            return false;
    }
    return true;
}

static void apply(struct load *l)
{
    static const char *const none[] = {NULL};
    struct whole *w = l->whole;
    w->config.origins = none;
    w->config.hosts = none;
    w->snapshot.ledger.budget.priority = none;
    w->config.mcp.agents = none;
    for (const struct setting *s = w->settings; s != NULL; s = s->next)
        if (s->name == NULL)
            setting_apply(s, w, NULL);
}

/* ---- all of it ---- */

static bool take_set(struct load *l)
{
    for (size_t i = 0; l->source->set != NULL && l->source->set[i] != NULL; i++) {
        if (!environment_set(l, l->source->set[i]))
            return false;
    }
    return true;
}

static bool take_sources(struct load *l, const strv *text)
{
    if (text != NULL) {
        if (!file_take(l, *text))
            return false;
    } else if (!find_file(l) || (l->whole->config.path != NULL && !take_file(l))) {
        return false;
    }
    /* A file that says nothing about providers leaves them to the environment. */
    l->have_file = (text != NULL || l->whole->config.path != NULL) && l->whole->instances != NULL;
    return environment_take(l) && take_set(l);
}

/* What callers of the addresses that begin with "tls:" are shown. */
static bool tls_build(struct load *l)
{
    struct config *c = &l->whole->config;
    const struct setting *cert = setting_get(l->whole, "tls.cert_file", NULL),
                         *listen = setting_get(l->whole, "listen", NULL);
    struct err why = ERR_INIT;
    struct stat st;
    size_t n = 0;
    for (const char *const *a = c->listen; *a != NULL; a++)
        n += strncmp(*a, "tls:", 4) == 0;
    if (n == 0)
        return true;
    if (c->tls_files.cert_file == NULL || c->tls_files.key_file == NULL)
        return load_fail(l, listen != NULL ? &listen->origin : NULL, "listen",
                         "an address begins with tls:, and tls.cert_file and tls.key_file do not "
                         "both name a file");
    struct tls_use *use = ARENA_NEW(l->arena, struct tls_use);
    if (use == NULL)
        return load_oom(l);
    use->tls = c->tls = io_tls_serve(&c->tls_files, &why);
    if (c->tls == NULL)
        return why.code == ERR_CODE_OOM ? load_oom(l)
                                        : load_fail(l, cert != NULL ? &cert->origin : NULL,
                                                    "tls.cert_file", "TLS: %s", why.text);
    use->key = "listen"; /* no provider's */
    use->next = l->whole->tls;
    l->whole->tls = use;
    int64_t day = (int64_t)24 * 3600 * 1000000,
            now = l->source->wall_us != 0 ? l->source->wall_us : (int64_t)time(NULL) * 1000000,
            left = io_tls_expires_us(c->tls) - now;
    if (stat(c->tls_files.key_file, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0 &&
        !load_warn(l, "tls.key_file: %s can be used by others than its owner; chmod 600 it",
                   c->tls_files.key_file))
        return false;
    if (left >= TLS_SOON_DAYS * day)
        return true;
    return left <= 0 ? load_warn(l, "tls.cert_file: %s is over; callers refuse it",
                                 c->tls_files.cert_file)
                     : load_warn(l, "tls.cert_file: %s is over in %lld days",
                                 c->tls_files.cert_file, (long long)(left / day));
}

static bool cache_build(struct load *l)
{
    struct snapshot *s = &l->whole->snapshot;
    if (s->cache_conf.bytes_max > 0)
        s->cache = cache_new(&s->cache_conf);
    return s->cache_conf.bytes_max == 0 || s->cache != NULL || load_oom(l);
}

struct config *load_within(const struct config_source *source, const strv *text,
                           size_t arena_bytes_max, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct whole *w = whole_new(arena_bytes_max);
    struct load l = {.source = source,
                     .whole = w,
                     .arena = w != NULL ? &w->snapshot.arena : NULL,
                     .err = err != NULL ? err : &ignored};

    l.roles_end = &l.roles;
    if (w == NULL) {
        load_oom(&l);
        return NULL;
    }
    bool ok = take_sources(&l, text) && fill_defaults(&l);
    if (ok) {
        apply(&l);
        ok = providers_build(&l) && servers_build(&l) && names_build(&l) && privacy_build(&l) &&
             money_build(&l) && cache_build(&l) && advisor_build(&l) && chat_build(&l) &&
             store_build(&l) && scheduler_build(&l) && tls_build(&l);
    }
    if (ok)
        return &w->config;
    drop(&w->snapshot);
    return NULL;
}

struct config *config_load(const struct config_source *source, struct err *err)
{
    return load_within(source, NULL, CONFIG_ARENA_BYTES_MAX, err);
}

struct config *config_load_text(const struct config_source *source, strv text, struct err *err)
{
    return load_within(source, &text, CONFIG_ARENA_BYTES_MAX, err);
}

const char *config_open_address(const struct config *c)
{
    for (size_t i = 0; c->listen[i] != NULL; i++) {
        bool loopback = false;
        if (!io_address_is_loopback(strv_of(c->listen[i]), &loopback, NULL) || !loopback)
            return c->listen[i];
    }
    return NULL;
}
