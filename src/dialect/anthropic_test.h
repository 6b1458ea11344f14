/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_test - what the tests of this dialect share. Bodies and what is expected are written with ` in the
 * place of quotation marks; parts of a message that are no text as
 *
 *   call(id,name,input) result(id,name!:parts) think(text;signature) redacted(data)
 *   image(type,data) document(type,data,title) link(type,address)
 */
#ifndef DIALECT_ANTHROPIC_TEST_H
#define DIALECT_ANTHROPIC_TEST_H

#include "dialect/wire_test.h"

static const struct dialect *const A = &dialect_anthropic;

#define USER_HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ` becomes ", malloc'ed; the caller frees. */
static inline char *quoted(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *c = copy; *c != '\0'; c++)
        if (*c == '`')
            *c = '"';
    return copy;
}

static inline void say_parts(struct buf *b, const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct llm_part *p = &parts[i];
        buf_put_cstr(b, i > 0 ? "/" : "");
        switch (p->kind) {
        case LLM_PART_TEXT:
            buf_put_strv(b, p->text);
            break;
        case LLM_PART_REASONING:
            if (p->redacted)
                buf_printf(b, "redacted(" STRV_FMT ")", STRV_ARG(p->signature));
            else
                buf_printf(b, "think(" STRV_FMT ";" STRV_FMT ")", STRV_ARG(p->text),
                           STRV_ARG(p->signature));
            break;
        case LLM_PART_CALL:
            buf_printf(b, "call(" STRV_FMT "," STRV_FMT "," STRV_FMT ")", STRV_ARG(p->id),
                       STRV_ARG(p->name), STRV_ARG(p->text));
            break;
        case LLM_PART_RESULT:
            buf_printf(b, "result(" STRV_FMT "%s:", STRV_ARG(p->id), p->is_error ? "!" : "");
            say_parts(b, p->parts, p->n_parts);
            buf_put_char(b, ')');
            break;
        case LLM_PART_LINK:
            buf_printf(b, "link(" STRV_FMT "," STRV_FMT ")", STRV_ARG(p->type), STRV_ARG(p->text));
            break;
        case LLM_PART_IMAGE:
        case LLM_PART_DOCUMENT:
        case LLM_PART_AUDIO:
            buf_printf(b, "%s(" STRV_FMT "," STRV_FMT,
                       p->kind == LLM_PART_IMAGE ? "image" : "document", STRV_ARG(p->type),
                       STRV_ARG(p->data));
            if (p->title.len > 0)
                buf_printf(b, "," STRV_FMT, STRV_ARG(p->title));
            buf_put_char(b, ')');
            break;
        }
    }
}

static inline void say_tools(struct buf *b, const struct llm_request *r)
{
    static const char *const choices[] = {"auto", "none", "any", "one"};
    for (size_t i = 0; i < r->n_tools; i++)
        buf_printf(b, " tool(" STRV_FMT "," STRV_FMT "," STRV_FMT "%s)", STRV_ARG(r->tools[i].name),
                   STRV_ARG(r->tools[i].description), STRV_ARG(r->tools[i].schema),
                   r->tools[i].strict ? ",strict" : "");
    if (r->choose != LLM_CHOOSE_AUTO)
        buf_printf(b, " choose=%s", choices[r->choose]);
    if (r->choose == LLM_CHOOSE_ONE)
        buf_printf(b, ":" STRV_FMT, STRV_ARG(r->choose_name));
    if (r->one_call)
        buf_put_cstr(b, " one_call");
}

/* All of what a request says but for what describe() says before its messages. */
static inline void say(struct buf *b, const struct llm_request *r)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        buf_printf(b, "%s%s:", i > 0 ? " " : "", llm_role_name(r->messages[i].role));
        say_parts(b, r->messages[i].parts, r->messages[i].n_parts);
    }
    say_tools(b, r);
    if (r->effort != LLM_EFFORT_UNSET)
        buf_printf(b, " effort=%s", llm_effort_name(r->effort));
    if (r->think_tokens > 0)
        buf_printf(b, " budget=%lld", (long long)r->think_tokens);
    if (!r->hide_reasoning)
        buf_put_cstr(b, " shown");
    if (r->format == LLM_FORMAT_SCHEMA)
        buf_printf(b, " schema=" STRV_FMT, STRV_ARG(r->schema));
    for (unsigned i = 0; i < 32; i++)
        if (r->needs & (1u << i))
            buf_printf(b, " need(%s)", llm_need_field(1u << i));
    for (unsigned i = 0; i < DIALECT_LOSSES; i++)
        if (r->untranslated & (1u << i))
            buf_printf(b, " -%s", dialect_loss_name(i));
}

struct request_row {
    const char *body, *expected;
};

static inline void check_requests(const struct request_row *rows, size_t n, bool ok)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        ask(&a, A, LLM_OP_CHAT, strv_of(rows[i].body));
        assert_string_equal(cstr(&a.text), rows[i].expected);
        assert_int_equal(a.ok, ok);
        asked_fini(&a);
    }
}

static const char full_request[] __attribute__((unused)) =
    "{ \"model\" : \"claude\", \"max_tokens\":64,\"temperature\":1,\"top_p\":0.5,\"top_k\":40,"
    "\"stream\":true,\"stop_sequences\":[\"END\",\"\\u00e9\"],\"metadata\":{\"user_id\":\"u-1\"},"
    "\"system\":[{\"type\":\"text\",\"text\":\"first\"},{\"type\":\"text\",\"text\":\"second\"}],"
    "\"messages\":[{\"role\":\"user\",\"content\":\"gr\\u00fc\\u00df \\\"dich\\\"\"},"
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":"
    "\"s\"},{\"type\":\"text\",\"text\":\"ja\"}]},{\"role\":\"user\",\"content\":\"und?\"}]}";

#define AS_IF_OPENAI                                                                               \
    NULL /* the body is Anthropic's, but a caller of OpenAI's dialect had said it */

struct pass_row {
    const struct dialect *from;
    const char *body;
    struct dialect_target t;
    const char *expected, *lost;
};

static inline void check_passes(const struct pass_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        struct buf out, lost;
        char *body = quoted(rows[i].body), *expected = quoted(rows[i].expected);
        ask(&a, rows[i].from != NULL ? rows[i].from : A, rows[i].t.op, strv_of(body));
        assert_string_equal(a.err.text, "");
        if (rows[i].from == AS_IF_OPENAI)
            a.r.dialect = LLM_OPENAI;
        assert_true((a.r.dialect == LLM_ANTHROPIC && !rows[i].t.fresh) || llm_request_mend(&a.r));
        bool ok = tell(&a, A, &rows[i].t, &out, &lost);
        assert_string_equal(ok ? cstr(&out) : a.err.text, expected);
        if (ok)
            assert_string_equal(cstr(&lost), rows[i].lost);
        buf_fini(&out);
        buf_fini(&lost);
        asked_fini(&a);
        free(body);
        free(expected);
    }
}

#endif
