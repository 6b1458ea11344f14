/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify - what the scheduler counts on, what must hold for any prompt, and floors on the development set.
 *
 * The floors are on prompts that the shipped model has seen: they catch a model that does not fit the code. The
 * honest figures, by cross-validation, are in docs/routing.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/features.h"
#include "policy/policy.h"

static struct classify *model;

static void read_all(const char *name, struct buf *out)
{
    char path[4096], piece[16384];
    const char *data = getenv("TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", data != NULL ? data : "test/data", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    buf_init(out, 1 << 24);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        assert_true(buf_put(out, piece, n));
    fclose(f);
}

static int open_model(void **state)
{
    struct buf section;
    (void)state;
    read_all("../../data/classify.bin", &section);
    model = classify_from(buf_view(&section));
    buf_fini(&section);
    return model == NULL;
}

static int close_model(void **state)
{
    (void)state;
    classify_unref(model);
    return 0;
}

static struct classify_result of(const char *text, bool tools)
{
    struct classify_result r;
    classify_text(model, strv_of(text), tools, &r);
    return r;
}

/* scheduler-consumers.md 3.2 */
static void the_schedulers_tests_hold(void **state)
{
    static const struct {
        const char *text;
        bool tools;
        enum classify_task task;
    } cases[] = {
        {"What is the time?", false, CLASSIFY_SIMPLE_QUERY},
        {"What time is it?", false, CLASSIFY_SIMPLE_QUERY},
        {"Who invented the telephone?", false, CLASSIFY_SIMPLE_QUERY},
        {"Analyze the schedule for ACGME violations", false, CLASSIFY_MULTI_STEP},
        {"Analyze the coverage patterns and compare the options", false, CLASSIFY_MULTI_STEP},
        {"Give me a comprehensive analysis of our staffing", false, CLASSIFY_MULTI_STEP},
        {"Provide a comprehensive evaluation of the call system", false, CLASSIFY_MULTI_STEP},
        {"Write a function to calculate the work hours of a week", false, CLASSIFY_CODE_GENERATION},
        {"Write a function that sorts a list", false, CLASSIFY_CODE_GENERATION},
        {"Implement a binary search tree", false, CLASSIFY_CODE_GENERATION},
        {"Implement a constraint for the solver", true, CLASSIFY_CODE_GENERATION},
        {"Get the schedule for next week", true, CLASSIFY_TOOL_CALLING},
        {"Find swap options for Friday night", true, CLASSIFY_TOOL_CALLING},
        {"This prompt has rather more than twenty words in it so that it is taken for one that "
         "wants "
         "something to be told at some length",
         false, CLASSIFY_EXPLANATION},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct classify_result r = of(cases[i].text, cases[i].tools);
        if (r.task != (unsigned)cases[i].task)
            print_message("%s: %s\n", cases[i].text, policy_tasks[r.task]);
        assert_int_equal(r.task, cases[i].task);
        if (cases[i].task == CLASSIFY_SIMPLE_QUERY)
            assert_true(r.complexity < 0.5f);
    }
}

static void courtesy_is_a_simple_query(void **state)
{
    static const char *const texts[] = {"hello", "Hi there!", "thanks", "Thank you so much",
                                        "ok",    "got it",    "bye",    "great, thanks"};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof texts / sizeof *texts; i++) {
        struct classify_result r = of(texts[i / 2], i % 2 == 1);
        assert_int_equal(r.task, CLASSIFY_SIMPLE_QUERY);
        assert_string_equal(r.why, "greeting");
        assert_true(r.sure);
        assert_true(r.needs_cloud < 0.5f);
    }
}

static void without_tools_nothing_is_called(void **state)
{
    static const char *const texts[] = {"list open swaps", "publish 2027-B", "cancel job 77ab",
                                        "weekly hours PGY3-06", "validate draft 8"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_not_equal(of(texts[i], false).task, CLASSIFY_TOOL_CALLING);
        assert_int_equal(of(texts[i], true).task, CLASSIFY_TOOL_CALLING);
        assert_true(of(texts[i], false).scores[CLASSIFY_TOOL_CALLING] == 0);
    }
}

