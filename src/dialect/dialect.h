/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect - wire formats. One file each; pure: bytes to llm vocabulary and back, no I/O, no clock.
 *
 *               caller's side                          upstream's side
 *   request   decode_request: bytes -> llm_request     encode_request: llm_request -> bytes
 *   answer    encode_event / encode_reply              decode_frame / decode_reply
 *   error     encode_error (whole), stream_error       decode_error
 *
 * A normal streamed exchange: the exchange cuts frames out of the upstream's bytes (SSE or NDJSON, http/),
 * gives each to decode_frame(), which emits events; each event goes to the caller's encode_event(), which
 * appends bytes. When both sides speak the same dialect the frame's own bytes go on instead and the events
 * are only looked at.
 *
 * A bad case: anything an upstream sends that is not its dialect makes decode_* return false with err
 * (never an assert); the exchange treats it as the provider's failure. Anything a caller sends that is not
 * the dialect makes decode_request return false with err->code (an llm_error), err->field and a text that
 * names the field as that dialect's own servers do.
 *
 * To add a dialect: one file, one row in dialect_table, a corpus, scenarios.
 */
#ifndef DIALECT_DIALECT_H
#define DIALECT_DIALECT_H

#include "base/base.h"
#include "llm/llm.h"

enum dialect_framing { DIALECT_SSE, DIALECT_NDJSON };

/* How a model of Anthropic's is told to think (anthropic.md 5). */
enum dialect_thinking {
    DIALECT_THINK_BUDGET,   /* thinking.enabled with budget_tokens; disabled is taken */
    DIALECT_THINK_ADAPTIVE, /* adaptive and output_config.effort; enabled is refused */
    DIALECT_THINK_ALWAYS,   /* ... and disabled is refused: between_tools, or nothing, instead */
};

/* What the target of encode_request() is and can do; filled by provider/ from its quirk table. */
struct dialect_target {
    strv model;     /* the name the upstream knows */
    enum llm_op op; /* which of the upstream's calls; set by the exchange */
    bool stream;    /* ask the upstream to stream (may differ from the caller's wish) */
    bool fresh;     /* write a body anew though the dialects are the same: the request was changed
                                   (a repair turn) */
    int64_t max_tokens_default; /* used when the caller gave none; 0 = leave absent */
    int64_t max_tokens_cap;     /* largest the model takes; 0 = unknown */
    int64_t num_ctx;  /* Ollama: options.num_ctx when the caller set none; 0 = leave absent */
    bool no_truncate; /* Ollama: truncate:false unless the caller says otherwise: a prompt that is
                                   too long is an error that can be acted on, not a silent cut */
    bool no_sampling; /* Anthropic from 4.7 on: temperature, top_p, top_k are refused */
    bool no_prefill;  /* a last assistant message is refused */
    bool completion_tokens;  /* OpenAI: the name max_completion_tokens instead of max_tokens */
    bool repetition_penalty; /* OpenAI: vLLM's spelling of repeat_penalty */
    bool mid_system;         /* Anthropic: role system is taken in mid-conversation */
    bool no_thinking;        /* the model is known not to think: a wish for it is dropped */
    bool levels_only;        /* Ollama's gpt-oss: think takes a level, no boolean */
    bool own_signatures;     /* Anthropic's cloud: signatures in the history are checked */
    enum dialect_thinking thinking;
    const char *reasoning_field; /* OpenAI: name of reasoning in the history ("reasoning_content",
                                    "reasoning"); NULL = the server reads none */
    bool reasoning_effort;       /* OpenAI: reasoning_effort is understood */
    bool no_forced_tools;        /* tool_choice any and one are refused */
    bool no_json_mode;           /* response_format json_object is refused */
    bool logprobs;        /* OpenAI: ask how probable each token was, for the router itself */
    enum llm_id_rule ids; /* of calls */
    bool short_names;     /* tool names must be llm_tool_name_for() */
};

