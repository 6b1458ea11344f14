/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_blocks_test - calls, thinking and their blocks in streams, both ways, with the checker of legal
 * streams as judge of what is written. Numbers of traps are those of translators' known bugs.
 */
#include "dialect/anthropic_test.h"

/* One frame a line, ` for quotation marks; the event's name is the line's type. */
static bool feed(struct ear *ear, const char *lines)
{
    char *text = quoted(lines);
    strv rest = strv_of(text), line;
    bool ok = true;
    while (ok && strv_cut(&rest, '\n', &line)) {
        strv name = strv_from(line, strlen("{\"type\":\"")), type;
        assert_true(strv_cut(&name, '"', &type));
        ok = ear_frame(ear, A, type, line);
    }
    free(text);
    return ok;
}

/* passed: some of it are an upstream's own bytes, whose form is not ours. */
static void assert_legal(strv stream, bool passed)
{
    struct dialect_check check;
    struct arena scratch;
    strv name, data;
    arena_init(&scratch, 4096, MIB);
    dialect_check_init(&check, LLM_ANTHROPIC, LLM_OP_CHAT);
    check.passed = passed;
    while (data_event(&stream, &name, &data)) {
        if (!dialect_check_frame(&check, name, data, &scratch))
            fail_msg("%s: " STRV_FMT, check.broken, STRV_ARG(data));
        arena_reset(&scratch);
    }
    if (!dialect_check_end(&check, true))
        fail_msg("%s", check.broken);
    arena_fini(&scratch);
}

static struct dialect_out fresh_out(void)
{
    return (struct dialect_out){.id = STRV("msg_1"), .model = STRV("m"), .input_estimate = 9};
}

static void write_all(const struct llm_event *events, size_t n, struct buf *out)
{
    struct dialect_out st = fresh_out();
    buf_init(out, MIB);
    for (size_t i = 0; i < n; i++)
        assert_true(A->encode_event(&st, &events[i], out));
    assert_legal(buf_view(out), false);
}

#define START_FRAME                                                                                \
    "event: message_start\n"                                                                       \
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","        \
    "\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,"                  \
    "\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n"
#define START                                                                                      \
    "{`type`:`message_start`,`message`:{`id`:`msg_9`,`model`:`u`,`usage`:{`input_tokens`:5}}}\n"
#define TEXT(i)                                                                                    \
    "{`type`:`content_block_start`,`index`:" i ",`content_block`:{`type`:`text`,`text`:``}}\n"
#define THINK(i)                                                                                   \
    "{`type`:`content_block_start`,`index`:" i                                                     \
    ",`content_block`:{`type`:`thinking`,`thinking`:``,`signature`:``}}\n"
#define TOOL(i, id)                                                                                \
    "{`type`:`content_block_start`,`index`:" i ",`content_block`:{`type`:`tool_use`,`id`:`" id     \
    "`,`name`:`f`,`input`:{}}}\n"
#define DELTA(i, type, member, text)                                                               \
    "{`type`:`content_block_delta`,`index`:" i ",`delta`:{`type`:`" type "`,`" member "`:`" text   \
    "`}}\n"
#define SAYS(i, t)   DELTA(i, "text_delta", "text", t)
#define THINKS(i, t) DELTA(i, "thinking_delta", "thinking", t)
#define SIGNS(i, t)  DELTA(i, "signature_delta", "signature", t)
#define INPUT(i, t)  DELTA(i, "input_json_delta", "partial_json", t)
#define END(i)       "{`type`:`content_block_stop`,`index`:" i "}\n"
#define LAST(why)                                                                                  \
    "{`type`:`message_delta`,`delta`:{`stop_reason`:`" why "`},`usage`:{`output_tokens`:7}}\n"     \
    "{`type`:`message_stop`}"
#define HEARD_START  "start(msg_9,u) usage(in=5) "
#define HEARD_CALLED " finish(calls:tool_use) usage(in=5,out=7) end"
#define HEARD_STOP   " finish(stop:end_turn) usage(in=5,out=7) end"

