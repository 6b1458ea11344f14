/* SPDX-License-Identifier: Apache-2.0 */
/* anthropic_test - answers, both ways; the numbers of traps are those of translators' known bugs. */
#include "dialect/anthropic_test.h"

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
        {.kind = LLM_EV_TEXT, .text = STRV("")},
        {.kind = LLM_EV_TEXT, .text = STRV("Hal\"lo")}, /* trap 6: the first piece, too */
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
        "\"cache_read_input_tokens\":20,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3,"
        "\"ephemeral_1h_input_tokens\":0},\"output_tokens\":4,\"output_tokens_details\":"
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
        {.kind = LLM_EV_REASONING, .text = STRV("")},
        {.kind = LLM_EV_TEXT, .text = STRV("")},
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
        {LLM_ERR_UNSUPPORTED,
         STRV("not kept"),
         STRV("thread"),
         {NULL, 0},
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"thread: not kept\",\"details\":{\"error_code\":\"thread_unsupported_request\","
         "\"unsupported\":[\"thread\"]}},\"request_id\":null}"},
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
     "start(i,u) usage() reasoning(hm) signature(EqQ) reasoning(x) text(a)", true},
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
    {"tool_use without a call", FINISH("\"tool_use\"", "null"), "start(,) finish(calls:tool_use)",
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
     "start(i,u) usage() call(0,t,n)", true},
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
         "start(msg_01,c) reasoning(hm) signature(s) text(a) text(b) finish(stop:end_turn) "
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
        {"75-messages-tools-forced",
         " call(0,0qZs9A1TCvsH8yUtJ7iDADyJ0CpSJPOO,get_weather) "
         "args(0,{\"city\":\"Oslo\",\"days\":3}) "
         "call_end(0) finish(calls:tool_use) usage(in=394,out=73,cached=0) end",
         0, false, true},
        {"76-messages-tools-forced-stream",
         " args(0,3) args(0,}) call_end(0) finish(calls:tool_use) usage(in=394,out=73,cached=393) "
         "end",
         0, true, true},
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
        cmocka_unit_test(recorded_errors_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
