/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_ask - one question to the running router, by its native door.
 *
 *   POST /router/stream     data: {"delta":"..."} ... data: [DONE]     printed as it comes
 *   POST /router/generate   one document                               --json
 *
 * An answer counts as whole only if the router said so ([DONE], or the announced length): anything else
 * ends with status 1 and the words that it broke off. Leaving early (Ctrl-C, a closed pipe) closes the
 * connection, and with it the router ends the work upstream.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/remote.h"
#include "app/term.h"

#define SILENCE_MS ((uint64_t)3600 * 1000) /* four times the router's own default for everything */
#define EVENT_BYTES_MAX                                                                            \
    ((size_t)8 * 1024 * 1024) /* a provider's event has 1 MiB; escaped it can be six */
#define REPLY_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define MAX_TOKENS_MAX  100000
#define AGENT           "agent" /* the default of mcp.agents */

struct ask {
    struct cli *cli;
    struct remote remote;
    struct buf body; /* the request's */

    struct io_timer silence;
    int64_t started_us;

    bool json, tty;
    int status; /* HTTP; 0 = no head yet */
    bool is_stream;
    char retry_after[16];
    struct http_framer framer;
    struct arena event; /* one event's JSON */
    struct buf whole;   /* a reply or an error that is no stream */
    char last;          /* last byte printed, 0 = none */

    bool done; /* the router said that the answer is complete */
    bool over; /* result is decided */
    int result;
    char trouble[400]; /* the router's words in mid-stream */
    char provider[64], model[128];
    bool at_limit;
    int64_t tokens; /* -1 = unknown */
};

/* ---- what to send ---- */

static int add_hints(struct ask *a)
{
    const char *const *flags = a->cli->flags;
    struct llm_request r = {.model = STRV("")};
    struct err err = ERR_INIT;
    strv mode = strv_of(flags[FLAG_MODE]), task = strv_of(flags[FLAG_TASK]);
    strv sensitivity = flags[FLAG_PRIVATE] != NULL ? STRV("private") : STRV_NONE;
    if (!policy_hints(&r, mode, sensitivity, task, &err)) {
        term_error("%s", err.text);
        return EXIT_USAGE;
    }
    if (mode.ptr != NULL)
        remote_header(&a->remote, "X-LLM-Mode", mode);
    if (sensitivity.ptr != NULL)
        remote_header(&a->remote, "X-LLM-Sensitivity", sensitivity);
    if (task.ptr != NULL)
        remote_header(&a->remote, "X-LLM-Task", task);
    return EXIT_OK;
}

static int put_body(struct ask *a, strv question)
{
    const char *const *flags = a->cli->flags;
    uint64_t max_tokens = 0;
    bool first = true;
    if (flags[FLAG_MAX_TOKENS] != NULL &&
        !strv_u64(strv_of(flags[FLAG_MAX_TOKENS]), 1, MAX_TOKENS_MAX, &max_tokens)) {
        term_error("--max-tokens takes a number from 1 to %d", MAX_TOKENS_MAX);
        return EXIT_USAGE;
    }
    const char *model = flags[FLAG_MODEL];
    if (flags[FLAG_AGENT] != NULL && model != NULL) {
        term_error("--agent and --model are both given; keep one");
        return EXIT_USAGE;
    }
    if (flags[FLAG_AGENT] != NULL)
        model = AGENT;
    strv texts[] = {strv_of(model), strv_of(flags[FLAG_SYSTEM])};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!utf8_valid(texts[i])) {
            term_error("--%s is not valid UTF-8 text", i == 0 ? "model" : "system");
            return EXIT_USAGE;
        }
    buf_put_char(&a->body, '{');
    if (texts[0].ptr != NULL)
        term_json_text(&a->body, &first, "model", texts[0]);
    if (texts[1].ptr != NULL)
        term_json_text(&a->body, &first, "system", texts[1]);
    if (max_tokens > 0) {
        json_put_key(&a->body, &first, "max_tokens");
        buf_put_u64(&a->body, max_tokens);
    }
    term_json_text(&a->body, &first, "prompt", question);
    buf_put_char(&a->body, '}');
    if (a->body.failed)
        term_error("out of memory");
    return a->body.failed ? EXIT_FAILED : EXIT_OK;
}

/* ---- the end ---- */

static void finish(struct ask *a, int result)
{
    if (a->over)
        return;
    a->over = true;
    a->result = result;
    http_call_cancel(a->remote.call);
    a->remote.call = NULL;
    io_loop_stop(a->remote.loop);
}

