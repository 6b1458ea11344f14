/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_state - a run as one JSON document: what a later process goes on from, and the report for programs.
 *
 * Whatever is read is checked as if a stranger had written it: the file lies beside the problem, where people edit.
 */
#include <string.h>

#include "advisor/loop_int.h"

#define FORMAT 1

/* ---- writing ---- */

struct writer {
    struct buf *b;
    bool first;
};

static void put_text(struct writer *w, const char *key, strv text)
{
    json_put_key(w->b, &w->first, key);
    json_put_str(w->b, text);
}

static void put_int(struct writer *w, const char *key, int64_t n)
{
    json_put_key(w->b, &w->first, key);
    buf_put_i64(w->b, n);
}

static void put_num(struct writer *w, const char *key, double n)
{
    json_put_key(w->b, &w->first, key);
    json_put_num(w->b, n);
}

static void put_bool(struct writer *w, const char *key, bool yes)
{
    json_put_key(w->b, &w->first, key);
    buf_put_cstr(w->b, yes ? "true" : "false");
}

static void put_raw(struct writer *w, const char *key, strv json)
{
    json_put_key(w->b, &w->first, key);
    buf_put_strv(w->b, json);
}

/* A list or an object as a member; close it with its last character. */
static struct writer open_member(struct writer *w, const char *key, char bracket)
{
    json_put_key(w->b, &w->first, key);
    buf_put_char(w->b, bracket);
    return (struct writer){w->b, true};
}

static struct writer open_element(struct writer *list)
{
    if (!list->first)
        buf_put_char(list->b, ',');
    list->first = false;
    buf_put_cstr(list->b, "\n{");
    return (struct writer){list->b, true};
}

static void put_conf(struct writer *w, const struct loop_conf *c)
{
    put_text(w, "name", c->name);
    put_num(w, "target_score", c->target);
    put_int(w, "max_iterations", c->rounds_max);
    put_int(w, "stagnation_limit", c->stagnation_limit);
    put_num(w, "time_limit_seconds", c->seconds_max);
    put_int(w, "rng_seed", c->seed);
}

static void put_record(struct writer *list, const struct loop_record *r)
{
    struct writer w = open_element(list);
    put_int(&w, "round", r->round);
    put_bool(&w, "candidate", r->candidate);
    put_num(&w, "score", r->v.score);
    put_num(&w, "soft_score", r->v.soft);
    put_bool(&w, "valid", r->v.valid);
    put_int(&w, "critical_violations", r->v.critical);
    put_int(&w, "total_violations", r->v.total);
    put_raw(&w, "violation_types", r->v.types);
    put_bool(&w, "best", r->best);
    put_bool(&w, "advised", r->advised);
    put_num(&w, "seconds", r->seconds);
    put_raw(&w, "params", r->params);
    put_text(&w, "rule", r->rule);
    buf_put_char(w.b, '}');
}

static void put_advice(struct writer *list, const struct loop_advice *a)
{
    struct writer w = open_element(list);
    put_int(&w, "round", a->round);
    put_text(&w, "why", a->why);
    put_bool(&w, "accepted", a->accepted);
    put_bool(&w, "applied", a->applied);
    put_text(&w, "reason", a->reason);
    put_text(&w, "source", a->source);
    put_text(&w, "model", a->model);
    put_text(&w, "decision_id", a->decision_id);
    put_text(&w, "type", a->type);
    put_raw(&w, "params", a->params.len > 0 ? a->params : STRV("null"));
    put_text(&w, "reasoning", a->reasoning);
    put_num(&w, "before", a->before);
    put_num(&w, "after", a->after);
    put_bool(&w, "measured", a->measured);
    buf_put_char(w.b, '}');
}

static void put_best(struct writer *w, const struct loop *l)
{
    if (l->best.round == 0)
        return;
    struct writer best = open_member(w, "best", '{');
    put_int(&best, "round", l->best.round);
    put_num(&best, "score", l->best.v.score);
    put_raw(&best, "params", l->best.params);
    put_raw(&best, "evaluation", buf_view(&l->best.evaluation));
    put_raw(&best, "candidate", buf_view(&l->best.candidate));
    buf_put_char(w->b, '}');
}

