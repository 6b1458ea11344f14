/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - a link over Streamable HTTP, both eras, and over HTTP+SSE of 2024-11-05 (mcp.md 7).
 *
 *   Streamable     POST message --> 202 | JSON | events        one call for each message
 *                  GET          --> events                     what the server says on its own (legacy)
 *                  GET with Last-Event-ID                      the rest of an answer that broke off (legacy)
 *                  DELETE                                      the session's end (legacy)
 *   2024-11-05     GET --> event `endpoint`, then all answers; POST message there --> 202
 *
 * Every message is one HTTP call; they run beside each other. Only notifications/initialized holds the others back
 * until it has arrived, because on another connection they would overtake it.
 *
 * A session is taken from the answer to initialize and sent back from then on. A server that has lost it says 404, or
 * 400 with words of its own; the request then fails with SESSION, and who sent it begins anew.
 *
 * The time for a request is the caller's, who gives up by mcp_link_abandon(). What nobody waits for (notifications,
 * the session's end) has limits here. Redirects are not followed: they are statuses like others.
 */
#include <assert.h>
#include <stdio.h>

#include "mcp/http_int.h"

/* As many loops as the hub carries at once may wait for one server. */
#define POSTS_MAX ((size_t)4096)
/* A notification that was not taken by then is lost. */
#define NOTICE_MS  ((uint64_t)30000)
#define GOODBYE_MS ((uint64_t)2000)
/* Reading on: how often without an event in between, and the longest pause. A server sets the pause by `retry`. */
#define TRIES_MAX    8
#define RETRY_MS     ((uint64_t)1000)
#define RETRY_MS_MIN ((uint64_t)20)
#define RETRY_MS_MAX ((uint64_t)60000)
/* One message is sent again with another token so often; each may have needed more scope. */
#define REFUSALS_MAX 5
/* A stream that lived this long has earned its next try at once. */
#define LIVED_US ((int64_t)10000000)
/* Room for headers besides the message. */
#define POST_ROOM ((size_t)256 * 1024)

static const char accept_both[] = "application/json, text/event-stream";
static const char accept_events[] = "text/event-stream";

static void run_task(struct io_task *task);
static bool post_start(struct post *p);
static void on_timer(void *arg);
static void post_free(struct post *p);
static void http_listen(struct mcp_link *link);
static void http_close(struct mcp_link *link, void (*gone)(void *arg), void *arg);

/* ---- posts ---- */

static struct post *post_new(struct http_link *l, enum post_role role, size_t bytes)
{
    struct post *p = mem_zalloc(sizeof *p);

    if (p == NULL)
        return NULL;
    p->link = l;
    p->role = role;
    p->kind = MCP_NOTIFICATION;
    p->retry_ms = RETRY_MS;
    arena_init(&p->arena, 1024, bytes + POST_ROOM);
    buf_init(&p->body, l->conf->message_max);
    buf_init(&p->last_id, 1024);
    list_add_tail(&l->posts, &p->node);
    l->n_posts++;
    return p;
}

static void post_free(struct post *p)
{
    list_del(&p->node);
    post_answer_reset(p);
    buf_fini(&p->last_id);
    arena_fini(&p->arena);
    mem_free(p);
}

void post_kill(struct post *p)
{
    struct http_link *l = p->link;

    if (p->state == POST_DEAD)
        return;
    http_call_cancel(p->call);
    p->call = NULL;
    io_timer_stop(l->env.loop, &p->timer);
    p->state = POST_DEAD;
    list_del(&p->node);
    list_add_tail(&l->dead, &p->node);
    l->n_posts--;
    if (l->barrier == p)
        l->barrier = NULL;
    if (l->stream == p)
        l->stream = NULL;
    io_defer(l->env.loop, &l->task);
}

void post_fail(struct post *p, enum mcp_fault fault, strv body)
{
    struct http_link *l = p->link;
    uint64_t tag = p->tag;
    int status = p->status;

    if (p->state == POST_DEAD)
        return;
    post_kill(p);
    if (l->stopping)
        return;
    if (p->role == POST_STREAM && l->old)
        http_link_down(l, fault, "the server's stream of events has ended");
    else if (tag != 0 || fault == MCP_FAULT_SESSION)
        l->ops->failed(l->arg, tag, fault, status, body);
}

void http_link_down(struct http_link *l, enum mcp_fault fault, const char *why)
{
    if (l->down)
        return;
    l->down = true;
    while (!list_empty(&l->posts) && !l->stopping)
        post_fail(list_first(&l->posts, struct post, node), fault, STRV_NONE);
    if (!l->stopping)
        l->ops->closed(l->arg, fault, why);
}

/* ---- what goes out ---- */

