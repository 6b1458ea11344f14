/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - memory that dies all at once.
 *
 *   [block 4K: ####----] -> [block 8K: ##########] -> ...      newest first
 *
 * One arena per exchange, per configuration snapshot, per decoded document. Nothing in it is freed
 * alone. It refuses to grow beyond `bytes_max` and remembers the refusal in `failed`.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"

struct arena_block;
struct arena {
    struct arena_block *head; /* newest; NULL = nothing allocated yet */
    size_t used;              /* bytes taken from blocks, over all blocks */
    size_t reserved;          /* bytes in blocks */
    size_t bytes_max;         /* `reserved` never exceeds this */
    size_t block_bytes;       /* size of the first block; later ones double up to 256 KiB */
    bool failed;              /* sticky: an allocation was refused */
};

void arena_init(struct arena *a, size_t block_bytes, size_t bytes_max);
/* Frees every block. The arena can be used again. */
void arena_fini(struct arena *a);
/* Forgets everything but keeps one block of the first size for the next user. */
void arena_reset(struct arena *a);

/* 16-byte aligned; NULL when refused. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((warn_unused_result));
void *arena_zalloc(struct arena *a, size_t size) __attribute__((warn_unused_result));
/* As realloc(3) for memory of this arena. The newest allocation grows and shrinks without leaving a
 * hole, and shrinking always succeeds; any other is copied when it grows and stays when it shrinks.
 */
void *arena_resize(struct arena *a, void *ptr, size_t old_size, size_t size)
    __attribute__((warn_unused_result));
/* Copies; the result has a terminator that is not counted. A failed copy has ptr NULL. An absent
 * text stays absent as strv and becomes "" as cstr. */
strv arena_strv(struct arena *a, strv text);
char *arena_cstr(struct arena *a, strv text);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
strv arena_decimal(struct arena *a, int64_t n); /* "" without memory; `failed` tells */

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
/* n is a count we know to be small; a product that wraps around is refused all the same. */
#define ARENA_ARRAY(a, type, n)                                                                    \
    ((type *)arena_zalloc((a), (n) <= SIZE_MAX / 2 / sizeof(type) ? sizeof(type) * (n) : SIZE_MAX))

#endif
