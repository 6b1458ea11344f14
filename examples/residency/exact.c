/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exact - the roster as a mixed-integer program, solved by GLPK: one binary column for each resident and night, the hard
 * rules as rows, gaps as columns that cost. Without GLPK at build time this method has no roster and says so.
 *
 * The search stops after a number of nodes, not of seconds, so it ends the same on every machine. What it has found by
 * then is feasible, not always the best.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "residency.h"

#ifndef HAVE_GLPK

bool exact(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
           const char **why)
{
    (void)p, (void)w, (void)out, (void)steps;
    *why = "this program was built without GLPK (libglpk-dev)";
    return false;
}

bool relaxed(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
             const char **why)
{
    return exact(p, w, out, steps, why);
}

#else

#include <glpk.h>

#define NODES_PER_SECOND 4.0
#define ITERATIONS       200000 /* of the simplex method, for the root */
#define ROW_MAX          (RESIDENTS_MAX + DAYS + 4)

struct model {
    const struct residency *p;
    glp_prob *lp;
    int col[RESIDENTS_MAX][DAYS]; /* 0 = nobody is asked: on leave */
    int gap[DAYS], most, least;
    int n, index[ROW_MAX];
    double value[ROW_MAX];
};

static int add_column(struct model *m, int kind, double high, double cost)
{
    int c = glp_add_cols(m->lp, 1);
    glp_set_col_kind(m->lp, c, kind);
    if (kind != GLP_BV)
        glp_set_col_bnds(m->lp, c, GLP_DB, 0, high);
    glp_set_obj_coef(m->lp, c, cost);
    return c;
}

/* Terms of the next row; a column 0 is none. */
static void term(struct model *m, int column, double value)
{
    if (column == 0)
        return;
    m->n++;
    m->index[m->n] = column;
    m->value[m->n] = value;
}

/* One column may stand in a row twice: GLPK wants the sum. */
static void join_terms(struct model *m)
{
    int kept = 0;
    for (int i = 1; i <= m->n; i++) {
        int at = 1;
        while (at <= kept && m->index[at] != m->index[i])
            at++;
        if (at <= kept) {
            m->value[at] += m->value[i];
        } else {
            kept++;
            m->index[kept] = m->index[i];
            m->value[kept] = m->value[i];
        }
    }
    m->n = kept;
}

static void end_row(struct model *m, int type, double low, double high)
{
    join_terms(m);
    if (m->n > 0) {
        int r = glp_add_rows(m->lp, 1);
        glp_set_row_bnds(m->lp, r, type, low, high);
        glp_set_mat_row(m->lp, r, m->n, m->index, m->value);
    }
    m->n = 0;
}

static void add_columns(struct model *m, const struct wishes *w)
{
    const struct residency *p = m->p;
    uint64_t state = w->seed;
    for (int who = 0; who < p->n; who++)
        for (int day = 0; day < DAYS; day++) {
            const bool *leave = p->residents[who].leave;
            double wish = p->residents[who].wish[day] ? 1.0 * w->weights[PREFERENCE] : 0;
            /* Among equal rosters the seed chooses. */
            double odd =
                (double)random_below(&state, 1000) / 1000 * (0.02 + 0.2 * w->diversification);
            if (!leave[day] && (day + 1 == DAYS || !leave[day + 1]))
                m->col[who][day] = add_column(m, GLP_BV, 1, wish + odd);
        }
    for (int day = 0; day < DAYS; day++)
        m->gap[day] = add_column(m, GLP_IV, p->slots, 50 * w->weights[COVERAGE] + 1);
    m->most = add_column(m, GLP_CV, 2 * DAYS, 8 * w->weights[BALANCE]);
    m->least = add_column(m, GLP_CV, 2 * DAYS, -8 * w->weights[BALANCE]);
}

static void add_nights(struct model *m)
{
    const struct residency *p = m->p;
    for (int day = 0; day < DAYS; day++) {
        for (int who = 0; who < p->n; who++)
            term(m, m->col[who][day], 1);
        term(m, m->gap[day], 1);
        end_row(m, GLP_FX, p->slots, p->slots);
        for (int who = 0; who < p->n; who++)
            term(m, m->col[who][day],
                 p->residents[who].year == 1 ? p->units_first_year : p->units_other);
        end_row(m, GLP_UP, 0, p->units_per_faculty * p->faculty);
        for (int who = 0; who < p->n; who++)
            if (p->residents[who].year != 1)
                term(m, m->col[who][day], 1);
        end_row(m, GLP_LO, 1, 0);
    }
}

/* Hours of the 28 days without any call, and what a call of this day adds to them. */
static int shift_on(const struct residency *p, int who, int day)
{
    return day < DAYS && day % 7 < 5 && !p->residents[who].leave[day] ? p->shift_hours : 0;
}

static int added_by(const struct residency *p, int who, int day)
{
    int more = p->call_hours - shift_on(p, who, day);
    if (day + 1 < DAYS)
        more += p->handover_hours - shift_on(p, who, day + 1);
    if (day % 7 == 5)
        more -= shift_on(p, who, day - 1);
    return more;
}

