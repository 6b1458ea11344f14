/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_int - what a tree is made of. Private to the tree_*.c files.
 *
 *   top (number 0, no message)
 *    newest child > older sibling > older sibling          children as a list, the newest first
 *
 * A child has a higher number than its parent and than its older siblings, always: so the newest leaf of a branch is found
 * by going to the newest child again and again.
 */
#ifndef CHAT_TREE_INT_H
#define CHAT_TREE_INT_H

#include "chat/tree.h"

struct piece { /* strings of one thing, wiped when they go */
    struct piece *next;
    size_t len;
    char bytes[];
};

struct node {
    struct chat_message m; /* first: a message is its node */
    struct node *up, *older, *newest;
    struct node *down; /* the child on the path that tree_path() laid last */
    size_t n_children;
    size_t bytes; /* its share of the tree's `used` */
    struct piece *pieces, *facts;
};

struct chat_tree {
    struct node top;
    struct node **nodes; /* by number, which may have gaps */
    size_t n;
    struct node *leaf; /* &top = empty */
    size_t used, bytes_max;
};

static inline struct node *tree_node(struct chat_message *m)
{
    return (struct node *)(void *)m;
}

static inline const struct node *tree_node_const(const struct chat_message *m)
{
    return (const struct node *)(const void *)m;
}

/* Lays the path from the root to `to`: each node's `down` is the next one. Returns the root; NULL where `to` is the top. */
struct node *tree_path(struct chat_tree *t, struct node *to);
/* tree_add() with a number; it is above all others. */
struct chat_message *tree_add(struct chat_tree *t, uint32_t n, uint32_t parent, bool assistant,
                              int64_t at_us);
/* As a person sees it: an image's own bytes, not its base64. */
size_t tree_file_bytes(const struct chat_file *f);
/* Is this the JSON text of an object that can stand inside ours, with none of the members `without` (ends with NULL; may be
 * NULL)? False: no memory. */
bool tree_is_object(strv text, const char *const *without, struct arena *scratch, bool *is);

#endif
