/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp - POST /mcp: the gateway over HTTP, both eras of the protocol on one path.
 *
 *   size > Host, Origin > key > Content-Type > Accept > the gateway, which reads the message
 *
 * A quick answer is JSON with the status that belongs to it. Whatever precedes an answer (progress, log, a question) makes
 * it a stream of events, and so does silence: a proxy in front must see that somebody is there. The answer is the
 * stream's last event. A caller that leaves has cancelled. GET is the stream of a legacy client's session, and 405 without
 * one; DELETE is 405: nothing is kept that could be ended.
 */
#include "api/api_int.h"

#define QUIET_MS 10000 /* until the first sign of life */
#define ALIVE_MS 15000 /* between two */

struct api_mcp {
    struct api *api;
    struct http_request *req;
    struct gateway_message m;
    struct exchange_caller caller;
    struct gateway_call *call; /* NULL once it is over */
    struct io_timer quiet;
    bool stream, over;
};

/* ---- refusals ---- */

bool api_is_mcp(const struct http_request *req)
{
    return strv_eq_cstr(req->path, "/mcp");
}

/* The codes of JSON-RPC are the protocol's; ours is the status. */
void api_mcp_error(struct http_request *req, int status, strv message)
{
    struct buf b;
    buf_init(&b, 8192);
    buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":%d,\"message\":", status);
    json_put_str(&b, message);
    buf_put_cstr(&b, "}}");
    http_reply_whole(req, status, "application/json", b.failed ? STRV("") : buf_view(&b));
    buf_fini(&b);
}

static strv bare_type(strv value)
{
    strv type;
    return strv_cut(&value, ';', &type) ? strv_trim(type) : STRV("");
}

/* Does the caller take answers of both forms? Saying nothing is taking everything. */
static bool accepts(const struct http_request *req)
{
    bool json = false, events = false, said = false;
    for (size_t i = 0; i < req->n_headers; i++) {
        strv list = req->headers[i].value, part;
        if (!strv_eq_nocase(req->headers[i].name, STRV("Accept")))
            continue;
        said = true;
        while (strv_cut(&list, ',', &part)) {
            strv type = bare_type(part);
            bool all = strv_eq_cstr(type, "*/*");
            json = json || all || strv_eq_nocase(type, STRV("application/json")) ||
                   strv_eq_nocase(type, STRV("application/*"));
            events = events || all || strv_eq_nocase(type, STRV("text/event-stream")) ||
                     strv_eq_nocase(type, STRV("text/*"));
        }
    }
    return !said || (json && events);
}

/* ---- the sink ---- */

static void begin_stream(struct api_mcp *m)
{
    if (m->stream)
        return;
    m->stream = true;
    http_reply_header(m->req, "Cache-Control", STRV("no-cache"));
    http_reply_header(m->req, "X-Accel-Buffering", STRV("no"));
    http_reply_begin(m->req, 200, "text/event-stream", HTTP_LENGTH_STREAM);
}

static void on_quiet(void *arg)
{
    static const char alive[] = ": alive\n\n";
    struct api_mcp *m = arg;
    begin_stream(m);
    http_reply_body(m->req, alive, sizeof alive - 1);
    io_timer_start(m->api->env->loop, &m->quiet, ALIVE_MS, on_quiet, m);
}

/* A line end in JSON stands between its parts only, where a blank does as well. */
static void put_event(struct api_mcp *m, strv text)
{
    static const char before[] = "event: message\ndata: ";
    size_t from = 0;
    http_reply_body(m->req, before, sizeof before - 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\n' || text.ptr[i] == '\r') {
            http_reply_body(m->req, text.ptr + from, i - from);
            http_reply_body(m->req, " ", 1);
            from = i + 1;
        }
    http_reply_body(m->req, text.ptr + from, text.len - from);
    http_reply_body(m->req, "\n\n", 2);
}

static void sink_message(void *arg, strv text)
{
    struct api_mcp *m = arg;
    begin_stream(m);
    put_event(m, text);
    io_timer_start(m->api->env->loop, &m->quiet, ALIVE_MS, on_quiet, m);
}

static void over(struct api_mcp *m)
{
    m->over = true;
    m->call = NULL;
    io_timer_stop(m->api->env->loop, &m->quiet);
}

static void sink_answer(void *arg, int status, strv text, strv session)
{
    struct api_mcp *m = arg;
    if (status == 200 && text.len == 0) /* cancelled: nothing is answered */
        begin_stream(m);
    if (m->stream) {
        if (text.len > 0)
            put_event(m, text);
        http_reply_end(m->req);
    } else {
        if (session.ptr != NULL)
            http_reply_header(m->req, "Mcp-Session-Id", session);
        http_reply_header(m->req, "Cache-Control", STRV("no-store"));
        http_reply_whole(m->req, status, text.len > 0 ? "application/json" : NULL, text);
    }
    over(m);
}

static const struct gateway_sink sink = {sink_message, sink_answer};

/* ---- the request ---- */

static void on_gone(struct http_request *req)
{
    struct api_mcp *m = api_state(req)->mcp;
    if (m->call != NULL)
        gateway_gone(m->call);
    over(m);
}

static bool is_fit(struct http_request *req)
{
    strv type = http_request_header(req, "Content-Type");
    if (!strv_eq_nocase(bare_type(type), STRV("application/json")))
        api_mcp_error(req, 415, STRV("Content-Type must be application/json."));
    else if (!accepts(req))
        api_mcp_error(req, 406,
                      STRV("Accept must hold both application/json and text/event-stream."));
    else
        return true;
    return false;
}

static void begin(struct api *api, struct http_request *req, struct api_mcp *m)
{
    const struct api_state *state = api_state(req);
    m->api = api;
    m->req = req;
    m->m = (struct gateway_message){
        .text = req->body, .headers = req->headers, .n_headers = req->n_headers};
    m->caller = (struct exchange_caller){
        .request_id = state->request_id,
        .record_id = state->record_id,
        .key = api_key_id(req),
        .holder = state->key,
        .address = strv_of(req->peer),
        .received_us = req->received_us,
        .bytes_in = (int64_t)req->body.len,
    };
}

/* What a session is told of on its own. */
void api_mcp_stream(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct api_mcp *m = ARENA_NEW(&req->arena, struct api_mcp);
    (void)route;
    if (req->method == HTTP_HEAD || http_request_header(req, "Mcp-Session-Id").ptr == NULL) {
        http_reply_header(req, "Allow", STRV("POST"));
        api_mcp_error(req, 405, STRV("There is no stream without a session."));
        return;
    }
    if (m == NULL || api->gateway == NULL) {
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    begin(api, req, m);
    api_state(req)->mcp = m;
    req->on_gone = on_gone;
    struct gateway_call *call =
        gateway_stream(api->gateway, &req->arena, &m->m, &m->caller, &sink, m);
    if (m->over)
        return;
    m->call = call;
    on_quiet(m); /* it begins at once */
}

void api_mcp(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct api_mcp *m = ARENA_NEW(&req->arena, struct api_mcp);
    (void)route;
    if (m == NULL || api->gateway == NULL) {
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    if (!is_fit(req))
        return;
    begin(api, req, m);
    api_state(req)->mcp = m;
    req->on_gone = on_gone;
    io_timer_start(api->env->loop, &m->quiet, QUIET_MS, on_quiet, m);
    struct gateway_call *call =
        gateway_take(api->gateway, &req->arena, &m->m, &m->caller, &sink, m);
    if (!m->over)
        m->call = call;
}
