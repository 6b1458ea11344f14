/* SPDX-License-Identifier: Apache-2.0 */
/* responses: what /v1/responses takes, what it refuses by name, and how its answers are told. */
#include "dialect/wire_test.h"

/* ---- requests ---- */

/* describe() knows texts only: this tells every part. */
static void tell_parts(const struct llm_part *parts, size_t n, struct buf *b)
{
    for (size_t i = 0; i < n; i++) {
        const struct llm_part *p = &parts[i];
        static const char *const kinds[] = {"",       "think ",    "call ",  "result ",
                                            "image ", "document ", "audio ", "link "};
        buf_printf(b, "%s%s", i > 0 ? "/" : "", kinds[p->kind]);
        if (p->kind == LLM_PART_CALL || p->kind == LLM_PART_RESULT)
            buf_printf(b, STRV_FMT " " STRV_FMT " ", STRV_ARG(p->id), STRV_ARG(p->name));
        if (p->kind == LLM_PART_RESULT) {
            buf_put_char(b, '(');
            tell_parts(p->parts, p->n_parts, b);
            buf_put_char(b, ')');
        } else if (p->kind == LLM_PART_IMAGE || p->kind == LLM_PART_DOCUMENT) {
            buf_printf(b, STRV_FMT " " STRV_FMT, STRV_ARG(p->type), STRV_ARG(p->data));
        } else {
            buf_put_strv(b, p->text);
        }
    }
}

static void assert_messages(const char *body, const char *expected)
{
    struct asked a;
    struct buf b;
    buf_init(&b, MIB);
    ask(&a, &dialect_responses, LLM_OP_CHAT, strv_of(body));
    if (!a.ok)
        fail_msg("%s", a.err.text);
    for (size_t i = 0; i < a.r.n_messages; i++) {
        buf_printf(&b, "%s%s:", i > 0 ? " | " : "", llm_role_name(a.r.messages[i].role));
        tell_parts(a.r.messages[i].parts, a.r.messages[i].n_parts, &b);
    }
    assert_string_equal(cstr(&b), expected);
    buf_fini(&b);
    asked_fini(&a);
}

#define ASK(rest)    "{\"model\":\"m\",\"input\":\"Hi\"" rest "}"
#define ITEMS(items) "{\"model\":\"m\",\"input\":[" items "]}"

static void an_input_becomes_messages(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {ASK(""), "user:Hi"},
        {ASK(",\"instructions\":\"Be brief\""), "system:Be brief | user:Hi"},
        {ASK(",\"instructions\":\"\""), "user:Hi"},
        {ITEMS("{\"role\":\"developer\",\"content\":\"a\"},"
               "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
               "\"text\":\"b\"},{\"type\":\"input_text\",\"text\":\"c\"}]},"
               "{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"d\","
               "\"annotations\":[]},{\"type\":\"refusal\",\"refusal\":\"e\"}]}"),
         "system:a | user:b/c | assistant:d/e"},
        /* what the assistant did before one answer of the user's is one message */
        {ITEMS(
             "{\"role\":\"user\",\"content\":\"q\"},"
             "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"content\":[{\"type\":"
             "\"reasoning_text\",\"text\":\"hm\"},{\"type\":\"reasoning_text\",\"text\":\"so\"}]},"
             "{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":"
             "\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"I look\"}]},"
             "{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"f\","
             "\"arguments\":\"{\\\"a\\\":12345678901234567890}\",\"status\":\"completed\"},"
             "{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"g\",\"arguments\":\"\"},"
             "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"18 C\"},"
             "{\"type\":\"function_call_output\",\"call_id\":\"c2\",\"output\":[{\"type\":"
             "\"input_text\",\"text\":\"x\"},{\"type\":\"input_text\",\"text\":\"y\"}]},"
             "{\"role\":\"user\",\"content\":\"and?\"}"),
         "user:q | assistant:think hm\n\nso/I look/call c1 f {\"a\":12345678901234567890}/call c2 "
         "g  "
         "| user:result c1  (18 C)/result c2  (x/y) | user:and?"},
        /* a summary stands in for what is not told; encrypted reasoning is for its maker only */
        {ITEMS("{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"s\"}],"
               "\"encrypted_content\":\"xyz\"},"
               "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"xyz\"},"
               "{\"role\":\"assistant\",\"content\":\"a\"}"),
         "assistant:think s/a"},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":"
               "\"data:image/png;base64,iVBORw0KGgo=\",\"detail\":\"auto\"},{\"type\":"
               "\"input_image\",\"image_url\":\"https://example.org/a.png\"}]}"),
         "user:image image/png iVBORw0KGgo=/link https://example.org/a.png"},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"filename\":\"a.pdf\","
               "\"file_data\":\"data:application/pdf;base64,JVBERi0xLjQK\"},{\"type\":"
               "\"input_file\",\"file_url\":\"https://example.org/a.pdf\"}]}"),
         "user:document application/pdf JVBERi0xLjQK/link https://example.org/a.pdf"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_messages(rows[i][0], rows[i][1]);
}

