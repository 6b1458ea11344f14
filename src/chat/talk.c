/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk - what a session's clients say, one after the other, and what follows.
 *
 *   question > (rate) > tree > `message` > file > begin_answer() > answer.c > session_answered() > file > what is queued
 *
 * A question that comes while an answer runs stands in the tree behind that answer already, so its place is sure; it is
 * taken back if the answer is interrupted.
 */
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

/* ---- questions and who asks them ---- */

static void asker_fini(struct asker *by)
{
    if (by->keys != NULL)
        policy_keys_unref(by->keys);
    *by = (struct asker){0};
}

static struct asker asker_of(const struct chat_seat *seat)
{
    struct asker by = {.keys = seat->user.keys, .key = seat->user.key};
    if (by.keys != NULL)
        policy_keys_ref(by.keys);
    snprintf(by.address, sizeof by.address, "%s", seat->user.address);
    return by;
}

void question_fini(struct question *q)
{
    asker_fini(&q->by);
    words_fini(&q->system);
    *q = (struct question){0};
}

static void refuse(struct session *s, struct chat_seat *seat, const char *code, const char *why,
                   uint64_t retry_after_s)
{
    session_tell_one(seat, frame_error(s, strv_of(why), code, 0, retry_after_s));
}

static void notice(struct session *s, struct chat_seat *seat, const char *code, const char *why)
{
    session_tell_one(seat, frame_notice(s, code, strv_of(why)));
}

static void touch(struct session *s)
{
    s->last_us = io_wall_us(s->room->loop);
}

/* ---- answers ---- */

static void shut_late(struct session *s)
{
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &s->seats)
    {
        struct chat_seat *seat = list_entry(pos, struct chat_seat, node);
        if (seat->late || s->room->draining)
            seat_shut(seat, 1001, seat->late ? "the login ended" : "going away");
    }
}

static void fail_before(struct session *s)
{
    session_tell(s, frame_error(s, STRV("The conversation is full, or there is no memory for it."),
                                "session_full", 0, 0));
    question_fini(&s->now);
    session_stage(s, SESSION_IDLE);
    shut_late(s);
    session_rest(s);
    room_look(s->room);
}

/* To the question s->now. */
static void begin_answer(struct session *s)
{
    uint32_t question = s->now.n;
    struct chat_message *m = chat_tree_add(s->tree, question, true, io_wall_us(s->room->loop));
    aside_cancel(s); /* two models never work for a session at once */
    if (m == NULL) {
        fail_before(s);
        return;
    }
    m->state = CHAT_RUNNING;
    s->newest = m->n;
    session_stage(s, SESSION_ANSWER);
    session_rest(s);
    session_tell(s, frame_begin(s, m->n, question));
    answer_start(s, m->n);
}

/* The question in the queue is taken back; its number, 0 = there was none. */
static uint32_t drop_queued(struct session *s)
{
    uint32_t n = s->next.n;
    struct chat_message *m = n != 0 ? chat_tree_find(s->tree, n) : NULL;
    if (m != NULL)
        chat_tree_drop(s->tree, m);
    question_fini(&s->next);
    return n;
}

static void on_next(void *arg)
{
    struct session *s = arg;
    question_fini(&s->now);
    s->now = s->next;
    s->next = (struct question){0};
    session_save_question(s, s->now.n);
    begin_answer(s);
}

void session_answered(struct session *s, uint32_t n, bool whole)
{
    struct asker by = s->now.by;
    touch(s);
    s->answer = NULL;
    s->now.by = (struct asker){0};
    question_fini(&s->now);
    bool next = s->next.n != 0 && !s->room->draining;
    if (next) {
        session_stage(s, SESSION_NEXT);
        io_timer_start(s->room->loop, &s->soon, 0, on_next, s);
    } else {
        (void)drop_queued(s);
        session_stage(s, SESSION_IDLE);
    }
    session_save(s, &n, 1);
    if (whole && !next && !s->room->draining)
        title_ask(s, &by, n);
    asker_fini(&by);
    shut_late(s);
    session_rest(s);
    room_look(s->room);
}

