/* SPDX-License-Identifier: Apache-2.0 */
/* openai: answers of upstreams as events, events as answers for callers. Numbers in names and comments
 * are the traps that other translators fell into (each has a test here or beside its own file). */
#include "dialect/testing.h"

static struct arena arena;
static struct trace trace;
static struct buf out;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 16 << 20);
    trace_init(&trace);
    buf_init(&out, 1 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    trace_fini(&trace);
    buf_fini(&out);
    return 0;
}

/* ---- streams ---- */

static struct dialect_in new_in(void)
{
    buf_clear(&trace.text);
    trace.events = trace.refuse_from = 0;
    return (struct dialect_in){.emit = trace_emit, .arg = &trace, .scratch = &arena};
}

static bool feed(struct dialect_in *in, strv data, struct err *err)
{
    /* A copy of exact size, so that ASan sees a read behind the end. */
    char *copy = malloc(data.len > 0 ? data.len : 1);
    assert_non_null(copy);
    memcpy(copy, data.ptr, data.len);
    bool ok = dialect_openai.decode_frame(in, STRV_NONE, (strv){copy, data.len}, err);
    free(copy);
    arena_reset(&arena);
    return ok;
}

/* The events of a stream of frames; "FAIL why" is added when one is refused. */
static const char *stream(const char *const *frames)
{
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    for (; *frames != NULL; frames++) {
        if (!feed(&in, strv_of(*frames), &err)) {
            assert_true(err.set);
            buf_printf(&trace.text, " FAIL %s", err.text);
            break;
        }
    }
    return trace_text(&trace);
}
#define STREAM(...) stream((const char *const[]){__VA_ARGS__, NULL})

#define HEAD(rest)                                                                                 \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," rest "}"
#define DELTA(delta) HEAD("\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]")
#define FINISH(word) HEAD("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" word "\"}]")
#define MALFORMED    "FAIL the provider's answer is malformed: "

static void a_stream_becomes_events(void **state)
{
    (void)state;
    assert_string_equal(
        STREAM(DELTA("{\"role\":\"assistant\",\"content\":\"\"}"), DELTA("{\"content\":\"Hel\"}"),
               DELTA("{\"content\":\"lo\"}"), FINISH("stop"),
               HEAD("\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,"
                    "\"total_tokens\":25,\"prompt_tokens_details\":{\"cached_tokens\":16,"
                    "\"cache_write_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":"
                    "1}}"),
               "[DONE]"),
        "start(c1,m) text(Hel) text(lo) finish(stop:stop) "
        "usage(in=20,out=5,cached=16,write=2,reasoning=1) end");
}

static void finish_reasons_have_words(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *expected;
    } cases[] = {
        {FINISH("stop"), "start(c1,m) finish(stop:stop)"},
        {FINISH("length"), "start(c1,m) finish(length:length)"},
        {FINISH("content_filter"), "start(c1,m) finish(filter:content_filter)"},
        {FINISH("eos"), "start(c1,m) finish(stop:eos)"},
        {FINISH("sunset"), "start(c1,m) finish(other:sunset)"},
        /* no call was seen: the model was done (translation.md 5) */
        {FINISH("tool_calls"), "start(c1,m) finish(stop:tool_calls)"},
        {FINISH(""), "start(c1,m)"},
        {FINISH("abort"), "start(c1,m) " MALFORMED "it was given up by the provider"},
        {HEAD("\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]"),
         "start(c1,m) text(x) finish(stop:stop)"},
        {HEAD("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"END\"}]"),
         "start(c1,m) finish(stop_sequence:stop,END)"},
        {HEAD("\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":128009}]"),
         "start(c1,m) finish(stop:stop)"},
        {HEAD("\"choices\":[{\"delta\":{},\"finish_reason\":7}]"),
         "start(c1,m) " MALFORMED "finish_reason is not a string"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(STREAM(cases[i].frame), cases[i].expected);
}

static void trap_5_an_empty_list_of_calls_hides_no_text(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"content\":\"a\",\"tool_calls\":[]}"),
                               DELTA("{\"content\":\"b\",\"tool_calls\":null}")),
                        "start(c1,m) text(a) text(b)");
}

