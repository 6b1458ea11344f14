/* SPDX-License-Identifier: Apache-2.0 */
/* chat - what is wrong with a file of keys is told with its place in the configuration, and never what stands in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/testing.h"

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct config *with_file(const char *path, struct err *err)
{
    char text[256];
    struct config_source source = {.wall_us = 1};
    snprintf(text, sizeof text, "chat:\n  key_file: %s\n", path);
    return config_load_text(&source, strv_of(text), err);
}

static void a_key_file_is_looked_at(void **state)
{
    static const struct {
        const char *content;
        mode_t mode;
        const char *wrong; /* NULL = nothing */
    } cases[] = {
        {"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 0600, NULL},
        {"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 0644, "chmod 600"},
        {"00112233445566778899aabbccddeeffZZ112233445566778899aabbccddeeff\n", 0600, "line 1"},
        {"", 0600, "holds no key"},
    };
    char folder[] = "/tmp/chat-conf-XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        write_file(path, cases[i].content, cases[i].mode);
        struct config *c = with_file(path, &err);
        if ((c == NULL) != (cases[i].wrong != NULL))
            fail_msg("case %zu: %s", i, err.text);
        if (c != NULL) {
            assert_string_equal(c->chat_key_file, path);
            assert_true(c->chat_keep);
            config_free(c);
        } else {
            assert_int_equal(err.line, 2);
            assert_non_null(strstr(err.text, cases[i].wrong));
            assert_null(strstr(err.text, "ZZ"));
        }
    }
    unlink(path);
    struct err err = ERR_INIT;
    assert_null(with_file(path, &err));
    assert_non_null(strstr(err.text, "No such file"));
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_key_file_is_looked_at)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
