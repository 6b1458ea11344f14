/* SPDX-License-Identifier: Apache-2.0 */
/* judge - what a roster is worth. Used by the evaluator, and by the search to know where to go. */
#include <math.h>
#include <string.h>

#include "residency.h"

const char *const part_names[PARTS] = {"acgme_compliance", "coverage_rate", "resilience",
                                       "load_balance", "preference_alignment"};
const double part_weights[PARTS] = {0.40, 0.25, 0.20, 0.10, 0.05};

const struct fault_row fault_rows[FAULTS] = {
    [FAULT_HOURS] = {"80_HOUR_VIOLATION", "critical", 0.20, true, true},
    [FAULT_REST] = {"REST_VIOLATION", "critical", 0.20, true, true},
    [FAULT_SUPERVISION] = {"SUPERVISION_RATIO_VIOLATION", "critical", 0.20, true, true},
    [FAULT_NIGHTS] = {"CALL_FREQUENCY_VIOLATION", "high", 0.10, false, true},
    [FAULT_DAY_OFF] = {"1_IN_7_VIOLATION", "high", 0.10, false, true},
    [FAULT_GAP] = {"COVERAGE_GAP", "high", 0.10, false, false},
    [FAULT_N1] = {"N1_VULNERABILITY", "high", 0.10, false, false},
    [FAULT_N2] = {"N2_VULNERABILITY", "medium", 0.05, false, false},
    [FAULT_ORANGE] = {"UTILIZATION_ORANGE", "medium", 0.05, false, false},
    [FAULT_RED] = {"UTILIZATION_RED", "high", 0.10, false, false},
    [FAULT_BLACK] = {"UTILIZATION_BLACK", "critical", 0.20, true, false},
};

struct look {
    const struct residency *p;
    const struct roster *r;
    fault_fn fault;
    void *arg;
    struct judgement *out;
};

static void found(struct look *k, enum fault f, int resident, int day, int amount)
{
    k->out->faults[f]++;
    k->out->total++;
    k->out->critical += fault_rows[f].critical;
    if (k->fault != NULL)
        k->fault(k->arg, f, resident, day, amount);
}

static bool is_weekend(int day)
{
    return day % 7 >= 5;
}

/* ---- one resident ---- */

enum kind { FREE, SHIFT, CALL, AFTER };

static enum kind kind_of(const struct look *k, int who, int day)
{
    const bool *on = k->r->on[who];
    if (on[day])
        return CALL;
    if (day > 0 && on[day - 1])
        return AFTER;
    bool friday_off = day % 7 == 4 && on[day + 1];
    return is_weekend(day) || k->p->residents[who].leave[day] || friday_off ? FREE : SHIFT;
}

static void judge_resident(struct look *k, int who)
{
    const struct residency *p = k->p;
    const int hours_of[] = {0, p->shift_hours, p->call_hours, p->handover_hours};
    int hours = 0, calls = 0, run = 0;
    for (int day = 0; day < DAYS; day++) {
        enum kind kind = kind_of(k, who, day);
        hours += hours_of[kind];
        calls += kind == CALL;
        run = kind == FREE ? 0 : run + 1;
        if (run == p->duty_days_max + 1)
            found(k, FAULT_DAY_OFF, who, day, run);
        bool tired = kind == CALL && day > 0 && k->r->on[who][day - 1];
        bool away = kind == CALL && (p->residents[who].leave[day] ||
                                     (day + 1 < DAYS && p->residents[who].leave[day + 1]));
        if (tired || away)
            found(k, FAULT_REST, who, day, 1);
    }
    if (hours > p->week_hours_max * p->weeks)
        found(k, FAULT_HOURS, who, -1, hours);
    if (calls > p->calls_max)
        found(k, FAULT_NIGHTS, who, -1, calls);
}

/* ---- one night ---- */

bool free_for_call(const struct residency *p, const struct roster *r, int who, int day)
{
    const bool *on = r->on[who], *leave = p->residents[who].leave;
    return !on[day] && !leave[day] && (day == 0 || !on[day - 1]) &&
           (day + 1 == DAYS || (!on[day + 1] && !leave[day + 1]));
}

