/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - see call.h. One state machine without a table, since it never goes back:
 *
 *   begin > judge > (approval) > (record) > send > answer > close
 *     '-------'-----------'---------'---> refuse ------------^
 *
 * A refusal is an outcome, too: a sentence that tells the model. It is decided twice whether arguments may leave the
 * premises: before a person is asked, and again before they go, since that may be minutes later.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/call.h"
#include "agent/note.h"
#include "ledger/ledger.h"

#define PARAMS_BYTES_MAX ((size_t)16 * 1024 * 1024)

_Static_assert(AGENT_REPAIRS == LEDGER_REPAIRS, "a metric counts each kind");

enum stage { STAGE_BEGIN, STAGE_ASK, STAGE_RECORD, STAGE_SEND, STAGE_WAIT, STAGE_OVER };

struct agent_call {
    struct agent_env *env;
    struct arena *arena;
    struct agent_request r;
    struct agent_call_ops ops;
    void *arg;
    enum stage stage;
    struct io_timer timer; /* the next stage, not from inside the caller's own function */
    strv args;             /* mended */
    uint8_t digest[32];
    enum mcp_approval need;
    struct agent_petition petition;
    struct agent_wait *wait;
    struct audit_ticket *ticket;
    struct mcp_call *call;
    bool recorded;
    const char *approval; /* for the audit */
    char by[64];
    int64_t begun_us;
    uint32_t repairs[AGENT_REPAIRS];
    struct agent_outcome outcome;
};

/* ---- who may ---- */

static bool is_confined(const struct snapshot *s)
{
    return s->policy.airgap || s->policy.mode == LLM_MODE_LOCAL;
}

bool agent_may(const struct policy_key *key, const struct mcp_tool *t)
{
    char name[256];
    if (t->refused != NULL || t->approval == MCP_OFF)
        return false;
    if (key == NULL)
        return true;
    if (!t->server->local && (key->rules.force_private || key->rules.mode == LLM_MODE_LOCAL))
        return false;
    int n = snprintf(name, sizeof name, "%s/%.*s", t->server->name, STRV_ARG(t->name));
    return n > 0 && (size_t)n < sizeof name &&
           policy_rules_tool(&key->rules, (strv){name, (size_t)n});
}

/* ---- the end ---- */

static const char *const ends[] = {
    [MCP_OK] = "ok",     [MCP_REFUSED] = "refused", [MCP_GONE] = "gone",
    [MCP_LATE] = "late", [MCP_BAD] = "bad",         [MCP_MEMORY] = "memory"};

static void describe(const struct agent_call *c, struct audit_tool *out)
{
    *out = (struct audit_tool){
        .request_id = c->r.caller->record_id,
        .key = c->r.caller->key,
        .session = c->r.session,
        .is_private = c->r.is_private,
        .server = c->r.tool->server->name,
        .zone = c->r.tool->server->local ? "local" : "cloud",
        .tool = c->r.tool->name,
        .arguments_bytes = c->args.len,
        .approval = c->approval,
        .by = c->by,
    };
    memcpy(out->arguments, c->digest, sizeof out->arguments);
}

static void account(const struct agent_call *c, const char *end, bool suspect, size_t bytes)
{
    const struct exchange_env *e = c->env->exchange;
    int64_t us = io_now_us(e->loop) - c->begun_us;
    struct audit_tool record;
    describe(c, &record);
    record.end = end;
    record.data_quality = suspect ? "suspect" : NULL;
    record.bytes = bytes;
    record.us = us;
    audit_note_tool(e->audit, &record, io_wall_us(e->loop));
    metric_add(e->metrics, METRIC_TOOL_CALLS, 0, 1);
    metric_observe_us(e->metrics, METRIC_TOOL_DURATION, 0, us);
    for (size_t i = 0; i < AGENT_REPAIRS; i++)
        if (c->repairs[i] > 0)
            metric_add(e->metrics, METRIC_TOOL_REPAIRS, (unsigned)i, c->repairs[i]);
    LOG(e->log, LOG_INFO, "tool", LOG_S(REQUEST_ID, c->r.caller->record_id),
        LOG_C(KEY, c->r.caller->key), LOG_C(SERVER, c->r.tool->server->name),
        LOG_C(TOOL, c->r.tool->id), LOG_C(OUTCOME, end), LOG_I(BYTES_OUT, bytes),
        LOG_US(TOTAL_MS, us));
}

