/* SPDX-License-Identifier: Apache-2.0 */
/* loop - the problem, the lines there and back, what a round leaves behind. */
#include "advisor/loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/digest.h"
#include "advisor/loop_int.h"

#define ARENA_BYTES_MAX   ((size_t)512 << 20)
#define SCRATCH_BYTES_MAX ((size_t)512 << 20)
#define HISTORY           5
#define TYPES_MAX         64
#define TYPE_BYTES_MAX    ((size_t)80)

static const struct {
    const char *word, *status;
} stops[LOOP_STOPS] = {
#define LOOP_STOP(id, word, status, doc) [LOOP_STOP_##id] = {(word), (status)},
#include "advisor/stops.def"
#undef LOOP_STOP
};

const char *loop_stop_word(enum loop_stop s)
{
    return stops[s].word;
}

const char *loop_stop_status(enum loop_stop s)
{
    return stops[s].status;
}

/* ---- the problem ---- */

static bool take_number(yyjson_val *from, const char *key, double min, double max, double *out,
                        struct err *err)
{
    yyjson_val *v = json_get(from, key);
    double n;
    if (v == NULL)
        return true;
    if (!json_is_num(v, &n) || !(n >= min && n <= max))
        return err_field(err, 0, key, "problem: loop.%s: expected a number from %g to %g", key, min,
                         max);
    *out = n;
    return true;
}

static bool take_count(yyjson_val *from, const char *key, int64_t min, int64_t max, int64_t *out,
                       struct err *err)
{
    yyjson_val *v = json_get(from, key);
    int64_t n;
    if (v == NULL)
        return true;
    if (!json_is_int(v, &n) || n < min || n > max)
        return err_field(err, 0, key, "problem: loop.%s: expected a whole number from %lld to %lld",
                         key, (long long)min, (long long)max);
    *out = n;
    return true;
}

/* The words that the advice schema has for `algorithm`, if the problem names none. */
static void default_algorithms(struct loop *l)
{
    const struct advice_param *p = advice_param_find(l->schema, STRV("algorithm"));
    for (size_t i = 0; p != NULL && p->kind == ADVICE_CHOICE && i < p->n_words; i++)
        if (l->conf.n_algorithms < LOOP_ALGORITHMS_MAX)
            l->conf.algorithms[l->conf.n_algorithms++] = p->words[i];
}

static bool take_algorithms(struct loop *l, yyjson_val *list, struct err *err)
{
    size_t i, max;
    yyjson_val *v;
    if (list == NULL) {
        default_algorithms(l);
        return true;
    }
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > LOOP_ALGORITHMS_MAX)
        return err_set(err, 0, "problem: loop.algorithms: expected a list of at most 16 names");
    yyjson_arr_foreach(list, i, max, v)
    {
        if (json_str(v).ptr == NULL)
            return err_set(err, 0, "problem: loop.algorithms: expected names");
        l->conf.algorithms[l->conf.n_algorithms++] = json_str(v);
    }
    return true;
}

static bool take_conf(struct loop *l, yyjson_val *root, struct err *err)
{
    struct loop_conf *c = &l->conf;
    yyjson_val *from = json_get(root, "loop"), *params = json_get(root, "params");
    yyjson_val *adapter = json_get(from, "adapter");
    *c = (struct loop_conf){.target = 0.95,
                            .rounds_max = 200,
                            .stagnation_limit = 20,
                            .seed = 42,
                            .ask_after = 5,
                            .asks_max = 40,
                            .adapter = adapter == NULL || yyjson_get_bool(adapter),
                            .name = json_get_str(root, "name")};
    if (!yyjson_is_obj(root) || (from != NULL && !yyjson_is_obj(from)) ||
        (params != NULL && !yyjson_is_obj(params)))
        return err_set(err, 0, "problem: expected an object, with the objects `loop` and `params`");
    if (adapter != NULL && !yyjson_is_bool(adapter))
        return err_set(err, 0, "problem: loop.adapter: expected true or false");
    if (c->name.ptr == NULL)
        c->name = STRV("problem");
    if (!take_number(from, "target_score", -1e300, 1e300, &c->target, err) ||
        !take_number(from, "time_limit_seconds", 0, 1e9, &c->seconds_max, err) ||
        !take_count(from, "max_iterations", 1, LOOP_ROUNDS_MAX, &c->rounds_max, err) ||
        !take_count(from, "stagnation_limit", 1, LOOP_ROUNDS_MAX, &c->stagnation_limit, err) ||
        !take_count(from, "rng_seed", 0, INT64_C(1) << 53, &c->seed, err) ||
        !take_count(from, "ask_after", 1, LOOP_ROUNDS_MAX, &c->ask_after, err) ||
        !take_count(from, "asks_max", 0, LOOP_ROUNDS_MAX, &c->asks_max, err))
        return false;
    l->params = advice_join(&l->arena, params, NULL);
    return take_algorithms(l, json_get(from, "algorithms"), err) &&
           (l->params.ptr != NULL || err_oom(err));
}

