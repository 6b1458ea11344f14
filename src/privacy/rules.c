/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phrases are one tree (phrases.c). The operator's own patterns are regular expressions: Vectorscan reads all of
 * them at once, and only where there are any.
 */
#include "privacy/rules.h"

#include <hs/hs.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { PATTERNS_MAX = 256, LABEL_WORDS_MAX = 1024 };

struct rules {
    struct phrases *phrases;
    hs_database_t *patterns; /* NULL = none */
    struct label_word label_words[LABEL_WORDS_MAX];
    size_t n_label_words;
};
const struct rules_row rules_rows[PHRASES] = {
#define PHRASES(id, act, what, reach, phrases, doc) {ACT_##act, what, reach, phrases},
#include "privacy/phrases.def"
#undef PHRASES
};

/* ---- making ---- */

/* Compiling took several times what is left of it; the allocator would keep that for ever. */
static void give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

/* "name=expression"; the name is for people. */
static bool compile_patterns(struct rules *r, const char *const *patterns, struct err *err)
{
    const char *text[PATTERNS_MAX];
    unsigned flags[PATTERNS_MAX], ids[PATTERNS_MAX], n = 0;
    hs_compile_error_t *why = NULL;
    for (; patterns != NULL && patterns[n] != NULL; n++) {
        const char *eq = strchr(patterns[n], '=');
        if (n == PATTERNS_MAX)
            return err_set(err, 0, "more than %d own patterns", PATTERNS_MAX);
        if (eq == NULL || eq == patterns[n] || eq[1] == '\0')
            return err_set(err, 0, "own pattern %u: write name=regular expression", n + 1);
        text[n] = eq + 1;
        flags[n] = HS_FLAG_CASELESS | HS_FLAG_MULTILINE | HS_FLAG_SOM_LEFTMOST;
        ids[n] = n;
    }
    if (n == 0)
        return true;
    hs_error_t rc = hs_compile_multi(text, flags, ids, n, HS_MODE_BLOCK, NULL, &r->patterns, &why);
    give_back();
    if (rc == HS_SUCCESS)
        return true;
    int which = why != NULL && why->expression >= 0 ? why->expression : 0;
    err_set(err, 0, "own pattern \"%.*s\": %s", (int)(text[which] - 1 - patterns[which]),
            patterns[which], why != NULL ? why->message : "refused");
    hs_free_compile_error(why);
    return false;
}

struct rules *rules_new(const char *const *patterns, struct err *err)
{
    struct rules *r = mem_zalloc(sizeof *r);
    if (r == NULL) {
        err_oom(err);
        return NULL;
    }
    r->phrases = phrases_new();
    if (r->phrases == NULL)
        err_oom(err);
    if (r->phrases == NULL || !compile_patterns(r, patterns, err)) {
        rules_free(r);
        return NULL;
    }
    r->n_label_words = slips_words(r->label_words, LABEL_WORDS_MAX);
    return r;
}

void rules_free(struct rules *r)
{
    if (r == NULL)
        return;
    phrases_free(r->phrases);
    hs_free_database(r->patterns);
    mem_free(r);
}

void rules_scratch_free(struct privacy_scratch *s)
{
    hs_free_scratch(s->hs);
    s->hs = NULL;
    s->hs_for = 0;
}

/* ---- scanning ---- */

static int on_pattern(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                      void *arg)
{
    struct privacy_piece *t = arg;
    (void)id, (void)flags;
    if (from < to)
        piece_find(t, PRIVACY_PATTERN, RULE_PATTERN_OWN, 1000, true, (size_t)from, (size_t)to);
    return t->failed ? 1 : 0;
}

/* A copy with some words read as others: a letter of them stands where that of the text stands, or the last one. The
 * length. */
static size_t copy_with_slips(char *to, uint32_t *map, const struct text_view *view,
                              const struct slips *slips)
{
    size_t k = 0, at = 0;
    for (size_t i = 0; i <= slips->n; i++) {
        const struct slip *slip = i < slips->n ? &slips->of[i] : NULL;
        for (size_t end = slip != NULL ? slip->start : view->n; at < end; at++) {
            to[k] = view->folded[at];
            map[k++] = (uint32_t)at;
        }
        for (size_t j = 0; slip != NULL && j < slip->word.len; j++) {
            uint32_t place = slip->start + (uint32_t)j;
            to[k] = slip->word.ptr[j];
            map[k++] = place < slip->end && j + 1 < slip->word.len ? place : slip->end - 1;
        }
        at = slip != NULL ? slip->end : at;
    }
    return k;
}

