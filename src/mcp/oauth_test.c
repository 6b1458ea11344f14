/* SPDX-License-Identifier: Apache-2.0 */
/* oauth - challenges, addresses, documents and answers of browsers, good ones and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mcp/oauth.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void assert_text(strv got, const char *want)
{
    if (want == NULL)
        assert_null(got.ptr);
    else if (got.ptr == NULL || !strv_eq_cstr(got, want))
        fail_msg("got %.*s, want %s", (int)got.len, got.ptr != NULL ? got.ptr : "", want);
}

/* ---- challenges ---- */

static const struct {
    const char *header;
    bool bearer;
    const char *metadata, *scope, *error;
} challenges[] = {
    {"", false, NULL, NULL, NULL},
    {"Bearer", true, NULL, NULL, NULL},
    {"bearer", true, NULL, NULL, NULL},
    {"Basic realm=\"x\"", false, NULL, NULL, NULL},
    {"Bearer resource_metadata=\"https://h/m\", scope=\"a b\", error=\"invalid_token\"", true,
     "https://h/m", "a b", "invalid_token"},
    {"Bearer  scope = \"a\" ,,  Error=insufficient_scope", true, NULL, "a", "insufficient_scope"},
    {"Bearer realm=\"a, b=\\\"c\\\"\", scope=\"x\\y\"", true, NULL, "xy", NULL},
    {"Basic realm=\"x\", scope=\"no\", Bearer scope=\"yes\", Digest scope=\"no\"", true, NULL,
     "yes", NULL},
    {"Negotiate abc==, Bearer scope=s", true, NULL, "s", NULL},
    {"Bearer scope=\"no end", true, NULL, "no end", NULL},
    {"Bearer scope=", true, NULL, "", NULL},
    {"Bearer \x01 \xff; scope=a", true, NULL, "a", NULL},
    {"scope=\"a\"", false, NULL, NULL, NULL},
};

static void test_challenges(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(challenges); i++) {
        struct oauth_challenge c = {0};

        assert_true(oauth_challenge_read(strv_of(challenges[i].header), &arena, &c));
        assert_int_equal(c.bearer, challenges[i].bearer);
        assert_text(c.metadata, challenges[i].metadata);
        assert_text(c.scope, challenges[i].scope);
        assert_text(c.error, challenges[i].error);
    }
}

/* ---- addresses ---- */

static const struct {
    const char *text, *target; /* NULL: refused */
} places[] = {
    {"https://h", "/"},
    {"https://h/a/b?c=d", "/a/b?c=d"},
    {"https://h?c", "/?c"},
    {"http://localhost:8080/x", "/x"},
    {"http://127.0.0.1/x", "/x"},
    {"http://[::1]:1/x", "/x"},
    {"http://h/x", NULL},
    {"http://127.evil.example/x", NULL},
    {"http://localhost.evil.example/", NULL},
    {"https://user@h/x", NULL},
    {"https://h/x#f", NULL},
    {"https://h/a b", NULL},
    {"https://h/\xc3\xa9", NULL},
    {"https://", NULL},
    {"ftp://h/", NULL},
    {"/x", NULL},
    {"", NULL},
    {"javascript:alert(1)", NULL},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        struct oauth_place p;
        bool ok = oauth_place_read(strv_of(places[i].text), &arena, &p);

        if (ok != (places[i].target != NULL))
            fail_msg("%s: %d", places[i].text, ok);
        if (ok)
            assert_string_equal(p.target, places[i].target);
    }
}

static void test_resources_that_fit(void **state)
{
    static const struct {
        const char *resource, *url;
        bool fits;
    } rows[] = {
        {"https://h/mcp", "https://h/mcp", true},
        {"https://h", "https://h/mcp", true},
        {"https://h/", "https://h/mcp", true},
        {"https://h/mcp/", "https://h/mcp", true},
        {"https://H:443/mcp", "https://h/mcp", true},
        {"https://h/a", "https://h/a/b?c", true},
        {"https://h/mc", "https://h/mcp", false},
        {"https://h/mcp/x", "https://h/mcp", false},
        {"https://evil/mcp", "https://h/mcp", false},
        {"https://h:1/mcp", "https://h/mcp", false},
        {"http://localhost/mcp", "https://localhost/mcp", false},
        {"x", "https://h/mcp", false},
    };
    (void)state;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (oauth_resource_fits(strv_of(rows[i].resource), strv_of(rows[i].url)) != rows[i].fits)
            fail_msg("%s for %s", rows[i].resource, rows[i].url);
}

