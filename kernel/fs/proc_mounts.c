/* /proc/PID/mounts and mountinfo. */
#include "abi/errno.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/mount.h"
#include "vfs/path.h"

enum { PATH_BYTES = LINUX_PATH_MAX };

struct listing {
    struct text *out;
    char *place, *root; /* of PATH_BYTES each */
};

/* Where @mount is, into .place, and what of its file system, into .root.  False: out of reach. */
static bool place_of(struct mount *mount, struct listing *l)
{
    struct path at;

    if (!mount->parent) {
        str_copy(l->place, "/", PATH_BYTES);
        str_copy(l->root, "/", PATH_BYTES);
        return !mount->by_program;
    }
    if (!mount_place(mount, &at, l->root))
        return false;
    bool seen = path_name(&at, l->place, PATH_BYTES) > 0;
    path_put(&at);
    return seen;
}

/* Blanks, line ends and backslashes in octal, as getmntent(3) has it. */
static void add_escaped(struct text *out, const char *word)
{
    for (; *word; word++) {
        if (strchr(" \t\n\\#", *word))
            text_add(out, "\\%03o", (u32)(u8)*word);
        else
            text_add(out, "%c", *word);
    }
}

static void add_options(struct text *out, const struct mount *mount)
{
    text_add(out, "%s%s%s%s,relatime",
             mount_is_readonly(mount) || mount->sb->readonly ? "ro" : "rw",
             mount_has(mount, MOUNT_NOSUID) ? ",nosuid" : "",
             mount_has(mount, MOUNT_NODEV) ? ",nodev" : "",
             mount_has(mount, MOUNT_NOEXEC) ? ",noexec" : "");
}

static int add_mount(struct mount *mount, void *arg)
{
    struct listing *l = arg;

    if (!place_of(mount, l))
        return 0;
    add_escaped(l->out, mount->source);
    text_add(l->out, " ");
    add_escaped(l->out, l->place);
    text_add(l->out, " %s ", mount->sb->type);
    add_options(l->out, mount);
    text_add(l->out, " 0 0\n");
    return 0;
}

static int add_mountinfo(struct mount *mount, void *arg)
{
    struct listing *l = arg;

    if (!place_of(mount, l))
        return 0;
    const struct mount *parent = mount->parent;
    text_add(l->out, "%u %u %u:%u ", mount->id, parent ? parent->id : 1, dev_major(mount->sb->dev),
             dev_minor(mount->sb->dev));
    add_escaped(l->out, l->root);
    text_add(l->out, " ");
    add_escaped(l->out, l->place);
    text_add(l->out, " ");
    add_options(l->out, mount);
    text_add(l->out, " - %s ", mount->sb->type);
    add_escaped(l->out, mount->source);
    text_add(l->out, " %s\n", mount->sb->readonly ? "ro" : "rw");
    return 0;
}

static int add_mountstat(struct mount *mount, void *arg)
{
    struct listing *l = arg;

    if (!place_of(mount, l))
        return 0;
    text_add(l->out, "device ");
    add_escaped(l->out, mount->source);
    text_add(l->out, " mounted on ");
    add_escaped(l->out, l->place);
    text_add(l->out, " with fstype %s\n", mount->sb->type);
    return 0;
}

static int list_mounts(struct text *out, int (*add)(struct mount *, void *))
{
    struct listing l = {.out = out, .place = kmalloc(2 * PATH_BYTES)};

    if (!l.place)
        return -ENOMEM;
    l.root = l.place + PATH_BYTES;
    mount_for_each(add, &l);
    kfree(l.place);
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

int proc_show_mountstats(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return list_mounts(out, add_mountstat);
}
