/* SPDX-License-Identifier: Apache-2.0 */
/* auth - logins at servers that are honest, mistaken, hostile or silent; through a link, on a made-up network. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mcp/auth.h"
#include "mcp/link_int.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROUTES_MAX   12
#define REDIRECT     "http://127.0.0.1:9/back"

/* The answer to requests that begin like `start`; the first that fits holds, `times` times (0 = always). */
struct route {
    const char *start;
    int status;
    const char *headers, *body;
    unsigned times;
    unsigned used;
};

struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct mcp_server_conf conf;
    struct mcp_oauth_conf oauth;
    struct mcp_auth_host host;
    struct mcp_link *link;
    struct route routes[ROUTES_MAX];
    size_t n_routes;
    struct buf asked; /* first lines of all requests, and bodies of those to the token endpoint */
    struct buf told;
    struct buf saved;
    char url[4096]; /* of the visit */
    const char
        *back; /* what the browser brings: printed with the state; NULL = it does not come back */
    const char *store; /* what load() gives */
    const char
        *newer; /* ... from the second time on, and looks_before times later; NULL = the same */
    unsigned looks_before, looks;
    unsigned visits, gone;
    struct mcp_auth *auth;
};

/* ---- the servers ---- */

static bool whole_request(strv got, size_t *len)
{
    const char *end = memmem(got.ptr, got.len, "\r\n\r\n", 4);
    const char *length = memmem(got.ptr, got.len, "Content-Length: ", 16);

    if (end == NULL)
        return false;
    *len = (size_t)(end + 4 - got.ptr) +
           (length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0);
    return got.len >= *len;
}

