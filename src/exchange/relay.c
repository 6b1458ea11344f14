/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - the way back: an upstream's answer becomes the caller's.
 *
 *   bytes -> framer -> frame -> decode -> events -> answer.c -> (encode | collect) -> out()
 *                        |_________________ as it came ____________________________^
 *
 * Four cases, by two questions. Does the upstream answer in frames (`framed`) or whole? Does the caller want
 * a stream (r->stream) or all at once? And where dialect and form are the same on both sides (`pass`) the
 * upstream's own bytes go on and the events are only looked at: until the first frame that a strict client
 * would stumble over. From there the answer is written anew, with the ids and the model it began with.
 *
 * A sink that takes events gets them in place of what would be written, by the same way and at the same time: they wait
 * as bytes (llm/pack.c).
 *
 * out() holds bytes back until commit(): the first content, or the proper end of an answer without any. Until
 * then the caller has seen nothing and another provider may still answer. Nothing here ends the attempt; see
 * exchange_int.h.
 */
#include <assert.h>
#include <string.h>

#include "exchange/exchange_int.h"

bool relay_begin(struct exchange *x)
{
    relay_fini(x);
    x->relaying = true;
    buf_init(&x->hold, x->p->limits.reply_bytes_max * 2 + EX_HOLD_BYTES_MAX);
    buf_init(&x->answer, x->p->limits.reply_bytes_max);
    http_framer_init(&x->framer, x->p->dialect->framing == DIALECT_SSE ? HTTP_SSE : HTTP_NDJSON,
                     x->p->limits.frame_bytes_max);
    llm_reply_init(&x->reply, x->p->limits.reply_bytes_max);
    buf_init(&x->formed, x->p->limits.reply_bytes_max);
    answer_begin(x);
    recall_again(x);
    x->content = x->finished = x->ended = x->framed = false;
    x->up_id = x->up_model = x->unfenced = STRV_NONE;
    x->up_created = 0;
    x->content_bytes = 0;
    x->status = 0;
    x->usage = LLM_USAGE_NONE;
    x->upstream_message = STRV_NONE;
    return true;
}

void relay_fini(struct exchange *x)
{
    if (!x->relaying)
        return;
    x->relaying = false;
    buf_fini(&x->hold);
    buf_fini(&x->answer);
    http_framer_fini(&x->framer);
    llm_reply_fini(&x->reply);
    buf_fini(&x->out.kept);
    buf_fini(&x->formed);
    answer_fini(x);
    outlet_check_fini(&x->check);
}

/* ---- output ---- */

static void begin_out(struct exchange *x)
{
    if (!outlet_begin(&x->out, x->r, x->p->limits.reply_bytes_max, x->env->rng, x->arena,
                      io_wall_us(x->env->loop)))
        exchange_verdict(x, OUTCOME_NO_MEMORY);
    x->out.model = x->model;
    x->out.provider = strv_of(x->p->name);
    if (x->r->stream && x->sink->event == NULL)
        outlet_check_begin(&x->check, x->door, x->r->op);
}

static void send_events(struct exchange *x, strv packed)
{
    struct llm_event ev;
    for (size_t at = 0; at < packed.len && !x->gone && x->verdict < 0;) {
        llm_event_unpack(packed, &at, &ev);
        x->bytes_out += (int64_t)ev.text.len;
        if (!x->sink->event(x->sink_arg, &ev))
            exchange_verdict(x, OUTCOME_NO_MEMORY);
    }
}

static void send_out(struct exchange *x, strv bytes)
{
    if (bytes.len == 0)
        return;
    x->last_out_us = x->entered_us;
    if (x->sink->event != NULL) {
        send_events(x, bytes);
        return;
    }
    outlet_check_bytes(&x->check, bytes);
    x->sink->body(x->sink_arg, bytes.ptr, bytes.len);
    x->bytes_out += (int64_t)bytes.len;
}

/* Where encoded bytes go: held by the exchange before commit, in the worker's common buffer after it. */
static struct buf *out_buf(struct exchange *x)
{
    return x->committed ? &x->env->encoded : &x->hold;
}

