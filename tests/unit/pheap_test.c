#include "unit/test.h"

#include <stdlib.h>

#include "lib/pheap.h"

struct item {
    struct pheap_node node;
    int key;
    bool in;
};

static bool before(const struct pheap_node *a, const struct pheap_node *b)
{
    return ((const struct item *)(const void *)a)->key <
           ((const struct item *)(const void *)b)->key;
}

static int least(const struct item *items, int n)
{
    int key = INT_MAX;
    for (int i = 0; i < n; i++)
        if (items[i].in && items[i].key < key)
            key = items[i].key;
    return key;
}

TEST(pheap_gives_the_least_after_any_insert_and_removal)
{
    enum { N = 64, STEPS = 20000 };
    static struct item items[N];
    struct pheap_node *root = NULL;

    srand(1);
    for (int step = 0; step < STEPS; step++) {
        struct item *it = &items[rand() % N];
        if (it->in) {
            pheap_remove(&root, &it->node, before);
        } else {
            it->key = rand() % 50;
            pheap_insert(&root, &it->node, before);
        }
        it->in = !it->in;
        int want = least(items, N);
        int got = root ? ((struct item *)(void *)root)->key : INT_MAX;
        if (got != want) {
            EXPECT_EQ(got, want, "the root is the least");
            return;
        }
    }
    EXPECT_TRUE(true, NULL);
}
