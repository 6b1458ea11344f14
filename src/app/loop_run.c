/* SPDX-License-Identifier: Apache-2.0 */
#include "app/loop_run.h"

#include <signal.h>

#include "app/file.h"
#include "app/term.h"

#define ANSWER_BYTES_MAX ((size_t)8 << 20)
#define HELLO_MS         ((uint64_t)60 * 1000)
#define EVALUATE_MS      ((uint64_t)600 * 1000)
#define GENERATE_MS      ((uint64_t)600 * 1000) /* beyond its own timeout_seconds */
#define OUTCOME_MS       2000
#define QUESTION_GRACE   2000 /* for the way there and back */
#define UNANSWERED_MAX   3

enum step { DUE, ASK, GENERATE, EVALUATE, SAVE, TELL, OVER, STEPS };

/* ---- the router ---- */

struct asked {
    struct loop_run *run;
    struct http_call *call;
    struct buf reply;
    int status;
    bool ended, late;
    enum http_end how;
};

static void on_head(void *arg, const struct http_answer *answer)
{
    struct asked *a = arg;
    a->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct asked *a = arg;
    (void)buf_put(&a->reply, data, len); /* what failed shows in the buffer */
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    struct asked *a = arg;
    (void)why;
    a->ended = true;
    a->how = how;
    io_loop_stop(a->run->io);
}

static void on_late(void *arg)
{
    struct asked *a = arg;
    a->late = true;
    io_loop_stop(a->run->io);
}

static const char *fault_of(const struct asked *a)
{
    return a->late                  ? "slow"
           : !a->ended              ? "interrupted"
           : a->how == HTTP_CONNECT ? "unreachable"
           : a->how != HTTP_DONE    ? "broke_off"
           : a->status != 200       ? "refused"
           : a->reply.failed        ? "unreadable"
                                    : NULL;
}

/* NULL: the reply is there. Else why it is not: a constant. */
static const char *ask_router(struct loop_run *run, const char *path, strv body, uint64_t ms,
                              struct asked *a)
{
    static const struct http_call_ops ops = {on_head, on_body, on_end, NULL};
    struct io_timer timer = {0};
    struct remote *r = run->remote;
    *a = (struct asked){.run = run};
    buf_init(&a->reply, ANSWER_BYTES_MAX);
    a->call = remote_begin(r, HTTP_POST, path, r->headers, r->n_headers, body, &ops, a);
    if (a->call == NULL)
        return "unreachable";
    io_timer_start(run->io, &timer, ms, on_late, a);
    while (!a->ended && !a->late && run->signum == 0 && run->gen.child != NULL &&
           run->eval.child != NULL)
        io_loop_run(run->io);
    io_timer_stop(run->io, &timer);
    if (!a->ended)
        http_call_cancel(a->call);
    return fault_of(a);
}

/* ---- the steps ---- */

static enum step fail(struct loop_run *run)
{
    run->failed = true;
    run->loop.stop = run->signum != 0 ? LOOP_STOP_ABORT : LOOP_STOP_ERROR;
    return OVER;
}

static enum step no_memory(struct loop_run *run)
{
    err_oom(&run->err);
    return fail(run);
}

/* A child gave no answer: it failed, or somebody wants the end. */
static enum step no_answer(struct loop_run *run)
{
    if (!run->err.set && run->signum == 0)
        err_set(&run->err, 0, "a child ended at the wrong moment");
    return fail(run);
}

static enum step due(struct loop_run *run)
{
    run->loop.stop = run->signum != 0 ? LOOP_STOP_ABORT : loop_due(&run->loop);
    return run->loop.stop == LOOP_STOP_NONE ? ASK : OVER;
}

static enum step ask(struct loop_run *run)
{
    const char *why = loop_wants_advice(&run->loop);
    struct asked a;
    struct buf body;
    if (why == NULL || run->remote == NULL || run->unanswered >= UNANSWERED_MAX)
        return GENERATE;
    buf_init(&body, 4 * LOOP_LINE_MAX);
    bool ok =
        loop_put_question(&run->loop, strv_of(run->source), (double)run->question_ms / 1e3, &body);
    if (!ok) {
        buf_fini(&body);
        return no_memory(run);
    }
    const char *fault =
        ask_router(run, "/advisor/suggest", buf_view(&body), run->question_ms + QUESTION_GRACE, &a);
    ok = run->signum != 0 ||
         loop_take_answer(&run->loop, why, fault != NULL ? STRV_NONE : buf_view(&a.reply), fault);
    buf_fini(&a.reply);
    buf_fini(&body);
    if (!ok)
        return no_memory(run);
    if (run->signum != 0)
        return DUE;
    const struct loop_advice *last = &run->loop.advice[run->loop.n_advice - 1];
    bool none = fault != NULL || strv_eq_cstr(last->reason, "unreadable");
    run->unanswered = none ? run->unanswered + 1 : 0;
    loop_show_advice(&run->show, &run->loop);
    if (run->unanswered == UNANSWERED_MAX)
        term_warn("the adviser does not answer and is not asked any more in this run");
    return GENERATE;
}

/* A line there, the answer back; waits at most `ms`. */
static bool exchange_lines(struct loop_run *run, struct loop_peer *peer, struct buf *line,
                           uint64_t ms, strv *answer)
{
    bool ok = !line->failed && loop_peer_ask(peer, buf_view(line), ms, answer, &run->err);
    if (line->failed)
        err_oom(&run->err);
    buf_fini(line);
    return ok;
}

static double seconds_since(struct loop_run *run, int64_t from_us)
{
    return (double)(io_now_us(run->io) - from_us) / 1e6;
}

