/* SPDX-License-Identifier: Apache-2.0 */
/* native: the tolerance of the scheduler's schema, and the answers with their route. */
#include "dialect/testing.h"

static struct arena arena;
static struct buf out;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 16 << 20);
    buf_init(&out, 1 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    buf_fini(&out);
    return 0;
}

static bool decode(const char *body, struct llm_request *r, struct err *err)
{
    *err = ERR_INIT;
    arena_reset(&arena);
    return dialect_native.decode_request(strv_of(body), LLM_OP_CHAT, &arena, r, err);
}

static struct llm_request decoded(const char *body)
{
    struct llm_request r;
    struct err err;
    if (!decode(body, &r, &err))
        fail_msg("%s: %s", body, err.text);
    return r;
}

static void a_prompt_alone_gets_the_defaults(void **state)
{
    (void)state;
    struct llm_request r = decoded("{\"prompt\":\"hi\"}");
    assert_int_equal(r.n_messages, 1);
    assert_int_equal(r.messages[0].role, LLM_USER);
    assert_true(strv_eq_cstr(r.messages[0].parts[0].text, "hi"));
    assert_int_equal(r.params_set, 1u << LLM_P_MAX_TOKENS | 1u << LLM_P_TEMPERATURE);
    assert_true(r.params[LLM_P_MAX_TOKENS] == 4096 && r.params[LLM_P_TEMPERATURE] == 0.7);
    assert_int_equal(r.model.len, 0);
    assert_null(r.provider.ptr);
    assert_false(r.stream || r.private_hint);
}

static void everything_is_read(void **state)
{
    (void)state;
    struct llm_request r = decoded(
        "{\"prompt\":\"hi\",\"system\":\"be brief\",\"model\":\"m\",\"provider\":\"my.mlx-2\","
        "\"max_tokens\":10,\"temperature\":0,\"stream\":true,\"tools\":[],\"stop\":[\"x\"],"
        "\"seed\":3,"
        "\"whatever\":{},\"metadata\":{\"sensitivity\":\"private\",\"task\":\"explanation\","
        "\"session\":\"s\","
        "\"request_id\":\"r\",\"x\":1}}");
    assert_int_equal(r.n_messages, 2);
    assert_int_equal(r.messages[0].role, LLM_SYSTEM);
    assert_true(strv_eq_cstr(r.provider, "my.mlx-2"));
    assert_true(r.stream && r.private_hint);
    assert_true(strv_eq_cstr(r.task, "explanation"));
    assert_true(strv_eq_cstr(r.session, "s"));
    assert_true(strv_eq_cstr(r.request_id, "r"));
    assert_int_equal(r.n_stops, 1);
    assert_true(r.params[LLM_P_SEED] == 3);

    r = decoded(
        "{\"prompt\":\"\",\"system\":null,\"model\":null,\"tools\":null,\"provider\":\"auto\","
        "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
        "\"u\"}]}");
    assert_int_equal(r.n_messages, 2);
    assert_null(r.provider.ptr);
}

static void numbers_and_booleans_may_be_text(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        double tokens, temperature;
        bool stream;
    } cases[] = {
        {"\"max_tokens\":\"100\"", 100, 0.7, false},
        {"\"max_tokens\":100.0", 100, 0.7, false},
        {"\"max_tokens\":\" 100.0 \"", 100, 0.7, false},
        {"\"temperature\":\"0.5\"", 4096, 0.5, false},
        {"\"temperature\":2", 4096, 2, false},
        {"\"stream\":\"true\"", 4096, 0.7, true},
        {"\"stream\":\"Yes\"", 4096, 0.7, true},
        {"\"stream\":1", 4096, 0.7, true},
        {"\"stream\":0.0", 4096, 0.7, false},
        {"\"stream\":\"off\"", 4096, 0.7, false},
        {"\"seed\":null", 4096, 0.7, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"x\",%s}", cases[i].member);
        struct llm_request r = decoded(body);
        assert_true(r.params[LLM_P_MAX_TOKENS] == cases[i].tokens);
        assert_true(r.params[LLM_P_TEMPERATURE] == cases[i].temperature);
        assert_int_equal(r.stream, cases[i].stream);
    }
}

