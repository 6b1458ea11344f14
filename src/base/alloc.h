/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc - the one way to the heap.
 *
 * Tests make the n-th allocation of the calling thread fail (mem_fail_at) and count the live ones,
 * so every caller can be shown to survive. Both are per thread: parallel workers do not disturb a
 * test.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when memory is refused. size 0 is treated as 1. */
void *mem_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *mem_zalloc(size_t size) __attribute__((malloc, warn_unused_result));
/* As realloc(3); on refusal the old block stays valid. */
void *mem_realloc(void *ptr, size_t size) __attribute__((warn_unused_result));
char *mem_strdup(const char *text) __attribute__((malloc, warn_unused_result));
void mem_free(void *ptr);
/* Overwrites before freeing; for keys and other secrets. */
void mem_free_secret(void *ptr, size_t size);
void mem_wipe(void *ptr, size_t size);

/* For tests. The nth allocation from now fails (1 = the next one), and every one after it too if
 * `forever`. 0 switches off. */
void mem_fail_at(uint64_t nth, bool forever);
/* Allocations asked for by this thread since the last call of mem_fail_at(). */
uint64_t mem_count(void);
/* Blocks this thread has taken and not given back (a block freed by another thread counts there).
 */
int64_t mem_live(void);

#endif
