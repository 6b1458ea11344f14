/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange - the step machine. All of it is in the table `states`: what runs on entry and which moves are
 * legal. exchange_go() is the only place that writes the state; drive() runs steps until one waits.
 *
 * Who is asked is plan.c's, the request to them compose.c's, the answer itself (frames, events, bytes) relay.c's. It
 * leaves notes in the exchange, and exchange_leave() turns them into moves.
 */
#include <assert.h>
#include <string.h>

#include "exchange/exchange_int.h"

#define STEPS_PER_TURN   64 /* more in one go is a loop in the table */
#define NO_LOCAL_WAIT_MS 60000
#define FINISH_LINGER_MS 1000 /* for the upstream's last chunk after its terminator */

/* ---- snapshots ---- */

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        s->drop(s);
}

/* ---- moves ---- */

static enum step admit(struct exchange *x);
static enum step plan(struct exchange *x);
static enum step queue(struct exchange *x);
static enum step backoff(struct exchange *x);
static enum step seal(struct exchange *x);
static enum step record(struct exchange *x);
static enum step send_request(struct exchange *x);
static enum step await_head(struct exchange *x);
static enum step hold(struct exchange *x);
static enum step stream(struct exchange *x);
static enum step finish(struct exchange *x);
static enum step close_exchange(struct exchange *x);

#define TO(s) (1u << EX_##s)

static const struct {
    const char *name;
    enum step (*run)(struct exchange *);
    uint32_t next;        /* every legal move besides CLOSE, which is legal from everywhere */
    enum outcome timeout; /* what it means when the state's limit passes */
} states[] = {
    [EX_ADMIT] = {"admit", admit, TO(PLAN) | TO(STREAM), OUTCOME_DEADLINE},
    [EX_PLAN] = {"plan", plan, TO(QUEUE) | TO(SEAL), OUTCOME_DEADLINE},
    [EX_QUEUE] = {"queue", queue, TO(SEAL) | TO(PLAN), OUTCOME_BUSY},
    [EX_BACKOFF] = {"backoff", backoff, TO(PLAN), OUTCOME_DEADLINE},
    [EX_SEAL] = {"seal", seal, TO(RECORD) | TO(SEND) | TO(PLAN) | TO(BACKOFF), OUTCOME_DEADLINE},
    [EX_RECORD] = {"record", record, TO(SEND) | TO(PLAN) | TO(BACKOFF), OUTCOME_AUDIT},
    [EX_SEND] = {"send", send_request, TO(AWAIT) | TO(RECORD) | TO(PLAN) | TO(BACKOFF),
                 OUTCOME_CONNECT_TIMEOUT},
    [EX_AWAIT] = {"await", await_head, TO(HOLD) | TO(RECORD) | TO(PLAN) | TO(BACKOFF),
                  OUTCOME_HEAD_TIMEOUT},
    [EX_HOLD] = {"hold", hold, TO(STREAM) | TO(FINISH) | TO(PLAN) | TO(BACKOFF),
                 OUTCOME_FIRST_TOKEN_TIMEOUT},
    [EX_STREAM] = {"stream", stream, TO(FINISH), OUTCOME_IDLE_TIMEOUT},
    [EX_FINISH] = {"finish", finish, 0, OUTCOME_OK},
    [EX_CLOSE] = {"close", close_exchange, 0, OUTCOME_DEADLINE},
};
_Static_assert(sizeof states / sizeof *states == EX_STATES, "one row per state");

static void on_timer(void *arg);
static void arm_timer(struct exchange *x);

void exchange_go(struct exchange *x, enum state state)
{
    assert(state == EX_CLOSE || (states[x->state].next & (1u << state)) != 0);
    assert(x->state != EX_CLOSE);
    if (x->state == EX_QUEUE)
        queue_leave(x);
    if (x->state == EX_RECORD)
        record_forget(x);
    x->state = state;
    x->limit_us = INT64_MAX;
}

static void drive(struct exchange *x)
{
    for (int steps = 0; states[x->state].run(x) == STEP_AGAIN; steps++)
        assert(steps < STEPS_PER_TURN);
}

/* ---- time ---- */

/* The state's own limit, from when we were entered; the attempt's and the chain's deadlines hold beside it. */
void exchange_arm(struct exchange *x, uint64_t limit_ms)
{
    x->limit_us = x->entered_us + (int64_t)limit_ms * 1000;
    arm_timer(x);
}