static bool is_set_by_us(strv name)
{
    static const char *const ours[] = {
        "Accept",         "Content-Type", "Content-Length", "Host",         "MCP-Protocol-Version",
        "MCP-Session-Id", "Mcp-Method",   "Mcp-Name",       "Last-Event-ID"};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strv_eq_nocase(name, strv_of(ours[i])))
            return true;
    return false;
}

static void add_header(struct http_header *to, size_t *n, const char *name, strv value)
{
    to[(*n)++] = (struct http_header){strv_of(name), value};
}

/* The operator's, those of the message, those of this try. */
static bool put_headers(struct post *p, struct http_call_spec *spec)
{
    const struct mcp_server_conf *conf = p->link->conf;
    bool reads = spec->method == HTTP_GET;
    struct http_header *h =
        ARENA_ARRAY(&p->arena, struct http_header, conf->n_headers + p->n_headers + 5);
    size_t n = 0;

    if (h == NULL)
        return false;
    for (size_t i = 0; i < conf->n_headers; i++)
        if (!is_set_by_us(conf->headers[i].name))
            h[n++] = conf->headers[i];
    if (spec->method != HTTP_DELETE)
        add_header(h, &n, "Accept", strv_of(reads ? accept_events : accept_both));
    for (size_t i = 0; i < p->n_headers; i++)
        h[n++] = p->headers[i];
    if (p->session != NULL)
        add_header(h, &n, "MCP-Session-Id", strv_of(p->session));
    if (reads && buf_len(&p->last_id) > 0) {
        strv id = arena_strv(&p->arena, buf_view(&p->last_id));

        if (id.ptr == NULL)
            return false;
        add_header(h, &n, "Last-Event-ID", id);
    }
    if (mcp_auth_token(p->link->auth)[0] != '\0') {
        p->token = arena_cstr(&p->arena, strv_of(mcp_auth_token(p->link->auth)));
        const char *value = arena_printf(&p->arena, "Bearer %s", p->token != NULL ? p->token : "");

        if (p->token == NULL || value == NULL)
            return false;
        add_header(h, &n, "Authorization", strv_of(value));
    }
    spec->headers = h;
    spec->n_headers = n;
    return true;
}

/* One more try. False: no memory. */
static bool post_start(struct post *p)
{
    struct http_link *l = p->link;
    bool sends = p->role == POST_MESSAGE && buf_len(&p->last_id) == 0;
    struct http_call_spec spec = {
        .upstream = &l->conf->upstream,
        .method = sends                     ? HTTP_POST
                  : p->role == POST_GOODBYE ? HTTP_DELETE
                                            : HTTP_GET,
        .path = l->old && sends ? l->endpoint : l->conf->path,
        .content_type = sends ? "application/json" : NULL,
        .body = sends ? p->text : STRV_NONE,
    };

    post_answer_reset(p);
    p->refused = false;
    p->challenge = (struct oauth_challenge){0};
    if (!put_headers(p, &spec))
        return false;
    p->state = POST_OUT;
    p->since_us = io_now_us(l->env.loop);
    p->call = http_call(l->env.client, &spec, &post_call_ops, p);
    if (p->call == NULL)
        return false;
    if (p->role != POST_STREAM && p->kind != MCP_REQUEST)
        io_timer_start(l->env.loop, &p->timer, p->role == POST_GOODBYE ? GOODBYE_MS : NOTICE_MS,
                       on_timer, p);
    return true;
}

static bool may_go(const struct http_link *l, const struct post *p)
{
    if (l->old && p->role == POST_MESSAGE && l->endpoint == NULL)
        return false;
    return (l->barrier == NULL || l->barrier == p) && !mcp_auth_busy(l->auth);
}

void http_link_wake(struct http_link *l)
{
    io_defer(l->env.loop, &l->task);
}

void post_unauthorized(struct post *p, strv body)
{
    struct http_link *l = p->link;
    const char *now = mcp_auth_token(l->auth);
    bool other = now[0] != '\0' && (p->token == NULL || strcmp(p->token, now) != 0);

    if (l->auth == NULL || l->stopping || p->refusals++ >= REFUSALS_MAX ||
        (!other && !mcp_auth_challenged(l->auth, p->status, &p->challenge))) {
        post_fail(p, p->status == 401 ? MCP_FAULT_UNAUTHORIZED : MCP_FAULT_FORBIDDEN, body);
        return;
    }
    p->state = POST_WAITS;
    p->refused = true;
    http_link_wake(l);
}

/* The login has ended: with the new token everything goes on; without one what was refused stays so. */
static void on_login(void *arg, bool ok)
{
    struct http_link *l = arg;
    struct list *pos, *tmp;
    bool again = !ok;

    while (again && !l->stopping) {
        again = false;
        list_for_each(pos, tmp, &l->posts)
        {
            struct post *p = list_entry(pos, struct post, node);

            if (p->state != POST_WAITS || !p->refused)
                continue;
            post_fail(p, MCP_FAULT_LOGIN, strv_of(mcp_auth_why(l->auth)));
            again = true; /* it was told: anything may have happened to the list */
            break;
        }
    }
    http_link_wake(l);
}

