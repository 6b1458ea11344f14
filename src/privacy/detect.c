/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detect - the detector, its scratch, and the order in which a piece is read.
 *
 *   phrases > numbers > forms > records and tables > labels > words > house rules > verdict
 *
 * Long texts are read in pieces that overlap, so that the clock is looked at in between and no view is large;
 * what is seen twice is one finding.
 */
#include "privacy/detect.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "privacy/memo.h"
#include "privacy/words.h"

static const struct {
    const char *name;
    uint8_t kind;
} rule_rows[] = {
#define RULE(id, name, kind, doc) {name, PRIVACY_##kind},
#include "privacy/findings.def"
#include "privacy/words.def"
#undef RULE
};

const char *privacy_rule_name(unsigned rule)
{
    return rule < PRIVACY_RULES ? rule_rows[rule].name : "";
}

unsigned privacy_rule_kind(unsigned rule)
{
    return rule_rows[rule].kind;
}

/* ---- making ---- */

static bool hex_digest(const char *hex, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i++) {
        int a = hex[2 * i] != '\0' ? strv_hex(hex[2 * i]) : -1;
        int b = a >= 0 ? strv_hex(hex[2 * i + 1]) : -1;
        if (b < 0)
            return false;
        out[i] = (uint8_t)(a << 4 | b);
    }
    return hex[64] == '\0';
}

