/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_test - both sides of /api/chat and /api/generate; the numbers of traps are those of translators'
 * known bugs. */
#include "dialect/wire_test.h"

static const struct dialect *const L = &dialect_ollama;

#define PNG     "iVBORw0KGgo="
#define JPEG    "/9j/4AAQ"
#define USER_HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ---- requests of callers ---- */

static void describe_parts(const struct llm_part *parts, size_t n, struct buf *b)
{
    for (size_t k = 0; k < n; k++) {
        const struct llm_part *p = &parts[k];
        if (k > 0)
            buf_put_char(b, '/');
        if (p->kind == LLM_PART_TEXT)
            buf_put_strv(b, p->text);
        else if (p->kind == LLM_PART_REASONING)
            buf_printf(b, "think(" STRV_FMT ")", STRV_ARG(p->text));
        else if (p->kind == LLM_PART_IMAGE)
            buf_printf(b, STRV_FMT "(" STRV_FMT ")", STRV_ARG(p->type), STRV_ARG(p->data));
        else if (p->kind == LLM_PART_CALL)
            buf_printf(b, "call(" STRV_FMT "," STRV_FMT "," STRV_FMT ")", STRV_ARG(p->id),
                       STRV_ARG(p->name), STRV_ARG(p->text));
        else if (p->kind == LLM_PART_RESULT) {
            buf_printf(b, "result(" STRV_FMT "," STRV_FMT ",", STRV_ARG(p->id), STRV_ARG(p->name));
            describe_parts(p->parts, p->n_parts, b);
            buf_put_char(b, ')');
        }
    }
}

/* describe() and all that an Ollama request may hold besides. */
static void describe_all(const struct llm_request *r, struct buf *b)
{
    struct llm_request head = *r;
    head.n_messages = 0;
    head.needs &= ~(uint32_t)(LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_EMBED);
    describe(&head, b);
    buf_rewind(b, buf_len(b) - 2);
    buf_printf(b, "%s%s%s", r->needs & LLM_NEED_TOOLS ? " +tools" : "",
               r->needs & LLM_NEED_IMAGES ? " +images" : "",
               r->needs & LLM_NEED_EMBED ? " +embed" : "");
    if (r->effort != LLM_EFFORT_UNSET)
        buf_printf(b, " think=%s%s", llm_effort_name(r->effort), r->hide_reasoning ? ",hide" : "");
    if (r->format != LLM_FORMAT_TEXT)
        buf_printf(b, " format=%s" STRV_FMT, r->format == LLM_FORMAT_JSON ? "json" : "",
                   STRV_ARG(r->schema));
    if (r->no_truncate)
        buf_put_cstr(b, " whole");
    if (r->dimensions > 0)
        buf_printf(b, " dimensions=%lld", (long long)r->dimensions);
    for (size_t i = 0; i < r->n_inputs; i++)
        buf_printf(b, " input[" STRV_FMT "]", STRV_ARG(r->inputs[i]));
    for (size_t i = 0; i < r->n_tools; i++)
        buf_printf(b, " tool[" STRV_FMT "," STRV_FMT "," STRV_FMT "]", STRV_ARG(r->tools[i].name),
                   STRV_ARG(r->tools[i].description), STRV_ARG(r->tools[i].schema));
    buf_put_cstr(b, " |");
    for (size_t i = 0; i < r->n_messages; i++) {
        buf_printf(b, " %s:", llm_role_name(r->messages[i].role));
        describe_parts(r->messages[i].parts, r->messages[i].n_parts, b);
    }
}

struct request_row {
    enum llm_op op;
    const char *body, *expected;
};

static void check_requests(const struct request_row *rows, size_t n, bool ok)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        ask(&a, L, rows[i].op, strv_of(rows[i].body));
        if (a.ok) {
            buf_clear(&a.text);
            describe_all(&a.r, &a.text);
        }
        assert_string_equal(cstr(&a.text), rows[i].expected);
        assert_int_equal(a.ok, ok);
        asked_fini(&a);
    }
}

static void a_request_becomes_canonical(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        /* The stream is the default. */
        {LLM_OP_CHAT, "{\"model\":\"m\"," USER_HI "}", "m stream | user:hi"},
        {LLM_OP_CHAT, "{\"model\":\"m\",\"stream\":null," USER_HI "}", "m stream | user:hi"},
        {LLM_OP_CHAT, "{\"model\":\"m\",\"stream\":false," USER_HI "}", "m | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false," USER_HI "}", " | user:hi"},
        {LLM_OP_CHAT,
         "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"System\",\"content\":\"s\"},"
         "{\"role\":\"USER\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null},{"
         "\"role\":"
         "\"user\"}]}",
         "m | system:s user:a assistant: user:"},
        {LLM_OP_CHAT,
         "{\"model\":\"m\",\"stream\":false,\"options\":{\"temperature\":0.5,\"top_k\":40,\"top_"
         "p\":0.9,"
         "\"min_p\":0.1,\"typical_p\":0.7,\"repeat_penalty\":1.1,\"presence_penalty\":1,"
         "\"frequency_penalty\":-1,\"seed\":-1,\"num_predict\":7,\"stop\":[\"x\",\"\"]}," USER_HI
         "}",
         "m max_tokens=7 temperature=0.5 top_p=0.9 top_k=40 min_p=0.1 typical_p=0.7 "
         "repeat_penalty=1.1 frequency_penalty=-1 presence_penalty=1 seed=-1 stop[x] | user:hi"},
        /* -1 is Ollama's "no limit": no wish of the caller's. */
        {LLM_OP_CHAT, "{\"stream\":false,\"options\":{\"num_predict\":-1}," USER_HI "}",
         " | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"options\":{\"num_predict\":40.7}," USER_HI "}",
         " max_tokens=40 | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"options\":null," USER_HI "}", " | user:hi"},
        /* Harmless values of what cannot be served. */
        {LLM_OP_CHAT,
         "{\"stream\":false,\"tools\":[],\"format\":\"\",\"think\":null,\"logprobs\":false,"
         "\"keep_alive\":null,\"truncate\":true,\"shift\":false,\"messages\":[{\"role\":\"user\","
         "\"content\":\"hi\",\"images\":[],\"tool_calls\":null}]}",
         " | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"format\":null,\"tools\":null," USER_HI "}",
         " | user:hi"},
        /* Hints that only Ollama understands. */
        {LLM_OP_CHAT, "{\"stream\":false,\"think\":true," USER_HI "}", " think=on | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"think\":\"max\"," USER_HI "}", " think=max | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"think\":false," USER_HI "}",
         " think=none,hide | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"think\":\"\"," USER_HI "}", " | user:hi"},
        {LLM_OP_CHAT,
         "{\"stream\":false,\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":"
         "\"t\"}]}",
         " | assistant:think(t)/a"},
        {LLM_OP_CHAT, "{\"stream\":false,\"options\":{\"num_ctx\":8192}," USER_HI "}",
         " -other | user:hi"},
        /* Trap 29: a stream switch inside options is none. */
        {LLM_OP_CHAT, "{\"options\":{\"stream\":false}," USER_HI "}", " stream -other | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"new\":1," USER_HI "}", " -other | user:hi"},
        /* What only an Ollama can serve. */
        {LLM_OP_CHAT, "{\"model\":\"m\"}", "m stream needs=8 |"},
        {LLM_OP_CHAT, "{\"model\":\"m\",\"messages\":[],\"keep_alive\":0}",
         "m stream needs=8 -keep_alive |"},
        {LLM_OP_CHAT, "{\"stream\":false,\"logprobs\":true," USER_HI "}", " needs=8 | user:hi"},
        {LLM_OP_GENERATE, "{\"model\":\"m\",\"stream\":false,\"prompt\":\"p\",\"system\":\"s\"}",
         "m | system:s user:p"},
        {LLM_OP_GENERATE,
         "{\"prompt\":\"p\",\"system\":\"\",\"suffix\":\"\",\"template\":\"\",\"context\":[],"
         "\"raw\":"
         "false,\"images\":[]}",
         " stream | user:p"},
        {LLM_OP_GENERATE, "{\"model\":\"m\",\"keep_alive\":-1}", "m stream needs=8 -keep_alive |"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"raw\":true}", " stream needs=8 | user:p"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"suffix\":\"q\",\"template\":\"t\"}",
         " stream needs=8 | system:t user:p/q"},
        /* Tokens of an earlier talk are unreadable here, so they are private. */
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"context\":[1,2]}",
         " stream needs=8 private | user:p"},
    };
    check_requests(rows, COUNT(rows), true);
}