static void serve(void *arg, struct fake_peer *peer)
{
    struct world *w = arg;
    strv got = fake_peer_received(peer);
    char answer[90000];
    size_t len;

    if (!whole_request(got, &len))
        return;
    strv line = {got.ptr, (size_t)((char *)memchr(got.ptr, '\r', got.len) - got.ptr)};
    const char *body = (const char *)memmem(got.ptr, got.len, "\r\n\r\n", 4) + 4;

    line.len -= strlen(" HTTP/1.1");
    buf_printf(&w->asked, "%s " STRV_FMT "\n", fake_peer_target(peer), STRV_ARG(line));
    if (strv_starts(line, STRV("POST /token")) || strv_starts(line, STRV("POST /register")))
        buf_printf(&w->asked, "  %.*s\n", (int)(got.ptr + len - body), body);
    if (memmem(got.ptr, len, "Authorization: ", 15) != NULL) {
        const char *at = memmem(got.ptr, len, "Authorization: ", 15);
        const char *end = memchr(at, '\r', (size_t)(got.ptr + len - at));
        buf_printf(&w->asked, "  %.*s\n", (int)(end - at), at);
    }
    for (size_t i = 0; i < w->n_routes; i++) {
        struct route *r = &w->routes[i];

        if (!strv_starts(line, strv_of(r->start)) || (r->times > 0 && r->used >= r->times))
            continue;
        r->used++;
        snprintf(
            answer, sizeof answer,
            "HTTP/1.1 %d X\r\n%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            r->status, r->headers != NULL ? r->headers : "", strlen(r->body), r->body);
        fake_peer_eat(peer, len);
        if (r->status > 0)
            fake_peer_send_cstr(peer, answer);
        return;
    }
    fake_peer_eat(peer, len);
    fake_peer_send_cstr(peer, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    fake_peer_watch(peer, serve, arg);
}

static void route(struct world *w, const char *start, int status, const char *headers,
                  const char *body, unsigned times)
{
    assert_true(w->n_routes < ROUTES_MAX);
    w->routes[w->n_routes++] = (struct route){start, status, headers, body, times, 0};
}

#define ANSWER "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"
#define CHALLENGE                                                                                  \
    "WWW-Authenticate: Bearer resource_metadata=\"http://localhost/meta\", scope=\"a\"\r\n"
#define RESOURCE                                                                                   \
    "{\"resource\":\"http://localhost/mcp\",\"authorization_servers\":[\"http://localhost:81\"]}"
#define SERVER(issuer)                                                                             \
    "{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"http://localhost:81/authorize\","     \
    "\"token_endpoint\":\"http://localhost:81/token\","                                            \
    "\"registration_endpoint\":\"http://localhost:81/register\","                                  \
    "\"authorization_response_iss_parameter_supported\":true,"                                     \
    "\"code_challenge_methods_supported\":[\"S256\"],"                                             \
    "\"token_endpoint_auth_methods_supported\":[\"none\",\"client_secret_basic\"]}"
#define CLIENT "{\"client_id\":\"c1\"}"
#define TOKEN  "{\"access_token\":\"t1\",\"token_type\":\"Bearer\",\"refresh_token\":\"r1\"}"

/* An honest world; what a test adds before it is asked first. */
static void honest(struct world *w)
{
    route(w, "POST /mcp", 401, CHALLENGE, "{}", 1);
    route(w, "POST /mcp", 200, NULL, ANSWER, 0);
    route(w, "GET /meta", 200, NULL, RESOURCE, 0);
    route(w, "GET /.well-known/oauth-authorization-server", 200, NULL,
          SERVER("http://localhost:81"), 0);
    route(w, "POST /register", 201, NULL, CLIENT, 0);
    route(w, "POST /token", 200, NULL, TOKEN, 0);
}

/* ---- the link and the person ---- */

static void on_message(void *arg, strv text, uint64_t about, int status)
{
    struct world *w = arg;

    (void)text, (void)status;
    buf_printf(&w->told, "answered %d\n", (int)about);
}

static void on_failed(void *arg, uint64_t tag, enum mcp_fault fault, int status, strv body)
{
    struct world *w = arg;

    buf_printf(&w->told, "failed %d %d %d " STRV_FMT "\n", (int)tag, (int)fault, status,
               STRV_ARG(body));
}

static const struct mcp_link_ops ops = {on_message, on_failed, NULL, NULL};

static void on_gone(void *arg)
{
    ((struct world *)arg)->gone++;
}

static void visit(void *arg, struct mcp_auth *a, const char *server, const char *url)
{
    struct world *w = arg;
    const char *state = strstr(url, "&state=");
    char query[500];

    assert_string_equal(server, "s");
    assert_non_null(state);
    w->visits++;
    w->auth = a;
    snprintf(w->url, sizeof w->url, "%s", url);
    if (w->back == NULL)
        return;
    snprintf(query, sizeof query, "%s&state=%.43s", w->back, state + 7);
    assert_true(mcp_auth_redirected(a, strv_of(query)));
}

static bool load(void *arg, const char *server, struct buf *out)
{
    struct world *w = arg;
    bool newer = w->newer != NULL && w->looks++ > w->looks_before;

    (void)server;
    return w->store != NULL && buf_put_cstr(out, newer ? w->newer : w->store);
}

static bool save(void *arg, const char *server, strv text)
{
    struct world *w = arg;

    (void)server;
    buf_clear(&w->saved);
    return buf_put_strv(&w->saved, text);
}

static void prepare(struct world *w)
{
    *w = (struct world){.back = "code=x&iss=http%3A%2F%2Flocalhost%3A81"};
    buf_init(&w->asked, 1 << 20);
    buf_init(&w->told, 1 << 20);
    buf_init(&w->saved, 1 << 16);
    assert_non_null(buf_reserve(&w->asked, 1 << 16));
    assert_non_null(buf_reserve(&w->told, 1 << 14));
    assert_non_null(buf_reserve(&w->saved, 1 << 14));
    w->conf = (struct mcp_server_conf){
        .name = "s",
        .transport = MCP_HTTP,
        .local = true,
        .upstream = {.url = {.host = "localhost", .port = 80, .authority = "localhost", .path = ""},
                     .key = "s",
                     .connect_ms = 1000,
                     .idle_ms = 5000,
                     .idle_max = 4},
        .path = "/mcp",
        .message_max = 4000,
    };
    w->host = (struct mcp_auth_host){REDIRECT, visit, load, save, w};
}

static bool try_run(struct world *w)
{
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = w};
    struct mcp_sending s = {.text = STRV("{}"),
                            .kind = MCP_REQUEST,
                            .tag = 1,
                            .method = "tools/list",
                            .revision = "2025-11-25",
                            .era = MCP_ERA_LEGACY};
    struct err err = ERR_INIT;

    w->loop = io_loop_new(&err);
    if (w->loop == NULL)
        return false;
    fake_target(w->loop, "localhost", 80, &rule);
    fake_target(w->loop, "localhost", 81, &rule);
    w->client = http_client_new(w->loop, 4000);
    if (w->client == NULL)
        return false;
    struct mcp_link_env env = {.loop = w->loop, .client = w->client, .auth = &w->host};

    w->link = mcp_link_http.open(&env, &w->conf, &ops, w, &err);
    if (w->link == NULL || !mcp_link_http.send(w->link, &s))
        return false;
    fake_run(w->loop);
    return true;
}

/* One more request, once the first one is answered. */
static void send_again(struct world *w)
{
    struct mcp_sending s = {.text = STRV("{}"),
                            .kind = MCP_REQUEST,
                            .tag = 2,
                            .method = "tools/list",
                            .revision = "2025-11-25",
                            .era = MCP_ERA_LEGACY};

    for (size_t i = 0; i < w->n_routes; i++)
        w->routes[i].body = strcmp(w->routes[i].body, ANSWER) == 0
                                ? "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"
                                : w->routes[i].body;
    assert_true(mcp_link_http.send(w->link, &s));
    fake_run(w->loop);
}

static void finish(struct world *w)
{
    if (w->link != NULL) {
        mcp_link_http.close(w->link, on_gone, w);
        fake_run(w->loop);
        assert_int_equal(w->gone, 1);
    }
    http_client_free(w->client);
    if (w->loop != NULL)
        assert_int_equal(fake_end(w->loop), 0);
    buf_fini(&w->asked);
    buf_fini(&w->told);
    buf_fini(&w->saved);
}

static void assert_text(struct buf *b, const char *want)
{
    buf_put_char(b, '\0');
    assert_string_equal(buf_view(b).ptr, want);
    buf_clear(b);
}

static bool has(struct buf *b, const char *text)
{
    strv got = buf_view(b);

    return memmem(got.ptr, got.len, text, strlen(text)) != NULL;
}

/* ---- tests ---- */

static void test_a_login(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_int_equal(w.visits, 1);
    const char *verifier = memmem(buf_view(&w.asked).ptr, buf_len(&w.asked), "&code_verifier=", 15);

    assert_non_null(verifier);
    memset((char *)(uintptr_t)verifier + 15, 'v', 43);
    assert_text(
        &w.asked,
        "localhost:80 POST /mcp\n"
        "localhost:80 GET /meta\n"
        "localhost:81 GET /.well-known/oauth-authorization-server\n"
        "localhost:81 POST /register\n"
        "  {\"client_name\":\"llm-router\",\"application_type\":\"native\",\"grant_types\":"
        "[\"authorization_code\",\"refresh_token\"],\"response_types\":[\"code\"],"
        "\"redirect_uris\":[\"http://127.0.0.1:9/back\"],\"token_endpoint_auth_method\":\"none\"}\n"
        "localhost:81 POST /token\n"
        "  grant_type=authorization_code&code=x&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fback"
        "&code_verifier=vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv&client_id=c1"
        "&resource=http%3A%2F%2Flocalhost%2Fmcp\n"
        "localhost:80 POST /mcp\n"
        "  Authorization: Bearer t1\n");
    assert_memory_equal(
        w.url,
        "http://localhost:81/authorize?response_type=code&client_id=c1&redirect_uri="
        "http%3A%2F%2F127.0.0.1%3A9%2Fback&scope=a&state=",
        strlen("http://localhost:81/authorize?response_type=code&client_id=c1&redirect_uri="
               "http%3A%2F%2F127.0.0.1%3A9%2Fback&scope=a&state="));
    assert_non_null(
        strstr(w.url, "&code_challenge_method=S256&resource=http%3A%2F%2Flocalhost%2Fmcp"));
    assert_true(has(&w.saved, "\"refresh_token\":\"r1\""));
    finish(&w);
}

/* One thing is wrong; why the login then fails, and what was never asked. */
static const struct {
    const char *start; /* this route answers otherwise */
    int status;
    const char *body;
    const char *back; /* the browser brings otherwise */
    const char *why, *never;
} wrongs[] = {
    {"GET /meta", 200,
     "{\"resource\":\"http://localhost/other\",\"authorization_servers\":[\"http://"
     "localhost:81\"]}",
     NULL, "what the server says of its login is not about this server", ":81"},
    {"GET /meta", 200,
     "{\"resource\":\"http://localhost/mcp\",\"authorization_servers\":[\"http://evil\"]}", NULL,
     "the server names no authorization server that may be used", ":81"},
    {"GET /meta", 200, "junk", NULL, "what the server says of its login is not about this server",
     ":81"},
    {"GET /.well-known/oauth-authorization-server", 200, SERVER("http://localhost:81/"), NULL,
     "what the authorization server says of itself cannot be used", "register"},
    {"GET /.well-known/oauth-authorization-server", 302, "", NULL,
     "the authorization server says nothing of itself", "register"},
    {"POST /register", 400, "{}", NULL, "the authorization server does not register us",
     "POST /token"},
    {"POST /register", 201, "{\"client_id\":\"\"}", NULL,
     "the authorization server does not register us", "POST /token"},
    {"-", 0, "", "code=x", "the answer to the login came from another authorization server",
     "POST /token"},
    {"-", 0, "", "code=x&iss=http%3A%2F%2Flocalhost%3A81%2F",
     "the answer to the login came from another authorization server", "POST /token"},
    {"-", 0, "", "error=access_denied&iss=http%3A%2F%2Flocalhost%3A81",
     "the authorization server has refused the login", "POST /token"},
    {"POST /token", 400, "{\"error\":\"invalid_grant\"}", NULL,
     "the authorization server gave no token", "Bearer"},
    {"POST /token", 200, "{\"access_token\":\"a\\nb\",\"token_type\":\"Bearer\"}", NULL,
     "the authorization server gave no token", "Bearer"},
};

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct world w;
        char want[200];

        prepare(&w);
        route(&w, wrongs[i].start, wrongs[i].status, NULL, wrongs[i].body, 0);
        honest(&w);
        if (wrongs[i].back != NULL)
            w.back = wrongs[i].back;
        assert_true(try_run(&w));
        snprintf(want, sizeof want, "failed 1 %d 401 %s\n", MCP_FAULT_LOGIN, wrongs[i].why);
        assert_text(&w.told, want);
        assert_false(has(&w.asked, wrongs[i].never));
        finish(&w);
    }
}

