/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - see arena.h. Two sorts of blocks in one list:
 *
 *   head -> [regular, has room] -> [own] -> [own] -> [regular, full] -> ... -> [regular, the first]
 *
 * Regular blocks are shared by small allocations and double in size, but for the second: what is
 * chosen to be enough for most shall not cost some the threefold. An allocation of more than
 * half the next regular block gets a block of its own, exactly its size: a big body does not
 * inflate the blocks behind it, and the block can be resized with realloc. Own blocks go behind a
 * regular head, so that the room in the head is still used.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

#define ALIGN           16
#define BLOCK_BYTES_MAX (256 * 1024) /* doubling ends here: at most this much stands empty */

struct arena_block {
    struct arena_block *next;
    size_t cap;  /* bytes in data */
    size_t used; /* multiple of ALIGN in a regular block */
    bool own;    /* holds exactly one allocation */
    _Alignas(ALIGN) char data[];
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(ptr, n)   ASAN_POISON_MEMORY_REGION((ptr), (n))
#define UNPOISON(ptr, n) ASAN_UNPOISON_MEMORY_REGION((ptr), (n))
#else
#define POISON(ptr, n)   ((void)(ptr), (void)(n))
#define UNPOISON(ptr, n) ((void)(ptr), (void)(n))
#endif

static struct arena_block *block_add(struct arena *a, size_t room, bool own);
static size_t next_block_bytes(const struct arena *a);
static void block_free(struct arena_block *b);
static void *take(struct arena *a, struct arena_block *b, size_t size);
static struct arena_block *own_block(struct arena *a, const void *ptr);
static void *own_resize(struct arena *a, struct arena_block *old, size_t size);
static void *refuse(struct arena *a);

static size_t round_up(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void arena_init(struct arena *a, size_t block_bytes, size_t bytes_max)
{
    assert(block_bytes >= 2 * sizeof(struct arena_block));
    *a = (struct arena){.block_bytes = block_bytes, .bytes_max = bytes_max};
}

void arena_fini(struct arena *a)
{
    struct arena_block *next;
    for (struct arena_block *b = a->head; b != NULL; b = next) {
        next = b->next;
        block_free(b);
    }
    arena_init(a, a->block_bytes, a->bytes_max);
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL, *next;
    /* The oldest regular block is the one of the first size; it comes last. */
    for (struct arena_block *b = a->head; b != NULL; b = b->next) {
        if (!b->own)
            keep = b;
    }
    for (struct arena_block *b = a->head; b != NULL; b = next) {
        next = b->next;
        if (b != keep)
            block_free(b);
    }
    arena_init(a, a->block_bytes, a->bytes_max);
    if (keep == NULL)
        return;
    keep->next = NULL;
    keep->used = 0;
    POISON(keep->data, keep->cap);
    a->head = keep;
    a->reserved = sizeof(*keep) + keep->cap;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return refuse(a);
    if (size == 0)
        size = 1; /* two allocations never share an address */
    struct arena_block *b = a->head;
    if (b == NULL || b->cap - b->used < round_up(size)) {
        bool own = sizeof(*b) + round_up(size) > next_block_bytes(a) / 2;
        b = block_add(a, round_up(size), own);
        if (b == NULL)
            return refuse(a);
    }
    return take(a, b, size);
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *ptr = arena_alloc(a, size);
    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

void *arena_resize(struct arena *a, void *ptr, size_t old_size, size_t size)
{
    if (ptr == NULL)
        return arena_alloc(a, size);
    if (size > SIZE_MAX / 2)
        return refuse(a);
    struct arena_block *b = own_block(a, ptr);
    if (b != NULL)
        return own_resize(a, b, size);

    b = a->head;
    size_t old_room = round_up(old_size != 0 ? old_size : 1);
    bool newest = (char *)ptr + old_room == b->data + b->used;
    if (newest && round_up(size) <= old_room + (b->cap - b->used)) {
        b->used -= old_room;
        a->used -= old_room;
        POISON(ptr, old_room);
        return take(a, b, size != 0 ? size : 1);
    }
    if (size <= old_size)
        return ptr;
    void *copy = arena_alloc(a, size);
    if (copy != NULL)
        memcpy(copy, ptr, old_size);
    return copy;
}

strv arena_strv(struct arena *a, strv text)
{
    if (text.ptr == NULL)
        return STRV_NONE;
    char *copy = arena_cstr(a, text);
    return copy != NULL ? (strv){copy, text.len} : STRV_NONE;
}

char *arena_cstr(struct arena *a, strv text)
{
    char *copy = arena_alloc(a, text.len + 1);
    if (copy == NULL)
        return NULL;
    if (text.len != 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    assert(n >= 0); /* only a wide-character conversion could fail, and we use none */
    char *out = arena_alloc(a, (size_t)n + 1);
    if (out == NULL)
        return NULL;
    va_start(ap, format);
    vsnprintf(out, (size_t)n + 1, format, ap);
    va_end(ap);
    return out;
}

strv arena_decimal(struct arena *a, int64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (n < 0)
        digits[--at] = '-';
    const char *copy = arena_cstr(a, (strv){digits + at, sizeof digits - at});
    return copy != NULL ? (strv){copy, sizeof digits - at} : STRV("");
}

static void *refuse(struct arena *a)
{
    a->failed = true;
    return NULL;
}

/* Size of the next regular block, its header included. */
static size_t next_block_bytes(const struct arena *a)
{
    if (a->head == NULL || a->head->own)
        return a->block_bytes;
    size_t last = sizeof(*a->head) + a->head->cap;
    if (last >= BLOCK_BYTES_MAX || last == a->reserved) /* the second is as large as the first */
        return last;
    return last * 2 < BLOCK_BYTES_MAX ? last * 2 : BLOCK_BYTES_MAX;
}

/* A block with room for at least `room` bytes, in the list; NULL at the arena's or the heap's end.
 */
static struct arena_block *block_add(struct arena *a, size_t room, bool own)
{
    size_t left = a->bytes_max - a->reserved;
    size_t need = sizeof(struct arena_block) + room;
    size_t total = own ? need : next_block_bytes(a);
    if (need > left)
        return NULL;
    if (total > left)
        total = left; /* the last block before the limit is as large as still allowed */
    struct arena_block *b = mem_alloc(total);
    if (b == NULL)
        return NULL;
    *b = (struct arena_block){.cap = total - sizeof(*b), .own = own};
    POISON(b->data, b->cap);
    struct arena_block **at = own && a->head != NULL && !a->head->own ? &a->head->next : &a->head;
    b->next = *at;
    *at = b;
    a->reserved += total;
    return b;
}

static void block_free(struct arena_block *b)
{
    UNPOISON(b->data, b->cap);
    mem_free(b);
}

static void *take(struct arena *a, struct arena_block *b, size_t size)
{
    void *ptr = b->data + b->used;
    assert(b->cap - b->used >= round_up(size));
    b->used += round_up(size);
    a->used += round_up(size);
    UNPOISON(ptr, size);
    return ptr;
}

/* The newest own block if ptr is what it holds. It is the head or stands right behind a regular
 * head. */
static struct arena_block *own_block(struct arena *a, const void *ptr)
{
    struct arena_block *b = a->head;
    if (b != NULL && !b->own)
        b = b->next;
    return b != NULL && b->own && b->data == (const char *)ptr ? b : NULL;
}

static void *own_resize(struct arena *a, struct arena_block *old, size_t size)
{
    size_t room = round_up(size != 0 ? size : 1);
    bool grow = room > old->cap;
    if (grow && room - old->cap > a->bytes_max - a->reserved)
        return refuse(a);
    struct arena_block **at = a->head == old ? &a->head : &a->head->next;
    size_t old_cap = old->cap;
    UNPOISON(old->data, old->cap);
    struct arena_block *b = mem_realloc(old, sizeof(*old) + room);
    if (b == NULL)
        return grow ? refuse(a)
                    : old->data; /* a block that cannot shrink is only larger than needed */
    *at = b;
    a->reserved = a->reserved - old_cap + room;
    a->used = a->used - b->used + room;
    b->cap = b->used = room;
    return b->data;
}
