/* SPDX-License-Identifier: Apache-2.0 */
/* logins_test - files of tokens: for their owner alone, exchanged whole, and believed only if nobody else could write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "app/logins.h"

static char folder[] = "/tmp/llm-router-logins-XXXXXX", path[200];
static struct logins logins;

static int setup(void **state)
{
    char state_dir[100];
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    snprintf(state_dir, sizeof state_dir, "%s/a/b", folder); /* neither is there yet */
    snprintf(path, sizeof path, "%s/mcp/s.json", state_dir);
    logins_init(&logins, state_dir);
    return 0;
}

static int teardown(void **state)
{
    static const char *const parts[] = {"a/b/mcp/s.json", "a/b/mcp/x", "a/b/mcp", "a/b", "a", ""};
    char text[200];
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(text, sizeof text, "%s/%s", folder, parts[i]);
        if (unlink(text) != 0)
            (void)rmdir(text);
    }
    return 0;
}

static bool reads(const char *expected)
{
    struct buf out;
    buf_init(&out, 1000);
    bool ok = logins_read(&logins, "s", &out) &&
              (expected == NULL || strv_eq_cstr(buf_view(&out), expected));
    buf_fini(&out);
    return ok;
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(name, &st), 0);
    return st.st_mode & 0777;
}

static void written_read_and_removed(void **state)
{
    struct err err = ERR_INIT;
    bool there;
    (void)state;
    assert_false(reads(NULL));
    assert_int_equal(logins_mark(&logins, "s"), 0);
    assert_true(logins_write(&logins, "s", STRV("one"), &err));
    uint64_t mark = logins_mark(&logins, "s");
    assert_true(reads("one") && mark != 0);
    assert_int_equal(mode_of(path), 0600);
    *strrchr(path, '/') = '\0';
    assert_int_equal(mode_of(path), 0700);
    path[strlen(path)] = '/';
    assert_true(logins_write(&logins, "s", STRV("another"), &err));
    assert_true(reads("another") && logins_mark(&logins, "s") != mark);
    assert_true(logins_remove(&logins, "s", &there, &err) && there);
    assert_true(logins_remove(&logins, "s", &there, &err) && !there);
    assert_false(reads(NULL));
}

static void a_file_that_others_had_a_hand_in_is_none(void **state)
{
    struct err err = ERR_INIT;
    char other[220];
    (void)state;
    assert_true(logins_write(&logins, "s", STRV("one"), &err));
    assert_int_equal(chmod(path, 0640), 0);
    assert_false(reads(NULL));
    assert_int_equal(chmod(path, 0602), 0);
    assert_false(reads(NULL));
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(reads("one"));
    snprintf(other, sizeof other, "%.*s/x", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_false(reads(NULL));
    assert_true(
        logins_write(&logins, "s", STRV("two"), &err)); /* in the link's place, not through it */
    assert_true(reads("two"));
}

static void what_cannot_be_written_is_told(void **state)
{
    struct err err = ERR_INIT;
    struct logins l;
    (void)state;
    logins_init(&l, "/proc/nothing");
    assert_false(logins_write(&l, "s", STRV("one"), &err));
    assert_non_null(strstr(err.text, "/proc/nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_read_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_others_had_a_hand_in_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_told, setup, teardown),
    };
    return cmocka_run_group_tests_name("logins", tests, NULL, NULL);
}
