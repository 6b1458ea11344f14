/* SPDX-License-Identifier: Apache-2.0 */
/* siphash - the same numbers as OpenSSL's SipHash-1-3; texts that run together are told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "base/base.h"

static const struct siphash_key key = {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};

static void reference(const unsigned char *data, size_t n, uint64_t out[2])
{
    unsigned int c = 1, d = 3, size = 16;
    size_t len = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint("c-rounds", &c),
                           OSSL_PARAM_construct_uint("d-rounds", &d),
                           OSSL_PARAM_construct_uint("size", &size), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_non_null(ctx);
    assert_int_equal(EVP_MAC_init(ctx, (const unsigned char *)key.k, sizeof key.k, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, data, n), 1);
    assert_int_equal(EVP_MAC_final(ctx, (unsigned char *)out, &len, 16), 1);
    assert_int_equal(len, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* What siphash_put() puts, as bytes. */
static size_t padded(unsigned char *to, const char *text, size_t n)
{
    uint64_t len = n;
    size_t whole = (n + 7) / 8 * 8;
    memset(to, 0, whole);
    memcpy(to, text, n);
    memcpy(to + whole, &len, sizeof len);
    return whole + sizeof len;
}

static void as_openssl_has_it(void **state)
{
    char text[300];
    unsigned char bytes[320];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 37);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint64_t ours[2], theirs[2];
        struct siphash h;
        siphash_begin(&h, &key);
        siphash_put(&h, (strv){text, n});
        siphash_end(&h, ours);
        reference(bytes, padded(bytes, text, n), theirs);
        assert_int_equal(ours[0], theirs[0]);
        assert_int_equal(ours[1], theirs[1]);
    }
}

static void digest(const strv *texts, size_t n, uint64_t out[2])
{
    struct siphash h;
    siphash_begin(&h, &key);
    for (size_t i = 0; i < n; i++)
        siphash_put(&h, texts[i]);
    siphash_end(&h, out);
}

static void texts_do_not_run_together(void **state)
{
    const strv a[] = {STRV("ab"), STRV("c")}, b[] = {STRV("a"), STRV("bc")}, c[] = {STRV("abc")},
               d[] = {STRV("abc"), STRV("")}, e[] = {{"abc\0", 4}};
    const strv *all[] = {a, b, c, d, e};
    const size_t n[] = {2, 2, 1, 2, 1};
    uint64_t out[5][2];
    (void)state;
    for (size_t i = 0; i < 5; i++)
        digest(all[i], n[i], out[i]);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(out[i][0] != out[k][0] && out[i][1] != out[k][1]);
}

static void an_end_is_only_a_look(void **state)
{
    struct siphash h;
    uint64_t once[2], twice[2];
    (void)state;
    siphash_begin(&h, &key);
    siphash_put(&h, STRV("one"));
    siphash_end(&h, once);
    siphash_end(&h, twice);
    assert_memory_equal(once, twice, sizeof once);
    siphash_put_u64(&h, 1);
    siphash_end(&h, twice);
    assert_memory_not_equal(once, twice, sizeof once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_openssl_has_it),
        cmocka_unit_test(texts_do_not_run_together),
        cmocka_unit_test(an_end_is_only_a_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
