/* SPDX-License-Identifier: Apache-2.0 */
/* file: whole or as before, never half; what is wrong is told with the path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/file.h"

static char folder[64], path[96];

static int make_place(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/file-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/x.json", folder);
    return 0;
}

static int drop_place(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* nothing else was left beside it */
}

static void what_was_written_is_read(void **state)
{
    struct err err = ERR_INIT;
    struct stat st;
    struct buf b;
    bool missing;
    (void)state;
    buf_init(&b, 1 << 20);
    assert_false(file_read(path, &b, &missing, &err));
    assert_true(missing && strstr(err.text, path) != NULL);
    err = ERR_INIT;
    char *large = malloc(200000);
    assert_non_null(large);
    memset(large, 'x', 200000);
    const strv texts[] = {STRV("first"), {large, 200000}, STRV("")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_clear(&b);
        assert_true(file_replace(path, texts[i], &err));
        assert_true(file_read(path, &b, NULL, &err));
        assert_true(strv_eq(buf_view(&b), texts[i]));
    }
    free(large);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    buf_fini(&b);
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    struct err err = ERR_INIT;
    struct buf b;
    bool missing;
    (void)state;
    assert_true(file_replace(path, STRV("more than ten bytes"), &err));
    buf_init(&b, 10);
    assert_false(file_read(path, &b, &missing, &err));
    assert_true(!missing && strstr(err.text, "too large") != NULL);
    buf_fini(&b);
}

static void where_nothing_can_be_written_the_old_one_stays(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    assert_false(file_replace("/proc/no/x", STRV("a"), &err));
    assert_true(err.set);
    err = ERR_INIT;
    assert_int_equal(mkdir(path, 0700), 0); /* a folder cannot be replaced by a file */
    assert_false(file_replace(path, STRV("a"), &err));
    assert_true(err.set);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(what_was_written_is_read),
        WITH_PLACE(a_file_that_is_too_large_is_refused),
        WITH_PLACE(where_nothing_can_be_written_the_old_one_stays),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
