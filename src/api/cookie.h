/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cookie - a login as a browser keeps it: the key it was made from, until when (by the microsecond, so that each login has its own), and our seal on both.
 *
 *   llm_router=k_0123456789ab.1764020000000000.<64 hexadecimal digits>
 *
 * The seal is HMAC-SHA-256 over id, time and the digest of the key. So nothing of the key itself is in a browser, and a
 * login ends with its key: who is not among the keys of now is nobody, also if another key got the same id.
 */
#ifndef API_COOKIE_H
#define API_COOKIE_H

#include "base/base.h"
#include "policy/policy.h"

#define COOKIE_NAME    "llm_router"
#define COOKIE_SECRET  32
#define COOKIE_LIFE_S  (12 * 3600)
#define COOKIE_LIFE_US ((int64_t)COOKIE_LIFE_S * 1000000)

/* The value for a login with this key, COOKIE_LIFE_S long. False: no memory. */
bool cookie_seal(const uint8_t secret[COOKIE_SECRET], const struct policy_key *key, int64_t wall_us,
                 struct buf *out);
/* The key that the value was made from, and when the login ends; NULL if it is not one of ours, is over, or its key is
 * not there any more. */
const struct policy_key *cookie_open(const uint8_t secret[COOKIE_SECRET],
                                     const struct policy_keys *keys, strv value, int64_t wall_us,
                                     int64_t *until_us);
/* Our cookie in the value of a Cookie header; STRV_NONE if there is none, or more than one: who can put a second one there
 * could choose whose login counts. */
strv cookie_find(strv header);

#endif
