/* /proc/PID/mounts and mountinfo. */
#include "abi/errno.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/mount.h"
#include "vfs/path.h"

enum { PATH_BYTES = 4096 };

/* Where @mount is, into @buf of PATH_BYTES. False: out of reach. */
static bool place_of(struct mount *mount, char *buf)
{
    if (!mount->parent) {
        str_copy(buf, "/", PATH_BYTES);
        return true;
    }
    struct path path = {.mount = mount->parent, .dentry = mount->mountpoint};
    return path_name(&path, buf, PATH_BYTES) > 0;
}

struct listing {
    struct text *out;
    char *buf; /* of PATH_BYTES */
};

static const char *options_of(const struct mount *mount)
{
    return mount->readonly || mount->sb->readonly ? "ro,relatime" : "rw,relatime";
}

static int add_mount(struct mount *mount, void *arg)
{
    struct listing *l = arg;

    if (place_of(mount, l->buf))
        text_add(l->out, "%s %s %s %s 0 0\n", mount->source, l->buf, mount->sb->type,
                 options_of(mount));
    return 0;
}

static int add_mountinfo(struct mount *mount, void *arg)
{
    struct listing *l = arg;

    if (place_of(mount, l->buf))
        text_add(l->out, "%u %u %u:%u / %s %s - %s %s %s\n", mount->id,
                 mount->parent ? mount->parent->id : 1, dev_major(mount->sb->dev),
                 dev_minor(mount->sb->dev), l->buf, options_of(mount), mount->sb->type,
                 mount->source, mount->readonly || mount->sb->readonly ? "ro" : "rw");
    return 0;
}

static int list_mounts(struct text *out, int (*add)(struct mount *, void *))
{
    struct listing l = {.out = out, .buf = kmalloc(PATH_BYTES)};

    if (!l.buf)
        return -ENOMEM;
    mount_for_each(add, &l);
    kfree(l.buf);
    return 0;
}

int proc_show_mounts(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list_mounts(out, add_mount);
}

int proc_show_mountinfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list_mounts(out, add_mountinfo);
}
