/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_adapt - the next parameters by rule: the first row of the table whose condition holds, from the latest records and
 * the parameters of the round that is over.
 *
 * The rules are those of the scheduler's own loop, with three differences. A weight is written under the name that the
 * advice schema knows (coverage_rate), and values stay within the bounds of advice: otherwise one step of the adapter
 * would make every later advice a fault of our own parameters. And a round without any candidate counts as a failure of
 * its method and goes before all others, so that a method that this machine lacks is not asked for until the rounds are over.
 */
#include <math.h>
#include <stdio.h>

#include "advisor/loop_int.h"

#define RECORDS    10
#define DELTA_MAX  256
#define WEIGHT_MAX 2.0

struct look {
    struct loop *l;
    yyjson_val *params;                        /* of the round that is over */
    const struct loop_record *latest[RECORDS]; /* evaluated ones, oldest first */
    size_t n;
    const struct loop_record *last; /* evaluated or not */
    char delta[DELTA_MAX];
};

static double number(const struct look *k, const char *name, double otherwise)
{
    double n;
    return json_is_num(json_get(k->params, name), &n) ? n : otherwise;
}

static bool has_type(const struct loop_record *r, const char *type)
{
    char quoted[64];
    int n = snprintf(quoted, sizeof quoted, "\"%s\"", type);
    for (size_t at = 0; at + (size_t)n <= r->v.types.len; at++)
        if (memcmp(r->v.types.ptr + at, quoted, (size_t)n) == 0)
            return true;
    return false;
}

/* Another one for every round, and the same in every run with the run's seed. */
static int64_t new_seed(const struct look *k)
{
    struct rng rng;
    rng_seed(&rng, (uint64_t)k->l->conf.seed * 1000003 + (uint64_t)k->last->round);
    return (int64_t)rng_below(&rng, INT64_C(1) << 31);
}

static double spread(const struct look *k, size_t n)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = k->n - n; i < k->n; i++) {
        least = fmin(least, k->latest[i]->v.score);
        most = fmax(most, k->latest[i]->v.score);
    }
    return most - least;
}

/* ---- the rules ---- */

static bool stagnation(struct look *k)
{
    if (k->n < 5 || spread(k, 5) > 0.01)
        return false;
    double d = fmin(1, 1.5 * number(k, "diversification_factor", 0) + 0.1);
    snprintf(k->delta, DELTA_MAX, "{\"diversification_factor\":%.4g,\"random_seed\":%lld}", d,
             (long long)new_seed(k));
    return true;
}

static bool more_time(struct look *k)
{
    if (k->last->seconds <= 55 || k->last->v.score >= 0.5)
        return false;
    snprintf(k->delta, DELTA_MAX, "{\"timeout_seconds\":%.6g}",
             fmin(1.5 * number(k, "timeout_seconds", 60), 300));
    return true;
}

static bool next_algorithm(struct look *k)
{
    const struct loop_conf *c = &k->l->conf;
    strv now = json_get_str(k->params, "algorithm");
    size_t i = 0;
    if (c->n_algorithms == 0 || now.ptr == NULL)
        return false;
    while (i < c->n_algorithms && !strv_eq(c->algorithms[i], now))
        i++;
    strv next = c->algorithms[i < c->n_algorithms ? (i + 1) % c->n_algorithms : 0];
    struct buf b;
    buf_init(&b, DELTA_MAX - 1);
    buf_put_cstr(&b, "{\"algorithm\":");
    json_put_str(&b, next);
    buf_put_char(&b, '}');
    snprintf(k->delta, DELTA_MAX, STRV_FMT, STRV_ARG(buf_view(&b)));
    bool ok = !b.failed;
    buf_fini(&b);
    return ok;
}

static bool no_candidate(struct look *k)
{
    return !k->last->candidate && next_algorithm(k);
}

static bool duty_hours(struct look *k)
{
    bool broken = has_type(k->last, "80_HOUR_VIOLATION") || has_type(k->last, "1_IN_7_VIOLATION") ||
                  has_type(k->last, "SUPERVISION_RATIO_VIOLATION");
    return broken && next_algorithm(k);
}

static void put_weight(struct look *k, const char *name, double by)
{
    double w = 1, now;
    if (json_is_num(json_get(json_get(k->params, "constraint_weights"), name), &now))
        w = now;
    w = fmax(0, fmin(WEIGHT_MAX, w + by));
    snprintf(k->delta, DELTA_MAX, "{\"constraint_weights\":{\"%s\":%.4g}}", name, w);
}

static bool more_resilience(struct look *k)
{
    if (!has_type(k->last, "N1_VULNERABILITY"))
        return false;
    put_weight(k, "resilience", 0.2);
    return true;
}

static bool narrow(struct look *k)
{
    if (k->last->v.score < 0.8 || k->last->v.valid)
        return false;
    double near = fmax(1, floor(number(k, "neighborhood_size", 10) / 2));
    double d = fmax(0, number(k, "diversification_factor", 0) - 0.1);
    snprintf(k->delta, DELTA_MAX, "{\"neighborhood_size\":%.0f,\"diversification_factor\":%.4g}",
             near, d);
    return true;
}

static bool less_coverage(struct look *k)
{
    if (!has_type(k->last, "UTILIZATION_RED") && !has_type(k->last, "UTILIZATION_BLACK"))
        return false;
    put_weight(k, "coverage_rate", -0.1);
    return true;
}

static bool restart(struct look *k)
{
    if (k->n < RECORDS)
        return false;
    for (size_t i = 1; i < RECORDS; i++)
        if (k->latest[i]->v.score > k->latest[0]->v.score + 0.001)
            return false;
    snprintf(k->delta, DELTA_MAX, "{\"random_seed\":%lld,\"max_restarts\":3}",
             (long long)new_seed(k));
    return true;
}

static const struct {
    const char *name;
    bool (*fires)(struct look *k); /* and writes the delta */
} rules[] = {
    {"no_candidate_switch", no_candidate},
    {"stagnation_diversification", stagnation},
    {"timeout_increase", more_time},
    {"acgme_algorithm_switch", duty_hours},
    {"n1_weight_increase", more_resilience},
    {"near_feasible_narrow", narrow},
    {"utilization_weight_decrease", less_coverage},
    {"periodic_restart", restart},
};

/* ---- */

static void look_at(struct look *k)
{
    const struct loop *l = k->l;
    size_t found = 0;
    k->last = &l->records[l->n_records - 1];
    for (size_t i = l->n_records; i > 0 && found < RECORDS; i--)
        if (l->records[i - 1].candidate)
            k->latest[RECORDS - ++found] = &l->records[i - 1];
    memmove(k->latest, k->latest + RECORDS - found, found * sizeof *k->latest);
    k->n = found;
}

static bool apply(struct look *k)
{
    struct json delta;
    if (!json_read(&delta, strv_of(k->delta), &k->l->scratch, 0, NULL))
        return false;
    strv params = advice_join(&k->l->arena, k->params, delta.root);
    if (params.ptr == NULL)
        return false;
    k->l->params = params;
    return true;
}

bool loop_adapt(struct loop *l, strv *rule)
{
    struct look k = {.l = l};
    struct json doc;
    *rule = STRV("");
    if (!l->conf.adapter || l->n_records == 0)
        return true;
    if (!json_read(&doc, l->params, &l->scratch, 0, NULL))
        return false;
    k.params = doc.root;
    look_at(&k);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].fires(&k)) {
            *rule = strv_of(rules[i].name);
            return apply(&k);
        }
    return true;
}
