/* SPDX-License-Identifier: Apache-2.0 */
/* openai_request: what callers may ask, what they are told when they may not, and what upstreams get. */
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

#define ASK(rest)     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define SAY(messages) "{\"model\":\"m\",\"messages\":[" messages "]}"

static struct llm_request decoded(const char *body)
{
    struct llm_request r;
    struct err err = ERR_INIT;
    arena_reset(&arena);
    if (!dialect_openai.decode_request(strv_of(body), LLM_OP_CHAT, &arena, &r, &err))
        fail_msg("%s: %s", body, err.text);
    assert_false(err.set);
    return r;
}

static void a_full_request_is_understood(void **state)
{
    (void)state;
    struct llm_request r = decoded(
        "{\"model\":\"qwen3\",\"messages\":["
        "{\"role\":\"system\",\"content\":\"be brief\"},"
        "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
        "\"text\",\"text\":\"\"}]},"
        "{\"role\":\"user\",\"content\":\"hi \\u00e9\",\"name\":\"bob\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}],"
        "\"reasoning\":\"hm\"},"
        "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"never\",\"tool_calls\":[]},"
        "{\"role\":\"assistant\"}],"
        "\"max_tokens\":5,\"max_completion_tokens\":7,\"temperature\":0.5,\"top_p\":1,\"top_k\":40,"
        "\"min_p\":0.1,\"typical_p\":0.9,\"repetition_penalty\":1.1,\"frequency_penalty\":-2,"
        "\"presence_penalty\":2.0,\"seed\":-9,\"stop\":[\"a\",\"\",\"b\"],\"n\":1,\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true},\"user\":\"u1\",\"tools\":[],\"tool_choice\":"
        "\"auto\","
        "\"functions\":null,\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],"
        "\"logprobs\":false,\"top_logprobs\":0,\"logit_bias\":{},\"metadata\":{\"k\":\"v\"},"
        "\"reasoning_effort\":\"low\",\"store\":true}");
    assert_int_equal(r.dialect, LLM_OPENAI);
    assert_true(strv_eq_cstr(r.model, "qwen3"));
    assert_int_equal(r.n_messages, 6);
    static const enum llm_role roles[] = {LLM_SYSTEM,    LLM_SYSTEM,    LLM_USER,
                                          LLM_ASSISTANT, LLM_ASSISTANT, LLM_ASSISTANT};
    for (size_t i = 0; i < COUNT(roles); i++)
        assert_int_equal(r.messages[i].role, roles[i]);
    assert_int_equal(r.messages[1].n_parts, 2);
    assert_true(strv_eq_cstr(r.messages[2].parts[0].text, "hi \xc3\xa9"));
    assert_true(strv_eq_cstr(r.messages[3].parts[0].text, "no"));
    assert_true(strv_eq_cstr(r.messages[4].parts[0].text, "never"));
    assert_int_equal(r.messages[5].n_parts, 0);
    static const double values[LLM_PARAMS] = {
        [LLM_P_MAX_TOKENS] = 7,
        [LLM_P_TEMPERATURE] = 0.5,
        [LLM_P_TOP_P] = 1,
        [LLM_P_TOP_K] = 40,
        [LLM_P_MIN_P] = 0.1,
        [LLM_P_TYPICAL_P] = 0.9,
        [LLM_P_REPEAT_PENALTY] = 1.1,
        [LLM_P_FREQUENCY_PENALTY] = -2,
        [LLM_P_PRESENCE_PENALTY] = 2,
        [LLM_P_SEED] = -9,
    };
    for (int p = 0; p < LLM_PARAMS; p++) {
        assert_true(llm_has(&r, (enum llm_param)p));
        assert_true(r.params[p] == values[p]);
    }
    assert_int_equal(r.n_stops, 2);
    assert_true(strv_eq_cstr(r.stops[1], "b"));
    assert_true(r.stream && r.include_usage);
    assert_int_equal(r.choices, 1);
    assert_int_equal(r.needs, 0);
    assert_true(strv_eq_cstr(r.user, "u1"));
    assert_int_equal(r.untranslated, 1u << DIALECT_LOSS_NAME | 1u << DIALECT_LOSS_REASONING |
                                         1u << DIALECT_LOSS_OTHER);
}

