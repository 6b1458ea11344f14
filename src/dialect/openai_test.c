/* SPDX-License-Identifier: Apache-2.0 */
/* openai: answers of upstreams as events, events as answers for callers. Numbers in names and comments
 * are the traps that other translators fell into (each has a test here or beside its own file). */
#include "dialect/testing.h"

static struct arena arena, keep;
static struct trace trace;
static struct buf out;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 16 << 20);
    arena_init(&keep, 4096, 16 << 20);
    trace_init(&trace);
    buf_init(&out, 1 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    arena_fini(&keep);
    trace_fini(&trace);
    buf_fini(&out);
    return 0;
}

/* ---- streams ---- */

static struct dialect_in new_in(void)
{
    buf_clear(&trace.text);
    trace.events = trace.refuse_from = 0;
    arena_reset(&keep);
    return (struct dialect_in){
        .emit = trace_emit, .arg = &trace, .scratch = &arena, .arena = &keep};
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
        /* what it means without a call, the relay decides */
        {FINISH("tool_calls"), "start(c1,m) finish(calls:tool_calls)"},
        {FINISH("function_call"), "start(c1,m) finish(calls:function_call)"},
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
        DELTA("{\"content\":[7]}"),
        DELTA("{\"content\":[{\"type\":\"image\"}]}"),
        DELTA("{\"content\":[{\"type\":\"text\",\"text\":7}]}"),
        DELTA("{\"reasoning\":{}}"),
        "{\"id\":\"\xff\"}",
    };
    for (size_t i = 0; i < COUNT(frames); i++)
        assert_non_null(strstr(STREAM(frames[i]), "FAIL"));
}

static void trap_32_empty_frames_and_blanks_are_harmless(void **state)
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

/* ---- calls in streams ---- */

#define CALLS(calls) DELTA("{\"tool_calls\":[" calls "]}")
#define BEGIN(index, id, name, args)                                                               \
    "{\"index\":" #index ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
    "\",\"arguments\":\"" args "\"}}"
#define MORE(index, args) "{\"index\":" #index ",\"function\":{\"arguments\":\"" args "\"}}"

#define FRAMES_MAX 10

/* What becomes of frames, and the first of them with a flaw (from 1; 0 = none). */
struct spoken {
    const char *frames[FRAMES_MAX];
    const char *expected;
    size_t flaw;
};

static void check_spoken(const struct spoken *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct dialect_in in = new_in();
        struct err err = ERR_INIT;
        size_t flaw = 0;
        for (size_t k = 0; k < FRAMES_MAX && cases[i].frames[k] != NULL; k++) {
            if (!feed(&in, strv_of(cases[i].frames[k]), &err)) {
                buf_printf(&trace.text, " FAIL %s", err.text);
                break;
            }
            if (in.flaw && flaw == 0)
                flaw = k + 1;
        }
        assert_string_equal(trace_text(&trace), cases[i].expected);
        assert_int_equal(flaw, cases[i].flaw);
    }
}

static void calls_become_events(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        /* OpenAI's own way */
        {{DELTA("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" BEGIN(0, "a", "f",
                                                                                  "") "]}"),
          CALLS(MORE(0, "{\\\"ci")), CALLS(MORE(0, "ty\\\":1}")), CALLS(BEGIN(1, "b", "g", "{}")),
          FINISH("tool_calls"), "[DONE]"},
         "start(c1,m) call(0,a,f) args(0,{\"ci) args(0,ty\":1}) call_end(0) call(1,b,g) args(1,{}) "
         "call_end(1) finish(calls:tool_calls) end",
         0},
        /* two whole calls in one frame, text before and between */
        {{DELTA("{\"content\":\"so\",\"tool_calls\":[" BEGIN(0, "a", "f", "{}") "," BEGIN(
              1, "b", "g", "[]") "]}"),
          DELTA("{\"content\":\"and\"}"), CALLS(BEGIN(2, "c", "h", "{}")), FINISH("tool_calls")},
         "start(c1,m) text(so) call(0,a,f) args(0,{}) call_end(0) call(1,b,g) args(1,[]) "
         "call_end(1) "
         "text(and) call(2,c,h) args(2,{}) call_end(2) finish(calls:tool_calls)",
         0},
        /* a brace inside a string does not end a call */
        {{CALLS(BEGIN(0, "a", "f", "{\\\"x\\\":\\\"}\\\\\\\"{\\\"")),
          CALLS(MORE(0, ",\\\"y\\\":[{}]")), CALLS(MORE(0, "}")), CALLS(BEGIN(1, "b", "g", "{}"))},
         "start(c1,m) call(0,a,f) args(0,{\"x\":\"}\\\"{\") args(0,,\"y\":[{}]) args(0,}) "
         "call_end(0) "
         "call(1,b,g) args(1,{})",
         0},
        /* blank text beside a call is nothing */
        {{DELTA("{\"content\":\"\",\"tool_calls\":[" BEGIN(0, "a", "f", "{") "]}"),
          DELTA("{\"content\":\"\",\"tool_calls\":[" MORE(0, "}") "]}"), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) finish(calls:tool_calls)",
         0},
    };
    check_spoken(cases, COUNT(cases));
}

