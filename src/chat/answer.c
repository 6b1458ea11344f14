/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer - one answer of a session: a summary where the window is full, then an exchange, or a loop where tools are
 * wanted; what comes of it goes into the tree and to the seats.
 *
 *   answer_start() > (aside: summary) > go() > tokens, calls ... > complete | error
 *        answer_interrupt() at any time: everything stops now, upstream too
 *
 * Lives until the end of the turn in which it is over, since an exchange that is ending still stands on its memory.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

#define ANSWER_BYTES_MAX ((size_t)512 * 1024 * 1024) /* the request, and all that is made of it */
#define RESULT_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define LOOK_MS          1500 /* of silence: is there something to say about it? */
#define SHARE            4    /* of a window: for the answer, and for tools */
#define SUMMARY_TOKENS   600

struct call_name { /* a call by the model's id, and by the one that clients are told */
    struct call_name *next;
    strv id, told;
};
struct pending { /* a petition that the clients were told of */
    struct pending *next;
    struct chat_frame *told; /* for who comes back in the meantime */
    char id[32];
    bool decided;
};

struct answer {
    struct session *s; /* NULL once it is over */
    struct io_loop *loop;
    uint32_t n;
    struct chat_message *m;
    struct arena arena;
    struct llm_request r;
    struct exchange_caller caller;
    struct policy_keys *keys;
    char address[64], id[37];
    struct exchange *x;
    struct agent_loop *tools; /* in its place, where tools are wanted */
    uint32_t cut;             /* a summary is being made of all up to here */
    struct call_name *calls;  /* the latest first */
    struct pending *pending;
    size_t n_calls;
    int64_t begun_us, first_us;
    bool refused; /* the conversation has no room for what came */
    bool queue_told, load_told;
    struct io_timer look;
    struct io_task burial;
};

/* ---- the end ---- */

static void bury(struct io_task *task)
{
    struct answer *a = (struct answer *)(void *)((char *)task - offsetof(struct answer, burial));
    for (struct pending *w = a->pending; w != NULL; w = w->next)
        chat_frame_unref(w->told);
    arena_fini(&a->arena);
    if (a->keys != NULL)
        policy_keys_unref(a->keys);
    mem_free(a);
}

static void over(struct answer *a)
{
    assert(a->s != NULL);
    a->s = NULL;
    io_timer_stop(a->loop, &a->look);
    a->burial.run = bury;
    io_defer(a->loop, &a->burial);
}

static struct exchange *exchange_of(const struct answer *a)
{
    return a->tools != NULL ? agent_exchange(a->tools) : a->x;
}

/* Who asks for local answers makes his conversation no private one by that, and may change his mind; what was found in it
 * does, and results of tools do, which nobody has read for it. */
static void look_private(struct answer *a)
{
    const struct exchange *x = exchange_of(a);
    bool by_choice = a->r.mode == LLM_MODE_LOCAL;
    bool found =
        x != NULL && exchange_private(x) && (!by_choice || exchange_findings(x)[0] != '\0');
    bool pinned = a->tools != NULL && agent_private(a->tools) && (!by_choice || a->n_calls > 0);
    if (found || pinned)
        session_made_private(a->s);
    if (x != NULL && exchange_judged(x))
        session_was_read(a->s);
}

static strv text_of(const char *text)
{
    return strv_of(text != NULL ? text : "");
}

static void sum(const struct answer *a, const struct exchange *x, struct chat_facts *f)
{
    struct exchange_sums all;
    struct llm_usage latest;
    if (a->tools != NULL) {
        agent_sum(a->tools, &all, &latest);
    } else {
        exchange_sum(x, &all);
        latest = all.usage;
    }
    f->zone = all.local ? STRV("local") : STRV("cloud");
    f->cost_micro = all.cost_micro;
    f->saved_micro = all.saved_micro;
    f->tokens_in = all.usage.input;
    f->tokens_out = all.usage.output;
    f->window_size = all.window;
    if (latest.input >= 0)
        f->window_used = latest.input + (latest.output > 0 ? latest.output : 0);
}