void post_resume(struct post *p)
{
    struct http_link *l = p->link;
    bool lived = io_now_us(l->env.loop) - p->since_us > LIVED_US;
    uint64_t ms = p->retry_ms > RETRY_MS_MIN ? p->retry_ms : RETRY_MS_MIN;

    if (p->role == POST_MESSAGE &&
        (p->era == MCP_ERA_MODERN || buf_len(&p->last_id) == 0 || p->tries >= TRIES_MAX)) {
        post_fail(p, MCP_FAULT_CUT, STRV_NONE);
        return;
    }
    if (p->role == POST_STREAM && lived)
        p->tries = 0;
    /* The first time as long as the server says; then ever longer. */
    for (unsigned i = 0; i < p->tries && ms < RETRY_MS_MAX; i++)
        ms *= 2;
    p->tries++;
    p->state = POST_LATER;
    io_timer_start(l->env.loop, &p->timer, ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX, on_timer, p);
}

static void on_timer(void *arg)
{
    struct post *p = arg;

    if (p->state != POST_LATER)
        post_kill(p); /* a notice that is not taken, a goodbye that is not answered */
    else if (!post_start(p))
        post_fail(p, MCP_FAULT_NO_MEMORY, STRV_NONE);
}

/* ---- the interface ---- */

static void nothing(void *arg)
{
    (void)arg;
}

/* A key of the operator's own is the last word. */
static bool may_log_in(const struct http_link *l)
{
    for (size_t i = 0; i < l->conf->n_headers; i++)
        if (strv_eq_nocase(l->conf->headers[i].name, STRV("Authorization")))
            return false;
    return l->env.auth != NULL || (l->conf->oauth != NULL && l->conf->oauth->client_credentials);
}

static struct mcp_link *http_open(const struct mcp_link_env *env,
                                  const struct mcp_server_conf *conf,
                                  const struct mcp_link_ops *ops, void *arg, struct err *err)
{
    struct http_link *l = mem_zalloc(sizeof *l);

    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    l->base.type = &mcp_link_http;
    l->env = *env;
    l->conf = conf;
    l->ops = ops;
    l->arg = arg;
    l->old = conf->transport == MCP_SSE;
    l->task.run = run_task;
    list_init(&l->posts);
    list_init(&l->dead);
    if (may_log_in(l)) {
        l->auth = mcp_auth_new(env, conf, on_login, l);
        if (l->auth == NULL) {
            mem_free(l);
            err_oom(err);
            return NULL;
        }
    }
    if (l->old)
        http_listen(&l->base);
    if (l->old && l->stream == NULL) {
        http_close(&l->base, nothing, NULL);
        err_oom(err);
        return NULL;
    }
    return &l->base;
}

/* A header's value in its coded form. */
static bool put_value(struct post *p, const char *name, strv value)
{
    struct buf coded;
    bool ok;

    buf_init(&coded, POST_ROOM / 2);
    ok = mcp_header_encode(value, &coded);
    value = arena_strv(&p->arena, buf_view(&coded));
    buf_fini(&coded);
    if (!ok || value.ptr == NULL)
        return false;
    add_header(p->headers, &p->n_headers, name, value);
    return true;
}

/* Headers that repeat what stands in the message, and the session. */
static bool post_describe(struct post *p, const struct mcp_sending *s)
{
    struct http_link *l = p->link;
    bool modern = s->era == MCP_ERA_MODERN;
    bool ok = true;

    p->headers = ARENA_ARRAY(&p->arena, struct http_header, s->n_params + 3);
    if (p->headers == NULL)
        return false;
    if (s->revision != NULL) {
        snprintf(l->revision, sizeof l->revision, "%s", s->revision);
        ok = put_value(p, "MCP-Protocol-Version", strv_of(s->revision));
    }
    if (modern && s->method != NULL)
        ok = ok && put_value(p, "Mcp-Method", strv_of(s->method));
    if (modern && s->name.len > 0)
        ok = ok && put_value(p, "Mcp-Name", s->name);
    for (size_t i = 0; modern && i < s->n_params && ok; i++) {
        const char *name = arena_cstr(&p->arena, s->params[i].name);

        ok = name != NULL && put_value(p, name, s->params[i].value);
    }
    if (!modern && l->session != NULL && !p->first) {
        p->session = arena_cstr(&p->arena, strv_of(l->session));
        ok = ok && p->session != NULL;
    }
    return ok;
}

