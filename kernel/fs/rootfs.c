/* The root: read-only EROFS layers from the initrd or from disks, a tmpfs over them, and the file
 * systems every program expects inside; docs/architecture.md, "root". */
#include "abi/errno.h"
#include "block/block.h"
#include "core/cmdline.h"
#include "core/init.h"
#include "core/log.h"
#include "core/panic.h"
#include "fs/devfs.h"
#include "fs/erofs.h"
#include "fs/partition.h"
#include "fs/proc.h"
#include "fs/skeleton.h"
#include "fs/sysfs.h"
#include "fs/tmpfs.h"
#include "fs/volumes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"
#include "vfs/path.h"

enum { LAYERS_MAX = 16 };

/* The layers in the order they are found: the lowest one first. */
struct layers {
    struct super_block *sb[LAYERS_MAX];
    u32 nr;
};

static void add_layer(struct layers *layers, struct super_block *sb)
{
    if (layers->nr == LAYERS_MAX)
        fatal_error("more than %d layers", LAYERS_MAX);
    layers->sb[layers->nr++] = sb;
}

static _Noreturn void refuse(const char *where, u32 nr, int err, const char *why)
{
    if (err == -ENOMEM)
        fatal_error("out of memory: cannot mount the image");
    if (err == -EOPNOTSUPP)
        fatal_error("unsupported EROFS: %s, image %u: %s", where, nr, why);
    fatal_error("corrupt EROFS: %s, image %u: %s", where, nr, why);
}

static bool is_clear(const u8 *bytes, u64 len)
{
    for (u64 i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Images one behind the other, each padded to whole pages. */
static void mount_initrd(struct layers *layers)
{
    const u8 *base = phys_to_virt(boot_info.initrd_pa);
    u64 left = boot_info.initrd_len;

    if (boot_info.initrd_fault)
        fatal_error("initrd: %s", boot_info.initrd_fault);
    for (u32 nr = 1; left; nr++) {
        struct super_block *sb;
        const char *why;
        if (nr > 1 && left < PAGE_SIZE && is_clear(base, left))
            return; /* what a loader padded it with */
        int err = erofs_mount_memory(base, left, &sb, &why);
        if (err)
            refuse("initrd", nr, err, why);
        add_layer(layers, sb);
        u64 size = min(ALIGN_UP(erofs_image_size(base, left), PAGE_SIZE), left);
        base += size;
        left -= size;
    }
}

/* The names of all disks and partitions, blanks between. */
struct disk_names {
    char text[256];
    size_t len;
};

static int add_disk_name(struct block_dev *bd, void *arg)
{
    struct disk_names *names = arg;

    if (names->len < sizeof(names->text)) /* format() tells what it would have written */
        names->len += (size_t)format(names->text + names->len, sizeof(names->text) - names->len,
                                     " %s", bd->name);
    return 0;
}

static struct disk_names disks_seen(void)
{
    struct disk_names names = {.text = " none"};

    partition_scan_all();
    block_for_each(add_disk_name, &names);
    return names;
}

static void mount_disk(struct layers *layers, const char *name)
{
    struct block_dev *bd = partition_find(name);
    struct super_block *sb;
    const char *why;

    if (!bd)
        fatal_error("no such disk: '%s'; disks seen:%s", name, disks_seen().text);
    int err = erofs_mount_disk(bd, &sb, &why);
    if (err == -EIO)
        fatal_error("%s: %s", name, why);
    if (err)
        refuse(name, 1, err, why);
    add_layer(layers, sb);
}

static void mount_layers(struct layers *layers)
{
    const char *root = cmdline_get("root"), *name;
    u32 pos = 0;

    if (boot_info.initrd_len)
        mount_initrd(layers);
    if (root && *root)
        mount_disk(layers, root);
    while ((name = cmdline_next("ingot.layer", &pos)))
        mount_disk(layers, name);
    if (!layers->nr)
        fatal_error("no image: there is neither an initrd nor a root= disk; disks seen:%s",
                    disks_seen().text);
}

static void mount_kind(const char *kind, const char *path)
{
    fs_mount_fn *mount = fs_find(kind);
    if (!mount)
        return;
    struct super_block *sb = mount();
    int err = sb ? mount_at(sb, kind, path, false) : -ENOMEM;
    if (err)
        fatal_error("%s: cannot mount %s (error %d)", path, kind, -err);
}

static void rootfs_mount(void)
{
    struct layers layers = {.nr = 0};
    struct super_block *top_first[LAYERS_MAX + 1];

    mount_layers(&layers);
    for (u32 i = 0; i < layers.nr; i++)
        top_first[i] = layers.sb[layers.nr - 1 - i];
    top_first[layers.nr] = skeleton_mount();
    struct super_block *root =
        top_first[layers.nr] ? overlay_mount(top_first, layers.nr + 1) : NULL;
    if (!root || mount_root(root, "overlay"))
        fatal_error("out of memory: cannot mount the image");
}

void fs_init(void)
{
    missing_begin(cmdline_get_u64("ingot.missing", MISSING_OFF));
    tmpfs_register();
    devfs_register();
    procfs_register();
    sysfs_register();
    rootfs_mount();
    mount_kind("devtmpfs", "/dev");
    mount_kind("proc", "/proc");
    mount_kind("sysfs", "/sys");
    mount_kind("tmpfs", "/dev/shm");
    volumes_mount();
}
