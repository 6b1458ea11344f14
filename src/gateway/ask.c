/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask - the tools that take a conversation: generate asks a model, classify and explain_route tell what would become of
 * it.
 *
 * The arguments are written as a request of the native door and go its way: what is valid there is valid here, and
 * generate ends in exchange_start() with the caller's key, limits, privacy and ledger row like any other request.
 */
#include "gateway/internal.h"

#define REQUEST_BLOCK  ((size_t)4096)
#define REQUEST_MAX    ((size_t)256 << 20)
#define BODY_MAX       ((size_t)64 << 20)
#define TEXT_MAX       ((size_t)32 << 20)
#define OUTLOOK_MAX    ((size_t)1 << 20)
#define PROGRESS_BYTES 64 /* of text between two notes of progress */

struct asked {
    struct gateway_call *c;
    struct arena
        request;     /* what the arguments were decoded into; goes when the exchange is committed */
    struct buf body; /* the same as JSON text; lives as long */
    struct llm_request r;
    struct exchange_caller caller;
    struct exchange *x;
    struct llm_reply reply;
    size_t told; /* bytes of text at the last note of progress */
    bool over;
};

/* ---- the request ---- */

static const char *const copied[] = {"prompt", "messages",   "system",
                                     "model",  "max_tokens", "temperature"};

/* `args` stands in c->m, or is {}. */
static void put_body(struct gateway_call *c, yyjson_val *args, struct buf *b)
{
    bool first = true;
    strv text;
    buf_put_char(b, '{');
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        if (json_get(args, copied[i]) == NULL ||
            !json_raw_member(&c->m.json, args, copied[i], &text))
            continue;
        json_put_key(b, &first, copied[i]);
        buf_put_strv(b, text);
    }
    json_put_key(b, &first, "metadata");
    first = true;
    buf_put_char(b, '{');
    if (yyjson_get_bool(json_get(args, "private"))) {
        json_put_key(b, &first, "sensitivity");
        buf_put_cstr(b, "\"private\"");
    }
    if (json_get_str(args, "task").len > 0) {
        json_put_key(b, &first, "task");
        json_put_str(b, json_get_str(args, "task"));
    }
    buf_put_cstr(b, "}}");
}

static void fini(struct asked *a)
{
    arena_fini(&a->request);
    buf_fini(&a->body);
    llm_reply_fini(&a->reply);
    a->over = true;
}

/* NULL: the call is over. */
static struct asked *begin(struct gateway_call *c, yyjson_val *args)
{
    struct err err = ERR_INIT;
    struct asked *a = ARENA_NEW(c->arena, struct asked);
    if (a == NULL) {
        gateway_no_memory(c);
        return NULL;
    }
    a->c = c;
    buf_init(&a->body, BODY_MAX);
    arena_init(&a->request, REQUEST_BLOCK, REQUEST_MAX);
    llm_reply_init(&a->reply, TEXT_MAX);
    put_body(c, args, &a->body);
    bool ok = a->body.failed
                  ? err_oom(&err)
                  : dialect_get(LLM_NATIVE)
                        ->decode_request(buf_view(&a->body), LLM_OP_CHAT, &a->request, &a->r, &err);
    a->r.arena = &a->request;
    if (ok && gateway_hints(c, &a->r))
        return a;
    fini(a);
    if (!ok)
        own_refused(c, &err);
    return NULL;
}

/* ---- what would become of it ---- */

static const char *state_of(void *arg, size_t provider)
{
    const struct exchange_env *env = arg;
    struct provider_glance glance;
    provider_look(&env->snapshot->providers[provider], io_now_us(env->loop), &glance);
    return glance.open ? "open" : glance.ill ? "unreachable" : glance.full ? "busy" : "ready";
}

static void outlook(struct gateway_call *c, yyjson_val *args, bool whole)
{
    struct exchange_env *env = c->g->env.exchange;
    struct exchange_states states = {state_of, env};
    const struct exchange_asker asker = {.key = c->caller.holder, .address = c->caller.address};
    struct err err = ERR_INIT;
    struct buf b;
    struct asked *a = begin(c, args);
    if (a == NULL)
        return;
    buf_init(&b, OUTLOOK_MAX);
    struct exchange_outlook *o = ARENA_NEW(&a->request, struct exchange_outlook);
    if (o == NULL)
        err_oom(&err);
    else
        (void)exchange_explain(env, &a->r, &asker, &a->request, o, &err);
    if (o != NULL && o->throttled) {
        own_refused(c, &err);
        buf_fini(&b);
        fini(a);
        return;
    }
    if (err.set && err.code <= 0) { /* no memory: there is nothing to tell */
        b.failed = true;
    } else if (whole) {
        exchange_outlook_json(env->snapshot, o, &err, &states, &b);
    } else {
        exchange_class_json(env->snapshot, o, &err, &b);
    }
    if (b.failed)
        gateway_no_memory(c);
    else
        own_result(c, buf_view(&b), buf_view(&b));
    buf_fini(&b);
    fini(a);
}

void own_classify(struct gateway_call *c, yyjson_val *args)
{
    outlook(c, args, false);
}

void own_explain(struct gateway_call *c, yyjson_val *args)
{
    outlook(c, args, true);
}

/* ---- asking ---- */

