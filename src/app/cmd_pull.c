/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_pull - have an Ollama download a model, and show how far it is.
 *
 * What happens is fetch.c's, what it comes to progress.c's. On a terminal one line is drawn again and again,
 * else plain lines are printed now and then, without any escape codes. Several servers under one name are
 * asked one after the other.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/fetch.h"
#include "app/probe.h"
#include "app/term.h"

#define HEAD_BYTES_MAX ((size_t)64 * 1024)
#define OUT_BYTES_MAX  ((size_t)64 * 1024)
#define REDRAW_US      100000
#define PLAIN_LINE_US  5000000
#define MISSING_MAX    64 /* of one server; a second run finds the rest */

struct pull {
    struct cli *cli;
    struct config *config;
    struct arena arena; /* names */
    const struct provider *p;
    const char *model;
    enum { PULL_PLAIN, PULL_BAR, PULL_JSON } show;

    struct fetch fetch;
    struct io_timer redraw;
    int64_t shown_us;
    char shown_status[sizeof((struct progress *)0)->status];
    bool drawn; /* the terminal's line holds a bar */
    bool over;
    int result;
};

/* ---- showing ---- */

static void finish(struct pull *pull, int result)
{
    if (pull->over)
        return;
    pull->over = true;
    pull->result = result;
    fetch_stop(&pull->fetch);
    io_loop_stop(pull->fetch.loop);
}

static void put(struct pull *pull, struct buf *out)
{
    if (out->failed && !pull->over) {
        term_error("out of memory");
        finish(pull, EXIT_FAILED);
    } else if (fwrite(buf_view(out).ptr, 1, buf_len(out), stdout) != buf_len(out) ||
               fflush(stdout) != 0) {
        if (errno != EPIPE && !pull->over)
            term_error("standard output: %s", strerror(errno));
        finish(pull, EXIT_FAILED);
    }
    buf_fini(out);
}

/* Before anything else is printed. */
static void clear_bar(struct pull *pull)
{
    if (pull->drawn)
        fputs("\r\033[K", stdout);
    if (pull->drawn)
        fflush(stdout);
    pull->drawn = false;
}

static void put_number(struct buf *out, bool *first, const char *key, int64_t n)
{
    json_put_key(out, first, key);
    if (n >= 0)
        buf_put_i64(out, n);
    else
        buf_put_cstr(out, "null");
}

static void begin_json(struct pull *pull, struct buf *out, bool *first, const char *event)
{
    buf_init(out, OUT_BYTES_MAX);
    buf_put_char(out, '{');
    *first = true;
    term_json_text(out, first, "event", strv_of(event));
    term_json_text(out, first, "provider", strv_of(pull->p->name));
    term_json_text(out, first, "model", strv_of(pull->model));
}

static void end_json(struct pull *pull, struct buf *out)
{
    buf_put_cstr(out, "}\n");
    put(pull, out);
}

static void show_json(struct pull *pull)
{
    const struct progress *p = &pull->fetch.progress;
    struct buf out;
    bool first;
    begin_json(pull, &out, &first, "progress");
    term_json_text(&out, &first, "status", strv_of(p->status));
    put_number(&out, &first, "completed", p->completed);
    put_number(&out, &first, "total", p->total);
    put_number(&out, &first, "bytes_per_second", p->rate >= 1 ? (int64_t)p->rate : -1);
    put_number(&out, &first, "seconds_left", progress_seconds_left(p));
    end_json(pull, &out);
}

static void show_bar(struct pull *pull)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_put_char(&out, '\r');
    progress_put_bar(&out, &pull->fetch.progress, pull->model, term_bar());
    buf_put_cstr(&out, "\033[K");
    pull->drawn = true;
    put(pull, &out);
}

static void show_line(struct pull *pull)
{
    struct buf out;
    buf_init(&out, 4096);
    progress_put_line(&out, &pull->fetch.progress, pull->model);
    buf_put_char(&out, '\n');
    put(pull, &out);
}

static void show(void *arg)
{
    struct pull *pull = arg;
    static void (*const ways[])(struct pull *) = {
        [PULL_PLAIN] = show_line, [PULL_BAR] = show_bar, [PULL_JSON] = show_json};
    if (pull->over)
        return;
    pull->shown_us = io_now_us(pull->fetch.loop);
    snprintf(pull->shown_status, sizeof pull->shown_status, "%s", pull->fetch.progress.status);
    ways[pull->show](pull);
}

/* A bar at most ten times a second, but the last state of it in any case. Lines for every new status, and
 * every few seconds. */
static void on_progress(void *arg)
{
    struct pull *pull = arg;
    int64_t since_us = io_now_us(pull->fetch.loop) - pull->shown_us;
    bool news = strcmp(pull->shown_status, pull->fetch.progress.status) != 0;
    if (pull->show != PULL_BAR) {
        if (news || since_us >= PLAIN_LINE_US)
            show(pull);
    } else if (since_us >= REDRAW_US) {
        show(pull);
    } else if (!pull->redraw.running) {
        io_timer_start(pull->fetch.loop, &pull->redraw, (uint64_t)(REDRAW_US - since_us) / 1000 + 1,
                       show, pull);
    }
}

