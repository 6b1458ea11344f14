/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama - what a caller of /api/chat, /api/generate, /api/embed and /api/embeddings is answered.
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
 * A call of a tool waits in st->kept until it is complete and is a line of its own then, its arguments an
 * object. Clients read members without looking whether they are null, so none ever is: content is a text,
 * tool_calls and thinking are there only when there are some.
 */
#include "dialect/ollama.h"

#define NS_PER_US 1000

/* ---- the answer to the caller ---- */

static void begin(struct dialect_out *st)
{
    if (st->created[0] == '\0') /* also behind a beginning that was the upstream's own */
        timefmt_rfc3339(st->created, st->created_us, 6);
    if (st->started)
        return;
    st->started = true;
    st->usage = LLM_USAGE_NONE;
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
 * stay escaped. (Ollama itself escapes the last two.) `raw` is JSON already, which holds them in strings
 * only. */
static void put_line_text(struct buf *out, strv text, bool raw)
{
    size_t done = 0, n;
    const char *escape;
    bool (*put)(struct buf *, strv) = raw ? buf_put_strv : json_put_esc;
    bool may_hold = text.len > 0 && (memchr(text.ptr, 0xc2, text.len) != NULL ||
                                     memchr(text.ptr, 0xe2, text.len) != NULL);
    for (size_t i = 0; may_hold && i<text.len; i += n> 0 ? n : 1) {
        n = line_end(strv_from(text, i), &escape);
        if (n == 0)
            continue;
        put(out, (strv){text.ptr + done, i - done});
        buf_put_cstr(out, escape);
        done = i + n;
    }
    put(out, strv_from(text, done));
}

static void put_text(struct buf *out, strv text)
{
    PUT(out, "\"");
    put_line_text(out, text, false);
    PUT(out, "\"");
}

/* Up to the text. */
static void put_open(const struct dialect_out *st, struct buf *out)
{
    PUT(out, "{\"model\":");
    json_put_str(out, st->model);
    PUT(out, ",\"created_at\":\"");
    buf_put_cstr(out, st->created);
    if (st->op == LLM_OP_GENERATE)
        PUT(out, "\",\"response\":");
    else
        PUT(out, "\",\"message\":{\"role\":\"assistant\",\"content\":");
}

static void put_close(const struct dialect_out *st, struct buf *out)
{
    if (st->op != LLM_OP_GENERATE)
        PUT(out, "}");
}

/* Up to and with the message. */
static void put_line_head(const struct dialect_out *st, strv text, strv thinking, struct buf *out)
{
    put_open(st, out);
    put_text(out, text);
    if (thinking.len > 0) {
        PUT(out, ",\"thinking\":");
        put_text(out, thinking);
    }
    put_close(st, out);
}

/* ---- calls ---- */

static void put_call_head(struct buf *out, strv id, strv name, int index)
{
    PUT(out, "{");
    if (id.len > 0) {
        PUT(out, "\"id\":");
        put_text(out, id);
        PUT(out, ",");
    }
    PUT(out, "\"function\":{\"index\":");
    buf_put_i64(out, index);
    PUT(out, ",\"name\":");
    put_text(out, name);
    PUT(out, ",\"arguments\":");
}

static bool put_call_rest(struct buf *out, strv arguments)
{
    struct buf object;
    buf_init(&object, 6 * arguments.len + 32);
    if (dialect_put_arguments(&object, arguments))
        put_line_text(out, buf_view(&object), true);
    else
        out->failed = true;
    buf_fini(&object);
    return PUT(out, "}}");
}

static void begin_call(struct dialect_out *st, const struct llm_event *ev)
{
    buf_clear(&st->kept);
    put_call_head(&st->kept, ev->id, ev->name, st->calls++);
    st->kept_head = buf_len(&st->kept);
}

static bool put_call(struct dialect_out *st, struct buf *out)
{
    strv kept = buf_view(&st->kept);
    if (st->kept.failed)
        return false;
    st->output_bytes += kept.len - st->kept_head;
    put_open(st, out);
    PUT(out, "\"\",\"tool_calls\":[");
    buf_put(out, kept.ptr, st->kept_head);
    put_call_rest(out, strv_from(kept, st->kept_head));
    PUT(out, "]");
    put_close(st, out);
    buf_clear(&st->kept);
    return PUT(out, ",\"done\":false}\n");
}

/* ---- lines ---- */

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

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    begin(st);
    switch (ev->kind) {
    case LLM_EV_TEXT:
        if (ev->choice == 0)
            put_piece(st, ev->text, STRV_NONE, out);
        break;
    case LLM_EV_REASONING:
        if (ev->choice == 0 && !ev->redacted)
            put_piece(st, STRV(""), ev->text, out);
        break;
    case LLM_EV_CALL:
        if (ev->choice == 0)
            begin_call(st, ev);
        break;
    case LLM_EV_ARGS:
        if (ev->choice == 0)
            buf_put_strv(&st->kept, ev->text);
        break;
    case LLM_EV_CALL_END:
        return ev->choice != 0 || put_call(st, out);
    case LLM_EV_FINISH:
        if (ev->choice == 0)
            dialect_remember_finish(st, ev);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        return put_end(st, out) && !out->failed;
    case LLM_EV_PING: /* a blank line breaks some readers */
        if (st->alive) {
            put_line_head(st, STRV(""), STRV_NONE, out);
            PUT(out, ",\"done\":false}\n");
        }
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_VECTOR: /* embeddings are no stream */
    case LLM_EV_START:  /* the first line comes with the first text */
    case LLM_EV_ERROR:  /* stream_error() writes it, with the router's code and text */
        break;
    }
    return !out->failed;
}

