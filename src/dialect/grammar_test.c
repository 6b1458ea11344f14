/* SPDX-License-Identifier: Apache-2.0 */
/* grammar: every rule of a legal stream is kept by a legal one, and seen when it is broken. */
#include "dialect/grammar.h"
#include "dialect/testing.h"

static struct arena arena;

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 16 << 20);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* ---- JSON in pieces ---- */

static bool scans(strv text, size_t cut)
{
    struct dialect_scan s;
    grammar_scan_init(&s);
    grammar_scan_feed(&s, (strv){text.ptr, cut});
    grammar_scan_feed(&s, strv_from(text, cut));
    return grammar_scan_whole(&s);
}

static void json_is_seen_for_what_it_is_at_every_split(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        " [ ] ",
        "{\"a\":1}",
        "{\"a\":[1,-2.5,0.1e+9,1E-2,0],\"b\":{\"c\":null,\"d\":true,\"e\":false}}",
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"caf\xc3\xa9\"",
        "-0",
        "123",
        "[[[[{}]]]]",
        "{\"a\" : [ 1 , 2 ] }",
    };
    static const char *const bad[] = {
        "",      "{",  "{\"a\"}", "{\"a\":}",    "{\"a\":1,}", "[1,]",     "[1 2]",
        "{]",    "[}", "01",      "-",           "1.",         "1e",       "tru",
        "nulll", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\n\"",     "{} {}",    "{a:1}",
        "1 2",   "+1", "{1:2}",   "]",           "{\"a\":1}}", "\"\\u123", ".5",
    };
    for (size_t i = 0; i < COUNT(good); i++)
        for (size_t cut = 0; cut <= strlen(good[i]); cut++)
            assert_true(scans(strv_of(good[i]), cut));
    for (size_t i = 0; i < COUNT(bad); i++)
        for (size_t cut = 0; cut <= strlen(bad[i]); cut++)
            assert_false(scans(strv_of(bad[i]), cut));
    char deep[2 * JSON_DEPTH_MAX + 3];
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    deep[2 * JSON_DEPTH_MAX + 2] = '\0';
    assert_false(scans(strv_of(deep), 7));
    assert_true(scans((strv){deep + 1, (size_t)2 * JSON_DEPTH_MAX}, 7));
}

/* ---- streams ---- */

/* A frame is its data, or "name|data". "END" and "CUT" end the stream, complete or not. */
static bool feed(struct dialect_check *c, const char *frame)
{
    const char *bar = frame[0] == '{' || frame[0] == '[' ? NULL : strchr(frame, '|');
    strv name = bar != NULL ? (strv){frame, (size_t)(bar - frame)} : STRV("");
    bool ok;
    if (strcmp(frame, "END") == 0 || strcmp(frame, "CUT") == 0)
        return dialect_check_end(c, frame[0] == 'E');
    ok = dialect_check_frame(c, name, strv_of(bar != NULL ? bar + 1 : frame), &arena);
    arena_reset(&arena);
    return ok;
}

/* The rule that the stream breaks with its last frame, and with no earlier one; "" = it is legal. */
static const char *judge(enum llm_dialect d, enum llm_op op, bool passed, const char *const *frames)
{
    static struct dialect_check c;
    dialect_check_init(&c, d, op);
    c.passed = passed;
    for (; *frames != NULL; frames++) {
        bool ok = feed(&c, *frames);
        assert_int_equal(ok, c.broken == NULL);
        if (!ok && frames[1] != NULL)
            fail_msg("frame %s broke a rule too early: %s", *frames, c.broken);
    }
    return c.broken != NULL ? c.broken : "";
}

#define FRAMES(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

struct row {
    const char *frames[24];
    const char *rule; /* "" = legal */
    bool harmless;    /* legal where an upstream's own bytes go on */
};

static void judge_all(enum llm_dialect d, enum llm_op op, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(judge(d, op, false, rows[i].frames), rows[i].rule);
        assert_string_equal(judge(d, op, true, rows[i].frames),
                            rows[i].harmless ? "" : rows[i].rule);
    }
}

/* ---- OpenAI ---- */

#define CHUNK(choices)                                                                             \
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","            \
    "\"choices\":[" choices "]}"
#define CHOICE(delta, finish)                                                                      \
    CHUNK("{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}")
#define ROLE        CHOICE("\"role\":\"assistant\",\"content\":\"\"", "null")
#define SAY(text)   CHOICE("\"content\":\"" text "\"", "null")
#define FIN(word)   CHOICE("", "\"" word "\"")
#define CALLS(list) CHOICE("\"tool_calls\":[" list "]", "null")
#define CALL(n, args)                                                                              \
    CALLS("{\"index\":" n ",\"id\":\"call_" n "\",\"type\":\"function\",\"function\":"             \
          "{\"name\":\"f\",\"arguments\":\"" args "\"}}")
#define ARGS(n, args) CALLS("{\"index\":" n ",\"function\":{\"arguments\":\"" args "\"}}")
#define DONE          "[DONE]"
/* with the usage that was asked for */
#define UCHUNK(choices, usage)                                                                     \
    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","            \
    "\"choices\":[" choices "],\"usage\":" usage "}"
#define UROLE                                                                                      \
    UCHUNK("{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}", "null")
#define UFIN   UCHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", "null")
#define COUNTS "{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}"
#define USAGE  UCHUNK("", COUNTS)
#define OERROR "{\"error\":{\"message\":\"x\",\"type\":\"api_error\",\"param\":null,\"code\":null}}"

