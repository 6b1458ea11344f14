/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event - what a model's answer is made of.
 *
 *   START  (TEXT | REASONING)*  FINISH  USAGE*  END          a good stream, per choice
 *   START? ... ERROR                                          a failed one
 *
 * END stands for the dialect's own terminator ([DONE], message_stop, done:true). A stream that stops
 * without FINISH and END was cut, whatever the transport says. Text views live until the next event.
 */
#ifndef LLM_EVENT_H
#define LLM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

enum llm_event_kind {
    LLM_EV_START,
    LLM_EV_TEXT,
    LLM_EV_REASONING,
    LLM_EV_FINISH,
    LLM_EV_USAGE,
    LLM_EV_END,
    LLM_EV_ERROR,
    LLM_EV_PING
};

enum llm_finish {
    LLM_FINISH_NONE,
    LLM_FINISH_STOP,          /* the model was done, or a stop string matched */
    LLM_FINISH_STOP_SEQUENCE, /* ... and it is known which one */
    LLM_FINISH_LENGTH,        /* max_tokens or the context window */
    LLM_FINISH_FILTER,        /* content filter, refusal */
    LLM_FINISH_OTHER          /* something this program has no word for; raw text kept */
};

/* Counts are -1 while unknown. input includes cached and cache_write (OpenAI's view: the whole prompt). */
struct llm_usage {
    int64_t input, output;
    int64_t cached, cache_write, reasoning;
    /* Nanoseconds, -1 = unknown (Ollama's figures and llama-server's timings). */
    int64_t load_ns, input_ns, output_ns, total_ns;
};
#define LLM_USAGE_NONE ((struct llm_usage){-1, -1, -1, -1, -1, -1, -1, -1, -1})
/* Takes every field of `from` that is known: later figures replace, never add. */
void llm_usage_merge(struct llm_usage *into, const struct llm_usage *from);

struct llm_event {
    enum llm_event_kind kind;
    int choice;             /* index, 0 when there is only one */
    strv text;              /* TEXT, REASONING; START: the upstream's id; ERROR: its message */
    strv model;             /* START: the model the upstream says it is, or STRV_NONE */
    enum llm_finish finish; /* FINISH */
    strv stop_sequence;     /* FINISH with STOP_SEQUENCE */
    strv raw_finish;        /* FINISH: the upstream's word */
    struct llm_usage usage; /* USAGE */
    int error; /* ERROR: enum provider outcome's meaning is not known here; an HTTP-like
                                 status that the upstream's error type stands for (500, 529, 429, 400) */
};
typedef bool (*llm_emit_fn)(void *arg, const struct llm_event *ev); /* false = stop decoding */

/* A whole reply, collected from events. */
struct llm_reply {
    strv id, model;             /* in the arena */
    struct buf text, reasoning; /* of choice 0; bounded */
    enum llm_finish finish;
    strv stop_sequence, raw_finish;
    struct llm_usage usage;
    bool ended;
};
void llm_reply_init(struct llm_reply *r, size_t text_bytes_max);
void llm_reply_fini(struct llm_reply *r);
/* False when memory or the maximum refuses. */
bool llm_reply_add(struct llm_reply *r, const struct llm_event *ev, struct arena *arena);

#endif
