/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench - what a classification costs: each prompt of the development set by itself, and prompts of 300 bytes and 8 KB.
 *
 *   classify-bench data/classify.bin test/data/tasks/tasks-dev.jsonl
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/policy.h"

#define ROUNDS 20000

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char piece[65536];
    buf_init(out, 1 << 24);
    if (f == NULL)
        return false;
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_put(out, piece, n);
    fclose(f);
    return !out->failed;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Windows of `size` bytes at moving places, so that no two rounds read the same. */
static void measure(const struct classify *c, strv text, size_t size)
{
    static int64_t took[ROUNDS];
    unsigned tasks = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct classify_result r;
        size_t at = i * 97 % (text.len - size);
        int64_t from = now_ns();
        classify_text(c, (strv){text.ptr + at, size}, i % 2 == 0, &r);
        took[i] = now_ns() - from;
        tasks += r.task;
    }
    qsort(took, ROUNDS, sizeof *took, by_value);
    printf("{\"bytes\":%zu,\"p50_us\":%.2f,\"p99_us\":%.2f,\"sum\":%u}\n", size,
           (double)took[ROUNDS / 2] / 1000, (double)took[ROUNDS * 99 / 100] / 1000, tasks);
}

int main(int argc, char **argv)
{
    struct buf section, text;
    if (argc != 3 || !read_file(argv[1], &section) || !read_file(argv[2], &text))
        return 1;
    struct classify *c = classify_from(buf_view(&section));
    if (c == NULL)
        return 1;
    measure(c, buf_view(&text), 60);
    measure(c, buf_view(&text), 300);
    measure(c, buf_view(&text), 2048);
    measure(c, buf_view(&text), 8192);
    classify_unref(c);
    return 0;
}
