/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_trail - the files of the audit, and the end of the chain.
 *
 *   state_dir/audit/  lock   held by the one process that writes
 *                     head   file, number and digest of the last durable record, signed; one sector
 *                     audit-00000001.jsonl, audit-00000002.jsonl, ...
 *
 *   add  add  add  commit: write > fdatasync > head > durable
 *
 * A new key (audit.key.next) is named in a record that the old one signs, takes its place, and begins the next file. Until
 * the head is signed with it a start that finds the new key in place asks the newest file for the old one.
 *
 * The first record of a file tells the digest and the length of the one before. What a failed write left behind
 * is cut off; where that is not sure any more (fdatasync failed: nobody knows what the disk holds) the file is
 * left as it is and the next one tells up to where it counts.
 *
 * At start the last file is read against the head. An unfinished last line is cut off and a record says so. A
 * line that does not fit, or records that the head knows and the file has not, are never repaired: a record
 * says so, the chain goes on behind what the head knew, and every later check finds the gap.
 */
#include "ledger/audit_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECKPOINT_RECORDS 4096
#define RETIRE_EVERY_US    ((int64_t)3600 * 1000000)
#define OUT_MAX            ((size_t)32 * 1024 * 1024)
#define BODY_MAX           1024 /* of the records that are made here */

/* ---- the system ---- */

static ssize_t disk_write(void *arg, int fd, const void *data, size_t n)
{
    (void)arg;
    return write(fd, data, n);
}

static int disk_sync(void *arg, int fd)
{
    (void)arg;
    return fdatasync(fd);
}

static int disk_open(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    (void)arg;
    return openat(dir, name, flags, mode);
}

static int disk_truncate(void *arg, int fd, off_t size)
{
    (void)arg;
    return ftruncate(fd, size);
}

static int disk_remove(void *arg, int dir, const char *name)
{
    (void)arg;
    return unlinkat(dir, name, 0);
}

static int64_t disk_wall_us(void *arg)
{
    struct timespec now;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const struct audit_disk audit_disk_system = {
    disk_write, disk_sync, disk_open, disk_truncate, disk_remove, disk_wall_us, NULL,
};

/* ---- birth and death ---- */

bool audit_trail_init(struct audit_trail *t, const struct audit_opts *opts,
                      const struct audit_disk *disk, struct log *log)
{
    *t = (struct audit_trail){.opts = *opts,
                              .disk = disk,
                              .log = log,
                              .dir_fd = -1,
                              .lock_fd = -1,
                              .fd = -1,
                              .head_fd = -1,
                              .renew_due = true,
                              .why = "start"};
    buf_init(&t->out, OUT_MAX);
    t->opts.dir = mem_strdup(opts->dir);
    t->opts.key = mem_strdup(opts->key);
    if (t->opts.dir != NULL && t->opts.key != NULL && audit_hasher_init(&t->hasher))
        return true;
    audit_trail_fini(t);
    return false;
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void audit_trail_fini(struct audit_trail *t)
{
    shut(&t->fd);
    shut(&t->head_fd);
    shut(&t->lock_fd);
    shut(&t->dir_fd);
    buf_fini(&t->out);
    audit_hasher_fini(&t->hasher);
    audit_key_free(t->key);
    mem_free((char *)(uintptr_t)t->opts.dir);
    mem_free((char *)(uintptr_t)t->opts.key);
    t->key = NULL;
    t->opts.dir = t->opts.key = NULL;
    t->open = false;
}

void audit_trail_set(struct audit_trail *t, const struct audit_opts *opts)
{
    const char *dir = t->opts.dir, *key = t->opts.key;
    t->opts = *opts;
    t->opts.dir = dir;
    t->opts.key = key;
    t->renew_due = true;
}

/* Makes the folder and those above it. */
static bool make_folders(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len + 2 > sizeof part)
        return err_set(err, 0, "%.100s...: the path is too long", path);
    memcpy(part, path, len);
    memcpy(part + len, "/", 2);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_set(err, 0, "the folder %.200s cannot be made: %s", part, strerror(errno));
        *slash = '/';
    }
    return true;
}

static bool system_error(struct err *err, const char *what)
{
    return err_set(err, errno, "%.100s: %s", what, strerror(errno));
}

