/* SPDX-License-Identifier: Apache-2.0 */
/* addr - which texts are addresses, which addresses are loopback or inside a network. */
#include "io/addr.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/stream.h"

#define TEN       "0123456789"
#define FIFTY     TEN TEN TEN TEN TEN
#define LONG_PATH "unix:/" FIFTY FIFTY TEN

static void test_texts_that_are_addresses(void **state)
{
    static const struct {
        const char *text, *printed;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:8484", "127.0.0.1:8484", true},
        {"127.9.9.9:1", "127.9.9.9:1", true},
        {"0.0.0.0:80", "0.0.0.0:80", false},
        {"10.1.2.3:65535", "10.1.2.3:65535", false},
        {"localhost:0", "127.0.0.1:0", true},
        {"LocalHost:0", "127.0.0.1:0", true},
        {"[::1]:8484", "[::1]:8484", true},
        {"[::]:80", "[::]:80", false},
        {"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true},
        {"[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", false},
        {"[fe80::1%lo]:80", "[fe80::1]:80", false},
        {"unix:/run/x.sock", "unix", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        struct io_addr a;
        char text[IO_ADDR_TEXT_MAX];
        bool loopback = false;

        if (!io_addr_parse(&a, strv_of(cases[i].text), &err))
            fail_msg("%s: %s", cases[i].text, err.text);
        io_addr_text(&a.u.sa, text);
        assert_string_equal(text, cases[i].printed);
        assert_true(io_address_is_loopback(strv_of(cases[i].text), &loopback, &err));
        assert_int_equal(loopback, cases[i].loopback);
    }
}

static void test_texts_that_are_not_addresses(void **state)
{
    static const char *const cases[] = {
        "",
        ":",
        "80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.1:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[::1]80",
        "[127.0.0.1]:80",
        "[localhost]:80",
        "example.org:80",
        ":80",
        "[]:80",
        "[fe80::1%nosuchdevice]:80",
        "unix:",
        LONG_PATH,
        "99999999999999999999999999999999999999999999999999999999999999999999999999999999:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        struct io_addr a;

        if (io_addr_parse(&a, strv_of(cases[i]), &err))
            fail_msg("\"%s\" was taken", cases[i]);
        assert_true(err.set && err.text[0] != '\0');
    }
    assert_false(io_addr_parse(&(struct io_addr){0}, STRV("127.0.0.1\0:80"), &(struct err){0}));
}

static void test_inside_a_network(void **state)
{
    static const struct {
        const char *host, *network;
        int inside; /* -1: the network does not parse */
    } cases[] = {
        {"10.0.0.1", "10.0.0.0/24", 1},
        {"10.0.0.255", "10.0.0.0/24", 1},
        {"10.0.1.0", "10.0.0.0/24", 0},
        {"10.0.0.1", "10.0.0.99/24", 1},
        {"10.0.0.1", "10.0.0.1", 1},
        {"10.0.0.2", "10.0.0.1", 0},
        {"10.0.0.1", "10.0.0.1/32", 1},
        {"9.255.255.255", "0.0.0.0/0", 1},
        {"172.16.0.1", "172.16.0.0/12", 1},
        {"172.31.255.255", "172.16.0.0/12", 1},
        {"172.32.0.0", "172.16.0.0/12", 0},
        {"10.0.0.128", "10.0.0.128/25", 1},
        {"10.0.0.127", "10.0.0.128/25", 0},
        {"::ffff:10.0.0.1", "10.0.0.0/24", 1},
        {"10.0.0.1", "::ffff:10.0.0.0/24", 1},
        {"::ffff:10.0.1.1", "10.0.0.0/24", 0},
        {"fd00::1", "fd00::/8", 1},
        {"fdff::1", "fd00::/8", 1},
        {"fe00::1", "fd00::/8", 0},
        {"fd00::1", "fd00::1/128", 1},
        {"fd00::2", "fd00::1/128", 0},
        {"10.0.0.1", "::/0", 0},
        {"fd00::1", "0.0.0.0/0", 0},
        {"10.0.0.1", "", -1},
        {"10.0.0.1", "/8", -1},
        {"10.0.0.1", "10.0.0.0/", -1},
        {"10.0.0.1", "10.0.0.0/33", -1},
        {"10.0.0.1", "10.0.0.0/x", -1},
        {"10.0.0.1", "10.0.0.0/8/8", -1},
        {"10.0.0.1", "10.0.0/8", -1},
        {"10.0.0.1", "localhost", -1},
        {"10.0.0.1", "fd00::/129", -1},
        {"fe80::1", "fe80::%lo/10", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct io_addr a;
        bool inside = true;
        bool ok;

        assert_true(io_addr_literal(&a, cases[i].host, 80));
        ok = io_sockaddr_in(&a.u.sa, strv_of(cases[i].network), &inside);
        if (ok != (cases[i].inside >= 0) || inside != (cases[i].inside > 0))
            fail_msg("%s in %s: ok %d, inside %d", cases[i].host, cases[i].network, ok, inside);
    }
}

static void test_a_unix_socket_is_in_no_network_but_loopback(void **state)
{
    struct io_addr a;
    bool inside = true;

    (void)state;
    assert_true(io_addr_unix(&a, "/tmp/x", NULL));
    assert_true(io_sockaddr_is_loopback(&a.u.sa));
    assert_true(io_sockaddr_in(&a.u.sa, STRV("0.0.0.0/0"), &inside));
    assert_false(inside);
}

static void test_every_end_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < IO_ENDS; i++)
        assert_string_not_equal(io_end_name((enum io_end)i), "unknown");
    assert_string_equal(io_end_name(IO_ENDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_that_are_addresses),
        cmocka_unit_test(test_texts_that_are_not_addresses),
        cmocka_unit_test(test_inside_a_network),
        cmocka_unit_test(test_a_unix_socket_is_in_no_network_but_loopback),
        cmocka_unit_test(test_every_end_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