static void chat_streams_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(ROLE, SAY("Hi"), FIN("stop"), DONE, "END"), "", 0},
        {FRAMES(ROLE, FIN("content_filter"), DONE, "END"), "", 0},
        {FRAMES(UROLE, UFIN, USAGE, DONE, "END"), "", 0},
        {FRAMES(ROLE, CHOICE("\"reasoning_content\":\"hm\"", "null"), SAY("Hi"), FIN("stop"), DONE,
                "END"),
         "", 0},
        {FRAMES(ROLE, SAY("I look"), CALL("0", ""), ARGS("0", "{\\\"a\\\""), ARGS("0", ":1}"),
                CALL("1", "{}"), FIN("tool_calls"), DONE, "END"),
         "", 0},
        {FRAMES(ROLE, CALL("0", "{}"), SAY("and"), CALL("1", "[1]"), FIN("tool_calls"), DONE,
                "END"),
         "", 0},
        {FRAMES(ROLE, CALL("0", "{\\\"a\\\""), FIN("length"), DONE, "END"), "", 0},
        {FRAMES(ROLE, SAY("Hi"), OERROR, "CUT"), "", 0},
        {FRAMES(OERROR, "CUT"), "", 0},
        /* the frame */
        {FRAMES("x|" ROLE), "frames have no name", 0},
        {FRAMES("{"), "every frame is one JSON object", 0},
        {FRAMES("[1]"), "every frame is one JSON object", 0},
        {FRAMES(
             "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"}"),
         "every chunk has choices, if none", 0},
        {FRAMES("{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
                "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":"
                "null}]}"),
         "object names the kind of chunk", 1},
        /* trap 26 */
        {FRAMES(ROLE, "{\"id\":\"d\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                      "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                      "null}]}"),
         "id is the same in every chunk", 1},
        {FRAMES(ROLE, "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                      "\"model\":\"n\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                      "null}]}"),
         "model is the same in every chunk", 1},
        {FRAMES(ROLE, "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":2,"
                      "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                      "null}]}"),
         "created is the same in every chunk", 1},
        {FRAMES("{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":\"1\","
                "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},"
                "\"finish_reason\":null}]}"),
         "created is a number", 1},
        /* the choice */
        {FRAMES(CHUNK("{\"delta\":{},\"finish_reason\":null}")), "a choice has an index", 0},
        {FRAMES(CHUNK("{\"index\":128,\"delta\":{},\"finish_reason\":null}")),
         "a choice has an index", 0},
        {FRAMES(CHUNK("{\"index\":0,\"finish_reason\":null}")), "a choice has a delta", 0},
        {FRAMES(CHUNK("{\"index\":0,\"delta\":{\"role\":\"assistant\"}}")),
         "a choice has a finish_reason, if null", 1},
        {FRAMES(SAY("Hi")), "the role comes once, in the first delta of a choice", 1},
        {FRAMES(ROLE, ROLE), "the role comes once, in the first delta of a choice", 1},
        {FRAMES(CHOICE("\"role\":\"user\"", "null")), "the role is assistant", 1},
        {FRAMES(ROLE, CHOICE("\"content\":[]", "null")), "content is text or null", 0},
        {FRAMES(ROLE, CHOICE("\"reasoning_content\":{}", "null")), "reasoning is text", 0},
        {FRAMES(ROLE, FIN("stop"), SAY("Hi")), "nothing of a choice follows its finish_reason", 0},
        {FRAMES(ROLE, FIN("stop"), FIN("stop")), "nothing of a choice follows its finish_reason",
         0},
        {FRAMES(ROLE, CHOICE("", "7")), "finish_reason is null or a word", 0},
        {FRAMES(ROLE, FIN("end_turn")), "finish_reason is one of the known words", 1},
        /* calls; traps 2 to 5 */
        {FRAMES(ROLE, CHOICE("\"tool_calls\":{}", "null")), "tool_calls is a list", 0},
        {FRAMES(ROLE, CALLS("")), "tool_calls is never empty", 1},
        {FRAMES(ROLE, CALLS("{\"id\":\"a\",\"function\":{\"name\":\"f\"}}")),
         "a piece of a call has an index", 0},
        {FRAMES(ROLE, CALL("1", "{}")), "calls are numbered without gaps", 0},
        {FRAMES(ROLE, CALL("0", "{}"), CALL("2", "{}")), "calls are numbered without gaps", 0},
        {FRAMES(ROLE, CALL("0", "{}"), CALL("0", "{}")), "id and name of a call come once", 1},
        {FRAMES(ROLE, CALL("0", "{"), CALL("1", "{}")), "the arguments of a call are JSON", 0},
        {FRAMES(ROLE, CALL("0", "{}"), CALL("1", "{"), ARGS("0", "}")),
         "pieces of calls do not mix", 0},
        {FRAMES(ROLE, CALL("0", "{}"), SAY("Hi"), ARGS("0", " ")), "pieces of calls do not mix", 0},
        {FRAMES(ROLE, CALL("0", "{"), SAY("Hi")), "the arguments of a call are JSON", 0},
        {FRAMES(ROLE, CALL("0", ""), FIN("tool_calls")), "the arguments of a call are JSON", 0},
        {FRAMES(ROLE, CALL("0", "{} x"), FIN("tool_calls")), "the arguments of a call are JSON", 0},
        {FRAMES(ROLE, CALLS("{\"index\":0,\"type\":\"function\",\"function\":{\"name\":\"f\","
                            "\"arguments\":\"\"}}")),
         "a call begins with its id", 0},
        {FRAMES(
             ROLE,
             CALLS("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}")),
         "a call begins with its type", 0},
        {FRAMES(ROLE, CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{"
                            "\"arguments\":\"\"}}")),
         "a call begins with its name", 0},
        {FRAMES(ROLE, CALLS("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{"
                            "\"name\":\"f\",\"arguments\":{}}}")),
         "a call begins with arguments, if empty", 0},
        {FRAMES(ROLE, CALL("0", "{"), CALLS("{\"index\":0,\"function\":{\"arguments\":{}}}")),
         "arguments are text", 0},
        {FRAMES(ROLE, CALL("0", "{}"), FIN("stop")), "after a call the finish_reason is tool_calls",
         1},
        {FRAMES(ROLE, FIN("tool_calls")), "finish_reason tool_calls follows a call", 1},
        /* usage; trap 25 */
        {FRAMES(UROLE, UFIN, UCHUNK("", "null")), "only the chunk with the usage has no choices",
         1},
        {FRAMES(ROLE, FIN("stop"), USAGE), "usage comes only where it was asked for", 1},
        {FRAMES(UROLE, UFIN, UCHUNK("", "7")), "usage is an object", 0},
        {FRAMES(UROLE, UFIN, UCHUNK("", "{\"prompt_tokens\":1}")), "usage has its three counts", 0},
        {FRAMES(UROLE, USAGE), "usage comes after every finish_reason", 0},
        {FRAMES(UROLE, UFIN, USAGE, USAGE), "only [DONE] follows the usage", 0},
        {FRAMES(UROLE, UCHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":null}", COUNTS)),
         "usage has a chunk of its own", 1},
        {FRAMES(UROLE, SAY("Hi")), "usage is null in every chunk or in none", 1},
        {FRAMES(UROLE, UFIN, DONE), "a promised usage comes", 1},
        /* the end */
        {FRAMES(DONE), "[DONE] comes after every finish_reason", 0},
        {FRAMES(ROLE, DONE), "[DONE] comes after every finish_reason", 0},
        {FRAMES(ROLE, FIN("stop"), DONE, DONE), "nothing follows the end mark", 0},
        {FRAMES(OERROR, DONE), "nothing follows an error", 0},
        {FRAMES(ROLE, "{\"error\":{\"type\":\"x\"}}"), "an error has a message", 0},
        {FRAMES(ROLE, FIN("stop"), "END"), "a complete stream has its end mark", 0},
        {FRAMES(OERROR, "END"), "a complete stream has its end mark", 0},
        {FRAMES(ROLE, "CUT"), "a failed stream ends with the error and no end mark", 0},
        {FRAMES(ROLE, FIN("stop"), DONE, "CUT"),
         "a failed stream ends with the error and no end mark", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        /* two rules of the same frame: form comes first, and with an upstream's bytes the second is seen */
        bool twice = strcmp(rows[i].rule, "only [DONE] follows the usage") == 0;
        assert_string_equal(judge(LLM_OPENAI, LLM_OP_CHAT, false, rows[i].frames), rows[i].rule);
        assert_string_equal(judge(LLM_OPENAI, LLM_OP_CHAT, true, rows[i].frames),
                            rows[i].harmless ? ""
                            : twice          ? "usage comes once"
                                             : rows[i].rule);
    }
}

