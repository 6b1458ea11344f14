/* SPDX-License-Identifier: Apache-2.0 */
/*
 * room - the sessions of a worker: found, loaded, forgotten; renamed and deleted by REST; and the end.
 *
 *   seat, order --letter--> home: in memory? --no--> chat_keep_load() > session_begin() > what waited
 *
 * An order (rename, delete) travels to the session's home and back to the worker that gave it. While the process runs
 * rooms speak by letters only; after the threads have ended the main thread hands out what is still under way
 * (chat_rooms_settle), so that every seat is given back before the loops go.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

#define FRAME_BYTES_MAX ((size_t)512 * 1024 * 1024) /* a whole history, escaped */

/* ---- which room ---- */

static uint64_t hash_of(strv id)
{
    return strv_hash(id, 0x63686174);
}

struct chat_room *room_of(const struct chat_room *any, strv session)
{
    return any->env.rooms[hash_of(session) % any->env.n_rooms];
}

static struct list *slot_of(struct chat_room *r, strv id)
{
    return &r->slots[(hash_of(id) >> 32) % ROOM_SLOTS];
}

struct session *room_find(struct chat_room *r, strv id)
{
    struct list *slot = slot_of(r, id), *pos, *tmp;
    list_for_each(pos, tmp, slot)
    {
        struct session *s = list_entry(pos, struct session, slot);
        if (strv_eq_cstr(id, s->id))
            return s;
    }
    return NULL;
}

/* ---- made and freed ---- */

struct chat_room *chat_room_new(const struct chat_room_env *env)
{
    struct chat_room *r = mem_zalloc(sizeof *r);
    if (r == NULL)
        return NULL;
    r->env = *env;
    r->ex = env->exchange;
    r->loop = env->exchange->loop;
    for (size_t i = 0; i < ROOM_SLOTS; i++)
        list_init(&r->slots[i]);
    list_init(&r->quiet);
    buf_init(&r->text, FRAME_BYTES_MAX);
    if (rates_init(&r->rates))
        return r;
    rates_fini(&r->rates);
    mem_free(r);
    return NULL;
}

void chat_room_free(struct chat_room *r)
{
    if (r == NULL)
        return;
    assert(atomic_load(&r->mail.newest) == NULL && r->n_seats == 0 && r->n_sessions == 0);
    rates_fini(&r->rates);
    buf_fini(&r->text);
    mem_free(r);
}

size_t chat_room_seats(const struct chat_room *r)
{
    return r->n_seats;
}

void chat_room_conf(struct chat_room *r, const struct chat_conf *conf)
{
    r->env.conf = conf;
}

/* ---- an order of REST ---- */

struct order {
    struct letter letter;
    struct chat_room *here;
    char user[CHAT_USER_MAX + 1], id[CHAT_SESSION_MAX + 1];
    bool opened; /* it is loaded for this order alone */
    enum chat_kept how;
    chat_done_fn fn;
    void *arg;
    struct words title;
};

static void read_reply(struct letter *l, struct chat_room *room)
{
    struct order *o = (struct order *)(void *)l;
    (void)room;
    o->fn(o->arg, o->how);
    words_fini(&o->title);
    mem_free(o);
}

static void reply(struct chat_room *home, struct order *o, enum chat_kept how)
{
    o->how = how;
    o->letter.read = read_reply;
    if (home->settled)
        read_reply(&o->letter, o->here);
    else
        mail_send(home, o->here, &o->letter);
}

static void read_rename(struct letter *l, struct chat_room *room);

/* ---- opened ---- */

void room_hear(struct chat_room *r, struct letter *l)
{
    while (l != NULL) {
        struct letter *next = l->next;
        l->next = NULL;
        l->read(l, r);
        l = next;
    }
}

/* NULL: anybody's. */
static bool is_rename_of(const struct letter *l, const char *user)
{
    const struct order *o = (const struct order *)(const void *)l;
    return l->read == read_rename && (user == NULL || strcmp(o->user, user) == 0);
}

/* It cannot be had: who wants a seat in it is told so, and who gave an order, too. What others want of the name is heard
 * anew: they may own it. */
static void give_up(struct session *s, enum chat_kept how)
{
    bool foreign = how == CHAT_KEPT_FOREIGN;
    char user[CHAT_USER_MAX + 1];
    struct chat_room *r = s->room;
    struct letter *l = s->waiting, *rest = NULL, **end = &rest;
    memcpy(user, s->user, sizeof user);
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    s->stage = SESSION_IDLE;
    session_forget(s);
    while (l != NULL) {
        struct letter *next = l->next;
        l->next = NULL;
        if (is_rename_of(l, foreign ? user : NULL)) {
            reply(r, (struct order *)(void *)l, how);
        } else if (!seat_refused(l, foreign ? user : NULL, foreign ? 4003 : 1013,
                                 foreign ? "not your conversation" : "it cannot be read now")) {
            *end = l;
            end = &l->next;
        }
        l = next;
    }
    room_hear(r, rest);
}

