/* What tree.c and tree_layer.c share. */
#pragma once

#include "image/tree.h"

/** The node at canonical @path; NULL if there is none. */
struct tree_node *tree_exact(const struct tree *tree, const char *path);

/** A new node.  Takes @path, which must be canonical and new. */
struct tree_node *tree_insert(struct tree *tree, char *path, enum tree_kind kind);

/** @path as the guest resolves it: links in the tree followed, the last one only if asked.
 * Owned by the caller; NULL for a loop. */
char *tree_canonical(const struct tree *tree, const char *path, bool follow_last);

/** Add the folders of canonical @path that are not there yet. */
int tree_make_dirs(struct tree *tree, const char *path, struct err *err);

/** Build the index by path anew. @nr_buckets: a power of two, more than there are nodes */
void tree_rehash(struct tree *tree, size_t nr_buckets);

void tree_node_free(struct tree_node *node);

/** The folder that canonical @path is in.  Owned by the caller. */
char *path_parent(const char *path);
