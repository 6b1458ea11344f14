/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_reload - the running router is to take over what is new: its configuration; and where the program's file is another
 * one than it was started from, that program, in a process that takes over from it (handover.h).
 *
 *   reload --fork--> serve, in the background --a byte--> reload ends
 */
#include <signal.h>
#include <unistd.h>

#include "app/command.h"
#include "app/handover.h"
#include "app/term.h"

static int serve_behind(struct cli *cli, int ready_fd)
{
    const struct serve_opts opts = {true, ready_fd};
    setsid(); /* Ctrl-C is for the command */
    return app_serve(&cli->source, &opts);
}

static int take_over(struct cli *cli)
{
    int pipe_fds[2];
    char byte;
    if (pipe(pipe_fds) != 0) {
        term_error("no process can be started");
        return EXIT_FAILED;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        return serve_behind(cli, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    bool ok = pid > 0 && read(pipe_fds[0], &byte, 1) == 1;
    close(pipe_fds[0]);
    if (!ok)
        term_error("the new process could not take over; the running router goes on");
    return ok ? EXIT_OK : EXIT_FAILED;
}

int command_reload(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct config *c = config_load(&cli->source, &err);
    if (c == NULL) {
        term_error("%s", err.text);
        return EXIT_USAGE;
    }
    enum handover_found found = handover_reload(c->state_dir, &err);
    config_free(c);
    config_forget();
    switch (found) {
    case HANDOVER_SAME:
        return cli->flags[FLAG_TAKE_OVER] != NULL ? take_over(cli) : EXIT_OK;
    case HANDOVER_OTHER:
        return take_over(cli);
    case HANDOVER_NOBODY:
        term_error("no router serves with this state_dir");
        return EXIT_UNREACHABLE;
    default:
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
}
