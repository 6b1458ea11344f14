/* SPDX-License-Identifier: Apache-2.0 */
/* openai_request: what callers may ask, what they are told when they may not, and what upstreams get. */
#include "dialect/reading.h"
#include "dialect/testing.h"

static struct arena arena;
static struct buf out, line;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 16 << 20);
    buf_init(&out, 1 << 20);
    buf_init(&line, 1 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    buf_fini(&out);
    buf_fini(&line);
    return 0;
}

#define ASK(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define TOOLS                                                                                      \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\","    \
    "\"function\":{\"name\":\"g\"}},{\"type\":\"function\",\"function\":{\"name\":\"h\"}}]"
#define ID9   "Q5DdcEAoV"    /* llm_id_for(LLM_IDS_MISTRAL, "call.1") */
#define SHORT "a_b_150a7650" /* llm_tool_name_for("a.b") */
#define A_B   "a_b_98c45326" /* ... of "a b" */
#define EMPTY "{\"type\":\"object\",\"properties\":{}}"
#define CALLED                                                                                     \
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":"             \
    "\"function\","                                                                                \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"type\":\"function\","     \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
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
    assert_int_equal(r.messages[3].n_parts, 2);
    assert_int_equal(r.messages[3].parts[0].kind, LLM_PART_REASONING);
    assert_true(strv_eq_cstr(r.messages[3].parts[0].text, "hm"));
    assert_true(strv_eq_cstr(r.messages[3].parts[1].text, "no"));
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
    assert_int_equal(r.effort, LLM_EFFORT_LOW);
    assert_false(r.has_history);
    assert_int_equal(r.untranslated, 1u << DIALECT_LOSS_NAME | 1u << DIALECT_LOSS_METADATA |
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
        /* tools */
        {ASK(",\"tools\":{}"), LLM_ERR_INVALID_REQUEST, "tools", "tools: must be an array"},
        {ASK(",\"tools\":[7]"), LLM_ERR_INVALID_REQUEST, "tools[0]", "tools[0]: must be an object"},
        {ASK(",\"tools\":[{}]"), LLM_ERR_INVALID_REQUEST, "tools[0].function",
         "tools[0].function: must be an object"},
        {ASK(",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"x\"}}]"), LLM_ERR_UNSUPPORTED,
         "tools[0].type", "tools[0].type: tools of free text are not supported"},
        {ASK(",\"tools\":[{\"type\":\"web_search\"}]"), LLM_ERR_UNSUPPORTED, "tools[0].type",
         "tools[0].type: only the type \"function\" is supported"},
        {ASK(",\"tools\":[{\"function\":{\"name\":\"\"}}]"), LLM_ERR_INVALID_REQUEST,
         "tools[0].function.name", "tools[0].function.name: must be a string of 1 to 256 bytes"},
        {ASK(",\"tools\":[{\"function\":{\"name\":\"f\",\"description\":1}}]"),
         LLM_ERR_INVALID_REQUEST, "tools[0].function.description",
         "tools[0].function.description: must be a string"},
        {ASK(",\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":[]}}]"),
         LLM_ERR_INVALID_REQUEST, "tools[0].function.parameters",
         "tools[0].function.parameters: must be an object"},
        {ASK(",\"tools\":[{\"function\":{\"name\":\"f\",\"strict\":1}}]"), LLM_ERR_INVALID_REQUEST,
         "tools[0].function.strict", "tools[0].function.strict: must be true or false"},
        {ASK(",\"functions\":[{}]"), LLM_ERR_INVALID_REQUEST, "functions[0].name",
         "functions[0].name: must be a string of 1 to 256 bytes"},
        {ASK(",\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"g\"}"),
         LLM_ERR_INVALID_REQUEST, "function_call.name",
         "function_call.name: names no tool that is offered"},
        {ASK(",\"tool_choice\":\"required\""), LLM_ERR_INVALID_REQUEST, "tool_choice",
         "tool_choice: needs tools to choose from"},
        {ASK(",\"tool_choice\":\"sometimes\""), LLM_ERR_INVALID_REQUEST, "tool_choice",
         "tool_choice: must be none, auto, required or an object"},
        {ASK(",\"tool_choice\":7"), LLM_ERR_INVALID_REQUEST, "tool_choice",
         "tool_choice: must be none, auto, required or an object"},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"x\"}}"),
         LLM_ERR_INVALID_REQUEST, "tool_choice.function.name",
         "tool_choice.function.name: names no tool that is offered"},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"f\"}}"),
         LLM_ERR_UNSUPPORTED, "tool_choice.type",
         "tool_choice.type: tools of free text are not supported"},
        {ASK(TOOLS
             ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\","
             "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"x\"}}]}}"),
         LLM_ERR_INVALID_REQUEST, "tool_choice.tools",
         "tool_choice.tools: names no tool that is offered"},
        {ASK(",\"parallel_tool_calls\":1"), LLM_ERR_INVALID_REQUEST, "parallel_tool_calls",
         "parallel_tool_calls: must be true or false"},
        /* calls and results */
        {SAY("{\"role\":\"assistant\",\"tool_calls\":{}}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].tool_calls", "messages[0].tool_calls: must be an array"},
        {SAY("{\"role\":\"assistant\",\"tool_calls\":[{}]}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].tool_calls[0].function",
         "messages[0].tool_calls[0].function: must be an object"},
        {SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\",\"custom\":{}}]}"),
         LLM_ERR_UNSUPPORTED, "messages[0].tool_calls[0].type",
         "messages[0].tool_calls[0].type: only the type \"function\" is supported"},
        {SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":1,\"function\":{\"name\":\"f\"}}]}"),
         LLM_ERR_INVALID_REQUEST, "messages[0].tool_calls[0].id",
         "messages[0].tool_calls[0].id: must be a string"},
        {SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":["
             "]}}]}"),
         LLM_ERR_INVALID_REQUEST, "messages[0].tool_calls[0].function.arguments",
         "messages[0].tool_calls[0].function.arguments: must be a string"},
        {SAY("{\"role\":\"tool\",\"tool_call_id\":1,\"content\":\"x\"}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].tool_call_id", "messages[0].tool_call_id: must be a string"},
        {SAY("{\"role\":\"function\",\"content\":\"x\"}"), LLM_ERR_INVALID_REQUEST,
         "messages[0].name", "messages[0].name: is required"},
        {SAY("{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}"), LLM_ERR_UNSUPPORTED,
         "messages[0].audio", "messages[0].audio: audio of an answer is not known here"},
        {SAY("{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
             "\"x\"}}]}"),
         LLM_ERR_INVALID_REQUEST, "messages[0].content[0].type",
         "messages[0].content[0].type: is not a known kind of part"},
        /* the form of the answer */
        {ASK(",\"response_format\":{\"type\":\"grammar\"}"), LLM_ERR_UNSUPPORTED, "response_format",
         "response_format: only the types \"text\", \"json_object\" and \"json_schema\" are "
         "supported"},
        {ASK(",\"response_format\":{\"type\":\"json_schema\"}"), LLM_ERR_INVALID_REQUEST,
         "response_format.json_schema", "response_format.json_schema: must be an object"},
        {ASK(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":true}}"),
         LLM_ERR_INVALID_REQUEST, "response_format.json_schema.schema",
         "response_format.json_schema.schema: must be an object"},
        {ASK(",\"reasoning_effort\":\"on\""), LLM_ERR_INVALID_REQUEST, "reasoning_effort",
         "reasoning_effort: must be none, minimal, low, medium, high, xhigh or max"},
        {ASK(",\"reasoning\":{\"effort\":7}"), LLM_ERR_INVALID_REQUEST, "reasoning.effort",
         "reasoning.effort: must be none, minimal, low, medium, high, xhigh or max"},
        {ASK(",\"response_format\":\"json\""), LLM_ERR_INVALID_REQUEST, "response_format",
         "response_format: must be an object"},
        {ASK(",\"modalities\":[\"text\",\"audio\"]"), LLM_ERR_UNSUPPORTED, "modalities",
         "modalities: only \"text\" is supported"},
        {ASK(",\"audio\":{\"voice\":\"x\"}"), LLM_ERR_UNSUPPORTED, "audio",
         "audio: audio in the answer is not supported"},
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

/* Everything a request says beyond parameters, as a line. */
static void put_part(struct buf *b, const struct llm_part *p)
{
    switch (p->kind) {
    case LLM_PART_TEXT:
        buf_printf(b, STRV_FMT, STRV_ARG(p->text));
        break;
    case LLM_PART_REASONING:
        buf_printf(b, "think(" STRV_FMT ")", STRV_ARG(p->text));
        break;
    case LLM_PART_CALL:
        buf_printf(b, "call(" STRV_FMT "," STRV_FMT "," STRV_FMT ")", STRV_ARG(p->id),
                   STRV_ARG(p->name), STRV_ARG(p->text));
        break;
    case LLM_PART_RESULT:
        buf_printf(b, "result(" STRV_FMT "," STRV_FMT "%s", STRV_ARG(p->id), STRV_ARG(p->name),
                   p->is_error ? ",error" : "");
        for (size_t i = 0; i < p->n_parts; i++) {
            buf_put_char(b, i == 0 ? ':' : '/');
            put_part(b, &p->parts[i]);
        }
        buf_put_char(b, ')');
        break;
    case LLM_PART_IMAGE:
    case LLM_PART_DOCUMENT:
    case LLM_PART_AUDIO:
        buf_printf(b, STRV_FMT "(" STRV_FMT "," STRV_FMT ")", STRV_ARG(p->type), STRV_ARG(p->data),
                   STRV_ARG(p->title));
        break;
    case LLM_PART_LINK:
        buf_printf(b, "link(" STRV_FMT "," STRV_FMT ")", STRV_ARG(p->type), STRV_ARG(p->text));
        break;
    }
}

static void put_asked(struct buf *b, const struct llm_request *r)
{
    static const char *const choices[] = {"auto", "none", "any", "one"};
    for (size_t i = 0; i < r->n_tools; i++)
        buf_printf(b, "tool(" STRV_FMT "," STRV_FMT "," STRV_FMT "%s) ", STRV_ARG(r->tools[i].name),
                   STRV_ARG(r->tools[i].description), STRV_ARG(r->tools[i].schema),
                   r->tools[i].strict ? ",strict" : "");
    if (r->choose != LLM_CHOOSE_AUTO)
        buf_printf(b, "choose=%s ", choices[r->choose]);
    if (r->choose == LLM_CHOOSE_ONE)
        buf_printf(b, "(" STRV_FMT ") ", STRV_ARG(r->choose_name));
    if (r->one_call)
        buf_put_cstr(b, "one_call ");
    if (r->format != LLM_FORMAT_TEXT)
        buf_printf(b, "format=%s(" STRV_FMT "," STRV_FMT "," STRV_FMT "%s) ",
                   r->format == LLM_FORMAT_JSON ? "json" : "schema", STRV_ARG(r->schema_name),
                   STRV_ARG(r->schema_description), STRV_ARG(r->schema),
                   r->schema_strict ? ",strict" : "");
    if (r->effort != LLM_EFFORT_UNSET)
        buf_printf(b, "effort=%s ", llm_effort_name(r->effort));
    for (size_t i = 0; i < r->n_messages; i++) {
        buf_printf(b, "%s%s:", i > 0 ? " " : "", llm_role_name(r->messages[i].role));
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            if (k > 0)
                buf_put_char(b, '/');
            put_part(b, &r->messages[i].parts[k]);
        }
    }
    for (unsigned i = 0; i < DIALECT_LOSSES; i++)
        if (r->untranslated & (1u << i))
            buf_printf(b, " -%s", dialect_loss_name(i));
}