static void trap_2_a_stop_after_calls_is_a_flaw(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{DELTA("{\"content\":\"x\"}"), CALLS(BEGIN(0, "a", "f", "{}")), FINISH("stop")},
         "start(c1,m) text(x) call(0,a,f) args(0,{}) call_end(0) finish(stop:stop)",
         3},
        {{CALLS(BEGIN(0, "a", "f", "{}")), FINISH("length")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(length:length)",
         0},
        {{DELTA("{\"content\":\"x\"}"), FINISH("tool_calls")},
         "start(c1,m) text(x) finish(calls:tool_calls)",
         2},
        {{DELTA("{\"content\":\"x\"}"), FINISH("eos")}, "start(c1,m) text(x) finish(stop:eos)", 2},
        {{FINISH("stop"), FINISH("stop")}, "start(c1,m) finish(stop:stop)", 2},
    };
    check_spoken(cases, COUNT(cases));
}

static void trap_3_calls_with_one_index_or_none_are_told_apart(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        /* all index 0, ids differ */
        {{CALLS(BEGIN(0, "a", "f", "{}")), CALLS(BEGIN(0, "b", "f", "{}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) call(1,b,f) args(1,{}) call_end(1) "
         "finish(calls:tool_calls)",
         2},
        /* all index 0 in one frame, no ids, one name */
        {{CALLS(BEGIN(0, "", "f", "{}") "," BEGIN(0, "", "f", "{\\\"x\\\":1}")),
          FINISH("tool_calls")},
         "start(c1,m) call(0,,f) args(0,{}) call_end(0) call(1,,f) args(1,{\"x\":1}) call_end(1) "
         "finish(calls:tool_calls)",
         1},
        /* all index 0, in pieces, names differ */
        {{CALLS(BEGIN(0, "", "f", "")), CALLS(MORE(0, "{}")), CALLS(BEGIN(0, "", "g", "")),
          CALLS(MORE(0, "{}")), FINISH("tool_calls")},
         "start(c1,m) call(0,,f) args(0,{}) call_end(0) call(1,,g) args(1,{}) call_end(1) "
         "finish(calls:tool_calls)",
         1},
        /* no index: by id, by name, else the last one */
        {{CALLS("{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
                "\"}}"),
          CALLS("{\"id\":\"a\",\"function\":{\"arguments\":\"\\\"x\\\"\"}}"),
          CALLS("{\"function\":{\"arguments\":\":1}\"}}"),
          CALLS("{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
          CALLS("{\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}"), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,\"x\") args(0,:1}) call_end(0) call(1,,f) "
         "args(1,{}) "
         "call_end(1) call(2,,g) args(2,{}) call_end(2) finish(calls:tool_calls)",
         1},
        /* indices that begin at 1 */
        {{CALLS(BEGIN(1, "a", "f", "{")), CALLS(MORE(1, "}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) finish(calls:tool_calls)",
         1},
        /* the same id for all */
        {{CALLS(BEGIN(0, "call_0", "f", "{}")), CALLS(BEGIN(1, "call_0", "g", "{}")),
          FINISH("tool_calls")},
         "start(c1,m) call(0,call_0,f) args(0,{}) call_end(0) call(1,call_0,g) args(1,{}) "
         "call_end(1) "
         "finish(calls:tool_calls)",
         0},
    };
    check_spoken(cases, COUNT(cases));
}

static void ids_and_names_said_again_are_one_call(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{CALLS(BEGIN(0, "a", "f", "")), CALLS(BEGIN(0, "a", "f", "{")),
          CALLS(BEGIN(0, "a", "f", "}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) finish(calls:tool_calls)",
         2},
        /* another id in every piece */
        {{CALLS(BEGIN(0, "a", "f", "")),
          CALLS("{\"index\":0,\"id\":\"b\",\"function\":{\"arguments\":\"{\"}}"),
          CALLS("{\"index\":0,\"id\":\"c\",\"function\":{\"arguments\":\"}\"}}"),
          FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) finish(calls:tool_calls)",
         2},
        /* the name comes late */
        {{CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"arguments\":\"{\"}"
                "}"),
          CALLS("{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"}\"}}"),
          FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) finish(calls:tool_calls)",
         1},
        /* null for what was said */
        {{CALLS(BEGIN(0, "a", "f", "")),
          CALLS("{\"index\":0,\"id\":null,\"type\":null,\"function\":{\"name\":null,\"arguments\":"
                "\"{}\"}}"),
          FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls)",
         0},
        {{CALLS("{\"index\":0,\"id\":7,\"type\":\"function\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"{}\"}}")},
         "start(c1,m) call(0,,f) args(0,{})",
         1},
    };
    check_spoken(cases, COUNT(cases));
}

static void pieces_of_two_calls_that_mix_are_held_back(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{CALLS(BEGIN(0, "a", "f", "{\\\"x\\\"")), CALLS(BEGIN(1, "b", "g", "{\\\"y\\\"")),
          CALLS(MORE(0, ":1}")), CALLS(MORE(1, ":2}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{\"x\") args(0,:1}) call_end(0) call(1,b,g) "
         "args(1,{\"y\") "
         "args(1,:2}) call_end(1) finish(calls:tool_calls)",
         2},
        /* never whole: told when the choice is over; text waits as well */
        {{CALLS(BEGIN(0, "a", "f", "{")), CALLS(BEGIN(1, "b", "g", "{}")),
          DELTA("{\"content\":\"x\"}"), FINISH("length")},
         "start(c1,m) call(0,a,f) args(0,{) call_end(0) call(1,b,g) args(1,{}) call_end(1) text(x) "
         "finish(length:length)",
         2},
        {{CALLS(BEGIN(0, "a", "f", "{")), DELTA("{\"reasoning\":\"hm\"}"),
          DELTA("{\"content\":\"x\"}"), CALLS(MORE(0, "}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{) args(0,}) call_end(0) reasoning(hm) text(x) "
         "finish(calls:tool_calls)",
         2},
        /* behind the end of a call there is nothing to add */
        {{CALLS(BEGIN(0, "a", "f", "{}")), CALLS(BEGIN(1, "b", "g", "{")), CALLS(MORE(0, " ")),
          CALLS(MORE(0, "x")), CALLS(MORE(1, "}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) call(1,b,g) args(1,{) args(1,}) "
         "call_end(1) "
         "finish(calls:tool_calls)",
         4},
    };
    check_spoken(cases, COUNT(cases));
}

static void a_call_without_arguments_has_an_empty_object(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{CALLS(BEGIN(0, "a", "f", "")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls)",
         2},
        {{CALLS(BEGIN(0, "a", "f", "")), CALLS(BEGIN(1, "b", "g", "{}")), FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) call(1,b,g) args(1,{}) call_end(1) "
         "finish(calls:tool_calls)",
         2},
        {{CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\"}}"),
          FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls)",
         2},
    };
    check_spoken(cases, COUNT(cases));
}

static void trap_4_arguments_as_an_object_are_taken_as_text(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                "\"arguments\":{\"id\": 12345678901234567890, \"x\":1.0}}}"),
          FINISH("tool_calls")},
         "start(c1,m) call(0,a,f) args(0,{\"id\": 12345678901234567890, \"x\":1.0}) call_end(0) "
         "finish(calls:tool_calls)",
         1},
    };
    check_spoken(cases, COUNT(cases));
}

static void trap_11_numbers_in_arguments_keep_their_spelling(void **state)
{
    trap_4_arguments_as_an_object_are_taken_as_text(state);
}

static void the_old_function_call_is_a_call(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{DELTA("{\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}"),
          DELTA("{\"function_call\":{\"arguments\":\"{\"}}"),
          DELTA("{\"function_call\":{\"arguments\":\"}\"}}"), FINISH("function_call")},
         "start(c1,m) call(0,,f) args(0,{) args(0,}) call_end(0) finish(calls:function_call)",
         0},
    };
    check_spoken(cases, COUNT(cases));
}

static void content_in_parts_is_read(void **state)
{
    (void)state;
    static const struct spoken cases[] = {
        {{DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":"
                "\"hm\"}]}]}"),
          DELTA("{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":"
                "\"b\"}]}"),
          DELTA("{\"content\":[]}"), FINISH("stop")},
         "start(c1,m) reasoning(hm) text(a) text(b) finish(stop:stop)",
         1},
    };
    check_spoken(cases, COUNT(cases));
}

static void calls_of_two_choices_do_not_mix(void **state)
{
    (void)state;
#define SECOND(delta) HEAD("\"choices\":[{\"index\":1,\"delta\":" delta ",\"finish_reason\":null}]")
    static const struct spoken cases[] = {
        {{CALLS(BEGIN(0, "a", "f", "{")), SECOND("{\"tool_calls\":[" BEGIN(0, "b", "g", "{") "]}"),
          CALLS(MORE(0, "}")), FINISH("tool_calls"), SECOND("{\"tool_calls\":[" MORE(0, "}") "]}"),
          HEAD("\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"tool_calls\"}]"),
          "[DONE]"},
         "start(c1,m) call(0,a,f) args(0,{) call(1:0,b,g) args(1:0,{) args(0,}) call_end(0) "
         "finish(calls:tool_calls) args(1:0,}) call_end(1:0) finish(1:calls:tool_calls) end",
         0},
    };
    check_spoken(cases, COUNT(cases));
}

static void trap_26_ids_that_change_are_a_flaw(void **state)
{
    (void)state;
#define ID(id, created, rest) "{\"id\":\"" id "\",\"created\":" created ",\"model\":\"m\"," rest "}"
#define TEXT_A                "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]"
    static const struct spoken cases[] = {
        {{ID("x", "1", TEXT_A), ID("x", "1", TEXT_A), ID("y", "1", TEXT_A)},
         "start(x,m) text(a) text(a) text(a)",
         3},
        {{ID("x", "1", TEXT_A), ID("x", "2", TEXT_A)}, "start(x,m) text(a) text(a)", 2},
        {{ID("", "1", TEXT_A)}, "start(,m) text(a)", 1},
        {{"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}"}, "start(,) text(a)", 1},
        {{ID("x", "1", "\"choices\":[{\"delta\":{\"content\":\"a\"}}]")}, "start(x,m) text(a)", 1},
        /* what our own chunk cannot say is worth more than its form */
        {{ID("", "1",
             "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[]}"
             "}]")},
         "start(,m) text(a)",
         0},
    };
    check_spoken(cases, COUNT(cases));
}

static void what_is_no_call_is_refused(void **state)
{
    (void)state;
    static const char *const frames[] = {
        DELTA("{\"tool_calls\":{}}"),
        DELTA("{\"tool_calls\":7}"),
        CALLS("7"),
        CALLS("{\"index\":0,\"function\":[]}"),
        CALLS("{\"index\":0,\"function\":{\"name\":7}}"),
        HEAD("\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" MORE(
            0, "{}") "]},\"finish_reason\":\"tool_calls\"}]"),
    };
    for (size_t i = 0; i < COUNT(frames); i++)
        assert_non_null(strstr(STREAM(frames[i]), "FAIL"));
    assert_non_null(strstr(STREAM(FINISH("stop"), CALLS(BEGIN(0, "a", "f", "{}"))),
                           MALFORMED "a call behind the finish_reason"));
}

static void calls_without_end_are_bounded(void **state)
{
    (void)state;
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    char frame[512];
    bool ok = true;
    for (int i = 0; ok && i < 1000; i++) {
        snprintf(frame, sizeof frame, CALLS("{\"index\":%d,\"function\":{\"name\":\"f\"}}"), i);
        ok = feed(&in, strv_of(frame), &err);
    }
    assert_string_equal(err.text, "the provider's answer is malformed: too many calls");

    /* and so is what waits for a call that never becomes whole */
    static char text[70000];
    memset(text, 'x', sizeof text - 1);
    struct buf big;
    buf_init(&big, 1 << 20);
    buf_put_cstr(&big, "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
    buf_put_cstr(&big, text);
    buf_put_cstr(&big, "\"}}]}");
    in = new_in();
    err = ERR_INIT;
    ok = feed(&in, STRV(CALLS(BEGIN(0, "a", "f", "{"))), &err);
    for (int i = 0; ok && i < 100; i++)
        ok = feed(&in, buf_view(&big), &err);
    assert_string_equal(
        err.text, "the provider's answer is malformed: its calls are mixed up beyond measure");

    /* and ids that are no ids */
    in = new_in();
    err = ERR_INIT;
    ok = true;
    for (int i = 0; ok && i < 100; i++) {
        buf_clear(&big);
        buf_printf(&big,
                   "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{"
                   "\"index\":%d,\"id\":\"",
                   i);
        buf_put_cstr(&big, text);
        buf_put_cstr(&big, "\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}");
        ok = feed(&in, buf_view(&big), &err);
    }
    assert_string_equal(err.text, "the provider's answer is malformed: ids and names of its calls "
                                  "are beyond measure");
    buf_fini(&big);
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
         "start(c1,m) text(no) finish(filter:stop) end"},
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
         "start(c1,m) " MALFORMED "a call without a name"},
        {"[]", " " MALFORMED "not a JSON object"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(reply(cases[i].body), cases[i].expected);
}

/* upstream-tolerance.json: what strict clients fail on is understood, and marked. */
static void whole_bodies_have_flaws(void **state)
{
    (void)state;
#define MESSAGE(message, finish, rest)                                                             \
    HEAD("\"choices\":[{\"index\":0,\"message\":" message ",\"finish_reason\":" finish "}]" rest)
#define CALL_(id, type, args)                                                                      \
    "{\"content\":null,\"tool_calls\":[{" id type "\"function\":{\"name\":\"f\"" args "}}]}"
    static const struct {
        const char *body, *expected;
        bool flaw;
    } cases[] = {
        /* UT-01 has neither id nor index: fine for one client, not for the next */
        {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}",
         "start(,) text(x) finish(stop:stop) end", true},
        {MESSAGE("{\"content\":\"x\"}", "\"stop\"", ""),
         "start(c1,m) text(x) finish(stop:stop) end", false},
        /* UT-02 */
        {MESSAGE("{\"content\":null}", "\"stop\"", ""), "start(c1,m) finish(stop:stop) end", true},
        /* UT-04 */
        {MESSAGE("{\"content\":\"x\"}", "\"stop\"", ",\"usage\":null"),
         "start(c1,m) text(x) finish(stop:stop) end", true},
        {MESSAGE("{\"content\":\"x\"}", "null", ""), "start(c1,m) text(x)", true},
        {MESSAGE("{\"content\":\"x\"}", "\"eos\"", ""), "start(c1,m) text(x) finish(stop:eos) end",
         true},
        {MESSAGE("{\"content\":null,\"refusal\":\"no\"}", "\"stop\"", ""),
         "start(c1,m) text(no) finish(filter:stop) end", false},
        /* UT-05, UT-08 */
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ",\"arguments\":\"{}\""),
                 "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls) end", false},
        {MESSAGE(CALL_("", "\"type\":\"function\",", ",\"arguments\":\"{}\""), "\"tool_calls\"",
                 ""),
         "start(c1,m) call(0,,f) args(0,{}) call_end(0) finish(calls:tool_calls) end", true},
        {MESSAGE(CALL_("\"id\":\"a\",", "", ",\"arguments\":\"{}\""), "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls) end", true},
        {MESSAGE("{\"content\":\"x\",\"tool_calls\":null}", "\"stop\"", ""),
         "start(c1,m) text(x) finish(stop:stop) end", false},
        /* UT-06 */
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ",\"arguments\":\"\""),
                 "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls) end", true},
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ""), "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(calls:tool_calls) end", true},
        /* UT-07: what is no JSON the relay mends */
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ",\"arguments\":\"{k:1\""),
                 "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{k:1) call_end(0) finish(calls:tool_calls) end", false},
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ",\"arguments\":{\"k\" : 1}"),
                 "\"tool_calls\"", ""),
         "start(c1,m) call(0,a,f) args(0,{\"k\" : 1}) call_end(0) finish(calls:tool_calls) end",
         true},
        {MESSAGE(CALL_("\"id\":\"a\",", "\"type\":\"function\",", ",\"arguments\":\"{}\""),
                 "\"stop\"", ""),
         "start(c1,m) call(0,a,f) args(0,{}) call_end(0) finish(stop:stop) end", true},
        {MESSAGE("{\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}}",
                 "\"function_call\"", ""),
         "start(c1,m) call(0,,f) args(0,{}) call_end(0) finish(calls:function_call) end", true},
        /* a second choice could not be written anew */
        {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"},{\"index\":1,"
         "\"message\":{\"content\":null},\"finish_reason\":\"stop\"}]}",
         "start(,) text(x) finish(stop:stop) finish(1:stop:stop) end", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dialect_in in = new_in();
        struct err err = ERR_INIT;
        assert_true(dialect_openai.decode_reply(&in, strv_of(cases[i].body), &err));
        assert_string_equal(trace_text(&trace), cases[i].expected);
        if (in.flaw != cases[i].flaw)
            fail_msg("%s: flaw is %d", cases[i].body, in.flaw);
        arena_reset(&arena);
    }
}