static void a_call_that_nobody_offered_is_malformed(void **state)
{
    (void)state;
    const char *why = "start(c1,m) " MALFORMED "it calls a tool though none was offered";
    assert_string_equal(STREAM(DELTA("{\"tool_calls\":[{\"index\":0,\"function\":{}}]}")), why);
    assert_string_equal(STREAM(DELTA("{\"function_call\":{\"name\":\"f\"}}")), why);
}

static void trap_6_text_in_the_first_delta_is_not_lost(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"role\":\"assistant\",\"content\":\"Hel\"}")),
                        "start(c1,m) text(Hel)");
}

static void trap_19_reasoning_has_two_names(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"reasoning_content\":\"a\"}"),
                               DELTA("{\"reasoning\":\"b\"}"),
                               DELTA("{\"reasoning_content\":\"\",\"reasoning\":\"c\"}"),
                               DELTA("{\"reasoning_content\":\"d\",\"reasoning\":\"d\"}"),
                               DELTA("{\"reasoning_content\":null,\"content\":\"e\"}")),
                        "start(c1,m) reasoning(a) reasoning(b) reasoning(c) reasoning(d) text(e)");
}

static void trap_25_a_chunk_without_choices_is_harmless(void **state)
{
    (void)state;
    assert_string_equal(STREAM(HEAD("\"choices\":[]"), HEAD("\"x\":1"), HEAD("\"choices\":null"),
                               HEAD("\"usage\":{\"prompt_tokens\":1}"), HEAD("\"usage\":{}"),
                               HEAD("\"usage\":null")),
                        "start(c1,m) usage(in=1)");
}

static void trap_33_done_without_a_finish_reason_is_no_end(void **state)
{
    (void)state;
    const char *why = MALFORMED "it ended without a finish_reason";
    assert_string_equal(strstr(STREAM("[DONE]"), "FAIL"), why);
    assert_string_equal(strstr(STREAM(DELTA("{\"content\":\"a\"}"), "[DONE]"), "FAIL"), why);
    /* one of two choices is still open */
    assert_string_equal(
        strstr(STREAM(FINISH("stop"),
                      HEAD("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]"), "[DONE]"),
               "FAIL"),
        why);
}

static void trap_36_done_after_an_error_is_no_success(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"content\":\"a\"}"), FINISH("stop"),
                               "{\"error\":{\"message\":\"engine "
                               "died\",\"type\":\"InternalServerError\",\"code\":500}}",
                               "[DONE]", DELTA("{\"content\":\"b\"}"), "rubbish"),
                        "start(c1,m) text(a) finish(stop:stop) error(500,engine died)");
}

static void errors_come_in_many_envelopes(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *expected;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\",\"code\":429}}", "error(429,m)"},
        {"{\"error\":{\"message\":\"m\",\"code\":\"503\"}}", "error(503,m)"},
        {"{\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\"}}", "error(400,m)"},
        {"{\"error\":{\"message\":\"m\",\"type\":\"overloaded_error\",\"code\":null}}",
         "error(529,m)"},
        {"{\"error\":{\"message\":\"m\",\"code\":7}}", "error(500,m)"},
        {"{\"error\":\"m\"}", "error(500,m)"},
        {"{\"error\":{}}", "error(500,)"},
        {"{\"error\":[1]}", "error(500,)"},
        {"{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}",
         "error(400,m)"},
        {"{\"type\":\"error\",\"code\":null,\"message\":\"m\",\"sequence_number\":1}",
         "error(500,m)"},
        {"{\"error\":null}", "start(,)"},
        {"{\"error\":false}", "start(,)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(STREAM(cases[i].frame), cases[i].expected);
}

