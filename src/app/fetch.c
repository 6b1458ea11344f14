/* SPDX-License-Identifier: Apache-2.0 */
#include "app/fetch.h"

#include "app/probe.h"

#define LINE_BYTES_MAX    ((size_t)64 * 1024)
#define REFUSAL_BYTES_MAX ((size_t)64 * 1024)
#define REQUEST_BYTES_MAX ((size_t)16 * 1024)
/* Ollama reports several times a second while bytes come; checking a digest is silent for as long as it takes
 * to read the file. */
#define SILENCE_MS      ((uint64_t)120 * 1000)
#define LONG_SILENCE_MS ((uint64_t)3600 * 1000)
#define BREAKS_MAX      6   /* in a row without a byte of progress: half a minute */
#define ATTEMPTS_MAX    100 /* altogether */
#define BACKOFF_MS      500
#define BACKOFF_MAX_MS  30000

static bool ask(struct fetch *f);

/* ---- the end ---- */

void fetch_stop(struct fetch *f)
{
    f->over = true;
    http_call_cancel(f->call);
    f->call = NULL;
    io_timer_stop(f->loop, &f->silence);
    io_timer_stop(f->loop, &f->again);
}

static void end(struct fetch *f, const char *why)
{
    if (f->over)
        return;
    fetch_stop(f);
    f->ops->end(f->arg, why);
}

static void ask_again(void *arg)
{
    struct fetch *f = arg;
    if (!ask(f))
        end(f, "out of memory");
}

/* It broke off, and the server may be well again soon. */
static void broke(struct fetch *f, const char *why)
{
    uint64_t wait_ms = BACKOFF_MS;
    char text[512];
    http_call_cancel(f->call);
    f->call = NULL;
    io_timer_stop(f->loop, &f->silence);
    if (f->progress.moved > f->moved_before)
        f->breaks = 0;
    f->breaks++;
    if (!f->was_there) {
        end(f, why);
        return;
    }
    if (f->breaks > BREAKS_MAX || f->attempts >= ATTEMPTS_MAX) {
        snprintf(text, sizeof text, "%s, after %u attempts; the same command goes on with it later",
                 why, f->attempts);
        end(f, text);
        return;
    }
    for (unsigned i = 1; i < f->breaks && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    io_timer_start(f->loop, &f->again, wait_ms, ask_again, f);
    f->ops->retry(f->arg, why, wait_ms);
}

/* ---- what comes ---- */

static void on_silence(void *arg)
{
    broke(arg, "it is silent");
}

static void watch(struct fetch *f)
{
    io_timer_start(f->loop, &f->silence, f->progress.in_layer ? SILENCE_MS : LONG_SILENCE_MS,
                   on_silence, f);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct fetch *f = arg;
    f->status = answer->status;
    f->was_there = true;
    watch(f);
}

static bool on_line(void *arg, const struct http_frame *frame)
{
    struct fetch *f = arg;
    arena_reset(&f->scratch);
    if (!progress_take(&f->progress, frame->data, &f->scratch, io_now_us(f->loop)))
        return false;
    f->ops->progress(f->arg);
    if (f->progress.success)
        end(f, NULL);
    else if (f->progress.error[0] != '\0')
        end(f, f->progress.error);
    return !f->over;
}

static void no_ollama(struct fetch *f)
{
    end(f, "what answers there is no Ollama");
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct fetch *f = arg;
    if (f->status != 200)
        buf_put(&f->refusal, data, len); /* its beginning is enough */
    else if (!http_framer_feed(&f->framer, data, len, on_line, f))
        no_ollama(f);
    else if (!f->over)
        watch(f);
}

static void refused(struct fetch *f)
{
    struct dialect_failure failure = {0};
    char text[700];
    int status = f->status;
    arena_reset(&f->scratch);
    f->p->dialect->decode_error(status, buf_view(&f->refusal), &f->scratch, &failure);
    if (failure.message.len > 0)
        snprintf(text, sizeof text, STRV_FMT, STRV_ARG(failure.message));
    else
        snprintf(text, sizeof text, "it answers with status %d", status);
    if (status == 408 || status == 429 || status == 502 || status == 503 || status == 504)
        broke(f, text);
    else
        end(f, text);
}

static void not_connected(struct fetch *f, enum io_end why)
{
    char text[400], address[256];
    probe_address(f->p, address, sizeof address);
    snprintf(text, sizeof text, "no connection to %s (%s)", address, io_end_name(why));
    broke(f, text);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct fetch *f = arg;
    bool whole = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    f->call = NULL;
    if (whole && f->status == 200)
        http_framer_end(&f->framer, on_line, f);
    if (f->over)
        return;
    if (how == HTTP_CONNECT)
        not_connected(f, why);
    else if (how == HTTP_MALFORMED)
        no_ollama(f);
    else if (how == HTTP_NO_MEMORY)
        end(f, "out of memory");
    else if (whole && f->status != 200)
        refused(f);
    else
        broke(f, "the connection broke off");
}

/* ---- the way out ---- */

static bool ask(struct fetch *f)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct http_call_spec spec = {.upstream = &f->p->upstream,
                                  .method = HTTP_POST,
                                  .path = "/api/pull",
                                  .headers = f->headers,
                                  .n_headers = f->n_headers,
                                  .content_type = "application/json",
                                  .body = f->body};
    f->attempts++;
    f->status = 0;
    f->moved_before = f->progress.moved;
    buf_fini(&f->refusal);
    http_framer_fini(&f->framer);
    http_framer_init(&f->framer, HTTP_NDJSON, LINE_BYTES_MAX);
    progress_begin(&f->progress, io_now_us(f->loop));
    struct egress_pass pass; /* the model's name was given by who runs this command */
    if (egress_seal_own(&pass, f->p, spec.body))
        f->call = egress_call(f->client, &pass, &spec, &ops, f, NULL);
    if (f->call == NULL)
        return false;
    watch(f);
    return true;
}

static bool write_request(struct fetch *f, strv model)
{
    struct buf b;
    buf_init(&b, REQUEST_BYTES_MAX);
    buf_put_cstr(&b, "{\"model\":");
    json_put_str(&b, model);
    buf_put_cstr(&b, ",\"stream\":true}");
    f->body = b.failed ? STRV_NONE : arena_strv(&f->arena, buf_view(&b));
    f->headers = ARENA_ARRAY(&f->arena, struct http_header, 4);
    if (f->headers != NULL)
        f->n_headers = provider_headers(f->p, &f->arena, f->headers);
    buf_fini(&b);
    return f->body.ptr != NULL && !f->arena.failed;
}

bool fetch_begin(struct fetch *f, strv model)
{
    arena_init(&f->arena, 1024, 4 * REQUEST_BYTES_MAX);
    arena_init(&f->scratch, 4096, 16 * LINE_BYTES_MAX);
    http_framer_init(&f->framer, HTTP_NDJSON, LINE_BYTES_MAX);
    buf_init(&f->refusal, REFUSAL_BYTES_MAX);
    f->started_us = io_now_us(f->loop);
    f->begun = true;
    return write_request(f, model) && ask(f);
}

void fetch_fini(struct fetch *f)
{
    if (!f->begun)
        return;
    fetch_stop(f);
    http_framer_fini(&f->framer);
    buf_fini(&f->refusal);
    arena_fini(&f->scratch);
    arena_fini(&f->arena);
}
