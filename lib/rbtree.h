/* A red-black tree whose links live in the objects.  The caller compares and locks; a tree may be
 * augmented: each node then carries something about its whole subtree, kept true by rb_root.update.
 */
#pragma once

#include "lib/types.h"

struct rb_node {
    struct rb_node *parent, *left, *right;
    bool red;
};

struct rb_root {
    struct rb_node *node; /* NULL: empty */
    /**
     * Recompute @node's subtree value from itself and its children; false: it stays what it was,
     * so nothing changes above either. NULL: a plain tree.
     */
    bool (*update)(struct rb_node *node);
};

/**
 * Add @node at the free place *@link, which is a child pointer of @parent (or root->node, where
 * @parent is NULL): the place at which the caller's search ended.
 */
void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
               struct rb_node **link);
/** Take @node, which must be in it, out of the tree. */
void rb_remove(struct rb_root *root, struct rb_node *node);
/** Something in @node changed: make the subtree values above it true again. */
void rb_propagate(struct rb_root *root, struct rb_node *node);

/** In order; NULL at the ends. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
