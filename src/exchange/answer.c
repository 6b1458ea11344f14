/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer - what an upstream said, put in order before anybody writes it down.
 *
 *   decoded events --> answer_take() --> the caller's encoder, or the collected reply
 *
 * Small models and young servers get four things wrong, whatever their dialect, so they are mended here once:
 * calls without an id or with one used twice; arguments that are nearly JSON; a finish reason that does not
 * mention the calls; names that were shortened for the upstream. And reasoning that the caller did not ask
 * for is left out.
 *
 * Arguments go on piece by piece while they are right as they stand. From the first piece that needed
 * mending they wait for the end of the call, and then either the mended rest goes on, or, if it could not be
 * understood or the answer was cut by its token limit, what the model really wrote: half of a call must
 * never look like a whole one. Where nothing was sent yet the caller gets {"_raw":"..."} instead, which
 * every reader can read and no tool takes for its arguments.
 */
#include "exchange/exchange_int.h"

#define CALL_ID_CHARS 24
#define CALL_WORD_MAX 4096 /* no id or name of a tool has as many bytes */

/* ---- ids and names ---- */

static bool is_used(struct exchange *x, strv id)
{
    uint64_t hash = strv_hash(id, 0) | 1;
    for (size_t i = 0; i < EX_CALL_IDS; i++)
        if (x->tool->ids[i] == hash)
            return true;
    x->tool->ids[x->n_calls % EX_CALL_IDS] = hash;
    return false;
}

static strv call_id(struct exchange *x, strv told, char room[CALL_ID_CHARS + 8])
{
    if (told.len > 0 && told.len <= CALL_WORD_MAX && !is_used(x, told))
        return told;
    x->altered = true;
    memcpy(room, "call_", 5);
    rng_text(x->env->rng, room + 5, CALL_ID_CHARS);
    return (strv){room, 5 + CALL_ID_CHARS};
}

static strv own_name(const struct exchange *x, strv sent)
{
    for (size_t i = 0; i < x->n_renames; i++)
        if (strv_eq(x->renames[i].sent, sent))
            return x->renames[i].own;
    return sent;
}

/* ---- calls ---- */

/* No call yet, in this attempt. */
static void begin_calls(struct exchange *x)
{
    *x->tool = (struct tool_call){.on = false};
    buf_init(&x->tool->raw, x->p->limits.reply_bytes_max);
    buf_init(&x->tool->mended, 2 * x->p->limits.reply_bytes_max + 64);
}

static bool deliver_args(struct exchange *x, strv text)
{
    struct llm_event ev = {
        .kind = LLM_EV_ARGS, .choice = x->tool->choice, .call = x->tool->index, .text = text};
    return text.len == 0 || relay_deliver(x, &ev);
}

static bool begin_call(struct exchange *x, const struct llm_event *ev)
{
    char room[CALL_ID_CHARS + 8];
    struct llm_event call = *ev;
    if (x->tool == NULL) {
        x->tool = ARENA_NEW(x->arena, struct tool_call);
        if (x->tool == NULL)
            return false;
        begin_calls(x);
    }
    struct tool_call *c = x->tool;
    if (ev->name.len > CALL_WORD_MAX)
        return false;
    call.id = call_id(x, ev->id, room);
    call.name = own_name(x, ev->name);
    x->n_calls++;
    buf_clear(&c->raw);
    buf_clear(&c->mended);
    json_mend_init(&c->mend);
    c->on = true;
    c->ended = false;
    c->sent = 0;
    c->choice = ev->choice;
    c->index = ev->call;
    return relay_deliver(x, &call);
}

static bool more_args(struct exchange *x, const struct llm_event *ev)
{
    struct tool_call *c = x->tool;
    if (c == NULL || !c->on) /* the first half of it passed by as bytes */
        return relay_deliver(x, ev);
    if (!buf_put_strv(&c->raw, ev->text) || !json_mend_feed(&c->mend, ev->text, &c->mended))
        return false;
    if (json_mended(&c->mend) || !x->r->stream)
        return true;
    strv fresh = strv_from(buf_view(&c->mended), c->sent);
    c->sent += fresh.len;
    return deliver_args(x, fresh);
}

