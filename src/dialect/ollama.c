/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama - POST /api/chat and POST /api/generate, the answer: towards callers and from upstreams.
 *
 *   {"model":"m","created_at":"...","message":{"role":"assistant","content":"Hel"},"done":false}
 *   {"model":"m","created_at":"...","message":{"role":"assistant","content":""},"done":true,
 *    "done_reason":"stop","total_duration":1,...}
 *
 * One JSON object a line; /api/generate says "response":"Hel" instead of the message. A whole answer is the
 * last line with all the text in it. Clients read the six figures without looking whether they are there,
 * and divide by eval_duration: all six are always written as integers, that one never 0, taken from the
 * upstream's own, else from the router's clock, counts else estimated. An error after the first line is a
 * line {"error":"..."} and nothing behind it.
 *
 * A stream that ends with neither done:true nor error was cut.
 */
#include "dialect/ollama.h"

#define NS_PER_US 1000

/* ---- the answer to the caller ---- */

static void begin(struct dialect_out *st)
{
    if (st->started)
        return;
    st->started = true;
    st->usage = LLM_USAGE_NONE;
    timefmt_rfc3339(st->created, st->created_us, 6);
}

/* A letter that str.splitlines() takes for the end of a line; its length, and its escape. */
static size_t line_end(strv text, const char **escape)
{
    static const struct {
        const char *letter, *escape;
    } rows[] = {{"\xc2\x85", "\\u0085"}, {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strv_starts(text, strv_of(rows[i].letter))) {
            *escape = rows[i].escape;
            return strlen(rows[i].letter);
        }
    }
    return 0;
}

/* The Python client cuts a stream into lines that way, also in the middle of a JSON text: those letters
 * stay escaped. (Ollama itself escapes the last two.) */
static void put_text(struct buf *out, strv text)
{
    size_t done = 0, n;
    const char *escape;
    PUT(out, "\"");
    bool may_hold = text.len > 0 && (memchr(text.ptr, 0xc2, text.len) != NULL ||
                                     memchr(text.ptr, 0xe2, text.len) != NULL);
    for (size_t i = 0; may_hold && i<text.len; i += n> 0 ? n : 1) {
        n = line_end(strv_from(text, i), &escape);
        if (n == 0)
            continue;
        json_put_esc(out, (strv){text.ptr + done, i - done});
        buf_put_cstr(out, escape);
        done = i + n;
    }
    json_put_esc(out, strv_from(text, done));
    PUT(out, "\"");
}

/* Up to and with the text; `key` is NULL or the name of the member for `thinking`. */
static void put_line_head(const struct dialect_out *st, strv text, strv thinking, struct buf *out)
{
    bool generate = st->op == LLM_OP_GENERATE;
    PUT(out, "{\"model\":");
    json_put_str(out, st->model);
    PUT(out, ",\"created_at\":\"");
    buf_put_cstr(out, st->created);
    if (generate)
        PUT(out, "\",\"response\":");
    else
        PUT(out, "\",\"message\":{\"role\":\"assistant\",\"content\":");
    put_text(out, text);
    if (thinking.len > 0) {
        PUT(out, ",\"thinking\":");
        put_text(out, thinking);
    }
    if (!generate)
        PUT(out, "}");
}

static void put_piece(struct dialect_out *st, strv text, strv thinking, struct buf *out)
{
    if (text.len + thinking.len == 0)
        return;
    st->output_bytes += text.len + thinking.len;
    put_line_head(st, text, thinking, out);
    PUT(out, ",\"done\":false}\n");
}

static const char *done_reason(enum llm_finish finish, strv raw)
{
    if (finish == LLM_FINISH_LENGTH)
        return "length";
    if (finish == LLM_FINISH_OTHER && strv_eq_cstr(raw, "load"))
        return "load";
    if (finish == LLM_FINISH_OTHER && strv_eq_cstr(raw, "unload"))
        return "unload";
    return "stop";
}

static void put_figure(struct buf *out, const char *key, int64_t n)
{
    buf_put_cstr(out, key);
    buf_put_i64(out, n > 0 ? n : 0);
}

