/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token - an application's access token: a JSON Web Token (RFC 7519) signed with a secret that it shares with us.
 *
 *   base64url({"alg":"HS256"}) . base64url({"sub","exp", ...}) . base64url(HMAC-SHA-256 over the two)
 *
 * The signature is looked at first and nothing is believed before; only HS256 is one, whatever the head says. What is
 * taken is less than the standard allows: three parts, base64url without padding or left-over bits, one object each.
 */
#ifndef API_TOKEN_H
#define API_TOKEN_H

#include "base/base.h"

#define TOKEN_BYTES_MAX 4096
#define TOKEN_NAME_MAX  64

struct token {
    char user[TOKEN_NAME_MAX + 1]; /* `sub`: letters, digits, - and _ */
    int64_t until_us;              /* `exp` */
};

/* False: it is not good, at this time or at all. */
bool token_read(strv text, strv secret, int64_t wall_us, struct token *out);

#endif
