/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_answer - the answer of an upstream that speaks /v1/messages, as events.
 *
 * From upstreams more is taken than the documents promise: frames without an event name, text in
 * content_block_start, no message_start at all (llama-server does that when the first token is not a whole
 * character), a tool_use without `input`, errors in OpenAI's envelope, blocks that overlap:
 *
 *   llama-server    start 0, thinking, start 1, text, start 2, input, start 3, input,  stop 0, 1, 2, 3
 *   events          REASONING          TEXT           CALL ARGS       (held back)      CALL_END CALL ARGS CALL_END
 *
 * While a call is open, pieces of any other block are held back. Everything else is told as it comes; only a
 * signature that comes after something else was told is too late. What strict clients would stumble over
 * raises `flaw`, on the frame before they do. Not taken: input for what is no call, a call without a name,
 * and message_stop without a stop_reason.
 *
 * Reference: https://docs.anthropic.com/en/api/messages-streaming.
 */
#include "dialect/anthropic.h"

#define TOKENS_MAX     ((int64_t)1 << 53) /* beyond this it is no count, and sums could overflow */
#define OPEN_MAX       1024 /* blocks at a time; llama-server leaves all of an answer open */
#define HELD_BYTES_MAX ((size_t)4 << 20)
#define LOOSE          (-2) /* index of a block for text that stands in none */

enum block_kind { BLOCK_TEXT, BLOCK_THINKING, BLOCK_CALL, BLOCK_OTHER };

struct piece {
    enum llm_event_kind kind;
    bool redacted;
    strv text;
    struct piece *next;
};

struct block {
    int64_t index;
    enum block_kind kind;
    bool begun, stopped;
    bool deltas; /* CALL: there were some */
    bool some;   /* told: CALL arguments, THINKING text */
    strv id, name, input;
    struct piece *first, **end; /* held back */
    struct block *next;
};

struct taken {
    struct block *blocks; /* not ended, in the order of their starts */
    struct block *call;   /* the open one */
    struct block *last;   /* the last event was of this one */
    size_t n;
    size_t held;  /* bytes that had to be kept, in all */
    int64_t next; /* index that should come */
};

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

/* ---- usage and finish ---- */

static int64_t not_negative(int64_t n)
{
    return n > 0 ? n : 0;
}

static void take_count(yyjson_val *usage, const char *key, int64_t *into)
{
    int64_t n = json_get_int(usage, key, -1);
    if (n >= 0 && n <= TOKENS_MAX)
        *into = n;
}

/* Figures are cumulative and come field by field: what message_delta leaves out stands as message_start
 * told it, and what only message_delta tells counts as well (trap 24). The whole prompt is the sum of its
 * three parts, so the parts are kept, not the sum. */
static void take_usage(struct dialect_in *st, yyjson_val *usage)
{
    yyjson_val *written = json_get(usage, "cache_creation");
    int64_t short_lived = -1;
    if (!yyjson_is_obj(usage))
        return;
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    take_count(usage, "input_tokens", &st->plain);
    take_count(usage, "cache_read_input_tokens", &st->cache_read);
    take_count(written, "ephemeral_1h_input_tokens", &ev.usage.cache_write_1h);
    take_count(written, "ephemeral_5m_input_tokens", &short_lived);
    if (short_lived >= 0 || ev.usage.cache_write_1h >= 0)
        st->cache_write = not_negative(short_lived) + not_negative(ev.usage.cache_write_1h);
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
        {"tool_use", LLM_FINISH_CALLS},
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

static void take_error(struct dialect_in *st, const struct dialect_said *said)
{
    int status = said->status != 0 ? said->status : 500;
    emit(st, &(struct llm_event){.kind = LLM_EV_ERROR, .text = said->message, .error = status});
    st->ended = true;
}

static bool take_end(struct dialect_in *st, struct err *err)
{
    if (!st->finished)
        return malformed(err, "it ends without a stop_reason");
    emit(st, &(struct llm_event){.kind = LLM_EV_END});
    st->ended = true;
    return true;
}

/* ---- content that is told ---- */

static void tell(struct dialect_in *st, enum llm_event_kind kind, strv text)
{
    if (text.len > 0)
        emit(st, &(struct llm_event){.kind = kind, .text = text, .call = st->calls - 1});
}

static void tell_redacted(struct dialect_in *st, strv data)
{
    if (data.len > 0)
        emit(st, &(struct llm_event){.kind = LLM_EV_REASONING, .text = data, .redacted = true});
}

static void begin_call(struct dialect_in *st, strv id, strv name)
{
    if (id.len == 0)
        st->flaw = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_CALL,
                                 .call = st->calls++,
                                 .id = id.ptr != NULL ? id : STRV(""),
                                 .name = name});
}

