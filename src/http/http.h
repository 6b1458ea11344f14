/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - HTTP/1.1 both ways, and the framings that ride on it.
 *
 *   server.h  callers: whole request in, whole or streamed reply out, told when the caller leaves
 *   client.h  upstreams: pooled connections, one call at a time on each, body as it arrives
 *   frame.h   server-sent events and JSON lines cut out of a byte stream
 *   url.h     base URLs of providers
 *
 * Parsing is llhttp in strict mode with every leniency off: a message that two servers could read
 * differently is refused and its connection closed. Both sides assume a hostile peer: heads, bodies,
 * events, connections and time are bounded, each with its own error.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "http/client.h"
#include "http/frame.h"
#include "http/server.h"
#include "http/url.h"

#endif
