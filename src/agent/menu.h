/* SPDX-License-Identifier: Apache-2.0 */
/*
 * menu - the tools that a model is offered with one question. Pure: catalogue and question in, tools out; the same
 * question on the same catalogue gives the same menu.
 *
 * A hundred tools as their server describes them cost thirty thousand tokens and confuse a small model. So: each
 * schema is slimmed once per catalogue (the docstring's Args become notes of the parameters, examples and returns go,
 * optional null is folded away, the overlay's notes and enums come in), the tools are ranked for this question, and as
 * many are offered as fit; find_tool, a tool of our own, finds the rest.
 */
#ifndef AGENT_MENU_H
#define AGENT_MENU_H

#include "llm/llm.h"
#include "mcp/mcp.h"

#define AGENT_FINDER "find_tool" /* the name of our own tool */

/* What is worked out once per catalogue: slim tools, their tokens, the index of words. Immutable and counted; holds a
 * reference to its catalogue. */
struct agent_index;
struct agent_index *agent_index_new(struct mcp_catalogue *c); /* NULL: no memory */
struct agent_index *agent_index_ref(struct agent_index *x);
void agent_index_unref(struct agent_index *x);
struct mcp_catalogue *agent_index_catalogue(const struct agent_index *x);

struct agent_wish {
    strv question;      /* the last user turn's text */
    strv before;        /* a little of what was said before it; weighs less; may be empty */
    int64_t tokens_max; /* for all tools together */
    size_t bytes_max;   /* of their JSON */
    size_t tools_max;   /* the finder not counted */
    /* May this caller see the tool? NULL = every one that is not refused. */
    bool (*may)(void *arg, const struct mcp_tool *t);
    void *arg;
    const char *const *
        used; /* ids called earlier in this conversation: they stay on the menu. NULL-terminated or NULL */
    const char *const
        *only; /* ids or patterns the caller narrowed it to (allowed_tools); NULL = no narrowing */
    const float *meaning; /* the question's vector, of length one (meaning.h); NULL = words alone */
    size_t n_meaning;
};

struct agent_choice {
    const struct mcp_tool *tool;
    float score;
    int64_t tokens; /* of its slim form */
    bool offered;
    const char *
        why; /* "ranked", "used before", "named in the question", "too many tokens", "not allowed", ... */
};
struct agent_menu {
    struct llm_tool *tools; /* to be put into the request; the finder last if it is there */
    size_t n;
    const struct mcp_tool **of; /* the catalogue's; NULL for the finder */
    int64_t tokens;             /* our estimate for the whole menu */
    size_t bytes;
    bool has_finder;
    struct agent_choice
        *choices; /* every tool that may be seen, best first: `mcp tools --for` prints it */
    size_t n_choices;
};
/* Everything lives in the arena and in the index, which must live as long as the menu. False: no memory. */
bool agent_menu_make(const struct agent_index *x, const struct agent_wish *w, struct arena *arena,
                     struct agent_menu *out);
/* find_tool's answer: the best tools for these words with their slim form, as text for a model. From then on they may
 * be called, on the menu or not. */
bool agent_menu_find(const struct agent_index *x, const struct agent_wish *w, size_t results,
                     struct buf *out);
/* The allowed tool whose name is nearest to what a model wrote ("validate_schedul", "scheduler.validate_schedule_tool");
 * NULL: none is near. */
const struct mcp_tool *agent_menu_nearest(const struct agent_index *x, const struct agent_wish *w,
                                          strv name);
/* Slim form of one tool, for callers that list all of them. */
bool agent_slim(const struct mcp_tool *t, struct arena *arena, struct llm_tool *out,
                int64_t *tokens);

#endif