/* Sends what was encoded, if it may go. */
static void flush(struct exchange *x)
{
    struct buf *b = out_buf(x);
    if (b->failed)
        exchange_verdict(x, OUTCOME_NO_MEMORY);
    else if (x->committed)
        send_out(x, buf_view(b));
    if (x->committed)
        buf_clear(b);
}

/* The first byte to the caller: from here there is no other provider. */
static void commit(struct exchange *x)
{
    assert(!x->committed && x->r->stream);
    x->committed = true;
    x->sent_status = 200;
    if (x->first_us == 0)
        x->first_us = x->entered_us;
    metric_add(x->env->metrics, METRIC_STREAMS, 0, 1);
    exchange_go(x, EX_STREAM);
    x->sink->begin(x->sink_arg, x, 200, x->door->stream_type, HTTP_LENGTH_STREAM);
    send_out(x, buf_view(&x->hold));
    buf_fini(&x->hold);
    buf_fini(&x->body);
    x->plan = NULL;
    x->judged = NULL;
    x->classified = NULL;
    x->out.r = NULL;
    if (x->caller->committed != NULL)
        x->caller->committed(x->sink_arg);
}

static void set_clock(struct exchange *x)
{
    x->out.total_us = x->entered_us - x->caller->received_us;
    x->out.first_us = (x->first_us > 0 ? x->first_us : x->entered_us) - x->caller->received_us;
}

/* ---- events ---- */

static enum outcome outcome_of_event(const struct llm_event *ev)
{
    switch (ev->error) {
    case 429:
        return OUTCOME_HTTP_429;
    case 503:
    case 529:
        return OUTCOME_HTTP_OVERLOADED;
    default:
        return OUTCOME_ERROR_EVENT;
    }
}

static void content_event(struct exchange *x, const struct llm_event *ev)
{
    struct metrics *m = x->env->metrics;
    unsigned provider = (unsigned)x->p->cell->index;
    x->content_bytes += (int64_t)ev->text.len;
    if (!x->content) {
        x->content = true;
        if (x->first_us == 0)
            x->first_us = x->entered_us;
        metric_observe_us(m, METRIC_FIRST_TOKEN, provider, x->first_us - x->caller->received_us);
    } else {
        metric_observe_us(m, METRIC_BETWEEN_TOKENS, provider, x->entered_us - x->token_us);
    }
    x->token_us = x->entered_us;
}

bool relay_deliver(struct exchange *x, const struct llm_event *ev)
{
    recall_note(x, ev);
    if (!x->r->stream)
        return llm_reply_add(&x->reply, ev, x->arena);
    if (ev->kind == LLM_EV_FINISH || ev->kind == LLM_EV_END) {
        set_clock(x);
        account_describe(x);
    }
    struct buf *b = out_buf(x);
    return x->sink->event != NULL ? llm_event_pack(b, ev) : outlet_event(&x->out, x->door, ev, b);
}

/* Text that must have a form is collected, whoever writes it to the caller. */
static bool collect_form(struct exchange *x, const struct llm_event *ev)
{
    return x->form == LLM_FORMAT_TEXT || ev->choice != 0 || buf_put_strv(&x->formed, ev->text);
}

struct kept_event {
    struct kept_event *next;
    struct llm_event ev;
};

#define KEPT_EVENTS_MAX ((size_t)1 << 17) /* vectors of many texts; else a few */

static void begin_keeping(struct exchange *x)
{
    x->kept = NULL;
    x->kept_end = &x->kept;
    x->n_kept = 0;
}

/* While bytes pass, events wait for the end of their frame: then it is known whether they are needed. Their
 * texts live in the scratch arena, too. */
static bool keep(struct exchange *x, const struct llm_event *ev)
{
    bool few = x->n_kept++ < KEPT_EVENTS_MAX;
    struct kept_event *k = few ? ARENA_NEW(&x->env->scratch, struct kept_event) : NULL;
    if (k == NULL)
        return false;
    k->ev = *ev;
    *x->kept_end = k;
    x->kept_end = &k->next;
    return true;
}

static bool deliver_kept(struct exchange *x)
{
    for (struct kept_event *k = x->kept; k != NULL; k = k->next)
        if (!answer_take(x, &k->ev))
            return false;
    return true;
}