bool loop_init(struct loop *l, const struct advice_schema *schema, strv problem, struct err *err)
{
    struct json doc;
    struct buf line;
    *l = (struct loop){.schema = schema, .asked_since = -1};
    arena_init(&l->arena, 16 * 1024, ARENA_BYTES_MAX);
    arena_init(&l->scratch, 64 * 1024, SCRATCH_BYTES_MAX);
    buf_init(&l->candidate, LOOP_LINE_MAX);
    buf_init(&l->best.candidate, LOOP_LINE_MAX);
    buf_init(&l->best.evaluation, LOOP_LINE_MAX);
    digest_hex(problem, l->digest);
    if (problem.len > LOOP_PROBLEM_MAX)
        return err_set(err, 0, "problem: more than %zu MiB", LOOP_PROBLEM_MAX >> 20);
    if (!json_read(&doc, problem, &l->arena, 0, err) || !take_conf(l, doc.root, err))
        return false;
    buf_init(&line, 2 * LOOP_PROBLEM_MAX);
    if (json_put_val(&line, doc.root, &l->scratch))
        l->problem = arena_strv(&l->arena, buf_view(&line));
    buf_fini(&line);
    arena_reset(&l->scratch);
    return l->problem.ptr != NULL || err_oom(err);
}

void loop_fini(struct loop *l)
{
    buf_fini(&l->candidate);
    buf_fini(&l->best.candidate);
    buf_fini(&l->best.evaluation);
    mem_free(l->records);
    mem_free(l->advice);
    arena_fini(&l->scratch);
    arena_fini(&l->arena);
}

/* ---- when to stop, when to ask ---- */

enum loop_stop loop_due(const struct loop *l)
{
    const struct loop_conf *c = &l->conf;
    if (l->best.round > 0 && l->best.v.score >= c->target)
        return LOOP_STOP_TARGET;
    if (l->rounds >= c->rounds_max)
        return LOOP_STOP_ROUNDS;
    if (l->since >= c->stagnation_limit)
        return LOOP_STOP_STAGNATION;
    if (c->seconds_max > 0 && l->seconds >= c->seconds_max)
        return LOOP_STOP_TIME;
    return LOOP_STOP_NONE;
}

/* Does the last round fail in a way in which none did before? Without a candidate nothing was judged, and the adapter has
 * gone to another method. */
static bool is_new_failure(const struct loop *l)
{
    const struct loop_record *last = l->n_records > 0 ? &l->records[l->n_records - 1] : NULL;
    if (last == NULL || !last->candidate || strv_eq_cstr(last->v.types, "[]"))
        return false;
    for (size_t i = 0; i + 1 < l->n_records; i++)
        if (strv_eq(l->records[i].v.types, last->v.types))
            return false;
    return true;
}

const char *loop_wants_advice(const struct loop *l)
{
    const struct loop_conf *c = &l->conf;
    if ((int64_t)l->n_advice >= c->asks_max || l->best.round == 0)
        return NULL;
    if (l->since >= c->ask_after && l->since % c->ask_after == 0 && l->since != l->asked_since)
        return "stagnation";
    return is_new_failure(l) ? "new_failure" : NULL;
}

/* ---- the question ---- */

static void put_key_text(struct buf *b, bool *first, const char *key, strv text)
{
    json_put_key(b, first, key);
    json_put_str(b, text);
}

static void put_key_num(struct buf *b, bool *first, const char *key, double n)
{
    json_put_key(b, first, key);
    json_put_num(b, n);
}

