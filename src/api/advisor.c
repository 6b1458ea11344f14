/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advisor - POST /advisor/suggest, analyze, strategy, explain: the next step of an optimisation, checked.
 *
 *   {"state": {...}, "last_evaluation": {...}, "history": [...],        what it is about (docs/advisor.md)
 *    "source": "model" | "rules" | "auto", "model": "...", "timeout_seconds": 20,
 *    "previous": {...}}                                                what became of earlier advice (decision.c)
 *
 * The answer is 200 whether there is advice or not: accepted true, or false with the reason. Errors are for requests
 * that are none, and for callers beyond their limits.
 */
#include "advisor/advisor.h"
#include "api/api_int.h"

#define ANSWER_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define HISTORY_MAX      1000
#define SECONDS_MAX      3600.0

enum source { FROM_MODEL, FROM_RULES, FROM_EITHER };

struct api_advice {
    struct api *api;
    struct http_request *req;
    const struct advisor_conf *conf;
    enum advice_question question;
    enum source source;
    struct json doc;
    yyjson_val *current;         /* parameters; NULL = none */
    struct api_outcome previous; /* what became of earlier advice; no id = nothing is told */
    struct advisor_ask ask;
    bool asking;
    /* what comes of it */
    struct advice advice;
    struct buf prose; /* explain: the text */
    bool from_rules;
    const char *model_why; /* rules answer: why not the model; NULL = it was not asked */
};

/* ---- the question ---- */

static bool bad(struct err *err, const char *field, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: %s", field, what);
}

static bool check_form(yyjson_val *form, yyjson_val *v, const char *field, struct err *err)
{
    struct err why = ERR_INIT;
    return v == NULL || form == NULL || schema_check(form, v, &why) || bad(err, field, why.text);
}

static bool check_history(const struct api_advice *a, yyjson_val *list, struct err *err)
{
    size_t i, max;
    yyjson_val *record;
    if (list == NULL)
        return true;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > HISTORY_MAX)
        return bad(err, "history", "expected a list of at most 1000 records");
    yyjson_arr_foreach(list, i, max, record)
    {
        if (!yyjson_is_obj(record))
            return bad(err, "history", "expected objects");
        if (!check_form(a->conf->schema->record, record, "history", err))
            return false;
    }
    return true;
}

static bool check_object(yyjson_val *v, const char *field, struct err *err)
{
    return v == NULL || yyjson_is_obj(v) || bad(err, field, "expected an object");
}

static bool read_data(struct api_advice *a, struct err *err)
{
    yyjson_val *root = a->doc.root, *state = json_get(root, "state");
    yyjson_val *evaluation = json_get(root, "last_evaluation");
    const struct advice_schema *s = a->conf->schema;
    if (!check_object(state, "state", err) || !check_form(s->state, state, "state", err) ||
        !check_object(evaluation, "last_evaluation", err) ||
        !check_form(s->evaluation, evaluation, "last_evaluation", err) ||
        !check_history(a, json_get(root, "history"), err))
        return false;
    a->current = json_get(state, "current_params");
    if (!check_object(a->current, "state.current_params", err))
        return false;
    if (a->question == ADVICE_EXPLAIN && evaluation == NULL)
        return bad(err, "last_evaluation", "there is nothing to explain without it");
    return true;
}

static bool read_source(struct api_advice *a, struct err *err)
{
    static const char *const words[] = {"model", "rules", "auto"};
    yyjson_val *v = json_get(a->doc.root, "source");
    for (size_t i = 0; v != NULL && i < sizeof words / sizeof *words; i++)
        if (strv_eq_cstr(json_str(v), words[i])) {
            a->source = (enum source)i;
            return true;
        }
    return v == NULL || bad(err, "source", "expected model, rules or auto");
}

static bool read_wishes(struct api_advice *a, struct err *err)
{
    yyjson_val *seconds = json_get(a->doc.root, "timeout_seconds");
    yyjson_val *model = json_get(a->doc.root, "model");
    double value;
    a->ask.ms = a->conf->question_ms;
    a->ask.model = STRV("");
    if (model != NULL && (json_str(model).ptr == NULL || json_str(model).len > 200))
        return bad(err, "model", "expected a name");
    if (model != NULL)
        a->ask.model = json_str(model);
    if (seconds == NULL)
        return read_source(a, err);
    if (!json_is_num(seconds, &value) || !(value > 0 && value <= SECONDS_MAX))
        return bad(err, "timeout_seconds", "expected a number, above 0 and up to 3600");
    uint64_t ms = (uint64_t)(value * 1000) + 1;
    a->ask.ms = ms < a->ask.ms ? ms : a->ask.ms; /* callers make it shorter only */
    return read_source(a, err);
}

