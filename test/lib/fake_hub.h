/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_hub - mcp/hub.h with servers that a test plays: tools are declared, calls wait until the test answers them.
 *
 * The linker takes these functions in place of src/mcp's, as with fake_io.h. One hub per process.
 */
#ifndef FAKE_HUB_H
#define FAKE_HUB_H

#include "agent/agent.h"

struct fake_call;

void fake_hub_begin(void);
/* "server/name effect=read data=none approval=auto zone=local schema={...}"; false: it cannot be read. */
bool fake_hub_tool(const char *name, char *rules);
/* The hub to be named; not NULL. */
struct mcp_hub *fake_hub(void);
/* From now on the server of this name (which a tool has named before) is "ready", "starting" or "down". */
bool fake_hub_state(const char *name, const char *state);
/* The servers of all tools so far, as if they were configured. */
const struct mcp_server_conf *fake_hub_servers(size_t *n);
/* Of all tools so far. NULL: no memory. */
struct agent_index *fake_hub_index(void);
/* The oldest call of that tool that was not asked for yet, or NULL. It stays valid until the next fake_hub_begin(). */
struct fake_call *fake_hub_next(const char *name);
const char *fake_call_params(const struct fake_call *c);
bool fake_call_cancelled(const struct fake_call *c);
/* Once, unless it was cancelled. */
void fake_call_answer(struct fake_call *c, const struct mcp_answer *a);
/* A question of a server, to be put to a struct mcp_host; what was answered, NULL while nothing was. */
struct mcp_question *fake_hub_question(void);
const char *fake_question_answer(const struct mcp_question *q);
void fake_question_withdraw(struct mcp_question *q); /* nobody waits for its answer any more */
size_t fake_hub_calls(const char *name);             /* so far */
void fake_hub_end(void);

#endif
