/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic - POST /v1/messages, the answer: towards callers and from upstreams.
 *
 *   caller    message_start  [content_block_start  content_block_delta*  content_block_stop]
 *             message_delta  message_stop                                     or: error, and nothing
 *
 * What an answer always has: one message_start first; blocks that never overlap, opened only when there is
 * text for them and numbered 0, 1, 2 without gaps (client libraries index an array with the number); the
 * whole usage as integers in message_delta, since upstreams of other dialects count last; message_stop
 * only behind a known reason. Both lines of a frame are written: the official client drops a frame without
 * `event:`. Reasoning is not shown to callers: a thinking block needs a signature, and none is invented.
 *
 * From upstreams more is taken than the documents promise: frames without an event name, text in
 * content_block_start, no message_start at all (llama-server does that when the first token is not a whole
 * character), errors in OpenAI's envelope. Not taken: tool_use, since no tools were offered, and
 * message_stop without a stop_reason.
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
    case LLM_FINISH_NONE:
    case LLM_FINISH_STOP:
    case LLM_FINISH_CALLS:
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

static void put_text_delta(struct dialect_out *st, strv text, struct buf *out)
{
    if (!st->block_open) {
        st->block_open = true;
        PUT(out, "event: content_block_start\n"
                 "data: {\"type\":\"content_block_start\",\"index\":");
        buf_put_i64(out, st->blocks);
        PUT(out, ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    }
    st->output_bytes += text.len;
    PUT(out, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    buf_put_i64(out, st->blocks);
    PUT(out, ",\"delta\":{\"type\":\"text_delta\",\"text\":");
    json_put_str(out, text);
    PUT(out, "}}\n\n");
}

static void close_block(struct dialect_out *st, struct buf *out)
{
    if (!st->block_open)
        return;
    st->block_open = false;
    PUT(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
    buf_put_i64(out, st->blocks++);
    PUT(out, "}\n\n");
}

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

static void remember_finish(struct dialect_out *st, const struct llm_event *ev)
{
    strv sequence = utf8_cut(ev->stop_sequence, sizeof st->stop_sequence - 1);
    st->finish = ev->finish;
    if (sequence.len > 0)
        memcpy(st->stop_sequence, sequence.ptr, sequence.len);
    st->stop_sequence[sequence.len] = '\0';
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    switch (ev->kind) {
    case LLM_EV_START:
        begin(st, out);
        break;
    case LLM_EV_TEXT:
        begin(st, out);
        if (ev->text.len > 0 && ev->choice == 0)
            put_text_delta(st, ev->text, out);
        break;
    case LLM_EV_REASONING:
        begin(st, out);
        break;
    case LLM_EV_FINISH:
        begin(st, out);
        if (ev->choice == 0)
            remember_finish(st, ev);
        break;
    case LLM_EV_USAGE:
        begin(st, out);
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        begin(st, out);
        return put_end(st, out) && !out->failed;
    case LLM_EV_PING:
        if (st->started && !st->finished)
            PUT(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
    case LLM_EV_VECTOR:
    case LLM_EV_ERROR: /* stream_error() writes it, with the router's code and text */
        break;
    }
    return !out->failed;
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    size_t text = llm_reply_bytes(reply, LLM_PART_TEXT);
    if (reply->finish == LLM_FINISH_NONE)
        return false;
    put_head(out, st);
    PUT(out, ",\"content\":[");
    if (text > 0) {
        PUT(out, "{\"type\":\"text\",\"text\":");
        dialect_put_text(out, reply, LLM_PART_TEXT);
        PUT(out, "}");
    }
    PUT(out, "],");
    put_stop(out, reply->finish, reply->stop_sequence);
    PUT(out, ",\"usage\":");
    put_usage(out, st, &reply->usage, text);
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
    PUT(out, "\"},\"request_id\":");
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

/* ---- the answer of an upstream ---- */

#define TOKENS_MAX ((int64_t)1 << 53) /* beyond this it is no count, and sums could overflow */

static bool malformed(struct err *err, const char *what)
{
    return err_set(err, LLM_ERR_ALL_PROVIDERS_FAILED, "the provider's answer is malformed: %s",
                   what);
}

static void emit(struct dialect_in *st, const struct llm_event *ev)
{
    if (!st->ended && !st->emit(st->arg, ev))
        st->ended = true;
}

static void start(struct dialect_in *st, strv id, strv model)
{
    if (st->started)
        return;
    st->started = true;
    st->plain = st->cache_read = st->cache_write = -1;
    emit(st, &(struct llm_event){.kind = LLM_EV_START, .text = id, .model = model});
}

static void take_count(yyjson_val *usage, const char *key, int64_t *into)
{
    int64_t n = json_get_int(usage, key, -1);
    if (n >= 0 && n <= TOKENS_MAX)
        *into = n;
}

/* Figures are cumulative and come field by field: what message_delta leaves out stands as message_start
 * told it. The whole prompt is the sum of its three parts, so the parts are kept, not the sum. */
static void take_usage(struct dialect_in *st, yyjson_val *usage)
{
    if (!yyjson_is_obj(usage))
        return;
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    take_count(usage, "input_tokens", &st->plain);
    take_count(usage, "cache_read_input_tokens", &st->cache_read);
    take_count(usage, "cache_creation_input_tokens", &st->cache_write);
    take_count(usage, "output_tokens", &ev.usage.output);
    take_count(json_get(usage, "output_tokens_details"), "thinking_tokens", &ev.usage.reasoning);
    if (st->plain >= 0 || st->cache_read >= 0 || st->cache_write >= 0)
        ev.usage.input =
            not_negative(st->plain) + not_negative(st->cache_read) + not_negative(st->cache_write);
    ev.usage.cached = st->cache_read;
    ev.usage.cache_write = st->cache_write;
    emit(st, &ev);
}

static enum llm_finish finish_of(strv reason)
{
    static const struct {
        const char *reason;
        enum llm_finish finish;
    } rows[] = {
        {"end_turn", LLM_FINISH_STOP},     {"stop_sequence", LLM_FINISH_STOP_SEQUENCE},
        {"max_tokens", LLM_FINISH_LENGTH}, {"model_context_window_exceeded", LLM_FINISH_LENGTH},
        {"refusal", LLM_FINISH_FILTER},    {"pause_turn", LLM_FINISH_STOP},
        {"tool_use", LLM_FINISH_STOP}, /* without a call: none was offered, so none was made */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(reason, rows[i].reason))
            return rows[i].finish;
    return LLM_FINISH_OTHER;
}

static void take_finish(struct dialect_in *st, yyjson_val *holder)
{
    strv reason = json_get_str(holder, "stop_reason");
    if (reason.len == 0 || st->finished)
        return;
    struct llm_event ev = {
        .kind = LLM_EV_FINISH, .finish = finish_of(reason), .raw_finish = reason};
    if (ev.finish == LLM_FINISH_STOP_SEQUENCE) {
        ev.stop_sequence = json_get_str(holder, "stop_sequence");
        if (ev.stop_sequence.ptr == NULL)
            ev.finish = LLM_FINISH_STOP;
    }
    st->finished = true;
    emit(st, &ev);
}

static void emit_text(struct dialect_in *st, enum llm_event_kind kind, strv text)
{
    if (text.len > 0)
        emit(st, &(struct llm_event){.kind = kind, .text = text});
}

/* A block as it stands in a whole answer, or at its beginning in a stream, where some servers put the
 * first piece of text already. Kinds that are not known are passed over, as the documents ask. */
static bool take_block(struct dialect_in *st, yyjson_val *block, struct err *err)
{
    strv type = json_get_str(block, "type");
    if (strv_eq_cstr(type, "text"))
        emit_text(st, LLM_EV_TEXT, json_get_str(block, "text"));
    else if (strv_eq_cstr(type, "thinking"))
        emit_text(st, LLM_EV_REASONING, json_get_str(block, "thinking"));
    else if (strv_eq_cstr(type, "tool_use"))
        return malformed(err, "a call of a tool that nobody offered");
    return true;
}

static bool take_delta(struct dialect_in *st, yyjson_val *delta, struct err *err)
{
    strv type = json_get_str(delta, "type");
    if (strv_eq_cstr(type, "text_delta")) {
        strv text = json_get_str(delta, "text");
        if (text.ptr == NULL)
            return malformed(err, "text_delta without text");
        emit_text(st, LLM_EV_TEXT, text);
    } else if (strv_eq_cstr(type, "thinking_delta")) {
        emit_text(st, LLM_EV_REASONING, json_get_str(delta, "thinking"));
    }
    return true;
}

static void take_error(struct dialect_in *st, const struct dialect_said *said)
{
    int status = said->status != 0 ? said->status : 500;
    emit(st, &(struct llm_event){.kind = LLM_EV_ERROR, .text = said->message, .error = status});
    st->ended = true;
}

static bool take_stop(struct dialect_in *st, struct err *err)
{
    if (!st->finished)
        return malformed(err, "it ends without a stop_reason");
    emit(st, &(struct llm_event){.kind = LLM_EV_END});
    st->ended = true;
    return true;
}

enum frame { F_NONE, F_START, F_BLOCK, F_DELTA, F_MESSAGE_DELTA, F_STOP, F_ERROR, F_PING };

static enum frame frame_kind(strv type)
{
    static const struct {
        const char *type;
        enum frame kind;
    } rows[] = {
        {"content_block_delta", F_DELTA},
        {"message_start", F_START},
        {"content_block_start", F_BLOCK},
        {"message_delta", F_MESSAGE_DELTA},
        {"message_stop", F_STOP},
        {"error", F_ERROR},
        {"ping", F_PING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(type, rows[i].type))
            return rows[i].kind;
    return F_NONE;
}

static bool take_frame(struct dialect_in *st, enum frame kind, yyjson_val *root, struct err *err)
{
    yyjson_val *message;
    struct dialect_said said;
    if (kind == F_BLOCK || kind == F_DELTA || kind == F_MESSAGE_DELTA)
        start(st, STRV_NONE, STRV_NONE); /* llama-server may leave message_start out */
    switch (kind) {
    case F_START:
        message = json_get(root, "message");
        if (!yyjson_is_obj(message))
            return malformed(err, "message_start without a message");
        start(st, json_get_str(message, "id"), json_get_str(message, "model"));
        take_usage(st, json_get(message, "usage"));
        return true;
    case F_BLOCK:
        return take_block(st, json_get(root, "content_block"), err);
    case F_DELTA:
        return take_delta(st, json_get(root, "delta"), err);
    case F_MESSAGE_DELTA:
        take_finish(st, json_get(root, "delta"));
        take_usage(st, json_get(root, "usage"));
        return true;
    case F_STOP:
        return take_stop(st, err);
    case F_ERROR:
        dialect_read_error(root, &said);
        take_error(st, &said);
        return true;
    case F_PING:
        emit(st, &(struct llm_event){.kind = LLM_EV_PING});
        return true;
    case F_NONE: /* content_block_stop, and whatever is new */
        break;
    }
    return true;
}

static bool decode_frame(struct dialect_in *st, strv name, strv data, struct err *err)
{
    struct json doc;
    if (st->ended || strv_trim(data).len == 0)
        return true;
    if (!json_read(&doc, data, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "not a JSON object");
    strv type = json_get_str(doc.root, "type");
    enum frame kind = frame_kind(type.ptr != NULL ? type : name);
    if (kind == F_NONE && type.ptr == NULL && json_get(doc.root, "error") != NULL)
        kind = F_ERROR; /* llama-server: an error in OpenAI's envelope, without a name */
    return take_frame(st, kind, doc.root, err);
}

static bool decode_reply(struct dialect_in *st, strv body, struct err *err)
{
    struct json doc;
    if (!json_read(&doc, body, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "not a JSON object");
    struct dialect_said said;
    yyjson_val *content = json_get(doc.root, "content"), *v;
    if (dialect_read_error(doc.root, &said)) {
        take_error(st, &said);
        return true;
    }
    if (!yyjson_is_arr(content))
        return malformed(err, "no list of content blocks");
    start(st, json_get_str(doc.root, "id"), json_get_str(doc.root, "model"));
    size_t at, n;
    yyjson_arr_foreach(content, at, n, v)
    {
        if (!take_block(st, v, err))
            return false;
    }
    take_finish(st, doc.root);
    take_usage(st, json_get(doc.root, "usage"));
    return take_stop(st, err);
}

static const char *path(enum llm_op op)
{
    (void)op;
    return "/v1/messages";
}

const struct dialect dialect_anthropic = {
    .id = LLM_ANTHROPIC,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream; charset=utf-8",
    .json_type = "application/json",
    .keepalive = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    .can = 0,
    .decode_request = anthropic_decode_request,
    .make_id = make_id,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
    .path = path,
    .encode_request = anthropic_encode_request,
    .decode_frame = decode_frame,
    .decode_reply = decode_reply,
    .decode_error = dialect_decode_failure,
};
