/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls_fuzz - OpenAI's calls besides chat, and the streams that go out of every door.
 *
 *   first byte & 7   0 a request to /v1/responses   1 ... /v1/completions   2 ... /v1/embeddings
 *                    3 an answer of /v1/embeddings   4 an answer of /v1/completions, one frame a line
 *                    5 an answer made of events that the bytes choose, told at every door
 *                    6 a stream to be judged, one frame a line
 *   first byte >> 3  bits: form of vectors, the door, whether a summary was asked for
 *
 * What must hold besides not falling over: what was understood can be said to an upstream; vectors come back
 * as they were; whatever events an answer is made of, the stream that tells it is legal by the rules of its
 * dialect, whole or failed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/dialect.h"
#include "http/http.h"

#define BYTES_MAX  (8 << 20)
#define EVENTS_MAX 256 /* more show nothing new */

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- requests ---- */

static void fuzz_parts(const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MUST(utf8_valid(parts[i].text) && utf8_valid(parts[i].id) && utf8_valid(parts[i].name));
        fuzz_parts(parts[i].parts, parts[i].n_parts);
    }
}

static void fuzz_request(const struct dialect *door, enum llm_op op, strv body)
{
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    struct llm_request r;
    uint32_t losses;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    if (!door->decode_request(body, op, &arena, &r, &err)) {
        MUST(err.set && err.text[0] != '\0');
    } else {
        r.arena = &arena;
        MUST(utf8_valid(r.model) && r.n_messages > 0);
        MUST(op != LLM_OP_EMBED || r.n_inputs > 0);
        for (size_t i = 0; i < r.n_messages; i++)
            fuzz_parts(r.messages[i].parts, r.messages[i].n_parts);
        struct dialect_target t = {.model = STRV("up"),
                                   .op = door->id == LLM_OPENAI ? op : LLM_OP_CHAT,
                                   .stream = r.stream};
        bool known = (r.needs & ~dialect_openai.can) == 0;
        if (known && llm_request_mend(&r))
            MUST(dialect_openai.encode_request(&r, &t, &arena, &out, &losses, &err) ||
                 err.code == LLM_ERR_UNSUPPORTED || err.code == ERR_CODE_OOM);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

/* ---- answers of upstreams ---- */

struct heard {
    struct llm_reply reply;
    struct arena keep;
    bool over, refused;
};

static bool take(void *arg, const struct llm_event *ev)
{
    struct heard *h = arg;
    MUST(!h->over);
    h->over = ev->kind == LLM_EV_END || ev->kind == LLM_EV_ERROR;
    h->refused = h->refused || !llm_reply_add(&h->reply, ev, &h->keep);
    return !h->refused;
}

static void heard_init(struct heard *h)
{
    *h = (struct heard){.over = false};
    arena_init(&h->keep, 4096, BYTES_MAX);
    llm_reply_init(&h->reply, BYTES_MAX);
}

static void heard_fini(struct heard *h)
{
    arena_fini(&h->keep);
    llm_reply_fini(&h->reply);
}

static bool hear_vectors(struct heard *h, strv body, bool base64)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {
        .op = LLM_OP_EMBED, .emit = take, .arg = h, .scratch = &scratch, .base64 = base64};
    heard_init(h);
    arena_init(&scratch, 4096, BYTES_MAX);
    bool ok = dialect_openai.decode_reply(&in, body, &err);
    MUST(ok || err.set);
    arena_fini(&scratch);
    return ok && h->reply.ended && !h->refused;
}

static void fuzz_vectors(strv body, unsigned bits)
{
    struct heard h, again;
    struct dialect_out st = {.op = LLM_OP_EMBED, .model = STRV("m"), .base64 = bits & 1};
    struct buf out;
    buf_init(&out, 64 << 20);
    if (hear_vectors(&h, body, bits & 2)) {
        MUST(dialect_openai.encode_reply(&st, &h.reply, &out));
        MUST(hear_vectors(&again, buf_view(&out), bits & 1));
        MUST(again.reply.n_vectors == h.reply.n_vectors);
        for (size_t i = 0; i < buf_len(&h.reply.vectors) / sizeof(float); i++) {
            float one, other;
            memcpy(&one, buf_view(&h.reply.vectors).ptr + i * sizeof one, sizeof one);
            memcpy(&other, buf_view(&again.reply.vectors).ptr + i * sizeof other, sizeof other);
            MUST(one <= other && one >= other);
        }
        heard_fini(&again);
    }
    heard_fini(&h);
    buf_fini(&out);
}

static void fuzz_completion(strv lines)
{
    struct heard h;
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.op = LLM_OP_GENERATE, .emit = take, .arg = &h, .scratch = &scratch};
    strv line;
    heard_init(&h);
    arena_init(&scratch, 4096, BYTES_MAX);
    in.arena = &h.keep;
    while (!h.refused && strv_cut(&lines, '\n', &line) &&
           dialect_openai.decode_frame(&in, STRV_NONE, line, &err))
        arena_reset(&scratch);
    arena_fini(&scratch);
    heard_fini(&h);
}

