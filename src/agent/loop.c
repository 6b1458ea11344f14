/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - question after question; see loop.h. turn.c runs the calls of an answer, speak.c writes to the caller, model.c
 * knows what the models can take.
 *
 *   (meaning >) menu > loop_ask > exchange > on_event* > on_end --no call of ours--> conclude
 *                         ^                                 |
 *                         '---- results < turn_begin <------'
 *
 * All that happens between two exchanges begins with a timer, so that nothing is started or freed under the feet of one
 * that is ending. The memory of a loop goes at the end of the turn of the event loop in which it was over.
 */
#include <assert.h>
#include <string.h>

#include "agent/loop_int.h"

#define LOOP_BYTES_MAX ((size_t)64 * 1024 * 1024) /* questions, answers and results of all rounds */
#define ANSWER_MAX     ((size_t)8 * 1024 * 1024)  /* of one round */
#define QUESTION_MAX   4096
#define BEFORE_MAX     2048
#define USED_MAX       64
#define LOOK_MS        50   /* how often it is looked whether servers are there */
#define TICK_MS        1000 /* how often silence and deadline are looked at */

static void tick(void *arg);

/* ---- is it one? ---- */

static bool is_agent(const struct mcp_conf *conf, strv model)
{
    for (size_t i = 0; conf->agents != NULL && conf->agents[i] != NULL; i++)
        if (strv_glob(strv_of(conf->agents[i]), model))
            return true;
    return false;
}

bool agent_wanted(const struct agent_env *env, const struct llm_request *r,
                  const struct policy_key *key)
{
    if (r->op != LLM_OP_CHAT)
        return false;
    if (r->n_mcp > 0)
        return true;
    if (env == NULL || env->hub == NULL || env->conf == NULL || env->conf->n_servers == 0 ||
        r->choices > 1 || r->choose == LLM_CHOOSE_NONE)
        return false;
    return (key != NULL && key->rules.agent) || is_agent(env->conf, r->model);
}

/* ---- which tools ---- */

static bool is_callers(const struct agent_loop *l, strv name)
{
    for (size_t i = 0; i < l->r->n_tools; i++)
        if (strv_eq(l->r->tools[i].name, name))
            return true;
    return false;
}

static bool is_allowed(const struct llm_mcp *m, const struct mcp_tool *t)
{
    if (!strv_eq_cstr(m->server, t->server->name) || (m->read_only && t->effect != MCP_READ))
        return false;
    for (size_t i = 0; i < m->n_allowed; i++)
        if (strv_glob(m->allowed[i], t->name) || strv_glob(m->allowed[i], strv_of(t->id)))
            return true;
    return !m->narrowed;
}

bool loop_may_leave(const struct agent_loop *l)
{
    return !l->is_private && l->r->mode != LLM_MODE_LOCAL && !l->snapshot->policy.airgap &&
           l->snapshot->policy.mode != LLM_MODE_LOCAL;
}

bool loop_may(void *arg, const struct mcp_tool *t, bool *ask)
{
    struct agent_loop *l = arg;
    bool named = l->r->n_mcp == 0;
    if (ask != NULL)
        *ask = false;
    for (size_t i = 0; i < l->r->n_mcp; i++) {
        if (!is_allowed(&l->r->mcp[i], t))
            continue;
        named = true;
        if (ask != NULL)
            *ask = *ask || l->r->mcp[i].ask;
    }
    return named && (t->server->local || loop_may_leave(l)) && !is_callers(l, strv_of(t->id)) &&
           agent_may(l->caller->holder, t);
}

static bool may_see(void *arg, const struct mcp_tool *t)
{
    return loop_may(arg, t, NULL);
}

void loop_wish(struct agent_loop *l, struct agent_wish *out)
{
    *out = (struct agent_wish){.may = may_see,
                               .arg = l,
                               .tokens_max = l->menu_tokens,
                               .bytes_max = l->env->conf->offer_bytes,
                               .tools_max = l->env->conf->offer_max,
                               .question = STRV(""),
                               .before = STRV("")};
}

static void put_texts(struct buf *b, const struct llm_message *m)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        if (m->parts[i].kind != LLM_PART_TEXT)
            continue;
        buf_put_strv(b, m->parts[i].text);
        buf_put_char(b, '\n');
    }
}

