/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers - the section mcp_servers into the rows that the hub starts.
 *
 * One that is in the cloud does not exist with airgap on or mode local: it is left out with a warning, like a provider.
 * A variable that is missing leaves its server disabled and says so; the others are none the worse for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/internal.h"

#define ROW "mcp_servers.*."

#define OVERLAY_BYTES_MAX ((size_t)4 * 1024 * 1024)

static bool is_server_row(const struct option *o)
{
    return strncmp(o->path, ROW, sizeof ROW - 1) == 0;
}

static const struct setting *of(const struct load *l, const char *name, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, ROW "%s", what);
    return setting_get(l->whole, path, name);
}

static const char *text_of(const struct load *l, const char *name, const char *what)
{
    const struct setting *s = of(l, name, what);
    return s != NULL ? s->value.text : NULL;
}

static const char *const *list_of(const struct load *l, const char *name, const char *what)
{
    static const char *const none[] = {NULL};
    const struct setting *s = of(l, name, what);
    return s != NULL ? s->value.items : none;
}

static uint64_t number_of(const struct load *l, const char *name, const char *what)
{
    return of(l, name, what)->value.number;
}

static const char *path_of(const char *name, const char *what, char *out, size_t size)
{
    snprintf(out, size, "mcp_servers.%s%s%s", name, what[0] != '\0' ? "." : "", what);
    return out;
}

static bool fill_defaults(struct load *l, const char *name)
{
    static const struct origin at = {.from = FROM_DEFAULT};
    for (size_t n = 0; n < options_count; n++) {
        const struct option *o = &options[n];
        if (is_server_row(o) && o->initial != NULL && setting_find(l->whole, o, name) == NULL &&
            !setting_put_text(l, o, name, strv_of(o->initial), &at))
            return false;
    }
    return true;
}

/* ---- how it is reached ---- */

static bool settle_transport(struct load *l, const struct setting *first, struct mcp_server_conf *c)
{
    const struct setting *command = of(l, c->name, "command"), *url = of(l, c->name, "url");
    const struct setting *said = of(l, c->name, "transport");
    char path[96];
    if ((command == NULL) == (url == NULL))
        return load_fail(l, &first->origin, path_of(c->name, "", path, sizeof path),
                         command == NULL ? "command or url is missing"
                                         : "command and url are both given; keep one");
    c->transport = command != NULL ? MCP_STDIO : MCP_HTTP;
    if (said == NULL || (int)said->value.number == (int)c->transport)
        return true;
    if (said->value.number == MCP_SSE && url != NULL) {
        c->transport = MCP_SSE;
        return true;
    }
    return load_fail(l, &said->origin, path_of(c->name, "transport", path, sizeof path),
                     "%s goes with %s", mcp_transport_name(url != NULL ? MCP_STDIO : MCP_HTTP),
                     url != NULL ? "command" : "url");
}

/* Its environment as the child gets it; a name alone takes over ours. */
static bool build_env(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *s = of(l, c->name, "env");
    size_t n = 0, said = s != NULL ? s->value.n_items : 0;
    const char **env = ARENA_ARRAY(l->arena, const char *, said + 1);
    if (env == NULL)
        return load_oom(l);
    c->env = env;
    for (size_t i = 0; i < said; i++) {
        const char *item = s->value.items[i];
        if (strchr(item, '=') != NULL) {
            env[n++] = item;
            continue;
        }
        strv value = environment_get(l->source, item);
        const char *text =
            value.ptr != NULL ? arena_printf(l->arena, "%s=" STRV_FMT, item, STRV_ARG(value)) : "";
        if (text == NULL)
            return load_oom(l);
        if (value.ptr != NULL && !way_keep_secret(l, strv_of(text), &env[n++]))
            return false;
        if (value.ptr == NULL &&
            !load_warn(l, "mcp_servers.%s: the variable %s is not set", c->name, item))
            return false;
    }
    return true;
}