static void what_is_no_chunk_is_refused(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "hello",
        "[]",
        "7",
        "null",
        "{",
        "\"[DONE]\"",
        HEAD("\"choices\":{}"),
        HEAD("\"choices\":[1]"),
        HEAD("\"choices\":[{\"index\":-1}]"),
        HEAD("\"choices\":[{\"index\":128}]"),
        HEAD("\"choices\":[{\"index\":\"0\"}]"),
        HEAD("\"choices\":[{\"delta\":[]}]"),
        DELTA("{\"content\":7}"),
        DELTA("{\"content\":[]}"),
        DELTA("{\"reasoning\":{}}"),
        "{\"id\":\"\xff\"}",
    };
    for (size_t i = 0; i < COUNT(frames); i++)
        assert_non_null(strstr(STREAM(frames[i]), "FAIL"));
}

static void empty_frames_and_blanks_are_harmless(void **state)
{
    (void)state;
    assert_string_equal(
        STREAM("", DELTA("{\"content\":\"a\"}") "\r", " ", FINISH("stop"), " [DONE] "),
        "start(c1,m) text(a) finish(stop:stop) end");
}

static void choices_keep_their_index(void **state)
{
    (void)state;
    assert_string_equal(
        STREAM(
            HEAD("\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},{\"index\":0,\"delta\":"
                 "{\"content\":\"a\"}}]"),
            HEAD("\"choices\":[{\"index\":127,\"delta\":{},\"finish_reason\":\"stop\"}]"),
            HEAD("\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]"),
            HEAD("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"),
            HEAD("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"), "[DONE]"),
        "start(c1,m) text(1:b) text(a) finish(127:stop:stop) finish(1:length:length) "
        "finish(stop:stop) end");
}

static void timings_stand_in_for_usage(void **state)
{
    (void)state;
    assert_string_equal(
        STREAM(HEAD("\"timings\":{\"cache_n\":23,\"prompt_n\":1,\"prompt_ms\":0.187,"
                    "\"predicted_n\":12,\"predicted_ms\":1.247}")),
        "start(c1,m) usage(in=24,out=12,cached=23,in_ns=187000,out_ns=1247000)");
    assert_string_equal(
        STREAM(HEAD("\"usage\":{\"prompt_tokens\":-3,\"completion_tokens\":1e30},\"timings\":{"
                    "\"prompt_ms\":-1,\"predicted_ms\":\"x\",\"cache_n\":true}")),
        "start(c1,m)");
}

static void a_receiver_that_stops_is_not_called_again(void **state)
{
    (void)state;
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    trace.refuse_from = 1;
    assert_true(feed(&in, STRV(HEAD("\"choices\":[{\"delta\":{\"content\":\"a\"}}]")), &err));
    assert_string_equal(trace_text(&trace), "start(c1,m)");
    assert_false(err.set);
}

/* ---- whole bodies ---- */

static const char *reply(const char *body)
{
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    if (!dialect_openai.decode_reply(&in, strv_of(body), &err))
        buf_printf(&trace.text, " FAIL %s", err.text);
    arena_reset(&arena);
    return trace_text(&trace);
}

