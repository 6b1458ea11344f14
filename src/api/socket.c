/* SPDX-License-Identifier: Apache-2.0 */
#include "api/socket.h"

#include <stdio.h>

#include "api/scheduler_frames.h"
#include "api/target.h"

#define PING_MS  25000
#define CLOSE_MS 5000
#define HELD_MAX 16                /* messages that wait for the application's word */
#define SLACK    ((size_t)1 << 20) /* unsent frames besides one whole history */

enum state { SOCKET_ASKING, SOCKET_OPEN, SOCKET_LEAVING, SOCKET_GONE };

struct api_socket {
    struct list node; /* in api->sockets.all */
    struct api *api;
    struct ws *ws; /* NULL once closed */
    struct chat_seat *seat;
    struct whois_question *question;
    struct chat_sit sit;      /* but the model, which is the request's */
    struct policy_keys *keys; /* held; sit.user.key is one of them */
    enum state state;
    bool by_token;
    bool counted;    /* in the crowd */
    bool answering;  /* between `begin` and its end */
    struct buf held; /* texts that wait, each with its length before it */
    size_t n_held;
};

/* ---- the end ---- */

/* Once neither the connection nor the seat knows of it. */
static void free_when_alone(struct api_socket *s)
{
    struct api *api = s->api;
    if (s->ws != NULL || s->seat != NULL)
        return;
    whois_cancel(s->question);
    if (s->counted)
        crowd_leave(api->sockets.crowd, s->sit.user.id);
    buf_fini(&s->held);
    if (s->keys != NULL)
        policy_keys_unref(s->keys);
    list_del(&s->node);
    api->sockets.n--;
    metric_add(api->env->metrics, METRIC_SOCKETS, 0, -1);
    mem_free(s);
}

static void send_away(struct api_socket *s, unsigned code, const char *reason)
{
    s->state = SOCKET_GONE;
    whois_cancel(s->question);
    s->question = NULL;
    if (s->ws != NULL)
        ws_close(s->ws, code, reason);
}

/* Not in the middle of an answer. */
static void let_leave(struct api_socket *s)
{
    s->state = SOCKET_LEAVING;
    if (!s->answering)
        send_away(s, WS_GOING_AWAY, "the rules of this key were changed");
}

/* ---- frames to the peer ---- */

/* Every frame begins with its type (docs/chat.md). */
static strv type_of(strv frame)
{
    static const char before[] = "{\"type\":\"";
    strv rest = strv_starts(frame, STRV(before)) ? strv_from(frame, sizeof before - 1) : STRV(""),
         type;
    return strv_cut(&rest, '"', &type) ? type : STRV("");
}

/* No text inside of a string can look like this: its quotes are escaped. */
static bool has_number(strv frame)
{
    return strv_contains_nocase(frame, STRV("\"n\":"));
}

/* Does an answer run in the session, as far as this socket was told? */
static void follow_answer(struct api_socket *s, strv type, strv frame)
{
    if (strv_eq_cstr(type, "begin"))
        s->answering = true;
    else if (strv_eq_cstr(type, "connected"))
        s->answering = strv_contains_nocase(frame, STRV("\"running\":true"));
    else if (strv_eq_cstr(type, "complete") || strv_eq_cstr(type, "interrupted") ||
             (strv_eq_cstr(type, "error") && has_number(frame)))
        s->answering = false;
}

static void put_frame(struct api_socket *s, strv type, strv frame)
{
    struct buf b;
    bool sent;
    if (!s->by_token || !strv_eq_cstr(type, "history")) {
        sent = ws_send(s->ws, frame);
    } else {
        buf_init(&b, 2 * frame.len + 1024);
        sent = scheduler_history(frame, &b) && ws_send(s->ws, buf_view(&b));
        buf_fini(&b);
    }
    if (!sent)
        send_away(s, WS_TRY_LATER, "what was sent is not read");
}

static void on_seat_frame(void *arg, struct chat_frame *f)
{
    struct api_socket *s = arg;
    strv frame = {f->text, f->len}, type = type_of(frame);
    bool before = s->answering;
    follow_answer(s, type, frame);
    if (s->state == SOCKET_GONE || s->ws == NULL)
        return;
    if (!s->by_token || scheduler_shows(type, before, has_number(frame)))
        put_frame(s, type, frame);
    if (s->state == SOCKET_LEAVING)
        let_leave(s);
}

static void on_seat_shut(void *arg, unsigned code, const char *reason)
{
    send_away(arg, code, reason);
}

static void on_seat_risen(void *arg)
{
    struct api_socket *s = arg;
    s->seat = NULL;
    free_when_alone(s);
}

/* ---- texts from the peer ---- */

static bool is_interrupt(strv text)
{
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, 65536);
    bool is = json_read(&doc, text, &arena, 0, &err) &&
              strv_eq_cstr(json_get_str(doc.root, "type"), "interrupt");
    arena_fini(&arena);
    return is;
}

static void hold(struct api_socket *s, strv text)
{
    if (s->n_held++ == HELD_MAX || !buf_put(&s->held, &text.len, sizeof text.len) ||
        !buf_put_strv(&s->held, text))
        send_away(s, WS_TRY_LATER, "too many messages before the login was looked at");
}