static void scores_are_shares(void **state)
{
    static const char *const texts[] = {"",
                                        " \n",
                                        "x",
                                        "???",
                                        "```\nint x;\n```",
                                        "\xc3\xa9\xc3\xa9",
                                        "why",
                                        "12 / 4",
                                        "write a letter",
                                        "\xff\xfe\x00"};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof texts / sizeof *texts; i++) {
        struct classify_result r = of(texts[i / 2], i % 2 == 1);
        float sum = 0;
        for (int k = 0; k < CLASSIFY_TASKS; k++) {
            assert_true(r.scores[k] >= 0 && r.scores[k] <= 1);
            sum += r.scores[k];
        }
        assert_true(sum > 0.99f && sum < 1.01f);
        assert_true(r.needs_cloud >= 0 && r.needs_cloud <= 1);
        assert_true(r.complexity >= 0 && r.complexity <= 1);
        assert_non_null(r.why);
    }
}

static void any_length_is_read_in_part(void **state)
{
    char *text = mem_alloc(100000);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < 100000; i++)
        text[i] = "word, (x) [y]; 12 \n"[i % 19];
    for (size_t n = 1; n <= 100000; n = n * 3 / 2 + 1) {
        struct classify_result r;
        classify_text(model, (strv){text, n}, true, &r);
        assert_true(r.task < CLASSIFY_TASKS);
    }
    mem_free(text);
}

static void the_last_user_turn_decides(void **state)
{
    struct llm_part first = {.kind = LLM_PART_TEXT,
                             .text = STRV("Write a function that sorts a list")},
                    said = {.kind = LLM_PART_TEXT, .text = STRV("def f(): pass")},
                    last[] = {{.kind = LLM_PART_RESULT},
                              {.kind = LLM_PART_TEXT, .text = STRV("thank")},
                              {.kind = LLM_PART_TEXT, .text = STRV("you")}},
                    result = {.kind = LLM_PART_RESULT};
    struct llm_message messages[] = {{LLM_USER, &first, 1},
                                     {LLM_ASSISTANT, &said, 1},
                                     {LLM_USER, last, 3},
                                     {LLM_USER, &result, 1},
                                     {LLM_SYSTEM, &first, 1}};
    struct llm_request r = {.messages = messages, .n_messages = 1};
    struct classify_result out;
    (void)state;
    classify_run(NULL, model, &r, &out);
    assert_int_equal(out.task, CLASSIFY_CODE_GENERATION);
    r.n_messages = 5; /* a turn of results only continues the one before */
    classify_run(NULL, model, &r, &out);
    assert_string_equal(out.why, "greeting");
    r.n_messages = 0;
    classify_run(NULL, model, &r, &out);
    assert_string_equal(out.why, "no text");
    assert_false(out.sure);
    classify_run(NULL, NULL, &r, &out);
    assert_string_equal(out.why, "no model");
    assert_false(out.sure || out.needs_cloud >= 0.5f);
}

static void a_broken_section_is_none(void **state)
{
    struct buf section;
    (void)state;
    read_all("../../data/classify.bin", &section);
    strv whole = buf_view(&section);
    for (size_t n = 0; n < 200; n++)
        assert_null(classify_from((strv){whole.ptr, n}));
    assert_null(classify_from((strv){whole.ptr, whole.len - 1}));
    assert_null(classify_from(STRV_NONE));
    for (size_t i = 0; i < 16; i++) { /* magic, version, bits, slots */
        section.data[section.start + i] ^= 0x55;
        assert_null(classify_from(buf_view(&section)));
        section.data[section.start + i] ^= 0x55;
    }
    mem_fail_at(1, true);
    assert_null(classify_from(buf_view(&section)));
    mem_fail_at(0, false);
    buf_fini(&section);
}