static void many_items_are_read_in_linear_time_and_memory(void **state)
{
    (void)state;
    struct buf body;
    struct asked a;
    buf_init(&body, 64 * MIB);
    buf_put_cstr(&body, "{\"model\":\"m\",\"input\":[");
    for (int i = 0; i < 2000; i++)
        buf_printf(&body,
                   "%s{\"type\":\"function_call\",\"call_id\":\"c%d\",\"name\":\"f\","
                   "\"arguments\":\"{}\"}",
                   i > 0 ? "," : "", i);
    buf_put_cstr(&body, "]}");
    a = (struct asked){.err = ERR_INIT};
    arena_init(&a.arena, 4096, 8 * MIB);
    assert_true(
        dialect_responses.decode_request(buf_view(&body), LLM_OP_CHAT, &a.arena, &a.r, &a.err));
    assert_int_equal(a.r.n_messages, 1);
    assert_int_equal(a.r.messages[0].n_parts, 2000);
    assert_true(strv_eq_cstr(a.r.messages[0].parts[1999].id, "c1999"));
    arena_fini(&a.arena);
    buf_fini(&body);
}

static void members_are_understood(void **state)
{
    (void)state;
    struct asked a;
    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"stream\":true,\"max_output_tokens\":50,\"temperature\":0.5,\"top_p\":1,"
                 "\"user\":\"u\",\"store\":true,\"include\":[\"reasoning.encrypted_content\"],"
                 "\"truncation\":\"auto\",\"background\":false,\"previous_response_id\":null,"
                 "\"top_logprobs\":0,\"stream_options\":{\"include_obfuscation\":false}")));
    assert_string_equal(cstr(&a.text),
                        "m stream max_tokens=50 temperature=0.5 top_p=1 user=u | user:Hi");
    asked_fini(&a);

    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"metadata\":{\"k\":\"v\"},\"service_tier\":\"flex\",\"prompt_cache_key\":\"x\","
                 "\"text\":{\"verbosity\":\"low\"}")));
    assert_string_equal(cstr(&a.text), "m -other -cache_control -service_tier -metadata | user:Hi");
    asked_fini(&a);
}

static void tools_are_understood(void **state)
{
    (void)state;
    struct asked a;
    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","
                 "\"parameters\":{\"type\":\"object\", \"x\":1.50},\"strict\":true},"
                 "{\"type\":\"function\",\"name\":\"g\"}],\"tool_choice\":{\"type\":\"function\","
                 "\"name\":\"g\"},\"parallel_tool_calls\":false")));
    assert_true(a.ok);
    assert_int_equal(a.r.n_tools, 2);
    assert_true(strv_eq_cstr(a.r.tools[0].schema, "{\"type\":\"object\", \"x\":1.50}"));
    assert_true(a.r.tools[0].strict);
    assert_true(strv_eq_cstr(a.r.tools[1].name, "g"));
    assert_int_equal(a.r.choose, LLM_CHOOSE_ONE);
    assert_true(strv_eq_cstr(a.r.choose_name, "g"));
    assert_true(a.r.one_call);
    assert_int_equal(a.r.needs, LLM_NEED_TOOLS);
    asked_fini(&a);

    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"function\","
                 "\"name\":\"g\"}],\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":"
                 "\"required\",\"tools\":[{\"type\":\"function\",\"name\":\"g\"}]}")));
    assert_true(a.ok);
    assert_int_equal(a.r.n_tools, 1);
    assert_int_equal(a.r.choose, LLM_CHOOSE_ANY);
    asked_fini(&a);
}

static void the_form_of_the_answer_is_understood(void **state)
{
    (void)state;
    struct asked a;
    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":"
                 "{\"type\":\"object\"},\"strict\":true}},\"reasoning\":{\"effort\":\"high\","
                 "\"summary\":\"auto\"}")));
    assert_true(a.ok);
    assert_int_equal(a.r.format, LLM_FORMAT_SCHEMA);
    assert_true(strv_eq_cstr(a.r.schema, "{\"type\":\"object\"}"));
    assert_true(strv_eq_cstr(a.r.schema_name, "n"));
    assert_true(a.r.schema_strict);
    assert_int_equal(a.r.effort, LLM_EFFORT_HIGH);
    asked_fini(&a);

    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV(ASK(",\"text\":{\"format\":{\"type\":\"json_object\"}}")));
    assert_int_equal(a.r.format, LLM_FORMAT_JSON);
    asked_fini(&a);
}