static strv text_of(struct agent_loop *l, const struct llm_message *m, size_t max)
{
    struct buf b;
    buf_init(&b, LOOP_BYTES_MAX);
    put_texts(&b, m);
    strv all = buf_view(&b);
    if (all.len > max)
        all.len = utf8_whole((strv){all.ptr, max});
    strv copy = arena_strv(&l->own, all);
    buf_fini(&b);
    return copy.ptr != NULL ? copy : STRV("");
}

/* What is asked now, and the turn before. */
static void ask_menu(struct agent_loop *l, struct agent_wish *wish)
{
    const struct llm_request *r = l->r;
    size_t last = r->n_messages;
    while (last > 0 && r->messages[last - 1].role != LLM_USER)
        last--;
    if (last == 0)
        return;
    wish->question = text_of(l, &r->messages[last - 1], QUESTION_MAX);
    for (size_t i = last - 1; i > 0; i--)
        if (r->messages[i - 1].role == LLM_USER) {
            wish->before = text_of(l, &r->messages[i - 1], BEFORE_MAX);
            break;
        }
}

static const char *const *used_tools(struct agent_loop *l)
{
    const struct llm_request *r = l->r;
    const struct mcp_catalogue *c = agent_index_catalogue(l->index);
    const char **ids = ARENA_ARRAY(&l->own, const char *, USED_MAX + 1);
    size_t n = 0;
    for (size_t i = 0; ids != NULL && i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts && n < USED_MAX; k++) {
            const struct llm_part *p = &r->messages[i].parts[k];
            const struct mcp_tool *t =
                p->kind == LLM_PART_CALL ? mcp_catalogue_tool(c, p->name) : NULL;
            if (t != NULL)
                ids[n++] = t->id;
        }
    return ids;
}

/* Once: it does not change while the loop runs, whatever the servers do. */
static bool make_menu(struct agent_loop *l, const float *meaning, size_t n)
{
    struct agent_wish wish;
    if (l->index == NULL)
        return true;
    model_room(l, &l->menu_tokens, &l->result_bytes);
    loop_wish(l, &wish);
    ask_menu(l, &wish);
    wish.used = used_tools(l);
    wish.meaning = meaning;
    wish.n_meaning = n;
    return agent_menu_make(l->index, &wish, &l->own, &l->menu) && !l->own.failed;
}

/* The caller's own, and ours. */
static bool offer(struct agent_loop *l)
{
    size_t n = l->last ? 0 : l->menu.n, own = l->r->n_tools;
    l->ask.tools = ARENA_ARRAY(&l->own, struct llm_tool, own + n + 1);
    if (l->ask.tools == NULL)
        return false;
    if (own > 0)
        memcpy(l->ask.tools, l->r->tools, own * sizeof *l->ask.tools);
    if (n > 0)
        memcpy(l->ask.tools + own, l->menu.tools, n * sizeof *l->ask.tools);
    l->ask.n_tools = own + n;
    if (l->ask.n_tools > 0)
        l->ask.needs |= LLM_NEED_TOOLS;
    else if (!l->ask.has_history)
        l->ask.needs &= ~(uint32_t)LLM_NEED_TOOLS;
    if (l->rounds > 1 || l->ask.n_tools == 0) { /* a choice that is forced is made once */
        if (l->ask.choose == LLM_CHOOSE_ANY || l->ask.choose == LLM_CHOOSE_ONE)
            l->ask.choose = LLM_CHOOSE_AUTO;
    }
    return true;
}

/* ---- the end ---- */

static void bury(struct io_task *task)
{
    struct agent_loop *l =
        (struct agent_loop *)(void *)((char *)task - offsetof(struct agent_loop, burial));
    speak_fini(l);
    agent_index_unref(l->index);
    snapshot_unref(l->snapshot);
    arena_fini(&l->own);
    mem_free(l);
}

void loop_over(struct agent_loop *l)
{
    assert(!l->over);
    l->over = true;
    if (l->meaning != NULL)
        meaning_cancel(l->meaning);
    l->meaning = NULL;
    turn_cancel(l);
    io_timer_stop(l->ex->loop, &l->next);
    io_timer_stop(l->ex->loop, &l->tick);
    l->burial.run = bury;
    io_defer(l->ex->loop, &l->burial);
}

