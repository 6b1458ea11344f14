/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai - what the files of this dialect share.
 *
 *   openai_request.c     requests of chat completions    openai.c            answers
 *   openai_upstream.c    requests for an upstream        openai_calls.c      calls in an upstream's
 *   openai_completion.c  /v1/completions                  openai_embed.c      /v1/embeddings
 */
#ifndef DIALECT_OPENAI_H
#define DIALECT_OPENAI_H

#include "dialect/dialect.h"

bool openai_decode_request(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                           struct err *err);
bool openai_encode_request(const struct llm_request *r, const struct dialect_target *t,
                           struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);

/* Members that every call has. */
bool openai_decode_names(struct llm_request *r, yyjson_val *root,
                         struct err *err); /* model, user */
bool openai_decode_limits(struct llm_request *r, yyjson_val *root, struct err *err);
bool openai_decode_stream(struct llm_request *r, yyjson_val *root, struct err *err);
bool openai_decode_n(struct llm_request *r, yyjson_val *root, struct err *err);
bool openai_decode_logit_bias(struct llm_request *r, yyjson_val *root, struct err *err);
bool openai_is_known(strv name); /* of a member: it is carried over, or asks for nothing */
#define OPENAI_STOPS_MAX 16      /* OpenAI takes 4, local servers more */

struct reading;
/* A string, strings, tokens or lists of tokens: r->inputs (empty texts for tokens) and a message. */
bool openai_decode_input(struct reading *rd, yyjson_val *v, const char *field, size_t most);
/* Members that neither `own` nor openai_is_known() knows are lost on the way to another dialect. */
void openai_note_others(struct llm_request *r, bool (*own)(strv name));

/* Pieces of answers. A chunk: openai_put_chunk(), members of the choice, openai_put_chunk_end(). */
void openai_put_opening(const struct dialect_out *st, const char *object, struct buf *out);
void openai_put_chunk(struct dialect_out *st, int index, struct buf *out);
void openai_put_chunk_end(const struct dialect_out *st, struct buf *out);
void openai_put_usage(const struct llm_usage *u, int64_t input, int64_t output, struct buf *out);
void openai_put_end(struct dialect_out *st, struct buf *out); /* what follows the finish_reasons */
strv openai_finish_word(enum llm_finish finish);
int64_t openai_guess(uint64_t bytes); /* tokens */

bool openai_decode_completion(strv body, struct arena *arena, struct llm_request *out,
                              struct err *err);
bool openai_decode_embed(strv body, enum llm_op op, struct arena *arena, struct llm_request *out,
                         struct err *err);
bool openai_encode_embed(const struct llm_request *r, const struct dialect_target *t,
                         struct arena *arena, struct buf *out, uint32_t *losses, struct err *err);
bool openai_decode_embed_reply(struct dialect_in *in, strv body, struct err *err);
bool openai_embed_reply(struct dialect_out *st, const struct llm_reply *reply, struct buf *out);
bool openai_completion_event(struct dialect_out *st, const struct llm_event *ev, struct buf *out);
bool openai_completion_reply(struct dialect_out *st, const struct llm_reply *reply,
                             struct buf *out);

/* ---- an upstream's answer on its way through the decoder ---- */

#define OPENAI_CHOICES_MAX 128

/* What is remembered from frame to frame, in dialect_in.own. */
struct openai_heard {
    uint64_t id; /* hash of the first chunk\'s */
    int64_t created;
    uint64_t refused[OPENAI_CHOICES_MAX / 64]; /* a bit per choice that told a refusal */
    struct openai_choice *choices;             /* those with calls */
    size_t held;                               /* bytes held back, of all choices */
};

/* One frame or body. */
struct hearing {
    struct dialect_in *in;
    struct openai_heard *heard;
    struct err *err;
    struct json doc;
    bool whole;
    bool stopped; /* the receiver wants no more of this */
    bool
        precious; /* it says what our encoder cannot write (logprobs, several choices in a whole body):
                      better its bytes with their flaws */
};

bool openai_malformed(struct hearing *h, const char *what);
void openai_emit(struct hearing *h, const struct llm_event *ev);
void openai_flaw(struct hearing *h);

/* Text of a choice: told at once, or after the call that is open. */
bool openai_hear_text(struct hearing *h, int choice, enum llm_event_kind kind, strv text);
/* tool_calls and function_call of a delta or message; *any: there were some. */
bool openai_hear_calls(struct hearing *h, int choice, yyjson_val *delta, bool *any);
/* The choice is over: whatever is open or held back ends. Returns false if that cannot be; *calls says
 * how many there were. */
bool openai_end_calls(struct hearing *h, int choice, size_t *calls);

#endif
