/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure - histograms; the CPU time and memory of a watched process.
 *
 * CPU time is the scheduler's own sum of run time in nanoseconds over all threads (/proc/PID/task/TID/schedstat). It
 * counts what the kernel did on the process's behalf, and it holds on a busy machine where requests per second
 * do not.
 */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Below 2 * HIST_SUB a slot for each value; above, HIST_SUB slots for each doubling. */
static size_t slot_of(uint64_t v)
{
    if (v < 2 * HIST_SUB)
        return (size_t)v;
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - 7;
    return shift * HIST_SUB + (size_t)(v >> shift);
}

static uint64_t slot_value(size_t slot)
{
    if (slot < 2 * HIST_SUB)
        return slot;
    size_t shift = slot / HIST_SUB - 1;
    return ((slot - shift * HIST_SUB) << shift) + ((uint64_t)1 << shift) / 2;
}

void hist_add(struct hist *h, uint64_t ns)
{
    h->n++;
    h->sum += ns;
    if (ns > h->max)
        h->max = ns;
    h->count[slot_of(ns)]++;
}

void hist_clear(struct hist *h)
{
    memset(h, 0, sizeof *h);
}

static double quantile_us(const struct hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;
    for (size_t i = 0; i < sizeof h->count / sizeof *h->count; i++) {
        seen += h->count[i];
        if (seen > want)
            return (double)slot_value(i) / 1000;
    }
    return (double)h->max / 1000;
}

void hist_print(const char *name, const struct hist *h)
{
    printf(",\"%s\":{\"n\":%llu", name, (unsigned long long)h->n);
    if (h->n)
        printf(",\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"p999\":%.1f,"
               "\"max\":%.1f",
               (double)h->sum / (double)h->n / 1000, quantile_us(h, 0.5), quantile_us(h, 0.9),
               quantile_us(h, 0.95), quantile_us(h, 0.99), quantile_us(h, 0.999),
               (double)h->max / 1000);
    printf("}");
}

/* Adds up run time, and time ready to run while others had the core. */
static void threads_cpu(int pid, struct usage *u)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        unsigned long long ran, waited;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
        FILE *f = fopen(path, "r");
        if (f == NULL)
            continue; /* the thread ended */
        if (fscanf(f, "%llu %llu", &ran, &waited) == 2) {
            u->cpu_ns += ran;
            u->wait_ns += waited;
        }
        fclose(f);
    }
    closedir(d);
}

static uint64_t count_fds(int pid)
{
    char path[64];
    uint64_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

bool usage_read(const int *pids, size_t n, struct usage *u)
{
    *u = (struct usage){0};
    for (size_t i = 0; i < n; i++) {
        char path[64], line[256];
        unsigned long long kb;
        threads_cpu(pids[i], u);
        u->fds += count_fds(pids[i]);
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
        FILE *f = fopen(path, "r");
        if (f == NULL)
            return false;
        while (fgets(line, sizeof line, f)) {
            if (sscanf(line, "Rss: %llu", &kb) == 1)
                u->rss_kb += kb;
            else if (sscanf(line, "Pss: %llu", &kb) == 1)
                u->pss_kb += kb;
        }
        fclose(f);
    }
    return true;
}
