/* SPDX-License-Identifier: Apache-2.0 */
#include "api/relay.h"

/* At once in each worker: none of them takes one of the provider's slots. */
#define RELAYS_MAX      64
#define LINE_BYTES_MAX  ((size_t)64 * 1024)
#define ERROR_BYTES_MAX ((size_t)64 * 1024)

struct api_relay {
    struct api *api;
    struct http_request *req;
    struct relay_spec spec;
    struct snapshot *snapshot;
    struct http_call *call;
    struct io_timer silence;
    int64_t begun_us;
    struct http_framer framer;
    struct buf refusal; /* the body of an answer other than 200 */
    int status;         /* 0 = no head yet */
    bool begun;         /* the caller's answer has */
    bool told;          /* a line said how it ended */
    bool good;          /* and it was well */
    bool braked;
};

/* ---- the end ---- */

/* A row of its own, in no sum: no model was asked. */
static void note(const struct api_relay *relay, const char *outcome)
{
    const struct exchange_env *env = relay->api->env;
    int64_t now = io_now_us(env->loop);
    struct ledger_row row = {
        .request_id = api_state(relay->req)->record_id,
        .key = api_key_id(relay->req),
        .door = LLM_OLLAMA,
        .op = relay->spec.op,
        .wall_us = io_wall_us(env->loop),
        .stream = relay->spec.lines,
        .task = STRV_NONE,
        .provider = relay->spec.p->name,
        .local = relay->spec.p->zone == ZONE_LOCAL,
        .usage = LLM_USAGE_NONE,
        .outcome = outcome,
        .status = relay->begun ? 200 : 0,
        .total_us = now - relay->req->received_us,
        .upstream_us = now - relay->begun_us,
        .first_us = -1,
    };
    ledger_note(env->ledger, env->metrics, &row);
}

static void let_go(struct api_relay *relay, const char *outcome)
{
    note(relay, outcome);
    struct api *api = relay->api;
    http_call_cancel(relay->call);
    relay->call = NULL;
    io_timer_stop(api->env->loop, &relay->silence);
    http_framer_fini(&relay->framer);
    buf_fini(&relay->refusal);
    api_state(relay->req)->relay = NULL;
    api->relays--;
    if (relay->spec.event != NULL)
        LOG(api->env->log, LOG_INFO, relay->spec.event,
            LOG_S(REQUEST_ID, api_state(relay->req)->record_id), LOG_C(KEY, api_key_id(relay->req)),
            LOG_C(PROVIDER, relay->spec.p->name), LOG_C(OUTCOME, outcome));
    snapshot_unref(relay->snapshot);
}

static void put_line(struct api_relay *relay, strv message)
{
    struct buf line;
    buf_init(&line, 4096);
    dialect_get(LLM_OLLAMA)
        ->encode_error(LLM_ERR_UPSTREAM_CUT, message, STRV_NONE, STRV_NONE, &line);
    buf_put_char(&line, '\n');
    if (!line.failed)
        http_reply_body(relay->req, buf_view(&line).ptr, buf_len(&line));
    buf_fini(&line);
}

/* status 0 = the error's own; the message may be a view of what let_go() frees. */
static void fail(struct api_relay *relay, enum outcome outcome, int status, strv message)
{
    struct http_request *req = relay->req;
    int error = outcome_row(outcome)->error;
    if (!relay->begun) {
        api_error(req, api_door(req), error, status, message, STRV_NONE,
                  status == 0 && error == LLM_ERR_OVERLOADED ? 1 : 0);
    } else {
        if (relay->spec.lines)
            put_line(relay, message);
        http_reply_abort(req);
    }
    let_go(relay, outcome_row(outcome)->name);
}

static void withhold(struct api_relay *relay)
{
    metric_add(relay->api->env->metrics, METRIC_WITHHELD, 0, 1);
    api_error(relay->req, api_door(relay->req), LLM_ERR_PROVIDER_FORBIDDEN, 0,
              STRV("The model's name would leave the premises, and it may be private."), STRV_NONE,
              0);
    let_go(relay, outcome_row(OUTCOME_WITHHELD)->name);
}