static void end_call(struct dialect_in *st)
{
    emit(st, &(struct llm_event){.kind = LLM_EV_CALL_END, .call = st->calls - 1});
}

/* The input that stands in a block: an object as it is written; none if it is empty or absent. Some servers
 * write the object as a text. */
static strv input_of(struct dialect_in *st, const struct json *doc, yyjson_val *block)
{
    yyjson_val *input = json_get(block, "input");
    strv raw;
    if (!yyjson_is_obj(input))
        st->flaw = true;
    if (yyjson_is_str(input))
        return json_str(input);
    if (input == NULL || (yyjson_is_ctn(input) && unsafe_yyjson_get_len(input) == 0) ||
        !json_raw_member(doc, block, "input", &raw))
        return STRV("");
    return raw;
}

static enum block_kind kind_of(strv type)
{
    return strv_eq_cstr(type, "text") ? BLOCK_TEXT
           : strv_eq_cstr(type, "thinking") || strv_eq_cstr(type, "redacted_thinking")
               ? BLOCK_THINKING
           : strv_eq_cstr(type, "tool_use") ? BLOCK_CALL
                                            : BLOCK_OTHER;
}

/* ---- blocks of a stream ---- */

static struct taken *taken_of(struct dialect_in *st, struct err *err)
{
    if (st->own == NULL)
        st->own = ARENA_NEW(st->arena, struct taken);
    if (st->own == NULL)
        err_oom(err);
    return st->own;
}

static struct block *find(const struct taken *own, int64_t index)
{
    struct block *b = own->blocks;
    while (b != NULL && b->index != index)
        b = b->next;
    return b;
}

static struct block *open_block(struct dialect_in *st, struct taken *own, int64_t index,
                                enum block_kind kind, struct err *err)
{
    struct block **at = &own->blocks;
    if (own->n >= OPEN_MAX) {
        malformed(err, "too many blocks are open");
        return NULL;
    }
    struct block *b = ARENA_NEW(st->arena, struct block);
    if (b == NULL) {
        err_oom(err);
        return NULL;
    }
    b->index = index;
    b->kind = kind;
    b->end = &b->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = b;
    own->n++;
    return b;
}

static void tell_piece(struct dialect_in *st, struct taken *own, struct block *b,
                       enum llm_event_kind kind, strv text, bool redacted)
{
    if (text.len == 0)
        return;
    if (kind == LLM_EV_SIGNATURE && b->some && own->last != b) {
        st->flaw = true; /* of thinking that something else stands behind already */
        return;
    }
    if (redacted)
        tell_redacted(st, text);
    else
        tell(st, kind, text);
    b->some = b->some || kind != LLM_EV_SIGNATURE;
    own->last = b;
}

/* An upstream that never ends a call must not fill the memory with what comes behind it. */
static bool may_hold(struct taken *own, size_t bytes, struct err *err)
{
    own->held += bytes;
    return own->held <= HELD_BYTES_MAX || malformed(err, "its blocks are mixed up beyond measure");
}

/* Now, or when the open call has ended. */
static bool take_piece(struct dialect_in *st, struct taken *own, struct block *b,
                       enum llm_event_kind kind, strv text, bool redacted, struct err *err)
{
    if (own->call == NULL || own->call == b) {
        tell_piece(st, own, b, kind, text, redacted);
        return true;
    }
    if (!may_hold(own, text.len + sizeof(struct piece), err))
        return false;
    struct piece *p = ARENA_NEW(st->arena, struct piece);
    if (p == NULL)
        return err_oom(err);
    *p = (struct piece){kind, redacted, arena_strv(st->arena, text), NULL};
    *b->end = p;
    b->end = &p->next;
    return !st->arena->failed || err_oom(err);
}

static void begin_block(struct dialect_in *st, struct taken *own, struct block *b)
{
    if (b->begun)
        return;
    b->begun = true;
    if (b->kind != BLOCK_CALL)
        return;
    own->call = own->last = b;
    begin_call(st, b->id, b->name);
}

static void finish_call(struct dialect_in *st, struct taken *own)
{
    if (!own->call->some)
        tell(st, LLM_EV_ARGS, own->call->input);
    end_call(st);
    own->call = NULL;
}