static bool take_texts(struct session *s, const struct chat_head *h)
{
    return words_set(&s->title, h->title) && words_set(&s->model, h->model) &&
           words_set(&s->system, h->system) && words_set(&s->summary, h->summary);
}

static bool take_kept(struct session *s, const struct chat_head *h, const strv *messages, size_t n)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < n; i++)
        if (!chat_tree_read(s->tree, messages[i], &err))
            return false;
    s->newest = n > 0 ? chat_tree_leaf(s->tree)->n : 0;
    if (h->leaf > 0)
        (void)chat_tree_select(s->tree, h->leaf);
    for (int m = LLM_MODE_LOCAL; m <= LLM_MODE_CLOUD; m++)
        if (strv_eq_cstr(h->mode, mode_name((enum llm_mode)m)))
            s->mode = (enum llm_mode)m;
    s->summary_to = h->summary_to;
    s->is_private = h->is_private;
    s->tools = h->tools;
    s->created_us = h->created_us;
    s->last_us = h->last_us;
    s->kept = true;
    return take_texts(s, h);
}

static void on_loaded(void *arg, enum chat_kept how, const struct chat_head *head,
                      const strv *messages, size_t n)
{
    struct session *s = arg;
    struct chat_room *r = s->room;
    if (s->gone) {
        session_errand_over(s);
        return;
    }
    s->errands--;
    if (how == CHAT_KEPT_OK && !take_kept(s, head, messages, n))
        how = CHAT_KEPT_FAILED;
    if (how == CHAT_KEPT_FOREIGN || how == CHAT_KEPT_FAILED)
        give_up(s, how);
    else
        session_begin(s);
    room_look(r);
}

/* The one that was quiet longest. */
static bool make_place(struct chat_room *r)
{
    if (r->n_sessions < r->env.conf->sessions_live_max)
        return true;
    if (list_empty(&r->quiet))
        return false;
    session_forget(list_first(&r->quiet, struct session, quiet_node));
    return true;
}

struct session *room_open(struct chat_room *r, const char *id, const char *user)
{
    struct session *s = make_place(r) ? session_new(r, id, user) : NULL;
    if (s == NULL)
        return NULL;
    list_add_tail(slot_of(r, strv_of(id)), &s->slot);
    r->n_sessions++;
    if (r->env.keep == NULL) {
        session_begin(s);
        return s;
    }
    s->errands++;
    if (chat_keep_load(r->env.keep, r->loop, user, id, on_loaded, s))
        return s;
    s->errands--;
    s->stage = SESSION_IDLE;
    session_forget(s);
    return NULL;
}

/* ---- renamed and deleted ---- */

static void read_rename(struct letter *l, struct chat_room *room)
{
    struct order *o = (struct order *)(void *)l;
    struct session *s = room_find(room, strv_of(o->id));
    if (room->stopped) {
        reply(room, o, CHAT_KEPT_FAILED);
        return;
    }
    if (s == NULL && !o->opened) {
        o->opened = true;
        s = room_open(room, o->id, o->user);
    } else if (s == NULL) { /* it was another's, or could not be read */
        reply(room, o, CHAT_KEPT_NONE);
        return;
    }
    if (session_waits(s, l))
        return;
    if (s == NULL || s->stage != SESSION_IDLE) {
        reply(room, o, CHAT_KEPT_FAILED);
    } else if (!session_is_of(s, o->user)) {
        reply(room, o, CHAT_KEPT_FOREIGN);
    } else if (chat_tree_count(s->tree) == 0 && list_empty(&s->seats)) {
        session_forget(s);
        reply(room, o, CHAT_KEPT_NONE);
    } else if (!session_set_title(s, words_of(&o->title))) {
        reply(room, o, CHAT_KEPT_FAILED);
    } else {
        session_save(s, NULL, 0);
        session_changed(s);
        reply(room, o, CHAT_KEPT_OK);
    }
}

static void on_deleted(void *arg, enum chat_kept how)
{
    struct order *o = arg;
    reply(room_of(o->here, strv_of(o->id)), o, o->opened && how == CHAT_KEPT_NONE ? o->how : how);
}

