/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply - a request's reply as a script over time, with the faults.
 *
 *   STEP_HEAD    wait head_ms, then one of: silence, RST, FIN, an error, a broken head, or the reply begins
 *   STEP_STREAM  start, events with gap_ms between them, finish, terminator; a fault fires between two events
 *   STEP_WHOLE   the whole body at once; a fault cuts it at the same share of its bytes
 *   STEP_RESET   RST, a moment after the last bytes, so that the reader has seen them
 *   STEP_CUT     FIN
 *
 * reply_step() may be called early or often; each step looks at the clock itself. What it sends and when depends
 * on the knobs alone, never on chance.
 */
#include "standin.h"

#include <time.h>

enum { STEP_HEAD, STEP_STREAM, STEP_WHOLE, STEP_RESET, STEP_CUT };

#define MS         1000000u
#define BATCH      (64u << 10) /* bytes made before one write when there is no gap between events */
#define RESET_WAIT (10 * MS)

/* Scratch for one step; the loop is one thread, and no step keeps them. */
static struct text payload, wire, words, thoughts;

/* ---- what is said ---- */

static const char *const plain_words[] = {"Hello",         " from",      " the",
                                          " stand-in.",    " Caf\u00e9", " \u201cok\u201d",
                                          " \u65e5\u672c", " \U0001f642"};
static const char *const odd_words[] = {"\"Hello\"",   " \\from\\",        "\n\n",
                                        "\tthe",       " </stand-in>\r\n", " \x01\x1f",
                                        " \u2028{}[]", " data: [DONE]"};

static void event_text(struct conn *c, int64_t i, struct text *t)
{
    size_t before = t->len, size = c->k.size >= 0 ? (size_t)c->k.size : 0;
    if (i >= 0 && c->plan && c->plan->says) {
        plan_text(c, i, t);
    } else if (c->k.giant > 0 && i == c->k.giant_at) {
        text_fill(t, 'G', (size_t)c->k.giant);
    } else if (c->k.stamp) {
        text_lit(t, "t=");
        text_int(t, (int64_t)now_ns());
        text_lit(t, " ");
        if (t->len - before < size)
            text_fill(t, '.', size - (t->len - before));
    } else if (c->k.size >= 0) {
        text_fill(t, (char)('a' + (i < 0 ? 0 : i % 26)), size);
    } else {
        const char *const *list = c->k.words == WORDS_ODD ? odd_words : plain_words;
        size_t which = (size_t)(i < 0 ? i + c->k.reasoning : i);
        if (which > 0 && which % 8 == 0 && list == plain_words)
            text_lit(t, " ");
        text_str(t, list[which % 8]);
    }
    if (i >= 0) {
        if (t->len - before > c->text_left)
            t->len = before + c->text_left;
        c->text_left -= t->len - before;
    }
}

static void stop_try(struct conn *c, const struct text *all, struct span string)
{
    char one[sizeof c->stop];
    size_t n = scan_string(string, one, sizeof one);
    char *at = n && all->len ? memmem(all->data, all->len, one, n) : NULL;
    if (at && (size_t)(at - all->data) < c->text_left) {
        c->text_left = (size_t)(at - all->data);
        memcpy(c->stop, one, n + 1);
    }
}

/* Streams stop inside the event that completes a stop string; nothing of the string itself is sent. */
static void apply_stop(struct conn *c, struct span list)
{
    struct text all = {0};
    struct span none, item;
    struct scan s = scan_open(list);
    for (int64_t i = 0; i < c->events; i++)
        event_text(c, i, &all);
    c->text_left = SIZE_MAX;
    if (list.p[0] == '"')
        stop_try(c, &all, list);
    while (scan_next(&s, &none, &item))
        stop_try(c, &all, item);
    if (c->text_left != SIZE_MAX) {
        size_t left = c->text_left, sum = 0;
        int64_t events = 0;
        for (; events < c->events && sum < left; events++) {
            all.len = 0;
            c->text_left = SIZE_MAX;
            event_text(c, events, &all);
            sum += all.len;
        }
        c->events = events;
        c->finish = FINISH_STOP;
        c->text_left = left;
    }
    text_free(&all);
}

