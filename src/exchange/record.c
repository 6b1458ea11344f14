/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record - what the audit is told of an exchange, and when.
 *
 *   seal > RECORD: connect > record_intent() --audit's writer--> on_durable() > send
 *                     ^------------------------------------------- the connection was dead: another one, another intent
 *   close: record_close()
 *
 * An intent that could not be written is an attempt that failed: the next target's turn comes, which may be one at
 * home. A caller who leaves meanwhile forgets the ticket; the record of a call that was never made stays, and the
 * record of the exchange tells that it was not.
 */
#include <stdio.h>
#include <string.h>

#include "exchange/exchange_int.h"

bool record_ready(const struct exchange *x)
{
    return audit_ready(x->env->audit, NULL, 0);
}

bool record_allows(const struct exchange *x)
{
    return !x->snapshot->audit_all || record_ready(x);
}

static void on_durable(void *arg, bool ok)
{
    struct exchange *x = arg;
    exchange_enter(x);
    x->ticket = NULL;
    x->recorded = ok;
    if (!ok)
        exchange_verdict(x, OUTCOME_AUDIT);
    exchange_leave(x);
}

/* As configured. */
static void print_address(const struct provider *p, char *out, size_t size)
{
    const struct http_upstream *u = &p->upstream;
    if (u->unix_path != NULL)
        snprintf(out, size, "unix:%s", u->unix_path);
    else
        snprintf(out, size, "%s:%u", u->url.host != NULL ? u->url.host : "", (unsigned)u->url.port);
}

void record_intent(struct exchange *x)
{
    char address[320];
    print_address(x->p, address, sizeof address);
    struct audit_intent intent = {
        .request_id = x->caller->record_id,
        .key = x->caller->key,
        .door = llm_dialect_name(x->r->dialect),
        .session = x->session,
        .task = x->task,
        .is_private = x->is_private,
        .findings = x->findings,
        .rule = strv_of(x->plan->targets[x->target].why),
        .rules = x->rules,
        .attempt = (unsigned)x->calls,
        .provider = x->p->name,
        .zone = x->p->zone == ZONE_LOCAL ? "local" : "cloud",
        .model = account_knows(x->snapshot, x->arena, x->p, x->model) ? x->model : STRV("other"),
        .address = address,
        .ip = x->p->upstream.unix_path == NULL ? x->address : NULL,
        .bytes = x->permit.n_bytes,
    };
    memcpy(intent.sha256, x->permit.digest, sizeof intent.sha256);
    if (x->env->audit != NULL)
        x->ticket = audit_intend(x->env->audit, x->env->loop, &intent, on_durable, x);
    if (x->ticket == NULL)
        exchange_verdict(x, OUTCOME_AUDIT);
}

void record_forget(struct exchange *x)
{
    audit_forget(x->ticket);
    x->ticket = NULL;
}

void record_close(struct exchange *x, const struct ledger_row *row)
{
    struct audit_facts facts = {.session = x->session,
                                .findings = x->findings,
                                .rule = strv_of(x->reason),
                                .rules = x->rules};
    audit_note(x->env->audit, row, &facts);
}
