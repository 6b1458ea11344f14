/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seat - both ends of a seat, and what goes between them.
 *
 *   socket's thread                      home's thread
 *   chat_sit()  --to_sit-->              room: found, loaded or made; session_take_seat()
 *   chat_say()  --struct said-->         session_hear()
 *   frame()     <--struct told--         seat_tell()
 *   shut()      <--to_shut--             seat_shut()
 *   chat_rise() --to_rise-->             session_lose_seat(), seat_gone()
 *   risen()     <--to_go--
 *
 * The letters that must arrive are part of the seat, so they need no memory. After to_rise home sends to_go and nothing
 * more, so what was sent before is read before, and the seat is freed when to_go is.
 */
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

struct told { /* a frame on its way to one socket */
    struct letter letter;
    struct chat_seat *seat;
    struct chat_frame *frame;
};

static struct chat_seat *seat_of_sit(struct letter *l)
{
    return (struct chat_seat *)(void *)((char *)l - offsetof(struct chat_seat, to_sit));
}

static struct chat_seat *seat_of_rise(struct letter *l)
{
    return (struct chat_seat *)(void *)((char *)l - offsetof(struct chat_seat, to_rise));
}

static struct chat_seat *seat_of_shut(struct letter *l)
{
    return (struct chat_seat *)(void *)((char *)l - offsetof(struct chat_seat, to_shut));
}

static struct chat_seat *seat_of_go(struct letter *l)
{
    return (struct chat_seat *)(void *)((char *)l - offsetof(struct chat_seat, to_go));
}

/* ---- frames ---- */

