/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle: made, carried, changed in every way, installed, ended at every step. Real files in a folder of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/bundle.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define VIEW_MAX     4096

static char place[64], before[4096];
static char said[VIEW_MAX]; /* "PATH: WHAT;" of problems */
static unsigned copied, kept, replaced;

/* ---- the place ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void get(const char *path, char out[VIEW_MAX])
{
    FILE *f = fopen(path, "r");
    size_t n = 0;
    if (f != NULL) {
        n = fread(out, 1, VIEW_MAX - 1, f);
        fclose(f);
    }
    out[n] = '\0';
}

static void assert_holds(const char *path, const char *text)
{
    char now[VIEW_MAX];
    get(path, now);
    assert_string_equal(now, text);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static int make_place(void **state)
{
    struct err err = ERR_INIT;
    struct buf pem;
    (void)state;
    snprintf(place, sizeof place, "/tmp/bundle-test-XXXXXX");
    if (getcwd(before, sizeof before) == NULL || mkdtemp(place) == NULL || chdir(place) != 0)
        return -1;
    mkdir("src", 0755);
    mkdir("src/lib", 0755);
    put("src/program", "#!/bin/sh\n");
    chmod("src/program", 0755);
    put("src/lib/a.so.1", "a library");
    if (symlink("a.so.1", "src/lib/a.so") != 0)
        return -1;
    put("model.gguf", "GGUF and more");
    put("empty", "");
    buf_init(&pem, 4096);
    bool ok = bundle_key_make("key", &pem, &err);
    buf_put_char(&pem, '\0');
    put("pub", buf_view(&pem).ptr);
    buf_clear(&pem);
    ok = ok && bundle_key_make("key2", &pem, &err);
    buf_put_char(&pem, '\0');
    put("pub2", buf_view(&pem).ptr);
    buf_fini(&pem);
    return ok ? 0 : -1;
}

static int drop_place(void **state)
{
    (void)state;
    return chdir(before) == 0 ? nftw(place, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

/* ---- the verbs ---- */

static void on_problem(void *arg, const char *path, const char *what)
{
    size_t n = strlen(said);
    (void)arg;
    snprintf(said + n, sizeof said - n, "%s: %s;", path, what);
}

static void on_done(void *arg, const char *path, const char *what)
{
    (void)arg;
    (void)path;
    copied += strcmp(what, "copied") == 0;
    kept += strcmp(what, "kept") == 0;
    replaced += strcmp(what, "replaced") == 0;
}

enum verb { CREATE, VERIFY, INSTALL, REPLACE, INSTALLED };

/* "" = all is well; else problems, or the error. */
static const char *run(enum verb verb, const char *dir, const char *key, const char *const *only,
                       size_t n_only)
{
    static const struct bundle_part parts[] = {
        {"models/model.gguf", "model.gguf"}, {"engine", "src"}, {"empty", "empty"}};
    struct bundle_watch watch = {.problem = on_problem, .done = on_done};
    struct err err = ERR_INIT;
    struct bundle b;
    bool ok = false;
    said[0] = '\0';
    copied = kept = replaced = 0;
    bundle_init(&b);
    snprintf(b.version, sizeof b.version, "0.1.0");
    snprintf(b.created, sizeof b.created, "2026-11-23T17:00:00Z");
    if (verb == CREATE)
        ok = bundle_create(dir, key, parts, COUNT(parts), &b, &watch, &err);
    else if (verb == VERIFY)
        ok = bundle_verify(dir, key, &b, &watch, &err);
    else if (verb == INSTALLED)
        ok = bundle_verify_installed("to", key, only, n_only, &b, &watch, &err);
    else
        ok = bundle_install(dir, key, "to", verb == REPLACE, &b, &watch, &err);
    bundle_fini(&b);
    assert_int_equal(ok, !err.set);
    if (!ok)
        snprintf(said, sizeof said, "%s", err.text);
    return said;
}

static void assert_run(enum verb verb, const char *dir, const char *key, const char *expected)
{
    const char *result = run(verb, dir, key, NULL, 0);
    if (expected[0] == '\0' ? result[0] != '\0' : strstr(result, expected) == NULL)
        fail_msg("verb %d: \"%s\" instead of \"%s\"", verb, result, expected);
}

static void create(void)
{
    assert_run(CREATE, "b", "key", "");
}

/* The bundle's files; the link has become a file. */
static const char *const files[] = {"empty", "engine/lib/a.so", "engine/lib/a.so.1",
                                    "engine/program", "models/model.gguf"};

