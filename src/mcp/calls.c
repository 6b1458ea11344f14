/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls - a call from its beginning to its one end, over as many requests as it takes.
 *
 *   WAITS --ready--> ASKED --result, error, fault, time--> done()
 *     ^  session lost  | |
 *     '----------------' |--"input_required"--> ROUND --all answered--> ASKED (the same, with a new id)
 *                        '--a task--> TASK: asked for now and then, until it has a result
 *
 * Two clocks run: one that any sign of life starts anew (and that stands while a person is asked), one that nothing
 * stops. Whatever ends a call early tells the server: its work is wanted by nobody.
 */
#include <stdio.h>

#include "mcp/client_int.h"

#define ROUNDS_MAX        8
#define QUESTIONS_MAX     16
#define TASK_POLL_MS      1000
#define TASK_POLL_LEAST   100
#define CALL_BYTES_MAX    ((size_t)256 << 20)
#define PROGRESS_TEXT_MAX 400

enum stage { CALL_WAITS, CALL_ASKED, CALL_ROUND, CALL_TASK };

struct answered { /* one of a round's questions */
    strv key;     /* with its quotes, as it came */
    strv text;    /* ptr NULL: not yet */
};

struct mcp_client_call {
    struct list node;
    struct mcp_client *c;
    struct mcp_call_ops ops;
    void *arg;
    struct arena arena; /* what the call is made of */
    const char *method;
    strv params, name, capabilities, log_level;
    bool is_tool, repeatable;
    uint64_t call_ms, total_ms;

    enum stage stage;
    struct request *request; /* NULL = none is under way */
    struct io_timer limit, total, wait;
    int64_t begun_us;
    uint64_t token;
    bool repeated, mended;
    unsigned rounds;
    struct answered *answers;
    size_t n_answers, missing;
    strv state; /* requestState, as it came; "" = none */
    strv more;  /* members of the next request */
    strv task;  /* its id; "" = none */
    uint64_t poll_ms;
    enum mcp_end late_end; /* told by the timer `wait` */
    const char *late_text;
};

static void send_call(struct mcp_client_call *call);
static void end_result(struct mcp_client_call *call, strv result);
static void on_answer(struct request *r, const struct reply *reply);
static void take_task(struct mcp_client_call *call, yyjson_val *task, const struct json *doc);
static void ask_task(void *arg);
static void begin_round(struct mcp_client_call *call, yyjson_val *from, const struct json *doc);

/* ---- the end ---- */

static void ignore(struct request *r, const struct reply *reply)
{
    (void)r;
    (void)reply;
}

/* Nothing of it is left but its memory. reason: for the server; NULL = it need not or cannot be told. */
static void stop(struct mcp_client_call *call, const char *reason)
{
    struct mcp_client *c = call->c;

    list_del(&call->node);
    io_timer_stop(c->env.loop, &call->limit);
    io_timer_stop(c->env.loop, &call->total);
    io_timer_stop(c->env.loop, &call->wait);
    mcp_questions_forget(c, call);
    if (call->request != NULL)
        mcp_request_drop(call->request, reason);
    call->request = NULL;
    if (call->task.len > 0 && reason != NULL) {
        char params[300];
        struct asking a = {.method = "tasks/cancel",
                           .name = call->task,
                           .limit_ms = MCP_ASK_MS,
                           .answered = ignore};

        snprintf(params, sizeof params, "{\"taskId\":\"" STRV_FMT "\"}", STRV_ARG(call->task));
        a.params = strv_of(params);
        mcp_request(c, &a);
    }
}

static void release(struct mcp_client_call *call)
{
    arena_fini(&call->arena);
    mem_free(call);
}

static void end_with(struct mcp_client_call *call, struct mcp_answer *a, const char *reason)
{
    stop(call, reason);
    a->us = io_now_us(call->c->env.loop) - call->begun_us;
    a->repeated = call->repeated;
    call->ops.done(call->arg, a);
    release(call);
}