static void read_delete(struct letter *l, struct chat_room *room)
{
    struct order *o = (struct order *)(void *)l;
    struct session *s = room_find(room, strv_of(o->id));
    struct list *pos, *tmp;
    if (!room->stopped && session_waits(s, l))
        return;
    bool busy = s != NULL && s->stage != SESSION_IDLE;
    if (room->stopped || busy) {
        reply(room, o, CHAT_KEPT_FAILED);
        return;
    }
    if (s != NULL && !session_is_of(s, o->user)) {
        reply(room, o, CHAT_KEPT_FOREIGN);
        return;
    }
    o->how = s != NULL ? CHAT_KEPT_OK : CHAT_KEPT_NONE;
    o->opened = s != NULL; /* it was there, whatever the file says */
    if (s != NULL) {
        list_for_each(pos, tmp, &s->seats)
            seat_shut(list_entry(pos, struct chat_seat, node), 1000, "deleted");
        session_forget(s);
    }
    if (room->env.keep == NULL ||
        !chat_keep_delete(room->env.keep, room->loop, o->user, o->id, on_deleted, o))
        reply(room, o, room->env.keep == NULL ? o->how : CHAT_KEPT_FAILED);
}

static struct order *order_new(struct chat_room *here, const char *user, const char *id,
                               chat_done_fn fn, void *arg)
{
    struct order *o = mem_zalloc(sizeof *o);
    if (o == NULL)
        return NULL;
    *o = (struct order){.here = here, .fn = fn, .arg = arg};
    snprintf(o->user, sizeof o->user, "%s", user);
    snprintf(o->id, sizeof o->id, "%s", id);
    return o;
}

bool chat_room_rename(struct chat_room *here, const char *user, const char *id, strv title,
                      chat_done_fn fn, void *arg)
{
    struct order *o = order_new(here, user, id, fn, arg);
    if (o == NULL || !words_set(&o->title, title)) {
        mem_free(o);
        return false;
    }
    o->letter.read = read_rename;
    mail_send(here, room_of(here, strv_of(id)), &o->letter);
    return true;
}

bool chat_room_delete(struct chat_room *here, const char *user, const char *id, chat_done_fn fn,
                      void *arg)
{
    struct order *o = order_new(here, user, id, fn, arg);
    if (o == NULL)
        return false;
    o->letter.read = read_delete;
    mail_send(here, room_of(here, strv_of(id)), &o->letter);
    return true;
}

/* ---- the end ---- */

void room_look(struct chat_room *r)
{
    if (r->draining && r->on_empty != NULL && r->n_seats == 0 && r->n_busy == 0) {
        void (*fn)(void *arg) = r->on_empty;
        r->on_empty = NULL;
        fn(r->on_empty_arg);
    }
}

static void shut_all(struct session *s)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &s->seats)
        seat_shut(list_entry(pos, struct chat_seat, node), 1001, "going away");
}

void chat_room_drain(struct chat_room *r, void (*empty)(void *arg), void *arg)
{
    struct list *pos, *tmp;
    r->draining = true;
    r->on_empty = empty;
    r->on_empty_arg = arg;
    for (size_t i = 0; i < ROOM_SLOTS; i++)
        list_for_each(pos, tmp, &r->slots[i])
        {
            struct session *s = list_entry(pos, struct session, slot);
            if (s->stage == SESSION_IDLE)
                shut_all(s);
        }
    room_look(r);
}

static void stop_session(struct session *s)
{
    struct chat_room *r = s->room;
    struct letter *l = s->waiting;
    if (s->stage == SESSION_ANSWER || s->stage == SESSION_NEXT)
        session_interrupt(s);
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    shut_all(s);
    s->stage = SESSION_IDLE;
    session_forget(s);
    room_hear(r, l);
}

void chat_room_stop(struct chat_room *r)
{
    struct list *pos, *tmp;
    if (r->stopped)
        return;
    r->draining = r->stopped = true;
    for (size_t i = 0; i < ROOM_SLOTS; i++)
        list_for_each(pos, tmp, &r->slots[i]) stop_session(list_entry(pos, struct session, slot));
}

void chat_rooms_settle(struct chat_room *const *rooms, size_t n)
{
    bool more = true;
    for (size_t i = 0; i < n; i++) {
        rooms[i]->settled = true;
        rooms[i]->on_empty = NULL;
    }
    for (size_t i = 0; i < n; i++)
        chat_room_stop(rooms[i]);
    while (more) {
        more = false;
        for (size_t i = 0; i < n; i++)
            more = mail_read(rooms[i]) || more;
    }
    for (size_t i = 0; i < n; i++) {
        io_timer_stop(rooms[i]->loop, &rooms[i]->mail.again);
        rooms[i]->env.keep = NULL; /* its last answers come when it is closed */
    }
}