static bool read_previous(struct api_advice *a, struct err *err)
{
    yyjson_val *previous = json_get(a->doc.root, "previous");
    return previous == NULL || api_outcome_read(previous, &a->previous, err);
}

static bool read_question(struct api_advice *a, struct err *err)
{
    return dialect_root(&a->doc, a->req->body, &a->req->arena, err) && read_data(a, err) &&
           read_wishes(a, err) && read_previous(a, err);
}

/* ---- the answer ---- */

static void put_text(struct buf *b, bool *first, const char *key, strv text)
{
    json_put_key(b, first, key);
    if (text.ptr != NULL)
        json_put_str(b, text);
    else
        buf_put_cstr(b, "null");
}

static void put_suggestion(const struct advice *v, struct buf *b)
{
    bool first = true;
    if (!v->accepted) {
        buf_put_cstr(b, "null");
        return;
    }
    buf_put_char(b, '{');
    put_text(b, &first, "type", v->type);
    json_put_key(b, &first, "confidence");
    json_put_num(b, v->confidence);
    put_text(b, &first, "reasoning", v->reasoning);
    json_put_key(b, &first, "params");
    buf_put_strv(b, v->delta);
    if (v->analysis.ptr != NULL) {
        json_put_key(b, &first, "analysis");
        buf_put_strv(b, v->analysis);
    }
    buf_put_char(b, '}');
}

static void put_verdict(const struct api_advice *a, struct buf *b, bool *first)
{
    const struct advice *v = &a->advice;
    json_put_key(b, first, "accepted");
    buf_put_cstr(b, v->accepted ? "true" : "false");
    put_text(b, first, "reason", strv_of(v->reason));
    if (v->field[0] != '\0')
        put_text(b, first, "field", strv_of(v->field));
    json_put_key(b, first, "suggestion");
    put_suggestion(v, b);
    if (v->accepted) {
        json_put_key(b, first, "merged_params");
        buf_put_strv(b, v->merged);
    }
}

/* A failure is analysed without a model, too: what the violations and the rounds have in common. */
static void put_findings(const struct api_advice *a, struct buf *b, bool *first)
{
    if (a->question != ADVICE_ANALYZE)
        return;
    json_put_key(b, first, "findings");
    advice_findings(json_get(a->doc.root, "last_evaluation"), json_get(a->doc.root, "history"), b);
}

static void put_origin(const struct api_advice *a, struct buf *b, bool *first)
{
    const struct advisor_ask *ask = &a->ask;
    const char *rules = a->question == ADVICE_EXPLAIN ? "fallback" : "rules";
    put_text(b, first, "source", strv_of(a->from_rules ? rules : "model"));
    if (a->from_rules && a->model_why != NULL)
        put_text(b, first, "model_reason", strv_of(a->model_why));
    if (ask->error != 0)
        put_text(b, first, "detail", strv_of(llm_error_row(ask->error)->text));
    put_text(b, first, "provider", strv_of(ask->provider));
    put_text(b, first, "model", ask->provider != NULL ? ask->from : STRV_NONE);
    json_put_key(b, first, "latency_ms");
    buf_put_i64(b, (io_now_us(a->api->env->loop) - a->req->received_us) / 1000);
    put_text(b, first, "request_id", api_state(a->req)->request_id);
    if (a->question != ADVICE_EXPLAIN)
        put_text(b, first, "decision_id", api_state(a->req)->record_id);
}

static void put_answer(const struct api_advice *a, struct buf *b)
{
    bool first = true;
    buf_put_char(b, '{');
    if (a->question == ADVICE_EXPLAIN) {
        put_text(b, &first, "text", buf_view(&a->prose));
    } else {
        put_verdict(a, b, &first);
        put_findings(a, b, &first);
    }
    put_origin(a, b, &first);
    buf_put_char(b, '}');
}

static void fini(struct api_advice *a)
{
    advisor_ask_fini(&a->ask);
    buf_fini(&a->prose);
    a->conf->drop(a->conf->owner);
    api_state(a->req)->advice = NULL;
}

static void log_decision(struct api_advice *a)
{
    const struct advisor_ask *ask = &a->ask;
    struct api_decision d = {
        .question = a->question,
        .asked = a->req->body,
        .state = json_get(a->doc.root, "state"),
        .advice = &a->advice,
        .schema = a->conf->schema,
        .template = ask->template,
        .source = a->from_rules ? "rules" : "model",
        .provider = ask->provider,
        .model = ask->from,
        .latency_us = io_now_us(a->api->env->loop) - a->req->received_us,
    };
    if (a->question != ADVICE_EXPLAIN)
        api_decided(a->api, a->req, &d);
}

