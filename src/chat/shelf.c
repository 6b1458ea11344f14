/* SPDX-License-Identifier: Apache-2.0 */
/* shelf - the tables, what is sealed with what, and the search. */
#include "chat/shelf.h"

#include <assert.h>
#include <stdio.h>

#define APPLICATION_ID 0x4c4c4d43 /* "LLMC" */
#define BUSY_MS        1000
#define PAGE           4096
#define SESSION_MAX    ((int64_t)512 << 20) /* bytes of one that are read */
#define SEARCH_MAX     ((int64_t)256 << 20) /* bytes that one search reads */
#define MESSAGE_JSON   ((size_t)1024 << 20) /* of a parsed one in memory */
#define WRAPPED        (CHAT_KEY + CHAT_SEAL)

/* Add at the end; never change one that was released. */
static const char *const migrations[] = {
    "CREATE TABLE chat_sessions ("
    " row INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE,"
    " user TEXT NOT NULL,"
    " last_us INTEGER NOT NULL,"
    " key_id BLOB,"   /* which master key seals data_key; NULL = the session is in clear */
    " data_key BLOB," /* seals the rest */
    " head BLOB NOT NULL);"
    "CREATE INDEX chat_sessions_of ON chat_sessions (user, last_us);"
    "CREATE INDEX chat_sessions_last ON chat_sessions (last_us);"
    "CREATE TABLE chat_messages ("
    " session INTEGER NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (session, n))",
};

#define ROW "SELECT row, id, user, last_us, key_id, data_key, head FROM chat_sessions WHERE "

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    KEY_IDS,
    GET,
    NEXT_UNLIKE,
    OF_USER,
    ADD,
    SET_HEAD,
    SET_KEY,
    BODY_PUT,
    BODY_EACH,
    BODY_SIZE,
    BODY_NEXT,
    SURPLUS,
    IDLE,
    DELETE_BODIES,
    DELETE,
    STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [KEY_IDS] = "SELECT DISTINCT key_id FROM chat_sessions WHERE key_id IS NOT NULL",
    [GET] = ROW "id = ?1",
    [NEXT_UNLIKE] = ROW "key_id IS NOT ?1 AND row > ?2 ORDER BY row LIMIT 1",
    [OF_USER] = ROW "user = ?1 AND last_us < ?2 ORDER BY last_us DESC, row DESC",
    [ADD] = "INSERT INTO chat_sessions (id, user, last_us, key_id, data_key, head)"
            " VALUES (?1, ?2, ?3, ?4, ?5, x'')",
    [SET_HEAD] = "UPDATE chat_sessions SET last_us = ?2, head = ?3 WHERE row = ?1",
    [SET_KEY] = "UPDATE chat_sessions SET key_id = ?2, data_key = ?3 WHERE row = ?1",
    [BODY_PUT] = "INSERT OR REPLACE INTO chat_messages VALUES (?1, ?2, ?3)",
    [BODY_EACH] = "SELECT n, body FROM chat_messages WHERE session = ?1 ORDER BY n",
    [BODY_SIZE] = "SELECT count(*), coalesce(sum(length(body)), 0) FROM chat_messages"
                  " WHERE session = ?1",
    [BODY_NEXT] = "SELECT n, body FROM chat_messages WHERE session = ?1 AND n > ?2 ORDER BY n"
                  " LIMIT 1",
    [SURPLUS] = "SELECT row FROM chat_sessions WHERE user = ?1 ORDER BY last_us DESC, row DESC"
                " LIMIT 1 OFFSET ?2",
    [IDLE] = "SELECT row FROM chat_sessions WHERE last_us < ?1 ORDER BY last_us LIMIT 1",
    [DELETE_BODIES] = "DELETE FROM chat_messages WHERE session = ?1",
    [DELETE] = "DELETE FROM chat_sessions WHERE row = ?1",
};

static const struct database_plan plan = {
    .what = "file of chats",
    .application_id = APPLICATION_ID,
    .migrations = migrations,
    .n_migrations = sizeof migrations / sizeof *migrations,
    .statements = statements,
    .n_statements = STATEMENTS,
    .busy_ms = BUSY_MS,
    .one_thread = true,
};

/* ---- small things of SQLite ---- */

