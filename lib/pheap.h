/* A pairing heap whose nodes live in the queued objects: insert and peek in constant time, removal
 * of any node amortised logarithmic.  The caller locks and compares. */
#pragma once

#include "lib/types.h"

struct pheap_node {
    struct pheap_node *child; /* first child */
    struct pheap_node *next;  /* next sibling */
    struct pheap_node *prev; /* previous sibling, or the parent for a first child; NULL: the root */
};

/** True if @a must leave the heap before @b. */
typedef bool (*pheap_before)(const struct pheap_node *a, const struct pheap_node *b);

/** Add @node to the heap whose root is *@root. */
void pheap_insert(struct pheap_node **root, struct pheap_node *node, pheap_before before);

/** Take @node, which must be in it, out of the heap. */
void pheap_remove(struct pheap_node **root, struct pheap_node *node, pheap_before before);
