/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_doctor - what would stop the router from serving, and whom it may ever talk to.
 *
 *   providers    each asked for its models, all at once
 *   checks       this machine: engine, folders, memory, open files, clock, addresses to listen on, sandbox
 *   addresses    every address the program may ever contact, complete by construction: a connection is only
 *                made to a configured provider, tool server or application (each_contact)
 *
 * Nothing is started and nothing is written. Status 1 only if no provider could serve; what is merely bad is
 * printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "app/probe.h"
#include "app/sandbox.h"
#include "app/term.h"

#define OUT_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define CHECKS_MAX    (PROVIDERS_MAX * 2 + 32)
#define DISK_FREE_LOW ((uint64_t)100 * 1024 * 1024)
#define FILES_LOW     4096 /* two for each call, and some */
#define MISSING_MAX   64

enum level { FINE, DOUBTFUL, BAD };

struct check {
    enum level level;
    char name[80], detail[400];
};

struct doctor {
    struct cli *cli;
    struct config *config;
    struct probe_set *set;
    struct check checks[CHECKS_MAX];
    size_t n;
};

typedef void (*contact_fn)(void *arg, const struct http_upstream *up, const char *address,
                           const char *name, const char *words);

static void note(struct doctor *d, enum level level, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void note(struct doctor *d, enum level level, const char *name, const char *format, ...)
{
    if (d->n == CHECKS_MAX)
        return;
    struct check *c = &d->checks[d->n++];
    va_list ap;
    c->level = level;
    snprintf(c->name, sizeof c->name, "%s", name);
    va_start(ap, format);
    vsnprintf(c->detail, sizeof c->detail, format, ap);
    va_end(ap);
}

/* "1.4 GB" */
static const char *bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

/* ---- the engine ---- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As io_child_start() looks for it. */
static bool find_program(const char *name, char *out, size_t size)
{
    strv rest = strv_of(getenv("PATH")), dir;
    if (strchr(name, '/') != NULL)
        return snprintf(out, size, "%s", name) < (int)size && is_program(out);
    while (strv_cut(&rest, ':', &dir))
        if (snprintf(out, size, STRV_FMT "/%s", dir.len > 0 ? (int)dir.len : 1,
                     dir.len > 0 ? dir.ptr : ".", name) < (int)size &&
            is_program(out))
            return true;
    return false;
}

static void check_command(struct doctor *d, const struct provider *p)
{
    const char *command = p->spawn.command != NULL ? p->spawn.command : "llama-server";
    char path[4096], name[80];
    snprintf(name, sizeof name, "%s: program", p->name);
    if (find_program(command, path, sizeof path))
        note(d, FINE, name, "%.300s", path);
    else
        note(d, BAD, name,
             "%.200s is not there or cannot be run; set providers.%.60s.spawn.command", command,
             p->name);
}

/* Bytes that MemAvailable of /proc/meminfo tells; 0 = not known. */
static uint64_t memory_available(void)
{
    char line[200];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
            kib = 0;
    fclose(f);
    return (uint64_t)kib * 1024;
}

static void check_model(struct doctor *d, const struct provider *p)
{
    const char *path = p->spawn.model;
    char name[80], size[32], magic[4] = "";
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    snprintf(name, sizeof name, "%s: model", p->name);
    if (fd < 0 || fstat(fd, &st) != 0)
        note(d, BAD, name, "%.300s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || read(fd, magic, 4) != 4 || memcmp(magic, "GGUF", 4) != 0)
        note(d, BAD, name, "%.300s is no GGUF file", path);
    else if (memory_available() > 0 && (uint64_t)st.st_size > memory_available())
        note(d, DOUBTFUL, name, "%.300s (%s) is larger than the free memory", path,
             bytes_text((uint64_t)st.st_size, size));
    else
        note(d, FINE, name, "%.300s (%s)", path, bytes_text((uint64_t)st.st_size, size));
    if (fd >= 0)
        close(fd);
}

/* ---- the machine ---- */

/* The folder, or the nearest one above it that is there; false with errno. */
static bool nearest(const char *path, char *out, size_t size)
{
    struct stat st;
    bool relative = path[0] != '/';
    errno = ENAMETOOLONG;
    if (snprintf(out, size, "%s", path) >= (int)size)
        return false;
    while (stat(out, &st) != 0) {
        char *slash = strrchr(out, '/');
        if (errno != ENOENT)
            return false;
        if (slash == NULL && relative)
            memcpy(out, ".", 2);
        else if (slash != NULL)
            slash[slash == out ? 1 : 0] = '\0';
    }
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode);
}

static void check_folder(struct doctor *d, const char *name, const char *path)
{
    char at[4096], free_text[32];
    struct statvfs fs;
    struct stat st;
    if (!nearest(path, at, sizeof at) || access(at, W_OK | X_OK) != 0 || statvfs(at, &fs) != 0) {
        note(d, BAD, name, "%.200s cannot be written (%s)", path, strerror(errno));
        return;
    }
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool made = strcmp(at, path) == 0;
    bytes_text(room, free_text);
    if (room < DISK_FREE_LOW)
        note(d, DOUBTFUL, name, "%.200s: only %s free", path, free_text);
    else if (made && stat(path, &st) == 0 && (st.st_mode & 077) != 0 && st.st_uid == geteuid())
        note(d, DOUBTFUL, name, "%.200s: others on this machine may look into it (mode %03o)", path,
             (unsigned)(st.st_mode & 0777));
    else
        note(d, FINE, name, "%.200s, %s free%s", path, free_text, made ? "" : "; not made yet");
}

static void check_memory(struct doctor *d)
{
    char text[32];
    uint64_t free_bytes = memory_available();
    if (free_bytes == 0)
        note(d, DOUBTFUL, "memory", "not known: /proc/meminfo does not tell");
    else
        note(d, free_bytes < DISK_FREE_LOW ? DOUBTFUL : FINE, "memory", "%s available",
             bytes_text(free_bytes, text));
}

static void check_files(struct doctor *d)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max == RLIM_INFINITY)
        note(d, FINE, "open files", "no limit");
    else
        note(d, limit.rlim_max < FILES_LOW ? DOUBTFUL : FINE, "open files",
             "at most %llu; every call takes up to two", (unsigned long long)limit.rlim_max);
}

