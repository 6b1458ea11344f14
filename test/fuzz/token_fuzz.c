/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token - what a caller shows to be let in, and a history on its way to the scheduler's client.
 *
 *   first byte   which reader: token, claims (signed here), cookie, history
 *   the rest     what it reads
 *
 * Nobody gets in by a text that was not signed here; a signed one says a user whose name is safe anywhere and an end that is
 * to come. A history that is taken is JSON again.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>

#include "api/cookie.h"
#include "api/scheduler_frames.h"
#include "api/token.h"

#define SECRET STRV("0123456789abcdef0123456789abcdef")
#define NOW_US ((int64_t)1764000000 * 1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

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

static void read_claims(strv in)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct token token;
    struct buf b;
    buf_init(&b, 65536);
    put_base64url(&b, STRV("{\"alg\":\"HS256\"}"));
    buf_put_char(&b, '.');
    put_base64url(&b, in);
    HMAC(EVP_sha256(), SECRET.ptr, (int)SECRET.len, (const unsigned char *)buf_view(&b).ptr,
         buf_len(&b), mac, &n);
    buf_put_char(&b, '.');
    put_base64url(&b, (strv){(const char *)mac, n});
    if (!b.failed && token_read(buf_view(&b), SECRET, NOW_US, &token)) {
        check(token.until_us > NOW_US && token.user[0] != '\0');
        for (const char *c = token.user; *c != '\0'; c++)
            check((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                  (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '_');
    }
    buf_fini(&b);
}

static void read_cookie(strv in)
{
    static const uint8_t secret[COOKIE_SECRET] = "no input was sealed by this one.";
    struct policy_key key = {.id = "k_a"};
    struct policy_keys *keys = policy_keys_new(&key, 1, NULL);
    int64_t until_us;
    strv value = cookie_find(in);
    check(keys != NULL && value.len <= in.len);
    check(cookie_open(secret, keys, value, NOW_US, &until_us) == NULL);
    check(cookie_open(secret, keys, in, NOW_US, &until_us) == NULL);
    policy_keys_unref(keys);
}

static void read_history(strv in)
{
    struct buf b;
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    buf_init(&b, 16 * in.len + 4096);
    arena_init(&arena, 65536, (size_t)64 << 20);
    if (scheduler_history(in, &b)) {
        check(json_read(&doc, buf_view(&b), &arena, 0, &err));
        check(yyjson_is_arr(json_get(doc.root, "messages")));
    }
    arena_fini(&arena);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token token;
    if (size == 0 || size > 65536)
        return 0;
    char *copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);
    strv in = {copy + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        check(!token_read(in, SECRET, NOW_US, &token));
        break;
    case 1:
        read_claims(in);
        break;
    case 2:
        read_cookie(in);
        break;
    default:
        read_history(in);
        break;
    }
    free(copy);
    return 0;
}