static const char *told(const struct llm_request *r)
{
    buf_clear(&line);
    put_asked(&line, r);
    assert_true(buf_put_char(&line, '\0'));
    return line.data + line.start;
}

static void tools_and_choices_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        /* the schema's own bytes */
        {ASK(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
             "\"d\","
             "\"parameters\": {\"type\" "
             ":\"object\",\"properties\":{\"id\":{\"const\":12345678901234567890}}}"
             ",\"strict\":true}},{\"function\":{\"name\":\"g\",\"parameters\":null}}]"),
         "tool(f,d,{\"type\" "
         ":\"object\",\"properties\":{\"id\":{\"const\":12345678901234567890}}},strict) "
         "tool(g,,) user:hi"},
        {ASK(TOOLS ",\"tool_choice\":\"auto\""), "tool(f,,) tool(g,,) tool(h,,) user:hi"},
        {ASK(TOOLS ",\"tool_choice\":\"none\""),
         "tool(f,,) tool(g,,) tool(h,,) choose=none user:hi"},
        {ASK(TOOLS ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false"),
         "tool(f,,) tool(g,,) tool(h,,) choose=any one_call user:hi"},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"),
         "tool(f,,) tool(g,,) tool(h,,) choose=one (g) user:hi"},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"}"),
         "tool(f,,) tool(g,,) tool(h,,) choose=one (g) user:hi"},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
                   "\"required\","
                   "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"h\"}},{\"type\":"
                   "\"function\","
                   "\"name\":\"f\"}]}}"),
         "tool(f,,) tool(h,,) choose=any user:hi"},
        {ASK(",\"functions\":[{\"name\":\"f\",\"parameters\":{}}],\"function_call\":\"auto\""),
         "tool(f,,{}) one_call user:hi"},
        {ASK(",\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"f\"}"),
         "tool(f,,) choose=one (f) one_call user:hi"},
        {ASK(",\"functions\":[{\"name\":\"f\"}],\"function_call\":\"none\",\"tools\":[]"),
         "tool(f,,) choose=none one_call user:hi"},
        {ASK(",\"tools\":[],\"tool_choice\":\"none\",\"parallel_tool_calls\":true"),
         "choose=none user:hi"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        assert_string_equal(told(&r), cases[i].expected);
        assert_int_equal(r.needs, r.n_tools > 0 ? LLM_NEED_TOOLS : 0);
    }
}

