/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate - every door that asks a model: decode the body, start the exchange, be its sink.
 *
 * The call lives in the request's arena, which goes when the reply is over; so does the exchange.
 */
#include "agent/agent.h"
#include "api/api_int.h"

#define REQUEST_BLOCK ((size_t)6144) /* a short body, its verdict and its plan */
#define REQUEST_BASE  ((size_t)256 * 1024)
/* A parsed body takes about four times its size, one of only tiny values up to ten times. */
#define REQUEST_PER_BYTE 12

struct api_call {
    struct api *api;
    struct http_request *req;
    struct arena request; /* what the body was decoded into; goes when the exchange is committed */
    struct llm_request r;
    struct exchange_caller caller;
    struct exchange *x;      /* NULL once it is over */
    struct agent_loop *loop; /* in its place, where tools of MCP servers are used */
    bool over;
    int64_t estimate; /* LLM_OP_COUNT: tokens, should nobody be able to count them */
};

/* ---- the sink ---- */

/* Model and task names may come from the caller's JSON; a header takes visible ASCII only. */
static strv header_text(struct arena *arena, strv text)
{
    char *copy = arena_cstr(arena, text);
    if (copy == NULL)
        return STRV("");
    for (char *c = copy; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    return strv_of(copy);
}

static strv losses_text(struct arena *arena, uint32_t losses)
{
    char *text = NULL;
    for (unsigned bit = 0; bit < DIALECT_LOSSES; bit++)
        if (losses & (1u << bit))
            text = text == NULL ? arena_printf(arena, "%s", dialect_loss_name(bit))
                                : arena_printf(arena, "%s, %s", text, dialect_loss_name(bit));
    return text != NULL ? strv_of(text) : STRV_NONE;
}

/* "6m0s", "1.5s", "20ms": the form in which OpenAI tells when a limit is reset. */
static strv short_time(struct arena *arena, int64_t us)
{
    int64_t ms = (us + 999) / 1000, minutes = ms / 60000, rest = ms % 60000;
    char *text = ms < 1000 ? arena_printf(arena, "%lldms", (long long)ms)
                 : minutes == 0
                     ? arena_printf(arena, "%g", (double)rest / 1000)
                     : arena_printf(arena, "%lldm%g", (long long)minutes, (double)rest / 1000);
    if (text != NULL && ms >= 1000)
        text = arena_printf(arena, "%ss", text);
    return text != NULL ? strv_of(text) : STRV("");
}

static void put_level(struct api_call *c, const struct policy_level *level,
                      const char *const names[3])
{
    struct arena *arena = &c->req->arena;
    if (level->limit == 0)
        return;
    http_reply_header(c->req, names[0], arena_decimal(arena, level->limit));
    http_reply_header(c->req, names[1], arena_decimal(arena, level->remaining));
    if (c->r.dialect == LLM_ANTHROPIC) {
        char text[TIMEFMT_MAX];
        int64_t at = io_wall_us(c->api->env->loop) + level->reset_us + 999999;
        strv when = {text, timefmt_rfc3339(text, at, 0)}; /* never too early */
        http_reply_header(c->req, names[2], arena_strv(arena, when));
    } else {
        http_reply_header(c->req, names[2], short_time(arena, level->reset_us));
    }
}

/* What the vendors' clients read (openai.md 1, anthropic.md 8); Ollama has none, and gets OpenAI's. */
static void put_limits(struct api_call *c, const struct exchange *x)
{
    static const char *const names[2][2][3] = {
        {{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
          "x-ratelimit-reset-requests"},
         {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}},
        {{"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
          "anthropic-ratelimit-requests-reset"},
         {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
          "anthropic-ratelimit-tokens-reset"}},
    };
    struct policy_level requests, tokens;
    bool anthropic = c->r.dialect == LLM_ANTHROPIC;
    exchange_levels(x, &requests, &tokens);
    put_level(c, &requests, names[anthropic][0]);
    put_level(c, &tokens, names[anthropic][1]);
}

/* Only where the cache was asked at all. */
static void put_recalled(struct http_request *req, const struct exchange *x)
{
    bool hit;
    int64_t age_us;
    if (!exchange_recalled(x, &hit, &age_us))
        return;
    http_reply_header(req, "X-LLM-Cache", hit ? STRV("hit") : STRV("miss"));
    if (hit)
        http_reply_header(req, "Age", arena_decimal(&req->arena, age_us / 1000000));
}

/* A number as RFC 9651 has it, with a parameter where it is less than it should be. */
static void put_confidence(struct http_request *req, const struct exchange *x)
{
    double least;
    bool unsure;
    const char *text = NULL;
    if (exchange_sure(x, &least, &unsure))
        text = arena_printf(&req->arena, "%.3f%s", least, unsure ? ";unsure" : "");
    if (text != NULL)
        http_reply_header(req, "X-LLM-Confidence", strv_of(text));
}

static void put_route_headers(struct http_request *req, const struct exchange *x)
{
    if (exchange_provider(x) != NULL) {
        http_reply_header(req, "X-LLM-Provider", strv_of(exchange_provider(x)));
        http_reply_header(req, "X-LLM-Model", header_text(&req->arena, exchange_model(x)));
    }
    if (exchange_task(x).ptr != NULL)
        http_reply_header(req, "X-LLM-Task", header_text(&req->arena, exchange_task(x)));
    if (exchange_reason(x) != NULL)
        http_reply_header(req, "X-LLM-Reason",
                          header_text(&req->arena, strv_of(exchange_reason(x))));
    http_reply_header(req, "X-LLM-Private", exchange_private(x) ? STRV("yes") : STRV("no"));
    http_reply_header(req, "X-LLM-Attempts",
                      arena_decimal(&req->arena, (int64_t)exchange_attempts(x)));
    put_confidence(req, x);
    strv losses = losses_text(&req->arena, exchange_losses(x));
    if (losses.ptr != NULL)
        http_reply_header(req, "X-LLM-Dropped", losses);
}

static void put_counts(struct api_call *c)
{
    unsigned rounds, calls;
    if (c->loop == NULL)
        return;
    agent_counts(c->loop, &rounds, &calls);
    http_reply_header(c->req, "X-LLM-Rounds", arena_decimal(&c->req->arena, rounds));
    http_reply_header(c->req, "X-LLM-Tool-Calls", arena_decimal(&c->req->arena, calls));
    if (agent_absent(c->loop) != NULL)
        http_reply_header(c->req, "X-LLM-Tools-Missing",
                          header_text(&c->req->arena, strv_of(agent_absent(c->loop))));
}

static void sink_begin(void *arg, struct exchange *x, int status, const char *content_type,
                       int64_t length)
{
    struct api_call *c = arg;
    put_route_headers(c->req, x);
    put_limits(c, x);
    put_recalled(c->req, x);
    put_counts(c);
    if (exchange_private(x)) {
        http_reply_header(c->req, "Cache-Control", STRV("no-store"));
        http_reply_header(c->req, "X-Contains-PHI", STRV("true")); /* the scheduler's own name */
    } else if (length == HTTP_LENGTH_STREAM)
        http_reply_header(c->req, "Cache-Control", STRV("no-cache"));
    if (length == HTTP_LENGTH_STREAM) /* a proxy in front must not collect events */
        http_reply_header(c->req, "X-Accel-Buffering", STRV("no"));
    http_reply_begin(c->req, status, content_type, length);
}

static void sink_body(void *arg, const char *data, size_t n)
{
    struct api_call *c = arg;
    http_reply_body(c->req, data, n);
}

static void sink_over(struct api_call *c)
{
    c->over = true;
    c->x = NULL;
    c->loop = NULL;
    arena_fini(&c->request);
}

static void sink_end(void *arg)
{
    struct api_call *c = arg;
    http_reply_end(c->req);
    sink_over(c);
}

static void sink_abort(void *arg)
{
    struct api_call *c = arg;
    http_reply_abort(c->req);
    sink_over(c);
}

/* Tokens were to be counted, and nobody can: the local servers' interfaces have no such call, or the provider
 * is not there, or the text may not leave the house. The estimate is too high rather than too low, because
 * its readers decide by it what still fits. */
static bool is_uncounted(const struct api_call *c, int error)
{
    return c->r.op == LLM_OP_COUNT &&
           (error == LLM_ERR_UNSUPPORTED || error == LLM_ERR_PROVIDER_FORBIDDEN ||
            llm_error_row(error)->retry);
}

static void reply_estimate(struct api_call *c)
{
    char body[48];
    int n = snprintf(body, sizeof body, "{\"input_tokens\":%lld}", (long long)c->estimate);
    http_reply_header(c->req, "X-LLM-Estimated", STRV("input_tokens"));
    http_reply_whole(c->req, 200, "application/json", (strv){body, (size_t)n});
}

static void sink_fail(void *arg, struct exchange *x, int error, int status, strv message,
                      strv field, uint64_t retry_after_s)
{
    struct api_call *c = arg;
    if (x != NULL) {
        put_route_headers(c->req, x);
        put_limits(c, x);
        put_counts(c);
    }
    if (is_uncounted(c, error))
        reply_estimate(c);
    else
        api_error(c->req, c->r.dialect, error, status, message, field, retry_after_s);
    sink_over(c);
}

static size_t sink_pending(void *arg)
{
    struct api_call *c = arg;
    return http_reply_pending(c->req);
}

static const struct exchange_sink sink = {.begin = sink_begin,
                                          .body = sink_body,
                                          .end = sink_end,
                                          .fail = sink_fail,
                                          .abort = sink_abort,
                                          .pending = sink_pending};

/* ---- the caller's side ---- */

static void on_gone(struct http_request *req)
{
    struct api_call *c = api_state(req)->call;
    if (c->x != NULL)
        exchange_caller_gone(c->x);
    if (c->loop != NULL)
        agent_caller_gone(c->loop);
    sink_over(c);
}

static void on_drain(struct http_request *req)
{
    struct api_call *c = api_state(req)->call;
    if (c->x != NULL)
        exchange_proceed(c->x);
    if (c->loop != NULL)
        agent_proceed(c->loop);
}

static void on_committed(void *arg)
{
    struct api_call *c = arg;
    arena_fini(&c->request);
    http_request_drop_body(c->req);
}

/* ---- the way in ---- */

/* Cache-Control of the request; what a proxy adds counts as well. */
static bool wants(const struct http_request *req, const char *word)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        strv list = req->headers[i].value, part;
        if (!strv_eq_nocase(req->headers[i].name, STRV("Cache-Control")))
            continue;
        while (strv_cut(&list, ',', &part))
            if (strv_eq_nocase(strv_trim(part), strv_of(word)))
                return true;
    }
    return false;
}

