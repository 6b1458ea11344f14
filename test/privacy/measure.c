/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure - what the detector says of every row of a file, and how long it takes.
 *
 *   measure --data FILE [--roster FILE] [--json | --request] [--repeat N] [--house-off] < rows.jsonl > verdicts.jsonl
 *   measure --data FILE [--roster FILE] [--json] --times < rows.jsonl
 *
 * A row is {"id", "text"}; the answer is {"id", "contains_phi", "score", "entities": [{"type", "start", "end",
 * "rule"}]}, places in Unicode code points. With --json the text is read as a string inside a request, with --request
 * it is one, and places are those of its bytes there. Times go to stderr: how long it took to load, nanoseconds for a text by its size.
 *
 * --times reads pieces of all rows together instead, as test/bench/reads.h tells, and prints a line of JSON for each size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/reads.h"
#include "privacy/privacy.h"

enum { ROW_MAX = 1 << 20 };

static size_t code_points(strv text, size_t end)
{
    size_t n = 0;
    for (size_t i = 0; i < end && i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return n;
}

static void print_verdict(strv id, strv text, const struct privacy_verdict *v, bool house)
{
    bool is = v->is_private;
    if (!house) { /* what of it is an identifier? */
        is = false;
        for (size_t i = 0; i < v->n_findings; i++)
            is = is || (privacy_kinds[v->findings[i].kind].group != PRIVACY_HOUSE &&
                        v->findings[i].weight >= 1000);
        is = is || v->counts[PRIVACY_SUSPECT] > 0 || v->counts[PRIVACY_UNREADABLE] > 0;
    }
    printf("{\"id\":\"" STRV_FMT "\",\"contains_phi\":%s,\"score\":%u,\"entities\":[", STRV_ARG(id),
           is ? "true" : "false", v->score);
    for (size_t i = 0; i < v->n_findings; i++) {
        const struct privacy_finding *f = &v->findings[i];
        char type[32];
        size_t n = strlen(privacy_kinds[f->kind].name);
        for (size_t k = 0; k <= n && k < sizeof type; k++)
            type[k] =
                (char)(privacy_kinds[f->kind].name[k] >= 'a' ? privacy_kinds[f->kind].name[k] - 32
                                                             : privacy_kinds[f->kind].name[k]);
        printf("%s{\"type\":\"%s\",\"start\":%zu,\"end\":%zu,\"rule\":\"%s\",\"weight\":%u}",
               i > 0 ? "," : "", strcmp(type, "_") == 0 ? "OTHER" : type,
               code_points(text, f->start), code_points(text, f->end), privacy_rule_name(f->rule),
               f->weight);
    }
    printf("]}\n");
}

struct options {
    struct privacy_conf conf;
    bool json, request, house, times;
    unsigned repeat;
};

static double scan_ns(const struct options *o, const struct privacy *p, struct privacy_scratch *s,
                      strv what, struct privacy_verdict *v)
{
    privacy_verdict_init(v);
    double began = reads_now_ns();
    if (o->json)
        privacy_scan_json(p, s, what, PRIVACY_NORMAL, v);
    else
        privacy_scan_text(p, s, what, PRIVACY_NORMAL, v);
    return reads_now_ns() - began;
}

static void one(const struct options *o, const struct privacy *p, struct privacy_scratch *s,
                strv line, double sum[2], size_t count[2])
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    struct buf request;
    struct privacy_verdict v;
    arena_init(&arena, 4096, ROW_MAX * 8);
    buf_init(&request, ROW_MAX * 8);
    if (!json_read(&doc, line, &arena, 0, &err)) {
        fprintf(stderr, "measure: %s\n", err.text);
        exit(1);
    }
    strv text = json_get_str(doc.root, "text");
    buf_put_cstr(&request, "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":");
    json_put_str(&request, text);
    buf_put_cstr(&request, "}]}");
    strv what = o->json && !o->request ? buf_view(&request) : text;
    double best = 1e18;
    for (unsigned k = 0; k < o->repeat; k++) {
        double took = scan_ns(o, p, s, what, &v);
        best = took < best ? took : best;
    }
    size_t large = text.len > 1000;
    sum[large] += best / (double)(text.len + 1);
    count[large]++;
    print_verdict(json_get_str(doc.root, "id"), what, &v, o->house);
    buf_fini(&request);
    arena_fini(&arena);
}

/* ---- times ---- */

static void put_text(struct buf *all, strv line)
{
    struct arena arena;
    struct json doc;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, ROW_MAX * 8);
    if (json_read(&doc, line, &arena, 0, &err)) {
        buf_put_strv(all, json_get_str(doc.root, "text"));
        buf_put_char(all, '\n');
    }
    arena_fini(&arena);
}

