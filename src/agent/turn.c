/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn - the calls of one answer, each with exactly one result.
 *
 *   answer: read a, read b, write c, read d
 *
 *   a ---------->|
 *   b ----->     | c ---->| d --->|   results in the order of the calls: the next question
 *
 * Reads that stand side by side run side by side; a write waits for what is before it, and what is behind it for the
 * write. What cannot be called has a sentence for a result.
 */
#include <stdio.h>

#include "agent/loop_int.h"

#define FOUND_MAX       5 /* tools that find_tool tells of */
#define FOUND_BYTES_MAX ((size_t)16 * 1024)

static void pump(struct agent_loop *l);

bool turn_runs(const struct agent_loop *l)
{
    for (size_t i = 0; i < l->n_jobs; i++)
        if (l->jobs[i].call != NULL)
            return true;
    return false;
}

/* ---- results that need no server ---- */

static void tell_call(struct loop_job *j)
{
    struct agent_loop *l = j->loop;
    strv server = strv_of(j->tool != NULL ? j->tool->server->name : "");
    j->begun = true;
    l->watch->called(l->sink_arg, j->id, j->name, server, j->args);
}

static void end_with(struct loop_job *j, const char *sentence, bool is_error)
{
    struct agent_loop *l = j->loop;
    strv text = sentence != NULL ? strv_of(sentence) : STRV("There was no memory for this call.");
    if (!j->begun)
        tell_call(j);
    j->over = true;
    if (!agent_outcome_say(text, &l->own, &j->outcome))
        j->outcome = (struct agent_outcome){.part = {.kind = LLM_PART_RESULT}};
    j->outcome.is_error = j->outcome.part.is_error = is_error;
    l->watch->result(l->sink_arg, j->id, j->name, &j->outcome);
}

static void say(struct loop_job *j, const char *sentence)
{
    end_with(j, sentence, false);
}

static void say_error(struct loop_job *j, const char *sentence)
{
    end_with(j, sentence, true);
}

/* The words in find_tool's arguments, whatever the member is called. */
static strv first_text(strv args, struct arena *arena)
{
    struct json doc;
    struct err err = ERR_INIT;
    size_t i, n;
    yyjson_val *key, *value;
    if (!json_read(&doc, args, arena, 0, &err))
        return args;
    yyjson_obj_foreach(doc.root, i, n, key, value)
    {
        if (yyjson_is_str(value))
            return json_str(value);
    }
    return STRV("");
}

static void find(struct agent_loop *l, struct loop_job *j)
{
    struct agent_wish wish;
    struct buf b;
    loop_wish(l, &wish);
    wish.question = first_text(j->args, &l->own);
    wish.before = STRV("");
    buf_init(&b, l->result_bytes < FOUND_BYTES_MAX ? l->result_bytes : FOUND_BYTES_MAX);
    if (agent_menu_find(l->index, &wish, FOUND_MAX, &b) && !b.failed) {
        strv text = arena_strv(&l->own, buf_view(&b));
        say(j, text.len > 0 ? text.ptr : "No tool fits these words.");
    } else
        say_error(j, NULL);
    buf_fini(&b);
}

static void say_unknown(struct agent_loop *l, struct loop_job *j)
{
    struct agent_wish wish;
    loop_wish(l, &wish);
    const struct mcp_tool *near =
        l->index != NULL ? agent_menu_nearest(l->index, &wish, j->name) : NULL;
    strv name = mcp_clean(j->name, 64, &l->own);
    if (near != NULL)
        say_error(j, arena_printf(&l->own, "There is no tool " STRV_FMT ". The nearest name is %s.",
                                  STRV_ARG(name), near->id));
    else
        say_error(j, arena_printf(&l->own, "There is no tool " STRV_FMT ".", STRV_ARG(name)));
}

/* ---- what is a call? ---- */

/* Counts this one, too. */
static unsigned times_made(struct agent_loop *l, const struct loop_job *j)
{
    uint64_t hash = strv_hash(j->args, strv_hash(j->name, 0x746f6f6c));
    unsigned n = 1;
    for (size_t i = 0; i < l->n_seen; i++)
        n += l->seen[i] == hash;
    if (l->n_seen < LOOP_SEEN_MAX)
        l->seen[l->n_seen++] = hash;
    return n;
}

static void prepare(struct agent_loop *l, struct loop_job *j, size_t at)
{
    const struct mcp_tool *t =
        l->index != NULL ? mcp_catalogue_tool(agent_index_catalogue(l->index), j->name) : NULL;
    bool late = io_now_us(l->ex->loop) >= l->deadline_us;
    l->calls++;
    if (at >= LOOP_CALLS_MAX)
        say_error(j, "Too many calls at once: this one was not made.");
    else if (late)
        say_error(j, "The time for tools is over: this call was not made.");
    else if (times_made(l, j) >= LOOP_SAME_MAX) {
        say_error(j, "This very call was made twice already, its result stands above. It is not "
                     "made again: answer with what is known.");
        l->last = true;
    } else if (l->menu.has_finder && strv_eq_cstr(j->name, AGENT_FINDER))
        find(l, j);
    else if (t == NULL || !loop_may(l, t, &j->ask))
        say_unknown(l, j);
    else
        j->tool = t;
    l->last = l->last || late;
}

/* ---- running ---- */

/* What is no text comes behind the text. */
static bool has_picture(const struct llm_part *result)
{
    return result->n_parts > 1;
}

static void tell_decision(struct agent_loop *l, struct loop_job *j)
{
    if (j->petition == NULL || !j->petition_told || j->decision_told ||
        j->petition->decision == AGENT_PENDING)
        return;
    j->decision_told = true;
    l->watch->decided(l->sink_arg, j->id, j->petition);
}

