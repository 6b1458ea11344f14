/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url - see url.h. Written by hand because base URLs are a small part of RFC 3986 and a general parser
 * accepts what must be refused here: users, queries, fragments, odd hosts.
 */
#include "http/url.h"

#include <arpa/inet.h>

static bool parse_unix(strv path, struct arena *arena, struct http_url *out, struct err *err);
static bool parse_authority(strv text, struct arena *arena, struct http_url *out, struct err *err);
static bool parse_host(strv host, bool bracketed, struct arena *arena, struct http_url *out);
static bool path_ok(strv path);

bool http_url_parse(strv text, struct arena *arena, struct http_url *out, struct err *err)
{
    strv rest, path = STRV("");
    size_t slash = 0;

    *out = (struct http_url){0};
    if (strv_starts(text, STRV("unix:")))
        return parse_unix(strv_from(text, 5), arena, out, err);
    if (text.len >= 7 && strv_eq_nocase((strv){text.ptr, 7}, STRV("http://"))) {
        rest = strv_from(text, 7);
    } else if (text.len >= 8 && strv_eq_nocase((strv){text.ptr, 8}, STRV("https://"))) {
        rest = strv_from(text, 8);
        out->tls = true;
    } else {
        return err_set(err, 0, "a URL begins with http://, https:// or unix:");
    }
    while (slash < rest.len && rest.ptr[slash] != '/')
        slash++;
    path = strv_from(rest, slash);
    rest.len = slash;
    if (!path_ok(path))
        return err_set(err, 0,
                       "the path of a base URL has letters, digits and -._~!$&'()*+,;=:@%% only; "
                       "no query and no fragment");
    if (!parse_authority(rest, arena, out, err))
        return false;
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    out->path = arena_cstr(arena, path);
    return out->path != NULL || err_oom(err);
}

bool http_url_join(const struct http_url *url, const char *path, struct buf *out)
{
    strv base = strv_of(url->path), more = strv_of(path);
    const char *last = base.len > 0 ? memrchr(base.ptr, '/', base.len) : NULL;
    size_t segment = last != NULL ? (size_t)(base.ptr + base.len - last) : 0;

    /* The base's last segment and the path's first one are the same: said twice, meant once. */
    if (segment > 1 && more.len >= segment && memcmp(more.ptr, last, segment) == 0 &&
        (more.len == segment || more.ptr[segment] == '/' || more.ptr[segment] == '?'))
        more = strv_from(more, segment);
    if (base.len == 0 && (more.len == 0 || more.ptr[0] != '/'))
        buf_put_char(out, '/');
    buf_put_strv(out, base);
    return buf_put_strv(out, more);
}

static bool parse_unix(strv path, struct arena *arena, struct http_url *out, struct err *err)
{
    if (strv_starts(path, STRV("//")))
        path = strv_from(path, 2); /* unix:///run/x.sock */
    /* sizeof sun_path is 108 on Linux. */
    if (path.len < 2 || path.len > 107 || path.ptr[0] != '/' ||
        memchr(path.ptr, 0, path.len) != NULL)
        return err_set(err, 0, "after unix: comes an absolute path of at most 107 bytes");
    out->authority = "localhost";
    out->path = "";
    out->unix_path = arena_cstr(arena, path);
    return out->unix_path != NULL || err_oom(err);
}

static bool parse_authority(strv text, struct arena *arena, struct http_url *out, struct err *err)
{
    uint64_t port = out->tls ? 443 : 80, given = 0;
    bool bracketed = text.len > 0 && text.ptr[0] == '[';
    const char *end, *colon;
    strv host = text;

    if (text.len == 0)
        return err_set(err, 0, "the URL has no host");
    if (memchr(text.ptr, '@', text.len) != NULL)
        return err_set(err, 0, "a user or password in a URL is not allowed");
    if (bracketed) {
        end = memchr(text.ptr, ']', text.len);
        if (end == NULL)
            return err_set(err, 0, "the host has no closing bracket");
        host = (strv){text.ptr + 1, (size_t)(end - text.ptr) - 1};
        end++;
    } else {
        colon = memchr(text.ptr, ':', text.len);
        end = colon != NULL ? colon : text.ptr + text.len;
        host.len = (size_t)(end - text.ptr);
    }
    strv rest = {end, (size_t)(text.ptr + text.len - end)};
    if (rest.len > 0) {
        if (rest.ptr[0] != ':' || !strv_u64(strv_from(rest, 1), 1, 65535, &given))
            return err_set(err, 0, "the port is not a number from 1 to 65535");
    }
    if (!parse_host(host, bracketed, arena, out))
        return arena->failed ? err_oom(err)
                             : err_set(err, 0,
                                       "the host has a character that is not "
                                       "allowed in host names and addresses");
    if (given == port)
        given = 0;
    out->port = (uint16_t)(given != 0 ? given : port);
    char *authority = given == 0 ? arena_printf(arena, bracketed ? "[%s]" : "%s", out->host)
                                 : arena_printf(arena, bracketed ? "[%s]:%u" : "%s:%u", out->host,
                                                (unsigned)given);
    out->authority = authority;
    return authority != NULL || err_oom(err);
}

/* Lower case, so that the same host written differently is one pool. */
static bool parse_host(strv host, bool bracketed, struct arena *arena, struct http_url *out)
{
    struct in6_addr unused;
    char *copy;

    if (host.len == 0 || host.len > 253) /* RFC 1035's limit of a name, as text */
        return false;
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!letter && c != '.' && !(bracketed ? c == ':' : c == '-' || c == '_'))
            return false;
    }
    copy = arena_cstr(arena, host);
    if (copy == NULL)
        return false;
    for (char *c = copy; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    out->host = copy;
    return !bracketed || inet_pton(AF_INET6, copy, &unused) == 1;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool path_ok(strv path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (c == '%') {
            if (path.len - i < 3 || !is_hex(path.ptr[i + 1]) || !is_hex(path.ptr[i + 2]))
                return false;
        } else if (!letter && (c == '\0' || strchr("-._~!$&'()*+,;=:@/", c) == NULL)) {
            return false;
        }
    }
    return true;
}
