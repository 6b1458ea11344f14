/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome - what a tool answered, made fit for a model. Pure.
 *
 * Text as it is, structuredContent only where it is not the text again; images where the model takes them, else a
 * note; links as a line; nothing is left out without a word. Too long: the middle goes, and the text says how much.
 * A result that looks like a placeholder begins with a plain sentence that says so: by the words in it, or by what the
 * overlay knows of the tool's "source" (constant, constant_formula, simulated, placeholder_always).
 */
#ifndef AGENT_OUTCOME_H
#define AGENT_OUTCOME_H

#include "llm/llm.h"
#include "mcp/mcp.h"

struct agent_outcome {
    struct llm_part part; /* RESULT without id and name; its parts in the arena */
    bool is_error;        /* the tool's own word, a protocol error, or "success": false */
    bool suspect;         /* placeholder: data_quality of the audit */
    const char *marker;   /* which of the markers; NULL = none */
    size_t bytes, kept;
};
struct agent_outcome_opts {
    size_t bytes_max;
    bool images; /* the model takes them */
};
/* Of a tools/call that ended in any way: a model always gets a result. False: no memory. */
bool agent_outcome_make(const struct mcp_tool *t, const struct mcp_answer *a,
                        const struct agent_outcome_opts *opts, struct arena *arena,
                        struct agent_outcome *out);
/* A sentence of our own in a result's place ("There is no tool x. Nearest: y."), what the finder found. No error until
 * the caller says so, in is_error and in the part. */
bool agent_outcome_say(strv sentence, struct arena *arena, struct agent_outcome *out);

#endif