static bool deliver_raw(struct exchange *x)
{
    struct tool_call *c = x->tool;
    if (c->sent > 0)
        return deliver_args(x, strv_from(buf_view(&c->raw), c->sent));
    buf_clear(&c->mended);
    buf_put_cstr(&c->mended, "{\"_raw\":");
    json_put_str(&c->mended, buf_view(&c->raw));
    buf_put_char(&c->mended, '}');
    return !c->mended.failed && deliver_args(x, buf_view(&c->mended));
}

/* The end of a call, told when it is known what comes behind it. */
static bool settle_call(struct exchange *x, bool cut)
{
    struct tool_call *c = x->tool;
    if (c == NULL || !c->ended)
        return true;
    c->ended = c->on = false;
    struct llm_event end = {.kind = LLM_EV_CALL_END, .choice = c->choice, .call = c->index};
    enum json_mend_result how = json_mend_end(&c->mend, &c->mended);
    bool bad = how == JSON_MEND_FAILED || (cut && how != JSON_MEND_OK);
    x->altered = x->altered || how != JSON_MEND_OK;
    if (how != JSON_MEND_OK &&
        strv_trim(buf_view(&c->raw)).len > 0) /* no text at all stands for {} */
        x->losses |= 1u << DIALECT_LOSS_ARGUMENTS;
    x->bad_call = x->bad_call || (bad && !cut);
    bool ok = !c->mended.failed && !c->raw.failed;
    if (bad)
        x->check.on = false; /* what the model wrote there is no JSON, and that is told as it is */
    ok = ok && (bad ? deliver_raw(x) : deliver_args(x, strv_from(buf_view(&c->mended), c->sent)));
    return ok && relay_deliver(x, &end);
}

static bool end_call(struct exchange *x, const struct llm_event *ev)
{
    if (x->tool == NULL || !x->tool->on)
        return relay_deliver(x, ev);
    x->tool->ended = true;
    return true;
}

/* ---- the finish ---- */

enum llm_finish answer_finish(const struct exchange *x, int choice, enum llm_finish told)
{
    bool called = (x->called_in[choice / 64 % 2] >> (choice % 64) & 1) != 0;
    bool stop =
        told == LLM_FINISH_STOP || told == LLM_FINISH_STOP_SEQUENCE || told == LLM_FINISH_OTHER;
    if (called && stop)
        return LLM_FINISH_CALLS;
    if (!called && told == LLM_FINISH_CALLS)
        return LLM_FINISH_STOP;
    return told;
}

static bool finish(struct exchange *x, const struct llm_event *ev)
{
    struct llm_event told = *ev;
    told.finish = answer_finish(x, ev->choice, ev->finish);
    x->altered = x->altered || told.finish != ev->finish;
    return relay_deliver(x, &told);
}

bool answer_take(struct exchange *x, const struct llm_event *ev)
{
    bool beside = ev->kind == LLM_EV_USAGE || ev->kind == LLM_EV_PING;
    bool cut = ev->kind == LLM_EV_FINISH && ev->finish == LLM_FINISH_LENGTH;
    if (!beside && !settle_call(x, cut))
        return false;
    switch (ev->kind) {
    case LLM_EV_CALL:
        return begin_call(x, ev);
    case LLM_EV_ARGS:
        return more_args(x, ev);
    case LLM_EV_CALL_END:
        return end_call(x, ev);
    case LLM_EV_FINISH:
        return finish(x, ev);
    case LLM_EV_REASONING:
    case LLM_EV_SIGNATURE:
        return x->r->hide_reasoning || relay_deliver(x, ev);
    default:
        return relay_deliver(x, ev);
    }
}

void answer_begin(struct exchange *x)
{
    x->n_calls = 0;
    memset(x->called_in, 0, sizeof x->called_in);
    x->called = x->altered = x->bad_call = false;
    if (x->tool != NULL)
        begin_calls(x);
}

void answer_fini(struct exchange *x)
{
    if (x->tool == NULL)
        return;
    buf_fini(&x->tool->raw);
    buf_fini(&x->tool->mended);
}
