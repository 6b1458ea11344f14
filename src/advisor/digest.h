/* SPDX-License-Identifier: Apache-2.0 */
/* digest - SHA-256 as 64 hexadecimal digits: which file was it. */
#ifndef ADVISOR_DIGEST_H
#define ADVISOR_DIGEST_H

#include <openssl/sha.h>
#include <stdio.h>

#include "base/base.h"

static inline void digest_hex(strv text, char out[65])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text.ptr, text.len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

#endif