/* Certificates, keys' dates and the ledger stand on it. This program is not older than 2026. */
static void check_clock(struct doctor *d)
{
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(text, io_wall_us(d->set->loop), 0);
    bool sane = strcmp(text, "2026") > 0 && strcmp(text, "2100") < 0;
    note(d, sane ? FINE : BAD, "clock", "%s%s", text,
         sane ? "" : ": that cannot be; TLS will fail");
}

static bool count_key(void *arg, const struct store_key *key)
{
    size_t *n = arg;
    *n += key->revoked_us == 0;
    return true;
}

static void check_listen(struct doctor *d)
{
    struct err err = ERR_INIT;
    size_t keys = 0;
    struct store *store = command_store(d->config, false, &err);
    bool known = store != NULL && store_key_each(store, count_key, &keys, &err);
    if (store != NULL)
        store_close(store);
    if (known)
        note(d, FINE, "API keys", "%zu", keys);
    else
        note(d, BAD, "API keys", "%s", err.text);
    for (const char *const *a = d->config->listen; *a != NULL; a++) {
        bool loopback = false;
        struct err bad = ERR_INIT;
        if (!io_address_is_loopback(strv_of(*a), &loopback, &bad))
            note(d, BAD, "listen", "%s", bad.text);
        else if (loopback || keys > 0 || !known)
            note(d, FINE, "listen", "%.200s%s", *a,
                 loopback ? ", this machine only" : ", with API keys");
        else
            note(d, BAD, "listen",
                 "%.200s is not loopback and there are no API keys: serve refuses to start", *a);
    }
}

static size_t count_texts(const char *const *list)
{
    size_t n = 0;
    while (list[n] != NULL)
        n++;
    return n;
}