static void two_calls_in_a_whole_body_are_two_whatever_they_are_called(void **state)
{
    (void)state;
    assert_string_equal(
        reply(HEAD("\"choices\":[{\"message\":{\"content\":\"x\",\"tool_calls\":[" BEGIN(
            0, "a", "f", "{") "," BEGIN(0, "a", "f",
                                        "") "," BEGIN(0, "", "g",
                                                      "{}") "]},\"finish_reason\":\"stop\"}]")),
        "start(c1,m) text(x) call(0,a,f) args(0,{) call_end(0) call(1,a,f) args(1,{}) call_end(1) "
        "call(2,,g) args(2,{}) call_end(2) finish(stop:stop) end");
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
        {"27-tools-required-stream", "start(chatcmpl-",
         "args(0,}) call_end(0) finish(calls:tool_calls) "
         "usage(in=394,out=73,cached=393,in_ns=338000,out_ns=11953000) end",
         0},
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
        assert_false(in.flaw); /* llama-server's streams pass as they are */
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
        {"26-tools-required",
         "call(0,TvCMrG7r7QQoxf3SbmfR4xkobQGqf1B0,get_weather) "
         "args(0,{\"city\":\"Oslo\",\"days\":3}) call_end(0) finish(calls:tool_calls) "
         "usage(in=394,out=73,cached=393,in_ns=297000,out_ns=9866000) end"},
        {"28-tools-named", " end"},
        {"29-tools-auto", " end"},
        {"30-tools-parallel", " end"},
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

/* What was put is a stream by all rules of this dialect. */
static void check_put(bool complete)
{
    struct dialect_check c;
    strv bytes = buf_view(&out), name, data;
    dialect_check_init(&c, LLM_OPENAI, LLM_OP_CHAT);
    while (data_event(&bytes, &name, &data)) {
        if (!dialect_check_frame(&c, name, data, &arena))
            fail_msg("%s: " STRV_FMT, c.broken, STRV_ARG(data));
        arena_reset(&arena);
    }
    if (!dialect_check_end(&c, complete))
        fail_msg("%s", c.broken);
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
    put(&st, EV_USAGE(20, 5, 16, -1, -1, -1, -1, -1, -1, -1));
    put(&st, EV_END);
    put(&st, EV_END); /* once */
    check_put(true);
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
    put(&st, EV_USAGE(20, 5, 16, -1, -1, -1, -1, -1, -1, -1));
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
        text_of(&out), OUT_HEAD
        "{\"index\":3,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
        "null}]}\n\n" OUT_HEAD
        "{\"index\":3,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n" OUT_HEAD
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

#define EV_CALL(n, call_id, call_name)                                                             \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_CALL, .call = (n), .id = STRV(call_id), .name = STRV(call_name)             \
    }
#define EV_ARGS(n, t)                                                                              \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_ARGS, .call = (n), .text = STRV(t)                                          \
    }