static void what_cannot_be_served_is_named(void **state)
{
    (void)state;
#define KEPT(field, rest) "unsupported [" field "] " field ": " rest
    static const char *const rows[][2] = {
        {ASK(",\"previous_response_id\":\"resp_1\""),
         KEPT("previous_response_id", "answers are not kept here: send the conversation in input")},
        {ASK(",\"conversation\":{\"id\":\"c\"}"),
         KEPT("conversation", "conversations are not kept here: send the conversation in input")},
        {ASK(",\"background\":true"),
         KEPT("background", "answers are not kept here, so none can be made in the background")},
        {"{\"model\":\"m\",\"prompt\":{\"id\":\"p\"}}",
         KEPT("prompt", "prompts are not kept here: send its text in instructions or input")},
        {ASK(",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}]"),
         KEPT("tools[1].type", "only the types \"function\" and \"mcp\" are supported")},
        {ASK(",\"tools\":[{\"type\":\"mcp\",\"server_label\":\"x\",\"server_url\":\"http://x\"}]"),
         KEPT("tools[0].server_url", "tool servers come from the configuration, by their name")},
        {ASK(",\"include\":[\"message.output_text.logprobs\"]"),
         KEPT("include", "logprobs are not supported")},
        {ASK(",\"top_logprobs\":2"), KEPT("top_logprobs", "logprobs are not supported")},
        {ASK(",\"text\":{\"format\":{\"type\":\"grammar\"}}"),
         KEPT("text.format.type",
              "only \"text\", \"json_object\" and \"json_schema\" are supported")},
        {ITEMS("{\"type\":\"computer_call\"}"),
         KEPT("input[0].type", "only messages, reasoning, function_call and function_call_output "
                               "are supported")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]}"),
         KEPT("input[0].content[0]", "files are not kept here, an image must come with its data")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}"),
         KEPT("input[0].content[0]", "files are not kept here, a file must come with its data")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}"),
         KEPT("input[0].content[0]", "audio is not supported")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a;
        ask(&a, &dialect_responses, LLM_OP_CHAT, strv_of(rows[i][0]));
        assert_string_equal(cstr(&a.text), rows[i][1]);
        asked_fini(&a);
    }
}