/* Their bytes went on as they came. */
static void recall_kept(struct exchange *x)
{
    for (struct kept_event *k = x->kept; k != NULL; k = k->next)
        recall_note(x, &k->ev);
}

static void note_start(struct exchange *x, const struct llm_event *ev)
{
    if (!x->pass || x->up_id.ptr != NULL)
        return;
    x->up_id = arena_strv(x->arena, ev->text);
    x->up_model = arena_strv(x->arena, ev->model);
    x->up_created = ev->created;
}

/* A stream that does not have its form must fail before its end is told. */
static void note_finish(struct exchange *x, const struct llm_event *ev)
{
    x->finished = true;
    x->finish = ev->finish;
    if (x->r->stream && form_check(x) != FORM_FITS)
        exchange_verdict(x, OUTCOME_BAD_FORMAT);
    if (x->pass && answer_finish(x, ev->choice, ev->finish) != ev->finish)
        x->in.flaw = true;
}

/* Several answers at once: then the upstream's bytes pass, and nothing of them is written anew. */
static bool wants_several(const struct exchange *x)
{
    return x->r->choices > 1 || (x->r->op == LLM_OP_GENERATE && x->r->n_inputs > 1);
}

/* Where an answer has ended there is nothing more of it; to leave it out would look as if all were told. */
static bool is_behind_end(const struct exchange *x, const struct llm_event *ev)
{
    bool content = ev->kind == LLM_EV_TEXT || ev->kind == LLM_EV_REASONING ||
                   ev->kind == LLM_EV_SIGNATURE || ev->kind == LLM_EV_CALL ||
                   ev->kind == LLM_EV_ARGS || ev->kind == LLM_EV_VECTOR;
    return content && x->finished && !wants_several(x);
}

/* What the exchange itself learns from an event. False: the text is too long to be checked. */
static bool note_event(struct exchange *x, const struct llm_event *ev)
{
    switch (ev->kind) {
    case LLM_EV_START:
        note_start(x, ev);
        break;
    case LLM_EV_PING:
    case LLM_EV_SIGNATURE:
    case LLM_EV_CALL_END:
        break;
    case LLM_EV_TEXT:
        content_event(x, ev);
        return collect_form(x, ev);
    case LLM_EV_CALL:
        x->called = true;
        x->called_in[ev->choice / 64 % 2] |= (uint64_t)1 << (ev->choice % 64);
        content_event(x, ev);
        break;
    case LLM_EV_REASONING:
    case LLM_EV_ARGS:
    case LLM_EV_VECTOR:
        content_event(x, ev);
        break;
    case LLM_EV_FINISH:
        note_finish(x, ev);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&x->usage, &ev->usage);
        break;
    case LLM_EV_END:
        x->ended = true;
        if (!x->finished) /* an end mark without a reason: vLLM and LocalAI after an error, Ollama's /v1 */
            exchange_verdict(x, OUTCOME_CUT);
        break;
    case LLM_EV_ERROR:
        exchange_verdict(x, outcome_of_event(ev));
        break;
    }
    return true;
}

static bool take_event(void *arg, const struct llm_event *ev)
{
    struct exchange *x = arg;
    if (x->verdict >= 0)
        return false;
    x->frame_events++;
    if (ev->kind != LLM_EV_USAGE)
        x->frame_only_usage = false;
    if (ev->choice != 0 && ev->kind != LLM_EV_VECTOR && !wants_several(x))
        return true; /* nobody asked for a second answer */
    if (is_behind_end(x, ev)) {
        exchange_verdict(x, OUTCOME_MALFORMED);
        return false;
    }
    bool fits = note_event(x, ev);
    if (x->verdict >= 0)
        return false;
    if (!fits || !(x->pass ? keep(x, ev) : answer_take(x, ev))) {
        exchange_verdict(x, OUTCOME_TOO_LARGE);
        return false;
    }
    return true;
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct exchange *x = arg;
    if (!mask_is_on(x))
        return take_event(x, ev);
    if (x->verdict >= 0)
        return false;
    if (mask_event(x, ev, take_event))
        return true;
    exchange_verdict(x, OUTCOME_TOO_LARGE); /* the first verdict counts */
    return false;
}