static void calls_and_results_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {SAY("{\"role\":\"user\",\"content\":\"q\"},"
             "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":"
             "["
             "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
             "\\\"x\\\": 1}\"}},"
             "{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":{\"big\" : "
             "12345678901234567890}}},"
             "{\"function\":{\"name\":\"h\"}}]},"
             "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"one\"},"
             "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"name\":\"g\",\"content\":[{\"type\":"
             "\"text\",\"text\":\"t\"},"
             "{\"type\":\"text\",\"text\":\"u\"}]},"
             "{\"role\":\"tool\",\"content\":null}"),
         "user:q assistant:think(hm)/call(a,f,{\"x\": 1})/call(b,g,{\"big\" : "
         "12345678901234567890})/"
         "call(,h,) user:result(a,:one) user:result(b,g:t/u) user:result(,)"},
        /* text before the calls, arguments that are no JSON */
        {SAY("{\"role\":\"assistant\",\"content\":\"so\",\"tool_calls\":[{\"id\":\"a\",\"type\":"
             "\"function\","
             "\"function\":{\"name\":\"f\",\"arguments\":\"{k:\"}}]}"),
         "assistant:so/call(a,f,{k:)"},
        /* as it was before tools */
        {SAY("{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\","
             "\"arguments\":\"{}\"}},"
             "{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}"),
         "assistant:call(,f,{}) user:result(,f:x)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        assert_string_equal(told(&r), cases[i].expected);
        assert_true(r.has_history);
        assert_int_equal(r.needs, LLM_NEED_TOOLS);
    }
}

static void forms_and_efforts_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {ASK(",\"response_format\":{\"type\":\"json_object\"}"), "format=json(,,) user:hi"},
        {ASK(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
             "\"description\":"
             "\"d\",\"schema\":{ \"type\":\"object\" },\"strict\":true}}"),
         "format=schema(n,d,{ \"type\":\"object\" },strict) user:hi"},
        {ASK(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"}}"),
         "format=json(n,,) user:hi"},
        {ASK(",\"response_format\":{\"type\":\"json_object\",\"schema\":{}}"),
         "format=schema(,,{}) user:hi"},
        {ASK(",\"reasoning_effort\":\"none\""), "effort=none user:hi"},
        {ASK(",\"reasoning_effort\":\"xhigh\""), "effort=xhigh user:hi"},
        {ASK(",\"reasoning\":{\"effort\":\"low\"}"), "effort=low user:hi"},
        {ASK(",\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}"),
         "effort=low user:hi -other"},
        {ASK(",\"service_tier\":\"flex\",\"metadata\":{\"a\":\"b\"},\"prompt_cache_key\":\"k\","
             "\"verbosity\":"
             "\"low\",\"prediction\":{\"type\":\"content\"}"),
         "user:hi -other -cache_control -service_tier -metadata"},
        {ASK(",\"metadata\":{},\"store\":false,\"service_tier\":null"), "user:hi"},
        {ASK(",\"store\":true"), "user:hi -other"},
        {SAY("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{"
             "\"type\":"
             "\"ephemeral\"}}]}"),
         "user:x -cache_control"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        assert_string_equal(told(&r), cases[i].expected);
    }
}

#define PNG         "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAAA="
#define PDF         "JVBERi0xLjcKJXNvbWUgbW9yZSBieXRlcyBoZXJl"
#define WAV         "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"
#define PART(parts) SAY("{\"role\":\"user\",\"content\":[" parts "]}")
#define IMAGE(url)  PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}")
#define FILE_(name, data)                                                                          \
    PART("{\"type\":\"file\",\"file\":{\"filename\":\"" name "\",\"file_data\":\"" data "\"}}")
#define SOUND(format, data)                                                                        \
    PART("{\"type\":\"input_audio\",\"input_audio\":{\"format\":\"" format "\",\"data\":\"" data   \
         "\"}}")

