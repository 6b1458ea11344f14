/* SPDX-License-Identifier: Apache-2.0 */
/* http - servers that answer by JSON, by events, in pieces, late, elsewhere or not at all; on a made-up network. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/http.h"
#include "mcp/link_int.h"

#define PEERS_MAX    16
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A link, the server at its other end, and what the link has told, as text. */
struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct mcp_server_conf conf;
    struct mcp_link *link;
    struct fake_peer *peers[PEERS_MAX]; /* in the order of their connections */
    size_t n_peers;
    struct buf told;
    size_t cut;       /* bytes per read of what the peers send */
    unsigned closing; /* close the link at the n-th thing told */
    unsigned tolds, gone;
};

static void on_gone(void *arg)
{
    struct world *w = arg;

    w->gone++;
}

static void told(struct world *w)
{
    if (++w->tolds == w->closing) {
        mcp_link_http.close(w->link, on_gone, w);
        w->link = NULL;
    }
}

static void on_message(void *arg, strv text, uint64_t about, int status)
{
    struct world *w = arg;

    assert_non_null(w->link);
    buf_printf(&w->told, "message %d %d %.*s\n", (int)about, status, STRV_ARG(text));
    told(w);
}

static const char *const fault_names[] = {"down",      "cut",          "status",
                                          "session",   "unauthorized", "forbidden",
                                          "malformed", "withheld",     "no memory"};

static void on_failed(void *arg, uint64_t tag, enum mcp_fault fault, int status, strv body)
{
    struct world *w = arg;

    assert_non_null(w->link);
    buf_printf(&w->told, "failed %d %s %d%s%.*s\n", (int)tag, fault_names[fault], status,
               body.len > 0 ? " " : "", STRV_ARG(body));
    told(w);
}

static void on_closed(void *arg, enum mcp_fault fault, const char *why)
{
    struct world *w = arg;

    assert_non_null(why);
    buf_printf(&w->told, "closed %s\n", fault_names[fault]);
    told(w);
}

static const struct mcp_link_ops ops = {on_message, on_failed, on_closed, NULL};

static void on_peer(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;

    assert_true(w->n_peers < PEERS_MAX);
    fake_peer_cut(peer, w->cut);
    w->peers[w->n_peers++] = peer;
}

/* What is told is kept in memory that is never refused. */
static void prepare(struct world *w)
{
    *w = (struct world){.cut = w->cut, .closing = w->closing};
    buf_init(&w->told, 1 << 20);
    assert_non_null(buf_reserve(&w->told, 1 << 16));
}

static bool try_open(struct world *w, enum mcp_transport transport)
{
    static const struct http_header headers[] = {{{"X-Key", 5}, {"k1", 2}},
                                                 {{"accept", 6}, {"text/html", 9}}};
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = w};
    struct mcp_link_env env;
    struct err err = ERR_INIT;

    if (w->told.max == 0)
        prepare(w);
    w->conf = (struct mcp_server_conf){
        .name = "s",
        .transport = transport,
        .upstream = {.url = {.host = "up", .port = 80, .authority = "up", .path = ""},
                     .key = "up",
                     .connect_ms = 1000,
                     .idle_ms = 5000,
                     .idle_max = 4},
        .path = "/mcp",
        .headers = headers,
        .n_headers = COUNT(headers),
        .message_max = 2000,
    };
    w->loop = io_loop_new(&err);
    if (w->loop == NULL)
        return false;
    fake_target(w->loop, "up", 80, &rule);
    w->client = http_client_new(w->loop, 4000);
    if (w->client == NULL)
        return false;
    env = (struct mcp_link_env){.loop = w->loop, .client = w->client};
    w->link = mcp_link_http.open(&env, &w->conf, &ops, w, &err);
    return w->link != NULL;
}

static void open_world(struct world *w)
{
    *w = (struct world){0};
    assert_true(try_open(w, MCP_HTTP));
}

static void end_world(struct world *w)
{
    if (w->link != NULL) {
        mcp_link_http.close(w->link, on_gone, w);
        fake_run(w->loop);
        fake_advance(w->loop, 2000); /* for the session's end, which nobody answers */
        assert_int_equal(w->gone, 1);
    }
    http_client_free(w->client);
    assert_int_equal(fake_end(w->loop), 0);
    buf_fini(&w->told);
}

