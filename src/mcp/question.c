/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question - what a server asks of us, from its coming to its one answer.
 *
 *   request of the server (legacy)        --> host or call --answer, any thread--io_post--> response
 *   entry of "input_required" (modern)    --> host         --answer, any thread--io_post--> the call's next round
 *
 * A question outlives whatever it was asked for: the server that withdrew it, the call that ended, the client that
 * closed. Then it belongs to nobody here, its answer is dropped and its memory freed. Whoever was asked answers in any
 * case, exactly once, and before the loop of the client is freed.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "mcp/client_int.h"

#define QUESTION_MS      ((uint64_t)10 * 60000) /* for a person */
#define OPEN_MAX         64                     /* of one server at a time: nobody answers more */
#define ANSWER_BYTES_MAX ((size_t)64 << 20)

struct mcp_question {
    struct list node; /* the client's */
    struct io_loop *loop;
    struct mcp_client *c;         /* NULL: nobody wants the answer any more */
    struct mcp_client_call *call; /* it is one of its round's; NULL = a request of the server */
    struct mcp_client_call
        *about; /* HTTP: the request came in this call's answer and ends with it */
    size_t index;
    bool form; /* elicitation: no is an answer */
    struct io_timer limit;
    atomic_bool unwanted; /* c is NULL, for other threads */
    atomic_bool lost;     /* answered, but there was no memory to say so: the timer finds it */
    struct buf answer;
    bool refused;
    int code;
    char why[120];
    char id[]; /* of the server's request, JSON text */
};

static void deliver(void *arg);

static void detach(struct mcp_question *q)
{
    list_del(&q->node);
    io_timer_stop(q->loop, &q->limit);
    q->c = NULL;
    q->call = q->about = NULL;
    atomic_store(&q->unwanted, true);
}

static void release(struct mcp_question *q)
{
    buf_fini(&q->answer);
    mem_free(q);
}

/* ---- answering, from any thread ---- */

static void post(struct mcp_question *q)
{
    bool sent = io_post(q->loop, deliver, q);

    if (!sent) /* once more: it may have been a short moment of need */
        sent = io_post(q->loop, deliver, q);
    if (!sent)
        atomic_store(&q->lost, true);
}

void mcp_answer_question(struct mcp_question *q, strv result)
{
    buf_put_strv(&q->answer, result);
    if (q->answer.failed) {
        q->refused = true;
        q->code = MCP_INTERNAL;
        snprintf(q->why, sizeof q->why, "no memory for the answer");
    }
    post(q);
}

void mcp_refuse_question(struct mcp_question *q, int code, const char *why)
{
    q->refused = true;
    q->code = code;
    snprintf(q->why, sizeof q->why, "%s", why);
    post(q);
}

bool mcp_question_unwanted(const struct mcp_question *q)
{
    return atomic_load(&q->unwanted);
}

/* ---- on the client's loop ---- */

static void respond(struct mcp_question *q)
{
    if (q->refused)
        mcp_respond_error(q->c, strv_of(q->id), q->code, q->why);
    else
        mcp_respond(q->c, strv_of(q->id), buf_view(&q->answer));
}

static void deliver(void *arg)
{
    struct mcp_question *q = arg;
    struct mcp_client_call *call = q->call;
    char why[200];

    if (q->c != NULL && call == NULL)
        respond(q);
    detach(q);
    if (call != NULL && q->refused && q->form)
        mcp_call_answered(call, q->index, STRV("{\"action\":\"decline\"}"), NULL);
    else if (call != NULL && q->refused) {
        snprintf(why, sizeof why, "it asked back, and that was refused: %s", q->why);
        mcp_call_answered(call, q->index, STRV_NONE, why);
    } else if (call != NULL) {
        mcp_call_answered(call, q->index, buf_view(&q->answer), NULL);
    }
    release(q);
}

static void on_limit(void *arg)
{
    struct mcp_question *q = arg;
    struct mcp_client_call *call = q->call;

    if (atomic_load(&q->lost)) {
        deliver(q);
        return;
    }
    if (call == NULL)
        mcp_respond_error(q->c, strv_of(q->id), MCP_INTERNAL, "nobody answered in time");
    detach(q); /* it goes when its answer comes */
    if (call != NULL)
        mcp_call_answered(call, 0, STRV_NONE, "it asked back, and nobody answered in time");
}

