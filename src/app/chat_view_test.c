/* SPDX-License-Identifier: Apache-2.0 */
/* chat_view: frames of a session as a person sees them; scripted, reconnected, hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/chat_view.h"

static struct arena scratch;

static enum chat_news take(struct chat_view *v, const char *json)
{
    struct json doc;
    struct err err = ERR_INIT;
    arena_reset(&scratch);
    assert_true(json_read(&doc, strv_of(json), &scratch, 0, &err));
    return chat_view_take(v, doc.root, &scratch);
}

static void shown_is(struct buf *b, const char *expected)
{
    if (!strv_eq_cstr(buf_view(b), expected))
        fail_msg("shown: \"" STRV_FMT "\", expected: \"%s\"", STRV_ARG(buf_view(b)), expected);
    buf_clear(b);
}

static void begin(struct chat_view *v, bool terminal)
{
    chat_view_init(v, false, terminal, 80);
    assert_int_equal(
        take(v, "{\"type\":\"connected\",\"session_id\":\"abcdefgh\",\"mode\":\"hybrid\","
                "\"model\":\"\",\"title\":\"T\",\"private\":false,\"kept\":true,\"tools\":true,"
                "\"running\":false,\"history_count\":0}"),
        CHAT_NEWS_CONNECTED);
    shown_is(&v->note, "");
}

/* Nobody approves what he was not shown. */
static void what_is_to_be_approved_is_shown_whole(void **state)
{
    struct chat_view v;
    char frame[2000], input[1500];
    (void)state;
    memset(input, 'x', sizeof input);
    memcpy(input + sizeof input - 12, "and the end", 12);
    snprintf(frame, sizeof frame,
             "{\"type\":\"approval\",\"id\":\"p1\",\"name\":\"move\",\"server\":\"s\","
             "\"effect\":\"writes\",\"input\":{\"a\":\"%s\"}}",
             input);
    begin(&v, true);
    take(&v, frame);
    buf_put_char(&v.note, '\0');
    assert_non_null(strstr(buf_view(&v.note).ptr, "and the end"));
    chat_view_fini(&v);
}

static void an_answer_with_tools(void **state)
{
    (void)state;
    struct chat_view v;
    begin(&v, true);
    assert_string_equal(v.session, "abcdefgh");
    assert_true(v.kept && v.tools && !v.is_private);
    take(&v, "{\"type\":\"message\",\"message\":{\"n\":1,\"role\":\"user\"}}");
    assert_int_equal(v.asked, 1);
    assert_int_equal(take(&v, "{\"type\":\"begin\",\"n\":2,\"parent\":1}"), CHAT_NEWS_BEGUN);
    take(&v, "{\"type\":\"reasoning\",\"content\":\"hm\"}");
    take(&v, "{\"type\":\"reasoning\",\"content\":\"hm\"}");
    shown_is(&v.note, "(thinking)\n");
    take(&v, "{\"type\":\"token\",\"content\":\"Let me\"}");
    take(&v, "{\"type\":\"tool_call_start\",\"name\":\"x\",\"id\":\"c\"}");
    take(&v, "{\"type\":\"tool_call\",\"name\":\"x\",\"server\":\"s\",\"input\":{\"a\":1},\"id\":"
             "\"c\"}");
    shown_is(&v.answer, "Let me\n");
    shown_is(&v.note, "> x of s {\"a\":1}\n");
    assert_int_equal(
        take(&v,
             "{\"type\":\"approval\",\"id\":\"p1\",\"call\":\"c\",\"name\":\"x\",\"server\":\"s\","
             "\"effect\":\"writes\",\"input\":{}}"),
        CHAT_NEWS_APPROVAL);
    assert_string_equal(v.approval, "p1");
    shown_is(&v.note, "Approval: x of s (writes) {}\n");
    assert_int_equal(
        take(&v, "{\"type\":\"decided\",\"id\":\"p1\",\"decision\":\"approve\",\"by\":\"ann\"}"),
        CHAT_NEWS_DECIDED);
    assert_string_equal(v.approval, "");
    shown_is(&v.note, "Decided: approve by ann\n");
    take(&v,
         "{\"type\":\"tool_result\",\"id\":\"c\",\"result\":{\"tool_name\":\"x\",\"text\":\"two\"},"
         "\"is_error\":false,\"quality\":\"mock\"}");
    take(&v, "{\"type\":\"tool_result\",\"id\":\"c\",\"result\":{\"tool_name\":\"x\",\"n\":2},\"is_"
             "error\":true}");
    shown_is(&v.note, "< two [quality: mock]\n< failed: {\"tool_name\":\"x\",\"n\":2}\n");
    take(&v, "{\"type\":\"token\",\"content\":\"Done.\"}");
    assert_int_equal(
        take(&v,
             "{\"type\":\"complete\",\"n\":2,\"zone\":\"local\",\"model\":\"m\",\"provider\":\"p\","
             "\"total_ms\":1240,\"tokens_per_s\":38.5,\"cost_micro_usd\":310,\"private\":true,"
             "\"why\":\"private stays home\",\"usage\":{}}"),
        CHAT_NEWS_WHOLE);
    shown_is(&v.answer, "Done.\n");
    shown_is(&v.note, "local \xc2\xb7 m \xc2\xb7 p \xc2\xb7 1.2 s \xc2\xb7 38.5 tokens/s \xc2\xb7 "
                      "$0.000310 \xc2\xb7 private \xc2\xb7 private stays home\n");
    assert_true(v.was_private && !v.running);
    chat_view_fini(&v);
}

