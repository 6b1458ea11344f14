/* SPDX-License-Identifier: Apache-2.0 */
/* client: every way to find the era, every order of answers, and its end in every state, over a link that the test
 * holds by the other end. The linker takes the functions of link.h from here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test/lib/fake_io.h"
#include "mcp/client_int.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define SENT_MAX     400

/* ---- the link ---- */

struct mcp_link {
    const struct mcp_link_ops *ops;
    void *arg;
    struct io_loop *loop;
    struct io_task task;
    void (*gone)(void *arg);
    void *gone_arg;
};

static struct sent {
    enum mcp_kind kind;
    uint64_t tag;
    char method[40], name[80], revision[20], headers[200];
    char *text;
} sent[SENT_MAX];
static size_t n_sent, n_seen;
static struct mcp_link *link_now;
static unsigned opened, renewed, listened, abandoned;
static bool refuse_send;

struct mcp_link *mcp_link_open(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                               const struct mcp_link_ops *ops, void *arg, struct err *err)
{
    struct mcp_link *l = mem_zalloc(sizeof *l);

    (void)conf;
    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    l->ops = ops;
    l->arg = arg;
    l->loop = env->loop;
    link_now = l;
    opened++;
    return l;
}

bool mcp_link_send(struct mcp_link *l, const struct mcp_sending *s)
{
    struct sent *to = &sent[n_sent];
    void *memory = mem_alloc(16); /* what a real one would need */

    mem_free(memory);
    if (refuse_send || memory == NULL)
        return false;
    assert_non_null(l);
    assert_true(n_sent < SENT_MAX);
    assert_null(memchr(s->text.ptr, '\n', s->text.len));
    n_sent++;
    *to = (struct sent){.kind = s->kind, .tag = s->tag};
    snprintf(to->method, sizeof to->method, "%s", s->method != NULL ? s->method : "");
    snprintf(to->name, sizeof to->name, STRV_FMT, STRV_ARG(s->name));
    snprintf(to->revision, sizeof to->revision, "%s", s->revision != NULL ? s->revision : "");
    for (size_t i = 0; i < s->n_params; i++)
        snprintf(to->headers + strlen(to->headers), sizeof to->headers - strlen(to->headers),
                 STRV_FMT "=" STRV_FMT ";", STRV_ARG(s->params[i].name),
                 STRV_ARG(s->params[i].value));
    to->text = malloc(s->text.len + 1);
    assert_non_null(to->text);
    memcpy(to->text, s->text.ptr, s->text.len);
    to->text[s->text.len] = '\0';
    return true;
}

void mcp_link_abandon(struct mcp_link *l, uint64_t tag)
{
    (void)l;
    assert_true(tag != 0);
    abandoned++;
}

void mcp_link_listen(struct mcp_link *l)
{
    (void)l;
    listened++;
}

void mcp_link_renew(struct mcp_link *l)
{
    (void)l;
    renewed++;
}

static void link_gone(struct io_task *task)
{
    struct mcp_link *l = list_entry(task, struct mcp_link, task);
    void (*gone)(void *arg) = l->gone;
    void *arg = l->gone_arg;

    mem_free(l);
    if (gone != NULL)
        gone(arg);
}

void mcp_link_close(struct mcp_link *l, void (*gone)(void *arg), void *arg)
{
    l->gone = gone;
    l->gone_arg = arg;
    l->ops = NULL;
    l->task.run = link_gone;
    if (link_now == l)
        link_now = NULL;
    io_defer(l->loop, &l->task);
}

/* ---- a client on it ---- */

struct fixture {
    struct io_loop *loop;
    struct mcp_server_conf conf;
    struct mcp_host host;
    struct mcp_client *client;
    unsigned changed, downs, asked;
    bool gone, close_when_down;
    char why[400];
    struct mcp_question *questions[8];
};

static void on_changed(void *arg)
{
    ((struct fixture *)arg)->changed++;
}

static void on_down(void *arg, const char *why)
{
    struct fixture *f = arg;

    f->downs++;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static void on_gone(void *arg)
{
    ((struct fixture *)arg)->gone = true;
}

static void on_ask(void *arg, struct mcp_question *q, const char *server, strv method, strv params)
{
    struct fixture *f = arg;

    (void)method;
    assert_string_equal(server, "s");
    assert_true(params.len >= 2);
    f->questions[f->asked++] = q;
}

static const struct mcp_client_ops client_ops = {on_changed, on_down, NULL, NULL};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->loop = io_loop_new(&ERR_INIT);
    f->conf = (struct mcp_server_conf){.name = "s", .transport = MCP_STDIO, .local = true};
    f->host = (struct mcp_host){.ask = on_ask, .arg = f, .elicitation = true, .sampling = true};
    n_sent = n_seen = 0;
    opened = renewed = listened = abandoned = 0;
    refuse_send = false;
    *state = f;
    return 0;
}

static void forget_sent(void)
{
    for (size_t i = 0; i < n_sent; i++)
        free(sent[i].text);
    n_sent = n_seen = 0;
}

static void close_client(struct fixture *f)
{
    if (f->client != NULL) {
        f->gone = false;
        mcp_client_close(f->client, on_gone, f);
        fake_run(f->loop);
        assert_true(f->gone);
    }
    f->client = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    size_t left;

    close_client(f);
    forget_sent();
    left = fake_end(f->loop);
    free(f);
    return left == 0 && mem_live() == 0 ? 0 : -1;
}

