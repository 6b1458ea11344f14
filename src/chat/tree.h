/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - what was said in a conversation.
 *
 *   1 user > 2 assistant > 3 user > 4 assistant
 *                        > 5 user > 6 assistant          an edited question is a new branch; so is an answer made again
 *
 * One path, from the root to the leaf, counts: it is what a model is told and a person sees. Messages are never changed
 * once they are whole, only added. Owns all its memory, which is bounded. No clock, no I/O. All text is valid UTF-8.
 */
#ifndef CHAT_TREE_H
#define CHAT_TREE_H

#include "base/base.h"
#include "llm/llm.h"

#define CHAT_FILES_MAX    8   /* of a question */
#define CHAT_BRANCHES_MAX 100 /* messages behind one and the same message */

enum chat_state { CHAT_WHOLE, CHAT_RUNNING, CHAT_INTERRUPTED, CHAT_FAILED };

struct chat_file {   /* of a question */
    strv name, type; /* "image/png", "text/plain"; by its bytes where it is an image */
    strv data;       /* text; of an image base64 */
    bool image;
};
/* One of a question's attachments, {"name","type","data"}, as a client sends it: an image by its bytes, else a text. A view
 * of the value or in `arena`. False with err: it is neither, or too large. */
bool chat_file_read(yyjson_val *attachment, struct arena *arena, struct chat_file *out,
                    struct err *err);

struct chat_call { /* of an answer */
    strv id, name, server;
    strv input;  /* JSON text of an object; kept as {"value":"..."} if it is none */
    strv result; /* what the model was told; STRV_NONE = none yet */
    bool is_error;
    strv quality; /* "" = nothing is known against it */
    bool object;  /* the tree's own note: in JSON the result stands as the object that it is */
};

struct chat_facts { /* how an answer came about; -1 = not known; strings STRV_NONE */
    strv provider, model, zone, mode, task, findings, why, request_id, error;
    bool is_private;
    int64_t cost_micro, saved_micro, first_token_us, total_us, tokens_in, tokens_out, window_used,
        window_size;
};
#define CHAT_FACTS_NONE                                                                            \
    ((struct chat_facts){.cost_micro = -1,                                                         \
                         .saved_micro = -1,                                                        \
                         .first_token_us = -1,                                                     \
                         .total_us = -1,                                                           \
                         .tokens_in = -1,                                                          \
                         .tokens_out = -1,                                                         \
                         .window_used = -1,                                                        \
                         .window_size = -1})

struct chat_message {
    uint32_t n, parent; /* n from 1; parent 0 = none */
    bool assistant;
    enum chat_state state;
    int64_t at_us; /* wall clock */
    struct buf text, reasoning;
    struct chat_file *files;
    size_t n_files;
    struct chat_call *calls;
    size_t n_calls;
    struct chat_facts facts;
};

struct chat_tree;
/* bytes_max: of everything that was said. NULL: no memory. */
struct chat_tree *chat_tree_new(size_t bytes_max);
void chat_tree_free(struct chat_tree *t); /* wipes it; NULL is fine */

/* Adds a message behind `parent` and makes it the leaf. NULL: no memory, too large, too many branches there, or no such
 * parent (0: a root). It stays where it is until the tree goes. */
struct chat_message *chat_tree_add(struct chat_tree *t, uint32_t parent, bool assistant,
                                   int64_t at_us);
/* All copy what they are given. False: no memory, or too large; then nothing of it was taken. A result needs a call of that
 * id without one. Facts take the place of earlier ones. */
bool chat_tree_text(struct chat_tree *t, struct chat_message *m, strv more);
bool chat_tree_reasoning(struct chat_tree *t, struct chat_message *m, strv more);
bool chat_tree_file(struct chat_tree *t, struct chat_message *m, const struct chat_file *f);
bool chat_tree_call(struct chat_tree *t, struct chat_message *m, const struct chat_call *c);
bool chat_tree_result(struct chat_tree *t, struct chat_message *m, strv id, strv result,
                      bool is_error, strv quality);
bool chat_tree_facts(struct chat_tree *t, struct chat_message *m, const struct chat_facts *f);
/* Takes the newest message back: an answer of which nothing came, whose number nobody was told. */
void chat_tree_drop(struct chat_tree *t, struct chat_message *m);

struct chat_message *chat_tree_find(struct chat_tree *t, uint32_t n); /* NULL = none */
struct chat_message *chat_tree_leaf(struct chat_tree *t);             /* NULL = empty */
uint32_t chat_tree_count(const struct chat_tree *t);
/* The path that holds `n`, on to its newest leaf, is the one that counts. False: no such message. */
bool chat_tree_select(struct chat_tree *t, uint32_t n);

/* ---- as a request ---- */

struct chat_asked {
    strv system;  /* "" = none */
    strv summary; /* of all up to `summary_to`; "" = none */
    uint32_t summary_to;
    uint32_t upto; /* the question: last message to be told */
};
/* r->messages from the path to `upto`, in r->arena: user and assistant turns, calls with their results; never an
 * assistant turn with nothing in it; a turn that was cut ends in " [interrupted]". Files: texts inlined with their name,
 * images as parts. A summary counts where the path holds `summary_to`; it stands in front of the next question, with a
 * user's authority, for it may hold what tools said. has_history and needs are set. False: no memory, or no `upto`. */
bool chat_tree_request(struct chat_tree *t, const struct chat_asked *asked, struct llm_request *r);
/* The oldest messages of the path to `upto` that a summary should take so that the rest is below `tokens` (by
 * llm_request_estimate_tokens' rule): number of the last of them, always an assistant's; 0 = none is needed or none can. */
uint32_t chat_tree_oldest(struct chat_tree *t, const struct chat_asked *asked, int64_t tokens);

/* ---- as JSON (docs/chat.md, "A message") ---- */

/* A call's result as tool_result and history have it: {"tool_name":...} and the members of the result if it is an object
 * of its own, else its text as "text". */
bool chat_result_json(const struct chat_call *c, struct buf *out);
/* The members of "facts" that are known, without braces, behind others if *first is false: `complete` has them, too. */
bool chat_facts_json(const struct chat_facts *f, bool *first, struct buf *out);
/* with_data: files' contents too, as the file keeps them. */
bool chat_message_json(struct chat_tree *t, const struct chat_message *m, bool with_data,
                       struct buf *out);
/* The path that counts, or all messages, as a JSON list. */
bool chat_tree_json(struct chat_tree *t, bool all, struct buf *out);
/* Adds the message that this JSON text is, written with_data; false with err, and then nothing was added. Messages come in
 * the order of their numbers; what was running when it was written counts as interrupted. */
bool chat_tree_read(struct chat_tree *t, strv json, struct err *err);
/* The path as Markdown, for people: title, who said what and when, tools, where each answer came from. */
bool chat_tree_markdown(struct chat_tree *t, strv title, struct buf *out);

#endif