static void the_other_ends(void **state)
{
    (void)state;
    struct chat_view v;
    begin(&v, true);
    assert_int_equal(take(&v, "{\"type\":\"interrupted\",\"message\":\"nothing\"}"),
                     CHAT_NEWS_NONE);
    take(&v, "{\"type\":\"begin\",\"n\":2}");
    take(&v, "{\"type\":\"token\",\"content\":\"Par\"}");
    assert_int_equal(take(&v, "{\"type\":\"interrupted\",\"message\":\"x\",\"n\":2}"),
                     CHAT_NEWS_STOPPED);
    shown_is(&v.answer, "Par\n");
    shown_is(&v.note, "(stopped)\n");
    take(&v, "{\"type\":\"begin\",\"n\":4}");
    assert_int_equal(take(&v, "{\"type\":\"error\",\"message\":\"busy\",\"fatal\":false}"),
                     CHAT_NEWS_NONE);
    assert_int_equal(
        take(&v, "{\"type\":\"error\",\"message\":\"no model\",\"n\":4,\"retry_after\":3}"),
        CHAT_NEWS_FAILED);
    shown_is(&v.note, "busy\nno model (try again in 3 s)\n");
    assert_int_equal(take(&v, "{\"type\":\"error\",\"message\":\"unknown type\"}"),
                     CHAT_NEWS_FAILED);
    chat_view_fini(&v);
}

static void settings_and_notices(void **state)
{
    (void)state;
    struct chat_view v;
    begin(&v, true);
    take(&v, "{\"type\":\"session\",\"mode\":\"local\",\"model\":\"m\",\"title\":\"New\","
             "\"private\":true,\"tools\":false}");
    assert_string_equal(v.mode, "local");
    assert_string_equal(v.title, "New");
    assert_true(v.is_private && !v.tools);
    shown_is(&v.note, "This conversation is private now: it stays with local models.\n");
    take(&v, "{\"type\":\"summary\",\"messages\":4,\"tokens\":10,\"model\":\"m\"}");
    take(&v, "{\"type\":\"summary\",\"messages\":4,\"tokens\":10,\"model\":null}");
    take(&v, "{\"type\":\"notice\",\"code\":\"loading\",\"message\":\"the model loads\"}");
    shown_is(&v.note, "The window is full: 4 older messages went into a summary, made locally.\n"
                      "The window is full: 4 older messages were left out.\nthe model loads\n");
    assert_int_equal(take(&v, "{\"type\":\"of tomorrow\",\"content\":\"x\"}"), CHAT_NEWS_NONE);
    assert_int_equal(take(&v, "{}"), CHAT_NEWS_NONE);
    assert_int_equal(take(&v, "[1]"), CHAT_NEWS_NONE);
    shown_is(&v.note, "");
    shown_is(&v.answer, "");
    chat_view_fini(&v);
}

#define HISTORY(message)                                                                           \
    "{\"type\":\"history\",\"messages\":[{\"n\":1,\"role\":\"user\",\"content\":\"q\"}," message   \
    "]}"

/* What came while there was no connection is shown once, and the end is not missed. */
static void a_lost_connection_loses_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *message, *answer, *note;
        enum chat_news news;
    } rows[] = {
        {HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"One two "
                 "three\",\"state\":\"running\"}"),
         "two three", "", CHAT_NEWS_NONE},
        {HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"One two.\",\"state\":\"complete\","
                 "\"facts\":{\"zone\":\"local\"}}"),
         "two.\n", "local\n", CHAT_NEWS_WHOLE},
        {HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"One \",\"state\":\"error\"}"), "\n",
         "(it was cut)\n", CHAT_NEWS_STOPPED},
        {HISTORY("{\"n\":4,\"role\":\"assistant\",\"content\":\"else\",\"state\":\"complete\"}"),
         "\n", "", CHAT_NEWS_FAILED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct chat_view v;
        begin(&v, true);
        v.waits = true;
        take(&v, "{\"type\":\"begin\",\"n\":2}");
        take(&v, "{\"type\":\"token\",\"content\":\"One \"}");
        shown_is(&v.answer, "One ");
        take(&v, "{\"type\":\"connected\",\"session_id\":\"abcdefgh\",\"running\":false}");
        assert_int_equal(take(&v, rows[i].message), rows[i].news);
        shown_is(&v.answer, rows[i].answer);
        shown_is(&v.note, rows[i].note);
        assert_int_equal(v.running, rows[i].news == CHAT_NEWS_NONE);
        chat_view_fini(&v);
    }
}