static void choices_may_alternate(void **state)
{
    (void)state;
#define OF(n, delta, finish)                                                                       \
    CHUNK("{\"index\":" n ",\"delta\":{" delta "},\"finish_reason\":" finish "}")
    static const struct row rows[] = {
        {FRAMES(ROLE, OF("1", "\"role\":\"assistant\"", "null"), SAY("a"),
                OF("1", "\"content\":\"b\"", "null"), OF("1", "", "\"stop\""), FIN("length"), DONE,
                "END"),
         "", 0},
        {FRAMES(ROLE, OF("127", "\"role\":\"assistant\"", "null"), FIN("stop"), DONE),
         "[DONE] comes after every finish_reason", 0},
        {FRAMES(ROLE, OF("1", "\"content\":\"b\"", "null")),
         "the role comes once, in the first delta of a choice", 1},
    };
    judge_all(LLM_OPENAI, LLM_OP_CHAT, rows, COUNT(rows));
}

static void completion_streams_are_judged(void **state)
{
    (void)state;
#define TEXT(text, finish)                                                                         \
    "{\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{"    \
    "\"index\":0,\"text\":" text ",\"logprobs\":null,\"finish_reason\":" finish "}]}"
    static const struct row rows[] = {
        {FRAMES(TEXT("\"a\"", "null"), TEXT("\"\"", "\"length\""), DONE, "END"), "", 0},
        {FRAMES(TEXT("null", "null")), "a choice has a text", 0},
        {FRAMES(TEXT("\"a\"", "\"tool_calls\"")), "finish_reason is one of the known words", 0},
        {FRAMES(ROLE), "object names the kind of chunk", 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(judge(LLM_OPENAI, LLM_OP_GENERATE, false, rows[i].frames),
                            rows[i].rule);
}

/* ---- Anthropic ---- */

#define EV(type, rest) type "|{\"type\":\"" type "\"" rest "}"
#define MESSAGE(rest)                                                                              \
    EV("message_start", ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":"            \
                        "\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,"       \
                        "\"stop_sequence\":null" rest "}")
#define START           MESSAGE(",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}")
#define BLOCK(n, block) EV("content_block_start", ",\"index\":" n ",\"content_block\":{" block "}")
#define DELTA(n, type, rest)                                                                       \
    EV("content_block_delta", ",\"index\":" n ",\"delta\":{\"type\":\"" type "\"" rest "}")
#define STOP(n)        EV("content_block_stop", ",\"index\":" n)
#define BTEXT(n)       BLOCK(n, "\"type\":\"text\",\"text\":\"\"")
#define DTEXT(n, t)    DELTA(n, "text_delta", ",\"text\":\"" t "\"")
#define BTHINK(n)      BLOCK(n, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
#define DTHINK(n, t)   DELTA(n, "thinking_delta", ",\"thinking\":\"" t "\"")
#define DSIGN(n)       DELTA(n, "signature_delta", ",\"signature\":\"\"")
#define BTOOL(n)       BLOCK(n, "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}")
#define DTOOL(n, json) DELTA(n, "input_json_delta", ",\"partial_json\":\"" json "\"")
#define MDELTA(reason)                                                                             \
    EV("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\",\"stop_sequence\":null},"      \
                        "\"usage\":{\"output_tokens\":2}")
#define MSTOP EV("message_stop", "")
#define PING  EV("ping", "")
#define AERROR                                                                                     \
    EV("error", ",\"error\":{\"type\":\"api_error\",\"message\":\"x\"},\"request_id\":null")

static void message_streams_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(START, PING, BTEXT("0"), DTEXT("0", "Hi"), PING, STOP("0"), MDELTA("end_turn"),
                MSTOP, "END"),
         "", 0},
        {FRAMES(START, BTHINK("0"), DTHINK("0", "hm"), DSIGN("0"), STOP("0"), BTEXT("1"),
                DTEXT("1", "Hi"), STOP("1"), BTOOL("2"), DTOOL("2", "{\\\"a\\\""),
                DTOOL("2", ":1}"), STOP("2"), BTOOL("3"), DTOOL("3", "{}"), STOP("3"),
                MDELTA("tool_use"), MSTOP, "END"),
         "", 0},
        {FRAMES(START, MDELTA("refusal"), MSTOP, "END"), "", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"redacted_thinking\",\"data\":\"x\""), STOP("0"),
                MDELTA("max_tokens"), MSTOP, "END"),
         "", 0},
        {FRAMES(START, BTHINK("0"), DSIGN("0"), STOP("0"), MDELTA("end_turn"), MSTOP, "END"), "",
         0},
        {FRAMES(START, BTOOL("0"), DTOOL("0", "{"), STOP("0"), MDELTA("max_tokens"), MSTOP, "END"),
         "", 0},
        {FRAMES(START,
                EV("message_delta", ",\"delta\":{\"stop_reason\":\"stop_sequence\","
                                    "\"stop_sequence\":\"X\"},\"usage\":{\"output_tokens\":2}"),
                MSTOP, "END"),
         "", 0},
        {FRAMES(START, EV("message_delta", ",\"delta\":{},\"usage\":{\"output_tokens\":2}"),
                MDELTA("end_turn"), MSTOP, "END"),
         "", 0},
        {FRAMES(START, BTEXT("0"), AERROR, "CUT"), "", 0},
        {FRAMES(AERROR, "CUT"), "", 0},
        {FRAMES(START, BTEXT("0"), DELTA("0", "citations_delta", ",\"citation\":{}"),
                DTEXT("0", "x"), STOP("0")),
         "", 0},
        /* events */
        {FRAMES("{\"type\":\"ping\"}"), "an event's name is its type", 0},
        {FRAMES("ping|{\"type\":\"pong\"}"), "an event's name is its type", 0},
        {FRAMES(PING), "message_start comes first", 0},
        {FRAMES(START, EV("hello", "")), "an event is of a known type", 1},
        /* message_start; trap 7 */
        {FRAMES(START, START), "message_start comes once", 0},
        {FRAMES(MESSAGE("")), "the message has input_tokens", 0},
        {FRAMES(MESSAGE(",\"usage\":{\"input_tokens\":1}")), "the message has output_tokens", 0},
        {FRAMES(EV("message_start", ",\"message\":{\"type\":\"message\"}")),
         "the message has an id", 0},
        {FRAMES(EV("message_start", ",\"message\":{\"id\":\"m\",\"type\":\"message\"}")),
         "the message is the assistant's", 0},
        {FRAMES(EV("message_start",
                   ",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\"}")),
         "the message has a model", 0},
        {FRAMES(EV("message_start", ",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":"
                                    "\"assistant\",\"model\":\"m\",\"content\":[1]}")),
         "the message begins without content", 0},
        {FRAMES(EV("message_start", ",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":"
                                    "\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":"
                                    "\"end_turn\"}")),
         "the message begins without a stop_reason", 0},
        /* blocks; traps 8 and 9 */
        {FRAMES(START, BTEXT("0"), BTEXT("1")), "blocks do not overlap", 0},
        {FRAMES(START, BTEXT("1")), "blocks are numbered without gaps", 0},
        {FRAMES(START, BTEXT("0"), DTEXT("0", "x"), STOP("0"), BTEXT("0")),
         "blocks are numbered without gaps", 0},
        {FRAMES(START, MDELTA("end_turn"), BTEXT("0")), "no block begins after message_delta", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"text\"")), "a block of text begins with a text", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"thinking\"")), "a block of thinking begins with one",
         0},
        {FRAMES(START, BLOCK("0", "\"type\":\"redacted_thinking\"")), "redacted thinking has data",
         0},
        {FRAMES(START, BLOCK("0", "\"type\":\"tool_use\",\"name\":\"f\",\"input\":{}")),
         "a tool_use has an id", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}")),
         "a tool_use has a name", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"")),
         "a tool_use begins with an input", 0},
        {FRAMES(START, BLOCK("0", "\"type\":\"server_tool_use\"")), "a block is of a known type",
         1},
        {FRAMES(START, DTEXT("0", "x")), "a delta is of the open block", 0},
        {FRAMES(START, BTEXT("0"), DTEXT("1", "x")), "a delta is of the open block", 0},
        {FRAMES(START, BTEXT("0"), DTHINK("0", "x")), "a delta is of its block's type", 0},
        {FRAMES(START, BTHINK("0"), DTEXT("0", "x")), "a delta is of its block's type", 0},
        {FRAMES(START, BTEXT("0"), DELTA("0", "text_delta", "")), "a delta has its text", 0},
        {FRAMES(START, BTEXT("0"), DELTA("0", "new_delta", "")), "a delta is of a known type", 1},
        {FRAMES(START, BTEXT("0"), STOP("1")), "a stop is of the open block", 0},
        {FRAMES(START, STOP("0")), "a stop is of the open block", 0},
        {FRAMES(START, BTEXT("0"), STOP("0")), "a block of text has some", 1},
        {FRAMES(START, BTEXT("0"), DTEXT("0", ""), STOP("0")), "a block of text has some", 1},
        /* signatures */
        {FRAMES(START, BTHINK("0"), DTHINK("0", "x"), STOP("0")),
         "a block of thinking ends with its signature", 1},
        {FRAMES(START, BTHINK("0"), DSIGN("0"), DTHINK("0", "x")),
         "nothing of a block follows its signature", 0},
        {FRAMES(START, BTHINK("0"), DSIGN("0"), DSIGN("0")), "a signature comes once", 0},
        /* traps 1, 2, 4, 10 */
        {FRAMES(START, BTOOL("0"), STOP("0")), "a tool_use has an input_json_delta", 0},
        {FRAMES(START, BTOOL("0"), DTOOL("0", ""), STOP("0"), MDELTA("tool_use")),
         "the input of a tool_use is an object", 1},
        {FRAMES(START, BTOOL("0"), DTOOL("0", "[1]"), STOP("0"), MDELTA("tool_use")),
         "the input of a tool_use is an object", 0},
        {FRAMES(START, BTOOL("0"), DTOOL("0", "{"), STOP("0"), BTOOL("1"), DTOOL("1", "{}"),
                STOP("1")),
         "the input of a tool_use is an object", 0},
        {FRAMES(START, BTOOL("0"), DTOOL("0", "{}"), STOP("0"), MDELTA("end_turn")),
         "after a tool_use the stop_reason is tool_use", 1},
        {FRAMES(START, MDELTA("tool_use")), "stop_reason tool_use follows a tool_use", 1},
        {FRAMES(START, MDELTA("stop_sequence")), "stop_sequence stands beside its stop_reason", 1},
        {FRAMES(START, MDELTA("done")), "stop_reason is one of the known words", 1},
        /* the end */
        {FRAMES(START, BTEXT("0"), MDELTA("end_turn")),
         "message_delta comes after the last block's stop", 0},
        {FRAMES(START, EV("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}")),
         "message_delta has output_tokens", 0},
        {FRAMES(START, MSTOP), "message_stop follows a stop_reason", 0},
        {FRAMES(START, MDELTA("end_turn"), MSTOP, PING), "nothing follows the end mark", 0},
        {FRAMES(START, AERROR, MSTOP), "nothing follows an error", 0},
        {FRAMES(START, EV("error", ",\"error\":{\"message\":\"x\"}")), "an error has a type", 0},
        {FRAMES(START, EV("error", ",\"error\":{\"type\":\"x\"}")), "an error has a message", 0},
        {FRAMES(START, MDELTA("end_turn"), "END"), "a complete stream has its end mark", 0},
    };
    judge_all(LLM_ANTHROPIC, LLM_OP_CHAT, rows, COUNT(rows));
}