static void assert_told(struct world *w, const char *text)
{
    buf_put_char(&w->told, '\0');
    assert_string_equal(buf_view(&w->told).ptr, text);
    buf_clear(&w->told);
}

static struct mcp_sending request(uint64_t tag, const char *method)
{
    static char text[100];

    snprintf(text, sizeof text, "{\"id\":%d,\"method\":\"%s\"}", (int)tag, method);
    return (struct mcp_sending){.text = strv_of(text),
                                .kind = MCP_REQUEST,
                                .tag = tag,
                                .method = method,
                                .revision = strcmp(method, "initialize") == 0 ? NULL : "2025-11-25",
                                .era = MCP_ERA_LEGACY};
}

static bool send(struct world *w, uint64_t tag, const char *method)
{
    struct mcp_sending s = request(tag, method);

    if (tag == 0)
        s.kind = MCP_NOTIFICATION;
    return mcp_link_http.send(w->link, &s);
}

/* Sent, and at the peer. */
static void ask(struct world *w, uint64_t tag, const char *method)
{
    assert_true(send(w, tag, method));
    fake_run(w->loop);
}

static void answer(struct world *w, size_t peer, const char *text)
{
    assert_true(peer < w->n_peers);
    fake_peer_eat(w->peers[peer], fake_peer_received(w->peers[peer]).len);
    fake_peer_send_cstr(w->peers[peer], text);
    fake_run(w->loop);
}