static struct chat_facts facts_of(const struct answer *a)
{
    const struct exchange *x = exchange_of(a);
    struct chat_facts f = CHAT_FACTS_NONE;
    f.request_id = strv_of(a->id);
    f.mode = strv_of(mode_name(a->r.mode));
    f.is_private = a->s->is_private;
    f.total_us = io_now_us(a->loop) - a->begun_us;
    f.first_token_us = a->first_us > 0 ? a->first_us - a->begun_us : -1;
    if (x == NULL)
        return f;
    f.task = exchange_task(x);
    f.findings = text_of(exchange_findings(x));
    f.why = text_of(exchange_reason(x));
    if (exchange_provider(x) != NULL) {
        f.provider = strv_of(exchange_provider(x));
        f.model = exchange_model(x);
        sum(a, x, &f);
    }
    return f;
}

static void end_whole(struct answer *a)
{
    struct session *s = a->s;
    uint32_t n = a->n;
    look_private(a);
    struct chat_facts f = facts_of(a);
    a->m->state = CHAT_WHOLE;
    (void)chat_tree_facts(s->tree, a->m, &f);
    session_tell(s, frame_complete(s, n, &f));
    over(a);
    session_answered(s, n, true);
}

static void end_failed(struct answer *a, const char *code, strv message, uint64_t retry_after_s)
{
    struct session *s = a->s;
    uint32_t n = a->n;
    look_private(a);
    struct chat_facts f = facts_of(a);
    f.error = message;
    a->m->state = CHAT_FAILED;
    (void)chat_tree_facts(s->tree, a->m, &f);
    session_tell(s, frame_error(s, message, code, n, retry_after_s));
    over(a);
    session_answered(s, n, false);
}

static void end_error(struct answer *a, int error, strv message, uint64_t retry_after_s)
{
    const struct llm_error_row *row = llm_error_row(error);
    if (a->refused)
        end_failed(a, "session_full", STRV("The conversation is full: begin a new one."), 0);
    else
        end_failed(a, row->code, message.len > 0 ? message : strv_of(row->text), retry_after_s);
}

void answer_interrupt(struct answer *a)
{
    struct session *s = a->s;
    look_private(a);
    struct chat_facts f = facts_of(a);
    (void)chat_tree_facts(s->tree, a->m, &f);
    aside_cancel(s);
    over(a);
    if (a->tools != NULL)
        agent_caller_gone(a->tools);
    else if (a->x != NULL)
        exchange_caller_gone(a->x);
}

uint32_t answer_number(const struct answer *a)
{
    return a->n;
}

/* ---- the sink ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct answer *a = arg;
    const char *absent = a->tools != NULL ? agent_absent(a->tools) : NULL;
    (void)status;
    (void)type;
    (void)length;
    if (a->tools == NULL)
        a->x = x;
    look_private(a);
    if (absent != NULL)
        session_tell(a->s, frame_notice(a->s, "tools_absent", strv_of(absent)));
}

static bool on_text(struct answer *a, strv text, bool reasoning)
{
    struct session *s = a->s;
    if (text.len == 0)
        return true;
    if (a->first_us == 0)
        a->first_us = io_now_us(a->loop);
    bool ok =
        reasoning ? chat_tree_reasoning(s->tree, a->m, text) : chat_tree_text(s->tree, a->m, text);
    a->refused = a->refused || !ok;
    if (ok && !list_empty(&s->seats))
        session_tell(s, frame_piece(s, reasoning ? "reasoning" : "token", text));
    return ok;
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct answer *a = arg;
    if (a->s == NULL || a->refused)
        return false;
    if (ev->kind == LLM_EV_TEXT)
        return on_text(a, ev->text, false);
    if (ev->kind == LLM_EV_REASONING && !ev->redacted)
        return on_text(a, ev->text, true);
    return true;
}

static void on_end(void *arg)
{
    struct answer *a = arg;
    if (a->refused) /* of a call: there was no event behind it to say so */
        end_error(a, LLM_ERR_INTERNAL, STRV_NONE, 0);
    else
        end_whole(a);
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    struct answer *a = arg;
    (void)status;
    (void)field;
    if (a->tools == NULL)
        a->x = x;
    end_error(a, error, message, retry_after_s);
}

static void on_abort(void *arg)
{
    struct answer *a = arg;
    const struct exchange *x = exchange_of(a);
    int error = x != NULL ? exchange_error(x) : LLM_ERR_INTERNAL;
    end_error(a, error > LLM_OK ? error : LLM_ERR_INTERNAL, STRV_NONE, 0);
}

