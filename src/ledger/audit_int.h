/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_int - what the files of the audit share. Nobody else includes it.
 *
 * One line is one record:
 *
 *   {"seq":17,"time":"...","type":"intent", ... ,"hash":"<64>"}\n
 *   |------------- content ------------------|
 *
 *   hash = SHA-256(hash of the line before, as 32 bytes, and content)
 *
 * Some records are signed (open, checkpoint, retire, key): `,"sig":"<128>"` ends their content; it is an Ed25519
 * signature of a word of purpose, the hash before, and the content up to it.
 */
#ifndef LEDGER_AUDIT_INT_H
#define LEDGER_AUDIT_INT_H

#include <sys/types.h>

#include "ledger/audit.h"

#define AUDIT_HASH       32
#define AUDIT_SIG        64
#define AUDIT_HASH_MARK  ",\"hash\":\""
#define AUDIT_SIG_MARK   ",\"sig\":\""
#define AUDIT_TAIL       (sizeof AUDIT_HASH_MARK - 1 + 2 * (size_t)AUDIT_HASH + 2) /* up to the brace */
#define AUDIT_SIG_TAIL   (sizeof AUDIT_SIG_MARK - 1 + 2 * (size_t)AUDIT_SIG + 1)
#define AUDIT_FORMAT     1
#define AUDIT_HEAD_BYTES 512 /* one sector: a disk writes it whole or not at all */
#define AUDIT_LINE_MAX   ((size_t)64 * 1024)
#define AUDIT_NAME_MAX   32 /* "audit-00000001.jsonl" */

/* ---- audit_crypto.c ---- */

struct audit_hasher { /* not shared between threads */
    void *md, *ctx;
};
bool audit_hasher_init(struct audit_hasher *h);
void audit_hasher_fini(struct audit_hasher *h);
/* SHA-256 of two pieces; false: the library refused. */
bool audit_hash(struct audit_hasher *h, strv a, strv b, uint8_t out[AUDIT_HASH]);

struct audit_key;                                                    /* private or only public */
struct audit_key *audit_key_load(const char *path, struct err *err); /* private */
/* Makes one, durable before it returns. */
struct audit_key *audit_key_make(const char *path, struct err *err);
struct audit_key *audit_key_load_public(const char *path, struct err *err); /* of a PEM of either */
struct audit_key *audit_key_of(const uint8_t bytes[32], struct err *err);   /* public */
void audit_key_free(struct audit_key *k); /* and those it follows */
/* Others may still be using the one before: it lives as long as `k`, which owns it from here on. */
void audit_key_follow(struct audit_key *k, struct audit_key *before);
bool audit_key_settle(const char *path); /* its name is durable */
bool audit_key_pem(const struct audit_key *k, struct buf *out);
/* The public half, as it stands in every file's first record. */
const uint8_t *audit_key_bytes(const struct audit_key *k);
bool audit_sign(const struct audit_key *k, strv purpose, const uint8_t prev[AUDIT_HASH],
                strv content, uint8_t sig[AUDIT_SIG]);
enum audit_proof { AUDIT_FORGED, AUDIT_PROVEN, AUDIT_NO_MEMORY };
enum audit_proof audit_signed(const struct audit_key *k, strv purpose,
                              const uint8_t prev[AUDIT_HASH], strv content,
                              const uint8_t sig[AUDIT_SIG]);
/* A short digest that only the holder of the private key can compute: 16 hex digits. */
bool audit_keyed(const struct audit_key *k, strv text, char out[17]);

void audit_put_hex(struct buf *b, const uint8_t *bytes, size_t n);
bool audit_get_hex(strv text, uint8_t *out, size_t n); /* exactly n bytes, lower case */

#define AUDIT_FOR_RECORD STRV("llm-router audit record 1\n")
#define AUDIT_FOR_HEAD   STRV("llm-router audit head 1\n")

/* ---- audit_record.c: content behind `{"seq":N,` ---- */

/* Each writes `"time":"...","type":"..."` and its members. */
void audit_put_begin(struct buf *b, int64_t wall_us, const char *type);
void audit_put_intent(struct buf *b, int64_t wall_us, const struct audit_intent *in,
                      const char *session);
void audit_put_exchange(struct buf *b, const struct ledger_row *row,
                        const struct audit_facts *facts, const char *session);

/* over: with how it ended. */
void audit_put_advice(struct buf *b, const struct ledger_decision *d);
void audit_put_tool(struct buf *b, int64_t wall_us, const struct audit_tool *tool,
                    const char *session, bool over);

void audit_put_change(struct buf *b, int64_t wall_us, const struct audit_change *c);

/* ---- audit_read.c ---- */

struct audit_files { /* numbers of the files that are there, ascending */
    uint64_t *numbers;
    size_t n;
};
bool audit_list(const char *dir, struct audit_files *out, struct err *err);
void audit_list_free(struct audit_files *f);
void audit_name(char out[AUDIT_NAME_MAX], uint64_t number);

struct audit_line { /* views into the line */
    uint64_t seq;
    strv type;
    strv content;
    uint8_t hash[AUDIT_HASH];
};
/* The frame of a record, without a look at its members. False: it has not the form. */
bool audit_parse(strv line, struct audit_line *out);
/* Cuts the signature off; false: it has none. */
bool audit_parse_sig(strv content, strv *rest, uint8_t sig[AUDIT_SIG]);
/* A member of a record, of the form our own writer gives it: for the few that are read back. False: not there. */
bool audit_member_u64(strv content, const char *key, uint64_t *out);
bool audit_member_hex(strv content, const char *key, uint8_t *out, size_t n);
bool audit_member_text(strv content, const char *key, strv *out);

