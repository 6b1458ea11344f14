/* SPDX-License-Identifier: Apache-2.0 */
#include "app/remote.h"

#include <stdlib.h>
#include <string.h>

#include "app/term.h"

#define CONNECT_MS     5000
#define HEAD_BYTES_MAX ((size_t)64 * 1024)

/* ---- where to ---- */

bool command_url(const char *listen, char *out, size_t size)
{
    const char *port = strrchr(listen, ':'), *scheme = "http";
    if (strncmp(listen, "unix:", 5) == 0)
        return snprintf(out, size, "%s", listen) < (int)size;
    if (port == NULL || strcmp(port, ":0") == 0)
        return false;
    if (strncmp(listen, "tls:", 4) == 0) {
        scheme = "https";
        listen += 4;
    }
    strv host = {listen, (size_t)(port - listen)};
    /* Every address of this machine: any will do. */
    if (host.len == 0 || strv_eq_cstr(host, "*") || strv_eq_cstr(host, "0.0.0.0"))
        host = STRV("127.0.0.1");
    else if (strv_eq_cstr(host, "[::]"))
        host = STRV("[::1]");
    return snprintf(out, size, "%s://" STRV_FMT "%s", scheme, STRV_ARG(host), port) < (int)size;
}

static int url_of_config(struct cli *cli, char *out, size_t size)
{
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    const char *const *a = config->listen;
    while (*a != NULL && strncmp(*a, "tls:", 4) == 0) /* one in clear is the shorter way */
        a++;
    const char *one = *a != NULL ? *a : config->listen[0];
    bool ok = one != NULL && command_url(one, out, size);
    config_free(config);
    if (!ok)
        term_error(
            "the configuration does not tell the router's port; name its address with --url");
    return ok ? EXIT_OK : EXIT_USAGE;
}

static int find_router(struct remote *r, struct cli *cli)
{
    struct err err = ERR_INIT;
    char url[512];
    const char *given = cli->flags[FLAG_URL], *variable = getenv("LLM_ROUTER_URL");
    if (given == NULL && variable != NULL && variable[0] != '\0')
        given = variable;
    int status = given == NULL ? url_of_config(cli, url, sizeof url) : EXIT_OK;
    if (status != EXIT_OK)
        return status;
    r->address = arena_cstr(&r->arena, strv_of(given != NULL ? given : url));
    if (r->address == NULL ||
        !http_url_parse(strv_of(r->address), &r->arena, &r->upstream.url, &err)) {
        term_error("%s", r->address == NULL ? "out of memory" : err.text);
        return r->address == NULL ? EXIT_FAILED : EXIT_USAGE;
    }
    r->upstream.unix_path = r->upstream.url.unix_path;
    r->upstream.key = "router";
    r->upstream.connect_ms = CONNECT_MS;
    if (r->upstream.url.tls)
        r->upstream.tls = io_tls_new(&(struct io_tls_opts){0}, &err);
    if (r->upstream.url.tls && r->upstream.tls == NULL) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

/* ---- who asks ---- */

void remote_header(struct remote *r, const char *name, strv value)
{
    r->headers[r->n_headers++] = (struct http_header){strv_of(name), value};
}

static int add_key(struct remote *r)
{
    const char *key = getenv("LLM_ROUTER_KEY");
    if (key == NULL || key[0] == '\0')
        return EXIT_OK;
    for (const char *c = key; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~') {
            term_error("$LLM_ROUTER_KEY holds something that no key has (a blank or a line end?)");
            return EXIT_USAGE;
        }
    char *value = arena_printf(&r->arena, "Bearer %s", key);
    if (value == NULL) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    remote_header(r, "Authorization", strv_of(value));
    return EXIT_OK;
}

int remote_open(struct remote *r, struct cli *cli)
{
    struct err err = ERR_INIT;
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, 4096, 1024 * 1024);
    int status = add_key(r);
    if (status == EXIT_OK)
        status = find_router(r, cli);
    if (status != EXIT_OK)
        return status;
    r->loop = io_loop_new(&err);
    r->client = r->loop != NULL ? http_client_new(r->loop, HEAD_BYTES_MAX) : NULL;
    if (r->client != NULL)
        return EXIT_OK;
    term_error("%s", err.set ? err.text : "out of memory");
    return EXIT_FAILED;
}

