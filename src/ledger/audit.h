/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - a record of what went where, that shows when somebody has touched it.
 *
 *   worker: audit_intent() --queue--> writer thread: write, fdatasync, head --io_post--> done(ok): send
 *           audit_note()   --queue--> the same, but it may wait for company (flush_ms)
 *
 * A normal case: a request is about to leave for a provider of zone cloud. Its intent is queued, written and
 * made durable together with what other workers brought meanwhile, and only then is it sent. When the exchange
 * is over, one more record tells how it ended. A bad case: the disk is full. Intents fail at once and say why,
 * the writer tries again a few times a second, and what it could not write is told as a number in a record.
 *
 * No record holds content: names of the configuration, kinds and counts, sizes, digests, a keyed digest of the
 * session. docs/audit.md tells the format, what a check finds and what it cannot.
 *
 * A handover: for the time in which two processes serve, the old one's batches go to the new one's queue, and what the
 * old one's callers wait for is durable when the new one says so. There is never more than one that writes the files.
 *
 * audit_trail.c the files, audit_record.c what stands in them, audit_verify.c the check, audit_crypto.c digests
 * and signatures, audit.c the queue and the thread, audit_relay.c what is said between two processes.
 */
#ifndef LEDGER_AUDIT_H
#define LEDGER_AUDIT_H

#include "base/base.h"
#include "io/io.h"

struct ledger_row;

struct audit_opts {
    const char *dir; /* of the files; made 0700 */
    const char *key; /* file of the private key, made 0600 with the first record */
    uint64_t rotate_bytes, rotate_ms;
    uint64_t keep_days, keep_bytes; /* 0 = for ever, without end */
    uint64_t flush_ms;              /* how long a note may wait for company */
    uint64_t checkpoint_ms;
};

struct audit; /* one per process; any thread */

/* Starts the writer. NULL with err: no memory, no thread, or another process writes there. Anything else (disk,
 * key, permission) leaves an audit that is not ready and tries again. */
struct audit *audit_open(const struct audit_opts *opts, struct log *log, struct err *err);
/* For tests: no files and no thread, each record is handed to `sink`. STRV_NONE asks whether it would take one.
 * LATER: whoever waits is told by audit_sink_tell(). */
enum audit_sunk { AUDIT_SUNK_NO, AUDIT_SUNK_YES, AUDIT_SUNK_LATER };
struct audit *audit_open_sink(enum audit_sunk (*sink)(void *arg, strv record), void *arg);
void audit_sink_tell(struct audit *a, bool ok);
/* What may change while it runs: all but the paths. */
void audit_set_opts(struct audit *a, const struct audit_opts *opts);
/* Writes what is queued, a last checkpoint, and ends. Nobody may have an intent open. */
void audit_close(struct audit *a);

/* Two processes and one chain: the one that goes yields its files and has its records written by the one that has come,
 * over `fd` (io/pass.h), which is the audit's from here on. When the other side is gone it takes the files back. Waits
 * until the files are free; false: they are not, and nothing has changed. */
bool audit_yield(struct audit *a, int fd);
/* The one that has come: writes what arrives at `fd`, which is the audit's from here on, until nothing more can. */
bool audit_take(struct audit *a, int fd, struct err *err);
/* Is there still one that goes? */
bool audit_taking(struct audit *a);

/* Can records be made durable? If not and `why` is given it gets the reason. NULL audit: never. */
bool audit_ready(struct audit *a, char *why, size_t size);

/* The record of a call that is about to be made. All but `request_id` are names of the configuration or of the
 * source; STRV_NONE and NULL leave a member out. */
struct audit_intent {
    strv request_id;
    const char *key;      /* id of the API key */
    const char *door;     /* dialect of the caller */
    strv session;         /* becomes a keyed digest */
    strv task;            /* class */
    bool is_private;      /* a pseudonymised request is one that still leaves */
    const char *findings; /* "mrn=1 name=2" */
    strv rule;            /* why this target */
    const char *rules;    /* of the plan, that had a say */
    unsigned attempt;     /* 1 = the first call of the exchange */
    const char *provider, *zone;
    strv model;
    const char *address; /* where it goes, host:port as configured */
    const char *ip;      /* and the address that the connection is to; NULL = a UNIX socket */
    uint64_t bytes;      /* sent, and their digest */
    uint8_t sha256[32];
};

/* A call of a tool of an MCP server: before it is made, where it leaves the premises, and when it is over. Names as in
 * the configuration and in the server's list; never arguments or results. */