static const struct {
    const char *name, *stream, *heard;
    bool flaw, ok;
} streams[] = {
    {"thinking, text, two calls",
     START THINK("0") THINKS("0", "hm") SIGNS("0", "S") END("0") TEXT("1") SAYS("1", "a") END("1")
         TOOL("2", "t1") INPUT("2", "") INPUT("2", "{}") END("2") TOOL("3", "t2")
             INPUT("3", "{\\`n\\`:1}") END("3") LAST("tool_use"),
     HEARD_START "reasoning(hm) signature(S) text(a) call(0,t1,f) args(0,{}) call_end(0) "
                 "call(1,t2,f) args(1,{\"n\":1}) call_end(1)" HEARD_CALLED,
     false, true},
    {"trap 20: thinking that is left out keeps its signature",
     START THINK("0") SIGNS("0", "S") END("0") TEXT("1") SAYS("1", "a") END("1") LAST("end_turn"),
     HEARD_START "signature(S) text(a)" HEARD_STOP, false, true},
    {"redacted thinking",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`redacted_thinking`,"
           "`data`:`R`}}\n" END("0") LAST("end_turn"),
     HEARD_START "reasoning(R)" HEARD_STOP, false, true},
    {"llama-server: thinking stays open under the text",
     START THINK("0") THINKS("0", "hm") TEXT("1") SAYS("1", "a") SIGNS("0", "") END("0")
         SAYS("1", "b") END("1") LAST("end_turn"),
     HEARD_START "reasoning(hm) text(a) text(b)" HEARD_STOP, true, true},
    {"a signature that comes too late is let go",
     START THINK("0") THINKS("0", "hm") TEXT("1") SAYS("1", "a") SIGNS("0", "S") END("0") END("1")
         LAST("end_turn"),
     HEARD_START "reasoning(hm) text(a)" HEARD_STOP, true, true},
    {"llama-server: all stops at the end",
     START TEXT("0") SAYS("0", "a") TOOL("1", "t1") INPUT("1", "{") TOOL("2", "t2") INPUT("2", "{")
         INPUT("1", "}") INPUT("2", "}") END("0") END("1") END("2") LAST("tool_use"),
     HEARD_START "text(a) call(0,t1,f) args(0,{) args(0,}) call_end(0) call(1,t2,f) args(1,{) "
                 "args(1,}) call_end(1)" HEARD_CALLED,
     true, true},
    {"calls woven into each other, and text",
     START TOOL("0", "t1") TOOL("1", "t2") TOOL("2", "t3") INPUT("2", "{\\`n\\`:2}")
         INPUT("1", "{\\`n\\`:1}") END("2") TEXT("3") SAYS("3", "x") INPUT("0", "{\\`n\\`:0}")
             END("1") END("3") END("0") LAST("tool_use"),
     HEARD_START
     "call(0,t1,f) args(0,{\"n\":0}) call_end(0) call(1,t2,f) args(1,{\"n\":1}) call_end(1) "
     "call(2,t3,f) args(2,{\"n\":2}) call_end(2) text(x)" HEARD_CALLED,
     true, true},
    {"no stop at all",
     START TEXT("0") SAYS("0", "a") TOOL("1", "t1") INPUT("1", "{}") LAST("tool_use"),
     HEARD_START "text(a) call(0,t1,f) args(0,{}) call_end(0)" HEARD_CALLED, true, true},
    {"trap 1: input in the start of the block",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`tool_use`,`id`:`t`,"
           "`name`:`f`,`input`:{`n`: 9007199254740993}}}\n" END("0") LAST("tool_use"),
     HEARD_START "call(0,t,f) args(0,{\"n\": 9007199254740993}) call_end(0)" HEARD_CALLED, true,
     true},
    {"trap 1: no input at all", START TOOL("0", "t") END("0") LAST("tool_use"),
     HEARD_START "call(0,t,f) call_end(0)" HEARD_CALLED, true, true},
    {"llama-server: a start without input",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`tool_use`,`id`:`t`,"
           "`name`:`f`}}\n" INPUT("0", "{}") END("0") LAST("tool_use"),
     HEARD_START "call(0,t,f) args(0,{}) call_end(0)" HEARD_CALLED, true, true},
    {"trap 4: input that is a text",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`tool_use`,`id`:`t`,"
           "`name`:`f`,`input`:`{\\`a\\`:1}`}}\n" END("0") LAST("tool_use"),
     HEARD_START "call(0,t,f) args(0,{\"a\":1}) call_end(0)" HEARD_CALLED, true, true},
    {"trap 8: an index with a gap", START TEXT("1") SAYS("1", "a") END("1") LAST("end_turn"),
     HEARD_START "text(a)" HEARD_STOP, true, true},
    {"trap 8: an index that comes again",
     START TOOL("0", "t1") INPUT("0", "{}") TOOL("0", "t2") INPUT("0", "{}") END("0")
         LAST("tool_use"),
     HEARD_START
     "call(0,t1,f) args(0,{}) call_end(0) call(1,t2,f) args(1,{}) call_end(1)" HEARD_CALLED,
     true, true},
    {"trap 9: kinds mixed in one block",
     START TEXT("0") THINKS("0", "hm") SAYS("0", "a") END("0") TOOL("1", "t") SAYS("1", "b")
         INPUT("1", "{}") END("1") LAST("tool_use"),
     HEARD_START "reasoning(hm) text(a) call(0,t,f) args(0,{}) call_end(0) text(b)" HEARD_CALLED,
     true, true},
    {"trap 10: a call behind an empty block of thinking",
     START THINK("0") END("0") TOOL("1", "t") INPUT("1", "{}") END("1") LAST("tool_use"),
     HEARD_START "call(0,t,f) args(0,{}) call_end(0)" HEARD_CALLED, false, true},
    {"the vendor's own tools are passed over",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`server_tool_use`,`id`:"
           "`s`,`name`:`web_search`,`input`:{}}}\n" INPUT("0", "{}") END("0") TEXT("1")
               SAYS("1", "a") END("1") LAST("end_turn"),
     HEARD_START "text(a)" HEARD_STOP, false, true},
    {"cut in the middle of a call",
     START TOOL("0", "t") INPUT("0", "{\\`a") END("0") LAST("max_tokens"),
     HEARD_START
     "call(0,t,f) args(0,{\"a) call_end(0) finish(length:max_tokens) usage(in=5,out=7) end",
     false, true},
    {"a stop for no block", START END("4") LAST("end_turn"),
     "start(msg_9,u) usage(in=5)" HEARD_STOP, true, true},
    {"input for no call", START TEXT("0") INPUT("0", "{}"), "start(msg_9,u) usage(in=5)", false,
     false},
    {"input for no block", START INPUT("0", "{}"), "start(msg_9,u) usage(in=5)", false, false},
    {"a call without a name",
     START "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`tool_use`,`id`:`t`}}",
     "start(msg_9,u) usage(in=5)", false, false},
};