void session_interrupt(struct session *s)
{
    uint32_t dropped = drop_queued(s);
    io_timer_stop(s->room->loop, &s->soon);
    if (s->answer == NULL) {
        session_stage(s, SESSION_IDLE);
        session_tell(s, frame_interrupted(s, 0, false, dropped));
        shut_late(s);
        session_rest(s);
        room_look(s->room);
        return;
    }
    uint32_t n = answer_number(s->answer);
    struct chat_message *m = chat_tree_find(s->tree, n);
    answer_interrupt(s->answer);
    m->state = CHAT_INTERRUPTED;
    session_tell(s, frame_interrupted(s, n, buf_len(&m->text) > 0, dropped));
    session_answered(s, n, false);
}

/* ---- what clients say ---- */

static bool may_ask(struct session *s, struct chat_seat *seat)
{
    struct chat_room *r = s->room;
    strv user = strv_of(s->user);
    int64_t wait_us;
    if (s->next.n != 0) {
        notice(s, seat, "busy", "A question waits already: this one was not taken.");
        return false;
    }
    if (r->draining) {
        refuse(s, seat, "draining", "The router is going down: ask again in a moment.", 5);
        return false;
    }
    if (rates_take(&room_of(r, user)->rates, s->user, r->env.conf, io_now_us(r->loop), &wait_us))
        return true;
    refuse(s, seat, "rate_limited", "Too many questions: wait a moment.",
           (uint64_t)(wait_us + 999999) / 1000000);
    return false;
}

static bool question_make(struct question *q, const struct session *s, const struct chat_seat *seat,
                          const struct heard *h)
{
    *q = (struct question){.by = asker_of(seat), .params = s->params};
    if (h->has_params)
        q->params = h->params;
    q->has_system = h->has_system;
    return !h->has_system || words_set(&q->system, h->system);
}

static struct chat_message *add_question(struct session *s, const struct heard *h, uint32_t parent)
{
    struct chat_message *m = chat_tree_add(s->tree, parent, false, io_wall_us(s->room->loop));
    bool ok = m != NULL && chat_tree_text(s->tree, m, h->content);
    for (size_t i = 0; ok && i < h->n_files; i++)
        ok = chat_tree_file(s->tree, m, &h->files[i]);
    if (ok || m == NULL)
        return m;
    chat_tree_drop(s->tree, m);
    return NULL;
}

/* A new question behind `parent`. */
static void ask(struct session *s, struct chat_seat *seat, const struct heard *h, uint32_t parent)
{
    struct question q;
    struct chat_message *m = question_make(&q, s, seat, h) ? add_question(s, h, parent) : NULL;
    bool queued = s->stage != SESSION_IDLE;
    if (m == NULL) {
        question_fini(&q);
        refuse(s, seat, "session_full", "The conversation is full: begin a new one.", 0);
        return;
    }
    q.n = s->newest = m->n;
    touch(s);
    bool untitled = s->title.len == 0;
    if (untitled)
        title_of_question(s, h->content);
    session_tell(s, frame_message(s, m, h->ref, queued));
    if (untitled)
        session_changed(s);
    if (queued) {
        s->next = q;
        return;
    }
    question_fini(&s->now);
    s->now = q;
    session_save_question(s, q.n);
    begin_answer(s);
}

static void hear_question(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    const struct chat_message *leaf = chat_tree_leaf(s->tree);
    if (may_ask(s, seat))
        ask(s, seat, h, leaf != NULL ? leaf->n : 0);
}

/* What makes a branch needs a session in which nothing runs. */
static bool is_idle(struct session *s, struct chat_seat *seat)
{
    if (s->stage != SESSION_IDLE)
        notice(s, seat, "busy", "An answer is being made: stop it first.");
    return s->stage == SESSION_IDLE;
}

static void hear_edit(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    const struct chat_message *m = chat_tree_find(s->tree, h->message);
    struct heard other = *h;
    if (m == NULL || m->assistant) {
        refuse(s, seat, "not_found", "message: there is no such question", 0);
    } else if (is_idle(s, seat) && may_ask(s, seat)) {
        other.n_files = m->n_files; /* what was attached stays */
        if (m->n_files > 0)
            memcpy(other.files, m->files, m->n_files * sizeof *m->files);
        ask(s, seat, &other, m->parent);
    }
}

static void hear_retry(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    struct question q;
    const struct chat_message *m = chat_tree_find(s->tree, h->message);
    if (m == NULL || !m->assistant) {
        refuse(s, seat, "not_found", "message: there is no such answer", 0);
    } else if (is_idle(s, seat) && may_ask(s, seat)) {
        (void)question_make(&q, s, seat, h); /* it has no text of its own */
        q.n = m->parent;
        question_fini(&s->now);
        s->now = q;
        touch(s);
        begin_answer(s);
    }
}

