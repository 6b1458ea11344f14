/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - see session.h: made and forgotten, its seats, what all of them are told, how wide its mode may be. All of it
 * happens on its home's thread.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

/* ---- texts that change ---- */

bool words_set(struct words *w, strv text)
{
    char *copy = NULL;
    if (text.len > 0) {
        copy = mem_alloc(text.len + 1);
        if (copy == NULL)
            return false;
        memcpy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
    }
    words_fini(w);
    *w = (struct words){copy, text.len};
    return true;
}

void words_fini(struct words *w)
{
    if (w->text != NULL)
        mem_free_secret(w->text, w->len);
    *w = (struct words){0};
}

/* ---- made and freed ---- */

struct session *session_new(struct chat_room *r, const char *id, const char *user)
{
    struct session *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->room = r;
    list_init(&s->slot);
    list_init(&s->quiet_node);
    list_init(&s->seats);
    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->user, sizeof s->user, "%s", user);
    s->stage = SESSION_LOADING;
    s->waiting_end = &s->waiting;
    s->mode = LLM_MODE_UNSET;
    s->tools = true;
    s->kept = r->env.keep != NULL;
    s->created_us = s->last_us = io_wall_us(r->loop);
    s->tree = chat_tree_new(r->env.conf->session_bytes_max);
    if (s->tree != NULL)
        return s;
    mem_free(s);
    return NULL;
}

bool session_is_of(const struct session *s, const char *user)
{
    return strcmp(s->user, user) == 0;
}

static void session_free(struct session *s)
{
    question_fini(&s->now);
    question_fini(&s->next);
    words_fini(&s->title);
    words_fini(&s->model);
    words_fini(&s->system);
    words_fini(&s->summary);
    chat_tree_free(s->tree);
    mem_free_secret(s, sizeof *s);
}

void session_forget(struct session *s)
{
    struct chat_room *r = s->room;
    struct list *pos, *tmp;
    assert(!s->gone && s->waiting == NULL && s->answer == NULL);
    aside_cancel(s);
    io_timer_stop(r->loop, &s->soon);
    io_timer_stop(r->loop, &s->quiet);
    list_del(&s->quiet_node);
    list_del(&s->slot);
    list_for_each(pos, tmp, &s->seats)
    {
        struct chat_seat *seat = list_entry(pos, struct chat_seat, node);
        list_del(&seat->node);
        seat->session = NULL;
    }
    s->gone = true;
    r->n_sessions--;
    if (s->errands == 0)
        session_free(s);
}

void session_errand_over(struct session *s)
{
    s->errands--;
    if (s->gone && s->errands == 0)
        session_free(s);
}

/* ---- quiet ---- */

static void on_quiet(void *arg)
{
    session_forget(arg);
}

/* Without seats and with nothing to do it goes out of memory after a while. */
void session_rest(struct session *s)
{
    struct chat_room *r = s->room;
    bool quiet = s->stage == SESSION_IDLE && list_empty(&s->seats);
    list_del(&s->quiet_node);
    if (!quiet) {
        io_timer_stop(r->loop, &s->quiet);
        return;
    }
    if (chat_tree_count(s->tree) > 0)
        list_add_tail(&r->quiet, &s->quiet_node);
    else /* nothing is lost with it */
        list_add_head(&r->quiet, &s->quiet_node);
    io_timer_start(r->loop, &s->quiet, r->env.conf->quiet_ms, on_quiet, s);
}

void session_stage(struct session *s, enum stage stage)
{
    bool was = s->stage == SESSION_ANSWER || s->stage == SESSION_NEXT;
    bool is = stage == SESSION_ANSWER || stage == SESSION_NEXT;
    s->stage = stage;
    if (is && !was)
        s->room->n_busy++;
    if (was && !is)
        s->room->n_busy--;
}

/* ---- told ---- */

void session_tell(struct session *s, struct chat_frame *f)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &s->seats)
    {
        struct chat_seat *seat = list_entry(pos, struct chat_seat, node);
        if (f != NULL)
            seat_tell(seat, f);
        else /* it would miss something: it comes back and reads the history */
            seat_shut(seat, 1013, "out of memory");
    }
    chat_frame_unref(f);
}

void session_tell_one(struct chat_seat *seat, struct chat_frame *f)
{
    if (f != NULL)
        seat_tell(seat, f);
    else
        seat_shut(seat, 1013, "out of memory");
    chat_frame_unref(f);
}

void session_changed(struct session *s)
{
    session_tell(s, frame_session(s));
}

/* ---- mode ---- */

enum llm_mode session_mode(const struct session *s, const struct policy_key *key)
{
    const struct policy_conf *conf = &s->room->ex->snapshot->policy;
    enum llm_mode mode = s->is_private               ? LLM_MODE_LOCAL
                         : s->mode != LLM_MODE_UNSET ? s->mode
                                                     : LLM_MODE_HYBRID;
    if (conf->mode != LLM_MODE_UNSET && conf->mode < mode)
        mode = conf->mode;
    if (key != NULL && key->rules.mode != LLM_MODE_UNSET && key->rules.mode < mode)
        mode = key->rules.mode;
    return conf->airgap ? LLM_MODE_LOCAL : mode;
}

void session_made_private(struct session *s)
{
    if (s->is_private)
        return;
    s->is_private = true;
    s->mode = LLM_MODE_LOCAL;
    session_save(s, NULL, 0); /* whatever becomes of the answer */
    session_changed(s);
}

/* ---- seats ---- */

static void on_login_over(void *arg)
{
    struct chat_seat *seat = arg;
    seat->late = true;
    if (seat->session->stage == SESSION_IDLE)
        seat_shut(seat, 1001, "the login ended");
}

void session_take_seat(struct session *s, struct chat_seat *seat)
{
    struct io_loop *loop = s->room->loop;
    bool fresh = chat_tree_count(s->tree) == 0 && list_empty(&s->seats);
    if (fresh && s->mode == LLM_MODE_UNSET) {
        s->mode = seat->mode;
        s->mode = session_mode(s, seat->user.key);
        (void)words_set(&s->model, strv_of(seat->model));
    }
    seat->session = s;
    list_add_tail(&s->seats, &seat->node);
    session_rest(s);
    if (seat->user.until_us > 0) {
        int64_t left = seat->user.until_us - io_wall_us(loop);
        io_timer_start(loop, &seat->until, left > 0 ? (uint64_t)left / 1000 : 0, on_login_over,
                       seat);
    }
    session_tell_one(seat, frame_connected(s));
}

void session_lose_seat(struct session *s, struct chat_seat *seat)
{
    list_del(&seat->node);
    seat->session = NULL;
    io_timer_stop(s->room->loop, &seat->until);
    session_rest(s);
}

/* ---- loaded ---- */

bool session_waits(struct session *s, struct letter *l)
{
    if (s == NULL || s->stage != SESSION_LOADING)
        return false;
    *s->waiting_end = l;
    s->waiting_end = &l->next;
    return true;
}

void session_begin(struct session *s)
{
    struct letter *l = s->waiting;
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    s->stage = SESSION_IDLE;
    session_rest(s);
    room_hear(s->room, l);
}
