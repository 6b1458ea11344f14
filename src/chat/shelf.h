/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf - the file of sessions: rows, sealed. What keep's thread works with; nobody else includes it.
 *
 *   master key --seals--> a session's key (chat_sessions.data_key) --seals--> its head and its messages
 *
 * Where there is a master key, all of the file is sealed: what was kept in clear before, and what an older key had
 * sealed, is sealed anew when the file is opened. A file that needs a key which is not at hand is refused whole, so that
 * nobody goes on writing into it with a wrong one.
 *
 * Deleted means: rows gone and overwritten (secure_delete), and the log beside the file (-wal) emptied into it.
 */
#ifndef CHAT_SHELF_H
#define CHAT_SHELF_H

#include "chat/keep.h"
#include "store/store.h"
#include "text/text.h"

struct shelf {
    struct database d;
    const struct chat_keys *keys; /* NULL = none */
    size_t sessions_max;
    uint64_t bytes_max;
    bool unsealed_private;
    struct text_scratch *scratch; /* of searches */
    bool wal;                     /* deleted rows may still stand in the log */
    bool sealing;                 /* what is in clear is to be read */
    bool row_damaged;             /* the last failure was one session's, not the file's */
    size_t resealed;              /* sessions, at the last opening */
};

/* A session on its way from or to the file. */
struct shelf_session {
    struct chat_head head; /* views into memory */
    strv *messages;
    uint32_t *numbers;
    size_t n;
    void *memory;
    size_t size;
};
void shelf_session_fini(struct shelf_session *x); /* wipes it */

bool shelf_init(struct shelf *s, const struct chat_keep_conf *conf, struct err *err);
void shelf_fini(struct shelf *s);
/* Opens the file if it is not open, or not the one at its path any more. */
bool shelf_ready(struct shelf *s, struct err *err);
void shelf_close(struct shelf *s);

/* Each: FAILED comes with err. */
enum chat_kept shelf_load(struct shelf *s, const char *user, const char *id,
                          struct shelf_session *out, struct err *err);
enum chat_kept shelf_put(struct shelf *s, const struct shelf_session *x, struct err *err);
enum chat_kept shelf_list(struct shelf *s, const char *user, strv search, size_t limit,
                          int64_t before_us, struct buf *json, struct err *err);
enum chat_kept shelf_delete(struct shelf *s, const char *user, const char *id, struct err *err);
/* Sessions in which nothing was said since. */
bool shelf_purge(struct shelf *s, int64_t before_us, size_t *n, struct err *err);
/* Empties the log, if something was deleted and nobody reads just now. */
void shelf_tidy(struct shelf *s);

#endif