#define EV_CALL_END(n)                                                                             \
    (struct llm_event)                                                                             \
    {                                                                                              \
        .kind = LLM_EV_CALL_END, .call = (n)                                                       \
    }

static void calls_go_out_in_pieces(void **state)
{
    (void)state;
    struct dialect_out st = new_out(false);
    put(&st, EV_START);
    put(&st, EV_CALL(0, "call_a", "f\""));
    put(&st, EV_ARGS(0, "{\"a"));
    put(&st, EV_ARGS(0, "\":1}"));
    put(&st, EV_CALL_END(0));
    put(&st, EV_CALL(1, "call_b", "g"));
    put(&st, EV_CALL_END(1));
    put(&st, EV_FINISH(LLM_FINISH_CALLS));
    put(&st, EV_END);
#define PIECE(call)                                                                                \
    OUT_HEAD "{\"index\":0,\"delta\":{\"tool_calls\":[" call "]},\"finish_reason\":null}]}\n\n"
    assert_string_equal(
        text_of(&out),
        OUT_HEAD OUT_ROLE "}\n\n" PIECE(
            "{\"index\":0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"f\\\"\","
            "\"arguments\":\"\"}}") PIECE("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\"}}")
            PIECE("{\"index\":0,\"function\":{\"arguments\":\"\\\":1}\"}}") PIECE(
                "{\"index\":1,\"id\":\"call_b\",\"type\":\"function\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"\"}}") PIECE("{\"index\":1,\"function\":{\"arguments\":\"{}\"}}")
                OUT_HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"
                         "data: [DONE]\n\n");
    assert_int_equal(st.calls, 2);
    check_put(true);
}

