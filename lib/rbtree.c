#include "lib/rbtree.h"

static bool is_red(const struct rb_node *node)
{
    return node && node->red;
}

static void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                          struct rb_node *new)
{
    if (!parent)
        root->node = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
}

/* @node goes down to the left, its right child takes its place. */
static void rotate_left(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *up = node->right;

    node->right = up->left;
    if (up->left)
        up->left->parent = node;
    up->parent = node->parent;
    replace_child(root, node->parent, node, up);
    up->left = node;
    node->parent = up;
    if (root->update) {
        (void)root->update(node); /* the whole keeps its value, so nothing above changes */
        (void)root->update(up);
    }
}

static void rotate_right(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *up = node->left;

    node->left = up->right;
    if (up->right)
        up->right->parent = node;
    up->parent = node->parent;
    replace_child(root, node->parent, node, up);
    up->right = node;
    node->parent = up;
    if (root->update) {
        (void)root->update(node); /* the whole keeps its value, so nothing above changes */
        (void)root->update(up);
    }
}

void rb_propagate(struct rb_root *root, struct rb_node *node)
{
    if (!root->update)
        return;
    while (node && root->update(node))
        node = node->parent;
}

/* The red parent of a red @node hangs to the left (or right) of @grand, whose other child is black:
 * straighten the path, then turn it over. */
static void insert_rotate(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
                          struct rb_node *grand)
{
    bool left = grand->left == parent;

    if (node == (left ? parent->right : parent->left)) {
        if (left)
            rotate_left(root, parent);
        else
            rotate_right(root, parent);
        parent = node;
    }
    parent->red = false;
    grand->red = true;
    if (left)
        rotate_right(root, grand);
    else
        rotate_left(root, grand);
}

void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
               struct rb_node **link)
{
    node->parent = parent;
    node->left = node->right = NULL;
    node->red = true;
    *link = node;
    if (root->update)
        (void)root->update(node); /* its value is new even where it is the one it had */
    rb_propagate(root, parent);

    while (is_red(parent)) {
        struct rb_node *grand = parent->parent; /* there is one: the root is black */
        struct rb_node *uncle = grand->left == parent ? grand->right : grand->left;

        if (!is_red(uncle)) {
            insert_rotate(root, node, parent, grand);
            break;
        }
        parent->red = uncle->red = false;
        grand->red = true;
        node = grand;
        parent = node->parent;
    }
    root->node->red = false;
}

/* The subtree @node (maybe NULL) below @parent lacks one black.  @sibling cannot be NULL: its side
 * has at least one black more.  Returns the node at which to go on, or NULL when done. */
static struct rb_node *remove_step(struct rb_root *root, struct rb_node *node,
                                   struct rb_node *parent)
{
    bool left = parent->left == node;
    struct rb_node *sibling = left ? parent->right : parent->left;

    if (sibling->red) {
        sibling->red = false;
        parent->red = true;
        if (left)
            rotate_left(root, parent);
        else
            rotate_right(root, parent);
        sibling = left ? parent->right : parent->left;
    }
    struct rb_node *outer = left ? sibling->right : sibling->left;
    struct rb_node *inner = left ? sibling->left : sibling->right;
    if (!is_red(outer) && !is_red(inner)) {
        sibling->red = true;
        return parent;
    }
    if (!is_red(outer)) {
        inner->red = false;
        sibling->red = true;
        if (left)
            rotate_right(root, sibling);
        else
            rotate_left(root, sibling);
        outer = sibling;
        sibling = inner;
    }
    sibling->red = parent->red;
    parent->red = false;
    outer->red = false;
    if (left)
        rotate_left(root, parent);
    else
        rotate_right(root, parent);
    return NULL;
}

static void remove_rebalance(struct rb_root *root, struct rb_node *node, struct rb_node *parent)
{
    while (parent && !is_red(node)) {
        node = remove_step(root, node, parent);
        if (!node)
            return;
        parent = node->parent;
    }
    if (node)
        node->red = false;
}

/* Put @next, the leftmost of @node's right subtree, where @node is.  Returns the parent of the
 * place that @next left. */
static struct rb_node *take_place(struct rb_root *root, struct rb_node *node, struct rb_node *next)
{
    struct rb_node *hole_parent = next;

    if (next->parent != node) {
        hole_parent = next->parent;
        hole_parent->left = next->right;
        if (next->right)
            next->right->parent = hole_parent;
        next->right = node->right;
        next->right->parent = next;
    }
    next->left = node->left;
    next->left->parent = next;
    next->parent = node->parent;
    replace_child(root, node->parent, node, next);
    return hole_parent;
}

void rb_remove(struct rb_root *root, struct rb_node *node)
{
    struct rb_node *parent, *child, *next = NULL;
    bool was_black;

    if (node->left && node->right) {
        next = rb_next(node);
        child = next->right;
        was_black = !next->red;
        parent = take_place(root, node, next);
        next->red = node->red;
    } else {
        child = node->left ? node->left : node->right;
        parent = node->parent;
        was_black = !node->red;
        if (child)
            child->parent = parent;
        replace_child(root, parent, node, child);
    }
    rb_propagate(root, parent);
    if (next) /* it has other children now, whether the way up to it ended early or not */
        rb_propagate(root, next);
    if (was_black)
        remove_rebalance(root, child, parent);
}

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node && node->left)
        node = node->left;
    return node;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node && node->right)
        node = node->right;
    return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    struct rb_node *next = node->right;

    if (next) {
        while (next->left)
            next = next->left;
        return next;
    }
    for (next = node->parent; next && next->right == node; next = next->parent)
        node = next;
    return next;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    struct rb_node *prev = node->left;

    if (prev) {
        while (prev->right)
            prev = prev->right;
        return prev;
    }
    for (prev = node->parent; prev && prev->left == node; prev = prev->parent)
        node = prev;
    return prev;
}
