/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres - statements on a PostgreSQL server, by libpq; each has an end in time.
 *
 *   away --connect, migrate--> open --lost, or no reply in time--> away --the next call--> ...
 *
 * A call that was under way when the connection was lost fails: whether it was carried out nobody knows, so it is not
 * sent again. libpq opens the socket, but nothing is sent before the address of its other end was allowed, so that a
 * name which leads off the premises leads nowhere. Its memory is malloc's; a refusal there is an error of libpq.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "store/sql.h"
#include "store/store.h"

#define CONNECT_MS     5000 /* all of it but the look-up of a name */
#define REPLY_MS       10000
#define MIGRATE_MS     60000 /* another replica may be at it */
#define STATEMENTS_MAX 32
#define OPTIONS_MAX    64 /* that libpq knows: it is at forty */

/* Types of values, as the server numbers them. */
enum { TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25 };

struct server {
    struct sql sql;
    const struct sql_server_plan *plan;
    struct store_server at;
    PGconn *conn; /* NULL = away */
    bool prepared[STATEMENTS_MAX];
    int64_t version; /* the last that was told */
};

/* ---- what an address may say ---- */

static bool is_word(strv word, const char *text)
{
    return strv_eq_cstr(word, text);
}

static bool is_this_machine(const char *hosts)
{
    strv rest = strv_of(hosts != NULL ? hosts : ""), host;
    while (strv_cut(&rest, ',', &host)) {
        if (host.len > 0 && host.ptr[0] != '/' && host.ptr[0] != '@' &&
            !is_word(host, "localhost") && !is_word(host, "127.0.0.1") && !is_word(host, "::1"))
            return false;
    }
    return true;
}

static bool check_options(const PQconninfoOption *options, struct err *err)
{
    bool here = true, guarded = false;
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        strv word = strv_of(o->keyword);
        if (o->val == NULL)
            continue;
        if (is_word(word, "password") || is_word(word, "sslpassword"))
            return err_set(err, 0,
                           "no %s here: it comes from a file (passfile=/path, mode 0600) or from "
                           "the environment (PGPASSWORD)",
                           o->keyword);
        if (is_word(word, "service"))
            return err_set(err, 0, "no service here: say host, dbname and user themselves");
        if (is_word(word, "host") || is_word(word, "hostaddr"))
            here = here && is_this_machine(o->val);
        guarded = guarded || is_word(word, "sslmode");
    }
    return here || guarded ||
           err_set(err, 0,
                   "the server is another machine: say sslmode=verify-full, with "
                   "sslrootcert=/path/of/ca.pem, or another sslmode on purpose");
}

/* What is wrong with the text is not repeated: a password may be in it by mistake. */
static PQconninfoOption *parse(const char *address, struct err *err)
{
    PQconninfoOption *options = PQconninfoParse(address, NULL);
    if (options == NULL)
        err_set(err, 0, "expected words of libpq, such as host=/run/postgresql dbname=llm_router");
    return options;
}

bool store_server_ok(const char *address, struct err *err)
{
    PQconninfoOption *options = parse(address, err);
    bool ok = options != NULL && check_options(options, err);
    PQconninfoFree(options);
    return ok;
}

void store_server_files(const char *address, void (*each)(void *arg, const char *path), void *arg)
{
    static const char *const words[] = {"passfile",    "sslcert", "sslkey",
                                        "sslrootcert", "sslcrl",  "sslcrldir"};
    PQconninfoOption *options = parse(address, NULL);
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (o->val != NULL && o->val[0] == '/' && strcmp(o->keyword, words[i]) == 0)
                each(arg, o->val);
    PQconninfoFree(options);
}

/* ---- waiting ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What the socket is ready for; 0 = the time is over. */
static short wait_for(PGconn *conn, short events, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - now_ms();
        struct pollfd p = {.fd = PQsocket(conn), .events = events};
        int n = left > 0 && p.fd >= 0 ? poll(&p, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        return n > 0 ? p.revents : 0;
    }
}

static void hang_up(struct server *s)
{
    PQfinish(s->conn);
    s->conn = NULL;
    memset(s->prepared, 0, sizeof s->prepared);
}

/* libpq's words in one line. */
static bool say(const char *text, struct err *err)
{
    char line[300];
    size_t n = 0;
    for (const char *p = text; *p != '\0' && n + 1 < sizeof line; p++)
        if (*p != '\n' || p[1] != '\0')
            line[n++] = (unsigned char)*p < ' ' ? ' ' : *p;
    line[n] = '\0';
    return err_set(err, 0, "PostgreSQL: %s", n > 0 ? line : "no reply in time");
}

