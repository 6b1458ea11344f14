/* SPDX-License-Identifier: Apache-2.0 */
/* queue - Dmitry Vyukov's bounded queue, with one reader. */
#include "ledger/queue.h"

#include <assert.h>

bool ledger_queue_init(struct ledger_queue *q, size_t size)
{
    size_t n = 2;
    while (n < size)
        n *= 2;
    memset(q, 0, sizeof *q);
    q->slots = mem_zalloc(n * sizeof *q->slots); /* pages that are never used are never there */
    if (q->slots == NULL)
        return false;
    q->mask = n - 1;
    return true;
}

void ledger_queue_fini(struct ledger_queue *q)
{
    mem_free(q->slots);
    q->slots = NULL;
}

static struct ledger_slot *slot_at(const struct ledger_queue *q, uint64_t place)
{
    return &q->slots[place & q->mask];
}

/* A slot of zeros is free in the first round. */
static uint64_t round_of(const struct ledger_queue *q, uint64_t place)
{
    return place / (q->mask + 1) * 2;
}

bool ledger_queue_put(struct ledger_queue *q, const struct ledger_entry *entry, size_t *used)
{
    uint64_t place = atomic_load_explicit(&q->tail, memory_order_relaxed);
    for (;;) {
        struct ledger_slot *slot = slot_at(q, place);
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        uint64_t mine = round_of(q, place);
        if (turn == mine) {
            if (!atomic_compare_exchange_weak(&q->tail, &place, place + 1))
                continue;
            slot->entry = *entry;
            atomic_store_explicit(&slot->turn, mine + 1, memory_order_release);
            *used = (size_t)(place + 1 - atomic_load_explicit(&q->head, memory_order_relaxed));
            return true;
        }
        if (turn < mine) /* the row of the round before has not been written yet */
            return false;
        place = atomic_load_explicit(&q->tail, memory_order_relaxed);
    }
}

const struct ledger_entry *ledger_queue_peek(const struct ledger_queue *q, size_t nth)
{
    uint64_t place = atomic_load_explicit(&q->head, memory_order_relaxed) + nth;
    struct ledger_slot *slot = slot_at(q, place);
    if (nth > q->mask ||
        atomic_load_explicit(&slot->turn, memory_order_acquire) != round_of(q, place) + 1)
        return NULL;
    return &slot->entry;
}

void ledger_queue_drop(struct ledger_queue *q, size_t n)
{
    uint64_t place = atomic_load_explicit(&q->head, memory_order_relaxed);
    for (size_t i = 0; i < n; i++, place++)
        atomic_store_explicit(&slot_at(q, place)->turn, round_of(q, place) + 2,
                              memory_order_release);
    atomic_store_explicit(&q->head, place, memory_order_relaxed);
}

size_t ledger_queue_len(const struct ledger_queue *q)
{
    return (size_t)(atomic_load(&q->tail) - atomic_load(&q->head));
}