static void reply(struct api_advice *a)
{
    struct http_request *req = a->req;
    struct buf b;
    log_decision(a);
    buf_init(&b, ANSWER_BYTES_MAX);
    put_answer(a, &b);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    http_reply_header(req, "X-LLM-Private", STRV("yes"));
    http_reply_header(req, "X-Contains-PHI", STRV("true"));
    if (b.failed || a->prose.failed)
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
    fini(a);
}

static void no_memory(struct api_advice *a)
{
    api_error(a->req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    fini(a);
}

/* ---- rules ---- */

/* False: no memory. */
static bool ask_rules(struct api_advice *a)
{
    a->from_rules = true;
    if (a->question != ADVICE_EXPLAIN)
        return advice_rules_ask(a->conf->schema, a->question, a->doc.root, a->current,
                                &a->req->arena, &a->advice);
    buf_clear(&a->prose);
    advice_prose_plain(json_get(a->doc.root, "last_evaluation"), &a->prose);
    return true;
}

/* ---- a model ---- */

/* What it wrote becomes advice, or the reason why it does not. False: no memory. */
static bool judge(struct api_advice *a)
{
    struct arena *arena = &a->req->arena;
    struct json doc = {.root = NULL};
    enum advice_reason why = a->ask.why;
    if (a->question == ADVICE_EXPLAIN) {
        if (a->ask.answered)
            why = advice_prose(buf_view(&a->ask.reply), json_get(a->doc.root, "last_evaluation"),
                               &a->prose);
        advice_reject(&a->advice, why);
        a->advice.accepted = why == ADVICE_REASON_OK;
        return true;
    }
    if (a->ask.answered && !advice_read(buf_view(&a->ask.reply), arena, &doc, &why))
        return false;
    if (why == ADVICE_REASON_OK)
        return advice_check(a->conf->schema, a->question, doc.root, a->current, arena, &a->advice);
    advice_reject(&a->advice, why);
    return true;
}

static void on_done(struct advisor_ask *ask)
{
    struct api_advice *a = ask->arg;
    bool wanted = a->source == FROM_EITHER || a->question == ADVICE_EXPLAIN;
    if (ask->error == LLM_ERR_RATE_LIMITED && ask->attempts == 0) { /* the caller's own limits */
        api_error(a->req, LLM_NATIVE, ask->error, 0, STRV_NONE, STRV_NONE, ask->retry_after_s);
        fini(a);
        return;
    }
    if (!judge(a)) {
        no_memory(a);
        return;
    }
    if (!a->advice.accepted && wanted) {
        a->model_why = a->advice.reason;
        if (!ask_rules(a)) {
            no_memory(a);
            return;
        }
    }
    reply(a);
}

static void on_gone(struct http_request *req)
{
    struct api_advice *a = api_state(req)->advice;
    if (a == NULL)
        return;
    advisor_ask_gone(&a->ask);
    fini(a);
}

static void ask_model(struct api_advice *a)
{
    struct http_request *req = a->req;
    struct advisor_ask *ask = &a->ask;
    ask->env = a->api->env;
    ask->conf = a->conf;
    ask->arena = &req->arena;
    ask->question = a->question;
    ask->asked = a->doc.root;
    ask->done = on_done;
    ask->arg = a;
    ask->caller = (struct exchange_caller){
        .request_id = api_state(req)->request_id,
        .record_id = api_state(req)->record_id,
        .key = api_key_id(req),
        .holder = api_state(req)->key,
        .address = strv_of(req->peer),
        .received_us = req->received_us,
        .bytes_in = (int64_t)req->body.len,
    };
    api_state(req)->advice = a;
    req->on_gone = on_gone;
    if (!advisor_ask(ask))
        no_memory(a);
}

/* ---- the way in ---- */

static enum advice_question question_of(const struct api_route *route)
{
    strv path = strv_of(route->path);
    for (int q = 0; q < ADVICE_QUESTIONS; q++)
        if (strv_ends(path, strv_of(advice_question_name((enum advice_question)q))))
            return (enum advice_question)q;
    return ADVICE_SUGGEST;
}

void api_advise(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct api_advice *a = ARENA_NEW(&req->arena, struct api_advice);
    if (a == NULL) {
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
        return;
    }
    a->api = api;
    a->req = req;
    a->conf = api->advisor;
    a->question = question_of(route);
    a->conf->hold(a->conf->owner);
    buf_init(&a->prose, ADVICE_PROSE_MAX * 4);
    if (!read_question(a, &err)) {
        api_refuse(api, req, LLM_NATIVE, &err);
        fini(a);
        return;
    }
    if (a->previous.id.len > 0)
        api_outcome_note(api, req, &a->previous);
    if (a->source != FROM_RULES) {
        ask_model(a);
    } else if (ask_rules(a)) {
        reply(a);
    } else {
        no_memory(a);
    }
}
