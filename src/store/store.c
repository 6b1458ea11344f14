/* SPDX-License-Identifier: Apache-2.0 */
/* store - what the tables of keys and approvals look like, in a file and on a server, and the few statements on them. */
#include "store/store.h"

#include <assert.h>

#include "store/sql.h"

/* Another process holds the lock for a single small transaction; five seconds means it hangs. */
#define BUSY_MS        5000
#define APPLICATION_ID 0x4c4c4d52 /* "LLMR": tells our file from anyone else's database */

/* ---- what they look like ---- */

/* Migration n takes a file of user_version n to n + 1. Add at the end; never change one that was released.
 */
static const char *const migrations[] = {
    "CREATE TABLE key ("
    " id TEXT NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " name TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) <= 63),"
    " digest BLOB NOT NULL UNIQUE CHECK (typeof(digest) = 'blob' AND length(digest) = 32),"
    " created_us INTEGER NOT NULL,"
    " revoked_us INTEGER NOT NULL DEFAULT 0)",
    /* Keys that are there could read everything until now. */
    "ALTER TABLE key ADD COLUMN rules TEXT NOT NULL DEFAULT ''"
    " CHECK (length(CAST(rules AS BLOB)) < 1536);"
    "UPDATE key SET rules = 'admin=yes' || char(10)",
    "CREATE TABLE approval ("
    " id TEXT NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " server TEXT NOT NULL CHECK (length(CAST(server AS BLOB)) <= 31),"
    " tool TEXT NOT NULL CHECK (length(CAST(tool AS BLOB)) <= 128),"
    " key TEXT NOT NULL CHECK (length(CAST(key AS BLOB)) <= 31),"
    " session TEXT NOT NULL CHECK (length(CAST(session AS BLOB)) <= 255),"
    " arguments TEXT NOT NULL,"
    " arguments_digest BLOB NOT NULL CHECK (length(arguments_digest) = 32),"
    " tool_digest BLOB NOT NULL CHECK (length(tool_digest) = 32),"
    " effect INTEGER NOT NULL, always INTEGER NOT NULL,"
    " asked_us INTEGER NOT NULL, until_us INTEGER NOT NULL,"
    " decided_us INTEGER NOT NULL DEFAULT 0,"
    " decision INTEGER NOT NULL DEFAULT 0,"
    " decided_by TEXT NOT NULL DEFAULT '' CHECK (length(CAST(decided_by AS BLOB)) <= 63),"
    " remember INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0)",
};
#define VERSION_NOW ((int)(sizeof migrations / sizeof *migrations))

/* The same on a server, for which a number counts the changes. Add at the end here, too. */
static const char *const server_migrations[] = {
    "CREATE TABLE change (n BIGINT NOT NULL);"
    "INSERT INTO change VALUES (1);"
    "CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN UPDATE llm_router.change SET n = n + 1; RETURN NULL; END$$;"
    "CREATE TABLE key ("
    " id TEXT COLLATE \"C\" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " name TEXT NOT NULL CHECK (octet_length(name) <= 63),"
    " digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),"
    " created_us BIGINT NOT NULL,"
    " revoked_us BIGINT NOT NULL DEFAULT 0,"
    " rules TEXT NOT NULL DEFAULT '' CHECK (octet_length(rules) < 1536));"
    "CREATE TRIGGER key_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON key"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_change();"
    "CREATE TABLE approval ("
    " id TEXT COLLATE \"C\" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 31),"
    " server TEXT NOT NULL CHECK (octet_length(server) <= 31),"
    " tool TEXT NOT NULL CHECK (octet_length(tool) <= 128),"
    " key TEXT NOT NULL CHECK (octet_length(key) <= 31),"
    " session TEXT NOT NULL CHECK (octet_length(session) <= 255),"
    " arguments TEXT NOT NULL,"
    " arguments_digest BYTEA NOT NULL CHECK (length(arguments_digest) = 32),"
    " tool_digest BYTEA NOT NULL CHECK (length(tool_digest) = 32),"
    " effect BIGINT NOT NULL, always BIGINT NOT NULL,"
    " asked_us BIGINT NOT NULL, until_us BIGINT NOT NULL,"
    " decided_us BIGINT NOT NULL DEFAULT 0,"
    " decision BIGINT NOT NULL DEFAULT 0,"
    " decided_by TEXT NOT NULL DEFAULT '' CHECK (octet_length(decided_by) <= 63),"
    " remember BIGINT NOT NULL DEFAULT 0, used BIGINT NOT NULL DEFAULT 0);"
    "CREATE TRIGGER approval_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON approval"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_change()",
};

