/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage - GET /router/usage: what was asked, what it cost, what it would have cost in the cloud.
 *
 *   ?by=day|class|model|key|provider   ?since=2026-11-01|7d   ?until=2026-11-30   ?format=json|csv
 *
 * A key with the right `admin`, or anybody where no key is needed, reads the figures of all. Any other key reads its
 * own, and is not told of the common budget. The ledger's thread reads the file and answers by a message, so no
 * worker waits for a disk; what was in its queue is written first, so the figures are those of this moment.
 */
#include "api/api_int.h"
#include "api/target.h"

#define ANSWER_BYTES_MAX ((size_t)16 << 20)

struct api_question { /* goes with the message that answers it */
    struct api *api;
    struct http_request *req; /* NULL: the caller left */
    struct snapshot *snapshot;
    bool csv, all;
    int64_t now_us;
    struct buf answer;
    bool failed;
};

static void put_budget(struct buf *out, const struct api_question *q)
{
    struct ledger_budget *b = ledger_budget_of(q->api->env->ledger);
    struct ledger_spent scopes[LEDGER_SCOPES];
    for (int scope = 0; scope < LEDGER_SCOPES; scope++)
        ledger_budget_look(b, &q->snapshot->ledger.budget, (enum ledger_scope)scope, q->now_us,
                           &scopes[scope]);
    ledger_report_budget(scopes, out);
}

/* ---- the worker's thread again ---- */

static void deliver(void *arg)
{
    struct api_question *q = arg;
    struct http_request *req = q->req;
    if (req != NULL) {
        api_state(req)->question = NULL;
        http_reply_header(req, "Cache-Control", STRV("no-store"));
        if (q->failed || q->answer.failed)
            api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0,
                      STRV("The ledger cannot be read now; the log says why."), STRV_NONE, 0);
        else
            http_reply_whole(req, 200, q->csv ? "text/csv; charset=utf-8" : "application/json",
                             buf_view(&q->answer));
    }
    buf_fini(&q->answer);
    snapshot_unref(q->snapshot);
    mem_free(q);
}

static void on_gone(struct http_request *req)
{
    if (api_state(req)->question != NULL)
        api_state(req)->question->req = NULL;
}

/* ---- the ledger's thread ---- */

static void on_report(void *arg, const struct ledger_report *report, const struct err *err)
{
    struct api_question *q = arg;
    const char *reference = q->snapshot->ledger.reference;
    q->failed = err != NULL;
    if (err == NULL && q->csv) {
        ledger_report_csv(report, reference, &q->answer);
    } else if (err == NULL) {
        ledger_report_json(report, reference, &q->answer);
        if (q->all)
            put_budget(&q->answer, q);
        buf_put_char(&q->answer, '}');
    }
    /* Without memory for the message nobody is told: the caller's own time-out ends it. */
    (void)io_post(q->api->env->loop, deliver, q);
}

/* ---- the question ---- */

static bool read_query(struct http_request *req, int64_t today, struct ledger_query *out, bool *csv,
                       struct err *err)
{
    strv by, since, until, format;
    struct arena *arena = &req->arena;
    if (!target_query(req->query, "by", arena, &by) ||
        !target_query(req->query, "since", arena, &since) ||
        !target_query(req->query, "until", arena, &until) ||
        !target_query(req->query, "format", arena, &format))
        return err_set(err, LLM_ERR_INVALID_REQUEST, "the query is not valid");
    *csv = strv_eq_cstr(format, "csv");
    if (format.ptr != NULL && !*csv && !strv_eq_cstr(format, "json"))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "format", "format: expected json or csv");
    return ledger_query_read(out, by, since, until, today, err);
}

static struct api_question *question_new(struct api *api, struct http_request *req)
{
    struct api_question *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return NULL;
    q->api = api;
    q->req = req;
    q->snapshot = snapshot_ref(api->env->snapshot);
    q->now_us = io_wall_us(api->env->loop);
    buf_init(&q->answer, ANSWER_BYTES_MAX);
    return q;
}

void api_usage(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct ledger_query query;
    const struct policy_key *key = api_state(req)->key;
    int64_t today = ledger_day(io_wall_us(api->env->loop));
    bool csv = false;
    if (!read_query(req, today, &query, &csv, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    struct api_question *q = api->env->ledger != NULL ? question_new(api, req) : NULL;
    if (q != NULL) {
        q->csv = csv;
        q->all = key == NULL || key->rules.admin;
        if (!q->all)
            snprintf(query.key, sizeof query.key, "%s", key->id);
        api_state(req)->question = q;
        req->on_gone = on_gone;
        if (ledger_ask(api->env->ledger, &query, on_report, q))
            return;
        api_state(req)->question = NULL;
        snapshot_unref(q->snapshot);
        mem_free(q);
    }
    api_error(req, route->door, LLM_ERR_OVERLOADED, 0, STRV("The ledger cannot be asked now."),
              STRV_NONE, 1);
}
