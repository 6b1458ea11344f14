/* SPDX-License-Identifier: Apache-2.0 */
/* anthropic_encode_test - questions to upstreams; numbers of traps are those of translators' known bugs. */
#include "dialect/anthropic_test.h"

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
         "{\"model\":\"m\",\"max_tokens\":50,\"thinking\":{\"type\":\"adaptive\"},\"stream\":true"
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
    assert_int_equal(A->can & (LLM_NEED_CHOICES | LLM_NEED_AUDIO | LLM_NEED_EMBED), 0);
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
        b.r.user = a.r.user;                        /* Ollama has no place for it */
        for (size_t m = 0; m < b.r.n_messages; m++) /* thinking goes back to nobody else's model */
            if (b.r.messages[m].parts[0].kind == LLM_PART_REASONING) {
                b.r.messages[m].parts++;
                b.r.messages[m].n_parts--;
            }
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

#define M(messages)       "{`max_tokens`:4096,`messages`:[" messages "]}"
#define MORE(more)        "{`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}]," more "}"
#define MADE(messages)    "{`model`:`m`,`max_tokens`:4096,`messages`:[" messages "]"
#define USER(blocks)      "{`role`:`user`,`content`:[" blocks "]}"
#define ASSISTANT(blocks) "{`role`:`assistant`,`content`:[" blocks "]}"
#define TEXT(t)           "{`type`:`text`,`text`:`" t "`}"
#define USE(id, name, in) "{`type`:`tool_use`,`id`:`" id "`,`name`:`" name "`,`input`:" in "}"
#define RESULT(id, t)     "{`type`:`tool_result`,`tool_use_id`:`" id "`,`content`:[" TEXT(t) "]}"
#define TOOL              "{`name`:`f`,`input_schema`:{`type`:`object`}}"
#define HI                USER(TEXT("hi"))
#define NONE_OF(name)                                                                              \
    ",`tools`:[{`name`:`" name "`,`input_schema`:{`type`:`object`,`properties`:{}}}]"              \
    ",`tool_choice`:{`type`:`none`}}"

