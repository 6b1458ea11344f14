/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth - what servers write about their logins.
 *
 *   first byte   which reader: challenge, resource, server, token, redirect, address of the old transport's messages
 *   the rest     what it reads
 *
 * Whatever is accepted keeps its promises: it is about the server it was asked of, goes to https or to this machine,
 * and may stand in a header or a request line as it is.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mcp/http_int.h"
#include "mcp/oauth.h"

#define URL "https://h/mcp"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool is_visible(strv text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f)
            return false;
    return true;
}

static void check_place(strv url, struct arena *arena)
{
    struct oauth_place place;

    if (url.ptr == NULL)
        return;
    check(oauth_place_read(url, arena, &place));
    check(place.target[0] == '/' && is_visible(strv_of(place.target)));
    check(place.url.tls || strcmp(place.url.host, "localhost") == 0 ||
          strcmp(place.url.host, "::1") == 0 || strncmp(place.url.host, "127.", 4) == 0);
}

static void read_challenge(strv in, struct arena *arena)
{
    struct oauth_challenge c = {0};

    check(oauth_challenge_read(in, arena, &c));
    check(c.metadata.len <= in.len && c.scope.len <= in.len && c.error.len <= in.len);
    check(c.bearer || (c.metadata.ptr == NULL && c.scope.ptr == NULL && c.error.ptr == NULL));
}

static void read_resource(strv in, struct arena *arena)
{
    struct oauth_resource r;

    if (!oauth_resource_read(in, STRV(URL), STRV("https://a"), arena, &r, NULL))
        return;
    check(oauth_resource_fits(r.resource, STRV(URL)));
    check_place(r.issuer, arena);
}

static void read_server(strv in, struct arena *arena)
{
    struct oauth_server s;

    if (!oauth_server_read(in, STRV("https://a"), true, arena, &s, NULL))
        return;
    check(strv_eq(s.issuer, STRV("https://a")));
    check_place(s.token, arena);
    check_place(s.authorization, arena);
    check_place(s.registration, arena);
}

static void read_token(strv in, struct arena *arena)
{
    struct oauth_token t;

    if (oauth_token_read(in, arena, &t, NULL))
        check(t.access.len > 0 && is_visible(t.access) && t.expires_s >= 0);
}

static void read_redirect(strv in, struct arena *arena)
{
    struct oauth_redirect r;

    if (oauth_redirect_read(in, arena, &r))
        check(r.code.len <= in.len && r.state.len <= in.len && r.iss.len <= in.len);
}

static void read_endpoint(strv in, struct arena *arena)
{
    static const struct mcp_server_conf conf = {
        .path = "/a/sse?x=1", .upstream = {.url = {.tls = true, .host = "h", .port = 443}}};
    struct buf out;

    (void)arena;
    buf_init(&out, 4096);
    if (http_endpoint(&conf, in, &out))
        check(buf_len(&out) > 0 && is_visible(buf_view(&out)));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(strv in, struct arena * arena) = {
        read_challenge, read_resource, read_server, read_token, read_redirect, read_endpoint};
    struct arena arena;

    if (size == 0)
        return 0;
    arena_init(&arena, 4096, 64 << 20);
    readers[data[0] % 6]((strv){(const char *)data + 1, size - 1}, &arena);
    arena_fini(&arena);
    check(mem_live() == 0);
    return 0;
}
