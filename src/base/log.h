/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one JSON object a line, made only of fields that stand in log_fields.def.
 *
 *   {"time":"2026-11-22T15:00:00.123Z","level":"info","event":"exchange","request_id":"7f0c",...}
 *
 * That list is the guarantee that no prompt, reply, key, query string or upstream body can be
 * logged: there is no field for one, and no free-text message. `event` is a constant of the source.
 * Every thread has its own struct log; lines are collected and written when 32 KiB are full, at
 * log_flush(), or at once for warnings and errors. A writer that blocks or fails loses lines and
 * counts them (field "lost"), it never stops the program.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/strv.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

enum log_field {
#define LOG_FIELD(id, name, doc) LOG_F_##id,
#include "base/log_fields.def"
#undef LOG_FIELD
    LOG_FIELDS
};

struct log_kv {
    enum log_field field;
    enum { LOG_KV_STR, LOG_KV_INT, LOG_KV_BOOL, LOG_KV_MS } kind;
    strv s;    /* cut to 200 bytes and escaped */
    int64_t i; /* LOG_KV_MS: microseconds, printed as milliseconds with three decimals */
};

#define LOG_S(id, text) ((struct log_kv){LOG_F_##id, LOG_KV_STR, (text), 0})
#define LOG_C(id, text) ((struct log_kv){LOG_F_##id, LOG_KV_STR, strv_of(text), 0})
#define LOG_I(id, n)    ((struct log_kv){LOG_F_##id, LOG_KV_INT, STRV_NONE, (int64_t)(n)})
#define LOG_B(id, v)    ((struct log_kv){LOG_F_##id, LOG_KV_BOOL, STRV_NONE, (v) ? 1 : 0})
#define LOG_US(id, us)  ((struct log_kv){LOG_F_##id, LOG_KV_MS, STRV_NONE, (int64_t)(us)})

struct log {
    int fd; /* -1 = nowhere */
    enum log_level level;
    struct buf pending;
    uint64_t lost;
    int64_t (*wall_us)(void); /* the clock for "time"; NULL = the system's */
};

void log_init(struct log *log, int fd, enum log_level level);
void log_fini(struct log *log); /* flushes */
/* Fields with STRV_NONE are left out. log may be NULL. */
void log_write(struct log *log, enum log_level level, const char *event, const struct log_kv *kv,
               size_t n);
void log_flush(struct log *log);
const char *log_level_name(enum log_level level);
bool log_level_parse(strv name, enum log_level *out);

/* The fields are only built when the level is on. */
#define LOG(to, at, event, ...)                                                                    \
    do {                                                                                           \
        if ((to) != NULL && (at) >= (to)->level)                                                   \
            log_write((to), (at), (event), (const struct log_kv[]){__VA_ARGS__},                   \
                      sizeof((const struct log_kv[]){__VA_ARGS__}) / sizeof(struct log_kv));       \
    } while (0)

#endif
