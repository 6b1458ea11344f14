/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sure - how sure the model was of its answer: the probability of its least sure token, for lists whose configuration
 * asks for it (confidence.*).
 *
 *   sure_asks        the call asks for log probabilities, which the caller does not see
 *   sure_refused     a target that refuses to tell is asked once more without
 *   sure_escalates   an answer below `escalate` is kept, and the next target of the plan is asked
 *   sure_gives_back  when nobody else answers, the kept one is better than none
 *
 * Of whole answers only: a stream has gone out before its least sure token is known. A private request is never
 * asked again elsewhere for this, wherever that is. A caller who asks for log probabilities himself gets the
 * provider's own bytes, and judges them himself.
 */
#include <math.h>

#include "exchange/exchange_int.h"

struct kept_answer {
    const struct provider *p;
    strv model;
    double least_logprob;
    uint32_t losses;
    struct llm_reply reply;
};

static bool is_wanted(const struct exchange *x)
{
    return (x->sure.below.mark > 0 || x->sure.below.escalate > 0) && !x->r->stream &&
           x->sink->event == NULL;
}

bool sure_asks(const struct exchange *x)
{
    return is_wanted(x) && x->p->dialect->id == LLM_OPENAI && x->up.op == LLM_OP_CHAT &&
           !x->sure.refused && (x->r->needs & (LLM_NEED_LOGPROBS | LLM_NEED_CHOICES)) == 0;
}

bool sure_refused(struct exchange *x, enum outcome o)
{
    bool refused = (o == OUTCOME_REJECTED || o == OUTCOME_INCAPABLE) && x->up.logprobs &&
                   x->calls < x->snapshot->attempts_max;
    if (refused)
        x->sure.refused = true;
    return refused;
}

static bool is_below(const struct exchange *x, double limit)
{
    return x->in.told_sure && exp(x->in.least_logprob) < limit;
}

static bool is_other_left(const struct exchange *x)
{
    for (size_t i = 0; i < x->plan->n; i++)
        if ((int)i != x->target && plan_has(x, i))
            return x->calls < x->snapshot->attempts_max;
    return false;
}

bool sure_escalates(struct exchange *x)
{
    if (!x->up.logprobs || x->is_private || !is_below(x, x->sure.below.escalate) ||
        !is_other_left(x))
        return false;
    if (x->sure.kept == NULL)
        x->sure.kept = ARENA_NEW(x->arena, struct kept_answer);
    else
        llm_reply_fini(&x->sure.kept->reply);
    if (x->sure.kept == NULL) {
        exchange_verdict(x, OUTCOME_NO_MEMORY);
        return true;
    }
    *x->sure.kept = (struct kept_answer){.p = x->p,
                                         .model = x->model,
                                         .least_logprob = x->in.least_logprob,
                                         .losses = x->losses,
                                         .reply = x->reply};
    llm_reply_init(&x->reply, 0);
    exchange_verdict(x, OUTCOME_UNSURE);
    return true;
}

bool sure_gives_back(struct exchange *x)
{
    struct kept_answer *k = x->sure.kept;
    if (k == NULL || x->sure.given)
        return false;
    x->sure.given = true;
    x->p = k->p;
    x->model = k->model;
    x->losses = k->losses;
    x->in.told_sure = true;
    x->in.least_logprob = k->least_logprob;
    x->up.logprobs = true;
    relay_give(x, &k->reply);
    return true;
}

void sure_fini(struct exchange *x)
{
    if (x->sure.kept != NULL)
        llm_reply_fini(&x->sure.kept->reply);
}

bool exchange_sure(const struct exchange *x, double *least, bool *unsure)
{
    bool known = is_wanted(x) && x->in.told_sure && x->finished;
    *least = known ? exp(x->in.least_logprob) : 0;
    *unsure = known && (is_below(x, x->sure.below.mark) || is_below(x, x->sure.below.escalate));
    return known;
}
