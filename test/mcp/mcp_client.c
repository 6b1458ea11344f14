/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_client - does with one tool server what a scenario of the conformance suite asks of a client.
 *
 *   mcp_client URL        MCP_CONFORMANCE_SCENARIO, ..._PROTOCOL_VERSION, ..._CONTEXT as the suite sets them
 *
 * It connects and lists like the router, makes the scenario's calls one after the other, and leaves. Questions are
 * accepted with their defaults. A login is done by a browser of three lines: it opens the page and takes the answer
 * from where it is sent. Status 0 when every call was answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/io.h"
#include "mcp/auth.h"
#include "mcp/client_int.h"

#define CALLS_MAX 16
#define REDIRECT  "http://127.0.0.1:4711/callback" /* nobody listens: the browser is ours */

struct step {
    const char *method;
    strv params;
};

struct driver {
    struct io_loop *loop;
    struct http_client *http;
    struct mcp_client *client;
    struct mcp_server_conf conf;
    struct mcp_oauth_conf oauth;
    struct mcp_auth_host auth;
    struct arena arena;
    const char *scenario;
    yyjson_val *context; /* NULL = none */
    struct step steps[CALLS_MAX];
    size_t n_steps, at;
    bool started;
    int status;
    struct http_upstream page; /* of the login */
    struct mcp_auth *asking;
};

static void leave(struct driver *d, int status, const char *why)
{
    if (why != NULL)
        fprintf(stderr, "mcp_client: %s\n", why);
    d->status = status;
    io_loop_stop(d->loop);
}

static bool is_loopback(void *arg, const struct sockaddr *addr)
{
    (void)arg;
    return io_sockaddr_is_loopback(addr);
}

/* ---- a browser ---- */

static void on_page(void *arg, const struct http_answer *answer)
{
    struct driver *d = arg;
    strv to = http_answer_header(answer, "location");
    const char *query = to.len > 0 ? memchr(to.ptr, '?', to.len) : NULL;

    if (query == NULL || !strv_starts(to, STRV(REDIRECT)) ||
        !mcp_auth_redirected(d->asking, strv_from(to, (size_t)(query + 1 - to.ptr))))
        fprintf(stderr, "mcp_client: the page of the login does not lead back: status %d\n",
                answer->status);
}

static void on_page_body(void *arg, const char *data, size_t len)
{
    (void)arg, (void)data, (void)len;
}

static void on_page_end(void *arg, enum http_end how, enum io_end why)
{
    (void)arg, (void)how, (void)why;
}

static void visit(void *arg, struct mcp_auth *a, const char *server, const char *url)
{
    static const struct http_call_ops ops = {on_page, on_page_body, on_page_end, NULL};
    struct driver *d = arg;
    struct oauth_place place;

    (void)server;
    if (!oauth_place_read(strv_of(url), &d->arena, &place)) {
        leave(d, 1, "the address of the login is none");
        return;
    }
    d->asking = a;
    d->page = (struct http_upstream){.url = place.url,
                                     .key = arena_printf(&d->arena, "page %s", place.url.authority),
                                     .connect_ms = 5000,
                                     .allow = is_loopback};
    struct http_call_spec spec = {.upstream = &d->page, .method = HTTP_GET, .path = place.target};

    if (http_call(d->http, &spec, &ops, d) == NULL)
        leave(d, 1, "no memory");
}

/* ---- questions of the server ---- */

/* What somebody would send who only presses the button. */
static void put_defaults(struct driver *d, yyjson_val *schema, struct buf *out)
{
    bool first = true;
    size_t i, max;
    yyjson_val *key, *field;

    buf_put_char(out, '{');
    yyjson_obj_foreach(json_get(schema, "properties"), i, max, key, field)
    {
        yyjson_val *value = json_get(field, "default");
        bool yes = value == NULL && strv_eq(json_get_str(field, "type"), STRV("boolean"));

        if (value == NULL && !yes)
            continue;
        json_put_key(out, &first, yyjson_get_str(key));
        if (yes)
            buf_put_cstr(out, "true");
        else
            json_put_val(out, value, &d->arena);
    }
    buf_put_char(out, '}');
}