static void end_text(struct mcp_client_call *call, enum mcp_end end, const char *text)
{
    struct mcp_answer a = {.end = end, .result = STRV(""), .text = strv_of(text), .data = STRV("")};
    bool given_up = end == MCP_LATE || end == MCP_BAD || end == MCP_MEMORY;

    end_with(call, &a, given_up ? "given up" : NULL);
}

static void on_wait(void *arg)
{
    struct mcp_client_call *call = arg;

    if (call->late_end == MCP_OK)
        end_result(call, STRV("{}"));
    else
        end_text(call, call->late_end, call->late_text);
}

/* As end_text(), but not now: the caller's caller may be whom it is told to. */
static void end_later(struct mcp_client_call *call, enum mcp_end end, const char *text)
{
    call->late_end = end;
    call->late_text = text;
    io_timer_start(call->c->env.loop, &call->wait, 0, on_wait, call);
}

static void on_limit(void *arg)
{
    end_text(arg, MCP_LATE, "it did not answer in time");
}

static void alive(struct mcp_client_call *call)
{
    io_timer_start(call->c->env.loop, &call->limit, call->call_ms, on_limit, call);
}

void mcp_calls_end(struct mcp_client *c, const char *why, bool silent)
{
    struct list ending;

    list_init(&ending);
    while (!list_empty(&c->calls)) {
        struct list *first = c->calls.next;

        list_del(first);
        list_add_tail(&ending, first);
    }
    while (!list_empty(&ending)) {
        struct mcp_client_call *call = list_first(&ending, struct mcp_client_call, node);

        if (silent) {
            stop(call, NULL);
            release(call);
        } else {
            end_text(call, MCP_GONE, why);
        }
    }
}

/* ---- beginning ---- */

/* What stands in the header Mcp-Name, and is it an object at all? */
static bool read_params(struct mcp_client_call *call)
{
    struct err err = ERR_INIT;
    struct arena scratch;
    struct json doc;
    bool ok;

    arena_init(&scratch, 16384, CALL_BYTES_MAX);
    ok = json_read(&doc, call->params, &scratch, 0, &err) && yyjson_is_obj(doc.root);
    if (ok) {
        strv name =
            json_get_str(doc.root, strncmp(call->method, "resources/", 10) == 0 ? "uri" : "name");

        call->name = name.ptr != NULL ? arena_strv(&call->arena, name) : STRV("");
    }
    arena_fini(&scratch);
    return ok;
}

static struct mcp_client_call *make(struct mcp_client *c, const struct mcp_call_spec *spec,
                                    const struct mcp_call_ops *ops, void *arg)
{
    struct mcp_client_call *call = mem_zalloc(sizeof *call);

    if (call == NULL)
        return NULL;
    call->c = c;
    call->ops = *ops;
    call->arg = arg;
    arena_init(&call->arena, 1024, CALL_BYTES_MAX);
    call->method = arena_cstr(&call->arena, strv_of(spec->method));
    call->params = arena_strv(&call->arena, spec->params.len > 0 ? spec->params : STRV("{}"));
    call->capabilities = arena_strv(&call->arena, spec->capabilities);
    call->log_level = arena_strv(&call->arena, spec->log_level);
    call->name = call->state = call->more = call->task = STRV("");
    call->is_tool = strcmp(spec->method, "tools/call") == 0;
    call->repeatable = spec->repeatable;
    call->call_ms = spec->call_ms != 0 ? spec->call_ms : c->conf->call_ms;
    call->total_ms = spec->total_ms != 0 ? spec->total_ms : c->conf->total_ms;
    call->call_ms = call->call_ms != 0 ? call->call_ms : MCP_CALL_MS;
    call->total_ms = call->total_ms != 0 ? call->total_ms : MCP_TOTAL_MS;
    call->begun_us = io_now_us(c->env.loop);
    list_init(&call->node);
    if (call->arena.failed) {
        release(call);
        return NULL;
    }
    return call;
}