/* ---- tests ---- */

static void a_bundle_is_made_checked_and_installed(void **state)
{
    struct stat st;
    (void)state;
    create();
    assert_int_equal(copied, 5);
    assert_false(exists("b.part"));
    assert_run(VERIFY, "b", "pub", "");
    assert_run(INSTALL, "b", "pub", "");
    assert_int_equal(copied, 5);
    assert_holds("to/models/model.gguf", "GGUF and more");
    assert_holds("to/engine/lib/a.so", "a library");
    assert_int_equal(lstat("to/engine/lib/a.so", &st), 0);
    assert_true(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0644);
    assert_int_equal(stat("to/engine/program", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_run(INSTALLED, NULL, "pub", "");
    assert_run(INSTALL, "b", "pub", ""); /* again */
    assert_int_equal(kept, 5);
    assert_int_equal(copied, 0);
}

static void what_was_signed_by_another_is_not_looked_at(void **state)
{
    struct stat st;
    (void)state;
    create();
    assert_run(VERIFY, "b", "pub2", "the signature is not by the key pub2");
    assert_run(INSTALL, "b", "pub2", "the signature is not by the key pub2");
    assert_false(exists("to/models"));
    assert_run(VERIFY, "b", "nothere", "nothere");
    assert_run(VERIFY, "b", "model.gguf", "no public key");
    assert_run(CREATE, "c", "pub", "mode 6");
    chmod("pub", 0600);
    assert_run(CREATE, "c", "pub", "no private key");
    chmod("key", 0644);
    assert_run(CREATE, "c", "key", "chmod 600");
    assert_int_equal(stat("key", &st), 0);
    assert_false(exists("c"));
}

static void a_flipped_byte_in_each_file_is_named(void **state)
{
    static const char *const own[] = {BUNDLE_MANIFEST, BUNDLE_SIGNATURE};
    char path[128];
    (void)state;
    create();
    for (size_t i = 0; i < COUNT(files) + COUNT(own); i++) {
        const char *name = i < COUNT(files) ? files[i] : own[i - COUNT(files)];
        struct stat st;
        snprintf(path, sizeof path, "b/%s", name);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        for (off_t at = 0; at < st.st_size; at += 1 + st.st_size / 7) {
            char was, now;
            assert_int_equal(pread(fd, &was, 1, at), 1);
            now = (char)(was ^ 1);
            assert_int_equal(pwrite(fd, &now, 1, at), 1);
            assert_run(VERIFY, "b", "pub", name);
            assert_run(INSTALL, "b", "pub", name);
            assert_false(exists("to/engine/program"));
            assert_int_equal(pwrite(fd, &was, 1, at), 1);
        }
        assert_int_equal(close(fd), 0);
    }
    assert_run(INSTALL, "b", "pub", "");
}

static void what_is_missing_added_or_no_file_is_named(void **state)
{
    (void)state;
    create();
    assert_int_equal(rename("b/models/model.gguf", "kept"), 0);
    assert_run(VERIFY, "b", "pub", "models/model.gguf: missing");
    assert_run(INSTALL, "b", "pub", "models/model.gguf: missing");
    assert_int_equal(symlink("../../kept", "b/models/model.gguf"), 0); /* with the right bytes */
    assert_run(VERIFY, "b", "pub", "models/model.gguf: no plain file");
    assert_run(INSTALL, "b", "pub", "models/model.gguf: no plain file");
    assert_int_equal(unlink("b/models/model.gguf"), 0);
    assert_int_equal(mkfifo("b/models/model.gguf", 0600),
                     0); /* and nobody waits for its other end */
    assert_run(VERIFY, "b", "pub", "models/model.gguf: no plain file");
    assert_int_equal(unlink("b/models/model.gguf"), 0);
    assert_int_equal(rename("b/models", "elsewhere"), 0);
    assert_int_equal(rename("kept", "elsewhere/model.gguf"), 0);
    assert_int_equal(symlink("../elsewhere", "b/models"), 0); /* a folder by a link */
    assert_run(VERIFY, "b", "pub", "models/model.gguf: no plain file");
    assert_run(VERIFY, "b", "pub", "models: not in the manifest");
    assert_run(INSTALL, "b", "pub", "models: not in the manifest");
    assert_int_equal(unlink("b/models"), 0);
    assert_int_equal(rename("elsewhere", "b/models"), 0);
    put("b/engine/lib/evil.so", "x");
    assert_run(VERIFY, "b", "pub", "engine/lib/evil.so: not in the manifest");
    assert_run(INSTALL, "b", "pub", "engine/lib/evil.so: not in the manifest");
    assert_false(exists("to/engine/program"));
    assert_int_equal(unlink("b/engine/lib/evil.so"), 0);
    assert_run(INSTALL, "b", "pub", "");
}

/* What is told is what is wrong, not what was hoped for: longer and shorter count, too. */
static void another_length_is_a_change(void **state)
{
    (void)state;
    create();
    put("b/models/model.gguf", "GGUF and mor");
    assert_run(INSTALL, "b", "pub", "models/model.gguf: changed");
    put("b/models/model.gguf", "GGUF and more\n");
    assert_run(VERIFY, "b", "pub", "models/model.gguf: changed");
    assert_run(INSTALL, "b", "pub", "models/model.gguf: changed");
    put("b/empty", "x");
    assert_run(VERIFY, "b", "pub", "empty: changed;models/model.gguf: changed;");
}

static void nothing_is_replaced_silently(void **state)
{
    (void)state;
    create();
    mkdir("to", 0755);
    mkdir("to/models", 0755);
    put("to/models/model.gguf", "mine");
    put("to/empty", "");
    assert_run(INSTALL, "b", "pub", "models/model.gguf: another one is there");
    assert_false(exists("to/engine"));
    assert_holds("to/models/model.gguf", "mine");
    put("to/models/model.gguf.old", "an older one");
    assert_run(REPLACE, "b", "pub", "");
    assert_true(replaced == 1 && kept == 1 && copied == 3);
    assert_holds("to/models/model.gguf", "GGUF and more");
    assert_holds("to/models/model.gguf.old", "an older one");
    assert_holds("to/models/model.gguf.old.1", "mine");
    assert_run(INSTALLED, NULL, "pub", "");
}

static void links_below_the_prefix_are_not_followed(void **state)
{
    (void)state;
    create();
    mkdir("to", 0755);
    mkdir("outside", 0755);
    assert_int_equal(symlink("../outside", "to/models"), 0);
    assert_run(REPLACE, "b", "pub", "models/model.gguf: in its place is no plain file, or a link");
    assert_int_equal(unlink("to/models"), 0);
    mkdir("to/models", 0755);
    assert_int_equal(symlink("../../outside/x", "to/models/model.gguf"), 0);
    assert_run(REPLACE, "b", "pub", "models/model.gguf: in its place is no plain file, or a link");
    assert_false(exists("outside/x"));
    assert_int_equal(unlink("to/models/model.gguf"), 0);
    mkdir("to/empty", 0755);
    assert_run(REPLACE, "b", "pub", "empty: in its place is no plain file");
    assert_int_equal(rmdir("to/empty"), 0);
    assert_run(INSTALL, "b", "pub", "");
}

static void an_installed_file_that_was_changed_is_named(void **state)
{
    static const char *const model[] = {"models/model.gguf"}, *const folder[] = {"to/models/"};
    static const char *const stranger[] = {"models/stranger.gguf"}, *const engine[] = {"engine"};
    (void)state;
    create();
    assert_run(INSTALLED, NULL, "pub", "to: ");
    assert_run(INSTALL, "b", "pub", "");
    assert_string_equal(run(INSTALLED, NULL, "pub", model, 1), "");
    assert_string_equal(run(INSTALLED, NULL, "pub", folder, 1), "");
    put("to/models/model.gguf", "GGUF and mora");
    assert_string_equal(run(INSTALLED, NULL, "pub", model, 1), "models/model.gguf: changed;");
    assert_string_equal(run(INSTALLED, NULL, "pub", folder, 1), "models/model.gguf: changed;");
    assert_string_equal(run(INSTALLED, NULL, "pub", engine, 1), ""); /* no matter of its */
    put("to/models/stranger.gguf", "GGUF");
    assert_string_equal(run(INSTALLED, NULL, "pub", stranger, 1),
                        "models/stranger.gguf: not in the manifest;");
    assert_string_equal(run(INSTALLED, NULL, "pub", folder, 1),
                        "models/model.gguf: changed;models/stranger.gguf: not in the manifest;");
    assert_run(INSTALLED, NULL, "pub2", "the signature");
}

static void what_goes_in_is_looked_at(void **state)
{
    (void)state;
    assert_int_equal(symlink("nowhere", "src/dangling"), 0);
    assert_run(CREATE, "b", "key", "src/dangling");
    assert_int_equal(unlink("src/dangling"), 0);
    assert_int_equal(symlink("lib", "src/lib2"), 0);
    assert_run(CREATE, "b", "key", "src/lib2 is no plain file");
    assert_int_equal(unlink("src/lib2"), 0);
    put("src/PROGRAM", "");
    assert_run(CREATE, "b", "key", "upper and lower case alone");
    assert_int_equal(unlink("src/PROGRAM"), 0);
    put("src/a:b", "");
    assert_run(CREATE, "b", "key", "engine/a:b: the path has a character");
    assert_int_equal(unlink("src/a:b"), 0);
    assert_int_equal(link("key", "src/mine"), 0);
    assert_run(CREATE, "b", "key", "src/mine is the private key");
    assert_int_equal(unlink("src/mine"), 0);
    create();
    assert_run(CREATE, "b", "key", "b is there already");
}

static void an_attempt_to_create_that_was_ended_is_gone_on_with(void **state)
{
    (void)state;
    mkdir("b.part", 0755);
    mkdir("b.part/models", 0755);
    put("b.part/models/model.gguf", "GGUF and more");
    put("b.part/empty", "not any more");
    put("b.part/.llm-router-bundle-new", "half");
    create();
    assert_true(kept == 1 && copied == 4);
    assert_run(VERIFY, "b", "pub", "");
    mkdir("c.part", 0755);
    put("c.part/other", "of something else");
    assert_run(CREATE, "c", "key", "an earlier attempt");
}

/* In place of a kill at every moment: whatever of the staged and placed files is there, whole or in part. */
static void an_install_that_was_ended_is_gone_on_with(void **state)
{
    struct stat first, second;
    (void)state;
    create();
    assert_run(INSTALL, "b", "pub", "");
    assert_int_equal(stat("to/engine/program", &first), 0);
    assert_int_equal(unlink("to/" BUNDLE_MANIFEST), 0); /* it comes last */
    assert_int_equal(rename("to/models/model.gguf",
                            "to/models/.llm-router-bundle-00000000000000000000000000000000-4"),
                     0); /* of another bundle: not ours to touch */
    assert_run(INSTALL, "b", "pub", "");
    assert_true(copied == 1 && kept == 4);
    assert_int_equal(stat("to/engine/program", &second), 0);
    assert_true(first.st_ino == second.st_ino);
    assert_run(INSTALLED, NULL, "pub", "");
}

static void no_key_is_replaced(void **state)
{
    struct err err = ERR_INIT;
    struct stat st;
    struct buf pem;
    (void)state;
    buf_init(&pem, 4096);
    assert_false(bundle_key_make("key", &pem, &err));
    buf_fini(&pem);
    assert_int_equal(stat("key", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void without_memory_it_fails_and_gives_all_back(void **state)
{
    static const enum verb verbs[] = {CREATE, VERIFY, INSTALL, INSTALLED};
    (void)state;
    for (size_t i = 0; i < COUNT(verbs); i++) {
        bool reached = true;
        for (uint64_t nth = 1; reached; nth++) {
            int64_t live = mem_live();
            mem_fail_at(nth, nth % 2 == 0);
            const char *result = run(verbs[i], "b", verbs[i] == CREATE ? "key" : "pub", NULL, 0);
            reached = mem_count() >= nth;
            mem_fail_at(0, false);
            assert_int_equal(mem_live(), live);
            if (reached == (result[0] == '\0'))
                fail_msg("verb %d, allocation %d: \"%s\"", verbs[i], (int)nth, result);
        }
    }
    assert_run(INSTALLED, NULL, "pub", "");
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, drop_place)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(a_bundle_is_made_checked_and_installed),
        WITH_PLACE(what_was_signed_by_another_is_not_looked_at),
        WITH_PLACE(a_flipped_byte_in_each_file_is_named),
        WITH_PLACE(what_is_missing_added_or_no_file_is_named),
        WITH_PLACE(another_length_is_a_change),
        WITH_PLACE(nothing_is_replaced_silently),
        WITH_PLACE(links_below_the_prefix_are_not_followed),
        WITH_PLACE(an_installed_file_that_was_changed_is_named),
        WITH_PLACE(what_goes_in_is_looked_at),
        WITH_PLACE(an_attempt_to_create_that_was_ended_is_gone_on_with),
        WITH_PLACE(an_install_that_was_ended_is_gone_on_with),
        WITH_PLACE(no_key_is_replaced),
        WITH_PLACE(without_memory_it_fails_and_gives_all_back),
    };
    return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
