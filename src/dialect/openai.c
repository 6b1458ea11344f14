/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai - chat completions, the answer: chunks and whole bodies, both ways.
 *
 *   from an upstream                                     to a caller
 *   first chunk            -> START                      START  -> chunk with the role
 *   delta.content          -> TEXT                       TEXT   -> chunk with content
 *   delta.reasoning[_content] -> REASONING               ...
 *   delta.tool_calls       -> CALL, ARGS, CALL_END       CALL   -> chunk with id, name; ARGS -> arguments
 *   finish_reason          -> FINISH                     FINISH -> kept: usage may still come
 *   usage, timings         -> USAGE                      USAGE  -> kept
 *   [DONE]                 -> END                        END    -> finish chunk, usage if asked, [DONE]
 *   error                  -> ERROR, and nothing after
 *
 * An answer counts as complete only if every choice that began had a finish_reason: [DONE] alone proves
 * nothing, vLLM and LocalAI send it after an error too (translation.md 33, 36). What a chunk opens with
 * (id, created, model) is the same in the whole stream, whatever the upstream does.
 *
 * An upstream of this dialect is passed on as it is to a caller of this dialect, but for frames with a flaw:
 * understood here, but a strict client would stumble (upstream-tolerance.json, [R] in openai.md).
 *
 * Upstreams seen: llama-server, vLLM, LocalAI, Docker Model Runner (openai.md B).
 */
#include "dialect/openai.h"

#include <math.h>

/* ---- answers of an upstream ---- */

void openai_emit(struct hearing *h, const struct llm_event *ev)
{
    if (!h->stopped && !h->in->emit(h->in->arg, ev))
        h->stopped = true;
}

bool openai_malformed(struct hearing *h, const char *what)
{
    return err_set(h->err, LLM_ERR_ALL_PROVIDERS_FAILED, "the provider's answer is malformed: %s",
                   what);
}

void openai_flaw(struct hearing *h)
{
    if (!h->precious)
        h->in->flaw = true;
}

static const struct {
    const char *word;
    enum llm_finish finish;
    bool own; /* one of OpenAI's: others are not passed on */
} finishes[] = {
    {"stop", LLM_FINISH_STOP, true},
    {"length", LLM_FINISH_LENGTH, true},
    {"tool_calls", LLM_FINISH_CALLS, true},
    {"function_call", LLM_FINISH_CALLS, true},
    {"content_filter", LLM_FINISH_FILTER, true},
    {"max_tokens", LLM_FINISH_LENGTH, false},
    {"eos", LLM_FINISH_STOP, false},
    {"abort", LLM_FINISH_NONE, false}, /* vLLM: given up half way; not an end */
    {"error", LLM_FINISH_NONE, false},
};

static struct llm_event finish_event(struct hearing *h, int index, strv word)
{
    struct llm_event ev = {
        .kind = LLM_EV_FINISH, .choice = index, .finish = LLM_FINISH_OTHER, .raw_finish = word};
    bool own = false;
    for (size_t i = 0; i < sizeof finishes / sizeof *finishes; i++)
        if (strv_eq_cstr(word, finishes[i].word)) {
            ev.finish = finishes[i].finish;
            own = finishes[i].own;
        }
    if (!own)
        openai_flaw(h);
    return ev;
}