static void the_development_set_is_known(void **state)
{
    struct buf file;
    size_t n = 0, right = 0, cloud = 0, cloud_right = 0, cloud_wrong = 0;
    (void)state;
    read_all("tasks/tasks-dev.jsonl", &file);
    strv rest = buf_view(&file), line;
    while (strv_cut(&rest, '\n', &line) && line.len > 0) {
        struct arena arena;
        struct json doc;
        struct err err = {0};
        struct classify_result r;
        arena_init(&arena, 4096, 1 << 20);
        assert_true(json_read(&doc, line, &arena, 1, &err));
        classify_text(model, json_get_str(doc.root, "text"),
                      yyjson_get_bool(json_get(doc.root, "has_tools")), &r);
        bool wants = yyjson_get_bool(json_get(doc.root, "needs_cloud"));
        n++;
        right += strv_eq_cstr(json_get_str(doc.root, "label"), policy_tasks[r.task]);
        cloud += wants;
        cloud_right += wants && r.needs_cloud >= 0.5f;
        cloud_wrong += !wants && r.needs_cloud >= 0.5f;
        arena_fini(&arena);
    }
    buf_fini(&file);
    print_message("%zu of %zu; cloud %zu of %zu, %zu in vain\n", right, n, cloud_right, cloud,
                  cloud_wrong);
    assert_true(n == 442 && right * 100 >= n * 95);
    assert_true(cloud_right * 100 >= cloud * 94 && cloud_wrong * 100 <= cloud_right * 15);
}

static void the_same_turn_is_read_once(void **state)
{
    static const struct {
        const char *text;
        bool tools;
        unsigned hits; /* so far */
    } asks[] = {{"Explain the 80-hour rule", false, 0},
                {"Explain the 80-hour rule", false, 1},
                {"Explain the 80-hour rule", true, 1},
                {"Explain the 80-hour rules", false, 1},
                {"", false, 1},
                {"Explain the 80-hour rule", true, 2}};
    (void)state;
    struct classify_memo *m = classify_memo_new();
    assert_non_null(m);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t before = classify_memo_hits(m);
        for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
            struct llm_part part = {.kind = LLM_PART_TEXT, .text = strv_of(asks[i].text)};
            struct llm_message message = {.role = LLM_USER, .parts = &part, .n_parts = 1};
            struct llm_request r = {
                .messages = &message, .n_messages = 1, .n_tools = asks[i].tools};
            struct classify_result got, want = of(asks[i].text, asks[i].tools);
            classify_run(m, model, &r, &got);
            assert_memory_equal(&got.scores, &want.scores, sizeof got.scores);
            assert_int_equal(got.task, want.task);
            assert_true(got.why == want.why && got.sure == want.sure);
            assert_int_equal(classify_memo_hits(m) - before, asks[i].hits);
        }
        close_model(state); /* another model's results are none of this one's */
        assert_int_equal(open_model(state), 0);
    }
    struct llm_request none = {.n_messages = 0};
    struct classify_result got;
    classify_run(NULL, model, &none, &got);
    assert_string_equal(got.why, "no text");
    classify_run(m, NULL, &none, &got);
    assert_string_equal(got.why, "no model");
    classify_memo_free(m);
    classify_memo_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schedulers_tests_hold),
        cmocka_unit_test(courtesy_is_a_simple_query),
        cmocka_unit_test(without_tools_nothing_is_called),
        cmocka_unit_test(scores_are_shares),
        cmocka_unit_test(any_length_is_read_in_part),
        cmocka_unit_test(the_last_user_turn_decides),
        cmocka_unit_test(a_broken_section_is_none),
        cmocka_unit_test(the_development_set_is_known),
        cmocka_unit_test(the_same_turn_is_read_once),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