/* ---- what comes of it ---- */

static void on_retry(void *arg, const char *why, uint64_t wait_ms)
{
    struct pull *pull = arg;
    struct buf out;
    bool first;
    clear_bar(pull);
    term_error("%s: %s; what it has is kept, asking again in %.1f s", pull->p->name, why,
               (double)wait_ms / 1000);
    if (pull->show == PULL_JSON) {
        begin_json(pull, &out, &first, "retry");
        term_json_text(&out, &first, "reason", strv_of(why));
        put_number(&out, &first, "after_ms", (int64_t)wait_ms);
        end_json(pull, &out);
    }
}

static void fail(struct pull *pull, const char *why)
{
    struct buf out;
    bool first;
    term_error("%s: %s", pull->p->name, why);
    if (pull->show == PULL_JSON) {
        begin_json(pull, &out, &first, "error");
        term_json_text(&out, &first, "error", strv_of(why));
        end_json(pull, &out);
    }
    finish(pull, EXIT_FAILED);
}

static void put_done(struct pull *pull, struct buf *out)
{
    int64_t received = pull->fetch.progress.moved;
    buf_init(out, 4096);
    term_clean(out, strv_of(pull->model), false);
    buf_put_cstr(out, received == 0 ? " is up to date" : " is there: ");
    if (received > 0) {
        progress_put_bytes(out, received);
        buf_put_cstr(out, " received in ");
        progress_put_seconds(out, (io_now_us(pull->fetch.loop) - pull->fetch.started_us) / 1000000);
    }
    buf_put_char(out, '\n');
}

static void succeed(struct pull *pull)
{
    const struct progress *p = &pull->fetch.progress;
    struct buf out;
    bool first;
    if (pull->show == PULL_JSON) {
        begin_json(pull, &out, &first, "done");
        put_number(&out, &first, "size", p->total);
        put_number(&out, &first, "received", p->moved);
        term_json_bool(&out, &first, "up_to_date", p->moved == 0);
        end_json(pull, &out);
    } else {
        put_done(pull, &out);
        put(pull, &out);
    }
    finish(pull, EXIT_OK);
}

static void on_end(void *arg, const char *why)
{
    struct pull *pull = arg;
    clear_bar(pull);
    if (why != NULL)
        fail(pull, why);
    else
        succeed(pull);
}

static void on_signal(void *arg, int signum)
{
    struct pull *pull = arg;
    clear_bar(pull);
    if (!pull->over)
        term_error("stopped; what has arrived is kept, the same command goes on with it");
    finish(pull, 128 + signum);
}

/* ---- one server ---- */

static bool start(struct pull *pull, struct err *err)
{
    static const struct fetch_ops ops = {on_progress, on_retry, on_end};
    struct fetch *f = &pull->fetch;
    f->p = pull->p;
    f->ops = &ops;
    f->arg = pull;
    f->loop = io_loop_new(err);
    if (f->loop == NULL || !io_on_signal(f->loop, SIGINT, on_signal, pull, err) ||
        !io_on_signal(f->loop, SIGTERM, on_signal, pull, err))
        return false;
    f->client = http_client_new(f->loop, HEAD_BYTES_MAX);
    return (f->client != NULL && fetch_begin(f, strv_of(pull->model))) || err_oom(err);
}

