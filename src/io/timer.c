/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - a pairing heap of the callers' own structs (Fredman, Sedgewick, Sleator, Tarjan 1986).
 *
 * The key is place_us, not due_us: a deadline that only ever moves later (one per stream event) is
 * written down and left where it is. When its old place comes up it is put back with the right one, so
 * a timer costs one heap operation per period, not one per event.
 *
 *   root ---- smallest place
 *    |child                        prev of a first child is its parent,
 *    v   next     next             prev of the others is the left neighbour
 *    a ------> b ------> c
 *
 * A timer that came up waits in the `due` list for its call; there place_us is IN_DUE_LIST. So a callback
 * can stop or restart any other timer that is due in the same moment.
 */
#include "io/timer.h"

#include <assert.h>
#include <stddef.h>

#include "io/loop.h"
#include "io/timer_heap.h"

#define IN_DUE_LIST INT64_MIN

static void heap_insert(struct io_timers *h, struct io_timer *t);
static void heap_remove(struct io_timers *h, struct io_timer *t);
static void due_append(struct io_timers *h, struct io_timer *t);
static void due_remove(struct io_timers *h, struct io_timer *t);

void io_timer_start(struct io_loop *loop, struct io_timer *t, uint64_t ms, void (*fn)(void *arg),
                    void *arg)
{
    const uint64_t ms_max = (uint64_t)1000 * 365 * 24 * 3600 * 1000; /* far away, and no overflow */

    io_timer_start_at(loop, t, io_now_us(loop) + (int64_t)(ms < ms_max ? ms : ms_max) * 1000, fn,
                      arg);
}

void io_timer_start_at(struct io_loop *loop, struct io_timer *t, int64_t due_us,
                       void (*fn)(void *arg), void *arg)
{
    struct io_timers *h = io_loop_timers(loop);

    assert(fn != NULL);
    t->fn = fn;
    t->arg = arg;
    t->due_us = due_us;
    if (t->running && t->place_us != IN_DUE_LIST && t->due_us >= t->place_us)
        return;
    if (t->running)
        io_timer_stop(loop, t);
    t->running = true;
    t->place_us = t->due_us;
    h->running++;
    heap_insert(h, t);
}

void io_timer_stop(struct io_loop *loop, struct io_timer *t)
{
    struct io_timers *h = io_loop_timers(loop);

    if (!t->running)
        return;
    if (t->place_us == IN_DUE_LIST)
        due_remove(h, t);
    else
        heap_remove(h, t);
    t->running = false;
    h->running--;
}

int64_t io_timers_next(const struct io_timers *h)
{
    return h->root != NULL ? h->root->place_us : IO_TIMERS_NONE;
}

int64_t io_timers_settle(struct io_timers *h)
{
    struct io_timer *t;

    while ((t = h->root) != NULL && t->due_us > t->place_us) {
        heap_remove(h, t);
        t->place_us = t->due_us;
        heap_insert(h, t);
    }
    return io_timers_next(h);
}

unsigned io_timers_fire(struct io_timers *h, int64_t now_us)
{
    struct io_timer *t;
    unsigned called = 0;

    while ((t = h->root) != NULL && t->place_us <= now_us) {
        heap_remove(h, t);
        if (t->due_us >
            t->place_us) { /* moved later meanwhile; also keeps the order of due times */
            t->place_us = t->due_us;
            heap_insert(h, t);
        } else {
            due_append(h, t);
        }
    }
    while ((t = h->due_head) != NULL) {
        due_remove(h, t);
        t->running = false;
        h->running--;
        called++;
        t->fn(t->arg);
    }
    return called;
}

/* Both are roots; the winner keeps its place among siblings only if its own links are clear. */
static struct io_timer *meld(struct io_timer *a, struct io_timer *b)
{
    struct io_timer *winner, *loser;

    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    winner = b->place_us < a->place_us ? b : a;
    loser = winner == a ? b : a;
    loser->next = winner->child;
    if (loser->next != NULL)
        loser->next->prev = loser;
    loser->prev = winner;
    winner->child = loser;
    winner->next = winner->prev = NULL;
    return winner;
}

/* Two passes, pairs from the left, then all into one from the right; without recursion, because the
 * list of children can be as long as there are timers. */
static struct io_timer *meld_siblings(struct io_timer *first)
{
    struct io_timer *pairs = NULL, *all = NULL;

    while (first != NULL) {
        struct io_timer *a = first, *b = a->next, *pair;

        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct io_timer *pair = pairs;

        pairs = pair->next;
        pair->next = NULL;
        all = meld(all, pair);
    }
    return all;
}

static void heap_insert(struct io_timers *h, struct io_timer *t)
{
    t->child = t->next = t->prev = NULL;
    h->root = meld(h->root, t);
}

static void heap_remove(struct io_timers *h, struct io_timer *t)
{
    struct io_timer *below = meld_siblings(t->child);

    t->child = NULL;
    if (t == h->root) {
        h->root = below;
        return;
    }
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    t->next = t->prev = NULL;
    h->root = meld(h->root, below);
}

static void due_append(struct io_timers *h, struct io_timer *t)
{
    t->place_us = IN_DUE_LIST;
    t->child = t->next = NULL;
    t->prev = h->due_tail;
    if (h->due_tail != NULL)
        h->due_tail->next = t;
    else
        h->due_head = t;
    h->due_tail = t;
}

static void due_remove(struct io_timers *h, struct io_timer *t)
{
    if (t->prev != NULL)
        t->prev->next = t->next;
    else
        h->due_head = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    else
        h->due_tail = t->prev;
    t->next = t->prev = NULL;
}
