/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_fuzz - hostile callers and hostile upstreams of one dialect; included once per harness.
 *
 *   first byte & 3    0 a request   1 a stream, one frame a line   2 a whole answer   3 an error answer
 *   first byte >> 2   bits of the call and of what the target wants, or the status
 *
 * What must hold besides not falling over: what we write for an upstream is a request that it reads, and
 * says the same; what we write for a caller is an answer that we read, and says the same; nothing is heard
 * behind an answer's end; text is valid UTF-8.
 */
#ifndef DIALECT_FUZZ_H
#define DIALECT_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/dialect.h"

#define BYTES_MAX (8 << 20)

/* assert() would do, but says less in a fuzzer's report. */
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- requests ---- */

/* More that must hold of a body written for an upstream of this harness's dialect. */
typedef void (*request_check)(const struct llm_request *r);

static inline struct dialect_target fuzz_target(unsigned bits)
{
    return (struct dialect_target){
        .model = STRV("up/\"stream\""),
        .stream = bits & 2,
        .max_tokens_default = bits & 4 ? 256 : 0,
        .max_tokens_cap = bits & 8 ? 9 : 0,
        .num_ctx = bits & 16 ? 4096 : 0,
        .no_truncate = bits & 8,
        .no_sampling = bits & 4,
        .no_prefill = bits & 8,
        .mid_system = bits & 16,
        .completion_tokens = bits & 4,
        .repetition_penalty = bits & 8,
    };
}

static inline void fuzz_texts(const struct llm_request *r)
{
    MUST(utf8_valid(r->model));
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            MUST(utf8_valid(r->messages[i].parts[k].text));
    for (size_t i = 0; i < r->n_stops; i++)
        MUST(r->stops[i].len > 0 && utf8_valid(r->stops[i]));
}

static inline bool fuzz_has_twins(const struct llm_request *r)
{
    for (size_t i = 0; i < r->n_tools; i++)
        for (size_t k = 0; k < i; k++)
            if (strv_eq(r->tools[i].name, r->tools[k].name))
                return true;
    return false;
}