/* The relay passed an upstream's bytes until a frame had a flaw. */
static void a_stream_goes_on_where_the_upstreams_own_bytes_ended(void **state)
{
    (void)state;
    struct dialect_out st = new_out(true);
    st.started = true;
    st.calls = 2; /* the second one is open, and has arguments */
    put(&st, EV_ARGS(1, "}"));
    put(&st, EV_CALL_END(1));
    put(&st, EV_CALL(2, "c", "h"));
    put(&st, EV_ARGS(2, "{}"));
    put(&st, EV_CALL_END(2));
    put(&st, EV_FINISH(LLM_FINISH_CALLS));
    put(&st, EV_END);
#define PIECE_U(call)                                                                              \
    OUT_HEAD "{\"index\":0,\"delta\":{\"tool_calls\":[" call                                       \
             "]},\"finish_reason\":null}],\"usage\":null}\n\n"
    assert_string_equal(
        text_of(&out),
        PIECE_U("{\"index\":1,\"function\":{\"arguments\":\"}\"}}")
            PIECE_U("{\"index\":2,\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"h\","
                    "\"arguments\":"
                    "\"\"}}") PIECE_U("{\"index\":2,\"function\":{\"arguments\":\"{}\"}}") OUT_HEAD
        "{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n" OUT_HEAD
        "],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":1,\"total_tokens\":12}}\n\n"
        "data: [DONE]\n\n");

    /* its end: with an open call that has nothing to come, and with the finish chunk behind it */
    st = new_out(false);
    st.started = true;
    st.calls = 1;
    put(&st, EV_CALL_END(0));
    put(&st, EV_END);
    assert_string_equal(text_of(&out), "data: [DONE]\n\n");
}