/* What passed until now came from the upstream; the caller's encoder goes on where it stands. */
static void write_on(struct exchange *x)
{
    bool begun = x->committed || buf_len(&x->hold) > 0;
    x->pass = false;
    if (!begun)
        return;
    dialect_resume(&x->out, &x->in);
    x->out.id = x->up_id.len > 0 ? x->up_id : x->out.id;
    x->out.model = x->up_model.len > 0 ? x->up_model : x->out.model;
    if (x->up_created > 0)
        x->out.created_us = x->up_created * 1000000;
    x->out.calls = x->n_calls;
    x->out.usage = LLM_USAGE_NONE;
}

/* A frame of a passing stream: on as it came, or written anew from here. */
static void pass_frame(struct exchange *x, const struct http_frame *frame)
{
    bool unasked = x->frame_events > 0 && x->frame_only_usage && !x->r->include_usage &&
                   x->r->dialect == LLM_OPENAI;
    bool flawed = x->in.flaw;
    if (!flawed && x->p->dialect->framing == DIALECT_SSE && frame->data.len > 0)
        flawed = strv_contains_nocase(frame->raw, STRV("data:")) &&
                 !strv_contains_nocase(frame->raw, STRV("data: "));
    if (flawed && !wants_several(x)) {
        write_on(x);
        if (!deliver_kept(x))
            exchange_verdict(x, OUTCOME_NO_MEMORY);
        return;
    }
    for (struct kept_event *k = x->kept; k != NULL; k = k->next)
        x->n_calls += k->ev.kind == LLM_EV_CALL;
    recall_kept(x);
    if (unasked)
        return;
    x->check.on = false;
    if (!x->committed)
        buf_put_strv(&x->hold, frame->raw);
    else
        send_out(x, frame->raw);
}

/* A stream that must have a form and may be asked for again is shown when it is known to be right. */
static bool is_held_back(const struct exchange *x)
{
    return x->form != LLM_FORMAT_TEXT && x->snapshot->repair && !x->finished;
}

static void commit_if_due(struct exchange *x)
{
    if (x->r->stream && !x->committed && (x->content || x->ended) && !is_held_back(x)) {
        if (x->content || x->finished)
            commit(x);
    } else if (!x->committed && !is_held_back(x) && buf_len(&x->hold) > EX_HOLD_BYTES_MAX) {
        exchange_verdict(x, OUTCOME_TOO_LARGE);
    }
}

static bool on_frame(void *arg, const struct http_frame *frame)
{
    struct exchange *x = arg;
    struct err err = ERR_INIT;
    if (x->ended) /* after the end mark there is nothing to say */
        return true;
    x->frame_only_usage = true;
    x->frame_events = 0;
    begin_keeping(x);
    bool ok = x->p->dialect->decode_frame(&x->in, frame->name, frame->data, &err);
    if (!ok || x->verdict >= 0)
        exchange_verdict(x, OUTCOME_MALFORMED);
    else if (x->pass && x->r->stream)
        pass_frame(x, frame);
    arena_reset(&x->env->scratch);
    if (x->verdict < 0)
        commit_if_due(x);
    if (x->committed && !x->pass) /* also what stands before a failure */
        flush(x);
    return x->verdict < 0;
}

/* ---- whole answers ---- */

static void send_whole(struct exchange *x, strv body)
{
    x->committed = true;
    x->sent_status = 200;
    if (x->first_us == 0)
        x->first_us = x->entered_us;
    x->sink->begin(x->sink_arg, x, 200, x->door->json_type,
                   x->sink->event != NULL ? HTTP_LENGTH_STREAM : (int64_t)body.len);
    send_out(x, body);
    x->complete = x->verdict < 0;
}

/* Is the answer one that may go out? It may be asked for again. */
static bool is_acceptable(struct exchange *x)
{
    enum form form = form_check(x);
    if (form == FORM_BAD)
        exchange_verdict(x, OUTCOME_BAD_FORMAT);
    else if (x->bad_call && x->snapshot->repair && x->ask == x->r &&
             x->calls < x->snapshot->attempts_max)
        exchange_verdict(x, OUTCOME_BAD_CALL);
    else if (form == FORM_FENCED && !llm_reply_set_text(&x->reply, x->unfenced))
        exchange_verdict(x, OUTCOME_NO_MEMORY);
    return x->verdict < 0;
}

