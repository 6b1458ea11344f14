/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app - the program: the one folder that knows everybody.
 *
 *   main.c      argv, and no more
 *   command.c   the table of commands; --help, man pages and completion of options come from it
 *   serve.c     threads, signals, reload, drain; worker.c one thread's loop; handover.c from one process to the next
 *   routes.c    the table of HTTP routes
 */
#ifndef APP_APP_H
#define APP_APP_H

#include "api/api.h"
#include "config/config.h"

extern const struct api_route app_routes[];
extern const size_t app_n_routes;

struct serve_opts {
    bool take_over; /* from a router that already serves, if there is one */
    int ready_fd;   /* gets a byte when all is there; -1 = nobody waits */
};
/* Runs the router until SIGTERM or SIGINT. Returns the exit status: 0 after a drain, 1 when it cannot start
 * (the reason is on standard error), 2 for a wrong configuration. */
int app_serve(const struct config_source *source, const struct serve_opts *opts);

#endif