static int64_t attempt_end_us(const struct exchange *x)
{
    return x->call != NULL ? x->attempt_us + (int64_t)x->p->limits.total_ms * 1000 : INT64_MAX;
}

static bool wants_keepalive(const struct exchange *x)
{
    return x->state == EX_STREAM && x->r->stream && !x->paused && x->sink->event == NULL &&
           x->door->keepalive[0] != '\0' && x->snapshot->keepalive_ms > 0;
}

static void arm_timer(struct exchange *x)
{
    int64_t due = x->deadline_us;
    if (x->limit_us < due)
        due = x->limit_us;
    if (attempt_end_us(x) < due)
        due = attempt_end_us(x);
    if (wants_keepalive(x)) {
        int64_t ping = x->last_out_us + (int64_t)x->snapshot->keepalive_ms * 1000;
        if (ping < due)
            due = ping;
    }
    io_timer_start_at(x->env->loop, &x->timer, due, on_timer, x);
}

static void on_timer(void *arg)
{
    struct exchange *x = arg;
    exchange_enter(x);
    int64_t now = x->entered_us;
    if (x->state == EX_FINISH) /* the answer is whole: no limit can make it a failure */
        relay_finish(x);
    else if (now >= x->deadline_us)
        exchange_verdict(x, OUTCOME_DEADLINE);
    else if (now >= attempt_end_us(x))
        exchange_verdict(x, OUTCOME_TOTAL_TIMEOUT);
    else if (now < x->limit_us) {
        relay_keepalive(x); /* does nothing unless one is due */
        arm_timer(x);
    } else if (x->state == EX_BACKOFF)
        exchange_go(x, EX_PLAN);
    else if (x->state == EX_AWAIT && !x->up.stream)
        exchange_verdict(x, OUTCOME_TOTAL_TIMEOUT);
    else if (x->state == EX_HOLD && x->content)
        exchange_verdict(x, OUTCOME_IDLE_TIMEOUT);
    else
        exchange_verdict(x, states[x->state].timeout);
    exchange_leave(x);
}

/* ---- what an attempt leaves behind ---- */

/* Targets that were only looked at may fill the list; the last line is always the last one. */
static void note_attempt(struct exchange *x, enum outcome o, int64_t us)
{
    if (x->n_attempts == LEDGER_ATTEMPTS_MAX)
        x->n_attempts--;
    x->attempts[x->n_attempts++] = (struct attempt){x->p, x->model, o, us};
}

/* The attempt is over: the connection and the slot go back, the provider learns, the account gets a line. */
static void end_attempt(struct exchange *x, enum outcome o)
{
    int64_t now = io_now_us(x->env->loop);
    int64_t wall = io_wall_us(x->env->loop);
    account_settle(x, wall);
    http_call_cancel(x->call);
    x->call = NULL;
    note_attempt(x, o, now - x->attempt_us);
    if (!x->slot)
        return;
    x->slot = false;
    provider_report(x->p,
                    &(struct provider_report){
                        .outcome = o,
                        .now_us = now,
                        .wall_us = wall,
                        .latency_us = now - x->attempt_us,
                        .retry_after_ms = x->retry_after_ms,
                        .model = x->model,
                    },
                    x->env->rng);
}

/* ---- refusing ---- */

static void refuse(struct exchange *x, int error, int status, strv message, strv field,
                   uint64_t wait_ms)
{
    const struct llm_error_row *row = llm_error_row(error);
    x->error = error > LLM_OK ? error : LLM_ERR_INTERNAL; /* ERR_CODE_OOM is none of ours */
    x->sent_status = status != 0                      ? status
                     : x->r->dialect == LLM_ANTHROPIC ? row->anthropic_status
                                                      : row->status;
    x->over = true;
    x->sink->fail(x->sink_arg, x, error, x->sent_status,
                  message.len > 0 ? message : strv_of(row->text), field,
                  wait_ms > 0 ? (wait_ms + 999) / 1000 : 0);
    exchange_go(x, EX_CLOSE);
}

static void refuse_err(struct exchange *x, const struct err *err)
{
    /* Without any local target it takes an operator: it is worth trying again, but not soon. */
    uint64_t wait_ms = err->code == LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE ? NO_LOCAL_WAIT_MS : 0;
    refuse(x, err->code, 0, strv_of(err->text), strv_of(err->field), wait_ms);
}

