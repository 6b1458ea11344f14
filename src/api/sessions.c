/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions - conversations that are kept, over HTTP: listed and searched, read, renamed, deleted, taken along.
 *
 *   GET    /chat/sessions?q=&limit=&before=            a page of them
 *   GET    /chat/sessions/{id}                         one, with all its branches
 *   GET    /chat/sessions/{id}/export?format=markdown  the path that counts, as a file for people; or json: all of it
 *   POST   /chat/sessions/{id} {"title":"..."}         another title
 *   DELETE /chat/sessions/{id}                         gone for good
 *
 * Everybody has his own: who he is, api_user() says. The file is read by its thread; what may be alive on some worker is
 * changed there. Neither titles nor texts reach a log.
 */
#include "api/api_int.h"
#include "api/scheduler_frames.h"
#include "api/target.h"
#include "api/wait.h"

#define TREE_BYTES_MAX   ((size_t)512 << 20)
#define ANSWER_BYTES_MAX ((size_t)512 << 20)
#define LIST_DEFAULT     50
#define LIST_MAX         1000
#define SEARCH_MAX       200
#define TITLE_MAX        200
#define NAME_MAX_BYTES   80 /* of a file's name */

enum form { FORM_WHOLE, FORM_JSON, FORM_MARKDOWN, FORM_SCHEDULER };

struct session_wait {
    struct api_wait wait; /* first */
    enum form form;
};

static struct session_wait *wait_new(struct http_request *req)
{
    struct session_wait *w = mem_zalloc(sizeof *w);
    if (w != NULL)
        api_wait_begin(&w->wait, req);
    return w;
}

/* The request that waited, NULL if its caller has left. */
static struct http_request *wait_over(struct session_wait *w)
{
    struct http_request *req = api_wait_over(&w->wait);
    mem_free(w);
    return req;
}

/* Nothing was asked: too much waits for the file, or no memory. */
static void not_asked(struct http_request *req, struct session_wait *w)
{
    if (w != NULL)
        wait_over(w);
    api_error(req, LLM_NATIVE, LLM_ERR_OVERLOADED, 0, STRV("The conversations cannot be read now."),
              STRV_NONE, 1);
}

static void refuse_kept(struct http_request *req, enum chat_kept how)
{
    if (how == CHAT_KEPT_FOREIGN)
        api_error(req, LLM_NATIVE, LLM_ERR_FORBIDDEN, 0, STRV("It is another user's conversation."),
                  STRV_NONE, 0);
    else if (how == CHAT_KEPT_NONE)
        api_error(req, LLM_NATIVE, LLM_ERR_NOT_FOUND, 0, STRV("There is no such conversation."),
                  STRV_NONE, 0);
    else
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0,
                  STRV("The conversation cannot be read; the log says why."), STRV_NONE, 0);
}

static void reply(struct http_request *req, const char *type, struct buf *b)
{
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    http_reply_header(req, "X-Content-Type-Options", STRV("nosniff"));
    if (b->failed)
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0, STRV_NONE, STRV_NONE, 0);
    else
        http_reply_whole(req, 200, type, buf_view(b));
}

/* ---- the list ---- */

static bool bad_query(struct err *err, const char *field, const char *what)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, field, "%s: %s", field, what);
}

/* "2026-11-23T10:00:00.123Z", as `last_activity` has it. */
static bool read_time(strv text, int64_t *us, struct arena *arena)
{
    strv rest = text, whole;
    uint64_t ms = 0;
    if (!strv_cut(&rest, '.', &whole))
        return false;
    if (rest.ptr != NULL) {
        if (rest.len != 4 || rest.ptr[3] != 'Z' || !strv_u64((strv){rest.ptr, 3}, 0, 999, &ms))
            return false;
        char *copy = arena_printf(arena, STRV_FMT "Z", STRV_ARG(whole));
        whole = strv_of(copy);
    }
    int64_t s = whole.ptr != NULL ? timefmt_read_rfc3339(whole) : -1;
    *us = s * 1000000 + (int64_t)ms * 1000;
    return s >= 0;
}

static bool read_query(struct http_request *req, strv *search, uint64_t *limit, int64_t *before,
                       struct err *err)
{
    strv text, number;
    struct arena *arena = &req->arena;
    *limit = LIST_DEFAULT;
    *before = 0;
    if (!target_query(req->query, "q", arena, search) || search->len > SEARCH_MAX)
        return bad_query(err, "q", "at most 200 bytes of text are expected");
    if (!target_query(req->query, "limit", arena, &number) ||
        (number.ptr != NULL && !strv_u64(number, 1, LIST_MAX, limit)))
        return bad_query(err, "limit", "a number from 1 to 1000 is expected");
    if (!target_query(req->query, "before", arena, &text) ||
        (text.ptr != NULL && !read_time(text, before, arena)))
        return bad_query(err, "before", "a time such as 2026-11-23T10:00:00.000Z is expected");
    return true;
}

