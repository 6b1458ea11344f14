/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_fuzz - hostile callers and upstreams of /v1/messages.
 *
 * Of requests must hold: the caller's own bytes with edits are a request that says the same; a body of our
 * own keeps the rules that Anthropic checks, and read and written again it is the same to the byte. Of
 * answers: every stream that we write is legal, and says what was heard.
 */
#include "dialect_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define A (&dialect_anthropic)

/* ---- requests ---- */

static void check_calls(const struct llm_request *r, size_t at)
{
    const struct llm_message *m = &r->messages[at];
    for (size_t k = 0; k < m->n_parts; k++) {
        const struct llm_part *p = &m->parts[k];
        bool answered = false;
        if (p->kind != LLM_PART_CALL)
            continue;
        MUST(at + 1 < r->n_messages && r->n_tools > 0);
        MUST(p->text.len >= 2 && p->text.ptr[0] == '{');
        for (size_t i = 0; i < r->messages[at + 1].n_parts; i++) {
            const struct llm_part *result = &r->messages[at + 1].parts[i];
            if (result->kind != LLM_PART_RESULT)
                break; /* they come first */
            answered = answered || strv_eq(result->id, p->id);
        }
        MUST(answered);
    }
}

/* The rules that Anthropic checks and callers of other dialects do not know. */
static void check(const struct llm_request *r)
{
    MUST(r->n_messages > 0);
    size_t i = r->messages[0].role == LLM_SYSTEM ? 1 : 0;
    MUST(i < r->n_messages && r->messages[i].role == LLM_USER);
    for (; i < r->n_messages; i++) {
        const struct llm_message *m = &r->messages[i];
        MUST(m->n_parts > 0);
        MUST(i + 1 == r->n_messages || m->role != r->messages[i + 1].role);
        check_calls(r, i);
        for (size_t k = 0; k < m->n_parts; k++) {
            strv id = m->parts[k].id;
            MUST(m->parts[k].kind != LLM_PART_TEXT || strv_trim(m->parts[k].text).len > 0);
            for (size_t c = 0; c < id.len; c++)
                MUST(strchr("_-", id.ptr[c]) != NULL || (id.ptr[c] >= '0' && id.ptr[c] <= '9') ||
                     ((id.ptr[c] | 32) >= 'a' && (id.ptr[c] | 32) <= 'z'));
        }
    }
    MUST(llm_has(r, LLM_P_MAX_TOKENS) || r->op == LLM_OP_COUNT);
    MUST(!llm_has(r, LLM_P_TEMPERATURE) || !llm_has(r, LLM_P_TOP_P));
    MUST(r->think_tokens == 0 || r->op == LLM_OP_COUNT ||
         (double)r->think_tokens < r->params[LLM_P_MAX_TOKENS]);
}

static void own_bytes(const struct llm_request *r, const struct dialect_target *t)
{
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    struct llm_request again;
    uint32_t losses;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&out, BYTES_MAX);
    if (A->encode_request(r, t, &arena, &out, &losses, &err)) {
        MUST(A->decode_request(buf_view(&out), r->op, &arena, &again, &err));
        MUST(strv_eq(again.model, t->model));
        MUST(r->op == LLM_OP_COUNT || again.stream == t->stream);
        MUST(losses >> DIALECT_LOSSES == 0);
        MUST(again.n_messages == r->n_messages || (losses & (1u << DIALECT_LOSS_REASONING)) != 0);
        MUST(again.needs == r->needs && again.n_tools == r->n_tools);
    } else {
        MUST(err.set && err.code == LLM_ERR_UNSUPPORTED);
    }
    buf_fini(&out);
    arena_fini(&arena);
}

/* As if a caller of that dialect had said it; false if it cannot be said. */
static bool write_anew(struct llm_request *r, enum llm_dialect as, const struct dialect_target *t,
                       struct arena *arena, struct buf *out)
{
    struct err err = ERR_INIT;
    uint32_t losses;
    r->dialect = as;
    MUST(llm_request_mend(r));
    if (A->encode_request(r, t, arena, out, &losses, &err))
        return true;
    MUST(err.set && err.code == LLM_ERR_UNSUPPORTED);
    return false;
}

static void round_trip(struct llm_request *r, enum llm_dialect as, struct dialect_target t)
{
    struct arena arena;
    struct buf one, two;
    struct err err = ERR_INIT;
    struct llm_request again;
    t.fresh = true;
    arena_init(&arena, 4096, BYTES_MAX);
    buf_init(&one, BYTES_MAX);
    buf_init(&two, BYTES_MAX);
    if (write_anew(r, as, &t, &arena, &one)) {
        MUST(A->decode_request(buf_view(&one), r->op, &arena, &again, &err));
        check(&again);
        MUST(write_anew(&again, as, &t, &arena, &two));
        MUST(strv_eq(buf_view(&one), buf_view(&two)));
    }
    buf_fini(&one);
    buf_fini(&two);
    arena_fini(&arena);
}