/* Nobody is left to ask: the most telling of the failures becomes the answer. */
static void refuse_exhausted(struct exchange *x)
{
    size_t i = x->n_attempts;
    assert(i > 0);
    /* A breaker that is open says only that there were failures before; an earlier attempt says more. */
    while (i > 1 && x->attempts[i - 1].outcome == OUTCOME_BREAKER_OPEN)
        i--;
    enum outcome o = x->attempts[i - 1].outcome;
    for (size_t k = 0; k < x->n_attempts; k++)
        if (x->attempts[k].outcome == OUTCOME_CONTEXT_TOO_LONG)
            o = OUTCOME_CONTEXT_TOO_LONG;
    int error = outcome_row(o)->error;
    int status = 0;
    strv message = STRV_NONE;
    uint64_t wait_ms = llm_error_row(error)->retry ? x->wait_hint_ms : 0;

    bool callers_fault = o == OUTCOME_REJECTED || o == OUTCOME_CONTEXT_TOO_LONG ||
                         o == OUTCOME_MODEL_MISSING || o == OUTCOME_UNSUPPORTED ||
                         o == OUTCOME_ENCODE || o == OUTCOME_DEADLINE || o == OUTCOME_INCAPABLE ||
                         o == OUTCOME_BAD_FORMAT;
    bool ours = o == OUTCOME_STOPPED;
    if (o == OUTCOME_REJECTED) {
        status = x->status >= 400 && x->status < 500 ? x->status : 0;
        message = x->upstream_message;
    } else if (o == OUTCOME_ENCODE || o == OUTCOME_BAD_FORMAT || o == OUTCOME_INCAPABLE) {
        message = x->upstream_message;
    } else if (x->is_private && !callers_fault && !ours) {
        error = LLM_ERR_PRIVACY_LOCAL_UNAVAILABLE;
        wait_ms = x->wait_hint_ms > 0 ? x->wait_hint_ms : 1000;
    } else if (o == OUTCOME_BREAKER_OPEN) {
        status = 503;
    }
    if (error == LLM_ERR_BUDGET_EXHAUSTED)
        wait_ms = x->bill.wait_s * 1000;
    if (error == LLM_ERR_UPSTREAM_CUT) /* nothing was received that could be incomplete */
        error = LLM_ERR_ALL_PROVIDERS_FAILED;
    if (wait_ms == 0 &&
        (error == LLM_ERR_PROVIDER_LOADING || error == LLM_ERR_AUDIT_UNAVAILABLE ||
         error == LLM_ERR_OVERLOADED || error == LLM_ERR_RATE_LIMITED || status == 503))
        wait_ms = 1000;
    refuse(x, error, status, message, STRV_NONE, wait_ms);
}

/* ---- steps ---- */

static enum step admit(struct exchange *x)
{
    struct err err = ERR_INIT;
    uint64_t wait_ms = 0;
    if (x->env->draining && !x->caller->goes_on)
        refuse(x, LLM_ERR_DRAINING, 0, STRV_NONE, STRV_NONE, 1000);
    else if (x->env->active > x->snapshot->exchanges_max)
        refuse(x, LLM_ERR_OVERLOADED, 0, STRV_NONE, STRV_NONE, 1000);
    else if (!record_allows(x))
        refuse(x, LLM_ERR_AUDIT_UNAVAILABLE, 0, STRV_NONE, STRV_NONE, 1000);
    else if (!quota_enter(x, &wait_ms, &err))
        refuse(x, err.code, 0, strv_of(err.text), STRV_NONE, wait_ms);
    else if (!plan_first(x, &err))
        refuse_err(x, &err);
    else if (recall_answer(x))
        return STEP_WAIT;
    else
        exchange_go(x, EX_PLAN);
    return STEP_AGAIN;
}

static void skip_target(struct exchange *x, enum outcome o)
{
    note_attempt(x, o, 0);
    x->tried |= 1u << x->target;
    x->tries = 0;
}