static void tools_pictures_and_forms_are_read(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {LLM_OP_CHAT,
         "{\"stream\":false,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
         "\"description\":\"d\",\"parameters\":{\"type\":\"object\", \"z\":1.0,\"a\":"
         "9007199254740993}}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]," USER_HI "}",
         " +tools tool[f,d,{\"type\":\"object\", \"z\":1.0,\"a\":9007199254740993}] tool[g,,] | "
         "user:hi"},
        /* Trap 4: an object here, a text from clients of others. Trap 11: numbers stay. */
        {LLM_OP_CHAT,
         "{\"stream\":false,\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
         "\"t\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\","
         "\"arguments\":{\"b\": 12345678901234567890,\"a\":1}}},{\"type\":\"function\","
         "\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"k\\\":1}\"}},{\"function\":{\"name\":"
         "\"h\"}}]},{\"role\":\"tool\",\"tool_name\":\"f\",\"tool_call_id\":\"c1\",\"content\":"
         "\"18 C\"},{\"role\":\"Tool\",\"name\":\"g\",\"content\":null},{\"role\":\"tool\","
         "\"content\":\"x\",\"images\":[\"" PNG "\"]}]}",
         " +tools +images | assistant:think(t)/call(c1,f,{\"b\": 12345678901234567890,\"a\":1})/"
         "call(,g,{\"k\":1})/call(,h,) user:result(c1,f,18 C) user:result(,g,) "
         "user:result(,,x/image/png(" PNG "))"},
        {LLM_OP_CHAT,
         "{\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"images\":[\"" PNG
         "\",\"data:image/png;base64," JPEG "\"]},{\"role\":\"user\",\"images\":[\"" PNG "\"]}]}",
         " +images | user:image/png(" PNG ")/image/jpeg(" JPEG ")/hi user:image/png(" PNG ")"},
        {LLM_OP_GENERATE, "{\"stream\":false,\"prompt\":\"p\",\"images\":[\"" PNG "\"]}",
         " +images | user:image/png(" PNG ")/p"},
        {LLM_OP_CHAT, "{\"stream\":false,\"format\":\"json\"," USER_HI "}",
         " format=json | user:hi"},
        {LLM_OP_CHAT, "{\"stream\":false,\"format\":{}," USER_HI "}", " format=json | user:hi"},
        {LLM_OP_GENERATE,
         "{\"stream\":false,\"format\":{\"type\": \"object\",\"maximum\":1e2},\"prompt\":\"p\"}",
         " format={\"type\": \"object\",\"maximum\":1e2} | user:p"},
        {LLM_OP_CHAT, "{\"stream\":false,\"truncate\":false,\"keep_alive\":\"5m\"," USER_HI "}",
         " -keep_alive whole | user:hi"},
    };
    check_requests(rows, COUNT(rows), true);
}

static void texts_to_embed_are_inputs_and_parts(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {LLM_OP_EMBED, "{\"model\":\"e\",\"input\":\"a\"}", "e +embed input[a] | user:a"},
        {LLM_OP_EMBED,
         "{\"model\":\"e\",\"input\":[\"a\",\"\",\"b\"],\"dimensions\":64,\"truncate\":false,"
         "\"keep_alive\":5,\"options\":{\"num_ctx\":512}}",
         "e -other -keep_alive +embed whole dimensions=64 input[a] input[] input[b] | user:a//b"},
        {LLM_OP_EMBED_1, "{\"model\":\"e\",\"prompt\":\"a\"}", "e +embed input[a] | user:a"},
        /* Nothing to embed: loads the model. */
        {LLM_OP_EMBED, "{\"model\":\"e\",\"input\":[]}", "e needs=8 +embed |"},
        {LLM_OP_EMBED, "{\"model\":\"e\",\"input\":\"\"}", "e needs=8 +embed |"},
        {LLM_OP_EMBED, "{\"model\":\"e\",\"stream\":true}", "e needs=8 +embed |"},
        {LLM_OP_EMBED_1, "{\"model\":\"e\",\"prompt\":\"\"}", "e needs=8 +embed |"},
    };
    check_requests(rows, COUNT(rows), true);
}

static void a_wrong_request_names_its_field(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {LLM_OP_CHAT, " \n", "invalid [] the body is empty, a JSON object is expected"},
        {LLM_OP_CHAT, "7", "invalid [] the body must be a JSON object"},
        {LLM_OP_CHAT, "{\"model\":{}," USER_HI "}", "invalid [model] model: must be a string"},
        {LLM_OP_CHAT, "{\"messages\":{}}", "invalid [messages] messages: must be an array"},
        {LLM_OP_CHAT, "{\"messages\":[[]]}", "invalid [messages.0] messages.0: must be an object"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"developer\",\"content\":\"x\"}]}",
         "invalid [messages.0.role] messages.0.role: must be system, user, assistant or tool"},
        {LLM_OP_CHAT, "{\"messages\":[{\"content\":\"x\"}]}",
         "invalid [messages.0.role] messages.0.role: must be system, user, assistant or tool"},
        /* Trap 17, as Ollama itself. */
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         "invalid [messages.0.content] messages.0.content: must be a string"},
        {LLM_OP_CHAT, "{\"stream\":1," USER_HI "}",
         "invalid [stream] stream: must be true or false"},
        {LLM_OP_CHAT, "{\"options\":[]," USER_HI "}",
         "invalid [options] options: must be an object"},
        {LLM_OP_CHAT, "{\"options\":{\"temperature\":\"hot\"}," USER_HI "}",
         "invalid [options.temperature] options.temperature: must be a number between 0 and 2"},
        {LLM_OP_CHAT, "{\"options\":{\"stop\":[1]}," USER_HI "}",
         "invalid [options.stop[0]] options.stop[0]: must be a string"},
        {LLM_OP_CHAT, "{\"think\":\"hard\"," USER_HI "}",
         "invalid [think] think: must be true, false, low, medium, high or max"},
        {LLM_OP_CHAT, "{\"top_logprobs\":21," USER_HI "}",
         "invalid [top_logprobs] top_logprobs: must be between 0 and 20"},
        {LLM_OP_GENERATE, "{\"prompt\":[\"p\"]}", "invalid [prompt] prompt: must be a string"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"context\":\"c\"}",
         "invalid [context] context: must be an array"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"raw\":\"yes\"}",
         "invalid [raw] raw: must be true or false"},
        {LLM_OP_CHAT, "{\"tools\":[{}]," USER_HI "}",
         "invalid [tools[0].function] tools[0].function: must be an object"},
        {LLM_OP_CHAT, "{\"format\":\"xml\"," USER_HI "}",
         "invalid [format] format: must be \"json\" or a JSON schema"},
        {LLM_OP_CHAT, "{\"format\":[1]," USER_HI "}",
         "invalid [format] format: must be \"json\" or a JSON schema"},
        {LLM_OP_CHAT, "{\"truncate\":0," USER_HI "}",
         "invalid [truncate] truncate: must be true or false"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"images\":[\"aGk=\"]}",
         "invalid [images.0] images.0: is not an image of a known kind"},
        {LLM_OP_GENERATE, "{\"prompt\":\"p\",\"images\":\"" PNG "\"}",
         "invalid [images] images: must be an array"},
        {LLM_OP_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"images\":[\"" PNG "\",\"a!b\"]}]}",
         "invalid [messages.0.images.1] messages.0.images.1: must be base64 text"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"user\",\"images\":[{}]}]}",
         "invalid [messages.0.images.0] messages.0.images.0: must be base64 text"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}",
         "invalid [messages.0.tool_calls.0.function] messages.0.tool_calls.0.function: must be an "
         "object"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}",
         "invalid [messages.0.tool_calls] messages.0.tool_calls: must be an array"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"user\",\"tool_calls\":[{}]}]}",
         "invalid [messages.0.tool_calls] messages.0.tool_calls: is only an assistant's"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"system\",\"thinking\":\"t\"}]}",
         "invalid [messages.0.thinking] messages.0.thinking: is only an assistant's"},
        {LLM_OP_CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":[]}]}",
         "invalid [messages.0.content] messages.0.content: must be a string"},
        {LLM_OP_EMBED, "{\"input\":[1,2]}", "invalid [input] input: invalid input type"},
        {LLM_OP_EMBED, "{\"input\":[[1]]}", "invalid [input] input: invalid input type"},
        {LLM_OP_EMBED, "{\"input\":7}", "invalid [input] input: invalid input type"},
        {LLM_OP_EMBED, "{\"input\":{}}", "invalid [input] input: invalid input type"},
        {LLM_OP_EMBED, "{\"input\":\"a\",\"dimensions\":-1}",
         "invalid [dimensions] dimensions: must be a number of dimensions"},
        {LLM_OP_EMBED_1, "{\"prompt\":[\"a\"]}", "invalid [prompt] prompt: must be a string"},
    };
    check_requests(rows, COUNT(rows), false);
}

static const char full_chat[] =
    "{\"model\" : \"llama3.2\", \"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
    "\"user\",\"content\":\"gr\\u00fc\\u00df\"}],\"stream\":false,\"options\":{\"temperature\":1,"
    "\"num_predict\":9,\"seed\":5,\"stop\":[\"x\"]},\"keep_alive\":\"10m\"}";
static const char full_generate[] = "{\"model\":\"m\",\"prompt\":\"p\",\"system\":\"s\",\"suffix\":"
                                    "\"q\",\"template\":\"t\",\"context\":[1],"
                                    "\"raw\":false,\"options\":{\"top_k\":3}}";

static const char full_tools[] =
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"images\":[\"" PNG
    "\"]},{\"role\":\"assistant\",\"content\":\"b\",\"thinking\":\"c\",\"tool_calls\":[{"
    "\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"d\":1}}}]},{\"role\":\"tool\",\"tool_name\":\"f\","
    "\"content\":"
    "\"e\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],"
    "\"format\":{\"type\":\"object\"},\"think\":true,\"keep_alive\":1}";

static void a_request_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const strv bodies[] = {{full_chat, sizeof full_chat - 1},
                                  {full_tools, sizeof full_tools - 1}};
    for (size_t i = 0; i < COUNT(bodies); i++)
        for (size_t n = 0; n < bodies[i].len; n++) {
            struct asked a;
            ask(&a, L, LLM_OP_CHAT, (strv){bodies[i].ptr, n});
            assert_false(a.ok);
            assert_int_equal(a.err.code, LLM_ERR_INVALID_REQUEST);
            asked_fini(&a);
        }
}

