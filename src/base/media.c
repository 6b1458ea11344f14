/* SPDX-License-Identifier: Apache-2.0 */
/*
 * media - base64 in two passes: the first one looks at every letter and counts, the second one only has
 * to move bits.
 */
#include "base/media.h"

#include <math.h>
#include <stdint.h>

/* Classes of bytes beside the values 0 to 63. 126 and 127: the same as 62 and 63 in the URL-safe alphabet. */
enum { URL = 64, BLANK = 128, PAD = 129, BAD = 255 };

struct shape {
    size_t letters; /* without blanks and padding */
    bool normal;    /* as media_base64_put() writes it */
};

/* Of ASCII, by byte. */
static const unsigned char classes[128] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 128, 128, 255, 255, 128, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 128, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 62,  255, 126, 255, 63,  52,  53,  54,  55,  56,  57,  58,  59,  60,
    61,  255, 255, 255, 129, 255, 255, 255, 0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,
    11,  12,  13,  14,  15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25,  255, 255, 255, 255,
    127, 255, 26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,  41,  42,
    43,  44,  45,  46,  47,  48,  49,  50,  51,  255, 255, 255, 255, 255,
};

static unsigned char class_of(char c)
{
    return (c & 0x80) == 0 ? classes[(unsigned char)c] : BAD;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool bad_at(size_t at, int code, struct err *err)
{
    return err_offset(err, code, at, "invalid base64 at byte %zu", at);
}

/* Most of a large text. */
static bool four_plain(const char *p)
{
    return (class_of(p[0]) | class_of(p[1]) | class_of(p[2]) | class_of(p[3])) < URL;
}

static bool look(strv text, struct shape *shape, int code, struct err *err)
{
    size_t letters = 0, pads = 0;
    unsigned char last = 0;
    bool plain = true; /* no blank, no letter of the other alphabet */
    *shape = (struct shape){0};
    for (size_t i = 0; i < text.len; i++) {
        if (pads == 0 && text.len - i >= 4 && four_plain(text.ptr + i)) {
            last = class_of(text.ptr[i + 3]);
            letters += 4;
            i += 3;
            continue;
        }
        unsigned char class = class_of(text.ptr[i]);
        if (class < 64 && pads == 0) {
            last = class;
            letters++;
            continue;
        }
        if (class == BAD || (class == PAD && pads == 2) || (class < BLANK && pads > 0))
            return bad_at(i, code, err);
        if (class == PAD) {
            pads++;
            continue;
        }
        plain = false;
        if (class != BLANK) {
            last = class - URL;
            letters++;
        }
    }
    size_t rest = letters % 4;
    unsigned char spare = rest == 2 ? 15 : rest == 3 ? 3 : 0; /* bits of the last letter */
    if (rest == 1 || (pads > 0 && pads != (4 - rest) % 4) || (last & spare) != 0)
        return bad_at(text.len, code, err);
    *shape = (struct shape){.letters = letters, .normal = plain && (rest == 0 || pads > 0)};
    return true;
}

/* The next letter's value, 0 to 63; the text is known to have one more. */
static unsigned next_value(strv text, size_t *at)
{
    for (;;) {
        unsigned char class = class_of(text.ptr[(*at)++]);
        if (class < BLANK)
            return class & 63;
    }
}

bool media_base64_normal(strv text, struct arena *arena, strv *out, int code, struct err *err)
{
    struct shape shape;
    if (!look(text, &shape, code, err))
        return false;
    if (shape.normal) {
        *out = text;
        return true;
    }
    size_t len = (shape.letters + 3) / 4 * 4, at = 0;
    char *copy = arena_alloc(arena, len);
    if (copy == NULL)
        return err_oom(err);
    for (size_t i = 0; i < len; i++)
        copy[i] = i < shape.letters ? alphabet[next_value(text, &at)] : '=';
    *out = (strv){copy, len};
    return true;
}

/* `n` bytes from the letters of a text that has enough of them. */
static void decode(strv text, unsigned char *bytes, size_t n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        while (have < 8) {
            bits = bits << 6 | next_value(text, &at);
            have += 6;
        }
        have -= 8;
        bytes[i] = (unsigned char)(bits >> have);
    }
}