static void add_free_days(struct model *m, int who)
{
    /* A free weekend day is one without a call and not after one; seven days in a row hold a free one. */
    const struct residency *p = m->p;
    for (int from = 0; from + p->duty_days_max < DAYS; from++) {
        int sure = 0;
        for (int day = from; day <= from + p->duty_days_max; day++) {
            if (p->residents[who].leave[day] && day % 7 < 5)
                sure = 2; /* a day of leave is free, whatever else */
            if (day % 7 >= 5) {
                sure++;
                term(m, m->col[who][day], -1);
                if (day > 0)
                    term(m, m->col[who][day - 1], -1);
            } else if (day % 7 == 4) {
                term(m, m->col[who][day + 1], 1);
            }
        }
        if (sure > 2)
            m->n = 0;
        end_row(m, GLP_LO, 1 - sure, 0);
    }
}

static void add_resident(struct model *m, int who)
{
    const struct residency *p = m->p;
    int base = 0;
    for (int day = 0; day + 1 < DAYS; day++) {
        term(m, m->col[who][day], 1);
        term(m, m->col[who][day + 1], 1);
        end_row(m, GLP_UP, 0, 1);
    }
    for (int day = 3; day + 2 < DAYS;
         day += 7) { /* the Friday before a Saturday's call is to be free */
        term(m, m->col[who][day], 1);
        term(m, m->col[who][day + 2], 1);
        end_row(m, GLP_UP, 0, 1);
    }
    for (int day = 0; day < DAYS; day++)
        term(m, m->col[who][day], 1);
    end_row(m, GLP_UP, 0, p->calls_max);
    for (int day = 0; day < DAYS; day++) {
        base += shift_on(p, who, day);
        term(m, m->col[who][day], added_by(p, who, day));
    }
    end_row(m, GLP_UP, 0, p->week_hours_max * p->weeks - base);
    add_free_days(m, who);
    for (int side = 0; side < 2; side++) {
        for (int day = 0; day < DAYS; day++)
            term(m, m->col[who][day], day % 7 >= 4 ? 1.5 : 1);
        term(m, side == 0 ? m->most : m->least, -1);
        end_row(m, side == 0 ? GLP_UP : GLP_LO, 0, 0);
    }
}

struct limit {
    long nodes, max;
};

static void on_node(glp_tree *tree, void *arg)
{
    struct limit *l = arg;
    if (glp_ios_reason(tree) == GLP_ISELECT && ++l->nodes > l->max)
        glp_ios_terminate(tree);
}

static bool solve_relaxation(struct model *m)
{
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.it_lim = ITERATIONS;
    return glp_simplex(m->lp, &options) == 0 && glp_get_status(m->lp) == GLP_OPT;
}

/* Depth first, since any roster is worth more than a good bound. */
static bool solve(struct model *m, struct limit *limit)
{
    glp_iocp options;
    if (!solve_relaxation(m))
        return false;
    glp_init_iocp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.cb_func = on_node;
    options.cb_info = limit;
    options.bt_tech = GLP_BT_DFS;
    options.br_tech = GLP_BR_LFV;
    options.mip_gap = 0.01;
    glp_intopt(m->lp, &options);
    return glp_mip_status(m->lp) == GLP_OPT || glp_mip_status(m->lp) == GLP_FEAS;
}

static struct model *open_model(const struct residency *p, const struct wishes *w)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    glp_term_out(GLP_OFF);
    m->p = p;
    m->lp = glp_create_prob();
    glp_set_obj_dir(m->lp, GLP_MIN);
    add_columns(m, w);
    add_nights(m);
    for (int who = 0; who < p->n; who++)
        add_resident(m, who);
    return m;
}

static void close_model(struct model *m)
{
    glp_delete_prob(m->lp);
    glp_free_env();
    free(m);
}

bool exact(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
           const char **why)
{
    struct limit limit = {0, (long)(w->timeout_seconds * NODES_PER_SECOND)};
    struct model *m = open_model(p, w);
    *why = m != NULL ? "no roster within its nodes" : "out of memory";
    memset(out, 0, sizeof *out);
    if (m == NULL)
        return false;
    bool ok = solve(m, &limit);
    for (int who = 0; ok && who < p->n; who++)
        for (int day = 0; day < DAYS; day++)
            out->on[who][day] =
                m->col[who][day] > 0 && glp_mip_col_val(m->lp, m->col[who][day]) > 0.5;
    *steps += (long)((double)limit.nodes * STEPS_PER_SECOND / NODES_PER_SECOND);
    close_model(m);
    return ok;
}

/* Night after night, those with the largest part of a call. */
static void round_off(const struct model *m, struct roster *out)
{
    for (int day = 0; day < DAYS; day++)
        for (int slot = 0; slot < m->p->slots; slot++) {
            int best = -1;
            double most = 0;
            for (int who = 0; who < m->p->n; who++) {
                double part = m->col[who][day] > 0 ? glp_get_col_prim(m->lp, m->col[who][day]) : 0;
                if (part > most && free_for_call(m->p, out, who, day)) {
                    most = part;
                    best = who;
                }
            }
            if (best >= 0)
                out->on[best][day] = true;
        }
}

bool relaxed(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
             const char **why)
{
    struct model *m = open_model(p, w);
    *why = m != NULL ? "the relaxation has no solution" : "out of memory";
    memset(out, 0, sizeof *out);
    if (m == NULL)
        return false;
    bool ok = solve_relaxation(m);
    if (ok)
        round_off(m, out);
    *steps += STEPS_PER_SECOND;
    close_model(m);
    return ok;
}

#endif