static int cmp_digest(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static bool read_fixed(struct privacy *p, const char *const *fixed, struct err *err)
{
    size_t n = 0;
    while (fixed != NULL && fixed[n] != NULL)
        n++;
    if (n == 0)
        return true;
    p->fixed = mem_alloc(n * sizeof *p->fixed);
    if (p->fixed == NULL)
        return err_oom(err);
    for (size_t i = 0; i < n; i++)
        if (!hex_digest(fixed[i], p->fixed[i]))
            return err_set(err, 0, "fixed text %zu: write its SHA-256, 64 hexadecimal digits",
                           i + 1);
    qsort(p->fixed, n, sizeof *p->fixed, cmp_digest);
    p->n_fixed = n;
    return true;
}

static void stamp_of(const char *path, struct privacy_stamp *out)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    if (stat(path, &st) != 0)
        return;
    *out = (struct privacy_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool same_stamp(const struct privacy_stamp *a, const struct privacy_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool load(struct privacy *p, const struct privacy_conf *conf, struct err *err)
{
    if (conf->data == NULL)
        return err_set(err, 0, "no data file is configured");
    p->data_path = mem_strdup(conf->data);
    p->roster_path = conf->roster != NULL ? mem_strdup(conf->roster) : NULL;
    if (p->data_path == NULL || (conf->roster != NULL && p->roster_path == NULL))
        return err_oom(err);
    stamp_of(p->data_path, &p->data_stamp);
    if (p->roster_path != NULL)
        stamp_of(p->roster_path, &p->roster_stamp);
    p->data = text_data_open(conf->data, err);
    if (p->data == NULL || !read_fixed(p, conf->fixed, err))
        return false;
    p->rules = rules_new(conf->patterns, err);
    if (p->rules == NULL)
        return false;
    p->words = words_new(p->data, conf->roster, err);
    return p->words != NULL;
}

struct privacy *privacy_new(const struct privacy_conf *conf, struct err *err)
{
    static atomic_ullong serials;
    struct privacy *p = mem_zalloc(sizeof *p);
    if (p == NULL) {
        err_oom(err);
        return NULL;
    }
    atomic_init(&p->refs, 1);
    p->serial = atomic_fetch_add(&serials, 1) + 1;
    p->house_off = conf->house_off;
    p->bytes_max = conf->bytes_max;
    p->budget_us = conf->budget_us;
    p->ready = load(p, conf, err);
    return p;
}

struct privacy *privacy_ref(struct privacy *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

void privacy_unref(struct privacy *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    words_free(p->words);
    rules_free(p->rules);
    text_data_unref(p->data);
    mem_free(p->fixed);
    mem_free(p->data_path);
    mem_free(p->roster_path);
    mem_free(p);
}

bool privacy_ready(const struct privacy *p)
{
    return p->ready;
}

struct text_data *privacy_data(const struct privacy *p)
{
    return p->data;
}

const char *privacy_digest(const struct privacy *p)
{
    return p->data != NULL ? text_data_digest(p->data) : "";
}

size_t privacy_roster_size(const struct privacy *p)
{
    return p->words != NULL ? words_roster_size(p->words) : 0;
}

static bool is_another(const char *path, const struct privacy_stamp *then)
{
    struct privacy_stamp now;
    if (path == NULL)
        return false;
    stamp_of(path, &now);
    return !same_stamp(&now, then);
}

/* Also of a detector that is not ready: whoever mends the file need not ask for a reload. */
bool privacy_stale(const struct privacy *p)
{
    return is_another(p->data_path, &p->data_stamp) || is_another(p->roster_path, &p->roster_stamp);
}

struct privacy_scratch *privacy_scratch_new(void)
{
    struct privacy_scratch *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->text = text_scratch_new();
    if (s->text == NULL) {
        mem_free(s);
        return NULL;
    }
    return s;
}

void privacy_scratch_free(struct privacy_scratch *s)
{
    if (s == NULL)
        return;
    rules_scratch_free(s);
    words_scratch_free(s->words);
    memo_free(s->memo);
    text_scratch_free(s->text);
    mem_free(s->piece.found);
    mem_free(s->piece.values);
    mem_free(s->piece.hits);
    mem_free(s->piece.tokens);
    mem_free(s->piece.groups);
    mem_free_secret(s->copy, s->copy_cap);
    mem_free(s->copy_map);
    mem_free(s);
}

/* ---- one piece ---- */

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool wanted(const struct privacy *p, bool fixed, unsigned kind)
{
    enum privacy_group group = privacy_kinds[kind].group;
    if (group == PRIVACY_HOUSE)
        return !fixed && kind < 32 && (p->house_off >> kind & 1) == 0;
    return !fixed || (group == PRIVACY_IDENTIFIER && kind != PRIVACY_NAME);
}

static bool known(const struct privacy_verdict *v, const struct privacy_finding *f)
{
    bool is = false;
    for (size_t i = 0; i < v->n_findings && f->start < v->reach[f->kind]; i++)
        is |= (v->findings[i].kind == f->kind) & (v->findings[i].start < f->end) &
              (v->findings[i].end > f->start);
    return is;
}

static unsigned enough(unsigned how)
{
    return (how & PRIVACY_STRICT) != 0 ? ENOUGH_STRICT : ENOUGH;
}

void scan_add(struct privacy_verdict *v, const struct privacy_finding *f, unsigned how)
{
    if (known(v, f))
        return;
    v->counts[f->kind]++;
    v->score = (uint16_t)(v->score + f->weight > UINT16_MAX ? UINT16_MAX : v->score + f->weight);
    v->is_private = v->is_private || f->weight >= enough(how);
    if (v->n_findings == PRIVACY_FINDINGS_MAX) {
        v->more = true;
        return;
    }
    size_t i = v->n_findings++;
    for (; i > 0 && v->findings[i - 1].start > f->start; i--)
        v->findings[i] = v->findings[i - 1];
    v->findings[i] = *f;
    v->reach[f->kind] = f->end > v->reach[f->kind] ? f->end : v->reach[f->kind];
}

void scan_sum_up(struct privacy_verdict *v, unsigned how)
{
    if (!v->is_private && v->score >= enough(how))
        privacy_verdict_add(v, PRIVACY_SUSPECT);
}

static void merge(struct scan *c, const struct privacy_piece *t)
{
    for (size_t i = 0; i < t->n_found; i++) {
        struct privacy_finding f = t->found[i];
        if (!wanted(c->p, t->fixed, f.kind) || f.end <= f.start || f.end <= c->skip)
            continue;
        if (f.start < c->skip) { /* half of it stands in the text before */
            f.start = (uint32_t)c->skip;
            f.replaceable = false;
        }
        f.start = (uint32_t)(c->base + text_at(t->view, f.start));
        f.end = (uint32_t)(c->base + text_at(t->view, f.end));
        scan_add(c->out, &f, c->how);
    }
    if (c->out->more && c->out->is_private)
        c->over = true; /* enough is known */
    scan_sum_up(c->out, c->how);
    c->skip = 0;
}

/* A long run of base64: nobody here can read it. Letters of both kinds and digits, or it is a ruler or a word. */
static bool is_blob(const char *p, size_t n)
{
    size_t run = 0;
    unsigned seen = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        unsigned kind = is_digit(c)                                                ? 1
                        : c >= 'a' && c <= 'z'                                     ? 2
                        : c >= 'A' && c <= 'Z'                                     ? 4
                        : c == '+' || c == '/' || c == '-' || c == '_' || c == '=' ? 8
                                                                                   : 0;
        bool wrapped = c == '\n' && run >= 60; /* lines of a wrapped one */
        run = kind != 0 ? run + 1 : wrapped ? run : 0;
        seen = kind != 0 ? seen | kind : wrapped ? seen : 0;
        if (run > BLOB_MAX && (seen & 7) == 7)
            return true;
    }
    return false;
}

/* Most text has a blank among any few words: only stretches without one are looked at. */
static bool has_blob(const struct text_view *v)
{
    static const char uri[] = ";base64,";
    const char *data = memmem(v->folded, v->n, uri, sizeof uri - 1);
    if (data != NULL && (size_t)(v->folded + v->n - data) > sizeof uri + 64)
        return true;
    for (size_t i = 0, from = 0; i + 64 <= v->n; i += 64) {
        if (memchr(v->plain + i, ' ', 64) != NULL)
            from = i;
        else if (i + 64 - from > BLOB_MAX) {
            const char *end = memchr(v->plain + i, ' ', v->n - i);
            size_t to = end != NULL ? (size_t)(end - v->plain) : v->n;
            if (is_blob(v->plain + from, to - from))
                return true;
            i = from = to > i ? to - 1 : i;
        }
    }
    return false;
}

static bool read_piece(struct scan *c, const struct text_view *view, bool fixed)
{
    struct privacy_piece *t = &c->s->piece;
    piece_begin(t, c->p, c->s, view);
    t->fixed = fixed;
    if (!rules_scan(t))
        return false;
    numbers_scan(t);
    forms_scan(t);
    structure_scan(t);
    labels_scan(t);
    if (!t->failed && c->p->words != NULL) /* a detector that is ready has them */
        slips_scan(t);
    if (!fixed && !t->failed && c->p->words != NULL)
        privacy_words(t, c->how);
    if (!fixed && !t->failed)
        house_scan(t);
    merge(c, t);
    return !t->failed;
}

/* The kinds of failure end the reading: the verdict is private and stays so. */
static bool stop(struct scan *c, enum privacy_kind why)
{
    privacy_verdict_add(c->out, why);
    c->over = true;
    return false;
}

bool scan_view(struct scan *c, const struct text_view *view, bool fixed)
{
    if (c->over)
        return false;
    if (c->p->budget_us > 0 && now_us() - c->began > c->p->budget_us)
        return stop(c, PRIVACY_LIMIT);
    if (view->invalid || has_blob(view))
        privacy_verdict_add(c->out, PRIVACY_UNREADABLE);
    if (view->invalid)
        return true; /* what else is there may tell more */
    if (!read_piece(c, view, fixed))
        return stop(c, PRIVACY_MEMORY);
    return true;
}

bool scan_begin(struct scan *c, const struct privacy *p, struct privacy_scratch *s, size_t size,
                unsigned how, struct privacy_verdict *out)
{
    *c = (struct scan){
        .p = p, .s = s, .how = how, .out = out, .began = p->budget_us > 0 ? now_us() : 0};
    if (!p->ready)
        return stop(c, PRIVACY_NOT_READY);
    if ((p->bytes_max > 0 && size > p->bytes_max) || size > (size_t)1 << 31)
        return stop(c, PRIVACY_LIMIT);
    return true;
}

bool scan_fixed(const struct privacy *p, strv text)
{
    uint8_t digest[32];
    if (p->n_fixed == 0)
        return false;
    SHA256((const unsigned char *)text.ptr, text.len, digest);
    return bsearch(digest, p->fixed, p->n_fixed, 32, cmp_digest) != NULL;
}

/* Where a text may be cut: behind a blank among the last bytes, else between two characters. */
size_t scan_cut(strv text, size_t max)
{
    if (text.len <= max)
        return text.len;
    for (size_t i = max; i > max - max / 4; i--)
        if (text.ptr[i - 1] == ' ' || text.ptr[i - 1] == '\n')
            return i;
    size_t cut = max;
    while (cut > max / 2 && (((unsigned char)text.ptr[cut] & 0xC0) == 0x80 ||
                             memchr(text.ptr + cut - 14, '\\', 14) != NULL))
        cut--;
    return cut;
}

/* The next piece begins a little before the cut: what stands across it is read whole. */
size_t scan_again(strv text, size_t cut)
{
    size_t from = cut > OVERLAP ? cut - OVERLAP : 0;
    for (size_t i = from; i < cut; i++)
        if (text.ptr[i] == ' ' || text.ptr[i] == '\n')
            return i + 1;
    return cut;
}

void privacy_scan_text(const struct privacy *p, struct privacy_scratch *s, strv text, unsigned how,
                       struct privacy_verdict *out)
{
    struct scan c;
    if (!scan_begin(&c, p, s, text.len, how, out))
        return;
    bool fixed = scan_fixed(p, text);
    for (size_t from = 0; !c.over;) {
        strv rest = strv_from(text, from);
        size_t cut = scan_cut(rest, PIECE_BYTES);
        struct text_view view;
        c.base = from;
        if (!text_normalise(s->text, (strv){rest.ptr, cut}, TEXT_PLAIN, &view)) {
            stop(&c, PRIVACY_MEMORY);
            return;
        }
        scan_view(&c, &view, fixed);
        if (cut == rest.len)
            return;
        from += scan_again(rest, cut);
    }
}
