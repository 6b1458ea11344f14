/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai - chat completions, the answer: chunks and whole bodies, both ways.
 *
 *   from an upstream                                     to a caller
 *   first chunk            -> START                      START  -> chunk with the role
 *   delta.content          -> TEXT                       TEXT   -> chunk with content
 *   delta.reasoning[_content] -> REASONING               ...
 *   finish_reason          -> FINISH                     FINISH -> kept: usage may still come
 *   usage, timings         -> USAGE                      USAGE  -> kept
 *   [DONE]                 -> END                        END    -> finish chunk, usage if asked, [DONE]
 *   error                  -> ERROR, and nothing after
 *
 * An answer counts as complete only if every choice that began had a finish_reason: [DONE] alone proves
 * nothing, vLLM and LocalAI send it after an error too (translation.md 33, 36). Numbers of a chunk (id,
 * created, model) are ours and the same in the whole stream, whatever the upstream does.
 *
 * Upstreams seen: llama-server, vLLM, LocalAI, Docker Model Runner (openai.md B).
 */
#include "dialect/openai.h"

#define CHOICES_MAX 128

/* ---- answers of an upstream ---- */

/* One frame or body on its way through the decoder. */
struct reading {
    struct dialect_in *in;
    bool stopped; /* the receiver wants no more of this */
    struct err *err;
};

static void emit(struct reading *rd, const struct llm_event *ev)
{
    if (!rd->stopped && !rd->in->emit(rd->in->arg, ev))
        rd->stopped = true;
}

static bool malformed(struct reading *rd, const char *what)
{
    return err_set(rd->err, LLM_ERR_ALL_PROVIDERS_FAILED, "the provider's answer is malformed: %s",
                   what);
}

static const struct {
    const char *word;
    enum llm_finish finish;
} finishes[] = {
    {"stop", LLM_FINISH_STOP},
    {"length", LLM_FINISH_LENGTH},
    {"content_filter", LLM_FINISH_FILTER},
    {"max_tokens", LLM_FINISH_LENGTH},
    {"eos", LLM_FINISH_STOP},
    {"tool_calls", LLM_FINISH_STOP}, /* said without any call: the model was done */
    {"function_call", LLM_FINISH_STOP},
    {"abort", LLM_FINISH_NONE}, /* vLLM: given up half way; not an end */
    {"error", LLM_FINISH_NONE},
};

static bool read_finish(struct reading *rd, yyjson_val *choice, int index)
{
    yyjson_val *v = json_get(choice, "finish_reason");
    uint64_t *done = &rd->in->done[index / 64], bit = (uint64_t)1 << (index % 64);
    if (v != NULL && !yyjson_is_str(v))
        return malformed(rd, "finish_reason is not a string");
    strv word = json_str(v);
    if (word.len == 0) /* some servers write "" for null */
        return true;
    struct llm_event ev = {
        .kind = LLM_EV_FINISH, .choice = index, .finish = LLM_FINISH_OTHER, .raw_finish = word};
    for (size_t i = 0; i < sizeof finishes / sizeof *finishes; i++)
        if (strv_eq_cstr(word, finishes[i].word))
            ev.finish = finishes[i].finish;
    if (ev.finish == LLM_FINISH_NONE)
        return malformed(rd, "it was given up by the provider");
    /* vLLM alone tells which stop string it was; a number there is a token. */
    strv matched = json_get_str(choice, "stop_reason");
    if (ev.finish == LLM_FINISH_STOP && matched.len > 0) {
        ev.finish = LLM_FINISH_STOP_SEQUENCE;
        ev.stop_sequence = matched;
    }
    if (*done & bit) /* said twice: once is enough */
        return true;
    *done |= bit;
    rd->in->finished = true;
    emit(rd, &ev);
    return true;
}

static bool read_text(struct reading *rd, yyjson_val *v, enum llm_event_kind kind, int index)
{
    if (v == NULL)
        return true;
    if (!yyjson_is_str(v))
        return malformed(rd, "content is not a string");
    if (yyjson_get_len(v) > 0)
        emit(rd, &(struct llm_event){.kind = kind, .choice = index, .text = json_str(v)});
    return true;
}

static bool has_calls(yyjson_val *delta)
{
    yyjson_val *calls = json_get(delta, "tool_calls");
    return json_get(delta, "function_call") != NULL ||
           (calls != NULL && !(yyjson_is_arr(calls) && yyjson_arr_size(calls) == 0));
}

