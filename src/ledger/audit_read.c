/* SPDX-License-Identifier: Apache-2.0 */
/* audit_read - the files of the audit as they lie there: their list, their lines, the head. */
#include "ledger/audit_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_PREFIX "audit-"
#define NAME_SUFFIX ".jsonl"
#define DIGITS      8 /* at least */

/* ---- files ---- */

void audit_name(char out[AUDIT_NAME_MAX], uint64_t number)
{
    snprintf(out, AUDIT_NAME_MAX, NAME_PREFIX "%0*llu" NAME_SUFFIX, DIGITS,
             (unsigned long long)(number % 1000000000000000));
}

/* 0 = not one of ours. */
static uint64_t number_of(const char *name)
{
    strv text = strv_of(name);
    uint64_t n;
    char again[AUDIT_NAME_MAX];
    if (!strv_starts(text, STRV(NAME_PREFIX)) || !strv_ends(text, STRV(NAME_SUFFIX)) ||
        text.len < sizeof NAME_PREFIX + sizeof NAME_SUFFIX - 1)
        return 0;
    strv digits = {name + sizeof NAME_PREFIX - 1,
                   text.len - sizeof NAME_PREFIX - sizeof NAME_SUFFIX + 2};
    if (!strv_u64(digits, 1, 999999999999999, &n))
        return 0;
    audit_name(again, n);
    return strcmp(again, name) == 0 ? n : 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool audit_list(const char *dir, struct audit_files *out, struct err *err)
{
    size_t cap = 0;
    struct dirent *e;
    *out = (struct audit_files){NULL, 0};
    DIR *d = opendir(dir);
    if (d == NULL)
        return err_set(err, 0, "%.200s: %s", dir, strerror(errno));
    while ((e = readdir(d)) != NULL) {
        uint64_t n = number_of(e->d_name);
        if (n == 0)
            continue;
        if (out->n == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            uint64_t *more = mem_realloc(out->numbers, cap * sizeof *more);
            if (more == NULL) {
                closedir(d);
                audit_list_free(out);
                return err_oom(err);
            }
            out->numbers = more;
        }
        out->numbers[out->n++] = n;
    }
    closedir(d);
    if (out->n > 0)
        qsort(out->numbers, out->n, sizeof *out->numbers, by_number);
    return true;
}

void audit_list_free(struct audit_files *f)
{
    mem_free(f->numbers);
    *f = (struct audit_files){NULL, 0};
}

static bool read_whole(int fd, struct audit_map *out, off_t size)
{
    char *at = mem_alloc((size_t)size + 1);
    if (at == NULL) {
        errno = ENOMEM;
        return false;
    }
    size_t n = 0;
    while (n < (size_t)size) {
        ssize_t got = read(fd, at + n, (size_t)size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int why = errno;
            mem_free(at);
            errno = why;
            return false;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *out = (struct audit_map){at, n};
    return true;
}

/* Read, not mapped: the writer may cut a record off that it could not write whole. */
bool audit_map(const char *dir, uint64_t number, struct audit_map *out, struct err *err)
{
    char name[AUDIT_NAME_MAX], path[4096];
    struct stat st;
    *out = (struct audit_map){NULL, 0};
    audit_name(name, number);
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return err_set(err, 0, "the path is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (ok && !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, 0, "%.200s is not a file", path);
    }
    ok = ok && read_whole(fd, out, st.st_size);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (ok)
        return true;
    return why == ENOMEM ? err_oom(err) : err_set(err, why, "%.200s: %s", path, strerror(why));
}

void audit_unmap(struct audit_map *m)
{
    mem_free(m->data);
    *m = (struct audit_map){NULL, 0};
}

bool audit_first(const char *dir, uint64_t number, char text[AUDIT_FIRST_MAX],
                 struct audit_line *out, uint64_t *size)
{
    char name[AUDIT_NAME_MAX], path[4096];
    struct stat st;
    audit_name(name, number);
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, text, AUDIT_FIRST_MAX, 0) : -1;
    close(fd);
    const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
    *size = end != NULL ? (uint64_t)st.st_size : 0;
    return end != NULL && audit_parse((strv){text, (size_t)(end - text)}, out);
}

/* ---- lines ---- */

static bool take(strv *rest, strv literal)
{
    if (!strv_starts(*rest, literal))
        return false;
    *rest = strv_from(*rest, literal.len);
    return true;
}

/* Digits without a sign or leading zeros. */
static bool take_u64(strv *rest, uint64_t *out)
{
    size_t n = 0;
    uint64_t v = 0;
    while (n < rest->len && n < 18 && rest->ptr[n] >= '0' && rest->ptr[n] <= '9')
        v = v * 10 + (uint64_t)(rest->ptr[n++] - '0');
    if (n == 0 || (rest->ptr[0] == '0' && n > 1))
        return false;
    *out = v;
    *rest = strv_from(*rest, n);
    return true;
}

/* A text without escapes, up to its quote. */
static bool take_word(strv *rest, strv *out)
{
    const char *quote = memchr(rest->ptr, '"', rest->len);
    if (quote == NULL)
        return false;
    *out = (strv){rest->ptr, (size_t)(quote - rest->ptr)};
    *rest = strv_from(*rest, out->len + 1);
    return true;
}

bool audit_parse(strv line, struct audit_line *out)
{
    strv rest = line, time;
    if (line.len < AUDIT_TAIL || line.len > AUDIT_LINE_MAX)
        return false;
    strv tail = strv_from(line, line.len - AUDIT_TAIL);
    out->content = (strv){line.ptr, line.len - AUDIT_TAIL};
    return take(&tail, STRV(AUDIT_HASH_MARK)) && tail.ptr[2 * AUDIT_HASH] == '"' &&
           tail.ptr[2 * AUDIT_HASH + 1] == '}' &&
           audit_get_hex((strv){tail.ptr, 2 * (size_t)AUDIT_HASH}, out->hash, AUDIT_HASH) &&
           take(&rest, STRV("{\"seq\":")) && take_u64(&rest, &out->seq) &&
           take(&rest, STRV(",\"time\":\"")) && take_word(&rest, &time) &&
           take(&rest, STRV(",\"type\":\"")) && take_word(&rest, &out->type) &&
           rest.ptr <= out->content.ptr + out->content.len;
}

bool audit_parse_sig(strv content, strv *rest, uint8_t sig[AUDIT_SIG])
{
    if (content.len < AUDIT_SIG_TAIL)
        return false;
    *rest = (strv){content.ptr, content.len - AUDIT_SIG_TAIL};
    strv tail = strv_from(content, rest->len);
    return take(&tail, STRV(AUDIT_SIG_MARK)) && tail.ptr[2 * AUDIT_SIG] == '"' &&
           audit_get_hex((strv){tail.ptr, 2 * (size_t)AUDIT_SIG}, sig, AUDIT_SIG);
}

/* Behind `,"key":`; only for members whose texts need no escapes, in records of the writer's own making. */
static bool find_member(strv content, const char *key, strv *out)
{
    char mark[48];
    int n = snprintf(mark, sizeof mark, ",\"%s\":", key);
    for (const char *at = content.ptr, *end = content.ptr + content.len;
         (at = memchr(at, ',', (size_t)(end - at))) != NULL; at++) {
        *out = (strv){at, (size_t)(end - at)};
        if (take(out, (strv){mark, (size_t)n}))
            return true;
    }
    return false;
}

bool audit_member_u64(strv content, const char *key, uint64_t *out)
{
    strv rest;
    return find_member(content, key, &rest) && take_u64(&rest, out);
}

bool audit_member_text(strv content, const char *key, strv *out)
{
    strv rest;
    return find_member(content, key, &rest) && take(&rest, STRV("\"")) && take_word(&rest, out);
}

bool audit_member_hex(strv content, const char *key, uint8_t *out, size_t n)
{
    strv text;
    return audit_member_text(content, key, &text) && audit_get_hex(text, out, n);
}

/* ---- head ---- */

static const uint8_t no_hash[AUDIT_HASH];

bool audit_head_print(const struct audit_head *h, const struct audit_key *key,
                      char out[AUDIT_HEAD_BYTES])
{
    struct buf b;
    uint8_t sig[AUDIT_SIG];
    buf_init(&b, AUDIT_HEAD_BYTES);
    buf_printf(&b, "{\"head\":1,\"file\":%llu,\"seq\":%llu,\"hash\":\"",
               (unsigned long long)h->file, (unsigned long long)h->seq);
    audit_put_hex(&b, h->hash, AUDIT_HASH);
    buf_put_char(&b, '"');
    bool ok = !b.failed && audit_sign(key, AUDIT_FOR_HEAD, no_hash, buf_view(&b), sig);
    buf_put_cstr(&b, AUDIT_SIG_MARK);
    audit_put_hex(&b, sig, ok ? AUDIT_SIG : 0);
    buf_put_cstr(&b, "\"}");
    ok = ok && !b.failed && buf_len(&b) < AUDIT_HEAD_BYTES;
    if (ok) {
        memset(out, ' ', AUDIT_HEAD_BYTES - 1);
        out[AUDIT_HEAD_BYTES - 1] = '\n';
        memcpy(out, buf_view(&b).ptr, buf_len(&b));
    }
    buf_fini(&b);
    return ok;
}

/* One spelling only: whatever else stands there has been put there. */
static enum audit_head_state head_parse(strv text, const struct audit_key *key,
                                        struct audit_head *out)
{
    static const enum audit_head_state states[] = {[AUDIT_FORGED] = AUDIT_HEAD_BAD,
                                                   [AUDIT_PROVEN] = AUDIT_HEAD_GOOD,
                                                   [AUDIT_NO_MEMORY] = AUDIT_HEAD_UNREAD};
    uint8_t sig[AUDIT_SIG];
    strv rest, signed_part;
    if (text.len != AUDIT_HEAD_BYTES || text.ptr[AUDIT_HEAD_BYTES - 1] != '\n')
        return AUDIT_HEAD_BAD;
    text.len--;
    while (text.len > 0 && text.ptr[text.len - 1] == ' ')
        text.len--;
    if (text.len < 2 || text.ptr[text.len - 1] != '}')
        return AUDIT_HEAD_BAD;
    text.len--;
    rest = text;
    bool form = audit_parse_sig(text, &signed_part, sig) &&
                take(&rest, STRV("{\"head\":1,\"file\":")) && take_u64(&rest, &out->file) &&
                take(&rest, STRV(",\"seq\":")) && take_u64(&rest, &out->seq) &&
                audit_member_hex(signed_part, "hash", out->hash, AUDIT_HASH);
    return form ? states[audit_signed(key, AUDIT_FOR_HEAD, no_hash, signed_part, sig)]
                : AUDIT_HEAD_BAD;
}

enum audit_head_state audit_head_read(const char *dir, const struct audit_key *key,
                                      struct audit_head *out)
{
    char path[4096], text[AUDIT_HEAD_BYTES + 1];
    *out = (struct audit_head){0};
    if (snprintf(path, sizeof path, "%s/head", dir) >= (int)sizeof path)
        return AUDIT_HEAD_BAD;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT  ? AUDIT_HEAD_NONE
               : errno == ELOOP ? AUDIT_HEAD_BAD
                                : AUDIT_HEAD_UNREAD;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    if (n < 0)
        return AUDIT_HEAD_UNREAD;
    return head_parse((strv){text, (size_t)n}, key, out);
}

/* ---- all lines, for those who look ---- */

static void each_line(const struct audit_map *m, struct audit_place *place,
                      bool (*fn)(void *arg, strv line), void *arg, bool *enough)
{
    while (place->offset < m->size) {
        const char *at = m->data + place->offset;
        const char *end = memchr(at, '\n', m->size - (size_t)place->offset);
        if (end == NULL)
            return; /* not whole yet */
        place->offset += (uint64_t)(end - at) + 1;
        if (!fn(arg, (strv){at, (size_t)(end - at)})) {
            *enough = true;
            return;
        }
    }
}

bool audit_each(const char *dir, struct audit_place *place, bool (*fn)(void *arg, strv line),
                void *arg, struct err *err)
{
    struct audit_files files;
    bool ok = true, enough = false;
    if (access(dir, F_OK) != 0 && errno == ENOENT)
        return true;
    if (!audit_list(dir, &files, err))
        return false;
    for (size_t i = 0; ok && !enough && i < files.n; i++) {
        struct audit_map m;
        if (files.numbers[i] < place->file)
            continue;
        if (files.numbers[i] > place->file)
            *place = (struct audit_place){files.numbers[i], 0};
        ok = audit_map(dir, files.numbers[i], &m, err);
        if (ok)
            each_line(&m, place, fn, arg, &enough);
        audit_unmap(&m);
    }
    audit_list_free(&files);
    return ok;
}

static bool each_line_back(const struct audit_map *m, bool (*fn)(void *arg, strv line), void *arg)
{
    size_t end = m->size;
    while (end > 0 && m->data[end - 1] != '\n') /* the last one may not be whole yet */
        end--;
    while (end > 0) {
        size_t begin = end - 1;
        while (begin > 0 && m->data[begin - 1] != '\n')
            begin--;
        if (!fn(arg, (strv){m->data + begin, end - 1 - begin}))
            return false;
        end = begin;
    }
    return true;
}

bool audit_each_back(const char *dir, bool (*fn)(void *arg, strv line), void *arg, struct err *err)
{
    struct audit_files files;
    bool ok = true, more = true;
    if (access(dir, F_OK) != 0 && errno == ENOENT)
        return true;
    if (!audit_list(dir, &files, err))
        return false;
    for (size_t i = files.n; ok && more && i > 0; i--) {
        struct audit_map m;
        ok = audit_map(dir, files.numbers[i - 1], &m, err);
        more = ok && each_line_back(&m, fn, arg);
        audit_unmap(&m);
    }
    audit_list_free(&files);
    return ok;
}