enum statement {
    KEY_ADD,
    KEY_REVOKE,
    KEY_EDIT,
    KEY_FIND,
    KEY_EACH,
    APPROVAL_PUT,
    APPROVAL_DECIDE,
    APPROVAL_EACH,
    APPROVAL_PURGE,
    STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [KEY_ADD] = "INSERT INTO key (id, name, digest, created_us, revoked_us, rules)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [KEY_REVOKE] = "UPDATE key SET revoked_us = ?2 WHERE id = ?1 AND revoked_us = 0",
    [KEY_EDIT] = "UPDATE key SET rules = ?2 WHERE id = ?1 AND revoked_us = 0",
    [KEY_FIND] = "SELECT revoked_us FROM key WHERE id = ?1",
    [KEY_EACH] = "SELECT id, name, digest, created_us, revoked_us, rules FROM key"
                 " ORDER BY created_us, id",
    [APPROVAL_PUT] =
        "INSERT INTO approval (id, server, tool, key, session, arguments, arguments_digest,"
        " tool_digest, effect, always, asked_us, until_us, decided_us, decision, decided_by,"
        " remember, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16, ?17) ON CONFLICT (id) DO UPDATE SET server = excluded.server,"
        " tool = excluded.tool, key = excluded.key, session = excluded.session,"
        " arguments = excluded.arguments, arguments_digest = excluded.arguments_digest,"
        " tool_digest = excluded.tool_digest, effect = excluded.effect, always = excluded.always,"
        " asked_us = excluded.asked_us, until_us = excluded.until_us,"
        " decided_us = excluded.decided_us, decision = excluded.decision,"
        " decided_by = excluded.decided_by, remember = excluded.remember, used = excluded.used",
    [APPROVAL_DECIDE] = "UPDATE approval SET decision = ?2, remember = ?3, decided_by = ?4,"
                        " decided_us = ?5, arguments = '' WHERE id = ?1 AND decision = 0",
    [APPROVAL_EACH] = "SELECT id, server, tool, key, session, arguments, arguments_digest,"
                      " tool_digest, effect, always, asked_us, until_us, decided_us, decision,"
                      " decided_by, remember, used FROM approval ORDER BY asked_us, id",
    [APPROVAL_PURGE] = "DELETE FROM approval WHERE asked_us < ?1",
};

static const struct database_plan plan = {
    .what = "store",
    .application_id = APPLICATION_ID,
    .migrations = migrations,
    .n_migrations = VERSION_NOW,
    .statements = statements,
    .n_statements = STATEMENTS,
    .busy_ms = BUSY_MS,
};

static const struct sql_server_plan server_plan = {
    .schema = "llm_router",
    .lock = APPLICATION_ID,
    .migrations = server_migrations,
    .n_migrations = (int)(sizeof server_migrations / sizeof *server_migrations),
    .version = "SELECT n FROM change",
    .statements = statements,
    .n_statements = STATEMENTS,
};

struct store {
    struct sql *sql;
};

/* ---- opening ---- */

struct store *store_open(const struct store_at *at, bool create, struct err *err)
{
    struct store *s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        err_oom(err);
        return NULL;
    }
    s->sql = at->server.address != NULL ? sql_server_open(&server_plan, &at->server, err)
                                        : sql_file_open(&plan, at->path, create, err);
    if (s->sql != NULL)
        return s;
    mem_free(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    s->sql->driver->close(s->sql);
    mem_free(s);
}

int64_t store_version(struct store *s, struct err *err)
{
    return s->sql->driver->version(s->sql, err);
}

static bool there(const struct store *s)
{
    return s->sql->driver->there(s->sql);
}

/* ---- statements ---- */

#define COUNT(values) (sizeof(values) / sizeof *(values))

