/* SPDX-License-Identifier: Apache-2.0 */
/* anthropic_test - both sides of /v1/messages; the numbers of traps are those of translators' known bugs. */
#include "dialect/wire_test.h"

static const struct dialect *const A = &dialect_anthropic;

#define USER_HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ---- requests of callers ---- */

struct request_row {
    const char *body, *expected;
};

static void check_requests(const struct request_row *rows, size_t n, bool ok)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        ask(&a, A, LLM_OP_CHAT, strv_of(rows[i].body));
        assert_string_equal(cstr(&a.text), rows[i].expected);
        assert_int_equal(a.ok, ok);
        asked_fini(&a);
    }
}

static void a_request_becomes_canonical(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"{\"model\":\"m\",\"max_tokens\":5," USER_HI "}", "m max_tokens=5 | user:hi"},
        {"{\"max_tokens\":5," USER_HI "}", " max_tokens=5 | user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"stream\":true,\"temperature\":0.25,\"top_p\":1,"
         "\"top_k\":0,\"stop_sequences\":[\"a\",\"b\"]," USER_HI "}",
         "m stream max_tokens=5 temperature=0.25 top_p=1 top_k=0 stop[a] stop[b] | user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"system\":\"be brief\"," USER_HI "}",
         "m max_tokens=5 | system:be brief user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":\"a\","
         "\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\",\"text\":\"b\"}]," USER_HI
         "}",
         "m max_tokens=5 | system:a/b user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\","
         "\"content\":\"c\"},{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"user\","
         "\"content\":"
         "\"e\"}]}",
         "m max_tokens=5 | user:a/b assistant:c system:d user:e"},
        /* A prefill may be empty. */
        {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":\"\"}]}",
         "m max_tokens=5 | user:a assistant:"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"metadata\":{\"user_id\":\"u\"}," USER_HI "}",
         "m max_tokens=5 user=u | user:hi"},
        /* Harmless values of what cannot be served. */
        {"{\"model\":\"m\",\"max_tokens\":5,\"tools\":[],\"tool_choice\":{\"type\":\"auto\"},"
         "\"output_config\":{\"format\":null},\"mcp_servers\":[],\"container\":null,"
         "\"thinking\":{\"type\":\"disabled\"},\"stop_sequences\":null,\"cache_control\":{\"type\":"
         "\"ephemeral\"}," USER_HI "}",
         "m max_tokens=5 | user:hi"},
        /* Hints that only Anthropic understands. */
        {"{\"model\":\"m\",\"max_tokens\":5,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":"
         "1024}"
         "," USER_HI "}",
         "m max_tokens=5 -reasoning | user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"thinking\":{\"type\":\"adaptive\"},\"output_config\":"
         "{\"effort\":\"low\"}," USER_HI "}",
         "m max_tokens=5 -reasoning | user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"service_tier\":\"auto\",\"new\":1," USER_HI "}",
         "m max_tokens=5 -other | user:hi"},
    };
    check_requests(rows, COUNT(rows), true);
}

static void a_wrong_request_names_its_field(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"", "invalid [] the body is empty, a JSON object is expected"},
        {"[]", "invalid [] the body must be a JSON object"},
        {"{\"model\":\"m\"," USER_HI "}", "invalid [max_tokens] max_tokens: Field required"},
        {"{\"model\":\"m\",\"max_tokens\":0," USER_HI "}",
         "invalid [max_tokens] max_tokens: must be an integer of at least 1"},
        {"{\"model\":1,\"max_tokens\":1," USER_HI "}",
         "invalid [model] model: Input should be a valid string"},
        {"{\"model\":\"m\",\"max_tokens\":1}", "invalid [messages] messages: Field required"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":\"hi\"}",
         "invalid [messages] messages: Input should be a valid list"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[]}",
         "invalid [messages] messages: at least one message is required"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[1]}",
         "invalid [messages.0] messages.0: Input should be an object"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
         "invalid [messages.0.role] messages.0.role: Input should be 'user' or 'assistant'"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}",
         "invalid [messages.0] messages.0: all messages must have non-empty content except for the "
         "optional final assistant message"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":7}]}",
         "invalid [messages.0.content] messages.0.content: Input should be a valid string or a "
         "list "
         "of content blocks"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\"}]}]}",
         "invalid [messages.0.content.0] messages.0.content.0: text: Input should be a valid "
         "string"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"thinking\",\"thinking\":\"t\",\"signature\":\"s\"}]}]}",
         "invalid [messages.0.content.0] messages.0.content.0: thinking blocks belong to assistant "
         "messages"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"temperature\":1.5," USER_HI "}",
         "invalid [temperature] temperature: must be a number between 0 and 1"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"top_k\":-1," USER_HI "}",
         "invalid [top_k] top_k: must be an integer of at least 0"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"stop_sequences\":\"x\"," USER_HI "}",
         "invalid [stop_sequences] stop_sequences: Input should be a valid list"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"stop_sequences\":[\" \\n\"]," USER_HI "}",
         "invalid [stop_sequences] stop_sequences: each stop sequence must contain non-whitespace"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"stream\":\"yes\"," USER_HI "}",
         "invalid [stream] stream: must be true or false"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"thinking\":true," USER_HI "}",
         "invalid [thinking] thinking: Input should be an object with a type"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"metadata\":{\"user_id\":3}," USER_HI "}",
         "invalid [metadata.user_id] metadata.user_id: Input should be a valid string"},
        {"{\"model\":\"m\",\"model\":\"n\",\"max_tokens\":1," USER_HI "}",
         "invalid [] the member \"model\" occurs twice"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"tools\":[{\"name\":\"t\"}]," USER_HI "}",
         "unsupported [tools] tools: cannot be served"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"tool_choice\":{\"type\":\"any\"}," USER_HI "}",
         "unsupported [tool_choice] tool_choice: tools cannot be served"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"output_config\":{\"format\":{\"type\":\"json_"
         "schema\"}}," USER_HI "}",
         "unsupported [output_config.format] output_config.format: structured output cannot be "
         "served"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"see\"},{\"type\":\"image\",\"source\":{}}]}]}",
         "unsupported [messages.0.content.1] messages.0.content.1: content blocks of type image "
         "cannot be served"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"hologram\"}]}]}",
         "unsupported [messages.0.content.0] messages.0.content.0: content blocks of this type "
         "cannot be served"},
        {"{\"model\":\"m\",\"max_tokens\":1,\"system\":[{\"type\":\"document\"}]," USER_HI "}",
         "unsupported [system.0] system.0: content blocks of type document cannot be served"},
    };
    check_requests(rows, COUNT(rows), false);
}

