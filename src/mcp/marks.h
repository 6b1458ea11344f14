/* SPDX-License-Identifier: Apache-2.0 */
/* marks - "x-mcp-header" in a tool's schema: arguments that HTTP headers repeat (marks.c). Pure. */
#ifndef MCP_MARKS_H
#define MCP_MARKS_H

#include "http/http.h"

/* Are the marks such that a call can be made right? *any: there are some. any and err may be NULL. */
bool mcp_marks_sound(yyjson_val *schema, bool *any, struct err *err);
/* The headers of a call with these arguments, which stand in `doc`; values are not encoded yet. */
bool mcp_marks_headers(yyjson_val *schema, const struct json *doc, yyjson_val *arguments,
                       struct arena *arena, struct http_header **out, size_t *n);

#endif