bool media_base64_decode(strv text, struct arena *arena, strv *out, int code, struct err *err)
{
    struct shape shape;
    *out = STRV_NONE;
    if (!look(text, &shape, code, err))
        return false;
    size_t len = shape.letters / 4 * 3 + shape.letters % 4 * 3 / 4;
    unsigned char *bytes = arena_alloc(arena, len);
    if (bytes == NULL)
        return err_oom(err);
    decode(text, bytes, len);
    *out = (strv){(const char *)bytes, len};
    return true;
}

/* n bytes at p, into (n + 2) / 3 * 4 letters. */
static void encode(const unsigned char *p, size_t n, char *to)
{
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = alphabet[bits >> 6 & 63];
        *to++ = alphabet[bits & 63];
    }
    if (n == 0)
        return;
    uint32_t bits = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
    *to++ = alphabet[bits >> 18];
    *to++ = alphabet[bits >> 12 & 63];
    *to++ = n == 2 ? alphabet[bits >> 6 & 63] : '=';
    *to++ = '=';
}

static bool put_base64(struct buf *out, const unsigned char *p, size_t n)
{
    if (n == 0)
        return !out->failed;
    size_t len = (n + 2) / 3 * 4;
    char *to = buf_reserve(out, len);
    if (to == NULL)
        return false;
    encode(p, n, to);
    buf_added(out, len);
    return true;
}

bool media_base64_put(struct buf *out, strv bytes)
{
    return put_base64(out, (const unsigned char *)bytes.ptr, bytes.len);
}

/* ---- what it is ---- */

static bool begins(strv bytes, size_t at, strv what)
{
    return bytes.len >= at && strv_starts(strv_from(bytes, at), what);
}

/* "BM" alone could be the beginning of a text: the reserved bytes are 0, the second header has one of the
 * known sizes. */
static bool is_bmp(strv bytes)
{
    if (bytes.len < 18 || !begins(bytes, 0, STRV("BM")) || !begins(bytes, 6, STRV("\0\0\0\0")) ||
        !begins(bytes, 15, STRV("\0\0\0")))
        return false;
    unsigned char size = (unsigned char)bytes.ptr[14];
    return size == 12 || size == 40 || size == 52 || size == 56 || size == 64 || size == 108 ||
           size == 124;
}

/* A tag, or the head of a frame of MPEG layer III: 11 bits of sync, and no field with a forbidden value. */
static bool is_mp3(strv bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    if (begins(bytes, 0, STRV("ID3")))
        return true;
    return bytes.len >= 4 && p[0] == 0xff && (p[1] & 0xe0) == 0xe0 && (p[1] & 0x18) != 0x08 &&
           (p[1] & 0x06) == 0x02 && (p[2] & 0xf0) != 0xf0 && (p[2] & 0x0c) != 0x0c;
}

const char *media_type(strv bytes)
{
    static const struct {
        strv head;
        size_t at; /* of `more` */
        strv more;
        const char *type;
    } types[] = {
        {{"\x89PNG\r\n\x1a\n", 8}, 0, {"", 0}, "image/png"},
        {{"\xff\xd8\xff", 3}, 0, {"", 0}, "image/jpeg"},
        {{"GIF87a", 6}, 0, {"", 0}, "image/gif"},
        {{"GIF89a", 6}, 0, {"", 0}, "image/gif"},
        {{"RIFF", 4}, 8, {"WEBP", 4}, "image/webp"},
        {{"RIFF", 4}, 8, {"WAVE", 4}, "audio/wav"},
        {{"%PDF-", 5}, 0, {"", 0}, "application/pdf"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (begins(bytes, 0, types[i].head) && begins(bytes, types[i].at, types[i].more))
            return types[i].type;
    if (is_bmp(bytes))
        return "image/bmp";
    return is_mp3(bytes) ? "audio/mpeg" : NULL;
}

const char *media_type_base64(strv text)
{
    unsigned char bytes[24] = {0};
    size_t letters = 0, at = 0;
    for (; at < text.len && letters < sizeof bytes / 3 * 4; at++) {
        unsigned char class = class_of(text.ptr[at]);
        if (class == PAD || class == BAD)
            break;
        letters += class < BLANK;
    }
    size_t n = letters / 4 * 3 + letters % 4 * 3 / 4;
    decode(text, bytes, n);
    return media_type((strv){(const char *)bytes, n});
}

/* ---- data URIs ---- */

#define SCHEME STRV("data:")

bool media_is_data_uri(strv text)
{
    return text.len >= SCHEME.len && strv_eq_nocase((strv){text.ptr, SCHEME.len}, SCHEME);
}

/* type "/" subtype, both of the letters of a token (RFC 9110, 5.6.2). */
static bool is_type(strv type)
{
    size_t slashes = 0;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '/')
            slashes++;
        else if (!letter && (c == '\0' || strchr("!#$&^_.+-", c) == NULL))
            return false;
    }
    return slashes == 1 && type.ptr[0] != '/' && type.ptr[type.len - 1] != '/';
}

