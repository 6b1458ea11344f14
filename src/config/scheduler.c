/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler - from the options scheduler.* to the application whose users may chat by its own tokens. */
#include "config/internal.h"

#define SECRET_BYTES_MIN                                                                           \
    16 /* a shorter one can be found by trying (RFC 7518 wants 32 of HS256; the operator is told) */
#define SECRET_BYTES 32

static const struct setting *of(const struct load *l, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "scheduler.%s", what);
    return setting_get(l->whole, path, NULL);
}

static bool take_secret(struct load *l, struct api_scheduler_conf *c, bool *there)
{
    const struct setting *env = of(l, "secret_env"), *file = of(l, "secret_file");
    const char *secret = NULL;
    if (file != NULL ? !way_key_from_file(l, file, &secret)
                     : !way_key_from_env(l, env, env->value.text, &secret))
        return false;
    *there = secret != NULL;
    if (secret == NULL)
        return load_warn(l, "scheduler: nobody gets in, for the variable %s is not set",
                         env->value.text);
    c->secret = strv_of(secret);
    if (c->secret.len < SECRET_BYTES_MIN)
        return load_fail(l, &(file != NULL ? file : env)->origin, "scheduler",
                         "the secret is shorter than %d bytes: its tokens could be forged",
                         SECRET_BYTES_MIN);
    return c->secret.len >= SECRET_BYTES ||
           load_warn(l, "scheduler: the secret is shorter than %d bytes", SECRET_BYTES);
}

static bool take_address(struct load *l, const struct setting *url, struct http_upstream *up)
{
    const struct setting *ca = of(l, "ca_file");
    struct err why = ERR_INIT;
    if (!http_url_parse(strv_of(url->value.text), l->arena, &up->url, &why))
        return why.code == ERR_CODE_OOM || l->arena->failed
                   ? load_oom(l)
                   : load_fail(l, &url->origin, url->option->path, "%s", why.text);
    up->unix_path = up->url.unix_path;
    up->connect_ms = of(l, "answer")->value.number;
    up->idle_ms = 4000;
    up->idle_max = 8;
    return way_build_local(l, url, ca != NULL ? ca->value.text : NULL, up);
}

bool scheduler_build(struct load *l)
{
    const struct setting *url = of(l, "app_url");
    static const char *const usual_roles[] = {"admin", "coordinator", NULL};
    struct api_scheduler_conf *c;
    bool there = false;
    if (url == NULL)
        return true;
    c = ARENA_NEW(l->arena, struct api_scheduler_conf);
    if (c == NULL)
        return load_oom(l);
    c->path = strv_of(of(l, "path")->value.text);
    c->whois.roles = of(l, "roles") != NULL ? of(l, "roles")->value.items : usual_roles;
    c->whois.answer_ms = of(l, "answer")->value.number;
    c->whois.keep_ms = of(l, "keep")->value.number;
    if (c->path.ptr[0] != '/' || strv_ends(c->path, STRV("/")))
        return load_fail(l, &of(l, "path")->origin, "scheduler.path",
                         "expected a path that begins with a slash and ends without one");
    if (!take_secret(l, c, &there) || !take_address(l, url, &c->whois.app))
        return false;
    if (there)
        l->whole->config.sockets.scheduler = c;
    return true;
}