/* Where a piece of about `at` bytes may begin or end: not inside a character. */
static size_t whole(strv text, size_t at)
{
    while (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* Pieces of one size at moving places, so that no two of them are the same. */
struct pieces {
    const struct options *o;
    const struct privacy *p;
    struct privacy_scratch *s;
    strv all;
    size_t size;
    struct buf piece;
};

static double read_piece(void *context, size_t i)
{
    struct pieces *t = context;
    struct privacy_verdict v;
    size_t from = whole(t->all, reads_place(i, t->all.len - t->size));
    size_t to = whole(t->all, from + t->size);
    strv text = {t->all.ptr + from, to - from};
    buf_clear(&t->piece);
    if (t->o->json)
        json_put_str(&t->piece, text);
    else
        buf_put_strv(&t->piece, text);
    return scan_ns(t->o, t->p, t->s, buf_view(&t->piece), &v);
}

static void times(const struct options *o, const struct privacy *p, struct privacy_scratch *s,
                  strv all, size_t size)
{
    struct pieces pieces = {.o = o, .p = p, .s = s, .all = all, .size = size};
    buf_init(&pieces.piece, ROW_MAX * 8);
    reads_measure(size, read_piece, &pieces);
    buf_fini(&pieces.piece);
}

static void all_times(const struct options *o, const struct privacy *p, struct privacy_scratch *s,
                      char *line)
{
    static const size_t sizes[] = {300, 2048, 8192, 32768};
    struct buf all;
    buf_init(&all, 1 << 26);
    while (fgets(line, ROW_MAX, stdin) != NULL)
        put_text(&all, strv_trim(strv_of(line)));
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        if (buf_len(&all) > 2 * sizes[k])
            times(o, p, s, buf_view(&all), sizes[k]);
    buf_fini(&all);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.house = true, .repeat = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--request") == 0)
            o->json = o->request = true;
        else if (strcmp(argv[i], "--house-off") == 0)
            o->house = false;
        else if (strcmp(argv[i], "--times") == 0)
            o->times = true;
        else if (strcmp(argv[i], "--data") == 0 && value != NULL)
            o->conf.data = argv[++i];
        else if (strcmp(argv[i], "--roster") == 0 && value != NULL)
            o->conf.roster = argv[++i];
        else if (strcmp(argv[i], "--repeat") == 0 && value != NULL)
            o->repeat = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            return false;
    }
    return o->conf.data != NULL && o->repeat > 0;
}

int main(int argc, char **argv)
{
    static char line[ROW_MAX];
    struct options o;
    struct err err = ERR_INIT;
    double sum[2] = {0, 0};
    size_t count[2] = {0, 0};
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr,
                "usage: measure --data FILE [--roster FILE] [--json | --request] [--repeat N] "
                "[--house-off] [--times]\n");
        return 2;
    }
    double began = reads_now_ns();
    struct privacy *p = privacy_new(&o.conf, &err);
    struct privacy_scratch *s = privacy_scratch_new();
    if (p == NULL || s == NULL || !privacy_ready(p)) {
        fprintf(stderr, "measure: %s\n", err.text);
        return 1;
    }
    fprintf(stderr, "loaded in %.1f ms\n", (reads_now_ns() - began) / 1e6);
    if (o.times)
        all_times(&o, p, s, line);
    while (fgets(line, sizeof line, stdin) != NULL)
        one(&o, p, s, strv_trim(strv_of(line)), sum, count);
    for (int k = 0; k < 2 && !o.times; k++)
        fprintf(stderr, "%s texts: %zu, %.2f ns a byte\n", k == 0 ? "small" : "large", count[k],
                count[k] > 0 ? sum[k] / (double)count[k] : 0.0);
    privacy_scratch_free(s);
    privacy_unref(p);
    return 0;
}
