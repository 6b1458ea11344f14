/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose - the request in the words of its target: x->body and x->path.
 *
 * Nothing here asks whether the result may go anywhere: judge_seal() reads it.
 */
#include "exchange/exchange_int.h"

/* Needs that only the caller's own bytes express: the answer's form must then be the caller's, too. */
#define OWN_BYTES                                                                                  \
    (LLM_NEED_CHOICES | LLM_NEED_LOGPROBS | LLM_NEED_OLLAMA_RAW | LLM_NEED_ANTHROPIC |             \
     LLM_NEED_COMPLETION)

/* Most bodies are the caller's and a little more: room for that is taken at once. */
#define BODY_MORE ((size_t)200)

/* The same call at the provider, or what stands for it in its dialect. */
static enum llm_op upstream_op(const struct exchange *x, const struct dialect *d)
{
    if (d == x->door)
        return x->r->op;
    return x->r->op == LLM_OP_GENERATE  ? LLM_OP_CHAT
           : x->r->op == LLM_OP_EMBED_1 ? LLM_OP_EMBED
                                        : x->r->op;
}

/* What a body of our own needs: a history that can be written, and the names that will come back changed.
 * What is told of the request after its arena has gone is copied. */
static bool prepare(struct exchange *x, const struct dialect *d)
{
    bool own = d == x->door && !x->up.fresh;
    x->renames = NULL;
    x->n_renames = 0;
    x->form = x->r->form_unchecked ? LLM_FORMAT_TEXT : x->r->format;
    if (x->form == LLM_FORMAT_SCHEMA && x->schema.ptr == NULL)
        x->schema = arena_strv(x->arena, x->r->schema);
    if (x->arena->failed || (!own && !llm_request_mend(x->r)))
        return false;
    if (!own && x->up.short_names && !llm_tool_renames(x->r, x->arena, &x->renames, &x->n_renames))
        return false;
    x->pass = x->pass && x->n_renames == 0;
    return true;
}

/* Configured so: what cannot be said is not left out. */
static bool refuse_losses(struct exchange *x, struct err *err)
{
    unsigned bit = 0;
    while (!(x->losses & (1u << bit)))
        bit++;
    return err_field(err, LLM_ERR_UNSUPPORTED, dialect_loss_name(bit),
                     "%s: the provider's interface has no such member, and strict is configured",
                     dialect_loss_name(bit));
}

bool compose_request(struct exchange *x, struct err *err)
{
    const struct dialect *d = x->p->dialect;
    bool streams = x->r->op == LLM_OP_CHAT || x->r->op == LLM_OP_GENERATE;
    x->losses = 0;
    provider_target(x->p, x->model, x->r, &x->up);
    x->up.stream = x->r->stream || (streams && x->p->stream_always && !(x->r->needs & OWN_BYTES));
    x->up.op = upstream_op(x, d);
    x->up.fresh = x->ask != x->r || x->r->rewritten;
    x->up.logprobs = sure_asks(x);
    x->pass =
        d == x->door && x->up.stream == x->r->stream && x->sink->event == NULL && !x->up.logprobs;
    buf_clear(&x->body);
    (void)!buf_reserve(&x->body, x->r->body.text.len + BODY_MORE);
    if (!prepare(x, d) ||
        !d->encode_request(x->ask, &x->up, x->r->arena, &x->body, &x->losses, err))
        return false;
    if (x->snapshot->strict && x->losses != 0)
        return refuse_losses(x, err);
    x->path = d->path(x->up.op);
    return !x->body.failed;
}