static void drop(struct agent_call *c)
{
    io_timer_stop(c->env->exchange->loop, &c->timer);
    if (c->wait != NULL)
        agent_ask_cancel(c->wait);
    audit_forget(c->ticket);
    if (c->call != NULL)
        mcp_cancel(c->call);
    c->wait = NULL;
    c->ticket = NULL;
    c->call = NULL;
}

static void finish(struct agent_call *c, const char *end, bool is_private)
{
    assert(c->stage != STAGE_OVER);
    drop(c);
    c->stage = STAGE_OVER;
    account(c, end, c->outcome.suspect, c->outcome.bytes);
    c->ops.done(c->arg, &c->outcome, is_private);
}

/* Nothing was called: the sentence says why. Without memory even for that: a result without a word. */
static void refuse(struct agent_call *c, const char *end, const char *sentence)
{
    strv text = sentence != NULL ? strv_of(sentence) : STRV("There was no memory for this call.");
    if (!agent_outcome_say(text, c->arena, &c->outcome))
        c->outcome = (struct agent_outcome){.part = {.kind = LLM_PART_RESULT}};
    c->outcome.is_error = c->outcome.part.is_error = true;
    metric_add(c->env->exchange->metrics, METRIC_TOOL_REFUSED, 0, 1);
    finish(c, end, c->r.is_private);
}

/* ---- may it leave? ---- */

/* What a text holds; private as well where nobody can tell. */
static bool is_private_json(const struct agent_call *c, strv json)
{
    const struct exchange_env *e = c->env->exchange;
    struct privacy_verdict *v = ARENA_NEW(c->arena, struct privacy_verdict);
    if (v == NULL || e->privacy_scratch == NULL ||
        exchange_cloud_refused(e->snapshot, io_wall_us(e->loop)) != NULL)
        return true;
    privacy_verdict_init(v);
    privacy_scan_json(e->snapshot->privacy, e->privacy_scratch, json, PRIVACY_NORMAL, v);
    return v->is_private;
}

/* The tool may be another one by now: a person has taken his time, or the operator has written another configuration.
 * One that is no more is the hub's to speak of, unless a person has decided about it. */
static bool is_as_it_was(const struct agent_call *c)
{
    const struct mcp_tool *was = c->r.tool;
    struct mcp_catalogue *now = mcp_hub_catalogue(c->env->hub);
    const struct mcp_tool *is = mcp_catalogue_tool(now, strv_of(was->id));
    bool decided = c->need != MCP_AUTO;
    bool same = is != NULL ? agent_may(c->r.caller->holder, is) && is->approval <= was->approval &&
                                 (!decided || memcmp(is->digest, was->digest, 32) == 0)
                           : !decided;
    mcp_catalogue_unref(now);
    return same;
}

/* NULL = it may. */
static const char *withheld(const struct agent_call *c)
{
    const struct mcp_tool *t = c->r.tool;
    const struct policy_key *key = c->r.caller->holder;
    struct err err = ERR_INIT;
    if (key != NULL && !policy_key_admits(key, -1, io_wall_us(c->env->exchange->loop), &err))
        return "The key of who asked has expired or was revoked meanwhile: the call was not made.";
    if (!is_as_it_was(c))
        return "This tool was changed or taken away meanwhile: the call was not made.";
    if (t->server->local)
        return NULL;
    if (is_confined(c->env->exchange->snapshot))
        return "This tool is outside the premises, and nothing may leave them here.";
    if (c->r.is_private)
        return "This conversation is private, and the tool is outside the premises: it was not "
               "called.";
    if (is_private_json(c, c->args))
        return "The arguments may hold personal data, and the tool is outside the premises: it was "
               "not called. Ask without names, numbers and dates of persons.";
    return NULL;
}

/* ---- the stages ---- */

static void step(void *arg);

static void go(struct agent_call *c, enum stage stage)
{
    c->stage = stage;
    io_timer_start(c->env->exchange->loop, &c->timer, 0, step, c);
}

static void digest_args(struct agent_call *c, strv args)
{
    c->args = args;
    policy_key_digest(args, c->digest);
}

/* Of these arguments, by the operator's table, and as the request wants it. */
static enum mcp_approval approval_of(struct agent_call *c)
{
    struct json doc;
    struct err err = ERR_INIT;
    bool ok = json_read(&doc, c->args, c->arena, 0, &err);
    enum mcp_approval need = agent_note_approval(c->r.tool, ok ? doc.root : NULL, c->arena);
    return c->r.ask && need == MCP_AUTO ? MCP_ASK : need;
}