static void request(strv body, unsigned bits)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    struct dialect_target t = fuzz_target(bits);
    t.op = bits & 1 ? LLM_OP_COUNT : LLM_OP_CHAT;
    t.no_forced_tools = bits & 2;
    t.own_signatures = bits & 4;
    t.thinking = bits & 32 ? DIALECT_THINK_ADAPTIVE : DIALECT_THINK_BUDGET;
    t.short_names = bits & 16;
    t.no_thinking = bits & 8 && bits & 16;
    arena_init(&arena, 4096, BYTES_MAX);
    if (A->decode_request(body, t.op, &arena, &r, &err)) {
        fuzz_texts(&r);
        MUST(r.choices == 1 && r.needs == (r.needs & A->can));
        own_bytes(&r, &t);
        t.thinking = t.thinking == DIALECT_THINK_ADAPTIVE ? DIALECT_THINK_ALWAYS : t.thinking;
        own_bytes(&r, &t);
        t.thinking = bits & 32 ? DIALECT_THINK_ADAPTIVE : DIALECT_THINK_BUDGET;
        MUST(llm_request_mend(&r));
        if (r.op == LLM_OP_CHAT) {
            fuzz_encode(&r, &dialect_openai, &t, NULL);
            fuzz_encode(&r, &dialect_ollama, &t, NULL);
        }
        round_trip(&r, LLM_ANTHROPIC, t);
        round_trip(&r, LLM_OPENAI, t);
    } else {
        MUST(err.set && err.text[0] != '\0');
    }
    arena_fini(&arena);
}

/* ---- answers ---- */

/* Whether the exchange would pass the calls on as they are: it mends the rest. */
static bool whole_calls(const struct llm_reply *reply)
{
    struct arena arena;
    bool whole = true;
    arena_init(&arena, 4096, BYTES_MAX);
    for (size_t i = 0; whole && i < reply->n_parts; i++) {
        struct json doc;
        struct err err = ERR_INIT;
        const struct llm_reply_part *p = &reply->parts[i];
        if (p->kind != LLM_PART_CALL)
            continue;
        whole = p->id.len > 0 &&
                json_read(&doc, llm_reply_text(reply, p), &arena, LLM_ERR_INTERNAL, &err) &&
                yyjson_is_obj(doc.root);
    }
    arena_fini(&arena);
    bool calls = llm_reply_has(reply, LLM_PART_CALL);
    return whole &&
           (reply->finish == LLM_FINISH_CALLS ? calls
                                              : !calls || reply->finish == LLM_FINISH_LENGTH ||
                                                    reply->finish == LLM_FINISH_FILTER);
}

static void legal(strv stream)
{
    struct dialect_check checked;
    struct arena scratch;
    strv line, name = STRV_NONE;
    arena_init(&scratch, 4096, BYTES_MAX);
    dialect_check_init(&checked, LLM_ANTHROPIC, LLM_OP_CHAT);
    while (strv_cut(&stream, '\n', &line)) {
        if (strv_starts(line, STRV("event: ")))
            name = strv_from(line, 7);
        if (!strv_starts(line, STRV("data: ")))
            continue;
        dialect_check_frame(&checked, name, strv_from(line, 6), &scratch);
        arena_reset(&scratch);
    }
    dialect_check_end(&checked, true);
    if (checked.broken != NULL)
        fprintf(stderr, "not so: %s\n", checked.broken);
    MUST(checked.broken == NULL);
    arena_fini(&scratch);
}

static void same(const struct llm_reply *a, const struct llm_reply *b)
{
    MUST(b->ended);
    MUST(a->finish == b->finish || a->finish == LLM_FINISH_OTHER);
    fuzz_same_parts(a, b, LLM_PART_TEXT);
    fuzz_same_parts(a, b, LLM_PART_REASONING);
    fuzz_same_parts(a, b, LLM_PART_CALL);
    MUST(b->usage.input >= 0 && b->usage.output >= 0);
    MUST(a->usage.output < 0 || a->usage.output == b->usage.output);
    MUST(a->usage.input < 0 || a->usage.input == b->usage.input);
}

static void answer(strv bytes, unsigned bits, bool stream)
{
    struct answer a, again;
    struct buf body;
    answer_init(&a, A, true, bits & ~1u);
    buf_init(&body, 64 << 20);
    bool ok = stream ? fuzz_feed(&a, bytes, STRV_NONE) : fuzz_whole(&a, bytes);
    if (ok && a.reply.ended && whole_calls(&a.reply)) {
        legal(buf_view(&a.bytes));
        answer_init(&again, A, false, 0);
        MUST(fuzz_feed(&again, buf_view(&a.bytes), STRV("data: ")));
        same(&a.reply, &again.reply);
        answer_fini(&again);
        answer_init(&again, A, false, 0);
        MUST(A->encode_reply(&again.st, &a.reply, &body));
        MUST(fuzz_whole(&again, buf_view(&body)));
        same(&a.reply, &again.reply);
        answer_fini(&again);
    }
    buf_fini(&body);
    answer_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || (data[0] & 3) == 3)
        return fuzz_dialect(A, data, size, NULL);
    unsigned bits = data[0] >> 2;
    strv rest = {(const char *)data + 1, size - 1};
    if ((data[0] & 3) == 0)
        request(rest, bits);
    else
        answer(rest, bits, (data[0] & 3) == 1);
    return 0;
}