static enum step plan(struct exchange *x)
{
    uint64_t wait_ms = 0;
    if (x->target < 0 || !plan_has(x, (size_t)x->target)) {
        int t = plan_next(x);
        if (t < 0 || x->calls >= x->snapshot->attempts_max) {
            if (sure_gives_back(x))
                return STEP_WAIT;
            refuse_exhausted(x);
            return STEP_AGAIN;
        }
        x->target = t;
        x->ask = x->r; /* what was wrong with one model's answer is nothing to another */
        x->sure.refused = false;
        x->tries = 0;
        x->spent = 0;
        x->model = arena_strv(x->arena, x->plan->targets[t].model);
    }
    x->attempt_us = io_now_us(x->env->loop);
    x->retry_after_ms = 0;
    switch (plan_admit(x, &wait_ms)) {
    case ADMIT_GO:
        x->slot = true;
        x->cold = provider_is_cold(x->p, x->model, x->attempt_us);
        exchange_go(x, EX_SEAL);
        return STEP_AGAIN;
    case ADMIT_BUSY:
        plan_wait_hint(x, wait_ms > 0 ? wait_ms : 1000);
        if (provider_queue_enter(x->p))
            exchange_go(x, EX_QUEUE);
        else
            skip_target(x, OUTCOME_BUSY);
        return STEP_AGAIN;
    case ADMIT_LOADING:
        plan_wait_hint(x, wait_ms > 0 ? wait_ms : 1000);
        skip_target(x, OUTCOME_LOADING);
        return STEP_AGAIN;
    case ADMIT_OPEN:
        plan_wait_hint(x, wait_ms);
        skip_target(x, OUTCOME_BREAKER_OPEN);
        return STEP_AGAIN;
    case ADMIT_FORBIDDEN:
        skip_target(x, OUTCOME_WITHHELD);
        return STEP_AGAIN;
    case ADMIT_DOWN:
        break;
    }
    plan_wait_hint(x, wait_ms > 0 ? wait_ms : 1000);
    skip_target(x, OUTCOME_CONNECT_REFUSED);
    return STEP_AGAIN;
}

static enum step queue(struct exchange *x)
{
    if (list_empty(&x->queue_node)) {
        queue_join(x);
        exchange_arm(x, x->p->limits.queue_ms);
    }
    return STEP_WAIT;
}

static enum step backoff(struct exchange *x)
{
    if (x->limit_us == INT64_MAX)
        exchange_arm(x, x->backoff_ms);
    return STEP_WAIT;
}

/* The request in the words of its target; and may exactly these bytes go there? */
static enum step seal(struct exchange *x)
{
    struct err err = ERR_INIT;
    x->sent_us = 0;
    if (!account_open(x)) {
        exchange_verdict(x, OUTCOME_BUDGET);
        return STEP_WAIT;
    }
    if (!relay_begin(x) || !compose_request(x, &err)) {
        bool memory = x->body.failed || x->arena->failed || x->r->arena->failed || !err.set;
        exchange_verdict(x, memory ? OUTCOME_NO_MEMORY : OUTCOME_ENCODE);
        if (!memory)
            x->upstream_message = arena_strv(x->arena, strv_of(err.text));
        return STEP_WAIT;
    }
    if (!judge_seal(x))
        return STEP_WAIT;
    x->recorded = x->held = false;
    exchange_go(x, x->permit.leaves ? EX_RECORD : EX_SEND);
    return STEP_AGAIN;
}

/* False: no memory, or the call would not be the one that was permitted. */
static bool call_provider(struct exchange *x, bool *withheld)
{
    struct http_header *headers = ARENA_ARRAY(x->r->arena, struct http_header, 4);
    struct http_call_spec spec = {
        .upstream = &x->p->upstream,
        .method = HTTP_POST,
        .path = x->path,
        .headers = headers,
        .n_headers = headers != NULL ? provider_headers(x->p, x->r->arena, headers) : 0,
        .content_type = "application/json",
        .body = buf_view(&x->body),
        .on_ready = x->permit.leaves ? relay_on_ready : NULL,
    };
    *withheld = !judge_may_go(x, x->p); /* again: time may have passed since the plan was made */
    /* A key that found no memory must not become a call without a key. */
    if (!*withheld && !x->r->arena->failed)
        x->call = egress_call(x->env->client, &x->permit, &spec, &relay_ops, x, withheld);
    return x->call != NULL;
}

static bool begin_call(struct exchange *x)
{
    bool withheld = false;
    x->calls++;
    x->held = false;
    if (call_provider(x, &withheld))
        return true;
    exchange_verdict(x, withheld ? OUTCOME_WITHHELD : OUTCOME_NO_MEMORY);
    return false;
}