static bool bind_text(sqlite3_stmt *st, int at, const char *text)
{
    return sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_blob(sqlite3_stmt *st, int at, const void *data, size_t n)
{
    return sqlite3_bind_blob64(st, at, data, n, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_i64(sqlite3_stmt *st, int at, int64_t n)
{
    return sqlite3_bind_int64(st, at, n) == SQLITE_OK;
}

/* Steps a statement that gives no rows. */
static bool finish(struct shelf *s, sqlite3_stmt *st, bool bound, struct err *err)
{
    bool ok = (bound && sqlite3_step(st) == SQLITE_DONE) || database_failed(&s->d, err);
    database_done(st);
    return ok;
}

static bool run(struct shelf *s, enum statement which, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&s->d, (int)which, err);
    return st != NULL && finish(s, st, true, err);
}

static bool run_row(struct shelf *s, enum statement which, int64_t row, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&s->d, (int)which, err);
    return st != NULL && finish(s, st, bind_i64(st, 1, row), err);
}

/* A row, or none. The statement is to be done with database_done() in any case but that of an error. */
static bool step(struct shelf *s, sqlite3_stmt *st, bool bound, bool *found, struct err *err)
{
    int code = bound ? sqlite3_step(st) : SQLITE_NOMEM;
    *found = code == SQLITE_ROW;
    if (*found || code == SQLITE_DONE)
        return true;
    database_failed(&s->d, err);
    database_done(st);
    return false;
}

static bool end(struct shelf *s, bool ok, struct err *err)
{
    if (ok && run(s, COMMIT, err))
        return true;
    if (s->d.db != NULL && !sqlite3_get_autocommit(s->d.db))
        run(s, ROLLBACK, NULL);
    return false;
}

static strv column_blob(sqlite3_stmt *st, int column)
{
    const void *data = sqlite3_column_blob(st, column);
    return (strv){data, data != NULL ? (size_t)sqlite3_column_bytes(st, column) : 0};
}

static bool damaged(struct shelf *s, struct err *err)
{
    s->row_damaged = true;
    return err_set(err, 0, "%.180s: a session's rows are damaged, or were exchanged", s->d.path);
}

/* ---- a session's row, and what its key opens ---- */

struct row {
    int64_t row, last_us;
    char id[CHAT_SESSION_MAX + 1], user[CHAT_USER_MAX + 1];
    bool sealed;
    uint8_t key[CHAT_KEY];
};

#define LABEL_MAX (CHAT_SESSION_MAX + CHAT_USER_MAX + 48)
enum { KIND_KEY = 'k', KIND_HEAD = 'h', KIND_BODY = 'm' };

/* What a sealed text belongs to. A zero ends each part, and none holds one. */
static strv label_of(char out[LABEL_MAX], const struct row *r, char kind, uint32_t n)
{
    int len = snprintf(out, LABEL_MAX, "llm-router chat 1%c%c%s%c%s%c%u", 0, kind, r->user, 0,
                       r->id, 0, (unsigned)n);
    assert(len > 0 && len < LABEL_MAX);
    return (strv){out, (size_t)len};
}

static const uint8_t *master(const struct chat_keys *keys, strv id)
{
    for (size_t i = 0; keys != NULL && i < keys->n; i++)
        if (id.len == CHAT_KEY_ID && memcmp(id.ptr, keys->id[i], CHAT_KEY_ID) == 0)
            return keys->key[i];
    return NULL;
}

static bool copy_column(sqlite3_stmt *st, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    size_t len = (size_t)sqlite3_column_bytes(st, column);
    if (text == NULL || len >= size || memchr(text, 0, len) != NULL)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/* The row's own columns, and its key. */
static bool read_row(struct shelf *s, sqlite3_stmt *st, struct row *r, struct err *err)
{
    char label[LABEL_MAX];
    strv key_id = column_blob(st, 4), wrapped = column_blob(st, 5);
    r->row = sqlite3_column_int64(st, 0);
    r->last_us = sqlite3_column_int64(st, 3);
    r->sealed = key_id.ptr != NULL;
    if (!copy_column(st, 1, r->id, sizeof r->id) || !copy_column(st, 2, r->user, sizeof r->user))
        return damaged(s, err);
    if (!r->sealed) /* once there is a key, only until it has sealed what came before it */
        return s->keys == NULL || s->sealing || damaged(s, err);
    const uint8_t *key = master(s->keys, key_id);
    return (key != NULL && wrapped.len == WRAPPED &&
            chat_unseal(key, label_of(label, r, KIND_KEY, 0), wrapped, r->key)) ||
           damaged(s, err);
}

/* A text of the session in the clear, at `out`, which has room for stored.len bytes. */
static bool open_text(struct shelf *s, const struct row *r, char kind, uint32_t n, strv stored,
                      uint8_t *out, size_t *len, struct err *err)
{
    char label[LABEL_MAX];
    if (!r->sealed) {
        if (stored.len > 0)
            memcpy(out, stored.ptr, stored.len);
        *len = stored.len;
        return true;
    }
    if (!chat_unseal(r->key, label_of(label, r, kind, n), stored, out))
        return damaged(s, err);
    *len = stored.len - CHAT_SEAL;
    return true;
}

/* The text as it is stored; to be freed. NULL: no memory, or no random numbers. */
static uint8_t *close_text(const struct row *r, char kind, uint32_t n, strv text, size_t *len)
{
    char label[LABEL_MAX];
    uint8_t *out = mem_alloc(text.len + CHAT_SEAL);
    *len = text.len;
    if (out == NULL)
        return NULL;
    if (!r->sealed) {
        memcpy(out, text.ptr, text.len);
        return out;
    }
    *len += CHAT_SEAL;
    if (chat_seal(r->key, label_of(label, r, kind, n), text, out))
        return out;
    mem_free(out);
    return NULL;
}

/* ---- heads: numbers, then texts with their lengths ---- */

#define HEAD_VERSION 1
#define HEAD_FIXED   (2 + 3 * 4 + 8)
enum { HEAD_PRIVATE = 1, HEAD_TOOLS = 2 };

static uint8_t *put_number(uint8_t *at, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (uint8_t)(n >> (8 * i));
    return at;
}

static uint64_t get_number(const uint8_t **at, int bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n |= (uint64_t) * (*at)++ << (8 * i);
    return n;
}

/* To be freed as a secret of *size bytes. NULL: no memory. */
static uint8_t *head_write(const struct chat_head *h, size_t *size)
{
    const strv texts[] = {h->title, h->mode, h->model, h->system, h->summary};
    const size_t n = sizeof texts / sizeof *texts;
    *size = HEAD_FIXED;
    for (size_t i = 0; i < n; i++)
        *size += 4 + texts[i].len;
    uint8_t *out = mem_alloc(*size), *at = out;
    if (out == NULL)
        return NULL;
    *at++ = HEAD_VERSION;
    *at++ = (uint8_t)((h->is_private ? HEAD_PRIVATE : 0) | (h->tools ? HEAD_TOOLS : 0));
    at = put_number(at, h->summary_to, 4);
    at = put_number(at, h->leaf, 4);
    at = put_number(at, h->n_messages, 4);
    at = put_number(at, (uint64_t)h->created_us, 8);
    for (size_t i = 0; i < n; i++) {
        at = put_number(at, texts[i].len, 4);
        if (texts[i].len > 0)
            memcpy(at, texts[i].ptr, texts[i].len);
        at += texts[i].len;
    }
    return out;
}

/* Views into `text`. */
static bool head_read(const uint8_t *text, size_t size, const struct row *r, struct chat_head *h)
{
    const uint8_t *at = text, *stop = text + size;
    *h = (struct chat_head){.last_us = r->last_us};
    strv *const texts[] = {&h->title, &h->mode, &h->model, &h->system, &h->summary};
    if (size < HEAD_FIXED || *at++ != HEAD_VERSION)
        return false;
    uint8_t flags = *at++;
    h->is_private = (flags & HEAD_PRIVATE) != 0;
    h->tools = (flags & HEAD_TOOLS) != 0;
    h->summary_to = (uint32_t)get_number(&at, 4);
    h->leaf = (uint32_t)get_number(&at, 4);
    h->n_messages = (uint32_t)get_number(&at, 4);
    h->created_us = (int64_t)get_number(&at, 8);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (stop - at < 4)
            return false;
        size_t len = (size_t)get_number(&at, 4);
        if ((size_t)(stop - at) < len)
            return false;
        *texts[i] = (strv){(const char *)at, len};
        at += len;
    }
    memcpy(h->id, r->id, sizeof h->id);
    memcpy(h->user, r->user, sizeof h->user);
    return true;
}

/* ---- opening ---- */

void shelf_session_fini(struct shelf_session *x)
{
    mem_free_secret(x->memory, x->size);
    *x = (struct shelf_session){.memory = NULL};
}

bool shelf_init(struct shelf *s, const struct chat_keep_conf *conf, struct err *err)
{
    *s = (struct shelf){.keys = conf->keys,
                        .sessions_max = conf->sessions_max,
                        .bytes_max = conf->bytes_max,
                        .unsealed_private = conf->unsealed_private,
                        .scratch = text_scratch_new()};
    return (s->scratch != NULL || err_oom(err)) && database_init(&s->d, &plan, conf->path, err);
}

void shelf_close(struct shelf *s)
{
    database_close(&s->d);
}

void shelf_fini(struct shelf *s)
{
    if (s->d.path != NULL)
        database_fini(&s->d);
    text_scratch_free(s->scratch);
    s->scratch = NULL;
}

/* Every key that a session needs is at hand. */
static bool check_keys(struct shelf *s, struct err *err)
{
    sqlite3_stmt *st = database_prepare(&s->d, KEY_IDS, err);
    bool found = false, ok = true;
    while (ok && st != NULL && (ok = step(s, st, true, &found, err)) && found) {
        strv id = column_blob(st, 0);
        if (s->keys == NULL)
            ok = err_set(err, 0,
                         "%.180s is sealed: chat.key_file must name the key it was sealed with",
                         s->d.path);
        else if (master(s->keys, id) == NULL)
            ok =
                err_set(err, 0,
                        "%.140s was sealed with another key than chat.key_file holds; add that key "
                        "behind the present one, or move the file away to begin anew",
                        s->d.path);
    }
    if (st != NULL)
        database_done(st);
    return ok && st != NULL;
}

static bool put_body(struct shelf *s, const struct row *r, uint32_t n, strv body, struct err *err)
{
    size_t len;
    sqlite3_stmt *st = database_prepare(&s->d, BODY_PUT, err);
    uint8_t *stored = st != NULL ? close_text(r, KIND_BODY, n, body, &len) : NULL;
    if (stored == NULL)
        return err_oom(err);
    bool ok = finish(
        s, st, bind_i64(st, 1, r->row) && bind_i64(st, 2, n) && bind_blob(st, 3, stored, len), err);
    mem_free_secret(stored, body.len);
    return ok;
}

static bool put_head(struct shelf *s, const struct row *r, int64_t last_us, strv text,
                     struct err *err)
{
    size_t len;
    sqlite3_stmt *st = database_prepare(&s->d, SET_HEAD, err);
    uint8_t *stored = st != NULL ? close_text(r, KIND_HEAD, 0, text, &len) : NULL;
    if (stored == NULL)
        return err_oom(err);
    bool ok = finish(
        s, st, bind_i64(st, 1, r->row) && bind_i64(st, 2, last_us) && bind_blob(st, 3, stored, len),
        err);
    mem_free_secret(stored, text.len);
    return ok;
}

/* The session's key under the present master key. */
static bool wrap_key(const struct shelf *s, const struct row *r, uint8_t out[WRAPPED],
                     struct err *err)
{
    char label[LABEL_MAX];
    return chat_seal(s->keys->key[0], label_of(label, r, KIND_KEY, 0),
                     (strv){(const char *)r->key, CHAT_KEY}, out) ||
           err_oom(err);
}

static bool put_key(struct shelf *s, const struct row *r, struct err *err)
{
    uint8_t wrapped[WRAPPED];
    sqlite3_stmt *st = database_prepare(&s->d, SET_KEY, err);
    return st != NULL && wrap_key(s, r, wrapped, err) &&
           finish(s, st,
                  bind_i64(st, 1, r->row) && bind_blob(st, 2, s->keys->id[0], CHAT_KEY_ID) &&
                      bind_blob(st, 3, wrapped, sizeof wrapped),
                  err);
}

static bool make_key(struct row *r, struct err *err)
{
    r->sealed = rng_secret(r->key, sizeof r->key);
    return r->sealed || err_set(err, 0, "the system gives no random numbers");
}

/* What is in clear is sealed in its place. */
static bool seal_bodies(struct shelf *s, const struct row *r, struct err *err)
{
    int64_t n = -1;
    for (;;) {
        bool found;
        sqlite3_stmt *st = database_prepare(&s->d, BODY_NEXT, err);
        if (st == NULL || !step(s, st, bind_i64(st, 1, r->row) && bind_i64(st, 2, n), &found, err))
            return false;
        bool ok = found;
        if (found) {
            n = sqlite3_column_int64(st, 0);
            ok = put_body(s, r, (uint32_t)n, column_blob(st, 1), err);
        }
        database_done(st);
        if (!found || !ok)
            return !found;
    }
}

static bool seal_session(struct shelf *s, struct row *r, strv head, struct err *err)
{
    return make_key(r, err) && put_head(s, r, r->last_us, head, err) && seal_bodies(s, r, err);
}

/* One session that the present key does not seal; *row is where the last one was. */
static bool reseal_next(struct shelf *s, int64_t *row, bool *found, struct err *err)
{
    struct row r;
    sqlite3_stmt *st = database_prepare(&s->d, NEXT_UNLIKE, err);
    if (st == NULL ||
        !step(s, st, bind_blob(st, 1, s->keys->id[0], CHAT_KEY_ID) && bind_i64(st, 2, *row), found,
              err))
        return false;
    bool ok = true;
    if (*found) {
        *row = sqlite3_column_int64(st, 0);
        ok = read_row(s, st, &r, err) &&
             (r.sealed || seal_session(s, &r, column_blob(st, 6), err)) && put_key(s, &r, err);
        mem_wipe(r.key, sizeof r.key);
        s->resealed += ok;
        if (!ok && s->row_damaged) { /* nobody can read it; the others are not to suffer */
            err_clear(err);
            ok = true;
        }
    }
    database_done(st);
    return ok;
}

static bool reseal(struct shelf *s, struct err *err)
{
    int64_t row = INT64_MIN;
    bool found = true, ok = true;
    s->resealed = 0;
    if (!run(s, BEGIN, err))
        return false;
    s->sealing = true;
    while (ok && found)
        ok = reseal_next(s, &row, &found, err);
    s->sealing = false;
    if (!end(s, ok, err))
        return false;
    s->wal = s->wal || s->resealed > 0;
    shelf_tidy(s);
    return true;
}

bool shelf_ready(struct shelf *s, struct err *err)
{
    char limit[64];
    if (s->d.db != NULL && database_is_current(&s->d))
        return true;
    database_close(&s->d);
    snprintf(limit, sizeof limit, "PRAGMA max_page_count = %llu",
             (unsigned long long)(s->bytes_max / PAGE));
    bool ok = database_make(&s->d, err) && database_open(&s->d, err) &&
              database_run(&s->d, "PRAGMA secure_delete = ON", err) &&
              database_run(&s->d, "PRAGMA temp_store = MEMORY", err) &&
              (s->bytes_max == 0 || database_run(&s->d, limit, err)) && check_keys(s, err) &&
              (s->keys == NULL || reseal(s, err));
    if (!ok)
        database_close(&s->d);
    return ok;
}

/* ---- deletion ---- */

static bool delete_row(struct shelf *s, int64_t row, struct err *err)
{
    s->wal = true;
    return run_row(s, DELETE_BODIES, row, err) && run_row(s, DELETE, row, err);
}

void shelf_tidy(struct shelf *s)
{
    if (s->wal && s->d.db != NULL &&
        sqlite3_wal_checkpoint_v2(s->d.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
            SQLITE_OK)
        s->wal = false;
}

/* A row's number, of which there is at most one; *row 0 = none. */
static bool one_row(struct shelf *s, sqlite3_stmt *st, bool bound, int64_t *row, struct err *err)
{
    bool found;
    if (!step(s, st, bound, &found, err))
        return false;
    *row = found ? sqlite3_column_int64(st, 0) : 0;
    database_done(st);
    return true;
}

/* Room for one more session of the user: those that were quiet longest go. */
static bool make_room(struct shelf *s, const char *user, struct err *err)
{
    for (;;) {
        int64_t row;
        sqlite3_stmt *st = database_prepare(&s->d, SURPLUS, err);
        if (st == NULL ||
            !one_row(s, st, bind_text(st, 1, user) && bind_i64(st, 2, (int64_t)s->sessions_max - 1),
                     &row, err))
            return false;
        if (row == 0 || !delete_row(s, row, err))
            return row == 0;
    }
}

bool shelf_purge(struct shelf *s, int64_t before_us, size_t *n, struct err *err)
{
    bool ok = run(s, BEGIN, err);
    int64_t row = 1;
    *n = 0;
    if (!ok)
        return false;
    while (ok && row != 0) {
        sqlite3_stmt *st = database_prepare(&s->d, IDLE, err);
        ok = st != NULL && one_row(s, st, bind_i64(st, 1, before_us), &row, err);
        if (ok && row != 0) {
            ok = delete_row(s, row, err);
            ++*n;
        }
    }
    ok = end(s, ok, err);
    shelf_tidy(s);
    return ok;
}

/* ---- one session ---- */

/* OK: the row is read and the statement stands on it, until database_done(*st). */
static enum chat_kept find(struct shelf *s, const char *user, const char *id, struct row *r,
                           sqlite3_stmt **out, struct err *err)
{
    bool found;
    enum chat_kept how = CHAT_KEPT_OK;
    sqlite3_stmt *st = database_prepare(&s->d, GET, err);
    *out = st;
    if (st == NULL || !step(s, st, bind_text(st, 1, id), &found, err))
        return CHAT_KEPT_FAILED;
    const char *owner = found ? (const char *)sqlite3_column_text(st, 2) : NULL;
    if (!found)
        how = CHAT_KEPT_NONE;
    else if (owner == NULL || strcmp(owner, user) != 0)
        how = CHAT_KEPT_FOREIGN;
    else if (!read_row(s, st, r, err))
        how = CHAT_KEPT_FAILED;
    if (how != CHAT_KEPT_OK)
        database_done(st);
    return how;
}

enum chat_kept shelf_delete(struct shelf *s, const char *user, const char *id, struct err *err)
{
    struct row r;
    sqlite3_stmt *st;
    s->row_damaged = false;
    enum chat_kept how = find(s, user, id, &r, &st, err);
    if (how == CHAT_KEPT_FAILED && s->row_damaged) /* it can be deleted all the same */
        err_clear(err);
    else if (how != CHAT_KEPT_OK)
        return how;
    else
        database_done(st);
    mem_wipe(r.key, sizeof r.key);
    bool ok = run(s, BEGIN, err);
    ok = ok && end(s, delete_row(s, r.row, err), err);
    shelf_tidy(s);
    return ok ? CHAT_KEPT_OK : CHAT_KEPT_FAILED;
}

static bool add(struct shelf *s, const struct chat_head *h, struct row *r, struct err *err)
{
    uint8_t wrapped[WRAPPED];
    memcpy(r->id, h->id, sizeof r->id);
    memcpy(r->user, h->user, sizeof r->user);
    r->sealed = false;
    if (s->sessions_max > 0 && !make_room(s, h->user, err))
        return false;
    if (s->keys != NULL && (!make_key(r, err) || !wrap_key(s, r, wrapped, err)))
        return false;
    sqlite3_stmt *st = database_prepare(&s->d, ADD, err);
    bool ok = st != NULL && bind_text(st, 1, r->id) && bind_text(st, 2, r->user) &&
              bind_i64(st, 3, h->last_us);
    if (ok && r->sealed)
        ok = bind_blob(st, 4, s->keys->id[0], CHAT_KEY_ID) &&
             bind_blob(st, 5, wrapped, sizeof wrapped);
    if (st == NULL || !finish(s, st, ok, err))
        return false;
    r->row = sqlite3_last_insert_rowid(s->d.db);
    return true;
}

static bool write_session(struct shelf *s, const struct row *r, const struct shelf_session *x,
                          struct err *err)
{
    size_t size;
    uint8_t *head = head_write(&x->head, &size);
    if (head == NULL)
        return err_oom(err);
    bool ok = put_head(s, r, x->head.last_us, (strv){(const char *)head, size}, err);
    mem_free_secret(head, size);
    for (size_t i = 0; ok && i < x->n; i++)
        ok = put_body(s, r, x->numbers[i], x->messages[i], err);
    return ok;
}

enum chat_kept shelf_put(struct shelf *s, const struct shelf_session *x, struct err *err)
{
    struct row r = {.row = 0};
    sqlite3_stmt *st;
    const struct chat_head *h = &x->head;
    s->row_damaged = false;
    if (h->is_private && s->keys == NULL && !s->unsealed_private) {
        /* What was kept before it became private may hold what made it so. */
        enum chat_kept gone = shelf_delete(s, h->user, h->id, err);
        return gone == CHAT_KEPT_OK ? CHAT_KEPT_NONE : gone;
    }
    if (!run(s, BEGIN, err))
        return CHAT_KEPT_FAILED;
    enum chat_kept how = find(s, h->user, h->id, &r, &st, err);
    if (how == CHAT_KEPT_OK)
        database_done(st);
    if (how == CHAT_KEPT_NONE && h->leaf > 0 && (x->n == 0 || x->numbers[0] != 1)) {
        end(s, false, err); /* messages without those before them could not be read again */
        return CHAT_KEPT_NONE;
    }
    bool fits = how == CHAT_KEPT_OK || (how == CHAT_KEPT_NONE && add(s, h, &r, err));
    bool ok = end(s, fits && write_session(s, &r, x, err), err);
    mem_wipe(r.key, sizeof r.key);
    shelf_tidy(s); /* others may have made room */
    return ok ? CHAT_KEPT_OK : how == CHAT_KEPT_FOREIGN ? how : CHAT_KEPT_FAILED;
}

/* ---- reading ---- */

/* Memory for all of a session: the list, its numbers, the head, the bodies. */
static bool make_memory(struct shelf *s, const struct row *r, size_t head,
                        struct shelf_session *out, struct err *err)
{
    bool found;
    sqlite3_stmt *st = database_prepare(&s->d, BODY_SIZE, err);
    if (st == NULL || !step(s, st, bind_i64(st, 1, r->row), &found, err))
        return false;
    int64_t n = found ? sqlite3_column_int64(st, 0) : 0;
    int64_t bytes = found ? sqlite3_column_int64(st, 1) : 0;
    database_done(st);
    if (n > UINT32_MAX || bytes > SESSION_MAX)
        return damaged(s, err);
    out->n = (size_t)n;
    out->size = out->n * (sizeof *out->messages + sizeof *out->numbers) + (size_t)bytes + head;
    out->memory = mem_alloc(out->size);
    if (out->memory == NULL)
        return err_oom(err);
    out->messages = out->memory;
    out->numbers = (uint32_t *)(void *)(out->messages + out->n);
    return true;
}

static bool read_bodies(struct shelf *s, const struct row *r, struct shelf_session *out,
                        uint8_t *at, struct err *err)
{
    bool found = true, ok;
    size_t i = 0, len = 0;
    const uint8_t *stop = (const uint8_t *)out->memory + out->size;
    sqlite3_stmt *st = database_prepare(&s->d, BODY_EACH, err);
    ok = st != NULL;
    while (ok && (ok = step(s, st, i > 0 || bind_i64(st, 1, r->row), &found, err)) && found) {
        strv stored = column_blob(st, 1);
        if (i == out->n || stored.len > (size_t)(stop - at)) { /* somebody else writes, too */
            ok = damaged(s, err);
            break;
        }
        out->numbers[i] = (uint32_t)sqlite3_column_int64(st, 0);
        ok = open_text(s, r, KIND_BODY, out->numbers[i], stored, at, &len, err);
        if (ok)
            out->messages[i++] = (strv){(const char *)at, len};
        at += ok ? len : 0;
    }
    out->n = i;
    if (st != NULL)
        database_done(st);
    return ok;
}

enum chat_kept shelf_load(struct shelf *s, const char *user, const char *id,
                          struct shelf_session *out, struct err *err)
{
    struct row r;
    sqlite3_stmt *st;
    size_t len = 0;
    *out = (struct shelf_session){.memory = NULL};
    s->row_damaged = false;
    enum chat_kept how = find(s, user, id, &r, &st, err);
    if (how != CHAT_KEPT_OK)
        return how;
    strv head = column_blob(st, 6);
    bool ok = make_memory(s, &r, head.len, out, err);
    uint8_t *at = (uint8_t *)(out->numbers + out->n);
    ok = ok && at != NULL && open_text(s, &r, KIND_HEAD, 0, head, at, &len, err) &&
         (head_read(at, len, &r, &out->head) || damaged(s, err));
    database_done(st);
    ok = ok && read_bodies(s, &r, out, at + len, err);
    mem_wipe(r.key, sizeof r.key);
    if (!ok)
        shelf_session_fini(out);
    return ok ? CHAT_KEPT_OK : CHAT_KEPT_FAILED;
}

/* ---- lists ---- */

struct search {
    strv folded; /* what is looked for; empty = everything */
    int64_t left;
};

/* Has the text it, whatever the case and the marks? */
static bool has(struct shelf *s, strv text, strv folded, struct err *err)
{
    struct text_view view;
    if (text.len == 0)
        return false;
    if (!text_normalise(s->scratch, text, TEXT_PLAIN, &view))
        return err_oom(err);
    return strv_contains_nocase((strv){view.folded, view.n}, folded);
}

static bool body_has(struct shelf *s, strv json, strv folded, struct err *err)
{
    struct arena arena;
    struct json doc;
    struct err invalid = ERR_INIT;
    arena_init(&arena, 4096, MESSAGE_JSON);
    strv content = STRV_NONE;
    if (json_read(&doc, json, &arena, 0, &invalid))
        content = json_get_str(doc.root, "content");
    bool found = has(s, content, folded, err);
    if (arena.failed)
        err_oom(err);
    arena_fini(&arena);
    return found;
}

/* A message that cannot be opened has nothing in it. */
static bool bodies_have(struct shelf *s, const struct row *r, struct search *q, struct err *err)
{
    bool found = true, hit = false;
    sqlite3_stmt *st = database_prepare(&s->d, BODY_EACH, err);
    bool bound = st != NULL && bind_i64(st, 1, r->row);
    while (st != NULL && !err->set && !hit && q->left > 0 && step(s, st, bound, &found, err) &&
           found) {
        struct err skipped = ERR_INIT;
        strv stored = column_blob(st, 1);
        size_t len = 0;
        uint8_t *text = mem_alloc(stored.len);
        q->left -= (int64_t)stored.len;
        if (text == NULL)
            err_oom(err);
        hit = text != NULL &&
              open_text(s, r, KIND_BODY, (uint32_t)sqlite3_column_int64(st, 0), stored, text, &len,
                        &skipped) &&
              body_has(s, (strv){(const char *)text, len}, q->folded, err);
        mem_free_secret(text, stored.len);
    }
    if (st != NULL)
        database_done(st);
    return hit;
}

void chat_head_json(const struct chat_head *h, struct buf *out)
{
    buf_put_cstr(out, "\"session_id\":");
    json_put_str(out, strv_of(h->id));
    buf_put_cstr(out, ",\"title\":");
    json_put_str(out, h->title);
    buf_printf(out, ",\"message_count\":%u,\"created_at\":", (unsigned)h->n_messages);
    json_put_time(out, h->created_us, 3);
    buf_put_cstr(out, ",\"last_activity\":");
    json_put_time(out, h->last_us, 3);
    buf_put_cstr(out, ",\"mode\":");
    json_put_str(out, h->mode);
    buf_put_cstr(out, ",\"model\":");
    json_put_str(out, h->model);
    buf_put_cstr(out, h->is_private ? ",\"private\":true" : ",\"private\":false");
}

/* One session of the list. One that cannot be opened is left out: loading it tells. */
static bool put_if_wanted(struct shelf *s, sqlite3_stmt *st, struct search *q, struct buf *out,
                          struct err *err)
{
    struct row r;
    struct chat_head head;
    struct err skipped = ERR_INIT;
    strv stored = column_blob(st, 6);
    size_t len = 0;
    uint8_t *text = mem_alloc(stored.len);
    if (text == NULL)
        return !err_oom(err);
    bool wanted = read_row(s, st, &r, &skipped) &&
                  open_text(s, &r, KIND_HEAD, 0, stored, text, &len, &skipped) &&
                  head_read(text, len, &r, &head);
    q->left -= (int64_t)stored.len;
    if (wanted && q->folded.len > 0)
        wanted = has(s, head.title, q->folded, err) || bodies_have(s, &r, q, err);
    if (wanted) {
        if (buf_view(out).ptr[buf_len(out) - 1] == '}')
            buf_put_char(out, ',');
        buf_put_char(out, '{');
        chat_head_json(&head, out);
        buf_put_char(out, '}');
    }
    mem_wipe(r.key, sizeof r.key);
    mem_free_secret(text, stored.len);
    return wanted;
}

/* The search as views have it; to be freed. */
static bool fold(struct shelf *s, strv search, struct search *q, struct err *err)
{
    struct text_view view;
    *q = (struct search){.left = SEARCH_MAX};
    if (search.len == 0)
        return true;
    char *copy = text_normalise(s->scratch, search, TEXT_PLAIN, &view) ? mem_alloc(view.n) : NULL;
    if (copy == NULL)
        return err_oom(err);
    memcpy(copy, view.folded, view.n);
    q->folded = (strv){copy, view.n};
    return true;
}

enum chat_kept shelf_list(struct shelf *s, const char *user, strv search, size_t limit,
                          int64_t before_us, struct buf *json, struct err *err)
{
    struct search q;
    bool found = true;
    size_t n = 0;
    s->row_damaged = false;
    sqlite3_stmt *st = database_prepare(&s->d, OF_USER, err);
    if (st == NULL || !fold(s, search, &q, err))
        return CHAT_KEPT_FAILED;
    bool bound = bind_text(st, 1, user) && bind_i64(st, 2, before_us > 0 ? before_us : INT64_MAX);
    buf_put_cstr(json, "{\"sessions\":[");
    while (!json->failed && !err->set && n < limit && q.left > 0 &&
           step(s, st, bound, &found, err) && found)
        n += put_if_wanted(s, st, &q, json, err);
    buf_put_cstr(json, "]}");
    database_done(st);
    mem_free_secret((char *)(uintptr_t)q.folded.ptr, q.folded.len);
    if (json->failed)
        err_oom(err);
    return err->set ? CHAT_KEPT_FAILED : CHAT_KEPT_OK;
}
