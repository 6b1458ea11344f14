/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampling - what tool servers ask of us (mcp.md 11): a model's answer, a person's, our folders.
 *
 *   main thread: server's question --io_post--> a worker: an exchange like any other --> answer
 *
 * sampling/createMessage goes through our own policy as a request without a key: private unless told otherwise, so a
 * server uses local models and can send nothing out by us. It has its row, its audit and its limits. Elicitation is
 * declined: nobody here can be asked; where a client of ours stands behind a call, gateway/ passes the question on to it
 * and it does not come here. There are no roots.
 */
#ifndef AGENT_SAMPLING_H
#define AGENT_SAMPLING_H

#include "agent/call.h"

struct agent_host;
struct agent_host *agent_host_new(void); /* NULL: no memory */
/* A worker that may be asked, before the first question can come. `env` must live until no question can come any more.
 * False: too many. */
bool agent_host_add(struct agent_host *h, struct agent_env *env);
/* For mcp_hub_new(). */
const struct mcp_host *agent_host_of(struct agent_host *h);
void agent_host_free(struct agent_host *h); /* after the hub; NULL is fine */

#endif
