/* SPDX-License-Identifier: Apache-2.0 */
/* failure: what upstreams' error answers say and mean. */
#include "dialect/testing.h"

static struct arena arena;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* The flags as letters (c m f l), a blank, the message. */
static const char *failure(int status, strv body)
{
    static char text[1024];
    struct dialect_failure f;
    char *copy = malloc(body.len > 0 ? body.len : 1);
    assert_non_null(copy);
    memcpy(copy, body.ptr, body.len);
    arena_reset(&arena);
    dialect_decode_failure(status, (strv){copy, body.len}, &arena, &f);
    free(copy); /* the message lives in the arena */
    assert_true(f.message.ptr != NULL && f.message.len > 0 && f.message.len <= 512);
    assert_true(utf8_valid(f.message));
    snprintf(text, sizeof text, "%s%s%s%s %.*s", f.context_too_long ? "c" : "",
             f.model_missing ? "m" : "", f.caller_fault ? "f" : "", f.loading ? "l" : "",
             STRV_ARG(f.message));
    return text;
}

static void every_envelope_is_read(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *expected;
    } cases[] = {
        /* OpenAI and its kin */
        {400,
         "{\"error\":{\"message\":\"bad n\",\"type\":\"invalid_request_error\",\"param\":\"n\","
         "\"code\":null}}",
         " bad n"},
        {404,
         "{\"error\":{\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\","
         "\"param\":\"model\",\"code\":404}}",
         "m The model `x` does not exist."},
        {404, "{\"error\":{\"message\":\"gone\",\"code\":\"model_not_found\"}}", "m gone"},
        {404,
         "{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}",
         " File Not Found"},
        {400, "{\"error\":{\"code\":400,\"message\":\"model 'x' not found\"}}",
         "m model 'x' not found"},
        {400, "{\"error\":{\"code\":400,\"message\":\"model is not loaded\"}}",
         "m model is not loaded"},
        {400, "{\"error\":{\"code\":400,\"message\":\"the model wants more\"}}",
         " the model wants more"},
        {400,
         "{\"error\":{\"message\":\"This model's maximum context length is 4096 tokens.\","
         "\"type\":\"BadRequestError\",\"code\":400}}",
         "c This model's maximum context length is 4096 tokens."},
        {400, "{\"error\":{\"message\":\"x\",\"code\":\"context_length_exceeded\"}}", "c x"},
        {503,
         "{\"error\":{\"code\":\"model_loading\",\"message\":\"wait\"},\"loading\":{\"model\":"
         "\"m\"}}",
         "l wait"},
        {503, "{\"error\":{\"message\":\"busy\",\"code\":503}}", " busy"},
        /* flat: old vLLM */
        {400, "{\"object\":\"error\",\"message\":\"no\",\"type\":\"BadRequestError\",\"code\":400}",
         " no"},
        {500, "{\"message\":\"no\"}", " no"},
        /* Anthropic */
        {400,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"prompt is too long: 9 tokens > 8 maximum\"}}",
         "c prompt is too long: 9 tokens > 8 maximum"},
        {404,
         "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: x\"}}",
         "m model: x"},
        /* Ollama */
        {404, "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}",
         "m model \"x\" not found, try pulling it first"},
        {500, "{\"error\":\"llama runner process has terminated: context size\"}",
         " llama runner process has terminated: context size"},
        /* FastAPI */
        {404, "{\"detail\":\"Not Found\"}", " Not Found"},
        {422,
         "{\"detail\":[{\"loc\":[\"body\",\"messages\",0],\"msg\":\"Field required\",\"type\":"
         "\"missing\"}]}",
         " body.messages.0: Field required"},
        {422, "{\"detail\":[]}", " The provider answered with status 422."},
        {422, "{\"detail\":[7]}", " The provider answered with status 422."},
        /* Docker Model Runner */
        {404, "model not found\n", "m model not found"},
        {500, "unable to load runner:\n\tno", " unable to load runner:  no"},
        {500, "{\"type\":\"error\",\"code\":null,\"message\":\"crashed\",\"sequence_number\":1}",
         " crashed"},
        /* proxies */
        {502, "<html>\r\n<head><title>502 Bad Gateway</title></head><body>secret</body></html>",
         " 502 Bad Gateway"},
        {502, "<!DOCTYPE html><p>secret", " The provider answered with status 502."},
        {502, "", " The provider answered with status 502."},
        {502, "  \n", " The provider answered with status 502."},
        {500, "\"text\"", " text"},
        {500, "[1,2]", " The provider answered with status 500."},
        {500, "{\"error\":{}}", " The provider answered with status 500."},
        {500, "{\"error\":{\"message\":7}}", " The provider answered with status 500."},
        {500, "{broken", " The provider answered with status 500."},
        {500, "\xff\xfe binary", " The provider answered with status 500."},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(failure(cases[i].status, strv_of(cases[i].body)), cases[i].expected);
}