static void on_list(void *arg, enum chat_kept how, strv json)
{
    struct http_request *req = wait_over(arg);
    if (req == NULL)
        return;
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (how == CHAT_KEPT_OK)
        http_reply_whole(req, 200, "application/json", json);
    else
        api_error(req, LLM_NATIVE, LLM_ERR_INTERNAL, 0,
                  STRV("The conversations cannot be read; the log says why."), STRV_NONE, 0);
}

void api_sessions(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct chat_user user;
    strv search;
    uint64_t limit;
    int64_t before;
    if (!read_query(req, &search, &limit, &before, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    if (api->keep == NULL) {
        http_reply_header(req, "Cache-Control", STRV("no-store"));
        http_reply_whole(req, 200, "application/json", STRV("{\"sessions\":[]}"));
        return;
    }
    api_user(api, req, &user);
    struct session_wait *w = wait_new(req);
    if (w == NULL || !chat_keep_list(api->keep, api->env->loop, user.id, search, (size_t)limit,
                                     before, on_list, w))
        not_asked(req, w);
}

/* ---- one of them ---- */

static bool put_session(const struct chat_head *head, struct chat_tree *tree, struct buf *out)
{
    buf_put_char(out, '{');
    chat_head_json(head, out);
    if (head->system.len > 0) {
        buf_put_cstr(out, ",\"system\":");
        json_put_str(out, head->system);
    }
    buf_printf(out, ",\"leaf\":%u,\"messages\":", (unsigned)head->leaf);
    bool ok = chat_tree_json(tree, true, out);
    buf_put_char(out, '}');
    return ok;
}

/* The path that counts, as the scheduler's client reads it. */
static bool put_history(const struct chat_head *head, struct chat_tree *tree, struct buf *out)
{
    struct buf path;
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    buf_init(&path, ANSWER_BYTES_MAX);
    arena_init(&arena, 65536, 4 * ANSWER_BYTES_MAX);
    buf_put_cstr(out, "{\"session_id\":");
    json_put_str(out, strv_of(head->id));
    buf_put_cstr(out, ",\"messages\":");
    bool ok = chat_tree_json(tree, false, &path) &&
              json_read(&doc, buf_view(&path), &arena, 0, &err) &&
              scheduler_messages(doc.root, out, &arena) && buf_put_char(out, '}');
    arena_fini(&arena);
    buf_fini(&path);
    return ok;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A file's name from a title, which may hold anything: ASCII alone in the first form, for old programs and file systems;
 * the second (RFC 8187) keeps other letters. Neither has a path, a dot in front, or a quote. */
static void put_file_name(const struct chat_head *head, const char *ending, struct buf *out)
{
    strv title = utf8_cut(strv_trim(head->title), NAME_MAX_BYTES);
    size_t begin, letters = 0;
    bool other = false;
    buf_put_cstr(out, "attachment; filename=\"");
    begin = buf_len(out);
    for (size_t i = 0; i < title.len; i++) {
        char c = title.ptr[i];
        other = other || (unsigned char)c >= 0x80;
        letters += is_name_char(c);
        if (is_name_char(c))
            buf_put_char(out, c);
        else if (buf_len(out) > begin && buf_view(out).ptr[buf_len(out) - 1] != '-')
            buf_put_char(out, '-');
    }
    if (letters == 0) {
        buf_rewind(out, begin);
        buf_put_cstr(out, "conversation");
    }
    buf_printf(out, "%s\"", ending);
    if (!other)
        return;
    buf_put_cstr(out, "; filename*=UTF-8''");
    for (size_t i = 0; i < title.len; i++) {
        unsigned char c = (unsigned char)title.ptr[i];
        if (c >= 0x80)
            buf_printf(out, "%%%02X", c);
        else
            buf_put_char(out, is_name_char((char)c) ? (char)c : '-');
    }
    buf_put_cstr(out, ending);
}

static void reply_session(struct http_request *req, enum form form, const struct chat_head *head,
                          struct chat_tree *tree)
{
    struct buf b, name;
    buf_init(&b, ANSWER_BYTES_MAX);
    buf_init(&name, 1024);
    bool ok = form == FORM_MARKDOWN    ? chat_tree_markdown(tree, head->title, &b)
              : form == FORM_SCHEDULER ? put_history(head, tree, &b)
                                       : put_session(head, tree, &b);
    b.failed = b.failed || !ok;
    if ((form == FORM_MARKDOWN || form == FORM_JSON) && !b.failed) {
        put_file_name(head, form == FORM_MARKDOWN ? ".md" : ".json", &name);
        http_reply_header(req, "Content-Disposition",
                          name.failed ? STRV("attachment") : buf_view(&name));
    }
    reply(req, form == FORM_MARKDOWN ? "text/markdown; charset=utf-8" : "application/json", &b);
    buf_fini(&name);
    buf_fini(&b);
}

static void on_load(void *arg, enum chat_kept how, const struct chat_head *head,
                    const strv *messages, size_t n)
{
    enum form form = ((struct session_wait *)arg)->form;
    struct http_request *req = wait_over(arg);
    struct err err = ERR_INIT;
    if (req == NULL)
        return;
    if (how != CHAT_KEPT_OK) {
        refuse_kept(req, how);
        return;
    }
    struct chat_tree *tree = chat_tree_new(TREE_BYTES_MAX);
    bool ok = tree != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = chat_tree_read(tree, messages[i], &err);
    ok = ok && (head->leaf == 0 || chat_tree_select(tree, head->leaf));
    if (ok)
        reply_session(req, form, head, tree);
    else
        refuse_kept(req, CHAT_KEPT_FAILED);
    chat_tree_free(tree);
}

#define EXPORT  STRV("/export")
#define HISTORY STRV("/history") /* the scheduler's */

/* The name in the path, with or without its route's last part. False: it can be none, and the request was answered. */
static bool read_id(struct http_request *req, const struct api_route *route, bool *export, strv *id)
{
    bool ok = target_name(route->path, req->path, &req->arena, id);
    strv last = route->scheduler ? HISTORY : EXPORT;
    *export = ok && strv_ends(*id, last);
    if (*export)
        id->len -= last.len;
    ok = ok && (*export || !route->scheduler || req->method == HTTP_DELETE);
    ok = ok && id->len > 0 && id->len <= CHAT_SESSION_MAX;
    for (size_t i = 0; ok && i < id->len; i++)
        ok = (is_name_char(id->ptr[i]) && id->ptr[i] != '_') || id->ptr[i] == '-';
    char *copy = ok ? arena_cstr(&req->arena, *id) : NULL;
    *id = strv_of(copy);
    if (copy == NULL)
        refuse_kept(req, CHAT_KEPT_NONE);
    return copy != NULL;
}

void api_session(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct chat_user user;
    bool export;
    strv id, format;
    if (!read_id(req, route, &export, &id))
        return;
    if (!target_query(req->query, "format", &req->arena, &format) ||
        (format.ptr != NULL && !strv_eq_cstr(format, "json") &&
         !strv_eq_cstr(format, "markdown"))) {
        bad_query(&err, "format", "markdown or json is expected");
        api_refuse(api, req, route->door, &err);
        return;
    }
    if (api->keep == NULL) {
        refuse_kept(req, CHAT_KEPT_NONE);
        return;
    }
    api_user(api, req, &user);
    struct session_wait *w = wait_new(req);
    if (w != NULL)
        w->form = route->scheduler               ? FORM_SCHEDULER
                  : !export                      ? FORM_WHOLE
                  : strv_eq_cstr(format, "json") ? FORM_JSON
                                                 : FORM_MARKDOWN;
    if (w == NULL || !chat_keep_load(api->keep, api->env->loop, user.id, id.ptr, on_load, w))
        not_asked(req, w);
}

/* ---- renamed and deleted ---- */

static bool changed(struct http_request *req, enum chat_kept how)
{
    if (how == CHAT_KEPT_FAILED)
        api_error(req, LLM_NATIVE, LLM_ERR_INVALID_REQUEST, 409,
                  STRV("The conversation is being answered, or its file cannot be written now; try "
                       "again."),
                  STRV_NONE, 1);
    else if (how != CHAT_KEPT_OK)
        refuse_kept(req, how);
    return how == CHAT_KEPT_OK;
}

static void on_renamed(void *arg, enum chat_kept how)
{
    struct http_request *req = wait_over(arg);
    if (req != NULL && changed(req, how))
        http_reply_whole(req, 200, "application/json", STRV("{\"renamed\":true}"));
}

static void on_deleted(void *arg, enum chat_kept how)
{
    struct http_request *req = wait_over(arg);
    if (req != NULL && changed(req, how))
        http_reply_whole(req, 204, NULL, STRV(""));
}

static bool read_title(struct http_request *req, strv *title, struct err *err)
{
    struct json doc;
    if (!dialect_root(&doc, req->body, &req->arena, err))
        return false;
    *title = strv_trim(json_get_str(doc.root, "title"));
    bool ok = title->len > 0 && title->len <= TITLE_MAX;
    for (size_t i = 0; ok && i < title->len; i++)
        ok = (unsigned char)title->ptr[i] >= 0x20 && title->ptr[i] != 0x7f;
    return ok || err_field(err, LLM_ERR_INVALID_REQUEST, "title",
                           "title: 1 to 200 bytes in one line are expected");
}

void api_session_rename(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct chat_user user;
    bool export;
    strv id, title;
    if (!read_id(req, route, &export, &id))
        return;
    if (!read_title(req, &title, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    if (export || api->room == NULL) {
        refuse_kept(req, CHAT_KEPT_NONE);
        return;
    }
    api_user(api, req, &user);
    struct session_wait *w = wait_new(req);
    if (w == NULL || !chat_room_rename(api->room, user.id, id.ptr, title, on_renamed, w))
        not_asked(req, w);
}

void api_session_delete(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct chat_user user;
    bool export;
    strv id;
    if (!read_id(req, route, &export, &id))
        return;
    if (export || api->room == NULL) {
        refuse_kept(req, CHAT_KEPT_NONE);
        return;
    }
    api_user(api, req, &user);
    struct session_wait *w = wait_new(req);
    if (w == NULL || !chat_room_delete(api->room, user.id, id.ptr, on_deleted, w))
        not_asked(req, w);
}