/* The day on which the roster was last changed: people come and go, and nobody is told that their list is left behind. */
static void put_roster_day(struct doctor *d, char out[TIMEFMT_MAX])
{
    struct stat st;
    size_t n = 0;
    if (d->config->privacy.roster != NULL && stat(d->config->privacy.roster, &st) == 0)
        n = timefmt_rfc3339(out, (int64_t)st.st_mtime * 1000000, 0);
    out[n < 10 ? 0 : 10] = '\0'; /* without the time */
}

static void check_roster(struct doctor *d)
{
    const struct snapshot *s = d->config->snapshot;
    char day[TIMEFMT_MAX];
    size_t people = privacy_roster_size(s->privacy);
    bool old = s->roster_until_us > 0 && io_wall_us(d->set->loop) > s->roster_until_us;
    put_roster_day(d, day);
    if (people == 0)
        note(d, s->roster_required ? BAD : DOUBTFUL, "roster",
             "%s: names are found less surely without one%s",
             d->config->privacy.roster != NULL ? "empty" : "none",
             s->roster_required ? ", and one is required" : "");
    else
        note(d,
             !old                 ? FINE
             : s->roster_required ? BAD
                                  : DOUBTFUL,
             "roster", "%zu %s, changed on %s%s", people, people == 1 ? "person" : "people", day,
             old ? ": not changed for longer than allowed" : "");
}

/* A detector that is not ready lets nothing into the cloud; the local providers serve all the same. */
static void check_privacy(struct doctor *d)
{
    const struct snapshot *s = d->config->snapshot;
    const struct privacy_conf *conf = &d->config->privacy;
    const char *refused = exchange_cloud_refused(s, io_wall_us(d->set->loop));
    if (!privacy_ready(s->privacy)) {
        note(d, BAD, "privacy", "%s; no request goes to the cloud", refused);
        return;
    }
    note(d, FINE, "privacy", "data %.16s, %zu patterns and %zu fixed texts of the house's own",
         privacy_digest(s->privacy), count_texts(conf->patterns), count_texts(conf->fixed));
    check_roster(d);
}

/* What serve, started here and as who asks, would take from itself. */
static void check_sandbox(struct doctor *d)
{
    struct sandbox s;
    char text[256];
    sandbox_prepare(&s, d->config, false);
    sandbox_describe(&s, text, sizeof text);
    note(d, s.scope == SANDBOX_OFF || (s.ruleset >= 0 && s.calls) ? FINE : DOUBTFUL, "sandbox",
         "%s", text);
    sandbox_fini(&s);
    if (geteuid() == 0 && d->config->user == NULL)
        note(d, DOUBTFUL, "user", "root; serve would stay so: set user, or start it as another");
}

static void check_all(struct doctor *d)
{
    for (size_t i = 0; i < d->set->n; i++)
        if (probe_spawns(d->set->items[i].p)) {
            check_command(d, d->set->items[i].p);
            check_model(d, d->set->items[i].p);
        }
    check_privacy(d);
    check_listen(d);
    check_folder(d, "state_dir", d->config->state_dir);
    check_folder(d, "runtime_dir", d->config->runtime_dir);
    check_memory(d);
    check_files(d);
    check_clock(d);
    check_sandbox(d);
    for (const struct config_warning *w = d->config->warnings; w != NULL; w = w->next)
        note(d, DOUBTFUL, "configuration", "%s", w->text);
}

/* ---- models that the configuration names and the provider lacks ---- */

struct missing {
    const char *names[MISSING_MAX];
    size_t n;
};

static void miss(struct missing *m, const struct probe *probe, const char *model)
{
    if (model == NULL || model[0] == '\0' || probe_lists(probe, strv_of(model)))
        return;
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->names[i], model) == 0)
            return;
    if (m->n < MISSING_MAX)
        m->names[m->n++] = model;
}

static void miss_in(struct missing *m, const struct probe *probe, const struct policy_list *lists,
                    size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < lists[i].n; k++)
            if (lists[i].names[k].provider != NULL &&
                strcmp(lists[i].names[k].provider, probe->p->name) == 0)
                miss(m, probe, lists[i].names[k].model);
}