static bool read_finish(struct hearing *h, yyjson_val *choice, int index)
{
    yyjson_val *v = json_get(choice, "finish_reason");
    uint64_t *done = &h->in->done[index / 64], bit = (uint64_t)1 << (index % 64);
    size_t calls;
    if (v != NULL && !yyjson_is_str(v))
        return openai_malformed(h, "finish_reason is not a string");
    strv word = json_str(v);
    if (v != NULL && word.len == 0) /* some servers write "" for null */
        openai_flaw(h);
    if (word.len == 0)
        return true;
    struct llm_event ev = finish_event(h, index, word);
    if (ev.finish == LLM_FINISH_NONE)
        return openai_malformed(h, "it was given up by the provider");
    /* vLLM alone tells which stop string it was; a number there is a token. */
    strv matched = json_get_str(choice, "stop_reason");
    if (ev.finish == LLM_FINISH_STOP && matched.len > 0) {
        ev.finish = LLM_FINISH_STOP_SEQUENCE;
        ev.stop_sequence = matched;
    }
    if (ev.finish == LLM_FINISH_STOP && (h->heard->refused[index / 64] & bit))
        ev.finish = LLM_FINISH_FILTER;
    if (*done & bit) { /* said twice: once is enough */
        openai_flaw(h);
        return true;
    }
    if (!openai_end_calls(h, index, &calls))
        return false;
    bool stop = ev.finish == LLM_FINISH_STOP || ev.finish == LLM_FINISH_STOP_SEQUENCE;
    if (calls > 0 ? stop : ev.finish == LLM_FINISH_CALLS)
        openai_flaw(h); /* a client would not run its tools, or look for some (traps 2, 33) */
    *done |= bit;
    h->in->finished = true;
    openai_emit(h, &ev);
    return true;
}

static bool read_text(struct hearing *h, yyjson_val *v, enum llm_event_kind kind, int index)
{
    if (v == NULL)
        return true;
    if (!yyjson_is_str(v))
        return openai_malformed(h, "content is not a string");
    return yyjson_get_len(v) == 0 || openai_hear_text(h, index, kind, json_str(v));
}

/* Mistral's own servers tell thinking and text as parts of the content. */
static bool read_content(struct hearing *h, yyjson_val *v, enum llm_event_kind kind, int index)
{
    size_t i, max;
    yyjson_val *part;
    if (!yyjson_is_arr(v))
        return read_text(h, v, kind, index);
    openai_flaw(h);
    yyjson_arr_foreach(v, i, max, part)
    {
        yyjson_val *thinking = json_get(part, "thinking"), *text = json_get(part, "text");
        if (kind == LLM_EV_TEXT && thinking != NULL) {
            if (!read_content(h, thinking, LLM_EV_REASONING, index))
                return false;
        } else if (text == NULL || !read_text(h, text, kind, index)) {
            return openai_malformed(h, "a part of the content is no text");
        }
    }
    return true;
}

/* What the choice says, but for its end. */
static bool read_delta(struct hearing *h, yyjson_val *delta, int index)
{
    /* vLLM says `reasoning`, others `reasoning_content`; some send both, one of them empty. */
    yyjson_val *reasoning = json_get(delta, "reasoning_content"),
               *refusal = json_get(delta, "refusal");
    bool calls = false;
    if (reasoning == NULL || (yyjson_is_str(reasoning) && yyjson_get_len(reasoning) == 0))
        reasoning = json_get(delta, "reasoning");
    if (yyjson_get_len(refusal) > 0)
        h->heard->refused[index / 64] |= (uint64_t)1 << (index % 64);
    if (!read_text(h, reasoning, LLM_EV_REASONING, index) ||
        !read_content(h, json_get(delta, "content"), LLM_EV_TEXT, index) ||
        !read_text(h, refusal, LLM_EV_TEXT, index) || !openai_hear_calls(h, index, delta, &calls))
        return false;
    if (h->whole && !calls && refusal == NULL && json_get(delta, "content") == NULL)
        openai_flaw(h); /* UT-02 */
    return true;
}

/* How probable the tokens were, where it was asked. One of which that cannot be read is not sure at all. */
static void read_logprobs(struct hearing *h, yyjson_val *choice)
{
    size_t i, max;
    double least;
    yyjson_val *token, *tokens = json_get(json_get(choice, "logprobs"), "content");
    if (!yyjson_is_arr(tokens))
        return;
    yyjson_arr_foreach(tokens, i, max, token)
    {
        if (!json_is_num(json_get(token, "logprob"), &least))
            least = -INFINITY;
        if (!h->in->told_sure || least < h->in->least_logprob)
            h->in->least_logprob = least < 0 ? least : 0;
        h->in->told_sure = true;
    }
}

