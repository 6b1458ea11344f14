/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login - who a person is whose browser cannot send a key with every request.
 *
 *   POST /chat/login {"key":"..."}  >  the cookie (cookie.h)  >  counts as that key (api.c), for pages of ours alone
 *
 * A cookie goes along with whatever a foreign page makes a browser ask for, so it counts only where the browser itself
 * says that a page of this very address asks: SameSite=Strict keeps it from most of those requests, Origin and
 * Sec-Fetch-Site tell the others. Scripts cannot read it.
 */
#include <stdio.h>

#include "api/api_int.h"
#include "api/cookie.h"

#define ME_BYTES_MAX 4096

/* ---- the cookie of a request ---- */

/* Does the browser say that a page of ours asks? What only reads has no Origin when it comes from there, and from older
 * browsers nothing else either. */
static bool from_own_page(const struct http_request *req, bool changes)
{
    strv origin = http_request_header(req, "Origin");
    strv site = http_request_header(req, "Sec-Fetch-Site");
    bool same = strv_eq_cstr(site, "same-origin") || strv_eq_cstr(site, "none");
    if (site.ptr != NULL && !same)
        return false;
    if (origin.ptr != NULL)
        return api_is_own_page(origin, req);
    return same || !changes;
}

static bool changes(const struct http_request *req)
{
    return (req->method != HTTP_GET && req->method != HTTP_HEAD) ||
           http_request_header(req, "Upgrade").ptr != NULL;
}

/* The key of a cookie that is good. `value` gets the cookie. */
static const struct policy_key *open_cookie(const struct api *api, const struct http_request *req,
                                            strv *value, int64_t *until_us)
{
    if (api->cookie_secret == NULL || http_request_header_count(req, "Cookie") != 1)
        return NULL;
    *value = cookie_find(http_request_header(req, "Cookie"));
    const struct policy_key *key =
        cookie_open(api->cookie_secret, api->keys, *value, io_wall_us(api->env->loop), until_us);
    return key == NULL || ended_has(api->ended, *value, *until_us - COOKIE_LIFE_US) ? NULL : key;
}

const struct policy_key *api_login_key(const struct api *api, const struct http_request *req,
                                       int64_t *until_us)
{
    strv value;
    return from_own_page(req, changes(req)) ? open_cookie(api, req, &value, until_us) : NULL;
}

/* ---- who somebody is ---- */

void api_user(const struct api *api, const struct http_request *req, struct chat_user *out)
{
    const struct api_state *state = api_state(req);
    const struct policy_key *key = state->key;
    *out = (struct chat_user){.keys = state->keys, .key = key, .until_us = state->login_until_us};
    snprintf(out->address, sizeof out->address, "%s", req->peer);
    if (state->app_user != NULL) { /* whom the application knows is nobody else here */
        snprintf(out->id, sizeof out->id, "app:%s", state->app_user);
        snprintf(out->name, sizeof out->name, "%s", state->app_user);
        return;
    }
    if (key ==
        NULL) { /* no keys are needed here: whoever reaches this address is the same person */
        snprintf(out->id, sizeof out->id, "local");
        snprintf(out->name, sizeof out->name, "local");
        out->admin = !api_needs_key(api);
        return;
    }
    snprintf(out->id, sizeof out->id, "key:%s", key->id);
    snprintf(out->name, sizeof out->name, "%s", key->name);
    out->admin = key->rules.admin;
    if (key->rules.expires_us != 0 && (out->until_us == 0 || key->rules.expires_us < out->until_us))
        out->until_us = key->rules.expires_us;
}

static bool has_cloud(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (s->providers[i].zone == ZONE_CLOUD)
            return true;
    return false;
}

/* Without a cloud nothing but local ever happens, whatever may. */
static enum llm_mode widest_mode(const struct api *api, const struct policy_key *key)
{
    const struct policy_conf *policy = &api->env->snapshot->policy;
    bool home = policy->airgap || !has_cloud(api->env->snapshot);
    enum llm_mode mode = home ? LLM_MODE_LOCAL : policy->mode;
    bool narrower = key != NULL && key->rules.mode != LLM_MODE_UNSET && key->rules.mode < mode;
    return narrower ? key->rules.mode : mode;
}