static void test_a_server_that_wants_a_key(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    route(&w, "POST /mcp", 401, NULL, "{}", 0);
    assert_true(try_run(&w));
    assert_text(&w.asked, "localhost:80 POST /mcp\n"
                          "localhost:80 GET /.well-known/oauth-protected-resource/mcp\n"
                          "localhost:80 GET /.well-known/oauth-protected-resource\n");
    assert_text(&w.told, "failed 1 9 401 the server wants a key: it offers no login\n");
    finish(&w);

    /* The operator's key is the last word: nothing is looked for. */
    static const struct http_header key = {{"Authorization", 13}, {"Bearer mine", 11}};

    prepare(&w);
    w.conf.headers = &key;
    w.conf.n_headers = 1;
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 4 401 {}\n");
    finish(&w);
}

static void test_nobody_is_here(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    honest(&w);
    w.host.redirect = NULL;
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 9 401 nobody has logged in (llm-router mcp login)\n");
    finish(&w);

    /* Somebody is, and does not come back; an answer with another state is not his. */
    prepare(&w);
    honest(&w);
    w.back = NULL;
    assert_true(try_run(&w));
    assert_false(mcp_auth_redirected(w.auth, STRV("code=x&state=y")));
    assert_false(mcp_auth_redirected(w.auth, STRV("code=x")));
    fake_advance(w.loop, 600000);
    assert_text(&w.told, "failed 1 9 401 nobody has logged in (llm-router mcp login)\n");
    assert_false(mcp_auth_redirected(w.auth, STRV("code=x&state=y")));
    finish(&w);
}