static void what_the_schema_refuses_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field;
    } cases[] = {
        {"{}", "prompt"},
        {"{\"prompt\":\" \\n\"}", "prompt"},
        {"{\"prompt\":\"\",\"messages\":[]}", "prompt"},
        {"{\"prompt\":7}", "prompt"},
        {"{\"prompt\":null}", "prompt"},
        {"{\"prompt\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"y\"}]}", "prompt"},
        {"{\"prompt\":\"x\",\"messages\":{}}", "messages"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content"},
        {"{\"prompt\":\"x\",\"system\":7}", "system"},
        {"{\"prompt\":\"x\",\"model\":7}", "model"},
        {"{\"prompt\":\"x\",\"provider\":null}", "provider"},
        {"{\"prompt\":\"x\",\"provider\":\"\"}", "provider"},
        {"{\"prompt\":\"x\",\"provider\":\"Ollama\"}", "provider"},
        {"{\"prompt\":\"x\",\"provider\":\"a b\"}", "provider"},
        {"{\"prompt\":\"x\",\"max_tokens\":100.5}", "max_tokens"},
        {"{\"prompt\":\"x\",\"max_tokens\":null}", "max_tokens"},
        {"{\"prompt\":\"x\",\"max_tokens\":0}", "max_tokens"},
        {"{\"prompt\":\"x\",\"max_tokens\":100001}", "max_tokens"},
        {"{\"prompt\":\"x\",\"max_tokens\":true}", "max_tokens"},
        {"{\"prompt\":\"x\",\"max_tokens\":\"many\"}", "max_tokens"},
        {"{\"prompt\":\"x\",\"temperature\":\"NaN\"}", "temperature"},
        {"{\"prompt\":\"x\",\"temperature\":2.5}", "temperature"},
        {"{\"prompt\":\"x\",\"temperature\":null}", "temperature"},
        {"{\"prompt\":\"x\",\"stream\":null}", "stream"},
        {"{\"prompt\":\"x\",\"stream\":2}", "stream"},
        {"{\"prompt\":\"x\",\"tools\":{}}", "tools"},
        {"{\"prompt\":\"x\",\"tools\":[7]}", "tools"},
        {"{\"prompt\":\"x\",\"tools\":[{}]}", "tools[0].name"},
        {"{\"prompt\":\"x\",\"tools\":[{\"name\":\"f\",\"input_schema\":7}]}", "tools"},
        {"{\"prompt\":\"x\",\"tools\":[{\"type\":\"function\",\"function\":{}}]}",
         "tools[0].function.name"},
        {"{\"prompt\":\"x\",\"metadata\":null}", "metadata"},
        {"{\"prompt\":\"x\",\"metadata\":[]}", "metadata"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r;
        struct err err;
        if (decode(cases[i].body, &r, &err))
            fail_msg("taken: %s", cases[i].body);
        assert_string_equal(err.field, cases[i].field);
        assert_true(strncmp(err.text, cases[i].field, strlen(cases[i].field)) == 0);
    }
}

static void tools_come_in_two_shapes(void **state)
{
    (void)state;
    struct llm_request r = decoded(
        "{\"prompt\":\"x\",\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"input_schema\":"
        "{\"type\": \"object\",\"n\":9007199254740993}},{\"type\":\"function\",\"function\":"
        "{\"name\":\"b\",\"parameters\":{\"x\":1.0}}},{\"name\":\"c\"}]}");
    assert_int_equal(r.n_tools, 3);
    assert_true(r.needs == LLM_NEED_TOOLS && r.choose == LLM_CHOOSE_AUTO);
    assert_true(strv_eq_cstr(r.tools[0].name, "a"));
    assert_true(strv_eq_cstr(r.tools[0].description, "d"));
    assert_true(strv_eq_cstr(r.tools[0].schema, "{\"type\": \"object\",\"n\":9007199254740993}"));
    assert_true(strv_eq_cstr(r.tools[1].name, "b"));
    assert_true(strv_eq_cstr(r.tools[1].schema, "{\"x\":1.0}"));
    assert_true(strv_eq_cstr(r.tools[2].name, "c"));
    assert_int_equal(r.tools[2].schema.len, 0);
    assert_int_equal(decoded("{\"prompt\":\"x\",\"tools\":[]}").needs, 0);
}

/* Promise 1: hints tighten, never loosen; a word we do not know is taken for the strictest. */
static void an_unknown_sensitivity_is_private(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_private;
    } cases[] = {{"\"private\"", true}, {"\" PRIVATE \"", true}, {"\"phi\"", true}, {"\"\"", true},
                 {"7", true},           {"true", true},          {"[]", true},      {"null", false},
                 {"\"public\"", false}, {"\"Normal\"", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"prompt\":\"x\",\"metadata\":{\"sensitivity\":%s}}",
                 cases[i].value);
        assert_int_equal(decoded(body).private_hint, cases[i].is_private);
    }
}

