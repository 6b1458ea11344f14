/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_bridge - `llm-router mcp serve --stdio`: the router's /mcp for programs that start their MCP servers themselves.
 *
 *   program --lines--> standard input  --POST /mcp--> the running router
 *           <--lines-- standard output <--JSON, events--'
 *
 * A caller of the router like any other: key, policy, limits, privacy and audit are the router's, and nothing is decided
 * here. So there is one place that knows them, and a program that is started by anybody holds no secret but its own key
 * ($LLM_ROUTER_KEY). It knows of the protocol only what a way of transport must: what the headers repeat, the session
 * of a legacy client and the stream of what the router says on its own, and that a cancelled request is a closed
 * connection (mcp_mend.c).
 *
 * Each request is answered exactly once, also when the router is not there. Nothing but messages is written to
 * standard output; everything else goes to standard error. At the end of the input requests that run have two seconds.
 */
#ifndef APP_MCP_BRIDGE_H
#define APP_MCP_BRIDGE_H

#include "app/command.h"

int mcp_bridge(struct cli *cli);

#endif