static void what_is_not_valid_is_named(void **state)
{
    (void)state;
#define BAD(field, rest) "invalid [" field "] " field ": " rest
    static const char *const rows[][2] = {
        {"{\"model\":\"m\"}", BAD("input", "is required")},
        {"{\"model\":\"m\",\"input\":7}", BAD("input", "must be a string or an array of items")},
        {ITEMS(""), BAD("input", "must not be empty")},
        {ITEMS("7"), BAD("input[0]", "must be an object")},
        {ITEMS("{}"), BAD("input[0].type", "must be a string")},
        {ITEMS("{\"type\":\"item_reference\",\"id\":\"msg_1\"}"),
         BAD("input[0].type", "answers are not kept here: send the item itself")},
        {ITEMS("{\"id\":\"msg_1\"}"),
         BAD("input[0].type", "answers are not kept here: send the item itself")},
        {ITEMS("{\"role\":\"tool\",\"content\":\"x\"}"),
         BAD("input[0].role", "must be one of system, developer, user, assistant")},
        {ITEMS("{\"role\":\"user\"}"),
         BAD("input[0].content", "must be a string or an array of parts")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}"),
         BAD("input[0].content[0]", "is not a known kind of part")},
        {ITEMS("{\"role\":\"user\",\"content\":[\"x\"]}"),
         BAD("input[0].content[0]", "must be an object")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]}"),
         BAD("input[0].content[0]", "must have a text")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}"),
         BAD("input[0].content[0]", "must have an image_url")},
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}"),
         BAD("input[0].content[0]", "must have file_data")},
        /* the server that takes links would read it from its own disk */
        {ITEMS("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_url\":"
               "\"file:///etc/passwd\"}]}"),
         BAD("input[0].content[0]", "must be a data URI or an address that begins with https://")},
        {ITEMS("{\"type\":\"function_call\",\"call_id\":7,\"name\":\"f\"}"),
         BAD("input[0].call_id", "must be a string")},
        {ITEMS("{\"type\":\"function_call\",\"call_id\":\"c\"}"),
         BAD("input[0].name", "must be a string of 1 to 256 bytes")},
        {ITEMS("{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":7}"),
         BAD("input[0].arguments", "must be a string")},
        {ITEMS("{\"type\":\"function_call_output\",\"output\":\"x\"}"),
         BAD("input[0].call_id", "must be a string")},
        {ITEMS("{\"type\":\"function_call_output\",\"call_id\":\"c\"}"),
         BAD("input[0].output", "must be a string or an array of parts")},
        {ASK(",\"instructions\":[]"), BAD("instructions", "must be a string")},
        {ASK(",\"max_output_tokens\":0"),
         BAD("max_output_tokens", "must be an integer of at least 1")},
        {ASK(",\"temperature\":3"), BAD("temperature", "must be a number between 0 and 2")},
        {ASK(",\"tools\":{}"), BAD("tools", "must be an array")},
        {ASK(",\"tools\":[{\"type\":\"function\"}]"),
         BAD("tools[0].name", "must be a string of 1 to 256 bytes")},
        {ASK(",\"tool_choice\":\"required\""), BAD("tool_choice", "needs tools to choose from")},
        {ASK(",\"text\":7"), BAD("text", "must be an object")},
        {ASK(",\"text\":{\"format\":\"json\"}"), BAD("text.format", "must be an object")},
        {ASK(",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}"),
         BAD("text.format.schema", "must be an object")},
        {ASK(",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":7}}"),
         BAD("text.format.name", "must be a string")},
        {ASK(",\"text\":{\"format\":{\"type\":\"json_schema\",\"strict\":7}}"),
         BAD("text.format.strict", "must be true or false")},
        {ASK(",\"text\":{\"format\":{\"type\":\"json_schema\",\"description\":7}}"),
         BAD("text.format.description", "must be a string")},
        {ASK(",\"reasoning\":\"high\""), BAD("reasoning", "must be an object")},
        {ASK(",\"reasoning\":{\"effort\":\"on\"}"),
         BAD("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max")},
        {ASK(",\"include\":\"x\""), BAD("include", "must be an array of strings")},
        {ASK(",\"top_logprobs\":21"), BAD("top_logprobs", "must be an integer between 0 and 20")},
        {ASK(",\"truncation\":\"middle\""), BAD("truncation", "must be auto or disabled")},
        {ASK(",\"metadata\":[]"), BAD("metadata", "must be an object")},
        {ASK(",\"stream\":1"), BAD("stream", "must be true or false")},
        {ASK(",\"stream_options\":1"), BAD("stream_options", "must be an object")},
        {ASK(",\"Input\":\"x\""), "invalid [] the member \"Input\" must be written in lower case"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a;
        ask(&a, &dialect_responses, LLM_OP_CHAT, strv_of(rows[i][0]));
        assert_string_equal(cstr(&a.text), rows[i][1]);
        asked_fini(&a);
    }
}

/* ---- answers ---- */

static struct dialect_out new_out(const struct llm_request *r)
{
    struct dialect_out st = {.id = STRV("resp_abc"),
                             .model = STRV("m"),
                             .created_us = 7000000,
                             .input_estimate = 9,
                             .r = r};
    buf_init(&st.kept, MIB);
    return st;
}

#define EV(k, ...)                                                                                 \
    {                                                                                              \
        .kind = LLM_EV_##k, __VA_ARGS__                                                            \
    }
#define T(literal)  .text = {literal, sizeof(literal) - 1}
#define ID(literal) .id = {literal, sizeof(literal) - 1}
#define NM(literal) .name = {literal, sizeof(literal) - 1}

static const struct llm_event all_kinds[] = {
    EV(START, T("up")),
    EV(REASONING, T("h\"")),
    EV(REASONING, T("m")),
    EV(SIGNATURE, T("sig")),
    EV(REASONING, T("secret"), .redacted = true),
    EV(TEXT, T("I ")),
    EV(TEXT, T("l\nook")),
    EV(CALL, ID("c1"), NM("f")),
    EV(ARGS, T("{\"a\"")),
    EV(ARGS, T(":1}")),
    EV(CALL_END),
    EV(CALL, .call = 1, ID(""), NM("g")),
    EV(CALL_END, .call = 1),
    EV(PING),
    EV(TEXT, T("done")),
    EV(TEXT, .choice = 1, T("elsewhere")),
    EV(FINISH, .finish = LLM_FINISH_CALLS),
    EV(USAGE, .usage = {3, 2, 1, -1, -1, -1, -1, -1, -1, -1}),
    EV(END),
    EV(TEXT, T("late")),
};

static void write_all(struct dialect_out *st, const struct llm_event *events, size_t n,
                      struct buf *out)
{
    buf_init(out, MIB);
    for (size_t i = 0; i < n; i++)
        assert_true(dialect_responses.encode_event(st, &events[i], out));
}