/* Nobody reads any more, or the disk is full. */
static void cannot_write(struct ask *a)
{
    if (errno != EPIPE && !a->over)
        term_error("standard output: %s", strerror(errno));
    finish(a, EXIT_FAILED);
}

static void end_line(struct ask *a)
{
    if (a->last != 0 && a->last != '\n')
        putchar('\n');
    a->last = 0;
    if (fflush(stdout) != 0)
        cannot_write(a);
}

static void broke_off(struct ask *a, const char *why)
{
    end_line(a);
    if (!a->over)
        term_error("the answer broke off: %s", why);
    finish(a, EXIT_FAILED);
}

/* "engine/demo, 12 tokens, 0.8 s" */
static void tell_who(struct ask *a)
{
    struct buf line;
    const char *no_color = getenv("NO_COLOR");
    bool color = no_color == NULL || no_color[0] == '\0';
    char text[320];
    int n = snprintf(text, sizeof text, "%s/%s", a->provider, a->model);
    if (a->tokens >= 0)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %lld tokens", (long long)a->tokens);
    n += snprintf(text + n, sizeof text - (size_t)n, ", %.1f s",
                  (double)(io_now_us(a->remote.loop) - a->started_us) / 1e6);
    if (a->at_limit)
        snprintf(text + n, sizeof text - (size_t)n, ", stopped at the limit of tokens");
    buf_init(&line, 4096);
    term_put(&line, color, TERM_DIM, text);
    fprintf(stderr, STRV_FMT "\n", STRV_ARG(buf_view(&line)));
    buf_fini(&line);
}

/* {"detail":"...","code":"..."} or, for a field, {"detail":[{"loc":[...],"msg":"..."}]} */
static strv detail_of(struct ask *a, strv text)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, text, &a->event, 0, &err))
        return STRV_NONE;
    yyjson_val *detail = json_get(doc.root, "detail");
    if (yyjson_is_arr(detail))
        return json_get_str(yyjson_arr_get_first(detail), "msg");
    return json_str(detail);
}

static void no_router(struct ask *a)
{
    term_error("what answers at %s is no llm-router", a->remote.address);
    finish(a, EXIT_UNREACHABLE);
}

static void refused(struct ask *a)
{
    strv detail = utf8_cut(detail_of(a, buf_view(&a->whole)), 700);
    if (detail.len == 0 && (a->status == 404 || a->status == 405)) {
        no_router(a);
        return;
    }
    remote_refused(&a->remote, a->status, detail, a->retry_after);
    finish(a, EXIT_REFUSED);
}

/* ---- what comes ---- */

static void print(struct ask *a, strv text)
{
    struct buf clean;
    buf_init(&clean, REPLY_BYTES_MAX);
    if (a->tty) {
        term_clean(&clean, text, true);
        text = buf_view(&clean);
    }
    if (clean.failed)
        broke_off(a, "out of memory");
    else if (text.len > 0) {
        a->last = text.ptr[text.len - 1];
        if (fwrite(text.ptr, 1, text.len, stdout) != text.len)
            cannot_write(a);
    }
    buf_fini(&clean);
}

static void keep(char *out, size_t size, strv text)
{
    text = utf8_cut(text, size - 1);
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

static void take_event(struct ask *a, yyjson_val *root)
{
    print(a, json_get_str(root, "delta"));
    strv finish_reason = json_get_str(root, "finish_reason");
    if (finish_reason.ptr == NULL)
        return;
    keep(a->provider, sizeof a->provider, json_get_str(root, "provider"));
    keep(a->model, sizeof a->model, json_get_str(root, "model"));
    a->tokens = json_get_int(json_get(root, "usage"), "output_tokens", -1);
    a->at_limit = strv_eq_cstr(finish_reason, "length");
}

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct ask *a = arg;
    struct json doc;
    struct err err = ERR_INIT;
    arena_reset(&a->event);
    if (strv_eq_cstr(frame->data, "[DONE]")) {
        a->done = true;
    } else if (strv_eq_cstr(frame->name, "error")) {
        strv detail = detail_of(a, frame->data);
        keep(a->trouble, sizeof a->trouble,
             detail.len > 0 ? detail : STRV("the router gives no reason"));
    } else if (json_read(&doc, frame->data, &a->event, 0, &err)) {
        take_event(a, doc.root);
    } else {
        keep(a->trouble, sizeof a->trouble, STRV("an event cannot be read"));
    }
    return !a->done && !a->over && a->trouble[0] == '\0';
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct ask *a = arg;
    strv type = http_answer_header(answer, "Content-Type");
    a->status = answer->status;
    a->is_stream = a->status == 200 && strv_starts(type, STRV("text/event-stream"));
    keep(a->retry_after, sizeof a->retry_after, http_answer_header(answer, "Retry-After"));
    bool fits = a->json ? strv_starts(type, STRV("application/json")) : a->is_stream;
    if (a->status == 200 && !fits)
        no_router(a);
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct ask *a = arg;
    io_timer_start(a->remote.loop, &a->silence, SILENCE_MS, a->silence.fn, a);
    if (!a->is_stream) {
        if (!buf_put(&a->whole, data, len))
            broke_off(a, "it is too long");
        return;
    }
    bool more = a->done || http_framer_feed(&a->framer, data, len, on_frame, a);
    if (!a->over && fflush(stdout) != 0)
        cannot_write(a);
    if (!more && !a->done && !a->over)
        broke_off(a, a->trouble[0] != '\0' ? a->trouble : "an event is too large");
}