/* Seats that do not read are shut; nobody else has to wait for them. */
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

/* ---- tools ---- */

static bool is_told(const struct answer *a, strv id)
{
    for (const struct call_name *c = a->calls; c != NULL; c = c->next)
        if (strv_eq(c->told, id))
            return true;
    return false;
}

static const struct call_name *name_call(struct answer *a, strv id)
{
    struct call_name *c = ARENA_NEW(&a->arena, struct call_name);
    if (c == NULL)
        return NULL;
    a->n_calls++;
    c->id = arena_strv(&a->arena, id);
    c->told = c->id;
    if (id.len == 0 || is_told(a, id))
        c->told = strv_of(arena_printf(&a->arena, STRV_FMT "_%zu",
                                       STRV_ARG(id.len > 0 ? id : STRV("call")), a->n_calls));
    if (c->id.ptr == NULL || c->told.ptr == NULL)
        return NULL;
    c->next = a->calls;
    a->calls = c;
    return c;
}

static strv told_of(const struct answer *a, strv id)
{
    for (const struct call_name *c = a->calls; c != NULL; c = c->next)
        if (strv_eq(c->id, id))
            return c->told;
    return id;
}

static void see_begun(void *arg, strv id, strv name)
{
    struct answer *a = arg;
    const struct call_name *c = name_call(a, id);
    if (c == NULL)
        a->refused = true;
    else
        session_tell(a->s, frame_call_start(a->s, name, c->told));
}

static void see_called(void *arg, strv id, strv name, strv server, strv input)
{
    struct answer *a = arg;
    struct session *s = a->s;
    const struct chat_call call = {
        .id = told_of(a, id), .name = name, .server = server, .input = input, .result = STRV_NONE};
    if (chat_tree_call(s->tree, a->m, &call))
        session_tell(s, frame_call(s, &a->m->calls[a->m->n_calls - 1]));
    else
        a->refused = true;
}

static void see_waits(void *arg, strv id, const struct agent_petition *p)
{
    struct answer *a = arg;
    struct pending *w = ARENA_NEW(&a->arena, struct pending);
    if (w == NULL) {
        a->refused = true;
        return;
    }
    struct chat_frame *f = frame_approval(a->s, told_of(a, id), p);
    *w = (struct pending){.next = a->pending, .told = f != NULL ? chat_frame_ref(f) : NULL};
    snprintf(w->id, sizeof w->id, "%s", p->id);
    a->pending = w;
    session_tell(a->s, f);
}

void answer_tell_pending(const struct answer *a, struct chat_seat *seat)
{
    for (const struct pending *w = a->pending; w != NULL; w = w->next)
        if (!w->decided && w->told != NULL)
            seat_tell(seat, w->told);
}

static struct pending *pending_of(const struct answer *a, strv id)
{
    for (struct pending *w = a->pending; w != NULL; w = w->next)
        if (strv_eq_cstr(id, w->id))
            return w;
    return NULL;
}

bool answer_petitions(const struct answer *a, strv id)
{
    const struct pending *w = pending_of(a, id);
    return w != NULL && !w->decided;
}

void answer_decided(struct answer *a, strv id, const char *decision, const char *by)
{
    struct pending *w = pending_of(a, id);
    if (w == NULL || w->decided)
        return;
    w->decided = true;
    session_tell(a->s, frame_decided(a->s, id, decision, by));
}

static void see_decided(void *arg, strv id, const struct agent_petition *p)
{
    (void)id;
    answer_decided(arg, strv_of(p->id), agent_decision_name(p->decision), p->decided_by);
}

static void see_result(void *arg, strv id, strv name, const struct agent_outcome *outcome)
{
    struct answer *a = arg;
    struct session *s = a->s;
    struct buf text;
    strv told = told_of(a, id);
    (void)name;
    buf_init(&text, RESULT_BYTES_MAX);
    for (size_t i = 0; i < outcome->part.n_parts; i++)
        if (outcome->part.parts[i].kind == LLM_PART_TEXT)
            buf_put_strv(&text, outcome->part.parts[i].text);
    bool ok =
        !text.failed && chat_tree_result(s->tree, a->m, told, buf_view(&text), outcome->is_error,
                                         outcome->suspect ? STRV("suspect") : STRV(""));
    buf_fini(&text);
    a->refused = a->refused || !ok;
    for (size_t i = 0; ok && i < a->m->n_calls; i++)
        if (strv_eq(a->m->calls[i].id, told))
            session_tell(s, frame_result(s, &a->m->calls[i]));
}