/* The same with a length, as JSON. */
static void answer_json(struct world *w, size_t peer, int status, const char *headers,
                        const char *body)
{
    char text[4000];

    snprintf(text, sizeof text,
             "HTTP/1.1 %d X\r\n%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status, headers, strlen(body), body);
    answer(w, peer, text);
}

static bool received(struct world *w, size_t peer, const char *text)
{
    strv got = fake_peer_received(w->peers[peer]);

    return memmem(got.ptr, got.len, text, strlen(text)) != NULL;
}

#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define ANSWER "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"
#define ERROR  "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}"
#define NOTICE "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}"

/* ---- what goes out ---- */

static void test_a_message(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    ask(&w, 1, "initialize");
    assert_true(strv_eq_cstr(fake_peer_received(w.peers[0]),
                             "POST /mcp HTTP/1.1\r\n"
                             "Host: up\r\n"
                             "X-Key: k1\r\n"
                             "Accept: application/json, text/event-stream\r\n"
                             "Accept-Encoding: identity\r\n"
                             "Content-Type: application/json\r\n"
                             "Content-Length: 30\r\n\r\n"
                             "{\"id\":1,\"method\":\"initialize\"}"));
    answer_json(&w, 0, 200, "", ANSWER);
    assert_told(&w, "message 1 200 " ANSWER "\n");
    ask(&w, 2, "tools/list");
    assert_true(received(&w, 0, "MCP-Protocol-Version: 2025-11-25\r\n"));
    assert_false(received(&w, 0, "Session"));
    assert_false(received(&w, 0, "Mcp-Method"));
    end_world(&w);
}

static void test_headers_of_the_modern_era(void **state)
{
    static const struct http_header params[] = {
        {{"Mcp-Param-Region", 16}, {"us-west1", 8}},
        {{"Mcp-Param-Note", 14}, {"caf\xc3\xa9\r\nX: y", 11}},
    };
    struct world w;
    (void)state;

    open_world(&w);
    struct mcp_sending s = {.text = STRV("{}"),
                            .kind = MCP_REQUEST,
                            .tag = 1,
                            .method = "tools/call",
                            .revision = "2026-07-28",
                            .era = MCP_ERA_MODERN,
                            .name = STRV(" odd"),
                            .params = params,
                            .n_params = 2};

    assert_true(mcp_link_http.send(w.link, &s));
    fake_run(w.loop);
    assert_true(received(&w, 0,
                         "MCP-Protocol-Version: 2026-07-28\r\n"
                         "Mcp-Method: tools/call\r\n"
                         "Mcp-Name: =?base64?IG9kZA==?=\r\n"
                         "Mcp-Param-Region: us-west1\r\n"
                         "Mcp-Param-Note: =?base64?Y2Fmw6kNClg6IHk=?=\r\n"));
    /* Sessions are of the other era. */
    answer_json(&w, 0, 200, "MCP-Session-Id: s1\r\n", ANSWER);
    s.tag = 2;
    assert_true(mcp_link_http.send(w.link, &s));
    fake_run(w.loop);
    assert_false(received(&w, 0, "Session"));
    end_world(&w);
    assert_int_equal(w.n_peers, 1);
}

/* ---- answers ---- */

#define JSON "Content-Type: application/json\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"
#define EOB  "Connection: close\r\n\r\n"

static const struct {
    const char *name, *in;
    bool eof;
    const char *told;
} answers[] = {
    {"JSON", OK JSON EOB ANSWER, true, "message 1 200 " ANSWER "\n"},
    {"a type in other letters", OK "Content-Type: Application/JSON; charset=utf-8\r\n" EOB ANSWER,
     true, "message 1 200 " ANSWER "\n"},
    {"an error", OK JSON EOB ERROR, true, "message 1 200 " ERROR "\n"},
    {"an error with status", "HTTP/1.1 404 X\r\n" JSON EOB ERROR, true,
     "message 1 404 " ERROR "\n"},
    {"an error without id",
     "HTTP/1.1 400 X\r\n" EOB
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"x\"}}",
     true,
     "message 1 400 "
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"x\"}}\n"},
    {"an error with an id of its own",
     "HTTP/1.1 500 X\r\n" JSON EOB
     "{\"jsonrpc\":\"2.0\",\"id\":\"server-error\",\"error\":{\"code\":-32603,\"message\":\"x\"}}",
     true,
     "message 1 500 "
     "{\"jsonrpc\":\"2.0\",\"id\":\"server-error\",\"error\":{\"code\":-32603,\"message\":\"x\"}}"
     "\n"},
    {"events", EVENTS "event: message\nid: 1\ndata: " ANSWER "\n\n", false,
     "message 1 200 " ANSWER "\n"},
    {"CRLF", EVENTS ": hello\r\n\r\nevent: message\r\ndata: " ANSWER "\r\n\r\n", false,
     "message 1 200 " ANSWER "\n"},
    {"CR", EVENTS "data: " ANSWER "\r\r:x", false, "message 1 200 " ANSWER "\n"},
    {"a notice first", EVENTS "data: " NOTICE "\n\ndata: " ANSWER "\n\n", false,
     "message 1 200 " NOTICE "\nmessage 1 200 " ANSWER "\n"},
    {"nothing is read behind the answer", EVENTS "data: " ANSWER "\n\ndata: " NOTICE "\n\n", false,
     "message 1 200 " ANSWER "\n"},
    {"data in two lines", EVENTS "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n",
     false, "message 1 200 {\"jsonrpc\":\"2.0\",\n\"id\":1,\"result\":{}}\n"},
    {"an answer for another",
     EVENTS "data: {\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}\n\ndata: " ANSWER "\n\n", false,
     "message 1 200 {\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}\nmessage 1 200 " ANSWER "\n"},
    {"other events and empty ones",
     EVENTS "event: ping\ndata: x\n\ndata:\n\n:\n\ndata: " ANSWER "\n\n", false,
     "message 1 200 " ANSWER "\n"},
    {"an event without its end", EVENTS "data: " ANSWER, true, "message 1 200 " ANSWER "\n"},

    {"events that end too early", EVENTS "data: " NOTICE "\n\n", true,
     "message 1 200 " NOTICE "\nfailed 1 cut 200\n"},
    {"an event that is no message", EVENTS "data: hello\n\n", false, "failed 1 malformed 200\n"},
    {"a batch", OK JSON EOB "[" ANSWER "]", true, "failed 1 malformed 200 [" ANSWER "]\n"},
    {"the answer to something else", OK JSON EOB "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}",
     true, "failed 1 malformed 200 {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n"},
    {"a page", OK "Content-Type: text/html\r\n" EOB "<html>", true, "failed 1 malformed 200\n"},
    {"no type", OK EOB ANSWER, true, "failed 1 malformed 200\n"},
    {"accepted, and no answer", "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n", false,
     "failed 1 malformed 202\n"},
    {"nothing", "HTTP/1.1 204 X\r\n\r\n", false, "failed 1 malformed 204\n"},
    {"elsewhere", "HTTP/1.1 307 X\r\nLocation: http://up/other\r\nContent-Length: 0\r\n\r\n", false,
     "failed 1 status 307\n"},
    {"unknown here", "HTTP/1.1 404 X\r\nContent-Type: text/plain\r\n" EOB "Not Found", true,
     "failed 1 status 404 Not Found\n"},
    {"a result is no error", "HTTP/1.1 400 X\r\n" JSON EOB ANSWER, true,
     "failed 1 status 400 " ANSWER "\n"},
    {"who are you", "HTTP/1.1 401 X\r\n" JSON EOB "{}", true, "failed 1 unauthorized 401 {}\n"},
    {"not you", "HTTP/1.1 403 X\r\n" EOB, true, "failed 1 forbidden 403\n"},
    {"broken", "HTTP/1.1 502 X\r\n" EOB "bad gateway", true, "failed 1 down 502 bad gateway\n"},
    {"not HTTP", "hello\r\n\r\n", false, "failed 1 malformed 0\n"},
    {"half a head", "HTTP/1.1 200", true, "failed 1 cut 0\n"},
    {"half a body", OK JSON "Content-Length: 100\r\n\r\n{", true, "failed 1 cut 200\n"},
};

static void run_answer(size_t i, size_t cut)
{
    struct world w = {.cut = cut};

    assert_true(try_open(&w, MCP_HTTP));
    ask(&w, 1, "tools/list");
    answer(&w, 0, answers[i].in);
    if (answers[i].eof && !fake_peer_over(w.peers[0]))
        fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    buf_put_char(&w.told, '\0');
    if (strcmp(buf_view(&w.told).ptr, answers[i].told) != 0)
        fail_msg("%s, cut %zu: got\n%s\nwant\n%s", answers[i].name, cut, buf_view(&w.told).ptr,
                 answers[i].told);
    end_world(&w);
}

static void test_answers_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++)
        for (size_t cut = 0; cut < 8; cut++)
            run_answer(i, cut);
}

