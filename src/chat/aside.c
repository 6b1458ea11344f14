/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aside - what a local model is asked for about a conversation besides its answers: a title, a summary.
 *
 * The conversation as a model is told it, and one order behind it. An exchange like any other, with its row and its audit,
 * always private and local, whatever the session's mode: nothing leaves the premises for a title. At most one for a
 * session, and never beside an answer. done() comes on a timer, when the exchange is over.
 */
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

#define ASIDE_BYTES_MAX  ((size_t)512 * 1024 * 1024)
#define ANSWER_BYTES_MAX ((size_t)16 * 1024)

struct aside {
    struct session *s; /* NULL: nobody wants it any more */
    struct io_loop *loop;
    struct arena arena;
    struct llm_request r;
    struct exchange_caller caller;
    struct policy_keys *keys;
    char address[64], record[37];
    struct exchange *x;
    bool over, ok;
    struct buf text;
    char model[MODEL_MAX + 1];
    void (*done)(void *arg, strv text, strv model);
    void *arg;
    struct io_timer soon;
    struct io_task burial;
};

static void aside_free(struct aside *a)
{
    if (a->text.data != NULL)
        mem_wipe(a->text.data, a->text.cap);
    buf_fini(&a->text);
    arena_fini(&a->arena);
    if (a->keys != NULL)
        policy_keys_unref(a->keys);
    mem_free(a);
}

static void bury(struct io_task *task)
{
    aside_free((struct aside *)(void *)((char *)task - offsetof(struct aside, burial)));
}

static void tell(void *arg)
{
    struct aside *a = arg;
    a->s->aside = NULL;
    a->done(a->arg, a->ok ? buf_view(&a->text) : STRV_NONE, a->ok ? strv_of(a->model) : STRV_NONE);
    aside_free(a);
}

static void over(struct aside *a, bool ok)
{
    a->over = true;
    a->ok = ok && !a->text.failed && strv_trim(buf_view(&a->text)).len > 0;
    io_timer_start(a->loop, &a->soon, 0, tell, a);
}

/* ---- the sink ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct aside *a = arg;
    strv model = exchange_model(x);
    (void)status;
    (void)type;
    (void)length;
    if (model.len <= MODEL_MAX)
        memcpy(a->model, model.ptr, model.len);
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct aside *a = arg;
    return ev->kind != LLM_EV_TEXT || buf_put_strv(&a->text, ev->text);
}

static void on_end(void *arg)
{
    over(arg, true);
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    (void)x;
    (void)error;
    (void)status;
    (void)message;
    (void)field;
    (void)retry_after_s;
    over(arg, false);
}

static void on_abort(void *arg)
{
    over(arg, false);
}

static size_t on_pending(void *arg)
{
    (void)arg;
    return 0;
}

static const struct exchange_sink sink = {.begin = on_begin,
                                          .event = on_event,
                                          .end = on_end,
                                          .fail = on_fail,
                                          .abort = on_abort,
                                          .pending = on_pending};

/* ---- the question ---- */

static bool add_order(struct aside *a, strv order)
{
    struct llm_request *r = &a->r;
    struct llm_message *all = ARENA_ARRAY(&a->arena, struct llm_message, r->n_messages + 1);
    struct llm_part *part = ARENA_NEW(&a->arena, struct llm_part);
    if (all == NULL || part == NULL)
        return false;
    if (r->n_messages > 0)
        memcpy(all, r->messages, r->n_messages * sizeof *all);
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = order};
    all[r->n_messages] = (struct llm_message){LLM_USER, part, 1};
    r->messages = all;
    r->n_messages++;
    return true;
}

static bool compose(struct aside *a, const struct aside_order *o)
{
    struct session *s = o->s;
    const char *model = s->room->env.conf->titles;
    a->r = (struct llm_request){
        .arena = &a->arena,
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = arena_strv(&a->arena, strv_of(model != NULL ? model : "")),
        .choices = 1,
        .user = STRV_NONE,
        .mode = LLM_MODE_LOCAL,
        .private_hint = true,
        .task = STRV_NONE,
        .session = STRV_NONE,
        .session_header = STRV_NONE,
        .request_id = STRV_NONE,
        .hide_reasoning = true,
        .effort = LLM_EFFORT_NONE,
    };
    llm_set(&a->r, LLM_P_MAX_TOKENS, (double)o->tokens);
    a->caller = (struct exchange_caller){
        .request_id = strv_of(a->record),
        .record_id = strv_of(a->record),
        .key = o->by->key != NULL ? o->by->key->id : NULL,
        .holder = o->by->key,
        .address = strv_of(a->address),
        .no_cache = true,
        .no_store = true,
        .received_us = io_now_us(a->loop),
    };
    return chat_tree_request(s->tree, &o->asked, &a->r) && add_order(a, o->order) &&
           !a->arena.failed;
}

bool aside_start(const struct aside_order *o)
{
    struct session *s = o->s;
    struct aside *a = s->aside == NULL ? mem_zalloc(sizeof *a) : NULL;
    if (a == NULL)
        return false;
    a->s = s;
    a->loop = s->room->loop;
    a->done = o->done;
    a->arg = o->arg;
    a->keys = o->by->keys != NULL ? policy_keys_ref(o->by->keys) : NULL;
    snprintf(a->address, sizeof a->address, "%s", o->by->address);
    rng_uuid(s->room->ex->rng, a->record);
    arena_init(&a->arena, 4096, ASIDE_BYTES_MAX);
    buf_init(&a->text, ANSWER_BYTES_MAX);
    if (!compose(a, o)) {
        aside_free(a);
        return false;
    }
    s->aside = a;
    a->x = exchange_start(s->room->ex, &a->arena, &a->r, &a->caller, &sink, a);
    if (a->x == NULL && !a->over)
        over(a, false);
    return true;
}

void aside_cancel(struct session *s)
{
    struct aside *a = s->aside;
    if (a == NULL)
        return;
    s->aside = NULL;
    a->s = NULL;
    io_timer_stop(a->loop, &a->soon);
    if (!a->over)
        exchange_caller_gone(a->x);
    a->burial.run = bury;
    io_defer(a->loop, &a->burial);
}
