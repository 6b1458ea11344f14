/* SPDX-License-Identifier: Apache-2.0 */
/* request - one conversation and what is asked of the model, whatever dialect it came in. */
#ifndef LLM_REQUEST_H
#define LLM_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

enum llm_dialect {
    LLM_OPENAI,
    LLM_ANTHROPIC,
    LLM_OLLAMA,
    LLM_NATIVE,
    LLM_RESPONSES, /* OpenAI's /v1/responses: a door only, upstreams are asked by chat completions */
    LLM_DIALECTS
};
const char *llm_dialect_name(enum llm_dialect d);

/* Which of a dialect's calls. */
enum llm_op {
    LLM_OP_CHAT,
    LLM_OP_GENERATE, /* a prompt, not messages: Ollama's /api/generate, OpenAI's /v1/completions */
    LLM_OP_EMBED,    /* texts in, vectors out */
    LLM_OP_EMBED_1,  /* Ollama's older /api/embeddings: one text, a vector that is not normalised */
    LLM_OP_COUNT,    /* Anthropic's count_tokens: how long is the prompt */
    LLM_OPS
};

enum llm_role { LLM_SYSTEM, LLM_USER, LLM_ASSISTANT };
const char *llm_role_name(enum llm_role r); /* "system", "user", "assistant" */

enum llm_part_kind {
    LLM_PART_TEXT,
    LLM_PART_REASONING, /* assistant: what it thought */
    LLM_PART_CALL,      /* assistant: it wants a tool to be run */
    LLM_PART_RESULT,    /* user: what came of a call; stands before other parts of its message */
    LLM_PART_IMAGE,
    LLM_PART_DOCUMENT, /* PDF; a document that is plain text is a TEXT part from the start */
    LLM_PART_AUDIO,
    LLM_PART_LINK, /* an image or document that only an address stands for */
};

/* Every strv is valid UTF-8 and may be empty; which members count depends on the kind. */
struct llm_part {
    enum llm_part_kind kind;
    strv text;     /* TEXT, REASONING: it. CALL: arguments, the caller's own JSON text of an
                                object, or whatever stood in its place. LINK: the address */
    strv id, name; /* CALL, RESULT: the call's id, the tool's name ("" = not told) */
    strv type;  /* IMAGE, DOCUMENT, AUDIO: "image/png", by its bytes. LINK: "image" or "document" */
    strv data;  /* ...: base64, standard alphabet, padded */
    strv title; /* DOCUMENT: file name or title */
    strv signature;         /* REASONING: Anthropic's; of redacted thinking: its data */
    bool redacted;          /* REASONING without text */
    bool is_error;          /* RESULT */
    bool made_up;           /* RESULT that llm_request_mend() put where the caller sent none */
    struct llm_part *parts; /* RESULT: TEXT, IMAGE, DOCUMENT, LINK */
    size_t n_parts;
};

/* A file that is a text, as any model reads it: a TEXT part, under a line with its title if there is one. False: no
 * memory. */
bool llm_part_text_file(struct arena *arena, strv title, strv text, struct llm_part *out);

struct llm_message {
    enum llm_role role;
    struct llm_part *parts;
    size_t n_parts;
};

struct llm_tool {
    strv name, description; /* description "" = none */
    strv schema; /* of the arguments: the caller's own JSON text of an object; "" = none */
    bool strict;
};

/* Tools of an MCP server that the operator has configured, asked for by name in the request. */
struct llm_mcp {
    strv server;
    strv *allowed; /* names or patterns of its tools */
    size_t n_allowed;
    bool narrowed;  /* only those allowed, even if there are none */
    bool read_only; /* only those that only read */
    bool ask;       /* a person is to be asked, also for what would run by itself */
};

enum llm_tool_choice { LLM_CHOOSE_AUTO, LLM_CHOOSE_NONE, LLM_CHOOSE_ANY, LLM_CHOOSE_ONE };

enum llm_format { LLM_FORMAT_TEXT, LLM_FORMAT_JSON, LLM_FORMAT_SCHEMA };

/* How much to think. ON: yes, and the model may say how much. */
enum llm_effort {
    LLM_EFFORT_UNSET,
    LLM_EFFORT_NONE,
    LLM_EFFORT_ON,
    LLM_EFFORT_MINIMAL,
    LLM_EFFORT_LOW,
    LLM_EFFORT_MEDIUM,
    LLM_EFFORT_HIGH,
    LLM_EFFORT_XHIGH,
    LLM_EFFORT_MAX,
    LLM_EFFORTS
};
const char *llm_effort_name(enum llm_effort e); /* "", "none", "on", "minimal", "low", ... */
bool llm_effort_parse(strv word, enum llm_effort *out);

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

/* What only some dialects, providers or models can do. A target that is known to lack one of them is not a
 * candidate; if none is left the caller gets UNSUPPORTED naming the field. */