static void ask(void *arg, struct mcp_question *q, const char *server, strv method, strv params)
{
    struct driver *d = arg;
    struct json doc;
    struct buf out;

    (void)server;
    buf_init(&out, 65536);
    if (strv_eq(method, STRV("elicitation/create")) &&
        json_read(&doc, params, &d->arena, 0, NULL)) {
        buf_put_cstr(&out, "{\"action\":\"accept\",\"content\":");
        put_defaults(d, json_get(doc.root, "requestedSchema"), &out);
        buf_put_char(&out, '}');
    } else if (strv_eq(method, STRV("sampling/createMessage"))) {
        buf_put_cstr(&out,
                     "{\"role\":\"assistant\",\"content\":{\"type\":\"text\",\"text\":\"yes\"},"
                     "\"model\":\"none\",\"stopReason\":\"endTurn\"}");
    } else {
        buf_put_cstr(&out, "{\"roots\":[]}");
    }
    mcp_answer_question(q, buf_view(&out));
    buf_fini(&out);
}

/* ---- what a scenario wants ---- */

static void add(struct driver *d, const char *method, const char *params)
{
    if (d->n_steps < CALLS_MAX)
        d->steps[d->n_steps++] = (struct step){method, strv_of(params)};
}

static void add_tool(struct driver *d, strv name, const char *arguments)
{
    add(d, "tools/call",
        arena_printf(&d->arena, "{\"name\":\"" STRV_FMT "\",\"arguments\":%s}", STRV_ARG(name),
                     arguments));
}

/* The catalogue offers no others. */
static bool is_offered(struct driver *d, const struct mcp_entry *e)
{
    struct json doc;

    return json_read(&doc, e->raw, &d->arena, 0, NULL) &&
           mcp_marks_sound(json_get(doc.root, "inputSchema"), NULL, NULL);
}

/* Every item of a list, by its key. */
static void add_all(struct driver *d, enum mcp_list_kind kind, const char *method, const char *key,
                    const char *arguments)
{
    struct mcp_list *list = mcp_client_listing(d->client)->lists[kind];

    for (size_t i = 0; list != NULL && i < list->n; i++) {
        if (kind != MCP_TOOLS || is_offered(d, &list->items[i]))
            add(d, method,
                arena_printf(&d->arena, "{\"%s\":\"" STRV_FMT "\"%s}", key,
                             STRV_ARG(list->items[i].name), arguments));
    }
}

static void add_context_calls(struct driver *d)
{
    size_t i, max;
    yyjson_val *call;
    struct buf out;

    yyjson_arr_foreach(json_get(d->context, "toolCalls"), i, max, call)
    {
        buf_init(&out, 65536);
        json_put_val(&out, json_get(call, "arguments"), &d->arena);
        buf_put_char(&out, '\0');
        add_tool(d, json_get_str(call, "name"), arena_cstr(&d->arena, strv_of(buf_view(&out).ptr)));
        buf_fini(&out);
    }
}

/* The first tool's schema, as it was listed, to the second. */
static void add_schema_echo(struct driver *d)
{
    struct mcp_list *list = mcp_client_listing(d->client)->lists[MCP_TOOLS];
    struct json doc;
    strv schema;

    if (list != NULL && list->n == 2 && json_read(&doc, list->items[0].raw, &d->arena, 0, NULL) &&
        json_raw_member(&doc, doc.root, "inputSchema", &schema))
        add_tool(d, list->items[1].name,
                 arena_printf(&d->arena, "{\"schema\":" STRV_FMT "}", STRV_ARG(schema)));
}

static void plan(struct driver *d)
{
    const char *s = d->scenario;

    if (strcmp(s, "initialize") == 0 || strcmp(s, "request-metadata") == 0 ||
        strcmp(s, "json-schema-ref-no-deref") == 0)
        return; /* connecting and listing is all */
    if (strcmp(s, "http-custom-headers") == 0) {
        add_context_calls(d);
    } else if (strcmp(s, "json-schema-2020-12-preservation") == 0) {
        add_schema_echo(d);
    } else if (strcmp(s, "tools_call") == 0) {
        add_all(d, MCP_TOOLS, "tools/call", "name", ",\"arguments\":{\"a\":2,\"b\":3}");
    } else {
        add_all(d, MCP_TOOLS, "tools/call", "name", ",\"arguments\":{}");
        add_all(d, MCP_RESOURCES, "resources/read", "uri", "");
        add_all(d, MCP_PROMPTS, "prompts/get", "name", "");
    }
}

/* ---- the calls ---- */

static void next(struct driver *d);

