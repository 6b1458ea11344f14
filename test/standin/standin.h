/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin - one pretended provider for all tests and benches.
 *
 * It speaks the three dialects as an upstream, always says the same words, and can fail in every way that we know
 * providers to fail (knobs.c holds the list). One thread, one epoll, nothing shared with src/: a mistake in the
 * router cannot hide behind the same mistake here.
 *
 *   main.c     arguments, listening sockets, the loop, the timers
 *   conn.c     one connection: bytes in, a parsed request, bytes out
 *   knobs.c    the table of knobs, and how a request gets its set of them
 *   reply.c    a request's reply as a script over time, with the faults
 *   dialect.c  how each dialect words it: events, whole replies, errors, lists
 *   control.c  what a test asks of the stand-in itself: /_control /_requests /_stats
 *   text.c     a growing buffer, and just enough JSON reading
 *
 * Running out of memory ends the process: it is a test tool, and a half-working one would lie.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- text.c ---- */

struct text {
    char *data;
    size_t len, cap;
};

void *must_alloc(void *old, size_t size); /* realloc that does not come back without memory */
void text_add(struct text *t, const void *p, size_t n);
void text_str(struct text *t, const char *s);
void text_int(struct text *t, int64_t n);
void text_hex(struct text *t, size_t n);
void text_fill(struct text *t, char c, size_t n);
void text_json(struct text *t, const char *p, size_t n); /* escaped, without the quotes */
void text_free(struct text *t);
#define text_lit(t, literal) text_add(t, literal, sizeof(literal) - 1)

struct span {
    const char *p;
    size_t n;
};

bool span_is(struct span s, const char *word);
bool span_is_nocase(struct span s, const char *word);
bool span_int(struct span s, int64_t *value);

/* Walks the members of an object or the items of an array, without copying. `bad` says that it is not JSON. */
struct scan {
    const char *p, *end;
    bool array, bad, started;
};

struct scan scan_open(struct span value);
bool scan_next(struct scan *s, struct span *key, struct span *value);
size_t scan_string(struct span value, char *out,
                   size_t cap); /* unquoted, unescaped, cut to cap - 1 */

/* ---- knobs.c ---- */

enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_FILTER, FINISH_NULL };
enum error_form {
    FORM_DIALECT,
    FORM_PLAIN,
    FORM_HTML,
    FORM_EMPTY,
    FORM_FLAT,
    FORM_DETAIL,
    FORM_INT
};
enum head_fault {
    HEAD_FINE,
    HEAD_BAD,
    HEAD_HUGE,
    HEAD_TWO_LENGTHS,
    HEAD_BOTH,
    HEAD_CUT,
    HEAD_EARLY
};
enum framing { FRAME_AUTO, FRAME_LENGTH, FRAME_CHUNKED, FRAME_CLOSE };
enum words { WORDS_PLAIN, WORDS_ODD };
enum line_end { LINE_LF, LINE_CRLF, LINE_CR };

/* A number of -1 means "not set"; the table in knobs.c explains each. */
struct knobs {
    /* size and time */
    int64_t events, size, tokens, prompt_tokens, cached, reasoning, words, stamp;
    int64_t head_ms, first_ms, gap_ms;
    /* faults before the head */
    int64_t hang_head, reset_head, close_head, status, retry_after, form, context, loading, head;
    /* faults after the head */
    int64_t hang_body, reset, cut, cut_clean, stall, stall_ms, malformed, error, error_done;
    int64_t no_finish, no_done, finish, giant, giant_at, html, empty, empty_starts, no_usage,
        vary_id;
    int64_t redirect, json_stream;
    /* bytes on the wire */
    int64_t framing, chunk, split, split_us, split_utf8, lines, nospace, pings, extra, merge_data;
    /* the connection afterwards */
    int64_t close, close_quiet, stale;
};

extern const struct knobs knobs_default;

bool knobs_parse(struct knobs *k, const char *p, size_t n, struct text *why); /* "a=1+b+c=x" */
bool knobs_set(struct knobs *k, struct span name, struct span value);
void knobs_choose(struct knobs *k, struct span model, struct span path, struct span header);
bool knobs_control(struct span body, struct text *why); /* rules, default */
void knobs_reset(void);
void knobs_help(FILE *f, bool markdown);

/* ---- conn.c ---- */

enum dialect { OPENAI, ANTHROPIC, OLLAMA_CHAT, OLLAMA_GENERATE };

