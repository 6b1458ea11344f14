/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify - which kind of task is this, and is a small local model enough for it?
 *
 *   the last user turn > features (policy/features.h) > hard facts > six scores > does it need the cloud?
 *
 * One linear model over hashed features; a second one for the cloud, which reads the first one's scores.
 * Its weights are the section "classify" of the data file, made by tools/data/train_classify.
 *
 * A normal case: "explain the 80-hour rule" is an explanation, by a wide margin. A bad case: two classes are
 * nearly as likely; then `sure` is false, and whoever plans takes what is default at home. A classifier that is
 * not there (NULL, or no such section) is never sure. It says nothing about privacy: a private request stays at
 * home whatever its class.
 */
#ifndef POLICY_CLASSIFY_H
#define POLICY_CLASSIFY_H

#include <stdatomic.h>

#include "base/base.h"
#include "llm/llm.h"
#include "text/text.h"

enum classify_task { /* the order of policy_tasks[] */
                     CLASSIFY_SIMPLE_QUERY,
                     CLASSIFY_EXPLANATION,
                     CLASSIFY_DOCUMENTATION,
                     CLASSIFY_CODE_GENERATION,
                     CLASSIFY_TOOL_CALLING,
                     CLASSIFY_MULTI_STEP,
                     CLASSIFY_TASKS
};

struct classify_result {
    unsigned task;
    float scores[CLASSIFY_TASKS]; /* 0..1, their sum is 1 */
    float needs_cloud;            /* 0..1; from 0.5 a small local model would likely fail */
    bool sure;                    /* the best class is well ahead of the second */
    float complexity;             /* 0..1, as the scheduler's complexity_score */
    const char *why; /* constant: "greeting", "no text", "model", "close", "no model" */
};

struct classify; /* counted, immutable; shared by all threads */
/* Holds the data. NULL: `data` is NULL, holds no such section or a broken one, or no memory. */
struct classify *classify_new(struct text_data *data);
struct classify *classify_from(strv section);      /* as above, of a copy of the section's bytes */
struct classify *classify_ref(struct classify *c); /* NULL is fine, here and below */
void classify_unref(struct classify *c);
struct classify_memo; /* one thread's: digests of turns and their classes, no text */
struct classify_memo *classify_memo_new(void); /* NULL: no memory, or no secret */
void classify_memo_free(struct classify_memo *m);
uint64_t classify_memo_hits(const struct classify_memo *m); /* for tests */
/* Reads the text of the last user turn that has any, and whether tools are offered; at the cost of a digest if the very
 * same was classified not long ago: a loop of tools and a second try ask the same again. `m` and `c` may be NULL. */
void classify_run(struct classify_memo *m, struct classify *c, const struct llm_request *r,
                  struct classify_result *out);
void classify_text(const struct classify *c, strv text, bool has_tools,
                   struct classify_result *out);

#endif