static void start(struct fixture *f, enum mcp_era known)
{
    struct mcp_client_opts opts = {
        .env = {.loop = f->loop}, .conf = &f->conf, .host = &f->host, .known = known};

    f->client = mcp_client_new(&opts, &client_ops, f, &ERR_INIT);
    assert_non_null(f->client);
}

static void say_about(struct fixture *f, const char *text, uint64_t about, int status)
{
    size_t len = strlen(text);
    char *copy = malloc(len); /* of exact size, for ASan */

    assert_non_null(copy);
    memcpy(copy, text, len);
    assert_non_null(link_now);
    link_now->ops->message(link_now->arg, (strv){copy, len}, about, status);
    free(copy);
    fake_run(f->loop);
}

static void say(struct fixture *f, const char *text)
{
    say_about(f, text, 0, 0);
}

/* The next message of ours, which must be this one. */
static struct sent *next(const char *method)
{
    struct sent *s = &sent[n_seen];

    if (n_seen >= n_sent)
        fail_msg("nothing was sent, %s was expected", method);
    n_seen++;
    if (strcmp(s->method, method) != 0)
        fail_msg("%s was sent instead of %s", s->text, method);
    return s;
}

static void nothing_more(void)
{
    if (n_seen < n_sent)
        fail_msg("this was sent, too: %s", sent[n_seen].text);
}

static void has(const struct sent *s, const char *text)
{
    if (strstr(s->text, text) == NULL)
        fail_msg("%s is not in %s", text, s->text);
}

static void result(struct fixture *f, const struct sent *s, const char *text)
{
    char *whole = malloc(strlen(text) + 100);

    assert_non_null(whole);
    sprintf(whole, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}", (unsigned long long)s->tag,
            text);
    say_about(f, whole, mcp_is_over_http(f->client) ? s->tag : 0, 200);
    free(whole);
}

static void error(struct fixture *f, const struct sent *s, int code, const char *more, int status)
{
    char text[400];

    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":%d,%s}}",
             (unsigned long long)s->tag, code, more);
    say_about(f, text, mcp_is_over_http(f->client) ? s->tag : 0, status);
}

static void fault(struct fixture *f, const struct sent *s, enum mcp_fault how, int status)
{
    link_now->ops->failed(link_now->arg, s->tag, how, status, STRV("body"));
    fake_run(f->loop);
}

#define TOOLS                                                                                      \
    "{\"tools\":[{\"name\":\"a\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"p\":{"     \
    "\"type\":\"string\",\"x-mcp-header\":\"P\"}}}},{\"name\":\"t\",\"execution\":{"               \
    "\"taskSupport\""                                                                              \
    ":\"required\"}}]}"
#define DISCOVERED                                                                                 \
    "{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{\"listChanged\":true}}}"
#define INITIALIZED                                                                                \
    "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{\"listChanged\":true}},"     \
    "\"serverInfo\":{\"name\":\"x\",\"version\":\"1\"}}"

static void to_ready(struct fixture *f, enum mcp_era era)
{
    start(f, era);
    if (era == MCP_ERA_MODERN) {
        result(f, next("server/discover"), DISCOVERED);
        result(f, next("tools/list"), TOOLS);
        next("subscriptions/listen");
    } else {
        result(f, next("initialize"), INITIALIZED);
        next("notifications/initialized");
        result(f, next("tools/list"), TOOLS);
    }
    assert_int_equal(f->changed, 1);
    assert_non_null(mcp_client_listing(f->client));
    nothing_more();
}

/* ---- calls ---- */

struct heard {
    unsigned done, progress;
    enum mcp_end end;
    int code;
    bool repeated;
    char result[600], text[600];
};

static void on_done(void *arg, const struct mcp_answer *a)
{
    struct heard *h = arg;

    h->done++;
    h->end = a->end;
    h->code = a->code;
    h->repeated = a->repeated;
    snprintf(h->result, sizeof h->result, STRV_FMT, STRV_ARG(a->result));
    snprintf(h->text, sizeof h->text, STRV_FMT, STRV_ARG(a->text));
}

static void on_progress(void *arg, double done, double total, strv message)
{
    (void)done;
    (void)total;
    (void)message;
    ((struct heard *)arg)->progress++;
}

static const struct mcp_call_ops call_ops = {.done = on_done, .progress = on_progress};

static struct mcp_client_call *call_tool(struct fixture *f, struct heard *h, const char *tool,
                                         bool repeatable)
{
    char params[100];
    struct mcp_call_spec spec = {.server = "s",
                                 .method = "tools/call",
                                 .repeatable = repeatable,
                                 .call_ms = 1000,
                                 .total_ms = 5000};
    struct mcp_client_call *c;

    snprintf(params, sizeof params, "{\"name\":\"%s\",\n\"arguments\":{\"p\":\"v w\"}}", tool);
    spec.params = strv_of(params);
    *h = (struct heard){0};
    c = mcp_client_call(f->client, &spec, &call_ops, h);
    assert_non_null(c);
    fake_run(f->loop);
    return c;
}

/* ---- which era ---- */

enum act { SAYS_RESULT, SAYS_ERROR, FAULTS, IS_SILENT, DIES };