static void traps_1_4_8_9_10_20_blocks_become_events_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        struct ear ear;
        ear_init(&ear);
        bool ok = feed(&ear, streams[i].stream);
        if (strcmp(trace_text(&ear.trace), streams[i].heard) != 0 || ear.in.flaw != streams[i].flaw)
            print_error("in: %s\n", streams[i].name);
        assert_heard(&ear, streams[i].heard);
        assert_int_equal(ok, streams[i].ok);
        if (ok)
            assert_int_equal(ear.in.flaw, streams[i].flaw);
        ear_fini(&ear);
    }
}

/* What the exchange does, in small: frames go on as they came until one has a flaw. */
struct passing {
    struct dialect_out st;
    struct dialect_in in;
    struct buf out;
    struct arena scratch, keep;
    struct llm_event events[32]; /* of one frame */
    size_t n;
    bool writing;
};

static bool keep_event(void *arg, const struct llm_event *ev)
{
    struct passing *p = arg;
    assert_true(p->n < COUNT(p->events));
    p->events[p->n++] = *ev;
    return true;
}

static void pass_frame(struct passing *p, strv type, strv line)
{
    struct err err = ERR_INIT;
    p->n = 0;
    assert_true(A->decode_frame(&p->in, type, line, &err));
    if (p->in.flaw && !p->writing) {
        p->writing = true;
        if (buf_len(&p->out) > 0)
            dialect_resume(&p->st, &p->in);
    }
    if (!p->writing)
        buf_printf(&p->out, "event: " STRV_FMT "\ndata: " STRV_FMT "\n\n", STRV_ARG(type),
                   STRV_ARG(line));
    for (size_t i = 0; p->writing && i < p->n; i++)
        assert_true(A->encode_event(&p->st, &p->events[i], &p->out));
}