#define STORE                                                                                      \
    "{\"issuer\":\"http://localhost:81\",\"token_endpoint\":\"http://localhost:81/token\","        \
    "\"resource\":\"http://localhost/mcp\",\"client_id\":\"c0\",\"access_token\":\"t0\","          \
    "\"refresh_token\":\"r0\",\"scope\":\"a\"}"

static void test_a_kept_login(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    w.store = STORE;
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_int_equal(w.visits, 0);
    assert_text(&w.asked, "localhost:80 POST /mcp\n"
                          "  Authorization: Bearer t0\n"
                          "localhost:81 POST /token\n"
                          "  grant_type=refresh_token&refresh_token=r0&client_id=c0"
                          "&resource=http%3A%2F%2Flocalhost%2Fmcp\n"
                          "localhost:80 POST /mcp\n"
                          "  Authorization: Bearer t1\n");
    finish(&w);

    /* Refreshing is refused: a person again, and the client we were before. */
    prepare(&w);
    w.store = STORE;
    route(&w, "POST /token", 400, NULL, "{\"error\":\"invalid_grant\"}", 1);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_int_equal(w.visits, 1);
    assert_non_null(strstr(w.url, "client_id=c0"));
    assert_false(has(&w.asked, "register"));
    finish(&w);

    /* The server has gone to another authorization server: what we were is not told there. */
    prepare(&w);
    w.store = "{\"issuer\":\"http://localhost:82\",\"client_id\":\"c0\",\"client_secret\":\"s0\"}";
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_true(has(&w.asked, "register"));
    assert_false(has(&w.asked, "client_id=c0"));
    assert_false(has(&w.asked, "Basic YzA6")); /* "c0:" */
    assert_null(strstr(w.url, "client_id=c0"));
    finish(&w);
}