static void each_answer_to_the_probe_leads_to_its_era(void **state)
{
    static const struct {
        bool http;
        enum mcp_era conf;
        enum act act;
        int code, status;
        const char *more, *then; /* NULL = down */
    } rows[] = {
        {false, 0, SAYS_RESULT, 0, 0, DISCOVERED, "tools/list"},
        {true, 0, SAYS_RESULT, 0, 200, DISCOVERED, "tools/list"},
        {false, 0, SAYS_RESULT, 0, 0, "{}", "initialize"},
        {false, 0, SAYS_RESULT, 0, 0, "{\"supportedVersions\":[\"2031-01-01\"]}", NULL},
        {false, 0, SAYS_ERROR, -32022, 0, "\"data\":{\"supported\":[\"2026-07-28\"]}",
         "server/discover"},
        {true, 0, SAYS_ERROR, -32022, 400, "\"data\":{\"supported\":[\"2026-07-28\"]}",
         "server/discover"},
        {false, 0, SAYS_ERROR, -32022, 0, "\"data\":{\"supported\":[\"2031-01-01\"]}", NULL},
        {false, 0, SAYS_ERROR, -32022, 0, "\"data\":{\"supported\":[\"2025-11-25\"]}",
         "initialize"},
        {false, 0, SAYS_ERROR, -32022, 0, "\"data\":7", NULL},
        {false, 0, SAYS_ERROR, -32020, 0, "\"message\":\"\"", "tools/list"},
        {true, 0, SAYS_ERROR, -32021, 400, "\"message\":\"\"", "tools/list"},
        {false, 0, SAYS_ERROR, -32601, 0, "\"message\":\"\"", "initialize"},
        {false, 0, SAYS_ERROR, -32602, 0, "\"message\":\"_meta\"", "initialize"},
        {false, 0, SAYS_ERROR, -32000, 0, "\"message\":\"\"", "initialize"},
        {false, 0, IS_SILENT, 0, 0, "", "initialize"},
        {false, 0, DIES, 0, 0, "", "initialize"},
        {true, 0, SAYS_ERROR, -32602, 400, "\"message\":\"no _meta there\"", "tools/list"},
        {true, 0, SAYS_ERROR, -32602, 400, "\"message\":\"else\"", "initialize"},
        {true, 0, SAYS_ERROR, -32601, 404, "\"message\":\"\"", "tools/list"},
        {true, 0, SAYS_ERROR, -32601, 200, "\"message\":\"\"", "initialize"},
        {true, 0, SAYS_ERROR, -32000, 400, "\"message\":\"Server not initialized\"", "initialize"},
        {true, 0, FAULTS, MCP_FAULT_STATUS, 404, "", "initialize"},
        {true, 0, FAULTS, MCP_FAULT_STATUS, 400, "", "initialize"},
        {true, 0, FAULTS, MCP_FAULT_SESSION, 400, "", "initialize"},
        {true, 0, FAULTS, MCP_FAULT_DOWN, 503, "", NULL},
        {true, 0, FAULTS, MCP_FAULT_DOWN, 0, "", NULL},
        {true, 0, FAULTS, MCP_FAULT_UNAUTHORIZED, 401, "", NULL},
        {true, 0, FAULTS, MCP_FAULT_FORBIDDEN, 403, "", NULL},
        {true, 0, FAULTS, MCP_FAULT_WITHHELD, 0, "", NULL},
        {true, 0, IS_SILENT, 0, 0, "", NULL},
        {false, MCP_ERA_MODERN, SAYS_ERROR, -32601, 0, "\"message\":\"\"", NULL},
        {false, MCP_ERA_MODERN, IS_SILENT, 0, 0, "", NULL},
        {false, MCP_ERA_MODERN, DIES, 0, 0, "", NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct sent *probe;

        f->conf.transport = rows[i].http ? MCP_HTTP : MCP_STDIO;
        f->conf.era = rows[i].conf;
        f->downs = 0;
        start(f, MCP_ERA_UNKNOWN);
        probe = next("server/discover");
        has(probe, "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
        has(probe, "\"io.modelcontextprotocol/clientCapabilities\":{");
        assert_string_equal(probe->revision, "2026-07-28");
        if (rows[i].act == SAYS_RESULT)
            result(f, probe, rows[i].more);
        else if (rows[i].act == SAYS_ERROR)
            error(f, probe, rows[i].code, rows[i].more, rows[i].status);
        else if (rows[i].act == FAULTS)
            fault(f, probe, (enum mcp_fault)rows[i].code, rows[i].status);
        else if (rows[i].act == IS_SILENT)
            fake_advance(f->loop, rows[i].then != NULL ? 3001 : 30001);
        else
            link_now->ops->closed(link_now->arg, MCP_FAULT_CUT, "it ended with status 1");
        fake_run(f->loop);
        if ((rows[i].then == NULL) != (f->downs == 1))
            fail_msg("row %zu: %s", i, f->why);
        if (rows[i].then != NULL)
            next(rows[i].then);
        else
            nothing_more();
        close_client(f);
        forget_sent();
    }
}

static void what_was_known_of_a_server_may_have_changed(void **state)
{
    struct fixture *f = *state;
    const struct sent *first;

    start(f, MCP_ERA_LEGACY);
    first = next("initialize");
    has(first, "\"protocolVersion\":\"2025-11-25\"");
    has(first, "\"elicitation\":{}");
    assert_string_equal(first->revision, "");
    error(f, first, MCP_VERSION_UNSERVED, "\"data\":{\"supported\":[\"2026-07-28\"]}", 0);
    result(f, next("server/discover"), DISCOVERED);
    next("tools/list");
    assert_int_equal(mcp_client_era(f->client), MCP_ERA_MODERN);
}

static void a_server_thought_to_be_modern_may_turn_out_to_be_none(void **state)
{
    struct fixture *f = *state;

    f->conf.transport = MCP_HTTP;
    start(f, MCP_ERA_UNKNOWN);
    error(f, next("server/discover"), -32601, "\"message\":\"\"", 404);
    error(f, next("tools/list"), -32000, "\"message\":\"Server not initialized\"", 400);
    while (n_seen < n_sent && strcmp(sent[n_seen].method, "initialize") != 0)
        n_seen++;
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    next("tools/list");
    assert_int_equal(listened, 1);
}

static void the_second_life_of_a_fragile_server_begins_with_initialize(void **state)
{
    struct fixture *f = *state;

    start(f, MCP_ERA_UNKNOWN);
    next("server/discover");
    link_now->ops->closed(link_now->arg, MCP_FAULT_CUT, "it ended with status 1");
    fake_run(f->loop);
    assert_int_equal(opened, 2);
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    result(f, next("tools/list"), TOOLS);
    assert_int_equal(f->changed, 1);
    assert_int_equal(mcp_client_era(f->client), MCP_ERA_LEGACY);
}

static void a_bad_handshake_is_the_end(void **state)
{
    static const char *const results[] = {"{\"protocolVersion\":\"2099-01-01\"}", "{}",
                                          "{\"protocolVersion\":\"2026-07-28\"}"};
    struct fixture *f = *state;
    struct heard h;

    for (size_t i = 0; i < COUNT(results); i++) {
        f->downs = 0;
        start(f, MCP_ERA_LEGACY);
        result(f, next("initialize"), results[i]);
        assert_int_equal(f->downs, 1);
        nothing_more();
        close_client(f);
    }
    f->downs = 0;
    start(f, MCP_ERA_LEGACY);
    call_tool(f, &h, "a", true);
    link_now->ops->line(link_now->arg, STRV("\x1b[31mModuleNotFoundError: x"));
    fake_advance(f->loop, 30001);
    assert_int_equal(f->downs, 1);
    assert_non_null(strstr(f->why, "its last words: ModuleNotFoundError: x"));
    assert_int_equal(h.done, 1);
    assert_null(strstr(h.text, "ModuleNotFoundError")); /* for the operator, and nobody else */
}

/* ---- lists ---- */

static void pages_are_put_together_and_end(void **state)
{
    struct fixture *f = *state;
    const struct mcp_list *tools;

    start(f, MCP_ERA_LEGACY);
    say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}"); /* already */
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    result(f, next("tools/list"), "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"\"}");
    struct sent *second = next("tools/list");
    has(second, "\"cursor\":\"\"");
    result(f, second, "{\"tools\":[{\"name\":\"b\"},7,{}],\"nextCursor\":\"x\\\"y\"}");
    struct sent *third = next("tools/list");
    has(third, "\"cursor\":\"x\\\"y\"");
    result(f, third, "{\"tools\":[{\"name\":\"c\"}],\"nextCursor\":\"\"}");
    tools = mcp_client_listing(f->client)->lists[MCP_TOOLS];
    assert_int_equal(tools->n, 3);
    assert_int_equal(tools->bad, 2);
    assert_non_null(strstr(tools->why, "no end"));
    nothing_more();
    fake_advance(f->loop, 200); /* the change that was told before is not forgotten */
    result(f, next("tools/list"), TOOLS);
    assert_int_equal(f->changed, 2);
}

static void storms_are_joined_and_what_did_not_change_is_not_told(void **state)
{
    struct fixture *f = *state;

    to_ready(f, MCP_ERA_LEGACY);
    for (int i = 0; i < 100; i++)
        say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}"); /* none */
    nothing_more();
    fake_advance(f->loop, 200);
    result(f, next("tools/list"), TOOLS);
    fake_advance(f->loop, 1000);
    nothing_more();
    assert_int_equal(f->changed, 1);
    say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    fake_advance(f->loop, 200);
    error(f, next("tools/list"), -32603, "\"message\":\"oh\"", 0);
    assert_int_equal(mcp_client_listing(f->client)->lists[MCP_TOOLS]->n, 2); /* as it was */
}