static void images_and_files_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
        uint32_t needs;
    } cases[] = {
        {IMAGE("data:image/png;base64," PNG), "user:image/png(" PNG ",)", LLM_NEED_IMAGES},
        /* the bytes tell the type; parameters, case and blanks do not matter */
        {IMAGE("data:image/jpeg;charset=x;base64," PNG), "user:image/png(" PNG ",)",
         LLM_NEED_IMAGES},
        {IMAGE("DATA:Image/PNG;Base64," PNG), "user:image/png(" PNG ",)", LLM_NEED_IMAGES},
        {PART("{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64," PNG "\"}"),
         "user:image/png(" PNG ",)", LLM_NEED_IMAGES},
        {PART("{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
              "\"data:image/png;base64," PNG "\",\"detail\":\"high\"}}"),
         "user:see/image/png(" PNG ",) -detail", LLM_NEED_IMAGES},
        {IMAGE("https://example.org/a.png"), "user:link(image,https://example.org/a.png)",
         LLM_NEED_IMAGES | LLM_NEED_LINKS},
        {FILE_("a.pdf", "data:application/pdf;base64," PDF), "user:application/pdf(" PDF ",a.pdf)",
         LLM_NEED_DOCUMENTS},
        {FILE_("a.pdf", PDF), "user:application/pdf(" PDF ",a.pdf)", LLM_NEED_DOCUMENTS},
        {FILE_("a.png", "data:image/png;base64," PNG), "user:image/png(" PNG ",a.png)",
         LLM_NEED_IMAGES},
        /* text is for every model */
        {FILE_("a.txt", "data:text/plain;base64,aMOpbGxvCndvcmxk"),
         "user:a.txt\nh\xc3\xa9llo\nworld", 0},
        {FILE_("", "data:text/csv,a%2Cb"), "user:a,b", 0},
        {SOUND("wav", WAV), "user:audio/wav(" WAV ",)", LLM_NEED_AUDIO},
        {SOUND("mp3", "AAAA"), "user:audio/mpeg(AAAA,)", LLM_NEED_AUDIO},
        /* an image as the result of a tool */
        {SAY("{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":[{\"type\":\"image_url\","
             "\"image_url\":{\"url\":"
             "\"data:image/png;base64," PNG "\"}}]}"),
         "user:result(a,:image/png(" PNG ",))", LLM_NEED_IMAGES | LLM_NEED_TOOLS},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        assert_string_equal(told(&r), cases[i].expected);
        assert_int_equal(r.needs, cases[i].needs);
    }
}

static void what_is_no_image_or_file_is_named(void **state)
{
    (void)state;
#define AT "messages[0].content[0]."
    static const struct {
        const char *body, *text;
        int code;
    } cases[] = {
        {PART("{\"type\":\"image_url\"}"), AT "image_url: must be an object with an url",
         LLM_ERR_INVALID_REQUEST},
        {IMAGE("file:///etc/passwd"),
         AT "image_url: must be a data URI or an address that begins with https://",
         LLM_ERR_INVALID_REQUEST},
        {IMAGE("data:image/svg+xml,<svg/>"),
         AT "image_url: is no image, PDF or sound of a known kind", LLM_ERR_INVALID_REQUEST},
        {IMAGE("data:image/png;base64," PDF), AT "image_url: is no image", LLM_ERR_INVALID_REQUEST},
        {PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f1\"}}"),
         AT "file: files that were uploaded are not known here", LLM_ERR_UNSUPPORTED},
        {PART("{\"type\":\"file\",\"file\":{}}"), AT "file: must have file_data",
         LLM_ERR_INVALID_REQUEST},
        {PART("{\"type\":\"file\"}"), AT "file: must be an object", LLM_ERR_INVALID_REQUEST},
        {FILE_("a.zip", "data:application/zip;base64,UEsDBA=="),
         AT "file: is no image, PDF or sound of a known kind", LLM_ERR_INVALID_REQUEST},
        {FILE_("a.txt", "data:text/plain;base64,/w=="), AT "file: is no text in UTF-8",
         LLM_ERR_INVALID_REQUEST},
        {SOUND("flac", WAV), AT "input_audio: must have the format wav or mp3",
         LLM_ERR_INVALID_REQUEST},
        {PART("{\"type\":\"input_audio\",\"input_audio\":{\"format\":\"wav\"}}"),
         AT "input_audio: must have data in base64", LLM_ERR_INVALID_REQUEST},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        arena_reset(&arena);
        assert_false(
            dialect_openai.decode_request(strv_of(cases[i].body), LLM_OP_CHAT, &arena, &r, &err));
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(err.code, cases[i].code);
    }
    struct llm_request r;
    struct err err = ERR_INIT;
    assert_false(dialect_openai.decode_request(STRV(IMAGE("data:image/png;base64,a")), LLM_OP_CHAT,
                                               &arena, &r, &err));
    assert_string_equal(err.field, "messages[0].content[0].image_url");
}