/* ---- Ollama ---- */

#define LINE(rest)    "{\"model\":\"m\",\"created_at\":\"t\"," rest "}"
#define LMSG(message) LINE("\"message\":{\"role\":\"assistant\"," message "},\"done\":false")
#define LSAY(text)    LMSG("\"content\":\"" text "\"")
#define LDONE(reason)                                                                              \
    LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"    \
         "\"" reason "\",\"total_duration\":5,\"eval_count\":2")
#define LCALL(function) LMSG("\"content\":\"\",\"tool_calls\":[{\"function\":{" function "}}]")
#define LERROR          "{\"error\":\"x\"}"

static void ollama_streams_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(LSAY("Hi"), LDONE("stop"), "END"), "", 0},
        {FRAMES(LMSG("\"content\":\"\",\"thinking\":\"hm\""), LDONE("length"), "END"), "", 0},
        {FRAMES(LDONE("load"), "END"), "", 0},
        {FRAMES(LCALL("\"index\":0,\"name\":\"f\",\"arguments\":{}"),
                LCALL("\"index\":1,\"name\":\"g\",\"arguments\":{\"a\":1}"), LDONE("stop"), "END"),
         "", 0},
        {FRAMES(LSAY("Hi"), LERROR, "CUT"), "", 0},
        {FRAMES("x|" LSAY("Hi")), "lines have no name", 0},
        {FRAMES("data"), "every frame is one JSON object", 0},
        {FRAMES("{\"error\":{\"message\":\"x\"}}"), "an error is a text", 0},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"}")),
         "done is true or false", 0},
        {FRAMES(LSAY("Hi"), "{\"model\":\"n\",\"created_at\":\"t\",\"message\":{\"role\":"
                            "\"assistant\",\"content\":\"\"},\"done\":false}"),
         "model is the same in every line", 1},
        {FRAMES("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":"
                "false}"),
         "a line has its time", 0},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false,"
                     "\"done_reason\":\"stop\"")),
         "done_reason stands on the last line", 0},
        {FRAMES(LDONE("tool_calls")), "done_reason is one of the known words", 1},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true")),
         "done_reason is one of the known words", 1},
        {FRAMES(LINE("\"done\":false")), "a line has a message", 0},
        {FRAMES(LINE("\"message\":{\"role\":\"user\",\"content\":\"\"},\"done\":false")),
         "the role is assistant", 0},
        {FRAMES(LMSG("\"content\":null")), "content is a string", 0},
        {FRAMES(LMSG("\"content\":\"\",\"thinking\":null")), "thinking is a string", 0},
        {FRAMES(LMSG("\"content\":\"\",\"tool_calls\":null")),
         "tool_calls is left out or has something in it", 0},
        {FRAMES(LMSG("\"content\":\"\",\"tool_calls\":[]")),
         "tool_calls is left out or has something in it", 0},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"done\":true,"
                     "\"done_reason\":\"stop\"")),
         "the last line says nothing new", 1},
        {FRAMES(LCALL("\"arguments\":{}")), "a call has a name", 0},
        {FRAMES(LCALL("\"name\":\"f\",\"arguments\":\"{}\"")), "arguments of a call are an object",
         0},
        {FRAMES(LCALL("\"index\":0,\"name\":\"f\",\"arguments\":{}"),
                LCALL("\"index\":0,\"name\":\"g\",\"arguments\":{}")),
         "calls are numbered without gaps", 1},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false,"
                     "\"eval_count\":2")),
         "figures stand on the last line", 0},
        {FRAMES(LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,"
                     "\"done_reason\":\"stop\",\"eval_duration\":1.5")),
         "figures are whole numbers", 0},
        {FRAMES(LDONE("stop"), LSAY("Hi")), "nothing follows the end mark", 0},
        {FRAMES(LERROR, LDONE("stop")), "nothing follows an error", 0},
        {FRAMES(LSAY("Hi"), "END"), "a complete stream has its end mark", 0},
    };
    judge_all(LLM_OLLAMA, LLM_OP_CHAT, rows, COUNT(rows));
}

