/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sampling.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WORKERS_MAX    64
#define QUESTION_MAX   ((size_t)64 * 1024 * 1024) /* memory of one question */
#define ANSWER_MAX     ((size_t)4 * 1024 * 1024)
#define MESSAGES_MAX   1024
#define TOKENS_MAX     1000000
#define LOOK_MS        1000 /* how often it is asked whether anybody still waits */
#define NOT_UNDERSTOOD "the question is not one that can be put to a model here"

struct agent_host {
    struct mcp_host host;
    struct agent_env *envs[WORKERS_MAX];
    size_t n, next;
};

struct job { /* a question under way; belongs to its worker */
    struct agent_env *env;
    struct mcp_question *q;
    struct arena arena;
    strv params;
    struct llm_request r;
    struct exchange_caller caller;
    struct llm_reply reply;
    struct exchange *x;
    struct io_timer look;
    struct io_task burial;
    char server[32], id[37];
};

/* ---- the end ---- */

static void job_free(struct job *j)
{
    llm_reply_fini(&j->reply);
    arena_fini(&j->arena);
    mem_free(j);
}

static void bury(struct io_task *task)
{
    job_free((struct job *)(void *)((char *)task - offsetof(struct job, burial)));
}

/* The exchange still stands on it. */
static void over(struct job *j)
{
    io_timer_stop(j->env->exchange->loop, &j->look);
    j->burial.run = bury;
    io_defer(j->env->exchange->loop, &j->burial);
}

/* No model works for a server that is not there any more. */
static void look(void *arg)
{
    struct job *j = arg;
    if (!mcp_question_unwanted(j->q)) {
        io_timer_start(j->env->exchange->loop, &j->look, LOOK_MS, look, j);
        return;
    }
    exchange_caller_gone(j->x);
    mcp_refuse_question(j->q, MCP_INTERNAL, "nobody waits for it");
    over(j);
}

static const char *stop_reason(enum llm_finish f)
{
    return f == LLM_FINISH_LENGTH          ? "maxTokens"
           : f == LLM_FINISH_STOP_SEQUENCE ? "stopSequence"
                                           : "endTurn";
}

static void on_end(void *arg)
{
    struct job *j = arg;
    struct buf b, text;
    buf_init(&b, 2 * ANSWER_MAX);
    buf_init(&text, ANSWER_MAX);
    for (size_t i = 0; i < j->reply.n_parts; i++)
        if (j->reply.parts[i].kind == LLM_PART_TEXT)
            buf_put_strv(&text, llm_reply_text(&j->reply, &j->reply.parts[i]));
    buf_put_cstr(&b, "{\"role\":\"assistant\",\"content\":{\"type\":\"text\",\"text\":");
    json_put_str(&b, buf_view(&text));
    buf_put_cstr(&b, "},\"model\":");
    json_put_str(&b, exchange_model(j->x));
    buf_printf(&b, ",\"stopReason\":\"%s\"}", stop_reason(j->reply.finish));
    if (b.failed || text.failed)
        mcp_refuse_question(j->q, MCP_INTERNAL, "out of memory");
    else
        mcp_answer_question(j->q, buf_view(&b));
    buf_fini(&text);
    buf_fini(&b);
    over(j);
}

/* ---- the sink ---- */

static void on_begin(void *arg, struct exchange *x, int status, const char *type, int64_t length)
{
    struct job *j = arg;
    (void)status;
    (void)type;
    (void)length;
    j->x = x;
}

static bool on_event(void *arg, const struct llm_event *ev)
{
    struct job *j = arg;
    return llm_reply_add(&j->reply, ev, &j->arena);
}

static void on_fail(void *arg, struct exchange *x, int error, int status, strv message, strv field,
                    uint64_t retry_after_s)
{
    struct job *j = arg;
    (void)x;
    (void)status;
    (void)message; /* may quote a provider */
    (void)field;
    (void)retry_after_s;
    mcp_refuse_question(j->q, MCP_INTERNAL, llm_error_row(error)->text);
    over(j);
}