/* The provider's own refusal, in its words. What it thinks of our key is none of the caller's business. */
static void refused(struct api_relay *relay)
{
    const struct dialect *d = relay->spec.p->dialect;
    struct dialect_failure failure = {0};
    int status = relay->status;
    if (status >= 400)
        d->decode_error(status, buf_view(&relay->refusal), &relay->req->arena, &failure);
    enum outcome outcome = outcome_of_status(status, &failure);
    bool callers = status >= 400 && outcome != OUTCOME_AUTH;
    fail(relay, outcome, callers ? status : 0, callers ? failure.message : STRV_NONE);
}

/* ---- what comes ---- */

static void on_silence(void *arg)
{
    struct api_relay *relay = arg;
    fail(relay, relay->status == 0 ? OUTCOME_HEAD_TIMEOUT : OUTCOME_IDLE_TIMEOUT, 0,
         STRV("The provider did not answer in time."));
}

/* A stream begins soon, whatever is silent in it later. */
static void watch(struct api_relay *relay)
{
    uint64_t ms = relay->spec.silence_ms, head_ms = relay->spec.p->limits.head_ms;
    if (relay->spec.lines && relay->status == 0 && head_ms < ms)
        ms = head_ms;
    io_timer_start(relay->api->env->loop, &relay->silence, ms, on_silence, relay);
}

static bool is_json(strv type)
{
    return strv_starts(type, STRV("application/json")) ||
           strv_starts(type, STRV("application/x-ndjson"));
}

static void begin(struct api_relay *relay, const struct http_answer *answer)
{
    struct http_request *req = relay->req;
    uint64_t length = 0;
    bool sized = !relay->spec.lines &&
                 strv_u64(http_answer_header(answer, "Content-Length"), 0, INT64_MAX, &length);
    relay->begun = true;
    http_reply_header(req, "X-LLM-Provider", strv_of(relay->spec.p->name));
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (relay->spec.lines) /* a proxy in front must not collect them */
        http_reply_header(req, "X-Accel-Buffering", STRV("no"));
    http_reply_begin(req, 200,
                     relay->spec.lines ? dialect_get(LLM_OLLAMA)->stream_type
                                       : "application/json; charset=utf-8",
                     sized ? (int64_t)length : HTTP_LENGTH_STREAM);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct api_relay *relay = arg;
    relay->status = answer->status;
    watch(relay);
    if (answer->status == 200 && !is_json(http_answer_header(answer, "Content-Type")))
        fail(relay, OUTCOME_CONTENT_TYPE, 0, STRV_NONE);
    else if (answer->status == 200)
        begin(relay, answer);
}

static bool on_line(void *arg, const struct http_frame *frame)
{
    struct api_relay *relay = arg;
    struct arena *scratch = &relay->api->env->scratch;
    struct json doc;
    struct err err = ERR_INIT;
    bool ok = json_read(&doc, frame->data, scratch, 0, &err);
    if (ok && json_get(doc.root, "error") != NULL)
        relay->told = true;
    if (ok && strv_eq_cstr(json_get_str(doc.root, "status"), "success"))
        relay->told = relay->good = true;
    arena_reset(scratch);
    if (ok)
        http_reply_body(relay->req, frame->raw.ptr, frame->raw.len);
    return ok;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct api_relay *relay = arg;
    if (relay->status != 200) {
        buf_put(&relay->refusal, data, len); /* the beginning is enough to see what it is */
        return;
    }
    watch(relay);
    if (!relay->spec.lines) {
        http_reply_body(relay->req, data, len);
    } else if (!http_framer_feed(&relay->framer, data, len, on_line, relay)) {
        fail(relay, OUTCOME_MALFORMED, 0, STRV("The provider's answer is malformed."));
        return;
    }
    if (http_reply_pending(relay->req) > relay->snapshot->pending_high_bytes) {
        relay->braked = true;
        http_call_pause(relay->call, true);
        io_timer_stop(relay->api->env->loop, &relay->silence);
    }
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct api_relay *relay = arg;
    bool whole = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    relay->call = NULL;
    if (whole && relay->status != 200) {
        refused(relay);
        return;
    }
    if (relay->spec.lines && relay->begun && !relay->told)
        http_framer_end(&relay->framer, on_line, relay);
    /* Lines say for themselves how it ended; nothing else does once the transfer was cut. */
    if (relay->spec.lines ? relay->told : whole) {
        http_reply_end(relay->req);
        let_go(relay,
               outcome_row(relay->spec.lines && !relay->good ? OUTCOME_ERROR_EVENT : OUTCOME_OK)
                   ->name);
    } else if (whole) {
        fail(relay, OUTCOME_CUT, 0, STRV_NONE);
    } else {
        fail(relay, outcome_of_end(how, why, relay->status != 0), 0, STRV_NONE);
    }
}