static const char full_request[] =
    "{ \"model\" : \"claude\", \"max_tokens\":64,\"temperature\":1,\"top_p\":0.5,\"top_k\":40,"
    "\"stream\":true,\"stop_sequences\":[\"END\",\"\\u00e9\"],\"metadata\":{\"user_id\":\"u-1\"},"
    "\"system\":[{\"type\":\"text\",\"text\":\"first\"},{\"type\":\"text\",\"text\":\"second\"}],"
    "\"messages\":[{\"role\":\"user\",\"content\":\"gr\\u00fc\\u00df \\\"dich\\\"\"},"
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":"
    "\"s\"},{\"type\":\"text\",\"text\":\"ja\"}]},{\"role\":\"user\",\"content\":\"und?\"}]}";

static void a_request_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof full_request - 1; n++) {
        struct asked a;
        ask(&a, A, LLM_OP_CHAT, (strv){full_request, n});
        assert_false(a.ok);
        assert_int_equal(a.err.code, LLM_ERR_INVALID_REQUEST);
        asked_fini(&a);
    }
}

static void a_request_survives_every_refusal_of_memory(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct dialect_target t = {.model = STRV("m"), .num_ctx = 4096};
        const struct dialect *to[] = {&dialect_anthropic, &dialect_openai, &dialect_ollama};
        int64_t live = mem_live();
        done = true;
        for (size_t i = 0; i < COUNT(to); i++) {
            struct arena arena;
            struct llm_request r;
            struct err err = ERR_INIT;
            struct buf out;
            uint32_t losses;
            arena_init(&arena, 512, MIB);
            buf_init(&out, MIB);
            mem_fail_at(n, true);
            bool ok = A->decode_request(STRV(full_request), LLM_OP_CHAT, &arena, &r, &err) &&
                      to[i]->encode_request(&r, &t, &arena, &out, &losses, &err);
            mem_fail_at(0, false);
            assert_true(ok || err.set);
            done = done && ok;
            arena_fini(&arena);
            buf_fini(&out);
        }
        assert_int_equal(mem_live(), live);
    }
}

/* ---- requests to upstreams ---- */

struct pass_row {
    const struct dialect *from;
    const char *body;
    struct dialect_target t;
    const char *expected, *lost;
};

static void check_passes(const struct pass_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        struct buf out, lost;
        ask(&a, rows[i].from, LLM_OP_CHAT, strv_of(rows[i].body));
        assert_string_equal(a.err.text, "");
        bool ok = tell(&a, A, &rows[i].t, &out, &lost);
        assert_string_equal(ok ? cstr(&out) : a.err.text, rows[i].expected);
        assert_string_equal(cstr(&lost), rows[i].lost);
        buf_fini(&out);
        buf_fini(&lost);
        asked_fini(&a);
    }
}

