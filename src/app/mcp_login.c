/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_login - `llm-router mcp login` and `logout`: a person's part of OAuth, once; a running router goes on from there.
 *
 *   visit the server --401--> its authorization server --> the address for the browser, on standard output
 *   browser --redirect--> 127.0.0.1, where we listen (or, with --paste, the person copies it) --> token --> file
 *
 * The server is visited as serve would do it, but alone and with time for a person. Nothing that was kept is used, so that
 * a login is one. What is kept in the end is the file of logins.h.
 */
#include "app/mcp.h"

#include <signal.h>
#include <string.h>

#include "app/term.h"

#define LOGIN_MS   ((uint64_t)15 * 60000) /* more than the browser's ten minutes */
#define PASTE_PORT 41799 /* nobody listens there; the browser says so and shows the address */
#define PATH       "/callback"

struct login {
    struct mcp_visit v;
    struct mcp_server_conf row;
    struct mcp_auth_host host;
    struct http_server *door;
    struct mcp_auth *asking; /* whose answer is waited for; NULL = none */
    struct mcp_auth *own;    /* asked without the server's word */
    struct io_timer paste;
    char redirect[64];
    bool pastes, visited, kept, over;
    struct err err; /* why nothing was kept */
};

/* ---- the person's answer ---- */

static strv query_of(strv text)
{
    const char *from = text.len > 0 ? memchr(text.ptr, '?', text.len) : NULL;
    strv query;
    text = strv_trim(from != NULL ? strv_from(text, (size_t)(from + 1 - text.ptr)) : text);
    return strv_cut(&text, '#', &query) ? query : STRV("");
}

/* The loop stands still meanwhile: nothing else is going on. */
static void read_pasted(void *arg)
{
    struct login *l = arg;
    char line[8192];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (mcp_auth_redirected(l->asking, query_of(strv_of(line)))) {
            mem_wipe(line, sizeof line);
            return;
        }
        fputs("This is not the address that this login ends at. Once more:\n", stderr);
    }
    term_error("there was no answer");
    l->over = true;
    io_loop_stop(l->v.loop);
}

static void on_visit(void *arg, struct mcp_auth *a, const char *server, const char *url)
{
    struct login *l = arg;
    l->asking = a;
    l->visited = true;
    fprintf(stderr, "Open this address in a browser and log in for %s:\n", server);
    printf("%s\n", url);
    fflush(stdout);
    if (!l->pastes)
        return;
    fputs("The browser ends at a page that cannot be shown. Paste its address here:\n", stderr);
    io_timer_start(l->v.loop, &l->paste, 0, read_pasted, l);
}

static bool on_save(void *arg, const char *server, strv text)
{
    struct login *l = arg;
    l->kept = logins_write(&l->v.logins, server, text, &l->err);
    return l->kept;
}

/* ---- where the browser comes back ---- */

static bool on_head(void *arg, struct http_request *req)
{
    (void)arg, (void)req;
    return true;
}

static void on_request(void *arg, struct http_request *req)
{
    static const char done[] = "The login has come back to the router. This page can be closed.\n";
    static const char wrong[] = "This is not the answer that the router is waiting for.\n";
    struct login *l = arg;
    bool ok = req->method == HTTP_GET && strv_eq_cstr(req->path, PATH) && l->asking != NULL &&
              mcp_auth_redirected(l->asking, req->query);
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    http_reply_header(req, "Referrer-Policy", STRV("no-referrer"));
    http_reply_whole(req, ok ? 200 : 400, "text/plain; charset=utf-8", strv_of(ok ? done : wrong));
}

static void on_bad(void *arg, struct http_request *req, enum http_bad why)
{
    (void)arg, (void)why;
    http_reply_whole(req, 400, NULL, STRV(""));
}

static bool open_door(struct login *l, unsigned port, struct err *err)
{
    static const struct http_server_opts opts = {.head_bytes_max = 32768,
                                                 .body_bytes_max = 4096,
                                                 .head_ms = 10000,
                                                 .body_ms = 10000,
                                                 .idle_ms = 10000,
                                                 .write_ms = 10000,
                                                 .connections_max = 16,
                                                 .reply_pending_max = 65536};
    const struct http_handlers handlers = {on_head, on_request, on_bad, NULL, l};
    const char *bound;
    char address[32];
    if (l->pastes) {
        snprintf(l->redirect, sizeof l->redirect, "http://127.0.0.1:%u" PATH,
                 port != 0 ? port : PASTE_PORT);
        return true;
    }
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    l->door = http_server_new(l->v.loop, &opts, &handlers, err);
    if (l->door == NULL || !http_server_listen(l->door, strv_of(address), false, &bound, err))
        return false;
    snprintf(l->redirect, sizeof l->redirect, "http://%s" PATH, bound);
    return true;
}

/* ---- a server that lets everybody in, and wants a login only for some of its calls ---- */

