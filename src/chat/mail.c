/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail - letters from room to room, in the order in which they were sent.
 *
 *   mail_send() > newest --bell (io_post)--> mail_read(): turns the pile over, reads each
 *
 * Only who puts a letter on an empty pile rings. Where there is no memory for the bell, the sender tries again after a
 * moment, so that what must arrive (a seat that is gone) arrives.
 */
#include "chat/chat_int.h"

#define AGAIN_MS 20

static void on_bell(void *arg)
{
    (void)mail_read(arg);
}

static void ring_again(void *arg)
{
    struct chat_room *from = arg;
    bool all = true;
    for (size_t i = 0; i < from->env.n_rooms; i++) {
        struct chat_room *to = from->env.rooms[i];
        if (atomic_exchange(&to->mail.unrung, false) && !io_post(to->loop, on_bell, to)) {
            atomic_store(&to->mail.unrung, true);
            all = false;
        }
    }
    if (!all)
        io_timer_start(from->loop, &from->mail.again, AGAIN_MS, ring_again, from);
}

void mail_send(struct chat_room *from, struct chat_room *to, struct letter *l)
{
    struct letter *newest = atomic_load_explicit(&to->mail.newest, memory_order_relaxed);
    do {
        l->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&to->mail.newest, &newest, l,
                                                    memory_order_release, memory_order_relaxed));
    if (newest != NULL || to->settled || io_post(to->loop, on_bell, to))
        return;
    atomic_store(&to->mail.unrung, true);
    io_timer_start(from->loop, &from->mail.again, AGAIN_MS, ring_again, from);
}

bool mail_read(struct chat_room *room)
{
    struct letter *newest =
        atomic_exchange_explicit(&room->mail.newest, NULL, memory_order_acquire);
    struct letter *oldest = NULL;
    bool any = newest != NULL;
    while (newest != NULL) {
        struct letter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct letter *l = oldest;
        oldest = l->next;
        l->next = NULL;
        l->read(l, room);
    }
    return any;
}