struct mcp_client_call *mcp_client_call(struct mcp_client *c, const struct mcp_call_spec *spec,
                                        const struct mcp_call_ops *ops, void *arg)
{
    struct mcp_client_call *call = make(c, spec, ops, arg);

    if (call == NULL)
        return NULL;
    list_add_tail(&c->calls, &call->node);
    alive(call);
    io_timer_start(c->env.loop, &call->total, call->total_ms, on_limit, call);
    if (c->state == CLIENT_OVER)
        end_later(call, MCP_GONE, "it is down, and will be started again");
    else if (!read_params(call))
        end_later(call, call->arena.failed ? MCP_MEMORY : MCP_BAD,
                  "the parameters are no JSON object");
    else if (c->state == CLIENT_READY)
        send_call(call);
    return call;
}

void mcp_client_cancel(struct mcp_client_call *call)
{
    stop(call, "no longer wanted");
    release(call);
}

void mcp_calls_go_on(struct mcp_client *c)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &c->calls)
    {
        struct mcp_client_call *call = list_entry(pos, struct mcp_client_call, node);

        if (call->stage == CALL_WAITS && !call->wait.running)
            send_call(call);
    }
}

/* ---- sending ---- */

/* Arguments that the tool wants repeated in headers. Without memory: none, and the server says so. */
static void add_headers(struct mcp_client_call *call, const struct mcp_entry *tool,
                        struct arena *scratch, struct asking *a)
{
    struct err err = ERR_INIT;
    struct json schema, params;
    struct http_header *headers = NULL;

    if (tool == NULL || !tool->marked || call->c->era != MCP_ERA_MODERN ||
        !mcp_is_over_http(call->c))
        return;
    if (json_read(&schema, tool->raw, scratch, 0, &err) &&
        json_read(&params, call->params, scratch, 0, &err) &&
        mcp_marks_headers(json_get(schema.root, "inputSchema"), &params,
                          json_get(params.root, "arguments"), scratch, &headers, &a->n_headers))
        a->headers = headers;
}

/* The modern era has one stream for all that is to be told, and no such methods: it is opened anew. True: that was all. */
static bool is_subscription(struct mcp_client_call *call)
{
    bool on = strcmp(call->method, "resources/subscribe") == 0;
    bool ok;

    if (call->c->era != MCP_ERA_MODERN ||
        (!on && strcmp(call->method, "resources/unsubscribe") != 0))
        return false;
    ok = mcp_subscribe_uri(call->c, call->name, on);
    call->stage = CALL_ASKED;
    end_later(call, ok ? MCP_OK : MCP_MEMORY, "no more resources can be watched");
    return true;
}

static void send_call(struct mcp_client_call *call)
{
    struct mcp_client *c = call->c;
    const struct mcp_entry *tool = call->is_tool ? mcp_listed_tool(c, call->name) : NULL;
    struct asking a = {.method = call->method,
                       .params = call->params,
                       .more = call->more,
                       .name = call->name,
                       .capabilities = call->capabilities,
                       .log_level = call->log_level,
                       .answered = on_answer,
                       .owner = call};
    struct arena scratch;
    char task[64];

    if (is_subscription(call))
        return;
    if (tool != NULL && tool->task_required && c->era == MCP_ERA_LEGACY && call->more.len == 0) {
        snprintf(task, sizeof task, "\"task\":{\"ttl\":%llu}", (unsigned long long)call->total_ms);
        a.more = strv_of(task);
    }
    if (call->token == 0)
        call->token = c->last_tag + 1; /* the id of its first request */
    a.progress = call->token;
    arena_init(&scratch, 4096, CALL_BYTES_MAX);
    add_headers(call, tool, &scratch, &a);
    call->stage = CALL_ASKED;
    alive(call);
    call->request = mcp_request(c, &a);
    arena_fini(&scratch);
    if (call->request == NULL)
        end_later(call, MCP_GONE, "it reads nothing of what it is sent, or there is no memory");
}

/* ---- what comes back ---- */

static void end_error(struct mcp_client_call *call, const struct mcp_message *m)
{
    struct mcp_answer a = {.end = MCP_REFUSED, .result = STRV(""), .code = m->code};
    struct arena scratch;

    arena_init(&scratch, 1024, 1 << 16);
    a.text = mcp_clean(m->text, MCP_TEXT_MAX, &scratch);
    if (a.text.len == 0)
        a.text = STRV("the server gave no reason");
    if (m->data == NULL ||
        !json_raw_member(&m->json, json_get(m->json.root, "error"), "data", &a.data))
        a.data = STRV("");
    end_with(call, &a, NULL);
    arena_fini(&scratch);
}

