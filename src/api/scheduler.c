/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler - the residency scheduler's own chat window, unchanged: its path, its token, its frames.
 *
 *   GET /api/v1/claude-chat/ws?token=&session_id=&mode=
 *
 * The token's signature and time are looked at before the upgrade is answered, its owner's role after it (whois.h), for the
 * client gives the upgrade a second. It stays away after 4001 and 4003 and comes back after anything else, so those two are
 * said only where coming back is no use.
 *
 * Beside it sessions are listed, read and deleted by the same tokens, as bearer (sessions.c does it).
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

/* ---- sessions over HTTP ---- */

struct api_visit { /* until the application has said who he is */
    struct api *api;
    struct http_request *req;
    struct whois_question *question;
    struct token claims;
};

static void on_gone(struct http_request *req)
{
    struct api_visit *v = api_state(req)->visit;
    if (v == NULL)
        return;
    api_state(req)->visit = NULL;
    whois_cancel(v->question);
    mem_free(v);
}

static void serve(struct api *api, struct http_request *req)
{
    const struct api_route *route = api_state(req)->route;
    size_t before = api->sockets.conf->scheduler->path.len;
    const char *path = arena_printf(&req->arena, API_SCHEDULER_PATH STRV_FMT,
                                    STRV_ARG(strv_from(req->path, before)));
    if (path == NULL) {
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_INTERNAL, NULL);
        return;
    }
    req->path = strv_of(path); /* as the row has it, wherever the operator put the door */
    if (req->method == HTTP_DELETE)
        api_session_delete(api, req, route);
    else if (strchr(route->path, '{') != NULL)
        api_session(api, req, route);
    else
        api_sessions(api, req, route);
}

static void on_verdict(void *arg, enum whois_verdict verdict, const char *name)
{
    struct api_visit *v = arg;
    struct api *api = v->api;
    struct http_request *req = v->req;
    struct api_state *state = api_state(req);
    (void)name;
    state->visit = NULL;
    req->on_gone = NULL;
    state->app_user = arena_cstr(&req->arena, strv_of(v->claims.user));
    mem_free(v);
    if (verdict == WHOIS_MAY && state->app_user != NULL)
        serve(api, req);
    else if (verdict == WHOIS_MAY_NOT)
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_FORBIDDEN, "This role may not chat.");
    else if (verdict == WHOIS_BAD_TOKEN)
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_UNAUTHORIZED, "The token is not valid.");
    else
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_OVERLOADED, "The application does not answer.");
}

void api_scheduler_sessions(struct api *api, struct http_request *req,
                            const struct api_route *route)
{
    const struct api_scheduler_conf *conf = api->sockets.conf->scheduler;
    strv token = policy_key_from_headers(http_request_header(req, "Authorization"), STRV_NONE);
    struct token claims;
    if (token.ptr == NULL ||
        !token_read(token, conf->secret, io_wall_us(api->env->loop), &claims)) {
        api_turn_down(api, req, route->door, LLM_ERR_UNAUTHORIZED, "The token is not valid.");
        return;
    }
    struct api_visit *v = mem_zalloc(sizeof *v);
    if (v != NULL) {
        *v = (struct api_visit){.api = api, .req = req, .claims = claims};
        v->question = socket_whois(api, token, &v->claims, on_verdict, v);
    }
    if (v == NULL || v->question == NULL) {
        mem_free(v);
        api_turn_down(api, req, route->door, LLM_ERR_OVERLOADED, NULL);
        return;
    }
    api_state(req)->visit = v;
    req->on_gone = on_gone;
}
