/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio - a server that is a child of ours: a message is a line of its standard input and output.
 *
 *   RUNNING --output ends--> ENDING --1 s, SIGTERM, 2 s, SIGKILL--> exit --> closed()
 *      |  \--exit--> DRAINING: what it still wrote is read --end, 0.5 s--> closed()
 *      \--mcp_link_close()--> CLOSING: end of input, 2 s, SIGTERM, 2 s, SIGKILL --> gone()
 *
 * Signals go to the whole process group: wrappers (npx, uvx, sh) do not pass them on. The end of its input comes
 * first because it is what stops a container. What is no JSON on its output (banners, notices of npm) is skipped; a
 * message larger than the limit ends the server, since what follows could not be trusted to be a message's beginning.
 * A server that reads nothing fills its queue, and then sending fails; nothing waits for it.
 */
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "mcp/link_int.h"

#define MESSAGE_MAX_DEFAULT ((size_t)16 << 20)
#define QUEUE_BYTES         ((size_t)8 << 20) /* beyond one message of the largest size */
#define POLITE_MS           2000              /* after the end of input, and again after SIGTERM */
#define OUTPUT_ENDED_MS     1000 /* usually it is just about to exit, and its status is worth knowing */
#define DRAIN_MS            500 /* a grandchild that fled its group may hold the output open */

extern char **environ;

enum stage { RUNNING, ENDING, DRAINING, CLOSING, ENDED };

struct pipes {
    struct mcp_link base;
    struct mcp_link_env env;
    const struct mcp_server_conf *conf;
    const struct mcp_link_ops *ops; /* NULL after mcp_link_close() */
    void *arg;
    enum stage stage;
    struct io_child *child;   /* NULL: gone */
    struct io_stream *stream; /* NULL: closed */
    struct buf line;          /* of a message whose end has not come */
    bool banner;              /* one was logged */
    struct io_timer timer;
    enum mcp_fault fault; /* why it ended */
    char why[160];        /* "" = nothing known yet */
    void (*gone)(void *arg);
    void *gone_arg;
    struct io_task task;
};

static void on_output(void *arg, const char *data, size_t len);
static void on_output_end(void *arg, enum io_end end);
static void on_line(void *arg, strv line);
static void on_exit_of(void *arg, int status, int signum);
static void end_it(void *arg);
static void tell_closed(void *arg);
static void run_gone(struct io_task *task);

static const struct io_stream_ops stream_ops = {.on_data = on_output, .on_end = on_output_end};

/* ---- its environment ---- */

/* What a program needs to find its way, and nothing that could hold a secret. */
static bool is_harmless(const char *variable)
{
    static const char *const names[] = {
        "PATH=", "HOME=", "LANG=", "LC_", "TMPDIR=", "USER=", "LOGNAME=", "SHELL=", "TERM="};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static bool is_named(const char *const *list, const char *variable)
{
    size_t n = strcspn(variable, "=") + 1;

    for (; list != NULL && *list != NULL; list++)
        if (strncmp(*list, variable, n) == 0)
            return true;
    return false;
}

static size_t count(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

/* The strings stay where they are; the list is the caller's to free. */
static const char **make_environment(const struct mcp_server_conf *conf)
{
    size_t own = count((const char *const *)environ), n = 0;
    const char **list = mem_alloc((own + count(conf->env) + 1) * sizeof *list);

    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < own; i++)
        if (is_harmless(environ[i]) && !is_named(conf->env, environ[i]))
            list[n++] = environ[i];
    for (size_t i = 0; i < count(conf->env); i++)
        list[n++] = conf->env[i];
    list[n] = NULL;
    return list;
}

/* ---- starting ---- */

static bool start(struct pipes *p, struct err *err)
{
    const char **environment = make_environment(p->conf);
    struct io_child_opts opts = {.argv = p->conf->argv,
                                 .envp = environment,
                                 .cwd = p->conf->cwd,
                                 .on_line = on_line,
                                 .on_exit = on_exit_of,
                                 .arg = p,
                                 .talks = true,
                                 .bounded = true};

    if (environment == NULL)
        return err_oom(err);
    p->child = io_child_start(p->env.loop, &opts, err);
    mem_free(environment);
    if (p->child == NULL)
        return false;
    p->stream = io_child_take_stream(p->child);
    io_stream_set_max(p->stream, p->line.max + QUEUE_BYTES);
    io_stream_bind(p->stream, &stream_ops, p);
    io_stream_read(p->stream, true);
    LOG(p->env.log, LOG_INFO, "mcp", LOG_C(SERVER, p->conf->name), LOG_C(STATE, "started"),
        LOG_I(PID, io_child_pid(p->child)));
    return true;
}

static struct mcp_link *pipes_open(const struct mcp_link_env *env,
                                   const struct mcp_server_conf *conf,
                                   const struct mcp_link_ops *ops, void *arg, struct err *err)
{
    struct pipes *p = mem_zalloc(sizeof *p);

    if (p == NULL) {
        err_oom(err);
        return NULL;
    }
    p->base.type = &mcp_link_stdio;
    p->env = *env;
    p->conf = conf;
    p->ops = ops;
    p->arg = arg;
    p->task.run = run_gone;
    buf_init(&p->line, conf->message_max != 0 ? conf->message_max : MESSAGE_MAX_DEFAULT);
    if (!start(p, err)) {
        mem_free(p);
        return NULL;
    }
    return &p->base;
}

static bool pipes_send(struct mcp_link *l, const struct mcp_sending *s)
{
    struct pipes *p = list_entry(l, struct pipes, base);
    struct iovec parts[] = {{(void *)(uintptr_t)s->text.ptr, s->text.len},
                            {(void *)(uintptr_t) "\n", 1}};

    assert(memchr(s->text.ptr, '\n', s->text.len) == NULL); /* it would be two messages */
    return p->stream != NULL && io_stream_write(p->stream, parts, 2);
}

/* ---- what it says ---- */

/* False: the link was closed meanwhile, or is ending. */
static bool take_line(struct pipes *p, strv line)
{
    line = strv_trim(line);
    if (line.len == 0)
        return true;
    if (line.ptr[0] == '{' || line.ptr[0] == '[') {
        p->ops->message(p->arg, line, 0, 0);
    } else if (!p->banner) {
        p->banner = true;
        LOG(p->env.log, LOG_WARN, "mcp", LOG_C(SERVER, p->conf->name),
            LOG_C(REASON, "it writes lines that are no messages; skipped"));
    }
    return p->stream != NULL;
}

static void give_up(struct pipes *p, bool large)
{
    p->fault = large ? MCP_FAULT_MALFORMED : MCP_FAULT_NO_MEMORY;
    if (large)
        snprintf(p->why, sizeof p->why, "a message was larger than %zu bytes", p->line.max);
    else
        snprintf(p->why, sizeof p->why, "no memory for its message");
    io_stream_close(p->stream);
    p->stream = NULL;
    p->stage = ENDING;
    end_it(p);
}

static void on_output(void *arg, const char *data, size_t len)
{
    struct pipes *p = arg;
    strv rest = {data, len};

    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        strv line = {rest.ptr, end != NULL ? (size_t)(end - rest.ptr) : rest.len};
        bool whole = buf_len(&p->line) == 0; /* it need not be copied */

        bool large = line.len > p->line.max - buf_len(&p->line);

        rest = strv_from(rest, line.len + (end != NULL ? 1 : 0));
        if (large || ((!whole || end == NULL) && !buf_put_strv(&p->line, line))) {
            give_up(p, large);
            return;
        }
        if (end == NULL)
            return;
        if (!take_line(p, whole ? line : buf_view(&p->line)))
            return;
        if (!whole)
            buf_fini(&p->line); /* memory only while a message is on its way */
    }
}