static void the_same_dialect_passes_bytes_as_they_came(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         "{ \"max_tokens\": 5, \"new\": 1.50, \"model\" :\"x\", " USER_HI " }",
         {.model = STRV("up\"stream")},
         "{ \"max_tokens\": 5, \"new\": 1.50, \"model\" :\"up\\\"stream\", " USER_HI " }",
         ""},
        /* Signatures of thinking survive only byte by byte (trap 20). */
        {&dialect_anthropic,
         "{\"model\":\"x\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\","
         "\"signature\":\"EqQ\\u002b\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"user\","
         "\"content\":\"c\"}]}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\","
         "\"signature\":\"EqQ\\u002b\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"user\","
         "\"content\":\"c\"}]}",
         ""},
        {&dialect_anthropic,
         "{\"model\":\"x\",\"max_tokens\":50," USER_HI "}",
         {.model = STRV("m"), .stream = true, .max_tokens_cap = 20},
         "{\"stream\":true,\"model\":\"m\",\"max_tokens\":20," USER_HI "}",
         ""},
        {&dialect_anthropic,
         "{\"model\":\"x\",\"max_tokens\":50,\"stream\":true," USER_HI "}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"max_tokens\":50,\"stream\":false," USER_HI "}",
         ""},
        {&dialect_anthropic,
         "{\"model\":\"x\",\"temperature\":1,\"max_tokens\":50,\"top_k\":3,\"thinking\":{\"type\":"
         "\"adaptive\"},\"stream\":true," USER_HI "}",
         {.model = STRV("m"), .stream = true, .no_sampling = true},
         "{\"model\":\"m\",\"max_tokens\":50,\"stream\":true,\"thinking\":{\"type\":\"adaptive\"}"
         "," USER_HI "}",
         "temperature top_k"},
        {&dialect_anthropic,
         "{\"model\":\"x\",\"max_tokens\":50," USER_HI "}",
         {.model = STRV("m"), .no_sampling = true},
         "{\"model\":\"m\",\"max_tokens\":50," USER_HI "}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void another_dialect_is_translated(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_openai,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"system\",\"content\":\"s1\"},{\"role\":"
         "\"developer\",\"content\":\"s2\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
         "\"user\","
         "\"content\":\"b\"},{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":\"system\","
         "\"content\":\"mid\"},{\"role\":\"user\",\"content\":\"d\"}],\"user\":\"u\",\"stop\":"
         "\"Z\","
         "\"temperature\":0.5}",
         {.model = STRV("m"), .stream = true},
         "{\"model\":\"m\",\"max_tokens\":4096,\"system\":\"s1\\n\\ns2\",\"messages\":["
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
         "\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}"
         "]},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"<system>\\nmid\\n</"
         "system>\"},"
         "{\"type\":\"text\",\"text\":\"d\"}]}],\"temperature\":0.5,\"stop_sequences\":[\"Z\"],"
         "\"metadata\":{\"user_id\":\"u\"},\"stream\":true}",
         ""},
        {&dialect_openai,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
         "\"assistant\","
         "\"content\":\"b\"},{\"role\":\"system\",\"content\":\"mid\"}]}",
         {.model = STRV("m"), .mid_system = true},
         "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
         "\"text\":"
         "\"b\"}]},{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"mid\"}]}]}",
         ""},
        {&dialect_ollama,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"options\":{"
         "\"num_predict\":-1,\"top_k\":40,\"seed\":7,\"min_p\":0.1}}",
         {.model = STRV("m"), .max_tokens_default = 100, .stream = true},
         "{\"model\":\"m\",\"max_tokens\":100,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"}]}],\"top_k\":40,\"stream\":true}",
         "min_p seed"},
        {&dialect_openai,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":900,"
         "\"temperature\":1.7,\"top_p\":0.9,\"presence_penalty\":1}",
         {.model = STRV("m"), .max_tokens_cap = 500},
         "{\"model\":\"m\",\"max_tokens\":500,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"}]}],\"temperature\":1}",
         "top_p presence_penalty"},
        {&dialect_openai,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":0,"
         "\"top_p\":1,\"top_k\":-1}",
         {.model = STRV("m"), .no_sampling = true},
         "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"}]}]}",
         "temperature top_p"},
        {&dialect_openai,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stop\":[\"\\n\","
         "\"Q\",\"\"]}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":"
         "\"text\",\"text\":\"a\"}]}],\"stop_sequences\":[\"Q\"]}",
         "stop"},
    };
    check_passes(rows, COUNT(rows));
}

#define HEAD  "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":["
#define U(t)  "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"" t "\"}]}"
#define AS(t) "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"" t "\"}]}"

static void trap_16_blank_text_is_dropped_and_roles_still_alternate(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_openai,
         "{\"messages\":[{\"role\":\"system\",\"content\":\" "
         "\"},{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":\" \\n\"},{\"role\":\"user\",\"content\":\"b\"}]}",
         {.model = STRV("m")},
         HEAD
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
         "\"text\":\"b\"}]}]}",
         ""},
        /* Leaving the last one out would make a prefill of the answer before it. */
        {&dialect_openai,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
         "\"b\"},{\"role\":\"user\",\"content\":\"\"}]}",
         {.model = STRV("m"), .no_prefill = true},
         HEAD U("a") "," AS("b") "," U("Continue.") "]}",
         ""},
        {&dialect_openai,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":\"hello\"},{\"role\":\"user\","
         "\"content\":"
         "\"a\"}]}",
         {.model = STRV("m")},
         HEAD U("Begin.") "," AS("hello") "," U("a") "]}",
         ""},
        {&dialect_openai,
         "{\"messages\":[{\"role\":\"system\",\"content\":\"write a poem\"}]}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"max_tokens\":4096,\"system\":\"write a poem\",\"messages\":[" U(
             "Begin.") "]}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_18_a_prefill_is_refused_where_the_model_refuses_it(void **state)
{
    (void)state;
    static const char openai[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
                                 "\"assistant\",\"content\":\"b "
                                 "\"}]}";
    static const char own[] = "{\"max_tokens\":4,\"messages\":[{\"role\":\"user\",\"content\":"
                              "\"a\"},{\"role\":\"assistant\","
                              "\"content\":\"b\"}]}";
    static const char refused[] =
        "messages: the model does not continue a last message of the assistant";
    static const struct pass_row rows[] = {
        /* Anthropic refuses blanks at the end of it. */
        {&dialect_openai, openai, {.model = STRV("m")}, HEAD U("a") "," AS("b") "]}", ""},
        {&dialect_openai, openai, {.model = STRV("m"), .no_prefill = true}, refused, ""},
        {&dialect_anthropic, own, {.model = STRV("m"), .no_prefill = true}, refused, ""},
    };
    check_passes(rows, COUNT(rows));
}

static void what_only_other_dialects_know_is_refused(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_openai,
         "{\"n\":2,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
         {.model = STRV("m")},
         "n: an Anthropic provider cannot serve this",
         ""},
    };
    check_passes(rows, COUNT(rows));
    assert_int_equal(A->can, 0);
}