/* A % that begins no %XX stands for itself, as in browsers. */
static bool percent_decode(strv text, struct arena *arena, strv *out, struct err *err)
{
    size_t n = 0;
    *out = text;
    if (text.len == 0 || memchr(text.ptr, '%', text.len) == NULL)
        return true;
    char *bytes = arena_alloc(arena, text.len);
    if (bytes == NULL)
        return err_oom(err);
    for (size_t i = 0; i < text.len; i++) {
        bool escape = text.ptr[i] == '%' && text.len - i > 2 && strv_hex(text.ptr[i + 1]) >= 0 &&
                      strv_hex(text.ptr[i + 2]) >= 0;
        bytes[n++] = escape ? (char)(strv_hex(text.ptr[i + 1]) << 4 | strv_hex(text.ptr[i + 2]))
                            : text.ptr[i];
        i += escape ? 2 : 0;
    }
    *out = (strv){bytes, n};
    return true;
}

bool media_data_uri(strv text, struct arena *arena, struct media_uri *out, int code,
                    struct err *err)
{
    strv rest, head, part;
    *out = (struct media_uri){.type = STRV("text/plain")};
    if (!media_is_data_uri(text))
        return err_set(err, code, "not a data URI");
    rest = strv_from(text, SCHEME.len);
    if (!strv_cut(&rest, ',', &head) || rest.ptr == NULL)
        return err_set(err, code, "a data URI without a comma");
    strv_cut(&head, ';', &part);
    part = strv_trim(part);
    if (part.len > 0 && !is_type(part))
        return err_set(err, code, "a data URI with an invalid media type");
    if (part.len > 0)
        out->type = part;
    while (strv_cut(&head, ';', &part)) {
        part = strv_trim(part);
        /* The last parameter; elsewhere it has no meaning. */
        out->base64 = head.ptr == NULL && strv_eq_nocase(part, STRV("base64"));
        if (part.len > 8 && strv_eq_nocase((strv){part.ptr, 8}, STRV("charset=")))
            out->charset = strv_from(part, 8);
    }
    if (!percent_decode(rest, arena, &out->data, err))
        return false;
    return !out->base64 || media_base64_normal(out->data, arena, &out->data, code, err);
}

/* ---- vectors ---- */

#define CHUNK                                                                                      \
    192 /* floats; 768 bytes, which is a multiple of 3, so only the last chunk is padded */

bool media_floats_put(struct buf *out, const float *v, size_t n)
{
    unsigned char bytes[CHUNK * 4];
    for (size_t done = 0; done < n;) {
        size_t now = n - done < CHUNK ? n - done : CHUNK;
        for (size_t i = 0; i < now; i++) {
            uint32_t bits;
            memcpy(&bits, &v[done + i], sizeof bits);
            for (int k = 0; k < 4; k++)
                bytes[4 * i + (size_t)k] = (unsigned char)(bits >> 8 * k);
        }
        if (!put_base64(out, bytes, 4 * now))
            return false;
        done += now;
    }
    return !out->failed;
}

bool media_floats_get(strv text, struct arena *arena, const float **v, size_t *n, int code,
                      struct err *err)
{
    strv raw;
    if (!media_base64_decode(text, arena, &raw, code, err))
        return false;
    if (raw.len % 4 != 0)
        return err_set(err, code, "%zu bytes are no vector of 32-bit floats", raw.len);
    float *values = ARENA_ARRAY(arena, float, raw.len / 4);
    if (values == NULL)
        return err_oom(err);
    for (size_t i = 0; i < raw.len / 4; i++) {
        uint32_t bits = 0;
        for (size_t k = 4; k-- > 0;)
            bits = bits << 8 | (unsigned char)raw.ptr[4 * i + k];
        memcpy(&values[i], &bits, sizeof bits);
        if (!isfinite(values[i]))
            return err_set(err, code, "number %zu of the vector is not finite", i);
    }
    *v = values;
    *n = raw.len / 4;
    return true;
}