static void null_is_the_same_as_absent(void **state)
{
    (void)state;
    struct llm_request r = decoded(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"name\":null}],\"model\":null,"
        "\"temperature\":null,\"stop\":null,\"n\":null,\"stream\":null,\"stream_options\":null,"
        "\"user\":null,\"tools\":null,\"response_format\":null,\"metadata\":null,"
        "\"logprobs\":null,\"max_tokens\":null}");
    assert_true(r.model.ptr != NULL && r.model.len == 0);
    assert_int_equal(r.params_set, 0);
    assert_int_equal(r.untranslated, 0);
    assert_int_equal(r.choices, 1);
    assert_null(r.user.ptr);
    assert_false(r.stream);
}

static void needs_are_noted(void **state)
{
    (void)state;
    assert_int_equal(decoded(ASK(",\"n\":2")).needs, LLM_NEED_CHOICES);
    assert_int_equal(decoded(ASK(",\"logprobs\":true")).needs, LLM_NEED_LOGPROBS);
    assert_int_equal(decoded(ASK(",\"top_logprobs\":3")).needs, LLM_NEED_LOGPROBS);
    assert_int_equal(decoded(ASK(",\"logit_bias\":{\"5\":1}")).needs, LLM_NEED_LOGIT_BIAS);
    assert_int_equal(decoded(ASK(",\"stream_options\":{\"include_usage\":true}")).include_usage, 0);
    assert_true(strv_eq_cstr(decoded(ASK(",\"safety_identifier\":\"s\"")).user, "s"));
    assert_int_equal(decoded(ASK(",\"stop\":\"x\"")).n_stops, 1);
    assert_int_equal(decoded(ASK(",\"stop\":\"\"")).n_stops, 0);
    assert_int_equal(
        decoded(ASK(",\"seed\":9007199254740992")).params[LLM_P_SEED] == 9007199254740992.0, 1);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code;
        const char *field, *text;
    } cases[] = {
        {"", LLM_ERR_INVALID_REQUEST, "", "the body is empty, a JSON object is expected"},
        {"[]", LLM_ERR_INVALID_REQUEST, "", "the body must be a JSON object"},
        {"{\"model\":\"m\",\"model\":\"n\",\"messages\":[]}", LLM_ERR_INVALID_REQUEST, "",
         "the member \"model\" occurs twice"},
        {SAY("{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}"), LLM_ERR_INVALID_REQUEST,
         "", "the member \"content\" occurs twice"},
        {"{\"model\":\"m\"}", LLM_ERR_INVALID_REQUEST, "messages", "messages: is required"},
        {"{\"messages\":\"hi\"}", LLM_ERR_INVALID_REQUEST, "messages",
         "messages: must be an array"},
        {SAY(""), LLM_ERR_INVALID_REQUEST, "messages", "messages: must not be empty"},
        {SAY("7"), LLM_ERR_INVALID_REQUEST, "messages[0]", "messages[0]: must be an object"},
        {SAY("{\"content\":\"x\"}"), LLM_ERR_INVALID_REQUEST, "messages[0].role",
         "messages[0].role: is required"},
        {SAY("{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"bot\",\"content\":\"x\"}"),
         LLM_ERR_INVALID_REQUEST, "messages[1].role",
         "messages[1].role: must be one of system, developer, user, assistant, tool"},
        {SAY("{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"x\"}"), LLM_ERR_UNSUPPORTED,
         "messages[0].role", "messages[0].role: results of tools are not supported"},
        {SAY("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}"), LLM_ERR_UNSUPPORTED,
         "messages[0].tool_calls", "messages[0].tool_calls: tool calls are not supported"},
        {SAY("{\"role\":\"user\"}"), LLM_ERR_INVALID_REQUEST, "messages[0].content",
         "messages[0].content: must be a string or an array of parts"},
        {SAY("{\"role\":\"user\",\"content\":7}"), LLM_ERR_INVALID_REQUEST, "messages[0].content",
         "messages[0].content: must be a string or an array of parts"},
        {SAY("{\"role\":\"user\",\"content\":[]}"), LLM_ERR_INVALID_REQUEST, "messages[0].content",
         "messages[0].content: must not be an empty array"},
        {SAY("{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].content[0].text", "messages[0].content[0].text: must be a string"},
        {SAY("{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].content[0].type", "messages[0].content[0].type: must be a string"},
        {SAY("{\"role\":\"user\",\"content\":[\"x\"]}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].content[0]", "messages[0].content[0]: must be an object"},
        {SAY("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_"
             "url\"}]}"),
         LLM_ERR_UNSUPPORTED, "messages[0].content[1].type",
         "messages[0].content[1].type: images are not supported"},
        {SAY("{\"role\":\"user\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"x\"}]}"),
         LLM_ERR_INVALID_REQUEST, "messages[0].content[0].type",
         "messages[0].content[0].type: is not a known kind of part"},
        {"{\"model\":7}", LLM_ERR_INVALID_REQUEST, "model", "model: must be a string"},
        {ASK(",\"temperature\":\"0.7\""), LLM_ERR_INVALID_REQUEST, "temperature",
         "temperature: must be a number between 0 and 2"},
        {ASK(",\"temperature\":2.1"), LLM_ERR_INVALID_REQUEST, "temperature",
         "temperature: must be a number between 0 and 2"},
        {ASK(",\"max_tokens\":0"), LLM_ERR_INVALID_REQUEST, "max_tokens",
         "max_tokens: must be an integer of at least 1"},
        {ASK(",\"max_tokens\":1.5"), LLM_ERR_INVALID_REQUEST, "max_tokens",
         "max_tokens: must be an integer of at least 1"},
        {ASK(",\"max_completion_tokens\":true"), LLM_ERR_INVALID_REQUEST, "max_completion_tokens",
         "max_completion_tokens: must be an integer of at least 1"},
        {ASK(",\"n\":0"), LLM_ERR_INVALID_REQUEST, "n", "n: must be an integer between 1 and 128"},
        {ASK(",\"n\":129"), LLM_ERR_INVALID_REQUEST, "n",
         "n: must be an integer between 1 and 128"},
        {ASK(",\"stream\":1"), LLM_ERR_INVALID_REQUEST, "stream", "stream: must be true or false"},
        {ASK(",\"stream_options\":[]"), LLM_ERR_INVALID_REQUEST, "stream_options",
         "stream_options: must be an object"},
        {ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":1}"), LLM_ERR_INVALID_REQUEST,
         "stream_options.include_usage", "stream_options.include_usage: must be true or false"},
        {ASK(",\"stop\":7"), LLM_ERR_INVALID_REQUEST, "stop",
         "stop: must be a string or an array of strings"},
        {ASK(",\"stop\":[\"a\",1]"), LLM_ERR_INVALID_REQUEST, "stop[1]",
         "stop[1]: must be a string"},
        {ASK(",\"stop\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"), LLM_ERR_INVALID_REQUEST,
         "stop", "stop: takes at most 16 strings"},
        {ASK(",\"user\":7"), LLM_ERR_INVALID_REQUEST, "user", "user: must be a string"},
        {ASK(",\"logprobs\":1"), LLM_ERR_INVALID_REQUEST, "logprobs",
         "logprobs: must be true or false"},
        {ASK(",\"top_logprobs\":21"), LLM_ERR_INVALID_REQUEST, "top_logprobs",
         "top_logprobs: must be an integer between 0 and 20"},
        {ASK(",\"logit_bias\":3"), LLM_ERR_INVALID_REQUEST, "logit_bias",
         "logit_bias: must be an object"},
        {ASK(",\"tools\":[{}]"), LLM_ERR_UNSUPPORTED, "tools", "tools: tools are not supported"},
        {ASK(",\"functions\":[{}]"), LLM_ERR_UNSUPPORTED, "functions",
         "functions: tools are not supported"},
        {ASK(",\"tool_choice\":\"required\""), LLM_ERR_UNSUPPORTED, "tool_choice",
         "tool_choice: tools are not supported"},
        {ASK(",\"function_call\":{\"name\":\"f\"}"), LLM_ERR_UNSUPPORTED, "function_call",
         "function_call: tools are not supported"},
        {ASK(",\"response_format\":{\"type\":\"json_object\"}"), LLM_ERR_UNSUPPORTED,
         "response_format", "response_format: only the type \"text\" is supported"},
        {ASK(",\"response_format\":\"json\""), LLM_ERR_INVALID_REQUEST, "response_format",
         "response_format: must be an object"},
        {ASK(",\"modalities\":[\"text\",\"audio\"]"), LLM_ERR_UNSUPPORTED, "modalities",
         "modalities: only \"text\" is supported"},
        {ASK(",\"audio\":{\"voice\":\"x\"}"), LLM_ERR_UNSUPPORTED, "audio",
         "audio: audio is not supported"},
        {ASK(",\"prediction\":{\"type\":\"content\"}"), LLM_ERR_UNSUPPORTED, "prediction",
         "prediction: predicted output is not supported"},
        {ASK(",\"web_search_options\":{\"a\":1}"), LLM_ERR_UNSUPPORTED, "web_search_options",
         "web_search_options: web search is not supported"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        arena_reset(&arena);
        if (dialect_openai.decode_request(strv_of(cases[i].body), LLM_OP_CHAT, &arena, &r, &err))
            fail_msg("taken: %s", cases[i].body);
        assert_string_equal(err.text, cases[i].text);
        assert_string_equal(err.field, cases[i].field);
        assert_int_equal(err.code, cases[i].code);
    }
}

static void bad_json_says_where(void **state)
{
    (void)state;
    struct llm_request r;
    struct err err = ERR_INIT;
    assert_false(
        dialect_openai.decode_request(STRV("{\"messages\": ["), LLM_OP_CHAT, &arena, &r, &err));
    assert_int_equal(err.code, LLM_ERR_INVALID_REQUEST);
    assert_int_equal(err.offset, 14);
}

static void every_prefix_of_a_request_is_refused(void **state)
{
    (void)state;
    static const char body[] =
        ASK(",\"stop\":[\"a\",\"b\"],\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    for (size_t n = 0; n < sizeof body - 1; n++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        char *copy = malloc(n > 0 ? n : 1);
        assert_non_null(copy);
        memcpy(copy, body, n);
        arena_reset(&arena);
        assert_false(dialect_openai.decode_request((strv){copy, n}, LLM_OP_CHAT, &arena, &r, &err));
        assert_int_equal(err.code, LLM_ERR_INVALID_REQUEST);
        free(copy);
    }
}

static void recorded_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name, *refused; /* the field, or NULL */
    } cases[] = {
        {"06-chat", NULL},
        {"08-chat-stream-usage", NULL},
        {"09-chat-logprobs", NULL},
        {"10-chat-n2", NULL},
        {"11-chat-stop", NULL},
        {"26-tools-required", "tools"},
        {"31-tools-result-turn", "messages[1].tool_calls"},
        {"33-json-schema", "response_format"},
        {"45-err-bad-json", ""},
        {"46-err-no-messages", "messages"},
        {"47-err-messages-type", "messages"},
        {"48-err-role", "messages[0].role"},
        {"49-err-temperature-type", "temperature"},
        {"50-err-image", "messages[0].content[0].type"},
        {"51-err-too-long", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[96];
        size_t len;
        struct llm_request r;
        struct err err = ERR_INIT;
        snprintf(name, sizeof name, "llama-server/%s.request", cases[i].name);
        char *request = data_read(name, &len);
        char *body = strstr(request, "\r\n\r\n");
        assert_non_null(body);
        arena_reset(&arena);
        bool ok = dialect_openai.decode_request(strv_of(body + 4), LLM_OP_CHAT, &arena, &r, &err);
        if (ok != (cases[i].refused == NULL))
            fail_msg("%s: %s", cases[i].name, err.text);
        if (!ok)
            assert_string_equal(err.field, cases[i].refused);
        free(request);
    }
}

/* ---- towards upstreams ---- */

static const char *encoded(const struct llm_request *r, const struct dialect_target *t,
                           uint32_t *losses)
{
    struct err err = ERR_INIT;
    uint32_t ignored;
    buf_clear(&out);
    if (!dialect_openai.encode_request(r, t, &arena, &out, losses != NULL ? losses : &ignored,
                                       &err))
        fail_msg("%s", err.text);
    assert_true(buf_put_char(&out, '\0'));
    return out.data + out.start;
}

static void the_callers_own_bytes_go_on(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        struct dialect_target t;
        const char *expected;
    } cases[] = {
        /* unknown members, blanks, escapes and number spellings survive */
        {" { \"messages\" : [{\"role\":\"user\",\"content\":\"\\u0041\"}] , \"model\" : "
         "\"x\\n\\\"y\" ,"
         " \"seed\" : 123 , \"big\":12345678901234567890123.0 } ",
         {.model = STRV("up\"1")},
         " { \"messages\" : [{\"role\":\"user\",\"content\":\"\\u0041\"}] , \"model\" : "
         "\"up\\\"1\" ,"
         " \"seed\" : 123 , \"big\":12345678901234567890123.0 } "},
        {ASK(""), {.model = STRV("m")}, ASK("")},
        {ASK(",\"q\":[1.0,2e5]"),
         {.model = STRV("up")},
         "{\"model\":\"up\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"q\":[1.0,2e5]"
         "}"},
        /* usage is always asked for in a stream */
        {ASK(",\"stream\":true"),
         {.model = STRV("m"), .stream = true},
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"messages\":[{\"role\":"
         "\"user\","
         "\"content\":\"hi\"}],\"stream\":true}"},
        {ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
         {.model = STRV("m"), .stream = true},
         ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":true}")},
        {ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":false,\"x\":[1]} ,\"y\":1"),
         {.model = STRV("m"), .stream = true},
         ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"x\":[1]} ,\"y\":1")},
        {ASK(",\"stream\":false , \"stream_options\":null"),
         {.model = STRV("m"), .stream = true},
         ASK(",\"stream\":true , \"stream_options\":{\"include_usage\":true}")},
        {ASK(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
         {.model = STRV("m"), .stream = false},
         ASK(",\"stream\":false,\"stream_options\":null")},
        /* limits */
        {ASK(""),
         {.model = STRV("m"), .max_tokens_default = 256},
         "{\"max_tokens\":256,\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
         "}"},
        {ASK(",\"max_tokens\":null"),
         {.model = STRV("m"), .max_tokens_default = 256},
         ASK(",\"max_tokens\":256")},
        {ASK(",\"max_tokens\":9"),
         {.model = STRV("m"), .max_tokens_default = 256},
         ASK(",\"max_tokens\":9")},
        {ASK(",\"max_tokens\":9"),
         {.model = STRV("m"), .max_tokens_cap = 5},
         ASK(",\"max_tokens\":5")},
        {ASK(",\"max_completion_tokens\":9,\"max_tokens\":8"),
         {.model = STRV("m"), .max_tokens_cap = 5},
         ASK(",\"max_completion_tokens\":5,\"max_tokens\":5")},
        {ASK(",\"max_tokens\":9"),
         {.model = STRV("m"), .completion_tokens = true},
         "{\"max_completion_tokens\":9,\"model\":\"m\",\"messages\":[{\"role\":\"user\","
         "\"content\":"
         "\"hi\"}],\"max_tokens\":null}"},
        {ASK(",\"repeat_penalty\":1.1"),
         {.model = STRV("m"), .repetition_penalty = true},
         "{\"repetition_penalty\":1.1,\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
         "\"hi\"}],\"repeat_penalty\":1.1}"},
        /* no model at all */
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"model\"}]}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"model\"}]}"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"mod\\u0065l\":null}",
         {.model = STRV("m")},
         "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"mod\\u0065l\":\"m\"}"},
        /* hints and names are the upstream's business */
        {ASK(",\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"logit_bias\":{\"1\":2}"),
         {.model = STRV("m"), .no_sampling = true},
         ASK(",\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"logit_bias\":{\"1\":2}")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        uint32_t losses = 99;
        assert_string_equal(encoded(&r, &cases[i].t, &losses), cases[i].expected);
        assert_int_equal(losses, 0);
        decoded(out.data + out.start);
    }
}