static void a_list_of_tools_has_an_end(void **state)
{
    (void)state;
    struct buf body;
    struct llm_request r;
    struct err err = ERR_INIT;
    buf_init(&body, 1 << 20);
    buf_put_cstr(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[");
    for (int i = 0; i < 1025; i++)
        buf_put_cstr(&body, i == 0 ? "{\"function\":{\"name\":\"f\"}}"
                                   : ",{\"function\":{\"name\":\"f\"}}");
    buf_put_cstr(&body, "]}");
    arena_reset(&arena);
    assert_false(dialect_openai.decode_request(buf_view(&body), LLM_OP_CHAT, &arena, &r, &err));
    assert_string_equal(err.text, "tools: has more than 1024 members");
    buf_fini(&body);
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

#define RICH                                                                                       \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","   \
    "\"content\":["                                                                                \
    "{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:," \
    "%89PNG%0d"                                                                                    \
    "%0a%1a%0a%00%00%00%0dIHDR%00%00%00%01%00%00%00%01%08\"}},{\"type\":\"file\",\"file\":{"       \
    "\"filename\":"                                                                                \
    "\"a.txt\",\"file_data\":\"data:text/"                                                         \
    "plain;base64,aGk=\"}}]},{\"role\":\"assistant\",\"content\":null,"                            \
    "\"reasoning\":\"hm\",\"tool_calls\":[{\"id\":\"a.b\",\"type\":\"function\",\"function\":{"    \
    "\"name\":"                                                                                    \
    "\"f.g\",\"arguments\":{\"x\":1}}}]},{\"role\":\"tool\",\"tool_call_id\":\"a.b\",\"content\":" \
    "\"x\"},"                                                                                      \
    "{\"role\":\"user\",\"content\":\"so\"}],\"tools\":[{\"type\":\"function\",\"function\":{"     \
    "\"name\":"                                                                                    \
    "\"f.g\",\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":{\"type\":\"function\","      \
    "\"function\":{"                                                                               \
    "\"name\":\"f.g\"}},\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"  \
    "\"n m\","                                                                                     \
    "\"schema\":{}}},\"stream\":true}"

static void every_prefix_of_a_rich_request_is_refused(void **state)
{
    (void)state;
    static const char body[] = RICH;
    decoded(body);
    for (size_t n = 0; n < sizeof body - 1; n++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        arena_reset(&arena);
        assert_false(dialect_openai.decode_request((strv){body, n}, LLM_OP_CHAT, &arena, &r, &err));
        assert_int_equal(err.code, LLM_ERR_INVALID_REQUEST);
    }
}

/* ... and every allocation for it may be refused, on both ways to an upstream. */
static void refused_memory_for_a_rich_request_is_told(void **state)
{
    (void)state;
    static const char body[] = RICH;
    int64_t live = mem_live();
    for (int fresh = 0; fresh < 2; fresh++) {
        struct dialect_target t = {.model = STRV("up"),
                                   .stream = true,
                                   .fresh = fresh == 1,
                                   .ids = LLM_IDS_MISTRAL,
                                   .short_names = true,
                                   .reasoning_field = "reasoning_content"};
        bool done = false;
        for (uint64_t n = 1; !done; n++) {
            struct llm_request r;
            struct err err = ERR_INIT;
            uint32_t losses;
            struct arena a;
            struct buf b;
            arena_init(&a, 64, 1 << 20);
            buf_init(&b, 1 << 20);
            mem_fail_at(n, true);
            bool read = dialect_openai.decode_request(STRV(body), LLM_OP_CHAT, &a, &r, &err);
            bool whole = read && llm_request_mend(&r);
            bool ok = whole && dialect_openai.encode_request(&r, &t, &a, &b, &losses, &err);
            done = mem_count() < n;
            mem_fail_at(0, false);
            assert_int_equal(ok, done);
            if (!ok && (!read || whole))
                assert_int_equal(err.code, ERR_CODE_OOM);
            buf_fini(&b);
            arena_fini(&a);
        }
    }
    assert_int_equal(mem_live(), live);
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
        {"26-tools-required", NULL},
        {"31-tools-result-turn", NULL},
        {"33-json-schema", NULL},
        {"36-json-object", NULL},
        {"57-err-tool-choice", "tool_choice"},
        {"45-err-bad-json", ""},
        {"46-err-no-messages", "messages"},
        {"47-err-messages-type", "messages"},
        {"48-err-role", "messages[0].role"},
        {"49-err-temperature-type", "temperature"},
        {"50-err-image", "messages[0].content[0].image_url"},
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
        /* what a target cannot take as it is */
        {SAY("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call.1\",\"type\":"
             "\"function\","
             "\"function\":{\"name\":\"f\",\"arguments\":\"{ }\"}}]},{\"role\":\"tool\", "
             "\"tool_call_id\" :\"call.1\","
             "\"content\":\"x\"}"),
         {.model = STRV("m"), .ids = LLM_IDS_MISTRAL},
         SAY("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"" ID9
             "\",\"type\":\"function\","
             "\"function\":{\"name\":\"f\",\"arguments\":\"{ }\"}}]},{\"role\":\"tool\", "
             "\"tool_call_id\" :\"" ID9 "\",\"content\":\"x\"}")},
        {SAY("{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"hm\"},{\"role\":"
             "\"user\","
             "\"content\":\"reasoning_content\"}"),
         {.model = STRV("m"), .reasoning_field = "reasoning"},
         SAY("{\"role\":\"assistant\",\"content\":\"x\",\"reasoning\":\"hm\"},{\"role\":\"user\","
             "\"content\":"
             "\"reasoning_content\"}")},
        {SAY("{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"hm\",\"reasoning\":"
             "\"hm\"}"),
         {.model = STRV("m"), .reasoning_field = "reasoning"},
         SAY("{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"hm\",\"reasoning\":"
             "\"hm\"}")},
        /* names stay: they come back in the upstream's own bytes */
        {ASK(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a.b\"}}]"),
         {.model = STRV("m"), .short_names = true},
         ASK(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a.b\"}}]")},
        {ASK(",\"response_format\":{\"type\":\"json_object\"}"),
         {.model = STRV("m"), .no_json_mode = true},
         ASK(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
             "\"schema\":{"
             "\"type\":\"object\"}}}")},
        {ASK(TOOLS ",\"tool_choice\":\"required\",\"reasoning_effort\":\"high\""),
         {.model = STRV("m")},
         ASK(TOOLS ",\"tool_choice\":\"required\",\"reasoning_effort\":\"high\"")},
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

static void what_a_target_refuses_is_told_as_lost(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        struct dialect_target t;
        const char *expected;
        uint32_t losses;
    } cases[] = {
        {ASK(TOOLS ",\"tool_choice\":\"required\""),
         {.model = STRV("m"), .no_forced_tools = true},
         ASK(TOOLS ",\"tool_choice\":\"auto\""),
         1u << DIALECT_LOSS_TOOL_CHOICE},
        {ASK(",\"tools\":[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"g\"}}],\"tool_"
             "choice\":{\"type\":"
             "\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\",\"tools\":[{\"name\":"
             "\"g\"}]}}"),
         {.model = STRV("m"), .no_forced_tools = true},
         ASK(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{"
             "\"type\":\"object\","
             "\"properties\":{}}}}],\"tool_choice\":\"auto\""),
         1u << DIALECT_LOSS_TOOL_CHOICE},
        {ASK(",\"reasoning_effort\":\"high\""),
         {.model = STRV("m"), .no_thinking = true},
         ASK(",\"reasoning_effort\":null"),
         1u << DIALECT_LOSS_EFFORT},
        {ASK(",\"reasoning_effort\":\"none\""),
         {.model = STRV("m"), .no_thinking = true},
         ASK(",\"reasoning_effort\":\"none\""),
         0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = decoded(cases[i].body);
        uint32_t losses = 0;
        assert_string_equal(encoded(&r, &cases[i].t, &losses), cases[i].expected);
        assert_int_equal(losses, cases[i].losses);
    }
}

/* A conversation as it comes from any door, mended, for a server of this dialect; the whole body. */
static struct llm_request mended(const char *body)
{
    struct llm_request r = decoded(body);
    assert_true(llm_request_mend(&r));
    r.dialect = LLM_NATIVE;
    return r;
}

#define UP(messages, rest) "{\"model\":\"up\",\"messages\":[" messages "]" rest "}"

static void trap_30_golden_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        struct dialect_target t;
        const char *expected;
        uint32_t losses;
    } cases[] = {
        /* tools, choices, a schema that is missing */
        {ASK(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
             "\"d\",\"parameters\":"
             "{\"type\" "
             ":\"object\"},\"strict\":true}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"
             ","
             "\"tool_choice\":\"required\",\"parallel_tool_calls\":false"),
         {.model = STRV("up")},
         UP("{\"role\":\"user\",\"content\":\"hi\"}",
            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
            "\"parameters\":"
            "{\"type\" "
            ":\"object\"},\"strict\":true}},{\"type\":\"function\",\"function\":{\"name\":\"g\","
            "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],\"tool_choice\":"
            "\"required\","
            "\"parallel_tool_calls\":false"),
         0},
        {ASK(TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"),
         {.model = STRV("up"), .no_forced_tools = true},
         UP("{\"role\":\"user\",\"content\":\"hi\"}",
            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" EMPTY
            "}},{\"type\":"
            "\"function\",\"function\":{\"name\":\"g\",\"parameters\":" EMPTY
            "}},{\"type\":\"function\","
            "\"function\":{\"name\":\"h\",\"parameters\":" EMPTY "}}]"),
         1u << DIALECT_LOSS_TOOL_CHOICE},
        /* a turn with two calls: results in order, one message each; reasoning where it is read */
        {SAY("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},{"
             "\"role\":\"assistant\","
             "\"content\":\"\",\"reasoning\":\"hm\",\"tool_calls\":[{\"id\":\"a\",\"function\":{"
             "\"name\":\"f\","
             "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\","
             "\"arguments\":\"\"}}]},"
             "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"two\"},{\"role\":\"tool\","
             "\"tool_call_id\":\"a\","
             "\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":"
             "\"more\"}]},"
             "{\"role\":\"user\",\"content\":\"go on\"}"),
         {.model = STRV("up"), .reasoning_field = "reasoning_content"},
         UP("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q\"},{"
            "\"role\":\"assistant\","
            "\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[{\"id\":\"a\",\"type\":"
            "\"function\","
            "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"b\",\"type\":"
            "\"function\","
            "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"content\":"
            "\"one\\nmore\","
            "\"tool_call_id\":\"a\"},{\"role\":\"tool\",\"content\":\"two\",\"tool_call_id\":\"b\"}"
            ",{\"role\":\"user\","
            "\"content\":\"go on\"}",
            ""),
         0},
        {SAY("{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"hm\"}"),
         {.model = STRV("up")},
         UP("{\"role\":\"assistant\",\"content\":\"a\"}", ""),
         1u << DIALECT_LOSS_REASONING},
        /* the form of the answer, effort */
        {ASK(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a "
             "b\",\"description\":\"d\","
             "\"schema\":{ \"type\":\"object\" },\"strict\":true}},\"reasoning_effort\":\"high\""),
         {.model = STRV("up"), .reasoning_effort = true},
         UP("{\"role\":\"user\",\"content\":\"hi\"}",
            ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"" A_B
            "\",\"description\":"
            "\"d\",\"schema\":{ \"type\":\"object\" "
            "},\"strict\":true}},\"reasoning_effort\":\"high\""),
         0},
        {ASK(",\"response_format\":{\"type\":\"json_object\"},\"reasoning_effort\":\"high\""),
         {.model = STRV("up")},
         UP("{\"role\":\"user\",\"content\":\"hi\"}",
            ",\"response_format\":{\"type\":\"json_object\"}"),
         1u << DIALECT_LOSS_EFFORT},
        /* images, PDF, sound, links */
        {PART("{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"text\",\"text\":\"\"},{\"type\":"
              "\"image_url\","
              "\"image_url\":{\"url\":\"data:image/jpeg;base64," PNG
              "\"}},{\"type\":\"file\",\"file\":{\"filename\":"
              "\"a.pdf\",\"file_data\":\"data:application/pdf;base64," PDF
              "\"}},{\"type\":\"input_audio\","
              "\"input_audio\":{\"data\":\"" WAV
              "\",\"format\":\"wav\"}},{\"type\":\"image_url\",\"image_url\":{"
              "\"url\":\"https://example.org/a\"}}"),
         {.model = STRV("up")},
         UP("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":"
            "\"image_url\","
            "\"image_url\":{\"url\":\"data:image/png;base64," PNG
            "\"}},{\"type\":\"file\",\"file\":{\"filename\":"
            "\"a.pdf\",\"file_data\":\"data:application/pdf;base64," PDF
            "\"}},{\"type\":\"input_audio\","
            "\"input_audio\":{\"data\":\"" WAV
            "\",\"format\":\"wav\"}},{\"type\":\"image_url\",\"image_url\":{"
            "\"url\":\"https://example.org/a\"}}]}",
            ""),
         0},
        /* an image that a tool gave stands behind all results of the turn, with what the user says */
        {SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\"}},"
             "{\"id\":\"b\","
             "\"function\":{\"name\":\"f\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\","
             "\"content\":[{\"type\":\"text\","
             "\"text\":\"here\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
             "png;base64," PNG "\"}}]},"
             "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"x\"},{\"role\":\"user\","
             "\"content\":\"so?\"}"),
         {.model = STRV("up")},
         UP(CALLED "{\"role\":\"tool\",\"content\":\"here\\n[It follows in the user's next "
                   "message.]\",\"tool_call_id\":"
                   "\"a\"},{\"role\":\"tool\",\"content\":\"x\",\"tool_call_id\":\"b\"},{\"role\":"
                   "\"user\",\"content\":["
                   "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64," PNG
                   "\"}},{\"type\":"
                   "\"text\",\"text\":\"so?\"}]}",
            ""),
         0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = mended(cases[i].body);
        uint32_t losses = 0;
        assert_string_equal(encoded(&r, &cases[i].t, &losses), cases[i].expected);
        assert_int_equal(losses, cases[i].losses);
    }
}

static void images_of_results_need_no_next_message(void **state)
{
    (void)state;
    static const char result[] = "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
                                 "\"function\":{\"name\":\"f\"}}]},{\"role\":\"tool\","
                                 "\"tool_call_id\":\"a\",\"content\":[{\"type\":\"image_url\","
                                 "\"image_url\":{\"url\":\"data:image/png;base64," PNG "\"}}]}";
    static const char shown[] =
        "{\"role\":\"tool\",\"content\":\"[It follows in the user's next message.]\","
        "\"tool_call_id\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
        "\"image_url\":{\"url\":\"data:image/png;base64," PNG "\"}}]}";
    struct dialect_target t = {.model = STRV("up")};
    char body[1024];
    snprintf(body, sizeof body, "{\"messages\":[%s]}", result);
    struct llm_request r = mended(body);
    assert_non_null(strstr(encoded(&r, &t, NULL), shown));
    snprintf(body, sizeof body, "{\"messages\":[%s,{\"role\":\"assistant\",\"content\":\"ok\"}]}",
             result);
    r = mended(body);
    const char *text = encoded(&r, &t, NULL);
    assert_non_null(strstr(text, shown));
    assert_non_null(strstr(text, "]},{\"role\":\"assistant\",\"content\":\"ok\"}]}"));
}

static void trap_13_a_call_without_result_gets_one(void **state)
{
    (void)state;
    struct llm_request r = mended(SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
                                      "\"function\":{\"name\":\"f\"}},{\"id\":\"b\","
                                      "\"function\":{\"name\":\"f\"}}]},{\"role\":\"tool\",\"tool_"
                                      "call_id\":\"b\",\"content\":\"x\"},"
                                      "{\"role\":\"user\",\"content\":\"never mind\"}"));
    struct dialect_target t = {.model = STRV("up")};
    assert_string_equal(encoded(&r, &t, NULL),
                        UP(CALLED "{\"role\":\"tool\",\"content\":\"Error: " DIALECT_NO_RESULT
                                  "\",\"tool_call_id\":\"a\"},{\"role\":"
                                  "\"tool\",\"content\":\"x\",\"tool_call_id\":\"b\"},{\"role\":"
                                  "\"user\",\"content\":\"never mind\"}",
                           ""));
}

static void trap_14_ids_are_mapped_for_picky_servers(void **state)
{
    (void)state;
    struct llm_request r =
        mended(SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call.1\",\"function\":{"
                   "\"name\":\"f\"}}]},"
                   "{\"role\":\"tool\",\"tool_call_id\":\"call.1\",\"content\":\"x\"}"));
    struct dialect_target t = {.model = STRV("up"), .ids = LLM_IDS_MISTRAL};
    assert_string_equal(encoded(&r, &t, NULL),
                        UP("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"" ID9
                           "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
                           "}\"}}]},{\"role\":"
                           "\"tool\",\"content\":\"x\",\"tool_call_id\":\"" ID9 "\"}",
                           ""));
}

static void trap_15_long_names_are_shortened(void **state)
{
    (void)state;
    struct llm_request r = mended(SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
                                      "\"function\":{\"name\":\"a.b\"}}]},{\"role\":\"tool\","
                                      "\"tool_call_id\":\"a\",\"content\":\"x\"}"));
    static struct llm_tool tool = {.name = STRV("a.b")};
    r.tools = &tool;
    r.n_tools = 1;
    r.choose = LLM_CHOOSE_ONE;
    r.choose_name = tool.name;
    struct dialect_target t = {.model = STRV("up"), .short_names = true};
    assert_string_equal(
        encoded(&r, &t, NULL),
        UP("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":"
           "\"function\",\"function\":{\"name\":\"" SHORT
           "\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
           "\"content\":\"x\",\"tool_call_id\":\"a\"}",
           ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"" SHORT
           "\",\"parameters\":" EMPTY
           "}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"" SHORT "\"}}"));
}

static void an_error_of_a_tool_is_said_in_its_text(void **state)
{
    (void)state;
    static struct llm_part text = {.kind = LLM_PART_TEXT, .text = STRV("no such city")};
    static struct llm_part parts[] = {
        {.kind = LLM_PART_RESULT, .id = STRV("a"), .is_error = true, .parts = &text, .n_parts = 1}};
    static struct llm_message messages[] = {{LLM_USER, parts, 1}};
    struct llm_request r = {
        .dialect = LLM_ANTHROPIC, .messages = messages, .n_messages = 1, .choices = 1};
    struct dialect_target t = {.model = STRV("up")};
    arena_reset(&arena);
    assert_string_equal(
        encoded(&r, &t, NULL),
        UP("{\"role\":\"tool\",\"content\":\"Error: no such city\",\"tool_call_id\":\"a\"}", ""));
}

static void budgets_become_levels(void **state)
{
    (void)state;
    static const struct {
        enum llm_effort effort;
        int64_t tokens;
        bool no_thinking;
        const char *expected;
        bool lost;
    } cases[] = {
        {LLM_EFFORT_ON, 0, false, ",\"reasoning_effort\":\"medium\"", false},
        {LLM_EFFORT_ON, 1024, false, ",\"reasoning_effort\":\"low\"", false},
        {LLM_EFFORT_ON, 8192, false, ",\"reasoning_effort\":\"medium\"", false},
        {LLM_EFFORT_ON, 16000, false, ",\"reasoning_effort\":\"high\"", false},
        {LLM_EFFORT_NONE, 0, false, ",\"reasoning_effort\":\"none\"", false},
        {LLM_EFFORT_NONE, 0, true, "", false},
        {LLM_EFFORT_MAX, 0, true, "", true},
        {LLM_EFFORT_UNSET, 0, false, "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct llm_request r = {.dialect = LLM_ANTHROPIC,
                                .choices = 1,
                                .effort = cases[i].effort,
                                .think_tokens = cases[i].tokens};
        struct dialect_target t = {
            .model = STRV("up"), .reasoning_effort = true, .no_thinking = cases[i].no_thinking};
        char expected[128];
        uint32_t losses;
        snprintf(expected, sizeof expected, UP("", "%s"), cases[i].expected);
        assert_string_equal(encoded(&r, &t, &losses), expected);
        assert_int_equal(losses, cases[i].lost ? 1u << DIALECT_LOSS_EFFORT : 0);
    }
}

/* A repair turn: the request was changed, but what only its vendor knows stays. */
static void a_changed_request_keeps_the_vendors_members(void **state)
{
    (void)state;
    struct llm_request r =
        decoded(ASK(",\"n\":2,\"logprobs\":true,\"top_logprobs\" : 3,\"metadata\":{\"a\": 1.0},"
                    "\"temperature\":1.0,\"x\":null,\"service_tier\":\"flex\""));
    struct dialect_target t = {.model = STRV("up"), .fresh = true};
    uint32_t losses = 0;
    assert_string_equal(encoded(&r, &t, &losses), UP("{\"role\":\"user\",\"content\":\"hi\"}",
                                                     ",\"temperature\":1,\"n\":2,\"logprobs\":true,"
                                                     "\"top_logprobs\":3,\"metadata\":{\"a\": 1.0},"
                                                     "\"service_tier\":\"flex\""));
    assert_int_equal(losses, 0);
}

static void a_document_by_its_address_has_no_place(void **state)
{
    (void)state;
    static struct llm_part parts[] = {{.kind = LLM_PART_LINK,
                                       .text = STRV("https://example.org/a.pdf"),
                                       .type = STRV("document")}};
    static struct llm_message messages[] = {{LLM_USER, parts, 1}};
    struct llm_request r = {
        .dialect = LLM_ANTHROPIC, .messages = messages, .n_messages = 1, .choices = 1};
    struct dialect_target t = {.model = STRV("up")};
    struct err err = ERR_INIT;
    uint32_t losses;
    buf_clear(&out);
    assert_false(dialect_openai.encode_request(&r, &t, &arena, &out, &losses, &err));
    assert_int_equal(err.code, LLM_ERR_UNSUPPORTED);
}

static void trap_17_a_content_is_one_string_wherever_it_can_be(void **state)
{
    (void)state;
    struct llm_request r = mended(SAY(
        "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
        "\"text\":"
        "\"b\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\"},{\"type\":"
        "\"text\","
        "\"text\":\"d\"}]},{\"role\":\"tool\",\"content\":[{\"type\":\"text\",\"text\":\"e\"}]}"));
    struct dialect_target t = {.model = STRV("up")};
    /* a result that no call asked for is still said */
    assert_string_equal(
        encoded(&r, &t, NULL),
        UP("{\"role\":\"system\",\"content\":\"a\\n\\nb\"},{\"role\":\"user\",\"content\":"
           "\"c\\nd\"},{\"role\":\"user\",\"content\":\"e\"}",
           ""));
}

static void trap_27_the_limit_has_two_names(void **state)
{
    (void)state;
    struct dialect_target t = {.model = STRV("up")};
    struct llm_request r = mended(ASK(",\"max_completion_tokens\":9"));
    assert_string_equal(encoded(&r, &t, NULL),
                        UP("{\"role\":\"user\",\"content\":\"hi\"}", ",\"max_tokens\":9"));
    t.completion_tokens = true;
    r = mended(ASK(",\"max_tokens\":9"));
    assert_string_equal(encoded(&r, &t, NULL), UP("{\"role\":\"user\",\"content\":\"hi\"}",
                                                  ",\"max_completion_tokens\":9"));
}

/* Go's servers would read these; a schema has names of its own. */
static void known_names_in_other_letters_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"Arguments\":"
            "\"{}\"}}]}"),
        PART("{\"type\":\"image_url\",\"image_url\":{\"URL\":\"x\"}}"),
        ASK(",\"tools\":[{\"Function\":{\"name\":\"f\"}}]"),
        ASK(",\"tools\":[{\"function\":{\"name\":\"f\",\"Description\":\"x\"}}]"),
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct llm_request r;
        struct err err = ERR_INIT;
        arena_reset(&arena);
        assert_false(
            dialect_openai.decode_request(strv_of(bodies[i]), LLM_OP_CHAT, &arena, &r, &err));
        assert_non_null(strstr(err.text, "must be written in lower case"));
    }
    decoded(ASK(",\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{"
                "\"Name\":{}}}}}]"));
    decoded(SAY("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
                "\"arguments\":{\"Name\":1}}}]}"));
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
        cmocka_unit_test(tools_and_choices_are_understood),
        cmocka_unit_test(calls_and_results_are_understood),
        cmocka_unit_test(forms_and_efforts_are_understood),
        cmocka_unit_test(images_and_files_are_understood),
        cmocka_unit_test(what_is_no_image_or_file_is_named),
        cmocka_unit_test(a_list_of_tools_has_an_end),
        cmocka_unit_test(bad_json_says_where),
        cmocka_unit_test(every_prefix_of_a_request_is_refused),
        cmocka_unit_test(every_prefix_of_a_rich_request_is_refused),
        cmocka_unit_test(refused_memory_for_a_rich_request_is_told),
        cmocka_unit_test(recorded_requests),
        cmocka_unit_test(the_callers_own_bytes_go_on),
        cmocka_unit_test(another_dialects_request_is_written_anew),
        cmocka_unit_test(what_is_written_anew_reads_back_the_same),
        cmocka_unit_test(what_a_target_refuses_is_told_as_lost),
        cmocka_unit_test(trap_30_golden_bodies),
        cmocka_unit_test(images_of_results_need_no_next_message),
        cmocka_unit_test(trap_13_a_call_without_result_gets_one),
        cmocka_unit_test(trap_14_ids_are_mapped_for_picky_servers),
        cmocka_unit_test(trap_15_long_names_are_shortened),
        cmocka_unit_test(an_error_of_a_tool_is_said_in_its_text),
        cmocka_unit_test(budgets_become_levels),
        cmocka_unit_test(a_changed_request_keeps_the_vendors_members),
        cmocka_unit_test(a_document_by_its_address_has_no_place),
        cmocka_unit_test(trap_17_a_content_is_one_string_wherever_it_can_be),
        cmocka_unit_test(trap_27_the_limit_has_two_names),
        cmocka_unit_test(known_names_in_other_letters_are_refused),
        cmocka_unit_test(trap_18_a_prefill_is_refused_where_the_model_takes_none),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