static void a_whole_body_becomes_the_same_events(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {HEAD("\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello\","
              "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
              "\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"
              "\"prompt_tokens_details\":null}"),
         "start(c1,m) text(Hello) finish(stop:stop) usage(in=20,out=5) end"},
        /* reasoning that used up max_tokens */
        {HEAD("\"choices\":[{\"message\":{\"content\":null,\"reasoning\":\"hm\"},\"finish_reason\":"
              "\"length\"}]"),
         "start(c1,m) reasoning(hm) finish(length:length) end"},
        {HEAD("\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":"
              "\"stop\"}]"),
         "start(c1,m) text(no) finish(stop:stop) end"},
        /* not known to be complete: no end */
        {HEAD("\"choices\":[{\"message\":{\"content\":\"x\"}}]"), "start(c1,m) text(x)"},
        {"{\"choices\":[{\"message\":{\"content\":\"x\",\"tool_calls\":null},\"finish_reason\":"
         "\"stop\"}]}",
         "start(,) text(x) finish(stop:stop) end"},
        {"{\"error\":{\"message\":\"m\",\"code\":500}}", "error(500,m)"},
        {HEAD("\"choices\":[]"), " " MALFORMED "no choice, or an empty one"},
        {HEAD("\"choices\":[{\"message\":{\"content\":null}}]"),
         " " MALFORMED "no choice, or an empty one"},
        {HEAD("\"choices\":[{\"message\":{\"content\":\"\",\"tool_calls\":[{}]},\"finish_reason\":"
              "\"tool_calls\"}]"),
         "start(c1,m) " MALFORMED "it calls a tool though none was offered"},
        {"[]", " " MALFORMED "not a JSON object"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(reply(cases[i].body), cases[i].expected);
}

/* ---- recorded ---- */

static void recorded_streams_of_llama_server(void **state)
{
    (void)state;
    static const struct {
        const char *name, *begin, *end;
        unsigned texts;
    } cases[] = {
        {"07-chat-stream", "start(chatcmpl-",
         "text(\xef\xbf\xbd) finish(length:length) "
         "usage(in=24,out=12,cached=23,in_ns=187000,out_ns=1247000) end",
         12},
        {"08-chat-stream-usage", "start(chatcmpl-",
         "text(\xef\xbf\xbd) finish(length:length) "
         "usage(in=24,out=12,cached=23,in_ns=181000,out_ns=1462000) end",
         12},
        {"34-json-schema-stream", "start(chatcmpl-", " end", 0},
        {"77-chat-empty-stream", "start(chatcmpl-",
         "tiny-random) finish(stop:stop) "
         "usage(in=24,out=1,cached=0,in_ns=231740000,out_ns=1000) end",
         0},
        {"27-tools-required-stream", "start(chatcmpl-", "though none was offered", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[96];
        size_t len;
        int status;
        snprintf(name, sizeof name, "llama-server/%s.response", cases[i].name);
        char *response = data_read(name, &len);
        strv body = data_body(response, len, &status), event, data;
        assert_int_equal(status, 200);
        struct dialect_in in = new_in();
        struct err err = ERR_INIT;
        bool ok = true;
        while (ok && data_event(&body, &event, &data))
            ok = feed(&in, data, &err);
        if (!ok)
            buf_put_cstr(&trace.text, err.text);
        strv text = strv_of(trace_text(&trace));
        assert_true(strv_starts(text, strv_of(cases[i].begin)));
        if (!strv_ends(text, strv_of(cases[i].end)))
            fail_msg("%s: %s", cases[i].name, text.ptr);
        unsigned texts = 0;
        for (const char *p = text.ptr; (p = strstr(p, " text(")) != NULL; p++)
            texts++;
        if (cases[i].texts > 0)
            assert_int_equal(texts, cases[i].texts);
        free(response);
    }
}

static void recorded_replies_of_llama_server(void **state)
{
    (void)state;
    static const struct {
        const char *name, *end;
    } cases[] = {
        {"06-chat",
         "finish(length:length) usage(in=24,out=12,cached=0,in_ns=1000000,out_ns=901000) end"},
        {"09-chat-logprobs", " end"},
        {"10-chat-n2", " end"},
        {"11-chat-stop", "text(one ) finish(stop:stop) "
                         "usage(in=24,out=6,cached=23,in_ns=200000,out_ns=475000) end"},
        {"12-chat-eos", " end"},
        {"24-tools-required-rambling", " end"},
        {"25-tools-truncated", " end"},
        {"26-tools-required", "though none was offered"},
        {"28-tools-named", " end"},
        {"29-tools-auto", " end"},
        {"30-tools-parallel", "though none was offered"},
        {"31-tools-result-turn", " end"},
        {"33-json-schema", " end"},
        {"35-json-schema-truncated", " end"},
        {"36-json-object", " end"},
        {"44-err-unknown-model", " end"},
        {"54-context-full", "usage(in=999,out=25,cached=11,in_ns=27813000,out_ns=12149000) end"},
        {"67-key-right", " end"},
        {"81-plain-template-tools", " end"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[96];
        size_t len;
        int status;
        snprintf(name, sizeof name, "llama-server/%s.response", cases[i].name);
        char *response = data_read(name, &len);
        strv body = data_body(response, len, &status);
        assert_int_equal(status, 200);
        response[len] = '\0';
        strv text = strv_of(reply(body.ptr));
        if (!strv_starts(text, STRV("start(chatcmpl-")) || !strv_ends(text, strv_of(cases[i].end)))
            fail_msg("%s: %s", cases[i].name, text.ptr);
        free(response);
    }
}

/* ---- answers for a caller ---- */

static const char *text_of(struct buf *b)
{
    assert_true(buf_put_char(b, '\0'));
    b->end--;
    return b->data + b->start;
}

static struct dialect_out new_out(bool include_usage)
{
    buf_clear(&out);
    return (struct dialect_out){.id = STRV("chatcmpl-1"),
                                .model = STRV("qwen \"3\""),
                                .created_us = 1795359600123456,
                                .include_usage = include_usage,
                                .input_estimate = 11};
}

static void put(struct dialect_out *st, struct llm_event ev)
{
    assert_true(dialect_openai.encode_event(st, &ev, &out));
}

#define EV_START                                                                                   \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_START, .text = STRV("up")                                                   \
    }
#define EV_TEXT(t)                                                                                 \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_TEXT, .text = STRV(t)                                                       \
    }
#define EV_THINK(t)                                                                                \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_REASONING, .text = STRV(t)                                                  \
    }