static void put_tallies(struct writer *w, const struct loop *l)
{
    struct loop_tally rows[LOOP_TALLIES_MAX];
    size_t n = loop_tally(l, rows);
    struct writer list = open_member(w, "advice_by_type", '[');
    for (size_t i = 0; i < n; i++) {
        struct writer row = open_element(&list);
        put_text(&row, "type", rows[i].type);
        put_int(&row, "asked", rows[i].asked);
        put_int(&row, "accepted", rows[i].accepted);
        put_int(&row, "applied", rows[i].applied);
        put_num(&row, "gain", rows[i].gain);
        buf_put_char(w->b, '}');
    }
    buf_put_char(w->b, ']');
}

bool loop_save(struct loop *l, struct buf *out)
{
    struct writer w = {out, true};
    buf_put_char(out, '{');
    put_int(&w, "llm_router_loop", FORMAT);
    put_text(&w, "problem_sha256", strv_of(l->digest));
    put_conf(&w, &l->conf);
    put_text(&w, "status", strv_of(loop_stop_status(l->stop)));
    put_text(&w, "stop_reason", strv_of(loop_stop_word(l->stop)));
    put_int(&w, "rounds", l->rounds);
    put_int(&w, "iterations_since_improvement", l->since);
    put_int(&w, "asked_since", l->asked_since);
    put_num(&w, "seconds", l->seconds);
    put_raw(&w, "params", l->params);
    put_best(&w, l);
    put_tallies(&w, l);
    struct writer advice = open_member(&w, "advice", '[');
    for (size_t i = 0; i < l->n_advice; i++)
        put_advice(&advice, &l->advice[i]);
    buf_put_char(out, ']');
    struct writer records = open_member(&w, "records", '[');
    for (size_t i = 0; i < l->n_records; i++)
        put_record(&records, &l->records[i]);
    buf_put_cstr(out, "]}\n");
    return !out->failed;
}

/* ---- reading ---- */

static bool unsound(struct err *err, const char *what)
{
    return err_set(err, 0, "state file: %s", what);
}

static double num_of(yyjson_val *obj, const char *key)
{
    double n = 0;
    return json_is_num(json_get(obj, key), &n) ? n : 0;
}

static strv text_of(yyjson_val *obj, const char *key)
{
    strv text = json_get_str(obj, key);
    return text.ptr != NULL ? text : STRV("");
}

static bool flag_of(yyjson_val *obj, const char *key)
{
    return yyjson_is_true(json_get(obj, key));
}

/* One line, of the run's own; ptr NULL: no memory. */
static strv line_of(struct loop *l, yyjson_val *v)
{
    struct buf b;
    buf_init(&b, LOOP_LINE_MAX);
    strv text = json_put_val(&b, v, &l->scratch) ? arena_strv(&l->arena, buf_view(&b)) : STRV_NONE;
    buf_fini(&b);
    return text;
}

static bool take_record(struct loop *l, yyjson_val *from, struct err *err)
{
    struct loop_record *r = loop_next_record(l);
    yyjson_val *params = json_get(from, "params"), *types = json_get(from, "violation_types");
    if (r == NULL)
        return err_oom(err);
    r->round = json_get_int(from, "round", 0);
    if (r->round != (int64_t)l->n_records + 1 || !yyjson_is_obj(params) || !yyjson_is_arr(types))
        return unsound(err, "a record is not as it was written");
    r->candidate = flag_of(from, "candidate");
    r->best = flag_of(from, "best");
    r->advised = flag_of(from, "advised");
    r->v.score = num_of(from, "score");
    r->v.soft = num_of(from, "soft_score");
    r->v.valid = flag_of(from, "valid");
    r->v.critical = json_get_int(from, "critical_violations", 0);
    r->v.total = json_get_int(from, "total_violations", 0);
    r->seconds = num_of(from, "seconds");
    r->rule = text_of(from, "rule");
    r->v.types = line_of(l, types);
    r->params = line_of(l, params);
    if (r->v.types.ptr == NULL || r->params.ptr == NULL)
        return err_oom(err);
    l->n_records++;
    return true;
}

