/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses - OpenAI's /v1/responses, the answer. A door only: upstreams are asked by chat completions.
 *
 *   START      response.created, response.in_progress
 *   REASONING  an item of type reasoning    added, part added, delta ..., text done, part done, item done
 *   TEXT       an item of type message      the same, in other words
 *   CALL       an item function_call        added, arguments delta ..., arguments done, item done
 *   FINISH     the open item is closed
 *   END        response.completed, or response.incomplete
 *
 * Text behind a call opens a new message. Every item is told three times: in pieces, as a whole when it is
 * done, and in the last event with all others. So it is kept as JSON text from its first piece on:
 *
 *   st->kept    | echo of the request | item , item , | {"id":...,"content":[{..."text":"Hel |
 *               0                  echo_len        open_at            part_at       text_at
 *
 * Reasoning is a list of reasoning_text; of summary_text, if the caller asked for a summary.
 */
#include "dialect/responses.h"

#include <stdio.h>

#define PUT(out, literal) buf_put_strv(out, STRV(literal))

#define ID_PREFIX "resp_"

/* ---- ids ---- */

static void make_id(struct rng *rng, char out[64])
{
    memcpy(out, ID_PREFIX, sizeof ID_PREFIX - 1);
    rng_text(rng, out + sizeof ID_PREFIX - 1, 32);
}

/* The ids of items are the answer's own with another beginning and their number behind. */
static void put_id(const struct dialect_out *st, const char *prefix, struct buf *out)
{
    bool own = strv_starts(st->id, STRV(ID_PREFIX));
    buf_put_char(out, '"');
    buf_put_cstr(out, prefix);
    json_put_esc(out, strv_from(st->id, own ? sizeof ID_PREFIX - 1 : 0));
    buf_put_i64(out, st->blocks);
    buf_put_char(out, '"');
}

static const char *id_prefix(const struct dialect_out *st)
{
    return st->block_kind == LLM_PART_CALL        ? "fc_"
           : st->block_kind == LLM_PART_REASONING ? "rs_"
                                                  : "msg_";
}

/* ---- the response object ---- */

/* What was asked is said again; for what was not, what holds then. */
static void put_echo(const struct llm_request *r, struct buf *out)
{
    static const struct {
        const char *name, *otherwise;
    } rows[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"prompt_cache_key", "null"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"safety_identifier", "null"},
        {"service_tier", "\"default\""},
        {"temperature", "1"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"top_p", "1"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        strv own = STRV("null");
        if (r != NULL)
            json_raw_member(&r->body, r->body.root, rows[i].name, &own);
        bool first = false;
        json_put_key(out, &first, rows[i].name);
        buf_put_strv(out, strv_eq_cstr(own, "null") ? strv_of(rows[i].otherwise) : own);
    }
    PUT(out, ",\"background\":false,\"previous_response_id\":null,\"store\":false");
}

static void put_usage(const struct dialect_out *st, const struct llm_usage *u, struct buf *out)
{
    if (u->input < 0 && u->output < 0) { /* nobody counted; nothing is made up */
        PUT(out, ",\"usage\":null");
        return;
    }
    int64_t input = u->input >= 0 ? u->input : st->input_estimate;
    int64_t output = u->output >= 0 ? u->output : (int64_t)(st->output_bytes / 4 + 1);
    PUT(out, ",\"usage\":{\"input_tokens\":");
    buf_put_i64(out, input);
    PUT(out, ",\"input_tokens_details\":{\"cached_tokens\":");
    buf_put_i64(out, u->cached >= 0 ? u->cached : 0);
    PUT(out, ",\"cache_write_tokens\":");
    buf_put_i64(out, u->cache_write >= 0 ? u->cache_write : 0);
    PUT(out, "},\"output_tokens\":");
    buf_put_i64(out, output);
    PUT(out, ",\"output_tokens_details\":{\"reasoning_tokens\":");
    buf_put_i64(out, u->reasoning >= 0 ? u->reasoning : 0);
    PUT(out, "},\"total_tokens\":");
    buf_put_i64(out, input + output);
    PUT(out, "}");
}

static const char *incomplete_reason(enum llm_finish finish)
{
    return finish == LLM_FINISH_LENGTH   ? "max_output_tokens"
           : finish == LLM_FINISH_FILTER ? "content_filter"
                                         : NULL;
}

/* status NULL: over, by its finish. */
static void put_response(const struct dialect_out *st, const char *status, struct buf *out)
{
    const char *reason = status == NULL ? incomplete_reason(st->finish) : NULL;
    strv kept = buf_view(&st->kept);
    PUT(out, "{\"id\":");
    json_put_str(out, st->id);
    PUT(out, ",\"object\":\"response\",\"created_at\":");
    buf_put_i64(out, st->created_us / 1000000);
    PUT(out, ",\"status\":\"");
    buf_put_cstr(out, status != NULL ? status : reason != NULL ? "incomplete" : "completed");
    PUT(out, "\",\"error\":null,\"incomplete_details\":");
    if (reason != NULL) {
        PUT(out, "{\"reason\":\"");
        buf_put_cstr(out, reason);
        PUT(out, "\"}");
    } else {
        PUT(out, "null");
    }
    PUT(out, ",\"model\":");
    json_put_str(out, st->model);
    PUT(out, ",\"output\":[");
    buf_put_strv(out, (strv){kept.ptr + st->echo_len, st->open_at - st->echo_len});
    PUT(out, "]");
    buf_put_strv(out, (strv){kept.ptr, st->echo_len});
    if (status == NULL)
        put_usage(st, &st->usage, out);
    else
        PUT(out, ",\"usage\":null");
    PUT(out, "}");
}

/* ---- items, as they are kept ---- */

static void begin_part(struct dialect_out *st)
{
    struct buf *kept = &st->kept;
    st->part_at = buf_len(kept);
    if (st->block_kind == LLM_PART_TEXT)
        PUT(kept, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"");
    else
        buf_put_cstr(kept, st->as_summary ? "{\"type\":\"summary_text\",\"text\":\""
                                          : "{\"type\":\"reasoning_text\",\"text\":\"");
}

/* The open item up to the place of its text. */
static void begin_item(struct dialect_out *st, enum llm_part_kind kind, const struct llm_event *ev)
{
    struct buf *kept = &st->kept;
    st->block_open = true;
    st->block_kind = (int)kind;
    st->open_at = buf_len(kept);
    PUT(kept, "{\"id\":");
    put_id(st, id_prefix(st), kept);
    if (kind == LLM_PART_CALL) {
        PUT(kept, ",\"type\":\"function_call\",\"call_id\":");
        if (ev->id.len > 0)
            json_put_str(kept, ev->id);
        else
            put_id(st, "call_", kept);
        PUT(kept, ",\"name\":");
        json_put_str(kept, ev->name);
        PUT(kept, ",\"arguments\":\"");
    } else if (kind == LLM_PART_REASONING) {
        buf_put_cstr(kept, st->as_summary ? ",\"type\":\"reasoning\",\"summary\":["
                                          : ",\"type\":\"reasoning\",\"summary\":[],\"content\":[");
        begin_part(st);
    } else {
        PUT(kept, ",\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
        begin_part(st);
    }
    st->text_at = buf_len(kept);
}

static strv kept_from(const struct dialect_out *st, size_t from)
{
    return strv_from(buf_view(&st->kept), from);
}

/* Closes text and part. */
static void end_part(struct dialect_out *st)
{
    PUT(&st->kept, "\"");
    if (st->block_kind != LLM_PART_CALL)
        PUT(&st->kept, "}");
}

static void end_item(struct dialect_out *st, const char *status)
{
    buf_put_cstr(&st->kept, st->block_kind != LLM_PART_CALL ? "],\"status\":\"" : ",\"status\":\"");
    buf_put_cstr(&st->kept, status);
    PUT(&st->kept, "\"}");
}

/* It is one of the finished now; the next one begins behind a comma. */
static void settle_item(struct dialect_out *st)
{
    st->block_open = false;
    st->blocks++;
    st->open_at = buf_len(&st->kept);
}

static void separate(struct dialect_out *st)
{
    if (st->blocks > 0)
        PUT(&st->kept, ",");
}

/* ---- events ---- */

static void put_event(struct dialect_out *st, const char *type, struct buf *out)
{
    PUT(out, "event: ");
    buf_put_cstr(out, type);
    PUT(out, "\ndata: {\"type\":\"");
    buf_put_cstr(out, type);
    PUT(out, "\",\"sequence_number\":");
    buf_put_i64(out, st->sequence++);
}

static void put_event_end(struct buf *out)
{
    PUT(out, "}\n\n");
}

static void put_response_event(struct dialect_out *st, const char *type, const char *status,
                               struct buf *out)
{
    put_event(st, type, out);
    PUT(out, ",\"response\":");
    put_response(st, status, out);
    put_event_end(out);
}

/* Which item, and which of its parts: there is only one. */
static void put_place(const struct dialect_out *st, struct buf *out)
{
    PUT(out, ",\"item_id\":");
    put_id(st, id_prefix(st), out);
    PUT(out, ",\"output_index\":");
    buf_put_i64(out, st->blocks);
    if (st->block_kind == LLM_PART_CALL)
        return;
    if (st->block_kind == LLM_PART_REASONING && st->as_summary)
        PUT(out, ",\"summary_index\":0");
    else
        PUT(out, ",\"content_index\":0");
}

/* Names of the events of an item's text, by what it is. */
enum moment { PART_ADDED, DELTA, TEXT_DONE, PART_DONE };

static const char *event_name(const struct dialect_out *st, enum moment m)
{
    static const char *const names[4][4] = {
        {"response.content_part.added", "response.output_text.delta", "response.output_text.done",
         "response.content_part.done"},
        {"response.content_part.added", "response.reasoning_text.delta",
         "response.reasoning_text.done", "response.content_part.done"},
        {"response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
         "response.reasoning_summary_text.done", "response.reasoning_summary_part.done"},
        {"", "response.function_call_arguments.delta", "response.function_call_arguments.done", ""},
    };
    size_t row = st->block_kind == LLM_PART_CALL        ? 3
                 : st->block_kind != LLM_PART_REASONING ? 0
                 : st->as_summary                       ? 2
                                                        : 1;
    return names[row][m];
}

/* The item before it has anything: its kept beginning, closed. */
static void put_added(struct dialect_out *st, struct buf *out)
{
    strv whole = kept_from(st, st->open_at);
    bool call = st->block_kind == LLM_PART_CALL;
    put_event(st, "response.output_item.added", out);
    PUT(out, ",\"output_index\":");
    buf_put_i64(out, st->blocks);
    PUT(out, ",\"item\":");
    buf_put_strv(out, (strv){whole.ptr, call ? whole.len : st->part_at - st->open_at});
    buf_put_cstr(out, call ? "\",\"status\":\"in_progress\"}" : "],\"status\":\"in_progress\"}");
    put_event_end(out);
    if (call)
        return;
    put_event(st, event_name(st, PART_ADDED), out);
    put_place(st, out);
    PUT(out, ",\"part\":");
    buf_put_strv(out, kept_from(st, st->part_at));
    PUT(out, "\"}");
    put_event_end(out);
}

static void put_delta(struct dialect_out *st, strv text, struct buf *out)
{
    size_t from = buf_len(&st->kept);
    json_put_esc(&st->kept, text);
    if (st->kept.failed)
        return;
    put_event(st, event_name(st, DELTA), out);
    put_place(st, out);
    PUT(out, ",\"delta\":\"");
    buf_put_strv(out, kept_from(st, from));
    buf_put_cstr(out, st->block_kind == LLM_PART_TEXT ? "\",\"logprobs\":[]" : "\"");
    put_event_end(out);
}

static void put_text_done(struct dialect_out *st, struct buf *out)
{
    put_event(st, event_name(st, TEXT_DONE), out);
    put_place(st, out);
    buf_put_cstr(out, st->block_kind == LLM_PART_CALL ? ",\"arguments\":\"" : ",\"text\":\"");
    buf_put_strv(out, kept_from(st, st->text_at));
    buf_put_cstr(out, st->block_kind == LLM_PART_TEXT ? "\",\"logprobs\":[]" : "\"");
    put_event_end(out);
}

static void close_item(struct dialect_out *st, const char *status, struct buf *out)
{
    if (!st->block_open)
        return;
    put_text_done(st, out);
    end_part(st);
    if (st->block_kind != LLM_PART_CALL) {
        put_event(st, event_name(st, PART_DONE), out);
        put_place(st, out);
        PUT(out, ",\"part\":");
        buf_put_strv(out, kept_from(st, st->part_at));
        put_event_end(out);
    }
    end_item(st, status);
    put_event(st, "response.output_item.done", out);
    PUT(out, ",\"output_index\":");
    buf_put_i64(out, st->blocks);
    PUT(out, ",\"item\":");
    buf_put_strv(out, kept_from(st, st->open_at));
    put_event_end(out);
    settle_item(st);
}

static void open_item(struct dialect_out *st, enum llm_part_kind kind, const struct llm_event *ev,
                      struct buf *out)
{
    close_item(st, "completed", out);
    separate(st);
    begin_item(st, kind, ev);
    put_added(st, out);
}

static void add_text(struct dialect_out *st, enum llm_part_kind kind, const struct llm_event *ev,
                     struct buf *out)
{
    if (ev->text.len == 0 || ev->redacted)
        return;
    if (!st->block_open || st->block_kind != (int)kind)
        open_item(st, kind, ev, out);
    st->output_bytes += ev->text.len;
    put_delta(st, ev->text, out);
}

static void end_call(struct dialect_out *st, struct buf *out)
{
    if (!st->block_open || st->block_kind != LLM_PART_CALL)
        return;
    if (buf_len(&st->kept) == st->text_at) /* no arguments are an empty object */
        put_delta(st, STRV("{}"), out);
    close_item(st, "completed", out);
}

static void prepare(struct dialect_out *st)
{
    const struct llm_request *r = st->r;
    st->started = true;
    st->usage = LLM_USAGE_NONE;
    yyjson_val *reasoning = r != NULL ? json_get(r->body.root, "reasoning") : NULL;
    st->as_summary =
        json_get(reasoning, "summary") != NULL || json_get(reasoning, "generate_summary") != NULL;
    put_echo(r, &st->kept);
    st->echo_len = st->open_at = buf_len(&st->kept);
}

static void begin(struct dialect_out *st, struct buf *out)
{
    if (st->started)
        return;
    prepare(st);
    put_response_event(st, "response.created", "in_progress", out);
    put_response_event(st, "response.in_progress", "in_progress", out);
}

/* An answer that says nothing is an empty message, not an empty list: clients look at the first item. */
static void finish(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    const char *reason = incomplete_reason(ev->finish);
    st->finish = ev->finish;
    if (st->blocks == 0 && !st->block_open)
        open_item(st, LLM_PART_TEXT, ev, out);
    close_item(st, reason != NULL ? "incomplete" : "completed", out);
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    int64_t sequence = st->sequence;
    if (st->finished || ev->kind == LLM_EV_ERROR || ev->kind == LLM_EV_PING || ev->choice != 0)
        return !out->failed; /* a failed stream is ended by stream_error() */
    begin(st, out);
    switch (ev->kind) {
    case LLM_EV_TEXT:
        add_text(st, LLM_PART_TEXT, ev, out);
        break;
    case LLM_EV_REASONING:
        add_text(st, LLM_PART_REASONING, ev, out);
        break;
    case LLM_EV_CALL:
        open_item(st, LLM_PART_CALL, ev, out);
        break;
    case LLM_EV_ARGS:
        if (ev->text.len > 0 && st->block_open && st->block_kind == LLM_PART_CALL)
            put_delta(st, ev->text, out);
        break;
    case LLM_EV_CALL_END:
        end_call(st, out);
        break;
    case LLM_EV_FINISH:
        finish(st, ev, out);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        put_response_event(st,
                           incomplete_reason(st->finish) != NULL ? "response.incomplete"
                                                                 : "response.completed",
                           NULL, out);
        st->finished = true;
        break;
    case LLM_EV_SIGNATURE: /* another vendor's; nobody could send it back */
    case LLM_EV_VECTOR:
    case LLM_EV_START:
    case LLM_EV_ERROR:
    case LLM_EV_PING:
        break;
    }
    if (!out->failed && !st->kept.failed)
        return true;
    st->sequence = sequence; /* these events will not be sent */
    return false;
}

/* ---- whole answers ---- */

static void keep_part(struct dialect_out *st, const struct llm_reply *reply,
                      const struct llm_reply_part *p, const char *status)
{
    struct llm_event ev = {.id = p->id, .name = p->name};
    separate(st);
    begin_item(st, p->kind, &ev);
    json_put_esc(&st->kept, llm_reply_text(reply, p));
    end_part(st);
    end_item(st, status);
    settle_item(st);
    st->output_bytes += p->len;
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    static const struct llm_reply_part nothing = {.kind = LLM_PART_TEXT};
    prepare(st);
    st->finish = reply->finish;
    const char *last = incomplete_reason(reply->finish) != NULL ? "incomplete" : "completed";
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->redacted || (p->kind != LLM_PART_CALL && p->len == 0))
            continue;
        keep_part(st, reply, p, i + 1 == reply->n_parts ? last : "completed");
    }
    if (st->blocks == 0)
        keep_part(st, reply, &nothing, last);
    st->usage = reply->usage;
    put_response(st, NULL, out);
    return !out->failed && !st->kept.failed;
}

/* ---- errors ---- */

static void encode_error(int code, strv message, strv field, strv request_id, struct buf *out)
{
    dialect_openai.encode_error(code, message, field, request_id, out);
}

/* The documented event is flat, the vendor's own servers nest it, and clients look for either: both. */
static void stream_error(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out)
{
    const struct llm_error_row *row = llm_error_row(code);
    struct buf nested;
    if (message.len == 0)
        message = strv_of(row->text);
    message.len = utf8_whole(message);
    st->finished = true;
    put_event(st, "error", out);
    PUT(out, ",\"code\":");
    json_put_str(out, strv_of(row->openai_code != NULL ? row->openai_code : row->code));
    PUT(out, ",\"message\":");
    json_put_str(out, message);
    PUT(out, ",\"param\":null,");
    buf_init(&nested, 16384);
    encode_error(code, message, STRV_NONE, request_id, &nested);
    strv inner = buf_view(&nested); /* {"error":{...}} */
    if (!nested.failed)
        buf_put(out, inner.ptr + 1, inner.len - 2);
    else
        PUT(out, "\"error\":{}");
    buf_fini(&nested);
    put_event_end(out);
}

const struct dialect dialect_responses = {
    .id = LLM_RESPONSES,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream",
    .json_type = "application/json",
    .keepalive = ": ping\n\n",
    .decode_request = responses_decode_request,
    .make_id = make_id,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
};
