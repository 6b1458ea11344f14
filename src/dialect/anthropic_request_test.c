/* SPDX-License-Identifier: Apache-2.0 */
/* anthropic_request_test - questions of callers of /v1/messages. */
#include "dialect/anthropic_test.h"

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
         "m max_tokens=5 -cache_control | system:a/b user:hi"},
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
        /* Harmless values. */
        {"{\"model\":\"m\",\"max_tokens\":5,\"tools\":[],\"tool_choice\":null,"
         "\"output_config\":{\"format\":null},\"mcp_servers\":[],\"container\":null,"
         "\"thinking\":{\"type\":\"disabled\"},\"stop_sequences\":null," USER_HI "}",
         "m max_tokens=5 | user:hi"},
        /* Hints that only Anthropic understands. */
        {"{\"model\":\"m\",\"max_tokens\":5,\"cache_control\":{\"type\":\"ephemeral\"},"
         "\"metadata\":{\"x\":1},\"speed\":\"fast\",\"new\":1," USER_HI "}",
         "m max_tokens=5 -other -cache_control -service_tier -metadata | user:hi"},
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
         "invalid [messages.0.content.0] messages.0.content.0: thinking blocks are not allowed in "
         "user "
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
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
         "\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"file:///etc/passwd\"}}]}]}",
         "invalid [messages.0.content.0] messages.0.content.0: must be a data URI or an address "
         "that begins with https://"},
        {"{\"model\":\"m\",\"model\":\"n\",\"max_tokens\":1," USER_HI "}",
         "invalid [] the member \"model\" occurs twice"},
    };
    check_requests(rows, COUNT(rows), false);
}

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

struct said_row {
    const char *body, *said;
};

/* {model, max_tokens, ...}: the rest of the body in `more`. */
static void check_said(const struct said_row *rows, size_t n, bool ok)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        struct buf said;
        char *body = quoted(rows[i].body), *expected = quoted(rows[i].said);
        buf_init(&said, MIB);
        ask(&a, A, LLM_OP_CHAT, strv_of(body));
        if (a.ok)
            say(&said, &a.r);
        assert_string_equal(a.ok ? cstr(&said) : cstr(&a.text), expected);
        assert_int_equal(a.ok, ok);
        asked_fini(&a);
        buf_fini(&said);
        free(body);
        free(expected);
    }
}

#define M(messages)       "{`max_tokens`:4096,`messages`:[" messages "]}"
#define MORE(more)        "{`max_tokens`:4096,`messages`:[{`role`:`user`,`content`:`hi`}]," more "}"
#define USER(blocks)      "{`role`:`user`,`content`:[" blocks "]}"
#define ASSISTANT(blocks) "{`role`:`assistant`,`content`:[" blocks "]}"
#define PNG               "iVBORw0KGgoAAAANSUhEUg=="
#define PDF               "JVBERi0xLjQK"

