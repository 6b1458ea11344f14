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
/* As exchange_start(): same ownership, same sink; caller->committed is not called. Where no exchange was begun (a tool
 * server that is not there), fail() gets NULL for it. */
struct agent_loop *agent_start(struct agent_env *env, struct arena *arena, struct llm_request *r,
                               const struct exchange_caller *caller,
                               const struct exchange_sink *sink, void *arg);
void agent_caller_gone(struct agent_loop *l);
void agent_proceed(struct agent_loop *l);
/* So far: questions to a model, and calls of tools that it made. */
void agent_counts(const struct agent_loop *l, unsigned *rounds, unsigned *calls);
/* Servers whose tools it would have used and that are not there: "a, b"; NULL = all are. */
const char *agent_absent(const struct agent_loop *l);

#endif