static void ollama_completions_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(LINE("\"response\":\"Hi\",\"done\":false"),
                LINE("\"response\":\"\",\"done\":true,\"done_reason\":\"stop\",\"context\":[1]"),
                "END"),
         "", 0},
        {FRAMES(LSAY("Hi")), "response is a string", 0},
        {FRAMES(LINE("\"response\":\"\",\"thinking\":7,\"done\":false")), "thinking is a string",
         0},
        {FRAMES(LINE("\"response\":\"\",\"context\":[],\"done\":false")),
         "context stands on the last line", 0},
        {FRAMES(LINE("\"response\":\"x\",\"done\":true,\"done_reason\":\"stop\"")),
         "the last line says nothing new", 1},
    };
    judge_all(LLM_OLLAMA, LLM_OP_GENERATE, rows, COUNT(rows));
}

/* ---- native ---- */

#define PIECE(delta, finish, rest)                                                                 \
    "{\"delta\":" delta ",\"provider\":\"p\",\"model\":\"m\",\"finish_reason\":" finish            \
    ",\"tool_calls\":" rest "}"
#define LAST ",\"usage\":null,\"metadata\":{}"

static void native_streams_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(PIECE("\"Hi\"", "null", "null"), PIECE("\"\"", "\"stop\"", "null" LAST), DONE,
                "END"),
         "", 0},
        {FRAMES(PIECE("\"\"", "null", "[{\"id\":\"a\",\"name\":\"f\",\"arguments\":{}}]"),
                PIECE("\"\"", "\"tool_calls\"", "null" LAST), DONE, "END"),
         "", 0},
        {FRAMES("error|{\"detail\":\"x\",\"code\":\"internal_error\",\"request_id\":null}", "CUT"),
         "", 0},
        {FRAMES(PIECE("null", "null", "null")), "delta is a string", 0},
        {FRAMES("x|" PIECE("\"\"", "null", "null")), "only errors have a name", 0},
        {FRAMES(PIECE("\"Hi\"", "null", "null"),
                "{\"delta\":\"\",\"provider\":\"q\",\"model\":\"m\",\"finish_reason\":null}"),
         "provider stays the same", 0},
        {FRAMES(PIECE("\"Hi\"", "null", "null"),
                "{\"delta\":\"\",\"provider\":\"p\",\"model\":\"n\",\"finish_reason\":null}"),
         "model stays the same", 0},
        {FRAMES(PIECE("\"\"", "null", "[]")), "calls are null or a list with something in it", 0},
        {FRAMES(PIECE("\"\"", "null", "[{\"arguments\":{}}]")), "a call has a name", 0},
        {FRAMES(PIECE("\"\"", "null", "[{\"name\":\"f\",\"arguments\":\"{}\"}]")),
         "arguments of a call are an object", 0},
        {FRAMES(PIECE("\"\"", "\"eos\"", "null" LAST)), "finish_reason is one of the known words",
         0},
        {FRAMES(PIECE("\"\"", "\"tool_calls\"", "null" LAST)),
         "finish_reason tool_calls follows a call", 0},
        {FRAMES(PIECE("\"\"", "null", "[{\"name\":\"f\",\"arguments\":{}}]"),
                PIECE("\"\"", "\"stop\"", "null" LAST)),
         "after a call the finish_reason is tool_calls", 0},
        {FRAMES(PIECE("\"x\"", "\"stop\"", "null" LAST)), "the last piece has no text", 0},
        {FRAMES(PIECE("\"\"", "\"stop\"", "null,\"usage\":null")),
         "the last piece has the metadata", 0},
        {FRAMES(PIECE("\"\"", "\"stop\"", "null,\"metadata\":{}")), "the last piece has the usage",
         0},
        {FRAMES(PIECE("\"\"", "\"stop\"", "null" LAST), PIECE("\"\"", "null", "null")),
         "only [DONE] follows the last piece", 0},
        {FRAMES(DONE), "[DONE] follows a finish_reason", 0},
        {FRAMES("error|{\"code\":\"x\"}"), "an error has a detail", 0},
        {FRAMES("error|{\"detail\":\"x\"}"), "an error has a code", 0},
    };
    judge_all(LLM_NATIVE, LLM_OP_CHAT, rows, COUNT(rows));
}

