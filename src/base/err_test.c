/* SPDX-License-Identifier: Apache-2.0 */
/* err: the first one is kept, texts stay UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

static void first_error_is_kept(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_false(e.set);
    assert_false(err_set(&e, 7, "first %d", 1));
    assert_true(e.set);
    assert_int_equal(e.code, 7);
    assert_string_equal(e.text, "first 1");
    assert_string_equal(e.field, "");
    assert_false(err_set(&e, 8, "second"));
    assert_false(err_field(&e, 8, "f", "second"));
    assert_false(err_at(&e, 8, 1, 2, "second"));
    assert_false(err_offset(&e, 8, 3, "second"));
    assert_false(err_oom(&e));
    assert_int_equal(e.code, 7);
    assert_string_equal(e.text, "first 1");
    assert_string_equal(e.field, "");
    assert_int_equal(e.line + e.column + e.offset, 0);
    err_clear(&e);
    assert_false(e.set);
    assert_string_equal(e.text, "");
    assert_false(err_oom(&e));
    assert_int_equal(e.code, ERR_CODE_OOM);
}

static void each_kind_says_where(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_false(err_field(&e, 1, "messages[0].role", "must be %s", "text"));
    assert_string_equal(e.field, "messages[0].role");
    assert_string_equal(e.text, "must be text");
    e = ERR_INIT;
    assert_false(err_at(&e, 2, 10, 3, "unknown key"));
    assert_int_equal(e.line, 10);
    assert_int_equal(e.column, 3);
    e = ERR_INIT;
    assert_false(err_offset(&e, 3, 99, "bad byte"));
    assert_int_equal(e.offset, 99);
    assert_string_equal(e.text, "bad byte");
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_false(err_set(NULL, 1, "x"));
    assert_false(err_field(NULL, 1, "f", "x"));
    assert_false(err_at(NULL, 1, 1, 1, "x"));
    assert_false(err_offset(NULL, 1, 1, "x"));
    assert_false(err_oom(NULL));
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char text[600];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', shift);
        for (size_t at = shift; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 5);
        struct err e = ERR_INIT;
        assert_false(err_field(&e, 1, text, "%s", text));
        assert_true(utf8_valid(strv_of(e.text)));
        assert_true(utf8_valid(strv_of(e.field)));
        assert_in_range(strlen(e.text), sizeof(e.text) - 4, sizeof(e.text) - 1);
        assert_in_range(strlen(e.field), sizeof(e.field) - 4, sizeof(e.field) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_is_kept),
        cmocka_unit_test(each_kind_says_where),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(long_texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