static void assert_legal(struct buf *out, bool complete)
{
    struct dialect_check c;
    struct arena scratch;
    strv rest = buf_view(out), name, data;
    arena_init(&scratch, 4096, MIB);
    dialect_check_init(&c, LLM_RESPONSES, LLM_OP_CHAT);
    while (data_event(&rest, &name, &data)) {
        if (!dialect_check_frame(&c, name, data, &scratch))
            fail_msg("%s: %.*s", c.broken, STRV_ARG(data));
        arena_reset(&scratch);
    }
    if (!dialect_check_end(&c, complete))
        fail_msg("%s", c.broken);
    arena_fini(&scratch);
}

/* The events as "type{member=value ...}" without what has its own test: the response, the numbers. */
static void summary_of(struct buf *out, struct buf *b)
{
    struct arena scratch;
    struct err err = ERR_INIT;
    strv rest = buf_view(out), name, data;
    int64_t want = 0, n;
    arena_init(&scratch, 4096, MIB);
    buf_init(b, MIB);
    while (data_event(&rest, &name, &data)) {
        struct json doc;
        size_t i, max;
        yyjson_val *key, *value;
        assert_true(json_read(&doc, data, &scratch, 0, &err));
        assert_true(strv_eq(name, json_get_str(doc.root, "type")));
        assert_true(json_is_int(json_get(doc.root, "sequence_number"), &n) && n == want++);
        buf_put_strv(b, strv_starts(name, STRV("response.")) ? strv_from(name, 9) : name);
        yyjson_obj_foreach(doc.root, i, max, key, value)
        {
            strv k = json_str(key);
            if (strv_eq_cstr(k, "type") || strv_eq_cstr(k, "sequence_number") ||
                strv_eq_cstr(k, "logprobs"))
                continue;
            buf_printf(b, " " STRV_FMT "=", STRV_ARG(k));
            if (strv_eq_cstr(k, "response"))
                buf_put_strv(b, json_get_str(value, "status"));
            else
                json_put_val(b, value, &scratch);
        }
        buf_put_char(b, '\n');
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
}

static void every_kind_of_item_is_told_in_order(void **state)
{
    (void)state;
    struct dialect_out st = new_out(NULL);
    struct buf out, b;
    write_all(&st, all_kinds, COUNT(all_kinds), &out);
    assert_legal(&out, true);
    summary_of(&out, &b);
    assert_string_equal(
        cstr(&b),
        "created response=in_progress\n"
        "in_progress response=in_progress\n"
        "output_item.added output_index=0 item={\"id\":\"rs_abc0\",\"type\":\"reasoning\","
        "\"summary\":[],\"content\":[],\"status\":\"in_progress\"}\n"
        "content_part.added item_id=\"rs_abc0\" output_index=0 content_index=0 "
        "part={\"type\":\"reasoning_text\",\"text\":\"\"}\n"
        "reasoning_text.delta item_id=\"rs_abc0\" output_index=0 content_index=0 delta=\"h\\\"\"\n"
        "reasoning_text.delta item_id=\"rs_abc0\" output_index=0 content_index=0 delta=\"m\"\n"
        "reasoning_text.done item_id=\"rs_abc0\" output_index=0 content_index=0 text=\"h\\\"m\"\n"
        "content_part.done item_id=\"rs_abc0\" output_index=0 content_index=0 "
        "part={\"type\":\"reasoning_text\",\"text\":\"h\\\"m\"}\n"
        "output_item.done output_index=0 item={\"id\":\"rs_abc0\",\"type\":\"reasoning\","
        "\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"h\\\"m\"}],"
        "\"status\":\"completed\"}\n"
        "output_item.added output_index=1 item={\"id\":\"msg_abc1\",\"type\":\"message\","
        "\"role\":\"assistant\",\"content\":[],\"status\":\"in_progress\"}\n"
        "content_part.added item_id=\"msg_abc1\" output_index=1 content_index=0 "
        "part={\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}\n"
        "output_text.delta item_id=\"msg_abc1\" output_index=1 content_index=0 delta=\"I \"\n"
        "output_text.delta item_id=\"msg_abc1\" output_index=1 content_index=0 delta=\"l\\nook\"\n"
        "output_text.done item_id=\"msg_abc1\" output_index=1 content_index=0 text=\"I l\\nook\"\n"
        "content_part.done item_id=\"msg_abc1\" output_index=1 content_index=0 "
        "part={\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"I "
        "l\\nook\"}\n"
        "output_item.done output_index=1 item={\"id\":\"msg_abc1\",\"type\":\"message\","
        "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],"
        "\"logprobs\":[],\"text\":\"I l\\nook\"}],\"status\":\"completed\"}\n"
        "output_item.added output_index=2 item={\"id\":\"fc_abc2\",\"type\":\"function_call\","
        "\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"\",\"status\":\"in_progress\"}\n"
        "function_call_arguments.delta item_id=\"fc_abc2\" output_index=2 delta=\"{\\\"a\\\"\"\n"
        "function_call_arguments.delta item_id=\"fc_abc2\" output_index=2 delta=\":1}\"\n"
        "function_call_arguments.done item_id=\"fc_abc2\" output_index=2 "
        "arguments=\"{\\\"a\\\":1}\"\n"
        "output_item.done output_index=2 item={\"id\":\"fc_abc2\",\"type\":\"function_call\","
        "\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\",\"status\":"
        "\"completed\"}\n"
        "output_item.added output_index=3 item={\"id\":\"fc_abc3\",\"type\":\"function_call\","
        "\"call_id\":\"call_abc3\",\"name\":\"g\",\"arguments\":\"\",\"status\":\"in_progress\"}\n"
        "function_call_arguments.delta item_id=\"fc_abc3\" output_index=3 delta=\"{}\"\n"
        "function_call_arguments.done item_id=\"fc_abc3\" output_index=3 arguments=\"{}\"\n"
        "output_item.done output_index=3 item={\"id\":\"fc_abc3\",\"type\":\"function_call\","
        "\"call_id\":\"call_abc3\",\"name\":\"g\",\"arguments\":\"{}\",\"status\":\"completed\"}\n"
        "output_item.added output_index=4 item={\"id\":\"msg_abc4\",\"type\":\"message\","
        "\"role\":\"assistant\",\"content\":[],\"status\":\"in_progress\"}\n"
        "content_part.added item_id=\"msg_abc4\" output_index=4 content_index=0 "
        "part={\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}\n"
        "output_text.delta item_id=\"msg_abc4\" output_index=4 content_index=0 delta=\"done\"\n"
        "output_text.done item_id=\"msg_abc4\" output_index=4 content_index=0 text=\"done\"\n"
        "content_part.done item_id=\"msg_abc4\" output_index=4 content_index=0 "
        "part={\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"done\"}\n"
        "output_item.done output_index=4 item={\"id\":\"msg_abc4\",\"type\":\"message\","
        "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],"
        "\"logprobs\":[],\"text\":\"done\"}],\"status\":\"completed\"}\n"
        "completed response=completed\n");
    buf_fini(&b);
    buf_fini(&out);
    buf_fini(&st.kept);
}

/* The last event's response is the whole answer of the same reply. */
static void a_stream_ends_with_the_whole_answer(void **state)
{
    (void)state;
    struct dialect_out st = new_out(NULL), whole_st = new_out(NULL);
    struct llm_reply reply;
    struct arena keep;
    struct buf out, whole;
    write_all(&st, all_kinds, COUNT(all_kinds), &out);
    arena_init(&keep, 4096, MIB);
    llm_reply_init(&reply, MIB);
    buf_init(&whole, MIB);
    for (size_t i = 0; i < COUNT(all_kinds) - 1; i++)
        assert_true(llm_reply_add(&reply, &all_kinds[i], &keep));
    assert_true(dialect_responses.encode_reply(&whole_st, &reply, &whole));
    const char *last = strstr(cstr(&out), "event: response.completed\n");
    assert_non_null(last);
    last = strstr(last, "\"response\":") + 11;
    size_t len = strlen(last) - strlen("}\n\n");
    assert_int_equal(len, buf_len(&whole));
    assert_memory_equal(last, cstr(&whole), len);
    llm_reply_fini(&reply);
    arena_fini(&keep);
    buf_fini(&whole);
    buf_fini(&out);
    buf_fini(&st.kept);
    buf_fini(&whole_st.kept);
}

static void the_request_is_told_again_though_it_is_gone(void **state)
{
    (void)state;
    static const struct llm_event events[] = {
        EV(START, T("up")), EV(TEXT, T("Hi")), EV(FINISH, .finish = LLM_FINISH_STOP),
        EV(USAGE, .usage = {3, 2, 1, -1, 1, -1, -1, -1, -1, -1}), EV(END)};
    struct asked a;
    struct buf out;
    ask(&a, &dialect_responses, LLM_OP_CHAT,
        STRV("{\"model\":\"x\",\"input\":\"Hi\",\"instructions\":\"Be \\u0062rief\",\"metadata\":"
             "{\"k\": "
             "\"v\"},\"temperature\":0.50,\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],"
             "\"tool_choice\":\"auto\",\"top_p\":null,\"store\":true}"));
    struct dialect_out st = new_out(&a.r);
    buf_init(&out, MIB);
    assert_true(dialect_responses.encode_event(&st, &events[0], &out));
    asked_fini(&a);
    st.r = NULL;
    for (size_t i = 1; i < COUNT(events); i++)
        assert_true(dialect_responses.encode_event(&st, &events[i], &out));
    assert_legal(&out, true);
    const char *last = strstr(cstr(&out), "event: response.completed\n");
    assert_string_equal(
        strstr(last, "\"response\":"),
        "\"response\":{\"id\":\"resp_abc\",\"object\":\"response\",\"created_at\":7,\"status\":"
        "\"completed\",\"error\":null,\"incomplete_details\":null,\"model\":\"m\",\"output\":[{"
        "\"id\":\"msg_abc0\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
        "\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"Hi\"}],\"status\":"
        "\"completed\"}],\"instructions\":\"Be \\u0062rief\",\"max_output_tokens\":null,"
        "\"max_tool_calls\":null,\"metadata\":{\"k\": \"v\"},\"parallel_tool_calls\":true,"
        "\"prompt_cache_key\":null,\"reasoning\":{\"effort\":null,\"summary\":null},"
        "\"safety_identifier\":null,\"service_tier\":\"default\",\"temperature\":0.50,\"text\":{"
        "\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[{\"type\":"
        "\"function\",\"name\":\"f\"}],\"top_logprobs\":0,\"top_p\":1,\"truncation\":\"disabled\","
        "\"user\":null,\"background\":false,\"previous_response_id\":null,\"store\":false,"
        "\"usage\":{\"input_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":1,"
        "\"cache_write_tokens\":0},"
        "\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":1},"
        "\"total_tokens\":5}}}\n\n");
    buf_fini(&out);
    buf_fini(&st.kept);
}