/* Room for that copy and its map. */
static bool ready_copy(struct privacy_scratch *s, size_t n)
{
    if (n + 1 <= s->copy_cap)
        return true;
    char *grown = mem_alloc(n + 1024);
    uint32_t *map = mem_alloc((n + 1024) * sizeof *map);
    if (grown == NULL || map == NULL) {
        mem_free(grown);
        mem_free(map);
        return false;
    }
    mem_free_secret(s->copy, s->copy_cap);
    mem_free(s->copy_map);
    s->copy = grown;
    s->copy_map = map;
    s->copy_cap = n + 1024;
    return true;
}

static bool scan_patterns(struct privacy_piece *t)
{
    const struct privacy *p = t->p;
    struct privacy_scratch *s = t->scratch;
    hs_scratch_t *hs = s->hs;
    if (p->rules->patterns == NULL)
        return true;
    if (s->hs_for != p->serial || hs == NULL) {
        bool ok = hs_alloc_scratch(p->rules->patterns, &hs) == HS_SUCCESS;
        s->hs = hs;
        s->hs_for = ok ? p->serial : 0;
        if (!ok)
            return false;
    }
    return hs_scan(p->rules->patterns, t->view->plain, (unsigned)t->view->n, 0, hs, on_pattern,
                   t) == HS_SUCCESS;
}

const struct label_word *rules_label_words(const struct rules *r, size_t *n)
{
    *n = r->n_label_words;
    return r->label_words;
}

bool rules_scan(struct privacy_piece *t)
{
    t->n_hits = 0;
    return phrases_scan(t->p->rules->phrases, t, t->view->folded, t->view->n, NULL) &&
           scan_patterns(t);
}

bool rules_scan_slips(struct privacy_piece *t, const struct slips *slips)
{
    struct privacy_scratch *s = t->scratch;
    if (!ready_copy(s, t->view->n + SLIPS_MAX)) /* a slip may lack a letter */
        return false;
    size_t n = copy_with_slips(s->copy, s->copy_map, t->view, slips);
    t->n_hits = 0;
    return phrases_scan(t->p->rules->phrases, t, s->copy, n, s->copy_map);
}

/* ---- hits ---- */

size_t hit_index(const struct privacy_piece *t, size_t place)
{
    size_t low = 0, n = t->n_hits;
    for (; n > 1; n -= n / 2) /* as many steps wherever it is */
        low += t->hits[low + n / 2 - 1].end <= place ? n / 2 : 0;
    return low + (n == 1 && t->hits[low].end <= place);
}

static bool same_line(const struct privacy_piece *t, size_t from, size_t to)
{
    return from >= to || memchr(t->view->folded + from, '\n', to - from) == NULL;
}

const struct privacy_hit *hit_before(const struct privacy_piece *t, unsigned phrase, size_t place,
                                     size_t reach)
{
    for (size_t i = hit_index(t, place); i-- > 0;) {
        const struct privacy_hit *h = &t->hits[i];
        if (h->end + reach < place)
            return NULL;
        if (h->what == phrase)
            return same_line(t, h->end, place) ? h : NULL;
    }
    return NULL;
}

const struct privacy_hit *hit_after(const struct privacy_piece *t, unsigned phrase, size_t place,
                                    size_t reach)
{
    for (size_t i = hit_index(t, place); i < t->n_hits; i++) {
        const struct privacy_hit *h = &t->hits[i];
        if (h->start > place + reach + 40)
            return NULL;
        if (h->what == phrase && h->start >= place && h->start <= place + reach)
            return same_line(t, place, h->start) ? h : NULL;
    }
    return NULL;
}

bool label_near(const struct privacy_piece *t, enum privacy_label label, size_t start, size_t end,
                size_t reach)
{
    size_t from = start > reach ? start - reach : 0;
    for (size_t i = hit_index(t, from); i < t->n_hits; i++) {
        const struct privacy_hit *h = &t->hits[i];
        const struct rules_row *row = &rules_rows[h->what];
        if (h->start > end + reach + 40)
            break;
        if (row->act == ACT_LABEL && row->what == label && h->start <= end + reach &&
            (h->end <= start || h->start >= end))
            return true;
    }
    return piece_label_at(t, start) == label;
}
