/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - see session.h. What its clients say, one after the other; everything happens on its home's thread.
 *
 *   question > (rate) > tree > `message` > file > begin_answer() > answer.c > session_answered() > file > what is queued
 *
 * A question that comes while an answer runs stands in the tree behind that answer already, so its place is sure; it is
 * taken back if the answer is interrupted.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

#define SAVED_MAX ((size_t)1024 * 1024 * 1024) /* of all messages' JSON in one go */

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

static void question_fini(struct question *q)
{
    asker_fini(&q->by);
    words_fini(&q->system);
    *q = (struct question){0};
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
static void rest(struct session *s)
{
    struct chat_room *r = s->room;
    bool quiet = s->stage == SESSION_IDLE && list_empty(&s->seats);
    list_del(&s->quiet_node);
    if (!quiet) {
        io_timer_stop(r->loop, &s->quiet);
        return;
    }
    list_add_tail(&r->quiet, &s->quiet_node);
    io_timer_start(r->loop, &s->quiet, r->env.conf->quiet_ms, on_quiet, s);
}

static void set_stage(struct session *s, enum stage stage)
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

static void tell_one(struct chat_seat *seat, struct chat_frame *f)
{
    if (f != NULL)
        seat_tell(seat, f);
    else
        seat_shut(seat, 1013, "out of memory");
    chat_frame_unref(f);
}

static void refuse(struct session *s, struct chat_seat *seat, const char *code, const char *why,
                   uint64_t retry_after_s)
{
    tell_one(seat, frame_error(s, strv_of(why), code, 0, retry_after_s));
}

static void notice(struct session *s, struct chat_seat *seat, const char *code, const char *why)
{
    tell_one(seat, frame_notice(s, code, strv_of(why)));
}

void session_changed(struct session *s)
{
    session_tell(s, frame_session(s));
}

/* ---- kept ---- */

void session_head(struct session *s, struct chat_head *out)
{
    const struct chat_message *leaf = chat_tree_leaf(s->tree);
    if (leaf != NULL && leaf->n == s->next.n) /* not kept before its answer begins */
        leaf = chat_tree_find(s->tree, leaf->parent);
    if (leaf != NULL && leaf->state == CHAT_RUNNING)
        leaf = chat_tree_find(s->tree, leaf->parent);
    *out = (struct chat_head){
        .title = words_of(&s->title),
        .mode = strv_of(mode_name(s->mode)),
        .model = words_of(&s->model),
        .system = words_of(&s->system),
        .summary = words_of(&s->summary),
        .summary_to = s->summary_to,
        .leaf = leaf != NULL ? leaf->n : 0,
        .n_messages = chat_tree_count(s->tree),
        .is_private = s->is_private,
        .tools = s->tools,
        .created_us = s->created_us,
        .last_us = s->last_us,
    };
    memcpy(out->id, s->id, sizeof out->id);
    memcpy(out->user, s->user, sizeof out->user);
}

static void set_kept(struct session *s, bool kept)
{
    bool changed = s->kept != kept;
    s->kept = kept;
    if (changed && !s->gone)
        session_changed(s);
}

static void on_kept(void *arg, enum chat_kept how)
{
    struct session *s = arg;
    if (!s->gone) {
        s->save_all = s->save_all || how != CHAT_KEPT_OK;
        set_kept(s, how == CHAT_KEPT_OK && !s->save_all);
        if (how == CHAT_KEPT_OK && s->save_all) /* it can be written again: now all of it */
            session_save(s, NULL, 0);
    }
    session_errand_over(s);
}

struct saving {
    struct buf bytes;
    strv *texts;
    uint32_t *numbers;
    size_t *ends, n;
};

static bool put_message(struct session *s, struct saving *v, uint32_t n)
{
    const struct chat_message *m = chat_tree_find(s->tree, n);
    if (m == NULL || m->state == CHAT_RUNNING || n == s->next.n)
        return true;
    if (!chat_message_json(s->tree, m, true, &v->bytes))
        return false;
    v->numbers[v->n] = n;
    v->ends[v->n++] = buf_len(&v->bytes);
    return true;
}

static bool put_messages(struct session *s, struct saving *v, const uint32_t *numbers, size_t n)
{
    bool ok = v->texts != NULL && v->numbers != NULL && v->ends != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = put_message(s, v, s->save_all ? (uint32_t)i + 1 : numbers[i]);
    for (size_t i = 0; ok && i < v->n; i++) {
        size_t from = i > 0 ? v->ends[i - 1] : 0;
        v->texts[i] = (strv){buf_view(&v->bytes).ptr + from, v->ends[i] - from};
    }
    return ok;
}

void session_save(struct session *s, const uint32_t *numbers, size_t n)
{
    struct chat_keep *keep = s->room->env.keep;
    struct chat_head head;
    struct saving v = {0};
    if (keep == NULL)
        return;
    if (s->is_private && !chat_keep_private(keep)) /* the head alone: then the file forgets it */
        n = 0;
    else if (s->save_all)
        n = chat_tree_count(s->tree);
    session_head(s, &head);
    buf_init(&v.bytes, SAVED_MAX);
    v.texts = mem_zalloc((n + 1) * sizeof *v.texts);
    v.numbers = mem_zalloc((n + 1) * sizeof *v.numbers);
    v.ends = mem_zalloc((n + 1) * sizeof *v.ends);
    s->errands++;
    bool all = s->save_all;
    if (put_messages(s, &v, numbers, n) &&
        chat_keep_put(keep, s->room->loop, &head, v.texts, v.numbers, v.n, on_kept, s)) {
        s->save_all = false;
    } else {
        s->errands--;
        s->save_all = all || n > 0;
        set_kept(s, false);
    }
    if (v.bytes.data != NULL)
        mem_wipe(v.bytes.data, v.bytes.cap);
    buf_fini(&v.bytes);
    mem_free(v.texts);
    mem_free(v.numbers);
    mem_free(v.ends);
}

static void touch(struct session *s)
{
    s->last_us = io_wall_us(s->room->loop);
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
    session_changed(s);
}

/* ---- title ---- */

bool session_set_title(struct session *s, strv title)
{
    char clean[TITLE_BYTES + 1];
    size_t n = 0, chars = 0;
    bool blank = false;
    title = strv_trim(title);
    for (size_t i = 0; i < title.len && chars < TITLE_CHARS; chars++) {
        int len = utf8_char(strv_from(title, i));
        if (len <= 0 || n + (size_t)len + 1 > TITLE_BYTES)
            break;
        unsigned char c = (unsigned char)title.ptr[i];
        if (c <= 0x20 || c == 0x7f) { /* one line */
            blank = true;
        } else {
            if (blank)
                clean[n++] = ' ';
            blank = false;
            memcpy(clean + n, title.ptr + i, (size_t)len);
            n += (size_t)len;
        }
        i += (size_t)len;
    }
    return words_set(&s->title, (strv){clean, n});
}

/* The beginning of the first question, cut at a word. */
static void title_of_question(struct session *s, strv question)
{
    strv line = strv_trim(question), rest = line;
    size_t chars = 0, at = 0, word = 0;
    (void)strv_cut(&rest, '\n', &line);
    line = strv_trim(line);
    while (at < line.len && chars < TITLE_CHARS) {
        int len = utf8_char(strv_from(line, at));
        if (line.ptr[at] == ' ')
            word = at;
        at += len > 0 ? (size_t)len : 1;
        chars++;
    }
    if (at < line.len && word > 0)
        at = word;
    s->title_wanted = session_set_title(s, (strv){line.ptr, at});
}

static void on_title(void *arg, strv text, strv model)
{
    struct session *s = arg;
    strv rest = strv_trim(text), line;
    (void)model;
    if (rest.len == 0 || !strv_cut(&rest, '\n', &line))
        return;
    line = strv_trim(line);
    while (line.len > 1 && (line.ptr[0] == '"' || line.ptr[0] == '*' || line.ptr[0] == '#'))
        line = strv_trim(strv_from(line, 1));
    while (line.len > 1 && (line.ptr[line.len - 1] == '"' || line.ptr[line.len - 1] == '*' ||
                            line.ptr[line.len - 1] == '.'))
        line.len--;
    if (line.len == 0 || !session_set_title(s, line))
        return;
    s->title_wanted = false;
    session_save(s, NULL, 0);
    session_changed(s);
}

static void ask_title(struct session *s, const struct asker *by, uint32_t n)
{
    const struct aside_order order = {
        .s = s,
        .by = by,
        .asked = {.upto = n},
        .order = STRV("Write a title for this conversation: at most six words, in its language, on "
                      "one line, without quotes. Answer with the title alone."),
        .tokens = 32,
        .done = on_title,
        .arg = s,
    };
    if (s->title_wanted && s->room->env.conf->titles != NULL)
        (void)aside_start(&order);
}

/* ---- answers ---- */

static void fail_before(struct session *s)
{
    session_tell(s, frame_error(s, STRV("The conversation is full, or there is no memory for it."),
                                "session_full", 0, 0));
    question_fini(&s->now);
    set_stage(s, SESSION_IDLE);
    rest(s);
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
    set_stage(s, SESSION_ANSWER);
    rest(s);
    session_tell(s, frame_begin(s, m->n, question));
    answer_start(s, m->n);
}

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

static void on_next(void *arg)
{
    struct session *s = arg;
    question_fini(&s->now);
    s->now = s->next;
    s->next = (struct question){0};
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
        set_stage(s, SESSION_NEXT);
        io_timer_start(s->room->loop, &s->soon, 0, on_next, s);
    } else {
        question_fini(&s->next);
        set_stage(s, SESSION_IDLE);
    }
    session_save(s, &n, 1);
    if (whole && !next && !s->room->draining)
        ask_title(s, &by, n);
    asker_fini(&by);
    shut_late(s);
    rest(s);
    room_look(s->room);
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

void session_interrupt(struct session *s)
{
    uint32_t dropped = drop_queued(s);
    io_timer_stop(s->room->loop, &s->soon);
    if (s->answer == NULL) {
        set_stage(s, SESSION_IDLE);
        session_tell(s, frame_interrupted(s, 0, false, dropped));
        shut_late(s);
        rest(s);
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
    q.n = m->n;
    touch(s);
    if (s->title.len == 0)
        title_of_question(s, h->content);
    session_tell(s, frame_message(s, m, h->ref, queued));
    if (queued) {
        s->next = q;
        return;
    }
    question_fini(&s->now);
    s->now = q;
    session_save(s, &q.n, 1);
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
    if (m == NULL || m->assistant)
        refuse(s, seat, "not_found", "message: there is no such question", 0);
    else if (is_idle(s, seat) && may_ask(s, seat))
        ask(s, seat, h, m->parent);
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
        tell_one(seat, frame_decided(s, h->id, agent_decision_name(d), by));
    }
}

static void hear_interrupt(struct session *s, struct chat_seat *seat)
{
    if (s->stage == SESSION_IDLE)
        tell_one(seat, frame_interrupted(s, 0, false, 0));
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
    } else {
        switch (h.kind) {
        case HEARD_QUESTION:
            hear_question(s, seat, &h);
            break;
        case HEARD_INTERRUPT:
            hear_interrupt(s, seat);
            break;
        case HEARD_HISTORY:
            tell_one(seat, frame_history(s));
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
    rest(s);
    if (seat->user.until_us > 0) {
        int64_t left = seat->user.until_us - io_wall_us(loop);
        io_timer_start(loop, &seat->until, left > 0 ? (uint64_t)left / 1000 : 0, on_login_over,
                       seat);
    }
    tell_one(seat, frame_connected(s));
}

void session_lose_seat(struct session *s, struct chat_seat *seat)
{
    list_del(&seat->node);
    seat->session = NULL;
    io_timer_stop(s->room->loop, &seat->until);
    rest(s);
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
    rest(s);
    room_hear(s->room, l);
}