/* A token that was refreshed and taken may grow old like any other. */
static void test_a_token_that_expires_again_and_again(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    w.store = STORE;
    w.host.redirect = NULL;
    for (unsigned i = 0; i < 3; i++)
        route(&w, "POST /mcp", i < 2 ? 401 : 200, NULL, i < 2 ? "{}" : ANSWER, i < 2 ? 1 : 0);
    w.routes[1] = w.routes[2];
    w.routes[1].times = 1; /* refused, taken, refused, taken */
    w.routes[2] = w.routes[0];
    route(&w, "POST /mcp", 200, NULL, ANSWER, 0);
    route(&w, "POST /token", 200, NULL, TOKEN, 0);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    send_again(&w);
    assert_text(&w.told, "answered 2\n");
    finish(&w);
}

/* A bad moment of the authorization server costs nobody his login. */
static void test_no_token_at_the_moment(void **state)
{
    static const int statuses[] = {500, 503, 429};
    (void)state;

    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct world w;

        prepare(&w);
        w.store = STORE;
        route(&w, "POST /token", statuses[i], NULL, "{}", 1);
        honest(&w);
        assert_true(try_run(&w));
        assert_text(&w.told,
                    "failed 1 9 401 the authorization server gives no token at the moment\n");
        assert_int_equal(w.visits, 0);
        assert_int_equal(buf_len(&w.saved), 0);
        w.routes[1].used = 0; /* POST /mcp is refused once more */
        send_again(&w);
        assert_text(&w.told, "answered 2\n");
        assert_true(has(&w.asked, "refresh_token=r0"));
        finish(&w);
    }
}

