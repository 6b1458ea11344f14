/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database is made of the rows of phrases.def, cut at ';'. Every phrase has a number of its own, because
 * Vectorscan tells where a match ends only: its length tells where it began.
 */
#include "privacy/rules.h"

#include <hs/hs.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { PHRASES_MAX = 2048, PATTERNS_MAX = 256, LABEL_WORDS_MAX = 1024 };

struct phrase {
    uint16_t row;
    uint8_t len;
    bool open_begin, open_end; /* may be inside a word there */
};
struct rules {
    hs_database_t *phrases, *patterns; /* patterns: NULL = none */
    struct phrase table[PHRASES_MAX];
    unsigned n;
    strv label_words[LABEL_WORDS_MAX];
    size_t n_label_words;
};
const struct rules_row rules_rows[PHRASES] = {
#define PHRASES(id, act, what, reach, phrases, doc) {ACT_##act, what, reach, phrases},
#include "privacy/phrases.def"
#undef PHRASES
};

/* ---- making ---- */

struct making {
    const char *text[PHRASES_MAX];
    size_t len[PHRASES_MAX];
    unsigned flags[PHRASES_MAX], ids[PHRASES_MAX];
};

static void add_phrase(struct rules *r, struct making *m, unsigned row, strv phrase)
{
    struct phrase *p = &r->table[r->n];
    bool prefix = phrase.len > 2 && phrase.ptr[phrase.len - 1] == '*' &&
                  is_word(phrase.ptr[phrase.len - 2]) && rules_rows[row].what != FORM_X12;
    if (prefix)
        phrase.len--;
    *p = (struct phrase){.row = (uint16_t)row,
                         .len = (uint8_t)phrase.len,
                         .open_begin = !is_word(phrase.ptr[0]),
                         .open_end = prefix || !is_word(phrase.ptr[phrase.len - 1])};
    m->text[r->n] = phrase.ptr;
    m->len[r->n] = phrase.len;
    m->flags[r->n] = 0;
    m->ids[r->n] = r->n;
    r->n++;
}

static bool compile_phrases(struct rules *r, struct err *err)
{
    struct making *m = mem_zalloc(sizeof *m);
    hs_compile_error_t *why = NULL;
    if (m == NULL)
        return err_oom(err);
    for (unsigned row = 0; row < PHRASES; row++) {
        strv rest = strv_of(rules_rows[row].phrases), phrase;
        while (strv_cut(&rest, ';', &phrase) && r->n < PHRASES_MAX)
            add_phrase(r, m, row, phrase);
    }
    hs_error_t rc = hs_compile_lit_multi(m->text, m->flags, m->ids, m->len, r->n, HS_MODE_BLOCK,
                                         NULL, &r->phrases, &why);
    mem_free(m);
    if (rc == HS_SUCCESS)
        return true;
    err_set(err, 0, "the phrases of the privacy rules: %s", why != NULL ? why->message : "refused");
    hs_free_compile_error(why);
    return false;
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
    if (hs_compile_multi(text, flags, ids, n, HS_MODE_BLOCK, NULL, &r->patterns, &why) ==
        HS_SUCCESS)
        return true;
    int which = why != NULL && why->expression >= 0 ? why->expression : 0;
    err_set(err, 0, "own pattern \"%.*s\": %s", (int)(text[which] - 1 - patterns[which]),
            patterns[which], why != NULL ? why->message : "refused");
    hs_free_compile_error(why);
    return false;
}

/* Compiling took several times what is left of it; the allocator would keep that for ever. */
static void give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

struct rules *rules_new(const char *const *patterns, struct err *err)
{
    struct rules *r = mem_zalloc(sizeof *r);
    if (r == NULL) {
        err_oom(err);
        return NULL;
    }
    if (!compile_phrases(r, err) || !compile_patterns(r, patterns, err)) {
        rules_free(r);
        return NULL;
    }
    r->n_label_words = slips_words(r->label_words, LABEL_WORDS_MAX);
    give_back();
    return r;
}

