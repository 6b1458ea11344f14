/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign - what a client carries for us, signed so that it can neither be made nor changed by it.
 *
 *   requestState   "1." expiry(16 hex) "." signature(32 hex) "." base64 of the server's own state
 *   session        "s" what it can be asked(2 hex) random(32 hex) signature(32 hex)
 *
 * The signature of a state covers the caller's key, the method, what is called and with which arguments, the expiry and
 * the state. The one of a session covers the key: it is no credential, and worth nothing in another's hands. The secret
 * is made when the process starts: what was signed before it means nothing.
 */
#include "gateway/internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define STATE_MS  ((int64_t)10 * 60 * 1000)
#define HEX       ((size_t)2 * GATEWAY_DIGEST)
#define TIME_HEX  16
#define STATE_AT  (2 + TIME_HEX + 1 + HEX + 1) /* where base64 begins */
#define STATE_MAX ((size_t)1 << 20)

static void put_hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* A part with its length before it, so that no two lists of parts give the same bytes. */
static void put_part(struct buf *b, strv part)
{
    buf_printf(b, "%zu:", part.len);
    buf_put_strv(b, part);
}

/* `text` signed; HEX characters and a terminator. False: no memory. */
static bool sign(const struct gateway *g, strv text, char out[HEX + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (HMAC(EVP_sha256(), g->env.hall->secret, sizeof g->env.hall->secret,
             (const unsigned char *)text.ptr, text.len, digest, &n) == NULL ||
        n < GATEWAY_DIGEST)
        return false;
    put_hex(out, digest, GATEWAY_DIGEST);
    return true;
}

static bool same(const char *a, const char *b)
{
    return CRYPTO_memcmp(a, b, HEX) == 0;
}

static strv key_of(const struct gateway_call *c)
{
    return c->caller.key != NULL ? strv_of(c->caller.key) : STRV("");
}

/* ---- states ---- */

static bool sign_state(struct gateway_call *c, strv expiry, strv state, char out[HEX + 1])
{
    struct buf b;
    yyjson_val *params = c->m.params, *args = json_get(params, "arguments");
    strv name = json_get_str(params, "name"), uri = json_get_str(params, "uri");
    buf_init(&b, GATEWAY_ANSWER_MAX);
    put_part(&b, key_of(c));
    put_part(&b, c->m.method);
    put_part(&b, name);
    put_part(&b, uri);
    if (args != NULL) /* written anew: a client may put other blanks between them */
        json_put_val(&b, args, &c->work);
    put_part(&b, expiry);
    put_part(&b, state);
    bool ok = !b.failed && sign(c->g, buf_view(&b), out);
    buf_fini(&b);
    return ok;
}

strv gateway_seal(struct gateway_call *c, strv state)
{
    char expiry[TIME_HEX + 1], signature[HEX + 1];
    int64_t until = io_wall_us(c->g->env.exchange->loop) + STATE_MS * 1000;
    struct buf b;
    snprintf(expiry, sizeof expiry, "%016llx", (unsigned long long)until);
    if (!sign_state(c, strv_of(expiry), state, signature))
        return STRV_NONE;
    buf_init(&b, STATE_MAX * 2);
    buf_printf(&b, "1.%s.%s.", expiry, signature);
    media_base64_put(&b, state);
    strv sealed = b.failed ? STRV_NONE : arena_strv(&c->work, buf_view(&b));
    buf_fini(&b);
    return sealed;
}

static bool read_hex(strv text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = strv_hex(text.ptr[i]);
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint64_t)digit;
    }
    return true;
}

bool gateway_unseal(struct gateway_call *c, strv sealed, strv *out)
{
    struct err err = ERR_INIT;
    char signature[HEX + 1];
    uint64_t until;
    if (sealed.len < STATE_AT || sealed.len > 2 * STATE_MAX || !strv_starts(sealed, STRV("1.")) ||
        sealed.ptr[2 + TIME_HEX] != '.' || sealed.ptr[STATE_AT - 1] != '.')
        return false;
    strv expiry = {sealed.ptr + 2, TIME_HEX};
    if (!media_base64_decode(strv_from(sealed, STATE_AT), &c->work, out, 0, &err) ||
        !sign_state(c, expiry, *out, signature) ||
        !same(sealed.ptr + 2 + TIME_HEX + 1, signature) || !read_hex(expiry, &until))
        return false;
    return until >= (uint64_t)io_wall_us(c->g->env.exchange->loop);
}

/* ---- sessions ---- */

#define SESSION_HEAD (1 + 2 + 32)
_Static_assert(SESSION_HEAD + HEX < GATEWAY_SESSION_MAX, "room for it and a terminator");

static bool sign_session(const struct gateway_call *c, strv head, char out[HEX + 1])
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put_cstr(&b, "session");
    put_part(&b, key_of(c));
    put_part(&b, head);
    bool ok = !b.failed && sign(c->g, buf_view(&b), out);
    buf_fini(&b);
    return ok;
}

strv gateway_session_new(struct gateway_call *c, unsigned can)
{
    char *id = arena_alloc(&c->work, SESSION_HEAD + HEX + 1);
    uint8_t random[16];
    if (id == NULL || !rng_secret(random, sizeof random))
        return STRV_NONE;
    snprintf(id, 4, "s%02x", can & 0xff);
    put_hex(id + 3, random, sizeof random);
    if (!sign_session(c, (strv){id, SESSION_HEAD}, id + SESSION_HEAD))
        return STRV_NONE;
    return (strv){id, SESSION_HEAD + HEX};
}

bool gateway_session_read(const struct gateway_call *c, strv id, unsigned *can)
{
    char signature[HEX + 1];
    uint64_t bits;
    if (id.len != SESSION_HEAD + HEX || id.ptr[0] != 's' || !read_hex((strv){id.ptr + 1, 2}, &bits))
        return false;
    if (!sign_session(c, (strv){id.ptr, SESSION_HEAD}, signature) ||
        !same(id.ptr + SESSION_HEAD, signature))
        return false;
    *can = (unsigned)bits;
    return true;
}