/* The connection is no good any more. Always false. */
static bool lost(struct server *s, struct err *err)
{
    say(PQerrorMessage(s->conn), err);
    hang_up(s);
    return false;
}

/* The reply to what was sent: its last result, or the first that is an error. NULL: the connection is lost. */
static PGresult *reply(struct server *s, int64_t wait_ms, struct err *err)
{
    int64_t until = now_ms() + wait_ms;
    PGresult *kept = NULL;
    for (;;) {
        int unsent = PQflush(s->conn);
        if (unsent == 0 && !PQisBusy(s->conn)) {
            PGresult *r = PQgetResult(s->conn);
            if (r == NULL && kept != NULL && PQstatus(s->conn) == CONNECTION_OK)
                return kept;
            if (r == NULL)
                break;
            if (kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
                PQclear(r);
                continue;
            }
            PQclear(kept);
            kept = r;
            continue;
        }
        short events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0));
        if (unsent < 0 || wait_for(s->conn, events, until) == 0 || PQconsumeInput(s->conn) == 0)
            break;
    }
    PQclear(kept);
    lost(s, err);
    return NULL;
}

static bool is_good(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* ---- statements without values: opening, migrations ---- */

/* *out, if it is not NULL, gets the number in the first column of the last row. */
static bool ask(struct server *s, const char *sql, int64_t *out, int64_t wait_ms, struct err *err)
{
    if (!PQsendQuery(s->conn, sql))
        return lost(s, err);
    PGresult *r = reply(s, wait_ms, err);
    bool ok = r != NULL && is_good(r);
    if (r != NULL && !ok)
        say(PQresultErrorMessage(r), err);
    if (ok && out != NULL) {
        ok = PQntuples(r) == 1 || err_set(err, 0, "PostgreSQL: a table of ours is damaged");
        if (ok)
            *out = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    }
    PQclear(r);
    return ok;
}

static bool migrate_from(struct server *s, int64_t version, struct err *err)
{
    char sql[128];
    for (; version < s->plan->n_migrations; version++) {
        snprintf(sql, sizeof sql, "INSERT INTO migration (version) VALUES (%" PRId64 ")",
                 version + 1);
        if (!ask(s, s->plan->migrations[version], NULL, MIGRATE_MS, err) ||
            !ask(s, sql, NULL, REPLY_MS, err))
            return false;
    }
    return ask(s, "COMMIT", NULL, REPLY_MS, err);
}

static bool schema_version(struct server *s, int64_t *out, struct err *err)
{
    char sql[160];
    int64_t there;
    *out = 0;
    snprintf(sql, sizeof sql, "SELECT (to_regclass('%s.migration') IS NOT NULL)::int",
             s->plan->schema);
    return ask(s, sql, &there, REPLY_MS, err) &&
           (there == 0 ||
            ask(s, "SELECT coalesce(max(version), 0) FROM migration", out, REPLY_MS, err)) &&
           (*out <= s->plan->n_migrations ||
            err_set(err, 0,
                    "PostgreSQL: the tables were made by a newer version (%" PRId64
                    ", this one knows %d)",
                    *out, s->plan->n_migrations));
}

/* The look without a lock is for every connection but the first: then nothing needs to be allowed to make tables. */
static bool migrate(struct server *s, struct err *err)
{
    char sql[320];
    int64_t version;
    if (!schema_version(s, &version, err))
        return false;
    if (version == s->plan->n_migrations)
        return true;
    snprintf(sql, sizeof sql,
             "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(%" PRId64 ");"
             "CREATE SCHEMA IF NOT EXISTS %s; CREATE TABLE IF NOT EXISTS migration"
             " (version INT PRIMARY KEY, made TIMESTAMPTZ NOT NULL DEFAULT now())",
             s->plan->lock, s->plan->schema);
    /* READ COMMITTED, and a statement of its own behind the lock: it sees what another replica has done meanwhile. */
    return ask(s, sql, NULL, MIGRATE_MS, err) && schema_version(s, &version, err) &&
           migrate_from(s, version, err);
}

/* ---- connecting ---- */

/* Is the other end allowed? Not connected yet: *wait. */
static bool check_peer(struct server *s, short ready, bool *wait, struct err *err)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof addr;
    *wait = false;
    if (getpeername(PQsocket(s->conn), (struct sockaddr *)&addr, &len) != 0) {
        *wait = (ready & (POLLERR | POLLHUP)) == 0;
        return true; /* libpq finds the error, and may try another address */
    }
    return s->at.allow == NULL || s->at.allow(s->at.rule, (const struct sockaddr *)&addr) ||
           err_set(err, 0,
                   "PostgreSQL: the address of %.100s is neither loopback nor in local_networks",
                   PQhost(s->conn));
}