/* ---- streams for callers ---- */

struct told {
    const struct dialect *door;
    struct dialect_out st;
    struct buf bytes;
};

static struct told *told_init(struct told *t, enum llm_dialect door, unsigned bits)
{
    *t = (struct told){.door = dialect_get(door)};
    t->st = (struct dialect_out){
        .op = door != LLM_RESPONSES && door != LLM_ANTHROPIC && door != LLM_NATIVE && (bits & 8)
                  ? LLM_OP_GENERATE
                  : LLM_OP_CHAT,
        .id = STRV("resp_x\"1"),
        .model = STRV("m\"x"),
        .provider = STRV("p"),
        .include_usage = bits & 16,
        .as_summary = bits & 4,
    };
    buf_init(&t->st.kept, BYTES_MAX);
    buf_init(&t->bytes, BYTES_MAX);
    return t;
}

static void tell(struct told *t, const struct llm_event *ev)
{
    MUST(t->door->encode_event(&t->st, ev, &t->bytes));
}

static bool judge_frame(void *arg, const struct http_frame *frame)
{
    struct dialect_check *c = arg;
    struct arena scratch;
    arena_init(&scratch, 4096, 64 << 20);
    bool ok = dialect_check_frame(c, frame->name, frame->data, &scratch);
    arena_fini(&scratch);
    return ok;
}

static void judge(struct told *t, bool complete)
{
    struct http_framer framer;
    struct dialect_check c;
    strv all = buf_view(&t->bytes);
    dialect_check_init(&c, t->door->id, t->st.op);
    http_framer_init(&framer, t->door->framing == DIALECT_SSE ? HTTP_SSE : HTTP_NDJSON, BYTES_MAX);
    bool ok = http_framer_feed(&framer, all.ptr, all.len, judge_frame, &c) &&
              http_framer_end(&framer, judge_frame, &c) && dialect_check_end(&c, complete);
    if (!ok)
        fprintf(stderr, "%s: %s\n%.*s\n", llm_dialect_name(t->door->id),
                c.broken != NULL ? c.broken : "?", (int)all.len, all.ptr);
    MUST(ok);
    http_framer_fini(&framer);
}

static strv some_text(uint8_t byte)
{
    static const char *const texts[] = {
        "", "Hi", "\"q\"\n", "caf\xc3\xa9", "\xf0\x9f\x99\x82", "{\"a\":", "\\", "\x01"};
    return strv_of(texts[byte >> 3 & 7]);
}

/* What the exchange lets through: calls with an id and sound arguments. */
static void tell_call(struct told *t, int call, uint8_t byte)
{
    char id[16];
    snprintf(id, sizeof id, "call_%d", call);
    tell(t, &(struct llm_event){
                .kind = LLM_EV_CALL, .call = call, .id = strv_of(id), .name = STRV("f")});
    static const char *const pieces[][3] = {{"", "", ""},
                                            {"{}", "", ""},
                                            {"{\"a\"", ":12345678901234567890", "}"},
                                            {"{\"t\":\"caf", "\xc3\xa9 \\u00e9\"", "}"}};
    for (int i = 0; i < 3; i++)
        tell(t, &(struct llm_event){
                    .kind = LLM_EV_ARGS, .call = call, .text = strv_of(pieces[byte >> 3 & 3][i])});
    tell(t, &(struct llm_event){.kind = LLM_EV_CALL_END, .call = call});
}