static void say(struct api_socket *s, strv text)
{
    if (!chat_say(s->seat, text))
        send_away(s, WS_TRY_LATER, "too many messages wait");
}

static void on_text(void *arg, strv text)
{
    struct api_socket *s = arg;
    if (s->state == SOCKET_ASKING)
        hold(s, text);
    else if (s->state == SOCKET_OPEN || (s->state == SOCKET_LEAVING && is_interrupt(text)))
        say(s, text);
}

static void on_closed(void *arg, unsigned code)
{
    struct api_socket *s = arg;
    (void)code;
    s->ws = NULL;
    s->state = SOCKET_GONE;
    if (s->seat != NULL)
        chat_rise(s->seat);
    free_when_alone(s);
}

/* ---- the beginning ---- */

static void say_what_was_held(struct api_socket *s)
{
    while (s->state == SOCKET_OPEN && buf_len(&s->held) > 0) {
        strv text;
        memcpy(&text.len, buf_view(&s->held).ptr, sizeof text.len);
        buf_eat(&s->held, sizeof text.len);
        text.ptr = buf_view(&s->held).ptr;
        say(s, text);
        buf_eat(&s->held, text.len);
    }
    buf_fini(&s->held);
}

/* He may. */
static void sit(struct api_socket *s)
{
    static const struct chat_seat_ops ops = {on_seat_frame, on_seat_shut, on_seat_risen};
    struct api *api = s->api;
    s->counted =
        crowd_enter(api->sockets.crowd, s->sit.user.id, (size_t)api->sockets.conf->of_user);
    if (!s->counted) {
        send_away(s, WS_TRY_LATER, "too many sockets of this user");
        return;
    }
    s->seat = chat_sit(api->room, &s->sit, &ops, s);
    if (s->seat == NULL) {
        send_away(s, WS_TRY_LATER, "no memory");
        return;
    }
    s->state = SOCKET_OPEN;
    say_what_was_held(s);
}

static void on_verdict(void *arg, enum whois_verdict verdict, const char *name)
{
    struct api_socket *s = arg;
    s->question = NULL;
    snprintf(s->sit.user.name, sizeof s->sit.user.name, "%s", name);
    if (verdict == WHOIS_MAY)
        sit(s);
    else if (verdict == WHOIS_MAY_NOT)
        send_away(s, SOCKET_FORBIDDEN, "this role may not chat");
    else if (verdict == WHOIS_BAD_TOKEN)
        send_away(s, SOCKET_NOT_LOGGED_IN, "the token is not valid");
    else
        send_away(s, WS_TRY_LATER, "the application does not answer");
}

struct whois_question *socket_whois(struct api *api, strv token, const struct token *claims,
                                    whois_fn fn, void *arg)
{
    struct api_sockets *all = &api->sockets;
    if (all->whois == NULL)
        all->whois = whois_new(api->env);
    return all->whois != NULL
               ? whois_ask(all->whois, &all->conf->scheduler->whois, token, claims, fn, arg)
               : NULL;
}

static void ask(struct api_socket *s, const struct socket_wish *wish)
{
    s->question = socket_whois(s->api, wish->token, &wish->claims, on_verdict, s);
    if (s->question == NULL)
        send_away(s, WS_TRY_LATER, "no room");
}

static struct api_socket *socket_new(struct api *api, const struct socket_wish *wish)
{
    struct api_socket *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->api = api;
    s->sit = wish->sit;
    s->by_token = wish->by_token;
    s->keys = wish->sit.user.keys != NULL ? policy_keys_ref(wish->sit.user.keys) : NULL;
    buf_init(&s->held, api->chat->message_bytes_max + HELD_MAX * sizeof(size_t));
    list_add_tail(&api->sockets.all, &s->node);
    api->sockets.n++;
    metric_add(api->env->metrics, METRIC_SOCKETS, 0, 1);
    return s;
}

static void taken(struct http_request *req, struct io_stream *stream, strv early)
{
    static const struct ws_ops ops = {on_text, NULL, on_closed};
    const struct socket_wish *wish = api_state(req)->wish;
    struct api *api = api_state(req)->api;
    const struct ws_opts opts = {.message_bytes_max = api->chat->message_bytes_max,
                                 .pending_bytes_max = 2 * api->chat->session_bytes_max + SLACK,
                                 .ping_ms = PING_MS,
                                 .idle_ms = api->sockets.conf->idle_ms,
                                 .close_ms = CLOSE_MS};
    struct api_socket *s = socket_new(api, wish);
    if (s == NULL) {
        io_stream_abort(stream);
        return;
    }
    s->ws = ws_new(api->env->loop, stream, early, &opts, &ops, s);
    if (s->ws == NULL)
        free_when_alone(s);
    else if (wish->code != 0)
        send_away(s, wish->code, wish->reason);
    else if (wish->by_token)
        ask(s, wish);
    else
        sit(s);
}

