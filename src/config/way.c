/* SPDX-License-Identifier: Apache-2.0 */
/*
 * way - how an address of the configuration is reached, whoever lives there (a provider, an MCP server): its zone, its
 * certificates, its key, and what makes two connections to it the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/internal.h"

#define KEY_BYTES_MAX 4096 /* the longest API keys are signed tokens of about 2 KB */

/* "providers.*.zone" of this owner; NULL = nobody said. */
static const struct setting *said(const struct load *l, const struct way_owner *o, const char *what)
{
    char path[96];
    snprintf(path, sizeof path, "%s.*.%s", o->section, what);
    return setting_get(l->whole, path, o->name);
}

static const char *text_said(const struct load *l, const struct way_owner *o, const char *what)
{
    const struct setting *s = said(l, o, what);
    return s != NULL ? s->value.text : NULL;
}

static const char *path_of(const struct way_owner *o, const char *what, char *out, size_t size)
{
    snprintf(out, size, "%s.%s%s%s", o->section, o->name, what[0] != '\0' ? "." : "", what);
    return out;
}

/* ---- zone ---- */

static bool put_zone(struct load *l, const struct way_owner *o, const char *zone)
{
    static const struct origin made = {.from = FROM_DEFAULT};
    char path[96];
    snprintf(path, sizeof path, "%s.*.zone", o->section);
    return said(l, o, "zone") != NULL ||
           setting_put_text(l, option_row(path), o->name, strv_of(zone), &made);
}

bool way_is_local(const struct load *l, const struct way_owner *o)
{
    const struct setting *s = said(l, o, "zone");
    return s != NULL && s->value.number == ZONE_LOCAL;
}

static bool is_localhost(const char *host)
{
    strv name = strv_of(host);
    return strv_eq_nocase(name, STRV("localhost")) || strv_eq_nocase(name, STRV("localhost.")) ||
           (name.len > 10 && strv_eq_nocase(strv_from(name, name.len - 10), STRV(".localhost")));
}

bool way_settle_zone(struct load *l, const struct way_owner *o, const struct http_url *url)
{
    struct whole *w = l->whole;
    const struct zone_rule local = {ZONE_LOCAL, w->networks}, cloud = {ZONE_CLOUD, w->networks};
    char key[96];
    bool allowed = false, literal, local_for_sure;

    if (url == NULL || url->unix_path != NULL)
        return put_zone(l, o, "local");
    literal = zone_literal(url->host, &cloud, &allowed);
    path_of(o, "url", key, sizeof key);
    if (literal && !allowed)
        return load_fail(l, o->at, key, "%s is a link-local or metadata address: never used",
                         url->host);
    literal = zone_literal(url->host, &local, &allowed);
    local_for_sure = literal ? allowed : is_localhost(url->host);
    if (said(l, o, "zone") == NULL) {
        if (o->cloud)
            return put_zone(l, o, "cloud");
        if (local_for_sure)
            return put_zone(l, o, "local");
        return load_fail(
            l, o->at, path_of(o, "zone", key, sizeof key),
            "is missing: say local or cloud, since %s is neither loopback nor in local_networks",
            url->host);
    }
    if (literal && !allowed && way_is_local(l, o))
        return load_fail(l, o->at, key,
                         "zone is local, but %s is neither loopback nor in local_networks",
                         url->host);
    return true;
}

static bool set_rule(struct load *l, bool local, struct http_upstream *up)
{
    struct zone_rule *rule = ARENA_NEW(l->arena, struct zone_rule);
    if (rule == NULL)
        return load_oom(l);
    *rule = (struct zone_rule){local ? ZONE_LOCAL : ZONE_CLOUD, l->whole->networks};
    up->allow = zone_allow;
    up->allow_arg = rule;
    return true;
}

/* ---- keys ---- */

bool way_keep_secret(struct load *l, strv text, const char **out)
{
    struct secret *s = ARENA_NEW(l->arena, struct secret);
    if (s == NULL || (s->text = arena_cstr(l->arena, text)) == NULL)
        return load_oom(l);
    s->len = text.len;
    s->next = l->whole->secrets;
    l->whole->secrets = s;
    *out = s->text;
    return true;
}

/* Goes into a header: anything but visible ASCII could end it. */
static bool key_ok(strv key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] <= ' ' || key.ptr[i] > '~')
            return false;
    }
    return key.len >= 1 && key.len <= KEY_BYTES_MAX;
}

bool way_key_from_env(struct load *l, const struct setting *s, const char *variable,
                      const char **key)
{
    strv value = environment_get(l->source, variable);
    char path[160];
    if (value.ptr == NULL)
        return true;
    if (!key_ok(value))
        return load_fail(l, &s->origin, setting_path(s->option, s->name, path, sizeof path),
                         "the variable %s does not hold a key: visible ASCII characters only",
                         variable);
    return way_keep_secret(l, value, key);
}

/* -1 with errno; at most size bytes. */
static ssize_t read_small_file(const char *file, char *out, size_t size, struct stat *st)
{
    ssize_t n = -1;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, st) == 0) {
        if (S_ISREG(st->st_mode)) {
            do
                n = read(fd, out, size);
            while (n < 0 && errno == EINTR);
        } else {
            errno = EINVAL;
        }
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return n;
}