static void a_stream_that_passes_goes_on_where_it_has_a_flaw(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        struct passing p = {.st = fresh_out()};
        struct ear direct, again;
        char *text = quoted(streams[i].stream);
        strv rest = strv_of(text), line, type;
        ear_init(&direct);
        ear_init(&again);
        if (feed(&direct, streams[i].stream) && streams[i].flaw) {
            buf_init(&p.out, MIB);
            arena_init(&p.scratch, 4096, MIB);
            arena_init(&p.keep, 4096, MIB);
            p.in = (struct dialect_in){
                .emit = keep_event, .arg = &p, .scratch = &p.scratch, .arena = &p.keep};
            while (strv_cut(&rest, '\n', &line)) {
                strv name = strv_from(line, strlen("{\"type\":\""));
                assert_true(strv_cut(&name, '"', &type));
                pass_frame(&p, type, line);
                arena_reset(&p.scratch);
            }
            struct buf legal;
            buf_init(&legal, MIB);
            /* START of these rows is shorter than Anthropic's. */
            const char *tail = strstr(cstr(&p.out), "event: content_block");
            buf_printf(&legal, "%s%s", START_FRAME,
                       tail != NULL ? tail : strstr(cstr(&p.out), "event: message_delta"));
            assert_legal(buf_view(&legal), true);
            assert_true(ear_stream(&again, A, buf_view(&legal)));
            reply_same(&again.reply, &direct.reply, LLM_PART_TEXT);
            reply_same(&again.reply, &direct.reply, LLM_PART_REASONING);
            buf_fini(&legal);
            buf_fini(&p.out);
            arena_fini(&p.scratch);
            arena_fini(&p.keep);
        }
        ear_fini(&direct);
        ear_fini(&again);
        free(text);
    }
}

static void calls_and_thinking_are_written_block_by_block(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_REASONING, .text = STRV("h")},
        {.kind = LLM_EV_REASONING, .text = STRV("m")},
        {.kind = LLM_EV_SIGNATURE, .text = STRV("S")},
        {.kind = LLM_EV_REASONING, .text = STRV("R"), .redacted = true},
        {.kind = LLM_EV_SIGNATURE, .text = STRV("only")},
        {.kind = LLM_EV_REASONING, .text = STRV("local")},
        {.kind = LLM_EV_TEXT, .text = STRV("a")},
        {.kind = LLM_EV_CALL, .call = 0, .id = STRV("t0"), .name = STRV("f")},
        {.kind = LLM_EV_CALL_END, .call = 0},
        {.kind = LLM_EV_CALL, .call = 1, .id = STRV("t1"), .name = STRV("g")},
        {.kind = LLM_EV_ARGS, .call = 1, .text = STRV("{\"n\"")},
        {.kind = LLM_EV_ARGS, .call = 1, .text = STRV(":1}")},
        {.kind = LLM_EV_CALL_END, .call = 1},
        {.kind = LLM_EV_TEXT, .text = STRV("b")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS},
        {.kind = LLM_EV_END},
    };
    struct buf out;
    struct ear ear;
    write_all(events, COUNT(events), &out);
    ear_init(&ear);
    assert_true(ear_stream(&ear, A, buf_view(&out)));
    assert_heard(&ear,
                 "start(msg_1,m) usage(in=9,out=1) reasoning(h) reasoning(m) signature(S) "
                 "reasoning(R) signature(only) reasoning(local) text(a) call(0,t0,f) args(0,{}) "
                 "call_end(0) call(1,t1,g) args(1,{\"n\") args(1,:1}) call_end(1) text(b) "
                 "finish(calls:tool_use) usage(in=9,out=4,cached=0,write=0) end");
    assert_false(ear.in.flaw);
    ear_fini(&ear);
    assert_non_null(strstr(cstr(&out), "\"index\":7,"));
    assert_null(strstr(cstr(&out), "\"index\":8,"));
    buf_fini(&out);
}

static void trap_1_a_call_has_at_least_one_piece_of_input(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_CALL, .id = STRV("t"), .name = STRV("f")},
        {.kind = LLM_EV_ARGS, .text = STRV("")},
        {.kind = LLM_EV_CALL_END},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS},
        {.kind = LLM_EV_END},
    };
    struct buf out;
    write_all(events, COUNT(events), &out);
    assert_non_null(strstr(
        cstr(&out),
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n"
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
        "\"tool_use\",\"stop_sequence\":null}"));
    buf_fini(&out);
}