enum llm_need {
    LLM_NEED_CHOICES = 1 << 0, /* n > 1 */
    LLM_NEED_LOGPROBS = 1 << 1,
    LLM_NEED_LOGIT_BIAS = 1 << 2, /* token ids mean something to one model only */
    LLM_NEED_OLLAMA_RAW = 1 << 3, /* raw, template, suffix, context, load-only requests */
    LLM_NEED_TOOLS = 1 << 4,      /* tools are offered, or the history holds calls */
    LLM_NEED_IMAGES = 1 << 5,
    LLM_NEED_DOCUMENTS = 1 << 6, /* PDF */
    LLM_NEED_AUDIO = 1 << 7,
    LLM_NEED_LINKS = 1 << 8, /* the provider would have to fetch something */
    LLM_NEED_ANTHROPIC =
        1 << 9, /* the vendor's own tools, containers, files: nobody else has them */
    LLM_NEED_EMBED = 1 << 10,
    LLM_NEED_TOKEN_INPUT = 1 << 11, /* a prompt or input given as token numbers */
    LLM_NEED_COMPLETION = 1 << 12,  /* suffix, echo, best_of, logprobs of /v1/completions */
    LLM_NEED_COUNT = 1 << 13,       /* tokens counted by the provider */
    LLM_NEED_THINKING = 1 << 14,    /* never in llm_request.needs: a wish that a model may lack */
};
const char *llm_need_field(uint32_t needs); /* name of the first one set: "n", "logprobs", ... */
/* What of it may be said of a model (capability lists): TOOLS, IMAGES, DOCUMENTS, AUDIO, EMBED, THINKING. */
bool llm_need_parse(strv word, uint32_t *out); /* "tools", "vision", "embedding", "thinking", ... */

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
        untranslated; /* enum dialect_loss bits: what the body says beyond this struct; a target of the
                              same dialect gets it, any other target loses it */

    /* tools */
    struct llm_tool *tools; /* those that may be called: the caller's narrowing is done already */
    size_t n_tools;
    struct llm_mcp *mcp; /* are not among `tools`: agent/ puts them there */
    size_t n_mcp;
    enum llm_tool_choice choose;
    strv choose_name; /* CHOOSE_ONE */
    bool one_call;    /* at most one call in the answer */
    bool has_history; /* CALL or RESULT parts in the messages */
    bool mended;      /* llm_request_mend() has run */

    /* the form of the answer */
    enum llm_format format;
    strv schema, schema_name, schema_description; /* FORMAT_SCHEMA: the caller's own JSON text */
    bool schema_strict;
    bool form_unchecked; /* servers are asked for it, but whoever asks reads any answer himself */

    /* thinking */
    enum llm_effort effort;
    int64_t think_tokens; /* Anthropic's budget_tokens; 0 = none told */
    bool
        hide_reasoning; /* the caller did not ask for it and its dialect's clients do not expect it */

    /* EMBED */
    strv *inputs; /* also of GENERATE with several prompts; the first is the message, too */
    size_t n_inputs;
    int64_t dimensions; /* 0 = the model's own */
    bool base64;        /* vectors as base64 of little-endian float32 */
    bool no_truncate;   /* Ollama: truncate:false */

    /* Same dialect on both sides: the bytes as they came. body.text stays valid until the exchange is
     * committed or over. */
    struct json body;
    bool rewritten; /* what it says has changed since the body was read: nobody is sent its bytes */
    /* Stable hints from headers or native metadata. */
    enum llm_mode mode;
    bool private_hint;
    strv task;                /* class named by the caller; STRV_NONE = none */
    strv session, request_id; /* native metadata; STRV_NONE = none */
    strv session_header;      /* X-LLM-Session; both count where they differ */
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

/* Bytes of everything that becomes prompt / 3 + a little per message: an over-estimate of the prompt's tokens;
 * images count a thousand each. */
int64_t llm_request_estimate_tokens(const struct llm_request *r);

/* Makes the history one that every dialect can write: every CALL has an id that no other has, every RESULT
 * has the id and name of its call (paired by id, else by name and order), every CALL is answered in the next
 * message (a made-up error result where the caller cancelled), RESULT parts stand first, a RESULT without
 * any call becomes a TEXT part. Runs once; new parts and arrays in r->arena. False: no memory. */
bool llm_request_mend(struct llm_request *r);

/* ---- names and ids that an upstream would refuse (translation.md 4) ---- */

enum llm_id_rule {
    LLM_IDS_ANY,
    LLM_IDS_WORD,    /* ^[a-zA-Z0-9_-]+$, 64 at most: Anthropic */
    LLM_IDS_MISTRAL, /* exactly 9 of [a-zA-Z0-9] */
};
/* `id` itself if the rule allows it, else a text made from its hash: the same for the same id, always. */
strv llm_id_for(enum llm_id_rule rule, strv id, struct arena *arena);
/* A tool's name as ^[a-zA-Z0-9_-]{1,64}$: itself, or 55 bytes of it (other characters become _) + "_" + 8 hex
 * digits of its hash. */
strv llm_tool_name_for(strv name, struct arena *arena);
/* Names of r->tools that llm_tool_name_for() changes, to be undone in the answer. In `arena`, both texts
 * copied; *n may be 0. False: no memory. */
struct llm_rename {
    strv own, sent;
};
bool llm_tool_renames(const struct llm_request *r, struct arena *arena, struct llm_rename **out,
                      size_t *n);

#endif