static bool pack_event(void *arg, const struct llm_event *ev)
{
    return llm_event_pack(arg, ev);
}

static void tell_reply(struct exchange *x)
{
    if (!llm_reply_tell(&x->reply, pack_event, &x->hold))
        exchange_verdict(x, OUTCOME_NO_MEMORY);
    else
        send_whole(x, buf_view(&x->hold));
}

/* Everything was collected and looked at: write the caller's reply. */
static void write_reply(struct exchange *x)
{
    set_clock(x);
    account_describe(x);
    buf_clear(&x->hold);
    if (x->sink->event != NULL)
        tell_reply(x);
    else if (!x->door->encode_reply(&x->out, &x->reply, &x->hold) || x->hold.failed)
        exchange_verdict(x, OUTCOME_NO_MEMORY);
    else
        send_whole(x, buf_view(&x->hold));
}

static void send_reply(struct exchange *x)
{
    if (is_acceptable(x) && !sure_escalates(x))
        write_reply(x);
}

/* A whole body of the caller's own dialect: as it came, unless something in it must be mended. */
static void pass_whole(struct exchange *x)
{
    bool look = (x->in.flaw || x->called || x->form != LLM_FORMAT_TEXT) && !wants_several(x);
    if (look && !deliver_kept(x)) {
        exchange_verdict(x, OUTCOME_NO_MEMORY);
        return;
    }
    if (look && (x->in.flaw || x->altered || form_check(x) != FORM_FITS)) {
        send_reply(x);
        return;
    }
    if (!look)
        recall_kept(x);
    send_whole(x, buf_view(&x->answer));
}

static void on_whole(struct exchange *x)
{
    struct err err = ERR_INIT;
    begin_keeping(x);
    bool ok = x->p->dialect->decode_reply(&x->in, buf_view(&x->answer), &err);
    if (x->verdict >= 0) {
        /* noted already */
    } else if (!ok || !x->finished || !x->ended)
        exchange_verdict(x, ok && !x->content ? OUTCOME_EMPTY : OUTCOME_MALFORMED);
    else if (x->pass && !x->r->stream)
        pass_whole(x);
    else if (!x->r->stream)
        send_reply(x);
    else { /* the upstream answered a wish for a stream all at once */
        commit(x);
        flush(x);
        x->complete = true;
    }
    arena_reset(&x->env->scratch);
}

static void on_error_answer(struct exchange *x)
{
    struct dialect_failure failure = {0};
    if (x->status >= 400)
        x->p->dialect->decode_error(x->status, buf_view(&x->answer), &x->env->scratch, &failure);
    if (failure.message.len > 0)
        x->upstream_message = arena_strv(x->arena, failure.message);
    exchange_verdict(x, outcome_of_status(x->status, &failure));
    arena_reset(&x->env->scratch);
}

/* ---- the upstream's transfer ---- */

static bool type_is(strv type, const char *want)
{
    return strv_contains_nocase(type, strv_of(want));
}

/* Seconds or an HTTP date (RFC 9110 10.2.3). */
static uint64_t retry_after(struct exchange *x, const struct http_answer *answer)
{
    uint64_t n;
    strv ms = http_answer_header(answer, "retry-after-ms");
    strv s = http_answer_header(answer, "retry-after");
    if (ms.ptr != NULL && strv_u64(ms, 0, 86400000, &n))
        return n;
    if (s.ptr == NULL)
        return 0;
    if (strv_u64(s, 0, 86400, &n))
        return n * 1000;
    int64_t at = timefmt_http_date(s.ptr, s.len);
    int64_t wait = at - io_wall_us(x->env->loop) / 1000000;
    return at > 0 && wait > 0 && wait <= 86400 ? (uint64_t)wait * 1000 : 0;
}

/* Where Retry-After is about the provider. On any other status it is about this one request, and must not
 * keep others away. */
