/* SPDX-License-Identifier: Apache-2.0 */
#include "api/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAC         32
#define SECONDS_MAX 253402300799.0 /* the end of the year 9999 */

static int letter(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

/* False: it is no base64url without padding whose last bits are zero, or longer than `max`. */
static bool decode(strv text, uint8_t *out, size_t max, size_t *n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    *n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = letter(text.ptr[i]);
        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        have += 6;
        if (have < 8)
            continue;
        if (*n == max)
            return false;
        have -= 8;
        out[(*n)++] = (uint8_t)(bits >> have);
    }
    return have < 6 && (bits & ((1u << have) - 1)) == 0;
}

static bool is_signed(strv text, strv mac, strv secret)
{
    uint8_t ours[EVP_MAX_MD_SIZE], theirs[MAC];
    unsigned n = 0;
    size_t len;
    return decode(mac, theirs, sizeof theirs, &len) && len == MAC && secret.len > 0 &&
           HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text.ptr,
                text.len, ours, &n) != NULL &&
           n == MAC && CRYPTO_memcmp(ours, theirs, MAC) == 0;
}

static bool read_object(strv part, struct arena *arena, struct json *doc)
{
    uint8_t text[TOKEN_BYTES_MAX];
    struct err err = ERR_INIT;
    size_t n;
    return decode(part, text, sizeof text, &n) &&
           json_read(doc, (strv){(const char *)text, n}, arena, 0, &err) &&
           yyjson_is_obj(doc->root);
}

/* An extension that must be understood (`crit`) is not. */
static bool head_is_good(yyjson_val *head)
{
    return strv_eq_cstr(json_get_str(head, "alg"), "HS256") && yyjson_obj_get(head, "crit") == NULL;
}

static bool take_user(yyjson_val *claims, struct token *out)
{
    strv user = json_get_str(claims, "sub");
    if (user.len == 0 || user.len > TOKEN_NAME_MAX)
        return false;
    for (size_t i = 0; i < user.len; i++)
        if (letter(user.ptr[i]) < 0)
            return false;
    memcpy(out->user, user.ptr, user.len);
    out->user[user.len] = '\0';
    return true;
}

/* A time that is there must be one; *out stays as it is if it is not there. */
static bool take_time(yyjson_val *claims, const char *name, int64_t *out)
{
    yyjson_val *v = yyjson_obj_get(claims, name);
    double s;
    if (v == NULL)
        return true;
    if (!json_is_num(v, &s) || s < 0 || s > SECONDS_MAX)
        return false;
    *out = (int64_t)(s * 1e6);
    return true;
}

/* A token for something else (to refresh this one, to act as somebody else) says so in `type`. */
static bool claims_are_good(yyjson_val *claims, int64_t wall_us, struct token *out)
{
    yyjson_val *type = yyjson_obj_get(claims, "type");
    int64_t from_us = 0;
    out->until_us = 0;
    return (type == NULL || strv_eq_cstr(json_str(type), "access")) &&
           take_time(claims, "exp", &out->until_us) && wall_us < out->until_us &&
           take_time(claims, "nbf", &from_us) && wall_us >= from_us && take_user(claims, out);
}

bool token_read(strv text, strv secret, int64_t wall_us, struct token *out)
{
    strv rest = text, head, claims;
    struct json doc;
    struct arena arena;
    if (text.len > TOKEN_BYTES_MAX || !strv_cut(&rest, '.', &head) ||
        !strv_cut(&rest, '.', &claims) || rest.ptr == NULL)
        return false;
    if (!is_signed((strv){text.ptr, head.len + 1 + claims.len}, rest, secret))
        return false;
    arena_init(&arena, 4096, 256 * 1024);
    bool good = read_object(head, &arena, &doc) && head_is_good(doc.root) &&
                read_object(claims, &arena, &doc) && claims_are_good(doc.root, wall_us, out);
    arena_fini(&arena);
    return good;
}