static enum sql_end run(struct store *s, struct sql_call *call, struct err *err)
{
    return s->sql->driver->run(s->sql, call, err);
}

/* For a statement whose rules none of our values break: that one is in the way is told as it is. */
static bool run_plain(struct store *s, struct sql_call *call, struct err *err)
{
    enum sql_end end = run(s, call, err);
    return end == SQL_OK ||
           (end == SQL_CONFLICT && err_set(err, 0, "%.200s: a value does not fit", s->sql->name));
}

/* Every row to one callback, which says when one of them is no row of ours. */
struct reading {
    bool (*key)(void *arg, const struct store_key *key);
    bool (*approval)(void *arg, const struct store_approval *a);
    void *arg;
    bool damaged;
};

static bool read_all(struct store *s, int which, sql_row_fn row, struct reading *r,
                     const char *what, struct err *err)
{
    struct sql_call call = {.which = which, .row = row, .arg = r};
    if (!there(s))
        return true;
    return run_plain(s, &call, err) &&
           (!r->damaged || err_set(err, 0, "%.200s: the row of %s is damaged", s->sql->name, what));
}

/* ---- keys ---- */

bool store_key_add(struct store *s, const struct store_key *key, struct err *err)
{
    const struct sql_value values[] = {sql_text(key->id),
                                       sql_text(key->name),
                                       sql_bytes(key->digest, sizeof key->digest),
                                       sql_int(key->created_us),
                                       sql_int(key->revoked_us),
                                       sql_text(key->rules)};
    struct sql_call call = {.which = KEY_ADD, .values = values, .n_values = COUNT(values)};
    if (!there(s)) /* no file yet */
        return err_set(err, 0, "%.200s does not exist", s->sql->name);
    enum sql_end end = run(s, &call, err);
    return end == SQL_OK ||
           (end == SQL_CONFLICT &&
            err_set(err, 0, "the key %.31s is there already, or has no id", key->id));
}

static bool note_row(void *arg, const struct sql_value *row, size_t n)
{
    (void)row, (void)n;
    *(bool *)arg = true;
    return false;
}

static bool no_key(const char *id, struct err *err)
{
    return err_set(err, 0, "there is no key %.31s", id);
}

/* Why nothing was changed; always false. */
static bool unchanged(struct store *s, const char *id, struct err *err)
{
    bool found = false;
    const struct sql_value values[] = {sql_text(id)};
    struct sql_call call = {KEY_FIND, values, 1, note_row, &found, 0};
    return run_plain(s, &call, err) &&
           (found ? err_set(err, 0, "the key %.31s is revoked already", id) : no_key(id, err));
}

/* A statement that must change the one key. */
static bool change(struct store *s, int which, const char *id, struct sql_value value,
                   struct err *err)
{
    const struct sql_value values[] = {sql_text(id), value};
    struct sql_call call = {.which = which, .values = values, .n_values = COUNT(values)};
    if (!there(s))
        return no_key(id, err);
    return run_plain(s, &call, err) && (call.changed == 1 || unchanged(s, id, err));
}

bool store_key_revoke(struct store *s, const char *id, int64_t now_us, struct err *err)
{
    assert(now_us != 0); /* 0 means not revoked */
    return change(s, KEY_REVOKE, id, sql_int(now_us), err);
}

bool store_key_edit(struct store *s, const char *id, const char *rules, struct err *err)
{
    return change(s, KEY_EDIT, id, sql_text(rules), err);
}

static bool key_row(void *arg, const struct sql_value *row, size_t n)
{
    struct reading *r = arg;
    struct store_key key = {.id = ""};
    r->damaged = n != 6 || !sql_take_text(&row[0], key.id, sizeof key.id) ||
                 !sql_take_text(&row[1], key.name, sizeof key.name) ||
                 !sql_take_bytes(&row[2], key.digest, sizeof key.digest) ||
                 !sql_take_int(&row[3], &key.created_us) ||
                 !sql_take_int(&row[4], &key.revoked_us) ||
                 !sql_take_text(&row[5], key.rules, sizeof key.rules);
    return !r->damaged && r->key(r->arg, &key);
}