/* ---- answers ---- */

static const char *text_of(struct buf *b)
{
    assert_true(buf_put_char(b, '\0'));
    b->end--;
    return b->data + b->start;
}

static struct dialect_out new_out(void)
{
    buf_clear(&out);
    return (struct dialect_out){.model = STRV("llama3.2"),
                                .provider = STRV("ollama"),
                                .created_us = 1767604364120000,
                                .total_us = 812400,
                                .route_json = STRV("{\"task_type\":\"explanation\"}")};
}

static void put(struct dialect_out *st, struct llm_event ev)
{
    assert_true(dialect_native.encode_event(st, &ev, &out));
}

static void a_stream_tells_the_route_at_its_end(void **state)
{
    (void)state;
    struct dialect_out st = new_out();
    put(&st, (struct llm_event){.kind = LLM_EV_START});
    put(&st, (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("hm")});
    put(&st, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("He\"l")});
    put(&st, (struct llm_event){.kind = LLM_EV_TEXT, .text = STRV("lo")});
    put(&st, (struct llm_event){
                 .kind = LLM_EV_FINISH, .finish = LLM_FINISH_OTHER, .raw_finish = STRV("sunset")});
    put(&st, (struct llm_event){.kind = LLM_EV_USAGE,
                                .usage = {21, 58, -1, -1, -1, -1, 0, -1, -1, 900}});
    put(&st, (struct llm_event){.kind = LLM_EV_END});
    put(&st, (struct llm_event){.kind = LLM_EV_END});
    assert_string_equal(
        text_of(&out),
        "data: "
        "{\"delta\":\"He\\\"l\",\"provider\":\"ollama\",\"model\":\"llama3.2\",\"finish_reason\":"
        "null,"
        "\"tool_calls\":null}\n\n"
        "data: "
        "{\"delta\":\"lo\",\"provider\":\"ollama\",\"model\":\"llama3.2\",\"finish_reason\":null,"
        "\"tool_calls\":null}\n\n"
        "data: "
        "{\"delta\":\"\",\"provider\":\"ollama\",\"model\":\"llama3.2\",\"finish_reason\":\"stop\","
        "\"tool_calls\":null,\"usage\":{\"input_tokens\":21,\"output_tokens\":58,\"total_tokens\":"
        "79,"
        "\"cost_usd\":null},\"metadata\":{\"latency_ms\":812.400,\"total_duration\":900,"
        "\"load_duration\":0,\"raw_finish_reason\":\"sunset\",\"route\":{\"task_type\":"
        "\"explanation\"}}}\n\n"
        "data: [DONE]\n\n");
}

static void a_reply_has_every_field(void **state)
{
    (void)state;
    struct dialect_out st = new_out();
    struct llm_reply r;
    llm_reply_init(&r, 1 << 16);
    reply_put(&r, LLM_EV_TEXT, "Hi");
    r.finish = LLM_FINISH_LENGTH;
    assert_true(dialect_native.encode_reply(&st, &r, &out));
    assert_string_equal(
        text_of(&out),
        "{\"content\":\"Hi\",\"provider\":\"ollama\",\"model\":\"llama3.2\",\"tool_calls\":null,"
        "\"usage\":null,\"finish_reason\":\"length\",\"metadata\":{\"latency_ms\":812.400,"
        "\"route\":"
        "{\"task_type\":\"explanation\"}},\"timestamp\":\"2026-01-05T09:12:44.120000Z\"}");
    llm_reply_fini(&r);
}

#define CALL_A "{\"id\":\"a\",\"name\":\"f\",\"arguments\":{\"k\":  9007199254740993}}"
#define CALL_B "{\"id\":\"call_1\",\"name\":\"g\",\"arguments\":{}}"

