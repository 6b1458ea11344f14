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
 *   plan.c     what a request wants beyond the sentence: calls, JSON, what a result or an image was
 *   turn.c     the last turn of a conversation: tool results, images, documents
 *   tools.c    which calls are made, with which flaws, in which steps
 *   schema.c   a value that fits a JSON Schema
 *   strict.c   what the vendors refuse; strict_*.c their rules, one file for each dialect
 *   dialect.c  paths, errors, and which of the next three files words a reply
 *   openai.c anthropic.c ollama.c
 *   models.c   lists of models, what they can do, what is loaded
 *   server.c   what a local server tells of itself: /props /slots /metrics /tokenize
 *   embed.c    embeddings, the same for the same text
 *   pull.c     /api/pull, which goes on where it was cut
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
void text_base64(struct text *t, const void *p, size_t n);
/* Decodes to the end of *t; the place of the first letter that does not belong there, or -1. */
int64_t text_unbase64(struct text *t, const char *p, size_t n);
uint64_t hash_more(uint64_t hash, const void *p, size_t n); /* FNV-1a; begin with HASH_START */
#define HASH_START 0xcbf29ce484222325u

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
                   size_t cap);                    /* unquoted, unescaped, cut to cap - 1 */
void scan_text(struct span value, struct text *t); /* the same of any length, added to *t */
struct span scan_member(struct span object, const char *name); /* .p is NULL when absent */
size_t scan_count(struct span list);
bool span_is_string(struct span value, const char *word); /* "word", quotes and all */
bool span_begins(struct span s, const char *word);
bool span_has(struct span s, const char *word);
static inline bool span_kind(struct span s, char first) /* '"' string, '{' object, '[' list */
{
    return s.n > 0 && s.p[0] == first;
}
static inline bool span_null(struct span s) /* absent or null, which mean the same in a request */
{
    return s.n == 0 || (s.n == 4 && s.p[0] == 'n');
}

/* ---- knobs.c ---- */

