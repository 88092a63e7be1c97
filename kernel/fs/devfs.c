/* /dev: the registered character devices, and the links that programs expect. */
#include "fs/devfs.h"

#include "abi/errno.h"
#include "fs/pseudo.h"
#include "lib/string.h"
#include "vfs/device.h"
#include "vfs/mount.h"

enum { DEVTMPFS_MAGIC = LINUX_TMPFS_MAGIC };

static void fill_device(const struct pseudo_ref *ref, struct inode *inode)
{
    const struct char_device *dev = char_device_find((u32)ref->number);

    inode->rdev = (u32)ref->number;
    if (dev)
        inode->mode = S_IFCHR | dev->mode;
}

static const struct pseudo_node device_node = {
    .name = "", .mode = S_IFCHR | 0600, .fill = fill_device};

/* A device's name below the directory whose names begin with @prefix, or NULL. */
static const char *name_below(const struct char_device *dev, const char *prefix)
{
    const char *name = dev->name;

    if (!str_starts(name, prefix))
        return NULL;
    name += strlen(prefix);
    return strchr(name, '/') ? NULL : name;
}

static int find_below(const char *prefix, const char *name, size_t len, struct pseudo_ref *child)
{
    struct char_device *dev = NULL;

    while ((dev = char_device_next(dev)) != NULL) {
        const char *own = name_below(dev, prefix);
        if (!own || strncmp(own, name, len) || own[len])
            continue;
        child->node = &device_node;
        child->number = (int)dev->rdev;
        return 0;
    }
    return -ENOENT;
}

/* Devices are counted in the order of their registration. */
static bool next_below(const char *prefix, int after, struct pseudo_ref *child, char *name)
{
    struct char_device *dev = NULL;

    for (int i = 0; (dev = char_device_next(dev)) != NULL; i++) {
        const char *own = name_below(dev, prefix);
        if (i <= after || !own)
            continue;
        child->node = &device_node;
        child->number = i;
        str_copy(name, own, 32);
        return true;
    }
    return false;
}

static int find_device(const struct pseudo_ref *dir __attribute__((unused)), const char *name,
                       size_t len, struct pseudo_ref *child)
{
    return find_below("", name, len, child);
}

static bool next_device(const struct pseudo_ref *dir __attribute__((unused)), int after,
                        struct pseudo_ref *child, char name[32])
{
    return next_below("", after, child, name);
}

static int find_pts(const struct pseudo_ref *dir __attribute__((unused)), const char *name,
                    size_t len, struct pseudo_ref *child)
{
    return find_below("pts/", name, len, child);
}

static bool next_pts(const struct pseudo_ref *dir __attribute__((unused)), int after,
                     struct pseudo_ref *child, char name[32])
{
    return next_below("pts/", after, child, name);
}

static const struct pseudo_node dev_nodes[] = {
    PSEUDO_LINK("fd", "/proc/self/fd"),         PSEUDO_LINK("stdin", "/proc/self/fd/0"),
    PSEUDO_LINK("stdout", "/proc/self/fd/1"),   PSEUDO_LINK("stderr", "/proc/self/fd/2"),
    PSEUDO_LINK("core", "/proc/kcore"),         PSEUDO_EMPTY_DIR("shm", S_ISVTX | 0777),
    PSEUDO_EMPTY_DIR("mqueue", S_ISVTX | 0777), PSEUDO_DYNAMIC_DIR("pts", find_pts, next_pts),
    {.name = "log", .mode = S_IFSOCK | 0666}, /* served by net/unix_name.c */
};

static const struct pseudo_node dev_root = {
    .name = "",
    .mode = S_IFDIR | 0755,
    .children = dev_nodes,
    .nr_children = ARRAY_LEN(dev_nodes),
    .find = find_device,
    .next = next_device,
};

static struct super_block *devfs_mount(void)
{
    return pseudo_mount("devtmpfs", DEVTMPFS_MAGIC, &dev_root);
}

void devfs_register(void)
{
    fs_register("devtmpfs", devfs_mount);
}