static void hear_branch(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    if (!is_idle(s, seat))
        return;
    if (!chat_tree_select(s->tree, h->message)) {
        refuse(s, seat, "not_found", "message: there is no such message", 0);
        return;
    }
    session_save(s, NULL, 0);
    session_tell(s, frame_history(s));
}

static void set_mode(struct session *s, struct chat_seat *seat, enum llm_mode mode)
{
    enum llm_mode before = s->mode;
    if (s->is_private && mode != LLM_MODE_LOCAL) {
        notice(s, seat, "private", "This conversation is private: it stays local.");
        return;
    }
    s->mode = mode;
    if (session_mode(s, seat->user.key) == mode)
        return;
    s->mode = before;
    notice(s, seat, "mode", "This mode is wider than the configuration or your key allows.");
}

static void hear_set(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    bool ok = true;
    if (h->mode != LLM_MODE_UNSET)
        set_mode(s, seat, h->mode);
    if (h->has_model)
        ok = words_set(&s->model, h->model) && ok;
    if (h->has_system)
        ok = words_set(&s->system, h->system) && ok;
    if (h->has_title) {
        ok = session_set_title(s, h->title) && ok;
        s->title_wanted = false;
    }
    if (h->has_params)
        s->params = h->params;
    if (h->has_tools)
        s->tools = h->tools;
    if (!ok)
        refuse(s, seat, "internal", "There is no memory for it.", 0);
    if (chat_tree_count(s->tree) > 0)
        session_save(s, NULL, 0);
    session_changed(s);
}

/* Who owns the conversation may decide what its own call waits for: the card is shown to him and nobody else. What others'
 * calls wait for is decided by who has the right admin. */
static void hear_approve(struct session *s, struct chat_seat *seat, const struct heard *h)
{
    const struct chat_user *user = &seat->user;
    struct agent_env *agent = s->room->env.agent;
    bool own = s->answer != NULL && answer_petitions(s->answer, h->id);
    enum agent_decision d = h->approve ? AGENT_APPROVED : AGENT_DENIED;
    const char *by = user->key != NULL ? user->key->id : user->id;
    struct err err = ERR_INIT;
    if (agent == NULL || agent->desk == NULL || (!own && !user->admin)) {
        refuse(s, seat, "not_found", "Nothing of this conversation waits under this id.", 0);
    } else if (!agent_desk_decide(agent->desk, h->id, d, h->remember, by, &err)) {
        refuse(s, seat, "not_found", err.text, 0);
    } else if (own) {
        answer_decided(s->answer, h->id, agent_decision_name(d), by);
    } else {
        session_tell_one(seat, frame_decided(s, h->id, agent_decision_name(d), by));
    }
}

static void hear_interrupt(struct session *s, struct chat_seat *seat)
{
    if (s->stage == SESSION_IDLE)
        session_tell_one(seat, frame_interrupted(s, 0, false, 0));
    else
        session_interrupt(s);
}

void session_hear(struct session *s, struct chat_seat *seat, strv text)
{
    struct arena arena;
    struct heard h;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, 16 * text.len + (size_t)256 * 1024);
    if (!heard_read(text, s->room->env.conf->message_bytes_max, &arena, &h, &err)) {
        refuse(s, seat, "invalid_request", err.text[0] != '\0' ? err.text : "not understood", 0);
    } else if (!seat->late || h.kind == HEARD_INTERRUPT) { /* whose login is over stops at most */
        switch (h.kind) {
        case HEARD_QUESTION:
            hear_question(s, seat, &h);
            break;
        case HEARD_INTERRUPT:
            hear_interrupt(s, seat);
            break;
        case HEARD_HISTORY:
            session_tell_one(seat, frame_history(s));
            if (s->answer != NULL)
                answer_tell_pending(s->answer, seat);
            break;
        case HEARD_SET:
            hear_set(s, seat, &h);
            break;
        case HEARD_RETRY:
            hear_retry(s, seat, &h);
            break;
        case HEARD_EDIT:
            hear_edit(s, seat, &h);
            break;
        case HEARD_BRANCH:
            hear_branch(s, seat, &h);
            break;
        case HEARD_APPROVE:
            hear_approve(s, seat, &h);
            break;
        }
    }
    arena_fini(&arena);
}
