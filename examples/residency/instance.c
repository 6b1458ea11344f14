/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance - prints a problem: residents of three years, leave, wishes, as many places a night as they can just fill.
 * The same seed gives the same problem.
 *
 * usage: residency-instance RESIDENTS SEED        RESIDENTS from 12 to 60
 */
#include <stdio.h>
#include <stdlib.h>

#include "residency.h"

#define LOAD 0.74 /* of the nights that the residents may work are needed */

static void put_days(const char *name, const bool days[DAYS])
{
    const char *comma = "";
    printf(", \"%s\": [", name);
    for (int day = 0; day < DAYS; day++)
        if (days[day]) {
            printf("%s%d", comma, day);
            comma = ", ";
        }
    printf("]");
}

/* One of five is away for a week; everybody has two or three wishes. */
static void put_resident(int who, int n, uint64_t *state)
{
    bool leave[DAYS] = {false}, wish[DAYS] = {false};
    int from = random_below(state, DAYS - 7);
    bool away = random_below(state, 5) == 0;
    for (int day = from; away && day < from + 7; day++)
        leave[day] = true;
    for (int i = 2 + random_below(state, 2); i > 0; i--)
        wish[random_below(state, DAYS)] = true;
    printf("  {\"name\": \"PGY%d-%02d\", \"year\": %d", 1 + who * 3 / n, who + 1, 1 + who * 3 / n);
    put_days("leave", leave);
    put_days("wishes_free", wish);
    printf("}%s\n", who + 1 < n ? "," : "");
}

int main(int argc, char **argv)
{
    int n = argc == 3 ? atoi(argv[1]) : 0;
    if (n < 12 || n > 60) {
        fputs("usage: residency-instance RESIDENTS SEED    (12 to 60 residents)\n", stderr);
        return 2;
    }
    uint64_t state = (uint64_t)strtoull(argv[2], NULL, 10) * 7919 + (uint64_t)n;
    int places = (int)(n * 9 * LOAD / DAYS);
    int faculty = (places * 4 + 3 * 4 - 1) / (3 * 4);
    printf("{\"name\": \"residency-%d-%s\",\n", n, argv[2]);
    printf(" \"loop\": {\"target_score\": 0.97, \"max_iterations\": 60, \"stagnation_limit\": 20, "
           "\"rng_seed\": 42, \"ask_after\": 3},\n");
    printf(" \"params\": {\"algorithm\": \"greedy\", \"timeout_seconds\": 30, "
           "\"diversification_factor\": 0.0},\n");
    printf(" \"residency\": {\"places\": %d, \"faculty\": %d,\n", places, faculty);
    puts("  \"rules\": {\"weekly_hours_max\": 80, \"averaging_weeks\": 4, \"shift_hours\": 12, "
         "\"call_hours\": 24,\n"
         "   \"handover_hours\": 4, \"calls_max\": 9, \"consecutive_duty_days_max\": 6,\n"
         "   \"supervision_units_per_faculty\": 4, \"units_first_year\": 2, \"units_other\": 1},\n"
         "  \"residents\": [");
    for (int who = 0; who < n; who++)
        put_resident(who, n, &state);
    puts(" ]}}");
    return 0;
}
