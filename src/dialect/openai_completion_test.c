/* SPDX-License-Identifier: Apache-2.0 */
/* openai_completion: what /v1/completions takes, who can serve it, and how its answers look. */
#include "dialect/wire_test.h"

#define ASK(prompt, rest) "{\"model\":\"m\",\"prompt\":" prompt rest "}"

static void assert_asked(const char *body, const char *expected)
{
    struct asked a;
    ask(&a, &dialect_openai, LLM_OP_GENERATE, strv_of(body));
    assert_string_equal(cstr(&a.text), expected);
    asked_fini(&a);
}

static void a_prompt_is_a_message_of_the_user(void **state)
{
    (void)state;
    assert_asked(ASK("\"Hi\"", ""), "m | user:Hi");
    assert_asked(ASK("[\"Hi\"]", ",\"max_tokens\":5,\"stop\":\"x\",\"stream\":true,\"user\":\"u\""),
                 "m stream max_tokens=5 stop[x] user=u | user:Hi");
    assert_asked(ASK("\"\"", ",\"suffix\":null,\"echo\":false,\"best_of\":1,\"n\":1,"
                             "\"logprobs\":null,\"logit_bias\":{}"),
                 "m | user:");
    assert_asked(ASK("\"Hi\"", ",\"logprobs\":false"), "m | user:Hi");
    assert_asked(ASK("\"Hi\"", ",\"store\":true"), "m -other | user:Hi");
}