/* `member` is "delta" in a chunk, "message" in a whole body. */
static bool read_choice(struct reading *rd, yyjson_val *choice, const char *member)
{
    int64_t index = 0;
    if (!yyjson_is_obj(choice))
        return malformed(rd, "a choice is not an object");
    yyjson_val *v = json_get(choice, "index");
    if (v != NULL && !(json_is_int(v, &index) && index >= 0 && index < CHOICES_MAX))
        return malformed(rd, "the index of a choice is out of range");
    if (rd->in->op == LLM_OP_GENERATE) {
        rd->in->seen[index / 64] |= (uint64_t)1 << (index % 64);
        return read_text(rd, json_get(choice, "text"), LLM_EV_TEXT, (int)index) &&
               read_finish(rd, choice, (int)index);
    }
    yyjson_val *delta = json_get(choice, member);
    if (delta != NULL && !yyjson_is_obj(delta))
        return malformed(rd, "a delta is not an object");
    if (has_calls(delta))
        return malformed(rd, "it calls a tool though none was offered");

    rd->in->seen[index / 64] |= (uint64_t)1 << (index % 64);
    /* vLLM says `reasoning`, others `reasoning_content`; some send both, one of them empty. */
    yyjson_val *reasoning = json_get(delta, "reasoning_content");
    if (reasoning == NULL || (yyjson_is_str(reasoning) && yyjson_get_len(reasoning) == 0))
        reasoning = json_get(delta, "reasoning");
    return read_text(rd, reasoning, LLM_EV_REASONING, (int)index) &&
           read_text(rd, json_get(delta, "content"), LLM_EV_TEXT, (int)index) &&
           read_text(rd, json_get(delta, "refusal"), LLM_EV_TEXT, (int)index) &&
           read_finish(rd, choice, (int)index);
}

static int64_t count(yyjson_val *obj, const char *key)
{
    int64_t n = json_get_int(obj, key, -1);
    return n >= 0 && n <= (int64_t)1 << 53 ? n : -1;
}

static int64_t ms_to_ns(yyjson_val *obj, const char *key)
{
    double ms;
    if (!json_is_num(yyjson_obj_get(obj, key), &ms) || !(ms >= 0 && ms < 1e12))
        return -1;
    return (int64_t)(ms * 1e6 + 0.5);
}

static void read_usage(struct reading *rd, yyjson_val *root)
{
    yyjson_val *usage = json_get(root, "usage"), *timings = json_get(root, "timings");
    if (usage == NULL && timings == NULL)
        return;
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    struct llm_usage *u = &ev.usage;
    if (yyjson_is_obj(timings)) { /* llama-server; beside no usage they are all there is */
        int64_t fresh = count(timings, "prompt_n"), cached = count(timings, "cache_n");
        u->input = fresh >= 0 && cached >= 0 ? fresh + cached : -1;
        u->cached = cached;
        u->output = count(timings, "predicted_n");
        u->input_ns = ms_to_ns(timings, "prompt_ms");
        u->output_ns = ms_to_ns(timings, "predicted_ms");
    }
    if (yyjson_is_obj(usage)) {
        yyjson_val *prompt = json_get(usage, "prompt_tokens_details");
        yyjson_val *completion = json_get(usage, "completion_tokens_details");
        struct llm_usage told = LLM_USAGE_NONE;
        told.input = count(usage, "prompt_tokens");
        told.output = count(usage, "completion_tokens");
        told.cached = count(prompt, "cached_tokens");
        told.cache_write = count(prompt, "cache_write_tokens");
        told.reasoning = count(completion, "reasoning_tokens");
        llm_usage_merge(u, &told);
    }
    const struct llm_usage none = LLM_USAGE_NONE;
    if (memcmp(u, &none, sizeof none) != 0)
        emit(rd, &ev);
}

static void start(struct reading *rd, yyjson_val *root)
{
    if (rd->in->started)
        return;
    rd->in->started = true;
    strv id = json_get_str(root, "id");
    emit(rd, &(struct llm_event){.kind = LLM_EV_START,
                                 .text = id.ptr != NULL ? id : STRV(""),
                                 .model = json_get_str(root, "model")});
}