/* What could not be carried over; bit per row of dialect_loss_name(). */
enum dialect_loss {
    /* bits 0 .. LLM_PARAMS-1: the parameter */
    DIALECT_LOSS_USER = LLM_PARAMS,
    DIALECT_LOSS_REASONING,   /* reasoning in the history or the reply */
    DIALECT_LOSS_STOP,        /* some stop strings */
    DIALECT_LOSS_NAME,        /* names of participants */
    DIALECT_LOSS_OTHER,       /* members this program does not know, on a translated path */
    DIALECT_LOSS_CACHE,       /* cache_control, prompt_cache_key */
    DIALECT_LOSS_TOOL_CHOICE, /* a forced choice became auto */
    DIALECT_LOSS_PARALLEL,    /* one call at most */
    DIALECT_LOSS_STRICT,      /* strict of a tool or schema */
    DIALECT_LOSS_JSON_MODE,   /* json_object became an instruction */
    DIALECT_LOSS_EFFORT,      /* how much to think */
    DIALECT_LOSS_DETAIL,      /* of an image */
    DIALECT_LOSS_CITATIONS,
    DIALECT_LOSS_TIER, /* service_tier, speed */
    DIALECT_LOSS_METADATA,
    DIALECT_LOSS_DIMENSIONS, /* of embeddings */
    DIALECT_LOSS_KEEP_ALIVE,
    DIALECT_LOSS_ARGUMENTS, /* of a call, on the way back: mended, or not understood */
    DIALECT_LOSSES
};
const char *
dialect_loss_name(unsigned bit); /* "seed", "user", ...: header X-LLM-Dropped, metric label */

/* State of encoding one answer towards a caller. Zero-initialise, fill the first part; buf_init(&kept). */
struct dialect_out {
    enum llm_op op;
    strv id;            /* answer's id in the dialect's own form, made by dialect->make_id */
    strv model;         /* model name told to the caller */
    strv provider;      /* native door */
    int64_t created_us; /* wall clock, fixed for the whole answer */
    bool include_usage;
    bool base64; /* vectors; OpenAI */
    const struct llm_request
        *r; /* what was asked: valid only until the first byte of the answer was sent, so
                                    copy into `kept` at START what is told later (Responses echoes much) */
    int64_t input_estimate; /* tokens; for message_start before the real figure is known */
    int64_t total_us,
        first_us; /* router's own clock: whole time, time to first token; set before FINISH/END */
    strv route_json; /* native door: the object for metadata.route, or STRV_NONE */

    /* private to the dialect */
    bool started, block_open, finished;
    int blocks;     /* begun */
    int block_kind; /* of the open one: enum llm_part_kind */
    bool
        block_some; /* Anthropic: input of the open call, or the signature of the open thinking, was
                        told */
    int calls;      /* begun */
    uint64_t told[2],
        bare[2];    /* OpenAI: a bit per choice whose role was told, whose open call has no
                                  arguments yet */
    bool old_calls; /* OpenAI: the caller asked with `functions` and reads function_call */
    enum llm_finish finish;
    struct llm_usage usage;
    char stop_sequence[128];
    char raw_finish[64];
    char created[TIMEFMT_MAX]; /* Ollama: created_us as text */
    uint64_t output_bytes;     /* of text, for an estimate when the upstream counts nothing */
    int64_t sequence;          /* Responses: sequence_number */
    size_t echo_len, open_at, part_at, text_at; /* Responses: places in `kept` */
    bool alive;      /* Ollama, which has no comments: a PING is told as a piece of nothing */
    bool as_summary; /* Responses: reasoning is told as a summary */
    char fixed[224]; /* the part that all pieces of a stream have in common, if it fits */
    size_t fixed_len;
    struct buf kept;  /* what must wait or be told again; bounded and freed by the owner */
    size_t kept_head; /* of `kept`: what stands before the pieces that are still to come */
};

/* State of decoding one upstream answer. Zero-initialise, fill the first part. Once `emit` has returned
 * false it is not called again for that frame, and decode_* returns true: the receiver knows why. */
struct dialect_in {
    enum llm_op op;
    llm_emit_fn emit;
    void *arg;
    struct arena *scratch; /* the caller resets it after every frame */
    struct arena *arena;   /* lives as long as the answer: pieces held back, `own` */
    size_t n_inputs;       /* EMBED: how many vectors are due; 0 = unknown */
    bool base64;           /* EMBED, the caller's dialect: what it asked for */

    /* told to the caller of decode_* */
    bool
        flaw; /* this frame or reply was understood, but a strict client might not: its bytes should not go
                  on as they came. Set, never cleared, by the dialect */
    bool told_sure;        /* OpenAI: it said how probable its tokens were ... */
    double least_logprob;  /* ... and the least of the first choice's, <= 0 */
    struct dialect_place { /* Anthropic: where a reader of the frames before the flaw stands */
        int blocks;
        bool block_open, block_some;
        int block_kind;
    } place;

    /* private to the dialect */
    bool started, finished, ended;
    uint64_t seen[2], done[2]; /* OpenAI: a bit per choice that has begun, that has finished */
    int64_t plain, cache_read,
        cache_write; /* Anthropic: parts of the prompt's tokens as last told */
    int calls;       /* begun */
    bool call_open;
    void *own; /* whatever else, in `arena` */
};