static void trap_2_an_answer_with_a_call_ends_with_tool_use(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_TEXT, .text = STRV("I will look.")},
        {.kind = LLM_EV_CALL, .id = STRV("t"), .name = STRV("f")},
        {.kind = LLM_EV_ARGS, .text = STRV("{}")},
        {.kind = LLM_EV_CALL_END},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS},
        {.kind = LLM_EV_END},
    };
    struct dialect_out st = fresh_out();
    struct ear ear;
    struct buf out, whole;
    ear_init(&ear);
    write_all(events, COUNT(events), &out);
    assert_non_null(strstr(cstr(&out), "\"delta\":{\"stop_reason\":\"tool_use\""));
    assert_true(ear_stream(&ear, A, buf_view(&out)));
    buf_init(&whole, MIB);
    assert_true(A->encode_reply(&st, &ear.reply, &whole));
    assert_non_null(strstr(cstr(&whole), "],\"stop_reason\":\"tool_use\""));
    assert_int_equal(ear.reply.n_parts, 2);
    buf_fini(&whole);
    buf_fini(&out);
    ear_fini(&ear);
}

static void trap_6_the_first_piece_of_a_block_is_not_swallowed(void **state)
{
    (void)state;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_REASONING, .text = STRV("hm")},
        {.kind = LLM_EV_TEXT, .text = STRV("first")},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP},
        {.kind = LLM_EV_END},
    };
    struct ear ear;
    struct buf out;
    ear_init(&ear);
    write_all(events, COUNT(events), &out);
    assert_true(ear_stream(&ear, A, buf_view(&out)));
    assert_int_equal(llm_reply_bytes(&ear.reply, LLM_PART_TEXT), strlen("first"));
    assert_int_equal(llm_reply_bytes(&ear.reply, LLM_PART_REASONING), strlen("hm"));
    buf_fini(&out);
    ear_fini(&ear);
}

static void trap_22_every_piece_of_thinking_comes_through(void **state)
{
    (void)state;
    struct llm_event events[104] = {{.kind = LLM_EV_START}};
    struct buf out;
    struct ear ear;
    for (size_t i = 1; i <= 100; i++)
        events[i] = (struct llm_event){.kind = LLM_EV_REASONING, .text = STRV("x")};
    events[101] = (struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP};
    events[102] = (struct llm_event){.kind = LLM_EV_END};
    write_all(events, 103, &out);
    ear_init(&ear);
    assert_true(ear_stream(&ear, A, buf_view(&out)));
    assert_int_equal(llm_reply_bytes(&ear.reply, LLM_PART_REASONING), 100);
    ear_fini(&ear);
    buf_fini(&out);
}

/* ---- whole answers ---- */

static void trap_11_a_whole_answer_keeps_its_order_and_its_numbers(void **state)
{
    (void)state;
    char *body = quoted(
        "{`id`:`msg_1`,`type`:`message`,`role`:`assistant`,`model`:`m`,`content`:[{`type`:`"
        "thinking`,"
        "`thinking`:`hm`,`signature`:`S`},{`type`:`redacted_thinking`,`data`:`R`},{`type`:`"
        "thinking`,"
        "`thinking`:``,`signature`:`T`},{`type`:`text`,`text`:`a`},{`type`:`tool_use`,`id`:`t`,`"
        "name`:"
        "`f`,`input`:{`n`: 12345678901234567890, `a`:1.0}},{`type`:`text`,`text`:`b`},{`type`:"
        "`tool_use`,`id`:`u`,`name`:`g`,`input`:{}}],`stop_reason`:`tool_use`,`stop_sequence`:null,"
        "`usage`:{`input_tokens`:3,`cache_creation_input_tokens`:10,`cache_read_input_tokens`:4,"
        "`cache_creation`:{`ephemeral_5m_input_tokens`:2,`ephemeral_1h_input_tokens`:8},"
        "`output_tokens`:7,`output_tokens_details`:{`thinking_tokens`:5}}}");
    struct ear ear;
    struct dialect_out st = fresh_out();
    struct buf out;
    ear_init(&ear);
    buf_init(&out, MIB);
    assert_true(A->decode_reply(&ear.in, strv_of(body), &ear.err));
    assert_heard(&ear,
                 "start(msg_1,m) reasoning(hm) signature(S) reasoning(R) signature(T) text(a) "
                 "call(0,t,f) args(0,{\"n\": 12345678901234567890, \"a\":1.0}) call_end(0) text(b) "
                 "call(1,u,g) call_end(1) finish(calls:tool_use) "
                 "usage(in=17,out=7,cached=4,write=10,reasoning=5,write_1h=8) end");
    assert_false(ear.in.flaw);
    assert_true(A->encode_reply(&st, &ear.reply, &out));
    assert_string_equal(cstr(&out), body);
    buf_fini(&out);
    ear_fini(&ear);
    free(body);
}