static void survive(const char *body, enum llm_op op, const struct dialect *to, bool fresh)
{
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct dialect_target t = {
            .model = STRV("m"), .op = to == L ? op : LLM_OP_CHAT, .num_ctx = 4096, .fresh = fresh};
        int64_t live = mem_live();
        assert_true(n < 10000);
        struct arena arena;
        struct llm_request r;
        struct err err = ERR_INIT;
        struct buf out;
        uint32_t losses;
        arena_init(&arena, 512, MIB);
        buf_init(&out, MIB);
        mem_fail_at(n, true);
        done = L->decode_request(strv_of(body), op, &arena, &r, &err) &&
               (llm_request_mend(&r) || err_oom(&err)) &&
               to->encode_request(&r, &t, &arena, &out, &losses, &err);
        mem_fail_at(0, false);
        assert_true(done || err.set);
        arena_fini(&arena);
        buf_fini(&out);
        assert_int_equal(mem_live(), live);
    }
}

static void a_request_survives_every_refusal_of_memory(void **state)
{
    (void)state;
    survive(full_chat, LLM_OP_CHAT, &dialect_ollama, false);
    survive(full_chat, LLM_OP_CHAT, &dialect_ollama, true);
    survive(full_chat, LLM_OP_CHAT, &dialect_openai, false);
    survive(full_chat, LLM_OP_CHAT, &dialect_anthropic, false);
    survive(full_generate, LLM_OP_GENERATE, &dialect_ollama, false);
    survive(full_tools, LLM_OP_CHAT, &dialect_ollama, false);
    survive(full_tools, LLM_OP_CHAT, &dialect_ollama, true);
    survive("{\"input\":[\"a\",\"b\"]}", LLM_OP_EMBED, &dialect_ollama, true);
}

/* ---- requests to upstreams ---- */

struct pass_row {
    const struct dialect
        *from; /* NULL: the body is Ollama's, but as if another dialect had brought it */
    enum llm_op op;
    const char *body;
    struct dialect_target t;
    const char *expected, *lost;
};

static void check_passes(const struct pass_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct asked a;
        struct buf out, lost;
        struct dialect_target t = rows[i].t;
        ask(&a, rows[i].from != NULL ? rows[i].from : L, rows[i].op, strv_of(rows[i].body));
        assert_string_equal(a.err.text, "");
        if (rows[i].from == NULL)
            a.r.dialect = LLM_OPENAI;
        if (rows[i].from == L || rows[i].op == LLM_OP_EMBED)
            t.op = rows[i].op;
        if (rows[i].from != L || t.fresh) {
            a.r.arena = &a.arena;
            assert_true(llm_request_mend(&a.r));
        }
        bool ok = tell(&a, L, &t, &out, &lost);
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
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{ \"new\": 1.50, \"model\" :\"x\", \"stream\" : true, " USER_HI ", \"keep_alive\":-1 }",
         {.model = STRV("llama3.2:latest"), .stream = true},
         "{ \"new\": 1.50, \"model\" :\"llama3.2:latest\", \"stream\" : true, " USER_HI
         ", \"keep_alive\":-1 }",
         ""},
        /* The stream is always told, since its default is true. */
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\"," USER_HI "}",
         {.model = STRV("m"), .stream = true},
         "{\"stream\":true,\"model\":\"m\"," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_GENERATE,
         "{\"model\":\"x\",\"stream\":null,\"prompt\":\"p\"}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"stream\":false,\"prompt\":\"p\"}",
         ""},
        /* Trap 28: the prompt is cut without notice where num_ctx is too small. */
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"options\":{\"seed\":1,\"mirostat\":2.50,\"stop\":["
         "\"a\"]}," USER_HI "}",
         {.model = STRV("m"), .num_ctx = 8192},
         "{\"model\":\"m\",\"stream\":false,\"options\":{\"num_ctx\":8192,\"seed\":1,\"mirostat\":"
         "2.50,"
         "\"stop\":[\"a\"]}," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"options\":{\"num_ctx\":2048}," USER_HI "}",
         {.model = STRV("m"), .num_ctx = 8192},
         "{\"model\":\"m\",\"stream\":false,\"options\":{\"num_ctx\":2048}," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false," USER_HI "}",
         {.model = STRV("m"), .num_ctx = 8192, .max_tokens_default = 50},
         "{\"options\":{\"num_ctx\":8192,\"num_predict\":50},\"model\":\"m\",\"stream\":"
         "false," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"options\":{\"num_predict\":90,\"top_k\":1}," USER_HI
         "}",
         {.model = STRV("m"), .max_tokens_default = 50, .max_tokens_cap = 60},
         "{\"model\":\"m\",\"stream\":false,\"options\":{\"num_predict\":60,\"top_k\":1}," USER_HI
         "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"options\":{\"num_predict\":-1}," USER_HI "}",
         {.model = STRV("m"), .max_tokens_cap = 60},
         "{\"model\":\"m\",\"stream\":false,\"options\":{\"num_predict\":-1}," USER_HI "}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void another_dialect_is_translated(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        /* Traps 17 and 27: one string a message, and the limit by its name here. */
        {&dialect_openai,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"messages\":[{\"role\":\"developer\",\"content\":\"s\"},{\"role\":"
         "\"user\","
         "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\\\"\"}]},"
         "{\"role\":\"assistant\",\"content\":null}],\"max_completion_tokens\":12,\"stop\":[\"x\","
         "\"y\"],\"seed\":7,\"temperature\":0.25,\"user\":\"u\"}",
         {.model = STRV("m"), .stream = true, .num_ctx = 4096},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
         "\"user\","
         "\"content\":\"a\\nb\\\"\"},{\"role\":\"assistant\",\"content\":\"\"}],\"stream\":true,"
         "\"options\":{\"num_ctx\":4096,\"num_predict\":12,\"temperature\":0.25,\"seed\":7,"
         "\"stop\":"
         "[\"x\",\"y\"]}}",
         "user"},
        {&dialect_anthropic,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"max_tokens\":5000,\"system\":[{\"type\":\"text\",\"text\":\"s\"},{"
         "\"type\":"
         "\"text\",\"text\":\"t\"}],\"thinking\":{\"type\":\"adaptive\"}," USER_HI "}",
         {.model = STRV("m"), .max_tokens_cap = 100},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\\n\\nt\"},{\"role\":"
         "\"user\",\"content\":\"hi\"}],\"think\":true,\"stream\":false,\"options\":{\"num_"
         "predict\":100}}",
         ""},
        /* Nothing asked, nothing set: the model file's own values apply. */
        {&dialect_openai,
         LLM_OP_CHAT,
         "{\"model\":\"x\"," USER_HI "}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":false,"
         "\"options\":{}}",
         ""},
        {&dialect_openai,
         LLM_OP_CHAT,
         "{\"n\":3," USER_HI "}",
         {.model = STRV("m")},
         "n: an Ollama provider cannot serve this",
         ""},
        {&dialect_openai,
         LLM_OP_CHAT,
         "{\"logprobs\":true," USER_HI "}",
         {.model = STRV("m")},
         "logprobs: an Ollama provider cannot serve this",
         ""},
        {&dialect_openai,
         LLM_OP_CHAT,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
         {.model = STRV("m"), .no_prefill = true},
         "messages: the model does not continue a last message of the assistant",
         ""},
    };
    check_passes(rows, COUNT(rows));
    assert_string_equal(L->path(LLM_OP_CHAT), "/api/chat");
    assert_string_equal(L->path(LLM_OP_GENERATE), "/api/generate");
    assert_string_equal(L->path(LLM_OP_EMBED), "/api/embed");
    assert_string_equal(L->path(LLM_OP_EMBED_1), "/api/embeddings");
    assert_null(L->path(LLM_OP_COUNT));
    assert_int_equal(L->can,
                     LLM_NEED_OLLAMA_RAW | LLM_NEED_TOOLS | LLM_NEED_IMAGES | LLM_NEED_EMBED);
}

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","        \
    "\"parameters\":{\"type\":\"object\",\"maximum\":9007199254740993}}},{\"type\":\"function\","  \
    "\"function\":{\"name\":\"g\"}}]"
#define TOOL_F                                                                                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":"    \
    "{\"type\":\"object\",\"maximum\":9007199254740993}}}"
#define TOOL_G                                                                                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\","     \
    "\"properties\":{}}}}"
#define SENT_HI "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define REST    ",\"stream\":false,\"options\":{}}"