/* ---- heads ---- */

const char *status_text(int64_t status)
{
    static const struct {
        int64_t status;
        const char *text;
    } names[] = {{200, "OK"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {408, "Request Timeout"},
                 {413, "Payload Too Large"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].status == status)
            return names[i].text;
    return "Status";
}

/* length < 0: chunked, or until close. Left open: the caller adds its own fields and the blank line. */
static void head_open(struct conn *c, struct text *t, int64_t status, const char *type,
                      int64_t length)
{
    text_lit(t, "HTTP/1.1 ");
    text_int(t, status);
    text_lit(t, " ");
    text_str(t, status_text(status));
    text_lit(t, "\r\nServer: standin\r\nContent-Type: ");
    text_str(t, type);
    if (length >= 0) {
        text_lit(t, "\r\nContent-Length: ");
        text_int(t, length);
    } else if (c->framing == FRAME_CHUNKED) {
        text_lit(t, "\r\nTransfer-Encoding: chunked");
    }
    text_str(t, c->inference && c->dialect == ANTHROPIC ? "\r\nrequest-id: req_"
                                                        : "\r\nx-request-id: req_");
    text_int(t, (int64_t)c->request_no);
    text_str(t, c->close_after && !c->k.close_quiet ? "\r\nConnection: close\r\n" : "\r\n");
}

void reply_simple(struct conn *c, int64_t status, const char *type, const char *p, size_t n)
{
    struct text t = {0};
    head_open(c, &t, status, type, (int64_t)n);
    if (status == 401 && settings.key)
        text_lit(&t, "WWW-Authenticate: Bearer\r\n");
    if (c->k.retry_after >= 0 && status >= 400) {
        text_lit(&t, "Retry-After: ");
        text_int(&t, c->k.retry_after);
        text_lit(&t, "\r\n");
    }
    if (status >= 300 && status < 400)
        text_lit(&t, "Location: /elsewhere\r\n");
    text_lit(&t, "\r\n");
    if (!c->no_body)
        text_add(&t, p, n);
    text_fill(&t, 'x', (size_t)c->k.extra);
    conn_send(c, t.data, t.len);
    text_free(&t);
    c->phase = PHASE_DONE;
}

static void frame(struct conn *c, struct text *t, const char *p, size_t n)
{
    while (n > 0) {
        size_t part = c->k.chunk > 0 && n > (size_t)c->k.chunk ? (size_t)c->k.chunk : n;
        if (c->framing == FRAME_CHUNKED) {
            text_hex(t, part);
            text_lit(t, "\r\n");
        }
        text_add(t, p, part);
        if (c->framing == FRAME_CHUNKED)
            text_lit(t, "\r\n");
        p += part;
        n -= part;
    }
}

static void frame_payload(struct conn *c)
{
    frame(c, &wire, payload.data, payload.len);
    payload.len = 0;
}

static void reply_end(struct conn *c)
{
    if (c->framing == FRAME_CHUNKED)
        text_lit(&wire, "0\r\n\r\n");
    text_fill(&wire, 'x', (size_t)c->k.extra);
    conn_send(c, wire.data, wire.len);
    c->phase = PHASE_DONE;
}

/* ---- a request ---- */

static void read_options(const struct ask *a, int64_t *limit, struct span *stop)
{
    struct scan s = scan_open(a->options);
    struct span key, value;
    while (scan_next(&s, &key, &value)) {
        if (span_is(key, "num_predict"))
            span_int(value, limit);
        else if (span_is(key, "stop"))
            *stop = value;
    }
}

/* What the reply needs of what the request asks for. */
static void read_ask(struct conn *c, const struct ask *a, int64_t *limit, struct span *stop)
{
    if (a->model.p || a->name.p)
        scan_string(a->model.p ? a->model : a->name, c->model, sizeof c->model);
    if (a->stream.p && c->inference)
        c->streaming =
            span_is(a->stream, "true") || (span_is(a->stream, "null") && is_ollama(c->dialect));
    c->usage = span_is(scan_member(a->stream_options, "include_usage"), "true");
    c->usage_each = a->stream_options.p &&
                    span_is(scan_member(a->stream_options, "continuous_usage_stats"), "true");
    span_int(a->max_tokens, limit);
    span_int(a->max_completion_tokens, limit);
    *stop = a->stop.p ? a->stop : a->stop_sequences;
    if (a->options.p && is_ollama(c->dialect))
        read_options(a, limit, stop);
}

/* Ollama: a request without messages, or without a prompt, loads the model or unloads it. */
static bool only_loads(const struct conn *c, const struct ask *a)
{
    struct scan list = scan_open(a->messages);
    struct span none;
    if (c->job != JOB_TALK || !is_ollama(c->dialect))
        return false;
    if (c->dialect == OLLAMA_GENERATE)
        return a->prompt.p == NULL || a->prompt.n == 2;
    return a->messages.p == NULL || !scan_next(&list, &none, &none);
}

static void refuse(struct conn *c, int64_t status, const char *message)
{
    struct text t = {0};
    enum error_form form = (enum error_form)c->k.form;
    if (form == FORM_DIALECT && !is_ollama(c->dialect) && c->k.owner == OWNER_LLAMACPP)
        form = FORM_LLAMA;
    else if (form == FORM_DIALECT && !is_ollama(c->dialect) && c->k.owner == OWNER_VLLM)
        form = FORM_VLLM;
    dialect_error(c->dialect, status, form, message, &t);
    reply_simple(c, status,
                 form == FORM_PLAIN  ? "text/plain; charset=utf-8"
                 : form == FORM_HTML ? "text/html"
                                     : "application/json",
                 t.data, t.len);
    text_free(&t);
}

static void reply_clean(struct conn *c, const struct request *r)
{
    plan_free(c);
    c->k = knobs_default;
    c->phase = PHASE_REPLY;
    c->step = STEP_HEAD;
    c->start_ns = c->due_ns = now_ns();
    c->created = time(NULL);
    c->fired = 0;
    c->close_after = !r->keep_alive;
    c->no_body = span_is(r->method, "HEAD");
    c->usage = c->usage_each = c->inference = false;
    c->block.index = 0;
    c->block.kind = BLOCK_NONE;
    c->thought = HASH_START;
    c->stopped = 0;
    c->finish = FINISH_STOP;
    c->model[0] = c->stop[0] = 0;
    c->text_left = SIZE_MAX;
    c->dialect = OPENAI;
    c->job = JOB_OTHER;
}

/* How many events there will be, and how it ends. */
static void reply_size(struct conn *c, const struct ask *a, int64_t limit, struct span stop)
{
    c->events = c->k.events >= 0 ? c->k.events : 8;
    plan_make(c, a);
    if (c->plan && c->plan->calls_used > 0) {
        c->finish = FINISH_CALLS;
        if (c->k.call_text == TEXT_NONE)
            c->events = 0;
    }
    if (limit > 0 && limit < c->events) {
        c->events = limit;
        c->finish = FINISH_LENGTH;
    }
    if (stop.n > 2)
        apply_stop(c, stop);
    if (c->plan && c->plan->calls_used > 0 && c->finish != FINISH_CALLS && !c->plan->calls_first)
        plan_drop_calls(c);
    if (c->k.finish >= 0)
        c->finish = (enum finish)c->k.finish;
    c->total = c->events + (c->plan ? (int64_t)c->plan->steps_used : 0);
    c->event = -c->k.reasoning;
    c->redacted_left = c->k.redacted;
    c->usage_each |= c->k.usage_each != 0;
}

static void reply_stream(struct conn *c)
{
    if (c->k.json_stream)
        c->streaming = false;
    if (c->streaming) {
        stats.streams_active++;
        c->counted_stream = true;
        if (stats.streams_active > stats.streams_peak)
            stats.streams_peak = stats.streams_active;
    }
    c->framing = c->k.framing != FRAME_AUTO ? (enum framing)c->k.framing
                 : c->streaming             ? FRAME_CHUNKED
                                            : FRAME_LENGTH;
}

/* llama-server does not look at the name: there is only one model. */
static bool not_served(const struct conn *c)
{
    return (c->job == JOB_TALK || c->job == JOB_EMBED) && settings.strict &&
           c->k.owner != OWNER_LLAMACPP && !model_listed(c->model, strlen(c->model));
}

static void refuse_model(struct conn *c)
{
    char message[sizeof c->model + 64];
    int n = (int)strcspn(c->model, "+");
    snprintf(message, sizeof message,
             c->dialect == ANTHROPIC ? "model: %.*s"
             : is_ollama(c->dialect) ? "model '%.*s' not found"
                                     : "The model `%.*s` does not exist or you do not have access "
                                       "to it.",
             n, c->model);
    refuse(c, 404, message);
}

/* The refusals that come before everything else. True: the reply is made. */
static bool reply_refused(struct conn *c, const struct request *r, const struct ask *a, bool good)
{
    struct text why = {0};
    int64_t status = 0;
    bool asked = c->job != JOB_OTHER;
    if (!r->keyed && !span_is(r->path, "/health")) {
        refuse(c, 401, NULL);
    } else if (!good) {
        refuse(c, 400, "the body is not a JSON object");
    } else if (asked && c->job != JOB_COUNT && c->model[0] == 0) {
        refuse(c, 400, "model is required");
    } else if (not_served(c)) {
        refuse_model(c);
    } else if (asked && (status = strict_check(c, r, a, &why)) != 0) {
        text_add(&why, "", 1);
        refuse(c, status, why.data);
    }
    text_free(&why);
    return c->phase != PHASE_REPLY;
}

static bool too_long(struct conn *c, const struct ask *a)
{
    int64_t prompt = prompt_tokens_of(a);
    bool asked = c->job == JOB_TALK || c->job == JOB_EMBED;
    if (!asked || c->k.window == 0 || prompt <= c->k.window ||
        (is_ollama(c->dialect) && !span_is(a->truncate, "false")))
        return false;
    payload.len = 0;
    dialect_context_error(c, prompt, c->k.window, &payload);
    reply_simple(c, 400, "application/json", payload.data, payload.len);
    return true;
}

/* Ollama's models come and go; only when a test has said which are there. */
static void reply_load(struct conn *c, const struct ask *a)
{
    if (!settings.loaded_known || !is_ollama(c->dialect) || c->job == JOB_PULL)
        return;
    if (span_is(a->keep_alive, "0"))
        model_unload(c->model);
    else if (model_load(c->model))
        c->due_ns += (uint64_t)c->k.load_ms * MS;
}

void reply_begin(struct conn *c, const struct request *r)
{
    struct span stop = {0};
    struct ask a = {.body = r->body};
    int64_t limit = -1;
    bool good = true;

    reply_clean(c, r);
    if (control_request(c, r))
        return;
    const struct route *route = span_is(r->method, "POST") ? route_of(r->path) : NULL;
    if (route) {
        c->dialect = route->dialect;
        c->job = route->job;
        c->inference = c->job == JOB_TALK || c->job == JOB_PULL;
        c->streaming = c->inference && is_ollama(c->dialect);
        ask_read(r->body, &a, &good);
        read_ask(c, &a, &limit, &stop);
        good |= c->job == JOB_COUNT;
    } else {
        c->streaming = false;
    }
    knobs_choose(&c->k, (struct span){c->model, strlen(c->model)}, r->path, r->knobs);
    record_request(c, r);
    c->close_after |= c->k.close || c->k.close_quiet;
    c->due_ns += (uint64_t)c->k.head_ms * MS;
    reply_size(c, &a, limit, stop);
    if (c->job == JOB_PULL)
        pull_begin(c);
    reply_stream(c);

    if (reply_refused(c, r, &a, good) || too_long(c, &a))
        return;
    reply_load(c, &a);
    if (only_loads(c, &a) && c->k.status < 0) {
        payload.len = 0;
        ollama_loaded(c, &payload, span_is(a.keep_alive, "0"));
        reply_simple(c, 200, "application/json; charset=utf-8", payload.data, payload.len);
    } else if (!c->inference) {
        c->other.len = 0;
        c->other_type = "application/json";
        c->other_status = c->job == JOB_EMBED ? embed_answer(c, &a, &c->other)
                                              : dialect_other(c, r, &c->other, &c->other_type);
    }
}

/* ---- the script ---- */

static bool wait_until(struct conn *c, uint64_t at_ns)
{
    if (at_ns <= now_ns())
        return false;
    conn_arm(c, at_ns);
    return true;
}

static bool go(struct conn *c, int step)
{
    c->step = step;
    return true;
}

static bool hold(struct conn *c)
{
    c->phase = PHASE_HOLD;
    return true;
}

/* Heads that no client may believe. True when one was sent. */
static bool broken_head(struct conn *c)
{
    struct text t = {0};
    switch (c->k.head) {
    case HEAD_BAD:
        text_lit(&t, "HTTP/9 yes\r\nthis is: not\x01 HTTP\r\n : \r\n\r\nhello");
        break;
    case HEAD_HUGE:
        text_lit(&t, "HTTP/1.1 200 OK\r\nX-Long: ");
        text_fill(&t, 'a', 256 << 10);
        text_lit(&t, "\r\nContent-Length: 2\r\n\r\n{}");
        break;
    case HEAD_TWO_LENGTHS:
        text_lit(&t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                     "Content-Length: 40\r\n\r\n{}");
        break;
    case HEAD_BOTH:
        text_lit(&t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
        break;
    case HEAD_CUT:
        text_lit(&t, "HTTP/1.1 200 OK\r\nContent-Ty");
        break;
    case HEAD_EARLY:
        text_lit(&t, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        conn_send(c, t.data, t.len);
        text_free(&t);
        return false;
    default:
        return false;
    }
    conn_send(c, t.data, t.len);
    text_free(&t);
    c->step = STEP_CUT;
    return true;
}

static bool fault_before_head(struct conn *c)
{
    if (c->k.hang_head)
        return hold(c);
    if (c->k.reset_head)
        return go(c, STEP_RESET);
    if (c->k.close_head)
        return go(c, STEP_CUT);
    if (broken_head(c))
        return true;
    if (c->k.loading) {
        static const char loading[] = "{\"error\":{\"message\":\"Loading "
                                      "model\",\"type\":\"unavailable_error\",\"code\":503}}";
        reply_simple(c, 503, "application/json", loading, sizeof loading - 1);
        return true;
    }
    if (c->k.redirect || (c->k.status >= 300 && c->k.status < 400)) {
        reply_simple(c, c->k.redirect ? c->k.redirect : c->k.status, "text/plain", "moved\n", 6);
        return true;
    }
    if (c->k.context) {
        payload.len = 0;
        dialect_context_error(c, 9000, 4096, &payload);
        reply_simple(c, 400, "application/json", payload.data, payload.len);
        return true;
    }
    if (c->k.status >= 0) {
        refuse(c, c->k.status, NULL);
        return true;
    }
    if (c->k.html) {
        static const char page[] = "<!doctype html><title>Welcome</title><h1>It works!</h1>\n";
        reply_simple(c, 200, "text/html", page, sizeof page - 1);
        return true;
    }
    if (c->k.empty) {
        reply_simple(c, 200, c->streaming ? dialect_stream_type(c->dialect) : "application/json",
                     "", 0);
        return true;
    }
    return false;
}

static void whole_body(struct conn *c, struct text *t)
{
    words.len = thoughts.len = t->len = 0;
    for (int64_t i = -c->k.reasoning; i < c->events; i++)
        event_text(c, i, i < 0 ? &thoughts : &words);
    if (c->k.error >= 0)
        dialect_error(c->dialect, 500, FORM_DIALECT, NULL, t);
    else
        dialect_whole(c, t, &words, &thoughts);
    if (c->k.malformed >= 0)
        t->len -= t->len / 4;
}

static bool step_stream(struct conn *c);
static bool step_whole(struct conn *c);

static const char *whole_type(const struct conn *c)
{
    return is_ollama(c->dialect) ? "application/json; charset=utf-8" : "application/json";
}

static bool step_head(struct conn *c)
{
    if (wait_until(c, c->due_ns))
        return false;
    if (fault_before_head(c))
        return true;
    wire.len = payload.len = 0;
    if (c->framing == FRAME_CLOSE)
        c->close_after = true;
    if (!c->inference) {
        reply_simple(c, c->other_status, c->other_type, c->other.data, c->other.len);
        text_free(&c->other);
        return true;
    }
    if (c->streaming) {
        head_open(c, &wire, 200, dialect_stream_type(c->dialect), -1);
        text_lit(&wire, "Cache-Control: no-cache\r\n\r\n");
    } else {
        whole_body(c, &c->other);
        head_open(c, &wire, 200, whole_type(c),
                  c->framing == FRAME_LENGTH ? (int64_t)c->other.len : -1);
        text_lit(&wire, "\r\n");
    }
    c->due_ns = now_ns() + (uint64_t)c->k.first_ms * MS;
    c->step = c->streaming ? STEP_STREAM : STEP_WHOLE;
    if (c->k.hang_body) {
        conn_send(c, wire.data, wire.len);
        return hold(c);
    }
    payload.len = 0;
    if (c->streaming) {
        dialect_start(c, &payload);
        frame_payload(c);
    }
    if (c->k.first_ms > 0) {
        conn_send(c, wire.data, wire.len);
        wire.len = 0;
    }
    return c->streaming ? step_stream(c) : step_whole(c);
}

enum { HIT_RESET, HIT_CUT, HIT_CUT_CLEAN, HIT_STALL, HIT_MALFORMED, HIT_ERROR };

static bool hits(struct conn *c, int64_t k, unsigned which)
{
    if (k < 0 || k != c->event || (c->fired & 1u << which))
        return false;
    c->fired |= 1u << which;
    return true;
}

/* The faults that end a stream or make it wait; false: go on. */
static bool fault_in_stream(struct conn *c)
{
    if (hits(c, c->k.reset, HIT_RESET)) {
        conn_send(c, wire.data, wire.len);
        c->due_ns = now_ns() + RESET_WAIT;
        return go(c, STEP_RESET);
    }
    if (hits(c, c->k.cut, HIT_CUT)) {
        conn_send(c, wire.data, wire.len);
        return go(c, STEP_CUT);
    }
    if (hits(c, c->k.cut_clean, HIT_CUT_CLEAN)) {
        reply_end(c);
        return true;
    }
    if (hits(c, c->k.error, HIT_ERROR)) {
        dialect_stream_error(c, &payload);
        if (c->k.error_done)
            dialect_done(c, &payload);
        frame_payload(c);
        reply_end(c);
        return true;
    }
    if (hits(c, c->k.stall, HIT_STALL)) {
        conn_send(c, wire.data, wire.len);
        wire.len = 0;
        if (c->k.stall_ms == 0)
            return hold(c);
        c->due_ns = now_ns() + (uint64_t)c->k.stall_ms * MS;
        return true;
    }
    return false;
}

/* Reasoning and content in turns: r t r t t t. Below 0 it is reasoning, as elsewhere. */
static int64_t mixed_event(const struct conn *c)
{
    int64_t place = c->event + c->k.reasoning;
    int64_t pairs = c->k.reasoning < c->events ? c->k.reasoning : c->events;
    if (place >= 2 * pairs)
        return c->k.reasoning > pairs && place < c->k.reasoning + pairs
                   ? place - pairs - c->k.reasoning
                   : c->event;
    return place % 2 == 0 ? place / 2 - c->k.reasoning : place / 2;
}

/* Reasoning, then text and the steps of calls, in this order or the other. */
static void next_event(struct conn *c)
{
    const struct call_step *step = plan_step(c, c->event);
    if (step) {
        dialect_call(c, &payload, step);
        return;
    }
    bool calls_first = c->plan && c->plan->calls_first;
    int64_t text = c->k.reasoning_mixed && !calls_first ? mixed_event(c) : c->event;
    if (text >= 0 && calls_first)
        text -= (int64_t)c->plan->steps_used;
    words.len = 0;
    event_text(c, text, &words);
    dialect_event(c, &payload, &words, text < 0);
}

/* Comes with `wire` either empty or holding the head; leaves with it sent. */
static bool step_stream(struct conn *c)
{
    const uint64_t gap = (uint64_t)c->k.gap_ms * MS;
    payload.len = 0;
    for (;;) {
        if (wait_until(c, c->due_ns)) {
            conn_send(c, wire.data, wire.len);
            return false;
        }
        if (fault_in_stream(c))
            return true;
        if (hits(c, c->k.malformed, HIT_MALFORMED)) {
            dialect_malformed(c, &payload);
            frame_payload(c);
        }
        if (c->event >= c->total) {
            if (!c->k.no_finish)
                dialect_finish(c, &payload);
            if (!c->k.no_done)
                dialect_done(c, &payload);
            frame_payload(c);
            reply_end(c);
            return true;
        }
        if (c->k.pings) {
            dialect_ping(c, &payload);
            frame_payload(c);
        }
        next_event(c);
        frame_payload(c);
        c->event++;
        stats.events++;
        if (gap > 0) {
            /* On a steady beat, so that a late event does not push the rest; but never in a burst. */
            uint64_t now = now_ns();
            c->due_ns += gap;
            if (c->due_ns + gap < now)
                c->due_ns = now;
        } else if (wire.len > BATCH) {
            conn_send(c, wire.data, wire.len);
            return true;
        }
    }
}

/* The body was made with the head, because its length stands there. */
static bool step_whole(struct conn *c)
{
    if (wait_until(c, c->due_ns))
        return false;
    int64_t k = c->k.reset >= 0 ? c->k.reset : c->k.cut >= 0 ? c->k.cut : c->k.stall;
    size_t n = c->other.len;
    if (k >= 0) {
        n = c->total > 0 ? n * (size_t)k / (size_t)c->total : n / 2;
        if (n >= c->other.len)
            n = c->other.len - 1;
    }
    frame(c, &wire, c->other.data, n);
    if (k < 0) {
        c->event = c->total;
        reply_end(c);
    } else {
        conn_send(c, wire.data, wire.len);
        c->due_ns = now_ns() + RESET_WAIT;
        (void)(c->k.reset >= 0 ? go(c, STEP_RESET) : c->k.cut >= 0 ? go(c, STEP_CUT) : hold(c));
    }
    c->other.len = 0;
    if (c->other.cap > BATCH)
        text_free(&c->other);
    return true;
}

bool reply_step(struct conn *c)
{
    switch (c->step) {
    case STEP_HEAD:
        return step_head(c);
    case STEP_STREAM:
        wire.len = 0;
        return step_stream(c);
    case STEP_WHOLE:
        wire.len = 0;
        return step_whole(c);
    case STEP_RESET:
        if (wait_until(c, c->due_ns))
            return false;
        conn_reset(c);
        return false;
    default:
        conn_finish(c);
        return false;
    }
}