/* Places that are filled. *spare: how many others could take one. */
static int judge_night(struct look *k, int day, const int calls[], int *spare)
{
    const struct residency *p = k->p;
    int filled = 0, units = 0, seniors = 0;
    *spare = 0;
    for (int who = 0; who < p->n; who++) {
        bool first_year = p->residents[who].year == 1;
        if (k->r->on[who][day]) {
            filled++;
            units += first_year ? p->units_first_year : p->units_other;
            seniors += !first_year;
        } else if (calls[who] < p->calls_max && free_for_call(p, k->r, who, day)) {
            ++*spare;
        }
    }
    if (filled > 0 && (seniors == 0 || units > p->units_per_faculty * p->faculty))
        found(k, FAULT_SUPERVISION, -1, day, units);
    if (filled < p->slots)
        found(k, FAULT_GAP, -1, day, p->slots - filled);
    return filled < p->slots ? filled : p->slots;
}

static void judge_nights(struct look *k, const int calls[])
{
    const struct residency *p = k->p;
    int filled = 0, alone = -1, two = -1, capacity = 0, used = 0;
    for (int day = 0; day < DAYS; day++) {
        int spare;
        filled += judge_night(k, day, calls, &spare);
        alone = spare < 1 && alone < 0 ? day : alone;
        two = spare < 2 && two < 0 ? day : two;
    }
    for (int who = 0; who < p->n; who++) {
        capacity += p->calls_max;
        used += calls[who];
    }
    double load = capacity > 0 ? (double)used / capacity : 1;
    enum fault level = load > 0.95 ? FAULT_BLACK : load > 0.90 ? FAULT_RED : FAULT_ORANGE;
    double less = load > 0.95 ? 0.30 : load > 0.90 ? 0.20 : load > 0.80 ? 0.10 : 0;
    if (less > 0)
        found(k, level, -1, -1, (int)(load * 100));
    if (alone >= 0)
        found(k, FAULT_N1, -1, alone, 0);
    if (two >= 0)
        found(k, FAULT_N2, -1, two, 0);
    k->out->part[COVERAGE] = (double)filled / (p->slots * DAYS);
    k->out->part[RESILIENCE] = 1 - less - (alone >= 0 ? 0.25 : 0) - (two >= 0 ? 0.15 : 0);
}

/* ---- all of them ---- */

/* A night of the weekend weighs half as much again. One minus the coefficient of variation. */
static double balance(const struct look *k)
{
    double sum = 0, squares = 0;
    for (int who = 0; who < k->p->n; who++) {
        double load = 0;
        for (int day = 0; day < DAYS; day++)
            if (k->r->on[who][day])
                load += day % 7 >= 4 ? 1.5 : 1;
        sum += load;
        squares += load * load;
    }
    double mean = sum / k->p->n, variance = squares / k->p->n - mean * mean;
    return mean > 0 ? fmax(0, 1 - sqrt(fmax(0, variance)) / mean) : 0;
}

static double preference(const struct look *k)
{
    int broken = 0;
    for (int who = 0; who < k->p->n; who++)
        for (int day = 0; day < DAYS; day++)
            broken += k->r->on[who][day] && k->p->residents[who].wish[day];
    return k->p->wishes > 0 ? 1 - (double)broken / k->p->wishes : 1;
}

void judge(const struct residency *p, const struct roster *r, fault_fn fault, void *arg,
           struct judgement *out)
{
    struct look k = {p, r, fault, arg, out};
    int calls[RESIDENTS_MAX] = {0};
    double lost = 0;
    memset(out, 0, sizeof *out);
    for (int who = 0; who < p->n; who++) {
        for (int day = 0; day < DAYS; day++)
            calls[who] += r->on[who][day];
        judge_resident(&k, who);
    }
    judge_nights(&k, calls);
    for (int f = 0; f < FAULTS; f++)
        if (fault_rows[f].duty)
            lost += out->faults[f] * fault_rows[f].penalty;
    out->part[COMPLIANCE] = fmax(0, 1 - lost);
    out->part[BALANCE] = balance(&k);
    out->part[PREFERENCE] = preference(&k);
    for (int i = 0; i < PARTS; i++)
        out->score += part_weights[i] * out->part[i];
    out->soft = out->score - part_weights[COMPLIANCE] * out->part[COMPLIANCE];
    if (out->critical > 0)
        out->score = 0;
}