static bool finish_connecting(struct server *s, struct err *err)
{
    int64_t until = now_ms() + CONNECT_MS;
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (PQstatus(s->conn) != CONNECTION_BAD && want != PGRES_POLLING_OK &&
           want != PGRES_POLLING_FAILED) {
        bool wait;
        short ready = wait_for(s->conn, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, until);
        if (ready == 0)
            return err_set(err, 0, "PostgreSQL: %.100s does not answer in time", PQhost(s->conn));
        if (!check_peer(s, ready, &wait, err))
            return false;
        if (!wait)
            want = PQconnectPoll(s->conn);
    }
    return want == PGRES_POLLING_OK || say(PQerrorMessage(s->conn), err);
}

/* Ours first: of a word that is there twice libpq takes the last. */
static PGconn *begin_connecting(const struct server *s, struct err *err)
{
    const char *words[OPTIONS_MAX + 4] = {"application_name", "gssencmode", "client_encoding"};
    const char *values[OPTIONS_MAX + 4] = {"llm-router", "disable", "UTF8"};
    size_t n = 3;
    PQconninfoOption *options = parse(s->at.address, err);
    if (options == NULL)
        return NULL;
    for (const PQconninfoOption *o = options; o->keyword != NULL && n < OPTIONS_MAX + 3; o++) {
        if (o->val == NULL)
            continue;
        words[n] = o->keyword;
        values[n++] = o->val;
    }
    PGconn *conn = PQconnectStartParams(words, values, 0);
    PQconninfoFree(options);
    if (conn == NULL)
        err_oom(err);
    return conn;
}

static void no_notice(void *arg, const PGresult *notice)
{
    (void)arg, (void)notice;
}

static bool open_server(struct server *s, struct err *err)
{
    char sql[160];
    s->conn = begin_connecting(s, err);
    if (s->conn == NULL)
        return false;
    PQsetErrorVerbosity(s->conn, PQERRORS_TERSE);  /* no values of rows */
    PQsetNoticeReceiver(s->conn, no_notice, NULL); /* it would write to standard error */
    snprintf(sql, sizeof sql, "SET search_path TO %s; SET lock_timeout TO %d", s->plan->schema,
             MIGRATE_MS);
    bool ok = finish_connecting(s, err) && PQsetnonblocking(s->conn, 1) == 0 &&
              ask(s, sql, NULL, REPLY_MS, err) && migrate(s, err);
    snprintf(sql, sizeof sql, "SET statement_timeout TO %d", REPLY_MS);
    ok = ok && ask(s, sql, NULL, REPLY_MS, err); /* nobody waits any longer, so it ends there too */
    if (!ok && s->conn != NULL)
        hang_up(s);
    return ok || (err_set(err, 0, "PostgreSQL: no connection"), false);
}

/* Nothing is said by a server that was not asked, but that it goes. */
static bool ready(struct server *s, struct err *err)
{
    if (s->conn != NULL && wait_for(s->conn, POLLIN, now_ms() + 1) != 0)
        hang_up(s);
    return s->conn != NULL || open_server(s, err);
}

/* ---- statements with values ---- */

static int type_of(enum sql_kind kind)
{
    return kind == SQL_INT ? TYPE_INT8 : kind == SQL_BYTES ? TYPE_BYTEA : TYPE_TEXT;
}

static void name_of(int which, char out[16])
{
    snprintf(out, 16, "s%d", which);
}

/* ?1 is $1 here. */
static bool prepare(struct server *s, const struct sql_call *call, struct err *err)
{
    char sql[2048], name[16];
    Oid types[SQL_VALUES_MAX];
    const char *from = s->plan->statements[call->which];
    if (s->prepared[call->which])
        return true;
    assert(strlen(from) < sizeof sql);
    for (size_t i = 0; i <= strlen(from); i++)
        sql[i] = from[i] == '?' ? '$' : from[i];
    for (size_t i = 0; i < call->n_values; i++)
        types[i] = (Oid)type_of(call->values[i].kind);
    name_of(call->which, name);
    if (!PQsendPrepare(s->conn, name, sql, (int)call->n_values, types))
        return lost(s, err);
    PGresult *r = reply(s, REPLY_MS, err);
    s->prepared[call->which] = r != NULL && is_good(r);
    if (r != NULL && !s->prepared[call->which])
        say(PQresultErrorMessage(r), err);
    PQclear(r);
    return s->prepared[call->which];
}

