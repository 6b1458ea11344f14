/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge - may it leave the premises? Asked four times, each time of more than before.
 *
 *   judge_request   once, before there is a plan: everything the caller sent, his hints, the conversation's past
 *   judge_may_go    before a target is asked, and again before the call: its zone, by the plan's configuration
 *                   and by the present one, and where its model is really served
 *   judge_seal      the bytes that were written for the target, if they would leave: also what we added
 *                   ourselves, a repair turn or a translation's words
 *   egress_call     (provider/egress.c) are these the sealed bytes, and is this the provider?
 *
 * What is private stays so: bytes that turn out private when they are sealed make the exchange private, a new
 * plan is made without the cloud, and later turns of the conversation are private from the start.
 */
#include "exchange/exchange_int.h"

#define WORDS_MAX 512

/* ---- the request ---- */

/* Parts that nobody here can read, and token numbers. */
#define UNREAD                                                                                     \
    (LLM_NEED_IMAGES | LLM_NEED_DOCUMENTS | LLM_NEED_AUDIO | LLM_NEED_LINKS | LLM_NEED_TOKEN_INPUT)

static bool is_hinted(const struct llm_request *r)
{
    return r->private_hint || strv_eq(r->task, STRV("privacy_sensitive"));
}

static bool roster_is_old(const struct snapshot *s, int64_t wall_us)
{
    return s->roster_until_us > 0 && wall_us > s->roster_until_us;
}

const char *exchange_cloud_refused(const struct snapshot *s, int64_t wall_us)
{
    if (s->privacy == NULL || !privacy_ready(s->privacy))
        return s->privacy_why != NULL ? s->privacy_why : "the detector is not ready";
    if (s->roster_required && privacy_roster_size(s->privacy) == 0)
        return "a roster is required, and there is none";
    if (s->roster_required && roster_is_old(s, wall_us))
        return "a roster is required, and the present one is too old";
    return NULL;
}

static bool put_parts(struct buf *b, const struct llm_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const strv texts[] = {parts[i].text, parts[i].name, parts[i].title};
        for (size_t k = 0; k < 3; k++) {
            buf_put_char(b, ',');
            json_put_str(b, texts[k]);
        }
        put_parts(b, parts[i].parts, parts[i].n_parts);
    }
    return !b->failed;
}

/* A question that did not come as JSON (the command line's), or has more in it by now: its texts as turns, of which those
 * that were read before need not be read again. */
static void read_texts(const struct privacy *p, struct privacy_scratch *scratch,
                       const struct llm_request *r, struct privacy_verdict *out)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    buf_put_cstr(&b, "{\"messages\":[");
    for (size_t i = 0; i < r->n_messages; i++) {
        buf_put_cstr(&b, i > 0 ? ",{\"content\":[\"\"" : "{\"content\":[\"\"");
        put_parts(&b, r->messages[i].parts, r->messages[i].n_parts);
        buf_put_cstr(&b, "]}");
    }
    buf_put_cstr(&b, "]}");
    if (b.failed)
        privacy_verdict_add(out, PRIVACY_MEMORY);
    else
        privacy_scan_json(p, scratch, buf_view(&b), PRIVACY_NORMAL, out);
    buf_fini(&b);
}

static void read_request(const struct exchange_env *env, const struct snapshot *s,
                         const struct llm_request *r, struct privacy_verdict *out)
{
    bool own = env->privacy_scratch == NULL; /* a command, which judges once */
    struct privacy_scratch *scratch = own ? privacy_scratch_new() : env->privacy_scratch;
    if (scratch == NULL)
        privacy_verdict_add(out, PRIVACY_MEMORY);
    else if (r->body.text.len > 0)
        privacy_scan_json(s->privacy, scratch, r->body.text, PRIVACY_NORMAL, out);
    if (scratch != NULL && (r->body.text.len == 0 || r->rewritten))
        read_texts(s->privacy, scratch, r, out);
    if (own)
        privacy_scratch_free(scratch);
}

static void judge(const struct exchange_env *env, const struct snapshot *s,
                  const struct llm_request *r, struct privacy_verdict *out)
{
    int64_t wall_us = env->loop != NULL && s->roster_until_us > 0 ? io_wall_us(env->loop) : 0;
    privacy_verdict_init(out);
    if (exchange_cloud_refused(s, wall_us) != NULL)
        privacy_verdict_add(out, PRIVACY_NOT_READY);
    else
        read_request(env, s, r, out);
    if ((r->needs & UNREAD) != 0)
        privacy_verdict_add(out, PRIVACY_UNREADABLE);
    if (is_hinted(r))
        privacy_verdict_add(out, PRIVACY_HINT);
}

void exchange_judge(const struct exchange_env *env, const struct llm_request *r,
                    struct privacy_verdict *out)
{
    judge(env, env->snapshot, r, out);
}

static struct policy_turn turn_of(const struct policy_key *key, int64_t now_us)
{
    return (struct policy_turn){key != NULL ? key->id : NULL, now_us};
}