static void test_a_large_one_is_refused(void **state)
{
    char body[3000];
    struct world w;
    (void)state;

    memset(body, ' ', sizeof body);
    body[sizeof body - 1] = '\0';
    open_world(&w);
    ask(&w, 1, "a");
    answer_json(&w, 0, 200, "", body);
    assert_told(&w, "failed 1 malformed 200\n");
    ask(&w, 2, "b");
    answer(&w, 1, EVENTS "data: ");
    answer(&w, 1, body);
    assert_told(&w, "failed 2 malformed 200\n");
    struct mcp_sending s = request(3, "c");
    s.text = strv_of(body);
    assert_false(mcp_link_http.send(w.link, &s));
    end_world(&w);
}

static void test_nobody_there(void **state)
{
    struct fake_rule refuse = {.answer = FAKE_REFUSE}, hang = {.answer = FAKE_HANG};
    struct world w;
    (void)state;

    open_world(&w);
    fake_target(w.loop, "up", 80, &refuse);
    ask(&w, 1, "a");
    assert_told(&w, "failed 1 down 0\n");
    fake_target(w.loop, "up", 80, &hang);
    ask(&w, 2, "b");
    assert_told(&w, "");
    fake_advance(w.loop, 1000);
    assert_told(&w, "failed 2 down 0\n");
    end_world(&w);
}

static bool allow_none(void *arg, const struct sockaddr *addr)
{
    (void)arg, (void)addr;
    return false;
}

static void test_an_address_outside_of_the_zone(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    w.conf.upstream.allow = allow_none;
    ask(&w, 1, "a");
    assert_told(&w, "failed 1 withheld 0\n");
    end_world(&w);
}

/* ---- notifications ---- */

