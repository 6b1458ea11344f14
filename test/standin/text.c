/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - a growing buffer, just enough JSON reading to find a member, base64.
 *
 * The reader walks the top level of a value and jumps over what is nested, so a 32 KB prompt costs a memchr. It
 * checks nesting and quotes, not grammar: the stand-in must see what a request asks for, judging it is for others.
 */
#include "standin.h"

#include <stdlib.h>

void *must_alloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (p == NULL) {
        fputs("standin: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void text_room(struct text *t, size_t n)
{
    if (t->cap - t->len >= n)
        return;
    size_t cap = t->cap ? t->cap * 2 : 256;
    while (cap - t->len < n)
        cap *= 2;
    t->data = must_alloc(t->data, cap);
    t->cap = cap;
}

void text_add(struct text *t, const void *p, size_t n)
{
    if (n == 0)
        return;
    text_room(t, n);
    memcpy(t->data + t->len, p, n);
    t->len += n;
}

void text_str(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_int(struct text *t, int64_t n)
{
    char digits[24], *p = digits + sizeof digits;
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        *--p = (char)('0' + u % 10);
    while ((u /= 10) != 0);
    if (n < 0)
        *--p = '-';
    text_add(t, p, (size_t)(digits + sizeof digits - p));
}

void text_hex(struct text *t, size_t n)
{
    char digits[16], *p = digits + sizeof digits;
    do
        *--p = "0123456789abcdef"[n & 15];
    while ((n >>= 4) != 0);
    text_add(t, p, (size_t)(digits + sizeof digits - p));
}

void text_fill(struct text *t, char c, size_t n)
{
    if (n == 0)
        return;
    text_room(t, n);
    memset(t->data + t->len, c, n);
    t->len += n;
}

/* Bytes that are not UTF-8 become U+FFFD one by one: what a record shows must itself be JSON. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t want = p[0] < 0x80                    ? 1
                  : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
                  : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                  : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                 : 0;
    if (want == 0 || want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0)
        return 0;
    if (p[0] == 0xed && p[1] > 0x9f)
        return 0;
    if (p[0] == 0xf0 && p[1] < 0x90)
        return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f)
        return 0;
    return want;
}

void text_json(struct text *t, const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t plain = 0, i = 0;
    if (n == 0)
        return;
    while (i < n) {
        size_t len = utf8_length(s + i, n - i);
        if (len > 0 && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\') {
            i += len;
            continue;
        }
        text_add(t, p + plain, i - plain);
        if (len == 0) {
            text_lit(t, "\xef\xbf\xbd");
        } else if (s[i] == '"' || s[i] == '\\') {
            text_lit(t, "\\");
            text_add(t, p + i, 1);
        } else if (s[i] == '\n') {
            text_lit(t, "\\n");
        } else {
            text_lit(t, "\\u00");
            text_add(t, &"0123456789abcdef"[s[i] >> 4], 1);
            text_add(t, &"0123456789abcdef"[s[i] & 15], 1);
        }
        plain = ++i;
    }
    text_add(t, p + plain, n - plain);
}

void text_free(struct text *t)
{
    free(t->data);
    *t = (struct text){0};
}

bool span_is(struct span s, const char *word)
{
    return strlen(word) == s.n && memcmp(s.p, word, s.n) == 0;
}

bool span_is_nocase(struct span s, const char *word)
{
    return strlen(word) == s.n && strncasecmp(s.p, word, s.n) == 0;
}

bool span_int(struct span s, int64_t *value)
{
    size_t i = s.n > 0 && s.p[0] == '-';
    int64_t n = 0;
    if (i == s.n || s.n > 18)
        return false;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (s.p[i] - '0');
    }
    *value = s.p[0] == '-' ? -n : n;
    return true;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* From the opening quote to behind the closing one; NULL if there is none. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL)
            return NULL;
        size_t slashes = 0;
        while (quote - slashes > p && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        p = quote;
        if (slashes % 2 == 0)
            return p + 1;
    }
    return NULL;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    if (p < end && *p == '"')
        return skip_string(p, end);
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            if (p == NULL)
                return NULL;
            continue;
        }
        if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            if (--depth == 0)
                return p + 1;
        } else if (depth == 0 &&
                   (*p == ',' || *p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
            return p;
        }
        p++;
    }
    return depth == 0 ? p : NULL;
}

struct scan scan_open(struct span value)
{
    if (value.p == NULL)
        return (struct scan){.bad = true};
    const char *end = value.p + value.n, *p = skip_space(value.p, end);
    struct scan s = {.p = p, .end = end};
    if (p == end || (*p != '{' && *p != '['))
        s.bad = true;
    else
        s.array = *s.p++ == '[';
    return s;
}

bool scan_next(struct scan *s, struct span *key, struct span *value)
{
    if (s->bad)
        return false;
    s->bad = true; /* until this member proves fine */
    const char *p = skip_space(s->p, s->end);
    if (p < s->end && *p == (s->array ? ']' : '}')) {
        s->bad = false;
        s->p = p;
        return false;
    }
    if (s->started) {
        if (p == s->end || *p != ',')
            return false;
        p = skip_space(p + 1, s->end);
    }
    *key = (struct span){0};
    if (!s->array) {
        if (p == s->end || *p != '"')
            return false;
        const char *after = skip_string(p, s->end);
        if (after == NULL)
            return false;
        *key = (struct span){p + 1, (size_t)(after - p - 2)};
        p = skip_space(after, s->end);
        if (p == s->end || *p != ':')
            return false;
        p = skip_space(p + 1, s->end);
    }
    const char *after = skip_value(p, s->end);
    if (after == NULL || after == p)
        return false;
    *value = (struct span){p, (size_t)(after - p)};
    s->p = after;
    s->started = true;
    s->bad = false;
    return true;
}

static size_t put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

static bool hex4(const char *p, const char *end, unsigned *code)
{
    *code = 0;
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = memchr(digits, p[i] | 0x20, 16);
        if (p[i] >= '0' && p[i] <= '9')
            at = digits + (p[i] - '0');
        if (at == NULL)
            return false;
        *code = *code << 4 | (unsigned)(at - digits);
    }
    return true;
}

size_t scan_string(struct span value, char *out, size_t cap)
{
    size_t n = 0;
    if (value.n >= 2 && value.p[0] == '"') {
        const char *p = value.p + 1, *end = value.p + value.n - 1;
        while (p < end && n + 5 < cap) {
            if (*p != '\\' || p + 1 == end) {
                out[n++] = *p++;
                continue;
            }
            unsigned code, low;
            const char *at = strchr("\"\\/bfnrt", p[1]);
            if (p[1] == 'u' && hex4(p + 2, end, &code)) {
                p += 6;
                if (code >= 0xd800 && code < 0xdc00 && end - p >= 6 && p[0] == '\\' &&
                    p[1] == 'u' && hex4(p + 2, end, &low)) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    p += 6;
                }
                n += put_utf8(out + n, code);
            } else {
                out[n++] = at && *at ? "\"\\/\b\f\n\r\t"[at - "\"\\/bfnrt"] : p[1];
                p += 2;
            }
        }
    }
    out[n] = 0;
    return n;
}