static void a_summary_is_told_where_one_was_asked_for(void **state)
{
    (void)state;
    static const struct llm_event events[] = {EV(START, T("up")), EV(REASONING, T("hm")),
                                              EV(TEXT, T("Hi")),
                                              EV(FINISH, .finish = LLM_FINISH_STOP), EV(END)};
    struct asked a;
    struct buf out, b;
    ask(&a, &dialect_responses, LLM_OP_CHAT, STRV(ASK(",\"reasoning\":{\"summary\":\"auto\"}")));
    struct dialect_out st = new_out(&a.r);
    write_all(&st, events, COUNT(events), &out);
    assert_legal(&out, true);
    summary_of(&out, &b);
    assert_non_null(strstr(
        cstr(&b),
        "output_item.added output_index=0 item={\"id\":\"rs_abc0\",\"type\":\"reasoning\","
        "\"summary\":[],\"status\":\"in_progress\"}\n"
        "reasoning_summary_part.added item_id=\"rs_abc0\" output_index=0 summary_index=0 "
        "part={\"type\":\"summary_text\",\"text\":\"\"}\n"
        "reasoning_summary_text.delta item_id=\"rs_abc0\" output_index=0 summary_index=0 "
        "delta=\"hm\"\n"
        "reasoning_summary_text.done item_id=\"rs_abc0\" output_index=0 summary_index=0 "
        "text=\"hm\"\n"
        "reasoning_summary_part.done item_id=\"rs_abc0\" output_index=0 summary_index=0 "
        "part={\"type\":\"summary_text\",\"text\":\"hm\"}\n"
        "output_item.done output_index=0 item={\"id\":\"rs_abc0\",\"type\":\"reasoning\","
        "\"summary\":[{\"type\":\"summary_text\",\"text\":\"hm\"}],\"status\":\"completed\"}\n"));
    asked_fini(&a);
    buf_fini(&b);
    buf_fini(&out);
    buf_fini(&st.kept);
}