static void on_done(void *arg, const struct agent_outcome *outcome, bool is_private)
{
    struct loop_job *j = arg;
    struct agent_loop *l = j->loop;
    bool picture = has_picture(&outcome->part);
    j->call = NULL;
    j->over = true;
    j->outcome = *outcome;
    tell_decision(l, j);
    l->watch->result(l->sink_arg, j->id, j->name, outcome);
    l->pictures = l->pictures || picture;
    if (is_private || picture) /* nobody here can read a picture */
        loop_pin(l);
    pump(l);
}

static void on_waits(void *arg, const struct agent_petition *p)
{
    struct loop_job *j = arg;
    j->petition = p;
}

/* Not at once: what was decided before, for the session or for this very call, counts within this turn of the loop. */
void turn_tell_waits(struct agent_loop *l)
{
    for (size_t i = 0; i < l->n_jobs; i++) {
        struct loop_job *j = &l->jobs[i];
        if (!j->over)
            tell_decision(l, j);
        if (j->over || j->petition == NULL || j->petition_told ||
            j->petition->decision != AGENT_PENDING)
            continue;
        j->petition_told = true;
        l->watch->waits(l->sink_arg, j->id, j->petition);
        speak_wait(l, j->petition);
    }
}

static void run(struct agent_loop *l, struct loop_job *j)
{
    static const struct agent_call_ops ops = {on_done, on_waits, NULL};
    struct agent_request request = {
        .tool = j->tool,
        .arguments = j->args,
        .caller = l->caller,
        .session = l->r->session_header.len > 0 ? l->r->session_header : l->r->session,
        .is_private = l->is_private || l->r->mode == LLM_MODE_LOCAL,
        .ask = j->ask,
        .outcome = {.bytes_max = l->result_bytes, .images = l->sees},
    };
    tell_call(j);
    j->call = agent_call(l->env, &l->own, &request, &ops, j);
    if (j->call == NULL)
        say_error(j, NULL);
}

static bool may_start(const struct agent_loop *l, size_t at)
{
    bool reads = l->jobs[at].tool->effect == MCP_READ;
    for (size_t i = 0; i < at; i++) {
        const struct loop_job *before = &l->jobs[i];
        if (!before->over && (!reads || before->tool->effect != MCP_READ))
            return false;
    }
    return true;
}

static void pump(struct agent_loop *l)
{
    bool all = true;
    for (size_t i = 0; i < l->n_jobs; i++) {
        struct loop_job *j = &l->jobs[i];
        if (!j->begun && may_start(l, i))
            run(l, j);
        all = all && j->over;
    }
    if (all)
        loop_soon(l, loop_ask);
}

void turn_cancel(struct agent_loop *l)
{
    for (size_t i = 0; i < l->n_jobs; i++) {
        if (l->jobs[i].call != NULL)
            agent_call_cancel(l->jobs[i].call);
        l->jobs[i].call = NULL;
    }
}

void turn_stop(struct agent_loop *l)
{
    turn_cancel(l);
    for (size_t i = 0; i < l->n_jobs; i++)
        if (!l->jobs[i].over)
            say_error(&l->jobs[i], "The time for tools is over: there is no result.");
    l->last = true;
    pump(l);
}

/* ---- the turn ---- */

static void fail(struct agent_loop *l)
{
    loop_fail(l, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
}

/* The answer as it will stand in the history: without calls of the caller's own, of which there are none here. */
static bool note_answer(struct agent_loop *l, struct llm_message *to)
{
    const struct llm_reply *r = &l->reply;
    to->role = LLM_ASSISTANT;
    to->parts = ARENA_ARRAY(&l->own, struct llm_part, r->n_parts + 1);
    if (to->parts == NULL)
        return false;
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct llm_reply_part *p = &r->parts[i];
        strv seal = {buf_view(&r->bytes).ptr + p->signature, p->n_signature};
        if (p->kind != LLM_PART_CALL && p->len + p->n_signature == 0)
            continue;
        to->parts[to->n_parts++] = (struct llm_part){
            .kind = p->kind,
            .text = arena_strv(&l->own, llm_reply_text(r, p)),
            .id = p->id,
            .name = p->name,
            .signature = seal.len > 0 ? arena_strv(&l->own, seal) : STRV(""),
            .redacted = p->redacted,
        };
    }
    return !l->own.failed;
}

static bool note_jobs(struct agent_loop *l, const struct llm_message *answer)
{
    size_t n = 0;
    l->jobs = ARENA_ARRAY(&l->own, struct loop_job, answer->n_parts + 1);
    if (l->jobs == NULL)
        return false;
    for (size_t i = 0; i < answer->n_parts; i++) {
        const struct llm_part *p = &answer->parts[i];
        if (p->kind != LLM_PART_CALL)
            continue;
        l->jobs[n++] = (struct loop_job){.id = p->id,
                                         .name = p->name,
                                         .args = p->text.len > 0 ? p->text : STRV("{}"),
                                         .loop = l};
    }
    l->n_jobs = n;
    return true;
}

void turn_begin(void *arg)
{
    struct agent_loop *l = arg;
    struct llm_message *answer = &l->messages[l->n_messages];
    *answer = (struct llm_message){.role = LLM_ASSISTANT};
    if (!note_answer(l, answer) || !note_jobs(l, answer)) {
        fail(l);
        return;
    }
    l->n_messages++;
    l->sees = model_sees(l);
    for (size_t i = 0; i < l->n_jobs; i++)
        prepare(l, &l->jobs[i], i);
    pump(l);
}