static void put_key_int(struct buf *b, bool *first, const char *key, int64_t n)
{
    json_put_key(b, first, key);
    buf_put_i64(b, n);
}

static void put_key_bool(struct buf *b, bool *first, const char *key, bool yes)
{
    json_put_key(b, first, key);
    buf_put_cstr(b, yes ? "true" : "false");
}

static void put_key_raw(struct buf *b, bool *first, const char *key, strv json)
{
    json_put_key(b, first, key);
    buf_put_strv(b, json);
}

static void put_state(const struct loop *l, struct buf *b)
{
    const struct loop_conf *c = &l->conf;
    bool first = true;
    buf_put_char(b, '{');
    put_key_text(b, &first, "scenario", c->name);
    put_key_text(b, &first, "status", STRV("running"));
    put_key_int(b, &first, "current_iteration", l->rounds);
    put_key_int(b, &first, "max_iterations", c->rounds_max);
    put_key_num(b, &first, "best_score", l->best.round > 0 ? l->best.v.score : 0);
    put_key_int(b, &first, "best_iteration", l->best.round);
    put_key_num(b, &first, "target_score", c->target);
    put_key_int(b, &first, "stagnation_limit", c->stagnation_limit);
    put_key_int(b, &first, "iterations_since_improvement", l->since);
    put_key_int(b, &first, "rng_seed", c->seed);
    put_key_raw(b, &first, "current_params", l->params);
    buf_put_char(b, '}');
}