/* What an upstream's error answer means. */
struct dialect_failure {
    bool context_too_long; /* do not retry on a window of the same size */
    bool model_missing;    /* 404 of the model, not of the path */
    bool caller_fault;     /* a 5xx that is really the caller's mistake (llama-server) */
    bool loading;          /* the model is being loaded */
    bool incapable;        /* the model does not do tools, images, thinking: another one may */
    strv message; /* cut to 512 bytes of valid UTF-8, in scratch; may quote the caller's own input,
                              so it goes to the caller only, never to a log */
};

struct dialect {
    enum llm_dialect id;
    enum dialect_framing framing;
    const char *stream_type; /* Content-Type of a stream */
    const char *json_type;   /* Content-Type of a whole answer */
    const char *keepalive;   /* bytes that may be sent during silence after START, "" = none */
    const char *
        terminator; /* end mark that may be supplied when an upstream gave a finish reason and ended
                                its transfer cleanly without the mark (OpenAI's [DONE]); NULL = a stream
                                without its mark was cut */
    uint32_t can;   /* enum llm_need this dialect can express upstream */

    /* The body of a request to `op`. Strings of `out` live in `arena` (the JSON copy there). The body's
     * bytes themselves must stay valid as long as `out` may be encoded. Unknown members are ignored here
     * and survive only on a same-dialect path. What nobody could serve is UNSUPPORTED with the member's
     * name; what only some can sets a bit of out->needs. Duplicate members anywhere are refused: two readers of one body
     * must never disagree about what it says. */
    bool (*decode_request)(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err);

    /* "chatcmpl-...", "msg_...": at least 24 random characters. NULL = the dialect has no ids. */
    void (*make_id)(struct rng *rng, char out[64]);
    /* Appends what the caller sees for this event; often nothing. Order as in llm/event.h. */
    bool (*encode_event)(struct dialect_out *st, const struct llm_event *ev, struct buf *out);
    bool (*encode_reply)(struct dialect_out *st, const struct llm_reply *reply, struct buf *out);
    /* A whole error body / the in-band end of a stream that failed. message is the text for the caller. */
    void (*encode_error)(int code, strv message, strv field, strv request_id, struct buf *out);
    void (*stream_error)(struct dialect_out *st, int code, strv message, strv request_id,
                         struct buf *out);

    /* Path below the provider's base URL: "/v1/chat/completions". A base URL that ends in "/v1" or
     * "/engines/v1/" already is joined without doubling by provider/. NULL upstream side = door only. */
    const char *(*path)(enum llm_op op); /* NULL = it has no such call */
    /* The body for the upstream. Same dialect and same op as the request's, and not t->fresh: the caller's
     * bytes with only the needed members replaced. Else a body of its own, from a request that
     * llm_request_mend() has been over. *losses gets what was left out (enum dialect_loss bits). */
    bool (*encode_request)(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);
    /* One frame: SSE event name and data, or one NDJSON line as data. */
    bool (*decode_frame)(struct dialect_in *st, strv name, strv data, struct err *err);
    /* A whole body: emits the same events. */
    bool (*decode_reply)(struct dialect_in *st, strv body, struct err *err);
    void (*decode_error)(int status, strv body, struct arena *scratch, struct dialect_failure *out);
};

const struct dialect *dialect_get(enum llm_dialect id); /* never NULL */

/* The encoder goes on in a stream of which the frames until now went on as they came (started is set). */
void dialect_resume(struct dialect_out *st, const struct dialect_in *in);

/* ---- is a stream that goes out legal? (grammar.c) ---- */

/* JSON text that comes in pieces, looked at without keeping it. */
struct dialect_scan {
    unsigned state, sub;
    unsigned depth;
    uint64_t objects[2]; /* a bit per level: an object, not an array */
    const char *word;    /* what is left of true, false or null */
    bool is_object;      /* the whole is one */
    bool failed;
};

/* What the caller of a dialect may count on in a stream, rule by rule: who writes one wrongly is found by
 * the frame that does it. For tests and debug builds; holds no memory. dialect_check_init(), then every frame
 * as it is sent, then dialect_check_end(). */
struct dialect_check {
    const char *broken; /* the rule that does not hold, NULL = none. Sticky */
    bool
        passed; /* set it for an upstream's own bytes: only what would break a caller counts then, no
                    matters of form */

