/* SPDX-License-Identifier: Apache-2.0 */
/* openai_embed: what /v1/embeddings takes, whom it can be sent to, and vectors in both forms. */
#include <math.h>

#include "dialect/wire_test.h"

#define ASK(input, rest) "{\"model\":\"m\",\"input\":" input rest "}"

static void assert_asked(const char *body, const char *expected)
{
    struct asked a;
    ask(&a, &dialect_openai, LLM_OP_EMBED, strv_of(body));
    assert_string_equal(cstr(&a.text), expected);
    asked_fini(&a);
}

static void inputs_are_understood(void **state)
{
    (void)state;
    char expected[64];
    assert_asked(ASK("\"a\"", ""), "m needs=1024 | user:a");
    assert_asked(ASK("[\"a\",\"b\"]", ",\"user\":\"u\""), "m user=u needs=1024 | user:a/b");
    assert_asked(ASK("\"a\"", ",\"keep\":1"), "m needs=1024 -other | user:a");
    snprintf(expected, sizeof expected,
             "m needs=%d private | user:", LLM_NEED_EMBED | LLM_NEED_TOKEN_INPUT);
    assert_asked(ASK("[1,2,3]", ""), expected);
    assert_asked(ASK("[[1,2],[3]]", ",\"encoding_format\":\"base64\""), expected);

    struct asked a;
    ask(&a, &dialect_openai, LLM_OP_EMBED,
        STRV(ASK("[\"a\",\"b\"]", ",\"encoding_format\":\"base64\",\"dimensions\":256")));
    assert_true(a.r.base64);
    assert_int_equal(a.r.dimensions, 256);
    assert_int_equal(a.r.n_inputs, 2);
    assert_true(strv_eq_cstr(a.r.inputs[1], "b"));
    asked_fini(&a);
    ask(&a, &dialect_openai, LLM_OP_EMBED, STRV(ASK("[[1,2],[3]]", "")));
    assert_int_equal(a.r.n_inputs, 2);
    assert_int_equal(a.r.inputs[1].len, 0);
    asked_fini(&a);
}

static void what_is_not_valid_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"model\":\"m\"}", "invalid [input] input: is required"},
        {ASK("\"\"", ""), "invalid [input] input: must not be empty"},
        {ASK("[]", ""), "invalid [input] input: must not be empty"},
        {ASK("[\"a\",\"\"]", ""), "invalid [input] input: must not be empty"},
        {ASK("{}", ""),
         "invalid [input] input: must be a string, or an array of strings or of tokens"},
        {ASK("[[1],\"a\"]", ""),
         "invalid [input] input: must be a string, or an array of strings or of tokens"},
        {ASK("\"a\"", ",\"encoding_format\":\"hex\""),
         "invalid [encoding_format] encoding_format: must be float or base64"},
        {ASK("\"a\"", ",\"dimensions\":0"),
         "invalid [dimensions] dimensions: must be an integer of at least 1"},
        {ASK("\"a\"", ",\"Input\":\"b\""),
         "invalid [] the member \"Input\" must be written in lower case"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_asked(rows[i][0], rows[i][1]);
}