enum finish {
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_FILTER,
    FINISH_NULL,
    FINISH_CALLS,
    FINISH_PAUSE,
    FINISH_CONTEXT
};
enum error_form {
    FORM_DIALECT,
    FORM_PLAIN,
    FORM_HTML,
    FORM_EMPTY,
    FORM_FLAT,
    FORM_DETAIL,
    FORM_INT,
    FORM_LLAMA,
    FORM_VLLM
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
enum reasoning_field { FIELD_CONTENT, FIELD_REASONING, FIELD_BOTH };
enum call_text { TEXT_NONE, TEXT_BEFORE, TEXT_AFTER };
enum call_index { INDEX_FINE, INDEX_NONE, INDEX_ZERO };
enum call_id { ID_FINE, ID_NONE, ID_SAME, ID_LONG, ID_ODD };
enum call_content { CONTENT_NULL, CONTENT_EMPTY, CONTENT_ABSENT };
enum args_bad { ARGS_FINE, ARGS_TRUNCATED, ARGS_QUOTES, ARGS_COMMA, ARGS_WORDS, ARGS_ARRAY };
enum json_bad { JSON_FINE, JSON_FENCE, JSON_TRUNCATED, JSON_PROSE, JSON_MISMATCH };
enum usage_at { USAGE_START, USAGE_DELTA, USAGE_BOTH, USAGE_NULLS };
enum usage_form { USAGE_FULL, USAGE_NULL_DETAILS, USAGE_NO_DETAILS, USAGE_NULL };
enum usage_chunk { CHUNK_ASKED, CHUNK_UNASKED, CHUNK_BARE };
enum owner { OWNER_STANDIN, OWNER_OPENAI, OWNER_LLAMACPP, OWNER_VLLM, OWNER_LOCALAI, OWNER_DOCKER };
enum claude { CLAUDE_ANY, CLAUDE_4_5, CLAUDE_4_6, CLAUDE_4_7, CLAUDE_5_5 };
enum ids { IDS_ANY, IDS_MISTRAL };

/* A number of -1 means "not set"; the table in knobs.c explains each. */
struct knobs {
    /* size and time */
    int64_t events, size, tokens, prompt_tokens, cached, reasoning, words, stamp;
    int64_t head_ms, first_ms, gap_ms;
    int64_t reasoning_field, reasoning_mixed, redacted, no_signature, refusal, strange, nulls;
    /* tools and answers in JSON */
    int64_t call, call_name, call_args, call_text, call_fragments, call_first, call_index, call_id;
    int64_t call_args_object, call_args_bad, call_empty_args, call_repeat_name, call_content;
    int64_t empty_calls, call_interleave, call_joined, call_again, json_bad;
    /* usage */
    int64_t cache_write, reasoning_tokens, usage_at, usage_each, usage_form, usage_chunk;
    /* which server this is */
    int64_t owner, caps, claude, ids, window, load_ms, dims, pull_size, pull_step, pull_missing;
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
const char *knob_text(int64_t value); /* of a knob whose value is text; NULL when it is not set */
void knobs_choose(struct knobs *k, struct span model, struct span path, struct span header);
bool knobs_control(struct span body, struct text *why); /* rules, default */
void knobs_reset(void);
void knobs_help(FILE *f, bool markdown);

/* ---- conn.c ---- */

enum dialect { OPENAI, OPENAI_TEXT, ANTHROPIC, OLLAMA_CHAT, OLLAMA_GENERATE, OLLAMA_PULL };

static inline bool is_openai(enum dialect d)
{
    return d <= OPENAI_TEXT;
}
static inline bool is_ollama(enum dialect d)
{
    return d >= OLLAMA_CHAT;
}

/* What a path is for. Those that TALK can stream, and a PULL does. */
enum job { JOB_OTHER, JOB_TALK, JOB_PULL, JOB_EMBED, JOB_COUNT };

struct route {
    const char *suffix;
    enum dialect dialect;
    enum job job;
};

/* The members of a request's body that matter here, as they stand there. Read in one pass; gone with the request. */
struct ask {
    struct span body;
    struct span model, messages, stream, stream_options, max_tokens, max_completion_tokens, stop,
        stop_sequences, options, prompt, tools, tool_choice, parallel_tool_calls, response_format,
        output_config, format, thinking, think, reasoning_effort, n, echo, suffix, system,
        temperature, top_p, top_k, keep_alive, images, input, dimensions, encoding_format, truncate,
        template, context, raw, name, top_logprobs, logprobs;
};

enum phase {
    PHASE_READ,  /* wait for a request */
    PHASE_REPLY, /* reply.c is at work */
    PHASE_HOLD,  /* silent on purpose until the caller leaves */
    PHASE_DONE,  /* everything is in the out buffer; send it, then the next request */
    PHASE_LINGER /* our side is closed, waiting for the caller's */
};

enum block { BLOCK_NONE, BLOCK_THINKING, BLOCK_TEXT, BLOCK_CALL };

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
    bool streaming, usage, usage_each, close_after, no_body, inference;
    enum job job;
    enum finish finish;
    /* event counts from -reasoning up to total; of those, `events` are text and the rest are steps of calls */
    int64_t step, event, events, total;
    int64_t choices;   /* OpenAI's n, times the prompts */
    struct plan *plan; /* what is said and done instead of the sentence; mostly NULL */
    struct {           /* the content block of an Anthropic stream */
        int64_t index;
        enum block kind;
    } block;
    uint64_t thought;               /* hash of the reasoning so far: a signature is made of it */
    int64_t redacted_left, stopped; /* blocks still to come; overlapping calls that have ended */
    uint64_t due_ns, fired;         /* fired: faults that already happened, by bit */
    size_t text_left;               /* bytes until a stop string */
    char model[256], stop[128];     /* stop: the stop string that was met */
    struct text other;              /* a body made before its time: whole replies, lists */
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
    uint64_t streams_active, streams_peak, finished, aborted, faults, events, loads;
} stats;

extern struct settings {
    const char *key;
    char models[4096]; /* separated by commas */
    char loaded[4096]; /* of those, when loaded_known; the last used is the first */
    char remote[1024]; /* of those, the ones that really are in the cloud */
    bool strict, loaded_known;
    int64_t record, record_bytes, refuse, slots, read_bytes;
    int64_t n_ctx, busy, loaded_max;
    bool vision, sleeping;
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

/* ---- turn.c ---- */

struct message { /* one of the messages, in any dialect */
    struct span all, role, content, tool_calls, tool_call_id, tool_name, images;
};

void message_read(struct span value, struct message *m);
void turn_quote(const struct conn *c, const struct ask *a, struct text *say, bool *results);
const char *media_sniff(const void *p, size_t n); /* a media type, or NULL */
/* "data:image/png;base64,X" taken apart; false when it is not one */
bool data_uri(struct span text, struct span *type, struct span *data);

/* ---- schema.c ---- */

/* A value that fits the schema. `odd` ones are harder to carry: large integers, escapes, members turned round. */
void schema_sample(struct span schema, bool odd, struct text *t);
bool schema_type_unknown(struct span schema, struct text *which);

/* ---- tools.c ---- */

struct call {
    struct text name, id, args;
};

/* One event of a call: its beginning, or bytes of its arguments. */
struct call_step {
    size_t call, from, n;
    bool begin, last;
};

struct tool { /* as a request offers it, in any dialect */
    struct span name, schema;
};

bool tool_read(enum dialect d, struct span value, struct tool *tool);
void tools_plan(struct conn *c, const struct ask *a, struct plan *p);
bool tools_forced(const struct conn *c, const struct ask *a, struct span *name);
struct call_step *plan_step(struct conn *c, int64_t event); /* NULL: this event is text */

/* ---- plan.c ---- */

struct plan {
    struct text say; /* when `says`: cut into as many parts as there are text events */
    bool says, calls_first, omit_thinking;
    struct call *calls;
    size_t calls_used;
    struct call_step *steps;
    size_t steps_used;
};

void plan_make(struct conn *c, const struct ask *a);
void plan_free(struct conn *c);
void plan_drop_calls(struct conn *c); /* the model did not get that far */
void plan_text(const struct conn *c, int64_t event, struct text *t);

/* ---- strict.c ---- */

struct strict {
    struct conn *c;
    const struct request *r;
    const struct ask *a;
    struct text *why; /* filled when something is refused */
    int64_t status;
};

int64_t strict_check(struct conn *c, const struct request *r, const struct ask *a,
                     struct text *why); /* 0: fine, else a status */
bool strict_say(struct strict *s, const char *form, ...) __attribute__((format(printf, 2, 3)));
bool strict_openai(struct strict *s); /* these return false when they have refused */
bool strict_anthropic(struct strict *s);
bool strict_ollama(struct strict *s);
enum claude claude_of(const struct conn *c);
bool id_plain(struct span s);                 /* [a-zA-Z0-9_-]+ */
struct span string_inside(struct span value); /* without its quotes; empty when it is no string */

/* ---- dialect.c ---- */

const struct route *route_of(struct span path); /* NULL: a list, a probe, or nothing */
void ask_read(struct span body, struct ask *a, bool *good);
const char *dialect_stream_type(enum dialect d);
void dialect_start(struct conn *c, struct text *t);
void dialect_event(struct conn *c, struct text *t, const struct text *words, bool reasoning);
void dialect_call(struct conn *c, struct text *t, const struct call_step *step);
void dialect_ping(struct conn *c, struct text *t);
void dialect_finish(struct conn *c, struct text *t);
void dialect_done(struct conn *c, struct text *t);
void dialect_malformed(struct conn *c, struct text *t);
void dialect_stream_error(struct conn *c, struct text *t);
void dialect_whole(struct conn *c, struct text *t, const struct text *words,
                   const struct text *thoughts);
void dialect_error(enum dialect d, int64_t status, enum error_form form, const char *message,
                   struct text *t);
void dialect_context_error(const struct conn *c, int64_t prompt, int64_t window, struct text *t);
int64_t dialect_other(const struct conn *c, const struct request *r, struct text *t,
                      const char **type);      /* lists, probes: a status */
int64_t prompt_tokens_of(const struct ask *a); /* a guess, as every caller must make one */

/* what the three files of wordings share */
void word_model(struct text *t, const struct conn *c);
void word_eol(const struct conn *c, struct text *t);
void word_string(struct text *t, const char *name, const struct text *value); /* "name":"value" */
void sse_open(struct conn *c, struct text *t, const char *name);
void sse_close(struct conn *c, struct text *t);
int64_t output_tokens(const struct conn *c);
int64_t reasoning_tokens(const struct conn *c);
bool path_ends(struct span path, const char *suffix);

/* ---- openai.c anthropic.c ollama.c: see dialect.c ---- */

void openai_start(struct conn *c, struct text *t);
void openai_empty(struct conn *c, struct text *t);
void openai_strange(struct conn *c, struct text *t);
void openai_event(struct conn *c, struct text *t, const struct text *words, bool reasoning);
void openai_call(struct conn *c, struct text *t, const struct call_step *step);
void openai_finish(struct conn *c, struct text *t);
void openai_whole(struct conn *c, struct text *t, const struct text *words,
                  const struct text *thoughts);
void anthropic_start(struct conn *c, struct text *t);
void anthropic_strange(struct conn *c, struct text *t);
void anthropic_event(struct conn *c, struct text *t, const struct text *words, bool reasoning);
void anthropic_call(struct conn *c, struct text *t, const struct call_step *step);
void anthropic_finish(struct conn *c, struct text *t);
void anthropic_whole(struct conn *c, struct text *t, const struct text *words,
                     const struct text *thoughts);
bool anthropic_signed(struct span signature, const struct text *thinking); /* by us, for this? */
bool anthropic_redacted(struct span data);
void ollama_strange(struct conn *c, struct text *t);
void ollama_event(struct conn *c, struct text *t, const struct text *words, bool reasoning);
void ollama_call(struct conn *c, struct text *t, const struct call_step *step);
void ollama_last(struct conn *c, struct text *t);
void ollama_whole(struct conn *c, struct text *t, const struct text *words,
                  const struct text *thoughts);
void ollama_loaded(struct conn *c, struct text *t, bool unload);

/* ---- models.c server.c embed.c pull.c ---- */

bool model_listed(const char *model, size_t n);
bool model_can(const struct conn *c,
               const char *what); /* Ollama's words: tools, thinking, vision */
bool model_caps_known(
    const struct conn *c);          /* by a knob or by its name; else it is not held to them */
bool model_load(const char *model); /* true: it was not loaded before */
void model_unload(const char *model);
void model_add(const char *model);
bool next_model(const char **at, struct span *name);
int64_t models_other(const struct conn *c, const struct request *r, struct text *t);
int64_t server_other(const struct conn *c, const struct request *r, struct text *t,
                     const char **type); /* both: 0 when the path is not theirs */
bool server_metric(struct span name, struct span value);
int64_t embed_answer(struct conn *c, const struct ask *a, struct text *t);
void pull_begin(struct conn *c);
void pull_start(struct conn *c, struct text *t);
void pull_event(struct conn *c, struct text *t);
void pull_finish(struct conn *c, struct text *t);
void pull_done(struct conn *c, struct text *t);
void pull_forget(void);

/* ---- control.c ---- */

bool control_request(struct conn *c, const struct request *r); /* false: not one of ours */
void record_request(struct conn *c, const struct request *r);
void record_outcome(struct conn *c, const char *outcome);

#endif