/* `member` is "delta" in a chunk, "message" in a whole body. */
static bool read_choice(struct hearing *h, yyjson_val *choice, const char *member)
{
    int64_t index = 0;
    if (!yyjson_is_obj(choice))
        return openai_malformed(h, "a choice is not an object");
    yyjson_val *v = json_get(choice, "index");
    if (v != NULL && !(json_is_int(v, &index) && index >= 0 && index < OPENAI_CHOICES_MAX))
        return openai_malformed(h, "the index of a choice is out of range");
    yyjson_val *delta = json_get(choice, member);
    if (delta != NULL && !yyjson_is_obj(delta))
        return openai_malformed(h, "a delta is not an object");
    if (v == NULL)
        openai_flaw(h);
    if (index == 0)
        read_logprobs(h, choice);
    h->in->seen[index / 64] |= (uint64_t)1 << (index % 64);
    if (h->in->op == LLM_OP_GENERATE)
        return read_text(h, json_get(choice, "text"), LLM_EV_TEXT, (int)index) &&
               read_finish(h, choice, (int)index);
    return read_delta(h, delta, (int)index) && read_finish(h, choice, (int)index);
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

static void read_usage(struct hearing *h)
{
    yyjson_val *root = h->doc.root;
    yyjson_val *usage = json_get(root, "usage"), *timings = json_get(root, "timings");
    if (h->whole && yyjson_is_null(yyjson_obj_get(root, "usage")))
        openai_flaw(h); /* UT-04 */
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
        openai_emit(h, &ev);
}

/* Every chunk has the id, model and time of the first one, or a client takes them for two answers (trap 26). */
static void check_identity(struct hearing *h, strv id)
{
    uint64_t hash = strv_hash(id, strv_hash(json_get_str(h->doc.root, "model"), 1));
    int64_t created = json_get_int(h->doc.root, "created", 0);
    if (!h->in->started) {
        h->heard->id = hash;
        h->heard->created = created;
    }
    if (id.len == 0 || hash != h->heard->id || created != h->heard->created)
        openai_flaw(h);
}

static void start(struct hearing *h)
{
    strv id = json_get_str(h->doc.root, "id");
    check_identity(h, id);
    if (h->in->started)
        return;
    h->in->started = true;
    openai_emit(h, &(struct llm_event){.kind = LLM_EV_START,
                                       .text = id.ptr != NULL ? id : STRV(""),
                                       .model = json_get_str(h->doc.root, "model")});
}

static bool read_choices(struct hearing *h, const char *member)
{
    yyjson_val *choices = json_get(h->doc.root, "choices"), *choice;
    size_t i, max;
    if (choices != NULL && !yyjson_is_arr(choices))
        return openai_malformed(h, "choices is not an array");
    yyjson_arr_foreach(choices, i, max, choice)
    {
        if (!read_choice(h, choice, member))
            return false;
    }
    return true;
}

/* Every choice that began has ended, and there was one. */
static bool complete(const struct dialect_in *in)
{
    return in->finished && in->seen[0] == in->done[0] && in->seen[1] == in->done[1];
}

static bool read_error(struct hearing *h)
{
    struct dialect_said said;
    if (!dialect_read_error(h->doc.root, &said))
        return false;
    h->in->ended = true;
    openai_emit(h, &(struct llm_event){.kind = LLM_EV_ERROR,
                                       .text = said.message.ptr != NULL ? said.message : STRV(""),
                                       .error = said.status != 0 ? said.status : 500});
    return true;
}

static bool read_root(struct hearing *h, strv data)
{
    if (!json_read(&h->doc, data, h->in->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, h->err))
        return false;
    return yyjson_is_obj(h->doc.root) ? true : openai_malformed(h, "not a JSON object");
}

/* It says what our encoder cannot write. */
static bool is_precious(const struct hearing *h)
{
    yyjson_val *choices = json_get(h->doc.root, "choices"), *choice;
    size_t i, max;
    if (h->whole && yyjson_arr_size(choices) > 1)
        return true;
    yyjson_arr_foreach(choices, i, max, choice)
    {
        if (json_get(choice, "logprobs") != NULL)
            return true;
    }
    return false;
}

static bool begin_hearing(struct hearing *h)
{
    if (h->in->own == NULL)
        h->in->own = ARENA_NEW(h->in->arena, struct openai_heard);
    h->heard = h->in->own;
    return h->heard != NULL ? true : err_oom(h->err);
}

static bool decode_frame(struct dialect_in *in, strv name, strv data, struct err *err)
{
    (void)name; /* this dialect has none; an error under the name "error" has the member too */
    struct hearing h = {.in = in, .err = err};
    data = strv_trim(data);
    /* [DONE] after an error is no success, and after [DONE] there is nothing. Proxies keep a connection
     * alive with empty frames. */
    if (in->ended || data.len == 0)
        return true;
    if (strv_eq_cstr(data, "[DONE]")) {
        if (!complete(in))
            return openai_malformed(&h, "it ended without a finish_reason");
        in->ended = true;
        openai_emit(&h, &(struct llm_event){.kind = LLM_EV_END});
        return true;
    }
    if (!begin_hearing(&h) || !read_root(&h, data))
        return false;
    if (read_error(&h))
        return true;
    h.precious = is_precious(&h);
    start(&h);
    if (!read_choices(&h, "delta"))
        return false;
    read_usage(&h);
    return true;
}

/* A reply must say something or end: text, calls, or at least a finish_reason. */
static bool says_nothing(yyjson_val *root)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(root, "choices"));
    yyjson_val *message = json_get(first, "message");
    return first == NULL ||
           (json_get(message, "content") == NULL && json_get(first, "finish_reason") == NULL &&
            json_get(first, "text") == NULL &&
            yyjson_arr_size(json_get(message, "tool_calls")) == 0 &&
            json_get(message, "function_call") == NULL);
}

