/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ollama_fuzz - hostile callers and upstreams of /api/chat, /api/generate, /api/embed, /api/embeddings.
 *
 *   first byte < 0x80   dialect_fuzz.h
 *   from there on       & 3:  0 a conversation, told to an Ollama anew   1 texts to embed   2 vectors
 *
 * Of a conversation must hold: read, mended, written by us and read again it says the same. Of an answer:
 * every stream that we write is legal and says what was heard, calls included.
 */
#include "dialect_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define L (&dialect_ollama)

/* ---- conversations ---- */

/* Nothing that loads a model or asks for Ollama's own ways comes out of another dialect. */
static void check(const struct llm_request *r)
{
    MUST((r->needs & LLM_NEED_OLLAMA_RAW) == 0);
}

static void put_texts(const struct llm_part *parts, size_t n, enum llm_part_kind kind,
                      struct buf *out)
{
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].kind != kind)
            continue;
        if (!first)
            buf_put_char(out, '\n');
        first = false;
        buf_put_strv(out, parts[i].text);
    }
}

static void put_result(const struct llm_part *p, struct buf *out)
{
    /* What is no text in our dialect is a text in Ollama's. */
    buf_put_cstr(out, p->is_error ? "Error: " : "");
    buf_put_cstr(out, p->made_up ? "The call was cancelled: it has no result." : "");
    put_texts(p->parts, p->n_parts, LLM_PART_TEXT, out);
}

/* One part, in a form that our own way of writing does not change. */
static void put_part(const struct llm_part *p, struct buf *out)
{
    switch (p->kind) {
    case LLM_PART_CALL:
        buf_printf(out, "call %.*s %.*s ", STRV_ARG(p->id), STRV_ARG(p->name));
        MUST(dialect_put_arguments(out, p->text));
        break;
    case LLM_PART_RESULT:
        buf_printf(out, "result %.*s %.*s ", STRV_ARG(p->id), STRV_ARG(p->name));
        put_result(p, out);
        break;
    case LLM_PART_IMAGE:
        buf_printf(out, "%.*s ", STRV_ARG(p->type));
        buf_put_strv(out, p->data);
        break;
    default:
        return;
    }
    buf_put_char(out, '\n');
}

static bool has_pictures(const struct llm_message *m)
{
    for (size_t k = 0; k < m->n_parts; k++)
        for (size_t i = 0; i < m->parts[k].n_parts; i++)
            if (m->parts[k].parts[i].kind == LLM_PART_IMAGE)
                return true;
    return false;
}

static void put_message(const struct llm_message *m, struct buf *out)
{
    buf_printf(out, "%s\n", llm_role_name(m->role));
    put_texts(m->parts, m->n_parts, LLM_PART_REASONING, out);
    buf_put_char(out, '\n');
    if (m->role == LLM_SYSTEM) /* paragraphs; told apart from lines only by the writer */
        for (size_t k = 0; k < m->n_parts; k++)
            buf_put_strv(out, m->parts[k].text);
    else
        put_texts(m->parts, m->n_parts, LLM_PART_TEXT, out);
    buf_put_char(out, '\n');
    for (size_t k = 0; k < m->n_parts; k++)
        put_part(&m->parts[k], out);
}

/* All that a fresh body says. False: it holds what is written as more messages than it was. */
static bool put_all(const struct llm_request *r, struct buf *out)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        if (has_pictures(&r->messages[i]))
            return false;
        put_message(&r->messages[i], out);
    }
    for (size_t i = 0; i < r->n_tools; i++) {
        strv schema = r->tools[i].schema;
        buf_printf(out, "tool %.*s %.*s ", STRV_ARG(r->tools[i].name),
                   STRV_ARG(r->tools[i].description));
        buf_put_strv(out,
                     schema.len > 0 ? schema : STRV("{\"type\":\"object\",\"properties\":{}}"));
    }
    for (size_t i = 0; i < r->n_stops; i++)
        buf_printf(out, "stop %.*s\n", STRV_ARG(r->stops[i]));
    for (int p = 0; p < LLM_PARAMS; p++)
        if (llm_has(r, (enum llm_param)p))
            buf_printf(out, "%d %.17g\n", p, r->params[p]);
    buf_printf(out, "format %d %.*s\nthink %d\nwhole %d\n", r->format, STRV_ARG(r->schema),
               r->effort > LLM_EFFORT_ON ? LLM_EFFORT_ON : r->effort, r->no_truncate);
    return !out->failed;
}