static void begin(struct agent_call *c)
{
    struct err err = ERR_INIT;
    strv args;
    digest_args(c, c->r.arguments);
    if (!agent_may(c->r.caller->holder, c->r.tool)) {
        refuse(c, "forbidden", "This tool may not be used here.");
        return;
    }
    if (!agent_repair_args(c->r.tool, c->r.arguments, c->arena, &args, c->repairs, &err)) {
        refuse(c, "arguments", c->arena->failed ? NULL : err.text);
        return;
    }
    digest_args(c, args);
    c->need = approval_of(c);
    const char *why = withheld(c);
    if (why != NULL)
        refuse(c, "withheld", why);
    else if (c->need == MCP_OFF)
        refuse(c, "forbidden", "This tool is switched off.");
    else
        go(c, c->need == MCP_AUTO ? STAGE_RECORD : STAGE_ASK);
}

static void on_decision(void *arg, enum agent_decision d, const char *by)
{
    struct agent_call *c = arg;
    c->wait = NULL;
    c->petition.decision = d;
    c->approval = agent_decision_name(d);
    snprintf(c->by, sizeof c->by, "%s", by != NULL ? by : "");
    snprintf(c->petition.decided_by, sizeof c->petition.decided_by, "%s", c->by);
    if (d == AGENT_APPROVED)
        go(c, STAGE_RECORD);
    else if (d == AGENT_DENIED)
        refuse(c, "denied", "A person has denied this call. Do not try it again; say so.");
    else if (d == AGENT_EXPIRED)
        refuse(c, "expired",
               "This call needs a person's approval, and nobody decided in time: it was not made.");
    else
        refuse(c, "unapproved",
               "This call needs a person's approval, and that cannot be asked for here.");
}

static void ask(struct agent_call *c)
{
    const struct exchange_env *e = c->env->exchange;
    struct agent_petition *p = &c->petition;
    const struct mcp_tool *t = c->r.tool;
    *p = (struct agent_petition){
        .arguments = c->args,
        .session = c->r.session,
        .effect = t->effect,
        .always = c->need == MCP_ASK_ALWAYS,
        .asked_us = io_wall_us(e->loop),
    };
    p->until_us = p->asked_us + (int64_t)c->env->conf->approval_ms * 1000;
    snprintf(p->server, sizeof p->server, "%s", t->server->name);
    snprintf(p->tool, sizeof p->tool, "%.*s", STRV_ARG(t->name));
    snprintf(p->key, sizeof p->key, "%s", c->r.caller->key != NULL ? c->r.caller->key : "");
    memcpy(p->arguments_digest, c->digest, sizeof p->arguments_digest);
    memcpy(p->tool_digest, t->digest, sizeof p->tool_digest);
    c->wait = c->env->desk != NULL ? agent_ask(c->env->desk, e->loop, p, on_decision, c) : NULL;
    if (c->wait == NULL) {
        on_decision(c, AGENT_NO_DESK, NULL);
        return;
    }
    snprintf(p->id, sizeof p->id, "%s", agent_ask_id(c->wait));
    if (c->ops.waits != NULL)
        c->ops.waits(c->arg, p);
}

static void on_durable(void *arg, bool ok)
{
    struct agent_call *c = arg;
    c->ticket = NULL;
    c->recorded = ok;
    if (ok)
        go(c, STAGE_SEND);
    else
        refuse(c, "audit", "The call could not be recorded, so it was not made.");
}

/* No argument leaves before its record is durable. */
static void record(struct agent_call *c)
{
    const struct exchange_env *e = c->env->exchange;
    struct audit_tool intent;
    bool leaves = !c->r.tool->server->local;
    if (c->approval == NULL)
        c->approval = "auto";
    if (!leaves && (!e->snapshot->audit_all || audit_ready(e->audit, NULL, 0))) {
        go(c, STAGE_SEND);
        return;
    }
    describe(c, &intent);
    if (leaves)
        c->ticket = audit_intend_tool(e->audit, e->loop, &intent, on_durable, c);
    if (c->ticket == NULL)
        on_durable(c, false);
}

/* ---- the call ---- */