void loop_fail(struct agent_loop *l, int error, int status, strv message, strv field,
               uint64_t retry_after_s)
{
    const struct llm_error_row *row = llm_error_row(error);
    if (l->over)
        return;
    if (l->begun) {
        speak_failure(l, error);
        l->sink->abort(l->sink_arg);
    } else {
        int told = l->r->dialect == LLM_ANTHROPIC ? row->anthropic_status : row->status;
        l->sink->fail(l->sink_arg, l->x, error, status != 0 ? status : told,
                      message.len > 0 ? message : strv_of(row->text), field, retry_after_s);
    }
    loop_over(l);
}

static void fail_memory(struct agent_loop *l)
{
    loop_fail(l, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
}

static bool say_what_was_held(struct agent_loop *l)
{
    bool ok = true;
    for (size_t i = 0; ok && i < l->reply.n_parts; i++)
        if (l->reply.parts[i].kind == LLM_PART_TEXT)
            ok = speak_text(l, llm_reply_text(&l->reply, &l->reply.parts[i]));
    return ok;
}

/* No tool of ours was called any more, or may be. */
static void conclude(struct agent_loop *l)
{
    enum llm_finish finish = l->theirs > 0                   ? LLM_FINISH_CALLS
                             : l->finish == LLM_FINISH_CALLS ? LLM_FINISH_STOP
                                                             : l->finish;
    bool ok = l->r->format == LLM_FORMAT_TEXT || say_what_was_held(l);
    if (ok && l->ours > 0 && l->theirs == 0 && !l->text_now && l->finish == LLM_FINISH_CALLS)
        ok = speak_text(l, STRV("No answer came of it: the limit for calls of tools is reached."));
    if (!ok || !speak_end(l, finish)) {
        fail_memory(l);
        return;
    }
    l->sink->end(l->sink_arg);
    loop_over(l);
}

/* ---- the sink of an exchange ---- */

/* All that follows stays at home: the rounds to come, and the conversation's later turns, which will not hold what made
 * it so. */
void loop_pin(struct agent_loop *l)
{
    const struct policy_turn turn = {l->caller->key, io_now_us(l->ex->loop)};
    if (!l->is_private && l->ex->sticky != NULL)
        policy_sticky_note(l->ex->sticky, l->r, &turn);
    l->is_private = true;
}

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct agent_loop *l = arg;
    (void)status;
    (void)type;
    (void)length;
    l->x = x;
    if (exchange_private(x))
        loop_pin(l);
}

static void add(int64_t *sum, int64_t n)
{
    if (n >= 0)
        *sum = *sum > 0 ? *sum + n : n;
}

static void add_usage(struct llm_usage *sum, const struct llm_usage *u)
{
    add(&sum->input, u->input);
    add(&sum->output, u->output);
    add(&sum->cached, u->cached);
    add(&sum->cache_write, u->cache_write);
    add(&sum->reasoning, u->reasoning);
    add(&sum->cache_write_1h, u->cache_write_1h);
    add(&sum->load_ns, u->load_ns);
    add(&sum->input_ns, u->input_ns);
    add(&sum->output_ns, u->output_ns);
    add(&sum->total_ns, u->total_ns);
}

/* Whose call is it? A name that nobody has is ours: it gets an answer. */
static bool take_call(struct agent_loop *l, const struct llm_event *ev)
{
    struct llm_event own = *ev;
    if (ev->kind == LLM_EV_CALL) {
        l->open_theirs = is_callers(l, ev->name);
        if (!l->open_theirs)
            l->watch->begun(l->sink_arg, ev->id, ev->name);
        l->theirs += l->open_theirs;
        l->ours += !l->open_theirs;
    }
    own.call = l->theirs - 1;
    return !l->open_theirs || speak(l, &own);
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct agent_loop *l = arg;
    if (l->over)
        return false;
    if (!llm_reply_add(&l->reply, ev, &l->own))
        return false;
    switch (ev->kind) {
    case LLM_EV_TEXT:
        return l->r->format != LLM_FORMAT_TEXT || ev->text.len == 0 || speak_text(l, ev->text);
    case LLM_EV_REASONING:
    case LLM_EV_SIGNATURE:
        return l->r->hide_reasoning || speak(l, ev);
    case LLM_EV_CALL:
    case LLM_EV_ARGS:
    case LLM_EV_CALL_END:
        return take_call(l, ev);
    case LLM_EV_FINISH:
        l->finish = ev->finish;
        l->stop_sequence = arena_strv(&l->own, ev->stop_sequence);
        l->raw_finish = arena_strv(&l->own, ev->raw_finish);
        return true;
    case LLM_EV_USAGE:
        llm_usage_merge(&l->usage, &ev->usage);
        return true;
    default:
        return true;
    }
}

