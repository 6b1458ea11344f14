/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - master keys, and texts that only their holder can read: AES-256-GCM.
 *
 *   sealed = nonce (12 random bytes) | ciphertext | tag (16 bytes)
 *
 * What a text belongs to (whose, which session, which number) is its label: not stored with it, but without the same
 * label it does not open, so rows that were exchanged are noticed. A nonce is random: a session's own key seals a few
 * thousand texts, the master key a few million keys, both far below 2^32.
 *
 * A file of keys has mode 0600 and holds either 32 bytes, or lines of 64 hexadecimal digits or of base64 (`#` begins a
 * remark). The first key seals; those behind it only open what they have sealed, until a start has sealed it anew.
 */
#ifndef CHAT_SEAL_H
#define CHAT_SEAL_H

#include "base/base.h"

#define CHAT_KEY      32
#define CHAT_KEY_ID   8
#define CHAT_KEYS_MAX 8
#define CHAT_SEAL     28 /* bytes that sealing adds */

struct chat_keys {
    uint8_t key[CHAT_KEYS_MAX][CHAT_KEY];
    uint8_t id[CHAT_KEYS_MAX]
              [CHAT_KEY_ID]; /* what a row says which key it needs by; tells nothing of it */
    size_t n;
};
bool chat_keys_read(const char *path, struct chat_keys *out, struct err *err);
/* The same of the file's content; `path` for messages. */
bool chat_keys_parse(strv content, const char *path, struct chat_keys *out, struct err *err);
/* Makes a key, durable, 0600: the file, or in it the first one, so that it seals from the next start on. */
bool chat_keys_make(const char *path, struct err *err);
void chat_keys_wipe(struct chat_keys *k);
/* A key for something else (a cookie): nobody who has it learns the master key. False: the library refused. */
bool chat_key_derive(const uint8_t master[CHAT_KEY], const char *purpose, uint8_t out[CHAT_KEY]);

/* `out` has room for text.len + CHAT_SEAL bytes. False: no random numbers, or the library refused. */
bool chat_seal(const uint8_t key[CHAT_KEY], strv label, strv text, uint8_t *out);
/* `out` has room for sealed.len - CHAT_SEAL bytes. False: it was not sealed with this key and label. */
bool chat_unseal(const uint8_t key[CHAT_KEY], strv label, strv sealed, uint8_t *out);

#endif
