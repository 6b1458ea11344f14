/* SPDX-License-Identifier: Apache-2.0 */
/* advisor: the built-in files, the operator's, and what is said of one that cannot be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static char dir[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int open_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/advisor_test.XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int close_dir(void **state)
{
    static const char *const names[] = {"a.txt", "b.txt", "schema.json", "remarks"};
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct config *load(const char *option, const char *file, struct err *err)
{
    char text[512];
    struct config_source source = {0};
    snprintf(text, sizeof text, "advisor: { %s: \"%s%s%s\" }", option, dir, file[0] ? "/" : "",
             file);
    return config_load_text(&source, strv_of(text), err);
}

static void has_files_of_its_own(void **state)
{
    struct config_source source = {0};
    struct err err = ERR_INIT;
    (void)state;
    struct config *c = config_load_text(&source, STRV("workers: 1"), &err);
    assert_non_null(c);
    assert_true(strv_eq_cstr(c->advisor.schema->name, "residency-scheduler"));
    assert_int_equal(c->advisor.n_own, 0);
    assert_true(c->advisor.n_templates >= 4);
    assert_int_equal(c->advisor.question_ms, 30000);
    config_free(c);
}

static void takes_the_operators_templates_first(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    write_file("a.txt", "name: suggest\nversion: 7\nmodels: *\n---\nS\n---\nQ\n");
    write_file("b.txt", "name: suggest\nversion: 8\nmodels: q*\n---\nS\n---\nQ\n");
    write_file("remarks", "not a template");
    struct config *c = load("templates", "", &err);
    assert_non_null(c);
    assert_int_equal(advisor_template(&c->advisor, ADVICE_SUGGEST, STRV("qwen"))->version, 8);
    assert_int_equal(advisor_template(&c->advisor, ADVICE_SUGGEST, STRV("llama"))->version, 7);
    assert_int_equal(advisor_template(&c->advisor, ADVICE_EXPLAIN, STRV("llama"))->version, 1);
    config_free(c);
}

static void says_what_is_wrong_with_a_file(void **state)
{
    static const struct {
        const char *option, *file, *text, *says;
    } rows[] = {
        {"schema", "schema.json", "{\"name\":\"x\",\"version\":1}", "params"},
        {"schema", "none.json", NULL, "No such file"},
        {"templates", "none", NULL, "No such file"},
        {"templates", "", "name: suggest\nversion: 7\nmodels: *\n---\nS\n---\n{{", "line 7"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        if (rows[i].text != NULL)
            write_file(rows[i].file[0] ? rows[i].file : "a.txt", rows[i].text);
        assert_null(load(rows[i].option, rows[i].file, &err));
        if (strstr(err.text, rows[i].says) == NULL || strstr(err.text, "advisor.") == NULL)
            fail_msg("%s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_files_of_its_own),
        cmocka_unit_test_setup_teardown(takes_the_operators_templates_first, open_dir, close_dir),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_with_a_file, open_dir, close_dir),
    };
    return cmocka_run_group_tests_name("advisor", tests, NULL, NULL);
}