static void told_again(struct llm_request *r, struct arena *arena)
{
    struct dialect_target t = {.model = STRV("m"), .stream = r->stream};
    struct llm_request again;
    struct err err = ERR_INIT;
    struct buf body, said, heard;
    uint32_t losses;
    buf_init(&body, BYTES_MAX);
    buf_init(&said, BYTES_MAX);
    buf_init(&heard, BYTES_MAX);
    r->dialect = LLM_OPENAI;
    MUST(llm_request_mend(r));
    MUST(L->encode_request(r, &t, arena, &body, &losses, &err));
    if (L->decode_request(buf_view(&body), LLM_OP_CHAT, arena, &again, &err)) {
        check(&again);
        MUST(llm_request_mend(&again));
        if (put_all(r, &said)) {
            MUST(put_all(&again, &heard));
            MUST(strv_eq(buf_view(&said), buf_view(&heard)));
        }
    } else { /* a text of arguments stands deeper as an object */
        MUST(strstr(err.text, "nested deeper") != NULL);
    }
    buf_fini(&body);
    buf_fini(&said);
    buf_fini(&heard);
}

static void conversation(strv body)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    arena_init(&arena, 4096, 8 * BYTES_MAX);
    if (L->decode_request(body, LLM_OP_CHAT, &arena, &r, &err) &&
        (r.needs & LLM_NEED_OLLAMA_RAW) == 0)
        told_again(&r, &arena);
    arena_fini(&arena);
}

/* ---- embeddings ---- */

static void embed_again(struct llm_request *r, struct arena *arena)
{
    struct dialect_target t = {.model = STRV("m"), .op = r->op, .num_ctx = 512};
    struct llm_request again;
    struct err err = ERR_INIT;
    struct buf body;
    uint32_t losses;
    for (int own = 1; own >= 0; own--) {
        buf_init(&body, BYTES_MAX);
        if (own == 0) {
            r->dialect = LLM_OPENAI;
            t.op = LLM_OP_EMBED;
        }
        if (own == 1 || (r->needs & LLM_NEED_OLLAMA_RAW) == 0) {
            MUST(L->encode_request(r, &t, arena, &body, &losses, &err));
            MUST(L->decode_request(buf_view(&body), t.op, arena, &again, &err));
            MUST(again.n_inputs == r->n_inputs && again.dimensions == r->dimensions);
            for (size_t i = 0; i < r->n_inputs; i++)
                MUST(strv_eq(again.inputs[i], r->inputs[i]));
        }
        buf_fini(&body);
    }
}

static void embed(strv body, unsigned bits)
{
    struct arena arena;
    struct err err = ERR_INIT;
    struct llm_request r;
    arena_init(&arena, 4096, 8 * BYTES_MAX);
    if (L->decode_request(body, bits & 1 ? LLM_OP_EMBED_1 : LLM_OP_EMBED, &arena, &r, &err)) {
        MUST((r.needs & LLM_NEED_EMBED) != 0 && !r.stream);
        MUST(r.n_inputs == (r.n_messages > 0 ? r.messages[0].n_parts : 0));
        fuzz_texts(&r);
        embed_again(&r, &arena);
    } else {
        MUST(err.set && err.text[0] != '\0');
    }
    arena_fini(&arena);
}

struct vectors {
    struct llm_reply reply;
    struct arena keep;
};

static bool take_vector(void *arg, const struct llm_event *ev)
{
    struct vectors *v = arg;
    MUST(llm_reply_add(&v->reply, ev, &v->keep));
    return true;
}

static bool hear_vectors(struct vectors *v, strv body, enum llm_op op)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    struct dialect_in in = {.op = op, .emit = take_vector, .arg = v, .scratch = &scratch};
    arena_init(&scratch, 4096, 8 * BYTES_MAX);
    arena_init(&v->keep, 4096, BYTES_MAX);
    llm_reply_init(&v->reply, BYTES_MAX);
    bool ok = L->decode_reply(&in, body, &err);
    MUST(ok != err.set);
    arena_fini(&scratch);
    return ok && v->reply.ended;
}

/* Every float is read back as it was. */
static void vectors(strv body)
{
    struct vectors first, again;
    struct dialect_out st = {.op = LLM_OP_EMBED, .model = STRV("m")};
    struct buf out;
    buf_init(&out, 8 * BYTES_MAX);
    if (hear_vectors(&first, body, LLM_OP_EMBED)) {
        MUST(L->encode_reply(&st, &first.reply, &out));
        MUST(hear_vectors(&again, buf_view(&out), LLM_OP_EMBED));
        MUST(again.reply.n_vectors == first.reply.n_vectors);
        MUST(strv_eq(buf_view(&again.reply.vectors), buf_view(&first.reply.vectors)));
        llm_reply_fini(&again.reply);
        arena_fini(&again.keep);
    }
    llm_reply_fini(&first.reply);
    arena_fini(&first.keep);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] < 0x80)
        return fuzz_dialect(L, data, size, check);
    strv rest = {(const char *)data + 1, size - 1};
    if ((data[0] & 3) == 0)
        conversation(rest);
    else if ((data[0] & 3) == 1)
        embed(rest, data[0] >> 2);
    else
        vectors(rest);
    return 0;
}