static void put_parts(const struct llm_reply *reply, enum llm_part_kind kind, struct buf *out)
{
    PUT(out, "\"");
    for (size_t i = 0; i < reply->n_parts; i++)
        if (reply->parts[i].kind == kind)
            put_line_text(out, llm_reply_text(reply, &reply->parts[i]), false);
    PUT(out, "\"");
}

static void put_calls(const struct llm_reply *reply, struct buf *out)
{
    int index = 0;
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->kind != LLM_PART_CALL)
            continue;
        buf_put_cstr(out, index > 0 ? "," : ",\"tool_calls\":[");
        put_call_head(out, p->id, p->name, index++);
        put_call_rest(out, llm_reply_text(reply, p));
    }
    if (index > 0)
        PUT(out, "]");
}

/* {"embeddings":[[...]]} with figures, or {"embedding":[...]} and nothing else, as Ollama does. */
static bool put_vectors(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    const float *vectors = (const float *)(const void *)buf_view(&reply->vectors).ptr;
    const struct llm_usage *u = &reply->usage;
    if (st->op == LLM_OP_EMBED_1) {
        PUT(out, "{\"embedding\":");
        dialect_put_vector(out, vectors, reply->n_vectors > 0 ? reply->dimensions : 0);
        return PUT(out, "}");
    }
    PUT(out, "{\"model\":");
    json_put_str(out, st->model);
    PUT(out, ",\"embeddings\":[");
    for (size_t i = 0; i < reply->n_vectors; i++) {
        if (i > 0)
            PUT(out, ",");
        dialect_put_vector(out, vectors + i * reply->dimensions, reply->dimensions);
    }
    put_figure(out,
               "],\"total_duration\":", u->total_ns >= 0 ? u->total_ns : st->total_us * NS_PER_US);
    put_figure(out, ",\"load_duration\":", u->load_ns);
    put_figure(out, ",\"prompt_eval_count\":", u->input >= 0 ? u->input : st->input_estimate);
    return PUT(out, "}");
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    if (reply->finish == LLM_FINISH_NONE)
        return false;
    begin(st);
    if (ollama_is_embed(st->op))
        return put_vectors(st, reply, out);
    size_t thinking = llm_reply_bytes(reply, LLM_PART_REASONING);
    st->output_bytes =
        llm_reply_bytes(reply, LLM_PART_TEXT) + thinking + llm_reply_bytes(reply, LLM_PART_CALL);
    put_open(st, out);
    put_parts(reply, LLM_PART_TEXT, out);
    if (thinking > 0) {
        PUT(out, ",\"thinking\":");
        put_parts(reply, LLM_PART_REASONING, out);
    }
    put_calls(reply, out);
    put_close(st, out);
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

static const char *path(enum llm_op op)
{
    static const char *const paths[LLM_OPS] = {[LLM_OP_CHAT] = "/api/chat",
                                               [LLM_OP_GENERATE] = "/api/generate",
                                               [LLM_OP_EMBED] = "/api/embed",
                                               [LLM_OP_EMBED_1] = "/api/embeddings"};
    return paths[op];
}

const struct dialect dialect_ollama = {
    .id = LLM_OLLAMA,
    .framing = DIALECT_NDJSON,
    .stream_type = "application/x-ndjson",
    .json_type = "application/json; charset=utf-8",
    .keepalive = "",
    .can = OLLAMA_CAN,
    .decode_request = ollama_decode_request,
    .make_id = NULL,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
    .path = path,
    .encode_request = ollama_encode_request,
    .decode_frame = ollama_decode_frame,
    .decode_reply = ollama_decode_reply,
    .decode_error = dialect_decode_failure,
};
