/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - what the models behind a loop can take: how much room a menu has, how long a result may be, and pictures.
 *
 *   window:  | conversation | answer | results | menu ... |     answer and results: a quarter each, at most
 *
 * The plan that a round gets is made when it begins; this looks at it before, for the menu stays the same in all rounds.
 * Whoever of the plan answers, the menu should fit: so the smallest window counts that holds the conversation with its
 * answer at all. A window that nobody knows counts as large.
 */
#include <string.h>

#include "agent/loop_int.h"

#define SHARE 4 /* of a window, for the answer, and for results */

static int64_t answer_of(const struct llm_request *r, int64_t window)
{
    int64_t share = window / SHARE;
    bool told = llm_has(r, LLM_P_MAX_TOKENS) && r->params[LLM_P_MAX_TOKENS] < (double)share;
    return told ? (int64_t)r->params[LLM_P_MAX_TOKENS] : share;
}

/* The windows of the targets that a first round would have, 0 = not known. */
static size_t windows(struct agent_loop *l, const struct llm_request *r, int64_t *out)
{
    struct policy_plan *plan = ARENA_NEW(&l->own, struct policy_plan);
    struct err err = ERR_INIT;
    if (plan == NULL || !exchange_find(l->ex, r, l->caller->holder, &l->own, plan, &err))
        return 0; /* the round's exchange will say why */
    for (size_t i = 0; i < plan->n; i++) {
        struct provider_facts facts;
        provider_model_facts(&l->ex->snapshot->providers[plan->targets[i].provider],
                             plan->targets[i].model, &l->own, &facts);
        out[i] = facts.context;
    }
    return plan->n;
}

void model_room(struct agent_loop *l, int64_t *menu_tokens, size_t *result_bytes)
{
    struct llm_request r = *l->r;
    int64_t all[POLICY_TARGETS_MAX], smallest = 0, largest = 0;
    r.needs |= LLM_NEED_TOOLS;
    int64_t conversation = llm_request_estimate_tokens(&r);
    size_t n = windows(l, &r, all);
    for (size_t i = 0; i < n; i++) {
        bool holds = conversation + answer_of(&r, all[i]) <= all[i];
        if (all[i] > largest)
            largest = all[i];
        if (all[i] > 0 && holds && (smallest == 0 || all[i] < smallest))
            smallest = all[i];
    }
    int64_t window = smallest > 0 ? smallest : largest;
    if (window == 0)
        return;
    int64_t left = window - conversation - answer_of(&r, window) - window / SHARE;
    left = left > 0 ? left : 0;
    *menu_tokens = left < *menu_tokens ? left : *menu_tokens;
    size_t most = (size_t)(window / SHARE * 3); /* a token has three bytes at least, mostly four */
    *result_bytes = most < *result_bytes ? most : *result_bytes;
}

/* Known to, not only thought to: a text model would refuse the conversation. And at home, since nobody here can read a
 * picture, which makes what holds one private. */
bool model_sees(struct agent_loop *l)
{
    const char *name = l->x != NULL ? exchange_provider(l->x) : NULL;
    for (size_t i = 0; name != NULL && i < l->snapshot->n_providers; i++) {
        const struct provider *p = &l->snapshot->providers[i];
        struct provider_facts facts;
        if (strcmp(p->name, name) != 0)
            continue;
        provider_model_facts(p, exchange_model(l->x), &l->own, &facts);
        return p->zone == ZONE_LOCAL && !facts.remote && (facts.has & LLM_NEED_IMAGES) != 0;
    }
    return false;
}