static bool decode_reply(struct dialect_in *in, strv body, struct err *err)
{
    if (in->op == LLM_OP_EMBED)
        return openai_decode_embed_reply(in, body, err);
    struct hearing h = {.in = in, .err = err, .whole = true};
    if (!begin_hearing(&h) || !read_root(&h, body))
        return false;
    if (read_error(&h))
        return true;
    if (says_nothing(h.doc.root))
        return openai_malformed(&h, "no choice, or an empty one");
    h.precious = is_precious(&h);
    start(&h);
    if (!read_choices(&h, "message"))
        return false;
    read_usage(&h);
    in->ended = true;
    if (complete(in))
        openai_emit(&h, &(struct llm_event){.kind = LLM_EV_END});
    else
        openai_flaw(&h);
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
    if (ev->text.len == 0 || ev->redacted)
        return;
    st->output_bytes += ev->text.len;
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

/* The same with calls, which a completion has none of. */
static strv chat_finish_word(const struct dialect_out *st, enum llm_finish finish)
{
    if (finish == LLM_FINISH_CALLS)
        return st->old_calls ? STRV("function_call") : STRV("tool_calls");
    return openai_finish_word(finish);
}

static void put_finish(struct dialect_out *st, int index, enum llm_finish finish, struct buf *out)
{
    openai_put_chunk(st, index, out);
    buf_put_strv(out, STRV(",\"delta\":{},\"finish_reason\":\""));
    buf_put_strv(out, chat_finish_word(st, finish));
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

/* Who began the stream: dialect_out.blocks, which has no other use here. */
enum { UNKNOWN, OWN, CONTINUED };

/* Who asked with `functions` reads function_call, of which there is one. */
static bool asked_the_old_way(const struct dialect_out *st)
{
    return st->r != NULL && st->r->dialect == LLM_OPENAI && st->r->op == LLM_OP_CHAT &&
           yyjson_arr_size(json_get(st->r->body.root, "functions")) > 0;
}

/* The first chunk of a choice tells the role. */
static void put_role(struct dialect_out *st, int choice, struct buf *out)
{
    uint64_t *told = &st->told[choice / 64], bit = (uint64_t)1 << (choice % 64);
    if (st->blocks == CONTINUED || (*told & bit))
        return;
    *told |= bit;
    openai_put_chunk(st, choice, out);
    buf_put_cstr(out,
                 ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null");
    openai_put_chunk_end(st, out);
}

static void begin(struct dialect_out *st, int choice, struct buf *out)
{
    if (st->blocks == UNKNOWN) { /* the stream may have begun with the upstream's own bytes */
        st->blocks = st->started ? CONTINUED : OWN;
        st->usage = LLM_USAGE_NONE;
        st->old_calls = !st->started && asked_the_old_way(st);
    }
    st->started = true;
    put_role(st, 0, out);
    put_role(st, choice, out);
}

static void put_call(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    st->calls++;
    st->output_bytes += ev->name.len;
    st->bare[ev->choice / 64] |= (uint64_t)1 << (ev->choice % 64);
    if (st->old_calls && ev->call > 0)
        return;
    openai_put_chunk(st, ev->choice, out);
    if (st->old_calls) {
        buf_put_strv(out, STRV(",\"delta\":{\"function_call\":{\"name\":"));
    } else {
        buf_put_strv(out, STRV(",\"delta\":{\"tool_calls\":[{\"index\":"));
        buf_put_i64(out, ev->call);
        buf_put_strv(out, STRV(",\"id\":"));
        json_put_str(out, ev->id);
        buf_put_strv(out, STRV(",\"type\":\"function\",\"function\":{\"name\":"));
    }
    json_put_str(out, ev->name);
    buf_put_strv(out, st->old_calls ? STRV(",\"arguments\":\"\"}},\"finish_reason\":null")
                                    : STRV(",\"arguments\":\"\"}}]},\"finish_reason\":null"));
    openai_put_chunk_end(st, out);
}

static void put_args(struct dialect_out *st, const struct llm_event *ev, strv text, struct buf *out)
{
    st->output_bytes += text.len;
    st->bare[ev->choice / 64] &= ~((uint64_t)1 << (ev->choice % 64));
    if (text.len == 0 || (st->old_calls && ev->call > 0))
        return;
    openai_put_chunk(st, ev->choice, out);
    if (st->old_calls) {
        buf_put_strv(out, STRV(",\"delta\":{\"function_call\":{\"arguments\":\""));
    } else {
        buf_put_strv(out, STRV(",\"delta\":{\"tool_calls\":[{\"index\":"));
        buf_put_i64(out, ev->call);
        buf_put_strv(out, STRV(",\"function\":{\"arguments\":\""));
    }
    json_put_esc(out, text);
    buf_put_strv(out, st->old_calls ? STRV("\"}},\"finish_reason\":null")
                                    : STRV("\"}}]},\"finish_reason\":null"));
    openai_put_chunk_end(st, out);
}

static bool encode_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out)
{
    if (st->op == LLM_OP_GENERATE)
        return openai_completion_event(st, ev, out);
    if (st->finished || ev->kind == LLM_EV_ERROR || ev->kind == LLM_EV_PING)
        return !out->failed; /* a failed stream is ended by stream_error() */
    begin(st, ev->choice, out);
    switch (ev->kind) {
    case LLM_EV_TEXT:
        put_delta(st, ev, STRV(",\"delta\":{\"content\":\""), out);
        break;
    case LLM_EV_REASONING:
        put_delta(st, ev, STRV(",\"delta\":{\"reasoning_content\":\""), out);
        break;
    case LLM_EV_CALL:
        put_call(st, ev, out);
        break;
    case LLM_EV_ARGS:
        if (ev->text.len > 0)
            put_args(st, ev, ev->text, out);
        break;
    case LLM_EV_CALL_END:
        if (st->bare[ev->choice / 64] >> (ev->choice % 64) & 1) /* never "" (UT-06) */
            put_args(st, ev, STRV("{}"), out);
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
        if (st->finish != LLM_FINISH_NONE ||
            st->blocks == OWN) /* else the upstream's bytes had it */
            put_finish(st, 0, st->finish, out);
        openai_put_end(st, out);
        st->finished = true;
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_VECTOR:
    case LLM_EV_START:
    case LLM_EV_ERROR:
    case LLM_EV_PING:
        break;
    }
    return !out->failed;
}

static void put_whole_function(const struct llm_reply *reply, const struct llm_reply_part *p,
                               struct buf *out)
{
    strv args = llm_reply_text(reply, p);
    buf_put_strv(out, STRV("{\"name\":"));
    json_put_str(out, p->name);
    buf_put_strv(out, STRV(",\"arguments\":"));
    json_put_str(out, args.len > 0 ? args : STRV("{}")); /* never "" (UT-06) */
    buf_put_char(out, '}');
}

static void put_whole_calls(const struct llm_reply *reply, bool old_calls, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->kind != LLM_PART_CALL || (old_calls && n > 0))
            continue;
        if (old_calls) {
            buf_put_strv(out, STRV(",\"function_call\":"));
        } else {
            buf_put_strv(out, n == 0 ? STRV(",\"tool_calls\":[{\"id\":") : STRV(",{\"id\":"));
            json_put_str(out, p->id);
            buf_put_strv(out, STRV(",\"type\":\"function\",\"function\":"));
        }
        put_whole_function(reply, p, out);
        if (!old_calls)
            buf_put_char(out, '}');
        n++;
    }
    if (n > 0 && !old_calls)
        buf_put_char(out, ']');
}

