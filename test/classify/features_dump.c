/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features_dump - the features of prompts, for training: the program's own, so that nothing is written twice.
 *
 *   classify-features SECTION < prompts
 *
 * SECTION is data/classify.bin, of which only the cues count. A prompt is a line: "1" or "0" (tools), a blank, the
 * prompt as a JSON string. Each gives a line: the features' numbers, LETTERS " | " FACTS; "!" at the end if it is
 * courtesy only.
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/features.h"

#define HEAD 80 /* of the section: see policy/classify.c */

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char piece[65536];
    size_t n;
    if (f == NULL)
        return false;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(out, piece, n);
    fclose(f);
    return !out->failed;
}

static void put(const struct features *f)
{
    for (int family = 0; family < FEATURES_FAMILIES; family++) {
        if (family > 0)
            fputs("| ", stdout);
        for (size_t i = 0; i < f->n[family]; i++)
            printf("%u ", (unsigned)f->at[family][i]);
    }
    puts(f->courtesy ? "!" : "");
}

int main(int argc, char **argv)
{
    static char line[1 << 20];
    static struct features f;
    struct buf section;
    struct features_cues cues = {NULL, NULL, 0};
    buf_init(&section, 1 << 24);
    if (argc != 2 || !read_file(argv[1], &section) || buf_len(&section) < HEAD)
        return 1;
    const unsigned char *p = (const unsigned char *)buf_view(&section).ptr;
    uint32_t slots = (uint32_t)p[12] | (uint32_t)p[13] << 8 | (uint32_t)p[14] << 16;
    if (slots > 0 && buf_len(&section) >= HEAD + (size_t)slots * 16)
        cues = (struct features_cues){p + HEAD, p + HEAD + (size_t)slots * 8, slots - 1};
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct arena arena;
        struct json doc;
        struct err err = {0};
        arena_init(&arena, 65536, 1 << 24);
        if (!json_read(&doc, strv_trim(strv_of(line + 2)), &arena, 1, &err))
            return 1;
        features_read(&cues, json_str(doc.root), line[0] == '1', &f);
        put(&f);
        arena_fini(&arena);
    }
    buf_fini(&section);
    return 0;
}
