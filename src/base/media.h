/* SPDX-License-Identifier: Apache-2.0 */
/*
 * media - bytes that travel inside JSON: base64, data URIs, what a file is, vectors of floats.
 *
 *   a caller's "data:image/png;base64,iVBORw0..."   ->  type, base64 that every upstream takes
 *   base64 in any usual spelling                    ->  standard alphabet, padded, without blanks; or bytes
 *   the first bytes of a file                       ->  "image/png"
 *
 * Pictures are large, so what is in order already is not copied: then the result is a view of the input.
 * Both are good as long as both the input and the arena are.
 *
 * Base64 is read in the standard and the URL-safe alphabet, with or without padding, with blanks and line
 * ends anywhere. Nothing else is taken: no other letter, no padding that is wrong, no bits left over at
 * the end (RFC 4648, 3.5). So two readers never see different bytes. Errors have the code given and tell a
 * position, never the content.
 */
#ifndef BASE_MEDIA_H
#define BASE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

#define MEDIA_IMAGE_BYTES_MAX ((size_t)20 << 20) /* what the vendors take at most */

/* Appends the bytes as base64: standard alphabet, padded. */
bool media_base64_put(struct buf *out, strv bytes);
/* The same content as media_base64_put() would have written it; the text itself if it is that already. */
bool media_base64_normal(strv text, struct arena *arena, strv *out, int code, struct err *err);
bool media_base64_decode(strv text, struct arena *arena, strv *out, int code, struct err *err);

/* What the bytes begin like: image/png, image/jpeg, image/gif, image/webp, image/bmp, application/pdf,
 * audio/wav, audio/mpeg; NULL if none of these. The first 24 bytes are enough. */
const char *media_type(strv bytes);
/* The same for a file in base64; looks at its beginning only. */
const char *media_type_base64(strv text);

/* A data URI (RFC 2397), read as browsers do. */
struct media_uri {
    strv type;    /* "image/png" as it was written; "text/plain" when there was none */
    strv charset; /* STRV_NONE when there was none */
    bool base64;
    strv data; /* base64: normal base64; else the bytes, percent-decoded */
};
bool media_is_data_uri(strv text);
bool media_data_uri(strv text, struct arena *arena, struct media_uri *out, int code,
                    struct err *err);

/* Vectors as embeddings have them in base64: 32-bit floats, the low byte first. */
bool media_floats_put(struct buf *out, const float *v, size_t n);
/* All of them finite, so that they can be written as JSON. */
bool media_floats_get(strv text, struct arena *arena, const float **v, size_t *n, int code,
                      struct err *err);

#endif