/* Golden bodies: trap 30. */
static void trap_4_11_12_13_17_30_tools_are_translated(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        {NULL,
         LLM_OP_CHAT,
         "{" TOOLS "," USER_HI "}",
         {.model = STRV("m")},
         SENT_HI ",\"tools\":[" TOOL_F "," TOOL_G "]" REST,
         ""},
        {NULL,
         LLM_OP_CHAT,
         "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\","
         "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"z\\\": "
         "9007199254740993,\\\"a\\\":1.0}\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":{"
         "\"name\":\"g\",\"arguments\":\"\"}},{\"id\":\"c\",\"type\":\"function\",\"function\":{"
         "\"name\":\"f\",\"arguments\":\"{k:1\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"b\","
         "\"content\":\"x\\ny\"},"
         "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"\"}]}",
         {.model = STRV("m")},
         "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["
         "{\"id\":\"a\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"z\": "
         "9007199254740993,\"a\":1.0}}},{\"id\":\"b\",\"function\":{\"index\":1,\"name\":\"g\","
         "\"arguments\":{}}},{\"id\":\"c\",\"function\":{\"index\":2,\"name\":\"f\",\"arguments\":"
         "{\"_raw\":\"{k:1\"}}}]},{\"role\":\"tool\",\"content\":\"\",\"tool_name\":\"f\","
         "\"tool_call_id\":\"a\"},{\"role\":\"tool\",\"content\":\"x\\ny\",\"tool_name\":\"g\","
         "\"tool_call_id\":\"b\"},{\"role\":\"tool\",\"content\":\"Error: The call was cancelled: "
         "it has no result.\",\"tool_name\":\"f\",\"tool_call_id\":\"c\"}]" REST,
         ""},
        {NULL,
         LLM_OP_CHAT,
         "{\"format\":\"json\"," USER_HI "}",
         {.model = STRV("m")},
         SENT_HI ",\"format\":\"json\"" REST,
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void a_choice_becomes_what_comes_nearest(void **state)
{
    (void)state;
    static const struct {
        enum llm_tool_choice choose;
        const char *name;
        bool one_call;
        const char *tools, *lost;
    } rows[] = {
        {LLM_CHOOSE_AUTO, "", false, ",\"tools\":[" TOOL_F "," TOOL_G "]", ""},
        {LLM_CHOOSE_NONE, "", false, "", ""},
        {LLM_CHOOSE_ANY, "", true, ",\"tools\":[" TOOL_F "," TOOL_G "]",
         "tool_choice parallel_tool_calls"},
        {LLM_CHOOSE_ONE, "g", false, ",\"tools\":[" TOOL_G "]", "tool_choice"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a;
        struct buf out, lost;
        char expected[512];
        struct dialect_target t = {.model = STRV("m")};
        ask(&a, L, LLM_OP_CHAT, STRV("{" TOOLS "," USER_HI "}"));
        a.r.dialect = LLM_OPENAI;
        a.r.choose = rows[i].choose;
        a.r.choose_name = strv_of(rows[i].name);
        a.r.one_call = rows[i].one_call;
        assert_true(tell(&a, L, &t, &out, &lost));
        snprintf(expected, sizeof expected, SENT_HI "%s" REST, rows[i].tools);
        assert_string_equal(cstr(&out), expected);
        assert_string_equal(cstr(&lost), rows[i].lost);
        buf_fini(&out);
        buf_fini(&lost);
        asked_fini(&a);
    }
}

/* For a server behind Ollama's dialect that is as picky as those of the traps. */
static void trap_14_15_ids_and_names_are_mapped_alike_everywhere(void **state)
{
    (void)state;
    struct asked a;
    struct buf out, lost;
    struct llm_request again;
    struct dialect_target t = {.model = STRV("m"), .ids = LLM_IDS_MISTRAL, .short_names = true};
    ask(&a, L, LLM_OP_CHAT,
        STRV("{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a.b/c\"}}],\"messages\":["
             "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call-1\",\"function\":{\"name\":"
             "\"a.b/c\",\"arguments\":{}}}]},{\"role\":\"tool\",\"tool_call_id\":\"call-1\","
             "\"content\":\"x\"}]}"));
    a.r.dialect = LLM_OPENAI;
    assert_true(a.ok && llm_request_mend(&a.r));
    assert_true(tell(&a, L, &t, &out, &lost));
    assert_true(L->decode_request(buf_view(&out), LLM_OP_CHAT, &a.arena, &again, &a.err));
    const struct llm_part *call = &again.messages[0].parts[0];
    const struct llm_part *result = &again.messages[1].parts[0];
    assert_int_equal(call->id.len, 9);
    assert_true(strv_eq(call->id, llm_id_for(LLM_IDS_MISTRAL, STRV("call-1"), &a.arena)));
    assert_true(strv_eq(result->id, call->id));
    assert_true(strv_eq(call->name, llm_tool_name_for(STRV("a.b/c"), &a.arena)));
    assert_true(strv_eq(result->name, call->name) && strv_eq(again.tools[0].name, call->name));
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
}

/* A request as no door makes it, to see each part's way. */
static void parts_find_their_place(void **state)
{
    (void)state;
    struct llm_part picture = {
        .kind = LLM_PART_IMAGE, .type = STRV("image/png"), .data = STRV(PNG)};
    struct llm_part text = {.kind = LLM_PART_TEXT, .text = STRV("18 C")};
    struct llm_part first[] = {text, picture}, second[] = {picture};
    struct llm_part results[] = {
        {.kind = LLM_PART_RESULT, .id = STRV("a"), .name = STRV("f"), .parts = first, .n_parts = 2},
        {.kind = LLM_PART_RESULT,
         .id = STRV("b"),
         .name = STRV("g"),
         .is_error = true,
         .parts = second,
         .n_parts = 1},
        text,
        picture,
    };
    struct llm_part thoughts[] = {
        {.kind = LLM_PART_REASONING, .text = STRV("hm"), .signature = STRV("sig")},
        {.kind = LLM_PART_REASONING, .redacted = true, .signature = STRV("data")},
        {.kind = LLM_PART_REASONING, .text = STRV("ho")},
        text,
    };
    struct llm_message messages[] = {{LLM_USER, results, 4}, {LLM_ASSISTANT, thoughts, 4}};
    struct llm_request r = {.dialect = LLM_ANTHROPIC,
                            .messages = messages,
                            .n_messages = 2,
                            .needs = LLM_NEED_TOOLS | LLM_NEED_IMAGES,
                            .mended = true};
    struct dialect_target t = {.model = STRV("m")};
    struct asked a = {.r = r, .err = ERR_INIT};
    struct buf out, lost;
    arena_init(&a.arena, 4096, MIB);
    assert_true(tell(&a, L, &t, &out, &lost));
    assert_string_equal(
        cstr(&out),
        "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"18 C\\n[image below]\","
        "\"tool_name\":\"f\",\"tool_call_id\":\"a\"},{\"role\":\"tool\",\"content\":\"Error: "
        "[image below]\",\"tool_name\":\"g\",\"tool_call_id\":\"b\"},{\"role\":\"user\","
        "\"content\":\"Images of the results above:\",\"images\":[\"" PNG "\",\"" PNG "\"]},"
        "{\"role\":\"user\",\"content\":\"18 C\",\"images\":[\"" PNG "\"]},{\"role\":"
        "\"assistant\",\"content\":\"18 C\",\"thinking\":\"hm\\nho\"}]" REST);
    assert_string_equal(cstr(&lost), "reasoning");
    buf_fini(&out);
    buf_fini(&lost);

    a.r.needs |= LLM_NEED_DOCUMENTS;
    assert_false(tell(&a, L, &t, &out, &lost));
    assert_int_equal(a.err.code, LLM_ERR_UNSUPPORTED);
    buf_fini(&out);
    buf_fini(&lost);
    arena_fini(&a.arena);
}

static void thinking_goes_by_what_the_model_takes(void **state)
{
    (void)state;
    static const struct {
        enum llm_effort effort;
        bool no_thinking, levels_only;
        const char *think, *lost;
    } rows[] = {
        {LLM_EFFORT_UNSET, false, false, "", ""},
        {LLM_EFFORT_NONE, false, false, ",\"think\":false", ""},
        {LLM_EFFORT_ON, false, false, ",\"think\":true", ""},
        {LLM_EFFORT_HIGH, false, false, ",\"think\":true", "reasoning_effort"},
        {LLM_EFFORT_ON, true, false, "", "reasoning_effort"},
        {LLM_EFFORT_NONE, true, false, "", ""},
        {LLM_EFFORT_NONE, false, true, ",\"think\":\"low\"", "reasoning_effort"},
        {LLM_EFFORT_ON, false, true, ",\"think\":\"medium\"", ""},
        {LLM_EFFORT_MINIMAL, false, true, ",\"think\":\"low\"", ""},
        {LLM_EFFORT_MEDIUM, false, true, ",\"think\":\"medium\"", ""},
        {LLM_EFFORT_MAX, false, true, ",\"think\":\"high\"", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked a;
        struct buf out, lost;
        char expected[256];
        struct dialect_target t = {.model = STRV("m"),
                                   .no_thinking = rows[i].no_thinking,
                                   .levels_only = rows[i].levels_only};
        ask(&a, &dialect_openai, LLM_OP_CHAT, STRV("{" USER_HI "}"));
        a.r.effort = rows[i].effort;
        assert_true(tell(&a, L, &t, &out, &lost));
        snprintf(expected, sizeof expected, SENT_HI "%s" REST, rows[i].think);
        assert_string_equal(cstr(&out), expected);
        assert_string_equal(cstr(&lost), rows[i].lost);
        buf_fini(&out);
        buf_fini(&lost);
        asked_fini(&a);
    }
}

static void trap_28_29_what_the_target_needs_is_edited_in(void **state)
{
    (void)state;
    static const struct pass_row rows[] = {
        /* Trap 28. */
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false," USER_HI "}",
         {.model = STRV("m"), .no_truncate = true},
         "{\"truncate\":false,\"model\":\"m\",\"stream\":false," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"truncate\":true," USER_HI "}",
         {.model = STRV("m"), .no_truncate = true},
         "{\"model\":\"m\",\"stream\":false,\"truncate\":true," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_EMBED,
         "{\"model\":\"x\",\"input\":\"a\"}",
         {.model = STRV("m"), .no_truncate = true, .max_tokens_default = 9},
         "{\"model\":\"m\",\"input\":\"a\"}",
         ""},
        {&dialect_ollama,
         LLM_OP_EMBED_1,
         "{\"model\":\"x\",\"prompt\":\"a\"}",
         {.model = STRV("m"), .stream = true, .num_ctx = 512},
         "{\"model\":\"m\",\"prompt\":\"a\"}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"think\":true," USER_HI "}",
         {.model = STRV("m"), .levels_only = true},
         "{\"model\":\"m\",\"stream\":false,\"think\":\"medium\"," USER_HI "}",
         ""},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"think\":false," USER_HI "}",
         {.model = STRV("m"), .levels_only = true},
         "{\"model\":\"m\",\"stream\":false,\"think\":\"low\"," USER_HI "}",
         "reasoning_effort"},
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"think\":\"high\"," USER_HI "}",
         {.model = STRV("m"), .no_thinking = true},
         "{\"model\":\"m\",\"stream\":false,\"think\":false," USER_HI "}",
         "reasoning_effort"},
        /* Trap 29: at the top, in a body of our own as well. */
        {&dialect_ollama,
         LLM_OP_CHAT,
         "{\"model\":\"x\",\"stream\":false,\"keep_alive\":-1,\"think\":\"low\",\"format\":"
         "{\"type\": \"object\"},\"options\":{\"mirostat\":2.50,\"seed\":1}," USER_HI "}",
         {.model = STRV("m"), .stream = true, .fresh = true, .num_ctx = 64, .no_truncate = true},
         SENT_HI ",\"format\":{\"type\": \"object\"},\"think\":true,\"stream\":true,"
                 "\"keep_alive\":-1,\"truncate\":false,\"options\":{\"num_ctx\":64,\"mirostat\":"
                 "2.50,\"seed\":1}}",
         "other reasoning_effort"},
        {&dialect_ollama,
         LLM_OP_GENERATE,
         "{\"model\":\"x\",\"stream\":false,\"system\":\"s\",\"prompt\":\"p\",\"images\":[\"" PNG
         "\"]}",
         {.model = STRV("m"), .fresh = true},
         "{\"model\":\"m\",\"system\":\"s\",\"prompt\":\"p\",\"images\":[\"" PNG "\"]" REST,
         ""},
        {NULL,
         LLM_OP_EMBED,
         "{\"model\":\"x\",\"input\":[\"a\",\"b\\\"\"],\"dimensions\":8}",
         {.model = STRV("m"), .num_ctx = 512, .no_truncate = true, .max_tokens_default = 9},
         "{\"model\":\"m\",\"input\":[\"a\",\"b\\\"\"],\"dimensions\":8,\"truncate\":false}",
         ""},
    };
    check_passes(rows, COUNT(rows));
}

static void a_prompt_becomes_a_conversation_elsewhere(void **state)
{
    (void)state;
    struct asked a, b;
    struct buf out, lost;
    struct dialect_target t = {.model = STRV("m")};
    ask(&a, L, LLM_OP_GENERATE,
        STRV("{\"prompt\":\"p\",\"system\":\"s\",\"options\":{\"num_predict\":3}}"));
    assert_true(tell(&a, &dialect_openai, &t, &out, &lost));
    ask(&b, &dialect_openai, LLM_OP_CHAT, buf_view(&out));
    assert_string_equal(cstr(&b.text), "m max_tokens=3 | system:s user:p");
    buf_fini(&out);
    buf_fini(&lost);
    asked_fini(&a);
    asked_fini(&b);
}

static void what_is_translated_back_reads_the_same(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        full_chat,
        "{" USER_HI "}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\\u0000\\\\\\\"\\n\\ud83d\\ude00\"}],"
        "\"options\":{\"temperature\":0.1,\"repeat_penalty\":1e-7,\"seed\":9007199254740991}}",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct asked a, b, c;
        struct buf out, lost, back, lost_back;
        ask(&a, L, LLM_OP_CHAT, strv_of(bodies[i]));
        assert_true(a.ok);
        struct dialect_target t = {.model = STRV("m"), .stream = a.r.stream};
        assert_true(tell(&a, &dialect_openai, &t, &out, &lost));
        ask(&b, &dialect_openai, LLM_OP_CHAT, buf_view(&out));
        assert_string_equal(b.err.text, "");
        assert_true(tell(&b, L, &t, &back, &lost_back));
        ask(&c, L, LLM_OP_CHAT, buf_view(&back));
        assert_true(c.ok);
        struct buf expected, got;
        buf_init(&expected, MIB);
        buf_init(&got, MIB);
        a.r.model = STRV("m");
        a.r.untranslated = 0;
        describe(&a.r, &expected);
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

/* An Ollama client's conversation on its way through OpenAI's dialect, as two routers in a row would. */
static void a_conversation_survives_another_dialect(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"m\",\"stream\":false," TOOLS
        ",\"format\":{\"type\":\"object\"},\"messages\":["
        "{\"role\":\"user\",\"content\":\"a\",\"images\":[\"" PNG "\"]},{\"role\":\"assistant\","
        "\"content\":\"b\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":\"f\","
        "\"arguments\":"
        "{\"z\": "
        "9007199254740993}}},{\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":{}}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"two\"},{\"role\":\"tool\","
        "\"tool_name\":\"f\",\"tool_call_id\":\"c1\",\"content\":\"one\"}]}";
    struct dialect_target t = {.model = STRV("m")};
    struct asked a, b, c;
    struct buf out, lost, back, lost_back, text;
    ask(&a, L, LLM_OP_CHAT, strv_of(body));
    assert_true(a.ok && llm_request_mend(&a.r));
    assert_true(tell(&a, &dialect_openai, &t, &out, &lost));
    ask(&b, &dialect_openai, LLM_OP_CHAT, buf_view(&out));
    assert_string_equal(b.err.text, "");
    b.r.arena = &b.arena;
    assert_true(llm_request_mend(&b.r));
    assert_true(tell(&b, L, &t, &back, &lost_back));
    assert_string_equal(cstr(&lost_back), "");
    ask(&c, L, LLM_OP_CHAT, buf_view(&back));
    assert_string_equal(c.err.text, "");
    assert_true(llm_request_mend(&c.r));
    buf_init(&text, MIB);
    describe_all(&c.r, &text);
    assert_string_equal(
        cstr(&text),
        "m +tools +images format={\"type\":\"object\"} tool[f,d,{\"type\":\"object\",\"maximum\":"
        "9007199254740993}] tool[g,,{\"type\":\"object\",\"properties\":{}}] | "
        "user:image/png(" PNG ")/a assistant:b/call(c1,f,{\"z\": 9007199254740993})/call(c2,g,{}) "
        "user:result(c1,f,one)/result(c2,g,two)");
    buf_fini(&text);
    buf_fini(&out);
    buf_fini(&lost);
    buf_fini(&back);
    buf_fini(&lost_back);
    asked_fini(&a);
    asked_fini(&b);
    asked_fini(&c);
}

/* ---- answers to callers ---- */

#define STAMP "\"model\":\"m\",\"created_at\":\"2026-11-22T15:00:00.123456Z\""

static struct dialect_out fresh_out(enum llm_op op)
{
    return (struct dialect_out){.op = op,
                                .model = STRV("m"),
                                .created_us = 1795359600123456,
                                .input_estimate = 9,
                                .total_us = 5000,
                                .first_us = 2000};
}

static void put_events(struct dialect_out *st, const struct llm_event *events, size_t n,
                       struct buf *out)
{
    buf_init(out, MIB);
    for (size_t i = 0; i < n; i++)
        assert_true(L->encode_event(st, &events[i], out));
}

static void a_stream_is_written_line_by_line(void **state)
{
    (void)state;
    struct llm_usage usage = {30, 4, 20, -1, -1, -1, 1000, 2000, 3000, 6000};
    const struct llm_event events[] = {
        {.kind = LLM_EV_START, .text = STRV("chatcmpl-9"), .model = STRV("other")},
        {.kind = LLM_EV_REASONING, .text = STRV("hm")},
        {.kind = LLM_EV_TEXT, .text = STRV("")},
        {.kind = LLM_EV_PING},
        {.kind = LLM_EV_TEXT, .text = STRV("Hal\"lo")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_LENGTH},
        {.kind = LLM_EV_USAGE, .usage = usage},
        {.kind = LLM_EV_END},
        {.kind = LLM_EV_END},
    };
    struct dialect_out chat = fresh_out(LLM_OP_CHAT), generate = fresh_out(LLM_OP_GENERATE);
    struct buf out;
    put_events(&chat, events, COUNT(events), &out);
    assert_string_equal(
        cstr(&out),
        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},"
        "\"done\":false}\n"
        "{" STAMP
        ",\"message\":{\"role\":\"assistant\",\"content\":\"Hal\\\"lo\"},\"done\":false}\n"
        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
        "\"done_reason\":\"length\",\"total_duration\":6000,\"load_duration\":1000,"
        "\"prompt_eval_count\":30,\"prompt_eval_duration\":2000,\"eval_count\":4,"
        "\"eval_duration\":3000}\n");
    buf_fini(&out);
    put_events(&generate, events, COUNT(events), &out);
    assert_string_equal(cstr(&out),
                        "{" STAMP ",\"response\":\"\",\"thinking\":\"hm\",\"done\":false}\n"
                        "{" STAMP ",\"response\":\"Hal\\\"lo\",\"done\":false}\n"
                        "{" STAMP ",\"response\":\"\",\"done\":true,"
                        "\"done_reason\":\"length\",\"total_duration\":6000,\"load_duration\":1000,"
                        "\"prompt_eval_count\":30,\"prompt_eval_duration\":2000,\"eval_count\":4,"
                        "\"eval_duration\":3000}\n");
    buf_fini(&out);
}

