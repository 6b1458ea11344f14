/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - one-shot timers, intrusive and without allocation.
 *
 * Zero-initialised means stopped. Starting a running timer moves it; moving it later is the common case
 * (a deadline per stream event) and costs O(1): the heap keeps the old place and looks again when it
 * comes up. Stopping is immediate, after it the memory may go.
 */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct io_loop;

struct io_timer {
    void (*fn)(void *arg);
    void *arg;
    int64_t due_us;                       /* when it should fire, io_now_us() scale */
    int64_t place_us;                     /* key in the heap, <= due_us while running */
    struct io_timer *child, *next, *prev; /* pairing heap; private to the io folder */
    bool running;
};

/* Fires once, not before `ms` have passed; ms 0 fires in the next turn. */
void io_timer_start(struct io_loop *loop, struct io_timer *t, uint64_t ms, void (*fn)(void *arg),
                    void *arg);
/* The same by the clock: not before io_now_us() is `due_us`. */
void io_timer_start_at(struct io_loop *loop, struct io_timer *t, int64_t due_us,
                       void (*fn)(void *arg), void *arg);
void io_timer_stop(struct io_loop *loop, struct io_timer *t);

#endif