static void an_answer_that_began_unseen(void **state)
{
    (void)state;
    struct chat_view v;
    begin(&v, true);
    v.waits = true; /* asked; the history that was asked for before that comes */
    assert_int_equal(
        take(
            &v,
            HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"Old\",\"state\":\"complete\"}")),
        CHAT_NEWS_NONE);
    shown_is(&v.answer, "");
    assert_true(v.waits);
    chat_view_fini(&v);
    begin(&v, true);
    v.waits = true; /* asked, and the connection was lost before anything came */
    take(&v, "{\"type\":\"connected\",\"session_id\":\"abcdefgh\",\"running\":false}");
    assert_int_equal(
        take(
            &v,
            HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"All\",\"state\":\"complete\"}")),
        CHAT_NEWS_WHOLE);
    shown_is(&v.answer, "All\n");
    chat_view_fini(&v);
    begin(&v, true); /* somebody else's, in mid-answer */
    take(&v, "{\"type\":\"connected\",\"session_id\":\"abcdefgh\",\"running\":true}");
    assert_int_equal(
        take(&v,
             HISTORY(
                 "{\"n\":2,\"role\":\"assistant\",\"content\":\"So far\",\"state\":\"running\"}")),
        CHAT_NEWS_NONE);
    shown_is(&v.answer, "So far");
    chat_view_fini(&v);
    begin(&v, true); /* an older conversation: nothing is shown again */
    assert_int_equal(
        take(
            &v,
            HISTORY("{\"n\":2,\"role\":\"assistant\",\"content\":\"Old\",\"state\":\"complete\"}")),
        CHAT_NEWS_NONE);
    shown_is(&v.answer, "");
    assert_int_equal(v.asked, 1);
    assert_int_equal(v.answered, 2);
    chat_view_fini(&v);
}

/* Names, results, errors and titles come from anywhere. */
static void nothing_steers_the_terminal(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "{\"type\":\"token\",\"content\":\"\\u001b]0;x\\u0007\\u009b31m\"}",
        "{\"type\":\"tool_call\",\"name\":\"\\u001b[2J\",\"server\":\"\\u009b\",\"input\":{"
        "\"\\u001b\":\"\\u202e\"}}",
        "{\"type\":\"tool_result\",\"result\":{\"text\":\"\\u001b[2J\\r\"},\"quality\":"
        "\"\\u001b\"}",
        "{\"type\":\"approval\",\"id\":\"\\u001b\",\"name\":\"\\u001b\",\"server\":\"\\u001b\","
        "\"effect\":\"\\u001b\"}",
        "{\"type\":\"decided\",\"id\":\"x\",\"decision\":\"\\u001b\",\"by\":\"\\u001b\"}",
        "{\"type\":\"complete\",\"zone\":\"\\u001b\",\"model\":\"\\u001b\",\"why\":"
        "\"\\u001b\\u0000x\"}",
        "{\"type\":\"error\",\"message\":\"\\u001b\\u0000\"}",
        "{\"type\":\"notice\",\"message\":\"\\u001b\\u2066\"}",
        "{\"type\":\"history\",\"messages\":[{\"n\":-1},{\"n\":1e99},7,null]}",
    };
    struct chat_view v;
    begin(&v, true);
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        take(&v, frames[i]);
        struct buf *both[] = {&v.answer, &v.note};
        for (size_t k = 0; k < 2; k++) {
            strv text = buf_view(both[k]);
            for (size_t c = 0; c < text.len; c++)
                assert_true((unsigned char)text.ptr[c] >= 0x20 || text.ptr[c] == '\n');
            assert_null(memmem(text.ptr, text.len, "\xc2\x9b", 2));
            assert_null(memmem(text.ptr, text.len, "\xe2\x80\xae", 3));
            buf_clear(both[k]);
        }
    }
    chat_view_fini(&v);
    begin(&v, false); /* what is no terminal gets the text to the byte */
    take(&v, "{\"type\":\"token\",\"content\":\"a\\u001b**b\"}");
    shown_is(&v.answer, "a\033**b");
    chat_view_fini(&v);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct json doc;
    struct err err = ERR_INIT;
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    assert_true(json_read(&doc, STRV("{\"type\":\"tool_call\",\"name\":\"x\",\"input\":{\"a\":1}}"),
                          &arena, 0, &err));
    uint64_t at = 1;
    for (bool done = false; !done; at++) {
        struct chat_view v;
        chat_view_init(&v, true, true, 80);
        mem_fail_at(at, false);
        chat_view_take(&v, doc.root, &arena);
        done = mem_count() < at;
        mem_fail_at(0, false);
        assert_true(done || v.note.failed || v.answer.failed || buf_len(&v.note) > 0);
        chat_view_fini(&v);
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_with_tools),
        cmocka_unit_test(what_is_to_be_approved_is_shown_whole),
        cmocka_unit_test(the_other_ends),
        cmocka_unit_test(settings_and_notices),
        cmocka_unit_test(a_lost_connection_loses_nothing),
        cmocka_unit_test(an_answer_that_began_unseen),
        cmocka_unit_test(nothing_steers_the_terminal),
        cmocka_unit_test(refused_memory_is_told),
    };
    arena_init(&scratch, 4096, (size_t)1 << 24);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&scratch);
    return failed;
}