/* The body for an upstream of dialect `to` is a request in that dialect. */
static inline void fuzz_encode(const struct llm_request *r, const struct dialect *to,
                               const struct dialect_target *t, request_check check)
{
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    struct llm_request again;
    uint32_t losses;
    enum llm_op op = to->id == r->dialect ? r->op : LLM_OP_CHAT;
    struct dialect_target target = *t;
    target.op = op;
    if ((r->needs & ~to->can) != 0) /* never a candidate */
        return;
    if (to->id == LLM_ANTHROPIC && fuzz_has_twins(r)) /* refused there: for its caller to mend */
        return;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    if (to->encode_request(r, &target, &arena, &out, &losses, &err)) {
        MUST(to->decode_request(buf_view(&out), op, &arena, &again, &err));
        MUST(strv_eq(again.model, t->model));
        MUST(again.stream == t->stream);
        MUST(losses >> DIALECT_LOSSES == 0);
        if (to->id == r->dialect) {
            MUST(losses == 0 || t->no_sampling);
            MUST(again.n_messages == r->n_messages && again.n_stops == r->n_stops);
            MUST(again.needs == r->needs);
            MUST((r->untranslated & ~again.untranslated) == 0); /* num_ctx may be new */
        } else if (check != NULL) {
            check(&again);
        }
    } else {
        MUST(err.set && err.code == LLM_ERR_UNSUPPORTED);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

static inline void fuzz_request(const struct dialect *d, strv body, unsigned bits,
                                request_check check)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    struct dialect_target t = fuzz_target(bits);
    arena_init(&arena, 4096, BYTES_MAX);
    if (d->decode_request(body, bits & 1 ? LLM_OP_GENERATE : LLM_OP_CHAT, &arena, &r, &err)) {
        fuzz_texts(&r);
        MUST(r.choices == 1 && r.needs == (r.needs & d->can));
        fuzz_encode(&r, d, &t, NULL);
        r.arena = &arena;
        MUST(llm_request_mend(&r));
        fuzz_encode(&r, &dialect_openai, &t, d->id == LLM_OPENAI ? check : NULL);
        if (d->id != LLM_ANTHROPIC)
            fuzz_encode(&r, &dialect_anthropic, &t, NULL);
        if (d->id != LLM_OLLAMA)
            fuzz_encode(&r, &dialect_ollama, &t, NULL);
        /* The same conversation as if another dialect had brought it. */
        r.dialect = LLM_OPENAI;
        r.op = LLM_OP_CHAT;
        fuzz_encode(&r, d, &t, check);
    } else {
        MUST(err.set && err.text[0] != '\0');
    }
    arena_fini(&arena);
}

/* ---- answers ---- */

struct answer {
    const struct dialect *d;
    struct dialect_out st;
    struct buf bytes; /* what a caller gets */
    struct llm_reply reply;
    struct arena keep;
    bool encode, started, over;
};

static inline bool fuzz_take(void *arg, const struct llm_event *ev)
{
    struct answer *a = arg;
    MUST(!a->over);
    MUST(a->started || ev->kind == LLM_EV_START || ev->kind == LLM_EV_ERROR ||
         ev->kind == LLM_EV_PING);
    MUST(utf8_valid(ev->text) && utf8_valid(ev->stop_sequence) && utf8_valid(ev->raw_finish));
    MUST(ev->choice == 0);
    MUST(ev->kind != LLM_EV_START || !a->started);
    MUST((ev->kind != LLM_EV_TEXT && ev->kind != LLM_EV_REASONING) || ev->text.len > 0);
    MUST(ev->kind != LLM_EV_FINISH || ev->finish != LLM_FINISH_NONE);
    MUST(ev->kind != LLM_EV_ERROR || (ev->error >= 400 && ev->error <= 599));
    a->started = a->started || ev->kind == LLM_EV_START;
    a->over = ev->kind == LLM_EV_END || ev->kind == LLM_EV_ERROR;
    MUST(llm_reply_add(&a->reply, ev, &a->keep));
    if (a->encode)
        MUST(a->d->encode_event(&a->st, ev, &a->bytes));
    return true;
}

static inline void answer_init(struct answer *a, const struct dialect *d, bool encode,
                               unsigned bits)
{
    *a = (struct answer){.d = d, .encode = encode};
    a->st = (struct dialect_out){
        .op = bits & 1 ? LLM_OP_GENERATE : LLM_OP_CHAT, .id = STRV("id-1"), .model = STRV("m\"x")};
    buf_init(&a->bytes, 64 << 20);
    buf_init(&a->st.kept, 64 << 20);
    arena_init(&a->keep, 4096, 64 << 20);
    llm_reply_init(&a->reply, 64 << 20);
}

static inline void answer_fini(struct answer *a)
{
    buf_fini(&a->bytes);
    buf_fini(&a->st.kept);
    arena_fini(&a->keep);
    llm_reply_fini(&a->reply);
}

/* Lines as frames; false when one is refused. */
static inline bool fuzz_feed(struct answer *a, strv lines, strv prefix)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = fuzz_take, .arg = a, .scratch = &scratch, .arena = &a->keep};
    strv line;
    bool ok = true;
    arena_init(&scratch, 4096, BYTES_MAX);
    while (ok && strv_cut(&lines, '\n', &line)) {
        if (prefix.len > 0 && !strv_starts(line, prefix))
            continue;
        ok = a->d->decode_frame(&in, STRV_NONE, strv_from(line, prefix.len), &err);
        MUST(ok || err.set);
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    return ok;
}

static inline bool fuzz_whole(struct answer *a, strv body)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = fuzz_take, .arg = a, .scratch = &scratch, .arena = &a->keep};
    arena_init(&scratch, 4096, BYTES_MAX);
    bool ok = a->d->decode_reply(&in, body, &err);
    MUST(ok == a->over && ok != err.set);
    arena_fini(&scratch);
    return ok;
}

static inline void fuzz_same_parts(const struct llm_reply *a, const struct llm_reply *b,
                                   enum llm_part_kind kind)
{
    struct buf one, other;
    buf_init(&one, BYTES_MAX);
    buf_init(&other, BYTES_MAX);
    dialect_put_text(&one, a, kind);
    dialect_put_text(&other, b, kind);
    MUST(strv_eq(buf_view(&one), buf_view(&other)));
    buf_fini(&one);
    buf_fini(&other);
}

/* Calls in order: id, name, and arguments as an object, in the parser's own spelling. */
static inline void fuzz_put_calls(const struct llm_reply *reply, struct buf *out)
{
    for (size_t i = 0; i < reply->n_parts; i++) {
        const struct llm_reply_part *p = &reply->parts[i];
        struct arena arena;
        struct buf object;
        struct json doc;
        struct err err = ERR_INIT;
        if (p->kind != LLM_PART_CALL)
            continue;
        arena_init(&arena, 4096, 64 << 20);
        buf_init(&object, 64 << 20);
        buf_printf(out, "%.*s %.*s ", STRV_ARG(p->id), STRV_ARG(p->name));
        MUST(dialect_put_arguments(&object, llm_reply_text(reply, p)));
        MUST(json_read(&doc, buf_view(&object), &arena, LLM_ERR_INTERNAL, &err));
        MUST(json_put_val(out, doc.root, &arena));
        buf_fini(&object);
        arena_fini(&arena);
    }
}

