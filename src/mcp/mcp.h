/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp - the Model Context Protocol, client's side, and what both sides share.
 *
 *   message.h    JSON-RPC 2.0 and the protocol's own words: revisions, errors, header values
 *   marks.h      which arguments HTTP headers repeat
 *   conf.h       which servers there are, and what may be done with their tools: part of a configuration
 *   link.h       a way to one server: pipes of a child process (stdio.c) or HTTP (http.c)
 *   auth.h       what the program does for a login at a server; who keeps its tokens
 *   client.h     one server by its protocol: era, lists, calls, what it asks of us
 *   catalogue.h  what all servers offer, as it stands now: immutable, counted
 *   hub.h        all servers of the program; called from any thread
 *
 * The hub, its clients and links live on the main thread's loop, because child processes do. Workers reach them by
 * messages: mcp_call() and its answers.
 */
#ifndef MCP_MCP_H
#define MCP_MCP_H

#include "mcp/auth.h"
#include "mcp/catalogue.h"
#include "mcp/conf.h"
#include "mcp/hub.h"
#include "mcp/marks.h"
#include "mcp/message.h"

#endif