static const char *finish_word(enum llm_finish f)
{
    return f == LLM_FINISH_LENGTH ? "length" : f == LLM_FINISH_FILTER ? "refused" : "stop";
}

static void put_answer(const struct asked *a, strv text, struct buf *b)
{
    const struct exchange *x = a->x;
    const struct llm_usage *u = &a->reply.usage;
    bool first = true;
    buf_put_char(b, '{');
    json_put_key(b, &first, "text");
    json_put_str(b, text);
    json_put_key(b, &first, "provider");
    json_put_str(b, strv_of(exchange_provider(x) != NULL ? exchange_provider(x) : ""));
    json_put_key(b, &first, "model");
    json_put_str(b, exchange_model(x).ptr != NULL ? exchange_model(x) : STRV(""));
    json_put_key(b, &first, "private");
    buf_put_cstr(b, exchange_private(x) ? "true" : "false");
    json_put_key(b, &first, "why");
    json_put_str(b, strv_of(exchange_reason(x) != NULL ? exchange_reason(x) : ""));
    if (exchange_task(x).ptr != NULL) {
        json_put_key(b, &first, "task");
        json_put_str(b, exchange_task(x));
    }
    json_put_key(b, &first, "finish_reason");
    json_put_str(b, strv_of(finish_word(a->reply.finish)));
    if (u->input >= 0) {
        json_put_key(b, &first, "input_tokens");
        buf_put_i64(b, u->input);
    }
    if (u->output >= 0) {
        json_put_key(b, &first, "output_tokens");
        buf_put_i64(b, u->output);
    }
    buf_put_char(b, '}');
}

static void put_text(const struct asked *a, struct buf *b)
{
    for (size_t i = 0; i < a->reply.n_parts; i++)
        if (a->reply.parts[i].kind == LLM_PART_TEXT)
            buf_put_strv(b, llm_reply_text(&a->reply, &a->reply.parts[i]));
}

static void sink_begin(void *arg, struct exchange *x, int status, const char *content_type,
                       int64_t length)
{
    struct asked *a = arg;
    a->x = x;
    (void)status;
    (void)content_type;
    (void)length;
}

static void sink_body(void *arg, const char *data, size_t n)
{
    (void)arg;
    (void)data;
    (void)n;
}

static bool sink_event(void *arg, const struct llm_event *ev)
{
    struct asked *a = arg;
    if (!llm_reply_add(&a->reply, ev, a->c->arena))
        return false;
    size_t bytes = llm_reply_bytes(&a->reply, LLM_PART_TEXT);
    if (ev->kind == LLM_EV_TEXT && bytes - a->told >= PROGRESS_BYTES) {
        a->told = bytes;
        gateway_progress(a->c, (double)bytes, -1, STRV_NONE);
    }
    return true;
}

static void sink_end(void *arg)
{
    struct asked *a = arg;
    struct gateway_call *c = a->c;
    struct buf text, whole;
    c->stop = NULL;
    buf_init(&text, TEXT_MAX);
    buf_init(&whole, GATEWAY_ANSWER_MAX);
    put_text(a, &text);
    put_answer(a, buf_view(&text), &whole);
    if (text.failed || whole.failed)
        gateway_no_memory(c);
    else
        own_result(c, buf_view(&text), buf_view(&whole));
    buf_fini(&text);
    buf_fini(&whole);
    fini(a);
}

static void sink_fail(void *arg, struct exchange *x, int error, int status, strv message,
                      strv field, uint64_t retry_after_s)
{
    struct asked *a = arg;
    struct gateway_call *c = a->c;
    (void)x;
    (void)status;
    (void)field;
    (void)retry_after_s;
    c->stop = NULL;
    own_failed(c, message.len > 0 ? message : strv_of(llm_error_row(error)->text));
    fini(a);
}

static void sink_abort(void *arg)
{
    struct asked *a = arg;
    struct gateway_call *c = a->c;
    c->stop = NULL;
    own_failed(c, STRV("The model's answer broke off."));
    fini(a);
}

static size_t sink_pending(void *arg)
{
    (void)arg;
    return 0; /* nothing goes out before its end */
}

static const struct exchange_sink sink = {.begin = sink_begin,
                                          .body = sink_body,
                                          .event = sink_event,
                                          .end = sink_end,
                                          .fail = sink_fail,
                                          .abort = sink_abort,
                                          .pending = sink_pending};

static void stop(struct gateway_call *c)
{
    struct asked *a = c->running;
    if (a->x != NULL && !a->over)
        exchange_caller_gone(a->x);
    fini(a);
}

static void on_committed(void *arg)
{
    struct asked *a = arg;
    arena_fini(&a->request);
    buf_fini(&a->body);
}

void own_generate(struct gateway_call *c, yyjson_val *args)
{
    struct asked *a = begin(c, args);
    if (a == NULL)
        return;
    a->r.stream = true;
    a->r.hide_reasoning = true;
    a->caller = c->caller;
    a->caller.committed = on_committed;
    c->running = a;
    c->stop = stop;
    struct exchange *x = exchange_start(c->g->env.exchange, c->arena, &a->r, &a->caller, &sink, a);
    if (x == NULL && !a->over) {
        c->stop = NULL;
        fini(a);
        gateway_no_memory(c);
    } else if (!a->over)
        a->x = x;
}