static bool read_choices(struct reading *rd, yyjson_val *root, const char *member)
{
    yyjson_val *choices = json_get(root, "choices"), *choice;
    size_t i, max;
    if (choices != NULL && !yyjson_is_arr(choices))
        return malformed(rd, "choices is not an array");
    yyjson_arr_foreach(choices, i, max, choice)
    {
        if (!read_choice(rd, choice, member))
            return false;
    }
    return true;
}

/* Every choice that began has ended, and there was one. */
static bool complete(const struct dialect_in *in)
{
    return in->finished && in->seen[0] == in->done[0] && in->seen[1] == in->done[1];
}

static bool read_error(struct reading *rd, yyjson_val *root)
{
    struct dialect_said said;
    if (!dialect_read_error(root, &said))
        return false;
    rd->in->ended = true;
    emit(rd, &(struct llm_event){.kind = LLM_EV_ERROR,
                                 .text = said.message.ptr != NULL ? said.message : STRV(""),
                                 .error = said.status != 0 ? said.status : 500});
    return true;
}

static bool read_root(struct reading *rd, strv data, struct json *doc)
{
    if (!json_read(doc, data, rd->in->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, rd->err))
        return false;
    return yyjson_is_obj(doc->root) ? true : malformed(rd, "not a JSON object");
}

static bool decode_frame(struct dialect_in *in, strv name, strv data, struct err *err)
{
    (void)name; /* this dialect has none; an error under the name "error" has the member too */
    struct reading rd = {.in = in, .err = err};
    struct json doc;
    data = strv_trim(data);
    /* [DONE] after an error is no success, and after [DONE] there is nothing. Proxies keep a connection
     * alive with empty frames. */
    if (in->ended || data.len == 0)
        return true;
    if (strv_eq_cstr(data, "[DONE]")) {
        if (!complete(in))
            return malformed(&rd, "it ended without a finish_reason");
        in->ended = true;
        emit(&rd, &(struct llm_event){.kind = LLM_EV_END});
        return true;
    }
    if (!read_root(&rd, data, &doc))
        return false;
    if (read_error(&rd, doc.root))
        return true;
    start(&rd, doc.root);
    if (!read_choices(&rd, doc.root, "delta"))
        return false;
    read_usage(&rd, doc.root);
    return true;
}

/* Without tools a reply must say something or end: text, or at least a finish_reason. */
static bool says_nothing(yyjson_val *root)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(root, "choices"));
    return first == NULL ||
           (json_get(json_get(first, "message"), "content") == NULL &&
            json_get(first, "text") == NULL && json_get(first, "finish_reason") == NULL);
}

static bool decode_reply(struct dialect_in *in, strv body, struct err *err)
{
    struct reading rd = {.in = in, .err = err};
    struct json doc;
    if (!read_root(&rd, body, &doc))
        return false;
    if (read_error(&rd, doc.root))
        return true;
    if (says_nothing(doc.root))
        return malformed(&rd, "no choice, or an empty one");
    start(&rd, doc.root);
    if (!read_choices(&rd, doc.root, "message"))
        return false;
    read_usage(&rd, doc.root);
    in->ended = true;
    if (complete(in))
        emit(&rd, &(struct llm_event){.kind = LLM_EV_END});
    return true;
}

/* ---- answers for a caller ---- */

static void make_id(struct rng *rng, char out[64])
{
    memcpy(out, "chatcmpl-", 9);
    rng_text(rng, out + 9, 29);
}

/* {"id":..,"object":..,"created":..,"model":..   without the closing brace */
void openai_put_opening(const struct dialect_out *st, const char *object, struct buf *out)
{
    bool prompt = st->op == LLM_OP_GENERATE && strv_starts(st->id, STRV("chatcmpl-"));
    buf_put_cstr(out, "{\"id\":");
    json_put_str(out, strv_from(st->id, prompt ? 4 : 0)); /* "cmpl-..." */
    buf_put_cstr(out, ",\"object\":\"");
    buf_put_cstr(out, object);
    buf_put_cstr(out, "\",\"created\":");
    buf_put_i64(out, st->created_us / 1000000);
    buf_put_cstr(out, ",\"model\":");
    json_put_str(out, st->model);
}

static const char *chunk_object(const struct dialect_out *st)
{
    return st->op == LLM_OP_GENERATE ? "text_completion" : "chat.completion.chunk";
}