static void on_done(void *arg, const struct mcp_answer *a)
{
    struct driver *d = arg;

    fprintf(stderr, "mcp_client: %s: %s" STRV_FMT "\n", d->steps[d->at].method,
            a->end == MCP_OK ? "answered" : "failed: ",
            STRV_ARG(a->end == MCP_OK ? STRV("") : a->text));
    if (a->end != MCP_OK && a->end != MCP_REFUSED)
        d->status = 1;
    d->at++;
    next(d);
}

static void next(struct driver *d)
{
    static const struct mcp_call_ops ops = {.done = on_done};

    if (d->at == d->n_steps) {
        leave(d, d->status, NULL);
        return;
    }
    struct mcp_call_spec spec = {.server = "suite",
                                 .method = d->steps[d->at].method,
                                 .params = d->steps[d->at].params,
                                 .repeatable = true,
                                 .capabilities = STRV(""),
                                 .log_level = STRV("")};

    if (spec.params.ptr == NULL || mcp_client_call(d->client, &spec, &ops, d) == NULL)
        leave(d, 1, "no memory");
}

static void on_changed(void *arg)
{
    struct driver *d = arg;

    if (d->started)
        return;
    d->started = true;
    plan(d);
    next(d);
}

static void on_down(void *arg, const char *why)
{
    leave(arg, 1, why);
}

/* ---- beginning and end ---- */

static const char *env(const char *name)
{
    const char *value = getenv(name);

    return value != NULL ? value : "";
}

static bool configure(struct driver *d, const char *url)
{
    struct oauth_place place;
    struct json doc;

    arena_init(&d->arena, 65536, 64 << 20);
    d->scenario = env("MCP_CONFORMANCE_SCENARIO");
    if (env("MCP_CONFORMANCE_CONTEXT")[0] != '\0' &&
        json_read(&doc, strv_of(env("MCP_CONFORMANCE_CONTEXT")), &d->arena, 0, NULL))
        d->context = doc.root;
    if (!oauth_place_read(strv_of(url), &d->arena, &place))
        return false;
    d->oauth = (struct mcp_oauth_conf){
        .client_id = json_get_str(d->context, "client_id").ptr,
        .client_secret = json_get_str(d->context, "client_secret").ptr,
        .document = "https://conformance-test.local/client-metadata.json",
        .client_credentials = strncmp(d->scenario, "auth/client-credentials", 23) == 0,
    };
    d->auth = (struct mcp_auth_host){.redirect = REDIRECT, .visit = visit, .arg = d};
    d->conf = (struct mcp_server_conf){
        .name = "suite",
        .transport = MCP_HTTP,
        .local = true,
        .upstream = {.url = place.url,
                     .key = "suite",
                     .connect_ms = 5000,
                     .idle_ms = 5000,
                     .idle_max = 4,
                     .allow = is_loopback},
        .path = place.target,
        .oauth = &d->oauth,
        .start_ms = 15000,
        .call_ms = 15000,
        .total_ms = 20000,
        .message_max = (size_t)16 << 20,
        .tools_max = 1000,
    };
    return true;
}

static void on_gone(void *arg)
{
    struct driver *d = arg;

    io_loop_stop(d->loop);
}

int main(int argc, char **argv)
{
    static const struct mcp_client_ops ops = {on_changed, on_down, NULL, NULL};
    static struct driver d;
    struct err err = ERR_INIT;
    struct rng rng;
    struct log log;
    struct mcp_host host = {
        .ask = ask, .arg = &d, .sampling = true, .elicitation = true, .roots = true};

    if (argc != 2 || !configure(&d, argv[1])) {
        fprintf(stderr, "usage: mcp_client URL\n");
        return 2;
    }
    log_init(&log, 2, LOG_DEBUG);
    d.loop = io_loop_new(&err);
    d.http = d.loop != NULL ? http_client_new(d.loop, 65536) : NULL;
    if (d.http == NULL || !rng_seed_system(&rng))
        return 2;
    struct mcp_client_opts opts = {
        .env = {.loop = d.loop, .client = d.http, .rng = &rng, .log = &log, .auth = &d.auth},
        .conf = &d.conf,
        .host = &host};

    d.client = mcp_client_new(&opts, &ops, &d, &err);
    if (d.client == NULL) {
        fprintf(stderr, "mcp_client: %s\n", err.text);
        return 2;
    }
    io_loop_run(d.loop);
    mcp_client_close(d.client, on_gone, &d);
    io_loop_run(d.loop);
    http_client_free(d.http);
    io_loop_free(d.loop);
    log_fini(&log);
    arena_fini(&d.arena);
    return d.status;
}
