/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_verify - reads every record and says which do not fit.
 *
 * One pass, in the order of the chain. After a problem it goes on with what stands there, so that each change is
 * told once, where it is. What each kind of change looks like:
 *
 *   a byte changed        the record's digest does not fit its content and the record before
 *   a record removed      the next one's number is too high; at the end: the head knows more
 *   two exchanged         a number too high, then one too low
 *   digests computed anew the next signature does not fit
 *   a file removed        its number is missing, and no record retires it
 *   a file copied         it says that it is another one
 *
 * The head is read first: while a router writes, the files may be ahead of it, never behind.
 */
#include "ledger/audit_int.h"

#include <stdarg.h>
#include <stdio.h>

struct verify {
    const struct audit_check *check;
    struct audit_count *out;
    struct audit_hasher hasher;
    struct audit_key *trusted, *key; /* the one to check with; the present file's */
    bool follows;                    /* the keys of the files: the trusted one is among them */
    bool named;                      /* a record tells the next key: */
    uint8_t next_key[32];
    struct audit_head head;
    enum audit_head_state head_state;
    bool head_met, expect_met, enough;

    uint64_t seq; /* of the last record; its digest as it says, and as it should be */
    uint8_t hash[AUDIT_HASH], other[AUDIT_HASH];
    bool unknown; /* the line before was no record: its digest is not known */
    uint64_t signed_seq;

    char name[AUDIT_NAME_MAX]; /* where we are */
    uint64_t number, line;
    uint64_t last_number; /* of the file before; 0 = none */
    size_t last_bytes;    /* of it */

    uint64_t begin_file,
        begin_seq; /* the first file that is there, and what it says of the one before */
    uint8_t begin_hash[AUDIT_HASH];
    bool retired; /* a record says that files were removed: */
    uint64_t through, last;
    uint8_t end[AUDIT_HASH];
};

/* ---- telling ---- */