static bool put_header(struct load *l, struct http_header *at, strv name, const char *prefix,
                       const char *secret)
{
    const char *value = arena_printf(l->arena, "%s%s", prefix, secret);
    if (value == NULL || !way_keep_secret(l, strv_of(value), &value))
        return load_oom(l);
    *at = (struct http_header){.name = name, .value = strv_of(value)};
    return true;
}

/* The key and what headers name; a variable that is not set disables the server, since it would only refuse. */
static bool build_headers(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *env = of(l, c->name, "key_env"), *file = of(l, c->name, "key_file");
    const struct setting *more = of(l, c->name, "headers");
    size_t said = more != NULL ? more->value.n_items : 0;
    struct http_header *headers = ARENA_ARRAY(l->arena, struct http_header, said + 1);
    const char *key = NULL, *missing = NULL;
    if (headers == NULL)
        return load_oom(l);
    c->headers = headers;
    if ((env != NULL && !way_key_from_env(l, env, env->value.text, &key)) ||
        (file != NULL && key == NULL && !way_key_from_file(l, file, &key)))
        return false;
    if (env != NULL && key == NULL)
        missing = env->value.text;
    if (key != NULL &&
        !put_header(l, &headers[c->n_headers++], STRV("Authorization"), "Bearer ", key))
        return false;
    for (size_t i = 0; i < said; i++) {
        strv rest = strv_of(more->value.items[i]), name;
        const char *value = NULL;
        (void)strv_cut(&rest, '=', &name);
        if (!way_key_from_env(l, more, rest.ptr, &value)) /* the item's end is the text's */
            return false;
        if (value == NULL)
            missing = rest.ptr;
        else if (!put_header(l, &headers[c->n_headers++], name, "", value))
            return false;
    }
    c->disabled |= missing != NULL;
    return missing == NULL ||
           load_warn(l, "the MCP server %s is disabled: the variable %s is not set", c->name,
                     missing);
}

/* ---- how it is logged in to ---- */

/* The first that says more than a default does. */
static bool says_oauth(const struct load *l, const char *name, const struct setting **at)
{
    *at = NULL;
    for (const struct setting *s = l->whole->settings; *at == NULL && s != NULL; s = s->next)
        if (is_server_row(s->option) && strcmp(s->name, name) == 0 &&
            strv_starts(strv_of(s->option->path + sizeof ROW - 1), STRV("oauth.")) &&
            (s->option->initial == NULL || s->value.number != 0))
            *at = s;
    return *at != NULL;
}

/* "a b c" */
static bool join_scopes(struct load *l, const char *name, const char **out)
{
    const char *const *scopes = list_of(l, name, "oauth.scopes");
    *out = scopes[0];
    for (size_t i = 1; scopes[0] != NULL && scopes[i] != NULL && *out != NULL; i++)
        *out = arena_printf(l->arena, "%s %s", *out, scopes[i]);
    return scopes[0] == NULL || *out != NULL || load_oom(l);
}

/* *missing: a variable that is not set; without its secret the client would only be refused. */
static bool read_secret(struct load *l, const char *name, const char **secret, const char **missing)
{
    const struct setting *env = of(l, name, "oauth.secret_env"),
                         *file = of(l, name, "oauth.secret_file");
    if ((env != NULL && !way_key_from_env(l, env, env->value.text, secret)) ||
        (file != NULL && *secret == NULL && !way_key_from_file(l, file, secret)))
        return false;
    *missing = env != NULL && *secret == NULL ? env->value.text : NULL;
    return true;
}

static bool check_oauth(struct load *l, const struct mcp_server_conf *c, const struct setting *at,
                        const struct mcp_oauth_conf *o)
{
    char path[96];
    const char *why =
        c->transport == MCP_STDIO ? "a login goes with url, not with command"
        : o->client_id == NULL && o->client_secret != NULL ? "a secret goes with client_id"
        : o->client_id == NULL && o->client_credentials ? "client_credentials goes with client_id"
        : o->document != NULL && strncmp(o->document, "https://", 8) != 0
            ? "document must be an https address"
            : NULL;
    return why == NULL ||
           load_fail(l, &at->origin, path_of(c->name, "oauth", path, sizeof path), "%s", why);
}

