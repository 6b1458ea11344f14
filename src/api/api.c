/* SPDX-License-Identifier: Apache-2.0 */
/* api - what every request passes before its handler runs: route, host, origin, key. */
#include <assert.h>

#include "api/api_int.h"
#include "api/socket.h"
#include "api/target.h"

static struct api_state *begin(struct api *api, struct http_request *req);

/* ---- errors ---- */

static enum llm_dialect door_of_path(strv path)
{
    if (strv_starts(path, STRV("/v1/messages")))
        return LLM_ANTHROPIC;
    if (strv_starts(path, STRV("/api/")))
        return LLM_OLLAMA;
    if (strv_starts(path, STRV("/router/")) || strv_starts(path, STRV("/chat/")) ||
        strv_starts(path, STRV("/ws/")))
        return LLM_NATIVE;
    return LLM_OPENAI;
}

/* OpenAI and Anthropic share the paths of their model lists. Anthropic's clients say their version; older ones
 * can still be told by where they put their key (anthropic.md 9). */
static bool is_anthropic_caller(const struct http_request *req)
{
    return http_request_header(req, "anthropic-version").ptr != NULL ||
           (http_request_header(req, "x-api-key").ptr != NULL &&
            http_request_header(req, "Authorization").ptr == NULL);
}

enum llm_dialect api_door(const struct http_request *req)
{
    const struct api_state *state = api_state(req);
    enum llm_dialect door =
        state != NULL && state->route != NULL ? state->route->door : door_of_path(req->path);
    if (door == LLM_OPENAI && strv_starts(req->path, STRV("/v1/models")) &&
        is_anthropic_caller(req))
        return LLM_ANTHROPIC;
    return door;
}

void api_error(struct http_request *req, enum llm_dialect door, int error, int status, strv message,
               strv field, uint64_t retry_after_s)
{
    const struct llm_error_row *row = llm_error_row(error);
    const struct dialect *d = dialect_get(door);
    struct buf body;
    strv id = api_state(req) != NULL ? api_state(req)->request_id : STRV_NONE;
    if (api_is_mcp(req)) {
        api_mcp_error(req, status != 0 ? status : row->status,
                      message.len > 0 ? message : strv_of(row->text));
        return;
    }
    if (status == 0)
        status = door == LLM_ANTHROPIC ? row->anthropic_status : row->status;
    if (door == LLM_NATIVE && error == LLM_ERR_INVALID_REQUEST && field.len > 0)
        status = 422; /* the first customer's own habit for errors of a field */
    buf_init(&body, 65536);
    d->encode_error(error, message.len > 0 ? message : strv_of(row->text), field, id, &body);
    if (door == LLM_OPENAI || door == LLM_ANTHROPIC)
        http_reply_header(req, "x-should-retry", row->retry ? STRV("true") : STRV("false"));
    if (retry_after_s > 0)
        http_reply_header(req, "Retry-After", arena_decimal(&req->arena, (int64_t)retry_after_s));
    http_reply_whole(req, status, d->json_type, body.failed ? STRV("{}") : buf_view(&body));
    buf_fini(&body);
}

void api_refuse(struct api *api, struct http_request *req, enum llm_dialect door,
                const struct err *err)
{
    int error = err->code > 0 ? err->code : LLM_ERR_INTERNAL; /* ERR_CODE_OOM is no row */
    metric_add(api->env->metrics, METRIC_BAD_REQUESTS, (unsigned)error, 1);
    api_error(req, door, error, 0, strv_of(err->text), strv_of(err->field), 0);
}

static const struct {
    int error;
} bad_rows[] = {
    [HTTP_BAD_MESSAGE] = {LLM_ERR_INVALID_REQUEST},
    [HTTP_BAD_HEAD_TOO_LARGE] = {LLM_ERR_HEADERS_TOO_LARGE},
    [HTTP_BAD_BODY_TOO_LARGE] = {LLM_ERR_BODY_TOO_LARGE},
    [HTTP_BAD_TIMEOUT] = {LLM_ERR_REQUEST_TIMEOUT},
    [HTTP_BAD_BUSY] = {LLM_ERR_OVERLOADED},
};

bool api_turn_down(struct api *api, struct http_request *req, enum llm_dialect door, int error,
                   const char *text)
{
    metric_add(api->env->metrics, METRIC_BAD_REQUESTS, (unsigned)error, 1);
    api_error(req, door, error, 0, strv_of(text), STRV_NONE, error == LLM_ERR_OVERLOADED ? 1 : 0);
    return false;
}