#define EV_FINISH(f)                                                                               \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_FINISH, .finish = (f)                                                       \
    }
#define EV_USAGE(...)                                                                              \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_USAGE, .usage = { __VA_ARGS__ }                                             \
    }
#define EV_END                                                                                     \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_END                                                                         \
    }

#define OUT_HEAD                                                                                   \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795359600,"    \
    "\"model\":\"qwen \\\"3\\\"\",\"choices\":["
#define OUT_ROLE                                                                                   \
    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]"

static void a_stream_looks_as_openais(void **state)
{
    (void)state;
    struct dialect_out st = new_out(true);
    put(&st, EV_START);
    put(&st, EV_THINK("hm"));
    put(&st, EV_TEXT("He\"l"));
    put(&st, EV_FINISH(LLM_FINISH_STOP_SEQUENCE));
    put(&st, EV_USAGE(20, 5, 16, -1, -1, -1, -1, -1, -1));
    put(&st, EV_END);
    put(&st, EV_END); /* once */
    assert_string_equal(
        text_of(&out), OUT_HEAD OUT_ROLE
        ",\"usage\":null}\n\n" OUT_HEAD "{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"},"
        "\"finish_reason\":null}],\"usage\":null}\n\n" OUT_HEAD
        "{\"index\":0,\"delta\":{\"content\":\"He\\\"l\"},\"finish_reason\":null}],"
        "\"usage\":null}\n\n" OUT_HEAD
        "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n" OUT_HEAD
        "],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"
        "\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\ndata: [DONE]\n\n");
}

static void trap_25_usage_is_not_sent_unasked(void **state)
{
    (void)state;
    struct dialect_out st = new_out(false);
    put(&st, EV_START);
    put(&st, EV_FINISH(LLM_FINISH_LENGTH));
    put(&st, EV_USAGE(20, 5, 16, -1, -1, -1, -1, -1, -1));
    put(&st, EV_END);
    assert_string_equal(
        text_of(&out), OUT_HEAD OUT_ROLE
        "}\n\n" OUT_HEAD
        "{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n");
}

static void usage_that_nobody_told_is_estimated_when_asked_for(void **state)
{
    (void)state;
    struct dialect_out st = new_out(true);
    put(&st, EV_START);
    put(&st, EV_TEXT("0123456789abcdef"));
    put(&st, EV_FINISH(LLM_FINISH_STOP));
    put(&st, EV_END);
    assert_non_null(strstr(text_of(&out), "{\"prompt_tokens\":11,\"completion_tokens\":4,"
                                          "\"total_tokens\":15}"));
}

static void a_model_name_of_any_length_fits(void **state)
{
    (void)state;
    char name[600];
    memset(name, 'm', sizeof name);
    struct dialect_out st = new_out(false);
    st.model = (strv){name, sizeof name};
    put(&st, EV_START);
    put(&st, EV_TEXT("a"));
    assert_int_equal(st.fixed_len, 0);
    assert_non_null(strstr(text_of(&out), "{\"content\":\"a\"}"));
    assert_true(buf_len(&out) > 2 * sizeof name);
}

