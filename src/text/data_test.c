/* SPDX-License-Identifier: Apache-2.0 */
/* data_test - a file of two sections, and every way in which it can be wrong. */
#include "text/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <openssl/sha.h>

enum { HEAD = 16, ROW = 32, FIRST = 128, SECOND = 192, BODY = 195, WHOLE = BODY + 32 };

struct file {
    char path[64];
    unsigned char bytes[WHOLE];
};

static void put(unsigned char *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static void put_row(unsigned char *row, const char *name, uint64_t offset, uint64_t length)
{
    memset(row, 0, ROW);
    memcpy(row, name, strlen(name));
    put(row + 16, offset, 8);
    put(row + 24, length, 8);
}

static void fill(struct file *f)
{
    memset(f->bytes, 0, sizeof f->bytes);
    memcpy(f->bytes, "LLMR", 4);
    put(f->bytes + 4, 1, 4);
    put(f->bytes + 8, 2, 4);
    put_row(f->bytes + HEAD, "names", FIRST, 5);
    put_row(f->bytes + HEAD + ROW, "model", SECOND, 3);
    memcpy(f->bytes + FIRST, "first", 5);
    memcpy(f->bytes + SECOND, "two", 3);
}

static void sign(struct file *f)
{
    SHA256(f->bytes, BODY, f->bytes + BODY);
}

static struct text_data *open_bytes(struct file *f, size_t n, struct err *err)
{
    *err = ERR_INIT;
    FILE *out = fopen(f->path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    return text_data_open(f->path, err);
}

static int set_up(void **state)
{
    struct file *f = calloc(1, sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/llm-router-data-XXXXXX");
    int fd = mkstemp(f->path);
    if (fd < 0)
        return -1;
    close(fd);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct file *f = *state;
    int status = unlink(f->path);
    free(f);
    return status;
}

static void sections_are_found_by_name(void **state)
{
    struct file *f = *state;
    struct err err;
    fill(f);
    sign(f);
    struct text_data *d = open_bytes(f, WHOLE, &err);
    assert_non_null(d);
    assert_true(strv_eq_cstr(text_data_section(d, "names"), "first"));
    assert_true(strv_eq_cstr(text_data_section(d, "model"), "two"));
    assert_null(text_data_section(d, "none").ptr);
    assert_int_equal(strlen(text_data_digest(d)), 64);
    struct text_data *again = text_data_ref(d);
    text_data_unref(d);
    assert_true(strv_eq_cstr(text_data_section(again, "model"), "two"));
    text_data_unref(again);
    text_data_unref(NULL);
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state)
{
    struct file *f = *state;
    struct err err;
    fill(f);
    sign(f);
    for (size_t n = 0; n < WHOLE; n++) {
        assert_null(open_bytes(f, n, &err));
        assert_true(err.set);
    }
}

static void one_wrong_byte_is_enough(void **state)
{
    struct file *f = *state;
    struct err err;
    for (size_t i = 0; i < WHOLE; i++) {
        fill(f);
        sign(f);
        f->bytes[i] ^= 0x40;
        assert_null(open_bytes(f, WHOLE, &err));
        assert_true(err.set);
    }
}

static void a_section_outside_the_file_is_refused(void **state)
{
    struct file *f = *state;
    struct err err;
    static const uint64_t places[][2] = {
        {SECOND, 4},
        {SECOND + 1, 2},
        {0, 3},
        {64, 3},
        /* in the table */ {256, 0},
        {SECOND, UINT64_MAX},
        {UINT64_MAX - 63, 3},
        {UINT64_MAX - 63, 4096},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        fill(f);
        put_row(f->bytes + HEAD + ROW, "model", places[i][0], places[i][1]);
        sign(f);
        assert_null(open_bytes(f, WHOLE, &err));
        assert_true(err.set);
    }
    fill(f);
    memset(f->bytes + HEAD, 'x', 16); /* a name without an end */
    sign(f);
    assert_null(open_bytes(f, WHOLE, &err));
    fill(f);
    put(f->bytes + 8, 0xffffffff, 4); /* more rows than bytes */
    sign(f);
    assert_null(open_bytes(f, WHOLE, &err));
}

static void another_version_says_so(void **state)
{
    struct file *f = *state;
    struct err err;
    fill(f);
    put(f->bytes + 4, 2, 4);
    sign(f);
    assert_null(open_bytes(f, WHOLE, &err));
    assert_non_null(strstr(err.text, "version 2"));
}

static void no_file_no_folder_no_memory(void **state)
{
    struct file *f = *state;
    struct err err = ERR_INIT;
    assert_null(text_data_open("/nonexistent/llm-router.data", &err));
    assert_true(err.set);
    err = ERR_INIT;
    assert_null(text_data_open("/tmp", &err));
    assert_true(err.set);
    fill(f);
    sign(f);
    text_data_unref(open_bytes(f, WHOLE, &err));
    err = ERR_INIT;
    mem_fail_at(1, true);
    assert_null(text_data_open(f->path, &err));
    mem_fail_at(0, false);
    assert_int_equal(err.code, ERR_CODE_OOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sections_are_found_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_file_is_refused_wherever_it_is_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_wrong_byte_is_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_section_outside_the_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_version_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_file_no_folder_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