/* Another process of ours has refreshed, or a person has logged in: what it left is taken. */
static void test_a_newer_token_is_taken(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    w.store = STORE;
    w.host.redirect = NULL;
    w.newer = "{\"access_token\":\"t7\",\"refresh_token\":\"r7\"}"; /* found at the second look */
    route(&w, "POST /mcp", 401, CHALLENGE, "{}", 1);
    route(&w, "POST /mcp", 200, NULL, ANSWER, 0);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_text(&w.asked, "localhost:80 POST /mcp\n"
                          "  Authorization: Bearer t0\n"
                          "localhost:80 POST /mcp\n"
                          "  Authorization: Bearer t7\n");
    finish(&w);

    /* It was faster by so little that our refresh token was used up under our hands. */
    prepare(&w);
    w.store = STORE;
    w.host.redirect = NULL;
    w.newer = "{\"access_token\":\"t7\",\"refresh_token\":\"r7\"}";
    w.looks_before = 1;
    route(&w, "POST /mcp", 401, CHALLENGE, "{}", 1);
    route(&w, "POST /mcp", 200, NULL, ANSWER, 0);
    route(&w, "POST /token", 400, NULL, "{\"error\":\"invalid_grant\"}", 1);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_true(has(&w.asked, "Bearer t7"));
    finish(&w);
}

/* A refresh token that was revoked is not tried again and again, by nobody. */
static void test_a_revoked_login(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    w.store = STORE;
    w.host.redirect = NULL;
    route(&w, "POST /token", 400, NULL, "{\"error\":\"invalid_grant\"}", 0);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 9 401 nobody has logged in (llm-router mcp login)\n");
    assert_true(has(&w.saved, "\"client_id\":\"c0\""));
    assert_false(has(&w.saved, "r0") || has(&w.saved, "t0"));
    assert_false(has(&w.asked, ":81 GET")); /* with nobody here, nobody is asked how */
    finish(&w);
}

#define MORE                                                                                       \
    "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"a b\", "                       \
    "resource_metadata=\"http://localhost/meta\"\r\n"

static void test_more_scope(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    route(&w, "POST /mcp", 401, CHALLENGE, "{}", 1);
    route(&w, "POST /mcp", 403, MORE, "{}", 1);
    honest(&w);
    w.routes[2].used = 1; /* its own 401 */
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_int_equal(w.visits, 2);
    assert_non_null(strstr(w.url, "&scope=a%20b&"));
    finish(&w);

    /* It asks for the same again and again: once was enough. */
    prepare(&w);
    route(&w, "POST /mcp", 401, CHALLENGE, "{}", 1);
    route(&w, "POST /mcp", 403, MORE, "{}", 0);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 5 403 {}\n");
    assert_int_equal(w.visits, 2);
    finish(&w);
}

static void test_client_credentials(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    honest(&w);
    w.oauth = (struct mcp_oauth_conf){
        .client_id = "id:1", .client_secret = "s&2", .client_credentials = true};
    w.conf.oauth = &w.oauth;
    w.host.redirect = NULL;
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    assert_true(has(
        &w.asked, "POST /token\n"
                  "  grant_type=client_credentials&scope=a&resource=http%3A%2F%2Flocalhost%2Fmcp\n"
                  "  Authorization: Basic aWQlM0ExOnMlMjYy\n"));
    finish(&w);

    /* Known at one authorization server, and this is another. */
    prepare(&w);
    honest(&w);
    w.oauth = (struct mcp_oauth_conf){.issuer = "http://localhost:82"};
    w.conf.oauth = &w.oauth;
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 9 401 the server names another authorization server than the "
                         "configuration\n");
    assert_false(has(&w.asked, ":81") || has(&w.asked, ":82"));
    finish(&w);

    /* The server names none, the configuration does. */
    prepare(&w);
    w.oauth = (struct mcp_oauth_conf){.issuer = "http://localhost:81"};
    w.conf.oauth = &w.oauth;
    route(&w, "GET /.well-known/oauth-protected-resource", 404, NULL, "", 0);
    route(&w, "GET /meta", 404, NULL, "", 0);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "answered 1\n");
    finish(&w);
}