static void on_line(void *arg, strv line)
{
    struct pipes *p = arg;

    if (p->ops != NULL)
        p->ops->line(p->arg, line);
}

/* ---- how it ends ---- */

static void end_it(void *arg)
{
    struct pipes *p = arg;

    if (p->child != NULL)
        io_child_stop(p->child, POLITE_MS);
}

static void on_output_end(void *arg, enum io_end end)
{
    struct pipes *p = arg;

    (void)end;
    io_stream_close(p->stream);
    p->stream = NULL;
    if (p->stage == DRAINING) {
        tell_closed(p);
        return;
    }
    p->stage = ENDING;
    io_timer_start(p->env.loop, &p->timer, OUTPUT_ENDED_MS, end_it, p);
}

static void say_why(struct pipes *p, int status, int signum)
{
    if (p->why[0] != '\0')
        return;
    p->fault = MCP_FAULT_CUT;
    if (signum != 0)
        snprintf(p->why, sizeof p->why, "it was ended by signal %d", signum);
    else
        snprintf(p->why, sizeof p->why, "it ended with status %d", status);
}

static void on_exit_of(void *arg, int status, int signum)
{
    struct pipes *p = arg;

    p->child = NULL;
    io_timer_stop(p->env.loop, &p->timer);
    say_why(p, status, signum);
    LOG(p->env.log, LOG_INFO, "mcp", LOG_C(SERVER, p->conf->name), LOG_C(STATE, "ended"),
        LOG_I(EXIT, status), LOG_I(SIGNAL, signum));
    if (p->stage == CLOSING) {
        io_defer(p->env.loop, &p->task);
    } else if (p->stream == NULL) {
        tell_closed(p);
    } else {
        p->stage = DRAINING;
        io_timer_start(p->env.loop, &p->timer, DRAIN_MS, tell_closed, p);
    }
}

static void tell_closed(void *arg)
{
    struct pipes *p = arg;

    io_timer_stop(p->env.loop, &p->timer);
    io_stream_close(p->stream);
    p->stream = NULL;
    p->stage = ENDED;
    p->ops->closed(p->arg, p->fault, p->why);
}

static void pipes_close(struct mcp_link *l, void (*gone)(void *arg), void *arg)
{
    struct pipes *p = list_entry(l, struct pipes, base);

    assert(p->stage != CLOSING);
    p->ops = NULL;
    p->gone = gone;
    p->gone_arg = arg;
    io_timer_stop(p->env.loop, &p->timer);
    io_stream_finish(p->stream, p->child != NULL ? (uint64_t)2 * POLITE_MS : 0);
    p->stream = NULL;
    if (p->child == NULL)
        io_defer(p->env.loop, &p->task);
    else if (p->stage == RUNNING)
        io_timer_start(p->env.loop, &p->timer, POLITE_MS, end_it, p);
    else
        end_it(p);
    p->stage = CLOSING;
}

static void run_gone(struct io_task *task)
{
    struct pipes *p = list_entry(task, struct pipes, task);
    void (*gone)(void *arg) = p->gone;
    void *arg = p->gone_arg;

    buf_fini(&p->line);
    mem_free(p);
    if (gone != NULL)
        gone(arg);
}

const struct mcp_link_type mcp_link_stdio = {
    .open = pipes_open, .send = pipes_send, .close = pipes_close};
