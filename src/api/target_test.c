/* SPDX-License-Identifier: Apache-2.0 */
/* target: tables of paths and queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/target.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ROUTE        "/v1/models/{id}"

static void paths_fit_routes(void **state)
{
    (void)state;
    static const struct {
        const char *route, *path;
        bool fits;
    } cases[] = {
        {"/v1/models", "/v1/models", true},
        {"/v1/models", "/v1/models/", false},
        {"/v1/models", "/v1/model", false},
        {ROUTE, "/v1/models", false},
        {ROUTE, "/v1/models/", false},
        {ROUTE, "/v1/models/a", true},
        {ROUTE, "/v1/models/a/b:c", true},
        {ROUTE, "/v1/models/a%2Fb", true},
        {ROUTE, "/v1/modelsX", false},
        {"/", "/", true},
        {"/", "/x", false},
        {"/", "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(target_fits(cases[i].route, strv_of(cases[i].path)), cases[i].fits);
}

static void names_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *path, *name; /* NULL: refused */
    } cases[] = {
        {"/v1/models/m", "m"},
        {"/v1/models/org/m:7b", "org/m:7b"},
        {"/v1/models/org%2Fm%3a7b", "org/m:7b"},
        {"/v1/models/a+b", "a+b"},
        {"/v1/models/caf%C3%A9", "caf\xc3\xa9"},
        {"/v1/models/%", NULL},
        {"/v1/models/%2", NULL},
        {"/v1/models/%2g", NULL},
        {"/v1/models/a%00b", NULL},
        {"/v1/models/a%0Ab", NULL},
        {"/v1/models/%7F", NULL},
        {"/v1/models/%C3", NULL},
        {"/v1/models/%25", "%"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena;
        strv name;
        arena_init(&arena, 256, 4096);
        bool ok = target_name(ROUTE, strv_of(cases[i].path), &arena, &name);
        assert_int_equal(ok, cases[i].name != NULL);
        if (ok)
            assert_true(strv_eq_cstr(name, cases[i].name));
        arena_fini(&arena);
    }
}

static void queries_are_looked_up(void **state)
{
    (void)state;
    static const struct {
        const char *query, *value; /* NULL: not there */
        bool ok;
    } cases[] = {
        {"", NULL, true},
        {"limit=5", NULL, true},
        {"after_id=a", "a", true},
        {"limit=5&after_id=a%2Fb&x", "a/b", true},
        {"after_id=a+b", "a b", true},
        {"after_id=", "", true},
        {"after_id", "", true},
        {"after_idx=a", NULL, true},
        {"&&after_id=a&after_id=b", "a", true},
        {"after_id=%zz", NULL, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena;
        strv value;
        arena_init(&arena, 256, 4096);
        bool ok = target_query(strv_of(cases[i].query), "after_id", &arena, &value);
        assert_int_equal(ok, cases[i].ok);
        if (ok && cases[i].value != NULL)
            assert_true(strv_eq_cstr(value, cases[i].value));
        if (ok)
            assert_int_equal(value.ptr != NULL, cases[i].value != NULL);
        arena_fini(&arena);
    }
}

static void refused_memory_is_a_refusal(void **state)
{
    (void)state;
    struct arena arena;
    strv out;
    arena_init(&arena, 256, 4096);
    mem_fail_at(1, true);
    assert_false(target_name(ROUTE, STRV("/v1/models/m"), &arena, &out));
    assert_false(target_query(STRV("a=b"), "a", &arena, &out));
    mem_fail_at(0, false);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_fit_routes),
        cmocka_unit_test(names_are_decoded),
        cmocka_unit_test(queries_are_looked_up),
        cmocka_unit_test(refused_memory_is_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