static bool open_dir(struct audit_trail *t, struct err *err)
{
    struct stat st;
    if (t->dir_fd >= 0)
        return true;
    if (!make_folders(t->opts.dir, err))
        return false;
    t->dir_fd = open(t->opts.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dir_fd < 0)
        return system_error(err, t->opts.dir);
    if (fstat(t->dir_fd, &st) == 0 && (st.st_mode & S_IWOTH) == 0)
        return true;
    shut(&t->dir_fd);
    return err_set(err, 0, "the folder %.200s can be written by everyone; chmod 700 it",
                   t->opts.dir);
}

bool audit_trail_lock(struct audit_trail *t, bool *taken, struct err *err)
{
    char text[24];
    *taken = false;
    if (t->lock_fd >= 0)
        return true;
    if (!open_dir(t, err) || t->dir_fd < 0)
        return false;
    int fd = openat(t->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return system_error(err, "lock");
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        *taken = errno == EWOULDBLOCK;
        system_error(err, "lock");
        close(fd);
        if (*taken) {
            err_clear(err);
            err_set(err, 0, "another router writes its audit to %.200s", t->opts.dir);
        }
        return false;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n) {
        /* for people only: the lock holds without it */
    }
    t->lock_fd = fd;
    return true;
}

void audit_trail_yield(struct audit_trail *t)
{
    t->open = false;
    shut(&t->fd);
    shut(&t->head_fd);
    shut(&t->lock_fd);
}

/* ---- records ---- */

static bool refused(struct audit_trail *t, size_t before)
{
    buf_rewind(&t->out, before);
    return false;
}

static strv since(const struct audit_trail *t, size_t before)
{
    return strv_from(buf_view(&t->out), before);
}

static bool add(struct audit_trail *t, strv body, bool sign)
{
    static const uint8_t blank[AUDIT_SIG];
    uint8_t sig[AUDIT_SIG], hash[AUDIT_HASH];
    struct buf *b = &t->out;
    size_t before = buf_len(b);
    strv prev = {(const char *)t->next_hash, AUDIT_HASH};
    buf_put_cstr(b, "{\"seq\":");
    buf_put_u64(b, t->next_seq + 1);
    buf_put_char(b, ',');
    buf_put_strv(b, body);
    if (sign) {
        if (b->failed || !audit_sign(t->key, AUDIT_FOR_RECORD, t->next_hash, since(t, before), sig))
            memcpy(sig, blank, sizeof sig);
        buf_put_cstr(b, AUDIT_SIG_MARK);
        audit_put_hex(b, sig, AUDIT_SIG);
        buf_put_char(b, '"');
    }
    if (b->failed || (sign && memcmp(sig, blank, sizeof sig) == 0) ||
        !audit_hash(&t->hasher, prev, since(t, before), hash))
        return refused(t, before);
    buf_put_cstr(b, AUDIT_HASH_MARK);
    audit_put_hex(b, hash, AUDIT_HASH);
    buf_put_cstr(b, "\"}\n");
    if (b->failed || buf_len(b) - before > AUDIT_LINE_MAX)
        return refused(t, before);
    t->next_seq++;
    memcpy(t->next_hash, hash, AUDIT_HASH);
    return true;
}

bool audit_trail_add(struct audit_trail *t, strv body)
{
    return add(t, body, false);
}

bool audit_trail_add_signed(struct audit_trail *t, strv body)
{
    return add(t, body, true);
}

static void undo(struct audit_trail *t)
{
    buf_clear(&t->out);
    t->next_seq = t->seq;
    memcpy(t->next_hash, t->hash, AUDIT_HASH);
}

/* A record that is made here: begins with type and time; finish with put_body(). */
static void begin_body(struct audit_trail *t, struct buf *b, const char *type)
{
    buf_init(b, BODY_MAX);
    audit_put_begin(b, t->disk->wall_us(t->disk->arg), type);
}

static bool put_body(struct audit_trail *t, struct buf *b, bool sign, struct err *err)
{
    bool ok = !b->failed && add(t, buf_view(b), sign);
    buf_fini(b);
    return ok || err_oom(err);
}

/* ---- a file begins and ends ---- */

/* The file is no longer written to. */
static void end_file(struct audit_trail *t, const char *why)
{
    shut(&t->fd);
    t->why = why;
    t->last_size = t->size;
}