static void assert_told(const struct dialect *from, enum llm_op op, const char *body,
                        const char *expected)
{
    struct asked a;
    struct buf out, lost;
    struct dialect_target t = {.model = STRV("there"), .op = LLM_OP_EMBED};
    ask(&a, from, op, strv_of(body));
    assert_true(a.ok);
    assert_true(tell(&a, &dialect_openai, &t, &out, &lost));
    assert_string_equal(cstr(&out), expected);
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

static void an_upstream_is_asked(void **state)
{
    (void)state;
    assert_told(&dialect_openai, LLM_OP_EMBED,
                "{\"input\": [1, 2], \"model\": \"m\", \"encoding_format\":\"base64\"}",
                "{\"input\": [1, 2], \"model\": \"there\", \"encoding_format\":\"base64\"}");
    assert_string_equal(dialect_openai.path(LLM_OP_EMBED), "/v1/embeddings");

    /* another dialect's request, as its decoder leaves it */
    strv inputs[] = {STRV("a"), STRV("\"b\"")};
    struct llm_request r = {.dialect = LLM_OLLAMA,
                            .op = LLM_OP_EMBED,
                            .inputs = inputs,
                            .n_inputs = 2,
                            .dimensions = 8,
                            .untranslated = 1u << DIALECT_LOSS_KEEP_ALIVE};
    struct dialect_target t = {.model = STRV("there"), .op = LLM_OP_EMBED};
    struct arena arena;
    struct buf out;
    struct err err = ERR_INIT;
    uint32_t losses;
    arena_init(&arena, 4096, MIB);
    buf_init(&out, MIB);
    assert_true(dialect_openai.encode_request(&r, &t, &arena, &out, &losses, &err));
    assert_string_equal(cstr(&out), "{\"model\":\"there\",\"input\":[\"a\",\"\\\"b\\\"\"],"
                                    "\"encoding_format\":\"float\",\"dimensions\":8}");
    assert_int_equal(losses, 1u << DIALECT_LOSS_KEEP_ALIVE);
    arena_fini(&arena);
    buf_fini(&out);
}

/* ---- answers ---- */

#define ROW(index, embedding) "{\"object\":\"embedding\"" index ",\"embedding\":" embedding "}"
#define AT(n)                 ",\"index\":" n
#define BODY(rows)                                                                                 \
    "{\"object\":\"list\",\"data\":[" rows                                                         \
    "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}"
#define MALFORMED "the provider's answer is malformed: "

static void vectors_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool base64;
        size_t inputs;
        const char *expected; /* events, or the error */
        bool flaw;
    } rows[] = {
        {BODY(ROW(AT("0"), "[1,-0.5]") "," ROW(AT("1"), "[2,3e-3]")), false, 2,
         "start(,m) vector(1,-0.5) vector(1:2,0.003) finish(stop:) usage(in=3) end", false},
        {BODY(ROW(AT("0"), "\"AACAPwAAAEA=\"")), true, 1,
         "start(,m) vector(1,2) finish(stop:) usage(in=3) end", false},
        /* UT-25: told by index, in any order; strict clients want it there, simple ones in order */
        {BODY(ROW(AT("1"), "[2]") "," ROW(AT("0"), "[1]")), false, 2,
         "start(,m) vector(1) vector(1:2) finish(stop:) usage(in=3) end", true},
        {BODY(ROW("", "[1]") "," ROW("", "[2]")), false, 2,
         "start(,m) vector(1) vector(1:2) finish(stop:) usage(in=3) end", true},
        /* the other form than the one that was asked for */
        {BODY(ROW(AT("0"), "[1]")), true, 1, "start(,m) vector(1) finish(stop:) usage(in=3) end",
         true},
        {BODY(ROW(AT("0"), "\"AACAPwAAAEA=\"")), false, 1,
         "start(,m) vector(1,2) finish(stop:) usage(in=3) end", true},
        {"{\"data\":[" ROW(AT("0"), "[1]") "]}", false, 0, "start(,) vector(1) finish(stop:) end",
         false},
        {"{\"error\":{\"message\":\"no\",\"code\":501}}", false, 1, "error(501,no)", false},
        {BODY(""), false, 1, MALFORMED "no vectors", false},
        {"[]", false, 1, MALFORMED "no vectors", false},
        {BODY(ROW(AT("0"), "[1]")), false, 2, MALFORMED "not as many vectors as inputs", false},
        {BODY(ROW(AT("0"), "[1]") "," ROW(AT("0"), "[2]")), false, 2,
         MALFORMED "two vectors have the same index", false},
        {BODY(ROW(AT("1"), "[1]")), false, 1, MALFORMED "the index of a vector is out of range",
         false},
        {BODY(ROW(AT("\"0\""), "[1]")), false, 1, MALFORMED "the index of a vector is out of range",
         false},
        {BODY(ROW(AT("0"), "null")), false, 1, MALFORMED "a vector is missing", true},
        {BODY(ROW(AT("0"), "[]")), false, 1, MALFORMED "a vector is empty", false},
        {BODY(ROW(AT("0"), "[1,null]")), false, 1,
         MALFORMED "a vector has something else than numbers", false},
        {BODY(ROW(AT("0"), "[1e300]")), false, 1,
         MALFORMED "a vector has something else than numbers", false},
        {BODY(ROW(AT("0"), "[[1]]")), false, 1,
         MALFORMED "a vector has something else than numbers", false},
        {BODY(ROW(AT("0"), "\"AACA\"")), true, 1, MALFORMED "a vector is no base64 of floats",
         false},
        /* not a number */
        {BODY(ROW(AT("0"), "\"AADAfw==\"")), true, 1, MALFORMED "a vector is no base64 of floats",
         false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        ear.in.op = LLM_OP_EMBED;
        ear.in.n_inputs = rows[i].inputs;
        ear.in.base64 = rows[i].base64;
        bool ok = dialect_openai.decode_reply(&ear.in, strv_of(rows[i].body), &ear.err);
        assert_string_equal(ok ? trace_text(&ear.trace) : ear.err.text, rows[i].expected);
        if (ok)
            assert_int_equal(ear.in.flaw, rows[i].flaw);
        ear_fini(&ear);
    }
}

