/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic - POST /v1/messages, the answer towards callers, and the row of this dialect.
 *
 *   message_start  [content_block_start  content_block_delta*  content_block_stop]*
 *   message_delta  message_stop                                     or: error, and nothing
 *
 * What an answer always has: one message_start first; blocks that never overlap, opened only when there is
 * something for them and numbered 0, 1, 2 without gaps (client libraries index an array with the number); at
 * least one piece of input for a call, since clients parse the pieces and not the start; a signature at the
 * end of every block of thinking, empty if none is known: it is never made up; the whole usage as integers
 * in message_delta, since upstreams of other dialects count last; message_stop only behind a known reason.
 * Both lines of a frame are written: the official client drops a frame without `event:`.
 *
 * Ids of calls, arguments that are an object, and whether the reason is tool_use are settled before events
 * come here (exchange/).
 *
 * Reference: https://docs.anthropic.com/en/api/messages and .../messages-streaming.
 */
#include "dialect/anthropic.h"

/* ---- the answer to the caller ---- */

static void make_id(struct rng *rng, char out[64])
{
    memcpy(out, "msg_", 4);
    rng_text(rng, out + 4, 24);
}

static int64_t not_negative(int64_t n)
{
    return n > 0 ? n : 0;
}

/* The client library's types want both integers: what nobody counted is estimated. */
static void put_usage(struct buf *out, const struct dialect_out *st, const struct llm_usage *u,
                      uint64_t text_bytes)
{
    int64_t read = not_negative(u->cached), written = not_negative(u->cache_write);
    int64_t prompt = u->input >= 0 ? u->input : not_negative(st->input_estimate);
    PUT(out, "{\"input_tokens\":");
    buf_put_i64(out, not_negative(prompt - read - written));
    PUT(out, ",\"cache_creation_input_tokens\":");
    buf_put_i64(out, written);
    PUT(out, ",\"cache_read_input_tokens\":");
    buf_put_i64(out, read);
    if (u->cache_write >= 0) {
        int64_t hour = u->cache_write_1h < written ? not_negative(u->cache_write_1h) : written;
        PUT(out, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
        buf_put_i64(out, written - hour);
        PUT(out, ",\"ephemeral_1h_input_tokens\":");
        buf_put_i64(out, hour);
        PUT(out, "}");
    }
    PUT(out, ",\"output_tokens\":");
    buf_put_i64(out, u->output >= 0 ? u->output : (int64_t)((text_bytes + 3) / 4));
    if (u->reasoning >= 0) {
        PUT(out, ",\"output_tokens_details\":{\"thinking_tokens\":");
        buf_put_i64(out, u->reasoning);
        PUT(out, "}");
    }
    PUT(out, "}");
}

static const char *stop_reason(enum llm_finish finish)
{
    switch (finish) {
    case LLM_FINISH_STOP_SEQUENCE:
        return "stop_sequence";
    case LLM_FINISH_LENGTH:
        return "max_tokens";
    case LLM_FINISH_FILTER:
        return "refusal";
    case LLM_FINISH_CALLS:
        return "tool_use";
    case LLM_FINISH_NONE:
    case LLM_FINISH_STOP:
    case LLM_FINISH_OTHER:
        break;
    }
    return "end_turn";
}

static void put_stop(struct buf *out, enum llm_finish finish, strv sequence)
{
    PUT(out, "\"stop_reason\":\"");
    buf_put_cstr(out, stop_reason(finish));
    PUT(out, "\",\"stop_sequence\":");
    if (finish == LLM_FINISH_STOP_SEQUENCE && sequence.ptr != NULL)
        json_put_str(out, sequence);
    else
        PUT(out, "null");
}

static void put_head(struct buf *out, const struct dialect_out *st)
{
    PUT(out, "{\"id\":");
    json_put_str(out, st->id);
    PUT(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    json_put_str(out, st->model);
}

static void begin(struct dialect_out *st, struct buf *out)
{
    if (st->started)
        return;
    st->started = true;
    st->usage = LLM_USAGE_NONE;
    PUT(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
    put_head(out, st);
    PUT(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
             "\"usage\":{\"input_tokens\":");
    buf_put_i64(out, not_negative(st->input_estimate));
    PUT(out, ",\"output_tokens\":1}}}\n\n");
}

/* ---- blocks ---- */

static void put_delta(struct dialect_out *st, const char *type, const char *member, strv text,
                      struct buf *out)
{
    PUT(out, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    buf_put_i64(out, st->blocks);
    PUT(out, ",\"delta\":{\"type\":\"");
    buf_put_cstr(out, type);
    PUT(out, "\",\"");
    buf_put_cstr(out, member);
    PUT(out, "\":");
    json_put_str(out, text);
    PUT(out, "}}\n\n");
}

static void put_signature(struct dialect_out *st, strv signature, struct buf *out)
{
    st->block_some = true;
    put_delta(st, "signature_delta", "signature", signature, out);
}

static void put_input(struct dialect_out *st, strv json, struct buf *out)
{
    st->block_some = true;
    put_delta(st, "input_json_delta", "partial_json", json, out);
}

static void close_block(struct dialect_out *st, struct buf *out)
{
    if (!st->block_open)
        return;
    if (st->block_kind == LLM_PART_REASONING && !st->block_some)
        put_signature(st, STRV(""), out);
    if (st->block_kind == LLM_PART_CALL && !st->block_some)
        put_input(st, STRV("{}"), out);
    st->block_open = false;
    PUT(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
    buf_put_i64(out, st->blocks++);
    PUT(out, "}\n\n");
}

/* The frame up to what is particular to the kind; put_opened() ends it. */
static void open_block(struct dialect_out *st, enum llm_part_kind kind, struct buf *out)
{
    close_block(st, out);
    st->block_open = true;
    st->block_some = false;
    st->block_kind = (int)kind;
    PUT(out, "event: content_block_start\n"
             "data: {\"type\":\"content_block_start\",\"index\":");
    buf_put_i64(out, st->blocks);
    PUT(out, ",\"content_block\":{\"type\":\"");
}

static void put_text(struct dialect_out *st, strv text, struct buf *out)
{
    if (text.len == 0)
        return;
    if (!st->block_open || st->block_kind != LLM_PART_TEXT) {
        open_block(st, LLM_PART_TEXT, out);
        PUT(out, "text\",\"text\":\"\"}}\n\n");
    }
    st->output_bytes += text.len;
    put_delta(st, "text_delta", "text", text, out);
}

static void open_thinking(struct dialect_out *st, struct buf *out)
{
    if (st->block_open && st->block_kind == LLM_PART_REASONING && !st->block_some)
        return;
    open_block(st, LLM_PART_REASONING, out);
    PUT(out, "thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
}

static void put_thinking(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (ev->text.len == 0)
        return;
    if (ev->redacted) {
        open_block(st, LLM_PART_REASONING, out);
        PUT(out, "redacted_thinking\",\"data\":");
        json_put_str(out, ev->text);
        PUT(out, "}}\n\n");
        st->block_some = true;
        close_block(st, out);
        return;
    }
    open_thinking(st, out);
    st->output_bytes += ev->text.len;
    put_delta(st, "thinking_delta", "thinking", ev->text, out);
}

/* Also of thinking whose text is left out: then the block is only this. */
static void end_thinking(struct dialect_out *st, strv signature, struct buf *out)
{
    if (signature.len == 0)
        return;
    open_thinking(st, out);
    put_signature(st, signature, out);
    close_block(st, out);
}

static void open_call(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    open_block(st, LLM_PART_CALL, out);
    st->calls++;
    PUT(out, "tool_use\",\"id\":");
    json_put_str(out, ev->id);
    PUT(out, ",\"name\":");
    json_put_str(out, ev->name);
    PUT(out, ",\"input\":{}}}\n\n");
}

static void put_args(struct dialect_out *st, strv text, struct buf *out)
{
    if (text.len == 0 || !st->block_open || st->block_kind != LLM_PART_CALL)
        return;
    st->output_bytes += text.len;
    put_input(st, text, out);
}

/* ---- the end ---- */

static bool put_end(struct dialect_out *st, struct buf *out)
{
    if (st->finished)
        return true;
    if (st->finish == LLM_FINISH_NONE)
        return false; /* cut short: message_stop would show it as complete */
    st->finished = true;
    close_block(st, out);
    PUT(out, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
    put_stop(out, st->finish, strv_of(st->stop_sequence));
    PUT(out, "},\"usage\":");
    put_usage(out, st, &st->usage, st->output_bytes);
    PUT(out, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    return true;
}

static bool put_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    switch (ev->kind) {
    case LLM_EV_TEXT:
        put_text(st, ev->text, out);
        break;
    case LLM_EV_REASONING:
        put_thinking(st, ev, out);
        break;
    case LLM_EV_SIGNATURE:
        end_thinking(st, ev->text, out);
        break;
    case LLM_EV_CALL:
        open_call(st, ev, out);
        break;
    case LLM_EV_ARGS:
        put_args(st, ev->text, out);
        break;
    case LLM_EV_CALL_END:
        close_block(st, out);
        break;
    case LLM_EV_FINISH:
        dialect_remember_finish(st, ev);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        return put_end(st, out) && !out->failed;
    case LLM_EV_START:
    case LLM_EV_PING:
    case LLM_EV_VECTOR:
    case LLM_EV_ERROR:
        break;
    }
    return !out->failed;
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (ev->kind == LLM_EV_ERROR || ev->kind == LLM_EV_VECTOR)
        return !out->failed; /* stream_error() writes it, with the router's code and text */
    if (ev->kind == LLM_EV_PING) {
        if (st->started && !st->finished)
            PUT(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
        return !out->failed;
    }
    begin(st, out);
    return ev->choice != 0 || put_event(st, ev, out);
}

static void put_part(const struct llm_reply *reply, const struct llm_reply_part *p, struct buf *out)
{
    strv bytes = buf_view(&reply->bytes);
    strv signature = {bytes.ptr + p->signature, p->n_signature};
    switch (p->kind) {
    case LLM_PART_CALL:
        PUT(out, "{\"type\":\"tool_use\",\"id\":");
        json_put_str(out, p->id);
        PUT(out, ",\"name\":");
        json_put_str(out, p->name);
        PUT(out, ",\"input\":");
        buf_put_strv(out, llm_reply_text(reply, p));
        break;
    case LLM_PART_REASONING:
        if (!p->redacted) {
            PUT(out, "{\"type\":\"thinking\",\"thinking\":");
            json_put_str(out, llm_reply_text(reply, p));
            PUT(out, ",\"signature\":");
        } else {
            PUT(out, "{\"type\":\"redacted_thinking\",\"data\":");
        }
        json_put_str(out, signature);
        break;
    default:
        PUT(out, "{\"type\":\"text\",\"text\":");
        json_put_str(out, llm_reply_text(reply, p));
        break;
    }
    PUT(out, "}");
}

static bool encode_count(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    int64_t n = reply->usage.input >= 0 ? reply->usage.input : st->input_estimate;
    PUT(out, "{\"input_tokens\":");
    buf_put_i64(out, not_negative(n));
    PUT(out, "}");
    return !out->failed;
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    uint64_t bytes = 0;
    bool first = true;
    if (reply->finish == LLM_FINISH_NONE)
        return false;
    if (st->op == LLM_OP_COUNT)
        return encode_count(st, reply, out);
    put_head(out, st);
    PUT(out, ",\"content\":[");
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->kind == LLM_PART_TEXT && p->len == 0)
            continue;
        buf_put_cstr(out, first ? "" : ",");
        first = false;
        put_part(reply, p, out);
        bytes += p->redacted ? 0 : p->len;
    }
    PUT(out, "],");
    put_stop(out, reply->finish, reply->stop_sequence);
    PUT(out, ",\"usage\":");
    put_usage(out, st, &reply->usage, bytes);
    PUT(out, "}");
    return !out->failed;
}

static void encode_error(int code, strv message, strv field, strv request_id, struct buf *out)
{
    const struct llm_error_row *row = llm_error_row(code);
    if (message.len == 0)
        message = strv_of(row->text);
    PUT(out, "{\"type\":\"error\",\"error\":{\"type\":\"");
    buf_put_cstr(out, row->anthropic_type);
    PUT(out, "\",\"message\":\"");
    if (field.len > 0 && !strv_contains_nocase(message, field)) {
        json_put_esc(out, field);
        PUT(out, ": ");
    }
    json_put_esc(out, message);
    PUT(out, "\"");
    if (code == LLM_ERR_UNSUPPORTED && strv_eq_cstr(field, ANTHROPIC_THREAD)) /* see its reader */
        PUT(out, ",\"details\":{\"error_code\":\"thread_unsupported_request\",\"unsupported\":["
                 "\"thread\"]}");
    PUT(out, "},\"request_id\":");
    if (request_id.len > 0)
        json_put_str(out, request_id);
    else
        PUT(out, "null");
    PUT(out, "}");
}

static void stream_error(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out)
{
    st->finished = true; /* no message_stop behind it */
    PUT(out, "event: error\ndata: ");
    encode_error(code, message, STRV_NONE, request_id, out);
    PUT(out, "\n\n");
}

static const char *path(enum llm_op op)
{
    return op == LLM_OP_CHAT    ? "/v1/messages"
           : op == LLM_OP_COUNT ? "/v1/messages/count_tokens"
                                : NULL;
}

const struct dialect dialect_anthropic = {
    .id = LLM_ANTHROPIC,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream; charset=utf-8",
    .json_type = "application/json",
    .keepalive = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    .can = LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_DOCUMENTS | LLM_NEED_LINKS |
           LLM_NEED_ANTHROPIC | LLM_NEED_COUNT,
    .decode_request = anthropic_decode_request,
    .make_id = make_id,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
    .path = path,
    .encode_request = anthropic_encode_request,
    .decode_frame = anthropic_decode_frame,
    .decode_reply = anthropic_decode_reply,
    .decode_error = dialect_decode_failure,
};