static void every_kind_of_block_becomes_a_part(void **state)
{
    (void)state;
    static const struct said_row rows[] = {
        /* Trap 11: input is kept as it is written, numbers and order and all. */
        {M("{`role`:`user`,`content`:`go`}," ASSISTANT(
             "{`type`:`thinking`,`thinking`:`hm`,`signature`:`S1`},"
             "{`type`:`redacted_thinking`,`data`:`R1`},{`type`:`text`,`text`:`look`},"
             "{`type`:`tool_use`,`id`:`t1`,`name`:`f`,`input`: {`z`: 12345678901234567890,  "
             "`a`:1.0}}") "," USER("{`type`:`tool_result`,`tool_use_id`:`t1`,`content`:`42`,`is_"
                                   "error`:true}")),
         "user:go assistant:think(hm;S1)/redacted(R1)/look/call(t1,f,{`z`: 12345678901234567890,  "
         "`a`:1.0}) user:result(t1!:42) need(tools)"},
        {M(USER("{`type`:`tool_result`,`tool_use_id`:`a`},{`type`:`tool_result`,`tool_use_id`:`b`,"
                "`content`:[{`type`:`text`,`text`:`x`},{`type`:`image`,`source`:{`type`:`base64`,"
                "`media_type`:`image/png`,`data`:`" PNG "`}}]},{`type`:`text`,`text`:`and?`}")),
         "user:result(a:)/result(b:x/image(image/png," PNG "))/and? need(tools) need(images)"},
        {M(USER("{`type`:`image`,`source`:{`type`:`url`,`url`:`https://x/y.png`}},"
                "{`type`:`document`,`source`:{`type`:`url`,`url`:`https://x/z.pdf`}}")),
         "user:link(image,https://x/y.png)/link(document,https://x/z.pdf) need(images) "
         "need(documents) need(links to images or documents)"},
        {M(USER("{`type`:`document`,`title`:`T`,`source`:{`type`:`base64`,`media_type`:"
                "`application/pdf`,`data`:`" PDF "`},`citations`:{`enabled`:true}}")),
         "user:document(application/pdf," PDF ",T) need(documents) -citations"},
        {M(USER("{`type`:`document`,`title`:`T`,`context`:`C`,`source`:{`type`:`text`,"
                "`media_type`:`text/plain`,`data`:`body`}},{`type`:`document`,`source`:{`type`:"
                "`text`,`data`:`bare`}},{`type`:`document`,`title`:`P`,`source`:{`type`:`content`,"
                "`content`:[{`type`:`text`,`text`:`one`},{`type`:`text`,`text`:`two`}]}}")),
         "user:Document: T\nC\n\nbody/bare/Document: P\n\n/one/two"},
        {M(USER("{`type`:`search_result`,`source`:`https://s`,`title`:`S`,`content`:[{`type`:"
                "`text`,`text`:`a`},{`type`:`text`,`text`:`b`}],`citations`:{`enabled`:false}}")),
         "user:Document: S\nhttps://s\n\na\n\nb"},
        {"{`max_tokens`:9,`system`:[{`type`:`text`,`text`:`s`}],`messages`:[{`role`:`user`,"
         "`content`:`a`},{`role`:`system`,`content`:[{`type`:`text`,`text`:`mid`,`cache_control`:"
         "{`type`:`ephemeral`}}]},{`role`:`user`,`content`:`b`}]}",
         "system:s user:a system:mid user:b -cache_control"},
        /* A signature may be missing or empty where we told the thinking of a local model. */
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT(
             "{`type`:`thinking`,`thinking`:`x`},{`type`:`thinking`,`thinking`:``,`signature`:"
             "`S`},{`type`:`text`,`text`:`b`}") ",{`role`:`user`,`content`:`c`}"),
         "user:a assistant:think(x;)/think(;S)/b user:c"},
        {M(USER("{`type`:`text`,`text`:`a`,`citations`:[{`x`:1}]}")), "user:a -citations"},
    };
    check_said(rows, COUNT(rows), true);
}

static void what_only_the_vendor_can_do_is_a_need(void **state)
{
    (void)state;
    static const struct said_row rows[] = {
        {M(USER("{`type`:`image`,`source`:{`type`:`file`,`file_id`:`f`}}")),
         "user:{`type`:`image`,`source`:{`type`:`file`,`file_id`:`f`}} need(Anthropic's own tools "
         "or files)"},
        {M(USER("{`type`:`container_upload`,`file_id`:`f`}")),
         "user:{`type`:`container_upload`,`file_id`:`f`} need(Anthropic's own tools or files)"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT(
             "{`type`:`document`,`source`:{`type`:`base64`,`media_type`:`application/pdf`,`data`:"
             "`" PDF "`}},{`type`:`document`,`source`:{`type`:`text`,`data`:`t`}}")),
         "user:a assistant:{`type`:`document`,`source`:{`type`:`base64`,`media_type`:"
         "`application/pdf`,`data`:`" PDF "`}}/t need(Anthropic's own tools or files)"},
        {MORE("`tools`:[{`type`:`web_search_20260318`,`name`:`web_search`},{`name`:`f`,"
              "`input_schema`:{}}],`tool_choice`:{`type`:`tool`,`name`:`web_search`}"),
         "user:hi tool(f,,{}) choose=one:web_search need(tools) need(Anthropic's own tools or "
         "files)"},
        {MORE("`mcp_servers`:[{`url`:`x`}]"), "user:hi need(Anthropic's own tools or files)"},
        {MORE("`container`:`c`"), "user:hi need(Anthropic's own tools or files)"},
        {MORE("`thread`:null"), "user:hi"},
    };
    check_said(rows, COUNT(rows), true);
    static const struct said_row kept_there[] = {
        {MORE("`thread`:{`type`:`create`}"),
         "unsupported [thread] thread: conversations are not kept here, all messages must be "
         "sent"},
    };
    check_said(kept_there, COUNT(kept_there), false);
}