static void test_initialized_arrives_first(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    ask(&w, 0, "notifications/initialized");
    ask(&w, 1, "tools/list");
    ask(&w, 0, "notifications/cancelled");
    assert_int_equal(w.n_peers, 1);
    answer(&w, 0, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(w.n_peers, 2); /* the first one serves again */
    assert_true(received(&w, 0, "tools/list"));
    assert_true(received(&w, 1, "cancelled"));
    assert_told(&w, "");
    end_world(&w);

    /* A server that does not take it does not hold us for ever. */
    open_world(&w);
    ask(&w, 0, "notifications/initialized");
    ask(&w, 1, "tools/list");
    fake_advance(w.loop, 29999);
    assert_int_equal(w.n_peers, 1);
    fake_advance(w.loop, 1);
    assert_int_equal(w.n_peers, 2);
    assert_told(&w, "");
    end_world(&w);
}

static void test_abandoned(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    ask(&w, 1, "a");
    answer(&w, 0, EVENTS "id: 1\ndata: " NOTICE "\n\n");
    buf_clear(&w.told);
    mcp_link_http.abandon(w.link, 1);
    mcp_link_http.abandon(w.link, 7);
    fake_run(w.loop);
    assert_int_equal(fake_peer_state(w.peers[0]), FAKE_CLOSED);
    assert_told(&w, "");
    end_world(&w);
}

/* ---- sessions ---- */

static void start_session(struct world *w)
{
    open_world(w);
    ask(w, 1, "initialize");
    answer_json(w, 0, 200, "Mcp-Session-Id: s-1\r\n", ANSWER);
    buf_clear(&w->told);
}

static void test_a_session(void **state)
{
    struct world w;
    (void)state;

    start_session(&w);
    ask(&w, 2, "tools/list");
    assert_true(received(&w, 0, "MCP-Session-Id: s-1\r\n"));
    answer_json(&w, 0, 200, "", "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    buf_clear(&w.told);
    mcp_link_http.close(w.link, on_gone, &w);
    fake_run(w.loop);
    assert_int_equal(w.gone, 0);
    assert_true(strv_eq_cstr(fake_peer_received(w.peers[0]), "DELETE /mcp HTTP/1.1\r\n"
                                                             "Host: up\r\n"
                                                             "X-Key: k1\r\n"
                                                             "MCP-Protocol-Version: 2025-11-25\r\n"
                                                             "MCP-Session-Id: s-1\r\n"
                                                             "Accept-Encoding: identity\r\n\r\n"));
    answer(&w, 0, "HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(w.gone, 1);
    assert_told(&w, "");
    w.link = NULL;
    end_world(&w);
}

static void test_a_bad_session_id(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    ask(&w, 1, "initialize");
    answer_json(&w, 0, 200, "MCP-Session-Id: a b\r\n", ANSWER);
    assert_told(&w, "failed 1 malformed 200\n");
    end_world(&w);
}

/* What a server says once the session was used, and whether it is gone by that. */
static const struct {
    int status;
    const char *body;
    bool fresh; /* nothing was answered in the session before */
    bool lost;
} losses[] = {
    {404, "", false, true},
    {404, "", true, true},
    {404, ERROR, false, true},
    {404,
     "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32001,\"message\":\"Session not found\"}}",
     false, true},
    {400,
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"Bad Request: No "
     "valid session ID\"}}",
     true, true},
    {400,
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"Bad Request\"}}",
     false, true},
    {400,
     "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"Bad Request\"}}",
     true, false},
    {400, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32602,\"message\":\"bad params\"}}",
     false, false},
    {400, "gone", false, true},
    {400, "gone", true, false},
    {405, "", false, false},
    {410, "", false, false},
};

static void test_a_lost_session(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(losses); i++) {
        struct world w;

        start_session(&w);
        if (!losses[i].fresh) {
            ask(&w, 1, "ping");
            answer_json(&w, 0, 200, "", ANSWER);
            buf_clear(&w.told);
        }
        ask(&w, 2, "tools/call");
        answer_json(&w, 0, losses[i].status, "", losses[i].body);
        buf_put_char(&w.told, '\0');
        if ((strncmp(buf_view(&w.told).ptr, "failed 2 session", 16) == 0) != losses[i].lost)
            fail_msg("%zu: %s", i, buf_view(&w.told).ptr);
        /* A new one without the old id, and with the new id. */
        buf_clear(&w.told);
        mcp_link_http.renew(w.link);
        ask(&w, 3, "initialize");
        assert_false(received(&w, 0, "Session"));
        assert_false(received(&w, 0, "Version"));
        answer_json(&w, 0, 200, "Mcp-Session-Id: s-2\r\n",
                    "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
        ask(&w, 4, "ping");
        assert_true(received(&w, 0, "MCP-Session-Id: s-2\r\n"));
        end_world(&w);
    }
}

static void test_without_a_session_404_is_no_loss(void **state)
{
    struct world w;
    (void)state;

    open_world(&w);
    ask(&w, 1, "ping");
    answer_json(&w, 0, 404, "", "");
    assert_told(&w, "failed 1 status 404\n");
    end_world(&w);
}

/* ---- reading on ---- */

static void test_reads_on_after_a_break(void **state)
{
    struct world w;
    (void)state;

    start_session(&w);
    ask(&w, 1, "tools/call");
    answer(&w, 0, EVENTS "id: e-1\nretry: 500\ndata: \n\n");
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    fake_advance(w.loop, 499);
    assert_int_equal(w.n_peers, 1);
    fake_advance(w.loop, 1);
    assert_int_equal(w.n_peers, 2);
    assert_true(strv_eq_cstr(fake_peer_received(w.peers[1]), "GET /mcp HTTP/1.1\r\n"
                                                             "Host: up\r\n"
                                                             "X-Key: k1\r\n"
                                                             "Accept: text/event-stream\r\n"
                                                             "MCP-Protocol-Version: 2025-11-25\r\n"
                                                             "MCP-Session-Id: s-1\r\n"
                                                             "Last-Event-ID: e-1\r\n"
                                                             "Accept-Encoding: identity\r\n\r\n"));
    /* Breaks again, this time in the middle of an event, which is not taken for whole. */
    answer(&w, 1, EVENTS "id: e-2\ndata: " NOTICE "\n\nid: e-3\ndata: {\"jsonrpc\"");
    fake_peer_reset(w.peers[1]);
    fake_run(w.loop);
    fake_advance(w.loop, 500);
    assert_true(received(&w, 2, "Last-Event-ID: e-2\r\n"));
    answer(&w, 2, EVENTS "id: e-3\ndata: " ANSWER "\n\n");
    assert_told(&w, "message 1 200 " NOTICE "\nmessage 1 200 " ANSWER "\n");
    end_world(&w);
}

static const struct {
    const char *name, *first, *then, *told;
} breaks[] = {
    {"no id to read on from", EVENTS "data: " NOTICE "\n\n", NULL, "failed 1 cut 200\n"},
    {"an id that was taken back", EVENTS "id: 1\ndata:\n\nid\ndata:\n\n", NULL,
     "failed 1 cut 200\n"},
    {"not offered", EVENTS "id: 1\n\n", "HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n",
     "failed 1 cut 405\n"},
    {"the session went, too", EVENTS "id: 1\n\n", "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
     "failed 1 session 404\n"},
    {"no events there", EVENTS "id: 1\n\n", OK "Content-Length: 0\r\n\r\n", "failed 1 cut 200\n"},
};

static void test_cannot_read_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(breaks); i++) {
        struct world w;

        start_session(&w);
        ask(&w, 1, "tools/call");
        answer(&w, 0, breaks[i].first);
        buf_clear(&w.told);
        fake_peer_eof(w.peers[0], false);
        fake_run(w.loop);
        fake_advance(w.loop, 1000);
        assert_int_equal(w.n_peers, breaks[i].then != NULL ? 2 : 1);
        if (breaks[i].then != NULL)
            answer(&w, 1, breaks[i].then);
        assert_told(&w, breaks[i].told);
        end_world(&w);
    }
}

static void test_gives_up_reading_on(void **state)
{
    struct fake_rule refuse = {.answer = FAKE_REFUSE};
    struct world w;
    (void)state;

    start_session(&w);
    ask(&w, 1, "tools/call");
    answer(&w, 0, EVENTS "id: 1\nretry: 0\n\n");
    fake_target(w.loop, "up", 80, &refuse);
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    fake_advance(w.loop, 20 * 255); /* 20 ms, then doubled seven times */
    assert_told(&w, "failed 1 cut 0\n");
    assert_int_equal(fake_connects(w.loop), 1 + 8);
    end_world(&w);
}

static void test_the_modern_era_does_not_read_on(void **state)
{
    struct mcp_sending s = request(1, "tools/call");
    struct world w;
    (void)state;

    open_world(&w);
    s.era = MCP_ERA_MODERN;
    assert_true(mcp_link_http.send(w.link, &s));
    fake_run(w.loop);
    answer(&w, 0, EVENTS "id: 1\ndata:\n\n");
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    assert_told(&w, "failed 1 cut 200\n");
    end_world(&w);
}

/* ---- what the server says on its own ---- */

static void test_the_stream(void **state)
{
    struct world w;
    (void)state;

    start_session(&w);
    mcp_link_http.listen(w.link);
    mcp_link_http.listen(w.link);
    fake_run(w.loop);
    assert_true(received(&w, 0, "GET /mcp HTTP/1.1\r\n"));
    assert_true(received(&w, 0, "MCP-Session-Id: s-1\r\n"));
    answer(&w, 0,
           EVENTS "id: 7\nretry: 100\ndata: " NOTICE "\n\ndata: junk\n\ndata: " ANSWER "\n\n");
    assert_told(&w, "message 0 200 " NOTICE "\nmessage 0 200 " ANSWER "\n");
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    fake_advance(w.loop, 100);
    assert_true(received(&w, 1, "Last-Event-ID: 7\r\n"));
    /* It ends again and again without a word: ever longer pauses. */
    answer(&w, 1, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    fake_advance(w.loop, 199);
    assert_int_equal(fake_peer_received(w.peers[1]).len, 0);
    fake_advance(w.loop, 1);
    assert_true(received(&w, 1, "Last-Event-ID: 7\r\n"));
    answer(&w, 1, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    assert_told(&w, "failed 0 session 404\n");
    end_world(&w);
}

static void test_no_stream_offered(void **state)
{
    struct world w;
    (void)state;

    start_session(&w);
    mcp_link_http.listen(w.link);
    fake_run(w.loop);
    answer(&w, 0, "HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n");
    fake_advance(w.loop, 120000);
    assert_int_equal(fake_connects(w.loop), 1);
    assert_told(&w, "");
    end_world(&w);
}

/* ---- the transport of 2024-11-05 ---- */

static void test_the_old_transport(void **state)
{
    struct world w = {0};
    (void)state;

    assert_true(try_open(&w, MCP_SSE));
    assert_true(send(&w, 1, "initialize"));
    fake_run(w.loop);
    assert_int_equal(w.n_peers, 1); /* the message waits for its address */
    assert_true(received(&w, 0, "GET /mcp HTTP/1.1\r\n"));
    answer(&w, 0, EVENTS "event: endpoint\ndata: /post?id=7\n\n");
    assert_int_equal(w.n_peers, 2);
    assert_true(received(&w, 1, "POST /post?id=7 HTTP/1.1\r\n"));
    answer(&w, 1, "HTTP/1.1 202 X\r\nContent-Length: 8\r\n\r\nAccepted");
    assert_told(&w, "");
    answer(&w, 0, "event: message\ndata: " NOTICE "\n\nevent: message\ndata: " ANSWER "\n\n");
    assert_told(&w, "message 0 0 " NOTICE "\nmessage 0 0 " ANSWER "\n");
    /* One that is refused, one that waits when the stream ends. */
    ask(&w, 2, "a");
    answer(&w, 1, "HTTP/1.1 400 X\r\nContent-Length: 2\r\n\r\nno");
    assert_told(&w, "failed 2 status 400 no\n");
    ask(&w, 3, "b");
    answer(&w, 1, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
    fake_peer_eof(w.peers[0], false);
    fake_run(w.loop);
    assert_told(&w, "failed 3 cut 202\nclosed cut\n");
    assert_false(send(&w, 4, "c"));
    end_world(&w);
}

static void test_the_old_transport_does_not_open(void **state)
{
    struct world w = {0};
    (void)state;

    assert_true(try_open(&w, MCP_SSE));
    ask(&w, 1, "initialize");
    answer(&w, 0, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    assert_told(&w, "failed 1 status 0\nclosed status\n");
    end_world(&w);

    w = (struct world){0};
    assert_true(try_open(&w, MCP_SSE));
    ask(&w, 1, "initialize");
    answer(&w, 0, EVENTS "event: endpoint\ndata: http://evil/post\n\n");
    assert_told(&w, "failed 1 malformed 0\nclosed malformed\n");
    end_world(&w);
}

/* ---- bad days ---- */

/* Closed from inside whatever is told, at any time: nothing more comes, nothing leaks. */
static void test_closed_from_inside(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        for (unsigned at = 1; at <= 2; at++) {
            struct world w = {.closing = at};

            assert_true(try_open(&w, MCP_HTTP));
            ask(&w, 1, "tools/list");
            answer(&w, 0, answers[i].in);
            if (answers[i].eof && !fake_peer_over(w.peers[0]))
                fake_peer_eof(w.peers[0], false);
            fake_run(w.loop);
            end_world(&w);
            assert_int_equal(w.gone, 1);
        }
    }
    for (unsigned at = 1; at <= 3; at++) {
        struct world w = {.closing = at};

        assert_true(try_open(&w, MCP_SSE));
        ask(&w, 1, "a");
        answer(&w, 0, EVENTS "event: endpoint\ndata: /p\n\n");
        ask(&w, 2, "b");
        fake_peer_reset(w.peers[0]);
        fake_run(w.loop);
        end_world(&w);
        assert_int_equal(w.gone, 1);
    }
}

/* Everything a link does, for failing memory. */
static void whole_life(struct world *w)
{
    if (try_open(w, MCP_HTTP) && send(w, 1, "initialize")) {
        fake_run(w->loop);
        if (w->n_peers == 1)
            answer_json(w, 0, 200, "Mcp-Session-Id: s-1\r\n", ANSWER);
        if (send(w, 0, "notifications/initialized") && send(w, 2, "tools/call")) {
            mcp_link_http.listen(w->link);
            fake_run(w->loop);
            for (size_t i = 0; i < w->n_peers; i++)
                answer(w, i, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
            for (size_t i = 0; i < w->n_peers; i++)
                answer(w, i, EVENTS "id: 1\ndata: " NOTICE "\n\n");
            for (size_t i = 0; i < w->n_peers; i++)
                if (!fake_peer_over(w->peers[i]))
                    fake_peer_eof(w->peers[i], false);
            fake_run(w->loop);
            fake_advance(w->loop, 1000);
        }
    }
    if (w->link != NULL) {
        mcp_link_http.close(w->link, on_gone, w);
        w->link = NULL;
        fake_run(w->loop);
        fake_advance(w->loop, 2000);
        assert_int_equal(w->gone, 1);
    }
}

static void test_refused_memory(void **state)
{
    uint64_t total = 1;
    (void)state;

    for (uint64_t n = 0; n <= total; n++) {
        struct world w = {0};
        int64_t before;

        prepare(&w);
        before = mem_live();
        mem_fail_at(n, false);
        whole_life(&w);
        if (n == 0)
            total = mem_count();
        mem_fail_at(0, false);
        http_client_free(w.client);
        if (w.loop != NULL)
            assert_int_equal(fake_end(w.loop), 0);
        assert_int_equal(mem_live(), before);
        buf_fini(&w.told);
    }
    assert_true(total > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message),
        cmocka_unit_test(test_headers_of_the_modern_era),
        cmocka_unit_test(test_answers_however_cut),
        cmocka_unit_test(test_a_large_one_is_refused),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_an_address_outside_of_the_zone),
        cmocka_unit_test(test_initialized_arrives_first),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_a_session),
        cmocka_unit_test(test_a_bad_session_id),
        cmocka_unit_test(test_a_lost_session),
        cmocka_unit_test(test_without_a_session_404_is_no_loss),
        cmocka_unit_test(test_reads_on_after_a_break),
        cmocka_unit_test(test_cannot_read_on),
        cmocka_unit_test(test_gives_up_reading_on),
        cmocka_unit_test(test_the_modern_era_does_not_read_on),
        cmocka_unit_test(test_the_stream),
        cmocka_unit_test(test_no_stream_offered),
        cmocka_unit_test(test_the_old_transport),
        cmocka_unit_test(test_the_old_transport_does_not_open),
        cmocka_unit_test(test_closed_from_inside),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