void socket_open(struct api *api, struct http_request *req, const struct socket_wish *wish)
{
    struct api_state *state = api_state(req);
    int status = 0;
    const char *why = ws_refusal(req, &status);
    if (why != NULL) {
        api_error(req, LLM_NATIVE, LLM_ERR_INVALID_REQUEST, status, strv_of(why), STRV_NONE, 0);
        return;
    }
    if (api->room == NULL || api->env->leaving || api->sockets.n >= api->sockets.max) {
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_OVERLOADED, NULL);
        return;
    }
    state->wish = arena_alloc(&req->arena, sizeof *wish);
    if (state->wish == NULL) {
        api_turn_down(api, req, LLM_NATIVE, LLM_ERR_INTERNAL, NULL);
        return;
    }
    *state->wish = *wish;
    state->api = api;
    ws_upgrade(req, taken);
}

/* ---- /ws/{session} ---- */

bool socket_name_ok(strv name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-'))
            return false;
    }
    return name.len >= 8 && name.len <= CHAT_SESSION_MAX;
}

/* What the path and the query say. */
static bool read_wish(struct http_request *req, const struct api_route *route,
                      struct socket_wish *wish, struct err *err)
{
    strv name, mode, model;
    if (!target_name(route->path, req->path, &req->arena, &name) ||
        !target_query(req->query, "mode", &req->arena, &mode) ||
        !target_query(req->query, "model", &req->arena, &model))
        return err_set(err, LLM_ERR_INVALID_REQUEST, "the address is not valid");
    if (!strv_eq_cstr(name, "new") && !socket_name_ok(name))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "session",
                         "session: expected new, or 8 to 64 letters, digits and -");
    if (mode.len > 0 && !policy_mode_parse(mode, &wish->sit.mode))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "mode",
                         "mode: expected local, hybrid or cloud");
    wish->sit.model = model.ptr != NULL ? model : STRV("");
    if (!strv_eq_cstr(name, "new"))
        snprintf(wish->sit.session, sizeof wish->sit.session, STRV_FMT, STRV_ARG(name));
    return true;
}

void api_socket(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct socket_wish wish = {.code = api_state(req)->shut, .reason = "not logged in"};
    struct err err = ERR_INIT;
    if (!read_wish(req, route, &wish, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    if (wish.code == SOCKET_FORBIDDEN)
        wish.reason = "this key may not chat";
    api_user(api, req, &wish.sit.user);
    socket_open(api, req, &wish);
}

/* ---- all of them ---- */

void api_sockets_init(struct api *api)
{
    list_init(&api->sockets.all);
}

/* Is the key that it came with still the same? */
static const struct policy_key *key_of_now(const struct api *api, const struct policy_key *key)
{
    for (size_t i = 0; i < api->keys->n; i++) {
        const struct policy_key *now = &api->keys->items[i];
        if (strcmp(now->id, key->id) == 0 &&
            memcmp(now->digest, key->digest, sizeof key->digest) == 0)
            return now;
    }
    return NULL;
}

static bool same_rules(const struct policy_rules *a, const struct policy_rules *b)
{
    struct buf one, two;
    buf_init(&one, 8192);
    buf_init(&two, 8192);
    policy_rules_write(a, &one);
    policy_rules_write(b, &two);
    bool same = !one.failed && !two.failed && strv_eq(buf_view(&one), buf_view(&two));
    buf_fini(&one);
    buf_fini(&two);
    return same;
}

/* A session holds the rules that its user came with: with others he is to come again. */
void api_sockets_keys(struct api *api)
{
    struct list *at, *tmp;
    list_for_each(at, tmp, &api->sockets.all)
    {
        struct api_socket *s = list_entry(at, struct api_socket, node);
        const struct policy_key *key = s->sit.user.key, *now;
        if (s->state == SOCKET_GONE || s->by_token)
            continue;
        now = key != NULL ? key_of_now(api, key) : NULL;
        if (key != NULL ? now == NULL : api_needs_key(api))
            send_away(s, SOCKET_NOT_LOGGED_IN, "not logged in");
        else if (key != NULL && !same_rules(&key->rules, &now->rules))
            let_leave(s);
    }
}

/* Those in a session are the session's matter. */
void api_sockets_drain(struct api *api)
{
    struct list *at, *tmp;
    list_for_each(at, tmp, &api->sockets.all)
    {
        struct api_socket *s = list_entry(at, struct api_socket, node);
        if (s->state == SOCKET_ASKING)
            send_away(s, WS_GOING_AWAY, "the router stops");
    }
}

/* Without a word; seats rise, and those that nobody tells of it any more go as they are. */
void api_sockets_fini(struct api *api)
{
    struct list *at, *tmp;
    if (api->sockets.all.next == NULL) /* its worker was never made */
        return;
    list_for_each(at, tmp, &api->sockets.all)
    {
        struct api_socket *s = list_entry(at, struct api_socket, node);
        bool open = s->ws != NULL;
        s->state = SOCKET_GONE;
        ws_free(s->ws);
        s->ws = NULL;
        if (s->seat != NULL && open)
            chat_rise(s->seat);
        free_when_alone(s);
    }
    whois_free(api->sockets.whois);
    api->sockets.whois = NULL;
}
