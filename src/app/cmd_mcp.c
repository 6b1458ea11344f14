/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mcp - MCP servers from the command line: what there is, what is wrong with it, one call.
 *
 * list, tools and check visit the servers themselves, started and reached as serve would do it; a router need not run.
 * call goes through the running router, which decides by the key and records it, like any caller's.
 */
#include "app/mcp.h"
#include "app/mcp_bridge.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "app/remote.h"
#include "app/term.h"

#define OUT_BYTES_MAX   ((size_t)64 * 1024 * 1024)
#define REPLY_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define VISIT_MS        35000 /* a little more than the usual `start` */

/* ---- visiting ---- */

static bool all_settled(const struct mcp_visit *v)
{
    const struct mcp_catalogue *c = v->catalogue;
    if (c->n_servers < v->conf.n_servers) /* it is not the first one yet */
        return false;
    for (size_t i = 0; i < c->n_servers; i++)
        if (c->servers[i].state == MCP_STARTING)
            return false;
    return true;
}

static void look(struct mcp_visit *v)
{
    mcp_catalogue_unref(v->catalogue);
    v->catalogue = mcp_hub_catalogue(v->hub);
    if (v->waiting && all_settled(v))
        io_loop_stop(v->loop);
}

static void on_change(void *arg)
{
    look(arg);
}

static void on_limit(void *arg)
{
    struct mcp_visit *v = arg;
    io_loop_stop(v->loop);
}

bool mcp_visit_loop(struct mcp_visit *v, struct err *err)
{
    if (!rng_seed_system(&v->rng))
        return err_set(err, 0, "the system gives no random numbers");
    v->loop = io_loop_new(err);
    v->client = v->loop != NULL ? http_client_new(v->loop, (size_t)64 * 1024) : NULL;
    return v->client != NULL || (err->set ? false : err_oom(err));
}

bool mcp_visit_run(struct mcp_visit *v, struct err *err)
{
    static const struct mcp_host nobody = {0};
    struct mcp_hub_env env = {
        .loop = v->loop, .client = v->client, .rng = &v->rng, .log = &v->log, .auth = v->auth};
    v->hub = mcp_hub_new(&env, &nobody, err);
    if (v->hub == NULL)
        return false;
    v->watch = mcp_watch(v->hub, v->loop, on_change, v);
    if (v->watch == NULL)
        return err_oom(err);
    if (!mcp_hub_configure(v->hub, &v->conf, err))
        return false;
    v->waiting = true;
    v->catalogue = mcp_hub_catalogue(v->hub);
    io_timer_start(v->loop, &v->limit, v->limit_ms, on_limit, v);
    if (!all_settled(v))
        io_loop_run(v->loop);
    v->waiting = false;
    look(v);
    return true;
}

int mcp_visit_config(struct mcp_visit *v, struct cli *cli)
{
    memset(v, 0, sizeof *v);
    signal(SIGPIPE, SIG_IGN); /* a server that went away is an error of its write */
    v->config = command_config(cli);
    if (v->config == NULL)
        return EXIT_USAGE;
    log_init(&v->log, STDERR_FILENO, LOG_ERROR);
    logins_init(&v->logins, v->config->state_dir);
    v->conf = v->config->mcp;
    v->auth = &v->logins.host;
    v->limit_ms = VISIT_MS;
    if (v->config->mcp.n_servers == 0) {
        term_error("no MCP server is configured: see mcp_servers in llm-router.yaml(5), or "
                   "`llm-router mcp import FILE`");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int mcp_visit_open(struct mcp_visit *v, struct cli *cli)
{
    struct err err = ERR_INIT;
    int status = mcp_visit_config(v, cli);
    if (status != EXIT_OK || (mcp_visit_loop(v, &err) && mcp_visit_run(v, &err)))
        return status;
    term_error("%s", err.text);
    return EXIT_FAILED;
}

static void on_stopped(void *arg)
{
    struct mcp_visit *v = arg;
    v->stopped = true;
    io_loop_stop(v->loop);
}

void mcp_visit_close(struct mcp_visit *v)
{
    mcp_catalogue_unref(v->catalogue);
    if (v->watch != NULL)
        mcp_unwatch(v->watch);
    if (v->hub != NULL) {
        mcp_hub_stop(v->hub, on_stopped, v);
        while (!v->stopped)
            io_loop_run(v->loop);
        mcp_hub_free(v->hub);
    }
    if (v->client != NULL)
        http_client_free(v->client);
    if (v->loop != NULL) {
        io_timer_stop(v->loop, &v->limit);
        io_loop_free(v->loop);
    }
    log_fini(&v->log);
    if (v->config != NULL)
        config_free(v->config);
}

/* ---- list ---- */

static size_t tools_of(const struct mcp_catalogue *c, const struct mcp_listed *s, bool refused)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_tools; i++)
        n += c->tools[i].server == s && (c->tools[i].refused != NULL) == refused;
    return n;
}