static bool is_overload(int status)
{
    return status == 408 || status == 429 || status >= 500;
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct exchange *x = arg;
    exchange_enter(x);
    if (x->state == EX_SEND) /* the answer came before the request was all out */
        exchange_go(x, EX_AWAIT);
    x->sent_us = x->sent_us != 0 ? x->sent_us : x->entered_us;
    exchange_go(x, EX_HOLD);
    x->status = answer->status;
    x->last_us = x->entered_us;
    x->retry_after_ms = is_overload(answer->status) ? retry_after(x, answer) : 0;
    strv type = http_answer_header(answer, "content-type");
    begin_out(x);
    x->in = (struct dialect_in){
        .op = x->up.op,
        .emit = on_event,
        .arg = x,
        .scratch = &x->env->scratch,
        .arena = x->arena,
        .n_inputs = x->r->n_inputs,
        .base64 = x->r->base64,
    };
    if (answer->status >= 300 && answer->status < 400)
        exchange_verdict(x, OUTCOME_REDIRECT);
    else if (answer->status != 200) {
        buf_fini(&x->answer);
        buf_init(&x->answer, EX_ERROR_BODY_MAX);
    } else if (x->up.stream && (type_is(type, "event-stream") || type_is(type, "ndjson"))) {
        x->framed = true;
    } else if (!type_is(type, "json")) {
        exchange_verdict(x, OUTCOME_CONTENT_TYPE);
    } else if (x->up.stream) {
        /* A wish for a stream answered with JSON: lines for Ollama, one whole reply elsewhere. */
        x->framed = x->p->dialect->framing == DIALECT_NDJSON;
        x->pass = x->pass && x->framed;
    }
    exchange_leave(x);
}

static void brake(struct exchange *x)
{
    if (x->state != EX_STREAM || x->paused || x->call == NULL)
        return;
    if (x->sink->pending(x->sink_arg) > x->snapshot->pending_high_bytes) {
        x->paused = true;
        http_call_pause(x->call, true);
    }
}

static void after_frames(struct exchange *x, bool fed)
{
    if (!fed && x->verdict < 0 && !x->ended) /* what stands behind the end mark is nobody's */
        exchange_verdict(x, x->framer.partial.failed ? OUTCOME_TOO_LARGE : OUTCOME_MALFORMED);
    /* What cannot go out must be known now: from EX_FINISH there is no way to another attempt. */
    if (x->verdict < 0 && x->ended && x->state != EX_FINISH && (x->r->stream || is_acceptable(x)))
        exchange_go(x, EX_FINISH);
    brake(x);
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct exchange *x = arg;
    exchange_enter(x);
    if (x->verdict >= 0 || x->gone || x->state == EX_FINISH) {
        /* noted already */
    } else if (x->framed) {
        x->last_us = x->entered_us;
        after_frames(x, http_framer_feed(&x->framer, data, len, on_frame, x));
    } else if (!buf_put(&x->answer, data, len)) {
        if (x->status == 200)
            exchange_verdict(x, OUTCOME_TOO_LARGE);
        /* else: enough of an error's body to understand it */
    }
    exchange_leave(x);
}

/* The answer ended as its transfer announced: is it whole? */
static void on_clean_end(struct exchange *x)
{
    if (x->status != 200) {
        on_error_answer(x);
        return;
    }
    if (!x->framed) {
        on_whole(x);
        return;
    }
    if (!x->ended && x->verdict < 0)
        after_frames(x, http_framer_end(&x->framer, on_frame, x));
    if (x->verdict >= 0)
        return;
    if (!x->ended && x->finished && x->p->dialect->terminator != NULL) {
        metric_add(x->env->metrics, METRIC_TERMINATOR_MISSING, (unsigned)x->p->cell->index, 1);
        x->ended = true;
        if (x->pass && x->r->stream)
            buf_put_cstr(out_buf(x), x->p->dialect->terminator);
        else if (!answer_take(x, &(struct llm_event){.kind = LLM_EV_END}))
            exchange_verdict(x, OUTCOME_NO_MEMORY);
        if (x->r->stream && !x->committed)
            commit(x);
        flush(x);
    }
    if (x->verdict >= 0)
        return;
    if (!x->ended)
        exchange_verdict(x, x->content || x->committed ? OUTCOME_CUT : OUTCOME_EMPTY);
    else
        relay_finish(x);
}

