/* SPDX-License-Identifier: Apache-2.0 */
/* manifest: what is written is read; anything else is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bundle/bundle.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define HASH         "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define HEAD(files, bytes)                                                                         \
    "# llm-router bundle 1\n# version 0.1.0\n# created 2026-11-23T17:00:00Z\n"                     \
    "# files " files " bytes " bytes "\n"
#define GOOD                                                                                       \
    HEAD("2", "12")                                                                                \
    "# size 5 executable\n" HASH "  bin/x\n# size 7\n" HASH "  models/A model.gguf\n"

static bool reads(const char *text, size_t len, struct err *err)
{
    struct bundle b;
    bundle_init(&b);
    *err = ERR_INIT;
    bool ok = bundle_read(&b, (strv){text, len}, err);
    assert_int_equal(ok, !err->set);
    bundle_fini(&b);
    return ok;
}

static void what_is_written_is_read(void **state)
{
    struct err err = ERR_INIT;
    struct bundle b;
    struct buf out;
    (void)state;
    bundle_init(&b);
    buf_init(&out, 1 << 20);
    assert_true(bundle_read(&b, STRV(GOOD), &err));
    assert_int_equal(b.n, 2);
    assert_int_equal(b.bytes, 12);
    assert_string_equal(b.version, "0.1.0");
    assert_true(b.files[0].executable && !b.files[1].executable);
    assert_int_equal(b.files[0].hash[0], 0x9f);
    assert_ptr_equal(bundle_find(&b, STRV("models/A model.gguf")), &b.files[1]);
    assert_null(bundle_find(&b, STRV("models/a model.gguf")));
    assert_null(bundle_find(&b, STRV("zzz")));
    assert_true(bundle_write(&b, &out));
    assert_true(strv_eq(buf_view(&out), STRV(GOOD)));
    buf_fini(&out);
    bundle_fini(&b);
    assert_true(reads(HEAD("0", "0"), strlen(HEAD("0", "0")), &err));
}

static void a_piece_of_it_is_refused(void **state)
{
    struct err err;
    (void)state;
    for (size_t n = 0; n < strlen(GOOD); n++)
        assert_false(reads(GOOD, n, &err));
}

/* The signature says so first; here it must be said without one: no other text has the same meaning. */
static void a_changed_byte_is_refused_or_another_manifest(void **state)
{
    char text[sizeof GOOD];
    struct err err = ERR_INIT;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        static const char others[] = {0, '\n', ' ', '/', '.', 'Z', '9', (char)0xff};
        for (size_t k = 0; k < sizeof others; k++) {
            struct bundle b;
            struct buf out;
            memcpy(text, GOOD, sizeof text);
            text[i] = others[k];
            bundle_init(&b);
            buf_init(&out, 1 << 20);
            err = ERR_INIT;
            if (bundle_read(&b, (strv){text, sizeof text - 1}, &err)) {
                assert_true(bundle_write(&b, &out));
                assert_true(strv_eq(buf_view(&out), (strv){text, sizeof text - 1}));
            }
            buf_fini(&out);
            bundle_fini(&b);
        }
    }
}

