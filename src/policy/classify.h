/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify - which of the six task classes a request is of, and how hard it is.
 *
 * A wish, never a verdict: whether a request may leave the house is privacy/'s question alone.
 */
#ifndef POLICY_CLASSIFY_H
#define POLICY_CLASSIFY_H

#include "base/base.h"
#include "llm/llm.h"
#include "text/text.h"

#define CLASSIFY_TASKS 6 /* as many as policy_tasks names */

struct classify_result {
    unsigned task;                /* index into policy_tasks */
    float scores[CLASSIFY_TASKS]; /* 0..1, their sum is 1 */
    float needs_cloud;            /* 0..1: a small local model would do badly */
    bool sure;                    /* the best class is far enough ahead of the second */
    float complexity;             /* 0..1, the scheduler's complexity_score */
    const char *why;              /* constant: "hint", "model", "no model" */
};

#endif
