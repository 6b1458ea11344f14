/* SPDX-License-Identifier: Apache-2.0 */
#include "app/loop_peer.h"

#include <stdio.h>
#include <string.h>

#include "advisor/advisor.h"
#include "app/term.h"

#define VARIABLES_MAX 1024
#define GRACE_MS      2000
#define EXIT_MS       1000

extern char **environ;

/* ---- what comes ---- */

static void on_data(void *arg, const char *data, size_t len)
{
    struct loop_peer *p = arg;
    (void)buf_put(&p->in, data, len); /* what failed shows in the buffer */
    if (p->in.failed || memchr(data, '\n', len) != NULL)
        io_loop_stop(p->loop);
}

static void on_end(void *arg, enum io_end end)
{
    struct loop_peer *p = arg;
    (void)end;
    io_stream_close(p->stream);
    p->stream = NULL;
    io_loop_stop(p->loop);
}

static void on_line(void *arg, strv line)
{
    const struct loop_peer *p = arg;
    struct buf b;
    buf_init(&b, 8192);
    term_clean(&b, line, false);
    fprintf(stderr, "%s: " STRV_FMT "\n", p->name, STRV_ARG(buf_view(&b)));
    buf_fini(&b);
}

static void on_exit_of(void *arg, int status, int signum)
{
    struct loop_peer *p = arg;
    p->child = NULL;
    if (signum != 0)
        snprintf(p->end, sizeof p->end, "it was ended by signal %d", signum);
    else if (status == 127)
        snprintf(p->end, sizeof p->end, "its command was not found (status 127)");
    else
        snprintf(p->end, sizeof p->end, "it ended with status %d", status);
    io_loop_stop(p->loop);
}

static void on_late(void *arg)
{
    struct loop_peer *p = arg;
    p->late = true;
    io_loop_stop(p->loop);
}

/* ---- */

bool loop_peer_open(struct loop_peer *p, const char *name, const char *command,
                    struct io_loop *loop, struct err *err)
{
    static const struct io_stream_ops ops = {.on_data = on_data, .on_end = on_end};
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    const char *environment[VARIABLES_MAX + 1];
    size_t n = 0;
    for (char **v = environ; *v != NULL && n < VARIABLES_MAX; v++)
        if (strncmp(*v, "LLM_ROUTER_KEY=", 15) != 0)
            environment[n++] = *v;
    environment[n] = NULL;
    *p = (struct loop_peer){.name = name, .loop = loop};
    buf_init(&p->in, LOOP_LINE_MAX);
    p->child = io_child_start(loop,
                              &(struct io_child_opts){.argv = argv,
                                                      .envp = environment,
                                                      .on_line = on_line,
                                                      .on_exit = on_exit_of,
                                                      .arg = p,
                                                      .talks = true},
                              err);
    if (p->child == NULL)
        return false;
    p->stream = io_child_take_stream(p->child);
    io_stream_set_max(p->stream, 2 * LOOP_LINE_MAX);
    io_stream_bind(p->stream, &ops, p);
    io_stream_read(p->stream, true);
    return true;
}

/* The next whole line that is not blank, cut off what was read. */
static bool take_line(struct loop_peer *p, size_t *taken, strv *out)
{
    strv rest = buf_view(&p->in);
    const char *end;
    *taken = 0;
    while (rest.len > 0 && (end = memchr(rest.ptr, '\n', rest.len)) != NULL) {
        strv line = {rest.ptr, (size_t)(end - rest.ptr)};
        *taken += line.len + 1;
        rest = strv_from(rest, line.len + 1);
        *out = strv_trim(line);
        if (out->len > 0)
            return true;
    }
    return false;
}

/* Its output is over; most likely it is about to exit, and its status is worth knowing. */
static bool ended(struct loop_peer *p, struct err *err)
{
    struct io_timer timer = {0};
    io_timer_start(p->loop, &timer, EXIT_MS, on_late, p);
    while (p->child != NULL && !p->late)
        io_loop_run(p->loop);
    io_timer_stop(p->loop, &timer);
    return err_set(err, 0, "%s: %s", p->name, p->end[0] != '\0' ? p->end : "its output ended");
}

/* False: somebody else stopped the loop, or err says what happened. */
static bool wait_for_line(struct loop_peer *p, uint64_t ms, size_t *taken, strv *answer,
                          struct err *err)
{
    struct io_timer timer = {0};
    bool stopped = false;
    p->late = false;
    io_timer_start(p->loop, &timer, ms, on_late, p);
    while (!take_line(p, taken, answer) && !p->in.failed && !p->late && !stopped &&
           p->stream != NULL) {
        size_t had = buf_len(&p->in);
        bool ran = p->child != NULL;
        io_loop_run(p->loop);
        stopped = had == buf_len(&p->in) && ran == (p->child != NULL) && p->stream != NULL;
    }
    io_timer_stop(p->loop, &timer);
    if (answer->ptr != NULL)
        return true;
    if (p->in.failed)
        return err_set(err, 0, "%s: its answer is too long, or there is no memory", p->name);
    if (p->late)
        return err_set(err, 0, "%s: no answer within %llu s", p->name,
                       (unsigned long long)ms / 1000);
    return p->stream != NULL || ended(p, err);
}

bool loop_peer_ask(struct loop_peer *p, strv line, uint64_t ms, strv *answer, struct err *err)
{
    size_t taken = 0;
    struct iovec v = {(void *)(uintptr_t)line.ptr, line.len};
    *answer = STRV_NONE;
    if (p->stream == NULL || !io_stream_write(p->stream, &v, 1))
        return ended(p, err);
    bool ok = wait_for_line(p, ms, &taken, answer, err) && answer->ptr != NULL;
    if (ok)
        buf_eat(&p->in, taken); /* the bytes stay where they are until more come */
    return ok;
}

void loop_peer_close(struct loop_peer *p)
{
    io_stream_close(p->stream);
    p->stream = NULL;
    if (p->child != NULL)
        io_child_stop(p->child, GRACE_MS);
    while (p->child != NULL)
        io_loop_run(p->loop);
    buf_fini(&p->in);
}
