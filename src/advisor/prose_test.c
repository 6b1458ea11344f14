/* SPDX-License-Identifier: Apache-2.0 */
/* prose: markup goes, length is bounded, contradictions are found; the text and the findings without a model. */
#include "advisor/prose.h"
#include "advisor/testing.h"

static void takes_out_what_is_no_prose(void **state)
{
    static const struct {
        const char *reply, *out;
    } rows[] = {
        {"Plain.", "Plain."},
        {"# Overall\n\n- **Good** `score`\n2. next\n> quoted", "Overall Good score next quoted"},
        {"```\ntext\n```", "text"},
        {"<b>bold</b> and <80 hours > 3", "bold and <80 hours > 3"},
        {"<think>secret</think>Said.", "Said."},
        {"a\tb\x01\x7f  c", "a b c"},
        {"\xc3\xa4 \xe2\x80\x93 ok", "\xc3\xa4 \xe2\x80\x93 ok"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b;
        buf_init(&b, 8192);
        assert_int_equal(advice_prose(strv_of(rows[i].reply), NULL, &b), ADVICE_REASON_OK);
        if (!strv_eq_cstr(buf_view(&b), rows[i].out))
            fail_msg("%s: " STRV_FMT, rows[i].reply, STRV_ARG(buf_view(&b)));
        buf_fini(&b);
    }
}

static void is_bounded(void **state)
{
    struct buf in, out;
    (void)state;
    buf_init(&in, 1 << 17);
    buf_init(&out, 8192);
    for (int i = 0; i < 1000; i++)
        buf_put_cstr(&in, "One sentence more. ");
    assert_int_equal(advice_prose(buf_view(&in), NULL, &out), ADVICE_REASON_OK);
    assert_true(buf_len(&out) <= ADVICE_PROSE_MAX && strv_ends(buf_view(&out), STRV("more.")));
    buf_clear(&in);
    buf_clear(&out);
    for (int i = 0; i < 20000; i++)
        buf_put_cstr(&in, "\xc3\xa4");
    assert_int_equal(advice_prose(buf_view(&in), NULL, &out), ADVICE_REASON_OK);
    assert_true(buf_len(&out) <= ADVICE_PROSE_MAX && utf8_valid(buf_view(&out)));
    for (int i = 0; i < 40000; i++)
        buf_put_cstr(&in, "x");
    assert_int_equal(advice_prose(buf_view(&in), NULL, &out), ADVICE_REASON_TOO_LARGE);
    assert_int_equal(advice_prose(STRV(" \n** \n"), NULL, &out), ADVICE_REASON_MODEL_FAILED);
    assert_int_equal(advice_prose(STRV(""), NULL, &out), ADVICE_REASON_MODEL_FAILED);
    buf_fini(&in);
    buf_fini(&out);
}

static void finds_contradictions(void **state)
{
    static const struct {
        const char *reply;
        bool valid, contradicts;
    } rows[] = {
        {"The schedule is valid.", false, true},
        {"The schedule is not valid.", false, false},
        {"The schedule isn't valid.", true, true},
        {"Invalid: 2 critical violations.", false, false},
        {"Invalid.", true, true},
        {"VALID, 93.1%.", true, false},
        {"It would be valid, but is invalid.", false, false},
        {"Validation shows little.", false, false},
        {"Coverage is low.", false, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b;
        yyjson_val *evaluation =
            parse(rows[i].valid ? STRV("{\"valid\":true}") : STRV("{\"valid\":false}"));
        buf_init(&b, 8192);
        enum advice_reason why = advice_prose(strv_of(rows[i].reply), evaluation, &b);
        if ((why == ADVICE_REASON_CONTRADICTION) != rows[i].contradicts)
            fail_msg("%s: %s", rows[i].reply, advice_reason_word(why));
        buf_fini(&b);
    }
}

static void tells_the_figures(void **state)
{
    static const struct {
        const char *evaluation, *out;
    } rows[] = {
        {"{\"valid\":false,\"score\":0.7,\"coverage_rate\":0.855,\"critical_violations\":2,"
         "\"violations\":[{\"severity\":\"low\",\"message\":\"a\"},{\"severity\":\"critical\","
         "\"message\":\"PGY2-03: 86.0 hours/week\\n(limit: 80)\"}]}",
         "Score 70.0% (Invalid). Coverage 85.5%. Critical violations: 2. Most severe: PGY2-03: "
         "86.0 "
         "hours/week (limit: 80)."},
        {"{\"valid\":true,\"score\":1}", "Score 100.0% (Valid)."},
        {"{}", "Score 0.0% (Invalid)."},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b;
        buf_init(&b, 8192);
        advice_prose_plain(parse(strv_of(rows[i].evaluation)), &b);
        if (!strv_eq_cstr(buf_view(&b), rows[i].out))
            fail_msg(STRV_FMT, STRV_ARG(buf_view(&b)));
        buf_fini(&b);
    }
}

static void finds_what_they_have_in_common(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8192);
    advice_findings(
        parse(STRV("{\"violations\":[{\"type\":\"A\",\"severity\":\"low\"},{\"type\":\"A\","
                   "\"severity\":\"low\"},{\"type\":\"B\",\"severity\":\"critical\"}]}")),
        parse(STRV("[{\"violation_types\":[\"B\"]},{\"violation_types\":[]},"
                   "{\"violation_types\":[\"A\",\"B\"]},{\"violation_types\":[\"B\"]}]")),
        &b);
    assert_true(strv_eq_cstr(buf_view(&b),
                             "{\"primary\":\"B\",\"rounds\":2,\"counts\":{\"A\":2,\"B\":1}}"));
    buf_clear(&b);
    advice_findings(NULL, NULL, &b);
    assert_true(strv_eq_cstr(buf_view(&b), "{\"primary\":null}"));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_out_what_is_no_prose, open_all, close_all),
        cmocka_unit_test_setup_teardown(is_bounded, open_all, close_all),
        cmocka_unit_test_setup_teardown(finds_contradictions, open_all, close_all),
        cmocka_unit_test_setup_teardown(tells_the_figures, open_all, close_all),
        cmocka_unit_test_setup_teardown(finds_what_they_have_in_common, open_all, close_all),
    };
    return cmocka_run_group_tests_name("prose", tests, NULL, NULL);
}
