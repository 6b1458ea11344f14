/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr - socket addresses and their text. Private to the io folder and to its stand-in for tests; opens
 * nothing and asks no name server.
 */
#ifndef IO_ADDR_H
#define IO_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"

#define IO_ADDR_TEXT_MAX 56 /* "[" 45 of an IPv6 address "]" ":65535" and a terminator */

struct io_addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* A literal IPv4 or IPv6 address (also with a zone, "fe80::1%eth0"), without port or brackets. */
bool io_addr_literal(struct io_addr *a, const char *host, uint16_t port);
/* Whether the name means this machine without asking anyone (RFC 6761 6.3): "localhost". */
bool io_addr_is_localhost_name(const char *host);
void io_addr_loopback(struct io_addr *a, int family, uint16_t port);
bool io_addr_unix(struct io_addr *a, const char *path, struct err *err);
#define IO_ADDR_TLS STRV("tls:") /* before an address */
/* The text that io_listen() takes. */
bool io_addr_parse(struct io_addr *a, strv text, struct err *err);
/* "127.0.0.1:80", "[::1]:80", "unix". */
void io_addr_text(const struct sockaddr *sa, char out[IO_ADDR_TEXT_MAX]);

#endif
