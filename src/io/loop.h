/* SPDX-License-Identifier: Apache-2.0 */
/* loop - one thread's event loop: clocks, end-of-turn work, messages, signals. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct io_loop;

struct io_loop *io_loop_new(struct err *err);
/* Everything opened on the loop must have been closed; runs what is left of the dead list. */
void io_loop_free(struct io_loop *loop);
/* Runs until io_loop_stop(), or until nothing is left that could ever call back. */
void io_loop_run(struct io_loop *loop);
void io_loop_stop(struct io_loop *loop); /* any thread */

/* Monotonic microseconds; only differences mean something. Read afresh at every call. */
int64_t io_now_us(struct io_loop *loop);
/* Microseconds since 1970. */
int64_t io_wall_us(struct io_loop *loop);

/* Work for the end of this turn: freeing what a callback still stands on, starting what must not start
 * inside one. The struct belongs to the caller and is off the list when `run` is called. Adding a task
 * twice is the same as once. */
struct io_task {
    void (*run)(struct io_task *task);
    struct io_task *next;
    bool queued;
};
void io_defer(struct io_loop *loop, struct io_task *task);

/* From any thread: have fn(arg) called on the loop's thread. False if memory is refused. */
bool io_post(struct io_loop *loop, void (*fn)(void *arg), void *arg);

/* For what waits for a disk: run(arg) on a thread beside the loops, then done(arg) on this loop's. False: no memory, and
 * neither is called. The loop is not gone before it is over: done() may be the last that is called. For few and rare
 * things: there are four such threads in the process, which also look up names. */
bool io_work(struct io_loop *loop, void (*run)(void *arg), void (*done)(void *arg), void *arg);

/* Calls fn(arg, signum) on this loop for the signal, until the loop is freed. One loop per process may
 * watch a given signal. */
bool io_on_signal(struct io_loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg,
                  struct err *err);

#endif
