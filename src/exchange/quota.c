/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota - what a request takes of its caller's limits, and gives back at its end.
 *
 * Tokens are known when the answer is over; until then the prompt's estimate stands for them, and as much of the
 * answer as the caller allows, but no more than is usual: clients that ask for the most there is would shut
 * themselves out. What they really were takes its place at the end.
 */
#include "exchange/exchange_int.h"

#define ANSWER_TOKENS 1000

static int64_t estimate(const struct llm_request *r)
{
    int64_t answer = ANSWER_TOKENS;
    if (r->op == LLM_OP_COUNT)
        return 0;
    if (r->op == LLM_OP_EMBED || r->op == LLM_OP_EMBED_1)
        answer = 0;
    else if (llm_has(r, LLM_P_MAX_TOKENS) && r->params[LLM_P_MAX_TOKENS] < ANSWER_TOKENS)
        answer = (int64_t)r->params[LLM_P_MAX_TOKENS];
    return llm_request_estimate_tokens(r) + answer;
}

static bool counts_tokens(const struct policy_pass *pass)
{
    for (size_t i = 0; i < pass->n; i++)
        if (pass->shares[i].quota.tokens_min > 0)
            return true;
    return false;
}

int64_t quota_tokens(const struct policy_pass *pass, const struct llm_request *r)
{
    return counts_tokens(pass) ? estimate(r) : 0;
}

bool quota_enter(struct exchange *x, uint64_t *wait_ms, struct err *err)
{
    int64_t wait_us;
    policy_pass_init(&x->quota, x->env->limits, &x->snapshot->quotas, x->caller->holder,
                     x->caller->address);
    if (policy_pass_enter(&x->quota, quota_tokens(&x->quota, x->r), x->started_us, &wait_us, err))
        return true;
    *wait_ms = (uint64_t)(wait_us + 999) / 1000;
    return false;
}

void quota_leave(struct exchange *x, const struct llm_usage *usage)
{
    int64_t tokens = usage->input > 0 ? usage->input : 0;
    tokens += usage->output > 0 ? usage->output : 0;
    policy_pass_leave(&x->quota, tokens);
}

void exchange_levels(const struct exchange *x, struct policy_level *requests,
                     struct policy_level *tokens)
{
    policy_pass_levels(&x->quota, io_now_us(x->env->loop), requests, tokens);
}