bool store_key_each(struct store *s, bool (*fn)(void *arg, const struct store_key *key), void *arg,
                    struct err *err)
{
    struct reading r = {.key = fn, .arg = arg};
    return read_all(s, KEY_EACH, key_row, &r, "a key", err);
}

/* ---- calls that wait for a person ---- */

bool store_approval_put(struct store *s, const struct store_approval *a, struct err *err)
{
    const struct sql_value values[] = {
        sql_text(a->id),
        sql_text(a->server),
        sql_text(a->tool),
        sql_text(a->key),
        sql_text(a->session),
        sql_text(a->arguments),
        sql_bytes(a->arguments_digest, sizeof a->arguments_digest),
        sql_bytes(a->tool_digest, sizeof a->tool_digest),
        sql_int(a->effect),
        sql_int(a->always),
        sql_int(a->asked_us),
        sql_int(a->until_us),
        sql_int(a->decided_us),
        sql_int(a->decision),
        sql_text(a->decided_by),
        sql_int(a->remember),
        sql_int(a->used),
    };
    struct sql_call call = {.which = APPROVAL_PUT, .values = values, .n_values = COUNT(values)};
    return (there(s) || s->sql->driver->make(s->sql, err)) && run_plain(s, &call, err);
}

bool store_approval_decide(struct store *s, const char *id, int decision, bool remember,
                           const char *by, int64_t now_us, struct err *err)
{
    const struct sql_value values[] = {sql_text(id), sql_int(decision), sql_int(remember),
                                       sql_text(by), sql_int(now_us)};
    struct sql_call call = {.which = APPROVAL_DECIDE, .values = values, .n_values = COUNT(values)};
    if (there(s) && !run_plain(s, &call, err))
        return false;
    return call.changed == 1 || err_set(err, 0, "no call %.31s waits for an approval", id);
}

static bool approval_numbers(const struct sql_value *row, struct store_approval *a)
{
    int64_t effect, always, decision, remember, used;
    if (!sql_take_int(&row[8], &effect) || !sql_take_int(&row[9], &always) ||
        !sql_take_int(&row[10], &a->asked_us) || !sql_take_int(&row[11], &a->until_us) ||
        !sql_take_int(&row[12], &a->decided_us) || !sql_take_int(&row[13], &decision) ||
        !sql_take_int(&row[15], &remember) || !sql_take_int(&row[16], &used))
        return false;
    a->effect = (int)effect;
    a->decision = (int)decision;
    a->always = always != 0;
    a->remember = remember != 0;
    a->used = used != 0;
    return true;
}

static bool approval_row(void *arg, const struct sql_value *row, size_t n)
{
    struct reading *r = arg;
    struct store_approval a = {.id = ""};
    r->damaged = n != 17 || row[5].kind != SQL_TEXT || !sql_take_text(&row[0], a.id, sizeof a.id) ||
                 !sql_take_text(&row[1], a.server, sizeof a.server) ||
                 !sql_take_text(&row[2], a.tool, sizeof a.tool) ||
                 !sql_take_text(&row[3], a.key, sizeof a.key) ||
                 !sql_take_text(&row[4], a.session, sizeof a.session) ||
                 !sql_take_bytes(&row[6], a.arguments_digest, sizeof a.arguments_digest) ||
                 !sql_take_bytes(&row[7], a.tool_digest, sizeof a.tool_digest) ||
                 !sql_take_text(&row[14], a.decided_by, sizeof a.decided_by) ||
                 !approval_numbers(row, &a);
    a.arguments = r->damaged ? NULL : row[5].bytes;
    return !r->damaged && r->approval(r->arg, &a);
}

bool store_approval_each(struct store *s, bool (*fn)(void *arg, const struct store_approval *a),
                         void *arg, struct err *err)
{
    struct reading r = {.approval = fn, .arg = arg};
    return read_all(s, APPROVAL_EACH, approval_row, &r, "an approval", err);
}

bool store_approval_purge(struct store *s, int64_t before_us, struct err *err)
{
    const struct sql_value values[] = {sql_int(before_us)};
    struct sql_call call = {.which = APPROVAL_PURGE, .values = values, .n_values = COUNT(values)};
    return !there(s) || run_plain(s, &call, err);
}