static bool build_oauth(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *at;
    const char *missing = NULL;
    if (!says_oauth(l, c->name, &at))
        return true;
    struct mcp_oauth_conf *o = ARENA_NEW(l->arena, struct mcp_oauth_conf);
    if (o == NULL)
        return load_oom(l);
    *o = (struct mcp_oauth_conf){
        .client_id = text_of(l, c->name, "oauth.client_id"),
        .issuer = text_of(l, c->name, "oauth.issuer"),
        .document = text_of(l, c->name, "oauth.document"),
        .client_credentials = number_of(l, c->name, "oauth.client_credentials") != 0,
        .port = (uint16_t)number_of(l, c->name, "oauth.port"),
    };
    if (!join_scopes(l, c->name, &o->scope) ||
        !read_secret(l, c->name, &o->client_secret, &missing) || !check_oauth(l, c, at, o))
        return false;
    c->oauth = o;
    c->disabled |= missing != NULL;
    return missing == NULL ||
           load_warn(l, "the MCP server %s is disabled: the variable %s is not set", c->name,
                     missing);
}

static bool build_http(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *url = of(l, c->name, "url");
    struct way_owner owner = {
        .section = "mcp_servers", .name = c->name, .at = &url->origin, .has_key = c->n_headers > 0};
    struct err why = ERR_INIT;
    char path[96];
    if (!http_url_parse(strv_of(url->value.text), l->arena, &c->upstream.url, &why))
        return why.code == ERR_CODE_OOM || l->arena->failed
                   ? load_oom(l)
                   : load_fail(l, &url->origin, path_of(c->name, "url", path, sizeof path), "%s",
                               why.text);
    /* The endpoint is used as written; below the base there is nothing. */
    c->path = c->upstream.url.path[0] != '\0' ? c->upstream.url.path : "/";
    c->upstream.url.path = "";
    c->upstream.unix_path = c->upstream.url.unix_path;
    c->upstream.connect_ms = 5000;
    c->upstream.idle_ms = 4000;
    c->upstream.idle_max = 16;
    if (!way_settle_zone(l, &owner, &c->upstream.url) || !way_build(l, &owner, &c->upstream))
        return false;
    c->local = way_is_local(l, &owner);
    return true;
}

/* ---- its tools ---- */

static bool build_rules(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *s = of(l, c->name, "rules");
    size_t n = s != NULL ? s->value.n_items : 0;
    struct mcp_rule *rules = ARENA_ARRAY(l->arena, struct mcp_rule, n + 1);
    if (rules == NULL)
        return load_oom(l);
    for (size_t i = 0; i < n; i++)
        (void)mcp_rule_parse(strv_of(s->value.items[i]), l->arena, &rules[i]); /* form checked */
    c->rules = rules;
    c->n_rules = n;
    return !l->arena->failed || load_oom(l);
}

/* "scheduler" is overlays/scheduler.json beside the program, or where an installation has it. */
static const char *overlay_path(struct load *l, const char *text)
{
    char program[4096];
    if (strchr(text, '/') != NULL)
        return text;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL)
        *slash = '\0';
    const char *beside = arena_printf(l->arena, "%s/overlays/%s.json", program, text);
    if (beside == NULL || access(beside, R_OK) == 0)
        return beside;
    return arena_printf(l->arena, "%s/../share/llm-router/overlays/%s.json", program, text);
}