static void tools_are_read(void **state)
{
    (void)state;
    static const struct said_row rows[] = {
        {MORE("`tools`:[{`name`:`f`,`description`:`does`,`input_schema`: {`type`:`object`, "
              "`x`:1.10e4}"
              "},{`type`:`custom`,`name`:`g`,`input_schema`:{},`strict`:true}]"),
         "user:hi tool(f,does,{`type`:`object`, `x`:1.10e4}) tool(g,,{},strict) need(tools)"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{},`cache_control`:{`type`:`ephemeral`},"
              "`input_examples`:[{}]}],`tool_choice`:{`type`:`any`,`disable_parallel_tool_use`:"
              "true}"),
         "user:hi tool(f,,{}) choose=any one_call need(tools) -other -cache_control"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}}],`tool_choice`:{`type`:`none`}"),
         "user:hi tool(f,,{}) choose=none need(tools)"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}}],`tool_choice`:{`type`:`auto`}"),
         "user:hi tool(f,,{}) need(tools)"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}}],`tool_choice`:{`type`:`tool`,`name`:`f`}"),
         "user:hi tool(f,,{}) choose=one:f need(tools)"},
    };
    check_said(rows, COUNT(rows), true);
}

static void thinking_and_the_form_of_the_answer_are_read(void **state)
{
    (void)state;
    static const struct said_row rows[] = {
        {MORE("`x`:null"), "user:hi"},
        {MORE("`thinking`:{`type`:`enabled`,`budget_tokens`:1024}"),
         "user:hi effort=low budget=1024 shown"},
        {MORE("`thinking`:{`type`:`enabled`,`budget_tokens`:4095.0,`display`:`summarized`}"),
         "user:hi effort=low budget=4095 shown"},
        {"{`max_tokens`:20000,`thinking`:{`type`:`enabled`,`budget_tokens`:16000},`messages`:[{"
         "`role`:`user`,`content`:`hi`}]}",
         "user:hi effort=high budget=16000 shown"},
        {"{`max_tokens`:20000,`thinking`:{`type`:`enabled`,`budget_tokens`:4096},`output_config`:{"
         "`effort`:`max`},`messages`:[{`role`:`user`,`content`:`hi`}]}",
         "user:hi effort=max budget=4096 shown"},
        {MORE("`thinking`:{`type`:`adaptive`}"), "user:hi effort=on shown"},
        {MORE("`thinking`:{`type`:`adaptive`,`display`:`omitted`},`output_config`:{`effort`:`xhigh`"
              "}"),
         "user:hi effort=xhigh"},
        {MORE("`thinking`:{`type`:`disabled`}"), "user:hi effort=none"},
        {MORE("`thinking`:{`type`:`between_tools`},`output_config`:{`effort`:`low`,`new`:1}"),
         "user:hi effort=none -other -reasoning_effort"},
        {MORE("`output_config`:{`effort`:`medium`,`format`:{`type`:`json_schema`,`schema`: {`type`"
              ":`object`}}}"),
         "user:hi effort=medium schema={`type`:`object`}"},
        {MORE("`output_format`:{`type`:`json_schema`,`schema`:{ }}"), "user:hi schema={ }"},
    };
    check_said(rows, COUNT(rows), true);
}

