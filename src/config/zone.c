/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zone - which addresses a provider may have.
 *
 *   local   loopback, UNIX sockets, what lies in local_networks; nothing else
 *   cloud   everything
 *   never   link-local addresses and the addresses at which clouds hand out their machines' credentials
 *
 * zone_allow() is called for every resolved address before a byte is sent to it, so a name that resolves
 * to somewhere else today than yesterday changes nothing.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "config/internal.h"

/* 169.254.169.254 and fe80:: serve metadata on nearly every cloud; the others are those of AWS by IPv6 and
 * of Alibaba. No model is served there. */
static const char *const never[] = {"169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128",
                                    "100.100.100.200/32"};

static bool lies_in(const struct sockaddr *addr, const char *network)
{
    bool inside;
    return io_sockaddr_in(addr, strv_of(network), &inside) && inside;
}

bool zone_allow(void *rule, const struct sockaddr *addr)
{
    const struct zone_rule *z = rule;
    if (addr->sa_family == AF_UNIX)
        return true;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        if (lies_in(addr, never[i]))
            return false;
    }
    if (z->zone == ZONE_CLOUD || io_sockaddr_is_loopback(addr))
        return true;
    for (size_t i = 0; z->networks[i] != NULL; i++) {
        if (lies_in(addr, z->networks[i]))
            return true;
    }
    return false;
}

/* Literal address into out, which has room for any. */
static bool literal(const char *host, struct sockaddr_storage *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        memcpy(out, &in, sizeof in);
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(out, &in6, sizeof in6);
        return true;
    }
    return false;
}

bool zone_literal(const char *host, const struct zone_rule *rule, bool *allowed)
{
    struct sockaddr_storage addr;
    struct zone_rule copy = *rule;

    *allowed = false;
    if (!literal(host, &addr))
        return false;
    *allowed = zone_allow(&copy, (const struct sockaddr *)&addr);
    return true;
}

/* 0.0.0.0/0 would make "local" mean nothing; /8 is the widest private network there is. */
bool zone_network_ok(strv network)
{
    struct sockaddr_storage addr;
    char host[INET6_ADDRSTRLEN];
    strv rest = network, name;
    uint64_t prefix;
    bool inside;

    if (!strv_cut(&rest, '/', &name) || name.len == 0 || name.len >= sizeof host)
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    if (strlen(host) != name.len || !literal(host, &addr))
        return false;
    bool v4 = addr.ss_family == AF_INET;
    if (!io_sockaddr_in((const struct sockaddr *)&addr, network, &inside))
        return false;
    if (rest.ptr != NULL && !strv_u64(rest, v4 ? 8 : 7, v4 ? 32 : 128, &prefix))
        return false;
    return !lies_in((const struct sockaddr *)&addr, "169.254.0.0/16") &&
           !lies_in((const struct sockaddr *)&addr, "fe80::/10");
}
