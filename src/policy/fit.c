/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fit - can this model at this provider serve the request? What it is known to lack, and the size of its window.
 *
 * What is not known is no reason against it: a server that refuses does no harm, a router that refuses what
 * would have worked does. The size of a prompt is known only to the model, so two estimates stand for it: what is
 * too long even by the low one is left out, what fits even by the high one is sure to fit (docs/choice.md).
 */
#include "policy/internal.h"

static int64_t count_letters(strv text)
{
    int64_t n = 0;
    bool blank = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_blank = c <= ' ';
        n += (c & 0xc0) != 0x80 && !(blank && is_blank);
        blank = is_blank;
    }
    return n;
}

static int64_t part_letters(const struct llm_part *p)
{
    int64_t n = p->kind == LLM_PART_LINK ? 0 : count_letters(p->text);
    for (size_t i = 0; i < p->n_parts; i++)
        n += part_letters(&p->parts[i]);
    return n;
}

/* Less than any tokenizer makes of it: an eighth of the letters, however many bytes they have, runs of blanks
 * as one. English has 4 to 5 letters a token, Chinese one or two. What is no text counts nothing. */
static int64_t estimate_low(const struct llm_request *r)
{
    int64_t n = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            n += part_letters(&r->messages[i].parts[k]);
    return n / 8;
}

static int64_t tokens_of(struct run *run)
{
    if (run->tokens == 0)
        run->tokens = llm_request_estimate_tokens(run->r);
    return run->tokens;
}

/* Letters are counted only for a request that is large enough for it to matter. Inputs of embeddings are
 * many texts, each with a window of its own. */
static bool is_too_long(struct run *run, int64_t context)
{
    if (context <= 0 || run->r->op == LLM_OP_EMBED || tokens_of(run) <= context)
        return false;
    if (run->tokens_low < 0)
        run->tokens_low = estimate_low(run->r);
    return run->tokens_low > context;
}

bool is_sure_to_fit(struct run *run, int64_t context)
{
    const struct llm_request *r = run->r;
    int64_t answer = llm_has(r, LLM_P_MAX_TOKENS) ? (int64_t)r->params[LLM_P_MAX_TOKENS] : 0;
    return context <= 0 || r->op == LLM_OP_EMBED || tokens_of(run) + answer <= context;
}

static const char *lack_words(uint32_t lacks)
{
    static const struct {
        uint32_t need;
        const char *words;
    } rows[] = {
        {LLM_NEED_TOOLS, "does not take tools"},         {LLM_NEED_IMAGES, "does not take images"},
        {LLM_NEED_DOCUMENTS, "does not take documents"}, {LLM_NEED_AUDIO, "does not take audio"},
        {LLM_NEED_EMBED, "makes no embeddings"},         {LLM_NEED_COUNT, "does not count tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((lacks & rows[i].need) != 0)
            return rows[i].words;
    return "cannot express the request";
}

/* Private for no other reason than that nobody here can read what a link leads to. */
static bool only_unread(const struct run *run)
{
    const struct privacy_verdict *v = run->facts->verdict;
    const struct policy_key *key = run->facts->key;
    if (v == NULL || v->counts[PRIVACY_UNREADABLE] == 0 || run->r->private_hint ||
        run->r->mode == LLM_MODE_LOCAL || (key != NULL && key->rules.force_private))
        return false;
    for (size_t i = 0; i < PRIVACY_KINDS; i++)
        if (i != PRIVACY_UNREADABLE && v->counts[i] > 0)
            return false;
    return true;
}

const char *inability(struct run *run, const struct policy_provider *p,
                      const struct policy_model *known)
{
    /* Whoever fetches it, the address goes to somebody who is no provider, and it may say as much as a text. */
    if (run->plan->is_private && (run->r->needs & LLM_NEED_LINKS) != 0 && !only_unread(run)) {
        run->unsupported++;
        run->cannot |= LLM_NEED_LINKS;
        return "private, and a link would be fetched from elsewhere";
    }
    uint32_t lacks = run->r->needs & (~p->can | known->lacks);
    if (lacks != 0) {
        run->unsupported++;
        run->cannot |= lacks;
        return (run->r->needs & ~p->can) != 0 ? "cannot express the request" : lack_words(lacks);
    }
    if (is_too_long(run, known->context)) {
        run->too_long++;
        if (known->context > run->context_max)
            run->context_max = known->context;
        return arena_printf(run->arena,
                            "does not fit its context window (about %lld > %lld tokens)",
                            (long long)run->tokens, (long long)known->context);
    }
    return NULL;
}
