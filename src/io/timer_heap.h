/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer_heap - what timer.c needs from a loop, and a loop from timer.c. Private to the two loops: the
 * one of libuv and the made-up one of the tests share the heap and differ only in the clock.
 */
#ifndef IO_TIMER_HEAP_H
#define IO_TIMER_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "io/timer.h"

#define IO_TIMERS_NONE INT64_MAX

struct io_timers {
    struct io_timer *root;                /* pairing heap by place_us */
    struct io_timer *due_head, *due_tail; /* came up, not called yet; may still be stopped */
    unsigned long running;
};

/* Each loop says where its timers are. */
struct io_timers *io_loop_timers(struct io_loop *loop);

/* When to look again: the smallest place in the heap, which is never later than the next due time.
 * IO_TIMERS_NONE when no timer runs. */
int64_t io_timers_next(const struct io_timers *timers);
/* The next due time itself: puts moved timers where they belong. For tests and questions, not for every
 * turn. */
int64_t io_timers_settle(struct io_timers *timers);
/* Calls everything due at now_us, in order of due time. What is started meanwhile waits for the next
 * call, also with 0 ms. Returns how many were called. */
unsigned io_timers_fire(struct io_timers *timers, int64_t now_us);

#endif