static uint64_t generate_ms(struct loop_run *run)
{
    struct json doc;
    struct arena scratch;
    double seconds = 0;
    arena_init(&scratch, 4096, 16 << 20);
    if (json_read(&doc, run->loop.params, &scratch, 0, NULL))
        json_is_num(json_get(doc.root, "timeout_seconds"), &seconds);
    arena_fini(&scratch);
    seconds = seconds > 0 && seconds < 86400 ? seconds : 0;
    return GENERATE_MS + (uint64_t)(seconds * 1000);
}

static enum step generate(struct loop_run *run)
{
    struct buf line;
    strv answer;
    int64_t from = io_now_us(run->io);
    buf_init(&line, 2 * LOOP_LINE_MAX);
    (void)loop_put_generate(&run->loop, &line);
    if (!exchange_lines(run, &run->gen, &line, generate_ms(run), &answer))
        return no_answer(run);
    if (!loop_take_candidate(&run->loop, answer, seconds_since(run, from), &run->err))
        return fail(run);
    return EVALUATE;
}

static enum step evaluate(struct loop_run *run)
{
    struct buf line;
    strv answer = STRV_NONE;
    int64_t from = io_now_us(run->io);
    if (buf_len(&run->loop.candidate) > 0) {
        buf_init(&line, 2 * LOOP_LINE_MAX);
        (void)loop_put_evaluate(&run->loop, &line);
        if (!exchange_lines(run, &run->eval, &line, EVALUATE_MS, &answer))
            return no_answer(run);
    }
    if (!loop_take_evaluation(&run->loop, answer, seconds_since(run, from), &run->err))
        return fail(run);
    return SAVE;
}

static bool save(struct loop_run *run)
{
    struct buf b;
    buf_init(&b, LOOP_STATE_MAX);
    bool ok = loop_save(&run->loop, &b) ? file_replace(run->state_path, buf_view(&b), &run->err)
                                        : err_oom(&run->err);
    buf_fini(&b);
    return ok;
}

static enum step save_step(struct loop_run *run)
{
    if (!save(run))
        return fail(run);
    loop_show_round(&run->show, &run->loop);
    return TELL;
}

/* The router's decision log learns what its advice was good for; nothing depends on it. */
static enum step tell(struct loop_run *run)
{
    struct buf body;
    struct asked a;
    buf_init(&body, 4096);
    if (run->remote != NULL && run->unanswered == 0 && loop_put_outcome(&run->loop, &body)) {
        (void)ask_router(run, "/advisor/outcome", buf_view(&body), OUTCOME_MS, &a);
        buf_fini(&a.reply);
    }
    buf_fini(&body);
    return DUE;
}

static const struct {
    const char *name;
    enum step (*run)(struct loop_run *run);
} steps[STEPS] = {
    [DUE] = {"due", due},
    [ASK] = {"ask", ask},
    [GENERATE] = {"generate", generate},
    [EVALUATE] = {"evaluate", evaluate},
    [SAVE] = {"save", save_step},
    [TELL] = {"tell", tell},
    [OVER] = {"over", NULL},
};

/* ---- start and end ---- */

static void on_signal(void *arg, int signum)
{
    struct loop_run *run = arg;
    run->signum = signum;
    io_loop_stop(run->io);
}

static bool greet(struct loop_run *run, struct loop_peer *peer, const char *name,
                  const char *command)
{
    struct buf line;
    strv answer;
    struct json doc;
    struct arena scratch;
    struct err why = ERR_INIT;
    if (!loop_peer_open(peer, name, command, run->io, &run->err))
        return false;
    buf_init(&line, 2 * LOOP_PROBLEM_MAX);
    (void)loop_put_problem(&run->loop, &line);
    if (!exchange_lines(run, peer, &line, HELLO_MS, &answer))
        return false;
    arena_init(&scratch, 4096, 16 << 20);
    bool ok = json_read(&doc, answer, &scratch, 0, &why);
    strv error = ok ? utf8_cut(json_get_str(doc.root, "error"), 250) : strv_of(why.text);
    if (ok && error.len == 0)
        ok = yyjson_is_true(json_get(doc.root, "ready"));
    else
        ok = false;
    if (!ok)
        err_set(&run->err, 0, "%s: it does not take the problem: " STRV_FMT, name,
                STRV_ARG(error.len > 0 ? error : STRV("expected {\"ready\":true}")));
    arena_fini(&scratch);
    return ok;
}

static bool write_report(struct loop_run *run)
{
    struct buf b;
    buf_init(&b, LOOP_STATE_MAX);
    loop_report(&run->loop, &b);
    bool ok =
        !b.failed ? file_replace(run->report_path, buf_view(&b), &run->err) : err_oom(&run->err);
    buf_fini(&b);
    return ok;
}

static void drive(struct loop_run *run)
{
    enum step step = DUE;
    while (step != OVER)
        step = steps[step].run(run);
}

int loop_run(struct loop_run *run)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of a write */
    if (!io_on_signal(run->io, SIGINT, on_signal, run, &run->err) ||
        !io_on_signal(run->io, SIGTERM, on_signal, run, &run->err) ||
        !greet(run, &run->gen, "generator", run->generator) ||
        !greet(run, &run->eval, "evaluator", run->evaluator))
        run->failed = true;
    else
        drive(run);
    loop_peer_close(&run->gen);
    loop_peer_close(&run->eval);
    if (run->loop.stop != LOOP_STOP_NONE && (!save(run) || !write_report(run)))
        run->failed = true;
    if (run->loop.stop != LOOP_STOP_NONE)
        loop_show_end(&run->show, &run->loop);
    loop_show_clear(&run->show);
    if (run->err.set)
        term_error("%s", run->err.text);
    return run->signum != 0 ? 128 + run->signum : run->failed ? EXIT_FAILED : EXIT_OK;
}