static void a_whole_call_may_have_any_input(void **state)
{
    (void)state;
    static const struct {
        const char *block, *heard;
        bool flaw, ok;
    } rows[] = {
        {"`id`:`t`,`name`:`f`", "call(0,t,f) call_end(0)", true, true},
        {"`id`:`t`,`name`:`f`,`input`:null", "call(0,t,f) call_end(0)", true, true},
        {"`id`:`t`,`name`:`f`,`input`:``", "call(0,t,f) call_end(0)", true, true},
        {"`id`:`t`,`name`:`f`,`input`:`{}`", "call(0,t,f) args(0,{}) call_end(0)", true, true},
        {"`id`:`t`,`name`:`f`,`input`:[1]", "call(0,t,f) args(0,[1]) call_end(0)", true, true},
        {"`id`:`t`,`name`:`f`,`input`:0", "call(0,t,f) args(0,0) call_end(0)", true, true},
        {"`name`:`f`,`input`:{}", "call(0,,f) call_end(0)", true, true},
        {"`id`:`t`,`input`:{}", "", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        char body[256], heard[256];
        snprintf(body, sizeof body, "{`content`:[{`type`:`tool_use`,%s}],`stop_reason`:`tool_use`}",
                 rows[i].block);
        snprintf(heard, sizeof heard, "start(,) %s finish(calls:tool_use) end", rows[i].heard);
        char *json = quoted(body);
        ear_init(&ear);
        assert_int_equal(A->decode_reply(&ear.in, strv_of(json), &ear.err), rows[i].ok);
        if (rows[i].ok)
            assert_heard(&ear, heard);
        assert_int_equal(ear.in.flaw, rows[i].flaw);
        ear_fini(&ear);
        free(json);
    }
}

/* ---- usage ---- */

static void trap_24_the_prompt_is_the_sum_of_what_was_told_last(void **state)
{
    (void)state;
    static const struct {
        const char *start, *delta, *heard;
    } rows[] = {
        /* Only at the end, replaced and not added, null for unchanged, never below zero. */
        {"`input_tokens`:10", "`cache_read_input_tokens`:90,`output_tokens`:2",
         "usage(in=10) finish(stop:end_turn) usage(in=100,out=2,cached=90)"},
        {"`input_tokens`:10,`cache_read_input_tokens`:90,`cache_creation_input_tokens`:5",
         "`input_tokens`:null,`cache_read_input_tokens`:null,`output_tokens`:2",
         "usage(in=105,cached=90,write=5) finish(stop:end_turn) "
         "usage(in=105,out=2,cached=90,write=5)"},
        {"`input_tokens`:10", "`input_tokens`:-3,`output_tokens`:-1",
         "usage(in=10) finish(stop:end_turn) usage(in=10)"},
        {"`input_tokens`:1,`cache_creation`:{`ephemeral_5m_input_tokens`:2,"
         "`ephemeral_1h_input_tokens`:3}",
         "`output_tokens`:2",
         "usage(in=6,write=5,write_1h=3) finish(stop:end_turn) usage(in=6,out=2,write=5)"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        char lines[512], heard[256];
        snprintf(lines, sizeof lines,
                 "{`type`:`message_start`,`message`:{`id`:`msg_9`,`usage`:{%s}}}\n"
                 "{`type`:`message_delta`,`delta`:{`stop_reason`:`end_turn`},`usage`:{%s}}\n"
                 "{`type`:`message_stop`}",
                 rows[i].start, rows[i].delta);
        snprintf(heard, sizeof heard, "start(msg_9,) %s end", rows[i].heard);
        ear_init(&ear);
        assert_true(feed(&ear, lines));
        assert_heard(&ear, heard);
        ear_fini(&ear);
    }
}

static void trap_24_cached_tokens_are_taken_off_once_for_callers(void **state)
{
    (void)state;
    struct llm_usage usage = LLM_USAGE_NONE;
    usage.input = 4; /* less than its parts, as some servers count */
    usage.output = 1;
    usage.cached = 5;
    usage.cache_write = 3;
    usage.cache_write_1h = 9;
    const struct llm_event events[] = {
        {.kind = LLM_EV_START},
        {.kind = LLM_EV_USAGE, .usage = usage},
        {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP},
        {.kind = LLM_EV_END},
    };
    struct buf out;
    write_all(events, COUNT(events), &out);
    assert_non_null(strstr(cstr(&out),
                           "\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":3,"
                           "\"cache_read_input_tokens\":5,\"cache_creation\":{"
                           "\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":3},"
                           "\"output_tokens\":1}"));
    buf_fini(&out);
}

static void tokens_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *body, *heard;
        bool ok;
    } rows[] = {
        {"{`input_tokens`:2095}", "start(,) usage(in=2095) finish(stop:) end", true},
        {"{`type`:`error`,`error`:{`type`:`overloaded_error`,`message`:`busy`}}", "error(529,busy)",
         true},
        {"{`input_tokens`:-1}", "", false},
        {"{}", "", false},
        {"[]", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ear ear;
        struct dialect_out st = fresh_out();
        struct buf out;
        char *body = quoted(rows[i].body);
        st.op = LLM_OP_COUNT;
        buf_init(&out, MIB);
        ear_init(&ear);
        ear.in.op = LLM_OP_COUNT;
        assert_int_equal(A->decode_reply(&ear.in, strv_of(body), &ear.err), rows[i].ok);
        assert_heard(&ear, rows[i].heard);
        if (ear.reply.ended) {
            assert_true(A->encode_reply(&st, &ear.reply, &out));
            assert_string_equal(cstr(&out), body);
        }
        buf_fini(&out);
        ear_fini(&ear);
        free(body);
    }
}

