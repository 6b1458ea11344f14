/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page - the web pages: GET / for browsers, /chat, /operator and the files that they consist of.
 *
 *   page     chat.html, operator.html    asked for anew each time, for it names its files
 *   asset    everything else             has a digest of its bytes in its name, so it is kept for good
 *
 * They are open to everybody who reaches the listener: what they show comes from endpoints that ask who is there.
 *
 * The pages hold other people's words (models', tools', callers'), so what a browser may do with them is told as
 * narrowly as it goes: no script and no style but these files, no connection but to us, no frame around it.
 */
#include "api/page.h"
#include "api/api_int.h"
#include "api/target.h"

static const struct {
    const char *name, *value;
} fence[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy",
     "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"},
    {"Vary", "Accept-Encoding"},
};

/* ---- lists in headers ---- */

/* "gzip;q=0" says that it is not wanted. */
static bool is_refused(strv params)
{
    params = strv_trim(params);
    if (params.len < 3 || (params.ptr[0] != 'q' && params.ptr[0] != 'Q') || params.ptr[1] != '=')
        return false;
    for (size_t i = 2; i < params.len; i++)
        if (params.ptr[i] != '0' && params.ptr[i] != '.')
            return false;
    return true;
}

/* Is it an item of the comma-separated list, and not refused? */
static bool has_item(strv list, strv wanted)
{
    while (list.len > 0) {
        size_t end = 0;
        while (end < list.len && list.ptr[end] != ',')
            end++;
        strv item = {list.ptr, end};
        list = strv_from(list, end < list.len ? end + 1 : end);
        size_t name = 0;
        while (name < item.len && item.ptr[name] != ';')
            name++;
        if (strv_eq_nocase(strv_trim((strv){item.ptr, name}), wanted))
            return name == item.len || !is_refused(strv_from(item, name + 1));
    }
    return false;
}

enum page_form page_form_for(strv accept_encoding)
{
    return has_item(accept_encoding, STRV("br"))     ? PAGE_BROTLI
           : has_item(accept_encoding, STRV("gzip")) ? PAGE_GZIP
                                                     : PAGE_PLAIN;
}

bool page_type_wanted(strv accept, strv type)
{
    return has_item(accept, type);
}

/* A proxy that changes a body makes the tag weak; to us it is the same (RFC 9110 13.1.2). */
bool page_tag_listed(strv if_none_match, strv tag)
{
    strv list = strv_trim(if_none_match);
    if (strv_eq(list, STRV("*")))
        return true;
    while (list.len > 0) {
        size_t end = 0;
        while (end < list.len && list.ptr[end] != ',')
            end++;
        strv item = strv_trim((strv){list.ptr, end});
        list = strv_from(list, end < list.len ? end + 1 : end);
        if (strv_starts(item, STRV("W/")))
            item = strv_from(item, 2);
        if (strv_eq(item, tag))
            return true;
    }
    return false;
}

/* ---- answers ---- */

static const struct page_file *find(strv name)
{
    for (size_t i = 0; i < page_n_files; i++)
        if (strv_eq(strv_of(page_files[i].name), name))
            return &page_files[i];
    return NULL;
}

static void send_file(struct http_request *req, const struct page_file *file, strv cache)
{
    static const char *const codings[PAGE_FORMS] = {NULL, "gzip", "br"};
    enum page_form form = page_form_for(http_request_header(req, "Accept-Encoding"));
    char tag[64];
    int n = snprintf(tag, sizeof tag, "\"%s-%d\"", file->digest, (int)form);
    http_reply_header(req, "ETag", (strv){tag, (size_t)n});
    http_reply_header(req, "Cache-Control", cache);
    for (size_t i = 0; i < sizeof fence / sizeof *fence; i++)
        http_reply_header(req, fence[i].name, strv_of(fence[i].value));
    if (page_tag_listed(http_request_header(req, "If-None-Match"), (strv){tag, (size_t)n})) {
        http_reply_whole(req, 304, NULL, STRV(""));
        return;
    }
    if (codings[form] != NULL)
        http_reply_header(req, "Content-Encoding", strv_of(codings[form]));
    http_reply_whole(req, 200, file->type, file->bytes[form]);
}

static void send_page(struct api *api, struct http_request *req, const struct api_route *route,
                      const char *name)
{
    const struct page_file *file = api->page ? find(strv_of(name)) : NULL;
    if (file == NULL)
        api_error(req, route->door, LLM_ERR_NOT_FOUND, 0, STRV_NONE, STRV_NONE, 0);
    else
        send_file(req, file, STRV("no-cache"));
}

void api_page_chat(struct api *api, struct http_request *req, const struct api_route *route)
{
    send_page(api, req, route, "chat.html");
}

void api_page_operator(struct api *api, struct http_request *req, const struct api_route *route)
{
    send_page(api, req, route, "operator.html");
}

void api_page_asset(struct api *api, struct http_request *req, const struct api_route *route)
{
    strv name = STRV_NONE;
    const struct page_file *file = NULL;
    if (api->page && target_name(route->path, req->path, &req->arena, &name))
        file = find(name);
    if (file == NULL || page_type_wanted(strv_of(file->type), STRV("text/html")))
        api_error(req, route->door, LLM_ERR_NOT_FOUND, 0, STRV_NONE, STRV_NONE, 0);
    else
        send_file(req, file, STRV("public, max-age=31536000, immutable"));
}

/* A browser says that it reads HTML. Ollama's clients probe for these very words. */
void api_root(struct api *api, struct http_request *req, const struct api_route *route)
{
    http_reply_header(req, "Vary", STRV("Accept"));
    if (api->page && page_type_wanted(http_request_header(req, "Accept"), STRV("text/html")))
        send_page(api, req, route, "chat.html");
    else
        http_reply_whole(req, 200, "text/plain; charset=utf-8", STRV("Ollama is running"));
}