static void a_wrong_block_tool_or_choice_names_its_field(void **state)
{
    (void)state;
    static const struct said_row rows[] = {
        {M(USER("7")),
         "invalid [messages.0.content.0] messages.0.content.0: Input should be an object"},
        {M(USER("{`text`:`a`}")),
         "invalid [messages.0.content.0] messages.0.content.0: type: Field required"},
        {M(USER("{`type`:`tool_use`,`id`:`a`,`name`:`b`,`input`:{}}")),
         "invalid [messages.0.content.0] messages.0.content.0: tool_use blocks are not allowed in "
         "user messages"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT("{`type`:`tool_use`,`id`:`a`,`name`:`b`}")),
         "invalid [messages.1.content.0] messages.1.content.0: input: Input should be a valid "
         "dictionary"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT(
             "{`type`:`tool_use`,`id`:`a`,`name`:`b`,`input`:`{}`}")),
         "invalid [messages.1.content.0] messages.1.content.0: input: Input should be a valid "
         "dictionary"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT("{`type`:`tool_use`,`name`:`b`,`input`:{}}")),
         "invalid [messages.1.content.0] messages.1.content.0: id: Field required"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT("{`type`:`thinking`}")),
         "invalid [messages.1.content.0] messages.1.content.0: thinking: Field required"},
        {M("{`role`:`user`,`content`:`a`}," ASSISTANT("{`type`:`redacted_thinking`}")),
         "invalid [messages.1.content.0] messages.1.content.0: data: Field required"},
        {M(USER("{`type`:`tool_result`}")),
         "invalid [messages.0.content.0] messages.0.content.0: tool_use_id: Field required"},
        {M(USER("{`type`:`tool_result`,`tool_use_id`:`a`,`content`:7}")),
         "invalid [messages.0.content.0] messages.0.content.0: content: Input should be a valid "
         "string or a list of content blocks"},
        {M(USER("{`type`:`tool_result`,`tool_use_id`:`a`,`content`:[{`type`:`tool_result`}]}")),
         "invalid [messages.0.content.0.content.0] messages.0.content.0.content.0: tool_result "
         "blocks are not allowed in tool results or documents"},
        {M(USER("{`type`:`tool_result`,`tool_use_id`:`a`,`is_error`:1}")),
         "invalid [is_error] is_error: must be true or false"},
        {M(USER("{`type`:`image`,`source`:{}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source.type: Input should be "
         "'base64', 'url' or 'file'"},
        {M(USER("{`type`:`image`,`source`:{`type`:`base64`,`media_type`:`image/png`,`data`:`" PDF
                "`}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source: the data is not an image"},
        {M(USER("{`type`:`document`,`source`:{`type`:`base64`,`data`:`" PNG "`}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source: the data is not a PDF"},
        {M(USER("{`type`:`image`,`source`:{`type`:`base64`,`media_type`:`image/png`}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source.data: Field required"},
        {M(USER("{`type`:`image`,`source`:{`type`:`url`}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source.url: Field required"},
        {M(USER("{`type`:`document`,`source`:{`type`:`text`}}")),
         "invalid [messages.0.content.0] messages.0.content.0: source: Input should hold a string "
         "or a list of content blocks"},
        {M(USER("{`type`:`search_result`}")),
         "invalid [messages.0.content.0] messages.0.content.0: content: Input should be a valid "
         "list"},
        {"{`max_tokens`:1,`system`:[{`type`:`document`}],`messages`:[{`role`:`user`,`content`:`a`}]"
         "}",
         "invalid [system.0] system.0: document blocks are not allowed in system messages"},
        {MORE("`tools`:{}"), "invalid [tools] tools: Input should be a valid list"},
        {MORE("`tools`:[{`input_schema`:{}}]"), "invalid [tools.0] tools.0: name: Field required"},
        {MORE("`tools`:[{`name`:`f`}]"), "invalid [tools.0] tools.0: input_schema: Field required"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:[]}]"),
         "invalid [tools.0] tools.0: input_schema: Input should be an object"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}},{`type`:`bash_1`,`name`:`f`}]"),
         "invalid [tools] tools: Tool names must be unique"},
        {MORE("`tool_choice`:{`type`:`auto`}"),
         "invalid [tool_choice] tool_choice: may only be specified while providing tools"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}}],`tool_choice`:`auto`"),
         "invalid [tool_choice] tool_choice: type: Input should be 'auto', 'any', 'tool' or "
         "'none'"},
        {MORE("`tools`:[{`name`:`f`,`input_schema`:{}}],`tool_choice`:{`type`:`tool`,`name`:`g`}"),
         "invalid [tool_choice] tool_choice: the named tool is not among the provided tools"},
        {MORE("`thinking`:{`type`:`enabled`}"),
         "invalid [thinking.budget_tokens] thinking.budget_tokens: Field required"},
        {MORE("`thinking`:{`type`:`enabled`,`budget_tokens`:1023}"),
         "invalid [thinking.budget_tokens] thinking.budget_tokens: Input should be an integer "
         "greater than or equal to 1024"},
        {MORE("`thinking`:{`type`:`enabled`,`budget_tokens`:4096}"),
         "invalid [max_tokens] max_tokens: must be greater than thinking.budget_tokens"},
        {MORE("`thinking`:{`type`:`deep`}"),
         "invalid [thinking.type] thinking.type: Input should be 'enabled', 'adaptive', "
         "'between_tools' or 'disabled'"},
        {MORE("`thinking`:{`type`:`adaptive`,`display`:`all`}"),
         "invalid [thinking.display] thinking.display: Input should be 'summarized' or 'omitted'"},
        {MORE("`output_config`:{`effort`:`none`}"),
         "invalid [output_config.effort] output_config.effort: Input should be 'low', 'medium', "
         "'high', 'xhigh' or 'max'"},
        {MORE("`output_config`:{`format`:{`type`:`json`}}"),
         "invalid [output_config.format.type] output_config.format.type: Input should be "
         "'json_schema'"},
        {MORE("`output_config`:{`format`:{`type`:`json_schema`}}"),
         "invalid [output_config.format.schema] output_config.format.schema: Input should be an "
         "object"},
        {MORE("`output_config`:{`format`:{`type`:`json_schema`,`schema`:{}}},`output_format`:{`"
              "type`:"
              "`json_schema`,`schema`:{}}"),
         "invalid [output_format] output_format: cannot be given beside output_config.format"},
    };
    check_said(rows, COUNT(rows), false);
}