/* Up to and with the delta of choice `index`. What does not change is written once per stream. */
void openai_put_chunk(struct dialect_out *st, int index, struct buf *out)
{
    if (st->fixed_len > 0) {
        buf_put(out, st->fixed, st->fixed_len);
    } else {
        size_t from = buf_len(out);
        buf_put_cstr(out, "data: ");
        openai_put_opening(st, chunk_object(st), out);
        buf_put_cstr(out, ",\"choices\":[{\"index\":");
        strv made = strv_from(buf_view(out), from);
        if (!out->failed && made.len <= sizeof st->fixed) {
            memcpy(st->fixed, made.ptr, made.len);
            st->fixed_len = made.len;
        }
    }
    buf_put_u64(out, (uint64_t)index);
}

void openai_put_chunk_end(const struct dialect_out *st, struct buf *out)
{
    if (st->include_usage)
        buf_put_strv(out, STRV("}],\"usage\":null}\n\n"));
    else
        buf_put_strv(out, STRV("}]}\n\n"));
}

static void put_delta(struct dialect_out *st, const struct llm_event *ev, strv member,
                      struct buf *out)
{
    openai_put_chunk(st, ev->choice, out);
    buf_put_strv(out, member);
    json_put_esc(out, ev->text);
    buf_put_strv(out, STRV("\"},\"finish_reason\":null"));
    openai_put_chunk_end(st, out);
}

strv openai_finish_word(enum llm_finish finish)
{
    switch (finish) {
    case LLM_FINISH_LENGTH:
        return STRV("length");
    case LLM_FINISH_FILTER:
        return STRV("content_filter");
    case LLM_FINISH_NONE:
    case LLM_FINISH_STOP:
    case LLM_FINISH_STOP_SEQUENCE:
    case LLM_FINISH_CALLS:
    case LLM_FINISH_OTHER:
        break;
    }
    return STRV("stop");
}

static void put_finish(struct dialect_out *st, int index, enum llm_finish finish, struct buf *out)
{
    openai_put_chunk(st, index, out);
    buf_put_strv(out, STRV(",\"delta\":{},\"finish_reason\":\""));
    buf_put_strv(out, openai_finish_word(finish));
    buf_put_char(out, '"');
    openai_put_chunk_end(st, out);
}