struct chat_frame *chat_frame_ref(struct chat_frame *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void chat_frame_unref(struct chat_frame *f)
{
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
        mem_free_secret(f, sizeof *f + f->len);
}

/* ---- home's end ---- */

static void read_told(struct letter *l, struct chat_room *room)
{
    struct told *t = (struct told *)(void *)l;
    struct chat_seat *seat = t->seat;
    (void)room;
    atomic_fetch_sub(&seat->unsent, 1);
    atomic_fetch_sub(&seat->unsent_bytes, t->frame->len);
    if (!seat->rising)
        seat->ops->frame(seat->arg, t->frame);
    chat_frame_unref(t->frame);
    mem_free(t);
}

void seat_tell(struct chat_seat *seat, struct chat_frame *f)
{
    if (seat->shut)
        return;
    bool many = atomic_load(&seat->unsent) >= UNSENT_MAX ||
                atomic_load(&seat->unsent_bytes) >= UNSENT_BYTES;
    struct told *t = many ? NULL : mem_zalloc(sizeof *t);
    if (t == NULL) { /* what is lost cannot be told later: it comes back and reads the history */
        seat_shut(seat, 1013, "too slow");
        return;
    }
    t->letter.read = read_told;
    t->seat = seat;
    t->frame = chat_frame_ref(f);
    atomic_fetch_add(&seat->unsent, 1);
    atomic_fetch_add(&seat->unsent_bytes, f->len);
    mail_send(seat->home, seat->here, &t->letter);
}

static void read_shut(struct letter *l, struct chat_room *room)
{
    struct chat_seat *seat = seat_of_shut(l);
    (void)room;
    if (!seat->rising)
        seat->ops->shut(seat->arg, seat->shut_code, seat->shut_reason);
}

void seat_shut(struct chat_seat *seat, unsigned code, const char *reason)
{
    if (seat->shut)
        return;
    seat->shut = true;
    seat->shut_code = code;
    seat->shut_reason = reason;
    seat->to_shut.read = read_shut;
    io_timer_stop(seat->home->loop, &seat->until);
    mail_send(seat->home, seat->here, &seat->to_shut);
}

static void read_go(struct letter *l, struct chat_room *room)
{
    struct chat_seat *seat = seat_of_go(l);
    const struct chat_seat_ops *ops = seat->ops;
    void *arg = seat->arg;
    if (seat->user.keys != NULL)
        policy_keys_unref(seat->user.keys);
    mem_free(seat);
    room->n_seats--;
    if (ops->risen != NULL)
        ops->risen(arg);
    room_look(room);
}

void seat_gone(struct chat_seat *seat)
{
    seat->shut = true;
    io_timer_stop(seat->home->loop, &seat->until);
    seat->to_go.read = read_go;
    mail_send(seat->home, seat->here, &seat->to_go);
}

static void read_sit(struct letter *l, struct chat_room *room)
{
    struct chat_seat *seat = seat_of_sit(l);
    if (room->stopped || room->draining) {
        seat_shut(seat, 1001, "going away");
        return;
    }
    struct session *s = room_find(room, strv_of(seat->id));
    if (s != NULL && session_waits(s, l)) /* whose it is is known when it is loaded */
        return;
    if (s == NULL)
        s = room_open(room, seat->id, seat->user.id);
    if (s == NULL)
        seat_shut(seat, 1013, "too many conversations");
    else if (!session_is_of(s, seat->user.id))
        seat_shut(seat, 4003, "not your conversation");
    else if (!session_waits(s, l))
        session_take_seat(s, seat);
}

bool seat_refused(struct letter *l, const char *user, unsigned code, const char *reason)
{
    if (l->read != read_sit || (user != NULL && strcmp(seat_of_sit(l)->user.id, user) != 0))
        return false;
    seat_shut(seat_of_sit(l), code, reason);
    return true;
}

static void read_said(struct letter *l, struct chat_room *room)
{
    struct said *said = (struct said *)(void *)l;
    struct chat_seat *seat = said->seat;
    struct session *s = seat->session != NULL ? seat->session : room_find(room, strv_of(seat->id));
    if (!room->stopped && !seat->shut && session_waits(s, l))
        return;
    atomic_fetch_sub(&seat->said, 1);
    if (seat->session != NULL && !seat->shut)
        session_hear(seat->session, seat, (strv){said->text, said->len});
    mem_free_secret(said, sizeof *said + said->len);
}

static void read_rise(struct letter *l, struct chat_room *room)
{
    struct chat_seat *seat = seat_of_rise(l);
    struct session *s = seat->session != NULL ? seat->session : room_find(room, strv_of(seat->id));
    if (!room->stopped && session_waits(s, l))
        return;
    if (seat->session != NULL)
        session_lose_seat(seat->session, seat);
    seat_gone(seat);
}

/* ---- the socket's end ---- */

struct chat_seat *chat_sit(struct chat_room *here, const struct chat_sit *s,
                           const struct chat_seat_ops *ops, void *arg)
{
    struct chat_seat *seat = mem_zalloc(sizeof *seat);
    if (seat == NULL)
        return NULL;
    seat->here = here;
    seat->user = s->user;
    if (s->user.keys != NULL)
        policy_keys_ref(s->user.keys);
    if (s->session[0] == '\0')
        rng_uuid(here->ex->rng, seat->id);
    else
        snprintf(seat->id, sizeof seat->id, "%s", s->session);
    if (s->model.len <= MODEL_MAX)
        snprintf(seat->model, sizeof seat->model, STRV_FMT, STRV_ARG(s->model));
    seat->mode = s->mode;
    seat->ops = ops;
    seat->arg = arg;
    seat->home = room_of(here, strv_of(seat->id));
    list_init(&seat->node);
    seat->to_sit.read = read_sit;
    here->n_seats++;
    mail_send(here, seat->home, &seat->to_sit);
    return seat;
}

bool chat_say(struct chat_seat *seat, strv text)
{
    bool many = seat->rising || atomic_load(&seat->said) >= SAID_MAX;
    struct said *said = many ? NULL : mem_alloc(sizeof *said + text.len + 1);
    if (said == NULL)
        return false;
    *said = (struct said){.letter = {.read = read_said}, .seat = seat, .len = text.len};
    if (text.len > 0)
        memcpy(said->text, text.ptr, text.len);
    said->text[text.len] = '\0';
    atomic_fetch_add(&seat->said, 1);
    mail_send(seat->here, seat->home, &said->letter);
    return true;
}

void chat_rise(struct chat_seat *seat)
{
    if (seat->rising)
        return;
    seat->rising = true;
    seat->to_rise.read = read_rise;
    mail_send(seat->here, seat->home, &seat->to_rise);
}
