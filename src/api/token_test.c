/* SPDX-License-Identifier: Apache-2.0 */
/* token: what is signed, in time and for this counts; nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/token.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define SECRET       STRV("an application's secret, 32 bytes")
#define NOW_US       ((int64_t)1764000000 * 1000000)
#define HEAD         "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS       "{\"sub\":\"3d6b0c1e-9f0e\",\"username\":\"pd\",\"exp\":1764000900}"

static void put_base64url(struct buf *b, strv bytes)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | (uint8_t)bytes.ptr[i];
        for (have += 8; have >= 6; have -= 6)
            buf_put_char(b, letters[bits >> (have - 6) & 63]);
        bits &= (1u << have) - 1;
    }
    if (have > 0)
        buf_put_char(b, letters[bits << (6 - have) & 63]);
}

static void sign(struct buf *b, const char *head, const char *claims, strv secret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    buf_init(b, 65536);
    put_base64url(b, strv_of(head));
    buf_put_char(b, '.');
    put_base64url(b, strv_of(claims));
    assert_non_null(HMAC(EVP_sha256(), secret.ptr, (int)secret.len,
                         (const unsigned char *)buf_view(b).ptr, buf_len(b), mac, &n));
    buf_put_char(b, '.');
    put_base64url(b, (strv){(const char *)mac, n});
    assert_false(b->failed);
}

static bool reads(const char *head, const char *claims, struct token *out)
{
    struct buf b;
    sign(&b, head, claims, SECRET);
    bool good = token_read(buf_view(&b), SECRET, NOW_US, out);
    buf_fini(&b);
    return good;
}

static void a_good_token_says_who_and_until_when(void **state)
{
    (void)state;
    struct token t;
    assert_true(reads(HEAD, CLAIMS, &t));
    assert_string_equal(t.user, "3d6b0c1e-9f0e");
    assert_int_equal(t.until_us, NOW_US + (int64_t)900 * 1000000);
}

static void heads_and_claims(void **state)
{
    (void)state;
    static const struct {
        const char *head, *claims;
        bool good;
    } cases[] = {
        {"{\"alg\":\"none\"}", CLAIMS, false},
        {"{\"alg\":\"hs256\"}", CLAIMS, false},
        {"{\"alg\":\"HS512\"}", CLAIMS, false},
        {"{\"alg\":\"RS256\"}", CLAIMS, false},
        {"{\"typ\":\"JWT\"}", CLAIMS, false},
        {"{\"alg\":[\"HS256\"]}", CLAIMS, false},
        {"{\"alg\":\"HS256\",\"crit\":[\"x\"]}", CLAIMS, false},
        {"[\"HS256\"]", CLAIMS, false},
        {"HS256", CLAIMS, false},
        {"", CLAIMS, false},
        {"{\"alg\":\"HS256\"}", CLAIMS, true},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000001}", true},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000000.5}", true},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000000}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":-1}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1e300}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":\"1764000900\"}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":null}", false},
        {HEAD, "{\"sub\":\"a\"}", false},
        {HEAD, "{\"exp\":1764000900}", false},
        {HEAD, "{\"sub\":\"\",\"exp\":1764000900}", false},
        {HEAD, "{\"sub\":7,\"exp\":1764000900}", false},
        {HEAD, "{\"sub\":\"a b\",\"exp\":1764000900}", false},
        {HEAD, "{\"sub\":\"a:b\",\"exp\":1764000900}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"nbf\":1764000000}", true},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"nbf\":1764000001}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"type\":\"access\"}", true},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"type\":\"refresh\"}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"type\":\"impersonation\"}", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900,\"type\":null}", false},
        {HEAD, "[]", false},
        {HEAD, "{\"sub\":\"a\",\"exp\":1764000900}x", false},
    };
    struct token t;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (reads(cases[i].head, cases[i].claims, &t) != cases[i].good)
            fail_msg("%s %s", cases[i].head, cases[i].claims);
}

static void any_change_makes_it_void(void **state)
{
    (void)state;
    struct token t;
    struct buf b;
    char copy[1024];
    sign(&b, HEAD, CLAIMS, SECRET);
    strv text = buf_view(&b);
    assert_true(token_read(text, SECRET, NOW_US, &t));
    assert_false(token_read(text, STRV("another secret of the same house"), NOW_US, &t));
    assert_false(token_read(text, STRV(""), NOW_US, &t));
    assert_false(token_read(text, SECRET, NOW_US + (int64_t)900 * 1000000, &t));
    for (size_t i = 0; i < text.len; i++) {
        memcpy(copy, text.ptr, text.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        assert_false(token_read((strv){copy, text.len}, SECRET, NOW_US, &t));
        assert_false(token_read((strv){text.ptr, i}, SECRET, NOW_US, &t));
    }
    memcpy(copy, text.ptr, text.len); /* the last letter's spare bits, padding, a fourth part */
    copy[text.len - 1]++;
    assert_false(token_read((strv){copy, text.len}, SECRET, NOW_US, &t));
    memcpy(copy + text.len, "=", 1);
    copy[text.len - 1]--;
    assert_true(token_read((strv){copy, text.len}, SECRET, NOW_US, &t));
    assert_false(token_read((strv){copy, text.len + 1}, SECRET, NOW_US, &t));
    copy[text.len] = '.';
    assert_false(token_read((strv){copy, text.len + 1}, SECRET, NOW_US, &t));
    buf_fini(&b);
}

static void no_text_is_too_strange(void **state)
{
    (void)state;
    static const char *const texts[] = {"", ".", "..", "...", "a.b.c", "eyJhbGciOiJub25lIn0.e30."};
    static char large[TOKEN_BYTES_MAX + 2];
    struct token t;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_false(token_read(strv_of(texts[i]), SECRET, NOW_US, &t));
    assert_false(token_read(STRV_NONE, SECRET, NOW_US, &t));
    memset(large, 'A', sizeof large - 1);
    large[10] = large[20] = '.';
    assert_false(token_read((strv){large, TOKEN_BYTES_MAX + 1}, SECRET, NOW_US, &t));
    assert_false(token_read((strv){large, TOKEN_BYTES_MAX}, SECRET, NOW_US, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_says_who_and_until_when),
        cmocka_unit_test(heads_and_claims),
        cmocka_unit_test(any_change_makes_it_void),
        cmocka_unit_test(no_text_is_too_strange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
