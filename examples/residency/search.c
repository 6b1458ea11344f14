/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search - two methods: greedy fills night after night and looks at nothing but who is free; improve moves single calls
 * from one resident to another, and sometimes accepts a worse roster, less and less (simulated annealing).
 *
 * A second of timeout_seconds is STEPS_PER_SECOND looks at a roster, whatever the machine.
 */
#include <math.h>
#include <string.h>

#include "residency.h"

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int random_below(uint64_t *state, int n)
{
    return (int)(random_next(state) % (uint64_t)n);
}

static double random_part(uint64_t *state)
{
    return (double)(random_next(state) >> 11) / 9007199254740992.0;
}

/* ---- greedy ---- */

/* The free resident with the fewest calls so far; chance decides among equals. -1 = nobody is free. */
static int next_free(const struct residency *p, const struct roster *r, const int calls[], int day,
                     uint64_t *state)
{
    int found = -1;
    double least = 1e9;
    for (int who = 0; who < p->n; who++) {
        double rank = calls[who] + random_part(state) * 0.9;
        if (calls[who] < p->calls_max && free_for_call(p, r, who, day) && rank < least) {
            least = rank;
            found = who;
        }
    }
    return found;
}

bool greedy(const struct residency *p, const struct wishes *w, struct roster *out, long *steps)
{
    int calls[RESIDENTS_MAX] = {0};
    uint64_t state = w->seed;
    memset(out, 0, sizeof *out);
    for (int day = 0; day < DAYS; day++)
        for (int slot = 0; slot < p->slots; slot++) {
            int who = next_free(p, out, calls, day, &state);
            ++*steps;
            if (who < 0)
                break;
            out->on[who][day] = true;
            calls[who]++;
        }
    return true;
}

/* ---- improve ---- */

/* One of the residents whom a broken rule is about; each as likely as any other. */
struct trouble {
    uint64_t *state;
    int who, n; /* -1 = nobody */
};

static void on_fault(void *arg, enum fault fault, int resident, int day, int amount)
{
    struct trouble *t = arg;
    (void)fault, (void)day, (void)amount;
    if (resident >= 0 && random_below(t->state, ++t->n) == 0)
        t->who = resident;
}

/* The score with the round's weights, but each broken rule costs, however many there are: so every step towards a sound
 * roster is seen. */
static double worth(const struct residency *p, const struct wishes *w, const struct roster *r,
                    struct trouble *t)
{
    struct judgement j;
    double sum = 0, lost = 0;
    t->who = -1;
    t->n = 0;
    judge(p, r, on_fault, t, &j);
    for (int i = COVERAGE; i < PARTS; i++)
        sum += part_weights[i] * w->weights[i] * j.part[i];
    for (int f = 0; f < FAULTS; f++)
        lost += j.faults[f] * fault_rows[f].penalty * (fault_rows[f].critical ? 2 : 1);
    return sum - part_weights[COMPLIANCE] * w->weights[COMPLIANCE] * lost;
}

struct move {
    int from, to, day; /* from -1: to is added; to -1: from is taken away */
};

static void make(struct roster *r, struct move m)
{
    if (m.from >= 0)
        r->on[m.from][m.day] = false;
    if (m.to >= 0)
        r->on[m.to][m.day] = true;
}

static void take_back(struct roster *r, struct move m)
{
    if (m.to >= 0)
        r->on[m.to][m.day] = false;
    if (m.from >= 0)
        r->on[m.from][m.day] = true;
}

/* A call of the night goes to somebody who is free then; an empty place is filled. */
static struct move pick(const struct residency *p, const struct roster *r, int day, uint64_t *state)
{
    struct move m = {-1, -1, day};
    int on = 0, free = 0;
    for (int who = 0; who < p->n; who++) {
        if (r->on[who][m.day] && random_below(state, ++on) == 0)
            m.from = who;
        if (free_for_call(p, r, who, m.day) && random_below(state, ++free) == 0)
            m.to = who;
    }
    if (on < p->slots && m.to >= 0)
        m.from = -1;
    return m;
}

/* One of his nights; -1 = he has none. */
static int night_of(const struct roster *r, int who, uint64_t *state)
{
    int found = -1, n = 0;
    for (int day = 0; who >= 0 && day < DAYS; day++)
        if (r->on[who][day] && random_below(state, ++n) == 0)
            found = day;
    return found;
}

/* The next step: every other time it is a call of `who`, whom a broken rule is about. */
static struct move propose(const struct residency *p, const struct roster *r, int who,
                           uint64_t *state)
{
    int night = random_below(state, 2) == 0 ? night_of(r, who, state) : -1;
    if (night >= 0) {
        struct move m = pick(p, r, night, state);
        m.from = who;
        return m;
    }
    return pick(p, r, random_below(state, DAYS), state);
}

/* So many of the calls are moved at random: where the search begins. */
static void shake(const struct residency *p, const struct wishes *w, struct roster *r,
                  uint64_t *state)
{
    int moves = (int)(w->diversification * DAYS * p->slots);
    for (int i = 0; i < moves; i++) {
        struct move m = propose(p, r, -1, state);
        if (m.to >= 0)
            make(r, m);
    }
}

static void anneal(const struct residency *p, const struct wishes *w, struct roster *r, long budget,
                   uint64_t *state)
{
    struct roster best = *r;
    struct trouble now_wrong = {.state = state}, then_wrong = now_wrong;
    double now = worth(p, w, r, &now_wrong), most = now;
    for (long i = 0; i < budget; i++) {
        double heat = 0.004 * (1 + w->neighborhood / 10.0) * (1 - (double)i / (double)budget);
        struct move m = propose(p, r, now_wrong.who, state);
        if (m.to < 0)
            continue;
        make(r, m);
        double then = worth(p, w, r, &then_wrong);
        if (then >= now || random_part(state) < exp((then - now) / fmax(heat, 1e-9))) {
            now = then;
            now_wrong = then_wrong;
            if (now > most) {
                most = now;
                best = *r;
            }
        } else {
            take_back(r, m);
        }
    }
    *r = best;
}

bool improve(const struct residency *p, const struct wishes *w, struct roster *out, long *steps)
{
    struct roster start = *out, best = *out;
    uint64_t state = w->seed ^ UINT64_C(0x5bd1e995);
    long budget = (long)(w->timeout_seconds * STEPS_PER_SECOND) / w->restarts;
    double most = -1e9;
    for (int i = 0; i < w->restarts; i++) {
        struct roster r = start;
        shake(p, w, &r, &state);
        anneal(p, w, &r, budget, &state);
        struct trouble any = {.state = &state};
        double value = worth(p, w, &r, &any);
        if (value > most) {
            most = value;
            best = r;
        }
        *steps += budget;
    }
    *out = best;
    return true;
}
