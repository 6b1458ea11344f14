/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai_fuzz - hostile callers and hostile upstreams of the OpenAI dialect and the native door.
 *
 *   first byte & 7   0 a request   1 a stream, one frame a line   2 a whole answer
 *                    3 an error answer   4 a request to the native door
 *   first byte >> 3  bits of what the target wants, or the status / 100
 *
 * What must hold besides not falling over: what we write we read again, and it says the same; an answer
 * never goes on after its end; text is valid UTF-8.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/dialect.h"

#define BYTES_MAX (8 << 20)

/* assert() would do, but says less in a fuzzer's report. */
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "openai_fuzz: %s does not hold\n", #what);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- requests ---- */

static struct dialect_target target(unsigned bits)
{
    return (struct dialect_target){
        .model = STRV("up/\"stream\""),
        .stream = bits & 1,
        .max_tokens_default = bits & 2 ? 256 : 0,
        .max_tokens_cap = bits & 4 ? 9 : 0,
        .completion_tokens = bits & 8,
        .repetition_penalty = bits & 16,
    };
}

static void check_texts(const struct llm_request *r)
{
    MUST(utf8_valid(r->model));
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            MUST(utf8_valid(r->messages[i].parts[k].text));
}

/* The body for an upstream is itself a request, which says the same. */
static void check_encoded(const struct llm_request *r, const struct dialect_target *t)
{
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    struct llm_request again;
    uint32_t losses;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    MUST(dialect_openai.encode_request(r, t, &arena, &out, &losses, &err));
    MUST(dialect_openai.decode_request(buf_view(&out), r->op, &arena, &again, &err));
    MUST(strv_eq(again.model, t->model));
    MUST(again.stream == t->stream && again.include_usage == t->stream);
    MUST(again.n_messages == r->n_messages);
    MUST(again.n_stops == r->n_stops);
    for (size_t i = 0; i < r->n_messages; i++)
        MUST(again.messages[i].role == r->messages[i].role);
    for (int p = 0; p < LLM_PARAMS; p++) {
        if (p == LLM_P_MAX_TOKENS) /* default and cap */
            continue;
        MUST(llm_has(&again, (enum llm_param)p) == llm_has(r, (enum llm_param)p));
        MUST(!llm_has(r, (enum llm_param)p) || again.params[p] == r->params[p]);
    }
    MUST(t->max_tokens_cap == 0 || !llm_has(&again, LLM_P_MAX_TOKENS) ||
         again.params[LLM_P_MAX_TOKENS] <= (double)t->max_tokens_cap ||
         !llm_has(r, LLM_P_MAX_TOKENS));
    buf_fini(&out);
    arena_fini(&arena);
}

static void fuzz_request(const struct dialect *door, strv body, unsigned bits)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    struct dialect_target t = target(bits);
    arena_init(&arena, 4096, BYTES_MAX);
    if (door->decode_request(body, LLM_OP_CHAT, &arena, &r, &err)) {
        MUST(r.n_messages > 0 && r.choices >= 1);
        check_texts(&r);
        check_encoded(&r, &t);
        /* The same as if it had come in another dialect, but for the number of parts. */
        r.dialect = LLM_ANTHROPIC;
        check_encoded(&r, &t);
    } else {
        MUST(err.set && err.text[0] != '\0');
    }
    arena_fini(&arena);
}

/* ---- answers ---- */

struct answer {
    struct dialect_out st;
    struct buf bytes, text; /* what a caller gets; all text of the first choice */
    bool started, over, ended;
};

