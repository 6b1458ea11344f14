/* SPDX-License-Identifier: Apache-2.0 */
/* buf - see buf.h. After a refusal every append is refused until buf_clear() or buf_rewind(), so
 * that the content never has a hole in the middle. */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define CAP_MIN 256 /* first memory of a buffer; a header or a short event fits */

static bool make_room(struct buf *b, size_t n);
static bool grow(struct buf *b, size_t need);

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > b->max - buf_len(b) || !make_room(b, n)) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->end;
}

void buf_added(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->end);
    b->end += n;
}

bool buf_put_more(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return !b->failed;
    char *to = buf_reserve(b, n);
    if (to == NULL)
        return false;
    memcpy(to, data, n);
    b->end += n;
    return true;
}

bool buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return buf_put(b, digits + at, sizeof(digits) - at);
}

bool buf_put_i64(struct buf *b, int64_t v)
{
    if (v >= 0)
        return buf_put_u64(b, (uint64_t)v);
    return buf_put_char(b, '-') && buf_put_u64(b, 0 - (uint64_t)v);
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    bool ok = buf_vprintf(b, format, ap);
    va_end(ap);
    return ok;
}

/* Printed beside the buffer first: vsnprintf() needs a byte for its terminator, which a buffer that
 * ends up exactly full does not have. */
bool buf_vprintf(struct buf *b, const char *format, va_list ap)
{
    char small[512];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), format, ap);
    assert(n >= 0); /* only a wide-character conversion could fail, and we use none */
    bool ok;
    if ((size_t)n < sizeof(small)) {
        ok = buf_put(b, small, (size_t)n);
    } else {
        char *large = mem_alloc((size_t)n + 1);
        if (large != NULL)
            vsnprintf(large, (size_t)n + 1, format, again);
        else
            b->failed = true;
        ok = large != NULL && buf_put(b, large, (size_t)n);
        mem_free(large);
    }
    va_end(again);
    return ok;
}

void buf_eat(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_rewind(struct buf *b, size_t len)
{
    assert(len <= buf_len(b));
    b->end = b->start + len;
    b->failed = false;
}

/* Room for n bytes at `end`. Moving the content to the front costs at most what was eaten since the
 * last move (start >= len), so a byte is moved about once; only at the largest size there is no
 * choice. */
static bool make_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (b->data != NULL && n <= b->cap - b->end)
        return true;
    bool fits = b->data != NULL && n <= b->cap - len;
    if (fits && (b->start >= len || b->cap >= b->max)) {
        memmove(b->data, b->data + b->start, len);
        b->start = 0;
        b->end = len;
        return true;
    }
    return grow(b, len + n);
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap != 0 ? b->cap : CAP_MIN;
    while (cap < need || cap == b->cap)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
    if (cap > b->max)
        cap = b->max; /* need <= max, see buf_reserve() */
    if (b->start != 0) {
        assert(b->data != NULL); /* what was eaten was there */
        memmove(b->data, b->data + b->start, buf_len(b));
        b->end -= b->start;
        b->start = 0;
    }
    char *data = mem_realloc(b->data, cap);
    if (data == NULL)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}