static bool take_advice(struct loop *l, yyjson_val *from, struct err *err)
{
    struct loop_advice *a = loop_next_advice(l);
    yyjson_val *params = json_get(from, "params");
    if (a == NULL)
        return err_oom(err);
    a->round = json_get_int(from, "round", 0);
    a->why = text_of(from, "why");
    a->accepted = flag_of(from, "accepted");
    a->applied = flag_of(from, "applied");
    a->reason = text_of(from, "reason");
    a->source = text_of(from, "source");
    a->model = text_of(from, "model");
    a->decision_id = text_of(from, "decision_id");
    a->type = text_of(from, "type");
    a->params = params != NULL ? line_of(l, params) : STRV("");
    a->reasoning = text_of(from, "reasoning");
    a->before = num_of(from, "before");
    a->after = num_of(from, "after");
    a->measured = flag_of(from, "measured");
    if (a->params.ptr == NULL)
        return err_oom(err);
    l->n_advice++;
    return true;
}

static bool take_list(struct loop *l, yyjson_val *list, struct err *err,
                      bool (*take)(struct loop *l, yyjson_val *from, struct err *err))
{
    size_t i, max;
    yyjson_val *one;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > LOOP_ROUNDS_MAX)
        return unsound(err, "a list is missing or too long");
    yyjson_arr_foreach(list, i, max, one)
    {
        if (!take(l, one, err))
            return false;
    }
    return true;
}

static bool take_best(struct loop *l, const struct json *doc, yyjson_val *best, struct err *err)
{
    strv candidate, evaluation;
    yyjson_val *params = json_get(best, "params");
    if (best == NULL)
        return true;
    l->best.round = json_get_int(best, "round", 0);
    if (!json_raw_member(doc, best, "candidate", &candidate) ||
        !json_raw_member(doc, best, "evaluation", &evaluation) || !yyjson_is_obj(params) ||
        l->best.round < 1 || l->best.round > (int64_t)l->n_records)
        return unsound(err, "its best result is not as it was written");
    if (!loop_read_verdict(l, json_get(best, "evaluation"), &l->best.v, err))
        return false;
    l->best.params = line_of(l, params);
    buf_put_strv(&l->best.candidate, candidate);
    buf_put_strv(&l->best.evaluation, evaluation);
    bool ok = !l->best.candidate.failed && !l->best.evaluation.failed && l->best.params.ptr != NULL;
    return ok || err_oom(err);
}

static bool take_all(struct loop *l, const struct json *doc, struct err *err)
{
    yyjson_val *root = doc->root, *params = json_get(root, "params");
    if (json_get_int(root, "llm_router_loop", 0) != FORMAT)
        return unsound(err, "it is none, or of another version");
    if (!strv_eq_cstr(text_of(root, "problem_sha256"), l->digest))
        return unsound(err, "it belongs to another problem, or the problem was changed");
    if (json_get_int(root, "rng_seed", -1) != l->conf.seed)
        return unsound(err, "it was begun with another seed");
    if (!yyjson_is_obj(params))
        return unsound(err, "it has no parameters");
    if (!take_list(l, json_get(root, "records"), err, take_record) ||
        !take_list(l, json_get(root, "advice"), err, take_advice) ||
        !take_best(l, doc, json_get(root, "best"), err))
        return false;
    l->rounds = (int64_t)l->n_records;
    l->since = json_get_int(root, "iterations_since_improvement", 0);
    l->asked_since = json_get_int(root, "asked_since", -1);
    l->seconds = num_of(root, "seconds");
    l->params = line_of(l, params);
    return l->params.ptr != NULL || err_oom(err);
}

bool loop_resume(struct loop *l, strv state, struct err *err)
{
    struct json doc;
    struct err why = ERR_INIT;
    if (!json_read(&doc, state, &l->arena, 0, &why))
        return why.code == ERR_CODE_OOM ? err_oom(err) : unsound(err, why.text);
    bool ok = take_all(l, &doc, err);
    arena_reset(&l->scratch);
    return ok;
}