static void a_call_is_a_piece_of_its_own(void **state)
{
    (void)state;
    static const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_TEXT, .text = STRV("I look.")},
        {.kind = LLM_EV_CALL, .id = STRV("a"), .name = STRV("f")},
        {.kind = LLM_EV_ARGS, .text = STRV("{\"k\":\r\n9007")},
        {.kind = LLM_EV_ARGS, .text = STRV("199254740993}")},
        {.kind = LLM_EV_CALL_END},
        {.kind = LLM_EV_CALL, .call = 1, .name = STRV("g")},
        {.kind = LLM_EV_CALL_END, .call = 1},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS},
        {.kind = LLM_EV_END},
    };
    struct dialect_out st = new_out(), whole = st;
    struct dialect_check check;
    struct llm_reply reply;
    strv name, data;
    llm_reply_init(&reply, 1 << 16);
    buf_init(&st.kept, 1 << 16);
    arena_reset(&arena);
    for (size_t i = 0; i < COUNT(events); i++) {
        put(&st, events[i]);
        assert_true(llm_reply_add(&reply, &events[i], &arena));
    }
    assert_non_null(strstr(text_of(&out),
                           "\"delta\":\"\",\"provider\":\"ollama\",\"model\":"
                           "\"llama3.2\",\"finish_reason\":null,\"tool_calls\":[" CALL_A "]}\n\n"));
    assert_non_null(strstr(text_of(&out), "\"tool_calls\":[" CALL_B "]}\n\n"));
    assert_non_null(
        strstr(text_of(&out), "\"finish_reason\":\"tool_calls\",\"tool_calls\":null,\"usage\""));
    strv stream = buf_view(&out);
    dialect_check_init(&check, LLM_NATIVE, LLM_OP_CHAT);
    while (data_event(&stream, &name, &data))
        (void)dialect_check_frame(&check, name, data, &arena);
    if (!dialect_check_end(&check, true))
        fail_msg("not legal: %s", check.broken);

    buf_clear(&out);
    assert_true(dialect_native.encode_reply(&whole, &reply, &out));
    assert_non_null(strstr(text_of(&out), "{\"content\":\"I look.\","));
    assert_non_null(strstr(text_of(&out), "\"tool_calls\":[" CALL_A "," CALL_B "]"));
    assert_non_null(strstr(text_of(&out), "\"finish_reason\":\"tool_calls\""));
    buf_fini(&st.kept);
    llm_reply_fini(&reply);
}

static void errors_carry_code_and_request_id(void **state)
{
    (void)state;
    buf_clear(&out);
    dialect_native.encode_error(LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE, STRV_NONE, STRV_NONE,
                                STRV("7f0c"), &out);
    assert_string_equal(text_of(&out),
                        "{\"detail\":\"No local provider can serve this request now.\",\"code\":"
                        "\"privacy_local_unavailable\",\"request_id\":\"7f0c\"}");
    buf_clear(&out);
    dialect_native.encode_error(LLM_ERR_INVALID_REQUEST, STRV("wrong"),
                                STRV("messages[2].content[0].text"), STRV_NONE, &out);
    assert_string_equal(
        text_of(&out),
        "{\"detail\":[{\"loc\":[\"body\",\"messages\",2,\"content\",0,\"text\"],\"msg\":"
        "\"wrong\",\"type\":\"value_error\"}],\"code\":\"invalid_request\",\"request_id\":null}");
    struct dialect_out st = new_out();
    dialect_native.stream_error(&st, LLM_ERR_UPSTREAM_CUT, STRV("cut"), STRV("r"), &out);
    put(&st, (struct llm_event){.kind = LLM_EV_END});
    assert_string_equal(text_of(&out),
                        "event: error\ndata: {\"detail\":\"cut\",\"code\":\"upstream_cut\","
                        "\"request_id\":\"r\"}\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_alone_gets_the_defaults),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(numbers_and_booleans_may_be_text),
        cmocka_unit_test(what_the_schema_refuses_is_refused),
        cmocka_unit_test(tools_come_in_two_shapes),
        cmocka_unit_test(an_unknown_sensitivity_is_private),
        cmocka_unit_test(a_stream_tells_the_route_at_its_end),
        cmocka_unit_test(a_reply_has_every_field),
        cmocka_unit_test(a_call_is_a_piece_of_its_own),
        cmocka_unit_test(errors_carry_code_and_request_id),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
