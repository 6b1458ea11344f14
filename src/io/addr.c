/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr - reading and writing socket addresses, and the questions the promise about local providers
 * rests on: is this address loopback, does it lie in that network.
 *
 * An IPv4 address inside IPv6 (::ffff:10.0.0.1) is the same host as 10.0.0.1, so both questions look
 * through that form: otherwise it would be a way around a list of networks.
 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "io/stream.h"

static bool parse_inet(struct io_addr *a, strv text, struct err *err);
static bool address_bits(const struct sockaddr *sa, const uint8_t **bits, size_t *bytes);

const char *io_end_name(enum io_end end)
{
    static const char *const names[] = {
        [IO_EOF] = "eof",
        [IO_RESET] = "reset",
        [IO_TRUNCATED] = "truncated",
        [IO_REFUSED] = "refused",
        [IO_UNREACHABLE] = "unreachable",
        [IO_TIMEOUT] = "timeout",
        [IO_DNS] = "dns",
        [IO_TLS] = "tls",
        [IO_NOT_ALLOWED] = "not_allowed",
        [IO_NO_MEMORY] = "no_memory",
    };
    _Static_assert(sizeof names / sizeof *names == IO_ENDS, "one name per end");

    return (unsigned)end < IO_ENDS ? names[end] : "unknown";
}

bool io_addr_literal(struct io_addr *a, const char *host, uint16_t port)
{
    char bare[INET6_ADDRSTRLEN];
    const char *zone = strchr(host, '%');

    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, host, &a->u.in.sin_addr) == 1) {
        a->u.in.sin_family = AF_INET;
        a->u.in.sin_port = htons(port);
        a->len = sizeof a->u.in;
        return true;
    }
    if (zone != NULL) {
        if ((size_t)(zone - host) >= sizeof bare)
            return false;
        memcpy(bare, host, (size_t)(zone - host));
        bare[zone - host] = '\0';
        host = bare;
        a->u.in6.sin6_scope_id = if_nametoindex(zone + 1);
        if (a->u.in6.sin6_scope_id == 0)
            return false;
    }
    if (inet_pton(AF_INET6, host, &a->u.in6.sin6_addr) != 1)
        return false;
    a->u.in6.sin6_family = AF_INET6;
    a->u.in6.sin6_port = htons(port);
    a->len = sizeof a->u.in6;
    return true;
}

bool io_addr_is_localhost_name(const char *host)
{
    return strv_eq_nocase(strv_of(host), STRV("localhost")) ||
           strv_eq_nocase(strv_of(host), STRV("localhost."));
}

void io_addr_loopback(struct io_addr *a, int family, uint16_t port)
{
    memset(a, 0, sizeof *a);
    if (family == AF_INET6) {
        a->u.in6.sin6_family = AF_INET6;
        a->u.in6.sin6_port = htons(port);
        a->u.in6.sin6_addr = in6addr_loopback;
        a->len = sizeof a->u.in6;
    } else {
        a->u.in.sin_family = AF_INET;
        a->u.in.sin_port = htons(port);
        a->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        a->len = sizeof a->u.in;
    }
}

bool io_addr_unix(struct io_addr *a, const char *path, struct err *err)
{
    size_t n = strlen(path);

    memset(a, 0, sizeof *a);
    if (n == 0)
        return err_set(err, 0, "the path of a UNIX socket is empty");
    if (n >= sizeof a->u.un.sun_path)
        return err_set(err, 0, "the path of a UNIX socket has %zu bytes; the system allows %zu", n,
                       sizeof a->u.un.sun_path - 1);
    a->u.un.sun_family = AF_UNIX;
    memcpy(a->u.un.sun_path, path, n + 1);
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return true;
}

bool io_addr_parse(struct io_addr *a, strv text, struct err *err)
{
    char path[sizeof a->u.un.sun_path + 1];
    strv rest;

    if (text.ptr == NULL)
        return err_set(err, 0, "an address is missing; expected ADDRESS:PORT or unix:PATH");
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return err_set(err, 0, "an address must not contain a zero byte");
    if (strv_starts(text, IO_ADDR_TLS))
        return parse_inet(a, strv_from(text, IO_ADDR_TLS.len), err);
    if (!strv_starts(text, STRV("unix:")))
        return parse_inet(a, text, err);
    rest = strv_from(text, 5);
    if (rest.len >= sizeof path)
        rest.len = sizeof path - 1; /* too long in any case; told by io_addr_unix() */
    memcpy(path, rest.ptr, rest.len);
    path[rest.len] = '\0';
    return io_addr_unix(a, path, err);
}

