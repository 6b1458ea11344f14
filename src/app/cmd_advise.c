/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_advise - an optimisation that asks the running router for advice (loop), and whether advice was worth its time
 * (report).
 *
 * The loop is a caller of the router like any other; with --advisor off it asks nobody and needs no router.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "app/cmd_advise.h"
#include "app/file.h"
#include "app/loop_run.h"
#include "app/term.h"

#define PATH_BYTES 4096

struct paths {
    char state[PATH_BYTES], report[PATH_BYTES];
};

/* problem.json -> problem.loop.json, problem.html, unless others are named. */
static bool choose_paths(struct cli *cli, struct paths *p)
{
    strv base = strv_of(cli->flags[FLAG_PROBLEM]);
    const char *state = cli->flags[FLAG_STATE], *report = cli->flags[FLAG_REPORT];
    if (strv_ends(base, STRV(".json")))
        base.len -= 5;
    int n = state != NULL ? snprintf(p->state, PATH_BYTES, "%s", state)
                          : snprintf(p->state, PATH_BYTES, STRV_FMT ".loop.json", STRV_ARG(base));
    int m = report != NULL ? snprintf(p->report, PATH_BYTES, "%s", report)
                           : snprintf(p->report, PATH_BYTES, STRV_FMT ".html", STRV_ARG(base));
    if (n < PATH_BYTES - 16 && m < PATH_BYTES - 16)
        return true;
    term_error("a path is too long");
    return false;
}

static bool take_number(struct cli *cli, enum flag flag, uint64_t min, uint64_t max, int64_t *out)
{
    uint64_t n;
    if (cli->flags[flag] == NULL)
        return true;
    if (!strv_u64(strv_of(cli->flags[flag]), min, max, &n)) {
        term_error("--%s takes a number from %llu to %llu", flag_rows[flag].name,
                   (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *out = (int64_t)n;
    return true;
}

static int read_problem(struct cli *cli, struct loop *l, const struct advice_schema *schema)
{
    struct err err = ERR_INIT;
    struct buf text;
    const char *path = cli->flags[FLAG_PROBLEM];
    buf_init(&text, LOOP_PROBLEM_MAX);
    bool ok = file_read(path, &text, NULL, &err);
    bool there = ok;
    ok = loop_init(l, schema, ok ? buf_view(&text) : STRV("{}"), &err) && ok;
    buf_fini(&text);
    if (!ok)
        term_error("%s%s%s", there ? path : "", there ? ": " : "", err.text);
    if (!ok || !take_number(cli, FLAG_SEED, 0, UINT64_C(1) << 53, &l->conf.seed) ||
        !take_number(cli, FLAG_ROUNDS, 1, LOOP_ROUNDS_MAX, &l->conf.rounds_max))
        return EXIT_USAGE;
    return EXIT_OK;
}

static int resume(struct loop *l, const char *path, const struct loop_show *show)
{
    struct err err = ERR_INIT;
    struct buf text;
    bool missing;
    buf_init(&text, LOOP_STATE_MAX);
    bool ok = file_read(path, &text, &missing, &err);
    if (ok)
        ok = loop_resume(l, buf_view(&text), &err);
    buf_fini(&text);
    if (ok && !show->quiet)
        printf("goes on after round %lld (%s)\n", (long long)l->rounds, path);
    if (!ok && !missing)
        term_error("%s; move it away to begin anew", err.text);
    return ok || missing ? EXIT_OK : EXIT_USAGE;
}

/* ---- who is asked ---- */

static bool choose_source(struct cli *cli, struct loop_run *run)
{
    static const char *const sources[] = {"auto", "model", "rules"};
    const char *given = cli->flags[FLAG_ADVISOR] != NULL ? cli->flags[FLAG_ADVISOR] : "auto";
    run->source = NULL;
    if (strcmp(given, "off") == 0)
        return true;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strcmp(given, sources[i]) == 0)
            run->source = sources[i];
    if (run->source == NULL)
        term_error("--advisor takes auto, model, rules or off");
    return run->source != NULL;
}

static int print_document(struct loop *l)
{
    struct buf out;
    buf_init(&out, LOOP_STATE_MAX);
    (void)loop_save(l, &out); /* a refusal shows in the buffer */
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}

static int run_with(struct cli *cli, struct loop_run *run, struct remote *remote)
{
    struct err err = ERR_INIT;
    int status = run->source != NULL ? remote_open(remote, cli) : EXIT_OK;
    run->remote = run->source != NULL ? remote : NULL;
    run->io = run->source != NULL ? remote->loop : io_loop_new(&err);
    if (status == EXIT_OK && run->io == NULL) {
        term_error("%s", err.text);
        status = EXIT_FAILED;
    }
    if (status == EXIT_OK)
        status = loop_run(run);
    if (run->source != NULL)
        remote_close(remote);
    else if (run->io != NULL)
        io_loop_free(run->io);
    if (cli->flags[FLAG_JSON] != NULL && run->loop.stop != LOOP_STOP_NONE &&
        print_document(&run->loop) != EXIT_OK)
        status = EXIT_FAILED;
    return status;
}

static int loop(struct cli *cli, struct config *config)
{
    struct loop_run run = {.generator = cli->flags[FLAG_GENERATOR],
                           .evaluator = cli->flags[FLAG_EVALUATOR],
                           .question_ms = config->advisor.question_ms};
    struct paths paths;
    struct remote remote;
    run.show = (struct loop_show){.quiet = cli->flags[FLAG_JSON] != NULL,
                                  .tty = isatty(STDOUT_FILENO) == 1,
                                  .color = cli->color};
    if (!choose_source(cli, &run) || !choose_paths(cli, &paths))
        return EXIT_USAGE;
    run.state_path = paths.state;
    run.report_path = paths.report;
    int status = read_problem(cli, &run.loop, config->advisor.schema);
    if (status == EXIT_OK)
        status = resume(&run.loop, paths.state, &run.show);
    if (status == EXIT_OK)
        status = run_with(cli, &run, &remote);
    loop_fini(&run.loop);
    return status;
}

static bool is_complete(const struct cli *cli)
{
    bool complete = cli->flags[FLAG_PROBLEM] != NULL && cli->flags[FLAG_GENERATOR] != NULL &&
                    cli->flags[FLAG_EVALUATOR] != NULL;
    if (!complete)
        term_error("loop needs --problem, --generator and --evaluator");
    return complete;
}

int command_advise(struct cli *cli)
{
    bool report = strcmp(cli->words[0], "report") == 0;
    if (!report && strcmp(cli->words[0], "loop") != 0)
        return command_usage_error(cli);
    if (!report && !is_complete(cli))
        return EXIT_USAGE;
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    int status = report ? command_advise_report(cli, config) : loop(cli, config);
    config_free(config);
    return status;
}