static void a_long_user_id_stays_behind(void **state)
{
    (void)state;
    char body[1024];
    struct asked a;
    struct buf out, lost;
    struct dialect_target t = {.model = STRV("m")};
    snprintf(body, sizeof body, "{\"user\":\"%0257d\"," USER_HI "}", 1);
    ask(&a, &dialect_openai, LLM_OP_CHAT, strv_of(body));
    assert_true(a.ok);
    assert_true(tell(&a, A, &t, &out, &lost));
    assert_string_equal(cstr(&lost), "user");
    assert_null(strstr(cstr(&out), "metadata"));
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

static void what_is_translated_back_reads_the_same(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        full_request,
        "{\"model\":\"m\",\"max_tokens\":5," USER_HI "}",
        "{\"model\":\"m\",\"max_tokens\":5,\"system\":\"\\u0000\\\\\\\"\\n\\ud83d\\ude00\"," USER_HI
        "}",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        /* Anthropic -> Ollama -> Anthropic: parts are joined on the way, nothing else changes. */
        struct asked a, b, c;
        struct buf out, lost, back, lost_back;
        ask(&a, A, LLM_OP_CHAT, strv_of(bodies[i]));
        assert_true(a.ok);
        struct dialect_target t = {.model = a.r.model, .stream = a.r.stream};
        assert_true(tell(&a, &dialect_ollama, &t, &out, &lost));
        ask(&b, &dialect_ollama, LLM_OP_CHAT, buf_view(&out));
        assert_true(b.ok);
        b.r.user = a.r.user; /* Ollama has no place for it */
        b.r.params_set &= ~(1u << LLM_P_TOP_P);
        assert_true(tell(&b, A, &t, &back, &lost_back));
        ask(&c, A, LLM_OP_CHAT, buf_view(&back));
        assert_true(c.ok);
        struct buf expected, got;
        buf_init(&expected, MIB);
        buf_init(&got, MIB);
        describe(&b.r, &expected);
        describe(&c.r, &got);
        assert_string_equal(cstr(&got), cstr(&expected));
        buf_fini(&expected);
        buf_fini(&got);
        buf_fini(&out);
        buf_fini(&lost);
        buf_fini(&back);
        buf_fini(&lost_back);
        asked_fini(&a);
        asked_fini(&b);
        asked_fini(&c);
    }
}

static void the_billing_note_of_claude_code_does_not_leave_the_dialect(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":"
         "\"x-anthropic-billing-header: "
         "cc_version=1;\"},{\"type\":\"text\",\"text\":\"s\"}]," USER_HI "}",
         "m max_tokens=5 | system:s user:hi"},
        {"{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":"
         "\"x-anthropic-billing-header: cc_version=1;\"}]," USER_HI "}",
         "m max_tokens=5 | user:hi"},
    };
    check_requests(rows, COUNT(rows), true);
}

/* ---- answers to callers ---- */

#define START_FRAME                                                                                \
    "event: message_start\n"                                                                       \
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","        \
    "\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,"                  \
    "\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n"

static struct dialect_out fresh_out(void)
{
    return (struct dialect_out){.id = STRV("msg_1"), .model = STRV("m"), .input_estimate = 9};
}

static void put_events(struct dialect_out *st, const struct llm_event *events, size_t n,
                       struct buf *out)
{
    buf_init(out, MIB);
    for (size_t i = 0; i < n; i++)
        assert_true(A->encode_event(st, &events[i], out));
}

static void a_stream_is_written_frame_by_frame(void **state)
{
    (void)state;
    struct llm_usage usage = LLM_USAGE_NONE;
    usage.input = 30;
    usage.output = 4;
    usage.cached = 20;
    usage.cache_write = 3;
    usage.reasoning = 2;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START, .text = STRV("chatcmpl-9"), .model = STRV("other")},
        {.kind = LLM_EV_START}, /* trap 7: twice */
        {.kind = LLM_EV_REASONING, .text = STRV("hm")},
        {.kind = LLM_EV_TEXT, .text = STRV("")},
        {.kind = LLM_EV_TEXT, .text = STRV("Hal\"lo")},
        {.kind = LLM_EV_PING},
        {.kind = LLM_EV_TEXT, .text = STRV("\xc3\xbc\n")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP_SEQUENCE, .stop_sequence = STRV("END")},
        {.kind = LLM_EV_USAGE, .usage = usage},
        {.kind = LLM_EV_END},
        {.kind = LLM_EV_END},
    };
    struct dialect_out st = fresh_out();
    struct buf out;
    put_events(&st, events, COUNT(events), &out);
    assert_string_equal(
        cstr(&out), START_FRAME
        "event: content_block_start\n"
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
        "\"text\":\"\"}}\n\n"
        "event: content_block_delta\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
        "\"text\":\"Hal\\\"lo\"}}\n\n"
        "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        "event: content_block_delta\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
        "\"text\":\"\xc3\xbc\\n\"}}\n\n"
        "event: content_block_stop\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\n"
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\","
        "\"stop_sequence\":\"END\"},\"usage\":{\"input_tokens\":7,\"cache_creation_input_tokens\":"
        "3,"
        "\"cache_read_input_tokens\":20,\"output_tokens\":4,\"output_tokens_details\":"
        "{\"thinking_tokens\":2}}}\n\n"
        "event: message_stop\n"
        "data: {\"type\":\"message_stop\"}\n\n");
    buf_fini(&out);
}

static void trap_7_no_block_is_opened_for_no_text(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_REASONING, .text = STRV("only thoughts")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_LENGTH},
        {.kind = LLM_EV_END},
    };
    struct dialect_out st = fresh_out();
    struct buf out;
    put_events(&st, events, COUNT(events), &out);
    assert_string_equal(
        cstr(&out),
        START_FRAME "event: message_delta\n"
                    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\","
                    "\"stop_sequence\":null},\"usage\":{\"input_tokens\":9,"
                    "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
                    "\"output_tokens\":0}}\n\n"
                    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    buf_fini(&out);
}

