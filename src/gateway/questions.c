/* SPDX-License-Identifier: Apache-2.0 */
/*
 * questions - what crosses workers: a legacy client's answer to a question of ours, and its word that a request is
 * cancelled.
 *
 *   worker A: a call asks, on its answer's stream, with an id that nobody can guess and that names A
 *   worker B: the answer comes by a POST of its own --io_post--> A: finds the question by its id, goes on
 *
 * Whoever answers must be who was asked: the same key and the same session. What comes too late, twice, or from
 * elsewhere finds nothing, and nobody is told.
 */
#include "gateway/internal.h"

#include <stdio.h>

#define ID_MAX        96
#define ANSWER_MAX    ((size_t)16 << 20)
#define QUESTIONS_MAX 32 /* of one call at a time */

struct question {
    struct question *next;
    struct gateway_call *c;
    char id[ID_MAX]; /* as JSON text */
    void (*done)(struct gateway_call *c, void *arg, strv result, int code, strv why);
    void *arg;
};

struct asking {
    struct question *first;
    size_t n;
};

/* ---- the hall ---- */

struct gateway_hall *gateway_hall_new(struct err *err)
{
    struct gateway_hall *h = mem_zalloc(sizeof *h);
    if (h == NULL) {
        err_oom(err);
        return NULL;
    }
    if (!rng_secret(h->secret, sizeof h->secret)) {
        mem_free(h);
        err_set(err, LLM_ERR_INTERNAL, "the system gives no random numbers");
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    list_init(&h->gateways);
    list_init(&h->streams);
    list_init(&h->subscriptions);
    return h;
}

void gateway_hall_free(struct gateway_hall *h)
{
    if (h == NULL)
        return;
    gateway_subscriptions_free(h);
    pthread_mutex_destroy(&h->lock);
    mem_free_secret(h, sizeof *h);
}

/* ---- asking ---- */

struct question *gateway_ask(struct gateway_call *c, const char *method, strv params,
                             void (*done)(struct gateway_call *c, void *arg, strv result, int code,
                                          strv why),
                             void *arg)
{
    struct question *q = ARENA_NEW(c->arena, struct question);
    uint8_t random[16];
    struct buf b;
    if (c->asking == NULL)
        c->asking = ARENA_NEW(c->arena, struct asking);
    if (q == NULL || c->asking == NULL || c->asking->n >= QUESTIONS_MAX ||
        !rng_secret(random, sizeof random))
        return NULL;
    int at = snprintf(q->id, sizeof q->id, "\"ask-%llx-", (unsigned long long)c->g->number);
    for (size_t i = 0; i < sizeof random; i++)
        at += snprintf(q->id + at, sizeof q->id - (size_t)at, "%02x", random[i]);
    snprintf(q->id + at, sizeof q->id - (size_t)at, "\"");
    q->c = c;
    q->done = done;
    q->arg = arg;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\",\"params\":", q->id, method);
    buf_put_strv(&b, params);
    buf_put_char(&b, '}');
    bool ok = !b.failed;
    if (ok) {
        q->next = c->asking->first;
        c->asking->first = q;
        c->asking->n++;
        c->sink->message(c->arg, buf_view(&b));
    }
    buf_fini(&b);
    return ok ? q : NULL;
}

void gateway_questions_drop(struct gateway_call *c)
{
    if (c->asking == NULL)
        return;
    c->asking->first = NULL;
    c->asking->n = 0;
}

/* ---- messages between workers ---- */

struct letter {
    struct gateway *to;
    char key[32], session[GATEWAY_SESSION_MAX];
    char id[ID_MAX]; /* of our question, or of the request that is cancelled */
    bool cancels;
    bool refused;
    int code;
    size_t len; /* of the result, or of why there is none */
    char text[];
};

