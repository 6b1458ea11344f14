/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc - malloc(3) with a counter, so that a test can make any one allocation fail.
 *
 * The counters are thread-local: a plain increment each, no lock and no atomic. That they are
 * always on keeps one code path for tests and production.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
    uint64_t count;   /* asked for since mem_fail_at() */
    uint64_t fail_at; /* 0 = never */
    bool forever;
    int64_t live;
} mine;

static bool refused(void)
{
    mine.count++;
    if (mine.fail_at == 0)
        return false;
    return mine.count == mine.fail_at || (mine.forever && mine.count > mine.fail_at);
}

static void *counted(void *ptr)
{
    if (ptr != NULL)
        mine.live++;
    return ptr;
}

void *mem_alloc(size_t size)
{
    return refused() ? NULL : counted(malloc(size != 0 ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return refused() ? NULL : counted(calloc(1, size != 0 ? size : 1));
}

void *mem_realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return mem_alloc(size);
    /* realloc(ptr, 0) frees on some systems; here a block stays a block until mem_free(). */
    return refused() ? NULL : realloc(ptr, size != 0 ? size : 1);
}

char *mem_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void mem_free(void *ptr)
{
    if (ptr == NULL)
        return;
    mine.live--;
    free(ptr);
}

void mem_free_secret(void *ptr, size_t size)
{
    if (ptr != NULL)
        mem_wipe(ptr, size);
    mem_free(ptr);
}

void mem_wipe(void *ptr, size_t size)
{
    if (size > 0)
        explicit_bzero(ptr, size); /* a memset() before free() may be optimised away */
}

void mem_fail_at(uint64_t nth, bool forever)
{
    mine.count = 0;
    mine.fail_at = nth;
    mine.forever = forever;
}

uint64_t mem_count(void)
{
    return mine.count;
}

int64_t mem_live(void)
{
    return mine.live;
}
