/* Character devices by number: what drivers register and device nodes lead to, whatever file system
 * the node is in.  devfs shows each under its name. */
#pragma once

#include "abi/stat.h"
#include "lib/list.h"
#include "vfs/file.h"

struct inode;

/* Fields: [I] once added. */
struct char_device {
    const char *name;           /* [I] below /dev: "null", "pts/0"; static */
    u64 rdev;                   /* [I] dev_make(), abi/stat.h */
    u32 mode;                   /* [I] permissions of the node */
    const struct file_ops *ops; /* [I] given to files opened on it */
    /** Prepare a file that is being opened; may replace its ops, data and waitq. NULL: nothing. */
    int (*open)(struct char_device *dev, struct file *file);
    void *data;            /* [I] the driver's own */
    struct list_head node; /* under the registry's lock */
};

/** Make a device known; the driver owns it for ever. Thread context. */
void char_device_add(struct char_device *dev);
/** The device of that number, or NULL. */
struct char_device *char_device_find(u64 rdev);
/** The first device behind @after (NULL: the first of all), or NULL. */
struct char_device *char_device_next(const struct char_device *after);
/** inode_ops.open of a device node: 0, or -ENXIO where there is no such device, or its error. */
int char_device_open(struct inode *inode, struct file *file);