    /* private */
    enum llm_dialect dialect;
    enum llm_op op;
    bool started, finished, ended, failed;
    bool usage_promised, usage_told;
    bool cut;                    /* the reason allows half a call */
    bool half;                   /* a call ended with half its arguments */
    bool calls;                  /* there was one */
    bool sealed;                 /* the open reasoning has its signature; the open text its .done */
    uint64_t id, model, created; /* hashes of what stays the same */
    uint64_t seen[2], done[2];   /* a bit per choice */
    int64_t sequence;
    int items, parts;         /* begun: calls, blocks, items; parts of the open item */
    int open, open_part;      /* kind of what is open, 0 = nothing */
    unsigned pieces;          /* of what is open */
    uint64_t item, joined;    /* hashes: id of the open item, its text so far */
    struct dialect_scan scan; /* arguments of the open call */
};
void dialect_check_init(struct dialect_check *c, enum llm_dialect d, enum llm_op op);
/* One event of SSE or one line of NDJSON. False = illegal, for the reason c->broken. */
bool dialect_check_frame(struct dialect_check *c, strv name, strv data, struct arena *scratch);
/* The stream is over. complete: it was told whole; else it must have ended with the dialect's error. */
bool dialect_check_end(struct dialect_check *c, bool complete);

/* ---- shared by the files of this folder ---- */

/* Sets err to "field: what" with the field; returns false. */
bool dialect_bad(struct err *err, int code, const char *field, const char *what);
/* No object in it has a member twice: two readers could take different ones. False with err. */
bool dialect_unique(yyjson_val *v, struct err *err);
/* Root object of a body: reads, refuses non-objects and duplicate members. */
bool dialect_root(struct json *doc, strv body, struct arena *arena, struct err *err);
/* Reads the sampling parameters named for dialect `d` from `obj` into r; `prefix` goes before the names in
 * errors ("options."). */
bool dialect_decode_params(struct llm_request *r, enum llm_dialect d, yyjson_val *obj,
                           const char *prefix, struct err *err);
/* One of them, from a value that is there; `field` is its name in errors. */
bool dialect_decode_param(struct llm_request *r, enum llm_param p, enum llm_dialect d,
                          yyjson_val *v, const char *field, struct err *err);
/* A string, or an array of strings of at most `max` members. */
bool dialect_decode_stops(struct llm_request *r, yyjson_val *v, const char *field, size_t max,
                          struct arena *arena, struct err *err);
/* Booleans as JSON booleans; null = absent. */
bool dialect_decode_bool(yyjson_val *obj, const char *key, bool *out, struct err *err);

/* A call's arguments as a JSON object, whatever text stands in their place: the object as it is written, but
 * on one line; {} for none; {"value":...} around another value; {"_raw":"..."} around what is no JSON, or an object with a
 * member twice, of which two readers could take different ones. */
bool dialect_put_arguments(struct buf *out, strv text);
/* A FINISH event, kept until the stream's last words are written. */
void dialect_remember_finish(struct dialect_out *st, const struct llm_event *ev);
/* Numbers in brackets, with so many digits that they read back as the same floats. False also when one of
 * them is no number. */
bool dialect_put_vector(struct buf *out, const float *vector, size_t n);

/* All text of one kind in a reply, as one JSON string. */
void dialect_put_text(struct buf *out, const struct llm_reply *reply, enum llm_part_kind kind);

/* Absent, null, false, "", [] or {}: asks for nothing, whatever the member means. */
bool dialect_is_nothing(yyjson_val *v);

/* Members to set in the caller's own body for a same-dialect upstream. */
struct dialect_edit {
    const char *key; /* root member */
    strv json;       /* its new value, as JSON text */
};
/* The original bytes with `model` (a string member) replaced and the other members set. Splices where it
 * can, else writes the parsed tree back. */
bool dialect_edit_body(const struct llm_request *r, strv model, const struct dialect_edit *edits,
                       size_t n, struct arena *arena, struct buf *out);

/* OpenAI's "messages" appended to r->messages, which has room for them; the native door takes them too. */
bool dialect_decode_messages(struct llm_request *r, yyjson_val *messages, struct arena *arena,
                             struct err *err);
/* What an error object says: {"error":{...}}, {"error":"..."}, {"object":"error",...} or
 * {"type":"error",...}; false if `root` is none of these. status is a number in it or what its type and
 * code stand for; 0 = unknown. */
struct dialect_said {
    strv message, type, code;
    int status;
};
bool dialect_read_error(yyjson_val *root, struct dialect_said *out);
/* A decode_error for every dialect: local servers answer in each other's envelopes, and proxies in none
 * (failure.c). */
void dialect_decode_failure(int status, strv body, struct arena *scratch,
                            struct dialect_failure *out);

extern const struct dialect dialect_openai, dialect_anthropic, dialect_ollama, dialect_native,
    dialect_responses;

#endif