static void list_text(const struct mcp_catalogue *c, bool color, struct buf *out)
{
    static const char *const heads[] = {"SERVER",   "STATE", "WAY",  "ZONE",
                                        "PROTOCOL", "TOOLS", "NOTES"};
    struct term_table t;
    term_table_init(&t, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&t, TERM_BOLD, "%s", heads[i]);
    for (size_t i = 0; i < c->n_servers; i++) {
        const struct mcp_listed *s = &c->servers[i];
        size_t refused = tools_of(c, s, true);
        term_table_cell(&t, TERM_PLAIN, "%s", s->name);
        term_table_cell(&t, s->state == MCP_READY ? TERM_GOOD : TERM_BAD, "%s",
                        mcp_state_name(s->state));
        term_table_cell(&t, TERM_PLAIN, "%s", mcp_transport_name(s->transport));
        term_table_cell(&t, TERM_PLAIN, "%s", s->local ? "local" : "cloud");
        term_table_cell(&t, TERM_PLAIN, "%s", s->revision);
        term_table_cell(&t, TERM_PLAIN, "%zu", tools_of(c, s, false));
        if (s->why != NULL)
            term_table_cell(&t, TERM_BAD, "%s", s->why);
        else if (refused > 0)
            term_table_cell(&t, TERM_DIM, "%zu more not offered: llm-router mcp check", refused);
        else
            term_table_cell(&t, TERM_DIM, "%s", "");
    }
    term_table_put(&t, out, 0, color);
}

static void list_json(const struct mcp_catalogue *c, struct buf *out)
{
    buf_put_cstr(out, "{\"servers\":[");
    for (size_t i = 0; i < c->n_servers; i++) {
        const struct mcp_listed *s = &c->servers[i];
        bool first = true;
        buf_put_cstr(out, i > 0 ? ",{" : "{");
        term_json_text(out, &first, "name", strv_of(s->name));
        term_json_text(out, &first, "state", strv_of(mcp_state_name(s->state)));
        term_json_text(out, &first, "why", strv_of(s->why));
        term_json_text(out, &first, "transport", strv_of(mcp_transport_name(s->transport)));
        term_json_text(out, &first, "zone", s->local ? STRV("local") : STRV("cloud"));
        term_json_text(out, &first, "revision", strv_of(s->revision));
        term_json_text(out, &first, "title", s->title);
        term_json_text(out, &first, "version", s->version);
        buf_printf(out, ",\"tools\":%zu,\"tools_refused\":%zu}", tools_of(c, s, false),
                   tools_of(c, s, true));
    }
    buf_put_cstr(out, "]}\n");
}

int mcp_list(struct cli *cli)
{
    struct mcp_visit v;
    int status = mcp_visit_open(&v, cli);
    if (status == EXIT_OK) {
        struct buf out;
        buf_init(&out, OUT_BYTES_MAX);
        if (cli->flags[FLAG_JSON] != NULL)
            list_json(v.catalogue, &out);
        else
            list_text(v.catalogue, cli->color, &out);
        status = term_write(&out) ? EXIT_OK : EXIT_FAILED;
    }
    mcp_visit_close(&v);
    return status;
}

/* ---- check ---- */

/* Everything that is wrong, a line each; how many. */
static size_t put_faults(const struct mcp_catalogue *c, struct buf *out)
{
    size_t faults = 0;
    for (size_t i = 0; i < c->n_servers; i++) {
        const struct mcp_listed *s = &c->servers[i];
        if (s->state == MCP_READY) {
            buf_printf(out, "%s: ready, %s, %zu tools\n", s->name, s->revision,
                       tools_of(c, s, false));
        } else if (s->state == MCP_DISABLED) {
            buf_printf(out, "%s: disabled\n", s->name);
        } else {
            faults++;
            buf_printf(out, "%s: %s: %s\n", s->name, mcp_state_name(s->state),
                       s->why != NULL ? s->why : "no answer in time");
        }
    }
    for (size_t i = 0; i < c->n_tools; i++) {
        const struct mcp_tool *t = &c->tools[i];
        if (t->refused != NULL)
            buf_printf(out, "%s/" STRV_FMT ": not offered: %s\n", t->server->name,
                       STRV_ARG(t->name), t->refused);
        else if (t->description.len == 0)
            buf_printf(out, "%s/" STRV_FMT ": has no description: no model can choose it well\n",
                       t->server->name, STRV_ARG(t->name));
    }
    return faults;
}

int mcp_check(struct cli *cli)
{
    struct mcp_visit v;
    size_t faults = 0;
    int status = mcp_visit_open(&v, cli);
    if (status == EXIT_OK) {
        struct buf out, clean;
        buf_init(&out, OUT_BYTES_MAX);
        buf_init(&clean, OUT_BYTES_MAX);
        faults = put_faults(v.catalogue, &out);
        term_clean(&clean, buf_view(&out), true);
        clean.failed |= out.failed;
        buf_fini(&out);
        status = term_write(&clean) ? EXIT_OK : EXIT_FAILED;
    }
    mcp_visit_close(&v);
    return status == EXIT_OK && faults > 0 ? EXIT_UNREACHABLE : status;
}

/* ---- call ---- */