static void put_done(struct dialect_out *st, enum llm_finish finish, strv raw,
                     const struct llm_usage *u, struct buf *out)
{
    int64_t total = u->total_ns >= 0 ? u->total_ns : st->total_us * NS_PER_US;
    int64_t prompt = u->input_ns >= 0 ? u->input_ns : st->first_us * NS_PER_US;
    int64_t eval = u->output_ns >= 0 ? u->output_ns : (st->total_us - st->first_us) * NS_PER_US;
    PUT(out, ",\"done\":true,\"done_reason\":\"");
    buf_put_cstr(out, done_reason(finish, raw));
    put_figure(out, "\",\"total_duration\":", total);
    put_figure(out, ",\"load_duration\":", u->load_ns);
    put_figure(out, ",\"prompt_eval_count\":", u->input >= 0 ? u->input : st->input_estimate);
    put_figure(out, ",\"prompt_eval_duration\":", prompt);
    put_figure(out, ",\"eval_count\":",
               u->output >= 0 ? u->output : (int64_t)((st->output_bytes + 3) / 4));
    put_figure(out, ",\"eval_duration\":", eval > 0 ? eval : 1);
    PUT(out, "}");
}

static bool put_end(struct dialect_out *st, struct buf *out)
{
    if (st->finished)
        return true;
    if (st->finish == LLM_FINISH_NONE)
        return false; /* cut short: done:true would show it as complete */
    st->finished = true;
    put_line_head(st, STRV(""), STRV_NONE, out);
    put_done(st, st->finish, strv_of(st->raw_finish), &st->usage, out);
    PUT(out, "\n");
    return true;
}

static void remember_finish(struct dialect_out *st, const struct llm_event *ev)
{
    strv raw = utf8_cut(ev->raw_finish, sizeof st->raw_finish - 1);
    st->finish = ev->finish;
    if (raw.len > 0)
        memcpy(st->raw_finish, raw.ptr, raw.len);
    st->raw_finish[raw.len] = '\0';
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    begin(st);
    switch (ev->kind) {
    case LLM_EV_TEXT:
        if (ev->choice == 0)
            put_piece(st, ev->text, STRV_NONE, out);
        break;
    case LLM_EV_REASONING:
        if (ev->choice == 0)
            put_piece(st, STRV(""), ev->text, out);
        break;
    case LLM_EV_FINISH:
        if (ev->choice == 0)
            remember_finish(st, ev);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        return put_end(st, out) && !out->failed;
    case LLM_EV_SIGNATURE:
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
    case LLM_EV_VECTOR:
    case LLM_EV_START: /* the first line comes with the first text */
    case LLM_EV_PING:  /* a blank line breaks some readers */
    case LLM_EV_ERROR: /* stream_error() writes it, with the router's code and text */
        break;
    }
    return !out->failed;
}

/* The usual answer has one part of a kind. */
static strv joined(struct dialect_out *st, const struct llm_reply *reply, enum llm_part_kind kind)
{
    const struct llm_reply_part *only = NULL;
    size_t n = 0, from = buf_len(&st->kept);
    for (size_t i = 0; i < reply->n_parts; i++)
        if (reply->parts[i].kind == kind) {
            only = &reply->parts[i];
            n++;
        }
    if (n <= 1)
        return only != NULL ? llm_reply_text(reply, only) : STRV("");
    for (size_t i = 0; i < reply->n_parts; i++)
        if (reply->parts[i].kind == kind)
            buf_put_strv(&st->kept, llm_reply_text(reply, &reply->parts[i]));
    return strv_from(buf_view(&st->kept), from);
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    if (reply->finish == LLM_FINISH_NONE)
        return false;
    begin(st);
    st->output_bytes =
        llm_reply_bytes(reply, LLM_PART_TEXT) + llm_reply_bytes(reply, LLM_PART_REASONING);
    put_line_head(st, joined(st, reply, LLM_PART_TEXT), joined(st, reply, LLM_PART_REASONING), out);
    put_done(st, reply->finish, reply->raw_finish, &reply->usage, out);
    return !out->failed;
}

static void encode_error(int code, strv message, strv field, strv request_id, struct buf *out)
{
    (void)request_id; /* Ollama's errors have no room for it; it stands in the header */
    if (message.len == 0)
        message = strv_of(llm_error_row(code)->text);
    PUT(out, "{\"error\":\"");
    if (field.len > 0 && !strv_contains_nocase(message, field)) {
        json_put_esc(out, field);
        PUT(out, ": ");
    }
    json_put_esc(out, message);
    PUT(out, "\"}");
}

static void stream_error(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out)
{
    st->finished = true; /* no done:true behind it */
    encode_error(code, message, STRV_NONE, request_id, out);
    PUT(out, "\n");
}