static void take_error(struct mcp_client_call *call, const struct mcp_message *m)
{
    struct mcp_client *c = call->c;

    if (m->code == MCP_HEADER_MISMATCH && c->era == MCP_ERA_MODERN && !call->mended) {
        call->mended = true; /* the tool's schema has changed: with the new one once more */
        call->stage = CALL_WAITS;
        mcp_lists_ask(c, 1u << MCP_TOOLS);
        return;
    }
    if (m->code == MCP_INVALID_PARAMS && call->is_tool)
        mcp_lists_changed(c, 1u << MCP_TOOLS); /* perhaps it has this tool no longer */
    end_error(call, m);
}

static void take_fault(struct mcp_client_call *call, const struct reply *reply)
{
    struct mcp_client *c = call->c;
    bool session = reply->fault == MCP_FAULT_SESSION && c->era == MCP_ERA_LEGACY;
    bool nobody = reply->fault == MCP_FAULT_DOWN && reply->status == 0;
    enum mcp_end end = reply->fault == MCP_FAULT_NO_MEMORY ? MCP_MEMORY
                       : reply->fault == MCP_FAULT_MALFORMED || reply->fault == MCP_FAULT_STATUS
                           ? MCP_BAD
                           : MCP_GONE;
    struct arena scratch;

    if (session && call->repeatable && !call->repeated) {
        call->repeated = true;
        call->stage = CALL_WAITS;
        mcp_session_lost(c);
        return;
    }
    arena_init(&scratch, 1024, 1 << 16);
    end_text(call, end, mcp_reply_text(reply, &scratch));
    arena_fini(&scratch);
    if (session)
        mcp_session_lost(c);
    else if (nobody)
        mcp_check_alive(c);
}

static void end_result(struct mcp_client_call *call, strv result)
{
    struct mcp_answer a = {.end = MCP_OK, .result = result, .text = STRV(""), .data = STRV("")};

    end_with(call, &a, NULL);
}

static void take_result(struct mcp_client_call *call, const struct reply *reply)
{
    yyjson_val *result = reply->m->result, *task = json_get(result, "task");
    strv type = json_get_str(result, "resultType");
    bool modern = call->c->era == MCP_ERA_MODERN;

    if (!modern && call->is_tool && json_get_str(task, "taskId").len > 0 &&
        json_get(result, "content") == NULL)
        take_task(call, task, &reply->m->json);
    else if (!modern || type.ptr == NULL || strv_eq(type, STRV("complete")))
        end_result(call, reply->result);
    else if (strv_eq(type, STRV("input_required")) && call->capabilities.len > 0)
        end_result(call, reply->result); /* whoever stands behind the call answers */
    else if (strv_eq(type, STRV("input_required")))
        begin_round(call, result, &reply->m->json);
    else if (strv_eq(type, STRV("task")) && call->is_tool)
        take_task(call, result, &reply->m->json);
    else
        end_text(call, MCP_BAD, "its answer is of a kind that we do not know");
}

/* What came to a request of the call: true = a result. All else is dealt with here. */
static bool has_result(struct mcp_client_call *call, const struct reply *reply)
{
    call->request = NULL;
    if (reply->m == NULL)
        take_fault(call, reply);
    else if (reply->m->kind != MCP_ERROR)
        return true;
    else if (call->stage == CALL_ASKED)
        take_error(call, reply->m);
    else
        end_error(call, reply->m);
    return false;
}

static void on_answer(struct request *r, const struct reply *reply)
{
    if (has_result(r->owner, reply))
        take_result(r->owner, reply);
}

/* ---- rounds of questions (modern era) ---- */

