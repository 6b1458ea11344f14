/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quirks - what must be said differently to whom. One row per peculiarity; all that fit apply.
 *
 * Rows go by kind and name, and for Anthropic by the version in the name, so that a model which
 * appears next month gets what its elder sister needs. A wrong guess is cheap: a row only leaves out
 * or renames what would be refused.
 */
#include <ctype.h>
#include <limits.h>

#include "provider/internal.h"

enum flag {
    NO_SAMPLING = 1 << 0,
    NO_PREFILL = 1 << 1,
    COMPLETION_TOKENS = 1 << 2,
    REPETITION_PENALTY = 1 << 3,
    NO_FORCED_TOOLS = 1 << 4,
    NO_JSON_MODE = 1 << 5,
    NO_THINKING = 1 << 6,
    LEVELS_ONLY = 1 << 7,
    EFFORT = 1 << 8,           /* reads reasoning_effort */
    READS_CONTENT = 1 << 9,    /* reads reasoning_content in the history */
    READS_REASONING = 1 << 10, /* reads reasoning there */
    ADAPTIVE = 1 << 11,        /* DIALECT_THINK_ADAPTIVE */
    ALWAYS = 1 << 12,          /* DIALECT_THINK_ALWAYS */
    MISTRAL_IDS = 1 << 13,
};

#define VERSION(major, minor) ((major)*100 + (minor))

static const struct quirk {
    enum provider_kind kind;
    const char *model; /* pattern */
    const char *owner; /* "owned_by" in its list; NULL = any */
    int from, below;   /* VERSION in the name: from <= version < below; 0 = any */
    unsigned flags;
    int64_t max_tokens; /* largest answer, 0 = no limit known */
} quirks[] = {
    /* anthropic.md 1 and 3 (seen November 2026). */
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, VERSION(4, 7), 0, NO_SAMPLING, 0},
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, VERSION(4, 6), 0, NO_PREFILL, 0},
    /* anthropic.md 5 and 4. From 4.7 on a budget is refused, from 5.5 on also to be told not to think. */
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, 0, VERSION(3, 7), NO_THINKING, 0},
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, VERSION(4, 7), VERSION(5, 5), ADAPTIVE, 0},
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, VERSION(5, 5), 0, ALWAYS, 0},
    {PROVIDER_ANTHROPIC, "*claude-opus-*", NULL, VERSION(5, 5), 0, NO_FORCED_TOOLS, 0},
    {PROVIDER_ANTHROPIC, "*claude-sonnet-*", NULL, VERSION(5, 5), 0, NO_FORCED_TOOLS, 0},
    /* anthropic.md 10. */
    {PROVIDER_ANTHROPIC, "*claude-haiku-4*", NULL, 0, 0, 0, 64000},
    {PROVIDER_ANTHROPIC, "*claude-*", NULL, VERSION(4, 5), 0, 0, 128000},
    /* openai.md A2: reasoning models refuse the old name, and any temperature but 1. */
    {PROVIDER_OPENAI, "gpt-5*", NULL, 0, 0, COMPLETION_TOKENS | NO_SAMPLING | EFFORT, 0},
    {PROVIDER_OPENAI, "o1*", NULL, 0, 0, COMPLETION_TOKENS | NO_SAMPLING | EFFORT, 0},
    {PROVIDER_OPENAI, "o3*", NULL, 0, 0, COMPLETION_TOKENS | NO_SAMPLING | EFFORT, 0},
    {PROVIDER_OPENAI, "o4*", NULL, 0, 0, COMPLETION_TOKENS | NO_SAMPLING | EFFORT, 0},
    /* openai.md B3. */
    {PROVIDER_OPENAI, "*", "vllm", 0, 0, REPETITION_PENALTY | READS_REASONING | EFFORT, 0},
    /* Names of the field in which a server reads its own reasoning again: openai.md B1. "library" is
     * Ollama's /v1, "docker" has a llama-server behind it. */
    {PROVIDER_LLAMA_SERVER, "*", NULL, 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*", "llamacpp", 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*", "docker", 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*", "localai", 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*", "library", 0, 0, READS_REASONING | EFFORT, 0},
    /* Families whose makers' own servers read it, and demand it between calls. */
    {PROVIDER_OPENAI, "*deepseek*", NULL, 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*kimi-*", NULL, 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "glm-*", NULL, 0, 0, READS_CONTENT, 0},
    {PROVIDER_OPENAI, "*gpt-oss*", NULL, 0, 0, EFFORT, 0},
    {PROVIDER_LLAMA_SERVER, "*gpt-oss*", NULL, 0, 0, EFFORT, 0},
    /* ollama.md 3: it takes a level where others take a boolean. */
    {PROVIDER_OLLAMA, "*gpt-oss*", NULL, 0, 0, LEVELS_ONLY, 0},
    /* LM Studio: "'response_format.type' must be 'json_schema' or 'text'". */
    {PROVIDER_OPENAI, "*", "organization_owner", 0, 0, NO_JSON_MODE, 0},
    /* Mistral, Ministral, Magistral, Devstral, Codestral; Mixtral. Their chat templates want ids of exactly
     * 9 letters and digits (vllm #9019). */
    {PROVIDER_OPENAI, "*stral*", "vllm", 0, 0, MISTRAL_IDS, 0},
    {PROVIDER_OPENAI, "*mixtral*", "vllm", 0, 0, MISTRAL_IDS, 0},
    {PROVIDER_OPENAI, "*stral*", "llamacpp", 0, 0, MISTRAL_IDS, 0},
    {PROVIDER_OPENAI, "*mixtral*", "llamacpp", 0, 0, MISTRAL_IDS, 0},
    {PROVIDER_LLAMA_SERVER, "*stral*", NULL, 0, 0, MISTRAL_IDS, 0},
    {PROVIDER_LLAMA_SERVER, "*mixtral*", NULL, 0, 0, MISTRAL_IDS, 0},
};