static void a_list_without_an_answer_does_not_hold_up_the_others(void **state)
{
    struct fixture *f = *state;
    struct sent *prompts;

    start(f, MCP_ERA_LEGACY);
    result(f, next("initialize"),
           "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"prompts\":{}}}");
    next("notifications/initialized");
    next("tools/list");
    prompts = next("prompts/list");
    result(f, prompts, "{\"prompts\":[{\"name\":\"p\"}]}");
    assert_int_equal(f->changed, 0);
    fake_advance(f->loop, 30001);
    assert_int_equal(f->changed, 1);
    assert_non_null(mcp_client_listing(f->client)->lists[MCP_TOOLS]->why);
    assert_int_equal(mcp_client_listing(f->client)->lists[MCP_PROMPTS]->n, 1);
    next("notifications/cancelled");
}

static void a_subscription_that_ends_is_opened_again(void **state)
{
    struct fixture *f = *state;

    to_ready(f, MCP_ERA_MODERN);
    has(&sent[n_seen - 1], "\"toolsListChanged\":true");
    fault(f, &sent[n_seen - 1], MCP_FAULT_CUT, 0);
    fake_advance(f->loop, 1000);
    next("subscriptions/listen");
    fake_advance(f->loop, 200);
    result(f, next("tools/list"), TOOLS); /* something may have been missed */
    say_about(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}", 3, 0);
    fake_advance(f->loop, 200);
    next("tools/list");
}