/* Everything in binary form: numbers with their highest byte first, the rest as it is. */
static bool send_call(struct server *s, const struct sql_call *call)
{
    char name[16];
    uint8_t numbers[SQL_VALUES_MAX][8];
    const char *values[SQL_VALUES_MAX];
    int lengths[SQL_VALUES_MAX], formats[SQL_VALUES_MAX];
    assert(call->n_values <= SQL_VALUES_MAX);
    for (size_t i = 0; i < call->n_values; i++) {
        const struct sql_value *v = &call->values[i];
        for (int k = 0; k < 8; k++)
            numbers[i][k] = (uint8_t)((uint64_t)v->number >> (56 - 8 * k));
        values[i] = v->kind == SQL_INT ? (const char *)numbers[i] : v->bytes;
        lengths[i] = v->kind == SQL_INT ? 8 : (int)v->len;
        formats[i] = 1;
    }
    name_of(call->which, name);
    return PQsendQueryPrepared(s->conn, name, (int)call->n_values, values, lengths, formats, 1) !=
           0;
}

static struct sql_value cell(const PGresult *r, int row, int at)
{
    const char *bytes = PQgetvalue(r, row, at);
    size_t len = (size_t)PQgetlength(r, row, at);
    uint64_t n = 0;
    if (PQgetisnull(r, row, at))
        return (struct sql_value){.kind = SQL_NULL};
    switch (PQftype(r, at)) {
    case TYPE_INT8:
        for (size_t i = 0; i < len; i++)
            n = n << 8 | (uint8_t)bytes[i];
        return sql_int((int64_t)n);
    case TYPE_TEXT:
        return (struct sql_value){.kind = SQL_TEXT, .bytes = bytes, .len = len};
    case TYPE_BYTEA:
        return sql_bytes(bytes, len);
    default:
        return (struct sql_value){.kind = SQL_NULL};
    }
}

static void hand_rows(const PGresult *r, const struct sql_call *call)
{
    struct sql_value row[SQL_VALUES_MAX];
    int n = PQnfields(r), rows = call->row != NULL ? PQntuples(r) : 0;
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k < n && k < SQL_VALUES_MAX; k++)
            row[k] = cell(r, i, k);
        if (!call->row(call->arg, row, (size_t)n))
            return;
    }
}

static enum sql_end server_run(struct sql *sql, struct sql_call *call, struct err *err)
{
    struct server *s = (struct server *)sql;
    call->changed = 0;
    if (!ready(s, err) || !prepare(s, call, err))
        return SQL_FAILED;
    if (!send_call(s, call)) {
        lost(s, err);
        return SQL_FAILED;
    }
    PGresult *r = reply(s, REPLY_MS, err);
    if (r == NULL)
        return SQL_FAILED;
    enum sql_end end = SQL_OK;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (is_good(r)) {
        call->changed = strtoll(PQcmdTuples(r), NULL, 10);
        hand_rows(r, call);
    } else if (state != NULL && strncmp(state, "23", 2) == 0) { /* integrity */
        end = SQL_CONFLICT;
    } else {
        end = SQL_FAILED;
        say(PQresultErrorMessage(r), err);
    }
    PQclear(r);
    return end;
}

/* ---- the driver ---- */

static bool server_there(const struct sql *sql)
{
    (void)sql;
    return true; /* away is not empty */
}

static bool server_make(struct sql *sql, struct err *err)
{
    return ready((struct server *)sql, err);
}

static int64_t server_version(struct sql *sql, struct err *err)
{
    struct server *s = (struct server *)sql;
    int64_t n;
    if (ready(s, err) && ask(s, s->plan->version, &n, REPLY_MS, err))
        s->version = n;
    return s->version;
}

static void server_close(struct sql *sql)
{
    struct server *s = (struct server *)sql;
    hang_up(s);
    mem_free(s);
}

static const struct sql_driver driver = {server_there, server_make, server_version, server_run,
                                         server_close};

struct sql *sql_server_open(const struct sql_server_plan *plan, const struct store_server *server,
                            struct err *err)
{
    struct server *s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        err_oom(err);
        return NULL;
    }
    assert(plan->n_statements <= STATEMENTS_MAX);
    *s = (struct server){.sql = {&driver, "PostgreSQL"}, .plan = plan, .at = *server};
    if (open_server(s, err))
        return &s->sql;
    server_close(&s->sql);
    return NULL;
}