void scan_text(struct span value, struct text *t)
{
    /* An escape is never shorter than what it stands for, so the raw length is enough. */
    text_room(t, value.n + 8);
    t->len += scan_string(value, t->data + t->len, value.n + 8);
}

struct span scan_member(struct span object, const char *name)
{
    struct scan s = scan_open(object);
    struct span key, value;
    while (!s.array && scan_next(&s, &key, &value))
        if (span_is(key, name))
            return value;
    return (struct span){0};
}

size_t scan_count(struct span list)
{
    struct scan s = scan_open(list);
    struct span key, value;
    size_t n = 0;
    while (scan_next(&s, &key, &value))
        n++;
    return n;
}

bool span_is_string(struct span value, const char *word)
{
    return span_kind(value, '"') && span_is((struct span){value.p + 1, value.n - 2}, word);
}

bool span_begins(struct span s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && memcmp(s.p, word, n) == 0;
}

bool span_has(struct span s, const char *word)
{
    return s.n > 0 && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static const char letters64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64(struct text *t, const void *p, size_t n)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned bits = (unsigned)s[i] << 16 | (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                        (left > 2 ? s[i + 2] : 0u);
        char out[4] = {letters64[bits >> 18], letters64[bits >> 12 & 63],
                       left > 1 ? letters64[bits >> 6 & 63] : '=',
                       left > 2 ? letters64[bits & 63] : '='};
        text_add(t, out, 4);
    }
}

/* The standard alphabet, padded, as the vendors want it. */
int64_t text_unbase64(struct text *t, const char *p, size_t n)
{
    unsigned bits = 0, have = 0;
    size_t end = n;
    while (end > 0 && n - end < 2 && p[end - 1] == '=')
        end--;
    text_room(t, n);
    for (size_t i = 0; i < end; i++) {
        const char *at = p[i] ? strchr(letters64, p[i]) : NULL;
        if (at == NULL)
            return (int64_t)i;
        bits = bits << 6 | (unsigned)(at - letters64);
        have += 6;
        if (have >= 8) {
            have -= 8;
            t->data[t->len++] = (char)(bits >> have & 255);
        }
    }
    return n % 4 == 0 && end % 4 != 1 ? -1 : (int64_t)n;
}

uint64_t hash_more(uint64_t hash, const void *p, size_t n)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ s[i]) * 0x100000001b3u;
    return hash;
}