/* ---- calls ---- */

static void answers_find_their_calls_in_any_order(void **state)
{
    struct fixture *f = *state;
    struct heard a, b, c;
    struct sent *sa, *sb, *sc;
    char text[100];

    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &a, "a", false);
    call_tool(f, &b, "a", false);
    call_tool(f, &c, "a", false);
    sa = next("tools/call");
    sb = next("tools/call");
    sc = next("tools/call");
    assert_string_equal(sa->name, "a");
    assert_string_equal(sa->revision, "2025-06-18");
    assert_string_equal(sa->headers, "");
    result(f, sc, "{\"content\":[],\"n\":3}");
    assert_true(c.done == 1 && a.done == 0 && b.done == 0);
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":\"%llu\",\"result\":{}}",
             (unsigned long long)sa->tag);
    say(f, text); /* "4" is not 4 */
    assert_int_equal(a.done, 0);
    error(f, sa, -32000, "\"message\":\"no \\u001b[1mway\",\"data\":[1]", 0);
    assert_true(a.done == 1 && a.end == MCP_REFUSED && a.code == -32000);
    assert_string_equal(a.text, "no way");
    result(f, sa, "{}"); /* once more, and too late */
    result(f, sb, "{\"content\":[]}");
    assert_string_equal(c.result, "{\"content\":[],\"n\":3}");
    assert_true(a.done == 1 && b.done == 1 && b.end == MCP_OK);
    say(f, "garbage");
    say(f, "[]");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}");
    assert_int_equal(f->downs, 0);
}

static void a_call_waits_for_the_server_and_no_longer_than_its_time(void **state)
{
    struct fixture *f = *state;
    struct heard waits, late;

    start(f, MCP_ERA_LEGACY);
    call_tool(f, &late, "a", false);
    fake_advance(f->loop, 1000);
    assert_true(late.done == 1 && late.end == MCP_LATE);
    call_tool(f, &waits, "a", false);
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    result(f, next("tools/list"), TOOLS);
    result(f, next("tools/call"), "{}");
    assert_int_equal(waits.end, MCP_OK);
    nothing_more();
}

static void progress_keeps_a_call_alive_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    struct sent *s;
    char text[200];

    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &h, "a", false);
    s = next("tools/call");
    snprintf(text, sizeof text,
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
             "\"progressToken\":%llu,\"progress\":1,\"message\":\"m\"}}",
             (unsigned long long)s->tag);
    has(s, "\"_meta\":{\"progressToken\":");
    for (int i = 0; i < 5; i++) {
        fake_advance(f->loop, 900);
        assert_int_equal(h.done, 0);
        say(f, text);
    }
    assert_int_equal(h.progress, 5);
    fake_advance(f->loop, 600);
    assert_true(h.done == 1 && h.end == MCP_LATE);
    has(next("notifications/cancelled"), "\"requestId\":");
    say(f, text);
    assert_int_equal(h.progress, 5);
}

static void a_cancelled_call_is_cancelled_there_too(void **state)
{
    struct fixture *f = *state;
    struct mcp_client_call *c;
    struct heard h;

    to_ready(f, MCP_ERA_LEGACY);
    c = call_tool(f, &h, "a", false);
    next("tools/call");
    mcp_client_cancel(c);
    next("notifications/cancelled");
    assert_int_equal(abandoned, 1);
    close_client(f);
    forget_sent();
    f->changed = 0;
    abandoned = 0;
    f->conf.transport = MCP_HTTP;
    to_ready(f, MCP_ERA_MODERN);
    c = call_tool(f, &h, "a", false);
    assert_string_equal(next("tools/call")->headers, "Mcp-Param-P=v w;");
    mcp_client_cancel(c);
    nothing_more(); /* closing its stream says it */
    assert_int_equal(abandoned, 1);
    assert_int_equal(h.done, 0);
}

static void a_lost_session_is_recovered_once_and_only_reads_are_repeated(void **state)
{
    struct fixture *f = *state;
    struct heard reads, writes;
    struct sent *first, *second;

    f->conf.transport = MCP_HTTP;
    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &reads, "a", true);
    call_tool(f, &writes, "a", false);
    first = next("tools/call");
    second = next("tools/call");
    fault(f, first, MCP_FAULT_SESSION, 404);
    fault(f, second, MCP_FAULT_SESSION, 404);
    assert_int_equal(renewed, 1);
    assert_true(writes.done == 1 && writes.end == MCP_GONE && reads.done == 0);
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    result(f, next("tools/list"), TOOLS);
    first = next("tools/call");
    fault(f, first, MCP_FAULT_SESSION, 400);
    assert_true(reads.done == 1 && reads.end == MCP_GONE && reads.repeated);
    result(f, next("initialize"), INITIALIZED);
    next("notifications/initialized");
    for (int i = 0; i < 3 && f->downs == 0; i++) { /* a server that loses each session at once */
        fault(f, next("tools/list"), MCP_FAULT_SESSION, 404);
        if (f->downs == 0) {
            result(f, next("initialize"), INITIALIZED);
            next("notifications/initialized");
        }
    }
    assert_int_equal(f->downs, 1);
}