static void on_done(void *arg, bool ok)
{
    struct login *l = arg;
    (void)ok;
    l->over = true;
    io_loop_stop(l->v.loop);
}

static bool ask_unasked(struct login *l)
{
    const struct oauth_challenge c = {.bearer = true};
    const struct mcp_link_env env = {.loop = l->v.loop,
                                     .client = l->v.client,
                                     .rng = &l->v.rng,
                                     .log = &l->v.log,
                                     .auth = &l->host};
    l->own = mcp_auth_new(&env, &l->row, on_done, l);
    if (l->own == NULL)
        return false;
    if (mcp_auth_challenged(l->own, 401, &c))
        io_loop_run(l->v.loop);
    return l->kept;
}

/* ---- the commands ---- */

static const struct mcp_server_conf *find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->mcp.n_servers; i++)
        if (strcmp(c->mcp.servers[i].name, name) == 0)
            return &c->mcp.servers[i];
    return NULL;
}

/* Why there is no login at this server; NULL = there may be one. */
static const char *unfit(const struct mcp_server_conf *c)
{
    if (c == NULL)
        return "there is no such MCP server";
    if (c->transport == MCP_STDIO)
        return "this server is a program: it gets its secrets by its environment";
    if (c->disabled)
        return "this server is disabled";
    for (size_t i = 0; i < c->n_headers; i++)
        if (strv_eq_nocase(c->headers[i].name, STRV("Authorization")))
            return "this server is reached with a key, which takes the place of a login";
    return NULL;
}

static int tell(struct login *l)
{
    const struct mcp_listed *s = &l->v.catalogue->servers[0];
    const char *name = l->row.name;
    if (l->over)
        return EXIT_FAILED;
    if (l->err.set) {
        term_error("%s: the login went well but could not be kept: %s", name, l->err.text);
        return EXIT_FAILED;
    }
    if (s->state != MCP_READY) {
        term_error("%s: %s", name, s->why != NULL ? s->why : "it did not answer in time");
        return l->visited ? EXIT_REFUSED : EXIT_UNREACHABLE;
    }
    if (!l->kept && !ask_unasked(l)) {
        fprintf(stderr, "%s lets everybody in, and offers no login (%s).\n", name,
                l->own != NULL ? mcp_auth_why(l->own) : "out of memory");
        return EXIT_OK;
    }
    fprintf(stderr, "Logged in at %s. A running router takes it over within a moment.\n", name);
    return EXIT_OK;
}

static int run(struct login *l)
{
    struct err err = ERR_INIT;
    unsigned port = l->row.oauth != NULL ? l->row.oauth->port : 0;
    l->row.start_ms = LOGIN_MS;
    l->v.conf = l->v.config->mcp;
    l->v.conf.servers = &l->row;
    l->v.conf.n_servers = 1;
    l->v.auth = &l->host;
    l->v.limit_ms = LOGIN_MS;
    l->host = (struct mcp_auth_host){l->redirect, on_visit, NULL, on_save, l};
    if (mcp_visit_loop(&l->v, &err) && open_door(l, port, &err) && mcp_visit_run(&l->v, &err))
        return tell(l);
    term_error("%s", err.text);
    return EXIT_FAILED;
}

int mcp_login(struct cli *cli)
{
    struct login *l = mem_zalloc(sizeof *l);
    if (l == NULL) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    int status = mcp_visit_config(&l->v, cli);
    const struct mcp_server_conf *row = status == EXIT_OK ? find(l->v.config, cli->words[1]) : NULL;
    const char *why = status == EXIT_OK ? unfit(row) : NULL;
    if (why != NULL) {
        term_error("%s: %s", cli->words[1], why);
        status = EXIT_USAGE;
    }
    if (status == EXIT_OK) {
        l->row = *row;
        l->pastes = cli->flags[FLAG_PASTE] != NULL;
        status = run(l);
    }
    if (l->v.loop != NULL)
        io_timer_stop(l->v.loop, &l->paste);
    if (l->door != NULL)
        http_server_free(l->door);
    mcp_auth_free(l->own);
    mcp_visit_close(&l->v);
    mem_free(l);
    return status;
}

int mcp_logout(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct logins logins;
    bool there = false;
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    logins_init(&logins, config->state_dir);
    /* It may have been taken out of the configuration; but its name is a file's. */
    int status = EXIT_OK;
    if (find(config, cli->words[1]) == NULL &&
        strspn(cli->words[1], "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(cli->words[1])) {
        term_error("%s: this is no name of a server", cli->words[1]);
        status = EXIT_USAGE;
    } else if (!logins_remove(&logins, cli->words[1], &there, &err)) {
        term_error("%s", err.text);
        status = EXIT_FAILED;
    } else {
        fprintf(stderr,
                there ? "The login at %s is forgotten here. Its tokens are good at their server "
                        "until they expire.\n"
                      : "There was no login at %s.\n",
                cli->words[1]);
    }
    config_free(config);
    return status;
}
