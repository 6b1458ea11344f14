/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event - what a model's answer is made of.
 *
 *   START  (TEXT | REASONING+ SIGNATURE? | CALL ARGS* CALL_END)*  FINISH  USAGE*  END      a good stream
 *   START? ... ERROR                                                                       a failed one
 *   START  VECTOR*  FINISH  USAGE*  END                                                    embeddings
 *   START  USAGE  FINISH  END                                                              a count of tokens
 *
 * Between START and END per choice. Calls never overlap: whoever decodes holds back the pieces of another
 * call until the open one has ended. `call` counts the calls of a choice from 0. The ARGS of a call joined
 * are its arguments as JSON text, whatever the upstream's form was; none at all stands for {}.
 *
 * END stands for the dialect's own terminator ([DONE], message_stop, done:true). A stream that stops
 * without FINISH and END was cut, whatever the transport says. Text views live until the next event.
 */
#ifndef LLM_EVENT_H
#define LLM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "llm/request.h"

enum llm_event_kind {
    LLM_EV_START,
    LLM_EV_TEXT,
    LLM_EV_REASONING,
    LLM_EV_SIGNATURE, /* of the reasoning before it; text is the vendor's */
    LLM_EV_CALL,      /* a call begins: call, id ("" = the upstream has none), name */
    LLM_EV_ARGS,      /* a piece of its arguments */
    LLM_EV_CALL_END,
    LLM_EV_VECTOR,
    LLM_EV_FINISH,
    LLM_EV_USAGE,
    LLM_EV_END,
    LLM_EV_ERROR,
    LLM_EV_PING /* text: a JSON object of what is waited for, told where a door has a place for it; or none */
};

enum llm_finish {
    LLM_FINISH_NONE,
    LLM_FINISH_STOP,          /* the model was done, or a stop string matched */
    LLM_FINISH_STOP_SEQUENCE, /* ... and it is known which one */
    LLM_FINISH_LENGTH,        /* max_tokens or the context window */
    LLM_FINISH_CALLS,         /* tools are to be run. The exchange derives it from calls seen */
    LLM_FINISH_FILTER,        /* content filter, refusal */
    LLM_FINISH_OTHER          /* something this program has no word for; raw text kept */
};

/* Counts are -1 while unknown. input includes cached and cache_write (OpenAI's view: the whole prompt). */
struct llm_usage {
    int64_t input, output;
    int64_t cached, cache_write, reasoning;
    int64_t cache_write_1h; /* of cache_write: what is kept for an hour, at another price */
    /* Nanoseconds, -1 = unknown (Ollama's figures and llama-server's timings). */
    int64_t load_ns, input_ns, output_ns, total_ns;
};
#define LLM_USAGE_NONE ((struct llm_usage){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1})
/* Takes every field of `from` that is known: later figures replace, never add. */
void llm_usage_merge(struct llm_usage *into, const struct llm_usage *from);

struct llm_event {
    enum llm_event_kind kind;
    int choice; /* index, 0 when there is only one; VECTOR: of the input */
    int call;   /* CALL, ARGS, CALL_END */
    strv text;  /* TEXT, REASONING, SIGNATURE, ARGS; START: the upstream's id; ERROR: its message */
    strv id, name;       /* CALL */
    bool redacted;       /* REASONING: no text, data of redacted thinking in `text` */
    const float *vector; /* VECTOR */
    size_t n_vector;
    int64_t created;        /* START: seconds since 1970 as the upstream says, 0 = it does not */
    strv model;             /* START: the model the upstream says it is, or STRV_NONE */
    enum llm_finish finish; /* FINISH */
    strv stop_sequence;     /* FINISH with STOP_SEQUENCE */
    strv raw_finish;        /* FINISH: the upstream's word */
    struct llm_usage usage; /* USAGE */
    int error; /* ERROR: enum provider outcome's meaning is not known here; an HTTP-like
                                 status that the upstream's error type stands for (500, 529, 429, 400) */
};
typedef bool (*llm_emit_fn)(void *arg, const struct llm_event *ev); /* false = stop decoding */

/* Events as bytes, for those that must wait (pack.c). */
bool llm_event_pack(struct buf *b, const struct llm_event *ev); /* false: no memory, or b is full */
void llm_event_pad(struct buf *b); /* to where the next one would begin */
/* The event at *at, with views into the bytes, whose address is a multiple of 16; *at goes behind it. */
void llm_event_unpack(strv bytes, size_t *at, struct llm_event *ev);

/* A whole reply, collected from events: of choice 0. Neighbouring texts of a kind are one part. */
struct llm_reply_part {
    enum llm_part_kind kind; /* TEXT, REASONING, CALL */
    size_t from, len;        /* in bytes: text, or a call's arguments (never empty: at least {}) */
    strv id, name;           /* CALL; in the arena */
    size_t signature, n_signature; /* REASONING: in bytes */
    bool redacted;
};
struct llm_reply {
    strv id, model;   /* in the arena */
    struct buf bytes; /* of all parts; bounded */
    struct llm_reply_part *parts;
    size_t n_parts, room;
    struct buf vectors;           /* float after float */
    size_t n_vectors, dimensions; /* all of one length */
    enum llm_finish finish;
    strv stop_sequence, raw_finish;
    struct llm_usage usage;
    bool ended;
    bool open; /* the last part still grows */
};
void llm_reply_init(struct llm_reply *r, size_t text_bytes_max);
void llm_reply_fini(struct llm_reply *r);
/* False when memory or the maximum refuses. */
bool llm_reply_add(struct llm_reply *r, const struct llm_event *ev, struct arena *arena);
static inline strv llm_reply_text(const struct llm_reply *r, const struct llm_reply_part *p)
{
    return p->len > 0 ? (strv){buf_view(&r->bytes).ptr + p->from, p->len} : STRV("");
}
/* The reply as events again: each part whole, in order, then its vectors, finish, usage and end. False: `emit` said so. */
bool llm_reply_tell(const struct llm_reply *r, llm_emit_fn emit, void *arg);
/* The text becomes this one. False: no memory. */
bool llm_reply_set_text(struct llm_reply *r, strv text);
/* Bytes of all parts of a kind; and whether there is one. */
size_t llm_reply_bytes(const struct llm_reply *r, enum llm_part_kind kind);
bool llm_reply_has(const struct llm_reply *r, enum llm_part_kind kind);

#endif