/* Tells what can be told, from the first block on, and lets go of those that have ended. */
static void settle(struct dialect_in *st, struct taken *own)
{
    struct block **at = &own->blocks;
    if (own->call != NULL && own->call->stopped)
        finish_call(st, own);
    while (*at != NULL) {
        struct block *b = *at;
        if (own->call == NULL) {
            begin_block(st, own, b);
            for (; b->first != NULL; b->first = b->first->next)
                tell_piece(st, own, b, b->first->kind, b->first->text, b->first->redacted);
            b->end = &b->first;
            if (own->call == b && b->stopped)
                finish_call(st, own);
        }
        if (b->stopped && b->begun && b->first == NULL && own->call != b) {
            *at = b->next;
            own->n--;
        } else {
            at = &b->next;
        }
    }
}

static void stop_block(struct dialect_in *st, struct taken *own, struct block *b)
{
    b->stopped = true;
    if (b->kind == BLOCK_CALL && !b->deltas)
        st->flaw = true; /* trap 1: clients parse the deltas, there must be one */
    settle(st, own);
}

static bool start_call(struct dialect_in *st, struct taken *own, const struct json *doc,
                       yyjson_val *block, struct block *b, struct err *err)
{
    strv id = json_get_str(block, "id"), name = json_get_str(block, "name");
    if (name.len == 0)
        return malformed(err, "a call without the name of a tool");
    strv input = input_of(st, doc, block);
    if (!may_hold(own, id.len + name.len + input.len, err))
        return false;
    b->id = arena_strv(st->arena, id.ptr != NULL ? id : STRV(""));
    b->name = arena_strv(st->arena, name);
    b->input = arena_strv(st->arena, input);
    if (b->input.len > 0)
        st->flaw = true;
    return !st->arena->failed || err_oom(err);
}

static bool take_block_start(struct dialect_in *st, const struct json *doc, struct err *err)
{
    yyjson_val *block = json_get(doc->root, "content_block");
    strv type = json_get_str(block, "type");
    struct taken *own = taken_of(st, err);
    if (own == NULL)
        return false;
    int64_t index = json_get_int(doc->root, "index", own->next);
    struct block *old = find(own, index);
    if (index != own->next || own->blocks != NULL)
        st->flaw = true;
    own->next = index + (index < TOKENS_MAX);
    if (old != NULL)
        stop_block(st, own, old);
    struct block *b = open_block(st, own, index, kind_of(type), err);
    if (b == NULL || (b->kind == BLOCK_CALL && !start_call(st, own, doc, block, b, err)))
        return false;
    settle(st, own);
    if (b->kind == BLOCK_TEXT)
        return take_piece(st, own, b, LLM_EV_TEXT, json_get_str(block, "text"), false, err);
    if (b->kind != BLOCK_THINKING)
        return true;
    if (strv_eq_cstr(type, "redacted_thinking"))
        return take_piece(st, own, b, LLM_EV_REASONING, json_get_str(block, "data"), true, err);
    return take_piece(st, own, b, LLM_EV_REASONING, json_get_str(block, "thinking"), false, err) &&
           take_piece(st, own, b, LLM_EV_SIGNATURE, json_get_str(block, "signature"), false, err);
}

/* The block that text goes to: the one it names unless that is a call. */
static struct block *block_for_text(struct dialect_in *st, struct taken *own, struct block *b,
                                    int64_t index, struct err *err)
{
    if (b != NULL && b->kind != BLOCK_CALL)
        return b;
    st->flaw = true;
    if (b != NULL)
        index = LOOSE;
    b = find(own, index);
    return b != NULL ? b : open_block(st, own, index, BLOCK_TEXT, err);
}

static bool take_input(struct dialect_in *st, struct taken *own, struct block *b, strv text,
                       struct err *err)
{
    if (b != NULL && b->kind == BLOCK_OTHER) /* of one of the vendor's own tools */
        return true;
    if (b == NULL || b->kind != BLOCK_CALL)
        return malformed(err, "input for what is no call");
    b->deltas = true;
    return take_piece(st, own, b, LLM_EV_ARGS, text, false, err);
}