static void a_reply_has_its_calls(void **state)
{
    (void)state;
    struct llm_reply r;
    struct dialect_out st = new_out(false);
    llm_reply_init(&r, 1 << 16);
    assert_true(llm_reply_add(&r, &EV_CALL(0, "a", "f"), &keep));
    assert_true(llm_reply_add(&r, &EV_ARGS(0, "{\"x\":\"y\"}"), &keep));
    assert_true(llm_reply_add(&r, &EV_CALL_END(0), &keep));
    assert_true(llm_reply_add(&r, &EV_CALL(1, "b", "g"), &keep));
    assert_true(llm_reply_add(&r, &EV_CALL_END(1), &keep));
    r.finish = LLM_FINISH_CALLS;
    assert_true(dialect_openai.encode_reply(&st, &r, &out));
    assert_non_null(strstr(text_of(&out),
                           "\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
                           "\"id\":\"a\",\"type\":"
                           "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":"
                           "\\\"y\\\"}\"}},{\"id\":"
                           "\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
                           "\"{}\"}}],\"refusal\":"
                           "null},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]"));
    reply_put(&r, LLM_EV_TEXT, "so");
    buf_clear(&out);
    assert_true(dialect_openai.encode_reply(&st, &r, &out));
    assert_non_null(strstr(text_of(&out), "\"content\":\"so\",\"tool_calls\":[{\"id\":\"a\""));
    llm_reply_fini(&r);
}

/* A caller from before tools: it reads function_call, and finish_reason function_call. */
static void who_asks_with_functions_is_answered_with_a_function_call(void **state)
{
    (void)state;
    static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
                               "\"hi\"}],\"functions\":[{\"name\":\"f\"}]}";
    struct llm_request asked;
    struct err err = ERR_INIT;
    assert_true(dialect_openai.decode_request(STRV(body), LLM_OP_CHAT, &keep, &asked, &err));
    struct dialect_out st = new_out(false);
    st.r = &asked;
    put(&st, EV_START);
    st.r = NULL; /* gone with the first byte */
    buf_clear(&out);
    put(&st, EV_CALL(0, "a", "f"));
    put(&st, EV_ARGS(0, "{}"));
    put(&st, EV_CALL_END(0));
    put(&st, EV_CALL(1, "b", "f")); /* there is room for one */
    put(&st, EV_CALL_END(1));
    put(&st, EV_FINISH(LLM_FINISH_CALLS));
    put(&st, EV_END);
    assert_string_equal(
        text_of(&out), OUT_HEAD
        "{\"index\":0,\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}},"
        "\"finish_reason\":null}]}\n\n" OUT_HEAD
        "{\"index\":0,\"delta\":{\"function_call\":{\"arguments\":\"{}\"}},\"finish_reason\":"
        "null}]}\n\n" OUT_HEAD
        "{\"index\":0,\"delta\":{},\"finish_reason\":\"function_call\"}]}\n\ndata: [DONE]\n\n");

    struct llm_reply r;
    llm_reply_init(&r, 1 << 16);
    assert_true(llm_reply_add(&r, &EV_CALL(0, "a", "f"), &keep));
    assert_true(llm_reply_add(&r, &EV_CALL_END(0), &keep));
    r.finish = LLM_FINISH_CALLS;
    st = new_out(false);
    st.r = &asked;
    assert_true(dialect_openai.encode_reply(&st, &r, &out));
    assert_non_null(strstr(
        text_of(&out), "\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"},"
                       "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"function_call\""));
    llm_reply_fini(&r);
}