struct audit_tool {
    strv request_id;
    const char *key; /* id of the API key */
    strv session;    /* becomes a keyed digest */
    bool is_private;
    const char *server, *zone;
    strv tool;
    uint8_t arguments[32]; /* SHA-256 of what was sent, or of what the model wrote if nothing was */
    uint64_t arguments_bytes;
    const char *approval; /* "auto", "approved", "denied", ... */
    const char *by;       /* who decided; NULL = nobody */
    /* when it is over */
    const char *end;          /* "ok", "refused", "gone", "late", ... */
    const char *data_quality; /* "suspect"; NULL = nothing was noticed */
    uint64_t bytes;           /* of the result */
    int64_t us;
};

struct audit_ticket;
/* Queues the record; done(arg, ok) is called on `loop` when it is durable, or could not be made so. NULL: refused
 * now (not ready, queue full, no memory), and done is not called. */
struct audit_ticket *audit_intend(struct audit *a, struct io_loop *loop,
                                  const struct audit_intent *intent,
                                  void (*done)(void *arg, bool ok), void *arg);
/* The same for a tool whose server is not on the premises. */
struct audit_ticket *audit_intend_tool(struct audit *a, struct io_loop *loop,
                                       const struct audit_tool *tool,
                                       void (*done)(void *arg, bool ok), void *arg);
/* done will not be called any more; the record is written all the same. On the loop's thread. */
void audit_forget(struct audit_ticket *t);
/* The loop is about to go: nothing is posted to it from here on. Every ticket of it must be over or forgotten. */
void audit_leave(struct audit *a, struct io_loop *loop);

/* What the audit knows of an exchange beside its row. */
struct audit_facts {
    strv session;
    const char *findings;
    strv rule; /* how the list of targets was found */
    const char *rules;
};
/* An exchange is over. Never waits; what finds no room is counted, and the count is recorded. */
void audit_note(struct audit *a, const struct ledger_row *row, const struct audit_facts *facts);
/* A call of a tool is over, or was not made. The same. */
void audit_note_tool(struct audit *a, const struct audit_tool *tool, int64_t wall_us);

/* Advice was given, or what became of it was told. The same. */
struct ledger_decision;
void audit_note_advice(struct audit *a, const struct ledger_decision *decision);
/* Somebody changed who may do what: an API key was made or revoked. */
struct audit_change {
    const char *what;    /* "key added": a constant */
    const char *subject; /* id of the key */
    const char *by;      /* id of the key that asked for it; NULL = none was needed */
};
void audit_note_change(struct audit *a, const struct audit_change *c, int64_t wall_us);

/* ---- reading ---- */

struct audit_problem {
    const char *file; /* its name */
    uint64_t line;    /* 1-based, 0 = the file or the folder */
    uint64_t seq;     /* 0 = none */
    const char *what;
};
struct audit_check {
    const char *dir;
    const char *public_key;  /* PEM file */
    uint64_t expect_seq;     /* 0 = nothing; else this record must be there ... */
    uint8_t expect_hash[32]; /* ... and have this digest */
    bool (*problem)(void *arg,
                    const struct audit_problem *p); /* false: enough; may be called often */
    void (*remark)(void *arg, const struct audit_problem *p); /* worth knowing, nothing wrong */
    void *arg;
};
struct audit_count {
    uint64_t files, records, checkpoints, problems;
    uint64_t first_seq, last_seq;
    uint8_t last_hash[32];
    uint64_t unsigned_records; /* behind the last signature */
    char last_time[TIMEFMT_MAX];
};
/* Reads everything. False with err: it could not be read; problems are not errors. */
bool audit_verify(const struct audit_check *check, struct audit_count *out, struct err *err);

/* Position of a reader; zero before the first call. */
struct audit_place {
    uint64_t file, offset;
};
/* Calls fn for every whole line from `place` on, in order, and moves place; fn false ends it. The line has no line
 * end. A folder that is not there has no lines. */
bool audit_each(const char *dir, struct audit_place *place, bool (*fn)(void *arg, strv line),
                void *arg, struct err *err);

/* The same from the newest line back to the oldest. */
bool audit_each_back(const char *dir, bool (*fn)(void *arg, strv line), void *arg, struct err *err);

#define AUDIT_KEY_NEXT ".next" /* behind a key's path: the one that is to take its place */
/* The public half of the private key in `key`, as PEM. With `make` a key is made if there is none. */
bool audit_public_key(const char *key, bool make, struct buf *pem, struct err *err);

#endif