static void what_only_this_interface_has_is_a_need(void **state)
{
    (void)state;
    char expected[128];
    static const struct {
        const char *body;
        uint32_t needs;
        const char *rest;
    } rows[] = {
        {ASK("[\"a\",\"b\"]", ""), LLM_NEED_CHOICES, " | user:a/b"},
        {ASK("\"a\"", ",\"suffix\":\"z\""), LLM_NEED_COMPLETION, " | user:a/z"},
        {ASK("\"a\"", ",\"echo\":true"), LLM_NEED_COMPLETION, " | user:a"},
        {ASK("\"a\"", ",\"best_of\":2"), LLM_NEED_COMPLETION, " | user:a"},
        {ASK("\"a\"", ",\"logprobs\":0"), LLM_NEED_COMPLETION, " | user:a"},
        {ASK("\"a\"", ",\"logprobs\":5"), LLM_NEED_COMPLETION, " | user:a"},
        {ASK("\"a\"", ",\"n\":2"), LLM_NEED_CHOICES, " | user:a"},
        {ASK("\"a\"", ",\"logit_bias\":{\"1\":2}"), LLM_NEED_LOGIT_BIAS, " | user:a"},
        /* what cannot be read may be anything, so it stays at home */
        {ASK("[1,2]", ""), LLM_NEED_TOKEN_INPUT, " private | user:"},
        {ASK("[[1,2],[3]]", ""), LLM_NEED_TOKEN_INPUT | LLM_NEED_CHOICES, " private | user:"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(expected, sizeof expected, "m needs=%u%s", (unsigned)rows[i].needs, rows[i].rest);
        assert_asked(rows[i].body, expected);
    }
}

static void what_is_not_valid_is_named(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"model\":\"m\"}", "invalid [prompt] prompt: is required"},
        {ASK("[]", ""), "invalid [prompt] prompt: must not be empty"},
        {ASK("7", ""),
         "invalid [prompt] prompt: must be a string, or an array of strings or of tokens"},
        {ASK("[\"a\",1]", ""),
         "invalid [prompt] prompt: must be a string, or an array of strings or of tokens"},
        {ASK("[1,\"a\"]", ""),
         "invalid [prompt] prompt: must be a string, or an array of strings or of tokens"},
        {ASK("[[1],[]]", ""),
         "invalid [prompt] prompt: must be a string, or an array of strings or of tokens"},
        {ASK("[-1]", ""),
         "invalid [prompt] prompt: must be a string, or an array of strings or of tokens"},
        {ASK("\"a\"", ",\"suffix\":1"), "invalid [suffix] suffix: must be a string"},
        {ASK("\"a\"", ",\"echo\":1"), "invalid [echo] echo: must be true or false"},
        {ASK("\"a\"", ",\"best_of\":21"),
         "invalid [best_of] best_of: must be an integer between 0 and 20"},
        {ASK("\"a\"", ",\"logprobs\":6"),
         "invalid [logprobs] logprobs: must be an integer between 0 and 5"},
        {ASK("\"a\"", ",\"logprobs\":true"),
         "invalid [logprobs] logprobs: must be an integer between 0 and 5"},
        {ASK("\"a\"", ",\"n\":0"), "invalid [n] n: must be an integer between 1 and 128"},
        {ASK("\"a\"", ",\"Prompt\":\"b\""),
         "invalid [] the member \"Prompt\" must be written in lower case"},
        {"[]", "invalid [] the body must be a JSON object"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_asked(rows[i][0], rows[i][1]);
}

static void the_same_interface_gets_the_own_bytes(void **state)
{
    (void)state;
    struct asked a;
    struct buf out, lost;
    struct dialect_target t = {.model = STRV("there"), .op = LLM_OP_GENERATE, .stream = true};
    ask(&a, &dialect_openai, LLM_OP_GENERATE,
        STRV("{\"model\":\"m\",\"prompt\":[1, 2],\"suffix\":\"z\",\"stream\":true}"));
    assert_true(tell(&a, &dialect_openai, &t, &out, &lost));
    assert_string_equal(cstr(&out),
                        "{\"stream_options\":{\"include_usage\":true},\"model\":\"there\","
                        "\"prompt\":[1, 2],\"suffix\":\"z\",\"stream\":true}");
    assert_string_equal(dialect_openai.path(LLM_OP_GENERATE), "/v1/completions");
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

static void another_interface_gets_a_chat(void **state)
{
    (void)state;
    struct asked a;
    struct buf out, lost;
    struct dialect_target t = {.model = STRV("there"), .op = LLM_OP_CHAT};
    ask(&a, &dialect_openai, LLM_OP_GENERATE, STRV(ASK("\"Hi\"", ",\"max_tokens\":5")));
    assert_true(tell(&a, &dialect_ollama, &t, &out, &lost));
    assert_non_null(strstr(cstr(&out), "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"));
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

/* ---- answers ---- */

#define CHOICE(n, text, finish)                                                                    \
    "{\"index\":" n ",\"text\":\"" text "\",\"logprobs\":null,\"finish_reason\":" finish "}"
#define BODY(choices, rest)                                                                        \
    "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\","             \
    "\"choices\":[" choices "]" rest "}"
#define USAGE ",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}"

static void answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool ok;
        const char *events;
    } rows[] = {
        {BODY(CHOICE("0", "Blue", "\"length\""), USAGE), true,
         "start(cmpl-1,m) text(Blue) finish(length:length) usage(in=3,out=2) end"},
        {BODY(CHOICE("0", "", "\"stop\""), ""), true, "start(cmpl-1,m) finish(stop:stop) end"},
        {BODY(CHOICE("1", "b", "\"stop\"") "," CHOICE("0", "a", "\"stop\""), ""), true,
         "start(cmpl-1,m) text(1:b) finish(1:stop:stop) text(a) finish(stop:stop) end"},
        {BODY("", ""), false, ""},
        {BODY("{\"index\":0,\"text\":7,\"finish_reason\":\"stop\"}", ""), false, "start(cmpl-1,m)"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        ear.in.op = LLM_OP_GENERATE;
        assert_int_equal(dialect_openai.decode_reply(&ear.in, strv_of(rows[i].body), &ear.err),
                         rows[i].ok);
        assert_heard(&ear, rows[i].events);
        ear_fini(&ear);
    }
}

static void recorded_answers_are_read(void **state)
{
    (void)state;
    size_t len;
    int status;
    struct ear ear;
    char *raw = data_read("llama-server/14-completions-stream.response", &len);
    ear_init(&ear);
    ear.in.op = LLM_OP_GENERATE;
    assert_true(ear_stream(&ear, &dialect_openai, data_body(raw, len, &status)));
    assert_true(ear.reply.ended);
    assert_int_equal(ear.reply.finish, LLM_FINISH_LENGTH);
    assert_int_equal(ear.reply.usage.output, 4);
    assert_int_equal(llm_reply_bytes(&ear.reply, LLM_PART_TEXT), 4);
    ear_fini(&ear);
    free(raw);

    raw = data_read("llama-server/13-completions.response", &len);
    ear_init(&ear);
    ear.in.op = LLM_OP_GENERATE;
    assert_true(dialect_openai.decode_reply(&ear.in, data_body(raw, len, &status), &ear.err));
    assert_true(ear.reply.ended);
    ear_fini(&ear);
    free(raw);
}

static struct dialect_out new_out(bool include_usage)
{
    struct dialect_out st = {.op = LLM_OP_GENERATE,
                             .id = STRV("chatcmpl-abc"),
                             .model = STRV("m"),
                             .created_us = 7000000,
                             .include_usage = include_usage,
                             .input_estimate = 9};
    buf_init(&st.kept, MIB);
    return st;
}

#define OPENING "{\"id\":\"cmpl-abc\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","

static void streams_are_written(void **state)
{
    (void)state;
    static const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_REASONING, .text = {"hm", 2}},
        {.kind = LLM_EV_TEXT, .text = {"a\"b", 3}},
        {.kind = LLM_EV_TEXT, .choice = 1, .text = {"c", 1}},
        {.kind = LLM_EV_FINISH, .choice = 1, .finish = LLM_FINISH_STOP},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_LENGTH},
        {.kind = LLM_EV_USAGE, .usage = {3, 2, -1, -1, -1, -1, -1, -1, -1, -1}},
        {.kind = LLM_EV_END},
        {.kind = LLM_EV_TEXT, .text = {"late", 4}},
    };