/* It leaves the premises. First a connection, since the record tells its address; the request is not on it before the
 * record is durable. */
static enum step record(struct exchange *x)
{
    if (x->recorded) {
        exchange_go(x, EX_SEND);
        return STEP_AGAIN;
    }
    if (x->call == NULL && !record_ready(x)) {
        exchange_verdict(x, OUTCOME_AUDIT);
    } else if (x->call == NULL) { /* the client's own connect_ms comes first */
        if (begin_call(x))
            exchange_arm(x, x->p->limits.connect_ms + x->snapshot->audit_wait_ms);
    } else if (x->held && x->ticket == NULL) {
        record_intent(x);
        exchange_arm(x, x->snapshot->audit_wait_ms);
    }
    return STEP_WAIT;
}

/* The request that is held goes out, if it still may. */
static enum step let_go(struct exchange *x)
{
    x->held = false;
    if (!x->recorded || !judge_may_go(x, x->p)) {
        exchange_verdict(x, OUTCOME_WITHHELD);
        return STEP_WAIT;
    }
    exchange_arm(x, x->p->limits.head_ms);
    egress_go(&x->permit, x->call);
    return x->state == EX_SEND ? STEP_WAIT : STEP_AGAIN;
}

static enum step send_request(struct exchange *x)
{
    if (x->held)
        return let_go(x);
    /* The client's own connect_ms comes first; this catches a request that cannot be written. */
    if (x->call == NULL && begin_call(x))
        exchange_arm(x, x->p->limits.connect_ms + x->p->limits.head_ms);
    return STEP_WAIT;
}

static uint64_t first_token_limit(const struct exchange *x)
{
    return x->cold ? x->p->limits.cold_ms : x->p->limits.first_token_ms;
}

static enum step await_head(struct exchange *x)
{
    if (x->limit_us == INT64_MAX) {
        x->sent_us = x->entered_us;
        /* Without a stream the head comes when the answer is whole: only the whole time limits it. A cold
         * model may be loaded before the head. */
        uint64_t limit = x->p->limits.head_ms;
        if (!x->up.stream)
            limit = x->p->limits.total_ms;
        else if (first_token_limit(x) > limit)
            limit = first_token_limit(x);
        exchange_arm(x, limit);
    }
    return STEP_WAIT;
}

static enum step hold(struct exchange *x)
{
    if (x->framed) {
        /* Content may be here already: a caller who wants it whole sees nothing before the end. */
        x->limit_us = x->content ? x->last_us + (int64_t)x->p->limits.idle_ms * 1000
                                 : x->sent_us + (int64_t)first_token_limit(x) * 1000;
        arm_timer(x);
    } else if (x->limit_us == INT64_MAX) {
        exchange_arm(x, x->status == 200 ? x->p->limits.total_ms : x->p->limits.head_ms);
    }
    return STEP_WAIT;
}

static enum step stream(struct exchange *x)
{
    if (x->paused) /* waiting for the caller is not the provider's silence */
        x->limit_us = INT64_MAX;
    else
        x->limit_us = x->last_us + (int64_t)x->p->limits.idle_ms * 1000;
    arm_timer(x);
    return STEP_WAIT;
}

static enum step finish(struct exchange *x)
{
    if (x->limit_us == INT64_MAX)
        exchange_arm(x, FINISH_LINGER_MS);
    return STEP_WAIT;
}

/* ---- the end ---- */

static enum step close_exchange(struct exchange *x)
{
    assert(x->over && x->call == NULL && !x->slot);
    return STEP_WAIT;
}

/* Runs once, when nothing of the exchange is on the stack any more. */
static void tear_down(struct exchange *x)
{
    int64_t now = io_now_us(x->env->loop);
    x->own_us += now - x->entered_us;
    io_timer_stop(x->env->loop, &x->timer);
    account_close(x, now);
    if (x->committed && x->r->stream)
        metric_add(x->env->metrics, METRIC_STREAMS, 0, -1);
    relay_fini(x);
    recall_fini(x);
    sure_fini(x);
    mask_drop(x);
    buf_fini(&x->body);
    list_del(&x->live_node);
    x->env->active--;
    snapshot_unref(x->snapshot);
    x->snapshot = NULL;
}