static void what_waits_for_a_call_without_end_is_bounded(void **state)
{
    (void)state;
    struct ear ear;
    struct buf delta;
    bool ok;
    ear_init(&ear);
    ok = feed(&ear, "{`type`:`message_start`,`message`:{`id`:`m`,`model`:`m`}}\n"
                    "{`type`:`content_block_start`,`index`:0,`content_block`:{`type`:`tool_use`,"
                    "`id`:`t`,`name`:`f`,`input`:{}}}\n"
                    "{`type`:`content_block_start`,`index`:1,`content_block`:{`type`:`text`,"
                    "`text`:``}}");
    assert_true(ok);
    buf_init(&delta, MIB);
    buf_put_cstr(&delta, "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":"
                         "\"text_delta\",\"text\":\"");
    for (int i = 0; i < 70000; i++)
        buf_put_char(&delta, 'x');
    buf_put_cstr(&delta, "\"}}");
    for (int i = 0; ok && i < 100; i++)
        ok = ear_frame(&ear, A, STRV("content_block_delta"), buf_view(&delta));
    assert_false(ok);
    buf_fini(&delta);
    ear_fini(&ear);
}

static void blocks_survive_every_refusal_of_memory(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        int64_t live = mem_live();
        struct ear ear;
        ear_init(&ear);
        buf_put_char(&ear.trace.text, ' '); /* the ear itself is not what is tested */
        assert_non_null(buf_reserve(&ear.trace.text, 4096));
        mem_fail_at(n, true);
        done = feed(&ear, streams[6].stream) && ear.reply.ended;
        mem_fail_at(0, false);
        ear_fini(&ear);
        assert_int_equal(mem_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_1_4_8_9_10_20_blocks_become_events_in_order),
        cmocka_unit_test(a_stream_that_passes_goes_on_where_it_has_a_flaw),
        cmocka_unit_test(calls_and_thinking_are_written_block_by_block),
        cmocka_unit_test(trap_1_a_call_has_at_least_one_piece_of_input),
        cmocka_unit_test(trap_2_an_answer_with_a_call_ends_with_tool_use),
        cmocka_unit_test(trap_6_the_first_piece_of_a_block_is_not_swallowed),
        cmocka_unit_test(trap_22_every_piece_of_thinking_comes_through),
        cmocka_unit_test(trap_11_a_whole_answer_keeps_its_order_and_its_numbers),
        cmocka_unit_test(a_whole_call_may_have_any_input),
        cmocka_unit_test(trap_24_the_prompt_is_the_sum_of_what_was_told_last),
        cmocka_unit_test(trap_24_cached_tokens_are_taken_off_once_for_callers),
        cmocka_unit_test(tokens_are_counted),
        cmocka_unit_test(what_waits_for_a_call_without_end_is_bounded),
        cmocka_unit_test(blocks_survive_every_refusal_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
