/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_dump - what the token model sees, for its training (tools/data/train_names).
 *
 *   words_dump DATA [ROSTER] < texts
 *
 * Reads {"text": "..."} lines. Writes for each, little-endian u32: the number of candidates; then for each candidate
 * start, end (bytes of the text), flags (enum token_flag), category, and its FEATURES features. The text is read as
 * the router reads it, so what is trained with is what is served with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

#include "privacy/detect.h"
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

static void read_text(const struct privacy *p, struct privacy_scratch *s, strv raw)
{
    static struct privacy_verdict verdict;
    struct scan c;
    struct text_view v;
    privacy_verdict_init(&verdict);
    bool read = raw.ptr != NULL && scan_begin(&c, p, s, raw.len, PRIVACY_NORMAL, &verdict) &&
                text_normalise(s->text, raw, TEXT_PLAIN, &v) && !v.invalid &&
                scan_view(&c, &v, false);
    if (read)
        dump(s->words, &v);
    else
        put(0);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct privacy_conf conf = {.data = argc > 1 ? argv[1] : NULL,
                                .roster = argc > 2 ? argv[2] : NULL};
    struct privacy *p = privacy_new(&conf, &err);
    struct privacy_scratch *s = privacy_scratch_new();
    if (p == NULL || s == NULL || !privacy_ready(p)) {
        fprintf(stderr, "words_dump: %s\n", err.set ? err.text : "no memory");
        return 1;
    }
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, stdin)) > 0) {
        yyjson_doc *doc = yyjson_read(line, (size_t)n, 0);
        yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), "text");
        read_text(p, s, (strv){yyjson_get_str(value), yyjson_get_len(value)});
        yyjson_doc_free(doc);
    }
    free(line);
    privacy_scratch_free(s);
    privacy_unref(p);
    return 0;
}
