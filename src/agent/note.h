/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note - the overlay's entry for a tool, for those who need more of it than the catalogue says (docs/mcp.md,
 * "Overlays"). Pure. An entry was written by our operator or shipped with us, but may be wrong: what is not as it
 * should be counts as absent.
 */
#ifndef AGENT_NOTE_H
#define AGENT_NOTE_H

#include "mcp/mcp.h"

/* The entry, parsed into the arena; NULL: there is none, or no memory (arena->failed). */
yyjson_val *agent_note(const struct mcp_tool *t, struct arena *arena);

/* What a call with these arguments (NULL = {}) needs: the tool's own approval, or more where "approval_when" says so:
 * restore_backup with dry_run false. Without memory: at least ASK_ALWAYS. */
enum mcp_approval agent_note_approval(const struct mcp_tool *t, yyjson_val *args,
                                      struct arena *arena);

/* Is this parameter one that no model sees or fills ("hide"), or by its name a secret (approval_token, password)? */
bool agent_note_hides(yyjson_val *note, strv parameter);

#endif
