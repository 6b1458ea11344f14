/* SPDX-License-Identifier: Apache-2.0 */
/* url - base URLs that are taken, refused, and joined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

static const struct {
    const char *text;
    bool tls;
    const char *host;
    uint16_t port;
    const char *authority, *path, *unix_path;
} good[] = {
    {"http://10.0.0.5:8000/v1", false, "10.0.0.5", 8000, "10.0.0.5:8000", "/v1", NULL},
    {"https://api.anthropic.com", true, "api.anthropic.com", 443, "api.anthropic.com", "", NULL},
    {"https://api.anthropic.com:443/", true, "api.anthropic.com", 443, "api.anthropic.com", "",
     NULL},
    {"HTTP://LocalHost:80//", false, "localhost", 80, "localhost", "", NULL},
    {"http://localhost:443", false, "localhost", 443, "localhost:443", "", NULL},
    {"http://[::1]:8000/a/b/", false, "::1", 8000, "[::1]:8000", "/a/b", NULL},
    {"http://[FE80::1]", false, "fe80::1", 80, "[fe80::1]", "", NULL},
    {"http://a_b-c.d/x%20y;z=1@:", false, "a_b-c.d", 80, "a_b-c.d", "/x%20y;z=1@:", NULL},
    {"http://a:1", false, "a", 1, "a:1", "", NULL},
    {"http://a:65535", false, "a", 65535, "a:65535", "", NULL},
    {"unix:/run/x.sock", false, NULL, 0, "localhost", "", "/run/x.sock"},
    {"unix:///run/x.sock", false, NULL, 0, "localhost", "", "/run/x.sock"},
};

static const char *const bad[] = {
    "",
    "localhost:8080",
    "ftp://a",
    "http:/a",
    "http://",
    "http:///v1",
    "http://:80",
    "http://u@a",
    "http://u:p@a/",
    "http://a:0",
    "http://a:65536",
    "http://a:",
    "http://a:8x",
    "http://a:-1",
    "http://a b",
    "http://a%41",
    "http://a\r\nX: y",
    "http://a\\b",
    "http://\xc3\xa4",
    "http://a?x=1",
    "http://a/?x=1",
    "http://a/#x",
    "http://a#x",
    "http://a/b c",
    "http://a/%4",
    "http://a/%zz",
    "http://a/\r\n",
    "http://[::1",
    "http://[::1]x",
    "http://[]",
    "http://[1.2.3.4]",
    "http://[fe80::1%25eth0]",
    "http://[::g]",
    "http://::1",
    "unix:",
    "unix:/",
    "unix:run/x.sock",
};

static void assert_text(const char *got, const char *want)
{
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct arena arena;
        struct http_url url;
        struct err err = ERR_INIT;

        arena_init(&arena, 1024, 65536);
        if (!http_url_parse(strv_of(good[i].text), &arena, &url, &err))
            fail_msg("%s: %s", good[i].text, err.text);
        assert_int_equal(url.tls, good[i].tls);
        assert_int_equal(url.port, good[i].port);
        assert_text(url.host, good[i].host);
        assert_text(url.authority, good[i].authority);
        assert_text(url.path, good[i].path);
        assert_text(url.unix_path, good[i].unix_path);
        arena_fini(&arena);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena arena;
        struct http_url url;
        struct err err = ERR_INIT;

        arena_init(&arena, 1024, 65536);
        if (http_url_parse(strv_of(bad[i]), &arena, &url, &err))
            fail_msg("taken: %s", bad[i]);
        assert_true(err.set);
        arena_fini(&arena);
    }
}

static void test_too_long(void **state)
{
    char text[400] = "unix:/";
    struct arena arena;
    struct http_url url;
    struct err err = ERR_INIT;
    (void)state;

    arena_init(&arena, 1024, 65536);
    memset(text + 6, 'a', 107); /* 108 with the slash: no room for the terminator in sun_path */
    assert_false(http_url_parse(strv_of(text), &arena, &url, &err));
    text[6 + 106] = '\0';
    assert_true(http_url_parse(strv_of(text), &arena, &url, &err));
    memcpy(text, "http://", 7);
    memset(text + 7, 'a', 254);
    text[7 + 254] = '\0';
    assert_false(http_url_parse(strv_of(text), &arena, &url, &err));
    text[7 + 253] = '\0';
    assert_true(http_url_parse(strv_of(text), &arena, &url, &err));
    arena_fini(&arena);
}

static void test_nul_inside(void **state)
{
    struct arena arena;
    struct http_url url;
    struct err err = ERR_INIT;
    (void)state;

    arena_init(&arena, 1024, 65536);
    assert_false(http_url_parse((strv){"http://a\0b", 10}, &arena, &url, &err));
    assert_false(http_url_parse((strv){"http://a/\0b", 11}, &arena, &url, &err));
    assert_false(http_url_parse((strv){"unix:/a\0b", 9}, &arena, &url, &err));
    arena_fini(&arena);
}

static void test_refused_memory(void **state)
{
    struct arena arena;
    struct http_url url;
    (void)state;

    for (size_t i = 0; i < 12; i++) {
        struct err err = ERR_INIT;

        arena_init(&arena, 64, 65536); /* a block for nearly every string */
        mem_fail_at(i % 4 + 1, true);
        bool ok = http_url_parse(strv_of(good[i].text), &arena, &url, &err);
        mem_fail_at(0, false);
        if (!ok)
            assert_int_equal(err.code, ERR_CODE_OOM);
        arena_fini(&arena);
    }
}

static void test_join(void **state)
{
    static const char *const rows[][3] = {
        {"", "/v1/models", "/v1/models"},
        {"/v1", "/v1/models", "/v1/models"},
        {"/engines/v1", "/v1/models", "/engines/v1/models"},
        {"/v1", "/api/chat", "/v1/api/chat"},
        {"/v1", "/v10/x", "/v1/v10/x"},
        {"/v1", "/v1", "/v1"},
        {"/v1", "/v1?x=1", "/v1?x=1"},
        {"/api", "/api/tags", "/api/tags"},
        {"/proxy", "/v1/messages", "/proxy/v1/messages"},
        {"", "", "/"},
        {"/v1", "", "/v1"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_url url = {.path = rows[i][0]};
        struct buf out;

        buf_init(&out, 100);
        assert_true(http_url_join(&url, rows[i][1], &out));
        if (!strv_eq_cstr(buf_view(&out), rows[i][2]))
            fail_msg("%s + %s = %.*s", rows[i][0], rows[i][1], STRV_ARG(buf_view(&out)));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_long),       cmocka_unit_test(test_nul_inside),
        cmocka_unit_test(test_refused_memory), cmocka_unit_test(test_join),
    };

    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