enum phase {
    PHASE_READ,  /* wait for a request */
    PHASE_REPLY, /* reply.c is at work */
    PHASE_HOLD,  /* silent on purpose until the caller leaves */
    PHASE_DONE,  /* everything is in the out buffer; send it, then the next request */
    PHASE_LINGER /* our side is closed, waiting for the caller's */
};

struct conn {
    int fd;
    uint64_t id;
    SSL *ssl;
    struct text in, out; /* in: only what a read left over; out: only what a write did not take */
    size_t out_sent;
    const char *view; /* the bytes to parse: the read buffer, or `in` */
    size_t view_len, in_want;
    uint64_t timer_ns, split_ns;
    size_t timer_slot; /* 1-based place in the heap, 0: none */
    enum phase phase;
    bool dead, peer_gone, stale, counted_stream, control;
    struct conn *next_dead;

    /* the request in work */
    struct knobs k;
    uint64_t request_no, start_ns;
    int64_t created;
    enum dialect dialect;
    enum framing framing;
    bool streaming, usage, close_after, no_body, inference, open_block;
    enum finish finish;
    int64_t step, event, events; /* event counts from -reasoning up to events */
    uint64_t due_ns, fired;      /* fired: faults that already happened, by bit */
    size_t text_left;            /* bytes until a stop string */
    char model[256], stop[128];  /* stop: the stop string that was met */
    struct text other;           /* a body made before its time: whole replies, lists */
    int64_t other_status;
    const char *other_type;
    bool recorded; /* its outcome is known */
};

struct request {
    struct span method, target, path, head, body;
    struct span knobs; /* X-Standin */
    bool keep_alive, anthropic, expect, keyed;
};

extern struct stats {
    uint64_t connections_total, connections_open, requests_total, requests_active,
        requests_active_peak;
    uint64_t streams_active, streams_peak, finished, aborted, faults, events;
} stats;

extern struct settings {
    const char *key;
    char models[4096]; /* separated by commas */
    bool strict;
    int64_t record, record_bytes, refuse, slots, read_bytes;
} settings;

void conn_open(int fd, bool tls, bool control);
void conn_ready(struct conn *c, uint32_t events);
void conn_timer(struct conn *c);
void conn_send(struct conn *c, const char *p, size_t n);
void conn_reset(struct conn *c);               /* RST */
void conn_finish(struct conn *c);              /* FIN, then wait for theirs */
void conn_arm(struct conn *c, uint64_t at_ns); /* one timer for each connection */
void conn_bury(void);                          /* frees what died in this turn */

/* ---- main.c ---- */

uint64_t now_ns(void);
void watch(int fd, void *what);
bool listening(bool on);
void timers_set(struct conn *c, uint64_t at_ns); /* 0: off */
extern SSL_CTX *tls_context;

/* ---- reply.c ---- */

void reply_begin(struct conn *c, const struct request *r);
bool reply_step(struct conn *c); /* false: nothing to do until the timer or the socket says so */
void reply_simple(struct conn *c, int64_t status, const char *type, const char *p, size_t n);
const char *status_text(int64_t status);

/* ---- dialect.c ---- */

bool dialect_of(struct span path, enum dialect *d); /* false: not an inference path */
const char *dialect_stream_type(enum dialect d);
void dialect_start(struct conn *c, struct text *t);
void dialect_event(struct conn *c, struct text *t, const struct text *words, bool reasoning);
void dialect_ping(struct conn *c, struct text *t);
void dialect_finish(struct conn *c, struct text *t);
void dialect_done(struct conn *c, struct text *t);
void dialect_malformed(struct conn *c, struct text *t);
void dialect_stream_error(struct conn *c, struct text *t);
void dialect_whole(struct conn *c, struct text *t, const struct text *words,
                   const struct text *thoughts);
void dialect_loaded(struct conn *c, struct text *t);
void dialect_error(enum dialect d, int64_t status, enum error_form form, const char *message,
                   struct text *t);
void dialect_context_error(enum dialect d, struct text *t);
int64_t dialect_other(const struct request *r, struct text *t,
                      const char **type); /* lists, probes: a status */
bool model_listed(const char *model, size_t n);

/* ---- control.c ---- */

bool control_request(struct conn *c, const struct request *r); /* false: not one of ours */
void record_request(struct conn *c, const struct request *r);
void record_outcome(struct conn *c, const char *outcome);

#endif
