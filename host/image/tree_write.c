/* A tree laid out as real files, for tools that want a folder. */
#include "image/tree.h"

#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <fcntl.h>

static int stage_times(const char *path, const struct timespec *mtime, struct err *err)
{
    const struct timespec times[2] = {*mtime, *mtime};

    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, errno, "%s", path);
    return 0;
}

/* The names of one file are one inode, as in the layer that they came from. */
static int stage_link(const struct tree_node *node, const char *path, struct err *err)
{
    int failed = 0;

    if (link(node->source, path) < 0)
        failed =
            errno == EMLINK ? fs_copy(node->source, path, err) : err_errno(err, errno, "%s", path);
    /* Whoever makes the layer has to read it; erofs_set_owners() gives it its own mode. */
    if (!failed && chmod(path, node->mode | 0400) < 0)
        failed = err_errno(err, errno, "%s", path);
    return failed;
}

static int stage_node(const struct tree_node *node, const char *path, struct err *err)
{
    int failed = 0;

    switch (node->kind) {
    case TREE_DIR: /* writable until it is filled; stage_dir_modes() comes after */
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            failed = err_errno(err, errno, "%s", path);
        return failed;
    case TREE_LINK:
        if (symlink(node->source, path) < 0)
            failed = err_errno(err, errno, "%s", path);
        break;
    case TREE_DATA:
        failed = fs_write(path, node->data.data, node->data.len, node->mode, err);
        break;
    case TREE_FILE:
        failed = node->scratch ? stage_link(node, path, err) : fs_copy(node->source, path, err);
        break;
    }
    return failed ? failed : stage_times(path, &node->mtime, err);
}

/* Deepest first, so that a folder without write permission is closed after what is in it. */
static int stage_dir_modes(const struct tree *tree, const char *stage, struct err *err)
{
    for (size_t i = tree->len; i-- > 0;) {
        const struct tree_node *node = tree->nodes[i];
        if (node->kind != TREE_DIR)
            continue;
        char *path CLEANUP(mem_free) = fs_join(stage, node->path);
        int failed = stage_times(path, &node->mtime, err);
        if (failed)
            return failed;
        /* Whoever goes on from here has to read it. */
        if (chmod(path, node->mode | 0500) < 0)
            return err_errno(err, errno, "%s", path);
    }
    return 0;
}

int tree_write(struct tree *tree, const char *dir, struct err *err)
{
    if (mkdir(dir, 0700) < 0)
        return err_errno(err, errno, "%s", dir);
    tree_sort(tree);
    for (size_t i = 0; i < tree->len; i++) {
        char *path CLEANUP(mem_free) = fs_join(dir, tree->nodes[i]->path);
        int failed = stage_node(tree->nodes[i], path, err);
        if (failed)
            return failed;
    }
    return stage_dir_modes(tree, dir, err);
}