static void headers_that_differ_are_made_anew_once(void **state)
{
    struct fixture *f = *state;
    struct heard h;

    f->conf.transport = MCP_HTTP;
    to_ready(f, MCP_ERA_MODERN);
    call_tool(f, &h, "a", false);
    error(f, next("tools/call"), MCP_HEADER_MISMATCH, "\"message\":\"\"", 400);
    result(f, next("tools/list"), TOOLS);
    error(f, next("tools/call"), MCP_HEADER_MISMATCH, "\"message\":\"\"", 400);
    assert_true(h.done == 1 && h.end == MCP_REFUSED);
}

static void one_call_that_finds_nobody_makes_us_look(void **state)
{
    struct fixture *f = *state;
    struct heard h;

    f->conf.transport = MCP_HTTP;
    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &h, "a", false);
    fault(f, next("tools/call"), MCP_FAULT_DOWN, 0);
    assert_true(h.done == 1 && h.end == MCP_GONE);
    result(f, next("ping"), "{}");
    assert_int_equal(f->downs, 0);
    call_tool(f, &h, "a", false);
    fault(f, next("tools/call"), MCP_FAULT_DOWN, 503); /* that tool's own trouble */
    nothing_more();
    call_tool(f, &h, "a", false);
    fault(f, next("tools/call"), MCP_FAULT_DOWN, 0);
    fault(f, next("ping"), MCP_FAULT_DOWN, 0);
    assert_int_equal(f->downs, 1);
}

/* What it says later would be asked for in minutes only. */
static void a_server_that_dies_while_it_lists_its_tools_is_down(void **state)
{
    static const enum mcp_fault faults[] = {MCP_FAULT_DOWN, MCP_FAULT_CUT};
    struct fixture *f = *state;

    f->conf.transport = MCP_HTTP;
    for (size_t i = 0; i < COUNT(faults); i++) {
        f->downs = f->changed = 0;
        start(f, MCP_ERA_LEGACY);
        result(f, next("initialize"), INITIALIZED);
        next("notifications/initialized");
        fault(f, next("tools/list"), faults[i], 0);
        assert_int_equal(f->downs, 1);
        assert_int_equal(f->changed, 0);
        close_client(f);
        fake_run(f->loop);
        forget_sent();
    }
}

/* ---- rounds and tasks ---- */

static void a_round_of_questions_goes_back_with_its_state(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    struct sent *s;

    to_ready(f, MCP_ERA_MODERN);
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"),
           "{\"resultType\":\"input_required\",\"requestState\":\"a\\u0041 /\",\"inputRequests\":{"
           "\"one\":{\"method\":\"elicitation/create\",\"params\":{\"message\":\"?\"}},"
           "\"two\":{\"method\":\"sampling/createMessage\",\"params\":{}}}}");
    assert_int_equal(f->asked, 2);
    fake_advance(f->loop, 3000); /* a person thinks longer than a call may take */
    mcp_answer_question(f->questions[1], STRV("{\"role\":\"assistant\"}"));
    fake_run(f->loop);
    nothing_more();
    mcp_refuse_question(f->questions[0], MCP_USER_REFUSED, "no");
    fake_run(f->loop);
    s = next("tools/call");
    has(s, "\"requestState\":\"a\\u0041 /\"");
    has(s,
        "\"inputResponses\":{\"one\":{\"action\":\"decline\"},\"two\":{\"role\":\"assistant\"}}");
    result(f, s, "{\"resultType\":\"input_required\",\"requestState\":\"2\"}");
    s = next("tools/call");
    has(s, "\"requestState\":\"2\"");
    assert_null(strstr(s->text, "inputResponses"));
    result(f, s, "{\"resultType\":\"complete\",\"content\":[]}");
    assert_true(h.done == 1 && h.end == MCP_OK);
}

static void endless_rounds_and_undeclared_questions_end_the_call(void **state)
{
    struct fixture *f = *state;
    struct heard h;

    to_ready(f, MCP_ERA_MODERN);
    call_tool(f, &h, "a", false);
    for (int i = 0; i < 9; i++)
        result(f, next("tools/call"), "{\"resultType\":\"input_required\",\"requestState\":\"s\"}");
    assert_true(h.done == 1 && h.end == MCP_BAD);
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"),
           "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{\"method\":\"elicitation/"
           "create\"},\"b\":{\"method\":\"roots/list\"}}}");
    assert_true(h.done == 1 && h.end == MCP_BAD);
    assert_int_equal(f->asked, 1);
    mcp_answer_question(f->questions[0], STRV("{}")); /* nobody wants it any more */
    fake_run(f->loop);
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"), "{\"resultType\":\"strange\"}");
    assert_true(h.done == 1 && h.end == MCP_BAD);
    nothing_more();
}