static bool ask_each(struct mcp_client_call *call, yyjson_val *requests)
{
    yyjson_val *key, *v;
    yyjson_obj_iter it = yyjson_obj_iter_with(requests);
    struct arena scratch;
    struct buf params;
    bool ok = true;

    arena_init(&scratch, 4096, CALL_BYTES_MAX);
    for (size_t i = 0; ok && (key = yyjson_obj_iter_next(&it)) != NULL; i++) {
        yyjson_val *given = json_get(v = yyjson_obj_iter_get_val(key), "params");

        buf_init(&params, CALL_BYTES_MAX);
        if (given != NULL)
            json_put_val(&params, given, &scratch);
        else
            buf_put_cstr(&params, "{}");
        ok = !params.failed &&
             mcp_question_ask(call->c, call, i, json_get_str(v, "method"), buf_view(&params));
        buf_fini(&params);
    }
    arena_fini(&scratch);
    return ok;
}

/* Keys and state are kept as they came: the state goes back byte for byte. */
static bool keep_round(struct mcp_client_call *call, yyjson_val *from, yyjson_val *requests,
                       const struct json *doc)
{
    yyjson_val *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(requests);
    strv raw;
    struct buf b;

    call->state = json_raw_member(doc, from, "requestState", &raw) && !strv_eq(raw, STRV("null"))
                      ? arena_strv(&call->arena, raw)
                      : STRV("");
    call->n_answers = call->missing = yyjson_is_obj(requests) ? yyjson_obj_size(requests) : 0;
    call->answers = ARENA_ARRAY(&call->arena, struct answered, call->n_answers + 1);
    for (size_t i = 0; call->answers != NULL && (key = yyjson_obj_iter_next(&it)) != NULL; i++) {
        buf_init(&b, 1 << 16);
        json_put_str(&b, json_str(key));
        call->answers[i].key = b.failed ? STRV_NONE : arena_strv(&call->arena, buf_view(&b));
        buf_fini(&b);
        if (call->answers[i].key.ptr == NULL)
            return false;
    }
    return call->answers != NULL && call->state.ptr != NULL;
}

static bool put_responses(struct mcp_client_call *call, struct buf *b)
{
    if (call->n_answers > 0)
        buf_put_cstr(b, "\"inputResponses\":{");
    for (size_t i = 0; i < call->n_answers; i++) {
        if (i > 0)
            buf_put_char(b, ',');
        buf_put_strv(b, call->answers[i].key);
        buf_put_char(b, ':');
        buf_put_strv(b, call->answers[i].text);
    }
    if (call->n_answers > 0)
        buf_put_char(b, '}');
    return !b->failed;
}

/* The server has said how long it wants to be left alone: that is no silence. */
static void wait_for_task(struct mcp_client_call *call)
{
    io_timer_stop(call->c->env.loop, &call->limit);
    io_timer_start(call->c->env.loop, &call->wait, call->poll_ms, ask_task, call);
}

static void on_updated(struct request *r, const struct reply *reply)
{
    if (has_result(r->owner, reply))
        wait_for_task(r->owner);
}

/* A request about the task. `more`: further members of its params, which the name of the task is put behind. */
static void ask_about(struct mcp_client_call *call, const char *method, struct buf *more,
                      void (*answered)(struct request *, const struct reply *))
{
    struct asking a = {.method = method,
                       .name = call->task,
                       .capabilities = call->capabilities,
                       .answered = answered,
                       .owner = call};

    buf_put_cstr(more, buf_len(more) > 0 ? ",\"taskId\":" : "\"taskId\":");
    json_put_str(more, call->task);
    a.more = buf_view(more);
    call->stage = CALL_TASK;
    alive(call);
    call->request = more->failed ? NULL : mcp_request(call->c, &a);
    if (call->request == NULL)
        end_later(call, MCP_GONE, "its task could not be asked for");
}

static void end_round(struct mcp_client_call *call)
{
    struct buf b;

    buf_init(&b, CALL_BYTES_MAX);
    put_responses(call, &b);
    if (call->task.len > 0) {
        ask_about(call, "tasks/update", &b, on_updated);
    } else {
        if (call->state.len > 0) {
            buf_put_cstr(&b, call->n_answers > 0 ? ",\"requestState\":" : "\"requestState\":");
            buf_put_strv(&b, call->state);
        }
        call->more = b.failed ? STRV_NONE : arena_strv(&call->arena, buf_view(&b));
        if (call->more.ptr == NULL)
            end_later(call, MCP_MEMORY, "no memory for the answers to its questions");
        else
            send_call(call);
    }
    buf_fini(&b);
}