#define DATA(choice, rest) "data: " OPENING "\"choices\":[" choice "]" rest "}\n\n"
    static const char *const expected[] = {
        DATA(CHOICE("0", "a\\\"b", "null"), "") DATA(CHOICE("1", "c", "null"), "")
            DATA(CHOICE("1", "", "\"stop\""), "")
                DATA(CHOICE("0", "", "\"length\""), "") "data: [DONE]\n\n",
        DATA(CHOICE("0", "a\\\"b", "null"), ",\"usage\":null")
            DATA(CHOICE("1", "c", "null"), ",\"usage\":null")
                DATA(CHOICE("1", "", "\"stop\""), ",\"usage\":null")
                    DATA(CHOICE("0", "", "\"length\""), ",\"usage\":null")
                        DATA("", USAGE) "data: [DONE]\n\n",
    };
    for (size_t i = 0; i < 2; i++) {
        struct buf out;
        struct dialect_out st = new_out(i == 1);
        buf_init(&out, MIB);
        for (size_t k = 0; k < COUNT(events); k++)
            assert_true(dialect_openai.encode_event(&st, &events[k], &out));
        assert_string_equal(cstr(&out), expected[i]);

        struct dialect_check c;
        struct arena scratch;
        strv rest = buf_view(&out), name, data;
        arena_init(&scratch, 4096, MIB);
        dialect_check_init(&c, LLM_OPENAI, LLM_OP_GENERATE);
        while (data_event(&rest, &name, &data))
            assert_true(dialect_check_frame(&c, STRV(""), data, &scratch));
        assert_true(dialect_check_end(&c, true));
        arena_fini(&scratch);
        buf_fini(&out);
        buf_fini(&st.kept);
    }
}

static void whole_answers_are_written(void **state)
{
    (void)state;
    struct llm_reply reply;
    struct buf out;
    struct dialect_out st = new_out(false);
    llm_reply_init(&reply, MIB);
    buf_init(&out, MIB);
    reply_put(&reply, LLM_EV_REASONING, "hm");
    reply_put(&reply, LLM_EV_TEXT, "a");
    reply.finish = LLM_FINISH_CALLS;
    reply.usage.output = 2;
    assert_true(dialect_openai.encode_reply(&st, &reply, &out));
    assert_string_equal(
        cstr(&out),
        OPENING "\"choices\":[" CHOICE(
            "0", "a",
            "\"stop\"") "],\"usage\":{"
                        "\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}");
    llm_reply_fini(&reply);
    buf_fini(&out);
    buf_fini(&st.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_is_a_message_of_the_user),
        cmocka_unit_test(what_only_this_interface_has_is_a_need),
        cmocka_unit_test(what_is_not_valid_is_named),
        cmocka_unit_test(the_same_interface_gets_the_own_bytes),
        cmocka_unit_test(another_interface_gets_a_chat),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(recorded_answers_are_read),
        cmocka_unit_test(streams_are_written),
        cmocka_unit_test(whole_answers_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