/* A request of another dialect, as its decoder would leave it. */
static struct llm_request foreign(void)
{
    static struct llm_part parts[] = {{.kind = LLM_PART_TEXT, .text = STRV("a\n")},
                                      {.kind = LLM_PART_TEXT, .text = STRV("\"b\"")},
                                      {.kind = LLM_PART_TEXT, .text = STRV("c")}};
    static struct llm_message messages[] = {{LLM_SYSTEM, parts, 2},
                                            {LLM_USER, parts, 2},
                                            {LLM_ASSISTANT, NULL, 0},
                                            {LLM_USER, parts + 2, 1}};
    return (struct llm_request){.dialect = LLM_ANTHROPIC,
                                .model = STRV("claude"),
                                .messages = messages,
                                .n_messages = COUNT(messages),
                                .choices = 1};
}

static void another_dialects_request_is_written_anew(void **state)
{
    (void)state;
    static strv stops[] = {STRV("x"), STRV("\"y")};
    struct llm_request r = foreign();
    r.stops = stops;
    r.n_stops = 2;
    r.user = STRV("u\"1");
    r.untranslated = 1u << DIALECT_LOSS_OTHER;
    llm_set(&r, LLM_P_MAX_TOKENS, 100);
    llm_set(&r, LLM_P_TEMPERATURE, 0.7);
    llm_set(&r, LLM_P_TOP_K, 40);
    llm_set(&r, LLM_P_SEED, -9007199254740992.0);
    llm_set(&r, LLM_P_REPEAT_PENALTY, 1.1);
    uint32_t losses;
    struct dialect_target t = {.model = STRV("up"), .stream = true, .max_tokens_default = 7};
    assert_string_equal(
        encoded(&r, &t, &losses),
        "{\"model\":\"up\",\"messages\":[{\"role\":\"system\",\"content\":\"a\\n\\n\\n\\\"b\\\"\"},"
        "{\"role\":\"user\",\"content\":\"a\\n\\n\\\"b\\\"\"},{\"role\":\"assistant\",\"content\":"
        "\"\"},"
        "{\"role\":\"user\",\"content\":\"c\"}],\"max_tokens\":100,\"temperature\":0.7,\"top_k\":"
        "40,"
        "\"repeat_penalty\":1.1,\"seed\":-9007199254740992,\"stop\":[\"x\",\"\\\"y\"],"
        "\"user\":\"u\\\"1\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    assert_int_equal(losses, 1u << DIALECT_LOSS_OTHER);

    r.user = STRV("0123456789012345678901234567890123456789012345678901234567890123456789");
    t = (struct dialect_target){.model = STRV("up"),
                                .no_sampling = true,
                                .completion_tokens = true,
                                .repetition_penalty = true,
                                .max_tokens_cap = 50};
    r.n_stops = 0;
    r.n_messages = 0;
    assert_string_equal(encoded(&r, &t, &losses),
                        "{\"model\":\"up\",\"messages\":[],\"max_completion_tokens\":50,"
                        "\"repetition_penalty\":1.1,\"seed\":-9007199254740992}");
    assert_int_equal(losses, 1u << DIALECT_LOSS_OTHER | 1u << DIALECT_LOSS_USER |
                                 1u << LLM_P_TEMPERATURE | 1u << LLM_P_TOP_K);
    t = (struct dialect_target){
        .model = STRV("up"), .max_tokens_default = 60, .max_tokens_cap = 50};
    r.params_set = 0;
    r.user = STRV_NONE;
    assert_string_equal(encoded(&r, &t, &losses),
                        "{\"model\":\"up\",\"messages\":[],\"max_tokens\":50}");
}

static void what_is_written_anew_reads_back_the_same(void **state)
{
    (void)state;
    struct llm_request r = foreign(), again;
    for (int p = 0; p < LLM_PARAMS; p++)
        llm_set(&r, (enum llm_param)p,
                llm_params[p].kind == LLM_KIND_INT ? 77 : 0.123456789012345678);
    struct dialect_target t = {.model = STRV("claude"), .stream = true};
    again = decoded(encoded(&r, &t, NULL));
    assert_int_equal(again.n_messages, r.n_messages);
    for (size_t i = 0; i < r.n_messages; i++)
        assert_int_equal(again.messages[i].role, r.messages[i].role);
    assert_true(strv_eq_cstr(again.messages[0].parts[0].text, "a\n\n\n\"b\""));
    assert_int_equal(again.params_set, r.params_set);
    for (int p = 0; p < LLM_PARAMS; p++)
        assert_true(again.params[p] == r.params[p]);
    assert_true(again.stream && again.include_usage);
    assert_int_equal(again.untranslated, 0);
}

static void trap_18_a_prefill_is_refused_where_the_model_takes_none(void **state)
{
    (void)state;
    struct llm_request r = decoded(SAY("{\"role\":\"assistant\",\"content\":\"So\"}"));
    struct dialect_target t = {.model = STRV("m"), .no_prefill = true};
    struct err err = ERR_INIT;
    uint32_t losses;
    buf_clear(&out);
    assert_false(dialect_openai.encode_request(&r, &t, &arena, &out, &losses, &err));
    assert_int_equal(err.code, LLM_ERR_UNSUPPORTED);
    assert_string_equal(err.field, "messages");
}

/* Every allocation may be refused: the request fails, nothing leaks, nothing is half written. */
static void refused_memory_is_told(void **state)
{
    (void)state;
    static const char body[] = ASK(
        ",\"a1\":1,\"a2\":1,\"a3\":1,\"a4\":1,\"a5\":1,\"a6\":1,\"a7\":1,\"a8\":1,\"a9\":1,\"b1\":"
        "1,"
        "\"b2\":1,\"b3\":1,\"b4\":1,\"b5\":1,\"b6\":1,\"b7\":1,\"stream\":true,\"max_tokens\":9,"
        "\"stop\":[\"x\"]");
    struct dialect_target t = {.model = STRV("up"), .stream = true, .max_tokens_cap = 5};
    int64_t live = mem_live();
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        uint32_t losses;
        struct arena a;
        struct buf b;
        arena_init(&a, 256, 1 << 20);
        buf_init(&b, 1 << 20);
        mem_fail_at(n, true);
        bool ok = dialect_openai.decode_request(STRV(body), LLM_OP_CHAT, &a, &r, &err) &&
                  dialect_openai.encode_request(&r, &t, &a, &b, &losses, &err);
        done = mem_count() < n;
        mem_fail_at(0, false);
        assert_int_equal(ok, done);
        if (!ok)
            assert_int_equal(err.code, ERR_CODE_OOM);
        buf_fini(&b);
        arena_fini(&a);
    }
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_request_is_understood),
        cmocka_unit_test(null_is_the_same_as_absent),
        cmocka_unit_test(needs_are_noted),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(bad_json_says_where),
        cmocka_unit_test(every_prefix_of_a_request_is_refused),
        cmocka_unit_test(recorded_requests),
        cmocka_unit_test(the_callers_own_bytes_go_on),
        cmocka_unit_test(another_dialects_request_is_written_anew),
        cmocka_unit_test(what_is_written_anew_reads_back_the_same),
        cmocka_unit_test(trap_18_a_prefill_is_refused_where_the_model_takes_none),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