static void find_missing(const struct doctor *d, const struct probe *probe, struct missing *m)
{
    const struct policy_conf *policy = &d->config->snapshot->policy;
    m->n = 0;
    for (const char *const *s = probe->p->static_models; s != NULL && *s != NULL; s++)
        miss(m, probe, *s);
    miss(m, probe, probe->p->default_model);
    miss_in(m, probe, policy->roles, policy->n_roles);
    miss_in(m, probe, policy->routes, policy->n_routes);
    miss_in(m, probe, policy->aliases, policy->n_aliases);
}

/* ---- for people ---- */

static enum term_style probe_style(enum probe_state state)
{
    return state == PROBE_OK || state == PROBE_RUNNING ? TERM_GOOD
           : state == PROBE_FAILED                     ? TERM_BAD
                                                       : TERM_PLAIN;
}

static void probe_words(const struct doctor *d, const struct probe *probe, char *out, size_t size)
{
    struct missing missing;
    int n = 0;
    find_missing(d, probe, &missing);
    if (probe->models != NULL && probe->models->n > 0)
        n = snprintf(out, size, "%zu model%s, %.1f ms", probe->models->n,
                     probe->models->n == 1 ? "" : "s", (double)probe->latency_us / 1000);
    else
        n = snprintf(out, size, "%s", probe->why);
    for (size_t i = 0; i < missing.n && n < (int)size; i++)
        n += snprintf(out + n, size - (size_t)n, "%s%s",
                      i == 0 ? "; configured but not there: " : ", ", missing.names[i]);
}

static void text_providers(const struct doctor *d, struct buf *out, bool color)
{
    struct term_table t;
    term_put(out, color, TERM_BOLD, "providers");
    buf_put_char(out, '\n');
    if (d->set->n == 0)
        buf_put_cstr(out, "  none is configured\n");
    term_table_init(&t, 5);
    for (size_t i = 0; i < d->set->n; i++) {
        const struct probe *probe = &d->set->items[i];
        char address[300], words[400];
        probe_address(probe->p, address, sizeof address);
        probe_words(d, probe, words, sizeof words);
        term_table_cell(&t, probe_style(probe->state), "%s", probe_state_name(probe->state));
        term_table_cell(&t, TERM_PLAIN, "%s", probe->p->cell->name);
        term_table_cell(&t, TERM_PLAIN, "%s", probe->p->zone == ZONE_LOCAL ? "local" : "cloud");
        term_table_cell(&t, TERM_PLAIN, "%s", address);
        term_table_cell(&t, TERM_PLAIN, "%s", words);
    }
    term_table_put(&t, out, 2, color);
}

static void text_checks(const struct doctor *d, struct buf *out, bool color)
{
    static const char *const words[] = {[FINE] = "ok", [DOUBTFUL] = "doubtful", [BAD] = "bad"};
    static const enum term_style styles[] = {
        [FINE] = TERM_GOOD, [DOUBTFUL] = TERM_BOLD, [BAD] = TERM_BAD};
    struct term_table t;
    term_put(out, color, TERM_BOLD, "this machine");
    buf_put_char(out, '\n');
    term_table_init(&t, 3);
    for (size_t i = 0; i < d->n; i++) {
        const struct check *c = &d->checks[i];
        term_table_cell(&t, styles[c->level], "%s", words[c->level]);
        term_table_cell(&t, TERM_PLAIN, "%s", c->name);
        term_table_cell(&t, TERM_PLAIN, "%s", c->detail);
    }
    term_table_put(&t, out, 2, color);
}

/* ---- whom the program may contact ---- */

/* A host's name is looked up first: the system's name server is contacted too. */
static bool needs_name_server(const struct http_upstream *up)
{
    const char *host = up->url.host;
    if (up->unix_path != NULL || host == NULL || strcmp(host, "localhost") == 0)
        return false;
    return strchr(host, ':') == NULL && host[strspn(host, "0123456789.")] != '\0';
}

