/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue - from the workers to the thread that writes: a ring of slots of one size, without a lock.
 *
 *   tail: next to be filled       workers, each takes a place by compare-and-swap
 *   head: next to be written      the writer only
 *
 * Places are counted on without end; a slot's `turn` says in which round of the ring it is: 2 * round = free,
 * 2 * round + 1 = full. The writer reads slots where they lie and gives them back only when their rows are safe on
 * disk, so a write that failed can be tried again. When the ring is full a row is refused, not waited for: the
 * caller counts it.
 */
#ifndef LEDGER_QUEUE_H
#define LEDGER_QUEUE_H

#include <stdatomic.h>

#include "base/base.h"
#include "llm/llm.h"

#define LEDGER_STEPS_MAX 12 /* attempts of an exchange */

enum {
    LEDGER_STREAM = 1,
    LEDGER_PRIVATE = 2,
    LEDGER_LOCAL = 4,
    LEDGER_ESTIMATED = 8,
    LEDGER_ANSWERED = 16,
    LEDGER_ASIDE = 32
};

/* A row as it waits. Everything is copied; what is a pointer is a constant of the program. */
struct ledger_entry {
    int64_t ended_us;    /* wall time */
    char request_id[65]; /* "" = none, or none that may be kept */
    char key[32];        /* "" = none */
    char provider[64];   /* "" = none */
    char model[129];     /* "" = none */
    uint8_t door, flags, class, n_steps;
    struct {
        uint8_t provider, outcome; /* indices of metric labels */
    } steps[LEDGER_STEPS_MAX];
    const char *op, *outcome;
    char findings[128]; /* kinds and how many; "" = none */
    int32_t status;
    int64_t input, output, cached, cache_write, reasoning; /* tokens, 0 = none or unknown */
    int64_t cost_micro, reference_micro;
    int64_t total_us, queue_us, router_us, upstream_us, first_us;
};

struct ledger_queue {
    struct ledger_slot *slots;
    size_t mask;
    char apart
        [64]; /* the two ends are other cores' business each, so they share no line of a cache */
    _Atomic uint64_t tail;
    char apart_too[64];
    _Atomic uint64_t head;
};
struct ledger_slot {
    _Atomic uint64_t turn;
    struct ledger_entry entry;
};

/* `size` is rounded up to a power of two. */
bool ledger_queue_init(struct ledger_queue *q, size_t size);
void ledger_queue_fini(struct ledger_queue *q);
/* Any thread. False: full. Otherwise *used is how many wait now, roughly. */
bool ledger_queue_put(struct ledger_queue *q, const struct ledger_entry *entry, size_t *used);
/* One thread. The nth entry from the head, or NULL. */
const struct ledger_entry *ledger_queue_peek(const struct ledger_queue *q, size_t nth);
void ledger_queue_drop(struct ledger_queue *q, size_t n);
size_t ledger_queue_len(const struct ledger_queue *q);

#endif
