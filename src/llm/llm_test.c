/* SPDX-License-Identifier: Apache-2.0 */
/* llm: the tables are whole, figures merge, replies are collected from events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "llm/llm.h"

static void every_error_has_a_whole_row(void **state)
{
    (void)state;
    for (int code = LLM_OK + 1; code < LLM_ERRORS; code++) {
        const struct llm_error_row *row = llm_error_row(code);
        assert_true(row->code != NULL && row->code[0] != '\0');
        assert_true(row->text != NULL && row->text[0] != '\0');
        assert_non_null(row->openai_type);
        assert_non_null(row->anthropic_type);
        assert_in_range(row->status, 400, 599);
        assert_in_range(row->anthropic_status, 400, 599);
        for (int other = LLM_OK + 1; other < code; other++)
            assert_string_not_equal(row->code, llm_error_row(other)->code);
    }
}

static void unknown_errors_are_our_own(void **state)
{
    (void)state;
    static const int codes[] = {LLM_OK, -1, ERR_CODE_OOM, LLM_ERRORS, 1 << 30};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        assert_ptr_equal(llm_error_row(codes[i]), llm_error_row(LLM_ERR_INTERNAL));
    assert_int_equal(llm_error_row(LLM_ERR_OVERLOADED)->anthropic_status, 529);
}

static void every_parameter_has_a_whole_row(void **state)
{
    (void)state;
    for (int p = 0; p < LLM_PARAMS; p++) {
        assert_non_null(llm_params[p].id);
        assert_true(llm_params[p].min < llm_params[p].max);
        /* doubles carry the values: whole numbers must be exact */
        assert_true(llm_params[p].min >= -0x1p53 && llm_params[p].max <= 0x1p53);
    }
    assert_string_equal(llm_params[LLM_P_MAX_TOKENS].name[LLM_OLLAMA], "num_predict");
    assert_null(llm_params[LLM_P_SEED].name[LLM_ANTHROPIC]);
}

static void names_of_things(void **state)
{
    (void)state;
    assert_string_equal(llm_dialect_name(LLM_ANTHROPIC), "anthropic");
    assert_string_equal(llm_dialect_name(LLM_NATIVE), "native");
    assert_string_equal(llm_role_name(LLM_SYSTEM), "system");
    assert_string_equal(llm_role_name(LLM_ASSISTANT), "assistant");
    assert_string_equal(llm_need_field(LLM_NEED_CHOICES | LLM_NEED_LOGPROBS), "n");
    assert_string_equal(llm_need_field(LLM_NEED_LOGIT_BIAS), "logit_bias");
    assert_string_equal(llm_need_field(0), "");
}

static void parameters_are_set_one_by_one(void **state)
{
    (void)state;
    struct llm_request r = {.dialect = LLM_OPENAI};
    assert_false(llm_has(&r, LLM_P_SEED));
    llm_set(&r, LLM_P_SEED, 5);
    assert_true(llm_has(&r, LLM_P_SEED));
    assert_false(llm_has(&r, LLM_P_TOP_K));
}

/* The estimate decides num_ctx and message_start: too small would cut a prompt. */
static void the_estimate_is_never_too_small(void **state)
{
    (void)state;
    struct llm_part parts[2] = {{.kind = LLM_PART_TEXT, .text = STRV("hello world hello world")},
                                {.kind = LLM_PART_TEXT, .text = STRV("")}};
    struct llm_message messages[2] = {{LLM_SYSTEM, parts, 2}, {LLM_USER, parts, 1}};
    struct llm_request r = {.messages = messages, .n_messages = 2};
    assert_int_equal(llm_request_estimate_tokens(&r), 46 / 3 + 8 * 2 + 8);
    r.n_messages = 0;
    assert_true(llm_request_estimate_tokens(&r) > 0);
}

static void later_figures_replace_and_never_add(void **state)
{
    (void)state;
    struct llm_usage u = LLM_USAGE_NONE;
    llm_usage_merge(&u, &(struct llm_usage){10, 1, 4, -1, -1, -1, -1, -1, -1, -1});
    llm_usage_merge(&u, &(struct llm_usage){-1, 7, -1, 0, -1, -1, -1, 5, -1, -1});
    assert_int_equal(u.input, 10);
    assert_int_equal(u.output, 7);
    assert_int_equal(u.cached, 4);
    assert_int_equal(u.cache_write, 0);
    assert_int_equal(u.reasoning, -1);
    assert_int_equal(u.input_ns, 5);
    assert_int_equal(u.total_ns, -1);
}