static bool fill(char *out, size_t size, strv text)
{
    if (text.len >= size)
        return false;
    if (text.len > 0)
        memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

/* NULL: no memory, or nothing that we could ever have sent. */
static struct letter *letter_new(const struct gateway_call *c, strv id, strv text)
{
    strv key = c->caller.key != NULL ? strv_of(c->caller.key) : STRV("");
    struct letter *l = text.len <= ANSWER_MAX ? mem_zalloc(sizeof *l + text.len) : NULL;
    if (l == NULL)
        return NULL;
    if (!fill(l->key, sizeof l->key, key) || !fill(l->session, sizeof l->session, c->session) ||
        !fill(l->id, sizeof l->id, id)) {
        mem_free(l);
        return NULL;
    }
    l->len = text.len;
    if (text.len > 0)
        memcpy(l->text, text.ptr, text.len);
    return l;
}

static bool is_from(const struct letter *l, const struct gateway_call *c)
{
    return strv_eq_cstr(c->session, l->session) &&
           strcmp(c->caller.key != NULL ? c->caller.key : "", l->key) == 0;
}

static struct question *take_question(struct gateway_call *c, const char *id)
{
    for (struct question **at = c->asking != NULL ? &c->asking->first : NULL;
         at != NULL && *at != NULL; at = &(*at)->next)
        if (strcmp((*at)->id, id) == 0) {
            struct question *q = *at;
            *at = q->next;
            c->asking->n--;
            return q;
        }
    return NULL;
}

/* On the loop of the gateway it is for, which outlives its loop's messages. */
static void deliver(void *arg)
{
    struct letter *l = arg;
    struct list *pos, *tmp;
    list_for_each(pos, tmp, &l->to->calls)
    {
        struct gateway_call *c = list_entry(pos, struct gateway_call, node);
        if (!is_from(l, c))
            continue;
        if (l->cancels && strv_eq_cstr(c->m.id, l->id) && c->era == MCP_ERA_LEGACY) {
            gateway_drop(c);
            break;
        }
        struct question *q = l->cancels ? NULL : take_question(c, l->id);
        if (q == NULL)
            continue;
        strv text = {l->text, l->len};
        q->done(c, q->arg, l->refused ? STRV_NONE : text, l->code, l->refused ? text : STRV_NONE);
        break;
    }
    mem_free(l);
}

static void post(struct gateway *to, struct letter *l)
{
    l->to = to;
    if (!io_post(to->env.exchange->loop, deliver, l))
        mem_free(l);
}

/* "ask-2a-..." in quotes: the number of the gateway that asked. */
static bool asker(strv id, uint64_t *number)
{
    strv rest = id, part;
    *number = 0;
    if (!strv_starts(rest, STRV("\"ask-")))
        return false;
    rest = strv_from(rest, 5);
    if (!strv_cut(&rest, '-', &part) || part.len == 0 || part.len > 16)
        return false;
    for (size_t i = 0; i < part.len; i++) {
        int digit = strv_hex(part.ptr[i]);
        if (digit < 0)
            return false;
        *number = *number << 4 | (uint64_t)digit;
    }
    return true;
}

/* The session tells whose the answer is; a header that is wrong finds nothing. */
static bool read_session(struct gateway_call *c)
{
    bool twice = false;
    strv session = gateway_header(c, "Mcp-Session-Id", &twice);
    unsigned can;
    if (session.ptr == NULL || twice || !gateway_session_read(c, session, &can))
        return false;
    c->session = session;
    return true;
}

void gateway_response(struct gateway_call *c)
{
    struct gateway_hall *h = c->g->env.hall;
    struct list *pos, *tmp;
    uint64_t number;
    strv text = c->m.text;
    if (!read_session(c) || !asker(c->m.id, &number))
        return;
    if (c->m.kind == MCP_RESULT && !json_raw_member(&c->m.json, c->m.json.root, "result", &text))
        return;
    struct letter *l = letter_new(c, c->m.id, text);
    if (l == NULL)
        return;
    l->refused = c->m.kind == MCP_ERROR;
    l->code = c->m.code;
    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->gateways)
    {
        struct gateway *g = list_entry(pos, struct gateway, node);
        if (g->number != number || l == NULL)
            continue;
        post(g, l);
        l = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    mem_free(l);
}

/* Which worker has the request is not known: each is told. Without a session nobody knows whose request it is, since
 * every client counts from one. */
void gateway_cancelled(struct gateway_call *c)
{
    struct gateway_hall *h = c->g->env.hall;
    struct list *pos, *tmp;
    strv id;
    if (!read_session(c) || !json_raw_member(&c->m.json, c->m.params, "requestId", &id))
        return;
    pthread_mutex_lock(&h->lock);
    list_for_each(pos, tmp, &h->gateways)
    {
        struct letter *l = letter_new(c, id, STRV_NONE);
        if (l == NULL)
            break;
        l->cancels = true;
        post(list_entry(pos, struct gateway, node), l);
    }
    pthread_mutex_unlock(&h->lock);
}