static void begin_round(struct mcp_client_call *call, yyjson_val *from, const struct json *doc)
{
    yyjson_val *requests = json_get(from, "inputRequests");

    if (++call->rounds > ROUNDS_MAX ||
        (yyjson_is_obj(requests) && yyjson_obj_size(requests) > QUESTIONS_MAX)) {
        end_text(call, MCP_BAD, "it asks back again and again");
        return;
    }
    if (!keep_round(call, from, requests, doc)) {
        end_text(call, MCP_MEMORY, "no memory for its questions");
        return;
    }
    call->stage = CALL_ROUND;
    io_timer_stop(call->c->env.loop, &call->limit); /* a person is given time */
    if (call->missing == 0)
        end_round(call);
    else if (!ask_each(call, requests))
        end_text(call, MCP_BAD, "it asks for something that was never offered to it");
}

void mcp_call_answered(struct mcp_client_call *call, size_t index, strv result, const char *why)
{
    if (why != NULL) {
        end_text(call, MCP_GONE, why);
        return;
    }
    call->answers[index].text = arena_strv(&call->arena, result);
    if (call->answers[index].text.ptr == NULL)
        end_text(call, MCP_MEMORY, "no memory for the answers to its questions");
    else if (--call->missing == 0)
        end_round(call);
}

/* ---- tasks ---- */

/* The modern era puts the result into the task; before it, it is asked for, and waited for, on its own. */
static void on_task(struct request *r, const struct reply *reply)
{
    if (has_result(r->owner, reply))
        take_task(r->owner, reply->m->result, &reply->m->json);
}

static void on_task_result(struct request *r, const struct reply *reply)
{
    if (has_result(r->owner, reply))
        end_result(r->owner, reply->result);
}

static void ask_task(void *arg)
{
    struct buf none;

    buf_init(&none, 4096);
    ask_about(arg, "tasks/get", &none, on_task);
    buf_fini(&none);
}

static void ask_task_result(struct mcp_client_call *call)
{
    struct buf none;

    buf_init(&none, 4096);
    ask_about(call, "tasks/result", &none, on_task_result);
    buf_fini(&none);
}

/* A modern task's end stands in it: `result`, or `error`. */
static void end_task(struct mcp_client_call *call, yyjson_val *task, const struct json *doc)
{
    yyjson_val *error = json_get(task, "error");
    struct mcp_message m = {.json = *doc, .data = NULL};
    int64_t code = json_get_int(error, "code", MCP_INTERNAL);
    strv raw;

    if (error == NULL && yyjson_is_obj(json_get(task, "result")) &&
        json_raw_member(doc, task, "result", &raw)) {
        end_result(call, raw);
        return;
    }
    m.code = code >= INT32_MIN && code <= INT32_MAX ? (int)code : MCP_INTERNAL;
    m.text = error != NULL ? json_get_str(error, "message") : json_get_str(task, "statusMessage");
    if (m.text.ptr == NULL)
        m.text = STRV("the task has failed");
    end_error(call, &m);
}

static bool keep_task(struct mcp_client_call *call, yyjson_val *task)
{
    strv id = json_get_str(task, "taskId");
    int64_t poll = json_get_int(task, "pollIntervalMs", json_get_int(task, "pollInterval", 0));

    if (call->task.len == 0 && id.len > 0 && id.len <= 200 && utf8_valid(id) &&
        memchr(id.ptr, '"', id.len) == NULL && memchr(id.ptr, '\\', id.len) == NULL)
        call->task = arena_strv(&call->arena, id);
    if (poll > 0 || call->poll_ms == 0)
        call->poll_ms = poll > TASK_POLL_LEAST ? (uint64_t)poll
                        : poll > 0             ? TASK_POLL_LEAST
                                               : TASK_POLL_MS;
    return call->task.len > 0;
}