static void trap_33_an_end_without_a_reason_is_not_written(void **state)
{
    (void)state;
    struct dialect_out st = fresh_out();
    struct buf out;
    buf_init(&out, MIB);
    assert_true(A->encode_event(&st, &(struct llm_event){.kind = LLM_EV_START}, &out));
    assert_false(A->encode_event(&st, &(struct llm_event){.kind = LLM_EV_END}, &out));
    assert_string_equal(cstr(&out), START_FRAME);
    struct llm_reply reply;
    llm_reply_init(&reply, MIB);
    assert_false(A->encode_reply(&st, &reply, &out));
    llm_reply_fini(&reply);
    buf_fini(&out);
}

static void an_error_ends_a_stream_without_message_stop(void **state)
{
    (void)state;
    struct dialect_out st = fresh_out();
    struct buf out;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_TEXT, .text = STRV("Hel")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP},
    };
    put_events(&st, events, COUNT(events), &out);
    buf_clear(&out);
    A->stream_error(&st, LLM_ERR_OVERLOADED, STRV("busy \"now\""), STRV("req_1"), &out);
    assert_true(A->encode_event(&st, &(struct llm_event){.kind = LLM_EV_END}, &out));
    assert_string_equal(cstr(&out),
                        "event: error\n"
                        "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                        "\"message\":\"busy \\\"now\\\"\"},\"request_id\":\"req_1\"}\n\n");
    buf_fini(&out);
}