/* ---- documents ---- */

static void test_a_resource(void **state)
{
    struct oauth_resource r;
    struct err err = ERR_INIT;
    (void)state;

    assert_true(oauth_resource_read(
        STRV("{\"resource\":\"https://h/mcp\",\"authorization_servers\":[7,\"http://evil\","
             "\"https://a/t\",\"https://b\"],\"scopes_supported\":[\"x\",\"a b\",\"y\",1,\"x\"]}"),
        STRV("https://h/mcp"), STRV_NONE, &arena, &r, &err));
    assert_text(r.issuer, "https://a/t");
    assert_text(r.scopes, "x y");
    static const struct {
        const char *wanted, *got;
    } cases[] = {
        {"https://b", "https://b"}, {"https://c", "https://a/t"}, {"http://evil", "https://a/t"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(oauth_resource_read(
            STRV("{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"http://evil\","
                 "\"https://a/t\",\"https://b\"]}"),
            STRV("https://h/mcp"), strv_of(cases[i].wanted), &arena, &r, &err));
        assert_text(r.issuer, cases[i].got);
    }
    assert_true(oauth_resource_read(STRV("{\"resource\":\"https://h\"}"), STRV("https://h/mcp"),
                                    STRV_NONE, &arena, &r, &err));
    assert_text(r.issuer, NULL);
    assert_text(r.scopes, NULL);
    assert_false(oauth_resource_read(STRV("{\"resource\":\"https://evil/mcp\"}"),
                                     STRV("https://h/mcp"), STRV_NONE, &arena, &r, &err));
    assert_false(
        oauth_resource_read(STRV("{}"), STRV("https://h/mcp"), STRV_NONE, &arena, &r, &err));
    assert_false(
        oauth_resource_read(STRV("[]"), STRV("https://h/mcp"), STRV_NONE, &arena, &r, &err));
    assert_false(
        oauth_resource_read(STRV("<html>"), STRV("https://h/mcp"), STRV_NONE, &arena, &r, &err));
}

#define SERVER(issuer, more)                                                                       \
    "{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"https://a/authorize\","               \
    "\"token_endpoint\":\"https://a/token\"," more "\"x\":1}"
#define PKCE "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"

static const struct {
    const char *json;
    bool exact, ok;
} servers[] = {
    {SERVER("https://a", PKCE), true, true},
    {SERVER("https://a/", PKCE), true, false}, /* nearly is not the same */
    {SERVER("https://a/oauth", PKCE), true, false},
    {SERVER("https://a/oauth", PKCE), false, true},
    {SERVER("https://evil", PKCE), false, false},
    {SERVER("https://a", ""), true, false},
    {SERVER("https://a", "\"code_challenge_methods_supported\":[\"plain\"],"), true, false},
    {"{\"issuer\":\"https://a\",\"token_endpoint\":\"https://a/token\"}", true, true},
    {"{\"issuer\":\"https://a\",\"token_endpoint\":\"http://a/token\"}", true, false},
    {"{\"issuer\":\"https://a\"}", true, false},
    {"{\"token_endpoint\":\"https://a/token\"}", true, false},
};

static void test_servers(void **state)
{
    struct oauth_server s;
    (void)state;

    for (size_t i = 0; i < COUNT(servers); i++) {
        struct err err = ERR_INIT;

        if (oauth_server_read(strv_of(servers[i].json), STRV("https://a"), servers[i].exact, &arena,
                              &s, &err) != servers[i].ok)
            fail_msg("%zu: %s", i, err.text);
    }
    assert_true(oauth_server_read(
        STRV(SERVER("https://a", PKCE "\"registration_endpoint\":\"http://evil/\","
                                      "\"authorization_response_iss_parameter_supported\":true,"
                                      "\"client_id_metadata_document_supported\":true,"
                                      "\"scopes_supported\":[\"offline_access\"],"
                                      "\"token_endpoint_auth_methods_supported\":[\"none\"],")),
        STRV("https://a"), true, &arena, &s, NULL));
    assert_text(s.registration, NULL);
    assert_true(s.says_iss && s.documents && s.offline && s.none && !s.basic && !s.post);
}

static void test_tokens(void **state)
{
    static const struct {
        const char *json;
        bool ok;
    } rows[] = {
        {"{\"access_token\":\"t\",\"token_type\":\"bearer\"}", true},
        {"{\"access_token\":\"t\",\"token_type\":\"DPoP\"}", false},
        {"{\"access_token\":\"t\"}", false},
        {"{\"access_token\":\"\",\"token_type\":\"Bearer\"}", false},
        {"{\"access_token\":\"a\\r\\nX: y\",\"token_type\":\"Bearer\"}", false},
        {"{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}", false},
        {"{\"access_token\":7,\"token_type\":\"Bearer\"}", false},
        {"{\"error\":\"invalid_grant\"}", false},
    };
    struct oauth_token t;
    (void)state;

    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(oauth_token_read(strv_of(rows[i].json), &arena, &t, NULL), rows[i].ok);
    assert_true(oauth_token_read(STRV("{\"access_token\":\"t\",\"token_type\":\"Bearer\","
                                      "\"refresh_token\":\"r\",\"expires_in\":60,\"scope\":\"a\"}"),
                                 &arena, &t, NULL));
    assert_text(t.refresh, "r");
    assert_int_equal(t.expires_s, 60);
}

/* ---- the browser ---- */

static void test_redirects(void **state)
{
    struct oauth_redirect r;
    (void)state;

    assert_true(
        oauth_redirect_read(STRV("code=a%2Bb+c&state=s&iss=https%3A%2F%2Fa&x"), &arena, &r));
    assert_text(r.code, "a+b c");
    assert_text(r.state, "s");
    assert_text(r.iss, "https://a");
    assert_text(r.error, NULL);
    assert_true(oauth_redirect_read(STRV(""), &arena, &r));
    assert_text(r.code, NULL);
    assert_true(oauth_redirect_read(STRV("error=access_denied&&code"), &arena, &r));
    assert_text(r.code, "");
    assert_false(oauth_redirect_read(STRV("code=1&code=2"), &arena, &r));
    assert_false(oauth_redirect_read(STRV("code=%4"), &arena, &r));
    assert_false(oauth_redirect_read(STRV("code=%zz"), &arena, &r));
}

/* ---- writing ---- */

static void test_scopes_join(void **state)
{
    (void)state;
    assert_text(oauth_scopes(STRV("a b"), STRV("b c"), &arena), "a b c");
    assert_text(oauth_scopes(STRV_NONE, STRV("a  a"), &arena), "a");
    assert_text(oauth_scopes(STRV("a"), STRV_NONE, &arena), "a");
    assert_text(oauth_scopes(STRV_NONE, STRV_NONE, &arena), NULL);
    assert_text(oauth_scopes(STRV("ab"), STRV("a"), &arena), "ab a");
}

static void test_writing(void **state)
{
    struct buf out;
    (void)state;

    buf_init(&out, 1000);
    buf_put_cstr(&out, "https://a/?");
    oauth_put_pair(&out, "a", STRV("x y&z"));
    oauth_put_pair(&out, "b", STRV("\xc3\xa9~"));
    assert_text(buf_view(&out), "https://a/?a=x%20y%26z&b=%C3%A9~");
    buf_clear(&out);
    oauth_put_pair(&out, "a", STRV(""));
    assert_text(buf_view(&out), "a=");
    buf_clear(&out);
    oauth_put_base64url(&out, STRV("\xff\xfe\xff\xfe"));
    assert_text(buf_view(&out), "__7__g");
    buf_clear(&out);
    /* RFC 7636, appendix B. */
    oauth_put_challenge(&out, STRV("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert_text(buf_view(&out), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    buf_fini(&out);
}

static void test_no_memory(void **state)
{
    struct oauth_challenge c = {0};
    struct oauth_redirect r;
    struct oauth_place p;
    (void)state;

    mem_fail_at(1, true);
    assert_false(oauth_challenge_read(STRV("Bearer scope=\"a\""), &arena, &c));
    assert_false(oauth_redirect_read(STRV("code=1"), &arena, &r));
    assert_false(oauth_place_read(STRV("https://h/x"), &arena, &p));
    assert_null(oauth_scopes(STRV("a"), STRV("b"), &arena).ptr);
    mem_fail_at(0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_challenges, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_places, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_resources_that_fit, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_a_resource, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_servers, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_tokens, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_redirects, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_scopes_join, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_writing, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_no_memory, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
