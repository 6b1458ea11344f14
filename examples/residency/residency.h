/* SPDX-License-Identifier: Apache-2.0 */
/*
 * residency - the night calls of a residency programme: who is in the house in which of 28 nights.
 *
 *   roster   night by night, who is on call; that is all that is decided, the rest follows from it:
 *            a call begins in the morning and is 24 hours in the house, then up to 4 hours of hand-over
 *            the day after a call is no working day; before a Saturday's call the Friday is free
 *            every other weekday is a shift, Saturday and Sunday are free
 *
 * Hard (critical, the score is 0): 80 hours a week over 4 weeks; no call after a call (rest after 24 hours) and none on
 * leave; supervision, 4 units of a faculty member a night, a first-year resident counts 2 and the others 1, and somebody
 * beyond the first year is there. High: every third night at most on average; one day in seven free. Numbers are in the
 * problem file. Soft: every place filled, nobody irreplaceable, equal loads, wishes.
 *
 * Days are numbered from 0, a Monday. Everything counts its work in steps and none in time, so the same call has the same
 * answer on every machine.
 */
#ifndef RESIDENCY_H
#define RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

#define DAYS             28
#define RESIDENTS_MAX    96
#define SLOTS_MAX        24
#define STEPS_PER_SECOND 400 /* looks at a roster that count as a second of timeout_seconds */

struct resident {
    char name[32];
    int year; /* 1 = first */
    bool leave[DAYS];
    bool wish[DAYS]; /* would rather not be on call */
};

struct residency {
    struct resident residents[RESIDENTS_MAX];
    int n, slots, faculty; /* on call each night */
    int shift_hours, call_hours, handover_hours;
    int week_hours_max, weeks, calls_max, duty_days_max;
    int units_per_faculty, units_first_year, units_other;
    int wishes; /* all of them */
};

struct roster {
    bool on[RESIDENTS_MAX][DAYS];
};

enum part { COMPLIANCE, COVERAGE, RESILIENCE, BALANCE, PREFERENCE, PARTS };
extern const char *const part_names[PARTS];
extern const double part_weights[PARTS];

enum fault {
    FAULT_HOURS,
    FAULT_REST,
    FAULT_SUPERVISION,
    FAULT_NIGHTS,
    FAULT_DAY_OFF,
    FAULT_GAP,
    FAULT_N1,
    FAULT_N2,
    FAULT_ORANGE,
    FAULT_RED,
    FAULT_BLACK,
    FAULTS
};
extern const struct fault_row {
    const char *type, *severity;
    double penalty;      /* of the compliance part */
    bool critical, duty; /* duty: it belongs to the compliance part */
} fault_rows[FAULTS];

struct judgement {
    double part[PARTS];
    double score, soft;
    int faults[FAULTS], critical, total;
};
/* `fault` (may be NULL) is told of each: resident -1 and day -1 where there is none, and how much. */
typedef void (*fault_fn)(void *arg, enum fault fault, int resident, int day, int amount);
void judge(const struct residency *p, const struct roster *r, fault_fn fault, void *arg,
           struct judgement *out);

/* What the parameters of a round say. */
struct wishes {
    char algorithm[16];
    double timeout_seconds, diversification;
    int neighborhood, restarts;
    double weights[PARTS];
    uint64_t seed;
};

bool free_for_call(const struct residency *p, const struct roster *r, int resident, int day);
/* Each fills `out`; false: this method has no roster. `best` may be NULL. *steps: how much work it was. */
bool greedy(const struct residency *p, const struct wishes *w, struct roster *out, long *steps);
bool improve(const struct residency *p, const struct wishes *w, struct roster *out, long *steps);
/* As a mixed-integer program. `why` gets a constant. */
bool exact(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
           const char **why);
/* Its relaxation, rounded: nearly a roster, for the search to go on from. */
bool relaxed(const struct residency *p, const struct wishes *w, struct roster *out, long *steps,
             const char **why);

/* ---- problem.c: JSON ---- */

/* NULL = all is well; else what is wrong, a constant. */
const char *read_problem(yyjson_val *root, struct residency *out);
void read_wishes(yyjson_val *asked, struct wishes *out);
bool read_roster(const struct residency *p, yyjson_val *v, struct roster *out);
yyjson_mut_val *write_roster(const struct residency *p, const struct roster *r,
                             yyjson_mut_doc *doc);
/* The program: a line of standard input after the other; {"op":"problem",...} first, then questions with this `op`.
 * Returns its exit status: 1 if nobody reads. */
int answer_lines(const char *op, bool (*fn)(const struct residency *p, yyjson_val *asked));
/* Writes the document as a line and frees it. False: nobody reads. */
bool answer(yyjson_mut_doc *doc);
bool answer_error(const char *text);

/* A small generator of random numbers (splitmix64, public domain by its author, 2015). */
uint64_t random_next(uint64_t *state);
int random_below(uint64_t *state, int n);

#endif