static bool encode_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out)
{
    if (st->op == LLM_OP_GENERATE)
        return openai_completion_reply(st, reply, out);
    if (st->op == LLM_OP_EMBED)
        return openai_embed_reply(st, reply, out);
    const struct llm_usage *u = &reply->usage;
    size_t text = llm_reply_bytes(reply, LLM_PART_TEXT),
           reasoning = llm_reply_bytes(reply, LLM_PART_REASONING),
           calls = llm_reply_bytes(reply, LLM_PART_CALL);
    st->old_calls = asked_the_old_way(st);
    openai_put_opening(st, "chat.completion", out);
    buf_put_cstr(out,
                 ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if (text == 0 && calls > 0)
        buf_put_cstr(out, "null");
    else /* never null: strict clients fail on it (UT-02) */
        dialect_put_text(out, reply, LLM_PART_TEXT);
    if (reasoning > 0) {
        buf_put_cstr(out, ",\"reasoning_content\":");
        dialect_put_text(out, reply, LLM_PART_REASONING);
    }
    put_whole_calls(reply, st->old_calls, out);
    buf_put_cstr(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"");
    buf_put_strv(out, chat_finish_word(st, reply->finish));
    buf_put_cstr(out, "\"}]");
    if (u->input >= 0 || u->output >= 0) { /* left out, never null (UT-04) */
        buf_put_cstr(out, ",\"usage\":");
        openai_put_usage(u, st->input_estimate, openai_guess(text + reasoning + calls), out);
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
    return op == LLM_OP_GENERATE ? "/v1/completions"
           : op == LLM_OP_EMBED  ? "/v1/embeddings"
                                 : "/v1/chat/completions";
}

const struct dialect dialect_openai = {
    .id = LLM_OPENAI,
    .framing = DIALECT_SSE,
    .stream_type = "text/event-stream",
    .json_type = "application/json",
    .keepalive = ": ping\n\n",
    .terminator = "data: [DONE]\n\n",
    .can = LLM_NEED_EMBED | LLM_NEED_COMPLETION | LLM_NEED_TOKEN_INPUT | LLM_NEED_CHOICES |
           LLM_NEED_LOGPROBS | LLM_NEED_LOGIT_BIAS | LLM_NEED_TOOLS | LLM_NEED_IMAGES |
           LLM_NEED_DOCUMENTS | LLM_NEED_AUDIO | LLM_NEED_LINKS,
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