void api_on_bad(void *arg, struct http_request *req, enum http_bad why)
{
    assert((size_t)why < sizeof bad_rows / sizeof *bad_rows);
    enum llm_dialect door = api_door(req);
    if (api_state(req) == NULL) /* found before the head was complete */
        (void)begin(arg, req);
    api_turn_down(arg, req, door, bad_rows[why].error,
                  why == HTTP_BAD_MESSAGE ? "This is not a valid HTTP/1.1 request." : NULL);
}

/* ---- request id ---- */

static strv new_id(struct api *api, struct http_request *req)
{
    char *uuid = arena_alloc(&req->arena, 37);
    if (uuid == NULL)
        return STRV("out-of-memory");
    rng_uuid(api->env->rng, uuid);
    return strv_of(uuid);
}

/* The caller's own, if it is fit for a header; or one of ours, which has the form that records keep. */
static bool find_id(struct api *api, struct http_request *req, strv *id)
{
    strv given = strv_trim(http_request_header(req, "X-Request-ID"));
    bool fit = given.len >= 1 && given.len <= 255;
    for (size_t i = 0; fit && i < given.len; i++)
        fit = given.ptr[i] > 0x20 && given.ptr[i] < 0x7f;
    *id = fit ? given : new_id(api, req);
    return fit;
}

/* What a caller writes may be anything, a person's name too, and log, ledger and audit hold nothing that he wrote.
 * Only a number that a machine made is kept as it is; in place of anything else the records have an id of ours, which
 * the answer tells. */
static void take_ids(struct api *api, struct http_request *req, struct api_state *state)
{
    bool given = find_id(api, req, &state->request_id);
    state->record_id = state->request_id;
    http_reply_header(req, "X-Request-ID", state->request_id);
    if (!given || ledger_id_fits(state->request_id))
        return;
    state->record_id = new_id(api, req);
    http_reply_header(req, "X-LLM-Record-ID", state->record_id);
}

/* Every reply has the id, whatever it is about. NULL: no memory. */
static struct api_state *begin(struct api *api, struct http_request *req)
{
    struct api_state *state = ARENA_NEW(&req->arena, struct api_state);
    if (state == NULL)
        return NULL;
    req->user = state;
    take_ids(api, req, state);
    return state;
}

bool api_hints(struct llm_request *r, const struct http_request *req, struct err *err)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        const struct http_header *h = &req->headers[i];
        bool mode = strv_eq_nocase(h->name, STRV("X-LLM-Mode"));
        bool sensitivity = strv_eq_nocase(h->name, STRV("X-LLM-Sensitivity"));
        bool task = strv_eq_nocase(h->name, STRV("X-LLM-Task"));
        if (strv_eq_nocase(h->name, STRV("X-LLM-Session")))
            r->session_header = strv_trim(h->value);
        if ((mode || sensitivity || task) &&
            !policy_hints(r, mode ? h->value : STRV_NONE, sensitivity ? h->value : STRV_NONE,
                          task ? h->value : STRV_NONE, err))
            return false;
    }
    return true;
}

/* ---- host and origin ---- */

static bool is_address(strv host)
{
    if (host.len > 0 && host.ptr[0] == '[')
        return true;
    size_t dots = 0;
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == '.')
            dots++;
        else if (host.ptr[i] < '0' || host.ptr[i] > '9')
            return false;
    }
    return dots == 3;
}

static strv without_port(strv host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        for (size_t i = 0; i < host.len; i++)
            if (host.ptr[i] == ']')
                return (strv){host.ptr, i + 1};
        return host;
    }
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] == ':')
            return (strv){host.ptr, i};
    return host;
}

static bool listed(const char *const *list, strv value)
{
    for (; list != NULL && *list != NULL; list++)
        if (strv_eq_nocase(strv_of(*list), value))
            return true;
    return false;
}

/* A web page can make a browser call any name that its owner points at us (DNS rebinding). It cannot choose
 * the Host header: only names that are ours are served. Addresses cannot be rebound. */
static bool host_is_ours(const struct api *api, const struct http_request *req)
{
    strv full = http_request_header(req, "Host");
    strv host = without_port(full);
    if (full.ptr == NULL) /* HTTP/1.0; HTTP/1.1 without one was refused by the parser */
        return true;
    return is_address(host) || strv_eq_nocase(host, STRV("localhost")) ||
           (host.len > 10 && strv_eq_nocase(strv_from(host, host.len - 10), STRV(".localhost"))) ||
           listed(api->hosts, host) || listed(api->hosts, full);
}