/* ---- Responses ---- */

/* NAME|{"type":NAME,"sequence_number":N ...} */
#define RE(n, type, rest) type "|{\"type\":\"" type "\",\"sequence_number\":" n rest "}"
#define RESP(status, output, rest)                                                                 \
    ",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"" status "\","          \
    "\"output\":[" output "]" rest "}"
#define CREATED     RE("0", "response.created", RESP("in_progress", "", ""))
#define IN_PROGRESS RE("1", "response.in_progress", RESP("in_progress", "", ""))
#define BEGUN       CREATED, IN_PROGRESS
#define ADDED(n, at, item)                                                                         \
    RE(n, "response.output_item.added", ",\"output_index\":" at ",\"item\":{" item "}")
#define ITEM_END(n, at, item)                                                                      \
    RE(n, "response.output_item.done", ",\"output_index\":" at ",\"item\":{" item "}")
#define MSG(content)                                                                               \
    "\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[" content "]"
#define FC(arguments)                                                                              \
    "\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","                 \
    "\"arguments\":\"" arguments "\""
#define RS              "\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]"
#define AT(id)          ",\"item_id\":\"" id "\",\"output_index\":0"
#define IN(id)          AT(id) ",\"content_index\":0"
#define OUT(text)       "{\"type\":\"output_text\",\"text\":\"" text "\"}"
#define PADDED(n, part) RE(n, "response.content_part.added", IN("msg_1") ",\"part\":" part)
#define PDONE(n, part)  RE(n, "response.content_part.done", IN("msg_1") ",\"part\":" part)
#define RDELTA(n, t)                                                                               \
    RE(n, "response.output_text.delta", IN("msg_1") ",\"delta\":\"" t "\",\"logprobs\":[]")
#define RDONE(n, t) RE(n, "response.output_text.done", IN("msg_1") ",\"text\":\"" t "\"")
#define ADELTA(n, t)                                                                               \
    RE(n, "response.function_call_arguments.delta", AT("fc_1") ",\"delta\":\"" t "\"")
#define ADONE(n, t)                                                                                \
    RE(n, "response.function_call_arguments.done", AT("fc_1") ",\"arguments\":\"" t "\"")
#define COMPLETED(n, output) RE(n, "response.completed", RESP("completed", output, ""))
#define RERROR(n)            RE(n, "error", ",\"message\":\"x\",\"code\":null,\"param\":null")
#define OPEN_MSG             BEGUN, ADDED("2", "0", MSG(""))
#define OPEN_PART            OPEN_MSG, PADDED("3", OUT(""))
#define OPEN_CALL            BEGUN, ADDED("2", "0", FC(""))