static bool take_delta(struct dialect_in *st, yyjson_val *root, struct err *err)
{
    yyjson_val *delta = json_get(root, "delta");
    strv type = json_get_str(delta, "type");
    struct taken *own = taken_of(st, err);
    if (own == NULL)
        return false;
    int64_t index = json_get_int(root, "index", own->next - 1);
    struct block *b = find(own, index);
    if (strv_eq_cstr(type, "input_json_delta"))
        return take_input(st, own, b, json_get_str(delta, "partial_json"), err);
    bool text = strv_eq_cstr(type, "text_delta"), signature = strv_eq_cstr(type, "signature_delta");
    if (!text && !signature && !strv_eq_cstr(type, "thinking_delta"))
        return true;
    strv piece = json_get_str(delta, text ? "text" : signature ? "signature" : "thinking");
    if (text && piece.ptr == NULL)
        return malformed(err, "text_delta without text");
    b = block_for_text(st, own, b, index, err);
    if (b == NULL)
        return false;
    if (b->kind != BLOCK_OTHER && (b->kind == BLOCK_TEXT) != text)
        st->flaw = true; /* trap 9: one kind in the other's block */
    return take_piece(st, own, b,
                      text        ? LLM_EV_TEXT
                      : signature ? LLM_EV_SIGNATURE
                                  : LLM_EV_REASONING,
                      piece, false, err);
}

static bool take_block_stop(struct dialect_in *st, yyjson_val *root, struct err *err)
{
    struct taken *own = taken_of(st, err);
    if (own == NULL)
        return false;
    struct block *b = find(own, json_get_int(root, "index", own->next - 1));
    if (b != NULL)
        stop_block(st, own, b);
    else
        st->flaw = true;
    return true;
}

/* Behind the reason nothing more comes of any block, whether its stop came or not. */
static void stop_all(struct dialect_in *st)
{
    struct taken *own = st->own;
    if (own == NULL || own->blocks == NULL)
        return;
    st->flaw = true;
    for (struct block *b = own->blocks; b != NULL; b = b->next)
        b->stopped = true;
    settle(st, own);
}

/* ---- frames ---- */

enum frame {
    F_NONE,
    F_START,
    F_BLOCK,
    F_DELTA,
    F_BLOCK_STOP,
    F_MESSAGE_DELTA,
    F_STOP,
    F_ERROR,
    F_PING
};

