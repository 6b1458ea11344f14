/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench - what a classification costs, by the size of what is read: windows of the development set, read as
 * test/bench/reads.h tells.
 *
 *   classify-bench data/classify.bin test/data/tasks/tasks-dev.jsonl
 */
#include <stdio.h>

#include "../bench/reads.h"
#include "policy/policy.h"

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

struct windows {
    const struct classify *c;
    strv text;
    size_t size;
};

static double read_window(void *context, size_t i)
{
    const struct windows *w = context;
    struct classify_result r;
    size_t at = reads_place(i, w->text.len - w->size);
    double from = reads_now_ns();
    classify_text(w->c, (strv){w->text.ptr + at, w->size}, i % 2 == 0, &r);
    return reads_now_ns() - from;
}

int main(int argc, char **argv)
{
    struct buf section, text;
    if (argc != 3 || !read_file(argv[1], &section) || !read_file(argv[2], &text))
        return 1;
    struct classify *c = classify_from(buf_view(&section));
    if (c == NULL)
        return 1;
    static const size_t sizes[] = {60, 300, 2048, 8192};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct windows w = {c, buf_view(&text), sizes[k]};
        reads_measure(w.size, read_window, &w);
    }
    classify_unref(c);
    return 0;
}
