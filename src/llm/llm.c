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
    [LLM_P_##id] = {openai, LLM_KIND_##kind, min, max, {openai, anthropic, ollama, openai}},
#include "llm/params.def"
#undef LLM_PARAM
};
_Static_assert(LLM_PARAMS <= 32, "params_set holds one bit per parameter");

const char *llm_dialect_name(enum llm_dialect d)
{
    static const char *const names[] = {"openai", "anthropic", "ollama", "native"};
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

const char *llm_need_field(uint32_t needs)
{
    static const struct {
        uint32_t need;
        const char *field;
    } rows[] = {
        {LLM_NEED_CHOICES, "n"},
        {LLM_NEED_LOGPROBS, "logprobs"},
        {LLM_NEED_LOGIT_BIAS, "logit_bias"},
        {LLM_NEED_OLLAMA_RAW, "raw, template, suffix, context or an empty prompt"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (needs & rows[i].need)
            return rows[i].field;
    return "";
}

int64_t llm_request_estimate_tokens(const struct llm_request *r)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            bytes += (int64_t)r->messages[i].parts[k].text.len;
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
    take(&into->load_ns, from->load_ns);
    take(&into->input_ns, from->input_ns);
    take(&into->output_ns, from->output_ns);
    take(&into->total_ns, from->total_ns);
}

void llm_reply_init(struct llm_reply *r, size_t text_bytes_max)
{
    *r = (struct llm_reply){.usage = LLM_USAGE_NONE};
    buf_init(&r->text, text_bytes_max);
    buf_init(&r->reasoning, text_bytes_max);
}

void llm_reply_fini(struct llm_reply *r)
{
    buf_fini(&r->text);
    buf_fini(&r->reasoning);
}

bool llm_reply_add(struct llm_reply *r, const struct llm_event *ev, struct arena *arena)
{
    switch (ev->kind) {
    case LLM_EV_START:
        if (r->id.ptr == NULL)
            r->id = arena_strv(arena, ev->text);
        if (r->model.ptr == NULL && ev->model.ptr != NULL)
            r->model = arena_strv(arena, ev->model);
        break;
    case LLM_EV_TEXT:
        if (ev->choice == 0)
            buf_put_strv(&r->text, ev->text);
        break;
    case LLM_EV_REASONING:
        if (ev->choice == 0)
            buf_put_strv(&r->reasoning, ev->text);
        break;
    case LLM_EV_FINISH:
        if (ev->choice != 0)
            break;
        r->finish = ev->finish;
        if (ev->stop_sequence.ptr != NULL)
            r->stop_sequence = arena_strv(arena, ev->stop_sequence);
        if (ev->raw_finish.ptr != NULL)
            r->raw_finish = arena_strv(arena, ev->raw_finish);
        break;
    case LLM_EV_USAGE:
        llm_usage_merge(&r->usage, &ev->usage);
        break;
    case LLM_EV_END:
        r->ended = true;
        break;
    case LLM_EV_ERROR:
    case LLM_EV_PING:
        break;
    }
    return !r->text.failed && !r->reasoning.failed && !arena->failed;
}