static bool take(void *arg, const struct llm_event *ev)
{
    struct answer *a = arg;
    MUST(!a->over);
    MUST(a->started || ev->kind == LLM_EV_START || ev->kind == LLM_EV_ERROR);
    MUST(ev->text.ptr == NULL || utf8_valid(ev->text));
    MUST(ev->choice >= 0 && ev->choice < 128);
    switch (ev->kind) {
    case LLM_EV_START:
        MUST(!a->started);
        a->started = true;
        break;
    case LLM_EV_TEXT:
    case LLM_EV_REASONING:
        MUST(ev->text.len > 0);
        if (ev->choice == 0)
            buf_put_strv(&a->text, ev->text);
        break;
    case LLM_EV_FINISH:
        MUST(ev->finish != LLM_FINISH_NONE);
        break;
    case LLM_EV_END:
        a->ended = a->over = true;
        break;
    case LLM_EV_ERROR:
        MUST(ev->error >= 400 && ev->error <= 599);
        a->over = true;
        break;
    case LLM_EV_SIGNATURE:
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
    case LLM_EV_VECTOR:
    case LLM_EV_USAGE:
    case LLM_EV_PING:
        break;
    }
    if (a->st.id.ptr != NULL)
        MUST(dialect_openai.encode_event(&a->st, ev, &a->bytes));
    return true;
}

static void answer_init(struct answer *a, bool encode)
{
    *a = (struct answer){.over = false};
    if (encode)
        a->st = (struct dialect_out){
            .id = STRV("chatcmpl-1"), .model = STRV("m"), .include_usage = true};
    buf_init(&a->bytes, 64 << 20);
    buf_init(&a->text, 64 << 20);
}

static void answer_fini(struct answer *a)
{
    buf_fini(&a->bytes);
    buf_fini(&a->text);
}

/* Lines as frames; false when one is refused. */
static bool feed(struct answer *a, strv lines, strv prefix)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = take, .arg = a, .scratch = &scratch};
    strv line;
    bool ok = true;
    arena_init(&scratch, 4096, BYTES_MAX);
    while (ok && strv_cut(&lines, '\n', &line)) {
        if (prefix.len > 0 && !strv_starts(line, prefix))
            continue;
        ok = dialect_openai.decode_frame(&in, STRV_NONE, strv_from(line, prefix.len), &err);
        MUST(ok || err.set);
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    return ok;
}

/* What a caller gets is itself a stream, which says the same. */
static void check_again(struct answer *a)
{
    struct answer again;
    answer_init(&again, false);
    if (a->ended) {
        MUST(feed(&again, buf_view(&a->bytes), STRV("data: ")));
        MUST(again.ended);
        MUST(strv_eq(buf_view(&a->text), buf_view(&again.text)));
    }
    answer_fini(&again);
}

static void fuzz_stream(strv lines)
{
    struct answer a;
    answer_init(&a, true);
    feed(&a, lines, STRV_NONE);
    check_again(&a);
    answer_fini(&a);
}

static void fuzz_reply(strv body)
{
    struct answer a;
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.emit = take, .arg = &a, .scratch = &scratch};
    answer_init(&a, true);
    arena_init(&scratch, 4096, BYTES_MAX);
    MUST(dialect_openai.decode_reply(&in, body, &err) || err.set);
    check_again(&a);
    arena_fini(&scratch);
    answer_fini(&a);
}

static void fuzz_failure(strv body, unsigned bits)
{
    struct arena scratch;
    struct dialect_failure f;
    arena_init(&scratch, 4096, BYTES_MAX);
    dialect_openai.decode_error(400 + (int)(bits & 15) * 10, body, &scratch, &f);
    MUST(f.message.len > 0 && f.message.len <= 512 && utf8_valid(f.message));
    arena_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    strv rest = {(const char *)data + 1, size - 1};
    unsigned bits = data[0] >> 3;
    switch (data[0] & 7) {
    case 0:
        fuzz_request(&dialect_openai, rest, bits);
        break;
    case 1:
        fuzz_stream(rest);
        break;
    case 2:
        fuzz_reply(rest);
        break;
    case 3:
        fuzz_failure(rest, bits);
        break;
    case 4:
        fuzz_request(&dialect_native, rest, bits);
        break;
    default:
        break;
    }
    return 0;
}