static const char *where(bool local)
{
    return local ? "only if it is on the premises" : "cloud";
}

/* Who makes connections of his own has his lines here. */
static void each_contact(const struct doctor *d, contact_fn fn, void *arg)
{
    char address[300];
    const struct mcp_conf *mcp = &d->config->mcp;
    const struct api_scheduler_conf *scheduler = d->config->sockets.scheduler;
    for (size_t i = 0; i < d->set->n; i++) {
        const struct provider *p = d->set->items[i].p;
        if (!probe_allowed(d->config, p))
            continue;
        probe_address(p, address, sizeof address);
        fn(arg, &p->upstream, address, p->cell->name, where(p->zone == ZONE_LOCAL));
    }
    for (size_t i = 0; i < mcp->n_servers; i++) {
        const struct mcp_server_conf *s = &mcp->servers[i];
        if (s->transport == MCP_STDIO || s->disabled)
            continue;
        probe_address_of(&s->upstream, s->path, address, sizeof address);
        fn(arg, &s->upstream, address, s->name, where(s->local));
    }
    if (scheduler != NULL) {
        probe_address_of(&scheduler->whois.app, scheduler->whois.app.url.path, address,
                         sizeof address);
        fn(arg, &scheduler->whois.app, address, "scheduler", where(true));
    }
}

struct contact_table {
    struct term_table t;
    bool any, names;
};

static void contact_line(void *arg, const struct http_upstream *up, const char *address,
                         const char *name, const char *words)
{
    struct contact_table *c = arg;
    term_table_cell(&c->t, TERM_PLAIN, "%s", address);
    term_table_cell(&c->t, TERM_PLAIN, "%s", name);
    term_table_cell(&c->t, TERM_PLAIN, "%s", words);
    c->names = c->names || needs_name_server(up);
    c->any = true;
}

static bool has_logins(const struct mcp_conf *mcp)
{
    for (size_t i = 0; i < mcp->n_servers; i++)
        if (mcp->servers[i].oauth != NULL && !mcp->servers[i].disabled)
            return true;
    return false;
}

static void text_addresses(const struct doctor *d, struct buf *out, bool color)
{
    struct contact_table c = {.any = false};
    term_put(out, color, TERM_BOLD, "addresses that this program may contact");
    buf_put_char(out, '\n');
    term_table_init(&c.t, 3);
    each_contact(d, contact_line, &c);
    term_table_put(&c.t, out, 2, color);
    if (has_logins(&d->config->mcp))
        buf_put_cstr(out,
                     "  the login service that a tool server names, where oauth is configured\n");
    if (c.names)
        buf_put_cstr(out, "  the system's name server, for the names above\n");
    buf_put_cstr(out, c.any ? "  no other\n" : "  none\n");
}

static void print_text(const struct doctor *d, struct buf *out)
{
    bool color = d->cli->color;
    text_providers(d, out, color);
    buf_put_char(out, '\n');
    text_checks(d, out, color);
    buf_put_char(out, '\n');
    text_addresses(d, out, color);
}

/* ---- for programs ---- */

static void json_provider(const struct doctor *d, const struct probe *probe, struct buf *out)
{
    struct missing missing;
    char address[300];
    bool first = true;
    probe_address(probe->p, address, sizeof address);
    find_missing(d, probe, &missing);
    buf_put_char(out, '{');
    term_json_text(out, &first, "name", strv_of(probe->p->cell->name));
    term_json_text(out, &first, "kind", strv_of(provider_kind_name(probe->p->kind)));
    term_json_text(out, &first, "zone",
                   probe->p->zone == ZONE_LOCAL ? STRV("local") : STRV("cloud"));
    term_json_text(out, &first, "address", strv_of(address));
    term_json_text(out, &first, "state", strv_of(probe_state_name(probe->state)));
    term_json_text(out, &first, "why", strv_of(probe->why));
    term_json_bool(out, &first, "may_be_contacted", probe_allowed(d->config, probe->p));
    json_put_key(out, &first, "latency_ms");
    if (probe->latency_us > 0)
        json_put_num(out, (double)probe->latency_us / 1000);
    else
        buf_put_cstr(out, "null");
    json_put_key(out, &first, "models");
    buf_put_u64(out, probe->models != NULL ? probe->models->n : 0);
    json_put_key(out, &first, "missing_models");
    buf_put_char(out, '[');
    for (size_t i = 0; i < missing.n; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_put_str(out, strv_of(missing.names[i]));
    }
    buf_put_cstr(out, "]}");
}