static void tasks_are_asked_for_until_they_end(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    struct sent *s;

    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &h, "t", false);
    s = next("tools/call");
    has(s, "\"task\":{\"ttl\":5000}");
    result(f, s, "{\"task\":{\"taskId\":\"k1\",\"status\":\"working\",\"pollInterval\":300}}");
    fake_advance(f->loop, 299);
    nothing_more();
    fake_advance(f->loop, 1);
    result(f, next("tasks/get"), "{\"taskId\":\"k1\",\"status\":\"working\"}");
    fake_advance(f->loop, 300);
    result(f, next("tasks/get"), "{\"taskId\":\"k1\",\"status\":\"completed\"}");
    s = next("tasks/result");
    has(s, "\"taskId\":\"k1\"");
    result(f, s, "{\"content\":[]}");
    assert_true(h.done == 1 && h.end == MCP_OK);
    close_client(f);
    forget_sent();
    f->changed = 0;
    to_ready(f, MCP_ERA_MODERN);
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"),
           "{\"resultType\":\"task\",\"taskId\":\"k2\",\"status\":\"working\"}");
    fake_advance(f->loop, 1000); /* also its limit, but a task is a sign of life */
    s = next("tasks/get");
    assert_string_equal(s->name, "k2");
    result(f, s,
           "{\"taskId\":\"k2\",\"status\":\"input_required\",\"inputRequests\":{\"x\":{\"method\":"
           "\"elicitation/create\",\"params\":{}}}}");
    mcp_answer_question(f->questions[0], STRV("{\"action\":\"accept\"}"));
    fake_run(f->loop);
    s = next("tasks/update");
    has(s, "\"inputResponses\":{\"x\":{\"action\":\"accept\"}},\"taskId\":\"k2\"");
    result(f, s, "{}");
    fake_advance(f->loop, 1000);
    result(f, next("tasks/get"),
           "{\"taskId\":\"k2\",\"status\":\"completed\",\"result\":{\"content\":[7]}}");
    assert_true(h.done == 1 && h.end == MCP_OK);
    assert_string_equal(h.result, "{\"content\":[7]}");
    mcp_client_cancel(call_tool(f, &h, "a", false));
}

static void a_cancelled_task_is_cancelled_there(void **state)
{
    struct fixture *f = *state;
    struct mcp_client_call *c;
    struct heard h;

    to_ready(f, MCP_ERA_MODERN);
    c = call_tool(f, &h, "a", false);
    result(f, next("tools/call"),
           "{\"resultType\":\"task\",\"taskId\":\"k\",\"status\":\"working\"}");
    mcp_client_cancel(c);
    has(next("tasks/cancel"), "\"taskId\":\"k\"");
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"),
           "{\"resultType\":\"task\",\"taskId\":\"j\",\"status\":\"failed\",\"error\":{\"code\":-5,"
           "\"message\":\"broke\"}}");
    assert_true(h.done == 1 && h.end == MCP_REFUSED && h.code == -5);
    assert_string_equal(h.text, "broke");
}

/* ---- questions ---- */

static void the_servers_requests_are_answered_or_refused(void **state)
{
    struct fixture *f = *state;

    to_ready(f, MCP_ERA_LEGACY);
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    assert_string_equal(next("")->text, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}");
    has(next(""), "-32601");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"elicitation/create\",\"params\":{\"mode\":"
           "\"url\"}}");
    has(next(""), "-32602");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"elicitation/create\",\"params\":{}}");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"sampling/createMessage\",\"params\":{}}");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"elicitation/create\",\"params\":{}}");
    assert_int_equal(f->asked, 3);
    say(f,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":3}"
        "}");
    mcp_answer_question(f->questions[0], STRV("{\"action\":\"accept\"}"));
    mcp_refuse_question(f->questions[1], MCP_USER_REFUSED, "no \"thanks\"");
    fake_run(f->loop);
    has(next(""), "\"id\":4,\"error\":{\"code\":-1,\"message\":\"no \\\"thanks\\\"\"}");
    nothing_more();
    fake_advance(f->loop, 10 * 60000);
    has(next(""), "\"id\":5,\"error\":");
    mcp_answer_question(f->questions[2], STRV("{}")); /* too late, and nothing breaks */
    fake_run(f->loop);
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"elicitation/create\",\"params\":{}}");
    close_client(f);
    mcp_answer_question(f->questions[3], STRV("{}"));
    fake_run(f->loop);
}

static void a_server_outside_is_answered_nothing(void **state)
{
    struct fixture *f = *state;

    f->conf.local = false;
    to_ready(f, MCP_ERA_LEGACY);
    for (size_t i = 0; i < n_sent; i++)
        assert_null(strstr(sent[i].text, "elicitation"));
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{}}");
    has(next(""), "-32601");
    say(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"elicitation/create\",\"params\":{}}");
    has(next(""), "-32601");
    assert_int_equal(f->asked, 0);
}

/* Over HTTP it is known which call that is. Nobody shall work for an answer that has no reader. */
static void a_question_is_unwanted_when_its_call_is_over(void **state)
{
    struct fixture *f = *state;
    struct heard one, two;
    struct sent *first, *second;

    f->conf.transport = MCP_HTTP;
    to_ready(f, MCP_ERA_LEGACY);
    call_tool(f, &one, "a", false);
    call_tool(f, &two, "a", false);
    first = next("tools/call");
    second = next("tools/call");
    say_about(f,
              "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{}}",
              first->tag, 0);
    say_about(f,
              "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"sampling/createMessage\",\"params\":{}}",
              second->tag, 0);
    assert_int_equal(f->asked, 2);
    fault(f, first, MCP_FAULT_CUT, 0);
    assert_int_equal(one.done, 1);
    assert_true(mcp_question_unwanted(f->questions[0]));
    assert_false(mcp_question_unwanted(f->questions[1]));
    has(next(""), "\"id\":1,\"error\":");
    for (int i = 0; i < 2; i++)
        mcp_answer_question(f->questions[i], STRV("{}"));
    fake_run(f->loop);
    has(next(""), "\"id\":2,\"result\":");
    nothing_more();
}

/* ---- death ---- */

