/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_run - carries the rounds of advisor/loop.h: two children, the running router, a state file, what a person sees.
 *
 *   due -> ask -> generate -> evaluate -> save -> tell -> due ... over
 *
 * The state file is replaced after every round, durably, so that whatever kills this process takes at most the round that
 * runs; the same command goes on. The adviser is asked within a limit and never needed: what cannot be reached, or answers
 * nothing that can be used, three times in a row, is left alone for the rest of the run.
 */
#ifndef APP_LOOP_RUN_H
#define APP_LOOP_RUN_H

#include "advisor/advisor.h"
#include "app/loop_peer.h"
#include "app/loop_show.h"
#include "app/remote.h"

struct loop_run {
    struct loop loop;
    const char *generator, *evaluator; /* commands */
    const char *source;                /* "model", "rules", "auto"; NULL = nobody is asked */
    uint64_t question_ms;
    const char *state_path, *report_path;
    struct remote *remote; /* NULL = nobody is asked */
    struct io_loop *io;
    struct loop_show show;

    struct loop_peer gen, eval; /* private from here on */
    int unanswered;             /* in a row */
    int signum;                 /* that asked for the end; 0 = none */
    bool failed;                /* a child, the disk or memory; err says why */
    struct err err;
};

/* From the present state to the end: EXIT_OK, EXIT_FAILED, or 128 + the signal. All but what is private must be set. */
int loop_run(struct loop_run *run);

#endif
