/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask - a private request goes to the cloud under pseudonyms, if everything allows it.
 *
 *   judged private > wished for, needed, every finding an identifier with a place > a plan as for a clean request
 *   body for the cloud > findings replaced > egress reads it strictly > sent ... events > placeholders undone
 *
 * A normal case: the key asks for it, the question is too hard for a small model, and all that is private in it is a
 * name and a record number. A bad case, at any step: the map is dropped, the exchange is planned anew, and stays at
 * home as if nothing had been wished. The exchange remains private all the while: whoever asks is told so, and its
 * conversation is remembered as such.
 *
 * Local targets get the text as it is. The map is freed, overwritten, with the exchange.
 */
#include "exchange/exchange_int.h"

#define UNMASKABLE                                                                                 \
    (LLM_NEED_CHOICES | LLM_NEED_LOGPROBS | LLM_NEED_LOGIT_BIAS | LLM_NEED_OLLAMA_RAW |            \
     LLM_NEED_COMPLETION | LLM_NEED_TOKEN_INPUT)

struct mask {
    struct pseudonyms *map;
    bool on;   /* what the present attempt sends holds placeholders */
    bool open; /* a stretch of text is being restored: of this kind, choice and call */
    enum llm_event_kind kind;
    int choice, call;
    struct pseudonym_restorer back;
    struct buf sent, text;
};

/* ---- is it wanted, and can it be? ---- */

static bool is_wished(const struct snapshot *s, const struct exchange_basis *basis)
{
    if (basis->key != NULL && basis->key->rules.pseudonyms)
        return true;
    return (s->pseudonym_tasks >> basis->classified->task & 1) != 0;
}

static bool is_answerable(const struct llm_request *r)
{
    bool text = r->op == LLM_OP_CHAT || (r->op == LLM_OP_GENERATE && r->n_inputs <= 1);
    return text && r->choices <= 1 && (r->needs & UNMASKABLE) == 0;
}

bool mask_wanted(const struct snapshot *s, const struct llm_request *r,
                 const struct exchange_basis *basis)
{
    return basis->verdict->is_private && basis->classified != NULL &&
           basis->classified->needs_cloud >= 0.5f && is_wished(s, basis) && is_answerable(r) &&
           pseudonyms_possible(basis->verdict);
}

bool mask_begin(struct exchange *x)
{
    uint64_t random;
    const struct exchange_basis basis = {
        .verdict = x->judged, .classified = x->classified, .key = x->caller->holder};
    if (!mask_wanted(x->snapshot, x->r, &basis))
        return false;
    struct mask *m = ARENA_NEW(x->arena, struct mask);
    if (m == NULL || !rng_secret(&random, sizeof random))
        return false;
    *m = (struct mask){.map = pseudonyms_new(random)};
    if (m->map == NULL)
        return false;
    buf_init(&m->sent, SIZE_MAX / 4);
    buf_init(&m->text, SIZE_MAX / 4);
    x->mask = m;
    return true;
}

/* A buffer that held originals. */
static void wipe(struct buf *b)
{
    if (b->data != NULL)
        mem_wipe(b->data, b->cap);
    buf_fini(b);
}

void mask_drop(struct exchange *x)
{
    struct mask *m = x->mask;
    if (m == NULL)
        return;
    x->mask = NULL;
    if (pseudonyms_unknown(m->map) > 0)
        metric_add(x->env->metrics, METRIC_PSEUDONYMS_UNKNOWN, 0,
                   (int64_t)pseudonyms_unknown(m->map));
    pseudonyms_free(m->map);
    buf_fini(&m->sent);
    wipe(&m->text);
}

/* ---- the way out ---- */

/* "mrn=1 name=2 replaced=3": kinds and counts, for ledger and audit. */
static void tell_replaced(struct exchange *x)
{
    char words[512];
    privacy_verdict_words(x->judged, words, sizeof words);
    const char *told =
        arena_printf(x->arena, "%s replaced=%zu", words, pseudonyms_count(x->mask->map));
    if (told != NULL)
        x->findings = told;
}

void mask_off(struct exchange *x)
{
    if (x->mask != NULL)
        x->mask->on = false;
}

enum egress_sealed mask_seal(struct exchange *x, const struct egress_judge *by)
{
    struct mask *m = x->mask;
    struct privacy_verdict found;
    privacy_verdict_init(&found);
    buf_clear(&m->sent);
    if (by->detector == NULL || by->scratch == NULL)
        return EGRESS_PRIVATE;
    privacy_scan_body(by->detector, by->scratch, buf_view(&x->body), by->model, PRIVACY_NORMAL,
                      &found);
    if (pseudonyms_replace(m->map, buf_view(&x->body), &found, &m->sent) != PSEUDONYMS_DONE)
        return EGRESS_PRIVATE;
    enum egress_sealed how = egress_seal_masked(&x->permit, x->p, buf_view(&m->sent), by, m->map);
    if (how != EGRESS_SEALED)
        return how;
    struct buf original = x->body;
    x->body = m->sent;
    m->sent = original;
    wipe(&m->sent);
    buf_init(&m->sent, SIZE_MAX / 4);
    m->on = true;
    m->open = false;
    x->pass = false; /* every piece of the answer is looked through */
    tell_replaced(x);
    return x->arena->failed ? EGRESS_FAILED : EGRESS_SEALED;
}

/* ---- the way back ---- */

bool mask_is_on(const struct exchange *x)
{
    return x->mask != NULL && x->mask->on;
}

/* Reasoning that Anthropic signs must come back to it as it was. */
static bool is_restored(const struct exchange *x, const struct llm_event *ev)
{
    return ev->kind == LLM_EV_TEXT || ev->kind == LLM_EV_ARGS ||
           (ev->kind == LLM_EV_REASONING && !ev->redacted && x->p->kind != PROVIDER_ANTHROPIC);
}

static bool hand_on(struct mask *m, llm_emit_fn go, struct exchange *x)
{
    struct llm_event ev = {
        .kind = m->kind, .choice = m->choice, .call = m->call, .text = buf_view(&m->text)};
    return buf_len(&m->text) == 0 || go(x, &ev);
}

/* The stretch of text is over: what was held goes on. */
static bool end_stretch(struct mask *m, llm_emit_fn go, struct exchange *x)
{
    if (!m->open)
        return true;
    m->open = false;
    buf_clear(&m->text);
    return pseudonym_restore_end(&m->back, &m->text) && hand_on(m, go, x);
}

bool mask_event(struct exchange *x, const struct llm_event *ev, llm_emit_fn go)
{
    struct mask *m = x->mask;
    if (ev->kind == LLM_EV_PING || ev->kind == LLM_EV_USAGE)
        return go(x, ev);
    bool same = m->open && m->kind == ev->kind && m->choice == ev->choice && m->call == ev->call;
    if (!same && !end_stretch(m, go, x))
        return false;
    if (!is_restored(x, ev))
        return go(x, ev);
    if (!same) {
        m->open = true;
        m->kind = ev->kind;
        m->choice = ev->choice;
        m->call = ev->call;
        pseudonym_restorer_init(&m->back, m->map,
                                ev->kind == LLM_EV_ARGS ? PSEUDONYM_JSON : PSEUDONYM_TEXT);
    }
    buf_clear(&m->text);
    return pseudonym_restore(&m->back, ev->text, &m->text) && hand_on(m, go, x);
}