/* Nobody knows what this file holds on the disk. One in which nothing is durable goes; if it cannot, the next
 * start removes it. */
static void abandon_file(struct audit_trail *t)
{
    char name[AUDIT_NAME_MAX];
    if (t->size > 0) {
        end_file(t, "error");
        return;
    }
    shut(&t->fd);
    audit_name(name, t->file);
    t->disk->remove(t->disk->arg, t->dir_fd, name);
    t->file--; /* `why` and `last_size` still tell of the file before */
}

static bool begin_file(struct audit_trail *t, struct err *err)
{
    char name[AUDIT_NAME_MAX];
    struct buf b;
    audit_name(name, t->file + 1);
    int fd = t->disk->open(t->disk->arg, t->dir_fd, name,
                           O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return system_error(err, name);
    t->fd = fd;
    t->file++;
    t->size = 0;
    begin_body(t, &b, "open");
    buf_printf(&b, ",\"format\":%d,\"file\":%llu,\"why\":\"%s\",\"prev_size\":%llu,\"prev\":\"",
               AUDIT_FORMAT, (unsigned long long)t->file, t->why, (unsigned long long)t->last_size);
    audit_put_hex(&b, t->hash, AUDIT_HASH);
    buf_put_cstr(&b, "\",\"key\":\"");
    audit_put_hex(&b, audit_key_bytes(t->key), 32);
    buf_put_cstr(&b, "\",\"version\":\"" LLM_ROUTER_VERSION "\"");
    timefmt_rfc3339(t->opened, t->disk->wall_us(t->disk->arg), 6);
    if (t->disk->sync(t->disk->arg, t->dir_fd) == 0 && put_body(t, &b, true, err))
        return true;
    system_error(err, name);
    buf_fini(&b);
    abandon_file(t);
    return false;
}

bool audit_trail_begin(struct audit_trail *t, struct err *err)
{
    undo(t);
    return t->fd >= 0 || begin_file(t, err);
}

/* ---- writing ---- */

/* Where the disk is full the file itself is sound. */
static bool is_full(int why)
{
    return why == ENOSPC || why == EDQUOT;
}

static bool give_up(struct audit_trail *t, int why, const char *what, struct err *err)
{
    bool sound =
        is_full(why) && what != NULL && t->disk->truncate(t->disk->arg, t->fd, (off_t)t->size) == 0;
    if (!sound && t->size > 0) /* best effort: the next file tells what counts */
        t->disk->truncate(t->disk->arg, t->fd, (off_t)t->size);
    if (!sound || t->size == 0)
        abandon_file(t);
    undo(t);
    return err_set(err, why, "%.200s: %s", t->opts.dir, strerror(why));
}

static bool write_all(struct audit_trail *t, strv text)
{
    while (text.len > 0) {
        ssize_t n = t->disk->write(t->disk->arg, t->fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0) {
            errno = ENOSPC;
            return false;
        }
        text = strv_from(text, (size_t)n);
    }
    return true;
}

static bool write_head(struct audit_trail *t, bool sync)
{
    char text[AUDIT_HEAD_BYTES];
    struct audit_head h = {.file = t->file, .seq = t->seq};
    memcpy(h.hash, t->hash, AUDIT_HASH);
    bool ok = audit_head_print(&h, t->key, text) &&
              pwrite(t->head_fd, text, sizeof text, 0) == (ssize_t)sizeof text;
    t->head_ok = ok && (!sync || t->disk->sync(t->disk->arg, t->head_fd) == 0);
    return t->head_ok;
}

bool audit_trail_commit(struct audit_trail *t, struct err *err)
{
    strv text = buf_view(&t->out);
    if (t->fd < 0) {
        undo(t);
        return err_set(err, 0, "no file is open");
    }
    if (text.len == 0)
        return true;
    if (!write_all(t, text))
        return give_up(t, errno, "write", err);
    if (t->disk->sync(t->disk->arg, t->fd) != 0)
        return give_up(t, errno, NULL, err);
    t->size += text.len;
    t->seq = t->next_seq;
    memcpy(t->hash, t->next_hash, AUDIT_HASH);
    buf_clear(&t->out);
    write_head(t, false); /* if not: told by head_ok */
    return true;
}

/* ---- what is due ---- */

static bool is_past(const struct audit_trail *t, const char *when, uint64_t age_ms)
{
    char then[TIMEFMT_MAX];
    int64_t now = t->disk->wall_us(t->disk->arg);
    int64_t age = age_ms < (uint64_t)INT64_MAX / 2000 ? (int64_t)age_ms * 1000 : INT64_MAX / 2;
    if (now < age)
        return false;
    timefmt_rfc3339(then, now - age, 6);
    return strcmp(when, then) < 0; /* of one form: the order of texts is that of times */
}

static bool checkpoint(struct audit_trail *t, struct err *err)
{
    struct buf b;
    if (t->seq == t->signed_seq)
        return true;
    if (!audit_trail_begin(t, err))
        return false;
    begin_body(t, &b, "checkpoint");
    buf_printf(&b, ",\"since\":%llu", (unsigned long long)t->signed_seq);
    if (!put_body(t, &b, true, err) || !audit_trail_commit(t, err))
        return false;
    t->signed_seq = t->seq;
    t->signed_us = t->disk->wall_us(t->disk->arg);
    char hash[2 * AUDIT_HASH + 1];
    for (size_t i = 0; i < AUDIT_HASH; i++)
        snprintf(hash + 2 * i, 3, "%02x", t->hash[i]);
    LOG(t->log, LOG_INFO, "audit_checkpoint", LOG_I(SEQ, t->seq), LOG_C(HASH, hash));
    return write_head(t, true) || system_error(err, "head");
}

static bool checkpoint_due(const struct audit_trail *t)
{
    int64_t age = t->disk->wall_us(t->disk->arg) - t->signed_us;
    return t->seq - t->signed_seq >= CHECKPOINT_RECORDS || age < 0 ||
           (uint64_t)age / 1000 >= t->opts.checkpoint_ms;
}

/* The first line of a file: what it says of the one before. */
static bool look_at(const struct audit_trail *t, uint64_t number, char time[TIMEFMT_MAX],
                    uint64_t *seq, uint8_t prev[AUDIT_HASH], uint64_t *size)
{
    char text[AUDIT_FIRST_MAX];
    struct audit_line line;
    strv when;
    if (!audit_first(t->opts.dir, number, text, &line, size) || line.seq == 0 ||
        !audit_member_text(line.content, "time", &when) || when.len >= TIMEFMT_MAX ||
        !audit_member_hex(line.content, "prev", prev, AUDIT_HASH))
        return false;
    memcpy(time, when.ptr, when.len);
    time[when.len] = '\0';
    *seq = line.seq;
    return true;
}

struct retiring {
    uint64_t through, last; /* file, and its last record */
    uint8_t end[AUDIT_HASH];
};

/* The oldest files that are older, or more, than is to be kept. The newest never is. */
static void find_retired(const struct audit_trail *t, const struct audit_files *files,
                         struct retiring *out)
{
    uint64_t total = 0, seq, size;
    uint8_t prev[AUDIT_HASH];
    char time[TIMEFMT_MAX];
    for (size_t i = 0; i < files->n; i++)
        total += look_at(t, files->numbers[i], time, &seq, prev, &size) ? size : 0;
    uint64_t first = 0; /* bytes of the file that may go */
    for (size_t i = 0; i + 1 < files->n; i++) {
        if (!look_at(t, files->numbers[i], time, &seq, prev, &first) ||
            !look_at(t, files->numbers[i + 1], time, &seq, prev, &size))
            return; /* what is damaged is evidence */
        bool old = t->opts.keep_days > 0 && is_past(t, time, t->opts.keep_days * 86400000);
        bool much = t->opts.keep_bytes > 0 && total > t->opts.keep_bytes;
        if (!old && !much)
            return;
        total -= first;
        *out = (struct retiring){.through = files->numbers[i], .last = seq - 1};
        memcpy(out->end, prev, AUDIT_HASH);
    }
}

static void remove_retired(struct audit_trail *t, const struct audit_files *files, uint64_t through)
{
    char name[AUDIT_NAME_MAX];
    for (size_t i = 0; i < files->n && files->numbers[i] <= through; i++) {
        audit_name(name, files->numbers[i]);
        if (t->disk->remove(t->disk->arg, t->dir_fd, name) != 0)
            return; /* the next time */
    }
}

/* First the record that they may go, then they go. */
static bool retire(struct audit_trail *t, struct err *err)
{
    struct audit_files files;
    struct retiring r = {0};
    struct buf b;
    t->retired_us = t->disk->wall_us(t->disk->arg);
    if (t->opts.keep_days == 0 && t->opts.keep_bytes == 0)
        return true;
    if (!audit_list(t->opts.dir, &files, NULL))
        return true; /* the next time: nothing is in the way of writing */
    find_retired(t, &files, &r);
    bool ok = true;
    if (r.through > 0 && r.through < t->file) {
        ok = audit_trail_begin(t, err);
        if (ok) {
            begin_body(t, &b, "retire");
            buf_printf(&b, ",\"through\":%llu,\"last\":%llu,\"end\":\"",
                       (unsigned long long)r.through, (unsigned long long)r.last);
            audit_put_hex(&b, r.end, AUDIT_HASH);
            buf_put_char(&b, '"');
            ok = put_body(t, &b, true, err) && audit_trail_commit(t, err);
        }
        if (ok) {
            remove_retired(t, &files, r.through);
            LOG(t->log, LOG_INFO, "audit_retired", LOG_I(COUNT, r.through), LOG_I(SEQ, r.last));
        }
    }
    audit_list_free(&files);
    return ok;
}

/* ---- another key ---- */

static bool tell_next(struct audit_trail *t, const struct audit_key *next, struct err *err)
{
    struct buf b;
    if (!audit_trail_begin(t, err))
        return false;
    begin_body(t, &b, "key");
    buf_put_cstr(&b, ",\"next\":\"");
    audit_put_hex(&b, audit_key_bytes(next), 32);
    buf_put_char(&b, '"');
    return put_body(t, &b, true, err) && audit_trail_commit(t, err);
}

/* From its record on the old key signs nothing more: the next file is the new one's. A crash before the name is changed
 * does it all once more. */
static bool take_next(struct audit_trail *t, const char *path, struct audit_key *next,
                      struct err *err)
{
    if (!tell_next(t, next, err))
        return false;
    if (rename(path, t->opts.key) != 0 || !audit_key_settle(t->opts.key))
        return system_error(err, t->opts.key);
    audit_key_follow(next, t->key);
    t->key = next;
    end_file(t, "key");
    LOG(t->log, LOG_WARN, "audit_key_changed", LOG_I(SEQ, t->seq));
    if (!audit_trail_begin(t, err) || !audit_trail_commit(t, err))
        return false;
    t->signed_seq = t->seq; /* its first record is signed */
    return true;
}

/* One that cannot be read changes nothing. */
static bool renew(struct audit_trail *t, struct err *err)
{
    char path[PATH_MAX];
    struct err why = ERR_INIT;
    t->renew_due = false;
    if (snprintf(path, sizeof path, "%s" AUDIT_KEY_NEXT, t->opts.key) >= (int)sizeof path ||
        access(path, F_OK) != 0)
        return true;
    struct audit_key *next = audit_key_load(path, &why);
    if (next == NULL) {
        LOG(t->log, LOG_ERROR, "audit_key_refused", LOG_C(REASON, why.text));
        return true;
    }
    bool ok = take_next(t, path, next, err);
    t->renew_due = !ok;
    if (t->key != next)
        audit_key_free(next);
    return ok;
}

bool audit_trail_tend(struct audit_trail *t, bool last, struct err *err)
{
    if (t->renew_due && !last && !renew(t, err))
        return false;
    bool full = t->fd >= 0 && (t->size >= t->opts.rotate_bytes ||
                               (t->size > 0 && is_past(t, t->opened, t->opts.rotate_ms)));
    if ((last || full || checkpoint_due(t)) && !checkpoint(t, err))
        return false;
    if (full && !last)
        end_file(t, "rotate");
    int64_t age = t->disk->wall_us(t->disk->arg) - t->retired_us;
    if (!last && (full || age < 0 || age >= RETIRE_EVERY_US))
        return retire(t, err);
    return t->head_ok || write_head(t, false) || system_error(err, "head");
}

/* ---- at start: where does the chain end ---- */

struct tail {
    uint64_t lines, seq;
    uint8_t hash[AUDIT_HASH];
    size_t good;         /* bytes of whole lines that fit */
    uint64_t bad_line;   /* a whole line that does not; 0 = none */
    bool met, head_fits; /* the head's record is here, and has its digest */
    uint64_t signed_seq;
    char opened[TIMEFMT_MAX];
    uint8_t key[32]; /* that the file was begun with */
};

static void meet_head(struct tail *tail, const struct audit_head *head)
{
    if (tail->seq == head->seq) {
        tail->met = true;
        tail->head_fits = memcmp(tail->hash, head->hash, AUDIT_HASH) == 0;
    }
}

static bool first_line(const struct audit_line *line, uint64_t number, struct tail *tail)
{
    strv when;
    uint64_t file;
    if (line->seq == 0 || !strv_eq_cstr(line->type, "open") ||
        !audit_member_u64(line->content, "file", &file) || file != number ||
        !audit_member_hex(line->content, "prev", tail->hash, AUDIT_HASH) ||
        !audit_member_hex(line->content, "key", tail->key, sizeof tail->key) ||
        !audit_member_text(line->content, "time", &when) || when.len >= TIMEFMT_MAX)
        return false;
    memcpy(tail->opened, when.ptr, when.len);
    tail->opened[when.len] = '\0';
    tail->seq = line->seq - 1;
    return true;
}

static bool one_line(struct audit_trail *t, strv text, const struct audit_head *head,
                     struct tail *tail)
{
    struct audit_line line;
    uint8_t hash[AUDIT_HASH];
    if (!audit_parse(text, &line) || (tail->lines == 0 && !first_line(&line, t->file, tail)))
        return false;
    meet_head(tail, head); /* the last of the file before */
    if (line.seq != tail->seq + 1 ||
        !audit_hash(&t->hasher, (strv){(const char *)tail->hash, AUDIT_HASH}, line.content, hash) ||
        memcmp(hash, line.hash, AUDIT_HASH) != 0)
        return false;
    tail->seq = line.seq;
    memcpy(tail->hash, hash, AUDIT_HASH);
    meet_head(tail, head);
    uint8_t sig[AUDIT_SIG];
    strv rest;
    if (audit_parse_sig(line.content, &rest, sig))
        tail->signed_seq = line.seq;
    return true;
}

static void read_tail(struct audit_trail *t, const struct audit_map *m,
                      const struct audit_head *head, struct tail *tail)
{
    *tail = (struct tail){0};
    while (tail->good < m->size) {
        const char *at = m->data + tail->good;
        const char *end = memchr(at, '\n', m->size - tail->good);
        if (end == NULL)
            return;
        if (!one_line(t, (strv){at, (size_t)(end - at)}, head, tail)) {
            tail->bad_line = tail->lines + 1;
            return;
        }
        tail->lines++;
        tail->good += (size_t)(end - at) + 1;
    }
}

static bool cut_tail(struct audit_trail *t, const struct audit_map *m, const struct tail *tail,
                     struct err *err)
{
    struct audit_finding *f = &t->found;
    char name[AUDIT_NAME_MAX];
    audit_name(name, t->file);
    f->cut = m->size - tail->good;
    LOG(t->log, LOG_WARN, "audit_repaired", LOG_I(COUNT, f->cut),
        LOG_C(REASON, "an unfinished last line is cut off"));
    strv rest = {m->data + tail->good, f->cut};
    if (!audit_hash(&t->hasher, rest, (strv){"", 0}, f->cut_sha256))
        return err_oom(err);
    if (tail->lines == 0) /* nothing but the beginning of a first line */
        return t->disk->remove(t->disk->arg, t->dir_fd, name) == 0 || system_error(err, name);
    return t->disk->truncate(t->disk->arg, t->fd, (off_t)tail->good) == 0 ||
           system_error(err, name);
}

/* The end of the chain by files and head. */
static void settle(struct audit_trail *t, const struct tail *tail, enum audit_head_state state,
                   const struct audit_head *head)
{
    struct audit_finding *f = &t->found;
    t->seq = tail->seq;
    memcpy(t->hash, tail->hash, AUDIT_HASH);
    t->size = tail->good;
    t->signed_seq = tail->signed_seq;
    f->file = t->file;
    f->line = tail->bad_line;
    f->missing_from = 0;
    if (tail->bad_line != 0)
        f->damage = "a line that does not fit";
    if (state == AUDIT_HEAD_BAD || (state == AUDIT_HEAD_NONE && t->file > 0)) {
        f->damage = state == AUDIT_HEAD_BAD ? "the head is not one of ours" : "the head is missing";
    } else if (head->seq > tail->seq) {
        f->damage = "records are missing at the end";
        f->missing_from = tail->seq + 1;
        t->seq = head->seq;
        memcpy(t->hash, head->hash, AUDIT_HASH);
    } else if (tail->met && !tail->head_fits) {
        f->damage = "records were changed and their digests with them";
    }
    uint64_t known = head->seq > t->signed_seq ? head->seq : t->signed_seq;
    f->unsigned_records = t->seq > known ? t->seq - known : 0;
}

/* Takes the newest file up, or none. */
static bool take_up(struct audit_trail *t, struct audit_files *files, enum audit_head_state state,
                    const struct audit_head *head, struct err *err)
{
    struct tail tail = {0};
    bool cut = false;
    for (; files->n > 0; files->n--) {
        char name[AUDIT_NAME_MAX];
        struct audit_map m;
        t->file = files->numbers[files->n - 1];
        audit_name(name, t->file);
        if (!audit_map(t->opts.dir, t->file, &m, err))
            return false;
        shut(&t->fd);
        t->fd = t->disk->open(t->disk->arg, t->dir_fd, name,
                              O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0);
        bool ok = t->fd >= 0 || system_error(err, name);
        read_tail(t, &m, head, &tail);
        cut = tail.bad_line == 0 && (tail.good < m.size || m.size == 0);
        ok = ok && (!cut || cut_tail(t, &m, &tail, err));
        audit_unmap(&m);
        if (!ok)
            return false;
        if (tail.lines > 0 || tail.bad_line != 0)
            break;
        shut(&t->fd);
        t->file = 0;
    }
    memcpy(t->opened, tail.opened, sizeof t->opened);
    if (files->n == 0 && head->file > t->file)
        t->file = head->file;
    settle(t, &tail, state, head);
    if (t->found.damage != NULL)
        end_file(t, "damage");
    else if (tail.lines > 0 && memcmp(tail.key, audit_key_bytes(t->key), sizeof tail.key) != 0)
        end_file(t, "key");
    return true;
}

/* Is the last record of a file one that names our key as the next? */
static bool ends_with_us(const struct audit_trail *t, uint64_t number)
{
    struct audit_map m;
    struct audit_line line;
    uint8_t next[32];
    if (!audit_map(t->opts.dir, number, &m, NULL))
        return false;
    size_t end = m.size;
    while (end > 0 && m.data[end - 1] != '\n')
        end--;
    size_t at = end > 0 ? end - 1 : 0;
    while (at > 0 && m.data[at - 1] != '\n')
        at--;
    bool us = end > 0 && audit_parse((strv){m.data + at, end - 1 - at}, &line) &&
              strv_eq_cstr(line.type, "key") &&
              audit_member_hex(line.content, "next", next, sizeof next) &&
              memcmp(next, audit_key_bytes(t->key), sizeof next) == 0;
    audit_unmap(&m);
    return us;
}

/* The head by the key that this file was begun with. */
static enum audit_head_state head_by(const struct audit_trail *t, uint64_t number,
                                     struct audit_head *head)
{
    char text[AUDIT_FIRST_MAX];
    struct audit_line line;
    uint64_t size;
    uint8_t bytes[32];
    if (!audit_first(t->opts.dir, number, text, &line, &size) ||
        !audit_member_hex(line.content, "key", bytes, sizeof bytes))
        return AUDIT_HEAD_BAD;
    struct audit_key *key = audit_key_of(bytes, NULL);
    if (key == NULL)
        return AUDIT_HEAD_UNREAD;
    enum audit_head_state state = audit_head_read(t->opts.dir, key, head);
    audit_key_free(key);
    return state;
}

/* It is still the old key's if the router was killed just when the new one had come into its place: the last record
 * names the new one then, or only its file's beginning is behind that. */
static enum audit_head_state read_head(const struct audit_trail *t, const struct audit_files *files,
                                       struct audit_head *head)
{
    enum audit_head_state state = audit_head_read(t->opts.dir, t->key, head);
    for (size_t back = 1; back <= 2 && back <= files->n && state == AUDIT_HEAD_BAD; back++)
        if (ends_with_us(t, files->numbers[files->n - back]))
            state = head_by(t, files->numbers[files->n - back], head);
    return state;
}

static bool open_head(struct audit_trail *t, enum audit_head_state state, struct err *err)
{
    if (t->head_fd >= 0)
        return true;
    t->head_fd = t->disk->open(t->disk->arg, t->dir_fd, "head",
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (t->head_fd < 0)
        return system_error(err, "head");
    /* Its place on the disk and its name are there before the first record is. Where it should have been there
     * already, a record tells that first. */
    bool ok = true;
    if (state == AUDIT_HEAD_NONE && t->found.damage == NULL)
        ok = write_head(t, true) && t->disk->sync(t->disk->arg, t->dir_fd) == 0;
    else if (state == AUDIT_HEAD_BAD)
        ok = ftruncate(t->head_fd, AUDIT_HEAD_BYTES) == 0;
    if (!ok) {
        system_error(err, "head");
        shut(&t->head_fd);
    }
    return ok;
}

static bool tell_findings(struct audit_trail *t, struct err *err)
{
    const struct audit_finding *f = &t->found;
    struct buf b;
    if (f->cut > 0) {
        begin_body(t, &b, "repair");
        buf_printf(&b, ",\"file\":%llu,\"cut_bytes\":%zu,\"cut_sha256\":\"",
                   (unsigned long long)f->file, f->cut);
        audit_put_hex(&b, f->cut_sha256, AUDIT_HASH);
        buf_put_char(&b, '"');
        if (!put_body(t, &b, false, err))
            return false;
    }
    if (f->damage != NULL) {
        begin_body(t, &b, "damage");
        buf_printf(&b, ",\"what\":\"%s\",\"file\":%llu", f->damage, (unsigned long long)f->file);
        if (f->line > 0)
            buf_printf(&b, ",\"line\":%llu", (unsigned long long)f->line);
        if (f->missing_from > 0)
            buf_printf(&b, ",\"from\":%llu,\"to\":%llu", (unsigned long long)f->missing_from,
                       (unsigned long long)t->seq);
        if (!put_body(t, &b, false, err))
            return false;
        LOG(t->log, LOG_ERROR, "audit_damaged", LOG_C(REASON, f->damage), LOG_I(LINE, f->line));
    }
    begin_body(t, &b, "start");
    buf_printf(&b, ",\"version\":\"" LLM_ROUTER_VERSION "\",\"pid\":%ld,\"unsigned\":%llu",
               (long)getpid(), (unsigned long long)f->unsigned_records);
    return put_body(t, &b, false, err);
}

/* A chain that was begun with a key goes on with it: a new one would hide that the old one is gone. */
static bool get_key(struct audit_trail *t, const struct audit_files *files, struct err *err)
{
    if (t->key != NULL)
        return true;
    bool there = access(t->opts.key, F_OK) == 0 || errno != ENOENT;
    bool begun = files->n > 0 || faccessat(t->dir_fd, "head", F_OK, 0) == 0;
    if (!there && begun)
        return err_set(err, 0,
                       "%.150s is gone, and the files in %.100s were begun with it: bring it back, "
                       "or move the folder away",
                       t->opts.key, t->opts.dir);
    t->key = there ? audit_key_load(t->opts.key, err) : audit_key_make(t->opts.key, err);
    return t->key != NULL;
}

bool audit_trail_open(struct audit_trail *t, struct err *err)
{
    struct audit_files files = {NULL, 0};
    struct audit_head head;
    bool taken;
    if (t->open)
        return true;
    if (!audit_trail_lock(t, &taken, err) || !audit_list(t->opts.dir, &files, err))
        return false;
    bool ok = get_key(t, &files, err);
    if (ok) {
        enum audit_head_state state = read_head(t, &files, &head);
        t->file = 0;
        t->why = "start";
        t->last_size = 0;
        shut(&t->fd);
        ok = state != AUDIT_HEAD_UNREAD ||
             err_set(err, 0, "the head of %.200s cannot be read", t->opts.dir);
        ok = ok && take_up(t, &files, state, &head, err) && open_head(t, state, err);
    }
    audit_list_free(&files);
    ok = ok && audit_trail_begin(t, err) && tell_findings(t, err) && audit_trail_commit(t, err);
    t->open = ok;
    t->signed_us = t->disk->wall_us(t->disk->arg);
    if (ok)
        t->found = (struct audit_finding){0};
    else
        shut(&t->fd);
    return ok;
}