static void on_abort(void *arg)
{
    struct job *j = arg;
    mcp_refuse_question(j->q, MCP_INTERNAL, "the answer broke off");
    over(j);
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

static bool read_block(struct job *j, yyjson_val *v, struct llm_part *out)
{
    strv type = json_get_str(v, "type");
    if (strv_eq_cstr(type, "text")) {
        *out = (struct llm_part){.kind = LLM_PART_TEXT, .text = json_get_str(v, "text")};
        return out->text.ptr != NULL;
    }
    *out = (struct llm_part){.kind = LLM_PART_IMAGE,
                             .type = json_get_str(v, "mimeType"),
                             .data = json_get_str(v, "data")};
    j->r.needs |= LLM_NEED_IMAGES;
    return strv_eq_cstr(type, "image") && out->type.ptr != NULL && out->data.ptr != NULL;
}

static bool read_message(struct job *j, yyjson_val *v, struct llm_message *out)
{
    strv role = json_get_str(v, "role");
    yyjson_val *content = json_get(v, "content"), *one;
    size_t i, max, n = yyjson_is_arr(content) ? yyjson_arr_size(content) : 1;
    bool model = strv_eq_cstr(role, "assistant");
    if ((!model && !strv_eq_cstr(role, "user")) || content == NULL || n == 0 || n > MESSAGES_MAX)
        return false;
    *out = (struct llm_message){.role = model ? LLM_ASSISTANT : LLM_USER,
                                .parts = ARENA_ARRAY(&j->arena, struct llm_part, n),
                                .n_parts = n};
    if (out->parts == NULL)
        return false;
    if (!yyjson_is_arr(content))
        return read_block(j, content, &out->parts[0]);
    yyjson_arr_foreach(content, i, max, one)
    {
        if (!read_block(j, one, &out->parts[i]))
            return false;
    }
    return true;
}

static bool read_messages(struct job *j, yyjson_val *root)
{
    yyjson_val *list = json_get(root, "messages"), *one;
    strv system = json_get_str(root, "systemPrompt");
    size_t i, max, n = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;
    struct llm_request *r = &j->r;
    struct llm_part *part = ARENA_NEW(&j->arena, struct llm_part);
    if (n == 0 || n > MESSAGES_MAX || part == NULL)
        return false;
    r->messages = ARENA_ARRAY(&j->arena, struct llm_message, n + 1);
    if (r->messages == NULL)
        return false;
    if (system.len > 0) {
        *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = system};
        r->messages[r->n_messages++] = (struct llm_message){LLM_SYSTEM, part, 1};
    }
    yyjson_arr_foreach(list, i, max, one)
    {
        if (!read_message(j, one, &r->messages[r->n_messages++]))
            return false;
    }
    return true;
}

static bool read_stops(struct job *j, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *one;
    if (list == NULL)
        return true;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > 16)
        return false;
    j->r.stops = ARENA_ARRAY(&j->arena, strv, yyjson_arr_size(list) + 1);
    if (j->r.stops == NULL)
        return false;
    yyjson_arr_foreach(list, i, max, one)
    {
        if (!yyjson_is_str(one))
            return false;
        j->r.stops[j->r.n_stops++] = json_str(one);
    }
    return true;
}

/* Tools are not declared, so no server asks with them; which model answers is our policy's business. */
static bool read_question(struct job *j)
{
    struct json doc;
    struct err err = ERR_INIT;
    double temperature;
    if (!json_read(&doc, j->params, &j->arena, 0, &err) || !yyjson_is_obj(doc.root) ||
        json_get(doc.root, "tools") != NULL)
        return false;
    int64_t tokens = json_get_int(doc.root, "maxTokens", 0);
    yyjson_val *warm = json_get(doc.root, "temperature");
    j->r = (struct llm_request){
        .arena = &j->arena,
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = STRV(""),
        .choices = 1,
        .user = STRV_NONE,
        .private_hint = true,
        .task = STRV_NONE,
        .session = STRV_NONE,
        .request_id = STRV_NONE,
        .hide_reasoning = true,
    };
    if (tokens < 1 || tokens > TOKENS_MAX)
        return false;
    llm_set(&j->r, LLM_P_MAX_TOKENS, (double)tokens);
    if (json_is_num(warm, &temperature) && temperature >= 0 && temperature <= 2)
        llm_set(&j->r, LLM_P_TEMPERATURE, temperature);
    return read_messages(j, doc.root) && read_stops(j, json_get(doc.root, "stopSequences"));
}