/* A server in the cloud must not make us ask our own network. */
static void test_private_addresses(void **state)
{
    struct world w;
    (void)state;

    prepare(&w);
    honest(&w);
    w.conf.local = false; /* it is at 127.0.0.1 all the same: its own address is judged elsewhere */
    assert_true(try_run(&w));
    assert_text(&w.told,
                "failed 1 9 401 the authorization server is not at an address that is allowed\n");
    assert_text(&w.asked, "localhost:80 POST /mcp\n");
    finish(&w);
}

static void test_silence_and_floods(void **state)
{
    char *flood = malloc(70000);
    struct world w;
    (void)state;

    prepare(&w);
    route(&w, "GET /meta", 0, NULL, "", 0);
    honest(&w);
    assert_true(try_run(&w));
    fake_advance(w.loop, 10000);
    assert_text(&w.told, "failed 1 9 401 the authorization server does not answer\n");
    finish(&w);

    assert_non_null(flood);
    memset(flood, ' ', 70000);
    flood[69999] = '\0';
    prepare(&w);
    route(&w, "GET /meta", 200, NULL, flood, 0);
    honest(&w);
    assert_true(try_run(&w));
    assert_text(&w.told, "failed 1 9 401 a document of the authorization server is too large\n");
    finish(&w);
    free(flood);
}

/* The link goes while a login runs, at any of its steps. */
static void test_closed_meanwhile(void **state)
{
    static const char *const silent[] = {"GET /meta", "GET /.well-known", "POST /register",
                                         "POST /token"};
    (void)state;

    for (size_t i = 0; i <= COUNT(silent); i++) {
        struct world w;

        prepare(&w);
        if (i < COUNT(silent))
            route(&w, silent[i], 0, NULL, "", 0);
        else
            w.back = NULL;
        honest(&w);
        assert_true(try_run(&w));
        assert_text(&w.told, "");
        finish(&w);
    }
}

static void test_refused_memory(void **state)
{
    uint64_t total = 1;
    (void)state;

    for (uint64_t n = 0; n <= total; n++) {
        struct world w;
        int64_t before;

        prepare(&w);
        honest(&w);
        before = mem_live();
        mem_fail_at(n, false);
        try_run(&w);
        if (n == 0)
            total = mem_count();
        mem_fail_at(0, false);
        if (w.link != NULL) {
            mcp_link_http.close(w.link, on_gone, &w);
            w.link = NULL;
            fake_run(w.loop);
        }
        http_client_free(w.client);
        w.client = NULL;
        if (w.loop != NULL)
            assert_int_equal(fake_end(w.loop), 0);
        w.loop = NULL;
        assert_int_equal(mem_live(), before);
        finish(&w);
    }
    assert_true(total > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_login),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_a_server_that_wants_a_key),
        cmocka_unit_test(test_nobody_is_here),
        cmocka_unit_test(test_a_kept_login),
        cmocka_unit_test(test_a_token_that_expires_again_and_again),
        cmocka_unit_test(test_no_token_at_the_moment),
        cmocka_unit_test(test_a_newer_token_is_taken),
        cmocka_unit_test(test_a_revoked_login),
        cmocka_unit_test(test_more_scope),
        cmocka_unit_test(test_client_credentials),
        cmocka_unit_test(test_private_addresses),
        cmocka_unit_test(test_silence_and_floods),
        cmocka_unit_test(test_closed_meanwhile),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