static void trap_11_a_call_and_its_result_go_on_as_they_are_written(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         M("{`role`:`user`,`content`:`go`}," ASSISTANT(TEXT("look") "," USE(
             "t1", "f",
             "{`n`: 12345678901234567890,`a`:1.0}")) "," USER("{`type`:`tool_result`,`tool_use_id`:"
                                                              "`t1`,`content`:`42`},"
                                                              "{`type`:`image`,`source`:{`type`:`"
                                                              "url`,`url`:`https://u`}}")),
         {.model = STRV("m"), .fresh = true},
         MADE(USER(TEXT("go")) "," ASSISTANT(TEXT("look") "," USE(
             "t1", "f",
             "{`n`: 12345678901234567890,`a`:1.0}")) "," USER(RESULT("t1",
                                                                     "42") ",{`type`:`image`,`"
                                                                           "source`:{`type`:`url`,`"
                                                                           "url`:`https://u`}}"))
             NONE_OF("f"),
         ""},
        {AS_IF_OPENAI,
         M("{`role`:`user`,`content`:`go`}," ASSISTANT(USE("t1", "f", "{}")) "," USER(
             "{`type`:`tool_result`,`tool_use_id`:`t1`,`is_error`:true},"
             "{`type`:`document`,`title`:`T`,`source`:{`type`:`base64`,`media_type`:"
             "`application/pdf`,`data`:`JVBERi0xLjQK`}}")),
         {.model = STRV("m")},
         MADE(USER(TEXT("go")) "," ASSISTANT(USE("t1", "f", "{}")) "," USER(
             "{`type`:`tool_result`,`tool_use_id`:`t1`,`content`:[" TEXT(
                 "Error") "],`is_error`:true},{`type`:`document`,`source`:{`type`:`base64`,`media_"
                          "type`:"
                          "`application/pdf`,`data`:`JVBERi0xLjQK`},`title`:`T`}")) NONE_OF("f"),
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_12_results_of_one_turn_share_one_message(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         M("{`role`:`user`,`content`:`go`}," ASSISTANT(USE("a", "f", "{}") "," USE(
             "b", "g", "{}")) "," USER(TEXT("first") "," RESULT("b", "B")) "," USER(RESULT("a",
                                                                                           "A"))),
         {.model = STRV("m")},
         MADE(USER(TEXT("go")) "," ASSISTANT(USE("a", "f", "{}") "," USE("b", "g", "{}")) "," USER(
             RESULT("a", "A") "," RESULT("b", "B") "," TEXT(
                 "first"))) ",`tools`:[{`name`:`f`,`input_schema`:{`type`:`object`,`properties`:{}}"
                            "},"
                            "{`name`:`g`,`input_schema`:{`type`:`object`,`properties`:{}}}],`tool_"
                            "choice`:{`type`:"
                            "`none`}}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_13_a_call_without_a_result_gets_one(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         M("{`role`:`user`,`content`:`go`}," ASSISTANT(USE("a", "f", "{}")) ",{`role`:`user`,"
                                                                            "`content`:`stop`}"),
         {.model = STRV("m")},
         MADE(USER(TEXT("go")) "," ASSISTANT(USE("a", "f", "{}")) "," USER(
             "{`type`:`tool_result`,`tool_use_id`:`a`,`content`:[" TEXT(
                 "The call was cancelled; there is no result.") "],`is_error`:true}," TEXT("stop")))
             NONE_OF("f"),
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_4_arguments_become_an_object(void **state)
{
    (void)state;
    static const struct {
        const char *text, *input;
    } rows[] = {
        {"", "{}"},
        {" {`b`:1, `a`:9007199254740993} ", "{`b`:1, `a`:9007199254740993}"},
        {"[1]", "{`value`:[1]}"},
        {"{`a`:", "{`_raw`:`{\\`a\\`:`}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = quoted(rows[i].text), *input = quoted(rows[i].input), expected[512];
        struct llm_part call = {
            .kind = LLM_PART_CALL, .text = strv_of(text), .id = STRV("c"), .name = STRV("f")};
        struct llm_message message = {LLM_ASSISTANT, &call, 1};
        struct asked a = {.err = ERR_INIT};
        struct buf out, lost;
        arena_init(&a.arena, 4096, MIB);
        buf_init(&a.text, MIB);
        a.r = (struct llm_request){.arena = &a.arena,
                                   .messages = &message,
                                   .n_messages = 1,
                                   .choices = 1,
                                   .has_history = true};
        assert_true(llm_request_mend(&a.r));
        assert_true(tell(&a, A, &(struct dialect_target){.model = STRV("m")}, &out, &lost));
        snprintf(expected, sizeof expected, "\"name\":\"f\",\"input\":%s}]}", input);
        assert_non_null(strstr(cstr(&out), expected));
        buf_fini(&out);
        buf_fini(&lost);
        asked_fini(&a);
        free(text);
        free(input);
    }
}

static void trap_14_ids_of_other_providers_are_mapped(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         M("{`role`:`user`,`content`:`go`}," ASSISTANT(USE("call:1/2", "f", "{}")) "," USER(
             RESULT("call:1/2", "x"))),
         {.model = STRV("m")},
         MADE(USER(TEXT("go")) "," ASSISTANT(USE("call_XNZOCD7C7lr3LCLls201", "f", "{}")) "," USER(
             RESULT("call_XNZOCD7C7lr3LCLls201", "x"))) NONE_OF("f"),
         ""},
        /* The same in the caller's own bytes; every other one stays. */
        {&dialect_anthropic,
         "{ `max_tokens`:9, `messages`: [ {`role`:`user`,`content`:`go`} , {`content` : [ "
         "{`id`: `call:1\\/2`,`type`:`tool_use`,`name`:`f`,`input`:{`n`:1.50}} "
         "],`role`:`assistant`}"
         ", {`role`:`user`,`content`:[{`type`:`tool_result`,`tool_use_id`:`call:1/2`}]} ] }",
         {.model = STRV("m")},
         "{`model`:`m`, `max_tokens`:9, `messages`: [ {`role`:`user`,`content`:`go`} , {`content` "
         ": [ "
         "{`id`: `call_XNZOCD7C7lr3LCLls201`,`type`:`tool_use`,`name`:`f`,`input`:{`n`:1.50}} "
         "],`role`:"
         "`assistant`}, {`role`:`user`,`content`:[{`type`:`tool_result`,`tool_use_id`:"
         "`call_XNZOCD7C7lr3LCLls201`}]} ] }",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_15_names_are_shortened_where_the_target_wants_it(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         "{`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`tools`:[{`name`:`a.b`,"
         "`input_schema`:{`type`:`object`}}],`tool_choice`:{`type`:`tool`,`name`:`a.b`}}",
         {.model = STRV("m"), .short_names = true},
         MADE(HI) ",`tools`:[{`name`:`a_b_150a7650`,`input_schema`:{`type`:`object`}}],"
                  "`tool_choice`:{`type`:`tool`,`name`:`a_b_150a7650`}}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void tools_and_their_choice_are_written(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         MORE("`tools`:[{`name`:`f`,`description`:`d`,`input_schema`: {`properties`:{`n`:{`const`:"
              "1.0}}, `type`: [`object`]},`strict`:true},{`name`:`g`,`input_schema`:{`x`:1}},"
              "{`name`:`h`,`input_schema`:{}}]"),
         {.model = STRV("m")},
         MADE(
             HI) ",`tools`:[{`name`:`f`,`description`:`d`,`input_schema`:{`properties`:{`n`:{`"
                 "const`:"
                 "1.0}}, `type`: `object`},`strict`:true},{`name`:`g`,`input_schema`:{`type`:"
                 "`object`,`x`:1}},{`name`:`h`,`input_schema`:{`type`:`object`,`properties`:{}}}]}",
         ""},
        {AS_IF_OPENAI,
         MORE("`tools`:[" TOOL "],`tool_choice`:{`type`:`any`,`disable_parallel_tool_use`:true}"),
         {.model = STRV("m")},
         MADE(HI) ",`tools`:[" TOOL
                  "],`tool_choice`:{`type`:`any`,`disable_parallel_tool_use`:true}}",
         ""},
        {AS_IF_OPENAI,
         MORE("`tools`:[" TOOL "],`tool_choice`:{`type`:`tool`,`name`:`f`}"),
         {.model = STRV("m"), .no_forced_tools = true},
         MADE(HI) ",`tools`:[" TOOL "]}",
         "tool_choice"},
        {AS_IF_OPENAI,
         MORE("`tools`:[" TOOL "],`tool_choice`:{`type`:`none`}"),
         {.model = STRV("m")},
         MADE(HI) ",`tools`:[" TOOL "],`tool_choice`:{`type`:`none`}}",
         ""},
        {AS_IF_OPENAI,
         MORE("`tools`:[" TOOL "],`tool_choice`:{`type`:`auto`,`disable_parallel_tool_use`:true}"),
         {.model = STRV("m")},
         MADE(HI) ",`tools`:[" TOOL
                  "],`tool_choice`:{`type`:`auto`,`disable_parallel_tool_use`:true}}",
         ""},
        /* In the caller's own bytes. */
        {&dialect_anthropic,
         MORE("`tools`:[" TOOL "],`tool_choice`: {`type`:`any`,`disable_parallel_tool_use`:true}"),
         {.model = STRV("m"), .no_forced_tools = true},
         "{`model`:`m`,`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`tools`:[" TOOL
         "],`tool_choice`: {`type`:`auto`,`disable_parallel_tool_use`:true}}",
         "tool_choice"},
    };
    check_passes(rows, COUNT(rows));
}

#define ENABLED(max, n)                                                                            \
    "{`max_tokens`:" max                                                                           \
    ",`messages`:[{`role`:`user`,`content`:`hi`}],`temperature`:0.5,`thinking`:"                   \
    "{`type`:`enabled`,`budget_tokens`:" n "}}"

static void effort_is_said_in_the_way_of_the_model(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         ENABLED("4096", "1500"),
         {.model = STRV("m"), .fresh = true},
         MADE(HI) ",`thinking`:{`type`:`enabled`,`budget_tokens`:1500}}",
         "temperature"},
        {&dialect_anthropic,
         ENABLED("30000", "20000"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ADAPTIVE, .fresh = true},
         "{`model`:`m`,`max_tokens`:30000,`messages`:[" HI
         "],`thinking`:{`type`:`adaptive`,`display`:"
         "`summarized`},`output_config`:{`effort`:`high`}}",
         "temperature"},
        {&dialect_anthropic,
         ENABLED("30000", "20000"),
         {.model = STRV("m"), .no_thinking = true, .fresh = true},
         "{`model`:`m`,`max_tokens`:30000,`messages`:[" HI "],`temperature`:0.5}",
         "reasoning_effort"},
        /* Below the limit, which stays; half of it if the caller named no budget. */
        {&dialect_anthropic,
         ENABLED("30000", "20000"),
         {.model = STRV("m"), .max_tokens_cap = 10000, .fresh = true},
         "{`model`:`m`,`max_tokens`:10000,`messages`:[" HI "],`thinking`:{`type`:`enabled`,"
         "`budget_tokens`:5000}}",
         "temperature reasoning_effort"},
        {&dialect_anthropic,
         ENABLED("30000", "20000"),
         {.model = STRV("m"), .max_tokens_cap = 1024, .fresh = true},
         "{`model`:`m`,`max_tokens`:1024,`messages`:[" HI "],`temperature`:0.5}",
         "reasoning_effort"},
        {AS_IF_OPENAI,
         MORE("`output_config`:{`effort`:`medium`}"),
         {.model = STRV("m")},
         MADE(HI) ",`thinking`:{`type`:`enabled`,`budget_tokens`:2048}}",
         "reasoning_effort"},
        {AS_IF_OPENAI,
         MORE("`output_config`:{`effort`:`low`}"),
         {.model = STRV("m")},
         MADE(HI) ",`thinking`:{`type`:`enabled`,`budget_tokens`:1024}}",
         ""},
        {AS_IF_OPENAI,
         MORE("`thinking`:{`type`:`disabled`}"),
         {.model = STRV("m")},
         MADE(HI) ",`thinking`:{`type`:`disabled`}}",
         ""},
        {AS_IF_OPENAI,
         MORE("`thinking`:{`type`:`disabled`}"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ALWAYS},
         MADE(HI) ",`output_config`:{`effort`:`low`}}",
         "reasoning_effort"},
        /* Nothing may be forced while thinking. */
        {AS_IF_OPENAI,
         MORE("`tools`:[" TOOL "],`tool_choice`:{`type`:`any`},`thinking`:{`type`:`adaptive`},"
              "`output_config`:{`effort`:`max`}"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ADAPTIVE},
         MADE(HI) ",`tools`:[" TOOL
                  "],`tool_choice`:{`type`:`any`},`output_config`:{`effort`:`max`}}",
         "reasoning_effort"},
        /* In the caller's own bytes only where it is sure to be refused. */
        {&dialect_anthropic,
         ENABLED("4096", "1500"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ADAPTIVE},
         "{`model`:`m`,`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`temperature`:"
         "0.5,"
         "`thinking`:{`type`:`adaptive`,`display`:`summarized`}}",
         "reasoning_effort"},
        {&dialect_anthropic,
         MORE("`thinking`: {`type`:`disabled`},`x`:1"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ALWAYS},
         "{`model`:`m`,`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`x`:1}",
         "reasoning_effort"},
        {&dialect_anthropic,
         MORE("`thinking`: {`type`:`adaptive`}"),
         {.model = STRV("m")},
         "{`model`:`m`,`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`thinking`: {"
         "`type`:`adaptive`}}",
         ""},
        {&dialect_anthropic,
         MORE("`thinking`: {`type`:`adaptive`}"),
         {.model = STRV("m"), .own_signatures = true},
         "{`model`:`m`,`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}],`thinking`: {"
         "`type`:`enabled`,`budget_tokens`:2048}}",
         "reasoning_effort"},
    };
    check_passes(rows, COUNT(rows));
}

#define THINK(t, s)   "{`type`:`thinking`,`thinking`:`" t "`,`signature`:`" s "`}"
#define OWN(messages) "{`model`:`m`,`max_tokens`:4096,`messages`:[" messages "]}"

static void trap_20_signatures_are_neither_lost_nor_made_up(void **state)
{
    (void)state;
    static const char history[] = M("{`role`:`user`,`content`:`a`}, " ASSISTANT(
        THINK("x", "S") " , {`type`:`redacted_thinking`,`data`:`R`}," TEXT("b")) ", {`role`:`user`,"
                                                                                 "`content`:`c`}");
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         history,
         {.model = STRV("m"), .own_signatures = true},
         OWN("{`role`:`user`,`content`:`a`}, " ASSISTANT(
             THINK("x", "S") " , {`type`:`redacted_thinking`,`data`:`R`}," TEXT(
                 "b")) ", {`role`:`user`,`content`:`c`}"),
         ""},
        {&dialect_anthropic,
         history,
         {.model = STRV("m"), .own_signatures = true, .fresh = true},
         MADE(USER(TEXT("a")) "," ASSISTANT(
             THINK("x", "S") ",{`type`:`redacted_thinking`,`data`:`R`}," TEXT(
                 "b")) "," USER(TEXT("c"))) "}",
         ""},
        /* Nobody else's caller has ever seen a signature. */
        {AS_IF_OPENAI,
         history,
         {.model = STRV("m")},
         MADE(USER(TEXT("a")) "," ASSISTANT(TEXT("b")) "," USER(TEXT("c"))) "}",
         "reasoning"},
        /* What we told of a local model's thinking does not go to the cloud; the rest stays as it is. */
        {&dialect_anthropic,
         M("{`role`:`user`,`content`:`a`}, " ASSISTANT(THINK("x", "") " , " TEXT("b") ", " THINK(
             "y", "S") ", {`type`:`thinking`,`thinking`:`z`}") ", " ASSISTANT(THINK("only",
                                                                                    "")) " ,{`role`"
                                                                                         ":`user`,`"
                                                                                         "content`:"
                                                                                         "`c`}"),
         {.model = STRV("m"), .own_signatures = true},
         OWN("{`role`:`user`,`content`:`a`}, " ASSISTANT(
             TEXT("b") ", " THINK("y", "S")) ", {`role`:`user`,`content`:`c`}"),
         "reasoning"},
        {&dialect_anthropic,
         M("{`role`:`user`,`content`:`a`}," ASSISTANT(THINK("x", "")) ""),
         {.model = STRV("m"), .own_signatures = true},
         OWN("{`role`:`user`,`content`:`a`}"),
         "reasoning"},
        /* A server that looks at no signature gets it all. */
        {&dialect_anthropic,
         M("{`role`:`user`,`content`:`a`}," ASSISTANT(THINK("x", "") "," TEXT("b"))),
         {.model = STRV("m")},
         OWN("{`role`:`user`,`content`:`a`}," ASSISTANT(THINK("x", "") "," TEXT("b"))),
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_21_a_turn_without_its_thinking_is_asked_without_any(void **state)
{
    (void)state;
#define TURN(thought)                                                                              \
    "{`role`:`user`,`content`:`a`}," ASSISTANT(thought USE("t", "f", "{}")) "," USER(              \
        RESULT("t", "x"))
#define ASK(thought)                                                                               \
    "{`max_tokens`:4096,`thinking`:{`type`:`enabled`,`budget_tokens`:1024},`tools`:[" TOOL         \
    "],`messages`:[" TURN(thought) "]}"
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         ASK(THINK("x", "") ","),
         {.model = STRV("m"), .own_signatures = true},
         "{`model`:`m`,`max_tokens`:4096,`tools`:[" TOOL "],`messages`:[" TURN("") "]}",
         "reasoning reasoning_effort"},
        {&dialect_anthropic,
         ASK(THINK("x", "S") ","),
         {.model = STRV("m"), .own_signatures = true},
         "{`model`:`m`,`max_tokens`:4096,`thinking`:{`type`:`enabled`,`budget_tokens`:1024},`tools`"
         ":[" TOOL "],`messages`:[" TURN(THINK("x", "S") ",") "]}",
         ""},
        {&dialect_anthropic,
         ASK(THINK("x", "S") ","),
         {.model = STRV("m"), .own_signatures = true, .fresh = true},
         MADE(USER(TEXT("a")) "," ASSISTANT(THINK("x", "S") "," USE("t", "f", "{}")) "," USER(
             RESULT("t", "x"))) ",`tools`:[" TOOL
                                "],`thinking`:{`type`:`enabled`,`budget_tokens`:1024}}",
         ""},
        {AS_IF_OPENAI,
         ASK(THINK("x", "S") ","),
         {.model = STRV("m"), .own_signatures = true},
         MADE(USER(TEXT("a")) "," ASSISTANT(USE("t", "f", "{}")) "," USER(
             RESULT("t", "x"))) ",`tools`:[" TOOL "]}",
         "reasoning reasoning_effort"},
        /* A turn that is over has no say. */
        {AS_IF_OPENAI,
         "{`max_tokens`:4096,`thinking`:{`type`:`enabled`,`budget_tokens`:1024},`tools`:[" TOOL
         "],`messages`:[" TURN("") "," ASSISTANT(TEXT("b")) ",{`role`:`user`,`content`:`c`}]}",
         {.model = STRV("m")},
         MADE(USER(TEXT("a")) "," ASSISTANT(USE("t", "f", "{}")) "," USER(RESULT(
             "t",
             "x")) "," ASSISTANT(TEXT("b")) "," USER(TEXT("c"))) ",`tools`:[" TOOL
                                                                 "],`thinking`:{`type`:`enabled`,`"
                                                                 "budget_tokens`:1024}}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void trap_23_no_cache_mark_is_added(void **state)
{
    (void)state;
    static const char marked[] =
        "{`max_tokens`:4096,`system`:[{`type`:`text`,`text`:`s`,`cache_control`:{`type`:`ephemeral`"
        "}}],"
        "`messages`:[" USER("{`type`:`text`,`text`:`a`,`cache_control`:{`type`:`ephemeral`}}") "]}";
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         marked,
         {.model = STRV("m")},
         "{`model`:`m`,`max_tokens`:4096,`system`:[{`type`:`text`,`text`:`s`,`cache_control`:{`"
         "type`:"
         "`ephemeral`}}],`messages`:[" USER(
             "{`type`:`text`,`text`:`a`,`cache_control`:{`type`:`ephemeral`}}") "]}",
         ""},
        {&dialect_anthropic,
         marked,
         {.model = STRV("m"), .fresh = true},
         "{`model`:`m`,`max_tokens`:4096,`system`:`s`,`messages`:[" USER(TEXT("a")) "]}",
         "cache_control"},
    };
    check_passes(rows, COUNT(rows));
}

static void the_form_of_the_answer_is_asked_for(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {AS_IF_OPENAI,
         MORE("`output_config`:{`format`:{`type`:`json_schema`,`schema`: {`type`:`object`, "
              "`n`:1.0}},"
              "`effort`:`low`}"),
         {.model = STRV("m"), .thinking = DIALECT_THINK_ADAPTIVE},
         MADE(HI) ",`thinking`:{`type`:`adaptive`,`display`:`omitted`},`output_config`:{`effort`:`"
                  "low`,`format`:{`type`:"
                  "`json_schema`,`schema`:{`type`:`object`, `n`:1.0}}}}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void a_wish_for_json_without_a_schema_is_an_instruction(void **state)
{
    (void)state;
    struct asked a;
    struct buf out, lost;
    ask(&a, A, LLM_OP_CHAT, STRV("{\"max_tokens\":9,\"system\":\"s\"," USER_HI "}"));
    a.r.dialect = LLM_OPENAI;
    a.r.format = LLM_FORMAT_JSON;
    assert_true(tell(&a, A, &(struct dialect_target){.model = STRV("m")}, &out, &lost));
    assert_string_equal(cstr(&lost), "json_mode");
    assert_non_null(
        strstr(cstr(&out), "\"system\":\"s\\n\\nAnswer with one JSON object and nothing else"));
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

static void a_count_has_only_what_is_counted(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         "{`model`:`x`, `max_tokens`:9, `stream`:true,`temperature`:null,`top_k`:3,`metadata`:{},"
         "`stop_sequences`:[`a`],`thinking`: {`type`:`adaptive`},`messages`: [{`role`:`user`,"
         "`content`:`hi`}] }",
         {.model = STRV("m"), .op = LLM_OP_COUNT},
         "{`model`:`m`,`thinking`:{`type`:`adaptive`},`messages`:[{`role`:`user`,`content`:`hi`}]}",
         ""},
        {&dialect_anthropic,
         "{`messages`:[{`role`:`user`,`content`:`hi`}],`tools`:[" TOOL "]}",
         {.model = STRV("m"), .op = LLM_OP_COUNT, .fresh = true},
         "{`model`:`m`,`messages`:[" HI "],`tools`:[" TOOL "]}",
         ""},
    };
    check_passes(rows, COUNT(rows));
    assert_string_equal(A->path(LLM_OP_COUNT), "/v1/messages/count_tokens");
    assert_string_equal(A->path(LLM_OP_CHAT), "/v1/messages");
    assert_null(A->path(LLM_OP_EMBED));
}

static void a_history_of_nothing_else_stays(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         M(ASSISTANT(THINK("x", ""))),
         {.model = STRV("m"), .own_signatures = true},
         OWN(ASSISTANT(THINK("x", ""))),
         "reasoning"},
    };
    check_passes(rows, COUNT(rows));
}

/* After another provider was tried the parts have been mended, the bytes have not. */
static void bytes_are_looked_at_again_when_the_parts_were_mended(void **state)
{
    (void)state;
    struct asked a;
    struct buf out, lost;
    char *body = quoted(M(
        "{`role`:`user`,`content`:`go`}," ASSISTANT(USE("", "f", "{}")) "," USER(RESULT("", "x"))));
    ask(&a, A, LLM_OP_CHAT, strv_of(body));
    assert_true(llm_request_mend(&a.r));
    assert_true(tell(&a, A, &(struct dialect_target){.model = STRV("m")}, &out, &lost));
    assert_null(strstr(cstr(&out), "\"id\":\"\""));
    assert_null(strstr(cstr(&out), "\"tool_use_id\":\"\""));
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
    free(body);
}

static void a_history_survives_every_refusal_of_memory(void **state)
{
    (void)state;
    char *body = quoted(
        "{`max_tokens`:4096,`thinking`:{`type`:`enabled`,`budget_tokens`:1024},`tools`:[" TOOL
        "],`messages`:[" USER(
            "{`type`:`document`,`title`:`T`,`source`:{`type`:`text`,`data`:`"
            "d`}}") "," ASSISTANT(THINK("x", "") "," USE("a/b", "f",
                                                         "{`n`:1}")) "," USER(RESULT("a/b",
                                                                                     "x")) "]}");
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        int64_t live = mem_live();
        done = true;
        for (int way = 0; way < 3; way++) {
            struct dialect_target t = {
                .model = STRV("m"), .own_signatures = true, .short_names = true, .fresh = way == 1};
            struct arena arena;
            struct llm_request r;
            struct err err = ERR_INIT;
            struct buf out;
            uint32_t losses;
            arena_init(&arena, 512, MIB);
            buf_init(&out, MIB);
            mem_fail_at(n, true);
            bool ok = A->decode_request(strv_of(body), LLM_OP_CHAT, &arena, &r, &err);
            if (ok && way == 2)
                r.dialect = LLM_OPENAI;
            bool mended = ok && (way == 0 || llm_request_mend(&r));
            ok = mended && A->encode_request(&r, &t, &arena, &out, &losses, &err);
            mem_fail_at(0, false);
            assert_true(ok || err.set || !mended);
            done = done && ok;
            arena_fini(&arena);
            buf_fini(&out);
        }
        assert_int_equal(mem_live(), live);
    }
    free(body);
}

static void what_nobody_could_read_is_refused(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {&dialect_anthropic,
         M(USER("{`type`:`container_upload`,`file_id`:`f`}")),
         {.model = STRV("m"), .fresh = true},
         "Anthropic's own tools or files: an Anthropic provider cannot serve this",
         ""},
        {&dialect_anthropic,
         M(USER("{`type`:`image`,`source`:{`type`:`base64`,`media_type`:`image/"
                "png`,`data`:`Qk0AAAAAAAAAAAAAAAAoAAAA`}}")),
         {.model = STRV("m"), .fresh = true},
         "messages: Anthropic takes images as jpeg, png, gif or webp",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_dialect_passes_bytes_as_they_came),
        cmocka_unit_test(another_dialect_is_translated),
        cmocka_unit_test(trap_16_blank_text_is_dropped_and_roles_still_alternate),
        cmocka_unit_test(trap_18_a_prefill_is_refused_where_the_model_refuses_it),
        cmocka_unit_test(what_only_other_dialects_know_is_refused),
        cmocka_unit_test(a_long_user_id_stays_behind),
        cmocka_unit_test(what_is_translated_back_reads_the_same),
        cmocka_unit_test(trap_11_a_call_and_its_result_go_on_as_they_are_written),
        cmocka_unit_test(trap_12_results_of_one_turn_share_one_message),
        cmocka_unit_test(trap_13_a_call_without_a_result_gets_one),
        cmocka_unit_test(trap_4_arguments_become_an_object),
        cmocka_unit_test(trap_14_ids_of_other_providers_are_mapped),
        cmocka_unit_test(trap_15_names_are_shortened_where_the_target_wants_it),
        cmocka_unit_test(tools_and_their_choice_are_written),
        cmocka_unit_test(effort_is_said_in_the_way_of_the_model),
        cmocka_unit_test(trap_20_signatures_are_neither_lost_nor_made_up),
        cmocka_unit_test(trap_21_a_turn_without_its_thinking_is_asked_without_any),
        cmocka_unit_test(trap_23_no_cache_mark_is_added),
        cmocka_unit_test(the_form_of_the_answer_is_asked_for),
        cmocka_unit_test(a_wish_for_json_without_a_schema_is_an_instruction),
        cmocka_unit_test(a_count_has_only_what_is_counted),
        cmocka_unit_test(a_history_of_nothing_else_stays),
        cmocka_unit_test(bytes_are_looked_at_again_when_the_parts_were_mended),
        cmocka_unit_test(a_history_survives_every_refusal_of_memory),
        cmocka_unit_test(what_nobody_could_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