static struct mcp_question *question_new(struct mcp_client *c, strv id, strv method)
{
    struct mcp_question *q = mem_zalloc(sizeof *q + id.len + 1);

    if (q == NULL)
        return NULL;
    q->loop = c->env.loop;
    q->c = c;
    q->form = strv_eq(method, STRV("elicitation/create"));
    atomic_init(&q->unwanted, false);
    atomic_init(&q->lost, false);
    buf_init(&q->answer, ANSWER_BYTES_MAX);
    if (id.len > 0)
        memcpy(q->id, id.ptr, id.len);
    list_add_tail(&c->questions, &q->node);
    io_timer_start(c->env.loop, &q->limit, QUESTION_MS, on_limit, q);
    return q;
}

/* Have we said that we would answer this? */
static bool is_offered(const struct mcp_client *c, strv method)
{
    const struct mcp_host *h = c->host;

    return h != NULL && ((h->sampling && strv_eq(method, STRV("sampling/createMessage"))) ||
                         (h->elicitation && strv_eq(method, STRV("elicitation/create"))) ||
                         (h->roots && strv_eq(method, STRV("roots/list"))));
}

/* Forms only: an address to be opened is something that was not offered. */
static bool is_form(yyjson_val *params)
{
    strv mode = json_get_str(params, "mode");

    return mode.ptr == NULL || strv_eq(mode, STRV("form"));
}

static size_t open_questions(const struct mcp_client *c)
{
    size_t n = 0;

    for (const struct list *pos = c->questions.next; pos != &c->questions; pos = pos->next)
        n++;
    return n;
}

void mcp_question_come(struct mcp_client *c, const struct mcp_message *m, strv params,
                       uint64_t about)
{
    struct mcp_question *q;

    if (c->era == MCP_ERA_MODERN || !is_offered(c, m->method)) {
        mcp_respond_error(c, m->id, MCP_METHOD_NOT_FOUND, "this client does not answer that");
        return;
    }
    if (strv_eq(m->method, STRV("elicitation/create")) && !is_form(m->params)) {
        mcp_respond_error(c, m->id, MCP_INVALID_PARAMS, "this client takes forms only");
        return;
    }
    q = open_questions(c) < OPEN_MAX ? question_new(c, m->id, m->method) : NULL;
    if (q == NULL) {
        mcp_respond_error(c, m->id, MCP_INTERNAL, "too many questions at once");
        return;
    }
    q->about = about != 0 ? mcp_call_about(c, about) : NULL;
    if (!mcp_call_asks(mcp_call_about(c, about), q, m->method, params))
        c->host->ask(c->host->arg, q, c->conf->name, m->method, params);
}

bool mcp_question_ask(struct mcp_client *c, struct mcp_client_call *call, size_t index, strv method,
                      strv params)
{
    struct mcp_question *q = is_offered(c, method) ? question_new(c, STRV(""), method) : NULL;

    if (q == NULL)
        return false;
    q->call = call;
    q->index = index;
    c->host->ask(c->host->arg, q, c->conf->name, method, params);
    return true;
}

void mcp_question_withdrawn(struct mcp_client *c, strv id)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &c->questions)
    {
        struct mcp_question *q = list_entry(pos, struct mcp_question, node);

        if (q->call == NULL && strv_eq_cstr(id, q->id))
            detach(q);
    }
}

void mcp_questions_forget(struct mcp_client *c, const struct mcp_client_call *call)
{
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &c->questions)
    {
        struct mcp_question *q = list_entry(pos, struct mcp_question, node);

        if (call != NULL && q->call != call && q->about != call)
            continue;
        if (q->about != NULL &&
            c->state == CLIENT_READY) /* if it is still there: it need not wait */
            mcp_respond_error(c, strv_of(q->id), MCP_INTERNAL, "its call is over");
        detach(q);
    }
}
