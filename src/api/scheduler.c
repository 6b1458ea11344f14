/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler - the residency scheduler's own chat window, unchanged: its path, its token, its frames.
 *
 *   GET /api/v1/claude-chat/ws?token=&session_id=&mode=
 *
 * The token's signature and time are looked at before the upgrade is answered, its owner's role after it (whois.h), for the
 * client gives the upgrade a second. It stays away after 4001 and 4003 and comes back after anything else, so those two are
 * said only where coming back is no use.
 */
#include <stdio.h>

#include "api/socket.h"
#include "api/target.h"

static bool token_of(const struct api *api, strv token, struct socket_wish *wish)
{
    const struct api_scheduler_conf *conf = api->sockets.conf->scheduler;
    wish->token = token;
    return token.len > 0 &&
           token_read(token, conf->secret, io_wall_us(api->env->loop), &wish->claims);
}

static void take_user(const struct http_request *req, struct socket_wish *wish)
{
    struct chat_user *user = &wish->sit.user;
    snprintf(user->id, sizeof user->id, "app:%s", wish->claims.user);
    snprintf(user->address, sizeof user->address, "%s", req->peer);
    user->until_us = wish->claims.until_us;
}

/* A name that we do not take would be refused for ever: he stays away. */
static void read_query(struct http_request *req, struct socket_wish *wish, strv *token)
{
    strv session = STRV_NONE, mode = STRV_NONE;
    struct arena *arena = &req->arena;
    bool ok = target_query(req->query, "token", arena, token) &&
              target_query(req->query, "session_id", arena, &session) &&
              target_query(req->query, "mode", arena, &mode) &&
              (session.len == 0 || socket_name_ok(session)) &&
              (mode.len == 0 || policy_mode_parse(mode, &wish->sit.mode));
    if (!ok) {
        wish->code = SOCKET_FORBIDDEN;
        wish->reason = "session_id or mode is not valid";
    } else if (session.len > 0) {
        snprintf(wish->sit.session, sizeof wish->sit.session, STRV_FMT, STRV_ARG(session));
    }
}

void api_scheduler(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct socket_wish wish = {.by_token = true, .sit = {.model = STRV("")}};
    strv token = STRV_NONE;
    (void)route;
    read_query(req, &wish, &token);
    if (!token_of(api, token, &wish)) { /* before anything else: who he is comes first */
        wish.code = SOCKET_NOT_LOGGED_IN;
        wish.reason = "the token is not valid";
    }
    take_user(req, &wish);
    socket_open(api, req, &wish);
}