static bool parse_inet(struct io_addr *a, strv text, struct err *err)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    strv name = text, digits;
    uint64_t port;
    bool bracket = text.len > 0 && text.ptr[0] == '[';

    while (name.len > 0 && name.ptr[name.len - 1] != ':' && name.ptr[name.len - 1] != ']')
        name.len--;
    if (name.len == 0 || name.ptr[name.len - 1] != ':')
        return err_set(err, 0,
                       "address \"" STRV_FMT "\" has no port; expected ADDRESS:PORT or unix:PATH",
                       STRV_ARG(text));
    digits = strv_from(text, name.len);
    name.len--;
    if (!strv_u64(digits, 0, 65535, &port))
        return err_set(err, 0, "port \"" STRV_FMT "\" is not a number from 0 to 65535",
                       STRV_ARG(digits));
    if (bracket) {
        if (name.len < 2 || name.ptr[name.len - 1] != ']')
            return err_set(err, 0, "address \"" STRV_FMT "\": the bracket is not closed",
                           STRV_ARG(text));
        name = (strv){name.ptr + 1, name.len - 2};
    }
    if (name.len < sizeof host) {
        memcpy(host, name.ptr, name.len);
        host[name.len] = '\0';
        if (!bracket && io_addr_is_localhost_name(host)) {
            io_addr_loopback(a, AF_INET, (uint16_t)port);
            return true;
        }
        if (io_addr_literal(a, host, (uint16_t)port) && (a->u.sa.sa_family == AF_INET6) == bracket)
            return true;
    }
    return err_set(err, 0,
                   "\"" STRV_FMT
                   "\" is not an address; expected an IPv4 address, an IPv6 address in "
                   "brackets, or localhost",
                   STRV_ARG(name));
}

void io_addr_text(const struct sockaddr *sa, char out[IO_ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];

    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        const uint8_t *b = (const void *)&in->sin_addr;

        snprintf(out, IO_ADDR_TEXT_MAX, "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3],
                 (unsigned)ntohs(in->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;

        if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host) == NULL)
            host[0] = '\0';
        snprintf(out, IO_ADDR_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
    } else {
        snprintf(out, IO_ADDR_TEXT_MAX, "%s", sa->sa_family == AF_UNIX ? "unix" : "unknown");
    }
}

/* The address without family and port; IPv4 in IPv6 as the four bytes of IPv4. */
static bool address_bits(const struct sockaddr *sa, const uint8_t **bits, size_t *bytes)
{
    if (sa->sa_family == AF_INET) {
        *bits = (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
        *bytes = 4;
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(in6);

        *bits = in6->s6_addr + (mapped ? 12 : 0);
        *bytes = mapped ? 4 : 16;
        return true;
    }
    return false;
}

bool io_sockaddr_is_loopback(const struct sockaddr *addr)
{
    const uint8_t *bits;
    size_t bytes;

    if (addr->sa_family == AF_UNIX)
        return true;
    if (!address_bits(addr, &bits, &bytes))
        return false;
    if (bytes == 4)
        return bits[0] == 127;
    return memcmp(bits, &in6addr_loopback, 16) == 0;
}

bool io_sockaddr_in(const struct sockaddr *addr, strv network, bool *inside)
{
    struct io_addr net;
    char host[INET6_ADDRSTRLEN];
    const uint8_t *bits, *net_bits;
    size_t bytes, net_bytes;
    strv rest = network, name;
    uint64_t prefix;

    *inside = false;
    if (!strv_cut(&rest, '/', &name) || name.len == 0 || name.len >= sizeof host ||
        memchr(name.ptr, '\0', name.len) != NULL)
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    if (strchr(host, '%') != NULL || !io_addr_literal(&net, host, 0) ||
        !address_bits(&net.u.sa, &net_bits, &net_bytes))
        return false;
    prefix = net_bytes * 8; /* without "/n": that one host */
    if (rest.ptr != NULL && !strv_u64(rest, 0, net_bytes * 8, &prefix))
        return false;
    if (!address_bits(addr, &bits, &bytes) || bytes != net_bytes)
        return true;
    if (memcmp(bits, net_bits, prefix / 8) != 0)
        return true;
    if (prefix % 8 != 0) {
        uint8_t mask = (uint8_t)(0xff00u >> (prefix % 8));

        if (((bits[prefix / 8] ^ net_bits[prefix / 8]) & mask) != 0)
            return true;
    }
    *inside = true;
    return true;
}

bool io_address_is_loopback(strv address, bool *loopback, struct err *err)
{
    struct io_addr a = {0};

    if (!io_addr_parse(&a, address, err))
        return false;
    *loopback = io_sockaddr_is_loopback(&a.u.sa);
    return true;
}
