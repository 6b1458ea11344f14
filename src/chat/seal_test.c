/* SPDX-License-Identifier: Apache-2.0 */
/* seal - what is sealed opens with its key and label and with nothing else; files of keys, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chat/seal.h"

static const uint8_t key[CHAT_KEY] = {1, 2, 3};

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define B64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static void opens_with_its_key_and_label_only(void **state)
{
    static const char text[] = "Dr. Example, PGY-2";
    uint8_t sealed[sizeof text + CHAT_SEAL], again[sizeof text + CHAT_SEAL], out[sizeof text];
    uint8_t other[CHAT_KEY] = {1, 2, 4};
    strv label = STRV("session 1"), whole = {(const char *)sealed, sizeof sealed};
    (void)state;
    assert_true(chat_seal(key, label, (strv){text, sizeof text}, sealed));
    assert_true(chat_seal(key, label, (strv){text, sizeof text}, again));
    assert_memory_not_equal(sealed, again, sizeof sealed); /* a nonce of its own each time */
    assert_true(chat_unseal(key, label, whole, out));
    assert_memory_equal(out, text, sizeof text);
    assert_false(chat_unseal(other, label, whole, out));
    assert_false(chat_unseal(key, STRV("session 2"), whole, out));
    for (size_t n = 0; n < sizeof sealed; n++)
        assert_false(chat_unseal(key, label, (strv){(const char *)sealed, n}, out));
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(chat_unseal(key, label, whole, out));
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void seals_nothing_too(void **state)
{
    uint8_t sealed[CHAT_SEAL], out[1];
    (void)state;
    assert_true(chat_seal(key, STRV(""), STRV_NONE, sealed));
    assert_true(chat_unseal(key, STRV(""), (strv){(const char *)sealed, sizeof sealed}, out));
    assert_false(chat_unseal(key, STRV("x"), (strv){(const char *)sealed, sizeof sealed}, out));
}

static void reads_keys_in_every_form(void **state)
{
    static const struct {
        strv content;
        size_t n; /* 0 = refused */
    } cases[] = {
        {STRV("0123456789abcdef0123456789abcdef"), 1}, /* 32 bytes, whatever they are */
        {STRV(HEX), 1},
        {STRV(HEX "\n"), 1},
        {STRV("# mine\r\n\r\n  " HEX "  \r\n" B64 "\n" B64 "=\n"), 3},
        {STRV(B64), 1},
        {STRV(B64 "="), 1},
        {STRV(""), 0},
        {STRV("# none\n"), 0},
        {STRV(HEX "0"), 0},
        {STRV("g" HEX), 0},
        {STRV(B64 "=="), 0},
        {STRV("*" B64), 0},
        {STRV("secret"), 0},
        {STRV(HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n"), 8},
        {STRV(HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX "\n" HEX), 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_keys k;
        struct err err = ERR_INIT;
        if (chat_keys_parse(cases[i].content, "f", &k, &err) != (cases[i].n > 0) ||
            k.n != cases[i].n)
            fail_msg("case %zu: %zu keys, %s", i, k.n, err.text);
        assert_null(strstr(err.text, "secret"));
        for (size_t at = 0; cases[i].n > 1 && at < k.n; at++)
            assert_int_equal(k.key[at][31], 31);
    }
}

static void an_id_is_the_keys_own(void **state)
{
    struct chat_keys a, b;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(chat_keys_parse(STRV(HEX "\n" B64 "\n"), "f", &a, &err));
    assert_memory_equal(a.id[0], a.id[1], CHAT_KEY_ID);
    assert_true(chat_keys_parse(STRV("0123456789abcdef0123456789abcdef"), "f", &b, &err));
    assert_memory_not_equal(a.id[0], b.id[0], CHAT_KEY_ID);
}

static void makes_a_file_and_turns_keys_over(void **state)
{
    char folder[] = "/tmp/seal-test-XXXXXX", path[64];
    struct chat_keys first, second;
    struct err err = ERR_INIT;
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    assert_false(chat_keys_read(path, &first, &err));
    err_clear(&err);
    assert_true(chat_keys_make(path, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(chat_keys_read(path, &first, &err));
    assert_int_equal(first.n, 1);
    assert_true(chat_keys_make(path, &err));
    assert_true(chat_keys_read(path, &second, &err));
    assert_int_equal(second.n, 2);
    assert_memory_equal(second.key[1], first.key[0], CHAT_KEY);
    assert_memory_not_equal(second.key[0], first.key[0], CHAT_KEY);
    for (size_t n = 2; n < CHAT_KEYS_MAX; n++)
        assert_true(chat_keys_make(path, &err));
    assert_false(chat_keys_make(path, &err));
    err_clear(&err);
    assert_int_equal(chmod(path, 0640), 0);
    assert_false(chat_keys_read(path, &second, &err));
    assert_non_null(strstr(err.text, "chmod 600"));
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_with_its_key_and_label_only),
        cmocka_unit_test(seals_nothing_too),
        cmocka_unit_test(reads_keys_in_every_form),
        cmocka_unit_test(an_id_is_the_keys_own),
        cmocka_unit_test(makes_a_file_and_turns_keys_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