static void recorded_vectors_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"18-embeddings", "19-embeddings-base64"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct ear ear;
        char path[64];
        size_t len;
        int status;
        snprintf(path, sizeof path, "llama-server/%s.response", names[i]);
        char *raw = data_read(path, &len);
        ear_init(&ear);
        ear.in.op = LLM_OP_EMBED;
        ear.in.base64 = i == 1;
        assert_true(dialect_openai.decode_reply(&ear.in, data_body(raw, len, &status), &ear.err));
        assert_true(ear.reply.ended);
        assert_false(ear.in.flaw);
        assert_true(ear.reply.n_vectors >= 1 && ear.reply.dimensions >= 8);
        ear_fini(&ear);
        free(raw);
    }
}

static void vectors_are_written(void **state)
{
    (void)state;
    const float a[] = {1, -0.5F}, b[] = {0.1F, 0};
    for (size_t i = 0; i < 2; i++) {
        struct llm_reply reply;
        struct arena keep;
        struct buf out;
        struct dialect_out st = {
            .op = LLM_OP_EMBED, .model = STRV("m"), .base64 = i == 1, .input_estimate = 7};
        arena_init(&keep, 4096, MIB);
        llm_reply_init(&reply, MIB);
        buf_init(&out, MIB);
        assert_true(llm_reply_add(
            &reply, &(struct llm_event){.kind = LLM_EV_VECTOR, .vector = a, .n_vector = 2}, &keep));
        assert_true(llm_reply_add(
            &reply,
            &(struct llm_event){.kind = LLM_EV_VECTOR, .choice = 1, .vector = b, .n_vector = 2},
            &keep));
        if (i == 1)
            reply.usage.input = 3;
        assert_true(dialect_openai.encode_reply(&st, &reply, &out));
        assert_string_equal(
            cstr(&out),
            i == 0 ? "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                     "\"embedding\":[1,-0.5]},{\"object\":\"embedding\",\"index\":1,\"embedding\":"
                     "[0.1,0]}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}"
                   : "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                     "\"embedding\":\"AACAPwAAAL8=\"},{\"object\":\"embedding\",\"index\":1,"
                     "\"embedding\":\"zczMPQAAAAA=\"}],\"model\":\"m\",\"usage\":{"
                     "\"prompt_tokens\":3,\"total_tokens\":3}}");
        llm_reply_fini(&reply);
        arena_fini(&keep);
        buf_fini(&out);
    }
}

static void failing_memory_fails_the_answer(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct ear ear;
        ear_init(&ear);
        ear.in.op = LLM_OP_EMBED;
        mem_fail_at(n, true);
        bool ok = dialect_openai.decode_reply(
            &ear.in, STRV(BODY(ROW(AT("0"), "[1]") "," ROW(AT("1"), "\"AACAPw==\""))), &ear.err);
        bool whole = ear.reply.n_vectors == 2 && ear.reply.ended;
        mem_fail_at(0, false);
        ear_fini(&ear);
        if (ok && whole)
            break;
        assert_in_range(n, 1, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_understood),
        cmocka_unit_test(what_is_not_valid_is_named),
        cmocka_unit_test(an_upstream_is_asked),
        cmocka_unit_test(vectors_are_read),
        cmocka_unit_test(recorded_vectors_are_read),
        cmocka_unit_test(vectors_are_written),
        cmocka_unit_test(failing_memory_fails_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