/* httpx's iter_lines(), under the Python client, takes these for the ends of lines. */
static void assert_legal(enum llm_op op, strv stream)
{
    struct dialect_check check;
    struct arena scratch;
    strv line;
    arena_init(&scratch, 4096, MIB);
    dialect_check_init(&check, LLM_OLLAMA, op);
    while (strv_cut(&stream, '\n', &line))
        if (line.len > 0)
            (void)dialect_check_frame(&check, STRV_NONE, line, &scratch);
    if (!dialect_check_end(&check, true))
        fail_msg("not legal: %s", check.broken);
    arena_fini(&scratch);
}

/* Calls as they come from elsewhere: in pieces, with text beside them. */
static const struct llm_event calls_in_pieces[] = {
    {.kind = LLM_EV_START},
    {.kind = LLM_EV_REASONING, .text = STRV("secret data"), .redacted = true},
    {.kind = LLM_EV_TEXT, .text = STRV("I look.")},
    {.kind = LLM_EV_CALL, .id = STRV("call_1"), .name = STRV("f")},
    {.kind = LLM_EV_ARGS, .text = STRV("{\"city\":\n \"Pa")},
    {.kind = LLM_EV_ARGS, .text = STRV("ris\xe2\x80\xa8\",\"n\":9007199254740993}")},
    {.kind = LLM_EV_CALL_END},
    {.kind = LLM_EV_CALL, .call = 1, .name = STRV("g\"")},
    {.kind = LLM_EV_CALL_END, .call = 1},
    {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS, .raw_finish = STRV("tool_calls")},
    {.kind = LLM_EV_END},
};
#define CALL_1                                                                                     \
    "{\"id\":\"call_1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"city\":  "       \
    "\"Paris\\u2028\",\"n\":9007199254740993}}}"