void remote_close(struct remote *r)
{
    http_call_cancel(r->call);
    if (r->client != NULL)
        http_client_free(r->client);
    if (r->loop != NULL)
        io_loop_free(r->loop);
    if (r->upstream.tls != NULL)
        io_tls_unref(r->upstream.tls);
    arena_fini(&r->arena);
}

/* ---- a call ---- */

bool remote_send(struct remote *r, enum http_method method, const char *path,
                 const char *content_type, strv body, const struct http_call_ops *ops, void *arg)
{
    struct http_call_spec spec = {
        .upstream = &r->upstream,
        .method = method,
        .path = path,
        .headers = r->headers,
        .n_headers = r->n_headers,
        .content_type = content_type,
        .body = body,
    };
    r->call = http_call(r->client, &spec, ops, arg);
    return r->call != NULL;
}

struct http_call *remote_begin(struct remote *r, enum http_method method, const char *path,
                               const struct http_header *headers, size_t n_headers, strv body,
                               const struct http_call_ops *ops, void *arg)
{
    struct http_call_spec spec = {
        .upstream = &r->upstream,
        .method = method,
        .path = path,
        .headers = headers,
        .n_headers = n_headers,
        .content_type = body.ptr != NULL ? "application/json" : NULL,
        .body = body,
    };
    return http_call(r->client, &spec, ops, arg);
}

void remote_unreachable(const struct remote *r, enum io_end why)
{
    if (why == IO_TLS)
        term_error("no safe connection to %s: TLS handshake or certificate", r->address);
    else
        term_error("no router at %s (%s): is it running? start it with: llm-router serve",
                   r->address, io_end_name(why));
}

void remote_refused(const struct remote *r, int status, strv detail, const char *retry_after)
{
    char wait[64] = "";
    if (retry_after[0] != '\0')
        snprintf(wait, sizeof wait, " (try again in %.32s s)", retry_after);
    if (detail.len > 0)
        term_error("refused (status %d): " STRV_FMT "%s", status, STRV_ARG(detail), wait);
    else
        term_error("%s answered with status %d%s", r->address, status, wait);
    if (status == 401)
        fputs("The key is taken from $LLM_ROUTER_KEY; make one with: llm-router keys add NAME\n",
              stderr);
}

/* ---- waiting for the whole ---- */

struct waiting {
    struct remote *r;
    struct buf *reply;
    int status;
    enum http_end how;
    enum io_end why;
    char retry_after[16];
};

static void on_head(void *arg, const struct http_answer *answer)
{
    struct waiting *w = arg;
    strv after = utf8_cut(http_answer_header(answer, "Retry-After"), sizeof w->retry_after - 1);
    w->status = answer->status;
    if (after.len > 0)
        memcpy(w->retry_after, after.ptr, after.len);
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct waiting *w = arg;
    (void)buf_put(w->reply, data, len); /* what failed shows in the buffer */
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct waiting *w = arg;
    w->r->call = NULL;
    w->how = how;
    w->why = why;
    io_loop_stop(w->r->loop);
}

/* The native door's {"detail":...}, OpenAI's and Anthropic's {"error":{"message":...}}. */
static strv words_of(struct remote *r, strv text)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, text, &r->arena, 0, &err))
        return STRV_NONE;
    yyjson_val *detail = json_get(doc.root, "detail");
    if (yyjson_is_arr(detail))
        return json_get_str(yyjson_arr_get_first(detail), "msg");
    if (detail != NULL)
        return json_str(detail);
    return json_get_str(json_get(doc.root, "error"), "message");
}

int remote_ask(struct remote *r, enum http_method method, const char *path, strv body,
               struct buf *reply)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct waiting w = {.r = r, .reply = reply};
    if (!remote_send(r, method, path, body.ptr != NULL ? "application/json" : NULL, body, &ops,
                     &w)) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    io_loop_run(r->loop);
    if (w.how == HTTP_CONNECT) {
        remote_unreachable(r, w.why);
        return EXIT_UNREACHABLE;
    }
    if (w.how != HTTP_DONE || reply->failed) {
        term_error("%s: the answer broke off", r->address);
        return EXIT_FAILED;
    }
    if (w.status >= 200 && w.status < 300)
        return EXIT_OK;
    remote_refused(r, w.status, utf8_cut(words_of(r, buf_view(reply)), 700), w.retry_after);
    return EXIT_REFUSED;
}
