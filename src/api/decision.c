/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decision - the log of advice: what was given is noted when it is answered, what became of it when the caller tells.
 *
 *   POST /advisor/outcome {"decision_id": "...", "applied": true, "score": 0.83}
 *
 * The same object may stand as `previous` in the next question, which costs a caller nothing. It counts once, and only from
 * the key that the advice was given to. Nobody waits for the log, and nothing depends on it.
 */
#include "advisor/advisor.h"
#include "api/api_int.h"

#define SCORE_MAX 1e9

static void keep(char *out, size_t size, strv text)
{
    text = utf8_cut(text, size - 1);
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

static void note(struct api *api, const struct ledger_decision *d)
{
    if (!ledger_decide(api->env->ledger, d))
        metric_add(api->env->metrics, METRIC_LEDGER_LOST, 0, 1);
    audit_note_advice(api->env->audit, d);
}

static void begin(struct api *api, struct http_request *req, struct ledger_decision *d)
{
    *d = (struct ledger_decision){.wall_us = io_wall_us(api->env->loop)};
    keep(d->key, sizeof d->key, strv_of(api_key_id(req)));
}

/* ---- what was given ---- */

static void fill_question(const struct api_decision *in, struct ledger_decision *d)
{
    double best;
    const struct advice_schema *s = in->schema;
    digest_hex(in->asked, d->asked);
    d->scored = json_is_num(json_get(in->state, "best_score"), &best) && best >= -SCORE_MAX &&
                best <= SCORE_MAX;
    d->score_before = d->scored ? best : 0;
    d->schema_version = s->version;
    keep(d->schema, sizeof d->schema, s->name);
    keep(d->schema_digest, sizeof d->schema_digest, strv_of(s->digest));
    if (in->template == NULL)
        return;
    d->template_version = in->template->version;
    keep(d->template_digest, sizeof d->template_digest, strv_of(in->template->digest));
}

void api_decided(struct api *api, struct http_request *req, const struct api_decision *in)
{
    struct ledger_decision d;
    const struct advice *v = in->advice;
    begin(api, req, &d);
    fill_question(in, &d);
    d.question = advice_question_name(in->question);
    d.source = in->source;
    d.accepted = v->accepted;
    d.latency_us = in->latency_us;
    keep(d.id, sizeof d.id, api_state(req)->record_id);
    keep(d.reason, sizeof d.reason, strv_of(v->reason));
    keep(d.provider, sizeof d.provider, strv_of(in->provider));
    keep(d.model, sizeof d.model, in->provider != NULL ? in->model : STRV_NONE);
    if (v->accepted) {
        keep(d.type, sizeof d.type, v->type);
        keep(d.params, sizeof d.params, v->delta.len < sizeof d.params ? v->delta : STRV_NONE);
    }
    note(api, &d);
}

/* ---- what became of it ---- */

static bool bad(struct err *err, const char *field, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: %s", field, what);
}

bool api_outcome_read(yyjson_val *from, struct api_outcome *out, struct err *err)
{
    yyjson_val *applied = json_get(from, "applied");
    out->id = json_get_str(from, "decision_id");
    if (!yyjson_is_obj(from))
        return bad(err, "previous", "expected an object");
    if (out->id.ptr == NULL || !ledger_id_fits(out->id))
        return bad(err, "decision_id", "expected the id that an answer told");
    if (!yyjson_is_bool(applied))
        return bad(err, "applied", "expected true or false");
    if (!json_is_num(json_get(from, "score"), &out->score) ||
        !(out->score >= -SCORE_MAX && out->score <= SCORE_MAX))
        return bad(err, "score", "expected a number: the best score since");
    out->applied = yyjson_get_bool(applied);
    return true;
}

void api_outcome_note(struct api *api, struct http_request *req, const struct api_outcome *o)
{
    struct ledger_decision d;
    begin(api, req, &d);
    d.outcome = true;
    d.applied = o->applied;
    d.score_after = o->score;
    keep(d.id, sizeof d.id, o->id);
    note(api, &d);
}

void api_advice_outcome(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct json doc;
    struct api_outcome o;
    (void)route;
    if (!dialect_root(&doc, req->body, &req->arena, &err) ||
        !api_outcome_read(doc.root, &o, &err)) {
        api_refuse(api, req, LLM_NATIVE, &err);
        return;
    }
    api_outcome_note(api, req, &o);
    http_reply_whole(req, 200, "application/json", STRV("{\"noted\":true}"));
}