/* ---- the answer of an upstream ---- */

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

static void emit_text(struct dialect_in *st, enum llm_event_kind kind, strv text)
{
    if (text.len > 0)
        emit(st, &(struct llm_event){.kind = kind, .text = text});
}

/* Ollama's own errors are a text and nothing else; the one worth telling apart is a full queue. */
static void take_error(struct dialect_in *st, const struct dialect_said *said)
{
    bool busy = strv_contains_nocase(said->message, STRV("server busy"));
    int status = said->status != 0 ? said->status : busy ? 503 : 500;
    emit(st, &(struct llm_event){.kind = LLM_EV_ERROR, .text = said->message, .error = status});
    st->ended = true;
}

/* Absent when the runner went away after its last token. */
static void take_finish(struct dialect_in *st, yyjson_val *root)
{
    strv reason = json_get_str(root, "done_reason");
    enum llm_finish finish = LLM_FINISH_OTHER;
    if (reason.len == 0 || strv_eq_cstr(reason, "stop"))
        finish = LLM_FINISH_STOP;
    else if (strv_eq_cstr(reason, "length"))
        finish = LLM_FINISH_LENGTH;
    st->finished = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = finish, .raw_finish = reason});
}

/* Ollama leaves out what is zero, so an absent figure is unknown, not 0. */
static void take_usage(struct dialect_in *st, yyjson_val *root)
{
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    const struct {
        const char *key;
        int64_t *into;
    } rows[] = {
        {"prompt_eval_count", &ev.usage.input}, {"eval_count", &ev.usage.output},
        {"load_duration", &ev.usage.load_ns},   {"prompt_eval_duration", &ev.usage.input_ns},
        {"eval_duration", &ev.usage.output_ns}, {"total_duration", &ev.usage.total_ns},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t n = json_get_int(root, rows[i].key, -1);
        if (n >= 0)
            *rows[i].into = n;
    }
    emit(st, &ev);
}

static bool take_object(struct dialect_in *st, yyjson_val *root, struct err *err)
{
    struct dialect_said said;
    yyjson_val *message = json_get(root, "message");
    if (dialect_read_error(root, &said)) {
        take_error(st, &said);
        return true;
    }
    if (!st->started) {
        st->started = true;
        emit(st, &(struct llm_event){.kind = LLM_EV_START, .model = json_get_str(root, "model")});
    }
    if (yyjson_arr_size(json_get(message, "tool_calls")) > 0)
        return malformed(err, "a call of a tool that nobody offered");
    yyjson_val *from = message != NULL ? message : root;
    yyjson_val *text = json_get(from, message != NULL ? "content" : "response");
    if (text != NULL && !yyjson_is_str(text))
        return malformed(err, "the text is not a string");
    emit_text(st, LLM_EV_REASONING, json_get_str(from, "thinking"));
    emit_text(st, LLM_EV_TEXT, json_str(text));
    if (!yyjson_is_true(json_get(root, "done")))
        return true;
    take_finish(st, root);
    take_usage(st, root);
    emit(st, &(struct llm_event){.kind = LLM_EV_END});
    st->ended = true;
    return true;
}

static bool decode_frame(struct dialect_in *st, strv name, strv data, struct err *err)
{
    struct json doc;
    (void)name;
    if (st->ended || strv_trim(data).len == 0)
        return true;
    if (!json_read(&doc, data, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "a line is not a JSON object");
    return take_object(st, doc.root, err);
}

static bool decode_reply(struct dialect_in *st, strv body, struct err *err)
{
    struct json doc;
    if (!json_read(&doc, body, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "not a JSON object");
    if (!take_object(st, doc.root, err))
        return false;
    return st->ended || malformed(err, "done is not true");
}

static const char *path(enum llm_op op)
{
    return op == LLM_OP_GENERATE ? "/api/generate" : "/api/chat";
}

const struct dialect dialect_ollama = {
    .id = LLM_OLLAMA,
    .framing = DIALECT_NDJSON,
    .stream_type = "application/x-ndjson",
    .json_type = "application/json; charset=utf-8",
    .keepalive = "",
    .can = LLM_NEED_OLLAMA_RAW,
    .decode_request = ollama_decode_request,
    .make_id = NULL,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
    .path = path,
    .encode_request = ollama_encode_request,
    .decode_frame = decode_frame,
    .decode_reply = decode_reply,
    .decode_error = dialect_decode_failure,
};