void judge_whole(const struct exchange_env *env, const struct snapshot *s,
                 const struct llm_request *r, const struct policy_key *key, int64_t now_us,
                 struct privacy_verdict *out)
{
    judge(env, s, r, out);
    if (key != NULL && key->rules.force_private)
        privacy_verdict_add(out, PRIVACY_KEY);
    if (out->is_private || env->sticky == NULL)
        return;
    const struct policy_turn turn = turn_of(key, now_us);
    if (policy_sticky_seen(env->sticky, r, &turn))
        privacy_verdict_add(out, PRIVACY_STICKY);
}

/* ---- its verdict ---- */

static void remember(struct exchange *x)
{
    const struct policy_turn turn = turn_of(x->caller->holder, x->entered_us);
    if (x->env->sticky != NULL)
        policy_sticky_note(x->env->sticky, x->r, &turn);
}

/* The words outlive the verdict, which goes with the request. */
static void take_words(struct exchange *x)
{
    char words[WORDS_MAX];
    privacy_verdict_words(x->judged, words, sizeof words);
    const char *copy = arena_cstr(x->arena, strv_of(words));
    x->findings = copy != NULL ? copy : "";
}

bool judge_request(struct exchange *x)
{
    x->judged = arena_alloc(x->r->arena, sizeof *x->judged); /* judge() fills it */
    if (x->judged == NULL)
        return false;
    judge_whole(x->env, x->snapshot, x->r, x->caller->holder, x->entered_us, x->judged);
    x->is_judged = true;
    x->is_private = x->judged->is_private;
    take_words(x);
    if (x->is_private)
        remember(x);
    return !x->arena->failed;
}

/* ---- where to ---- */

static bool is_confined(const struct policy_conf *conf)
{
    return conf->airgap || conf->mode == LLM_MODE_LOCAL;
}

/* By both configurations: the one the plan was made with, and the present one if it has the provider. */
static bool is_local(const struct exchange *x, const struct provider *p)
{
    const struct snapshot *now = x->env->snapshot;
    for (size_t i = 0; i < now->n_providers; i++)
        for (size_t k = 0; k < provider_instance_count(&now->providers[i]); k++) {
            const struct provider *one = provider_instance(&now->providers[i], k);
            if (one->cell == p->cell && one->zone != ZONE_LOCAL)
                return false;
        }
    return p->zone == ZONE_LOCAL;
}

static bool stays_here(const struct exchange *x, const struct provider *p)
{
    return is_local(x, p) && !provider_is_remote(p, x->model);
}

/* The promise of promises. The plan holds no target that a private request may not go to, but it may have been
 * made a while ago: since then a list of models has come, or another configuration. */
bool judge_may_go(const struct exchange *x, const struct provider *p)
{
    bool masked = x->mask != NULL && x->r->mode != LLM_MODE_LOCAL;
    if ((!x->is_private || masked) && !is_confined(&x->snapshot->policy) &&
        !is_confined(&x->env->snapshot->policy))
        return true;
    return stays_here(x, p);
}

/* ---- the bytes ---- */

static void become_private(struct exchange *x, const struct privacy_verdict *found)
{
    x->replan = x->replan || x->mask != NULL; /* pseudonyms were no way either */
    mask_drop(x);
    if (!x->is_private) {
        *x->judged = *found;
        take_words(x);
        x->is_private = true;
        x->replan = true;
        remember(x);
    }
}

/* Under pseudonyms or as it is. */
static enum egress_sealed seal_body(struct exchange *x, struct privacy_verdict *found)
{
    const struct egress_judge by = {.detector = x->env->snapshot->privacy,
                                    .scratch = x->env->privacy_scratch,
                                    .is_private = x->is_private,
                                    .model = x->model};
    bool leaves = !stays_here(x, x->p);
    mask_off(x);
    if (x->mask != NULL && leaves)
        return mask_seal(x, &by);
    return egress_seal(&x->permit, x->p, leaves, buf_view(&x->body), &by, found);
}

/* No list or configuration holds the model's name any more, or none ever did: it may be any text of the caller's. */
static bool is_told(const struct exchange *x)
{
    return account_knows(x->snapshot, x->arena, x->p, x->model) || stays_here(x, x->p);
}

bool judge_seal(struct exchange *x)
{
    struct privacy_verdict found;
    enum outcome why = OUTCOME_WITHHELD;
    privacy_verdict_init(&found);
    if (judge_may_go(x, x->p) && is_told(x)) {
        switch (seal_body(x, &found)) {
        case EGRESS_SEALED:
            return true;
        case EGRESS_PRIVATE:
            become_private(x, &found);
            break;
        case EGRESS_FAILED:
            why = OUTCOME_NO_MEMORY;
            break;
        }
    }
    if (why == OUTCOME_WITHHELD)
        metric_add(x->env->metrics, METRIC_WITHHELD, 0, 1);
    exchange_verdict(x, why);
    return false;
}
