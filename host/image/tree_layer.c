/* A tree under the layers of a container image: OCI image-spec 1.1, layer.md, "Applying". */
#include "image/tree_priv.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *tree_place_of(const struct tree *tree, const char *path)
{
    return tree_canonical(tree, path, false);
}

/* The node for @path, emptied if it was there, with the folders above it. */
static int layer_place(struct tree *tree, const char *path, enum tree_kind kind,
                       struct tree_node **out, struct err *err)
{
    char *place CLEANUP(mem_free) = tree_place_of(tree, path);

    if (!place)
        return err_errno(err, ELOOP, "%s", path);
    struct tree_node *node = tree_exact(tree, place);
    if ((node && node->kind == TREE_DIR && kind != TREE_DIR) ||
        (kind != TREE_DIR && strcmp(place, "/") == 0))
        return err_set(err, EISDIR, "%s: is a folder and a file in one layer", path);
    if (!node) {
        char *parent CLEANUP(mem_free) = path_parent(place);
        int failed = tree_make_dirs(tree, parent, err);
        if (failed)
            return failed;
        node = tree_exact(tree, place); /* the root is its own parent */
    }
    if (!node)
        node = tree_insert(tree, TAKE(place, NULL), kind);
    free(node->source);
    node->source = NULL;
    buf_free(&node->data);
    node->kind = kind;
    node->scratch = kind == TREE_FILE;
    *out = node;
    return 0;
}

int tree_put(struct tree *tree, const struct tree_entry *entry, struct err *err)
{
    struct tree_node *node = NULL;
    int failed = layer_place(tree, entry->path, entry->kind, &node, err);

    if (failed)
        return failed;
    node->source = str_dup(entry->source);
    node->mode = entry->kind == TREE_LINK ? 0777 : entry->mode & 07777;
    node->uid = entry->uid;
    node->gid = entry->gid;
    node->mtime = entry->mtime;
    return 0;
}

int tree_put_hard_link(struct tree *tree, const char *path, const char *target, struct err *err)
{
    const struct tree_node *there = tree_find(tree, target);

    if (!there || there->kind == TREE_DIR)
        return err_set(err, ENOENT, "%s: a hard link to '%s', which is no file", path, target);
    if (tree_find(tree, path) == there) /* the node would lose its content */
        return 0;
    char *source CLEANUP(mem_free) = str_dup(there->source);
    return tree_put(tree,
                    &(struct tree_entry){there->kind, path, source, there->mode, there->uid,
                                         there->gid, there->mtime},
                    err);
}

static int text_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool sorted_has(const struct strs *list, const char *text)
{
    return list->len && bsearch(&text, list->at, list->len, sizeof(*list->at), text_compare);
}

static bool drop_hits(const char *path, const struct strs *gone, const struct strs *emptied)
{
    char *above CLEANUP(mem_free) = str_dup(path), *slash;

    if (sorted_has(gone, path))
        return true;
    while ((slash = strrchr(above, '/')) && slash != above) {
        *slash = 0;
        if (sorted_has(gone, above) || sorted_has(emptied, above))
            return true;
    }
    return sorted_has(emptied, "/") && strcmp(path, "/") != 0;
}

void tree_drop(struct tree *tree, struct strs *gone, struct strs *emptied)
{
    size_t kept = 0;

    if (!tree->len || (!gone->len && !emptied->len))
        return;
    if (gone->len)
        qsort(gone->at, gone->len, sizeof(*gone->at), text_compare);
    if (emptied->len)
        qsort(emptied->at, emptied->len, sizeof(*emptied->at), text_compare);
    for (size_t i = 0; i < tree->len; i++) {
        if (drop_hits(tree->nodes[i]->path, gone, emptied))
            tree_node_free(tree->nodes[i]);
        else
            tree->nodes[kept++] = tree->nodes[i];
    }
    tree->len = kept;
    tree_rehash(tree, tree->nr_buckets);
}
