/* SPDX-License-Identifier: Apache-2.0 */
/* outcome - what statuses and broken connections mean, and the promises of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "provider/provider.h"

static void statuses(void **state)
{
    static const struct {
        int status;
        struct dialect_failure failure;
        enum outcome want;
    } cases[] = {
        {204, {0}, OUTCOME_MALFORMED},
        {101, {0}, OUTCOME_MALFORMED},
        {0, {0}, OUTCOME_MALFORMED},
        {999, {0}, OUTCOME_MALFORMED},
        {301, {0}, OUTCOME_REDIRECT},
        {308, {0}, OUTCOME_REDIRECT},
        {400, {0}, OUTCOME_REJECTED},
        {400, {.context_too_long = true}, OUTCOME_CONTEXT_TOO_LONG},
        {400, {.model_missing = true}, OUTCOME_MODEL_MISSING},
        {401, {0}, OUTCOME_AUTH},
        {402, {0}, OUTCOME_AUTH},
        {403, {0}, OUTCOME_AUTH},
        {404, {.model_missing = true}, OUTCOME_MODEL_MISSING},
        {404, {0}, OUTCOME_MALFORMED},
        {405, {0}, OUTCOME_MALFORMED},
        {408, {0}, OUTCOME_HTTP_408},
        {409, {0}, OUTCOME_REJECTED},
        {413, {0}, OUTCOME_REJECTED},
        {413, {.context_too_long = true}, OUTCOME_CONTEXT_TOO_LONG},
        {422, {0}, OUTCOME_REJECTED},
        {429, {0}, OUTCOME_HTTP_429},
        {500, {0}, OUTCOME_HTTP_5XX},
        {500, {.caller_fault = true}, OUTCOME_REJECTED},
        {500, {.context_too_long = true}, OUTCOME_CONTEXT_TOO_LONG},
        {501, {0}, OUTCOME_HTTP_5XX},
        {502, {0}, OUTCOME_HTTP_5XX},
        {503, {0}, OUTCOME_HTTP_OVERLOADED},
        {503, {.loading = true}, OUTCOME_LOADING},
        {529, {0}, OUTCOME_HTTP_OVERLOADED},
        {599, {0}, OUTCOME_HTTP_5XX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(
            outcome_row(outcome_of_status(cases[i].status, &cases[i].failure))->name,
            outcome_row(cases[i].want)->name);
}

static void ends(void **state)
{
    static const struct {
        enum http_end how;
        enum io_end why;
        bool head;
        enum outcome want;
    } cases[] = {
        {HTTP_DONE, IO_EOF, true, OUTCOME_OK},
        {HTTP_DONE_AT_EOF, IO_EOF, true, OUTCOME_OK},
        {HTTP_CUT, IO_EOF, false, OUTCOME_RESET},
        {HTTP_CUT, IO_TRUNCATED, true, OUTCOME_CUT},
        {HTTP_RESET, IO_RESET, false, OUTCOME_RESET},
        {HTTP_RESET, IO_RESET, true, OUTCOME_CUT},
        {HTTP_MALFORMED, IO_EOF, false, OUTCOME_MALFORMED},
        {HTTP_NO_MEMORY, IO_NO_MEMORY, false, OUTCOME_NO_MEMORY},
        {HTTP_CONNECT, IO_REFUSED, false, OUTCOME_CONNECT_REFUSED},
        {HTTP_CONNECT, IO_UNREACHABLE, false, OUTCOME_CONNECT_FAILED},
        {HTTP_CONNECT, IO_RESET, false, OUTCOME_CONNECT_FAILED},
        {HTTP_CONNECT, IO_TIMEOUT, false, OUTCOME_CONNECT_TIMEOUT},
        {HTTP_CONNECT, IO_DNS, false, OUTCOME_DNS},
        {HTTP_CONNECT, IO_TLS, false, OUTCOME_TLS},
        {HTTP_CONNECT, IO_NOT_ALLOWED, false, OUTCOME_NOT_LOCAL},
        {HTTP_CONNECT, IO_NO_MEMORY, false, OUTCOME_NO_MEMORY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(
            outcome_row(outcome_of_end(cases[i].how, cases[i].why, cases[i].head))->name,
            outcome_row(cases[i].want)->name);
}

static void the_table_is_sound(void **state)
{
    (void)state;
    assert_int_equal(OUTCOME_OK, 0);
    assert_true(OUTCOMES <= 48); /* LEDGER_OUTCOMES_MAX, of a sibling folder */
    for (int o = 0; o < OUTCOMES; o++) {
        const struct outcome_row *row = outcome_row((enum outcome)o);
        assert_true(row->name[0] != '\0' && row->doc[0] != '\0');
        for (int p = 0; p < o; p++)
            assert_string_not_equal(row->name, outcome_row((enum outcome)p)->name);
        /* Only a success and a caller who left tell nobody anything. */
        assert_int_equal(row->error == LLM_OK, o == OUTCOME_OK || o == OUTCOME_CALLER_GONE);
        assert_false(row->counts && row->next == NEXT_TELL); /* our own and the caller's mistakes */
    }
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (int k = 0; k < PROVIDER_KINDS; k++) {
        enum provider_kind got;
        assert_true(provider_kind_parse(strv_of(provider_kind_name((enum provider_kind)k)), &got));
        assert_int_equal(got, k);
    }
    enum provider_kind kind;
    assert_false(provider_kind_parse(STRV("Ollama"), &kind));
    assert_false(provider_kind_parse(STRV(""), &kind));
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(ends),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