static void a_message_is_cut_between_characters(void **state)
{
    (void)state;
    char body[2000];
    for (size_t shift = 0; shift < 4; shift++) {
        for (size_t i = 0; i < sizeof body; i++)
            body[i] = i < shift ? 'x' : "\xf0\x9f\x98\x80"[(i - shift) % 4];
        strv message = strv_of(failure(500, (strv){body, sizeof body}));
        assert_true(message.len > 500);
    }
    assert_string_equal(failure(500, STRV("nul\0inside")), " nul inside");
}

static void a_huge_body_is_not_read_whole(void **state)
{
    (void)state;
    size_t len = 4 << 20;
    char *body = malloc(len);
    assert_non_null(body);
    memset(body, '[', len);
    assert_string_equal(failure(500, (strv){body, len}), " The provider answered with status 500.");
    free(body);
}

static void recorded_errors_of_llama_server(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int status;
        const char *expected;
    } cases[] = {
        {"02-chat-loading", 503, "l Loading model"},
        {"45-err-bad-json", 400, NULL},
        {"46-err-no-messages", 400, " 'messages' is required"},
        {"48-err-role", 500,
         "f Failed to parse messages: Missing 'role' in message: {\"content\":\"x\"}"},
        {"50-err-image", 500,
         "f image input is not supported - hint: if this is unexpected, you may need "
         "to provide the mmproj"},
        {"51-err-too-long", 400,
         "c request (2119 tokens) exceeds the available context size (1024 "
         "tokens), try increasing it"},
        {"53-err-too-long-messages", 400,
         "c request (2119 tokens) exceeds the available context size "
         "(1024 tokens), try increasing it"},
        {"57-err-tool-choice", 400, " Invalid tool_choice: sometimes"},
        {"58-err-messages-bad", 500, "f 'messages' is required"},
        {"60-err-404", 404, " File Not Found"},
        {"65-key-none", 401, " Invalid API Key"},
        {"73-no-embeddings", 501, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[96];
        size_t len;
        int status;
        snprintf(name, sizeof name, "llama-server/%s.response", cases[i].name);
        char *response = data_read(name, &len);
        strv body = data_body(response, len, &status);
        assert_int_equal(status, cases[i].status);
        const char *text = failure(status, body);
        if (cases[i].expected != NULL)
            assert_string_equal(text, cases[i].expected);
        else
            assert_int_equal(text[0], ' ');
        free(response);
    }
}

static void refused_memory_gives_a_message_all_the_same(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 8; n++) {
        struct dialect_failure f;
        arena_fini(&arena);
        mem_fail_at(n, true);
        dialect_decode_failure(500, STRV("{\"detail\":[{\"loc\":[\"a\"],\"msg\":\"b\"}]}"), &arena,
                               &f);
        mem_fail_at(0, false);
        assert_true(f.message.len > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_envelope_is_read),
        cmocka_unit_test(a_message_is_cut_between_characters),
        cmocka_unit_test(a_huge_body_is_not_read_whole),
        cmocka_unit_test(recorded_errors_of_llama_server),
        cmocka_unit_test(refused_memory_gives_a_message_all_the_same),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