static void response_streams_are_judged(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FRAMES(OPEN_PART, RDELTA("4", "H"), RDELTA("5", "i"), RDONE("6", "Hi"),
                PDONE("7", OUT("Hi")), ITEM_END("8", "0", MSG(OUT("Hi"))),
                COMPLETED("9", "{" MSG(OUT("Hi")) "}"), "END"),
         "", 0},
        {FRAMES(OPEN_CALL, ADELTA("3", "{"), ADELTA("4", "}"), ADONE("5", "{}"),
                ITEM_END("6", "0", FC("{}")), COMPLETED("7", "{}"), "END"),
         "", 0},
        {FRAMES(BEGUN, ADDED("2", "0", RS),
                RE("3", "response.reasoning_summary_part.added",
                   AT("rs_1") ",\"summary_index\":0,\"part\":{\"type\":\"summary_text\",\"text\":"
                              "\"\"}"),
                RE("4", "response.reasoning_summary_text.delta",
                   AT("rs_1") ",\"summary_index\":0,\"delta\":\"a\""),
                RE("5", "response.reasoning_summary_text.done",
                   AT("rs_1") ",\"summary_index\":0,\"text\":\"a\""),
                RE("6", "response.reasoning_summary_part.done",
                   AT("rs_1") ",\"summary_index\":0,\"part\":{\"type\":\"summary_text\",\"text\":"
                              "\"a\"}"),
                ITEM_END("7", "0", RS), COMPLETED("8", "{}"), "END"),
         "", 0},
        {FRAMES(OPEN_CALL, ADELTA("3", "{"), ADONE("4", "{"), ITEM_END("5", "0", FC("{")),
                RE("6", "response.incomplete",
                   RESP("incomplete", "{}",
                        ",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}")),
                "END"),
         "", 0},
        {FRAMES(BEGUN, RE("2", "response.failed", RESP("failed", "", "")), "CUT"), "", 0},
        {FRAMES(OPEN_PART, RERROR("4"), "CUT"), "", 0},
        {FRAMES(RERROR("0"), "CUT"), "", 0},
        {FRAMES(BEGUN, RERROR("9"), "CUT"), "", 0},
        {FRAMES(BEGUN, RERROR("1")), "every event has the next number", 1},
        /* events */
        {FRAMES("response.created|{\"type\":\"response.creating\"}"), "an event's name is its type",
         0},
        {FRAMES(CREATED, RE("2", "response.in_progress", RESP("in_progress", "", ""))),
         "every event has the next number", 1},
        {FRAMES(RE("0", "response.in_progress", RESP("in_progress", "", ""))),
         "response.created comes first, and once", 0},
        {FRAMES(CREATED, RE("1", "response.created", RESP("in_progress", "", ""))),
         "response.created comes first, and once", 0},
        {FRAMES(RE("0", "response.completed", RESP("completed", "", ""))),
         "response.created comes first, and once", 0},
        {FRAMES(BEGUN, RE("2", "response.in_progress", RESP("in_progress", "", ""))),
         "response.in_progress comes second", 0},
        {FRAMES(BEGUN, RE("2", "response.hello", "")), "an event is of a known type", 1},
        {FRAMES(CREATED, RE("1", "response.in_progress",
                            ",\"response\":{\"id\":\"resp_2\",\"object\":\"response\","
                            "\"status\":\"in_progress\",\"output\":[]}")),
         "the response's id is the same in every event", 0},
        {FRAMES(RE("0", "response.created", ",\"response\":{\"id\":\"r\"}")),
         "the response names its kind", 0},
        {FRAMES(RE("0", "response.created", RESP("queued", "", ""))),
         "the response's status fits the event", 0},
        {FRAMES(RE("0", "response.created",
                   ",\"response\":{\"id\":\"r\",\"object\":\"response\","
                   "\"status\":\"in_progress\"}")),
         "the response has an output", 0},
        {FRAMES(RE("0", "response.created", RESP("in_progress", "{}", ""))),
         "the response begins without output", 0},
        /* items */
        {FRAMES(OPEN_MSG, ADDED("3", "1", MSG(""))), "items do not overlap", 0},
        {FRAMES(BEGUN, ADDED("2", "1", MSG(""))), "items are numbered without gaps", 0},
        {FRAMES(BEGUN, ADDED("2", "0", "\"type\":\"message\"")), "an item has an id", 0},
        {FRAMES(BEGUN, ADDED("2", "0", "\"id\":\"a\",\"type\":\"message\"")),
         "a message is the assistant's", 0},
        {FRAMES(BEGUN, ADDED("2", "0", MSG("1"))), "a message begins without content", 0},
        {FRAMES(BEGUN, ADDED("2", "0", FC("{}"))), "a call begins without arguments", 0},
        {FRAMES(BEGUN, ADDED("2", "0", "\"id\":\"a\",\"type\":\"function_call\"")),
         "a call has a call_id", 0},
        {FRAMES(BEGUN,
                ADDED("2", "0", "\"id\":\"a\",\"type\":\"function_call\",\"call_id\":\"c\"")),
         "a call has a name", 0},
        {FRAMES(BEGUN, ADDED("2", "0", "\"id\":\"a\",\"type\":\"reasoning\"")),
         "reasoning has a summary, if empty", 0},
        {FRAMES(BEGUN, ADDED("2", "0", "\"id\":\"a\",\"type\":\"web_search_call\"")),
         "an item is of a known type", 1},
        {FRAMES(BEGUN, ITEM_END("2", "0", MSG(""))), "an end is of the open item", 0},
        {FRAMES(OPEN_MSG, ITEM_END("3", "1", MSG(""))), "an end is of the open item", 0},
        {FRAMES(OPEN_MSG, ITEM_END("3", "0", FC(""))), "an item keeps its id", 0},
        {FRAMES(OPEN_PART, ITEM_END("4", "0", MSG(""))), "an item ends behind its last part's end",
         0},
        {FRAMES(OPEN_MSG, ITEM_END("3", "0", MSG(OUT("x")))), "a message's end has all its parts",
         0},
        {FRAMES(OPEN_CALL, ITEM_END("3", "0", FC(""))), "a call ends behind its arguments' end", 0},
        {FRAMES(OPEN_CALL, ADELTA("3", "{}"), ADONE("4", "{}"), ITEM_END("5", "0", FC("{ }"))),
         "what is told whole is what its pieces are", 0},
        /* parts */
        {FRAMES(BEGUN, PADDED("2", OUT(""))), "a piece is of the open item", 0},
        {FRAMES(OPEN_CALL, PADDED("3", OUT(""))), "a piece names its item", 0},
        {FRAMES(OPEN_PART, PADDED("4", OUT(""))), "parts do not overlap", 0},
        {FRAMES(OPEN_MSG, PADDED("3", "{\"type\":\"reasoning_text\",\"text\":\"\"}")),
         "a part fits its item", 0},
        {FRAMES(OPEN_MSG, RE("3", "response.content_part.added",
                             AT("msg_1") ",\"content_index\":1,\"part\":" OUT(""))),
         "parts are numbered without gaps", 0},
        {FRAMES(OPEN_MSG, PADDED("3", OUT("x"))), "a part begins without text", 0},
        {FRAMES(OPEN_MSG, RDELTA("3", "x")), "a piece is of the open part", 0},
        {FRAMES(OPEN_PART, RE("4", "response.output_text.delta", IN("msg_1") ",\"logprobs\":[]")),
         "a delta has its text", 0},
        {FRAMES(OPEN_PART, RE("4", "response.output_text.delta", IN("msg_1") ",\"delta\":\"x\"")),
         "text has logprobs, if none", 1},
        {FRAMES(OPEN_PART, RDONE("4", ""), RDELTA("5", "x")), "nothing of a text follows its end",
         0},
        {FRAMES(OPEN_PART, RDELTA("4", "x"), RDONE("5", "y")),
         "what is told whole is what its pieces are", 0},
        {FRAMES(OPEN_PART, RDELTA("4", "x"), PDONE("5", OUT("x"))),
         "a part ends behind its text's end", 0},
        {FRAMES(OPEN_PART, RDELTA("4", "x"), RDONE("5", "x"), PDONE("6", OUT("y"))),
         "what is told whole is what its pieces are", 0},
        {FRAMES(OPEN_MSG, PDONE("3", OUT(""))), "an end is of the open part", 0},
        /* calls */
        {FRAMES(OPEN_MSG,
                RE("3", "response.function_call_arguments.delta", AT("msg_1") ",\"delta\":\"x\"")),
         "arguments are of a call", 0},
        {FRAMES(OPEN_CALL, ADELTA("3", "{"), ADONE("4", "{"), ITEM_END("5", "0", FC("{")),
                COMPLETED("6", "{}")),
         "the arguments of a call are JSON", 0},
        /* the end */
        {FRAMES(OPEN_MSG, COMPLETED("3", "{}")), "the response ends behind its last item's end", 0},
        {FRAMES(BEGUN, COMPLETED("2", "{}")), "the response's output has all items", 0},
        {FRAMES(BEGUN, RE("2", "response.incomplete", RESP("incomplete", "", ""))),
         "an incomplete response says why, no other does", 0},
        {FRAMES(BEGUN, RE("2", "response.incomplete",
                          RESP("incomplete", "", ",\"incomplete_details\":{\"reason\":\"x\"}"))),
         "the reason is one of the known words", 1},
        {FRAMES(BEGUN, RE("2", "response.completed", RESP("completed", "", ",\"usage\":{}"))),
         "usage has its three counts", 0},
        {FRAMES(BEGUN, COMPLETED("2", ""), RERROR("3")), "nothing follows the end mark", 0},
        {FRAMES(BEGUN, RERROR("2"), COMPLETED("3", "")), "nothing follows an error", 0},
        {FRAMES(RE("0", "error", "")), "an error has a message", 0},
        {FRAMES(BEGUN, "END"), "a complete stream has its end mark", 0},
    };
    judge_all(LLM_RESPONSES, LLM_OP_CHAT, rows, COUNT(rows));
}