static enum frame frame_kind(strv type)
{
    static const struct {
        const char *type;
        enum frame kind;
    } rows[] = {
        {"content_block_delta", F_DELTA},
        {"message_start", F_START},
        {"content_block_start", F_BLOCK},
        {"content_block_stop", F_BLOCK_STOP},
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

/* llama-server, which calls its messages chatcmpl-..., leaves out `input` and the stops in between: what it
 * begins is written anew from the start, not from the middle of a block. */
static bool take_message(struct dialect_in *st, yyjson_val *message, struct err *err)
{
    strv id = json_get_str(message, "id");
    if (!yyjson_is_obj(message))
        return malformed(err, "message_start without a message");
    if (st->started || id.len == 0 || strv_starts(id, STRV("chatcmpl-")))
        st->flaw = true;
    start(st, id.ptr != NULL ? id : STRV(""), json_get_str(message, "model"));
    take_usage(st, json_get(message, "usage"));
    return true;
}

static bool take_frame(struct dialect_in *st, enum frame kind, const struct json *doc,
                       struct err *err)
{
    struct dialect_said said;
    if (!st->started && kind != F_NONE && kind != F_START && kind != F_STOP && kind != F_ERROR &&
        kind != F_PING) {
        st->flaw = true; /* llama-server may leave message_start out */
        start(st, STRV_NONE, STRV_NONE);
    }
    switch (kind) {
    case F_START:
        return take_message(st, json_get(doc->root, "message"), err);
    case F_BLOCK:
        return take_block_start(st, doc, err);
    case F_DELTA:
        return take_delta(st, doc->root, err);
    case F_BLOCK_STOP:
        return take_block_stop(st, doc->root, err);
    case F_MESSAGE_DELTA:
        if (json_get_str(json_get(doc->root, "delta"), "stop_reason").len > 0)
            stop_all(st);
        take_finish(st, json_get(doc->root, "delta"));
        take_usage(st, json_get(doc->root, "usage"));
        return true;
    case F_STOP:
        return take_end(st, err);
    case F_ERROR:
        dialect_read_error(doc->root, &said);
        take_error(st, &said);
        return true;
    case F_PING:
        emit(st, &(struct llm_event){.kind = LLM_EV_PING});
        return true;
    case F_NONE: /* whatever is new */
        break;
    }
    return true;
}

/* What somebody knows who has read this frame as it came. */
static void note_place(struct dialect_in *st, enum frame kind, yyjson_val *root)
{
    static const int kinds[] = {[BLOCK_TEXT] = LLM_PART_TEXT,
                                [BLOCK_THINKING] = LLM_PART_REASONING,
                                [BLOCK_CALL] = LLM_PART_CALL,
                                [BLOCK_OTHER] = LLM_PART_DOCUMENT};
    struct dialect_place *at = &st->place;
    yyjson_val *block = json_get(root, "content_block");
    strv type = json_get_str(json_get(root, "delta"), "type");
    if (kind == F_BLOCK) {
        at->block_open = true;
        at->block_kind = kinds[kind_of(json_get_str(block, "type"))];
        at->block_some = strv_eq_cstr(json_get_str(block, "type"), "redacted_thinking");
    } else if (kind == F_DELTA) {
        at->block_some = at->block_some || strv_eq_cstr(type, "input_json_delta") ||
                         strv_eq_cstr(type, "signature_delta");
    } else if (kind == F_BLOCK_STOP) {
        at->block_open = false;
        at->blocks++;
    }
}

bool anthropic_decode_frame(struct dialect_in *st, strv name, strv data, struct err *err)
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
    if (kind != F_NONE && !strv_eq(type, name))
        st->flaw = true; /* clients go by both */
    if (!take_frame(st, kind, &doc, err))
        return false;
    if (!st->flaw)
        note_place(st, kind, doc.root);
    return true;
}

/* ---- whole answers ---- */

static bool take_call(struct dialect_in *st, const struct json *doc, yyjson_val *block,
                      struct err *err)
{
    strv name = json_get_str(block, "name");
    if (name.len == 0)
        return malformed(err, "a call without the name of a tool");
    begin_call(st, json_get_str(block, "id"), name);
    tell(st, LLM_EV_ARGS, input_of(st, doc, block));
    end_call(st);
    return true;
}

/* Kinds that are not known are passed over, as the documents ask. */
static bool take_block(struct dialect_in *st, const struct json *doc, yyjson_val *block,
                       struct err *err)
{
    strv type = json_get_str(block, "type");
    switch (kind_of(type)) {
    case BLOCK_TEXT:
        tell(st, LLM_EV_TEXT, json_get_str(block, "text"));
        break;
    case BLOCK_THINKING:
        tell_redacted(st, json_get_str(block, "data"));
        tell(st, LLM_EV_REASONING, json_get_str(block, "thinking"));
        tell(st, LLM_EV_SIGNATURE, json_get_str(block, "signature"));
        break;
    case BLOCK_CALL:
        return take_call(st, doc, block, err);
    case BLOCK_OTHER:
        break;
    }
    return true;
}

static bool take_message_whole(struct dialect_in *st, const struct json *doc, struct err *err)
{
    yyjson_val *content = json_get(doc->root, "content"), *v;
    size_t at, n;
    if (!yyjson_is_arr(content))
        return malformed(err, "no list of content blocks");
    start(st, json_get_str(doc->root, "id"), json_get_str(doc->root, "model"));
    yyjson_arr_foreach(content, at, n, v)
    {
        if (!take_block(st, doc, v, err))
            return false;
    }
    take_finish(st, doc->root);
    take_usage(st, json_get(doc->root, "usage"));
    return take_end(st, err);
}

static bool take_counted(struct dialect_in *st, yyjson_val *root, struct err *err)
{
    struct llm_event ev = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    take_count(root, "input_tokens", &ev.usage.input);
    if (ev.usage.input < 0)
        return malformed(err, "no count of tokens");
    start(st, STRV_NONE, STRV_NONE);
    emit(st, &ev);
    st->finished = true;
    emit(st, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP});
    return take_end(st, err);
}

bool anthropic_decode_reply(struct dialect_in *st, strv body, struct err *err)
{
    struct json doc;
    struct dialect_said said;
    if (!json_read(&doc, body, st->scratch, LLM_ERR_ALL_PROVIDERS_FAILED, err))
        return false;
    if (!yyjson_is_obj(doc.root))
        return malformed(err, "not a JSON object");
    if (dialect_read_error(doc.root, &said)) {
        take_error(st, &said);
        return true;
    }
    return st->op == LLM_OP_COUNT ? take_counted(st, doc.root, err)
                                  : take_message_whole(st, &doc, err);
}
