/* SPDX-License-Identifier: Apache-2.0 */
/* account - what is told of an exchange: its row in the ledger, and its route to a caller at the native door. */
#include "exchange/exchange_int.h"

#define BYTES_PER_TOKEN 4 /* of an answer; prompts are estimated in llm/ */

/* What the provider did not count is estimated where something was answered, and said to be so. */
static bool estimate_usage(const struct exchange *x, struct llm_usage *usage)
{
    bool input = usage->input < 0, output = usage->output < 0 && x->r->op != LLM_OP_EMBED &&
                                            x->r->op != LLM_OP_EMBED_1 && x->r->op != LLM_OP_COUNT;
    if (!x->content || !(input || output))
        return false;
    if (input)
        usage->input = x->out.input_estimate;
    if (output)
        usage->output = (x->content_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    return true;
}

void account_close(struct exchange *x, int64_t now)
{
    struct metrics *m = x->env->metrics;
    struct ledger_attempt attempts[LEDGER_ATTEMPTS_MAX];
    for (size_t i = 0; i < x->n_attempts; i++)
        attempts[i] = (struct ledger_attempt){
            .provider = (unsigned)x->attempts[i].p->cell->index,
            .provider_name = x->attempts[i].p->name,
            .model = x->attempts[i].model,
            .outcome = (unsigned)x->attempts[i].outcome,
            .outcome_name = outcome_row(x->attempts[i].outcome)->name,
            .us = x->attempts[i].us,
        };
    const struct ledger_attempt *last = x->n_attempts > 0 ? &attempts[x->n_attempts - 1] : NULL;
    bool ok = x->error == LLM_OK && !x->gone;
    int64_t total = now - x->caller->received_us;
    struct llm_usage usage = x->usage;
    bool estimated = estimate_usage(x, &usage);
    if (x->is_private)
        metric_add(m, METRIC_PRIVATE, 0, 1);
    quota_leave(x, &usage);
    for (unsigned bit = 0; bit < DIALECT_LOSSES; bit++)
        if (x->losses & (1u << bit))
            metric_add(m, METRIC_TRANSLATION_LOSSY, bit, 1);
    struct ledger_row row = {
        .request_id = x->caller->request_id,
        .key = x->caller->key,
        .door = x->r->dialect,
        .stream = x->r->stream,
        .is_private = x->is_private,
        .task = x->task,
        .attempts = attempts,
        .n_attempts = x->n_attempts,
        .provider = last != NULL && (ok || x->committed) ? last->provider_name : NULL,
        .provider_index = last != NULL ? last->provider : 0,
        /* A name that no provider has answered to may be any text a caller wrote. */
        .model = last != NULL && x->attempts[x->n_attempts - 1].outcome == OUTCOME_OK ? last->model
                                                                                      : STRV_NONE,
        .usage = usage,
        .usage_estimated = estimated,
        .error = x->error,
        .outcome = x->gone ? "caller_gone"
                   : ok    ? "ok"
                           : llm_error_row(x->error)->code,
        .caller_gone = x->gone,
        .status = x->sent_status,
        .bytes_in = x->caller->bytes_in,
        .bytes_out = x->bytes_out,
        .total_us = total,
        .queue_us = x->queue_us,
        .upstream_us = total - x->queue_us - x->own_us,
        .first_us = x->first_us > 0 ? x->first_us - x->caller->received_us : -1,
    };
    ledger_close(m, x->env->log, &row);
    metric_add(m, METRIC_ACTIVE, 0, -1);
}

/* ---- the native door's account of the route (scheduler-consumers.md 2.2) ---- */

static void put_attempts(struct exchange *x, struct buf *b)
{
    buf_put_cstr(b, "\"attempts\":[");
    for (size_t i = 0; i <= x->n_attempts; i++) {
        bool now = i == x->n_attempts; /* the one that is answering */
        const struct attempt *a = &x->attempts[i];
        buf_put_cstr(b, i > 0 ? ",{\"provider\":" : "{\"provider\":");
        json_put_str(b, strv_of(now ? x->p->name : a->p->name));
        buf_put_cstr(b, ",\"model\":");
        json_put_str(b, now ? x->model : a->model);
        buf_put_cstr(b, ",\"outcome\":");
        json_put_str(b, strv_of(now ? "ok" : outcome_row(a->outcome)->name));
        buf_put_cstr(b, ",\"ms\":");
        buf_put_i64(b, (now ? x->entered_us - x->attempt_us : a->us) / 1000);
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
}

void account_describe(struct exchange *x)
{
    struct buf b;
    if (x->r->dialect != LLM_NATIVE || x->out.route_json.ptr != NULL)
        return;
    buf_init(&b, 16384);
    buf_put_cstr(&b, "{\"task_type\":");
    if (x->task.ptr != NULL)
        json_put_str(&b, x->task);
    else
        buf_put_cstr(&b, "null");
    buf_put_cstr(&b, ",\"complexity_score\":null");
    buf_put_cstr(&b, x->is_private ? ",\"is_privacy_sensitive\":true"
                                   : ",\"is_privacy_sensitive\":false");
    buf_put_cstr(&b, ",\"reason\":");
    json_put_str(&b, strv_of(x->reason != NULL ? x->reason : ""));
    buf_put_cstr(&b, x->target > 0 ? ",\"fallback_used\":true,\"clamped\":["
                                   : ",\"fallback_used\":false,\"clamped\":[");
    bool first = true;
    for (unsigned bit = 0; bit < DIALECT_LOSSES; bit++) {
        if ((x->losses & (1u << bit)) == 0)
            continue;
        if (!first)
            buf_put_char(&b, ',');
        first = false;
        json_put_str(&b, strv_of(dialect_loss_name(bit)));
    }
    buf_put_cstr(&b, "],");
    put_attempts(x, &b);
    buf_put_cstr(&b, ",\"request_id\":");
    json_put_str(&b, x->caller->request_id);
    buf_put_char(&b, '}');
    if (!b.failed)
        x->out.route_json = arena_strv(x->arena, buf_view(&b));
    buf_fini(&b);
}