static void errors_have_anthropics_form(void **state)
{
    (void)state;
    static const struct {
        int code;
        strv message, field, id;
        const char *expected;
    } rows[] = {
        {LLM_ERR_INVALID_REQUEST, STRV("max_tokens: Field required"), STRV("max_tokens"), STRV("r"),
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"max_tokens: Field required\"},\"request_id\":\"r\"}"},
        {LLM_ERR_UNSUPPORTED,
         STRV("not served"),
         STRV("tools"),
         {NULL, 0},
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"tools: not served\"},\"request_id\":null}"},
        {LLM_ERR_MODEL_NOT_FOUND,
         STRV("model: x"),
         {NULL, 0},
         STRV("r"),
         "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: x\"},"
         "\"request_id\":\"r\"}"},
        {LLM_ERR_RATE_LIMITED,
         {NULL, 0},
         {NULL, 0},
         {NULL, 0},
         "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"Too many "
         "requests; try again later.\"},\"request_id\":null}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out;
        buf_init(&out, MIB);
        A->encode_error(rows[i].code, rows[i].message, rows[i].field, rows[i].id, &out);
        assert_string_equal(cstr(&out), rows[i].expected);
        buf_fini(&out);
    }
}

static void whole_answer(const struct llm_reply *reply, const char *expected)
{
    struct dialect_out st = fresh_out();
    struct buf out;
    buf_init(&out, MIB);
    assert_true(A->encode_reply(&st, reply, &out));
    assert_string_equal(cstr(&out), expected);
    buf_fini(&out);
}

static void a_whole_answer_has_what_old_and_new_clients_need(void **state)
{
    (void)state;
    struct llm_reply reply;
    llm_reply_init(&reply, MIB);
    reply.finish = LLM_FINISH_FILTER;
    whole_answer(&reply,
                 "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
                 "\"content\":[],\"stop_reason\":\"refusal\",\"stop_sequence\":null,\"usage\":"
                 "{\"input_tokens\":9,\"cache_creation_input_tokens\":0,"
                 "\"cache_read_input_tokens\":0,\"output_tokens\":0}}");
    reply_put(&reply, LLM_EV_TEXT, "Hello");
    reply.finish = LLM_FINISH_OTHER;
    /* Trap 24: more cached than there are; never below zero. */
    reply.usage.input = 5;
    reply.usage.cached = 8;
    whole_answer(&reply,
                 "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}],\"stop_reason\":"
                 "\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,"
                 "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":8,"
                 "\"output_tokens\":2}}");
    llm_reply_fini(&reply);
}

static void ids_look_like_anthropics(void **state)
{
    (void)state;
    struct rng rng;
    char id[64];
    rng_seed(&rng, 1);
    A->make_id(&rng, id);
    assert_int_equal(strlen(id), 28);
    assert_memory_equal(id, "msg_", 4);
}

/* ---- answers of upstreams ---- */

#define DELTA(t)                                                                                   \
    "event: content_block_delta\ndata: "                                                           \
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"   \
    "\"" t "\"}}\n\n"
#define BLOCK(block)                                                                               \
    "event: content_block_start\ndata: "                                                           \
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":" block "}\n\n"
#define FINISH(reason, usage)                                                                      \
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" reason   \
    ",\"stop_sequence\":null},\"usage\":" usage "}\n\n"
#define STOP "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
#define START(usage)                                                                               \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\","           \
    "\"model\":\"u\",\"content\":[],\"usage\":" usage "}}\n\n"

static const struct {
    const char *name, *stream, *heard;
    bool ok;
} streams[] = {
    {"plain",
     START("{\"input_tokens\":3,\"output_tokens\":1}") BLOCK("{\"type\":\"text\",\"text\":\"\"}")
         DELTA("Hel") "event: ping\ndata: {\"type\": \"ping\"}\n\n" DELTA(
             "lo") "event: content_block_stop\ndata: "
                   "{\"type\":\"content_block_stop\",\"index\":0}\n\n" FINISH("\"end_turn\"",
                                                                              "{\"output_tokens\":"
                                                                              "12}") STOP,
     "start(i,u) usage(in=3,out=1) text(Hel) ping text(lo) finish(stop:end_turn) "
     "usage(in=3,out=12) "
     "end",
     true},
    /* Trap 6: vLLM and others put the first text into the block's start. */
    {"text in content_block_start", BLOCK("{\"type\":\"text\",\"text\":\"Hel\"}") DELTA("lo"),
     "start(,) text(Hel) text(lo)", true},
    {"thinking",
     START("{}") BLOCK(
         "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}") "event: "
                                                                         "content_block_"
                                                                         "delta\ndata: "
                                                                         "{\"type\":\"content_"
                                                                         "block_delta\",\"index\":"
                                                                         "0,\"delta\":"
                                                                         "{\"type\":\"thinking_"
                                                                         "delta\",\"thinking\":"
                                                                         "\"hm\"}}\n\n"
                                                                         "event: "
                                                                         "content_block_"
                                                                         "delta\ndata: "
                                                                         "{\"type\":\"content_"
                                                                         "block_delta\",\"index\":"
                                                                         "0,\"delta\":"
                                                                         "{\"type\":\"signature_"
                                                                         "delta\",\"signature\":"
                                                                         "\"EqQ\"}}\n\n" BLOCK(
                                                                             "{\"type\":\"redacted_"
                                                                             "thinking\",\"data\":"
                                                                             "\"x\"}") DELTA("a"),
     "start(i,u) usage() reasoning(hm) text(a)", true},
    /* Trap 24: cache figures only at the end; figures replace field by field, and are never added. */
    {"usage field by field",
     START("{\"input_tokens\":10,\"output_tokens\":1}")
         FINISH("null", "{\"cache_read_input_tokens\":5,\"input_tokens\":null}")
             FINISH("\"max_tokens\"", "{\"cache_creation_input_tokens\":2,\"output_tokens\":9,"
                                      "\"output_tokens_details\":{\"thinking_tokens\":4}}") STOP,
     "start(i,u) usage(in=10,out=1) usage(in=15,cached=5) finish(length:max_tokens) "
     "usage(in=17,out=9,cached=5,write=2,reasoning=4) end",
     true},
    {"counts that are none",
     START("{\"input_tokens\":-4,\"output_tokens\":1e300,\"cache_read_input_tokens\":\"x\"}"),
     "start(i,u) usage()", true},
    {"only data lines",
     "data: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"u\"}}\n\n"
     "data: "
     "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
     "start(i,u) text(a)", true},
    {"only an event name",
     "event: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
     "start(,) text(a)", true},
    {"a second message_start", START("{}") DELTA("a") START("{\"input_tokens\":2}") DELTA("b"),
     "start(i,u) usage() text(a) usage(in=2) text(b)", true},
    {"what is new is passed over",
     START("{}") "event: sparkle\ndata: {\"type\":\"sparkle\",\"x\":1}\n\n" BLOCK(
         "{\"type\":\"server_tool_use\",\"id\":\"1\"}") "event: content_block_delta\ndata: "
                                                        "{\"type\":\"content_block_delta\","
                                                        "\"delta\":{\"type\":"
                                                        "\"citations_delta\",\"citation\":{}}}"
                                                        "\n\n" DELTA("a"),
     "start(i,u) usage() text(a)", true},
    {"after the end nothing counts",
     FINISH("\"end_turn\"", "{}") STOP "data: [DONE]\n\n" DELTA("a"),
     "start(,) finish(stop:end_turn) usage() end", true},
    {"stop sequence",
     "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
     "\"stop_sequence\",\"stop_sequence\":\"END\"}}\n\n",
     "start(,) finish(stop_sequence:stop_sequence,END)", true},
    {"reasons", FINISH("\"model_context_window_exceeded\"", "null"),
     "start(,) finish(length:model_context_window_exceeded)", true},
    {"refusal", FINISH("\"refusal\"", "null"), "start(,) finish(filter:refusal)", true},
    {"pause", FINISH("\"pause_turn\"", "null"), "start(,) finish(stop:pause_turn)", true},
    /* Trap 2: the reason says call, but there was none. */
    {"tool_use without a call", FINISH("\"tool_use\"", "null"), "start(,) finish(stop:tool_use)",
     true},
    {"a new reason", FINISH("\"tired\"", "null"), "start(,) finish(other:tired)", true},
    {"overloaded",
     START("{}") DELTA("a") "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                            "\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n" STOP,
     "start(i,u) usage() text(a) error(529,Overloaded)", true},
    {"an error of a kind nobody knows",
     "event: error\ndata: "
     "{\"type\":\"error\",\"error\":{\"type\":\"odd_error\",\"message\":\"m\"}}\n\n",
     "error(500,m)", true},
    {"an error in OpenAI's envelope",
     "data: {\"error\":{\"code\":400,\"message\":\"too "
     "long\",\"type\":\"exceed_context_size_error\"}}"
     "\n\n",
     "error(400,too long)", true},
    /* Trap 33. */
    {"message_stop without a reason", START("{}") DELTA("a") STOP, "start(i,u) usage() text(a)",
     false},
    {"a call of a tool", START("{}") BLOCK("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\"}"),
     "start(i,u) usage()", false},
    {"not JSON", "data: {\"type\":\"message_sta\n\n", "", false},
    {"not an object", "data: 7\n\n", "", false},
    {"message_start without a message", "data: {\"type\":\"message_start\"}\n\n", "", false},
    {"a delta without its text",
     "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\"}}\n\n", "start(,)",
     false},
};

static void a_stream_becomes_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        struct ear ear;
        ear_init(&ear);
        bool ok = ear_stream(&ear, A, strv_of(streams[i].stream));
        if (strcmp(trace_text(&ear.trace), streams[i].heard) != 0)
            print_error("in: %s\n", streams[i].name);
        assert_heard(&ear, streams[i].heard);
        assert_int_equal(ok, streams[i].ok);
        assert_int_equal(ear.err.set, !streams[i].ok);
        ear_fini(&ear);
    }
}