#define ANTHROPIC_MAX_TOKENS 4096 /* it must be given; what gateways commonly put in (peers.md) */
#define ANSWER_TOKENS        1024 /* room for an answer whose length nobody said */
#define CONTEXT_STEP         4096

/* ---- versions ---- */

/* "claude-opus-4-7" and "claude-opus-4-7-20260101" are 4.7, "claude-3-5-sonnet" is 3.5,
 * "claude-sonnet-5" is 5.0. A name without a number is a preview of what comes. */
static int version_of(strv model)
{
    uint64_t major = 0, minor = 0;
    unsigned n = 0;
    strv part, head;
    while (n < 2 && strv_cut(&model, '-', &part)) {
        uint64_t *into = n == 0 ? &major : &minor;
        strv_cut(&part, '.', &head);
        bool number = strv_u64(head, 0, 99, into);
        if (number && part.ptr != NULL && strv_u64(part, 0, 99, &minor)) /* "4.5" */
            return VERSION((int)major, (int)minor);
        if (n > 0 && !number) /* the minor number stands right behind the major one */
            break;
        n += number ? 1 : 0;
    }
    return n == 0 ? INT_MAX : VERSION((int)major, (int)minor);
}

/* ---- the table ---- */

/* `lower` is the model's name in lower case: "mistralai/Mistral-7B" is one of "*stral*". */
static bool applies(const struct quirk *q, const struct provider *p, strv model, strv lower,
                    const char *owner)
{
    if (q->kind != p->kind || (q->owner != NULL && strcmp(q->owner, owner) != 0))
        return false;
    if (!strv_glob(strv_of(q->model), lower))
        return false;
    int version = q->from > 0 || q->below > 0 ? version_of(model) : 0;
    return version >= q->from && (q->below == 0 || version < q->below);
}

static void apply_flags(unsigned flags, struct dialect_target *out)
{
    out->no_sampling |= (flags & NO_SAMPLING) != 0;
    out->no_prefill |= (flags & NO_PREFILL) != 0;
    out->completion_tokens |= (flags & COMPLETION_TOKENS) != 0;
    out->repetition_penalty |= (flags & REPETITION_PENALTY) != 0;
    out->no_forced_tools |= (flags & NO_FORCED_TOOLS) != 0;
    out->no_json_mode |= (flags & NO_JSON_MODE) != 0;
    out->no_thinking |= (flags & NO_THINKING) != 0;
    out->levels_only |= (flags & LEVELS_ONLY) != 0;
    out->reasoning_effort |= (flags & EFFORT) != 0;
    if (out->reasoning_field == NULL && (flags & (READS_CONTENT | READS_REASONING)) != 0)
        out->reasoning_field = flags & READS_CONTENT ? "reasoning_content" : "reasoning";
    if (flags & (ADAPTIVE | ALWAYS))
        out->thinking = flags & ALWAYS ? DIALECT_THINK_ALWAYS : DIALECT_THINK_ADAPTIVE;
    if (flags & MISTRAL_IDS)
        out->ids = LLM_IDS_MISTRAL;
}

static void apply_quirks(const struct provider *p, strv model, const char *owner,
                         struct dialect_target *out)
{
    char lower[128];
    if (model.len > sizeof lower) /* a name too long for a copy is none of ours */
        return;
    for (size_t i = 0; i < model.len; i++)
        lower[i] = (char)tolower((unsigned char)model.ptr[i]);
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        const struct quirk *q = &quirks[i];
        if (!applies(q, p, model, (strv){lower, model.len}, owner))
            continue;
        apply_flags(q->flags, out);
        if (out->max_tokens_cap == 0)
            out->max_tokens_cap = q->max_tokens;
    }
}

/* ---- Ollama's context ---- */

/* Every change of num_ctx makes Ollama load the model anew, seconds to minutes. So the wish is rounded
 * up to a coarse step (4096, 8192, 16384, ...), and a model that once got a larger one keeps it. */