static void answer_me(struct api *api, struct http_request *req, const struct policy_key *key,
                      const char *login)
{
    static const char *const modes[] = {"", "[\"local\"]", "[\"local\",\"hybrid\"]",
                                        "[\"local\",\"hybrid\",\"cloud\"]"};
    struct chat_user user;
    struct buf b;
    _Static_assert(LLM_MODE_LOCAL == 1 && LLM_MODE_HYBRID == 2 && LLM_MODE_CLOUD == 3, "rows");
    api_user(api, req, &user);
    buf_init(&b, ME_BYTES_MAX);
    buf_put_cstr(&b, "{\"user\":");
    json_put_str(&b, strv_of(user.id));
    buf_put_cstr(&b, ",\"name\":");
    json_put_str(&b, strv_of(user.name));
    buf_printf(&b,
               ",\"admin\":%s,\"login\":\"%s\",\"kept\":%s,\"modes\":%s,\"message_bytes\":%zu,"
               "\"version\":\"" LLM_ROUTER_VERSION "\"}",
               user.admin ? "true" : "false", login,
               chat_keep_failing(api->keep) ? "false" : "true", modes[widest_mode(api, key)],
               api->chat->message_bytes_max);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b.failed)
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, "application/json", buf_view(&b));
    buf_fini(&b);
}

void api_me(struct api *api, struct http_request *req, const struct api_route *route)
{
    const struct api_state *state = api_state(req);
    (void)route;
    answer_me(api, req, state->key,
              state->key == NULL           ? "none"
              : state->login_until_us != 0 ? "cookie"
                                           : "key");
}

/* ---- in and out ---- */

/* A browser that speaks with us by TLS, whoever ends it, says so in the page's own address. */
static bool set_cookie(struct http_request *req, strv value, int life_s)
{
    bool secure = strv_starts(http_request_header(req, "Origin"), STRV("https://"));
    const char *text = arena_printf(
        &req->arena, COOKIE_NAME "=" STRV_FMT "; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s",
        STRV_ARG(value), life_s, secure ? "; Secure" : "");
    if (text != NULL)
        http_reply_header(req, "Set-Cookie", strv_of(text));
    return text != NULL;
}

/* Nobody is logged in, or out, by a page that is not ours. False: the request was answered. */
static bool by_own_page(struct api *api, struct http_request *req)
{
    if (http_request_header(req, "Origin").ptr == NULL &&
        http_request_header(req, "Sec-Fetch-Site").ptr == NULL) /* no browser */
        return true;
    return from_own_page(req, true) ||
           api_turn_down(api, req, LLM_NATIVE, LLM_ERR_FORBIDDEN,
                         "Only this address's own pages log somebody in or out.");
}

/* The key in the body; in the request's arena, wiped by the caller. */
static strv read_key(struct http_request *req, struct err *err)
{
    struct json doc;
    if (!json_read(&doc, req->body, &req->arena, LLM_ERR_INVALID_REQUEST, err))
        return STRV_NONE;
    strv key = json_get_str(doc.root, "key");
    if (key.ptr == NULL)
        err_field(err, LLM_ERR_INVALID_REQUEST, "key", "key: expected a text");
    return key;
}

static void give_cookie(struct api *api, struct http_request *req, const struct policy_key *key)
{
    struct buf value;
    buf_init(&value, 256);
    bool made = api->cookie_secret != NULL &&
                cookie_seal(api->cookie_secret, key, io_wall_us(api->env->loop), &value) &&
                set_cookie(req, buf_view(&value), COOKIE_LIFE_S);
    buf_fini(&value);
    if (made)
        answer_me(api, req, key, "cookie");
    else
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
}

void api_login(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct api_state *state = api_state(req);
    if (!by_own_page(api, req))
        return;
    if (!api_needs_key(api)) {
        answer_me(api, req, NULL, "none");
        return;
    }
    strv secret = read_key(req, &err);
    if (secret.ptr == NULL) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    const struct policy_key *key = policy_auth(api->keys, secret);
    mem_wipe((char *)(uintptr_t)secret.ptr, secret.len);
    if (key == NULL) {
        api_refuse_secret(api, req, STRV("a wrong one"));
        return;
    }
    if (!policy_key_admits(key, route->door, io_wall_us(api->env->loop), &err)) {
        api_turn_down(api, req, route->door, err.code, err.text);
        return;
    }
    api_take_key(api, req, key);
    state->login_until_us = io_wall_us(api->env->loop) + COOKIE_LIFE_US;
    give_cookie(api, req, key);
}

void api_logout(struct api *api, struct http_request *req, const struct api_route *route)
{
    strv value;
    int64_t until_us;
    (void)route;
    if (!by_own_page(api, req))
        return;
    if (open_cookie(api, req, &value, &until_us) != NULL)
        ended_add(api->ended, value, until_us, io_wall_us(api->env->loop));
    if (set_cookie(req, STRV(""), 0))
        http_reply_whole(req, 204, NULL, STRV(""));
    else
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
}