static void trap_22_every_piece_of_reasoning_comes_through(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"reasoning\":\"a\",\"content\":\"\"}"),
                               DELTA("{\"reasoning\":\"b\",\"content\":null}"),
                               DELTA("{\"reasoning\":\"c\",\"content\":\"d\"}"),
                               DELTA("{\"reasoning\":\"e\"}")),
                        "start(c1,m) reasoning(a) reasoning(b) reasoning(c) text(d) reasoning(e)");
}

static void trap_24_cached_tokens_are_part_of_the_prompt(void **state)
{
    (void)state;
    /* told in every chunk, and more than once: the last figure counts, none is added to another */
    struct llm_usage sum = LLM_USAGE_NONE, last = {20, 5, 16, 4, 3, -1, -1, -1, -1, -1};
    llm_usage_merge(&sum, &(struct llm_usage){20, 1, 16, -1, -1, -1, -1, -1, -1, -1});
    llm_usage_merge(&sum, &last);
    assert_memory_equal(&sum, &last, sizeof sum);
    assert_string_equal(
        STREAM(HEAD("\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":1,"
                    "\"prompt_tokens_details\":{\"cached_tokens\":16}}"),
               HEAD("\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,"
                    "\"prompt_tokens_details\":null,\"completion_tokens_details\":null}")),
        "start(c1,m) usage(in=20,out=1,cached=16) usage(in=20,out=5)");
    struct dialect_out st = new_out(true);
    put(&st, EV_START);
    put(&st, EV_FINISH(LLM_FINISH_STOP));
    put(&st, EV_USAGE(20, 1, 16, -1, -1, -1, -1, -1, -1, -1));
    put(&st, EV_USAGE(20, 5, 16, 4, 3, -1, -1, -1, -1, -1));
    put(&st, EV_END);
    assert_non_null(
        strstr(text_of(&out),
               "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"
               "\"prompt_tokens_details\":{\"cached_tokens\":16,\"cache_write_tokens\":4},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":3}}}"));
}

