/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads - see reads.h.
 */
#include "reads.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

double reads_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Steps of the golden section go everywhere before they come back; a step that shares no factor with the range comes to
 * each place once. */
size_t reads_place(size_t i, size_t range)
{
    size_t step = range * 618 / 1000;
    for (;; step++) {
        size_t a = range, b = step;
        while (b > 0) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a <= 1)
            return i * step % range;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank; sorts. */
static double quantile_us(double *values, size_t n, size_t percent)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n * percent / 100] / 1000;
}

/* How often another process was given the core in the middle of it. */
static long switches(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? u.ru_nivcsw : 0;
}

void reads_measure(size_t size, double (*read_one)(void *context, size_t i), void *context)
{
    static double took[READS_TEXTS][READS], singles[READS_TEXTS * READS], middle[READS_TEXTS];
    long before = switches();
    for (size_t k = 0; k < READS; k++)
        for (size_t i = 0; i < READS_TEXTS; i++)
            took[i][k] = singles[k * READS_TEXTS + i] = read_one(context, i);
    long during = switches() - before;
    for (size_t i = 0; i < READS_TEXTS; i++) {
        qsort(took[i], READS, sizeof *took[i], by_value);
        middle[i] = took[i][READS / 2];
    }
    printf("{\"bytes\":%zu,\"p50_us\":%.2f,\"p99_us\":%.2f,", size,
           quantile_us(middle, READS_TEXTS, 50), quantile_us(middle, READS_TEXTS, 99));
    printf("\"single_p50_us\":%.2f,\"single_p99_us\":%.2f,\"switches\":%ld}\n",
           quantile_us(singles, READS_TEXTS * READS, 50),
           quantile_us(singles, READS_TEXTS * READS, 99), during);
}
