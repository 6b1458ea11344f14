/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage - the tool usage_report. The ledger's thread reads its file and answers by a message; a key without the right
 * `admin` is answered for itself alone, and not told of the common budget.
 */
#include "gateway/internal.h"

#include <stdio.h>

struct inquiry { /* goes with the message that answers it */
    struct gateway *g;
    struct gateway_call *c; /* NULL: the caller left */
    struct snapshot *snapshot;
    struct buf answer;
    bool all, failed;
    int64_t now_us;
};

static void put_budget(struct inquiry *q)
{
    struct ledger_budget *b = ledger_budget_of(q->g->env.exchange->ledger);
    struct ledger_spent scopes[LEDGER_SCOPES];
    for (int scope = 0; scope < LEDGER_SCOPES; scope++)
        ledger_budget_look(b, &q->snapshot->ledger.budget, (enum ledger_scope)scope, q->now_us,
                           &scopes[scope]);
    ledger_report_budget(scopes, &q->answer);
}

static void deliver(void *arg) /* the worker's thread again */
{
    struct inquiry *q = arg;
    if (q->c != NULL) {
        q->c->stop = NULL;
        if (q->failed || q->answer.failed)
            own_failed(q->c, STRV("The ledger cannot be read now; the log says why."));
        else
            own_result(q->c, buf_view(&q->answer), buf_view(&q->answer));
    }
    buf_fini(&q->answer);
    snapshot_unref(q->snapshot);
    mem_free(q);
}

static void on_report(void *arg, const struct ledger_report *report, const struct err *err)
{
    struct inquiry *q = arg; /* the ledger's thread */
    q->failed = err != NULL;
    if (err == NULL) {
        ledger_report_json(report, q->snapshot->ledger.reference, &q->answer);
        if (q->all)
            put_budget(q);
        buf_put_char(&q->answer, '}');
    }
    /* Without memory for the message nobody is told: the caller's own time-out ends it. */
    (void)io_post(q->g->env.exchange->loop, deliver, q);
}

static void stop(struct gateway_call *c)
{
    struct inquiry *q = c->running;
    q->c = NULL;
}

void own_usage(struct gateway_call *c, yyjson_val *args)
{
    struct exchange_env *env = c->g->env.exchange;
    const struct policy_key *key = c->caller.holder;
    int64_t now = io_wall_us(env->loop);
    struct ledger_query query;
    struct err err = ERR_INIT;
    if (!ledger_query_read(&query, json_get_str(args, "by"), json_get_str(args, "since"),
                           json_get_str(args, "until"), ledger_day(now), &err)) {
        own_refused(c, &err);
        return;
    }
    struct inquiry *q = mem_zalloc(sizeof *q);
    if (q == NULL) {
        gateway_no_memory(c);
        return;
    }
    *q = (struct inquiry){.g = c->g,
                          .c = c,
                          .snapshot = snapshot_ref(env->snapshot),
                          .all = key == NULL || key->rules.admin,
                          .now_us = now};
    buf_init(&q->answer, GATEWAY_ANSWER_MAX);
    if (!q->all)
        snprintf(query.key, sizeof query.key, "%s", key->id);
    c->running = q;
    c->stop = stop;
    if (ledger_ask(env->ledger, &query, on_report, q))
        return;
    c->stop = NULL;
    snapshot_unref(q->snapshot);
    mem_free(q);
    own_failed(c, STRV("The ledger cannot be asked now."));
}
