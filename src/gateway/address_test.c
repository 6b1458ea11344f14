/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/internal.h"

static const struct {
    const char *template, *uri;
    bool fits;
} rows[] = {
    {"t://{id}/data", "t://123/data", true},
    {"t://{id}/data", "t://1/2/data", false},
    {"t://{id}/data", "t:///data", false},
    {"t://{id}/data", "t://123/dat", false},
    {"t://{id}/data", "t://123/data2", false},
    {"t://{a}{b}", "t://xy", true},
    {"t://{a}{b}", "t://x", false},
    {"file:///{+path}", "file:///a/b/c.txt", true},
    {"file:///{path}", "file:///a/b/c.txt", false},
    {"t://x{?q,lang}", "t://x?q=1&lang=en", true},
    {"t://x{?q,lang}", "t://x", true},
    {"t://x{?q}", "t://xq=1", false},
    {"t://x{?q}{&p}", "t://x?q=1&p=2", true},
    {"t://x{/a}", "t://x/y/z", true},
    {"t://x{/a}", "t://x", true},
    {"t://x{#f}", "t://x#top", true},
    {"t://x{.kind}", "t://x.json", true},
    {"t://x{;p}", "t://x;p=1", true},
    {"plain", "plain", true},
    {"plain", "other", false},
    {"", "", false},
    {"{id}", "", false},
    {"{id", "x", false},
    {"id}", "id}", false},
    {"{}", "x", false},
    {"{id}", "caf\xc3\xa9", true},
    {"{a}-{b}-{c}", "1-2-3-4", true},
};

static void test_every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (gateway_address_fits(strv_of(rows[i].template), strv_of(rows[i].uri)) != rows[i].fits)
            fail_msg("%s, %s", rows[i].template, rows[i].uri);
}

/* A template that could be tried in ever so many ways ends soon. */
static void test_hostile_templates_end(void **state)
{
    char template[3001], uri[8001];
    (void)state;
    for (size_t i = 0; i < 1000; i++)
        memcpy(template + 3 * i, "{a}", 3);
    template[3000] = '\0';
    memset(uri, 'x', 8000);
    uri[7999] = '/';
    uri[8000] = '\0';
    assert_false(gateway_address_fits(strv_of(template), strv_of(uri)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_hostile_templates_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