struct contact_list {
    struct buf *out;
    bool any;
};

static void contact_text(void *arg, const struct http_upstream *up, const char *address,
                         const char *name, const char *words)
{
    struct contact_list *l = arg;
    (void)up;
    (void)name;
    (void)words;
    if (l->any)
        buf_put_char(l->out, ',');
    l->any = true;
    json_put_str(l->out, strv_of(address));
}

static void json_addresses(const struct doctor *d, struct buf *out)
{
    struct contact_list l = {out, false};
    buf_put_char(out, '[');
    each_contact(d, contact_text, &l);
    buf_put_char(out, ']');
}

static void print_json(const struct doctor *d, bool usable, struct buf *out)
{
    static const char *const levels[] = {[FINE] = "ok", [DOUBTFUL] = "doubtful", [BAD] = "bad"};
    bool first = true;
    buf_put_char(out, '{');
    term_json_bool(out, &first, "can_serve", usable);
    json_put_key(out, &first, "providers");
    buf_put_char(out, '[');
    for (size_t i = 0; i < d->set->n; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_provider(d, &d->set->items[i], out);
    }
    buf_put_char(out, ']');
    json_put_key(out, &first, "checks");
    buf_put_char(out, '[');
    for (size_t i = 0; i < d->n; i++) {
        bool first_fact = true;
        buf_put_cstr(out, i > 0 ? ",{" : "{");
        term_json_text(out, &first_fact, "name", strv_of(d->checks[i].name));
        term_json_text(out, &first_fact, "state", strv_of(levels[d->checks[i].level]));
        term_json_text(out, &first_fact, "detail", strv_of(d->checks[i].detail));
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
    json_put_key(out, &first, "addresses");
    json_addresses(d, out);
    buf_put_cstr(out, "}\n");
}

/* ---- */

/* An engine without its program or its model will not come up however long one waits. */
static bool engine_is_bad(const struct doctor *d, const struct provider *p)
{
    size_t len = strlen(p->name);
    for (size_t i = 0; i < d->n; i++)
        if (d->checks[i].level == BAD && strncmp(d->checks[i].name, p->name, len) == 0 &&
            d->checks[i].name[len] == ':')
            return true;
    return false;
}

static bool can_serve(const struct doctor *d)
{
    for (size_t i = 0; i < d->set->n; i++) {
        const struct probe *probe = &d->set->items[i];
        if (probe_usable(probe) && (probe->state == PROBE_OK || !engine_is_bad(d, probe->p)))
            return true;
    }
    return false;
}

static int examine(struct doctor *d)
{
    struct err err = ERR_INIT;
    struct buf out;
    d->set = probe_all(d->config, d->cli->flags[FLAG_OFFLINE] != NULL, &err);
    if (d->set == NULL) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    check_all(d);
    bool usable = can_serve(d);
    buf_init(&out, OUT_BYTES_MAX);
    if (d->cli->flags[FLAG_JSON] != NULL)
        print_json(d, usable, &out);
    else
        print_text(d, &out);
    bool written = term_write(&out);
    if (!usable)
        term_error("nothing could be served");
    probe_free(d->set);
    return written && usable ? EXIT_OK : EXIT_FAILED;
}

int command_doctor(struct cli *cli)
{
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    struct doctor *d = mem_zalloc(sizeof *d);
    int status = EXIT_FAILED;
    if (d != NULL) {
        d->cli = cli;
        d->config = config;
        status = examine(d);
    } else {
        term_error("out of memory");
    }
    mem_free(d);
    config_free(config);
    return status;
}
