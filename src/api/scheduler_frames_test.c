/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_frames: which frames the scheduler's client is shown, and a history as it reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/scheduler_frames.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void it_sees_what_it_knows(void **state)
{
    (void)state;
    static const char *const known[] = {"connected",   "token",    "tool_call_start", "tool_call",
                                        "tool_result", "complete", "interrupted",     "history"};
    static const char *const unknown[] = {"message", "begin",   "reasoning", "approval", "decided",
                                          "session", "summary", "notice",    "",         "tokens"};
    for (size_t i = 0; i < COUNT(known); i++)
        assert_true(scheduler_shows(strv_of(known[i]), true, false));
    for (size_t i = 0; i < COUNT(unknown); i++)
        assert_false(scheduler_shows(strv_of(unknown[i]), false, true));
}

static void an_error_in_mid_answer_is_the_answers_own(void **state)
{
    (void)state;
    assert_true(scheduler_shows(STRV("error"), false, false));
    assert_true(scheduler_shows(STRV("error"), false, true));
    assert_true(scheduler_shows(STRV("error"), true, true));
    assert_false(scheduler_shows(STRV("error"), true, false));
}

static void a_history_has_the_members_that_it_reads(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *want; /* NULL: it is none */
    } cases[] = {
        {"{\"type\":\"history\",\"session_id\":\"s\",\"leaf\":0,\"messages\":[]}",
         "{\"type\":\"history\",\"session_id\":\"s\",\"messages\":[]}"},
        {"{\"type\":\"history\",\"session_id\":\"s\",\"messages\":["
         "{\"n\":1,\"role\":\"user\",\"content\":\"a \\\"b\\\"\",\"timestamp\":\"t1\",\"state\":"
         "\"complete\"},"
         "{\"n\":2,\"role\":\"assistant\",\"content\":\"Two\",\"timestamp\":\"t2\",\"state\":"
         "\"interrupted\",\"tool_calls\":[{\"id\":\"call_0\",\"name\":\"x\"}]}]}",
         "{\"type\":\"history\",\"session_id\":\"s\",\"messages\":["
         "{\"role\":\"user\",\"content\":\"a \\\"b\\\"\",\"timestamp\":\"t1\",\"tool_calls\":null},"
         "{\"role\":\"assistant\",\"content\":\"Two [interrupted]\",\"timestamp\":\"t2\","
         "\"tool_calls\":[{\"id\":\"call_0\",\"name\":\"x\"}]}]}"},
        {"{\"type\":\"history\"", NULL},
    };
    struct buf b;
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_init(&b, 65536);
        bool ok = scheduler_history(strv_of(cases[i].frame), &b);
        assert_int_equal(ok, cases[i].want != NULL);
        if (ok && !strv_eq_cstr(buf_view(&b), cases[i].want))
            fail_msg(STRV_FMT, STRV_ARG(buf_view(&b)));
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sees_what_it_knows),
        cmocka_unit_test(an_error_in_mid_answer_is_the_answers_own),
        cmocka_unit_test(a_history_has_the_members_that_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