static void a_listener_that_refuses_is_asked_no_more(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 8; n++) {
        struct ear ear;
        ear_init(&ear);
        ear.trace.refuse_from = n;
        assert_true(ear_stream(&ear, A, strv_of(streams[0].stream)));
        assert_int_equal(ear.trace.events, n);
        ear_fini(&ear);
    }
}

static void a_frame_cut_anywhere_is_refused(void **state)
{
    (void)state;
    strv frame = STRV("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                      "\"text_delta\",\"text\":\"gr\xc3\xbc\xc3\x9f\\u00df\"}}");
    for (size_t n = 1; n < frame.len; n++) {
        struct ear ear;
        ear_init(&ear);
        assert_false(ear_frame(&ear, A, STRV("content_block_delta"), (strv){frame.ptr, n}));
        assert_int_equal(ear.err.code, LLM_ERR_ALL_PROVIDERS_FAILED);
        ear_fini(&ear);
    }
}

static void a_whole_answer_becomes_the_same_events(void **state)
{
    (void)state;
    static const struct {
        const char *body, *heard;
        bool ok;
    } rows[] = {
        {"{\"id\":\"msg_01\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\","
         "\"content\":["
         "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"text\","
         "\"text\":"
         "\"a\"},{\"type\":\"text\",\"text\":\"b\"}],\"stop_reason\":\"end_turn\",\"stop_"
         "sequence\":null,"
         "\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0,"
         "\"cache_read_input_tokens\":2048,\"output_tokens\":31}}",
         "start(msg_01,c) reasoning(hm) text(a) text(b) finish(stop:end_turn) "
         "usage(in=2060,out=31,cached=2048,write=0) end",
         true},
        {"{\"content\":[],\"stop_reason\":\"max_tokens\"}",
         "start(,) finish(length:max_tokens) end", true},
        {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}",
         "error(429,slow)", true},
        {"{\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"stop_reason\":null}",
         "start(,) text(a)", false},
        {"{\"content\":[{\"type\":\"tool_use\"}],\"stop_reason\":\"tool_use\"}", "start(,)", false},
        {"{\"id\":\"x\"}", "", false},
        {"\"hello\"", "", false},
        {"<html>", "", false},
        {"", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        assert_int_equal(A->decode_reply(&ear.in, strv_of(rows[i].body), &ear.err), rows[i].ok);
        assert_heard(&ear, rows[i].heard);
        assert_int_equal(ear.err.set, !rows[i].ok);
        ear_fini(&ear);
    }
}

/* What callers are told, read back by our own reader of upstreams. */
static void what_is_written_reads_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        struct ear first, second;
        struct dialect_out st = fresh_out(), whole = fresh_out();
        struct buf out, body;
        ear_init(&first);
        if (!ear_stream(&first, A, strv_of(streams[i].stream)) || !first.reply.ended) {
            ear_fini(&first);
            continue;
        }
        ear_init(&second);
        buf_init(&body, MIB);
        assert_true(A->encode_reply(&whole, &first.reply, &body));
        assert_true(A->decode_reply(&second.in, buf_view(&body), &second.err));
        reply_same(&second.reply, &first.reply, LLM_PART_TEXT);
        assert_int_equal(second.reply.finish, first.reply.finish);

        char *text = reply_text(&first.reply, LLM_PART_TEXT);
        const struct llm_event events[] = {
            {.kind = LLM_EV_START},
            {.kind = LLM_EV_TEXT, .text = strv_of(text)},
            {.kind = LLM_EV_FINISH, .finish = first.reply.finish},
            {.kind = LLM_EV_USAGE, .usage = first.reply.usage},
            {.kind = LLM_EV_END},
        };
        struct ear third;
        ear_init(&third);
        put_events(&st, events, COUNT(events), &out);
        assert_true(ear_stream(&third, A, buf_view(&out)));
        assert_true(third.reply.ended);
        reply_same(&third.reply, &first.reply, LLM_PART_TEXT);
        free(text);
        assert_int_equal(third.reply.finish, first.reply.finish);
        if (first.reply.usage.input >= 0)
            assert_int_equal(third.reply.usage.input, first.reply.usage.input);
        buf_fini(&out);
        buf_fini(&body);
        ear_fini(&first);
        ear_fini(&second);
        ear_fini(&third);
    }
}

static void an_answer_survives_every_refusal_of_memory(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        int64_t live = mem_live();
        struct ear ear;
        struct dialect_out st = fresh_out();
        struct buf out;
        ear_init(&ear);
        buf_init(&out, MIB);
        buf_put_char(&ear.trace.text, ' '); /* the ear itself is not what is tested */
        assert_non_null(buf_reserve(&ear.trace.text, 4096));
        mem_fail_at(n, true);
        bool ok = ear_stream(&ear, A, strv_of(streams[0].stream)) && ear.reply.ended &&
                  A->encode_reply(&st, &ear.reply, &out);
        mem_fail_at(0, false);
        done = ok;
        ear_fini(&ear);
        buf_fini(&out);
        assert_int_equal(mem_live(), live);
    }
}