static bool read_overlay(struct load *l, struct mcp_server_conf *c)
{
    const struct setting *s = of(l, c->name, "overlay");
    char path[96];
    struct buf text;
    if (s == NULL)
        return true;
    c->overlay = overlay_path(l, s->value.text);
    if (c->overlay == NULL)
        return load_oom(l);
    path_of(c->name, "overlay", path, sizeof path);
    buf_init(&text, OVERLAY_BYTES_MAX);
    int why = config_read_file(c->overlay, &text);
    struct err bad = ERR_INIT;
    struct json doc;
    bool ok = why == 0;
    if (why == ENOMEM)
        ok = load_oom(l);
    else if (why != 0)
        ok = load_fail(l, &s->origin, path, "%.150s: %s", c->overlay, strerror(why));
    if (ok) {
        c->overlay_text = arena_strv(l->arena, buf_view(&text));
        ok = c->overlay_text.ptr != NULL || load_oom(l);
    }
    buf_fini(&text);
    if (ok && (!json_read(&doc, c->overlay_text, l->arena, 0, &bad) || !yyjson_is_obj(doc.root)))
        ok = l->arena->failed ? load_oom(l)
                              : load_fail(l, &s->origin, path, "%.120s: %s", c->overlay,
                                          bad.set ? bad.text : "expected a JSON object");
    return ok;
}

/* ---- all of them ---- */

static void plain_fields(const struct load *l, struct mcp_server_conf *c)
{
    c->era = (enum mcp_era)number_of(l, c->name, "era");
    c->disabled = number_of(l, c->name, "enabled") == 0;
    c->bare_names = number_of(l, c->name, "prefix") == 0;
    c->argv = list_of(l, c->name, "command");
    c->cwd = text_of(l, c->name, "cwd");
    c->start_ms = number_of(l, c->name, "start");
    c->call_ms = number_of(l, c->name, "call");
    c->total_ms = number_of(l, c->name, "total");
    c->message_max = number_of(l, c->name, "message_max");
    c->tools_max = number_of(l, c->name, "tools_max");
    c->allow = list_of(l, c->name, "allow");
    c->deny = list_of(l, c->name, "deny");
}

/* *there: it exists. */
static bool build_one(struct load *l, const struct setting *first, struct mcp_server_conf *c,
                      bool *there)
{
    const struct policy_conf *policy = &l->whole->snapshot.policy;
    static const char *const none[] = {NULL};
    *there = false;
    *c = (struct mcp_server_conf){.name = first->name, .local = true, .env = none};
    if (!fill_defaults(l, c->name) || !settle_transport(l, first, c))
        return false;
    plain_fields(l, c);
    if (!build_oauth(l, c) ||
        (c->transport == MCP_STDIO ? !build_env(l, c) : !build_headers(l, c) || !build_http(l, c)))
        return false;
    if (c->transport == MCP_STDIO && of(l, c->name, "zone") != NULL)
        c->local = number_of(l, c->name, "zone") == ZONE_LOCAL;
    if (!c->local && (policy->airgap || policy->mode == LLM_MODE_LOCAL))
        return load_warn(l, "the MCP server %s is left out: it is in the cloud and %s", c->name,
                         policy->airgap ? "airgap is on" : "mode is local");
    *there = true;
    return build_rules(l, c) && read_overlay(l, c);
}

bool server_is_first(const struct whole *w, const struct setting *s)
{
    if (!is_server_row(s->option))
        return false;
    for (const struct setting *before = w->settings; before != s; before = before->next)
        if (is_server_row(before->option) && strcmp(before->name, s->name) == 0)
            return false;
    return true;
}

bool servers_build(struct load *l)
{
    struct whole *w = l->whole;
    size_t n = 0;
    for (const struct setting *s = w->settings; s != NULL; s = s->next)
        n += server_is_first(w, s);
    if (n > MCP_SERVERS_MAX)
        return err_set(l->err, 0, "mcp_servers: more than %d servers", MCP_SERVERS_MAX);
    struct mcp_server_conf *rows = ARENA_ARRAY(l->arena, struct mcp_server_conf, n + 1);
    if (rows == NULL)
        return load_oom(l);
    w->config.mcp.servers = rows;
    for (const struct setting *s = w->settings; s != NULL; s = s->next) {
        bool there;
        if (!server_is_first(w, s))
            continue;
        if (!build_one(l, s, &rows[w->config.mcp.n_servers], &there))
            return false;
        w->config.mcp.n_servers += there;
    }
    return true;
}