void relay_finish(struct exchange *x)
{
    if (x->r->stream)
        x->complete = true;
    else if (x->state == EX_FINISH)
        write_reply(x);
    else
        send_reply(x);
    arena_reset(&x->env->scratch);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct exchange *x = arg;
    exchange_enter(x);
    x->call = NULL; /* the handle is gone */
    bool clean = how == HTTP_DONE || how == HTTP_DONE_AT_EOF;
    if (x->verdict >= 0 || x->gone) {
        /* noted already */
    } else if (x->state == EX_FINISH) {
        relay_finish(x); /* whole already, whatever became of the connection */
    } else if (clean) {
        on_clean_end(x);
    } else if (x->status != 0 && x->status != 200) {
        on_error_answer(x); /* the status says enough */
    } else {
        exchange_verdict(x, outcome_of_end(how, why, x->status != 0));
    }
    exchange_leave(x);
}

static void on_sent(void *arg, bool reused)
{
    struct exchange *x = arg;
    (void)reused;
    exchange_enter(x);
    if (x->state == EX_SEND) {
        exchange_go(x, EX_AWAIT);
        x->sent_us = x->entered_us;
    }
    exchange_leave(x);
}

/* There is a connection. Not the first one, if a kept one turned out to be dead: what was recorded was the other's. */
void relay_on_ready(void *arg, const char *address)
{
    struct exchange *x = arg;
    exchange_enter(x);
    x->held = true;
    x->recorded = false;
    snprintf(x->address, sizeof x->address, "%s", address);
    record_forget(x);
    if (x->verdict < 0 && !x->gone && x->state != EX_RECORD)
        exchange_go(x, EX_RECORD);
    exchange_leave(x);
}

const struct http_call_ops relay_ops = {on_head, on_body, on_end, on_sent};

/* ---- from the cache ---- */

bool relay_replay_begin(struct exchange *x)
{
    x->pass = false;
    if (!relay_begin(x))
        return false;
    x->content = true;
    begin_out(x);
    return true;
}

void relay_replay(struct exchange *x, const struct llm_event *ev)
{
    if (ev->kind == LLM_EV_USAGE)
        llm_usage_merge(&x->usage, &ev->usage);
    if (ev->kind == LLM_EV_FINISH)
        x->finish = ev->finish;
    x->content_bytes += (int64_t)ev->text.len;
    if (!relay_deliver(x, ev))
        exchange_verdict(x, OUTCOME_NO_MEMORY);
}

void relay_replay_end(struct exchange *x)
{
    x->finished = x->ended = true;
    if (x->r->stream) {
        commit(x);
        flush(x);
        x->complete = x->verdict < 0;
    } else {
        write_reply(x);
    }
}

void relay_give(struct exchange *x, struct llm_reply *reply)
{
    if (!relay_replay_begin(x)) {
        exchange_verdict(x, OUTCOME_NO_MEMORY);
        return;
    }
    llm_reply_fini(&x->reply);
    x->reply = *reply;
    *reply = (struct llm_reply){.n_parts = 0}; /* it is ours to free */
    if (x->verdict < 0)
        relay_replay_end(x);
}

/* ---- from the machine ---- */

void relay_fail_inband(struct exchange *x, int error)
{
    const struct llm_error_row *row = llm_error_row(error);
    x->error = error;
    x->entered_us = io_now_us(x->env->loop);
    if (x->r->stream && x->sink->event == NULL) {
        buf_clear(&x->env->encoded);
        x->door->stream_error(&x->out, error, strv_of(row->text), x->caller->request_id,
                              &x->env->encoded);
        if (x->env->encoded.failed) /* no memory to say so: the transfer that is cut tells it */
            x->check.on = false;
        flush(x);
    }
    if (x->committed)
        outlet_check_end(&x->check, false);
    x->sink->abort(x->sink_arg);
}

void relay_keepalive(struct exchange *x)
{
    int64_t every = (int64_t)x->snapshot->keepalive_ms * 1000;
    if (x->state != EX_STREAM || !x->r->stream || x->paused || every == 0)
        return;
    if (x->entered_us - x->last_out_us >= every)
        send_out(x, strv_of(x->door->keepalive));
}
