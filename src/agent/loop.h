/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - a request with tools of ours: ask the model, run what it calls, ask again; one answer for the caller.
 *
 *   menu > exchange > events --text goes on as it comes--> caller
 *             ^          | a call of ours is swallowed, a call of the caller's own tools goes on
 *             |          v
 *             +---- results <- agent_call() (reads side by side, writes one after another)
 *
 * Promises: exactly one end, held back until it is known that no call of ours was made; every call of the model has
 * exactly one result; at most rounds_max rounds, then one answer without tools; the third identical call ends it the
 * same way; a private result makes all that follows private; the caller gone = everything is cancelled. Each question
 * to the model is an exchange of its own: its row, its audit, its verdict.
 *
 * Calls of the caller's own tools end the loop, for only he can run them. Calls of ours in the same answer are not made
 * then: no dialect has a place for their results beside his, so the model would not know of them; it makes them again
 * when it has his results.
 */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include "agent/call.h"

/* Does this request want tools of ours: by its key's rule, its model's name (mcp.agents), or an entry
 * {"type":"mcp","server_label":...} among its tools? */
bool agent_wanted(const struct agent_env *env, const struct llm_request *r,
                  const struct policy_key *key);

struct agent_loop;
/* As exchange_start(): same ownership, same sink, whose `event` counts, too; caller->committed is not called. Where no exchange was begun (a tool
 * server that is not there), fail() gets NULL for it. */
struct agent_loop *agent_start(struct agent_env *env, struct arena *arena, struct llm_request *r,
                               const struct exchange_caller *caller,
                               const struct exchange_sink *sink, void *arg);

/* What happens between the model and the tools, for a caller who shows it to a person. `id` is the model's for the call: the
 * calls of one answer run side by side, and a later answer may use an id again. Every call that was begun has its result,
 * unless the loop ends before. Views live during the call. */
struct agent_watch {
    void (*begun)(void *arg, strv id, strv name); /* the model begins to write it */
    /* It is whole and about to run. server "": it is answered here. input: as the model wrote it */
    void (*called)(void *arg, strv id, strv name, strv server, strv input);
    void (*waits)(void *arg, strv id, const struct agent_petition *p);   /* for a person */
    void (*decided)(void *arg, strv id, const struct agent_petition *p); /* by whom, and how */
    void (*result)(void *arg, strv id, strv name, const struct agent_outcome *outcome);
};
/* agent_start() with such an observer, which gets the sink's arg. */
struct agent_loop *agent_start_watched(struct agent_env *env, struct arena *arena,
                                       struct llm_request *r, const struct exchange_caller *caller,
                                       const struct exchange_sink *sink,
                                       const struct agent_watch *watch, void *arg);
/* The latest of its exchanges, NULL where none was begun; valid until the loop's last call. */
struct exchange *agent_exchange(const struct agent_loop *l);
/* All rounds together; who answers, and his window, are the latest one's. latest: its tokens alone. Until the loop's last
 * call, also while tools run and none of the exchanges is there to be asked. */
void agent_sum(const struct agent_loop *l, struct exchange_sums *out, struct llm_usage *latest);
bool agent_private(const struct agent_loop *l); /* so far */
void agent_caller_gone(struct agent_loop *l);
void agent_proceed(struct agent_loop *l);
/* So far: questions to a model, and calls of tools that it made. */
void agent_counts(const struct agent_loop *l, unsigned *rounds, unsigned *calls);
/* Servers whose tools it would have used and that are not there: "a, b"; NULL = all are. */
const char *agent_absent(const struct agent_loop *l);

#endif