#define CALL_2 "{\"function\":{\"index\":1,\"name\":\"g\\\"\",\"arguments\":{}}}"

static void trap_2_3_4_a_call_is_one_line_when_it_is_complete(void **state)
{
    (void)state;
    struct dialect_out st = fresh_out(LLM_OP_CHAT), whole = st;
    struct ear ear;
    struct buf out, body;
    buf_init(&st.kept, MIB);
    put_events(&st, calls_in_pieces, COUNT(calls_in_pieces), &out);
    char *at = strstr(cstr(&out), "\"done\":true");
    assert_non_null(at);
    assert_true(strncmp(at, "\"done\":true,\"done_reason\":\"stop\",", 33) == 0);
    at[0] = '\0';
    assert_string_equal(out.data,
                        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"I look.\"},"
                        "\"done\":false}\n"
                        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"\","
                        "\"tool_calls\":[" CALL_1 "]},\"done\":false}\n"
                        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"\","
                        "\"tool_calls\":[" CALL_2 "]},\"done\":false}\n"
                        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"\"},");
    at[0] = '"';

    /* Read back, written whole, read back: the same. */
    ear_init(&ear);
    assert_legal(LLM_OP_CHAT, buf_view(&out));
    assert_true(ear_stream(&ear, L, buf_view(&out)));
    assert_int_equal(ear.in.calls, 2);
    assert_false(ear.in.flaw);
    buf_init(&body, MIB);
    assert_true(L->encode_reply(&whole, &ear.reply, &body));
    assert_non_null(strstr(cstr(&body), "\"content\":\"I look.\",\"tool_calls\":[" CALL_1 "," CALL_2
                                        "]},\"done\":true,\"done_reason\":\"stop\""));
    buf_fini(&out);
    buf_fini(&body);
    buf_fini(&st.kept);
    ear_fini(&ear);
}

static void vectors_are_written_as_they_were(void **state)
{
    (void)state;
    static const float vectors[] = {0.1f, -0.25f, 1e-7f, 3};
    struct dialect_out st = fresh_out(LLM_OP_EMBED), one = fresh_out(LLM_OP_EMBED_1);
    struct llm_reply reply;
    struct arena none = {0};
    struct buf out;
    buf_init(&out, MIB);
    llm_reply_init(&reply, MIB);
    for (int i = 0; i < 2; i++)
        assert_true(llm_reply_add(
            &reply,
            &(struct llm_event){
                .kind = LLM_EV_VECTOR, .choice = i, .vector = vectors + 2 * i, .n_vector = 2},
            &none));
    assert_false(L->encode_reply(&st, &reply, &out)); /* cut short */
    reply.finish = LLM_FINISH_STOP;
    reply.usage.input = 8;
    assert_true(L->encode_reply(&st, &reply, &out));
    assert_string_equal(cstr(&out), "{\"model\":\"m\",\"embeddings\":[[0.1,-0.25],[1e-7,3]],"
                                    "\"total_duration\":5000000,\"load_duration\":0,"
                                    "\"prompt_eval_count\":8}");
    buf_clear(&out);
    assert_true(L->encode_reply(&one, &reply, &out));
    assert_string_equal(cstr(&out), "{\"embedding\":[0.1,-0.25]}");
    llm_reply_fini(&reply);

    llm_reply_init(&reply, MIB); /* of no text at all */
    reply.finish = LLM_FINISH_STOP;
    buf_clear(&out);
    assert_true(L->encode_reply(&st, &reply, &out));
    assert_non_null(strstr(cstr(&out), "\"embeddings\":[],"));
    buf_clear(&out);
    assert_true(L->encode_reply(&one, &reply, &out));
    assert_string_equal(cstr(&out), "{\"embedding\":[]}");
    llm_reply_fini(&reply);
    buf_fini(&out);
}

static void letters_that_end_lines_elsewhere_are_escaped(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_TEXT, .text = STRV("a\xe2\x80\xa8\"b\xc2\x85\xc3\x85\xe2\x80\xa9")},
    };
    struct dialect_out generate = fresh_out(LLM_OP_GENERATE);
    struct buf out;
    put_events(&generate, events, COUNT(events), &out);
    assert_string_equal(cstr(&out),
                        "{" STAMP ",\"response\":\"a\\u2028\\\"b\\u0085\xc3\x85\\u2029\","
                        "\"done\":false}\n");
    buf_fini(&out);
}

static void the_six_figures_are_always_there(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_TEXT, .text = STRV("Hello")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_FILTER},
        {.kind = LLM_EV_END},
    };
    struct dialect_out st = fresh_out(LLM_OP_GENERATE), still = st;
    struct buf out;
    put_events(&st, events, COUNT(events), &out);
    assert_non_null(strstr(cstr(&out), "\"done_reason\":\"stop\",\"total_duration\":5000000,"
                                       "\"load_duration\":0,\"prompt_eval_count\":9,"
                                       "\"prompt_eval_duration\":2000000,\"eval_count\":2,"
                                       "\"eval_duration\":3000000}\n"));
    buf_fini(&out);
    still.total_us = still.first_us = 0; /* clients divide by eval_duration */
    put_events(&still, events, COUNT(events), &out);
    assert_non_null(strstr(cstr(&out), "\"prompt_eval_duration\":0,\"eval_count\":2,"
                                       "\"eval_duration\":1}\n"));
    buf_fini(&out);
}

static void trap_33_an_end_without_a_reason_is_not_written(void **state)
{
    (void)state;
    struct dialect_out st = fresh_out(LLM_OP_CHAT);
    struct llm_reply reply;
    struct buf out;
    buf_init(&out, MIB);
    llm_reply_init(&reply, MIB);
    assert_true(L->encode_event(&st, &(struct llm_event){.kind = LLM_EV_START}, &out));
    assert_false(L->encode_event(&st, &(struct llm_event){.kind = LLM_EV_END}, &out));
    assert_false(L->encode_reply(&st, &reply, &out));
    assert_int_equal(buf_len(&out), 0);
    llm_reply_fini(&reply);
    buf_fini(&out);
}

static void an_error_is_the_last_line(void **state)
{
    (void)state;
    struct dialect_out st = fresh_out(LLM_OP_CHAT);
    struct buf out;
    const struct llm_event events[] = {
        {.kind = LLM_EV_TEXT, .text = STRV("Hel")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP},
    };
    put_events(&st, events, COUNT(events), &out);
    buf_clear(&out);
    L->stream_error(&st, LLM_ERR_UPSTREAM_CUT, STRV("broke \"off\""), STRV("req_1"), &out);
    assert_true(L->encode_event(&st, &(struct llm_event){.kind = LLM_EV_END}, &out));
    assert_string_equal(cstr(&out), "{\"error\":\"broke \\\"off\\\"\"}\n");
    buf_clear(&out);
    L->encode_error(LLM_ERR_INVALID_REQUEST, STRV("must be a string"), STRV("prompt"), STRV("r"),
                    &out);
    assert_string_equal(cstr(&out), "{\"error\":\"prompt: must be a string\"}");
    buf_clear(&out);
    L->encode_error(LLM_ERR_MODEL_NOT_FOUND, STRV("model 'x' not found"), STRV("model"), STRV_NONE,
                    &out);
    assert_string_equal(cstr(&out), "{\"error\":\"model 'x' not found\"}");
    buf_clear(&out);
    L->encode_error(LLM_ERR_DRAINING, STRV_NONE, STRV_NONE, STRV_NONE, &out);
    assert_string_equal(cstr(&out), "{\"error\":\"The router is shutting down.\"}");
    assert_string_equal(L->keepalive, "");
    buf_fini(&out);
}

