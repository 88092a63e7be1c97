#include "unit/test.h"

#include "fake/random.h"
#include "lib/rbtree.h"

enum { COUNT = 400 };

struct item {
    struct rb_node node;
    u32 key, size; /* .size: items in the subtree */
    bool in;
};

static struct item items[COUNT];

static u32 size_of(struct rb_node *node)
{
    return node ? container_of(node, struct item, node)->size : 0;
}

static bool update(struct rb_node *node)
{
    struct item *item = container_of(node, struct item, node);
    u32 size = 1 + size_of(node->left) + size_of(node->right);
    bool changed = size != item->size;

    item->size = size;
    return changed;
}

static struct rb_root root = {.update = update};

static void insert(struct item *item)
{
    struct rb_node **link = &root.node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = item->key < container_of(parent, struct item, node)->key ? &parent->left
                                                                        : &parent->right;
    }
    rb_insert(&root, &item->node, parent, link);
    item->in = true;
}

/* Black height of the subtree; checks colours, links and the subtree value on the way. */
static int check(struct rb_node *node, struct rb_node *parent)
{
    if (!node)
        return 1;
    REQUIRE(node->parent == parent, "parent link");
    if (node->red)
        REQUIRE(!(node->left && node->left->red) && !(node->right && node->right->red),
                "no red child of a red node");
    REQUIRE(size_of(node) == 1 + size_of(node->left) + size_of(node->right), "subtree value");
    int left = check(node->left, node), right = check(node->right, node);
    REQUIRE(left == right, "black height");
    return left + !node->red;
}

static void check_all(u32 want)
{
    u32 count = 0, last = 0;

    check(root.node, NULL);
    REQUIRE(!root.node || !root.node->red, "the root is black");
    for (struct rb_node *n = rb_first(&root); n; n = rb_next(n), count++) {
        u32 key = container_of(n, struct item, node)->key;
        REQUIRE(!count || key > last, "in order");
        last = key;
    }
    EXPECT_EQ(count, want, NULL);
    for (struct rb_node *n = rb_last(&root); n; n = rb_prev(n))
        count--;
    EXPECT_EQ(count, 0, "backwards too");
    EXPECT_EQ(size_of(root.node), want, NULL);
}

TEST(rbtree_stays_balanced_and_augmented_through_a_storm)
{
    u32 in = 0;

    for (u32 i = 0; i < COUNT; i++)
        items[i].key = i + 1;
    for (int i = 0; i < 40000; i++) {
        struct item *item = &items[fake_random() % COUNT];
        if (item->in) {
            rb_remove(&root, &item->node);
            item->in = false;
            in--;
        } else {
            insert(item);
            in++;
        }
        if (i % 16 == 0)
            check_all(in);
    }
}

TEST(rbtree_takes_ordered_keys)
{
    for (u32 i = 0; i < COUNT; i++) {
        items[i].key = i + 1;
        insert(&items[i]);
        check_all(i + 1);
    }
    for (u32 i = 0; i < COUNT; i++) {
        rb_remove(&root, &items[i].node);
        check_all(COUNT - i - 1);
    }
    EXPECT_EQ(root.node, NULL, NULL);
}