/* In the older era: a tool whose arguments headers repeat can be called without knowing its schema. */
static bool put_call(struct buf *out, const char *server, const char *tool, strv arguments)
{
    buf_put_cstr(out,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"");
    json_put_esc(out, strv_of(server));
    buf_put_cstr(out, "__");
    json_put_esc(out, strv_of(tool));
    buf_put_cstr(out, "\",\"arguments\":");
    buf_put_strv(out, arguments);
    buf_put_cstr(out, "}}");
    return !out->failed;
}

/* The result's texts, or all of it as it came. */
static int put_result(struct cli *cli, strv reply, struct arena *arena, struct buf *out)
{
    struct json doc;
    struct err err = ERR_INIT;
    size_t i, n;
    yyjson_val *item;
    if (!json_read(&doc, reply, arena, 0, &err)) {
        term_error("the router's answer cannot be read: %s", err.text);
        return EXIT_FAILED;
    }
    yyjson_val *error = json_get(doc.root, "error"), *result = json_get(doc.root, "result");
    if (error != NULL) {
        strv text = json_get_str(error, "message");
        term_error("refused: " STRV_FMT, STRV_ARG(text));
        return EXIT_REFUSED;
    }
    bool failed = yyjson_is_true(json_get(result, "isError"));
    if (cli->flags[FLAG_JSON] != NULL) {
        strv raw;
        if (json_raw_member(&doc, doc.root, "result", &raw))
            buf_put_strv(out, raw);
        buf_put_char(out, '\n');
        return failed ? EXIT_FAILED : EXIT_OK;
    }
    yyjson_arr_foreach(json_get(result, "content"), i, n, item)
    {
        strv type = json_get_str(item, "type");
        if (strv_eq_cstr(type, "text"))
            term_clean(out, json_get_str(item, "text"), true);
        else
            buf_printf(out, "[" STRV_FMT "]", STRV_ARG(type));
        buf_put_char(out, '\n');
    }
    return failed ? EXIT_FAILED : EXIT_OK;
}

static int call_router(struct cli *cli, struct remote *r, strv body)
{
    struct buf reply, out;
    buf_init(&reply, REPLY_BYTES_MAX);
    buf_init(&out, REPLY_BYTES_MAX);
    struct arena arena;
    arena_init(&arena, 16 * 1024, 8 * REPLY_BYTES_MAX);
    remote_header(r, "Accept", STRV("application/json, text/event-stream"));
    remote_header(r, "MCP-Protocol-Version", STRV(MCP_LEGACY));
    int status = remote_ask(r, HTTP_POST, "/mcp", body, &reply);
    if (status == EXIT_OK)
        status = put_result(cli, buf_view(&reply), &arena, &out);
    arena_fini(&arena);
    buf_fini(&reply);
    if (!term_write(&out) && status == EXIT_OK)
        status = EXIT_FAILED;
    return status;
}

int mcp_call_tool(struct cli *cli)
{
    struct remote r;
    struct buf body;
    struct json doc;
    struct err err = ERR_INIT;
    if (cli->n_words < 3)
        return command_usage_error(cli);
    strv arguments = cli->n_words > 3 ? strv_of(cli->words[3]) : STRV("{}");
    int status = remote_open(&r, cli);
    if (status == EXIT_OK &&
        (!json_read(&doc, arguments, &r.arena, 0, &err) || !yyjson_is_obj(doc.root))) {
        term_error("the arguments are no JSON object%s%s", err.set ? ": " : "", err.text);
        status = EXIT_USAGE;
    }
    buf_init(&body, 8 * COMMAND_QUESTION_MAX);
    if (status == EXIT_OK) {
        if (!put_call(&body, cli->words[1], cli->words[2], arguments)) {
            term_error("out of memory");
            status = EXIT_FAILED;
        } else {
            status = call_router(cli, &r, buf_view(&body));
        }
    }
    buf_fini(&body);
    remote_close(&r);
    return status;
}

/* ---- */

static int mcp_serve(struct cli *cli)
{
    if (cli->flags[FLAG_STDIO] != NULL)
        return mcp_bridge(cli);
    term_error("over HTTP the running router serves it already, at /mcp; say --stdio for a bridge");
    return command_usage_error(cli);
}

int command_mcp(struct cli *cli)
{
    static const struct {
        const char *word;
        unsigned words_min, words_max;
        int (*run)(struct cli *cli);
    } rows[] = {
        {"list", 1, 1, mcp_list},     {"tools", 1, 2, mcp_tools},   {"call", 3, 4, mcp_call_tool},
        {"import", 2, 2, mcp_import}, {"check", 1, 1, mcp_check},   {"serve", 1, 1, mcp_serve},
        {"login", 2, 2, mcp_login},   {"logout", 2, 2, mcp_logout},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(cli->words[0], rows[i].word) == 0) {
            if (cli->n_words < rows[i].words_min || cli->n_words > rows[i].words_max)
                return command_usage_error(cli);
            return rows[i].run(cli);
        }
    term_error("there is no \"mcp %s\"", cli->words[0]);
    return command_usage_error(cli);
}