static void choices_go_out_under_their_index(void **state)
{
    (void)state;
    struct dialect_out st = new_out(false);
    put(&st, EV_START);
    buf_clear(&out);
    put(&st, (struct llm_event){.kind = LLM_EV_TEXT, .choice = 3, .text = STRV("x")});
    put(&st, (struct llm_event){.kind = LLM_EV_FINISH, .choice = 3, .finish = LLM_FINISH_FILTER});
    assert_string_equal(
        text_of(&out),
        OUT_HEAD "{\"index\":3,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n" OUT_HEAD
                 "{\"index\":3,\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n");
}

static void a_failed_stream_ends_with_the_error(void **state)
{
    (void)state;
    struct dialect_out st = new_out(false);
    put(&st, (struct llm_event){.kind = LLM_EV_PING});
    put(&st, (struct llm_event){.kind = LLM_EV_ERROR, .text = STRV("secret upstream text")});
    assert_int_equal(buf_len(&out), 0);
    dialect_openai.stream_error(&st, LLM_ERR_UPSTREAM_CUT, STRV("it \"broke\" off"), STRV("r1"),
                                &out);
    assert_string_equal(text_of(&out),
                        "data: {\"error\":{\"message\":\"it \\\"broke\\\" off\",\"type\":"
                        "\"api_error\",\"param\":null,\"code\":\"upstream_cut\"}}\n\n");
    size_t len = buf_len(&out);
    put(&st, EV_END);
    put(&st, EV_TEXT("late"));
    assert_int_equal(buf_len(&out), len);
}

static void an_error_names_the_field(void **state)
{
    (void)state;
    buf_clear(&out);
    dialect_openai.encode_error(LLM_ERR_INVALID_REQUEST, STRV("n: must be 1"), STRV("n"),
                                STRV("r1"), &out);
    assert_string_equal(text_of(&out), "{\"error\":{\"message\":\"n: must be 1\",\"type\":"
                                       "\"invalid_request_error\",\"param\":\"n\",\"code\":null}}");
    buf_clear(&out);
    dialect_openai.encode_error(LLM_ERR_MODEL_NOT_FOUND, STRV("cut \xc3"), STRV_NONE, STRV_NONE,
                                &out);
    assert_string_equal(text_of(&out), "{\"error\":{\"message\":\"cut \",\"type\":"
                                       "\"invalid_request_error\",\"param\":null,\"code\":"
                                       "\"model_not_found\"}}");
    buf_clear(&out);
    dialect_openai.encode_error(ERR_CODE_OOM, STRV_NONE, STRV_NONE, STRV_NONE, &out);
    assert_non_null(strstr(text_of(&out), "\"internal_error\""));
}

static void a_reply_pleases_strict_clients(void **state)
{
    (void)state;
    struct llm_reply r;
    struct dialect_out st = new_out(false);
    llm_reply_init(&r, 1 << 16);
    r.finish = LLM_FINISH_STOP;
    assert_true(dialect_openai.encode_reply(&st, &r, &out));
    /* content is never null (UT-02), usage left out and not null (UT-04) */
    assert_string_equal(
        text_of(&out),
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1795359600,\"model\":"
        "\"qwen "
        "\\\"3\\\"\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
    reply_put(&r, LLM_EV_TEXT, "Hi\n");
    reply_put(&r, LLM_EV_REASONING, "hm");
    r.usage.input = 3;
    r.usage.output = 2;
    r.usage.reasoning = 1;
    r.finish = LLM_FINISH_LENGTH;
    buf_clear(&out);
    assert_true(dialect_openai.encode_reply(&st, &r, &out));
    assert_non_null(
        strstr(text_of(&out),
               "\"content\":\"Hi\\n\",\"reasoning_content\":\"hm\",\"refusal\":null},\"logprobs\":"
               "null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,"
               "\"completion_tokens\":2,\"total_tokens\":5,\"completion_tokens_details\":{"
               "\"reasoning_tokens\":1}}}"));
    llm_reply_fini(&r);
}

/* What we send, we also read: the same events come back. */
static void what_is_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    struct dialect_out st = new_out(true);
    st.model = STRV("m");
    put(&st, EV_START);
    put(&st, EV_THINK("a\"\\\n"));
    put(&st, EV_TEXT("b\xf0\x9f\x98\x80"));
    put(&st, (struct llm_event){.kind = LLM_EV_TEXT, .text = {"\0", 1}});
    put(&st, EV_FINISH(LLM_FINISH_LENGTH));
    put(&st, EV_USAGE(9, 8, 7, 6, 5, -1, -1, -1, -1));
    put(&st, EV_END);
    strv bytes = buf_view(&out), name, data;
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    while (data_event(&bytes, &name, &data))
        assert_true(feed(&in, data, &err));
    static const char expected[] = "start(chatcmpl-1,m) reasoning(a\"\\\n) text(b\xf0\x9f\x98\x80) "
                                   "text() finish(length:length) "
                                   "usage(in=9,out=8,cached=7,write=6,reasoning=5) end";
    /* printf of the trace ends the NUL's text at once */
    assert_string_equal(trace_text(&trace), expected);
}