/* The object needs all three counts; the ones nobody told are filled in by `input` and `output`. */
void openai_put_usage(const struct llm_usage *u, int64_t input, int64_t output, struct buf *out)
{
    if (u->input >= 0)
        input = u->input;
    if (u->output >= 0)
        output = u->output;
    buf_put_cstr(out, "{\"prompt_tokens\":");
    buf_put_i64(out, input);
    buf_put_cstr(out, ",\"completion_tokens\":");
    buf_put_i64(out, output);
    buf_put_cstr(out, ",\"total_tokens\":");
    buf_put_i64(out, input + output);
    if (u->cached >= 0 || u->cache_write >= 0) {
        buf_put_cstr(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
        buf_put_i64(out, u->cached >= 0 ? u->cached : 0);
        if (u->cache_write >= 0) {
            buf_put_cstr(out, ",\"cache_write_tokens\":");
            buf_put_i64(out, u->cache_write);
        }
        buf_put_char(out, '}');
    }
    if (u->reasoning >= 0) {
        buf_put_cstr(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":");
        buf_put_i64(out, u->reasoning);
        buf_put_char(out, '}');
    }
    buf_put_char(out, '}');
}

/* A caller that asked for figures gets the best there are. */
int64_t openai_guess(uint64_t bytes)
{
    return bytes < 8 ? 1 : (int64_t)(bytes / 4);
}

void openai_put_end(struct dialect_out *st, struct buf *out)
{
    if (st->include_usage) {
        buf_put_cstr(out, "data: ");
        openai_put_opening(st, chunk_object(st), out);
        buf_put_cstr(out, ",\"choices\":[],\"usage\":");
        openai_put_usage(&st->usage, st->input_estimate, openai_guess(st->output_bytes), out);
        buf_put_cstr(out, "}\n\n");
    }
    buf_put_cstr(out, "data: [DONE]\n\n");
}

static void begin(struct dialect_out *st, struct buf *out)
{
    if (st->started)
        return;
    st->started = true;
    st->usage = LLM_USAGE_NONE;
    openai_put_chunk(st, 0, out);
    buf_put_cstr(out,
                 ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null");
    openai_put_chunk_end(st, out);
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (st->op == LLM_OP_GENERATE)
        return openai_completion_event(st, ev, out);
    if (st->finished || ev->kind == LLM_EV_ERROR || ev->kind == LLM_EV_PING)
        return !out->failed; /* a failed stream is ended by stream_error() */
    begin(st, out);
    switch (ev->kind) {
    case LLM_EV_TEXT:
        st->output_bytes += ev->text.len;
        if (ev->text.len > 0)
            put_delta(st, ev, STRV(",\"delta\":{\"content\":\""), out);
        break;
    case LLM_EV_REASONING:
        st->output_bytes += ev->text.len;
        if (ev->text.len > 0)
            put_delta(st, ev, STRV(",\"delta\":{\"reasoning_content\":\""), out);
        break;
    case LLM_EV_FINISH:
        if (ev->choice == 0)
            st->finish = ev->finish;
        else
            put_finish(st, ev->choice, ev->finish, out);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&st->usage, &ev->usage);
        break;
    case LLM_EV_END:
        put_finish(st, 0, st->finish, out);
        openai_put_end(st, out);
        st->finished = true;
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
    case LLM_EV_VECTOR:
    case LLM_EV_START:
    case LLM_EV_ERROR:
    case LLM_EV_PING:
        break;
    }
    return !out->failed;
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    if (st->op == LLM_OP_GENERATE)
        return openai_completion_reply(st, reply, out);
    const struct llm_usage *u = &reply->usage;
    size_t text = llm_reply_bytes(reply, LLM_PART_TEXT),
           reasoning = llm_reply_bytes(reply, LLM_PART_REASONING);
    openai_put_opening(st, "chat.completion", out);
    buf_put_cstr(out,
                 ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    dialect_put_text(out, reply, LLM_PART_TEXT); /* never null: strict clients fail on it (UT-02) */
    if (reasoning > 0) {
        buf_put_cstr(out, ",\"reasoning_content\":");
        dialect_put_text(out, reply, LLM_PART_REASONING);
    }
    buf_put_cstr(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"");
    buf_put_strv(out, openai_finish_word(reply->finish));
    buf_put_cstr(out, "\"}]");
    if (u->input >= 0 || u->output >= 0) { /* left out, never null (UT-04) */
        buf_put_cstr(out, ",\"usage\":");
        openai_put_usage(u, st->input_estimate, openai_guess(text + reasoning), out);
    }
    buf_put_char(out, '}');
    return !out->failed;
}

static void encode_error(int code, strv message, strv field, strv request_id, struct buf *out)
{
    (void)request_id; /* stands in the header x-request-id */
    const struct llm_error_row *row = llm_error_row(code);
    if (message.len == 0)
        message = strv_of(row->text);
    message.len = utf8_whole(message);
    buf_put_cstr(out, "{\"error\":{\"message\":");
    json_put_str(out, message);
    buf_put_cstr(out, ",\"type\":\"");
    buf_put_cstr(out, row->openai_type);
    buf_put_cstr(out, "\",\"param\":");
    if (field.len > 0)
        json_put_str(out, field);
    else
        buf_put_cstr(out, "null");
    buf_put_cstr(out, ",\"code\":");
    if (row->openai_code != NULL)
        json_put_str(out, strv_of(row->openai_code));
    else
        buf_put_cstr(out, "null");
    buf_put_cstr(out, "}}");
}

/* Nothing follows it: a finish_reason or [DONE] would make the answer look complete. */
static void stream_error(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out)
{
    st->finished = true;
    buf_put_cstr(out, "data: ");
    encode_error(code, message, STRV_NONE, request_id, out);
    buf_put_cstr(out, "\n\n");
}

static const char *path(enum llm_op op)
{
    return op == LLM_OP_GENERATE ? "/v1/completions" : "/v1/chat/completions";
}

const struct dialect dialect_openai = {
    .id = LLM_OPENAI,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream",
    .json_type = "application/json",
    .keepalive = ": ping\n\n",
    .terminator = "data: [DONE]\n\n",
    .can = LLM_NEED_COMPLETION | LLM_NEED_TOKEN_INPUT | LLM_NEED_CHOICES | LLM_NEED_LOGPROBS |
           LLM_NEED_LOGIT_BIAS,
    .decode_request = openai_decode_request,
    .make_id = make_id,
    .encode_event = encode_event,
    .encode_reply = encode_reply,
    .encode_error = encode_error,
    .stream_error = stream_error,
    .path = path,
    .encode_request = openai_encode_request,
    .decode_frame = decode_frame,
    .decode_reply = decode_reply,
    .decode_error = dialect_decode_failure,
};
