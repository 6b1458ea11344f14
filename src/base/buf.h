/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a byte buffer that grows up to a stated maximum, and is eaten from the front.
 *
 *   0        start               end            cap
 *   |--eaten--|------content------|-----free-----|        end - start = buf_len, end - start <= max
 *
 * Appending never fails loudly: a refusal sets `failed` and drops the bytes; whoever uses the
 * content checks `failed` once. An empty buffer holds no memory until the first append.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/strv.h"

struct buf {
    char *data;
    size_t start, end, cap;
    size_t max;  /* largest content in bytes */
    bool failed; /* sticky */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);  /* frees the memory; the buffer is empty and usable again */
void buf_clear(struct buf *b); /* keeps the memory, clears `failed` */
/* Makes room for n more bytes and returns where they go, or NULL. Follow with buf_added(). */
char *buf_reserve(struct buf *b, size_t n) __attribute__((warn_unused_result));
void buf_added(struct buf *b, size_t n);
bool buf_put_more(struct buf *b, const void *data,
                  size_t n); /* buf_put() where there is no room yet */
bool buf_put_u64(struct buf *b, uint64_t v);
bool buf_put_i64(struct buf *b, int64_t v);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));
void buf_eat(struct buf *b, size_t n); /* n <= buf_len */
/* Keeps the first `len` bytes of the content and clears `failed`: takes back what was appended
 * since the content was `len` long. */
void buf_rewind(struct buf *b, size_t len);

/* Inline, so that the length of a literal is known where it stands, and because records, heads and bodies are made
 * of pieces of a few bytes. Room that is there is never beyond `max`. */
static inline bool buf_put(struct buf *b, const void *data, size_t n)
{
    if (b->failed || n == 0 || n > b->cap - b->end)
        return buf_put_more(b, data, n);
    memcpy(b->data + b->end, data, n);
    b->end += n;
    return true;
}

static inline bool buf_put_strv(struct buf *b, strv text)
{
    return buf_put(b, text.ptr, text.len);
}

static inline bool buf_put_char(struct buf *b, char c)
{
    return buf_put(b, &c, 1);
}

static inline bool buf_put_cstr(struct buf *b, const char *text)
{
    return buf_put(b, text, strlen(text));
}

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline strv buf_view(const struct buf *b) /* until the next append */
{
    if (b->data == NULL)
        return (strv){"", 0};
    return (strv){b->data + b->start, b->end - b->start};
}

#endif