static void trap_31_letters_in_pieces_stay_whole(void **state)
{
    (void)state;
    assert_string_equal(STREAM(DELTA("{\"content\":\"\xf0\x9f\x98\x80\"}"),
                               DELTA("{\"content\":\"\\ud83d\\ude00\"}")),
                        "start(c1,m) text(\xf0\x9f\x98\x80) text(\xf0\x9f\x98\x80)");
    /* half a letter is not passed on as if it were one */
    assert_non_null(strstr(STREAM(DELTA("{\"content\":\"\xf0\x9f\"}")), "FAIL"));
    assert_non_null(strstr(STREAM(DELTA("{\"content\":\"\\ud83d\"}")), "FAIL"));
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
    put(&st, EV_CALL(0, "i\"d", "f"));
    put(&st, EV_ARGS(0, "{\"x\":\"\\u00e9\"}"));
    put(&st, EV_CALL_END(0));
    put(&st, EV_FINISH(LLM_FINISH_LENGTH));
    put(&st, EV_USAGE(9, 8, 7, 6, 5, -1, -1, -1, -1, -1));
    put(&st, EV_END);
    check_put(true);
    strv bytes = buf_view(&out), name, data;
    struct dialect_in in = new_in();
    struct err err = ERR_INIT;
    while (data_event(&bytes, &name, &data))
        assert_true(feed(&in, data, &err));
    static const char expected[] = "start(chatcmpl-1,m) reasoning(a\"\\\n) text(b\xf0\x9f\x98\x80) "
                                   "text() call(0,i\"d,f) args(0,{\"x\":\"\\u00e9\"}) "
                                   "call_end(0) finish(length:length) "
                                   "usage(in=9,out=8,cached=7,write=6,reasoning=5) end";
    assert_false(in.flaw); /* or we would not be a good upstream */
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

static void every_way_to_answer_keeps_the_rules(void **state)
{
    (void)state;
    static const struct llm_event answers[][8] = {
        {{.kind = LLM_EV_START},
         {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_STOP},
         {.kind = LLM_EV_END}},
        {{.kind = LLM_EV_START},
         {.kind = LLM_EV_REASONING, .text = STRV("secret"), .redacted = true},
         {.kind = LLM_EV_SIGNATURE, .text = STRV("s")},
         {.kind = LLM_EV_TEXT, .text = STRV("a")},
         {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_OTHER, .raw_finish = STRV("sunset")},
         {.kind = LLM_EV_END}},
        {{.kind = LLM_EV_START},
         {.kind = LLM_EV_CALL, .id = STRV("a"), .name = STRV("f")},
         {.kind = LLM_EV_CALL_END},
         {.kind = LLM_EV_TEXT, .text = STRV("a")},
         {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_CALLS},
         {.kind = LLM_EV_USAGE, .usage = {1, 2, -1, -1, -1, -1, -1, -1, -1, -1}},
         {.kind = LLM_EV_END}},
        {{.kind = LLM_EV_START},
         {.kind = LLM_EV_TEXT, .choice = 1, .text = STRV("a")},
         {.kind = LLM_EV_FINISH, .choice = 1, .finish = LLM_FINISH_STOP},
         {.kind = LLM_EV_FINISH, .finish = LLM_FINISH_LENGTH},
         {.kind = LLM_EV_END}},
    };
    for (size_t i = 0; i < 2 * COUNT(answers); i++) {
        struct dialect_out st = new_out(i >= COUNT(answers));
        const struct llm_event *ev = answers[i % COUNT(answers)];
        do
            put(&st, *ev);
        while ((ev++)->kind != LLM_EV_END);
        check_put(true);
        assert_null(strstr(text_of(&out), "secret"));
    }
    struct dialect_out st = new_out(false);
    put(&st, EV_START);
    dialect_openai.stream_error(&st, LLM_ERR_UPSTREAM_CUT, STRV("cut"), STRV_NONE, &out);
    check_put(false);
}

static bool ignore(void *arg, const struct llm_event *ev)
{
    (void)arg;
    (void)ev;
    return true;
}

/* Answers with calls held back, under every refusal of memory. */
static void refused_memory_in_calls_is_told(void **state)
{
    (void)state;
    static const char *const frames[] = {CALLS(BEGIN(0, "a", "f", "{")),
                                         CALLS(BEGIN(1, "b", "g", "{")),
                                         DELTA("{\"content\":\"x\"}"),
                                         CALLS(MORE(0, "}")),
                                         CALLS(MORE(1, "}")),
                                         FINISH("tool_calls")};
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct arena small, scratch;
        struct dialect_in in = new_in();
        struct err err = ERR_INIT;
        bool ok = true;
        arena_init(&small, 64, 1 << 20);
        arena_init(&scratch, 64, 1 << 20);
        in.arena = &small;
        in.scratch = &scratch;
        in.emit = ignore; /* the trace has memory of its own */
        mem_fail_at(n, true);
        for (size_t i = 0; ok && i < COUNT(frames); i++) {
            ok = dialect_openai.decode_frame(&in, STRV_NONE, strv_of(frames[i]), &err);
            arena_reset(&scratch);
        }
        done = mem_count() < n;
        mem_fail_at(0, false);
        assert_true(ok || !done); /* giving memory back may be refused without harm */
        if (!ok)
            assert_int_equal(err.code, ERR_CODE_OOM);
        arena_fini(&small);
        arena_fini(&scratch);
    }
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
        cmocka_unit_test(trap_6_text_in_the_first_delta_is_not_lost),
        cmocka_unit_test(trap_19_reasoning_has_two_names),
        cmocka_unit_test(trap_25_a_chunk_without_choices_is_harmless),
        cmocka_unit_test(trap_33_done_without_a_finish_reason_is_no_end),
        cmocka_unit_test(trap_36_done_after_an_error_is_no_success),
        cmocka_unit_test(errors_come_in_many_envelopes),
        cmocka_unit_test(what_is_no_chunk_is_refused),
        cmocka_unit_test(trap_32_empty_frames_and_blanks_are_harmless),
        cmocka_unit_test(choices_keep_their_index),
        cmocka_unit_test(timings_stand_in_for_usage),
        cmocka_unit_test(a_receiver_that_stops_is_not_called_again),
        cmocka_unit_test(calls_become_events),
        cmocka_unit_test(trap_2_a_stop_after_calls_is_a_flaw),
        cmocka_unit_test(trap_3_calls_with_one_index_or_none_are_told_apart),
        cmocka_unit_test(ids_and_names_said_again_are_one_call),
        cmocka_unit_test(pieces_of_two_calls_that_mix_are_held_back),
        cmocka_unit_test(a_call_without_arguments_has_an_empty_object),
        cmocka_unit_test(trap_4_arguments_as_an_object_are_taken_as_text),
        cmocka_unit_test(trap_11_numbers_in_arguments_keep_their_spelling),
        cmocka_unit_test(the_old_function_call_is_a_call),
        cmocka_unit_test(content_in_parts_is_read),
        cmocka_unit_test(calls_of_two_choices_do_not_mix),
        cmocka_unit_test(trap_26_ids_that_change_are_a_flaw),
        cmocka_unit_test(what_is_no_call_is_refused),
        cmocka_unit_test(calls_without_end_are_bounded),
        cmocka_unit_test(a_whole_body_becomes_the_same_events),
        cmocka_unit_test(whole_bodies_have_flaws),
        cmocka_unit_test(two_calls_in_a_whole_body_are_two_whatever_they_are_called),
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
        cmocka_unit_test(calls_go_out_in_pieces),
        cmocka_unit_test(a_stream_goes_on_where_the_upstreams_own_bytes_ended),
        cmocka_unit_test(a_reply_has_its_calls),
        cmocka_unit_test(who_asks_with_functions_is_answered_with_a_function_call),
        cmocka_unit_test(what_is_encoded_decodes_to_the_same),
        cmocka_unit_test(trap_22_every_piece_of_reasoning_comes_through),
        cmocka_unit_test(trap_24_cached_tokens_are_part_of_the_prompt),
        cmocka_unit_test(trap_31_letters_in_pieces_stay_whole),
        cmocka_unit_test(ids_are_random),
        cmocka_unit_test(every_way_to_answer_keeps_the_rules),
        cmocka_unit_test(refused_memory_in_calls_is_told),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