static void death_in_any_state_ends_everything_once(void **state)
{
    struct fixture *f = *state;

    for (int when = 0; when < 4; when++) {
        struct heard one, two;

        f->downs = f->changed = 0;
        start(f, MCP_ERA_LEGACY);
        call_tool(f, &one, "a", true);
        call_tool(f, &two, "a", false);
        if (when > 0) {
            result(f, next("initialize"), INITIALIZED);
            next("notifications/initialized");
        }
        if (when > 1)
            result(f, next("tools/list"), TOOLS);
        if (when > 2)
            result(f, next("tools/call"), "{}");
        link_now->ops->closed(link_now->arg, MCP_FAULT_CUT, "it was ended by signal 9");
        fake_run(f->loop);
        assert_int_equal(f->downs, 1);
        assert_true(one.done == 1 && two.done == 1 && two.end == MCP_GONE);
        assert_int_equal(one.end, when > 2 ? MCP_OK : MCP_GONE);
        assert_string_equal(two.text, "it was ended by signal 9");
        call_tool(f, &one, "a", false);
        fake_advance(f->loop, 0);
        assert_true(one.done == 1 && one.end == MCP_GONE);
        close_client(f);
        forget_sent();
    }
}

static void a_full_queue_ends_the_call_and_not_the_server(void **state)
{
    struct fixture *f = *state;
    struct heard h;

    to_ready(f, MCP_ERA_LEGACY);
    refuse_send = true;
    call_tool(f, &h, "a", false);
    fake_advance(f->loop, 0);
    assert_true(h.done == 1 && h.end == MCP_GONE);
    assert_int_equal(f->downs, 0);
    refuse_send = false;
    call_tool(f, &h, "a", false);
    result(f, next("tools/call"), "{}");
    assert_int_equal(h.end, MCP_OK);
}

/* Any allocation may fail: a call ends, or the server is down, and nothing is lost or told twice. */
static void refused_memory_ends_no_more_than_it_must(void **state)
{
    static const char asks[] =
        "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{\"method\":\"elicitation/"
        "create\",\"params\":{}}}}";
    static const char *const answers[] = {DISCOVERED, TOOLS, "{}", asks};
    struct fixture *f = *state;

    for (uint64_t nth = 1; nth < 140; nth++) {
        struct mcp_client_opts opts = {
            .env = {.loop = f->loop}, .conf = &f->conf, .host = &f->host, .known = MCP_ERA_MODERN};
        struct mcp_call_spec spec = {.method = "tools/call", .params = STRV("{\"name\":\"a\"}")};
        struct mcp_client_call *call = NULL;
        struct heard h = {0};

        f->asked = f->downs = 0;
        mem_fail_at(nth, false);
        f->client = mcp_client_new(&opts, &client_ops, f, &ERR_INIT);
        for (size_t i = 0; f->client != NULL && i < COUNT(answers) && f->downs == 0; i++) {
            size_t k = n_sent;

            if (i == 2)
                call = mcp_client_call(f->client, &spec, &call_ops, &h);
            while (k > 0 && sent[k - 1].kind != MCP_REQUEST)
                k--;
            if (i == 3)
                while (k > 0 && strcmp(sent[k - 1].method, "tools/call") != 0)
                    k--;
            if (k > 0)
                result(f, &sent[k - 1], answers[i]);
            fake_advance(f->loop, 1);
        }
        for (unsigned i = 0; i < f->asked; i++)
            mcp_answer_question(f->questions[i], STRV("{}"));
        fake_run(f->loop);
        mem_fail_at(0, false);
        assert_true(h.done <= 1 && f->downs <= 1);
        if (call != NULL && h.done == 0)
            mcp_client_cancel(call);
        fake_advance(f->loop, 20 * 60000);
        close_client(f);
        fake_run(f->loop);
        forget_sent();
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_answer_to_the_probe_leads_to_its_era),
        T(what_was_known_of_a_server_may_have_changed),
        T(a_server_thought_to_be_modern_may_turn_out_to_be_none),
        T(the_second_life_of_a_fragile_server_begins_with_initialize),
        T(a_bad_handshake_is_the_end),
        T(pages_are_put_together_and_end),
        T(storms_are_joined_and_what_did_not_change_is_not_told),
        T(a_list_without_an_answer_does_not_hold_up_the_others),
        T(a_subscription_that_ends_is_opened_again),
        T(answers_find_their_calls_in_any_order),
        T(a_call_waits_for_the_server_and_no_longer_than_its_time),
        T(progress_keeps_a_call_alive_but_not_for_ever),
        T(a_cancelled_call_is_cancelled_there_too),
        T(a_lost_session_is_recovered_once_and_only_reads_are_repeated),
        T(headers_that_differ_are_made_anew_once),
        T(one_call_that_finds_nobody_makes_us_look),
        T(a_server_that_dies_while_it_lists_its_tools_is_down),
        T(a_round_of_questions_goes_back_with_its_state),
        T(endless_rounds_and_undeclared_questions_end_the_call),
        T(tasks_are_asked_for_until_they_end),
        T(a_cancelled_task_is_cancelled_there),
        T(the_servers_requests_are_answered_or_refused),
        T(a_server_outside_is_answered_nothing),
        T(a_question_is_unwanted_when_its_call_is_over),
        T(death_in_any_state_ends_everything_once),
        T(a_full_queue_ends_the_call_and_not_the_server),
        T(refused_memory_ends_no_more_than_it_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