static const struct agent_watch watch = {.begun = see_begun,
                                         .called = see_called,
                                         .waits = see_waits,
                                         .decided = see_decided,
                                         .result = see_result};

/* ---- the question ---- */

static bool wants_tools(const struct session *s)
{
    const struct agent_env *agent = s->room->env.agent;
    return s->tools && agent != NULL && agent->hub != NULL && agent->conf != NULL &&
           agent->conf->n_servers > 0;
}

static void look(void *arg)
{
    struct answer *a = arg;
    struct exchange *x = exchange_of(a);
    const char *what = x != NULL && a->first_us == 0 ? exchange_waits(x) : NULL;
    io_timer_start(a->loop, &a->look, LOOK_MS, look, a);
    if (what == NULL)
        return;
    if (strcmp(what, "queue") == 0 && !a->queue_told) {
        a->queue_told = true;
        session_tell(a->s, frame_notice(a->s, "queue",
                                        STRV("The model is busy with others: the answer waits.")));
    } else if (strcmp(what, "load") == 0 && !a->load_told) {
        a->load_told = true;
        session_tell(a->s, frame_notice(a->s, "model_loading",
                                        STRV("The model is being loaded: this may take a while.")));
    }
}

static struct chat_asked asked_of(const struct answer *a)
{
    const struct session *s = a->s;
    return (struct chat_asked){
        .system = s->now.has_system ? words_of(&s->now.system) : words_of(&s->system),
        .summary = words_of(&s->summary),
        .summary_to = s->summary_to,
        .upto = s->now.n,
    };
}

static void set_params(struct llm_request *r, const struct params *p)
{
    if (p->has_temperature)
        llm_set(r, LLM_P_TEMPERATURE, p->temperature);
    if (p->has_top_p)
        llm_set(r, LLM_P_TOP_P, p->top_p);
    if (p->has_max_tokens)
        llm_set(r, LLM_P_MAX_TOKENS, p->max_tokens);
    r->effort = p->effort;
}

static void compose(struct answer *a)
{
    const struct session *s = a->s;
    const struct policy_key *key = s->now.by.key;
    a->r = (struct llm_request){
        .arena = &a->arena,
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = arena_strv(&a->arena, words_of(&s->model)),
        .stream = true,
        .choices = 1,
        .user = STRV_NONE,
        .mode = session_mode(s, key),
        .private_hint = s->is_private,
        .task = STRV_NONE,
        .session = strv_of(arena_printf(&a->arena, "chat:%s:%s", s->user, s->id)),
        .session_header = STRV_NONE,
        .request_id = STRV_NONE,
    };
    set_params(&a->r, &s->now.params);
    a->caller = (struct exchange_caller){
        .request_id = strv_of(a->id),
        .record_id = strv_of(a->id),
        .key = key != NULL ? key->id : NULL,
        .holder = key,
        .address = strv_of(a->address),
        .received_us = io_now_us(a->loop),
    };
}

static void go(struct answer *a)
{
    struct session *s = a->s;
    struct chat_room *room = s->room;
    const struct chat_asked asked = asked_of(a);
    if (!chat_tree_request(s->tree, &asked, &a->r) || a->arena.failed) {
        end_error(a, LLM_ERR_INTERNAL, STRV_NONE, 0);
        return;
    }
    for (size_t i = 0; i < a->r.n_messages; i++)
        for (size_t k = 0; k < a->r.messages[i].n_parts; k++)
            a->caller.bytes_in += (int64_t)a->r.messages[i].parts[k].text.len;
    io_timer_start(a->loop, &a->look, LOOK_MS, look, a);
    bool started;
    if (wants_tools(s)) {
        struct agent_loop *l =
            agent_start_watched(room->env.agent, &a->arena, &a->r, &a->caller, &sink, &watch, a);
        started = l != NULL;
        if (a->s != NULL)
            a->tools = l;
    } else {
        struct exchange *x = exchange_start(room->ex, &a->arena, &a->r, &a->caller, &sink, a);
        started = x != NULL;
        if (a->s != NULL)
            a->x = x;
    }
    if (a->s == NULL) /* it is over already */
        return;
    if (started)
        look_private(a);
    else
        end_error(a, LLM_ERR_INTERNAL, STRV_NONE, 0);
}