static void hostile_manifests_are_refused_by_line(void **state)
{
#define ONE(path) HEAD("1", "1") "# size 1\n" HASH "  " path "\n"
#define TWO(one, other)                                                                            \
    HEAD("2", "2") "# size 1\n" HASH "  " one "\n# size 1\n" HASH "  " other "\n"
    static const struct {
        const char *text, *why;
        size_t line;
    } rows[] = {
        {ONE("../x"), "leads elsewhere", 6},
        {ONE("a/../../x"), "leads elsewhere", 6},
        {ONE("./x"), "leads elsewhere", 6},
        {ONE("/etc/passwd"), "absolute", 6},
        {ONE("a//x"), "empty part", 6},
        {ONE("a/"), "empty part", 6},
        {ONE(""), "the path is empty", 6},
        {ONE("a\\x"), "not allowed", 6},
        {ONE("a\tx"), "not allowed", 6},
        {ONE("a\033[2Jx"), "not allowed", 6},
        {ONE("a\xc3\xa4x"), "not allowed", 6},
        {ONE("c:x"), "not allowed", 6},
        {ONE("-rf"), "begins or ends badly", 6},
        {ONE("a/x."), "begins or ends badly", 6},
        {ONE("a /x"), "begins or ends badly", 6},
        {ONE(" a"), "begins or ends badly", 6},
        {ONE("MANIFEST"), "our own", 6},
        {ONE("manifest.SIG"), "our own", 6},
        {ONE("a/.llm-router-bundle-x"), "our own", 6},
        {TWO("a", "a"), "twice", 8},
        {TWO("a", "A"), "upper and lower case", 8},
        {TWO("b/x", "B/y"), "upper and lower case", 8},
        {TWO("b", "a"), "out of order", 8},
        {TWO("a", "a/x"), "a folder's, too", 8},
        {TWO("a", "A/x"), "a folder's, too", 8},
        {HEAD("1", "18446744073709551615"), "too large", 4},
        {HEAD("1", "1125899906842625"), "too large", 4},
        {HEAD("100001", "1"), "too large", 4},
        {HEAD("01", "1"), "wrong", 4},
        {HEAD("2", "1") "# size 1\n" HASH "  a\n", "another number", 6},
        {HEAD("1", "2") "# size 1\n" HASH "  a\n", "another number", 6},
        {HEAD("1", "1") "# size 99999999999999999\n" HASH "  a\n", "size is wrong", 5},
        {HEAD("1", "1") "# size -1\n" HASH "  a\n", "size is wrong", 5},
        {HEAD("1", "1") "# size 01\n" HASH "  a\n", "size is wrong", 5},
        {HEAD("1", "1") "# size 1 Executable\n" HASH "  a\n", "size is wrong", 5},
        {HEAD("1", "1") "# size 1\n9F86" HASH "  a\n", "a digest", 6},
        {HEAD("1", "1") "# size 1\n" HASH " *a\n", "a digest", 6},
        {HEAD("1", "1") "# size 1\nab  a\n", "a digest", 6},
        {"# llm-router bundle 2\n", "later", 1},
        {"# llm-router audit 1\n", "something else", 1},
        {"# llm-router bundle 1\r\n", "later", 1},
        {"# llm-router bundle 1\n# version \n", "a word", 2},
        {"# llm-router bundle 1\n# version 0 1\n", "a word", 2},
    };
    struct err err;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_false(reads(rows[i].text, strlen(rows[i].text), &err));
        if (strstr(err.text, rows[i].why) == NULL || err.line != rows[i].line)
            fail_msg("row %zu: %s, line %zu", i, err.text, err.line);
    }
}

static void long_paths_are_refused(void **state)
{
    char path[BUNDLE_PATH_MAX + 2];
    (void)state;
    memset(path, 'a', sizeof path);
    assert_null(bundle_path_problem((strv){path, BUNDLE_NAME_MAX}));
    assert_non_null(bundle_path_problem((strv){path, BUNDLE_NAME_MAX + 1}));
    for (size_t i = 100; i < sizeof path; i += 100)
        path[i] = '/';
    assert_null(bundle_path_problem((strv){path, BUNDLE_PATH_MAX}));
    assert_non_null(bundle_path_problem((strv){path, BUNDLE_PATH_MAX + 1}));
    assert_non_null(bundle_path_problem(STRV_NONE));
}

static void without_memory_it_is_refused(void **state)
{
    struct err err;
    (void)state;
    for (uint64_t nth = 1; nth < 4; nth++) {
        int64_t live = mem_live();
        mem_fail_at(nth, false);
        bool ok = reads(GOOD, strlen(GOOD), &err);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(ok != reached);
        assert_int_equal(mem_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_piece_of_it_is_refused),
        cmocka_unit_test(a_changed_byte_is_refused_or_another_manifest),
        cmocka_unit_test(hostile_manifests_are_refused_by_line),
        cmocka_unit_test(long_paths_are_refused),
        cmocka_unit_test(without_memory_it_is_refused),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
