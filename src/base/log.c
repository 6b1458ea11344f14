/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - see log.h.
 *
 *   pending:  | rest of a line cut by a short write | line | line | ... | line being built |
 *
 * Workers share one descriptor, and half a line followed by another worker's line would be no JSON.
 * So every write is a number of whole lines and at most PIPE_BUF bytes, which a pipe takes whole or
 * not at all; a line is never longer than that. The descriptor is usually standard error, shared
 * with whoever started us, so we may not make it non-blocking: poll(2) says whether it takes
 * PIPE_BUF bytes.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#define FLUSH_BYTES (32 * 1024)
#define PENDING_BYTES                                                                              \
    (64 * 1024) /* while nobody reads: about 300 lines, the newer ones are lost  \
                                   */
#define LINE_BYTES  PIPE_BUF
#define VALUE_BYTES 200

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

static const char *const field_names[] = {
#define LOG_FIELD(id, name, doc) name,
#include "base/log_fields.def"
#undef LOG_FIELD
};

static void put_line(struct log *log, enum log_level level, const char *event,
                     const struct log_kv *kv, size_t n);
static void put_kv(struct buf *b, const struct log_kv *kv);
static void put_text(struct buf *b, strv text);
static void put_ms(struct buf *b, int64_t us);
static int64_t system_us(void);
static size_t whole_lines(strv pending);

void log_init(struct log *log, int fd, enum log_level level)
{
    *log = (struct log){.fd = fd, .level = level};
    buf_init(&log->pending, PENDING_BYTES);
}

void log_fini(struct log *log)
{
    log_flush(log);
    buf_fini(&log->pending);
}

void log_write(struct log *log, enum log_level level, const char *event, const struct log_kv *kv,
               size_t n)
{
    assert(level < LOG_OFF);
    if (log == NULL || log->fd < 0 || level < log->level)
        return;
    size_t before = buf_len(&log->pending);
    put_line(log, level, event, kv, n);
    if (log->pending.failed || buf_len(&log->pending) - before > LINE_BYTES) {
        buf_rewind(&log->pending, before);
        log->lost++;
    } else {
        log->lost = 0; /* the line tells it */
    }
    if (level >= LOG_WARN || buf_len(&log->pending) >= FLUSH_BYTES)
        log_flush(log);
}

void log_flush(struct log *log)
{
    if (log == NULL || log->fd < 0)
        return;
    while (buf_len(&log->pending) > 0) {
        struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
        int n = poll(&ready, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* would block: what is pending waits, what finds no room is lost */
        strv out = buf_view(&log->pending);
        ssize_t wrote = write(log->fd, out.ptr, whole_lines(out));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return;
        buf_eat(&log->pending, (size_t)wrote);
    }
}

const char *log_level_name(enum log_level level)
{
    assert(level <= LOG_OFF);
    return level_names[level];
}

bool log_level_parse(strv name, enum log_level *out)
{
    for (int i = 0; i <= LOG_OFF; i++) {
        if (strv_eq_cstr(name, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void put_line(struct log *log, enum log_level level, const char *event,
                     const struct log_kv *kv, size_t n)
{
    struct buf *b = &log->pending;
    char when[TIMEFMT_MAX];
    timefmt_rfc3339(when, log->wall_us != NULL ? log->wall_us() : system_us(), 3);
    buf_put_cstr(b, "{\"time\":\"");
    buf_put_cstr(b, when);
    buf_put_cstr(b, "\",\"level\":\"");
    buf_put_cstr(b, log_level_name(level));
    buf_put_cstr(b, "\",\"event\":");
    json_put_str(b, strv_of(event));
    for (size_t i = 0; i < n; i++)
        put_kv(b, &kv[i]);
    if (log->lost != 0)
        put_kv(b, &LOG_I(LOST, log->lost));
    buf_put_cstr(b, "}\n");
}

static void put_kv(struct buf *b, const struct log_kv *kv)
{
    bool first = false;
    assert(kv->field < LOG_FIELDS);
    if (kv->kind == LOG_KV_STR && kv->s.ptr == NULL)
        return;
    json_put_key(b, &first, field_names[kv->field]);
    switch (kv->kind) {
    case LOG_KV_STR:
        put_text(b, kv->s);
        break;
    case LOG_KV_INT:
        buf_put_i64(b, kv->i);
        break;
    case LOG_KV_BOOL:
        buf_put_cstr(b, kv->i != 0 ? "true" : "false");
        break;
    case LOG_KV_MS:
        put_ms(b, kv->i);
        break;
    }
}

/* A peer may choose some values, a request id for one: a line must stay JSON whatever the bytes
 * are. */
static void put_text(struct buf *b, strv text)
{
    char safe[VALUE_BYTES];
    text = utf8_cut(text, VALUE_BYTES);
    if (!utf8_valid(text)) {
        for (size_t i = 0; i < text.len; i++)
            safe[i] = (unsigned char)text.ptr[i] < 0x80 ? text.ptr[i] : '?';
        text.ptr = safe;
    }
    json_put_str(b, text);
}

static void put_ms(struct buf *b, int64_t us)
{
    uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    buf_printf(b, "%s%llu.%03u", us < 0 ? "-" : "", (unsigned long long)(size / 1000),
               (unsigned)(size % 1000));
}

static int64_t system_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How many bytes to write next: lines up to LINE_BYTES. The first may be the rest of a cut one. */
static size_t whole_lines(strv pending)
{
    if (pending.len <= LINE_BYTES)
        return pending.len; /* the last byte is a line's end, see log_write() */
    const char *end = memrchr(pending.ptr, '\n', LINE_BYTES);
    assert(end != NULL);
    return (size_t)(end - pending.ptr) + 1;
}
