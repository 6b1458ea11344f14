/* SPDX-License-Identifier: Apache-2.0 */
/* llm - the tables behind the vocabulary, and the helpers that need no wire format. */
#include "llm/llm.h"

#include <assert.h>

static const struct llm_error_row error_rows[LLM_ERRORS] = {
#define LLM_ERROR(id, code, status, astatus, otype, ocode, atype, retry, text)                     \
    [LLM_ERR_##id] = {code, status, astatus, otype, ocode, atype, retry, text},
#include "llm/errors.def"
#undef LLM_ERROR
};

const struct llm_error_row *llm_error_row(int code)
{
    if (code <= LLM_OK || code >= LLM_ERRORS)
        code = LLM_ERR_INTERNAL;
    return &error_rows[code];
}

const struct llm_param_row llm_params[LLM_PARAMS] = {
#define LLM_PARAM(id, kind, min, max, openai, anthropic, ollama)                                   \
    [LLM_P_##id] = {openai,                                                                        \
                    LLM_KIND_##kind,                                                               \
                    min,                                                                           \
                    max,                                                                           \
                    {openai, anthropic, ollama, openai,                                            \
                     LLM_P_##id == LLM_P_MAX_TOKENS ? "max_output_tokens" : openai}},
#include "llm/params.def"
#undef LLM_PARAM
};
_Static_assert(LLM_PARAMS <= 32, "params_set holds one bit per parameter");

const char *llm_dialect_name(enum llm_dialect d)
{
    static const char *const names[] = {"openai", "anthropic", "ollama", "native", "responses"};
    _Static_assert(sizeof names / sizeof *names == LLM_DIALECTS, "one name per dialect");
    assert(d < LLM_DIALECTS);
    return names[d];
}

const char *llm_role_name(enum llm_role r)
{
    static const char *const names[] = {"system", "user", "assistant"};
    assert((size_t)r < sizeof names / sizeof *names);
    return names[r];
}

static const struct {
    uint32_t need;
    const char *field;
} needs[] = {
    {LLM_NEED_CHOICES, "n"},
    {LLM_NEED_LOGPROBS, "logprobs"},
    {LLM_NEED_LOGIT_BIAS, "logit_bias"},
    {LLM_NEED_OLLAMA_RAW, "raw, template, suffix, context or an empty prompt"},
    {LLM_NEED_TOOLS, "tools"},
    {LLM_NEED_IMAGES, "images"},
    {LLM_NEED_DOCUMENTS, "documents"},
    {LLM_NEED_AUDIO, "audio"},
    {LLM_NEED_LINKS, "links to images or documents"},
    {LLM_NEED_ANTHROPIC, "Anthropic's own tools or files"},
    {LLM_NEED_EMBED, "embeddings"},
    {LLM_NEED_TOKEN_INPUT, "input as token numbers"},
    {LLM_NEED_COMPLETION, "suffix, echo, best_of or logprobs"},
    {LLM_NEED_COUNT, "a count of tokens"},
};

const char *llm_need_field(uint32_t set)
{
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (set & needs[i].need)
            return needs[i].field;
    return "";
}

bool llm_need_parse(strv word, uint32_t *out)
{
    /* Ollama's words, and what others say for the same. */
    static const struct {
        const char *word;
        uint32_t need;
    } rows[] = {
        {"tools", LLM_NEED_TOOLS},         {"vision", LLM_NEED_IMAGES},
        {"image", LLM_NEED_IMAGES},        {"images", LLM_NEED_IMAGES},
        {"documents", LLM_NEED_DOCUMENTS}, {"pdf", LLM_NEED_DOCUMENTS},
        {"audio", LLM_NEED_AUDIO},         {"embedding", LLM_NEED_EMBED},
        {"embeddings", LLM_NEED_EMBED},    {"thinking", LLM_NEED_THINKING},
        {"reasoning", LLM_NEED_THINKING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_nocase(word, strv_of(rows[i].word))) {
            *out = rows[i].need;
            return true;
        }
    return false;
}

static const char *const efforts[] = {"",       "none", "on",    "minimal", "low",
                                      "medium", "high", "xhigh", "max"};
_Static_assert(sizeof efforts / sizeof *efforts == LLM_EFFORTS, "one name per effort");

const char *llm_effort_name(enum llm_effort e)
{
    assert(e < LLM_EFFORTS);
    return efforts[e];
}

bool llm_effort_parse(strv word, enum llm_effort *out)
{
    for (int e = LLM_EFFORT_NONE; e < LLM_EFFORTS; e++)
        if (strv_eq_cstr(word, efforts[e])) {
            *out = (enum llm_effort)e;
            return true;
        }
    return false;
}

bool llm_part_text_file(struct arena *arena, strv title, strv text, struct llm_part *out)
{
    *out = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    if (title.len == 0)
        return true;
    char *whole = arena_alloc(arena, title.len + 1 + text.len);
    if (whole == NULL)
        return false;
    memcpy(whole, title.ptr, title.len);
    whole[title.len] = '\n';
    if (text.len > 0)
        memcpy(whole + title.len + 1, text.ptr, text.len);
    out->text = (strv){whole, title.len + 1 + text.len};
    return true;
}

#define IMAGE_TOKENS 1000 /* what a picture of usual size costs most models, at most */

static int64_t part_bytes(const struct llm_part *p)
{
    int64_t bytes = (int64_t)(p->text.len + p->id.len + p->name.len + p->title.len);
    if (p->kind == LLM_PART_IMAGE || p->kind == LLM_PART_LINK)
        bytes += 3 * IMAGE_TOKENS;
    else if (p->kind == LLM_PART_DOCUMENT || p->kind == LLM_PART_AUDIO)
        bytes += (int64_t)p->data.len / 8; /* mostly layout and pictures */
    for (size_t i = 0; i < p->n_parts; i++)
        bytes += part_bytes(&p->parts[i]);
    return bytes;
}

int64_t llm_request_estimate_tokens(const struct llm_request *r)
{
    int64_t bytes = (int64_t)r->schema.len;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            bytes += part_bytes(&r->messages[i].parts[k]);
    for (size_t i = 0; i < r->n_tools; i++)
        bytes += (int64_t)(r->tools[i].name.len + r->tools[i].description.len +
                           r->tools[i].schema.len + 32);
    /* English runs at about 4 bytes a token, code and other scripts at 3 and less; chat templates add a
     * handful of tokens a message. */
    return bytes / 3 + 8 * (int64_t)r->n_messages + 8;
}

static void take(int64_t *into, int64_t from)
{
    if (from >= 0)
        *into = from;
}

void llm_usage_merge(struct llm_usage *into, const struct llm_usage *from)
{
    take(&into->input, from->input);
    take(&into->output, from->output);
    take(&into->cached, from->cached);
    take(&into->cache_write, from->cache_write);
    take(&into->reasoning, from->reasoning);
    take(&into->cache_write_1h, from->cache_write_1h);
    take(&into->load_ns, from->load_ns);
    take(&into->input_ns, from->input_ns);
    take(&into->output_ns, from->output_ns);
    take(&into->total_ns, from->total_ns);
}