/* What one byte stands for. *calls counts them; `thought`: reasoning came before it. */
static void tell_one(struct told *t, uint8_t byte, int *calls, bool thought)
{
    static const enum llm_event_kind kinds[] = {
        LLM_EV_TEXT,      LLM_EV_TEXT, LLM_EV_REASONING, LLM_EV_REASONING,
        LLM_EV_SIGNATURE, LLM_EV_CALL, LLM_EV_PING,      LLM_EV_PING};
    struct llm_event ev = {.kind = kinds[byte & 7], .text = some_text(byte)};
    if (ev.kind == LLM_EV_CALL) {
        if (t->st.op == LLM_OP_CHAT)
            tell_call(t, (*calls)++, byte);
    } else if (ev.kind != LLM_EV_SIGNATURE || thought) {
        tell(t, &ev);
    }
}

static void tell_end(struct told *t, int calls, unsigned bits, bool counted)
{
    static const enum llm_finish finishes[] = {LLM_FINISH_STOP, LLM_FINISH_LENGTH,
                                               LLM_FINISH_FILTER, LLM_FINISH_OTHER};
    struct llm_event usage = {.kind = LLM_EV_USAGE, .usage = LLM_USAGE_NONE};
    enum llm_finish finish = finishes[bits & 3];
    if (calls > 0 && (finish == LLM_FINISH_STOP || finish == LLM_FINISH_OTHER))
        finish = LLM_FINISH_CALLS;
    tell(t,
         &(struct llm_event){.kind = LLM_EV_FINISH, .finish = finish, .raw_finish = STRV("stop")});
    usage.usage.input = counted ? 7 : -1;
    tell(t, &usage);
    tell(t, &(struct llm_event){.kind = LLM_EV_END});
}

static void fuzz_door(enum llm_dialect door, strv choices, unsigned bits)
{
    struct told t;
    int calls = 0;
    bool failed = false, thought = false;
    told_init(&t, door, bits);
    tell(&t, &(struct llm_event){.kind = LLM_EV_START, .text = STRV("up"), .model = STRV("m")});
    for (size_t i = 0; i < choices.len && i < EVENTS_MAX && !failed; i++) {
        uint8_t byte = (uint8_t)choices.ptr[i];
        failed = byte == 0xff;
        if (!failed)
            tell_one(&t, byte, &calls, thought);
        thought = (byte & 6) == 2;
    }
    if (failed)
        t.door->stream_error(&t.st, LLM_ERR_UPSTREAM_CUT, STRV("x\"y"), STRV("req"), &t.bytes);
    else
        tell_end(&t, calls, bits, choices.len & 1);
    judge(&t, !failed);
    buf_fini(&t.bytes);
    buf_fini(&t.st.kept);
}

static void fuzz_judge(strv lines, unsigned bits)
{
    struct dialect_check c;
    struct arena scratch;
    strv line, name;
    dialect_check_init(&c, (enum llm_dialect)(bits % LLM_DIALECTS),
                       bits & 8 ? LLM_OP_GENERATE : LLM_OP_CHAT);
    c.passed = bits & 16;
    arena_init(&scratch, 4096, BYTES_MAX);
    while (strv_cut(&lines, '\n', &line)) {
        if (memchr(line.ptr, '|', line.len) == NULL || !strv_cut(&line, '|', &name))
            name = STRV("");
        bool broken = c.broken != NULL;
        bool ok = dialect_check_frame(&c, name, line.ptr != NULL ? line : STRV(""), &scratch);
        MUST(ok == (c.broken == NULL) && !(broken && ok));
        arena_reset(&scratch);
    }
    dialect_check_end(&c, bits & 1);
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
        fuzz_request(&dialect_responses, LLM_OP_CHAT, rest);
        break;
    case 1:
        fuzz_request(&dialect_openai, LLM_OP_GENERATE, rest);
        break;
    case 2:
        fuzz_request(&dialect_openai, LLM_OP_EMBED, rest);
        break;
    case 3:
        fuzz_vectors(rest, bits);
        break;
    case 4:
        fuzz_completion(rest);
        break;
    case 5:
        for (int d = 0; d < LLM_DIALECTS; d++)
            fuzz_door((enum llm_dialect)d, rest, bits);
        break;
    default:
        fuzz_judge(rest, bits);
        break;
    }
    return 0;
}