static void stream_ended(struct ask *a)
{
    if (!a->done)
        http_framer_end(&a->framer, on_frame, a);
    if (!a->done) {
        broke_off(a,
                  a->trouble[0] != '\0' ? a->trouble : "the connection ended in the middle of it");
        return;
    }
    end_line(a);
    if (a->tty && isatty(STDERR_FILENO) && !a->over)
        tell_who(a);
    finish(a, EXIT_OK);
}

static void reply_ended(struct ask *a)
{
    strv text = buf_view(&a->whole);
    print(a, text);
    end_line(a);
    finish(a, EXIT_OK);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct ask *a = arg;
    a->remote.call = NULL;
    if (how == HTTP_CONNECT) {
        remote_unreachable(&a->remote, why);
        finish(a, EXIT_UNREACHABLE);
    } else if (how == HTTP_MALFORMED && a->status == 0) {
        term_error("what listens at %s does not speak HTTP", a->remote.address);
        finish(a, EXIT_UNREACHABLE);
    } else if (a->is_stream)
        stream_ended(a);
    else if (a->status != 0 && a->status != 200)
        refused(a);
    else if (how != HTTP_DONE)
        broke_off(a, "the connection ended in the middle of it");
    else
        reply_ended(a);
}

static void on_silence(void *arg)
{
    broke_off(arg, "the router is silent");
}

static void on_signal(void *arg, int signum)
{
    struct ask *a = arg;
    end_line(a);
    finish(a, 128 + signum);
}

/* ---- */

static bool start(struct ask *a, struct err *err)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct remote *r = &a->remote;
    if (!io_on_signal(r->loop, SIGINT, on_signal, a, err) ||
        !io_on_signal(r->loop, SIGTERM, on_signal, a, err))
        return false;
    if (!remote_send(r, HTTP_POST, a->json ? "/router/generate" : "/router/stream",
                     "application/json", buf_view(&a->body), &ops, a))
        return err_oom(err);
    a->started_us = io_now_us(r->loop);
    io_timer_start(r->loop, &a->silence, SILENCE_MS, on_silence, a);
    return true;
}

static int run(struct ask *a)
{
    struct err err = ERR_INIT;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of fwrite() */
    if (!start(a, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    io_loop_run(a->remote.loop);
    io_timer_stop(a->remote.loop, &a->silence);
    return a->over ? a->result : EXIT_FAILED;
}

static void fini(struct ask *a)
{
    remote_close(&a->remote);
    http_framer_fini(&a->framer);
    buf_fini(&a->body);
    buf_fini(&a->whole);
    arena_fini(&a->event);
}

int command_ask(struct cli *cli)
{
    struct ask a = {.cli = cli, .json = cli->flags[FLAG_JSON] != NULL, .tokens = -1};
    struct buf question;
    a.tty = isatty(STDOUT_FILENO) == 1;
    arena_init(&a.event, 16 * 1024, 8 * EVENT_BYTES_MAX);
    http_framer_init(&a.framer, HTTP_SSE, EVENT_BYTES_MAX);
    buf_init(&a.body, 8 * COMMAND_QUESTION_MAX);
    buf_init(&a.whole, REPLY_BYTES_MAX);
    buf_init(&question, COMMAND_QUESTION_MAX);
    int status = remote_open(&a.remote, cli);
    if (status == EXIT_OK)
        status = add_hints(&a);
    if (status == EXIT_OK)
        status = command_question(cli, &question);
    if (status == EXIT_OK)
        status = put_body(&a, buf_view(&question));
    buf_fini(&question);
    if (status == EXIT_OK)
        status = run(&a);
    fini(&a);
    return status;
}