static inline void fuzz_same_calls(const struct llm_reply *a, const struct llm_reply *b)
{
    struct buf one, other;
    buf_init(&one, 64 << 20);
    buf_init(&other, 64 << 20);
    fuzz_put_calls(a, &one);
    fuzz_put_calls(b, &other);
    MUST(strv_eq(buf_view(&one), buf_view(&other)));
    buf_fini(&one);
    buf_fini(&other);
}

/* Lines of a stream for a caller keep the dialect's rules. */
static inline void fuzz_legal(const struct answer *a)
{
    struct dialect_check check;
    struct arena scratch;
    strv rest = buf_view(&a->bytes), line;
    if (a->d->framing != DIALECT_NDJSON)
        return;
    dialect_check_init(&check, a->d->id, a->st.op);
    arena_init(&scratch, 4096, 64 << 20);
    while (strv_cut(&rest, '\n', &line)) {
        MUST(line.len == 0 || dialect_check_frame(&check, STRV_NONE, line, &scratch));
        arena_reset(&scratch);
    }
    MUST(dialect_check_end(&check, true));
    arena_fini(&scratch);
}

/* What a caller gets is itself an answer, which says the same. */
static inline void fuzz_same(const struct answer *a, const struct answer *again)
{
    MUST(again->reply.ended);
    fuzz_same_parts(&a->reply, &again->reply, LLM_PART_TEXT);
    if (a->d->id == LLM_OLLAMA)
        fuzz_same_calls(&a->reply, &again->reply);
    if (a->d->id != LLM_ANTHROPIC) /* which shows its callers no reasoning */
        fuzz_same_parts(&a->reply, &again->reply, LLM_PART_REASONING);
    MUST(again->reply.usage.input >= 0 && again->reply.usage.output >= 0);
    /* Anthropic counts the cached part inside the sum, whatever the upstream said. */
    if (a->reply.usage.output >= 0)
        MUST(again->reply.usage.output == a->reply.usage.output);
}

static inline void fuzz_again(struct answer *a, unsigned bits)
{
    struct answer stream, whole;
    struct buf body;
    if (!a->reply.ended)
        return;
    answer_init(&stream, a->d, false, bits);
    answer_init(&whole, a->d, false, bits);
    buf_init(&body, 64 << 20);
    fuzz_legal(a);
    MUST(fuzz_feed(&stream, buf_view(&a->bytes),
                   a->d->framing == DIALECT_SSE ? STRV("data: ") : STRV("")));
    fuzz_same(a, &stream);
    MUST(a->d->encode_reply(&whole.st, &a->reply, &body));
    MUST(fuzz_whole(&whole, buf_view(&body)));
    fuzz_same(a, &whole);
    buf_fini(&body);
    answer_fini(&stream);
    answer_fini(&whole);
}

static inline void fuzz_answer(const struct dialect *d, strv bytes, unsigned bits, bool stream)
{
    struct answer a;
    answer_init(&a, d, true, bits);
    if (stream)
        fuzz_feed(&a, bytes, STRV_NONE);
    else
        fuzz_whole(&a, bytes);
    fuzz_again(&a, bits);
    answer_fini(&a);
}

static inline void fuzz_error(const struct dialect *d, strv body, unsigned bits)
{
    static const int statuses[] = {400, 401, 403, 404, 413, 429, 500, 502, 503, 529};
    struct dialect_failure what;
    struct arena scratch;
    arena_init(&scratch, 4096, BYTES_MAX);
    d->decode_error(statuses[bits % (sizeof statuses / sizeof *statuses)], body, &scratch, &what);
    MUST(what.message.len <= 512 && utf8_valid(what.message));
    arena_fini(&scratch);
}

static inline int fuzz_dialect(const struct dialect *d, const uint8_t *data, size_t size,
                               request_check check)
{
    if (size == 0)
        return 0;
    unsigned bits = data[0] >> 2;
    strv rest = {(const char *)data + 1, size - 1};
    switch (data[0] & 3) {
    case 0:
        fuzz_request(d, rest, bits, check);
        break;
    case 1:
        fuzz_answer(d, rest, bits, true);
        break;
    case 2:
        fuzz_answer(d, rest, bits, false);
        break;
    default:
        fuzz_error(d, rest, bits);
        break;
    }
    return 0;
}

#endif
