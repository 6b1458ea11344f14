/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slim - a tool as a small model should see it. Pure.
 *
 *   what its server sent                                      what a model gets
 *   "[MOCK] Do x.\n\nArgs:\n  a: the a\n\nReturns: ..."       "[MOCK] Do x."
 *   "a": {"anyOf":[{"type":"string"},{"type":"null"}],        "a": {"type":"string","description":"the a"}
 *         "default":null,"title":"A"}
 *
 * The overlay's note stands for the description where there is one, its notes and enums go into the parameters, its
 * secrets are left out. References are written out, what only confuses a model or breaks a grammar (patterns, lengths,
 * titles, rules about combinations) goes: the call is checked against the server's own schema all the same, in
 * repair.h. What a schema says twice, in allOf or beside a reference, is said once, the first one counts.
 *
 * The schema is hostile: it is walked within limits of depth and steps. What is beyond them becomes {}, any value.
 */
#ifndef AGENT_SLIM_H
#define AGENT_SLIM_H

#include "llm/llm.h"
#include "mcp/mcp.h"

/* FULL: with notes and defaults of all parameters. LEAN: only the notes of those that must be given. */
enum slim_form { SLIM_FULL, SLIM_LEAN };

struct slim {
    struct llm_tool tool; /* name is the catalogue's id; a view of it */
    int64_t tokens;       /* estimated, with what stands around it */
    size_t bytes;         /* of JSON, in the form of OpenAI's API: the longest of the dialects */
};
/* Everything but the name in the arena. False: no memory. */
bool slim_make(const struct mcp_tool *t, enum slim_form form, struct arena *arena,
               struct slim *out);
/* The estimates for a tool that is written as it stands. */
void slim_measure(struct slim *s);

/* The first paragraph of a docstring without what is no description, cut at a sentence; a mark at its head is kept. In
 * the arena, one line. STRV_NONE: no memory. */
strv slim_description(strv text, struct arena *arena);
/* What a docstring says of a parameter (Args: or :param), one line, as long as its first sentences; "" = nothing. */
strv slim_argument(strv text, strv name, struct arena *arena);

/* Tokens of a text, as a tokenizer of a large vocabulary cuts it: within 10 % for tools in JSON. Small models of the
 * Llama, Mistral and Qwen families differ from it by some 10 to 20 %. */
int64_t slim_tokens(strv text);

#endif
