/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cookie.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SEAL 32

/* What the seal is over; the first word keeps it apart from whatever else the secret may seal one day. */
static bool seal(const uint8_t secret[COOKIE_SECRET], const struct policy_key *key,
                 int64_t until_us, char out[2 * SEAL])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct buf text;
    assert(key != NULL);
    buf_init(&text, 256);
    buf_printf(&text, "login %s %lld ", key->id, (long long)until_us);
    buf_put(&text, key->digest, sizeof key->digest);
    bool ok = !text.failed &&
              HMAC(EVP_sha256(), secret, COOKIE_SECRET, (const unsigned char *)buf_view(&text).ptr,
                   buf_len(&text), mac, &n) != NULL &&
              n == SEAL;
    for (size_t i = 0; ok && i < SEAL; i++) {
        out[2 * i] = digits[mac[i] >> 4];
        out[2 * i + 1] = digits[mac[i] & 15];
    }
    buf_fini(&text);
    return ok;
}

bool cookie_seal(const uint8_t secret[COOKIE_SECRET], const struct policy_key *key, int64_t wall_us,
                 struct buf *out)
{
    char mac[2 * SEAL];
    int64_t until_us = wall_us + COOKIE_LIFE_US;
    return seal(secret, key, until_us, mac) &&
           buf_printf(out, "%s.%lld.", key->id, (long long)until_us) &&
           buf_put(out, mac, sizeof mac);
}

const struct policy_key *cookie_open(const uint8_t secret[COOKIE_SECRET],
                                     const struct policy_keys *keys, strv value, int64_t wall_us,
                                     int64_t *until_us)
{
    strv id, until, mac = value;
    uint64_t end_us;
    char ours[2 * SEAL];
    if (!strv_cut(&mac, '.', &id) || !strv_cut(&mac, '.', &until) || mac.len != sizeof ours ||
        !strv_u64(until, 1, INT64_MAX, &end_us) || wall_us >= (int64_t)end_us)
        return NULL;
    for (size_t i = 0; i < keys->n; i++) {
        const struct policy_key *key = &keys->items[i];
        if (!strv_eq_cstr(id, key->id) || !seal(secret, key, (int64_t)end_us, ours) ||
            CRYPTO_memcmp(ours, mac.ptr, sizeof ours) != 0)
            continue;
        *until_us = (int64_t)end_us;
        return key;
    }
    return NULL;
}

strv cookie_find(strv header)
{
    strv found = STRV_NONE, pair, name;
    while (strv_cut(&header, ';', &pair)) {
        strv value = pair;
        if (!strv_cut(&value, '=', &name) || value.ptr == NULL ||
            !strv_eq(strv_trim(name), STRV(COOKIE_NAME)))
            continue;
        if (found.ptr != NULL)
            return STRV_NONE;
        found = strv_trim(value);
    }
    return found;
}
