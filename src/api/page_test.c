/* SPDX-License-Identifier: Apache-2.0 */
/* page: what headers say about form, type and tag; and the table of files that the build made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/page.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void the_smallest_form_that_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum page_form form;
    } cases[] = {
        {NULL, PAGE_PLAIN},
        {"", PAGE_PLAIN},
        {"identity", PAGE_PLAIN},
        {"gzip", PAGE_GZIP},
        {"gzip, deflate, br", PAGE_BROTLI},
        {"gzip, deflate, br, zstd", PAGE_BROTLI},
        {"GZIP", PAGE_GZIP},
        {"gzip;q=0", PAGE_PLAIN},
        {"gzip; q=0.000", PAGE_PLAIN},
        {"gzip;q=0.5", PAGE_GZIP},
        {"br;q=0, gzip", PAGE_GZIP},
        {"br;q=1.0", PAGE_BROTLI},
        {"*", PAGE_PLAIN},
        {"brotli", PAGE_PLAIN},
        {",,;,br", PAGE_BROTLI},
        {"br;", PAGE_BROTLI},
        {"br;q", PAGE_BROTLI},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(page_form_for(strv_of(cases[i].accept)), cases[i].form);
}

static void a_browser_names_its_type(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool wanted;
    } cases[] = {
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
        {"text/html", true},
        {"TEXT/HTML;charset=utf-8", true},
        {"application/json, text/html;q=0.1", true},
        {"text/html;q=0", false},
        {"*/*", false},
        {"text/*", false},
        {"application/json", false},
        {"", false},
        {NULL, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(page_type_wanted(strv_of(cases[i].accept), STRV("text/html")),
                         cases[i].wanted);
}

static void tags_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool listed;
    } cases[] = {
        {"\"abc-1\"", true},
        {"W/\"abc-1\"", true},
        {"\"x\", \"abc-1\"", true},
        {"\"x\" ,W/\"abc-1\"", true},
        {"*", true},
        {"\"abc\"", false},
        {"abc-1", false},
        {"", false},
        {",", false},
        {NULL, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(page_tag_listed(strv_of(cases[i].header), STRV("\"abc-1\"")),
                         cases[i].listed);
}

static void files_are_there_in_three_forms(void **state)
{
    (void)state;
    static const char *const needed[] = {"chat.html", "operator.html"};
    for (size_t i = 0; i < page_n_files; i++) {
        const struct page_file *file = &page_files[i];
        assert_true(file->bytes[PAGE_PLAIN].len > 0 && file->bytes[PAGE_BROTLI].len > 0);
        assert_memory_equal(file->bytes[PAGE_GZIP].ptr, "\x1f\x8b", 2);
        if (strv_eq_cstr(strv_of(file->type), "text/html; charset=utf-8"))
            assert_true(strv_starts(file->bytes[PAGE_PLAIN], STRV("<!doctype html>")));
    }
    for (size_t k = 0; k < COUNT(needed); k++) {
        size_t found = 0;
        for (size_t i = 0; i < page_n_files; i++)
            found += strv_eq_cstr(strv_of(page_files[i].name), needed[k]);
        assert_int_equal(found, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_form_that_is_read),
        cmocka_unit_test(a_browser_names_its_type),
        cmocka_unit_test(tags_are_compared),
        cmocka_unit_test(files_are_there_in_three_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