/* ---- recorded: llama-server's /v1/messages ---- */

static void recorded_answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tail; /* what is heard behind the text */
        size_t text_bytes;
        bool stream, ok;
    } rows[] = {
        {"20-messages", " finish(length:max_tokens) usage(in=24,out=12,cached=23) end", 36, false,
         true},
        {"21-messages-stream", " finish(length:max_tokens) usage(in=24,out=12,cached=23) end", 36,
         true, true},
        {"22-messages-system-stop", " finish(length:max_tokens) usage(in=42,out=4,cached=0) end", 6,
         false, true},
        {"32-messages-tools-rambling",
         " finish(length:max_tokens) usage(in=394,out=12,cached=393) end", 12, false, true},
        {"55-context-full-messages", "start(,) finish(length:max_tokens) usage(out=25) end", 0,
         true, true},
        {"75-messages-tools-forced", "", 0, false, false},
        {"76-messages-tools-forced-stream", "", 0, true, false},
        {"78-messages-empty-stream", " finish(stop:end_turn) usage(in=24,out=1,cached=23) end", 0,
         true, true},
        {"79-messages-empty", " finish(stop:end_turn) usage(in=24,out=1,cached=23) end", 0, false,
         true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[128];
        struct ear ear;
        int status;
        size_t len;
        ear_init(&ear);
        snprintf(path, sizeof path, "llama-server/%s.response", rows[i].name);
        char *raw = data_read(path, &len);
        strv body = data_body(raw, len, &status);
        assert_int_equal(status, 200);
        bool ok =
            rows[i].stream ? ear_stream(&ear, A, body) : A->decode_reply(&ear.in, body, &ear.err);
        assert_int_equal(ok, rows[i].ok);
        assert_int_equal(ear.reply.ended, rows[i].ok);
        assert_int_equal(llm_reply_bytes(&ear.reply, LLM_PART_TEXT), rows[i].text_bytes);
        assert_true(strv_ends(strv_of(trace_text(&ear.trace)), strv_of(rows[i].tail)));
        free(raw);
        ear_fini(&ear);
    }
}

static void recorded_requests_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *expected;
    } rows[] = {
        {"20-messages", "tiny-random max_tokens=12 temperature=0 | user:hello"},
        {"21-messages-stream", "tiny-random stream max_tokens=12 temperature=0 | user:hello"},
        {"22-messages-system-stop",
         "tiny-random max_tokens=4 temperature=0 stop[zz] | system:be brief user:hello"},
        {"58-err-messages-bad", "invalid [messages] messages: Field required"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[128];
        struct asked a;
        size_t len;
        snprintf(path, sizeof path, "llama-server/%s.request", rows[i].name);
        char *raw = data_read(path, &len), *body = strstr(raw, "\r\n\r\n");
        assert_non_null(body);
        ask(&a, A, LLM_OP_CHAT, strv_of(body + 4));
        assert_string_equal(cstr(&a.text), rows[i].expected);
        asked_fini(&a);
        free(raw);
    }
}

static void recorded_errors_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool too_long, caller;
    } rows[] = {{"53-err-too-long-messages", true, false}, {"58-err-messages-bad", false, true}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[128];
        struct dialect_failure what;
        struct arena arena;
        int status;
        size_t len;
        arena_init(&arena, 4096, MIB);
        snprintf(path, sizeof path, "llama-server/%s.response", rows[i].name);
        char *raw = data_read(path, &len);
        strv body = data_body(raw, len, &status);
        A->decode_error(status, body, &arena, &what);
        assert_int_equal(what.context_too_long, rows[i].too_long);
        assert_int_equal(what.caller_fault, rows[i].caller);
        free(raw);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_canonical),
        cmocka_unit_test(a_wrong_request_names_its_field),
        cmocka_unit_test(a_request_cut_anywhere_is_refused),
        cmocka_unit_test(a_request_survives_every_refusal_of_memory),
        cmocka_unit_test(the_same_dialect_passes_bytes_as_they_came),
        cmocka_unit_test(another_dialect_is_translated),
        cmocka_unit_test(trap_16_blank_text_is_dropped_and_roles_still_alternate),
        cmocka_unit_test(trap_18_a_prefill_is_refused_where_the_model_refuses_it),
        cmocka_unit_test(what_only_other_dialects_know_is_refused),
        cmocka_unit_test(a_long_user_id_stays_behind),
        cmocka_unit_test(what_is_translated_back_reads_the_same),
        cmocka_unit_test(the_billing_note_of_claude_code_does_not_leave_the_dialect),
        cmocka_unit_test(a_stream_is_written_frame_by_frame),
        cmocka_unit_test(trap_7_no_block_is_opened_for_no_text),
        cmocka_unit_test(trap_33_an_end_without_a_reason_is_not_written),
        cmocka_unit_test(an_error_ends_a_stream_without_message_stop),
        cmocka_unit_test(errors_have_anthropics_form),
        cmocka_unit_test(a_whole_answer_has_what_old_and_new_clients_need),
        cmocka_unit_test(ids_look_like_anthropics),
        cmocka_unit_test(a_stream_becomes_events),
        cmocka_unit_test(a_listener_that_refuses_is_asked_no_more),
        cmocka_unit_test(a_frame_cut_anywhere_is_refused),
        cmocka_unit_test(a_whole_answer_becomes_the_same_events),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(an_answer_survives_every_refusal_of_memory),
        cmocka_unit_test(recorded_answers_are_read),
        cmocka_unit_test(recorded_requests_are_read),
        cmocka_unit_test(recorded_errors_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