/* In the exchange's last call: later it cannot be asked. */
static void note_cost(struct agent_loop *l)
{
    exchange_sum(l->x, &l->round);
    l->cost_micro += l->round.cost_micro;
    l->saved_micro += l->round.saved_micro;
    l->summed = true;
}

static void on_end(void *arg)
{
    struct agent_loop *l = arg;
    bool whole = l->finish == LLM_FINISH_CALLS || l->finish == LLM_FINISH_STOP ||
                 l->finish == LLM_FINISH_STOP_SEQUENCE || l->finish == LLM_FINISH_OTHER;
    l->asking = false;
    if (l->over)
        return;
    add_usage(&l->total, &l->usage);
    note_cost(l);
    if (l->ours == 0 || l->theirs > 0 || l->last || !whole)
        conclude(l);
    else
        loop_soon(l, turn_begin);
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    struct agent_loop *l = arg;
    l->x = x;
    l->asking = false;
    if (x != NULL && exchange_private(x))
        loop_pin(l);
    loop_fail(l, error, status, message, field, retry_after_s);
}

static void on_abort(void *arg)
{
    struct agent_loop *l = arg;
    l->asking = false;
    int error = exchange_error(l->x);
    loop_fail(l, error > LLM_OK ? error : LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
}

static size_t on_pending(void *arg)
{
    struct agent_loop *l = arg;
    return l->begun && !l->over ? l->sink->pending(l->sink_arg) : 0;
}

static const struct exchange_sink rounds_sink = {.begin = on_begin,
                                                 .event = on_event,
                                                 .end = on_end,
                                                 .fail = on_fail,
                                                 .abort = on_abort,
                                                 .pending = on_pending};

/* ---- a round ---- */

void loop_soon(struct agent_loop *l, void (*fn)(void *arg))
{
    io_timer_start(l->ex->loop, &l->next, 0, fn, l);
}

/* The results of the calls before, in their order. */
static bool note_results(struct agent_loop *l)
{
    if (l->n_jobs == 0)
        return true;
    struct llm_part *parts = ARENA_ARRAY(&l->own, struct llm_part, l->n_jobs);
    if (parts == NULL)
        return false;
    for (size_t i = 0; i < l->n_jobs; i++) {
        parts[i] = l->jobs[i].outcome.part;
        parts[i].kind = LLM_PART_RESULT;
        parts[i].id = l->jobs[i].id;
        parts[i].name = l->jobs[i].name;
    }
    l->messages[l->n_messages++] = (struct llm_message){LLM_USER, parts, l->n_jobs};
    l->n_jobs = 0;
    return true;
}

/* The request of this round; of the caller's own nothing is changed. */
static bool compose(struct agent_loop *l)
{
    l->ask = *l->r;
    l->ask.arena = &l->own;
    l->ask.rewritten = true;
    l->ask.mended = false;
    l->ask.hide_reasoning = false; /* what a vendor has signed must come back to it */
    l->ask.private_hint = l->ask.private_hint || l->is_private;
    l->ask.has_history = l->ask.has_history || l->rounds > 1;
    l->ask.needs |= l->pictures ? LLM_NEED_IMAGES : 0;
    l->ask.messages = ARENA_ARRAY(&l->own, struct llm_message, l->n_messages + 1);
    if (l->ask.messages == NULL)
        return false;
    memcpy(l->ask.messages, l->messages, l->n_messages * sizeof *l->messages);
    l->ask.n_messages = l->n_messages;
    return offer(l);
}

static void begin_round(struct agent_loop *l)
{
    l->rounds++;
    l->last = l->last || l->rounds > l->rounds_max ||
              (l->rounds > 1 && io_now_us(l->ex->loop) >= l->deadline_us);
    l->text_before = l->text_before || l->text_now;
    l->text_now = l->open_theirs = false;
    l->theirs = l->ours = 0;
    l->usage = LLM_USAGE_NONE;
    l->x = NULL; /* it stands on the snapshot that is left here */
    l->summed = false;
    l->finish = LLM_FINISH_NONE;
    l->stop_sequence = l->raw_finish = STRV_NONE;
    llm_reply_fini(&l->reply);
    llm_reply_init(&l->reply, ANSWER_MAX);
    snapshot_unref(l->snapshot);
    l->snapshot = snapshot_ref(l->ex->snapshot);
    l->as = *l->caller;
    l->as.committed = NULL;
    l->as.goes_on = l->rounds > 1;
    if (l->rounds > 1)
        l->as.received_us = io_now_us(l->ex->loop);
}

void loop_ask(void *arg)
{
    struct agent_loop *l = arg;
    if (!note_results(l)) {
        fail_memory(l);
        return;
    }
    begin_round(l);
    if (!compose(l)) {
        fail_memory(l);
        return;
    }
    l->asking = true;
    struct exchange *x = exchange_start(l->ex, &l->own, &l->ask, &l->as, &rounds_sink, l);
    if (x != NULL && !l->over)
        l->x = x;
    if (x == NULL) {
        l->asking = false;
        fail_memory(l);
    }
}

/* ---- time ---- */

static void tick(void *arg)
{
    struct agent_loop *l = arg;
    int64_t now = io_now_us(l->ex->loop), every = (int64_t)l->snapshot->keepalive_ms * 1000;
    bool waits = l->begun || l->rounds > 1 || turn_runs(l);
    io_timer_start(l->ex->loop, &l->tick, TICK_MS, tick, l);
    if (l->r->stream && every > 0 && waits && now - l->spoke_us >= every)
        speak_keepalive(l);
    turn_tell_waits(l);
    if (now >= l->deadline_us && turn_runs(l))
        turn_stop(l);
}

/* ---- the outside ---- */

static bool is_configured(const struct mcp_conf *conf, strv name)
{
    for (size_t i = 0; conf != NULL && i < conf->n_servers; i++)
        if (strv_eq_cstr(name, conf->servers[i].name))
            return true;
    return false;
}

/* Servers that the request names and nobody has configured. */
static bool check_named(struct agent_loop *l)
{
    for (size_t i = 0; i < l->r->n_mcp; i++) {
        strv name = l->r->mcp[i].server;
        if (is_configured(l->env->conf, name))
            continue;
        const char *text = arena_printf(&l->own, "tools: there is no tool server " STRV_FMT,
                                        STRV_ARG(mcp_clean(name, 64, &l->own)));
        loop_fail(l, LLM_ERR_INVALID_REQUEST, 0, strv_of(text), STRV("tools"), 0);
        return false;
    }
    return true;
}

/* The caller's conversation, with room for what comes. */
static bool take_messages(struct agent_loop *l)
{
    l->room = l->r->n_messages + 1 + 2 * (size_t)(l->rounds_max + 2);
    l->messages = ARENA_ARRAY(&l->own, struct llm_message, l->room);
    if (l->messages == NULL)
        return false;
    if (l->r->n_messages > 0)
        memcpy(l->messages, l->r->messages, l->r->n_messages * sizeof *l->messages);
    l->n_messages = l->r->n_messages;
    return true;
}

static void set_up(struct agent_loop *l, struct agent_env *env)
{
    const struct mcp_conf *conf = env->conf;
    l->env = env;
    l->ex = env->exchange;
    l->door = dialect_get(l->r->dialect);
    l->snapshot = snapshot_ref(l->ex->snapshot);
    l->rounds_max = conf != NULL ? conf->rounds_max : 0;
    l->result_bytes = conf != NULL ? conf->result_bytes : 0;
    l->menu_tokens = conf != NULL ? conf->offer_tokens : 0;
    l->spoke_us = io_now_us(l->ex->loop);
    l->deadline_us = l->spoke_us + (conf != NULL ? (int64_t)conf->loop_ms * 1000 : 0);
    l->wait_us = l->spoke_us + (conf != NULL ? (int64_t)conf->wait_ms * 1000 : 0);
    l->is_private =
        l->r->private_hint || (l->caller->holder != NULL && l->caller->holder->rules.force_private);
    l->total = LLM_USAGE_NONE;
    arena_init(&l->own, 4096, LOOP_BYTES_MAX);
    llm_reply_init(&l->reply, ANSWER_MAX);
}

static void take_index(struct agent_loop *l)
{
    struct agent_index *old = l->index;
    l->index = l->env->index != NULL ? agent_index_ref(l->env->index) : NULL;
    agent_index_unref(old);
}

static void begin(struct agent_loop *l, const float *meaning, size_t n)
{
    if (make_menu(l, meaning, n))
        loop_ask(l);
    else
        fail_memory(l);
}

static void on_meaning(void *arg, const float *vector, size_t n)
{
    struct agent_loop *l = arg;
    l->meaning = NULL;
    begin(l, vector, n);
}

/* What the question means, if somebody here can tell. */
static bool ask_meaning(struct agent_loop *l)
{
    struct agent_wish wish;
    if (l->index == NULL)
        return false;
    loop_wish(l, &wish);
    ask_menu(l, &wish);
    l->meaning = meaning_ask(l->env, l->index, wish.question, l->caller, on_meaning, l);
    return l->meaning != NULL;
}

/* With the tools that there are, once no more are to be expected. */
static void enter(void *arg)
{
    struct agent_loop *l = arg;
    take_index(l);
    if (absent_starting(l) && io_now_us(l->ex->loop) < l->wait_us) {
        io_timer_start(l->ex->loop, &l->next, LOOK_MS, enter, l);
        return;
    }
    if (!absent_tell(l)) {
        fail_memory(l);
        return;
    }
    if (!ask_meaning(l))
        begin(l, NULL, 0);
}

struct agent_loop *agent_start_watched(struct agent_env *env, struct arena *arena,
                                       struct llm_request *r, const struct exchange_caller *caller,
                                       const struct exchange_sink *sink,
                                       const struct agent_watch *watch, void *arg)
{
    struct agent_loop *l = mem_zalloc(sizeof *l); /* it outlives its caller's arena by a moment */
    (void)arena;
    if (l == NULL)
        return NULL;
    l->r = r;
    l->caller = caller;
    l->sink = sink;
    l->watch = watch;
    l->sink_arg = arg;
    set_up(l, env);
    if (!speak_init(l) || !take_messages(l)) {
        fail_memory(l);
        return l;
    }
    if (!check_named(l))
        return l;
    io_timer_start(l->ex->loop, &l->tick, TICK_MS, tick, l);
    enter(l);
    return l;
}

static void unseen_begun(void *arg, strv id, strv name)
{
    (void)arg;
    (void)id;
    (void)name;
}

static void unseen_called(void *arg, strv id, strv name, strv server, strv input)
{
    (void)arg;
    (void)id;
    (void)name;
    (void)server;
    (void)input;
}

static void unseen_petition(void *arg, strv id, const struct agent_petition *p)
{
    (void)arg;
    (void)id;
    (void)p;
}

static void unseen_result(void *arg, strv id, strv name, const struct agent_outcome *outcome)
{
    (void)arg;
    (void)id;
    (void)name;
    (void)outcome;
}

struct agent_loop *agent_start(struct agent_env *env, struct arena *arena, struct llm_request *r,
                               const struct exchange_caller *caller,
                               const struct exchange_sink *sink, void *arg)
{
    static const struct agent_watch nobody = {.begun = unseen_begun,
                                              .called = unseen_called,
                                              .waits = unseen_petition,
                                              .decided = unseen_petition,
                                              .result = unseen_result};
    return agent_start_watched(env, arena, r, caller, sink, &nobody, arg);
}

struct exchange *agent_exchange(const struct agent_loop *l)
{
    return l->x;
}

void agent_sum(const struct agent_loop *l, struct exchange_sums *out, struct llm_usage *latest)
{
    *out = (struct exchange_sums){.usage = LLM_USAGE_NONE, .window = -1};
    if (l->summed)
        *out = l->round;
    else if (l->x != NULL)
        exchange_sum(l->x, out);
    *latest = out->usage;
    out->usage = l->total;
    if (!l->summed)
        add_usage(&out->usage, latest);
    out->cost_micro = l->cost_micro + (l->summed ? 0 : out->cost_micro);
    out->saved_micro = l->saved_micro + (l->summed ? 0 : out->saved_micro);
}

bool agent_private(const struct agent_loop *l)
{
    return l->is_private;
}

void agent_caller_gone(struct agent_loop *l)
{
    if (l->over)
        return;
    bool asking = l->asking;
    l->asking = false;
    loop_over(l);
    if (asking && l->x != NULL)
        exchange_caller_gone(l->x);
}

void agent_proceed(struct agent_loop *l)
{
    if (!l->over && l->asking && l->x != NULL)
        exchange_proceed(l->x);
}

void agent_counts(const struct agent_loop *l, unsigned *rounds, unsigned *calls)
{
    *rounds = l->rounds;
    *calls = l->calls;
}

const char *agent_absent(const struct agent_loop *l)
{
    return l->absent;
}