/* ---- recorded streams ---- */

/* What llama-server (build 11669) really sends. The first rule that it breaks, taken strictly, and taken as
 * bytes that are passed on. */
static void recorded_streams_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum llm_dialect dialect;
        enum llm_op op;
        const char *strictly, *passed;
    } rows[] = {
        {"07-chat-stream", LLM_OPENAI, LLM_OP_CHAT, "", ""},
        {"08-chat-stream-usage", LLM_OPENAI, LLM_OP_CHAT, "usage comes only where it was asked for",
         ""},
        {"14-completions-stream", LLM_OPENAI, LLM_OP_GENERATE, "usage has a chunk of its own", ""},
        {"27-tools-required-stream", LLM_OPENAI, LLM_OP_CHAT, "", ""},
        {"34-json-schema-stream", LLM_OPENAI, LLM_OP_CHAT, "", ""},
        {"77-chat-empty-stream", LLM_OPENAI, LLM_OP_CHAT, "", ""},
        {"21-messages-stream", LLM_ANTHROPIC, LLM_OP_CHAT, "", ""},
        {"76-messages-tools-forced-stream", LLM_ANTHROPIC, LLM_OP_CHAT,
         "a tool_use begins with an input", "a tool_use begins with an input"},
        {"17-responses-stream", LLM_RESPONSES, LLM_OP_CHAT, "every event has the next number",
         "the response has an output"},
        {"78-messages-empty-stream", LLM_ANTHROPIC, LLM_OP_CHAT, "", ""},
    };
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        char path[128];
        size_t len;
        int status;
        struct dialect_check c;
        strv name, data;
        snprintf(path, sizeof path, "llama-server/%s.response", rows[i / 2].name);
        char *response = data_read(path, &len);
        strv body = data_body(response, len, &status);
        assert_int_equal(status, 200);
        dialect_check_init(&c, rows[i / 2].dialect, rows[i / 2].op);
        c.passed = i % 2 == 1;
        while (data_event(&body, &name, &data) &&
               dialect_check_frame(&c, name.ptr != NULL ? name : STRV(""), data, &arena))
            arena_reset(&arena);
        if (c.broken == NULL)
            dialect_check_end(&c, true);
        const char *want = c.passed ? rows[i / 2].passed : rows[i / 2].strictly;
        if (strcmp(c.broken != NULL ? c.broken : "", want) != 0)
            fail_msg("%s, %s: %s", path, c.passed ? "passed" : "strictly", c.broken);
        free(response);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_seen_for_what_it_is_at_every_split),
        cmocka_unit_test(chat_streams_are_judged),
        cmocka_unit_test(choices_may_alternate),
        cmocka_unit_test(completion_streams_are_judged),
        cmocka_unit_test(message_streams_are_judged),
        cmocka_unit_test(ollama_streams_are_judged),
        cmocka_unit_test(ollama_completions_are_judged),
        cmocka_unit_test(native_streams_are_judged),
        cmocka_unit_test(response_streams_are_judged),
        cmocka_unit_test(recorded_streams_are_judged),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