/* ---- a window that is full ---- */

/* Of the model that will most likely answer; 0 = nobody knows. */
static int64_t window_of(struct answer *a)
{
    struct exchange_env *ex = a->s->room->ex;
    struct policy_plan *plan = ARENA_NEW(&a->arena, struct policy_plan);
    struct provider_facts facts;
    struct err err = ERR_INIT;
    if (plan == NULL || !exchange_find(ex, &a->r, a->caller.holder, &a->arena, plan, &err) ||
        plan->n == 0)
        return 0; /* the exchange will say why */
    provider_model_facts(&ex->snapshot->providers[plan->targets[0].provider],
                         plan->targets[0].model, &a->arena, &facts);
    return facts.context;
}

static uint32_t messages_upto(struct session *s, uint32_t n)
{
    uint32_t count = 0;
    for (const struct chat_message *m = chat_tree_find(s->tree, n); m != NULL; count++)
        m = m->parent != 0 ? chat_tree_find(s->tree, m->parent) : NULL;
    return count;
}

/* Without a summary the oldest are left out, and the model is told so. */
static void on_summary(void *arg, strv text, strv model)
{
    struct answer *a = arg;
    struct session *s = a->s;
    strv summary = strv_trim(text);
    if (text.ptr == NULL)
        summary = STRV("(The beginning of this conversation was left out: it was too long.)");
    if (!words_set(&s->summary, summary)) {
        end_error(a, LLM_ERR_INTERNAL, STRV_NONE, 0);
        return;
    }
    s->summary_to = a->cut;
    session_tell(s, frame_summary(s, messages_upto(s, a->cut), (int64_t)(summary.len / 3 + 1),
                                  text.ptr != NULL ? model : STRV_NONE));
    session_save(s, NULL, 0);
    go(a);
}

/* True: a summary is being made first. */
static bool summarise(struct answer *a)
{
    struct session *s = a->s;
    int64_t window = window_of(a), share = window / SHARE, answer = share;
    struct chat_asked asked = asked_of(a);
    if (window <= 0)
        return false;
    if (llm_has(&a->r, LLM_P_MAX_TOKENS) && a->r.params[LLM_P_MAX_TOKENS] < (double)share)
        answer = (int64_t)a->r.params[LLM_P_MAX_TOKENS];
    a->cut = chat_tree_oldest(s->tree, &asked, window - answer - (wants_tools(s) ? share : 0));
    if (a->cut == 0)
        return false;
    asked.system = STRV("");
    asked.upto = a->cut;
    const struct aside_order order = {
        .s = s,
        .by = &s->now.by,
        .asked = asked,
        .order = STRV("Summarise this conversation so far, so that it can go on from the summary "
                      "alone: what was asked, what was found and decided, names, numbers and dates "
                      "that matter. At most 300 words, in its language, no preamble."),
        .tokens = SUMMARY_TOKENS,
        .done = on_summary,
        .arg = a,
    };
    if (!aside_start(&order))
        on_summary(a, STRV_NONE, STRV_NONE);
    return true;
}

void answer_start(struct session *s, uint32_t n)
{
    struct answer *a = mem_zalloc(sizeof *a);
    struct chat_message *m = chat_tree_find(s->tree, n);
    if (a == NULL) {
        m->state = CHAT_FAILED;
        session_tell(s, frame_error(s, strv_of(llm_error_row(LLM_ERR_INTERNAL)->text),
                                    llm_error_row(LLM_ERR_INTERNAL)->code, n, 0));
        session_answered(s, n, false);
        return;
    }
    s->answer = a;
    a->s = s;
    a->loop = s->room->loop;
    a->n = n;
    a->m = m;
    a->begun_us = io_now_us(a->loop);
    a->keys = s->now.by.keys != NULL ? policy_keys_ref(s->now.by.keys) : NULL;
    snprintf(a->address, sizeof a->address, "%s", s->now.by.address);
    rng_uuid(s->room->ex->rng, a->id);
    arena_init(&a->arena, 4096, ANSWER_BYTES_MAX);
    compose(a);
    if (!summarise(a))
        go(a);
}