/* A page that came from here itself: its origin is the very name that it calls, and that name is ours. */
bool api_is_own_page(strv origin, const struct http_request *req)
{
    strv host = http_request_header(req, "Host");
    strv rest = strv_starts(origin, STRV("http://"))    ? strv_from(origin, 7)
                : strv_starts(origin, STRV("https://")) ? strv_from(origin, 8)
                                                        : STRV("");
    return rest.len > 0 && strv_eq_nocase(rest, host);
}

static bool answer_preflight(struct http_request *req)
{
    http_reply_header(req, "Access-Control-Allow-Methods",
                      STRV("GET, POST, DELETE, HEAD, OPTIONS"));
    strv wanted = http_request_header(req, "Access-Control-Request-Headers");
    if (wanted.ptr != NULL && wanted.len < 1024)
        http_reply_header(req, "Access-Control-Allow-Headers", wanted);
    http_reply_header(req, "Access-Control-Max-Age", STRV("600"));
    http_reply_whole(req, 204, NULL, STRV(""));
    return false;
}

/* ---- the head ---- */

static bool fits(const struct api *api, const struct api_route *route, strv path)
{
    const struct api_scheduler_conf *s =
        api->sockets.conf != NULL ? api->sockets.conf->scheduler : NULL;
    if (!route->scheduler)
        return target_fits(route->path, path);
    return s != NULL && strv_starts(path, s->path) &&
           target_fits(route->path + sizeof API_SCHEDULER_PATH - 1, strv_from(path, s->path.len));
}

static const struct api_route *find_route(const struct api *api, const struct http_request *req,
                                          bool *path_known)
{
    enum http_method method = req->method == HTTP_HEAD ? HTTP_GET : req->method;
    *path_known = false;
    for (size_t i = 0; i < api->n_routes; i++) {
        if (!fits(api, &api->routes[i], req->path))
            continue;
        *path_known = true;
        if (api->routes[i].method == method)
            return &api->routes[i];
    }
    return NULL;
}

/* What a 405 must tell (RFC 9110 15.5.6). */
static void put_allow(const struct api *api, struct http_request *req)
{
    static const struct {
        enum http_method method;
        const char *words;
    } rows[] = {{HTTP_GET, "GET, HEAD"}, {HTTP_POST, "POST"}, {HTTP_DELETE, "DELETE"}};
    struct buf b;
    buf_init(&b, 64);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (size_t i = 0; i < api->n_routes; i++)
            if (api->routes[i].method == rows[k].method && fits(api, &api->routes[i], req->path)) {
                buf_printf(&b, "%s%s", buf_len(&b) > 0 ? ", " : "", rows[k].words);
                break;
            }
    if (!b.failed)
        http_reply_header(req, "Allow", buf_view(&b));
    buf_fini(&b);
}

static void let_keys_go(struct http_request *req)
{
    policy_keys_unref(api_state(req)->keys);
}

/* Guessing is slowed down, and told from a caller who has no key at all. */
static bool guesses_too_often(struct api *api, struct http_request *req, strv secret)
{
    struct exchange_env *env = api->env;
    int64_t wait_us = 0;
    if (secret.ptr == NULL ||
        policy_wrong_key(env->limits, strv_of(req->peer), env->snapshot->quotas.wrong_min,
                         io_now_us(env->loop), &wait_us))
        return false;
    metric_add(env->metrics, METRIC_BAD_REQUESTS, LLM_ERR_RATE_LIMITED, 1);
    api_error(req, api_door(req), LLM_ERR_RATE_LIMITED, 0,
              STRV("Too many wrong API keys come from this address."), STRV_NONE,
              (uint64_t)(wait_us + 999999) / 1000000);
    return true;
}

bool api_refuse_secret(struct api *api, struct http_request *req, strv secret)
{
    if (!guesses_too_often(api, req, secret))
        api_turn_down(api, req, api_door(req), LLM_ERR_UNAUTHORIZED, NULL);
    return false;
}

bool api_needs_key(const struct api *api)
{
    return api->keys->n > 0 || api->require_keys;
}

void api_take_key(struct api *api, struct http_request *req, const struct policy_key *key)
{
    struct api_state *state = api_state(req);
    state->key = key;
    state->keys = policy_keys_ref(api->keys);
    req->on_over = let_keys_go;
}