static void put_history(const struct loop *l, struct buf *b)
{
    size_t from = l->n_records > HISTORY ? l->n_records - HISTORY : 0;
    buf_put_char(b, '[');
    for (size_t i = from; i < l->n_records; i++) {
        const struct loop_record *r = &l->records[i];
        bool first = true;
        buf_put_cstr(b, i > from ? ",{" : "{");
        put_key_int(b, &first, "iteration", r->round);
        put_key_num(b, &first, "score", r->v.score);
        put_key_bool(b, &first, "valid", r->v.valid);
        put_key_int(b, &first, "critical_violations", r->v.critical);
        put_key_int(b, &first, "total_violations", r->v.total);
        put_key_raw(b, &first, "violation_types", r->v.types);
        put_key_num(b, &first, "duration_seconds", r->seconds);
        put_key_raw(b, &first, "params", r->params);
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
}

bool loop_put_question(struct loop *l, strv source, double seconds, struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    put_key_text(out, &first, "source", source);
    if (seconds > 0)
        put_key_num(out, &first, "timeout_seconds", seconds);
    json_put_key(out, &first, "state");
    put_state(l, out);
    if (l->best.round > 0)
        put_key_raw(out, &first, "last_evaluation", buf_view(&l->best.evaluation));
    json_put_key(out, &first, "history");
    put_history(l, out);
    buf_put_char(out, '}');
    return !out->failed;
}

/* ---- the answer ---- */

static struct loop_advice *next_advice(struct loop *l)
{
    if (l->n_advice == l->advice_cap) {
        size_t cap = l->advice_cap > 0 ? 2 * l->advice_cap : 16;
        struct loop_advice *more = mem_realloc(l->advice, cap * sizeof *more);
        if (more == NULL)
            return NULL;
        l->advice = more;
        l->advice_cap = cap;
    }
    struct loop_advice *a = &l->advice[l->n_advice];
    *a = (struct loop_advice){.round = l->rounds + 1};
    a->why = a->reason = a->source = a->model = a->decision_id = STRV("");
    a->type = a->params = a->reasoning = STRV("");
    a->before = a->after = l->best.round > 0 ? l->best.v.score : 0;
    return a;
}

/* Bounded, and never absent. */
static strv keep(struct loop *l, strv text, size_t max)
{
    strv kept = text.len > 0 ? arena_strv(&l->arena, utf8_cut(text, max)) : STRV("");
    return kept.ptr != NULL ? kept : STRV("");
}

/* The router has checked it, and it is checked here again: what answers may be no router. */
static bool follow(struct loop *l, struct loop_advice *a, yyjson_val *suggestion)
{
    struct json current;
    struct advice v;
    if (!json_read(&current, l->params, &l->scratch, 0, NULL) ||
        !advice_check(l->schema, ADVICE_SUGGEST, suggestion, current.root, &l->scratch, &v))
        return false;
    a->accepted = v.accepted;
    a->reason = strv_of(v.reason);
    if (!v.accepted)
        return true;
    strv merged = v.changes ? arena_strv(&l->arena, v.merged) : l->params;
    if (merged.ptr == NULL)
        return false;
    a->type = v.type;
    a->params = keep(l, v.delta, SIZE_MAX);
    a->reasoning = keep(l, v.reasoning, ADVICE_REASONING_MAX);
    a->applied = l->advised = v.changes;
    l->params = merged;
    return true;
}

static bool read_answer(struct loop *l, struct loop_advice *a, strv answer)
{
    struct json doc;
    struct err err = ERR_INIT;
    a->reason = STRV("unreadable");
    if (!json_read(&doc, answer, &l->scratch, 0, &err) || !yyjson_is_obj(doc.root))
        return err.code != ERR_CODE_OOM;
    yyjson_val *suggestion = json_get(doc.root, "suggestion");
    strv reason = json_get_str(doc.root, "reason");
    a->source = keep(l, json_get_str(doc.root, "source"), 16);
    a->model = keep(l, json_get_str(doc.root, "model"), 128);
    a->decision_id = keep(l, json_get_str(doc.root, "decision_id"), 64);
    if (yyjson_is_true(json_get(doc.root, "accepted")) && yyjson_is_obj(suggestion))
        return follow(l, a, suggestion);
    if (reason.len > 0 && !strv_eq_cstr(reason, "ok"))
        a->reason = keep(l, reason, 64);
    return true;
}

bool loop_take_answer(struct loop *l, const char *why, strv answer, const char *reason)
{
    struct loop_advice *a = next_advice(l);
    if (a == NULL)
        return false;
    a->why = strv_of(why);
    a->reason = strv_of(reason);
    bool ok = answer.ptr == NULL || read_answer(l, a, answer);
    arena_reset(&l->scratch);
    l->asked_since = l->since;
    l->n_advice += ok;
    return ok;
}

bool loop_put_outcome(struct loop *l, struct buf *out)
{
    const struct loop_advice *a = l->n_advice > 0 ? &l->advice[l->n_advice - 1] : NULL;
    bool first = true;
    if (a == NULL || !a->accepted || !a->measured || a->round != l->rounds ||
        a->decision_id.len == 0)
        return false;
    buf_put_char(out, '{');
    put_key_text(out, &first, "decision_id", a->decision_id);
    put_key_bool(out, &first, "applied", a->applied);
    put_key_num(out, &first, "score", a->after);
    buf_put_char(out, '}');
    return !out->failed;
}

/* ---- generator and evaluator ---- */

bool loop_put_problem(struct loop *l, struct buf *out)
{
    buf_put_cstr(out, "{\"op\":\"problem\",\"problem\":");
    buf_put_strv(out, l->problem);
    buf_put_cstr(out, "}\n");
    return !out->failed;
}

/* The run's seed, until a parameter names another one. */
static int64_t seed_of(struct loop *l)
{
    struct json doc;
    if (!json_read(&doc, l->params, &l->scratch, 0, NULL))
        return l->conf.seed;
    return json_get_int(doc.root, "random_seed", l->conf.seed);
}

bool loop_put_generate(struct loop *l, struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    put_key_text(out, &first, "op", STRV("generate"));
    put_key_int(out, &first, "round", l->rounds + 1);
    put_key_int(out, &first, "seed", seed_of(l));
    put_key_raw(out, &first, "params", l->params);
    put_key_raw(out, &first, "best",
                l->best.round > 0 ? buf_view(&l->best.candidate) : STRV("null"));
    buf_put_cstr(out, "}\n");
    arena_reset(&l->scratch);
    return !out->failed;
}

/* An object without `error`, or err. */
static bool read_line(struct loop *l, const char *who, strv line, struct json *doc, struct err *err)
{
    struct err why = ERR_INIT;
    if (!json_read(doc, line, &l->scratch, 0, &why))
        return why.code == ERR_CODE_OOM ? err_oom(err) : err_set(err, 0, "%s: %s", who, why.text);
    if (!yyjson_is_obj(doc->root))
        return err_set(err, 0, "%s: expected a JSON object", who);
    strv error = utf8_cut(json_get_str(doc->root, "error"), 200);
    return error.len == 0 || err_set(err, 0, "%s: " STRV_FMT, who, STRV_ARG(error));
}

/* What a child says that it took, else what was measured. */
static double seconds_of(const struct json *doc, double measured)
{
    double said;
    bool told = json_is_num(json_get(doc->root, "seconds"), &said) && said >= 0 && said < 1e9;
    return told ? said : measured;
}

static bool take_candidate(struct loop *l, const struct json *doc, double seconds, struct err *err)
{
    strv raw;
    if (!json_raw_member(doc, doc->root, "candidate", &raw))
        return err_set(err, 0, "generator: its answer has no `candidate`");
    l->generated_s = seconds_of(doc, seconds);
    if (json_get(doc->root, "candidate") != NULL)
        buf_put_strv(&l->candidate, raw);
    return !l->candidate.failed || err_oom(err);
}

bool loop_take_candidate(struct loop *l, strv line, double seconds, struct err *err)
{
    struct json doc;
    buf_clear(&l->candidate);
    bool ok = read_line(l, "generator", line, &doc, err) && take_candidate(l, &doc, seconds, err);
    arena_reset(&l->scratch);
    return ok;
}

bool loop_put_evaluate(struct loop *l, struct buf *out)
{
    bool first = true;
    buf_put_char(out, '{');
    put_key_text(out, &first, "op", STRV("evaluate"));
    put_key_int(out, &first, "round", l->rounds + 1);
    put_key_raw(out, &first, "candidate", buf_view(&l->candidate));
    buf_put_cstr(out, "}\n");
    return !out->failed;
}

/* ---- the verdict ---- */

static int by_text(const void *a, const void *b)
{
    return strv_cmp(*(const strv *)a, *(const strv *)b);
}

/* Each type once and in order, so that two rounds that fail alike have the same text. */
static bool read_types(struct loop *l, yyjson_val *violations, strv *out)
{
    strv types[TYPES_MAX];
    size_t n = 0, i, max;
    yyjson_val *one;
    struct buf b;
    yyjson_arr_foreach(violations, i, max, one)
    {
        strv type = utf8_cut(json_get_str(one, "type"), TYPE_BYTES_MAX);
        bool there = type.len == 0;
        for (size_t k = 0; k < n && !there; k++)
            there = strv_eq(types[k], type);
        if (!there && n < TYPES_MAX)
            types[n++] = type;
    }
    qsort(types, n, sizeof *types, by_text);
    buf_init(&b, 64 * 1024);
    buf_put_char(&b, '[');
    for (size_t k = 0; k < n; k++) {
        if (k > 0)
            buf_put_char(&b, ',');
        json_put_str(&b, types[k]);
    }
    buf_put_char(&b, ']');
    *out = b.failed ? STRV_NONE : arena_strv(&l->arena, buf_view(&b));
    buf_fini(&b);
    return out->ptr != NULL;
}

bool loop_read_verdict(struct loop *l, yyjson_val *e, struct loop_verdict *v, struct err *err)
{
    struct err why = ERR_INIT;
    yyjson_val *violations = json_get(e, "violations");
    *v = (struct loop_verdict){.types = STRV("[]")};
    if (!yyjson_is_obj(e))
        return err_set(err, 0, "evaluator: its answer has no object `evaluation`");
    if (l->schema->evaluation != NULL && !schema_check(l->schema->evaluation, e, &why))
        return err_set(err, 0, "evaluator: evaluation: %s", why.text);
    if (!json_is_num(json_get(e, "score"), &v->score))
        return err_set(err, 0, "evaluator: evaluation.score: expected a number");
    v->soft = v->score;
    json_is_num(json_get(e, "soft_score"), &v->soft);
    v->total = json_get_int(e, "total_violations", (int64_t)yyjson_arr_size(violations));
    v->critical = json_get_int(e, "critical_violations", 0);
    v->valid = yyjson_is_true(json_get(e, "valid")) && v->critical == 0;
    if (v->critical > 0)
        v->score = 0;
    return violations == NULL || read_types(l, violations, &v->types) || err_oom(err);
}

static bool better(const struct loop_verdict *a, const struct loop_verdict *b)
{
    if (a->valid != b->valid)
        return a->valid;
    if (a->score > b->score || a->score < b->score)
        return a->score > b->score;
    return a->critical < b->critical;
}

/* ---- what a round leaves behind ---- */

static bool take_best(struct loop *l, const struct loop_verdict *v, strv evaluation)
{
    bool first = l->best.round == 0;
    if (!first && !better(v, &l->best.v)) {
        l->since++;
        return true;
    }
    struct buf spare = l->best.candidate;
    buf_clear(&l->best.evaluation);
    if (!buf_put_strv(&l->best.evaluation, evaluation))
        return false;
    l->best.candidate = l->candidate;
    l->candidate = spare;
    l->best.v = *v;
    l->best.params = l->params;
    l->best.round = l->rounds + 1;
    /* Nothing but invalid results: the first one is no gain over none. */
    l->since = first && !v->valid && !(v->score > 0) ? 1 : 0;
    l->asked_since = -1;
    return true;
}

struct loop_record *loop_next_record(struct loop *l)
{
    if (l->n_records == l->records_cap) {
        size_t cap = l->records_cap > 0 ? 2 * l->records_cap : 64;
        struct loop_record *more = mem_realloc(l->records, cap * sizeof *more);
        if (more == NULL)
            return NULL;
        l->records = more;
        l->records_cap = cap;
    }
    struct loop_record *r = &l->records[l->n_records];
    *r = (struct loop_record){.rule = STRV(""), .v.types = STRV("[]")};
    return r;
}

struct loop_advice *loop_next_advice(struct loop *l)
{
    return next_advice(l);
}

/* How the advice of this round has worked out. */
static void measure(struct loop *l)
{
    struct loop_advice *a = l->n_advice > 0 ? &l->advice[l->n_advice - 1] : NULL;
    if (a == NULL || a->round != l->rounds || a->measured)
        return;
    a->after = l->best.round > 0 ? l->best.v.score : 0;
    a->measured = true;
}

static bool end_round(struct loop *l, const struct loop_record *r)
{
    l->records[l->n_records++] = *r;
    l->seconds += r->seconds;
    l->rounds++;
    measure(l);
    if (!loop_adapt(l, &l->records[l->n_records - 1].rule))
        return false;
    l->advised = false;
    buf_clear(&l->candidate);
    return true;
}

static bool judge(struct loop *l, strv line, double seconds, struct loop_record *r, struct err *err)
{
    struct json doc;
    strv raw;
    if (!read_line(l, "evaluator", line, &doc, err))
        return false;
    yyjson_val *e = json_get(doc.root, "evaluation");
    if (!loop_read_verdict(l, e, &r->v, err) ||
        !json_raw_member(&doc, doc.root, "evaluation", &raw))
        return false;
    r->candidate = true;
    r->seconds += seconds_of(&doc, seconds);
    bool ok = take_best(l, &r->v, raw);
    r->best = l->best.round == r->round;
    return ok || err_oom(err);
}

bool loop_take_evaluation(struct loop *l, strv line, double seconds, struct err *err)
{
    struct loop_record *slot = loop_next_record(l);
    if (slot == NULL)
        return err_oom(err);
    struct loop_record r = *slot;
    r.round = l->rounds + 1;
    r.params = l->params;
    r.advised = l->advised;
    r.seconds = l->generated_s;
    if (line.ptr == NULL)
        r.v.types = STRV("[\"NO_CANDIDATE\"]");
    bool ok = (line.ptr == NULL || judge(l, line, seconds, &r, err)) &&
              (end_round(l, &r) || err_oom(err));
    arena_reset(&l->scratch);
    return ok;
}

/* ---- what it brought ---- */

size_t loop_tally(const struct loop *l, struct loop_tally out[LOOP_TALLIES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_advice; i++) {
        const struct loop_advice *a = &l->advice[i];
        strv type = a->type.len > 0 ? a->type : STRV("none");
        size_t k = 0;
        while (k < n && !strv_eq(out[k].type, type))
            k++;
        if (k == LOOP_TALLIES_MAX)
            continue;
        if (k == n)
            out[n++] = (struct loop_tally){.type = type};
        out[k].asked++;
        out[k].accepted += a->accepted;
        out[k].applied += a->applied;
        out[k].gain += a->applied && a->measured ? a->after - a->before : 0;
    }
    return n;
}