void rules_free(struct rules *r)
{
    if (r == NULL)
        return;
    hs_free_database(r->phrases);
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

struct context {
    struct privacy_piece *t;
    const struct rules *rules;
    const char *spaced;
    const uint32_t *map; /* where a byte of it stands in the view */
    size_t n;
};

static int on_phrase(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                     void *arg)
{
    struct context *c = arg;
    const struct phrase *p = &c->rules->table[id];
    size_t end = (size_t)to, start = end - p->len;
    (void)from, (void)flags;
    if (!p->open_begin && start > 0 && is_letter(c->spaced[start - 1]))
        return 0;
    if (!p->open_end && end < c->n && is_letter(c->spaced[end]))
        return 0;
    struct privacy_hit *hit = piece_add_hit(c->t);
    if (hit == NULL)
        return 1;
    *hit = (struct privacy_hit){c->map[start], c->map[end - 1] + 1, p->row};
    return 0;
}

static int on_pattern(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                      void *arg)
{
    struct context *c = arg;
    (void)id, (void)flags;
    if (from < to)
        piece_find(c->t, PRIVACY_PATTERN, RULE_PATTERN_OWN, 1000, true, (size_t)from, (size_t)to);
    return c->t->failed ? 1 : 0;
}

/* One blank for what stands between the words of a name in one language or another, even if there are several, as
 * in "d. o. b."; an empty line separates. The length. */
static size_t space_out(char *to, uint32_t *map, const char *from, size_t n)
{
    static const char blanks[256] = {
        [' '] = 1, ['_'] = 1, ['-'] = 1, ['.'] = 1, ['\''] = 1, ['\n'] = 1, ['\t'] = 1, ['\r'] = 1};
    size_t k = 0, run = 0;
    for (size_t i = 0; i < n; i++) {
        bool blank = blanks[(unsigned char)from[i]] != 0;
        run = blank ? run + 1 : 0;
        bool again = blank && run > 1 && run < 4 && (from[i] != '\n' || from[i - 1] != '\n');
        k -= again;
        to[k] = blank ? ' ' : from[i];
        map[k++] = (uint32_t)i;
    }
    return k;
}

/* The same, with some words read as others: a letter of them stands where that of the text stands, or the last one. */
static size_t space_out_slips(char *to, uint32_t *map, const char *from, size_t n,
                              const struct slips *slips)
{
    size_t k = 0, at = 0;
    for (size_t i = 0; i <= slips->n; i++) {
        const struct slip *slip = i < slips->n ? &slips->of[i] : NULL;
        size_t end = slip != NULL ? slip->start : n;
        size_t more = space_out(to + k, map + k, from + at, end - at);
        for (size_t j = 0; j < more; j++)
            map[k + j] += (uint32_t)at;
        k += more;
        for (size_t j = 0; slip != NULL && j < slip->word.len; j++) {
            uint32_t place = slip->start + (uint32_t)j;
            to[k] = slip->word.ptr[j];
            map[k++] = place < slip->end && j + 1 < slip->word.len ? place : slip->end - 1;
        }
        at = slip != NULL ? slip->end : n;
    }
    return k;
}

/* Room for the blanked copy and its map. */
static bool ready_spaced(struct privacy_scratch *s, size_t n)
{
    if (n + 1 <= s->spaced_cap)
        return true;
    char *grown = mem_alloc(n + 1024);
    uint32_t *map = mem_alloc((n + 1024) * sizeof *map);
    if (grown == NULL || map == NULL) {
        mem_free(grown);
        mem_free(map);
        return false;
    }
    mem_free_secret(s->spaced, s->spaced_cap);
    mem_free(s->spaced_map);
    s->spaced = grown;
    s->spaced_map = map;
    s->spaced_cap = n + 1024;
    return true;
}

static bool ready_scratch(struct privacy_scratch *s, const struct privacy *p)
{
    hs_scratch_t *hs = s->hs;
    if (s->hs_for == p->serial && hs != NULL)
        return true;
    bool ok = hs_alloc_scratch(p->rules->phrases, &hs) == HS_SUCCESS;
    s->hs = hs;
    ok = ok &&
         (p->rules->patterns == NULL || hs_alloc_scratch(p->rules->patterns, &hs) == HS_SUCCESS);
    s->hs = hs;
    s->hs_for = ok ? p->serial : 0;
    return ok;
}

const strv *rules_label_words(const struct rules *r, size_t *n)
{
    *n = r->n_label_words;
    return r->label_words;
}

bool rules_scan(struct privacy_piece *t, const struct slips *slips)
{
    const struct privacy *p = t->p;
    struct privacy_scratch *s = t->scratch;
    size_t n = t->view->n;
    if (!ready_scratch(s, p) || !ready_spaced(s, n + SLIPS_MAX)) /* a slip may lack a letter */
        return false;
    t->n_hits = 0;
    size_t spaced = slips == NULL
                        ? space_out(s->spaced, s->spaced_map, t->view->folded, n)
                        : space_out_slips(s->spaced, s->spaced_map, t->view->folded, n, slips);
    struct context c = {t, p->rules, s->spaced, s->spaced_map, spaced};
    if (hs_scan(p->rules->phrases, s->spaced, (unsigned)spaced, 0, s->hs, on_phrase, &c) !=
        HS_SUCCESS)
        return false;
    if (slips == NULL && p->rules->patterns != NULL &&
        hs_scan(p->rules->patterns, t->view->plain, (unsigned)n, 0, s->hs, on_pattern, &c) !=
            HS_SUCCESS)
        return false;
    return !t->failed;
}

/* ---- hits ---- */

size_t hit_index(const struct privacy_piece *t, size_t place)
{
    size_t low = 0, high = t->n_hits;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->hits[mid].end <= place)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
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