/* The plan was for a request that might leave. What was tried may be tried again: it is a shorter list. */
static void plan_anew(struct exchange *x)
{
    struct err err = ERR_INIT;
    x->replan = false;
    x->tried = 0;
    x->target = -1;
    if (plan_make(x, &err))
        exchange_go(x, EX_PLAN);
    else
        refuse_err(x, &err);
}

/* An attempt failed while nothing was sent to the caller: what now? */
static void after_failure(struct exchange *x, enum outcome o)
{
    const struct outcome_row *row = outcome_row(o);
    const struct provider_limits *limits = &x->p->limits;
    uint64_t pause = rng_jitter(x->env->rng, limits->retry_ms << x->tries, 50);
    if (x->retry_after_ms > pause)
        pause = x->retry_after_ms;
    bool same = row->next == NEXT_RETRY && x->tries < limits->retries &&
                x->retry_after_ms <= limits->retry_after_max_ms &&
                x->calls < x->snapshot->attempts_max &&
                io_now_us(x->env->loop) + (int64_t)pause * 1000 < x->deadline_us;
    plan_wait_hint(x, x->retry_after_ms);
    if ((o == OUTCOME_BAD_FORMAT || o == OUTCOME_BAD_CALL) && form_ask_again(x, o)) {
        exchange_go(x, EX_PLAN);
        return;
    }
    x->ask = x->r;
    if (sure_refused(x, o)) {
        exchange_go(x, EX_PLAN);
        return;
    }
    if (x->replan) {
        plan_anew(x);
        return;
    }
    if (row->next == NEXT_TELL) {
        if (o == OUTCOME_NO_MEMORY)
            refuse(x, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        else if (!sure_gives_back(x))
            refuse_exhausted(x);
        return;
    }
    if (plan_other_instance(x, o)) {
        exchange_go(x, EX_PLAN);
        return;
    }
    if (!same) {
        x->tried |= 1u << x->target;
        exchange_go(x, EX_PLAN);
        return;
    }
    x->backoff_ms = pause;
    x->tries++;
    exchange_go(x, EX_BACKOFF);
}

static void act_on_verdict(struct exchange *x)
{
    enum outcome o = (enum outcome)x->verdict;
    x->verdict = -1;
    if (x->state == EX_QUEUE || x->state == EX_BACKOFF || x->call != NULL || x->slot)
        end_attempt(x, o);
    if (x->committed) {
        int error = outcome_row(o)->error;
        x->over = true;
        bool ours = error == LLM_ERR_DEADLINE_EXCEEDED || error == LLM_ERR_DRAINING ||
                    error == LLM_ERR_OUTPUT_INVALID;
        relay_fail_inband(x, ours ? error : LLM_ERR_UPSTREAM_CUT);
        exchange_go(x, EX_CLOSE);
    } else if (x->state == EX_QUEUE && o == OUTCOME_BUSY) {
        x->tried |= 1u << x->target;
        exchange_go(x, EX_PLAN);
    } else {
        after_failure(x, o);
    }
}

static void act_on_complete(struct exchange *x)
{
    if (x->slot)
        end_attempt(x, OUTCOME_OK);
    x->over = true;
    if (x->committed)
        outlet_check_end(&x->check, true);
    x->sink->end(x->sink_arg);
    recall_keep(x);
    exchange_go(x, EX_CLOSE);
}

static void act_on_gone(struct exchange *x)
{
    if (x->state == EX_QUEUE || x->state == EX_BACKOFF || x->call != NULL || x->slot)
        end_attempt(x, OUTCOME_CALLER_GONE);
    x->over = true;
    exchange_go(x, EX_CLOSE);
}

void exchange_enter(struct exchange *x)
{
    if (x->inside++ == 0)
        x->entered_us = io_now_us(x->env->loop);
}

void exchange_leave(struct exchange *x)
{
    if (x->inside > 1) {
        x->inside--;
        return;
    }
    while (x->state != EX_CLOSE) {
        if (x->gone)
            act_on_gone(x);
        else if (x->verdict >= 0)
            act_on_verdict(x);
        else if (x->complete)
            act_on_complete(x);
        else {
            drive(x);
            if (!x->gone && x->verdict < 0 && !x->complete)
                break;
        }
    }
    if (x->state == EX_CLOSE) {
        tear_down(x);
        return; /* `inside` stays: nothing may come in any more */
    }
    x->own_us += io_now_us(x->env->loop) - x->entered_us;
    x->inside--;
}

void exchange_verdict(struct exchange *x, enum outcome outcome)
{
    if (x->verdict < 0 && !x->complete)
        x->verdict = (int)outcome;
}

/* ---- the outside ---- */

static uint64_t deadline_ms(const struct snapshot *s, const struct exchange_caller *caller)
{
    bool own = caller->deadline_ms > 0 && caller->deadline_ms < s->deadline_ms;
    return own ? caller->deadline_ms : s->deadline_ms;
}

struct exchange *exchange_start(struct exchange_env *env, struct arena *arena,
                                struct llm_request *r, const struct exchange_caller *caller,
                                const struct exchange_sink *sink, void *arg)
{
    struct exchange *x = ARENA_NEW(arena, struct exchange);
    if (x == NULL)
        return NULL;
    x->env = env;
    x->snapshot = snapshot_ref(env->snapshot);
    x->arena = arena;
    x->r = r;
    x->ask = r;
    x->caller = caller;
    x->sink = sink;
    x->sink_arg = arg;
    x->door = dialect_get(r->dialect);
    x->verdict = -1;
    x->target = -1;
    x->complexity = -1;
    x->is_private = r->private_hint || r->mode == LLM_MODE_LOCAL; /* until judge.c says more */
    x->findings = x->rules = "";
    x->session = arena_strv(arena, r->session_header.len > 0 ? r->session_header : r->session);
    x->usage = x->bill.usage = LLM_USAGE_NONE;
    x->started_us = io_now_us(env->loop);
    x->own_us = x->started_us - caller->received_us;
    x->deadline_us = x->started_us + (int64_t)deadline_ms(x->snapshot, caller) * 1000;
    x->limit_us = INT64_MAX;
    list_init(&x->queue_node);
    list_add_tail(&env->live, &x->live_node);
    buf_init(&x->body, SIZE_MAX / 4);
    env->active++;
    metric_add(env->metrics, METRIC_ACTIVE, 0, 1);
    metric_add(env->metrics, METRIC_REQUESTS, r->dialect, 1);
    x->entered_us = x->started_us;
    x->inside = 1;
    exchange_leave(x);
    return x;
}

void exchange_stop_all(struct exchange_env *env)
{
    struct list *pos, *tmp;
    env->draining = true;
    list_for_each(pos, tmp, &env->live)
    {
        struct exchange *x = list_entry(pos, struct exchange, live_node);
        exchange_enter(x);
        if (x->state == EX_FINISH) /* its answer is whole */
            relay_finish(x);
        else
            exchange_verdict(x, OUTCOME_STOPPED);
        exchange_leave(x);
    }
}

void exchange_caller_gone(struct exchange *x)
{
    if (x->state == EX_CLOSE || x->over)
        return;
    exchange_enter(x);
    x->gone = true;
    exchange_leave(x);
}

void exchange_proceed(struct exchange *x)
{
    if (x->state == EX_CLOSE || !x->paused)
        return;
    exchange_enter(x);
    x->paused = false;
    x->last_us = x->entered_us;
    http_call_pause(x->call, false);
    exchange_leave(x);
}

const char *exchange_provider(const struct exchange *x)
{
    return x->p != NULL ? x->p->name : NULL;
}

strv exchange_model(const struct exchange *x)
{
    return x->model;
}

strv exchange_task(const struct exchange *x)
{
    return x->task;
}

bool exchange_judged(const struct exchange *x)
{
    return x->is_judged;
}

bool exchange_private(const struct exchange *x)
{
    return x->is_private;
}

const char *exchange_reason(const struct exchange *x)
{
    return x->reason;
}

const char *exchange_findings(const struct exchange *x)
{
    return x->findings;
}

/* Calls made so far; targets that could not be asked are none. */
size_t exchange_attempts(const struct exchange *x)
{
    return x->calls;
}

strv exchange_route(const struct exchange *x)
{
    return x->out.route_json;
}

int exchange_error(const struct exchange *x)
{
    return x->error;
}

const char *exchange_waits(const struct exchange *x)
{
    if (x->state == EX_QUEUE)
        return "queue";
    return x->cold && (x->state == EX_AWAIT || x->state == EX_HOLD) ? "load" : NULL;
}

uint32_t exchange_losses(const struct exchange *x)
{
    return x->losses;
}
