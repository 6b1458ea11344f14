/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_pull - have an Ollama download a model, and show how far it is.
 *
 *   ask --lines--> "success"                      done
 *    ^     '-----> {"error":...}, 4xx             failed: Ollama has tried again by itself by then
 *    |     '-----> the connection breaks, silence
 *    '-- back-off --'                              Ollama goes on where it stopped
 *
 * The download belongs to the server: this command only asks for it, and asks again. A connection that was
 * never there is not waited for. On a terminal one line is drawn again and again, else plain lines are
 * printed now and then, without any escape codes. Several servers under one name are asked one after the other.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/command.h"
#include "app/probe.h"
#include "app/progress.h"
#include "app/term.h"

#define HEAD_BYTES_MAX    ((size_t)64 * 1024)
#define LINE_BYTES_MAX    ((size_t)64 * 1024)
#define REFUSAL_BYTES_MAX ((size_t)64 * 1024)
/* Ollama reports several times a second while bytes come; checking a digest is silent for as long as it takes
 * to read the file. */
#define SILENCE_MS      ((uint64_t)120 * 1000)
#define LONG_SILENCE_MS ((uint64_t)3600 * 1000)
#define BREAKS_MAX      6   /* in a row without a byte of progress: half a minute */
#define ATTEMPTS_MAX    100 /* altogether */
#define BACKOFF_MS      500
#define BACKOFF_MAX_MS  30000
#define REDRAW_US       100000
#define PLAIN_LINE_US   5000000
#define WIDTH_OTHERWISE 80
#define WIDTH_MAX       200

struct pull {
    struct cli *cli;
    struct config *config;
    struct arena arena; /* names, headers, body */
    const struct provider *p;
    const char *model;
    struct http_header headers[4];
    size_t n_headers;
    strv body;
    enum { PULL_PLAIN, PULL_BAR, PULL_JSON } show;

    struct io_loop *loop;
    struct http_client *client;
    struct http_call *call;
    struct io_timer silence, again, redraw;
    struct http_framer framer;
    struct arena scratch;
    struct buf refusal; /* the body of an answer other than 200 */
    int status;         /* of this attempt; 0 = no head yet */
    unsigned attempts, breaks;
    int64_t moved_before; /* progress.moved when this attempt began */
    bool was_there;       /* the server has answered once */

    struct progress progress;
    int64_t started_us, shown_us;
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
    http_call_cancel(pull->call);
    pull->call = NULL;
    io_loop_stop(pull->loop);
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

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_OTHERWISE;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
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
    buf_init(out, LINE_BYTES_MAX);
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
    const struct progress *p = &pull->progress;
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
    /* The last column stays free: some terminals go on to the next line behind it. */
    progress_put_bar(&out, &pull->progress, pull->model, terminal_width() - 1);
    buf_put_cstr(&out, "\033[K");
    pull->drawn = true;
    put(pull, &out);
}

static void show_line(struct pull *pull)
{
    struct buf out;
    buf_init(&out, 4096);
    progress_put_line(&out, &pull->progress, pull->model);
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
    pull->shown_us = io_now_us(pull->loop);
    snprintf(pull->shown_status, sizeof pull->shown_status, "%s", pull->progress.status);
    ways[pull->show](pull);
}

/* A bar at most ten times a second, but the last state of it in any case. Lines for every new status, and
 * every few seconds. */
static void show_in_time(struct pull *pull)
{
    int64_t since_us = io_now_us(pull->loop) - pull->shown_us;
    bool news = strcmp(pull->shown_status, pull->progress.status) != 0;
    if (pull->show != PULL_BAR) {
        if (news || since_us >= PLAIN_LINE_US)
            show(pull);
    } else if (since_us >= REDRAW_US) {
        show(pull);
    } else if (!pull->redraw.running) {
        io_timer_start(pull->loop, &pull->redraw, (uint64_t)(REDRAW_US - since_us) / 1000 + 1, show,
                       pull);
    }
}

/* ---- the end ---- */

static void succeed(struct pull *pull)
{
    const struct progress *p = &pull->progress;
    bool up_to_date = p->moved == 0;
    struct buf out;
    bool first;
    clear_bar(pull);
    if (pull->show == PULL_JSON) {
        begin_json(pull, &out, &first, "done");
        put_number(&out, &first, "size", p->total);
        put_number(&out, &first, "received", p->moved);
        term_json_bool(&out, &first, "up_to_date", up_to_date);
        end_json(pull, &out);
    } else {
        buf_init(&out, 4096);
        term_clean(&out, strv_of(pull->model), false);
        buf_put_cstr(&out, up_to_date ? " is up to date" : " is there: ");
        if (!up_to_date) {
            progress_put_bytes(&out, p->moved);
            buf_put_cstr(&out, " received in ");
            progress_put_seconds(&out, (io_now_us(pull->loop) - pull->started_us) / 1000000);
        }
        buf_put_char(&out, '\n');
        put(pull, &out);
    }
    finish(pull, EXIT_OK);
}