static void refuse(struct job *j, int code, const char *why)
{
    mcp_refuse_question(j->q, code, why);
    job_free(j);
}

/* On the worker's thread. */
static void run(void *arg)
{
    struct job *j = arg;
    struct exchange_env *ex = j->env->exchange;
    if (ex->draining) {
        refuse(j, MCP_INTERNAL, "shutting down");
        return;
    }
    if (!read_question(j)) {
        refuse(j, j->arena.failed ? MCP_INTERNAL : MCP_INVALID_PARAMS, NOT_UNDERSTOOD);
        return;
    }
    rng_uuid(ex->rng, j->id);
    j->caller = (struct exchange_caller){
        .request_id = strv_of(j->id),
        .record_id = strv_of(j->id),
        .address = strv_of(j->server),
        .no_cache = true,
        .no_store = true,
        .received_us = io_now_us(ex->loop),
        .bytes_in = (int64_t)j->params.len,
    };
    io_timer_start(ex->loop, &j->look, LOOK_MS, look, j);
    struct exchange *x = exchange_start(ex, &j->arena, &j->r, &j->caller, &sink, j);
    if (x == NULL) {
        io_timer_stop(ex->loop, &j->look);
        refuse(j, MCP_INTERNAL, "out of memory");
    } else {
        j->x = x; /* if it is over already, its burial is to come */
    }
}

/* ---- the host ---- */

static struct job *job_new(struct agent_env *env, struct mcp_question *q, const char *server,
                           strv params)
{
    struct job *j = mem_zalloc(sizeof *j);
    if (j == NULL)
        return NULL;
    j->env = env;
    j->q = q;
    snprintf(j->server, sizeof j->server, "%s", server);
    arena_init(&j->arena, 4096, QUESTION_MAX);
    llm_reply_init(&j->reply, ANSWER_MAX);
    j->params = arena_strv(&j->arena, params);
    if (j->params.ptr != NULL)
        return j;
    job_free(j);
    return NULL;
}

static void sample(struct agent_host *h, struct mcp_question *q, const char *server, strv params)
{
    struct agent_env *env = h->n > 0 ? h->envs[h->next++ % h->n] : NULL;
    struct job *j = env != NULL ? job_new(env, q, server, params) : NULL;
    if (j == NULL) {
        mcp_refuse_question(q, MCP_INTERNAL, "no model can be asked now");
    } else if (!io_post(env->exchange->loop, run, j)) {
        refuse(j, MCP_INTERNAL, "out of memory");
    }
}

static void ask(void *arg, struct mcp_question *q, const char *server, strv method, strv params)
{
    struct agent_host *h = arg;
    if (strv_eq_cstr(method, "sampling/createMessage"))
        sample(h, q, server, params);
    else if (strv_eq_cstr(method, "elicitation/create"))
        mcp_answer_question(q, STRV("{\"action\":\"decline\"}"));
    else if (strv_eq_cstr(method, "roots/list"))
        mcp_answer_question(q, STRV("{\"roots\":[]}"));
    else
        mcp_refuse_question(q, MCP_METHOD_NOT_FOUND, "not served");
}

struct agent_host *agent_host_new(void)
{
    struct agent_host *h = mem_zalloc(sizeof *h);
    if (h != NULL)
        h->host = (struct mcp_host){
            .ask = ask, .arg = h, .sampling = true, .elicitation = true, .roots = true};
    return h;
}

bool agent_host_add(struct agent_host *h, struct agent_env *env)
{
    if (h->n == WORKERS_MAX)
        return false;
    h->envs[h->n++] = env;
    return true;
}

const struct mcp_host *agent_host_of(struct agent_host *h)
{
    return &h->host;
}

void agent_host_free(struct agent_host *h)
{
    mem_free(h);
}
