/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall - an answer given again to the very same question (cache.h keeps them).
 *
 *   recall_answer   in ADMIT, behind the plan: is there one? Then it is written as if it came in
 *   recall_note     on the way back: what went to the caller is noted, event by event
 *   recall_keep     the answer was whole and went out: it is kept
 *
 * The same question is the same body but for members that do not change the answer, at the same door, of the
 * same key, with the same plan: what may answer it now could have given this answer. Whole and streamed callers
 * have the same entry, for it holds events.
 *
 * Never kept, never given: anything private; an answer that only the upstream's own bytes can tell (several
 * choices, log probabilities, a vendor's own tools, members we do not know); one that was cut, failed, filtered,
 * or had to be asked for twice.
 */
#include "exchange/exchange_int.h"

/* Before the events in an entry. */
struct head {
    const struct provider *p; /* who gave it; of the snapshot whose cache this is */
    uint32_t losses, n_model;
};

#define NEVER                                                                                      \
    (LLM_NEED_CHOICES | LLM_NEED_LOGPROBS | LLM_NEED_OLLAMA_RAW | LLM_NEED_ANTHROPIC |             \
     LLM_NEED_COMPLETION)
#define NEVER_LOST ((1u << DIALECT_LOSS_OTHER) | (1u << DIALECT_LOSS_CITATIONS))
#define KEY_BYTES  ((size_t)64 * 1024 * 1024)
#define NO_EVENT   SIZE_MAX

/* ---- noting ---- */

static void spoil(struct recall *c)
{
    c->store = false;
    buf_fini(&c->events);
}

/* Pieces of one text are one. */
static bool goes_on(const struct recall *c, const struct llm_event *ev)
{
    const struct llm_event *last = &c->last;
    return c->last_at != NO_EVENT && ev->kind == last->kind && ev->choice == last->choice &&
           ev->call == last->call && !ev->redacted && !last->redacted &&
           (ev->kind == LLM_EV_TEXT || ev->kind == LLM_EV_REASONING || ev->kind == LLM_EV_ARGS);
}

static void add(struct recall *c, const struct llm_event *ev)
{
    if (goes_on(c, ev)) {
        c->last.text.len += ev->text.len;
        buf_put_strv(&c->events, ev->text);
        if (!c->events.failed) /* the length in the bytes */
            memcpy(c->events.data + c->events.start + c->last_at, &c->last, sizeof c->last);
        return;
    }
    llm_event_pad(&c->events);
    c->last = *ev;
    c->last_at = buf_len(&c->events);
    llm_event_pack(&c->events, ev);
}

void recall_note(struct exchange *x, const struct llm_event *ev)
{
    struct recall *c = x->recall;
    if (c == NULL || !c->store || ev->kind == LLM_EV_PING)
        return;
    c->ended = c->ended || ev->kind == LLM_EV_END;
    bool other = ev->choice != 0 && ev->kind != LLM_EV_VECTOR;
    if (!other && ev->kind != LLM_EV_ERROR)
        add(c, ev);
    if (other || ev->kind == LLM_EV_ERROR || c->events.failed)
        spoil(c);
}

void recall_again(struct exchange *x)
{
    struct recall *c = x->recall;
    if (c == NULL || !c->store)
        return;
    buf_clear(&c->events);
    c->last_at = NO_EVENT;
    c->ended = false;
}

void recall_fini(struct exchange *x)
{
    if (x->recall != NULL)
        buf_fini(&x->recall->events);
}

/* ---- the question ---- */

static bool is_mute(strv name) /* does not change the answer */
{
    static const char *const names[] = {"stream",   "stream_options",   "user",
                                        "metadata", "prompt_cache_key", "safety_identifier"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strv_eq_cstr(name, names[i]))
            return true;
    return false;
}

/* Every value anew, in one spelling. The order of members stays: of a schema it is part of what the model
 * reads, and one program always writes the same. */
static void put_body(struct buf *b, const struct llm_request *r)
{
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(r->body.root, i, n, key, value)
    {
        if (is_mute(json_str(key)))
            continue;
        json_put_str(b, json_str(key));
        json_put_val(b, value, r->arena);
    }
}

static bool is_before(const struct policy_target *a, const struct policy_target *b)
{
    return a->provider != b->provider ? a->provider < b->provider
                                      : strv_cmp(a->model, b->model) < 0;
}