static void a_count_is_asked_without_a_limit(void **state)
{
    (void)state;
    struct asked a;
    ask(&a, A, LLM_OP_COUNT,
        STRV("{\"model\":\"m\",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}," USER_HI
             "}"));
    assert_true(a.ok);
    assert_int_equal(a.r.op, LLM_OP_COUNT);
    assert_int_equal(a.r.needs, LLM_NEED_COUNT);
    assert_int_equal(a.r.think_tokens, 2048);
    asked_fini(&a);
    ask(&a, A, LLM_OP_COUNT, STRV("{\"model\":\"m\"}"));
    assert_string_equal(cstr(&a.text), "invalid [messages] messages: Field required");
    asked_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_canonical),
        cmocka_unit_test(a_wrong_request_names_its_field),
        cmocka_unit_test(a_request_cut_anywhere_is_refused),
        cmocka_unit_test(a_request_survives_every_refusal_of_memory),
        cmocka_unit_test(the_billing_note_of_claude_code_does_not_leave_the_dialect),
        cmocka_unit_test(recorded_requests_are_read),
        cmocka_unit_test(every_kind_of_block_becomes_a_part),
        cmocka_unit_test(what_only_the_vendor_can_do_is_a_need),
        cmocka_unit_test(tools_are_read),
        cmocka_unit_test(thinking_and_the_form_of_the_answer_are_read),
        cmocka_unit_test(a_wrong_block_tool_or_choice_names_its_field),
        cmocka_unit_test(a_count_is_asked_without_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