/* The outcome of what the server said, and whether it pins the conversation. */
static void on_answer(void *arg, const struct mcp_answer *a)
{
    struct agent_call *c = arg;
    const struct agent_guest *g = c->r.guest;
    c->call = NULL;
    if (g != NULL && g->answer != NULL)
        g->answer(c->arg, a);
    bool told = a->end == MCP_OK || a->end == MCP_REFUSED;
    bool is_private = c->r.is_private || (told && c->r.tool->data != MCP_DATA_NONE);
    if (told && !is_private) {
        strv said = a->end == MCP_OK ? a->result : a->data;
        is_private = said.len > 0 && is_private_json(c, said);
    }
    if (a->end == MCP_MEMORY ||
        !agent_outcome_make(c->r.tool, a, &c->r.outcome, c->arena, &c->outcome)) {
        c->r.is_private = is_private;
        refuse(c, "memory", NULL);
        return;
    }
    finish(c, c->outcome.is_error && a->end == MCP_OK ? "error" : ends[a->end], is_private);
}

static void on_progress(void *arg, double done, double total, strv message)
{
    struct agent_call *c = arg;
    if (c->ops.progress != NULL)
        c->ops.progress(c->arg, done, total, message);
}

static void on_said(void *arg, strv params)
{
    struct agent_call *c = arg;
    c->r.guest->said(c->arg, params);
}

static void on_ask(void *arg, struct mcp_question *q, strv method, strv params)
{
    struct agent_call *c = arg;
    c->r.guest->ask(c->arg, q, method, params);
}

static bool put_params(const struct agent_call *c, const struct agent_guest *g, struct buf *b)
{
    buf_put_cstr(b, "{\"name\":");
    json_put_str(b, c->r.tool->name);
    buf_put_cstr(b, ",\"arguments\":");
    buf_put_strv(b, c->args);
    if (g != NULL && g->inputs.len > 0) {
        buf_put_char(b, ',');
        buf_put_strv(b, g->inputs);
    }
    buf_put_char(b, '}');
    return !b->failed;
}

static void send_call(struct agent_call *c)
{
    static const struct mcp_call_ops plain = {on_answer, on_progress, NULL, NULL};
    bool leaves = !c->r.tool->server->local;
    /* Only the arguments pass the gate: nothing else that the client says goes out, and nobody out there is answered. */
    const struct agent_guest *g = leaves ? NULL : c->r.guest;
    struct mcp_call_ops ops = plain;
    const char *why = withheld(c);
    struct buf b;
    if (why != NULL || (leaves && !c->recorded)) {
        refuse(c, "withheld", why != NULL ? why : "The call was not recorded.");
        return;
    }
    if (g != NULL && g->said != NULL)
        ops.said = on_said;
    if (g != NULL && g->ask != NULL)
        ops.ask = on_ask;
    buf_init(&b, PARAMS_BYTES_MAX);
    struct mcp_call_spec spec = {
        .server = c->r.tool->server->name,
        .method = "tools/call",
        .repeatable = c->r.tool->effect == MCP_READ,
        .may_leave = leaves,
        .capabilities = g != NULL ? g->capabilities : STRV(""),
        .log_level = g != NULL ? g->log_level : STRV(""),
    };
    c->stage = STAGE_WAIT;
    if (put_params(c, g, &b)) {
        spec.params = buf_view(&b);
        c->call = mcp_call(c->env->hub, c->env->exchange->loop, &spec, &ops, c);
    }
    buf_fini(&b);
    if (c->call == NULL)
        refuse(c, "memory", NULL);
}

static void step(void *arg)
{
    struct agent_call *c = arg;
    switch (c->stage) {
    case STAGE_BEGIN:
        begin(c);
        break;
    case STAGE_ASK:
        ask(c);
        break;
    case STAGE_RECORD:
        record(c);
        break;
    case STAGE_SEND:
        send_call(c);
        break;
    case STAGE_WAIT:
    case STAGE_OVER:
        break;
    }
}

/* ---- the outside ---- */

struct agent_call *agent_call(struct agent_env *env, struct arena *arena,
                              const struct agent_request *r, const struct agent_call_ops *ops,
                              void *arg)
{
    struct agent_call *c = ARENA_NEW(arena, struct agent_call);
    if (c == NULL)
        return NULL;
    c->env = env;
    c->arena = arena;
    c->r = *r;
    c->r.arguments = arena_strv(arena, r->arguments);
    c->ops = *ops;
    c->arg = arg;
    c->begun_us = io_now_us(env->exchange->loop);
    if (r->arguments.ptr != NULL && c->r.arguments.ptr == NULL)
        return NULL;
    go(c, STAGE_BEGIN);
    return c;
}

void agent_call_cancel(struct agent_call *c)
{
    if (c->stage == STAGE_OVER)
        return;
    bool asked = c->stage > STAGE_BEGIN;
    drop(c);
    c->stage = STAGE_OVER;
    if (asked)
        account(c, "cancelled", false, 0);
}