static void an_answer_that_was_cut_short_is_incomplete(void **state)
{
    (void)state;
    static const struct {
        enum llm_finish finish;
        const char *status;
    } rows[] = {
        {LLM_FINISH_LENGTH, "\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{"
                            "\"reason\":\"max_output_tokens\"}"},
        {LLM_FINISH_FILTER, "\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{"
                            "\"reason\":\"content_filter\"}"},
        {LLM_FINISH_OTHER, "\"status\":\"completed\",\"error\":null,\"incomplete_details\":null"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct llm_event events[] = {EV(START, T("up")), EV(TEXT, T("Hi")),
                                           EV(FINISH, .finish = rows[i].finish), EV(END)};
        struct dialect_out st = new_out(NULL);
        struct buf out;
        write_all(&st, events, COUNT(events), &out);
        assert_legal(&out, true);
        assert_non_null(strstr(cstr(&out), rows[i].status));
        assert_int_equal(strstr(cstr(&out), "event: response.incomplete\n") != NULL,
                         rows[i].finish != LLM_FINISH_OTHER);
        assert_int_equal(strstr(cstr(&out), "\"text\":\"Hi\"}],\"status\":\"incomplete\"}") != NULL,
                         rows[i].finish != LLM_FINISH_OTHER);
        /* nobody counted: nothing is claimed */
        assert_null(strstr(cstr(&out), "input_tokens"));
        buf_fini(&out);
        buf_fini(&st.kept);
    }
}

static void an_answer_that_says_nothing_is_an_empty_message(void **state)
{
    (void)state;
    static const struct llm_event events[] = {EV(START, T("up")),
                                              EV(FINISH, .finish = LLM_FINISH_STOP), EV(END)};
    struct dialect_out st = new_out(NULL);
    struct buf out;
    write_all(&st, events, COUNT(events), &out);
    assert_legal(&out, true);
    assert_non_null(
        strstr(cstr(&out), "\"logprobs\":[],\"text\":\"\"}],\"status\":\"completed\"}"));
    buf_fini(&out);
    buf_fini(&st.kept);
}

static void a_stream_that_fails_says_so(void **state)
{
    (void)state;
    static const struct llm_event events[] = {EV(START, T("up")), EV(TEXT, T("Hi"))};
    struct dialect_out st = new_out(NULL);
    struct buf out;
    write_all(&st, events, COUNT(events), &out);
    dialect_responses.stream_error(&st, LLM_ERR_UPSTREAM_CUT, STRV("gone"), STRV("req"), &out);
    assert_true(dialect_responses.encode_event(&st, &(struct llm_event){.kind = LLM_EV_END}, &out));
    assert_legal(&out, false);
    assert_string_equal(strstr(cstr(&out), "event: error"),
                        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":5,\"code\":"
                        "\"upstream_cut\",\"message\":\"gone\",\"param\":null,\"error\":{"
                        "\"message\":\"gone\",\"type\":\"api_error\",\"param\":null,\"code\":"
                        "\"upstream_cut\"}}\n\n");
    buf_fini(&out);
    buf_fini(&st.kept);
}

static void too_long_an_answer_is_refused_not_cut(void **state)
{
    (void)state;
    struct dialect_out st = new_out(NULL);
    struct buf out;
    bool ok = true;
    buf_fini(&st.kept);
    buf_init(&st.kept, 2048);
    buf_init(&out, MIB);
    for (int i = 0; i < 100 && ok; i++) {
        const struct llm_event ev = EV(TEXT, T("a text of forty characters or nearly so"));
        ok = dialect_responses.encode_event(&st, &ev, &out);
    }
    assert_false(ok);
    buf_fini(&out);
    buf_fini(&st.kept);
}

static void failing_memory_fails_the_answer(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct dialect_out st = new_out(NULL);
        struct buf out;
        bool ok = true;
        buf_init(&out, MIB);
        mem_fail_at(n, true);
        for (size_t i = 0; i < COUNT(all_kinds) && ok; i++)
            ok = dialect_responses.encode_event(&st, &all_kinds[i], &out);
        mem_fail_at(0, false);
        buf_fini(&out);
        buf_fini(&st.kept);
        if (ok)
            break;
        assert_in_range(n, 0, 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_becomes_messages),
        cmocka_unit_test(many_items_are_read_in_linear_time_and_memory),
        cmocka_unit_test(members_are_understood),
        cmocka_unit_test(tools_are_understood),
        cmocka_unit_test(the_form_of_the_answer_is_understood),
        cmocka_unit_test(what_cannot_be_served_is_named),
        cmocka_unit_test(what_is_not_valid_is_named),
        cmocka_unit_test(every_kind_of_item_is_told_in_order),
        cmocka_unit_test(a_stream_ends_with_the_whole_answer),
        cmocka_unit_test(the_request_is_told_again_though_it_is_gone),
        cmocka_unit_test(a_summary_is_told_where_one_was_asked_for),
        cmocka_unit_test(an_answer_that_was_cut_short_is_incomplete),
        cmocka_unit_test(an_answer_that_says_nothing_is_an_empty_message),
        cmocka_unit_test(a_stream_that_fails_says_so),
        cmocka_unit_test(too_long_an_answer_is_refused_not_cut),
        cmocka_unit_test(failing_memory_fails_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