static void tell(struct verify *v, bool wrong, uint64_t line, uint64_t seq, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void tell(struct verify *v, bool wrong, uint64_t line, uint64_t seq, const char *format, ...)
{
    char text[240];
    va_list ap;
    if (v->enough)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    struct audit_problem p = {v->name, line, seq, text};
    if (wrong) {
        v->out->problems++;
        if (v->check->problem != NULL)
            v->enough = !v->check->problem(v->check->arg, &p);
    } else if (v->check->remark != NULL) {
        v->check->remark(v->check->arg, &p);
    }
}

#define PROBLEM(v, seq, ...) tell((v), true, (v)->line, (seq), __VA_ARGS__)
#define REMARK(v, seq, ...)  tell((v), false, (v)->line, (seq), __VA_ARGS__)

#define N(x) (unsigned long long)(x)

/* ---- one record ---- */

static void meet(struct verify *v)
{
    if (v->head_state == AUDIT_HEAD_GOOD && v->seq == v->head.seq && !v->head_met) {
        v->head_met = true;
        if (memcmp(v->hash, v->head.hash, AUDIT_HASH) != 0)
            PROBLEM(v, v->seq,
                    "it is not the record that the head knows: it, or some before it, were changed "
                    "and their digests computed anew");
    }
    if (v->check->expect_seq != 0 && v->seq == v->check->expect_seq && !v->expect_met) {
        v->expect_met = true;
        if (memcmp(v->hash, v->check->expect_hash, AUDIT_HASH) != 0)
            PROBLEM(v, v->seq, "it is not the record that was expected");
    }
}

static bool is_signed_type(strv type)
{
    return strv_eq_cstr(type, "checkpoint") || strv_eq_cstr(type, "open") ||
           strv_eq_cstr(type, "retire") || strv_eq_cstr(type, "key");
}

/* `prev` is the digest that the record's own was computed with. */
static bool check_signature(struct verify *v, const struct audit_line *l,
                            const uint8_t prev[AUDIT_HASH])
{
    uint8_t sig[AUDIT_SIG];
    strv rest;
    if (!is_signed_type(l->type))
        return true;
    enum audit_proof proof = AUDIT_FORGED;
    if (audit_parse_sig(l->content, &rest, sig))
        proof = audit_signed(v->key, AUDIT_FOR_RECORD, prev, rest, sig);
    if (proof == AUDIT_PROVEN) {
        v->signed_seq = l->seq;
        v->out->checkpoints++;
        return true;
    }
    if (proof == AUDIT_NO_MEMORY)
        PROBLEM(v, l->seq, "no memory to check its signature");
    else if (v->signed_seq > 0)
        PROBLEM(v, l->seq,
                "its signature does not fit: it, or some of the records from %llu on, were changed "
                "and their digests computed anew",
                N(v->signed_seq + 1));
    else
        PROBLEM(v, l->seq, "its signature does not fit: another key, or changed records");
    return false;
}

/* Number and digest against the record before. The digest it was computed with, or NULL: it does not fit. */
static const uint8_t *check_chain(struct verify *v, const struct audit_line *l)
{
    uint8_t hash[AUDIT_HASH], other[AUDIT_HASH];
    bool next = l->seq == v->seq + 1;
    if (v->unknown && l->seq == v->seq + 2)
        return NULL;
    if (l->seq <= v->seq) {
        PROBLEM(v, l->seq, "it stands behind record %llu: repeated or out of order", N(v->seq));
        return NULL;
    }
    if (!next) {
        PROBLEM(v, l->seq, "records %llu to %llu are missing before it", N(v->seq + 1),
                N(l->seq - 1));
        return NULL;
    }
    if (v->unknown)
        return NULL;
    if (!audit_hash(&v->hasher, (strv){(const char *)v->hash, AUDIT_HASH}, l->content, hash)) {
        PROBLEM(v, l->seq, "no memory to compute its digest");
        return NULL;
    }
    memcpy(other, v->other, sizeof other);
    memcpy(v->other, hash, sizeof hash);
    if (memcmp(hash, l->hash, AUDIT_HASH) == 0)
        return v->hash;
    /* Was it the digest of the record before that was changed? Then this one fits what it should be. */
    if (audit_hash(&v->hasher, (strv){(const char *)other, AUDIT_HASH}, l->content, hash) &&
        memcmp(hash, l->hash, AUDIT_HASH) == 0) {
        memcpy(v->hash, other, sizeof other);
        return v->hash;
    }
    PROBLEM(v, l->seq, "it was changed: its digest does not fit");
    return NULL;
}

static void learn_retired(struct verify *v, const struct audit_line *l)
{
    if (audit_member_u64(l->content, "through", &v->through) &&
        audit_member_u64(l->content, "last", &v->last) &&
        audit_member_hex(l->content, "end", v->end, AUDIT_HASH))
        v->retired = true;
}

/* What records say themselves. */
static void heed(struct verify *v, const struct audit_line *l)
{
    uint64_t n;
    strv what;
    if (strv_eq_cstr(l->type, "retire")) {
        learn_retired(v, l);
    } else if (strv_eq_cstr(l->type, "key")) {
        v->named = audit_member_hex(l->content, "next", v->next_key, sizeof v->next_key);
    } else if (strv_eq_cstr(l->type, "damage")) {
        if (!audit_member_text(l->content, "what", &what))
            what = STRV("damage");
        PROBLEM(v, l->seq, "the router found when it started: " STRV_FMT, STRV_ARG(what));
    } else if (strv_eq_cstr(l->type, "repair")) {
        REMARK(v, l->seq, "the router cut off an unfinished last line when it started");
    } else if (strv_eq_cstr(l->type, "lost") && audit_member_u64(l->content, "records", &n)) {
        REMARK(v, l->seq, "%llu records of finished exchanges found no room before it", N(n));
    } else if (strv_eq_cstr(l->type, "start") && audit_member_u64(l->content, "unsigned", &n) &&
               n > 0) {
        REMARK(v, l->seq, "the %llu records before it were not signed when the router ended", N(n));
    }
}

/* ---- keys: each is named in a record that the one before has signed ---- */

static bool take_key(struct verify *v, const uint8_t bytes[32])
{
    struct audit_key *key = audit_key_of(bytes, NULL);
    if (key == NULL)
        return false;
    if (v->key != v->trusted)
        audit_key_free(v->key);
    v->key = key;
    return true;
}

static void check_key(struct verify *v, const struct audit_line *l, const uint8_t bytes[32])
{
    bool first = v->last_number == 0;
    if (memcmp(bytes, audit_key_bytes(v->key), 32) == 0)
        return;
    if (!v->follows)
        PROBLEM(v, l->seq, "it was begun with another key");
    else if (!first && (!v->named || memcmp(bytes, v->next_key, 32) != 0))
        PROBLEM(v, l->seq, "it was begun with another key, and no record says so");
    else if (!take_key(v, bytes))
        PROBLEM(v, l->seq, "no memory for its key");
}

static bool first_key(const struct verify *v, uint64_t number, uint8_t out[32])
{
    char text[AUDIT_FIRST_MAX];
    struct audit_line l;
    uint64_t size;
    return audit_first(v->check->dir, number, text, &l, &size) && strv_eq_cstr(l.type, "open") &&
           audit_member_hex(l.content, "key", out, 32);
}

/* Is the trusted key one of the files'? Its signatures cover all that was before, and name who comes after. The head is
 * the newest file's, or, just when its key was changed, the one's before. */
static void look_for_keys(struct verify *v, const struct audit_files *files)
{
    uint8_t bytes[32];
    for (size_t i = 0; i < files->n && !v->follows; i++)
        v->follows = first_key(v, files->numbers[i], bytes) &&
                     memcmp(bytes, audit_key_bytes(v->trusted), 32) == 0;
    for (size_t back = 1; back <= 2 && back <= files->n; back++) {
        if (v->head_state != AUDIT_HEAD_BAD || !v->follows ||
            !first_key(v, files->numbers[files->n - back], bytes))
            return;
        struct audit_key *key = audit_key_of(bytes, NULL);
        v->head_state =
            key != NULL ? audit_head_read(v->check->dir, key, &v->head) : AUDIT_HEAD_UNREAD;
        audit_key_free(key);
    }
}

/* The first record of a file, before it is looked at as a record. */
static void check_open(struct verify *v, const struct audit_line *l)
{
    uint64_t file;
    uint8_t prev[AUDIT_HASH], key[32];
    strv time;
    if (!strv_eq_cstr(l->type, "open") || !audit_member_u64(l->content, "file", &file) ||
        !audit_member_hex(l->content, "prev", prev, AUDIT_HASH) ||
        !audit_member_hex(l->content, "key", key, sizeof key) ||
        !audit_member_text(l->content, "time", &time)) {
        PROBLEM(v, l->seq, "the file does not begin with its first record");
        return;
    }
    if (file != v->number)
        PROBLEM(v, l->seq, "it says that it is file %llu: renamed or copied", N(file));
    check_key(v, l, key);
    if (v->last_number == 0 && v->number > 1 && l->seq > 0) { /* what was before is gone */
        v->begin_seq = v->seq = l->seq - 1;
        memcpy(v->begin_hash, prev, AUDIT_HASH);
        memcpy(v->hash, prev, AUDIT_HASH);
        memcpy(v->other, prev, AUDIT_HASH);
        meet(v);
    } else if (memcmp(prev, v->hash, AUDIT_HASH) != 0 && l->seq == v->seq + 1) {
        PROBLEM(v, l->seq, "it does not follow the record before");
    }
}

/* Is the file before as long as it was? A blank line at its end would not be missed otherwise. */
static void check_size(struct verify *v, const struct audit_line *l)
{
    uint64_t size;
    strv why;
    if (v->last_number == 0 || v->last_number + 1 != v->number ||
        !audit_member_u64(l->content, "prev_size", &size) ||
        !audit_member_text(l->content, "why", &why) || strv_eq_cstr(why, "error") ||
        size == v->last_bytes)
        return;
    PROBLEM(v, l->seq, "the file before it has %zu bytes; when it ended it had %llu", v->last_bytes,
            N(size));
}

static void take_line(struct verify *v, strv text)
{
    struct audit_line l;
    strv time;
    if (!audit_parse(text, &l)) {
        PROBLEM(v, v->seq + 1, "the line is no record");
        v->unknown = true;
        return;
    }
    if (v->line == 1)
        check_open(v, &l);
    else if (strv_eq_cstr(l.type, "open"))
        PROBLEM(v, l.seq, "the first record of a file stands in the middle of one");
    const uint8_t *prev = check_chain(v, &l);
    if (prev != NULL && check_signature(v, &l, prev))
        heed(v, &l);
    if (prev != NULL && v->line == 1)
        check_size(v, &l);
    if (prev == NULL)
        memcpy(v->other, l.hash, AUDIT_HASH);
    v->unknown = false;
    v->seq = l.seq;
    memcpy(v->hash, l.hash, AUDIT_HASH);
    meet(v);
    v->out->records++;
    if (v->out->first_seq == 0)
        v->out->first_seq = l.seq;
    if (audit_member_text(l.content, "time", &time) && time.len < TIMEFMT_MAX) {
        memcpy(v->out->last_time, time.ptr, time.len);
        v->out->last_time[time.len] = '\0';
    }
}

/* ---- one file ---- */

/* How much of a file counts, as the next one tells; SIZE_MAX: all. */
static size_t counted_bytes(struct verify *v, uint64_t next, bool *error)
{
    char text[AUDIT_FIRST_MAX];
    struct audit_line l;
    uint64_t size, whole;
    strv why;
    *error = false;
    if (next == 0 || !audit_first(v->check->dir, next, text, &l, &whole) ||
        !strv_eq_cstr(l.type, "open") || !audit_member_u64(l.content, "prev_size", &size) ||
        !audit_member_text(l.content, "why", &why))
        return SIZE_MAX;
    *error = strv_eq_cstr(why, "error");
    return size < SIZE_MAX ? (size_t)size : SIZE_MAX;
}

static void take_file(struct verify *v, const struct audit_map *m, size_t counts, bool error,
                      bool newest)
{
    size_t end = m->size, at = 0;
    if (error && counts < end)
        end = counts;
    v->line = 0;
    while (at < end && !v->enough) {
        const char *text = m->data + at;
        const char *stop = memchr(text, '\n', end - at);
        v->line++;
        if (stop == NULL && newest)
            REMARK(v, 0, "the last line is unfinished; the next start cuts it off");
        else if (stop == NULL)
            PROBLEM(v, v->seq + 1, "the file ends within a line");
        if (stop == NULL)
            break;
        take_line(v, (strv){text, (size_t)(stop - text)});
        at += (size_t)(stop - text) + 1;
    }
    v->line = 0;
    if (error && counts < m->size)
        REMARK(v, v->seq,
               "%zu bytes at its end were written but not made durable; they do not count",
               m->size - counts);
    else if (m->size == 0 && !newest)
        PROBLEM(v, 0, "it is empty");
}

static bool check_files(struct verify *v, const struct audit_files *files, struct err *err)
{
    for (size_t i = 0; i < files->n && !v->enough; i++) {
        struct audit_map m;
        bool error, newest = i + 1 == files->n;
        v->number = files->numbers[i];
        audit_name(v->name, v->number);
        v->line = 0;
        if (v->last_number != 0 && v->number != v->last_number + 1)
            PROBLEM(v, 0, "the files from number %llu to %llu are missing before it",
                    N(v->last_number + 1), N(v->number - 1));
        size_t counts = counted_bytes(v, newest ? 0 : files->numbers[i + 1], &error);
        if (!newest && files->numbers[i + 1] != v->number + 1)
            counts = SIZE_MAX; /* it tells of another one */
        if (!audit_map(v->check->dir, v->number, &m, err)) {
            audit_unmap(&m);
            return false;
        }
        if (i == 0)
            v->begin_file = v->number;
        size_t size = m.size;
        take_file(v, &m, counts, error, newest);
        audit_unmap(&m);
        v->last_number = v->number;
        v->last_bytes = size;
        v->out->files++;
    }
    return true;
}

/* ---- the whole ---- */

static void check_beginning(struct verify *v)
{
    audit_name(v->name, v->begin_file);
    if (v->begin_file <= 1)
        return;
    if (!v->retired || v->through + 1 < v->begin_file)
        PROBLEM(v, 0, "the files before it are missing, and no record says that they were retired");
    else if (v->through + 1 == v->begin_file &&
             (v->last != v->begin_seq || memcmp(v->end, v->begin_hash, AUDIT_HASH) != 0))
        PROBLEM(v, v->begin_seq + 1, "it does not follow what was retired before it");
}

static void check_end(struct verify *v)
{
    snprintf(v->name, sizeof v->name, "head");
    v->line = 0;
    if (v->head_state == AUDIT_HEAD_NONE && v->out->files > 0)
        PROBLEM(v, 0, "it is missing: whether records are missing at the end cannot be told");
    else if (v->head_state == AUDIT_HEAD_BAD)
        PROBLEM(v, 0, "it is not one of ours, or of another key");
    else if (v->head_state == AUDIT_HEAD_GOOD && v->head.seq > v->seq)
        PROBLEM(
            v, v->head.seq,
            "records %llu to %llu are missing at the end (or files were copied before the head)",
            N(v->seq + 1), N(v->head.seq));
    else if (v->head_state == AUDIT_HEAD_GOOD && !v->head_met && v->head.seq > 0)
        PROBLEM(v, v->head.seq, "the record it knows is not there");
    if (v->check->expect_seq != 0 && !v->expect_met)
        PROBLEM(v, v->check->expect_seq, "this record was expected and is not there");
    uint64_t known = v->signed_seq;
    if (v->head_met && v->head.seq > known)
        known = v->head.seq;
    v->out->unsigned_records = v->seq > known ? v->seq - known : 0;
    if (v->out->unsigned_records > 0)
        REMARK(v, 0, "the last %llu records are not signed yet", N(v->out->unsigned_records));
}

bool audit_verify(const struct audit_check *check, struct audit_count *out, struct err *err)
{
    struct verify v = {.check = check, .out = out};
    struct audit_files files = {NULL, 0};
    *out = (struct audit_count){0};
    v.key = v.trusted = audit_key_load_public(check->public_key, err);
    if (v.key == NULL)
        return false;
    bool ok = audit_hasher_init(&v.hasher) || err_oom(err);
    v.head_state = audit_head_read(check->dir, v.key, &v.head);
    ok = ok && audit_list(check->dir, &files, err);
    if (ok)
        look_for_keys(&v, &files);
    if (v.head_state == AUDIT_HEAD_GOOD && v.head.seq == 0)
        v.head_met = true;
    if (ok && v.head_state == AUDIT_HEAD_UNREAD)
        ok = err_set(err, 0, "the head of %.200s cannot be read", check->dir);
    ok = ok && check_files(&v, &files, err);
    if (ok && !v.enough && files.n > 0)
        check_beginning(&v);
    if (ok && !v.enough)
        check_end(&v);
    out->last_seq = v.seq;
    memcpy(out->last_hash, v.hash, AUDIT_HASH);
    audit_list_free(&files);
    audit_hasher_fini(&v.hasher);
    if (v.key != v.trusted)
        audit_key_free(v.key);
    audit_key_free(v.trusted);
    return ok;
}
