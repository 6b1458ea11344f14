/* SPDX-License-Identifier: Apache-2.0 */
/* request - one conversation and what is asked of the model, whatever dialect it came in. */
#ifndef LLM_REQUEST_H
#define LLM_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

enum llm_dialect { LLM_OPENAI, LLM_ANTHROPIC, LLM_OLLAMA, LLM_NATIVE, LLM_DIALECTS };
const char *llm_dialect_name(enum llm_dialect d);

/* Which of a dialect's calls. GENERATE is Ollama's /api/generate (a prompt, not messages). */
enum llm_op { LLM_OP_CHAT, LLM_OP_GENERATE };

enum llm_role { LLM_SYSTEM, LLM_USER, LLM_ASSISTANT };
const char *llm_role_name(enum llm_role r); /* "system", "user", "assistant" */

enum llm_part_kind { LLM_PART_TEXT };

struct llm_part {
    enum llm_part_kind kind;
    strv text; /* valid UTF-8, may be empty */
};

struct llm_message {
    enum llm_role role;
    struct llm_part *parts;
    size_t n_parts;
};

enum llm_param_kind { LLM_KIND_INT, LLM_KIND_NUM };

enum llm_param {
#define LLM_PARAM(id, kind, min, max, openai, anthropic, ollama) LLM_P_##id,
#include "llm/params.def"
#undef LLM_PARAM
    LLM_PARAMS
};

struct llm_param_row {
    const char *id; /* canonical name, as in X-LLM-Dropped: "max_tokens" */
    enum llm_param_kind kind;
    double min, max;
    const char *name[LLM_DIALECTS]; /* NULL = unknown there */
};
extern const struct llm_param_row llm_params[LLM_PARAMS];

/* What only some dialects can express. A target that lacks one of them is not a candidate; if none is
 * left the caller gets UNSUPPORTED naming the field. */
enum llm_need {
    LLM_NEED_CHOICES = 1 << 0, /* n > 1 */
    LLM_NEED_LOGPROBS = 1 << 1,
    LLM_NEED_LOGIT_BIAS = 1 << 2, /* token ids mean something to one model only */
    LLM_NEED_OLLAMA_RAW = 1 << 3, /* raw, template, suffix, context, load-only requests */
};
const char *llm_need_field(uint32_t needs); /* name of the first one set: "n", "logprobs", ... */

/* Caller's hints; they only tighten or name (design.md 2). */
enum llm_mode { LLM_MODE_UNSET, LLM_MODE_LOCAL, LLM_MODE_HYBRID, LLM_MODE_CLOUD };

struct llm_request {
    struct arena *arena;      /* where all of it lives; may go once the exchange is committed */
    enum llm_dialect dialect; /* the caller's */
    enum llm_op op;
    strv model;    /* as the caller wrote it; may be empty = auto */
    strv provider; /* native door's explicit provider; empty = none */
    struct llm_message *messages;
    size_t n_messages; /* system messages stand where the caller put them */

    bool stream;
    bool include_usage;        /* OpenAI: the caller asked for a usage chunk in the stream */
    uint32_t params_set;       /* bit 1 << LLM_P_x */
    double params[LLM_PARAMS]; /* INT parameters hold whole numbers, exact up to 2^53 */
    strv *stops;
    size_t n_stops;
    int64_t choices; /* OpenAI's n; 1 by default */
    strv user;       /* caller's end-user id; STRV_NONE = none */
    uint32_t needs;  /* enum llm_need */
    uint32_t
        untranslated; /* enum dialect_loss bits: what the body says beyond this struct; a target
                                 of the same dialect gets it, any other target loses it */

    /* Same dialect on both sides: the bytes as they came. body.text stays valid until the exchange is
     * committed or over. */
    struct json body;
    /* Stable hints from headers or native metadata. */
    enum llm_mode mode;
    bool private_hint;
    strv task;                /* class named by the caller; STRV_NONE = none */
    strv session, request_id; /* native metadata; STRV_NONE = none */
};

static inline bool llm_has(const struct llm_request *r, enum llm_param p)
{
    return (r->params_set & (1u << p)) != 0;
}

static inline void llm_set(struct llm_request *r, enum llm_param p, double value)
{
    r->params_set |= 1u << p;
    r->params[p] = value;
}

/* Characters of all text parts / 3 + a little per message: an over-estimate of the prompt's tokens. */
int64_t llm_request_estimate_tokens(const struct llm_request *r);

#endif