static int64_t remember_ctx(struct provider_cell *c, strv model, int64_t want)
{
    uint64_t hash = strv_hash(model, 0) | 1;
    struct provider_asked *a = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < PROVIDER_ASKED_MAX && a == NULL; i++)
        if (c->asked[i].model == hash || c->asked[i].model == 0)
            a = &c->asked[i];
    if (a == NULL) {
        a = &c->asked[c->asked_n++ % PROVIDER_ASKED_MAX];
        a->model = 0;
    }
    if (a->model != hash || a->num_ctx < want)
        *a = (struct provider_asked){hash, want};
    want = a->num_ctx;
    pthread_mutex_unlock(&c->lock);
    return want;
}

static int64_t choose_ctx(const struct provider *p, strv model, int64_t known,
                          const struct llm_request *r)
{
    int64_t cap = p->num_ctx > 0 ? p->num_ctx : known;
    int64_t answer =
        llm_has(r, LLM_P_MAX_TOKENS) ? (int64_t)r->params[LLM_P_MAX_TOKENS] : ANSWER_TOKENS;
    int64_t need = llm_request_estimate_tokens(r) + answer;
    int64_t ctx = CONTEXT_STEP;
    if (p->num_ctx > 0 && known > 0 && known < cap)
        cap = known;
    while (ctx < need && ctx <= INT64_MAX / 4)
        ctx *= 2;
    if (cap > 0 && ctx > cap)
        ctx = cap;
    ctx = remember_ctx(p->cell, model, ctx);
    return cap > 0 && ctx > cap ? cap : ctx; /* the configuration may have changed since */
}

/* ---- the target ---- */

/* Some answers have no end of their own; the engine computes on for a caller who has left unless it
 * has a limit (local-engine.md). Its context is one that changes nothing. */
static int64_t default_tokens(const struct provider *p, int64_t context)
{
    if (p->max_tokens > 0)
        return p->max_tokens;
    if (p->kind == PROVIDER_ANTHROPIC)
        return ANTHROPIC_MAX_TOKENS;
    if (p->kind == PROVIDER_LLAMA_SERVER)
        return p->spawn.context > 0 ? p->spawn.context : context;
    return 0;
}

static void apply_kind(const struct provider *p, struct dialect_target *out)
{
    out->short_names = p->kind != PROVIDER_OLLAMA;
    out->no_truncate = p->kind == PROVIDER_OLLAMA;
    out->own_signatures = p->kind == PROVIDER_ANTHROPIC && p->zone == ZONE_CLOUD;
    if (p->kind == PROVIDER_ANTHROPIC)
        out->ids = LLM_IDS_WORD;
}

/* What it says of itself, and what the operator says, count more than the table. Returns its context. */
static int64_t apply_known(const struct provider *p, strv model, const struct provider_model *known,
                           struct dialect_target *out)
{
    uint32_t has, lacks;
    int64_t context = known != NULL ? known->context : 0;
    model_known(p, model, known, &has, &lacks, &context);
    if (known != NULL && known->thinking >= 0)
        out->thinking = (enum dialect_thinking)known->thinking;
    if (known != NULL && known->effort)
        out->reasoning_effort = true;
    if (((has | lacks) & LLM_NEED_THINKING) != 0)
        out->no_thinking = (lacks & LLM_NEED_THINKING) != 0;
    return context;
}

void provider_target(const struct provider *p, strv model, const struct llm_request *r,
                     struct dialect_target *out)
{
    struct provider_models *m = provider_models_get(p->cell);
    const struct provider_model *known = model_find(p, m, model);
    *out = (struct dialect_target){.model = model, .stream = r->stream};
    if (known != NULL && p->kind == PROVIDER_ANTHROPIC)
        out->max_tokens_cap = known->output_max;
    apply_kind(p, out);
    apply_quirks(p, model, known != NULL ? known->owner : "", out);
    int64_t context = apply_known(p, model, known, out);
    out->max_tokens_default = default_tokens(p, context);
    if (p->kind == PROVIDER_OLLAMA)
        out->num_ctx = choose_ctx(p, model, context, r);
    provider_models_unref(m);
}

/* ---- headers ---- */

static void put_header(struct http_header *out, size_t *n, const char *name, strv value)
{
    if (value.ptr != NULL)
        out[(*n)++] = (struct http_header){strv_of(name), value};
}

size_t provider_headers(const struct provider *p, struct arena *arena, struct http_header out[4])
{
    size_t n = 0;
    bool key = p->key != NULL && p->key[0] != '\0';
    if (p->kind == PROVIDER_ANTHROPIC) {
        const char *version = p->anthropic_version;
        if (key)
            put_header(out, &n, "x-api-key", strv_of(p->key));
        put_header(out, &n, "anthropic-version",
                   strv_of(version != NULL && version[0] != '\0' ? version : "2023-06-01"));
    } else if (key) {
        put_header(out, &n, "Authorization", strv_of(arena_printf(arena, "Bearer %s", p->key)));
    }
    return n;
}