/* Who may answer, not in which order: that changes with who is busy. */
static void put_plan(struct buf *b, const struct exchange *x)
{
    const struct policy_target *sorted[POLICY_TARGETS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < x->plan->n; i++) {
        const struct policy_target *t = &x->plan->targets[i];
        size_t at = n++;
        for (; at > 0 && is_before(t, sorted[at - 1]); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = t;
    }
    for (size_t i = 0; i < n; i++) {
        buf_put_u64(b, sorted[i]->provider);
        json_put_str(b, sorted[i]->model);
    }
}

/* False: no memory. */
static bool make_key(const struct exchange *x, uint8_t key[CACHE_KEY])
{
    static const uint8_t zero[CACHE_KEY];
    const struct policy_key *holder = x->caller->holder;
    bool own = holder != NULL && !x->snapshot->cache_conf.shared;
    struct buf b;
    buf_init(&b, KEY_BYTES);
    buf_printf(&b, "%d %d %d ", (int)x->r->dialect, (int)x->r->op, (int)x->r->mode);
    json_put_str(&b, own ? strv_of(holder->id) : holder != NULL ? STRV("shared") : STRV(""));
    json_put_str(&b, x->task);
    put_plan(&b, x);
    put_body(&b, x->r);
    bool ok = !b.failed && !x->r->arena->failed;
    if (ok) {
        policy_key_digest(buf_view(&b), key);
        mem_wipe(b.data + b.start, buf_len(&b));
    }
    buf_fini(&b);
    return ok && memcmp(key, zero, CACHE_KEY) != 0;
}

static bool is_eligible(const struct exchange *x)
{
    const struct policy_key *holder = x->caller->holder;
    bool may = holder != NULL ? holder->rules.cache : x->snapshot->cache_conf.keyless;
    return x->snapshot->cache != NULL && may && !x->is_private && !x->caller->no_store &&
           x->r->body.root != NULL && !x->r->rewritten && (x->r->needs & NEVER) == 0 &&
           x->r->choices <= 1 && (x->r->untranslated & NEVER_LOST) == 0 &&
           (x->r->op != LLM_OP_GENERATE || x->r->n_inputs <= 1);
}

/* ---- giving ---- */

static void replay(struct exchange *x, const struct cache_entry *e)
{
    struct head head;
    struct llm_event ev;
    strv bytes = {e->data, e->len};
    memcpy(&head, bytes.ptr, sizeof head);
    size_t at = sizeof head + head.n_model;
    x->p = head.p;
    x->losses = head.losses;
    x->model = arena_strv(x->arena, (strv){bytes.ptr + sizeof head, head.n_model});
    x->attempt_us = x->entered_us;
    if (x->arena->failed || !relay_replay_begin(x)) {
        exchange_verdict(x, OUTCOME_NO_MEMORY);
        return;
    }
    while (at < bytes.len && x->verdict < 0) {
        llm_event_unpack(bytes, &at, &ev);
        relay_replay(x, &ev);
    }
    if (x->verdict < 0)
        relay_replay_end(x);
}

bool recall_answer(struct exchange *x)
{
    if (!is_eligible(x))
        return false;
    struct recall *c = ARENA_NEW(x->arena, struct recall);
    if (c == NULL || !make_key(x, c->key)) /* then it is simply asked */
        return false;
    buf_init(&c->events, x->snapshot->cache_conf.reply_bytes_max);
    c->last_at = NO_EVENT;
    x->recall = c;
    struct cache_entry *e =
        x->caller->no_cache ? NULL : cache_get(x->snapshot->cache, c->key, x->entered_us);
    c->store = e == NULL;
    metric_add(x->env->metrics, e != NULL ? METRIC_CACHE_HITS : METRIC_CACHE_MISSES, 0, 1);
    if (e == NULL)
        return false;
    c->hit = true;
    c->age_us = x->entered_us - e->born_us;
    replay(x, e);
    cache_entry_unref(e);
    return true;
}

/* ---- keeping ---- */

static bool is_good(const struct exchange *x)
{
    bool whole = x->finish == LLM_FINISH_STOP || x->finish == LLM_FINISH_STOP_SEQUENCE ||
                 x->finish == LLM_FINISH_CALLS || x->finish == LLM_FINISH_LENGTH;
    return x->error == LLM_OK && x->finished && x->ended && whole && !x->is_private &&
           !x->bad_call && x->unfenced.ptr == NULL && x->ask == x->r;
}

void recall_keep(struct exchange *x)
{
    struct recall *c = x->recall;
    struct buf b;
    if (c == NULL || !c->store || x->sure.given || !is_good(x))
        return;
    if (!c->ended) /* the upstream forgot its terminator, and we did not */
        recall_note(x, &(struct llm_event){.kind = LLM_EV_END});
    struct head head = {.p = x->p, .losses = x->losses, .n_model = (uint32_t)x->model.len};
    buf_init(&b, x->snapshot->cache_conf.reply_bytes_max);
    buf_put(&b, &head, sizeof head);
    buf_put_strv(&b, x->model);
    llm_event_pad(&b);
    buf_put_strv(&b, buf_view(&c->events));
    if (c->store && !b.failed && cache_put(x->snapshot->cache, c->key, buf_view(&b), x->entered_us))
        metric_add(x->env->metrics, METRIC_CACHE_STORED, 0, 1);
    if (buf_len(&b) > 0)
        mem_wipe(b.data + b.start, buf_len(&b));
    buf_fini(&b);
    if (x->snapshot != x->env->snapshot) /* an old one is about to go */
        return;
    struct cache_sizes sizes;
    cache_sizes(x->snapshot->cache, &sizes);
    metric_set(metrics_process(), METRIC_CACHE_ENTRIES, 0, (int64_t)sizes.entries);
    metric_set(metrics_process(), METRIC_CACHE_BYTES, 0, (int64_t)sizes.bytes);
}

bool exchange_recalled(const struct exchange *x, bool *hit, int64_t *age_us)
{
    if (x->recall == NULL)
        return false;
    *hit = x->recall->hit;
    *age_us = x->recall->age_us;
    return true;
}