/* Refuses tools of servers where there are none. */
static bool check_tools(const struct api *api, const struct llm_request *r, struct err *err)
{
    return r->n_mcp == 0 || api->agent != NULL ||
           err_field(err, LLM_ERR_UNSUPPORTED, "tools", "tools: no tool servers are configured");
}

/* What the request came for. False: no memory, and nobody was told. */
static bool begin(struct api_call *c)
{
    struct agent_env *agent = c->api->agent;
    if (agent != NULL && agent_wanted(agent, &c->r, c->caller.holder)) {
        struct agent_loop *l = agent_start(agent, &c->req->arena, &c->r, &c->caller, &sink, c);
        c->loop = c->over ? NULL : l;
        return l != NULL;
    }
    struct exchange *x = exchange_start(c->api->env, &c->req->arena, &c->r, &c->caller, &sink, c);
    c->x = c->over ? NULL : x;
    return x != NULL;
}

void api_generate(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct api_call *c = ARENA_NEW(&req->arena, struct api_call);
    if (c == NULL) {
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    c->api = api;
    c->req = req;
    const struct dialect *d = dialect_get(route->door);
    arena_init(&c->request, REQUEST_BLOCK, REQUEST_BASE + REQUEST_PER_BYTE * req->body.len);
    if (!d->decode_request(req->body, route->op, &c->request, &c->r, &err) ||
        !api_hints(&c->r, req, &err) || !check_tools(api, &c->r, &err)) {
        api_refuse(api, req, route->door, &err);
        arena_fini(&c->request);
        return;
    }
    c->r.arena = &c->request;
    c->r.stream = c->r.stream || route->stream;
    if (route->op == LLM_OP_COUNT) {
        c->r.needs |= LLM_NEED_COUNT;
        c->estimate = llm_request_estimate_tokens(&c->r);
    }
    c->caller = (struct exchange_caller){
        .request_id = api_state(req)->request_id,
        .record_id = api_state(req)->record_id,
        .key = api_key_id(req),
        .holder = api_state(req)->key,
        .address = strv_of(req->peer),
        .no_store = wants(req, "no-store"),
        .no_cache = wants(req, "no-cache"),
        .received_us = req->received_us,
        .bytes_in = (int64_t)req->body.len,
        .committed = on_committed,
    };
    api_state(req)->call = c;
    req->on_gone = on_gone;
    req->on_drain = on_drain;
    if (!begin(c)) {
        api_error(req, route->door, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        sink_over(c);
    }
}