static void a_reply_is_collected_from_events(void **state)
{
    (void)state;
    struct arena arena;
    struct llm_reply r;
    static const struct llm_event events[] = {
        {.kind = LLM_EV_START, .text = STRV("id1"), .model = STRV("m")},
        {.kind = LLM_EV_START, .text = STRV("id2"), .model = STRV("n")},
        {.kind = LLM_EV_REASONING, .text = STRV("hm")},
        {.kind = LLM_EV_PING},
        {.kind = LLM_EV_TEXT, .text = STRV("Hel")},
        {.kind = LLM_EV_TEXT, .choice = 1, .text = STRV("other")},
        {.kind = LLM_EV_TEXT, .text = STRV("lo")},
        {.kind = LLM_EV_FINISH,
         .finish = LLM_FINISH_STOP_SEQUENCE,
         .stop_sequence = STRV("END"),
         .raw_finish = STRV("stop")},
        {.kind = LLM_EV_USAGE, .usage = {3, 2, -1, -1, -1, -1, -1, -1, -1, -1}},
        {.kind = LLM_EV_END},
    };
    arena_init(&arena, 256, 4096);
    llm_reply_init(&r, 64);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        assert_false(r.ended);
        assert_true(llm_reply_add(&r, &events[i], &arena));
    }
    assert_true(strv_eq_cstr(r.id, "id1") && strv_eq_cstr(r.model, "m"));
    assert_int_equal(r.n_parts, 2);
    assert_int_equal(r.parts[0].kind, LLM_PART_REASONING);
    assert_true(strv_eq_cstr(llm_reply_text(&r, &r.parts[0]), "hm"));
    assert_true(strv_eq_cstr(llm_reply_text(&r, &r.parts[1]), "Hello"));
    assert_int_equal(r.finish, LLM_FINISH_STOP_SEQUENCE);
    assert_true(strv_eq_cstr(r.stop_sequence, "END"));
    assert_int_equal(r.usage.output, 2);
    assert_true(r.ended);
    llm_reply_fini(&r);
    arena_fini(&arena);
}

/* A finish of another choice is not the answer's. */
static void only_the_first_choice_counts(void **state)
{
    (void)state;
    struct arena arena;
    struct llm_reply r;
    arena_init(&arena, 256, 4096);
    llm_reply_init(&r, 64);
    assert_true(llm_reply_add(
        &r, &(struct llm_event){.kind = LLM_EV_FINISH, .finish = LLM_FINISH_LENGTH}, &arena));
    assert_true(llm_reply_add(
        &r, &(struct llm_event){.kind = LLM_EV_FINISH, .choice = 1, .finish = LLM_FINISH_STOP},
        &arena));
    assert_int_equal(r.finish, LLM_FINISH_LENGTH);
    llm_reply_fini(&r);
    arena_fini(&arena);
}

static void a_reply_has_a_largest_size(void **state)
{
    (void)state;
    struct arena arena;
    struct llm_reply r;
    const struct llm_event five = {.kind = LLM_EV_TEXT, .text = STRV("12345")};
    arena_init(&arena, 256, 4096);
    llm_reply_init(&r, 8);
    assert_true(llm_reply_add(&r, &five, &arena));
    assert_false(llm_reply_add(&r, &five, &arena));
    assert_false(llm_reply_add(&r, &(struct llm_event){.kind = LLM_EV_PING}, &arena)); /* sticky */
    llm_reply_fini(&r);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_whole_row),
        cmocka_unit_test(unknown_errors_are_our_own),
        cmocka_unit_test(every_parameter_has_a_whole_row),
        cmocka_unit_test(names_of_things),
        cmocka_unit_test(parameters_are_set_one_by_one),
        cmocka_unit_test(the_estimate_is_never_too_small),
        cmocka_unit_test(later_figures_replace_and_never_add),
        cmocka_unit_test(a_reply_is_collected_from_events),
        cmocka_unit_test(only_the_first_choice_counts),
        cmocka_unit_test(a_reply_has_a_largest_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