static int run(struct pull *pull)
{
    struct err err = ERR_INIT;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of fwrite() */
    if (!start(pull, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    io_loop_run(pull->fetch.loop);
    return pull->over ? pull->result : EXIT_FAILED;
}

static void fini(struct pull *pull)
{
    struct fetch *f = &pull->fetch;
    if (f->loop != NULL) {
        io_timer_stop(f->loop, &pull->redraw);
        fetch_fini(f);
    }
    if (f->client != NULL)
        http_client_free(f->client);
    if (f->loop != NULL)
        io_loop_free(f->loop);
}

static void tell_server(const struct pull *pull)
{
    char address[256];
    probe_address(pull->p, address, sizeof address);
    if (pull->show != PULL_JSON)
        printf("%s:\n", address);
}

static int each_server(const struct pull *what)
{
    size_t n = provider_instance_count(what->p);
    int status = EXIT_OK;
    for (size_t i = 0; i < n && status == EXIT_OK; i++) {
        struct pull one = *what;
        one.p = provider_instance(what->p, i);
        if (n > 1)
            tell_server(&one);
        status = run(&one);
        fini(&one);
    }
    return status;
}

/* ---- what is asked of whom ---- */

static bool has_provider(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (strcmp(s->providers[i].name, name) == 0)
            return true;
    term_error("there is no provider \"%s\" in the configuration", name);
    return false;
}

/* MODEL may have the provider in front, or --provider names it. */
static int choose(struct pull *pull, const char *word)
{
    const struct snapshot *s = pull->config->snapshot;
    const char *provider = pull->cli->flags[FLAG_PROVIDER];
    struct err err = ERR_INIT;
    strv model = STRV_NONE;
    if (provider != NULL && !has_provider(s, provider))
        return EXIT_USAGE;
    char *name = provider != NULL ? arena_printf(&pull->arena, "%s/%s", provider, word)
                                  : arena_cstr(&pull->arena, strv_of(word));
    if (name != NULL)
        pull->p = api_pull_provider(s, strv_of(name), &pull->arena, &model, &err);
    if (pull->p != NULL)
        pull->model = arena_cstr(&pull->arena, model);
    if (pull->p == NULL || pull->model == NULL) {
        term_error("%s", err.set ? err.text : "out of memory");
        return err.set && err.code != ERR_CODE_OOM ? EXIT_USAGE : EXIT_FAILED;
    }
    if (!probe_allowed(pull->config, pull->p)) {
        term_error("%s is in the cloud, and the mode is local", pull->p->name);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static int check_word(const char *word)
{
    if (strv_trim(strv_of(word)).len == 0 || strlen(word) > COMMAND_MODEL_MAX ||
        !utf8_valid(strv_of(word))) {
        term_error("\"%.60s\" is no name of a model", word);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int one_named(struct pull *pull)
{
    int status = choose(pull, pull->cli->words[0]);
    return status == EXIT_OK ? each_server(pull) : status;
}

/* ---- what is missing ---- */

/* Has the list of a provider that was asked. A model that several roles name is pulled once: then it is there. */
struct missing {
    struct pull *pull;
    const struct probe *probe;
    const char *done[MISSING_MAX];
    size_t n;
};

static int pull_if_missing(struct missing *m, const char *model)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->done[i], model) == 0)
            return EXIT_OK;
    if (probe_lists(m->probe, strv_of(model)) || m->n == MISSING_MAX)
        return EXIT_OK;
    m->done[m->n++] = model;
    m->pull->p = m->probe->p;
    m->pull->model = model;
    return each_server(m->pull);
}

/* The same names whose absence GET /router/models tells. One that fails does not keep the others from coming. */
static int missing_of(struct missing *m)
{
    const struct provider *p = m->probe->p;
    const struct policy_conf *policy = &m->pull->config->snapshot->policy;
    int status = EXIT_OK, one = EXIT_OK;
    if (m->probe->state != PROBE_OK) {
        term_error("%s: %s", p->name, m->probe->why);
        return EXIT_UNREACHABLE;
    }
    if (p->default_model != NULL)
        status = one = pull_if_missing(m, p->default_model);
    for (size_t i = 0; i < policy->n_roles; i++)
        for (size_t k = 0; k < policy->roles[i].n && one < EXIT_INTERRUPTED; k++) {
            const struct policy_name *n = &policy->roles[i].names[k];
            if (n->provider == NULL || n->model == NULL || strcmp(n->provider, p->name) != 0)
                continue;
            one = pull_if_missing(m, n->model);
            status = one != EXIT_OK ? one : status;
        }
    if (m->n == 0 && m->pull->show != PULL_JSON)
        printf("%s: nothing is missing\n", p->name);
    return status;
}

static int all_missing(struct pull *pull)
{
    struct err err = ERR_INIT;
    const char *only = pull->cli->flags[FLAG_PROVIDER];
    const struct snapshot *s = pull->config->snapshot;
    int status = EXIT_OK;
    if (only != NULL && !has_provider(s, only))
        return EXIT_USAGE;
    struct probe_set *set = probe_all(pull->config, false, &err);
    if (set == NULL) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < s->n_providers && status == EXIT_OK; i++) {
        struct missing m = {.pull = pull, .probe = probe_of(set, i)};
        const struct provider *p = &s->providers[i];
        if (p->kind == PROVIDER_OLLAMA && p->zone == ZONE_LOCAL &&
            (only == NULL || strcmp(only, p->name) == 0))
            status = missing_of(&m);
    }
    probe_free(set);
    return status;
}

/* ---- the command ---- */

int command_pull(struct cli *cli)
{
    struct pull pull = {.cli = cli};
    bool missing = cli->flags[FLAG_MISSING] != NULL;
    if (missing != (cli->n_words == 0))
        return command_usage_error(cli);
    int status = missing ? EXIT_OK : check_word(cli->words[0]);
    if (status != EXIT_OK)
        return status;
    pull.config = command_config(cli);
    if (pull.config == NULL)
        return EXIT_USAGE;
    pull.show = cli->flags[FLAG_JSON] != NULL ? PULL_JSON : term_bar() > 0 ? PULL_BAR : PULL_PLAIN;
    arena_init(&pull.arena, 1024, 65536);
    if (pull.config->snapshot->policy.airgap) {
        term_error("airgap is on: no server is asked to download anything");
        status = EXIT_FAILED;
    }
    if (status == EXIT_OK)
        status = missing ? all_missing(&pull) : one_named(&pull);
    arena_fini(&pull.arena);
    config_free(pull.config);
    return status;
}