static void fail(struct pull *pull, const char *why)
{
    struct buf out;
    bool first;
    clear_bar(pull);
    if (pull->over)
        return;
    term_error("%s: %s", pull->p->name, why);
    if (pull->show == PULL_JSON) {
        begin_json(pull, &out, &first, "error");
        term_json_text(&out, &first, "error", strv_of(why));
        end_json(pull, &out);
    }
    finish(pull, EXIT_FAILED);
}

static bool ask(struct pull *pull);

static void ask_again(void *arg)
{
    struct pull *pull = arg;
    if (!ask(pull))
        fail(pull, "out of memory");
}

static void tell_break(struct pull *pull, const char *why, uint64_t wait_ms)
{
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

/* It broke off, and the server may be well again soon. */
static void broke(struct pull *pull, const char *why)
{
    uint64_t wait_ms = BACKOFF_MS;
    char text[300];
    http_call_cancel(pull->call);
    pull->call = NULL;
    io_timer_stop(pull->loop, &pull->silence);
    if (pull->progress.moved > pull->moved_before)
        pull->breaks = 0;
    pull->breaks++;
    if (!pull->was_there) {
        fail(pull, why);
        return;
    }
    if (pull->breaks > BREAKS_MAX || pull->attempts >= ATTEMPTS_MAX) {
        snprintf(text, sizeof text, "%s, after %u attempts; the same command goes on with it later",
                 why, pull->attempts);
        fail(pull, text);
        return;
    }
    for (unsigned i = 1; i < pull->breaks && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    tell_break(pull, why, wait_ms);
    if (!pull->over)
        io_timer_start(pull->loop, &pull->again, wait_ms, ask_again, pull);
}

/* ---- what comes ---- */

static void on_silence(void *arg)
{
    broke(arg, "it is silent");
}

static void watch(struct pull *pull)
{
    io_timer_start(pull->loop, &pull->silence,
                   pull->progress.in_layer ? SILENCE_MS : LONG_SILENCE_MS, on_silence, pull);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct pull *pull = arg;
    pull->status = answer->status;
    pull->was_there = true;
    watch(pull);
}

static bool on_line(void *arg, const struct http_frame *frame)
{
    struct pull *pull = arg;
    arena_reset(&pull->scratch);
    if (!progress_take(&pull->progress, frame->data, &pull->scratch, io_now_us(pull->loop)))
        return false;
    if (pull->progress.success)
        succeed(pull);
    else if (pull->progress.error[0] != '\0')
        fail(pull, pull->progress.error);
    else
        show_in_time(pull);
    return !pull->over;
}

static void no_ollama(struct pull *pull)
{
    fail(pull, "what answers there is no Ollama");
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct pull *pull = arg;
    if (pull->status != 200) {
        buf_put(&pull->refusal, data, len); /* its beginning is enough */
        return;
    }
    if (!http_framer_feed(&pull->framer, data, len, on_line, pull) && !pull->over)
        no_ollama(pull);
    else if (!pull->over)
        watch(pull);
}

static void refused(struct pull *pull)
{
    struct dialect_failure failure = {0};
    char text[700];
    int status = pull->status;
    arena_reset(&pull->scratch);
    pull->p->dialect->decode_error(status, buf_view(&pull->refusal), &pull->scratch, &failure);
    snprintf(text, sizeof text, STRV_FMT "%s(status %d)", STRV_ARG(failure.message),
             failure.message.len > 0 ? " " : "it refuses ", status);
    if (status == 408 || status == 429 || status == 502 || status == 503 || status == 504)
        broke(pull, text);
    else
        fail(pull, text);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct pull *pull = arg;
    char text[400], address[256];
    pull->call = NULL;
    if (how == HTTP_CONNECT) {
        probe_address(pull->p, address, sizeof address);
        snprintf(text, sizeof text, "no connection to %s (%s)", address, io_end_name(why));
        broke(pull, text);
        return;
    }
    bool whole = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    if (whole && pull->status == 200)
        http_framer_end(&pull->framer, on_line, pull);
    if (pull->over)
        return;
    if (how == HTTP_MALFORMED)
        no_ollama(pull);
    else if (how == HTTP_NO_MEMORY)
        fail(pull, "out of memory");
    else if (whole && pull->status != 200)
        refused(pull);
    else
        broke(pull, "the connection broke off");
}

static void on_signal(void *arg, int signum)
{
    struct pull *pull = arg;
    clear_bar(pull);
    if (!pull->over)
        term_error("stopped; what has arrived is kept, the same command goes on with it");
    finish(pull, 128 + signum);
}

/* ---- the call ---- */

static bool ask(struct pull *pull)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct http_call_spec spec = {.upstream = &pull->p->upstream,
                                  .method = HTTP_POST,
                                  .path = "/api/pull",
                                  .headers = pull->headers,
                                  .n_headers = pull->n_headers,
                                  .content_type = "application/json",
                                  .body = pull->body};
    pull->attempts++;
    pull->status = 0;
    pull->moved_before = pull->progress.moved;
    buf_fini(&pull->refusal);
    http_framer_fini(&pull->framer);
    http_framer_init(&pull->framer, HTTP_NDJSON, LINE_BYTES_MAX);
    progress_begin(&pull->progress, io_now_us(pull->loop));
    pull->call = http_call(pull->client, &spec, &ops, pull);
    if (pull->call == NULL)
        return false;
    watch(pull);
    return true;
}

static bool start(struct pull *pull, struct err *err)
{
    pull->loop = io_loop_new(err);
    if (pull->loop == NULL || !io_on_signal(pull->loop, SIGINT, on_signal, pull, err) ||
        !io_on_signal(pull->loop, SIGTERM, on_signal, pull, err))
        return false;
    pull->client = http_client_new(pull->loop, HEAD_BYTES_MAX);
    pull->started_us = io_now_us(pull->loop);
    return (pull->client != NULL && ask(pull)) || err_oom(err);
}

static int run(struct pull *pull)
{
    struct err err = ERR_INIT;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of fwrite() */
    if (!start(pull, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    io_loop_run(pull->loop);
    io_timer_stop(pull->loop, &pull->silence);
    io_timer_stop(pull->loop, &pull->again);
    io_timer_stop(pull->loop, &pull->redraw);
    return pull->over ? pull->result : EXIT_FAILED;
}

/* ---- what is asked of whom ---- */

static int put_request(struct pull *pull)
{
    struct buf b;
    buf_init(&b, COMMAND_MODEL_MAX * 6 + 64);
    buf_put_cstr(&b, "{\"model\":");
    json_put_str(&b, strv_of(pull->model));
    buf_put_cstr(&b, ",\"stream\":true}");
    pull->body = b.failed ? STRV_NONE : arena_strv(&pull->arena, buf_view(&b));
    pull->n_headers = provider_headers(pull->p, &pull->arena, pull->headers);
    buf_fini(&b);
    if (pull->body.ptr != NULL && !pull->arena.failed)
        return EXIT_OK;
    term_error("out of memory");
    return EXIT_FAILED;
}

static bool has_provider(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (strcmp(s->providers[i].name, name) == 0)
            return true;
    term_error("there is no provider \"%s\" in the configuration", name);
    return false;
}

/* MODEL may have the provider in front, or --provider names it. */
static int choose(struct pull *pull)
{
    const struct snapshot *s = pull->config->snapshot;
    const char *word = pull->cli->words[0], *provider = pull->cli->flags[FLAG_PROVIDER];
    struct err err = ERR_INIT;
    strv model;
    if (provider != NULL && !has_provider(s, provider))
        return EXIT_USAGE;
    char *name = provider != NULL ? arena_printf(&pull->arena, "%s/%s", provider, word)
                                  : arena_cstr(&pull->arena, strv_of(word));
    if (name != NULL)
        pull->p = api_pull_provider(s, strv_of(name), &pull->arena, &model, &err);
    if (pull->p != NULL)
        pull->model = arena_cstr(&pull->arena, model);
    if (pull->model == NULL) {
        term_error("%s", err.set ? err.text : "out of memory");
        return err.set && err.code != ERR_CODE_OOM ? EXIT_USAGE : EXIT_FAILED;
    }
    if (!probe_allowed(pull->config, pull->p)) {
        term_error("%s is in the cloud, and the mode is local", pull->p->name);
        return EXIT_FAILED;
    }
    return put_request(pull);
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

/* A bar needs a terminal that can go back to the beginning of its line. */
static bool has_bar(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (term == NULL || strcmp(term, "dumb") != 0);
}

/* The part that is for one server. */
static void fini(struct pull *pull)
{
    if (pull->client != NULL)
        http_client_free(pull->client);
    if (pull->loop != NULL)
        io_loop_free(pull->loop);
    http_framer_fini(&pull->framer);
    buf_fini(&pull->refusal);
    arena_fini(&pull->scratch);
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
    const struct provider *p = what->p;
    int status = EXIT_OK;
    for (size_t i = 0; i < provider_instance_count(p) && status == EXIT_OK; i++) {
        struct pull one = *what;
        one.p = provider_instance(p, i);
        arena_init(&one.scratch, 4096, 16 * LINE_BYTES_MAX);
        http_framer_init(&one.framer, HTTP_NDJSON, LINE_BYTES_MAX);
        buf_init(&one.refusal, REFUSAL_BYTES_MAX);
        if (provider_instance_count(p) > 1)
            tell_server(&one);
        status = run(&one);
        fini(&one);
    }
    return status;
}

int command_pull(struct cli *cli)
{
    struct pull pull = {.cli = cli};
    int status = check_word(cli->words[0]);
    if (status != EXIT_OK)
        return status;
    pull.config = command_config(cli);
    if (pull.config == NULL)
        return EXIT_USAGE;
    pull.show = cli->flags[FLAG_JSON] != NULL ? PULL_JSON : has_bar() ? PULL_BAR : PULL_PLAIN;
    arena_init(&pull.arena, 1024, 65536);
    if (pull.config->snapshot->policy.airgap) {
        term_error("airgap is on: no server is asked to download anything");
        status = EXIT_FAILED;
    }
    if (status == EXIT_OK)
        status = choose(&pull);
    if (status == EXIT_OK)
        status = each_server(&pull);
    arena_fini(&pull.arena);
    config_free(pull.config);
    return status;
}
