/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_test - testing.h and a little more for the tests of a whole dialect: requests as a line of text, and
 * an ear that hears frames and collects the reply. Include it once per test program.
 */
#ifndef DIALECT_WIRE_TEST_H
#define DIALECT_WIRE_TEST_H

#include "dialect/testing.h"

#define MIB ((size_t)1 << 20)

struct ear {
    struct dialect_in in;
    struct arena scratch, keep; /* scratch is cleared before every frame; keep holds the reply */
    struct trace trace;
    struct llm_reply reply;
    struct err err;
};

static inline bool hear(void *arg, const struct llm_event *ev)
{
    struct ear *ear = arg;
    bool go_on = trace_emit(&ear->trace, ev);
    return llm_reply_add(&ear->reply, ev, &ear->keep) && go_on;
}

static inline void ear_init(struct ear *ear)
{
    *ear = (struct ear){.err = ERR_INIT};
    arena_init(&ear->scratch, 4096, MIB);
    arena_init(&ear->keep, 4096, MIB);
    trace_init(&ear->trace);
    llm_reply_init(&ear->reply, MIB);
    ear->in = (struct dialect_in){
        .emit = hear, .arg = ear, .scratch = &ear->scratch, .arena = &ear->keep};
}

static inline void ear_fini(struct ear *ear)
{
    llm_reply_fini(&ear->reply);
    trace_fini(&ear->trace);
    arena_fini(&ear->scratch);
    arena_fini(&ear->keep);
}

static inline bool ear_frame(struct ear *ear, const struct dialect *d, strv name, strv data)
{
    arena_reset(&ear->scratch);
    return d->decode_frame(&ear->in, name, data, &ear->err);
}

/* All frames of a stream's body. */
static inline bool ear_stream(struct ear *ear, const struct dialect *d, strv body)
{
    strv name = STRV_NONE, data;
    while (d->framing == DIALECT_SSE ? data_event(&body, &name, &data)
                                     : strv_cut(&body, '\n', &data))
        if (!ear_frame(ear, d, name, data))
            return false;
    return true;
}

static inline void assert_heard(struct ear *ear, const char *expected)
{
    assert_string_equal(trace_text(&ear->trace), expected);
}

/* The content as a C string, valid until the next append. */
static inline const char *cstr(struct buf *b)
{
    assert_true(buf_put_char(b, '\0'));
    b->end--;
    return b->data + b->start;
}

/* A request as one line: "m stream max_tokens=5 stop[x] user=u | system:a/b user:c". */
static inline void describe(const struct llm_request *r, struct buf *b)
{
    buf_printf(b, STRV_FMT "%s", STRV_ARG(r->model), r->stream ? " stream" : "");
    for (int p = 0; p < LLM_PARAMS; p++)
        if (llm_has(r, (enum llm_param)p))
            buf_printf(b, " %s=%.15g", llm_params[p].id, r->params[p]);
    for (size_t i = 0; i < r->n_stops; i++)
        buf_printf(b, " stop[" STRV_FMT "]", STRV_ARG(r->stops[i]));
    if (r->user.ptr != NULL)
        buf_printf(b, " user=" STRV_FMT, STRV_ARG(r->user));
    if (r->needs != 0)
        buf_printf(b, " needs=%u", r->needs);
    if (r->private_hint)
        buf_put_cstr(b, " private");
    for (unsigned i = 0; i < DIALECT_LOSSES; i++)
        if (r->untranslated & (1u << i))
            buf_printf(b, " -%s", dialect_loss_name(i));
    buf_put_cstr(b, " |");
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct llm_message *m = &r->messages[i];
        buf_printf(b, " %s:", llm_role_name(m->role));
        for (size_t k = 0; k < m->n_parts; k++)
            buf_printf(b, "%s" STRV_FMT, k > 0 ? "/" : "", STRV_ARG(m->parts[k].text));
    }
}

struct asked {
    struct arena arena;
    struct llm_request r;
    struct err err;
    struct buf text; /* describe() of it, or "CODE FIELD TEXT" of the error */
    bool ok;
};

static inline void ask(struct asked *a, const struct dialect *d, enum llm_op op, strv body)
{
    *a = (struct asked){.err = ERR_INIT};
    arena_init(&a->arena, 4096, MIB);
    buf_init(&a->text, MIB);
    a->ok = d->decode_request(body, op, &a->arena, &a->r, &a->err);
    if (a->ok)
        describe(&a->r, &a->text);
    else
        buf_printf(&a->text, "%s [%s] %s",
                   a->err.code == LLM_ERR_UNSUPPORTED       ? "unsupported"
                   : a->err.code == LLM_ERR_INVALID_REQUEST ? "invalid"
                   : a->err.code == ERR_CODE_OOM            ? "oom"
                                                            : "?",
                   a->err.field, a->err.text);
}

static inline void asked_fini(struct asked *a)
{
    arena_fini(&a->arena);
    buf_fini(&a->text);
}

/* The body of asked request `a` for dialect `to`; then " -loss" for each loss. */
static inline bool tell(struct asked *a, const struct dialect *to, const struct dialect_target *t,
                        struct buf *out, struct buf *lost)
{
    uint32_t losses = 0;
    buf_init(out, MIB);
    buf_init(lost, MIB);
    if (!to->encode_request(&a->r, t, &a->arena, out, &losses, &a->err))
        return false;
    for (unsigned i = 0; i < DIALECT_LOSSES; i++)
        if (losses & (1u << i))
            buf_printf(lost, "%s%s", buf_len(lost) > 0 ? " " : "", dialect_loss_name(i));
    return true;
}

#endif