static void ids_are_random(void **state)
{
    (void)state;
    struct rng rng;
    char a[64], b[64];
    rng_seed(&rng, 1);
    dialect_openai.make_id(&rng, a);
    dialect_openai.make_id(&rng, b);
    assert_true(strv_starts(strv_of(a), STRV("chatcmpl-")));
    assert_int_equal(strlen(a), 38);
    assert_string_not_equal(a, b);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    static const char frame[] = DELTA("{\"content\":\"a\"}");
    struct err err = ERR_INIT;
    arena_fini(&arena);
    struct dialect_in in = new_in();
    mem_fail_at(1, true);
    bool ok = dialect_openai.decode_frame(&in, STRV_NONE, STRV(frame), &err);
    mem_fail_at(0, false);
    assert_false(ok);
    assert_int_equal(err.code, ERR_CODE_OOM);
    buf_fini(&out);
    struct dialect_out st = new_out(true);
    mem_fail_at(1, true);
    ok = dialect_openai.encode_event(&st, &EV_START, &out);
    mem_fail_at(0, false);
    assert_false(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_becomes_events),
        cmocka_unit_test(finish_reasons_have_words),
        cmocka_unit_test(trap_5_an_empty_list_of_calls_hides_no_text),
        cmocka_unit_test(a_call_that_nobody_offered_is_malformed),
        cmocka_unit_test(trap_6_text_in_the_first_delta_is_not_lost),
        cmocka_unit_test(trap_19_reasoning_has_two_names),
        cmocka_unit_test(trap_25_a_chunk_without_choices_is_harmless),
        cmocka_unit_test(trap_33_done_without_a_finish_reason_is_no_end),
        cmocka_unit_test(trap_36_done_after_an_error_is_no_success),
        cmocka_unit_test(errors_come_in_many_envelopes),
        cmocka_unit_test(what_is_no_chunk_is_refused),
        cmocka_unit_test(empty_frames_and_blanks_are_harmless),
        cmocka_unit_test(choices_keep_their_index),
        cmocka_unit_test(timings_stand_in_for_usage),
        cmocka_unit_test(a_receiver_that_stops_is_not_called_again),
        cmocka_unit_test(a_whole_body_becomes_the_same_events),
        cmocka_unit_test(recorded_streams_of_llama_server),
        cmocka_unit_test(recorded_replies_of_llama_server),
        cmocka_unit_test(a_stream_looks_as_openais),
        cmocka_unit_test(trap_25_usage_is_not_sent_unasked),
        cmocka_unit_test(usage_that_nobody_told_is_estimated_when_asked_for),
        cmocka_unit_test(a_model_name_of_any_length_fits),
        cmocka_unit_test(choices_go_out_under_their_index),
        cmocka_unit_test(a_failed_stream_ends_with_the_error),
        cmocka_unit_test(an_error_names_the_field),
        cmocka_unit_test(a_reply_pleases_strict_clients),
        cmocka_unit_test(what_is_encoded_decodes_to_the_same),
        cmocka_unit_test(ids_are_random),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