static void a_whole_answer_is_one_object(void **state)
{
    (void)state;
    struct dialect_out chat = fresh_out(LLM_OP_CHAT), generate = fresh_out(LLM_OP_GENERATE);
    struct llm_reply reply;
    struct buf out;
    buf_init(&out, MIB);
    llm_reply_init(&reply, MIB);
    reply_put(&reply, LLM_EV_TEXT, "Hi");
    reply.finish = LLM_FINISH_STOP_SEQUENCE;
    reply.usage.input = 3;
    reply.usage.output = 1;
    assert_true(L->encode_reply(&generate, &reply, &out));
    assert_string_equal(cstr(&out),
                        "{" STAMP ",\"response\":\"Hi\",\"done\":true,\"done_reason\":\"stop\","
                        "\"total_duration\":5000000,\"load_duration\":0,\"prompt_eval_count\":3,"
                        "\"prompt_eval_duration\":2000000,\"eval_count\":1,"
                        "\"eval_duration\":3000000}");
    buf_clear(&out);
    reply_put(&reply, LLM_EV_REASONING, "hm");
    reply.finish = LLM_FINISH_OTHER;
    reply.raw_finish = STRV("load");
    assert_true(L->encode_reply(&chat, &reply, &out));
    assert_string_equal(cstr(&out),
                        "{" STAMP ",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\","
                        "\"thinking\":\"hm\"},\"done\":true,\"done_reason\":\"load\","
                        "\"total_duration\":5000000,\"load_duration\":0,\"prompt_eval_count\":3,"
                        "\"prompt_eval_duration\":2000000,\"eval_count\":1,"
                        "\"eval_duration\":3000000}");
    llm_reply_fini(&reply);
    buf_fini(&out);
}

/* ---- answers of upstreams ---- */

static const struct {
    const char *name, *stream, *heard;
    bool ok;
} streams[] = {
    {"chat",
     "{\"model\":\"l\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":"
     "\"Hel\"},"
     "\"done\":false}\n"
     "\n"
     "{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"lo\"},\"done\":false}\r\n"
     "{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
     "\"done_reason\":\"stop\",\"total_duration\":6,\"load_duration\":1,\"prompt_eval_count\":26,"
     "\"prompt_eval_duration\":2,\"eval_count\":298,\"eval_duration\":3}\n",
     "start(,l) text(Hel) text(lo) finish(stop:stop) "
     "usage(in=26,out=298,load_ns=1,in_ns=2,out_ns=3,total_ns=6) end",
     true},
    {"generate",
     "{\"model\":\"l\",\"response\":\"a\",\"done\":false}\n"
     "{\"model\":\"l\",\"response\":\"b\",\"done\":true,\"done_reason\":\"length\",\"context\":[1]}"
     "\n",
     "start(,l) text(a) text(b) finish(length:length) usage() end", true},
    {"thinking",
     "{\"message\":{\"content\":\"\",\"thinking\":\"hm\"}}\n{\"response\":\"a\",\"thinking\":"
     "\"ho\"}\n",
     "start(,) reasoning(hm) reasoning(ho) text(a)", true},
    /* The runner went away after its last token: no reason. */
    {"no reason", "{\"done\":true}\n", "start(,) finish(stop:) usage() end", true},
    {"load", "{\"model\":\"l\",\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}\n",
     "start(,l) finish(other:load) usage() end", true},
    {"null and empty texts",
     "{\"message\":{\"content\":null,\"tool_calls\":[]}}\n{\"response\":null}\n", "start(,)", true},
    {"behind the end", "{\"response\":\"a\",\"done\":true}\n{\"response\":\"b\"}\n",
     "start(,) text(a) finish(stop:) usage() end", true},
    {"counts that are none", "{\"done\":true,\"eval_count\":-3,\"prompt_eval_count\":\"x\"}\n",
     "start(,) finish(stop:) usage() end", true},
    {"error first", "{\"error\":\"model 'x' not found\"}\n", "error(500,model 'x' not found)",
     true},
    {"error in mid-stream", "{\"response\":\"a\"}\n{\"error\":\"boom\"}\n{\"response\":\"b\"}\n",
     "start(,) text(a) error(500,boom)", true},
    {"queue full",
     "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
     "error(503,server busy, please try again.  maximum pending requests exceeded)", true},
    {"an error in a proxy's envelope",
     "{\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\"}}\n", "error(429,m)", true},
    {"a call without a name", "{\"message\":{\"tool_calls\":[{\"function\":{}}]}}\n", "start(,)",
     false},
    /* Traps 2 and 3: the reason is "stop", and older servers number all of them 0. */
    {"calls",
     "{\"message\":{\"content\":\"I look.\",\"tool_calls\":[{\"function\":{\"index\":0,\"name\":"
     "\"f\",\"arguments\":{\"a\": 12345678901234567890}}},{\"id\":\"x\",\"function\":{\"index\":0,"
     "\"name\":\"g\",\"arguments\":{}}}]},\"done\":false}\n"
     "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"h\",\"arguments\":"
     "\"{\\\"k\\\":1}\"}},{\"id\":7,\"function\":{\"name\":\"i\"}}]},\"done\":true,"
     "\"done_reason\":\"stop\"}\n",
     "start(,) text(I look.) call(0,,f) args(0,{\"a\": 12345678901234567890}) call_end(0) "
     "call(1,x,g) args(1,{}) call_end(1) call(2,,h) args(2,{\"k\":1}) call_end(2) call(3,,i) "
     "call_end(3) finish(stop:stop) usage() end",
     true},
    /* UT-15 */
    {"an empty message", "{\"message\":{}}\n", "start(,)", true},
    {"calls that are no list", "{\"message\":{\"tool_calls\":{}}}\n", "start(,)", false},
    {"text that is none", "{\"response\":{}}\n", "start(,)", false},
    {"not JSON", "{\"response\":\"a\"}\n{\"resp\n", "start(,) text(a)", false},
    {"not an object", "[]\n", "", false},
    {"HTML", "<html>\n", "", false},
};

static void a_stream_becomes_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        struct ear ear;
        ear_init(&ear);
        bool ok = ear_stream(&ear, L, strv_of(streams[i].stream));
        if (strcmp(trace_text(&ear.trace), streams[i].heard) != 0)
            print_error("in: %s\n", streams[i].name);
        assert_heard(&ear, streams[i].heard);
        assert_int_equal(ok, streams[i].ok);
        assert_int_equal(ear.err.set, !streams[i].ok);
        ear_fini(&ear);
    }
}

