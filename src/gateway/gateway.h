/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway - the router as an MCP server: its own tools, and those of the configured servers, for other programs.
 *
 * Knows no transport: a message in, messages out. api/mcp.c is its face over HTTP (POST /mcp, both eras), `llm-router
 * mcp serve --stdio` over pipes. Stateless in both eras; nothing is remembered from one message to the next but by a
 * signed requestState.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "agent/agent.h"
#include "mcp/mcp.h"

#endif