bool way_key_from_file(struct load *l, const struct setting *s, const char **key)
{
    char text[KEY_BYTES_MAX + 3], path[160];
    struct stat st;
    bool ok;

    setting_path(s->option, s->name, path, sizeof path);
    ssize_t n = read_small_file(s->value.text, text, sizeof text, &st);
    if (n < 0)
        return load_fail(l, &s->origin, path, "%.100s: %s", s->value.text, strerror(errno));
    strv value = strv_trim((strv){text, (size_t)n});
    if (!key_ok(value))
        ok = load_fail(l, &s->origin, path,
                       "%.100s does not hold a key: visible ASCII characters only", s->value.text);
    else
        ok = way_keep_secret(l, value, key);
    mem_wipe(text, sizeof text);
    if (ok && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        ok = load_warn(l, "%s: %s can be used by others than its owner; chmod 600 it", path,
                       s->value.text);
    return ok;
}

/* ---- TLS ---- */

static bool take_tls(struct load *l, const struct origin *at, const char *path,
                     const struct io_tls_opts *opts, struct http_upstream *up)
{
    struct whole *w = l->whole;
    struct err why = ERR_INIT;
    const char *key =
        arena_printf(l->arena, "%s\n%s\n%s", opts->ca_file != NULL ? opts->ca_file : "",
                     opts->cert_file != NULL ? opts->cert_file : "",
                     opts->key_file != NULL ? opts->key_file : "");
    struct tls_use *use = w->tls;
    if (key == NULL)
        return load_oom(l);
    while (use != NULL && strcmp(use->key, key) != 0)
        use = use->next;
    if (use == NULL) {
        use = ARENA_NEW(l->arena, struct tls_use);
        if (use == NULL)
            return load_oom(l);
        use->key = key;
        use->tls = io_tls_new(opts, &why);
        if (use->tls == NULL)
            return why.code == ERR_CODE_OOM ? load_oom(l)
                                            : load_fail(l, at, path, "TLS: %s", why.text);
        use->next = w->tls;
        w->tls = use;
    }
    up->tls = use->tls;
    return true;
}

static bool build_tls(struct load *l, const struct way_owner *o, struct http_upstream *up)
{
    struct io_tls_opts opts = {.ca_file = text_said(l, o, "ca_file"),
                               .cert_file = text_said(l, o, "cert_file"),
                               .key_file = text_said(l, o, "cert_key_file")};
    char path[96];

    path_of(o, "", path, sizeof path);
    if (!up->url.tls) {
        if (opts.ca_file == NULL && opts.cert_file == NULL && opts.key_file == NULL)
            return true;
        return load_fail(l, o->at, path,
                         "certificates are given, but the address does not begin with https");
    }
    if ((opts.cert_file == NULL) != (opts.key_file == NULL))
        return load_fail(
            l, &said(l, o, opts.cert_file != NULL ? "cert_file" : "cert_key_file")->origin, path,
            "cert_file and cert_key_file go together");
    return take_tls(l, o->at, path, &opts, up);
}

/* Bytes that leave in clear, with the key in front of them. */
static bool warn_clear(struct load *l, const struct way_owner *o, const struct http_upstream *up)
{
    const struct http_url *url = &up->url;
    const char *none[] = {NULL};
    const struct zone_rule loopback = {ZONE_LOCAL, none};
    bool here;
    if (way_is_local(l, o) || url->tls || url->unix_path != NULL || is_localhost(url->host) ||
        (zone_literal(url->host, &loopback, &here) && here))
        return true;
    return load_warn(l, "%s.%s: %s is reached without TLS: requests%s travel in clear", o->section,
                     o->name, url->host, o->has_key ? " and the key" : "");
}

/* Everything that makes two connections exchangeable. The networks are in it, so that a connection that
 * was allowed once is not used after they were changed. */
static bool build_pool_key(struct load *l, bool local, struct http_upstream *up)
{
    const struct http_url *url = &up->url;
    uint64_t networks = 0;
    for (size_t n = 0; l->whole->networks[n] != NULL; n++)
        networks = strv_hash(strv_of(l->whole->networks[n]), networks);
    const char *tls = "";
    for (const struct tls_use *use = l->whole->tls; use != NULL; use = use->next) {
        if (use->tls == up->tls)
            tls = use->key;
    }
    if (up->unix_path != NULL)
        up->key = arena_printf(l->arena, "unix:%s", up->unix_path);
    else
        up->key =
            arena_printf(l->arena, "%s://%s:%u %s %llx %s", url->tls ? "https" : "http", url->host,
                         url->port, local ? "local" : "cloud", (unsigned long long)networks, tls);
    return up->key != NULL || load_oom(l);
}

bool way_build(struct load *l, const struct way_owner *o, struct http_upstream *up)
{
    bool local = way_is_local(l, o);
    return build_tls(l, o, up) && set_rule(l, local, up) && warn_clear(l, o, up) &&
           build_pool_key(l, local, up);
}

bool way_build_local(struct load *l, const struct setting *s, const char *ca_file,
                     struct http_upstream *up)
{
    const struct zone_rule local = {ZONE_LOCAL, l->whole->networks};
    const struct io_tls_opts opts = {.ca_file = ca_file};
    bool allowed = true;
    if (up->unix_path == NULL && zone_literal(up->url.host, &local, &allowed) && !allowed)
        return load_fail(l, &s->origin, s->option->path,
                         "%s is neither loopback nor in local_networks", up->url.host);
    return (!up->url.tls || take_tls(l, &s->origin, s->option->path, &opts, up)) &&
           set_rule(l, true, up) && build_pool_key(l, true, up);
}