/* Rows of the list of what an existing client makes of an answer: what it takes is passed on as it came. */
static void ut_9_to_22_flaws_are_marked(void **state)
{
    (void)state;
    static const struct {
        const char *name, *line;
        bool flaw;
    } rows[] = {
        {"UT-09",
         "{\"response\":\"x\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":1,"
         "\"eval_count\":2}",
         false},
        {"UT-10", "{\"response\":\"x\",\"done\":true,\"eval_count\":2}", true},
        {"UT-11", "{\"response\":null}", true},
        {"UT-12",
         "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"a\","
         "\"arguments\":{\"k\":1}}}]}}",
         false},
        {"arguments as text",
         "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"a\",\"arguments\":\"{}\"}}]}}",
         true},
        {"no arguments", "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"a\"}}]}}", true},
        {"trap 3",
         "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"a\",\"index\":0,\"arguments\":{}}"
         "},{\"function\":{\"name\":\"a\",\"index\":0,\"arguments\":{}}}]}}",
         true},
        {"UT-13", "{\"message\":{\"content\":\"x\",\"tool_calls\":null}}", true},
        {"UT-14", "{\"message\":{\"content\":null}}", true},
        {"UT-15", "{\"message\":{}}", false},
        {"no message", "{\"message\":null,\"response\":\"\"}", true},
        {"UT-20", "{\"response\":\"a\",\"done\":false}", false},
        {"UT-22", "{\"error\":\"boom\"}", false},
        {"UT-23", "{\"response\":\"{\\\"thoughts\\\":\\\"t\\\",\\\"edits\\\":[]}\"}", false},
        {"load", "{\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        assert_true(ear_frame(&ear, L, STRV_NONE, strv_of(rows[i].line)));
        if (ear.in.flaw != rows[i].flaw)
            print_error("in: %s\n", rows[i].name);
        assert_int_equal(ear.in.flaw, rows[i].flaw);
        ear_fini(&ear);
    }
}

/* UT-21: no end, no error: cut. */
static void ut_21_a_stream_without_its_last_line_does_not_end(void **state)
{
    (void)state;
    struct ear ear;
    ear_init(&ear);
    assert_true(ear_stream(&ear, L, STRV("{\"response\":\"a\",\"done\":false}\n")));
    assert_false(ear.in.ended || ear.reply.ended);
    ear_fini(&ear);
}

static void vectors_become_events(void **state)
{
    (void)state;
    static const struct {
        const char *body, *heard;
        bool ok;
    } rows[] = {
        {"{\"model\":\"e\",\"embeddings\":[[0.5,-1],[2,1e-3]],\"total_duration\":9,"
         "\"load_duration\":1,\"prompt_eval_count\":8}",
         "start(,e) vector(0.5,-1) vector(1:2,0.001) finish(stop:) "
         "usage(in=8,out=0,load_ns=1,total_ns=9) end",
         true},
        {"{\"embedding\":[0.5]}", "start(,) vector(0.5) finish(stop:) usage(out=0) end", true},
        {"{\"embeddings\":[]}", "start(,) finish(stop:) usage(out=0) end", true},
        {"{\"embedding\":[]}", "start(,) finish(stop:) usage(out=0) end", true},
        {"{\"error\":\"the input length exceeds the context length\"}",
         "error(500,the input length exceeds the context length)", true},
        {"{\"embeddings\":null}", "", false},
        {"{}", "", false},
        {"{\"embeddings\":[[1],[1,2]]}", "start(,) vector(1)", false},
        {"{\"embeddings\":[[]]}", "start(,)", false},
        {"{\"embeddings\":[[\"1\"]]}", "start(,)", false},
        {"{\"embeddings\":[[1e300]]}", "start(,)", false},
        {"{\"embeddings\":[1]}", "start(,)", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        ear.in.op = LLM_OP_EMBED;
        assert_int_equal(L->decode_reply(&ear.in, strv_of(rows[i].body), &ear.err), rows[i].ok);
        assert_heard(&ear, rows[i].heard);
        assert_int_equal(ear.err.set, !rows[i].ok);
        ear_fini(&ear);
    }
}

static void trap_5_an_empty_list_of_calls_hides_no_text(void **state)
{
    (void)state;
    struct ear ear;
    ear_init(&ear);
    assert_true(
        ear_stream(&ear, L,
                   STRV("{\"message\":{\"content\":\"a\",\"tool_calls\":[]},\"done\":false}\n"
                        "{\"message\":{\"content\":\"b\",\"tool_calls\":[]},\"done\":true,"
                        "\"eval_count\":1,\"prompt_eval_count\":1}\n")));
    assert_heard(&ear, "start(,) text(a) text(b) finish(stop:) usage(in=1,out=1) end");
    assert_false(ear.in.flaw);
    ear_fini(&ear);
}

static void a_listener_that_refuses_is_asked_no_more(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 6; n++) {
        struct ear ear;
        ear_init(&ear);
        ear.trace.refuse_from = n;
        assert_true(ear_stream(&ear, L, strv_of(streams[0].stream)));
        assert_int_equal(ear.trace.events, n);
        ear_fini(&ear);
    }
}

static void a_line_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"message\":{\"content\":\"gr\xc3\xbc\xc3\x9f\\u00df\"},\"done\":false}",
        "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":"
        "\"\xc3\xbc\"}"
        "}}]}}",
    };
    for (size_t i = 0; i < COUNT(lines); i++)
        for (size_t n = 1; n < strlen(lines[i]); n++) {
            struct ear ear;
            ear_init(&ear);
            assert_false(ear_frame(&ear, L, STRV_NONE, (strv){lines[i], n}));
            assert_int_equal(ear.err.code, LLM_ERR_ALL_PROVIDERS_FAILED);
            assert_heard(&ear, "");
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
        {"{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\",\"thinking\":"
         "\"hm\"},"
         "\"done\":true,\"done_reason\":\"stop\",\"eval_count\":2}",
         "start(,l) reasoning(hm) text(Hi) finish(stop:stop) usage(out=2) end", true},
        {"{\"response\":\"x\",\"done\":true,\"done_reason\":\"length\"}",
         "start(,) text(x) finish(length:length) usage() end", true},
        {"{\"error\":\"boom\"}", "error(500,boom)", true},
        {"{\"response\":\"x\",\"done\":false}", "start(,) text(x)", false},
        {"{\"response\":\"x\"}", "start(,) text(x)", false},
        {"{}", "start(,)", false},
        {"null", "", false},
        {"", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        ear_init(&ear);
        assert_int_equal(L->decode_reply(&ear.in, strv_of(rows[i].body), &ear.err), rows[i].ok);
        assert_heard(&ear, rows[i].heard);
        assert_int_equal(ear.err.set, !rows[i].ok);
        ear_fini(&ear);
    }
}

/* What callers are told, read back by our own reader of upstreams. */
static void what_is_written_reads_the_same(void **state)
{
    (void)state;
    for (int op = LLM_OP_CHAT; op <= LLM_OP_GENERATE; op++) {
        struct ear first, second, third;
        struct dialect_out st = fresh_out((enum llm_op)op), whole = st;
        struct buf out, body;
        ear_init(&first);
        ear_init(&second);
        ear_init(&third);
        assert_true(ear_stream(&first, L, strv_of(streams[0].stream)));
        char *text = reply_text(&first.reply, LLM_PART_TEXT);
        const struct llm_event events[] = {
            {.kind = LLM_EV_START},
            {.kind = LLM_EV_REASONING, .text = STRV("hm")},
            {.kind = LLM_EV_TEXT, .text = strv_of(text)},
            {.kind = LLM_EV_FINISH, .finish = first.reply.finish},
            {.kind = LLM_EV_USAGE, .usage = first.reply.usage},
            {.kind = LLM_EV_END},
        };
        put_events(&st, events, COUNT(events), &out);
        assert_true(ear_stream(&second, L, buf_view(&out)));
        assert_heard(&second, "start(,m) reasoning(hm) text(Hello) finish(stop:stop) "
                              "usage(in=26,out=298,load_ns=1,in_ns=2,out_ns=3,total_ns=6) end");
        buf_init(&body, MIB);
        assert_true(L->encode_reply(&whole, &second.reply, &body));
        assert_true(L->decode_reply(&third.in, buf_view(&body), &third.err));
        assert_string_equal(trace_text(&third.trace), trace_text(&second.trace));
        free(text);
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
        struct dialect_out st = fresh_out(LLM_OP_CHAT);
        struct buf out;
        ear_init(&ear);
        buf_init(&out, MIB);
        assert_non_null(buf_reserve(&ear.trace.text, 4096)); /* the ear is not what is tested */
        mem_fail_at(n, true);
        done = ear_stream(&ear, L, strv_of(streams[0].stream)) && ear.reply.ended &&
               L->encode_reply(&st, &ear.reply, &out);
        mem_fail_at(0, false);
        ear_fini(&ear);
        buf_fini(&out);
        assert_int_equal(mem_live(), live);
    }
}

static void errors_are_understood(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        bool too_long, missing;
    } rows[] = {
        {404, "{\"error\":\"model 'x' not found\"}", false, true},
        {404, "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}", false, true},
        {404, "404 page not found", false, false},
        {400, "{\"error\":\"the input length exceeds the context length\"}", true, false},
        {503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
         false, false},
        {403, "", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dialect_failure what;
        struct arena arena;
        arena_init(&arena, 4096, MIB);
        L->decode_error(rows[i].status, strv_of(rows[i].body), &arena, &what);
        assert_int_equal(what.context_too_long, rows[i].too_long);
        assert_int_equal(what.model_missing, rows[i].missing);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_canonical),
        cmocka_unit_test(tools_pictures_and_forms_are_read),
        cmocka_unit_test(texts_to_embed_are_inputs_and_parts),
        cmocka_unit_test(a_wrong_request_names_its_field),
        cmocka_unit_test(a_request_cut_anywhere_is_refused),
        cmocka_unit_test(a_request_survives_every_refusal_of_memory),
        cmocka_unit_test(the_same_dialect_passes_bytes_as_they_came),
        cmocka_unit_test(another_dialect_is_translated),
        cmocka_unit_test(trap_4_11_12_13_17_30_tools_are_translated),
        cmocka_unit_test(trap_14_15_ids_and_names_are_mapped_alike_everywhere),
        cmocka_unit_test(a_choice_becomes_what_comes_nearest),
        cmocka_unit_test(parts_find_their_place),
        cmocka_unit_test(thinking_goes_by_what_the_model_takes),
        cmocka_unit_test(trap_28_29_what_the_target_needs_is_edited_in),
        cmocka_unit_test(a_prompt_becomes_a_conversation_elsewhere),
        cmocka_unit_test(what_is_translated_back_reads_the_same),
        cmocka_unit_test(a_conversation_survives_another_dialect),
        cmocka_unit_test(a_stream_is_written_line_by_line),
        cmocka_unit_test(trap_2_3_4_a_call_is_one_line_when_it_is_complete),
        cmocka_unit_test(vectors_are_written_as_they_were),
        cmocka_unit_test(letters_that_end_lines_elsewhere_are_escaped),
        cmocka_unit_test(the_six_figures_are_always_there),
        cmocka_unit_test(trap_33_an_end_without_a_reason_is_not_written),
        cmocka_unit_test(an_error_is_the_last_line),
        cmocka_unit_test(a_whole_answer_is_one_object),
        cmocka_unit_test(a_stream_becomes_events),
        cmocka_unit_test(ut_9_to_22_flaws_are_marked),
        cmocka_unit_test(ut_21_a_stream_without_its_last_line_does_not_end),
        cmocka_unit_test(vectors_become_events),
        cmocka_unit_test(trap_5_an_empty_list_of_calls_hides_no_text),
        cmocka_unit_test(a_listener_that_refuses_is_asked_no_more),
        cmocka_unit_test(a_line_cut_anywhere_is_refused),
        cmocka_unit_test(a_whole_answer_becomes_the_same_events),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(an_answer_survives_every_refusal_of_memory),
        cmocka_unit_test(errors_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
