/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message - JSON-RPC 2.0 as MCP uses it, and the words of the protocol. Pure: no I/O, no clock.
 *
 * An id is kept as the JSON text it came in ("7", "\"a\""), because 1 and "1" differ and a double would not hold
 * every integer. Batches are refused: one revision had them, and nobody sends them.
 */
#ifndef MCP_MESSAGE_H
#define MCP_MESSAGE_H

#include "base/base.h"

#define MCP_MODERN "2026-07-28" /* stateless era; what came before begins with initialize */
#define MCP_LEGACY "2025-11-25" /* newest of the legacy era */

enum mcp_era { MCP_ERA_UNKNOWN, MCP_ERA_LEGACY, MCP_ERA_MODERN };
/* Revisions we speak: UNKNOWN for any other text. */
enum mcp_era mcp_revision_era(strv revision);
extern const char *const mcp_revisions[]; /* newest first, NULL-terminated */

/* Error codes of the wire (mcp.md 14). */
enum mcp_code {
    MCP_PARSE_ERROR = -32700,
    MCP_INVALID_REQUEST = -32600,
    MCP_METHOD_NOT_FOUND = -32601,
    MCP_INVALID_PARAMS = -32602,
    MCP_INTERNAL = -32603,
    MCP_HEADER_MISMATCH = -32020,
    MCP_CAPABILITY_MISSING = -32021,
    MCP_VERSION_UNSERVED = -32022,
    MCP_RESOURCE_NOT_FOUND = -32002, /* legacy only; never sent in the modern era */
    MCP_URL_ELICITATION = -32042,    /* 2025-11-25 only */
    MCP_USER_REFUSED = -1,
};

enum mcp_kind { MCP_REQUEST, MCP_NOTIFICATION, MCP_RESULT, MCP_ERROR };
struct mcp_message {
    enum mcp_kind kind;
    strv id;            /* JSON text; STRV_NONE where there is none, or null in an ERROR */
    strv method;        /* REQUEST, NOTIFICATION */
    yyjson_val *params; /* object or NULL */
    yyjson_val *result; /* RESULT: object */
    int code;           /* ERROR */
    strv text;          /* ERROR: its message */
    yyjson_val *data;   /* ERROR: anything, or NULL */
    struct json json;   /* for json_raw_member() */
};
/* Everything lives in the arena. False: `code` is the JSON-RPC error to answer with, out->id the id if one could be
 * read, err the reason. Members this program does not know are ignored. */
bool mcp_message_read(strv text, struct arena *arena, struct mcp_message *out, int *code,
                      struct err *err);

/* ---- header values of the modern era (mcp.md 7.2) ---- */

/* As it is where it is printable ASCII without blanks at its ends, else in the form for base64. Integers in decimal.
 * False: no memory. */
bool mcp_header_encode(strv value, struct buf *out);
/* The other way; false: bad base64 or characters. */
bool mcp_header_decode(strv value, struct arena *arena, strv *out);

/* Text of a server made fit to be shown or given to a model: control and escape characters, directional marks and
 * tags left out, at most `max` bytes of valid UTF-8. In the arena; STRV_NONE: no memory. */
strv mcp_clean(strv text, size_t max, struct arena *arena);

#endif