/* False: the request was answered. */
static bool authorise(struct api *api, struct http_request *req, struct api_state *state)
{
    if (state->route->open || !api_needs_key(api))
        return true;
    strv secret = policy_key_from_headers(http_request_header(req, "Authorization"),
                                          http_request_header(req, "x-api-key"));
    const struct policy_key *key = secret.ptr != NULL
                                       ? policy_auth(api->keys, secret)
                                       : api_login_key(api, req, &state->login_until_us);
    if (key == NULL && state->route->socket) {
        state->shut = SOCKET_NOT_LOGGED_IN;
        return !guesses_too_often(api, req, secret);
    }
    if (key == NULL)
        return api_refuse_secret(api, req, secret);
    api_take_key(api, req, key);
    return true;
}

/* Is the caller's key good for this, now? False: the request was answered. */
static bool key_is_good(struct api *api, struct http_request *req)
{
    struct api_state *state = api_state(req);
    const struct policy_key *key = state->key;
    enum llm_dialect door = api_door(req);
    if (key == NULL)
        return true;
    struct err err = ERR_INIT;
    bool admitted = policy_key_admits(key, state->route->run != NULL ? (int)door : -1,
                                      io_wall_us(api->env->loop), &err);
    if (!admitted && state->route->socket)
        state->shut = err.code == LLM_ERR_UNAUTHORIZED ? SOCKET_NOT_LOGGED_IN : SOCKET_FORBIDDEN;
    else if (!admitted)
        return api_turn_down(api, req, door, err.code, err.text);
    if (state->route->admin && !key->rules.admin)
        return api_turn_down(api, req, door, LLM_ERR_FORBIDDEN,
                             "This API key may not read what is told of every caller.");
    return true;
}

bool api_on_head(void *arg, struct http_request *req)
{
    struct api *api = arg;
    enum llm_dialect door = api_door(req);
    struct api_state *state = begin(api, req);
    if (state == NULL)
        return api_turn_down(api, req, door, LLM_ERR_INTERNAL, NULL);
    if (!host_is_ours(api, req))
        return api_turn_down(
            api, req, door, LLM_ERR_FORBIDDEN,
            "This Host is not served here; the option `hosts` lists the names that are.");
    strv origin = http_request_header(req, "Origin");
    if (origin.ptr != NULL) {
        if (!listed(api->origins, origin) && !api_is_own_page(origin, req))
            return api_turn_down(api, req, door, LLM_ERR_FORBIDDEN,
                                 "Requests from this Origin are not answered; the option `origins` "
                                 "lists those that are.");
        http_reply_header(req, "Access-Control-Allow-Origin", origin);
        http_reply_header(req, "Vary", STRV("Origin"));
        if (req->method == HTTP_OPTIONS)
            return answer_preflight(req);
    }
    bool path_known;
    state->route = find_route(api, req, &path_known);
    if (path_known && state->route == NULL)
        put_allow(api, req);
    if (state->route == NULL)
        return api_turn_down(api, req, door,
                             path_known ? LLM_ERR_METHOD_NOT_ALLOWED : LLM_ERR_NOT_FOUND, NULL);
    return authorise(api, req, state) && key_is_good(api, req);
}

/* What asks no model and is work all the same counts as a request, too. False: the request was answered. */
static bool within_limits(struct api *api, struct http_request *req)
{
    struct exchange_env *env = api->env;
    struct policy_pass pass;
    struct err err = ERR_INIT;
    int64_t wait_us = 0;
    policy_pass_init(&pass, env->limits, &env->snapshot->quotas, api_state(req)->key,
                     strv_of(req->peer));
    bool ok = policy_pass_enter(&pass, 0, io_now_us(env->loop), &wait_us, &err);
    policy_pass_leave(&pass, 0);
    if (!ok) {
        metric_add(env->metrics, METRIC_BAD_REQUESTS, LLM_ERR_RATE_LIMITED, 1);
        api_error(req, api_door(req), LLM_ERR_RATE_LIMITED, 0, strv_of(err.text), STRV_NONE,
                  (uint64_t)(wait_us + 999999) / 1000000);
    }
    return ok;
}

void api_on_request(void *arg, struct http_request *req)
{
    struct api *api = arg;
    const struct api_route *route = api_state(req)->route;
    if (route->counted && !within_limits(api, req))
        return;
    if (route->run != NULL)
        route->run(api, req, route);
    else
        route->read(api->admin, req);
}