/* ---- the caller's side ---- */

static void on_gone(struct http_request *req)
{
    struct api_relay *relay = api_state(req)->relay;
    if (relay != NULL)
        let_go(relay, outcome_row(OUTCOME_CALLER_GONE)->name);
}

static void on_drain(struct http_request *req)
{
    struct api_relay *relay = api_state(req)->relay;
    if (relay == NULL || !relay->braked)
        return;
    relay->braked = false;
    watch(relay);
    http_call_pause(relay->call, false);
}

/* ---- the way in ---- */

static struct http_call *call(struct api_relay *relay, bool *withheld)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct arena *arena = &relay->req->arena;
    const struct provider *p = relay->spec.p;
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header, 4);
    size_t n = headers != NULL ? provider_headers(p, arena, headers) : 0;
    struct http_call_spec spec = {.upstream = &p->upstream,
                                  .method = HTTP_POST,
                                  .path = relay->spec.path,
                                  .headers = headers,
                                  .n_headers = n,
                                  .content_type = "application/json",
                                  .body = relay->spec.body};
    /* What only the caller has told is read like any other text before it goes to zone cloud. */
    struct privacy_verdict *found = ARENA_NEW(arena, struct privacy_verdict);
    if (arena->failed)
        return NULL;
    struct exchange_env *env = relay->api->env;
    const struct egress_judge judge = {.detector = env->snapshot->privacy,
                                       .scratch = env->privacy_scratch,
                                       .model = relay->spec.model};
    struct egress_pass pass;
    *withheld =
        egress_seal(&pass, p, relay->spec.leaves, spec.body, &judge, found) == EGRESS_PRIVATE;
    return *withheld || pass.p == NULL
               ? NULL
               : egress_call(env->client, &pass, &spec, &ops, relay, withheld);
}

void relay_start(struct api *api, struct http_request *req, const struct relay_spec *spec)
{
    struct api_relay *relay = ARENA_NEW(&req->arena, struct api_relay);
    if (relay == NULL) {
        api_error(req, api_door(req), LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    if (api->relays >= RELAYS_MAX) {
        api_error(req, api_door(req), LLM_ERR_OVERLOADED, 0, STRV_NONE, STRV_NONE, 1);
        return;
    }
    *relay = (struct api_relay){.api = api, .req = req, .spec = *spec};
    relay->snapshot = snapshot_ref(api->env->snapshot);
    relay->begun_us = io_now_us(api->env->loop);
    http_framer_init(&relay->framer, HTTP_NDJSON, LINE_BYTES_MAX);
    buf_init(&relay->refusal, ERROR_BYTES_MAX);
    api->relays++;
    api_state(req)->relay = relay;
    req->on_gone = on_gone;
    req->on_drain = on_drain;
    bool withheld = false;
    relay->call = call(relay, &withheld);
    if (withheld)
        withhold(relay);
    else if (relay->call == NULL)
        fail(relay, OUTCOME_NO_MEMORY, 0, STRV_NONE);
    else
        watch(relay);
}
