/* Fredman, Sedgewick, Sleator, Tarjan: The Pairing Heap (1986); two-pass deletion. */
#include "lib/pheap.h"

/* Both roots; the one that comes later becomes a child of the other. */
static struct pheap_node *meld(struct pheap_node *a, struct pheap_node *b, pheap_before before)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (before(b, a)) {
        struct pheap_node *tmp = a;
        a = b;
        b = tmp;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    a->child = b;
    a->next = a->prev = NULL;
    return a;
}

/* Meld the list of siblings into one tree: pairs from left to right, then all from right to left.
 */
static struct pheap_node *meld_siblings(struct pheap_node *first, pheap_before before)
{
    struct pheap_node *pairs = NULL, *root = NULL;

    while (first) {
        struct pheap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(a, b, before);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct pheap_node *next = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs, before);
        pairs = next;
    }
    return root;
}

void pheap_insert(struct pheap_node **root, struct pheap_node *node, pheap_before before)
{
    node->child = node->next = node->prev = NULL;
    *root = meld(*root, node, before);
}

void pheap_remove(struct pheap_node **root, struct pheap_node *node, pheap_before before)
{
    struct pheap_node *below = meld_siblings(node->child, before);

    if (!node->prev) {
        *root = below;
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next)
            node->next->prev = node->prev;
        *root = meld(*root, below, before);
    }
    node->child = node->next = node->prev = NULL;
}