struct audit_map { /* a file, read whole */
    char *data;
    size_t size;
};
/* What the file holds now. */
bool audit_map(const char *dir, uint64_t number, struct audit_map *out, struct err *err);
void audit_unmap(struct audit_map *m);
#define AUDIT_FIRST_MAX 2048
/* The first record of a file, whose views are into `text`, and the file's size; no more of it is read. False: it cannot
 * be read, or begins with no record. */
bool audit_first(const char *dir, uint64_t number, char text[AUDIT_FIRST_MAX],
                 struct audit_line *out, uint64_t *size);

struct audit_head { /* the last record known to be durable */
    uint64_t file, seq;
    uint8_t hash[AUDIT_HASH];
};
/* UNREAD: memory or the disk refused; nothing is known. */
enum audit_head_state { AUDIT_HEAD_GOOD, AUDIT_HEAD_NONE, AUDIT_HEAD_BAD, AUDIT_HEAD_UNREAD };
enum audit_head_state audit_head_read(const char *dir, const struct audit_key *key,
                                      struct audit_head *out);
/* Fills exactly AUDIT_HEAD_BYTES. */
bool audit_head_print(const struct audit_head *h, const struct audit_key *key,
                      char out[AUDIT_HEAD_BYTES]);

/* ---- audit_trail.c: the files, written by one thread ---- */

/* What touches the disk, so that a test can make it fail. Each returns as the system call does, with errno. */
struct audit_disk {
    ssize_t (*write)(void *arg, int fd, const void *data, size_t n);
    int (*sync)(void *arg, int fd);
    int (*open)(void *arg, int dir, const char *name, int flags, mode_t mode);
    int (*truncate)(void *arg, int fd, off_t size);
    int (*remove)(void *arg, int dir, const char *name);
    int64_t (*wall_us)(void *arg);
    void *arg;
};
extern const struct audit_disk audit_disk_system;

/* What a start has found and has to tell. */
struct audit_finding {
    uint64_t file;
    const char *damage; /* NULL = none */
    uint64_t line;
    uint64_t missing_from; /* records that the head knew */
    size_t cut;            /* bytes of an unfinished line */
    uint8_t cut_sha256[AUDIT_HASH];
    uint64_t unsigned_records;
};

struct audit_trail {
    struct audit_opts opts; /* paths are copies */
    const struct audit_disk *disk;
    struct log *log;
    struct audit_hasher hasher;
    struct audit_key *key; /* NULL = not loaded yet */
    int dir_fd, lock_fd, fd, head_fd;
    uint64_t file; /* number of the newest file; 0 = none yet */
    uint64_t size; /* of what is durable in it */
    uint64_t seq;  /* of the last durable record */
    uint8_t hash[AUDIT_HASH];
    uint64_t next_seq; /* the same behind what is in `out` */
    uint8_t next_hash[AUDIT_HASH];
    struct buf out;           /* records that are not written yet */
    char opened[TIMEFMT_MAX]; /* when the newest file was begun */
    const char *why;          /* that the next file begins */
    uint64_t last_size;  /* what counts of the file before, as the next one's first record tells */
    uint64_t signed_seq; /* last record that a signature of the chain covers */
    int64_t signed_us, retired_us;
    bool open, head_ok;
    bool renew_due;             /* is there another key? At a start and a reload */
    struct audit_finding found; /* until a record tells it */
};
bool audit_trail_init(struct audit_trail *t, const struct audit_opts *opts,
                      const struct audit_disk *disk, struct log *log);
void audit_trail_fini(struct audit_trail *t);
/* What may change: all but the paths. */
void audit_trail_set(struct audit_trail *t, const struct audit_opts *opts);
/* Takes the folder for this process. False with `taken` set: another one has it. */
bool audit_trail_lock(struct audit_trail *t, bool *taken, struct err *err);
/* Lets the folder go, for another process to go on with the chain; audit_trail_open() takes it again. */
void audit_trail_yield(struct audit_trail *t);
/* Key, files, tail: afterwards records can be added. Can be tried again. */
bool audit_trail_open(struct audit_trail *t, struct err *err);
/* Drops what was added and not committed, and makes sure that there is a file to add to. */
bool audit_trail_begin(struct audit_trail *t, struct err *err);
/* Adds a record to what the next commit writes; body is its content behind the sequence number. */
bool audit_trail_add(struct audit_trail *t, strv body);
bool audit_trail_add_signed(struct audit_trail *t, strv body);
/* All that was added is durable, or (false) none of it is in the chain. */
bool audit_trail_commit(struct audit_trail *t, struct err *err);
/* Checkpoint, end of a file, retention: whatever is due. `last`: nothing will follow. */
bool audit_trail_tend(struct audit_trail *t, bool last, struct err *err);

/* ---- audit_relay.c: records on their way to the process that has taken over ---- */

/* One message each: a record, a count of lost ones, the end of a batch; then the answer. */
bool audit_relay_record(int fd, strv body);
bool audit_relay_lost(int fd, uint64_t n);
enum audit_relayed { AUDIT_RELAY_GONE, AUDIT_RELAY_NO, AUDIT_RELAY_YES };
enum audit_relayed audit_relay_end(int fd);
struct audit_relay_in { /* a message; body is a view into text */
    enum { AUDIT_IN_GONE, AUDIT_IN_RECORD, AUDIT_IN_LOST, AUDIT_IN_END } what;
    strv body;
    uint64_t n;
    char text[AUDIT_LINE_MAX + 1];
};
void audit_relay_next(int fd, struct audit_relay_in *in);
bool audit_relay_answer(int fd, bool ok);

/* ---- audit.c ---- */

/* audit_open() on a disk of the test's making; it must outlive the audit. */
struct audit *audit_open_disk(const struct audit_opts *opts, const struct audit_disk *disk,
                              struct log *log, struct err *err);

#endif
