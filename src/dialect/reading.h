/* SPDX-License-Identifier: Apache-2.0 */
/* reading - what decoding a caller's request carries from function to function. Private to the folder. */
#ifndef DIALECT_READING_H
#define DIALECT_READING_H

#include "dialect/dialect.h"

struct reading {
    struct llm_request *r;
    struct arena *arena;
    struct err *err;
};

static inline bool invalid(struct reading *rd, const char *field, const char *what)
{
    return dialect_bad(rd->err, LLM_ERR_INVALID_REQUEST, field, what);
}

static inline bool unsupported(struct reading *rd, const char *field, const char *what)
{
    return dialect_bad(rd->err, LLM_ERR_UNSUPPORTED, field, what);
}

static inline void beyond(struct reading *rd, enum dialect_loss loss)
{
    rd->r->untranslated |= 1u << loss;
}

/* What stands in an upstream's body for the result of a call that the caller never sent (part.made_up). */
#define DIALECT_NO_RESULT "The call was cancelled: it has no result."

/* ---- tools in OpenAI's shape (shared_tools.c); rd->r->body holds the document ---- */

/* The members "tools" and "tool_choice", each may be NULL: fills tools, choose, needs. */
bool dialect_read_tools(struct reading *rd, yyjson_val *list);
bool dialect_read_tool_choice(struct reading *rd, yyjson_val *choice);
/* Room in r->tools for a list's members, which is refused if it is too long; then one of them:
 * {"name","description","parameters","strict"}. `field` is its name in errors: "tools[0].function". */
bool dialect_read_tools_room(struct reading *rd, yyjson_val *list, const char *field);
bool dialect_read_tool(struct reading *rd, yyjson_val *function, const char *field);
/* {"type":"mcp","server_label","allowed_tools","require_approval"}: tools of a configured server, put into r->mcp. */
bool dialect_read_mcp(struct reading *rd, yyjson_val *entry, const char *field);
/* The same by name alone, all its tools. */
struct llm_mcp *dialect_add_mcp(struct reading *rd, strv server);
/* CHOOSE_ONE of what is offered. */
bool dialect_choose_tool(struct reading *rd, strv name, const char *field);
/* A call in the history, {"id","type","function":{"name","arguments"}}; id and arguments may be missing. */
bool dialect_read_call(struct reading *rd, yyjson_val *call, const char *field,
                       struct llm_part *out);
/* "name" and "arguments" of an object; arguments may be a text or an object, whose own bytes are taken. */
bool dialect_read_name(struct reading *rd, yyjson_val *obj, const char *field, strv *out);
bool dialect_read_arguments(struct reading *rd, yyjson_val *obj, const char *field, strv *out);

/* ---- images, sound and documents (shared_media.c); sets what r needs ---- */

/* A data URI, or an address that becomes a LINK. */
bool dialect_read_image(struct reading *rd, strv text, const char *field, struct llm_part *out);
/* A data URI or base64: PDF becomes a DOCUMENT, text a TEXT part under a line with its name, an image an
 * IMAGE. */
bool dialect_read_document(struct reading *rd, strv text, strv title, const char *field,
                           struct llm_part *out);
bool dialect_read_text_document(struct reading *rd, strv title, strv text, const char *field,
                                struct llm_part *out);
/* Base64 and "wav" or "mp3". */
bool dialect_read_audio(struct reading *rd, strv data, strv format, const char *field,
                        struct llm_part *out);
/* Base64 in any spelling: IMAGE, DOCUMENT or AUDIO, by its bytes. */
bool dialect_read_file(struct reading *rd, strv base64, const char *field, struct llm_part *out);
/* An address; `type` is "image" or "document". */
bool dialect_read_link(struct reading *rd, strv address, const char *type, const char *field,
                       struct llm_part *out);

#endif