static void take_task(struct mcp_client_call *call, yyjson_val *task, const struct json *doc)
{
    strv status = json_get_str(task, "status");
    bool modern = call->c->era == MCP_ERA_MODERN;
    bool over = strv_eq(status, STRV("completed")) || strv_eq(status, STRV("failed"));

    call->stage = CALL_TASK;
    if (!keep_task(call, task))
        end_text(call, MCP_BAD, "its task has no name that could be used");
    else if (strv_eq(status, STRV("cancelled")))
        end_text(call, MCP_GONE, "the server has cancelled the task");
    else if (over && modern &&
             (json_get(task, "result") != NULL || json_get(task, "error") != NULL))
        end_task(call, task, doc);
    else if (strv_eq(status, STRV("input_required")) && modern)
        begin_round(call, task, doc);
    else if (!modern && (over || strv_eq(status, STRV("input_required"))))
        ask_task_result(call);
    else
        wait_for_task(call);
}

/* ---- what the server says meanwhile ---- */

void mcp_call_progress(struct mcp_client *c, const struct mcp_message *m)
{
    int64_t token;
    double done = 0, total = -1;
    struct list *pos, *tmp;

    if (!json_is_int(json_get(m->params, "progressToken"), &token) ||
        !json_is_num(json_get(m->params, "progress"), &done))
        return;
    json_is_num(json_get(m->params, "total"), &total);
    list_for_each(pos, tmp, &c->calls)
    {
        struct mcp_client_call *call = list_entry(pos, struct mcp_client_call, node);
        struct arena scratch;

        if (call->token == 0 || call->token != (uint64_t)token)
            continue;
        if (call->stage != CALL_ROUND)
            alive(call);
        if (call->ops.progress == NULL)
            return;
        arena_init(&scratch, 1024, 1 << 16);
        call->ops.progress(
            call->arg, done, total,
            mcp_clean(json_get_str(m->params, "message"), PROGRESS_TEXT_MAX, &scratch));
        arena_fini(&scratch);
        return;
    }
}

struct mcp_client_call *mcp_call_about(struct mcp_client *c, uint64_t about)
{
    struct mcp_client_call *only = NULL;
    struct list *pos, *tmp;
    size_t n = 0;

    list_for_each(pos, tmp, &c->calls)
    {
        struct mcp_client_call *call = list_entry(pos, struct mcp_client_call, node);

        if (call->request != NULL && call->request->tag == about)
            return call;
        if (call->stage != CALL_WAITS) {
            only = call;
            n++;
        }
    }
    return about == 0 && n == 1 ? only : NULL;
}

void mcp_call_said(struct mcp_client *c, uint64_t about, strv params)
{
    struct mcp_client_call *call = mcp_call_about(c, about);

    LOG(c->env.log, LOG_DEBUG, "mcp", LOG_C(SERVER, c->conf->name),
        LOG_C(REASON, "it logs something"), LOG_I(COUNT, params.len));
    if (call != NULL && call->ops.said != NULL)
        call->ops.said(call->arg, params);
}

/* Do the capabilities of whoever stands behind the call hold this? */
static bool holds(strv capabilities, strv method)
{
    strv rest = method, word = STRV("");
    struct err err = ERR_INIT;
    struct arena scratch;
    struct json doc;
    char name[32];
    bool ok;

    if (capabilities.len == 0 || !strv_cut(&rest, '/', &word) || word.len >= sizeof name)
        return false;
    memcpy(name, word.ptr, word.len);
    name[word.len] = '\0';
    arena_init(&scratch, 4096, 1 << 22);
    ok = json_read(&doc, capabilities, &scratch, 0, &err) && json_get(doc.root, name) != NULL;
    arena_fini(&scratch);
    return ok;
}

bool mcp_call_asks(struct mcp_client_call *call, struct mcp_question *q, strv method, strv params)
{
    if (call == NULL || call->ops.ask == NULL || !holds(call->capabilities, method))
        return false;
    call->ops.ask(call->arg, q, method, params);
    return true;
}