static bool fill(struct post *p, const struct mcp_sending *s)
{
    p->text = arena_strv(&p->arena, s->text);
    p->kind = s->kind;
    p->tag = s->kind == MCP_REQUEST ? s->tag : 0;
    p->era = s->era;
    snprintf(p->id, sizeof p->id, "%llu", (unsigned long long)p->tag);
    p->first = s->method != NULL && strcmp(s->method, "initialize") == 0;
    return p->text.ptr != NULL && post_describe(p, s);
}

static bool http_send(struct mcp_link *link, const struct mcp_sending *s)
{
    struct http_link *l = (struct http_link *)link;
    struct post *p;

    assert(!l->stopping);
    if (l->down || l->n_posts >= POSTS_MAX || s->text.len > l->conf->message_max)
        return false;
    p = post_new(l, POST_MESSAGE, s->text.len);
    if (p == NULL)
        return false;
    if (!fill(p, s) || (may_go(l, p) && !post_start(p))) {
        post_kill(p);
        return false;
    }
    if (s->kind == MCP_NOTIFICATION && s->method != NULL && l->barrier == NULL &&
        strcmp(s->method, "notifications/initialized") == 0)
        l->barrier = p;
    return true;
}

static void http_abandon(struct mcp_link *link, uint64_t tag)
{
    struct http_link *l = (struct http_link *)link;
    struct list *pos, *tmp;

    list_for_each(pos, tmp, &l->posts)
    {
        struct post *p = list_entry(pos, struct post, node);

        if (p->tag == tag && tag != 0)
            post_kill(p);
    }
}

/* The old transport has nothing else to read from, so there it is opened with the link. */
static void http_listen(struct mcp_link *link)
{
    struct http_link *l = (struct http_link *)link;
    struct post *p;

    if (l->stream != NULL || l->stopping || l->down)
        return;
    p = post_new(l, POST_STREAM, 0);
    if (p == NULL)
        return;
    l->stream = p;
    p->headers = ARENA_ARRAY(&p->arena, struct http_header, 1);
    if (p->headers != NULL && l->revision[0] != '\0')
        put_value(p, "MCP-Protocol-Version", strv_of(l->revision));
    if (l->session != NULL)
        p->session = arena_cstr(&p->arena, strv_of(l->session));
    if (p->arena.failed || !post_start(p))
        post_kill(p); /* not vital; the old transport's open() looks */
}

static void http_renew(struct mcp_link *link)
{
    struct http_link *l = (struct http_link *)link;

    mem_free(l->session);
    l->session = NULL;
    l->session_worked = false;
    l->revision[0] = '\0';
    if (l->stream != NULL && !l->old)
        post_kill(l->stream);
}

static void http_close(struct mcp_link *link, void (*gone)(void *arg), void *arg)
{
    struct http_link *l = (struct http_link *)link;
    struct post *p;

    l->stopping = true;
    l->gone = gone;
    l->gone_arg = arg;
    while (!list_empty(&l->posts))
        post_kill(list_first(&l->posts, struct post, node));
    if (l->session != NULL && !l->old) {
        p = post_new(l, POST_GOODBYE, 0);
        if (p != NULL) {
            p->headers = ARENA_ARRAY(&p->arena, struct http_header, 1);
            p->session = l->session;
            if (p->headers != NULL && l->revision[0] != '\0')
                put_value(p, "MCP-Protocol-Version", strv_of(l->revision));
            if (p->arena.failed || !post_start(p))
                post_kill(p);
        }
    }
    http_link_wake(l);
}

const struct mcp_link_type mcp_link_http = {
    .open = http_open,
    .send = http_send,
    .abandon = http_abandon,
    .listen = http_listen,
    .renew = http_renew,
    .close = http_close,
};

/* ---- the end of the turn ---- */

static void start_waiting(struct http_link *l)
{
    struct list *pos, *tmp;
    struct post *p;
    bool again = true;

    /* A failure is told, and then anything may have happened to the list. */
    while (again && !l->stopping) {
        again = false;
        list_for_each(pos, tmp, &l->posts)
        {
            p = list_entry(pos, struct post, node);
            if (p->state != POST_WAITS || !may_go(l, p))
                continue;
            if (post_start(p))
                continue;
            post_fail(p, MCP_FAULT_NO_MEMORY, STRV_NONE);
            again = true;
            break;
        }
    }
}

static void run_task(struct io_task *task)
{
    struct http_link *l = list_entry(task, struct http_link, task);

    start_waiting(l);
    while (!list_empty(&l->dead))
        post_free(list_first(&l->dead, struct post, node));
    if (!l->stopping || l->n_posts > 0 || l->task.queued)
        return;
    mem_free(l->session);
    mem_free(l->endpoint);
    mcp_auth_free(l->auth);
    l->gone(l->gone_arg);
    mem_free(l);
}
