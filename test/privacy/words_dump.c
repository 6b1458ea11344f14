/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_dump - what the token model sees, for its training (tools/data/train_names).
 *
 *   words_dump DATA [ROSTER] < texts
 *
 * Reads {"text": "..."} lines. Writes for each, little-endian u32: the number of candidates; then for each candidate
 * start, end (bytes of the text), flags (enum token_flag), group, and its FEATURES features. So what is trained with is
 * what is served with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "privacy/names.h"

static void put(uint32_t v)
{
    unsigned char b[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                          (unsigned char)(v >> 24)};
    fwrite(b, 1, sizeof b, stdout);
}

static void dump(const struct words_scratch *s, const struct text_view *v)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += token_is_candidate(s, i);
    put(n);
    for (size_t i = 0; i < s->n; i++) {
        uint32_t features[FEATURES];
        if (!token_is_candidate(s, i))
            continue;
        const struct token *t = &s->tokens[i];
        token_features(s, v, i, features);
        put((uint32_t)text_at(v, t->start));
        put((uint32_t)text_at(v, t->end));
        put(t->flags);
        put(t->cat);
        for (size_t k = 0; k < FEATURES; k++)
            put(features[k]);
    }
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct text_data *data = argc > 1 ? text_data_open(argv[1], &err) : NULL;
    struct words *w = data != NULL ? words_new(data, argc > 2 ? argv[2] : NULL, &err) : NULL;
    if (w == NULL) {
        fprintf(stderr, "words_dump: %s\n",
                err.set ? err.text : "usage: words_dump DATA [ROSTER] < texts");
        return 1;
    }
    struct text_scratch *text = text_scratch_new();
    struct words_scratch s = {0};
    struct privacy_piece *piece = mem_zalloc(sizeof *piece);
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, stdin)) > 0) {
        yyjson_doc *doc = yyjson_read(line, (size_t)n, 0);
        yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), "text");
        struct text_view v;
        strv raw = {yyjson_get_str(value), yyjson_get_len(value)};
        piece->view = &v;
        if (raw.ptr != NULL && text_normalise(text, raw, TEXT_PLAIN, &v) &&
            tokens_make(&s, w, piece))
            dump(&s, &v);
        else
            put(0);
        yyjson_doc_free(doc);
    }
    return 0;
}
